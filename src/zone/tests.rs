//! Lookups in a zone, and its problems: facts, and a tree of names as oracle.

mod steered;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::base::diagnostic::Severity;
use crate::base::ids::{ServiceId, ZoneId};
use crate::base::name::name;

fn wire(text: &str) -> Vec<u8> {
    name(text).as_name().as_wire().to_vec()
}

/// Rdata from text, for the types the tests need.
fn rdata(rtype: Rtype, text: &str) -> Vec<u8> {
    match rtype {
        Rtype::A => text.parse::<std::net::Ipv4Addr>().unwrap().octets().to_vec(),
        Rtype::AAAA => text.parse::<std::net::Ipv6Addr>().unwrap().octets().to_vec(),
        Rtype::MX => [&[0, 10][..], &wire(text)].concat(),
        Rtype::SRV => [&[0, 1, 0, 1, 1, 187][..], &wire(text)].concat(),
        Rtype::TXT => [&[text.len() as u8], text.as_bytes()].concat(),
        Rtype::SOA => {
            let numbers = [7, 7200, 3600, 1_209_600, 300u32].map(u32::to_be_bytes).concat();
            [wire(text), wire("hostmaster.example"), numbers].concat()
        }
        _ => wire(text),
    }
}

/// A builder with records written as `owner type rdata`, tagged by their place in the list, and all of TTL 3600.
fn builder(apex: &str, records: &[&str]) -> ZoneBuilder {
    let mut builder = ZoneBuilder::new(name(apex));
    for (record, tag) in records.iter().zip(0..) {
        let [owner, rtype, data] = record.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let rtype: Rtype = rtype.parse().unwrap();
        builder.add(name(owner).as_name(), rtype, Ttl(3600), &rdata(rtype, data), tag).unwrap();
    }
    builder
}

/// A zone `example` with SOA and NS (tags 0 and 1) and more records.
fn example(more: &[&str]) -> ZoneBuilder {
    builder("example", &[&["example SOA ns.other", "example NS ns.other"], more].concat())
}

fn find(zone: &Zone, text: &str) -> Found {
    let name = name(text);
    zone.find(name.as_name(), &name.as_name().suffixes())
}

/// The found name and wildcard as text.
fn shown(zone: &Zone, text: &str) -> String {
    let show = |id| zone.node(id).owner().to_string();
    match find(zone, text) {
        Found::Exact(id) => show(id),
        Found::Below { encloser, wildcard: None } => format!("below {}", show(encloser)),
        Found::Below { encloser, wildcard: Some(id) } => format!("below {}, {}", show(encloser), show(id)),
    }
}

#[test]
fn an_rrset_stands_ready_for_a_message() {
    let zone = example(&["www.example A 192.0.2.1", "www.example A 192.0.2.2", "WWW.example A 192.0.2.1"]);
    let (zone, problems) = zone.finish().unwrap();
    assert_eq!(problems, []);
    let Found::Exact(id) = find(&zone, "wWw.Example") else { panic!("www exists") };
    let set = zone.node(id).rrset(Rtype::A).unwrap();
    assert_eq!((set.count(), set.ttl), (2, Ttl(3600)));
    let record = |last| [0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 192, 0, 2, last];
    assert_eq!(set.wire(), [record(1), record(2)].concat());
    assert_eq!(set.rdatas().collect::<Vec<_>>(), [[192, 0, 2, 1], [192, 0, 2, 2]]);
    assert!(zone.node(id).rrset(Rtype::AAAA).is_none());
}

#[test]
fn negative_answers_live_no_longer_than_the_minimum() {
    let (zone, _) = example(&[]).finish().unwrap();
    assert_eq!(zone.serial(), 7);
    assert_eq!(zone.soa().ttl, Ttl(3600));
    let negative = zone.negative_soa().rrset();
    assert_eq!((negative.ttl, negative.count()), (Ttl(300), 1));
    assert_eq!(negative.wire()[6..10], 300u32.to_be_bytes());
    assert_eq!(negative.wire()[10..], zone.soa().wire()[10..]);
}

