//! Every file that a config names, and what it is for: each is for one thing alone.
//!
//! **Invariants**: without errors, no two parts of a config write one file, none writes a file that another reads, and none
//! reads as one kind what another reads as another.
//! **Not here**: whether they can be used; links and `..`, which only the system can follow (`load::named`); a server that
//! runs already and writes the same, which its locks keep away.

use std::collections::HashMap;
use std::path::{Component, PathBuf};

use super::{Check, folder_of};
use crate::base::diagnostic::{Diagnostic, Place};
use crate::config::spec::{Spec, Text};
use crate::config::{FileUse, NamedFile, NetworkKind, SourceFile, value};

impl Check<'_> {
    /// Lists the files that the config names, its own first; reports those that are named for two things.
    pub(super) fn check_named(&mut self, file: &str, included: &[SourceFile], spec: &Spec) -> Vec<NamedFile> {
        let own = Place::whole_file(&file.into());
        let mut all = vec![NamedFile { path: file.into(), file: file.into(), usage: FileUse::Config, place: own }];
        let named_file = |source: &SourceFile| {
            let SourceFile { file, path, place, .. } = source.clone();
            NamedFile { path, file, usage: FileUse::Config, place }
        };
        all.extend(included.iter().map(named_file));
        let paths = all.iter().enumerate().map(|(at, named)| (plain(named.path.clone()), at));
        let mut first: HashMap<PathBuf, usize> = paths.collect();
        for (usage, text) in named(spec) {
            // What is wrong with a text that is no path has been reported.
            let Ok(word) = value::word(&text.value) else { continue };
            let path = folder_of(text).join(&*word);
            let named = NamedFile { path, file: text.value.clone(), usage, place: text.place.clone() };
            let at = *first.entry(plain(named.path.clone())).or_insert(all.len());
            if let Some(problem) = all.get(at).and_then(|other| named.conflict(other)) {
                self.report(problem);
            }
            all.push(named);
        }
        all
    }
}

impl NamedFile {
    /// The problem if this file and another are one and the same.
    pub fn conflict(&self, other: &NamedFile) -> Option<Diagnostic> {
        if !self.usage.conflicts(other.usage) {
            return None;
        }
        let label = match self.usage.is_written() {
            true => "the server writes this file",
            false => "read as another kind of file here",
        };
        let problem = Diagnostic::error("same-file", format!("`{}` is named for two things", self.file))
            .at(self.place.clone(), label)
            .help("give each a file of its own: what one writes is lost to the other");
        Some(match other.usage {
            FileUse::Config => {
                let problem = Diagnostic { message: format!("`{}` is the config file itself", self.file), ..problem };
                // The main file as a whole has no line to show.
                match other.place.line {
                    0 => problem,
                    _ => problem.related(other.place.clone(), "included here"),
                }
            }
            _ => problem.related(other.place.clone(), "named here too"),
        })
    }
}

impl FileUse {
    /// Whether the server writes the file.
    pub fn is_written(self) -> bool {
        match self {
            FileUse::Copy | FileUse::Socket | FileUse::Overrides | FileUse::ProbeState | FileUse::HostState => true,
            FileUse::Config
            | FileUse::Zone
            | FileUse::Network(_)
            | FileUse::Cookies
            | FileUse::Token
            | FileUse::Secret
            | FileUse::Pem => false,
        }
    }

    fn conflicts(self, other: FileUse) -> bool {
        self.is_written() || other.is_written() || self != other
    }
}

/// Files in the order of [`Spec`]: those that are read first, so that a message points at the one that is written.
fn named(spec: &Spec) -> Vec<(FileUse, &Text)> {
    let mut all = Vec::new();
    add(&mut all, FileUse::Cookies, &spec.dns.cookie_secrets);
    let dns = spec.dns.tls.iter().map(|tls| &tls.files);
    for files in dns.chain(spec.registry.iter().filter_map(|registry| registry.tls.as_ref())) {
        add(&mut all, FileUse::Pem, &files.cert);
        add(&mut all, FileUse::Pem, &files.key);
    }
    if let Some(admin) = &spec.admin {
        add(&mut all, FileUse::Token, &admin.token_file);
    }
    for key in &spec.keys {
        add(&mut all, FileUse::Secret, &key.secret_file);
    }
    if let Some(probe) = &spec.probe {
        add(&mut all, FileUse::Pem, &probe.roots);
    }
    for zone in &spec.zones {
        add(&mut all, FileUse::Pem, &zone.roots);
    }
    for zone in spec.zones.iter().filter(|zone| zone.primaries.is_none()) {
        add(&mut all, FileUse::Zone, &zone.file);
    }
    for network in &spec.networks {
        add(&mut all, FileUse::Network(network.kind.unwrap_or(NetworkKind::List)), &network.file);
    }
    for zone in spec.zones.iter().filter(|zone| zone.primaries.is_some()) {
        add(&mut all, FileUse::Copy, &zone.file);
    }
    if let Some(control) = &spec.control {
        add(&mut all, FileUse::Socket, &control.socket);
        add(&mut all, FileUse::Overrides, &control.state);
    }
    if let Some(probe) = &spec.probe {
        add(&mut all, FileUse::ProbeState, &probe.state);
    }
    if let Some(resolver) = &spec.resolver {
        add(&mut all, FileUse::HostState, &resolver.state);
    }
    all
}

fn add<'s>(all: &mut Vec<(FileUse, &'s Text)>, usage: FileUse, text: &'s Option<Text>) {
    all.extend(text.as_ref().map(|text| (usage, text)));
}

/// A path without its `.`.
fn plain(path: PathBuf) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}
