//! Recommendations that somebody decided to leave.

use crate::Options;
use crate::document::{Recommendation, Suppressed, WindowReport};

/// Takes what is ignored from the list. An entry that has ended, or that nothing answers to, is said so.
pub(crate) fn apply(
    all: Vec<Recommendation>,
    options: &Options,
    window: &mut WindowReport,
) -> (Vec<Recommendation>, Vec<Suppressed>) {
    // Days compare as texts.
    let today = window.end.get(..10).unwrap_or_default().to_owned();
    let mut suppressed = Vec::new();
    let mut shown = Vec::new();
    for recommendation in all {
        let entry = options
            .ignore
            .iter()
            .find(|entry| entry.id == recommendation.id && !has_ended(&entry.until, &today));
        match entry {
            Some(entry) => suppressed.push(Suppressed {
                id: recommendation.id,
                title: recommendation.title,
                verdict: recommendation.verdict,
                reason: entry.reason.clone(),
                until: entry.until.clone(),
            }),
            None => shown.push(recommendation),
        }
    }
    for entry in &options.ignore {
        if has_ended(&entry.until, &today) {
            window.notes.push(format!(
                "The ignore file leaves {} until {}: that day has passed, so it is shown again.",
                entry.id, entry.until
            ));
        } else if !suppressed.iter().any(|s| s.id == entry.id) {
            window.notes.push(format!(
                "The ignore file names {}, which this range does not recommend.",
                entry.id
            ));
        }
    }
    (shown, suppressed)
}

fn has_ended(until: &str, today: &str) -> bool {
    !until.is_empty() && until < today
}

#[cfg(test)]
mod tests {
    use crate::testing::System;
    use crate::{Document, Ignore, Options};

    fn range() -> weighbridge_wire::FoldedRange {
        let mut system = System::new(60);
        let orders = ("store", "POST /orders");
        let us = [300_000, 40_000, 40_000, 60_000, 60_000, 90_000];
        system.root(orders.0, orders.1, 20, us);
        system.http(
            orders,
            ("warehouse", "POST /reservations"),
            20,
            12,
            240_000,
            60_000,
        );
        system.range()
    }

    fn ignoring(id: &str, until: &str) -> Document {
        let options = Options {
            ignore: vec![Ignore {
                id: id.to_owned(),
                reason: "two teams".to_owned(),
                until: until.to_owned(),
            }],
            ..Options::default()
        };
        Document::build(&range(), &options)
    }

    #[test]
    fn an_ignored_recommendation_is_counted_and_comes_back_after_its_day() {
        let all = Document::build(&range(), &Options::default());
        let id = all.recommendations[0].id.clone();
        let left = ignoring(&id, "");
        assert_eq!(left.recommendations.len() + 1, all.recommendations.len());
        assert_eq!(left.suppressed[0].id, id);
        assert_eq!(left.suppressed[0].reason, "two teams");
        let day = &all.window.end[..10];
        assert_eq!(ignoring(&id, day).suppressed.len(), 1, "on its last day");
        let ended = ignoring(&id, "1969-12-31");
        assert_eq!(ended.recommendations.len(), all.recommendations.len());
        assert!(
            ended
                .window
                .notes
                .iter()
                .any(|n| n.contains("that day has passed"))
        );
        let nobody = ignoring("rec:nobody", "");
        assert!(
            nobody
                .window
                .notes
                .iter()
                .any(|n| n.contains("does not recommend"))
        );
    }
}
