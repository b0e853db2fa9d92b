//! The TLS settings for primaries, by zone and by the name of the certificate, made before a reload changes anything.
//!
//! **Invariants**: each `tls:NAME` of a configuration has its settings, or the configuration is refused.
//! **Not here**: reading roots (the caller does it), connecting ([`crate::tls::Xot`]).

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use crate::base::diagnostic::Diagnostic;
use crate::base::name::NameKey;
use crate::config::{Config, InputFile, ZoneConfig};
use crate::tls::{Roots, Xot};

/// The TLS settings for primaries.
#[derive(Debug, Default)]
pub(crate) struct Encryption(HashMap<(NameKey, Arc<str>), Arc<Xot>>);

impl Encryption {
    /// Makes the settings of a configuration. `roots` reads a file of roots, or those of the system; it is called once for each.
    pub(crate) fn prepare(
        config: &Config,
        mut roots: impl FnMut(Option<&InputFile>) -> Result<Arc<Roots>, Vec<Diagnostic>>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut read: HashMap<Option<&Path>, Arc<Roots>> = HashMap::new();
        let (mut all, mut problems) = (HashMap::new(), Vec::new());
        for zone in &config.zones {
            let file = zone.roots.as_ref();
            let path = file.map(|file| &*file.path);
            for name in zone.primaries.iter().filter_map(|primary| primary.tls.as_ref()) {
                let store = match read.get(&path) {
                    Some(store) => store.clone(),
                    None => match roots(file) {
                        Ok(store) => read.entry(path).or_insert(store).clone(),
                        Err(found) => {
                            problems.extend(found.into_iter().map(|problem| of_zone(problem, zone)));
                            break;
                        }
                    },
                };
                match Xot::new(name, store) {
                    Ok(xot) => drop(all.insert((zone.name.as_name().key(), name.clone()), Arc::new(xot))),
                    Err(error) => problems.push(
                        Diagnostic::error("tls-name", format!("`tls:{name}` cannot be used: {error}"))
                            .at(zone.place.clone(), "fetched from there")
                            .help("write the name that the primary's certificate is for"),
                    ),
                }
            }
        }
        if problems.is_empty() { Ok(Encryption(all)) } else { Err(problems) }
    }

    /// The TLS settings for a primary of a zone.
    ///
    /// # Panics
    /// If [`Encryption::prepare`] did not make these settings: to continue without them would be to ask in the clear.
    pub(super) fn of(&self, zone: &ZoneConfig, name: &Arc<str>) -> Arc<Xot> {
        let found = self.0.get(&(zone.name.as_name().key(), name.clone()));
        found.expect("each `tls:NAME` is made ready: Encryption::prepare").clone()
    }
}

/// A problem with roots, placed at the zone that names them.
fn of_zone(problem: Diagnostic, zone: &ZoneConfig) -> Diagnostic {
    Diagnostic::error(problem.code, problem.message).at(zone.place.clone(), "fetched over TLS").help(
        "name a PEM file of the roots that the primaries' certificates lead to with `roots` on the zone, or leave it out \
         for this system's",
    )
}
