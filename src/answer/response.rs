//! A response of the engine: RRsets by section, the scope, and the reason.
//!
//! **Invariants**: borrowed from one snapshot; every RRset is whole; the basis has the ids of the zone, the node and the
//! steering decision.

use arrayvec::ArrayVec;

use crate::base::client::ScopePrefixLen;
use crate::base::ids::{HorizonId, NodeId, ZoneId};
use crate::base::name::{Name, NameBuf};
use crate::base::prefix::Family;
use crate::base::rr::{Ede, Rcode, Rtype};
use crate::base::time::Ttl;
use crate::base::words::words;
use crate::steer::Decision;
use crate::zone::{NegativeSoa, Node, RrSet, Zone};

/// Maximum number of aliases (CNAME or DNAME) that one response follows; BIND has the same limit.
pub(crate) const MAX_CHAIN: usize = 16;

/// Maximum number of RRsets in the answer section: a DNAME and its CNAME for each alias, then the RRset asked for.
const MAX_ANSWER: usize = 2 * MAX_CHAIN + 1;

/// Maximum number of RRsets that prove one denial: the SOA and up to three NSEC3 (RFC 5155 §7.2.2).
pub(crate) const MAX_PROOF: usize = 4;

/// Maximum number of RRsets in the authority section: the proofs of two aliases that wildcards have, and that of a denial.
/// With more such aliases the resolver follows the chain itself.
const MAX_AUTHORITY: usize = 2 + MAX_PROOF;

/// Maximum number of RRsets in the additional section of an answer: thirteen hosts with both families. More are optional.
const MAX_ADDITIONAL: usize = 26;

/// Response to a query.
#[derive(Clone, Debug)]
pub(crate) struct Response<'s> {
    /// The response code.
    pub(crate) rcode: Rcode,
    /// The AA bit (RFC 1035 §4.1.1): we are an authority for the first owner in the answer section, or for the question.
    /// Clear in a referral.
    pub(crate) aa: bool,
    /// The answer section.
    pub(crate) answer: ArrayVec<Rr<'s>, MAX_ANSWER>,
    /// The authority section.
    pub(crate) authority: ArrayVec<Rr<'s>, MAX_AUTHORITY>,
    /// The additional section, without OPT.
    pub(crate) additional: Additional<'s>,
    /// The TC bit, whatever fits (RFC 1035 §4.1.1): the response lacks a required RRset, and the client should retry over
    /// TCP.
    pub(crate) truncated: bool,
    /// Names that no zone holds: the targets made from DNAMEs.
    pub(crate) made: ArrayVec<NameBuf, MAX_CHAIN>,
    /// Number of leading bits of the client's subnet for which this holds.
    pub(crate) scope: ScopePrefixLen,
    /// The extended error, for clients that speak EDNS.
    pub(crate) ede: Option<Ede>,
    /// The reason for the response.
    pub(crate) basis: Basis,
}

/// The additional section: the RRsets that an answer comes with, or the glue of a referral.
#[derive(Clone, Debug)]
pub(crate) struct Additional<'s> {
    /// RRsets that an answer comes with.
    pub(crate) rrsets: ArrayVec<Rr<'s>, MAX_ADDITIONAL>,
    /// Addresses of a delegated zone's servers, found while the section is written.
    pub(crate) glue: Option<Glue<'s>>,
}

/// The addresses of the servers of a delegated zone, found one by one
/// ([`Glue::rrsets`]), because a response may not have room for all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Glue<'s> {
    pub(super) zone: &'s Zone,
    pub(super) cut: Node<'s>,
    pub(super) servers: RrSet<'s>,
}

impl Additional<'_> {
    /// Leaves the section without records.
    fn clear(&mut self) {
        self.rrsets.clear();
        self.glue = None;
    }
}

/// One RRset in a section.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rr<'s> {
    /// Its owner.
    pub(crate) owner: Owner<'s>,
    /// Its records.
    pub(crate) data: Data<'s>,
    /// Required or optional.
    pub(crate) need: Need,
}

/// Owner of an RRset.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Owner<'s> {
    /// The name asked for.
    Question,
    /// A name in the zone.
    Stored(Name<'s>),
    /// A name in [`Response::made`].
    Made(u8),
}

/// The records of an RRset.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Data<'s> {
    /// The RRset as the zone keeps it.
    Stored(RrSet<'s>),
    /// The addresses of mirrors, or the HTTPS record of their owner. The TTL is that of the set, not that in its bytes.
    Tailored(RrSet<'s>),
    /// The SOA of a negative answer.
    Negative(&'s NegativeSoa),
    /// One CNAME to a name in [`Response::made`] (RFC 6672 §3.1).
    Cname {
        /// The DNAME's TTL.
        ttl: Ttl,
        /// The index of the target.
        target: u8,
    },
}

/// Treatment of an RRset that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// The response is truncated.
    Required,
    /// It is left out.
    Optional,
}

/// Reason for a response, as ids; for `explain`, the log, metrics and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Basis {
    /// The case of the response.
    pub outcome: Outcome,
    /// The zone.
    pub zone: Option<ZoneId>,
    /// The node whose records were used last.
    pub node: Option<NodeId>,
    /// The steering decision; `None` if the response was not steered.
    pub steering: Option<Steering>,
}

