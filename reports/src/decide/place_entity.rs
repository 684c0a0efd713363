//! Where an entity should live: copies kept in step by messages, or reads from the owner.

use std::collections::BTreeSet;

use weighbridge_wire::{access, column};

use super::context::{Against, Context, against, predict, predict_plain, threshold};
use super::judge::{Input, Stake};
use super::{Finding, Rule, say};
use crate::build::{copy_links, optional};
use crate::document::{
    CopyFinding, EntityPlace, EntityReport, Evidence, FigureUnit, ObserveWhat, Recommendation,
    RecommendationKind, Subject, SubjectKind, Verdict,
};
use crate::model::{Edge, Estimate};
use crate::topology::{Access, Change, CopiesGone};

/// Thresholds of the rule.
#[derive(Clone, Debug)]
pub(crate) struct PlaceEntity {
    /// Cost of reading from the owner ÷ cost of the copies, below which the copies lose.
    pub(crate) remote_ratio_min: f64,
}

impl Default for PlaceEntity {
    fn default() -> Self {
        Self {
            remote_ratio_min: 1.0,
        }
    }
}

/// Copies of an entity that are judged together, and what they cost, by the topology engine.
pub(crate) struct Placed {
    /// Its index.
    at: usize,
    /// The services that hold these copies.
    holders: BTreeSet<usize>,
    /// The services that hold others; none where these are all.
    others: BTreeSet<usize>,
    /// Cores that keep the copies in step: carrying and applying.
    keep: Option<Estimate>,
    /// Cores that reading from the owner would take.
    remote: Option<Estimate>,
}

/// The services that hold copies of it.
fn holders(context: &Context<'_>, report: &EntityReport) -> BTreeSet<usize> {
    let copies: BTreeSet<&str> = report
        .places
        .iter()
        .filter(|place| place.copy)
        .map(|place| place.service.as_str())
        .collect();
    (0..context.model.services().len())
        .filter(|index| copies.contains(context.label(*index)))
        .collect()
}

/// Up to so many holders every set of them is looked at; beyond it one is taken in or out at a time.
const ALL_SETS_MAX: usize = 5;

/// The copies of an entity that are judged together: all of them, or those that save most when they are taken away, and
/// the rest.
fn sets(context: &Context<'_>, at: usize) -> Vec<BTreeSet<usize>> {
    let report = &context.entities[at];
    let all = holders(context, report);
    let inputs = context.weighed.inputs();
    let entity = inputs.entities.iter().position(|e| e.name == report.entity);
    let (Some(entity), true) = (entity, all.len() > 1) else {
        return vec![all];
    };
    let mut gone = CopiesGone::of(inputs, entity, &[]);
    let taken = dearest(&all, |set| {
        let holders: Vec<usize> = set.iter().copied().collect();
        gone.take(entity, &holders);
        let (keep, remote) = gone.cores(inputs);
        // No number where a read has no price: then nothing is chosen.
        keep - remote
    });
    let rest: BTreeSet<usize> = all.difference(&taken).copied().collect();
    if taken.is_empty() || rest.is_empty() {
        return vec![all];
    }
    vec![taken, rest]
}

/// The set whose removal saves most; none where nothing is saved.
fn dearest(
    all: &BTreeSet<usize>,
    mut saving: impl FnMut(&BTreeSet<usize>) -> f64,
) -> BTreeSet<usize> {
    let mut best = (0.0, BTreeSet::new());
    if all.len() <= ALL_SETS_MAX {
        for mask in 1_u32..1 << all.len() {
            let chosen = all.iter().enumerate();
            let chosen = chosen.filter(|(n, _)| (mask >> n) & 1 == 1);
            let set = chosen.map(|(_, holder)| *holder).collect();
            let saved = saving(&set);
            if saved > best.0 {
                best = (saved, set);
            }
        }
        return best.1;
    }
    // What is paid once for all of them is saved with the last one only: so from all of them as well as from none.
    for start in [BTreeSet::new(), all.clone()] {
        let saved = if start.is_empty() {
            0.0
        } else {
            saving(&start)
        };
        let mut at = (saved, start);
        loop {
            if at.0 > best.0 {
                best = at.clone();
            }
            let mut next = None;
            let mut most = at.0;
            for holder in all {
                let mut set = at.1.clone();
                if !set.remove(holder) {
                    set.insert(*holder);
                }
                let saved = saving(&set);
                if saved > most && !set.is_empty() {
                    most = saved;
                    next = Some((saved, set));
                }
            }
            let Some(better) = next else { break };
            at = better;
        }
    }
    best.1
}

