//! The views of a record and of a mirror's state: the health of an address, an override, and the target of blob requests.
//!
//! **Invariants**: those of [`super::view`].
//! **Not here**: sentences ([`super::words`]).

#![allow(clippy::missing_docs_in_private_items, reason = "a field is named for its key in the JSON document")]

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::time::UnixTime;
use crate::base::when::{parse_moment, rfc3339};
use crate::base::words::Worded as _;
use crate::mirror::{Forced, Operator, Override, Reason, Via};

/// One of a few stable words.
pub(crate) type Word = Cow<'static, str>;

/// A record as a client reads it, with its rdata in the form of master files.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct RecordView {
    pub(crate) owner: String,
    pub(crate) ttl: u32,
    #[serde(rename = "type")]
    pub(crate) rtype: String,
    pub(crate) rdata: String,
}

/// One address of a mirror, and its health.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct AddressView {
    pub(crate) address: String,
    pub(crate) health: Word,
    /// The last verdict over the worse protocol; null if it has not been probed.
    pub(crate) verdict: Option<Word>,
    /// The last verdict over each protocol that it serves, by the protocol's name in ALPN.
    #[serde(default)]
    pub(crate) protocols: BTreeMap<Word, Word>,
    /// The start of its present health, as far as the process knows.
    pub(crate) since: Option<String>,
    /// The cause of the verdict; null if the verdict is `up`, or unknown.
    pub(crate) reason: Option<String>,
    pub(crate) remedy: Option<String>,
    /// The expiry of the last certificate that a probe got from it; null if no probe got one.
    pub(crate) certificate_ends: Option<String>,
    /// The number of servers of the fleet that see it as not up, and of those with a view; null without a fleet, and if all see
    /// it as up.
    pub(crate) against: Option<u16>,
    pub(crate) servers: Option<u16>,
}

/// An override of an operator.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct OverrideView {
    /// `drain`, `down` or `up`.
    pub(crate) order: Word,
    pub(crate) reason: String,
    /// The operator's login, or another identification.
    pub(crate) who: String,
    /// The source of the operator's name: `login`, `sudo` or `token`; null if an earlier version wrote the override.
    pub(crate) via: Option<Word>,
    /// The user id of the process that sent the request; null for a client with the token.
    pub(crate) uid: Option<u32>,
    pub(crate) since: String,
    pub(crate) until: Option<String>,
}

impl OverrideView {
    pub(crate) fn of(order: &Override) -> Self {
        OverrideView {
            order: order.forced.as_str().into(),
            reason: order.reason.to_string(),
            who: order.who.name.to_string(),
            via: order.who.via.map(|via| via.as_str().into()),
            uid: order.who.uid,
            since: rfc3339(order.since),
            until: order.until.map(rfc3339),
        }
    }

    /// The override; `None` if a value does not parse, which those of [`OverrideView::of`] always do.
    pub(crate) fn order(&self) -> Option<Override> {
        let until = match &self.until {
            Some(text) => Some(parse_moment(text)?),
            None => None,
        };
        let since: UnixTime = parse_moment(&self.since)?;
        let (forced, reason) = (Forced::parse(&self.order)?, Reason::parse(&self.reason).ok()?);
        Some(Override { forced, reason, who: self.operator(), since, until })
    }

    /// The operator. An unknown `via`, which a later version may write, becomes `None`.
    pub(crate) fn operator(&self) -> Operator {
        let via = self.via.as_deref().and_then(Via::parse);
        Operator { name: self.who.as_str().into(), via, uid: self.uid }
    }
}

impl AddressView {
    /// True if an operator should look at it: its health or its last verdict is not `up`.
    pub(crate) fn is_troubled(&self) -> bool {
        self.health != "up" || self.verdict.as_deref().is_some_and(|verdict| verdict != "up") || self.against.is_some()
    }
}

/// The target of the client's blob requests to the registry listener.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct RedirectView {
    /// `steered-name`; `mirror`, if the mirror has the blob; `rule` for canonical by a rule; or `canonical`, because no
    /// mirror is up.
    pub(crate) to: Word,
    /// The redirect-only mirror.
    pub(crate) mirror: Option<String>,
    /// Its URL, with placeholders.
    pub(crate) url: Option<String>,
}
