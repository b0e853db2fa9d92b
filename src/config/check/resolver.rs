//! `[resolver]`: how the hosts of mirrors are resolved.
//!
//! **Invariants**: the least TTL is not above the greatest.
//! **Not here**: resolving ([`crate::load::hosts`], [`crate::hosts`]).

use std::time::Duration;

use super::Check;
use crate::base::diagnostic::Diagnostic;
use crate::config::spec::{MirrorSpec, ResolverSpec};
use crate::config::{Placed, Resolver, Zone, limits};
use crate::mirror::is_steered;

impl Check<'_> {
    pub(super) fn check_resolver(&mut self, spec: Option<&ResolverSpec>) -> Resolver {
        let default = Resolver::default();
        let Some(spec) = spec else { return default };
        if let Some(over) = spec.servers.as_ref().and_then(|texts| texts.get(limits::MAX_SERVERS)) {
            let message = format!("there are more than {} resolvers", limits::MAX_SERVERS);
            let help = "keep those that answer best; two are asked at once, and the others when they fail";
            self.report(Diagnostic::error("too-many", message).at(over.place.clone(), "one too many").help(help));
        }
        let time = |time: &Option<Placed<Duration>>, default| time.as_ref().map_or(default, |time| time.value);
        let least_ttl = time(&spec.least_ttl, default.least_ttl);
        if let Some(greatest) = spec.greatest_ttl.as_ref().filter(|greatest| greatest.value < least_ttl) {
            self.report(
                Diagnostic::error("ttl-bounds", "`greatest-ttl` is shorter than `least-ttl`")
                    .at(greatest.place.clone(), format!("less than {least_ttl:?}"))
                    .help("make it at least as long: TTLs of hosts are brought between the two"),
            );
        }
        Resolver {
            servers: spec.servers.iter().flatten().filter_map(|text| self.check_server(text)).collect(),
            timeout: time(&spec.timeout, default.timeout),
            least_ttl,
            greatest_ttl: time(&spec.greatest_ttl, default.greatest_ttl.max(least_ttl)),
            private: spec.private.as_ref().map(|texts| self.check_prefixes(texts)).unwrap_or_default(),
            state: spec.state.as_ref().and_then(|state| self.path(state)),
        }
    }

    /// A mirror must not follow a name whose addresses come from mirrors.
    pub(super) fn check_hosts(&mut self, specs: &[MirrorSpec], mirrors: &[super::super::MirrorEntry], zones: &[Zone]) {
        let steered: Vec<_> = zones.iter().flat_map(|zone| &zone.steer).map(|steer| steer.owner.clone()).collect();
        for (spec, entry) in specs.iter().zip(mirrors) {
            let Some((text, host)) = spec.host.as_ref().zip(entry.mirror.followed_host()) else { continue };
            let name = crate::base::name::NameBuf::parse(host);
            if name.is_ok_and(|name| is_steered(name.as_name(), &steered)) {
                self.report(
                    Diagnostic::error("steered-host", format!("`{host}` is steered: its addresses come from mirrors"))
                        .at(text.place.clone(), "a mirror cannot follow it")
                        .help("write a name of the mirror's own, or its `addresses`"),
                );
            }
        }
    }
}
