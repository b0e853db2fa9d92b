//! Small zones out of a seed: each is made of a few of the shapes that RFCs treat on their own, laid over each other.
//!
//! **Invariants**: every server loads every zone, because a CNAME is the only record of its name, no record is below a
//! DNAME, and no wildcard is delegated or renamed. The same seed gives the same zones.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// A sequence of numbers that looks random (SplitMix64).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Returns `true` once in `times` calls on average.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// A zone in text.
pub struct Zone {
    /// With a dot at its end.
    pub apex: String,
    /// Types and rdata by owner; owners are whole names.
    pub nodes: BTreeMap<String, Vec<(&'static str, String)>>,
    /// The first spelling of each owner, by the owner in lower case.
    known: BTreeMap<String, String>,
    ttl: u32,
}

/// Targets of aliases and name servers outside all zones of the test.
const ELSEWHERE: [&str; 3] = ["host.elsewhere.invalid.", "ns.elsewhere.invalid.", "elsewhere.invalid."];

/// Labels that all shapes share, in several cases.
const LABELS: [&str; 12] = ["a", "b", "c", "A", "aB", "www", "mail", "x", "_tcp", "0", "a\\.b", "sp\\032ace"];

/// A label with bytes that are no text.
const BINARY: [&str; 4] = ["bin\\000\\255", "\\001", "\\046dot", "\\195\\164"];

type Shape = fn(&mut Zone, &str, &mut Dice);

const SHAPES: [Shape; 17] = [
    hosts,
    wildcard,
    wildcard_below_nothing,
    wildcard_alias,
    wildcard_between,
    rename,
    rename_out,
    rename_twice,
    delegation,
    delegation_deep,
    delegation_elsewhere,
    aliases,
    alias_loop,
    services,
    large,
    limits,
    anything,
];

/// Makes `count` zones; some are below others.
pub fn zones(count: usize, seed: u64) -> Vec<Zone> {
    let mut dice = Dice::new(seed);
    let mut zones = Vec::with_capacity(count);
    for index in 0..count {
        let apex = match index % 10 {
            // The zone before it may delegate this one or not.
            9 => format!("child.z{:03}.test.", index - 1),
            _ => format!("z{index:03}.test."),
        };
        zones.push(zone(apex, index, &mut dice));
    }
    zones
}

fn zone(apex: String, index: usize, dice: &mut Dice) -> Zone {
    let ttl = [3600, 300, 60][dice.below(3)];
    let mut zone = Zone { apex: apex.clone(), nodes: BTreeMap::new(), known: BTreeMap::new(), ttl };
    // One zone in twenty is renamed as a whole, and holds nothing else.
    let is_renamed = index % 20 == 17;
    let server = if is_renamed { "ns.elsewhere.invalid.".to_string() } else { format!("ns1.{apex}") };
    let minimum = [300, 7200][dice.below(2)];
    zone.add(&apex, "SOA", &format!("{server} Hostmaster.{apex} {} 7200 3600 1209600 {minimum}", index + 1));
    zone.add(&apex, "NS", &server);
    if is_renamed {
        zone.add(&apex, "DNAME", &format!("z{:03}.test.", index - 1));
        zone.add(&apex, "TXT", "\"renamed below\"");
        return zone;
    }
    zone.add(&server, "A", "192.0.2.53");
    zone.add(&server, "AAAA", "2001:db8::53");
    if index % 10 == 8 && dice.once_in(2) {
        let child = format!("child.{apex}");
        zone.add(&child, "NS", &format!("ns1.{child}"));
        zone.add(&format!("ns1.{child}"), "A", "192.0.2.53");
        zone.add(&child, "DS", "7 13 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    }
    // Each shape comes first in turn; the other shapes are chosen at random.
    let mut shapes = vec![SHAPES[index % SHAPES.len()]];
    shapes.extend((0..2 + dice.below(4)).map(|_| *dice.pick(&SHAPES)));
    for shape in shapes {
        let base = zone.place(dice);
        shape(&mut zone, &base, dice);
    }
    zone
}

impl Zone {
    /// Adds a record, unless the rules forbid it beside the existing records.
    fn add(&mut self, owner: &str, rtype: &'static str, rdata: &str) {
        let lower = owner.to_ascii_lowercase();
        let is_too_long = |word: &str| word.ends_with('.') && wire_len(word) > 255;
        if is_too_long(owner) || rdata.split(' ').any(is_too_long) || self.is_forbidden(&lower, rtype) {
            return;
        }
        let owner = self.known.entry(lower).or_insert_with(|| owner.to_string()).clone();
        let records = self.nodes.entry(owner).or_default();
        if !records.iter().any(|(other, data)| *other == rtype && data.eq_ignore_ascii_case(rdata)) {
            records.push((rtype, rdata.to_string()));
        }
    }

    fn is_forbidden(&self, owner: &str, rtype: &str) -> bool {
        let types = |name: &str| -> Vec<&str> {
            let records = self.known.get(name).and_then(|name| self.nodes.get(name));
            records.into_iter().flatten().map(|(rtype, _)| *rtype).collect()
        };
        let here = types(owner);
        let apex = self.apex.to_ascii_lowercase();
        let is_below_dname = ancestors(owner, &apex).skip(1).any(|above| types(&above).contains(&"DNAME"));
        let has_below = || self.known.keys().any(|other| other.ends_with(&format!(".{owner}")));
        let is_wild = owner.starts_with("*.");
        is_below_dname
            || here.contains(&"CNAME")
            || match rtype {
                "CNAME" => !here.is_empty(),
                "DNAME" => is_wild || here.contains(&"DNAME") || here.contains(&"NS") && owner != apex || has_below(),
                "NS" => is_wild || here.contains(&"DNAME"),
                "DS" => !here.contains(&"NS") || owner == apex,
                _ => false,
            }
    }

    /// The place of a shape: the apex, an existing name, or a name below missing ones.
    fn place(&self, dice: &mut Dice) -> String {
        let label = *dice.pick(&LABELS);
        let owners: Vec<&String> = self.nodes.keys().collect();
        match dice.below(5) {
            0 | 1 => self.apex.clone(),
            2 => format!("{label}.{}", self.apex),
            3 => format!("{label}.{}.{}", dice.pick(&LABELS), self.apex),
            _ => owners[dice.below(owners.len())].clone(),
        }
    }

    /// A name to point to: an owner in the zone, in either case, a name below an owner, a missing name, or a name outside all
    /// zones.
    fn target(&self, dice: &mut Dice) -> String {
        let owners: Vec<&String> = self.nodes.keys().collect();
        match dice.below(8) {
            0 => dice.pick(&ELSEWHERE).to_string(),
            1 => format!("missing.{}", self.apex),
            2 => format!("y.{}", dice.pick(&owners)),
            3 => dice.pick(&owners).to_ascii_uppercase(),
            _ => dice.pick(&owners).to_string(),
        }
    }

    /// The zone as a master file.
    pub fn text(&self) -> String {
        let mut text = format!("$TTL {}\n", self.ttl);
        let apex = self.nodes.get_key_value(&self.apex);
        for (owner, records) in apex.into_iter().chain(self.nodes.iter().filter(|(owner, _)| **owner != self.apex)) {
            for (rtype, rdata) in records {
                let _ = writeln!(text, "{owner} {rtype} {rdata}");
            }
        }
        text
    }

    /// The names of the zone, including those between an owner and the apex.
    pub fn names(&self) -> BTreeSet<String> {
        self.nodes.keys().flat_map(|owner| ancestors(owner, &self.apex)).collect()
    }

    /// The questions for the zone: names with types.
    pub fn questions(&self, dice: &mut Dice) -> BTreeSet<(String, u16)> {
        const OFTEN: [u16; 4] = [1, 2, 5, 43];
        const SELDOM: [u16; 12] = [6, 16, 28, 39, 12, 15, 33, 46, 47, 64, 65, 65399];
        let mut questions = BTreeSet::new();
        for name in &self.names() {
            let records = self.nodes.get(name).into_iter().flatten();
            let types: BTreeSet<u16> = records.map(|(rtype, _)| number(rtype)).collect();
            let asked = types.into_iter().chain(OFTEN).chain([*dice.pick(&SELDOM), *dice.pick(&SELDOM)]);
            questions.extend(asked.map(|rtype| (name.clone(), rtype)));
            for below in ["zz", "q.zz", "*"] {
                let rtype = if dice.once_in(2) { 1 } else { *dice.pick(&SELDOM) };
                questions.insert((format!("{below}.{name}"), rtype));
            }
            if *name != self.apex {
                let parent = ancestors(name, &self.apex).nth(1).unwrap_or_default();
                questions.insert((format!("zz.{parent}"), *dice.pick(&OFTEN)));
            }
        }
        for (owner, target) in self.nodes.iter().flat_map(|(owner, records)| {
            records.iter().filter(|(rtype, _)| *rtype == "DNAME").map(move |(_, target)| (owner, target))
        }) {
            questions.extend(
                self.renamed(owner, target)
                    .into_iter()
                    .flat_map(|name| [1, *dice.pick(&OFTEN), *dice.pick(&SELDOM)].map(|rtype| (name.clone(), rtype))),
            );
        }
        questions.retain(|(name, _)| wire_len(name) <= 255);
        // Some are asked in another case.
        let mixed = |(name, rtype): (String, u16)| {
            if dice.once_in(5) { (name.to_ascii_uppercase(), rtype) } else { (name, rtype) }
        };
        questions.into_iter().map(mixed).collect()
    }

    /// Names below a DNAME whose targets are there, and some that get as long as a name may be, and longer.
    fn renamed(&self, owner: &str, target: &str) -> Vec<String> {
        let below = format!(".{}", target.to_ascii_lowercase());
        let mut names: Vec<String> = vec![format!("no.{owner}")];
        for name in self.nodes.keys() {
            if name.to_ascii_lowercase().ends_with(&below) {
                names.push(format!("{}.{owner}", &name[..name.len() - below.len()]));
            }
        }
        // With the target, the name has 255 or 256 bytes, if the owner is shorter than the target.
        for whole in [255, 256] {
            let fill = whole - wire_len(target);
            if fill + wire_len(owner) <= 255 {
                names.push(format!("{}{owner}", filling(fill)));
            }
        }
        names
    }
}

/// A name and its ancestors, down to the apex.
fn ancestors(name: &str, apex: &str) -> impl Iterator<Item = String> {
    let (mut rest, apex_len) = (Some(name.to_string()), apex.len());
    std::iter::from_fn(move || {
        let name = rest.take()?;
        if name.len() > apex_len {
            rest = Some(after_label(&name).to_string());
        }
        Some(name)
    })
}

/// The rest of a name after the first label and its dot; an escaped dot does not count.
fn after_label(name: &str) -> &str {
    let (mut escaped, octets) = (false, name.as_bytes());
    for (at, octet) in octets.iter().enumerate() {
        match octet {
            b'\\' if !escaped => escaped = true,
            b'.' if !escaped => return &name[at + 1..],
            _ => escaped = false,
        }
    }
    ""
}

/// Bytes of a name in a message.
fn wire_len(name: &str) -> usize {
    let (mut len, mut octets) = (1, name.bytes());
    while let Some(octet) = octets.next() {
        if octet == b'\\'
            && let Some(b'0'..=b'9') = octets.next()
        {
            octets.nth(1);
        }
        len += 1;
    }
    len
}

/// Labels, each with its dot, with this length in bytes.
fn filling(octets: usize) -> String {
    let mut text = String::new();
    let mut rest = octets;
    while rest > 1 {
        // Nothing of one byte may be left over.
        let len = if rest == 65 { 62 } else { rest.min(64) - 1 };
        text.push_str(&"f".repeat(len));
        text.push('.');
        rest -= len + 1;
    }
    text
}

fn number(rtype: &str) -> u16 {
    rtype.parse::<pharos::base::rr::Rtype>().unwrap().0
}

fn hosts(zone: &mut Zone, base: &str, dice: &mut Dice) {
    for _ in 0..3 {
        let labels = if dice.once_in(3) { &BINARY[..] } else { &LABELS[..] };
        let owner = format!("{}.{base}", dice.pick(labels));
        zone.add(&owner, "A", &format!("192.0.2.{}", dice.below(250)));
        if dice.once_in(2) {
            zone.add(&owner, "AAAA", &format!("2001:db8::{:x}", dice.below(250)));
        }
        if dice.once_in(3) {
            zone.add(&owner, "TXT", "\"Case is Kept\" \"\" \"\\\"quoted\\\" \\200\"");
        }
        if dice.once_in(4) {
            zone.add(&owner, "TYPE65399", "\\# 3 ABCDEF");
            zone.add(&owner, "PTR", &zone.target(dice));
        }
    }
}

fn wildcard(zone: &mut Zone, base: &str, dice: &mut Dice) {
    zone.add(&format!("*.{base}"), "A", "192.0.2.100");
    zone.add(&format!("*.{base}"), "MX", &format!("10 {}", zone.target(dice)));
    zone.add(&format!("exists.{base}"), "AAAA", "2001:db8::1");
    zone.add(&format!("b.a.{base}"), "TXT", "\"below an empty non-terminal\"");
}

fn wildcard_below_nothing(zone: &mut Zone, base: &str, _: &mut Dice) {
    zone.add(&format!("*.deep.ent.{base}"), "TXT", "\"wild\"");
    zone.add(&format!("sub.*.ent.{base}"), "A", "192.0.2.101");
    zone.add(&format!("*.ent2.{base}"), "AAAA", "2001:db8::2");
    zone.add(&format!("*.*.ent2.{base}"), "A", "192.0.2.102");
}

fn wildcard_alias(zone: &mut Zone, base: &str, dice: &mut Dice) {
    let target = match dice.below(4) {
        0 => format!("x.wa.{base}"),
        1 => format!("*.wa.{base}"),
        _ => zone.target(dice),
    };
    zone.add(&format!("*.wa.{base}"), "CNAME", &target);
    zone.add(&format!("to.{base}"), "CNAME", &format!("y.wa.{base}"));
}

fn wildcard_between(zone: &mut Zone, base: &str, dice: &mut Dice) {
    zone.add(&format!("*.w.{base}"), "A", "192.0.2.103");
    zone.add(&format!("cut.w.{base}"), "NS", &zone.target(dice));
    zone.add(&format!("dn.w.{base}"), "DNAME", &zone.target(dice));
    zone.add(&format!("al.w.{base}"), "CNAME", &format!("zz.w.{base}"));
}

fn rename(zone: &mut Zone, base: &str, dice: &mut Dice) {
    zone.add(&format!("t.{base}"), "A", "192.0.2.110");
    zone.add(&format!("a.t.{base}"), "A", "192.0.2.111");
    zone.add(&format!("al.t.{base}"), "CNAME", &zone.target(dice));
    if dice.once_in(2) {
        zone.add(&format!("*.t.{base}"), "TXT", "\"wild\"");
    }
    zone.add(&format!("d.{base}"), "TXT", "\"own data\"");
    zone.add(&format!("d.{base}"), "DNAME", &format!("t.{base}"));
    zone.add(&format!("tod.{base}"), "CNAME", &format!("a.D.{base}"));
}

fn rename_out(zone: &mut Zone, base: &str, dice: &mut Dice) {
    let long = format!("{}elsewhere.invalid.", filling(100 + dice.below(20)));
    let target = if dice.once_in(2) { long } else { zone.target(dice) };
    zone.add(&format!("dout.{base}"), "DNAME", &target);
}

fn rename_twice(zone: &mut Zone, base: &str, dice: &mut Dice) {
    zone.add(&format!("d1.{base}"), "DNAME", &format!("d2.{base}"));
    zone.add(&format!("d2.{base}"), "DNAME", &format!("d3.{base}"));
    match dice.below(3) {
        0 => zone.add(&format!("d3.{base}"), "DNAME", &format!("d1.{base}")),
        1 => zone.add(&format!("d3.{base}"), "NS", &zone.target(dice)),
        _ => zone.add(&format!("x.d3.{base}"), "A", "192.0.2.112"),
    }
}

fn delegation(zone: &mut Zone, base: &str, dice: &mut Dice) {
    let cut = format!("sub.{base}");
    zone.add(&cut, "NS", &format!("ns.{cut}"));
    zone.add(&format!("ns.{cut}"), "A", "192.0.2.120");
    if dice.once_in(2) {
        zone.add(&cut, "NS", &format!("ns.sib.{base}"));
        zone.add(&format!("sib.{base}"), "NS", &format!("ns.sib.{base}"));
        zone.add(&format!("ns.sib.{base}"), "AAAA", "2001:db8::120");
    }
    if dice.once_in(2) {
        zone.add(&cut, "DS", "12345 13 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    }
    // Occluded.
    zone.add(&format!("host.{cut}"), "A", "192.0.2.121");
    zone.add(&format!("*.{cut}"), "A", "192.0.2.122");
    zone.add(&cut, "TXT", "\"not ours\"");
    zone.add(&format!("into.{base}"), "CNAME", &format!("host.{cut}"));
    zone.add(&format!("in.{base}"), "MX", &format!("5 ns.{cut}"));
}

fn delegation_deep(zone: &mut Zone, base: &str, dice: &mut Dice) {
    let cut = format!("cut.deeper.{base}");
    zone.add(&cut, "NS", &format!("ns1.{}", zone.apex));
    zone.add(&format!("nested.{cut}"), "NS", &zone.target(dice));
    zone.add(&format!("al.{cut}"), "CNAME", &format!("ns1.{}", zone.apex));
    for server in 0..dice.below(20) {
        zone.add(&cut, "NS", &format!("n{server}.{cut}"));
        zone.add(&format!("n{server}.{cut}"), "A", &format!("198.51.100.{server}"));
        zone.add(&format!("n{server}.{cut}"), "AAAA", &format!("2001:db8:1::{server:x}"));
    }
}

fn delegation_elsewhere(zone: &mut Zone, base: &str, dice: &mut Dice) {
    for target in ELSEWHERE {
        zone.add(&format!("out.{base}"), "NS", target);
    }
    zone.add(&format!("glueless.{base}"), "NS", &format!("ns.glueless.{base}"));
    zone.add(&format!("some.{base}"), "NS", &zone.target(dice));
    zone.add(&format!("some.{base}"), "DS", "1 13 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
}

fn aliases(zone: &mut Zone, base: &str, dice: &mut Dice) {
    let len = 1 + dice.below(20);
    for link in 0..len {
        zone.add(&format!("l{link}.{base}"), "CNAME", &format!("l{}.{base}", link + 1));
    }
    let end = format!("l{len}.{base}");
    match dice.below(4) {
        0 => zone.add(&end, "CNAME", ELSEWHERE[dice.below(3)]),
        1 => {}
        2 => zone.add(&end, "CNAME", &zone.target(dice)),
        _ => zone.add(&end, "A", "192.0.2.130"),
    }
    zone.add(&format!("cross.{base}"), "CNAME", &format!("ns1.z{:03}.test.", dice.below(100)));
}

fn alias_loop(zone: &mut Zone, base: &str, dice: &mut Dice) {
    let len = 1 + dice.below(4);
    for link in 0..len {
        zone.add(&format!("o{link}.{base}"), "CNAME", &format!("O{}.{base}", (link + 1) % len));
    }
    zone.add(&format!("enter.{base}"), "CNAME", &format!("o0.{base}"));
}

fn services(zone: &mut Zone, base: &str, dice: &mut Dice) {
    zone.add(&format!("mail.{base}"), "A", "192.0.2.140");
    zone.add(&format!("mail.{base}"), "AAAA", "2001:db8::140");
    zone.add(base, "MX", &format!("10 mail.{base}"));
    zone.add(base, "MX", &format!("20 {}", zone.target(dice)));
    zone.add(&format!("_sip._udp.{base}"), "SRV", &format!("0 5 5060 mail.{base}"));
    zone.add(&format!("_sip._udp.{base}"), "SRV", &format!("1 5 5060 {}", zone.target(dice)));
    zone.add(&format!("svc.{base}"), "HTTPS", "1 . alpn=h2,h3 port=8443");
    zone.add(&format!("svc.{base}"), "A", "192.0.2.141");
    zone.add(&format!("svcalias.{base}"), "HTTPS", &format!("0 svc.{base}"));
    zone.add(&format!("svcalias.{base}"), "SVCB", &format!("1 mail.{base}"));
    zone.add(&format!("svcnone.{base}"), "HTTPS", "0 .");
}

fn large(zone: &mut Zone, base: &str, dice: &mut Dice) {
    for number in 0..5 + dice.below(60) {
        zone.add(&format!("big.{base}"), "TXT", &format!("\"{number:03} {}\"", "x".repeat(100)));
        zone.add(&format!("many.{base}"), "A", &format!("198.51.100.{number}"));
    }
    zone.add(&format!("tobig.{base}"), "CNAME", &format!("big.{base}"));
}

fn limits(zone: &mut Zone, base: &str, _: &mut Dice) {
    zone.add(&format!("{}.{base}", "l".repeat(63)), "A", "192.0.2.150");
    let apex = zone.apex.clone();
    zone.add(&format!("{}{apex}", filling(255 - wire_len(&apex))), "A", "192.0.2.151");
    zone.add(&format!("{}{apex}", "m.".repeat(40)), "TXT", "\"many labels\"");
    zone.add(&format!("tolong.{base}"), "CNAME", &format!("{}{apex}", filling(255 - wire_len(&apex))));
}

fn anything(zone: &mut Zone, base: &str, dice: &mut Dice) {
    for _ in 0..10 {
        let mut owner = base.to_string();
        for _ in 0..1 + dice.below(3) {
            let label = if dice.once_in(4) { "*" } else { dice.pick(&LABELS[..6]) };
            owner = format!("{label}.{owner}");
        }
        let target = zone.target(dice);
        match dice.below(9) {
            0 => zone.add(&owner, "NS", &target),
            1 => zone.add(&owner, "DNAME", &target),
            2 | 3 => zone.add(&owner, "CNAME", &target),
            4 => zone.add(&owner, "MX", &format!("1 {target}")),
            5 => zone.add(&owner, "TXT", "\"anything\""),
            6 => zone.add(&owner, "AAAA", "2001:db8::160"),
            _ => zone.add(&owner, "A", &format!("192.0.2.{}", dice.below(250))),
        }
    }
}
