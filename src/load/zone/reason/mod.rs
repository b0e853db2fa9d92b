//! The errors and warnings of master files, in the operator's words, with the remedy.
//!
//! In: a place and its text or values. Out: diagnostics. One function per case, in the order in which a file is read.
//!
//! **Not here**: finding errors ([`super::reader`], [`super::rdata`], [`super::split`]); record data
//! ([`data`]); whole files ([`mod@file`]).

mod data;
mod file;

pub(super) use data::bad_data;
pub(super) use file::{
    UNREADABLE, files_too_large, include_failed, include_loop, include_too_deep, missing_line_end, no_records,
    too_many_includes, unreadable, wrong_kind_of_file,
};

use std::net::{Ipv4Addr, Ipv6Addr};

use super::generate::MAX_GENERATED;
use super::sources::ZoneLine;
use super::sources::ZoneSource;
use super::split::{SplitError, ZoneToken};
use super::{MAX_GENERATED_IN_ZONE, MAX_RECORDS};
use crate::base::diagnostic::{Diagnostic, Place, nearest};
use crate::base::name::{Name, NameError};
use crate::base::time::Ttl;
use crate::zone::{AddError, SignedFault, SignedZone};

/// The types that operators write, for "did you mean".
const TYPES: [&str; 24] = [
    "A", "AAAA", "CAA", "CDNSKEY", "CDS", "CNAME", "DNAME", "DNSKEY", "DS", "HINFO", "HTTPS", "IN", "MX", "NAPTR",
    "NS", "NSEC", "NSEC3", "PTR", "RRSIG", "SOA", "SRV", "SSHFP", "TLSA", "TXT",
];

/// The directives of RFC 1035 §5.1 and RFC 2308 §4, and BIND's own.
const DIRECTIVES: [&str; 4] = ["$GENERATE", "$INCLUDE", "$ORIGIN", "$TTL"];

/// A text that cannot be split into entries from some place on.
pub(super) fn unsplittable(source: &ZoneSource, error: SplitError) -> Diagnostic {
    let (code, range, message, label, help) = match error {
        SplitError::StrayParenthesis(range) => (
            "unbalanced-parenthesis",
            range,
            "`)` without `(`",
            "closes nothing",
            "remove it, or write it as `\\)` if it is part of a name",
        ),
        SplitError::OpenParenthesis(range) => (
            "unbalanced-parenthesis",
            range,
            "`(` is not closed before the end of the file",
            "opened here",
            "add `)` where the record ends; the file may be cut short",
        ),
        SplitError::OpenQuote(range) => (
            "open-quote",
            range,
            "a quoted string does not end on its line",
            "opened here",
            "add `\"` where the string ends; write a quote inside of it as `\\\"`",
        ),
        SplitError::DanglingEscape(range) => (
            "bad-escape",
            range,
            "a backslash ends the line",
            "nothing to escape",
            "records go on over several lines in parentheses only",
        ),
        SplitError::ControlCharacter(range) => (
            "bad-character",
            range,
            "a control character stands outside of quotes",
            "",
            "remove it, or write it as `\\DDD`, its number in three decimal digits",
        ),
        SplitError::BeyondAscii(range) => (
            "bad-character",
            range,
            "a character beyond ASCII stands outside of quotes",
            "",
            "write internationalized names in their `xn--` form, and text in quotes",
        ),
    };
    Diagnostic::error(code, message).at(source.place(range), label).help(help)
}

/// An error at a token, with its remedy.
fn error(
    line: ZoneLine<'_>,
    token: &ZoneToken,
    code: &'static str,
    message: impl Into<String>,
    label: &str,
    help: impl Into<String>,
) -> Box<Diagnostic> {
    Box::new(Diagnostic::error(code, message).at(line.source.place(token.range.clone()), label).help(help))
}

fn shown(octets: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(octets)
}

