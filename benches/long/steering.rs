//! A million addresses of each family against brute force, in optimized code; `tests/run` tries a tenth in a debug build.
//!
//! **Invariants**: it fails if a test does.
//! **Not here**: the tests and their oracles (`tests/steering_real.rs`).

use std::process::Command;

pub(crate) fn run() {
    let arguments = ["test", "--locked", "--profile", "optimized-test", "--test", "steering_real"];
    let status = Command::new(env!("CARGO")).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).status();
    assert!(status.unwrap().success());
}
