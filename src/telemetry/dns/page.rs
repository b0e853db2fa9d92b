//! The counters of the DNS listeners on the metrics page.
//!
//! **Not here**: counting, and the tables of label values ([`super`]).

use super::{
    CLIENT_LIMIT, CLOSE, CLOSED, COOKIE, COOKIES, DROPPED, DURATION, DnsCounters, ECS_DIFFERENT, ECS_SAME, FAILURE,
    FAILURES, GIVEN, LIMIT, LIMITS, LOSS, LOST, OTHER_RCODE, OUTCOME, OUTCOMES, QUERIES, QUERY, RCODE, RCODES,
    TRANSFER, TRUNCATED, VANTAGE, VANTAGES,
};
use crate::telemetry::histogram::BUCKETS;
use crate::telemetry::{Collect, MetricsPage};
use crate::wire::Transport;

impl Collect for DnsCounters {
    fn collect(&self, page: &mut MetricsPage) {
        self.collect_requests(page);
        self.collect_responses(page);
        self.collect_losses(page);
        self.collect_connections(page);
    }
}

impl DnsCounters {
    fn collect_requests(&self, page: &mut MetricsPage) {
        let mut requests = page.counter("pharos_dns_requests_total", "Messages received by the DNS listeners.");
        for (at, (proto, family)) in QUERIES.iter().enumerate() {
            requests.sample(&[("proto", proto), ("family", family)], self.sum(QUERY + at));
        }
        let mut durations = page.histogram(
            "pharos_dns_request_duration_seconds",
            "From taking a message to having sent or queued its reply; those of one batch each count with all of it.",
        );
        for transport in Transport::ALL {
            let cell = DURATION + transport as usize * (BUCKETS + 1);
            let buckets = std::array::from_fn(|at| self.sum(cell + at));
            let (proto, _) = QUERIES[2 * transport as usize];
            durations.distribution(&[("proto", proto)], &buckets, self.sum(cell + BUCKETS));
        }
    }

    fn collect_responses(&self, page: &mut MetricsPage) {
        let mut responses = page.counter("pharos_dns_responses_total", "Responses by response code.");
        for (at, (_, rcode)) in RCODES.iter().enumerate() {
            responses.sample(&[("rcode", rcode)], self.sum(RCODE + at));
        }
        responses.sample(&[("rcode", "other")], self.sum(OTHER_RCODE));
        let mut outcomes = page.counter("pharos_dns_outcomes_total", "Responses by outcome.");
        for (at, (_, outcome)) in OUTCOMES.iter().enumerate() {
            outcomes.sample(&[("outcome", outcome)], self.sum(OUTCOME + at));
        }
        let mut vantages = page.counter(
            "pharos_dns_steering_decisions_total",
            "Steered answers by what decided: the subnet of an ECS option, or the resolver's address.",
        );
        for (at, (_, by)) in VANTAGES.iter().enumerate() {
            vantages.sample(&[("by", by)], self.sum(VANTAGE + at));
        }
        page.counter("pharos_dns_truncated_total", "Responses that lack something required (TC).")
            .sample(&[], self.sum(TRUNCATED));
        let mut cookies = page.counter("pharos_dns_cookies_total", "Queries answered by what their cookie proved.");
        for (at, (_, cookie)) in COOKIES.iter().enumerate() {
            cookies.sample(&[("cookie", cookie)], self.sum(COOKIE + at));
        }
        let mut limits = page.counter("pharos_dns_rate_limit_total", "Responses by what rate limiting did to them.");
        for (at, (_, limit)) in LIMITS.iter().enumerate() {
            limits.sample(&[("limit", limit)], self.sum(LIMIT + at));
        }
        limits.sample(&[("limit", "dropped")], self.sum(DROPPED));
        page.counter(
            "pharos_dns_ecs_compared_total",
            "Steered answers by subnet, sampled, by whether the resolver's address leads to the same mirrors.",
        )
        .sample(&[("mirrors", "same")], self.sum(ECS_SAME))
        .sample(&[("mirrors", "different")], self.sum(ECS_DIFFERENT));
    }

    fn collect_losses(&self, page: &mut MetricsPage) {
        let mut lost = page.counter("pharos_dns_lost_total", "Messages without a reply, or whose reply was not sent.");
        for (at, (_, why)) in LOST.iter().enumerate() {
            lost.sample(&[("reason", why)], self.sum(LOSS + at));
        }
        let mut failures = page.counter("pharos_dns_socket_failures_total", "Socket calls that failed.");
        for (at, (_, what)) in FAILURES.iter().enumerate() {
            failures.sample(&[("call", what)], self.sum(FAILURE + at));
        }
        let mut given = page.counter("pharos_dns_transfers_total", "Zones asked for over streams, by how that ended.");
        for (at, (_, how)) in GIVEN.iter().enumerate() {
            given.sample(&[("outcome", how)], self.sum(TRANSFER + at));
        }
    }

    fn collect_connections(&self, page: &mut MetricsPage) {
        page.gauge("pharos_dns_connections", "TCP, TLS and QUIC connections open now.")
            .sample(&[], self.connections.value());
        let mut closed = page.counter(
            "pharos_dns_connections_closed_total",
            "TCP, TLS and QUIC connections by the reason of their end.",
        );
        for (at, (_, how)) in CLOSED.iter().enumerate() {
            closed.sample(&[("reason", how)], self.sum(CLOSE + at));
        }
        page.counter("pharos_dns_connections_refused_total", "Connections over the limit of one client.")
            .sample(&[], self.sum(CLIENT_LIMIT));
    }
}
