//! Sources of labels: a provider's feed, a hand-written list or a database in, a [`Source`] out.
//!
//! In: the bytes of one file and its `[networks]` entry. Out: a [`Source`] with warnings, or the errors for which the file
//! is refused. [`read`] is pure; [`load`] only fetches the bytes.
//!
//! **Invariants**: a file is all or nothing: one bad prefix refuses it, and so does a file without prefixes (published
//! copies are sometimes truncated, empty or an HTML error page). A geofeed is written by hand, so a few bad lines of it are
//! left out instead. Every entry keeps the line its prefix stands on; no file yields more than [`MAX_SHOWN`] problems of a
//! kind, however broken it is.
//! **Not here**: how much of the address space a new copy may move (`serve`), fetching by URL (`refresh`).

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

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use serde::de::IgnoredAny;

use crate::base::diagnostic::Diagnostic;
use crate::base::time::UnixTime;
use crate::config::{InputFile, Network, NetworkKind};
use crate::files::kept::CopyState;
use crate::files::{self, Contents, ReadError, kept};
use crate::load::hosts::Purpose;
use crate::networks::{Source, SourceBuilder};

use format::{Format, Parser};
use gather::Gather;
use text::SourceText;

/// The code of the warning about a source that is served without its file.
pub(crate) const SOURCE_REFUSED: &str = "source-refused";

/// The most problems of one kind shown for one file; the rest is counted.
const MAX_SHOWN: usize = 10;

/// The remedy for a file that is damaged.
const DOWNLOAD_AGAIN: &str = "download it again; keep the last good copy until then";

/// The remedy for a page that came instead of a file.
const ERROR_PAGE: &str = "servers send such a page instead of the file when something is wrong; download it again";

/// The remedy for a text in place of another format.
const TEXT_FORMATS: &str = "`list = …` reads a list of prefixes, `feed = \"geofeed\"` lines with commas";

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
    match network.fetched() {
        Some(_) if !network.input.is_in_memory() => load_copy(network),
        _ => load_file(network),
    }
}

fn load_file(network: &Network) -> Result<LoadedSource, Vec<Diagnostic>> {
    let contents = network.input.read().map_err(|error| unreadable(network, &error))?;
    let modified = modified(&contents);
    let mut loaded = read(network, contents.bytes)?;
    loaded.source.modified = modified;
    Ok(loaded)
}

/// The last change of a file; `None` before 1970.
fn modified(contents: &Contents) -> Option<UnixTime> {
    let since = contents.facts.modified().duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(UnixTime(since.as_secs()))
}

/// Reads the last good copy of a source that is fetched. Before the first fetch, the source has no prefixes.
fn load_copy(network: &Network) -> Result<LoadedSource, Vec<Diagnostic>> {
    let InputFile { path, file, place, .. } = &network.input;
    let mut warnings = Vec::new();
    let state = kept::recall(path).unwrap_or_else(|useless| {
        let problem = Diagnostic::error("state-file", useless.to_string()).help(useless.help());
        warnings.push(problem.at(place.clone(), "the state of its copy stands beside this file"));
        CopyState::default()
    });
    let contents = match network.input.read() {
        Ok(contents) => contents,
        Err(ReadError::Missing) => {
            let message = format!("network `{}` has no prefixes yet: `{file}` is not fetched", network.name);
            let warning = Diagnostic::warning("not-fetched", message).at(place.clone(), "no copy yet").help(
                "the server fetches it at once when it starts or reloads; until then other rules and defaults decide",
            );
            warnings.push(warning);
            return Ok(LoadedSource { source: empty(network), warnings });
        }
        Err(error) => return Err(unreadable(network, &error)),
    };
    let digest = files::digest_of(&contents.bytes);
    let is_ours = state.knows(&digest);
    let modified = modified(&contents);
    let mut loaded = read(network, contents.bytes)?;
    if is_ours {
        (loaded.source.modified, loaded.source.digest) = (Some(UnixTime(state.changed)), Some(digest.into()));
    } else {
        loaded.source.modified = modified;
        let help = "move it away, and it is fetched again; or add `pin = true`, and the file stays as it is";
        warnings.push(about(network, "foreign-copy", kept::foreign(path)).help(help));
    }
    loaded.warnings.splice(0..0, warnings);
    Ok(loaded)
}

