//! Reasons why a figure is absent that are the answer themselves: nothing is left to be known.

/// Such a reason, and the word that stands for it in a table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Absence {
    pub(crate) word: &'static str,
    /// What `unknown_reason` says.
    pub(crate) reason: &'static str,
}

impl Absence {
    pub(crate) const NO_TURN: Self = Self {
        word: "never",
        reason: "never: there is a gain at a thousandth and at a thousand times of it",
    };
    pub(crate) const NO_MESSAGE: Self = Self {
        word: "none",
        reason: "no message of this kind was seen",
    };
    pub(crate) const NO_STATEMENT: Self = Self {
        word: "none",
        reason: "no statement of this kind was seen",
    };
    pub(crate) const NO_WAIT: Self = Self {
        word: "nobody waits",
        reason: "nobody waits for an asynchronous call",
    };
    pub(crate) const LAG_INSTEAD: Self = Self {
        word: "async",
        reason: "nobody waits for an asynchronous call: see its lag",
    };
    pub(crate) const NO_ANSWER: Self = Self {
        word: "no answer",
        reason: "nobody answers an asynchronous call",
    };

    const ALL: [Self; 6] = [
        Self::NO_TURN,
        Self::NO_MESSAGE,
        Self::NO_STATEMENT,
        Self::NO_WAIT,
        Self::LAG_INSTEAD,
        Self::NO_ANSWER,
    ];

    /// The one with this reason; `None` where something is not known.
    pub(crate) fn of(reason: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|absence| absence.reason == reason)
    }
}
