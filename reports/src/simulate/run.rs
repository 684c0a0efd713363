//! The event loop.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

use weighbridge_wire::Histogram;

use super::{ACTIVITIES_MAX, Effort, IN_FLIGHT_MAX, Network};
use crate::rng::SplitMix64;

/// How many pieces a run is cut into, to tell how sure its means are.
const BATCHES: u64 = 20;
/// Two-sided 90 % quantile of Student's distribution with 19 degrees of freedom.
const STUDENT_19: f64 = 1.729;

/// Why a network is not simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No class, no station, no request, or too many activities.
    Empty,
    /// A figure that is negative or not finite, a station or an activity that does not exist.
    Malformed,
    /// A station gets more work than it can do: waits grow without end.
    Saturated,
}

/// What a run showed.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulated {
    /// By class.
    pub classes: Vec<ClassResult>,
    /// By station.
    pub stations: Vec<StationResult>,
    /// Arrivals and ends of activities that were handled.
    pub events: u64,
}

/// What requests of a class met with.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassResult {
    /// Requests counted.
    pub ended: u64,
    /// Mean time from arrival to the end of the last activity that is waited for, seconds.
    pub response: f64,
    /// 90 % interval of it, by batch means. `None` with fewer than two requests for each batch.
    pub response_interval: Option<(f64, f64)>,
    /// Mean of all waits of a request for servers, seconds.
    pub wait: f64,
    /// Response times, ns.
    pub responses: Histogram,
}

/// What happened at a station.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StationResult {
    /// Share of the servers' time.
    pub utilisation: f64,
    /// Mean wait for a server, seconds.
    pub wait: f64,
    /// Activities counted.
    pub served: u64,
}

/// What happens at an instant.
#[derive(Clone, Copy, Debug)]
enum What {
    Arrival { class: u32 },
    End { request: u32, activity: u16 },
}

#[derive(Clone, Copy, Debug)]
struct Event {
    at: f64,
    /// Breaks ties in the order in which events were made.
    order: u64,
    what: What,
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Event {}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Event {
    /// The earliest is the greatest, as the heap wants it.
    fn cmp(&self, other: &Self) -> Ordering {
        other
            .at
            .total_cmp(&self.at)
            .then(other.order.cmp(&self.order))
    }
}

struct Station {
    free: u32,
    waiting: VecDeque<(u32, u16, f64)>,
    busy: f64,
    waited: f64,
    served: u64,
}

/// A class ready to run.
struct Plan {
    /// Which activities each of them lets go on.
    next: Vec<Vec<u16>>,
    /// How many each waits for.
    needs: Vec<u8>,
    /// How many the answer waits for.
    answer_needs: u8,
    arrivals: SplitMix64,
    services: Vec<SplitMix64>,
}

struct Request {
    class: u32,
    arrived: f64,
    waited: f64,
    /// Activities that have not ended.
    open: u8,
    /// Activities that the answer still waits for.
    unanswered: u8,
    missing: [u8; ACTIVITIES_MAX],
}

#[derive(Default)]
struct Tally {
    ended: u64,
    response: f64,
    wait: f64,
    responses: Histogram,
    batches: Vec<(u64, f64)>,
}

/// Runs a network.
///
/// # Errors
/// [`Refusal`].
pub fn simulate(network: &Network, effort: Effort) -> Result<Simulated, Refusal> {
    check(network, effort)?;
    Run::new(network, effort).go()
}

fn check(network: &Network, effort: Effort) -> Result<(), Refusal> {
    if network.classes.is_empty() || network.servers.is_empty() || effort.requests == 0 {
        return Err(Refusal::Empty);
    }
    let mut load = vec![0.0; network.servers.len()];
    for class in &network.classes {
        if class.activities.is_empty() || class.activities.len() > ACTIVITIES_MAX {
            return Err(Refusal::Empty);
        }
        if !class.arrivals.is_sound() {
            return Err(Refusal::Malformed);
        }
        for (n, activity) in class.activities.iter().enumerate() {
            let known = activity.after.iter().all(|before| *before < n);
            if !known || !activity.times.is_sound() || activity.after.len() > ACTIVITIES_MAX {
                return Err(Refusal::Malformed);
            }
            let of = load.get_mut(activity.station).ok_or(Refusal::Malformed)?;
            *of += class.arrivals.rate * activity.times.mean();
        }
        if class.activities.iter().all(|activity| activity.detached) {
            return Err(Refusal::Malformed);
        }
    }
    let full = |(load, servers): (&f64, &u32)| *load >= f64::from(*servers);
    if load.iter().zip(&network.servers).any(full) {
        return Err(Refusal::Saturated);
    }
    Ok(())
}

struct Run<'n> {
    network: &'n Network,
    effort: Effort,
    now: f64,
    order: u64,
    events: u64,
    heap: BinaryHeap<Event>,
    stations: Vec<Station>,
    plans: Vec<Plan>,
    requests: Vec<Request>,
    unused: Vec<u32>,
    tallies: Vec<Tally>,
    arrived: u64,
    warm: u64,
    ended: u64,
    counted_since: Option<f64>,
}

