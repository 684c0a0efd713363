//! Figures as people read them: three digits, the exact value in an attribute, and what is not known said so.

use super::format::{self, Quantity, significant};
use super::markup::Markup;
use super::text::escape_text;
use crate::document::{Absence, Figure, FigureUnit, QualityShare, QualityWord, processes_meant};

/// How a figure is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    /// In the unit that fits its size.
    Plain,
    /// Without the unit, which the column's head names.
    Bare,
    /// A ratio that is no share: `1.7`, not `170 %`.
    Number,
}

/// Sentences under a table, each once, that its cells point to by number.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    texts: Vec<String>,
}

impl Notes {
    /// The number of a note, 1-based.
    pub(crate) fn number(&mut self, text: &str) -> usize {
        match self.texts.iter().position(|known| known == text) {
            Some(index) => index + 1,
            None => {
                self.texts.push(text.to_owned());
                self.texts.len()
            }
        }
    }

    /// The notes in the order of their numbers.
    pub(crate) fn into_texts(self) -> Vec<String> {
        self.texts
    }
}

/// A value in its unit.
pub(crate) fn quantity(value: f64, unit: FigureUnit, show: Show) -> Quantity {
    let with = |number: String, unit: &'static str| Quantity { number, unit };
    let mut out = match unit {
        FigureUnit::Ns
        | FigureUnit::NsPerRequest
        | FigureUnit::NsPerCall
        | FigureUnit::NsPerMessage => format::duration(value),
        FigureUnit::NsPerByte => with(significant(value, 3), "ns/byte"),
        FigureUnit::Bytes | FigureUnit::BytesPerRequest | FigureUnit::BytesPerMessage => {
            format::bytes(value)
        }
        FigureUnit::BytesPerSecond => {
            let size = format::bytes(value);
            with(size.to_string(), "/s")
        }
        FigureUnit::Count => with(format::count(value), ""),
        FigureUnit::Ratio if show == Show::Number => with(significant(value, 3), ""),
        FigureUnit::Ratio => with(format::percent(value), ""),
        FigureUnit::PerSecond => with(significant(value, 3), "/s"),
        FigureUnit::PerRequest => with(significant(value, 3), ""),
        FigureUnit::Cores => with(significant(value, 3), "cores"),
        FigureUnit::MoneyPerHour => with(significant(value, 3), "/h"),
    };
    if show == Show::Bare
        && matches!(
            unit,
            FigureUnit::Cores | FigureUnit::PerSecond | FigureUnit::MoneyPerHour
        )
    {
        out.unit = "";
    }
    out
}

/// A figure in running text, `not known` when it is not. Plain text, to be escaped.
pub(crate) fn sentence(figure: &Figure) -> String {
    match figure.value {
        Some(value) => quantity(value, figure.unit, Show::Plain).to_string(),
        None => "not known".to_owned(),
    }
}

/// A figure in running text as markup: what people read, and beside it the exact value of the document.
pub(crate) fn prose(figure: &Figure) -> String {
    match figure.value {
        Some(value) => said(value, &sentence(figure)),
        None => "not known".to_owned(),
    }
}

/// A figure that is read from afar as markup: the unit, in an element of its own, is set smaller.
pub(crate) fn large(figure: &Figure) -> String {
    match figure.value {
        Some(value) => said_apart(value, figure.unit, Show::Plain),
        None => "not known".to_owned(),
    }
}

/// A value of the document, its unit in an element of its own, with the exact value beside it.
pub(crate) fn said_apart(value: f64, unit: FigureUnit, show: Show) -> String {
    format!(
        "<data value={}>{}</data>",
        exact(value),
        shown_markup(&quantity(value, unit, show))
    )
}

/// Words that are made of one value of the document, as markup with the exact value beside them.
pub(crate) fn said(value: f64, words: &str) -> String {
    format!("<data value={}>{}</data>", exact(value), escape_text(words))
}

/// A value of the document in its unit, as [`said`] writes it.
pub(crate) fn said_in(value: f64, unit: FigureUnit) -> String {
    said_as(value, unit, As::Itself)
}

/// How what is shown comes from the value of the document that stands beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum As {
    /// It is shown itself.
    Itself,
    /// What is left of one is shown: of the share without a name, the share that has one.
    Rest,
    /// It is shown with the other sign: of what is gained, what it costs.
    Minus,
}

