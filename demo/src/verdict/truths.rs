//! The planted truths: what the demo was built to show, and how the report must show it.

use weighbridge_reports::document::{
    CopyFinding, Document, Recommendation, RecommendationKind, Verdict,
};

use super::Line;
use super::find;
use crate::child::MAIN_OWNER;
use crate::placement::{Component, Placement};

/// One planted truth.
struct Truth {
    name: &'static str,
    expected: &'static str,
    /// Looks for it. `None` when this placement leaves nothing to find.
    look: fn(&Look<'_>) -> Option<Found>,
}

/// What was found of a truth.
struct Found {
    holds: bool,
    found: String,
    evidence: String,
}

/// Least peak of an export that was planted as heavy, in bytes.
const HEAVY_BYTES_MIN: f64 = 4.0 * 1024.0 * 1024.0;

/// All of them.
const TRUTHS: [Truth; 7] = [
    Truth {
        name: "1 POST /orders calls the warehouse once per line",
        expected: "messages cost more than the work: merge store and warehouse, or batch the call",
        look: chatty_orders,
    },
    Truth {
        name: "2 POST /closing/{month} eats CPU in bursts beside short requests",
        expected: "split it out of accounting",
        look: bursty_closing,
    },
    Truth {
        name: "3 GET /search is hot and read-only",
        expected: "replicate it with its own copy of what it reads",
        look: hot_search,
    },
    Truth {
        name: "4 GET /export/{month} holds much memory",
        expected: "its peak is shown, and no merge copies it into more processes",
        look: heavy_export,
    },
    Truth {
        name: "5 accounting and store talk little and scale apart",
        expected: "keep them apart",
        look: keep_apart,
    },
    Truth {
        name: "6 product stands in three databases",
        expected: "shown with storage, messages and parallel logic",
        look: repeated_product,
    },
    Truth {
        name: "7 background and idle work",
        expected: "visible as rows of their own",
        look: background_and_idle,
    },
];

/// A document and who is who in it.
struct Look<'a> {
    document: &'a Document,
    placement: &'a Placement,
}

impl Look<'_> {
    fn service(&self, component: Component) -> Option<&str> {
        self.placement
            .process_of(component)
            .map(|process| process.name.as_str())
    }

    /// The services of two components, unless they are one.
    fn apart(&self, one: Component, other: Component) -> Option<(&str, &str)> {
        let (one, other) = (self.service(one)?, self.service(other)?);
        (one != other).then_some((one, other))
    }

    fn recommendation(
        &self,
        kind: RecommendationKind,
        fits: impl Fn(&Recommendation) -> bool,
    ) -> Option<&Recommendation> {
        let mut fitting: Vec<_> = find::of_kind(self.document, kind)
            .filter(|r| fits(r))
            .collect();
        fitting.sort_by_key(|r| !find::acts(r));
        fitting.first().copied()
    }
}

/// Looks for all of them.
pub(super) fn look_for_all(placement: &Placement, document: &Document) -> Vec<Line> {
    let look = Look {
        document,
        placement,
    };
    TRUTHS
        .iter()
        .map(|truth| {
            let found = (truth.look)(&look);
            Line {
                name: truth.name.to_owned(),
                expected: truth.expected.to_owned(),
                holds: found.as_ref().map(|found| found.holds),
                found: found
                    .as_ref()
                    .map_or_else(|| "not in this placement".to_owned(), |f| f.found.clone()),
                evidence: found.map_or_else(String::new, |f| f.evidence),
            }
        })
        .collect()
}

fn missing(what: &str) -> Option<Found> {
    Some(Found {
        holds: false,
        found: format!("no {what}"),
        evidence: String::new(),
    })
}

