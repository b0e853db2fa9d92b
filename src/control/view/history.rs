//! The view of the last 24 hours, and of the last change that moved clients.
//!
//! **Not here**: the steps ([`crate::control`]), counting the clients that move ([`crate::inspect`]).

use std::collections::BTreeMap;

use serde::Serialize;

use crate::base::prefix::Family;
use crate::base::when::rfc3339;
use crate::control::chronicle::{Ring, STEP_SECS, STEPS};
use crate::inspect::{FamilyMoves, HorizonMoves, words};
use crate::live::AppliedChange;

/// `/history`
#[derive(Debug, Serialize)]
pub(in crate::control) struct HistoryView {
    step_seconds: u64,
    steps: usize,
    /// The end of the last step, which is the current one.
    ends: String,
    /// The DNS answers in each step, the oldest first; null for steps in which nothing was observed.
    answers: Vec<Option<u64>>,
    /// For each mirror a letter for each step.
    mirrors: BTreeMap<String, String>,
    /// The last change that moved clients; null if none has since the start.
    last_change: Option<ChangeView>,
}

/// A change that moved clients.
#[derive(Debug, Serialize)]
struct ChangeView {
    at: String,
    /// `reload`, or `feed` with the name of its source.
    cause: String,
    /// The first generation that has it.
    generation: u64,
    /// The share of all addresses of a family that moved, 0 to 1: that of the horizon of which most moved.
    share_ipv4: f64,
    share_ipv6: f64,
    /// The share of the addresses for which rules decided, which the guard limits.
    decided_ipv4: f64,
    decided_ipv6: f64,
    guard: Option<String>,
    moves: Vec<MoveView>,
}

/// The addresses that moved from one mirror to another.
#[derive(Debug, Serialize)]
struct MoveView {
    horizon: String,
    /// Null for no mirror; `(canonical)` for the canonical registry.
    from: Option<String>,
    to: Option<String>,
    /// `ipv4` or `ipv6`.
    family: &'static str,
    /// A decimal number, as text because numbers of JSON have no 128 bits.
    addresses: String,
    /// The largest range; null if all of its clients are spread by weight, and most of these moved elsewhere.
    largest: Option<String>,
    /// The number of ranges.
    ranges: usize,
}

/// The last 24 hours.
pub(in crate::control) fn history(ring: &Ring, change: Option<&AppliedChange>) -> HistoryView {
    HistoryView {
        step_seconds: STEP_SECS,
        steps: STEPS,
        ends: rfc3339(ring.ends()),
        answers: ring.answers.to_vec(),
        mirrors: ring.letters().map(|(name, letters)| (name.to_string(), letters)).collect(),
        last_change: change.map(change_view),
    }
}

fn change_view(change: &AppliedChange) -> ChangeView {
    let horizons = &change.moves.horizons;
    let most = |of: &dyn Fn(&FamilyMoves) -> f64, family: Family| {
        horizons.iter().map(|horizon| of(&horizon.families[family as usize])).fold(0.0, f64::max)
    };
    let of_all = |moves: &FamilyMoves| moves.moved_of_all as f64 / 2f64.powi(moves.family.width().into());
    let of_decided = |moves: &FamilyMoves| moves.share();
    ChangeView {
        at: rfc3339(change.at),
        cause: change.cause.to_string(),
        generation: change.generation.0,
        share_ipv4: most(&of_all, Family::V4),
        share_ipv6: most(&of_all, Family::V6),
        decided_ipv4: most(&of_decided, Family::V4),
        decided_ipv6: most(&of_decided, Family::V6),
        guard: change.guard.clone(),
        moves: horizons.iter().flat_map(move_views).collect(),
    }
}

fn move_views(horizon: &HorizonMoves) -> impl Iterator<Item = MoveView> {
    horizon.families.iter().flat_map(move |family| {
        family.by_mirror.iter().map(move |moves| MoveView {
            horizon: horizon.horizon.to_string(),
            from: moves.from.name().map(Into::into),
            to: moves.to.name().map(Into::into),
            family: family.family.as_str(),
            addresses: moves.addresses.to_string(),
            largest: moves.largest.map(|(first, last)| words::range(first, last)),
            ranges: moves.ranges,
        })
    })
}
