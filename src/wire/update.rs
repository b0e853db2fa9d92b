//! Dynamic updates (RFC 2136): admission, the decision of what a message changes, and the reply.
//!
//! [`super::respond`] refuses an update that has no permission, and hands over the others ([`super::Silence::Update`]). The
//! caller makes a [`ReceivedUpdate`] of the bytes and passes it to the service of challenges, which asks
//! [`ReceivedUpdate::judge`], keeps the changes on the disk, and sends [`ReceivedUpdate::reply`].
//!
//! An update sets and removes the tokens of one credential. ACME clients remove a token in three forms: one record, the
//! RRset of a type, or all RRsets of a name. All three are about the tokens of the credential alone, because the RRset
//! has tokens of others too. Between the servers of a zone, updates carry entries of tokens ([`exchange`]).
//!
//! **Invariants**: an update that is refused in any part changes nothing; a reply is signed with the key of its update.
//! **Not here**: the tokens ([`crate::challenge`]), the disk and the queue (acme).
//!
//! RFC 2136 §3 (the server's behaviour), RFC 8945 §5.3 (signed replies).

mod exchange;

use std::net::IpAddr;
use std::sync::Arc;

use super::decode::{OPCODE_UPDATE, decode};
use super::encode::size_limit;
use super::record::{PassedRecord, expand, pass_record, skip_questions};
use super::transfer::Denial;
use super::tsig::{self, Signer, TsigVerdict};
use super::{Limit, MAX_UDP, Peer, Reply, Summary, Transport, encode_in_room};
use crate::answer::{Query, Question, Response};
use crate::base::ids::KeyId;
use crate::base::name::NameBuf;
use crate::base::rr::{Class, Ede, Rcode, Rtype};
use crate::base::time::Now;
use crate::challenge::{ChallengeToken, Credential, Removal};
use crate::snapshot::Snapshot;
use crate::zone::{Node, Zone};
pub use exchange::ReceivedEntry;
pub(crate) use exchange::{AnsweredTokens, MAX_ENTRIES, answered_tokens, entries_message};

/// The refusal of a message whose sender may not do this.
const PROHIBITED: Denial = (Rcode::REFUSED, Some(Ede::Prohibited));

/// A message that breaks a rule of the format.
const MALFORMED: Denial = (Rcode::FORMERR, None);

/// A message about another zone than those of this server.
const NOT_OURS: Denial = (Rcode::NOTAUTH, Some(Ede::NotAuthoritative));

/// An update that is signed by a credential or a peer, and not decided yet.
#[derive(Debug)]
pub struct ReceivedUpdate {
    message: Vec<u8>,
    peer: Peer,
    author: UpdateAuthor,
    signer: Signer,
}

/// The author of an update, by its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpdateAuthor {
    /// A credential, by its name.
    Credential(Arc<str>),
    /// Another server of the zones, by its key, which several may have.
    Server(KeyId),
}

/// The effect of an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpdateEffect {
    /// A credential changes its tokens.
    Changes(Vec<TokenChange>),
    /// Another server tells the entries that it has; without entries, it greets.
    Entries(Vec<ReceivedEntry>),
}

/// A change of the tokens of a credential at an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenChange {
    /// The owner.
    pub owner: NameBuf,
    /// The change.
    pub action: TokenAction,
}

/// The kinds of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenAction {
    /// The token is set.
    Set(ChallengeToken),
    /// Tokens of the credential are removed.
    Remove(Removal),
}

/// The author of an update, if it may send updates for the zone; otherwise the denial. The service judges the address, so that
/// the use of a stolen key is counted.
///
/// Deviates: RFC 2136 §3.3 has this check after the prerequisites. It comes first, so that only credentials and peers take
/// places in the queue of the service.
pub(super) fn admit(
    question: &Question<'_>,
    peer: Peer,
    key: Option<KeyId>,
    snapshot: &Snapshot,
) -> Result<UpdateAuthor, Denial> {
    // The service answers later, and a response over HTTP or QUIC is made at once. No ACME client sends updates over these.
    if matches!(peer.transport, Transport::Https | Transport::Quic) {
        return Err((Rcode::REFUSED, Some(Ede::NotSupported)));
    }
    let key = key.ok_or(PROHIBITED)?;
    // §3.1.1: the zone section has one record, of type SOA, which names a zone of this server.
    if question.qtype != Rtype::SOA {
        return Err(MALFORMED);
    }
    let found = snapshot.zones().at_apex(question.name).filter(|_| question.qclass == Class::IN);
    found.ok_or(NOT_OURS)?;
    if snapshot.challenges().peer_keys.contains(&key) {
        return Ok(UpdateAuthor::Server(key));
    }
    let credential = snapshot.challenges().of_key(key).ok_or(PROHIBITED)?;
    Ok(UpdateAuthor::Credential(credential.name.clone()))
}

