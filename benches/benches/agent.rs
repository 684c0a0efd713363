//! What a crossing of accounts costs: `encode` around nothing is two of them, into class `encode` and back.
//! Before `init` the agent is inert; after it each crossing reads the thread's clock once.
#![allow(missing_docs, reason = "the macro makes an undocumented function")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use weighbridge_agent::{Delivery, Sink};

/// A sink that keeps nothing.
struct Forget;

impl Sink for Forget {
    fn deliver(&self, _delta: &[u8]) -> Delivery {
        Delivery::Accepted
    }
}

#[global_allocator]
static ALLOC: weighbridge_agent::Alloc = weighbridge_agent::Alloc::system();

fn two_crossings(criterion: &mut Criterion, name: &str) {
    criterion.bench_function(name, |bencher| {
        bencher.iter(|| weighbridge_agent::encode(|| black_box(1)));
    });
}

fn allocation(criterion: &mut Criterion, name: &str) {
    criterion.bench_function(name, |bencher| {
        bencher.iter(|| black_box(Box::new(black_box([0_u8; 64]))));
    });
}

fn agent(criterion: &mut Criterion) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else {
        return;
    };
    two_crossings(criterion, "two crossings, agent inert");
    allocation(criterion, "one allocation, agent inert");
    let guard = weighbridge_agent::builder()
        .service("bench")
        .sink(Arc::new(Forget))
        .init();
    // Inside a request: encoding that belongs to no message crosses nothing.
    runtime.block_on(weighbridge_agent::job("bench", async {
        two_crossings(criterion, "two crossings, agent on");
        allocation(criterion, "one allocation, agent on");
    }));
    drop(guard);
}

criterion_group!(benches, agent);
criterion_main!(benches);
