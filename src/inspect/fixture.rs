//! A small snapshot for tests: three mirrors in two clouds, nested networks, steered and static names.
//!
//! **Invariants**: its parts are constants, because the expected values of the tests were computed from them by hand.
//! **Not here**: files; the parts are those that `compile` would build.

use std::sync::Arc;

use crate::base::client::{Client, SourcePrefixLen, Subnet};
use crate::base::ids::{HorizonId, MirrorId, ServiceId, SourceId};
pub(crate) use crate::base::name::name;
use crate::base::prefix::Prefix;
use crate::base::rr::Rtype;
use crate::base::time::{Generation, Ttl};
use crate::mirror::Mirror;
use crate::networks::{LabelKind, Labels, Networks, Source, SourceBuilder};
use crate::snapshot::{Compiled, Hints, Origin, Provenance, Service, Settings, Snapshot};
use crate::steer::{AnswerMirrors, Condition, Draft, Horizon, Laid, Ranking, RegionTable, Rule};
use crate::zone::{Steered, Zone, ZoneBuilder, ZoneSet};

/// The parts of a snapshot. A test changes a part before it calls [`SnapshotParts::snapshot`].
pub(crate) struct SnapshotParts {
    /// The sources in the provenance.
    pub(crate) networks: Networks,
    /// The sources that the tables are built from.
    pub(crate) laid: Networks,
    pub(crate) mirrors: Vec<Mirror>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) default: Vec<MirrorId>,
    pub(crate) answer_mirrors: AnswerMirrors,
    pub(crate) settings: Settings,
}

/// The mirrors, by their ids.
pub(crate) const AWS_USE1: MirrorId = MirrorId(0);
pub(crate) const AWS_APNE1: MirrorId = MirrorId(1);
pub(crate) const GCP_US: MirrorId = MirrorId(2);

pub(crate) fn parts() -> SnapshotParts {
    let networks = Networks { sources: vec![overrides().into(), aws().into(), geo().into()] };
    let rule = |conditions: Vec<Condition>, mirrors: &[MirrorId], fallback: &[MirrorId]| Rule {
        conditions,
        mirrors: mirrors.to_vec(),
        ranking: Ranking::Listed,
        fallback: fallback.to_vec(),
        is_canonical: false,
    };
    let region = |region: &str| {
        vec![Condition::label(LabelKind::Provider, ["aws"]), Condition::label(LabelKind::Region, [region])]
    };
    let office = Condition::Network { sources: vec![SourceId(0)], labels: vec!["office".into()] };
    SnapshotParts {
        laid: networks.clone(),
        networks,
        mirrors: vec![
            mirror("aws-use1", &["192.0.2.10", "192.0.2.11"], &["2001:db8:a::10"]),
            mirror("aws-apne1", &["192.0.2.40"], &["2001:db8:a::40"]),
            mirror("gcp-us", &["198.51.100.10"], &["2001:db8:b::10"]),
        ],
        rules: vec![
            rule(vec![office], &[GCP_US], &[]),
            rule(region("us-east-1"), &[AWS_USE1, GCP_US], &[]),
            rule(region("ap-northeast-1"), &[AWS_APNE1], &[AWS_USE1]),
            rule(vec![Condition::label(LabelKind::Country, ["JP"])], &[AWS_APNE1], &[]),
        ],
        default: vec![GCP_US],
        answer_mirrors: AnswerMirrors::ONE,
        settings: Settings::default(),
    }
}

impl SnapshotParts {
    pub(crate) fn snapshot(self) -> Snapshot {
        let origin = |line| Origin { file: "pharos.toml".into(), line };
        let lines = (0..self.rules.len() as u32).map(|index| origin(31 + index)).collect();
        let laid = Laid::over(&self.laid);
        let draft =
            Draft { answer_mirrors: self.answer_mirrors, ..Draft::new("blobs".into(), self.rules, self.default) };
        let horizon = Horizon::build(draft, &self.laid, &laid);
        let regions = RegionTable::build(&self.laid, &laid).into();
        let provenance = Provenance { networks: self.networks, horizons: vec![(lines, origin(36))] };
        Snapshot::new(
            Generation(1),
            ZoneSet::new(vec![zone()]),
            Compiled {
                horizons: vec![horizon].into(),
                regions,
                mirrors: self.mirrors.into(),
                settings: Arc::new(self.settings),
                provenance: Arc::new(provenance),
                services: [Service::new(HorizonId(0), &["h2"], 443, Hints::Tailored)].into(),
                ..Compiled::default()
            },
        )
    }
}

