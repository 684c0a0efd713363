//! Follows the tokens of a text and notes which names stand where a table stands.

mod frame;
mod words;

use std::collections::BTreeSet;

use sqlparser::dialect as parser;
use sqlparser::tokenizer::{Token, Tokenizer};

use super::{Dialect, SQL_BYTES_MAX, SQL_ENTITIES_MAX};
use crate::store::{Access, Uses};
use frame::{Expect, Frame, Verb};

/// Analyses a text of one or more statements.
pub(crate) fn scan(text: &str, dialect: Dialect) -> Uses {
    if text.len() > SQL_BYTES_MAX {
        return unknown();
    }
    let Some(tokens) = tokens(text, dialect) else {
        return unknown();
    };
    let mut scan = Scan::new(dialect);
    for n in 0..tokens.len() {
        scan.token(&tokens, n);
    }
    scan.end_statement();
    Uses {
        unknown: scan.lost || scan.found.len() > SQL_ENTITIES_MAX,
        rows: scan.rows.filter(|_| scan.statements == 1),
        entities: scan
            .found
            .into_iter()
            .take(SQL_ENTITIES_MAX)
            .map(|(name, access)| (name.into(), access))
            .collect(),
    }
}

fn tokens(text: &str, dialect: Dialect) -> Option<Vec<Token>> {
    let tokens = match dialect {
        Dialect::Sqlite => Tokenizer::new(&parser::SQLiteDialect {}, text).tokenize(),
        Dialect::Postgres => Tokenizer::new(&parser::PostgreSqlDialect {}, text).tokenize(),
        Dialect::MySql => Tokenizer::new(&parser::MySqlDialect {}, text).tokenize(),
        Dialect::Other => Tokenizer::new(&parser::GenericDialect {}, text).tokenize(),
    };
    let meant = |token: &Token| !matches!(token, Token::Whitespace(_) | Token::EOF);
    Some(tokens.ok()?.into_iter().filter(meant).collect())
}

fn unknown() -> Uses {
    Uses {
        unknown: true,
        ..Uses::default()
    }
}

/// A name where a table stands.
struct Table {
    name: String,
    /// What stands in front of the name, if anything.
    schema: Option<String>,
    access: Access,
}

struct Scan {
    dialect: Dialect,
    frame: Frame,
    outer: Vec<Frame>,
    /// Names of this statement that stand for its own subqueries.
    ctes: BTreeSet<String>,
    /// Tables of this statement.
    tables: Vec<Table>,
    /// Tables that `DELETE a, b FROM …` names before its `FROM`.
    targets: Vec<String>,
    /// Tables of all statements.
    found: BTreeSet<(String, Access)>,
    /// What the rows of the last statement are.
    rows: Option<Access>,
    /// Statements that were begun.
    statements: u32,
    /// The text could not be followed.
    lost: bool,
    /// Tokens up to this one are read already.
    read: usize,
}

