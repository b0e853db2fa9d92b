//! Structs of counters, declared together with the metric families that show these.
//!
//! **Invariants**: a family and its cells stand in one declaration; the page has families, cells and words in the order of
//! their declarations.
//! **Not here**: the threads that own a struct each ([`super::dns`]), values that are computed during a scrape.

use std::fmt;

use super::histogram::Histogram;
use super::{Counter, Gauge, MetricFamily};
use crate::base::words::Worded;
use crate::snapshot::{METERS, Meter, REGION_METERS, RegionMeter};

/// A cell of a struct that `counters!` declares, or a table of cells.
pub(crate) trait Cell {
    /// The type of its metric family.
    const KIND: &'static str;

    /// Adds the sum of one cell of several structs as a sample. A label without a value takes the words of a table.
    fn write(all: &[&Self], family: &mut MetricFamily<'_>, labels: &mut [(&str, &str)]);
}

/// Declares a struct of cells. Each metric family has its name, its help, and its cells with the labels of their samples; the
/// label of a table has no value, and takes the words of the table.
macro_rules! counters {
    ($(#[$attribute:meta])* $vis:vis struct $name:ident {$(
        $family:literal $help:literal { $($field_vis:vis $field:ident: $cell:ty [$($label:literal $(= $value:literal)?),*],)+ }
    )*}) => {
        $(#[$attribute])*
        #[derive(Debug, Default)]
        $vis struct $name { $($(#[doc = $help] $field_vis $field: $cell,)+)* }

        impl $name {
            /// Writes the sums over several structs.
            fn collect_all(all: &[&Self], page: &mut $crate::telemetry::MetricsPage) {
                use $crate::telemetry::cells::Cell;
                $(
                    let mut family = page.family($family, $help, [$(<$cell as Cell>::KIND),+][0]);
                    $(
                        let cells: Vec<_> = all.iter().map(|each| &each.$field).collect();
                        Cell::write(&cells, &mut family, &mut [$(($label, concat!($($value)?))),*]);
                    )+
                )*
            }
        }

        impl $crate::telemetry::Collect for $name {
            fn collect(&self, page: &mut $crate::telemetry::MetricsPage) {
                $name::collect_all(&[self], page);
            }
        }
    };
}
pub(crate) use counters;

impl Cell for Counter {
    const KIND: &'static str = "counter";

    fn write(all: &[&Self], family: &mut MetricFamily<'_>, labels: &mut [(&str, &str)]) {
        family.sample(labels, all.iter().map(|cell| cell.value()).sum());
    }
}

impl Cell for Gauge {
    const KIND: &'static str = "gauge";

    fn write(all: &[&Self], family: &mut MetricFamily<'_>, labels: &mut [(&str, &str)]) {
        family.sample(labels, all.iter().map(|cell| cell.value()).sum());
    }
}

impl Cell for Histogram {
    const KIND: &'static str = "histogram";

    fn write(all: &[&Self], family: &mut MetricFamily<'_>, labels: &mut [(&str, &str)]) {
        let buckets = std::array::from_fn(|at| all.iter().map(|cell| cell.buckets[at].value()).sum());
        family.distribution(labels, &buckets, all.iter().map(|cell| cell.sum_us.value()).sum());
    }
}

/// A table of cells: one for each word of an enum.
pub(crate) struct ByWord<W: Worded, C: Default = Counter>(W::Each<C>);

impl<W: Worded, C: Default> ByWord<W, C> {
    /// The cell of a word.
    #[inline]
    pub(crate) fn of(&self, word: W) -> &C {
        &self.0.as_ref()[word.index()]
    }
}

impl<W: Worded> ByWord<W> {
    /// Counts a word.
    pub(crate) fn count(&self, word: W) {
        self.of(word).increment();
    }
}

impl<W: Worded, C: Default> Default for ByWord<W, C> {
    fn default() -> Self {
        ByWord(W::Each::default())
    }
}

impl<W: Worded, C: Default + fmt::Debug> fmt::Debug for ByWord<W, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(W::ALL.iter().map(|word| (word.word(), self.of(*word)))).finish()
    }
}

impl<W: Worded, C: Default + Cell> Cell for ByWord<W, C> {
    const KIND: &'static str = C::KIND;

    fn write(all: &[&Self], family: &mut MetricFamily<'_>, labels: &mut [(&str, &str)]) {
        let at =
            labels.iter().position(|(_, value)| value.is_empty()).expect("each table of a declaration has a label");
        for word in W::ALL {
            labels[at].1 = word.word();
            let cells: Vec<_> = all.iter().map(|table| table.of(*word)).collect();
            C::write(&cells, family, labels);
        }
        labels[at].1 = "";
    }
}

/// Clients that were sent to a mirror, by mirror and tier. Shown with the names of a snapshot ([`super::served`]).
#[derive(Debug)]
pub(crate) struct SteeredCounts([Counter; METERS]);

impl SteeredCounts {
    /// The cell of a mirror and tier.
    #[inline]
    pub(crate) fn of(&self, meter: Meter) -> &Counter {
        &self.0[meter.index()]
    }
}

impl Default for SteeredCounts {
    fn default() -> Self {
        SteeredCounts(std::array::from_fn(|_| Counter::default()))
    }
}

/// Counts by the region of the client. Shown with the names of a snapshot ([`super::served`]).
#[derive(Debug)]
pub(crate) struct ByRegion<C>(Box<[C]>);

impl<C> ByRegion<C> {
    /// The cells of a region.
    #[inline]
    pub(crate) fn of(&self, region: RegionMeter) -> &C {
        &self.0[region.index()]
    }
}

impl<C: Default> Default for ByRegion<C> {
    fn default() -> Self {
        ByRegion((0..REGION_METERS).map(|_| C::default()).collect())
    }
}
