//! One thread's clock: the processor's counter between readings of the kernel's clock.
//!
//! A reading is the kernel's clock at the last re-read plus the ticks since then. The ticks are the thread's
//! own as long as it was not taken off its processor. In mode `rseq` the kernel's flag says so; a piece that is
//! longer than [`PIECE_MAX_NS`] is not trusted even then, since a re-read costs 2 % of it at most. After
//! [`AGE_MAX_NS`] the kernel is asked in any case: what the counter cannot see (steal time, interrupts where the
//! kernel accounts them apart) then moves little, and counter and kernel are compared.
//!
//! A scheduler's piece that was interrupted is most often a wait: how much of it was spent is unknown, and nothing
//! is known to have been spent for anybody else. Asking the kernel is put off then, for [`AGE_MAX_NS`] at most,
//! and what is found is the scheduler's, whoever is found current ([`ThreadClock::take_put_off`]).
//!
//! A re-read may step back. The step is booked where it is found: clamped, the pieces would no longer add up to
//! the thread's CPU time.

use std::cell::Cell;

use super::counter::{self, SELF_OFFSET};
use super::kernel::{self, Switches};
use super::mode::Mode;
use super::rate::{self, Multiplier};
use super::rseq::{self, Place};
use super::setup::{Fault, Setup};
use super::stats::Reason;

/// The longest piece that the counter is trusted for.
const PIECE_MAX_NS: u64 = 50_000;
/// The longest piece of the scheduler's where the kernel does not flag waiting: anything longer may be a sleep.
const RUNTIME_PIECE_MAX_NS: u64 = 2_000;
/// The longest time between two readings of the kernel's clock.
const AGE_MAX_NS: u64 = 2_000_000;

/// Whose piece ends with a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// The scheduler's: it may have slept.
    Runtime,
    /// Anybody else's.
    Other,
}

/// The state of one thread's clock. A thread has one: two on a thread would clear each other's flag.
#[derive(Debug)]
pub(crate) struct ThreadClock {
    /// Where the word is that says whether the thread was interrupted, and what it holds if not. Until the
    /// first reading, and in mode `thread`, it never holds that.
    word_offset: Cell<isize>,
    uninterrupted: Cell<u64>,
    last_tsc: Cell<u64>,
    deadline_tsc: Cell<u64>,
    piece_max_tsc: Cell<u64>,
    runtime_piece_max_tsc: Cell<u64>,
    /// The last reading of the kernel's clock, and the counter at it.
    anchor_ns: Cell<i64>,
    anchor_tsc: Cell<u64>,
    multiplier: Cell<Multiplier>,

    // Below: touched by re-reads only.
    setup: &'static Setup,
    era: Cell<u32>,
    mode: Cell<Mode>,
    place: Cell<Option<Place>>,
    waits_flagged: Cell<bool>,
    shard: Cell<usize>,
    /// What the kernel said last, and what is added to it: not 0 in a child made by fork, whose clock starts
    /// again at 0.
    kernel_ns: Cell<i64>,
    offset_ns: Cell<i64>,
    /// The wall clock at a value of the counter; the rate is that of the setup.
    instant_ns: Cell<u64>,
    instant_tsc: Cell<u64>,
    instant_floor_ns: Cell<u64>,
    /// The clock at the last re-read, and the length of the pieces since then that were put off: the most that
    /// may have been spent in them.
    settled_ns: Cell<i64>,
    put_off_ns: Cell<i64>,
    /// Of the last step of the clock, what was spent in pieces of the scheduler's that had been put off.
    found_ns: Cell<i64>,
    judge: Judge,
}

/// What a thread knows of how far its counter can be trusted.
#[derive(Debug)]
struct Judge {
    /// Spans that follow each other and are too short to tell alone.
    open_ns: Cell<i64>,
    open_correction_ns: Cell<i64>,
    compared: Cell<u32>,
    compared_ns: Cell<i64>,
    off_ns: Cell<i64>,
    signed_ns: Cell<i64>,
    missed: Cell<u32>,
    missed_ns: Cell<i64>,
    /// How many more re-reads look at the kernel's switch counters.
    watch: Cell<u32>,
    switches: Cell<Option<Switches>>,
}

