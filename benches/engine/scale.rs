//! Tables and zones far larger than today's: lookups, compile times, memory.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use pharos::base::ids::{MirrorId, SourceId};
use pharos::base::name::NameBuf;
use pharos::base::prefix::{Block, Prefix};
use pharos::base::rr::Rtype;
use pharos::base::time::{Generation, Ttl};
use pharos::compile;
use pharos::mirror::{Health, Standing};
use pharos::networks::{LabelKind, Labels, Networks, SourceBuilder};
use pharos::snapshot::{Change, Compiled, Next, Snapshot};
use pharos::steer::{Condition, Draft, Horizon, Laid, Ranking, Rule};
use pharos::zone::{DynamicRrSet, RrSetKey, Zone, ZoneBuilder, ZoneSet};

use crate::random::Random;
use crate::{median, mmdb, world};

/// Lookups per round.
const LOOKUPS: u32 = 2_000_000;

/// Labels among which synthetic prefixes are spread.
const LABELS: u32 = 64;

/// Lookups in tables and zones of growing size.
pub(crate) fn lookups() {
    println!("{:28} {:>10} {:>10} {:>12} {:>12}", "table", "v4 ns", "v6 ns", "v4 ranges", "octets/range");
    for (name, prefixes) in [("12 k prefixes", 12_000), ("1 M prefixes", 1_000_000), ("4 M prefixes", 4_000_000)] {
        let (horizon, probes) = table(prefixes);
        // As clients are: some prefixes are asked for again and again, from everywhere in the table.
        let v4 = median(|| {
            let start = Instant::now();
            for at in 0..LOOKUPS {
                black_box(horizon.v4().find(probes.0[at as usize & 0xffff], 24));
            }
            start.elapsed().as_secs_f64() * 1e9 / f64::from(LOOKUPS)
        });
        let v6 = median(|| {
            let start = Instant::now();
            for at in 0..LOOKUPS {
                black_box(horizon.v6().find(probes.1[at as usize & 0xffff], 56));
            }
            start.elapsed().as_secs_f64() * 1e9 / f64::from(LOOKUPS)
        });
        let octets = horizon.v4().memory() as f64 / horizon.v4().len() as f64;
        println!("{name:28} {v4:10.1} {v6:10.1} {:12} {octets:12.2}", horizon.v4().len());
    }
    println!("{:28} {:>10} {:>10}", "zone", "found ns", "denied ns");
    for (name, hosts) in [("1 k names", 1000), ("1 M names", 1_000_000)] {
        let zone = zone(hosts);
        let mut random = Random::new(2);
        // The same number of different names for each size of the zone.
        let found = names((0..1000).map(|_| format!("host-{}.blob.k8s.io", random.below(hosts))));
        let denied = names((0..1000u32).map(|at| format!("no-{at}.blob.k8s.io")));
        let [found, denied] = [found, denied].map(|names| {
            median(|| {
                let start = Instant::now();
                for at in 0..LOOKUPS {
                    let name = names[at as usize % names.len()].as_name();
                    black_box(zone.find(name, &name.suffixes()));
                }
                start.elapsed().as_secs_f64() * 1e9 / f64::from(LOOKUPS)
            })
        });
        println!("{name:28} {found:10.1} {denied:10.1}");
    }
}

