//! Which mode the process reads CPU time in, how that was found out, and when it is given up.

use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use super::counter;
use super::mode::Mode;
use super::rate::{self, Instant, Multiplier};
use super::rseq::{self, Place};
use super::stats::{Stats, Totals};
use crate::sync::lock;

/// Why a mode was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Fault {
    /// Over most of the CPU time that was compared, counter and thread clock differed by more than 1 %.
    Rate = 1,
    /// Switches that the kernel's flag did not show moved more than 1 % of the CPU time compared.
    Missed = 2,
    /// Scaled pieces and the thread clock drift apart by more than 1 %.
    Drift = 3,
    /// The counter runs at another rate than when the process started.
    Unsteady = 4,
}

impl Fault {
    fn text(number: u8) -> &'static str {
        match number {
            1 => {
                "over most of the CPU time compared, the counter and the thread's clock differ by more than 1 %"
            }
            2 => "the kernel's flag did not show switches that moved more than 1 % of the CPU time",
            3 => "scaled pieces and the thread's clock drift apart by more than 1 %",
            _ => "the time stamp counter does not keep its rate",
        }
    }
}

/// What the process knows of its clock. There is one; tests make more.
#[derive(Debug)]
pub(crate) struct Setup {
    /// 0 = not probed yet; else a [`Mode`].
    mode: AtomicU8,
    /// Changes with the mode; threads that have seen another one start afresh.
    era: AtomicU32,
    multiplier: AtomicU64,
    /// Offset of the kernel's word; 0 where there is none.
    rseq_word: AtomicIsize,
    /// The kernel's flag shows a wait inside a system call too (before Linux 6.19).
    waits_flagged: AtomicBool,
    /// Pieces were scaled since the last rotation.
    scaled: AtomicBool,
    degradations: AtomicU64,
    fault: AtomicU8,
    /// Where the rate was first measured from; the lock also lets one thread probe.
    began: Mutex<Option<Instant>>,
    stats: Stats,
}

/// What a thread needs to know to begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) era: u32,
    pub(super) mode: Mode,
    pub(super) multiplier: Multiplier,
    pub(super) place: Option<Place>,
    pub(super) waits_flagged: bool,
}

/// What the process's row says of the clock at the end of a window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    /// The mode in use now.
    pub(crate) mode: Mode,
    /// True when pieces of the window were scaled: its rows are apportioned.
    pub(crate) scaled: bool,
    /// Re-reads of the thread's clock in the window.
    pub(crate) rereads: u64,
    /// Sum of the absolute corrections in the window, in ns.
    pub(crate) corrections_ns: u64,
    /// Modes given up in the window.
    pub(crate) degradations: u64,
}

/// Keeps the setup locked.
pub(crate) struct Held {
    _began: MutexGuard<'static, Option<Instant>>,
}

impl Setup {
    pub(super) const fn new() -> Self {
        Self {
            mode: AtomicU8::new(0),
            era: AtomicU32::new(1),
            multiplier: AtomicU64::new(0),
            rseq_word: AtomicIsize::new(0),
            waits_flagged: AtomicBool::new(false),
            scaled: AtomicBool::new(false),
            degradations: AtomicU64::new(0),
            fault: AtomicU8::new(0),
            began: Mutex::new(None),
            stats: Stats::new(),
        }
    }

    /// Finds out what this machine can do, and takes the mode asked for, or the best there is. Takes at most
    /// 2 ms. Returns why the mode asked for cannot be had.
    pub(super) fn start(&self, asked: Option<Mode>) -> Option<String> {
        self.probe(&mut lock(&self.began), asked)
    }

