//! Hashes of keys: the same in all instances that share a secret, and telling nothing to those who do not have it.

#![allow(deprecated)] // the only keyed hasher of the standard library whose result is defined

use std::fmt::{Display, Write};
use std::hash::{Hasher as _, SipHasher};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::KEY_SECRET_BYTES_MIN;
use crate::identity::random_u64;

/// Names what the derived key is for, so that a secret used elsewhere too gives another key there.
const PURPOSE: &[u8] = b"weighbridge keys of entities, version 1";

/// A secret that the instances of a deployment share. Its text never reaches a log.
#[derive(Clone, Copy)]
pub(crate) struct KeySecret([u64; 2]);

impl std::fmt::Debug for KeySecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeySecret(..)")
    }
}

/// Why a secret cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the secret is shorter than {KEY_SECRET_BYTES_MIN} bytes; use a random one, the same in all instances"
)]
pub(crate) struct SecretTooShort;

impl KeySecret {
    /// Takes any text that is long enough.
    pub(crate) fn parse(text: &str) -> Result<Self, SecretTooShort> {
        if text.len() < KEY_SECRET_BYTES_MIN {
            return Err(SecretTooShort);
        }
        // HMAC takes keys of any length.
        let mut mac =
            Hmac::<Sha256>::new_from_slice(text.as_bytes()).map_err(|_| SecretTooShort)?;
        mac.update(PURPOSE);
        let bytes = mac.finalize().into_bytes();
        let half = |from: usize| {
            bytes[from..from + 8]
                .iter()
                .fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte))
        };
        Ok(Self([half(0), half(8)]))
    }
}

/// The key of the hashes. Until a secret is set it is this process's own.
static KEY: LazyLock<[AtomicU64; 2]> =
    LazyLock::new(|| [random_u64(), random_u64()].map(AtomicU64::new));
static SHARED: AtomicBool = AtomicBool::new(false);

/// Sets the secret, or goes back to one of this process's own.
pub(crate) fn set_secret(secret: Option<KeySecret>) {
    let key = secret.map_or_else(|| [random_u64(), random_u64()], |secret| secret.0);
    SHARED.store(false, Ordering::SeqCst);
    for (part, value) in KEY.iter().zip(key) {
        part.store(value, Ordering::SeqCst);
    }
    SHARED.store(secret.is_some(), Ordering::SeqCst);
}

/// A hashed key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyHash {
    pub(crate) hash: u64,
    /// True when the hash means the same in other instances.
    pub(crate) shared: bool,
}

/// SipHash-2-4 of the key's text.
pub(super) fn of(key: &dyn Display) -> KeyHash {
    let shared = SHARED.load(Ordering::SeqCst);
    let [k0, k1] = [0, 1].map(|n: usize| KEY[n].load(Ordering::SeqCst));
    let mut into = Text(SipHasher::new_with_keys(k0, k1));
    // Text that cannot be made is hashed as far as it went.
    let _ = write!(into, "{key}");
    KeyHash {
        hash: into.0.finish(),
        shared,
    }
}

struct Text(SipHasher);

impl Write for Text {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(secret: &str, key: &dyn Display) -> u64 {
        let [k0, k1] = KeySecret::parse(secret).unwrap().0;
        let mut into = Text(SipHasher::new_with_keys(k0, k1));
        write!(into, "{key}").unwrap();
        into.0.finish()
    }

    #[test]
    fn a_hash_is_that_of_the_text_and_of_the_secret() {
        let secret = "sixteen bytes or more";
        assert_eq!(with(secret, &17), with(secret, &"17"));
        assert_eq!(
            with(secret, &format_args!("{}-{}", "ab", "c")),
            with(secret, &"ab-c"),
            "pieces do not matter"
        );
        assert_ne!(with(secret, &17), with(secret, &18));
        assert_ne!(with(secret, &17), with("another secret of it", &17));
        // Instances of all versions have to agree.
        assert_eq!(with(secret, &"A1"), 0x42673c4c1a8afcae);
    }

    #[test]
    fn a_short_secret_is_refused_and_none_is_shown() {
        let short = KeySecret::parse("fifteen bytes..").unwrap_err();
        assert!(!short.to_string().contains("fifteen"));
        let secret = KeySecret::parse("sixteen bytes or more").unwrap();
        assert_eq!(format!("{secret:?}"), "KeySecret(..)");
    }
}
