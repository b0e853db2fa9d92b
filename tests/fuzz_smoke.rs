//! The fuzz targets without a fuzzer: the kept corpora, and seeded mutations of them.
//!
//! A few seconds by default. `PHAROS_FUZZ_SECONDS=60 cargo test --release --test fuzz_smoke` gives each target a minute;
//! `PHAROS_BLESS=1` writes the corpora that are made of the engine's cases anew. See `fuzz/README.md`.

#![allow(missing_docs, reason = "a test binary has no readers from outside")]
#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected is to fail")]
#![allow(clippy::print_stderr, reason = "how much was tried")]

mod common;
#[allow(unreachable_pub, dead_code, unused_imports, reason = "in the fuzzers it is a crate of its own")]
#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::time::{Duration, Instant};

use common::cases;
use common::generate::Dice;
use common::mutate::{corpus, folder, mutated};

#[test]
fn respond_keeps_its_promises() {
    smoke("respond", targets::respond, 20_000);
}

#[test]
fn edns_options_keep_their_promises() {
    smoke("edns_options", targets::edns_options, 20_000);
}

#[test]
fn cookies_keep_their_promises() {
    smoke("cookies", targets::cookies, 20_000);
}

#[test]
fn signed_queries_keep_their_promises() {
    smoke("signed_queries", targets::signed_queries, 5_000);
}

#[test]
fn signed_answers_keep_their_promises() {
    smoke("signed_answers", targets::signed_answers, 5_000);
}

#[test]
fn signed_replies_keep_their_promises() {
    smoke("signed_replies", targets::signed_replies, 5_000);
}

#[test]
fn transfers_that_come_in_keep_their_promises() {
    smoke("transfers_in", targets::transfers_in, 3_000);
}

#[test]
fn updates_keep_their_promises() {
    smoke("updates", targets::updates, 2_000);
}

#[test]
fn signing_keys_keep_their_promises() {
    smoke("signing_keys", targets::signing_keys, 2_000);
}

#[test]
fn zone_files_keep_their_promises() {
    smoke("zone_file", targets::zone_file, 1_500);
}

#[test]
fn state_files_keep_their_promises() {
    smoke("state_files", targets::state_files, 20_000);
}

#[test]
fn paths_keep_their_promises() {
    smoke("paths", targets::paths, 20_000);
}

#[test]
fn config_texts_keep_their_promises() {
    smoke("config", targets::config, 1_000);
}

/// Runs a target over its corpus and mutations of it: `times`, or for the duration of `PHAROS_FUZZ_SECONDS`.
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

/// Writes the inputs that are made of the engine's cases, and those that are defined here.
fn bless(name: &str) {
    let messages: Vec<Vec<u8>> = cases::all().into_iter().map(|case| case.asked.message).collect();
    let inputs: Vec<Vec<u8>> = match name {
        "respond" => messages.into_iter().step_by(6).collect(),
        "edns_options" => messages.iter().filter_map(|message| options(message)).step_by(3).collect(),
        "cookies" => cookie_inputs(),
        "signed_queries" => signed_queries(messages),
        "signed_replies" => signed_replies(messages),
        "updates" => updates(),
        "transfers_in" => transfers(),
        _ => return,
    };
    fs::create_dir_all(folder(name)).unwrap();
    for (number, input) in inputs.iter().enumerate() {
        fs::write(folder(name).join(format!("case-{number:03}")), input).unwrap();
    }
}

/// Cookies of all lengths with a meaning and some without, at once and around the limits of their validity.
fn cookie_inputs() -> Vec<Vec<u8>> {
    let lengths = [0, 1, 7, 8, 9, 15, 16, 24, 32, 40, 41, 100];
    let times = [0, 60, -300, -301, 1800, 3600, 3601, i32::MIN];
    let cookie = |len: usize| (1..=len).map(|octet| octet as u8).collect::<Vec<u8>>();
    let of_length = lengths.map(|len| [&[0, 0, 0, 0, len as u8][..], &cookie(len)].concat());
    let at_time = times.map(|time| [&time.to_be_bytes()[..], &[time as u8], &cookie(8)].concat());
    [&of_length[..], &at_time].concat()
}

/// Some of the cases with each key and clock, some spoilt; and requests that need a key.
fn signed_queries(messages: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let orders =
        [[0, 0, 0, 0], [1, 0, 0, 0], [2, 0, 0, 0], [0x80, 0, 0, 0], [0x40, 0, 0, 0], [0, 0, 30, 1], [1, 0, 60, 32]];
    let some = messages.into_iter().filter(|message| message.len() >= 12).step_by(11);
    let question = |head: [u8; 12], qtype: u8| [&head[..], b"\x07example\x03net\0\0", &[qtype, 0, 1]].concat();
    let made = [
        // AXFR, NOTIFY and UPDATE.
        question([0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], 252),
        question([0, 7, 0x24, 0, 0, 1, 0, 0, 0, 0, 0, 0], 6),
        question([0, 7, 0x28, 0, 0, 1, 0, 0, 0, 0, 0, 0], 6),
        ixfr(),
    ];
    let made = made.into_iter().flat_map(|message| vec![message; 3]);
    some.chain(made).zip(orders.iter().cycle()).map(|(message, order)| [&order[..], &message].concat()).collect()
}

