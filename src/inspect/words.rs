//! The words of an explanation: sentences for an operator, made from typed reasons.
//!
//! **Invariants**: this module decides nothing; each reason has one sentence.
//! **Not here**: layout (`cli`).

use std::net::IpAddr;

use super::state::{AddressView, OverrideView, RedirectView};
use super::{ExplainedAnswer, Explanation, FamilyMoves, Hearing, Judged, Neighbour, ScopeReason, SteeredExplanation};
use crate::answer::Outcome;
use crate::base::client::Subnet;
use crate::base::ids::{HorizonId, MirrorId};
use crate::base::name::NameBuf;
use crate::base::prefix::{Family, Prefix};
use crate::base::rr::Rtype;
use crate::base::special;
use crate::base::text::grouped;
use crate::mirror::HttpVersion;
use crate::networks::FoundEntry;
use crate::snapshot::Snapshot;
use crate::steer::{Tier, Won};

/// An override in a few words: `drained by override until 2026-01-31T18:00:00Z: new disks`.
pub(crate) fn short_override(order: &OverrideView) -> String {
    format!("{} by override{}: {}", ordered(order), until(order), order.reason)
}

/// An override with its operator and its start: `drained by override of alice (sudo) since … until …: new disks`.
pub(crate) fn whole_override(order: &OverrideView) -> String {
    let (OverrideView { since, reason, .. }, who) = (order, order.operator());
    format!("{} by override of {who} since {since}{}: {reason}", ordered(order), until(order))
}

fn ordered(order: &OverrideView) -> &str {
    match &*order.order {
        "drain" => "drained",
        other => other,
    }
}

fn until(order: &OverrideView) -> String {
    order.until.as_ref().map(|until| format!(" until {until}")).unwrap_or_default()
}

/// An address that an operator should look at: `192.0.2.10 tls-bad since 2026-01-31T18:00:00Z`.
pub(crate) fn trouble(view: &AddressView) -> String {
    let AddressView { address, health, verdict, since, .. } = view;
    // The time is that of the health: a verdict on an address that is up may be newer.
    let is_up = health == "up" && view.against.is_none();
    let since = since.as_ref().filter(|_| !is_up).map(|since| format!(" since {since}")).unwrap_or_default();
    let over = alone_in_trouble(view).map(|version| format!(" over {}", version.title())).unwrap_or_default();
    let seen = seen(view);
    match verdict {
        // It passes probes again, but not often enough yet to be up.
        Some(verdict) if verdict == "up" && view.against.is_none() => {
            format!("{address} {health}{since}, passes probes again")
        }
        Some(verdict) => format!("{address} {verdict}{over}{since}{seen}"),
        None => format!("{address} {health}{since}{seen}"),
    }
}

/// The servers of the fleet that see an address as not up: `; seen as not up by 3 of 4 servers, so it is down`.
fn seen(view: &AddressView) -> String {
    match (view.against, view.servers) {
        (Some(against), Some(servers)) => {
            format!("; seen as not up by {against} of {servers} servers, so it is {}", view.health)
        }
        _ => String::new(),
    }
}

/// The protocol whose last probe failed, if that of the other one succeeded.
fn alone_in_trouble(address: &AddressView) -> Option<HttpVersion> {
    let is_good = |version: &HttpVersion| {
        let verdict = address.protocols.get(version.as_str())?;
        Some(["up", "expiring"].contains(&&**verdict))
    };
    HttpVersion::ALL
        .into_iter()
        .find(|version| is_good(version) == Some(false) && is_good(&version.other()) == Some(true))
}

/// A rule with its place: `rule 3 (pharos.toml:33)`.
pub(crate) fn rule(snapshot: &Snapshot, horizon: HorizonId, won: Won) -> String {
    let what = match won {
        Won::Rule(index) => format!("rule {}", index + 1),
        Won::Default => "the default".into(),
    };
    match snapshot.provenance().origin(horizon, won) {
        Some(origin) if origin.line > 0 => format!("{what} ({}:{})", origin.file, origin.line),
        _ => what,
    }
}

