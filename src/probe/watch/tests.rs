//! Probes of addresses on loopback, before and after reloads.

use std::net::{Ipv4Addr, TcpListener};

use super::*;
use crate::base::ids::MirrorId;
use crate::base::time::{Generation, Moment};
use crate::mirror::Health;
use crate::snapshot::{Compiled, Snapshot};
use crate::zone::ZoneSet;
use crate::{config, live};

/// A mirror on this machine.
fn here() -> Mirror {
    Mirror { v4: vec![Ipv4Addr::LOCALHOST], ..Mirror::named("m") }
}

fn rewatch(port: u16, canary: u32) -> Rewatch {
    let text = format!(
        "[probe]\nname = \"b.example\"\nport = {port}\n\
         canary = {{ repository = \"pause\", digest = \"sha256:{canary:064x}\", size = 32 }}\n\
         [[zone]]\nname = \"b.example\"\nfile = \"b.zone\"\n"
    );
    let (config, _) = config::read("pharos.toml", &text).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let probe = Arc::new(config.probe.unwrap());
    let root = rcgen::generate_simple_self_signed(["root.example".to_string()]).unwrap();
    let mut roots = crate::tls::Roots::default();
    roots.add(root.cert.der().clone()).unwrap();
    let prober = Prober::new(probe.clone(), Arc::new(roots)).unwrap();
    Rewatch { probe, prober }
}

#[tokio::test]
async fn a_mirror_that_a_reload_brings_is_probed_although_the_reload_says_nothing_of_probes() {
    let snapshot = |mirrors: Vec<Mirror>| {
        let compiled = Compiled { mirrors: mirrors.into(), ..Compiled::default() };
        Snapshot::new(Generation(1), ZoneSet::new(Vec::new()), compiled).with_fresh(Health::Untried)
    };
    let (published, updates, publisher) = live::publish(snapshot(Vec::new()), || Moment(0));
    tokio::spawn(publisher.run());
    // No service listens on port 1, so that connections are refused.
    let Rewatch { probe, prober } = rewatch(1, 1);
    let watcher = Watcher::new(&[], probe, prober, Clock::start(), Arc::default(), StateFiles::default());
    let (reloads, inbox) = mpsc::channel(1);
    tokio::spawn(watcher.run(published.clone(), updates.clone(), inbox, Arc::default()));
    updates.replace(snapshot(vec![here()])).await.unwrap();
    let health = || published.load().standing(MirrorId(0)).v4[0].health;
    assert_eq!(health(), Health::Untried);
    reloads.send(None).await.unwrap();
    let begin = Instant::now();
    while health() == Health::Untried {
        assert!(begin.elapsed() < Duration::from_secs(30), "it is not probed");
        tokio::task::yield_now().await;
    }
    assert_eq!(health(), Health::Down);
}

#[tokio::test]
async fn a_probe_for_what_a_reload_no_longer_asks_for_has_no_say() {
    // The listener accepts connections and sends nothing, so a probe of it stays in flight.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = silent.local_addr().unwrap().port();
    let Rewatch { probe, prober } = rewatch(port, 1);
    let mut watcher = Watcher::new(&[here()], probe, prober, Clock::start(), Arc::default(), StateFiles::default());
    let probing = |watcher: &Watcher| watcher.tracks.values().filter(|one| one.is_probed).count();
    watcher.start_due();
    assert_eq!((watcher.running.len(), probing(&watcher)), (1, 1));
    // The settings are equal: the probe continues.
    watcher.begin_anew(rewatch(port, 1));
    assert_eq!((watcher.running.len(), probing(&watcher)), (1, 1));
    watcher.begin_anew(rewatch(port, 2));
    assert_eq!((watcher.running.len(), probing(&watcher)), (0, 0));
    watcher.start_due();
    assert_eq!((watcher.running.len(), probing(&watcher)), (1, 1), "it is asked for the new one at once");
}
