//! Dynamic records: a zone with an overlay answers like a master file with all records of both, and a reload keeps the
//! overlay.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected is to fail")]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::generate::{self, Dice};
use common::query::Builder;
use common::show;
use pharos::base::name::NameBuf;
use pharos::base::rr::Rtype;
use pharos::base::time::{Generation, Moment, Now, Ttl};
use pharos::snapshot::{Change, Compiled, Snapshot};
use pharos::wire::{self, MAX_STREAM, Peer, Transport};
use pharos::zone::{DynamicRrSet, Found, RrSetKey, Zone, ZoneSet};
use pharos::{config, live, load};

/// The number of zones.
const ZONES: usize = 120;

fn name(text: &str) -> NameBuf {
    NameBuf::parse(text).unwrap()
}

fn read(apex: &str, text: String) -> Zone {
    let written = format!("[[zone]]\nname = \"{apex}\"\nfile = \"z\"\n");
    let zone = config::read("pharos.toml", &written).unwrap().0.zones.remove(0);
    load::zone::read_text(&zone, Path::new("z"), text.into(), &mut |_| unreachable!()).unwrap().0
}

fn serve(zones: Vec<Zone>) -> Snapshot {
    Snapshot::new(Generation(1), ZoneSet::new(zones), Compiled::default())
}

fn ask(message: &[u8], snapshot: &Snapshot) -> Vec<u8> {
    let mut out = vec![0; MAX_STREAM];
    let peer = Peer { address: [192, 0, 2, 1].into(), transport: Transport::Udp };
    let reply = wire::respond(message, peer, snapshot, Now::default(), &mut out).unwrap();
    out.truncate(reply.len);
    out
}

/// Sets the RRsets of a zone at the place of each as dynamic ones.
fn with_rrsets(snapshot: &Snapshot, apex: &str, text: String) -> Snapshot {
    let zone = read(apex, text);
    let mut snapshot = snapshot.clone();
    for node in zone.nodes() {
        for set in node.rrsets().filter(|set| matches!(set.rtype, Rtype::A | Rtype::AAAA | Rtype::TXT)) {
            let key = RrSetKey::new(name(apex), node.owner().to_owned(), set.rtype).unwrap();
            let rdatas = set.rdatas().map(<[u8]>::to_vec).collect();
            let change =
                Change::Dynamic(Box::new(key.clone()), Some(DynamicRrSet::new(&key, set.ttl, rdatas).unwrap()));
            snapshot = snapshot.after(&change);
        }
    }
    snapshot
}

#[test]
fn a_base_and_an_overlay_answer_as_a_file_with_all_of_their_records() {
    let mut dice = Dice::new(8555);
    let mut asked = 0;
    for zone in generate::zones(ZONES, 8555) {
        let apex = zone.apex.trim_end_matches('.').to_string();
        // A name keeps the case of the record that made it, which may be another record here.
        let text = zone.text().to_ascii_lowercase();
        let (dynamic, fixed): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| {
            let rtype = line.split(' ').nth(1).unwrap_or_default();
            !line.starts_with("ns1.") && ["a", "aaaa", "txt"].contains(&rtype) && dice.once_in(2)
        });
        let head: Vec<&str> =
            fixed.iter().filter(|line| line.starts_with('$') || line.contains(" soa ")).copied().collect();
        let lines = |parts: [&[&str]; 3]| parts.concat().join("\n") + "\n";
        // Records of one RRset keep their order: those of the file, then the dynamic ones.
        let whole = serve(vec![read(&apex, lines([&fixed, &dynamic, &[]]))]);
        let base = serve(vec![read(&apex, lines([&fixed, &[], &[]]))]);
        let server = format!("{} ns ns.elsewhere.invalid.", zone.apex);
        let overlaid = with_rrsets(&base, &apex, lines([&head, &[&server], &dynamic]));
        for (name, rtype) in zone.questions(&mut dice) {
            let message = Builder::new(&name, Rtype(rtype)).edns(1232).finish();
            let (expected, found) = (ask(&message, &whole), ask(&message, &overlaid));
            assert_eq!(
                found,
                expected,
                "{name} {}:\n{}\nnot\n{}",
                Rtype(rtype),
                show::reply(&found),
                show::reply(&expected)
            );
            asked += 1;
        }
    }
    assert!(asked > 10_000, "{asked}");
}

const ZONE: &str = "$TTL 300
@ SOA ns host 7 3600 600 86400 60
@ NS ns
ns A 192.0.2.53
_acme-challenge.alias CNAME elsewhere.invalid.
*.wild TXT any
sub NS ns
";

fn challenge(owner: &str, tokens: &[&str]) -> Change {
    let key = RrSetKey::new(name("blob.example"), name(owner), Rtype::TXT).unwrap();
    let rdatas = tokens.iter().map(|token| [&[token.len() as u8], token.as_bytes()].concat()).collect();
    let set = DynamicRrSet::new(&key, Ttl(0), rdatas).unwrap();
    Change::Dynamic(Box::new(key), Some(set))
}

/// The response without its question and OPT.
fn shown(snapshot: &Snapshot, owner: &str, rtype: Rtype) -> String {
    let reply = show::reply(&ask(&Builder::new(owner, rtype).edns(1232).finish(), snapshot));
    let lines = reply.lines().filter(|line| !line.starts_with("question") && !line.starts_with("opt"));
    lines.map(|line| line.to_string() + "\n").collect()
}