/// A token that is no domain name.
pub(super) fn bad_name(line: ZoneLine<'_>, token: &ZoneToken, why: NameError) -> Box<Diagnostic> {
    let message = format!("`{}` is not a domain name: {why}", shown(line.content(token)));
    let help = match why {
        NameError::EmptyLabel => "remove the dot that is too much",
        NameError::LabelTooLong | NameError::TooLong => "shorten it; relative names have the origin added to them",
        NameError::BadEscape => "write a backslash itself as `\\\\`",
        NameError::BadCharacter(_) => "host names have letters, digits and hyphens",
    };
    error(line, token, "bad-name", message, "not a name", help)
}

/// An owner in quotes.
pub(super) fn quoted_owner(line: ZoneLine<'_>, token: &ZoneToken) -> Box<Diagnostic> {
    error(line, token, "bad-name", "an owner cannot be in quotes", "", "remove the quotes")
}

/// A name that ends with the apex twice.
pub(super) fn missing_dot(line: ZoneLine<'_>, token: &ZoneToken, name: Name<'_>) -> Diagnostic {
    let written = shown(line.content(token));
    let message = format!("`{written}` stands for `{name}`, with the zone's name twice");
    Diagnostic::warning("missing-dot", message)
        .at(line.source.place(token.range.clone()), "no final dot")
        .help(format!("a name without a final dot is relative; write `{written}.`"))
}

/// A first record that leaves out its owner.
pub(super) fn no_owner(line: ZoneLine<'_>) -> Box<Diagnostic> {
    let message = "the record has no owner, and there is none above to go on with";
    let help = "start the line with an owner, such as `@` for the origin";
    error(line, &line.entry.tokens[0], "no-owner", message, "white space before this", help)
}

/// A token in the position of a type that is no type.
pub(super) fn unknown_type(line: ZoneLine<'_>, token: &ZoneToken, index: usize) -> Box<Diagnostic> {
    let word = shown(line.octets(token));
    if word.starts_with(|first: char| first.is_ascii_digit()) {
        let message = format!("`{word}` is neither a TTL nor a record type");
        let help = if word.parse::<Ipv4Addr>().is_ok() {
            format!("put the type before the data: `A {word}`")
        } else if word.parse::<Ipv6Addr>().is_ok() {
            format!("put the type before the data: `AAAA {word}`")
        } else {
            "write a TTL in seconds, or with units like `1h30m`".into()
        };
        return error(line, token, "bad-ttl", message, "", help);
    }
    let message = format!("`{word}` is not a record type");
    let help = match nearest(&word.to_ascii_uppercase(), TYPES) {
        Some(near) => format!("did you mean `{near}`? types without a name are written as `TYPE123`"),
        None if line.entry.is_indented && index == 0 => {
            "an owner stands in the first column; white space there means the owner above".into()
        }
        None => "a record is `owner [TTL] [IN] type data`; types without a name are written as `TYPE123`".into(),
    };
    error(line, token, "unknown-type", message, "not a type", help)
}

/// An entry that ends before its type.
pub(super) fn no_type(line: ZoneLine<'_>) -> Box<Diagnostic> {
    let last = &line.entry.tokens[line.entry.tokens.len() - 1];
    let help = "a record is `owner [TTL] [IN] type data`";
    error(line, last, "no-type", "the record has no type", "ends here", help)
}

/// Another class than IN.
pub(super) fn other_class(line: ZoneLine<'_>, token: &ZoneToken) -> Box<Diagnostic> {
    let message = format!("class `{}` is not served", shown(line.octets(token)));
    error(line, token, "other-class", message, "", "write `IN`, or leave the class out")
}

/// A TTL that is no time.
pub(super) fn bad_ttl(line: ZoneLine<'_>, token: &ZoneToken) -> Box<Diagnostic> {
    let message = format!("`{}` is not a TTL", shown(line.octets(token)));
    error(line, token, "bad-ttl", message, "", "write seconds, or units like `1h30m`")
}

