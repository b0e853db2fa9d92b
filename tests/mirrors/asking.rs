//! Blobs are asked for at real TLS mirrors before a client is sent there.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use pharos::base::ids::MirrorId;
use pharos::base::prefix::PrefixSet;
use pharos::base::time::{Generation, Moment};
use pharos::http::{At, BlobAsker, Canonical, HttpServer, MAX_FLIGHTS_PER_MIRROR, Means, Pull};
use pharos::listen::{BeyondLimit, Clients, Common, Limits, Listeners, Terms, bind};
use pharos::live;
use pharos::mirror::{Health, Mirror, Standing};
use pharos::networks::Networks;
use pharos::process::Vital;
use pharos::registry::known::ASKED_PER_SECOND;
use pharos::registry::{BlobTarget, PathRules, RegistrySettings, Upstream};
use pharos::snapshot::{Change, Compiled, Snapshot};
use pharos::steer::{AnswerMirrors, Draft, Horizon, Laid, Ranking, Weights};
use pharos::telemetry::blobs::{Result as Asked, Turned};
use pharos::telemetry::http::Http;
use pharos::tls::{Dialer, MirrorDialers};
use pharos::zone::ZoneSet;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::common::server::PATIENCE;
use super::world::{Authority, Fault, Ledger, NAME, loopback};

/// A timeout that is long enough for any answer.
const LONG: Duration = PATIENCE;
/// The timeout if no answer comes.
const SHORT: Duration = Duration::from_millis(50);

/// The registry listener before some mirrors.
struct Front {
    _server: Listeners,
    at: SocketAddr,
    asker: Arc<BlobAsker>,
}

/// A blob in a repository; its number makes the digest, and is not 0, which is what probes ask for.
fn blob(repository: &str, number: u64) -> String {
    format!("/v2/{repository}/blobs/sha256:{number:064x}")
}

fn means(authority: &Authority, port: u16, wait: Duration) -> Means {
    let mirrors = MirrorDialers::new(NAME.into(), port, authority.roots()).unwrap();
    let hour = Duration::from_secs(3600);
    Means { mirrors: Some(mirrors), canonical: None, wait, timeout: PATIENCE, keep: hour, lacking: hour }
}

/// All clients are steered to the first mirror that is up.
fn snapshot(mirrors: &[(&[IpAddr], Health)]) -> Snapshot {
    snapshot_of_first(AnswerMirrors::ONE, mirrors)
}

/// All clients are steered to the first `answer_mirrors` mirrors that are up.
fn snapshot_of_first(answer_mirrors: AnswerMirrors, mirrors: &[(&[IpAddr], Health)]) -> Snapshot {
    snapshot_ranked(answer_mirrors, Ranking::Listed, mirrors, &[])
}

/// The mirrors of the indexes `unasked` count as having all content.
fn snapshot_ranked(
    answer_mirrors: AnswerMirrors,
    default_ranking: Ranking,
    mirrors: &[(&[IpAddr], Health)],
    unasked: &[usize],
) -> Snapshot {
    let of = |at: usize, addresses: &[IpAddr]| Mirror {
        is_asked: !unasked.contains(&at),
        v4: addresses.iter().filter_map(|ip| if let IpAddr::V4(v4) = ip { Some(*v4) } else { None }).collect(),
        v6: addresses.iter().filter_map(|ip| if let IpAddr::V6(v6) = ip { Some(*v6) } else { None }).collect(),
        ..Mirror::named(format!("m{at}"))
    };
    let networks = Networks::default();
    let all = (0..mirrors.len()).map(MirrorId::from_index).collect();
    let draft = Draft { answer_mirrors, default_ranking, ..Draft::new("h".into(), Vec::new(), all) };
    let horizon = Horizon::build(draft, &networks, &Laid::over(&networks));
    let first = Snapshot::new(
        Generation(1),
        ZoneSet::new(Vec::new()),
        Compiled {
            horizons: Arc::new([horizon]),
            mirrors: mirrors.iter().enumerate().map(|(at, (addresses, _))| of(at, addresses)).collect(),
            ..Compiled::default()
        },
    );
    mirrors.iter().enumerate().fold(first, |snapshot, (at, (_, health))| {
        let mirror = &snapshot.mirrors()[at];
        snapshot.after(&Change::standing(mirror, &Standing::all(mirror, *health)))
    })
}