/// Prices all of them in the same draws.
fn price(context: &Context<'_>, found: &mut [Placed]) {
    let inputs = context.weighed.inputs();
    let gone: Vec<Option<CopiesGone>> = found
        .iter()
        .map(|placed| {
            let report = &context.entities[placed.at];
            let entity = inputs
                .entities
                .iter()
                .position(|e| e.name == report.entity)?;
            let holders: Vec<usize> = placed.holders.iter().copied().collect();
            Some(CopiesGone::of(inputs, entity, &holders))
        })
        .collect();
    let nothing = (f64::NAN, f64::NAN);
    let spread = context.weighed.spread(|inputs| {
        gone.iter()
            .map(|gone| gone.as_ref().map_or(nothing, |gone| gone.cores(inputs)))
            .flat_map(|(keep, remote)| [keep, remote])
            .collect()
    });
    let mut spread = spread
        .into_iter()
        .map(|cores| Some(cores).filter(|cores| cores.point.is_finite()));
    for placed in found {
        placed.keep = spread.next().flatten();
        placed.remote = spread.next().flatten();
    }
}

/// Copies of an entity.
pub(crate) struct Copied<'a> {
    report: &'a EntityReport,
    /// Labels of the services that hold them, and of those that hold others.
    holders: Vec<String>,
    others: Vec<String>,
    /// Edges that keep them in step.
    links: Vec<&'a Edge>,
    /// Reads of the copies in a second.
    reads: Option<Estimate>,
    /// Messages in a second, and those of all copies.
    changes: Option<Estimate>,
    all_changes: Option<Estimate>,
    /// Cores that keep the copies in step: carrying and applying.
    keep: Option<Estimate>,
    /// Cores that reading from the owner would take.
    remote: Option<Estimate>,
    /// What a synchronous call costs in this system, ns.
    call: Option<Estimate>,
}

impl Rule for PlaceEntity {
    type Candidate = Placed;

    fn candidates(&self, context: &Context<'_>) -> Vec<Placed> {
        let mut found: Vec<Placed> = (0..context.entities.len())
            .filter(|at| context.entities[*at].finding == CopyFinding::Copies)
            .flat_map(|at| {
                let sets = sets(context, at);
                let all: BTreeSet<usize> = sets.iter().flatten().copied().collect();
                sets.into_iter().map(move |holders| Placed {
                    at,
                    others: all.difference(&holders).copied().collect(),
                    holders,
                    keep: None,
                    remote: None,
                })
            })
            .collect();
        if !found.is_empty() {
            price(context, &mut found);
        }
        found
    }

    fn check(&self, context: &Context<'_>, placed: &Placed) -> Option<Finding> {
        let copied = Copied::new(context, placed);
        let applying: BTreeSet<(usize, String)> = copied
            .links
            .iter()
            .filter_map(|edge| {
                Some((
                    edge.joined.to.service?,
                    edge.joined.to.operation.operation.to_string(),
                ))
            })
            .collect();
        if let Err(missing) = context.sufficient(&applying) {
            return Some(context.cannot_say(missing));
        }
        let (Some(keep), Some(remote)) = (&copied.keep, &copied.remote) else {
            return Some(context.cannot_say(
                "What a read from the owner would cost is not known: no synchronous call between services was seen to price it by. Missing: a range with one, or one read from the owner made for a try. What the copies cost stands in the evidence.",
            ));
        };
        let Some(ratio) = remote.over(keep) else {
            return Some(context.cannot_say(format!(
                "The copies were not changed in this range. Weigh one in which {} changes.",
                copied.report.entity
            )));
        };
        let figures = format!(
            "keeping the copies in step takes {}, reading from the owner would take {}",
            say::with_interval(keep, say::cores),
            say::with_interval(remote, say::cores)
        );
        Some(
            match against(&ratio, self.remote_ratio_min, "remote reads ÷ copies") {
                Against::Above => context.finding(
                    Verdict::Leave,
                    format!("The copies are cheaper: {figures}."),
                ),
                Against::Below => context.finding(
                    Verdict::Try,
                    format!(
                        "The copies are dearer than what they replace: {figures}.{}",
                        if copied.others.is_empty() {
                            String::new()
                        } else {
                            format!(
                                " Of all sets of copies this one saves most: those in {} stay.",
                                say::list(&copied.others)
                            )
                        }
                    ),
                ),
                Against::Unclear(why) => context.cannot_say(why),
            },
        )
    }

