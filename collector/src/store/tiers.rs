//! Totals at four resolutions: as they came, by the minute, by the hour, by the day.
//!
//! A minute is added to its minute, its hour and its day once it is over; data that comes later, up to the
//! lateness horizon, is added to all of them directly. So the order of arrival leaves no trace, and ageing is
//! nothing but removing: windows as they came go first, then minutes, then hours. A reader is answered from the
//! finest tier that is still there and not too long.
//!
//! A window that lies across the end of a minute belongs to no minute: it stays as it came and counts for the hour
//! it lies in, or for the day, or for none. It is removed when the tiers without it are.

use std::time::Duration;

use weighbridge_wire::Window;

const SECOND_NS: u64 = 1_000_000_000;

/// How finely totals are kept or read. The order is from fine to coarse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// As they came.
    #[default]
    AsSent,
    /// By the minute.
    Minutes,
    /// By the hour.
    Hours,
    /// By the day (UTC).
    Days,
}

impl Tier {
    /// All, from fine to coarse.
    pub const ALL: [Self; 4] = [Self::AsSent, Self::Minutes, Self::Hours, Self::Days];

    /// The tiers that hold sums.
    pub(crate) const SUMS: [Self; 3] = [Self::Minutes, Self::Hours, Self::Days];

    /// Its word in queries.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AsSent => "as_sent",
            Self::Minutes => "minute",
            Self::Hours => "hour",
            Self::Days => "day",
        }
    }

    /// The tier of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.as_str() == word)
    }

    /// Place among the tiers, 0 for the finest.
    pub(crate) fn index(self) -> usize {
        match self {
            Self::AsSent => 0,
            Self::Minutes => 1,
            Self::Hours => 2,
            Self::Days => 3,
        }
    }

    fn bucket_ns(self) -> u64 {
        SECOND_NS
            * match self {
                Self::AsSent => 1,
                Self::Minutes => 60,
                Self::Hours => 3_600,
                Self::Days => 86_400,
            }
    }

    /// The last boundary of this tier at or before an instant.
    pub(crate) fn floor(self, unix_ns: u64) -> u64 {
        unix_ns - unix_ns % self.bucket_ns()
    }

    /// The bucket in which a window begins.
    pub(crate) fn bucket(self, window: Window) -> Window {
        if self == Self::AsSent {
            return window;
        }
        let start_unix_ns = self.floor(window.start_unix_ns);
        Window {
            start_unix_ns,
            end_unix_ns: start_unix_ns.saturating_add(self.bucket_ns()),
        }
    }

    /// True when a window lies in one bucket.
    pub(crate) fn holds(self, window: Window) -> bool {
        self.bucket(window).end_unix_ns >= window.end_unix_ns
    }

    /// The finest tier of sums that holds a window; `None` when it lies across midnight.
    pub(crate) fn finest_of(window: Window) -> Option<Self> {
        Self::SUMS.into_iter().find(|tier| tier.holds(window))
    }
}

/// How long each tier is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Windows as they came.
    pub as_sent: Duration,
    /// Minutes.
    pub minutes: Duration,
    /// Hours.
    pub hours: Duration,
    /// Days, and with them everything else.
    pub days: Duration,
}

/// How long after its end a minute is added up: most deltas have come by then, and the others are added as they
/// come.
const SETTLE_NS: u64 = 60 * SECOND_NS;

/// Where the tiers stand. Marks only ever move forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// What begins earlier is added up in the tiers of sums. On a boundary of minutes.
    pub(crate) summed_unix_ns: u64,
    /// What starts earlier is removed from a tier: as sent, minutes, hours, days. On boundaries of the next
    /// tier.
    pub(crate) kept_from_unix_ns: [u64; 4],
}

impl Marks {
    /// Where they should stand at an instant.
    #[must_use]
    pub fn due(now_unix_ns: u64, keep: Keep) -> Self {
        let before = |age: Duration| {
            now_unix_ns.saturating_sub(u64::try_from(age.as_nanos()).unwrap_or(u64::MAX))
        };
        let summed_unix_ns = Tier::Minutes.floor(now_unix_ns.saturating_sub(SETTLE_NS));
        // A tier is removed only where the next one stands in for it, and none longer than the next.
        let days = before(keep.days);
        let hours = Tier::Days
            .floor(before(keep.hours))
            .max(Tier::Days.floor(days));
        let minutes = Tier::Hours.floor(before(keep.minutes)).max(hours);
        let as_sent = Tier::Minutes
            .floor(before(keep.as_sent))
            .min(summed_unix_ns)
            .max(minutes.min(summed_unix_ns));
        Self {
            summed_unix_ns,
            kept_from_unix_ns: [as_sent, minutes, hours, days],
        }
    }

