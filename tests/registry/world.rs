//! The world of the requests: three mirrors, two labelled networks, and settings with everything in them.

use std::net::IpAddr;
use std::sync::Arc;

use pharos::base::ids::{MirrorId, SourceId};
use pharos::base::prefix::PrefixSet;
use pharos::base::time::Generation;
use pharos::compile::registry_settings;
use pharos::mirror::{Health, Mirror, Standing};
use pharos::networks::{LabelKind, Labels, Networks, SourceBuilder};
use pharos::registry::{BlobTarget, PathRules, RegistrySettings, Upstream};
use pharos::snapshot::{Change, Compiled, Snapshot};
use pharos::steer::{Condition, Draft, Horizon, Laid, Ranking, Rule};
use pharos::zone::ZoneSet;

/// A client of the network `east`.
pub(crate) const EAST: &str = "198.51.100.7";
/// A client of the network `west`.
pub(crate) const WEST: &str = "203.0.113.7";
/// A client of no network.
pub(crate) const ELSEWHERE: &str = "9.9.9.9";

/// The difference between the settings of cases.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Setup {
    /// Everything is configured; blobs go to the steered name.
    Full,
    /// The same, with blobs straight to mirrors.
    Direct,
    /// Only the required settings; the steered name is steered elsewhere.
    Bare,
    /// As `Full`, but the horizon is not in the snapshot (between two configurations).
    Renamed,
}

pub(crate) fn settings(setup: Setup) -> RegistrySettings {
    let full = RegistrySettings {
        canonical: Upstream::new("https", "canonical.example", "some/repo"),
        blobs: Some(Upstream::new("https", "blob.example:8443", "")),
        horizon: Some("blobs".into()),
        signatures: Some(Upstream::new("https", "signatures.example", "")),
        info: Some("https://project.example/registry".into()),
        privacy: Some("https://project.example/privacy?from=registry".into()),
        paths: paths(),
        blob_target: BlobTarget::SteeredName,
        asks_mirrors: false,
        trusted_proxies: PrefixSet::new(&["127.0.0.0/8".parse().unwrap()]),
    };
    match setup {
        Setup::Full => full,
        Setup::Direct => RegistrySettings { blob_target: BlobTarget::MirrorHost, ..full },
        Setup::Bare => RegistrySettings {
            canonical: Upstream::new("http", "canonical.example", ""),
            horizon: None,
            signatures: None,
            info: None,
            privacy: None,
            paths: PathRules::default(),
            ..full
        },
        Setup::Renamed => RegistrySettings { horizon: Some("other".into()), ..full },
    }
}

/// The further paths: one below the other.
fn paths() -> PathRules {
    let text = r#"
[registry]
listen    = "127.0.0.1:0"
canonical = "https://canonical.example"
horizon   = "blobs"
paths     = [
  { prefix = "/files/", to = "https://files.example/f/{rest}" },
  { prefix = "/files/deep/", to = "https://deep.example:8443/{path}?alt=media" },
]
[dns]
listen = []
[mirrors]
bucket = { url = "https://bucket.example/{digest}" }
[horizons.blobs]
default = ["bucket"]
"#;
    let (config, _) = pharos::config::read("pharos.toml", text).unwrap();
    registry_settings(&config).unwrap().paths
}

/// `east` and `west` have their own mirror and fall back to the default's; only `central` is reached over IPv6.
pub(crate) fn snapshot(health: [Health; 3]) -> Snapshot {
    snapshot_with(health, |_| {})
}

/// The same, with other mirrors.
pub(crate) fn snapshot_with(health: [Health; 3], change: impl FnOnce(&mut [Mirror])) -> Snapshot {
    let mut source = SourceBuilder::new("list", "list.txt");
    for (line, (prefix, label)) in (1..).zip([("198.51.100.0/24", "east"), ("203.0.113.0/24", "west")]) {
        let labels = source.intern(Labels::of(LabelKind::Label, label));
        source.add(prefix.parse().unwrap(), labels, line);
    }
    let networks = Networks { sources: vec![Arc::new(source.finish().0)] };
    let rule = |label: &str, mirror| Rule {
        conditions: vec![Condition::Network { sources: vec![SourceId(0)], labels: vec![label.into()] }],
        mirrors: vec![MirrorId(mirror)],
        ranking: Ranking::Listed,
        fallback: Vec::new(),
        is_canonical: false,
    };
    let rules = vec![rule("east", 0), rule("west", 1)];
    let horizon =
        Horizon::build(Draft::new("blobs".into(), rules, vec![MirrorId(2)]), &networks, &Laid::over(&networks));
    let mirror = |name: &str, v4: &str, v6: Option<&str>| Mirror {
        host: Some(format!("{name}.mirrors.example").into()),
        v4: vec![v4.parse().unwrap()],
        v6: v6.map(|text| text.parse().unwrap()).into_iter().collect(),
        ..Mirror::named(name)
    };
    let mut mirrors = [
        mirror("east", "192.0.2.1", None),
        mirror("west", "192.0.2.2", None),
        mirror("central", "192.0.2.3", Some("2001:db8::3")),
    ];
    change(&mut mirrors);
    let first = Snapshot::new(
        Generation(1),
        ZoneSet::new(Vec::new()),
        Compiled { horizons: Arc::new([horizon]), mirrors: Arc::new(mirrors), ..Compiled::default() },
    );
    (0..).zip(health).fold(first, |snapshot, (id, health)| {
        let mirror = &snapshot.mirrors()[id];
        snapshot.after(&Change::standing(mirror, &Standing::all(mirror, health)))
    })
}

/// The proxy that all requests come through.
pub(crate) fn proxy() -> IpAddr {
    "127.0.0.1".parse().unwrap()
}
