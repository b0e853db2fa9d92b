//! A response as the engine makes it: RRsets by section, the scope, and why.
//!
//! **Invariants**: borrowed from one snapshot; every RRset is whole; the basis names what decided, by ids.

use arrayvec::ArrayVec;

use super::additional::Glue;
use crate::base::client::ScopePrefixLen;
use crate::base::ids::{HorizonId, NodeId, ZoneId};
use crate::base::name::{Name, NameBuf};
use crate::base::prefix::Family;
use crate::base::rr::{Ede, Rcode, Rtype};
use crate::base::time::Ttl;
use crate::steer::Decision;
use crate::zone::{NegativeSoa, RrSet};

/// The most aliases (CNAME or DNAME) that one response follows; BIND stops after as many.
pub const MAX_CHAIN: usize = 16;

/// A DNAME and its CNAME for each alias, then the RRset.
const MAX_ANSWER: usize = 2 * MAX_CHAIN + 1;

/// The SOA of a denial and up to three NSEC3 that prove it (RFC 5155 §7.2.2), or the NS of a referral with its DS.
const MAX_AUTHORITY: usize = 4;

/// Thirteen hosts with both families; what an answer comes with is optional.
const MAX_ADDITIONAL: usize = 26;

/// What to reply.
#[derive(Clone, Debug)]
pub struct Response<'s> {
    /// The response code.
    pub rcode: Rcode,
    /// The AA bit (RFC 1035 §4.1.1): we are an authority for the first owner in the answer section, or for the question.
    /// Clear in a referral.
    pub aa: bool,
    /// The answer section.
    pub answer: ArrayVec<Rr<'s>, MAX_ANSWER>,
    /// The authority section.
    pub authority: ArrayVec<Rr<'s>, MAX_AUTHORITY>,
    /// The additional section, without OPT.
    pub additional: Additional<'s>,
    /// The TC bit, whatever fits (RFC 1035 §4.1.1): the response lacks an RRset that it needs, and the client is to ask
    /// again over TCP.
    pub truncated: bool,
    /// Names that no zone holds: what DNAMEs turned a name into.
    pub made: ArrayVec<NameBuf, MAX_CHAIN>,
    /// For how much of the client's subnet this holds.
    pub scope: ScopePrefixLen,
    /// The extended error, for clients that speak EDNS.
    pub ede: Option<Ede>,
    /// What decided.
    pub basis: Basis,
}

/// The additional section: the RRsets that an answer comes with, or the glue of a referral.
#[derive(Clone, Debug)]
pub struct Additional<'s> {
    /// RRsets that an answer comes with.
    pub rrsets: ArrayVec<Rr<'s>, MAX_ADDITIONAL>,
    /// Addresses of a delegated zone's servers, found while they are written.
    pub glue: Option<Glue<'s>>,
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
pub struct Rr<'s> {
    /// Its owner.
    pub owner: Owner<'s>,
    /// Its records.
    pub data: Data<'s>,
    /// Whether the response may go without it.
    pub need: Need,
}

/// Whose records they are.
#[derive(Clone, Copy, Debug)]
pub enum Owner<'s> {
    /// The name asked for.
    Question,
    /// A name in the zone.
    Stored(Name<'s>),
    /// A name in [`Response::made`].
    Made(u8),
}

/// The records of an RRset.
#[derive(Clone, Copy, Debug)]
pub enum Data<'s> {
    /// As the zone keeps them.
    Stored(RrSet<'s>),
    /// The addresses of mirrors, or the HTTPS record of their owner; the TTL to give is the set's, not that of its octets.
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

/// What happens to an RRset that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The response is truncated.
    Required,
    /// It is left out.
    Optional,
}

/// What decided, as ids: read by `explain`, the log, metrics and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Basis {
    /// How the response came about.
    pub outcome: Outcome,
    /// The zone.
    pub zone: Option<ZoneId>,
    /// The node whose records were used last.
    pub node: Option<NodeId>,
    /// What steering decided, where it had a say.
    pub steering: Option<Steering>,
}

/// How a response came about, in the words of RFC 1034 §4.3.2 and RFC 8499.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The RRset asked for.
    Answer,
    /// The addresses of a mirror, or an HTTPS record with them.
    Steered,
    /// The name exists, the type does not.
    NoData,
    /// The name does not exist.
    NxDomain,
    /// The name is delegated.
    Referral,
    /// An alias that leads out of the zone, or to a steered owner, or nowhere in time.
    Alias,
    /// A DNAME would make a name too long (RFC 6672 §2.2).
    NameTooLong,
    /// The addresses of a steered owner are not known yet.
    NotReady,
    /// No zone here, or nothing to be told.
    Refused,
    /// The message could not be understood.
    Rejected,
    /// What the server says of itself (class CHAOS).
    Identity,
    /// There was no question; a cookie was all that was asked for (RFC 7873 §5.4).
    Cookie,
}

/// A steering decision and what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steering {
    /// The horizon.
    pub horizon: HorizonId,
    /// The addresses asked for; of an HTTPS record, its first hints.
    pub family: Family,
    /// The decision.
    pub decision: Decision,
}

impl<'s> Response<'s> {
    /// A response that says nothing yet.
    #[inline]
    pub fn empty() -> Self {
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

    /// Takes all records out of all sections, and the extended error: header, question and OPT are left.
    ///
    /// The response is then as long as its question, but for OPT. Each section clears its own parts, so that a part
    /// added to a section cannot be forgotten here.
    pub fn keep_question_only(&mut self) {
        // Every section by name: one that is added does not compile until it is cleared too.
        let Response { answer, authority, additional, ede, rcode: _, aa: _, truncated: _, made, scope: _, basis: _ } =
            self;
        answer.clear();
        authority.clear();
        additional.clear();
        made.clear();
        *ede = None;
    }

    /// Takes all records out, and says TC: the client is to ask again over TCP.
    pub fn truncate(&mut self) {
        self.keep_question_only();
        self.truncated = true;
    }

    /// The name of an owner, given the question's.
    pub fn owner_name<'r>(&'r self, owner: Owner<'r>, question: Name<'r>) -> Name<'r> {
        match owner {
            Owner::Question => question,
            Owner::Stored(name) => name,
            Owner::Made(index) => self.made[usize::from(index)].as_name(),
        }
    }
}

impl<'s> Rr<'s> {
    /// The type.
    pub fn rtype(&self) -> Rtype {
        match self.data {
            Data::Stored(set) | Data::Tailored(set) => set.rtype,
            Data::Negative(_) => Rtype::SOA,
            Data::Cname { .. } => Rtype::CNAME,
        }
    }

    /// The RRset as it is kept, with its signatures; `None` for a CNAME made from a DNAME, which has none
    /// (RFC 6672 §5.3.1).
    #[inline]
    pub fn kept(&self) -> Option<RrSet<'s>> {
        match self.data {
            Data::Stored(set) | Data::Tailored(set) => Some(set),
            Data::Negative(soa) => Some(soa.rrset()),
            Data::Cname { .. } => None,
        }
    }
}
