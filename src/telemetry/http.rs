//! Counters of the HTTP listeners.

use std::sync::Arc;
use std::time::Instant;

use super::cells::{ByRegion, ByWord, Cell, SteeredCounts};
use super::histogram::Histogram;
use super::{Collect, Counter, Gauge, MetricFamily, MetricsPage};
use crate::registry::{RouteOutcome, RouteReply, RouteTarget};
use crate::snapshot::{Meter, RegionMeter};

/// Every status that a reply can have.
const STATUSES: [u16; 5] = [200, 307, 400, 404, 405];

/// The counters of the registry listener, all its addresses together.
#[derive(Debug, Default)]
pub struct Http {
    outcomes: ByWord<RouteOutcome>,
    statuses: [Counter; STATUSES.len()],
    steered: SteeredCounts,
    regions: ByRegion<ByWord<RouteTarget>>,
    durations: Histogram,
    /// Connections that are open, TLS handshakes included.
    pub connections: Gauge,
    /// Connections accepted.
    pub accepted: Counter,
    /// Failures to accept a connection, for example because the process has no file descriptor left.
    pub(crate) accept_errors: Counter,
    /// Connections refused because their client has as many as it may.
    pub(crate) refused: Counter,
    /// Connections closed to make room for others, or because too many bytes waited for their clients.
    pub evicted: Counter,
    /// TLS handshakes that failed or took too long.
    pub handshake_errors: Counter,
    /// Connections that ended in an error: cut, malformed, or too slow.
    pub(crate) connection_errors: Counter,
    /// Requests that do not name one host.
    pub host_errors: Counter,
}

impl Http {
    /// Counts a request that was answered: its duration from `since` on, its outcome and status, the client's
    /// region, and the mirror, if the request was sent to one.
    pub(crate) fn answered(&self, reply: &RouteReply, since: Instant, region: RegionMeter, mirror: Option<Meter>) {
        self.durations.observe(since.elapsed());
        if let (RouteOutcome::BlobSteered | RouteOutcome::BlobMirror, Some(mirror)) = (reply.basis.outcome, mirror) {
            self.steered.of(mirror).increment();
        }
        self.outcomes.of(reply.basis.outcome).increment();
        self.regions.of(region).of(reply.basis.outcome.target()).increment();
        let status = reply.answer.status();
        if let Some(at) = STATUSES.iter().position(|known| *known == status) {
            self.statuses[at].increment();
        }
    }

    /// The number of blob requests that were sent to a mirror.
    pub(crate) fn steered(&self, meter: Meter) -> u64 {
        self.steered.of(meter).value()
    }

    /// The number of requests of clients in a region that were sent to a target.
    pub(crate) fn in_region(&self, region: RegionMeter, target: RouteTarget) -> u64 {
        self.regions.of(region).of(target).value()
    }

    /// The number of all requests.
    pub(crate) fn all_requests(&self) -> u64 {
        RouteOutcome::ALL.iter().map(|outcome| self.requests(*outcome)).sum()
    }

    /// The number of requests with an outcome.
    pub fn requests(&self, outcome: RouteOutcome) -> u64 {
        self.outcomes.of(outcome).value()
    }

    fn write_errors(&self, mut family: MetricFamily<'_>) {
        family
            .sample(&[("at", "accept")], self.accept_errors.value())
            .sample(&[("at", "handshake")], self.handshake_errors.value())
            .sample(&[("at", "connection")], self.connection_errors.value())
            .sample(&[("at", "host")], self.host_errors.value());
    }
}

/// The same of DNS over HTTPS, whose messages are counted among those of the other transports.
#[derive(Debug)]
pub(crate) struct DnsOverHttps(pub(crate) Arc<Http>);

impl Collect for DnsOverHttps {
    fn collect(&self, page: &mut MetricsPage) {
        let http = &self.0;
        page.gauge("pharos_dns_https_connections", "Connections of DNS over HTTPS that are open.")
            .sample(&[], http.connections.value());
        page.counter("pharos_dns_https_accepted_total", "Connections of DNS over HTTPS accepted.")
            .sample(&[], http.accepted.value());
        let help = "Connections and requests of DNS over HTTPS that failed, by where.";
        http.write_errors(page.counter("pharos_dns_https_errors_total", help));
        page.counter("pharos_dns_https_refused_total", "Connections of DNS over HTTPS over the limit of one client.")
            .sample(&[], http.refused.value());
        page.counter("pharos_dns_https_evicted_total", "Connections of DNS over HTTPS closed to make room.")
            .sample(&[], http.evicted.value());
    }
}

impl Collect for Http {
    fn collect(&self, page: &mut MetricsPage) {
        let labels = |outcome: RouteOutcome| [outcome.rule().to_string(), outcome.as_str().to_string()];
        page.counter("pharos_http_requests_total", "Requests by rule of the registry and outcome.")
            .samples(["rule", "outcome"], RouteOutcome::ALL.map(|outcome| (labels(outcome), self.requests(outcome))));
        let statuses = STATUSES.iter().zip(&self.statuses);
        page.counter("pharos_http_responses_total", "Responses by status.")
            .samples(["status"], statuses.map(|(status, count)| ([status.to_string()], count.value())));
        let help = "From a request's head to its response, waiting for a mirror's answer included.";
        let mut family = page.histogram("pharos_http_request_duration_seconds", help);
        Cell::write(&[&self.durations], &mut family, &mut []);
        page.gauge("pharos_http_connections", "Connections that are open.").sample(&[], self.connections.value());
        page.counter("pharos_http_accepted_total", "Connections accepted.").sample(&[], self.accepted.value());
        self.write_errors(page.counter("pharos_http_errors_total", "Connections and requests that failed, by where."));
        page.counter("pharos_http_evicted_total", "Connections closed to make room.").sample(&[], self.evicted.value());
    }
}
