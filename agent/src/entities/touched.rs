//! The keys that one request touched.

use std::sync::Arc;

use super::KEY_ENTITIES_MAX;
use crate::ledger::{EntityName, Shard, loss};

/// Different keys of one entity, as far as it matters: none, one, two, more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Distinct {
    seen: [u64; 2],
    count: u8,
}

impl Distinct {
    fn touch(&mut self, hash: u64) {
        let known = usize::from(self.count).min(self.seen.len());
        if self.count > 2 || self.seen[..known].contains(&hash) {
            return;
        }
        if let Some(place) = self.seen.get_mut(known) {
            *place = hash;
        }
        self.count += 1;
    }

    /// Place among one, two, more.
    pub(crate) fn class(self) -> usize {
        usize::from(self.count.clamp(1, 3)) - 1
    }
}

/// Entities of which a request touched keys.
#[derive(Debug, Default)]
pub(crate) struct Touched(Vec<(Arc<EntityName>, Distinct)>);

impl Touched {
    pub(crate) fn touch(&mut self, name: &Arc<EntityName>, hash: u64) {
        let known = self
            .0
            .iter()
            .position(|(known, _)| Arc::ptr_eq(known, name));
        match known.and_then(|n| self.0.get_mut(n)) {
            Some((_, keys)) => keys.touch(hash),
            None => self.add(name, hash),
        }
    }

    fn add(&mut self, name: &Arc<EntityName>, hash: u64) {
        if self.0.len() >= KEY_ENTITIES_MAX {
            loss("agent.keys", "too many entities in a request", 1);
            return;
        }
        let mut keys = Distinct::default();
        keys.touch(hash);
        self.0.push((name.clone(), keys));
    }

    /// The request has closed.
    pub(crate) fn close(self, shard: &mut Shard) {
        for (name, keys) in self.0 {
            shard.keys(&name, keys);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_keys_are_told_up_to_more_than_two() {
        let class = |hashes: &[u64]| {
            let mut keys = Distinct::default();
            hashes.iter().for_each(|hash| keys.touch(*hash));
            keys.class()
        };
        assert_eq!(class(&[7]), 0);
        assert_eq!(class(&[0, 0, 0]), 0);
        assert_eq!(class(&[7, 8, 7, 8]), 1);
        assert_eq!(class(&[7, 8, 9]), 2);
        assert_eq!(class(&[7, 8, 9, 10, 7]), 2);
    }
}
