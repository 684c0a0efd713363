use super::*;

fn sample(owner: u32, size_bytes: u64) -> Sample {
    Sample { owner, size_bytes }
}

fn all(live: &Live) -> Vec<Sample> {
    let mut all = Vec::new();
    live.for_each(|sample| all.push(sample));
    all
}

/// On the heap: too large for a test's stack.
fn table() -> &'static Live {
    Box::leak(Box::new(const { Live::new() }))
}

#[test]
fn a_sample_is_one_word() {
    for size in [0, 1, 4_095, (1 << 26) - 1, 1 << 26, 1 << 40] {
        for owner in [0, 1, u32::MAX] {
            let sample = sample(owner, size);
            assert_eq!(Sample::unpack(sample.pack()), sample);
        }
    }
    let odd = Sample::unpack(sample(7, (1 << 40) + 12_345).pack());
    assert_eq!(odd.owner, 7);
    assert!((1 << 40..=(1 << 40) + 12_345).contains(&odd.size_bytes));
    assert!((1 << 40) + 12_345 - odd.size_bytes < 1 << 15);
}

#[test]
fn what_was_inserted_is_found_once_and_nothing_else() {
    let live = table();
    for n in 1..=1_000_u64 {
        live.insert(n << 12, sample(1, n));
    }
    assert_eq!(all(live).len(), 1_000);
    for n in 1..=1_000_u64 {
        assert!(live.may_hold(n << 12));
        assert_eq!(live.remove((n << 12) + 64), None);
        assert_eq!(live.remove(n << 12), Some(sample(1, n)));
        assert_eq!(live.remove(n << 12), None);
    }
    assert!(all(live).is_empty());
    assert!(
        live.filter
            .iter()
            .all(|word| word.load(Ordering::Relaxed) == 0),
        "an empty table lets every address through"
    );
    assert_eq!(live.take_lost(), 0);
}

#[test]
fn a_full_bucket_loses_and_counts() {
    let live = table();
    let bucket = place(1 << 12).bucket;
    let same: Vec<u64> = (1..)
        .map(|n| n << 12)
        .filter(|address| place(*address).bucket == bucket)
        .take(WAYS + 3)
        .collect();
    for address in &same {
        live.insert(*address, sample(1, 1));
    }
    assert_eq!(all(live).len(), WAYS);
    assert_eq!(live.take_lost(), 3);
    assert_eq!(live.take_lost(), 0, "counted once");
    assert_eq!(live.remove(same[WAYS]), None);
    // A slot that becomes free is used again.
    live.remove(same[3]).unwrap();
    live.insert(same[WAYS], sample(2, 2));
    assert_eq!(live.remove(same[WAYS]), Some(sample(2, 2)));
    live.clear();
    assert!(all(live).is_empty());
}

#[test]
fn most_addresses_that_are_not_samples_are_told_by_the_filter() {
    let live = table();
    for n in 0..1_024_u64 {
        live.insert(0x7f00_0000_0000 + n * 524_289 * 16, sample(1, 1));
    }
    let passed = (0..100_000_u64)
        .filter(|n| live.may_hold(0x5500_0000_0000 + n * 48))
        .count();
    // 1 024 samples on 32 768 counters.
    assert!((1_500..5_000).contains(&passed), "{passed} of 100000");
}

/// Each thread owns its addresses, as each allocation has one owner; buckets are shared.
#[test]
fn threads_do_not_lose_each_other() {
    const THREADS: u64 = 4;
    let rounds = if cfg!(miri) { 20 } else { 2_000 };
    let live = table();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                for round in 0..rounds {
                    let address = |n: u64| ((n * THREADS + thread + 1) << 4) + (round << 20);
                    for n in 0..64 {
                        live.insert(address(n), sample(thread as u32, n + 1));
                    }
                    for n in 0..64 {
                        assert!(live.may_hold(address(n)));
                        assert_eq!(live.remove(address(n)), Some(sample(thread as u32, n + 1)));
                    }
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..rounds / 10 {
                live.for_each(|sample| assert!(u64::from(sample.owner) < THREADS));
            }
        });
    });
    assert!(all(live).is_empty());
    assert!(
        live.filter
            .iter()
            .all(|word| word.load(Ordering::Relaxed) == 0)
    );
    assert_eq!(live.take_lost(), 0);
}
