//! One question explained: the replies as served, and every input of the decision.
//!
//! The engine answers A and AAAA over the path that serves queries. The basis of each reply names the decision; the
//! provenance beside the tables gives the file and line of each entry and rule.
//!
//! **Invariants**: this module decides nothing: the plan and the scope are those of the reply's basis. The winning rule
//! is computed from the facts, so that a table that deviates from the rules is noticed.
//! **Not here**: names and words ([`super::view`], [`super::words`]).

use std::net::IpAddr;

use domain::base::{Message, ParsedName};
use domain::rdata::AllRecordData;

use super::ask::{Asker, Seen};
use super::ground::{Ground, Judged, embedding_block};
use super::reason::{PlanShare, ScopeReason, SlotReason, scope_reason, shares};
use super::state::RecordView;
use crate::base::client::{Client, Location, ScopePrefixLen};
use crate::base::geo::Kilometres;
use crate::base::ids::{HorizonId, MirrorId, PlanId};
use crate::base::name::{Name, NameBuf};
use crate::base::prefix::{Family, Prefix};
use crate::base::rr::Rtype;
use crate::base::words::words;
use crate::mirror::{Forced, Health};
use crate::networks::FoundEntry;
use crate::snapshot::Snapshot;
use crate::steer::{Choice, Decision, Tier, Won};
use crate::wire::Summary;

/// The explanation of the replies that a client gets for a name.
#[derive(Clone, Debug)]
pub(crate) struct Explanation {
    /// The name asked for; `None` if no name is steered, and a horizon of redirects is explained.
    pub(crate) name: Option<NameBuf>,
    /// The resolver's address and the client subnet.
    pub(crate) client: Client,
    /// The use of the query's subnet.
    pub(crate) hearing: Hearing,
    /// The reply for A and the one for AAAA; after these the one for HTTPS, if the name has such a record with its steered
    /// addresses, and the one for TXT, if the name has ACME challenges. Empty without a name.
    pub(crate) answers: Vec<ExplainedAnswer>,
    /// The steering decision and its inputs; `None` if the answer is the same for every client.
    pub(crate) steered: Option<SteeredExplanation>,
}

words! {
    /// The use that the engine makes of a query's subnet.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Hearing {
        /// The query has no subnet.
        NoSubnet = "none",
        /// The subnet is accepted.
        Heard = "heard",
        /// The resolver is not in `ecs-from`, so its subnets are ignored (RFC 7871 §11.3).
        Ignored = "ignored",
    }
}

/// One reply.
#[derive(Clone, Debug)]
pub(crate) struct ExplainedAnswer {
    /// The type asked for.
    pub(crate) rtype: Rtype,
    /// The engine's summary of the reply.
    pub(crate) summary: Summary,
    /// The scope in the reply; `None` if the query carried no subnet.
    pub(crate) scope: Option<ScopePrefixLen>,
    /// The answer section.
    pub(crate) answer: Vec<RecordView>,
    /// The authority section.
    pub(crate) authority: Vec<RecordView>,
    /// The mirrors in the answer and their tier; `None` if the name is not steered.
    pub(crate) choice: Option<Choice>,
}

