//! The registry of row kinds: their numbers, keys and columns.

use std::sync::Arc;

use crate::{Quality, RowKey, column};

/// What is known of a row kind.
#[derive(Clone, Copy, Debug)]
pub struct RowKindInfo {
    /// The kind.
    pub kind: RowKind,
    /// The word used in documents.
    pub name: &'static str,
    /// What its rows say.
    pub meaning: &'static str,
    /// The parts of its key in order: name and meaning.
    pub parts: &'static [(&'static str, &'static str)],
    /// The columns that its rows may carry today. A reader takes any.
    pub columns: &'static [u32],
}

macro_rules! row_kinds {
    ($(
        $(#[doc = $doc:literal])+
        $kind:ident = $n:literal, $name:literal, $key:ident {
            $($(#[doc = $fdoc:literal])+ $field:ident),+ $(,)?
        } columns [$($column:ident),+ $(,)?]
    )*) => {
        /// The known row kinds and their numbers on the wire.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u32)]
        pub enum RowKind { $($(#[doc = $doc])+ $kind = $n,)* }

        /// All known row kinds, by ascending number.
        pub const ALL_ROW_KINDS: &[RowKindInfo] = &[
            $(RowKindInfo {
                kind: RowKind::$kind,
                name: $name,
                meaning: concat!($($doc,)+),
                parts: &[$((stringify!($field), concat!($($fdoc,)+))),+],
                columns: &[$(column::$column),+],
            },)*
        ];

        impl RowKind {
            /// The kind for a number on the wire, if it is known.
            #[must_use]
            pub fn from_wire(n: u32) -> Option<Self> {
                match n { $($n => Some(Self::$kind),)* _ => None }
            }

            /// The number on the wire.
            #[must_use]
            pub fn to_wire(self) -> u32 { self as u32 }

            /// The word used in documents.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            /// The names of the parts of the key, in order.
            #[must_use]
            pub fn part_names(self) -> &'static [&'static str] {
                match self { $(Self::$kind => &[$(stringify!($field)),+],)* }
            }
        }

        $(
            $(#[doc = $doc])+
            #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub struct $key { $($(#[doc = $fdoc])+ pub $field: Arc<str>,)+ }

            impl $key {
                /// The key as a row key of this quality.
                #[must_use]
                pub fn row_key(self, quality: Quality) -> RowKey {
                    RowKey { kind: RowKind::$kind.to_wire(), quality, parts: [$(self.$field),+].into() }
                }

                /// Reads a row key of this kind. `None` when it is of another kind or has too few parts;
                /// parts that a later version added are ignored.
                #[must_use]
                pub fn read(key: &RowKey) -> Option<Self> {
                    if key.kind != RowKind::$kind.to_wire() { return None; }
                    let mut parts = key.parts.iter();
                    Some(Self { $($field: parts.next()?.clone(),)+ })
                }
            }
        )*
    };
}

row_kinds! {
    /// Costs of the requests of one operation, by who called and where the chain began.
    Operation = 1, "operation", OperationKey {
        /// Declared component; empty means that the service is one component.
        component,
        /// The operation, e.g. `GET /orders/{id}`.
        operation,
        /// Declared class; empty when none.
        class,
        /// Service that called; empty at an origin, or when the caller has no agent.
        caller_service,
        /// Operation that called.
        caller_operation,
        /// Service at which the chain began.
        origin_service,
        /// Operation at which the chain began.
        origin_operation,
    } columns [
        STARTED, ENDED, ERRORS, CLIENT_ERRORS, IN_FLIGHT_NS, WALL_NS, WAIT_CALL_NS, WAIT_STORE_NS,
        LATE_CPU_NS, CPU_HANDLER_NS, CPU_ENCODE_NS, CPU_DECODE_NS, CPU_PROTOCOL_NS, CPU_IO_NS,
        CPU_STORE_NS, ALLOC_BYTES, ALLOC_COUNT, FREED_BYTES, PEAK_LIVE_BYTES, PEAK_LIVE_SUM_BYTES,
        CPU_LOW_NS, CPU_HIGH_NS
    ]
    /// Costs that no request caused, or that cannot be told apart by request.
    Owner = 2, "owner", OwnerKey {
        /// `connection`, `pool`, `driver`, `background`, `runtime`, `agent` or `unattributed`.
        owner_kind,
        /// Which one.
        name,
    } columns [
        CPU_HANDLER_NS, CPU_ENCODE_NS, CPU_DECODE_NS, CPU_PROTOCOL_NS, CPU_IO_NS, CPU_STORE_NS,
        ALLOC_BYTES, ALLOC_COUNT, FREED_BYTES, RETAINED_BYTES, RETAINED_SUM_BYTES,
        RETAINED_ERROR_SUM_BYTES, RETAINED_MEAN_BYTES, SAMPLES
    ]
    /// One side of an edge. Figures are "of which": they stand in operation or owner rows too.
    Edge = 3, "edge", EdgeKey {
        /// `caller` or `callee`.
        side,
        /// `sync` or `async`.
        mode,
        /// `http`, `grpc`, `mqtt`, `local`, …
        transport,
        /// The component on this side.
        component,
        /// The operation on this side; empty when a background task calls.
        operation,
        /// Its declared class.
        class,
        /// Callee's side: the service that called. Caller's side: empty.
        peer_service,
        /// Callee's side: the operation that called. Caller's side: empty.
        peer_operation,
        /// Short id of the call, made by the caller, carried in the per-hop header.
        call_id,
        /// The peer as the caller names it.
        peer,
        /// Method and client-side template, or topic.
        target,
        /// Service at which the chain began.
        origin_service,
        /// Operation at which the chain began.
        origin_operation,
    } columns [
        ERRORS, CLIENT_ERRORS, CPU_ENCODE_NS, CPU_DECODE_NS, CPU_PROTOCOL_NS, CPU_IO_NS,
        REQUEST_MESSAGES, REQUEST_BODY_BYTES, REQUEST_WIRE_BYTES, RESPONSE_MESSAGES,
        RESPONSE_BODY_BYTES, RESPONSE_WIRE_BYTES, WAIT_NS, RETRIES, REDELIVERED, REDELIVERED_BYTES,
        CRITICAL_NS, WALL_NS
    ]
    /// Messages of one side of an edge by body size: class n holds sizes below 4^(n+1) bytes, class 11 the rest.
    EdgeSize = 4, "edge_size", EdgeSizeKey {
        /// `caller` or `callee`.
        side,
        /// Transport.
        transport,
        /// The operation on this side.
        operation,
        /// Callee's side: the service that called.
        peer_service,
        /// Callee's side: the operation that called.
        peer_operation,
        /// Short id of the call.
        call_id,
        /// `request` or `response`.
        direction,
        /// `0` to `11`.
        size_class,
    } columns [
        CPU_ENCODE_NS, CPU_DECODE_NS, CPU_PROTOCOL_NS, CPU_IO_NS, MESSAGES, BODY_BYTES
    ]
    /// How an operation uses an entity.
    Entity = 5, "entity", EntityKey {
        /// The component of the operation.
        component,
        /// The operation; empty for background work.
        operation,
        /// Its declared class.
        class,
        /// The database, as the service names it.
        database,
        /// The entity.
        entity,
        /// `read` or `write`.
        access,
    } columns [
        ERRORS, WAIT_STORE_NS, CPU_STORE_NS, STATEMENTS, ROWS, BYTES, KEYS_ONE, KEYS_TWO, KEYS_MORE,
        KEY_TOUCHES, KEY_TOP_TOUCHES, SKETCH_KEYS
    ]
    /// How large an entity is.
    EntitySize = 6, "entity_size", EntitySizeKey {
        /// The database, as the service names it.
        database,
        /// The entity.
        entity,
    } columns [
        ROW_COUNT, SIZE_BYTES
    ]
    /// Costs of a named piece of code inside an operation.
    Region = 7, "region", RegionKey {
        /// The operation.
        operation,
        /// Its declared class.
        class,
        /// The region, outermost first, joined by `;`.
        region,
    } columns [
        ALLOC_BYTES, ALLOC_COUNT, CPU_INCLUSIVE_NS, CPU_EXCLUSIVE_NS, COUNT,
        ALLOC_INCLUSIVE_BYTES, ALLOC_INCLUSIVE_COUNT
    ]
    /// Which calls of a request ran one after the other and which side by side.
    CallShape = 8, "call_shape", CallShapeKey {
        /// The operation.
        operation,
        /// Its declared class.
        class,
        /// Canonical form of the shape: see docs/accounting.md.
        signature,
    } columns [
        WALL_NS, OWN_NS, CRITICAL_NS, COUNT
    ]
    /// Arrivals of an operation in slots of 100 ms.
    Series = 9, "series", SeriesKey {
        /// The operation.
        operation,
        /// Its declared class.
        class,
    } columns [
        SLOTS, ARRIVALS, ARRIVALS_SQUARED, IN_FLIGHT
    ]
    /// A trace to look at.
    Exemplar = 10, "exemplar", ExemplarKey {
        /// `caller` or `callee`.
        side,
        /// The operation.
        operation,
        /// Short id of the call.
        call_id,
        /// W3C trace id, 32 hex digits.
        trace_id,
    } columns [
        WALL_NS, COUNT
    ]
    /// Histograms of an operation (quality `measured`), and what it retains (quality `sampled`).
    Distribution = 11, "distribution", DistributionKey {
        /// The component.
        component,
        /// The operation.
        operation,
        /// Its declared class.
        class,
        /// `all` requests, or `root`: only those at which a chain began.
        scope,
    } columns [
        HIST_REQUEST_CPU_NS, HIST_WALL_NS, RETAINED_BYTES, RETAINED_SUM_BYTES,
        RETAINED_ERROR_SUM_BYTES, RETAINED_MEAN_BYTES, SAMPLES
    ]
    /// Totals and gauges of one process.
    Process = 12, "process", ProcessKey {
        /// The instance.
        instance,
        /// The host.
        host,
        /// Epoch, 32 hex digits.
        epoch,
        /// How CPU time was read: `rseq`, `scaled`, `thread`.
        clock_mode,
        /// Version of the agent.
        agent_version,
    } columns [
        CPU_PROCESS_NS, CPU_ACCOUNTS_NS, CPU_IN_PROGRESS_NS, CPU_UNATTRIBUTED_NS,
        CPU_CUMULATIVE_NS, RSS_INIT_BYTES, RSS_BYTES, RSS_PEAK_BYTES, THREADS, CORES_MILLI,
        CPU_AGENT_NS, CLOCK_READINGS, RSS_SUM_BYTES, SAMPLES, OBSERVED_NS, CLOCK_REREADS,
        CLOCK_CORRECTIONS_NS, CLOCK_DEGRADATIONS,
        CPU_USER_NS, CPU_SYSTEM_NS, SWITCHES_VOLUNTARY, SWITCHES_INVOLUNTARY, QUOTA_MILLI,
        THROTTLED_NS, HOST_CORES, HOST_BUSY_NS, HOST_SOFTIRQ_NS, HOST_STEAL_NS, CPU_HOOKS_NS,
        CPU_TOLD_NS
    ]
    /// What was dropped, folded into `__other__` or refused.
    Loss = 13, "loss", LossKey {
        /// Which bounded thing: `agent.operations`, `collector.refused`, …
        place,
        /// Why.
        reason,
    } columns [
        LOST, LOST_CPU_NS
    ]
    /// What one kind of call took at its place in a call shape. `COUNT` is of calls, `WALL_NS` of theirs.
    CallStep = 14, "call_step", CallStepKey {
        /// The operation.
        operation,
        /// Its declared class.
        class,
        /// The shape's signature.
        signature,
        /// Which step of the signature, from 0; calls of one step ran side by side.
        step,
        /// Short id of the call; `@` and the database for a store.
        call_id,
    } columns [
        WALL_NS, CRITICAL_NS, COUNT, OFFSET_NS
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ALL_COLUMNS, limits};

    #[test]
    fn every_column_has_a_kind_that_carries_it() {
        for info in ALL_COLUMNS {
            assert!(
                ALL_ROW_KINDS
                    .iter()
                    .any(|kind| kind.columns.contains(&info.column)),
                "{} is carried by no kind",
                info.name
            );
        }
    }

    #[test]
    fn every_kind_fits_the_limits_of_a_row_with_room_to_grow() {
        for (n, kind) in ALL_ROW_KINDS.iter().enumerate() {
            assert_eq!(
                kind.kind.to_wire() as usize,
                n + 1,
                "numbers ascend without gaps"
            );
            assert_eq!(RowKind::from_wire(kind.kind.to_wire()), Some(kind.kind));
            assert!(
                kind.parts.len() + 2 <= limits::KEY_PARTS_MAX,
                "{}",
                kind.name
            );
            assert!(
                kind.columns.len() * 2 <= limits::COLUMNS_MAX,
                "{}",
                kind.name
            );
        }
    }

    #[test]
    fn a_key_reads_back_and_tolerates_later_parts() {
        let key = OwnerKey {
            owner_kind: "pool".into(),
            name: "http".into(),
        };
        let mut row = key.clone().row_key(Quality::Measured);
        assert_eq!(OwnerKey::read(&row), Some(key.clone()));
        row.parts = row.parts.iter().cloned().chain(["later".into()]).collect();
        assert_eq!(OwnerKey::read(&row), Some(key));
        assert_eq!(SeriesKey::read(&row), None);
        row.parts = ["pool".into()].into();
        assert_eq!(OwnerKey::read(&row), None, "too few parts");
    }
}
