//! Identifiers of rows in the page, and links to them.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::markup::Markup;
use super::shown::{self, CARDS_SHOWN, PARTS_SHOWN, REGIONS_SHOWN, ROWS_SHOWN};
use super::text::{clip, escape_text, name, sentence};
use crate::document::Document;

/// Most characters of an identifier that come from the row's own id.
const SLUG_CHARACTERS: usize = 56;

/// Identifiers of the page's own parts that a row's could be like: sections and their headings whose names are those
/// of kinds of rows, and the word for a row without a name.
const RESERVED: [&str; 5] = [
    "capacity",
    "capacity-h",
    "conservation",
    "conservation-h",
    "row",
];

/// What the page knows of a row: where it is, and what to call it.
struct Target {
    slug: String,
    label: String,
}

/// All rows of the page.
pub(crate) struct Anchors {
    targets: BTreeMap<String, Target>,
    used: BTreeSet<String>,
}

impl Anchors {
    /// The rows of the live page, which has no cards: recommendations are named there and lead nowhere.
    pub(crate) fn live(document: &Document) -> Self {
        let mut anchors = Self::of(document);
        for recommendation in &document.recommendations {
            anchors.targets.remove(&recommendation.id);
        }
        anchors
    }

    /// Collects the rows in the document's order.
    pub(crate) fn of(document: &Document) -> Self {
        let mut anchors = Self {
            targets: BTreeMap::new(),
            // A service can be called like a part of the page.
            used: RESERVED.iter().map(|id| (*id).to_owned()).collect(),
        };
        for (index, service) in document.services.iter().take(PARTS_SHOWN).enumerate() {
            let of = |what: &str| format!("{} {what}", name(&service.service));
            anchors.add(&service.id, name(&service.service));
            for operation in &service.operations {
                anchors.add(
                    &operation.id,
                    of(&operation_name(&operation.operation, &operation.class)),
                );
            }
            let regions = service.operations.iter().flat_map(|o| &o.regions);
            for region in regions.filter(|_| index < REGIONS_SHOWN) {
                let last = region.path.last().map_or("", String::as_str);
                anchors.add(&region.id, format!("region {}", name(last)));
            }
            for owner in &service.owners {
                anchors.add(&owner.id, of(&name(&owner.name)));
            }
            for instance in &service.instances {
                anchors.add(
                    &instance.id,
                    format!("instance {}", clip(&instance.instance, 24)),
                );
            }
        }
        // The others have a row and nothing more.
        let rows = document.services.iter().take(ROWS_SHOWN);
        for service in rows.skip(PARTS_SHOWN) {
            anchors.add(&service.id, name(&service.service));
        }
        for origin in document.origins.iter().take(ROWS_SHOWN) {
            anchors.add(&origin.id, format!("origin {}", name(&origin.operation)));
        }
        for edge in shown::edges(document) {
            let target = if edge.target.is_empty() {
                &edge.to.operation
            } else {
                &edge.target
            };
            anchors.add(
                &edge.id,
                format!(
                    "{} → {} {}",
                    name(&edge.from.service),
                    name(&edge.to.service),
                    name(target)
                ),
            );
        }
        let mut places = 0;
        for (index, entity) in document.entities.iter().enumerate() {
            if index < PARTS_SHOWN {
                anchors.add(&entity.id, format!("entity {}", name(&entity.entity)));
            }
            for place in entity.places.iter().take(ROWS_SHOWN - places) {
                places += 1;
                anchors.add(
                    &place.id,
                    format!("{} in {}", name(&entity.entity), name(&place.service)),
                );
            }
        }
        for latency in &document.capacity.latency {
            anchors.add(
                &latency.id,
                format!("response of {}", name(&latency.operation)),
            );
        }
        for service in document.capacity.services.iter().take(PARTS_SHOWN) {
            anchors.add(
                &service.id,
                format!("capacity of {}", name(&service.service)),
            );
        }
        let checked = shown::checked(document);
        let rows = document.conservation.services.iter().take(ROWS_SHOWN);
        for service in checked.chain(rows) {
            anchors.add(
                &service.id,
                format!("sum check of {}", name(&service.service)),
            );
        }
        for recommendation in document
            .recommendations
            .iter()
            .take(CARDS_SHOWN + ROWS_SHOWN)
        {
            anchors.add(&recommendation.id, clip(&recommendation.title, 60));
        }
        for proposal in document
            .topologies
            .iter()
            .flat_map(|found| &found.proposals)
        {
            let label = match proposal.steps.len() {
                0 => "as it is".to_owned(),
                1 => clip(&proposal.steps[0], 60),
                more => format!("{} and {} more", clip(&proposal.steps[0], 60), more - 1),
            };
            anchors.add(&proposal.id, label);
            for deployable in &proposal.deployables {
                anchors.add(&deployable.id, name(&deployable.name));
            }
        }
        anchors
    }

    /// No rows: the page of a change links to none.
    pub(crate) fn none() -> Self {
        Self {
            targets: BTreeMap::new(),
            used: BTreeSet::new(),
        }
    }

