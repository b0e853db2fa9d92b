//! The text of LOC records (RFC 1876 §3).
//!
//! `d1 [m1 [s1]] N|S d2 [m2 [s2]] E|W altitude[m] [size[m] [horizontal[m] [vertical[m]]]]`
//!
//! **Not here**: wire form ([`crate::base::rdata`]).

use super::RdataError;
use super::tokens::{RdataWord, Tokens};

/// The equator and the prime meridian, in thousandths of a second.
const ORIGIN: u32 = 1 << 31;

/// The lowest altitude below sea level, in centimeters.
const DEPTH: u32 = 10_000_000;

/// RFC 1876 §3: size 1 m, horizontal precision 10 km, vertical precision 10 m, as digit and power of ten of centimeters.
const DEFAULT_SIZES: [u8; 3] = [0x12, 0x16, 0x13];

/// Writes the position that the tokens stand for.
pub(super) fn scan(tokens: &mut Tokens<'_>, out: &mut Vec<u8>) -> Result<(), RdataError> {
    let latitude = coordinate(tokens, 90, b"SN")?;
    let longitude = coordinate(tokens, 180, b"WE")?;
    let altitude = altitude(tokens.bare()?)?;
    let mut sizes = DEFAULT_SIZES;
    for size in &mut sizes {
        if tokens.are_over() {
            break;
        }
        *size = precision(tokens.bare()?)?;
    }
    out.push(0);
    out.extend_from_slice(&sizes);
    for number in [latitude, longitude, altitude] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    Ok(())
}

/// Degrees, minutes and seconds up to the direction, which is one of two: toward smaller numbers, and toward greater ones.
fn coordinate(tokens: &mut Tokens<'_>, most: u32, [less, more]: &[u8; 2]) -> Result<u32, RdataError> {
    let mut thousandths = 0;
    let limits = [most, 59];
    for place in 0.. {
        let word = tokens.bare()?;
        if place > 0 && [[*less], [*more]].iter().any(|direction| word.bytes == direction) {
            return if word.bytes == [*less] { Ok(ORIGIN - thousandths) } else { Ok(ORIGIN + thousandths) };
        }
        thousandths += match (place, limits.get(place)) {
            (0, Some(most)) => word.number(*most)? * 3_600_000,
            (_, Some(most)) => word.number(*most)? * 60_000,
            (2, None) => decimal(word.text(), 3)
                .filter(|seconds| *seconds < 60_000)
                .ok_or_else(|| word.bad("expected seconds below 60 with up to three decimals"))?
                as u32,
            (_, None) => return Err(word.bad(format!("expected `{}` or `{}`", *more as char, *less as char))),
        };
        if thousandths > most * 3_600_000 {
            return Err(word.bad(format!("more than {most} degrees")));
        }
    }
    Err(RdataError::TooShort)
}

/// Meters above or below sea level, in centimeters above the lowest altitude.
fn altitude(word: RdataWord<'_>) -> Result<u32, RdataError> {
    let text = word.text();
    let (below, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
    let cm = decimal(text.strip_suffix('m').unwrap_or(text), 2).and_then(|cm| u32::try_from(cm).ok());
    let altitude = cm.and_then(|cm| if below { DEPTH.checked_sub(cm) } else { DEPTH.checked_add(cm) });
    altitude.ok_or_else(|| word.bad("expected meters from -100000.00 to 42849672.95"))
}

/// Meters as one digit and a power of ten of centimeters; further digits are dropped.
fn precision(word: RdataWord<'_>) -> Result<u8, RdataError> {
    let text = word.text();
    let cm = decimal(text.strip_suffix('m').unwrap_or(text), 2).filter(|cm| *cm <= 9_000_000_099);
    let mut cm = cm.ok_or_else(|| word.bad("expected meters up to 90000000.00"))?;
    let mut power = 0;
    while cm >= 10 {
        cm /= 10;
        power += 1;
    }
    Ok((cm as u8) << 4 | power)
}

/// A number with up to so many decimals, as a multiple of the least of them.
fn decimal(text: &str, decimals: usize) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_number = [whole, part].iter().all(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    if !is_number || part.len() > decimals || (whole.is_empty() && part.is_empty()) || whole.len() > 10 {
        return None;
    }
    format!("{whole}{part:0<decimals$}").parse().ok()
}