/// One reading of the kernel's clock.
#[derive(Clone, Copy, Debug)]
struct Taken {
    kernel_ns: i64,
    /// The counter when the kernel read its clock, as near as can be told.
    tsc: u64,
    after_tsc: u64,
    /// Not interrupted from the reading of the counter before it until its end.
    intact: bool,
    switches: Option<Switches>,
}

impl ThreadClock {
    pub(crate) const fn new(setup: &'static Setup) -> Self {
        Self {
            word_offset: Cell::new(SELF_OFFSET),
            uninterrupted: Cell::new(0),
            last_tsc: Cell::new(0),
            deadline_tsc: Cell::new(0),
            piece_max_tsc: Cell::new(0),
            runtime_piece_max_tsc: Cell::new(0),
            anchor_ns: Cell::new(0),
            anchor_tsc: Cell::new(0),
            multiplier: Cell::new(0),
            setup,
            era: Cell::new(0),
            mode: Cell::new(Mode::Thread),
            place: Cell::new(None),
            waits_flagged: Cell::new(false),
            shard: Cell::new(0),
            kernel_ns: Cell::new(0),
            offset_ns: Cell::new(0),
            instant_ns: Cell::new(0),
            instant_tsc: Cell::new(0),
            instant_floor_ns: Cell::new(0),
            settled_ns: Cell::new(0),
            put_off_ns: Cell::new(0),
            found_ns: Cell::new(0),
            judge: Judge {
                open_ns: Cell::new(0),
                open_correction_ns: Cell::new(0),
                compared: Cell::new(0),
                compared_ns: Cell::new(0),
                off_ns: Cell::new(0),
                signed_ns: Cell::new(0),
                missed: Cell::new(0),
                missed_ns: Cell::new(0),
                watch: Cell::new(0),
                switches: Cell::new(None),
            },
        }
    }

    /// CPU time of this thread in ns, on the scale of the kernel's clock. May step back.
    #[inline]
    pub(crate) fn read(&self, leaving: Leaving) -> i64 {
        // SAFETY: the offset is SELF_OFFSET or the place that `rseq::find` gave.
        let (tsc, word) = unsafe { counter::tsc_then_word(self.word_offset.get()) };
        let piece_max = match leaving {
            Leaving::Runtime => self.runtime_piece_max_tsc.get(),
            Leaving::Other => self.piece_max_tsc.get(),
        };
        if word == self.uninterrupted.get()
            && tsc.wrapping_sub(self.last_tsc.get()) <= piece_max
            && tsc <= self.deadline_tsc.get()
        {
            self.last_tsc.set(tsc);
            self.at(tsc)
        } else {
            self.reread(tsc, word, leaving, false)
        }
    }

    /// The same from the kernel's clock itself: for the end of a thread, and where a figure must be exact.
    pub(crate) fn settle(&self) -> i64 {
        // SAFETY: as in `read`.
        let (tsc, word) = unsafe { counter::tsc_then_word(self.word_offset.get()) };
        self.reread(tsc, word, Leaving::Other, true)
    }

    /// The thread is about to sleep. Scaled pieces end here, so that the sleep is in none of them.
    pub(crate) fn park(&self, leaving: Leaving) -> i64 {
        match self.mode.get() {
            Mode::Scaled => self.settle(),
            _ => self.read(leaving),
        }
    }

    /// Of the piece that ended with the last reading, what was the scheduler's: spent before, in pieces whose
    /// re-read was put off. Most often nothing.
    #[inline]
    pub(crate) fn take_put_off(&self) -> i64 {
        let found = self.found_ns.get();
        if found != 0 {
            self.found_ns.set(0);
        }
        found
    }

    /// True when a piece was put off.
    pub(crate) fn has_put_off(&self) -> bool {
        self.put_off_ns.get() != 0
    }

