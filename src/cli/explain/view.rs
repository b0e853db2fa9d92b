//! An explanation with names instead of ids: what `--json` prints, and what the text is laid out from.
//!
//! **Invariants**: the keys are stable: scripts read them; what is unknown is null, never left out.
//! **Not here**: sentences ([`super::words`]), layout ([`super::text`]).

use serde::Serialize;

use super::words;
use crate::base::client::Subnet;
use crate::base::ids::{HorizonId, MirrorId};
use crate::base::prefix::Prefix;
use crate::inspect::{Answer, Candidate, Explanation, Hearing, Neighbour, Record, ScopeReason, Share, Side, Steered};
use crate::networks::{FoundEntry, Labels, Place};
use crate::snapshot::Snapshot;
use crate::steer::Won;

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct View {
    pub(super) name: String,
    pub(super) resolver: String,
    pub(super) subnet: Option<String>,
    /// `none`, `heard` or `ignored`.
    pub(super) subnet_is: &'static str,
    /// What was assumed, and what to know.
    pub(super) notes: Vec<String>,
    pub(super) answers: Vec<AnswerView>,
    pub(super) steered: Option<SteeredView>,
}

/// One reply.
#[derive(Debug, Serialize)]
pub(super) struct AnswerView {
    #[serde(rename = "type")]
    pub(super) rtype: String,
    pub(super) rcode: String,
    pub(super) outcome: &'static str,
    pub(super) scope: Option<u8>,
    pub(super) why: String,
    pub(super) mirrors: Vec<String>,
    pub(super) answer: Vec<RecordView>,
    pub(super) authority: Vec<RecordView>,
}

/// One record.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct RecordView {
    pub(super) owner: String,
    pub(super) ttl: u32,
    #[serde(rename = "type")]
    pub(super) rtype: String,
    pub(super) rdata: String,
}

/// What had a say in a steered answer.
#[derive(Debug, Serialize)]
pub(super) struct SteeredView {
    pub(super) horizon: String,
    pub(super) located: Located,
    pub(super) networks: Vec<NetworkView>,
    pub(super) facts: LabelsView,
    pub(super) rule: RuleView,
    pub(super) range: RangeView,
    pub(super) shares: Vec<ShareView>,
    pub(super) mirrors: Vec<MirrorView>,
    pub(super) scope: ScopeView,
    /// Set where the steering table does not follow the rules, which is a fault of ours.
    pub(super) fault: Option<String>,
}

/// Where the client was judged to be.
#[derive(Debug, Serialize)]
pub(super) struct Located {
    pub(super) at: String,
    pub(super) why: String,
    pub(super) embedded_in: Option<String>,
}

/// One source's entry.
#[derive(Debug, Serialize)]
pub(super) struct NetworkView {
    pub(super) source: String,
    pub(super) file: String,
    pub(super) line: Option<u32>,
    pub(super) prefix: Option<String>,
    pub(super) labels: Option<LabelsView>,
}

/// Labels, of an entry or of all sources together.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct LabelsView {
    pub(super) label: Option<String>,
    pub(super) provider: Option<String>,
    pub(super) region: Option<String>,
    pub(super) asn: Option<u32>,
    pub(super) country: Option<String>,
    pub(super) continent: Option<String>,
    pub(super) subdivision: Option<String>,
}

/// What won.
#[derive(Clone, Debug, Serialize)]
pub(super) struct RuleView {
    /// The place in the list, from 1; null for the default.
    pub(super) rule: Option<usize>,
    pub(super) file: Option<String>,
    pub(super) line: Option<u32>,
}

/// The addresses around the client that are decided alike.
#[derive(Debug, Serialize)]
pub(super) struct RangeView {
    pub(super) first: String,
    pub(super) last: String,
}

/// What one plan has of the subnet.
#[derive(Debug, Serialize)]
pub(super) struct ShareView {
    pub(super) part: f64,
    pub(super) mirrors: Vec<String>,
    pub(super) first: String,
    pub(super) rule: RuleView,
}

