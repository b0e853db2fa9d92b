//! Response rate limiting through the one path of UDP, and the effect of ECS on an answer, as the engine reports it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::net::IpAddr;
use std::sync::LazyLock;

use pharos::base::prefix::{Prefix, PrefixSet};
use pharos::base::time::{Generation, Moment, Now};
use pharos::compile;
use pharos::rates::Rates;
use pharos::snapshot::{CookieSecrets, RateLimit, Settings, Snapshot};
use pharos::wire::{self, EcsEffect, Limit, Peer, Reply, Silence, Transport};

const COOKIE: u16 = 10;
const ECS: u16 = 8;

static COMPILED: LazyLock<Snapshot> = LazyLock::new(|| {
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/engine/pharos.toml");
    compile::build(config.as_ref(), Generation(1)).unwrap().snapshot
});

/// The zones of the engine's cases, with a limit of five a second.
fn limited(slip: u8, exempt: &[&str]) -> Snapshot {
    let exempt: Vec<Prefix> = exempt.iter().map(|prefix| prefix.parse().unwrap()).collect();
    let rate_limit = RateLimit {
        responses_per_second: 5,
        window_ms: 15_000,
        slip,
        ipv4_prefix: 24,
        ipv6_prefix: 56,
        exempt: (!exempt.is_empty()).then(|| PrefixSet::new(&exempt)),
    };
    let cookies = CookieSecrets::new(vec![[7; 16]]);
    let mut snapshot = COMPILED.clone();
    snapshot = snapshot.with_settings(Settings { rate_limit: Some(rate_limit), cookies, ..Settings::default() });
    snapshot
}

fn rates() -> Rates {
    let rates = Rates::new([0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9]);
    rates.prepare();
    rates
}

fn query(id: u16, name: &str, option: Option<(u16, &[u8])>) -> Vec<u8> {
    let mut query = id.to_be_bytes().to_vec();
    query.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    for label in name.split('.') {
        query.push(label.len() as u8);
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 1, 0, 1, 0, 0, 41, 0x10, 0, 0, 0, 0, 0]);
    let len = option.map_or(0, |(_, data)| 4 + data.len());
    query.extend_from_slice(&(len as u16).to_be_bytes());
    if let Some((code, data)) = option {
        query.extend_from_slice(&code.to_be_bytes());
        query.extend_from_slice(&(data.len() as u16).to_be_bytes());
        query.extend_from_slice(data);
    }
    query
}

/// A resolver that asks over UDP or TCP.
struct Resolver<'a> {
    snapshot: &'a Snapshot,
    rates: &'a Rates,
    address: IpAddr,
    transport: Transport,
}

impl Resolver<'_> {
    fn ask(&self, query: &[u8], ms: u64) -> Result<(Reply, Vec<u8>), Silence> {
        let mut out = vec![0; wire::MAX_STREAM];
        let peer = Peer { address: self.address, transport: self.transport };
        let now = Now { monotonic: Moment(ms), ..Now::default() };
        let reply = wire::respond_limited(query, peer, self.snapshot, now, self.rates, None, &mut out)?;
        out.truncate(reply.len);
        Ok((reply, out))
    }

    fn limits(&self, name: &str, times: u16, ms: u64) -> Vec<Result<Limit, Silence>> {
        (0..times).map(|id| self.ask(&query(id, name, None), ms).map(|(reply, _)| reply.summary.limit)).collect()
    }
}

fn resolver<'a>(snapshot: &'a Snapshot, rates: &'a Rates) -> Resolver<'a> {
    Resolver { snapshot, rates, address: [192, 0, 2, 1].into(), transport: Transport::Udp }
}

#[test]
fn what_is_over_the_limit_is_not_answered() {
    let (snapshot, rates) = (limited(0, &[]), rates());
    let found = resolver(&snapshot, &rates).limits("www.example.net", 8, 1_000);
    assert_eq!(found[..5], [Ok(Limit::Within); 5]);
    assert_eq!(found[5..], [Err(Silence::Limited); 3]);
}

#[test]
fn random_names_count_as_one() {
    let (snapshot, rates) = (limited(0, &[]), rates());
    let resolver = resolver(&snapshot, &rates);
    let within = (0..100).filter(|i| resolver.limits(&format!("no-such-{i}.example.net"), 1, 1_000)[0].is_ok()).count();
    assert_eq!(within, 5);
}

