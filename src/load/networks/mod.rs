//! Sources of labels: a provider's feed, a hand-written list or a database in, a [`Source`] out.
//!
//! In: the bytes of one file and its `[networks]` entry. Out: a [`Source`] with warnings, or the errors for which the file
//! is refused. [`read`] is pure; [`load`] only fetches the bytes.
//!
//! **Invariants**: a file is all or nothing: one bad prefix refuses it, and so does a file without prefixes (published
//! copies are sometimes truncated, empty or an HTML error page). A geofeed is written by hand, so a few bad lines of it are
//! left out instead. Every entry keeps the line its prefix stands on; no file yields more than [`MAX_SHOWN`] problems of a
//! kind, however broken it is.
//! **Not here**: how much of the address space a new copy may move, fetching by URL.

mod aws;
mod azure;
mod cloudflare;
mod continents;
mod fastly;
mod format;
mod gather;
mod gcp;
mod geofeed;
mod json;
mod list;
mod mmdb;
mod oci;
mod text;

use std::sync::Arc;
use std::time::SystemTime;

use crate::base::diagnostic::Diagnostic;
use crate::base::time::UnixTime;
use crate::config::Network;
use crate::files::{Contents, ReadError};
use crate::load::hosts::Purpose;
use crate::networks::{Source, SourceBuilder};

use format::{Format, FormatReader, noun};
use gather::Gather;
use text::SourceText;

/// The code of the warning about a source that is served without its file.
pub(crate) const SOURCE_REFUSED: &str = "source-refused";

/// The most problems of one kind shown for one file; the rest is counted.
const MAX_SHOWN: usize = 10;

/// The longest piece of a file that a message repeats, in characters.
const MAX_SHOWN_CHARS: usize = 100;

/// A source that was read.
#[derive(Debug)]
pub struct LoadedSource {
    /// The prefixes of the file with their labels.
    pub source: Source,
    /// The warnings about the file.
    pub(crate) warnings: Vec<Diagnostic>,
}

/// Reads the file of a network.
pub fn load(network: &Network) -> Result<LoadedSource, Vec<Diagnostic>> {
    let contents = fetch(network)?;
    let modified = contents.facts.modified().duration_since(SystemTime::UNIX_EPOCH).ok();
    let mut loaded = read(network, contents.bytes)?;
    loaded.source.modified = modified.map(|since| UnixTime(since.as_secs()));
    Ok(loaded)
}

/// The source to serve instead of a file that is refused, and the consequence in words. `None` if the refusal is one of the whole
/// configuration.
pub(super) fn stand_in(network: &Network, purpose: &Purpose) -> Option<(Arc<Source>, Diagnostic)> {
    let (source, message, label) = match purpose {
        Purpose::Reload(served) => {
            let is_same = |source: &&Arc<Source>| source.name == network.name && source.file == network.input.file;
            let source = served.sources.iter().find(is_same).filter(|source| source.prefix_count() > 0)?;
            let count = source.prefix_count();
            let message =
                format!("network `{}` keeps its served prefixes ({count}): its file is refused", network.name);
            (source.clone(), message, "this file")
        }
        Purpose::Start => {
            let message = format!(
                "network `{}` has no prefixes: its file is refused, and other rules and defaults decide",
                network.name
            );
            (Arc::new(SourceBuilder::new(&network.name, &network.input.file).finish().0), message, "this file")
        }
        Purpose::Check | Purpose::Show | Purpose::Compare => return None,
    };
    let what = Diagnostic::warning(SOURCE_REFUSED, message).at(network.input.place.clone(), label);
    Some((source, what.help("put a good file in its place and reload; `pharos check` shows all of its errors")))
}

/// Reads the bytes of a network's file.
pub fn read(network: &Network, octets: Vec<u8>) -> Result<LoadedSource, Vec<Diagnostic>> {
    let read = match Format::of(network.kind).read {
        FormatReader::Database(read) => return read(network, octets),
        FormatReader::Text(read) => read,
    };
    let text = SourceText::of(network, &octets)?;
    let mut gather = Gather::new(network, &text);
    read(&mut gather)?;
    gather.finish()
}

fn fetch(network: &Network) -> Result<Contents, Vec<Diagnostic>> {
    network.input.read().map_err(|error| {
        let code = match error {
            ReadError::TooLarge { .. } => "file-too-large",
            _ => "unreadable-file",
        };
        let help = error.help(&network.input.path);
        vec![about(network, code, format!("failed to read `{}`: {error}", network.input.file)).help(help)]
    })
}

/// An error about a file as a whole, placed where the config names it.
fn about(network: &Network, code: &'static str, message: String) -> Diagnostic {
    Diagnostic::error(code, message).at(network.input.place.clone(), "named here")
}

/// The start of a text that may be long.
fn clip(text: &str) -> &str {
    text.char_indices().nth(MAX_SHOWN_CHARS).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests;
