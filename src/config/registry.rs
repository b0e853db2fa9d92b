//! `[registry]`: the companion HTTP listener, and the places to which it redirects pull clients.
//!
//! **Invariants**: with `direct`, each mirror of the horizon has a host; only probed mirrors are asked for blobs.
//! **Not here**: upstreams that would send clients back ([`super::check`]); the redirects ([`crate::registry`]).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::check::Check;
use super::encrypted::{TlsFiles, TlsSpec};
use super::field::section;
use super::mirrors::MirrorsConfig;
use super::row::{LISTEN_FORM, days, duration, flag, hours, millis, number, secs, table, tables, text, texts};
use super::spec::{PlacedText, Spec};
use super::value::{self, host_of};
use super::zone::ZoneSpec;
use super::{BlobTarget, Config, Connections, HorizonConfig, MirrorEntry, Placed, Probe, Steer, ZoneConfig, limits};
use crate::base::diagnostic::{Diagnostic, Place, did_you_mean, nearest};
use crate::base::ids::{HorizonId, MirrorId};
use crate::base::name::NameBuf;
use crate::base::prefix::Prefix;
use crate::mirror::{TemplateValues, UrlTemplate};
use crate::registry::{PathRule, PathRules};

const ASK_WAIT_DEFAULT: Duration = millis(300);
const ASK_KEEP_DEFAULT: Duration = hours(6);
const ASK_LACKING_DEFAULT: Duration = secs(60);

section! {
    /// `[registry]` as written.
    pub(super) struct RegistrySpec: "[registry]" {
        /// Listen addresses for HTTP/1.1 and HTTP/2.
        listen: Vec<PlacedText> = texts("listen", LISTEN_FORM)
            .required()
            .restart_unless(|a, b| listen(a) == listen(b))
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

        /// With `true`, a client is redirected to a mirror only if the mirror has the blob. Write `false` for mirrors that
        /// fetch missing blobs themselves.
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

        /// Certificate and key. With them the listener serves HTTPS.
        tls: Option<TlsSpec> = table::<TlsSpec>("tls")
            .otherwise("plain HTTP")
            .restart_unless_kept(|a, b| has_tls(a) == has_tls(b))
            .example("{ cert = \"fullchain.pem\", key = \"privkey.pem\" }"),
    }
}

section! {
    /// One entry of `paths` as written.
    pub(super) struct PathSpec: "paths" {
        /// Beginning of the paths, with a slash at both ends. The longest one that a path begins with decides.
        ///
        /// `/`, `/v2`, `/healthz` and what begins with `/privacy` cannot be redirected.
        prefix: Option<PlacedText> = text("prefix", "path").required().example("\"/binaries/\""),

        /// URL of the redirect, with `https`. `{rest}` is the path after the prefix, and `{path}` the whole path without its
        /// first slash. The query string is kept, unless the URL has one.
        to: Option<PlacedText> = text("to", "URL").required().example("\"https://files.example.com/binaries/{rest}\""),

        /// Horizon whose mirrors are asked first. A client goes to its mirror if that has the file, else to `to`.
        ///
        /// Each mirror of the horizon needs a `url` with `{rest}` or `{path}`, and `[probe]` is required.
        horizon: Option<PlacedText> = text("horizon", "horizon")
            .otherwise("none: all clients are sent to `to`")
            .example("\"files\""),
    }
}

fn listen(config: &Config) -> Option<&Vec<SocketAddr>> {
    config.registry.as_ref().map(|registry| &registry.listen)
}

fn has_tls(config: &Config) -> Option<bool> {
    config.registry.as_ref().map(|registry| registry.tls.is_some())
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
    /// The certificate and key of HTTPS. `None` means plain HTTP.
    pub(crate) tls: Option<TlsFiles>,
}

