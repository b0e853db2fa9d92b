//! `[networks]`: the sources of labels.
//!
//! **Invariants**: a source has one file of one kind; the file of a source that is fetched is written by the server alone.
//! **Not here**: the files themselves ([`crate::load`]), fetching (`refresh`), settings of all fetches ([`super::fetch`]).

use std::sync::Arc;
use std::time::Duration;

use super::check::{Check, optional};
use super::fetch::FetchConfig;
use super::field::{Field, Named, section};
use super::kind::FEEDS;
use super::row::{KeyRow, Other, days, duration, file, flag, hours, mins, other, secs, text};
use super::table::Table;
use super::typed::Value;
use super::{FileUse, InputFile, NetworkKind, Placed, PlacedText, value};
use crate::base::diagnostic::{Diagnostic, did_you_mean};
use crate::base::words::Worded as _;

/// The interval between two fetches of a source. Amazon publishes some changes a day, and the others fewer.
const EVERY_DEFAULT: Duration = hours(6);

/// An interval below this is a warning: publishers ask for less, and some block such clients.
const EVERY_WARNED: Duration = mins(5);

/// The page on which Microsoft names the file of the week.
const AZURE_PAGE: &str = "https://www.microsoft.com/en-us/download/details.aspx?id=56519";

section! {
    /// A source as written.
    pub(super) struct NetworkSpec: "network" then complete {
        /// List of prefixes: one a line, with an optional label; `#` begins a comment.
        list: Option<PlacedText> = text("list", "path").example("\"overrides.txt\""),

        /// Format of the feed in `file`. `geofeed` is RFC 8805, the others are the files of the provider.
        feed: Option<FeedSpec> = other("feed", FEEDS).instead_of("list"),

        /// Database in MaxMind's format: countries, cities or autonomous systems.
        mmdb: Option<PlacedText> = text("mmdb", "path").instead_of("list"),

        /// The feed as downloaded. Required with `feed`. With `url`, the server writes its last good copy here.
        file: Option<PlacedText> = text("file", "path").instead_of("list"),

        /// URL from which the server fetches the source; the file of `list`, `mmdb` or `file` is the last good copy. `azure` is
        /// the page on which Microsoft names the file of the week. Only https is accepted, and http on this machine.
        ///
        /// A start uses the copy and never waits for the network. Beside it stand `FILE.state` with its digest and validators,
        /// `FILE.previous`, and `FILE.refused` if the last content was refused.
        url: Option<PlacedText> = text("url", "URL, or `azure`").otherwise("the operator provides the file").example("\"https://ip-ranges.amazonaws.com/ip-ranges.json\""),

        /// Interval between two fetches, each 10 % sooner or later. After failures it grows up to six times.
        ///
        /// Clouds publish up to a few changes a day. A fetch without a change costs one request.
        every: Option<Placed<Duration>> = duration("every", secs(1)..=days(30)).default(EVERY_DEFAULT).example("\"1h\""),

        /// Account with which the publisher knows the server, such as MaxMind's account ID. It is sent to the host of `url` alone.
        account: Option<PlacedText> = text("account", "word").example("\"123456\""),

        /// File with the key, or password, of `account`.
        key_file: Option<PlacedText> = file("key-file", FileUse::Secret).otherwise("required with `account`").example("\"maxmind.key\""),

        /// URL of the SHA-256 digest of the content as fetched, in the form of `sha256sum`.
        ///
        /// For a `url` with `suffix=`, as MaxMind has it, the digest is fetched from the same URL with `.sha256` behind that value.
        sha256: Option<PlacedText> = text("sha256", "URL").example("\"https://feeds.example.com/ranges.json.sha256\""),

        /// With `true`, the file stays as it is: nothing is fetched. The way to keep content that is known to be good.
        pin: bool = flag("pin").default(false),

        /// Provider with which all entries of the source are labelled.
        ///
        /// A list or a geofeed names no provider itself.
        provider: Option<PlacedText> = text("provider", "word in lower case").example("\"office\""),
    }
}

/// `feed` of a source.
#[derive(Debug)]
pub(super) struct FeedSpec {
    /// `None` if it is unknown, which has been reported.
    kind: Option<NetworkKind>,
}

impl Field<Other> for Option<FeedSpec> {
    fn take(table: &mut Table<'_, '_>, key: &KeyRow<Other>) -> Self {
        let value = table.value(&key.row())?;
        Some(FeedSpec { kind: feed(&value) })
    }
}

fn feed(value: &Value<'_, '_>) -> Option<NetworkKind> {
    let feed = value.text()?;
    let is_feed = |kind: &NetworkKind| !matches!(kind, NetworkKind::List | NetworkKind::Mmdb);
    let kind = NetworkKind::parse(&feed.value).filter(is_feed);
    if kind.is_none() {
        let written = feed.value.to_ascii_lowercase();
        let of_publisher = PUBLISHERS.iter().find(|(publisher, _)| written.contains(publisher)).map(|(_, name)| *name);
        let word = of_publisher.unwrap_or(&feed.value);
        value.reader.report(
            Diagnostic::error("unknown-feed", format!("`{}` is not a feed that can be read", feed.value))
                .at(feed.place, "unknown feed")
                .help(did_you_mean(
                    word,
                    "feeds",
                    NetworkKind::ALL.into_iter().filter(is_feed).map(NetworkKind::as_str),
                )),
        );
    }
    kind
}

