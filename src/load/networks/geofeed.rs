//! Geofeeds: lines of `prefix,country,region,city,postal` (RFC 8805).
//!
//! Only the first three fields are used. None of these can hold a comma, so a line is cut at commas, and quotes around the
//! city do not matter. A quote that is never closed cannot swallow the lines after it.
//!
//! **Invariants**: a line without country stays, without a place: the place of its prefix is unknown, even if a wider prefix
//! has one (RFC 8805 §2.1.3). A line that cannot be read is left out, and no part of it is used or repaired (§2.1.2).
//! **Not here**: the share of such lines that refuses the file ([`Gather::leave_out`]).

use super::format::{Format, Parser};
use super::gather::{Gather, KEEP_LAST_GOOD};
use super::list;
use super::text::SourceText;
use super::{DOWNLOAD_AGAIN, clip, continents, no_prefixes};
use crate::base::diagnostic::Diagnostic;
use crate::base::prefix::Prefix;
use crate::networks::{LabelKind, Labels};

/// The format.
pub(super) const FORMAT: Format = Format { noun: "a geofeed", keys: &[], parser: Parser::Text(read) };

/// Reads the feed.
fn read(gather: &mut Gather<'_>) -> Result<(), Vec<Diagnostic>> {
    let text = gather.text;
    list::refuse_json(gather)?;
    let provider = gather.provider(None);
    let mut unknown_countries = Oddities::default();
    let mut unknown_regions = Oddities::default();
    let mut entries = 0;
    for (number, line) in text.lines() {
        // RFC 8805 §2.1: blank lines and lines that begin with `#` are comments.
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        entries += 1;
        let Some((prefix, country, region)) = read_entry(gather, number, line) else { continue };
        let place = locate(country, region);
        if let Some(LinePlace { continent, subdivision, .. }) = &place {
            unknown_countries.note(country, continent.is_none());
            unknown_regions.note(region, !region.is_empty() && subdivision.is_none());
        }
        let labels = place.as_ref().map_or(provider, |place| place.labels(provider));
        let labels = gather.intern(labels);
        gather.add(prefix, labels, number);
    }
    gather.leave_out(entries);
    gather.warn(unknown_countries.warning(text, "unknown-country", "country", "an ISO 3166-1 code like `GB`"));
    gather.warn(unknown_regions.warning(text, "unknown-region", "region", "an ISO 3166-2 code like `US-CA`"));
    if gather.has_prefixes() { Ok(()) } else { Err(vec![no_prefixes(gather.network).help(DOWNLOAD_AGAIN)]) }
}

/// Reads prefix, country and region of a line. `None` if one of the first two cannot be read; its error is then noted.
fn read_entry<'a>(gather: &mut Gather<'a>, number: u32, line: &'a str) -> Option<(Prefix, &'a str, &'a str)> {
    let text = gather.text;
    if let Err(too_long) = list::check_length(gather, number, line) {
        too_long.into_iter().for_each(|error| gather.refuse(|| error));
        return None;
    }
    let mut fields = line.split(',').map(bare);
    let [written, country, region] = [(); 3].map(|()| fields.next().unwrap_or_default());
    // Some programs read a number with a leading zero as octal, so its meaning is uncertain.
    let has_leading_zero = written.split_once('/').is_some_and(|(_, len)| len.len() > 1 && len.starts_with('0'));
    if has_leading_zero {
        gather.refuse(|| {
            let message = format!("`{}` is not a prefix: its length has a leading zero", clip(written));
            Diagnostic::error("bad-prefix", message).at(text.place_of(written), "this one").help(KEEP_LAST_GOOD)
        });
        return None;
    }
    let prefix = gather.parse(written, || text.place_of(written))?;
    if !is_country(country) {
        gather.refuse(|| {
            Diagnostic::error("bad-country", format!("`{}` is not a country", clip(country)))
                .at(text.place_of(country), "two letters are wanted")
                .help("a line is `prefix,country,region,city,postal`, with an ISO 3166 country like `DE`, or none")
        });
        return None;
    }
    Some((prefix, country, region))
}

/// A field without the blanks and quotes around it.
fn bare(field: &str) -> &str {
    let field = field.trim();
    field.strip_prefix('"').and_then(|field| field.strip_suffix('"')).unwrap_or(field).trim()
}

fn is_country(field: &str) -> bool {
    field.is_empty() || (field.len() == 2 && field.bytes().all(|octet| octet.is_ascii_alphabetic()))
}

/// The place of a line.
struct LinePlace {
    country: String,
    continent: Option<&'static str>,
    subdivision: Option<String>,
}

impl LinePlace {
    fn labels<'a>(&'a self, others: Labels<'a>) -> Labels<'a> {
        others
            .with(LabelKind::Country, &*self.country)
            .with_optional(LabelKind::Continent, self.continent)
            .with_optional(LabelKind::Subdivision, self.subdivision.as_deref())
    }
}

/// The place of a line. `None` if the line has no place.
fn locate(country: &str, region: &str) -> Option<LinePlace> {
    // RFC 8805 §2.1.1.2, §2.1.1.3: both fields are read without regard to case. §2.1.3: `ZZ` once meant none.
    let country = country.to_ascii_uppercase();
    if country.is_empty() || country == "ZZ" {
        return None;
    }
    let region = region.to_ascii_uppercase();
    let is_subdivision = region.split_once('-').is_some_and(|(of, part)| {
        of == country && (1..=3).contains(&part.len()) && part.bytes().all(|octet| octet.is_ascii_alphanumeric())
    });
    Some(LinePlace { continent: continents::of(&country), subdivision: is_subdivision.then_some(region), country })
}

/// Values that were passed over, for one warning.
#[derive(Default)]
struct Oddities<'a> {
    first: Option<&'a str>,
    count: usize,
}

impl<'a> Oddities<'a> {
    fn note(&mut self, value: &'a str, is_odd: bool) {
        if is_odd {
            self.first.get_or_insert(value);
            self.count += 1;
        }
    }

    fn warning(&self, text: &SourceText<'_>, code: &'static str, what: &str, wanted: &str) -> Option<Diagnostic> {
        let first = self.first?;
        let message = match self.count {
            1 => format!("`{first}` is no known {what}"),
            more => format!("{more} lines have no known {what}, `{first}` first of them"),
        };
        let help = format!("rules by place will not match there; wanted is {wanted}");
        Some(Diagnostic::warning(code, message).at(text.place_of(first), "the first of them").help(help))
    }
}