/// One mirror of the plan.
#[derive(Debug, Serialize)]
pub(super) struct MirrorView {
    pub(super) mirror: String,
    pub(super) tier: &'static str,
    pub(super) health: &'static str,
    #[serde(rename = "A")]
    pub(super) a: &'static str,
    #[serde(rename = "AAAA")]
    pub(super) aaaa: &'static str,
}

/// The scope and why.
#[derive(Debug, Serialize)]
pub(super) struct ScopeView {
    pub(super) length: u8,
    pub(super) why: String,
    pub(super) neighbour: Option<NeighbourView>,
}

/// The address that limits the scope.
#[derive(Debug, Serialize)]
pub(super) struct NeighbourView {
    pub(super) address: String,
    pub(super) side: &'static str,
    pub(super) common_bits: u8,
    /// The reserved or embedding block at the border.
    pub(super) apart: Option<String>,
    pub(super) rule: RuleView,
    pub(super) mirrors: Vec<String>,
    pub(super) networks: Vec<NetworkView>,
}

/// Puts names in place of ids.
pub(super) fn view(snapshot: &Snapshot, explanation: &Explanation, notes: Vec<String>) -> View {
    let names = Names { snapshot };
    View {
        name: explanation.name.as_name().to_string(),
        resolver: explanation.client.resolver.to_string(),
        subnet: explanation.client.subnet.map(subnet_text),
        subnet_is: match explanation.hearing {
            Hearing::NoSubnet => "none",
            Hearing::Heard => "heard",
            Hearing::Ignored => "ignored",
        },
        notes,
        answers: explanation
            .answers
            .iter()
            .chain(&explanation.service)
            .map(|answer| names.answer(explanation, answer))
            .collect(),
        steered: explanation.steered.as_ref().map(|steered| names.steered(explanation, steered)),
    }
}

/// The subnet as it is written.
pub(super) fn subnet_text(subnet: Subnet) -> String {
    format!("{}/{}", subnet.address, subnet.source.0)
}

/// Turns ids into names.
struct Names<'s> {
    snapshot: &'s Snapshot,
}

