//! `[registry]`: the companion HTTP listener, and the places to which it redirects pull clients.
//!
//! **Invariants**: with `direct`, each mirror of the horizon has a host; only probed mirrors are asked for blobs.
//! **Not here**: upstreams that would send clients back ([`super::meaning`]); the redirects ([`crate::registry`]).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::blobs::{other_horizon, steer_of};
use super::check::{Check, optional};
use super::encrypted::{TlsFiles, TlsSpec};
use super::field::section;
use super::mirrors::MirrorsConfig;
use super::paths::PathSpec;
use super::request_log::{RequestLogConfig, STDOUT};
use super::row::{LISTEN_FORM, days, duration, flag, hours, millis, number, same, secs, table, tables, text, texts};
use super::table::Table;
use super::value;
use super::zone::ZoneSpec;
use super::{
    BlobTarget, Connections, FileUse, HorizonConfig, Placed, PlacedText, Probe, UpstreamConfig, ZoneConfig, limits,
};
use crate::base::diagnostic::Diagnostic;
use crate::base::ids::HorizonId;
use crate::base::prefix::Prefix;
use crate::registry::PathRules;

const ASK_WAIT_DEFAULT: Duration = millis(300);
const ASK_KEEP_DEFAULT: Duration = hours(6);
const ASK_LACKING_DEFAULT: Duration = secs(60);

