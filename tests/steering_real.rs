//! Steering over the providers' real feeds, compared with brute force.
//!
//! Two feeds, a mirror for each region in the feeds, and two oracles that share nothing with the steering table: the
//! longest prefix by trying every length in a hash map, and a list of disjoint ranges made from that. Every decision
//! must be that of the longest prefix; every scope must lie in one range, and one bit shorter must not.
//!
//! A debug build tries 100,000 addresses of each family, `tests/run --long steering` a million.
//!
//! The feeds are looked for in `$PHAROS_FEEDS`, else in `../shared/data`; without them the tests are skipped.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected is to fail")]
#![allow(clippy::print_stderr, reason = "what was skipped, and how much was tried")]

mod common;

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, LazyLock};

use common::{feeds, needs};
use pharos::base::client::{Client, SourcePrefixLen, Subnet};
use pharos::base::geo::Coordinates;
use pharos::base::ids::{HorizonId, MirrorId};
use pharos::base::name::NameBuf;
use pharos::base::rr::Rtype;
use pharos::base::time::{Generation, Now, Ttl};
use pharos::config::{FileUse, InputFile, Network, NetworkKind};
use pharos::load;
use pharos::mirror::Mirror;
use pharos::networks::{LabelKind, Networks};
use pharos::snapshot::{Compiled, Snapshot};
use pharos::steer::{Condition, Draft, Horizon, Laid, Ranking, Rule};
use pharos::wire::{self, Peer, Transport};
use pharos::zone::{Steered, ZoneBuilder, ZoneSet};
use serde_json::Value;

/// Random addresses per family: a million, but fewer in a debug build, because the oracles are slow there.
const ADDRESSES: usize = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };

/// The number of addresses that are asked by whole messages too, which take longer than the decision alone.
const MESSAGES: usize = ADDRESSES / 5;

/// The resolver that asks: an address of no provider, so that the default decides if the resolver is judged.
const RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::new(9, 9, 9, 9));

/// IPv4 blocks that do not show a client's location (RFC 1918, 6598, 1122, 3927).
const RESERVED_V4: [&str; 6] =
    ["10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"];

/// IPv6 blocks of that kind (RFC 4291, 4193).
const RESERVED_V6: [&str; 3] = ["::1/128", "fc00::/7", "fe80::/10"];

/// IPv6 blocks that embed an IPv4 address (RFC 4291, 6052, 3056).
const EMBEDDING: [&str; 3] = ["::ffff:0:0/96", "64:ff9b::/96", "2002::/16"];

/// The feeds.
const AWS: &str = "aws-ip-ranges.json";
const GCP: &str = "gcp-cloud.json";

static WORLD: LazyLock<Option<World>> = LazyLock::new(World::load);

/// The world of the feeds. `None` if a feed is missing, which is counted for each test.
fn world() -> Option<&'static World> {
    [AWS, GCP].iter().all(|file| needs::data(file).is_some()).then_some(())?;
    WORLD.as_ref()
}

struct World {
    snapshot: Snapshot,
    v4: Oracle,
    v6: Oracle,
}

/// The expected decision for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judged {
    /// By its network: this mirror.
    Mirror(usize),
    /// By the resolver, for the whole reserved block.
    Resolver,
    /// By the embedded IPv4 address, behind this many bits.
    Embedded(u8),
}

/// Brute force over the prefixes of one family, as numbers of 128 bits of which `width` count.
struct Oracle {
    width: u8,
    /// For each length, the longest first: the mirror of each prefix, by its first address.
    feeds: Vec<Vec<(u8, HashMap<u128, usize>)>>,
    special: Vec<(u128, u8, Judged)>,
    /// The first address of each range with one decision, and the decision.
    ranges: Vec<(u128, Judged)>,
    /// Addresses where something changes, and their neighbours.
    edges: Vec<u128>,
}

