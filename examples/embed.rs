//! An engine behind a socket of the embedding program.
//!
//! ```text
//! cargo run --example embed 127.0.0.1:5311 &
//! dig @127.0.0.1 -p 5311 blob.example +subnet=192.0.2.0/24 +short
//! ```
//!
//! It answers over UDP from a configuration in memory. A second argument is the path of a configuration to serve instead.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it shows what it does")]

use std::error::Error;
use std::net::UdpSocket;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pharos::{Built, Change, Generation, MAX_UDP, Moment, Now, Peer, Snapshot, Transport};

const CONFIG: &str = r#"
[[zone]]
name  = "blob.example"
file  = "blob.example.zone"
steer = [{ owner = "@", horizon = "blobs", ttl = 60 }]

[networks]
office = { list = "office.txt" }

[mirrors.near]
addresses = "198.51.100.7"
[mirrors.far]
addresses = "203.0.113.7"

[horizons.blobs]
rules   = [{ network = "office", mirrors = ["near"] }]
default = ["far"]
"#;

const ZONE: &str = "\
$TTL 60
@   SOA ns hostmaster 1 3600 600 86400 60
@   NS  ns
ns  A   192.0.2.1
";

const OFFICE: &str = "192.0.2.0/24\n";

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
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:5311".to_string());
    let snapshot = match load(arguments.next()) {
        Ok(built) => built.snapshot,
        Err(problems) => return Err(problems.join("\n").into()),
    };
    let socket = UdpSocket::bind(address)?;
    println!("answering on {}", socket.local_addr()?);
    serve(&socket, snapshot)
}

/// Builds the engine. The error has all problems.
fn load(path: Option<String>) -> Result<Built, Vec<String>> {
    let built = match path {
        Some(path) => pharos::build(Path::new(&path), Generation(1)),
        None => {
            let files = [("pharos.toml", CONFIG), ("blob.example.zone", ZONE), ("office.txt", OFFICE)];
            pharos::build_in_memory("pharos.toml", files)
        }
    };
    built.map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

/// Answers until the socket fails. A message of one byte is this program's own: it is about the first mirror, which is down
/// (`-`) or up (`+`) from now on.
fn serve(socket: &UdpSocket, mut snapshot: Snapshot) -> Result<(), Box<dyn Error>> {
    let begin = Instant::now();
    let (mut query, mut reply) = ([0; MAX_UDP], [0; MAX_UDP]);
    loop {
        let (len, from) = socket.recv_from(&mut query)?;
        if let [sign @ (b'-' | b'+')] = query[..len] {
            snapshot = snapshot.after(&health(&snapshot, sign == b'+'));
            continue;
        }
        let peer = Peer { address: from.ip(), transport: Transport::Udp };
        // Some datagrams get no reply, such as responses.
        if let Some(written) = pharos::respond(&query[..len], peer, &snapshot, now(begin), &mut reply) {
            socket.send_to(&reply[..written.len], from)?;
        }
    }
}

/// A change of the health of the first mirror.
fn health(snapshot: &Snapshot, is_up: bool) -> Change {
    use pharos::mirror::{Health, Standing};
    let mirror = &snapshot.mirrors()[0];
    Change::standing(mirror, &Standing::all(mirror, if is_up { Health::Up } else { Health::Down }))
}

/// Both clocks, for cookies and signatures.
fn now(begin: Instant) -> Now {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Now {
        monotonic: Moment(begin.elapsed().as_millis() as u64),
        unix: pharos::base::time::UnixTime(since_1970.as_secs()),
    }
}
