//! `[guard]`: the limits of a change by a reload.
//!
//! **Not here**: counting the clients that move ([`crate::inspect`]), the refusal (`serve`).

use super::check::Check;
use super::field::section;
use super::row::text;
use super::{PlacedText, value};
use crate::base::diagnostic::Place;
use crate::base::share::Share;

/// Far above any real change: of 2,000 versions of the feeds of four providers, the largest moved 1.15 % of its addresses.
const MOVED_DEFAULT: Share = Share::of_percent(5);

const NEW_DEFAULT: Share = Share::of_percent(50);

section! {
    /// `[guard]` as written.
    pub(super) struct GuardSpec: "[guard]" {
        /// The largest share of the addresses that rules decide for which a reload may send to other mirrors, of each horizon and
        /// family. A reload that moves more is refused as a whole, and the configuration before it is served.
        ///
        /// A feed that was cut to a fraction or a typing error in a rule moves more; published feeds move at most 1.15 % from one
        /// version to the next.
        moved: Option<PlacedText> = text("moved", "share").otherwise("`\"5%\"`").example("\"2%\""),

        /// The largest share of the addresses that a source labels which may be new to it, of each family.
        ///
        /// A feed with a prefix that is far too wide labels clients of others.
        new: Option<PlacedText> = text("new", "share").otherwise("`\"50%\"`").example("\"20%\""),
    }
}

/// `[guard]`: the limits of a change by a reload.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GuardConfig {
    /// The largest share of the addresses that rules decide for that may move.
    pub(crate) moved: Share,
    /// The largest share of the addresses that a source labels that may be new to it.
    pub(crate) new: Share,
    /// The place of the table.
    pub(crate) place: Place,
}

impl GuardConfig {
    /// The default limits, for content that is fetched without an operator; the place is that of its URL.
    pub(crate) fn of_fetch(place: Place) -> Self {
        GuardConfig { moved: MOVED_DEFAULT, new: NEW_DEFAULT, place }
    }
}

impl Check<'_> {
    pub(super) fn check_guard(&mut self, spec: &GuardSpec) -> GuardConfig {
        let share = |check: &mut Self, text: &Option<PlacedText>, default| {
            text.as_ref().and_then(|text| check.parse(text, value::share)).unwrap_or(default)
        };
        GuardConfig {
            moved: share(self, &spec.moved, MOVED_DEFAULT),
            new: share(self, &spec.new, NEW_DEFAULT),
            place: spec.table.place.clone(),
        }
    }
}
