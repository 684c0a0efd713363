//! Tables: one shape for all of them, with a caption, scopes, identifiers and notes.

use std::borrow::Cow;

use askama::Template;

use super::figure::{self, Notes, Show};
use super::format;
use super::markup::Markup;
use super::shown::left_out;
use super::text::name;
use crate::document::Figure;

/// The head of a column.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) label: Cow<'static, str>,
    /// What it means, for who rests on it.
    pub(crate) help: &'static str,
    pub(crate) numeric: bool,
}

/// A column of figures.
pub(crate) const fn figures(label: &'static str, help: &'static str) -> Column {
    Column {
        label: Cow::Borrowed(label),
        help,
        numeric: true,
    }
}

/// A column of figures whose head comes from the document.
pub(crate) fn figures_at(label: String, help: &'static str) -> Column {
    Column {
        label: Cow::Owned(label),
        help,
        numeric: true,
    }
}

/// A column of words.
pub(crate) const fn words(label: &'static str, help: &'static str) -> Column {
    Column {
        label: Cow::Borrowed(label),
        help,
        numeric: false,
    }
}

/// The six classes of work as columns, in the order of [`ClassFigures::each`](crate::document::ClassFigures::each).
pub(crate) const CLASS_COLUMNS: [Column; 6] = [
    figures("handler", "Application code"),
    figures("encode", "Serialisation of messages"),
    figures("decode", "Deserialisation of messages"),
    figures("protocol", "Parsing, framing, TLS"),
    figures("io", "Socket calls"),
    figures("store class", "Class store: the database client"),
];

/// A row under construction.
pub(crate) struct Row {
    id: String,
    cells: Vec<Markup>,
    emphasis: bool,
}

impl Row {
    /// A row that is the place of an id of the document; with an empty id the page's script gives it one.
    pub(crate) fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            cells: Vec::new(),
            emphasis: false,
        }
    }

    /// A row that sums up or checks the others.
    pub(crate) fn strong(mut self) -> Self {
        self.emphasis = true;
        self
    }

    /// The cell that names the row. The page's script adds the link to the row itself.
    pub(crate) fn head(mut self, content: &Markup) -> Self {
        self.cells.push(Markup::composed(format!("<th>{content}")));
        self
    }

    /// The cell that names this row and those that follow it.
    pub(crate) fn group_head(mut self, content: &Markup, rows: usize) -> Self {
        self.cells.push(Markup::composed(format!(
            "<th scope=rowgroup rowspan={rows}>{content}"
        )));
        self
    }

    /// Text from anywhere.
    pub(crate) fn text(self, text: &str) -> Self {
        self.markup(&Markup::text(&name(text)))
    }

    /// Our own words, not cut.
    pub(crate) fn words(self, text: &str) -> Self {
        self.markup(&Markup::text(text))
    }

    pub(crate) fn markup(mut self, content: &Markup) -> Self {
        self.cells
            .push(Markup::composed(format!("<td class=w>{content}")));
        self
    }

    /// A finished cell.
    pub(crate) fn cell(mut self, cell: Markup) -> Self {
        self.cells.push(cell);
        self
    }

    pub(crate) fn figure(self, value: &Figure, show: Show, notes: &mut Notes) -> Self {
        let cell = figure::cell(value, show, notes);
        self.cell(cell)
    }

    /// A figure of which the caption says how it came about.
    pub(crate) fn unmarked(self, value: &Figure, show: Show, notes: &mut Notes) -> Self {
        let cell = figure::unmarked_cell(value, show, notes);
        self.cell(cell)
    }

    pub(crate) fn interval(self, value: &Figure, show: Show, notes: &mut Notes) -> Self {
        let cell = figure::cell_with_interval(value, show, notes);
        self.cell(cell)
    }

    /// An exact integer, or not known.
    pub(crate) fn exact(self, value: Option<i64>, reason: &str, notes: &mut Notes) -> Self {
        let cell = match value {
            Some(value) => Markup::composed(format!("<td>{}", format::integer(value))),
            None => figure::unknown_cell(reason, notes),
        };
        self.cell(cell)
    }

    /// A whole number of which there is never doubt.
    pub(crate) fn number(self, value: u64) -> Self {
        self.cell(Markup::composed(format!(
            "<td>{}",
            format::integer(i64::try_from(value).unwrap_or(i64::MAX))
        )))
    }

    /// Columns that this row has nothing in.
    pub(crate) fn empty(self, columns: usize) -> Self {
        let markup = if columns == 1 {
            "<td>".to_owned()
        } else {
            format!("<td colspan={columns}>")
        };
        self.cell(Markup::composed(markup))
    }
}