impl Scan {
    fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            frame: Frame::default(),
            outer: Vec::new(),
            ctes: BTreeSet::new(),
            tables: Vec::new(),
            targets: Vec::new(),
            found: BTreeSet::new(),
            rows: None,
            statements: 0,
            lost: false,
            read: 0,
        }
    }

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
            Token::SemiColon if matches!(self.frame.verb, Verb::Body(_)) => {}
            Token::SemiColon => self.end_statement(),
            Token::LParen | Token::LBracket => {
                let inner = self.frame.inner(tokens[n] == Token::LBracket);
                self.outer.push(std::mem::replace(&mut self.frame, inner));
            }
            Token::RParen | Token::RBracket => match self.outer.pop() {
                Some(frame) => self.frame = frame,
                None => self.lost = true,
            },
            Token::Comma => self.frame.comma(),
            // No value can stand where a table is expected.
            _ if matches!(self.frame.expect, Expect::Table(_)) => {
                self.frame.expect = Expect::Nothing;
                self.lost = true;
            }
            _ => {}
        }
    }

    /// A word: `keyword` is its text if it may be a keyword, else empty.
    fn word(&mut self, tokens: &[Token], n: usize, keyword: &str) {
        let is = |word: &str| keyword.eq_ignore_ascii_case(word);
        match self.frame.verb {
            Verb::Body(cases) => {
                self.frame.verb = match (cases, is("CASE"), is("END")) {
                    (_, true, _) => Verb::Body(cases + 1),
                    (0, _, true) => Verb::Skip,
                    (_, _, true) => Verb::Body(cases - 1),
                    _ => return,
                };
                return;
            }
            Verb::Create if self.outer.is_empty() && words::names_a_routine(keyword) => {
                self.frame.verb = Verb::Routine;
                return;
            }
            // It reads rows and writes them where nothing was: not followed.
            Verb::Create if self.outer.is_empty() && (is("TABLE") || is("MATERIALIZED")) => {
                self.frame.makes_rows = true;
                return;
            }
            Verb::Create if self.outer.is_empty() && self.frame.makes_rows && is("AS") => {
                self.lost = true;
                return;
            }
            Verb::Routine if self.outer.is_empty() && is("BEGIN") => {
                self.frame.verb = Verb::Body(0);
                return;
            }
            Verb::Declare if is("FOR") => {
                self.frame = Frame::default();
                return;
            }
            Verb::Skip | Verb::Create | Verb::Routine | Verb::Declare => return,
            _ => {}
        }
        match self.frame.expect {
            Expect::CteName if is("RECURSIVE") => {}
            Expect::CteName => {
                self.ctes.insert(name_of(&tokens[n]));
                self.frame.expect = Expect::Nothing;
            }
            Expect::Table(access) => match () {
                // `UPDATE OR IGNORE t`
                () if access == Access::Write && is("OR") => self.read = n + 2,
                // A subquery where a table could stand.
                () if is("SELECT") || is("VALUES") || is("WITH") => {
                    self.frame = self.frame.as_query();
                    self.keyword(tokens, n, keyword);
                }
                () if words::stands_before_table(keyword) && goes_on(tokens, n) => {}
                () => self.table(tokens, n, access),
            },
            Expect::Nothing => self.keyword(tokens, n, keyword),
        }
    }

    fn keyword(&mut self, tokens: &[Token], n: usize, keyword: &str) {
        let called = tokens.get(n + 1) == Some(&Token::LParen);
        let word = keyword.to_ascii_uppercase();
        if self.frame.verb == Verb::None && self.begin(&word, called) {
            return;
        }
        match (word.as_str(), self.frame.verb) {
            // Before its table; MySQL needs no INTO.
            ("INTO", Verb::Insert | Verb::Merge) => self.frame.target(),
            (word, Verb::Insert)
                if self.dialect.is_mysql()
                    && self.frame.untargeted()
                    && !words::modifies_insert(word)
                    && !called =>
            {
                self.frame.target();
                self.table(tokens, n, Access::Write);
            }
            ("FROM", Verb::Delete) if self.targets.is_empty() => {
                self.frame.verb = Verb::Deleting;
                self.frame.target();
            }
            ("FROM", Verb::Delete) => {
                self.frame.verb = Verb::Query;
                self.frame.reads();
            }
            (word, Verb::Delete) if !words::modifies_delete(word) => {
                self.targets.push(name_of(&tokens[n]));
            }
            ("USING", Verb::Deleting | Verb::Merge) if !self.frame.used => {
                self.frame.used = true;
                self.frame.reads();
            }
            ("FROM", Verb::Copy) => self.copied(Access::Write),
            ("TO", Verb::Copy) => self.copied(Access::Read),
            // `SELECT … INTO t FROM …` makes a table.
            ("INTO", Verb::Query) if self.dialect == Dialect::Postgres && self.outer.is_empty() => {
                self.frame.expect = Expect::Table(Access::Write);
            }
            // `extract(year FROM x)` names no table, and neither does a comparison.
            ("FROM", Verb::None) => {}
            ("FROM", _) if !is_distinct_from(tokens, n) => self.frame.reads(),
            ("JOIN" | "STRAIGHT_JOIN", _) if self.frame.from => {
                self.frame.expect = Expect::Table(Access::Read);
            }
            ("SELECT" | "VALUES", _) if !called || word == "SELECT" => {
                self.frame.from = false;
                self.frame.with = false;
            }
            (word, _) if words::ends_from(word) => self.frame.from = false,
            _ => {}
        }
    }

    /// The first word of a statement, or of what stands in parentheses. True when it was one.
    fn begin(&mut self, word: &str, called: bool) -> bool {
        let outermost = self.outer.is_empty();
        if !outermost && self.frame.begun && !self.frame.with {
            return false;
        }
        let verb = match word {
            "WITH" if !self.frame.begun => {
                self.frame.with = true;
                self.frame.expect = Expect::CteName;
                return true;
            }
            "SELECT" => Verb::Query,
            "VALUES" if outermost || !called || self.frame.expect == Expect::Nothing => Verb::Query,
            "INSERT" | "REPLACE" if outermost || !called => Verb::Insert,
            "DELETE" => Verb::Delete,
            "UPDATE" => Verb::Update,
            "MERGE" => Verb::Merge,
            _ if !outermost => return false,
            "TABLE" => Verb::Query,
            "COPY" => Verb::Copy,
            "TRUNCATE" => Verb::Truncate,
            "DECLARE" => Verb::Declare,
            "CREATE" => Verb::Create,
            // Outside the statement's own `WITH` list every other word is one that we do not know.
            _ if self.frame.with => return false,
            _ => {
                self.lost |= !words::touches_no_rows(word);
                Verb::Skip
            }
        };
        self.frame.verb = verb;
        self.frame.with = false;
        if outermost {
            self.statements += 1;
            self.rows = verb.rows();
        }
        match verb {
            Verb::Update => {
                self.frame.target();
                // `UPDATE a JOIN b SET …`
                self.frame.from = self.dialect.is_mysql();
            }
            Verb::Copy => self.frame.target(),
            Verb::Truncate => {
                self.frame.target();
                self.frame.writes = true;
            }
            Verb::Query if word == "TABLE" => self.frame.expect = Expect::Table(Access::Read),
            _ => {}
        }
        true
    }

    /// A name where a table stands, perhaps with names of its schema and its database in front.
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
        if self.frame.verb == Verb::Update && access == Access::Read {
            // Which of the joined tables are written is said by the columns.
            self.lost |= self.dialect.is_mysql();
        }
        self.tables.push(Table {
            name: name_of(&tokens[last]),
            schema: (last > n).then(|| name_of(&tokens[last - 2])),
            access,
        });
    }

    /// Which way a `COPY` goes is said after its table.
    fn copied(&mut self, access: Access) {
        self.rows = Some(access);
        if let Some(table) = self.tables.first_mut() {
            table.access = access;
        }
        self.frame.verb = Verb::Skip;
    }

    fn end_statement(&mut self) {
        let open = !self.outer.is_empty() || self.frame.expect != Expect::Nothing;
        if open
            || matches!(
                self.frame.verb,
                Verb::Body(_) | Verb::Delete | Verb::Declare
            )
        {
            self.lost = true;
        }
        for target in std::mem::take(&mut self.targets) {
            // It may be the other name of a table.
            if self.tables.iter().any(|table| table.name == target) {
                self.found.insert((target, Access::Write));
            } else {
                self.lost = true;
            }
        }
        for table in std::mem::take(&mut self.tables) {
            let read = table.access == Access::Read;
            let own = read && table.schema.is_none() && self.ctes.contains(&table.name);
            let schema = table.schema.as_deref().unwrap_or("");
            if !own && !words::is_internal(self.dialect, schema, &table.name) {
                self.found.insert((table.name, table.access));
            }
        }
        self.ctes.clear();
        self.outer.clear();
        self.frame = Frame::default();
    }
}

/// True when after a word such as `ONLY` a table follows: else it is a name itself.
fn goes_on(tokens: &[Token], n: usize) -> bool {
    matches!(tokens.get(n + 1), Some(Token::Word(word)) if !words::follows_table(&word.value))
        || (tokens.get(n + 1) == Some(&Token::LParen))
}

/// `a IS [NOT] DISTINCT FROM b` compares; it does not name a table.
fn is_distinct_from(tokens: &[Token], n: usize) -> bool {
    let word = |back: usize, text: &str| match n.checked_sub(back).and_then(|n| tokens.get(n)) {
        Some(Token::Word(word)) => word.value.eq_ignore_ascii_case(text),
        _ => false,
    };
    word(1, "DISTINCT") && (word(2, "IS") || word(2, "NOT"))
}

/// The name as entities are known: lower case, so that one entity has one name in all its databases.
fn name_of(token: &Token) -> String {
    match token {
        Token::Word(word) => crate::ledger::limits::cut(&word.value).to_ascii_lowercase(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests;
