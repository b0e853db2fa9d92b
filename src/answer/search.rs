//! The search of RFC 1034 §4.3.2 in one zone, one function per case.
//!
//! **Invariants**: an alias is followed only inside the zone and at most [`MAX_CHAIN`] times; no owner is shown twice.

use super::additional;
use super::response::{Data, Glue, MAX_CHAIN, MAX_PROOF, Need, Outcome, Owner, Response, Rr, Steering};
use super::{Query, Question};
use crate::base::client::Client;
use crate::base::ids::{NodeId, ServiceId, ZoneId};
use crate::base::name::{Name, NameBuf};
use crate::base::prefix::Family;
use crate::base::rr::{Ede, Rcode, Rtype};
use crate::base::time::Ttl;
use crate::snapshot::{Hints, SignedOwner, SignedSet, Snapshot};
use crate::steer::Tier;
use crate::zone::{Found, NegativeSoa, Node, RrSet, Steered, Zone};

/// RFC 8482 §4.2: the answer to ANY at a steered owner without an RRset that is the same for all clients.
const RFC8482_HINFO: RrSet<'static> =
    RrSet::unsigned(Rtype::HINFO, Ttl(3600), 1, b"\xc0\x0c\x00\x0d\x00\x01\x00\x00\x0e\x10\x00\x09\x07RFC8482\x00");

/// State that stays the same while the aliases of one question are followed.
pub(super) struct Search<'q, 's> {
    pub(super) question: &'q Question<'q>,
    pub(super) query: &'q Query<'q>,
    pub(super) client: &'q Client,
    pub(super) snapshot: &'s Snapshot,
    pub(super) zone_id: ZoneId,
    pub(super) zone: &'s Zone,
    /// The DO bit: the response has signatures and proofs (RFC 4035 §3.1).
    pub(super) dnssec_ok: bool,
}

/// Next action after a step.
pub(super) enum SearchStep<'s> {
    Done,
    /// Go on at the target of an alias, for which the response has no records yet.
    Follow(Owner<'s>),
}

/// A steered owner, and the way it is steered.
type SteeredNode<'s> = (Node<'s>, Steered);

/// The records asked for at a steered owner.
#[derive(Clone, Copy)]
enum Wanted {
    Addresses(Family),
    Service(ServiceId),
}

