//! Double-entry books.

use serde::{Deserialize, Serialize};

use super::Answer;
use super::money::Cents;
use super::orders::Order;
use super::product::TaxClass;

/// Accounts of the books, by number.
pub(crate) mod account {
    pub(crate) const INVENTORY: i64 = 1140;
    pub(crate) const RECEIVABLES: i64 = 1400;
    pub(crate) const TAX_REDUCED: i64 = 1771;
    pub(crate) const TAX_STANDARD: i64 = 1776;
    pub(crate) const COST_OF_GOODS: i64 = 5000;
    pub(crate) const REVENUE: i64 = 8400;
    pub(crate) const ALL: [i64; 6] = [
        INVENTORY,
        RECEIVABLES,
        TAX_REDUCED,
        TAX_STANDARD,
        COST_OF_GOODS,
        REVENUE,
    ];
}

/// The month that live orders are booked to. The months before it were booked before the demo began.
pub(crate) const LIVE_MONTH: &str = "2026-05";

/// One entry: debit positive, credit negative.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Posting {
    pub(crate) account: i64,
    pub(crate) product_id: Option<i64>,
    pub(crate) amount: Cents,
}

/// The entries of an order: the receivable against revenue and taxes, and goods out against inventory.
/// `unit_cost` gives what a product cost us; without it the goods side is left out.
pub(crate) fn postings(order: &Order, unit_cost: impl Fn(i64) -> Option<Cents>) -> Vec<Posting> {
    let mut postings = Vec::with_capacity(order.lines.len() * 4 + 1);
    for line in &order.lines {
        postings.push(Posting {
            account: account::REVENUE,
            product_id: Some(line.product_id),
            amount: -line.net,
        });
        let tax_account = match line.tax_class {
            TaxClass::Standard => Some(account::TAX_STANDARD),
            TaxClass::Reduced => Some(account::TAX_REDUCED),
            TaxClass::Exempt => None,
        };
        if let Some(account) = tax_account {
            postings.push(Posting {
                account,
                product_id: None,
                amount: -line.tax,
            });
        }
        if let Some(cost) = unit_cost(line.product_id) {
            let cost = cost.times(line.quantity);
            for (account, amount) in [(account::COST_OF_GOODS, cost), (account::INVENTORY, -cost)] {
                postings.push(Posting {
                    account,
                    product_id: Some(line.product_id),
                    amount,
                });
            }
        }
    }
    postings.push(Posting {
        account: account::RECEIVABLES,
        product_id: None,
        amount: order.gross,
    });
    postings
}

/// The balance of one account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Balance {
    pub(crate) account: i64,
    pub(crate) balance: Cents,
    pub(crate) entries: i64,
}

/// Keeps the books.
pub(crate) trait Ledger: Send + Sync {
    /// Books an order. True when it was new; the second delivery of a message changes nothing.
    fn book(&self, order: Order) -> Answer<'_, bool>;
    /// The balance of one account over all branches and months.
    fn balance(&self, account: i64) -> Answer<'_, Balance>;
}

#[cfg(test)]
mod tests {
    use super::super::orders::{NewLine, PricedLine};
    use super::super::pricing::{Priceable, price_lines};
    use super::*;

    fn order(lines: Vec<PricedLine>) -> Order {
        let net = lines.iter().map(|l| l.net).sum();
        let tax = lines.iter().map(|l| l.tax).sum();
        Order {
            order_ref: "o-1".to_owned(),
            customer: 1,
            branch: 1,
            lines,
            net,
            tax,
            gross: net + tax,
            backordered: 0,
            weight_g: 0,
        }
    }

    #[test]
    fn every_order_balances_to_zero_with_and_without_known_costs() {
        let classes = [TaxClass::Standard, TaxClass::Reduced, TaxClass::Exempt];
        let products: Vec<Priceable> = (1..=9)
            .map(|id| Priceable {
                id,
                sku: format!("SKU-{id}"),
                category: "tools".to_owned(),
                price: Cents(id * 317 + 1),
                tax_class: classes[(id % 3) as usize],
                weight_g: 1,
            })
            .collect();
        let lines: Vec<NewLine> = (1..=9)
            .map(|id| NewLine {
                product_id: id,
                quantity: id * 7,
            })
            .collect();
        let order = order(price_lines(&lines, &products, Some("WELCOME5")).expect("priced"));
        for cost in [None, Some(Cents(123))] {
            let postings = postings(&order, |id| cost.filter(|_| id % 2 == 0));
            let sum: Cents = postings.iter().map(|p| p.amount).sum();
            assert_eq!(sum, Cents::ZERO);
        }
    }

    #[test]
    fn a_known_cost_adds_both_sides_of_the_goods() {
        let line = PricedLine {
            product_id: 4,
            sku: "SKU-4".to_owned(),
            category: "tools".to_owned(),
            tax_class: TaxClass::Exempt,
            quantity: 3,
            weight_g: 300,
            net: Cents(900),
            tax: Cents::ZERO,
        };
        let postings = postings(&order(vec![line]), |_| Some(Cents(200)));
        let of = |account| {
            postings
                .iter()
                .filter(|p| p.account == account)
                .map(|p| p.amount)
                .sum::<Cents>()
        };
        assert_eq!(of(account::COST_OF_GOODS), Cents(600));
        assert_eq!(of(account::INVENTORY), Cents(-600));
        assert_eq!(of(account::RECEIVABLES), Cents(900));
        assert_eq!(of(account::REVENUE), Cents(-900));
    }
}
