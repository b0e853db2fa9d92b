//! The needs of each way to serve: a zone or a horizon, and a host of each mirror for `direct`.
//!
//! **Not here**: the horizon that decides for blobs ([`crate::config::blobs`]), loops ([`super::upstreams`]).

use std::collections::BTreeSet;

use crate::base::diagnostic::Diagnostic;
use crate::config::check::Check;
use crate::config::spec::Spec;
use crate::config::{HorizonConfig, MirrorEntry, RegistryConfig};

impl Check<'_> {
    /// Reports a configuration that serves nothing: no zone, and no horizon of the registry listener.
    pub(super) fn check_deployment(&mut self, spec: &Spec) {
        if let Some(registry) = spec.registry.as_ref().filter(|registry| registry.horizon.is_none())
            && spec.zones.0.is_empty()
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
        let direct = spec.registry.as_ref().and_then(|registry| registry.direct.as_ref());
        let (Some(direct), Some(horizon)) = (direct.filter(|direct| direct.value), registry.horizon) else { return };
        for id in horizons[horizon.index()].mirrors().collect::<BTreeSet<_>>() {
            let MirrorEntry { mirror, place, .. } = &mirrors[id.index()];
            // A malformed host has been reported.
            if mirror.host.is_some() || spec.mirrors[id.index()].keys.host.is_some() {
                continue;
            }
            let message = format!("mirror `{}` has no host, which `direct = true` needs", mirror.name);
            self.report(
                Diagnostic::error("direct-without-host", message)
                    .at(place.clone(), "no `host`")
                    .related(direct.place.clone(), "blobs are redirected to the mirrors' own hosts")
                    .help("add `host = \"…\"`: a name of its own that its certificate holds, or remove `direct`"),
            );
        }
    }
}
