//! Explanations and sweep reports of a snapshot small enough to compute the expected values by hand.

mod sweep;

use super::explain::MirrorVerdict;
use super::fixture::{AWS_APNE1, AWS_USE1, GCP_US, client, name, parts, snapshot};
use super::reason::Side;
use super::tally::RecordTypes;
use super::view::AddressView;
use super::*;
use crate::answer::Outcome;
use crate::base::client::ScopePrefixLen;
use crate::base::geo::Coordinates;
use crate::base::ids::{HorizonId, MirrorId};
use crate::base::prefix::{Family, Prefix, PrefixSet};
use crate::base::rr::{Rcode, Rtype};
use crate::base::time::{Ttl, UnixTime};
use crate::mirror::{Addressing, Health, Mirror, Standing};
use crate::networks::{LabelKind, Labels, Networks, SourceBuilder};
use crate::snapshot::{Change, Snapshot};
use crate::steer::{AnswerMirrors, Ranking, Tier, Weights, Won};

fn explained(snapshot: &Snapshot, owner: &str, resolver: &str, subnet: Option<&str>) -> Explanation {
    explain(snapshot, name(owner).as_name(), client(resolver, subnet))
}

fn steered(subnet: &str) -> (Explanation, SteeredExplanation) {
    let explanation = explained(&snapshot(), "blob.example", "192.0.2.53", Some(subnet));
    let steered = explanation.steered.clone().unwrap();
    (explanation, steered)
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

#[test]
fn the_answer_is_the_one_that_is_served() {
    let (explanation, steered) = steered("52.94.7.0/24");
    let records = |index: usize| {
        let records = explanation.answers[index].answer.iter();
        records.map(|record| (&*record.rtype, record.ttl, &*record.rdata)).collect::<Vec<_>>()
    };
    assert_eq!(records(0), [("A", 60, "192.0.2.10"), ("A", 60, "192.0.2.11")]);
    assert_eq!(records(1), [("AAAA", 60, "2001:db8:a::10")]);
    assert_eq!(explanation.answers[0].answer[0].owner, "blob.example");
    let scopes: Vec<_> = explanation.answers.iter().map(|answer| answer.scope).collect();
    assert_eq!(scopes, [Some(ScopePrefixLen(16)); 2]);
    assert_eq!((explanation.hearing, steered.judged), (Hearing::Heard, Judged::BySubnet));
    assert_eq!((steered.won, steered.shares.len()), (Won::Rule(1), 1));
}

#[test]
fn each_sources_entry_and_the_limiting_neighbour_are_named() {
    let (_, steered) = steered("15.193.10.0/24");
    let entries: Vec<_> = steered.entries.iter().map(|entry| entry.map(|entry| (entry.prefix, entry.line))).collect();
    assert_eq!(entries, [None, Some((prefix("15.193.10.0/24"), 17)), None]);
    assert_eq!(steered.won, Won::Rule(2));
    let ScopeReason::Neighbour { neighbour, offset: 0 } = steered.reason else { panic!("{:?}", steered.reason) };
    // 15.193.11.0 is in the same /23, so the scope is /24. It is in the global block, which no rule matches.
    assert_eq!((neighbour.side, neighbour.address), (Side::Above, "15.193.11.0".parse().unwrap()));
    assert_eq!((neighbour.common, neighbour.won, neighbour.apart), (23, Won::Default, None));
    assert_eq!(neighbour.entries[1].unwrap().line, 12);
    assert_eq!(steered.stretch, ("15.193.10.0".parse().unwrap(), "15.193.10.255".parse().unwrap()));
}

#[test]
fn mirrors_are_tried_in_order_and_health_says_why_not() {
    let tried = |snapshot: &Snapshot| {
        let steered = explained(snapshot, "blob.example", "192.0.2.53", Some("15.193.10.0/24")).steered.unwrap();
        let tried = |candidate: &Candidate| (candidate.mirror, candidate.tier, candidate.verdicts[0]);
        steered.candidates.iter().map(tried).collect::<Vec<_>>()
    };
    let up = snapshot();
    assert_eq!(
        tried(&up),
        [
            (AWS_APNE1, Tier::Preferred, MirrorVerdict::Taken),
            (AWS_USE1, Tier::Fallback, MirrorVerdict::NotNeeded),
            (GCP_US, Tier::Default, MirrorVerdict::NotNeeded)
        ]
    );
    let with = |snapshot: &Snapshot, id: MirrorId, health| {
        let mirror = &snapshot.mirrors()[id.index()];
        snapshot.after(&Change::standing(mirror, &Standing::all(mirror, health)))
    };
    let bad = with(&with(&up, AWS_APNE1, Health::Down), AWS_USE1, Health::Bad);
    assert_eq!(
        tried(&bad),
        [
            (AWS_APNE1, Tier::Preferred, MirrorVerdict::Down),
            (AWS_USE1, Tier::Fallback, MirrorVerdict::Bad),
            (GCP_US, Tier::Default, MirrorVerdict::Taken)
        ]
    );
}

#[test]
fn an_answer_holds_until_a_mirror_that_has_a_say_may_change() {
    // The first of three mirrors may change in 7 s, the second in 5, the third, which is the default's, in 3.
    let ttl = |answer_mirrors: u8, health: [Health; 3]| {
        let mut parts = parts();
        parts.answer_mirrors = AnswerMirrors::new(answer_mirrors).unwrap();
        parts.rules[1].mirrors = vec![AWS_USE1, AWS_APNE1];
        let stable = [7, 5, 3];
        let standing = |mirror: &Mirror| {
            let at = ["aws-use1", "aws-apne1", "gcp-us"].iter().position(|name| **name == *mirror.name)?;
            let mut standing = Standing::all(mirror, health[at]);
            standing.v4.iter_mut().for_each(|address| address.stable_secs = Some(stable[at]));
            Some(standing)
        };
        let snapshot = parts.snapshot().with_standings(standing);
        let explanation = explained(&snapshot, "blob.example", "192.0.2.53", Some("52.94.7.0/24"));
        explanation.answers[0].answer[0].ttl
    };
    use Health::{Down, Up};
    assert_eq!(ttl(1, [Up, Up, Up]), 7);
    // The second may go, and the first come back.
    assert_eq!(ttl(1, [Down, Up, Up]), 5);
    assert_eq!(ttl(2, [Up, Up, Up]), 5);
    // There is room for the second, which may come back; the default has no say while one of the rule's is up.
    assert_eq!(ttl(2, [Up, Down, Up]), 5);
    assert_eq!(ttl(1, [Down, Down, Up]), 3);
    assert_eq!(ttl(8, [Down, Down, Up]), 3);
}

/// Clients in Japan are spread over two mirrors, three to one.
fn spread() -> Snapshot {
    let mut parts = parts();
    parts.rules[3].mirrors = vec![AWS_APNE1, GCP_US];
    parts.rules[3].ranking = Ranking::Weighted(Weights::new([("aws-apne1", 3), ("gcp-us", 1)]));
    parts.snapshot()
}

#[test]
fn a_share_by_weight_is_told_by_its_slot() {
    let snapshot = spread();
    let told = |subnet: &str| {
        let explanation = explained(&snapshot, "blob.example", "192.0.2.53", Some(subnet));
        let steered = explanation.steered.unwrap();
        let candidates: Vec<_> = steered.candidates.iter().map(|one| (one.mirror, one.slots)).collect();
        assert_eq!(steered.by_the_rules, snapshot.horizons()[0].head(steered.decision.plan));
        (steered.won, steered.slot.unwrap(), candidates, steered.reason, steered.decision.scope.0)
    };
    let (won, slot, candidates, reason, scope) = told("133.5.1.0/24");
    assert_eq!((won, slot.block, scope), (Won::Rule(3), prefix("133.5.0.0/16"), 16));
    assert_eq!(reason, ScopeReason::Spread { least: 16, offset: 0 });
    let mut by_mirror = candidates.clone();
    by_mirror.sort_unstable();
    assert_eq!(by_mirror, [(AWS_APNE1, Some(192)), (GCP_US, Some(64))]);
    // Another block has another slot. If that slot belongs to the other mirror, that mirror is tried first.
    let firsts: std::collections::BTreeSet<_> = (0..32).map(|at| told(&format!("133.{at}.1.0/24")).2[0].0).collect();
    assert_eq!(firsts, [AWS_APNE1, GCP_US].into());
    // A client of another rule has no slot.
    let other = explained(&snapshot, "blob.example", "192.0.2.53", Some("52.94.1.0/24")).steered.unwrap();
    assert_eq!((other.slot, other.candidates[0].slots), (None, None));
}

#[test]
fn a_sweep_of_shares_by_weight_finds_them_true_and_counts_them() {
    let snapshot = spread();
    let report = swept(&snapshot);
    assert_eq!(report.findings.violations, []);
    let of = |mirror| {
        let totals = report.horizons[0].totals.iter();
        let mut own = totals.filter(|total| (total.clients, total.mirror) == (Family::V4, Some(mirror)));
        own.next().unwrap().addresses
    };
    // Three quarters of 133.0.0.0/8, beside 15.193.10.0/24.
    assert_eq!(of(AWS_APNE1), (1 << 24) / 4 * 3 + 256);
    let unweighted = swept(&parts().snapshot());
    assert!(report.findings.replies > unweighted.findings.replies, "blocks inside of the range are asked for too");
}

#[test]
fn mirrors_by_distance_are_told_with_kilometres() {
    let at = |north, east| Coordinates::from_degrees(north, east).unwrap();
    let mut parts = parts();
    let mut source = SourceBuilder::new("city", "city.mmdb");
    // Osaka and Sapporo; the third prefix has no coordinates.
    for (prefix, coordinates) in
        [("133.1.0.0/16", Some(at(34.69, 135.5))), ("133.2.0.0/16", Some(at(43.06, 141.35))), ("133.3.0.0/16", None)]
    {
        let labels = source.intern(Labels::of(LabelKind::Country, "JP").at(coordinates));
        source.add(prefix.parse().unwrap(), labels, 0);
    }
    parts.networks = Networks { sources: vec![source.finish().0.into()] };
    parts.laid = parts.networks.clone();
    parts.rules.drain(..3);
    // Ashburn, then Tokyo.
    parts.rules[0].mirrors = vec![AWS_USE1, AWS_APNE1];
    parts.rules[0].ranking = Ranking::Nearest(vec![at(39.04, -77.49), at(35.68, 139.69)]);
    let snapshot = parts.snapshot();
    let told = |subnet: &str| {
        let steered = explained(&snapshot, "blob.example", "192.0.2.53", Some(subnet)).steered.unwrap();
        assert_eq!(steered.by_the_rules, steered.decision.plan);
        steered.candidates.iter().map(|one| (one.mirror, one.distance.map(|far| far.0))).collect::<Vec<_>>()
    };
    assert_eq!(told("133.1.1.0/24"), [(AWS_APNE1, Some(396)), (AWS_USE1, Some(11_142)), (GCP_US, None)]);
    assert_eq!(told("133.2.1.0/24"), [(AWS_APNE1, Some(833)), (AWS_USE1, Some(10_084)), (GCP_US, None)]);
    assert_eq!(told("133.3.1.0/24"), [(AWS_USE1, None), (AWS_APNE1, None), (GCP_US, None)]);
    assert_eq!(swept(&snapshot).findings.violations, []);
}

#[test]
fn the_address_that_was_looked_at_is_told() {
    let judged = |resolver: &str, subnet: Option<&str>| {
        let steered = explained(&snapshot(), "blob.example", resolver, subnet).steered.unwrap();
        (steered.judged, steered.decision.location.address.to_string(), steered.decision.scope.0, steered.embedded_in)
    };
    let resolver = "203.0.113.9";
    assert_eq!(judged(resolver, None), (Judged::NoSubnet, resolver.into(), 0, None));
    assert_eq!(judged(resolver, Some("0.0.0.0/0")), (Judged::SourceZero, resolver.into(), 0, None));
    let reserved = Judged::Reserved(prefix("10.0.0.0/8"));
    assert_eq!(judged(resolver, Some("10.1.2.0/24")), (reserved, resolver.into(), 8, None));
    let sixtofour = Some(prefix("2002::/16"));
    assert_eq!(judged(resolver, Some("2002:345e:101::/48")), (Judged::BySubnet, "52.94.1.1".into(), 32, sixtofour));
    assert_eq!(
        judged("::ffff:203.0.113.9", None),
        (Judged::NoSubnet, resolver.into(), 0, Some(prefix("::ffff:0:0/96")))
    );
}

#[test]
fn a_resolver_that_is_not_listened_to_is_judged_by_its_own_address() {
    let mut parts = parts();
    parts.settings.ecs_from = Some(PrefixSet::new(&[prefix("192.0.2.0/24")]));
    let snapshot = parts.snapshot();
    let explanation = explained(&snapshot, "blob.example", "203.0.113.9", Some("52.94.1.0/24"));
    assert_eq!(explanation.hearing, Hearing::Ignored);
    assert_eq!(explanation.steered.unwrap().judged, Judged::NoSubnet);
    assert_eq!(explanation.answers[0].scope, Some(ScopePrefixLen(0)));
}

#[test]
fn a_wide_subnet_is_told_by_its_shares() {
    let (explanation, steered) = steered("15.193.8.0/22");
    // A quarter of it is the regional prefix; the rest is in the global block, which no rule matches.
    let shares: Vec<_> = steered.shares.iter().map(|share| (share.part, share.won)).collect();
    assert_eq!(shares, [(0.75, Won::Default), (0.25, Won::Rule(2))]);
    assert_eq!(steered.won, Won::Default);
    assert_eq!(explanation.answers[0].scope, Some(ScopePrefixLen(23)));
    assert_eq!(explanation.answers[0].choice.as_ref().unwrap().mirrors, [GCP_US]);
}

#[test]
fn names_that_are_not_steered_have_their_static_answer() {
    let basis = |owner: &str| {
        let explanation = explained(&snapshot(), owner, "192.0.2.53", Some("52.94.1.0/24"));
        let answer = &explanation.answers[0];
        let records: Vec<_> = answer.answer.iter().map(|record| record.rdata.clone()).collect();
        (answer.summary.basis.outcome, records, answer.scope.unwrap().0, explanation.steered.is_some())
    };
    assert_eq!(basis("static.blob.example"), (Outcome::Answer, vec!["192.0.2.99".into()], 0, false));
    assert_eq!(basis("txt.blob.example"), (Outcome::NoData, vec![], 0, false));
    assert_eq!(basis("nope.blob.example"), (Outcome::NxDomain, vec![], 0, false));
    assert_eq!(basis("www.blob.example"), (Outcome::Alias, vec!["blob.example.".into()], 0, false));
    assert_eq!(basis("elsewhere.example"), (Outcome::Refused, vec![], 0, false));
    assert_eq!(basis("x.pool.blob.example").0, Outcome::Steered);
}

#[test]
fn an_https_record_that_goes_with_the_addresses_is_explained_and_swept() {
    let explanation = explained(&snapshot(), "x.pool.blob.example", "192.0.2.53", Some("15.193.10.0/24"));
    let service = &explanation.answers[2];
    assert_eq!((service.rtype, service.scope), (Rtype::HTTPS, Some(ScopePrefixLen(24))));
    assert_eq!(service.summary.basis.outcome, Outcome::Steered);
    assert_eq!(service.choice.as_ref().unwrap().mirrors, [AWS_APNE1]);
    assert_eq!(service.answer[0].rdata, "1 . alpn=h2 ipv4hint=192.0.2.40 ipv6hint=2001:db8:a::40");
    assert!(explained(&snapshot(), "blob.example", "192.0.2.53", None).answers.len() == 2);
    // A third type at one of two owners.
    let report = swept(&snapshot());
    assert_eq!((report.findings.violation_count, report.owners[1].replies), (0, report.owners[0].replies / 2 * 3));
}

#[test]
fn what_is_said_of_a_last_resort_is_true_of_what_is_given() {
    let why = |healths: [Health; 3]| {
        let snapshot = snapshot();
        let stand = |snapshot: Snapshot, (mirror, health): (Mirror, Health)| {
            snapshot.after(&Change::standing(&mirror, &Standing::all(&mirror, health)))
        };
        let mirrors = snapshot.mirrors().to_vec();
        let snapshot = mirrors.into_iter().zip(healths).fold(snapshot, stand);
        let explanation = explained(&snapshot, "blob.example", "192.0.2.53", Some("52.94.7.0/24"));
        words::why_answer(&snapshot, &explanation, &explanation.answers[0])
    };
    // Of a plan of the first and the third, the first is only drained; then another mirror helps out.
    for healths in [[Health::Drained, Health::Bad, Health::Bad], [Health::Bad, Health::Missing, Health::Bad]] {
        let why = why(healths);
        assert!(
            why.ends_with("no mirror of the horizon is up; the least bad is given, since an empty answer is worse"),
            "{why}"
        );
    }
    assert!(why([Health::Down; 3]).ends_with("as if our own network failed; those that are down are given"));
}

#[test]
fn a_sweep_knows_that_answers_live_no_longer_than_what_is_known_of_a_host() {
    let mut parts = parts();
    let gcp = &mut parts.mirrors[GCP_US.index()];
    gcp.host = Some("lb.example".into());
    gcp.addressing = Addressing::Resolved { at: Some(UnixTime(1)), ttl: Ttl(20) };
    let snapshot = parts.snapshot();
    let (default, aws) = (Some("9.9.9.0/24"), Some("52.94.7.0/24"));
    let ttl = |subnet| explained(&snapshot, "blob.example", "192.0.2.53", subnet).answers[0].answer[0].ttl;
    assert_eq!((ttl(default), ttl(aws)), (20, 60));
    assert_eq!(swept(&snapshot).findings.violations, []);
}

fn swept(snapshot: &Snapshot) -> Report {
    sweep(snapshot, &mut |_| {})
}

fn wrongs(report: &Report) -> Vec<Wrong> {
    let mut wrongs: Vec<Wrong> = Vec::new();
    for violation in &report.findings.violations {
        if !wrongs.contains(&violation.wrong) {
            wrongs.push(violation.wrong.clone());
        }
    }
    wrongs
}

#[test]
fn a_verdict_on_an_address_that_is_up_has_no_time() {
    let view = |health: &'static str, verdict: &'static str, against| AddressView {
        address: "192.0.2.10".into(),
        health: health.into(),
        verdict: Some(verdict.into()),
        protocols: Default::default(),
        since: Some("2026-01-31T18:00:00Z".into()),
        reason: None,
        remedy: None,
        certificate_ends: None,
        against,
        servers: against.map(|_| 4),
    };
    assert_eq!(words::trouble(&view("up", "expiring", None)), "192.0.2.10 expiring");
    assert_eq!(words::trouble(&view("bad", "tls-bad", None)), "192.0.2.10 tls-bad since 2026-01-31T18:00:00Z");
    assert_eq!(
        words::trouble(&view("up", "unreachable", Some(1))),
        "192.0.2.10 unreachable since 2026-01-31T18:00:00Z; seen as not up by 1 of 4 servers, so it is up"
    );
}