    fn add(&mut self, id: &str, label: String) {
        if self.targets.contains_key(id) {
            return;
        }
        let (mut slug, whole) = slug(id);
        if !whole || self.used.contains(&slug) {
            slug = format!("{slug}-{}", short_hash(id));
        }
        while !self.used.insert(slug.clone()) {
            slug.push('x');
        }
        self.targets.insert(id.to_owned(), Target { slug, label });
    }

    /// The identifier of a row; empty for one that the document does not hold.
    pub(crate) fn slug(&self, id: &str) -> &str {
        self.targets.get(id).map_or("", |target| &target.slug)
    }

    /// A link to a row under its own name; nothing for a row that the document does not hold.
    pub(crate) fn link(&self, id: &str) -> Option<Markup> {
        let target = self.targets.get(id)?;
        Some(Markup::composed(format!(
            "<a href=#{}>{}</a>",
            target.slug,
            escape_text(&target.label)
        )))
    }

    /// A link to a row under a whole sentence; the bare sentence where there is no such row.
    pub(crate) fn link_sentence(&self, id: &str, text: &str) -> Markup {
        match self.targets.get(id) {
            Some(target) => Markup::composed(format!(
                "<a href=#{}>{}</a>",
                target.slug,
                escape_text(&sentence(text))
            )),
            None => Markup::text(&sentence(text)),
        }
    }

    /// A link to a row under another name; the bare name where there is no such row.
    pub(crate) fn link_as(&self, id: &str, label: &str) -> Markup {
        match self.targets.get(id) {
            Some(target) => Markup::composed(format!(
                "<a href=#{}>{}</a>",
                target.slug,
                escape_text(&name(label))
            )),
            None => Markup::text(&name(label)),
        }
    }
}

/// An operation with its declared class.
pub(crate) fn operation_name(operation: &str, class: &str) -> String {
    if class.is_empty() {
        name(operation)
    } else {
        format!("{} ({})", name(operation), name(class))
    }
}

/// Lower-case letters and digits joined by hyphens, and whether that holds the whole id.
fn slug(id: &str) -> (String, bool) {
    let mut out = String::new();
    let mut whole = true;
    for c in id.chars() {
        if out.len() >= SLUG_CHARACTERS {
            whole = false;
            break;
        }
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
        } else {
            // The arrow stands in ids of edges and says nothing more than a hyphen.
            whole &= c.is_ascii_graphic() || c == ' ' || c == '→';
            if !out.is_empty() && !out.ends_with('-') {
                out.push('-');
            }
        }
    }
    let trimmed = out.trim_end_matches('-').to_owned();
    if trimmed.is_empty() {
        ("row".to_owned(), false)
    } else {
        (trimmed, whole)
    }
}

fn short_hash(id: &str) -> String {
    Sha256::digest(id.as_bytes())
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_plain() {
        assert_eq!(
            slug("operation:store/GET /orders/{id}"),
            ("operation-store-get-orders-id".to_owned(), true)
        );
        assert_eq!(slug("service:\u{202e}"), ("service".to_owned(), false));
        assert_eq!(slug("\"><").0, "row");
        assert!(slug(&"a".repeat(4096)).0.len() <= SLUG_CHARACTERS);
    }

    #[test]
    fn no_row_is_called_like_a_part_of_the_page() {
        let mut document = Document::build(
            &crate::testing::System::new(0).range(),
            &crate::Options::default(),
        );
        let mut services = crate::testing::System::new(40);
        services.root("h", "GET /a", 20, [1_000, 0, 0, 0, 0, 0]);
        services.root("!", "GET /a", 20, [1_000, 0, 0, 0, 0, 0]);
        let built = Document::build(&services.range(), &crate::Options::default());
        document.capacity = built.capacity;
        document.conservation = built.conservation;
        let anchors = Anchors::of(&document);
        for service in &document.capacity.services {
            let slug = anchors.slug(&service.id);
            assert!(!RESERVED.contains(&slug), "{slug}");
            assert!(slug.starts_with("capacity-"), "{slug}");
        }
        for service in &document.conservation.services {
            let slug = anchors.slug(&service.id);
            assert!(!RESERVED.contains(&slug), "{slug}");
        }
    }

    #[test]
    fn different_rows_never_share_an_identifier() {
        let mut anchors = Anchors {
            targets: BTreeMap::new(),
            used: BTreeSet::new(),
        };
        let long = "service:".to_owned() + &"a".repeat(4096);
        let ids = [
            "service:a b",
            "service:a-b",
            "service:a/b",
            &long,
            &(long.clone() + "b"),
            "service:ä",
            "service:ö",
        ];
        for id in ids {
            anchors.add(id, id.to_owned());
        }
        let slugs: BTreeSet<&str> = ids.iter().map(|id| anchors.slug(id)).collect();
        assert_eq!(slugs.len(), ids.len());
        assert!(
            slugs
                .iter()
                .all(|s| s.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'))
        );
        assert!(anchors.link("service:nobody").is_none());
    }
}
