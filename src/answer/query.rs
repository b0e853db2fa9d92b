//! A query as the engine sees it: parsed, borrowed from the message, with what is wrong with it.

use crate::base::client::Subnet;
use crate::base::name::{Name, Tail};
use crate::base::rr::{Class, Rtype};
use crate::snapshot::Way;

/// A message that deserves a reply.
///
/// A malformed message is a query with a [`QueryProblem`]: what could be read is there, so that the reply can echo it.
#[derive(Clone, Copy, Debug)]
pub struct Query<'m> {
    /// The ID to give back.
    pub id: u16,
    /// The OPCODE, four bits.
    pub opcode: u8,
    /// The RD bit, as it stands in byte 2; the reply echoes it.
    pub recursion_desired: u8,
    /// The question, if there is one and it could be read.
    pub question: Option<Question<'m>>,
    /// The question section is malformed. For callers of `decode`: a reply follows from the result of reading the message.
    pub has_unread_question: bool,
    /// The OPT record, if there is one and it could be read.
    pub edns: Option<Edns<'m>>,
    /// Where a TSIG record starts in the message; it is not verified yet (RFC 8945).
    pub tsig: Option<u16>,
    /// What is wrong with the message.
    pub problem: Option<QueryProblem>,
    /// How far somebody has gone on the way to its answer, in the snapshot that answers it.
    pub way: Option<&'m Way>,
}

impl Query<'_> {
    /// A query of which nothing has been read.
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
    /// Where the last labels of the name are.
    pub tail: Tail,
    /// The type asked for.
    pub qtype: Rtype,
    /// The class asked for.
    pub qclass: Class,
    /// The question as it stands in the message; the reply repeats it octet for octet.
    pub wire: &'m [u8],
}

/// What the OPT record says (RFC 6891).
#[derive(Clone, Copy, Debug)]
pub struct Edns<'m> {
    /// The largest UDP payload the requestor takes; below 512 means 512.
    pub payload: u16,
    /// The DO bit: DNSSEC records are wanted (RFC 3225).
    pub dnssec_ok: bool,
    /// The client subnet (RFC 7871).
    pub ecs: Option<Ecs<'m>>,
    /// The cookie (RFC 7873): 8 octets from the client, and 8 to 32 that it once got from a server.
    pub cookie: Option<&'m [u8]>,
    /// The server's identity is wanted (RFC 5001).
    pub nsid: bool,
    /// The keepalive option (RFC 7828).
    pub keepalive: Keepalive,
    /// The length of the reply is to be hidden (RFC 7830).
    pub padding: bool,
}

/// Whether a client wants to know for how long its connection may be silent (RFC 7828).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keepalive {
    /// It does not.
    No,
    /// It does.
    Yes,
    /// Its option says something, which only a server's may.
    Malformed,
}

/// A well-formed ECS option.
#[derive(Clone, Copy, Debug)]
pub struct Ecs<'m> {
    /// What it says; none for FAMILY 0, which discloses nothing.
    pub subnet: Option<Subnet>,
    /// Its data as received, to be echoed with the scope filled in.
    pub data: &'m [u8],
}

/// What is wrong with a message, and so what its reply says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryProblem {
    /// It cannot be read: FORMERR.
    Malformed,
    /// The OPT record's version is above 0: BADVERS (RFC 6891 §6.1.3).
    EdnsVersion,
    /// The OPCODE is neither QUERY nor NOTIFY: NOTIMP.
    Opcode,
}
