//! Signing of a zone: the RRsets to sign, and the zone with its NSEC chain and signatures.
//!
//! [`ZoneSigning::new`] lists the signatures of a zone, [`ZoneSigning::to_sign`] gives the bytes to sign for one, and
//! [`ZoneSigning::finish`] puts the signed zone together. The caller makes the signatures, on as many threads as it likes, because
//! that takes private keys, randomness and time.
//!
//! **Invariants**: each RRset that the zone is an authority for has a signature by each key that signs it; glue, and the NS
//! records of a delegation, have none; each owner in canonical order has an NSEC, except steered ones, whose types depend on the
//! health of mirrors ([`Zone::steered_chain`]).
//! **Not here**: signatures of tailored answers ([`crate::snapshot`]), keys ([`super::keys`]).
//!
//! RFC 4035 §2 (zone signing), RFC 7344 (CDS), RFC 8078 §4 (removal of DS records), RFC 9077 (TTL of NSEC).

mod chain;
mod signed_bytes;

pub(crate) use chain::nsec_rdata;
pub(crate) use signed_bytes::{RrSetToSign, SigningTime, SigningWindow, ToSign};

use std::collections::BTreeSet;

use super::{CanonicalOrder, Node, SignatureOctets, SigningTerms, Steered, Zone, ZoneBuilder, ZoneKey, ds_rdata};
use crate::base::ids::NodeId;
use crate::base::name::Name;
use crate::base::rr::Rtype;
use crate::base::time::Ttl;

/// The rdata of the CDS and CDNSKEY records that ask for the removal of all DS records (RFC 8078 §4).
const DELETE_CDS: [u8; 5] = [0, 0, 0, 0, 0];
const DELETE_CDNSKEY: [u8; 5] = [0, 0, 3, 0, 0];

/// The signatures to make for a zone, and its additional records.
pub(crate) struct ZoneSigning<'z> {
    zone: &'z Zone,
    terms: &'z SigningTerms,
    time: SigningTime,
    order: CanonicalOrder,
    /// The RRsets of keys at the apex, with those of the file.
    key_sets: Vec<AddedRrSet>,
    /// The NSEC of each owner in order; `None` for a steered owner.
    chain: Vec<Option<AddedRrSet>>,
    jobs: Vec<SignJob>,
}

/// An RRset that signing adds to a zone.
struct AddedRrSet {
    rtype: Rtype,
    ttl: Ttl,
    rdatas: Vec<Vec<u8>>,
}

/// One signature to make.
struct SignJob {
    /// The position of the owner in canonical order.
    at: u32,
    rtype: Rtype,
    /// The position of the key in the terms.
    key: u16,
}

impl<'z> ZoneSigning<'z> {
    /// Lists the signatures of a zone. `zone` has no signatures, except those of an off-line key over the RRsets of keys.
    pub(crate) fn new(zone: &'z Zone, terms: &'z SigningTerms, time: SigningTime) -> Self {
        let order = CanonicalOrder::of(zone);
        let mut signing = ZoneSigning {
            zone,
            terms,
            time,
            order,
            key_sets: key_sets(zone, terms),
            chain: Vec::new(),
            jobs: Vec::new(),
        };
        let owners = signing.order.owners(zone);
        let next = owners.skip(1).chain([zone.node(NodeId(0))]);
        signing.chain =
            signing.order.owners(zone).zip(next).map(|(node, next)| signing.nsec(node, next.owner())).collect();
        signing.jobs = signing.list_jobs();
        signing
    }

    fn nsec(&self, node: Node<'_>, next: Name<'_>) -> Option<AddedRrSet> {
        if node.steered().is_some() {
            return None;
        }
        let types = self.types_of(node);
        let ttl = node.negative_soa().rrset().ttl;
        Some(AddedRrSet { rtype: Rtype::NSEC, ttl, rdatas: vec![nsec_rdata(next, &types)] })
    }

    fn types_of(&self, node: Node<'_>) -> BTreeSet<Rtype> {
        let mut types = chain::types_of(node);
        if node.id() == NodeId(0) {
            types.extend(self.key_sets.iter().map(|set| set.rtype));
        }
        types
    }

    fn list_jobs(&self) -> Vec<SignJob> {
        let mut jobs = Vec::with_capacity(self.chain.len() * 2);
        for ((node, nsec), at) in self.order.owners(self.zone).zip(&self.chain).zip(0..) {
            let is_steered = nsec.is_none();
            for rtype in self.types_of(node) {
                let is_parents = rtype == Rtype::NS && node.cut().is_some();
                if rtype == Rtype::RRSIG || is_parents || (rtype == Rtype::NSEC && is_steered) {
                    continue;
                }
                let are_keys = matches!(rtype, Rtype::DNSKEY | Rtype::CDS | Rtype::CDNSKEY) && node.id() == NodeId(0);
                for (key, position) in self.terms.keys.iter().zip(0..) {
                    if if are_keys { key.signs_keys() } else { key.signs_data() } {
                        jobs.push(SignJob { at, rtype, key: position });
                    }
                }
            }
        }
        jobs
    }

