//! Templates: the URL or path of content at a mirror that does not have it below `/v2/`, as a bucket.
//!
//! **Invariants**: a template holds printable ASCII only, and a placeholder is never in the host, so no value can change the
//! host; a value is inserted as it is, so it must be valid in a path.
//! **Not here**: the grammar of URLs ([`crate::config`]), the grammars of names and digests ([`crate::registry`]).

use std::fmt;
use std::sync::Arc;

use crate::base::words::{Worded as _, words};

/// A text with placeholders, such as `/containers/images/{digest}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Template {
    parts: Box<[TemplatePart]>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum TemplatePart {
    Text(Box<str>),
    Value(Placeholder),
}

words! {
    /// A placeholder of a [`Template`].
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub(crate) enum Placeholder {
        /// `sha256:` and the hash.
        Digest = "digest",
        /// `sha256`
        Algorithm = "algorithm",
        /// The hash alone.
        Hex = "hex",
        /// The repository.
        Name = "name",
        /// The path of the request, without the slash at its beginning.
        Path = "path",
        /// The part of the path after the prefix of a rule; for the API, after `/v2/`.
        Rest = "rest",
    }
}

/// The values for the placeholders of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TemplateValues<'v> {
    /// The values that only a blob has; `None` for another file.
    pub(crate) blob: Option<BlobValues<'v>>,
    /// The path of the request, without the slash at its beginning.
    pub(crate) path: &'v str,
    /// The part of the path after the prefix of a rule; for the API, after `/v2/`.
    pub(crate) rest: &'v str,
}

/// The values for the placeholders of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobValues<'v> {
    /// The repository.
    pub(crate) name: &'v str,
    /// The algorithm of the digest.
    pub(crate) algorithm: &'v str,
    /// The hash.
    pub(crate) hex: &'v str,
}

/// The reason why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadTemplate {
    /// A brace has no counterpart.
    Brace,
    /// The word in braces is no placeholder.
    Unknown(String),
}

impl fmt::Display for BadTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadTemplate::Brace => f.write_str("has a brace without its counterpart"),
            BadTemplate::Unknown(word) => write!(f, "has an unknown placeholder `{{{word}}}`"),
        }
    }
}

impl Template {
    /// Parses a text.
    pub fn parse(text: &str) -> Result<Self, BadTemplate> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            let (before, behind) = rest.split_at(at);
            let (word, behind) =
                behind.strip_prefix('{').and_then(|inner| inner.split_once('}')).ok_or(BadTemplate::Brace)?;
            if word.contains('{') {
                return Err(BadTemplate::Brace);
            }
            let placeholder = Placeholder::parse(word).ok_or_else(|| BadTemplate::Unknown(word.to_string()))?;
            if !before.is_empty() {
                parts.push(TemplatePart::Text(before.into()));
            }
            parts.push(TemplatePart::Value(placeholder));
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(TemplatePart::Text(rest.into()));
        }
        Ok(Template { parts: parts.into() })
    }

    /// The text with these values; `None` if a value is missing.
    pub(crate) fn fill(&self, values: &TemplateValues<'_>) -> Option<String> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                TemplatePart::Text(part) => text.push_str(part),
                TemplatePart::Value(Placeholder::Path) => text.push_str(values.path),
                TemplatePart::Value(Placeholder::Rest) => text.push_str(values.rest),
                TemplatePart::Value(of_blob) => {
                    let BlobValues { name, algorithm, hex } = values.blob?;
                    match of_blob {
                        Placeholder::Name => text.push_str(name),
                        Placeholder::Algorithm => text.push_str(algorithm),
                        Placeholder::Hex => text.push_str(hex),
                        _ => text.extend([algorithm, ":", hex]),
                    }
                }
            }
        }
        Some(text)
    }

    /// Returns whether the text differs from one digest to the next.
    pub(crate) fn has_digest(&self) -> bool {
        self.has(&[Placeholder::Digest, Placeholder::Hex, Placeholder::Path, Placeholder::Rest])
    }

    /// Returns whether the text has the digest of a blob by a placeholder of its own, so that it leads to any blob.
    pub(crate) fn is_by_digest(&self) -> bool {
        self.has(&[Placeholder::Digest, Placeholder::Hex])
    }

    /// Returns whether the text of a blob differs from one repository to the next.
    pub(crate) fn has_name(&self) -> bool {
        self.has(&[Placeholder::Name, Placeholder::Path, Placeholder::Rest])
    }

    fn has(&self, any: &[Placeholder]) -> bool {
        self.parts.iter().any(|part| matches!(part, TemplatePart::Value(value) if any.contains(value)))
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            TemplatePart::Text(text) => f.write_str(text),
            TemplatePart::Value(value) => write!(f, "{{{}}}", value.as_str()),
        })
    }
}

/// A URL, always https. `P` is the type of its path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpsUrl<P> {
    /// The host, in lower case.
    pub host: Arc<str>,
    /// The port.
    pub port: u16,
    /// The host, and the port if it is not 443.
    pub authority: Arc<str>,
    /// Path and query, with a slash at the beginning.
    pub path: P,
}

/// The URL of content at a mirror.
pub type UrlTemplate = HttpsUrl<Template>;

impl UrlTemplate {
    /// The URL with these values; `None` if a value is missing.
    pub(crate) fn fill(&self, values: &TemplateValues<'_>) -> Option<String> {
        Some(format!("https://{}{}", self.authority, self.path.fill(values)?))
    }
}

impl fmt::Display for UrlTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}{}", self.authority, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOB: TemplateValues<'_> = TemplateValues {
        blob: Some(BlobValues { name: "some/pause", algorithm: "sha256", hex: "ab01" }),
        path: "v2/some/pause/blobs/sha256:ab01",
        rest: "some/pause/blobs/sha256:ab01",
    };

    #[test]
    fn placeholders_are_replaced() {
        for (template, filled) in [
            ("/containers/images/{digest}", "/containers/images/sha256:ab01"),
            ("/{algorithm}/{hex}", "/sha256/ab01"),
            ("/v2/{name}/blobs/{digest}?alt=media", "/v2/some/pause/blobs/sha256:ab01?alt=media"),
            ("/{path}", "/v2/some/pause/blobs/sha256:ab01"),
            ("/{rest}", "/some/pause/blobs/sha256:ab01"),
            ("/plain", "/plain"),
        ] {
            let parsed = Template::parse(template).unwrap();
            assert_eq!(parsed.fill(&BLOB).as_deref(), Some(filled));
            assert_eq!(parsed.to_string(), template);
        }
    }

    #[test]
    fn a_file_that_is_no_blob_has_no_digest() {
        let file = TemplateValues { blob: None, path: "binaries/x", rest: "x" };
        assert_eq!(Template::parse("/b/{rest}").unwrap().fill(&file).as_deref(), Some("/b/x"));
        for template in ["/{digest}", "/{hex}", "/{algorithm}", "/{name}"] {
            let template = Template::parse(template).unwrap();
            assert!(template.fill(&file).is_none());
        }
    }

    #[test]
    fn a_brace_alone_or_an_unknown_word_is_no_template() {
        for text in ["/{digest", "/digest}", "/{{digest}}", "/{", "}"] {
            assert_eq!(Template::parse(text), Err(BadTemplate::Brace), "{text}");
        }
        assert_eq!(Template::parse("/{Digest}"), Err(BadTemplate::Unknown("Digest".to_string())));
        assert_eq!(Template::parse("/{}"), Err(BadTemplate::Unknown(String::new())));
    }
}
