use proptest::prelude::*;
use weighbridge_wire::Histogram;

use super::*;

proptest! {
    #[test]
    fn keys_merge_to_the_same_however_they_were_spread(
        touches in prop::collection::vec((0u64..400, 0usize..3, any::<bool>()), 0..600),
    ) {
        // Spread as hashes are: SplitMix64's step.
        let key = |n: u64, shared| KeyHash { hash: n.wrapping_mul(0x9e37_79b9_7f4a_7c15), shared };
        let touch = |cell: &mut KeyCell, n, shared| {
            let key = key(n, shared);
            cell.busiest.touch(key.hash);
            if key.shared {
                cell.sketch().insert(key.hash);
            }
            cell.requests[usize::from(n > 200)] += 1;
        };
        let mut whole = KeyCell::default();
        let mut parts = [KeyCell::default(), KeyCell::default(), KeyCell::default()];
        for &(n, part, shared) in &touches {
            touch(&mut whole, n, shared);
            touch(&mut parts[part], n, shared);
        }
        let merged = |order: [usize; 3]| {
            let mut sum = KeyCell::default();
            order.iter().for_each(|&n| sum.absorb(&parts[n]));
            sum
        };
        for sum in [merged([0, 1, 2]), merged([2, 0, 1])] {
            prop_assert_eq!(&sum.sketch, &whole.sketch);
            prop_assert_eq!(sum.requests, whole.requests);
            prop_assert_eq!(sum.busiest.touches(), whole.busiest.touches());
        }
    }
}

/// Packed and unpacked. The callers name every field, so that a new one cannot be forgotten.
fn again<T: Figures + std::fmt::Debug>(mut cell: T) {
    let before = format!("{cell:?}");
    let mut packed = Packed::default();
    packed.push(7, &mut cell);
    assert_eq!(format!("{:?}", packed.get(7).unwrap()), before);
}

#[test]
fn no_figure_is_lost_by_packing() {
    let mut histogram = Histogram::new();
    for value in [3, 900, 70_000] {
        histogram.record(value);
    }
    let cost = Cost {
        cpu_ns: [1, -2, 3, -4, 5, -6],
        alloc_bytes: 7,
        alloc_count: 8,
        freed_bytes: 9,
    };
    again(OperationCell {
        cost,
        started: 10,
        ended: 11,
        errors: 12,
        client_errors: 13,
        wall_ns: 14,
        wait_call_ns: 15,
        wait_store_ns: 16,
        late_cpu_ns: 17,
        peak_live_bytes: 18,
        peak_live_sum_bytes: 19,
        instants_ns: -20,
        http2_weight: 21,
        shared: Some(Box::new(SharedCell {
            cost,
            late_cpu_ns: 22,
        })),
    });
    let mut distribution = DistributionCell::default();
    distribution.request_cpu = histogram.clone();
    distribution.shared_request_cpu = histogram.clone();
    distribution.root_wall = histogram;
    again(distribution);
    let size = |direction, class| SizeCell {
        direction,
        class,
        messages: 1,
        body_bytes: 2,
        encode_ns: Some(3),
        decode_ns: None,
        protocol_ns: Some(-4),
        io_ns: Some(0),
    };
    again(EdgeCell {
        request_messages: 1,
        request_body_bytes: 2,
        request_wire_bytes: Some(3),
        response_messages: 4,
        response_body_bytes: 5,
        response_wire_bytes: Some(6),
        encode_ns: Some(7),
        decode_ns: None,
        protocol_ns: Some(8),
        io_ns: Some(-9),
        wait_ns: Some(10),
        wall_ns: Some(16),
        critical_ns: Some(17),
        errors: 11,
        retries: 12,
        redelivered: 13,
        redelivered_bytes: 18,
        sizes: vec![size(Direction::Response, 11), size(Direction::Request, 0)],
        http2_weight: 14,
    });
    again(Arrivals(vec![(1, 2), (u32::MAX, -3)]));
}

#[test]
fn a_share_is_the_same_by_the_short_way_and_the_long() {
    assert_eq!(share_of(1_000, 300, 400), 750);
    assert_eq!(share_of(-1_000, 1, 3), -333);
    assert_eq!(share_of(i64::MAX, u64::MAX, u64::MAX), i64::MAX);
    assert_eq!(share_of(i64::MIN + 1, 5, 10), i64::MIN / 2 + 1);
}

#[test]
fn shares_add_up_to_the_whole() {
    for ns in [1_000, -7, 0, 1] {
        let weights = [200, 333, 200, 1];
        let mut rest = Rest(Some(ns), weights.iter().sum());
        let shares = weights.map(|weight| rest.take(weight).unwrap());
        assert_eq!(shares.iter().sum::<i64>(), ns, "{shares:?}");
        assert!(shares.iter().all(|share| share.signum() * ns.signum() >= 0));
    }
    assert_eq!(Rest(None, 5).take(5), None);
}
