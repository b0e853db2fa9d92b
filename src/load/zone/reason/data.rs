//! The errors of record data.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{bad_name, error, shown};
use crate::base::diagnostic::Diagnostic;
use crate::base::rr::Rtype;
use crate::load::zone::rdata::RdataError;
use crate::load::zone::sources::ZoneLine;
use crate::load::zone::split::ZoneToken;

/// Data that is not that of the record's type, `name` being the token of the type.
pub(in crate::load::zone) fn bad_data(
    line: ZoneLine<'_>,
    rtype: Rtype,
    name: &ZoneToken,
    data: &[ZoneToken],
    why: RdataError,
) -> Box<Diagnostic> {
    let form = form_of(rtype).map(|form| format!("its data is written as `{rtype} {form}`"));
    let generic = format!("write it as `TYPE{} \\# length hex` (RFC 3597 §5)", rtype.0);
    let whole = name.range.start..data.last().map_or(name.range.end, |last| last.range.end);
    let at_whole = |message: String, label: &str, help: String| {
        Box::new(Diagnostic::error("bad-data", message).at(line.source.place(whole), label).help(help))
    };
    match why {
        RdataError::BadName(index, why) => bad_name(line, &data[index], why),
        RdataError::TooShort => {
            let message = format!("the data of this {rtype} record ends too early");
            at_whole(message, "more is expected", form.unwrap_or(generic))
        }
        RdataError::TooLong(index) => {
            let over = &data[index];
            let is_further_down = line.source.text[name.range.end..over.range.start].contains(&b'\n');
            let help = match (is_further_down, form) {
                (true, _) => "is a `)` missing above?".to_string(),
                (false, Some(form)) => form,
                (false, None) => "text with spaces is written in quotes".to_string(),
            };
            error(line, over, "bad-data", format!("the {rtype} record goes on after its data"), "too much", help)
        }
        RdataError::NoTextForm => {
            let word = shown(line.octets(name)).to_ascii_uppercase();
            at_whole(format!("the data of {word} records cannot be read from text here"), "", generic)
        }
        RdataError::NotOfType => {
            let help = form.unwrap_or_else(|| "check its length and fields against the type's RFC".into());
            at_whole(format!("this is not the data of {} {rtype} record", rtype.article()), "", help)
        }
        RdataError::Bad(index, reason) => bad_token(line, rtype, &data[index], &reason, form.unwrap_or(generic)),
    }
}

/// A token that is not the field that it should be.
fn bad_token(line: ZoneLine<'_>, rtype: Rtype, token: &ZoneToken, reason: &str, form: String) -> Box<Diagnostic> {
    let word = shown(line.content(token));
    let (message, help) = match reason {
        "expected IPv4 address" => (
            format!("`{word}` is not an IPv4 address"),
            match word.parse::<Ipv6Addr>() {
                Ok(_) => format!("write `AAAA {word}`"),
                Err(_) => host_help(&word).unwrap_or("write four numbers up to 255, like `192.0.2.1`").into(),
            },
        ),
        "expected IPv6 address" => (
            format!("`{word}` is not an IPv6 address"),
            match word.parse::<Ipv4Addr>() {
                Ok(_) => format!("write `A {word}`"),
                Err(_) => host_help(&word).unwrap_or("write it like `2001:db8::1`").into(),
            },
        ),
        "expected decimal number" => (format!("`{word}` is not a number"), form),
        "decimal number overflow" => (format!("`{word}` is too large a number"), form),
        "bad charstr" => (
            "a string has more than 255 bytes".into(),
            "split it into several: `\"first part\" \"second part\"` reads as one text".into(),
        ),
        _ if reason.starts_with("bad symbol") => (
            format!("`{word}` has a character or escape that cannot stand here"),
            "write other bytes as `\\DDD`, their number in three decimal digits up to 255".into(),
        ),
        _ => (format!("the data of this {rtype} record is wrong: {reason}"), form),
    };
    error(line, token, "bad-data", message, "", help)
}

/// The remedy if a host name was written instead of an address.
fn host_help(word: &str) -> Option<&'static str> {
    word.contains(|c: char| c.is_ascii_alphabetic() && !c.is_ascii_hexdigit())
        .then_some("to point to a host by name, use `CNAME`")
}

/// The text form of the data of a type.
fn form_of(rtype: Rtype) -> Option<&'static str> {
    Some(match rtype.0 {
        1 => "192.0.2.1",
        28 => "2001:db8::1",
        2..=5 | 7..=9 | 12 | 23 | 39 => "host",
        6 => "primary mailbox serial refresh retry expire minimum",
        11 => "192.0.2.1 protocol port…",
        13 => "\"cpu\" \"os\"",
        14 => "mailbox mailbox",
        15 | 21 | 36 | 107 => "preference host",
        16 | 56 | 99 | 258 | 261 | 262 => "\"text\"…",
        17 => "mailbox text-name",
        18 => "subtype host",
        19 => "\"digits\"",
        20 => "\"address\" [\"subaddress\"]",
        22 => "0x47.0005…",
        24 | 46 => "type algorithm labels TTL expiration inception key-tag signer signature",
        25 | 48 | 57 | 60 => "flags protocol algorithm key",
        26 => "preference name name",
        27 => "longitude latitude altitude",
        29 => "52 22 23 N 4 53 32 E 2m [size [horizontal [vertical]]]",
        30 | 47 => "next-name type…",
        31 | 32 => "hex",
        33 => "priority weight port host",
        34 => "+digits or hex",
        35 => "order preference \"flags\" \"services\" \"regexp\" host",
        37 => "type key-tag algorithm base64",
        38 => "prefix-length [address] [prefix-name]",
        40 => "meaning coding subcoding base64",
        42 => "1:192.0.2.0/24 !2:2001:db8::/32…",
        43 | 59 | 32768 | 32769 => "key-tag algorithm digest-type digest",
        44 => "algorithm type fingerprint",
        45 => "precedence gateway-type algorithm gateway key",
        50 => "algorithm flags iterations salt next-hash type…",
        51 => "algorithm flags iterations salt",
        52 | 53 => "usage selector matching-type data",
        55 => "algorithm identity key server…",
        58 => "previous-name next-name",
        49 | 61 | 67 | 68 => "base64",
        62 => "serial flags type…",
        63 => "serial scheme algorithm digest",
        64 | 65 => "priority host key=value…",
        66 => "type scheme port host",
        104 | 106 => "preference 2001:db8:1140:1000",
        105 => "preference 192.0.2.1",
        108 => "00-00-5e-00-53-2a",
        109 => "00-00-5e-ef-10-00-00-2a",
        256 => "priority weight \"target\"",
        257 => "flags tag \"value\"",
        259 => "enterprise type location \"media-type\" base64",
        260 => "precedence discovery-optional relay-type relay",
        _ => return None,
    })
}
