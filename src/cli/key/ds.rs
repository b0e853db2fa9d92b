//! `pharos key ds`: the DS records of a zone, as the parent should have them, and as it has them.
//!
//! **Invariants**: a record that the parent lacks, or has of no key, is a finding of `--check` with a remedy.
//! **Not here**: asking the parent ([`super::parent`]).
//!
//! RFC 4034 §5 (DS), RFC 4509 (SHA-256), RFC 6605 §3 (SHA-384).

use std::net::SocketAddr;

use data_encoding::HEXUPPER;
use ring::digest::{self, Algorithm};

use super::super::layout::Layout;
use super::super::locate::ConfigLocation;
use super::super::{BAD_CONFIG, CommandResult, OK, put};
use super::OwnZone;
use super::parent::{self, ParentAnswer};
use crate::base::name::{Name, NameBuf};
use crate::base::text::counted;
use crate::zone::{KeyState, ds_rdata, is_entry_point, key_tag};

/// Arguments of `pharos key ds`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The zone, which has `dnssec` in the configuration
    #[arg(value_name = "ZONE", value_parser = NameBuf::parse)]
    zone: NameBuf,

    /// Ask the servers of the parent zone for its DS records, and compare these with the keys
    #[arg(long)]
    check: bool,

    /// A server or resolver to ask instead of the parent's servers
    #[arg(long, value_name = "ADDRESS[:PORT]", value_parser = parse_server, requires = "check")]
    server: Option<SocketAddr>,
}

fn parse_server(text: &str) -> Result<SocketAddr, String> {
    const PORT: u16 = 53;
    let address = || text.trim_matches(['[', ']']).parse().map(|address| SocketAddr::new(address, PORT)).ok();
    text.parse()
        .ok()
        .or_else(address)
        .ok_or_else(|| "write an address like `192.0.2.1`, `192.0.2.1:53` or `[::1]:53`".to_string())
}

/// A key that a DS record may point to.
#[derive(Clone, Debug)]
struct EntryPoint {
    dnskey: Vec<u8>,
    /// The state in words.
    state: &'static str,
    /// True if the parent should have a DS record of it.
    is_wanted: bool,
}

/// Prints the DS records, or compares these with the parent's.
pub(super) fn run(config: &ConfigLocation, args: &Args) -> CommandResult {
    let own = OwnZone::read(config, &args.zone)?;
    let points = entry_points(&own);
    let layout = Layout::of_stdout();
    if !args.check {
        return Ok(put(&records(&layout, args.zone.as_name(), &points, own.terms.deletes_ds), OK));
    }
    let answers = parent::ask(args.zone.as_name(), args.server, &own.config.resolver)?;
    let (text, code) = compared(&layout, args.zone.as_name(), &points, &answers);
    Ok(put(&text, code))
}

/// The keys of the configuration with `role` CSK or KSK, and the keys of the zone file that are kept off line.
fn entry_points(own: &OwnZone) -> Vec<EntryPoint> {
    let keys: Vec<_> = own.terms.keys.iter().filter(|key| key.signs_keys()).collect();
    // Without `ds` on any key, the parent follows the operator, not CDS records.
    let by_ds = keys.iter().any(|key| key.has_ds);
    let of_config = keys.iter().map(|key| EntryPoint {
        dnskey: key.dnskey.to_vec(),
        state: key.state.as_str(),
        is_wanted: !own.terms.deletes_ds && if by_ds { key.has_ds } else { key.state == KeyState::Active },
    });
    let of_file = own.other_keys().into_iter().filter(|rdata| is_entry_point(rdata)).map(|rdata| EntryPoint {
        dnskey: rdata.to_vec(),
        state: "in the zone file",
        is_wanted: keys.is_empty() && !own.terms.deletes_ds,
    });
    of_config.chain(of_file).collect()
}

fn records(layout: &Layout, zone: Name<'_>, points: &[EntryPoint], deletes_ds: bool) -> String {
    let mut text = String::new();
    if deletes_ds {
        text += "; `delete-ds` asks the parent to remove the DS records of the zone\n";
    }
    for point in points {
        let ds = ds_rdata(zone, &point.dnskey);
        text += &format!("{} IN DS {} ; {}\n", zone.absolute(), ds_text(&ds), point.state);
    }
    if points.is_empty() {
        text += &layout.sentence("", 0, "no key of the zone can have a DS record: all are ZSKs");
    }
    text
}

/// The data of a DS record as text: key tag, algorithm, digest type, digest.
fn ds_text(rdata: &[u8]) -> String {
    match rdata {
        [high, low, algorithm, kind, digest @ ..] => {
            format!("{} {algorithm} {kind} {}", u16::from_be_bytes([*high, *low]), HEXUPPER.encode(digest))
        }
        _ => HEXUPPER.encode(rdata),
    }
}

/// The answers of the parent's servers beside the findings, and the exit code.
fn compared(layout: &Layout, zone: Name<'_>, points: &[EntryPoint], answers: &[ParentAnswer]) -> (String, u8) {
    let mut text = String::new();
    let (mut is_good, mut has_answer) = (true, false);
    for ParentAnswer { server, records } in answers {
        match records {
            Err(why) => text += &layout.sentence(&format!("{server}: "), 2, &format!("no answer: {why}")),
            Ok(records) => {
                has_answer = true;
                let found = findings(zone, points, records);
                is_good &= found.is_empty();
                let count = match records.len() {
                    0 => "no DS record".to_string(),
                    count => counted(count, "DS record"),
                };
                let verdict = if found.is_empty() { "as the keys are" } else { "not as the keys are" };
                text += &layout.sentence(&format!("{server}: "), 2, &format!("{count}, {verdict}"));
                text.extend(found.iter().map(|finding| layout.sentence("  ", 4, finding)));
            }
        }
    }
    if !has_answer {
        text += &layout.sentence("", 0, "no server of the parent answered; `--server` names another one to ask");
    }
    (text, if is_good && has_answer { OK } else { BAD_CONFIG })
}