impl RegistryConfig {
    /// The port at which clients reach mirrors: that of `blobs`, if it is https, else HTTPS's own.
    pub(crate) fn mirror_port(&self) -> u16 {
        match &self.blobs {
            Some(blobs) if &*blobs.scheme == "https" => value::port_of(blobs),
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

/// A base URL to which request paths are appended: `https://host[:port][/some/repo]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UpstreamConfig {
    /// `https` or `http`.
    pub(crate) scheme: Arc<str>,
    /// The host, and the port if it is not the scheme's own.
    pub(crate) authority: Arc<str>,
    /// The repository prefix without slashes at its ends; empty if there is no prefix.
    pub(crate) path: Arc<str>,
}

impl UpstreamConfig {
    /// The host; an IPv6 address without brackets.
    pub(crate) fn host(&self) -> &str {
        let host = value::host_of(self);
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// The port.
    pub(crate) fn port(&self) -> u16 {
        value::port_of(self)
    }
}

/// The steered owner that is the host of `blobs`.
fn steer_of<'z>(blobs: &UpstreamConfig, zones: &'z [ZoneConfig]) -> Option<&'z Steer> {
    let name = NameBuf::parse(host_of(blobs)).ok();
    zones.iter().flat_map(|zone| &zone.steer).find(|steer| name.as_ref() == Some(&steer.owner))
}

fn other_horizon(name: &PlacedText, steer: &Steer) -> Diagnostic {
    let message = format!("`{}` decides for the registry, and another horizon for `{}`", name.value, steer.owner);
    Diagnostic::error("two-horizons", message)
        .at(name.place.clone(), "not the one of the steered owner")
        .related(steer.place.clone(), "steered here")
        .help("leave `horizon` out: that of the steered owner named by `blobs` is used")
}

impl Check<'_> {
    pub(super) fn check_registry(
        &mut self,
        spec: &RegistrySpec,
        zone_specs: &[ZoneSpec],
        zones: &[ZoneConfig],
        (horizons, mirrors): (&[HorizonConfig], &MirrorsConfig),
    ) -> Option<RegistryConfig> {
        let upstream = |check: &mut Self, text: &Option<PlacedText>| check.parse(text.as_ref()?, value::upstream);
        let page = |check: &mut Self, text: &Option<PlacedText>| check.parse(text.as_ref()?, value::page);
        let listen = self.check_listen(&spec.listen);
        let connections =
            Connections { all: spec.connections, per_client: spec.connections_per_client, idle: spec.idle };
        let canonical = upstream(self, &spec.canonical);
        let blobs = upstream(self, &spec.blobs);
        let signatures = upstream(self, &spec.signatures);
        let (info, privacy) = (page(self, &spec.info), page(self, &spec.privacy));
        let paths = self.check_paths(&spec.paths, horizons, mirrors);
        let trusted_proxies = self.check_prefixes(&spec.trusted_proxies);
        let tls = spec.tls.as_ref().and_then(|tls| self.check_tls(&tls.cert, &tls.key));
        let blob_target = match &spec.direct {
            Some(direct) if direct.value => BlobTarget::MirrorHost,
            _ => BlobTarget::SteeredName,
        };
        let named = spec.horizon.as_ref().and_then(|name| match self.horizons.find(name) {
            Ok(at) => Some(HorizonId::from_index(at)),
            Err(problem) => {
                self.report(*problem);
                None
            }
        });
        let canonical = canonical?;
        if spec.blobs.is_some() != blobs.is_some() || spec.horizon.is_some() != named.is_some() {
            return None;
        }
        let mut horizon = named;
        if let (Some(blobs), Some(written)) = (&blobs, &spec.blobs) {
            self.check_tokens(blobs, &canonical, &written.place);
            let steered = steer_of(blobs, zones);
            match (&spec.horizon, named, steered) {
                (Some(name), Some(named), Some(steer)) if steer.horizon != named => {
                    self.report(other_horizon(name, steer));
                }
                (_, None, _) => {
                    // A steered owner that is wrong may be the one.
                    let written_owners: usize = zone_specs.iter().map(|zone| zone.steer.len()).sum();
                    let meant: usize = zones.iter().map(|zone| zone.steer.len()).sum();
                    if written_owners == meant && steered.is_none() {
                        self.report_unsteered(blobs, &written.place, blob_target, zones);
                    }
                    horizon = steered.map(|steer| steer.horizon);
                }
                _ => {}
            }
        } else if let (Some(id), Some(name)) = (named, &spec.horizon) {
            self.check_each_has_url(&horizons[id.index()], name, mirrors);
        }
        Some(RegistryConfig {
            listen,
            connections,
            canonical,
            blobs,
            horizon,
            signatures,
            info,
            privacy,
            paths,
            trusted_proxies,
            blob_target,
            ask: None,
            ask_canonical: None,
            tls,
        })
    }

