//! The explanation's ids replaced with the names of a snapshot.
//!
//! **Not here**: the keys of the views ([`super`]), sentences ([`words`]).

use super::{
    AnswerView, Located, MirrorView, NeighbourView, NetworkView, OverrideView, RangeView, RedirectView, RuleView,
    ScopeView, ShareView, SlotView, SteeredView, View,
};
use crate::base::ids::{HorizonId, MirrorId};
use crate::base::prefix::Prefix;
use crate::base::when::rfc3339;
use crate::inspect::labels::LabelsView;
use crate::inspect::words;
use crate::inspect::{
    Candidate, ExplainedAnswer, ExplainedRedirect, Explanation, Neighbour, PlanShare, ScopeReason, SteeredExplanation,
};
use crate::networks::FoundEntry;
use crate::snapshot::Snapshot;
use crate::steer::Won;
use crate::steer::spread::SLOTS;

/// Replaces ids with names.
pub(super) fn view(
    snapshot: &Snapshot,
    explanation: &Explanation,
    generation: Option<u64>,
    notes: Vec<String>,
) -> View {
    let names = IdNames { snapshot };
    View {
        name: explanation.name.as_ref().map(|name| name.as_name().to_string()),
        resolver: explanation.client.resolver.to_string(),
        subnet: explanation.client.subnet.map(words::subnet_text),
        subnet_is: explanation.hearing.as_str().into(),
        generation,
        notes,
        answers: explanation.answers.iter().map(|answer| names.answer(explanation, answer)).collect(),
        steered: explanation.steered.as_ref().map(|steered| names.steered(explanation, steered)),
    }
}

/// Looks up the names of ids in a snapshot.
struct IdNames<'s> {
    snapshot: &'s Snapshot,
}

impl IdNames<'_> {
    fn answer(&self, explanation: &Explanation, answer: &ExplainedAnswer) -> AnswerView {
        let mirrors = answer.choice.iter().flat_map(|choice| &choice.mirrors);
        AnswerView {
            rtype: answer.rtype.to_string(),
            rcode: answer.summary.rcode.to_string(),
            outcome: answer.summary.basis.outcome.as_str().into(),
            scope: answer.scope.map(|scope| scope.0),
            why: words::why_answer(self.snapshot, explanation, answer),
            mirrors: mirrors.map(|id| self.mirror(*id)).collect(),
            answer: answer.answer.clone(),
            authority: answer.authority.clone(),
        }
    }

    fn steered(&self, explanation: &Explanation, steered: &SteeredExplanation) -> SteeredView {
        let decision = &steered.decision;
        let horizon = &self.snapshot.horizons()[steered.horizon.index()];
        let labels: Vec<_> = steered.entries.iter().map(|entry| entry.map(|entry| entry.labels)).collect();
        let facts = self.snapshot.provenance().networks.facts(&labels);
        let fault = horizon.head(decision.plan) != steered.by_the_rules;
        let shares = if steered.shares.len() > 1 { &steered.shares[..] } else { &[] };
        SteeredView {
            horizon: horizon.name.to_string(),
            located: Located {
                at: Prefix::holding(decision.location.address, decision.location.source.0).to_string(),
                why: words::why_there(explanation, steered),
                embedded_in: steered.embedded_in.map(|block| block.to_string()),
            },
            networks: self.networks(&steered.entries),
            facts: LabelsView::of(&facts.labels),
            rule: self.rule(steered.horizon, steered.won),
            range: RangeView { first: steered.stretch.0.to_string(), last: steered.stretch.1.to_string() },
            shares: shares.iter().map(|share| self.share(steered.horizon, share)).collect(),
            slot: steered.slot.map(|slot| SlotView { block: slot.block.to_string(), slot: slot.slot, of: SLOTS }),
            mirrors: steered.candidates.iter().map(|candidate| self.candidate(candidate)).collect(),
            redirect: Some(self.redirect(steered.redirect)),
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

    fn redirect(&self, redirect: ExplainedRedirect) -> RedirectView {
        let (to, mirror) = match redirect {
            ExplainedRedirect::SteeredName => ("steered-name", None),
            ExplainedRedirect::Mirror(id) => ("mirror", Some(id)),
            ExplainedRedirect::ByRule => ("rule", None),
            ExplainedRedirect::NoMirror => ("canonical", None),
        };
        let url = mirror.and_then(|id| self.snapshot.mirrors()[id.index()].content.url.as_ref());
        RedirectView { to: to.into(), mirror: mirror.map(|id| self.mirror(id)), url: url.map(ToString::to_string) }
    }

    fn networks(&self, entries: &[Option<FoundEntry>]) -> Vec<NetworkView> {
        let sources = &self.snapshot.provenance().networks.sources;
        sources
            .iter()
            .zip(entries)
            .map(|(source, entry)| NetworkView {
                source: source.name.to_string(),
                file: source.file.to_string(),
                modified: source.modified.map(rfc3339),
                line: entry.map(|entry| entry.line).filter(|line| *line > 0),
                prefix: entry.map(|entry| entry.prefix.to_string()),
                labels: entry.map(|entry| LabelsView::of(&source.labels(entry.labels))),
            })
            .collect()
    }

    fn rule(&self, horizon: HorizonId, won: Won) -> RuleView {
        let origin = self.snapshot.provenance().origin(horizon, won);
        RuleView {
            rule: match won {
                Won::Rule(index) => Some(index + 1),
                Won::Default => None,
            },
            file: origin.map(|origin| origin.file.to_string()),
            line: origin.map(|origin| origin.line).filter(|line| *line > 0),
        }
    }

    fn share(&self, horizon: HorizonId, share: &PlanShare) -> ShareView {
        let plan = self.snapshot.horizons()[horizon.index()].plan(share.plan);
        ShareView {
            part: share.part,
            mirrors: plan.preferred.iter().map(|id| self.mirror(*id)).collect(),
            first: share.first.to_string(),
            rule: self.rule(horizon, share.won),
        }
    }

    fn candidate(&self, candidate: &Candidate) -> MirrorView {
        let mirror = &self.snapshot.mirrors()[candidate.mirror.index()];
        let [a, aaaa] = candidate.verdicts.map(|verdict| verdict.as_str().into());
        MirrorView {
            mirror: self.mirror(candidate.mirror),
            tier: candidate.tier.as_str().into(),
            health: candidate.health.as_str().into(),
            a,
            aaaa,
            order: self.snapshot.override_of(candidate.mirror).map(OverrideView::of),
            contact: mirror.contact.as_deref().map(Into::into),
            distance_km: candidate.distance.map(|far| far.0),
            share: candidate.slots.map(|slots| slots as f64 / SLOTS as f64),
            host: mirror.followed_host().map(|host| host.to_string()),
            resolved: mirror.host_addresses().and_then(|addresses| addresses.at).map(rfc3339),
            addresses: None,
        }
    }

    fn neighbour(&self, horizon: HorizonId, neighbour: &Neighbour) -> NeighbourView {
        let plan = self.snapshot.horizons()[horizon.index()].plan(neighbour.plan);
        NeighbourView {
            address: neighbour.address.to_string(),
            side: neighbour.side.as_str().into(),
            common_bits: neighbour.common,
            apart: neighbour.apart.map(|block| block.to_string()),
            rule: self.rule(horizon, neighbour.won),
            mirrors: plan.preferred.iter().map(|id| self.mirror(*id)).collect(),
            networks: self.networks(&neighbour.entries),
        }
    }

    fn mirror(&self, id: MirrorId) -> String {
        self.snapshot.mirrors()[id.index()].name.to_string()
    }
}
