//! The wrapper over allocators that record, fail or count. The process's own allocator in these tests is the
//! bare one, so that only what is asked of the wrapper by hand is counted.

use std::cell::{Cell, RefCell};
use std::sync::Mutex;

use proptest::prelude::*;
use weighbridge_wire::{Class, OwnerKind};

use super::*;
use crate::account::{self, Account, OwnerRef};
use crate::ledger::ledger;
use crate::testing::{Books, on_thread};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Alloc(Layout),
    Zeroed(Layout),
    Realloc(usize, Layout, usize),
    Dealloc(usize, Layout),
}

/// Notes every call, and fails on demand.
#[derive(Default)]
struct Recorder {
    calls: RefCell<Vec<Call>>,
    fails: Cell<bool>,
}

impl Recorder {
    fn result(&self, call: Call, make: impl FnOnce() -> *mut u8) -> *mut u8 {
        self.calls.borrow_mut().push(call);
        if self.fails.get() {
            std::ptr::null_mut()
        } else {
            make()
        }
    }
}

// SAFETY: what does not fail goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Recorder {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is passed on.
        self.result(Call::Alloc(layout), || unsafe { System.alloc(layout) })
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        self.calls
            .borrow_mut()
            .push(Call::Dealloc(ptr as usize, layout));
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        self.result(Call::Zeroed(layout), || unsafe {
            System.alloc_zeroed(layout)
        })
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: as above.
        self.result(Call::Realloc(ptr as usize, layout, new_size), || unsafe {
            System.realloc(ptr, layout, new_size)
        })
    }
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

fn since(before: Counts) -> [i64; 3] {
    let now = snapshot();
    [
        now.alloc_bytes - before.alloc_bytes,
        now.alloc_count - before.alloc_count,
        now.freed_bytes - before.freed_bytes,
    ]
}

#[test]
fn every_call_is_passed_on_as_it_is() {
    let _books = Books::open();
    let alloc = Alloc::new(Recorder::default());
    let before = snapshot();
    let (plain, zeroed) = (layout(100, 8), layout(5_000, 4_096));
    // SAFETY: sizes are not zero, and each pointer is used with its layout until it is freed.
    let calls = unsafe {
        let a = alloc.alloc(plain);
        let b = alloc.alloc_zeroed(zeroed);
        assert_eq!(b as usize % 4_096, 0);
        assert!((0..5_000).all(|n| *b.add(n) == 0));
        *a.add(99) = 7;
        let c = alloc.realloc(a, plain, 200);
        assert_eq!(*c.add(99), 7);
        alloc.dealloc(c, layout(200, 8));
        alloc.dealloc(b, zeroed);
        [
            Call::Alloc(plain),
            Call::Zeroed(zeroed),
            Call::Realloc(a as usize, plain, 200),
            Call::Dealloc(c as usize, layout(200, 8)),
            Call::Dealloc(b as usize, zeroed),
        ]
    };
    assert_eq!(*alloc.inner.calls.borrow(), calls);
    assert_eq!(since(before), [5_300, 3, 5_300]);
}

#[test]
fn what_fails_is_null_and_counts_nothing() {
    let _books = Books::open();
    let alloc = Alloc::new(Recorder::default());
    let plain = layout(100, 8);
    // One point a byte: every allocation is a sample.
    start_sampling(1, 3);
    // SAFETY: as in the test before; a realloc that fails leaves its allocation as it was.
    unsafe {
        let kept = alloc.alloc(plain);
        alloc.inner.fails.set(true);
        let before = snapshot();
        assert!(alloc.alloc(plain).is_null());
        assert!(alloc.alloc_zeroed(plain).is_null());
        assert!(alloc.realloc(kept, plain, usize::MAX / 4).is_null());
        assert_eq!(since(before), [0, 0, 0]);
        assert_eq!(snapshot().net_peak_bytes, before.net_peak_bytes);
        assert!(!LIVE.is_empty(), "what could not be moved is alive");
        alloc.dealloc(kept, plain);
        assert_eq!(since(before), [0, 0, 100]);
    }
    assert!(LIVE.is_empty());
    set_counting(true);
}

