//! What the agent itself costs, and how it steps back when that is too much.
//!
//! Its share is its own thread plus the crossings of account boundaries in the host's threads, over the CPU time of the
//! process. Past the limit, regions are measured for one request in [`THINNED`] only, and past it
//! again not at all. Accounts and totals are never given up: without them nothing would add up.

use weighbridge_wire::{Class, LossKey, Quality, RowKey, RowKind, RowSet, RowValue, column};

use crate::account::enter_class;
use crate::{clock, regions};

/// The agent's own share of the process's CPU time, in thousandths, past which it measures less.
/// `WEIGHBRIDGE_OVERHEAD_MAX`, in percent.
///
/// Three percent: a small request (16 µs) with everything on costs half of that on the fast clock, so the limit
/// is met by regions around next to nothing, or by a machine on which a reading of the clock is a system call.
pub const OVERHEAD_MAX_PERMILLE: u32 = 30;
/// Below this share of one core, in thousandths, the agent's cost is never too much: in a process that does
/// nothing, any cost is a large share. Not adjustable.
pub const OVERHEAD_FREE_PERMILLE: u32 = 1;

/// The regions of one request in so many are measured after the first step back.
const THINNED: u32 = 16;
/// Windows of less than half the limit after which it steps forward again.
const CALM_WINDOWS: u32 = 3;
/// Longest patience, in windows, after stepping forward turned out too early again and again.
const CALM_WINDOWS_MAX: u32 = 192;

/// How much is measured of regions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    #[default]
    All,
    Thinned,
    Off,
}

impl Step {
    fn level(self) -> u32 {
        match self {
            Self::All => regions::ALL,
            Self::Thinned => THINNED,
            Self::Off => regions::OFF,
        }
    }

    fn back(self) -> Self {
        match self {
            Self::All => Self::Thinned,
            Self::Thinned | Self::Off => Self::Off,
        }
    }

    fn forward(self) -> Self {
        match self {
            Self::Off => Self::Thinned,
            Self::Thinned | Self::All => Self::All,
        }
    }
}

/// One window, as far as it matters here.
#[derive(Clone, Copy, Debug)]
struct Share {
    overhead_ns: i64,
    process_ns: i64,
    length_ns: i64,
}

/// Watches the agent's share and steps back and forward.
#[derive(Debug)]
pub(super) struct BackOff {
    max_permille: u32,
    /// What a crossing costs, in thousandths of a ns.
    crossing_ps: i64,
    step: Step,
    calm: u32,
    patience: u32,
    told: bool,
    apply: fn(u32),
}

impl BackOff {
    /// `crossing_ps` as [`crossing_ps`] measures it.
    pub(super) fn new(max_permille: u32, crossing_ps: i64) -> Self {
        regions::set_regions_level(Step::All.level());
        Self {
            max_permille,
            crossing_ps,
            step: Step::All,
            calm: 0,
            patience: CALM_WINDOWS,
            told: false,
            apply: regions::set_regions_level,
        }
    }

    /// Puts the cost of the crossings and of stepping back into the rows of the window that ended, and decides
    /// about the next one. Rows come a page at a time: this looks for the page with the process in it.
    pub(super) fn end_window(&mut self, rows: &mut RowSet) {
        let Some((key, process)) = rows.of_kind(RowKind::Process).next() else {
            return;
        };
        let figure = |column| process.get(column).unwrap_or(0);
        let crossings_ns =
            i128::from(figure(column::CLOCK_READINGS)) * i128::from(self.crossing_ps);
        let crossings_ns = i64::try_from(crossings_ns / 1_000).unwrap_or(i64::MAX);
        // The work on bills stands in the column already. It is no reason to step back: regions make none of it.
        let share = Share {
            overhead_ns: crossings_ns.saturating_add(figure(column::CPU_AGENT_NS)),
            process_ns: figure(column::CPU_PROCESS_NS),
            length_ns: figure(column::OBSERVED_NS),
        };
        let key: RowKey = key.clone();
        rows.row_mut(key).add(column::CPU_HOOKS_NS, crossings_ns);
        let reason = match self.step {
            Step::All => None,
            Step::Thinned => Some("thinned by back-off"),
            Step::Off => Some("off by back-off"),
        };
        if let Some(reason) = reason {
            let key = LossKey {
                place: "agent.regions".into(),
                reason: reason.into(),
            };
            // Windows in which it was so.
            let lost = RowValue::new().with(column::LOST, 1);
            rows.add(key.row_key(Quality::Measured), &lost);
        }
        self.decide(share);
    }