    fn changes(&self, context: &Context<'_>, placed: &Placed) -> Vec<Change> {
        let entity = &context.entities[placed.at].entity;
        placed
            .holders
            .iter()
            .map(|holder| Change::PlaceEntity {
                entity: entity.clone(),
                service: context.label(*holder).to_owned(),
                access: Access::Remote,
            })
            .collect()
    }

    fn stake(&self, context: &Context<'_>, placed: &Placed) -> Option<Stake> {
        let copied = Copied::new(context, placed);
        let (keep, changes) = (copied.keep.as_ref()?, copied.changes.as_ref()?);
        Some(Stake {
            objective: "cores saved by reading from the owner".to_owned(),
            unit: FigureUnit::Cores,
            inputs: vec![
                Input::weighed("changes", FigureUnit::PerSecond, changes),
                Input::weighed(
                    "carrying and applying one change",
                    FigureUnit::NsPerMessage,
                    &keep.over(changes)?.scaled(1e9),
                ),
                Input::weighed(
                    "reads of the copies",
                    FigureUnit::PerSecond,
                    copied.reads.as_ref()?,
                ),
                Input::weighed(
                    "a synchronous call",
                    FigureUnit::NsPerCall,
                    copied.call.as_ref()?,
                ),
            ],
            gain: Box::new(|x| Some((x.first()? * x.get(1)? - x.get(2)? * x.get(3)?) * 1e-9)),
            cost: None,
        })
    }

    fn explain(&self, context: &Context<'_>, placed: &Placed, finding: Finding) -> Recommendation {
        let report = &context.entities[placed.at];
        let copied = Copied::new(context, placed);
        let entity = &report.entity;
        let owner = report.owner.clone().unwrap_or_default();
        let holders = say::list(&copied.holders);
        let all = copied.others.is_empty();
        let saving = copied
            .keep
            .as_ref()
            .zip(copied.remote.as_ref())
            .map(|(keep, remote)| keep.minus(remote));
        let mut subjects = vec![Subject {
            kind: SubjectKind::Entity,
            service: String::new(),
            name: entity.clone(),
            row: report.id.clone(),
        }];
        subjects.extend(
            placed
                .holders
                .iter()
                .map(|index| context.service_subject(*index)),
        );
        Recommendation {
            id: if all {
                format!("rec:place_entity:{entity}")
            } else {
                format!("rec:place_entity:{entity}:{}", copied.holders.join("+"))
            },
            kind: RecommendationKind::PlaceEntity,
            verdict: finding.verdict,
            verdict_reason: finding.reason,
            title: match finding.verdict {
                Verdict::Do | Verdict::Try => format!(
                    "Read {entity} from its owner {owner} in place of the copies in {holders}."
                ),
                Verdict::Leave if all => format!(
                    "Leave {entity} where it is: owned by {owner}, copied to {holders}."
                ),
                Verdict::Leave => format!("Leave the copies of {entity} in {holders}."),
                Verdict::CannotSay if all => {
                    format!("Where {entity} should live cannot be judged yet.")
                }
                Verdict::CannotSay => {
                    format!("Whether {entity} should be copied to {holders} cannot be judged yet.")
                }
            },
            subjects,
            gain: optional(saving.as_ref(), FigureUnit::Cores, "the price of a remote read is not known"),
            evidence: copied.evidence(),
            prediction: copied.predictions(),
            downsides: vec![
                "Without copies every read waits for the owner, and fails with it.".to_owned(),
                "With copies, data may be older than the owner's, and each consumer carries code that applies changes.".to_owned(),
            ],
            falsify: vec![
                format!("Count the reads of {entity} in one holder and the changes for a day: at the break-even ratio below, the verdict turns."),
                "After a change, weigh again: storage, messages and the cores of the applying operations must be gone, and the calls to the owner cost no more than predicted.".to_owned(),
            ],
            first_step: format!(
                "In {}, read {entity} from {owner} behind a switch, for one operation.",
                match copied.holders.as_slice() {
                    [only] => only.as_str(),
                    _ => "the holder with the fewest reads",
                }
            ),
            rule: "Compare what copies cost (changes · (carrying + applying)) with what reading from the owner would cost (reads · a synchronous call); of several copies those together that save most when they are taken away, and the rest by themselves.".to_owned(),
            thresholds: vec![threshold(
                "remote reads ÷ copies, in cores",
                self.remote_ratio_min,
                copied
                    .remote
                    .as_ref()
                    .zip(copied.keep.as_ref())
                    .and_then(|(remote, keep)| remote.over(keep))
                    .map(|ratio| ratio.point),
                FigureUnit::Ratio,
            )],
            judgement: None,
        }
    }
}

