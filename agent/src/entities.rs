//! Keys of entities that requests touch: how many, how many different ones, and how much goes to the busiest.
//!
//! A key itself goes nowhere. It is hashed with a secret, and what leaves the process are counts and, where the
//! secret is one that all instances of the deployment share, some of the hashes.

mod busiest;
mod hash;
mod touched;

use std::fmt::Display;
use std::sync::Arc;

pub(crate) use busiest::Busiest;
pub(crate) use hash::{KeyHash, KeySecret, set_secret};
pub(crate) use touched::{Distinct, Touched};

use crate::bill::Bill;
use crate::ledger::{EntityFigures, record_entity, record_key};
use weighbridge_wire::access;

/// Most entities of which one request's keys are counted; more are counted as lost.
pub const KEY_ENTITIES_MAX: usize = 16;
/// Hashes that a sketch of keys keeps: the number of different keys is told within 6 % (one standard error).
pub const KEY_SKETCH_HASHES: usize = 256;
/// Keys that are counted one by one to find the busiest.
pub const KEYS_COUNTED_MAX: usize = 16;
/// Fewest bytes of the secret with which keys are hashed.
pub const KEY_SECRET_BYTES_MIN: usize = 16;

/// Says that the current request touches a key of an entity: reads it, unless `write = true`.
///
/// ```
/// # let sku = "A1";
/// weighbridge_agent::entity!("product", key = sku);
/// weighbridge_agent::entity!("product", key = sku, write = true);
/// // The statements of a database count themselves; this adds the key.
/// weighbridge_agent::entity!("product", key = 17, write = true, database = "store");
/// ```
///
/// Without `database` the entity is one that no statement shows, such as a map in memory, and the touch counts as a
/// statement. With it only the key is counted, beside what the statements of that database tell.
///
/// The key is anything that can be displayed; two keys with the same text are the same key. It is hashed with the secret
/// of `WEIGHBRIDGE_KEY_SECRET` and never stored. Without a secret the requests that touched one key, two or more are
/// counted all the same, and so is the busiest key, but no sketch is sent: hashes that anyone can make would give the
/// keys away, and those of several instances would not fit together.
///
/// Keys are never read out of statements: their values are nobody's business.
#[macro_export]
macro_rules! entity {
    ($entity:literal, key = $key:expr $(,)?) => {
        $crate::touch_entity(::std::option::Option::None, $entity, false, &$key)
    };
    ($entity:literal, key = $key:expr, write = $write:expr $(,)?) => {
        $crate::touch_entity(::std::option::Option::None, $entity, $write, &$key)
    };
    ($entity:literal, key = $key:expr, database = $database:literal $(,)?) => {
        $crate::touch_entity(
            ::std::option::Option::Some($database),
            $entity,
            false,
            &$key,
        )
    };
    ($entity:literal, key = $key:expr, write = $write:expr, database = $database:literal $(,)?) => {
        $crate::touch_entity(
            ::std::option::Option::Some($database),
            $entity,
            $write,
            &$key,
        )
    };
}

/// What [`entity!`](crate::entity) does. Names are text of the code.
#[doc(hidden)]
pub fn touch_entity(
    database: Option<&'static str>,
    entity: &'static str,
    write: bool,
    key: &dyn Display,
) {
    if !crate::state::measuring() {
        return;
    }
    let access = if write { access::WRITE } else { access::READ };
    let bill = Bill::current_weighed();
    let (place, name): (Arc<str>, Arc<str>) = (database.unwrap_or("").into(), entity.into());
    if database.is_none() {
        let figures = EntityFigures {
            statements: 1,
            ..EntityFigures::default()
        };
        record_entity(bill.as_deref(), &place, &name, access, figures);
    }
    record_key(bill.as_deref(), &place, &name, access, hash::of(key));
}

#[cfg(test)]
mod tests;
