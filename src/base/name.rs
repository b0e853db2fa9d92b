//! Domain names in uncompressed wire form (RFC 1035 §3.1), and the hashes of their suffixes.
//!
//! **Invariants**: a [`Name`] is a sequence of labels of 1 to 63 octets closed by the root label, 255 octets at
//! most; comparison ignores ASCII case (RFC 4343).
//! **Not here**: compression ([`crate::wire`]), trees of names ([`crate::zone`]).

use std::fmt;

use arrayvec::ArrayVec;

/// The most octets in a name, root label included (RFC 1035 §2.3.4).
pub const MAX_NAME_LEN: usize = 255;

/// The most labels in a name, the root not counted: 127 of one octet each fill 255 octets.
pub const MAX_LABELS: usize = 127;

/// A borrowed domain name.
#[derive(Clone, Copy)]
pub struct Name<'a>(&'a [u8]);

impl<'a> Name<'a> {
    /// The root.
    pub const ROOT: Name<'static> = Name(&[0]);

    /// The name that fills `wire` exactly, if it is one.
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

    /// The name that `wire` starts with, and what follows it.
    pub fn split_from(wire: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let mut at = 0;
        loop {
            match *wire.get(at)? {
                0 => break,
                len @ 1..=63 if at < MAX_NAME_LEN => at += 1 + usize::from(len),
                _ => return None,
            }
        }
        let (name, rest) = wire.split_at_checked(at + 1)?;
        (name.len() <= MAX_NAME_LEN).then_some((Name(name), rest))
    }

    /// A name that an earlier stage has checked.
    #[inline]
    pub(crate) fn trusted(wire: &'a [u8]) -> Self {
        debug_assert!(Name::from_wire(wire).is_some(), "{wire:?} is not a name");
        Name(wire)
    }

    /// The octets, root label included.
    #[inline]
    pub fn as_wire(self) -> &'a [u8] {
        self.0
    }

    /// The number of octets, root label included.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "a name is never empty")]
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// Whether this is the root.
    pub fn is_root(self) -> bool {
        self.0.len() == 1
    }

    /// The labels from the left, the root not among them.
    pub fn labels(self) -> Labels<'a> {
        Labels(self.0)
    }

    /// The name without its first label; none for the root.
    #[inline]
    pub fn parent(self) -> Option<Name<'a>> {
        let len = usize::from(self.0[0]);
        (len > 0).then(|| Name(&self.0[1 + len..]))
    }

    /// Whether the first label is `*` (RFC 4592 §2.1.1).
    pub fn is_wildcard(self) -> bool {
        self.0.starts_with(b"\x01*")
    }

    /// Whether this name is `ancestor` or below it.
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
    /// Compares all octets without regard to case; a length octet is below `A`, so folding leaves it alone.
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        // Most names are asked for as they are written.
        self.0 == other.0 || self.0.eq_ignore_ascii_case(other.0)
    }
}

impl Eq for Name<'_> {}

impl fmt::Display for Name<'_> {
    /// Master file form without the trailing dot (the root is `.`); other octets as `\.` or `\DDD`.
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
pub struct Labels<'a>(&'a [u8]);

impl<'a> Iterator for Labels<'a> {
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

/// The most words of eight octets in a name.
const MAX_WORDS: usize = MAX_NAME_LEN.div_ceil(8);

/// Where each suffix of a name starts, and what its hash is made from.
///
/// The name is read once, eight octets at a time from its end, so that the hash of any ancestor is one step more.
/// Hashes ignore ASCII case. The names stored in a table come from the operator's own zones, so a hash need not
/// withstand chosen keys: a stranger's query can only probe what is there.
#[derive(Debug)]
pub struct Suffixes {
    /// Where each suffix starts: the whole name first, the root last.
    offsets: [u8; MAX_LABELS + 1],
    /// The number of labels.
    labels: usize,
    /// The name in lower case, from its end; of the last word only the upper octets may be of the name.
    words: ArrayVec<u64, MAX_WORDS>,
    /// The hash of so many whole words.
    hashes: ArrayVec<u64, { MAX_WORDS + 1 }>,
    /// The octets of the name.
    len: usize,
}

impl Suffixes {
    /// Room for the suffixes of a name, to be filled where it is: it is large, and to move it costs as much as to make it.
    #[inline]
    pub fn new() -> Self {
        Suffixes { offsets: [0; MAX_LABELS + 1], labels: 0, words: ArrayVec::new(), hashes: ArrayVec::new(), len: 0 }
    }

    /// Takes the suffixes of a name, in place of those of another.
    pub fn fill(&mut self, name: Name<'_>) {
        self.fill_up_to(name, MAX_LABELS);
    }

