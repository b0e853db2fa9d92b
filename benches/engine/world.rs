//! The world that the engine is measured in: feeds, a zone of 1,000 names, and a configuration, compiled as for serving.
//!
//! The feeds are those in `../shared/data` if both are there, otherwise synthetic ones of the same size, so that a clone
//! without feeds measures the same code.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Instant;

use pharos::Signatory;
use pharos::base::time::{Generation, UnixTime};
use pharos::compile;
use pharos::snapshot::Snapshot;
use serde_json::{Value, json};

use crate::random::Random;

/// The hosts in the zone.
pub(crate) const HOSTS: u32 = 1000;

/// The delegations in the zone.
pub(crate) const CUTS: u32 = 50;

/// A key of the zone, for this benchmark alone.
const KEY: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgpzZ+FZo8yI+r8cUj
xBFXMMS6Gd3aW5dUO1HZkKnzH8yhRANCAATxxBkwn7xmfG9Wshv/r17ckJgLfie4
6kEDxSGrokrdcvoQNdQkzlQgd15KQT4Sz6var1+CDqy3VqbRxcl9ff7d
-----END PRIVATE KEY-----
";

/// The moment of the signatures, in seconds since 1970.
const SIGNED_AT: u64 = 1_800_000_000;

/// The served state, and its inputs.
pub(crate) struct World {
    pub(crate) snapshot: Snapshot,
    /// Every prefix of the feeds, once.
    pub(crate) prefixes: Vec<(IpAddr, u8)>,
    /// The time of compiling, in seconds.
    pub(crate) compile_s: f64,
}

impl World {
    pub(crate) fn build() -> Self {
        World::of_zone("")
    }

    /// The same, with the zone signed.
    pub(crate) fn build_signed() -> Self {
        let mut world = World::of_zone("dnssec = { keys = [\"key.pem\"] }\n");
        let start = Instant::now();
        world.snapshot = Signatory::new(|| UnixTime(SIGNED_AT)).sign_ahead(world.snapshot);
        world.compile_s += start.elapsed().as_secs_f64();
        world
    }

    fn of_zone(keys: &str) -> Self {
        let (aws, gcp) = feeds();
        let directory = tempfile::tempdir().expect("a directory for temporary files");
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).expect("room for a file");
        write("aws.json", &aws.to_string());
        write("gcp.json", &gcp.to_string());
        write("zone", &zone(HOSTS));
        write("key.pem", KEY);
        fs::set_permissions(directory.path().join("key.pem"), Permissions::from_mode(0o600)).expect("a file of ours");
        write("pharos.toml", &config(&aws, &gcp, keys));
        let start = Instant::now();
        let built = compile::build(&directory.path().join("pharos.toml"), Generation(1));
        let compile_s = start.elapsed().as_secs_f64();
        let snapshot = built.unwrap_or_else(|problems| panic!("{problems:#?}")).snapshot;
        World { snapshot, prefixes: prefixes(&aws, &gcp), compile_s }
    }
}

/// A master file with so many hosts, and the delegations.
pub(crate) fn zone(hosts: u32) -> String {
    let mut text = String::from(
        "$TTL 300\n@ SOA ns1 hostmaster.k8s.io. 1 3600 600 86400 60\n@ NS ns1\n@ NS ns2\n\
         ns1 A 192.0.2.53\nns1 AAAA 2001:db8::53\nns2 A 198.51.100.53\n",
    );
    for host in 0..hosts {
        let _ = writeln!(text, "host-{host} A {}", Ipv4Addr::from_bits(0xcb00_7100 | host & 0xff));
    }
    for cut in 0..CUTS {
        let _ = writeln!(text, "cut-{cut} NS ns1.cut-{cut}\ncut-{cut} NS ns2.cut-{cut}");
        let _ = writeln!(text, "ns1.cut-{cut} A 192.0.2.{cut}\nns2.cut-{cut} A 198.51.100.{cut}");
    }
    text
}

