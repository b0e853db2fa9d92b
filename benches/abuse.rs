//! Measures what hostile queries cost the engine beside normal ones: random names, spoofed sources, the worst shapes.
//!
//! `cargo bench --bench abuse` prints nanoseconds per query; `benches/abuse-instructions` counts instructions under
//! callgrind, which are the same on a busy machine. The zones are those of the engine's cases.

#![allow(clippy::print_stdout, reason = "a benchmark prints what it measures")]
#![allow(missing_docs, reason = "a program, not a library")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use pharos::base::name::NameBuf;
use pharos::base::time::{Generation, Moment, Now, UnixTime};
use pharos::base::tsig::{Algorithm, Key};
use pharos::compile;
use pharos::rates::Rates;
use pharos::snapshot::{CookieSecrets, RateLimit, Settings, Snapshot};
use pharos::wire::tsig::Exchange;
use pharos::wire::{self, MAX_UDP, Peer, Transport};

const OPT: [u8; 9] = [0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0];

/// The workloads by name, each with its rate limit. The queries of a workload are asked in turn.
const WORKLOADS: [(&str, Limiting); 25] = [
    ("static", Limiting::Off),
    ("steered", Limiting::Off),
    ("random-names", Limiting::Off),
    ("refused", Limiting::Off),
    ("longest-name", Limiting::Off),
    ("most-labels", Limiting::Off),
    ("uneven-labels", Limiting::Off),
    ("most-records", Limiting::Off),
    ("most-options", Limiting::Off),
    ("most-questions", Limiting::Off),
    ("zeros-4096", Limiting::Off),
    ("cookie-client", Limiting::Off),
    ("cookie-invalid", Limiting::Off),
    ("static", Limiting::OneNetwork),
    ("random-names", Limiting::OneNetwork),
    ("cookie-client", Limiting::OneNetwork),
    ("static", Limiting::Spoofed),
    ("steered", Limiting::Spoofed),
    ("random-names", Limiting::Spoofed),
    ("longest-name", Limiting::Spoofed),
    ("update-unsigned", Limiting::Off),
    ("update-other-key", Limiting::Off),
    ("update-forged", Limiting::Off),
    ("query-forged", Limiting::Off),
    ("update-forged", Limiting::Spoofed),
];

/// The rate limit, and the origin of the queries.
#[derive(Clone, Copy, PartialEq)]
enum Limiting {
    Off,
    /// All from one network, far beyond the limit.
    OneNetwork,
    /// Each from another network.
    Spoofed,
}

