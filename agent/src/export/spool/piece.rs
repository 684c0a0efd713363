//! Rows as they travel: what a window costs in memory from its end until it is acknowledged.
//!
//! Rows are encoded, and compressed, as they come from the tables. The rest of the delta (its number, totals,
//! tombstones) is known only when it is sent, and is then laid around them: fields of a delta may stand in any
//! order, and a stream of deflate is a row of blocks.

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use weighbridge_wire::{
    Delta, Epoch, Identity, RowKey, RowKind, RowSet, RowValue, RowWriter, Totals, Window, limits,
};

/// How a delta leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As it is.
    Plain,
    /// Compressed.
    Gzip,
}

/// Room in a delta for what is laid around its rows: in bytes (identity and tombstones), and in rows and strings
/// (what the spool lost).
const AROUND_BYTES: usize = 1 << 20;
const AROUND_ROWS: usize = 16;
/// Rows are compressed when so many bytes of them have come together.
const AT_ONCE_BYTES: usize = 16 << 10;

/// The rows of one delta.
#[derive(Debug)]
pub(crate) struct Piece {
    form: Form,
    /// Without an end, when it is compressed: blocks that end on a byte and more can follow.
    bytes: Vec<u8>,
    crc: flate2::Crc,
    strings: usize,
    accounts_cpu_ns: i64,
}

impl Piece {
    /// Memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len() + size_of::<Self>()
    }

    /// CPU in the rows that conservation counts.
    pub(super) fn accounts_cpu_ns(&self) -> i64 {
        self.accounts_cpu_ns
    }

    /// The rows again.
    pub(super) fn rows(&self) -> Option<RowSet> {
        let mut delta = bare().encode();
        match self.form {
            Form::Plain => delta.extend_from_slice(&self.bytes),
            Form::Gzip => {
                let ended = self.bytes.chain(LAST_BLOCK);
                let mut plain = flate2::read::DeflateDecoder::new(ended);
                plain.read_to_end(&mut delta).ok()?;
            }
        }
        Some(Delta::decode(&delta).ok()?.rows)
    }

    /// The whole delta. `bare` is without rows; `more` are rows beside these.
    pub(super) fn body(&self, bare: &Delta, more: &RowSet) -> Bytes {
        let before = bare.encode();
        let mut after = Vec::new();
        let mut writer = RowWriter::after(self.strings);
        for (key, value) in more.iter() {
            writer.write(key, value, &mut after);
        }
        // Blocks and trailer, for some KiB before and after.
        let mut body = Vec::with_capacity(self.bytes.len() + before.len() + after.len() + 64);
        match self.form {
            Form::Plain => {
                body.extend_from_slice(&before);
                body.extend_from_slice(&self.bytes);
                body.extend_from_slice(&after);
            }
            Form::Gzip => {
                body.extend_from_slice(&GZIP_HEAD);
                store(&before, &mut body);
                body.extend_from_slice(&self.bytes);
                store(&after, &mut body);
                body.extend_from_slice(LAST_BLOCK);
                let mut crc = flate2::Crc::new();
                crc.update(&before);
                crc.combine(&self.crc);
                crc.update(&after);
                body.extend_from_slice(&crc.sum().to_le_bytes());
                body.extend_from_slice(&crc.amount().to_le_bytes());
            }
        }
        body.into()
    }
}

/// A delta that says nothing, around which rows can be read.
fn bare() -> Delta {
    Delta {
        identity: Identity {
            service: "weighbridge".into(),
            ..Identity::default()
        },
        epoch: Epoch([0; 16]),
        seq: 0,
        window: Window {
            start_unix_ns: 0,
            end_unix_ns: 1,
        },
        rows: RowSet::new(),
        cumulative: Totals::default(),
        tombstones: Vec::new(),
    }
}

/// RFC 1952: deflate, no name, no time, fastest, unknown system.
const GZIP_HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];
/// RFC 1951: the last block, stored, of no bytes.
const LAST_BLOCK: &[u8] = &[1, 0, 0, 0xff, 0xff];