/// A table that is ready for a template.
#[derive(Template)]
#[template(path = "table.html")]
pub(crate) struct Table {
    pub(crate) id: String,
    pub(crate) caption: Markup,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Row>,
    pub(crate) notes: Vec<String>,
    /// Rows can be sorted: false where their order is the message.
    pub(crate) sortable: bool,
    /// The heads say what they mean and have their scope written out. Of tables that come once for each service only
    /// the first does, and the page's script copies it to the others: a hundred copies would be a third of the page.
    /// Without the script a head in `thead` has the same scope by the rules of HTML.
    pub(crate) helpful: bool,
    /// The table has its id although it is one of many: a figure is tied to it.
    pub(crate) named: bool,
    /// The first column holds two ends of an edge and needs more room.
    pub(crate) wide_head: bool,
    /// Where the page is narrow each row is a card, its cells under each other.
    pub(crate) cards: bool,
    /// The caption is only read out: what the table is folded into has these words already.
    pub(crate) quiet: bool,
    /// What the marks in the cells mean; empty where there are none, and in tables that are [not helpful](Self::helpful).
    pub(crate) key: String,
}

impl Table {
    pub(crate) fn new(
        id: &str,
        caption: &str,
        columns: Vec<Column>,
        rows: Vec<Row>,
        notes: Notes,
    ) -> Self {
        Self {
            id: id.to_owned(),
            caption: Markup::text(caption),
            columns,
            sortable: rows.len() > 1,
            helpful: true,
            named: true,
            wide_head: false,
            cards: false,
            quiet: false,
            key: String::new(),
            rows,
            notes: notes.into_texts(),
        }
    }

    /// Keeps the rows in their order.
    pub(crate) fn fixed(mut self) -> Self {
        self.sortable = false;
        self
    }

    /// Gives the first column more room.
    pub(crate) fn wide_head(mut self) -> Self {
        self.wide_head = true;
        self
    }

    /// Makes each row a card where the page is narrow.
    pub(crate) fn cards(mut self) -> Self {
        self.cards = true;
        self
    }

    /// Leaves the caption to those who hear the page.
    pub(crate) fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// What the style sheet and the script know of the table, as its attribute.
    fn classes(&self) -> String {
        let classes: Vec<&str> = [
            (self.wide_head, "first-wide"),
            (self.cards, "cards"),
            (self.quiet, "quiet"),
            (self.sortable, "sort"),
        ]
        .into_iter()
        .filter_map(|(has, class)| has.then_some(class))
        .collect();
        match classes.as_slice() {
            [] => String::new(),
            [one] => format!(" class={one}"),
            more => format!(" class=\"{}\"", more.join(" ")),
        }
    }

    /// Keeps the first rows and says so, where there are more than a page should hold.
    pub(crate) fn at_most(mut self, rows: usize) -> Self {
        let said = left_out(self.rows.len(), rows, "rows, the first");
        self.rows.truncate(rows);
        self.note(said)
    }

    /// Says something under the table; nothing where it is empty.
    pub(crate) fn note(mut self, said: String) -> Self {
        if !said.is_empty() {
            self.notes.push(said);
        }
        self
    }

    /// One of many tables of the same kind, the `index`th.
    pub(crate) fn one_of_many(mut self, index: usize) -> Self {
        self.helpful = index == 0;
        self.named = self.helpful;
        self
    }

    /// Keeps its id although it is one of many.
    pub(crate) fn named(mut self) -> Self {
        self.named = true;
        self
    }

    /// The finished table; nothing when a template fails, which the compiler has ruled out.
    pub(crate) fn markup(mut self) -> Markup {
        if self.helpful {
            self.key = figure::key_of_marks(self.rows.iter().flat_map(|row| &row.cells));
        }
        Markup::composed(self.render().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_identifiers_heads_and_exact_values() {
        let table = Table::new(
            "t",
            "What <it> is",
            vec![words("Name", ""), figures("n", "How many")],
            vec![Row::new("row-1").head(&Markup::text("<b>")).number(1234)],
            Notes::default(),
        );
        let html = table.markup().to_string();
        assert!(
            html.contains("<tr id=row-1><th>&lt;b&gt;<td>1,234"),
            "{html}"
        );
        assert!(html.contains("What &lt;it&gt; is</caption>"), "{html}");
        assert!(
            html.contains("<th scope=col title=\"How many\">n"),
            "{html}"
        );
    }
}
