//! Divide a service by a key, where it outgrows its processes and its writes cannot be copied.

use super::context::{Context, predict_plain, threshold};
use super::{Finding, Rule, say};
use crate::document::{
    Evidence, FigureUnit, Recommendation, RecommendationKind, Subject, SubjectKind, Verdict,
};
use crate::topology::{Beside, Change, DeployableFigures, Load};

/// Thresholds of the rule.
#[derive(Clone, Debug)]
pub(crate) struct Shard {
    /// Load of the hottest shard ÷ an even part, above which dividing leaves one shard with the load.
    pub(crate) skew_max: f64,
    /// Share of requests that touch more than one key, above which dividing multiplies work.
    pub(crate) multi_key_max: f64,
}

impl Default for Shard {
    fn default() -> Self {
        Self {
            skew_max: 1.5,
            multi_key_max: 0.2,
        }
    }
}

/// A service and the entity whose key would divide it.
pub(crate) struct Candidate {
    service: usize,
    entity: usize,
    shards: u32,
    /// Share of the busiest key.
    top: f64,
    multi: f64,
    whole: Option<DeployableFigures>,
    divided: Option<DeployableFigures>,
}

impl Candidate {
    /// Load of the hottest shard ÷ an even part.
    fn skew(&self) -> f64 {
        let n = f64::from(self.shards);
        (self.top + (1.0 - self.top) / n) * n
    }
}

impl Rule for Shard {
    type Candidate = Candidate;

    /// Services that need more processes than they have at the largest load planned for, and write an entity whose
    /// keys are known. Without keys nobody can tell what dividing does, and nothing is said.
    fn candidates(&self, context: &Context<'_>) -> Vec<Candidate> {
        let inputs = context.weighed.inputs();
        let load = Load::planned(context.options, context.options.design_load());
        let today = context.weighed.as_it_is();
        let known =
            |e: &crate::topology::Entity| e.multi_key_share.is_some() && e.top_key_share.is_some();
        if !inputs.entities.iter().any(known) {
            return Vec::new();
        }
        let now = Beside::today(inputs, &load);
        let figures = now.evaluate(&today, &load);
        let mut found = Vec::new();
        for (at, entity) in inputs.entities.iter().enumerate() {
            let Some((multi, top)) = entity.multi_key_share.zip(entity.top_key_share) else {
                continue;
            };
            for place in entity
                .places
                .iter()
                .filter(|place| !place.copy && !place.writes.is_empty())
            {
                let service = &inputs.services[place.service];
                let whole = figures
                    .deployables
                    .iter()
                    .find(|d| d.name == service.label)
                    .cloned();
                let Some(needed) = whole.as_ref().and_then(|whole| whole.replicas_needed) else {
                    continue;
                };
                if needed <= service.instances.max(1.0) {
                    continue;
                }
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let shards = needed.min(1_024.0) as u32;
                let change = Change::Shard {
                    service: service.label.clone(),
                    entity: entity.name.clone(),
                    shards,
                };
                let divided = change.apply(inputs, &today).ok().and_then(|topology| {
                    let figures = now.evaluate(&topology, &load);
                    figures
                        .deployables
                        .into_iter()
                        .find(|d| d.name == service.label)
                });
                found.push(Candidate {
                    service: place.service,
                    entity: at,
                    shards,
                    top,
                    multi,
                    whole,
                    divided,
                });
            }
        }
        found
    }

    fn check(&self, context: &Context<'_>, candidate: &Candidate) -> Option<Finding> {
        let users = context.users(candidate.entity, candidate.service);
        if let Err(missing) = context.sufficient(&users) {
            return Some(context.cannot_say(missing));
        }
        let entity = &context.weighed.inputs().entities[candidate.entity].name;
        Some(if candidate.skew() > self.skew_max {
            context.finding(
                Verdict::Leave,
                format!(
                    "The busiest key of {entity} takes {} of the touches: in {} shards the hottest would carry {} times an even part.",
                    say::share(candidate.top),
                    candidate.shards,
                    say::number(candidate.skew())
                ),
            )
        } else if candidate.multi > self.multi_key_max {
            context.finding(
                Verdict::Leave,
                format!(
                    "{} of the requests that touch {entity} touch more than one key: divided, each of them runs in two shards or more.",
                    say::share(candidate.multi)
                ),
            )
        } else {
            context.finding(
                Verdict::Try,
                format!(
                    "At {} times the load it needs {} processes; its keys are spread ({} times an even part in the hottest of as many shards), and {} of the requests touch more than one. How requests find their shard, and what needs all of them, is not seen.",
                    say::factor(context.options.design_load()),
                    candidate.shards,
                    say::number(candidate.skew()),
                    say::share(candidate.multi)
                ),
            )
        })
    }

