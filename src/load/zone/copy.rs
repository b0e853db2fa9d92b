//! Copies of zones that are kept elsewhere: read at the start, written when a newer version was fetched.
//!
//! A copy is a master file, which any other server can read too. Its modification time is the time at which it was last
//! found to equal the zone of the primaries.
//!
//! **Invariants**: a copy is replaced whole or not at all; a damaged one, or one that is too old, costs a transfer and
//! never keeps the server from starting; a file that is no copy is an error, and stays as it is.
//! **Not here**: fetching (transfer).
//!
//! RFC 1034 §4.3.5 (expiry), RFC 3597 §5 (data of any type as text).

use std::io::{self, ErrorKind, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::{Duration, SystemTime};

use data_encoding::HEXLOWER;

use super::{Diagnostic, read_as, signed_faults};
use crate::base::name::Name;
use crate::base::rr::Rtype;
use crate::config;
use crate::files;
use crate::files::state::{self, StateForm};
use crate::zone::{Node, Record, Records, SignedZone, Zone};

/// The kind of file. The version before wrote the second line of today's as its first.
pub static FORM: StateForm = StateForm {
    name: "copy",
    comment: "; ",
    is_old: |text| {
        let line = text.lines().next().unwrap_or_default();
        line.starts_with("; A copy of ") && line.ends_with(", fetched by pharos; it is written over.")
    },
};

/// Reads the copy of a zone. The zone is awaited if there is no copy, and unavailable if the copy cannot be used.
pub(super) fn read(zone: &config::ZoneConfig, treatment: SignedZone, now: SystemTime) -> (Zone, Vec<Diagnostic>) {
    let nothing = || Zone::unavailable(zone.name.clone());
    let nothing_yet = || Zone::awaited(zone.name.clone());
    let Some(path) = zone.file.as_ref().map(|file| &file.path) else { return (nothing_yet(), Vec::new()) };
    let useless = |why: String| {
        Diagnostic::warning("useless-copy", format!("the copy of zone `{}` cannot be used: {why}", zone.name))
            .at(zone.place.clone(), "kept here")
            .help("nothing need be done: it is fetched anew, and answers SERVFAIL until then")
    };
    let text = match state::bytes(path, &FORM) {
        Ok(Some(text)) => text,
        Ok(None) => return (nothing_yet(), Vec::new()),
        Err(found) => {
            let message = format!("the copy of zone `{}` cannot be kept: {found}", zone.name);
            let problem = Diagnostic::error("state-file", message).at(zone.place.clone(), "kept here");
            return (nothing(), vec![problem.help(found.help())]);
        }
    };
    let read = match read_as(zone, treatment, path, text, &mut |_| Err(ErrorKind::NotFound.into())) {
        Ok((read, _)) => read,
        Err(problems) => {
            let first = problems.iter().find(|problem| problem.is_error());
            let why = first.map_or_else(String::new, |problem| problem.message.clone());
            return (nothing(), vec![useless(why)]);
        }
    };
    if let Some(fault) = signed_faults(zone, treatment, &read, now).first() {
        return (nothing(), vec![useless(fault.message.clone())]);
    }
    if age(path, now) > Duration::from_secs(read.timers().bounded().expire.into()) {
        return (nothing(), vec![useless("it has expired".to_string())]);
    }
    (read, Vec::new())
}

/// The time since a copy was last found to equal the zone of the primaries.
pub(crate) fn age(path: &Path, now: SystemTime) -> Duration {
    let checked = files::look_up(path).map(|facts| facts.modified());
    // If the time lies in the future, the clock was ahead: the copy counts as checked just now.
    checked.map_or(Duration::ZERO, |checked| now.duration_since(checked).unwrap_or_default())
}

/// Notes that a copy equals the zone of the primaries.
pub(crate) fn touch(path: &Path, now: SystemTime) -> io::Result<()> {
    state::touch(path, &FORM, now)
}

/// Replaces a copy, unless the caller has given up meanwhile.
pub fn write(path: &Path, zone: &Zone, waits: &dyn Fn() -> bool) -> io::Result<()> {
    state::replace(path, &FORM, waits, |out| write_zone(out, zone))
}

/// Records as lines of a master file.
pub(crate) fn text(records: &Records) -> String {
    let mut text = Vec::new();
    // Writing to a Vec cannot fail.
    records.iter().for_each(|record| drop(write_record(&mut text, record)));
    String::from_utf8_lossy(&text).into_owned()
}

fn write_record(out: &mut impl Write, record: Record<'_>) -> io::Result<()> {
    let Record { owner, rtype, ttl, rdata } = record;
    write!(out, "{} {} IN {} ", owner.absolute(), ttl.0, type_text(rtype))?;
    write_rdata(out, rtype, rdata)
}

fn write_zone(mut out: &mut dyn Write, zone: &Zone) -> io::Result<()> {
    writeln!(out, "; A copy of {}, fetched by pharos; it is written over.", zone.apex().absolute())?;
    zone.nodes().flat_map(Node::records).try_for_each(|record| write_record(&mut out, record))
}

/// The name of a common type, and the number of any other, because some servers do not know its name.
fn type_text(rtype: Rtype) -> String {
    if COMMON_TYPES.contains(&rtype) { rtype.to_string() } else { format!("TYPE{}", rtype.0) }
}

const COMMON_TYPES: [Rtype; 9] =
    [Rtype::A, Rtype::AAAA, Rtype::NS, Rtype::CNAME, Rtype::PTR, Rtype::DNAME, Rtype::MX, Rtype::SOA, Rtype::TXT];

/// Data in its usual text form if that is simple, otherwise in hex.
fn write_rdata(out: &mut impl Write, rtype: Rtype, rdata: &[u8]) -> io::Result<()> {
    let text = match rtype {
        Rtype::A => <[u8; 4]>::try_from(rdata).ok().map(|octets| Ipv4Addr::from(octets).to_string()),
        Rtype::AAAA => <[u8; 16]>::try_from(rdata).ok().map(|octets| Ipv6Addr::from(octets).to_string()),
        Rtype::NS | Rtype::CNAME | Rtype::PTR | Rtype::DNAME => Name::from_wire(rdata).map(Name::absolute),
        _ => None,
    };
    writeln!(out, "{}", text.unwrap_or_else(|| format!("\\# {} {}", rdata.len(), HEXLOWER.encode(rdata))))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::read_text;
    use super::*;
    use crate::base::diagnostic::Place;
    use crate::base::name::NameBuf;
    use crate::base::rr::Ede;
    use crate::zone::Difference;

    const TEXT: &str = "\
$ORIGIN example.
$TTL 300
@ SOA ns hostmaster\\.one 7 300 60 1000 60
@ NS ns
@ TXT \"a; \\\"quoted\\\" text\" second
ns A 192.0.2.1
ns AAAA 2001:db8::1
*.x MX 10 ns
od\\.d\\255\\@\\$\\; CNAME \\(ns\\)
s SRV 1 2 3 ns
t TYPE65280 \\# 3 abcdef
e TYPE65281 \\# 0
@ CAA 0 issue \"ca.example\"
";

    fn zone(file: Option<PathBuf>) -> config::ZoneConfig {
        let place = Place::whole_file(&"pharos.toml".into());
        let file = file.map(|path| config::InputFile::at(path, config::FileUse::Copy));
        config::ZoneConfig { file, ..config::ZoneConfig::named(NameBuf::parse("example").unwrap(), place) }
    }

    #[test]
    fn a_copy_reads_back_as_what_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("copy");
        let (original, _) = read_text(&zone(None), Path::new("x"), TEXT.into(), &mut |_| unreachable!()).unwrap();
        write(&path, &original, &|| true).unwrap();
        let (read, said) = read(&zone(Some(path.clone())), SignedZone::Kept, SystemTime::now());
        assert!(said.is_empty(), "{said:?}");
        let difference = Difference::between(&original, &read);
        assert!(difference.is_empty() && difference.old_soa == difference.new_soa, "{difference:?}");
        assert!(!path.with_extension("new").exists());
    }

    #[test]
    fn a_copy_that_cannot_be_used_costs_a_transfer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("copy");
        let now = SystemTime::now();
        let said = |text: Option<&str>, now| {
            if let Some(text) = text {
                std::fs::write(&path, format!("{}{text}", FORM.first_line())).unwrap();
            }
            let (read, said) = read(&zone(Some(path.clone())), SignedZone::Kept, now);
            (read.lack(), said.len())
        };
        assert_eq!(said(None, now), (Some(Ede::NotReady), 0));
        assert_eq!(said(Some("nonsense"), now), (Some(Ede::InvalidData), 1));
        assert_eq!(said(Some(TEXT), now), (None, 0));
        assert_eq!(said(None, now + Duration::from_secs(1100)), (Some(Ede::InvalidData), 1), "it has expired");
        touch(&path, now + Duration::from_secs(500)).unwrap();
        assert_eq!(said(None, now + Duration::from_secs(1100)), (None, 0));
    }

    #[test]
    fn a_master_file_of_an_operator_is_no_copy_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("copy");
        std::fs::write(&path, TEXT).unwrap();
        let (zone, said) = read(&zone(Some(path.clone())), SignedZone::Kept, SystemTime::now());
        assert!(!zone.is_available() && said[0].is_error() && said[0].code == "state-file", "{said:?}");
        assert!(write(&path, &zone, &|| true).is_err() && touch(&path, SystemTime::now()).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), TEXT);
    }

    #[test]
    fn a_copy_of_the_version_before_is_read_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("copy");
        let old = format!("; A copy of example., fetched by pharos; it is written over.\n{TEXT}");
        std::fs::write(&path, old).unwrap();
        let (zone, said) = read(&zone(Some(path.clone())), SignedZone::Kept, SystemTime::now());
        assert!(zone.is_available() && said.is_empty(), "{said:?}");
        write(&path, &zone, &|| true).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().starts_with(&FORM.first_line()));
    }
}