/// Takes in an update that [`super::respond`] handed over; `None` if the message is another one.
pub fn receive(message: &[u8], peer: Peer, snapshot: &Snapshot, now: Now) -> Option<ReceivedUpdate> {
    let query = decode(message).filter(|query| query.opcode == OPCODE_UPDATE && query.problem.is_none())?;
    let verdict = tsig::authenticate(message, query.tsig, &snapshot.transfers().keys, now.unix);
    let TsigVerdict::Signed(key, signer) = verdict else { return None };
    let author = admit(&query.question?, peer, Some(key), snapshot).ok()?;
    Some(ReceivedUpdate { message: message.to_vec(), peer, author, signer })
}

impl ReceivedUpdate {
    /// The author.
    pub fn author(&self) -> &UpdateAuthor {
        &self.author
    }

    /// The address of the sender.
    pub fn address(&self) -> IpAddr {
        self.peer.address
    }

    /// The effect that the message asks for, in its order, or the reason for making no part of it.
    pub fn judge(&self, snapshot: &Snapshot) -> Result<UpdateEffect, Denial> {
        let query = decode(&self.message).ok_or(MALFORMED)?;
        let question = query.question.ok_or(MALFORMED)?;
        // A reload may have removed the zone or the credential.
        let (_, zone) = snapshot.zones().at_apex(question.name).ok_or(NOT_OURS)?;
        if let Some(ede) = zone.lack() {
            return Err((Rcode::SERVFAIL, Some(ede)));
        }
        let (prerequisites, updates) = sections(&self.message).ok_or(MALFORMED)?;
        check_prerequisites(&prerequisites, zone)?;
        prescan(&updates, zone)?;
        match &self.author {
            UpdateAuthor::Credential(name) => {
                let credential = snapshot.challenges().credential(name).ok_or(PROHIBITED)?;
                if !credential.admits(self.peer.address) {
                    return Err(PROHIBITED);
                }
                let change = |record| change(record, credential, snapshot).ok_or(PROHIBITED);
                updates.iter().map(change).collect::<Result<_, _>>().map(UpdateEffect::Changes)
            }
            // The key of a peer does nothing but this.
            UpdateAuthor::Server(_) if !prerequisites.is_empty() => Err(PROHIBITED),
            UpdateAuthor::Server(_) => {
                let entry = |record| exchange::entry(record).ok_or(PROHIBITED);
                updates.iter().map(entry).collect::<Result<_, _>>().map(UpdateEffect::Entries)
            }
        }
    }

    /// The signed reply, with its summary.
    pub fn reply(mut self, outcome: Result<(), Denial>, snapshot: &Snapshot, now: Now) -> (Vec<u8>, Summary) {
        let query = decode(&self.message).unwrap_or(Query::EMPTY);
        let mut response = Response::empty();
        if let Err(denial) = outcome {
            response.deny(denial);
        }
        let question = query.question.map(|question| question.name);
        let found = question.and_then(|name| snapshot.zones().find(name, &name.suffixes()));
        response.basis.zone = found.map(|(id, _)| id);
        let mut out = vec![0; MAX_UDP];
        let (transport, settings) = (self.peer.transport, snapshot.settings());
        let room = size_limit(&query, transport, settings).min(out.len()) - self.signer.room();
        let extras = super::extras(&query, self.peer, snapshot, now);
        let Reply { len, summary } =
            encode_in_room(&query, &response, extras, Limit::Off, transport, settings, &mut out[..room]);
        let len = self.signer.sign(&mut out, len, now.unix);
        out.truncate(len);
        (out, summary)
    }
}

/// A record of an update.
#[derive(Debug)]
struct UpdateRecord<'m> {
    owner: NameBuf,
    rtype: Rtype,
    class: Class,
    ttl: u32,
    rdata: &'m [u8],
}

/// The prerequisites and the updates of a message; `None` if the message is malformed.
fn sections(message: &[u8]) -> Option<(Vec<UpdateRecord<'_>>, Vec<UpdateRecord<'_>>)> {
    let ([prerequisites, updates, _], rest) = skip_questions(message)?;
    let mut at = message.len() - rest.len();
    let mut section = |count: u16| (0..count).map(|_| record(message, &mut at)).collect::<Option<Vec<_>>>();
    Some((section(prerequisites)?, section(updates)?))
}

fn record<'m>(message: &'m [u8], at: &mut usize) -> Option<UpdateRecord<'m>> {
    let (owner, _) = expand(message, *at)?;
    let mut behind = message.get(*at..)?;
    let PassedRecord { rtype, class, ttl, rdata } = pass_record(&mut behind)?;
    *at = message.len() - behind.len();
    Some(UpdateRecord { owner, rtype, class, ttl: ttl.0, rdata })
}