    /// The instant of the last reading on the clock of [`kernel::monotonic_ns`], without asking the kernel
    /// again where the counter tells it. Never before an instant that it told before.
    #[inline]
    pub(crate) fn last_instant_ns(&self) -> u64 {
        if self.instant_ns.get() == 0 {
            return kernel::monotonic_ns();
        }
        let ticks = self.last_tsc.get().wrapping_sub(self.instant_tsc.get());
        let since = ticks.wrapping_mul(self.setup.multiplier()) >> 32;
        let instant = self
            .instant_floor_ns
            .get()
            .max(self.instant_ns.get() + since);
        self.instant_floor_ns.set(instant);
        instant
    }

    /// Takes the flag back: nothing of ours is named to the kernel any more. The next reading begins afresh.
    pub(crate) fn stop(&self) {
        if let Some(place) = self.place.take() {
            place.disarm();
        }
        self.word_offset.set(SELF_OFFSET);
        self.uninterrupted.set(0);
        self.era.set(0);
        self.instant_ns.set(0);
        self.put_off_ns.set(0);
        self.found_ns.set(0);
    }

    /// The clock at a value of the counter not before the last re-read and not after the deadline, so that the
    /// product fits.
    #[inline]
    fn at(&self, tsc: u64) -> i64 {
        let ticks = tsc.wrapping_sub(self.anchor_tsc.get());
        let ns = ticks.wrapping_mul(self.multiplier.get()) >> 32;
        self.anchor_ns.get().wrapping_add_unsigned(ns)
    }

    #[cold]
    #[inline(never)]
    fn reread(&self, tsc: u64, word: u64, leaving: Leaving, asked: bool) -> i64 {
        if self.era.get() != self.setup.era() {
            return self.begin();
        }
        let interrupted = word != self.uninterrupted.get();
        match self.mode.get() {
            Mode::Thread => self.kernel_only(),
            #[cfg(feature = "bench")]
            Mode::Unchecked => {
                let now = self.at(tsc);
                self.anchor(now, tsc, tsc);
                self.mark_instant(tsc);
                now
            }
            Mode::Rseq | Mode::Scaled => {
                let piece = tsc.saturating_sub(self.last_tsc.get());
                let reason = if interrupted {
                    Reason::Interrupted
                } else if asked {
                    Reason::Settled
                } else if piece > self.piece_max_tsc.get() {
                    Reason::Long
                } else if leaving == Leaving::Runtime && piece > self.runtime_piece_max_tsc.get() {
                    Reason::Runtime
                } else {
                    Reason::Aged
                };
                let may_have_waited = matches!(reason, Reason::Interrupted | Reason::Runtime);
                if leaving == Leaving::Runtime && may_have_waited && self.put_off(tsc) {
                    return self.last();
                }
                self.correct(reason, leaving)
            }
        }
    }

    /// The scheduler waited, or was interrupted: counts nothing for the piece now. False when the kernel has to be
    /// asked.
    fn put_off(&self, tsc: u64) -> bool {
        if self.mode.get() != Mode::Rseq || tsc > self.deadline_tsc.get() {
            return false;
        }
        let Some(place) = self.place.get() else {
            return false;
        };
        // First the flag and then the counter, as in `take`.
        place.arm();
        let now_tsc = counter::tsc();
        let last_ns = self.last();
        let ticks = now_tsc.saturating_sub(self.last_tsc.get());
        let piece_ns = rate::ns_of(ticks, self.multiplier.get()).max(1);
        self.put_off_ns.set(self.put_off_ns.get() + piece_ns);
        self.anchor_ns.set(last_ns);
        self.anchor_tsc.set(now_tsc);
        self.last_tsc.set(now_tsc);
        true
    }

