//! Divide a service by a key, where it outgrows its processes and its writes cannot be copied.

use super::context::{Context, predict, predict_plain, threshold};
use super::judge::{Function, Input, Stake};
use super::memory::held;
use super::{Finding, Rule, say};
use crate::document::{
    Evidence, FigureUnit, Prediction, Recommendation, RecommendationKind, Subject, SubjectKind,
    Verdict,
};
use crate::topology::{Change, DeployableFigures, Place, Sharded, Weights, shard_change};

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
    /// Share of the busiest key.
    top: f64,
    multi: f64,
    /// What dividing does, by the topology engine.
    sharded: Sharded,
}

impl Candidate {
    fn predictions(&self, context: &Context<'_>) -> Vec<Prediction> {
        let label = context.label(self.service);
        let factor = say::factor(context.options.design_load());
        let named = |what: &str| format!("{what} of {label} at {factor} times the load");
        let (before, after) = &self.sharded.cores;
        let mut all = vec![predict(
            &named("cores"),
            FigureUnit::Cores,
            Some(before),
            Some(after),
        )];
        let (whole, divided) = &self.sharded.planned;
        let mut plain = |what: &str, unit, of: fn(&DeployableFigures) -> Option<f64>| {
            let (before, after) = (whole.named(label), divided.named(label));
            let (before, after) = (before.and_then(of), after.and_then(of));
            let reason = "from point figures and whole processes";
            all.push(predict_plain(&named(what), unit, before, after, reason));
        };
        plain("processes", FigureUnit::Count, |d| Some(d.replicas));
        plain("memory", FigureUnit::Bytes, |d| d.memory_bytes);
        plain(
            "utilisation of the hottest process",
            FigureUnit::Ratio,
            |d| d.utilisation,
        );
        if let Some((whole, divided)) = &self.sharded.carries {
            all.push(predict(
                &format!("load that {label} carries at the planned utilisation, as a share of the load seen"),
                FigureUnit::Ratio,
                Some(whole),
                Some(divided),
            ));
        }
        all
    }

    /// Load of the hottest shard ÷ an even part.
    fn skew(&self) -> f64 {
        let n = f64::from(self.sharded.shards);
        (self.top + (1.0 - self.top) / n) * n
    }
}

impl Rule for Shard {
    type Candidate = Candidate;

    /// Services that need more processes than they have at the largest load planned for, and write an entity whose
    /// keys are known. Without keys nobody can tell what dividing does, and nothing is said.
    fn candidates(&self, context: &Context<'_>) -> Vec<Candidate> {
        let mut found = Vec::new();
        for (at, entity) in context.weighed.inputs().entities.iter().enumerate() {
            let Some((multi, top)) = entity.multi_key_share.zip(entity.top_key_share) else {
                continue;
            };
            let written = |place: &&Place| !place.copy && !place.writes.is_empty();
            for place in entity.places.iter().filter(written) {
                let Some(sharded) = context.sharded(place.service, at) else {
                    continue;
                };
                found.push(Candidate {
                    service: place.service,
                    entity: at,
                    top,
                    multi,
                    sharded,
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
                    candidate.sharded.shards,
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
                    candidate.sharded.shards,
                    say::number(candidate.skew()),
                    say::share(candidate.multi)
                ),
            )
        })
    }

    fn changes(&self, context: &Context<'_>, candidate: &Candidate) -> Vec<Change> {
        let Candidate {
            service, entity, ..
        } = *candidate;
        let inputs = context.weighed.inputs();
        vec![shard_change(
            inputs,
            service,
            entity,
            candidate.sharded.shards,
        )]
    }

    /// Room to grow: one shard with most of the load, or requests that run in several, leave less than the processes add.
    fn stake(&self, context: &Context<'_>, candidate: &Candidate) -> Option<Stake> {
        let sharded = &candidate.sharded;
        let (whole, divided) = sharded.carries.as_ref()?;
        let (before, after) = &sharded.cores;
        let weights = Weights::of(context.options.prices.as_ref());
        let cost = held(&sharded.planned.0).zip(held(&sharded.planned.1));
        let cost = cost.map(|((_, before), (_, after))| {
            let bytes = weights.byte * (before - after);
            Box::new(move |x: &[f64]| Some(bytes - weights.core * x.get(2)?)) as Function
        });
        Some(Stake {
            objective: "load carried at the planned utilisation, as a share of the load seen"
                .to_owned(),
            unit: FigureUnit::Ratio,
            inputs: vec![
                Input::weighed("the load it carries as it is", FigureUnit::Ratio, whole),
                Input::weighed("the load it carries divided", FigureUnit::Ratio, divided),
                Input::weighed(
                    "cores more at the largest load planned for",
                    FigureUnit::Cores,
                    &after.minus(before),
                ),
            ],
            gain: Box::new(|x| Some(x.get(1)? - x.first()?)),
            cost,
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
            prediction: candidate.predictions(context),
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
        for p in shard.prediction.iter().take(5) {
            assert!(p.before.is_some() && p.after.is_some(), "{}", p.figure);
        }
        let judgement = shard.judgement.as_ref().unwrap();
        assert!(judgement.improves > 0.95, "{judgement:?}");
    }

    #[test]
    fn a_key_that_takes_half_of_the_load_is_not_divided() {
        let shard = found(&writer(50, 2)).unwrap();
        assert_eq!(shard.verdict, Verdict::Leave);
        // Half of the load in one process, as many as there are: it carries hardly twice as much.
        let carried = shard
            .prediction
            .iter()
            .find(|p| p.figure.contains("carries"));
        let carried = carried.unwrap();
        let times = carried.after.unwrap() / carried.before.unwrap();
        assert!(1.0 < times && times < 2.0, "{carried:?}");
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