impl World {
    fn load() -> Option<World> {
        let aws = feeds::read(AWS)?;
        let gcp = feeds::read(GCP)?;
        // (prefix, region) in the order of precedence: a region before a global block for the same prefix.
        let aws_v4 = entries(&aws["prefixes"], "ip_prefix", "region");
        let aws_v6 = entries(&aws["ipv6_prefixes"], "ipv6_prefix", "region");
        let gcp_v4 = entries(&gcp["prefixes"], "ipv4Prefix", "scope");
        let gcp_v6 = entries(&gcp["prefixes"], "ipv6Prefix", "scope");
        let names = |provider: &'static str, lists: [&[(String, String)]; 2]| {
            let regions: BTreeSet<String> = lists.concat().into_iter().map(|(_, region)| region).collect();
            regions.into_iter().map(move |region| (provider, region)).collect::<Vec<_>>()
        };
        // The default mirror comes first.
        let mut mirrors = vec![("", String::new())];
        mirrors.extend(names("aws", [&aws_v4, &aws_v6]));
        mirrors.extend(names("gcp", [&gcp_v4, &gcp_v6]));
        let id = |provider: &str, region: &str| {
            mirrors.iter().position(|mirror| *mirror == (provider_of(provider), region.to_string())).unwrap()
        };
        let feed = |provider: &str, entries: &[(String, String)]| -> Vec<(u128, u8, usize)> {
            let number = |(text, region): &(String, String)| {
                let (first, len) = prefix(text);
                (first, len, id(provider, region))
            };
            entries.iter().map(number).collect()
        };
        let v4 = Oracle::new(32, [feed("aws", &aws_v4), feed("gcp", &gcp_v4)], &RESERVED_V4, &[]);
        let v6 = Oracle::new(128, [feed("aws", &aws_v6), feed("gcp", &gcp_v6)], &RESERVED_V6, &EMBEDDING);
        let snapshot = snapshot(&mirrors);
        Some(World { snapshot, v4, v6 })
    }

    fn mirror(&self, provider: &str, region: &str) -> usize {
        let name = mirror_name(provider, region);
        self.snapshot.mirror(&name).unwrap().index()
    }

    /// The mirror and scope of a subnet, by the decision alone.
    fn decide(&self, address: IpAddr, source: u8) -> (usize, u8) {
        let subnet = Some(Subnet { address, source: SourcePrefixLen(source) });
        let decision = self.snapshot.decide(HorizonId(0), &Client { resolver: RESOLVER, subnet });
        let plan = self.snapshot.horizons()[0].plan(decision.plan);
        (plan.preferred[0].index(), decision.scope.0)
    }

    /// The mirror and scope of a subnet, by a message and its reply.
    fn ask(&self, address: IpAddr, source: u8, out: &mut [u8]) -> (usize, u8) {
        let (family, octets) = match address {
            IpAddr::V4(v4) => (1, v4.octets().to_vec()),
            IpAddr::V6(v6) => (2, v6.octets().to_vec()),
        };
        let octets = &octets[..usize::from(source).div_ceil(8)];
        let mut message =
            b"\x12\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x01\x04blob\x03k8s\x02io\x00\x00\x01\x00\x01".to_vec();
        message.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 8 + octets.len() as u8]);
        message.extend([0, 8, 0, 4 + octets.len() as u8, 0, family, source, 0]);
        message.extend(octets);
        let peer = Peer { address: RESOLVER, transport: Transport::Udp };
        let reply = wire::respond(&message, peer, &self.snapshot, Now::default(), out).unwrap();
        let reply = &out[..reply.len];
        // One A record right behind the question: its rdata is the mirror's number.
        assert_eq!(reply[6..8], [0, 1], "one answer");
        let rdata = &reply[message_question_end() + 12..][..4];
        let scope = reply[reply.len() - octets.len() - 1];
        (u32::from_be_bytes(rdata.try_into().unwrap()) as usize & 0xffff, scope)
    }
}

/// The end of the question of [`World::ask`].
fn message_question_end() -> usize {
    12 + 13 + 4
}

