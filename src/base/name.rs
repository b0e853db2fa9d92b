//! Domain names in uncompressed wire form (RFC 1035 §3.1), and the hashes of their suffixes.
//!
//! **Invariants**: a [`Name`] is a sequence of labels of 1 to 63 bytes closed by the root label, 255 bytes at
//! most; comparison ignores ASCII case (RFC 4343).
//! **Not here**: hashes of suffixes ([`suffixes`]), owned names ([`owned`]), compression ([`crate::wire`]),
//! trees of names ([`crate::zone`]).

mod order;
mod owned;
mod suffixes;

use std::fmt;

pub(crate) use order::MAX_SORT_KEY_LEN;
pub use owned::NameBuf;
pub(crate) use owned::NameError;
pub use suffixes::{Suffixes, seed_hashes};

/// A name as a key: its bytes in lower case (RFC 4343).
pub(crate) type NameKey = Vec<u8>;

/// Maximum length in bytes of a name, root label included (RFC 1035 §2.3.4).
pub(crate) const MAX_NAME_LEN: usize = 255;

/// Maximum number of labels in a name, the root not counted: 127 of one byte each fill 255 bytes.
pub(crate) const MAX_LABELS: usize = 127;

/// A borrowed domain name.
#[derive(Clone, Copy)]
pub struct Name<'a>(&'a [u8]);

impl<'a> Name<'a> {
    /// The root.
    pub(crate) const ROOT: Name<'static> = Name(&[0]);

    /// Returns the name that fills `wire` exactly; `None` if `wire` is not a name.
    pub(crate) fn from_wire(wire: &'a [u8]) -> Option<Self> {
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
    pub(crate) fn read_from(wire: &'a [u8]) -> Option<(Self, Tail)> {
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

    /// The key of the name in a map: its bytes in lower case.
    pub(crate) fn key(self) -> NameKey {
        self.0.to_ascii_lowercase()
    }

    /// The number of bytes, root label included.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "a name is never empty")]
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// Tells whether this is the root.
    pub(crate) fn is_root(self) -> bool {
        self.0.len() == 1
    }

    /// The text of the name with its final dot, as a master file has it.
    pub(crate) fn absolute(self) -> String {
        if self.is_root() { ".".to_string() } else { format!("{self}.") }
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
    pub(crate) fn is_wildcard(self) -> bool {
        self.0.starts_with(b"\x01*")
    }

    /// Tells whether this name is `ancestor` or below it.
    #[inline]
    pub(crate) fn ends_with(self, ancestor: Name<'_>) -> bool {
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
pub(crate) struct Tail {
    /// Its offset in the name's bytes.
    start: u8,
    /// The number of labels before it.
    before: u8,
}

impl Tail {
    /// The whole name.
    pub(crate) const WHOLE: Tail = Tail { start: 0, before: 0 };
}

/// A name in a test.
#[cfg(test)]
pub(crate) fn name(text: &str) -> NameBuf {
    NameBuf::parse(text).unwrap()
}

#[cfg(test)]
mod tests;