impl As {
    fn shown(self, value: f64) -> f64 {
        match self {
            Self::Itself => value,
            Self::Rest => 1.0 - value,
            Self::Minus => -value,
        }
    }

    fn attribute(self) -> &'static str {
        match self {
            Self::Itself => "",
            Self::Rest => " data-as=rest",
            Self::Minus => " data-as=minus",
        }
    }
}

/// What a value of the document comes to, with the value itself beside it.
pub(crate) fn said_as(value: f64, unit: FigureUnit, how: As) -> String {
    format!(
        "<data value={}{}>{}</data>",
        exact(value),
        how.attribute(),
        escape_text(&quantity(how.shown(value), unit, Show::Plain).to_string())
    )
}

/// A [`range`] in words, with both exact ends beside it.
pub(crate) fn said_range(low: f64, high: f64, unit: FigureUnit, how: As) -> String {
    let (from, to) = match how {
        As::Itself => (low, high),
        As::Rest | As::Minus => (how.shown(high), how.shown(low)),
    };
    format!(
        "<data value={}/{}{}>{}</data>",
        exact(low),
        exact(high),
        how.attribute(),
        escape_text(&range(from, to, unit, Show::Plain))
    )
}

/// How many rows of the document something is said of: counted by the page.
pub(crate) fn counted(count: usize) -> String {
    format!(
        "<data value={count} data-as=count>{}</data>",
        format::integer(i64::try_from(count).unwrap_or(i64::MAX))
    )
}

/// A cell of a table with a figure.
pub(crate) fn cell(figure: &Figure, show: Show, notes: &mut Notes) -> Markup {
    build(figure, show, false, notes)
}

/// A cell with a figure and, on a second line, its interval or a note that says why there is none.
pub(crate) fn cell_with_interval(figure: &Figure, show: Show, notes: &mut Notes) -> Markup {
    build(figure, show, true, notes)
}

/// Why a figure is not known.
pub(crate) fn why_unknown(figure: &Figure) -> &str {
    figure
        .unknown_reason
        .as_deref()
        .unwrap_or("no data for it in this range")
}

fn build(figure: &Figure, show: Show, interval: bool, notes: &mut Notes) -> Markup {
    let Some(value) = figure.value else {
        return unknown_cell(why_unknown(figure), notes);
    };
    let mut inner = shown_markup(&quantity(value, figure.unit, show));
    inner.push_str(&quality_mark(&figure.quality));
    if interval {
        match (figure.low, figure.high) {
            (Some(low), Some(high)) => inner.push_str(&format!(
                "<small>{}</small>",
                escape_text(&range(low, high, figure.unit, show))
            )),
            _ => {
                if let Some(reason) = &figure.interval_absent_reason {
                    inner.push_str(&reference(reason, notes));
                }
            }
        }
    }
    number_cell(value, &inner)
}

/// A cell with the exact value in its attribute, unless what it shows is the exact value already.
///
/// A page of a hundred services has some thirty thousand of these: the attribute goes without quotes (it is only
/// digits) and the cell without an end tag, as HTML allows.
pub(crate) fn number_cell(value: f64, inner: &str) -> Markup {
    let exact = exact(value);
    let shown = inner.split(['<', '\u{a0}']).next().unwrap_or_default();
    let is_scaled =
        inner.contains("<i>") && !inner.contains("<i>ns</i>") && !inner.contains("<i>B</i>");
    if shown.replace(',', "") == exact && (value == 0.0 || !is_scaled) && !shown.is_empty() {
        Markup::composed(format!("<td>{inner}"))
    } else {
        Markup::composed(format!("<td data-v={exact}>{inner}"))
    }
}

/// Whole numbers to the last digit; others to eleven significant ones, which is more than any clock has.
pub(crate) fn exact(value: f64) -> String {
    let rounded: f64 = if value == libm::trunc(value) {
        value
    } else {
        format!("{value:.10e}").parse().unwrap_or(value)
    };
    if rounded == libm::trunc(rounded) && rounded.abs() < 1e15 {
        format!("{rounded:.0}")
    } else {
        format!("{rounded:?}")
    }
}

/// A cell that says that something is not known, or that there is none of it, with the reason under the table.
pub(crate) fn unknown_cell(reason: &str, notes: &mut Notes) -> Markup {
    let word = Absence::of(reason).map_or("not known", |absence| absence.word);
    Markup::composed(format!("<td class=k>{word}{}", reference(reason, notes)))
}