words! {
    /// Case of a response, in the terms of RFC 1034 §4.3.2 and RFC 9499.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum Outcome {
        /// The RRset asked for.
        Answer = "answer",
        /// The addresses of a mirror, or an HTTPS record with them.
        Steered = "steered",
        /// The name exists, the type does not.
        NoData = "nodata",
        /// The name does not exist.
        NxDomain = "nxdomain",
        /// The name is delegated.
        Referral = "referral",
        /// An alias that leads out of the zone or to a steered owner, or whose chain is too long or a loop.
        Alias = "alias",
        /// A DNAME would make a name too long (RFC 6672 §2.2).
        NameTooLong = "name-too-long",
        /// The addresses of a steered owner are not known yet.
        NotReady = "not-ready",
        /// No zone here holds the name, or the query is not supported or not permitted.
        Refused = "refused",
        /// The message could not be understood.
        Rejected = "rejected",
        /// The identity of the server (class CHAOS).
        Identity = "identity",
        /// The query has no question and asks only for a cookie (RFC 7873 §5.4).
        Cookie = "cookie",
    }
}

/// A steering decision, with its horizon and family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steering {
    /// The horizon.
    pub horizon: HorizonId,
    /// The family of the addresses asked for; for an HTTPS record, that of its first hints.
    pub family: Family,
    /// The decision.
    pub decision: Decision,
}

impl<'s> Response<'s> {
    /// A response without records.
    #[inline]
    pub(crate) fn empty() -> Self {
        Response {
            rcode: Rcode::NOERROR,
            aa: false,
            answer: ArrayVec::new(),
            authority: ArrayVec::new(),
            additional: Additional { rrsets: ArrayVec::new(), glue: None },
            truncated: false,
            made: ArrayVec::new(),
            scope: ScopePrefixLen(0),
            ede: None,
            basis: Basis { outcome: Outcome::Answer, zone: None, node: None, steering: None },
        }
    }

    /// Removes all records from all sections, and the extended error. Header, question and OPT are left.
    ///
    /// The response is then as long as its question, plus OPT. Each section clears its own parts, so that a part added to a
    /// section cannot be forgotten here.
    pub(crate) fn keep_question_only(&mut self) {
        // Every field is named, so that a new section does not compile until it is cleared too.
        let Response { answer, authority, additional, ede, rcode: _, aa: _, truncated: _, made, scope: _, basis: _ } =
            self;
        answer.clear();
        authority.clear();
        additional.clear();
        made.clear();
        *ede = None;
    }

    /// Removes all records and sets TC, so that the client retries over TCP.
    pub(crate) fn truncate(&mut self) {
        self.keep_question_only();
        self.truncated = true;
    }

    /// Denies the query with a response code and an extended error.
    pub(crate) fn deny(&mut self, (rcode, ede): (Rcode, Option<Ede>)) {
        self.rcode = rcode;
        self.ede = ede;
        self.basis.outcome = Outcome::Refused;
    }

    /// The name of an owner, given the question's.
    pub(crate) fn owner_name<'r>(&'r self, owner: Owner<'r>, question: Name<'r>) -> Name<'r> {
        match owner {
            Owner::Question => question,
            Owner::Stored(name) => name,
            Owner::Made(index) => self.made[usize::from(index)].as_name(),
        }
    }
}

impl<'s> Rr<'s> {
    /// Tells whether it is an RRset of the zone, which is one slice of the zone's bytes.
    pub(super) fn is_of(&self, set: RrSet<'_>) -> bool {
        matches!(self.data, Data::Stored(own) if std::ptr::eq(own.signed_wire(), set.signed_wire()))
    }

    /// The type.
    pub(crate) fn rtype(&self) -> Rtype {
        match self.data {
            Data::Stored(set) | Data::Tailored(set) => set.rtype,
            Data::Negative(_) => Rtype::SOA,
            Data::Cname { .. } => Rtype::CNAME,
        }
    }

    /// The RRset as stored, with its signatures; `None` for a CNAME made from a DNAME, which has none (RFC 6672 §5.3.1).
    #[inline]
    pub(crate) fn kept(&self) -> Option<RrSet<'s>> {
        match self.data {
            Data::Stored(set) | Data::Tailored(set) => Some(set),
            Data::Negative(soa) => Some(soa.rrset()),
            Data::Cname { .. } => None,
        }
    }
}
