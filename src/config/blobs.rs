//! `blobs` and `horizon` of `[registry]`: the horizon that decides for blobs.
//!
//! **Not here**: the other keys of `[registry]` ([`super::registry`]), loops ([`super::meaning`]).

use super::check::Check;
use super::mirrors::MirrorsConfig;
use super::value::{UpstreamConfig, host_of};
use super::{BlobTarget, HorizonConfig, MirrorEntry, PlacedText, Steer, ZoneConfig};
use crate::base::diagnostic::{Diagnostic, Place, did_you_mean, nearest};
use crate::base::name::NameBuf;

/// The steered owner that is the host of `blobs`.
pub(super) fn steer_of<'z>(blobs: &UpstreamConfig, zones: &'z [ZoneConfig]) -> Option<&'z Steer> {
    let name = NameBuf::parse(host_of(blobs)).ok();
    zones.iter().flat_map(|zone| &zone.steer).find(|steer| name.as_ref() == Some(&steer.owner))
}

pub(super) fn other_horizon(name: &PlacedText, steer: &Steer) -> Diagnostic {
    let message = format!("`{}` decides for the registry, and another horizon for `{}`", name.value, steer.owner);
    Diagnostic::error("two-horizons", message)
        .at(name.place.clone(), "not the one of the steered owner")
        .related(steer.place.clone(), "steered here")
        .help("leave `horizon` out: that of the steered owner named by `blobs` is used")
}

impl Check<'_> {
    /// Warns if clients would send the registry's bearer tokens to the host of `blobs`.
    pub(super) fn check_tokens(&mut self, blobs: &UpstreamConfig, canonical: &UpstreamConfig, place: &Place) {
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
    pub(super) fn report_unsteered(
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
    pub(super) fn check_each_has_url(&mut self, horizon: &HorizonConfig, name: &PlacedText, mirrors: &MirrorsConfig) {
        let of_steered_name = mirrors.lacking(horizon.mirrors(), |mirror| mirror.content.url.is_some());
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
}
