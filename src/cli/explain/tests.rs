//! The whole output of `explain` for the fixture's snapshot; `PHAROS_BLESS=1` writes the output to `expected/`.

use serde_json::Value;

use super::*;
use crate::base::name::Name;
use crate::base::time::{Generation, UnixTime};
use crate::cli::expected::{self, assert_both_widths};
use crate::inspect::fixture::{name, parts, snapshot};
use crate::mirror::{Forced, Override, Reason};
use crate::snapshot::Snapshot;

fn explained(snapshot: &Snapshot, name: Name<'_>, client: Prefix, resolver: Option<IpAddr>) -> View {
    describe(snapshot, &ExplainSubject::Name(name.to_owned().into()), client, resolver, ExplainSource::Files)
}

#[track_caller]
fn printed(snapshot: &Snapshot, owner: &str, target: &str, resolver: Option<&str>) -> String {
    let resolver = resolver.map(|text| text.parse().unwrap());
    text::text(&explained(snapshot, name(owner).as_name(), target.parse().unwrap(), resolver), Layout::plain(100))
}

#[track_caller]
fn assert_expected(case: &str, printed: &str) {
    expected::assert_expected("explain/expected", case, printed);
}

#[test]
fn a_subnet_in_a_regional_prefix() {
    assert_expected("regional", &printed(&snapshot(), "blob.example", "15.193.10.0/24", Some("192.0.2.53")));
}

#[test]
fn no_word_is_broken_at_80_and_120_columns() {
    let view = explained(
        &snapshot(),
        name("x.pool.blob.example").as_name(),
        "15.193.8.0/22".parse().unwrap(),
        "192.0.2.53".parse().ok(),
    );
    assert_both_widths("explain/expected", "wide", |layout| text::text(&view, layout));
}

#[test]
fn a_subnet_that_is_too_wide() {
    assert_expected("wide", &printed(&snapshot(), "x.pool.blob.example", "15.193.8.0/22", Some("192.0.2.53")));
}

#[test]
fn a_reserved_subnet() {
    assert_expected("reserved", &printed(&snapshot(), "blob.example", "10.1.2.0/24", Some("203.0.113.9")));
}

#[test]
fn an_address_that_embeds_another() {
    assert_expected("embedded", &printed(&snapshot(), "blob.example", "2002:345e:101::", None));
}

#[test]
fn the_neighbour_is_a_reserved_block() {
    let printed = printed(&snapshot(), "blob.example", "11.0.0.0/24", Some("192.0.2.53"));
    let words = printed.split_whitespace().collect::<Vec<_>>().join(" ");
    let reason = "10.255.255.255, just below, is not: 10.0.0.0/8 is reserved, and clients there are judged by";
    assert!(words.contains(reason), "{printed}");
}

#[test]
fn names_that_are_not_steered() {
    let of = |owner: &str| printed(&snapshot(), owner, "8.8.8.0/24", Some("192.0.2.53"));
    assert_expected("static", &of("static.blob.example"));
    assert_expected("alias", &of("www.blob.example"));
    assert_expected("nxdomain", &of("nope.blob.example"));
    assert_expected("refused", &of("elsewhere.example"));
}

#[test]
fn json_is_complete() {
    let view = explained(&snapshot(), name("blob.example").as_name(), "15.193.10.0/24".parse().unwrap(), None);
    let json: Value = serde_json::to_value(&view).unwrap();
    assert_eq!(json["answers"][0]["type"], "A");
    assert_eq!(json["answers"][0]["answer"][0]["rdata"], "192.0.2.40");
    let steered = &json["steered"];
    assert_eq!(steered["rule"], serde_json::json!({ "rule": 3, "file": "pharos.toml", "line": 33 }));
    assert_eq!(steered["networks"][1]["prefix"], "15.193.10.0/24");
    assert_eq!(steered["networks"][1]["line"], 17);
    assert_eq!(steered["networks"][0]["prefix"], Value::Null);
    assert_eq!(steered["scope"]["length"], 24);
    assert_eq!(steered["scope"]["neighbour"]["address"], "15.193.11.0");
    assert_eq!(steered["mirrors"][0]["A"], "taken");
    assert_eq!(steered["fault"], Value::Null);
    assert_eq!((&json["generation"], &steered["mirrors"][0]["order"]), (&Value::Null, &Value::Null));
    // `explain --server` parses the JSON of the running server.
    let read: View = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), json);
}

#[test]
fn orders_are_told_with_their_reason_and_end() {
    let order = |forced, until| Override {
        forced,
        reason: Reason::parse("new disks").unwrap(),
        who: "uid 0".into(),
        since: UnixTime(1_700_000_000),
        until,
    };
    let orders = [
        ("aws-apne1".into(), order(Forced::Drain, Some(UnixTime(1_700_007_200)))),
        ("aws-use1".into(), order(Forced::Down, None)),
    ];
    let snapshot = snapshot().with_overrides(orders.into());
    let client = "15.193.10.0/24".parse().unwrap();
    let known = ExplainSource::Served { generation: Generation(7), age_secs: 12 };
    let subject = ExplainSubject::Name(name("blob.example").into());
    let view = describe(&snapshot, &subject, client, Some("192.0.2.53".parse().unwrap()), known);
    assert_expected("orders", &text::text(&view, Layout::plain(100)));
    assert_eq!(view.generation, Some(7));
}

#[test]
fn a_table_that_does_not_follow_the_rules_is_called_a_fault() {
    let mut parts = parts();
    parts.laid.sources[1] = crate::networks::SourceBuilder::new("aws", "ip-ranges.json").finish().0.into();
    let printed = printed(&parts.snapshot(), "blob.example", "15.193.10.0/24", Some("192.0.2.53"));
    assert!(printed.contains("FAULT"), "{printed}");
}
