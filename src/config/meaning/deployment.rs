//! The needs of each way to serve: a zone or a horizon, and a host of each mirror for `direct`.
//!
//! **Not here**: the horizon that decides for blobs ([`crate::config::blobs`]), loops ([`super::upstreams`]).

use crate::base::diagnostic::Diagnostic;
use crate::config::check::Check;
use crate::config::spec::Spec;
use crate::config::{BlobTarget, HorizonConfig, MirrorEntry, RegistryConfig};

impl Check<'_> {
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
