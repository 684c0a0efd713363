//! A rollup without names: what a report that leaves the house may hold.
//!
//! Every name of a service, operation, peer, entity, host and so on becomes a short hash, the same everywhere, so
//! that edges still join; words with a fixed meaning stay. The hash is keyed with the rollup itself: who holds the
//! report alone cannot try names.

use std::collections::BTreeSet;
use std::sync::Arc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use weighbridge_wire::{
    FoldedRange, FoldedWindow, OTHER, OwnerKind, RowKey, RowKind, RowSet, ServiceId,
};

/// Parts of keys that hold words with a fixed meaning.
const FIXED: [&str; 12] = [
    "owner_kind",
    "side",
    "mode",
    "transport",
    "direction",
    "size_class",
    "access",
    "scope",
    "clock_mode",
    "agent_version",
    "place",
    "reason",
];

/// First words of operations that say what kind of work it is.
const METHODS: [&str; 12] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "CONSUME",
    "PUBLISH", "JOB",
];

/// The same figures under hashed names. Rows of kinds that this version does not know are left out: nobody can say
/// what stands in their keys.
#[must_use]
pub fn redact(range: &FoldedRange) -> FoldedRange {
    let names = Names {
        key: Sha256::digest(range.encode()).into(),
        calls: calls(range),
    };
    let mut windows: Vec<FoldedWindow> = range
        .windows
        .iter()
        .map(|folded| FoldedWindow {
            service: names.service(&folded.service),
            window: folded.window,
            rows: names.rows(&folded.rows),
        })
        .collect();
    windows.sort_by(|a, b| (a.window, &a.service).cmp(&(b.window, &b.service)));
    FoldedRange {
        window: range.window,
        windows,
    }
}

/// The ids of all calls: signatures of call shapes are made of them.
fn calls(range: &FoldedRange) -> BTreeSet<Arc<str>> {
    let mut calls = BTreeSet::new();
    for folded in &range.windows {
        for (key, _) in folded.rows.iter() {
            let names = RowKind::from_wire(key.kind).map_or(&[][..], RowKind::part_names);
            let ids = names
                .iter()
                .zip(&key.parts)
                .filter(|(name, _)| **name == "call_id");
            calls.extend(ids.map(|(_, id)| id.clone()));
        }
    }
    calls
}

struct Names {
    key: [u8; 32],
    calls: BTreeSet<Arc<str>>,
}

impl Names {
    /// Sixteen hexadecimal digits for a name.
    fn hash(&self, name: &str) -> String {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else {
            return String::new();
        };
        mac.update(name.as_bytes());
        let digest = mac.finalize().into_bytes();
        digest
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// A name as it is shown: half of its hash. An operation keeps the word that says what kind of work it is.
    fn name(&self, name: &str) -> String {
        if name.is_empty() || name == OTHER {
            return name.to_owned();
        }
        let hash = self.hash(name);
        let short = hash.get(..8).unwrap_or(&hash);
        match name.split_once(' ') {
            Some((method, _)) if METHODS.contains(&method) => format!("{method} ~{short}"),
            _ => format!("~{short}"),
        }
    }

    fn service(&self, service: &ServiceId) -> ServiceId {
        ServiceId {
            tenant: self.name(&service.tenant),
            namespace: self.name(&service.namespace),
            environment: self.name(&service.environment),
            service: self.name(&service.service),
            version: self.name(&service.version),
        }
    }

    fn rows(&self, rows: &RowSet) -> RowSet {
        let mut redacted = RowSet::new();
        for (key, value) in rows.iter() {
            if let Some(kind) = RowKind::from_wire(key.kind) {
                redacted.add(self.row_key(kind, key), value);
            }
        }
        redacted
    }

    fn row_key(&self, kind: RowKind, key: &RowKey) -> RowKey {
        let names = kind.part_names();
        let parts = key.parts.iter().enumerate().map(|(at, part)| -> Arc<str> {
            match names.get(at).copied() {
                Some(name) if FIXED.contains(&name) => part.clone(),
                // The index of a step.
                Some("step") => part.clone(),
                Some("call_id") if !part.is_empty() => self.hash(part).into(),
                Some("signature") => self.signature(part).into(),
                Some("name") if kind == RowKind::Owner && is_ours(key) => part.clone(),
                _ => self.name(part).into(),
            }
        });
        RowKey {
            kind: key.kind,
            quality: key.quality,
            parts: parts.collect(),
        }
    }

    /// A signature with the ids of its calls hashed like the calls themselves.
    fn signature(&self, signature: &str) -> String {
        let is_id = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let mut shown = String::new();
        let mut rest = signature;
        while let Some(c) = rest.chars().next() {
            let word = rest.find(|c| !is_id(c)).unwrap_or(rest.len());
            if word == 0 {
                shown.push(c);
                rest = rest.get(c.len_utf8()..).unwrap_or_default();
                continue;
            }
            let (id, after) = rest.split_at(word);
            if self.calls.contains(id) {
                shown.push_str(&self.hash(id));
            } else {
                shown.push_str(id);
            }
            rest = after;
        }
        shown
    }
}

/// Owners that this software names, and nobody else.
fn is_ours(key: &RowKey) -> bool {
    let kind = key.parts.first().map(|part| &**part);
    [
        OwnerKind::Agent,
        OwnerKind::Runtime,
        OwnerKind::Unattributed,
    ]
    .iter()
    .any(|ours| kind == Some(ours.as_str()))
}

#[cfg(test)]
mod tests {
    use weighbridge_wire::{
        CallShapeKey, CallStepKey, EdgeKey, LossKey, OperationKey, OwnerKey, ProcessKey, Quality,
        RowValue, Window, column,
    };

