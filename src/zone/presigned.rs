//! Zones that come signed and are served unchanged: all that a validator needs is there.
//!
//! Signatures are not verified, because that takes a minute for a million names; the key, the times and the chain of names
//! show the mistakes that happen: a file that was edited after it was signed, or one that is signed no more.
//!
//! **Invariants**: nothing is changed here.
//! **Not here**: zones that are signed here ([`super::keys`]), the display of problems ([`crate::load`]).
//!
//! RFC 4035 §2 (signed zones), RFC 5155 §7.1 (NSEC3), RFC 9276 §3.1 (iterations).

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use data_encoding::BASE32HEX_NOPAD;

use super::dnssec::{ValidityFault, validity_of_rrsigs};
use super::{CanonicalOrder, Dnssec, Node, RrSet, Zone, key_tag};
use crate::base::ids::NodeId;
use crate::base::name::{Name, NameBuf};
use crate::base::rr::Rtype;
use crate::base::time::UnixTime;
use crate::base::words::words;

/// The most iterations of a hash of NSEC3: resolvers may take a zone with more for insecure, or answer SERVFAIL (RFC 9276
/// §3.2), and each denial costs as many hashes.
pub(crate) const MAX_NSEC3_ITERATIONS: u16 = 50;

/// The most faults of one zone that are looked for: more of these have one cause.
const MAX_FAULTS: usize = 20;

words! {
    /// The reason why a signed zone cannot be served as it is.
    #[derive(Clone, Debug, PartialEq, Eq)]
    #[allow(clippy::missing_docs_in_private_items, reason = "fields: `owner` and `rtype` of the RRset; others as each variant says")]
    pub(crate) enum SignedFault {
        /// The apex has no DNSKEY.
        NoDnskey = "half-signed",
        /// An RRset has no RRSIG of a key of the zone.
        Unsigned { owner: Box<NameBuf>, rtype: Rtype, } = "half-signed",
        /// Neither NSEC nor NSEC3 proves that a name does not exist.
        NoChain = "half-signed",
        /// The NSEC or NSEC3 of this owner is missing, or does not lead to the next.
        BrokenChain { owner: Box<NameBuf>, } = "half-signed",
        /// The RRSIGs of an RRset are not valid at this time.
        Invalid { owner: Box<NameBuf>, rtype: Rtype, fault: ValidityFault, } = "expired-signature",
        /// The hashes of NSEC3 have more than [`MAX_NSEC3_ITERATIONS`].
        Iterations { count: u16, } = "nsec3-iterations",
        /// The addresses of an owner depend on the client.
        Steered { owner: Box<NameBuf>, } = "steered-signed",
        /// Tokens of ACME challenges are added at an owner.
        Challenge { owner: Box<NameBuf>, } = "steered-signed",
    }
}

impl fmt::Display for SignedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SignedFault::NoDnskey => f.write_str("the zone has DNSSEC records, but no DNSKEY at its apex"),
            SignedFault::Unsigned { owner, rtype } => {
                write!(f, "the zone is signed, but the {rtype} of `{owner}` has no RRSIG of a key of the zone")
            }
            SignedFault::NoChain => f.write_str("the zone is signed, but has neither NSEC nor NSEC3PARAM at its apex"),
            SignedFault::BrokenChain { owner } => {
                write!(f, "the zone is signed, but the chain of its names breaks off at `{owner}`")
            }
            SignedFault::Invalid { owner, rtype, fault } => write!(f, "the RRSIG of the {rtype} of `{owner}` {fault}"),
            SignedFault::Iterations { count } => {
                write!(f, "the zone has NSEC3 with {count} iterations, more than {MAX_NSEC3_ITERATIONS}")
            }
            SignedFault::Steered { owner } => {
                write!(f, "the zone is signed elsewhere, and the addresses of `{owner}` depend on the client")
            }
            SignedFault::Challenge { owner } => {
                write!(f, "the zone is signed elsewhere, and ACME challenges are answered at `{owner}`")
            }
        }
    }
}

impl SignedFault {
    /// The remedy.
    pub(crate) fn help(&self) -> &'static str {
        match self {
            SignedFault::NoDnskey => {
                "sign the zone here with `dnssec`, use the whole signed file, or set `unsigned = true` if the parent has no DS"
            }
            SignedFault::Unsigned { .. } | SignedFault::NoChain | SignedFault::BrokenChain { .. } => {
                "sign the file anew after each change; or have the zone signed here with `dnssec`"
            }
            SignedFault::Invalid { fault: ValidityFault::Expired, .. } => {
                "sign the file anew, and check the clock of this machine; with `dnssec` the zone is signed here, in time"
            }
            SignedFault::Invalid { .. } => "check the clock of this machine, and that of the signer",
            SignedFault::Iterations { .. } => {
                "sign the zone with 0 iterations (RFC 9276 §3.1), or have it signed here with `dnssec`"
            }
            SignedFault::Steered { .. } | SignedFault::Challenge { .. } => {
                "have the zone signed here with `dnssec`: no other signer can sign answers that are made here"
            }
        }
    }
}

