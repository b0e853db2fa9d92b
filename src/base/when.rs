//! Durations like `2h` and timestamps like those of RFC 3339, as people write and read both.
//!
//! **Invariants**: a timestamp that is written and read back is the same second.
//! **Not here**: reading a clock.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::text::counted;
use super::time::UnixTime;
use super::words::words;

/// Maximum time from now to an end, in seconds: a year. An operator would forget a later end, and should give none.
pub(crate) const MAX_AHEAD_SECS: u64 = 366 * 86_400;

/// The units of durations in milliseconds, the longest first.
const UNITS: [(u64, &str); 5] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")];

/// Reads digits and a unit, `ms`, `s`, `m`, `h` or `d`, as milliseconds.
pub(crate) fn parse_millis(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let (length, _) = UNITS.iter().find(|(_, known)| *known == unit)?;
    number.checked_mul(*length)
}

/// Reads several durations in a row, or decimal ones, as other programs write a duration: `1h30m`, `1h 30m`, `0.5s`. Only for
/// remedies, because a duration in the configuration has one spelling.
pub(crate) fn parse_parts(text: &str) -> Option<u64> {
    let (mut rest, mut sum) = (text.trim(), 0_u64);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|octet| octet.is_ascii_digit() || *octet == b'.').count();
        let unit = rest[digits..].bytes().take_while(u8::is_ascii_lowercase).count();
        let (part, behind) = rest.split_at(digits + unit);
        sum = sum.checked_add(parse_millis(part).or_else(|| parse_decimal(part))?)?;
        rest = behind.trim_start();
    }
    (sum > 0).then_some(sum)
}

/// Reads a decimal number with its unit, like `1.5h`, as milliseconds; a part of one is left out.
fn parse_decimal(text: &str) -> Option<u64> {
    let (whole, rest) = text.split_once('.')?;
    let (digits, unit) = rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count());
    let (length, _) = UNITS.iter().find(|(_, known)| *known == unit)?;
    let shift = 10_u64.checked_pow(u32::try_from(digits.len()).ok()?)?;
    let part = digits.parse::<u64>().ok()?.checked_mul(*length)? / shift;
    whole.parse::<u64>().ok()?.checked_mul(*length)?.checked_add(part)
}

/// Writes milliseconds in the largest whole unit, as [`parse_millis`] reads it: `7d`, not `168h`.
pub(crate) fn written_millis(millis: u64) -> String {
    let fits = |(length, _): &&(u64, &str)| millis >= *length && millis.is_multiple_of(*length);
    match UNITS.iter().find(fits) {
        Some((length, unit)) => format!("{}{unit}", millis / length),
        None => "0s".to_string(),
    }
}

/// Writes a number of seconds in the largest unit of which it has two: `90 seconds`, `2 minutes`.
pub(crate) fn span(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7_200 => (seconds / 60, "minute"),
        7_200..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    counted(count, unit)
}

words! {
    /// Reason why a text is not an end.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum BadEnd: Display {
        /// It is neither a duration nor a timestamp.
        NotATime = "write a duration with its unit (s, m, h or d) like `2h`, or a timestamp like `2026-01-31T18:00:00Z`",
        /// It is not in the future.
        Past = "this is not in the future",
        /// It is beyond [`MAX_AHEAD_SECS`].
        TooFar = "this is more than a year ahead; without an end it stands until it is taken back",
    }
}

impl std::error::Error for BadEnd {}

/// Reads an end: a duration from now, or a timestamp. In a duration, a part of a second counts as a whole one.
pub(crate) fn parse_end(text: &str, now: UnixTime) -> Result<UnixTime, BadEnd> {
    let end = match parse_millis(text) {
        Some(millis) => UnixTime(now.0.saturating_add(millis.div_ceil(1000))),
        None => parse_moment(text).ok_or(BadEnd::NotATime)?,
    };
    match end.0.checked_sub(now.0) {
        None | Some(0) => Err(BadEnd::Past),
        Some(ahead) if ahead > MAX_AHEAD_SECS => Err(BadEnd::TooFar),
        Some(_) => Ok(end),
    }
}

