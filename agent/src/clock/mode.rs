//! The ways to read CPU time, from the cheapest to the one that always works.

/// How CPU time is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mode {
    /// The processor's counter, as long as the kernel's flag says that the thread was not interrupted.
    Rseq = 1,
    /// The processor's counter, scaled to the thread's clock of the last stretch.
    Scaled = 2,
    /// The kernel's clock of the thread, one system call a reading.
    Thread = 3,
    /// The processor's counter and nothing else: for counting instructions where the kernel has no flag.
    #[cfg(feature = "bench")]
    Unchecked = 4,
}

impl Mode {
    /// The word in deltas and in `WEIGHBRIDGE_CLOCK`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rseq => "rseq",
            Self::Scaled => "scaled",
            Self::Thread => "thread",
            #[cfg(feature = "bench")]
            Self::Unchecked => "tsc-unchecked",
        }
    }

    /// The mode of this name. The error says which names there are.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        let mode = Self::ALL.into_iter().find(|mode| mode.name() == name);
        mode.ok_or_else(|| {
            format!(
                "no such clock; take {}",
                Self::ALL.map(Self::name).join(", ")
            )
        })
    }

    #[cfg(not(feature = "bench"))]
    const ALL: [Self; 3] = [Self::Rseq, Self::Scaled, Self::Thread];
    #[cfg(feature = "bench")]
    const ALL: [Self; 4] = [Self::Rseq, Self::Scaled, Self::Thread, Self::Unchecked];

    pub(super) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| *mode as u8 == number)
    }

    /// The next mode that trusts the counter less.
    pub(super) fn worse(self) -> Option<Self> {
        match self {
            Self::Rseq => Some(Self::Scaled),
            Self::Scaled => Some(Self::Thread),
            Self::Thread => None,
            #[cfg(feature = "bench")]
            Self::Unchecked => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_come_back() {
        for mode in Mode::ALL {
            assert_eq!(Mode::parse(mode.name()), Ok(mode));
            assert_eq!(Mode::from_number(mode as u8), Some(mode));
        }
        let error = Mode::parse("tsc").unwrap_err();
        assert!(error.contains("rseq, scaled, thread"), "{error}");
        assert_eq!(Mode::from_number(0), None, "not probed yet");
    }

    #[test]
    fn degrading_ends_at_the_thread_clock() {
        assert_eq!(Mode::Rseq.worse(), Some(Mode::Scaled));
        assert_eq!(Mode::Scaled.worse(), Some(Mode::Thread));
        assert_eq!(Mode::Thread.worse(), None);
    }
}