/// The target of the client's blob requests to the registry listener, in words; `None` if it is the steered name.
pub(crate) fn redirect(redirect: &RedirectView) -> Option<String> {
    let canonical = "a blob request goes to the canonical registry";
    match (&*redirect.to, &redirect.mirror, &redirect.url) {
        ("mirror", Some(mirror), Some(url)) => {
            Some(format!("a blob request goes to {mirror}, at {url}, if the mirror has the blob"))
        }
        ("rule", ..) => Some(format!("{canonical}, by `canonical = true`")),
        ("canonical", ..) => Some(format!("{canonical}, because no mirror is up at a known address")),
        _ => None,
    }
}

/// The role of a name for ACME challenges; `None` if it has none.
pub(crate) fn challenges(snapshot: &Snapshot, name: &NameBuf) -> Option<String> {
    let challenges = snapshot.challenges();
    let mirror_of = |id: MirrorId| &snapshot.mirrors()[id.index()].name;
    if let Some(own) = challenges.mirrors.iter().find(|own| own.owner == *name) {
        let mirror = mirror_of(own.mirror);
        return Some(format!("these are the addresses of mirror {mirror}, whatever its health, for its certificate"));
    }
    let credentials: Vec<String> = challenges
        .credentials_at(name)
        .map(|credential| format!("{} of mirror {}", credential.name, mirror_of(credential.mirror)))
        .collect();
    (!credentials.is_empty()).then(|| format!("the TXT records are ACME challenges, set by {}", credentials.join(", ")))
}

/// The reason for the client's location, in words.
pub(crate) fn why_there(explanation: &Explanation, steered: &SteeredExplanation) -> String {
    let resolver = explanation.client.resolver;
    let why = match (steered.judged, explanation.hearing) {
        _ if explanation.name.is_none() => "the client's address, which the listener sees".into(),
        (Judged::BySubnet, _) => "the subnet in the query".into(),
        (Judged::NoSubnet, Hearing::Ignored) => format!(
            "the resolver's own address, as subnets from {resolver} are not listened to (it is not in `ecs-from`)"
        ),
        (Judged::NoSubnet, _) => "the resolver's own address, as the query has no subnet".into(),
        (Judged::SourceZero, _) => {
            "the resolver's own address, as a subnet of /0 asks not to use the client's (RFC 7871 §7.1.2)".into()
        }
        (Judged::Reserved(block), _) => {
            format!("the resolver's own address, as the subnet is in {block}, which is reserved (RFC 7871 §10)")
        }
    };
    match steered.embedded_in {
        Some(block) => format!("{why}, by the IPv4 address that addresses in {block} carry"),
        None => why,
    }
}

