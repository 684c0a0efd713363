//! Folded windows: what a store keeps, what the API streams, what a report reads.

use prost::Message as _;

use crate::decode::{self, Bounds, DecodeError, Interner, bounded, invalid, survey};
use crate::encode::{self, StringTable};
use crate::reader::Fields;
use crate::{RowSet, VERSION, Window, limits, pb};

/// One deployable, as rows are folded: all its instances together. What belongs to one instance stands in
/// its process row.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId {
    /// Tenant, from the token; empty when there is only one.
    pub tenant: String,
    /// `service.namespace`.
    pub namespace: String,
    /// `deployment.environment.name`.
    pub environment: String,
    /// `service.name`.
    pub service: String,
    /// `service.version`.
    pub version: String,
}

/// The rows of one service in one window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoldedWindow {
    /// Which service.
    pub service: ServiceId,
    /// Which span of event time.
    pub window: Window,
    /// The rows.
    pub rows: RowSet,
}

impl FoldedWindow {
    /// Protobuf bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.to_pb().encode_to_vec()
    }

    fn to_pb(&self) -> pb::FoldedWindow {
        let mut table = StringTable::new();
        let rows = encode::rows_to_pb(&self.rows, &mut table);
        pb::FoldedWindow {
            version: VERSION,
            tenant: self.service.tenant.clone(),
            namespace: self.service.namespace.clone(),
            environment: self.service.environment.clone(),
            service: self.service.service.clone(),
            service_version: self.service.version.clone(),
            window: Some(encode::window_to_pb(self.window)),
            strings: table.into_strings(),
            rows,
        }
    }

    /// Reads bytes that [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// [`DecodeError`] when they are something else or beyond [`limits`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        bounded(
            "folded window in bytes",
            bytes.len(),
            limits::RANGE_BYTES_MAX,
        )?;
        Self::read(bytes, &mut Interner::default())
    }

    fn read(bytes: &[u8], interner: &mut Interner) -> Result<Self, DecodeError> {
        let [string_count, row_count] = survey(bytes, [8, ROWS])?;
        Bounds::Folded.check(string_count, row_count)?;
        let mut service = ServiceId::default();
        let mut window = None;
        let mut strings = Vec::with_capacity(string_count);
        for field in Fields::new(bytes) {
            let field = field?;
            let (what, place) = match field.number {
                2 => ("bytes of the tenant", &mut service.tenant),
                3 => ("bytes of the namespace", &mut service.namespace),
                4 => ("bytes of the environment", &mut service.environment),
                5 => ("bytes of the service name", &mut service.service),
                6 => ("bytes of the version", &mut service.version),
                7 => {
                    decode::read_window(field, &mut window)?;
                    continue;
                }
                8 => {
                    strings.push(interner.intern(field)?);
                    continue;
                }
                _ => continue,
            };
            decode::name(what, field)?.clone_into(place);
        }
        Ok(Self {
            service,
            window: decode::checked_window(window)?,
            rows: decode::rows(bytes, ROWS, row_count, &strings, Bounds::Folded)?,
        })
    }
}

/// A tag, a length, a version, and a span of which one instant may be 0.
const WINDOW_BYTES_MIN: usize = 8;
/// The field number of rows.
const ROWS: u32 = 9;

/// All folded windows of a range, each (window, service) once: the rollup that a report is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoldedRange {
    /// The range asked for; whole windows.
    pub window: Window,
    /// What was found in it.
    pub windows: Vec<FoldedWindow>,
}

impl FoldedRange {
    /// Protobuf bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        pb::FoldedRange {
            version: VERSION,
            window: Some(encode::window_to_pb(self.window)),
            windows: self.windows.iter().map(FoldedWindow::to_pb).collect(),
        }
        .encode_to_vec()
    }

    /// Reads bytes that [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// [`DecodeError`] when they are something else or beyond [`limits`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        bounded(
            "folded range in bytes",
            bytes.len(),
            limits::RANGE_BYTES_MAX,
        )?;
        let [count] = survey(bytes, [3])?;
        bounded("windows in the range", count, limits::WINDOWS_MAX)?;
        let mut window = None;
        // The first window that is too short to say its version and its span ends the reading.
        let mut windows = Vec::with_capacity(count.min(bytes.len() / WINDOW_BYTES_MIN));
        let mut interner = Interner::default();
        for field in Fields::new(bytes) {
            let field = field?;
            match field.number {
                2 => decode::read_window(field, &mut window)?,
                3 => windows.push(FoldedWindow::read(field.bytes()?, &mut interner)?),
                _ => {}
            }
        }
        let window = window.ok_or_else(|| invalid("window", "absent"))?;
        // A range may be longer than a window, and empty when nothing was found.
        if window.end_unix_ns < window.start_unix_ns || window.end_unix_ns > limits::UNIX_NS_MAX {
            return Err(invalid(
                "window",
                "ends before its start or after the year 2262",
            ));
        }
        Ok(Self { window, windows })
    }
}
