//! A query for the engine: parsed, borrowed from the message, with its problem if it has one.

use crate::base::client::Subnet;
use crate::base::name::{Name, Tail};
use crate::base::rr::{Class, Rtype};
use crate::snapshot::Way;

/// A message that deserves a reply.
///
/// A malformed message is a query with a [`QueryProblem`]. The parts that could be read are kept, so that the reply can echo
/// them.
#[derive(Clone, Copy, Debug)]
pub struct Query<'m> {
    /// The ID to give back.
    pub(crate) id: u16,
    /// The OPCODE, four bits.
    pub(crate) opcode: u8,
    /// The RD bit, at its position in byte 2; the reply echoes it.
    pub(crate) recursion_desired: u8,
    /// The question, if there is one and it could be read.
    pub question: Option<Question<'m>>,
    /// The question section is malformed. Only for callers of `decode`: a reply follows from the result of reading the
    /// message.
    pub has_unread_question: bool,
    /// The OPT record, if there is one and it could be read.
    pub edns: Option<Edns<'m>>,
    /// Offset of a TSIG record in the message; it is not verified yet (RFC 8945).
    pub tsig: Option<u16>,
    /// The problem of the message; `None` if it has none.
    pub problem: Option<QueryProblem>,
    /// Progress of the prefetch for this query, in the snapshot that answers it; `None` if there was no prefetch.
    pub(crate) way: Option<&'m Way>,
}

impl Query<'_> {
    /// A query before any part of it has been read.
    pub(crate) const EMPTY: Self = Query {
        id: 0,
        opcode: 0,
        recursion_desired: 0,
        question: None,
        has_unread_question: false,
        edns: None,
        tsig: None,
        problem: None,
        way: None,
    };
}

/// The one question of a query.
#[derive(Clone, Copy, Debug)]
pub struct Question<'m> {
    /// The name, in the case in which it was asked.
    pub name: Name<'m>,
    /// The position of the name's last labels.
    pub(crate) tail: Tail,
    /// The type asked for.
    pub(crate) qtype: Rtype,
    /// The class asked for.
    pub(crate) qclass: Class,
    /// The bytes of the question in the message; the reply repeats them unchanged.
    pub wire: &'m [u8],
}

/// Content of the OPT record (RFC 6891).
#[derive(Clone, Copy, Debug)]
pub struct Edns<'m> {
    /// The largest UDP payload that the requestor accepts, in bytes; below 512 means 512.
    pub payload: u16,
    /// The DO bit: DNSSEC records are wanted (RFC 3225).
    pub(crate) dnssec_ok: bool,
    /// The client subnet (RFC 7871).
    pub ecs: Option<Ecs<'m>>,
    /// The cookie (RFC 7873): 8 bytes from the client, and 8 to 32 that it once got from a server.
    pub(crate) cookie: Option<&'m [u8]>,
    /// The server's identity is wanted (RFC 5001).
    pub(crate) nsid: bool,
    /// The keepalive option (RFC 7828).
    pub keepalive: Keepalive,
    /// The length of the reply is to be hidden (RFC 7830).
    pub(crate) padding: bool,
}

/// Request for the idle timeout of the connection (RFC 7828).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keepalive {
    /// The client does not ask for it.
    No,
    /// The client asks for it.
    Yes,
    /// The option has data, which only a server's may have.
    Malformed,
}

/// A well-formed ECS option.
#[derive(Clone, Copy, Debug)]
pub struct Ecs<'m> {
    /// The subnet; `None` for FAMILY 0, which discloses no address.
    pub subnet: Option<Subnet>,
    /// Its data as received, to be echoed with the scope filled in.
    pub data: &'m [u8],
}

/// Problem of a message, which determines its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryProblem {
    /// The message cannot be read: FORMERR.
    Malformed,
    /// The OPT record's version is above 0: BADVERS (RFC 6891 §6.1.3).
    EdnsVersion,
    /// The OPCODE is neither QUERY nor NOTIFY: NOTIMP.
    Opcode,
}
