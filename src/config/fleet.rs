//! `[fleet]`: the store by which several servers share overrides and verdicts.
//!
//! **Invariants**: a [`FleetConfig`] has a name, a store, a key and a file for its state.
//! **Not here**: the form of the store's URL ([`super::store`]), reading the key ([`crate::load`]), the exchange itself.

use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use super::check::{Check, redacted};
use super::control::ControlConfig;
use super::dns::DnsConfig;
use super::encrypted::TlsFiles;
use super::field::section;
use super::row::{days, duration, file, flag, mins, secs, text, texts};
use super::store::{EtcdAccess, StoreUrl};
use super::{FileUse, InputFile, Placed, PlacedText};
use crate::base::diagnostic::Diagnostic;
use crate::files::host_name;
use crate::fleet::{MAX_SERVER_NAME_LEN, RolloutStages, is_server_name};

/// Telling a change takes one interval, and hearing of it another one. Servers a continent apart read an object within a
/// second, and a bucket costs some dollars a month for this many requests.
const EVERY_DEFAULT: Duration = secs(5);

/// Six intervals: a server that restarts, or misses some writes, keeps its vote.
const STALE_DEFAULT: Duration = secs(30);

/// The name of the file that keeps shared overrides, beside `[control] state`.
pub(super) const STATE_NAME: &str = "fleet.json";

/// A rise of errors shows in graphs, and an alert of five minutes has fired.
const SOAK_DEFAULT: Duration = mins(10);

section! {
    /// `[fleet]` as written.
    pub(super) struct FleetSpec: "[fleet]" {
        /// Name of this server in the fleet: 1 to 63 of `a-z`, `0-9`, `-`, `_` and `.`. Each server has another one, and keeps it
        /// when it starts again.
        ///
        /// By default it is the name of the host, so that all servers can have the same files.
        name: Option<PlacedText> = text("name", "name").otherwise("`nsid` of `[dns]`, or the name of the host").restart_with_table().example("\"fra1-a\""),

        /// Store that all servers share: `s3://BUCKET/PREFIX`, `gs://…`, `az://…`, `etcd://HOST:2379,HOST:2379`, `etcds://…` or
        /// `dir:/FOLDER`.
        ///
        /// Credentials of clouds come from the environment, as for other programs (`AWS_…`, `GOOGLE_…`, `AZURE_…`). `check`
        /// does not call the store.
        store: Option<PlacedText> = text("store", "URL").required().restart_with_table().example("\"s3://pharos-fleet/prod\""),

        /// File that keeps the shared overrides across restarts, so that a start needs no store.
        state: Option<PlacedText> = file("state", FileUse::Fleet)
            .otherwise("`fleet.json` beside `[control] state`")
            .restart_with_table()
            .example("\"/var/lib/pharos/fleet.json\""),

        /// File with the key of the fleet: 64 hexadecimal digits, for example of `openssl rand -hex 32`. All servers have the
        /// same.
        ///
        /// Each document is signed with it (HMAC-SHA256), because write access to a bucket must not make an operator.
        key_file: Option<PlacedText> = file("key-file", FileUse::Secret).required().restart_with_table().example("\"fleet.key\""),

        /// Interval between two looks at the store. With etcd, a change is seen at once.
        ///
        /// A drain is known everywhere within some 10 s, and a bucket costs some dollars a month for this many requests.
        every: Duration = duration("every", secs(1)..=mins(10)).default(EVERY_DEFAULT).restart_with_table().example("\"10s\""),

        /// Age of a server's last document from which the server has no vote on mirrors. At least three times `every`.
        ///
        /// A server that restarts, or misses some writes, keeps its vote.
        stale: Option<Placed<Duration>> = duration("stale", secs(3)..=mins(60)).default(STALE_DEFAULT).restart_with_table().example("\"1m\""),

        /// With `false`, this server takes no bundles of `pharos fleet push`, and serves all of its own file. A bundle that it had
        /// before is not loaded.
        rollout: bool = flag("rollout").default(true).restart_with_table().example("false"),

        /// Stages of a push: the servers that load a bundle first, then the next ones. An entry is a stage, with names separated
        /// by commas. The servers that are not named are the last stage.
        ///
        /// All at once by default, because each server still judges a bundle by itself before it serves it.
        stages: Option<Vec<PlacedText>> = texts("stages", "servers").otherwise("all servers at once").example("[\"gru1-a\", \"iad1-a, sin1-a\"]"),

        /// Time for which the servers of a stage serve a bundle before the next stage loads it.
        ///
        /// A rise of errors shows in the graphs of these servers, and an alert of five minutes has fired.
        soak: Duration = duration("soak", Duration::ZERO..=days(7)).default(SOAK_DEFAULT).example("\"1h\""),

        /// PEM file with the roots for the certificates of `etcds://`.
        ca: Option<PlacedText> = file("ca", FileUse::Roots)
            .otherwise("the roots of the system")
            .restart_with_table()
            .example("\"etcd-ca.pem\""),

        /// PEM file with the certificate that etcd asks for.
        cert: Option<PlacedText> = file("cert", FileUse::Pem).restart_with_table().example("\"etcd-client.pem\""),

        /// PEM file with its private key.
        key: Option<PlacedText> = file("key", FileUse::Pem).restart_with_table().example("\"etcd-client.key\""),

        /// User of etcd.
        user: Option<PlacedText> = text("user", "name").restart_with_table().example("\"pharos\""),

        /// File with the password of `user`.
        password_file: Option<PlacedText> = file("password-file", FileUse::Secret).restart_with_table().example("\"etcd.password\""),
    }
}