impl<'a> Copied<'a> {
    fn new(context: &Context<'a>, placed: &Placed) -> Self {
        let model = context.model;
        let report = &context.entities[placed.at];
        let rates = |links: &[&Edge]| {
            let rates = links.iter().filter_map(|edge| edge.cost.rate.clone());
            rates.reduce(|a, b| a.plus(&b))
        };
        let all = copy_links(model, &report.entity);
        let mut links: Vec<&Edge> = all.into_iter().map(|link| link.edge).collect();
        let all_changes = rates(&links);
        let is_other = |edge: &&Edge| {
            let to = edge.joined.to.service;
            to.is_some_and(|to| placed.others.contains(&to))
        };
        links.retain(|edge| !is_other(edge));
        let holders = &placed.holders;
        let labels = |of: &BTreeSet<usize>| {
            let of = of.iter().map(|index| context.label(*index).to_owned());
            of.collect()
        };
        let reads = holders
            .iter()
            .flat_map(|index| context.service(*index).entities.iter())
            .filter(|((_, name), _)| **name == *report.entity)
            .flat_map(|(_, facts)| facts.uses.iter())
            // A consumer reads what it is about to write: without copies that read is gone too.
            .filter(|((id, how), _)| {
                &**how == access::READ
                    && !links
                        .iter()
                        .any(|edge| edge.joined.to.operation.operation == id.operation)
            })
            .filter_map(|(_, sums)| model.column(sums, column::STATEMENTS))
            .reduce(|a, b| a.plus(&b))
            .or_else(|| (!holders.is_empty()).then(Estimate::zero))
            .and_then(|reads| model.rate(&reads));
        let call = synchronous_call(context);
        Self {
            report,
            holders: labels(holders),
            others: labels(&placed.others),
            reads,
            changes: rates(&links),
            all_changes,
            keep: placed.keep.clone(),
            remote: placed.remote.clone(),
            call,
            links,
        }
    }

    /// Is this place one of the copies?
    fn is_judged(&self, place: &EntityPlace) -> bool {
        place.copy && !self.others.contains(&place.service)
    }

    fn evidence(&self) -> Vec<Evidence> {
        let report = self.report;
        let mut evidence: Vec<Evidence> = report
            .evidence
            .iter()
            .filter(|e| !self.others.contains(&e.to_service))
            .map(|e| Evidence {
                sentence: e.sentence.clone(),
                rows: vec![e.edge.clone()],
            })
            .collect();
        if let Some(cost) = report.cost.as_ref().filter(|_| self.others.is_empty()) {
            let value = |figure: &crate::document::Figure, say: fn(f64) -> String| {
                figure.value.map_or_else(|| "not known".to_owned(), say)
            };
            evidence.push(Evidence {
                sentence: format!(
                    "{} copies of {}: {} of storage, {} messages, {} to carry them and {} to apply them.",
                    cost.copies,
                    report.entity,
                    value(&cost.storage, say::bytes),
                    value(&cost.messages, say::rate),
                    value(&cost.message_cpu, say::cores),
                    value(&cost.apply_cpu, say::cores),
                ),
                rows: std::iter::once(report.id.clone())
                    .chain(report.places.iter().map(|place| place.id.clone()))
                    .collect(),
            });
        }
        if let Some((reads, changes)) = self.reads.as_ref().zip(self.changes.as_ref()) {
            evidence.push(Evidence {
                sentence: format!(
                    "The copies are read {} and changed {}.",
                    say::rate(reads.point),
                    say::rate(changes.point)
                ),
                rows: report
                    .places
                    .iter()
                    .filter(|p| self.is_judged(p))
                    .map(|p| p.id.clone())
                    .collect(),
            });
        }
        evidence
    }

