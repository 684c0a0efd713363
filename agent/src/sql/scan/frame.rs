//! What is known inside one pair of parentheses.

use crate::store::Access;

/// What a statement does, or what stands in parentheses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Verb {
    /// Not known yet, or no statement.
    #[default]
    None,
    Query,
    Insert,
    Update,
    /// `DELETE` before its `FROM`.
    Delete,
    /// `DELETE` after it.
    Deleting,
    Merge,
    Copy,
    Truncate,
    /// `DECLARE` of a cursor, before its statement.
    Declare,
    /// `CREATE`, which may turn out to be a trigger.
    Create,
    /// `CREATE` of something whose body may hold statements.
    Routine,
    /// Inside such a body, whose statements run later; the number of open `CASE`.
    Body(u32),
    /// Touches no rows, or is nothing that we know.
    Skip,
}

impl Verb {
    /// What the rows of such a statement are.
    pub(super) fn rows(self) -> Option<Access> {
        match self {
            Self::Query => Some(Access::Read),
            Self::Insert | Self::Update | Self::Delete | Self::Merge => Some(Access::Write),
            _ => None,
        }
    }
}

/// What may come next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Expect {
    #[default]
    Nothing,
    Table(Access),
    CteName,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Frame {
    pub(super) verb: Verb,
    pub(super) expect: Expect,
    /// In a `FROM` list: a comma brings another table.
    pub(super) from: bool,
    /// A comma brings another table that is written.
    pub(super) writes: bool,
    /// In a `WITH` list: a comma brings another name.
    pub(super) with: bool,
    /// A word was seen.
    pub(super) begun: bool,
    /// The table that it writes was named.
    targeted: bool,
    /// It creates what may be filled at once.
    pub(super) makes_rows: bool,
    /// Its `USING` list was seen; another `USING` names columns.
    pub(super) used: bool,
}

impl Frame {
    /// What begins with a parenthesis here, or with a bracket.
    pub(super) fn inner(&mut self, bracket: bool) -> Self {
        let mut inner = Self::default();
        if let Expect::Table(Access::Read) = self.expect
            && !bracket
        {
            inner.expect = self.expect;
            inner.from = true;
            // What stands in a list of tables is one.
            inner.verb = Verb::Query;
        }
        if !matches!(self.expect, Expect::CteName) {
            self.expect = Expect::Nothing;
        }
        inner
    }

    /// What seemed to be a list of tables is a subquery.
    pub(super) fn as_query(self) -> Self {
        Self::default()
    }

    pub(super) fn comma(&mut self) {
        if self.writes {
            self.expect = Expect::Table(Access::Write);
        } else if self.from {
            self.expect = Expect::Table(Access::Read);
        } else if self.with {
            self.expect = Expect::CteName;
        }
    }

    /// The table that is written comes next.
    pub(super) fn target(&mut self) {
        self.expect = Expect::Table(Access::Write);
        self.targeted = true;
    }

    pub(super) fn untargeted(&self) -> bool {
        !self.targeted
    }

    /// Tables that are read come next.
    pub(super) fn reads(&mut self) {
        self.from = true;
        self.expect = Expect::Table(Access::Read);
    }
}