/// The inputs of a steering decision.
#[derive(Clone, Debug)]
pub(crate) struct SteeredExplanation {
    /// The horizon.
    pub(crate) horizon: HorizonId,
    /// The decision.
    pub(crate) decision: Decision,
    /// The address by which the client was located, that of its subnet or of its resolver, and the reason.
    pub(crate) judged: Judged,
    /// The IPv6 block that embeds the location's IPv4 address; `None` if that address was not embedded.
    pub(crate) embedded_in: Option<Prefix>,
    /// Each source's entry for the location's address, in the order of the sources.
    pub(crate) entries: Vec<Option<FoundEntry>>,
    /// The winning rule, or the default. If a subnet covers several plans, the winner at the chosen plan's lowest address.
    pub(crate) won: Won,
    /// The plan that the table must have for `won`.
    pub(crate) by_the_rules: PlanId,
    /// The lowest and the highest address of the stretch around the location in which the decision is the same.
    pub(crate) stretch: (IpAddr, IpAddr),
    /// Each plan's share of the subnet, the greatest first; one entry if the decision is the same for the whole subnet.
    pub(crate) shares: Vec<PlanShare>,
    /// The client's slot and the block that was hashed; `None` if the plan has no weights.
    pub(crate) slot: Option<SlotReason>,
    /// Every mirror of the plan, in order of preference.
    pub(crate) candidates: Vec<Candidate>,
    /// The target of the client's blob requests to the registry listener.
    pub(crate) redirect: ExplainedRedirect,
    /// The reason for the scope.
    pub(crate) reason: ScopeReason,
}

/// The target of a client's blob requests to the registry listener, if a mirror has the blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExplainedRedirect {
    /// The steered name, where DNS selects the mirror.
    SteeredName,
    /// The URL of a redirect-only mirror.
    Mirror(MirrorId),
    /// The canonical registry, because the rule says so.
    ByRule,
    /// The canonical registry, because no mirror is up, or none that is up has a known address.
    NoMirror,
}

/// One mirror of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// The mirror.
    pub(crate) mirror: MirrorId,
    /// The part of the plan that names it.
    pub(crate) tier: Tier,
    /// Its health.
    pub(crate) health: Health,
    /// The verdicts on the mirror for IPv4 and IPv6.
    pub(crate) verdicts: [MirrorVerdict; 2],
    /// The distance from the client; `None` if distance does not decide.
    pub(crate) distance: Option<Kilometres>,
    /// The number of the 256 slots in which it is first; `None` if slots do not decide.
    pub(crate) slots: Option<usize>,
}

words! {
    /// The reason why a mirror is or is not in the answer.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum MirrorVerdict {
        /// Its addresses are in the answer.
        Taken = "taken",
        /// It has no address of the family.
        NoAddress = "no address",
        /// It is reached by its own URL alone: the registry listener redirects clients to it.
        RedirectOnly = "redirect-only",
        /// Probes get no answer from it, or an operator has taken it down.
        Down = "down",
        /// It answers probes, but lacks content that it should have.
        Missing = "missing",
        /// Its certificate or its content is wrong.
        Bad = "bad",
        /// It has not been probed yet.
        Untried = "untried",
        /// An operator has drained it.
        Drained = "drained",
        /// It is up, but a mirror that is preferred was taken.
        NotNeeded = "not needed",
    }
}

/// Asks the engine for a name's addresses and explains the replies.
pub(crate) fn explain(snapshot: &Snapshot, name: Name<'_>, client: Client) -> Explanation {
    let hearing = match (client.subnet, &snapshot.settings().ecs_from) {
        (None, _) => Hearing::NoSubnet,
        (Some(_), Some(from)) if !from.contains(client.resolver) => Hearing::Ignored,
        (Some(_), _) => Hearing::Heard,
    };
    let mut asker = Asker::new(snapshot);
    let addresses = Family::ALL.map(|family| answer(&mut asker, snapshot, name, &client, Rtype::of_addresses(family)));
    let service = addresses[0].summary.basis.zone.zip(addresses[0].summary.basis.node);
    let service = service.and_then(|(zone, node)| snapshot.zones().zone(zone).node(node).steered()?.service);
    let service = service.map(|_| answer(&mut asker, snapshot, name, &client, Rtype::HTTPS));
    let has_challenges = snapshot.challenges().credentials_at(&name.to_owned()).next().is_some();
    let text = has_challenges.then(|| answer(&mut asker, snapshot, name, &client, Rtype::TXT));
    let answers: Vec<_> = addresses.into_iter().chain(service).chain(text).collect();
    let steering = answers.iter().find_map(|answer| answer.summary.basis.steering);
    let steered = steering.map(|steering| {
        let heard = Client { subnet: client.subnet.filter(|_| hearing == Hearing::Heard), ..client };
        steered(snapshot, steering.horizon, steering.decision, &heard)
    });
    Explanation { name: Some(name.to_owned()), client, hearing, answers, steered }
}