/// Compile times of large inputs, files included.
pub(crate) fn compile() {
    zones();
    let start = Instant::now();
    let (horizon, _) = table(1_000_000);
    println!("{:44} {:10.1}", "1 M synthetic prefixes, in memory", start.elapsed().as_secs_f64() * 1e3);
    drop(horizon);
    let config = "[dns]\n[registry]\nlisten = [\"127.0.0.1:8080\"]\ncanonical = \"https://us-central1-docker.pkg.dev/k8s-artifacts-prod/images\"\nblobs = \"https://blob.k8s.io\"\n";
    let rules = "[mirrors.m]\naddresses = [\"192.0.2.1\", \"2001:db8::1\"]\n\
                 [mirrors.n]\naddresses = [\"192.0.2.2\", \"2001:db8::2\"]\n\
                 [horizons.h]\nrules = [{ country = [\"DE\", \"FR\"], mirrors = [\"n\"] }]\ndefault = [\"m\"]\n";
    let zones = "[[zone]]\nname = \"blob.k8s.io\"\nfile = \"zone\"\nsteer = [{ owner = \"@\", horizon = \"h\" }]\n";
    let networks = "[networks]\ngeo = { mmdb = \"geo.mmdb\" }\n";
    let by_country = format!("{config}{zones}{networks}{rules}");
    let by_distance = |mirrors| format!("{config}{zones}{networks}{}", near(mirrors));
    let cases = [
        ("a database of 1 M networks", 1_000_000, mmdb::countries(), &by_country, 10),
        ("a zone of 1 M names", 100, mmdb::countries(), &by_country, 1_000_000),
        ("1 M networks in 200 k cities, unused", 1_000_000, mmdb::cities(200_000), &by_country, 10),
        ("1 M networks in 200 k cities, nearest of 12", 1_000_000, mmdb::cities(200_000), &by_distance(12), 10),
        ("1 M networks in 200 k cities, nearest of 64", 1_000_000, mmdb::cities(200_000), &by_distance(64), 10),
    ];
    for (name, nets, records, config, hosts) in cases {
        let directory = tempfile::tempdir().expect("a directory for temporary files");
        let write = |name: &str, octets: &[u8]| {
            std::fs::write(directory.path().join(name), octets).expect("room for a file");
        };
        write("zone", world::zone(hosts).as_bytes());
        write("geo.mmdb", &mmdb::database(nets, &records));
        write("pharos.toml", config.as_bytes());
        let start = Instant::now();
        let built = compile::build(&directory.path().join("pharos.toml"), Generation(1));
        let milliseconds = start.elapsed().as_secs_f64() * 1e3;
        let snapshot = built.unwrap_or_else(|problems| panic!("{problems:#?}")).snapshot;
        println!("{name:44} {milliseconds:10.1}");
        let plans = snapshot.horizons()[0].plans().len();
        let mirror = &snapshot.mirrors()[0];
        let down = Change::standing(mirror, &Standing::all(mirror, Health::Down));
        let apply = median(|| {
            let start = Instant::now();
            black_box(snapshot.after(&down));
            start.elapsed().as_secs_f64() * 1e3
        });
        println!("{:44} {apply:10.2}", format!("  a change of health, {plans} plans"));
    }
}

/// Memory of zones, and the time to fold a dynamic record into one: a token of an ACME challenge.
fn zones() {
    for (name, hosts) in [("1 k names", 1000), ("1 M names", 1_000_000)] {
        let zones = ZoneSet::new(vec![zone(hosts)]);
        println!("{:44} {:10.1}", format!("octets per name, {name}"), zones.memory() as f64 / f64::from(hosts));
        let snapshot = Snapshot::new(Generation(1), zones, Compiled::default());
        let text = |text| NameBuf::parse(text).expect("a name");
        let key = RrSetKey::new(text("blob.k8s.io"), text("_acme-challenge.blob.k8s.io"), Rtype::TXT);
        let key = key.expect("an owner in the zone");
        let set = DynamicRrSet::new(&key, Ttl(0), vec![b"\x05token".to_vec()]).expect("text");
        let change = Change::Dynamic(Box::new(key), Some(set));
        let fold = median(|| {
            let start = Instant::now();
            black_box(snapshot.after(&change));
            start.elapsed().as_secs_f64() * 1e3
        });
        println!("{:44} {fold:10.2}", format!("  a dynamic record, {name}"));
    }
}

/// Times of a load, of a reload and of a change of health as mirrors grow, which is to be in step.
pub(crate) fn reloads() {
    println!("{:>10} {:>10} {:>10} {:>12} {:>14}", "mirrors", "load ms", "reload ms", "health ms", "all down ms");
    for mirrors in [10_000, 20_000, 40_000] {
        let begin = Instant::now();
        let built = pharos::build_in_memory("pharos.toml", many(mirrors));
        let load = milliseconds(begin);
        let compiled = built.unwrap_or_else(|problems| panic!("{}", problems[0])).snapshot;
        let reload = median(|| {
            let (begin, mut next) = (Instant::now(), Next::of(&compiled));
            next.replace(compiled.clone());
            black_box(next.derive());
            milliseconds(begin)
        });
        let down = |mirror| Change::standing(mirror, &Standing::all(mirror, Health::Down));
        let health = median(|| {
            let begin = Instant::now();
            black_box(compiled.after(&down(&compiled.mirrors()[0])));
            milliseconds(begin)
        });
        let all = median(|| {
            let (begin, mut next) = (Instant::now(), Next::of(&compiled));
            for mirror in compiled.mirrors().iter() {
                next.apply(&down(mirror));
            }
            black_box(next.derive());
            milliseconds(begin)
        });
        println!("{mirrors:>10} {load:10.1} {reload:10.1} {health:12.1} {all:14.1}");
    }
}

fn milliseconds(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1e3
}

