//! An explanation with names instead of ids: the output of `--json`, the input of the text layout, and the reply of a
//! running server.
//!
//! **Invariants**: the keys are stable, because scripts read them; an unknown value is null, its key is never left out.
//! **Not here**: names of ids ([`names`]), sentences ([`super::words`]), layout (`cli`).

#![allow(clippy::missing_docs_in_private_items, reason = "a field is named for its key in the JSON document")]

mod names;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::labels::LabelsView;
pub(crate) use super::state::{AddressView, OverrideView, RecordView, RedirectView, Word};
use super::{explain, explain_redirect, first_steered, horizons_of_redirects, words};
use crate::base::client::{Client, SourcePrefixLen, Subnet};
use crate::base::ids::HorizonId;
use crate::base::name::NameBuf;
use crate::base::prefix::Prefix;
use crate::base::time::Generation;
use crate::snapshot::Snapshot;
use names::view;

/// The source of an explanation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExplainSource {
    /// The configuration files. Every mirror counts as up.
    Files,
    /// The snapshot that a server serves.
    Served {
        /// The generation of the snapshot.
        generation: Generation,
        /// The age of the snapshot, in seconds.
        age_secs: u64,
    },
}

/// The subject of an explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ExplainSubject {
    /// The answers for a name.
    Name(Box<NameBuf>),
    /// The redirects by a horizon that steers no name.
    Redirects(HorizonId),
}

impl ExplainSubject {
    /// The subject of a request that gives no name: the first steered owner, else the first horizon with a redirect-only
    /// mirror.
    pub(crate) fn first_of(snapshot: &Snapshot) -> Option<Self> {
        let name = first_steered(snapshot).map(|(name, _)| ExplainSubject::Name(name.into()));
        name.or_else(|| horizons_of_redirects(snapshot).next().map(ExplainSubject::Redirects))
    }
}

impl ExplainSource {
    /// The source in words, and its generation.
    fn note(self) -> (String, Option<u64>) {
        match self {
            ExplainSource::Files => (
                "this is read from the files: every mirror counts as up, which a running server may know better".into(),
                None,
            ),
            ExplainSource::Served { generation: Generation(number), age_secs } => {
                (format!("this is what the server serves: generation {number}, for {age_secs} s now"), Some(number))
            }
        }
    }
}

/// Explains the replies that a client gets for a name, or its redirect. Without a resolver, the client's first address is the
/// resolver. A redirect is explained for the client's first address.
pub(crate) fn describe(
    snapshot: &Snapshot,
    subject: &ExplainSubject,
    client: Prefix,
    resolver: Option<IpAddr>,
    known: ExplainSource,
) -> View {
    let mut notes: Vec<String> = Vec::new();
    let explanation = match subject {
        ExplainSubject::Name(name) => {
            if client.prefix_len() == client.family().width() {
                notes.push(
                    "an address is explained as a subnet of full length, as if the resolver sent all of it; most send /24 of \
                     IPv4 and /56 of IPv6"
                        .into(),
                );
            }
            if resolver.is_none() {
                notes.push("without --resolver the client's address asks for itself".into());
            }
            notes.extend(words::challenges(snapshot, name));
            let subnet = Subnet { address: client.first(), source: SourcePrefixLen(client.prefix_len()) };
            let client = Client { resolver: resolver.unwrap_or(client.first()), subnet: Some(subnet) };
            explain(snapshot, name.as_name(), client)
        }
        ExplainSubject::Redirects(horizon) => {
            notes.push(
                "no name is steered; this is the redirect of the registry listener, which sees the client itself"
                    .into(),
            );
            if resolver.is_some() {
                notes.push("--resolver has no effect: no resolver is involved in a redirect".into());
            }
            explain_redirect(snapshot, *horizon, client.first())
        }
    };
    let (note, generation) = known.note();
    notes.push(note);
    view(snapshot, &explanation, generation, notes)
}

/// The whole explanation.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct View {
    /// Null if no name is steered, and a horizon of redirects is explained.
    pub(crate) name: Option<String>,
    pub(crate) resolver: String,
    pub(crate) subnet: Option<String>,
    /// `none`, `heard` or `ignored`.
    pub(crate) subnet_is: Word,
    /// The generation of the snapshot that a running server answered from; null if the explanation is of the files.
    pub(crate) generation: Option<u64>,
    /// Assumptions and remarks for the operator.
    pub(crate) notes: Vec<String>,
    pub(crate) answers: Vec<AnswerView>,
    pub(crate) steered: Option<SteeredView>,
}