impl Front {
    /// With a registry of signatures if canonical is asked.
    fn start(snapshot: Snapshot, means: Means) -> Front {
        let (published, ..) = live::publish(snapshot, || Moment(0));
        let settings = RegistrySettings {
            canonical: Upstream::new("https", "canonical.example", ""),
            blobs: Some(Upstream::new("https", NAME, "")),
            horizon: Some("h".into()),
            signatures: means.canonical.as_ref().map(|_| Upstream::new("https", SIGNATURES, "")),
            info: None,
            privacy: None,
            paths: PathRules::default(),
            blob_target: BlobTarget::SteeredName,
            asks_mirrors: true,
            trusted_proxies: PrefixSet::new(&["127.0.0.0/8".parse().unwrap()]),
        };
        let counters = Arc::new(Http::default());
        let asker = BlobAsker::new(Some(means));
        let settings = Arc::new(ArcSwap::from_pointee(settings));
        let pull = Pull::new(published, settings, counters.clone(), asker.clone());
        let idle = Duration::from_secs(30);
        let limits = Limits { connections: 4096, per_client: 4096, beyond: BeyondLimit::CloseIdlest, idle };
        let bound = bind(&["127.0.0.1:0".parse().unwrap()], "listen").unwrap();
        let at = bound.addresses()[0];
        let terms =
            Terms { kind: "registry", clients: Clients::new(limits), tls: None, common: Common::new(Vital::new().0) };
        Front { _server: HttpServer::start(bound, terms, pull, counters).unwrap(), at, asker }
    }

    /// The host that a blob is to be fetched from.
    async fn host(&self, path: &str) -> String {
        host_of(&get(self.at, path).await, path)
    }

    async fn until(&self, mut done: impl FnMut(&BlobAsker) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(&self.asker) {
            assert!(Instant::now() < deadline, "{:?}", self.asker.counters());
            tokio::task::yield_now().await;
        }
    }
}

pub(crate) async fn get(at: SocketAddr, path: &str) -> String {
    get_for("127.0.0.1", at, path).await
}

/// The same, by a proxy, for this client.
async fn get_for(client: &str, at: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {client}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    said
}

/// The host of a redirect that keeps the path.
pub(crate) fn host_of(said: &str, path: &str) -> String {
    assert!(said.starts_with("HTTP/1.1 307 "), "{said}");
    let url = said.lines().find_map(|line| line.strip_prefix("location: https://")).unwrap();
    url.strip_suffix(path).unwrap_or_else(|| panic!("{path}: {said}")).to_string()
}

const CANONICAL: &str = "canonical.example";
const SIGNATURES: &str = "signatures.example";

/// A canonical registry that lacks all content.
async fn lacking_canonical() -> Canonical {
    let listener = TcpListener::bind((IpAddr::from([127, 0, 0, 1]), 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.is_ok_and(|count| count > 0) {}
            let _ = stream.write_all(b"HTTP/1.1 404 \r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
        }
    });
    let authority: Arc<str> = at.to_string().into();
    let dialer = Dialer::of_registry(authority.clone(), "127.0.0.1", at.port(), None).unwrap();
    Canonical { dialer, authority, line: "http://canonical".into(), at: At::Address(at.ip()) }
}

async fn mirror(authority: &Authority, last: u8, port: u16, fault: Fault, ledger: &Arc<Ledger>) -> u16 {
    authority.mirror_with(SocketAddr::new(loopback(last), port), fault, ledger.clone()).await.0.port()
}

