//! Fetching of sources: the URL and its account in a line of `[networks]`, and `[refresh]`.
//!
//! **Invariants**: a URL is https, or http on this machine; an account comes with its key.
//! **Not here**: fetching (`refresh`), the copy that is kept ([`crate::load::networks`]).

use std::sync::Arc;
use std::time::Duration;

use super::check::Check;
use super::field::section;
use super::networks::NetworkSpec;
use super::row::{duration, hours, mins, secs, text};
use super::spec::PlacedText;
use super::{FileUse, InputFile, NetworkKind, value};
use crate::base::diagnostic::{Diagnostic, Place};

/// The interval between two fetches of a source. Amazon publishes some changes a day, and the others fewer.
pub(super) const EVERY_DEFAULT: Duration = hours(6);

/// An interval below this is a warning: publishers ask for less, and some block such clients.
const EVERY_WARNED: Duration = mins(5);

/// The time of a fetch. 40 MB, as of a database of cities, take five minutes at 1 Mbit/s.
const TIMEOUT_DEFAULT: Duration = mins(10);

/// The page on which Microsoft names the file of the week.
const AZURE_PAGE: &str = "https://www.microsoft.com/en-us/download/details.aspx?id=56519";

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
        timeout: Duration = duration("timeout", secs(1)..=hours(1)).default(TIMEOUT_DEFAULT).example("\"5m\""),
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

impl Default for RefreshConfig {
    fn default() -> Self {
        RefreshConfig { proxy: ProxyConfig::Environment, timeout: TIMEOUT_DEFAULT }
    }
}

impl Check<'_> {
    /// The fetch of a source; `None` if a part of it is wrong, which has been reported.
    pub(super) fn check_fetch(&mut self, url: &PlacedText, keys: &NetworkSpec) -> Option<Arc<FetchConfig>> {
        let is_azure = keys.kind() == Some(NetworkKind::Azure);
        let parsed = match &*url.value {
            "azure" if is_azure => Some(AZURE_PAGE.into()),
            _ => self.parse(url, value::fetch_url),
        };
        let sha256 = keys.sha256.as_ref().map(|url| self.parse(url, value::fetch_url));
        let account = keys.account.as_ref().map(|account| self.parse(account, value::account));
        let key = keys.key_file.as_ref().map(|file| self.input(file, FileUse::Secret));
        let every = keys.every.as_ref().map_or(EVERY_DEFAULT, |every| every.value);
        let is_local = parsed.as_deref().is_some_and(value::is_local_url);
        if let Some(written) = keys.every.as_ref().filter(|every| every.value < EVERY_WARNED && !is_local) {
            self.report(
                Diagnostic::warning("short-interval", "a publisher is asked more often than every five minutes")
                    .at(written.place.clone(), "a short interval")
                    .help("feeds change a few times a day; some publishers block clients that ask all the time"),
            );
        }
        Some(Arc::new(FetchConfig {
            url: parsed?,
            every,
            account: match (account, key) {
                (Some(account), Some(key)) => Some((account?, key?)),
                _ => None,
            },
            sha256: match sha256 {
                Some(sha256) => Some(sha256?),
                None => None,
            },
            is_pinned: keys.pin,
            place: url.place.clone(),
        }))
    }

    pub(super) fn check_refresh(&mut self, spec: &RefreshSpec) -> RefreshConfig {
        let proxy = match &spec.proxy {
            None => ProxyConfig::Environment,
            Some(text) if &*text.value == "none" => ProxyConfig::None,
            Some(text) => self.parse(text, value::proxy).map_or(ProxyConfig::None, ProxyConfig::At),
        };
        RefreshConfig { proxy, timeout: spec.timeout }
    }
}
