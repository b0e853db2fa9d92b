//! Reloads that follow each other, and the keys that need a restart.

use tokio::sync::oneshot::channel;

use super::*;
use crate::base::share::Share;
use crate::config::{self, Config, needs_restart};
use crate::inspect::fixture;

/// A configuration with many keys, in which `from` is replaced by `to`.
fn config(from: &str, to: &str) -> Config {
    const ALL: &str = include_str!("../../../tests/check/everything.toml");
    let text = ALL.replacen(from, to, 1);
    assert!(from.is_empty() || text != ALL, "{from}");
    config::read("pharos.toml", &text).unwrap_or_else(|problems| panic!("{from} -> {to}: {problems:#?}")).0
}

#[test]
fn what_a_reload_does_not_change_is_said_and_nothing_else() {
    let started = config("", "");
    let said = |from: &str, to: &str| needs_restart(&started, &config(from, to));
    for (key, from, to) in [
        ("[dns] listen", "[::1]:5300", "[::1]:5301"),
        ("[dns] udp-threads", "udp-threads = 2", "udp-threads = 3"),
        ("[dns] udp-batch", "udp-batch = 64", "udp-batch = 32"),
        ("[dns.tls] listen", "tls = { listen = \"[::1]:8853\"", "tls = { listen = \"[::1]:8854\""),
        ("[dns.https]", "path = \"/resolve\"", "path = \"/dns-query\""),
        ("[dns.quic] listen", "quic = { listen = \"[::1]:8853\"", "quic = { listen = \"[::1]:8854\""),
        ("[registry] listen", "127.0.0.1:8080", "127.0.0.1:8081"),
        ("[registry] tls", "tls = { cert = \"fullchain.pem\", key = \"/etc/privkey.pem\" }", ""),
        ("[admin] listen", "127.0.0.1:9153", "127.0.0.1:9154"),
        ("[control]", "run/control.sock", "run/other.sock"),
        ("[control]", "orders.json", "other.json"),
        ("[control]", "group = \"root\"", "group = \"adm\""),
    ] {
        let expected = key.to_string();
        assert_eq!(said(from, to), [expected], "{from} -> {to}");
    }
    for (from, to) in [
        ("udp-payload = 1400", "udp-payload = 1232"),
        ("tcp-connections = 100", "tcp-connections = 99"),
        ("connections = 2000", "connections = 2001"),
        ("idle = \"620s\"", "idle = \"10s\""),
        ("tcp-idle = \"30s\"", "tcp-idle = \"31s\""),
        ("nsid = \"fra1-a\"", "nsid = \"fra1-b\""),
        ("responses-per-second = 50", "responses-per-second = 51"),
        ("cert = \"dns.pem\"", "cert = \"new.pem\""),
        ("ask-wait = \"150ms\"", "ask-wait = \"50ms\""),
        ("ask-keep = \"24h\"", "ask-keep = \"2h\""),
        ("to = \"https://files.example.com/binaries/{rest}\"", "to = \"https://files.example.com/{path}\""),
        (
            "ask = true\nask-wait = \"150ms\"\nask-keep = \"24h\"\nask-lacking = \"30s\"\n\
             paths = [{ prefix = \"/binaries/\", to = \"https://files.example.com/binaries/{rest}\", horizon = \"files\" }]",
            "ask = false",
        ),
        ("direct = true", "direct = false"),
        ("cert = \"fullchain.pem\"", "cert = \"new.pem\""),
        ("interval = \"5s\"", "interval = \"6s\""),
        ("state = \"state.json\"", "state = \"other.json\""),
        ("token-file = \"admin.token\"", ""),
        ("servers = [\"192.0.2.53\"", "servers = [\"192.0.2.54\""),
        ("private = [\"10.0.0.0/8\"", "private = [\"192.168.0.0/16\""),
        ("state = \"hosts.json\"", "state = \"other.json\""),
        ("answer-mirrors = 2", "answer-mirrors = 3"),
        ("c = 3, a = 0", "c = 3, a = 1"),
        ("contact = \"noc@a", "contact = \"other@a"),
        // The same group, one line further down.
        ("group = \"root\"", "\ngroup = \"root\""),
    ] {
        assert_eq!(said(from, to), [] as [String; 0], "{from} -> {to}");
    }
    let without_probe = config::read(
        "pharos.toml",
        "[registry]\nlisten = \"127.0.0.1:8080\"\ncanonical = \"https://c.example\"\nblobs = \"https://b.example\"\n\
         [[zone]]\nname = \"b.example\"\nfile = \"b.zone\"\n",
    );
    let all = needs_restart(&started, &without_probe.unwrap().0);
    assert!(all.iter().any(|key| key == "[probe]"), "{all:#?}");
}

