//! Signed answers of steered owners: the addresses and HTTPS records of each plan, and the NSEC, with their signatures.
//!
//! [`TailoredSigning::new`] lists the signatures: one for each content that differs, not one for each plan. Mirrors whose health
//! changes mostly move plans to content that is signed already. [`TailoredSigning::finish`] gives each plan its content. If the
//! time did not suffice to sign the content of a plan, resolvers that ask for signatures get the signed content of another plan:
//! its mirrors are as healthy, and only farther away.
//!
//! **Invariants**: a set has at least one signature; the records of a set are those of its plan's answer without DNSSEC, unless
//! its content is not signed yet; the NSEC of a steered owner lists the families that its horizon has now.
//! **Not here**: making signatures ([`crate::live`]), static records ([`crate::zone`]).
//!
//! RFC 4035 §2.2 and §3.1.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::{Hints, Snapshot};
use crate::base::ids::{NodeId, ZoneId};
use crate::base::name::Name;
use crate::base::prefix::Family;
use crate::base::rr::Rtype;
use crate::base::time::{Ttl, UnixTime};
use crate::zone::{
    RrSet, RrSetToSign, SignatureCount, SignatureOctets, SigningTerms, SigningTime, SigningWindow, SteeredLink, ToSign,
    Zone, ZoneKey, nsec_rdata, push_record,
};

/// The signed answers of a steered owner.
#[derive(Clone, Debug)]
pub(crate) struct SignedOwner {
    zone: ZoneId,
    node: NodeId,
    /// By plan and family.
    plans: Box<[[Option<SignedSet>; 2]]>,
    /// By plan; empty without an HTTPS record.
    services: Box<[Option<SignedSet>]>,
    nsec: Option<SignedSet>,
    signatures: SignatureCount,
}

/// An RRset with its signatures.
#[derive(Clone, Debug)]
pub(crate) struct SignedSet {
    rtype: Rtype,
    count: u16,
    /// The records and their signatures, as [`RrSet::signed_wire`].
    wire: Arc<[u8]>,
    max_ttl: Ttl,
}

impl SignedSet {
    /// The RRset, with the TTL to give.
    pub(crate) fn rrset(&self, ttl: Ttl) -> RrSet<'_> {
        RrSet::signed(self.rtype, ttl.min(self.max_ttl), self.count, &self.wire)
    }

    /// The same for a plan whose own content is not signed yet: the next publication has it.
    fn for_a_second(self) -> Self {
        SignedSet { max_ttl: Ttl(1), ..self }
    }
}

impl SignedOwner {
    /// The addresses of a plan; `None` if the horizon has no address of the family, or no signature.
    #[inline]
    pub(crate) fn addresses(&self, plan: usize, family: Family) -> Option<&SignedSet> {
        self.plans.get(plan)?[family as usize].as_ref()
    }

    /// The HTTPS record of a plan.
    pub(crate) fn service(&self, plan: usize) -> Option<&SignedSet> {
        // A record without hints is the same for all plans, and is here once.
        self.services.get(plan).or_else(|| self.services.first())?.as_ref()
    }

    /// The NSEC.
    pub(crate) fn nsec(&self) -> Option<&SignedSet> {
        self.nsec.as_ref()
    }
}

impl Snapshot {
    /// The keys of a zone that is signed here.
    pub(crate) fn signing_terms(&self, zone: ZoneId) -> Option<&SigningTerms> {
        self.compiled.signing.get(zone.index())?.as_deref()
    }

    /// The same with these keys of zones.
    #[cfg(test)]
    pub(crate) fn with_signing(mut self, signing: Vec<Option<Arc<SigningTerms>>>) -> Self {
        self.compiled.signing = signing.into();
        self
    }

    /// The signed answers of a steered owner of a zone that is signed here.
    pub(crate) fn signed_owner(&self, zone: ZoneId, node: NodeId) -> Option<&SignedOwner> {
        let at = self.signed.binary_search_by_key(&(zone, node), |owner| (owner.zone, owner.node)).ok()?;
        Some(&self.signed[at])
    }

    /// True if a zone is signed here.
    pub(crate) fn signs(&self) -> bool {
        self.compiled.signing.iter().any(Option::is_some)
    }

    /// True if the current version of a zone is to be signed here, and is not yet.
    pub(crate) fn is_awaiting_signatures(&self, zone: ZoneId) -> bool {
        self.signing_terms(zone).is_some() && self.zones.is_unsigned(zone) && self.zones.zone(zone).is_available()
    }

