//! Owned names, and names read from master file text.
//!
//! **Invariants**: a [`NameBuf`] holds the bytes of a valid [`Name`].
//! **Not here**: the text of a name as output, which is [`Name`]'s own.

use std::fmt;

use super::{MAX_NAME_LEN, Name};

impl Name<'_> {
    /// An owned copy.
    pub fn to_owned(self) -> NameBuf {
        let mut buf = NameBuf { len: self.0.len() as u8, octets: [0; MAX_NAME_LEN] };
        buf.octets[..self.0.len()].copy_from_slice(self.0);
        buf
    }
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
    pub(crate) fn joined(prefix: &[u8], suffix: Name<'_>) -> Option<Self> {
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