#[test]
fn rfc4592_s2_2_1_the_closest_encloser_and_its_wildcard_are_found() {
    let (zone, _) = example(&[
        "*.example TXT any",
        "sub.*.example TXT odd",
        "host1.example A 192.0.2.1",
        "_ssh._tcp.host1.example SRV host1.example",
        "_ssh._tcp.host2.example SRV host1.example",
    ])
    .finish()
    .unwrap();
    for (asked, found) in [
        ("host3.example", "below example, *.example"),
        ("foo.bar.example", "below example, *.example"),
        ("host1.example", "host1.example"),
        ("sub.*.example", "sub.*.example"),
        ("_telnet._tcp.host1.example", "below _tcp.host1.example"),
        ("host2.example", "host2.example"),
        ("ghost.*.example", "below *.example"),
        ("example", "example"),
    ] {
        assert_eq!(shown(&zone, asked), found, "{asked}");
    }
    assert!(zone.node_of(name("host2.example").as_name()).unwrap().is_empty());
}

/// The codes of problems with the tags of the records at fault, or `-`, warnings after `~`.
fn codes(builder: ZoneBuilder) -> Vec<String> {
    let problems = match builder.finish() {
        Ok((_, warnings)) => warnings,
        Err(problems) => problems,
    };
    let tag = |problem: &ZoneProblem| problem.tag.map_or("-".into(), |tag| tag.to_string());
    let mark = |problem: &ZoneProblem| if problem.fault.severity() == Severity::Warning { "~" } else { "" };
    problems.iter().map(|problem| format!("{}{} {}", mark(problem), problem.fault.as_str(), tag(problem))).collect()
}

#[test]
fn a_zone_needs_one_soa_and_a_name_server_at_its_apex() {
    assert_eq!(codes(builder("example", &["www.example A 192.0.2.1"])), ["no-soa -", "no-ns -"]);
    assert_eq!(codes(example(&["example SOA other.other"])), ["several-soas 2"]);
    assert_eq!(codes(example(&["example SOA ns.other", "sub.example SOA ns.other"])), ["soa-below-apex 3"]);
    assert!(codes(example(&[])).is_empty());
}

#[test]
fn what_cannot_be_in_a_zone_is_refused_at_once() {
    let mut builder = example(&[]);
    let mut add = |owner: &str, rtype, rdata: &[u8]| builder.add(name(owner).as_name(), rtype, Ttl(1), rdata, 9);
    assert_eq!(add("other", Rtype::A, &[0; 4]), Err(AddError::OutOfZone));
    assert_eq!(add("notexample", Rtype::A, &[0; 4]), Err(AddError::OutOfZone));
    assert_eq!(add("example", Rtype::ANY, &[]), Err(AddError::MetaType));
    assert_eq!(add("example", Rtype(0), &[]), Err(AddError::MetaType));
    assert_eq!(add("example", Rtype::A, &[0; 5]), Err(AddError::BadRdata));
    assert_eq!(add("example", Rtype::MX, b"\0\x0a\xc0\x0c"), Err(AddError::BadRdata));
    assert_eq!(add("example", Rtype::SOA, &[0; 21]), Err(AddError::BadRdata));
    assert_eq!(add("example", Rtype::TXT, &[0; 65_500]), Err(AddError::TooLong));
    assert_eq!(add("example", Rtype(65_280), &[]), Ok(()));
}

#[test]
fn an_rrset_is_no_longer_than_an_answer() {
    let mut builder = example(&[]);
    for tag in 0..5000u32 {
        builder.add(name("a.example").as_name(), Rtype::A, Ttl(1), &tag.to_be_bytes(), tag).unwrap();
    }
    assert_eq!(codes(builder), ["rrset-too-long 0"]);
}

#[test]
fn the_least_ttl_is_that_of_the_set() {
    let mut builder = example(&["a.example A 192.0.2.1"]);
    builder.add(name("a.example").as_name(), Rtype::A, Ttl(60), &[192, 0, 2, 2], 7).unwrap();
    let (zone, problems) = builder.finish().unwrap();
    assert_eq!(problems.iter().map(|problem| problem.fault.as_str()).collect::<Vec<_>>(), ["ttls-differ"]);
    let set = zone.node_of(name("a.example").as_name()).unwrap().rrset(Rtype::A).unwrap();
    assert_eq!(set.ttl, Ttl(60));
    assert_eq!([&set.wire()[6..10], &set.wire()[22..26]], [60u32.to_be_bytes(); 2]);
}

