//! The simulator of `reports` against closed forms where these are exact, and what an event of it costs.

use std::process::ExitCode;

use weighbridge_benches::{Figure, Report, clock};
use weighbridge_reports::queue::{ClassLoad, Mixture, MmcStation, open_classes};
use weighbridge_reports::simulate::{
    Activity, Arrivals, Effort, Network, RequestClass, Times, simulate,
};

/// The limits.
const OFF_MAX_PERCENT: f64 = 2.0;
const EVENT_MAX_NS: f64 = 1_000.0;

const EFFORT: Effort = Effort {
    requests: 10_000_000,
    seed: 1,
};

/// A network whose mean response of the first class is known.
struct Case {
    name: String,
    network: Network,
    response: f64,
}

fn exponential(mean: f64) -> Times {
    Times::Spread { mean, cs2: 1.0 }
}

fn class(rate: f64, pieces: &[(usize, Times)]) -> RequestClass {
    let piece = |(n, (station, times)): (usize, &(usize, Times))| Activity {
        station: *station,
        times: times.clone(),
        after: n.checked_sub(1).into_iter().collect(),
        detached: false,
    };
    RequestClass {
        arrivals: Arrivals { rate, cs2: 1.0 },
        activities: pieces.iter().enumerate().map(piece).collect(),
    }
}

fn cases() -> Option<Vec<Case>> {
    let mut cases = Vec::new();
    for (servers, rate) in [(1, 0.8), (2, 1.6), (4, 3.2), (8, 6.4)] {
        let exact = MmcStation {
            rate,
            service: 1.0,
            servers,
        };
        cases.push(Case {
            name: format!("M/M/{servers}, ρ = 0.8"),
            network: Network {
                servers: vec![servers],
                classes: vec![class(rate, &[(0, exponential(1.0))])],
            },
            response: exact.mean_response()?,
        });
    }
    for cs2 in [0.0, 0.5, 4.0] {
        let load = ClassLoad {
            rate: 0.8,
            mean: 1.0,
            mean_square: 1.0 + cs2,
            arrival_cs2: 1.0,
        };
        cases.push(Case {
            name: format!("M/G/1, ρ = 0.8, c_s² = {cs2}"),
            network: Network {
                servers: vec![1],
                classes: vec![class(0.8, &[(0, Times::Spread { mean: 1.0, cs2 })])],
            },
            response: 1.0 + Mixture::of(&[load])?.wait(1)?,
        });
    }
    let demands = vec![0.4, 0.7, 0.2];
    let pieces: Vec<(usize, Times)> = demands
        .iter()
        .map(|d| exponential(*d))
        .enumerate()
        .collect();
    let exact = open_classes(&[demands], &[1.0])?;
    cases.push(Case {
        name: "three stations in a row".to_owned(),
        network: Network {
            servers: vec![1; 3],
            classes: vec![class(1.0, &pieces)],
        },
        response: exact[0].iter().map(|station| station.residence).sum(),
    });
    Some(cases)
}

/// Two kinds of times, 1 and 10, at ρ = .833 on two servers: what the formula says of the mean wait, and what it is, by
/// 900 runs of a million requests of another simulator (within 0.004 and 0.012; docs/decisions.md).
fn pooled(report: &mut Report) {
    for (name, times, formula, want, off_max) in [
        (
            "constant",
            [Times::Constant(1.0), Times::Constant(10.0)],
            6.25,
            6.13,
            0.07,
        ),
        (
            "exponential",
            [exponential(1.0), exponential(10.0)],
            12.5,
            12.07,
            0.23,
        ),
    ] {
        let [short, long] = times;
        let network = Network {
            servers: vec![2],
            classes: vec![
                class(5.0 / 6.0, &[(0, short)]),
                class(1.0 / 12.0, &[(0, long)]),
            ],
        };
        let runs = [1, 2];
        let waits = runs.map(|seed| {
            let effort = Effort { seed, ..EFFORT };
            simulate(&network, effort).map_or(f64::NAN, |found| found.stations[0].wait)
        });
        let wait = waits.iter().sum::<f64>() / runs.len() as f64;
        report.push(
            Figure::new(
                format!("pooled mixture, {name} times: wait off by"),
                (wait - want).abs(),
                "s",
            )
            .at_most(off_max)
            .note(format!(
                "{wait:.3} s, and not the {formula} of Allen and Cunneen"
            )),
        );
    }
}

fn main() -> ExitCode {
    let mut report = Report::new("simulator");
    pooled(&mut report);
    let (mut events, mut cpu_ns) = (0, 0);
    for case in cases().unwrap_or_default() {
        let begun = clock::thread_cpu_ns();
        let found = simulate(&case.network, EFFORT);
        cpu_ns += clock::thread_cpu_ns() - begun;
        let off = found.map_or(f64::NAN, |found| {
            events += found.events;
            100.0 * (found.classes[0].response / case.response - 1.0).abs()
        });
        report.push(
            Figure::new(format!("response, {}: off by", case.name), off, "%")
                .at_most(OFF_MAX_PERCENT),
        );
    }
    report.push(
        Figure::new("an event", cpu_ns as f64 / events as f64, "ns")
            .at_most(EVENT_MAX_NS)
            .note(format!(
                "{:.1} million events in a second of one core",
                events as f64 * 1e3 / cpu_ns as f64
            )),
    );
    report.finish()
}
