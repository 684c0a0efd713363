//! The journal as one document for the tax office.

use std::fmt::Write as _;

use super::Answer;
use super::money::Cents;

/// An entry of the journal with what it was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JournalLine {
    pub(crate) document: String,
    pub(crate) month: String,
    pub(crate) branch: i64,
    pub(crate) account: i64,
    pub(crate) currency: String,
    pub(crate) amount: Cents,
    pub(crate) product: Option<String>,
}

/// Writes documents.
pub(crate) trait Exporter: Send + Sync {
    /// The journal from the first month up to and including `month`, as XML. All of it is held in memory
    /// at once, because the checksum stands at its head.
    fn journal(&self, month: String) -> Answer<'_, String>;
}

/// Builds the document.
pub(crate) fn document(month: &str, lines: &[JournalLine]) -> String {
    let mut body = String::new();
    let mut checksum: u64 = 0xcbf2_9ce4_8422_2325;
    for line in lines {
        let start = body.len();
        let product = line.product.as_deref().unwrap_or("");
        // Writing to a String cannot fail.
        let _ = write!(
            body,
            "  <entry document=\"{}\" month=\"{}\" branch=\"{}\">\n    <account>{}</account>\n    \
             <amount currency=\"{}\">{}</amount>\n    <product>{}</product>\n  </entry>\n",
            escape(&line.document),
            escape(&line.month),
            line.branch,
            line.account,
            escape(&line.currency),
            line.amount,
            escape(product),
        );
        for byte in &body.as_bytes()[start..] {
            checksum = (checksum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    let sum: Cents = lines.iter().map(|line| line.amount).sum();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<journal until=\"{}\" entries=\"{}\" sum=\"{sum}\" \
         checksum=\"{checksum:016x}\">\n{body}</journal>\n",
        escape(month),
        lines.len(),
    )
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_counts_sums_and_guards_the_body() {
        let line = |amount, product: &str| JournalLine {
            document: "d1".to_owned(),
            month: "2026-01".to_owned(),
            branch: 1,
            account: 1400,
            currency: "EUR".to_owned(),
            amount: Cents(amount),
            product: Some(product.to_owned()),
        };
        let text = document("2026-01", &[line(1_000, "nut & bolt"), line(-250, "<b>")]);
        assert!(text.contains("entries=\"2\" sum=\"7.50\""), "{text}");
        assert!(
            text.contains("nut &amp; bolt") && text.contains("&lt;b&gt;"),
            "{text}"
        );
        let other = document("2026-01", &[line(1_000, "nut & bolt"), line(-250, "<c>")]);
        let head = |text: &str| text.lines().nth(1).map(str::to_owned);
        assert_ne!(
            head(&text),
            head(&other),
            "another body has another checksum"
        );
    }
}
