//! Domain names in uncompressed wire form (RFC 1035 §3.1), and the hashes of their suffixes.
//!
//! **Invariants**: a [`Name`] is a sequence of labels of 1 to 63 bytes closed by the root label, 255 bytes at
//! most; comparison ignores ASCII case (RFC 4343).
//! **Not here**: compression ([`crate::wire`]), trees of names ([`crate::zone`]).

mod order;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use arrayvec::ArrayVec;

/// Maximum length in bytes of a name, root label included (RFC 1035 §2.3.4).
pub const MAX_NAME_LEN: usize = 255;

/// Maximum number of labels in a name, the root not counted: 127 of one byte each fill 255 bytes.
pub const MAX_LABELS: usize = 127;

/// A borrowed domain name.
#[derive(Clone, Copy)]
pub struct Name<'a>(&'a [u8]);

impl<'a> Name<'a> {
    /// The root.
    pub const ROOT: Name<'static> = Name(&[0]);

    /// Returns the name that fills `wire` exactly; `None` if `wire` is not a name.
    pub fn from_wire(wire: &'a [u8]) -> Option<Self> {
        let mut at = 0;
        loop {
            match *wire.get(at)? {
                0 => return (at + 1 == wire.len() && wire.len() <= MAX_NAME_LEN).then_some(Name(wire)),
                len @ 1..=63 => at += 1 + usize::from(len),
                _ => return None,
            }
        }
    }

    /// Splits `wire` into the name at its start and the rest.
    pub fn split_from(wire: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (name, _) = Name::read_from(wire)?;
        Some((name, &wire[name.len()..]))
    }

    /// Reads the name at the start of `wire`, and the position of its last labels.
    #[inline]
    pub fn read_from(wire: &'a [u8]) -> Option<(Self, Tail)> {
        // A name ends within so many bytes.
        let octets = &wire[..wire.len().min(MAX_NAME_LEN)];
        let mut at = 0;
        for _ in 0..STRIDE {
            match *octets.get(at)? {
                0 => return Some((Name(&octets[..=at]), Tail::WHOLE)),
                len @ 1..=63 => at += 1 + usize::from(len),
                _ => return None,
            }
        }
        Name::read_on(octets, at)
    }

    /// Continues reading at `at`, behind the first stride of labels.
    #[cold]
    fn read_on(octets: &'a [u8], mut at: usize) -> Option<(Self, Tail)> {
        let mut tail = Tail::WHOLE;
        // A tail begins at the start of the stride before the last one. It is noted once in a stride, not at each label.
        for stride in 1.. {
            let start = at;
            if is_stride_of_one(octets.get(at..)?) {
                at += 2 * STRIDE;
            } else {
                for _ in 0..STRIDE {
                    match *octets.get(at)? {
                        0 => return Some((Name(&octets[..=at]), tail)),
                        len @ 1..=63 => at += 1 + usize::from(len),
                        _ => return None,
                    }
                }
            }
            tail = Tail { start: start as u8, before: stride * STRIDE as u8 };
        }
        None
    }

    /// A name that an earlier stage has checked.
    #[inline]
    pub(crate) fn trusted(wire: &'a [u8]) -> Self {
        debug_assert!(Name::from_wire(wire).is_some(), "{wire:?} is not a name");
        Name(wire)
    }

