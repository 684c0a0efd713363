//! Protobuf framing, read in place: nothing is copied, nothing is allocated.
//!
//! Bytes from outside do not go through the generated decoder, because it builds every repeated message
//! before anybody can count it: two bytes of an empty row become 130 bytes of memory, and a delta of legal
//! size more than a gigabyte. Here every list is counted first. The generated types stay what is encoded
//! with, and the tests hold this reader to what the generated decoder reads.

use crate::DecodeError;

/// The value of a field, by wire type.
#[derive(Clone, Copy, Debug)]
enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

/// One field as it stands in the bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'a> {
    /// The field number.
    pub(crate) number: u32,
    value: Value<'a>,
}

/// The fields of a message in the order in which they stand there.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    #[inline]
    fn field(&mut self) -> Result<Field<'a>, DecodeError> {
        let tag = u32::try_from(varint(&mut self.rest)?)
            .map_err(|_| malformed("a field tag does not fit 32 bits"))?;
        let number = tag >> 3;
        if number == 0 {
            return Err(malformed("field number 0"));
        }
        let value = match tag & 7 {
            0 => Value::Varint(varint(&mut self.rest)?),
            1 => Value::Fixed64(fixed64(&mut self.rest)?),
            2 => {
                let len = varint(&mut self.rest)?;
                let (bytes, rest) = usize::try_from(len)
                    .ok()
                    .and_then(|len| self.rest.split_at_checked(len))
                    .ok_or_else(|| {
                        malformed(format!(
                            "field {number} says {len} bytes where {} are left",
                            self.rest.len()
                        ))
                    })?;
                self.rest = rest;
                Value::Bytes(bytes)
            }
            5 => {
                let (_, rest) = self.rest.split_at_checked(4).ok_or_else(truncated)?;
                self.rest = rest;
                Value::Fixed32
            }
            other => {
                return Err(malformed(format!("field {number} has wire type {other}")));
            }
        };
        Ok(Field { number, value })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            None
        } else {
            Some(self.field())
        }
    }
}

impl<'a> Field<'a> {
    pub(crate) fn uint64(self) -> Result<u64, DecodeError> {
        match self.value {
            Value::Varint(v) => Ok(v),
            _ => Err(self.wrong_type("a number")),
        }
    }

    pub(crate) fn uint32(self) -> Result<u32, DecodeError> {
        to_u32(self.uint64()?)
    }

    pub(crate) fn sint64(self) -> Result<i64, DecodeError> {
        self.uint64().map(zigzag)
    }

    pub(crate) fn bytes(self) -> Result<&'a [u8], DecodeError> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(self.wrong_type("bytes")),
        }
    }

    pub(crate) fn text(self) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes()?)
            .map_err(|_| malformed(format!("field {} is not UTF-8", self.number)))
    }

    /// The fields of a nested message.
    pub(crate) fn message(self) -> Result<Fields<'a>, DecodeError> {
        self.bytes().map(Fields::new)
    }

    /// How many varints a repeated field holds here, packed or alone.
    pub(crate) fn varint_count(self) -> Result<usize, DecodeError> {
        match self.value {
            Value::Varint(_) => Ok(1),
            // The last byte of each varint, and no other, has its high bit clear.
            Value::Bytes(bytes) => Ok(bytes.iter().filter(|byte| **byte < 0x80).count()),
            _ => Err(self.wrong_type("numbers")),
        }
    }

    /// Hands over the varints of a repeated field, packed or alone.
    #[inline]
    pub(crate) fn each_varint(
        self,
        mut take: impl FnMut(u64) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        match self.value {
            Value::Varint(v) => take(v),
            Value::Bytes(mut bytes) => {
                while !bytes.is_empty() {
                    take(varint(&mut bytes)?)?;
                }
                Ok(())
            }
            _ => Err(self.wrong_type("numbers")),
        }
    }

    /// How many 64-bit words a repeated field holds here, packed or alone.
    pub(crate) fn fixed64_count(self) -> Result<usize, DecodeError> {
        match self.value {
            Value::Fixed64(_) => Ok(1),
            Value::Bytes(bytes) => Ok(bytes.len() / 8),
            _ => Err(self.wrong_type("64-bit words")),
        }
    }

    /// Hands over the 64-bit words of a repeated field, packed or alone.
    pub(crate) fn each_fixed64(
        self,
        mut take: impl FnMut(u64) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        match self.value {
            Value::Fixed64(v) => take(v),
            Value::Bytes(mut bytes) => {
                while !bytes.is_empty() {
                    take(fixed64(&mut bytes)?)?;
                }
                Ok(())
            }
            _ => Err(self.wrong_type("64-bit words")),
        }
    }

    #[cold]
    fn wrong_type(self, wanted: &str) -> DecodeError {
        let found = match self.value {
            Value::Varint(_) => "a varint",
            Value::Fixed64(_) => "a 64-bit word",
            Value::Bytes(_) => "bytes",
            Value::Fixed32 => "a 32-bit word",
        };
        malformed(format!(
            "field {} holds {found} instead of {wanted}",
            self.number
        ))
    }
}

