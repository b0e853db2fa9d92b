//! The providers' real feeds, which are not part of this repository: in `$PHAROS_FEEDS`, else in `../shared/data`.

#![allow(clippy::print_stderr, reason = "what was skipped is said")]

use std::path::{Path, PathBuf};

use serde_json::Value;

/// Where they are looked for.
pub fn folder() -> PathBuf {
    match std::env::var_os("PHAROS_FEEDS") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
    }
}

/// One of them; none where it is not there.
pub fn read(file: &str) -> Option<Value> {
    let text = std::fs::read(folder().join(file)).ok()?;
    Some(serde_json::from_slice(&text).unwrap())
}

/// Says that they are missing.
pub fn skipped() {
    eprintln!("skipped: the feeds aws-ip-ranges.json and gcp-cloud.json are not in {}", folder().display());
}
