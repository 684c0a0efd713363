//! Merge two services whose messages cost more than the work they ask for.

use std::rc::Rc;

use super::context::{Against, Context, against, predict, predict_plain, threshold};
use super::couple::Couple;
use super::judge::{Input, Stake};
use super::memory::{PairMemory, pair_memory};
use super::{Finding, Rule, say};
use crate::document::{
    Evidence, FigureUnit, ObserveWhat, QualityWord, Recommendation, RecommendationKind, Verdict,
};
use crate::model::{Edge, Estimate};
use crate::topology::{Change, Together, Weights};

/// Thresholds of the rule.
#[derive(Clone, Debug)]
pub(crate) struct Merge {
    /// Message overhead as a share of overhead and work above which messages decide.
    pub(crate) overhead_share_min: f64,
    /// Saved cores as a share of both services' cores below which a merge is not worth its coupling.
    pub(crate) saving_share_min: f64,
    /// Growth of memory at the largest load planned for, above which a merge is refused.
    pub(crate) memory_growth_max: f64,
    /// Growth below which memory is not weighed at all, bytes.
    pub(crate) memory_extra_max: f64,
    /// Message overhead as a share of both services' cores below which [`Keep`](super::keep::Keep) speaks,
    /// unless a merge is worth it all the same.
    pub(crate) talk_share_min: f64,
}

impl Default for Merge {
    fn default() -> Self {
        Self {
            overhead_share_min: 0.5,
            saving_share_min: 0.02,
            memory_growth_max: 1.5,
            memory_extra_max: 128.0 * 1024.0 * 1024.0,
            talk_share_min: super::keep::TALK_SHARE_MAX,
        }
    }
}

/// Two services and what would become local between them.
pub(crate) struct Pair<'a> {
    a: usize,
    b: usize,
    /// Synchronous edges between them.
    edges: Vec<&'a Edge>,
    overhead: Option<Estimate>,
    work: Option<Estimate>,
    /// Overhead ÷ (overhead + work).
    share: Option<Estimate>,
    /// What one process saves, by the topology engine.
    together: Option<Rc<Together>>,
    cores: Option<Estimate>,
    memory: Option<PairMemory>,
}

impl Rule for Merge {
    type Candidate = (usize, usize);

    fn candidates(&self, context: &Context<'_>) -> Vec<(usize, usize)> {
        context.pairs().into_iter().collect()
    }

    fn check(&self, context: &Context<'_>, &(a, b): &(usize, usize)) -> Option<Finding> {
        let pair = Pair::new(context, a, b);
        if pair.edges.is_empty() {
            return None;
        }
        if let Some(finding) = context.kept_apart(a, b) {
            return Some(finding);
        }
        if let Some(finding) = context.boundaries(1) {
            return Some(finding);
        }
        if let Some(why) = context.no_node_holds(a, b) {
            return Some(context.finding(Verdict::Leave, why));
        }
        if let Err(missing) = context.sufficient(&context.deciding_operations(&pair.edges)) {
            return Some(context.cannot_say(missing));
        }
        let (Some(share), Some(together), Some(cores)) = (&pair.share, &pair.together, &pair.cores)
        else {
            return Some(context.cannot_say(format!(
                "Overhead, work or the services' CPU is not known. Missing: the agent with its accounts in {} and {}.",
                context.label(a),
                context.label(b)
            )));
        };
        if self.refused_for_memory(pair.memory.as_ref()) {
            // `keep` explains that too.
            return None;
        }
        let finding = match against(share, self.overhead_share_min, "the share of messages") {
            Against::Unclear(why) => context.cannot_say(why),
            Against::Below => context.finding(
                Verdict::Leave,
                format!(
                    "The work costs more than the messages: overhead is {} of both, not above {}.",
                    say::with_interval(share, say::share),
                    say::share(self.overhead_share_min)
                ),
            ),
            Against::Above => self.worth(context, together, cores),
        };
        if finding.verdict == Verdict::Do
            && let Some((verdict, objection)) =
                Couple::default().objection(context, (a, b), &pair.edges)
        {
            return Some(context.finding(verdict, objection));
        }
        // They talk little: `keep` explains that, unless a merge is worth it all the same.
        let talk = pair
            .overhead
            .as_ref()
            .and_then(|overhead| overhead.over(cores));
        let little =
            talk.is_some_and(|talk| against(&talk, self.talk_share_min, "talk") == Against::Below);
        (finding.verdict == Verdict::Do || !little).then_some(finding)
    }

