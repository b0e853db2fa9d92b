//! Hosts that resolve, fail, or are refused, for each purpose of loading.

use std::net::{Ipv4Addr, UdpSocket};

use super::*;
use crate::base::diagnostic::Style;
use crate::base::time::Ttl;
use crate::config;

fn reload(hosts: KnownHosts) -> Purpose {
    Purpose::Reload(ServedInputs { hosts, ..ServedInputs::default() })
}

/// A config with one mirror, and these keys of `[resolver]`.
fn config(mirror: &str, resolver: &str) -> Config {
    let text = format!(
        "[resolver]\n{resolver}\n[[zone]]\nname = \"b.example\"\nfile = \"b.zone\"\n\
         steer = [{{ owner = \"@\", horizon = \"h\" }}]\n[mirrors.m]\n{mirror}\n[horizons.h]\ndefault = [\"m\"]\n"
    );
    match config::read("pharos.toml", &text) {
        Ok((config, _)) => config,
        Err(problems) => panic!("{problems:#?}"),
    }
}

/// A resolver that never answers: its port stays taken as long as the socket is there.
fn silent() -> (UdpSocket, String) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let keys = format!("servers = \"{}\"\ntimeout = \"50ms\"", socket.local_addr().unwrap());
    (socket, keys)
}

fn rendered(problems: &[Diagnostic]) -> String {
    problems.iter().map(|problem| problem.render(Style::Plain)).collect::<Vec<_>>().join("\n\n")
}

/// RFC 6761 §6.3: this name is never asked for.
const LOCAL: &str = "host = \"localhost\"";

#[test]
fn a_host_gets_its_addresses_where_they_are_allowed() {
    let (_socket, keys) = silent();
    let mut allowed = config(LOCAL, &format!("{keys}\nprivate = [\"127.0.0.0/8\", \"::1/128\"]"));
    assert_eq!(resolve(&mut allowed, &Purpose::Check), []);
    let mirror = &allowed.mirrors[0].mirror;
    assert_eq!((&mirror.v4[..], &mirror.v6[..]), (&[Ipv4Addr::LOCALHOST][..], &[std::net::Ipv6Addr::LOCALHOST][..]));
    let problems = rendered(&resolve(&mut config(LOCAL, &keys), &Purpose::Check));
    assert!(
        problems
            .contains("127.0.0.1 is in 127.0.0.0/8 (loopback, RFC 1122), which `[resolver] private` does not allow"),
        "{problems}"
    );
}

#[test]
fn addresses_in_the_config_are_kept_and_nobody_is_asked() {
    let mut config = config("host = \"lb.example\"\naddresses = [\"192.0.2.1\"]", "servers = \"192.0.2.53\"");
    assert_eq!(resolve(&mut config, &Purpose::Check), []);
    assert_eq!(config.mirrors[0].mirror.v4, [Ipv4Addr::new(192, 0, 2, 1)]);
}

#[test]
fn a_url_without_addresses_is_a_warning() {
    let (_socket, keys) = silent();
    let text = format!(
        "[dns]\nlisten = []\n[probe]\n[resolver]\n{keys}\n\
         [registry]\nlisten = \"127.0.0.1:0\"\ncanonical = \"https://canonical.example\"\nhorizon = \"h\"\n\
         [mirrors.m]\nurl = \"https://bucket.example/{{digest}}\"\n[horizons.h]\ndefault = \"m\"\n"
    );
    for purpose in [Purpose::Check, Purpose::Start, reload(KnownHosts::new())] {
        let (mut config, _) = config::read("pharos.toml", &text).unwrap();
        let problems = resolve(&mut config, &purpose);
        assert!(problems.len() == 1 && !problems[0].is_error(), "{purpose:?}: {}", rendered(&problems));
    }
}

#[test]
fn what_a_dead_resolver_means_depends_on_what_is_known() {
    let (_socket, keys) = silent();
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("hosts.json");
    let host = "host = \"lb.example\"";
    let said = |keys: &str, purpose: &Purpose| {
        let mut config = config(host, keys);
        let problems = resolve(&mut config, purpose);
        let errors = problems.iter().filter(|problem| problem.is_error()).count();
        (errors, config.mirrors[0].mirror.v4.clone(), rendered(&problems))
    };
    let (errors, v4, text) = said(&keys, &Purpose::Check);
    assert!(errors == 1 && v4.is_empty() && text.contains("--> pharos.toml:8"), "{text}");
    assert!(
        text.contains("failed to resolve `lb.example`, the host of mirror `m`: no resolver answered in time"),
        "{text}"
    );
    // A start serves the rest.
    let (errors, _, text) = said(&keys, &Purpose::Start);
    assert!(errors == 0 && text.contains("is not steered to until its host is resolved"), "{text}");
    // A reload brings in nothing that cannot be resolved, and loses nothing that is there, be it that it is not.
    assert_eq!(said(&keys, &reload(KnownHosts::new())).0, 1);
    assert_eq!(said(&keys, &reload([("lb.example".into(), HostAddresses::default())].into())).0, 0);
    let one = HostAddresses {
        // Documentation blocks are refused.
        v4: vec![Ipv4Addr::new(1, 2, 3, 4)],
        v6: Vec::new(),
        ttl: Ttl(60),
        at: Some(UnixTime(1)),
    };
    let known: KnownHosts = [("lb.example".into(), one.clone())].into();
    assert_eq!(said(&keys, &reload(known.clone())), (0, one.v4.clone(), String::new()));
    // The addresses that the last run kept are used if the lookup fails.
    std::fs::write(&state, keep::text(&known)).unwrap();
    let keys = format!("{keys}\nstate = \"{}\"", state.display());
    for purpose in [Purpose::Check, Purpose::Start] {
        let (errors, v4, text) = said(&keys, &purpose);
        assert!(errors == 0 && v4 == one.v4 && text.contains(" days ago"), "{text}");
    }
    // The file is held to the rules as an answer is.
    let [reserved, benchmark] = [Ipv4Addr::new(240, 0, 0, 1), Ipv4Addr::new(198, 18, 0, 1)];
    let more = HostAddresses { v4: vec![reserved, one.v4[0], benchmark], ..one.clone() };
    std::fs::write(&state, keep::text(&[("lb.example".into(), more.clone())].into())).unwrap();
    assert_eq!(said(&keys, &Purpose::Start).1, one.v4);
    assert_eq!(said(&keys, &reload([("lb.example".into(), more)].into())).1, one.v4);
    std::fs::write(&state, format!("{}garbage", keep::FORM.first_line())).unwrap();
    let (errors, v4, text) = said(&keys, &Purpose::Start);
    assert!(errors == 0 && v4.is_empty() && text.contains("the kept addresses of hosts are lost"), "{text}");
}

#[test]
fn many_names_and_a_dead_resolver_do_not_hang() {
    let (_socket, keys) = silent();
    let begin = std::time::Instant::now();
    let hosts: Vec<Arc<str>> = (0..10_000).map(|host| format!("h{host}.example").into()).collect();
    let asked = ask_all(&config("host = \"h.example\"", &keys).resolver, hosts);
    assert!(begin.elapsed() < PATIENCE * 2, "{:?}", begin.elapsed());
    assert_eq!(asked.len(), 10_000);
    assert!(asked.iter().flat_map(|(_, found)| found).all(|found| matches!(found, Lookup::Failed(_))));
}

#[tokio::test]
async fn a_config_may_be_loaded_within_a_runtime() {
    let (_socket, keys) = silent();
    assert_eq!(resolve(&mut config("host = \"lb.example\"", &keys), &Purpose::Check).len(), 1);
}