#[test]
fn glue_belongs_below_a_cut_and_nothing_else() {
    let zone = example(&[
        "sub.example NS ns.sub.example",
        "ns.sub.example A 192.0.2.1",
        "sub.example DS xxxxxxxx",
        "deep.sub.example NS ns.deep.sub.example",
        "www.sub.example A 192.0.2.2",
    ]);
    assert_eq!(codes(zone), ["~occluded 5", "~occluded 6"]);
    assert_eq!(codes(example(&["sub.example NS ns.sub.example"])), ["~missing-glue 2"]);
    // A sibling's glue is found by asking the sibling.
    assert_eq!(codes(example(&["a.example NS ns.b.example", "b.example NS ns.other"])), [""; 0]);
}

#[test]
fn zones_are_found_by_the_longest_apex() {
    let zone = |apex: &str| {
        builder(apex, &[&format!("{apex} SOA ns.other"), &format!("{apex} NS ns.other")]).finish().unwrap().0
    };
    let set = ZoneSet::new(vec![zone("example"), zone("sub.example"), zone("other.net")]);
    let find = |text: &str| {
        let name = name(text);
        set.find(name.as_name(), &name.as_name().suffixes()).map(|(id, zone)| (id, zone.apex().to_string()))
    };
    assert_eq!(find("www.example"), Some((ZoneId(0), "example".into())));
    assert_eq!(find("A.SUB.Example"), Some((ZoneId(1), "sub.example".into())));
    assert_eq!(find("sub.example"), Some((ZoneId(1), "sub.example".into())));
    assert_eq!(find("net"), None);
    assert_eq!(find("."), None);
    let parent = |text: &str| {
        let name = name(text);
        set.find_parent_side(name.as_name(), &name.as_name().suffixes()).map(|(id, _)| id)
    };
    assert_eq!(parent("sub.example"), Some(ZoneId(0)));
    assert_eq!(parent("x.sub.example"), Some(ZoneId(1)));
    assert_eq!(parent("other.net"), Some(ZoneId(2)));
    assert_eq!(parent("nowhere"), None);
    let with_root = ZoneSet::new(vec![zone("."), zone("example")]);
    let (root, name) = (Name::ROOT.suffixes(), name("net"));
    assert_eq!(with_root.find(Name::ROOT, &root).unwrap().0, ZoneId(0));
    assert_eq!(with_root.find_parent_side(Name::ROOT, &root).unwrap().0, ZoneId(0));
    assert_eq!(with_root.find(name.as_name(), &name.as_name().suffixes()).unwrap().0, ZoneId(0));
    assert_eq!((with_root.len(), with_root.is_empty(), ZoneSet::new(vec![]).is_empty()), (2, false, true));
}

/// A name below the apex as labels from the apex downwards, in lower case.
type Path = Vec<String>;

/// The same zone as a tree: every existing name with its types, by path.
struct Oracle(BTreeMap<Path, BTreeSet<u16>>);

impl Oracle {
    fn new(records: &[(Path, Rtype)]) -> Self {
        let mut tree = BTreeMap::from([(vec![], BTreeSet::from([Rtype::SOA.0, Rtype::NS.0]))]);
        for (path, rtype) in records {
            let lower: Path = path.iter().map(|label| label.to_lowercase()).collect();
            for len in 0..=lower.len() {
                tree.entry(lower[..len].to_vec()).or_default();
            }
            tree.entry(lower).or_default().insert(rtype.0);
        }
        Oracle(tree)
    }

    fn has(&self, path: &[String], rtype: Rtype) -> bool {
        self.0.get(path).is_some_and(|types| types.contains(&rtype.0))
    }

    /// The delegation or DNAME that comes first on the way down to a node.
    fn occluder(&self, path: &[String]) -> (Option<String>, Option<String>) {
        for len in 0..=path.len() {
            let above = &path[..len];
            if len > 0 && self.has(above, Rtype::NS) {
                return (Some(text(above)), None);
            }
            if len < path.len() && self.has(above, Rtype::DNAME) {
                return (None, Some(text(above)));
            }
        }
        (None, None)
    }

    fn find(&self, path: &[String]) -> (String, Option<String>) {
        if self.0.contains_key(path) {
            return (text(path), None);
        }
        let len = (0..path.len()).rev().find(|len| self.0.contains_key(&path[..*len])).unwrap();
        let wildcard = [&path[..len], &["*".to_string()]].concat();
        (format!("below {}", text(&path[..len])), self.0.contains_key(&wildcard).then(|| text(&wildcard)))
    }
}

fn text(path: &[String]) -> String {
    path.iter().rev().map(|label| format!("{label}.")).collect::<String>() + "example"
}