    /// The redirects of further paths.
    fn check_paths(&mut self, specs: &[PathSpec], horizons: &[HorizonConfig], mirrors: &MirrorsConfig) -> PathRules {
        let (mut rules, mut prefixes) = (Vec::new(), HashMap::new());
        for PathSpec { prefix: written, to, horizon, .. } in specs {
            let prefix = written.as_ref().and_then(|prefix| self.parse(prefix, value::path_prefix));
            let to = to.as_ref().and_then(|to| self.parse(to, value::path_target));
            let horizon = horizon.as_ref().and_then(|name| match self.horizons.find(name) {
                Ok(at) => {
                    self.check_each_has_files(&horizons[at], name, mirrors);
                    Some(horizons[at].name.clone())
                }
                Err(problem) => {
                    self.report(*problem);
                    None
                }
            });
            let (Some(written), Some(prefix)) = (written, prefix) else { continue };
            match prefixes.entry(prefix.clone()) {
                Entry::Occupied(first) => {
                    let first: &Place = first.get();
                    self.report(
                        Diagnostic::error("duplicate-path", format!("`{prefix}` is redirected twice"))
                            .at(written.place.clone(), "redirected again")
                            .related(first.clone(), "first redirected here")
                            .help("remove one of the two; a longer prefix may have a target of its own"),
                    );
                }
                Entry::Vacant(free) => {
                    free.insert(written.place.clone());
                    rules.extend(to.map(|to| PathRule::new(&prefix, to, horizon)));
                }
            }
        }
        PathRules::new(rules)
    }

