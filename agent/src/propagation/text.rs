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
