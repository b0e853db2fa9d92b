//! Counters of probes: verdicts, their causes, durations, and the health of each address.
//!
//! **Invariants**: only the watcher writes them, off the query path; causes are words of the program, so their number is
//! bounded.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::cells::{ByWord, Cell, counters};
use super::histogram::Histogram;
use super::{Collect, Counter, MetricFamily, MetricsPage};
use crate::base::lock::locked;
use crate::base::time::UnixTime;
use crate::fleet::{FleetRuling, FleetRulings};
use crate::mirror::{Cause, Health, HttpVersion, Verdict};

/// The part of a probe's result that is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Probed {
    /// The verdict.
    pub(crate) verdict: Verdict,
    /// The cause; `None` if the verdict is `up`.
    pub(crate) cause: Option<Cause>,
    /// The duration of the probe.
    pub(crate) took: Duration,
    /// The end of the certificate's validity, in seconds since 1970; `None` if no certificate was seen.
    pub(crate) not_after: Option<u64>,
    /// The standing of the address after the probe.
    pub(crate) standing: ProbedStanding,
    /// The timestamp of its end.
    pub(crate) now: UnixTime,
}

/// The standing of an address after a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProbedStanding {
    /// The health of the address.
    pub(crate) health: Health,
    /// The last verdict of each protocol that the mirror serves.
    pub(crate) protocols: Vec<(HttpVersion, Verdict)>,
    /// The last verdict of the worse protocol.
    pub(crate) verdict: Verdict,
    /// Its cause; `None` if the verdict is `up`.
    pub(crate) cause: Option<Cause>,
}

/// The last result for one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AddressFinding {
    /// The standing after the last probe.
    pub(crate) standing: ProbedStanding,
    /// The begin of this health, as far as this process knows.
    pub(crate) since: UnixTime,
    /// The end of the validity of the certificate that was last seen there, in seconds since 1970.
    pub(crate) not_after: Option<u64>,
}

/// By mirror and address.
type AddressFindings = BTreeMap<(Arc<str>, IpAddr), AddressFinding>;

counters! {
    /// Counts of probes.
    pub(crate) struct ProbeCounters {
        "pharos_probes_total" "Probes of mirrors' addresses by verdict." { verdicts: ByWord<Verdict> ["verdict"], }
        "pharos_probe_failures_total" "Probes that found something wrong, by what." { causes: CauseCounts ["reason"], }
        "pharos_probe_own_failures_total"
        "Probes without a verdict, because this machine had no descriptor, port or memory for them." {
            pub(crate) failed_here: Counter [],
        }
        "pharos_probe_duration_seconds" "How long probes take." { durations: Histogram [], }
    }
}

/// Causes that were found, by their words.
#[derive(Debug, Default)]
struct CauseCounts(Mutex<BTreeMap<&'static str, u64>>);

impl Cell for CauseCounts {
    const KIND: &'static str = "counter";

    fn write(all: &[&Self], family: &mut MetricFamily<'_>, _: &mut [(&str, &str)]) {
        for causes in all {
            family.samples(["reason"], locked(&causes.0).iter().map(|(cause, count)| ([*cause], *count)));
        }
    }
}

/// Results of probes since the process started, and the last one of each address.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    /// The counts.
    pub(crate) counters: ProbeCounters,
    addresses: Mutex<AddressFindings>,
    rulings: ArcSwap<FleetRulings>,
}

impl Probes {
    /// Sets the rulings of the fleet that are in force.
    pub(crate) fn rule(&self, rulings: Arc<FleetRulings>) {
        self.rulings.store(rulings);
    }

    /// The ruling on an address; `None` without a fleet, and if every server sees it as up.
    pub(crate) fn ruling(&self, mirror: &Arc<str>, address: IpAddr) -> Option<FleetRuling> {
        self.rulings.load().get(&(mirror.clone(), address)).copied()
    }