impl Oracle {
    fn new(width: u8, feeds: [Vec<(u128, u8, usize)>; 2], reserved: &[&str], embedding: &[&str]) -> Self {
        let mut special = Vec::new();
        for text in reserved {
            let (first, len) = prefix(text);
            special.push((first, len, Judged::Resolver));
        }
        for text in embedding {
            let (first, len) = prefix(text);
            special.push((first, len, Judged::Embedded(len)));
        }
        let blocks = feeds.iter().flatten().map(|(first, len, _)| (*first, *len));
        let blocks: Vec<(u128, u8)> = blocks.chain(special.iter().map(|(first, len, _)| (*first, *len))).collect();
        let by_len = |feed: &Vec<(u128, u8, usize)>| {
            let mut lens: HashMap<u8, HashMap<u128, usize>> = HashMap::new();
            for (first, len, mirror) in feed {
                lens.entry(*len).or_default().entry(*first).or_insert(*mirror);
            }
            let mut lens: Vec<_> = lens.into_iter().collect();
            lens.sort_by_key(|(len, _)| std::cmp::Reverse(*len));
            lens
        };
        let feeds = feeds.iter().map(by_len).collect();
        let mut oracle = Oracle { width, feeds, special, ranges: Vec::new(), edges: Vec::new() };
        let mut starts: Vec<u128> = vec![0];
        for (first, len) in blocks {
            let last = oracle.last(first, len);
            starts.extend([Some(first), (last < oracle.max()).then(|| last + 1)].into_iter().flatten());
            oracle.edges.extend(
                [Some(first), Some(last), first.checked_sub(1), (last < oracle.max()).then(|| last + 1)]
                    .into_iter()
                    .flatten(),
            );
        }
        starts.sort_unstable();
        starts.dedup();
        for start in starts {
            let judged = oracle.judge(start);
            // Two reserved blocks side by side are two ranges still: each has a scope of its own.
            let begins_special = oracle.special.iter().any(|(first, ..)| *first == start);
            if begins_special || oracle.ranges.last().is_none_or(|(_, before)| *before != judged) {
                oracle.ranges.push((start, judged));
            }
        }
        oracle
    }

    fn max(&self) -> u128 {
        u128::MAX >> (128 - self.width)
    }

    /// The first address of the block of `len` bits around an address.
    fn first(&self, address: u128, len: u8) -> u128 {
        let host = u32::from(self.width - len);
        address.checked_shr(host).unwrap_or(0).checked_shl(host).unwrap_or(0)
    }

    /// The last address of that block.
    fn last(&self, address: u128, len: u8) -> u128 {
        self.first(address, len) | self.max().checked_shr(u32::from(len)).unwrap_or(0)
    }

    /// Special blocks first, then the longest prefix of the first feed that has one.
    fn judge(&self, address: u128) -> Judged {
        for (first, len, judged) in &self.special {
            if self.first(address, *len) == *first {
                return *judged;
            }
        }
        for feed in &self.feeds {
            for (len, prefixes) in feed {
                if let Some(mirror) = prefixes.get(&self.first(address, *len)) {
                    return Judged::Mirror(*mirror);
                }
            }
        }
        Judged::Mirror(0)
    }

    /// The range around an address.
    fn range(&self, address: u128) -> (u128, u128) {
        let at = self.ranges.partition_point(|(first, _)| *first <= address);
        (self.ranges[at - 1].0, self.ranges.get(at).map_or(self.max(), |(first, _)| first - 1))
    }

    fn is_uniform(&self, address: u128, len: u8) -> bool {
        let (low, high) = self.range(address);
        self.first(address, len) >= low && self.last(address, len) <= high
    }

    /// Checks a decision about one whole address.
    #[track_caller]
    fn check(&self, address: u128, mirror: usize, scope: u8) {
        let ip = self.ip(address);
        match self.judge(address) {
            Judged::Mirror(expected) => assert_eq!(mirror, expected, "{ip}"),
            Judged::Resolver => assert_eq!(mirror, 0, "{ip} is judged by the resolver"),
            Judged::Embedded(_) => panic!("{ip} embeds an IPv4 address"),
        }
        assert!(self.is_uniform(address, scope), "{ip}: scope /{scope} covers another decision");
        assert!(scope == 0 || !self.is_uniform(address, scope - 1), "{ip}: scope /{scope} could be shorter");
    }

