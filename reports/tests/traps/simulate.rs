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
        for (mine, theirs) in [(p.before, theirs.before), (p.after, theirs.after)] {
            // What nobody knows is unknown to both.
            if mine.is_some() || theirs.is_some() {
                same(mine, theirs, &p.figure);
            }
        }
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
    // A cut that puts them together all the same says what speaks against it.
    let cuts = &d.topologies.as_ref().unwrap().proposals;
    let together: Vec<_> = cuts
        .iter()
        .filter(|cut| cut.deployables.len() == 1)
        .collect();
    assert!(!together.is_empty() && cuts.len() > together.len());
    for cut in cuts {
        let said = cut.objections.iter().any(|o| o.recommendation == keep.id);
        assert_eq!(said, cut.deployables.len() == 1, "{:?}", cut.steps);
    }
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

/// Short requests beside rare long ones that ask another service; schedulers, background work.
pub(super) fn long_beside_short() -> System {
    let mut s = System::new(60);
    s.root(
        "shop",
        "GET /short",
        200,
        [1_000_000, 0, 0, 20_000, 20_000, 0],
    );
    s.root(
        "shop",
        "POST /long",
        8,
        [30_000_000, 400_000, 0, 20_000, 20_000, 0],
    );
    let (from, to) = (("shop", "POST /long"), ("books", "GET /pages"));
    s.http(from, to, 8, 5, 160_000, 300_000);
    s.owner("shop", OwnerKind::Runtime, "scheduler", 6_000_000);
    s.owner("shop", OwnerKind::Background, "index", 9_000_000);
    s.process("shop").cores_milli = 1_000;
    s
}

/// The figures of a service and of what was taken out of it, as `simulate` says them.
fn apart(answer: &Answer, figure: &str, names: [&str; 2]) -> [Option<f64>; 2] {
    let said = &answer.document.recommendations[0];
    names.map(|name| named(said, &format!("{figure} of {name}")).after)
}

#[test]
fn a_split_predicts_what_simulate_answers() {
    let range = long_beside_short().range();
    let d = Document::build(&range, &Options::default());
    let split = get(&d, Kind::Split, &["POST /long"]);
    assert!(acts(split), "{}", split.verdict_reason);
    let change = "[[change]]\nkind = \"split\"\nservice = \"shop\"\noperations = [\"POST /long\"]";
    let names = ["shop", "shop-POST /long"];
    let now = asked(&range, change, 1.0);
    let [left, new] = apart(&now, "cores", names);
    let cores = named(split, "cores of shop");
    same(cores.after, left, "cores left");
    let before = named(&now.document.recommendations[0], "cores of shop").before;
    same(cores.before, before, "cores before");
    let both = named(split, "cores of shop and the new process together");
    same(
        both.after,
        Some(left.unwrap() + new.unwrap()),
        "cores of both",
    );
    assert!(both.after > both.before, "an agent more");
    let planned = asked(&range, change, 5.0);
    let [left, new] = apart(&planned, "processes", names);
    let processes = named(split, "processes at 5 times the load");
    same(
        processes.after,
        Some(left.unwrap() + new.unwrap()),
        "processes",
    );
    // The wait is M/G/1 of all that the cores do, which is more than the operations' rows.
    let wait = named(split, "mean wait for a core of the short requests of shop");
    assert!(wait.after.unwrap() < 0.3 * wait.before.unwrap(), "{wait:?}");
    assert!(all_the_same(split, &now, "latency") >= 3);
}

/// A hot operation that only reads what another one changes and tells of.
pub(super) fn hot_reader() -> System {
    let mut s = System::new(60);
    s.root(
        "shop",
        "GET /search",
        100,
        [4_000_000, 200_000, 0, 20_000, 20_000, 0],
    );
    s.root("shop", "PUT /p", 6, [500_000, 0, 0, 20_000, 20_000, 90_000]);
    let (from, to) = (("shop", "PUT /p"), ("mail", "CONSUME p"));
    s.message(from, to, 6, "p", 80_000, 60_000);
    s.uses("shop", "GET /search", "product", "read", 100);
    s.uses("shop", "PUT /p", "product", "write", 6);
    s.size("shop", "product", 900, 3 << 20);
    s.owner("shop", OwnerKind::Runtime, "scheduler", 6_000_000);
    s.process("shop").cores_milli = 1_000;
    s
}

#[test]
fn a_replica_predicts_what_simulate_answers() {
    let range = hot_reader().range();
    let d = Document::build(&range, &Options::default());
    let replica = get(&d, Kind::Replicate, &["GET /search"]);
    assert!(acts(replica), "{}", replica.verdict_reason);
    let change = "[[change]]\nkind = \"replicate\"\nservice = \"shop\"\noperations = [\"GET /search\"]\nreplicas = 1";
    let now = asked(&range, change, 1.0);
    let [left, new] = apart(&now, "cores", ["shop", "shop-GET /search"]);
    let without = named(replica, "cores of shop without GET /search");
    same(without.after, left, "cores left");
    let both = named(
        replica,
        "cores of shop and one replica of GET /search together",
    );
    same(
        both.after,
        Some(left.unwrap() + new.unwrap()),
        "cores of both",
    );
    same(
        replica.gain.value,
        now.document.recommendations[0].gain.value,
        "gain",
    );
    assert!(all_the_same(replica, &now, "latency") >= 3);
    // What gets worse is said: nobody knows yet how old a copy's data would be.
    assert!(
        replica
            .downsides
            .iter()
            .any(|d| d.contains("How old a change is")),
        "{:?}",
        replica.downsides
    );
}

