//! The parser for the path of a pull request.
//!
//! The parser is written by hand and works from the right, because a repository may be called `a/blobs/manifests`: the
//! last segments are the endpoint, and all segments before them are the name.
//!
//! [`plain`] runs first: it decodes escapes and merges repeated slashes, as docker-registry does before it parses a path.
//!
//! **Invariants**: a [`PullTarget`] holds only bytes that the grammars of the OCI distribution specification admit, plus
//! `/`; so it can be appended to a host name without changing the host.
//! **Not here**: methods, query strings, the reply ([`super::route`]).
//!
//! OCI distribution specification v1.1, "Pulling manifests", "Pulling blobs", "Content discovery"; OCI image
//! specification, "Digests".

use std::borrow::Cow;

use super::error::ErrorCode;
use crate::base::text::is_hex;

/// The longest repository name, in bytes: clients commonly limit host and name together to 255.
const MAX_NAME_LEN: usize = 255;

/// The longest tag, in bytes.
const MAX_TAG_LEN: usize = 128;

/// The longest digest, in bytes: twice a `sha512`, for future algorithms.
const MAX_DIGEST_LEN: usize = 300;

/// The meaning of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path<'p> {
    /// `/`
    Root,
    /// Anything that starts with `/privacy`.
    Privacy,
    /// `/healthz`, for load balancers.
    Health,
    /// Any other path outside the API.
    Outside,
    /// `/v2` and `/v2/`: the version of the API.
    Version,
    /// A pull request.
    Pull {
        /// The target.
        target: PullTarget<'p>,
        /// The path after `/v2/`, with its trailing slash if it has one.
        rest: &'p str,
    },
    /// Below `/v2/`, but not a valid pull request.
    Wrong(ErrorCode),
}

/// The target of a pull request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PullTarget<'p> {
    /// `<name>/manifests/<tag or digest>`
    Manifest(Reference<'p>),
    /// `<name>/blobs/<digest>`
    Blob(Digest<'p>),
    /// `<name>/tags/list`
    Tags,
    /// `<name>/referrers/<digest>`
    Referrers(Digest<'p>),
}

/// The reference of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reference<'p> {
    /// By tag.
    Tag(&'p str),
    /// By digest.
    Digest(Digest<'p>),
}

/// A content digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digest<'p> {
    /// The algorithm: `sha256`, for example.
    pub(crate) algorithm: &'p str,
    /// The encoded hash: 64 hexadecimal digits for `sha256`.
    pub(crate) encoded: &'p str,
}

/// Decodes every escape once and merges repeated slashes.
///
/// docker-registry decodes too, and redirects a path with repeated slashes to the merged one. Pharos answers at once
/// instead, because some clients do not follow a relative `Location`. Dot segments are kept and so break the grammar of
/// names: a client resolves dot segments before it sends a path (RFC 3986 §5.2.4). A path whose decoded bytes are not
/// UTF-8 is returned unchanged.
pub fn plain(path: &str) -> Cow<'_, str> {
    if !path.contains('%') && !path.contains("//") {
        return Cow::Borrowed(path);
    }
    let Ok(mut text) = String::from_utf8(decode(path.as_bytes())) else { return Cow::Borrowed(path) };
    let mut before = ' ';
    text.retain(|c| (c, std::mem::replace(&mut before, c)) != ('/', '/'));
    Cow::Owned(text)
}

fn decode(path: &[u8]) -> Vec<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let (mut plain, mut rest) = (Vec::with_capacity(path.len()), path);
    while let Some((first, behind)) = rest.split_first() {
        let escaped = match (first, behind) {
            (b'%', [high, low, ..]) => digit(high).zip(digit(low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        plain.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &behind[2..] } else { behind };
    }
    plain
}

/// Parses the path of a request, in its [`plain`] form.
pub(crate) fn parse(path: &str) -> Path<'_> {
    match path {
        "/" => return Path::Root,
        "/healthz" => return Path::Health,
        "/v2" | "/v2/" => return Path::Version,
        _ => {}
    }
    match path.strip_prefix("/v2/") {
        Some(rest) => match parse_pull(rest.strip_suffix('/').unwrap_or(rest)) {
            Ok(target) => Path::Pull { target, rest },
            Err(code) => Path::Wrong(code),
        },
        None if path.starts_with("/privacy") => Path::Privacy,
        None => Path::Outside,
    }
}

/// Parses the path after `/v2/`, without the trailing slash.
fn parse_pull(rest: &str) -> Result<PullTarget<'_>, ErrorCode> {
    let (before, last) = rest.rsplit_once('/').unwrap_or(("", rest));
    let (name, endpoint) = before.rsplit_once('/').unwrap_or(("", before));
    let digest = || parse_digest(last).ok_or(ErrorCode::DigestInvalid);
    let target = match (endpoint, last) {
        // `blobs/uploads` and `blobs/uploads/<id>` are for pushing. `_catalog` and other endpoints are not supported.
        ("blobs", "uploads") => return Err(ErrorCode::Unsupported),
        ("manifests", reference) => parse_reference(reference).map(PullTarget::Manifest),
        ("blobs", _) => digest().map(PullTarget::Blob),
        ("tags", "list") => Ok(PullTarget::Tags),
        ("referrers", _) => digest().map(PullTarget::Referrers),
        _ => return Err(ErrorCode::Unsupported),
    };
    if is_repository(name) { target } else { Err(ErrorCode::NameInvalid) }
}