    fn decide(&mut self, share: Share) {
        let (max, overhead) = (i128::from(self.max_permille), i128::from(share.overhead_ns));
        let free = i128::from(share.length_ns) * i128::from(OVERHEAD_FREE_PERMILLE);
        let past = |permille: i128| {
            overhead * 1_000 > i128::from(share.process_ns) * permille && overhead * 1_000 > free
        };
        // A window in which the agent did all there was is past any limit, but for none.
        let next = if max < 1_000 && past(max) {
            if self.calm == 0 && self.step != Step::Off {
                // It was too early to step forward the last time, or it never was calm.
                self.patience = self.patience.saturating_mul(2).min(CALM_WINDOWS_MAX);
            }
            self.calm = 0;
            self.step.back()
        } else if past(max / 2) {
            self.calm = 0;
            self.step
        } else {
            self.calm = self.calm.saturating_add(1);
            if self.step == Step::All {
                if self.calm >= CALM_WINDOWS_MAX {
                    self.patience = CALM_WINDOWS;
                }
                Step::All
            } else if self.calm >= self.patience {
                self.calm = 0;
                self.step.forward()
            } else {
                self.step
            }
        };
        if next == self.step {
            return;
        }
        self.step = next;
        (self.apply)(next.level());
        if !self.told && next != Step::All {
            self.told = true;
            tracing::warn!(
                overhead_ns = share.overhead_ns,
                process_ns = share.process_ns,
                "the agent's own share is past its limit; regions are measured less, totals are not touched \
                 (told once; WEIGHBRIDGE_OVERHEAD_MAX sets the limit)"
            );
        }
    }
}

