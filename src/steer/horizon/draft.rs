//! The input for a horizon: rules with their conditions, the default, and the number of mirrors to answer with.
//!
//! **Not here**: the compiled form ([`super::Horizon`]).

use std::sync::Arc;

use crate::base::ids::{MirrorId, SourceId};
use crate::networks::{AddressLabels, LabelKind, LabelValue};
use crate::steer::plans::Ranking;
use crate::steer::spread::LeastScopes;

/// One thing that must hold for a rule to win.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// One of the sources has an entry, with one of the labels if there are any.
    Network {
        /// The sources.
        sources: Vec<SourceId>,
        /// The labels.
        labels: Vec<LabelValue>,
    },
    /// The label of a kind is one of these.
    Label {
        /// The kind.
        kind: LabelKind,
        /// The values.
        values: Vec<LabelValue>,
    },
}

impl Condition {
    /// A condition on the labels of a kind.
    pub fn label<V: Into<LabelValue>>(kind: LabelKind, values: impl IntoIterator<Item = V>) -> Self {
        Condition::Label { kind, values: values.into_iter().map(Into::into).collect() }
    }

    pub(super) fn holds(&self, facts: &AddressLabels<'_>) -> bool {
        let among = |list: &[LabelValue], value: Option<LabelValue<&str>>| {
            value.is_some_and(|value| list.iter().any(|one| one.borrowed() == value))
        };
        match self {
            Condition::Network { sources, labels } => sources.iter().any(|source| {
                if labels.is_empty() {
                    facts.is_in(*source)
                } else {
                    among(labels, facts.value_in(*source, LabelKind::Label))
                }
            }),
            Condition::Label { kind, values } => among(values, facts.labels.value(*kind)),
        }
    }
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// All of these must hold.
    pub conditions: Vec<Condition>,
    /// The mirrors, in order of preference unless the ranking has another.
    pub mirrors: Vec<MirrorId>,
    /// The order in which a client takes the mirrors.
    pub ranking: Ranking,
    /// The mirrors to use if none of those can be used.
    pub fallback: Vec<MirrorId>,
    /// If true, the registry listener sends its clients to the canonical registry.
    pub is_canonical: bool,
}

/// The number of mirrors of a plan that a horizon answers with: 1 to 8.
///
/// More would not fit one datagram with the addresses that mirrors usually have, and no client tries as many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerMirrors(u8);

impl AnswerMirrors {
    /// One.
    ///
    /// Resolvers and clients shuffle the records of a set, so of two mirrors each gets half of the clients, and the plan's
    /// order says nothing any more. A mirror that dies is left within seconds, and clients outlive a dead address among
    /// others: several mirrors are for those whose first ones are equally near.
    pub const ONE: AnswerMirrors = AnswerMirrors(1);

    /// The most.
    pub(crate) const MAX: u8 = 8;

    /// That number, where it is in the range.
    pub fn new(number: u8) -> Option<Self> {
        (1..=AnswerMirrors::MAX).contains(&number).then_some(AnswerMirrors(number))
    }

    /// The number.
    pub(crate) fn get(self) -> u8 {
        self.0
    }
}

/// The input for a horizon.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The key in the config's `[horizons]`.
    pub name: Arc<str>,
    /// The rules, in order.
    pub rules: Vec<Rule>,
    /// The mirrors of a client that meets no rule.
    pub default: Vec<MirrorId>,
    /// The order in which such a client takes the mirrors; behind the mirrors of a rule, the default is taken as listed.
    pub default_ranking: Ranking,
    /// If true, the registry listener sends such a client to the canonical registry.
    pub default_is_canonical: bool,
    /// The least scope lengths of a plan with weights.
    pub least_scopes: LeastScopes,
    /// The number of mirrors to answer with.
    pub answer_mirrors: AnswerMirrors,
}

impl Draft {
    /// Rules and a default; all other fields have their default values.
    pub fn new(name: Arc<str>, rules: Vec<Rule>, default: Vec<MirrorId>) -> Self {
        Draft {
            name,
            rules,
            default,
            default_ranking: Ranking::Listed,
            default_is_canonical: false,
            least_scopes: LeastScopes::USUAL,
            answer_mirrors: AnswerMirrors::ONE,
        }
    }
}