/// The faults of a zone at a time; a zone without DNSSEC records has no fault. `challenge` is an owner in it at which tokens of ACME
/// challenges are added.
pub(crate) fn check_presigned(zone: &Zone, challenge: Option<&NameBuf>, now: UnixTime) -> Vec<SignedFault> {
    let apex = zone.node(NodeId(0));
    let is_signed = |node: Node<'_>| {
        let is_apex = node.id() == apex.id();
        node.rrsets().any(|set| set.is_signed() || Dnssec::of(set.rtype, is_apex) == Dnssec::Signs)
    };
    if !zone.is_available() || !zone.nodes().any(is_signed) {
        return Vec::new();
    }
    if let Some((owner, _)) = zone.steered_owners().next() {
        return vec![SignedFault::Steered { owner: Box::new(owner.to_owned()) }];
    }
    if let Some(owner) = challenge {
        return vec![SignedFault::Challenge { owner: Box::new(owner.clone()) }];
    }
    let Some(keys) = apex.rrset(Rtype::DNSKEY) else { return vec![SignedFault::NoDnskey] };
    let keys: HashSet<(u8, u16)> = keys.rdatas().filter_map(|rdata| Some((*rdata.get(3)?, key_tag(rdata)))).collect();
    let sets = zone.nodes().flat_map(|node| node.rrsets().map(move |set| (node, set)));
    let faults = sets.filter(|(node, set)| is_authoritative(*node, *set)).filter_map(|(node, set)| {
        let (owner, rtype) = (|| Box::new(node.owner().to_owned()), set.rtype);
        let rrsigs = || set.signature_records().map(|(_, rdata)| rdata);
        if !rrsigs().any(|rdata| is_of(rdata, zone.apex(), &keys)) {
            return Some(SignedFault::Unsigned { owner: owner(), rtype });
        }
        validity_of_rrsigs(rrsigs(), now).map(|fault| SignedFault::Invalid { owner: owner(), rtype, fault })
    });
    faults.chain(check_chain(zone)).take(MAX_FAULTS).collect()
}

/// RFC 4035 §2.2: glue and the NS of a delegation are not signed, and names below a DNAME are not part of the zone.
fn is_authoritative(node: Node<'_>, set: RrSet<'_>) -> bool {
    match (node.cut(), node.dname()) {
        (Some(cut), _) => cut == node.id() && matches!(set.rtype, Rtype::DS | Rtype::NSEC),
        (None, dname) => dname.is_none(),
    }
}

/// Returns whether an RRSIG was made by one of the keys of the zone, each an algorithm and a key tag (RFC 4034 §3.1).
fn is_of(rrsig: &[u8], apex: Name<'_>, keys: &HashSet<(u8, u16)>) -> bool {
    let Some((head, signer)) = rrsig.split_at_checked(18) else { return false };
    let key = (head[2], u16::from_be_bytes([head[16], head[17]]));
    keys.contains(&key) && Name::split_from(signer).is_some_and(|(signer, _)| signer == apex)
}

fn check_chain(zone: &Zone) -> Option<SignedFault> {
    let apex = zone.node(NodeId(0));
    if apex.rrset(Rtype::NSEC).is_some() {
        return check_nsec(zone, &CanonicalOrder::of(zone));
    }
    let Some(param) = apex.rrset(Rtype::NSEC3PARAM).and_then(|set| set.rdatas().next()) else {
        return Some(SignedFault::NoChain);
    };
    check_nsec3(zone, param)
}

/// RFC 4034 §4.1.1: each NSEC names the next owner, and the last one the apex.
fn check_nsec(zone: &Zone, order: &CanonicalOrder) -> Option<SignedFault> {
    let following = order.owners(zone).skip(1).map(Node::owner).chain([zone.apex()]);
    let broken = order.owners(zone).zip(following).find(|(node, following)| {
        let next = node.rrset(Rtype::NSEC).and_then(|set| Some(Name::split_from(set.rdatas().next()?)?.0));
        next != Some(*following)
    });
    broken.map(|(node, _)| SignedFault::BrokenChain { owner: Box::new(node.owner().to_owned()) })
}

/// RFC 5155 §3.1.7: each NSEC3 has the next hash, and the last one the first.
fn check_nsec3(zone: &Zone, param: &[u8]) -> Option<SignedFault> {
    let [algorithm, _, high, low, salt @ ..] = param else { return Some(SignedFault::NoChain) };
    let iterations = u16::from_be_bytes([*high, *low]);
    if iterations > MAX_NSEC3_ITERATIONS {
        return Some(SignedFault::Iterations { count: iterations });
    }
    // A zone whose parameters are being changed has several chains.
    let next = |rdata: &'_ [u8]| {
        let rest = rdata.get(4..)?.strip_prefix(salt)?;
        let is_same = rdata[0] == *algorithm && rdata[2..4] == [*high, *low];
        let (len, rest) = rest.split_first().filter(|_| is_same)?;
        rest.get(..usize::from(*len)).map(<[u8]>::to_vec)
    };
    let mut chain: BTreeMap<Vec<u8>, (NodeId, Vec<u8>)> = BTreeMap::new();
    for node in zone.nodes() {
        let Some(set) = node.rrset(Rtype::NSEC3) else { continue };
        let label = node.owner().labels().next().map(<[u8]>::to_ascii_uppercase);
        let hash = label.and_then(|label| BASE32HEX_NOPAD.decode(&label).ok());
        if let (Some(hash), Some(next)) = (hash, set.rdatas().find_map(next)) {
            chain.insert(hash, (node.id(), next));
        }
    }
    let Some(first) = chain.keys().next() else { return Some(SignedFault::NoChain) };
    let following = chain.keys().skip(1).chain([first]);
    let broken = chain.values().zip(following).find(|((_, next), following)| next != *following);
    broken.map(|((id, _), _)| SignedFault::BrokenChain { owner: Box::new(zone.node(*id).owner().to_owned()) })
}

#[cfg(test)]
mod tests;
