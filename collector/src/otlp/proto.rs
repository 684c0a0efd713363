//! Protobuf framing of OTLP, read in place: a span of a kilobyte is looked at once, and nothing of it is copied
//! but the few names that are kept.

/// Why bytes are not protobuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not protobuf: {0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

/// The value of a field, by wire type.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

impl<'a> Value<'a> {
    /// Bytes, a text, or a message; nothing when the field has another type, as protobuf readers skip fields of
    /// a type that they do not expect.
    #[inline]
    pub(crate) fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn varint(self) -> Option<u64> {
        match self {
            Self::Varint(n) => Some(n),
            _ => None,
        }
    }
}

/// The fields of a message in their order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    /// The next field: its number and value.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = varint(&mut self.0)?;
        let number =
            u32::try_from(tag >> 3).map_err(|_| Malformed("a field number is too large"))?;
        if number == 0 {
            return Err(Malformed("field number 0"));
        }
        let value = match tag & 7 {
            0 => Value::Varint(varint(&mut self.0)?),
            1 => {
                let (word, rest) = self.0.split_first_chunk::<8>().ok_or(ENDS)?;
                self.0 = rest;
                Value::Fixed64(u64::from_le_bytes(*word))
            }
            2 => {
                let len = usize::try_from(varint(&mut self.0)?).map_err(|_| ENDS)?;
                let (bytes, rest) = self.0.split_at_checked(len).ok_or(ENDS)?;
                self.0 = rest;
                Value::Bytes(bytes)
            }
            5 => {
                self.0 = self.0.get(4..).ok_or(ENDS)?;
                Value::Fixed32
            }
            _ => return Err(Malformed("a wire type that OTLP does not use")),
        };
        Ok(Some((number, value)))
    }
}

const ENDS: Malformed = Malformed("the bytes end in the middle of a field");

#[inline]
fn varint(rest: &mut &[u8]) -> Result<u64, Malformed> {
    match rest.split_first() {
        Some((&byte, after)) if byte < 0x80 => {
            *rest = after;
            Ok(u64::from(byte))
        }
        _ => long_varint(rest),
    }
}

fn long_varint(rest: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0u64;
    for (at, &byte) in rest.iter().enumerate().take(10) {
        if at == 9 && byte > 1 {
            return Err(Malformed("a number beyond 64 bits"));
        }
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            *rest = rest.get(at + 1..).unwrap_or_default();
            return Ok(value);
        }
    }
    Err(if rest.len() < 10 {
        ENDS
    } else {
        Malformed("a number beyond 64 bits")
    })
}

/// Writes a varint.
pub(crate) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes a field of bytes, a text or a message.
pub(crate) fn put_bytes(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    put_varint(u64::from(number) << 3 | 2, out);
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Writes a field of a number.
pub(crate) fn put_number(number: u32, value: u64, out: &mut Vec<u8>) {
    put_varint(u64::from(number) << 3, out);
    put_varint(value, out);
}
