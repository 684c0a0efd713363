//! Bytes that nobody meant to send: no panic, and what is accepted means what the generated decoder reads.

use proptest::collection::vec;
use proptest::prelude::*;
use weighbridge_wire::{Delta, FoldedRange, FoldedWindow, ServiceId};

use crate::{oracle, samples};

#[derive(Clone, Debug)]
enum Damage {
    Set(usize, u8),
    Flip(usize, u8),
    Insert(usize, u8),
    Remove(usize),
    Repeat(usize, usize),
    Cut(usize),
    Append(Vec<u8>),
}

fn any_damage() -> impl Strategy<Value = Damage> {
    let at = || any::<usize>();
    prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        4 => (at(), 0..8u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        2 => (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Insert(at, byte)),
        2 => at().prop_map(Damage::Remove),
        2 => (at(), 1..200usize).prop_map(|(at, len)| Damage::Repeat(at, len)),
        1 => at().prop_map(Damage::Cut),
        1 => vec(any::<u8>(), 1..12).prop_map(Damage::Append),
    ]
}

fn damaged(mut bytes: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    for damage in damages {
        let len = bytes.len().max(1);
        match damage {
            Damage::Set(at, byte) => {
                if let Some(place) = bytes.get_mut(at % len) {
                    *place = *byte;
                }
            }
            Damage::Flip(at, bit) => {
                if let Some(place) = bytes.get_mut(at % len) {
                    *place ^= 1 << bit;
                }
            }
            Damage::Insert(at, byte) => bytes.insert(at % len.min(bytes.len() + 1), *byte),
            Damage::Remove(at) => {
                if !bytes.is_empty() {
                    bytes.remove(at % len);
                }
            }
            Damage::Repeat(at, count) => {
                let start = (at % len).min(bytes.len());
                let end = (start + count).min(bytes.len());
                bytes.extend_from_within(start..end);
            }
            Damage::Cut(at) => bytes.truncate(at % len),
            Damage::Append(more) => bytes.extend(more),
        }
    }
    bytes
}

/// Holds for all bytes.
fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    let _ = FoldedWindow::decode(bytes);
    let _ = FoldedRange::decode(bytes);
    if let Ok(delta) = Delta::decode(bytes) {
        prop_assert_eq!(oracle::delta(bytes), Some(delta.clone()));
        prop_assert_eq!(
            Delta::decode(&delta.encode()),
            Ok(delta),
            "what is accepted can be sent on"
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn random_bytes(bytes in vec(any::<u8>(), 0..400)) {
        check(&bytes)?;
    }

    #[test]
    fn random_fields(fields in vec((0..11u8, 0..6u8, vec(any::<u8>(), 0..20)), 0..20)) {
        let mut bytes = vec![1 << 3, 1];
        for (number, wire_type, body) in fields {
            bytes.push(number << 3 | wire_type);
            if wire_type == 2 {
                bytes.push(u8::try_from(body.len()).unwrap());
            }
            bytes.extend(body);
        }
        check(&bytes)?;
    }

    #[test]
    fn damaged_deltas(damages in vec(any_damage(), 1..6)) {
        check(&damaged(samples::delta().encode(), &damages))?;
    }

    #[test]
    fn damaged_ranges(damages in vec(any_damage(), 1..6)) {
        let window = samples::delta().window;
        let folded =
            FoldedWindow { service: ServiceId::default(), window, rows: samples::rows() };
        let range = FoldedRange { window, windows: vec![folded.clone(), folded] };
        let bytes = damaged(range.encode(), &damages);
        if let Ok(range) = FoldedRange::decode(&bytes) {
            prop_assert_eq!(FoldedRange::decode(&range.encode()), Ok(range));
        }
        check(&bytes)?;
    }
}

#[test]
fn every_cut_of_a_delta_is_refused_or_a_shorter_delta() {
    let bytes = samples::delta().encode();
    for at in 0..bytes.len() {
        check(&bytes[..at]).unwrap();
    }
}