section! {
    /// `[registry]` as written.
    pub(super) struct RegistrySpec: "[registry]" then name_log {
        /// Listen addresses for HTTP/1.1 and HTTP/2.
        listen: Vec<PlacedText> = texts("listen", LISTEN_FORM)
            .required()
            .restart_unless(same!(config => config.registry.as_ref().map(|registry| &registry.listen)))
            .example("[\"127.0.0.1:8080\"]"),

        /// Base URL of the canonical registry: `https://HOST` or `https://HOST/SOME/REPO`. It gets requests for manifests,
        /// tags and referrers, and for blobs that no mirror can serve. Never name `k8s.gcr.io` or `registry.k8s.io`.
        ///
        /// A steered name or this listener is an error, because clients would be sent back here. The two names are a
        /// warning, because both only redirect.
        canonical: Option<PlacedText> = text("canonical", "URL").required().example("\"https://registry.example.com\""),

        /// Base URL of the steered name, with `https`. It may have a port.
        ///
        /// Plain `http` is a warning here and in the other URLs of the table, because the network between could
        /// replace what clients pull by tag. A registry on this machine is exempt.
        blobs: Option<PlacedText> = text("blobs", "URL")
            .required_without(&["horizon"], "add `blobs = \"https://blob.example.com\"`, the URL of the steered name")
            .example("\"https://blob.example.com\""),

        /// Horizon that decides for blobs.
        ///
        /// It is written if no owner is steered by it, because each of its mirrors has a `url`. `blobs` may be left out then.
        horizon: Option<PlacedText> = text("horizon", "horizon")
            .otherwise("that of the steered owner named by `blobs`")
            .example("\"blobs\""),

        /// Base URL for cosign's `sha256-….sig` and `.att` tags, and for everything that `canonical` lacks by digest.
        signatures: Option<PlacedText> = text("signatures", "URL")
            .otherwise("the value of `canonical`")
            .example("\"https://signatures.example.com\""),

        /// URL to which `/` redirects. Load balancers use `/healthz`, which is 200.
        info: Option<PlacedText> = text("info", "URL").otherwise("404").example("\"https://example.com/\""),

        /// URL to which `/privacy` redirects.
        privacy: Option<PlacedText> = text("privacy", "URL").otherwise("404").example("\"https://example.com/privacy\""),

        /// Redirects of further paths, such as those of a download host. A path without one gets 404.
        paths: Vec<PathSpec> = tables::<PathSpec>("paths", limits::MAX_PATHS)
            .otherwise("none")
            .example("[{ prefix = \"/binaries/\", to = \"https://files.example.com/{rest}\" }]"),

        /// Prefixes of proxies whose `X-Forwarded-For` is used. If the header is empty or says `unknown`, the proxy counts
        /// as the client.
        ///
        /// None by default, because any client can send the header.
        trusted_proxies: Vec<PlacedText> = texts("trusted-proxies", "prefix").example("[\"10.0.0.0/8\"]"),

        /// With `true`, a blob request is redirected to the `host` of the client's mirror instead of the steered name. Each
        /// mirror of the horizon then needs a `host`.
        ///
        /// Off by default, because clients should see one host name only.
        direct: Option<Placed<bool>> = flag("direct").default(false).example("false"),

        /// With `true`, a client is redirected to a mirror only if the mirror has the blob, or has `ask = false`.
        ///
        /// Mirrors can be asked only with `[probe]`, because that has the name and the roots for the request.
        ask: Option<Placed<bool>> = flag("ask").otherwise("`true` with `[probe]`").example("true"),

        /// The longest time that a request waits for the mirror's answer. After it the client is redirected to `canonical`,
        /// and the late answer is cached.
        ///
        /// A connection and a request take three round trips, which is this default at 100 ms each. A mirror farther away
        /// is not worth the wait.
        ask_wait: Option<Placed<Duration>> = duration("ask-wait", Duration::ZERO..=secs(5))
            .default(ASK_WAIT_DEFAULT)
            .example("\"150ms\""),

        /// Time for which a mirror's answer that it has a blob is cached.
        ///
        /// Content never changes under its digest and is rarely deleted. If it is deleted, pulls fail until the time is
        /// over.
        ask_keep: Option<Placed<Duration>> = duration("ask-keep", secs(1)..=days(7))
            .default(ASK_KEEP_DEFAULT)
            .example("\"24h\""),

        /// Time for which a mirror's answer that it lacks a blob is cached.
        ///
        /// A blob that has just been copied to a mirror is served from it a minute later, at one request a minute for a
        /// missing one.
        ask_lacking: Option<Placed<Duration>> = duration("ask-lacking", secs(1)..=hours(1))
            .default(ASK_LACKING_DEFAULT)
            .example("\"30s\""),

        /// Connections at once, of all clients. When full, the connection idle longest is closed.
        ///
        /// An idle connection takes some 10 KB, so the default takes 40 MB. It is well below the usual hard limit of open
        /// files.
        connections: usize = number("connections", limits::CONNECTIONS, "connections").default(4096).example("10000"),

        /// Connections at once from one IPv4 address or IPv6 /64. When full, this client's connection idle longest is
        /// closed. Trusted proxies are exempt.
        ///
        /// A sixteenth of all, as for DNS. A cluster behind one address keeps one or two connections for each pulling node;
        /// beyond the limit it pays a handshake and loses no pull.
        connections_per_client: usize = number("connections-per-client", limits::CONNECTIONS, "connections")
            .at_most("connections")
            .default(256)
            .example("1000"),

        /// Time after which an idle connection is closed. Set it above the idle timeout of a load balancer in front: AWS
        /// has 60 s, Google 600 s.
        ///
        /// The side that sends requests must be the first to close, because a request would otherwise meet a connection
        /// that is closing.
        idle: Duration = duration("idle", secs(1)..=hours(1)).default(limits::HTTP_IDLE_DEFAULT).example("\"620s\""),

        /// File of the request log, or `-` for standard output. Each request is a line in JSON.
        ///
        /// Off by default, because metrics count requests, and a line for each takes a disk.
        log: Option<PlacedText> = text("log", "path or `-`").otherwise("off").example("\"/var/lib/pharos/access.jsonl\""),

        /// The client's address in the log: `none`, `24/48` for its IPv4 /24 or IPv6 /48, or `whole`.
        ///
        /// None by default, because addresses are personal data in many places. Provider and region are in the log anyway.
        log_clients: Option<PlacedText> = text("log-clients", "`none`, `24/48` or `whole`")
            .otherwise("`\"none\"`")
            .example("\"24/48\""),

        /// Share of the requests that are logged, selected at random.
        ///
        /// All by default, because each line serves the search for one request. A sample suffices for the shares of clouds.
        log_sample: Option<PlacedText> = text("log-sample", "share").otherwise("`\"100%\"`").example("\"1%\""),

        /// Length at which the log is renamed to `….1` and begun anew. 0 leaves rotation to other programs.
        ///
        /// Some 300,000 lines. With `log-keep`, the files of a listener that runs unattended take 500 MiB at most.
        log_size: u64 = number("log-size", 0..=1_000_000, "MiB").default(100).example("1000"),

        /// Renamed files that are kept, `….1` being the newest.
        ///
        /// Four give time to collect the files before the oldest is replaced.
        log_keep: u16 = number("log-keep", 1..=1000, "files").default(4).example("9"),

        /// Certificate and key. With them the listener serves HTTPS.
        tls: Option<TlsSpec> = table::<TlsSpec>("tls")
            .otherwise("plain HTTP")
            .restart_unless_kept(same!(config => config.registry.as_ref().map(|registry| registry.tls.is_some())))
            .example("{ cert = \"fullchain.pem\", key = \"privkey.pem\" }"),
    }
}