#[test]
fn a_network_that_has_lost_most_of_its_prefixes_is_named() {
    let served = fixture::snapshot();
    let mut parts = fixture::parts();
    parts.networks.sources[1] = crate::networks::SourceBuilder::new("aws", "ip-ranges.json").finish().0.into();
    let now = parts.snapshot();
    let expected = "network aws: `ip-ranges.json` has 0 prefixes instead of 4; if the file was cut short, restore it and \
                    reload";
    assert_eq!(shrunk(&served, &now), [expected]);
    assert!(shrunk(&now, &served).is_empty() && shrunk(&served, &served).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_slow_reload_is_reported_and_followed_by_one_more() {
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let ended = std::sync::Mutex::new(ended);
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = count.clone();
    let mut reloads = Reloads::new(Path::new("pharos.toml"), None, ServedInputs::default);
    reloads.load = Arc::new(move |_, _, _| {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        // Blocks as a disk that hangs does.
        let _ = ended.lock().unwrap().recv();
        Err(Vec::new())
    });
    let is_reported = |reloads: &Reloads| match &reloads.at_work {
        Some(Work::Reload(running)) => running.slow_at.is_none(),
        _ => panic!("no reload is under way"),
    };
    reloads.ask();
    let early = tokio::time::timeout(SLOW - Duration::from_secs(1), reloads.next()).await;
    assert!(early.is_err() && !is_reported(&reloads));
    for _ in 0..3 {
        reloads.ask();
        let late = tokio::time::timeout(Duration::from_secs(2), reloads.next()).await;
        assert!(late.is_err() && is_reported(&reloads));
    }
    end.send(()).unwrap();
    assert!(is_refused(reloads.next().await) && !reloads.are_over());
    end.send(()).unwrap();
    assert!(is_refused(reloads.next().await) && reloads.are_over());
    assert_eq!(count.load(std::sync::atomic::Ordering::Relaxed), 2);
}

fn is_refused(done: Done) -> bool {
    matches!(done, Done::Reload(outcome, _) if outcome.is_err())
}

#[tokio::test]
async fn reloads_that_were_asked_for_before_one_begins_are_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut reloads = Reloads::new(&folder.path().join("missing.toml"), None, ServedInputs::default);
    assert!(reloads.are_over());
    (0..3).for_each(|_| reloads.ask());
    assert!(!reloads.are_over());
    assert!(is_refused(reloads.next().await) && reloads.are_over());
}

#[test]
fn requests_that_share_a_reload_have_the_greatest_share_of_those_that_publish() {
    let share = |text| Share::parse(text).ok();
    let terms = |is_of_others, asked: &[(bool, Option<Share>)]| {
        let request =
            |&(is_dry, allow_moved)| ReloadRequest { request: ReloadTerms { is_dry, allow_moved }, reply: channel().0 };
        let ReloadTerms { is_dry, allow_moved } =
            Asked { requests: asked.iter().map(request).collect(), is_of_others, bundle: None }.terms();
        (is_dry, allow_moved)
    };
    let (dry, wet) = ((true, share("50%")), (false, share("5%")));
    assert_eq!(terms(false, &[dry, (true, share("60%")), (true, None)]), (true, share("60%")));
    assert_eq!(terms(false, &[dry, wet, (false, share("7%")), (false, None)]), (false, share("7%")));
    // A signal publishes too: what requests to compare allow is not allowed to it.
    assert_eq!(terms(true, &[dry]), (false, None));
    assert_eq!(terms(true, &[]), (false, None));
}
