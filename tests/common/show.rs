//! Responses to text: the contents of a reply as hickory-proto reads them, which shares no code with our codec.

use std::fmt::Write as _;

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable as _, BinDecoder};
use pharos::answer::Basis;
use pharos::snapshot::Snapshot;
use pharos::wire::Reply;

/// More records of one RRset than this are counted instead of shown.
const SHOWN: usize = 12;

/// Reads a reply. The error is the reason why it cannot be read.
pub fn decode(reply: &[u8]) -> Result<Message, String> {
    match Message::from_vec(reply) {
        Ok(message) => Ok(message),
        // FAMILY 0 is unknown to hickory-proto; it reads the option if it does not know its code.
        Err(error) => match hide_family_0(reply) {
            Some(hidden) => Message::from_vec(&hidden).map_err(|error| error.to_string()),
            None => Err(error.to_string()),
        },
    }
}

/// An ECS option of FAMILY 0, SOURCE 0, SCOPE 0; under the code of no option.
fn hide_family_0(reply: &[u8]) -> Option<Vec<u8>> {
    let option = [0, 8, 0, 4, 0, 0, 0, 0];
    let at = reply.windows(option.len()).rposition(|window| window == option)?;
    let mut hidden = reply.to_vec();
    hidden[at..at + 2].copy_from_slice(&65001u16.to_be_bytes());
    Some(hidden)
}

/// The whole reply as lines of text.
pub fn reply(reply: &[u8]) -> String {
    let message = match decode(reply) {
        Ok(message) => message,
        Err(error) => return format!("undecodable: {error}: {reply:02x?}\n"),
    };
    let mut text = header(&message, reply);
    for query in &message.queries {
        let class = match query.query_class() {
            hickory_proto::rr::DNSClass::IN => "IN".to_string(),
            other => other.to_string(),
        };
        line(
            &mut text,
            "question",
            format_args!("{} {class} {}", query.name().to_ascii(), type_name(query.query_type())),
        );
    }
    section(&mut text, "answer", &message.answers);
    section(&mut text, "authority", &message.authorities);
    section(&mut text, "additional", &message.additionals);
    if let Some(edns) = &message.edns {
        line(&mut text, "opt", format_args!("{}", opt(edns)));
    }
    text
}

/// The reasons of the engine for a decision.
pub fn basis(basis: &Basis, snapshot: &Snapshot) -> String {
    let mut words = format!("{:?}", basis.outcome);
    if let Some(id) = basis.zone {
        let zone = snapshot.zones().zone(id);
        let _ = write!(words, " zone={}.", zone.apex());
        if let Some(node) = basis.node {
            let _ = write!(words, " node={}.", zone.node(node).owner());
        }
    }
    if let Some(steering) = basis.steering {
        let horizon = &snapshot.horizons()[steering.horizon.index()];
        let choice = &snapshot.addresses(steering.horizon, steering.decision.plan, steering.family).choice;
        let mirrors: Vec<_> = choice.mirrors.iter().map(|id| &*snapshot.mirrors()[id.index()].name).collect();
        let location = steering.decision.location;
        let _ = write!(words, " horizon={} {}", horizon.name, steering.family);
        let _ = write!(words, " mirrors={} {:?}", mirrors.join(","), choice.tier);
        let _ = write!(words, " by {:?} {}/{}", location.vantage, location.address, location.source.0);
    }
    let mut text = String::new();
    line(&mut text, "basis", format_args!("{words}"));
    text
}

/// The reply and the reasons of the engine.
pub fn reply_and_basis(octets: &[u8], reply_: &Reply, snapshot: &Snapshot) -> String {
    reply(octets) + &basis(&reply_.summary.basis, snapshot)
}

fn header(message: &Message, octets: &[u8]) -> String {
    let metadata = &message.metadata;
    let flags = [
        ("qr", metadata.message_type == MessageType::Response),
        ("aa", metadata.authoritative),
        ("tc", metadata.truncation),
        ("rd", metadata.recursion_desired),
        ("ra", metadata.recursion_available),
        // hickory-proto does not have this flag.
        ("z", octets[3] & 0x40 != 0),
        ("ad", metadata.authentic_data),
        ("cd", metadata.checking_disabled),
    ];
    let set: Vec<_> = flags.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect();
    let mut text = format!("{} {}", rcode(metadata.response_code), set.join(" "));
    let opcode = octets[2] >> 3 & 15;
    if opcode != 0 {
        let _ = write!(text, " opcode={opcode}");
    }
    text.push('\n');
    text
}

