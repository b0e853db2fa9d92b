//! Mirrors given by host name alone: their first addresses, when a configuration is loaded.
//!
//! A steered owner is often an apex, where no CNAME can be, so a mirror's name is turned into addresses here. All names are
//! looked up concurrently, for [`PATIENCE`] at most. If a lookup fails, the addresses that the last run kept are used.
//!
//! **Invariants**: a mirror that has addresses in the config keeps just those; a host that is already served with addresses
//! keeps them without a lookup, so that a reload loses no address and does not wait for resolvers.
//! **Not here**: keeping addresses fresh (hosts), which addresses are taken ([`crate::mirror`]).

pub(crate) mod ask;
pub mod keep;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::{StreamExt as _, stream};

use super::unix;
use crate::base::diagnostic::{Diagnostic, Severity, sort_by_place};
use crate::base::prefix::PrefixSet;
use crate::base::time::UnixTime;
use crate::base::when::span;
use crate::config::{Config, MirrorEntry, Resolver, TlsFiles};
use crate::mirror::{HostAddresses, HostRules, Lookup, Mirror, Trouble, accept};
use crate::networks::Source;
use crate::snapshot::Snapshot;
use crate::zone::Zone;
use ask::HostAsker;
use keep::KnownHosts;

/// The longest time that a start waits for resolvers, for all names together. A resolver that has not answered by then is
/// as good as down, and a restart must not exceed the start timeout of its supervisor because of it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// The most names that are looked up at once: each is two queries, and a resolver serves as many without dropping any.
pub(crate) const MAX_AT_ONCE: usize = 64;

/// The purpose of loading a configuration. It decides whether a host without addresses is an error; the host of a redirect-only
/// mirror is always a warning, because the canonical registry serves its clients meanwhile.
#[derive(Clone, Debug)]
pub(crate) enum Purpose {
    /// To check the configuration: an error.
    Check,
    /// To show the configuration: as a start, but each source must be good.
    Show,
    /// To compare the configuration with another one: hosts are not looked up.
    Compare,
    /// To serve the configuration from the start: a warning. The rest is served, and the host follows
    /// when it is resolved. A restart at night must not fail because of a name that no operator is there to correct.
    Start,
    /// To replace the served configuration, whose hosts have these addresses: an error, unless the host is one of these. The
    /// operator is present at a reload and can correct the name, and the served configuration stays.
    Reload(ServedInputs),
}

/// The served inputs that a reload may go on with.
#[derive(Clone, Debug, Default)]
pub struct ServedInputs {
    /// The addresses of hosts.
    pub(crate) hosts: KnownHosts,
    /// The sources of networks.
    pub(crate) sources: Vec<Arc<Source>>,
    /// The zones that were read from master files.
    pub(crate) zones: Vec<ServedZone>,
    /// The files of the certificates that listeners serve, each with the name of the listener.
    pub(crate) certificates: Vec<(&'static str, TlsFiles)>,
}

/// A served zone that was read from a master file.
#[derive(Clone, Debug)]
pub(crate) struct ServedZone {
    /// The zone, without dynamic records.
    pub(crate) zone: Arc<Zone>,
    /// The file, as the operator wrote it.
    pub(crate) file: Arc<str>,
}

impl ServedInputs {
    /// The inputs of a snapshot; certificates are no part of it.
    pub(crate) fn of(snapshot: &Snapshot, certificates: Vec<(&'static str, TlsFiles)>) -> Self {
        let zones = snapshot.zones().iter().zip(snapshot.zone_origins()).filter_map(|((id, _), origin)| {
            let zone = snapshot.zones().base(id);
            Some(ServedZone { zone: zone.clone(), file: origin.file.clone()? }).filter(|_| zone.is_available())
        });
        ServedInputs {
            hosts: known(snapshot.mirrors().iter()),
            sources: snapshot.provenance().networks.sources.clone(),
            zones: zones.collect(),
            certificates,
        }
    }
}

/// The rules by which the addresses of hosts are accepted.
pub(crate) fn rules(config: &Config) -> HostRules {
    let Resolver { least_ttl, greatest_ttl, private, .. } = &config.resolver;
    // A day at most: the ranges of `[resolver] least-ttl` and `greatest-ttl`.
    let seconds = |time: &Duration| time.as_secs() as u32;
    HostRules {
        ttl: seconds(least_ttl)..=seconds(greatest_ttl),
        private: PrefixSet::new(private),
        steered: config.zones.iter().flat_map(|zone| &zone.steer).map(|steer| steer.owner.clone()).collect(),
    }
}

/// The addresses of the hosts that some mirrors follow.
pub(crate) fn known<'m>(mirrors: impl IntoIterator<Item = &'m Mirror>) -> KnownHosts {
    let of = |mirror: &Mirror| Some((mirror.followed_host()?.clone(), mirror.host_addresses()?));
    mirrors.into_iter().filter_map(of).collect()
}

/// The time of day.
pub(crate) fn now() -> UnixTime {
    unix(SystemTime::now())
}

/// Fills in the addresses of mirrors that have only a host name.
pub(crate) fn resolve(config: &mut Config, purpose: &Purpose) -> Vec<Diagnostic> {
    let mut wanted = known(config.mirrors.iter().map(|entry| &entry.mirror));
    if wanted.is_empty() || matches!(purpose, Purpose::Compare) {
        return Vec::new();
    }
    let mut problems = Vec::new();
    let mut kept = KnownHosts::new();
    let rules = rules(config);
    if let Purpose::Reload(served) = purpose {
        let of = |host: &Arc<str>| served.hosts.get(host).cloned().unwrap_or_default().allowed(&rules);
        wanted.iter_mut().for_each(|(host, known)| *known = of(host));
    } else if let Some(path) = &config.resolver.state {
        kept = keep::read(path).unwrap_or_else(|useless| {
            // A file that must not be replaced is reported by `named`.
            if useless.may_be_replaced() {
                let message = format!("the kept addresses of hosts are lost: {useless}");
                problems.push(Diagnostic::warning("host-state", message).help(useless.help()));
            }
            KnownHosts::new()
        });
    }
    let unknown: Vec<Arc<str>> =
        wanted.iter().filter(|(_, known)| known.is_empty()).map(|(host, _)| host.clone()).collect();
    let mut troubles: BTreeMap<Arc<str>, Trouble> = Default::default();
    for (host, found) in ask_all(&config.resolver, unknown) {
        let last = kept.remove(&host).unwrap_or_default().allowed(&rules);
        let accepted = accept(found, &last, &rules, now());
        troubles.extend(accepted.trouble.map(|trouble| (host.clone(), trouble)));
        wanted.insert(host, accepted.addresses);
    }
    for entry in &mut config.mirrors {
        let Some(host) = entry.mirror.followed_host().cloned() else { continue };
        let Some(addresses) = wanted.get(&host) else { continue };
        entry.mirror = entry.mirror.at(addresses);
        if let Some(trouble) = troubles.get(&host) {
            problems.push(problem(entry, &host, addresses, trouble, purpose));
        }
    }
    sort_by_place(&mut problems);
    problems
}

/// Looks up hosts concurrently. A host without an answer in time has timed out.
fn ask_all(resolver: &Resolver, hosts: Vec<Arc<str>>) -> Vec<(Arc<str>, [Lookup; 2])> {
    if hosts.is_empty() {
        return Vec::new();
    }
    let ask = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let answers = runtime.block_on(answers(HostAsker::new(resolver)?, &hosts));
        runtime.shutdown_background();
        Ok(answers)
    };
    // On a thread of its own, because a runtime cannot run within another one.
    let asked = std::thread::scope(|scope| {
        let asking = std::thread::Builder::new().spawn_scoped(scope, ask).map_err(|error| error.to_string())?;
        asking.join().unwrap_or_else(|_| Err("resolving failed, which is a fault in pharos".to_string()))
    });
    match asked {
        Ok(answers) => answers,
        Err(why) => {
            let trouble = || Lookup::Failed(Trouble::Server(format!("there is no resolver to ask: {why}")));
            hosts.iter().map(|host| (host.clone(), [trouble(), trouble()])).collect()
        }
    }
}