impl Limiting {
    fn word(self) -> &'static str {
        match self {
            Limiting::Off => "no-limit",
            Limiting::OneNetwork => "one-network",
            Limiting::Spoofed => "spoofed",
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list"] => WORKLOADS.iter().for_each(|(name, limiting)| println!("{name} {}", limiting.word())),
        ["count", name, limiting, number] => {
            let known = WORKLOADS.iter().find(|known| known.0 == name && known.1.word() == limiting);
            let (name, limiting) = known.expect("a known workload");
            let world = World::of(name, *limiting);
            let queries = queries(name);
            world.ask(&queries, 1_000);
            measured(&world, &queries, number.parse().expect("a number of queries"));
        }
        _ => {
            println!("{:16} {:12} {:>10}", "workload", "limit", "ns/query");
            for (name, limiting) in WORKLOADS {
                let (world, queries) = (World::of(name, limiting), queries(name));
                world.ask(&queries, 100_000);
                let start = Instant::now();
                world.ask(&queries, 1_000_000);
                println!("{name:16} {:12} {:10.1}", limiting.word(), start.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
}

/// The function that callgrind watches.
#[inline(never)]
fn measured(world: &World, queries: &[Vec<u8>], number: u32) {
    world.ask(queries, number);
}

/// A zone whose challenges a key may set.
const CHALLENGED: [(&str, &str); 2] = [
    ("zone", "$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 192.0.2.53\n"),
    (
        "pharos.toml",
        "[acme]\nstate = \"acme.json\"\n\
         [keys]\n\"one.mirrors.example\" = { algorithm = \"hmac-sha256\", secret = \"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\" }\n\
         [[zone]]\nname = \"blob.example\"\nfile = \"zone\"\nsteer = [{ owner = \"@\", horizon = \"all\" }]\n\
         [mirrors.one]\naddresses = [\"192.0.2.1\"]\nacme = [{ key = \"one.mirrors.example\" }]\n\
         [horizons.all]\ndefault = [\"one\"]\n",
    ),
];

struct World {
    snapshot: Snapshot,
    rates: Rates,
    limiting: Limiting,
}

impl World {
    fn of(workload: &str, limiting: Limiting) -> Self {
        World::build(limiting, workload.starts_with("update-") || workload.ends_with("-forged"))
    }

    /// `is_signed` builds a zone whose challenges a key may set.
    fn build(limiting: Limiting, is_signed: bool) -> Self {
        let config = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/engine/pharos.toml");
        let built = if is_signed {
            compile::build_in_memory("pharos.toml", CHALLENGED)
        } else {
            compile::build(config.as_ref(), Generation(1))
        };
        let mut snapshot = built.unwrap_or_else(|problems| panic!("{problems:#?}")).snapshot;
        let limit = RateLimit {
            responses_per_second: 200,
            window_ms: 15_000,
            slip: 2,
            ipv4_prefix: 24,
            ipv6_prefix: 56,
            exempt: None,
        };
        let rate_limit = (limiting != Limiting::Off).then_some(limit);
        let cookies = CookieSecrets::new(vec![[7; 16]]);
        snapshot = snapshot.with_settings(Settings { rate_limit, cookies, ..Settings::default() });
        let rates = Rates::new([0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9]);
        rates.prepare();
        World { snapshot, rates, limiting }
    }

    fn ask(&self, queries: &[Vec<u8>], number: u32) {
        let mut out = vec![0; MAX_UDP];
        let mut next = queries.iter().cycle();
        for turn in 0..number {
            let query = next.next().expect("a workload has queries");
            let address = match self.limiting {
                Limiting::Spoofed => IpAddr::from(turn.wrapping_mul(0x9e37_79b1).to_be_bytes()),
                _ => IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)),
            };
            let peer = Peer { address, transport: Transport::Udp };
            let now = Now { monotonic: Moment(u64::from(turn >> 8)), ..Now::default() };
            let _ = black_box(wire::respond_limited(query, peer, &self.snapshot, now, &self.rates, None, &mut out));
        }
    }
}

fn queries(workload: &str) -> Vec<Vec<u8>> {
    let mut random = 0x2545_f491_4f6c_dd1du64;
    let mut label = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{:x}", random >> 24)
    };
    let opt = |options: &[u8]| [&OPT[..], &(options.len() as u16).to_be_bytes(), options].concat();
    let plain = |name: &str| query(name, 1, &opt(&[]), 1);
    match workload {
        "static" => vec![plain("www.example.net")],
        "steered" => vec![query("blob.k8s.io", 1, &opt(&[0, 8, 0, 7, 0, 1, 24, 0, 30, 2, 3]), 1)],
        "random-names" => (0..10_000).map(|_| plain(&format!("{}.example.net", label()))).collect(),
        "refused" => (0..10_000).map(|_| plain(&format!("{}.example", label()))).collect(),
        "longest-name" => {
            let long = "x".repeat(63);
            vec![plain(&[&long[..], &long, &long, &long[..48], "example.net"].join("."))]
        }
        "most-labels" => vec![plain(&format!("{}example.net", "x.".repeat(120)))],
        "uneven-labels" => vec![plain(&format!("{}example.net", "x.yy.".repeat(48)))],
        "most-records" => vec![query("www.example.net", 1, &[0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0].repeat(370), 370)],
        "most-options" => vec![query("www.example.net", 1, &opt(&[0xff, 0xf0, 0, 0].repeat(1000)), 1)],
        "most-questions" => {
            let mut message = vec![0x12, 0x35, 0, 0, 3, 0x20, 0, 0, 0, 0, 0, 0];
            message.extend([0, 0, 1, 0, 1].repeat(800));
            vec![message]
        }
        "zeros-4096" => vec![vec![0; 4096]],
        "cookie-client" => vec![query("www.example.net", 1, &opt(&[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]), 1)],
        "cookie-invalid" => {
            let cookie = [&[0, 10, 0, 24, 1, 2, 3, 4, 5, 6, 7, 8, 1, 0, 0, 0, 0, 0, 0, 0][..], &[9; 8]].concat();
            vec![query("www.example.net", 1, &opt(&cookie), 1)]
        }
        "update-unsigned" => vec![update()],
        "update-other-key" => vec![signed(update(), "two.mirrors.example")],
        "update-forged" => vec![signed(update(), "one.mirrors.example")],
        "query-forged" => vec![signed(query("blob.example", 1, &[], 0), "one.mirrors.example")],
        _ => Vec::new(),
    }
}

/// An update that sets a token.
fn update() -> Vec<u8> {
    let mut message = query("blob.example", 6, &[], 0);
    (message[2], message[9]) = (5 << 3, 1);
    message.extend(&query("_acme-challenge.blob.example", 16, &[], 0)[12..]);
    message.extend([0, 0, 0, 60, 0, 44, 43]);
    message.extend([b'x'; 43]);
    message
}

/// A message with the signature of another secret.
fn signed(mut message: Vec<u8>, key: &str) -> Vec<u8> {
    let name = NameBuf::parse(key).expect("a name");
    let key = Key::new(name.as_name(), Algorithm::HmacSha256, &[9; 32]).expect("a key");
    Exchange::begin(&Arc::new(key), &mut message, UnixTime(0));
    message
}

fn query(name: &str, qtype: u16, additional: &[u8], records: u16) -> Vec<u8> {
    let mut message = vec![0x12, 0x35, 0, 0, 0, 1, 0, 0, 0, 0];
    message.extend(records.to_be_bytes());
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend(qtype.to_be_bytes());
    message.extend([0, 1]);
    message.extend(additional);
    message
}