    /// The number of signatures.
    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// The bytes to sign for the signature at a position below [`ZoneSigning::len`].
    pub(crate) fn to_sign(&self, position: usize) -> ToSign<'z> {
        let job = &self.jobs[position];
        let (set, key, window) = self.job(job);
        set.by(key, window)
    }

    fn job(&self, job: &SignJob) -> (RrSetToSign<'_>, &'z ZoneKey, SigningWindow) {
        let node = self.order.owner(job.at as usize, self.zone);
        let window = SigningWindow::at(self.time, self.terms.validity_secs, node.owner(), job.rtype);
        let (ttl, rdatas) = self.rrset(job.at as usize, node, job.rtype);
        let set = RrSetToSign { apex: self.zone.apex(), owner: node.owner(), rtype: job.rtype, ttl, rdatas };
        (set, &self.terms.keys[usize::from(job.key)], window)
    }

    fn rrset(&self, at: usize, node: Node<'z>, rtype: Rtype) -> (Ttl, Vec<&[u8]>) {
        let of_keys = (at == 0).then_some(&self.key_sets).into_iter().flatten();
        let mut added = of_keys.chain(self.chain[at].as_ref());
        if let Some(set) = added.find(|set| set.rtype == rtype) {
            return (set.ttl, set.rdatas.iter().map(Vec::as_slice).collect());
        }
        node.rrset(rtype).map_or((Ttl(0), Vec::new()), |set| (set.ttl, set.rdatas().collect()))
    }

    /// The zone with its chain and these signatures, in the order of their positions. `None` if the zone has no room for them.
    pub(crate) fn finish(&self, signatures: &[SignatureOctets]) -> Option<Zone> {
        let mut builder = ZoneBuilder::like(self.zone).ok()?;
        let mut add_set = |owner: Name<'_>, set: &AddedRrSet| {
            set.rdatas.iter().try_for_each(|rdata| builder.add(owner, set.rtype, set.ttl, rdata, 0)).ok()
        };
        self.key_sets.iter().try_for_each(|set| add_set(self.zone.apex(), set))?;
        for (node, nsec) in self.order.owners(self.zone).zip(&self.chain) {
            nsec.iter().try_for_each(|set| add_set(node.owner(), set))?;
        }
        for (job, signature) in self.jobs.iter().zip(signatures) {
            let (set, key, window) = self.job(job);
            builder.add(set.owner, Rtype::RRSIG, set.ttl, &set.rrsig(key, window, signature), 0).ok()?;
        }
        let (zone, _) = builder.finish().ok()?;
        Some(zone.with_dynamic_owners_of(self.zone))
    }
}

/// The RRsets of keys: those of the file and those of the keys that are here.
fn key_sets(zone: &Zone, terms: &SigningTerms) -> Vec<AddedRrSet> {
    let mut of_type = [Rtype::DNSKEY, Rtype::CDS, Rtype::CDNSKEY].map(|rtype| {
        let of_file = zone.node(NodeId(0)).rrset(rtype);
        let ttl = of_file.map_or(zone.soa().ttl, |set| set.ttl);
        let rdatas = of_file.into_iter().flat_map(|set| set.rdatas().map(<[u8]>::to_vec)).collect();
        AddedRrSet { rtype, ttl, rdatas }
    });
    let [dnskey, cds, cdnskey] = &mut of_type;
    for key in &terms.keys {
        dnskey.rdatas.push(key.dnskey.to_vec());
        if key.has_ds {
            cds.rdatas.push(ds_rdata(zone.apex(), &key.dnskey));
            cdnskey.rdatas.push(key.dnskey.to_vec());
        }
    }
    if terms.deletes_ds {
        cds.rdatas = vec![DELETE_CDS.to_vec()];
        cdnskey.rdatas = vec![DELETE_CDNSKEY.to_vec()];
    }
    for set in &mut of_type {
        set.rdatas.sort_unstable();
        set.rdatas.dedup();
    }
    of_type.into_iter().filter(|set| !set.rdatas.is_empty()).collect()
}

/// A steered owner in the NSEC chain of a signed zone.
pub(crate) struct SteeredLink<'z> {
    /// The owner.
    pub(crate) node: Node<'z>,
    /// Its steering.
    pub(crate) steered: Steered,
    /// The next owner in canonical order.
    pub(crate) next: Name<'z>,
    /// The types that the owner has whatever the health of mirrors.
    pub(crate) types: BTreeSet<Rtype>,
}

impl Zone {
    /// The steered owners of a signed zone, for the NSEC records that the zone itself lacks.
    pub(crate) fn steered_chain(&self) -> impl Iterator<Item = SteeredLink<'_>> {
        let order = self.canonical_order();
        self.steered.iter().filter_map(move |(id, steered)| {
            let (node, order) = (self.node(*id), order?);
            let next = order.after(node.owner(), self).owner();
            Some(SteeredLink { node, steered: *steered, next, types: chain::types_of(node) })
        })
    }
}

#[cfg(test)]
mod tests;