    fn changes(&self, context: &Context<'_>, &(a, b): &(usize, usize)) -> Vec<Change> {
        vec![Change::Merge {
            services: [a, b].map(|at| context.label(at).to_owned()).into(),
            name: None,
        }]
    }

    fn stake(&self, context: &Context<'_>, &(a, b): &(usize, usize)) -> Option<Stake> {
        let pair = Pair::new(context, a, b);
        let together = pair.together.as_ref()?;
        // Per call, so that what a call costs and how often it is made can be off apart.
        let each = |cores: &Estimate| Some(cores.over(&together.calls)?.scaled(1e9));
        let saved = |x: &[f64]| {
            let call = x.get(1)? + x.get(2)? + x.get(3)? - x.get(5)?;
            Some(x.first()? * call * 1e-9 + x.get(4)?)
        };
        let weighed = Input::weighed;
        let mut stake = Stake {
            objective: "cores saved".to_owned(),
            unit: FigureUnit::Cores,
            inputs: vec![
                weighed("calls between them", FigureUnit::PerSecond, &together.calls),
                weighed(
                    "messages of a call",
                    FigureUnit::NsPerCall,
                    &each(&together.messages)?,
                ),
                weighed(
                    "schedulers' part in a call",
                    FigureUnit::NsPerCall,
                    &each(&together.wake)?,
                ),
                weighed(
                    "a call beside its messages",
                    FigureUnit::NsPerCall,
                    &each(&together.crossing)?,
                ),
                weighed(
                    "what one process takes by itself",
                    FigureUnit::Cores,
                    &together.base,
                ),
                Input::local_call(context.options),
            ],
            gain: Box::new(saved),
            cost: None,
        };
        if let Some(memory) = &pair.memory {
            let weights = Weights::of(context.options.prices.as_ref());
            let bytes = weights.byte * (memory.before - memory.after);
            stake.cost = Some(Box::new(move |x| Some(weights.core * saved(x)? + bytes)));
        }
        if let (Some(prices), Some(memory)) = (&context.options.prices, &pair.memory) {
            let gib = (memory.before - memory.after) / (1024.0 * 1024.0 * 1024.0);
            let (core_hour, fixed) = (prices.core_hour, gib * prices.gib_hour);
            stake.objective = format!("{} saved in an hour", prices.currency);
            stake.unit = FigureUnit::MoneyPerHour;
            stake.gain = Box::new(move |x| Some(saved(x)? * core_hour + fixed));
        }
        Some(stake)
    }