/// A TTL beyond 31 bits.
pub(super) fn ttl_out_of_range(line: ZoneLine<'_>, token: &ZoneToken) -> Box<Diagnostic> {
    let message = format!("TTL `{}` is too long", shown(line.octets(token)));
    let help = format!("a TTL is at most {} seconds (RFC 2181 §8); a week is `1w`", Ttl::MAX.0);
    error(line, token, "bad-ttl", message, "", help)
}

/// A TTL of 32 bits with the first bit set.
pub(super) fn ttl_is_zero(line: ZoneLine<'_>, token: &ZoneToken) -> Diagnostic {
    let message = format!("TTL `{}` is more than {} seconds, and stands for 0", shown(line.octets(token)), Ttl::MAX.0);
    Diagnostic::warning("bad-ttl", message)
        .at(line.source.place(token.range.clone()), "")
        .help("RFC 2181 §8; a week is `1w`")
}

/// A `$GENERATE` whose range is malformed.
pub(super) fn bad_range(line: ZoneLine<'_>, token: &ZoneToken) -> Box<Diagnostic> {
    let message = format!("`{}` is not a range of numbers", shown(line.octets(token)));
    let help = "write `first-last` or `first-last/step`, numbers up to 2147483647";
    error(line, token, "bad-directive", message, "", help)
}

/// A `$GENERATE` of too many records; `count` is the number in this one, and `most` the number that is allowed.
pub(super) fn too_many_generated(line: ZoneLine<'_>, token: &ZoneToken, count: u32, most: u32) -> Box<Diagnostic> {
    let message = format!("`$GENERATE` makes {count} records, and at most {most} more are allowed");
    let help = format!(
        "one `$GENERATE` makes at most {MAX_GENERATED} records, all of a zone {MAX_GENERATED_IN_ZONE}; a wildcard may do"
    );
    error(line, token, "bad-directive", message, "", help)
}

/// A template of `$GENERATE` that cannot be filled.
pub(super) fn bad_template(line: ZoneLine<'_>, token: &ZoneToken) -> Box<Diagnostic> {
    let message = format!("`{}` cannot be filled with a number", shown(line.octets(token)));
    let help =
        "write `$` or `${offset,width,base}` with base `d`, `o`, `x`, `X`, `n` or `N`, and `$$` for a dollar sign";
    error(line, token, "bad-directive", message, "", help)
}

/// A `$GENERATE` whose data has several words.
pub(super) fn several_words(line: ZoneLine<'_>, token: &ZoneToken) -> Box<Diagnostic> {
    let message = "the data of `$GENERATE` has several words";
    error(line, token, "bad-directive", message, "the second", "put it in quotes, like `MX \"10 mail$\"`")
}

/// DNSSEC records that are left out, of this number. The place is that of the first one.
pub(super) fn signed_zone(first: Place, treatment: SignedZone, count: usize) -> Diagnostic {
    let (message, help) = match treatment {
        SignedZone::SignedHere | SignedZone::SignedHereExceptKeys => (
            format!("the zone is signed here: {count} DNSSEC records of its file are left out"),
            "nothing need be done; a file without them loads faster",
        ),
        SignedZone::Stripped | SignedZone::Kept => (
            format!("the zone is served without its DNSSEC records: {count} are left out"),
            "`unsigned = true` says so; resolvers refuse the zone while the parent zone has a DS for it",
        ),
    };
    Diagnostic::warning("signed-zone", message).at(first, "the first").help(help)
}

/// A fault of a zone that comes signed.
pub(super) fn signed_fault(zone: Place, fault: &SignedFault) -> Diagnostic {
    Diagnostic::error(fault.as_str(), fault.to_string()).at(zone, "this zone").help(fault.help())
}

/// A record without TTL, with no TTL above that applies to it.
pub(super) fn no_ttl(line: ZoneLine<'_>) -> Box<Diagnostic> {
    let message = "the record has no TTL, and there is none above to go by";
    let help = "put a line like `$TTL 1h` at the start of the file";
    error(line, &line.entry.tokens[0], "no-ttl", message, "", help)
}

