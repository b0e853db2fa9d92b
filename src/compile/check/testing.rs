//! A config and networks for the tests of this folder.

use std::sync::Arc;

use crate::config::{self, Config};
use crate::networks::{Labels, Networks, Place, SourceBuilder};

/// What all configs begin with: rules stand from line 7 on.
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

fn region(provider: &str, region: &str) -> Labels {
    Labels { provider: Some(provider.into()), region: Some(region.into()), ..Labels::default() }
}

/// Sources in the order of `HEAD`, with what they can say.
pub(super) fn networks() -> Networks {
    let place = Place {
        country: Some("DE".into()),
        continent: Some("EU".into()),
        subdivision: Some("DE-BE".into()),
        ..Place::default()
    };
    sources([
        ("office", vec![Labels { label: Some("vpn".into()), ..Labels::default() }]),
        ("aws", ["us-east-1", "us-west-2", "us-west-3", "sa-east-1", "GLOBAL"].map(|r| region("aws", r)).to_vec()),
        ("gcp", ["us-west1", "europe-west4"].map(|r| region("gcp", r)).to_vec()),
        ("asn", vec![Labels { asn: Some(64512), ..Labels::default() }]),
        ("geo", vec![Labels { place: Some(place), ..Labels::default() }]),
    ])
}

pub(super) fn sources<const N: usize>(sources: [(&str, Vec<Labels>); N]) -> Networks {
    let source = |(name, labels): (&str, Vec<Labels>)| {
        let mut builder = SourceBuilder::new(name, name);
        for (index, labels) in labels.into_iter().enumerate() {
            let id = builder.intern(labels);
            builder.add(format!("10.{index}.0.0/16").parse().unwrap(), id, 1);
        }
        Arc::new(builder.finish().0)
    };
    Networks { sources: sources.into_iter().map(source).collect() }
}
