//! Encode, decode and merge of a delta of 200 rows: what an agent does once a window, and what a collector
//! does once a window and producer.
#![allow(missing_docs, reason = "the macro makes an undocumented function")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use weighbridge_benches::delta;
use weighbridge_wire::Delta;

fn wire(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("delta of 200 rows");
    let one = delta(200, 1);
    let other = delta(200, 2);
    let bytes = one.encode();
    group.bench_function("encode", |bencher| {
        bencher.iter(|| black_box(&one).encode());
    });
    group.bench_function("decode", |bencher| {
        bencher.iter(|| Delta::decode(black_box(&bytes)));
    });
    group.bench_function("merge into an equal key set", |bencher| {
        bencher.iter_batched_ref(
            || one.rows.clone(),
            |rows| rows.merge(black_box(&other.rows)),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, wire);
criterion_main!(benches);
