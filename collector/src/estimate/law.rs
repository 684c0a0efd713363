//! The service demand law: D = U ÷ X. What a station was busy is shared out over the classes by R × X, the time that
//! their requests spent there together; it assumes that the time of a request is in proportion to its demand.

/// Shares an amount out by weights, to the last unit. Evenly where there is no weight.
pub(super) fn shares(amount: i64, weights: &[i64]) -> Vec<i64> {
    let sum: i128 = weights
        .iter()
        .map(|weight| i128::from((*weight).max(0)))
        .sum();
    let count = i128::try_from(weights.len()).unwrap_or(1).max(1);
    let mut before: i128 = 0;
    let mut given: i128 = 0;
    weights
        .iter()
        .map(|weight| {
            // Up to here, less what was given: no rounding is lost.
            before += if sum == 0 {
                1
            } else {
                i128::from((*weight).max(0))
            };
            let of = if sum == 0 { count } else { sum };
            let due = i128::from(amount) * before / of;
            let share = due - given;
            given = due;
            i64::try_from(share).unwrap_or(i64::MAX)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::shares;

    #[test]
    fn by_weight_or_evenly() {
        assert_eq!(shares(100, &[1, 3]), [25, 75]);
        assert_eq!(shares(100, &[0, 0, 0, 0]), [25; 4]);
        assert_eq!(shares(7, &[]), [0; 0]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost(amount in 0..1i64 << 60, weights in proptest::collection::vec(0..1i64 << 50, 1..20)) {
            let shares = shares(amount, &weights);
            prop_assert_eq!(shares.iter().sum::<i64>(), amount);
            prop_assert!(shares.iter().all(|share| *share >= 0));
        }
    }
}
