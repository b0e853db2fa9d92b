//! Sources of labels: a provider's feed, a hand-written list or a database in, a [`Source`] out.
//!
//! In come the octets of one file and what the config says of it; out goes a [`Source`] with warnings beside it, or the
//! errors for which the file is refused. [`read`] is pure; [`load`] only fetches the octets.
//!
//! **Invariants**: a file is all or nothing: one bad prefix refuses it, and so does a file without prefixes (published
//! copies are sometimes truncated, empty or an HTML error page); every entry keeps the line its prefix stands on; no
//! file yields more than [`MAX_SHOWN`] problems of a kind, however broken it is.
//! **Not here**: keeping the last good source, how much of the address space a new copy may move, fetching by URL.

mod aws;
mod azure;
mod continents;
mod gather;
mod gcp;
mod geofeed;
mod json;
mod list;
mod mmdb;
mod oci;
mod text;

use std::fs::File;
use std::io::{self, Read as _};

use crate::base::diagnostic::Diagnostic;
use crate::config::{Network, NetworkKind};
use crate::networks::Source;

use gather::Gather;
use text::Text;

/// The largest feed or list, in octets.
///
/// The largest published one (Azure's service tags) has some 4 MiB; sixteen times that is a mistake.
const MAX_TEXT_OCTETS: u64 = 64 << 20;

/// The largest database, in octets: twice the largest that MaxMind sells (Enterprise, some 500 MB).
const MAX_DATABASE_OCTETS: u64 = 1 << 30;

/// The most problems of one kind shown for one file; the rest is counted.
const MAX_SHOWN: usize = 10;

/// The longest piece of a file that a message repeats, in characters.
const MAX_SHOWN_CHARS: usize = 100;

/// A source that was read.
#[derive(Debug)]
pub struct Loaded {
    /// What the file says.
    pub source: Source,
    /// What is odd about it.
    pub warnings: Vec<Diagnostic>,
}

/// Reads the file of a network.
pub fn load(network: &Network) -> Result<Loaded, Vec<Diagnostic>> {
    let octets = fetch(network)?;
    read(network, octets)
}

/// Reads the octets of a network's file.
pub fn read(network: &Network, octets: Vec<u8>) -> Result<Loaded, Vec<Diagnostic>> {
    if network.kind == NetworkKind::Mmdb {
        return mmdb::read(network, octets);
    }
    let text = Text::of(network, &octets)?;
    let mut gather = Gather::new(network, &text);
    let read = match network.kind {
        NetworkKind::Aws => aws::read(&mut gather),
        NetworkKind::Gcp => gcp::read(&mut gather),
        NetworkKind::Azure => azure::read(&mut gather),
        NetworkKind::Oci => oci::read(&mut gather),
        NetworkKind::Geofeed => geofeed::read(&mut gather),
        NetworkKind::List => list::read(&mut gather),
        NetworkKind::Mmdb => unreachable!("databases are read above"),
    };
    read?;
    gather.finish()
}

/// Reads a file whole, up to its limit.
fn fetch(network: &Network) -> Result<Vec<u8>, Vec<Diagnostic>> {
    let limit = match network.kind {
        NetworkKind::Mmdb => MAX_DATABASE_OCTETS,
        _ => MAX_TEXT_OCTETS,
    };
    let unreadable = |error: io::Error| {
        let help = match error.kind() {
            io::ErrorKind::NotFound => {
                format!(
                    "relative paths start at the folder of the config file: looked for `{}`",
                    network.path.display()
                )
            }
            _ => format!("the server must be able to read `{}`", network.path.display()),
        };
        vec![
            about(network, "unreadable-file", format!("failed to read `{}`: {}", network.file, reason(&error)))
                .help(help),
        ]
    };
    // Opening a pipe would wait for a writer, so what it is comes first.
    let metadata = std::fs::metadata(&network.path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(vec![
            about(network, "unreadable-file", format!("`{}` is not a regular file", network.file))
                .help("name the file itself"),
        ]);
    }
    let too_large = || {
        about(network, "file-too-large", format!("`{}` is larger than {} MiB", network.file, limit >> 20))
            .help("no published file of its kind is that large; is it the right one?")
    };
    if metadata.len() > limit {
        return Err(vec![too_large()]);
    }
    let mut octets = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    File::open(&network.path).and_then(|file| file.take(limit + 1).read_to_end(&mut octets)).map_err(unreadable)?;
    // It may have grown meanwhile.
    if octets.len() as u64 > limit { Err(vec![too_large()]) } else { Ok(octets) }
}

/// The operating system's words for an error, in our style.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_string(),
        io::ErrorKind::PermissionDenied => "permission denied".to_string(),
        _ => error.to_string(),
    }
}

/// An error about a file as a whole, placed where the config names it.
fn about(network: &Network, code: &'static str, message: String) -> Diagnostic {
    Diagnostic::error(code, message).at(network.place.clone(), "named here")
}

/// The start of a text that may be long.
fn clip(text: &str) -> &str {
    text.char_indices().nth(MAX_SHOWN_CHARS).map_or(text, |(end, _)| &text[..end])
}

/// How the config asks for a kind of file.
fn spelling(kind: NetworkKind) -> &'static str {
    match kind {
        NetworkKind::List => "list = …",
        NetworkKind::Aws => "feed = \"aws\"",
        NetworkKind::Gcp => "feed = \"gcp\"",
        NetworkKind::Azure => "feed = \"azure\"",
        NetworkKind::Oci => "feed = \"oci\"",
        NetworkKind::Geofeed => "feed = \"geofeed\"",
        NetworkKind::Mmdb => "mmdb = …",
    }
}

/// A kind of file with its article, for messages.
fn noun(kind: NetworkKind) -> &'static str {
    match kind {
        NetworkKind::List => "a list of prefixes",
        NetworkKind::Aws => "an AWS feed",
        NetworkKind::Gcp => "a GCP feed",
        NetworkKind::Azure => "an Azure feed",
        NetworkKind::Oci => "an OCI feed",
        NetworkKind::Geofeed => "a geofeed",
        NetworkKind::Mmdb => "a MaxMind DB",
    }
}

#[cfg(test)]
mod tests;
