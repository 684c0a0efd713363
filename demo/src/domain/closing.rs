//! Closing a month: many rows in, a checked trial balance out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::money::Cents;
use super::{Answer, DomainError};

/// An entry as the closing reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) document: String,
    pub(crate) account: i64,
    pub(crate) cost_centre: i64,
    pub(crate) currency: String,
    pub(crate) amount: Cents,
    pub(crate) booked_day: i64,
}

/// One account at the end of a month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClosedAccount {
    pub(crate) account: i64,
    pub(crate) debit: Cents,
    pub(crate) credit: Cents,
    pub(crate) balance: Cents,
    pub(crate) entries: usize,
    /// Balance per cost centre.
    pub(crate) cost_centres: BTreeMap<i64, Cents>,
    /// Mean over the days of the month of the balance at the end of the day.
    pub(crate) mean_daily_balance: Cents,
}

/// A closed month of one branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Closing {
    pub(crate) month: String,
    pub(crate) branch: i64,
    pub(crate) accounts: Vec<ClosedAccount>,
    /// What converting currencies leaves over; booked so that the books balance.
    pub(crate) rounding: Cents,
    /// Documents that do not balance in their own currency. Never empty by accident: such a month stays open.
    pub(crate) unbalanced: Vec<String>,
}

/// Which books to close.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Which {
    pub(crate) branch: i64,
}

/// Closes months.
pub(crate) trait Closer: Send + Sync {
    /// Closes a month of a branch and keeps the result. Closing again gives the same.
    fn close(&self, month: String, which: Which) -> Answer<'_, Closing>;
}

/// Units of the books' currency for 10 000 units of another.
pub(crate) fn rate_per_10_000(currency: &str) -> Option<i64> {
    Some(match currency {
        "EUR" => 10_000,
        "USD" => 9_134,
        "CHF" => 10_671,
        "GBP" => 11_582,
        "PLN" => 2_341,
        _ => return None,
    })
}

/// Days that a month is reckoned with.
const DAYS: i64 = 30;

/// Works out a month: converts each entry, sums per account, cost centre and day, checks each document.
pub(crate) fn close(month: &str, branch: i64, entries: &[Entry]) -> Result<Closing, DomainError> {
    #[derive(Default)]
    struct Sums {
        debit: Cents,
        credit: Cents,
        entries: usize,
        cost_centres: BTreeMap<i64, Cents>,
        days: BTreeMap<i64, Cents>,
    }
    let mut accounts: BTreeMap<i64, Sums> = BTreeMap::new();
    let mut documents: BTreeMap<&str, Cents> = BTreeMap::new();
    for entry in entries {
        let rate = rate_per_10_000(&entry.currency).ok_or_else(|| {
            DomainError::Invalid(format!(
                "no rate for currency `{}`; add one before closing {month}",
                entry.currency
            ))
        })?;
        let amount = entry.amount.scaled(rate, 10_000);
        *documents.entry(&entry.document).or_default() += entry.amount;
        let sums = accounts.entry(entry.account).or_default();
        if amount > Cents::ZERO {
            sums.debit += amount;
        } else {
            sums.credit += amount;
        }
        sums.entries += 1;
        *sums.cost_centres.entry(entry.cost_centre).or_default() += amount;
        *sums
            .days
            .entry(entry.booked_day.clamp(1, DAYS))
            .or_default() += amount;
    }
    let accounts: Vec<ClosedAccount> = accounts
        .into_iter()
        .map(|(account, sums)| ClosedAccount {
            account,
            debit: sums.debit,
            credit: sums.credit,
            balance: sums.debit + sums.credit,
            entries: sums.entries,
            cost_centres: sums.cost_centres,
            mean_daily_balance: mean_daily_balance(&sums.days),
        })
        .collect();
    Ok(Closing {
        month: month.to_owned(),
        branch,
        rounding: -accounts.iter().map(|a| a.balance).sum::<Cents>(),
        accounts,
        unbalanced: documents
            .into_iter()
            .filter(|(_, sum)| *sum != Cents::ZERO)
            .map(|(document, _)| document.to_owned())
            .collect(),
    })
}

fn mean_daily_balance(days: &BTreeMap<i64, Cents>) -> Cents {
    let mut balance = Cents::ZERO;
    let mut sum = Cents::ZERO;
    for day in 1..=DAYS {
        balance += days.get(&day).copied().unwrap_or_default();
        sum += balance;
    }
    sum.scaled(1, DAYS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(document: &str, account: i64, amount: i64, currency: &str, day: i64) -> Entry {
        Entry {
            document: document.to_owned(),
            account,
            cost_centre: account % 7,
            currency: currency.to_owned(),
            amount: Cents(amount),
            booked_day: day,
        }
    }

    #[test]
    fn a_month_adds_up_by_account_and_the_rounding_closes_it() {
        let entries = [
            entry("d1", 1400, 10_000, "EUR", 1),
            entry("d1", 8400, -8_403, "EUR", 1),
            entry("d1", 1776, -1_597, "EUR", 1),
            entry("d2", 1400, 101, "USD", 16),
            entry("d2", 8400, -51, "USD", 16),
            entry("d2", 8400, -50, "USD", 16),
        ];
        let closing = close("2026-01", 3, &entries).expect("closed");
        let balances: Vec<(i64, i64)> = closing
            .accounts
            .iter()
            .map(|a| (a.account, a.balance.0))
            .collect();
        // 1.01 USD = 0.92; −0.51 USD = −0.47; −0.50 USD = −0.46 (half to even of −45.67 is −46).
        assert_eq!(balances, [(1400, 10_092), (1776, -1_597), (8400, -8_496)]);
        assert_eq!(closing.rounding, Cents(1));
        assert_eq!(
            closing.accounts.iter().map(|a| a.balance).sum::<Cents>() + closing.rounding,
            Cents::ZERO
        );
        assert!(closing.unbalanced.is_empty());
        // 100.00 over 30 days, 0.92 over the last 15: 100.46.
        assert_eq!(closing.accounts[0].mean_daily_balance, Cents(10_046));
    }

    #[test]
    fn a_document_that_does_not_balance_is_named() {
        let entries = [
            entry("good", 1, 5, "EUR", 1),
            entry("good", 2, -5, "EUR", 1),
            entry("bad", 1, 1, "CHF", 2),
        ];
        assert_eq!(
            close("2026-01", 1, &entries).expect("closed").unbalanced,
            ["bad"]
        );
    }

    #[test]
    fn an_unknown_currency_keeps_the_month_open() {
        let error = close("2026-02", 1, &[entry("d", 1, 5, "XXX", 1)]).expect_err("refused");
        assert!(
            error.to_string().contains("add one before closing 2026-02"),
            "{error}"
        );
    }
}
