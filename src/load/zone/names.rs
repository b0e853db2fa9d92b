//! Names and times as master files write them: relative names, and TTLs with units.
//!
//! **Not here**: escapes and limits of names ([`crate::base::name`]).

use crate::base::name::{Name, NameBuf, NameError};

/// The name that `text` means where `origin` is in force (RFC 1035 §5.1): `@`, relative, or absolute with a final dot.
pub(super) fn resolve(text: &[u8], origin: Name<'_>) -> Result<NameBuf, NameError> {
    if text == b"@" {
        return Ok(origin.to_owned());
    }
    let text = std::str::from_utf8(text)
        .map_err(|error| NameError::BadCharacter(text.get(error.valid_up_to()).copied().unwrap_or(0)))?;
    let name = NameBuf::parse(text)?;
    if is_absolute(text.as_bytes()) {
        return Ok(name);
    }
    let wire = name.as_name().as_wire();
    NameBuf::joined(&wire[..wire.len() - 1], origin).ok_or(NameError::TooLong)
}

/// Returns whether the text ends with a dot that no backslash escapes.
pub(super) fn is_absolute(text: &[u8]) -> bool {
    let Some((b'.', before)) = text.split_last() else { return false };
    before.iter().rev().take_while(|octet| **octet == b'\\').count() % 2 == 0
}

/// A time in seconds: `3600`, or with units as BIND has them, `1h30m` (weeks, days, hours, minutes, seconds).
pub(super) fn parse_time(text: &[u8]) -> Option<u64> {
    let mut total: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.iter().take_while(|octet| octet.is_ascii_digit()).count();
        let number: u64 = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
        let unit = match rest.get(digits).map(u8::to_ascii_lowercase) {
            // A number by itself is in seconds; after others it is a slip.
            None if digits == text.len() => 1,
            Some(b's') => 1,
            Some(b'm') => 60,
            Some(b'h') => 3600,
            Some(b'd') => 86_400,
            Some(b'w') => 604_800,
            _ => return None,
        };
        total = total.saturating_add(number.saturating_mul(unit));
        rest = rest.get(digits + 1..).unwrap_or_default();
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_relative_unless_they_end_with_a_dot() {
        let origin = NameBuf::parse("example").unwrap();
        let resolved = |text: &str| resolve(text.as_bytes(), origin.as_name()).map(|name| name.to_string());
        assert_eq!(resolved("@").unwrap(), "example");
        assert_eq!(resolved("www").unwrap(), "www.example");
        assert_eq!(resolved("www.").unwrap(), "www");
        assert_eq!(resolved("www\\.").unwrap(), "www\\..example");
        assert_eq!(resolved("www\\\\.").unwrap(), "www\\\\");
        assert_eq!(resolved(".").unwrap(), ".");
        assert_eq!(resolved("a..b"), Err(NameError::EmptyLabel));
        assert_eq!(resolved(&"a.".repeat(126)[..251]), Err(NameError::TooLong));
    }

    #[test]
    fn times_may_have_units() {
        for (text, seconds) in [
            ("0", Some(0)),
            ("3600", Some(3600)),
            ("1h30m", Some(5400)),
            ("1W2D", Some(777_600)),
            ("4294967296", Some(1 << 32)),
            ("8000w", Some(4_838_400_000)),
            ("18446744073709551615w", Some(u64::MAX)),
            ("1h30", None),
            ("h", None),
            ("", None),
            ("-1", None),
            ("1.5h", None),
        ] {
            assert_eq!(parse_time(text.as_bytes()), seconds, "{text}");
        }
    }
}
