//! The messages of ACME clients, byte for byte as the clients sent these, and the replies.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;

use pharos::base::time::{Now, UnixTime};
use pharos::snapshot::Snapshot;
use pharos::wire::update::{TokenAction, UpdateAuthor, UpdateEffect, receive};
use pharos::wire::{MAX_STREAM, Peer, Silence, Transport, respond_or_defer};

use super::common::expected;
use super::world::*;

/// The time of the signature of a message; `None` without one.
fn signed_at(message: &[u8]) -> Option<UnixTime> {
    // The record has its time of 48 bits behind the name of the algorithm.
    let algorithm = b"\x0bhmac-sha256\0";
    let at = message.windows(algorithm.len()).position(|octets| octets == algorithm)? + algorithm.len();
    let octets = message[at..].first_chunk::<6>()?;
    Some(UnixTime(octets.iter().fold(0, |time, octet| time << 8 | u64::from(*octet))))
}

/// The effect of a message in words, and the reply.
fn outcome(message: &[u8], transport: Transport, snapshot: &Snapshot) -> (String, Vec<u8>) {
    let peer = Peer { address: IpAddr::from([127, 0, 0, 1]), transport };
    let now = Now { unix: signed_at(message).unwrap_or(UnixTime(0)), ..Now::default() };
    let mut out = vec![0; MAX_STREAM];
    match respond_or_defer(message, peer, snapshot, now, &mut out) {
        Ok(reply) => ("answered".to_string(), out[..reply.len].to_vec()),
        Err(Silence::Update) => {
            let update = receive(message, peer, snapshot, now).unwrap();
            let UpdateAuthor::Credential(credential) = update.author().clone() else { panic!("a credential") };
            let judged = update.judge(snapshot);
            let mut words = credential.to_string();
            match &judged {
                Ok(UpdateEffect::Changes(changes)) => changes.iter().for_each(|change| {
                    let what = match change.action {
                        TokenAction::Set(token) => format!("set {}", token.as_str()),
                        TokenAction::Remove(which) => format!("remove {which:?}"),
                    };
                    write!(words, "; {what} at {}", change.owner).unwrap();
                }),
                other => panic!("{other:?}"),
            }
            (words, update.reply(judged.map(drop), snapshot, now).0)
        }
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn messages_of_clients_are_understood_and_answered_byte_for_byte() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/acme/golden.txt");
    let written = std::fs::read_to_string(&path).unwrap();
    let files = [("pharos.toml", config("[\"127.0.0.1:0\"]", [ONE, TWO])), ("zone", ZONE.to_string())];
    let snapshot = pharos::build_in_memory("pharos.toml", files).unwrap().snapshot;
    let (mut right, mut transport, mut messages) = (String::new(), Transport::Udp, 0);
    for line in written.lines().filter(|line| !line.starts_with(['=', '<'])) {
        writeln!(right, "{line}").unwrap();
        let Some(hex) = line.strip_prefix("> ") else {
            transport = if line.ends_with(", TCP") { Transport::Tcp } else { Transport::Udp };
            continue;
        };
        let message = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
        let (effect, reply) = outcome(&message, transport, &snapshot);
        writeln!(right, "= {effect}\n< {}", data_encoding::HEXLOWER.encode(&reply)).unwrap();
        messages += 1;
    }
    assert!(messages > 20, "{messages}");
    expected::hold("tests/acme/golden.txt", &right, "acme");
}