#[test]
fn what_slips_is_an_empty_truncated_response() {
    let (snapshot, rates) = (limited(1, &[]), rates());
    let resolver = resolver(&snapshot, &rates);
    resolver.limits("www.example.net", 5, 1_000);
    let question = query(0x1234, "www.example.net", None);
    let (reply, octets) = resolver.ask(&question, 1_000).unwrap();
    assert_eq!((reply.summary.limit, reply.summary.truncated), (Limit::Slipped, true));
    // TC, NOERROR, the question and OPT: as long as the query was.
    assert_eq!((octets[2] & 0x02, octets[3] & 0x0f, octets.len()), (0x02, 0, question.len()));
    assert_eq!(octets[4..12], [0, 1, 0, 0, 0, 0, 0, 1]);
}

/// A zone with a delegation to thirteen servers below the cut, whose addresses of both families make 20 records and more.
fn wide_delegation() -> Snapshot {
    let folder = tempfile::tempdir().unwrap();
    let mut zone = "$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 192.0.2.1\n".to_string();
    for number in 1..=13 {
        zone.push_str(&format!("wide NS ns{number}.wide\nns{number}.wide A 192.0.2.{number}\n"));
        zone.push_str(&format!("ns{number}.wide AAAA 2001:db8::{number}\n"));
    }
    std::fs::write(folder.path().join("zone"), zone).unwrap();
    let config = "[[zone]]\nname = 'example'\nfile = 'zone'\n";
    std::fs::write(folder.path().join("pharos.toml"), config).unwrap();
    compile::build(&folder.path().join("pharos.toml"), Generation(1)).unwrap().snapshot
}

/// The bytes of the question that a reply repeats.
fn question_len(reply: &[u8]) -> usize {
    match reply[4..6] {
        [0, 0] => 0,
        _ => 4 + pharos::base::name::Name::split_from(&reply[12..]).unwrap().0.len(),
    }
}

/// Checks that a reply has its header and question, and behind them nothing but OPT.
#[track_caller]
fn assert_bare(reply: &[u8], what: &str) {
    let rest = &reply[12 + question_len(reply)..];
    let records = [&reply[6..8], &reply[8..10]].concat();
    assert_eq!(records, [0, 0, 0, 0], "{what}: records in {reply:02x?}");
    match reply[11] {
        0 => assert!(rest.is_empty(), "{what}: {rest:02x?} behind the question"),
        1 => assert!(rest.starts_with(&[0, 0, 41]), "{what}: {rest:02x?} is no OPT"),
        more => panic!("{what}: {more} additional records"),
    }
}

#[test]
fn what_slips_is_never_longer_than_its_query_whatever_is_asked() {
    let nsid = pharos::snapshot::ServerIdentity {
        nsid: Some(b"a-name-of-many-octets".as_slice().into()),
        ..Default::default()
    };
    let with_limit = |compiled: &Snapshot| {
        let limited = limited(1, &[]);
        let rate_limit =
            limited.settings().rate_limit.clone().map(|limit| RateLimit { responses_per_second: 1, ..limit });
        let settings = Settings { rate_limit, identity: nsid.clone(), ..limited.settings().clone() };
        let mut snapshot = compiled.clone();
        snapshot = snapshot.with_settings(settings);
        snapshot
    };
    let mut asked: Vec<(String, Vec<u8>)> =
        common::cases::all().into_iter().map(|case| (case.name, case.asked.message)).collect();
    let wide = |option| query(1, "www.wide.example", option);
    let mut plain = wide(None);
    plain.truncate(plain.len() - 11);
    plain[11] = 0;
    let delegated = [
        ("wide", plain),
        ("wide with EDNS", wide(None)),
        ("wide with a cookie", wide(Some((COOKIE, b"a client")))),
        ("wide with NSID", wide(Some((3, b"")))),
        ("wide with a subnet", wide(Some((ECS, &[0, 1, 24, 0, 30, 2, 3])))),
    ];
    let of_engine = with_limit(&COMPILED);
    let of_wide = with_limit(&wide_delegation());
    let mut slipped = 0;
    let all = asked.drain(..).map(|(name, message)| (name, message, &of_engine));
    let all = all.chain(delegated.map(|(name, message)| (name.to_string(), message, &of_wide)));
    let rates = rates();
    for (at, (name, message, snapshot)) in all.enumerate() {
        let resolver = Resolver { address: [10, (at >> 8) as u8, at as u8, 1].into(), ..resolver(snapshot, &rates) };
        for _ in 0..3 {
            let Ok((reply, octets)) = resolver.ask(&message, 1_000) else { continue };
            let rcode = reply.summary.rcode.0;
            let is_error = matches!(rcode, 1 | 2 | 4 | 5 | 9 | 16 | 23);
            // The name of an unknown key follows OPT, in a TSIG record with that error (RFC 8945 §5.2.1).
            let is_signed = wire::decode(&message).is_some_and(|query| query.tsig.is_some());
            if (is_error || reply.summary.limit == Limit::Slipped) && !is_signed {
                assert_bare(&octets, &name);
            }
            if reply.summary.limit == Limit::Slipped {
                slipped += 1;
                // Our half of the cookie has 16 bytes.
                let most = message.len() + if rcode == 23 { 16 } else { 0 };
                assert!(octets.len() <= most, "{name}: {} bytes for {}", octets.len(), message.len());
                assert_eq!(octets[2] & 0x02 != 0, rcode != 23, "{name}: TC, or BADCOOKIE");
            }
        }
    }
    assert!(slipped > 300, "{slipped}");
}

