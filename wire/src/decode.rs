//! Rows from protobuf, everything counted before it is built.

use std::collections::HashSet;
use std::sync::Arc;

use crate::limits as max;
use crate::reader::{Field, Fields};
use crate::{VERSION, Window};

mod rows;

pub(crate) use rows::rows;

/// Why bytes from outside were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Not protobuf, or not of this shape.
    #[error(
        "not a valid weighbridge.v1 message: {0}; send plain protobuf, or name the compression in \
         Content-Encoding"
    )]
    Malformed(String),
    /// A version that this reader does not take.
    #[error(
        "format version {found} is not supported (this reader takes up to {supported}); upgrade the older side"
    )]
    Version {
        /// The version found.
        found: u32,
        /// The newest one supported.
        supported: u32,
    },
    /// Something is longer than its limit.
    #[error("{what}: {found}, more than the limit of {limit}; send shorter windows or fewer names")]
    TooLarge {
        /// What is too long.
        what: &'static str,
        /// How long it is.
        found: usize,
        /// How long it may be.
        limit: usize,
    },
    /// A value that makes no sense.
    #[error("invalid {what}: {why}")]
    Invalid {
        /// Which field.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

pub(crate) fn bounded(what: &'static str, found: usize, limit: usize) -> Result<(), DecodeError> {
    if found > limit {
        Err(DecodeError::TooLarge { what, found, limit })
    } else {
        Ok(())
    }
}

pub(crate) fn invalid(what: &'static str, why: impl Into<String>) -> DecodeError {
    DecodeError::Invalid {
        what,
        why: why.into(),
    }
}

/// Counts the fields with these numbers and reads the version (field 1 of every top-level message), before
/// anything else is looked at: another version may mean something else by the other fields.
pub(crate) fn survey<const N: usize>(
    bytes: &[u8],
    numbers: [u32; N],
) -> Result<[usize; N], DecodeError> {
    let mut version = 0;
    let mut counts = [0; N];
    for field in Fields::new(bytes) {
        let field = field?;
        if field.number == 1 {
            version = field.uint32()?;
        }
        for (number, count) in numbers.iter().zip(&mut counts) {
            *count += usize::from(*number == field.number);
        }
    }
    if !takes(version, VERSION) {
        return Err(DecodeError::Version {
            found: version,
            supported: VERSION,
        });
    }
    Ok(counts)
}

/// A reader takes its own major version and the one before (there is none before 1).
const fn takes(found: u32, own: u32) -> bool {
    found != 0 && found <= own && found + 1 >= own
}

/// A string of bounded length.
pub(crate) fn name<'a>(what: &'static str, field: Field<'a>) -> Result<&'a str, DecodeError> {
    bounded(what, field.bytes()?.len(), max::STRING_BYTES_MAX)?;
    field.text()
}

/// One copy of each string, shared by all tables of an input: folded windows repeat each other's names,
/// and keys compare by address first.
#[derive(Default)]
pub(crate) struct Interner {
    known: HashSet<Arc<str>>,
}

impl Interner {
    pub(crate) fn intern(&mut self, field: Field<'_>) -> Result<Arc<str>, DecodeError> {
        let text = name("bytes of a string", field)?;
        if let Some(known) = self.known.get(text) {
            return Ok(known.clone());
        }
        let new = Arc::<str>::from(text);
        self.known.insert(new.clone());
        Ok(new)
    }
}

/// What a row may hold: rows of one window of one process, or rows folded from many.
#[derive(Clone, Copy)]
pub(crate) enum Bounds {
    /// From outside; small enough that sums of many stay exact.
    Delta,
    /// Written by a store; sums may be as large as they come.
    Folded,
}

impl Bounds {
    pub(crate) fn check(self, strings: usize, rows: usize) -> Result<(), DecodeError> {
        let (strings_max, rows_max) = match self {
            Self::Delta => (max::STRINGS_MAX, max::ROWS_MAX),
            Self::Folded => (max::FOLDED_STRINGS_MAX, max::FOLDED_ROWS_MAX),
        };
        bounded("strings in the table", strings, strings_max)?;
        bounded("rows", rows, rows_max)
    }

    fn value(self, column: u32, value: i64) -> Result<(), DecodeError> {
        let limit = max::column_max(column);
        if matches!(self, Self::Delta) && value.unsigned_abs() > limit.unsigned_abs() {
            let power = limit.ilog2();
            return Err(invalid(
                "value",
                format!("{value} in column {column} is beyond ±2^{power}"),
            ));
        }
        Ok(())
    }

    fn count(self, count: u64) -> Result<(), DecodeError> {
        if matches!(self, Self::Delta) && count > max::VALUE_MAX.unsigned_abs() {
            return Err(invalid(
                "histogram",
                format!("count {count} is beyond 2^53"),
            ));
        }
        Ok(())
    }
}

/// A window as it is written, not yet checked.
pub(crate) fn read_window(field: Field<'_>, into: &mut Option<Window>) -> Result<(), DecodeError> {
    let window = into.get_or_insert(Window {
        start_unix_ns: 0,
        end_unix_ns: 0,
    });
    for field in field.message()? {
        let field = field?;
        match field.number {
            1 => window.start_unix_ns = field.uint64()?,
            2 => window.end_unix_ns = field.uint64()?,
            _ => {}
        }
    }
    Ok(())
}

pub(crate) fn checked_window(window: Option<Window>) -> Result<Window, DecodeError> {
    let window = window.ok_or_else(|| invalid("window", "absent"))?;
    if window.end_unix_ns <= window.start_unix_ns {
        return Err(invalid("window", "does not end after its start"));
    }
    if window.end_unix_ns > max::UNIX_NS_MAX {
        return Err(invalid(
            "window",
            "ends after the year 2262; times are nanoseconds",
        ));
    }
    if window.len_ns() > max::WINDOW_NS_MAX {
        return Err(invalid("window", "longer than a day"));
    }
    Ok(window)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_takes_its_own_version_and_the_one_before() {
        let taken = |own| {
            (0..9)
                .filter(|found| takes(*found, own))
                .collect::<Vec<u32>>()
        };
        assert_eq!(taken(1), [1]);
        assert_eq!(taken(2), [1, 2]);
        assert_eq!(taken(5), [4, 5]);
        assert!(!takes(u32::MAX, 1));
        // What stands in front of every message decides, whatever else is in it.
        for found in 0..4 {
            let message = [8, u8::try_from(found).unwrap_or_default()];
            let survey = survey(&message, [9]);
            assert_eq!(survey.is_ok(), takes(found, VERSION), "{found}");
        }
    }
}
