//! Identity of the server under names of class CHAOS, if the configuration sets it.
//!
//! **Invariants**: a question without a configured text is refused, so that no identity is disclosed by default.
//!
//! RFC 4892 (`id.server`), and the names that BIND introduced: `hostname.bind`, `version.bind`.

use super::response::{Data, Need, Outcome, Owner, Response, Rr};
use super::{Question, refuse};
use crate::base::name::Name;
use crate::base::rr::{Ede, Rtype};
use crate::snapshot::Snapshot;

/// Answers a question of class CHAOS.
#[cold]
pub(super) fn tell<'s>(question: &Question<'_>, snapshot: &'s Snapshot, response: &mut Response<'s>) {
    let identity = &snapshot.settings().identity;
    let is = |name: &'static [u8]| question.name == Name::trusted(name);
    let text = match question.qtype {
        Rtype::TXT | Rtype::ANY if is(b"\x02id\x06server\0") || is(b"\x08hostname\x04bind\0") => &identity.host,
        Rtype::TXT | Rtype::ANY if is(b"\x07version\x06server\0") || is(b"\x07version\x04bind\0") => &identity.version,
        _ => &None,
    };
    let Some(text) = text else { return refuse(Ede::NotSupported, response) };
    response.aa = true;
    response.basis.outcome = Outcome::Identity;
    response.answer.push(Rr { owner: Owner::Question, data: Data::Stored(text.rrset()), need: Need::Required });
}
