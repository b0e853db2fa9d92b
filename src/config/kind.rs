//! The kinds of sources of labels, with their names in the configuration.
//!
//! **Not here**: the keys of a source ([`super::networks`]), the parsers ([`crate::load::networks`]).

use crate::base::words::words;

words! {
    /// The format of a source's file: a feed by its name in `feed`, another by its key.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum NetworkKind {
        /// `list`: a prefix a line, with an optional label.
        List = "list",
        /// `feed = "aws"`: `ip-ranges.json`.
        Aws = "aws",
        /// `feed = "gcp"`: `cloud.json`.
        Gcp = "gcp",
        /// `feed = "azure"`: service tags.
        Azure = "azure",
        /// `feed = "oci"`: `public_ip_ranges.json`.
        Oci = "oci",
        /// `feed = "fastly"`: `public-ip-list`.
        Fastly = "fastly",
        /// `feed = "cloudflare"`: `client/v4/ips`.
        Cloudflare = "cloudflare",
        /// `feed = "geofeed"`: RFC 8805.
        Geofeed = "geofeed",
        /// `mmdb`: a MaxMind DB of countries, cities or autonomous systems.
        Mmdb = "mmdb",
    }
}

/// The feeds, for the reference.
pub(super) const FEEDS: &str = "`aws`, `gcp`, `azure`, `oci`, `fastly`, `cloudflare` or `geofeed`";

impl NetworkKind {
    /// The key and value of the kind in a configuration.
    pub(crate) fn spelling(self) -> String {
        match self {
            NetworkKind::List | NetworkKind::Mmdb => format!("{} = …", self.as_str()),
            feed => format!("feed = \"{}\"", feed.as_str()),
        }
    }
}