/// `[fleet]`: the fleet that this server belongs to. Off without the table.
#[derive(Clone, Debug)]
pub(crate) struct FleetConfig {
    /// The name of this server.
    pub(crate) name: Arc<str>,
    /// The store.
    pub(crate) store: StoreUrl,
    /// The access to etcd.
    pub(crate) access: EtcdAccess,
    /// The file that keeps shared overrides.
    pub(crate) state: PathBuf,
    /// The file with the key.
    pub(crate) key: InputFile,
    /// The interval between two looks.
    pub(crate) every: Duration,
    /// The age from which a server has no vote.
    pub(crate) stale: Duration,
    /// True if this server takes no bundles.
    pub(crate) is_deaf: bool,
    /// The stages of a push that names none.
    pub(crate) stages: RolloutStages,
    /// The soak of a push that names none.
    pub(crate) soak: Duration,
}

impl Check<'_> {
    pub(super) fn check_fleet(
        &mut self,
        spec: &FleetSpec,
        dns: &DnsConfig,
        control: Option<&ControlConfig>,
    ) -> Option<FleetConfig> {
        if control.is_none() {
            self.report(
                Diagnostic::error("fleet-without-control", "`[fleet]` shares overrides, but no `[control]` takes any")
                    .at(spec.table.place.clone(), "needs `[control]`")
                    .help("add `[control]` with `socket` and `state`"),
            );
        }
        let name = self.check_server_name(spec, dns);
        let store = spec.store.as_ref().and_then(|text| {
            // It may have a password.
            let place = if text.value.contains('@') { redacted(text, "store") } else { text.place.clone() };
            self.parse(&Placed { value: text.value.clone(), place }, StoreUrl::from_str)
        });
        let stale = spec.stale.as_ref().map_or(STALE_DEFAULT, |stale| stale.value);
        if let Some(written) = spec.stale.as_ref().filter(|stale| stale.value < spec.every * 3) {
            self.report(
                Diagnostic::error("short-stale", "a server would lose its vote after two documents that come late")
                    .at(written.place.clone(), "less than three times `every`")
                    .help("write at least three times `every`"),
            );
        }
        let state = match &spec.state {
            Some(text) => self.path(text),
            None => control.map(|control| control.state.with_file_name(STATE_NAME)),
        };
        let access = self.check_etcd_access(spec, store.as_ref());
        let stages = self.check_stages(spec);
        let key = self.input(spec.key_file.as_ref()?, FileUse::Secret)?;
        Some(FleetConfig {
            name: name?,
            store: store?,
            access,
            state: state?,
            key,
            every: spec.every,
            stale,
            is_deaf: !spec.rollout,
            stages,
            soak: spec.soak,
        })
    }

    fn check_stages(&mut self, spec: &FleetSpec) -> RolloutStages {
        let texts = spec.stages.as_deref().unwrap_or_default();
        let parsed = RolloutStages::parse(texts.iter().map(|text| &*text.value));
        if let (Err(fault), Some(first)) = (&parsed, texts.first()) {
            self.report(
                Diagnostic::error("bad-stages", format!("the stages cannot be used: {fault}"))
                    .at(first.place.clone(), "in this list")
                    .help("write each server once, those of one stage with commas: `[\"gru1-a\", \"iad1-a, sin1-a\"]`; the others are the last stage"),
            );
        }
        parsed.unwrap_or_else(|_| RolloutStages::at_once())
    }

    fn check_server_name(&mut self, spec: &FleetSpec, dns: &DnsConfig) -> Option<Arc<str>> {
        let help = format!(
            "write `name`, 1 to {MAX_SERVER_NAME_LEN} of `a-z`, `0-9`, `-`, `_` and `.`, which begins with a letter or digit"
        );
        let problem = match (&spec.name, &dns.nsid) {
            (Some(name), _) if is_server_name(&name.value) => return Some(name.value.clone()),
            (Some(name), _) => {
                Diagnostic::error("bad-server-name", format!("`{}` cannot be a server's name", name.value))
                    .at(name.place.clone(), "")
            }
            (None, Some(nsid)) if is_server_name(nsid) => return Some(nsid.clone()),
            (None, nsid) => {
                let host = host_name().unwrap_or_default().to_lowercase();
                // A machine without a name of its own has this one.
                if nsid.is_none() && is_server_name(&host) && host.split('.').next() != Some("localhost") {
                    return Some(host.into());
                }
                let why = match nsid {
                    Some(nsid) => format!("`nsid` is `{nsid}`"),
                    None => format!("there is no `nsid`, and the host is called `{host}`"),
                };
                Diagnostic::error("bad-server-name", format!("this server has no name in the fleet: {why}"))
                    .at(spec.table.place.clone(), "needs `name`")
            }
        };
        self.report(problem.help(help));
        None
    }

    fn check_etcd_access(&mut self, spec: &FleetSpec, store: Option<&StoreUrl>) -> EtcdAccess {
        let written = [&spec.ca, &spec.cert, &spec.key, &spec.user, &spec.password_file];
        let first = written.into_iter().flatten().next();
        if let (Some(first), Some(StoreUrl::Bucket { .. } | StoreUrl::Folder(_))) = (first, store) {
            self.report(
                Diagnostic::error("etcd-key-of-other-store", "this key is for etcd, and the store is another one")
                    .at(first.place.clone(), "no effect")
                    .help("remove it; credentials of clouds come from the environment"),
            );
        }
        let pairs =
            [("cert", &spec.cert, "key", &spec.key), ("user", &spec.user, "password-file", &spec.password_file)];
        for (name, value, other, its) in pairs {
            let lone = match (value, its) {
                (Some(value), None) => Some((value, other)),
                (None, Some(its)) => Some((its, name)),
                _ => None,
            };
            if let Some((lone, missing)) = lone {
                self.report(
                    Diagnostic::error("half-of-pair", format!("`{missing}` of `[fleet]` is missing"))
                        .at(lone.place.clone(), "needs the other half")
                        .help(format!("write `{name}` and `{other}` together, or remove both")),
                );
            }
        }
        let mut input = |text: &Option<PlacedText>, usage| -> Option<InputFile> { self.input(text.as_ref()?, usage) };
        let (ca, cert, key) =
            (input(&spec.ca, FileUse::Roots), input(&spec.cert, FileUse::Pem), input(&spec.key, FileUse::Pem));
        let password = input(&spec.password_file, FileUse::Secret);
        let identity = cert.zip(key).map(|(cert, key)| TlsFiles { cert, key });
        let account = spec.user.as_ref().map(|user| user.value.clone()).zip(password);
        EtcdAccess { ca, identity, account }
    }
}
