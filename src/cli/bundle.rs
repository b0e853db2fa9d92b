//! The bundle of a configuration: the shared parts of its files, and the files that these name.
//!
//! **Invariants**: no secret is in a bundle; the configuration is valid.
//! **Not here**: the parts that are shared ([`crate::config`]), sending the bundle ([`crate::sharing`]).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use url::Url;

use crate::base::diagnostic::Diagnostic;
use crate::base::time::Generation;
use crate::compile;
use crate::config::{self, Config, FileUse, InputFile, SharedText};
use crate::files::{FileKind, Intake};
use crate::fleet::{Bundle, BundleFile, BundleText, ContentDigest};
use crate::load::hosts::Purpose;
use crate::sharing::BundleContents;

/// The parts of names of query parameters that hold secrets, such as MaxMind's `license_key`.
const SECRET_WORDS: [&str; 6] = ["key", "token", "secret", "password", "signature", "credential"];

/// A bundle with its contents.
pub(super) struct MadeBundle {
    pub(super) config: Config,
    pub(super) bundle: Bundle,
    pub(super) digest: ContentDigest,
    pub(super) contents: BundleContents,
    /// The files of shared parts that each machine has for itself, as written.
    pub(super) left: BTreeSet<String>,
}

/// Checks a configuration, and makes its bundle.
pub(super) fn make(path: &Path) -> Result<MadeBundle, Vec<Diagnostic>> {
    let intake = Intake::keeping();
    let built = compile::build_for(&Purpose::Show, path, Generation(1), &intake, &|_| None)?;
    let texts = config::shared_texts(path, &Intake::default())?;
    let mut problems: Vec<Diagnostic> = texts.iter().flat_map(|text| secrets(&text.text)).collect();
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut read: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    for (path, (kind, bytes)) in intake.take_contents() {
        if matches!(kind, FileKind::Zone | FileKind::Feed | FileKind::Database) {
            read.insert(path, bytes);
        }
    }
    for roots in roots(&built.config) {
        match roots.read() {
            Ok(contents) => drop(read.insert(roots.path.clone(), contents.bytes)),
            Err(error) => problems.push(
                Diagnostic::error("roots", format!("failed to read `{}`: {error}", roots.file))
                    .at(roots.place.clone(), "named here")
                    .help(error.help(&roots.path)),
            ),
        }
    }
    // A path is relative to the folder of the configuration, unless it lies elsewhere.
    let mut name_of = |path: &Path| {
        let name = path.strip_prefix(folder).unwrap_or(path).to_str().map(str::to_string);
        if name.is_none() {
            let message = format!("`{}` cannot be in a bundle", path.display());
            problems.push(Diagnostic::error("bundle", message).help("give it a name in UTF-8"));
        }
        name
    };
    let (mut files, mut contents) = (BTreeMap::new(), BTreeMap::new());
    for (path, bytes) in read {
        let sha256 = ContentDigest::of(&bytes);
        if let Some(name) = name_of(&path) {
            files.insert(name, BundleFile { sha256: sha256.clone(), len: bytes.len() as u64 });
        }
        contents.insert(sha256, bytes);
    }
    let texts = texts.into_iter();
    let config =
        texts.filter_map(|SharedText { path, text }| Some(BundleText { name: name_of(&path)?, text })).collect();
    if !problems.is_empty() {
        return Err(problems);
    }
    let unfit = |fault: crate::fleet::BundleFault| {
        vec![Diagnostic::error("bundle", format!("the configuration is too large for a bundle: {fault}"))]
    };
    let bundle = Bundle::new(config, files).map_err(unfit)?;
    let digest = ContentDigest::of(&bundle.encode());
    let left = left(&built.config);
    Ok(MadeBundle { config: built.config, bundle, digest, contents, left })
}

/// The files of roots that shared parts name.
fn roots(config: &Config) -> impl Iterator<Item = &InputFile> {
    let of_probe = config.probe.as_ref().and_then(|probe| probe.roots.as_ref());
    of_probe.into_iter().chain(config.zones.iter().filter_map(|zone| zone.roots.as_ref()))
}

/// The files of shared parts that are not sent: secrets, and those that servers write.
fn left(config: &Config) -> BTreeSet<String> {
    let written = config
        .files
        .iter()
        .filter(|file| matches!(file.usage, FileUse::Fetched(_) | FileUse::Copy | FileUse::SigningKey));
    let keys = config.networks.iter().filter_map(|network| network.fetch.as_ref()?.account.as_ref());
    let mut left: BTreeSet<String> = written.map(|file| file.file.to_string()).collect();
    left.extend(keys.map(|(_, key)| key.file.to_string()));
    left
}

/// The problems of URLs that hold secrets, in a text of a bundle.
fn secrets(text: &str) -> Vec<Diagnostic> {
    let quoted = text.split('"').filter(|part| part.starts_with("https://") || part.starts_with("http://"));
    let urls = quoted.filter_map(|part| Url::parse(part).ok());
    let secret = |url: Url| {
        let is_secret = |name: &str| SECRET_WORDS.iter().any(|word| name.to_ascii_lowercase().contains(word));
        let parameter = url.query_pairs().map(|(name, _)| name.into_owned()).find(|name| is_secret(name));
        let what = match (url.password(), parameter) {
            (Some(_), _) => "a password".to_string(),
            (None, Some(name)) => format!("the parameter `{name}`"),
            (None, None) => return None,
        };
        let host = url.host_str().unwrap_or_default().to_string();
        Some(
            Diagnostic::error(
                "secret-in-bundle",
                format!("a URL of {host} holds {what}, and secrets never go to the store"),
            )
            .help("write `account` and `key-file`, which stays with each machine"),
        )
    };
    urls.filter_map(secret).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_with_a_secret_is_found() {
        let found = |url: &str| secrets(&format!("url = \"{url}\"\n")).len();
        assert_eq!(found("https://feeds.example/list?suffix=tar.gz&edition_id=GeoLite2"), 0);
        assert_eq!(found("https://feeds.example/list?license_key=abc"), 1);
        assert_eq!(found("https://user:pass@feeds.example/list"), 1);
        assert_eq!(found("https://feeds.example/monkeys/token"), 0);
    }
}