    /// The first reading, or the first one after the mode changed.
    fn begin(&self) -> i64 {
        if let Some(place) = self.place.take() {
            place.disarm();
        }
        let Some(known) = self.setup.known() else {
            return self.kernel_only();
        };
        self.era.set(known.era);
        self.shard
            .set(usize::try_from(kernel::thread_id()).unwrap_or(0));
        let place = match known.mode {
            Mode::Rseq => known.place.filter(|place| place.is_registered_here()),
            _ => None,
        };
        // A thread that the C library did not register has no flag.
        let mode = match (known.mode, place) {
            (Mode::Rseq, None) => {
                self.setup.note_scaled();
                Mode::Scaled
            }
            (mode, _) => mode,
        };
        self.mode.set(mode);
        self.place.set(place);
        self.waits_flagged
            .set(known.waits_flagged && mode == Mode::Rseq);
        self.multiplier.set(known.multiplier);
        let ticks = |ns| rate::ticks_of(ns, known.multiplier);
        self.piece_max_tsc.set(ticks(PIECE_MAX_NS));
        self.runtime_piece_max_tsc.set(if self.waits_flagged.get() {
            ticks(PIECE_MAX_NS)
        } else {
            ticks(RUNTIME_PIECE_MAX_NS)
        });
        self.judge.reset();
        self.judge.watch.set(0);
        self.put_off_ns.set(0);
        match (mode, place) {
            (Mode::Thread, _) => {
                self.word_offset.set(SELF_OFFSET);
                self.uninterrupted.set(0);
                self.instant_ns.set(0);
                return self.kernel_only();
            }
            (_, Some(place)) => {
                self.word_offset.set(place.word);
                self.uninterrupted.set(rseq::armed());
            }
            // No flag: a word that never changes, so that the path is the same.
            (_, None) => {
                self.word_offset.set(SELF_OFFSET);
                // SAFETY: SELF_OFFSET is always readable.
                self.uninterrupted
                    .set(unsafe { counter::word(SELF_OFFSET) });
            }
        }
        #[cfg(feature = "bench")]
        if mode == Mode::Unchecked {
            self.piece_max_tsc.set(u64::MAX);
            self.runtime_piece_max_tsc.set(u64::MAX);
            let now = self.kernel_only();
            let tsc = counter::tsc();
            self.anchor(now, tsc, tsc);
            self.mark_instant(tsc);
            return now;
        }
        let taken = self.take();
        self.continue_from(taken)
    }

    /// The kernel's clock alone.
    fn kernel_only(&self) -> i64 {
        let now = self.on_our_scale(kernel::thread_cpu_ns(), self.anchor_ns.get());
        self.anchor_ns.set(now);
        now
    }

    /// Puts a reading of the kernel's clock on the scale of this thread's clock. `last` is where that stood.
    fn on_our_scale(&self, kernel_ns: i64, last: i64) -> i64 {
        // A thread's clock never runs backwards: this is another thread with our memory, a child made by
        // fork. It goes on where its parent stood, and nothing is booked for the difference.
        if kernel_ns < self.kernel_ns.get() {
            self.offset_ns.set(last - kernel_ns);
        }
        self.kernel_ns.set(kernel_ns);
        kernel_ns + self.offset_ns.get()
    }

    /// Names the descriptor first and reads the clocks then: whatever happens in between clears the flag, and
    /// the next reading asks the kernel again.
    fn take(&self) -> Taken {
        /// The machine below may stop us between the clocks, which no flag shows: only the time it took does.
        const TRIES: u32 = 3;
        const UNDISTURBED_NS: u64 = 10_000;
        let undisturbed = rate::ticks_of(UNDISTURBED_NS, self.multiplier.get());
        let place = self.place.get();
        let armed = place.is_none_or(Place::arm);
        let mut tries = 1;
        let (before, kernel_ns, after) = loop {
            let before = counter::tsc();
            let kernel_ns = kernel::thread_cpu_ns();
            let after = counter::tsc();
            let close = after.saturating_sub(before) <= undisturbed;
            if tries == TRIES || (close && place.is_none_or(Place::is_armed)) {
                break (before, kernel_ns, after);
            }
            tries += 1;
            place.map(Place::arm);
        };
        self.mark_instant(after);
        let switches = (self.judge.watch.get() > 0).then(kernel::switches);
        let still =
            after.saturating_sub(before) <= undisturbed && place.is_none_or(Place::is_armed);
        Taken {
            kernel_ns,
            // The kernel reads its clock about half-way. After an interruption the two counter values may be
            // far apart, and nothing between them is ours.
            tsc: if still {
                before + after.saturating_sub(before) / 2
            } else {
                after
            },
            after_tsc: after,
            intact: armed && still && tries == 1,
            switches,
        }
    }