#[test]
fn nothing_is_counted_while_it_is_switched_off() {
    let books = Books::open();
    crate::state::stop_measuring();
    let alloc = Alloc::system();
    let before = snapshot();
    // SAFETY: the pointer is freed with its layout.
    unsafe {
        let ptr = alloc.alloc(layout(64, 8));
        alloc.dealloc(ptr, layout(64, 8));
    }
    assert_eq!(since(before), [0, 0, 0]);
    crate::state::start_measuring();
    drop(books);
}

/// A destructor that runs after all others of its thread, as the allocator meets them.
#[test]
fn a_thread_s_last_destructors_are_counted_and_harmless() {
    static SEEN: Mutex<Vec<[i64; 3]>> = Mutex::new(Vec::new());
    struct Last(u8);
    impl Drop for Last {
        fn drop(&mut self) {
            let before = snapshot();
            let alloc = Alloc::system();
            // SAFETY: the pointer is freed with its layout.
            unsafe {
                let ptr = alloc.alloc(layout(1_000, 8));
                let ptr = alloc.realloc(ptr, layout(1_000, 8), 2_000);
                alloc.dealloc(ptr, layout(2_000, 8));
            }
            // Its account may be gone: nothing happens then.
            drop(account::enter(Account::new(
                OwnerRef::Named(crate::ledger::OwnerId(0)),
                Class::Handler,
            )));
            SEEN.lock().unwrap().push(since(before));
            assert_eq!(self.0, 1);
        }
    }
    thread_local! {
        static FIRST: Last = const { Last(1) };
        static SECOND: Last = const { Last(1) };
    }
    let _books = Books::open();
    const THREADS: usize = 64;
    for _ in 0..THREADS / 8 {
        std::thread::scope(|scope| {
            for n in 0..8 {
                scope.spawn(move || {
                    // Before and after the account's own storage is first used.
                    if n % 2 == 0 {
                        FIRST.with(|first| assert_eq!(first.0, 1));
                    }
                    drop(account::enter(Account::new(
                        account::owner(OwnerKind::Background, "teardown"),
                        Class::Handler,
                    )));
                    if n % 2 == 1 {
                        FIRST.with(|first| assert_eq!(first.0, 1));
                    }
                    SECOND.with(|second| assert_eq!(second.0, 1));
                });
            }
        });
    }
    // A scope waits for its closures, not for the destructors of their threads.
    let begun = crate::clock::monotonic_ns();
    while SEEN.lock().unwrap().len() < 2 * THREADS {
        assert!(crate::clock::monotonic_ns() - begun < 10_000_000_000);
        std::thread::yield_now();
    }
    assert!(
        SEEN.lock()
            .unwrap()
            .iter()
            .all(|seen| *seen == [3_000, 2, 3_000])
    );
}

