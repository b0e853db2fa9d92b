//! Metrics of secondary zones and of the requests to their primaries.
//!
//! **Invariants**: no more than [`MAX_ZONES`] zones have lines of their own, so that a configuration with very many zones
//! does not make a page that is too large to scrape.
//! **Not here**: transfers to secondaries ([`super::dns`]).

use std::sync::Arc;

use super::cells::{ByWord, counters};
use super::{Collect, Counter, MetricsPage};
use crate::base::words::words;

/// The most zones with lines of their own, in the order of the configuration. Three lines each make a page of 300 KB.
pub(crate) const MAX_ZONES: usize = 1000;

words! {
    /// The result of a request to a primary.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Compared {
        /// The primary has no newer zone than our copy.
        UpToDate = "up-to-date",
        /// The primary sent a newer zone, or the first one.
        Fetched = "fetched",
        /// It cannot be reached.
        Unreachable = "unreachable",
        /// It does not answer in time.
        Silent = "silent",
        /// TSIG fails: the primary's signature does not hold, or the primary refuses ours.
        BadSignature = "bad-signature",
        /// TLS fails, or its certificate is refused.
        TlsFailed = "tls-failed",
        /// Its zone is older than the copy.
        Older = "older",
        /// It sends no zone, or none that can be served.
        Refused = "refused",
    }
}

counters! {
    /// Counters of transfers and NOTIFY messages.
    pub(crate) struct Counters {
        "pharos_transfer_compared_total" "Questions to primaries by result." {
            pub(crate) compared: ByWord<Compared> ["outcome"],
        }
        "pharos_transfer_notifies_heard_total" "NOTIFY messages of primaries that were heard." {
            pub(crate) heard: Counter [],
        }
        "pharos_transfer_notifies_sent_total" "New serials that followers were told of." {
            pub(crate) told: Counter ["outcome" = "answered"],
            pub(crate) deaf: Counter ["outcome" = "unanswered"],
        }
    }
}

/// The state of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ZoneStatus {
    /// Its name.
    pub(crate) name: String,
    /// The serial that is served; `None` if there is no usable copy.
    pub(crate) serial: Option<u32>,
    /// The age of the copy; `None` if the zone has no primary.
    pub(crate) copy: Option<CopyAge>,
}

/// In seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CopyAge {
    /// Since a primary last confirmed our copy; `None` if none has.
    pub(crate) age: Option<u64>,
    /// Until the copy expires; 0 if it has expired, or if there is no copy.
    pub(crate) left: u64,
}

/// Calls the function for the state of the zones when the page is scraped.
impl<F: Fn() -> Vec<ZoneStatus> + Send + Sync> Collect for (Arc<Counters>, F) {
    fn collect(&self, page: &mut MetricsPage) {
        let (counters, zones) = (&self.0, (self.1)());
        counters.collect(page);
        let shown = &zones[..zones.len().min(MAX_ZONES)];
        page.gauge("pharos_zone_serial", "The serial of each zone that is served.")
            .samples(["zone"], shown.iter().filter_map(|zone| Some(([&zone.name], zone.serial?.into()))));
        page.gauge("pharos_zone_age_seconds", "Seconds since a primary confirmed the copy of a zone.")
            .samples(["zone"], shown.iter().filter_map(|zone| Some(([&zone.name], zone.copy?.age?))));
        page.gauge("pharos_zone_expires_seconds", "How long a copy of a zone may still be used.")
            .samples(["zone"], shown.iter().filter_map(|zone| Some(([&zone.name], zone.copy?.left))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::render;

    #[test]
    fn zones_have_lines_of_their_own_up_to_a_number() {
        let counters = Arc::new(Counters::default());
        counters.compared.count(Compared::Fetched);
        counters.deaf.increment();
        let zone = |number: usize| ZoneStatus {
            name: format!("{number}.example"),
            serial: (number != 1).then_some(7),
            copy: [None, Some(CopyAge { age: None, left: 0 }), Some(CopyAge { age: Some(5), left: 60 })][number % 3],
        };
        let zones = move || (0..MAX_ZONES + 1).map(zone).collect();
        let page = render([&(counters, zones) as &dyn Collect]);
        for line in [
            "pharos_transfer_compared_total{outcome=\"fetched\"} 1",
            "pharos_transfer_notifies_sent_total{outcome=\"unanswered\"} 1",
            "pharos_zone_serial{zone=\"0.example\"} 7",
            "pharos_zone_expires_seconds{zone=\"1.example\"} 0",
            "pharos_zone_age_seconds{zone=\"2.example\"} 5",
            "pharos_zone_expires_seconds{zone=\"2.example\"} 60",
        ] {
            assert!(page.lines().any(|other| other == line), "{line} is not in\n{page}");
        }
        let of = |name: &str| page.lines().filter(|line| line.contains(&format!("\"{name}\""))).count();
        assert_eq!((of("0.example"), of("1.example"), of("2.example"), of("1000.example")), (1, 1, 3, 0));
    }
}