pub(crate) fn malformed(why: impl Into<String>) -> DecodeError {
    DecodeError::Malformed(why.into())
}

#[cold]
fn truncated() -> DecodeError {
    malformed("the bytes end in the middle of a field")
}

/// The generated code would cut off the upper half; a number that does not fit is an error here, since a
/// cut-off index points to the wrong name.
pub(crate) fn to_u32(v: u64) -> Result<u32, DecodeError> {
    u32::try_from(v).map_err(|_| malformed(format!("{v} does not fit 32 bits")))
}

pub(crate) fn zigzag(v: u64) -> i64 {
    (v >> 1).cast_signed() ^ -((v & 1).cast_signed())
}

#[inline]
fn varint(rest: &mut &[u8]) -> Result<u64, DecodeError> {
    // Most tags, lengths, indices and columns are below 128.
    match rest.split_first() {
        Some((&byte, after)) if byte < 0x80 => {
            *rest = after;
            Ok(u64::from(byte))
        }
        _ => long_varint(rest),
    }
}

fn long_varint(rest: &mut &[u8]) -> Result<u64, DecodeError> {
    let mut value = 0u64;
    for (at, &byte) in rest.iter().enumerate().take(10) {
        if at == 9 && byte > 1 {
            break;
        }
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            *rest = rest.get(at + 1..).unwrap_or_default();
            return Ok(value);
        }
    }
    if rest.len() < 10 {
        Err(truncated())
    } else {
        Err(malformed("a varint beyond 64 bits"))
    }
}

fn fixed64(rest: &mut &[u8]) -> Result<u64, DecodeError> {
    let (word, after) = rest.split_first_chunk::<8>().ok_or_else(truncated)?;
    *rest = after;
    Ok(u64::from_le_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut bytes: &[u8]) -> Result<(u64, usize), DecodeError> {
        let before = bytes.len();
        varint(&mut bytes).map(|v| (v, before - bytes.len()))
    }

    #[test]
    fn varints_read_as_prost_writes_them() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1 << shift) - 1, u64::MAX >> shift] {
                let mut bytes = Vec::new();
                prost::encoding::encode_varint(value, &mut bytes);
                assert_eq!(read(&bytes), Ok((value, bytes.len())));
                bytes.push(0xff);
                assert_eq!(
                    read(&bytes),
                    Ok((value, bytes.len() - 1)),
                    "trailing bytes stay"
                );
            }
        }
    }

    #[test]
    fn varints_that_do_not_end_or_do_not_fit_are_refused() {
        assert!(read(&[]).is_err());
        assert!(read(&[0x80; 9]).is_err());
        assert!(read(&[0xff; 10]).is_err());
        assert!(read(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2]).is_err());
        assert_eq!(
            read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
            Ok((u64::MAX, 10))
        );
    }

    #[test]
    fn zigzag_covers_all_signs() {
        for (wire, value) in [
            (0, 0),
            (1, -1),
            (2, 1),
            (u64::MAX - 1, i64::MAX),
            (u64::MAX, i64::MIN),
        ] {
            assert_eq!(zigzag(wire), value);
        }
    }

    #[test]
    fn a_length_beyond_the_bytes_is_refused() {
        for bytes in [
            &[0x0a, 5, 1][..],
            &[
                0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1,
            ],
        ] {
            let error = Fields::new(bytes).next().map(|f| f.map(|_| ()));
            assert!(
                matches!(error, Some(Err(DecodeError::Malformed(_)))),
                "{error:?}"
            );
        }
    }

    #[test]
    fn groups_and_field_number_zero_are_refused() {
        for bytes in [&[0x0b][..], &[0x0c], &[0x00, 0], &[0x0e], &[0x0f]] {
            assert!(
                Fields::new(bytes).next().is_some_and(|f| f.is_err()),
                "{bytes:?}"
            );
        }
    }
}
