//! A config and networks for the tests of this folder.

use std::sync::Arc;

use crate::config::{self, Config};
use crate::networks::{LabelKind, Labels, Networks, SourceBuilder};

/// The start of all configs: rules are on line 7 and after it.
const HEAD: &str = "\
zone = { name = 'example.com', file = 'example.zone', steer = { owner = '@', horizon = 'h' } }
mirrors.m = { addresses = '192.0.2.1', location = [50.11, 8.68] }
networks = { office = { list = 'o' }, aws = { feed = 'aws', file = 'a' }, gcp = { feed = 'gcp', file = 'g' }, asn = { mmdb = 'n' }, geo = { mmdb = 'c' } }
[horizons.h]
default = 'm'
rules = [
";

pub(super) fn config(rules: &str) -> Config {
    config::read("pharos.toml", &format!("{HEAD}{rules}\n]\n")).unwrap().0
}

/// Sources in the order of `HEAD`, with their labels.
pub(super) fn networks() -> Networks {
    let region = |provider: &'static str, region: &'static str| {
        Labels::of(LabelKind::Provider, provider).with(LabelKind::Region, region)
    };
    let place =
        Labels::of(LabelKind::Country, "DE").with(LabelKind::Continent, "EU").with(LabelKind::Subdivision, "DE-BE");
    sources([
        ("office", vec![Labels::of(LabelKind::Label, "vpn")]),
        ("aws", ["us-east-1", "us-west-2", "us-west-3", "sa-east-1", "GLOBAL"].map(|r| region("aws", r)).to_vec()),
        ("gcp", ["us-west1", "europe-west4"].map(|r| region("gcp", r)).to_vec()),
        ("asn", vec![Labels::of(LabelKind::Asn, 64512)]),
        ("geo", vec![place]),
    ])
}

pub(super) fn sources<const N: usize>(sources: [(&str, Vec<Labels<'_>>); N]) -> Networks {
    let source = |(name, labels): (&str, Vec<Labels<'_>>)| {
        let mut builder = SourceBuilder::new(name, name);
        for (index, labels) in labels.into_iter().enumerate() {
            let id = builder.intern(labels);
            builder.add(format!("10.{index}.0.0/16").parse().unwrap(), id, 1);
        }
        Arc::new(builder.finish().0)
    };
    Networks { sources: sources.into_iter().map(source).collect() }
}
