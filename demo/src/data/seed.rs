//! What the books hold before the demo begins: made from a seed, written without the agent.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rusqlite::{Connection, params};

use super::schema;
use crate::domain::ledger::account;
use crate::domain::money::Cents;
use crate::domain::product::{Product, TaxClass};
use crate::placement::{DatabaseName, Placement};

/// Months that were booked before the demo began; these are closed and exported.
pub(crate) const MONTHS: [&str; 2] = ["2026-03", "2026-04"];

const CATEGORIES: [&str; 8] = [
    "tools", "garden", "kitchen", "lighting", "paint", "fittings", "safety", "office",
];
const BRANDS: [&str; 12] = [
    "Arvo", "Belmar", "Corvid", "Dunlin", "Ebro", "Falke", "Gannet", "Heron", "Ibis", "Juno",
    "Kestrel", "Lapwing",
];
const MATERIALS: [&str; 10] = [
    "steel",
    "oak",
    "beech",
    "copper",
    "brass",
    "nylon",
    "ceramic",
    "glass",
    "rubber",
    "aluminium",
];
const NOUNS: [&str; 14] = [
    "hammer", "lamp", "shelf", "bracket", "valve", "brush", "ladder", "helmet", "drawer", "kettle",
    "hinge", "trowel", "socket", "clamp",
];
const QUALITIES: [&str; 16] = [
    "durable",
    "light",
    "compact",
    "heavy",
    "coated",
    "polished",
    "folding",
    "adjustable",
    "insulated",
    "weatherproof",
    "balanced",
    "quiet",
    "modular",
    "slim",
    "reinforced",
    "portable",
];
const CURRENCIES: [&str; 5] = ["EUR", "USD", "CHF", "GBP", "PLN"];

/// How much there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) products: i64,
    pub(crate) branches: i64,
    /// Documents per branch and month, with three entries each.
    pub(crate) documents: i64,
}

impl Size {
    /// What the demo runs on.
    pub(crate) const DEMO: Self = Self {
        products: 500,
        branches: 3,
        documents: 4_000,
    };
}

/// The stock-keeping unit of a product.
pub(crate) fn sku(product: i64) -> String {
    format!("WB-{product:06}")
}

fn pick<'a>(words: &[&'a str], rng: &mut StdRng) -> &'a str {
    words[rng.random_range(0..words.len())]
}

/// A description as a catalogue has it: a few sentences.
pub(crate) fn description(rng: &mut StdRng) -> String {
    let mut text = String::new();
    for _ in 0..4 {
        text.push_str(&format!(
            "{} {} {} of {} for {} and {}. ",
            capitalised(pick(&QUALITIES, rng)),
            pick(&QUALITIES, rng),
            pick(&NOUNS, rng),
            pick(&MATERIALS, rng),
            pick(&CATEGORIES, rng),
            pick(&CATEGORIES, rng),
        ));
    }
    text.truncate(text.trim_end().len());
    text
}

/// Words that somebody looks for.
pub(crate) fn search_words(rng: &mut StdRng) -> Vec<String> {
    vec![
        pick(&MATERIALS, rng).to_owned(),
        pick(&NOUNS, rng).to_owned(),
    ]
}