    fn predictions(&self) -> Vec<crate::document::Prediction> {
        let report = self.report;
        let cost = report.cost.as_ref();
        let bytes = cost.and_then(|cost| cost.storage.value);
        let copies = report.places.iter().filter(|place| self.is_judged(place));
        let gone: Option<f64> = copies.map(|place| place.size.value).sum();
        let (bytes_left, changes_left) = if self.others.is_empty() {
            (Some(0.0), Some(Estimate::zero()))
        } else {
            let changes = self.all_changes.as_ref().zip(self.changes.as_ref());
            (
                bytes.zip(gone).map(|(all, gone)| all - gone),
                changes.map(|(all, gone)| all.minus(gone)),
            )
        };
        let mut figures = vec![
            predict(
                "cores: copies in step (before), reads from the owner (after)",
                FigureUnit::Cores,
                self.keep.as_ref(),
                self.remote.as_ref(),
            ),
            predict_plain(
                "bytes of copies",
                FigureUnit::Bytes,
                bytes,
                bytes_left,
                "from gauges of table sizes",
            )
            .observed_by(ObserveWhat::CopyBytes, &[], "", &report.entity),
            predict(
                "messages that keep copies in step",
                FigureUnit::PerSecond,
                self.all_changes.as_ref(),
                changes_left.as_ref(),
            )
            .observed_by(ObserveWhat::CopyMessages, &[], "", &report.entity),
        ];
        if self.others.is_empty() {
            figures.push(predict_plain(
                "mean age of a change when it is applied",
                FigureUnit::Ns,
                cost.and_then(|cost| cost.staleness.value),
                Some(0.0),
                "without copies there is nothing to be late",
            ));
        }
        let each = self
            .keep
            .as_ref()
            .zip(self.changes.as_ref())
            .and_then(|(keep, changes)| Some(keep.over(changes)?.scaled(1e9)));
        let break_even = each
            .zip(self.call.as_ref())
            .and_then(|(each, call)| each.over(call));
        let now = self
            .reads
            .as_ref()
            .zip(self.changes.as_ref())
            .and_then(|(reads, changes)| reads.over(changes));
        if let Some(break_even) = &break_even {
            figures.push(predict(
                "reads for each change: seen (before), at break-even (after)",
                FigureUnit::Count,
                now.as_ref(),
                Some(break_even),
            ));
        }
        figures
    }
}

/// Mean message overhead of a synchronous call between services here, ns.
fn synchronous_call(context: &Context<'_>) -> Option<Estimate> {
    let edges = context
        .model
        .edges
        .iter()
        .filter(|edge| edge.is_sync() && edge.between_services().is_some());
    let mut cores: Option<Estimate> = None;
    let mut rate: Option<Estimate> = None;
    for edge in edges {
        if let Some((mine, calls)) = edge
            .cost
            .overhead_cores
            .as_ref()
            .zip(edge.cost.rate.as_ref())
        {
            cores = Some(cores.map_or_else(|| mine.clone(), |sum| sum.plus(mine)));
            rate = Some(rate.map_or_else(|| calls.clone(), |sum| sum.plus(calls)));
        }
    }
    Some(cores?.over(&rate?)?.scaled(1e9))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each holder's copy saves, and what the last one that goes saves for all.
    fn saving(each: &[f64], publication: f64) -> impl FnMut(&BTreeSet<usize>) -> f64 {
        move |set| {
            let sum: f64 = set.iter().map(|holder| each[*holder]).sum();
            let last = set.len() == each.len();
            sum + if last { publication } else { 0.0 }
        }
    }

    fn found(each: &[f64], publication: f64) -> Vec<usize> {
        let all = (0..each.len()).collect();
        let found = dearest(&all, saving(each, publication));
        found.into_iter().collect()
    }

    #[test]
    fn the_dearest_set_is_found_among_few_and_among_many() {
        assert_eq!(found(&[3.0, -1.0, 2.0], 0.0), [0, 2]);
        assert_eq!(found(&[-3.0, -1.0], 0.0), [0; 0]);
        assert_eq!(found(&[-3.0, -1.0], 5.0), [0, 1]);
        let many = [1.0, -2.0, 3.0, -1.0, 2.0, -4.0, 1.0];
        assert_eq!(found(&many, 0.0), [0, 2, 4, 6]);
        // What is paid once outweighs those that lose.
        assert_eq!(found(&many, 10.0), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(found(&[f64::NAN; 3], 1.0), [0; 0]);
        assert_eq!(found(&[f64::NAN; 7], 1.0), [0; 0]);
    }
}
