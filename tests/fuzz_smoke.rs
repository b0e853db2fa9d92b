//! The fuzz targets without a fuzzer: the kept corpora, and seeded mutations of them.
//!
//! A few seconds by default. `PHAROS_FUZZ_SECONDS=60 cargo test --release --test fuzz_smoke` gives each target a minute;
//! `PHAROS_BLESS=1` writes the corpora that are made of the engine's cases anew. See `fuzz/README.md`.

#![allow(missing_docs, reason = "a test binary has no readers from outside")]
#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected is to fail")]
#![allow(clippy::print_stderr, reason = "how much was tried")]

mod common;
#[allow(unreachable_pub, reason = "in the fuzzers it is a crate of its own")]
#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::cases;
use common::generate::Dice;

/// What a mutation may put in: octets that mean something in messages and texts.
const TOKENS: [&[u8]; 20] = [
    b"\x00",
    b"\xff",
    b"\xc0\x0c",
    b"\x00\x08\x00\x07\x00\x01\x18\x00",
    b"\x00\x0a\x00\x08",
    b"\x00\x00\x29",
    b"\x3f",
    b"\n",
    b"\"",
    b"(",
    b")",
    b";",
    b"\\",
    b"\\000",
    b"$INCLUDE x\n",
    b"$TTL 1\n",
    b"\n@ IN SOA a b 1 2 3 4 5\n",
    b" CNAME ",
    b" = [",
    b"[[zone]]\n",
];

#[test]
fn respond_keeps_its_promises() {
    smoke("respond", targets::respond, 20_000);
}

#[test]
fn edns_options_keep_their_promises() {
    smoke("edns_options", targets::edns_options, 20_000);
}

#[test]
fn zone_files_keep_their_promises() {
    smoke("zone_file", targets::zone_file, 1_500);
}

#[test]
fn config_texts_keep_their_promises() {
    smoke("config", targets::config, 1_000);
}

/// Runs a target over its corpus and mutations of it: `times`, or for as long as was asked.
fn smoke(name: &str, target: fn(&[u8]), times: usize) {
    if std::env::var_os("PHAROS_BLESS").is_some() {
        bless(name);
    }
    let corpus = corpus(name);
    assert!(!corpus.is_empty(), "no corpus of {name}");
    corpus.iter().for_each(|input| target(input));
    let seconds = std::env::var("PHAROS_FUZZ_SECONDS").ok().map(|text| text.parse().unwrap());
    let (start, mut dice, mut tried) = (Instant::now(), Dice::new(7871), 0);
    while match seconds {
        Some(seconds) => start.elapsed() < Duration::from_secs(seconds),
        None => tried < times,
    } {
        let input = mutated(&corpus, &mut dice);
        if let Err(panic) = std::panic::catch_unwind(|| target(&input)) {
            let path = std::env::temp_dir().join(format!("pharos-fuzz-{name}"));
            fs::write(&path, &input).unwrap();
            eprintln!("the input is kept in {}", path.display());
            std::panic::resume_unwind(panic);
        }
        tried += 1;
    }
    eprintln!("{name}: {} inputs, {tried} mutations in {:.1?}", corpus.len(), start.elapsed());
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name)
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn mutated(corpus: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut input = dice.pick(corpus).clone();
    for _ in 0..1 + dice.below(6) {
        let at = dice.below(input.len() + 1);
        let len = dice.below(16).min(input.len() - at);
        match dice.below(7) {
            0 if at < input.len() => input[at] = dice.next() as u8,
            1 if at < input.len() => input[at] ^= 1 << dice.below(8),
            2 => drop(input.drain(at..at + len)),
            3 => drop(input.splice(at..at, dice.pick(&TOKENS).iter().copied())),
            4 => input.truncate(at),
            5 => {
                let other = dice.pick(corpus);
                let from = dice.below(other.len() + 1);
                input.splice(at..at + len, other[from..].iter().copied().take(200));
            }
            _ => {
                let again = input[at..at + len].to_vec();
                input.splice(at..at, again);
            }
        }
    }
    input
}

/// Every sixth message of the cases, and the options of those that have some.
fn bless(name: &str) {
    let messages: Vec<Vec<u8>> = cases::all().into_iter().map(|case| case.asked.message).collect();
    let inputs: Vec<Vec<u8>> = match name {
        "respond" => messages.into_iter().step_by(6).collect(),
        "edns_options" => messages.iter().filter_map(|message| options(message)).step_by(3).collect(),
        _ => return,
    };
    fs::create_dir_all(folder(name)).unwrap();
    for (number, input) in inputs.iter().enumerate() {
        fs::write(folder(name).join(format!("case-{number:03}")), input).unwrap();
    }
}

/// The rdata of an OPT record at the end of a message.
fn options(message: &[u8]) -> Option<Vec<u8>> {
    let at = message.windows(3).position(|window| window == [0, 0, 41])?;
    message.get(at + 11..).filter(|rdata| !rdata.is_empty()).map(<[u8]>::to_vec)
}