impl<'s> Search<'_, 's> {
    /// Answers for the question's name, whose search had the result `found`, then follows aliases inside the zone.
    #[inline]
    pub(super) fn follow(&self, found: Found, response: &mut Response<'s>) {
        let mut step = self.step(Owner::Question, found, response);
        let mut aliases = 0;
        while let SearchStep::Follow(owner) = step {
            response.basis.outcome = Outcome::Alias;
            aliases += 1;
            let name = self.name(owner, response);
            // The resolver follows an alias that leads out of the zone, and a chain that is too long.
            let has_room = response.authority.remaining_capacity() >= MAX_PROOF;
            if aliases == MAX_CHAIN || !name.ends_with(self.zone.apex()) || self.is_shown(name, response) || !has_room {
                return;
            }
            let found = self.zone.find(name, &name.suffixes());
            step = self.step(owner, found, response);
        }
    }

    /// Answers at one name.
    #[inline]
    fn step(&self, owner: Owner<'s>, found: Found, response: &mut Response<'s>) -> SearchStep<'s> {
        let found = if self.zone.has_hashes() { self.unhashed(found) } else { found };
        let id = match found {
            Found::Exact(id) => id,
            Found::Below { encloser, .. } => encloser,
        };
        let node = self.zone.node(id);
        if node.is_occluded()
            && let Some(step) = self.step_occluded(node, found, owner, response)
        {
            return step;
        }
        match found {
            Found::Exact(_) => self.answer(node, owner, response),
            Found::Below { .. } if node.rrset(Rtype::DNAME).is_some() => self.rename(node, owner, response),
            // RFC 4592 §3.3.1: the source of synthesis answers as if it had the name.
            Found::Below { encloser, wildcard: Some(wildcard) } => {
                let step = self.answer(self.zone.node(wildcard), owner, response);
                if let Some(chain) = self.chain() {
                    self.prove_synthesis(chain, owner, encloser, response);
                    if response.basis.outcome == Outcome::NoData {
                        self.prove_encloser(chain, encloser, response);
                    }
                }
                step
            }
            Found::Below { encloser, wildcard: None } => self.deny_name(owner, encloser, response),
        }
    }

    /// The result of the search without the owners of NSEC3 records (RFC 5155 §7.2.8).
    #[cold]
    fn unhashed(&self, found: Found) -> Found {
        let (Found::Exact(id) | Found::Below { encloser: id, .. }) = found;
        if self.zone.node(id).is_only_hash() { self.zone.below_apex() } else { found }
    }

    /// Answers for a name at or below a delegation or below a DNAME; `None` if the node answers all the same.
    fn step_occluded(
        &self,
        node: Node<'s>,
        found: Found,
        owner: Owner<'s>,
        response: &mut Response<'s>,
    ) -> Option<SearchStep<'s>> {
        if let Some(cut) = node.cut() {
            // RFC 4035 §3.1.4.1: the parent answers for DS at the cut.
            let is_parents = found == Found::Exact(cut) && self.question.qtype == Rtype::DS;
            return (!is_parents).then(|| self.refer(self.zone.node(cut), response));
        }
        node.dname().map(|above| self.rename(self.zone.node(above), owner, response))
    }

    /// Answers at a node that has the name, or is its wildcard.
    #[inline]
    fn answer(&self, node: Node<'s>, owner: Owner<'s>, response: &mut Response<'s>) -> SearchStep<'s> {
        let qtype = self.question.qtype;
        response.basis.node = Some(node.id());
        if let Some(steered) = node.steered() {
            // RFC 4035 §3.1: without DO too, an NSEC that is asked for is an answer.
            if (self.dnssec_ok || matches!(qtype, Rtype::NSEC | Rtype::RRSIG))
                && let Some(step) = self.answer_signed(node, owner, response)
            {
                return step;
            }
            match qtype {
                Rtype::A => return self.steer((node, steered), Wanted::Addresses(Family::V4), owner, response),
                Rtype::AAAA => return self.steer((node, steered), Wanted::Addresses(Family::V6), owner, response),
                Rtype::HTTPS => {
                    if let Some(service) = steered.service {
                        return self.serve((node, steered), service, owner, response);
                    }
                }
                _ => {}
            }
        }
        if let Some(set) = node.rrset(qtype) {
            response.basis.outcome = Outcome::Answer;
            push_answer(owner, set, response);
            additional::of_answer(self.zone, node, owner, set, response);
            return SearchStep::Done;
        }
        if qtype == Rtype::ANY {
            return self.answer_any(node, owner, response);
        }
        if qtype == Rtype::RRSIG
            && let Some(set) = node.signatures()
        {
            response.basis.outcome = Outcome::Answer;
            push_answer(owner, set, response);
            return SearchStep::Done;
        }
        if let Some(set) = node.rrset(Rtype::CNAME)
            && let Some(target) = set.rdatas().next()
        {
            push_answer(owner, set, response);
            return SearchStep::Follow(Owner::Stored(Name::trusted(target)));
        }
        self.deny_type(node, response)
    }

    /// Answers for the records that a steered owner has only by its signatures: its NSEC, which is also the answer to ANY
    /// (RFC 8482 §4.1), and the RRSIG of the NSEC if it has no other; `None` for other types.
    #[cold]
    fn answer_signed(&self, node: Node<'s>, owner: Owner<'s>, response: &mut Response<'s>) -> Option<SearchStep<'s>> {
        self.zone.denial_chain()?;
        let is_static = node.rrsets().next().is_some();
        let set = match self.question.qtype {
            Rtype::NSEC => self.nsec(node)?,
            Rtype::ANY if !is_static => self.nsec(node)?,
            Rtype::RRSIG if !is_static => self.nsec(node)?.signatures()?,
            _ => return None,
        };
        response.basis.outcome = Outcome::Answer;
        push_answer(owner, set, response);
        Some(SearchStep::Done)
    }

    /// The signed version of a set of a plan, if the response needs one; `None` if that is not signed yet.
    #[inline]
    fn signed(
        &self,
        node: Node<'_>,
        ttl: Ttl,
        set: RrSet<'s>,
        of: impl FnOnce(&'s SignedOwner) -> Option<&'s SignedSet>,
    ) -> Option<RrSet<'s>> {
        match self.chain() {
            None => Some(set),
            Some(_) => self.signed_owner(node).and_then(of).map(|signed| signed.rrset(ttl)),
        }
    }

    /// Answers with the HTTPS record of a steered owner (RFC 9460 §7.3).
    fn serve(
        &self,
        at: SteeredNode<'s>,
        id: ServiceId,
        owner: Owner<'s>,
        response: &mut Response<'s>,
    ) -> SearchStep<'s> {
        if self.snapshot.service(id).hints == Hints::Tailored {
            return self.steer(at, Wanted::Service(id), owner, response);
        }
        let (node, steered) = at;
        let plan = self.snapshot.default_plan(steered.horizon);
        let set = self.snapshot.service_record(id, plan).rrset(steered.ttl);
        let Some(set) = self.signed(node, steered.ttl, set, |owner| owner.service(plan.index())) else {
            return self.fail(response);
        };
        response.basis.outcome = Outcome::Answer;
        response.answer.push(Rr { owner, data: Data::Tailored(set), need: Need::Required });
        SearchStep::Done
    }

    /// Answers with the addresses of the client's mirror, or with the HTTPS record that has these as hints.
    #[inline]
    fn steer(
        &self,
        at: SteeredNode<'s>,
        wanted: Wanted,
        owner: Owner<'s>,
        response: &mut Response<'s>,
    ) -> SearchStep<'s> {
        let (node, steered) = at;
        // RFC 7871 §7.2.1: the alias is the same for all clients, its target is not, and a response has one scope.
        if !matches!(owner, Owner::Question) && self.query.edns.is_some_and(|edns| edns.ecs.is_some()) {
            response.basis.outcome = Outcome::Alias;
            return SearchStep::Done;
        }
        let decision = self.snapshot.decide_from(steered.horizon, self.client, self.query.way);
        let (family, service) = match wanted {
            Wanted::Addresses(family) => (family, None),
            Wanted::Service(id) => {
                let record = self.snapshot.service_record(id, decision.plan);
                (record.family, Some(record.rrset(steered.ttl)))
            }
        };
        let addresses = self.snapshot.addresses(steered.horizon, decision.plan, family);
        // All plans of a horizon have the same families: steer::choose ensures this.
        let Some(set) = service.or_else(|| addresses.rrset(family, steered.ttl)) else {
            let other = self.snapshot.addresses(steered.horizon, decision.plan, family.other());
            return match other.rrset(family.other(), steered.ttl) {
                Some(_) => self.deny_type(node, response),
                None => self.fail(response),
            };
        };
        let plan = decision.plan.index();
        let set = self.signed(node, steered.ttl, set, |owner| match wanted {
            Wanted::Addresses(family) => owner.addresses(plan, family),
            Wanted::Service(_) => owner.service(plan),
        });
        let Some(set) = set else { return self.fail(response) };
        response.basis.outcome = Outcome::Steered;
        response.basis.steering = Some(Steering { horizon: steered.horizon, family, decision });
        response.scope = decision.scope;
        if matches!(addresses.choice.tier, Tier::Panic | Tier::LastResort) {
            response.ede = Some(Ede::NoMirrorReachable);
        }
        response.answer.push(Rr { owner, data: Data::Tailored(set), need: Need::Required });
        SearchStep::Done
    }

    /// Answers SERVFAIL, because no address of any mirror is known yet, or a record is not signed yet. Resolvers would cache a
    /// negative answer for its TTL, and take an unsigned one for forged.
    #[cold]
    pub(super) fn fail(&self, response: &mut Response<'s>) -> SearchStep<'s> {
        response.rcode = Rcode::SERVFAIL;
        response.ede = Some(Ede::NotReady);
        if response.answer.is_empty() {
            response.aa = false;
        }
        response.basis.outcome = Outcome::NotReady;
        SearchStep::Done
    }

    /// Answers with the DNAME, and a CNAME made from it (RFC 6672 §3.2).
    fn rename(&self, node: Node<'s>, owner: Owner<'s>, response: &mut Response<'s>) -> SearchStep<'s> {
        response.basis.node = Some(node.id());
        let Some(set) = node.rrset(Rtype::DNAME) else { return self.deny_type(node, response) };
        let Some(target) = set.rdatas().next().map(Name::trusted) else { return self.deny_type(node, response) };
        let name = self.name(owner, response);
        let made = NameBuf::joined(&name.as_wire()[..name.len() - node.owner().len()], target);
        push_answer(Owner::Stored(node.owner()), set, response);
        let Some(made) = made else {
            // RFC 6672 §2.2: the name would be too long, so no CNAME is made.
            response.rcode = Rcode::YXDOMAIN;
            response.basis.outcome = Outcome::NameTooLong;
            return SearchStep::Done;
        };
        let index = response.made.len() as u8;
        response.made.push(made);
        let data = Data::Cname { ttl: set.ttl, target: index };
        response.answer.push(Rr { owner, data, need: Need::Required });
        if self.question.qtype == Rtype::CNAME {
            response.basis.outcome = Outcome::Answer;
            return SearchStep::Done;
        }
        SearchStep::Follow(Owner::Made(index))
    }

    /// Answers with a referral, at or below a delegation.
    fn refer(&self, cut: Node<'s>, response: &mut Response<'s>) -> SearchStep<'s> {
        response.basis.outcome = Outcome::Referral;
        response.basis.node = Some(cut.id());
        // After an alias, AA stays set: it is about the first owner of the answer section (RFC 1035 §4.1.1).
        if response.answer.is_empty() {
            response.aa = false;
        }
        if let Some(set) = cut.rrset(Rtype::NS) {
            let rr = Rr { owner: Owner::Stored(cut.owner()), data: Data::Stored(set), need: Need::Required };
            response.authority.push(rr);
            response.additional.glue = Some(Glue { zone: self.zone, cut, servers: set });
            if let Some(chain) = self.chain() {
                self.prove_delegation(chain, cut, response);
            }
        }
        SearchStep::Done
    }

    /// Answers ANY with one RRset (RFC 8482 §4.1).
    fn answer_any(&self, node: Node<'s>, owner: Owner<'s>, response: &mut Response<'s>) -> SearchStep<'s> {
        let set = match node.rrsets().next() {
            Some(set) => set,
            None if node.steered().is_some() => RFC8482_HINFO,
            None => return self.deny_type(node, response),
        };
        response.basis.outcome = Outcome::Answer;
        push_answer(owner, set, response);
        SearchStep::Done
    }

    /// Answers NODATA.
    #[inline]
    fn deny_type(&self, node: Node<'s>, response: &mut Response<'s>) -> SearchStep<'s> {
        response.basis.outcome = Outcome::NoData;
        self.push_soa(node.negative_soa(), response);
        if let Some(chain) = self.chain() {
            self.prove_no_type(chain, node, response);
        }
        SearchStep::Done
    }

    /// Answers NXDOMAIN; after aliases too, the rcode is that of the last name (RFC 6604 §3).
    #[inline]
    fn deny_name(&self, owner: Owner<'s>, encloser: NodeId, response: &mut Response<'s>) -> SearchStep<'s> {
        response.rcode = Rcode::NXDOMAIN;
        response.basis.outcome = Outcome::NxDomain;
        self.push_soa(self.zone.negative_soa(), response);
        if let Some(chain) = self.chain() {
            self.prove_no_name(chain, owner, encloser, response);
        }
        SearchStep::Done
    }

    #[inline]
    fn push_soa(&self, soa: &'s NegativeSoa, response: &mut Response<'s>) {
        let owner = Owner::Stored(self.zone.apex());
        response.authority.push(Rr { owner, data: Data::Negative(soa), need: Need::Required });
    }

    /// Tells whether the answer section has an alias of this name already, so that the chain is a loop.
    fn is_shown(&self, name: Name<'_>, response: &Response<'s>) -> bool {
        response.answer.iter().any(|rr| rr.rtype() == Rtype::CNAME && self.name(rr.owner, response) == name)
    }

    pub(super) fn name<'r>(&'r self, owner: Owner<'s>, response: &'r Response<'s>) -> Name<'r> {
        response.owner_name(owner, self.question.name)
    }
}

/// Adds an RRset to the answer. A DNAME may be used and then asked for, or used twice, but is added once.
#[inline]
fn push_answer<'s>(owner: Owner<'s>, set: RrSet<'s>, response: &mut Response<'s>) {
    if set.rtype == Rtype::DNAME && response.answer.iter().any(|rr| rr.is_of(set)) {
        return;
    }
    response.answer.push(Rr { owner, data: Data::Stored(set), need: Need::Required });
}
