//! Metrics of the served state: the snapshot and its age, the mirrors that clients are steered to, panic mode.
//!
//! A scrape reads the values from the snapshot. Only steered answers are counted when the answer is made.
//!
//! **Not here**: publishing ([`crate::live`]), probes ([`super::probe`]), overrides ([`crate::control`]).

use std::collections::HashSet;
use std::sync::Arc;

use super::traffic::Traffic;
use super::{Collect, MetricFamily, MetricsPage};
use crate::base::prefix::Family;
use crate::registry::RouteTarget;
use crate::snapshot::{Meter, Snapshot};

/// Metrics of the served state; `S` returns the snapshot and its age in seconds.
#[derive(Debug)]
pub(crate) struct ServedGauges<S> {
    /// The source of the snapshot.
    pub(crate) source: S,
    /// The counters of the listeners.
    pub(crate) traffic: Traffic,
}

impl<S: Fn() -> (Arc<Snapshot>, u64) + Send + Sync> Collect for ServedGauges<S> {
    fn collect(&self, page: &mut MetricsPage) {
        let ((snapshot, age_secs), Traffic { dns, http }) = ((self.source)(), &self.traffic);
        page.gauge("pharos_build_info", "The version that runs.").sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
        page.gauge("pharos_snapshot_generation", "The generation that is served.").sample(&[], snapshot.generation.0);
        page.gauge("pharos_snapshot_age_seconds", "How long it has been served.").sample(&[], age_secs);
        let mirrors = snapshot.mirrors().iter();
        let contacts = mirrors.map(|mirror| ([&*mirror.name, mirror.contact.as_deref().unwrap_or_default()], 1));
        page.gauge("pharos_mirror_info", "1 for each mirror, with the contact of its operator.")
            .samples(["mirror", "contact"], contacts);
        let steered = |mut family: MetricFamily<'_>, count: &dyn Fn(Meter) -> u64| {
            let counts = snapshot.meters().all().map(|(meter, mirror, tier)| ([mirror, tier], count(meter)));
            family.samples(["mirror", "tier"], counts.filter(|(_, count)| *count > 0));
        };
        let help = "Steered answers by the first mirror in them and by where in the policy it comes from.";
        steered(page.counter("pharos_dns_steered_total", help), &|meter| dns.steered(meter));
        let help = "Steered answers by provider and region of the client, from one in 64.";
        let regions = snapshot.regions().all();
        let counts = regions.map(|(region, provider, name)| ([provider, name], dns.in_region(region)));
        page.counter("pharos_dns_clients_total", help)
            .samples(["provider", "region"], counts.filter(|(_, count)| *count > 0));
        if let Some(http) = http {
            let help = "Blob requests sent to mirrors, by mirror and by where in the policy it comes from.";
            steered(page.counter("pharos_http_steered_total", help), &|meter| http.steered(meter));
            let help = "Requests by provider and region of the client, and by target of the redirect.";
            let counts = snapshot.regions().all().flat_map(|(region, provider, name)| {
                let count = move |target| http.in_region(region, target);
                RouteTarget::ALL.map(|target| ([provider, name, target.as_str()], count(target)))
            });
            page.counter("pharos_http_clients_total", help)
                .samples(["provider", "region", "target"], counts.filter(|(_, count)| *count > 0));
        }
        let panics: HashSet<_> = snapshot.panics().map(|(horizon, of)| (&horizon.name, of)).collect();
        let all = snapshot.horizons().iter().flat_map(|horizon| Family::ALL.map(|of| (&horizon.name, of)));
        let help =
            "1 while a horizon is in panic: most of its mirrors do not answer, so mirrors that are down are given.";
        page.gauge("pharos_horizon_panic", help)
            .samples(["horizon", "family"], all.map(|one| ([&**one.0, one.1.as_str()], panics.contains(&one).into())));
    }
}
