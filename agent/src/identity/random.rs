//! Random ids: the operating system's source where it can be read, the standard library's hash keys otherwise.

use std::hash::{BuildHasher as _, RandomState};
use std::io::Read as _;

use sha2::{Digest as _, Sha256};

/// Sixteen random bytes, for an epoch.
pub(crate) fn random_bytes() -> [u8; 16] {
    let mut bytes = [0; 16];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut bytes));
    if read.is_ok() {
        return bytes;
    }
    // `RandomState` is keyed by the operating system; the hash spreads its 128 bits over the result.
    let mut hash = Sha256::new();
    hash.update(random_u64().to_le_bytes());
    hash.update(random_u64().to_le_bytes());
    hash.update(std::process::id().to_le_bytes());
    let digest = hash.finalize();
    bytes.copy_from_slice(&digest[..16]);
    bytes
}

/// A random number from the hash keys of the standard library: good enough for ids, not for secrets.
pub(crate) fn random_u64() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_do_not_repeat() {
        let ids: std::collections::HashSet<_> = (0..1_000).map(|_| random_bytes()).collect();
        assert_eq!(ids.len(), 1_000);
        let ids: std::collections::HashSet<_> = (0..1_000).map(|_| random_u64()).collect();
        assert_eq!(ids.len(), 1_000);
    }
}
