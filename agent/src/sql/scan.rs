//! Follows the tokens of a text and notes which names stand where a table stands.

use std::collections::BTreeSet;

use sqlparser::dialect::SQLiteDialect;
use sqlparser::tokenizer::{Token, Tokenizer};

use super::{Access, Analysis, SQL_BYTES_MAX, SQL_ENTITIES_MAX};

/// Analyses a text of one or more statements.
pub(crate) fn scan(text: &str) -> Analysis {
    if text.len() > SQL_BYTES_MAX {
        return unknown();
    }
    let Ok(tokens) = Tokenizer::new(&SQLiteDialect {}, text).tokenize() else {
        return unknown();
    };
    let tokens: Vec<Token> = tokens
        .into_iter()
        .filter(|token| !matches!(token, Token::Whitespace(_) | Token::EOF))
        .collect();
    let mut scan = Scan::default();
    for n in 0..tokens.len() {
        scan.token(&tokens, n);
    }
    scan.end_statement();
    Analysis {
        unknown: scan.lost || scan.found.len() > SQL_ENTITIES_MAX,
        entities: scan
            .found
            .into_iter()
            .take(SQL_ENTITIES_MAX)
            .map(|(name, access)| (name.into(), access))
            .collect(),
    }
}

fn unknown() -> Analysis {
    Analysis {
        entities: Vec::new(),
        unknown: true,
    }
}

/// What a statement does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Verb {
    /// Not known yet.
    #[default]
    None,
    Query,
    Insert,
    Update,
    /// `DELETE` before its `FROM`.
    Delete,
    /// `CREATE`, which may turn out to be a trigger.
    Create,
    /// Inside a trigger, whose statements run later; the number of open `CASE`.
    Trigger(u32),
    /// Touches no rows, or is nothing that we know.
    Skip,
}

/// What may come next inside one pair of parentheses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expect {
    #[default]
    Nothing,
    Table(Access),
    CteName,
}

#[derive(Clone, Copy, Debug, Default)]
struct Frame {
    expect: Expect,
    /// In a `FROM` list: a comma brings another table.
    from: bool,
    /// In a `WITH` list: a comma brings another name.
    with: bool,
    /// A word was seen.
    begun: bool,
}

#[derive(Default)]
struct Scan {
    verb: Verb,
    frame: Frame,
    outer: Vec<Frame>,
    /// Names of this statement that stand for its own subqueries.
    ctes: BTreeSet<String>,
    /// Tables of this statement: name, access, qualified.
    tables: Vec<(String, Access, bool)>,
    /// Tables of all statements.
    found: BTreeSet<(String, Access)>,
    /// The text could not be followed.
    lost: bool,
    /// Tokens up to this one are read already.
    read: usize,
}

impl Scan {
    fn token(&mut self, tokens: &[Token], n: usize) {
        if n < self.read {
            return;
        }
        match &tokens[n] {
            Token::Word(word) => {
                let bare = word.quote_style.is_none();
                let after_dot = n > 0 && tokens[n - 1] == Token::Period;
                self.word(tokens, n, if bare && !after_dot { &word.value } else { "" });
                self.frame.begun = true;
            }
            Token::SemiColon => match self.verb {
                Verb::Trigger(_) => {}
                _ => self.end_statement(),
            },
            Token::LParen => {
                let inner = match self.frame.expect {
                    Expect::Table(Access::Read) => Frame {
                        expect: self.frame.expect,
                        from: true,
                        ..Frame::default()
                    },
                    _ => Frame::default(),
                };
                self.frame.expect = Expect::Nothing;
                self.outer.push(std::mem::replace(&mut self.frame, inner));
            }
            Token::RParen => match self.outer.pop() {
                Some(frame) => self.frame = frame,
                None => self.lost = true,
            },
            Token::Comma if self.frame.from => self.frame.expect = Expect::Table(Access::Read),
            Token::Comma if self.frame.with => self.frame.expect = Expect::CteName,
            _ => {}
        }
    }

    /// A word: `keyword` is its text if it may be a keyword, else empty.
    fn word(&mut self, tokens: &[Token], n: usize, keyword: &str) {
        let is = |word: &str| keyword.eq_ignore_ascii_case(word);
        if let Verb::Trigger(cases) = self.verb {
            match (cases, is("CASE"), is("END")) {
                (_, true, _) => self.verb = Verb::Trigger(cases + 1),
                (0, _, true) => self.verb = Verb::Skip,
                (_, _, true) => self.verb = Verb::Trigger(cases - 1),
                _ => {}
            }
            return;
        }
        if self.verb == Verb::Create && is("TRIGGER") && self.outer.is_empty() {
            self.verb = Verb::Trigger(0);
        }
        if matches!(self.verb, Verb::Skip | Verb::Create | Verb::Trigger(_)) {
            return;
        }
        match self.frame.expect {
            Expect::CteName if is("RECURSIVE") => {}
            Expect::CteName => {
                self.ctes.insert(name_of(&tokens[n]));
                self.frame.expect = Expect::Nothing;
            }
            // `UPDATE OR IGNORE t`, and a subquery where a table could stand.
            Expect::Table(Access::Write) if is("OR") => self.read = n + 2,
            Expect::Table(_) if is("SELECT") || is("VALUES") || is("WITH") => {
                self.frame = Frame::default();
                self.keyword(tokens, n, keyword);
            }
            Expect::Table(access) => self.table(tokens, n, access),
            Expect::Nothing => self.keyword(tokens, n, keyword),
        }
    }