/// Returns whether the text is a repository name (OCI distribution specification, "Pulling manifests"), without a host or a tag.
pub(crate) fn is_repository(name: &str) -> bool {
    name.len() <= MAX_NAME_LEN && name.split('/').all(is_name_component)
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_name_component(component: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut rest = component.as_bytes();
    loop {
        let letters = rest.iter().take_while(|byte| is_letter(**byte)).count();
        if letters == 0 {
            return false;
        }
        rest = &rest[letters..];
        let separator = match rest {
            [] => return true,
            [b'_', b'_', ..] => 2,
            [b'.' | b'_', ..] => 1,
            [b'-', ..] => rest.iter().take_while(|byte| **byte == b'-').count(),
            _ => return false,
        };
        rest = &rest[separator..];
    }
}

fn parse_reference(text: &str) -> Result<Reference<'_>, ErrorCode> {
    if text.contains(':') {
        return parse_digest(text).map(Reference::Digest).ok_or(ErrorCode::DigestInvalid);
    }
    // No registry can have a manifest by a reference that is not a tag.
    if is_tag(text) { Ok(Reference::Tag(text)) } else { Err(ErrorCode::ManifestUnknown) }
}

/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`
fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    match text.as_bytes() {
        [first, rest @ ..] => {
            is_word(*first)
                && text.len() <= MAX_TAG_LEN
                && rest.iter().all(|byte| is_word(*byte) || matches!(byte, b'.' | b'-'))
        }
        [] => false,
    }
}

/// `algorithm:encoded`, split at the first colon. Registered algorithms must have their exact form, other algorithms the
/// general one.
fn parse_digest(text: &str) -> Option<Digest<'_>> {
    let (algorithm, encoded) = text.split_once(':')?;
    let fits = match algorithm {
        "sha256" => is_hex(encoded, 64),
        "sha512" => is_hex(encoded, 128),
        _ => text.len() <= MAX_DIGEST_LEN && is_algorithm(algorithm) && is_encoded(encoded),
    };
    fits.then_some(Digest { algorithm, encoded })
}

/// `[a-z0-9]+([+._-][a-z0-9]+)*`
fn is_algorithm(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.split(['+', '.', '_', '-']).all(|part| !part.is_empty() && part.bytes().all(is_letter))
}

/// `[a-zA-Z0-9=_-]+`
fn is_encoded(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'=' | b'_' | b'-'))
}

impl<'p> Reference<'p> {
    /// The digest in a referrers tag `sha256-<64 hex>`, with which a registry without the referrers API names the list.
    ///
    /// OCI distribution specification v1.1, "Referrers Tag Schema".
    pub(crate) fn referrers_of(&self) -> Option<Digest<'p>> {
        let Reference::Tag(tag) = self else { return None };
        let encoded = tag.strip_prefix("sha256-").filter(|hex| is_hex(hex, 64))?;
        Some(Digest { algorithm: "sha256", encoded })
    }

    /// Returns whether it is a tag of a cosign signature or attestation: `sha256-<64 hex>.sig` or `.att`.
    pub(crate) fn is_signature(&self) -> bool {
        let Reference::Tag(tag) = self else { return false };
        let hex = tag.strip_prefix("sha256-").and_then(|rest| rest.strip_suffix(".sig").or(rest.strip_suffix(".att")));
        hex.is_some_and(|hex| is_hex(hex, 64))
    }
}

#[cfg(test)]
mod tests;
