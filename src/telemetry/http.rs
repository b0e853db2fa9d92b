//! Counters of the HTTP listeners.

use std::sync::Arc;
use std::time::Instant;

use super::histogram::Histogram;
use super::{Collect, Counter, Gauge, MetricsPage};
use crate::registry::{RouteOutcome, RouteReply};
use crate::snapshot::{METERS, Meter};

/// Every status that a reply can have.
const STATUSES: [u16; 5] = [200, 307, 400, 404, 405];

/// The counters of the registry listener, all its addresses together.
#[derive(Debug, Default)]
pub struct Http {
    outcomes: [Counter; RouteOutcome::ALL.len()],
    statuses: [Counter; STATUSES.len()],
    steered: SteeredCounts,
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

/// Blob requests that were sent to a mirror, by mirror and tier.
#[derive(Debug)]
struct SteeredCounts(Box<[Counter]>);

impl Default for SteeredCounts {
    fn default() -> Self {
        SteeredCounts((0..METERS).map(|_| Counter::default()).collect())
    }
}

impl Http {
    /// Counts a request that was answered: its duration from `since` on, its outcome and status, and the mirror, if the request
    /// was sent to one.
    pub(crate) fn answered(&self, reply: &RouteReply, since: Instant, mirror: Option<Meter>) {
        self.durations.observe(since.elapsed());
        if let (RouteOutcome::BlobSteered | RouteOutcome::BlobMirror, Some(mirror)) = (reply.basis.outcome, mirror) {
            self.steered.0[mirror.index()].increment();
        }
        self.outcomes[reply.basis.outcome as usize].increment();
        let status = reply.answer.status();
        if let Some(at) = STATUSES.iter().position(|known| *known == status) {
            self.statuses[at].increment();
        }
    }

    /// The number of blob requests that were sent to a mirror.
    pub(crate) fn steered(&self, meter: Meter) -> u64 {
        self.steered.0[meter.index()].value()
    }

    /// The number of requests with an outcome.
    pub fn requests(&self, outcome: RouteOutcome) -> u64 {
        self.outcomes[outcome as usize].value()
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
        page.counter(
            "pharos_dns_https_errors_total",
            "Connections and requests of DNS over HTTPS that failed, by where.",
        )
        .sample(&[("at", "accept")], http.accept_errors.value())
        .sample(&[("at", "handshake")], http.handshake_errors.value())
        .sample(&[("at", "connection")], http.connection_errors.value())
        .sample(&[("at", "host")], http.host_errors.value());
        page.counter("pharos_dns_https_refused_total", "Connections of DNS over HTTPS over the limit of one client.")
            .sample(&[], http.refused.value());
        page.counter("pharos_dns_https_evicted_total", "Connections of DNS over HTTPS closed to make room.")
            .sample(&[], http.evicted.value());
    }
}

impl Collect for Http {
    fn collect(&self, page: &mut MetricsPage) {
        let mut family = page.counter("pharos_http_requests_total", "Requests by rule of the registry and outcome.");
        for outcome in RouteOutcome::ALL {
            let rule = outcome.rule().to_string();
            family.sample(&[("rule", &rule), ("outcome", outcome.as_str())], self.requests(outcome));
        }
        let mut family = page.counter("pharos_http_responses_total", "Responses by status.");
        for (status, counter) in STATUSES.iter().zip(&self.statuses) {
            family.sample(&[("status", &status.to_string())], counter.value());
        }
        let (buckets, sum_us) = self.durations.read();
        page.histogram(
            "pharos_http_request_duration_seconds",
            "From a request's head to its response, waiting for a mirror's answer included.",
        )
        .distribution(&[], &buckets, sum_us);
        page.gauge("pharos_http_connections", "Connections that are open.").sample(&[], self.connections.value());
        page.counter("pharos_http_accepted_total", "Connections accepted.").sample(&[], self.accepted.value());
        page.counter("pharos_http_errors_total", "Connections and requests that failed, by where.")
            .sample(&[("at", "accept")], self.accept_errors.value())
            .sample(&[("at", "handshake")], self.handshake_errors.value())
            .sample(&[("at", "connection")], self.connection_errors.value())
            .sample(&[("at", "host")], self.host_errors.value());
        page.counter("pharos_http_evicted_total", "Connections closed to make room.").sample(&[], self.evicted.value());
    }
}