fn rcode(code: ResponseCode) -> String {
    match code {
        ResponseCode::NoError => "NOERROR".into(),
        ResponseCode::FormErr => "FORMERR".into(),
        ResponseCode::ServFail => "SERVFAIL".into(),
        ResponseCode::NXDomain => "NXDOMAIN".into(),
        ResponseCode::NotImp => "NOTIMP".into(),
        ResponseCode::Refused => "REFUSED".into(),
        ResponseCode::YXDomain => "YXDOMAIN".into(),
        ResponseCode::NotAuth => "NOTAUTH".into(),
        ResponseCode::BADVERS | ResponseCode::BADSIG => "BADVERS".into(),
        other => format!("RCODE{}", u16::from(other)),
    }
}

fn section(text: &mut String, name: &str, records: &[Record]) {
    let same = |a: &Record, b: &Record| a.name == b.name && a.record_type() == b.record_type();
    for set in records.chunk_by(same) {
        let start = |record: &Record| {
            format!(
                "{} {} {} {}",
                record.name.to_ascii(),
                record.ttl,
                record.dns_class,
                type_name(record.record_type())
            )
        };
        if set.len() > SHOWN {
            assert!(set.iter().all(|record| start(record) == start(&set[0])), "the records of a set agree");
            line(text, name, format_args!("{} ({} records)", start(&set[0]), set.len()));
            continue;
        }
        for record in set {
            line(text, name, format_args!("{} {}", start(record), rdata(&record.data, record.record_type())));
        }
    }
}

fn line(text: &mut String, name: &str, rest: std::fmt::Arguments<'_>) {
    let full = format!("{name:<11}{rest}");
    text.push_str(full.trim_end());
    text.push('\n');
}

/// A type as RFC 3597 names it where it has no mnemonic.
pub fn type_name(rtype: RecordType) -> String {
    match rtype {
        RecordType::Unknown(number) => format!("TYPE{number}"),
        known => known.to_string(),
    }
}

/// Rdata, with strings quoted, and in the form of RFC 3597 where hickory-proto does not know the type.
pub fn rdata(data: &RData, rtype: RecordType) -> String {
    let unknown = |octets: &[u8]| {
        let hex: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
        format!("\\# {} {hex}", octets.len()).trim_end().to_string()
    };
    match data {
        RData::TXT(txt) => {
            let strings = txt.txt_data.iter().map(|string| quoted(string));
            strings.collect::<Vec<_>>().join(" ")
        }
        RData::Unknown { rdata, .. } if rtype == RecordType::DNAME => {
            match Name::read(&mut BinDecoder::new(&rdata.anything)) {
                Ok(name) => name.to_ascii(),
                Err(error) => format!("no name: {error}"),
            }
        }
        RData::Unknown { rdata, .. } => unknown(&rdata.anything),
        // hickory-proto reads a record without rdata as one of a dynamic update.
        RData::Update0(_) => unknown(&[]),
        known => known.to_string(),
    }
}

fn quoted(string: &[u8]) -> String {
    let mut text = String::from("\"");
    for &octet in string {
        match octet {
            b'"' | b'\\' => text.extend(['\\', octet as char]),
            0x20..=0x7e => text.push(octet as char),
            _ => text.push_str(&format!("\\{octet:03}")),
        }
    }
    // A long string is shown by its start and length.
    if string.len() > 60 { format!("{}…\" ({} octets)", &text[..24], string.len()) } else { text + "\"" }
}

fn opt(edns: &hickory_proto::op::Edns) -> String {
    let mut text = edns.max_payload().to_string();
    if edns.version() != 0 {
        let _ = write!(text, " version={}", edns.version());
    }
    if edns.flags().dnssec_ok {
        text.push_str(" do");
    }
    if edns.flags().z != 0 {
        let _ = write!(text, " z={:04x}", edns.flags().z);
    }
    for (code, option) in &edns.options().options {
        match option {
            EdnsOption::Subnet(ecs) => {
                let _ = write!(text, " ecs={}/{}/{}", ecs.addr(), ecs.source_prefix(), ecs.scope_prefix());
            }
            EdnsOption::Unknown(65001, _) => text.push_str(" ecs=family-0/0/0"),
            EdnsOption::Unknown(15, data) => match data.split_first_chunk() {
                Some((code, extra)) => {
                    let _ = write!(text, " ede={}", u16::from_be_bytes(*code));
                    if !extra.is_empty() {
                        let _ = write!(text, " {}", quoted(extra));
                    }
                }
                None => text.push_str(" ede=malformed"),
            },
            EdnsOption::Unknown(11, data) => match data[..] {
                [high, low] => {
                    let _ = write!(text, " keepalive={}", u16::from_be_bytes([high, low]));
                }
                _ => text.push_str(" keepalive=malformed"),
            },
            EdnsOption::Unknown(12, data) => {
                let zeroes = data.iter().all(|octet| *octet == 0);
                let _ = write!(text, " padding={}{}", data.len(), if zeroes { "" } else { " not of zeroes" });
            }
            other => {
                let _ = write!(text, " option={}:{other:?}", u16::from(*code));
            }
        }
    }
    text
}