#[tokio::test]
async fn a_blob_goes_to_the_mirror_that_has_it_and_else_to_canonical_and_is_asked_for_once() {
    let (authority, ledger) = (Authority::new(), Arc::new(Ledger::default()));
    let port = mirror(&authority, 41, 0, Fault::None, &ledger).await;
    let (there, absent) = (blob("pause", 1), blob("pause", 2));
    ledger.add(&there);
    let front = Front::start(snapshot(&[(&[loopback(41)], Health::Up)]), means(&authority, port, LONG));
    for _ in 0..3 {
        assert_eq!(front.host(&there).await, NAME);
        assert_eq!(front.host(&absent).await, CANONICAL);
        // The same content, in a repository that does not have it.
        assert_eq!(front.host(&blob("other", 1)).await, CANONICAL);
    }
    assert_eq!((ledger.asked(&there), ledger.asked(&absent), ledger.asked_in_all()), (1, 1, 3));
    // A question after another needs no new connection.
    assert_eq!(ledger.connections(), 1);
}

#[tokio::test]
async fn a_manifest_is_never_asked_for() {
    let (authority, ledger) = (Authority::new(), Arc::new(Ledger::default()));
    let port = mirror(&authority, 42, 0, Fault::None, &ledger).await;
    let front = Front::start(snapshot(&[(&[loopback(42)], Health::Up)]), means(&authority, port, LONG));
    assert_eq!(front.host("/v2/pause/manifests/3.9").await, CANONICAL);
    assert_eq!(ledger.connections(), 0);
}

#[tokio::test]
async fn fifty_requests_for_one_blob_are_one_question() {
    let (authority, ledger) = (Authority::new(), Arc::new(Ledger::gated()));
    let port = mirror(&authority, 43, 0, Fault::None, &ledger).await;
    let there = blob("pause", 1);
    ledger.add(&there);
    let front = Front::start(snapshot(&[(&[loopback(43)], Health::Up)]), means(&authority, port, LONG));
    let mut asking = JoinSet::new();
    for _ in 0..50 {
        let (at, path) = (front.at, there.clone());
        asking.spawn(async move { host_of(&get(at, &path).await, &path) });
    }
    front.until(|asker| asker.waiting() == 50).await;
    ledger.let_through(1);
    assert_eq!(asking.join_all().await, vec![NAME; 50]);
    assert_eq!(ledger.asked(&there), 1);
    assert_eq!(front.asker.waiting(), 0);
}

#[tokio::test]
async fn nobody_waits_longer_than_the_set_time_and_the_next_request_knows() {
    let (authority, ledger) = (Authority::new(), Arc::new(Ledger::gated()));
    let port = mirror(&authority, 44, 0, Fault::None, &ledger).await;
    let there = blob("pause", 1);
    ledger.add(&there);
    let front = Front::start(snapshot(&[(&[loopback(44)], Health::Up)]), means(&authority, port, SHORT));
    let begun = Instant::now();
    assert_eq!(front.host(&there).await, CANONICAL);
    let took = begun.elapsed();
    // The answer would never come: with any other limit this would be that limit.
    assert!(took >= SHORT && took < PATIENCE / 10, "{took:?}");
    ledger.let_through(1);
    front.until(|asker| asker.counters().results(Asked::Has) == 1).await;
    assert_eq!(front.host(&there).await, NAME);
    assert_eq!(ledger.asked(&there), 1);
}

