//! The addresses that each source labels, in two snapshots.
//!
//! **Invariants**: sources are matched by name, so that their order has no say; the result has the order of the new snapshot.
//! **Not here**: the walk over both address spaces, and the mirrors that clients get (the parent module).

use std::collections::BTreeSet;

use super::{KINDS, Pairs, SourceMoves};
use crate::base::prefix::FAMILIES;
use crate::inspect::tally::Rules;
use crate::networks::Networks;

/// The addresses that each source labels, and labelled before.
pub(super) fn sources(old: &Networks, new: &Networks, rules: &[&Rules<'_>; 2], pairs: &[Pairs; 2]) -> Vec<SourceMoves> {
    let mut found = Vec::with_capacity(new.sources.len());
    for (at, source) in new.sources.iter().enumerate() {
        let earlier = old.sources.iter().position(|earlier| earlier.name == source.name);
        let mut moves = SourceMoves {
            source: source.name.clone(),
            labelled: [0; 2],
            new: [0; 2],
            lost: [0; 2],
            came: BTreeSet::new(),
            went: BTreeSet::new(),
        };
        let has = |rules: &Rules<'_>, combination: u32, at: usize| {
            rules.combinations.list()[combination as usize][at].is_some()
        };
        for (family, pairs) in FAMILIES.into_iter().zip(pairs) {
            let family = family as usize;
            for (first, last, before, now) in pairs.iter() {
                let was = earlier.is_some_and(|earlier| has(rules[0], before, earlier));
                let is = has(rules[1], now, at);
                let count = (last - first).saturating_add(1);
                let sums = [(is, &mut moves.labelled), (is && !was, &mut moves.new), (was && !is, &mut moves.lost)];
                for (_, sum) in sums.into_iter().filter(|(counts, _)| *counts) {
                    sum[family] = sum[family].saturating_add(count);
                }
            }
        }
        if let Some(earlier) = earlier {
            for kind in KINDS {
                let values = |networks: &Networks, at: usize| -> BTreeSet<String> {
                    networks.sources[at].values(kind).into_iter().map(|value| value.to_string()).collect()
                };
                let (was, is) = (values(old, earlier), values(new, at));
                moves.came.extend(is.difference(&was).map(|label| (kind, label.clone())));
                moves.went.extend(was.difference(&is).map(|label| (kind, label.clone())));
            }
        }
        found.push(moves);
    }
    found
}
