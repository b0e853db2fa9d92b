//! Record types in presentation form: the data that BIND, NSD and Knot read from each line of a zone, and that Pharos reads.
//!
//! `zone_types/good.txt` and `bad.txt` hold records of every type that BIND 9.18 reads. All lines of a file are one zone,
//! a name each, that `named-compilezone`, `nsd-checkzone` and `kzonecheck` read in one run; the first writes the data in
//! wire form (`-F raw`), which is compared byte by byte. Needs the Debian packages `bind9-utils`, `nsd` and
//! `knot-dnssecutils`; a missing one is left out, and the test says so.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected is to fail")]
#![allow(clippy::print_stderr, reason = "what was skipped is said")]

mod common;
#[path = "zone_types/random.rs"]
mod random;
#[path = "zone_types/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;

use common::generate::Dice;
use common::pipeline;
use common::query::Builder;
use common::server::Server;
use pharos::base::name::NameBuf;
use pharos::base::rr::Rtype;
use pharos::base::time::UnixTime;
use pharos::load::zone::{copy, read_text};
use pharos::transfer::inbound::{self, Inbound, TransferProgress};
use pharos::zone::{SignedZone, Zone};
use world::{Checker, config_of_zone, read_ours, records_by_bind, records_of, wire_by_bind, zone};

/// The records of a list, without comments.
fn lines(list: &'static str) -> Vec<String> {
    list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_string).collect()
}

fn good() -> Vec<String> {
    lines(include_str!("zone_types/good.txt"))
}

#[test]
fn every_type_is_read_as_bind_reads_it() {
    let lines = good();
    let ours = read_ours(&lines);
    let refused: Vec<String> =
        lines.iter().zip(&ours).filter_map(|(line, read)| Some(format!("{line}: {}", read.as_ref().err()?))).collect();
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    let Some(theirs) = wire_by_bind(&lines) else { return };
    same(&lines, &ours, &theirs);
}

/// Compares our reading with BIND's, line by line.
fn same(lines: &[String], ours: &[Result<world::Data, String>], theirs: &BTreeMap<usize, world::Data>) {
    let mut different = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        match (&ours[at], theirs.get(&at)) {
            (Ok(ours), Some(theirs)) if ours == theirs => {}
            (Ok((0, _)), Some((46 | 47 | 50 | 51, _))) => {}
            (Err(_), None) => {}
            (ours, theirs) => different.push(format!("{line}\n  ours   {ours:x?}\n  theirs {theirs:x?}")),
        }
    }
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
}

#[test]
fn random_data_of_every_type_is_read_as_bind_reads_it() {
    for seed in 0..4 {
        let mut dice = Dice::new(seed);
        let lines: Vec<String> = (0..1500).map(|_| random::record(&mut dice)).collect();
        let Some(theirs) = wire_by_bind(&lines) else { return };
        same(&lines, &read_ours(&lines), &theirs);
    }
}

/// A line of `odd.txt`.
struct Odd {
    /// The checkers that accept it, in their order.
    accepted: [bool; 3],
    /// True if Pharos accepts it.
    is_ours: bool,
    record: String,
}

fn odd() -> Vec<Odd> {
    let read = |line: String| {
        let (marks, record) = line.split_at(4);
        let accepted = [b'B', b'N', b'K'].map(|mark| marks.as_bytes().contains(&mark));
        let is_ours = marks.ends_with('+') || (accepted[0] && !marks.ends_with('!'));
        Odd { accepted, is_ours, record: record.trim().to_string() }
    };
    lines(include_str!("zone_types/odd.txt")).into_iter().map(read).collect()
}

#[test]
fn odd_data_is_read_or_refused_as_the_list_says() {
    let odd = odd();
    let records: Vec<String> = odd.iter().map(|line| line.record.clone()).collect();
    let ours = read_ours(&records);
    let wrong: Vec<String> = (0..odd.len())
        .filter(|at| ours[*at].is_ok() != odd[*at].is_ours)
        .map(|at| format!("{} {:x?}", records[at], ours[at]))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // BIND must read the same data from every record that both accept.
    if let Some(theirs) = wire_by_bind(&records) {
        let both: Vec<usize> = (0..odd.len()).filter(|at| ours[*at].is_ok() && theirs.contains_key(at)).collect();
        let different: Vec<&String> =
            both.into_iter().filter(|at| ours[*at].as_ref().ok() != theirs.get(at)).map(|at| &records[at]).collect();
        assert!(different.is_empty(), "{different:#?}");
    }
}