    /// Counts a probe, and stores the health of the address after it.
    pub(crate) fn probed(&self, mirror: &Arc<str>, address: IpAddr, probed: Probed) {
        let Probed { verdict, cause, took, not_after, standing, now } = probed;
        self.counters.verdicts.of(verdict).increment();
        self.counters.durations.observe(took);
        if let Some(cause) = &cause {
            *locked(&self.counters.causes.0).entry(cause.as_str()).or_default() += 1;
        }
        let health = standing.health;
        let found = AddressFinding { standing, since: now, not_after };
        let mut addresses = locked(&self.addresses);
        let known = addresses.entry((mirror.clone(), address)).or_insert_with(|| found.clone());
        let since = if known.standing.health == health { known.since } else { now };
        // A probe that saw no certificate keeps the previous value.
        *known = AddressFinding { since, not_after: not_after.or(known.not_after), ..found };
    }

    /// The last result for an address; `None` if it has no verdict yet.
    pub(crate) fn last(&self, mirror: &Arc<str>, address: IpAddr) -> Option<AddressFinding> {
        locked(&self.addresses).get(&(mirror.clone(), address)).cloned()
    }

    /// Forgets addresses that are no longer probed.
    pub(crate) fn keep(&self, wanted: impl Fn(&str, IpAddr) -> bool) {
        locked(&self.addresses).retain(|(mirror, address), _| wanted(mirror, *address));
    }
}

impl Collect for Probes {
    fn collect(&self, page: &mut MetricsPage) {
        self.counters.collect(page);
        let addresses = locked(&self.addresses).clone();
        let named = || addresses.iter().map(|((mirror, of), found)| ([mirror.to_string(), of.to_string()], found));
        let up = addresses.iter().map(|((mirror, of), found)| {
            let ruled = self.ruling(mirror, *of).map(|ruling| ruling.health);
            let is_up = ruled.unwrap_or(found.standing.health) == Health::Up;
            ([mirror.to_string(), of.to_string()], is_up.into())
        });
        page.gauge("pharos_mirror_up", "Whether an address counts as healthy.").samples(["mirror", "address"], up);
        let verdicts = named().flat_map(|([mirror, address], found)| {
            let labels = move |verdict: Verdict| [mirror.clone(), address.clone(), verdict.as_str().to_string()];
            Verdict::ALL.map(|verdict| (labels(verdict), (found.standing.verdict == verdict).into()))
        });
        page.gauge("pharos_mirror_verdict", "Whether this was the last verdict on an address.")
            .samples(["mirror", "address", "verdict"], verdicts);
        let protocols = named().flat_map(|([mirror, address], found)| {
            found.standing.protocols.iter().map(move |(protocol, verdict)| {
                ([&*mirror, &*address, protocol.as_str(), verdict.as_str()].map(str::to_string), 1)
            })
        });
        let help = "The last verdict on an address over each protocol that it serves: a sample with the value 1 for each protocol.";
        page.gauge("pharos_mirror_protocol_verdict", help)
            .samples(["mirror", "address", "protocol", "verdict"], protocols);
        let help = "The end of the time of the certificate that an address presents, in seconds since 1970.";
        page.gauge("pharos_mirror_certificate_not_after_seconds", help)
            .samples(["mirror", "address"], named().filter_map(|(labels, found)| Some((labels, found.not_after?))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_that_of_the_health_whatever_the_verdict() {
        let (probes, mirror, address) = (Probes::default(), Arc::from("m"), IpAddr::from([192, 0, 2, 10]));
        let since = |health, verdict, now| {
            let standing = ProbedStanding { health, protocols: Vec::new(), verdict, cause: None };
            let probed =
                Probed { verdict, cause: None, took: Duration::ZERO, not_after: None, standing, now: UnixTime(now) };
            probes.probed(&mirror, address, probed);
            probes.last(&mirror, address).unwrap().since
        };
        assert_eq!(since(Health::Up, Verdict::Up, 10), UnixTime(10));
        assert_eq!(since(Health::Up, Verdict::Expiring, 20), UnixTime(10), "it is up for as long as before");
        assert_eq!(since(Health::Bad, Verdict::TlsBad, 30), UnixTime(30));
        assert_eq!(since(Health::Bad, Verdict::ContentBad, 40), UnixTime(30));
        assert_eq!(since(Health::Up, Verdict::Up, 50), UnixTime(50));
    }
}