#[tokio::test]
async fn what_hangs_or_shows_a_wrong_certificate_or_is_not_there_means_canonical() {
    let authority = Authority::new();
    let faults =
        [Fault::HandshakeHangs, Fault::Silent, Fault::WrongName, Fault::SelfSigned, Fault::Expired, Fault::NotTls];
    for fault in faults {
        let ledger = Arc::new(Ledger::default());
        let port = mirror(&authority, 45, 0, fault, &ledger).await;
        let means = Means { timeout: SHORT, ..means(&authority, port, LONG) };
        ledger.add(&blob("pause", 1));
        let front = Front::start(snapshot(&[(&[loopback(45)], Health::Up)]), means);
        assert_eq!(front.host(&blob("pause", 1)).await, CANONICAL, "{fault:?}");
        let ended =
            if matches!(fault, Fault::HandshakeHangs | Fault::Silent) { Asked::TimedOut } else { Asked::Unreached };
        assert_eq!(front.asker.counters().results(ended), 1, "{fault:?}: {:?}", front.asker.counters());
        // The failure is remembered for a while.
        assert_eq!(front.host(&blob("pause", 1)).await, CANONICAL);
        assert_eq!(ledger.connections(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn with_every_mirror_down_pulls_go_on_through_canonical_and_nobody_is_asked() {
    let (authority, ledger) = (Authority::new(), Arc::new(Ledger::default()));
    let port = mirror(&authority, 46, 0, Fault::None, &ledger).await;
    mirror(&authority, 47, port, Fault::None, &ledger).await;
    for health in [Health::Down, Health::Missing, Health::Bad] {
        let world = snapshot(&[(&[loopback(46)], health), (&[loopback(47)], health)]);
        let front = Front::start(world, means(&authority, port, LONG));
        assert_eq!(front.host(&blob("pause", 1)).await, CANONICAL);
    }
    assert_eq!(ledger.connections(), 0);
}

#[tokio::test]
async fn a_client_with_both_families_must_find_the_blob_over_either() {
    let authority = Authority::new();
    let (near, far) = (Arc::new(Ledger::default()), Arc::new(Ledger::default()));
    let port = mirror(&authority, 48, 0, Fault::None, &near).await;
    let v6 = IpAddr::from(std::net::Ipv6Addr::LOCALHOST);
    authority.mirror_with(SocketAddr::new(v6, port), Fault::None, far.clone()).await;
    let (both, one) = (blob("pause", 1), blob("pause", 2));
    near.add(&both);
    near.add(&one);
    far.add(&both);
    // The first mirror has no IPv6, so that over IPv6 the second answers.
    let up = |v6_health| snapshot(&[(&[loopback(48)], Health::Up), (&[v6], v6_health)]);
    let front = Front::start(up(Health::Up), means(&authority, port, LONG));
    assert_eq!(front.host(&both).await, NAME);
    assert_eq!(front.host(&one).await, CANONICAL);
    // A mirror that is down over IPv6 delays a client by seconds at most, and is not asked.
    let front = Front::start(up(Health::Down), means(&authority, port, LONG));
    assert_eq!(front.host(&one).await, NAME);
    assert_eq!(far.asked(&one), 1);
}

#[tokio::test]
async fn where_several_mirrors_are_answered_with_all_of_them_must_have_the_blob() {
    let authority = Authority::new();
    let (near, far) = (Arc::new(Ledger::default()), Arc::new(Ledger::default()));
    let port = mirror(&authority, 51, 0, Fault::None, &near).await;
    mirror(&authority, 52, port, Fault::None, &far).await;
    let (both, one) = (blob("pause", 1), blob("pause", 2));
    near.add(&both);
    near.add(&one);
    far.add(&both);
    let all: [(&[IpAddr], Health); 2] = [(&[loopback(51)], Health::Up), (&[loopback(52)], Health::Up)];
    let front = Front::start(snapshot_of_first(AnswerMirrors::new(2).unwrap(), &all), means(&authority, port, LONG));
    assert_eq!((front.host(&both).await.as_str(), front.host(&one).await.as_str()), (NAME, CANONICAL));
    let front = Front::start(snapshot(&all), means(&authority, port, LONG));
    assert_eq!((front.host(&both).await.as_str(), front.host(&one).await.as_str()), (NAME, NAME));
}

#[tokio::test]
async fn a_mirror_that_fetches_what_it_lacks_is_not_asked_and_the_others_must_have_the_blob() {
    let authority = Authority::new();
    let (near, far) = (Arc::new(Ledger::default()), Arc::new(Ledger::default()));
    let port = mirror(&authority, 56, 0, Fault::None, &near).await;
    mirror(&authority, 57, port, Fault::None, &far).await;
    let (there, absent) = (blob("pause", 1), blob("pause", 2));
    near.add(&there);
    let all: [(&[IpAddr], Health); 2] = [(&[loopback(56)], Health::Up), (&[loopback(57)], Health::Up)];
    let both = AnswerMirrors::new(2).unwrap();
    for (unasked, absent_at) in [(&[1][..], CANONICAL), (&[0, 1], NAME)] {
        let world = snapshot_ranked(both, Ranking::Listed, &all, unasked);
        let front = Front::start(world, means(&authority, port, LONG));
        assert_eq!((front.host(&there).await.as_str(), front.host(&absent).await.as_str()), (NAME, absent_at));
    }
    assert_eq!((near.asked_in_all(), far.connections()), (2, 0));
}

#[tokio::test]
async fn a_blob_may_be_a_signature_s_only_if_no_mirror_has_said_that_it_has_the_blob() {
    let (authority, ledger) = (Authority::new(), Arc::new(Ledger::default()));
    let port = mirror(&authority, 58, 0, Fault::None, &ledger).await;
    let (there, absent) = (blob("pause", 1), blob("pause", 2));
    ledger.add(&there);
    for (unasked, there_at) in [(&[][..], NAME), (&[0], SIGNATURES)] {
        let world = snapshot_ranked(AnswerMirrors::ONE, Ranking::Listed, &[(&[loopback(58)], Health::Up)], unasked);
        let canonical = Some(lacking_canonical().await);
        let front = Front::start(world, Means { canonical, ..means(&authority, port, LONG) });
        // The second time from the cache.
        for _ in 0..2 {
            assert_eq!(front.host(&there).await, there_at);
            assert_eq!(front.host(&absent).await, SIGNATURES);
        }
    }
}

/// The resolver that asks for the steered name is often in another block than its client, and so has another share.
#[tokio::test]
async fn where_clients_are_spread_by_weight_every_mirror_with_a_share_must_have_the_blob() {
    let authority = Authority::new();
    let ledgers = [(); 3].map(|()| Arc::new(Ledger::default()));
    let port = mirror(&authority, 53, 0, Fault::None, &ledgers[0]).await;
    mirror(&authority, 54, port, Fault::None, &ledgers[1]).await;
    mirror(&authority, 55, port, Fault::None, &ledgers[2]).await;
    let (both, one, other) = (blob("pause", 1), blob("pause", 2), blob("pause", 3));
    for (at, path) in [(0, &both), (1, &both), (0, &one), (1, &other)] {
        ledgers[at].add(path);
    }
    let spread = |weights: [u16; 3]| {
        let all: [IpAddr; 3] = [53, 54, 55].map(loopback);
        let all = all.each_ref().map(|address| (std::slice::from_ref(address), Health::Up));
        let weights = Weights::new(["m0", "m1", "m2"].into_iter().zip(weights));
        snapshot_ranked(AnswerMirrors::ONE, Ranking::Weighted(weights), &all, &[])
    };
    // The third takes clients only while no other is up.
    let front = Front::start(spread([1, 1, 0]), means(&authority, port, LONG));
    for (path, host) in [(&both, NAME), (&one, CANONICAL), (&other, CANONICAL)] {
        assert_eq!(front.host(path).await, host, "{path}");
    }
    assert_eq!(ledgers[2].asked(&both), 0);
    let front = Front::start(spread([1, 0, 0]), means(&authority, port, LONG));
    assert_eq!((front.host(&one).await.as_str(), front.host(&other).await.as_str()), (NAME, CANONICAL));
}

#[tokio::test]
async fn a_flood_of_digests_costs_a_mirror_its_rate_and_the_useful_stays_known() {
    let (authority, ledger) = (Authority::new(), Arc::new(Ledger::default()));
    let port = mirror(&authority, 49, 0, Fault::None, &ledger).await;
    let there = blob("pause", 1_000_000);
    ledger.add(&there);
    let front = Front::start(snapshot(&[(&[loopback(49)], Health::Up)]), means(&authority, port, LONG));
    assert_eq!(front.host(&there).await, NAME);
    let begun = Instant::now();
    let mut flood = JoinSet::new();
    for client in 0..8 {
        let at = front.at;
        flood.spawn(async move {
            for number in 0..100 {
                let path = blob("pause", 1 + client * 100 + number);
                assert_eq!(host_of(&get(at, &path).await, &path), CANONICAL);
            }
        });
    }
    flood.join_all().await;
    let seconds = begun.elapsed().as_secs_f64();
    let most = ASKED_PER_SECOND as f64 * (1.0 + seconds) + 1.0;
    assert!((ledger.asked_in_all() as f64) <= most, "{} in {seconds} s", ledger.asked_in_all());
    let counters = front.asker.counters();
    assert!(counters.turns(Turned::Rate) + counters.turns(Turned::Flights) > 0, "{counters:?}");
    assert_eq!(front.host(&there).await, NAME);
    assert_eq!(ledger.asked(&there), 1);
}

#[tokio::test]
async fn a_mirror_that_hangs_holds_up_only_so_many_questions() {
    let (authority, ledger) = (Authority::new(), Arc::new(Ledger::gated()));
    let port = mirror(&authority, 50, 0, Fault::None, &ledger).await;
    let front = Front::start(snapshot(&[(&[loopback(50)], Health::Up)]), means(&authority, port, SHORT));
    let mut asking = JoinSet::new();
    for number in 1..=40 {
        let (at, path) = (front.at, blob("pause", number));
        asking.spawn(async move { host_of(&get(at, &path).await, &path) });
    }
    assert_eq!(asking.join_all().await, vec![CANONICAL; 40]);
    // One network has half of the places.
    let share = MAX_FLIGHTS_PER_MIRROR / 2;
    front.until(|_| ledger.asked_in_all() == share).await;
    assert_eq!(front.asker.counters().turns(Turned::Flights), 40 - share as u64);
    assert_eq!(front.asker.counters().flights.value(), share as u64);
    // Another network gets a place all the same.
    assert_eq!(host_of(&get_for("192.0.2.7", front.at, &blob("pause", 41)).await, &blob("pause", 41)), CANONICAL);
    assert_eq!(front.asker.counters().turns(Turned::Flights), 40 - share as u64);
    front.until(|_| ledger.asked_in_all() == share + 1).await;
}

#[tokio::test]
async fn a_flood_of_digests_from_one_network_sends_no_blob_of_another_to_canonical() {
    let (authority, ledger) = (Authority::new(), Arc::new(Ledger::default()));
    let port = mirror(&authority, 56, 0, Fault::None, &ledger).await;
    let new: Vec<String> = (1_000_000..1_000_008).map(|number| blob("pause", number)).collect();
    new.iter().for_each(|path| ledger.add(path));
    let front = Front::start(snapshot(&[(&[loopback(56)], Health::Up)]), means(&authority, port, LONG));
    let at = front.at;
    let number = std::sync::atomic::AtomicU64::new(1);
    let flood = async || {
        while front.asker.counters().turns(Turned::Rate) == 0 {
            let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            assert!(number < 5000, "{:?}", front.asker.counters());
            get_for(&format!("198.51.100.{}", number % 250), at, &blob("pause", number)).await;
        }
    };
    tokio::join!(flood(), flood(), flood(), flood());
    // The flood has just had all that it may have; each of these is a question of another network.
    let mut others = JoinSet::new();
    for path in new {
        others.spawn(async move { host_of(&get_for("203.0.113.7", at, &path).await, &path) });
    }
    assert_eq!(others.join_all().await, [NAME; 8]);
}