/// One step of a random program.
#[derive(Clone, Debug)]
enum Step {
    Alloc {
        size: usize,
        align: usize,
        zeroed: bool,
    },
    Realloc {
        which: usize,
        size: usize,
    },
    Free {
        which: usize,
    },
    /// Gives the object to the next thread.
    Give {
        which: usize,
    },
    /// Makes another owner current.
    Owner(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![8 => 1..300_usize, 2 => 300..20_000_usize, 1 => 20_000..2_000_000_usize];
    prop_oneof![
        6 => (size.clone(), 0..8_u32, any::<bool>())
            .prop_map(|(size, align, zeroed)| Step::Alloc { size, align: 1 << align, zeroed }),
        3 => (any::<usize>(), size).prop_map(|(which, size)| Step::Realloc { which, size }),
        4 => any::<usize>().prop_map(|which| Step::Free { which }),
        2 => any::<usize>().prop_map(|which| Step::Give { which }),
        2 => (0..OWNERS.len()).prop_map(Step::Owner),
    ]
}

const OWNERS: [&str; 3] = ["oracle a", "oracle b", "oracle c"];

/// A raw allocation on its way to another thread.
struct Object(*mut u8, Layout);

// SAFETY: an allocation may be used and freed on any thread; an object has one holder at a time.
unsafe impl Send for Object {}

/// What a thread did, counted by hand.
#[derive(Debug, Default, PartialEq, Eq)]
struct Oracle {
    thread: [i64; 3],
    owners: [[i64; 3]; OWNERS.len()],
    peak: i64,
}

impl Oracle {
    fn add(&mut self, owner: usize, change: [i64; 3]) {
        for sums in [&mut self.thread, &mut self.owners[owner]] {
            for (sum, change) in sums.iter_mut().zip(change) {
                *sum += change;
            }
        }
        self.peak = self.peak.max(self.thread[0] - self.thread[2]);
    }
}

/// Runs a program; objects come from the thread before and go to the next one.
fn run(
    steps: &[Step],
    mut objects: Vec<Object>,
    owners: &[OwnerRef],
) -> (Oracle, Vec<Object>, Counts, Counts) {
    let alloc = Alloc::system();
    let (mut oracle, mut given, mut current) = (Oracle::default(), Vec::new(), 0);
    let before = restart_peak();
    let account = |n: usize| Account::new(owners[n].clone(), Class::Handler);
    let entered = account::enter(account(0));
    let mut highest = 0;
    for step in steps {
        // SAFETY: sizes are not zero; each object is freed or moved once, with its layout.
        unsafe {
            match *step {
                Step::Alloc {
                    size,
                    align,
                    zeroed,
                } => {
                    let layout = layout(size, align);
                    let ptr = if zeroed {
                        alloc.alloc_zeroed(layout)
                    } else {
                        alloc.alloc(layout)
                    };
                    assert!(!ptr.is_null());
                    *ptr.add(size - 1) = 1;
                    objects.push(Object(ptr, layout));
                    oracle.add(current, [size as i64, 1, 0]);
                }
                Step::Realloc { which, size } if !objects.is_empty() => {
                    let n = which % objects.len();
                    let Object(ptr, old) = &mut objects[n];
                    *ptr = alloc.realloc(*ptr, *old, size);
                    assert!(!ptr.is_null());
                    *ptr.add(size - 1) = 1;
                    oracle.add(current, [size as i64, 1, old.size() as i64]);
                    *old = layout(size, old.align());
                }
                Step::Free { which } if !objects.is_empty() => {
                    let Object(ptr, layout) = objects.swap_remove(which % objects.len());
                    alloc.dealloc(ptr, layout);
                    oracle.add(current, [0, 0, layout.size() as i64]);
                }
                Step::Give { which } if !objects.is_empty() => {
                    given.push(objects.swap_remove(which % objects.len()));
                }
                Step::Owner(owner) => {
                    // Crossing restarts the peak.
                    highest = highest.max(snapshot().net_peak_bytes - before.net_bytes());
                    account::replace_current(account(owner));
                    current = owner;
                }
                _ => {}
            }
        }
    }
    highest = highest.max(snapshot().net_peak_bytes - before.net_bytes());
    assert_eq!(highest, oracle.peak, "the peak of the thread's balance");
    let after = snapshot();
    drop(entered);
    given.append(&mut objects);
    (oracle, given, before, after)
}

/// What is booked to an owner so far.
fn booked(owner: &OwnerRef) -> [i64; 3] {
    let OwnerRef::Named(id) = owner else {
        return [0; 3];
    };
    let mut sum = [0; 3];
    for shard in 0..8 {
        if let Some(cost) = ledger().shard(shard).owners.get(id.0 as usize) {
            sum[0] += cost.alloc_bytes;
            sum[1] += cost.alloc_count;
            sum[2] += cost.freed_bytes;
        }
    }
    sum
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Random programs on threads that hand objects on: every count of a thread is the oracle's, and what the
    /// threads' owners are booked is what was done while each was current.
    #[test]
    fn counts_are_the_oracle_s_over_threads_and_owners(
        programs in prop::collection::vec(prop::collection::vec(step(), 1..120), 1..4),
        dense in any::<bool>(),
    ) {
        let _books = Books::open();
        if dense {
            // The same with samples taken: they may change no count.
            start_sampling(1_000, 7);
        }
        let owners: Vec<_> = OWNERS.iter().map(|name| account::owner(OwnerKind::Background, name)).collect();
        let before: Vec<_> = owners.iter().map(booked).collect();
        let (mut objects, mut expected) = (Vec::new(), [[0; 3]; OWNERS.len()]);
        for steps in &programs {
            let (oracle, given, from, to) = on_thread(|| run(steps, std::mem::take(&mut objects), &owners));
            objects = given;
            prop_assert_eq!(
                [to.alloc_bytes - from.alloc_bytes, to.alloc_count - from.alloc_count, to.freed_bytes - from.freed_bytes],
                oracle.thread
            );
            for (sum, owner) in expected.iter_mut().zip(oracle.owners) {
                for (sum, n) in sum.iter_mut().zip(owner) {
                    *sum += n;
                }
            }
        }
        for ((owner, before), expected) in owners.iter().zip(before).zip(expected) {
            let now = booked(owner);
            let more: Vec<i64> = now.iter().zip(before).map(|(now, before)| now - before).collect();
            prop_assert_eq!(more, expected.to_vec());
        }
        for Object(ptr, layout) in objects {
            // SAFETY: the last holder frees.
            unsafe { Alloc::system().dealloc(ptr, layout) };
        }
        prop_assert!(!dense || LIVE.is_empty(), "samples of freed objects are left");
        set_counting(true);
    }
}

/// Threads hand each other objects at full speed while samples are dense: the table ends empty, and nothing
/// counted is lost.
#[test]
fn samples_survive_a_storm_of_threads() {
    let _books = Books::open();
    start_sampling(2_000, 11);
    const THREADS: usize = 4;
    let rounds = std::env::var("WEIGHBRIDGE_TEST_STORM")
        .ok()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(20_000_usize);
    let shared: [Mutex<Vec<Object>>; 8] = Default::default();
    let sums = Mutex::new([0_i64; 3]);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (shared, sums) = (&shared, &sums);
            scope.spawn(move || {
                let alloc = Alloc::system();
                let before = snapshot();
                let mut random = 0x1234_5678_u64 + thread as u64;
                for _ in 0..rounds {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    let mut place = shared[(random >> 33) as usize % 8].lock().unwrap();
                    // SAFETY: as in `run`.
                    unsafe {
                        match (random >> 40) % 5 {
                            0 | 1 if place.len() < 64 => {
                                let layout = layout(1 + (random >> 44) as usize % 3_000, 8);
                                place.push(Object(alloc.alloc(layout), layout));
                            }
                            2 => {
                                if let Some(Object(ptr, old)) = place.last_mut() {
                                    let size = 1 + (random >> 44) as usize % 6_000;
                                    *ptr = alloc.realloc(*ptr, *old, size);
                                    *old = layout(size, 8);
                                }
                            }
                            _ => {
                                if let Some(Object(ptr, layout)) = place.pop() {
                                    drop(place);
                                    alloc.dealloc(ptr, layout);
                                }
                            }
                        }
                    }
                }
                let own = since(before);
                for (sum, own) in sums.lock().unwrap().iter_mut().zip(own) {
                    *sum += own;
                }
            });
        }
    });
    let mut left = 0;
    for place in &shared {
        for Object(ptr, layout) in place.lock().unwrap().drain(..) {
            left += layout.size() as i64;
            // SAFETY: the last holder frees.
            unsafe { Alloc::system().dealloc(ptr, layout) };
        }
    }
    let [allocated, _, freed] = *sums.lock().unwrap();
    assert_eq!(
        allocated - freed,
        left,
        "what was not freed is what is left"
    );
    assert!(LIVE.is_empty());
    assert_eq!(LIVE.take_lost(), 0);
    set_counting(true);
}
