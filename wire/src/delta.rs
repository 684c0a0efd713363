//! A delta: one window of one producer.

use std::fmt;
use std::sync::Arc;

use prost::Message as _;

use crate::decode::{self, Bounds, DecodeError, bounded, invalid, survey};
use crate::encode::{self, StringTable};
use crate::reader::{Field, Fields};
use crate::{RowSet, VERSION, limits, pb};

/// Random 128-bit id of one process start. Never ordered; new after fork.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub [u8; 16]);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({self})")
    }
}

/// Who speaks. Empty strings mean "not set"; `service` is never empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// `service.namespace`.
    pub namespace: String,
    /// `deployment.environment.name`.
    pub environment: String,
    /// `service.name`.
    pub service: String,
    /// `service.version`.
    pub version: String,
    /// `service.instance.id`.
    pub instance: String,
    /// `host.name`.
    pub host: String,
}

/// A span of event time in nanoseconds since the Unix epoch, start inclusive, end exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// First nanosecond.
    pub start_unix_ns: u64,
    /// First nanosecond after it.
    pub end_unix_ns: u64,
}

impl Window {
    /// Length in nanoseconds.
    #[must_use]
    pub fn len_ns(self) -> u64 {
        self.end_unix_ns.saturating_sub(self.start_unix_ns)
    }

    /// The smallest window that covers both.
    #[must_use]
    pub fn cover(self, other: Self) -> Self {
        Self {
            start_unix_ns: self.start_unix_ns.min(other.start_unix_ns),
            end_unix_ns: self.end_unix_ns.max(other.end_unix_ns),
        }
    }
}

/// Totals since the start of the epoch, the delta that carries them included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests started.
    pub started: u64,
    /// Requests ended.
    pub ended: u64,
    /// CPU time of the process by the kernel, ns.
    pub process_cpu_ns: i64,
    /// Sum of all account rows sent, `unattributed` included, ns.
    pub accounts_cpu_ns: i64,
}

/// Deltas that were made but given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// First sequence number given up; all lie before that of the delta which says so.
    pub seq_first: u64,
    /// Last one.
    pub seq_last: u64,
    /// Requests that had ended in them.
    pub ended: u64,
    /// CPU that stood in their account rows, ns.
    pub cpu_ns: i64,
}

/// One window of one producer, identified by (producer, epoch, seq).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// Who speaks.
    pub identity: Identity,
    /// Which start of the process.
    pub epoch: Epoch,
    /// Which delta of the epoch.
    pub seq: u64,
    /// The span of event time.
    pub window: Window,
    /// The rows.
    pub rows: RowSet,
    /// Totals of the epoch.
    pub cumulative: Totals,
    /// What was given up before this one.
    pub tombstones: Vec<Tombstone>,
}

impl Delta {
    /// Protobuf bytes, uncompressed.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut table = StringTable::new();
        let rows = encode::rows_to_pb(&self.rows, &mut table);
        let id = &self.identity;
        pb::Delta {
            version: VERSION,
            identity: Some(pb::Identity {
                namespace: id.namespace.clone(),
                environment: id.environment.clone(),
                service: id.service.clone(),
                version: id.version.clone(),
                instance: id.instance.clone(),
                host: id.host.clone(),
            }),
            epoch: self.epoch.0.to_vec(),
            seq: self.seq,
            window: Some(encode::window_to_pb(self.window)),
            strings: table.into_strings(),
            rows,
            cumulative: Some(pb::Totals {
                started: self.cumulative.started,
                ended: self.cumulative.ended,
                process_cpu_ns: self.cumulative.process_cpu_ns,
                accounts_cpu_ns: self.cumulative.accounts_cpu_ns,
            }),
            tombstones: self
                .tombstones
                .iter()
                .map(|t| pb::Tombstone {
                    seq_first: t.seq_first,
                    seq_last: t.seq_last,
                    ended: t.ended,
                    cpu_ns: t.cpu_ns,
                })
                .collect(),
        }
        .encode_to_vec()
    }

    /// Reads bytes from outside. Memory stays below
    /// [`DECODE_BYTES_PER_BYTE`](limits::DECODE_BYTES_PER_BYTE) times their length.
    ///
    /// # Errors
    /// [`DecodeError`] when they are not a delta, of a version this reader does not take, or beyond any of
    /// [`limits`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        bounded("delta in bytes", bytes.len(), limits::DELTA_BYTES_MAX)?;
        let [string_count, row_count, tombstone_count] = survey(bytes, [STRINGS, ROWS, 9])?;
        Bounds::Delta.check(string_count, row_count)?;
        bounded("tombstones", tombstone_count, limits::TOMBSTONES_MAX)?;

        let (mut identity, mut window) = (None, None);
        let (mut epoch, mut seq, mut cumulative) = (&[][..], 0, Totals::default());
        let mut strings: Vec<Arc<str>> = Vec::with_capacity(string_count);
        let mut tombstones = Vec::with_capacity(tombstone_count);
        for field in Fields::new(bytes) {
            let field = field?;
            match field.number {
                2 => read_identity(field, identity.get_or_insert_default())?,
                3 => epoch = field.bytes()?,
                4 => seq = field.uint64()?,
                5 => decode::read_window(field, &mut window)?,
                // Writers put each string in once; one that is there twice only makes comparing slower.
                STRINGS => strings.push(decode::name("bytes of a string", field)?.into()),
                8 => read_totals(field, &mut cumulative)?,
                9 => tombstones.push(read_tombstone(field)?),
                _ => {}
            }
        }
        let identity: Identity = identity.ok_or_else(|| invalid("identity", "absent"))?;
        if identity.service.is_empty() {
            return Err(invalid(
                "service",
                "empty; set OTEL_SERVICE_NAME in the service",
            ));
        }
        let epoch = <[u8; 16]>::try_from(epoch)
            .map_err(|_| invalid("epoch", format!("{} bytes instead of 16", epoch.len())))?;
        cumulative.check()?;
        tombstones.iter().try_for_each(|t| t.check(seq))?;
        Ok(Self {
            identity,
            epoch: Epoch(epoch),
            seq,
            window: decode::checked_window(window)?,
            rows: decode::rows(bytes, ROWS, row_count, &strings, Bounds::Delta)?,
            cumulative,
            tombstones,
        })
    }
}