/// Reads a timestamp in the form of RFC 3339.
pub(crate) fn parse_moment(text: &str) -> Option<UnixTime> {
    let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(moment.unix_timestamp()).ok().map(UnixTime)
}

/// Writes a timestamp in the form of RFC 3339.
pub(crate) fn rfc3339(moment: UnixTime) -> String {
    let date = i64::try_from(moment.0).ok().and_then(|secs| OffsetDateTime::from_unix_timestamp(secs).ok());
    // RFC 3339 has no form for years beyond 9999.
    date.and_then(|date| date.format(&Rfc3339).ok()).unwrap_or_else(|| format!("@{}", moment.0))
}

/// Writes milliseconds since 1970 in the form of RFC 3339, with all three digits of the fraction.
pub(crate) fn rfc3339_millis(millis: u64) -> String {
    let mut text = rfc3339(UnixTime(millis / 1000));
    if text.ends_with('Z') {
        text.pop();
        text.push_str(&format!(".{:03}Z", millis % 1000));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime(1_700_000_000);

    #[test]
    fn lengths_have_units() {
        assert_eq!(parse_millis("250ms"), Some(250));
        assert_eq!(parse_millis("2m"), Some(120_000));
        assert_eq!(parse_millis("3d"), Some(3 * 86_400_000));
        for text in ["0s", "250ms", "90s", "2m", "36h", "7d"] {
            assert_eq!(written_millis(parse_millis(text).unwrap()), text);
        }
        for text in ["", "5", "s", "-1s", "1.5h", "1 s", "99999999999999999999s", "18446744073709551615h"] {
            assert_eq!(parse_millis(text), None, "{text}");
        }
    }

    #[test]
    fn lengths_in_parts_are_added() {
        for (text, sum) in [
            ("1h30m", "90m"),
            ("1d 12h", "36h"),
            ("2m", "2m"),
            ("1s500ms", "1500ms"),
            ("0.5s", "500ms"),
            ("1.25h", "75m"),
        ] {
            assert_eq!(parse_parts(text), parse_millis(sum), "{text}");
        }
        for text in ["", "1h30", "h", "1h-5m", "ünf", "0s", ".5s", "1.s", "1.5", "1.5.5s", "0.99999999999999999999s"] {
            assert_eq!(parse_parts(text), None, "{text}");
        }
    }

    #[test]
    fn an_end_is_a_length_or_a_moment_ahead() {
        assert_eq!(parse_end("2h", NOW), Ok(UnixTime(NOW.0 + 7200)));
        assert_eq!(parse_end("1500ms", NOW), Ok(UnixTime(NOW.0 + 2)));
        assert_eq!(parse_end("2023-11-14T23:13:20+01:00", NOW), Err(BadEnd::Past), "it is now");
        assert_eq!(parse_end("2023-11-14T22:13:21Z", NOW), Ok(UnixTime(NOW.0 + 1)));
        for (text, why) in [
            ("", BadEnd::NotATime),
            ("tomorrow", BadEnd::NotATime),
            ("2023-11-14", BadEnd::NotATime),
            ("0s", BadEnd::Past),
            ("1969-12-31T23:59:59Z", BadEnd::NotATime),
            ("367d", BadEnd::TooFar),
            ("18446744073709551615ms", BadEnd::TooFar),
            ("9999-01-01T00:00:00Z", BadEnd::TooFar),
        ] {
            assert_eq!(parse_end(text, NOW), Err(why), "{text}");
        }
    }

    #[test]
    fn a_moment_reads_back() {
        assert_eq!(rfc3339(NOW), "2023-11-14T22:13:20Z");
        assert_eq!(parse_moment(&rfc3339(NOW)), Some(NOW));
        assert_eq!(rfc3339_millis(NOW.0 * 1000 + 7), "2023-11-14T22:13:20.007Z");
        assert_eq!(rfc3339(UnixTime(u64::MAX)), format!("@{}", u64::MAX));
    }

    #[test]
    fn ages_are_told_in_words() {
        assert_eq!(
            [0, 1, 119, 120, 7199, 7200, 172_800].map(span),
            ["0 seconds", "1 second", "119 seconds", "2 minutes", "119 minutes", "2 hours", "2 days"]
        );
    }
}