    fn explain(
        &self,
        context: &Context<'_>,
        &(a, b): &(usize, usize),
        finding: Finding,
    ) -> Recommendation {
        let pair = Pair::new(context, a, b);
        let (name_a, name_b) = (context.label(a), context.label(b));
        let title = match finding.verdict {
            Verdict::Do | Verdict::Try => {
                format!(
                    "Merge {name_a} and {name_b}: their messages cost more than the work they ask for."
                )
            }
            Verdict::Leave => {
                format!("Do not merge {name_a} and {name_b} for the sake of their messages.")
            }
            Verdict::CannotSay => format!("Merging {name_a} and {name_b} cannot be judged yet."),
        };
        let saved = pair.together.as_ref().map(|together| &together.saved);
        let after = pair.after();
        let mut prediction = vec![
            predict(
                &format!("cores of {name_a} and {name_b} together"),
                FigureUnit::Cores,
                pair.cores.as_ref(),
                after.as_ref(),
            )
            .observed_by(ObserveWhat::Cores, &[name_a, name_b], "", ""),
        ];
        prediction.extend(pair.messages(context));
        prediction.extend(pair.memory_figures(context));
        let bytes = pair
            .memory
            .as_ref()
            .map_or((None, None), |m| (Some(m.before), Some(m.after)));
        prediction.extend(context.money((pair.cores.as_ref(), after.as_ref()), bytes));
        Recommendation {
            id: format!("rec:merge:{name_a}+{name_b}"),
            kind: RecommendationKind::Merge,
            verdict: finding.verdict,
            verdict_reason: finding.reason,
            title,
            subjects: vec![context.service_subject(a), context.service_subject(b)],
            gain: crate::build::optional(saved, FigureUnit::Cores, "the saving is not known"),
            evidence: pair.evidence(context),
            prediction,
            downsides: vec![
                format!("{name_a} and {name_b} no longer scale apart: a process holds both."),
                "They fail together and are deployed together.".to_owned(),
                "Copies of data stay; only the calls disappear.".to_owned(),
                "Locks and queues that were apart may now contend; the model does not see that.".to_owned(),
            ],
            falsify: vec![
                "Run both in one process with direct calls under the same load and compare the kernel's CPU time of the one process with that of the two: outside the interval of the first figure, this is wrong.".to_owned(),
                "Weigh again: the edges listed as evidence must be gone, and nothing else dearer.".to_owned(),
            ],
            first_step: format!(
                "Link the component of {name_b} that answers {} into {name_a} as a library, behind the interface of the calls that it answers now, switched by configuration, for one instance.",
                pair.main_target().unwrap_or_else(|| "these calls".to_owned())
            ),
            rule: "Merge when the message overhead of the synchronous edges between two services (both sides, pools, brokers) exceeds the work that the calls ask for, what the calls save is worth the coupling, and memory does not grow beyond bounds.".to_owned(),
            thresholds: vec![
                threshold(
                    "overhead ÷ (overhead + work)",
                    self.overhead_share_min,
                    pair.share.as_ref().map(|s| s.point),
                    FigureUnit::Ratio,
                ),
                threshold(
                    "saved by calls ÷ cores of both",
                    self.saving_share_min,
                    pair.saving_share().map(|s| s.point),
                    FigureUnit::Ratio,
                ),
                threshold(
                    "memory after ÷ before, at the largest load planned for",
                    self.memory_growth_max,
                    pair.memory.as_ref().and_then(PairMemory::growth),
                    FigureUnit::Ratio,
                ),
            ],
            judgement: None,
        }
    }
}

impl Merge {
    /// Memory that merging multiplies is no price for saved messages.
    pub(crate) fn refused_for_memory(&self, memory: Option<&PairMemory>) -> bool {
        memory.is_some_and(|memory| {
            memory
                .growth()
                .is_some_and(|growth| growth > self.memory_growth_max)
                && memory.after - memory.before > self.memory_extra_max
        })
    }

    /// The calls must be worth it: the process that goes as well is no reason to couple two services.
    fn worth(&self, context: &Context<'_>, together: &Together, cores: &Estimate) -> Finding {
        let Some(share) = together.by_calls.over(cores) else {
            return context
                .cannot_say("The services used no CPU. Weigh a range in which they work.");
        };
        match against(&share, self.saving_share_min, "the saving") {
            Against::Above => context.finding(
                Verdict::Do,
                format!(
                    "Messages cost more than the work; without them and the schedulers' part in them {} fewer are needed, {} of both services, and {} fewer with what one process takes by itself.",
                    say::with_interval(&together.by_calls, say::cores),
                    say::share(share.point),
                    say::with_interval(&together.saved, say::cores)
                ),
            ),
            Against::Below => context.finding(
                Verdict::Leave,
                format!(
                    "Messages cost more than the work, but all of them are only {} of both services' CPU.",
                    say::share(share.point)
                ),
            ),
            Against::Unclear(why) => context.cannot_say(why),
        }
    }
}

impl<'a> Pair<'a> {
    fn new(context: &Context<'a>, a: usize, b: usize) -> Self {
        let edges: Vec<&Edge> = context
            .edges_between(a, b)
            .into_iter()
            .filter(|edge| edge.is_sync())
            .collect();
        let add = |f: fn(&Edge) -> Option<Estimate>| {
            edges
                .iter()
                .filter_map(|edge| f(edge))
                .reduce(|x, y| x.plus(&y))
        };
        let overhead = add(|edge| edge.cost.overhead_cores.clone());
        let work = add(|edge| edge.cost.work_cores.clone());
        let share = overhead
            .as_ref()
            .zip(work.as_ref())
            .and_then(|(overhead, work)| overhead.over(&overhead.plus(work)));
        Self {
            a,
            b,
            overhead,
            work,
            share,
            together: context.together(a, b),
            cores: context.pair_cores(a, b),
            memory: pair_memory(context, a, b),
            edges,
        }
    }