fn capitalised(word: &str) -> String {
    let mut chars = word.chars();
    chars
        .next()
        .map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

/// The product with this number.
fn product(id: i64, rng: &mut StdRng) -> Product {
    let (material, noun) = (pick(&MATERIALS, rng), pick(&NOUNS, rng));
    let brand = pick(&BRANDS, rng);
    let price = rng.random_range(200..60_000);
    let attributes: BTreeMap<String, String> = [
        ("material", material.to_owned()),
        ("finish", pick(&QUALITIES, rng).to_owned()),
        ("length_mm", rng.random_range(20..2_000).to_string()),
        ("width_mm", rng.random_range(20..900).to_string()),
        ("height_mm", rng.random_range(5..900).to_string()),
        ("country", "EU".to_owned()),
        ("warranty_months", (rng.random_range(1..6) * 12).to_string()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect();
    Product {
        id,
        sku: sku(id),
        name: format!("{brand} {} {noun} {id}", capitalised(material)),
        description: description(rng),
        category: pick(&CATEGORIES, rng).to_owned(),
        brand: brand.to_owned(),
        price: Cents(price),
        cost: Cents(price).scaled(rng.random_range(40..80), 100),
        tax_class: [
            TaxClass::Standard,
            TaxClass::Standard,
            TaxClass::Reduced,
            TaxClass::Exempt,
        ][rng.random_range(0..4)],
        weight_g: rng.random_range(10..20_000),
        attributes,
        revision: 1,
    }
}

/// Makes the three databases in a directory.
pub(crate) fn write(directory: &Path, seed: u64, size: Size) -> anyhow::Result<()> {
    let mut rng = StdRng::seed_from_u64(seed);
    let products: Vec<Product> = (1..=size.products)
        .map(|id| product(id, &mut rng))
        .collect();
    for name in DatabaseName::ALL {
        let path = schema::path(directory, name);
        let mut connection = Connection::open(&path)
            .with_context(|| format!("making {}; choose another --out", path.display()))?;
        connection.execute_batch(schema::PRAGMAS)?;
        connection.execute_batch(schema::of(name))?;
        let transaction = connection.transaction()?;
        match name {
            DatabaseName::Store => write_store(&transaction, &products)?,
            DatabaseName::Warehouse => write_warehouse(&transaction, &products, &mut rng)?,
            DatabaseName::Accounting => write_accounting(&transaction, &products, size, &mut rng)?,
        }
        transaction.commit()?;
    }
    Ok(())
}

/// Gives each process that divides its data databases of its own. All begin with every product: products stand in
/// all of them, orders in one.
pub(crate) fn divide(directory: &Path, placement: &Placement) -> anyhow::Result<()> {
    for process in placement.processes.iter().filter(|p| p.is_divided()) {
        for component in &process.components {
            let whole = schema::path(directory, component.database());
            for shard in 1..=process.replicas {
                let part = schema::shard_path(directory, component.database(), Some(shard));
                std::fs::copy(&whole, &part)
                    .with_context(|| format!("making {}; choose another --out", part.display()))?;
            }
        }
    }
    Ok(())
}

fn write_store(to: &Connection, products: &[Product]) -> anyhow::Result<()> {
    let mut insert = to.prepare(schema::INSERT_STORE_PRODUCT)?;
    for p in products {
        insert.execute(params![
            p.id,
            p.sku,
            p.name,
            p.description,
            p.category,
            p.brand,
            p.price.0,
            p.cost.0,
            p.tax_class.as_str(),
            p.weight_g,
            serde_json::to_string(&p.attributes)?,
            p.revision,
        ])?;
    }
    Ok(())
}

fn write_warehouse(to: &Connection, products: &[Product], rng: &mut StdRng) -> anyhow::Result<()> {
    let mut copy = to.prepare(schema::INSERT_WAREHOUSE_PRODUCT)?;
    let mut stock = to.prepare(schema::INSERT_STOCK)?;
    for p in products {
        copy.execute(params![p.sku, p.id, p.name, p.weight_g, p.revision])?;
        let bin = format!(
            "{}{:02}",
            ['A', 'B', 'C', 'D'][rng.random_range(0..4)],
            p.id % 100
        );
        // One product in fifty is short, so that back orders happen.
        let on_hand = if p.id % 50 == 0 { 20 } else { 1_000_000 };
        stock.execute(params![p.sku, on_hand, bin])?;
    }
    Ok(())
}

fn write_accounting(
    to: &Connection,
    products: &[Product],
    size: Size,
    rng: &mut StdRng,
) -> anyhow::Result<()> {
    let mut copy = to.prepare(schema::INSERT_ACCOUNTING_PRODUCT)?;
    for p in products {
        copy.execute(params![
            p.id,
            p.name,
            p.category,
            p.tax_class.as_str(),
            p.cost.0,
            p.revision
        ])?;
    }
    let mut insert = to.prepare(schema::INSERT_ENTRY)?;
    let mut balances: BTreeMap<(i64, i64, &str), (i64, i64)> = BTreeMap::new();
    for month in MONTHS {
        for branch in 1..=size.branches {
            for number in 0..size.documents {
                let document = format!("{month}-{branch}-{number}");
                let product = rng.random_range(1..=size.products);
                let currency = CURRENCIES[rng.random_range(0..CURRENCIES.len())];
                let net = Cents(rng.random_range(500..90_000));
                let tax = net.basis_points(TaxClass::Standard.rate_basis_points());
                let day: i64 = rng.random_range(1..=30);
                for (account, amount) in [
                    (account::RECEIVABLES, net + tax),
                    (account::REVENUE, -net),
                    (account::TAX_STANDARD, -tax),
                ] {
                    insert.execute(params![
                        document,
                        month,
                        branch,
                        account,
                        number % 9,
                        currency,
                        amount.0,
                        day,
                        product
                    ])?;
                    let sums = balances.entry((account, branch, month)).or_default();
                    *sums = (sums.0 + amount.0, sums.1 + 1);
                }
            }
        }
    }
    let mut insert = to.prepare(schema::INSERT_BALANCE)?;
    for ((account, branch, month), (amount, entries)) in balances {
        insert.execute(params![account, branch, month, amount, entries])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Size = Size {
        products: 60,
        branches: 2,
        documents: 10,
    };

    fn sum_of(directory: &Path, name: DatabaseName, sql: &str) -> i64 {
        let connection = Connection::open(schema::path(directory, name)).expect("opens");
        connection
            .query_row(sql, [], |row| row.get(0))
            .expect("answers")
    }

    #[test]
    fn all_three_keep_every_product_and_the_books_balance() {
        let directory = tempfile::tempdir().expect("a directory");
        write(directory.path(), 1, SMALL).expect("written");
        for name in DatabaseName::ALL {
            let products = sum_of(directory.path(), name, "SELECT count(*) FROM product");
            assert_eq!(products, SMALL.products, "{}", name.as_str());
        }
        let accounting = DatabaseName::Accounting;
        assert_eq!(
            sum_of(
                directory.path(),
                accounting,
                "SELECT sum(amount) FROM entry"
            ),
            0
        );
        assert_eq!(
            sum_of(
                directory.path(),
                accounting,
                "SELECT sum(amount) FROM balance"
            ),
            0
        );
        assert_eq!(
            sum_of(directory.path(), accounting, "SELECT count(*) FROM entry"),
            SMALL.branches * SMALL.documents * 3 * MONTHS.len() as i64
        );
    }

    #[test]
    fn one_seed_gives_one_catalogue() {
        let make = |seed| product(5, &mut StdRng::seed_from_u64(seed));
        assert_eq!(make(1), make(1));
        assert_ne!(make(1), make(2));
    }
}
