//! The hash of what was read: the seed of all random numbers of a report.

use sha2::{Digest as _, Sha256};
use weighbridge_wire::{FoldedWindow, RowSet, Window};

/// SHA-256 over windows, in the order in which they are given. Each of their parts has its length before it, so that no
/// two different ranges are the same bytes; and nothing is copied for it, since a large range has millions of rows.
#[derive(Default)]
pub(super) struct Digest {
    hash: Sha256,
    bytes: Vec<u8>,
}

impl Digest {
    pub(super) fn of(window: Window) -> Self {
        let mut digest = Self::default();
        digest.window(window);
        digest
    }

    pub(super) fn add(&mut self, folded: &FoldedWindow) {
        let of = &folded.service;
        for name in [
            &of.tenant,
            &of.namespace,
            &of.environment,
            &of.service,
            &of.version,
        ] {
            self.text(name);
        }
        self.window(folded.window);
        self.rows(&folded.rows);
        self.hash.update(&self.bytes);
        self.bytes.clear();
    }

    /// The first eight bytes of the hash.
    pub(super) fn seed(mut self) -> u64 {
        self.hash.update(&self.bytes);
        let mut first = [0u8; 8];
        let digest = self.hash.finalize();
        first
            .iter_mut()
            .zip(digest.iter())
            .for_each(|(to, from)| *to = *from);
        u64::from_be_bytes(first)
    }

    fn rows(&mut self, rows: &RowSet) {
        self.count(rows.len());
        for (key, value) in rows.iter() {
            self.number(u64::from(key.kind));
            self.number(u64::from(key.quality.to_wire()));
            self.count(key.parts.len());
            for part in &key.parts {
                self.text(part);
            }
            self.count(value.columns().count());
            for (column, figure) in value.columns() {
                self.number(u64::from(column));
                self.number(figure.cast_unsigned().rotate_left(1));
            }
            self.count(value.histograms().count());
            for (column, histogram) in value.histograms() {
                self.number(u64::from(column));
                self.count(histogram.buckets().count());
                for (bucket, count) in histogram.buckets() {
                    self.number(u64::from(bucket));
                    self.number(count);
                }
            }
            self.count(value.sketches().count());
            for (column, sketch) in value.sketches() {
                self.number(u64::from(column));
                self.number(u64::from(sketch.k()));
                self.count(sketch.hashes().count());
                for hash in sketch.hashes() {
                    self.number(hash);
                }
            }
        }
    }

    fn window(&mut self, window: Window) {
        self.number(window.start_unix_ns);
        self.number(window.end_unix_ns);
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn count(&mut self, count: usize) {
        self.number(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// Seven bits a byte, the last one without the eighth: most numbers are small.
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push((number & 0x7f) as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::System;
    use weighbridge_wire::{Quality, RowKey, RowKind, RowValue, Sketch, column};

    fn seed(change: impl Fn(&mut FoldedWindow)) -> u64 {
        let mut s = System::new(2);
        s.root("one", "GET /a", 20, [1_000_000; 6]);
        let mut range = s.range();
        change(&mut range.windows[1]);
        let mut digest = Digest::of(range.window);
        range.windows.iter().for_each(|folded| digest.add(folded));
        digest.seed()
    }

    #[test]
    fn whatever_changes_in_a_range_changes_its_seed() {
        let row = |folded: &mut FoldedWindow, change: &dyn Fn(&mut RowValue)| {
            let key = folded.rows.iter().next().unwrap().0.clone();
            change(folded.rows.get_mut(&key).unwrap());
        };
        let wall = |value: u64| {
            seed(|folded| {
                row(folded, &|row| {
                    row.histogram_mut(column::HIST_WALL_NS).record(value);
                });
            })
        };
        let key = |key: u64| {
            seed(|folded| {
                row(folded, &|row| {
                    let mut keys = Sketch::new(4);
                    keys.insert(key);
                    row.add_sketch(column::SKETCH_KEYS, &keys);
                });
            })
        };
        let ended = |more| seed(|folded| row(folded, &|row| row.add(column::ENDED, more)));
        let mut seeds = vec![
            seed(|_| {}),
            seed(|folded| folded.service.version = "2".to_owned()),
            seed(|folded| folded.service.tenant = "2".to_owned()),
            seed(|folded| folded.window.end_unix_ns += 1),
            ended(1),
            ended(-100),
            wall(7),
            wall(800),
            key(9),
            key(10),
            seed(|folded| {
                let of = |(key, value): (&RowKey, &RowValue)| (key.clone(), value.clone());
                let (mut key, value) = folded.rows.iter().next().map(of).unwrap();
                key.quality = Quality::Estimated;
                folded.rows.add(key, &value);
            }),
            seed(|folded| {
                let series = RowKind::Series.to_wire();
                folded.rows.retain(|key| key.kind != series);
            }),
        ];
        assert_eq!(seeds[0], seed(|_| {}), "and nothing else does");
        let all = seeds.len();
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(seeds.len(), all);
    }
}
