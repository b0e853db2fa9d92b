//! Gathering: the written prefixes of a file in; out comes a [`LoadedSource`], or the errors of the file.
//!
//! **Invariants**: all bad prefixes of a file are found in one run, and refuse it, except for a few of a geofeed; of two entries for one prefix the earlier wins, but
//! one with a region wins over one without.
//! **Not here**: the formats.

use std::collections::HashSet;
use std::net::IpAddr;

use super::text::SourceText;
use super::{LoadedSource, MAX_SHOWN, MAX_SHOWN_CHARS, about};
use crate::base::diagnostic::{Diagnostic, Place};
use crate::base::ids::LabelsId;
use crate::base::prefix::{Prefix, PrefixError};
use crate::base::special::embedded_prefix;
use crate::config::{Network, NetworkKind};
use crate::networks::{Conflict, Entry, LabelKind, Labels, Source, SourceBuilder};

/// The largest share of a geofeed's entries that is left out: one in this many. With more, the file is refused, because a
/// damaged file, or one of another format, has many bad lines, and a slip of its author has few.
const BAD_ENTRY_SHARE: usize = 10;

/// The remedy for a published file.
pub(super) const KEEP_LAST_GOOD: &str = "keep the last good copy of the file, and inform its publisher";

/// A source in the making.
pub(super) struct Gather<'a> {
    /// The file's text.
    pub(super) text: &'a SourceText<'a>,
    /// The network as configured.
    pub(super) network: &'a Network,
    builder: SourceBuilder,
    /// Entries that give way to others, see [`Gather::add_vague`].
    vague: Vec<(Prefix, LabelsId, u32)>,
    has_prefixes: bool,
    errors: Vec<Diagnostic>,
    errors_not_shown: usize,
    /// The number of entries, if errors of entries may be left out ([`Gather::leave_out`]).
    entries: Option<usize>,
    warnings: Vec<Diagnostic>,
}

impl<'a> Gather<'a> {
    /// Begins the source of a network.
    pub(super) fn new(network: &'a Network, text: &'a SourceText<'a>) -> Self {
        let builder = SourceBuilder::new(&network.name, &network.input.file);
        Gather {
            text,
            network,
            builder: if network.kind == NetworkKind::List { builder.by_operator() } else { builder },
            vague: Vec::new(),
            has_prefixes: false,
            errors: Vec::new(),
            errors_not_shown: 0,
            entries: None,
            warnings: Vec::new(),
        }
    }