impl<'n> Run<'n> {
    fn new(network: &'n Network, effort: Effort) -> Self {
        let mut seeds = SplitMix64::new(effort.seed);
        let plans = network
            .classes
            .iter()
            .map(|class| Plan::new(class, &mut SplitMix64::new(seeds.next_u64())))
            .collect();
        let stations = network
            .servers
            .iter()
            .map(|&free| Station {
                free,
                waiting: VecDeque::new(),
                busy: 0.0,
                waited: 0.0,
                served: 0,
            })
            .collect();
        Self {
            network,
            effort,
            now: 0.0,
            order: 0,
            events: 0,
            heap: BinaryHeap::new(),
            stations,
            plans,
            requests: Vec::new(),
            unused: Vec::new(),
            tallies: network.classes.iter().map(|_| Tally::default()).collect(),
            arrived: 0,
            warm: effort.requests / 10,
            ended: 0,
            counted_since: None,
        }
    }

    fn go(mut self) -> Result<Simulated, Refusal> {
        for class in 0..self.plans.len() {
            self.schedule_arrival(class);
        }
        while self.ended < self.effort.requests {
            let Some(event) = self.heap.pop() else {
                return Err(Refusal::Empty);
            };
            self.now = event.at;
            self.events += 1;
            match event.what {
                What::Arrival { class } => {
                    self.schedule_arrival(class as usize);
                    if self.requests.len() - self.unused.len() >= IN_FLIGHT_MAX {
                        return Err(Refusal::Saturated);
                    }
                    self.arrive(class);
                }
                What::End { request, activity } => self.end(request, activity),
            }
        }
        Ok(self.result())
    }

    fn push(&mut self, at: f64, what: What) {
        self.order += 1;
        let order = self.order;
        self.heap.push(Event { at, order, what });
    }

    fn schedule_arrival(&mut self, class: usize) {
        let gap = self.network.classes[class]
            .arrivals
            .draw(&mut self.plans[class].arrivals);
        let class = u32::try_from(class).unwrap_or(u32::MAX);
        self.push(self.now + gap, What::Arrival { class });
    }

    fn arrive(&mut self, class: u32) {
        self.arrived += 1;
        if self.arrived > self.warm && self.counted_since.is_none() {
            self.counted_since = Some(self.now);
        }
        let plan = &self.plans[class as usize];
        let mut missing = [0; ACTIVITIES_MAX];
        missing[..plan.needs.len()].copy_from_slice(&plan.needs);
        let request = Request {
            class,
            arrived: self.now,
            waited: 0.0,
            open: u8::try_from(plan.needs.len()).unwrap_or(u8::MAX),
            unanswered: plan.answer_needs,
            missing,
        };
        let id = match self.unused.pop() {
            Some(id) => {
                self.requests[id as usize] = request;
                id
            }
            None => {
                self.requests.push(request);
                u32::try_from(self.requests.len() - 1).unwrap_or(u32::MAX)
            }
        };
        for activity in 0..self.plans[class as usize].needs.len() {
            if self.plans[class as usize].needs[activity] == 0 {
                self.enter(id, u16::try_from(activity).unwrap_or(u16::MAX));
            }
        }
    }

    /// An activity may begin: at once, or when a server is free.
    fn enter(&mut self, request: u32, activity: u16) {
        let class = self.requests[request as usize].class as usize;
        let station = self.network.classes[class].activities[usize::from(activity)].station;
        if self.stations[station].free > 0 {
            self.stations[station].free -= 1;
            self.begin(station, request, activity, self.now);
        } else {
            self.stations[station]
                .waiting
                .push_back((request, activity, self.now));
        }
    }

    fn begin(&mut self, station: usize, request: u32, activity: u16, came: f64) {
        let class = self.requests[request as usize].class as usize;
        let of = &self.network.classes[class].activities[usize::from(activity)];
        let rng = &mut self.plans[class].services[usize::from(activity)];
        let seconds = of.times.draw(rng);
        let waited = self.now - came;
        self.requests[request as usize].waited += waited;
        if self.counted_since.is_some() {
            let station = &mut self.stations[station];
            station.busy += seconds;
            station.waited += waited;
            station.served += 1;
        }
        self.push(self.now + seconds, What::End { request, activity });
    }

