//! Frames, byte by byte and as dnstap-ldns reads these.

use std::io::Write as _;
use std::process::Command;

use super::*;
use crate::answer::Outcome;
use crate::base::time::Generation;
use crate::dnstap::frame::{ControlType, control};
use crate::dnstap::{TapFacts, TapHttp};

#[allow(clippy::duplicate_mod, reason = "the tests of sources of networks include it too")]
#[path = "../../../tests/common/needs.rs"]
mod needs;

/// `\x12\x34`, a response to `blob.example. A`.
const RESPONSE: &[u8] = b"\x12\x34\x84\0\0\x01\0\x01\0\0\0\0\x04blob\x07example\0\0\x01\0\x01\
    \xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01";

fn origin() -> DnstapOrigin {
    DnstapOrigin { identity: b"fra1-a"[..].into(), version: b"pharos 1"[..].into() }
}

fn facts(transport: Transport) -> TapFacts {
    TapFacts {
        ends: SocketEnds { peer: ([198, 51, 100, 0], 4242).into(), local: ([192, 0, 2, 53], 53).into() },
        transport,
        http: None,
        received_ns: 1_700_000_000_000_000_300,
        made_ns: 1_700_000_001_999_999_999,
        clients: LoggedClients::Whole,
        generation: Generation(1),
        outcome: Outcome::Answer,
        steered: None,
    }
}

fn frame(facts: TapFacts, zone: &[u8], response: &[u8]) -> Vec<u8> {
    let (mut out, mut scratch) = (Vec::new(), vec![1, 2, 3]);
    encode(&mut out, &mut scratch, &origin(), b"{}", &TapCopy { facts, zone, mirror: b"" }, response);
    out
}

fn message(facts: TapFacts) -> Vec<u8> {
    frame(facts, b"\x07example\0", RESPONSE)
}

#[test]
fn a_frame_has_the_fields_of_dnstap_proto() {
    let nothing = TapFacts { clients: LoggedClients::Nothing, ..facts(Transport::Quic) };
    let bytes = frame(nothing, b"", b"x");
    let inner = [
        &b"\x08\x02\x10\x01\x18\x07"[..],
        b"\x2a\x04\xc0\0\x02\x35",
        b"\x38\x35",
        b"\x40\x80\xe2\xcf\xaa\x06\x4d\x2c\x01\0\0",
        b"\x60\x81\xe2\xcf\xaa\x06\x6d\xff\xc9\x9a\x3b",
        b"\x72\x01x",
    ]
    .concat();
    let outer =
        [&b"\x0a\x06fra1-a\x12\x08pharos 1\x1a\x02{}\x72"[..], &[inner.len() as u8], &inner, b"\x78\x01"].concat();
    assert_eq!(bytes, [&(outer.len() as u32).to_be_bytes()[..], &outer].concat());
}

#[test]
fn each_number_of_a_varint_is_read_back() {
    for number in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, u64::from(u32::MAX), u64::MAX] {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, number);
        let read = bytes.iter().rev().fold(0u64, |read, byte| read << 7 | u64::from(byte & 0x7f));
        let ends = bytes.iter().position(|byte| byte & 0x80 == 0);
        assert_eq!((read, ends), (number, Some(bytes.len() - 1)));
    }
}

/// The text of dnstap-ldns for frames, in one of its forms. `None` if the program is missing.
fn read_by_ldns(form: &str, frames: &[Vec<u8>]) -> Option<String> {
    let program = needs::program("dnstap-ldns", "dnstap-ldns")?;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let all = [control(ControlType::Start), frames.concat(), control(ControlType::Stop)].concat();
    file.write_all(&all).unwrap();
    let output = Command::new(program).args([form, "-r"]).arg(file.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn dnstap_ldns_reads_every_field() {
    let (peer, local) = ("[2001:db8:1::7]:4242".parse().unwrap(), "[2001:db8::53]:53".parse().unwrap());
    let v6 = TapFacts { ends: SocketEnds { peer, local }, clients: LoggedClients::Network, ..facts(Transport::Tcp) };
    let frames = [message(facts(Transport::Udp)), frame(v6, b"\0", RESPONSE)];
    let Some(text) = read_by_ldns("-y", &frames) else { return };
    let (first, second) = text.split_once("\n---\n").unwrap();
    for line in [
        "identity: \"fra1-a\"",
        "version: \"pharos 1\"",
        "  type: AUTH_RESPONSE",
        "  query_time: !!timestamp 2023-11-14 22:13:20.000000",
        "  response_time: !!timestamp 2023-11-14 22:13:21.999999",
        "  socket_family: INET",
        "  socket_protocol: UDP",
        "  query_address: \"198.51.100.0\"",
        "  response_address: \"192.0.2.53\"",
        "  query_port: 4242",
        "  response_port: 53",
        "  query_zone: \"example.\"",
        "    ;; ->>HEADER<<- opcode: QUERY, rcode: NOERROR, id: 4660",
        "    blob.example.\t60\tIN\tA\t192.0.2.1",
    ] {
        assert!(first.lines().any(|other| other == line), "no {line} in\n{first}");
    }
    for line in [
        "  socket_family: INET6",
        "  socket_protocol: TCP",
        "  query_address: \"2001:db8:1::\"",
        "  response_address: \"2001:db8::53\"",
        "  query_zone: \".\"",
    ] {
        assert!(second.lines().any(|other| other == line), "no {line} in\n{second}");
    }
    assert!(!second.contains("query_port"), "{second}");
}

/// The transports after TCP are younger than the program, which prints a question mark.
#[test]
fn dnstap_ldns_reads_past_transports_that_it_does_not_know() {
    let http = TapFacts { http: Some(TapHttp::Two), ..facts(Transport::Https) };
    let all = [facts(Transport::Udp), facts(Transport::Tls), facts(Transport::Quic), http];
    let Some(text) = read_by_ldns("-q", &all.map(message)) else { return };
    let read: Vec<_> = text.lines().filter_map(|line| line.split(' ').nth(4)).collect();
    assert_eq!(read, ["UDP", "?", "?", "?"], "{text}");
}