/// A configuration of so many mirrors in a hundred rules.
fn many(mirrors: usize) -> [(&'static str, String); 3] {
    let mut config = "[[zone]]\nname = \"blob.test\"\nfile = \"zone\"\nsteer = [{ owner = \"@\", horizon = \"h\" }]\n\
                      [networks]\nl = { list = \"list\" }\n"
        .to_string();
    for at in 0..mirrors {
        let [_, a, b, c] = (at as u32).to_be_bytes();
        config += &format!("[mirrors.m{at}]\naddresses = \"23.{a}.{b}.{c}\"\n");
    }
    config += "[horizons.h]\nrules = [\n";
    for rule in 0..100 {
        let names: Vec<_> = (rule..mirrors).step_by(100).map(|at| format!("\"m{at}\"")).collect();
        config += &format!("{{ network = \"l\", label = \"r{rule}\", mirrors = [{}] }},\n", names.join(","));
    }
    config += "]\ndefault = [\"m0\"]\n";
    let list: String = (0..100).map(|rule| format!("11.{rule}.0.0/16 r{rule}\n")).collect();
    [("pharos.toml", config), ("zone", world::zone(10).replace("blob.k8s.io", "blob.test")), ("list", list)]
}

/// Mirrors over all of the earth, and a default of the nearest.
fn near(mirrors: u32) -> String {
    let mut random = Random::new(5);
    let mut degrees = |most: u32| f64::from(random.below(2 * most)) - f64::from(most);
    let mut text = String::new();
    for at in 0..mirrors {
        let (north, east) = (degrees(60), degrees(180));
        text += &format!("[mirrors.m{at}]\naddresses = [\"192.0.2.{at}\", \"2001:db8::{at:x}\"]\n");
        text += &format!("location = [{north}, {east}]\n");
    }
    let names: Vec<String> = (0..mirrors).map(|at| format!("\"m{at}\"")).collect();
    format!("{text}[horizons.h]\ndefault = {{ nearest = [{}] }}\n", names.join(", "))
}

type Probes = (Vec<u32>, Vec<u128>);

/// A horizon over nested prefixes, three quarters of them IPv4, and addresses in some of them.
fn table(prefixes: u32) -> (Horizon, Probes) {
    let mut random = Random::new(1);
    let mut builder = SourceBuilder::new("synthetic", "");
    let label = |number: u32| format!("label-{number}");
    let labels: Vec<_> = (0..LABELS).map(|at| builder.intern(Labels::of(LabelKind::Label, &*label(at)))).collect();
    let mut probes: Probes = (Vec::new(), Vec::new());
    for at in 0..prefixes {
        let labels = labels[random.below(LABELS) as usize];
        if at % 4 < 3 {
            // Most are /20 to /24, as in the global routing table; the shorter ones hold others.
            let len = if random.below(8) == 0 { 10 + random.below(10) } else { 20 + random.below(5) };
            let block = Block::holding(random.next() as u32 & 0xdfff_ffff, len as u8);
            probes.0.push(block.first());
            builder.add(Prefix::V4(block), labels, 0);
        } else {
            let len = 28 + random.below(29);
            let address = 1u128 << 125 | u128::from(random.next() >> 4) << 64;
            let block = Block::holding(address, len as u8);
            probes.1.push(block.first());
            builder.add(Prefix::V6(block), labels, 0);
        }
    }
    let (source, _) = builder.finish();
    let networks = Networks { sources: vec![Arc::new(source)] };
    let rule = |at: u32| Rule {
        conditions: vec![Condition::Network { sources: vec![SourceId(0)], labels: vec![(&*label(at)).into()] }],
        mirrors: vec![MirrorId(at as u16)],
        ranking: Ranking::Listed,
        fallback: Vec::new(),
        is_canonical: false,
    };
    let laid = Laid::over(&networks);
    let horizon =
        Horizon::build(Draft::new("h".into(), (1..LABELS).map(rule).collect(), vec![MirrorId(0)]), &networks, &laid);
    // The same number of distinct clients for each size of the table: only the table grows.
    let mut pick = |count: usize| random.below(count as u32) as usize;
    let v4 = (0..0x10000).map(|_| probes.0[pick(probes.0.len())]).collect();
    let v6 = (0..0x10000).map(|_| probes.1[pick(probes.1.len())]).collect();
    (horizon, (v4, v6))
}

fn zone(hosts: u32) -> Zone {
    let name = |text: &str| NameBuf::parse(text).expect("a name");
    let apex = name("blob.k8s.io");
    let mut builder = ZoneBuilder::new(apex.clone());
    let mut add = |owner: &NameBuf, rtype, rdata: &[u8]| {
        builder.add(owner.as_name(), rtype, Ttl(300), rdata, 0).expect("records that fit");
    };
    let host = name("ns.example.org");
    let soa = [host.as_name().as_wire(), host.as_name().as_wire(), &[0; 20]].concat();
    add(&apex, Rtype::SOA, &soa);
    add(&apex, Rtype::NS, host.as_name().as_wire());
    for host in 0..hosts {
        add(&name(&format!("host-{host}.blob.k8s.io")), Rtype::A, &host.to_be_bytes());
    }
    builder.finish().unwrap_or_else(|problems| panic!("{problems:?}")).0
}

fn names(texts: impl Iterator<Item = String>) -> Vec<NameBuf> {
    texts.map(|text| NameBuf::parse(&text).expect("a name")).collect()
}
