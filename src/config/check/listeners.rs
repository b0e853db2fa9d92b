//! `[dns]`, `[registry]` and `[admin]`: where to listen, and where to send pull clients.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Check;
use crate::base::diagnostic::{Diagnostic, Place, did_you_mean, nearest};
use crate::base::ids::HorizonId;
use crate::base::name::NameBuf;
use crate::config::spec::{ConnectionsSpec, DnsSpec, Number, RegistrySpec, RrlSpec, Spec, Text, TlsSpec, ZoneSpec};
use crate::config::value::{self, Fault, host_of};
use crate::config::{
    Ask, BlobTarget, Connections, Dns, Encrypted, Horizon, Https, MirrorEntry, Placed, Probe, Registry, Rrl,
    SecretsFile, TlsFiles, Upstream, Zone, limits,
};

impl Check<'_> {
    pub(super) fn check_dns(&mut self, spec: &DnsSpec) -> Dns {
        // Ranges have been checked when they were read: every number here fits its type.
        let number = |number: &Option<Number>| number.as_ref().and_then(|number| usize::try_from(number.value).ok());
        let tcp_connections = number(&spec.tcp_connections).unwrap_or(limits::TCP_CONNECTIONS_DEFAULT);
        let per_client = limits::TCP_CONNECTIONS_PER_CLIENT_DEFAULT.min(tcp_connections);
        let payload = number(&spec.udp_payload).and_then(|payload| u16::try_from(payload).ok());
        Dns {
            listen: match &spec.listen {
                Some(texts) => self.check_listen(texts),
                None => limits::DNS_LISTEN.to_vec(),
            },
            listen_is_default: spec.listen.is_none(),
            udp_threads: number(&spec.udp_threads),
            udp_batch: number(&spec.udp_batch).unwrap_or(limits::UDP_BATCH_DEFAULT),
            udp_payload: payload.unwrap_or(limits::UDP_PAYLOAD_DEFAULT),
            tcp_connections,
            tcp_connections_per_client: number(&spec.tcp_connections_per_client).unwrap_or(per_client),
            tcp_idle: spec.tcp_idle.as_ref().map_or(limits::TCP_IDLE_DEFAULT, |idle: &_| -> Duration { idle.value }),
            ecs_from: spec.ecs_from.as_ref().map(|texts| self.check_prefixes(texts)),
            cookie_secrets: spec.cookie_secrets.as_ref().and_then(|text| {
                let path = self.path(text)?;
                Some(SecretsFile { path, file: text.value.clone(), place: text.place.clone() })
            }),
            nsid: spec.nsid.as_ref().and_then(|text| self.check_saying(text, limits::MAX_NSID)),
            identity: spec.identity.as_ref().and_then(|text| self.check_saying(text, limits::MAX_CHAOS)),
            version: spec.version.as_ref().and_then(|text| self.check_saying(text, limits::MAX_CHAOS)),
            rrl: spec.rrl.as_ref().map(|rrl| self.check_rrl(rrl)),
            encrypted: self.check_encrypted(spec),
        }
    }

    fn check_rrl(&mut self, spec: &RrlSpec) -> Rrl {
        let small = |number: &Option<Number>, default| {
            number.as_ref().and_then(|number| u8::try_from(number.value).ok()).unwrap_or(default)
        };
        let responses = spec.responses_per_second.as_ref().and_then(|number| u32::try_from(number.value).ok());
        Rrl {
            responses_per_second: responses.unwrap_or(limits::RRL_RESPONSES_DEFAULT),
            window: spec.window.as_ref().map_or(limits::RRL_WINDOW_DEFAULT, |window| window.value),
            slip: small(&spec.slip, limits::RRL_SLIP_DEFAULT),
            ipv4_prefix: small(&spec.ipv4_prefix, limits::RRL_IPV4_PREFIX_DEFAULT),
            ipv6_prefix: small(&spec.ipv6_prefix, limits::RRL_IPV6_PREFIX_DEFAULT),
            exempt: spec.exempt.as_ref().map(|texts| self.check_prefixes(texts)).unwrap_or_default(),
        }
    }

    /// All encrypted listeners go by one certificate, that of `[dns.tls]`.
    fn check_encrypted(&mut self, spec: &DnsSpec) -> Option<Encrypted> {
        let Some(tls) = &spec.tls else {
            let https = spec.https.as_ref().map(|https| &https.place);
            for place in https.into_iter().chain(spec.quic.as_ref().map(|quic| &quic.place)) {
                self.report(
                    Diagnostic::error("no-certificate", "encrypted DNS needs a certificate")
                        .at(place.clone(), "there is no `[dns.tls]`")
                        .help("add `[dns.tls]` with `cert = \"fullchain.pem\"` and `key = \"privkey.pem\"`"),
                );
            }
            return None;
        };
        let listen = |check: &mut Self, texts: &[Text]| check.check_addresses(texts, value::encrypted_address);
        let https = spec.https.as_ref().map(|https| Https {
            listen: listen(self, &https.listen),
            path: match &https.path {
                // A path that is wrong has been reported, which is the end of this config.
                Some(path) => self.parse(path, value::path).unwrap_or_default(),
                None => limits::HTTPS_PATH.into(),
            },
        });
        let quic = spec.quic.as_ref().map(|quic| listen(self, &quic.listen)).unwrap_or_default();
        let listen = listen(self, &tls.listen);
        Some(Encrypted { files: self.check_tls(&tls.files)?, tls: listen, https, quic })
    }

    /// A text that goes into replies as it stands.
    fn check_saying(&mut self, text: &Text, max_len: usize) -> Option<Arc<str>> {
        let told = self.parse(text, value::word)?;
        if told.len() > max_len {
            self.report(
                Diagnostic::error("out-of-range", format!("this text has {} octets", told.len()))
                    .at(text.place.clone(), "too long for a reply")
                    .help(format!("keep it to {max_len} octets")),
            );
            return None;
        }
        Some(told)
    }

    /// As for DNS: a default per client is never more than all.
    pub(super) fn check_connections(&self, spec: &ConnectionsSpec, default: usize, per_client: usize) -> Connections {
        let number = |number: &Option<Number>| number.as_ref().and_then(|number| usize::try_from(number.value).ok());
        let all = number(&spec.all).unwrap_or(default);
        Connections {
            all,
            per_client: number(&spec.per_client).unwrap_or(per_client.min(all)),
            idle: spec.idle.as_ref().map_or(limits::HTTP_IDLE_DEFAULT, |idle| idle.value),
        }
    }

    pub(super) fn check_registry(
        &mut self,
        spec: &RegistrySpec,
        zone_specs: &[ZoneSpec],
        zones: &[Zone],
    ) -> Option<Registry> {
        let upstream = |check: &mut Self, text: &Option<Text>| check.parse(text.as_ref()?, value::upstream);
        let page = |check: &mut Self, text: &Option<Text>| check.parse(text.as_ref()?, value::page);
        let listen = self.check_listen(&spec.listen);
        let [all, each] = [limits::REGISTRY_CONNECTIONS_DEFAULT, limits::REGISTRY_CONNECTIONS_PER_CLIENT_DEFAULT];
        let connections = self.check_connections(&spec.connections, all, each);
        let canonical = upstream(self, &spec.canonical);
        let blobs = upstream(self, &spec.blobs);
        let signatures = upstream(self, &spec.signatures);
        let (info, privacy) = (page(self, &spec.info), page(self, &spec.privacy));
        let trusted_proxies = self.check_prefixes(&spec.trusted_proxies);
        let tls = spec.tls.as_ref().and_then(|tls| self.check_tls(tls));
        let blob_target = match &spec.direct {
            Some(direct) if direct.value => BlobTarget::MirrorHost,
            _ => BlobTarget::SteeredName,
        };
        let (canonical, blobs) = (canonical?, blobs?);
        let place = &spec.blobs.as_ref()?.place;
        self.check_tokens(&blobs, &canonical, place);
        // Where a steered owner is wrong, it may be the one.
        let written: usize = zone_specs.iter().map(|zone| zone.steer.len()).sum();
        let meant: usize = zones.iter().map(|zone| zone.steer.len()).sum();
        let horizon = if written == meant { self.check_blobs(&blobs, place, blob_target, zones) } else { None };
        Some(Registry {
            listen,
            connections,
            canonical,
            blobs,
            horizon,
            signatures,
            info,
            privacy,
            trusted_proxies,
            blob_target,
            ask: None,
            ask_canonical: None,
            tls,
        })
    }

    /// How mirrors are asked for blobs, and canonical for signatures: mirrors, unless told otherwise, if they are probed, by
    /// the same name and roots; canonical if there is a place for signatures.
    pub(super) fn check_ask(
        &mut self,
        spec: &RegistrySpec,
        registry: &Registry,
        probe: Option<&Probe>,
    ) -> (Option<Ask>, Option<Ask>) {
        let RegistrySpec { ask, ask_wait, ask_keep, ask_lacking, .. } = spec;
        let wanted = ask.as_ref().map(|ask| ask.value);
        let times = [ask_wait, ask_keep, ask_lacking].into_iter().flatten().map(|time| &time.place).next();
        let times = times.filter(|_| registry.signatures.is_none());
        let asked_for = ask.as_ref().filter(|ask| ask.value).map(|ask| &ask.place).or(times);
        if let Some(place) = asked_for
            && (probe.is_none() || wanted == Some(false))
        {
            let (message, help) = match probe {
                None => ("mirrors can be asked for blobs only where they are probed", "add a table `[probe]`"),
                Some(_) => ("how to ask mirrors is set, but they are not asked", "remove it, or `ask = false`"),
            };
            self.report(Diagnostic::error("ask-without-probe", message).at(place.clone(), "has no effect").help(help));
        }
        let time = |time: &Option<Placed<Duration>>, default| time.as_ref().map_or(default, |time| time.value);
        let meant = Ask {
            wait: time(ask_wait, limits::ASK_WAIT_DEFAULT),
            keep: time(ask_keep, limits::ASK_KEEP_DEFAULT),
            lacking: time(ask_lacking, limits::ASK_LACKING_DEFAULT),
        };
        let of_mirrors = probe.is_some() && registry.horizon.is_some() && wanted != Some(false);
        (of_mirrors.then_some(meant), registry.signatures.as_ref().map(|_| meant))
    }

    /// Warns where the blobs' host gets tokens that are none of its business.
    fn check_tokens(&mut self, blobs: &Upstream, canonical: &Upstream, place: &Place) {
        let host = host_of(blobs);
        if host.strip_suffix(host_of(canonical)).is_some_and(|rest| rest.ends_with('.')) {
            self.report(
                Diagnostic::warning("blobs-below-canonical", format!("`{host}` is below `{}`", host_of(canonical)))
                    .at(place.clone(), "gets the clients' bearer tokens")
                    .help("Go clients send a host's tokens on to its sub-domains; use a sibling of it for blobs"),
            );
        }
    }

    /// The horizon of the blobs' host.
    fn check_blobs(
        &mut self,
        blobs: &Upstream,
        place: &Place,
        target: BlobTarget,
        zones: &[Zone],
    ) -> Option<HorizonId> {
        let host = host_of(blobs);
        let name = NameBuf::parse(host).ok();
        let mut steers = zones.iter().flat_map(|zone| &zone.steer);
        let steer = steers.find(|steer| name.as_ref() == Some(&steer.owner));
        if steer.is_none() {
            let owners: Vec<String> =
                zones.iter().flat_map(|zone| &zone.steer).map(|steer| steer.owner.as_name().to_string()).collect();
            let message = format!("`{host}` is not a steered owner");
            let known = owners.iter().map(String::as_str);
            let help = did_you_mean(host, "steered owners", known.clone());
            // Without a horizon there is no mirror to redirect to, which is all that `direct` is about.
            let problem = match target {
                BlobTarget::MirrorHost => Diagnostic::error("blobs-not-steered", message),
                BlobTarget::SteeredName => Diagnostic::warning("blobs-not-steered", message),
            };
            let problem = problem.at(place.clone(), "no horizon decides for it").help(help);
            // Either of the two may be the one that is misspelt.
            let meant = nearest(host, known).and_then(|near| owners.iter().position(|owner| owner == near));
            let meant = meant.and_then(|at| zones.iter().flat_map(|zone| &zone.steer).nth(at));
            self.report(match meant {
                Some(steer) => problem.related(steer.place.clone(), format!("`{}` is steered here", steer.owner)),
                None => problem,
            });
        }
        steer.map(|steer| steer.horizon)
    }

    /// A redirect straight to a mirror needs its name.
    pub(super) fn check_direct(
        &mut self,
        registry: &Registry,
        spec: &Spec,
        horizons: &[Horizon],
        mirrors: &[MirrorEntry],
    ) {
        let (BlobTarget::MirrorHost, Some(horizon)) = (registry.blob_target, registry.horizon) else { return };
        let direct = spec.registry.as_ref().and_then(|registry| registry.direct.as_ref());
        let mut ids: Vec<_> = horizons[horizon.index()].mirrors().collect();
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            let MirrorEntry { mirror, place, .. } = &mirrors[id.index()];
            // A host that is written wrong has been reported.
            if mirror.host.is_some() || spec.mirrors[id.index()].host.is_some() {
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

    pub(super) fn check_listen(&mut self, texts: &[Text]) -> Vec<SocketAddr> {
        self.check_addresses(texts, value::socket_address)
    }

    /// The addresses of one `listen`; notes where they are written.
    fn check_addresses(
        &mut self,
        texts: &[Text],
        parse: impl Fn(&str) -> Result<SocketAddr, Fault>,
    ) -> Vec<SocketAddr> {
        let mut addresses = Vec::with_capacity(texts.len());
        for text in texts {
            if let Some(address) = self.parse(text, &parse) {
                addresses.push(address);
                self.written_addresses.push(Placed { value: address, place: text.place.clone() });
            }
        }
        addresses
    }

    pub(super) fn check_prefixes(&mut self, texts: &[Text]) -> Vec<crate::base::prefix::Prefix> {
        self.parse_all(texts, value::prefix).into_iter().map(|prefix| prefix.value).collect()
    }

    fn check_tls(&mut self, spec: &TlsSpec) -> Option<TlsFiles> {
        let mut file = |text: &Option<Text>| {
            let text = text.as_ref()?;
            Some((self.path(text)?, text.place.clone()))
        };
        let (cert, key) = (file(&spec.cert), file(&spec.key));
        let ((cert, cert_place), (key, key_place)) = (cert?, key?);
        Some(TlsFiles { cert, key, cert_place, key_place })
    }

    /// No address is listened on twice, over TCP or over UDP.
    pub(super) fn check_listeners(&mut self, spec: &Spec) {
        let dns = || spec.dns.listen.iter().flatten();
        let tls = spec.dns.tls.iter().flat_map(|tls| &tls.listen);
        let https = spec.dns.https.iter().flat_map(|https| &https.listen);
        let registry = spec.registry.iter().flat_map(|registry| &registry.listen);
        let admin = spec.admin.iter().flat_map(|admin| &admin.listen);
        let quic = spec.dns.quic.iter().flat_map(|quic| &quic.listen);
        self.check_distinct(dns().chain(tls).chain(https).chain(registry).chain(admin));
        // Over UDP; what stands twice under `[dns] listen` alone has been reported.
        let mut seen = HashSet::new();
        self.check_distinct(dns().filter(|text| seen.insert(&text.value)).chain(quic));
    }

    /// Port 0 is a port of its own each time.
    fn check_distinct<'t>(&mut self, texts: impl Iterator<Item = &'t Text>) {
        let mut first: HashMap<SocketAddr, &Place> = HashMap::new();
        for text in texts {
            let Ok(address) = text.value.parse::<SocketAddr>() else { continue };
            if address.port() == 0 {
                continue;
            }
            match first.get(&address) {
                None => {
                    first.insert(address, &text.place);
                }
                Some(before) => self.problems.push(
                    Diagnostic::error("duplicate-listen", format!("`{address}` is listened on twice"))
                        .at(text.place.clone(), "again here")
                        .related((*before).clone(), "first here")
                        .help("remove one of the two, or use another port"),
                ),
            }
        }
    }
}
