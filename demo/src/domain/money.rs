//! Amounts in cents, and the only roundings that the books know.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub};

use serde::{Deserialize, Serialize};

/// An amount in cents. Signed: credits are negative.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub(crate) struct Cents(pub(crate) i64);

impl Cents {
    pub(crate) const ZERO: Self = Self(0);

    /// The amount times `numerator / denominator`, half to even: the only rounding without a bias, so that
    /// thousands of lines do not add up to a difference.
    ///
    /// A denominator of zero or less gives zero; there is no rate like that.
    pub(crate) fn scaled(self, numerator: i64, denominator: i64) -> Self {
        if denominator <= 0 {
            return Self::ZERO;
        }
        let product = i128::from(self.0) * i128::from(numerator);
        let denominator = i128::from(denominator);
        let floor = product.div_euclid(denominator);
        let twice_rest = product.rem_euclid(denominator) * 2;
        let up = match twice_rest.cmp(&denominator) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Greater => 1,
            std::cmp::Ordering::Equal => floor.rem_euclid(2),
        };
        Self(i64::try_from(floor + up).unwrap_or(i64::MAX))
    }

    /// The part given in hundredths of a percent.
    pub(crate) fn basis_points(self, rate: i64) -> Self {
        self.scaled(rate, 10_000)
    }

    /// The amount times a quantity.
    pub(crate) fn times(self, quantity: i64) -> Self {
        Self(self.0.saturating_mul(quantity))
    }
}

impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let cents = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:02}", cents / 100, cents % 100)
    }
}

impl Add for Cents {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Cents {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Cents {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Neg for Cents {
    type Output = Self;
    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

impl Sum for Cents {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_go_to_the_even_cent_on_both_sides_of_zero() {
        assert_eq!(Cents(25).scaled(1, 10), Cents(2));
        assert_eq!(Cents(35).scaled(1, 10), Cents(4));
        assert_eq!(Cents(-25).scaled(1, 10), Cents(-2));
        assert_eq!(Cents(-35).scaled(1, 10), Cents(-4));
        assert_eq!(Cents(26).scaled(1, 10), Cents(3));
        assert_eq!(Cents(-26).scaled(1, 10), Cents(-3));
    }

    #[test]
    fn nineteen_percent_of_a_price() {
        assert_eq!(Cents(1_999).basis_points(1_900), Cents(380));
    }

    #[test]
    fn amounts_print_with_two_decimals() {
        assert_eq!(Cents(-5).to_string(), "-0.05");
        assert_eq!(Cents(123_456).to_string(), "1234.56");
    }
}
