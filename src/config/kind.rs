//! The kinds of sources of labels, with their names in the configuration.
//!
//! **Invariants**: each feed has a name.
//! **Not here**: the keys of a source ([`super::networks`]), the parsers ([`crate::load::networks`]).

/// The feeds by their names in `feed`.
pub(super) const FEEDS: [(&str, NetworkKind); 7] = [
    ("aws", NetworkKind::Aws),
    ("gcp", NetworkKind::Gcp),
    ("azure", NetworkKind::Azure),
    ("oci", NetworkKind::Oci),
    ("fastly", NetworkKind::Fastly),
    ("cloudflare", NetworkKind::Cloudflare),
    ("geofeed", NetworkKind::Geofeed),
];

/// The format of a source's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkKind {
    /// `list`: a prefix a line, with an optional label.
    List,
    /// `feed = "aws"`: `ip-ranges.json`.
    Aws,
    /// `feed = "gcp"`: `cloud.json`.
    Gcp,
    /// `feed = "azure"`: service tags.
    Azure,
    /// `feed = "oci"`: `public_ip_ranges.json`.
    Oci,
    /// `feed = "fastly"`: `public-ip-list`.
    Fastly,
    /// `feed = "cloudflare"`: `client/v4/ips`.
    Cloudflare,
    /// `feed = "geofeed"`: RFC 8805.
    Geofeed,
    /// `mmdb`: a MaxMind DB of countries, cities or autonomous systems.
    Mmdb,
}

impl NetworkKind {
    /// The key and value of the kind in a configuration.
    pub(crate) fn spelling(self) -> String {
        match FEEDS.iter().find(|(_, kind)| *kind == self) {
            Some((name, _)) => format!("feed = \"{name}\""),
            None if self == NetworkKind::Mmdb => "mmdb = …".to_string(),
            None => "list = …".to_string(),
        }
    }
}
