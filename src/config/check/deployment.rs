//! The registry with the zones, horizons and mirrors: the horizon that decides for blobs, and the needs of each way to serve.
//!
//! **Not here**: the keys of `[registry]` ([`crate::config::registry`]), loops ([`super::upstreams`]).

use super::Check;
use crate::base::diagnostic::{Diagnostic, Place, did_you_mean, nearest};
use crate::base::ids::MirrorId;
use crate::base::name::NameBuf;
use crate::config::mirrors::MirrorsConfig;
use crate::config::spec::{PlacedText, Spec};
use crate::config::value::host_of;
use crate::config::{BlobTarget, HorizonConfig, MirrorEntry, RegistryConfig, Steer, UpstreamConfig, ZoneConfig};

/// The steered owner that is the host of `blobs`.
pub(in crate::config) fn steer_of<'z>(blobs: &UpstreamConfig, zones: &'z [ZoneConfig]) -> Option<&'z Steer> {
    let name = NameBuf::parse(host_of(blobs)).ok();
    zones.iter().flat_map(|zone| &zone.steer).find(|steer| name.as_ref() == Some(&steer.owner))
}

pub(in crate::config) fn other_horizon(name: &PlacedText, steer: &Steer) -> Diagnostic {
    let message = format!("`{}` decides for the registry, and another horizon for `{}`", name.value, steer.owner);
    Diagnostic::error("two-horizons", message)
        .at(name.place.clone(), "not the one of the steered owner")
        .related(steer.place.clone(), "steered here")
        .help("leave `horizon` out: that of the steered owner named by `blobs` is used")
}

impl Check<'_> {
    /// Warns if clients would send the registry's bearer tokens to the host of `blobs`.
    pub(in crate::config) fn check_tokens(
        &mut self,
        blobs: &UpstreamConfig,
        canonical: &UpstreamConfig,
        place: &Place,
    ) {
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
    pub(in crate::config) fn report_unsteered(
        &mut self,
        blobs: &UpstreamConfig,
        place: &Place,
        target: BlobTarget,
        zones: &[ZoneConfig],
    ) {
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
    pub(in crate::config) fn check_each_has_url(
        &mut self,
        horizon: &HorizonConfig,
        name: &PlacedText,
        mirrors: &MirrorsConfig,
    ) {
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
    pub(in crate::config) fn check_deployment(&mut self, spec: &Spec) {
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
    pub(in crate::config) fn check_direct(
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