    /// Goes on from a reading of the kernel's clock; returns the clock now.
    fn continue_from(&self, taken: Taken) -> i64 {
        let now = self.on_our_scale(taken.kernel_ns, self.last());
        self.anchor(now, taken.tsc, taken.after_tsc);
        self.judge.switches.set(taken.switches);
        let watch = self.judge.watch.get();
        self.judge.watch.set(watch.saturating_sub(1));
        self.at(taken.after_tsc)
    }

    fn mark_instant(&self, tsc: u64) {
        self.instant_ns.set(kernel::monotonic_ns());
        self.instant_tsc.set(tsc);
    }

    fn anchor(&self, now_ns: i64, tsc: u64, last_tsc: u64) {
        self.anchor_ns.set(now_ns);
        self.anchor_tsc.set(tsc);
        self.last_tsc.set(last_tsc);
        self.settled_ns.set(now_ns);
        let age_max = rate::ticks_of(AGE_MAX_NS, self.multiplier.get());
        self.deadline_tsc.set(tsc.saturating_add(age_max));
    }

    /// The clock at the last reading.
    fn last(&self) -> i64 {
        let ticks = self.last_tsc.get().saturating_sub(self.anchor_tsc.get());
        self.anchor_ns.get() + rate::ns_of(ticks, self.multiplier.get())
    }

    /// Re-reads the kernel's clock and compares.
    fn correct(&self, reason: Reason, leaving: Leaving) -> i64 {
        let switches_before = self.judge.switches.get();
        let taken = self.take();
        let (last_ns, settled_ns) = (self.last(), self.settled_ns.get());
        let (last_tsc, anchor_tsc) = (self.last_tsc.get(), self.anchor_tsc.get());
        let put_off_ns = self.put_off_ns.take();
        let now = self.continue_from(taken);
        let spent_ns = self.settled_ns.get() - settled_ns;

        // What the pieces since the re-read before should add up to. How much of the last piece was spent
        // waiting or preempted is not known where it was interrupted, or where it may hide a wait that the
        // kernel does not flag; then any share of it is right.
        let multiplier = self.multiplier.get();
        let piece_ns = rate::ns_of(taken.tsc.saturating_sub(last_tsc), multiplier);
        let intact = taken.intact && reason != Reason::Interrupted && put_off_ns == 0;
        let may_hide_a_wait =
            !self.waits_flagged.get() && piece_ns > RUNTIME_PIECE_MAX_NS.cast_signed();
        let unknown_ns = if intact && !may_hide_a_wait {
            0
        } else {
            piece_ns + put_off_ns
        };
        let most_ns = last_ns - settled_ns + piece_ns + put_off_ns;
        if leaving == Leaving::Other {
            // More than the pieces since then can hold was spent in those that were put off.
            let more_ns = spent_ns - (most_ns - put_off_ns);
            self.found_ns.set(more_ns.clamp(0, put_off_ns));
        }
        let correction_ns = if spent_ns > most_ns {
            spent_ns - most_ns
        } else {
            (spent_ns - (most_ns - unknown_ns)).min(0)
        };
        let stats = self.setup.stats();
        stats.reread(self.shard.get(), reason, correction_ns, spent_ns);

        let span_ns = spent_ns.max(most_ns);
        let known = unknown_ns <= span_ns / 100;
        if intact && known {
            let switched = match (switches_before, taken.switches) {
                (Some(before), Some(now)) => {
                    before.involuntary != now.involuntary
                        || (self.waits_flagged.get() && before.voluntary != now.voluntary)
                }
                // Without a count from before there is nothing to compare with.
                _ => false,
            };
            self.judge(span_ns, correction_ns, switched);
        } else {
            self.judge.open_ns.set(0);
            self.judge.open_correction_ns.set(0);
        }
        if self.mode.get() == Mode::Scaled {
            let ticks = taken.tsc.saturating_sub(anchor_tsc);
            self.rescale(spent_ns, ticks, known);
        } else {
            self.multiplier.set(self.setup.multiplier());
        }
        now
    }