    /// The zones whose current version is to be signed here, and is not yet.
    pub(crate) fn unsigned_zones(&self) -> Vec<ZoneId> {
        self.zones.iter().map(|(id, _)| id).filter(|id| self.is_awaiting_signatures(*id)).collect()
    }

    /// The same with these signed versions of zones: each with the zone that it was made of.
    pub(crate) fn with_signed_zones(mut self, signed: impl IntoIterator<Item = (Arc<Zone>, Arc<Zone>)>) -> Self {
        self.zones = Arc::new(self.zones.with_signed(signed));
        self
    }

    /// The same with these signed answers.
    pub(crate) fn with_signed_owners(mut self, owners: Arc<[SignedOwner]>) -> Self {
        self.signed = owners;
        self
    }

    /// The signatures of a zone, those of its steered answers among them.
    pub(crate) fn signatures(&self, zone: ZoneId) -> SignatureCount {
        let tailored = self.signed.iter().filter(|owner| owner.zone == zone).map(|owner| owner.signatures);
        tailored.fold(self.zones.zone(zone).signatures(), SignatureCount::plus)
    }
}

/// The signatures to make for the steered owners of a snapshot.
pub(crate) struct TailoredSigning<'s> {
    time: SigningTime,
    owners: Vec<OwnerDraft<'s>>,
    /// Each content once.
    contents: Vec<TailoredContent<'s>>,
    /// The content and the key of each signature.
    jobs: Vec<(usize, &'s ZoneKey)>,
}

/// A steered owner, with the positions of its contents.
struct OwnerDraft<'s> {
    zone: ZoneId,
    apex: Name<'s>,
    link: SteeredLink<'s>,
    terms: &'s SigningTerms,
    plans: Vec<[Option<Placed>; 2]>,
    services: Vec<Placed>,
    nsec: usize,
}

/// The position of a content, and the longest TTL that a plan gives it.
#[derive(Clone, Copy)]
struct Placed {
    content: usize,
    max_ttl: Ttl,
}

/// An RRset without signatures.
struct TailoredContent<'s> {
    owner: usize,
    rtype: Rtype,
    ttl: Ttl,
    count: u16,
    wire: Cow<'s, [u8]>,
}

impl<'s> TailoredSigning<'s> {
    /// Lists the signatures of a snapshot whose zones are signed.
    pub(crate) fn new(snapshot: &'s Snapshot, time: SigningTime) -> Self {
        let mut signing = TailoredSigning { time, owners: Vec::new(), contents: Vec::new(), jobs: Vec::new() };
        for (id, zone) in snapshot.zones.iter() {
            let Some(terms) = snapshot.signing_terms(id) else { continue };
            for link in zone.steered_chain() {
                signing.add_owner(snapshot, id, zone.apex(), terms, link);
            }
        }
        signing.jobs = signing.list_jobs();
        signing
    }