/// Appends blocks that hold these bytes as they are, none of them the last.
fn store(bytes: &[u8], out: &mut Vec<u8>) {
    for block in bytes.chunks(usize::from(u16::MAX)) {
        // A chunk of at most this length has a length of 16 bits.
        let len = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.push(0);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&(!len).to_le_bytes());
        out.extend_from_slice(block);
    }
}

/// Takes the rows of a window as they come and makes pieces of them.
pub(crate) struct Encoder {
    form: Form,
    full: Vec<Piece>,
    open: Open,
}

/// The piece that is being written.
struct Open {
    writer: RowWriter,
    rows: usize,
    plain: Vec<u8>,
    plain_bytes: usize,
    deflate: Option<DeflateEncoder<Vec<u8>>>,
    crc: flate2::Crc,
    accounts_cpu_ns: i64,
}

impl Open {
    fn new(form: Form) -> Self {
        let deflate = || DeflateEncoder::new(Vec::new(), Compression::fast());
        Self {
            writer: RowWriter::default(),
            rows: 0,
            plain: Vec::new(),
            plain_bytes: 0,
            deflate: (form == Form::Gzip).then(deflate),
            crc: flate2::Crc::new(),
            accounts_cpu_ns: 0,
        }
    }

    fn has_room(&self) -> bool {
        self.rows + AROUND_ROWS < limits::ROWS_MAX
            && self.writer.strings() + limits::KEY_PARTS_MAX + AROUND_ROWS < limits::STRINGS_MAX
            && self.plain_bytes + self.plain.len() + AROUND_BYTES < limits::DELTA_BYTES_MAX
    }

    fn write(&mut self, key: &RowKey, value: &RowValue) {
        self.writer.write(key, value, &mut self.plain);
        self.rows += 1;
        let kind = RowKind::from_wire(key.kind);
        if matches!(kind, Some(RowKind::Operation | RowKind::Owner)) {
            self.accounts_cpu_ns = self.accounts_cpu_ns.saturating_add(value.cpu_ns());
        }
        if self.plain.len() >= AT_ONCE_BYTES {
            self.compress();
        }
    }

    fn compress(&mut self) {
        if let Some(deflate) = &mut self.deflate {
            self.crc.update(&self.plain);
            self.plain_bytes += self.plain.len();
            // Writing to memory cannot fail; were it to, the body would be refused and counted.
            let _ = deflate.write_all(&self.plain);
            self.plain.clear();
        }
    }

    fn finish(mut self) -> Piece {
        self.compress();
        let (form, bytes) = match &mut self.deflate {
            None => (Form::Plain, self.plain),
            Some(deflate) => {
                // Ends the block on a byte.
                let _ = deflate.flush();
                (Form::Gzip, std::mem::take(deflate.get_mut()))
            }
        };
        Piece {
            form,
            bytes,
            crc: self.crc,
            strings: self.writer.strings(),
            accounts_cpu_ns: self.accounts_cpu_ns,
        }
    }
}

impl Encoder {
    /// Nothing yet.
    pub(crate) fn new(form: Form) -> Self {
        Self {
            form,
            full: Vec::new(),
            open: Open::new(form),
        }
    }

    /// Adds rows, which come in the order of their keys.
    pub(crate) fn add(&mut self, rows: &RowSet) {
        for (key, value) in rows.iter() {
            if !self.open.has_room() {
                let full = std::mem::replace(&mut self.open, Open::new(self.form));
                self.full.push(full.finish());
            }
            self.open.write(key, value);
        }
    }

    /// The pieces, at least one. Nearly always it is one.
    pub(super) fn finish(mut self) -> (Vec<Piece>, Piece) {
        let mut last = self.open.finish();
        last.bytes.shrink_to_fit();
        self.full.shrink_to_fit();
        (self.full, last)
    }
}