    /// The ratio of thread clock to counter over the stretch that ends is the guess for the next one.
    fn rescale(&self, spent_ns: i64, ticks: u64, known: bool) {
        self.setup.note_scaled();
        let base = self.setup.multiplier();
        let Ok(spent_ns) = u64::try_from(spent_ns) else {
            return;
        };
        if !known || spent_ns < PIECE_MAX_NS || ticks == 0 {
            return;
        }
        let ratio = u64::try_from((u128::from(spent_ns) << 32) / u128::from(ticks));
        // A stretch that was cut short by an interruption says nothing of the next one.
        self.multiplier
            .set(ratio.unwrap_or(base).clamp(base / 2, base + base / 50));
    }

    /// Compares over enough CPU time to tell a wrong clock from bad luck.
    ///
    /// Steal time and interrupts take a few spans, and then a lot of each; a wrong rate takes every span. So
    /// the rate is at fault when more than half of the CPU time compared lies in spans that are off by more
    /// than 1 %. (Where steal does that, the counter is no measure of CPU time either, and scaling is the
    /// better one.) A switch that the flag did not show looks like steal, but the kernel counts it.
    fn judge(&self, span_ns: i64, correction_ns: i64, switched: bool) {
        /// A reading of the kernel's clock is good to about a microsecond, so that 1 % shows from here on.
        const TELLING_NS: i64 = 200_000;
        const ENOUGH: u32 = 16;
        const ENOUGH_NS: i64 = 50_000_000;
        const MISSED_MIN: u32 = 3;
        const MOVED_NS: i64 = 50_000;
        const WATCHED: u32 = 64;
        let judge = &self.judge;
        let add = |cell: &Cell<i64>, ns| cell.set(cell.get() + ns);
        if correction_ns < -MOVED_NS && self.mode.get() == Mode::Rseq {
            if switched {
                judge.missed.set(judge.missed.get() + 1);
                add(&judge.missed_ns, -correction_ns);
                self.setup.stats().missed(self.shard.get());
            }
            // The next ones will be compared with the kernel's count.
            judge.watch.set(WATCHED);
        }
        // Short spans that follow each other make one: only its two ends are uncertain.
        add(&judge.open_ns, span_ns);
        add(&judge.open_correction_ns, correction_ns);
        if judge.open_ns.get() < TELLING_NS {
            return;
        }
        let (span_ns, correction_ns) = (judge.open_ns.take(), judge.open_correction_ns.take());
        self.setup.stats().judged(self.shard.get(), span_ns);
        judge.compared.set(judge.compared.get() + 1);
        add(&judge.compared_ns, span_ns);
        add(&judge.signed_ns, correction_ns);
        if correction_ns.abs() > span_ns / 100 {
            add(&judge.off_ns, span_ns);
        }
        if judge.compared.get() < ENOUGH || judge.compared_ns.get() < ENOUGH_NS {
            return;
        }
        let compared_ns = judge.compared_ns.get();
        let fault = match self.mode.get() {
            Mode::Rseq if judge.off_ns.get() > compared_ns / 2 => Some(Fault::Rate),
            Mode::Rseq
                if judge.missed.get() >= MISSED_MIN
                    && judge.missed_ns.get() > compared_ns / 100 =>
            {
                Some(Fault::Missed)
            }
            // The ratio follows; what it gets wrong must cancel out.
            Mode::Scaled if judge.signed_ns.get().abs() > compared_ns / 100 => Some(Fault::Drift),
            _ => None,
        };
        if let Some(fault) = fault {
            self.setup.degrade(self.mode.get(), fault);
        }
        judge.reset();
    }
}

impl Judge {
    fn reset(&self) {
        self.compared.set(0);
        self.missed.set(0);
        for sum in [
            &self.open_ns,
            &self.open_correction_ns,
            &self.compared_ns,
            &self.off_ns,
            &self.signed_ns,
            &self.missed_ns,
        ] {
            sum.set(0);
        }
    }
}