/// The snapshot of unchanged parts.
pub(crate) fn snapshot() -> Snapshot {
    parts().snapshot()
}

/// A client with this resolver, and a subnet if there is one.
pub(crate) fn client(resolver: &str, subnet: Option<&str>) -> Client {
    let subnet = subnet
        .map(|text| text.parse::<Prefix>().unwrap())
        .map(|prefix| Subnet { address: prefix.first(), source: SourcePrefixLen(prefix.prefix_len()) });
    Client { resolver: resolver.parse().unwrap(), subnet }
}

fn mirror(name: &str, v4: &[&str], v6: &[&str]) -> Mirror {
    Mirror {
        v4: v4.iter().map(|text| text.parse().unwrap()).collect(),
        v6: v6.iter().map(|text| text.parse().unwrap()).collect(),
        ..Mirror::named(name)
    }
}

fn source(name: &str, file: &str, entries: &[(&str, u32, Labels<'_>)]) -> Source {
    let mut builder = SourceBuilder::new(name, file);
    for (prefix, line, labels) in entries {
        let labels = builder.intern(*labels);
        builder.add(prefix.parse().unwrap(), labels, *line);
    }
    builder.finish().0
}

fn overrides() -> Source {
    let office = Labels::of(LabelKind::Label, "office");
    source("overrides", "overrides.txt", &[("203.0.113.0/24", 2, office), ("10.1.0.0/16", 3, office)])
}

/// As AWS publishes them: regional prefixes inside a global block.
pub(crate) fn aws() -> Source {
    let region = |region: &'static str| Labels::of(LabelKind::Provider, "aws").with(LabelKind::Region, region);
    source(
        "aws",
        "ip-ranges.json",
        &[
            ("15.193.0.0/19", 12, region("GLOBAL")),
            ("15.193.10.0/24", 17, region("ap-northeast-1")),
            ("52.94.0.0/16", 22, region("us-east-1")),
            ("2600:1f18::/33", 30, region("us-east-1")),
        ],
    )
}

fn geo() -> Source {
    let country = |country: &'static str| Labels::of(LabelKind::Country, country);
    source("geo", "country.mmdb", &[("52.94.0.0/15", 0, country("US")), ("133.0.0.0/8", 0, country("JP"))])
}

fn zone() -> Zone {
    let mut zone = ZoneBuilder::new(name("blob.example"));
    let soa = [
        name("ns.other").as_name().as_wire(),
        name("hostmaster.other").as_name().as_wire(),
        &[7, 7200, 3600, 1_209_600, 300u32].map(u32::to_be_bytes).concat(),
    ]
    .concat();
    let mut add = |owner: &str, rtype: Rtype, rdata: &[u8]| {
        zone.add(name(owner).as_name(), rtype, Ttl(3600), rdata, 0).unwrap();
    };
    add("blob.example", Rtype::SOA, &soa);
    add("blob.example", Rtype::NS, name("ns.other").as_name().as_wire());
    add("blob.example", Rtype::TXT, b"\x05hello");
    add("static.blob.example", Rtype::A, &[192, 0, 2, 99]);
    add("www.blob.example", Rtype::CNAME, name("blob.example").as_name().as_wire());
    add("txt.blob.example", Rtype::TXT, b"\x05hello");
    let steered = Steered { horizon: HorizonId(0), ttl: Ttl(60), service: None };
    zone.steer(name("blob.example").as_name(), steered, 0).unwrap();
    let with_service = Steered { service: Some(ServiceId(0)), ..steered };
    zone.steer(name("*.pool.blob.example").as_name(), with_service, 0).unwrap();
    zone.finish().unwrap().0
}
