//! Checks of the written values: the names, problems and files that all sections share, and the kinds of values that many have.
//!
//! **Invariants**: a value that is left out has been reported.
//! **Not here**: the checks of one section (its file), those that compare sections ([`super::meaning`]).

use std::cell::Cell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::value::{self, Fault};
use super::{FileUse, InputFile, NetworkKind, Placed, PlacedText, limits};
use crate::base::diagnostic::{Diagnostic, Place, did_you_mean};
use crate::base::prefix::Prefix;
use crate::files::Intake;

/// The names and problems that the checks of all sections share.
pub(super) struct Check<'p> {
    pub(super) networks: NameIndex,
    /// The kind of each network. `None` for a wrong one.
    pub(super) kinds: Vec<Option<NetworkKind>>,
    pub(super) mirrors: NameIndex,
    pub(super) horizons: NameIndex,
    pub(super) keys: NameIndex,
    /// The addresses of every `listen` so far.
    pub(super) written_addresses: Vec<Placed<SocketAddr>>,
    pub(super) intake: &'p Intake,
    pub(super) problems: &'p mut Vec<Diagnostic>,
}

impl Check<'_> {
    pub(super) fn report(&mut self, problem: Diagnostic) {
        self.problems.push(problem);
    }

    /// The value that was found; a problem is reported.
    pub(super) fn found<T>(&mut self, found: Result<T, Box<Diagnostic>>) -> Option<T> {
        found.map_err(|problem| self.report(*problem)).ok()
    }

    /// The value of a text; a fault is reported.
    pub(super) fn parse<T>(&mut self, text: &PlacedText, parse: impl Fn(&str) -> Result<T, Fault>) -> Option<T> {
        match parse(&text.value) {
            Ok(value) => Some(value),
            Err(fault) => {
                self.report(fault.at(&text.place));
                None
            }
        }
    }

    /// The same, with the place of the text.
    pub(super) fn parse_placed<T>(
        &mut self,
        text: &PlacedText,
        parse: impl Fn(&str) -> Result<T, Fault>,
    ) -> Option<Placed<T>> {
        let value = self.parse(text, parse)?;
        Some(Placed { value, place: text.place.clone() })
    }

    /// The values of a list with their places; faults are reported, repeated values dropped with a warning.
    pub(super) fn parse_all<T: Clone + Eq + std::hash::Hash>(
        &mut self,
        texts: &[PlacedText],
        parse: impl Fn(&str) -> Result<T, Fault>,
    ) -> Vec<Placed<T>> {
        let values = texts.iter().filter_map(|text| self.parse_placed(text, &parse)).collect();
        self.distinct(values)
    }

    /// Drops repeated values with a warning.
    pub(super) fn distinct<T: Clone + Eq + std::hash::Hash>(&mut self, values: Vec<Placed<T>>) -> Vec<Placed<T>> {
        let mut first: HashMap<T, usize> = HashMap::new();
        let mut kept: Vec<Placed<T>> = Vec::with_capacity(values.len());
        for value in values {
            if let Some(&at) = first.get(&value.value) {
                self.report(
                    Diagnostic::warning("repeated-value", "a value is written twice in one list")
                        .at(value.place, "written again")
                        .related(kept[at].place.clone(), "first written here")
                        .help("remove one of the two"),
                );
                continue;
            }
            first.insert(value.value.clone(), kept.len());
            kept.push(value);
        }
        kept
    }

    /// A path that is relative to the file that names it.
    pub(super) fn path(&mut self, text: &PlacedText) -> Option<PathBuf> {
        self.parse(text, value::word).map(|path| folder_of(text).join(&*path))
    }

    /// A file that is read.
    pub(super) fn input(&mut self, text: &PlacedText, usage: FileUse) -> Option<InputFile> {
        let path = self.path(text)?;
        Some(InputFile::new(path, text.value.clone(), usage, text.place.clone()).noted_in(self.intake))
    }

    /// The path of a Unix socket; `example` is a shorter one.
    pub(super) fn socket(&mut self, text: &PlacedText, example: &str) -> Option<PathBuf> {
        let (path, most) = (self.path(text)?, limits::MAX_SOCKET_PATH);
        if path.as_os_str().len() > most {
            self.report(
                Diagnostic::error("socket-path", "this path is too long for a socket")
                    .at(text.place.clone(), format!("more than {most} bytes with the folder of this file"))
                    .help(format!("name a shorter one, such as `{example}`")),
            );
        }
        Some(path)
    }

    pub(super) fn check_listen(&mut self, texts: &[PlacedText]) -> Vec<SocketAddr> {
        self.check_addresses(texts, value::socket_address)
    }

    /// The addresses of one `listen`; notes them with their places.
    pub(super) fn check_addresses(
        &mut self,
        texts: &[PlacedText],
        parse: impl Fn(&str) -> Result<SocketAddr, Fault>,
    ) -> Vec<SocketAddr> {
        let placed: Vec<_> = texts.iter().filter_map(|text| self.parse_placed(text, &parse)).collect();
        let addresses = placed.iter().map(|address| address.value).collect();
        self.written_addresses.extend(placed);
        addresses
    }

    pub(super) fn check_prefixes(&mut self, texts: &[PlacedText]) -> Vec<Prefix> {
        self.parse_all(texts, value::prefix).into_iter().map(|prefix| prefix.value).collect()
    }

    /// True if a reference of a kind is wrong or missing, because unused things then prove nothing.
    pub(super) fn has_lost_reference(&self, code: &str) -> bool {
        let lost = [code, "wrong-type", "missing-key", "empty-list", "unknown-key"];
        self.problems.iter().any(|problem| lost.contains(&problem.code))
    }
}

