//! From spans to rows and halves.

use std::collections::hash_map::Entry;
use std::hash::{Hash as _, Hasher as _};
use std::ops::Range;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHasher};
use weighbridge_wire::{
    DistributionKey, Histogram, LossKey, OTHER, Quality, RowSet, RowValue, ServiceId, Window,
    column, scope,
};

use super::attributes::ResourceAttributes;
use super::counters::PLACE;
use super::derived::{Derived, NONE, Party, Target};
use super::name;
use super::rows::{self, Figures};
use super::spans::{Kind, LinkIds, Span, TakeSpans};
use crate::join::{Offer, Want, key_of, root_key_of};

/// Most operations and targets that one request may name; the rest becomes `__other__`.
const NAMES_MAX: usize = 4_096;
/// Most steps from a span up to the request around it.
const STEPS_MAX: usize = 64;
/// Longest time that a span may say it took, ns: a day.
const WALL_NS_MAX: u64 = 86_400_000_000_000;

/// What is not as it came, by the reason of its loss row.
const CLAMPED: &str = "ended before it started; its time is taken as 0";
const FOLDED: &str =
    "spans of more operations and calls than one request may name, folded into __other__";
const UNLINKED: &str = "links beyond the 128 of a consumer that are read";

/// What is allowed, and for whom.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// From the token.
    pub(crate) tenant: Arc<str>,
    /// Length of windows, ns.
    pub(crate) window_ns: u64,
    /// Earliest and latest end of a span, ns since the Unix epoch.
    pub(crate) not_before_unix_ns: u64,
    pub(crate) not_after_unix_ns: u64,
}

/// What became of the spans of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Taken in.
    pub(crate) spans: u64,
    /// Without valid ids.
    pub(crate) invalid: u64,
    /// Beyond the lateness horizon.
    pub(crate) too_old: u64,
    /// In the future.
    pub(crate) ahead: u64,
    /// Points of processes beyond what one request may tell of.
    pub(crate) too_many: u64,
    /// Left out because they had come before.
    pub(crate) duplicates: u64,
}

impl Tally {
    pub(crate) fn rejected(&self) -> u64 {
        self.invalid + self.too_old + self.ahead + self.too_many
    }
}

/// One span, until its resource is complete.
struct Local {
    key: u64,
    parent: u64,
    root: u64,
    /// The request that it is, or `NONE`.
    op: u32,
    /// The call or statement that it is, or `NONE`.
    target: u32,
    window_s: u32,
    start_unix_ns: u64,
    end_unix_ns: u64,
    kind: Kind,
    is_request: bool,
    figures: Figures,
    /// Where in [`Derive::links`] stands what a consumer says that it consumed.
    links: Range<usize>,
}

/// A span that a consumer names, and the beginning of its trace.
#[derive(Clone, Copy)]
struct Linked {
    key: u64,
    root: u64,
}

/// What the words of a span come to.
#[derive(Clone, Copy)]
struct Named {
    /// The request that it is, or `NONE`.
    op: u32,
    /// The call or statement that it is, or `NONE`.
    target: u32,
    /// It has no name of its own, for there are too many.
    is_folded: bool,
}

/// Where a span stands.
struct Place {
    /// One bit for each kind of span that has this key: the two ends of a call may share an id.
    kinds: u8,
    /// The resource that the last of them is of, and where it stands among its spans.
    resource: u32,
    at: u32,
}

