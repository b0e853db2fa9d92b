//! The variables of the environment that name endpoints and credentials of clouds.

use std::fmt;
use std::str::FromStr;

/// The starts of the names of such variables, as the clouds' own programs have them.
const PREFIXES: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];

/// Further variables: the endpoint of Azure's managed identities, and the home with `.aws/credentials`.
const OTHERS: [&str; 3] = ["IDENTITY_ENDPOINT", "SERVICE_ACCOUNT", "HOME"];

/// Variables for the clouds. Tests pass their own, because the environment of a process is shared by its threads.
#[derive(Clone, Default)]
pub struct StoreEnvironment(Vec<(String, String)>);

impl StoreEnvironment {
    /// The variables of this process.
    pub fn of_process() -> Self {
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.to_str()?.into(), value.to_str()?.into())));
        StoreEnvironment::of(variables.collect())
    }

    /// These variables, without those that no cloud has.
    pub fn of(mut variables: Vec<(String, String)>) -> Self {
        variables.retain(|(name, _)| {
            PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || OTHERS.contains(&name.as_str())
        });
        StoreEnvironment(variables)
    }

    /// The value of a variable; `None` if it is absent or empty.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(of, _)| of == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// The keys of a cloud that variables with a prefix set, each with its value. Such a key is the variable's name in lower case.
    pub(super) fn keys<K: FromStr>(&self, prefix: &str) -> impl Iterator<Item = (K, &str)> {
        let found = self.0.iter().filter(move |(name, value)| name.starts_with(prefix) && !value.is_empty());
        found.filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value.as_str())))
    }
}

/// Shows the names alone: values are secrets.
impl fmt::Debug for StoreEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}