/// The feeds by other names of their publishers.
const PUBLISHERS: [(&str, &str); 4] = [("amazon", "aws"), ("google", "gcp"), ("microsoft", "azure"), ("oracle", "oci")];

impl NetworkSpec {
    /// The format of the file. `None` if it is unknown or ambiguous.
    pub(super) fn kind(&self) -> Option<NetworkKind> {
        match (&self.list, &self.feed, &self.mmdb) {
            (Some(_), None, None) => Some(NetworkKind::List),
            (None, None, Some(_)) => Some(NetworkKind::Mmdb),
            (None, Some(feed), None) => feed.kind,
            _ => None,
        }
    }
}

impl NetworkSpec {
    /// The key that names the file.
    fn path(&self) -> Option<&PlacedText> {
        self.list.as_ref().or(self.mmdb.as_ref()).or(self.file.as_ref())
    }

    /// The purpose of the file.
    fn usage(&self, kind: NetworkKind) -> FileUse {
        if self.url.is_some() && !self.pin { FileUse::Fetched(kind) } else { FileUse::Network(kind) }
    }
}

/// Reports a source without a file, or with several, and keys that need others; names the file.
fn complete(spec: &NetworkSpec, table: &Table<'_, '_>) {
    let lone = ["every", "account", "key-file", "sha256", "pin"].into_iter().find(|key| table.has(key));
    let problem = |key: &str, needs: &str, help: &str| {
        Diagnostic::error("missing-key", format!("{} has `{key}` without `{needs}`", table.title))
            .at(table.place.clone(), format!("`{needs}` is missing"))
            .help(help)
    };
    if let (None, Some(key)) = (&spec.url, lone) {
        table.reader.report(problem(key, "url", &format!("add `url = \"https://…\"`, or remove `{key}`")));
    }
    if spec.account.is_some() != spec.key_file.is_some() {
        let [key, needs] = if spec.account.is_some() { ["account", "key-file"] } else { ["key-file", "account"] };
        table.reader.report(problem(key, needs, &format!("add `{needs}`: the publisher wants both")));
    }
    let problem = match ["list", "feed", "mmdb", "file"].map(|key| table.has(key)) {
        [true, false, false, false] | [false, false, true, false] | [false, true, false, true] => None,
        [false, true, false, false] => Some(
            Diagnostic::error("missing-key", format!("{} has no `file`", table.title))
                .at(table.place.clone(), "`file` is missing")
                .help("add `file = \"…\"`: the feed as downloaded"),
        ),
        _ => Some(
            Diagnostic::error("network-source", format!("{} does not have exactly one source", table.title))
                .at(table.place.clone(), "one source is needed")
                .help("write `{ list = \"FILE\" }`, `{ mmdb = \"FILE\" }` or `{ feed = \"aws\", file = \"FILE\" }`"),
        ),
    };
    match problem {
        Some(problem) => table.reader.report(problem),
        None => {
            if let Some(file) = spec.path() {
                table.reader.name_file(spec.usage(spec.kind().unwrap_or(NetworkKind::List)), file);
            }
        }
    }
}

/// One line of `[networks]`.
#[derive(Clone, Debug)]
pub struct Network {
    /// The key.
    pub name: Arc<str>,
    /// The format of the file.
    pub kind: NetworkKind,
    /// The file.
    pub input: InputFile,
    /// The provider with which this source's entries are labelled, if the file itself names no provider.
    pub provider: Option<Arc<str>>,
    /// The URL that the file is fetched from. `None` if the operator provides the file.
    pub(crate) fetch: Option<Arc<FetchConfig>>,
}

impl Network {
    /// A network whose file the operator provides.
    pub fn at(name: &str, kind: NetworkKind, input: InputFile) -> Self {
        Network { name: name.into(), kind, input, provider: None, fetch: None }
    }

    /// The fetch of the file. `None` if the operator provides the file, or has pinned it.
    pub(crate) fn fetched(&self) -> Option<&Arc<FetchConfig>> {
        self.fetch.as_ref().filter(|fetch| !fetch.is_pinned)
    }
}

impl Check<'_> {
    pub(super) fn check_network(&mut self, spec: &Named<NetworkSpec>) -> Option<Network> {
        let name = self.parse(&spec.name, value::word);
        let keys = &spec.keys;
        let provider = optional(keys.provider.as_ref(), |provider| self.parse(provider, value::provider));
        let fetch = optional(keys.url.as_ref(), |url| self.check_fetch(url, keys));
        let kind = keys.kind()?;
        let input = self.input(keys.path()?, keys.usage(kind));
        Some(Network { name: name?, kind, input: input?, provider: provider?, fetch: fetch? })
    }

    /// The fetch of a source; `None` if a part of it is wrong, which has been reported.
    fn check_fetch(&mut self, url: &PlacedText, keys: &NetworkSpec) -> Option<Arc<FetchConfig>> {
        let is_azure = keys.kind() == Some(NetworkKind::Azure);
        let parsed = match &*url.value {
            "azure" if is_azure => Some(AZURE_PAGE.into()),
            _ => self.parse(url, value::fetch_url),
        };
        let sha256 = optional(keys.sha256.as_ref(), |url| self.parse(url, value::fetch_url));
        let account = optional(keys.account.as_ref(), |account| self.parse(account, value::account));
        let key = optional(keys.key_file.as_ref(), |file| self.input(file, FileUse::Secret));
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
            account: account?.zip(key?),
            sha256: sha256?,
            is_pinned: keys.pin,
            place: url.place.clone(),
        }))
    }
}
