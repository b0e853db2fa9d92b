//! The files that a config names, as the system sees them: no file has two purposes, whatever its names.
//!
//! Hard links, symbolic links and `..` are followed: two names are one file if device and inode are equal. A file that does
//! not exist yet is known by its folder and its name.
//!
//! Deviates: the crate `same-file` is not used, because it opens the files that it compares: it would wait for a named pipe,
//! and could start a device.
//!
//! **Invariants**: no file is opened here, except files of state, by the bounded reader.
//! **Not here**: names that are equal as text ([`crate::config`]), the contents.

use std::collections::HashMap;
use std::ffi::OsString;

use super::hosts::Purpose;
use crate::base::diagnostic::Diagnostic;
use crate::config::{Config, FileUse, InputFile};
use crate::files::state::folder;
use crate::files::{self, Nature, ReadError};

/// The identity of a file: two names with equal ones are one file.
#[derive(PartialEq, Eq, Hash)]
enum FileIdentity {
    /// Device and inode.
    Existing((u64, u64)),
    /// Device and inode of its folder, and its name.
    Missing((u64, u64), OsString),
}

/// Reports files that are named for two purposes, and files that the server must write and cannot.
///
/// `check_state` looks at the contents of one that exists.
pub(crate) fn check(
    config: &Config,
    purpose: &Purpose,
    check_state: &dyn Fn(&InputFile) -> Option<Diagnostic>,
) -> Vec<Diagnostic> {
    let mut problems = check_identities(config);
    // One problem for a file is enough: its other use would not be recognised either.
    if problems.is_empty() {
        problems.extend(config.files.iter().filter_map(check_state));
    }
    let folders = config.files.iter().filter_map(check_folder);
    problems.extend(folders.map(|problem| match purpose {
        Purpose::Check => problem,
        // A disk that became read-only must not keep a server from serving: state is lost with the next restart at worst.
        Purpose::Start | Purpose::Show | Purpose::Compare | Purpose::Reload(_) => problem.lessened(),
    }));
    problems
}

fn check_identities(config: &Config) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    let mut first: HashMap<FileIdentity, &InputFile> = HashMap::new();
    for named in &config.files {
        let Some(identity) = identity(named) else { continue };
        match first.get(&identity) {
            Some(other) => problems.extend(named.conflict(other)),
            None => drop(first.insert(identity, named)),
        }
    }
    problems
}

fn identity(named: &InputFile) -> Option<FileIdentity> {
    match files::look_up(&named.path) {
        Ok(facts) => Some(FileIdentity::Existing(facts.identity)),
        Err(ReadError::Missing) => {
            let folder = files::look_up(folder(&named.path)).ok()?;
            Some(FileIdentity::Missing(folder.identity, named.path.file_name()?.to_owned()))
        }
        // Reading it reports the error.
        Err(_) => None,
    }
}

/// The problem with the folder of a file that the server writes; `None` if files can be made there.
fn check_folder(named: &InputFile) -> Option<Diagnostic> {
    let is_socket = named.usage == FileUse::Socket;
    if !is_socket && !named.usage.is_written() {
        return None;
    }
    // A supervisor makes a folder of /run for the user of the server, and only when the server starts.
    if is_socket && named.path.starts_with("/run") {
        return None;
    }
    let folder = folder(&named.path);
    // `.` names no folder in a log.
    let absolute = std::path::absolute(folder);
    let shown = absolute.as_deref().unwrap_or(folder).display();
    let (verb, label, setting) = if is_socket {
        ("made", "the server makes this socket", "RuntimeDirectory")
    } else {
        ("kept", "the server writes this file", "StateDirectory")
    };
    let mut help =
        format!("make the folder, writable for the user that pharos runs as; it is `{setting}=` in a systemd unit");
    let why = match files::look_up(folder) {
        Ok(facts) if facts.nature != Nature::Folder => format!("`{shown}` is {}, not a folder", facts.nature),
        Ok(_) => match files::check_writable(folder) {
            Ok(()) => return None,
            Err(error) => {
                help = "let the user that pharos runs as write to the folder, or name another one".to_string();
                format!("user {} cannot write to its folder `{shown}`: {error}", files::user())
            }
        },
        Err(ReadError::Missing) => format!("its folder `{shown}` does not exist"),
        Err(error) => format!("its folder `{shown}`: {error}"),
    };
    let problem = Diagnostic::error("state-folder", format!("`{}` cannot be {verb}: {why}", named.file));
    Some(problem.at(named.place.clone(), label).help(help))
}
