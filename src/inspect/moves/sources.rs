//! The addresses that each source labels, in two snapshots.
//!
//! **Invariants**: sources are matched by name, so that their order has no say; the result has the order of the new snapshot.
//! **Not here**: the walk over both address spaces, and the mirrors that clients get (the parent module).

use std::collections::BTreeSet;

use super::rulings::{RulingsView, SourceLabels};
use super::{KINDS, Pairs, SourceMoves};
use crate::base::prefix::Family;
use crate::inspect::ground::{add, count};

/// The addresses that each source labels, and labelled before.
pub(super) fn sources(old: &RulingsView, new: &RulingsView, pairs: &[Pairs; 2]) -> Vec<SourceMoves> {
    let mut found = Vec::with_capacity(new.sources.len());
    for (at, source) in new.sources.iter().enumerate() {
        let earlier = old.sources.iter().position(|earlier| earlier.name == source.name);
        let mut moves = SourceMoves { source: source.name.as_str().into(), ..SourceMoves::default() };
        let (was_labelled, is_labelled) = (classes(old, earlier), classes(new, Some(at)));
        for (family, pairs) in Family::ALL.into_iter().zip(pairs) {
            let family = family as usize;
            for (first, last, before, now) in pairs.iter() {
                let (was, is) = (was_labelled[before as usize], is_labelled[now as usize]);
                let count = count(first, last);
                let sums = [(is, &mut moves.labelled), (is && !was, &mut moves.new), (was && !is, &mut moves.lost)];
                for (_, sum) in sums.into_iter().filter(|(counts, _)| *counts) {
                    add(&mut sum[family], count);
                }
            }
        }
        if let Some(earlier) = earlier {
            for (kind, at) in KINDS.into_iter().zip(0..) {
                let values = |source: &SourceLabels| source.labels[at].iter().cloned().collect::<BTreeSet<_>>();
                let (was, is) = (values(&old.sources[earlier]), values(source));
                moves.came.extend(is.difference(&was).map(|label| (kind, label.clone())));
                moves.went.extend(was.difference(&is).map(|label| (kind, label.clone())));
            }
        }
        found.push(moves);
    }
    found
}

/// For each class of addresses, true if a source labels it.
fn classes(view: &RulingsView, source: Option<usize>) -> Vec<bool> {
    let is_labelled = |sources: &[u32]| source.is_some_and(|source| sources.iter().any(|at| *at as usize == source));
    view.classes.iter().map(|class| is_labelled(&class.sources)).collect()
}
