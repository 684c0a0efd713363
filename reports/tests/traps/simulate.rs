//! One model: what a recommendation predicts of its change is what `simulate` answers when it is asked for that change.

use weighbridge_reports::document::Prediction;
use weighbridge_reports::topology::{Answer, Question, parse_changes, what_if};
use weighbridge_wire::OwnerKind;

use super::*;

/// What a change file says at a load.
fn asked(range: &FoldedRange, changes: &str, load: f64) -> Answer {
    let question = Question {
        changes: parse_changes(changes).unwrap(),
        load,
    };
    what_if(range, &Options::default(), &question).unwrap()
}

fn named<'a>(of: &'a Recommendation, figure: &str) -> &'a Prediction {
    let found = of.prediction.iter().find(|p| p.figure == figure);
    found.unwrap_or_else(|| {
        let all: Vec<_> = of.prediction.iter().map(|p| &p.figure).collect();
        panic!("no {figure} in {all:?}")
    })
}

fn same(got: Option<f64>, want: Option<f64>, what: &str) {
    let (got, want) = (got.unwrap(), want.unwrap());
    assert!(
        (got - want).abs() <= 1e-9 * want.abs(),
        "{what}: {got} and not {want}"
    );
}

/// Every figure of a recommendation that `simulate` prints under the same name is the same, but for those with this
/// word in their name; how many there are.
fn all_the_same(of: &Recommendation, answer: &Answer, but: &str) -> usize {
    let said = &answer.document.recommendations[0];
    let mut count = 0;
    for p in of
        .prediction
        .iter()
        .filter(|p| but.is_empty() || !p.figure.contains(but))
    {
        let Some(theirs) = said.prediction.iter().find(|q| q.figure == p.figure) else {
            continue;
        };
        count += 1;
        same(p.before, theirs.before, &p.figure);
        same(p.after, theirs.after, &p.figure);
    }
    count
}

/// Two services with schedulers, background work, a lock of memory and messages through a broker; even load on one core
/// each, where the queue formula is exact.
fn pair() -> System {
    let mut s = chatty();
    s.operation("front", "POST /a").course = Some(|_| (20, 12_000_000));
    let answer = s.operation("back", "POST /b");
    answer.course = Some(|_| (240, 400_000));
    answer.times = 1;
    s.owner("front", OwnerKind::Runtime, "scheduler", 3_000_000);
    s.owner("back", OwnerKind::Runtime, "scheduler", 2_000_000);
    s.owner("back", OwnerKind::Background, "index", 4_000_000);
    for service in ["front", "back"] {
        s.process(service).cores_milli = 1_000;
    }
    s.process("back").rss_peak = 90 << 20;
    s
}

const MERGE: &str = "[[change]]\nkind = \"merge\"\nservices = [\"front\", \"back\"]";

#[test]
fn a_merge_predicts_what_simulate_answers() {
    let range = pair().range();
    let d = Document::build(&range, &Options::default());
    let merge = get(&d, Kind::Merge, &["front", "back"]);
    let now = asked(&range, MERGE, 1.0);
    let said = &now.document.recommendations[0];
    let cores = named(merge, "cores of back and front together");
    let apart = ["cores of front", "cores of back"].map(|name| named(said, name).before.unwrap());
    same(cores.before, Some(apart[0] + apart[1]), "cores before");
    same(
        cores.after,
        named(said, "cores of back+front").after,
        "cores after",
    );
    same(merge.gain.value, said.gain.value, "gain");
    // Messages, their bytes, and six figures of the one origin.
    assert_eq!(all_the_same(merge, &now, ""), 8);
    for wanted in [
        "messages between services",
        "95th percentile of latency of POST /a of front",
    ] {
        assert!(named(merge, wanted).after < named(merge, wanted).before);
    }
    let planned = asked(&range, MERGE, 5.0);
    let said = &planned.document.recommendations[0];
    for (mine, theirs) in [
        ("memory of both at 5 times the load", "memory of"),
        ("processes of both at 5 times the load", "processes of"),
    ] {
        let of = |name: &str| named(said, &format!("{theirs} {name}"));
        let apart = of("front").before.unwrap() + of("back").before.unwrap();
        same(named(merge, mine).before, Some(apart), mine);
        same(named(merge, mine).after, of("back+front").after, mine);
    }
}

