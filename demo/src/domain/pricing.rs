//! Prices of an order: scale discounts, coupons, taxes.

use super::DomainError;
use super::money::Cents;
use super::orders::{NewLine, PricedLine};
use super::product::TaxClass;

/// Most lines in one order.
pub(crate) const LINES_MAX: usize = 100;
/// Most pieces in one line.
const QUANTITY_MAX: i64 = 10_000;

/// What pricing needs of a product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Priceable {
    pub(crate) id: i64,
    pub(crate) sku: String,
    pub(crate) category: String,
    pub(crate) price: Cents,
    pub(crate) tax_class: TaxClass,
    pub(crate) weight_g: i64,
}

/// What is taken off for buying many, in hundredths of a percent.
fn scale_discount(quantity: i64) -> i64 {
    match quantity {
        ..10 => 0,
        10..25 => 300,
        25..100 => 750,
        _ => 1_250,
    }
}

/// What a coupon takes off, in hundredths of a percent. An unknown one takes nothing.
pub(crate) fn coupon_discount(coupon: Option<&str>) -> i64 {
    match coupon {
        Some("WELCOME5") => 500,
        Some("SPRING10") => 1_000,
        _ => 0,
    }
}

/// Prices the lines of an order. Tax is taken per line from the discounted net, as invoices must show it.
pub(crate) fn price_lines(
    lines: &[NewLine],
    products: &[Priceable],
    coupon: Option<&str>,
) -> Result<Vec<PricedLine>, DomainError> {
    if lines.is_empty() || lines.len() > LINES_MAX {
        return Err(DomainError::Invalid(format!(
            "an order has 1 to {LINES_MAX} lines, this one has {}",
            lines.len()
        )));
    }
    let coupon = coupon_discount(coupon);
    lines
        .iter()
        .map(|line| {
            if !(1..=QUANTITY_MAX).contains(&line.quantity) {
                return Err(DomainError::Invalid(format!(
                    "quantity {} is not within 1 to {QUANTITY_MAX}; correct the line",
                    line.quantity
                )));
            }
            let product = products
                .iter()
                .find(|p| p.id == line.product_id)
                .ok_or_else(|| DomainError::NotFound {
                    what: "product",
                    id: line.product_id.to_string(),
                })?;
            let list = product.price.times(line.quantity);
            let scaled = list - list.basis_points(scale_discount(line.quantity));
            let net = scaled - scaled.basis_points(coupon);
            Ok(PricedLine {
                product_id: product.id,
                sku: product.sku.clone(),
                category: product.category.clone(),
                tax_class: product.tax_class,
                quantity: line.quantity,
                weight_g: product.weight_g * line.quantity,
                net,
                tax: net.basis_points(product.tax_class.rate_basis_points()),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(id: i64, price: i64, tax_class: TaxClass) -> Priceable {
        Priceable {
            id,
            sku: format!("SKU-{id}"),
            category: "tools".to_owned(),
            price: Cents(price),
            tax_class,
            weight_g: 100,
        }
    }

    fn line(product_id: i64, quantity: i64) -> NewLine {
        NewLine {
            product_id,
            quantity,
        }
    }

    #[test]
    fn discounts_come_off_before_tax() {
        let products = [
            product(1, 1_000, TaxClass::Standard),
            product(2, 333, TaxClass::Reduced),
        ];
        let lines =
            price_lines(&[line(1, 10), line(2, 3)], &products, Some("SPRING10")).expect("priced");
        // 10 × 10.00 − 3 % − 10 % = 87.30; 19 % of it = 16.587 → 16.59.
        assert_eq!((lines[0].net, lines[0].tax), (Cents(8_730), Cents(1_659)));
        // 9.99 − 10 % (0.999 → 1.00) = 8.99; 7 % = 0.6293 → 0.63.
        assert_eq!((lines[1].net, lines[1].tax), (Cents(899), Cents(63)));
    }

    #[test]
    fn bad_orders_are_refused_with_what_to_do() {
        let products = [product(1, 1_000, TaxClass::Exempt)];
        for (lines, says) in [
            (vec![], "1 to 100 lines"),
            (vec![line(1, 0)], "correct the line"),
            (vec![line(1, 1), line(7, 1)], "no product `7`"),
        ] {
            let error = price_lines(&lines, &products, None)
                .expect_err("refused")
                .to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn an_exempt_product_carries_no_tax_and_an_unknown_coupon_takes_nothing() {
        let products = [product(1, 1_000, TaxClass::Exempt)];
        let lines = price_lines(&[line(1, 1)], &products, Some("NOPE")).expect("priced");
        assert_eq!((lines[0].net, lines[0].tax), (Cents(1_000), Cents::ZERO));
    }
}
