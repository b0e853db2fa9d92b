//! The engine against case files: each case has a query and the whole expected response.
//!
//! A file `tests/engine/*.case` is a list of cases about one subject, asked of the zones, networks and mirrors of
//! `tests/engine/pharos.toml`:
//!
//! ```text
//! === rfc7871 s7.2.1: the scope is as short as the neighbours allow
//! # Anything to know beforehand.
//! ? blob.k8s.io. A ecs=30.2.3.0/24
//! NOERROR qr aa
//! question   blob.k8s.io. IN A
//! answer     blob.k8s.io. 60 IN A 192.0.2.10
//! answer     blob.k8s.io. 60 IN A 192.0.2.11
//! opt        1232 ecs=30.2.3.0/24/15
//! basis      Steered zone=blob.k8s.io. node=blob.k8s.io. horizon=nested IPv4 mirrors=a Preferred by Subnet 30.2.3.0/24
//! ```
//!
//! `?` asks a name and type (and class), followed by keys. Keys of the header: `id=beef opcode=4 aa tc rd ra z ad cd`. Keys of
//! OPT: `edns edns=512 version=1 do ecs=ADDRESS/LEN option=CODE:HEX`. Keys of the circumstances: `from=ADDRESS` (by default
//! 127.0.0.1); `udp`, `tcp`, `tls` or `https` alone, `framed` (TCP and TLS) or `encrypted` (TLS, HTTPS and QUIC);
//! `mirror=NAME:down`; `ecs-from=PREFIX`. The key `size` shows the reply's length too. `x` gives a message as bytes:
//! hexadecimal words, `name:www.example.net.`, `300*00`; a `?` line may give the circumstances.
//!
//! The reply is decoded by hickory-proto, which knows nothing of our codec, and printed whole: rcode and flags,
//! question, sections, OPT (payload, flags, ECS as address/source/scope, EDE), and the engine's reasons. More than a
//! dozen records of one set are counted. `no reply` is a text as well. UDP and TCP must give the same, unless a case
//! is about one of them. Case names begin with the section that the case tests; a failure shows both texts as a diff.
//!
//! Every case is asked of the engine in this process. It is also asked of the binary over UDP and TCP on loopback, unless
//! only the engine can be given its circumstances. The binary does not tell its reasons, so that line is left out there.
//!
//! `PHAROS_BLESS=1 cargo test --test engine` writes the actual responses into the files. Read every line of that diff
//! against the RFC: an unchecked expectation proves nothing.

mod common;

use std::collections::HashSet;

use common::query::Place;
use common::server::{self, Server};
use common::{cases, diff, expected, fixture};
use pharos::wire::Transport;

#[test]
fn every_case_holds_in_the_engine() {
    let snapshot = fixture::snapshot();
    let mut failures = Vec::new();
    for file in cases::files() {
        let mut blessed = Vec::new();
        for case in &file.cases {
            let mut first = None;
            for &transport in &case.asked.transports {
                let (reply, found) = case.ask_engine(&snapshot, transport);
                if let Some(reply) = reply
                    && let Err(problem) = case.check_echo(&reply, transport)
                {
                    failures.push(format!("{}: {} ({transport:?}): {problem}", case.place, case.name));
                }
                let expected = if expected::is_blessing() { first.as_ref().unwrap_or(&found) } else { &case.expected };
                if *expected != found {
                    failures.push(failure(case, transport, expected, &found));
                }
                first.get_or_insert(found);
            }
            blessed.push(first.expect("a case has a transport"));
        }
        if expected::is_blessing() {
            file.bless(&blessed);
        }
    }
    assert!(failures.is_empty(), "{} failures\n\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn every_case_holds_in_the_server_over_udp_and_tcp() {
    let server = Server::start(&fixture::config());
    let mut failures = Vec::new();
    for case in cases::all().iter().filter(|case| case.asked.place == Place::Everywhere) {
        let address = server.address(case.asked.from);
        for &transport in &case.asked.transports {
            let ask = match transport {
                Transport::Udp => server::ask_udp,
                Transport::Tcp => server::ask_tcp,
                // `tests/transports` has these.
                Transport::Tls | Transport::Https | Transport::Quic => continue,
            };
            let found = match ask(&case.asked.message, case.asked.from, address) {
                Ok(Some(reply)) => case.show(&reply),
                Ok(None) => cases::NO_REPLY.to_string(),
                Err(error) => format!("failed to ask: {error}\n"),
            };
            let expected = case.expected_without_basis();
            if expected != found {
                failures.push(failure(case, transport, &expected, &found));
            }
        }
    }
    assert!(failures.is_empty(), "{} failures\n\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn cases_are_many_and_distinct() {
    let cases = cases::all();
    assert!(cases.len() >= 150, "{} cases", cases.len());
    let mut names = HashSet::new();
    for case in &cases {
        assert!(names.insert(&case.name), "{}: another case is named `{}`", case.place, case.name);
    }
}

fn failure(case: &cases::Case, transport: Transport, expected: &str, found: &str) -> String {
    let diff = diff::lines(expected, found);
    format!("{}: {} ({transport:?})\n{}{diff}", case.place, case.name, case.head)
}
