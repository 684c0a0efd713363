//! The ignore file: recommendations that somebody decided to leave.

use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;
use weighbridge_reports::Ignore;

use crate::exit::Stop;

/// Most entries.
const ENTRIES_MAX: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    ignore: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    reason: String,
    #[serde(default)]
    until: String,
}

/// Reads an ignore file.
///
/// # Errors
/// When it cannot be read, is not of this form, gives no reason, or names no day where a day belongs.
pub(super) fn read(path: &Path) -> Result<Vec<Ignore>, Stop> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the ignore file {}", path.display()))?;
    parse(&text).map_err(|why| Stop::usage(format!("{}: {why}", path.display())))
}

fn parse(text: &str) -> Result<Vec<Ignore>, String> {
    let file: File = toml::from_str(text).map_err(|error| {
        format!(
            "{}; write entries like\n[[ignore]]\nid = \"rec:…\"\nreason = \"two teams\"\nuntil = \"2027-01-31\"",
            error.message()
        )
    })?;
    if file.ignore.len() > ENTRIES_MAX {
        return Err(format!("more than {ENTRIES_MAX} entries"));
    }
    file.ignore
        .into_iter()
        .map(|entry| {
            if entry.reason.trim().is_empty() {
                return Err(format!("{} has no reason; say why it is left", entry.id));
            }
            let is_day = |text: &str| text.parse::<jiff::civil::Date>().is_ok() && text.len() == 10;
            if !entry.until.is_empty() && !is_day(&entry.until) {
                return Err(format!(
                    "`{}` is no day; write until = \"2027-01-31\"",
                    entry.until
                ));
            }
            Ok(Ignore {
                id: entry.id,
                reason: entry.reason,
                until: entry.until,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn an_entry_has_an_id_a_reason_and_perhaps_a_last_day() {
        let read = parse(
            "[[ignore]]\nid = \"rec:a\"\nreason = \"two teams\"\nuntil = \"2027-01-31\"\n\
             [[ignore]]\nid = \"rec:b\"\nreason = \"licence\"\n",
        )
        .unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].until, "2027-01-31");
        assert_eq!(read[1].until, "");
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_is_said_with_what_to_do() {
        for (text, word) in [
            ("[[ignore]]\nid = \"rec:a\"\nreason = \" \"\n", "no reason"),
            ("[[ignore]]\nid = \"rec:a\"\n", "reason"),
            (
                "[[ignore]]\nid = \"a\"\nreason = \"b\"\nuntil = \"soon\"\n",
                "2027-01-31",
            ),
            (
                "[[ignore]]\nid = \"a\"\nreason = \"b\"\nuntil = \"2027-02-30\"\n",
                "is no day",
            ),
            ("[[ignored]]\nid = \"a\"\n", "ignored"),
            (
                "[[ignore]]\nid = \"a\"\nreason = \"b\"\nwho = \"c\"\n",
                "who",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
