//! Gathering: prefixes as a file writes them in, a [`Loaded`] source or the file's errors out.
//!
//! **Invariants**: all bad prefixes of a file are found in one run; of two entries for one prefix the earlier wins, but
//! one with a region wins over one without.
//! **Not here**: the formats.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::text::Text;
use super::{Loaded, MAX_SHOWN, MAX_SHOWN_CHARS, about, noun};
use crate::base::diagnostic::{Diagnostic, Place};
use crate::base::ids::LabelsId;
use crate::base::prefix::Prefix;
use crate::config::Network;
use crate::networks::{Conflict, Labels, Source, SourceBuilder};

/// A source in the making.
pub(super) struct Gather<'a> {
    /// The file's text.
    pub(super) text: &'a Text<'a>,
    network: &'a Network,
    builder: SourceBuilder,
    /// The labels of each region met so far.
    regions: HashMap<Box<str>, LabelsId>,
    /// Entries that give way to others, see [`Gather::add_vague`].
    vague: Vec<(Prefix, LabelsId, u32)>,
    has_prefixes: bool,
    errors: Vec<Diagnostic>,
    errors_not_shown: usize,
    warnings: Vec<Diagnostic>,
}

impl<'a> Gather<'a> {
    /// Begins the source of a network.
    pub(super) fn new(network: &'a Network, text: &'a Text<'a>) -> Self {
        Gather {
            text,
            network,
            builder: SourceBuilder::new(&network.name, &network.file),
            regions: HashMap::new(),
            vague: Vec::new(),
            has_prefixes: false,
            errors: Vec::new(),
            errors_not_shown: 0,
            warnings: Vec::new(),
        }
    }

    /// The network as configured.
    pub(super) fn network(&self) -> &'a Network {
        self.network
    }

    /// The provider of all entries: the config's, else the feed's own.
    pub(super) fn provider(&self, own: Option<&str>) -> Option<Arc<str>> {
        self.network.provider.clone().or_else(|| own.map(Arc::from))
    }

    /// The id of a set of labels.
    pub(super) fn intern(&mut self, labels: Labels) -> LabelsId {
        self.builder.intern(labels)
    }

    /// The id of a region of a cloud provider; an empty name is no region.
    pub(super) fn region(&mut self, own: &str, region: &str) -> LabelsId {
        if let Some(id) = self.regions.get(region) {
            return *id;
        }
        let provider = self.provider(Some(own));
        let name = (!region.is_empty()).then(|| region.into());
        let id = self.builder.intern(Labels { provider, region: name, ..Labels::default() });
        self.regions.insert(region.into(), id);
        id
    }

    /// Adds an entry; what is not a prefix becomes an error of the file.
    pub(super) fn add(&mut self, written: &str, labels: LabelsId, line: u32, place: impl FnOnce() -> Place) {
        if let Some(prefix) = self.parse(written, place) {
            self.builder.add(prefix, labels, line);
        }
    }

    /// Adds an entry that says less than another for the same prefix may, and gives way to it.
    pub(super) fn add_vague(&mut self, written: &str, labels: LabelsId, line: u32, place: impl FnOnce() -> Place) {
        if let Some(prefix) = self.parse(written, place) {
            self.vague.push((prefix, labels, line));
        }
    }

    /// Drops the vague entries for which `unwanted` holds.
    pub(super) fn drop_vague(&mut self, mut unwanted: impl FnMut(Prefix) -> bool) {
        self.vague.retain(|(prefix, ..)| !unwanted(*prefix));
    }

    fn parse(&mut self, written: &str, place: impl FnOnce() -> Place) -> Option<Prefix> {
        self.has_prefixes = true;
        match written.parse() {
            Ok(prefix) => Some(prefix),
            Err(error) => {
                let message = match written.len() {
                    0..=MAX_SHOWN_CHARS => format!("`{written}` is not a prefix: {error}"),
                    octets => format!("a text of {octets} bytes is not a prefix"),
                };
                self.refuse(|| Diagnostic::error("bad-prefix", message).at(place(), "this one"));
                None
            }
        }
    }

    /// Notes an error of the file.
    pub(super) fn refuse(&mut self, error: impl FnOnce() -> Diagnostic) {
        if self.errors.len() < MAX_SHOWN {
            self.errors.push(error());
        } else {
            self.errors_not_shown += 1;
        }
    }

    /// Notes what is odd about the file.
    pub(super) fn warn(&mut self, warning: impl Into<Option<Diagnostic>>) {
        self.warnings.extend(warning.into());
    }

    /// Whether the file had a prefix, or what stands in the place of one.
    pub(super) fn has_prefixes(&self) -> bool {
        self.has_prefixes || !self.errors.is_empty()
    }

    /// Ends the source.
    pub(super) fn finish(mut self) -> Result<Loaded, Vec<Diagnostic>> {
        if !self.errors.is_empty() {
            return Err(self.refusal());
        }
        let network = self.network;
        let vague: HashSet<LabelsId> = self.vague.iter().map(|(_, labels, _)| *labels).collect();
        // They come last because the first of several for one prefix stays.
        for (prefix, labels, line) in std::mem::take(&mut self.vague) {
            self.builder.add(prefix, labels, line);
        }
        let (source, mut conflicts) = self.builder.finish();
        conflicts.retain(|conflict| !vague.contains(&conflict.dropped.1));
        conflicts.sort_by_key(|conflict| conflict.dropped.0);
        self.warnings.extend(contradictions(&source, self.text, &conflicts));
        debug_assert_eq!(*source.name, *network.name);
        Ok(Loaded { source, warnings: self.warnings })
    }

    /// The errors, with a word on how many there are in all.
    fn refusal(mut self) -> Vec<Diagnostic> {
        if self.errors_not_shown > 0 {
            let total = self.errors.len() + self.errors_not_shown;
            let message =
                format!("`{}` has {total} errors, of which the first {MAX_SHOWN} are shown", self.network.file);
            let help = format!("is it really {}?", noun(self.network.kind));
            self.errors.push(about(self.network, "too-many-errors", message).help(help));
        }
        self.errors
    }
}

/// One warning for all prefixes that are listed twice with different labels.
fn contradictions(source: &Source, text: &Text<'_>, conflicts: &[Conflict]) -> Option<Diagnostic> {
    let first = conflicts.first()?;
    let message = match conflicts.len() {
        1 => format!("`{}` is listed twice with different labels", first.prefix),
        more => format!("{more} prefixes are listed twice with different labels, `{}` first of them", first.prefix),
    };
    let whole = |line| Place::whole_line(&text.file, line, text.line(line));
    let what = |id| describe(source.labels(id));
    Some(
        Diagnostic::warning("conflicting-labels", message)
            .at(whole(first.dropped.0), format!("{}, not used", what(first.dropped.1)))
            .related(whole(first.kept.0), format!("{}, used", what(first.kept.1)))
            .help("the first in the file is used; remove the other"),
    )
}

/// Labels in a few words.
fn describe(labels: &Labels) -> String {
    let place = labels.place.as_ref();
    let words = [
        labels.label.as_deref(),
        labels.region.as_deref(),
        place.and_then(|place| place.subdivision.as_deref().or(place.country.as_deref())),
    ];
    match words.into_iter().flatten().next() {
        Some(word) => format!("`{word}`"),
        None => "no label".to_string(),
    }
}
