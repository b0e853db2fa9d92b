//! The meaning of whole configurations.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::dns::DNS_LISTEN;
use super::row::{Absent, KeyType, Rows as _};
use super::spec::Spec;
use super::*;
use crate::base::geo::Coordinates;
use crate::base::ids::{HorizonId, KeyId, MirrorId};
use crate::base::time::Ttl;
use crate::base::tsig::Algorithm;
use crate::challenge::PasswordDigest;
use crate::steer::Weights;

const SAMPLE: &str = include_str!("../../tests/check/sample-complete.toml");
const EVERYTHING: &str = include_str!("../../tests/check/everything.toml");

fn config(file: &str, text: &str) -> Config {
    let (config, warnings) = read(file, text).unwrap();
    assert_eq!(warnings, []);
    config
}

#[test]
fn the_sample_means_what_it_says() {
    let config = config("etc/pharos.toml", SAMPLE);
    assert_eq!(config.dns.listen, DNS_LISTEN);
    let registry = config.registry.as_ref().unwrap();
    assert_eq!(
        (&*registry.canonical.authority, &*registry.blobs.as_ref().unwrap().authority),
        ("us-central1-docker.pkg.dev", "blob.k8s.io")
    );
    assert_eq!((registry.horizon, registry.blob_target), (Some(HorizonId(0)), BlobTarget::SteeredName));
    let zone = &config.zones[0];
    assert_eq!(zone.file.as_ref().map(|file| &*file.path), Some(Path::new("etc/zones/blob.k8s.io.zone")));
    assert_eq!((zone.steer[0].owner == zone.name, zone.steer[0].ttl), (true, Ttl(60)));
    let names: Vec<&str> = config.mirrors.iter().map(|entry| &*entry.mirror.name).collect();
    assert_eq!(names, ["aws-use1", "aws-use2", "aws-euc1", "aws-apne1", "gcp-us"]);
    let kinds: Vec<_> = config.networks.iter().map(|network| network.kind).collect();
    use NetworkKind::{Aws, Gcp, List, Mmdb};
    assert_eq!(kinds, [List, Aws, Gcp, Mmdb, Mmdb]);
    let horizon = &config.horizons[0];
    assert_eq!(horizon.default, [MirrorId(4), MirrorId(0)]);
    let shown: Vec<String> = horizon.rules.iter().map(|rule| show(&rule.conditions)).collect();
    let expected = [
        "network 0 office",
        "provider aws, region us-east-1 us-east-2",
        "provider gcp",
        "asn 16509 14618",
        "country DE FR",
        "continent AS",
    ];
    assert_eq!(shown, expected);
    assert_eq!(horizon.rules[1].mirrors, [MirrorId(0), MirrorId(1)]);
    assert_eq!((horizon.rules[1].place.line, &*horizon.rules[1].place.file), (28, "etc/pharos.toml"));
}

#[test]
fn probes_go_to_the_port_of_blobs() {
    let port = |blobs: &str, probe: &str| {
        let text = format!(
            "[registry]\nlisten = \"127.0.0.1:8080\"\ncanonical = \"https://canonical.example\"\n\
             blobs = \"{blobs}\"\n{probe}\n[[zone]]\nname = \"blob.example\"\nfile = \"z\"\n\
             steer = [{{ owner = \"@\", horizon = \"h\" }}]\n\
             [mirrors.one]\naddresses = \"192.0.2.1\"\n[horizons.h]\ndefault = \"one\"\n"
        );
        read("pharos.toml", &text).unwrap().0.probe.unwrap().port
    };
    assert_eq!(port("https://blob.example", "[probe]"), 443);
    assert_eq!(port("https://blob.example:8443", "[probe]"), 8443);
    assert_eq!(port("https://blob.example:8443", "[probe]\nport = 9443"), 9443);
    assert_eq!(port("http://blob.example:8080", "[probe]"), 443);
}