    /// The bytes, root label included.
    #[inline]
    pub fn as_wire(self) -> &'a [u8] {
        self.0
    }

    /// The number of bytes, root label included.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "a name is never empty")]
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// Tells whether this is the root.
    pub fn is_root(self) -> bool {
        self.0.len() == 1
    }

    /// The labels from the left, the root not among them.
    pub fn labels(self) -> NameLabels<'a> {
        NameLabels(self.0)
    }

    /// The name without its first label; `None` for the root.
    #[inline]
    pub fn parent(self) -> Option<Name<'a>> {
        let len = usize::from(self.0[0]);
        (len > 0).then(|| Name(&self.0[1 + len..]))
    }

    /// Tells whether the first label is `*` (RFC 4592 §2.1.1).
    pub fn is_wildcard(self) -> bool {
        self.0.starts_with(b"\x01*")
    }

    /// Tells whether this name is `ancestor` or below it.
    #[inline]
    pub fn ends_with(self, ancestor: Name<'_>) -> bool {
        let mut name = self;
        while name.len() > ancestor.len() {
            name = name.parent().expect("a name longer than another has a label");
        }
        name == ancestor
    }

    /// The suffixes of the name with their hashes, from the whole name down to the root.
    #[inline]
    pub fn suffixes(self) -> Suffixes {
        let mut suffixes = Suffixes::new();
        suffixes.fill(self);
        suffixes
    }

    /// An owned copy.
    pub fn to_owned(self) -> NameBuf {
        let mut buf = NameBuf { len: self.0.len() as u8, octets: [0; MAX_NAME_LEN] };
        buf.octets[..self.0.len()].copy_from_slice(self.0);
        buf
    }
}

impl PartialEq for Name<'_> {
    /// Compares all bytes without regard to case; a length byte is below `A`, so folding leaves it alone.
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        // Most queries have the case of the zone.
        self.0 == other.0 || self.0.eq_ignore_ascii_case(other.0)
    }
}

impl Eq for Name<'_> {}

impl fmt::Display for Name<'_> {
    /// Master file form without the trailing dot (the root is `.`); other bytes as `\.` or `\DDD`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        for (index, label) in self.labels().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            for &octet in label {
                match octet {
                    b'.' | b'\\' | b'"' | b';' | b'(' | b')' | b'@' | b'$' => write!(f, "\\{}", octet as char)?,
                    0x21..=0x7e => write!(f, "{}", octet as char)?,
                    _ => write!(f, "\\{octet:03}")?,
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

/// The labels of a name from the left, without the root.
#[derive(Clone)]
pub struct NameLabels<'a>(&'a [u8]);

impl<'a> Iterator for NameLabels<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let len = usize::from(self.0[0]);
        if len == 0 {
            return None;
        }
        let (label, rest) = self.0[1..].split_at(len);
        self.0 = rest;
        Some(label)
    }
}

/// Minimum number of labels of a [`Tail`] that is not the whole name. The names of most queries have fewer labels, except
/// those in reverse zones.
const STRIDE: usize = 8;

/// Tells whether a stride of labels of one byte each comes next.
///
/// Each label is found by the length of the one before it, which takes time, and guessing each length would often be wrong.
/// But names of very many labels have mostly labels of one byte, and a stride of those is recognized at once.
#[inline]
fn is_stride_of_one(octets: &[u8]) -> bool {
    const LENGTHS: u128 = 0x00ff_00ff_00ff_00ff_00ff_00ff_00ff_00ff;
    const ONES: u128 = 0x0001_0001_0001_0001_0001_0001_0001_0001;
    octets.first_chunk::<{ 2 * STRIDE }>().is_some_and(|stride| u128::from_le_bytes(*stride) & LENGTHS == ONES)
}

/// Position of the last labels of a name: all labels, or the last [`STRIDE`] and up to as many more.
///
/// It is noted when the name is read, so that the labels before it are read only once. Any client can add such labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Its offset in the name's bytes.
    start: u8,
    /// The number of labels before it.
    before: u8,
}

impl Tail {
    /// The whole name.
    pub const WHOLE: Tail = Tail { start: 0, before: 0 };
}

/// Maximum number of words of eight bytes in a name.
const MAX_WORDS: usize = MAX_NAME_LEN.div_ceil(8);

/// Offsets and hashes of the suffixes of a name.
///
/// The name is read once, eight bytes at a time from its end, so that the hash of any ancestor takes one more step. Hashes
/// ignore ASCII case. A hash begins with a seed that is drawn at start ([`seed_hashes`]), because another party may choose
/// the names of a zone: the primary of a transferred zone, or the tenants in a zone of our own. With a known seed, such a
/// party could choose names that all have one hash, and a table would compare these names one by one.
///
/// The longest suffixes may have been left out ([`Suffixes::fill_tail`]). Then only their number is known.
#[derive(Debug)]
pub struct Suffixes {
    /// The offset of each suffix: the whole name first, the root last. The offset of a suffix that was left out has no
    /// meaning.
    offsets: [u8; MAX_LABELS + 1],
    /// The number of labels.
    labels: usize,
    /// The number of labels of the longest suffix that was not left out.
    known: usize,
    /// The words of the name from its end, without the case of letters, each with the hash of the words behind it. In the
    /// last word, only the upper bytes may belong to the name.
    steps: ArrayVec<(u64, u64), { MAX_WORDS + 1 }>,
    /// The bytes of the name.
    len: usize,
}

