//! Laying sources over each other: nested prefixes in, disjoint ranges with one combination of labels out.
//!
//! **Invariants**: ranges come in address order, start at the lowest address, and neighbours differ; a combination
//! holds the labels of the longest prefix of each source.

use std::collections::HashMap;

use super::{Entry, Networks};
use crate::base::ids::LabelsId;
use crate::base::prefix::{Bits, Block};

/// The labels of each source's entry, in the order of the sources.
pub type Combination = Box<[Option<LabelsId>]>;

/// The address space of one family, cut where any source's entry changes.
#[derive(Clone, Debug)]
pub struct Overlay<A: Bits> {
    /// The first address of each range and the index of its combination.
    pub ranges: Vec<(A, u32)>,
}

/// Cuts the address space of one family.
///
/// `combinations` is extended with those not seen yet, so that both families share one list; `cuts` are blocks at
/// whose ends a range must begin even where nothing changes.
pub fn overlay<A: Bits>(
    networks: &Networks,
    entries: impl Fn(&super::Source) -> &[Entry<A>],
    cuts: &[Block<A>],
    combinations: &mut Combinations,
) -> Overlay<A> {
    let mut sweeps: Vec<Sweep<'_, A>> = networks.sources.iter().map(|source| Sweep::new(entries(source))).collect();
    let mut cuts: Vec<A> = cuts.iter().flat_map(|cut| [Some(cut.first()), cut.last().next()]).flatten().collect();
    cuts.sort_unstable();
    let mut cuts = cuts.into_iter().peekable();

    let mut ranges: Vec<(A, u32)> = Vec::new();
    let mut current: Vec<Option<LabelsId>> = vec![None; sweeps.len()];
    let mut at = A::MIN;
    loop {
        let mut forced = false;
        while cuts.next_if(|cut| *cut <= at).is_some() {
            forced = true;
        }
        let mut next: Option<A> = cuts.peek().copied();
        for (sweep, labels) in sweeps.iter_mut().zip(&mut current) {
            let (found, until) = sweep.advance(at);
            *labels = found;
            next = match (next, until) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
        let combination = combinations.intern(&current);
        if forced || ranges.last().is_none_or(|(_, last)| *last != combination) {
            ranges.push((at, combination));
        }
        match next {
            Some(next) => at = next,
            None => return Overlay { ranges },
        }
    }
}

/// The distinct combinations met so far.
#[derive(Debug, Default)]
pub struct Combinations {
    list: Vec<Combination>,
    ids: HashMap<Combination, u32>,
    last: Option<u32>,
}

impl Combinations {
    /// All of them, by index.
    pub fn list(&self) -> &[Combination] {
        &self.list
    }

    fn intern(&mut self, labels: &[Option<LabelsId>]) -> u32 {
        // Runs of equal neighbours are common where only one source cuts.
        if let Some(last) = self.last
            && *self.list[last as usize] == *labels
        {
            return last;
        }
        let id = match self.ids.get(labels) {
            Some(id) => *id,
            None => {
                let id = u32::try_from(self.list.len()).expect("fewer combinations than addresses");
                self.list.push(labels.into());
                self.ids.insert(labels.into(), id);
                id
            }
        };
        self.last = Some(id);
        id
    }
}

/// Walks one source's nested prefixes in address order.
struct Sweep<'a, A: Bits> {
    rest: &'a [Entry<A>],
    open: Vec<Entry<A>>,
}

impl<'a, A: Bits> Sweep<'a, A> {
    fn new(entries: &'a [Entry<A>]) -> Self {
        Sweep { rest: entries, open: Vec::new() }
    }

    /// The labels at `at`, and the next address at which they may change. `at` must not go down between calls.
    fn advance(&mut self, at: A) -> (Option<LabelsId>, Option<A>) {
        loop {
            while self.open.last().is_some_and(|entry| entry.block.last() < at) {
                self.open.pop();
            }
            match self.rest.split_first() {
                Some((entry, rest)) if entry.block.first() <= at => {
                    self.open.push(*entry);
                    self.rest = rest;
                }
                _ => break,
            }
        }
        let begins = self.rest.first().map(|entry| entry.block.first());
        let ends = self.open.last().and_then(|entry| entry.block.last().next());
        let until = match (begins, ends) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        (self.open.last().map(|entry| entry.labels), until)
    }
}