    /// The provider of all entries: the config's, else the feed's own.
    pub(super) fn provider<'l>(&self, own: Option<&'l str>) -> Labels<'l>
    where
        'a: 'l,
    {
        let network = self.network;
        Labels::default().with_optional(LabelKind::Provider, network.provider.as_deref().or(own))
    }

    /// The id of a set of labels.
    pub(super) fn intern(&mut self, labels: Labels<'_>) -> LabelsId {
        self.builder.intern(labels)
    }

    /// The id of a region of a cloud provider; an empty name is no region.
    pub(super) fn region(&mut self, own: &str, region: &str) -> LabelsId {
        let labels = self.provider(Some(own)).with(LabelKind::Region, region);
        self.builder.intern(labels)
    }

    /// Adds an entry.
    pub(super) fn add(&mut self, prefix: Prefix, labels: LabelsId, line: u32) {
        self.builder.add(prefix, labels, line);
    }

    /// Adds an entry that gives way to any other entry for the same prefix, because the other may have more labels.
    pub(super) fn add_vague(&mut self, prefix: Prefix, labels: LabelsId, line: u32) {
        self.vague.push((prefix, labels, line));
    }

    /// Drops the vague entries for which `unwanted` holds.
    pub(super) fn drop_vague(&mut self, mut unwanted: impl FnMut(Prefix) -> bool) {
        self.vague.retain(|(prefix, ..)| !unwanted(*prefix));
    }

    /// Reads a prefix; a text that is not one becomes an error of the file.
    pub(super) fn parse(&mut self, written: &str, place: impl FnOnce() -> Place) -> Option<Prefix> {
        self.has_prefixes = true;
        match written.parse() {
            Ok(prefix) => Some(prefix),
            Err(error) => {
                let message = match written.len() {
                    0..=MAX_SHOWN_CHARS => format!("`{written}` is not a prefix: {error}"),
                    octets => format!("a text of {octets} bytes is not a prefix"),
                };
                let remedy = remedy(self.network.kind, written, &error);
                self.refuse(|| Diagnostic::error("bad-prefix", message).at(place(), "this one").help(remedy));
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

    /// Makes the errors so far one warning, and leaves their entries out (RFC 8805 §2.1.2). If more than one in
    /// [`BAD_ENTRY_SHARE`] of the entries has an error, the errors stay, and refuse the file.
    pub(super) fn leave_out(&mut self, entries: usize) {
        let bad = self.errors.len() + self.errors_not_shown;
        self.entries = Some(entries);
        if bad * BAD_ENTRY_SHARE > entries {
            return;
        }
        self.errors_not_shown = 0;
        let Some(first) = std::mem::take(&mut self.errors).into_iter().next() else { return };
        let message = match bad {
            1 => format!("an entry is left out: {}", first.message),
            more => format!("{more} of {entries} entries are left out, the first because {}", first.message),
        };
        let warning = Diagnostic::warning("bad-entry", message)
            .help("inform the publisher; if more than a tenth of the entries cannot be read, the file is refused");
        self.warnings.push(match first.place {
            Some(place) => warning.at(place, first.label),
            None => warning,
        });
    }

    /// Adds a warning about the file, if there is one.
    pub(super) fn warn(&mut self, warning: impl Into<Option<Diagnostic>>) {
        self.warnings.extend(warning.into());
    }

    /// Returns whether the file has an entry, be it a prefix or an error.
    pub(super) fn has_prefixes(&self) -> bool {
        self.has_prefixes || !self.errors.is_empty()
    }

    /// Ends the source.
    pub(super) fn finish(mut self) -> Result<LoadedSource, Vec<Diagnostic>> {
        if !self.errors.is_empty() {
            return Err(self.refusal());
        }
        let network = self.network;
        let vague: HashSet<LabelsId> = self.vague.iter().map(|(_, labels, _)| *labels).collect();
        // The vague entries come last because the first of several entries for one prefix stays.
        for (prefix, labels, line) in std::mem::take(&mut self.vague) {
            self.builder.add(prefix, labels, line);
        }
        let (source, mut conflicts) = self.builder.finish();
        conflicts.retain(|conflict| !vague.contains(&conflict.dropped.1));
        conflicts.sort_by_key(|conflict| conflict.dropped.0);
        self.warnings.extend(contradictions(&source, self.text, &conflicts));
        if network.kind == NetworkKind::List {
            self.warnings.extend(embedded(&source, self.text));
        }
        debug_assert_eq!(*source.name, *network.name);
        Ok(LoadedSource { source, warnings: self.warnings })
    }

    /// The errors; if not all are shown, or if entries without error are refused with them, the last one has the counts.
    fn refusal(mut self) -> Vec<Diagnostic> {
        let total = self.errors.len() + self.errors_not_shown;
        let file = &self.network.input.file;
        let shown = match self.errors_not_shown {
            0 => String::new(),
            _ => format!(", of which the first {MAX_SHOWN} are shown"),
        };
        let message = match self.entries {
            Some(entries) => format!("{total} of {entries} entries of `{file}` cannot be read{shown}"),
            None if self.errors_not_shown > 0 => format!("`{file}` has {total} errors{shown}"),
            None => return self.errors,
        };
        let is_it = format!("is it really {}?", self.text.noun);
        let help = match self.entries {
            Some(_) => format!("up to a tenth of them would be left out; {is_it}"),
            None => is_it,
        };
        self.errors.push(about(self.network, "too-many-errors", message).help(help));
        self.errors
    }
}

/// The remedy for a text that is no prefix.
fn remedy(kind: NetworkKind, written: &str, error: &PrefixError) -> String {
    let is_address = |text: &str| text.parse::<IpAddr>().is_ok();
    if kind != NetworkKind::List {
        return KEEP_LAST_GOOD.to_string();
    }
    match error {
        PrefixError::HostBits(meant) => {
            let address = written.split('/').next().unwrap_or(written);
            format!("write `{meant}` for the whole prefix, or `{address}` for one address")
        }
        PrefixError::Address(_) | PrefixError::Length { .. } if written.contains(',') => {
            "write prefix and label with a space between; `feed = \"geofeed\"` reads files with commas (RFC 8805)"
                .to_string()
        }
        PrefixError::Length { family, .. } => format!("write the number of bits, from 0 to {}", family.width()),
        PrefixError::Address(_) if written.split('-').count() == 2 && written.split('-').all(is_address) => {
            "write a range as prefixes, like `192.0.2.0/24`".to_string()
        }
        PrefixError::Address(_) => {
            "a line is `prefix [label]`, like `192.0.2.0/24 office`; begin headings and comments with `#`".to_string()
        }
    }
}

/// One warning for all prefixes of IPv6 whose addresses stand for IPv4 addresses, by which their clients are known.
fn embedded(source: &Source, text: &SourceText<'_>) -> Option<Diagnostic> {
    let meant = |entry: &Entry<u128>| Some((entry.line, entry.block, embedded_prefix(Prefix::V6(entry.block))?));
    let found: Vec<_> = source.v6().iter().filter_map(meant).collect();
    let (line, block, meant) = found.iter().min_by_key(|(line, ..)| *line)?;
    let first = Prefix::V6(*block);
    let message = match found.len() {
        1 => format!("`{first}` has IPv4 addresses in IPv6 form"),
        more => format!("{more} prefixes have IPv4 addresses in IPv6 form, `{first}` first of them"),
    };
    Some(
        Diagnostic::warning("embedded-prefix", message)
            .at(Place::whole_line(&text.file, *line, text.line(*line)), "a client there is known by its IPv4 address")
            .help(format!("write `{meant}`")),
    )
}

/// One warning for all prefixes that are listed twice with different labels.
fn contradictions(source: &Source, text: &SourceText<'_>, conflicts: &[Conflict]) -> Option<Diagnostic> {
    let first = conflicts.first()?;
    let message = match conflicts.len() {
        1 => format!("`{}` is listed twice with different labels", first.prefix),
        more => format!("{more} prefixes are listed twice with different labels, `{}` first of them", first.prefix),
    };
    let whole = |line| Place::whole_line(&text.file, line, text.line(line));
    let [dropped, kept] = [first.dropped.1, first.kept.1].map(|id| source.labels(id));
    let [what, instead] = differences(&dropped, &kept);
    Some(
        Diagnostic::warning("conflicting-labels", message)
            .at(whole(first.dropped.0), format!("{what}, not used"))
            .related(whole(first.kept.0), format!("{instead}, used"))
            .help("the first in the file is used; remove the other"),
    )
}

/// The values of two sets of labels, of the first kind whose values differ.
fn differences(one: &Labels<'_>, other: &Labels<'_>) -> [String; 2] {
    let differs = |kind: &LabelKind| one.value(*kind) != other.value(*kind);
    let kind = LabelKind::ALL.into_iter().find(differs).unwrap_or(LabelKind::Label);
    [one, other].map(|labels| match labels.value(kind) {
        Some(value) => format!("`{value}`"),
        None => format!("no {}", kind.row().nouns[0]),
    })
}