/// One reply.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct AnswerView {
    #[serde(rename = "type")]
    pub(crate) rtype: String,
    pub(crate) rcode: String,
    pub(crate) outcome: Word,
    pub(crate) scope: Option<u8>,
    pub(crate) why: String,
    pub(crate) mirrors: Vec<String>,
    pub(crate) answer: Vec<RecordView>,
    pub(crate) authority: Vec<RecordView>,
}

/// The inputs of a steering decision.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct SteeredView {
    pub(crate) horizon: String,
    pub(crate) located: Located,
    pub(crate) networks: Vec<NetworkView>,
    pub(crate) facts: LabelsView,
    pub(crate) rule: RuleView,
    pub(crate) range: RangeView,
    pub(crate) shares: Vec<ShareView>,
    /// The client's slot; null if the mirrors have no weights.
    pub(crate) slot: Option<SlotView>,
    pub(crate) mirrors: Vec<MirrorView>,
    /// Null if an earlier version wrote the explanation.
    pub(crate) redirect: Option<RedirectView>,
    pub(crate) scope: ScopeView,
    /// A message if the steering table does not follow the rules, which is a bug in Pharos; otherwise null.
    pub(crate) fault: Option<String>,
}

/// The client's location.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Located {
    pub(crate) at: String,
    pub(crate) why: String,
    pub(crate) embedded_in: Option<String>,
}

/// One source's entry.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct NetworkView {
    pub(crate) source: String,
    pub(crate) file: String,
    /// The last change of the file, in the form of RFC 3339; null if that is unknown.
    pub(crate) modified: Option<String>,
    pub(crate) line: Option<u32>,
    pub(crate) prefix: Option<String>,
    pub(crate) labels: Option<LabelsView>,
}

/// The winning rule, or the default.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct RuleView {
    /// The place in the list, from 1; null for the default.
    pub(crate) rule: Option<usize>,
    pub(crate) file: Option<String>,
    pub(crate) line: Option<u32>,
}

/// The addresses around the client that have the same decision.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct RangeView {
    pub(crate) first: String,
    pub(crate) last: String,
}

/// One plan's share of the subnet.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct ShareView {
    pub(crate) part: f64,
    pub(crate) mirrors: Vec<String>,
    pub(crate) first: String,
    pub(crate) rule: RuleView,
}

/// A client's share of mirrors with weights.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct SlotView {
    pub(crate) block: String,
    pub(crate) slot: usize,
    pub(crate) of: usize,
}

/// One mirror of the plan.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct MirrorView {
    pub(crate) mirror: String,
    pub(crate) tier: Word,
    pub(crate) health: Word,
    #[serde(rename = "A")]
    pub(crate) a: Word,
    #[serde(rename = "AAAA")]
    pub(crate) aaaa: Word,
    /// The operator's override; null if there is none.
    pub(crate) order: Option<OverrideView>,
    /// The contact of the mirror's operator; null if the configuration has none.
    pub(crate) contact: Option<String>,
    /// The distance from the client; null if distance does not decide.
    pub(crate) distance_km: Option<u32>,
    /// The share of clients for which it is first, 0 to 1; null if it has no weight.
    pub(crate) share: Option<f64>,
    /// The host name that its addresses are resolved from; null if the configuration lists addresses.
    pub(crate) host: Option<String>,
    /// The timestamp of the last resolution, in the form of RFC 3339.
    pub(crate) resolved: Option<String>,
    /// The health of its addresses; null if the explanation is of the files, because only a running server probes.
    pub(crate) addresses: Option<Vec<AddressView>>,
}

/// The scope, and the reason for it.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct ScopeView {
    pub(crate) length: u8,
    pub(crate) why: String,
    pub(crate) neighbour: Option<NeighbourView>,
}

/// The address that limits the scope.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct NeighbourView {
    pub(crate) address: String,
    pub(crate) side: Word,
    pub(crate) common_bits: u8,
    /// The reserved or embedding block at the border.
    pub(crate) apart: Option<String>,
    pub(crate) rule: RuleView,
    pub(crate) mirrors: Vec<String>,
    pub(crate) networks: Vec<NetworkView>,
}