/// One service alone asks for an operation of another, which has much else to do.
pub(super) fn asked_by_one() -> System {
    let mut s = pair();
    let cpu = [3_000_000, 10_000, 0, 10_000, 10_000, 0];
    s.root("back", "GET /other", 100, cpu);
    s
}

/// The operation sometimes asks what stays, inside its process.
#[test]
fn a_move_predicts_what_simulate_answers() {
    let mut s = asked_by_one();
    let (from, to) = (("back", "POST /b"), ("back", "GET /rules"));
    s.http(from, to, 60, 1, 0, 150_000).transport = "local";
    let range = s.range();
    let d = Document::build(&range, &Options::default());
    let moved = get(&d, Kind::Move, &["POST /b"]);
    assert!(acts(moved), "{}", moved.verdict_reason);
    let change = "[[change]]\nkind = \"move\"\nservice = \"back\"\noperations = [\"POST /b\"]\nto = \"front\"";
    let now = asked(&range, change, 1.0);
    let said = &now.document.recommendations[0];
    let cores = named(moved, "cores of back and front together");
    let both = ["cores of back", "cores of front"].map(|name| named(said, name));
    let sum = |of: fn(&Prediction) -> Option<f64>| both.iter().map(|p| of(p)).sum();
    same(cores.before, sum(|p| p.before), "cores before");
    same(cores.after, sum(|p| p.after), "cores after");
    same(moved.gain.value, said.gain.value, "gain");
    // The calls inside that become messages have a price: without them it saves more.
    let alone = Document::build(&asked_by_one().range(), &Options::default());
    let more = get(&alone, Kind::Move, &["POST /b"]).gain.value.unwrap();
    assert!(moved.gain.value.unwrap() < 0.8 * more, "{more}");
    // Messages, their bytes, and the CPU of a request of the origin.
    assert!(all_the_same(moved, &now, "latency") >= 4);
    let planned = asked(&range, change, 5.0);
    let said = &planned.document.recommendations[0];
    for what in ["processes", "memory"] {
        let mine = named(moved, &format!("{what} of both at 5 times the load"));
        let both = ["back", "front"].map(|name| named(said, &format!("{what} of {name}")));
        let sum = |of: fn(&Prediction) -> Option<f64>| both.iter().map(|p| of(p)).sum();
        same(mine.before, sum(|p| p.before), what);
        same(mine.after, sum(|p| p.after), what);
    }
}

/// A writer that outgrows its process; the keys of what it writes are spread, and few requests touch several.
#[test]
fn a_division_predicts_what_simulate_answers() {
    let mut s = System::new(60);
    let cpu = [2_000_000, 100_000, 0, 10_000, 10_000, 8_000_000];
    s.root("shop", "PUT /cart", 60, cpu);
    s.root("shop", "GET /page", 100, [300_000; 6]);
    s.uses("shop", "PUT /cart", "cart", "write", 60).keys = Some([90, 10, 0, 2]);
    let (from, to) = (("shop", "GET /page"), ("books", "GET /x"));
    s.http(from, to, 100, 2, 80_000, 60_000);
    s.owner("shop", OwnerKind::Background, "index", 9_000_000);
    s.process("shop").cores_milli = 2_000;
    let range = s.range();
    let d = Document::build(&range, &Options::default());
    let shard = get(&d, Kind::Shard, &["shop"]);
    assert!(acts(shard), "{}", shard.verdict_reason);
    // As many as it needs processes undivided.
    let shards = named(shard, "processes of shop at 5 times the load").before;
    let shards = shards.unwrap();
    assert!(shards > 1.0);
    let change = format!(
        "[[change]]\nkind = \"shard\"\nservice = \"shop\"\nentity = \"cart\"\nshards = {shards}"
    );
    let planned = asked(&range, &change, 5.0);
    let said = &planned.document.recommendations[0];
    for (mine, theirs) in [
        ("cores of shop", "cores of shop"),
        ("processes of shop", "processes of shop"),
        ("memory of shop", "memory of shop"),
        (
            "utilisation of the hottest process of shop",
            "utilisation of shop",
        ),
    ] {
        let mine = named(shard, &format!("{mine} at 5 times the load"));
        let theirs = named(said, theirs);
        same(mine.before, theirs.before, theirs.figure.as_str());
        same(mine.after, theirs.after, theirs.figure.as_str());
    }
    let cores = named(shard, "cores of shop at 5 times the load");
    assert!(
        cores.low < cores.after && cores.after < cores.high,
        "{cores:?}"
    );
    // At the load that it carries it is used to the planned utilisation, by the same model.
    let carried = named(
        shard,
        "load that shop carries at the planned utilisation, as a share of the load seen",
    );
    for (times, changes) in [
        (carried.before, "change = []"),
        (carried.after, change.as_str()),
    ] {
        let question = Question {
            changes: parse_changes(changes).unwrap(),
            load: times.unwrap(),
        };
        let answer = what_if(&range, &Options::default(), &question).unwrap();
        let used = named(&answer.document.recommendations[0], "utilisation of shop").after;
        let target = Options::default().target_utilisation;
        assert!(used.unwrap() <= target * (1.0 + 1e-9), "{used:?}");
        assert!(
            (used.unwrap() / target - 1.0).abs() < 1e-9,
            "{used:?} and {target}"
        );
    }
    assert!(all_the_same(shard, &asked(&range, &change, 1.0), "latency") >= 2);
    let judgement = shard.judgement.as_ref().unwrap();
    assert!(
        judgement.improves > 0.95 && judgement.cost_falls < 0.05,
        "{judgement:?}"
    );
}