/// Checks the prerequisites against the zone as it is answered (RFC 2136 §3.2).
fn check_prerequisites(prerequisites: &[UpdateRecord<'_>], zone: &Zone) -> Result<(), Denial> {
    let mut exact: Vec<&UpdateRecord<'_>> = Vec::new();
    for record in prerequisites {
        if record.ttl != 0 || (record.class != Class::IN && !record.rdata.is_empty()) {
            return Err(MALFORMED);
        }
        if !record.owner.as_name().ends_with(zone.apex()) {
            return Err((Rcode::NOTZONE, None));
        }
        let node = zone.node_of(record.owner.as_name());
        let has_type = || node.is_some_and(|node| has_type(node, record.rtype));
        match (record.class, record.rtype) {
            // §3.2.4: a name without records is not in use. An owner of challenges may have no token.
            (Class::ANY, Rtype::ANY) if !node.is_some_and(is_in_use) => return Err((Rcode::NXDOMAIN, None)),
            (Class::NONE, Rtype::ANY) if node.is_some_and(is_in_use) => return Err((Rcode::YXDOMAIN, None)),
            (Class::ANY | Class::NONE, Rtype::ANY) => {}
            (_, rtype) if rtype.is_meta() => return Err(MALFORMED),
            (Class::ANY, _) if !has_type() => return Err((Rcode::NXRRSET, None)),
            (Class::NONE, _) if has_type() => return Err((Rcode::YXRRSET, None)),
            (Class::ANY | Class::NONE, _) => {}
            (Class::IN, _) => exact.push(record),
            _ => return Err(MALFORMED),
        }
    }
    // §3.2.3: the records of each RRset are compared as a whole.
    for record in &exact {
        let wanted = exact.iter().filter(|other| other.owner == record.owner && other.rtype == record.rtype);
        let mut wanted: Vec<&[u8]> = wanted.map(|record| record.rdata).collect();
        let set = zone.node_of(record.owner.as_name()).and_then(|node| node.rrset(record.rtype));
        let mut present: Vec<&[u8]> = set.iter().flat_map(|set| set.rdatas()).collect();
        wanted.sort_unstable();
        wanted.dedup();
        present.sort_unstable();
        if wanted != present {
            return Err((Rcode::NXRRSET, None));
        }
    }
    Ok(())
}

/// True if a node has records; the addresses of a steered owner are records too.
fn is_in_use(node: Node<'_>) -> bool {
    node.rrsets().next().is_some() || node.steered().is_some()
}

fn has_type(node: Node<'_>, rtype: Rtype) -> bool {
    node.rrset(rtype).is_some() || node.steered().is_some() && matches!(rtype, Rtype::A | Rtype::AAAA)
}

/// Checks the form of all updates before the first is made (RFC 2136 §3.4.1).
fn prescan(updates: &[UpdateRecord<'_>], zone: &Zone) -> Result<(), Denial> {
    for record in updates {
        if !record.owner.as_name().ends_with(zone.apex()) {
            return Err((Rcode::NOTZONE, None));
        }
        let is_any = record.rtype == Rtype::ANY;
        let is_fine = match record.class {
            Class::IN => !record.rtype.is_meta(),
            Class::ANY => record.ttl == 0 && record.rdata.is_empty() && (is_any || !record.rtype.is_meta()),
            Class::NONE => record.ttl == 0 && !record.rtype.is_meta(),
            _ => false,
        };
        if !is_fine {
            return Err(MALFORMED);
        }
    }
    Ok(())
}

/// The change that a record asks for; `None` if its credential may not make it.
fn change(record: &UpdateRecord<'_>, credential: &Credential, snapshot: &Snapshot) -> Option<TokenChange> {
    let is_own = snapshot.challenges().permits(&credential.name, &record.owner);
    let action = match (record.class, record.rtype) {
        // §2.5.1: a record is added. Its TTL does not matter: all tokens have TTL 0.
        (Class::IN, Rtype::TXT) => TokenAction::Set(ChallengeToken::from_txt(record.rdata)?),
        // §2.5.4: one record is removed.
        (Class::NONE, Rtype::TXT) => TokenAction::Remove(Removal::One(ChallengeToken::from_txt(record.rdata)?)),
        // §2.5.2 and §2.5.3: an RRset or all RRsets are removed.
        (Class::ANY, Rtype::TXT | Rtype::ANY) => TokenAction::Remove(Removal::All),
        _ => return None,
    };
    is_own.then(|| TokenChange { owner: record.owner.clone(), action })
}

#[cfg(test)]
mod tests;
