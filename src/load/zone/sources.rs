//! The files of one zone, in which the line of a record is found again.
//!
//! A record's tag is the number of its line, counted through all files. It costs four bytes per record; the text of the line
//! is found again only for a diagnostic. The first tags stand for places outside of the files.
//!
//! **Invariants**: tags of a file follow those of the files read before it.

use std::ops::Range;
use std::sync::Arc;

use super::split::{Splitter, ZoneEntry, ZoneToken};
use crate::base::diagnostic::Place;

/// Files, and places outside of them.
pub(super) struct Sources {
    places: Vec<Place>,
    files: Vec<Arc<ZoneSource>>,
    /// The first tag no file has.
    end: u32,
}

/// One file.
pub(super) struct ZoneSource {
    /// Its name, for diagnostics.
    pub(super) file: Arc<str>,
    /// Its contents.
    pub(super) text: Vec<u8>,
    /// The tag of its first line.
    first: u32,
    /// The place of the entry from which the text was generated; `None` for a file.
    made_at: Option<Place>,
}

/// One entry and the file it is in.
#[derive(Clone, Copy)]
pub(super) struct ZoneLine<'e> {
    pub(super) source: &'e ZoneSource,
    pub(super) entry: &'e ZoneEntry,
}

impl Sources {
    /// No file yet; the tags from 0 stand for `places`.
    pub(super) fn new(places: Vec<Place>) -> Self {
        let end = places.len() as u32;
        Sources { places, files: Vec::new(), end }
    }

    /// Adds a file; the caller keeps all of them together below 4 Gi lines.
    pub(super) fn add(&mut self, file: Arc<str>, text: Vec<u8>) -> Arc<ZoneSource> {
        let lines = 1 + text.iter().filter(|octet| **octet == b'\n').count() as u32;
        let source = Arc::new(ZoneSource { file, text, first: self.end, made_at: None });
        self.end += lines;
        self.files.push(source.clone());
        source
    }

    /// The place of a tag. For a line of a file: the first line of the entry that begins there.
    pub(super) fn place(&self, tag: u32) -> Option<Place> {
        if let Some(place) = self.places.get(tag as usize) {
            return Some(place.clone());
        }
        let after = self.files.partition_point(|source| source.first <= tag);
        let source = self.files.get(after.checked_sub(1)?)?;
        Some(source.place_of_entry(tag - source.first + 1))
    }
}

impl ZoneSource {
    /// A text to be generated from the entry at `place`, which has this tag.
    pub(super) fn made_at(place: Place, tag: u32) -> Self {
        ZoneSource { file: place.file.clone(), text: Vec::new(), first: tag, made_at: Some(place) }
    }

    /// The tag of a line, counted from 1.
    pub(super) fn tag(&self, line: u32) -> u32 {
        self.first + line - 1
    }

    /// The place of a range of bytes, cut to its first line.
    pub(super) fn place(&self, range: Range<usize>) -> Place {
        if let Some(place) = &self.made_at {
            return place.clone();
        }
        let start = range.start.min(self.text.len());
        let line_start = self.text[..start].iter().rposition(|octet| *octet == b'\n').map_or(0, |at| at + 1);
        let line = 1 + self.text[..line_start].iter().filter(|octet| **octet == b'\n').count() as u32;
        let rest = &self.text[line_start..];
        let line_text = &rest[..rest.iter().position(|octet| *octet == b'\n').unwrap_or(rest.len())];
        let from = (start - line_start).min(line_text.len());
        let to = range.end.saturating_sub(line_start).clamp(from, line_text.len());
        // Bytes that are no UTF-8 take another number of bytes when shown.
        let [before, within, after] =
            [0..from, from..to, to..line_text.len()].map(|part| String::from_utf8_lossy(&line_text[part]).into_owned());
        let columns = before.len()..before.len() + within.len();
        Place::in_line(&self.file, line, &(before + &within + &after), columns)
    }

    /// The place of the entry that begins on a line, from the first token to the last.
    fn place_of_entry(&self, line: u32) -> Place {
        let start = match line {
            1 => 0,
            _ => {
                let mut ends = self.text.iter().enumerate().filter(|(_, octet)| **octet == b'\n');
                ends.nth(line as usize - 2).map_or(self.text.len(), |(at, _)| at + 1)
            }
        };
        let mut entry = ZoneEntry::new();
        let _ = Splitter::at_line(&self.text, start, line).read(&mut entry);
        match (entry.tokens.first(), entry.tokens.last()) {
            (Some(first), Some(last)) => self.place(first.range.start..last.range.end),
            _ => self.place(start..start),
        }
    }
}

impl<'e> ZoneLine<'e> {
    /// The bytes of a token, as written.
    pub(super) fn octets(self, token: &ZoneToken) -> &'e [u8] {
        &self.source.text[token.range.clone()]
    }

    /// The bytes of a token without its quotes.
    pub(super) fn content(self, token: &ZoneToken) -> &'e [u8] {
        token.content(&self.source.text)
    }
}
