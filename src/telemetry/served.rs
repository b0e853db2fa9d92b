//! Metrics of the served state: the snapshot and its age, the mirrors that clients are steered to, panic mode.
//!
//! A scrape reads the values from the snapshot. Only steered answers are counted when the answer is made.
//!
//! **Not here**: publishing ([`crate::live`]), probes ([`super::probe`]), overrides ([`crate::control`]).

use std::collections::HashSet;
use std::sync::Arc;

use super::dns::DnsCounters;
use super::http::Http;
use super::{Collect, MetricFamily, MetricsPage};
use crate::base::prefix::Family;
use crate::registry::RouteTarget;
use crate::snapshot::{Meter, Snapshot};

/// Metrics of the served state; `S` returns the snapshot and its age in seconds.
#[derive(Debug)]
pub(crate) struct ServedGauges<S> {
    source: S,
    dns: Arc<DnsCounters>,
    http: Option<Arc<Http>>,
}

impl<S> ServedGauges<S> {
    /// Takes the source of the snapshot, and the counters of the listeners.
    pub(crate) fn new(source: S, dns: Arc<DnsCounters>, http: Option<Arc<Http>>) -> Self {
        ServedGauges { source, dns, http }
    }
}

impl<S: Fn() -> (Arc<Snapshot>, u64) + Send + Sync> Collect for ServedGauges<S> {
    fn collect(&self, page: &mut MetricsPage) {
        let (snapshot, age_secs) = (self.source)();
        page.gauge("pharos_build_info", "The version that runs.").sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
        page.gauge("pharos_snapshot_generation", "The generation that is served.").sample(&[], snapshot.generation.0);
        page.gauge("pharos_snapshot_age_seconds", "How long it has been served.").sample(&[], age_secs);
        let mut family = page.gauge("pharos_mirror_info", "1 for each mirror, with the contact of its operator.");
        for mirror in snapshot.mirrors().iter() {
            family.sample(&[("mirror", &mirror.name), ("contact", mirror.contact.as_deref().unwrap_or_default())], 1);
        }
        let steered = |mut family: MetricFamily<'_>, count: &dyn Fn(Meter) -> u64| {
            let counts = snapshot.meters().all().map(|(meter, mirror, tier)| (mirror, tier, count(meter)));
            for (mirror, tier, count) in counts.filter(|(.., count)| *count > 0) {
                family.sample(&[("mirror", mirror), ("tier", tier)], count);
            }
        };
        let help = "Steered answers by the first mirror in them and by where in the policy it comes from.";
        steered(page.counter("pharos_dns_steered_total", help), &|meter| self.dns.steered(meter));
        let help = "Steered answers by provider and region of the client, from one in 64.";
        let mut family = page.counter("pharos_dns_clients_total", help);
        for (region, provider, name) in snapshot.regions().all() {
            let count = self.dns.in_region(region);
            if count > 0 {
                family.sample(&[("provider", provider), ("region", name)], count);
            }
        }
        if let Some(http) = &self.http {
            let help = "Blob requests sent to mirrors, by mirror and by where in the policy it comes from.";
            steered(page.counter("pharos_http_steered_total", help), &|meter| http.steered(meter));
            let help = "Requests by provider and region of the client, and by target of the redirect.";
            let mut family = page.counter("pharos_http_clients_total", help);
            for (region, provider, name) in snapshot.regions().all() {
                for target in RouteTarget::ALL {
                    let count = http.in_region(region, target);
                    if count > 0 {
                        let labels = [("provider", provider), ("region", name), ("target", target.as_str())];
                        family.sample(&labels, count);
                    }
                }
            }
        }
        let mut family = page.gauge(
            "pharos_horizon_panic",
            "1 while a horizon is in panic: most of its mirrors do not answer, so mirrors that are down are given.",
        );
        let panics: HashSet<_> = snapshot.panics().map(|(horizon, of)| (&horizon.name, of)).collect();
        for horizon in snapshot.horizons().iter() {
            for of in Family::ALL {
                let is_panic = panics.contains(&(&horizon.name, of));
                family.sample(&[("horizon", &horizon.name), ("family", of.as_str())], is_panic.into());
            }
        }
    }
}