fn paths() -> impl Strategy<Value = Path> {
    let label = prop::sample::select(vec!["a", "b", "c", "A", "*", "bb", "longer-label-of-more-than-8"]);
    let path = || prop::collection::vec(label.clone().prop_map(String::from), 0..5);
    // Some begin far below the apex, where names of many labels share most of them.
    let deep = (1..60usize, path()).prop_map(|(depth, path)| [vec!["a".to_string(); depth], path].concat());
    prop_oneof![3 => path(), 1 => deep]
}

proptest! {
    #[test]
    fn names_are_found_as_in_a_tree(
        records in prop::collection::vec((paths(), prop::sample::select(vec![Rtype::A, Rtype::TXT, Rtype::NS, Rtype::DNAME])), 0..30),
        asked in prop::collection::vec(paths(), 1..30),
    ) {
        let is_legal = |(path, rtype): &(Path, Rtype)| {
            let is_wildcard = path.last().is_some_and(|label| label == "*");
            !(is_wildcard && [Rtype::NS, Rtype::DNAME].contains(rtype))
        };
        let records: Vec<_> = records.into_iter().filter(is_legal).collect();
        let mut builder = example(&[]);
        for (path, rtype) in &records {
            let data = if *rtype == Rtype::A { "192.0.2.1" } else { "x" };
            builder.add(name(&text(path)).as_name(), *rtype, Ttl(3600), &rdata(*rtype, data), 9).unwrap();
        }
        let (zone, _) = builder.finish().unwrap();
        let oracle = Oracle::new(&records);
        prop_assert_eq!(zone.nodes().count(), oracle.0.len());
        for path in asked.iter().chain(records.iter().map(|(path, _)| path)) {
            let lower: Path = path.iter().map(|label| label.to_lowercase()).collect();
            let show = |id: NodeId| zone.node(id).owner().to_string().to_lowercase();
            let found = match find(&zone, &text(path)) {
                Found::Exact(id) => (show(id), None),
                Found::Below { encloser, wildcard } => (format!("below {}", show(encloser)), wildcard.map(show)),
            };
            prop_assert_eq!(found, oracle.find(&lower));
            if let Found::Exact(id) = find(&zone, &text(path)) {
                // The places that a prefetch gives are those of the slot and the node.
                let (hash, slot) = zone.approach(&name(&text(path)).as_name().suffixes());
                let [slots, nodes] = zone.areas();
                prop_assert!(slots.contains(&slot));
                prop_assert_eq!(zone.arrive(hash), Some(nodes.start.wrapping_add(id.index() * entry::GRAIN)));
                let node = zone.node(id);
                prop_assert_eq!((node.cut().map(show), node.dname().map(show)), oracle.occluder(&lower));
                let types: Vec<u16> = node.rrsets().map(|set| set.rtype.0).collect();
                prop_assert_eq!(types, oracle.0[&lower].iter().copied().collect::<Vec<_>>());
                prop_assert_eq!(node.is_empty(), oracle.0[&lower].is_empty());
            }
        }
    }
}

proptest! {
    #[test]
    fn zones_are_found_as_by_looking_through_them(apexes in prop::collection::hash_set(paths(), 0..12), asked in paths()) {
        let lower = |path: &Path| -> Path { path.iter().map(|label| label.to_lowercase()).collect() };
        // `text` puts all of them below `example`; one more zone is elsewhere, so that a name may be in no zone.
        let apexes: BTreeSet<Path> = apexes.iter().map(lower).collect();
        let zone = |apex: &str| builder(apex, &[&format!("{apex} SOA ns.other"), &format!("{apex} NS ns.other")]).finish().unwrap().0;
        let zones = apexes.iter().map(|path| zone(&text(path))).chain([zone("elsewhere.net")]).collect();
        let set = ZoneSet::new(zones);
        let longest = |path: &[String]| apexes.iter().filter(|apex| path.starts_with(apex)).max_by_key(|apex| apex.len());
        let asked = lower(&asked);
        let shown = |found: Option<(ZoneId, &Zone)>| found.map(|(_, zone)| zone.apex().to_string());
        let name = name(&text(&asked));
        let (name, suffixes) = (name.as_name(), name.as_name().suffixes());
        prop_assert_eq!(shown(set.find(name, &suffixes)), longest(&asked).map(|apex| text(apex)));
        let above = asked.split_last().filter(|_| apexes.contains(&asked)).and_then(|(_, above)| longest(above));
        prop_assert_eq!(shown(set.find_parent_side(name, &suffixes)), above.or(longest(&asked)).map(|apex| text(apex)));
    }
}
