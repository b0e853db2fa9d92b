//! The two sides of a configuration: the parts that are the same on all servers of a fleet, and each machine's own.
//!
//! **Invariants**: every name here is a key of the configuration; no shared key can hold a secret.
//! **Not here**: making and reading the texts of a bundle ([`super::layering`], [`super::table`]).

/// The tables that are the same on all servers.
pub(super) const SHARED: [&str; 7] = ["guard", "probe", "registry", "zone", "networks", "mirrors", "horizons"];

/// The table that a bundle gives only to a machine with a table of its own, because a listener needs an address.
pub(super) const NEEDS_OWN: &str = "registry";

/// The addresses, the certificate and the request log of a registry listener.
const LISTENER: [&str; 7] = ["listen", "tls", "log", "log-clients", "log-sample", "log-size", "log-keep"];

/// The keys of a shared table that are each machine's own: those of the table, and those of each table in it by name.
///
/// The credentials of mirrors are such keys, because the hash of a password must not reach a store that others can read.
pub(super) fn own_keys(table: &str) -> (&'static [&'static str], &'static [&'static str]) {
    match table {
        "probe" => (&["state"], &[]),
        "registry" => (&LISTENER, &[]),
        "mirrors" => (&[], &["acme"]),
        _ => (&[], &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::row::{Row, Rows as _};
    use crate::config::spec::Spec;

    fn row(rows: &'static [Row], name: &str) -> &'static Row {
        rows.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("there is no key `{name}`"))
    }

    #[test]
    fn each_name_is_a_key_of_the_configuration() {
        for table in SHARED {
            let inner = row(Spec::PART.rows, table).inner().unwrap();
            let (own, of_each) = own_keys(table);
            own.iter().chain(of_each).for_each(|key| assert_eq!(row(inner.rows, key).name, *key));
        }
        assert!(SHARED.contains(&NEEDS_OWN));
    }
}
