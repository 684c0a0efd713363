//! Percent-encoding of names inside header values.

use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::NAME_BYTES_MAX;

/// Everything but the unreserved characters: what is left may stand in a baggage value and in a property.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Appends the encoded name, cut to [`NAME_BYTES_MAX`].
pub(super) fn push_encoded(out: &mut String, name: &str) {
    let name = &name[..name.floor_char_boundary(NAME_BYTES_MAX)];
    out.extend(utf8_percent_encode(name, RESERVED));
}

/// Appends a number. Formatting by the standard library costs several times as much, and is on each message's way.
pub(super) fn push_decimal(out: &mut String, mut n: u64) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] += (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend(digits[at..].iter().map(|&digit| char::from(digit)));
}

/// Appends so many hex digits of a number, lower case.
pub(super) fn push_hex(out: &mut String, n: u64, digits: u32) {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    out.extend(
        (0..digits)
            .rev()
            .map(|digit| char::from(DIGITS[(n >> (4 * digit)) as usize & 0xf])),
    );
}

/// Reads an encoded name. `None` when it is not UTF-8 or holds control characters.
pub(super) fn decoded(encoded: &str) -> Option<Arc<str>> {
    // Three bytes of text stand for at most one byte of the name.
    let encoded = &encoded[..encoded.floor_char_boundary(3 * NAME_BYTES_MAX + 3)];
    let name = percent_decode_str(encoded).decode_utf8().ok()?;
    if name.chars().any(char::is_control) {
        return None;
    }
    Some(name[..name.floor_char_boundary(NAME_BYTES_MAX)].into())
}