/// The reason for a reply, in words.
pub(crate) fn why_answer(snapshot: &Snapshot, explanation: &Explanation, answer: &ExplainedAnswer) -> String {
    let basis = &answer.summary.basis;
    let zone = basis.zone.map(|id| snapshot.zones().zone(id));
    let node = zone.zip(basis.node).map(|(zone, id)| zone.node(id));
    let asked_for = explanation.name.as_ref().map(NameBuf::as_name);
    let at = match node.map(|node| node.owner()) {
        Some(owner) if owner.is_wildcard() && Some(owner) != asked_for => format!(" by wildcard {owner}"),
        Some(owner) if Some(owner) != asked_for => format!(" at {owner}"),
        _ => String::new(),
    };
    let apex = zone.map(|zone| zone.apex().to_string()).unwrap_or_default();
    let is_challenge = node.is_some_and(|node| snapshot.challenges().zone_of(&node.owner().to_owned()).is_some());
    match basis.outcome {
        Outcome::Steered => why_steered(answer, &at),
        Outcome::Answer if is_challenge && answer.rtype == Rtype::TXT => {
            format!("ACME challenges in zone {apex}{at}, the same for every client")
        }
        Outcome::Answer => format!("static data of zone {apex}{at}, the same for every client"),
        Outcome::NoData if explanation.steered.is_some() || node.is_some_and(|node| node.steered().is_some()) => {
            "no mirror of the horizon has an address of this family".into()
        }
        Outcome::NoData => {
            let types: Vec<String> =
                node.iter().flat_map(|node| node.rrsets()).map(|set| set.rtype.to_string()).collect();
            if types.is_empty() && is_challenge {
                format!("an owner of ACME challenges in zone {apex}{at}, without a token now")
            } else if types.is_empty() {
                format!("the name exists in zone {apex}{at} and has no records: names below it do")
            } else {
                format!("the name exists in zone {apex}{at} and has other types: {}", types.join(", "))
            }
        }
        Outcome::NxDomain => format!("zone {apex} has no such name and no wildcard for it"),
        Outcome::Referral => format!("zone {apex} delegates the name{at} to other servers"),
        Outcome::Alias => {
            let last = answer.answer.last().map(|record| record.rdata.clone()).unwrap_or_default();
            format!(
                "an alias, the same for every client; a query with a subnet is not led on into a steered name, \
                 so the resolver asks for {last} itself"
            )
        }
        Outcome::NameTooLong => format!("a DNAME{at} would make the name longer than 255 bytes"),
        Outcome::NotReady => format!("steered{at}, and no host of the horizon's mirrors has been resolved yet"),
        Outcome::Refused => "no zone here holds the name".into(),
        Outcome::Rejected => "the query was not understood".into(),
        Outcome::Identity => "what this server is configured to say of itself".into(),
        Outcome::Cookie => "nothing but a cookie was asked for".into(),
    }
}

fn why_steered(answer: &ExplainedAnswer, at: &str) -> String {
    match answer.choice.as_ref().map(|choice| choice.tier) {
        Some(Tier::Preferred) => format!("steered{at} to the first of the plan that can serve"),
        Some(Tier::Fallback) => format!("steered{at}: no mirror of the rule can serve, so its fallback does"),
        Some(Tier::Default) => format!("steered{at}: no mirror of the rule can serve, so the default does"),
        Some(Tier::Elsewhere) => {
            format!("steered{at}: no mirror of the plan can serve, so another one of the horizon does")
        }
        Some(Tier::Panic) => format!(
            "steered{at}: no mirror of the plan is up, and most of the horizon do not answer, as if our own network failed; \
             those that are down are given"
        ),
        Some(Tier::LastResort) => format!(
            "steered{at}: no mirror of the horizon is up; the least bad is given, since an empty answer is worse"
        ),
        None => format!("steered{at}"),
    }
}

/// The reason for the scope, in words.
pub(crate) fn why_scope(snapshot: &Snapshot, explanation: &Explanation, steered: &SteeredExplanation) -> String {
    let location = &steered.decision.location;
    let mut why = match &steered.reason {
        ScopeReason::Unanimous => "the horizon decides alike for every client there can be".into(),
        ScopeReason::NotBySubnet(Judged::Reserved(block)) => {
            format!("all of {block} is judged by the resolver, so the answer holds for all of it")
        }
        ScopeReason::NotBySubnet(_) => {
            "no subnet was used, so the answer holds for all clients of this resolver".into()
        }
        ScopeReason::Spread { least, offset } => format!(
            "these clients are spread by weight: each block of {least} bits has a mirror of its own{}",
            before(*offset)
        ),
        ScopeReason::WholeFamily { offset } => {
            let family = Family::of(location.address);
            format!("all of {family} is decided alike{}", before(*offset))
        }
        ScopeReason::Neighbour { neighbour, offset } => {
            let (first, last) = steered.stretch;
            let side = neighbour.side.as_str();
            format!(
                "clients from {first} to {last} are decided alike. {}, just {side}, is not: {}. It shares {} bits with {}, \
                 so it takes {} to tell them apart{}",
                neighbour.address,
                why_other(snapshot, steered, neighbour),
                neighbour.common,
                location.address,
                neighbour.common + 1,
                before(*offset),
            )
        }
    };
    if let (Some(subnet), Judged::BySubnet) = (explanation.client.subnet, steered.judged)
        && steered.decision.scope.0 > subnet.source.0
    {
        why += &format!(
            ". That is longer than {}: the subnet is too wide for one answer, and resolvers keep this one for the \
             subnet alone (RFC 7871 §7.2.1)",
            subnet_text(subnet)
        );
    }
    why
}