    fn add_owner(
        &mut self,
        snapshot: &'s Snapshot,
        zone: ZoneId,
        apex: Name<'s>,
        terms: &'s SigningTerms,
        link: SteeredLink<'s>,
    ) {
        let (owner, steered) = (self.owners.len(), link.steered);
        let plans = &snapshot.derived.answers[steered.horizon.index()];
        let mut types = link.types.clone();
        let families =
            Family::ALL.into_iter().filter(|family| plans.iter().any(|plan| plan[*family as usize].count > 0));
        types.extend(families.map(Rtype::of_addresses));
        types.extend(steered.service.map(|_| Rtype::HTTPS));
        let (mut wire, ttl) = (Vec::new(), link.node.negative_soa().rrset().ttl);
        push_record(Rtype::NSEC, ttl, &nsec_rdata(link.next, &types), &mut wire);
        let nsec = self.contents.len();
        self.contents.push(TailoredContent { owner, rtype: Rtype::NSEC, ttl, count: 1, wire: wire.into() });
        let mut known = HashMap::new();
        let mut place = |set: RrSet<'s>| {
            let content = *known.entry((set.rtype, set.wire())).or_insert_with(|| {
                let (rtype, count, wire) = (set.rtype, set.count(), Cow::Borrowed(set.wire()));
                self.contents.push(TailoredContent { owner, rtype, ttl: steered.ttl, count, wire });
                self.contents.len() - 1
            });
            Placed { content, max_ttl: set.ttl }
        };
        let of_plan =
            |plan: &'s [super::Addresses; 2]| Family::ALL.map(|family| plan[family as usize].rrset(family, Ttl::MAX));
        let placed = plans.iter().map(|plan| of_plan(plan).map(|set| set.map(&mut place))).collect();
        let services = steered.service.map_or(Vec::new(), |id| {
            let records = &snapshot.derived.service_records[id.index()];
            let is_one = snapshot.service(id).hints != Hints::Tailored;
            let default = snapshot.default_plan(steered.horizon).index();
            let records = if is_one { &records[default..=default] } else { &records[..] };
            records.iter().map(|record| place(record.rrset(Ttl::MAX))).collect()
        });
        self.owners.push(OwnerDraft { zone, apex, link, terms, plans: placed, services, nsec });
    }

    fn list_jobs(&self) -> Vec<(usize, &'s ZoneKey)> {
        let of_content = |(at, content): (usize, &TailoredContent<'_>)| {
            let keys = self.owners[content.owner].terms.keys.iter();
            keys.filter(|key| key.signs_data()).map(move |key| (at, key))
        };
        self.contents.iter().enumerate().flat_map(of_content).collect()
    }

    /// The number of signatures.
    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// The bytes to sign for the signature at a position below [`TailoredSigning::len`].
    pub(crate) fn to_sign(&self, position: usize) -> ToSign<'s> {
        let (content, key) = self.jobs[position];
        let (set, window) = self.content(&self.contents[content]);
        set.by(key, window)
    }

    fn content<'c>(&'c self, content: &'c TailoredContent<'s>) -> (RrSetToSign<'c>, SigningWindow) {
        let owner = &self.owners[content.owner];
        let name = owner.link.node.owner();
        let set = RrSet::unsigned(content.rtype, content.ttl, content.count, &content.wire);
        let rdatas = set.rdatas().collect();
        let window = SigningWindow::at(self.time, owner.terms.validity_secs, name, content.rtype);
        (RrSetToSign { apex: owner.apex, owner: name, rtype: content.rtype, ttl: content.ttl, rdatas }, window)
    }

    /// The signed answers, from the signatures in the order of their positions; `None` for one that is not made.
    pub(crate) fn finish(&self, signatures: &[Option<SignatureOctets>]) -> Arc<[SignedOwner]> {
        let mut counts = vec![SignatureCount::default(); self.owners.len()];
        let mut made = self.jobs.iter().zip(signatures);
        let mut wire_of = |content: &TailoredContent<'_>| -> Option<Arc<[u8]>> {
            let keys = self.owners[content.owner].terms.keys.iter().filter(|key| key.signs_data()).count();
            let own: Vec<_> =
                made.by_ref().take(keys).map(|((_, key), signature)| Some((*key, signature.as_ref()?))).collect();
            let own = own.into_iter().collect::<Option<Vec<_>>>().filter(|own| !own.is_empty())?;
            let (set, window) = self.content(content);
            let mut wire = content.wire.to_vec();
            for (key, signature) in own {
                push_record(Rtype::RRSIG, content.ttl, &set.rrsig(key, window, signature), &mut wire);
                counts[content.owner].add(UnixTime(window.expiration.into()));
            }
            Some(wire.into())
        };
        let wires: Vec<_> = self.contents.iter().map(&mut wire_of).collect();
        let mut owners: Vec<_> =
            self.owners.iter().zip(counts).map(|(owner, count)| self.owner(owner, &wires, count)).collect();
        owners.sort_by_key(|owner| (owner.zone, owner.node));
        owners.into()
    }

    fn owner(&self, draft: &OwnerDraft<'_>, wires: &[Option<Arc<[u8]>>], signatures: SignatureCount) -> SignedOwner {
        let signed = |placed: Placed| {
            let (content, wire) = (&self.contents[placed.content], wires[placed.content].clone()?);
            Some(SignedSet { rtype: content.rtype, count: content.count, wire, max_ttl: placed.max_ttl })
        };
        let of_family = |family: Family| {
            let placed = || draft.plans.iter().map(move |plan| plan[family as usize]);
            let other = placed().flatten().find_map(signed).map(SignedSet::for_a_second);
            let of_plan =
                move |placed: Option<Placed>| placed.and_then(|placed| signed(placed).or_else(|| other.clone()));
            placed().map(of_plan).collect::<Vec<_>>()
        };
        let [v4, v6] = Family::ALL.map(of_family);
        let other = draft.services.iter().find_map(|placed| signed(*placed)).map(SignedSet::for_a_second);
        SignedOwner {
            zone: draft.zone,
            node: draft.link.node.id(),
            plans: v4.into_iter().zip(v6).map(|(v4, v6)| [v4, v6]).collect(),
            services: draft.services.iter().map(|placed| signed(*placed).or_else(|| other.clone())).collect(),
            nsec: signed(Placed { content: draft.nsec, max_ttl: self.contents[draft.nsec].ttl }),
            signatures,
        }
    }
}
