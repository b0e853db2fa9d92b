//! Source locations of the served data: kept beside the tables that queries read, for `explain` alone.

use std::sync::Arc;

use crate::base::ids::HorizonId;
use crate::networks::Networks;
use crate::steer::Won;

/// A file and a line of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The file, as the operator wrote it.
    pub(crate) file: Arc<str>,
    /// The line, from 1; 0 if there is none.
    pub(crate) line: u32,
}

/// The origin of the records of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneOrigin {
    /// The master file, as the operator wrote it; `None` for a zone that is fetched from primaries.
    pub(crate) file: Option<Arc<str>>,
    /// True if the file was refused by the last reload, so that the records are those of the reload before.
    pub(crate) is_refused: bool,
}

/// The places where everything was written.
#[derive(Clone, Debug, Default)]
pub struct Provenance {
    /// The sources with their entries.
    pub(crate) networks: Networks,
    /// For each horizon, the place of each rule, and that of the default.
    pub(crate) horizons: Vec<(Vec<Origin>, Origin)>,
}

impl Provenance {
    /// The place where the winner was written.
    pub(crate) fn origin(&self, horizon: HorizonId, won: Won) -> Option<&Origin> {
        let (rules, default) = self.horizons.get(horizon.index())?;
        match won {
            Won::Rule(rule) => rules.get(rule),
            Won::Default => Some(default),
        }
    }
}