/// The text form of a subnet: `192.0.2.0/24`.
pub(crate) fn subnet_text(subnet: Subnet) -> String {
    format!("{}/{}", subnet.address, subnet.source.0)
}

fn before(offset: u8) -> String {
    match offset {
        0 => String::new(),
        _ => format!(", behind the {offset} bits that stand before the IPv4 address"),
    }
}

/// The reason why a neighbour has another decision, in words.
fn why_other(snapshot: &Snapshot, steered: &SteeredExplanation, neighbour: &Neighbour) -> String {
    if let Some(block) = neighbour.apart {
        let whose = if block.contains(neighbour.address) { "there" } else { "here" };
        return if special::embedding_v6().any(|embedding| Prefix::V6(embedding) == block) {
            format!("clients {whose} in {block} are judged by the IPv4 address inside their address")
        } else {
            format!("{block} is reserved, and clients {whose} are judged by their resolver's address")
        };
    }
    let rule = rule(snapshot, steered.horizon, neighbour.won);
    let sources = &snapshot.provenance().networks.sources;
    let theirs = sources.iter().zip(&neighbour.entries).zip(&steered.entries);
    let other: Vec<String> = theirs
        .filter_map(|((source, theirs), ours)| match (theirs, ours) {
            (Some(theirs), ours) if Some(theirs) != ours.as_ref() => {
                Some(format!("by {}", entry(&source.name, &source.file, theirs)))
            }
            (None, Some(ours)) => Some(format!("behind the end of {}", entry(&source.name, &source.file, ours))),
            _ => None,
        })
        .collect();
    if other.is_empty() { format!("{rule} wins there") } else { format!("{rule} wins there, {}", other.join(", and ")) }
}

/// An entry with its place: `aws 15.193.0.0/19 (ip-ranges.json:12)`.
fn entry(source: &str, file: &str, entry: &FoundEntry) -> String {
    match entry.line {
        0 => format!("{source} {} ({file})", entry.prefix),
        line => format!("{source} {} ({file}:{line})", entry.prefix),
    }
}

/// The addresses of one family that move, in words.
pub(crate) fn moved(family: &FamilyMoves) -> String {
    let of = family.family;
    let all = format!("{} of {of} move", amount(of, family.moved_of_all));
    if family.decided == 0 {
        return all;
    }
    let (decided, moved) = (amount(of, family.decided), amount(of, family.moved));
    format!("{all}; of the {decided} that rules decide for, {moved} ({})", percent(family.share()))
}

/// A range as a prefix, or with both ends if it is none.
pub(crate) fn range(first: IpAddr, last: IpAddr) -> String {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    // A prefix if the differing bits are the lowest: all 0 in the first address, and all 1 in the last.
    let differing = bits(first) ^ bits(last);
    if differing & differing.wrapping_add(1) == 0 && bits(first) & differing == 0 {
        Prefix::holding(first, Family::of(first).width() - differing.count_ones() as u8).to_string()
    } else {
        format!("{first} to {last}")
    }
}

/// A number of addresses: of IPv4 itself, of IPv6 in prefixes of 48 bits, because nearly all of a larger prefix is unused.
pub(crate) fn amount(family: Family, addresses: u128) -> String {
    match family {
        Family::V4 => grouped(addresses),
        Family::V6 => match addresses >> 80 {
            0 if addresses > 0 => "< 1 /48".into(),
            1 => "1 /48".into(),
            count => format!("{} /48s", grouped(count)),
        },
    }
}

/// A share with enough digits to tell a small one from none.
pub(crate) fn percent(share: f64) -> String {
    match share * 100.0 {
        percent if percent >= 0.1 || percent == 0.0 => format!("{percent:.1} %"),
        percent if percent >= 0.001 => format!("{percent:.3} %"),
        _ => "< 0.001 %".into(),
    }
}