/// Conditions in a few words.
fn show(conditions: &[ConditionConfig]) -> String {
    fn values<T: ToString>(kind: &str, values: &[Placed<T>]) -> String {
        values.iter().fold(kind.to_string(), |text, value| format!("{text} {}", value.value.to_string()))
    }
    let one = |condition: &ConditionConfig| match condition {
        ConditionConfig::Network { sources, labels } => {
            let sources: String = sources.iter().map(|source| format!(" {}", source.value.0)).collect();
            format!("network{sources}{}", values("", labels))
        }
        ConditionConfig::Label { kind, values: list } => values(kind.as_str(), list),
    };
    conditions.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[test]
fn every_key_has_its_effect() {
    let config = config("pharos.toml", EVERYTHING);
    let dns = &config.dns;
    assert_eq!((dns.udp_threads, dns.udp_payload, dns.tcp_idle), (Some(2), 1400, Duration::from_secs(30)));
    assert_eq!((dns.udp_batch, config.watch), (64, Some(Duration::from_secs(10))));
    assert_eq!((dns.tcp_connections, dns.tcp_connections_per_client), (100, 10));
    assert_eq!(dns.ecs_from.as_ref().map(Vec::len), Some(2));
    let encrypted = dns.encrypted.as_ref().unwrap();
    assert_eq!((&*encrypted.files.cert.path, &*encrypted.files.key.path), (Path::new("dns.pem"), Path::new("dns.key")));
    assert_eq!(encrypted.tls, ["[::1]:8853".parse().unwrap()]);
    let https = Https { listen: vec!["[::1]:8443".parse().unwrap()], path: "/resolve".into() };
    assert_eq!((&encrypted.https, &encrypted.quic[..]), (&Some(https), &["[::1]:8853".parse().unwrap()][..]));
    assert_eq!(dns.cookie_secrets.as_ref().unwrap().path, Path::new("secrets/cookies"));
    assert_eq!((dns.nsid.as_deref(), dns.identity.as_deref()), (Some("fra1-a"), Some("ns1.example.com")));
    assert_eq!(dns.version.as_deref(), Some("none of your business"));
    let rrl = dns.rrl.as_ref().unwrap();
    assert_eq!((rrl.responses_per_second, rrl.window_ms, rrl.slip), (50, 5000, 3));
    assert_eq!((rrl.ipv4_prefix, rrl.ipv6_prefix), (32, 48));
    let is_exempt = |address: &str| rrl.exempt.as_ref().unwrap().contains(address.parse().unwrap());
    assert!(is_exempt("192.0.2.255") && !is_exempt("192.0.3.0"));
    let registry = config.registry.as_ref().unwrap();
    let blobs = registry.blobs.as_ref().unwrap();
    assert_eq!((&*registry.canonical.path, &*blobs.authority), ("some/repo", "blob.k8s.io:8443"));
    assert_eq!((registry.blob_target, registry.horizon), (BlobTarget::MirrorHost, Some(HorizonId(0))));
    assert_eq!(registry.privacy.as_deref(), Some("https://example.com/privacy?lang=en"));
    let connections = |all, per_client, idle| Connections { all, per_client, idle: Duration::from_secs(idle) };
    assert_eq!(registry.connections, connections(2000, 100, 620));
    let admin = config.admin.as_ref().unwrap();
    assert_eq!(admin.connections, connections(50, 5, 30));
    assert_eq!(admin.listen, ["127.0.0.1:9153".parse().unwrap()]);
    assert!(
        matches!(&admin.token.as_ref().unwrap().secret, Secret::File(file) if file.path == Path::new("admin.token"))
            && admin.names == ["pharos.example".into()]
    );
    let control = config.control.as_ref().unwrap();
    assert_eq!(
        (&*control.socket, &*control.state),
        (Path::new("run/control.sock"), Path::new("/var/lib/pharos/orders.json"))
    );
    assert_eq!(control.group.as_ref().map(|group| &*group.value), Some("root"));
    let contacts: Vec<_> = config.mirrors.iter().map(|entry| entry.mirror.contact.as_deref()).collect();
    assert_eq!(contacts, [Some("noc@a.example.com, +49 69 1234"), None, None, None, None]);
    let content: Vec<_> = config.mirrors.iter().map(|entry| &entry.mirror.content).collect();
    assert_eq!(content[2].path.as_ref().map(ToString::to_string).as_deref(), Some("/images/{digest}"));
    let url = content[3].url.as_ref().map(ToString::to_string);
    assert_eq!(url.as_deref(), Some("https://bucket.s3.example.com/containers/images/{digest}"));
    assert_eq!((&content[2].missing[..], &content[3].missing[..]), (&[403][..], &[][..]));
    let canonical: Vec<_> = config.horizons[1].rules.iter().map(|rule| rule.is_canonical).collect();
    assert_eq!(canonical, [false, false, true]);
    let tls = registry.tls.as_ref().unwrap();
    assert_eq!((&*tls.cert.path, &*tls.key.path), (Path::new("fullchain.pem"), Path::new("/etc/privkey.pem")));
    assert_eq!(config.zones[0].steer[0].owner.as_name().to_string(), "blob.k8s.io");
    assert_eq!(config.zones[0].steer[0].ttl, Ttl(60));
    let keys: Vec<_> = config.keys.iter().map(|key| (key.name.to_string(), key.algorithm)).collect();
    let transfer = [("transfer".into(), Algorithm::HmacSha256), ("other.example".into(), Algorithm::HmacSha512)];
    let of_acme = ["peers.example", "A.mirrors.example"].map(|name| (name.into(), Algorithm::HmacSha256));
    assert_eq!(keys, [transfer, of_acme].concat());
    let (kept, copy) = (&config.zones[2].transfer, &config.zones[3]);
    let party = |prefix: Option<&str>, key| Party { prefix: prefix.map(|text| text.parse().unwrap()), key };
    let allowed = [
        party(Some("192.0.2.0/24"), None),
        party(None, Some(KeyId(0))),
        party(Some("2001:db8::1/128"), Some(KeyId(1))),
    ];
    assert_eq!((&kept.allow[..], kept.steered), (&allowed[..], SteeredExport::Refused));
    let remote = |text: &str, key| Remote { address: text.parse().unwrap(), key };
    let acme = config.acme.as_ref().unwrap();
    assert_eq!((&*acme.state, acme.tls.is_some()), (Path::new("acme.json"), true));
    assert_eq!(acme.listen, ["127.0.0.1:8553".parse().unwrap()]);
    assert_eq!(acme.peers, [remote("192.0.2.54:53", Some(KeyId(2)))]);
    let credentials: Vec<_> = acme
        .challenges
        .credentials()
        .iter()
        .map(|credential| (&*credential.name, credential.mirror, credential.proof, credential.allow.len()))
        .collect();
    // SHA-256 of "test".
    let digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let digest = data_encoding::HEXLOWER.decode(digest.as_bytes()).unwrap().try_into().unwrap();
    let expected = [
        ("key:a.mirrors.example", MirrorId(0), KeyId(3).into(), 1),
        ("user:a-2", MirrorId(0), PasswordDigest::new(digest).into(), 0),
    ];
    assert_eq!(credentials, expected);
    for credential in acme.challenges.credentials() {
        let owners: Vec<String> = credential.owners().iter().map(ToString::to_string).collect();
        let expected = ["blob.k8s.io", "a.blob.k8s.io", "a.sub.k8s.io", "a.a.sub.k8s.io"];
        assert_eq!(owners, expected.map(|name| format!("_acme-challenge.{name}")));
    }
    let mirrors: Vec<_> =
        acme.challenges.mirrors.iter().map(|own| (own.zone.to_string(), own.owner.to_string(), own.ttl.0)).collect();
    let own = |zone: &str, owner: &str, ttl| (zone.to_string(), owner.to_string(), ttl);
    assert_eq!(mirrors, [own("k8s.io", "a.blob.k8s.io", 60), own("sub.k8s.io", "a.a.sub.k8s.io", 86_400)]);
    let reserved: Vec<usize> = config.zones.iter().map(|zone| zone.reserved.len()).collect();
    assert_eq!(reserved, [3, 3, 0, 0, 0]);
    let primary = |text: &str, key, tls: Option<&str>| PrimaryConfig {
        address: text.parse().unwrap(),
        key,
        tls: tls.map(Into::into),
    };
    assert_eq!(kept.notify, [remote("192.0.2.7:53", None), remote("[2001:db8::1]:5353", Some(KeyId(0)))]);
    let primaries = [
        primary("192.0.2.1:53", Some(KeyId(0)), None),
        primary("192.0.2.2:5353", None, None),
        primary("192.0.2.3:853", Some(KeyId(0)), Some("ns3.example")),
        primary("[2001:db8::1]:8853", None, Some("ns4.example")),
    ];
    assert_eq!(copy.primaries, primaries);
    assert_eq!(copy.roots.as_ref().map(|file| &*file.path), Some(Path::new("roots.pem")));
    assert_eq!(copy.file.as_ref().map(|file| &*file.path), Some(Path::new("copies/copy.example")));
    assert_eq!(config.networks[3].provider.as_deref(), Some("linode"));
    let shown: Vec<String> = config.horizons[0].rules.iter().map(|rule| show(&rule.conditions)).collect();
    let all = "network 0 vpn desk, provider azure, region eastus, zone eastus-1, asn 64512, country DE, continent EU, subdivision DE-BE";
    // A kind of label that is newer comes behind; `everything_has_every_key` asks for it.
    assert!(shown[0] == "network 0 3" && shown[1].starts_with(all), "{shown:#?}");
    assert_eq!(config.horizons[0].rules[0].fallback, [MirrorId(1)]);
    let [blobs, rest, _] = &config.horizons[..] else { panic!("three horizons") };
    assert_eq!((blobs.answer_mirrors.get(), blobs.least_scopes), (2, LeastScopes::USUAL));
    assert_eq!((rest.answer_mirrors.get(), rest.least_scopes.v4.0, rest.least_scopes.v6.0), (1, 20, 40));
    let place = |north, east| Coordinates::from_degrees(north, east).unwrap();
    let (a, b) = (place(50.0, 8.68), place(-33.87, 151.21));
    assert_eq!(rest.rules[0].ranking, Ranking::Weighted(Weights::new([("a", 0), ("c", 3)])));
    assert_eq!((&rest.rules[0].mirrors[..], rest.rules[0].conditions.len()), (&[MirrorId(0), MirrorId(2)][..], 1));
    assert_eq!(
        (&rest.rules[1].ranking, &rest.rules[1].mirrors[..]),
        (&Ranking::Nearest(vec![b, a]), &[MirrorId(1), MirrorId(0)][..])
    );
    assert_eq!(
        (&rest.default_ranking, &rest.default[..]),
        (&Ranking::Nearest(vec![a, b]), &[MirrorId(0), MirrorId(1)][..])
    );
}

#[test]
fn defaults_hold_where_nothing_is_written() {
    let config = config("pharos.toml", "zone = { name = 'example.com', file = 'example.zone' }\n");
    assert_eq!(config.dns.listen, DNS_LISTEN);
    assert_eq!((config.dns.udp_payload, config.dns.udp_threads, config.dns.udp_batch), (1232, None, 32));
    assert_eq!((config.dns.tcp_connections, config.dns.tcp_connections_per_client), (1024, 64));
    assert!(config.admin.is_none() && config.control.is_none() && config.acme.is_none());
    assert!(config.registry.is_none() && config.dns.ecs_from.is_none() && config.dns.encrypted.is_none());
    assert!(config.dns.cookie_secrets.is_none() && config.dns.nsid.is_none());
    assert!(config.dns.identity.is_none() && config.dns.version.is_none() && config.dns.rrl.is_none());
}

#[test]
fn fewer_connections_leave_fewer_per_client() {
    let text = "dns.tcp-connections = 8\nzone = { name = 'example.com', file = 'example.zone' }\n";
    assert_eq!(config("pharos.toml", text).dns.tcp_connections_per_client, 8);
}

/// Every row with the name of its table.
fn rows() -> impl Iterator<Item = (String, row::Row)> {
    page::parts().into_iter().flat_map(|(name, part)| part.rows.iter().map(move |row| (name.clone(), *row)))
}

#[test]
fn every_default_lies_in_its_range_and_has_a_reason() {
    for (table, row) in rows() {
        let place = format!("`{}` of `{table}`", row.name);
        let (effect, reason) = page::documentation(&row);
        assert!(effect.ends_with('.') && effect.len() > 5, "{place} has no documentation: {effect}");
        let is_argued = match (row.absent, row.kind) {
            (Absent::Number(number), KeyType::Number { range: (low, high), .. }) => {
                assert!((low..=high).contains(&number), "{place}: {number}");
                true
            }
            (Absent::Duration(duration), KeyType::Duration { range: (least, greatest) }) => {
                assert!((least..=greatest).contains(&duration), "{place}: {duration:?}");
                true
            }
            _ => false,
        };
        assert!(!is_argued || reason.is_some(), "{place}: its default has no reason");
        if let Some(other) = row.at_most {
            let rows: Vec<_> = rows().filter(|(name, _)| *name == table).map(|(_, row)| row.name).collect();
            let position = |name| rows.iter().position(|other| *other == name);
            assert!(position(other) < position(row.name) && position(other).is_some(), "{place}: `{other}` is later");
        }
    }
}

#[test]
fn every_example_is_a_value_of_its_key() {
    for (table, row) in rows().filter(|(_, row)| !row.example.is_empty()) {
        let text = format!("{} = {}\n", row.name, row.example);
        let reader = ConfigReader::new("pharos.toml".into(), &text, Spec::PART);
        let parsed = [reader.parse().unwrap_or_else(|_| panic!("{table}: {text}"))];
        let value = Table::document(parsed.iter()).take(row.name).unwrap();
        match row.kind {
            KeyType::Number { range: (low, high), .. } => drop(value.number(low..=high)),
            KeyType::Numbers { range: (low, high) } => drop(value.numbers(low..=high)),
            KeyType::Duration { range: (least, greatest) } => drop(value.duration(least..=greatest)),
            KeyType::Flag => drop(value.flag()),
            KeyType::Text { .. } | KeyType::File { .. } => drop(value.text()),
            KeyType::Texts { .. } => drop(value.texts()),
            KeyType::Table(_) | KeyType::Names(_) => drop(Table::of(&value, row.name)),
            KeyType::Tables { .. } => value.elements().iter().for_each(|value| drop(Table::of(value, row.name))),
            KeyType::Other { .. } => {}
        }
        let [(reader, _)] = parsed;
        assert_eq!(reader.into_problems(), [], "{table}: {text}");
    }
}

/// The keys of a table that no table of the text has.
fn missing(name: &str, part: row::KeyTable, tables: &[&DeTable<'_>]) -> Vec<String> {
    let mut missing = Vec::new();
    for row in part.rows {
        let of = |table: &&'_ DeTable<'_>| table.iter().any(|(key, _)| key.get_ref() == row.name);
        if !tables.iter().any(of) && row.instead_of.is_none() {
            missing.push(format!("`{}` of `{name}`", row.name));
        }
        let Some(inner) = row.inner() else { continue };
        let values = tables.iter().flat_map(|table| table.iter()).filter(|(key, _)| key.get_ref() == row.name);
        let mut found: Vec<&DeTable<'_>> = Vec::new();
        for (_, value) in values {
            let elements = match value.get_ref() {
                DeValue::Array(array) => array.iter().map(Spanned::get_ref).collect(),
                DeValue::Table(table) if matches!(row.kind, KeyType::Names(_)) => {
                    table.iter().map(|(_, value)| value.get_ref()).collect()
                }
                other => vec![other],
            };
            found.extend(elements.into_iter().filter_map(|value| match value {
                DeValue::Table(table) => Some(table),
                _ => None,
            }));
        }
        missing.extend(self::missing(row.name, inner, &found));
    }
    missing
}

#[test]
fn the_row_of_feeds_names_every_feed() {
    let rows = page::parts().into_iter().flat_map(|(_, part)| part.rows);
    let form = rows.filter(|row| row.name == "feed").find_map(|row| match row.kind {
        KeyType::Other { form } => Some(form),
        _ => None,
    });
    let feeds = NetworkKind::ALL.into_iter().filter(|kind| kind.spelling().starts_with("feed"));
    for feed in feeds {
        let word = format!("`{}`", feed.as_str());
        assert!(form.unwrap().contains(&word), "add {word} to `FEEDS` in src/config/kind.rs");
    }
}

#[test]
fn everything_has_every_key() {
    let tree = DeTable::parse(EVERYTHING).unwrap();
    let lacks = missing("config", page::parts()[0].1, &[tree.get_ref()]);
    assert!(lacks.is_empty(), "add to tests/check/everything.toml: {lacks:#?}");
    let without = DeTable::parse("[dns]\nlisten = '[::1]:53'\n").unwrap();
    let found = missing("config", page::parts()[0].1, &[without.get_ref()]);
    assert!(found.contains(&"`udp-batch` of `dns`".to_string()) && found.contains(&"`fall` of `probe`".to_string()));
}

/// Probes begin anew if the place of content changes, and a mirror that is down would be up again.
#[test]
fn the_place_of_content_is_the_same_with_and_without_questions() {
    let mirror = |ask: bool| {
        let zone = "zone = { name = 'blob.example', file = 'z', steer = { owner = '@', horizon = 'h' } }";
        let text =
            format!("{zone}\nmirrors.m = {{ addresses = '192.0.2.1', ask = {ask} }}\nhorizons.h.default = 'm'\n");
        config("pharos.toml", &text).mirrors.remove(0).mirror
    };
    let [asked, unasked] = [true, false].map(mirror);
    assert_eq!((asked.is_asked, unasked.is_asked), (true, false));
    assert_eq!(asked.content, unasked.content);
}
