//! Sweep reports: the counts of a right table, and the faults that a sweep finds.
//!
//! **Not here**: explanations ([`super`]).

use super::*;

#[test]
fn a_right_table_has_no_violation_and_all_addresses_are_counted_once() {
    let mut calls = Vec::new();
    let snapshot = snapshot();
    let report = sweep(&snapshot, &mut |progress| calls.push(progress));
    assert_eq!(report.findings.violations, []);
    assert_eq!(
        report.owners.iter().map(|owner| owner.owner.as_name().to_string()).collect::<Vec<_>>(),
        ["blob.example", "*.pool.blob.example"]
    );
    let last = *calls.last().unwrap();
    assert_eq!(last.done, last.total);
    let [horizon] = &report.horizons[..] else { panic!("one horizon") };
    assert_eq!(horizon.ranges, [snapshot.horizons()[0].v4().len(), snapshot.horizons()[0].v6().len()]);
    let v4: Vec<_> = horizon.totals.iter().filter(|total| total.clients == Family::V4).collect();
    assert_eq!(v4.iter().map(|total| total.addresses).sum::<u128>(), 1 << 32);
    let shares: Vec<_> = v4.iter().map(|total| (total.mirror, total.records, total.addresses)).collect();
    // aws-apne1: 133/8 and one /24; aws-use1: one /16.
    let rest = (1 << 32) - (1 << 24) - (1 << 8) - (1 << 16);
    assert_eq!(
        shares,
        [
            (Some(GCP_US), RecordTypes::Both, rest),
            (Some(AWS_APNE1), RecordTypes::Both, (1 << 24) + (1 << 8)),
            (Some(AWS_USE1), RecordTypes::Both, 1 << 16)
        ]
    );
    let aws = ProviderTotal { provider: Some("aws".into()), addresses: 1 << 8 };
    assert_eq!(v4[1].providers, [ProviderTotal { provider: None, addresses: 1 << 24 }, aws]);
}

#[test]
fn an_access_list_for_subnets_does_not_hide_the_tables() {
    let mut parts = parts();
    parts.settings.ecs_from = Some(PrefixSet::new(&[prefix("198.18.0.0/15")]));
    assert_eq!(wrongs(&swept(&parts.snapshot())), []);
}

#[test]
fn a_table_made_of_other_networks_is_caught() {
    let mut parts = parts();
    // A stale feed: the regional prefix inside the global block was lost.
    let (stale, _) = {
        let mut builder = SourceBuilder::new("aws", "ip-ranges.json");
        let source = &parts.networks.sources[1];
        for entry in source.v4().iter().filter(|entry| entry.line != 17) {
            let labels = builder.intern(source.labels(entry.labels));
            builder.add(Prefix::V4(entry.block), labels, entry.line);
        }
        for entry in source.v6() {
            let labels = builder.intern(source.labels(entry.labels));
            builder.add(Prefix::V6(entry.block), labels, entry.line);
        }
        builder.finish()
    };
    let sources = &parts.networks.sources;
    parts.laid = Networks { sources: vec![sources[0].clone(), stale.into(), sources[2].clone()] };
    let snapshot = parts.snapshot();
    let horizon = &snapshot.horizons()[0];
    let report = swept(&snapshot);
    assert_eq!(
        wrongs(&report),
        [Wrong::NotByTheRules {
            address: "15.193.10.0".parse().unwrap(),
            won: Won::Rule(2),
            expected: horizon.plan_of(Won::Rule(2)),
            found: horizon.plan_of(Won::Default),
        }]
    );
    assert_eq!(report.findings.violation_count, 1);
}

#[test]
fn mirrors_without_any_address_are_caught() {
    let mut parts = parts();
    parts.mirrors.iter_mut().for_each(|mirror| (mirror.v4, mirror.v6) = Default::default());
    let snapshot = parts.snapshot();
    let explanation = explained(&snapshot, "blob.example", "192.0.2.53", Some("52.94.1.0/24"));
    let answer = &explanation.answers[0].summary;
    assert_eq!((answer.rcode, answer.basis.outcome), (Rcode::SERVFAIL, Outcome::NotReady));
    let report = swept(&snapshot);
    assert_eq!(wrongs(&report), [Wrong::Rcode(Rcode::SERVFAIL)]);
    // The default covers most of the address space, so there are more violations than the report describes.
    assert_eq!(report.findings.violations[0].range.0, "0.0.0.0".parse::<std::net::IpAddr>().unwrap());
    let of_owners = report.owners.iter().map(|owner| owner.violation_count).sum::<u64>();
    assert_eq!(report.findings.violation_count, of_owners);
}

#[test]
fn rfc7871_s7_4_a_family_that_some_mirrors_have_is_there_for_all_clients() {
    let mut parts = parts();
    for mirror in [AWS_APNE1, GCP_US].map(MirrorId::index) {
        parts.mirrors[mirror].v6.clear();
    }
    let snapshot = parts.snapshot();
    assert_eq!(wrongs(&swept(&snapshot)), []);
    let explanation = explained(&snapshot, "blob.example", "192.0.2.53", Some("8.8.8.0/24"));
    let choices = explanation.answers.into_iter().map(|answer| answer.choice.unwrap());
    let [a, aaaa] = <[_; 2]>::try_from(choices.collect::<Vec<_>>()).unwrap();
    assert_eq!((a.mirrors, a.tier), (vec![GCP_US], Tier::Preferred));
    assert_eq!((aaaa.mirrors, aaaa.tier), (vec![AWS_USE1], Tier::Elsewhere));
}

#[test]
fn a_family_that_no_client_gets_is_not_missed() {
    let mut parts = parts();
    parts.mirrors.iter_mut().for_each(|mirror| mirror.v6.clear());
    let report = swept(&parts.snapshot());
    assert_eq!(wrongs(&report), []);
    assert_eq!(report.horizons[0].totals[0].records, RecordTypes::A);
}

#[test]
fn a_wrong_scope_is_judged_from_the_ranges_alone() {
    use super::ground::{Ground, ScopeVerdict};
    let snapshot = snapshot();
    let ground = Ground::of(&snapshot.horizons()[HorizonId(0).index()]);
    let verdict = |subnet: &str, scope: u8| {
        let named = snapshot.horizons()[HorizonId(0).index()].private();
        ground.judge_scope(&client("192.0.2.53", Some(subnet)).locate(named), ScopePrefixLen(scope), 0)
    };
    let expect = [(ScopeVerdict::TooWide, 23), (ScopeVerdict::Exact, 24), (ScopeVerdict::TooNarrow, 25)];
    for (expected, scope) in expect {
        assert_eq!(verdict("15.193.10.7/32", scope), expected, "/{scope}");
    }
    // 6to4: sixteen bits before the IPv4 address.
    for (expected, scope) in [(ScopeVerdict::TooWide, 39), (ScopeVerdict::Exact, 40), (ScopeVerdict::TooNarrow, 41)] {
        assert_eq!(verdict("2002:fc1:a07::/48", scope), expected, "/{scope}");
    }
    for (expected, scope) in [(ScopeVerdict::TooWide, 7), (ScopeVerdict::Exact, 8), (ScopeVerdict::TooNarrow, 16)] {
        assert_eq!(verdict("10.1.2.0/24", scope), expected, "/{scope}");
    }
}

#[test]
fn ttl_of_a_steered_answer_is_the_owners() {
    let (explanation, _) = steered("8.8.8.0/24");
    assert!(explanation.answers.iter().flat_map(|answer| &answer.answer).all(|record| record.ttl == 60));
}