/// The field number of strings.
pub(crate) const STRINGS: u32 = 6;
/// The field number of rows.
pub(crate) const ROWS: u32 = 7;

fn read_identity(message: Field<'_>, into: &mut Identity) -> Result<(), DecodeError> {
    for field in message.message()? {
        let field = field?;
        let (what, place) = match field.number {
            1 => ("bytes of the namespace", &mut into.namespace),
            2 => ("bytes of the environment", &mut into.environment),
            3 => ("bytes of the service name", &mut into.service),
            4 => ("bytes of the version", &mut into.version),
            5 => ("bytes of the instance", &mut into.instance),
            6 => ("bytes of the host", &mut into.host),
            _ => continue,
        };
        decode::name(what, field)?.clone_into(place);
    }
    Ok(())
}

fn read_totals(message: Field<'_>, into: &mut Totals) -> Result<(), DecodeError> {
    for field in message.message()? {
        let field = field?;
        match field.number {
            1 => into.started = field.uint64()?,
            2 => into.ended = field.uint64()?,
            3 => into.process_cpu_ns = field.sint64()?,
            4 => into.accounts_cpu_ns = field.sint64()?,
            _ => {}
        }
    }
    Ok(())
}

fn read_tombstone(message: Field<'_>) -> Result<Tombstone, DecodeError> {
    let mut tombstone = Tombstone {
        seq_first: 0,
        seq_last: 0,
        ended: 0,
        cpu_ns: 0,
    };
    for field in message.message()? {
        let field = field?;
        match field.number {
            1 => tombstone.seq_first = field.uint64()?,
            2 => tombstone.seq_last = field.uint64()?,
            3 => tombstone.ended = field.uint64()?,
            4 => tombstone.cpu_ns = field.sint64()?,
            _ => {}
        }
    }
    Ok(tombstone)
}

/// Both run over the life of a process.
fn check_total(what: &'static str, magnitude: u64) -> Result<(), DecodeError> {
    if magnitude > limits::GAUGE_MAX.unsigned_abs() {
        return Err(invalid(what, format!("{magnitude} is beyond 2^62")));
    }
    Ok(())
}

impl Totals {
    fn check(&self) -> Result<(), DecodeError> {
        check_total("total of started requests", self.started)?;
        check_total("total of ended requests", self.ended)?;
        check_total("total of process CPU", self.process_cpu_ns.unsigned_abs())?;
        check_total("total of account CPU", self.accounts_cpu_ns.unsigned_abs())
    }
}

impl Tombstone {
    fn check(&self, seq: u64) -> Result<(), DecodeError> {
        let (first, last) = (self.seq_first, self.seq_last);
        if last < first {
            return Err(invalid(
                "tombstone",
                format!("ends at {last}, before it begins at {first}"),
            ));
        }
        if last >= seq {
            return Err(invalid(
                "tombstone",
                format!(
                    "gives up delta {last}, which does not come before delta {seq} that says so"
                ),
            ));
        }
        check_total("requests in a tombstone", self.ended)?;
        check_total("CPU in a tombstone", self.cpu_ns.unsigned_abs())
    }
}