/// The meaning of a value that may be left out. `None` if it is written wrong, which has been reported.
pub(super) fn optional<T, U>(written: Option<&T>, meaning: impl FnOnce(&T) -> Option<U>) -> Option<Option<U>> {
    written.map_or(Some(None), |written| meaning(written).map(Some))
}

/// The place of a text that may be a secret. A diagnostic shows the line of a place, so that dots replace the text.
pub(super) fn redacted(text: &PlacedText, key: &str) -> Place {
    let line = format!("{key} = \"…\"");
    Place::in_line(&text.place.file, text.place.line, &line, key.len() + " = ".len()..line.len())
}

/// The folder of the file that a text is in.
pub(super) fn folder_of(text: &PlacedText) -> &Path {
    Path::new(&*text.place.file).parent().unwrap_or(Path::new(""))
}

/// The names of one kind of entry, each for its index in file order.
pub(super) struct NameIndex {
    /// The word for such an entry in messages.
    kind: &'static str,
    /// The code of the problem with an unknown name.
    pub(super) code: &'static str,
    list: Vec<Arc<str>>,
    index: HashMap<Arc<str>, usize>,
    /// The number of unknown names that have been compared with all known ones.
    compared: Cell<usize>,
}

impl NameIndex {
    pub(super) fn new<'a>(kind: &'static str, code: &'static str, names: impl Iterator<Item = &'a PlacedText>) -> Self {
        let list: Vec<Arc<str>> = names.map(|name| name.value.clone()).collect();
        let index = list.iter().enumerate().map(|(at, name)| (name.clone(), at)).collect();
        NameIndex { kind, code, list, index, compared: Cell::new(0) }
    }

    /// The index of a name, or the problem of an unknown one.
    pub(super) fn find(&self, name: &PlacedText) -> Result<usize, Box<Diagnostic>> {
        self.index.get(&name.value).copied().ok_or_else(|| {
            let NameIndex { kind, code, list, .. } = self;
            let compared = self.compared.replace(self.compared.get() + 1);
            let help = if compared < limits::MAX_COMPARED {
                did_you_mean(&name.value, &format!("defined {kind}s"), list.iter().map(|name| &**name))
            } else {
                format!("define it, or name another {kind}")
            };
            let problem = Diagnostic::error(code, format!("{kind} `{}` is not defined", name.value))
                .at(name.place.clone(), "used here")
                .help(help);
            Box::new(problem)
        })
    }
}
