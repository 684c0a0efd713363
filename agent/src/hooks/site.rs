//! Owners named by the place where a task was spawned.

use std::collections::{HashMap, HashSet};
use std::panic::Location;
use std::sync::{LazyLock, RwLock};

use weighbridge_wire::{OTHER, OwnerKind};

use crate::account::{OwnerRef, is_runtime, owner};
use crate::ledger::limits::SPAWN_SITES_MAX;
use crate::ledger::{OwnerId, loss};
use crate::sync::{read, write};

/// A call in the code, by the addresses that the compiler gave to its file's name, line and column.
pub(super) type Key = (usize, u32, u32);

/// As many as there are calls of spawn in the program; the bound is for generated code.
pub(super) const SITES_CACHED_MAX: usize = 4_096;

#[derive(Default)]
struct Sites {
    owners: HashMap<Key, OwnerId>,
    /// Owners that were named by their place.
    named: HashSet<OwnerId>,
}

static SITES: LazyLock<RwLock<Sites>> = LazyLock::new(RwLock::default);

pub(super) fn key(location: &'static Location<'static>) -> Key {
    let file = location.file();
    (file.as_ptr() as usize, location.line(), location.column())
}

/// The owner of a task that nobody else claims: `background` under the place where it was spawned.
pub(crate) fn spawned_owner(location: &'static Location<'static>) -> OwnerRef {
    owner_among(&SITES, location, SPAWN_SITES_MAX)
}

/// The same among these places, of which at most `max` have a name.
fn owner_among(
    sites: &RwLock<Sites>,
    location: &'static Location<'static>,
    max: usize,
) -> OwnerRef {
    if let Some(id) = read(sites).owners.get(&key(location)) {
        return OwnerRef::Named(*id);
    }
    let full = read(sites).named.len() >= max;
    let name = if full {
        loss("agent.spawn_sites", "table full", 1);
        OTHER.to_owned()
    } else {
        format!("{}:{}", shown(location.file()), location.line())
    };
    let owner = owner(OwnerKind::Background, &name);
    if let OwnerRef::Named(id) = owner {
        let mut sites = write(sites);
        sites.named.insert(id);
        if sites.owners.len() < SITES_CACHED_MAX {
            sites.owners.insert(key(location), id);
        }
    }
    owner
}

/// True when what this owner spawns is not its own: nobody declared it, or it is the program's root.
pub(crate) fn is_anonymous(named: &OwnerRef) -> bool {
    let OwnerRef::Named(id) = named else {
        return false;
    };
    is_runtime(named)
        || named.same(&crate::runtime::root_owner())
        || read(&SITES).named.contains(id)
}

/// A file's path as it is shown: within its crate's folder where it comes from a registry.
pub(super) fn shown(file: &str) -> String {
    let path = file.replace('\\', "/");
    let after = |marker: &str, folders: usize| {
        let (_, rest) = path.split_once(marker)?;
        rest.splitn(folders + 1, '/')
            .nth(folders)
            .map(str::to_owned)
    };
    after("/registry/src/", 1)
        .or_else(|| after("/git/checkouts/", 0))
        .or_else(|| after("/rustc/", 1))
        .unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use weighbridge_wire::Class;

    use super::*;
    use crate::account::{Account, enter};
    use crate::testing::{Books, burn, on_thread};

    #[test]
    fn places_beyond_the_limit_share_one_owner_and_no_cost_is_lost() {
        const NS: i64 = 2_000_000;
        let mut books = Books::open();
        let places = [
            Location::caller(),
            Location::caller(),
            Location::caller(),
            Location::caller(),
        ];
        let sites = RwLock::default();
        // Twice each: a place that is known counts no loss again.
        for place in places.into_iter().chain(places) {
            let owner = owner_among(&sites, place, 2);
            on_thread(|| {
                let _entered = enter(Account::new(owner, Class::Handler));
                burn(NS);
            });
        }
        books.rotate();
        let cpu_ns = |name: &str| books.owner(OwnerKind::Background, name).cpu_ns();
        let own = places.map(|place| cpu_ns(&format!("{}:{}", shown(place.file()), place.line())));
        assert!(own[0] >= 2 * NS && own[1] >= 2 * NS, "{own:?}");
        assert_eq!(own[2..], [0, 0], "no owners of their own");
        assert!(cpu_ns(OTHER) >= 4 * NS, "what both cost");
        assert_eq!(books.lost("agent.spawn_sites"), 2);
    }

    #[test]
    fn paths_begin_with_the_crate() {
        let registry = "/home/u/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/";
        assert_eq!(
            shown(&format!("{registry}sqlx-core-0.8.6/src/pool/inner.rs")),
            "sqlx-core-0.8.6/src/pool/inner.rs"
        );
        assert_eq!(
            shown(r"C:\cargo\registry\src\index.crates.io-1\bb8-0.9.0\src\inner.rs"),
            "bb8-0.9.0/src/inner.rs"
        );
        assert_eq!(
            shown("/home/u/.cargo/git/checkouts/x-12ab/34cd/src/lib.rs"),
            "x-12ab/34cd/src/lib.rs"
        );
        assert_eq!(shown("src/jobs.rs"), "src/jobs.rs");
    }

    #[test]
    fn a_place_has_one_owner_that_is_nobodys_parent() {
        let location = Location::caller();
        let owner = spawned_owner(location);
        assert!(owner.same(&spawned_owner(location)));
        assert!(is_anonymous(&owner));
        assert!(!is_anonymous(&crate::account::owner(
            OwnerKind::Driver,
            "declared"
        )));
    }
}
