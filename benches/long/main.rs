//! Long tests of the real binary: mutated datagrams, kill -9 with overrides, reloads under load, reloads with probes and
//! overrides at once, signatures of short validity and of many orders of mirrors. And a million addresses against brute force,
//! and a release built twice.
//!
//! `tests/run --long` runs all of it; `cargo bench --bench long -- kills` one part. It prints figures, ends with a line in
//! the form of libtest, and fails if one part does. `PHAROS_LONG_SHARE=100` does a hundredth of the work, to try it out.

#![allow(missing_docs, reason = "a program, not a library")]
#![allow(clippy::print_stdout, reason = "it prints figures")]
#![allow(clippy::unwrap_used, reason = "a part that meets the unexpected is to fail")]

mod churn;
#[path = "../../tests/common/mod.rs"]
mod common;
mod datagrams;
mod kills;
mod release;
mod reloads;
mod signatures;
mod steering;

use std::panic::catch_unwind;
use std::process::ExitCode;
use std::time::Instant;

const PARTS: [(&str, fn()); 7] = [
    ("datagrams", datagrams::run),
    ("kills", kills::run),
    ("reloads", reloads::run),
    ("churn", churn::run),
    ("signatures", signatures::run),
    ("steering", steering::run),
    ("release", release::run),
];

fn main() -> ExitCode {
    // `cargo bench` adds an option of its own.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    if let Some(unknown) = wanted.iter().find(|word| PARTS.iter().all(|(name, _)| name != word)) {
        println!("{unknown} is none of {}", PARTS.map(|(name, _)| name).join(", "));
        return ExitCode::FAILURE;
    }
    let (mut passed, mut failed) = (0, 0);
    for (name, run) in PARTS.into_iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|word| word == name))
    {
        let begin = Instant::now();
        let is_good = catch_unwind(run).is_ok();
        println!("{name}: {} in {:.0?}", if is_good { "ok" } else { "FAILED" }, begin.elapsed());
        *if is_good { &mut passed } else { &mut failed } += 1;
    }
    println!("test result: {}. {passed} passed; {failed} failed", if failed == 0 { "ok" } else { "FAILED" });
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The share of some work that is done.
fn share(whole: usize) -> usize {
    let share = std::env::var("PHAROS_LONG_SHARE").map_or(1, |text| text.parse().unwrap());
    (whole / share).max(3)
}
