//! Programs, data and rights that a test needs from the machine, and the report if one is missing.
//!
//! **Invariants**: a test that misses one prints `skipped:`, adds a line to the file that `PHAROS_SKIPPED` names, which
//! `tests/run` counts, and ends. If `CI` is `true`, the test fails instead, because a missing package would hide a fault.
//! **Not here**: installing them (`tests/run`).
//!
//! This file uses no other file of the tests, so that unit tests can include it too.

#![allow(unreachable_pub, reason = "a module of tests is not reached from outside")]
#![allow(dead_code, reason = "each user needs its own part of this")]
#![allow(clippy::print_stderr, clippy::panic, reason = "a skipped test says so, or fails")]

use std::fmt::Display;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// A program by its name, and the Debian package that has it. `None` if it is not installed, which is counted.
#[track_caller]
pub fn program(name: &str, package: &str) -> Option<PathBuf> {
    let found = find_program(name);
    if found.is_none() {
        missing(format!("{name} is not installed (Debian package {package})"));
    }
    found
}

/// A file of the published feeds and databases, which are not part of the repository: in `$PHAROS_FEEDS`, else in
/// `../shared/data`. `None` if it does not exist, which is counted.
#[track_caller]
pub fn data(file: &str) -> Option<PathBuf> {
    let path = data_folder().join(file);
    let found = path.is_file().then_some(path);
    if found.is_none() {
        missing(format!("{file} is not in {}", data_folder().display()));
    }
    found
}

/// The folder of [`data`].
pub fn data_folder() -> PathBuf {
    match std::env::var_os("PHAROS_FEEDS") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
    }
}

/// Counts a test that lacks something which `tests/run` provides; in CI it fails.
#[track_caller]
pub fn missing(reason: impl Display) {
    if std::env::var("CI").is_ok_and(|value| value == "true") {
        panic!("missing in CI: {reason}");
    }
    skip(reason);
}

/// Counts a test that this machine cannot run, such as one for root.
pub fn skip(reason: impl Display) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    eprintln!("skipped: {test}: {reason}");
    let Some(path) = std::env::var_os("PHAROS_SKIPPED") else { return };
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(format!("{test}\t{reason}\n").as_bytes()))
        .expect("PHAROS_SKIPPED is a file");
}

/// Debian keeps servers in folders that are not in every user's path.
pub fn find_program(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}
