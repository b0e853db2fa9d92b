//! Seeded mutations of the fuzzers' kept inputs.

use std::fs;
use std::path::{Path, PathBuf};

use super::generate::Dice;

/// The bytes that a mutation may insert: each has a meaning in messages or texts.
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

/// The kept inputs of a target.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name)
}

/// Those inputs, by the names of their files.
pub fn corpus(name: &str) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// An input with one to six changes.
pub fn mutated(corpus: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
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
