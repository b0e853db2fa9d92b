//! Files that the server writes: each is for one thing alone.
//!
//! **Invariants**: without errors, no two parts of a config write one file, and none writes what another reads.
//! **Not here**: whether they can be written; links and `..`, which only the system can follow; a server that runs already
//! and writes the same, which its locks keep away.

use std::collections::HashMap;
use std::path::{Component, PathBuf};

use super::Check;
use crate::base::diagnostic::{Diagnostic, Place};
use crate::config::spec::{Spec, Text};
use crate::config::value;

impl Check<'_> {
    /// Reports a file that is written and named for something else as well, which would be lost.
    pub(super) fn check_written(&mut self, spec: &Spec) {
        let mut named: HashMap<PathBuf, Place> = HashMap::new();
        for text in read(spec) {
            if let Some(path) = self.joined(text) {
                named.entry(path).or_insert_with(|| text.place.clone());
            }
        }
        for text in written(spec) {
            let Some(path) = self.joined(text) else { continue };
            if let Some(other) = named.get(&path) {
                self.report(
                    Diagnostic::error("same-file", format!("`{}` is named for two things", text.value))
                        .at(text.place.clone(), "the server writes this file")
                        .related(other.clone(), "named here too")
                        .help("give each a file of its own: what one writes is lost to the other"),
                );
                continue;
            }
            named.insert(path, text.place.clone());
        }
    }

    /// The path of a text that is one; what is wrong with others has been reported.
    fn joined(&self, text: &Text) -> Option<PathBuf> {
        let path = self.folder.join(&*value::word(&text.value).ok()?);
        Some(path.components().filter(|part| *part != Component::CurDir).collect())
    }
}

/// Data that operators write: master files and networks.
fn read(spec: &Spec) -> impl Iterator<Item = &Text> {
    let zones = spec.zones.iter().filter(|zone| zone.primaries.is_none()).filter_map(|zone| zone.file.as_ref());
    zones.chain(spec.networks.iter().filter_map(|network| network.file.as_ref()))
}

/// What the server writes: copies of zones, the socket, and what is kept over a restart.
fn written(spec: &Spec) -> impl Iterator<Item = &Text> {
    let copies = spec.zones.iter().filter(|zone| zone.primaries.is_some()).filter_map(|zone| zone.file.as_ref());
    let control = spec.control.iter().flat_map(|control| [&control.socket, &control.state]);
    let probe = spec.probe.iter().map(|probe| &probe.state);
    let resolver = spec.resolver.iter().map(|resolver| &resolver.state);
    copies.chain(control.chain(probe).chain(resolver).flatten())
}