#[test]
fn challenges_are_answered_beside_all_that_a_zone_has() {
    let base = serve(vec![read("blob.example", ZONE.into())]);
    let all = [
        ("_acme-challenge.blob.example", &["one", "two"][..]),
        ("_acme-challenge.none.blob.example", &[]),
        ("_acme-challenge.alias.blob.example", &["hidden"]),
        ("_acme-challenge.wild.blob.example", &["own"]),
        ("_acme-challenge.sub.blob.example", &["delegated"]),
    ];
    let changes = all.map(|(owner, tokens)| challenge(owner, tokens));
    let snapshot = changes.iter().fold(base.clone(), |snapshot, change| snapshot.after(change));
    assert_eq!(snapshot.generation, Generation(6));
    let cases = [
        ("_acme-challenge.blob.example", Rtype::TXT),
        ("_acme-challenge.blob.example", Rtype::A),
        ("_acme-challenge.none.blob.example", Rtype::TXT),
        ("none.blob.example", Rtype::TXT),
        ("_acme-challenge.alias.blob.example", Rtype::TXT),
        ("_acme-challenge.wild.blob.example", Rtype::TXT),
        ("other.wild.blob.example", Rtype::TXT),
        ("_acme-challenge.sub.blob.example", Rtype::TXT),
        ("absent.blob.example", Rtype::TXT),
    ];
    let found: String =
        cases.iter().map(|(owner, rtype)| format!("? {owner} {rtype}\n{}", shown(&snapshot, owner, *rtype))).collect();
    assert_eq!(found, EXPECTED, "{found}");
    // Without its records the zone is the one that it was.
    let removed = all.iter().fold(snapshot, |snapshot, (owner, _)| {
        let key = RrSetKey::new(name("blob.example"), name(owner), Rtype::TXT).unwrap();
        snapshot.after(&Change::Dynamic(Box::new(key), None))
    });
    for (owner, rtype) in cases {
        assert_eq!(shown(&removed, owner, rtype), shown(&base, owner, rtype), "{owner}");
    }
}

const EXPECTED: &str = "\
? _acme-challenge.blob.example TXT
NOERROR qr aa
answer     _acme-challenge.blob.example. 0 IN TXT \"one\"
answer     _acme-challenge.blob.example. 0 IN TXT \"two\"
? _acme-challenge.blob.example A
NOERROR qr aa
authority  blob.example. 0 IN SOA ns.blob.example. host.blob.example. 7 3600 600 86400 60
? _acme-challenge.none.blob.example TXT
NOERROR qr aa
authority  blob.example. 0 IN SOA ns.blob.example. host.blob.example. 7 3600 600 86400 60
? none.blob.example TXT
NOERROR qr aa
authority  blob.example. 60 IN SOA ns.blob.example. host.blob.example. 7 3600 600 86400 60
? _acme-challenge.alias.blob.example TXT
NOERROR qr aa
answer     _acme-challenge.alias.blob.example. 300 IN CNAME elsewhere.invalid.
? _acme-challenge.wild.blob.example TXT
NOERROR qr aa
answer     _acme-challenge.wild.blob.example. 0 IN TXT \"own\"
? other.wild.blob.example TXT
NOERROR qr aa
answer     other.wild.blob.example. 300 IN TXT \"any\"
? _acme-challenge.sub.blob.example TXT
NOERROR qr
authority  sub.blob.example. 300 IN NS ns.blob.example.
additional ns.blob.example. 300 IN A 192.0.2.53
? absent.blob.example TXT
NXDOMAIN qr aa
authority  blob.example. 60 IN SOA ns.blob.example. host.blob.example. 7 3600 600 86400 60
";

#[tokio::test(start_paused = true)]
async fn challenges_outlive_reloads_and_transfers_but_are_no_part_of_a_version() {
    let zone = |serial| read("blob.example", ZONE.replace(" 7 ", &format!(" {serial} ")));
    let (published, updates, publisher) = live::publish(serve(vec![zone(7)]), || Moment(0));
    tokio::spawn(publisher.run());
    let token = || {
        let snapshot = published.load_full();
        shown(&snapshot, "_acme-challenge.blob.example", Rtype::TXT).contains("token")
    };
    let change = challenge("_acme-challenge.blob.example", &["token"]);
    let generation = updates.change_and_wait(change).await.unwrap();
    assert_eq!((generation, token()), (Generation(2), true));
    updates.replace(serve(vec![zone(8)])).await.unwrap();
    assert!(token(), "after a reload");
    updates.replace(serve(Vec::new())).await.unwrap();
    updates.replace(serve(vec![zone(9)])).await.unwrap();
    assert!(token(), "after a time without the zone");
    updates.change_and_wait(Change::Zone(Arc::new(zone(10)))).await.unwrap();
    assert!(token(), "after a transfer");
    let snapshot = published.load_full();
    let owner = name("_acme-challenge.blob.example");
    let (id, served) = snapshot.zones().find(owner.as_name(), &owner.as_name().suffixes()).unwrap();
    let base = snapshot.zones().base(id);
    assert_eq!((served.serial(), base.serial(), snapshot.generation), (10, 10, Generation(6)));
    assert!(matches!(served.find(owner.as_name(), &owner.as_name().suffixes()), Found::Exact(_)));
    assert!(matches!(base.find(owner.as_name(), &owner.as_name().suffixes()), Found::Below { .. }));
    // The history of the base continues: a secondary with serial 9 gets the changes since then.
    assert_eq!(snapshot.zones().history(id).since(9).map(<[_]>::len), Some(1));
}