/// Explains the redirect of a client by a horizon that steers no name.
pub(crate) fn explain_redirect(snapshot: &Snapshot, horizon: HorizonId, address: IpAddr) -> Explanation {
    // The registry listener sees the client itself, and no subnet.
    let client = Client { resolver: address, subnet: None };
    let steered = steered(snapshot, horizon, snapshot.decide(horizon, &client), &client);
    Explanation { name: None, client, hearing: Hearing::NoSubnet, answers: Vec::new(), steered: Some(steered) }
}

fn redirect(snapshot: &Snapshot, horizon: HorizonId, decision: &Decision, client: &Client) -> ExplainedRedirect {
    if snapshot.horizons()[horizon.index()].plan(decision.plan).is_canonical {
        return ExplainedRedirect::ByRule;
    }
    let family = Family::of(client.subnet.map_or(client.resolver, |subnet| subnet.address).to_canonical());
    match snapshot.redirects(horizon, decision.plan, family).mirrors.first() {
        Some(id) if !snapshot.mirrors()[id.index()].is_redirect_only() => ExplainedRedirect::SteeredName,
        // In a configuration that is not served yet, the host of a mirror may have no address.
        Some(id) if snapshot.redirect_health(*id) == Some(Health::Up) => ExplainedRedirect::Mirror(*id),
        _ => ExplainedRedirect::NoMirror,
    }
}

fn answer(
    asker: &mut Asker<'_>,
    snapshot: &Snapshot,
    name: Name<'_>,
    client: &Client,
    qtype: Rtype,
) -> ExplainedAnswer {
    let (summary, octets) = asker.ask(name, qtype, client).expect("a query with a header gets a reply: wire::respond");
    let mut seen = Seen::default();
    let scope = seen.read(octets, qtype).and(seen.scope);
    let (answer, authority) = records(octets);
    let steering = summary.basis.steering;
    let choice = steering.map(|of| snapshot.addresses(of.horizon, of.decision.plan, of.family).choice.clone());
    ExplainedAnswer { rtype: qtype, summary, scope, answer, authority, choice }
}

/// The answer and authority sections of a reply.
fn records(octets: &[u8]) -> (Vec<RecordView>, Vec<RecordView>) {
    let (mut answer, mut authority) = (Vec::new(), Vec::new());
    if let Ok(message) = Message::from_octets(octets) {
        for (section, records) in [(message.answer(), &mut answer), (message.authority(), &mut authority)] {
            let parsed = section.into_iter().flatten().flatten();
            records.extend(parsed.filter_map(|record| {
                let whole = record.to_any_record::<AllRecordData<_, ParsedName<_>>>().ok()?;
                Some(RecordView {
                    owner: whole.owner().to_string(),
                    ttl: whole.ttl().as_secs(),
                    rtype: Rtype(whole.rtype().to_int()).to_string(),
                    rdata: whole.data().to_string(),
                })
            }));
        }
    }
    (answer, authority)
}

