//! Every file that a config names, with its one purpose.
//!
//! **Invariants**: without errors, no two parts of a config write one file, none writes a file that another reads, and none
//! reads as one kind what another reads as another.
//! **Not here**: files that cannot be used, links and `..`, which only the system can follow (`load::named`); another server
//! that writes the same files, which locks keep away.

use std::collections::HashMap;
use std::path::{Component, PathBuf};

use super::{Check, folder_of};
use crate::base::diagnostic::{Diagnostic, Place};
use crate::config::spec::Text;
use crate::config::{FileUse, NamedFile, SourceFile, value};

impl Check<'_> {
    /// Lists the files that the config names, its own first; reports those that are named for two purposes.
    pub(super) fn check_named(
        &mut self,
        file: &str,
        included: &[SourceFile],
        mut named: Vec<(FileUse, Text)>,
    ) -> Vec<NamedFile> {
        // Files that are read come first, so that a message points at the one that is written.
        named.sort_by_key(|(usage, _)| usage.rank());
        let own = Place::whole_file(&file.into());
        let mut all = vec![NamedFile { path: file.into(), file: file.into(), usage: FileUse::Config, place: own }];
        let named_file = |source: &SourceFile| {
            let SourceFile { file, path, place, .. } = source.clone();
            NamedFile { path, file, usage: FileUse::Config, place }
        };
        all.extend(included.iter().map(named_file));
        let paths = all.iter().enumerate().map(|(at, named)| (plain(named.path.clone()), at));
        let mut first: HashMap<PathBuf, usize> = paths.collect();
        for (usage, text) in named {
            // A malformed path has been reported.
            let Ok(word) = value::word(&text.value) else { continue };
            let path = folder_of(&text).join(&*word);
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
        let problem = Diagnostic::error("same-file", format!("`{}` is named for two purposes", self.file))
            .at(self.place.clone(), label)
            .help("give each a file of its own: one would overwrite or misread the other");
        Some(match other.usage {
            FileUse::Config => {
                let problem = Diagnostic { message: format!("`{}` is the config file itself", self.file), ..problem };
                // The main file as a whole has no line.
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
    /// The position in the list of named files.
    fn rank(self) -> u8 {
        match self {
            FileUse::Config => 0,
            FileUse::Cookies => 1,
            FileUse::Pem => 2,
            FileUse::Token => 3,
            FileUse::Secret => 4,
            FileUse::Zone => 5,
            FileUse::Network(_) => 6,
            FileUse::Copy => 7,
            FileUse::Socket => 8,
            FileUse::Overrides => 9,
            FileUse::ProbeState => 10,
            FileUse::HostState => 11,
        }
    }

    /// True if the server writes the file.
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

/// A path without its `.`.
fn plain(path: PathBuf) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}
