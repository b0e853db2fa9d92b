//! Files that a test writes: expected output, and the pages that are made from the code.
//!
//! **Invariants**: with `PHAROS_BLESS=1` the files are written, otherwise compared and not changed; a file that is missing is wrong.
//! **Not here**: making the texts, and the files of unit tests (`src/cli/expected`).

#![allow(dead_code, reason = "each user needs its own part of this")]
#![allow(unreachable_pub, reason = "a module of tests is not reached from outside")]

use std::fs;
use std::path::Path;

use super::diff;

/// True if files are to be written.
pub fn is_blessing() -> bool {
    std::env::var_os("PHAROS_BLESS").is_some()
}

/// Writes the right text to a file of the repository, or compares it with the file's. `test` is the test's name in cargo.
#[track_caller]
pub fn hold(path: &str, right: &str, test: &str) {
    let wrong = held(path, right);
    assert!(wrong.is_none(), "{}{}", wrong.unwrap_or_default(), remedy(test));
}

/// The same for one of several files, of which all differences are to be shown. `None` if the file is right.
pub fn held(path: &str, right: &str) -> Option<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if is_blessing() {
        fs::write(file, right).unwrap();
        return None;
    }
    let written = fs::read_to_string(file).ok();
    let changes = || diff::changes(written.as_deref().unwrap_or_default(), right);
    (written.as_deref() != Some(right))
        .then(|| format!("{path} is not as expected (`-` is in the file):\n{}", changes()))
}

/// The words behind differences.
pub fn remedy(test: &str) -> String {
    format!("`PHAROS_BLESS=1 cargo test --locked --test {test}` writes the file anew; read what changes")
}