fn steered(snapshot: &Snapshot, id: HorizonId, decision: Decision, client: &Client) -> SteeredExplanation {
    let horizon = &snapshot.horizons()[id.index()];
    let location: Location = decision.location;
    let ground = Ground::of(horizon);
    let entries = snapshot.provenance().networks.entries_at(location.address);
    let shares = shares(snapshot, id, &ground, &location);
    let head = horizon.head(decision.plan);
    let share = shares.iter().find(|share| shares.len() > 1 && share.plan == head);
    let decisive =
        share.map_or_else(|| entries.clone(), |share| snapshot.provenance().networks.entries_at(share.first));
    let labels: Vec<_> = decisive.iter().map(|entry| entry.map(|entry| entry.labels)).collect();
    let facts = snapshot.provenance().networks.facts(&labels);
    let won = horizon.winner(&facts);
    let distances = facts.labels.coordinates.and_then(|place| horizon.distances(won, place));
    let judged = Judged::of(client, &location);
    let stretch = ground.stretch_at(&location);
    let slot = horizon.slots(head).map(|_| {
        let block = ground.scope_block(&location, horizon.least_scope(head, Family::of(location.address)));
        SlotReason { block, slot: horizon.slot_of(block) }
    });
    SteeredExplanation {
        horizon: id,
        decision,
        judged,
        embedded_in: embedding_block(client, &location),
        entries,
        won,
        by_the_rules: horizon.plan_for(won, &facts),
        stretch: (stretch.first, stretch.last),
        shares,
        slot,
        candidates: candidates(snapshot, id, &decision, distances),
        redirect: redirect(snapshot, id, &decision, client),
        reason: scope_reason(snapshot, id, &ground, &decision, judged),
    }
}

fn candidates(
    snapshot: &Snapshot,
    horizon: HorizonId,
    decision: &Decision,
    distances: Option<Vec<(MirrorId, Kilometres)>>,
) -> Vec<Candidate> {
    let policy = &snapshot.horizons()[horizon.index()];
    let plan = policy.plan(decision.plan);
    let slots = policy.slots(policy.head(decision.plan));
    let is_first = |slot: &&PlanId, mirror: MirrorId| policy.plan(**slot).preferred.first() == Some(&mirror);
    let tiers = [(Tier::Preferred, &plan.preferred), (Tier::Fallback, &plan.fallback), (Tier::Default, &plan.default)];
    let named = tiers.into_iter().flat_map(|(tier, list)| list.iter().map(move |mirror| (tier, *mirror)));
    named
        .map(|(tier, mirror)| {
            let standing = snapshot.standing(mirror);
            let best = Family::ALL.into_iter().filter_map(|family| standing.health(family)).min();
            let best = if snapshot.mirrors()[mirror.index()].is_redirect_only() {
                // Without a known address, no probe has reached its host.
                snapshot.redirect_health(mirror).unwrap_or(Health::Untried)
            } else {
                best.unwrap_or_default()
            };
            // The override `down` gives a mirror the health `bad`. `down` is shown instead, because the override does not
            // mean that its content is wrong.
            let is_ordered_down = standing.forced == Some(Forced::Down);
            let health = if is_ordered_down { Health::Down } else { best };
            let verdicts = Family::ALL.map(|family| {
                let taken = &snapshot.addresses(horizon, decision.plan, family).choice.mirrors;
                match standing.health(family) {
                    _ if taken.contains(&mirror) => MirrorVerdict::Taken,
                    _ if snapshot.mirrors()[mirror.index()].is_redirect_only() => MirrorVerdict::RedirectOnly,
                    None => MirrorVerdict::NoAddress,
                    Some(_) if is_ordered_down => MirrorVerdict::Down,
                    Some(Health::Down) => MirrorVerdict::Down,
                    Some(Health::Missing) => MirrorVerdict::Missing,
                    Some(Health::Bad) => MirrorVerdict::Bad,
                    Some(Health::Untried) => MirrorVerdict::Untried,
                    Some(Health::Drained) => MirrorVerdict::Drained,
                    Some(Health::Up) => MirrorVerdict::NotNeeded,
                }
            });
            let own = |tier: Tier| tier == Tier::Preferred;
            let distance =
                distances.iter().flatten().find(|(known, _)| own(tier) && *known == mirror).map(|(_, far)| *far);
            let slots = slots.filter(|_| own(tier));
            let slots = slots.map(|slots| slots.iter().filter(|slot| is_first(slot, mirror)).count());
            Candidate { mirror, tier, health, verdicts, distance, slots }
        })
        .collect()
}