async fn answers(asker: HostAsker, hosts: &[Arc<str>]) -> Vec<(Arc<str>, [Lookup; 2])> {
    let asker = &asker;
    let asked = stream::iter(hosts).map(|host| async move { (host, asker.ask(host).await) });
    let in_time = asked.buffer_unordered(MAX_AT_ONCE).take_until(tokio::time::sleep(PATIENCE));
    let mut answers: BTreeMap<_, _> = in_time.collect().await;
    let timeout = || [Lookup::Failed(Trouble::Timeout), Lookup::Failed(Trouble::Timeout)];
    hosts.iter().map(|host| (host.clone(), answers.remove(&host).unwrap_or_else(timeout))).collect()
}

/// Addresses of at most this age were found by the current lookup.
const JUST_NOW_SECS: u64 = 10;

fn problem(
    entry: &MirrorEntry,
    host: &str,
    addresses: &HostAddresses,
    trouble: &Trouble,
    purpose: &Purpose,
) -> Diagnostic {
    let message = format!("failed to resolve `{host}`, the host of mirror `{}`: {trouble}", entry.mirror.name);
    let is_served_like_that = match purpose {
        Purpose::Check => false,
        Purpose::Start | Purpose::Show | Purpose::Compare => true,
        Purpose::Reload(served) => served.hosts.contains_key(host),
    };
    let (severity, label, help) = if !addresses.is_empty() {
        let age = addresses.at.map_or(0, |at| now().0.saturating_sub(at.0));
        let label = if age > JUST_NOW_SECS {
            format!("has the addresses of {} ago", span(age))
        } else {
            "has the addresses that remain".to_string()
        };
        (Severity::Warning, label, "nothing need be done if the host has not moved: it is asked for again and again")
    } else if is_served_like_that || entry.mirror.is_redirect_only() {
        let help = "check the name and the resolvers; `[resolver] state` would keep the last good addresses";
        (Severity::Warning, "is not steered to until its host is resolved".to_string(), help)
    } else {
        let help = "check the name and the resolvers (`[resolver] servers`), or add `addresses = […]`";
        (Severity::Error, "has no addresses of its own".to_string(), help)
    };
    let help = match trouble {
        Trouble::Refused(_) => {
            "if clients may be sent to that address, add its prefix to `[resolver] private`; else check the name"
        }
        _ => help,
    };
    Diagnostic::new(severity, "mirror-host", message).at(entry.place.clone(), label).help(help)
}

#[cfg(test)]
mod tests;