    /// The same, where only suffixes of up to `most` labels will be looked for: longer ones are not read to be hashed.
    ///
    /// A stranger may ask for more labels than any name has that is here, and gets no more work done by it.
    pub fn fill_up_to(&mut self, name: Name<'_>, most: usize) {
        let octets = name.0;
        self.words.clear();
        self.hashes.clear();
        self.len = octets.len();
        let (mut at, mut labels) = (0, 0);
        for offset in &mut self.offsets {
            *offset = at as u8;
            match octets[at] {
                0 => break,
                len => at += 1 + usize::from(len),
            }
            labels += 1;
        }
        self.labels = labels;
        let octets = match labels > most {
            true => &octets[octets.len() - (octets.len() - self.start(most)).next_multiple_of(8).min(octets.len())..],
            false => octets,
        };
        let mut hash = SEED;
        self.hashes.push(hash);
        let words = octets.rchunks_exact(8);
        let first = words.remainder();
        for word in words {
            let word = fold_case(u64::from_le_bytes(word.try_into().expect("a chunk has eight octets")));
            self.words.push(word);
            hash = mix(hash ^ word);
            self.hashes.push(hash);
        }
        if !first.is_empty() {
            let word = match octets.first_chunk() {
                Some(word) => u64::from_le_bytes(*word) << (64 - 8 * first.len()),
                None => {
                    first.iter().rev().fold(0, |word, octet| word << 8 | u64::from(*octet)) << (64 - 8 * first.len())
                }
            };
            self.words.push(fold_case(word));
        }
    }

    /// The number of labels, the root not counted.
    #[inline]
    pub fn labels(&self) -> usize {
        self.labels
    }

    /// Where the suffix of `labels` labels starts in the name's octets.
    #[inline]
    pub fn start(&self, labels: usize) -> usize {
        usize::from(self.offsets[self.labels - labels])
    }

    /// The suffix of `labels` labels of the name that these are the suffixes of.
    #[inline]
    pub fn suffix<'n>(&self, name: Name<'n>, labels: usize) -> Name<'n> {
        Name(&name.0[self.start(labels)..])
    }

    /// The hash of the suffix of `labels` labels; of no more than [`Suffixes::fill_up_to`] was told of.
    #[inline]
    pub fn hash(&self, labels: usize) -> u64 {
        let len = self.len - self.start(labels);
        let (whole, rest) = (len / 8, len % 8);
        let word = if rest == 0 { 0 } else { self.words[whole] >> (64 - 8 * rest) };
        mix(self.hashes[whole] ^ word.rotate_left(5) ^ len as u64)
    }
}

impl Default for Suffixes {
    fn default() -> Self {
        Suffixes::new()
    }
}

/// Where hashes begin.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Stirs 64 bits so that each depends on all.
#[inline]
fn mix(bits: u64) -> u64 {
    let product = u128::from(bits) * 0xff51_afd7_ed55_8ccd;
    (product as u64) ^ ((product >> 64) as u64)
}

/// Turns `A`–`Z` into `a`–`z` in eight octets at once.
#[inline]
fn fold_case(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let low = word & (0x7f * ONES);
    let from_a = low + (0x80 - b'A' as u64) * ONES;
    let past_z = low + (0x80 - b'Z' as u64 - 1) * ONES;
    let upper = from_a & !past_z & !word & (0x80 * ONES);
    word | (upper >> 2)
}

/// An owned name, kept in place.
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

    /// The name of `prefix`'s octets (whole labels) before `suffix`; none if that is longer than 255 octets.
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

/// The octet of an escape (without its backslash) and the number of characters it takes.
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

/// Why a text is not a domain name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// Two dots in a row, a leading dot, or nothing at all.
    EmptyLabel,
    /// A label has more than 63 octets.
    LabelTooLong,
    /// The name has more than 255 octets.
    TooLong,
    /// A backslash is not followed by three digits up to 255 or by a printable character.
    BadEscape,
    /// A space, control character or anything beyond ASCII stands unescaped.
    BadCharacter(u8),
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameError::EmptyLabel => f.write_str("a label is empty"),
            NameError::LabelTooLong => f.write_str("a label has more than 63 octets"),
            NameError::TooLong => f.write_str("the name has more than 255 octets"),
            NameError::BadEscape => f.write_str("a backslash must be followed by three digits or a character"),
            NameError::BadCharacter(octet) => {
                write!(f, "octet {octet} must be written as \\{octet:03}; internationalized names as xn--…")
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
        // Whatever stands before, and wherever the words of eight octets fall.
        for labels in ["", "a.", "abcdefg.", "0123456789abcdef.x."] {
            let longer = name(&format!("{labels}Blob.k8s.io"));
            assert_eq!(longer.as_name().suffixes().hash(3), b.hash(3), "{labels}");
            assert_eq!(longer.as_name().suffixes().hash(0), name(".").as_name().suffixes().hash(0));
        }
        // And with longer ones left out.
        let (mut few, most) = (Suffixes::new(), name(&format!("{}www.Blob.k8s.io", "x.".repeat(119))));
        for labels in 0..=4 {
            few.fill_up_to(most.as_name(), labels);
            assert_eq!(few.labels(), 123);
            assert!((0..=labels).all(|labels| few.hash(labels) == a.hash(labels)), "{labels}");
        }
        assert_eq!(a.start(3), 4);
        assert!(long.as_name().ends_with(short.as_name()));
        assert!(!name("notblob.k8s.io").as_name().ends_with(short.as_name()));
    }

    #[test]
    fn case_folding_touches_letters_only() {
        for octet in 0..=255u8 {
            let folded = fold_case(u64::from_le_bytes([octet; 8])).to_le_bytes();
            assert_eq!(folded, [octet.to_ascii_lowercase(); 8], "octet {octet}");
        }
    }

    #[test]
    fn wire_is_checked() {
        assert!(Name::from_wire(b"\x01a\x00").is_some());
        for bad in [&b""[..], b"\x01a", b"\x01a\x00\x00", b"\x40a\x00", b"\xc0\x0c"] {
            assert!(Name::from_wire(bad).is_none(), "{bad:?}");
        }
    }
}
