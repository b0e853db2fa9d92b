//! Counts of the DNS listeners on the metrics page.

use super::*;
use crate::answer::Basis;
use crate::base::ids::HorizonId;
use crate::base::time::Generation;
use crate::inspect;
use crate::snapshot::Compiled;
use crate::telemetry::render;
use crate::telemetry::served::ServedGauges;
use crate::telemetry::traffic::Traffic;
use crate::zone::ZoneSet;

impl DnsCounters {
    /// The number of messages that got no reply for this reason.
    pub(crate) fn losses(&self, why: LostReply) -> u64 {
        self.sum(|cells| cells.lost.of(why).value())
    }

    /// The number of open connections.
    pub(crate) fn connections(&self) -> u64 {
        self.sum(|cells| cells.connections.value())
    }

    /// The number of connections that ended for this reason.
    pub(crate) fn closures(&self, how: Closed) -> u64 {
        self.sum(|cells| cells.closed.of(how).value())
    }

    /// The number of connections that were refused because their client had as many as it may.
    pub(crate) fn client_limits(&self) -> u64 {
        self.sum(|cells| cells.refused.value())
    }
}

#[test]
fn a_scrape_adds_up_all_writers() {
    let counters = DnsCounters::default();
    let (mut one, mut two, mut tasks) = (counters.own(), counters.own(), counters.shared());
    let udp = Peer { address: "192.0.2.1".parse().unwrap(), transport: Transport::Udp };
    let tcp = Peer { address: "2001:db8::1".parse().unwrap(), transport: Transport::Tcp };
    let summary = |rcode| Summary {
        qtype: None,
        rcode,
        aa: false,
        truncated: true,
        cookie: Cookie::Valid,
        limit: Limit::Slipped,
        ecs: EcsEffect::Different,
        basis: Basis { outcome: Outcome::Refused, zone: None, node: None, steering: None },
        notice: None,
    };
    one.query(&udp);
    two.query(&udp);
    tasks.clone().query(&tcp);
    tasks.closed(Closed::Idle);
    tasks.given(TransferEnd::Cut);
    let snapshot = Snapshot::new(Generation(1), ZoneSet::new(Vec::new()), Compiled::default());
    one.reply(&summary(Rcode::BADVERS), &snapshot);
    two.reply(&summary(Rcode(4095)), &snapshot);
    one.took(Transport::Udp, 3, Duration::from_micros(20));
    two.lost(LostReply::SendFull, 7);
    two.dropped();
    let page = render([&counters as &dyn Collect]);
    for line in [
        "pharos_dns_requests_total{proto=\"udp\",family=\"ipv4\"} 2",
        "pharos_dns_requests_total{proto=\"tcp\",family=\"ipv6\"} 1",
        "pharos_dns_request_duration_seconds_bucket{proto=\"udp\",le=\"0.000016\"} 0",
        "pharos_dns_request_duration_seconds_bucket{proto=\"udp\",le=\"0.000064\"} 3",
        "pharos_dns_request_duration_seconds_sum{proto=\"udp\"} 0.000060",
        "pharos_dns_responses_total{rcode=\"BADVERS\"} 1",
        "pharos_dns_responses_total{rcode=\"other\"} 1",
        "pharos_dns_outcomes_total{outcome=\"refused\"} 2",
        "pharos_dns_truncated_total 2",
        "pharos_dns_cookies_total{cookie=\"valid\"} 2",
        "pharos_dns_rate_limit_total{limit=\"slipped\"} 2",
        "pharos_dns_rate_limit_total{limit=\"dropped\"} 1",
        "pharos_dns_ecs_compared_total{mirrors=\"different\"} 2",
        "pharos_dns_lost_total{reason=\"send-full\"} 7",
        "pharos_dns_transfers_total{outcome=\"cut\"} 1",
        "pharos_dns_connections_closed_total{reason=\"idle\"} 1",
    ] {
        assert!(page.lines().any(|other| other == line), "{line} is not in\n{page}");
    }
    assert_eq!(counters.queries(), 3);
}

#[test]
fn one_answer_in_64_is_attributed_to_the_region_of_its_client() {
    let snapshot = Arc::new(inspect::fixture::snapshot());
    let counters = Arc::new(DnsCounters::default());
    let (mut thread, mut tasks) = (counters.own(), counters.shared());
    let summary = |subnet| {
        let horizon = HorizonId(0);
        let decision = snapshot.decide(horizon, &inspect::fixture::client("192.0.2.1", Some(subnet)));
        let steering = Some(Steering { horizon, family: Family::V4, decision });
        Summary {
            qtype: None,
            rcode: Rcode::NOERROR,
            aa: true,
            truncated: false,
            cookie: Cookie::None,
            limit: Limit::Off,
            ecs: EcsEffect::NotCompared,
            basis: Basis { outcome: Outcome::Answer, zone: None, node: None, steering },
            notice: None,
        }
    };
    (0..64 + 63).for_each(|_| thread.reply(&summary("52.94.7.0/24"), &snapshot));
    (0..64).for_each(|_| tasks.reply(&summary("52.94.7.0/24"), &snapshot));
    (0..63).for_each(|_| tasks.reply(&summary("15.193.10.0/24"), &snapshot));
    tasks.reply(&summary("9.9.9.0/24"), &snapshot);
    let traffic = Traffic { dns: counters.clone(), http: None };
    let page = render([&ServedGauges { source: || (snapshot.clone(), 0_u64), traffic } as &dyn Collect]);
    let shown: Vec<_> = page.lines().filter(|line| line.starts_with("pharos_dns_clients_total")).collect();
    assert_eq!(
        shown,
        [
            "pharos_dns_clients_total{provider=\"\",region=\"\"} 64",
            "pharos_dns_clients_total{provider=\"aws\",region=\"us-east-1\"} 128",
        ]
    );
}