impl Suffixes {
    /// Room for the suffixes of a name, to be filled in place, because moving it costs as much as filling it.
    #[inline]
    pub fn new() -> Self {
        Suffixes { offsets: [0; MAX_LABELS + 1], labels: 0, known: 0, steps: ArrayVec::new(), len: 0 }
    }

    /// Fills in the suffixes of a name, and replaces those of another.
    pub fn fill(&mut self, name: Name<'_>) {
        self.fill_tail(name, Tail::WHOLE);
    }

    /// As [`Suffixes::fill`], without the suffixes that start before the tail that was read with the name.
    ///
    /// It loads the seed itself and is not inlined, so that the seed is not another argument of a call.
    #[inline(never)]
    pub fn fill_tail(&mut self, name: Name<'_>, tail: Tail) {
        self.fill_seeded(name, tail, seed());
    }

    #[inline(always)]
    fn fill_seeded(&mut self, name: Name<'_>, tail: Tail, seed: u64) {
        let octets = name.0;
        let (mut at, before) = (usize::from(tail.start), usize::from(tail.before));
        let mut labels = before;
        for offset in &mut self.offsets[before..] {
            *offset = at as u8;
            match octets[at] {
                0 => break,
                len => at += 1 + usize::from(len),
            }
            labels += 1;
        }
        (self.labels, self.known, self.len) = (labels, labels - before, octets.len());
        let octets = &octets[usize::from(tail.start)..];
        self.steps.clear();
        let mut hash = seed;
        let words = octets.rchunks_exact(8);
        let first = words.remainder();
        for word in words {
            let word = without_case(u64::from_le_bytes(word.try_into().expect("a chunk has eight bytes")));
            self.steps.push((word, hash));
            hash = mix(hash ^ word);
        }
        let word = match octets.first_chunk() {
            Some(_) if first.is_empty() => 0,
            Some(word) => u64::from_le_bytes(*word) << (64 - 8 * first.len()),
            None => first.iter().rev().fold(0, |word, octet| word << 8 | u64::from(*octet)) << (64 - 8 * first.len()),
        };
        self.steps.push((without_case(word), hash));
    }

    /// Tells whether the longest suffixes were left out.
    #[inline]
    pub fn is_partial(&self) -> bool {
        self.known < self.labels
    }

    /// The number of labels, the root not counted.
    #[inline]
    pub fn labels(&self) -> usize {
        self.labels
    }

    /// The number of labels of the longest suffix that can be looked up: all, or as many as the tail has.
    #[inline]
    pub fn known(&self) -> usize {
        self.known
    }

    /// The offset in the name's bytes of the suffix of `labels` labels, which must not have been left out.
    #[inline]
    pub fn start(&self, labels: usize) -> usize {
        debug_assert!(labels <= self.known, "the suffix of {labels} labels was left out");
        usize::from(self.offsets[self.labels - labels])
    }

    /// The suffix of `labels` labels; `name` is the name that was filled in.
    #[inline]
    pub fn suffix<'n>(&self, name: Name<'n>, labels: usize) -> Name<'n> {
        Name(&name.0[self.start(labels)..])
    }

    /// The hash of the suffix of `labels` labels.
    #[inline]
    pub fn hash(&self, labels: usize) -> u64 {
        let len = self.len - self.start(labels);
        let (whole, rest) = (len / 8, len % 8);
        let (word, hash) = self.steps[whole];
        let word = if rest == 0 { 0 } else { word >> (64 - 8 * rest) };
        mix(hash ^ word.rotate_left(5) ^ len as u64)
    }
}