/// The differences between the parent's DS records and the keys, each with its remedy.
fn findings(zone: Name<'_>, points: &[EntryPoint], records: &[Vec<u8>]) -> Vec<String> {
    let mut found = Vec::new();
    let remedy = if points.iter().any(|point| point.is_wanted) {
        "have the parent remove it, when another DS record is there"
    } else {
        "have the parent remove it"
    };
    for point in points.iter().filter(|point| point.is_wanted) {
        let tag = key_tag(&point.dnskey);
        if !records.iter().any(|ds| relation(zone, ds, &point.dnskey) == Relation::Same) {
            let ds = ds_text(&ds_rdata(zone, &point.dnskey));
            found.push(format!("missing: no DS record of key {tag}; give the parent `{} IN DS {ds}`", zone.absolute()));
        }
    }
    for ds in records {
        let of = |relation_wanted| points.iter().find(|point| relation(zone, ds, &point.dnskey) == relation_wanted);
        let text = ds_text(ds);
        match (of(Relation::Same), of(Relation::OtherDigest)) {
            (Some(point), _) if point.is_wanted || point.state == KeyState::Published.as_str() => {}
            (Some(point), _) => found.push(format!("extra: `DS {text}` is of a key that is {}; {remedy}", point.state)),
            (None, Some(point)) => found.push(format!(
                "different: `DS {text}` has the tag of key {} and another digest; have the parent replace it",
                key_tag(&point.dnskey)
            )),
            (None, None) => found.push(format!(
                "extra: `DS {text}` is of no key of the zone; have the parent remove it, or configure its key again"
            )),
        }
    }
    found
}

/// The relation of a DS record to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    /// It is of the key, or has a digest of an unknown type and the tag of the key.
    Same,
    /// It has the tag and the algorithm of the key, and another digest.
    OtherDigest,
    /// It is of another key.
    None,
}

fn relation(zone: Name<'_>, ds: &[u8], dnskey: &[u8]) -> Relation {
    let [high, low, algorithm, kind, digest @ ..] = ds else { return Relation::None };
    if u16::from_be_bytes([*high, *low]) != key_tag(dnskey) || *algorithm != dnskey[3] {
        return Relation::None;
    }
    let hash: &Algorithm = match kind {
        1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        2 => &digest::SHA256,
        4 => &digest::SHA384,
        _ => return Relation::Same,
    };
    let own = digest::digest(hash, &[&zone.as_wire().to_ascii_lowercase(), dnskey].concat());
    if own.as_ref() == digest { Relation::Same } else { Relation::OtherDigest }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::name::name;

    fn point(last: u8, state: &'static str, is_wanted: bool) -> EntryPoint {
        let dnskey = [&[1, 1, 3, 13][..], &[7; 63], &[last]].concat();
        EntryPoint { dnskey, state, is_wanted }
    }

    #[test]
    fn the_records_of_a_parent_are_the_keys_or_findings() {
        let zone = name("Blob.example");
        let (old, new) = (point(1, "active", true), point(2, "published", false));
        let ds = |point: &EntryPoint| ds_rdata(zone.as_name(), &point.dnskey);
        let said = |points: &[&EntryPoint], records: &[Vec<u8>]| {
            let points: Vec<EntryPoint> = points.iter().map(|point| (*point).clone()).collect();
            let found = findings(zone.as_name(), &points, records);
            found.iter().map(|finding| finding.split(':').next().unwrap().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(said(&[&old, &new], &[ds(&old)]), [""; 0]);
        assert_eq!(said(&[&old, &new], &[ds(&old), ds(&new)]), [""; 0], "the DS of the next key may be there early");
        assert_eq!(said(&[&old], &[]), ["missing"]);
        assert_eq!(said(&[&old], &[ds(&old), ds(&new)]), ["extra"]);
        let mut damaged = ds(&old);
        damaged[10] ^= 1;
        assert_eq!(said(&[&old], &[damaged]), ["missing", "different"]);
        let retired = point(3, "retired", false);
        assert_eq!(said(&[&old, &retired], &[ds(&old), ds(&retired)]), ["extra"]);
        // SHA-384, and a type of digest that is not known yet.
        let sha384 = digest::digest(&digest::SHA384, &[b"\x04blob\x07example\0", &old.dnskey[..]].concat());
        assert_eq!(said(&[&old], &[[&ds(&old)[..3], &[4], sha384.as_ref()].concat()]), [""; 0]);
        assert_eq!(said(&[&old], &[[&ds(&old)[..3], &[77, 1]].concat()]), [""; 0]);
    }

    #[test]
    fn a_server_is_an_address_with_or_without_port() {
        let parse = |text| parse_server(text).map(|address| address.to_string()).unwrap_or_default();
        assert_eq!(
            ["192.0.2.1", "192.0.2.1:5300", "::1", "[::1]", "[::1]:5300", "ns1"].map(parse),
            ["192.0.2.1:53", "192.0.2.1:5300", "[::1]:53", "[::1]:53", "[::1]:5300", ""]
        );
    }
}
