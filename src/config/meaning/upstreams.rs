//! The URLs of `[registry]`: loops, in which a redirected request would come back, and plain HTTP.
//!
//! **Not here**: the form of a URL ([`crate::config::value`]).

use std::net::{IpAddr, SocketAddr};

use crate::base::diagnostic::{Diagnostic, Place};
use crate::base::name::NameBuf;
use crate::config::check::Check;
use crate::config::registry::RegistrySpec;
use crate::config::value::{self, host_of};
use crate::config::{RegistryConfig, UpstreamConfig, ZoneConfig};

/// Names that serve nothing and redirect: k8s.gcr.io to registry.k8s.io since March 2023, and that to buckets and a
/// canonical registry, which is the work of this listener.
const REDIRECTING: [&str; 2] = ["k8s.gcr.io", "registry.k8s.io"];

impl Check<'_> {
    /// Reports upstreams that would send a request back here, or to the mirrors that lack the requested object.
    pub(super) fn check_loops(&mut self, spec: &RegistrySpec, registry: &RegistryConfig, zones: &[ZoneConfig]) {
        let upstreams = [
            ("canonical", &spec.canonical, Some(&registry.canonical)),
            ("signatures", &spec.signatures, registry.signatures.as_ref()),
        ];
        for (key, text, upstream) in upstreams {
            if let (Some(text), Some(upstream)) = (text, upstream) {
                self.check_loop(key, &text.place, upstream, registry, zones);
            }
        }
    }

    /// Warns of URLs over plain HTTP, because the network between may change what clients pull by tag. A registry on this machine
    /// is exempt.
    pub(super) fn check_schemes(&mut self, spec: &RegistrySpec) {
        let keys = [
            ("canonical", &spec.canonical),
            ("blobs", &spec.blobs),
            ("signatures", &spec.signatures),
            ("info", &spec.info),
            ("privacy", &spec.privacy),
        ];
        for (key, text) in keys {
            let Some(text) = text else { continue };
            if value::plain_host(&text.value).is_some_and(|host| !value::is_loopback(&host)) {
                self.report(
                    Diagnostic::warning(
                        "plain-http",
                        format!("`{key}` is http: clients are redirected to it unencrypted"),
                    )
                    .at(text.place.clone(), "not https")
                    .help("write `https://…`; container engines refuse registries over http unless each is configured"),
                );
            }
        }
    }

    fn check_loop(
        &mut self,
        key: &str,
        place: &Place,
        upstream: &UpstreamConfig,
        registry: &RegistryConfig,
        zones: &[ZoneConfig],
    ) {
        let host = host_of(upstream);
        let name = NameBuf::parse(host).ok();
        let mut owners = zones.iter().flat_map(|zone| &zone.steer).map(|steer| &steer.owner);
        let is_blobs = registry.blobs.as_ref().is_some_and(|blobs| blobs.authority == upstream.authority);
        if is_blobs || owners.any(|owner| name.as_ref() == Some(owner)) {
            self.report(
                Diagnostic::error("upstream-is-steered", format!("`{key}` is at the steered name `{host}`"))
                    .at(place.clone(), "clients would go to the mirrors")
                    .help("name the registry that the mirrors copy from"),
            );
        } else if let Some(listen) = registry.listen.iter().find(|listen| is_at(upstream, **listen)) {
            self.report(
                Diagnostic::error("upstream-is-listener", format!("`{key}` is this listener, `{listen}`"))
                    .at(place.clone(), "clients would be sent back here, again and again")
                    .help("name the registry behind it"),
            );
        } else if REDIRECTING.contains(&host) {
            self.report(
                Diagnostic::warning("upstream-redirects", format!("`{host}` redirects pulls and serves none"))
                    .at(place.clone(), "a loop, if this listener answers for registry.k8s.io")
                    .help(
                        "name a registry that serves, like \
                         `https://us-central1-docker.pkg.dev/k8s-artifacts-prod/images`",
                    ),
            );
        }
    }
}

/// True if the text of an upstream names an address that is listened on.
fn is_at(upstream: &UpstreamConfig, listen: SocketAddr) -> bool {
    let host = upstream.host();
    let is_here = |address: IpAddr| {
        let address = address.to_canonical();
        let any = listen.ip().is_unspecified() && address.is_ipv4() == listen.is_ipv4();
        address == listen.ip() || any && (address.is_loopback() || address.is_unspecified())
    };
    let matches = match host.parse::<IpAddr>() {
        Ok(address) => is_here(address),
        Err(_) => host == "localhost" && (listen.ip().is_loopback() || listen.ip().is_unspecified()),
    };
    matches && upstream.port() == listen.port()
}