/// Updates as ACME clients send these, with prerequisites, and with records that are refused, by each key and clock.
fn updates() -> Vec<Vec<u8>> {
    const SHARED: &[u8] = b"\x0f_acme-challenge\xc0\x0c";
    const OWN: &[u8] = b"\x0f_acme-challenge\x03one\xc0\x0c";
    let token = |letter: u8| [&[43][..], &[letter; 43]].concat();
    let record = |owner: &[u8], rtype: u8, class: u8, ttl: u8, rdata: &[u8]| {
        [owner, &[0, rtype, 0, class, 0, 0, 0, ttl, 0, rdata.len() as u8], rdata].concat()
    };
    let message = |before: &[Vec<u8>], changes: &[Vec<u8>]| {
        let head = [0, 7, 0x28, 0, 0, 1, 0, before.len() as u8, 0, changes.len() as u8, 0, 0];
        [&head[..], b"\x07example\x03net\0\0\x06\0\x01", &before.concat(), &changes.concat()].concat()
    };
    let (set, unset) = (record(SHARED, 16, 1, 60, &token(b'a')), record(SHARED, 16, 254, 0, &token(b'a')));
    let (all, any) = (record(SHARED, 16, 255, 0, &[]), record(OWN, 255, 255, 0, &[]));
    let messages = [
        message(&[], std::slice::from_ref(&set)),
        message(&[], &[all.clone(), set.clone()]),
        message(&[], std::slice::from_ref(&unset)),
        message(&[], &[record(SHARED, 16, 254, 0, &token(b'o'))]),
        message(&[], &[all.clone(), any.clone(), record(OWN, 16, 255, 0, &[])]),
        message(&[], &(b'a'..=b'z').map(|letter| record(OWN, 16, 1, 0, &token(letter))).collect::<Vec<_>>()),
        message(&[record(SHARED, 16, 255, 0, &[]), record(OWN, 1, 254, 0, &[])], &[set.clone(), unset]),
        message(&[record(SHARED, 16, 1, 0, &token(b'o'))], &[any]),
        message(&[], &[set, record(b"\xc0\x0c", 1, 1, 60, &[192, 0, 2, 1])]),
        message(&[], &[record(SHARED, 16, 1, 60, &[44]), all]),
        message(&[], &[]),
    ];
    let orders = [[0, 0, 0, 0], [1, 0, 0, 0], [0x40, 0, 0, 0], [0x80, 0, 0, 0], [0, 0, 30, 1], [0, 0, 60, 32]];
    let each = |message: &Vec<u8>| orders[..1].iter().map(|order| [order, &message[..]].concat()).collect::<Vec<_>>();
    let with_others = orders[1..].iter().map(|order| [order, &messages[1][..]].concat());
    messages.iter().flat_map(each).chain(with_others).collect()
}

/// An IXFR question for the changes since serial 1.
fn ixfr() -> Vec<u8> {
    let mut message = b"\0\x07\0\0\0\x01\0\0\0\x01\0\0\x07example\x03net\0\0\xfb\0\x01".to_vec();
    message.extend_from_slice(b"\xc0\x0c\0\x06\0\x01\0\0\0\0\0\x16\0\0\0\0\0\x01");
    message.extend_from_slice(&[0; 16]);
    message
}

/// Some of the cases as replies, signed, unsigned and spoilt, and a whole zone.
fn signed_replies(messages: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let frame = |message: &[u8], sign: u16| [&(message.len() as u16 | sign).to_be_bytes()[..], message].concat();
    let some: Vec<Vec<u8>> = messages.into_iter().filter(|message| message.len() >= 12).step_by(40).collect();
    let chain = |sign: u16| some.iter().flat_map(|message| frame(message, sign)).collect::<Vec<u8>>();
    let mixed: Vec<u8> =
        some.iter().zip([0x8000, 0, 0].iter().cycle()).flat_map(|(message, sign)| frame(message, *sign)).collect();
    let mut inputs = Vec::new();
    for frames in [chain(0x8000), chain(0), mixed, targets::zone_messages(true)] {
        for order in [[0, 0, 0, 0], [0x41, 0, 0, 0], [0x82, 0, 0, 0], [0, 0, 20, 1]] {
            inputs.push([&order[..], &frames].concat());
        }
    }
    inputs
}

/// The whole zone as it comes, alone and as an answer to IXFR, and changes to it.
fn transfers() -> Vec<Vec<u8>> {
    let zone = targets::zone_messages(false);
    let changes = targets::change_messages();
    let with = |how: u8, messages: &[u8]| [&[how][..], messages].concat();
    vec![with(0, &zone), with(1, &zone), with(1, &changes), with(0, &changes), with(1, &zone[..40])]
}

/// The rdata of an OPT record at the end of a message.
fn options(message: &[u8]) -> Option<Vec<u8>> {
    let at = message.windows(3).position(|window| window == [0, 0, 41])?;
    message.get(at + 11..).filter(|rdata| !rdata.is_empty()).map(<[u8]>::to_vec)
}