impl Default for Suffixes {
    fn default() -> Self {
        Suffixes::new()
    }
}

/// Start value of hashes if no seed is drawn: in tests and benches, which compare counts of instructions.
const DEFAULT_SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Start value of hashes; 0 until the first hash is made or a seed is set. It never changes after that, because tables
/// depend on it.
///
/// The process has one seed instead of one for each table, because the hashes of a query's name are made once for all
/// tables. No answer depends on it. It costs a query one load.
static SEED: AtomicU64 = AtomicU64::new(0);

/// Sets the start value of hashes of names in the whole process; `false` if another value is in use already.
pub fn seed_hashes(seed: u64) -> bool {
    // 0 means that no seed is set.
    let seed = seed.max(1);
    SEED.compare_exchange(0, seed, Ordering::Relaxed, Ordering::Relaxed).map_or_else(|kept| kept == seed, |_| true)
}

#[inline]
fn seed() -> u64 {
    match SEED.load(Ordering::Relaxed) {
        0 => keep_seed(),
        seed => seed,
    }
}

/// Sets the default seed, unless another thread has set a seed.
#[cold]
fn keep_seed() -> u64 {
    seed_hashes(DEFAULT_SEED);
    SEED.load(Ordering::Relaxed)
}

/// Mixes 64 bits so that each bit of the result depends on all.
#[inline]
fn mix(bits: u64) -> u64 {
    let product = u128::from(bits) * 0xff51_afd7_ed55_8ccd;
    (product as u64) ^ ((product >> 64) as u64)
}

/// Removes the difference between `A`–`Z` and `a`–`z` from eight bytes.
///
/// It is removed from all bytes, so some other bytes become the same, such as `@` and a backtick, or lengths that are 32
/// apart. A hash may do so: names found by a hash are compared, and names that differ in nothing else are rare.
#[inline]
fn without_case(word: u64) -> u64 {
    word | 0x2020_2020_2020_2020
}

/// An owned name, stored inline.
#[derive(Clone)]
pub struct NameBuf {
    len: u8,
    octets: [u8; MAX_NAME_LEN],
}

impl NameBuf {
    /// The name as a borrowed one.
    #[inline]
    pub fn as_name(&self) -> Name<'_> {
        Name(&self.octets[..usize::from(self.len)])
    }

    /// The name of `prefix`'s bytes (whole labels) before `suffix`; `None` if that is longer than 255 bytes.
    pub fn joined(prefix: &[u8], suffix: Name<'_>) -> Option<Self> {
        let len = prefix.len() + suffix.len();
        if len > MAX_NAME_LEN {
            return None;
        }
        let mut buf = NameBuf { len: len as u8, octets: [0; MAX_NAME_LEN] };
        buf.octets[..prefix.len()].copy_from_slice(prefix);
        buf.octets[prefix.len()..len].copy_from_slice(suffix.0);
        Some(buf)
    }

    /// Reads master file text: `www.example.net`, with or without the trailing dot; `.` is the root.
    ///
    /// `\.` and `\DDD` are escapes. Relative names are not resolved here: all text is taken as absolute.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text == "." {
            return Ok(Name::ROOT.to_owned());
        }
        let text = text.as_bytes();
        let (mut wire, mut label): (Vec<u8>, Vec<u8>) = (Vec::new(), Vec::new());
        let mut at = 0;
        while let Some(&octet) = text.get(at) {
            at += 1;
            match octet {
                b'.' => close_label(&mut wire, &mut label)?,
                b'\\' => {
                    let (octet, used) = unescape(&text[at..]).ok_or(NameError::BadEscape)?;
                    label.push(octet);
                    at += used;
                }
                0x21..=0x7e => label.push(octet),
                _ => return Err(NameError::BadCharacter(octet)),
            }
        }
        if !label.is_empty() {
            close_label(&mut wire, &mut label)?;
        }
        if wire.is_empty() {
            return Err(NameError::EmptyLabel);
        }
        NameBuf::joined(&wire, Name::ROOT).ok_or(NameError::TooLong)
    }
}