/// Reads the content before that of the copy; `None` if there is none that the server has fetched.
fn load_previous(network: &Network) -> Option<Source> {
    let path = &network.input.path;
    network.fetched()?;
    let state = kept::recall(path).ok()?;
    let bytes = files::read(&kept::previous_path(path), network.input.usage.kind()).ok()?.bytes;
    let digest = files::digest_of(&bytes);
    let mut source = read(network, bytes).ok().filter(|_| state.knows(&digest))?.source;
    source.digest = Some(digest.into());
    Some(source)
}

/// Reads content that was fetched for a network, from another file than its own. Problems name the file that has the content if
/// it is refused.
pub(crate) fn load_candidate(network: &Network, path: &Path, now: UnixTime) -> Result<LoadedSource, Vec<Diagnostic>> {
    let contents = files::read(path, network.input.usage.kind()).map_err(|error| unreadable(network, &error))?;
    let digest = files::digest_of(&contents.bytes);
    let mut refused = network.clone();
    refused.input.file = format!("{}.refused", network.input.file).into();
    let mut loaded = read(&refused, contents.bytes)?;
    loaded.source.file = network.input.file.clone();
    (loaded.source.modified, loaded.source.digest) = (Some(now), Some(digest.into()));
    Ok(loaded)
}

/// The key of the account from which a network is fetched; `None` if there is no account.
pub(crate) fn fetch_key(network: &Network) -> Result<Option<String>, Box<Diagnostic>> {
    Ok(read_key(network)?.map(|(key, _)| key))
}

/// The key, with a warning if others may read its file.
fn read_key(network: &Network) -> Result<Option<(String, Option<Diagnostic>)>, Box<Diagnostic>> {
    let Some((_, input)) = network.fetched().and_then(|fetch| fetch.account.as_ref()) else { return Ok(None) };
    let what = format!("the key of network `{}`", network.name);
    let reason = "its readers can fetch with your account";
    let (text, warning) = super::keys::text_of_file(input, &what, &input.place, reason)?;
    Ok(Some((text.trim().to_string(), warning)))
}

/// The warning about the key of a network's account, if it cannot be read, or others may read it. The source is served anyway.
pub(super) fn check_key(network: &Network) -> Option<Diagnostic> {
    match read_key(network) {
        Ok(key) => key.and_then(|(_, warning)| warning),
        Err(problem) => Some(*problem),
    }
}

fn empty(network: &Network) -> Source {
    SourceBuilder::new(&network.name, &network.input.file).finish().0
}

/// The source to serve instead of a file that is refused, and the consequence in words. `None` if the refusal is one of the whole
/// configuration.
pub(super) fn stand_in(network: &Network, purpose: &Purpose) -> Option<(Arc<Source>, Diagnostic)> {
    let source = match purpose {
        Purpose::Reload(served) => {
            let is_same = |source: &&Arc<Source>| source.name == network.name && source.file == network.input.file;
            let source = served.sources.iter().find(is_same).filter(|source| source.prefix_count() > 0)?;
            let why = kept(network, source, "its file is refused");
            let help = "put a good file in its place and reload; `pharos check` shows all of its errors";
            return Some((source.clone(), why.help(help)));
        }
        Purpose::Start => {
            if let Some(source) = load_previous(network) {
                let why = kept(network, &source, "its copy is damaged, and the one before is used");
                return Some((Arc::new(source), why.help("move the damaged file away: the source is fetched again")));
            }
            Arc::new(empty(network))
        }
        Purpose::Check | Purpose::Show | Purpose::Compare => return None,
    };
    let message =
        format!("network `{}` has no prefixes: its file is refused, and other rules and defaults decide", network.name);
    let what = Diagnostic::warning(SOURCE_REFUSED, message).at(network.input.place.clone(), "this file");
    Some((source, what.help("put a good file in its place and reload; `pharos check` shows all of its errors")))
}

/// The served source instead of a copy that is missing at a reload.
pub(super) fn served_instead(network: &Network, purpose: &Purpose) -> Option<(Arc<Source>, Diagnostic)> {
    match purpose {
        Purpose::Reload(_) if network.fetched().is_some() => stand_in(network, purpose),
        _ => None,
    }
}