    use super::*;
    use crate::{Document, Options, formats, html};

    const SECRETS: [&str; 9] = [
        "jane@example.org",
        "ledger-host-7",
        "tenant-x",
        "acme-cart",
        "acme-stock",
        "checkout",
        "orders_table",
        "4711",
        "deadbeefdeadbeef",
    ];

    fn range() -> FoldedRange {
        let mut rows = RowSet::new();
        let operation = "POST /acme-cart/checkout/jane@example.org/4711";
        let key = OperationKey {
            component: "acme-cart".into(),
            operation: operation.into(),
            class: "checkout".into(),
            caller_service: "".into(),
            caller_operation: "".into(),
            origin_service: "acme-cart".into(),
            origin_operation: operation.into(),
        };
        let value = RowValue::new()
            .with(column::STARTED, 500)
            .with(column::ENDED, 500)
            .with(column::CPU_HANDLER_NS, 1_000_000);
        rows.add(key.row_key(Quality::Measured), &value);
        let edge = EdgeKey {
            side: "caller".into(),
            mode: "sync".into(),
            transport: "http".into(),
            component: "acme-cart".into(),
            operation: operation.into(),
            class: "checkout".into(),
            peer_service: "acme-stock".into(),
            peer_operation: "GET /orders_table/4711".into(),
            call_id: "deadbeefdeadbeef".into(),
            peer: "acme-stock".into(),
            target: "/orders_table/4711".into(),
            origin_service: "acme-cart".into(),
            origin_operation: operation.into(),
        };
        let value = RowValue::new()
            .with(column::REQUEST_MESSAGES, 500)
            .with(column::RESPONSE_MESSAGES, 500);
        rows.add(edge.row_key(Quality::Measured), &value);
        let shape = CallShapeKey {
            operation: operation.into(),
            class: "checkout".into(),
            signature: "deadbeefdeadbeef".into(),
        };
        let value = RowValue::new()
            .with(column::COUNT, 500)
            .with(column::WALL_NS, 5_000_000);
        rows.add(shape.row_key(Quality::Measured), &value);
        let step = CallStepKey {
            operation: operation.into(),
            class: "checkout".into(),
            signature: "deadbeefdeadbeef".into(),
            step: "0".into(),
            call_id: "deadbeefdeadbeef".into(),
        };
        rows.add(step.row_key(Quality::Measured), &value);
        let process = ProcessKey {
            instance: "acme-cart-4711".into(),
            host: "ledger-host-7".into(),
            epoch: "4711".into(),
            clock_mode: "rseq".into(),
            agent_version: "0.1.0".into(),
        };
        let value = RowValue::new().with(column::CPU_PROCESS_NS, 1_500_000);
        rows.add(process.row_key(Quality::Measured), &value);
        let owner = |owner_kind: OwnerKind, name: &str| OwnerKey {
            owner_kind: owner_kind.as_str().into(),
            name: name.into(),
        };
        let value = RowValue::new().with(column::CPU_HANDLER_NS, 250_000);
        for owner in [
            owner(OwnerKind::Background, "acme-cart"),
            owner(OwnerKind::Runtime, "runtime or unwrapped"),
        ] {
            rows.add(owner.row_key(Quality::Measured), &value);
        }
        let loss = LossKey {
            place: "collector.deltas".into(),
            reason: "never came".into(),
        };
        rows.add(
            loss.row_key(Quality::Measured),
            &RowValue::new().with(column::LOST, 1),
        );
        let unknown = RowKey {
            kind: 900,
            quality: Quality::Measured,
            parts: ["jane@example.org".into()].into(),
        };
        rows.add(unknown, &RowValue::new().with(4, 1));
        let window = |n: u64| Window {
            start_unix_ns: n * 10_000_000_000,
            end_unix_ns: (n + 1) * 10_000_000_000,
        };
        let windows = (100..140).map(|n| FoldedWindow {
            service: ServiceId {
                tenant: "tenant-x".into(),
                service: "acme-cart".into(),
                ..ServiceId::default()
            },
            window: window(n),
            rows: rows.clone(),
        });
        FoldedRange {
            window: window(100).cover(window(139)),
            windows: windows.collect(),
        }
    }

    #[test]
    fn s19_a_redacted_report_holds_no_name_and_every_figure() {
        let range = range();
        let redacted = redact(&range);
        let document = Document::build(&redacted, &Options::default());
        let mut all = vec![
            formats::json(&document).unwrap(),
            html::render(&document),
            formats::markdown(&document),
        ];
        all.extend(formats::csv(&document).into_iter().map(|table| table.text));
        for text in &all {
            for secret in SECRETS {
                assert!(!text.contains(secret), "{secret}");
            }
        }
        // The plain one does hold them, so the search is one.
        let plain = Document::build(&range, &Options::default());
        let text = formats::json(&plain).unwrap();
        assert!(text.contains("acme-cart") && text.contains("deadbeefdeadbeef"));
        let cpu = |document: &Document| -> Vec<String> {
            let value = serde_json::to_value(&document.services).unwrap();
            let services = value.as_array().unwrap().clone();
            services
                .iter()
                .map(|service| service["operations"][0]["cpu_cores"]["value"].to_string())
                .collect()
        };
        assert_eq!(cpu(&plain), cpu(&document));
        assert!(
            !cpu(&plain).contains(&"null".to_owned()),
            "{:?}",
            cpu(&plain)
        );
        assert_eq!(plain.edges.len(), document.edges.len());
        assert!(all[0].contains("POST ~"), "the kind of work stays");
        assert_eq!(
            redact(&range),
            redacted,
            "the same bytes for the same rollup"
        );
    }
}