    fn ip(&self, address: u128) -> IpAddr {
        match self.width {
            32 => IpAddr::V4(Ipv4Addr::from_bits(address as u32)),
            _ => IpAddr::V6(Ipv6Addr::from_bits(address)),
        }
    }

    /// Random addresses: anywhere, at the edges of prefixes, and inside of them.
    fn addresses(&self, count: usize, random: &mut Random) -> impl Iterator<Item = u128> {
        (0..count).map(move |_| {
            let (high, low) = (random.next(), random.next());
            let anywhere = (u128::from(high) << 64 | u128::from(low)) & self.max();
            let edge = self.edges[random.next() as usize % self.edges.len()];
            match random.next() % 4 {
                0 => anywhere,
                1 => edge,
                _ => {
                    // The leading bits of an edge.
                    let len = (random.next() % (u64::from(self.width) + 1)) as u8;
                    self.first(edge, len) | (anywhere & self.max().checked_shr(u32::from(len)).unwrap_or(0))
                }
            }
        })
    }
}

#[test]
fn every_ipv4_address_has_the_mirror_of_its_longest_prefix_and_an_exact_scope() {
    let Some(world) = world() else { return };
    let mut out = [0; 4096];
    let mut random = Random(0x5eed_0004);
    for (index, address) in world.v4.addresses(ADDRESSES, &mut random).enumerate() {
        let ip = world.v4.ip(address);
        let decided = world.decide(ip, 32);
        world.v4.check(address, decided.0, decided.1);
        if index < MESSAGES {
            assert_eq!(world.ask(ip, 32, &mut out), decided, "{ip}");
        }
    }
    eprintln!("{ADDRESSES} addresses, {MESSAGES} of them by messages, {} ranges", world.v4.ranges.len());
}

#[test]
fn every_ipv6_address_has_the_mirror_of_its_longest_prefix_and_an_exact_scope() {
    let Some(world) = world() else { return };
    let mut out = [0; 4096];
    let mut random = Random(0x5eed_0006);
    for (index, address) in world.v6.addresses(ADDRESSES, &mut random).enumerate() {
        let ip = world.v6.ip(address);
        let decided = world.decide(ip, 128);
        match world.v6.judge(address) {
            Judged::Embedded(before) => {
                let v4 = address >> (96 - before) & u128::from(u32::MAX);
                match world.v4.judge(v4) {
                    // The reserved block's own length, behind the bits that come before.
                    Judged::Resolver => assert_eq!(decided.0, 0, "{ip}"),
                    _ => world.v4.check(v4, decided.0, decided.1 - before),
                }
                assert!(decided.1 >= before, "{ip}: scope /{} covers more than what is embedded", decided.1);
            }
            _ => world.v6.check(address, decided.0, decided.1),
        }
        if index < MESSAGES {
            assert_eq!(world.ask(ip, 128, &mut out), decided, "{ip}");
        }
    }
    eprintln!("{ADDRESSES} addresses, {MESSAGES} of them by messages, {} ranges", world.v6.ranges.len());
}

#[test]
fn every_range_is_decided_alike_at_both_of_its_ends() {
    let Some(world) = world() else { return };
    for oracle in [&world.v4, &world.v6] {
        for (first, judged) in &oracle.ranges {
            let (low, high) = oracle.range(*first);
            if matches!(judged, Judged::Embedded(_)) {
                continue;
            }
            for address in [low, high] {
                let (mirror, scope) = world.decide(oracle.ip(address), oracle.width);
                oracle.check(address, mirror, scope);
            }
        }
    }
}

