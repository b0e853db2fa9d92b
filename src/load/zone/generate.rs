//! `$GENERATE` as BIND has it: one record for each number of a range.
//!
//! `$GENERATE first-last[/step] owner [TTL] [class] type data`: in owner and data, `$` is the number, `${offset}`,
//! `${offset,width}` and `${offset,width,base}` are the number with something added, filled up with zeros, and in
//! decimal (`d`), octal (`o`), hex (`x`, `X`), or hex digits from the last to the first with dots between them (`n`, `N`).
//! `$$` is a dollar sign; so is `\$`. Data of several words is in quotes.
//!
//! **Invariants**: the number of records is known, and bounded, before the first is made.
//! **Not here**: the meaning of the records ([`super::reader`]).

use std::io::Write as _;

use crate::base::text::parse_digits;

/// The most records of one `$GENERATE`: the addresses of an IPv4 /16.
pub(super) const MAX_GENERATED: u32 = 65_536;

/// The greatest width of a number.
const MAX_WIDTH: usize = 255;

/// The numbers of a `$GENERATE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GenerateRange {
    first: u32,
    last: u32,
    step: u32,
}

impl GenerateRange {
    /// Reads `first-last` or `first-last/step`, numbers of 31 bits.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (range, step) = text.split_once('/').unwrap_or((text, "1"));
        let (first, last) = range.split_once('-')?;
        let number = |text: &str| parse_digits(text).filter(|number| *number <= i32::MAX as u32);
        let range = GenerateRange { first: number(first)?, last: number(last)?, step: number(step)? };
        (range.step > 0 && range.first <= range.last).then_some(range)
    }

    /// The number of numbers.
    pub(super) fn count(self) -> u32 {
        (self.last - self.first) / self.step + 1
    }

    /// The numbers.
    pub(super) fn numbers(self) -> impl Iterator<Item = u32> {
        (self.first..=self.last).step_by(self.step as usize)
    }
}

/// Appends a template with a number put in; `None` if it is malformed.
pub(super) fn fill(template: &[u8], number: u32, out: &mut Vec<u8>) -> Option<()> {
    let mut rest = template;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            // An escape is for the reader of the record.
            (b'\\', [escaped, more @ ..]) => {
                out.extend_from_slice(&[b'\\', *escaped]);
                rest = more;
            }
            (b'$', [b'$', more @ ..]) => {
                out.extend_from_slice(b"\\$");
                rest = more;
            }
            (b'$', [b'{', more @ ..]) => {
                let end = more.iter().position(|byte| *byte == b'}')?;
                write(&more[..end], number, out)?;
                rest = &more[end + 1..];
            }
            (b'$', _) => {
                // Writing to memory does not fail.
                let _ = write!(out, "{number}");
            }
            _ => out.push(byte),
        }
    }
    Some(())
}

/// The data in quotes, itself a text with quotes: `\"` in it is a quote.
pub(super) fn unquote(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len());
    let mut rest = content;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'\\', [b'"', more @ ..]) => {
                out.push(b'"');
                rest = more;
            }
            (b'\\', [escaped, more @ ..]) => {
                out.extend_from_slice(&[b'\\', *escaped]);
                rest = more;
            }
            _ => out.push(byte),
        }
    }
    out
}

/// Writes a number in a format `offset[,width[,base]]`.
fn write(format: &[u8], number: u32, out: &mut Vec<u8>) -> Option<()> {
    let mut parts = std::str::from_utf8(format).ok()?.split(',');
    let offset: i32 = parts.next()?.parse().ok()?;
    let width: usize = parts.next().map_or(Some(0), |width| width.parse().ok())?;
    let base = parts.next().unwrap_or("d");
    if parts.next().is_some() || width > MAX_WIDTH {
        return None;
    }
    let value = i32::try_from(i64::from(number) + i64::from(offset)).ok()?;
    let written = match base {
        "d" => write!(out, "{value:0width$}"),
        "o" => write!(out, "{value:0width$o}"),
        "x" => write!(out, "{value:0width$x}"),
        "X" => write!(out, "{value:0width$X}"),
        "n" | "N" => {
            let digits = if base == "n" { b"0123456789abcdef" } else { b"0123456789ABCDEF" };
            nibbles(value as u32, width, digits, out);
            Ok(())
        }
        _ => return None,
    };
    written.ok()
}

/// Hex digits, the last one first, with dots between them; digits and dots fill the width.
fn nibbles(mut value: u32, width: usize, digits: &[u8; 16], out: &mut Vec<u8>) {
    for written in 1.. {
        if written % 2 == 0 {
            out.push(b'.');
        } else {
            out.push(digits[value as usize & 15]);
            value >>= 4;
        }
        if written >= width && value == 0 {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_a_step_and_a_known_count() {
        let count = |text: &str| GenerateRange::parse(text.as_bytes()).map(GenerateRange::count);
        assert_eq!(count("1-3"), Some(3));
        assert_eq!(count("0-10/4"), Some(3));
        assert_eq!(GenerateRange::parse(b"0-10/4").unwrap().numbers().collect::<Vec<_>>(), [0, 4, 8]);
        assert_eq!(count("0-2147483647"), Some(1 << 31));
        for wrong in ["3-1", "1", "1-2/0", "1-", "-1-2", "1-2147483648", "1-2x", "1-2/1x", "0-4294967295", "+1-2", ""] {
            assert_eq!(count(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn templates_are_filled_as_bind_fills_them() {
        let filled = |template: &str, number| {
            let mut out = Vec::new();
            fill(template.as_bytes(), number, &mut out).map(|()| String::from_utf8(out).unwrap())
        };
        for (template, number, expected) in [
            ("h$", 7, "h7"),
            ("h$$", 7, "h\\$"),
            ("h\\$", 7, "h\\$"),
            ("${1,3,d}.$", 2, "003.2"),
            ("${-5}", 12, "7"),
            ("${-5,3}", 0, "-05"),
            ("${0,4,o}", 10, "0012"),
            ("${0,2,x}${0,0,X}", 10, "0aA"),
            ("${0,3,n}", 255, "f.f"),
            ("${0,3,n}", 256, "0.0.1"),
            ("${0,7,N}x", 255, "F.F.0.0x"),
            ("${0,8,n}", 255, "f.f.0.0."),
            ("${+1}", 1, "2"),
        ] {
            assert_eq!(filled(template, number).unwrap(), expected, "{template} {number}");
        }
        for wrong in
            ["${", "${}", "${0", "${1,}", "${1,2,}", "${1,,x}", "${0,2,q}", "${0,2,d,1}", "${0,999}", "${2147483647}"]
        {
            assert_eq!(filled(wrong, 1), None, "{wrong}");
        }
    }
}
