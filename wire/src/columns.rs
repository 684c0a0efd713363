//! The column registry: numbers, merge rules, units.

/// How a column merges. It stands in the column number (`number % 4`), so that a store can merge columns
/// that it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// Values add up.
    Sum,
    /// The largest value counts.
    Max,
    /// The smallest value counts.
    Min,
}

impl Merge {
    /// The rule of a column number. The reserved rule 3 is treated as a sum.
    #[must_use]
    pub fn of(column: u32) -> Self {
        match column % 4 {
            1 => Self::Max,
            2 => Self::Min,
            _ => Self::Sum,
        }
    }

    /// Merges two values. Sums saturate; values from the wire are at most
    /// [`VALUE_MAX`](crate::limits::VALUE_MAX), so that takes a thousand rows at the limit.
    #[must_use]
    pub fn apply(self, a: i64, b: i64) -> i64 {
        match self {
            Self::Sum => a.saturating_add(b),
            Self::Max => a.max(b),
            Self::Min => a.min(b),
        }
    }
}

/// The unit of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// Nanoseconds.
    Nanoseconds,
    /// Bytes.
    Bytes,
    /// Thousandths of a core.
    MilliCores,
    /// Count · nanoseconds (an integral over time).
    CountNanoseconds,
}

/// What is known of a column.
#[derive(Clone, Copy, Debug)]
pub struct ColumnInfo {
    /// The number on the wire.
    pub column: u32,
    /// The name in documents.
    pub name: &'static str,
    /// The unit.
    pub unit: Unit,
    /// What the figure is.
    pub meaning: &'static str,
}

