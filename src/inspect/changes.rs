//! The differences between two snapshots in words, for the answer to a reload.
//!
//! **Invariants**: equal files give no difference, whatever was learned while serving: health, overrides, resolved addresses.
//! **Not here**: counting the clients that move ([`super::moves()`]).

use std::collections::BTreeMap;

use super::moves::Moves;
use super::words;
use crate::base::prefix::Family;
use crate::mirror::Mirror;
use crate::snapshot::Snapshot;
use crate::zone::Zone;

/// A sentence for each zone, network, mirror and horizon that differs, in this order; `moves` compares the same snapshots.
pub(crate) fn changes(before: &Snapshot, now: &Snapshot, moves: &Moves) -> Vec<String> {
    let mut all = Vec::new();
    compare("zone", zones(before), zones(now), zone, &mut all);
    let counts = |snapshot: &Snapshot| {
        let sources = &snapshot.provenance().networks.sources;
        sources.iter().map(|source| (source.name.to_string(), source.prefix_count())).collect::<BTreeMap<_, _>>()
    };
    let (old, new) = (counts(before), counts(now));
    let network = |before: &usize, now: &usize| (before != now).then(|| format!("{before} to {now} prefixes"));
    compare("network", old, new, network, &mut all);
    compare("mirror", mirrors(before), mirrors(now), mirror, &mut all);
    all.extend(moves.added.iter().map(|name| format!("horizon {name}: added")));
    all.extend(moves.removed.iter().map(|name| format!("horizon {name}: removed")));
    for horizon in &moves.horizons {
        let moved = Family::ALL.map(|family| &horizon.families[family as usize]);
        for family in moved.into_iter().filter(|family| family.moved_of_all > 0) {
            all.push(format!("horizon {}: {}", horizon.horizon, words::moved(family)));
        }
    }
    all
}

/// Compares two lists by name; `differ` returns the details of a difference, empty if there are none.
fn compare<T>(
    kind: &str,
    mut before: BTreeMap<String, T>,
    now: BTreeMap<String, T>,
    differ: impl Fn(&T, &T) -> Option<String>,
    all: &mut Vec<String>,
) {
    for (name, one) in &now {
        let what = match before.remove(name) {
            None => "added".to_string(),
            Some(old) => match differ(&old, one) {
                None => continue,
                Some(details) if details.is_empty() => "changed".to_string(),
                Some(details) => details,
            },
        };
        all.push(format!("{kind} {name}: {what}"));
    }
    all.extend(before.keys().map(|name| format!("{kind} {name}: removed")));
}

fn zones(snapshot: &Snapshot) -> BTreeMap<String, &Zone> {
    snapshot.zones().iter().map(|(_, zone)| (zone.apex().to_string(), zone)).collect()
}

fn zone(before: &&Zone, now: &&Zone) -> Option<String> {
    let serial = |zone: &Zone| zone.is_available().then(|| zone.serial());
    match (serial(before), serial(now)) {
        (old, new) if old == new => None,
        (Some(old), Some(new)) => Some(format!("serial {old} to {new}")),
        _ => Some(String::new()),
    }
}

fn mirrors(snapshot: &Snapshot) -> BTreeMap<String, &Mirror> {
    snapshot.mirrors().iter().map(|mirror| (mirror.name.to_string(), mirror)).collect()
}

fn mirror(before: &&Mirror, now: &&Mirror) -> Option<String> {
    // Resolved addresses are not of the configuration.
    let addresses = |mirror: &Mirror| match mirror.followed_host() {
        Some(_) => (Vec::new(), Vec::new()),
        None => (mirror.v4.clone(), mirror.v6.clone()),
    };
    let facts = |mirror: &Mirror| (mirror.host.clone(), mirror.content.clone(), mirror.is_asked, addresses(mirror));
    (facts(before) != facts(now)).then(String::new)
}