    /// Forward only.
    pub(crate) fn max(self, other: Self) -> Self {
        let mut kept = self.kept_from_unix_ns;
        for (mine, other) in kept.iter_mut().zip(other.kept_from_unix_ns) {
            *mine = other.max(*mine);
        }
        Self {
            summed_unix_ns: self.summed_unix_ns.max(other.summed_unix_ns),
            kept_from_unix_ns: kept,
        }
    }

    /// True when a window as sent is still kept: until the tiers are gone that do not hold it, and until it is added up
    /// if it is ever to be.
    pub(crate) fn keeps_as_sent(&self, window: Window) -> bool {
        let tier = Tier::finest_of(window).map_or(3, |tier| tier.index() - 1);
        let [.., days] = self.kept_from_unix_ns;
        let kept_from = self.kept_from_unix_ns[tier].min(self.summed_unix_ns.max(days));
        window.start_unix_ns >= kept_from
    }

    /// True when a bucket of a tier of sums is still kept.
    pub(crate) fn keeps(&self, tier: Tier, bucket: Window) -> bool {
        bucket.start_unix_ns >= self.kept_from_unix_ns[tier.index()]
    }

    /// The tiers of sums to which a window is added when it comes: those that hold it, if it begins before what its
    /// service is added up to.
    pub(crate) fn added_at_once(
        &self,
        window: Window,
        summed_unix_ns: u64,
    ) -> impl Iterator<Item = Tier> + use<> {
        let late = window.start_unix_ns < summed_unix_ns;
        let marks = *self;
        Tier::SUMS.into_iter().filter(move |tier| {
            tier.holds(window) && late && marks.keeps(*tier, tier.bucket(window))
        })
    }
}

/// How a range is read: which tier where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Not finer than this.
    tier: Tier,
    marks: Marks,
    since_unix_ns: u64,
    until_unix_ns: u64,
}

/// A part of a range that is read from one tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Zone {
    pub(crate) tier: Tier,
    pub(crate) since_unix_ns: u64,
    pub(crate) until_unix_ns: u64,
}

impl Plan {
    /// Everything as it came: for a store that does not age.
    #[must_use]
    pub fn as_sent(since_unix_ns: u64, until_unix_ns: u64) -> Self {
        Self::new(Tier::AsSent, Marks::default(), since_unix_ns, until_unix_ns)
    }

    pub(crate) fn new(tier: Tier, marks: Marks, since_unix_ns: u64, until_unix_ns: u64) -> Self {
        Self {
            tier,
            marks,
            since_unix_ns,
            until_unix_ns: until_unix_ns.max(since_unix_ns),
        }
    }

    /// The parts of the range, ascending; together they are the whole.
    pub(crate) fn zones(&self) -> Vec<Zone> {
        let [as_sent, minutes, hours, _] = self.marks.kept_from_unix_ns;
        let summed = self.marks.summed_unix_ns;
        let ends = [
            (Tier::Days, hours),
            (Tier::Hours, minutes),
            (Tier::Minutes, as_sent),
        ];
        let mut zones = Vec::new();
        let mut from = self.since_unix_ns;
        for (tier, end) in ends {
            // Coarser where it is asked for, as far as sums go.
            let end = if tier <= self.tier { summed } else { end };
            let end = end.min(summed).min(self.until_unix_ns);
            if from < end {
                let tier = tier.max(self.tier);
                zones.push(Zone {
                    tier,
                    since_unix_ns: from,
                    until_unix_ns: end,
                });
                from = end;
            }
        }
        if from < self.until_unix_ns {
            zones.push(Zone {
                tier: Tier::AsSent,
                since_unix_ns: from,
                until_unix_ns: self.until_unix_ns,
            });
        }
        zones
    }

    /// The bucket as a reader sees it: the current one ends where sums end.
    pub(crate) fn shown(&self, tier: Tier, bucket: Window) -> Window {
        if tier == Tier::AsSent {
            return bucket;
        }
        Window {
            start_unix_ns: bucket.start_unix_ns,
            end_unix_ns: bucket
                .end_unix_ns
                .min(self.marks.summed_unix_ns.max(bucket.start_unix_ns + 1)),
        }
    }

    /// Under which window a reader of this range sees what came as `window`; `None` when the range leaves it out.
    pub(crate) fn place(&self, window: Window) -> Option<Window> {
        let zone = self
            .zones()
            .into_iter()
            .find(|zone| (zone.since_unix_ns..zone.until_unix_ns).contains(&window.start_unix_ns));
        let tier = zone.map_or(Tier::AsSent, |zone| zone.tier);
        let shown = if tier.holds(window) {
            self.shown(tier, tier.bucket(window))
        } else {
            window
        };
        (self.since_unix_ns..self.until_unix_ns)
            .contains(&shown.start_unix_ns)
            .then_some(shown)
    }
}