impl Names<'_> {
    fn answer(&self, explanation: &Explanation, answer: &Answer) -> AnswerView {
        let mirrors = answer.choice.iter().flat_map(|choice| &choice.mirrors);
        AnswerView {
            rtype: answer.rtype.to_string(),
            rcode: answer.summary.rcode.to_string(),
            outcome: words::outcome(answer.summary.basis.outcome),
            scope: answer.scope.map(|scope| scope.0),
            why: words::why_answer(self.snapshot, explanation, answer),
            mirrors: mirrors.map(|id| self.mirror(*id)).collect(),
            answer: answer.answer.iter().map(record).collect(),
            authority: answer.authority.iter().map(record).collect(),
        }
    }

    fn steered(&self, explanation: &Explanation, steered: &Steered) -> SteeredView {
        let decision = &steered.decision;
        let horizon = &self.snapshot.horizons[steered.horizon.index()];
        let labels: Vec<_> = steered.entries.iter().map(|entry| entry.map(|entry| entry.labels)).collect();
        let facts = self.snapshot.provenance.networks.facts(&labels);
        let fault = horizon.plan_of(steered.won) != decision.plan;
        let shares = if steered.shares.len() > 1 { &steered.shares[..] } else { &[] };
        SteeredView {
            horizon: horizon.name.to_string(),
            located: Located {
                at: Prefix::holding(decision.location.address, decision.location.source.0).to_string(),
                why: words::why_there(explanation, steered),
                embedded_in: steered.embedded_in.map(|block| block.to_string()),
            },
            networks: self.networks(&steered.entries),
            facts: LabelsView {
                provider: facts.provider.map(|(provider, _)| provider.into()),
                region: facts.provider.and_then(|(_, region)| region).map(Into::into),
                asn: facts.asn,
                label: None,
                ..LabelsView::of_place(facts.place)
            },
            rule: self.rule(steered.horizon, steered.won),
            range: RangeView { first: steered.stretch.0.to_string(), last: steered.stretch.1.to_string() },
            shares: shares.iter().map(|share| self.share(steered.horizon, share)).collect(),
            mirrors: steered.candidates.iter().map(|candidate| self.candidate(candidate)).collect(),
            scope: ScopeView {
                length: decision.scope.0,
                why: words::why_scope(self.snapshot, explanation, steered),
                neighbour: match &steered.reason {
                    ScopeReason::Neighbour { neighbour, .. } => Some(self.neighbour(steered.horizon, neighbour)),
                    _ => None,
                },
            },
            fault: fault.then(|| {
                let rule = words::rule(self.snapshot, steered.horizon, steered.won);
                format!("the steering table does not follow the rules here: by them, {rule} wins; please report this")
            }),
        }
    }

    fn networks(&self, entries: &[Option<FoundEntry>]) -> Vec<NetworkView> {
        let sources = &self.snapshot.provenance.networks.sources;
        sources
            .iter()
            .zip(entries)
            .map(|(source, entry)| NetworkView {
                source: source.name.to_string(),
                file: source.file.to_string(),
                line: entry.map(|entry| entry.line).filter(|line| *line > 0),
                prefix: entry.map(|entry| entry.prefix.to_string()),
                labels: entry.map(|entry| LabelsView::of(source.labels(entry.labels))),
            })
            .collect()
    }

    fn rule(&self, horizon: HorizonId, won: Won) -> RuleView {
        let origin = self.snapshot.provenance.origin(horizon, won);
        RuleView {
            rule: match won {
                Won::Rule(index) => Some(index + 1),
                Won::Default => None,
            },
            file: origin.map(|origin| origin.file.to_string()),
            line: origin.map(|origin| origin.line).filter(|line| *line > 0),
        }
    }

    fn share(&self, horizon: HorizonId, share: &Share) -> ShareView {
        let plan = self.snapshot.horizons[horizon.index()].plan(share.plan);
        ShareView {
            part: share.part,
            mirrors: plan.preferred.iter().map(|id| self.mirror(*id)).collect(),
            first: share.first.to_string(),
            rule: self.rule(horizon, share.won),
        }
    }

    fn candidate(&self, candidate: &Candidate) -> MirrorView {
        let [a, aaaa] = candidate.tried.map(|tried| words::verdict(tried.verdict));
        MirrorView {
            mirror: self.mirror(candidate.mirror),
            tier: words::tier(candidate.tier),
            health: words::health(candidate.health),
            a,
            aaaa,
        }
    }

    fn neighbour(&self, horizon: HorizonId, neighbour: &Neighbour) -> NeighbourView {
        let plan = self.snapshot.horizons[horizon.index()].plan(neighbour.plan);
        NeighbourView {
            address: neighbour.address.to_string(),
            side: match neighbour.side {
                Side::Below => "below",
                Side::Above => "above",
            },
            common_bits: neighbour.common,
            apart: neighbour.apart.map(|block| block.to_string()),
            rule: self.rule(horizon, neighbour.won),
            mirrors: plan.preferred.iter().map(|id| self.mirror(*id)).collect(),
            networks: self.networks(&neighbour.entries),
        }
    }

    fn mirror(&self, id: MirrorId) -> String {
        self.snapshot.mirrors[id.index()].name.to_string()
    }
}

impl LabelsView {
    /// The labels of an entry.
    pub(super) fn of(labels: &Labels) -> Self {
        LabelsView {
            label: labels.label.as_deref().map(Into::into),
            provider: labels.provider.as_deref().map(Into::into),
            region: labels.region.as_deref().map(Into::into),
            asn: labels.asn,
            ..LabelsView::of_place(labels.place.as_ref())
        }
    }

    fn of_place(place: Option<&Place>) -> Self {
        let text = |part: fn(&Place) -> Option<&str>| place.and_then(part).map(String::from);
        LabelsView {
            country: text(|place| place.country.as_deref()),
            continent: text(|place| place.continent.as_deref()),
            subdivision: text(|place| place.subdivision.as_deref()),
            ..LabelsView::default()
        }
    }
}

fn record(record: &Record) -> RecordView {
    RecordView {
        owner: record.owner.clone(),
        ttl: record.ttl.0,
        rtype: record.rtype.to_string(),
        rdata: record.rdata.clone(),
    }
}