fn name_log(spec: &RegistrySpec, table: &Table<'_, '_>) {
    if let Some(log) = spec.log.as_ref().filter(|log| &*log.value != STDOUT) {
        table.reader.name_file(FileUse::RequestLog, log);
    }
}

/// `[registry]`: the companion HTTP listener.
#[derive(Clone, Debug)]
pub(crate) struct RegistryConfig {
    /// Listen addresses.
    pub(crate) listen: Vec<SocketAddr>,
    /// Limits of connections.
    pub(crate) connections: Connections,
    /// The canonical registry: manifests, tags, referrers, and blobs no mirror can serve.
    pub(crate) canonical: UpstreamConfig,
    /// The steered name's base URL: blobs. `None` if each mirror has a URL of its own.
    pub(crate) blobs: Option<UpstreamConfig>,
    /// The horizon that is written, else that of the steered name, found by the host of `blobs`. `None` if no steered owner
    /// has that name.
    pub(crate) horizon: Option<HorizonId>,
    /// The registry of cosign signatures and attestations. `None` means canonical.
    pub(crate) signatures: Option<UpstreamConfig>,
    /// The project page, for `/`.
    pub(crate) info: Option<Arc<str>>,
    /// The policy page, for `/privacy`.
    pub(crate) privacy: Option<Arc<str>>,
    /// The redirects of further paths.
    pub(crate) paths: PathRules,
    /// Peers whose `X-Forwarded-For` is used.
    pub(crate) trusted_proxies: Vec<Prefix>,
    /// The target of redirects for blobs: the steered name, or the host of the client's mirror.
    pub(crate) blob_target: BlobTarget,
    /// The times of questions to mirrors for blobs. `None` redirects without asking.
    pub(crate) ask: Option<AskConfig>,
    /// The times of questions to canonical for signatures. `None` without `signatures`.
    pub(crate) ask_canonical: Option<AskConfig>,
    /// The request log. `None` if requests are not logged.
    pub(crate) log: Option<RequestLogConfig>,
    /// The certificate and key of HTTPS. `None` means plain HTTP.
    pub(crate) tls: Option<TlsFiles>,
}

impl RegistryConfig {
    /// The port at which clients reach mirrors: that of `blobs`, if it is https, else HTTPS's own.
    pub(crate) fn mirror_port(&self) -> u16 {
        match &self.blobs {
            Some(blobs) if &*blobs.scheme == "https" => blobs.port(),
            _ => limits::MIRROR_PORT,
        }
    }

    /// The name that mirrors serve: the host of `blobs`. `None` if each mirror has a URL of its own.
    pub(crate) fn mirror_name(&self) -> Option<&str> {
        self.blobs.as_ref().map(value::host_of)
    }
}

/// `ask-…` of `[registry]`: the times of questions for blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AskConfig {
    /// The longest time that a request waits for a mirror's answer.
    pub(crate) wait: Duration,
    /// Time for which the answer that a mirror has a blob is cached.
    pub(crate) keep: Duration,
    /// Time for which the answer that it lacks one is cached.
    pub(crate) lacking: Duration,
}