    fn probe(&self, began: &mut Option<Instant>, asked: Option<Mode>) -> Option<String> {
        #[cfg(feature = "bench")]
        if asked == Some(Mode::Unchecked) && counter::may_read().is_ok() {
            /// Nothing depends on how long an instruction takes.
            const ONE_NS_A_TICK: Multiplier = 1 << 32;
            self.multiplier.store(ONE_NS_A_TICK, Ordering::Relaxed);
            self.take(Mode::Unchecked);
            return None;
        }
        let counter = match (counter::usable(), asked) {
            (Err(reason), _) => Err(reason),
            // Nothing to measure for it.
            (Ok(()), Some(Mode::Thread)) => Ok(()),
            (Ok(()), _) => match rate::calibrate() {
                Some((from, multiplier)) => {
                    *began = Some(from);
                    self.multiplier.store(multiplier, Ordering::Relaxed);
                    Ok(())
                }
                None => Err("the rate of the time stamp counter cannot be measured"),
            },
        };
        let flag = counter.and_then(|()| rseq::find());
        let word = flag.as_ref().map_or(0, |place| place.word);
        self.rseq_word.store(word, Ordering::Relaxed);
        if let Ok(place) = flag {
            let flagged = asked != Some(Mode::Thread) && waits_are_flagged(place);
            self.waits_flagged.store(flagged, Ordering::Relaxed);
        }
        let best = match (counter, flag) {
            (Err(_), _) => Mode::Thread,
            (Ok(()), Err(_)) => Mode::Scaled,
            (Ok(()), Ok(_)) => Mode::Rseq,
        };
        let (mode, why_not) = match asked {
            None | Some(Mode::Thread) => (asked.unwrap_or(best), None),
            Some(Mode::Rseq) => (best, flag.err()),
            Some(Mode::Scaled) => (best.worse_of(Mode::Scaled), counter.err()),
            #[cfg(feature = "bench")]
            Some(Mode::Unchecked) => (best, counter::may_read().err()),
        };
        self.take(mode);
        why_not.map(|reason| format!("{reason}; `{}` is in force", mode.name()))
    }

    fn take(&self, mode: Mode) {
        self.mode.store(mode as u8, Ordering::Relaxed);
        self.scaled
            .fetch_or(mode == Mode::Scaled, Ordering::Relaxed);
        self.era.fetch_add(1, Ordering::Release);
    }

    /// The mode in use; the thread's clock before anything was probed.
    pub(crate) fn mode(&self) -> Mode {
        Mode::from_number(self.mode.load(Ordering::Relaxed)).unwrap_or(Mode::Thread)
    }

    pub(super) fn era(&self) -> u32 {
        self.era.load(Ordering::Acquire)
    }

    /// What is known; probes at first use. `None` while another thread probes.
    pub(super) fn known(&self) -> Option<Known> {
        if self.mode.load(Ordering::Relaxed) == 0 {
            // Never waits: a child made by fork may hold a lock that nobody will release.
            let mut began = self.began.try_lock().ok()?;
            if self.mode.load(Ordering::Relaxed) == 0 {
                self.probe(&mut began, None);
            }
        }
        let era = self.era();
        let word = self.rseq_word.load(Ordering::Relaxed);
        Some(Known {
            era,
            mode: self.mode(),
            multiplier: self.multiplier(),
            place: (word != 0).then_some(Place { word }),
            waits_flagged: self.waits_flagged.load(Ordering::Relaxed),
        })
    }

    pub(super) fn multiplier(&self) -> Multiplier {
        self.multiplier.load(Ordering::Relaxed)
    }

    pub(super) fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Pieces of this window are scaled.
    pub(super) fn note_scaled(&self) {
        self.scaled.store(true, Ordering::Relaxed);
    }

    /// Trusts the counter less from now on. Only the first of several threads that find the same fault counts.
    pub(super) fn degrade(&self, from: Mode, fault: Fault) {
        let Some(to) = from.worse() else { return };
        let changed =
            self.mode
                .compare_exchange(from as u8, to as u8, Ordering::Relaxed, Ordering::Relaxed);
        if changed.is_ok() {
            self.fault.store(fault as u8, Ordering::Relaxed);
            self.scaled.fetch_or(to == Mode::Scaled, Ordering::Relaxed);
            self.degradations.fetch_add(1, Ordering::Relaxed);
            self.era.fetch_add(1, Ordering::Release);
        }
    }