/// Measures what crossing the boundary of an account costs on this thread, in thousandths of a ns: the reading
/// of the clock and the sums of the thread. That the sums go to the tables now and then is not in it.
pub(super) fn crossing_ps() -> i64 {
    const PAIRS: i64 = 256;
    let cross = || drop(enter_class(Class::Io));
    // The first ones meet cold caches.
    (0..16).for_each(|_| cross());
    let before = clock::thread_cpu_ns();
    (0..PAIRS).for_each(|_| cross());
    let spent = clock::thread_cpu_ns() - before;
    (spent * 1_000 / (2 * PAIRS)).max(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::{Account, OwnerRef, enter, flush_here, runtime_owner};
    use crate::bill::{Bill, Outcome, Start};

    fn back_off() -> BackOff {
        BackOff {
            max_permille: 30,
            crossing_ps: 20_000,
            step: Step::All,
            calm: 0,
            patience: CALM_WINDOWS,
            told: true,
            // Other tests look at regions meanwhile.
            apply: |_| (),
        }
    }

    fn share(overhead_permille: i64) -> Share {
        Share {
            overhead_ns: overhead_permille * 10_000_000,
            process_ns: 10_000_000_000,
            length_ns: 10_000_000_000,
        }
    }

    #[test]
    fn it_steps_back_at_once_and_forward_after_a_while() {
        let mut back_off = back_off();
        back_off.decide(share(30));
        assert_eq!(back_off.step, Step::All, "at the limit is not past it");
        back_off.decide(share(31));
        assert_eq!(back_off.step, Step::Thinned);
        back_off.decide(share(31));
        assert_eq!(back_off.step, Step::Off);
        back_off.decide(share(900));
        assert_eq!(back_off.step, Step::Off, "there is nothing below");
        let mut windows = 0;
        while back_off.step != Step::All {
            back_off.decide(share(10));
            windows += 1;
            assert!(windows < 100);
        }
        assert!(windows >= 2 * CALM_WINDOWS, "{windows}");
    }

    #[test]
    fn between_half_the_limit_and_the_limit_it_stays() {
        let mut back_off = back_off();
        back_off.decide(share(31));
        (0..500).for_each(|_| back_off.decide(share(20)));
        assert_eq!(back_off.step, Step::Thinned);
    }

    #[test]
    fn a_load_that_only_fits_without_regions_does_not_make_it_swing() {
        let mut back_off = back_off();
        let mut changes = 0;
        for _ in 0..1_000 {
            let before = back_off.step;
            back_off.decide(share(if before == Step::All { 50 } else { 10 }));
            changes += usize::from(back_off.step != before);
        }
        assert!(changes < 40, "{changes}");
    }

    #[test]
    fn a_limit_of_all_there_is_is_never_past() {
        let mut back_off = back_off();
        back_off.max_permille = 1_000;
        // Crossings lie in the accounts of others, and with the agent's thread they can be more than the process had.
        (0..9).for_each(|_| back_off.decide(share(1_100)));
        assert_eq!(back_off.step, Step::All);
    }

    #[test]
    fn an_idle_process_is_no_reason() {
        let mut back_off = back_off();
        back_off.decide(Share {
            overhead_ns: 1_000_000,
            process_ns: 1_200_000,
            length_ns: 10_000_000_000,
        });
        assert_eq!(back_off.step, Step::All, "a ten-thousandth of a core");
    }

    #[test]
    fn the_cost_of_crossings_is_in_the_rows_and_stepping_back_is_counted() {
        let mut back_off = back_off();
        let mut books = crate::testing::Books::open();
        let mut rows = books.rotate().rows;
        back_off.step = Step::Thinned;
        let (readings, bills_ns) = {
            let (key, process) = rows.of_kind(RowKind::Process).next().unwrap();
            let (key, readings) = (key.clone(), process.get(column::CLOCK_READINGS).unwrap());
            let bills_ns = process.get(column::CPU_HOOKS_NS).unwrap();
            let row = rows.row_mut(key);
            row.add(column::CLOCK_READINGS, 1_000_000);
            row.add(column::CPU_HOOKS_NS, 7);
            (readings + 1_000_000, bills_ns + 7)
        };
        back_off.end_window(&mut rows);
        let (_, process) = rows.of_kind(RowKind::Process).next().unwrap();
        assert_eq!(
            process.get(column::CPU_HOOKS_NS),
            Some(readings * 20 + bills_ns)
        );
        let lost: i64 = rows
            .of_kind(RowKind::Loss)
            .filter(|(key, _)| LossKey::read(key).is_some_and(|key| *key.place == *"agent.regions"))
            .filter_map(|(_, row)| row.get(column::LOST))
            .sum();
        assert_eq!(lost, 1);
    }

    #[test]
    fn most_of_what_empty_requests_cost_is_told_as_the_agents() {
        let mut books = crate::testing::Books::open();
        let mut back_off = back_off();
        let spent_ns = crate::testing::on_thread(|| {
            let _runtime = enter(Account::new(runtime_owner(), Class::Handler));
            back_off.crossing_ps = crossing_ps();
            let before_ns = clock::thread_cpu_ns();
            for _ in 0..20_000 {
                let bill = Bill::start(Start {
                    operation: "JOB empty",
                    ..Start::default()
                });
                drop(enter(Account::new(
                    OwnerRef::Bill(bill.clone()),
                    Class::Handler,
                )));
                bill.end(Outcome::Ok);
            }
            let spent_ns = clock::thread_cpu_ns() - before_ns;
            flush_here();
            spent_ns
        });
        let mut rows = books.rotate().rows;
        back_off.end_window(&mut rows);
        let (_, process) = rows.of_kind(RowKind::Process).next().unwrap();
        let told_ns = process.get(column::CPU_HOOKS_NS).unwrap();
        // Finding the name and taking the bill apart are not in it; other tests of the process may be.
        assert!(
            told_ns > spent_ns / 3 && told_ns < spent_ns * 3,
            "{told_ns} told of {spent_ns}"
        );
        // Without the bills it would be a small part.
        let crossings_ns =
            process.get(column::CLOCK_READINGS).unwrap() * back_off.crossing_ps / 1_000;
        assert!(
            told_ns > crossings_ns * 3 / 2,
            "{told_ns} told, {crossings_ns} of crossings"
        );
    }

    #[test]
    fn a_crossing_costs_something() {
        let _books = crate::testing::Books::open();
        let _runtime = enter(Account::new(runtime_owner(), Class::Handler));
        let ps = crossing_ps();
        assert!((500..100_000_000).contains(&ps), "{ps}");
    }
}