fn close_label(wire: &mut Vec<u8>, label: &mut Vec<u8>) -> Result<(), NameError> {
    match label.len() {
        0 => return Err(NameError::EmptyLabel),
        1..=63 => {}
        _ => return Err(NameError::LabelTooLong),
    }
    wire.push(label.len() as u8);
    wire.append(label);
    Ok(())
}

/// The byte of an escape (without its backslash) and the number of characters it takes.
fn unescape(text: &[u8]) -> Option<(u8, usize)> {
    match *text {
        [a @ b'0'..=b'2', b @ b'0'..=b'9', c @ b'0'..=b'9', ..] => {
            let value = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
            u8::try_from(value).ok().map(|octet| (octet, 3))
        }
        [b'0'..=b'9', ..] => None,
        [octet @ 0x21..=0x7e, ..] => Some((octet, 1)),
        _ => None,
    }
}

impl PartialEq for NameBuf {
    fn eq(&self, other: &Self) -> bool {
        self.as_name() == other.as_name()
    }
}

impl Eq for NameBuf {}

impl fmt::Display for NameBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_name().fmt(f)
    }
}

impl fmt::Debug for NameBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_name().fmt(f)
    }
}

/// Reason why a text is not a domain name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// The text has two dots in a row or a leading dot, or is empty.
    EmptyLabel,
    /// A label has more than 63 bytes.
    LabelTooLong,
    /// The name has more than 255 bytes.
    TooLong,
    /// A backslash is not followed by three digits up to 255 or by a printable character.
    BadEscape,
    /// A space, control character or character beyond ASCII is not escaped.
    BadCharacter(u8),
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameError::EmptyLabel => f.write_str("a label is empty"),
            NameError::LabelTooLong => f.write_str("a label has more than 63 bytes"),
            NameError::TooLong => f.write_str("the name has more than 255 bytes"),
            NameError::BadEscape => f.write_str("a backslash must be followed by three digits or a character"),
            NameError::BadCharacter(octet) => {
                write!(f, "byte {octet} must be written as \\{octet:03}; internationalized names as xn--…")
            }
        }
    }
}