/// The warning that a network keeps its served prefixes.
pub(crate) fn kept(network: &Network, served: &Source, why: &str) -> Diagnostic {
    let message = format!("network `{}` keeps its served prefixes ({}): {why}", network.name, served.prefix_count());
    Diagnostic::warning(SOURCE_REFUSED, message).at(network.input.place.clone(), "this file")
}

/// Reads the bytes of a network's file.
pub fn read(network: &Network, octets: Vec<u8>) -> Result<LoadedSource, Vec<Diagnostic>> {
    let format = format_of(network.kind);
    match format.parser {
        Parser::Text(parse) => {
            let text = SourceText::of(network, format.noun, &octets)
                .map_err(|errors| instead_of(errors, other_format(network, &octets)))?;
            let mut gather = Gather::new(network, &text);
            parse(&mut gather).map_err(|errors| instead_of(errors, other_format(network, text.text.as_bytes())))?;
            gather.finish()
        }
        Parser::Bytes(parse) => {
            let other = other_format(network, &octets);
            parse(network, octets).map_err(|errors| instead_of(errors, other))
        }
    }
}

/// The errors of a file, or the one that it has another format.
fn instead_of(errors: Vec<Diagnostic>, other_format: Option<Diagnostic>) -> Vec<Diagnostic> {
    other_format.map_or(errors, |problem| vec![problem])
}

/// The error of a file that has another format by its mark or its outermost keys.
fn other_format(network: &Network, octets: &[u8]) -> Option<Diagnostic> {
    let is = if mmdb::is_database(octets) { NetworkKind::Mmdb } else { kind_of_document(octets)? };
    (is != network.kind).then(|| {
        let text = format!("is {}, not {}", format_of(is).noun, format_of(network.kind).noun);
        of_file(network, "wrong-feed", text).help(format!("write `{}` for this file", is.spelling()))
    })
}

/// The kind of a JSON document.
fn kind_of_document(octets: &[u8]) -> Option<NetworkKind> {
    let document: BTreeMap<Cow<'_, str>, IgnoredAny> = serde_json::from_slice(octets).ok()?;
    let has_key = |kind: &NetworkKind| format_of(*kind).keys.iter().any(|key| document.contains_key(*key));
    NetworkKind::ALL.into_iter().find(has_key)
}

fn format_of(kind: NetworkKind) -> &'static Format {
    match kind {
        NetworkKind::List => &list::FORMAT,
        NetworkKind::Aws => &aws::FORMAT,
        NetworkKind::Gcp => &gcp::FORMAT,
        NetworkKind::Azure => &azure::FORMAT,
        NetworkKind::Oci => &oci::FORMAT,
        NetworkKind::Fastly => &fastly::FORMAT,
        NetworkKind::Cloudflare => &cloudflare::FORMAT,
        NetworkKind::Geofeed => &geofeed::FORMAT,
        NetworkKind::Mmdb => &mmdb::FORMAT,
    }
}

fn unreadable(network: &Network, error: &ReadError) -> Vec<Diagnostic> {
    let code = match error {
        ReadError::TooLarge { .. } => "file-too-large",
        _ => "unreadable-file",
    };
    let help = error.help(&network.input.path);
    vec![about(network, code, format!("failed to read `{}`: {error}", network.input.file)).help(help)]
}

/// An error about a file as a whole, placed where the config names it.
fn about(network: &Network, code: &'static str, message: String) -> Diagnostic {
    Diagnostic::error(code, message).at(network.input.place.clone(), "named here")
}

/// An error whose message is the name of the file and this text.
fn of_file(network: &Network, code: &'static str, text: impl Display) -> Diagnostic {
    about(network, code, format!("`{}` {text}", network.input.file))
}

/// The error of a file without a prefix.
fn no_prefixes(network: &Network) -> Diagnostic {
    of_file(network, "no-prefixes", "has no prefixes in it")
}

/// The start of a text that may be long.
fn clip(text: &str) -> &str {
    text.char_indices().nth(MAX_SHOWN_CHARS).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests;