/// A raised number that leads to a note under the table.
pub(crate) fn reference(reason: &str, notes: &mut Notes) -> String {
    format!("<sup>{}</sup>", notes.number(reason))
}

/// The number, and its unit in an element of its own: the style sheet sets it back.
pub(crate) fn shown_markup(shown: &Quantity) -> String {
    let number = escape_text(&shown.number);
    if shown.unit.is_empty() {
        number
    } else if shown.unit.starts_with('/') {
        format!("{number}<i>{}</i>", shown.unit)
    } else {
        format!("{number}\u{a0}<i>{}</i>", shown.unit)
    }
}

/// `1.2–1.4 ms`, or with both units where they differ; `−3 to 2 ms` where a dash would stand beside a sign. Plain text, to
/// be escaped.
pub(crate) fn range(low: f64, high: f64, unit: FigureUnit, show: Show) -> String {
    let between = if low < 0.0 || high < 0.0 {
        " to "
    } else {
        "\u{2009}–\u{2009}"
    };
    let (low, high) = (quantity(low, unit, show), quantity(high, unit, show));
    if low == high {
        let about = if low.number.starts_with('≈') {
            ""
        } else {
            "≈\u{a0}"
        };
        format!("{about}{low}")
    } else if low.unit == high.unit {
        format!("{}{between}{high}", low.number)
    } else {
        format!("{low}{between}{high}")
    }
}

/// A short mark where not all of a figure was measured: which other way had the largest part, and how large.
fn quality_mark(quality: &[QualityShare]) -> String {
    let other = quality
        .iter()
        .filter(|part| part.quality != QualityWord::Measured && part.share >= 0.005)
        .max_by(|a, b| a.share.total_cmp(&b.share));
    let Some(other) = other else {
        return String::new();
    };
    let share = if other.share > 0.995 {
        String::new()
    } else {
        format!(" {}", format::percent(other.share))
    };
    let class = match other.quality {
        QualityWord::Estimated | QualityWord::Other => " class=e",
        _ => "",
    };
    format!(
        "<abbr{class}>{}{}</abbr>",
        short_quality(other.quality),
        escape_text(&share)
    )
}

/// What the marks in these cells mean: nothing where no cell has one.
pub(crate) fn key_of_marks<'a>(cells: impl Iterator<Item = &'a Markup>) -> String {
    let ways = [
        (
            QualityWord::Apportioned,
            "apportioned, a measured sum shared out by a stated rule",
        ),
        (QualityWord::Estimated, "estimated by a model"),
        (
            QualityWord::Sampled,
            "sampled, scaled up from a random part",
        ),
        (
            QualityWord::Other,
            "of a quality that this version does not know",
        ),
    ];
    let mut seen = [false; 4];
    let mut part = false;
    for cell in cells {
        let Some((_, mark)) = cell.as_str().split_once("<abbr") else {
            continue;
        };
        let mark = mark.split_once('>').map_or("", |(_, text)| text);
        part |= mark
            .split('<')
            .next()
            .is_some_and(|text| text.contains('%'));
        for ((way, _), seen) in ways.iter().zip(&mut seen) {
            *seen |= mark.starts_with(short_quality(*way));
        }
    }
    let said: Vec<String> = ways
        .iter()
        .zip(seen)
        .filter(|(_, seen)| *seen)
        .map(|((way, words), _)| format!("{}: {words}", short_quality(*way)))
        .collect();
    if said.is_empty() {
        return String::new();
    }
    let share = if part {
        ". A percentage behind a mark is the part of this very figure that came about so; the rest was measured"
    } else {
        ""
    };
    format!("{}{share}.", said.join("; "))
}

/// A cell with a figure of which the caption says how it came about.
pub(crate) fn unmarked_cell(figure: &Figure, show: Show, notes: &mut Notes) -> Markup {
    let plain = Figure {
        quality: Vec::new(),
        ..figure.clone()
    };
    build(&plain, show, false, notes)
}

/// A number of processes, which is a mean over time: one that began a little late counts as one, and the mean stands
/// below.
pub(crate) fn processes_cell(figure: &Figure, notes: &mut Notes) -> Markup {
    let Some(mean) = figure.value else {
        return cell(figure, Show::Number, notes);
    };
    let whole = processes_meant(mean);
    if mean == whole {
        return cell(figure, Show::Number, notes);
    }
    number_cell(
        mean,
        &format!(
            "{}<small>{}\u{a0}on average</small>",
            escape_text(&format::count(whole)),
            escape_text(&significant(mean, 3))
        ),
    )
}

