//! The names of all variables that the agent reads.

/// Every `WEIGHBRIDGE_` variable that the agent reads. One with another name is a typo: `weighbridge doctor`
/// says so. (Those of the collector begin with `WEIGHBRIDGE_COLLECTOR_`.)
pub const VARIABLES: &[&str] = &[
    "WEIGHBRIDGE_CALLERS_MAX",
    "WEIGHBRIDGE_CLOCK",
    "WEIGHBRIDGE_EDGES_MAX",
    "WEIGHBRIDGE_ENABLED",
    "WEIGHBRIDGE_ENDPOINT",
    "WEIGHBRIDGE_ENTITIES_MAX",
    "WEIGHBRIDGE_KEY_SECRET",
    "WEIGHBRIDGE_OPERATIONS_MAX",
    "WEIGHBRIDGE_OPERATION_ROWS_MAX",
    "WEIGHBRIDGE_ORIGINS_MAX",
    "WEIGHBRIDGE_OVERHEAD_MAX",
    "WEIGHBRIDGE_OWNERS_MAX",
    "WEIGHBRIDGE_REGIONS_MAX",
    "WEIGHBRIDGE_RETAINED",
    "WEIGHBRIDGE_RETAINED_MEAN_BYTES",
    "WEIGHBRIDGE_SPOOL_BYTES_MAX",
    "WEIGHBRIDGE_SPOOL_WINDOWS_MAX",
    "WEIGHBRIDGE_TLS_CA",
    "WEIGHBRIDGE_TLS_CERT",
    "WEIGHBRIDGE_TLS_KEY",
    "WEIGHBRIDGE_TOKEN",
    "WEIGHBRIDGE_TRUST",
    "WEIGHBRIDGE_WINDOW",
];

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::Env;

    #[test]
    fn the_list_is_what_is_read() {
        let asked = RefCell::new(BTreeSet::new());
        let env = Env::new(|name| {
            asked.borrow_mut().insert(name.to_owned());
            None
        });
        let _ = crate::Builder::from_env(env);
        let asked = asked.into_inner();
        let read: Vec<&str> = asked
            .iter()
            .map(String::as_str)
            .filter(|name| name.starts_with("WEIGHBRIDGE_"))
            .collect();
        let mut listed = VARIABLES.to_vec();
        listed.sort_unstable();
        assert_eq!(read, listed);
    }
}