    fn keyword(&mut self, tokens: &[Token], n: usize, keyword: &str) {
        let outermost = self.outer.is_empty();
        let begins = outermost && self.verb == Verb::None;
        match keyword.to_ascii_uppercase().as_str() {
            "WITH" if !self.frame.begun => {
                self.frame.with = true;
                self.frame.expect = Expect::CteName;
            }
            "SELECT" | "VALUES" => {
                self.frame.from = false;
                self.frame.with = false;
                if begins {
                    self.verb = Verb::Query;
                }
            }
            "INSERT" | "REPLACE" if begins => self.begin(Verb::Insert),
            "DELETE" if begins => self.begin(Verb::Delete),
            "UPDATE" if begins => {
                self.begin(Verb::Update);
                self.frame.expect = Expect::Table(Access::Write);
            }
            "INTO" if outermost && self.verb == Verb::Insert => {
                self.frame.expect = Expect::Table(Access::Write);
            }
            "FROM" if outermost && self.verb == Verb::Delete => {
                self.verb = Verb::Update;
                self.frame.expect = Expect::Table(Access::Write);
            }
            "FROM" if !is_distinct_from(tokens, n) => {
                self.frame.from = true;
                self.frame.expect = Expect::Table(Access::Read);
            }
            "JOIN" if self.frame.from => self.frame.expect = Expect::Table(Access::Read),
            "WHERE" | "GROUP" | "HAVING" | "ORDER" | "LIMIT" | "WINDOW" | "SET" | "UNION"
            | "EXCEPT" | "INTERSECT" | "RETURNING" => self.frame.from = false,
            "CREATE" if begins => self.verb = Verb::Create,
            "EXPLAIN" | "PRAGMA" | "BEGIN" | "COMMIT" | "END" | "ROLLBACK" | "SAVEPOINT"
            | "RELEASE" | "DROP" | "ALTER" | "ANALYZE" | "VACUUM" | "REINDEX" | "ATTACH"
            | "DETACH"
                if begins =>
            {
                self.verb = Verb::Skip;
            }
            _ if begins && !self.frame.with => {
                self.verb = Verb::Skip;
                self.lost = true;
            }
            _ => {}
        }
    }

    fn begin(&mut self, verb: Verb) {
        self.verb = verb;
        self.frame.with = false;
    }

    /// A name where a table stands, perhaps with the name of its database in front.
    fn table(&mut self, tokens: &[Token], n: usize, access: Access) {
        let mut last = n;
        while tokens.get(last + 1) == Some(&Token::Period)
            && matches!(tokens.get(last + 2), Some(Token::Word(_)))
        {
            last += 2;
        }
        self.read = last + 1;
        self.frame.expect = Expect::Nothing;
        // A name with arguments is a function that returns rows.
        if access == Access::Read && tokens.get(last + 1) == Some(&Token::LParen) {
            return;
        }
        self.tables.push((name_of(&tokens[last]), access, last > n));
    }

    fn end_statement(&mut self) {
        let open = !self.outer.is_empty() || self.frame.expect != Expect::Nothing;
        if open || matches!(self.verb, Verb::Trigger(_)) {
            self.lost = true;
        }
        for (name, access, qualified) in std::mem::take(&mut self.tables) {
            let own = self.ctes.contains(&name) && !qualified && access == Access::Read;
            let internal = name.starts_with("sqlite_") || name == "dbstat" || name.is_empty();
            if !own && !internal {
                self.found.insert((name, access));
            }
        }
        let (found, lost, read) = (std::mem::take(&mut self.found), self.lost, self.read);
        *self = Self {
            found,
            lost,
            read,
            ..Self::default()
        };
    }
}

/// `a IS [NOT] DISTINCT FROM b` compares; it does not name a table.
fn is_distinct_from(tokens: &[Token], n: usize) -> bool {
    let word = |back: usize, text: &str| match n.checked_sub(back).and_then(|n| tokens.get(n)) {
        Some(Token::Word(word)) => word.value.eq_ignore_ascii_case(text),
        _ => false,
    };
    word(1, "DISTINCT") && (word(2, "IS") || word(2, "NOT"))
}

/// The name as entities are known: lower case, as SQLite does not tell case apart.
fn name_of(token: &Token) -> String {
    match token {
        Token::Word(word) => crate::ledger::limits::cut(&word.value).to_ascii_lowercase(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests;