#[test]
fn rfc7873_s5_2_3_a_client_that_knows_cookies_gets_one_instead() {
    let (snapshot, rates) = (limited(1, &[]), rates());
    let resolver = resolver(&snapshot, &rates);
    resolver.limits("www.example.net", 5, 1_000);
    let (reply, octets) = resolver.ask(&query(1, "www.example.net", Some((COOKIE, b"a client"))), 1_000).unwrap();
    assert_eq!((reply.summary.limit, reply.summary.rcode.0, octets[2] & 0x02), (Limit::Slipped, 23, 0));
    let cookie = octets[octets.len() - 24..].to_vec();
    assert_eq!(&cookie[..8], b"a client");
    // With the cookie nothing is limited, for this address alone.
    for _ in 0..20 {
        let (reply, octets) = resolver.ask(&query(2, "www.example.net", Some((COOKIE, &cookie))), 1_000).unwrap();
        assert_eq!((reply.summary.limit, octets[7]), (Limit::ExemptByCookie, 3));
    }
    let spoofed = Resolver { address: [192, 0, 2, 2].into(), ..resolver };
    let (reply, _) = spoofed.ask(&query(3, "www.example.net", Some((COOKIE, &cookie))), 1_000).unwrap();
    assert_eq!(reply.summary.limit, Limit::Slipped);
}

#[test]
fn streams_and_exempt_addresses_are_not_limited() {
    let (snapshot, rates) = (limited(0, &["198.51.100.0/24"]), rates());
    let udp = resolver(&snapshot, &rates);
    let exempt = Resolver { address: [198, 51, 100, 53].into(), ..udp };
    assert_eq!(exempt.limits("www.example.net", 20, 1_000), [Ok(Limit::ExemptByList); 20]);
    let tcp = Resolver { transport: Transport::Tcp, ..resolver(&snapshot, &rates) };
    assert_eq!(tcp.limits("www.example.net", 20, 1_000), [Ok(Limit::Off); 20]);
}

#[test]
fn errors_are_limited_together() {
    let (snapshot, rates) = (limited(0, &[]), rates());
    let resolver = resolver(&snapshot, &rates);
    assert!(resolver.limits("elsewhere.example", 5, 1_000).iter().all(Result::is_ok));
    let mut broken = query(1, "www.example.net", None);
    broken.push(0);
    assert_eq!(resolver.ask(&broken, 1_000).unwrap_err(), Silence::Limited);
    assert_eq!(resolver.limits("www.example.net", 1, 1_000), [Ok(Limit::Within)]);
}

#[test]
fn rfc7871_one_of_many_answers_by_subnet_is_compared_with_that_by_resolver() {
    let rates = Rates::new([1, 2]);
    let resolver = Resolver { address: [8, 8, 8, 8].into(), ..resolver(&COMPILED, &rates) };
    let effect = |id, subnet: &[u8]| {
        let query = query(id, "blob.k8s.io", Some((ECS, subnet)));
        resolver.ask(&query, 0).unwrap().0.summary.ecs
    };
    let far: Vec<EcsEffect> = (0..=255).map(|net| effect(0, &[0, 1, 24, 0, net, 2, 3])).collect();
    assert!(far.contains(&EcsEffect::Same) && far.contains(&EcsEffect::Different));
    // A private subnet, or an empty one, is not compared.
    assert_eq!(effect(0, &[0, 1, 24, 0, 10, 2, 3]), EcsEffect::NotCompared);
    assert_eq!(effect(0, &[0, 1, 0, 0]), EcsEffect::NotCompared);
    let compared = (0..6400).filter(|id| effect(*id, &[0, 1, 24, 0, 30, 2, 3]) != EcsEffect::NotCompared).count();
    assert_eq!(compared, 100);
}