/// Turns spans into a [`Derived`].
pub(crate) struct Derive<'s> {
    rules: &'s Rules,
    /// Keys of spans that came before.
    skip: &'s dyn Fn(u64, Kind) -> bool,
    pub(crate) tally: Tally,
    derived: Derived,
    tenant_hash: u64,
    service: Arc<ServiceId>,
    spans: Vec<Local>,
    links: Vec<Linked>,
    /// Spans by key.
    places: FxHashMap<u64, Place>,
    /// How many resources ended.
    resource: u32,
    parties: FxHashMap<Party, u32>,
    targets: FxHashMap<Target, u32>,
    /// By the hash of what names a span.
    known: FxHashMap<u64, Named>,
    requests: FxHashMap<(u32, u32), Figures>,
    called: FxHashMap<(u32, u32, u32), Figures>,
    walls: FxHashMap<(u32, u32, bool), Histogram>,
    /// What is lost of the spans of this resource, by window and reason.
    losing: FxHashMap<(u32, &'static str), i64>,
    lost: Vec<(Arc<ServiceId>, u32, &'static str, i64)>,
}

impl<'s> Derive<'s> {
    pub(crate) fn new(rules: &'s Rules, skip: &'s dyn Fn(u64, Kind) -> bool) -> Self {
        let mut hasher = FxHasher::default();
        rules.tenant.hash(&mut hasher);
        Self {
            rules,
            skip,
            tally: Tally::default(),
            derived: Derived::default(),
            tenant_hash: hasher.finish(),
            service: Arc::default(),
            spans: Vec::new(),
            links: Vec::new(),
            places: FxHashMap::default(),
            resource: 0,
            parties: FxHashMap::default(),
            targets: FxHashMap::default(),
            known: FxHashMap::default(),
            requests: FxHashMap::default(),
            called: FxHashMap::default(),
            walls: FxHashMap::default(),
            losing: FxHashMap::default(),
            lost: Vec::new(),
        }
    }

    fn party(&mut self, operation: &str) -> Named {
        let mut party = Party {
            service: self.service.clone(),
            operation: operation.into(),
        };
        let is_folded = self.parties.len() >= NAMES_MAX && !self.parties.contains_key(&party);
        if is_folded {
            party.operation = OTHER.into();
        }
        Named {
            op: intern(&mut self.parties, &mut self.derived.parties, party),
            target: NONE,
            is_folded,
        }
    }

    fn target(&mut self, mut target: Target) -> Named {
        let is_folded = self.targets.len() >= NAMES_MAX && !self.targets.contains_key(&target);
        if is_folded {
            target = name::other(target);
        }
        Named {
            op: NONE,
            target: intern(&mut self.targets, &mut self.derived.targets, target),
            is_folded,
        }
    }

    /// The operation and the target of a span, by its words alone.
    fn names(&mut self, span: &Span<'_>) -> Named {
        let hash = name::hash(span);
        if let Some(&known) = self.known.get(&hash) {
            return known;
        }
        let nothing = Named {
            op: NONE,
            target: NONE,
            is_folded: false,
        };
        let named = match span.kind {
            Kind::Server | Kind::Consumer => self.party(&name::operation(span)),
            Kind::Internal if span.parent.iter().all(|byte| *byte == 0) => {
                self.party(&name::job(span))
            }
            Kind::Internal => nothing,
            Kind::Client | Kind::Producer => match name::target(span, &self.service) {
                Some(target) => self.target(target),
                None => nothing,
            },
        };
        self.known.insert(hash, named);
        named
    }

    /// The request around a span: its operation, or the missing span through which it may be found.
    fn around(&self, from: &Local) -> (u32, u64) {
        let mut parent = from.parent;
        for _ in 0..STEPS_MAX {
            if parent == 0 {
                return (NONE, 0);
            }
            match self
                .places
                .get(&parent)
                .filter(|place| place.resource == self.resource)
                .and_then(|place| self.spans.get(place.at as usize))
            {
                None => return (NONE, parent),
                Some(found) if found.is_request => return (found.op, 0),
                Some(found) => parent = found.parent,
            }
        }
        (NONE, 0)
    }

    /// Keeps what a consumer names; where it stands.
    fn take_links(&mut self, links: &[LinkIds<'_>]) -> Range<usize> {
        let (begin, seed) = (self.links.len(), self.tenant_hash);
        self.links.extend(links.iter().filter_map(|(trace, id)| {
            let trace = <&[u8; 16]>::try_from(*trace).ok()?;
            let id = <&[u8; 8]>::try_from(*id).ok()?;
            Some(Linked {
                key: key_of(seed, trace, id),
                root: root_key_of(seed, trace),
            })
        }));
        begin..self.links.len()
    }

    /// Gives the next span its place; false when it came before in this request.
    fn place(&mut self, key: u64, kind: Kind) -> bool {
        let (bit, resource) = (1 << kind as u8, self.resource);
        let at = u32::try_from(self.spans.len()).unwrap_or(NONE);
        let place = self.places.entry(key).or_insert(Place {
            kinds: 0,
            resource,
            at,
        });
        if place.kinds & bit != 0 {
            return false;
        }
        *place = Place {
            kinds: place.kinds | bit,
            resource,
            at,
        };
        true
    }

    fn settle(&mut self, at: usize) {
        let Some(span) = self.spans.get(at) else {
            return;
        };
        let (own, missing) = if span.is_request {
            (span.op, 0)
        } else {
            self.around(span)
        };
        let is_entity = matches!(
            self.derived.targets.get(span.target as usize),
            Some(Target::Entity { .. })
        );
        self.derived.offers.push(Offer {
            key: span.key,
            via: missing,
            end_unix_ns: span.end_unix_ns,
            op: own,
            call: if is_entity { NONE } else { span.target },
            kind: span.kind as u8,
        });
        let want = Want {
            key: 0,
            root: span.root,
            subject: span.target,
            op: own,
            call: NONE,
            window_s: span.window_s,
            wall_ns: span.figures.wall_ns.unsigned_abs(),
            start_unix_ns: span.start_unix_ns,
            request_bytes: known_bytes(span.figures.request_bytes),
            response_bytes: known_bytes(span.figures.response_bytes),
            count: u32::try_from(span.figures.count).unwrap_or(u32::MAX),
            flags: 0,
            retries: u8::try_from(span.figures.retries).unwrap_or(u8::MAX),
        }
        .with_outcome(span.figures.errors > 0, span.figures.client_errors > 0);
        if span.is_request {
            let op = span.op;
            let links = self.links.get(span.links.clone()).unwrap_or_default();
            let first = links.first();
            let is_root = span.parent == 0 && first.is_none();
            // The whole trace asks for its first request. Where that consumed a message of another trace, the chain
            // goes on there.
            let link_root = first.map_or(0, |link| link.root);
            if is_root || (span.parent == 0 && link_root != span.root) {
                self.derived.offers.push(Offer {
                    key: span.root,
                    via: link_root,
                    end_unix_ns: 0,
                    op,
                    call: NONE,
                    kind: Offer::ROOT,
                });
            }
            let (key, root) = match first {
                Some(link) => (link.key, link.root),
                None => (span.parent, span.root),
            };
            let mut asks = Want {
                key,
                root,
                subject: op,
                op: NONE,
                ..want
            };
            if links.len() > 1 {
                // What is told of the whole batch is not that of one message.
                asks.request_bytes = NONE;
            }
            if key != 0 {
                self.derived.wants.push(asks);
            }
            for link in links.iter().skip(1) {
                let message = Want {
                    key: link.key,
                    root: link.root,
                    wall_ns: 0,
                    ..asks
                };
                self.derived.wants.push(message.further());
            }
            self.requests
                .entry((op, span.window_s))
                .or_default()
                .add(&span.figures);
            self.walls
                .entry((op, span.window_s, is_root))
                .or_default()
                .record(span.figures.wall_ns.unsigned_abs());
        } else if span.target != NONE {
            let (target, window_s, figures) = (span.target, span.window_s, span.figures);
            if own == NONE {
                if missing != 0 {
                    self.derived.wants.push(want.of_target(missing, is_entity));
                }
            } else if !is_entity && span.root != span.parent {
                // The origin is still to be found.
                self.derived
                    .wants
                    .push(want.of_target(span.root, is_entity).at_root());
            }
            self.called
                .entry((target, own, window_s))
                .or_default()
                .add(&figures);
        }
    }

    /// The rows.
    pub(crate) fn finish(mut self) -> (Derived, Tally) {
        let mut windows: FxHashMap<(u32, Arc<ServiceId>), RowSet> = FxHashMap::default();
        let parties = std::mem::take(&mut self.derived.parties);
        let targets = std::mem::take(&mut self.derived.targets);
        let mut put = |window_s: u32, service: &Arc<ServiceId>, (key, value): (_, RowValue)| {
            windows
                .entry((window_s, service.clone()))
                .or_default()
                .add(key, &value);
        };
        for ((op, window_s), figures) in &self.requests {
            if let Some(own) = parties.get(*op as usize) {
                put(
                    *window_s,
                    &own.service,
                    rows::request(own, None, None, figures),
                );
            }
        }
        for ((target, op, window_s), figures) in &self.called {
            if let Some(target) = targets.get(*target as usize) {
                let own = parties.get(*op as usize);
                let row = rows::called(target, own, None, figures);
                put(*window_s, rows::service_of(target), row);
            }
        }
        for ((op, window_s, is_root), histogram) in &self.walls {
            let Some(own) = parties.get(*op as usize) else {
                continue;
            };
            let scopes: &[&str] = if *is_root {
                &[scope::ALL, scope::ROOT]
            } else {
                &[scope::ALL]
            };
            for scope in scopes {
                let key = DistributionKey {
                    component: "".into(),
                    operation: own.operation.clone(),
                    class: "".into(),
                    scope: (*scope).into(),
                };
                let mut value = RowValue::new();
                value.histogram_mut(column::HIST_WALL_NS).merge(histogram);
                put(
                    *window_s,
                    &own.service,
                    (key.row_key(Quality::Measured), value),
                );
            }
        }
        for (service, window_s, reason, count) in &self.lost {
            let key = LossKey {
                place: PLACE.into(),
                reason: (*reason).into(),
            };
            let value = RowValue::new().with(column::LOST, *count);
            put(*window_s, service, (key.row_key(Quality::Measured), value));
        }
        let mut windows: Vec<_> = windows
            .into_iter()
            .map(|((window_s, service), rows)| {
                let start_unix_ns = u64::from(window_s) * 1_000_000_000;
                let window = Window {
                    start_unix_ns,
                    end_unix_ns: start_unix_ns + self.rules.window_ns,
                };
                (window, service, rows)
            })
            .collect();
        windows.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        self.derived.windows = windows;
        self.derived.parties = parties;
        self.derived.targets = targets;
        (self.derived, self.tally)
    }
}

fn known_bytes((known, bytes): (i64, i64)) -> u32 {
    if known == 0 {
        return NONE;
    }
    u32::try_from(bytes).unwrap_or(NONE)
}

fn intern<T: Clone + Eq + std::hash::Hash>(
    index: &mut FxHashMap<T, u32>,
    list: &mut Vec<T>,
    item: T,
) -> u32 {
    match index.entry(item) {
        Entry::Occupied(found) => *found.get(),
        Entry::Vacant(place) => {
            let at = u32::try_from(list.len()).unwrap_or(NONE);
            list.push(place.key().clone());
            *place.insert(at)
        }
    }
}

/// Whose spans or points these are.
pub(crate) fn service_id(tenant: &str, resource: &ResourceAttributes<'_>) -> ServiceId {
    let text = |bytes: Option<&[u8]>| {
        let text = String::from_utf8_lossy(bytes.unwrap_or_default());
        text.chars()
            .filter(|c| !c.is_control())
            .take(128)
            .collect::<String>()
    };
    let service = match text(resource.service) {
        name if name.is_empty() => match text(resource.deployment) {
            name if name.is_empty() => "unknown_service".to_owned(),
            name => name,
        },
        name => name,
    };
    ServiceId {
        tenant: tenant.to_owned(),
        namespace: text(resource.namespace),
        environment: text(resource.environment),
        service,
        version: text(resource.version),
    }
}

impl TakeSpans for Derive<'_> {
    fn resource(&mut self, attributes: &ResourceAttributes<'_>) {
        let service = service_id(&self.rules.tenant, attributes);
        if *self.service != service {
            self.service = Arc::new(service);
        }
        // The names of a span mean another operation at another service.
        self.known.clear();
    }

    #[inline]
    fn span(&mut self, span: &Span<'_>) {
        let (Ok(trace), Ok(id)) = (
            <&[u8; 16]>::try_from(span.trace),
            <&[u8; 8]>::try_from(span.id),
        ) else {
            self.tally.invalid += 1;
            return;
        };
        if *trace == [0; 16] || *id == [0; 8] {
            self.tally.invalid += 1;
            return;
        }
        if span.end_unix_ns < self.rules.not_before_unix_ns {
            self.tally.too_old += 1;
            return;
        }
        if span.end_unix_ns > self.rules.not_after_unix_ns {
            self.tally.ahead += 1;
            return;
        }
        let key = key_of(self.tenant_hash, trace, id);
        if (self.skip)(key, span.kind) || !self.place(key, span.kind) {
            self.tally.duplicates += 1;
            return;
        }
        self.tally.spans += 1;
        let parent = match <&[u8; 8]>::try_from(span.parent) {
            Ok(parent) if *parent != [0; 8] => key_of(self.tenant_hash, trace, parent),
            _ => 0,
        };
        let named = self.names(span);
        let window_ns = self.rules.window_ns;
        let window_s = u32::try_from(span.end_unix_ns / window_ns * window_ns / 1_000_000_000)
            .unwrap_or(u32::MAX);
        let is_clamped = span.end_unix_ns < span.start_unix_ns;
        let (links, cut) = match span.kind {
            Kind::Consumer => (self.take_links(span.links), span.links_cut),
            _ => (0..0, 0),
        };
        for (reason, count) in [
            (CLAMPED, u64::from(is_clamped)),
            (FOLDED, u64::from(named.is_folded)),
            (UNLINKED, cut),
        ] {
            if count > 0 {
                *self.losing.entry((window_s, reason)).or_default() += count.cast_signed();
            }
        }
        let wall_ns = span
            .end_unix_ns
            .saturating_sub(span.start_unix_ns)
            .min(WALL_NS_MAX);
        let (is_error, is_client_error) = name::outcome(span);
        let bytes = |size: Option<i64>| {
            size.filter(|size| (0..i64::from(u32::MAX)).contains(size))
                .map_or((0, 0), |size| (1, size))
        };
        let attributes = &span.attributes;
        let count = match span.kind {
            Kind::Producer => attributes.messaging_batch.unwrap_or(1).clamp(1, 1 << 20),
            _ => 1,
        };
        self.spans.push(Local {
            key,
            parent,
            root: root_key_of(self.tenant_hash, trace),
            op: named.op,
            target: named.target,
            window_s,
            start_unix_ns: span.start_unix_ns,
            end_unix_ns: span.end_unix_ns,
            kind: span.kind,
            is_request: named.op != NONE,
            figures: Figures {
                count,
                errors: i64::from(is_error),
                client_errors: i64::from(is_client_error),
                wall_ns: wall_ns.cast_signed(),
                retries: i64::from(attributes.resend_count.is_some_and(|n| n > 0)),
                lag_ns: 0,
                request_bytes: bytes(
                    attributes
                        .request_body_bytes
                        .or(attributes.messaging_body_bytes),
                ),
                response_bytes: bytes(attributes.response_body_bytes),
            },
            links,
        });
    }

    fn resource_ends(&mut self) {
        for at in 0..self.spans.len() {
            self.settle(at);
        }
        self.spans.clear();
        self.links.clear();
        self.resource += 1;
        for ((window_s, reason), count) in self.losing.drain() {
            self.lost
                .push((self.service.clone(), window_s, reason, count));
        }
    }
}