impl Check<'_> {
    pub(super) fn check_registry(
        &mut self,
        spec: &RegistrySpec,
        zone_specs: &[ZoneSpec],
        zones: &[ZoneConfig],
        (horizons, mirrors): (&[HorizonConfig], &MirrorsConfig),
    ) -> Option<RegistryConfig> {
        let mut upstream = |text: &PlacedText| self.parse(text, value::upstream);
        let canonical = spec.canonical.as_ref().and_then(&mut upstream);
        let signatures = spec.signatures.as_ref().and_then(&mut upstream);
        let blobs = optional(spec.blobs.as_ref(), upstream);
        let page = |check: &mut Self, text: &Option<PlacedText>| check.parse(text.as_ref()?, value::page);
        let listen = self.check_listen(&spec.listen);
        let connections =
            Connections { all: spec.connections, per_client: spec.connections_per_client, idle: spec.idle };
        let (info, privacy) = (page(self, &spec.info), page(self, &spec.privacy));
        let paths = self.check_paths(&spec.paths, horizons, mirrors);
        let trusted_proxies = self.check_prefixes(&spec.trusted_proxies);
        let tls = spec.tls.as_ref().and_then(|tls| self.check_tls(&tls.cert, &tls.key));
        let written_log = [&spec.log, &spec.log_clients, &spec.log_sample];
        let log = self.check_request_log(written_log, spec.log_size, spec.log_keep);
        let blob_target = match &spec.direct {
            Some(direct) if direct.value => BlobTarget::MirrorHost,
            _ => BlobTarget::SteeredName,
        };
        let named = optional(spec.horizon.as_ref(), |name| self.found(self.horizons.find(name)));
        let registry = RegistryConfig {
            listen,
            connections,
            canonical: canonical?,
            blobs: blobs?,
            horizon: named?.map(HorizonId::from_index),
            signatures,
            info,
            privacy,
            paths,
            trusted_proxies,
            blob_target,
            ask: None,
            ask_canonical: None,
            log,
            tls,
        };
        let horizon = self.check_horizon_of_blobs(spec, &registry, zone_specs, zones, (horizons, mirrors));
        Some(RegistryConfig { horizon, ..registry })
    }

    /// The horizon that decides for blobs: the one that `horizon` names, else that of the steered owner at `blobs`.
    fn check_horizon_of_blobs(
        &mut self,
        spec: &RegistrySpec,
        registry: &RegistryConfig,
        zone_specs: &[ZoneSpec],
        zones: &[ZoneConfig],
        (horizons, mirrors): (&[HorizonConfig], &MirrorsConfig),
    ) -> Option<HorizonId> {
        let named = registry.horizon;
        let (Some(blobs), Some(written)) = (&registry.blobs, &spec.blobs) else {
            if let (Some(id), Some(name)) = (named, &spec.horizon) {
                self.check_each_has_url(&horizons[id.index()], name, mirrors);
            }
            return named;
        };
        self.check_tokens(blobs, &registry.canonical, &written.place);
        let steered = steer_of(blobs, zones);
        if named.is_none() {
            // A steered owner that is wrong may be the one.
            let written_owners: usize = zone_specs.iter().map(|zone| zone.steer.len()).sum();
            let meant: usize = zones.iter().map(|zone| zone.steer.len()).sum();
            if written_owners == meant && steered.is_none() {
                self.report_unsteered(blobs, &written.place, registry.blob_target, zones);
            }
            return steered.map(|steer| steer.horizon);
        }
        if let (Some(name), Some(steer)) = (&spec.horizon, steered.filter(|steer| Some(steer.horizon) != named)) {
            self.report(other_horizon(name, steer));
        }
        named
    }

    /// The times of questions to mirrors for blobs, and to canonical for signatures. Unless `ask = false`, probed mirrors are
    /// asked, with the name and roots of the probes; canonical is asked if `signatures` is written.
    pub(super) fn check_ask(
        &mut self,
        spec: &RegistrySpec,
        registry: &RegistryConfig,
        probe: Option<&Probe>,
    ) -> (Option<AskConfig>, Option<AskConfig>) {
        let RegistrySpec { ask, ask_wait, ask_keep, ask_lacking, .. } = spec;
        let wanted = ask.as_ref().map(|ask| ask.value);
        let times = [ask_wait, ask_keep, ask_lacking].into_iter().flatten().map(|time| &time.place).next();
        let times = times.filter(|_| registry.signatures.is_none());
        let steered = spec.paths.iter().filter_map(|path| path.horizon.as_ref()).map(|horizon| &horizon.place).next();
        if let Some(place) = steered.filter(|_| probe.is_none() || wanted == Some(false)) {
            self.report(
                Diagnostic::error("ask-without-probe", "mirrors can be asked for files only if mirrors are probed")
                    .at(place.clone(), "mirrors are asked for files")
                    .help(if probe.is_none() { "add a table `[probe]`" } else { "remove `ask = false`" }),
            );
        }
        let asked_for = ask.as_ref().filter(|ask| ask.value).map(|ask| &ask.place).or(times);
        if let Some(place) = asked_for
            && (probe.is_none() || wanted == Some(false))
        {
            let (message, help) = match probe {
                None => ("mirrors can be asked for blobs only if mirrors are probed", "add a table `[probe]`"),
                Some(_) => (
                    "a time of questions to mirrors is written, but mirrors are not asked",
                    "remove it, or `ask = false`",
                ),
            };
            self.report(Diagnostic::error("ask-without-probe", message).at(place.clone(), "has no effect").help(help));
        }
        let time = |time: &Option<Placed<Duration>>, default| time.as_ref().map_or(default, |time| time.value);
        let meant = AskConfig {
            wait: time(ask_wait, ASK_WAIT_DEFAULT),
            keep: time(ask_keep, ASK_KEEP_DEFAULT),
            lacking: time(ask_lacking, ASK_LACKING_DEFAULT),
        };
        let has_horizon = registry.horizon.is_some() || registry.paths.has_horizon();
        let of_mirrors = probe.is_some() && has_horizon && wanted != Some(false);
        (of_mirrors.then_some(meant), registry.signatures.as_ref().map(|_| meant))
    }
}
