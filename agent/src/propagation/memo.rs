//! Texts of headers that a thread has made or read lately: most messages of a service say the same of their chain,
//! and to encode or decode its names again each time would cost more than the rest of a header.

use std::cell::RefCell;
use std::hash::Hasher as _;
use std::sync::Arc;
use std::thread::LocalKey;

use rustc_hash::FxHasher;

use super::text::push_encoded;
use super::{Hop, Party};

/// How many texts of each kind a thread remembers: a power of two.
const PLACES: usize = 64;
/// Longest text that is remembered, in bytes.
const TEXT_BYTES_MAX: usize = 512;

/// `service;operation`, encoded.
struct Made {
    /// Keeps the names where they are, so that no others can stand there.
    party: Party,
    text: Box<str>,
}

struct Seen<T> {
    text: Box<str>,
    value: T,
}

type Places<T> = RefCell<[Option<T>; PLACES]>;

thread_local! {
    static MADE: Places<Made> = const { RefCell::new([const { None }; PLACES]) };
    static HOPS: Places<Seen<Hop>> = const { RefCell::new([const { None }; PLACES]) };
    static PARTIES: Places<Seen<Party>> = const { RefCell::new([const { None }; PLACES]) };
}

/// Appends `service;operation`, both encoded.
pub(super) fn push_party(out: &mut String, party: &Party) {
    let begun = out.len();
    let place = party.operation.as_ptr().addr() / 16 % PLACES;
    let recalled = MADE.try_with(|made| {
        let made = made.try_borrow().ok()?;
        let known = made[place].as_ref()?;
        let same = Arc::ptr_eq(&known.party.operation, &party.operation)
            && Arc::ptr_eq(&known.party.service, &party.service);
        same.then(|| out.push_str(&known.text))
    });
    if let Ok(Some(())) = recalled {
        return;
    }
    push_encoded(out, &party.service);
    out.push(';');
    push_encoded(out, &party.operation);
    let text = &out[begun..];
    if text.len() <= TEXT_BYTES_MAX {
        let made = Made {
            party: party.clone(),
            text: text.into(),
        };
        let _ = MADE.try_with(|known| {
            if let Ok(mut known) = known.try_borrow_mut() {
                known[place] = Some(made);
            }
        });
    }
}

/// The hop of this text, read by `read` unless this thread has read it lately.
pub(super) fn hop(text: &str, read: impl Fn() -> Option<Hop>) -> Option<Hop> {
    remembered(&HOPS, text, read)
}

/// The party of this text, as [`hop`].
pub(super) fn party(text: &str, read: impl Fn() -> Option<Party>) -> Option<Party> {
    remembered(&PARTIES, text, read)
}

fn remembered<T: Clone>(
    seen: &'static LocalKey<Places<Seen<T>>>,
    text: &str,
    read: impl Fn() -> Option<T>,
) -> Option<T> {
    // A thread that ends has forgotten everything.
    seen.try_with(|seen| recall(seen, text, &read))
        .unwrap_or_else(|_| read())
}

fn recall<T: Clone>(
    seen: &Places<Seen<T>>,
    text: &str,
    read: impl FnOnce() -> Option<T>,
) -> Option<T> {
    if text.len() > TEXT_BYTES_MAX {
        return read();
    }
    let Ok(mut seen) = seen.try_borrow_mut() else {
        return read();
    };
    let mut hasher = FxHasher::default();
    hasher.write(text.as_bytes());
    let place = &mut seen[(hasher.finish() >> 32) as usize % PLACES];
    if let Some(known) = place
        && *known.text == *text
    {
        return Some(known.value.clone());
    }
    let value = read()?;
    *place = Some(Seen {
        text: text.into(),
        value: value.clone(),
    });
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn party_of(service: &str, operation: &str) -> Party {
        Party {
            service: service.into(),
            operation: operation.into(),
        }
    }

    fn pushed(party: &Party) -> String {
        let mut out = "=".to_owned();
        push_party(&mut out, party);
        out
    }

    #[test]
    fn what_is_remembered_is_what_was_made() {
        let shared = party_of("shop", "GET /a;b");
        for _ in 0..2 {
            assert_eq!(pushed(&shared), "=shop;GET%20%2Fa%3Bb");
        }
        // More names than places, and another service with the same operation.
        let many: Vec<_> = (0..4 * PLACES)
            .map(|n| party_of("shop", &n.to_string()))
            .collect();
        for _ in 0..2 {
            for (n, party) in many.iter().enumerate() {
                assert_eq!(pushed(party), format!("=shop;{n}"));
            }
        }
        let other = Party {
            service: "bank".into(),
            operation: shared.operation.clone(),
        };
        assert_eq!(pushed(&other), "=bank;GET%20%2Fa%3Bb");
        assert_eq!(pushed(&shared), "=shop;GET%20%2Fa%3Bb");
    }

    #[test]
    fn what_cannot_be_read_is_not_remembered() {
        assert_eq!(party("x;y", || None), None);
        let read = || Some(party_of("x", "y"));
        assert_eq!(party("x;y", read), read());
        assert_eq!(party("x;y", || unreachable!("it was read")), read());
        let long = "l".repeat(TEXT_BYTES_MAX + 1);
        assert_eq!(party(&long, read), read());
        assert_eq!(party(&long, || None), None);
    }
}