impl std::error::Error for NameError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> NameBuf {
        NameBuf::parse(text).unwrap()
    }

    #[test]
    fn text_round_trips() {
        for text in [".", "k8s.io", "a\\.b.example", "\\000\\255.x", "*.blob.k8s.io", "_acme-challenge.blob.k8s.io"] {
            assert_eq!(name(text).to_string(), text);
        }
        assert_eq!(name("k8s.io."), name("K8S.io"));
    }

    #[test]
    fn limits_hold() {
        assert_eq!(NameBuf::parse(&"a".repeat(64)), Err(NameError::LabelTooLong));
        assert_eq!(NameBuf::parse("a..b"), Err(NameError::EmptyLabel));
        assert_eq!(NameBuf::parse(""), Err(NameError::EmptyLabel));
        assert_eq!(NameBuf::parse("\\256"), Err(NameError::BadEscape));
        let longest = ["a"; MAX_LABELS].join(".");
        assert_eq!(name(&longest).as_name().len(), MAX_NAME_LEN);
        assert_eq!(NameBuf::parse(&format!("{longest}.a")), Err(NameError::TooLong));
        assert_eq!(name(&longest).as_name().suffixes().labels(), MAX_LABELS);
    }

    #[test]
    fn suffixes_hash_alike_wherever_they_stand_and_whatever_their_case() {
        let (long, short) = (name("WWW.Blob.K8S.io"), name("blob.k8s.IO"));
        let (a, b) = (long.as_name().suffixes(), short.as_name().suffixes());
        for labels in 0..=3 {
            assert_eq!(a.hash(labels), b.hash(labels), "{labels} labels");
        }
        assert_ne!(a.hash(4), a.hash(3));
        // The labels in front, and the positions of the words of eight bytes, do not matter.
        for labels in ["", "a.", "abcdefg.", "0123456789abcdef.x."] {
            let longer = name(&format!("{labels}Blob.k8s.io"));
            assert_eq!(longer.as_name().suffixes().hash(3), b.hash(3), "{labels}");
            assert_eq!(longer.as_name().suffixes().hash(0), name(".").as_name().suffixes().hash(0));
        }
        // The same holds if longer suffixes are left out.
        for before in 0..=119 {
            let longer = name(&format!("{}www.Blob.k8s.io", "x.".repeat(before)));
            let (longer, tail) = Name::read_from(longer.as_name().as_wire()).unwrap();
            let mut few = Suffixes::new();
            few.fill_tail(longer, tail);
            assert_eq!(few.labels(), before + 4);
            assert!(if before + 4 < 2 * STRIDE { few.known() == before + 4 } else { (8..16).contains(&few.known()) });
            assert!((0..=4).all(|labels| few.hash(labels) == a.hash(labels)), "{before}");
            let all = longer.suffixes();
            assert!((0..=few.known()).all(|labels| few.hash(labels) == all.hash(labels)), "{before}");
            few.fill(longer);
            assert!((0..=before + 4).all(|labels| few.hash(labels) == all.hash(labels)), "{before}");
        }
        assert_eq!(a.start(3), 4);
        assert!(long.as_name().ends_with(short.as_name()));
        assert!(!name("notblob.k8s.io").as_name().ends_with(short.as_name()));
    }

    #[test]
    fn hashes_ignore_the_case_of_letters_and_tell_what_names_are_made_of() {
        let hash = |octet: u8| {
            let wire = [1, octet, 0];
            let suffixes = Name::from_wire(&wire).unwrap().suffixes();
            suffixes.hash(1)
        };
        for letter in b'a'..=b'z' {
            assert_eq!(hash(letter), hash(letter.to_ascii_uppercase()));
        }
        let usual: std::collections::BTreeSet<u64> =
            b"abcdefghijklmnopqrstuvwxyz0123456789-_*".iter().map(|octet| hash(*octet)).collect();
        assert_eq!(usual.len(), 39);
    }

    #[test]
    fn names_are_read_alike_however_many_labels_come_before() {
        for labels in 0..=MAX_LABELS + 1 {
            for len in [1, 2, 3] {
                for octet in [0, 1, 2, 9, 63, 64, 192, 255] {
                    let before = [
                        [1, b'x'].repeat(labels / 2),
                        [[len].as_slice(), &[b'y'].repeat(usize::from(len))].concat().repeat(labels.div_ceil(2)),
                    ];
                    let wire = [before.concat(), vec![octet], vec![b'z'; 63], vec![0, 9]].concat();
                    let read = Name::read_from(&wire).map(|(name, _)| name.as_wire());
                    let expected = (1..=wire.len()).find_map(|end| Name::from_wire(&wire[..end]));
                    assert_eq!(read, expected.map(Name::as_wire), "{labels} labels of 1 or {len}, then {octet}");
                }
            }
        }
    }

    #[test]
    fn wire_is_checked() {
        assert!(Name::from_wire(b"\x01a\x00").is_some());
        for bad in [&b""[..], b"\x01a", b"\x01a\x00\x00", b"\x40a\x00", b"\xc0\x0c"] {
            assert!(Name::from_wire(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn names_that_collide_with_one_seed_do_not_with_another() {
        let hash = |text: &str, seed| {
            let mut suffixes = Suffixes::new();
            suffixes.fill_seeded(name(text).as_name(), Tail::WHOLE, seed);
            suffixes.hash(suffixes.labels())
        };
        // The low bits of the upper half choose a slot in a table of 4096. With the first seed, these names have the same
        // slot.
        let place = |text: &str, seed| hash(text, seed) >> 32 & 0xfff;
        let meeting: Vec<String> =
            (0..200_000).map(|number| format!("n{number}.example")).filter(|text| place(text, 1) == 7).collect();
        assert!(meeting.len() > 20, "{}", meeting.len());
        for seed in [2, DEFAULT_SEED, u64::MAX] {
            let mut places: Vec<u64> = meeting.iter().map(|text| place(text, seed)).collect();
            places.sort_unstable();
            places.dedup();
            assert!(places.len() > meeting.len() - 5, "{} places for {}", places.len(), meeting.len());
        }
    }
}