fn chatty_orders(look: &Look<'_>) -> Option<Found> {
    let (store, warehouse) = look.apart(Component::Orders, Component::Stock)?;
    let Some(edge) = find::edge(look.document, "POST /orders", "POST /reservations") else {
        return missing("edge from POST /orders to POST /reservations");
    };
    let merge = look.recommendation(RecommendationKind::Merge, |r| {
        find::touches(r, store) && find::touches(r, warehouse)
    });
    let batch = look.recommendation(RecommendationKind::Batch, |r| {
        r.subjects
            .iter()
            .any(|s| s.row == edge.id || s.name == "POST /orders")
    });
    let acting: Vec<&Recommendation> = [merge, batch]
        .into_iter()
        .flatten()
        .filter(|r| find::acts(r))
        .collect();
    let dearer = match (edge.overhead.value, edge.work.value) {
        (Some(overhead), Some(work)) => overhead > work,
        _ => false,
    };
    let said = acting.first().copied().or(merge).or(batch);
    Some(Found {
        holds: dearer && !acting.is_empty(),
        found: said.map_or_else(|| "no recommendation".to_owned(), find::words),
        evidence: format!(
            "{:.1} calls an order; a call costs {} in messages and {} in work",
            edge.calls_per_request.value.unwrap_or(f64::NAN),
            find::time(&edge.overhead),
            find::time(&edge.work)
        ),
    })
}

fn bursty_closing(look: &Look<'_>) -> Option<Found> {
    let accounting = look.service(Component::Closing)?;
    if look.apart(Component::Closing, Component::Ledger).is_some() {
        return None;
    }
    let split = look.recommendation(RecommendationKind::Split, |r| {
        find::names_operation(r, "POST /closing/{month}")
    });
    let operation = find::operation(look.document, accounting, "POST /closing/{month}");
    let burstiness = operation.map_or_else(String::new, |o| {
        format!(
            "{} a request, arrivals {:.0} times as bursty as random; ",
            find::time(&o.cpu_per_request.total),
            o.arrival_dispersion.value.unwrap_or(f64::NAN)
        )
    });
    Some(Found {
        holds: split.is_some_and(find::acts),
        found: split.map_or_else(|| "no split".to_owned(), find::words),
        evidence: format!(
            "{burstiness}{}",
            split.map_or_else(String::new, find::reason)
        ),
    })
}

fn hot_search(look: &Look<'_>) -> Option<Found> {
    let replicate = look.recommendation(RecommendationKind::Replicate, |r| {
        find::names_operation(r, "GET /search")
    });
    Some(Found {
        holds: replicate.is_some_and(find::acts),
        found: replicate.map_or_else(|| "no replication".to_owned(), find::words),
        evidence: replicate.map_or_else(String::new, find::reason),
    })
}

fn heavy_export(look: &Look<'_>) -> Option<Found> {
    let accounting = look.service(Component::Export)?;
    let Some(export) = find::operation(look.document, accounting, "GET /export/{month}") else {
        return missing("operation GET /export/{month}");
    };
    let peak = export.peak_live_max.value;
    let largest = look
        .document
        .services
        .iter()
        .flat_map(|service| &service.operations)
        .filter_map(|operation| operation.peak_live_max.value)
        .fold(0.0, f64::max);
    let copied = look.document.recommendations.iter().find(|r| {
        find::acts(r)
            && match r.kind {
                RecommendationKind::Merge => find::touches(r, accounting),
                RecommendationKind::Replicate => find::names_operation(r, "GET /export/{month}"),
                _ => false,
            }
    });
    Some(Found {
        holds: peak.is_some_and(|peak| peak >= HEAVY_BYTES_MIN && peak >= largest)
            && copied.is_none(),
        found: copied.map_or_else(
            || {
                format!(
                    "peak {}, no merge of {accounting}",
                    find::bytes(&export.peak_live_max)
                )
            },
            find::words,
        ),
        evidence: format!(
            "the largest peak of all operations is {:.1} MiB; {} allocated a request",
            largest / 1024.0 / 1024.0,
            find::bytes(&export.alloc_bytes)
        ),
    })
}

fn keep_apart(look: &Look<'_>) -> Option<Found> {
    let (store, accounting) = look.apart(Component::Orders, Component::Ledger)?;
    let both = |r: &Recommendation| find::touches(r, store) && find::touches(r, accounting);
    let keep = look.recommendation(RecommendationKind::Keep, both);
    let merged = look.recommendation(RecommendationKind::Merge, |r| both(r) && find::acts(r));
    let kept = keep.filter(|r| r.verdict != Verdict::CannotSay);
    let said = merged.or(keep);
    Some(Found {
        holds: kept.is_some() && merged.is_none(),
        found: said.map_or_else(|| "nothing said of the pair".to_owned(), find::words),
        evidence: said.map_or_else(String::new, find::reason),
    })
}