/// The word of a quality in three letters.
pub(crate) fn short_quality(quality: QualityWord) -> &'static str {
    match quality {
        QualityWord::Measured => "mea",
        QualityWord::Sampled => "smp",
        QualityWord::Apportioned => "app",
        QualityWord::Estimated => "est",
        QualityWord::Other => "oth",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(value: Option<f64>, unit: FigureUnit) -> Figure {
        Figure {
            value,
            low: None,
            high: None,
            interval_absent_reason: None,
            unknown_reason: value.is_none().then(|| "the client <hides> it".to_owned()),
            unit,
            quality: Vec::new(),
        }
    }

    #[test]
    fn unknown_is_said_with_its_reason_and_never_zero() {
        let mut notes = Notes::default();
        let markup = cell(&figure(None, FigureUnit::Ns), Show::Plain, &mut notes);
        assert_eq!(markup.to_string(), "<td class=k>not known<sup>1</sup>");
        assert_eq!(notes.into_texts(), ["the client <hides> it"]);
    }

    #[test]
    fn what_never_comes_is_not_called_unknown() {
        for (reason, word) in [
            (Absence::NO_TURN.reason, "never"),
            (Absence::NO_MESSAGE.reason, "none"),
            ("no message of this kind was seen by its agent", "not known"),
            ("no row holds it", "not known"),
        ] {
            let markup = unknown_cell(reason, &mut Notes::default()).to_string();
            assert!(
                markup.contains(&format!("<td class=k>{word}<sup>")),
                "{markup}"
            );
        }
    }

    #[test]
    fn a_range_below_zero_has_no_dash_beside_its_signs() {
        let of = |low, high, unit| range(low, high, unit, Show::Plain);
        let cores = of(-0.0111, -0.00766, FigureUnit::Cores);
        assert_eq!(cores, "−0.0111 to −0.00766\u{a0}cores");
        assert_eq!(of(-3e6, 2e3, FigureUnit::Ns), "−3\u{a0}ms to 2\u{a0}µs");
        assert_eq!(of(-0.1, 0.2, FigureUnit::Ns), "≈\u{a0}0\u{a0}ns");
    }

    #[test]
    fn a_sentence_says_what_is_not_known() {
        assert_eq!(sentence(&figure(None, FigureUnit::Ns)), "not known");
    }

    #[test]
    fn zero_is_zero() {
        let markup = cell(
            &figure(Some(0.0), FigureUnit::Ns),
            Show::Plain,
            &mut Notes::default(),
        );
        assert_eq!(markup.to_string(), "<td>0\u{a0}<i>ns</i>");
    }

    #[test]
    fn exact_value_interval_and_quality() {
        let mut shown = figure(Some(1_234_567.0), FigureUnit::NsPerRequest);
        shown.low = Some(1_200_000.0);
        shown.high = Some(1_300_000.0);
        shown.quality = vec![
            QualityShare {
                quality: QualityWord::Measured,
                share: 0.8,
            },
            QualityShare {
                quality: QualityWord::Apportioned,
                share: 0.2,
            },
        ];
        let markup = cell_with_interval(&shown, Show::Plain, &mut Notes::default());
        let text = markup.to_string();
        assert!(text.contains("data-v=1234567>"), "{text}");
        assert!(text.contains("1.23\u{a0}<i>ms</i>"), "{text}");
        assert!(text.contains("1.2\u{2009}–\u{2009}1.3\u{a0}ms"), "{text}");
        assert!(text.contains(">app 20\u{a0}%</abbr>"), "{text}");
    }

    #[test]
    fn exact_values_are_short_where_they_can_be() {
        assert_eq!(exact(35_699.999_999_999_99), "35700");
        assert_eq!(exact(9_007_199_254_740.0), "9007199254740");
        assert_eq!(exact(-0.25), "-0.25");
        assert_eq!(exact(1e300), "1e300");
    }

    #[test]
    fn same_reason_same_note() {
        let mut notes = Notes::default();
        assert_eq!(notes.number("a"), 1);
        assert_eq!(notes.number("b"), 2);
        assert_eq!(notes.number("a"), 1);
    }
}
