//! Behind a resolver that sends client subnets: unbound with its subnet module, between clients and the real binary.
//!
//! Every client must get through the cache the answer that Pharos itself would give, in any order of clients. The cache
//! must hold as many entries as there are scopes among the answers: fewer would mix clients up, more would mean scopes
//! that are too long.
//!
//! RFC 7871 §7.3.1 (caching by a resolver), §7.3.2 (answers from the cache).

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected is to fail")]
#![allow(clippy::print_stderr, reason = "what was skipped, and how much was tried")]

#[path = "common/mod.rs"]
mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::needs::{self, find_program};
use common::ports::free_port;
use common::server::{PATIENCE, Server};
use common::{feeds, query, show};
use pharos::base::prefix::Prefix;
use tempfile::TempDir;

const ZONE: &str = "$TTL 300\n@ SOA ns1 hostmaster 1 3600 600 86400 60\n@ NS ns1\nns1 A 127.0.0.1\n";
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The feeds.
const AWS: &str = "aws-ip-ranges.json";
const GCP: &str = "gcp-cloud.json";

/// The number of clients that come through the cache.
const CLIENTS: usize = 500;

/// An answer: its addresses in order, and the scope.
type Answer = (Vec<IpAddr>, u8);

/// Asks for the steered name on behalf of a client.
fn ask(server: SocketAddr, client: Prefix) -> Answer {
    let text = format!("? blob.k8s.io. A rd ecs={client}");
    let message = query::parse(&[&text]).unwrap().message;
    let socket = UdpSocket::bind((LOOPBACK, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send_to(&message, server).unwrap();
    let mut reply = [0; 4096];
    let (length, from) = socket.recv_from(&mut reply).unwrap();
    assert_eq!(from, server);
    let reply = show::decode(&reply[..length]).unwrap();
    let scope = reply.edns.as_ref().and_then(|edns| edns.option(hickory_proto::rr::rdata::opt::EdnsCode::Subnet));
    let Some(hickory_proto::rr::rdata::opt::EdnsOption::Subnet(subnet)) = scope else {
        panic!("no subnet in the reply for {client}: {reply}")
    };
    let mut addresses: Vec<IpAddr> = reply.answers.iter().filter_map(|record| record.data.ip_addr()).collect();
    addresses.sort_unstable();
    (addresses, subnet.scope_prefix())
}

/// An unbound that sends client subnets to Pharos, and nothing to other servers.
struct Resolver {
    process: Child,
    folder: TempDir,
    address: SocketAddr,
}

impl Resolver {
    /// Starts unbound. `None` if it is not installed.
    fn start(pharos: SocketAddr) -> Option<Resolver> {
        let program = needs::program("unbound", "unbound")?;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        let port = free_port();
        let config = format!(
            "server:\n directory: \"{path}\"\n chroot: \"\"\n username: \"\"\n pidfile: \"{path}/pid\"\n \
             use-syslog: no\n do-daemonize: no\n interface: 127.0.0.1@{port}\n access-control: 127.0.0.0/8 allow\n \
             num-threads: 1\n do-not-query-localhost: no\n extended-statistics: yes\n \
             module-config: \"subnetcache iterator\"\n send-client-subnet: 127.0.0.1\n \
             client-subnet-always-forward: yes\n max-client-subnet-ipv4: 32\n max-client-subnet-ipv6: 128\n \
             max-ecs-tree-size-ipv4: 100000\n max-ecs-tree-size-ipv6: 100000\n\
             remote-control:\n control-enable: yes\n control-interface: \"{path}/control\"\n control-use-cert: no\n\
             stub-zone:\n name: \"blob.k8s.io\"\n stub-addr: 127.0.0.1@{}\n",
            pharos.port()
        );
        fs::write(folder.path().join("unbound.conf"), config).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new(program);
        command.arg("-d").arg("-c").arg(folder.path().join("unbound.conf")).stdin(Stdio::null()).stderr(log);
        let process = command.spawn().unwrap();
        let mut resolver = Resolver { process, folder, address: SocketAddr::new(LOOPBACK, port) };
        let deadline = Instant::now() + PATIENCE;
        while !resolver.control("status").0 {
            let said = || fs::read_to_string(resolver.folder.path().join("log")).unwrap();
            assert!(resolver.process.try_wait().unwrap().is_none(), "unbound ended: {}", said());
            assert!(Instant::now() < deadline, "unbound does not come up: {}", said());
            // The delay between two attempts; the wait ends when unbound can be controlled.
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(resolver)
    }

    fn control(&self, verb: &str) -> (bool, String) {
        let program = find_program("unbound-control").expect("it comes with unbound");
        let config = self.folder.path().join("unbound.conf");
        let output = Command::new(program).arg("-c").arg(config).arg(verb).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    }

    /// The number of queries with subnets that unbound has answered, and the number of those answered from its cache.
    fn counts(&self) -> (usize, usize) {
        let (_, text) = self.control("stats_noreset");
        let count = |key: &str| -> usize {
            text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')?.parse().ok()).unwrap()
        };
        (count("num.query.subnet"), count("num.query.subnet_cache"))
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A server with networks, and a mirror for each of their regions.
struct World {
    _folder: TempDir,
    server: Server,
}

impl World {
    fn start(networks: &str, rules: &[(String, String, IpAddr)], default: IpAddr) -> World {
        let folder = tempfile::tempdir().unwrap();
        let mut config = format!(
            "[dns]\nlisten = \"127.0.0.1:0\"\n[[zone]]\nname = \"blob.k8s.io\"\nfile = \"zone\"\n\
             steer = [{{ owner = \"@\", horizon = \"h\", ttl = 3600 }}]\n[networks]\n{networks}\n\
             [mirrors.default]\naddresses = [\"{default}\"]\n"
        );
        let mut lines = String::new();
        for (number, (provider, region, address)) in rules.iter().enumerate() {
            config.push_str(&format!("[mirrors.m{number}]\naddresses = [\"{address}\"]\n"));
            lines.push_str(&format!(
                "{{ provider = \"{provider}\", region = \"{region}\", mirrors = [\"m{number}\"] }},\n"
            ));
        }
        config.push_str(&format!("[horizons.h]\nrules = [\n{lines}]\ndefault = [\"default\"]\n"));
        fs::write(folder.path().join("zone"), ZONE).unwrap();
        fs::write(folder.path().join("pharos.toml"), config).unwrap();
        let server = Server::start(&folder.path().join("pharos.toml"));
        World { _folder: folder, server }
    }

    fn address(&self) -> SocketAddr {
        self.server.address(LOOPBACK)
    }
}

/// The prefixes of the real feeds with provider and region. `None` if a feed is missing.
fn entries() -> Option<Vec<(Prefix, String, String)>> {
    let (Some(aws), Some(gcp)) = (feeds::read(AWS), feeds::read(GCP)) else {
        return None;
    };
    let mut found = Vec::new();
    for (provider, list, prefix, region) in
        [("aws", &aws["prefixes"], "ip_prefix", "region"), ("gcp", &gcp["prefixes"], "ipv4Prefix", "scope")]
    {
        for entry in list.as_array().unwrap() {
            if let Some(prefix) = entry[prefix].as_str() {
                found.push((
                    prefix.parse().unwrap(),
                    provider.to_string(),
                    entry[region].as_str().unwrap().to_string(),
                ));
            }
        }
    }
    Some(found)
}

/// The absolute path of a feed.
fn path(file: &str) -> String {
    needs::data_folder().join(file).canonicalize().unwrap().display().to_string()
}

/// The provider and region of an address: the longest prefix of the first feed that has one, by looking at all prefixes.
fn judge(address: Ipv4Addr, entries: &[(Prefix, String, String)]) -> Option<(&str, &str)> {
    let holding = entries.iter().filter(|(prefix, ..)| Prefix::holding(address.into(), prefix.prefix_len()) == *prefix);
    // A region says more than a block for all of the world that is as long.
    let best = holding.max_by_key(|(prefix, provider, region)| {
        (provider == "aws", prefix.prefix_len(), !region.eq_ignore_ascii_case("global"))
    });
    best.map(|(_, provider, region)| (provider.as_str(), region.as_str()))
}

/// xorshift64*: the same numbers each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 16) as usize % limit
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[test]
fn the_cache_gives_each_client_of_the_real_feeds_its_own_answer() {
    let Some(entries) = entries() else { return };
    let regions: BTreeSet<(&str, &str)> =
        entries.iter().map(|(_, provider, region)| (&**provider, &**region)).collect();
    let address = |number: usize| IpAddr::from([198, 18, (number / 200) as u8, (number % 200) as u8]);
    let default = address(0);
    let rules: Vec<(String, String, IpAddr)> = regions
        .iter()
        .enumerate()
        .map(|(number, (provider, region))| (provider.to_string(), region.to_string(), address(number + 1)))
        .collect();
    let mirrors: BTreeMap<(&str, &str), IpAddr> =
        rules.iter().map(|(provider, region, address)| ((&**provider, &**region), *address)).collect();
    let networks = format!(
        "aws = {{ feed = \"aws\", file = \"{}\" }}\ngcp = {{ feed = \"gcp\", file = \"{}\" }}",
        path(AWS),
        path(GCP)
    );
    let world = World::start(&networks, &rules, default);
    let Some(resolver) = Resolver::start(world.address()) else { return };
    let mut random = Random(0x5eed_0007);
    // Two thirds of them within a prefix of a feed, the others just behind it.
    let mut clients = BTreeSet::new();
    while clients.len() < CLIENTS {
        let (prefix, ..) = &entries[random.below(entries.len())];
        let IpAddr::V4(first) = prefix.first() else { continue };
        let room = 1u64 << (32 - prefix.prefix_len());
        let offset = random.next() % (room + room / 2);
        clients.insert(Ipv4Addr::from_bits(first.to_bits().wrapping_add(offset as u32)));
    }
    let mut clients: Vec<Ipv4Addr> = clients.into_iter().collect();
    let expected = |client: Ipv4Addr| judge(client, &entries).map_or(default, |whose| mirrors[&whose]);
    let whole = |client: Ipv4Addr| Prefix::holding(client.into(), 32);
    let mut scopes = BTreeSet::new();
    for round in 0..3 {
        random.shuffle(&mut clients);
        let before = resolver.counts();
        for &client in &clients {
            let (addresses, scope) = ask(resolver.address, whole(client));
            assert_eq!(addresses, [expected(client)], "{client} in round {round}");
            scopes.insert(Prefix::holding(client.into(), scope).to_string());
        }
        let (asked, cached) = resolver.counts();
        let missed = (asked - before.0) - (cached - before.1);
        assert_eq!(asked - before.0, CLIENTS);
        // Cached answers are found again, in any order of clients.
        assert_eq!(missed, if round == 0 { scopes.len() } else { 0 }, "entries in round {round}");
    }
    for &client in &clients {
        let (addresses, scope) = ask(world.address(), whole(client));
        assert_eq!(addresses, [expected(client)], "{client} without the resolver");
        assert!(scopes.contains(&Prefix::holding(client.into(), scope).to_string()), "{client}: scope {scope}");
    }
    eprintln!("{CLIENTS} clients in three orders: 0 wrong answers, {} entries in the cache", scopes.len());
}

#[test]
fn subnets_of_24_bits_get_from_the_cache_what_pharos_would_say() {
    let Some(entries) = entries() else { return };
    let regions: BTreeSet<&str> =
        entries.iter().filter(|(_, p, _)| p == "aws").map(|(_, _, region)| &**region).collect();
    let rule = |(number, region): (usize, &&str)| {
        ("aws".to_string(), region.to_string(), IpAddr::from([198, 18, 1, number as u8]))
    };
    let rules: Vec<_> = regions.iter().enumerate().map(rule).collect();
    let networks = format!("aws = {{ feed = \"aws\", file = \"{}\" }}", path(AWS));
    let world = World::start(&networks, &rules, address_of_nobody());
    let Some(resolver) = Resolver::start(world.address()) else { return };
    let mut random = Random(0x5eed_0024);
    let aws: Vec<_> = entries.iter().filter(|(_, provider, _)| provider == "aws").collect();
    let mut subnets: Vec<Prefix> = Vec::new();
    while subnets.len() < CLIENTS {
        let first = aws[random.below(aws.len())].0.first();
        subnets.push(Prefix::holding(first, 24));
    }
    let mut wider = 0;
    for &subnet in &subnets {
        let direct = ask(world.address(), subnet);
        wider += usize::from(direct.1 > 24);
        let (addresses, _) = ask(resolver.address, subnet);
        assert_eq!(addresses, direct.0, "{subnet}");
    }
    assert!(wider > 0, "some subnets hold several networks");
    eprintln!("{CLIENTS} subnets, {wider} of them with several networks inside: 0 wrong answers");
}

fn address_of_nobody() -> IpAddr {
    IpAddr::from([198, 18, 0, 1])
}

#[test]
fn clients_behind_one_resolver_get_their_own_answers_in_every_order() {
    let folder = tempfile::tempdir().unwrap();
    let aws = folder.path().join("aws.json");
    // One within the other.
    let entry = |prefix: &str, region: &str| serde_json::json!({"ip_prefix": prefix, "region": region, "service": "EC2", "network_border_group": region});
    let prefixes = [entry("3.80.0.0/12", "east"), entry("3.81.0.0/16", "west")];
    let feed = serde_json::json!({
        "syncToken": "1", "createDate": "2026-01-01-00-00-00", "prefixes": prefixes, "ipv6_prefixes": [],
    });
    fs::write(&aws, feed.to_string()).unwrap();
    let [east, west] = [1, 2].map(|last| IpAddr::from([198, 18, 1, last]));
    let rules = [("aws".to_string(), "east".to_string(), east), ("aws".to_string(), "west".to_string(), west)];
    let networks = format!("aws = {{ feed = \"aws\", file = \"{}\" }}", aws.display());
    let world = World::start(&networks, &rules, address_of_nobody());
    let clients = [("3.80.1.1", east), ("3.81.1.1", west), ("3.82.1.1", east), ("8.8.8.8", address_of_nobody())];
    for order in permutations(clients.len()) {
        let Some(resolver) = Resolver::start(world.address()) else { return };
        // Once into the cache, once out of it.
        for _ in 0..2 {
            for &at in &order {
                let (client, mirror) = clients[at];
                let (addresses, _) = ask(resolver.address, Prefix::holding(client.parse().unwrap(), 32));
                assert_eq!(addresses, [mirror], "{client} in the order {order:?}");
            }
        }
        let (asked, cached) = resolver.counts();
        assert_eq!((asked, cached), (2 * clients.len(), clients.len()), "in the order {order:?}");
    }
}

/// Every order of `count` items (Heap's algorithm).
fn permutations(count: usize) -> Vec<Vec<usize>> {
    fn go(k: usize, items: &mut [usize], out: &mut Vec<Vec<usize>>) {
        if k <= 1 {
            return out.push(items.to_vec());
        }
        for index in 0..k {
            go(k - 1, items, out);
            items.swap(if k.is_multiple_of(2) { index } else { 0 }, k - 1);
        }
    }
    let mut out = Vec::new();
    go(count, &mut (0..count).collect::<Vec<_>>(), &mut out);
    out
}