fn repeated_product(look: &Look<'_>) -> Option<Found> {
    let Some(product) = look
        .document
        .entities
        .iter()
        .find(|e| e.entity == "product")
    else {
        return missing("entity `product`");
    };
    let databases: std::collections::BTreeSet<&str> = product
        .places
        .iter()
        .map(|place| place.database.as_str())
        .collect();
    let sized = product
        .places
        .iter()
        .all(|place| place.size.value.is_some_and(|b| b > 0.0));
    let costs = product.cost.as_ref().filter(|cost| {
        [&cost.storage, &cost.messages, &cost.apply_cpu]
            .into_iter()
            .all(|figure| figure.value.is_some_and(|value| value > 0.0))
    });
    Some(Found {
        holds: databases.len() == 3
            && sized
            && product.finding == CopyFinding::Copies
            && costs.is_some(),
        found: format!(
            "in {} databases, {}",
            databases.len(),
            match product.finding {
                CopyFinding::Copies => "shown to be copies",
                CopyFinding::SameNameOnly => "not shown to be copies",
                CopyFinding::Single => "in one place only",
            }
        ),
        evidence: costs.map_or_else(
            || "the cost of the copies is not known".to_owned(),
            |cost| {
                format!(
                    "copies take {}, {:.1} messages/s, {:.4} cores to carry and {:.4} cores to apply",
                    find::bytes(&cost.storage),
                    cost.messages.value.unwrap_or(f64::NAN),
                    cost.message_cpu.value.unwrap_or(f64::NAN),
                    cost.apply_cpu.value.unwrap_or(f64::NAN)
                )
            },
        ),
    })
}

fn background_and_idle(look: &Look<'_>) -> Option<Found> {
    let mut rows = Vec::new();
    let mut everywhere = true;
    for process in &look.placement.processes {
        let Some(service) = find::service(look.document, &process.name) else {
            return missing(&format!("service `{}`", process.name));
        };
        let names: Vec<&str> = service
            .owners
            .iter()
            .filter(|owner| owner.owner_kind == "background" && owner.name != MAIN_OWNER)
            .filter(|owner| owner.cpu.total.value.is_some_and(|ns| ns > 0.0))
            .map(|owner| owner.name.as_str())
            .collect();
        everywhere &= !names.is_empty();
        rows.extend(names.iter().map(|name| format!("{}: {name}", process.name)));
    }
    let idle: Vec<String> = look
        .document
        .capacity
        .services
        .iter()
        .filter_map(|service| {
            let now = service
                .points
                .iter()
                .find(|point| point.load_factor == 1.0)?;
            let used = now.utilisation.value?;
            (used < 1.0).then(|| format!("{} idle {:.0} %", service.service, (1.0 - used) * 100.0))
        })
        .collect();
    Some(Found {
        holds: everywhere && idle.len() >= look.placement.processes.len(),
        found: format!("{} background owners", rows.len()),
        evidence: format!("{}; {}", rows.join(", "), idle.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use weighbridge_reports::Options;
    use weighbridge_wire::{FoldedRange, Window};

    use super::*;
    use crate::placement::{DEFAULT_TOML, MERGED_STORE_WAREHOUSE_TOML, SPLIT_CLOSING_TOML};

    fn look_at_nothing(placement: &str) -> Vec<Option<bool>> {
        let window = Window {
            start_unix_ns: 0,
            end_unix_ns: 1_000_000_000,
        };
        let range = FoldedRange {
            window,
            windows: Vec::new(),
        };
        let document = Document::build(&range, &Options::default());
        let placement = Placement::parse(placement).expect("parses");
        look_for_all(&placement, &document)
            .into_iter()
            .map(|line| line.holds)
            .collect()
    }

    #[test]
    fn an_empty_report_finds_nothing_that_was_planted() {
        assert_eq!(look_at_nothing(DEFAULT_TOML), [Some(false); 7]);
    }

    #[test]
    fn what_a_placement_removes_is_not_looked_for() {
        let merged = look_at_nothing(MERGED_STORE_WAREHOUSE_TOML);
        assert_eq!(
            merged[0], None,
            "no messages between store and warehouse any more"
        );
        let split = look_at_nothing(SPLIT_CLOSING_TOML);
        assert_eq!(split[1], None, "closing stands alone already");
        assert_eq!(merged[1], Some(false));
    }
}