/// Expected values that were computed without the oracles, from the feeds of August 2026 in the folder of shared data.
#[test]
fn subnets_of_24_bits_get_the_right_mirror_and_scope() {
    let Some(world) = world() else { return };
    if std::env::var_os("PHAROS_FEEDS").is_some() {
        return needs::skip("these are facts about the feeds in ../shared/data");
    }
    let mut out = [0; 4096];
    let expected = [
        // A GLOBAL block of just this length, with regional ones on both sides.
        ("52.95.110.0", 24, ("aws", "GLOBAL"), 24),
        // 76 of its addresses are in regions, one by one from .1 on; the other 180 are in no feed.
        ("3.4.12.0", 24, ("", ""), 32),
        // 35.190.0.0/18 is global; the next is another's from 35.190.96.0 on.
        ("35.190.1.0", 24, ("gcp", "global"), 18),
        // No feed has an address from 5.179.112.0 to 8.34.207.255.
        ("8.8.8.0", 24, ("", ""), 11),
        // A regional prefix inside of the GLOBAL 15.193.0.0/19.
        ("15.193.10.0", 24, ("aws", "af-south-1"), 24),
        // Most of that block is GLOBAL, its first /24 is not.
        ("15.193.0.0", 19, ("aws", "GLOBAL"), 24),
    ];
    for (address, source, (provider, region), scope) in expected {
        let mirror = world.mirror(provider, region);
        assert_eq!(world.ask(address.parse().unwrap(), source, &mut out), (mirror, scope), "{address}/{source}");
    }
}

/// The prefixes and regions of a feed; global ones last, because another region is more specific for the same prefix.
fn entries(list: &Value, prefix: &str, region: &str) -> Vec<(String, String)> {
    let text = |entry: &Value, key: &str| entry[key].as_str().map(str::to_string);
    let entries = list.as_array().unwrap().iter();
    let mut entries: Vec<_> = entries.filter_map(|entry| Some((text(entry, prefix)?, text(entry, region)?))).collect();
    entries.sort_by_key(|(_, region)| region.eq_ignore_ascii_case("global"));
    entries
}

fn prefix(text: &str) -> (u128, u8) {
    let (address, len) = text.split_once('/').unwrap();
    let address = match address.parse().unwrap() {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    (address, len.parse().unwrap())
}

fn provider_of(provider: &str) -> &'static str {
    match provider {
        "aws" => "aws",
        "gcp" => "gcp",
        _ => "",
    }
}

fn mirror_name(provider: &str, region: &str) -> String {
    if provider.is_empty() { "default".into() } else { format!("{provider}-{region}") }
}

