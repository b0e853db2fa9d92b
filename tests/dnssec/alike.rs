//! Zones signed by dnssec-signzone and served by NSD, Knot and BIND, beside Pharos with the same keys: the same answers with DO
//! for each name, type and denial. Times and signatures are left out.
//!
//! The zones are those of the other differential tests, and random ones. Differences that RFCs allow are those of
//! `tests/differential.rs`; here a reply counts if the three others give the same one.

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use hickory_proto::op::Message;
use hickory_proto::rr::{RData, Record};

use crate::common::generate::{self, Dice};
use crate::common::peers;
use crate::common::server::Server;
use crate::common::{needs, pipeline, query, show};
use crate::world;

/// The number of random zones.
const ZONES: usize = 40;

/// The parts of a reply that are compared.
type Seen = (String, bool, BTreeSet<String>, BTreeSet<String>);

#[test]
fn three_servers_of_zones_signed_elsewhere_answer_as_we_do() {
    let Some(keygen) = needs::program("dnssec-keygen", "bind9-utils") else { return };
    let Some(signzone) = needs::program("dnssec-signzone", "bind9-utils") else { return };
    let folder = tempfile::tempdir().unwrap();
    let (mut files, mut config) = (Vec::new(), String::from("[dns]\nlisten = \"127.0.0.1:0\"\n"));
    let mut dice = Dice::new(19);
    let mut questions = Vec::new();
    for zone in generate::zones(ZONES, 19) {
        let apex = zone.apex.trim_end_matches('.').to_string();
        let Some(signed) = sign(&keygen, &signzone, folder.path(), &apex, &zone.text()) else { continue };
        config +=
            &format!("[[zone]]\nname = \"{apex}\"\nfile = \"{apex}.zone\"\ndnssec = {{ keys = [\"{}\"] }}\n", signed.1);
        files.push((apex, signed.0));
        questions.extend(zone.questions(&mut dice));
    }
    // A parent here that does not delegate its child is a mistake, and servers differ in the proof that it has no DS.
    let is_apex = |name: &str| files.iter().any(|(apex, _)| name.trim_end_matches('.').eq_ignore_ascii_case(apex));
    questions.retain(|(name, rtype)| *rtype != 43 || !is_apex(name));
    assert!(files.len() > ZONES / 2, "dnssec-signzone has signed {} zones", files.len());
    let peers = peers::start(&["nsd", "knot", "bind"], &files);
    if peers.len() < 3 {
        return;
    }
    fs::write(folder.path().join("pharos.toml"), config).unwrap();
    let server = Server::start(&folder.path().join("pharos.toml"));
    let message = |(name, rtype): &(String, u16)| query::parse(&[&format!("? {name} TYPE{rtype} do")]).unwrap().message;
    let messages: Vec<Vec<u8>> = questions.iter().map(message).collect();
    let ours = pipeline::ask_all_over_tcp(server.address(Ipv4Addr::LOCALHOST.into()), &messages);
    let theirs: Vec<_> = peers.iter().map(|peer| pipeline::ask_all_over_tcp(peer.address, &messages)).collect();
    let (mut agreed, mut failures) = (0, Vec::new());
    for (at, question) in questions.iter().enumerate() {
        let [one, two, three] = [0, 1, 2].map(|peer| seen(&theirs[peer][at]));
        if one != two || two != three {
            continue;
        }
        agreed += 1;
        let own = seen(&ours[at]);
        if own != one {
            failures.push(format!("{} TYPE{}\nours   {own:#?}\ntheirs {one:#?}", question.0, question.1));
        }
    }
    eprintln!(
        "{} questions, of which the three answer {agreed} alike; {} of ours differ",
        questions.len(),
        failures.len()
    );
    assert!(agreed * 3 > questions.len() * 2, "the three agree on {agreed} of {}", questions.len());
    let shown: Vec<_> = failures.iter().take(8).map(String::as_str).collect();
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), shown.join("\n"));
}

/// Writes the zone and signs it with a new key. `None` if the signer refuses the zone.
fn sign(keygen: &Path, signzone: &Path, folder: &Path, apex: &str, text: &str) -> Option<(String, String)> {
    let made = world::run(keygen, &["-q", "-a", "13", "-f", "KSK", apex], folder);
    let key = String::from_utf8(made.stdout).unwrap().trim().to_string();
    let file = format!("{apex}.zone");
    fs::write(folder.join(&file), text).unwrap();
    let output = format!("{file}.signed");
    let signed = world::run(signzone, &["-q", "-S", "-z", "-o", apex, "-f", &output, &file, &key], folder);
    if !signed.status.success() {
        eprintln!("{apex}: {}", world::said(&signed));
        return None;
    }
    Some((fs::read_to_string(folder.join(output)).unwrap(), key))
}

fn seen(reply: &[u8]) -> Seen {
    let message = Message::from_vec(reply).unwrap_or_else(|error| panic!("{error}: {reply:02x?}"));
    let lines = |records: &[Record]| -> BTreeSet<String> { records.iter().map(line).collect() };
    let is_referral = !message.metadata.authoritative;
    // Some servers add the zone's own NS records to a whole answer (RFC 1034 §6.2.1).
    let is_positive = !message.answers.is_empty() && !is_referral;
    let has_proof = |record: &&Record| !is_positive || is_of_proof(record);
    let authority: Vec<Record> = message.authorities.iter().filter(has_proof).cloned().collect();
    (
        format!("{:?}", message.metadata.response_code),
        message.metadata.authoritative,
        lines(&message.answers),
        lines(&authority),
    )
}

/// True for NSEC and its RRSIG.
fn is_of_proof(record: &Record) -> bool {
    match &record.data {
        RData::Unknown { rdata, .. } => match u16::from(record.record_type()) {
            46 => rdata.anything.starts_with(&[0, 47]),
            rtype => rtype == 47,
        },
        _ => false,
    }
}

/// A record without the times and the signature of an RRSIG.
fn line(record: &Record) -> String {
    let rtype = record.record_type();
    let rdata = match &record.data {
        RData::Unknown { rdata, .. } if u16::from(rtype) == 46 => {
            let octets = &rdata.anything;
            // Type, algorithm, labels, TTL; then the times; then key tag and signer.
            let signer_end = octets.len() - 64;
            format!("{:02x?} {:02x?}", &octets[..8], &octets[16..signer_end])
        }
        RData::Unknown { rdata, .. } if u16::from(rtype) == 47 => {
            // Signers differ in the spelling of a name that the zone has in upper and in lower case.
            let octets = &rdata.anything;
            let mut end = 0;
            while octets[end] != 0 {
                end += 1 + usize::from(octets[end]);
            }
            format!("{:02x?} {:02x?}", octets[..end].to_ascii_lowercase(), &octets[end..])
        }
        data => show::rdata(data, rtype),
    };
    format!("{} {} {rtype} {rdata}", record.name.to_ascii(), record.ttl).to_ascii_lowercase()
}