/// An SOA without TTL at the start of a file.
pub(super) fn ttl_is_minimum(line: ZoneLine<'_>, token: &ZoneToken, minimum: u32) -> Diagnostic {
    let message = format!("no TTL is given; the MINIMUM of the SOA, {minimum}, is taken for it and the records below");
    Diagnostic::warning("no-ttl", message)
        .at(line.source.place(token.range.clone()), "")
        .help("put a line like `$TTL 1h` at the start of the file")
}

/// A type that is part of messages only.
pub(super) fn meta_type(line: ZoneLine<'_>, token: &ZoneToken) -> Box<Diagnostic> {
    let message = format!("records of type `{}` cannot be in a zone", shown(line.octets(token)));
    let help = "it is a type of queries or messages only; remove the record";
    error(line, token, "meta-type", message, "", help)
}

/// A record that cannot be part of the zone; `rtype` is the index of its type in `fields`.
pub(super) fn not_added(
    line: ZoneLine<'_>,
    owner: Name<'_>,
    apex: Name<'_>,
    fields: &[ZoneToken],
    rtype: usize,
    why: AddError,
) -> Box<Diagnostic> {
    let (first, name) = (&line.entry.tokens[0], &fields[rtype]);
    match why {
        AddError::OutOfZone => {
            let message = format!("`{owner}` is not in zone `{apex}`");
            let help =
                format!("remove the record, or check `$ORIGIN` and final dots; zone `{apex}` is set in the config");
            error(line, first, "out-of-zone", message, "not at or below the apex", help)
        }
        AddError::MetaType => meta_type(line, name),
        AddError::BadRdata => {
            let message = "the data is not that of the record's type";
            error(line, name, "bad-data", message, "", "check its length and fields against the type's RFC")
        }
        AddError::TooLong => {
            let message = "the record is too long for an answer";
            error(
                line,
                name,
                "record-too-long",
                message,
                "",
                "a DNS message has at most 65,535 bytes; shorten the data",
            )
        }
        AddError::TooMany => {
            let help = "split the zone by delegating parts of it";
            error(line, first, "zone-too-large", why.to_string(), "does not fit any more", help)
        }
        AddError::SteeredTwice => error(line, first, "steered-twice", why.to_string(), "", "remove the record"),
    }
}

/// One record too many.
pub(super) fn too_many_records(line: ZoneLine<'_>) -> Box<Diagnostic> {
    let message = format!("the zone has more than {MAX_RECORDS} records");
    let help = "split the zone by delegating parts of it";
    error(line, &line.entry.tokens[0], "zone-too-large", message, "one too many", help)
}

/// A `$WORD` that is no directive.
pub(super) fn unknown_directive(line: ZoneLine<'_>) -> Box<Diagnostic> {
    let token = &line.entry.tokens[0];
    let word = shown(line.octets(token));
    let help = match nearest(&word.to_ascii_uppercase(), DIRECTIVES) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "directives are `$GENERATE`, `$INCLUDE`, `$ORIGIN` and `$TTL`; write a `$` that starts a name as `\\$`"
            .into(),
    };
    error(line, token, "unknown-directive", format!("`{word}` is not a directive"), "", help)
}

/// A directive with too few or too many values.
pub(super) fn directive_form(line: ZoneLine<'_>) -> Box<Diagnostic> {
    let token = &line.entry.tokens[0];
    let word = shown(line.octets(token)).to_ascii_uppercase();
    let form = match word.as_str() {
        "$ORIGIN" => "$ORIGIN name",
        "$TTL" => "$TTL time",
        "$GENERATE" => "$GENERATE first-last[/step] owner [TTL] [IN] type data",
        _ => "$INCLUDE file [origin]",
    };
    let message = format!("`{word}` has too few or too many values");
    error(line, token, "bad-directive", message, "", format!("write `{form}`"))
}