    pub(crate) fn totals(&self) -> Totals {
        Totals {
            degradations: self.degradations.load(Ordering::Relaxed),
            ..self.stats.totals()
        }
    }

    /// Keeps the clock's only lock over a fork.
    pub(super) fn hold(&'static self) -> Held {
        Held {
            _began: lock(&self.began),
        }
    }

    /// Measures the rate over all the time since the start: the longer, the better.
    fn refine(&self) {
        const ENOUGH_NS: u64 = 10_000_000;
        if !matches!(self.mode(), Mode::Rseq | Mode::Scaled) {
            return;
        }
        let mut began = lock(&self.began);
        let Some(from) = *began else { return };
        let now = Instant::now();
        if now.ns.saturating_sub(from.ns) < ENOUGH_NS {
            return;
        }
        let known = self.multiplier();
        match now.multiplier_since(from) {
            // Better than before: calibration at start is good to 0.02 %, or 0.1 % on a busy machine.
            Some(better) if better.abs_diff(known) <= known / 500 => {
                self.multiplier.store(better, Ordering::Relaxed);
            }
            // Off a little, perhaps by a stop of the machine: from here on afresh.
            Some(other) if other.abs_diff(known) <= known / 100 => *began = Some(now),
            _ => self.degrade(self.mode(), Fault::Unsteady),
        }
    }

    /// At the end of a window: refines the rate, warns of what was given up, and tells the window's figures.
    /// `last` is what the window before ended with. Runs on the agent's own thread.
    pub(crate) fn end_window(&self, last: &mut Totals) -> Told {
        self.refine();
        let totals = self.totals();
        let mode = self.mode();
        let scaled = self.scaled.swap(mode == Mode::Scaled, Ordering::Relaxed);
        let told = Told {
            mode,
            scaled,
            rereads: totals.rereads().saturating_sub(last.rereads()),
            corrections_ns: totals.corrections_ns.saturating_sub(last.corrections_ns),
            degradations: totals.degradations.saturating_sub(last.degradations),
        };
        *last = totals;
        if told.degradations > 0 {
            tracing::warn!(
                mode = mode.name(),
                reason = Fault::text(self.fault.load(Ordering::Relaxed)),
                "the fast clock cannot be trusted here; CPU time is read another way"
            );
        }
        told
    }

    /// A setup whose rate is off by a factor of `thousandths` / 1000.
    #[cfg(test)]
    pub(crate) fn faked(mode: Mode, thousandths: u64) -> &'static Self {
        let setup: &'static Self = Box::leak(Box::new(Self::new()));
        setup.start(Some(mode));
        let multiplier = setup.multiplier() * thousandths / 1_000;
        setup.multiplier.store(multiplier, Ordering::Relaxed);
        setup
    }

    /// Without the instant at which its rate was measured, the rate is not measured again.
    #[cfg(test)]
    pub(crate) fn forget_beginning(&self) {
        *lock(&self.began) = None;
    }

    /// A setup whose threads look at a word that nobody clears, as on a kernel that does not keep its promise.
    #[cfg(test)]
    pub(super) fn with_word(offset: isize) -> &'static Self {
        let setup = Self::faked(Mode::Rseq, 1_000);
        setup.waits_flagged.store(true, Ordering::Relaxed);
        setup.rseq_word.store(offset, Ordering::Relaxed);
        setup
    }
}

/// Whether a thread that waits in a system call finds its flag cleared. Kernels from 6.19 on look only at
/// what interrupts user code.
fn waits_are_flagged(place: Place) -> bool {
    /// One might be an interruption that came by chance.
    const TRIES: u32 = 2;
    let flagged = (0..TRIES).all(|_| {
        place.arm();
        std::thread::sleep(std::time::Duration::from_nanos(1));
        !place.is_armed()
    });
    place.disarm();
    flagged
}

impl Mode {
    /// Of two modes the one that trusts the counter less.
    fn worse_of(self, other: Self) -> Self {
        if self as u8 >= other as u8 {
            self
        } else {
            other
        }
    }
}
