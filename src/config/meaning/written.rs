//! Every file that a config names, with its one purpose.
//!
//! **Invariants**: without errors, no two parts of a config write one file, no part writes a file that another reads, and no
//! two parts read one file as files of different kinds.
//! **Not here**: files that cannot be used, links and `..`, which only the system can follow (`load::named`); another server
//! that writes the same files, which locks keep away.

use std::collections::HashMap;
use std::path::{Component, PathBuf};

use crate::base::diagnostic::Place;
use crate::config::check::{Check, folder_of};
use crate::config::{FileUse, InputFile, PlacedText, SourceFile, value};

impl Check<'_> {
    /// Lists the files that the config names, its own first; reports those that are named for two purposes.
    pub(super) fn check_named(
        &mut self,
        file: &str,
        included: &[SourceFile],
        mut named: Vec<(FileUse, PlacedText)>,
    ) -> Vec<InputFile> {
        // Files that are read come first, so that a message points at the one that is written.
        named.sort_by_key(|(usage, _)| usage.rank());
        let own = Place::whole_file(&file.into());
        let mut all = vec![InputFile::new(file.into(), file.into(), FileUse::Config, own)];
        let included = included.iter().cloned();
        all.extend(included.map(|source| InputFile::new(source.path, source.file, FileUse::Config, source.place)));
        let paths = all.iter().enumerate().map(|(at, named)| (plain(named.path.clone()), at));
        let mut first: HashMap<PathBuf, usize> = paths.collect();
        for (usage, text) in named {
            // A malformed path has been reported.
            let Ok(word) = value::word(&text.value) else { continue };
            let path = folder_of(&text).join(&*word);
            let named = InputFile::new(path, text.value.clone(), usage, text.place.clone());
            let at = *first.entry(plain(named.path.clone())).or_insert(all.len());
            if let Some(problem) = all.get(at).and_then(|other| named.conflict(other)) {
                self.report(problem);
            }
            all.push(named);
        }
        all
    }
}

/// A path without its `.`.
fn plain(path: PathBuf) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}