macro_rules! columns {
    ($($(#[doc = $doc:literal])+ $name:ident = $merge:ident($n:literal), $unit:ident;)*) => {
        /// Column numbers: `4 × n + merge rule`.
        pub mod column {
            const fn sum(n: u32) -> u32 { 4 * n }
            const fn max(n: u32) -> u32 { 4 * n + 1 }
            $($(#[doc = $doc])+ pub const $name: u32 = $merge($n);)*
        }

        /// All known columns, in the order of their numbers' declaration.
        pub const ALL_COLUMNS: &[ColumnInfo] = &[
            $(ColumnInfo {
                column: column::$name,
                name: stringify!($name),
                unit: Unit::$unit,
                meaning: concat!($($doc,)+),
            },)*
        ];
    };
}

columns! {
    // Requests.
    /// Requests that began.
    STARTED = sum(1), Count;
    /// Requests whose bill closed.
    ENDED = sum(2), Count;
    /// Requests that ended as errors: 5xx, gRPC failures, transport failures.
    ERRORS = sum(3), Count;
    /// Requests answered 4xx, counted apart from errors.
    CLIENT_ERRORS = sum(4), Count;
    /// Integral over time of the number of requests in flight.
    IN_FLIGHT_NS = sum(5), CountNanoseconds;
    /// Sum of wall time from start to the end of the response body.
    WALL_NS = sum(6), Nanoseconds;
    /// Wall time spent waiting for calls, not on CPU.
    WAIT_CALL_NS = sum(7), Nanoseconds;
    /// Wall time spent waiting for stores, not on CPU.
    WAIT_STORE_NS = sum(8), Nanoseconds;
    /// CPU that detached children used after their request's bill closed; part of the class columns too.
    LATE_CPU_NS = sum(9), Nanoseconds;

    // CPU by class; on operation and owner rows these sum to the process.
    /// CPU time of class handler.
    CPU_HANDLER_NS = sum(10), Nanoseconds;
    /// CPU time of class encode.
    CPU_ENCODE_NS = sum(11), Nanoseconds;
    /// CPU time of class decode.
    CPU_DECODE_NS = sum(12), Nanoseconds;
    /// CPU time of class protocol (parsing, framing, TLS).
    CPU_PROTOCOL_NS = sum(13), Nanoseconds;
    /// CPU time of class io (socket calls).
    CPU_IO_NS = sum(14), Nanoseconds;
    /// CPU time of class store (database client).
    CPU_STORE_NS = sum(15), Nanoseconds;

    // Memory.
    /// Bytes allocated.
    ALLOC_BYTES = sum(20), Bytes;
    /// Number of allocations.
    ALLOC_COUNT = sum(21), Count;
    /// Bytes freed while this account was current; not of the same objects.
    FREED_BYTES = sum(22), Bytes;
    /// Largest number of bytes that one request held at once (a lower bound across threads).
    PEAK_LIVE_BYTES = max(23), Bytes;
    /// Sum over ended requests of the bytes each held at its peak.
    PEAK_LIVE_SUM_BYTES = sum(24), Bytes;

    /// Bytes alive that this account allocated, estimated by sampling at the end of a window (gauge: the largest).
    RETAINED_BYTES = max(25), Bytes;
    /// Sum over windows of `RETAINED_BYTES` at their end, for a mean over `SAMPLES`.
    RETAINED_SUM_BYTES = sum(26), Bytes;
    /// Sum over windows of the standard error of `RETAINED_BYTES`: an upper bound of the sum's own.
    RETAINED_ERROR_SUM_BYTES = sum(27), Bytes;
    /// Bytes allocated per sample, on average: the setting of the sampler.
    RETAINED_MEAN_BYTES = max(28), Bytes;

    // Edges. On the caller's side requests are sent and responses received, on the callee's the reverse.
    /// Request messages (for a broker: messages published, or consumed).
    REQUEST_MESSAGES = sum(30), Count;
    /// Body bytes of request messages.
    REQUEST_BODY_BYTES = sum(31), Bytes;
    /// Bytes of request messages on the wire, where the socket is ours.
    REQUEST_WIRE_BYTES = sum(32), Bytes;
    /// Response messages.
    RESPONSE_MESSAGES = sum(33), Count;
    /// Body bytes of response messages.
    RESPONSE_BODY_BYTES = sum(34), Bytes;
    /// Bytes of response messages on the wire, where the socket is ours.
    RESPONSE_WIRE_BYTES = sum(35), Bytes;
    /// Wall time from the send of a request to the end of its response; for a consumer, the lag since publishing.
    WAIT_NS = sum(36), Nanoseconds;
    /// Calls made again after a failure.
    RETRIES = sum(37), Count;
    /// Messages delivered again by a broker.
    REDELIVERED = sum(38), Count;
    /// Of the wall time, what lay on the critical path of the request.
    CRITICAL_NS = sum(39), Nanoseconds;
    /// Messages in a size class.
    MESSAGES = sum(40), Count;
    /// Body bytes in a size class.
    BODY_BYTES = sum(41), Bytes;
    /// Body bytes of the messages that a broker delivered again; absent where it delivered none.
    REDELIVERED_BYTES = sum(42), Bytes;

    // Entities.
    /// Statements that touched the entity.
    STATEMENTS = sum(50), Count;
    /// Rows read or written, where the client shows them.
    ROWS = sum(51), Count;
    /// Bytes read or written, where the client shows them.
    BYTES = sum(52), Bytes;
    /// Requests that touched one key.
    KEYS_ONE = sum(53), Count;
    /// Requests that touched two keys.
    KEYS_TWO = sum(54), Count;
    /// Requests that touched more than two keys.
    KEYS_MORE = sum(55), Count;
    /// Touches of keys, over all requests and outside of them.
    KEY_TOUCHES = sum(58), Count;
    /// Of these, those of the busiest key in each window of each instance, at least.
    KEY_TOP_TOUCHES = sum(59), Count;
    /// Rows in the entity (gauge).
    ROW_COUNT = max(56), Count;
    /// Bytes that the entity occupies, indexes included (gauge).
    SIZE_BYTES = max(57), Bytes;

    // Series.
    /// Slots of 100 ms observed.
    SLOTS = sum(60), Count;
    /// Arrivals over the slots.
    ARRIVALS = sum(61), Count;
    /// Sum over the slots of the square of arrivals.
    ARRIVALS_SQUARED = sum(62), Count;
    /// Most requests in flight at one instant.
    IN_FLIGHT = max(63), Count;

    // Process.
    /// CPU time of the process by the kernel, in this window.
    CPU_PROCESS_NS = sum(70), Nanoseconds;
    /// Sum of all accounts booked in this window, `unattributed` not included.
    CPU_ACCOUNTS_NS = sum(71), Nanoseconds;
    /// Signed change of CPU in progress (spent, but not yet booked) over this window.
    CPU_IN_PROGRESS_NS = sum(72), Nanoseconds;
    /// What is left: process − accounts − in progress. Signed.
    CPU_UNATTRIBUTED_NS = sum(73), Nanoseconds;
    /// CPU time of the process since init, by the kernel.
    CPU_CUMULATIVE_NS = max(74), Nanoseconds;
    /// Resident set at init.
    RSS_INIT_BYTES = max(75), Bytes;
    /// Largest resident set seen at the end of a window.
    RSS_BYTES = max(76), Bytes;
    /// Peak resident set by the kernel.
    RSS_PEAK_BYTES = max(77), Bytes;
    /// Threads.
    THREADS = max(78), Count;
    /// Cores that the process may use.
    CORES_MILLI = max(79), MilliCores;
    /// CPU time that the agent itself used, hooks not included.
    CPU_AGENT_NS = sum(80), Nanoseconds;
    /// Clock readings taken.
    CLOCK_READINGS = sum(81), Count;
    /// Sum over windows of the resident set at their end, for a mean over `SAMPLES`.
    RSS_SUM_BYTES = sum(82), Bytes;
    /// Windows sampled.
    SAMPLES = sum(83), Count;
    /// Length of the windows.
    OBSERVED_NS = sum(84), Nanoseconds;
    /// Readings at which the kernel's thread clock was asked again.
    CLOCK_REREADS = sum(85), Count;
    /// Sum of the absolute amounts by which they corrected the fast clock.
    CLOCK_CORRECTIONS_NS = sum(86), Nanoseconds;
    /// How often the process went over to a slower clock because the fast one could not be trusted.
    CLOCK_DEGRADATIONS = sum(87), Count;

    /// CPU time of the process in user mode, in this window. With `CPU_SYSTEM_NS` it is the CPU time of the
    /// process at nearly the same instant; the split is the kernel's estimate.
    CPU_USER_NS = sum(110), Nanoseconds;
    /// CPU time of the process in the kernel, in this window.
    CPU_SYSTEM_NS = sum(111), Nanoseconds;
    /// Times a thread of the process gave its core away because it had to wait.
    SWITCHES_VOLUNTARY = sum(112), Count;
    /// Times a thread of the process had its core taken away.
    SWITCHES_INVOLUNTARY = sum(113), Count;
    /// CPU quota of the process's control groups, the tightest; absent when there is none.
    QUOTA_MILLI = max(114), MilliCores;
    /// Time in which threads of the process's control group wanted to run and its quota was used up, over all
    /// its cores; absent when there is no quota.
    THROTTLED_NS = sum(115), Nanoseconds;
    /// Cores of the machine, as the process sees it.
    HOST_CORES = max(116), Count;
    /// CPU time that the machine spent on anything, over all its cores. It is the same for all processes of
    /// one machine, so it is never added up over them; so are the other `HOST_` columns.
    HOST_BUSY_NS = sum(117), Nanoseconds;
    /// CPU time of the machine in soft interrupts: where packets from a network are received.
    HOST_SOFTIRQ_NS = sum(118), Nanoseconds;
    /// Time that the hypervisor gave to others while the machine wanted to run.
    HOST_STEAL_NS = sum(119), Nanoseconds;
    /// CPU time that the agent cost in the host's threads, estimated: clock readings × what a crossing of an account
    /// boundary was measured to cost at init, and one in 256 bills timed. It stands in the accounts, so it is an "of
    /// which".
    CPU_HOOKS_NS = sum(120), Nanoseconds;
    /// CPU time that a process without the agent told as what it spent since it told before. What it is shared out by
    /// stands in `CPU_PROCESS_NS`, which would otherwise count it twice.
    CPU_TOLD_NS = sum(123), Nanoseconds;

    // Regions and shapes.
    /// CPU of a region with its children.
    CPU_INCLUSIVE_NS = sum(90), Nanoseconds;
    /// CPU of a region without its children.
    CPU_EXCLUSIVE_NS = sum(91), Nanoseconds;
    /// Times a region ran (spans, not polls) or a shape was seen.
    COUNT = sum(92), Count;
    /// Bytes allocated in a region with its children; `ALLOC_BYTES` is without them.
    ALLOC_INCLUSIVE_BYTES = sum(93), Bytes;
    /// Number of allocations in a region with its children; `ALLOC_COUNT` is without them.
    ALLOC_INCLUSIVE_COUNT = sum(94), Count;
    /// Of the wall time of requests of a shape, what none of the calls they waited for covers.
    OWN_NS = sum(121), Nanoseconds;
    /// Sum over calls of the time from the start of the request to that of the call.
    OFFSET_NS = sum(122), Nanoseconds;

    // Estimates.
    /// Lower end of the interval of an estimated CPU time.
    CPU_LOW_NS = sum(130), Nanoseconds;
    /// Upper end of the interval of an estimated CPU time.
    CPU_HIGH_NS = sum(131), Nanoseconds;

    // Loss.
    /// How many were lost, folded or refused.
    LOST = sum(95), Count;
    /// CPU time that stood in what was lost.
    LOST_CPU_NS = sum(96), Nanoseconds;

    // Histograms share the number space.
    /// Histogram of CPU per ended request: what the request's own polls cost.
    HIST_REQUEST_CPU_NS = sum(100), Nanoseconds;
    /// Histogram of wall time per ended request.
    HIST_WALL_NS = sum(101), Nanoseconds;
    /// Sketch of the keys that were touched.
    SKETCH_KEYS = sum(102), Count;
}

impl ColumnInfo {
    /// What is known of a column number, if anything.
    #[must_use]
    pub fn find(column: u32) -> Option<&'static Self> {
        ALL_COLUMNS.iter().find(|c| c.column == column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_distinct() {
        let mut seen = std::collections::BTreeSet::new();
        for c in ALL_COLUMNS {
            assert!(seen.insert(c.column / 4), "{} reuses a number", c.name);
        }
    }

    #[test]
    fn gauges_take_the_larger_value_and_counters_add() {
        assert_eq!(Merge::of(column::RSS_BYTES).apply(3, 5), 5);
        assert_eq!(Merge::of(column::ENDED).apply(3, 5), 8);
    }
}
