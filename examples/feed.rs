//! Steering by a file format of one's own.
//!
//! ```text
//! cargo run --example feed 192.0.2.77 192.0.2.177 2001:db8:2::1 8.8.8.8
//! ```
//!
//! A network plan is a CSV file that Pharos does not know. It becomes a list. The first network of a site stands in the line of
//! its site, so that a place in a message is a place in the plan; the further networks stand behind. Everything else (checks,
//! exact scopes, `explain`) is as with any list.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it shows what it does")]

use std::error::Error;
use std::net::IpAddr;
use std::process::ExitCode;

use pharos::{Now, Peer, Snapshot, Transport};

/// The plan: site, networks, and more fields that are not used.
const PLAN: &str = "\
site;networks;contact
berlin;192.0.2.0/25,2001:db8:1::/48;noc@berlin.example
madrid;192.0.2.128/25,2001:db8:2::/48;noc@madrid.example
";

const CONFIG: &str = r#"
[[zone]]
name  = "blob.example"
file  = "blob.example.zone"
steer = [{ owner = "@", horizon = "blobs", ttl = 60 }]

[networks]
plan = { list = "plan.txt" }

[mirrors.berlin]
addresses = ["198.51.100.1", "2001:db8:f::1"]
[mirrors.madrid]
addresses = ["198.51.100.2", "2001:db8:f::2"]

[horizons.blobs]
rules = [
  { network = "plan", label = "berlin", mirrors = ["berlin"] },
  { network = "plan", label = "madrid", mirrors = ["madrid"] },
]
default = ["berlin"]
"#;

const ZONE: &str = "$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 192.0.2.1\n";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let plan = list(PLAN)?;
    let files = [("pharos.toml", CONFIG), ("blob.example.zone", ZONE), ("plan.txt", &plan)];
    let built = pharos::build_in_memory("pharos.toml", files);
    let snapshot = match built {
        Ok(built) => built.snapshot,
        Err(problems) => {
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            return Err(problems.join("\n").into());
        }
    };
    for client in std::env::args().skip(1) {
        let address: IpAddr = client.parse()?;
        println!("{client} -> {}", mirror_of(&snapshot, address).ok_or("no answer")?);
    }
    Ok(())
}

/// The plan as a list of Pharos: `PREFIX LABEL`. The first network of a site stays on the line of the site, and the others
/// follow after the last line, so that line numbers are those of the plan. The header becomes a comment.
fn list(plan: &str) -> Result<String, String> {
    let (mut lines, mut behind) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(plan.lines()) {
        if number == 1 {
            lines.push(format!("# {line}"));
            continue;
        }
        let mut fields = line.split(';');
        let (Some(site), Some(networks)) = (fields.next(), fields.next()) else {
            return Err(format!("line {number} of the plan has no networks"));
        };
        let mut entries = networks.split(',').map(|network| format!("{network} {site}"));
        lines.extend(entries.next());
        behind.extend(entries);
    }
    Ok([lines, behind].concat().join("\n") + "\n")
}

/// The address that a client is sent to.
fn mirror_of(snapshot: &Snapshot, client: IpAddr) -> Option<IpAddr> {
    // A query for blob.example; the type of its address is that of the client's.
    let mut query = b"\0\x01\0\0\0\x01\0\0\0\0\0\0\x04blob\x07example\0\0\0\0\x01".to_vec();
    let (at, rtype) = (query.len() - 3, if client.is_ipv4() { 1 } else { 28 });
    query[at] = rtype;
    let mut reply = [0; pharos::MAX_UDP];
    let peer = Peer { address: client, transport: Transport::Udp };
    let len = pharos::respond(&query, peer, snapshot, Now::default(), &mut reply)?.len;
    // The only record is the last thing in the reply.
    Some(match client {
        IpAddr::V4(_) => <[u8; 4]>::try_from(&reply[len - 4..len]).ok()?.into(),
        IpAddr::V6(_) => <[u8; 16]>::try_from(&reply[len - 16..len]).ok()?.into(),
    })
}