fn config(aws: &Value, gcp: &Value, keys: &str) -> String {
    let mut regions: Vec<(&str, &str)> = Vec::new();
    for (feed, provider, key) in [(aws, "aws", "region"), (gcp, "gcp", "scope")] {
        let mut of_feed: Vec<&str> = entries(feed).filter_map(|entry| entry[key].as_str()).collect();
        of_feed.sort_unstable();
        of_feed.dedup();
        regions.extend(of_feed.into_iter().filter(|region| !is_global(region)).map(|region| (provider, region)));
    }
    let mut text = String::from(
        "[dns]\nlisten = [\"127.0.0.1:5300\"]\n[registry]\nlisten = [\"127.0.0.1:8080\"]\ncanonical = \"https://us-central1-docker.pkg.dev/k8s-artifacts-prod/images\"\n\
         blobs = \"https://blob.k8s.io\"\n[[zone]]\nname = \"blob.k8s.io\"\nfile = \"zone\"\n\
         steer = [{ owner = \"@\", horizon = \"blobs\" }, { owner = \"shares\", horizon = \"shares\" }]\n",
    );
    text.push_str(keys);
    text.push_str(
        "[networks]\naws = { feed = \"aws\", file = \"aws.json\" }\n\
         gcp = { feed = \"gcp\", file = \"gcp.json\" }\n",
    );
    for (at, (provider, region)) in regions.iter().enumerate() {
        let addresses = format!("\"192.0.2.{at}\", \"2001:db8::{at:x}\"");
        let _ = writeln!(text, "[mirrors.{provider}-{region}]\naddresses = [{addresses}]");
    }
    text.push_str("[horizons.blobs]\nrules = [\n");
    for (provider, region) in &regions {
        let mirror = format!("{provider}-{region}");
        let _ = writeln!(text, "{{ provider = \"{provider}\", region = \"{region}\", mirrors = [\"{mirror}\"] }},");
    }
    let (provider, region) = regions[0];
    let _ = writeln!(text, "]\ndefault = [\"{provider}-{region}\"]");
    // The same again, but that the clients of each region are spread over two mirrors.
    text.push_str("[horizons.shares]\nrules = [\n");
    let first = format!("{provider}-{region}");
    for (provider, region) in regions.iter().skip(1).take(60) {
        let mirror = format!("{provider}-{region}");
        let list = format!("mirrors = [\"{mirror}\", \"{first}\"], weights = {{ {mirror} = 3, {first} = 1 }}");
        let _ = writeln!(text, "{{ provider = \"{provider}\", region = \"{region}\", {list} }},");
    }
    let _ = writeln!(text, "]\ndefault = [\"{first}\"]");
    text
}

/// True for the global region of a provider, which has no place.
fn is_global(region: &str) -> bool {
    region.eq_ignore_ascii_case("global")
}

fn entries(feed: &Value) -> impl Iterator<Item = &Value> {
    ["prefixes", "ipv6_prefixes"].into_iter().filter_map(|key| feed[key].as_array()).flatten()
}

fn prefixes(aws: &Value, gcp: &Value) -> Vec<(IpAddr, u8)> {
    let keys = ["ip_prefix", "ipv6_prefix", "ipv4Prefix", "ipv6Prefix"];
    let texts = entries(aws).chain(entries(gcp)).filter_map(|entry| keys.iter().find_map(|key| entry[key].as_str()));
    let mut all: Vec<(IpAddr, u8)> = texts
        .filter_map(|text| {
            let (address, len) = text.split_once('/')?;
            Some((address.parse().ok()?, len.parse().ok()?))
        })
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn feeds() -> (Value, Value) {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let read = |name: &str| serde_json::from_str(&fs::read_to_string(data.join(name)).ok()?).ok();
    match (read("aws-ip-ranges.json"), read("gcp-cloud.json")) {
        (Some(aws), Some(gcp)) => (aws, gcp),
        _ => synthetic_feeds(),
    }
}

/// As many prefixes as the providers publish, in as many regions.
fn synthetic_feeds() -> (Value, Value) {
    let mut random = Random::new(7);
    let mut v4 = |kind: &str, key: &str, count: u32, least: u32| -> Vec<Value> {
        let entry = |_| {
            let len = least + random.below(16);
            let address =
                Ipv4Addr::from_bits((random.next() as u32 & 0x3fff_ffff | 0x4000_0000) >> (32 - len) << (32 - len));
            json!({ kind: format!("{address}/{len}"), key: format!("region-{}", random.below(42)) })
        };
        (0..count).map(entry).collect()
    };
    let aws_v4 = v4("ip_prefix", "region", 6000, 12);
    let gcp_v4 = v4("ipv4Prefix", "scope", 1000, 14);
    let aws_v6 = (0..4800u32).map(|_| {
        let address = Ipv6Addr::from_bits(0x2600 << 112 | u128::from(random.next() as u32) << 80);
        json!({ "ipv6_prefix": format!("{address}/48"), "region": format!("region-{}", random.below(42)) })
    });
    let aws = json!({ "syncToken": "1", "prefixes": aws_v4, "ipv6_prefixes": aws_v6.collect::<Vec<_>>() });
    (aws, json!({ "syncToken": "1", "prefixes": gcp_v4 }))
}