#[test]
fn where_the_three_agree_we_agree() {
    let odd = odd();
    let mut records = good();
    records.extend(odd.iter().map(|line| line.record.clone()));
    let checkers = Checker::all();
    if checkers.len() < 3 {
        return;
    }
    let refused: Vec<BTreeMap<usize, String>> = checkers.iter().map(|checker| checker.refused(&records)).collect();
    let ours = read_ours(&records);
    let mut wrong = Vec::new();
    for (at, record) in records.iter().enumerate() {
        let accepted = refused.iter().filter(|refused| !refused.contains_key(&at)).count();
        let is_listed = at >= good().len() && odd[at - good().len()].is_ours != odd[at - good().len()].accepted[0];
        if (accepted == 3 && ours[at].is_err()) || (accepted == 0 && ours[at].is_ok() && !is_listed) {
            wrong.push(format!("{record}: {accepted} of 3 accept it, and we say {:x?}", ours[at]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A server of zone `blob.example` with this file, and further lines of the configuration.
fn serve(folder: &Path, text: &str, more: &str) -> Server {
    fs::write(folder.join("blob.zone"), text).unwrap();
    let config = format!(
        "[dns]\nlisten = [\"127.0.0.1:0\"]\n[[zone]]\nname = \"blob.example\"\nfile = \"blob.zone\"\n\
         transfer = {{ allow = [\"127.0.0.1\"] }}\n{more}"
    );
    fs::write(folder.join("pharos.toml"), config).unwrap();
    Server::start(&folder.join("pharos.toml"))
}

/// The zone by AXFR.
fn transfer(server: SocketAddr) -> Zone {
    let apex = NameBuf::parse("blob.example").unwrap();
    let query = inbound::query(apex.as_name(), None, 7);
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(common::server::PATIENCE)).unwrap();
    stream.write_all(&[&(query.len() as u16).to_be_bytes(), &query[..]].concat()).unwrap();
    let mut inbound = Inbound::new(apex, None, 7, (SignedZone::Kept, UnixTime::default()));
    loop {
        let mut len = [0; 2];
        stream.read_exact(&mut len).unwrap();
        let mut message = vec![0; u16::from_be_bytes(len).into()];
        stream.read_exact(&mut message).unwrap();
        match inbound.take(&message).unwrap() {
            TransferProgress::More => {}
            TransferProgress::Zone(zone) => return *zone,
            TransferProgress::UpToDate => panic!("nothing is held"),
        }
    }
}

/// A zone of every type, and of random data, that has no DNSSEC records.
fn large_zone() -> String {
    let mut lines = good();
    lines.retain(|line| !["RRSIG", "NSEC ", "NSEC3"].iter().any(|rtype| line.starts_with(rtype)));
    let mut dice = Dice::new(77);
    let random: Vec<String> = (0..1000).map(|_| random::record(&mut dice)).collect();
    let read = read_ours(&random);
    lines.extend(random.into_iter().zip(read).filter_map(|(line, read)| read.is_ok().then_some(line)));
    // An alias of the root, a delegation and a DNAME hide nothing here: each name has one record.
    zone(&lines)
}

#[test]
fn a_transfer_gives_every_record_as_bind_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let text = large_zone();
    let server = serve(folder.path(), &text, "");
    let given = records_of(&transfer(server.address(HERE)));
    assert!(given.len() > 900, "{}", given.len());
    if let Some(theirs) = records_by_bind(&text) {
        assert!(given == theirs, "{:x?}", given.iter().zip(&theirs).find(|(a, b)| a != b));
    }
}

#[test]
fn a_copy_of_every_type_reads_back_as_what_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy");
    let read = |text: Vec<u8>| read_text(&config_of_zone(), Path::new("z"), text, &mut |_| unreachable!()).unwrap().0;
    let original = read(large_zone().into());
    copy::write(&path, &original, &|| true).unwrap();
    assert_eq!(records_of(&read(fs::read(&path).unwrap())), records_of(&original));
}

#[test]
fn generated_records_are_those_of_bind() {
    let text = zone(&[]) + include_str!("zone_types/generate.txt");
    let read = read_text(&config_of_zone(), Path::new("z"), text.clone().into(), &mut |_| unreachable!());
    let ours = records_of(&read.unwrap_or_else(|problems| panic!("{problems:#?}")).0);
    assert!(ours.len() > 450, "{}", ours.len());
    if let Some(theirs) = records_by_bind(&text) {
        assert!(ours == theirs, "{:x?}", ours.iter().zip(&theirs).find(|(a, b)| a != b));
    }
}

#[test]
fn a_zone_that_is_refused_does_not_keep_others_from_being_served() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("other.zone"), zone(&["A 192.0.2.300".to_string()])).unwrap();
    let text = zone(&["A 192.0.2.30".to_string()]);
    let server = serve(folder.path(), &text, "[[zone]]\nname = \"other.example\"\nfile = \"other.zone\"\n");
    let rcode = |name| {
        let reply = pipeline::ask_tcp(server.address(HERE), &Builder::new(name, Rtype::A).finish()).unwrap();
        (reply[3] & 15, reply[7])
    };
    assert_eq!(rcode("r0.blob.example."), (0, 1));
    assert_eq!(rcode("r0.other.example."), (2, 0), "SERVFAIL");
}

#[test]
fn as_many_addresses_as_a_message_holds_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let addresses = |count: u32| -> String {
        let address = |at: u32| Ipv4Addr::from(0x0a00_0000 + at);
        zone(&[]) + &(0..count).map(|at| format!("many A {}\n", address(at))).collect::<String>()
    };
    let server = serve(folder.path(), &addresses(4090), "");
    for question in
        [Builder::new("many.blob.example.", Rtype::A), Builder::new("many.blob.example.", Rtype::A).edns(1232)]
    {
        let reply = pipeline::ask_tcp(server.address(HERE), &question.finish()).unwrap();
        assert_eq!((reply[2] & 2, u16::from_be_bytes([reply[6], reply[7]])), (0, 4090), "whole");
    }
    let refused = read_text(&config_of_zone(), Path::new("z"), addresses(4094).into(), &mut |_| unreachable!());
    let codes: Vec<&str> = refused.unwrap_err().iter().map(|problem| problem.code).collect();
    assert_eq!(codes, ["rrset-too-long"]);
}