    /// Reports a mirror that no client could be sent to for a file.
    fn check_each_has_files(&mut self, horizon: &HorizonConfig, name: &PlacedText, mirrors: &MirrorsConfig) {
        let file = TemplateValues { blob: None, path: "", rest: "" };
        let has_files = |url: &UrlTemplate| url.fill(&file).is_some();
        let lacks_url = |id: &MirrorId| {
            !mirrors.entries[id.index()].mirror.content.url.as_ref().is_some_and(has_files)
                && !mirrors.broken.contains(id)
        };
        let Some(id) = horizon.mirrors().find(lacks_url) else { return };
        let MirrorEntry { mirror, place, .. } = &mirrors.entries[id.index()];
        self.report(
            Diagnostic::error("mirror-without-files", format!("mirror `{}` has no `url` for files", mirror.name))
                .at(place.clone(), "cannot be asked for a file")
                .related(name.place.clone(), "this horizon names it")
                .help("add `url = \"https://files.example.com/{rest}\"`; other placeholders than `{rest}` and `{path}` are for blobs"),
        );
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

    /// Warns if clients would send the registry's bearer tokens to the host of `blobs`.
    fn check_tokens(&mut self, blobs: &UpstreamConfig, canonical: &UpstreamConfig, place: &Place) {
        let host = host_of(blobs);
        if host.strip_suffix(host_of(canonical)).is_some_and(|rest| rest.ends_with('.')) {
            self.report(
                Diagnostic::warning("blobs-below-canonical", format!("`{host}` is below `{}`", host_of(canonical)))
                    .at(place.clone(), "gets the clients' bearer tokens")
                    .help("Go clients send a host's tokens on to its sub-domains; use a sibling of it for blobs"),
            );
        }
    }

    /// Reports that no steered owner is the host of `blobs`.
    fn report_unsteered(&mut self, blobs: &UpstreamConfig, place: &Place, target: BlobTarget, zones: &[ZoneConfig]) {
        let host = host_of(blobs);
        let owners: Vec<String> =
            zones.iter().flat_map(|zone| &zone.steer).map(|steer| steer.owner.as_name().to_string()).collect();
        let message = format!("`{host}` is not a steered owner");
        let known = owners.iter().map(String::as_str);
        let help = did_you_mean(host, "steered owners", known.clone());
        // `direct` needs a horizon, because it redirects to a mirror.
        let problem = match target {
            BlobTarget::MirrorHost => Diagnostic::error("blobs-not-steered", message),
            BlobTarget::SteeredName => Diagnostic::warning("blobs-not-steered", message),
        };
        let problem = problem.at(place.clone(), "no horizon decides for it").help(help);
        // Either of the two names may be the misspelt one.
        let meant = nearest(host, known).and_then(|near| owners.iter().position(|owner| owner == near));
        let meant = meant.and_then(|at| zones.iter().flat_map(|zone| &zone.steer).nth(at));
        self.report(match meant {
            Some(steer) => problem.related(steer.place.clone(), format!("`{}` is steered here", steer.owner)),
            None => problem,
        });
    }

    /// Reports a mirror that clients could reach by the steered name alone, which `blobs` does not give.
    fn check_each_has_url(&mut self, horizon: &HorizonConfig, name: &PlacedText, mirrors: &MirrorsConfig) {
        let has_no_url =
            |id: &MirrorId| mirrors.entries[id.index()].mirror.content.url.is_none() && !mirrors.broken.contains(id);
        let of_steered_name = horizon.mirrors().find(has_no_url).map(|id| &mirrors.entries[id.index()]);
        let Some(MirrorEntry { mirror, place, .. }) = of_steered_name else { return };
        self.report(
            Diagnostic::error("missing-key", format!("`blobs` is missing, and mirror `{}` has no `url`", mirror.name))
                .at(place.clone(), "is reached by the steered name alone")
                .related(name.place.clone(), "this horizon names it")
                .help(
                    "add `blobs = \"https://blob.example.com\"`, the URL of the steered name, or a `url` to the mirror",
                ),
        );
    }

    /// Reports a configuration that serves nothing: no zone, and no horizon of the registry listener.
    pub(super) fn check_deployment(&mut self, spec: &Spec) {
        let has_horizon = spec.registry.as_ref().is_some_and(|registry| registry.horizon.is_some());
        if spec.zones.0.is_empty()
            && !has_horizon
            && let Some(registry) = &spec.registry
        {
            self.report(
                Diagnostic::error("no-zone", "no zone is configured").at(registry.table.place.clone(), "no `horizon` either").help(
                    "add `[[zone]]` with the steered name; or `horizon = \"…\"` here, if each mirror has a `url` of its own",
                ),
            );
        }
        if spec.dns.listen.as_ref().is_some_and(Vec::is_empty)
            && !spec.zones.0.is_empty()
            && !self.has_lost_reference("wrong-type")
        {
            self.report(
                Diagnostic::error("empty-list", "`listen` is an empty list, and a zone is configured")
                    .at(spec.dns.table.place.clone(), "no address to answer at")
                    .help("write addresses, or leave `listen` out for `127.0.0.1:5300` and `[::1]:5300`"),
            );
        }
    }

    /// A redirect straight to a mirror needs its name.
    pub(super) fn check_direct(
        &mut self,
        registry: &RegistryConfig,
        spec: &Spec,
        horizons: &[HorizonConfig],
        mirrors: &[MirrorEntry],
    ) {
        let (BlobTarget::MirrorHost, Some(horizon)) = (registry.blob_target, registry.horizon) else { return };
        let direct = spec.registry.as_ref().and_then(|registry| registry.direct.as_ref());
        let mut ids: Vec<_> = horizons[horizon.index()].mirrors().collect();
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            let MirrorEntry { mirror, place, .. } = &mirrors[id.index()];
            // A malformed host has been reported.
            let is_written = spec.mirrors[id.index()].keys.as_ref().is_some_and(|keys| keys.host.is_some());
            if mirror.host.is_some() || is_written {
                continue;
            }
            let message = format!("mirror `{}` has no host, which `direct = true` needs", mirror.name);
            let mut problem = Diagnostic::error("direct-without-host", message)
                .at(place.clone(), "no `host`")
                .help("add `host = \"…\"`: a name of its own that its certificate holds, or remove `direct`");
            if let Some(direct) = direct {
                problem = problem.related(direct.place.clone(), "blobs are redirected to the mirrors' own hosts");
            }
            self.report(problem);
        }
    }
}