    fn explain(
        &self,
        context: &Context<'_>,
        candidate: &Candidate,
        finding: Finding,
    ) -> Recommendation {
        let inputs = context.weighed.inputs();
        let label = &inputs.services[candidate.service].label;
        let entity = &inputs.entities[candidate.entity].name;
        let factor = say::factor(context.options.design_load());
        let from = |of: fn(&DeployableFigures) -> Option<f64>| {
            (
                candidate.whole.as_ref().and_then(of),
                candidate.divided.as_ref().and_then(of),
            )
        };
        let reason = "from point figures and whole processes";
        let figure = |name: String, unit, (before, after): (Option<f64>, Option<f64>)| {
            predict_plain(&name, unit, before, after, reason)
        };
        Recommendation {
            id: format!("rec:shard:{label}/{entity}"),
            kind: RecommendationKind::Shard,
            verdict: finding.verdict,
            verdict_reason: finding.reason,
            title: match finding.verdict {
                Verdict::Do | Verdict::Try => format!("Divide {label} by the key of {entity}."),
                Verdict::Leave => format!("Do not divide {label} by the key of {entity}."),
                Verdict::CannotSay => format!("Dividing {label} by the key of {entity} cannot be judged yet."),
            },
            subjects: vec![
                context.service_subject(candidate.service),
                Subject {
                    kind: SubjectKind::Entity,
                    service: String::new(),
                    name: entity.clone(),
                    row: format!("entity:{entity}"),
                },
            ],
            gain: crate::build::optional(None, FigureUnit::Cores, "the gain is room to grow, not CPU"),
            evidence: vec![Evidence {
                sentence: format!(
                    "{entity}: {} of the touching requests touch more than one key, the busiest key takes {} of the touches.",
                    say::share(candidate.multi),
                    say::share(candidate.top)
                ),
                rows: vec![format!("entity:{entity}"), format!("capacity:{label}")],
            }],
            prediction: vec![
                figure(format!("cores of {label} at {factor} times the load"), FigureUnit::Cores, from(|d| Some(d.cores))),
                figure(format!("processes of {label} at {factor} times the load"), FigureUnit::Count, from(|d| Some(d.replicas))),
                figure(format!("utilisation of the hottest process of {label} at {factor} times the load"), FigureUnit::Ratio, from(|d| d.utilisation)),
            ],
            downsides: vec![
                "Requests that touch several keys run in several shards, and no transaction holds them together.".to_owned(),
                "Sequences, unique values and jobs over all rows need an owner of their own.".to_owned(),
                "Changing the number of shards moves data.".to_owned(),
            ],
            falsify: vec![format!("Divide the touches of {entity} by a hash of its key for a day and compare the shares of the shards with an even part.")],
            first_step: format!("Route the requests of {label} by the key of {entity} to processes that still share the data, and compare their CPU."),
            rule: "Divide a service by the key of an entity that it writes, when it needs more processes than it has, its keys are spread and few requests touch several.".to_owned(),
            judgement: None,
            thresholds: vec![
                threshold("hottest shard ÷ an even part", self.skew_max, Some(candidate.skew()), FigureUnit::Ratio),
                threshold("share of requests with several keys", self.multi_key_max, Some(candidate.multi), FigureUnit::Ratio),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use weighbridge_wire::{FoldedRange, RowKind, column};

    use super::*;
    use crate::testing::System;
    use crate::{Document, Options};

    /// One core of work, all of it writes, with so many in a hundred touches on the busiest key, and so many requests
    /// in a hundred that touch several.
    fn writer(top: i64, several: i64) -> FoldedRange {
        let mut s = System::new(60);
        s.root("one", "POST /a", 100, [2_000_000, 0, 0, 0, 0, 8_000_000]);
        s.uses("one", "POST /a", "thing", "write", 100);
        let mut range = s.range();
        for folded in &mut range.windows {
            let keys: Vec<_> = folded
                .rows
                .of_kind(RowKind::Entity)
                .map(|(key, _)| key.clone())
                .collect();
            for key in keys {
                let row = folded.rows.row_mut(key);
                row.add(column::KEYS_ONE, 100 - several);
                row.add(column::KEYS_MORE, several);
                row.add(column::KEY_TOUCHES, 100);
                row.add(column::KEY_TOP_TOUCHES, top);
            }
        }
        range
    }

    fn found(range: &FoldedRange) -> Option<Recommendation> {
        Document::build(range, &Options::default())
            .recommendations
            .into_iter()
            .find(|r| r.kind == RecommendationKind::Shard)
    }

    #[test]
    fn a_writer_that_outgrows_its_process_is_divided_where_its_keys_are_spread() {
        let shard = found(&writer(1, 2)).unwrap();
        assert_eq!(shard.verdict, Verdict::Try, "{}", shard.verdict_reason);
        assert!(
            shard
                .prediction
                .iter()
                .all(|p| p.before.is_some() && p.after.is_some())
        );
    }

    #[test]
    fn a_key_that_takes_half_of_the_load_is_not_divided() {
        let shard = found(&writer(50, 2)).unwrap();
        assert_eq!(shard.verdict, Verdict::Leave);
        assert!(
            shard.verdict_reason.contains("busiest key"),
            "{}",
            shard.verdict_reason
        );
    }

    #[test]
    fn requests_over_many_keys_are_not_divided() {
        let shard = found(&writer(1, 60)).unwrap();
        assert_eq!(shard.verdict, Verdict::Leave);
        assert!(
            shard.verdict_reason.contains("more than one key"),
            "{}",
            shard.verdict_reason
        );
    }
}