/// A zone with one steered owner, a rule for each region, and a mirror for each rule whose address is its number.
fn snapshot(mirrors: &[(&'static str, String)]) -> Snapshot {
    let network = |name: &str, kind, file: &str| {
        Network::at(name, kind, InputFile::at(needs::data_folder().join(file), FileUse::Network(kind)))
    };
    let sources =
        [network("aws", NetworkKind::Aws, "aws-ip-ranges.json"), network("gcp", NetworkKind::Gcp, "gcp-cloud.json")];
    let sources = sources.iter().map(|network| Arc::new(load::networks::load(network).unwrap().source)).collect();
    let networks = Networks { sources };
    let rules = mirrors.iter().enumerate().skip(1).map(|(index, (provider, region))| Rule {
        conditions: vec![
            Condition::label(LabelKind::Provider, [*provider]),
            Condition::label(LabelKind::Region, [region.as_str()]),
        ],
        mirrors: vec![MirrorId::from_index(index)],
        ranking: Ranking::Listed,
        fallback: Vec::new(),
        is_canonical: false,
    });
    let laid = Laid::over(&networks);
    let horizon = Horizon::build(Draft::new("regions".into(), rules.collect(), vec![MirrorId(0)]), &networks, &laid);
    let mirrors: Arc<[Mirror]> = mirrors
        .iter()
        .enumerate()
        .map(|(index, (provider, region))| Mirror {
            v4: vec![Ipv4Addr::from_bits(0x0b00_0000 | index as u32)],
            v6: vec![Ipv6Addr::from_bits(0x2001_0db8 << 96 | index as u128)],
            ..Mirror::named(mirror_name(provider, region))
        })
        .collect();
    let apex = NameBuf::parse("blob.k8s.io").unwrap();
    let mut zone = ZoneBuilder::new(apex.clone());
    let server = NameBuf::parse("ns.other.test").unwrap();
    let server = server.as_name().as_wire();
    let soa = [server, server, &[0; 20]].concat();
    zone.add(apex.as_name(), Rtype::SOA, Ttl(60), &soa, 0).unwrap();
    zone.add(apex.as_name(), Rtype::NS, Ttl(60), server, 0).unwrap();
    zone.steer(apex.as_name(), Steered { horizon: HorizonId(0), ttl: Ttl(60), service: None }, 0).unwrap();
    let (zone, _) = zone.finish().unwrap();
    Snapshot::new(
        Generation(1),
        ZoneSet::new(vec![zone]),
        Compiled { horizons: [horizon].into(), mirrors, ..Compiled::default() },
    )
}

/// Every network of MaxMind's City test database gets the mirror that is nearest to where a lookup of its own puts it.
#[test]
fn the_nearest_mirror_is_that_of_the_citys_coordinates() {
    let Some(path) = needs::data("GeoLite2-City-Test.mmdb") else { return };
    let octets = std::fs::read(&path).unwrap();
    let network = Network::at("city", NetworkKind::Mmdb, InputFile::at(path, FileUse::Network(NetworkKind::Mmdb)));
    let networks = Networks { sources: vec![Arc::new(load::networks::load(&network).unwrap().source)] };
    // Oslo, Milton (US), Singapore, London, Tokyo; the list is another order than that of any client.
    let places = [(59.91, 10.75), (47.25, -122.31), (1.35, 103.82), (51.51, -0.13), (35.68, 139.69)];
    let coordinates = places.map(|(north, east)| Coordinates::from_degrees(north, east).unwrap());
    let draft = Draft {
        default_ranking: Ranking::Nearest(coordinates.to_vec()),
        ..Draft::new("near".into(), Vec::new(), (0..5).map(MirrorId).collect())
    };
    let horizon = Horizon::build(draft, &networks, &Laid::over(&networks));
    let reader = maxminddb::Reader::from_source(octets).unwrap();
    let kilometres = |(lat_a, lon_a): (f64, f64), (lat_b, lon_b): (f64, f64)| {
        let half_chord = |degrees: f64| (degrees.to_radians() / 2.0).sin().powi(2);
        let (cos_a, cos_b) = (lat_a.to_radians().cos(), lat_b.to_radians().cos());
        12742.0176 * (half_chord(lat_a - lat_b) + cos_a * cos_b * half_chord(lon_a - lon_b)).sqrt().min(1.0).asin()
    };
    let v4 = networks.sources[0].v4().iter().map(|entry| IpAddr::from(Ipv4Addr::from_bits(entry.block.first())));
    let v6 = networks.sources[0].v6().iter().map(|entry| IpAddr::from(Ipv6Addr::from_bits(entry.block.first())));
    let (mut near, mut nowhere) = (0, 0);
    for address in v4.chain(v6) {
        let plan = match address {
            IpAddr::V4(v4) => horizon.v4().plan_at(v4.to_bits()),
            IpAddr::V6(v6) => horizon.v6().plan_at(v6.to_bits()),
        };
        let first = horizon.plan(plan).preferred[0].index();
        let found = reader.lookup(address).unwrap();
        let part = |key: &str| found.decode_path::<f64>(&["location", key].map(Into::into)).unwrap();
        match part("latitude").zip(part("longitude")) {
            Some(place) => {
                let least = places.iter().map(|mirror| kilometres(*mirror, place)).fold(f64::INFINITY, f64::min);
                // Distances are whole kilometres, and of equal ones the first is taken.
                assert!(kilometres(places[first], place) <= least + 1.0, "{address} at {place:?} gets mirror {first}");
                near += 1;
            }
            None => {
                assert_eq!(first, 0, "{address} is nowhere, and gets the list");
                nowhere += 1;
            }
        }
    }
    assert!(near > 100, "{near} networks with coordinates, {nowhere} without");
}

/// SplitMix64: the same numbers on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// A configuration with the feed of AWS, and these rules before a default.
fn aws_only(rules: &str) -> Option<tempfile::TempDir> {
    let feed = needs::data(AWS)?;
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "[[zone]]\nname = 'blob.example'\nfile = 'zone'\nsteer = {{ owner = '@', horizon = 'h' }}\n\
         [networks]\naws = {{ feed = 'aws', file = '{}' }}\n\
         [mirrors]\nmad.addresses = '198.51.100.1'\ncpt.addresses = '198.51.100.2'\niad.addresses = '198.51.100.3'\n\
         [horizons.h]\nrules = [\n{rules}\n]\ndefault = 'iad'\n",
        feed.canonicalize().unwrap().display()
    );
    std::fs::write(folder.path().join("pharos.toml"), text).unwrap();
    let zone = "@ 60 SOA ns.other.example. hostmaster.other.example. 1 2 3 4 5\n@ 60 NS ns1.other.example.\n@ 60 NS ns2.other.example.\n";
    std::fs::write(folder.path().join("zone"), zone).unwrap();
    Some(folder)
}

fn pharos(folder: &tempfile::TempDir, arguments: &[&str]) -> String {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pharos"));
    let output = command.args(arguments).current_dir(folder).env("COLUMNS", "400").output().unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

#[test]
fn a_zone_is_steered_apart_from_its_region() {
    let rules = "{ provider = 'aws', zone = 'af-south-1-los-1', mirrors = 'mad' },\n\
                 { provider = 'aws', region = 'af-south-1', mirrors = 'cpt' },";
    let Some(folder) = aws_only(rules) else { return };
    // Lagos, and Cape Town.
    for (client, expected) in [
        ("96.0.40.0/24", ["198.51.100.1", "provider aws, region af-south-1, zone af-south-1-los-1"]),
        ("15.193.10.0/24", ["198.51.100.2", "provider aws, region af-south-1, zone af-south-1"]),
        ("3.5.140.0/24", ["198.51.100.3", "provider aws, region ap-northeast-2, zone ap-northeast-2"]),
    ] {
        let said = pharos(&folder, &["explain", client]);
        assert!(expected.iter().all(|part| said.contains(part)), "{client}: {said}");
    }
}

#[test]
fn a_zone_that_the_feed_lacks_is_named_with_the_nearest() {
    let rules = "{ provider = 'aws', zone = ['af-south-1-los-2', 'us-east-1-iah-1'], mirrors = 'mad' },";
    let Some(folder) = aws_only(rules) else { return };
    let said = pharos(&folder, &["check"]);
    assert!(said.contains("warning[unknown-zone]: no network knows zone `af-south-1-los-2`"), "{said}");
    assert!(said.contains("did you mean `af-south-1-los-1`? known zones: "), "{said}");
    assert_eq!(said.matches("warning[unknown-zone]").count(), 1, "{said}");
}

#[test]
fn every_entry_of_the_feed_has_a_zone() {
    let Some(path) = needs::data(AWS) else { return };
    let octets = std::fs::read(path).unwrap();
    let network = Network::at("aws", NetworkKind::Aws, InputFile::at(AWS, FileUse::Network(NetworkKind::Aws)));
    let source = load::networks::read(&network, octets).unwrap().source;
    let of = |kind| source.all_labels().map(|labels| labels.text(kind).map(String::from)).collect::<Vec<_>>();
    let (regions, zones) = (of(LabelKind::Region), of(LabelKind::Zone));
    assert!(zones.iter().all(Option::is_some));
    // Counted in the feed with another program: 78 zones differ from their region.
    assert_eq!(regions.iter().zip(&zones).filter(|(region, zone)| region != zone).count(), 78);
}
