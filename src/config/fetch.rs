//! `[refresh]`: settings of all fetches of sources; and the meaning of the keys of one.
//!
//! **Invariants**: a URL is https, or http on this machine; an account comes with its key.
//! **Not here**: the keys of a source ([`super::networks`]), fetching (`refresh`).

use std::sync::Arc;
use std::time::Duration;

use super::check::Check;
use super::field::section;
use super::row::{duration, hours, mins, secs, text};
use super::{InputFile, PlacedText, value};
use crate::base::diagnostic::Place;

section! {
    /// `[refresh]` as written.
    pub(super) struct RefreshSpec: "[refresh]" {
        /// Proxy for fetches over https, with CONNECT. `none` disables those of the environment.
        proxy: Option<PlacedText> = text("proxy", "`http://HOST:PORT`, or `none`")
            .otherwise("`HTTPS_PROXY` and `NO_PROXY` of the environment")
            .example("\"http://proxy.example:3128\""),

        /// Time that a fetch may take, with all redirects and its digest.
        ///
        /// A server that sends a byte a second would otherwise hold the fetch for ever.
        // 40 MB, as of a database of cities, take five minutes at 1 Mbit/s.
        timeout: Duration = duration("timeout", secs(1)..=hours(1)).default(mins(10)).example("\"5m\""),
    }
}

/// The fetch of a source.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FetchConfig {
    /// The URL.
    pub(crate) url: Arc<str>,
    /// The interval between two fetches.
    pub(crate) every: Duration,
    /// The account, and the file with its key.
    pub(crate) account: Option<(Arc<str>, InputFile)>,
    /// The URL of the digest of the content.
    pub(crate) sha256: Option<Arc<str>>,
    /// True if nothing is fetched, because the operator keeps the file as it is.
    pub(crate) is_pinned: bool,
    /// The place of the URL.
    pub(crate) place: Place,
}

/// `[refresh]`: settings of all fetches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefreshConfig {
    /// The proxy.
    pub(crate) proxy: ProxyConfig,
    /// The time that a fetch may take.
    pub(crate) timeout: Duration,
}

/// The proxy for fetches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ProxyConfig {
    /// That of the environment, if it names one.
    Environment,
    /// None.
    None,
    /// This URL.
    At(Arc<str>),
}

impl Check<'_> {
    pub(super) fn check_refresh(&mut self, spec: &RefreshSpec) -> RefreshConfig {
        let proxy = match &spec.proxy {
            None => ProxyConfig::Environment,
            Some(text) if &*text.value == "none" => ProxyConfig::None,
            Some(text) => self.parse(text, value::proxy).map_or(ProxyConfig::None, ProxyConfig::At),
        };
        RefreshConfig { proxy, timeout: spec.timeout }
    }
}