    fn saving_share(&self) -> Option<Estimate> {
        let together = self.together.as_ref()?;
        together.by_calls.over(self.cores.as_ref()?)
    }

    /// Cores of both in one process.
    fn after(&self) -> Option<Estimate> {
        let (cores, together) = self.cores.as_ref().zip(self.together.as_ref())?;
        Some(
            cores
                .minus(&together.saved)
                .of_quality(QualityWord::Estimated),
        )
    }

    /// The edge with most overhead.
    fn main_edge(&self) -> Option<&'a Edge> {
        let cores = |edge: &Edge| edge.cost.overhead_cores.as_ref().map_or(0.0, |c| c.point);
        self.edges
            .iter()
            .copied()
            .max_by(|x, y| cores(x).total_cmp(&cores(y)).then_with(|| y.id.cmp(&x.id)))
    }

    fn main_target(&self) -> Option<String> {
        self.main_edge()
            .map(|edge| edge.joined.to.operation.shown())
    }

    fn evidence(&self, context: &Context<'_>) -> Vec<Evidence> {
        let mut evidence: Vec<Evidence> = self
            .edges
            .iter()
            .filter_map(|edge| {
                let cost = &edge.cost;
                let each = cost.calls_per_request.as_ref().map_or_else(String::new, |n| {
                    format!(", {} calls for each request", say::number(n.point))
                });
                let side = |s: &Option<Estimate>| {
                    s.as_ref().map_or_else(|| "not known".to_owned(), |s| say::ns(s.point))
                };
                Some(Evidence {
                    sentence: format!(
                        "{}: {}{each}. A call costs {} in messages ({} on the caller's side, {} on the callee's) and asks for {} of work.",
                        edge.shown(),
                        say::rate(cost.rate.as_ref()?.point),
                        say::with_interval(cost.overhead.as_ref()?, say::ns),
                        side(&cost.caller.total),
                        side(&cost.callee.total),
                        cost.work.as_ref().map_or_else(
                            || "unknown amounts".to_owned(),
                            |work| say::with_interval(work, say::ns)
                        ),
                    ),
                    rows: vec![edge.id.clone()],
                })
            })
            .collect();
        if let Some((overhead, work)) = self.overhead.as_ref().zip(self.work.as_ref()) {
            evidence.push(Evidence {
                sentence: format!(
                    "All synchronous calls between {} and {} together: {} for messages, {} for the work.",
                    context.label(self.a),
                    context.label(self.b),
                    say::with_interval(overhead, say::cores),
                    say::with_interval(work, say::cores),
                ),
                rows: [self.a, self.b]
                    .map(|index| format!("service:{}", context.label(index)))
                    .into(),
            });
        }
        evidence
    }

    fn messages(&self, context: &Context<'_>) -> Option<crate::document::Prediction> {
        let rate = self
            .edges
            .iter()
            .filter_map(|edge| edge.cost.rate.clone())
            .reduce(|x, y| x.plus(&y))?;
        Some(
            predict(
                &format!(
                    "synchronous calls between {} and {}",
                    context.label(self.a),
                    context.label(self.b)
                ),
                FigureUnit::PerSecond,
                Some(&rate),
                Some(&Estimate::zero()),
            )
            .observed_by(
                ObserveWhat::Calls,
                &[context.label(self.a), context.label(self.b)],
                "",
                "",
            ),
        )
    }

    fn memory_figures(&self, context: &Context<'_>) -> Vec<crate::document::Prediction> {
        let Some(memory) = &self.memory else {
            return Vec::new();
        };
        let factor = say::factor(context.options.design_load());
        let reason = "from gauges and whole processes";
        vec![
            predict_plain(
                &format!("processes of both at {factor} times the load"),
                FigureUnit::Count,
                Some(memory.replicas.0 + memory.replicas.1),
                Some(memory.replicas_merged),
                reason,
            ),
            predict_plain(
                &format!("memory of both at {factor} times the load"),
                FigureUnit::Bytes,
                Some(memory.before),
                Some(memory.after),
                reason,
            ),
        ]
    }
}