#[test]
fn services_kept_apart_are_priced_as_simulate_would_merge_them() {
    let mut s = System::new(60);
    s.root("front", "POST /a", 10, [2_000_000; 6]);
    s.http(
        ("front", "POST /a"),
        ("back", "POST /b"),
        10,
        2,
        160_000,
        9_000_000,
    );
    s.owner("front", OwnerKind::Runtime, "scheduler", 3_000_000);
    s.owner("back", OwnerKind::Background, "index", 4_000_000);
    let range = s.range();
    let d = Document::build(&range, &Options::default());
    let keep = get(&d, Kind::Keep, &["front", "back"]);
    let now = asked(&range, MERGE, 1.0);
    let said = &now.document.recommendations[0];
    let cores = named(keep, "cores of back and front, were they merged");
    same(
        cores.after,
        named(said, "cores of back+front").after,
        "cores after",
    );
    let planned = asked(&range, MERGE, 5.0);
    let said = &planned.document.recommendations[0];
    let memory = named(keep, "memory of both at 5 times the load, were they merged");
    same(
        memory.after,
        named(said, "memory of back+front").after,
        "memory after",
    );
}

#[test]
fn a_batch_predicts_what_simulate_answers() {
    let range = pair().range();
    let d = Document::build(&range, &Options::default());
    let batch = get(&d, Kind::Batch, &["front", "back"]);
    let calls = d.edges[0].calls_per_request.value.unwrap();
    let change = format!(
        "[[change]]\nkind = \"batch\"\nedge = \"{}\"\ncalls = {calls:?}",
        d.edges[0].id
    );
    let now = asked(&range, &change, 1.0);
    let said = &now.document.recommendations[0];
    same(batch.gain.value, said.gain.value, "gain");
    let all = ["cores of front", "cores of back"].map(|name| named(said, name).after.unwrap());
    let cores = batch
        .prediction
        .iter()
        .find(|p| p.figure.starts_with("cores of"));
    same(cores.unwrap().after, Some(all[0] + all[1]), "cores after");
    assert!(all_the_same(batch, &now, "") >= 7);
}

/// A copy in two services of what a third one changes, all told by the same publication.
fn copied() -> System {
    let mut s = chatty();
    let cpu = [50_000, 10_000, 10_000, 0, 0, 50_000];
    s.root("front", "PUT /p", 300, cpu);
    s.uses("front", "PUT /p", "price", "write", 300);
    for service in ["back", "mail"] {
        let to = (service, "CONSUME price");
        let call = s.message(("front", "PUT /p"), to, 300, "price", 80_000, 60_000);
        call.publishes = service == "back";
        s.uses(service, "CONSUME price", "price", "write", 300);
        s.size(service, "price", 100, 1 << 20);
    }
    s.uses("back", "POST /b", "price", "read", 2);
    s.size("front", "price", 100, 1 << 20);
    s.owner("broker", OwnerKind::Driver, "mqtt broker", 9_000_000);
    s.owner("mail", OwnerKind::Runtime, "scheduler", 3_000_000);
    s
}

#[test]
fn copies_taken_away_predict_what_simulate_answers() {
    let range = copied().range();
    let d = Document::build(&range, &Options::default());
    let place = get(&d, Kind::PlaceEntity, &["price"]);
    let change = |service: &str| {
        format!(
            "[[change]]\nkind = \"place_entity\"\nentity = \"price\"\nservice = \"{service}\"\naccess = \"remote\"\n"
        )
    };
    let now = asked(&range, &(change("back") + &change("mail")), 1.0);
    same(
        place.gain.value,
        now.document.recommendations[0].gain.value,
        "gain",
    );
    assert!(place.gain.value.unwrap() > 0.0);
    // The load comes in gusts, so `simulate` asks the simulator for waits.
    assert!(all_the_same(place, &now, "latency") >= 3);
}