    fn end(&mut self, request: u32, activity: u16) {
        let class = self.requests[request as usize].class as usize;
        let of = &self.network.classes[class].activities[usize::from(activity)];
        let station = of.station;
        if let Some((next, its, came)) = self.stations[station].waiting.pop_front() {
            self.begin(station, next, its, came);
        } else {
            self.stations[station].free += 1;
        }
        let entry = &mut self.requests[request as usize];
        entry.open -= 1;
        if !of.detached {
            entry.unanswered -= 1;
            if entry.unanswered == 0 {
                let (arrived, waited) = (entry.arrived, entry.waited);
                self.answered(class, arrived, waited);
            }
        }
        for n in 0..self.plans[class].next[usize::from(activity)].len() {
            let next = self.plans[class].next[usize::from(activity)][n];
            let missing = &mut self.requests[request as usize].missing[usize::from(next)];
            *missing -= 1;
            if *missing == 0 {
                self.enter(request, next);
            }
        }
        if self.requests[request as usize].open == 0 {
            self.unused.push(request);
        }
    }

    fn answered(&mut self, class: usize, arrived: f64, waited: f64) {
        if self.counted_since.is_none_or(|since| arrived < since) {
            return;
        }
        let batch = (self.ended * BATCHES / self.effort.requests) as usize;
        self.ended += 1;
        let seconds = self.now - arrived;
        let tally = &mut self.tallies[class];
        tally.ended += 1;
        tally.response += seconds;
        tally.wait += waited;
        tally.responses.record((seconds * 1e9) as u64);
        tally.batches.resize(BATCHES as usize, (0, 0.0));
        tally.batches[batch].0 += 1;
        tally.batches[batch].1 += seconds;
    }

    fn result(self) -> Simulated {
        let seconds = self.now - self.counted_since.unwrap_or(0.0);
        let stations = self.stations.iter().zip(&self.network.servers);
        Simulated {
            stations: stations
                .map(|(station, servers)| StationResult {
                    utilisation: station.busy / (seconds * f64::from(*servers)),
                    wait: mean(station.waited, station.served),
                    served: station.served,
                })
                .collect(),
            classes: self.tallies.into_iter().map(Tally::result).collect(),
            events: self.events,
        }
    }
}

impl Plan {
    fn new(class: &super::RequestClass, seeds: &mut SplitMix64) -> Self {
        let mut next = vec![Vec::new(); class.activities.len()];
        let mut needs = Vec::with_capacity(class.activities.len());
        for (n, activity) in class.activities.iter().enumerate() {
            let mut before = activity.after.clone();
            before.sort_unstable();
            before.dedup();
            needs.push(u8::try_from(before.len()).unwrap_or(u8::MAX));
            for before in before {
                next[before].push(u16::try_from(n).unwrap_or(u16::MAX));
            }
        }
        let answered = class.activities.iter().filter(|a| !a.detached).count();
        Self {
            next,
            needs,
            answer_needs: u8::try_from(answered).unwrap_or(u8::MAX),
            arrivals: SplitMix64::new(seeds.next_u64()),
            services: class
                .activities
                .iter()
                .map(|_| SplitMix64::new(seeds.next_u64()))
                .collect(),
        }
    }
}

impl Tally {
    fn result(self) -> ClassResult {
        let response = mean(self.response, self.ended);
        ClassResult {
            ended: self.ended,
            response,
            response_interval: interval(&self.batches),
            wait: mean(self.wait, self.ended),
            responses: self.responses,
        }
    }
}

/// Interval of a mean from the means of its batches.
fn interval(batches: &[(u64, f64)]) -> Option<(f64, f64)> {
    if batches.is_empty() || batches.iter().any(|(count, _)| *count < 2) {
        return None;
    }
    let means: Vec<f64> = batches.iter().map(|(n, sum)| sum / *n as f64).collect();
    let n = means.len() as f64;
    let middle = means.iter().sum::<f64>() / n;
    let squares: f64 = means.iter().map(|m| (m - middle) * (m - middle)).sum();
    let half = STUDENT_19 * libm::sqrt(squares / (n - 1.0) / n);
    Some((middle - half, middle + half))
}

fn mean(sum: f64, count: u64) -> f64 {
    if count == 0 { 0.0 } else { sum / count as f64 }
}
