//! The view of the status of the server.
//!
//! **Not here**: the keys of the view and the views of mirrors ([`super`]).

use std::path::PathBuf;
use std::sync::Arc;

use super::{
    CertificateView, FetchView, OverriddenView, PanicView, RefusedView, ReloadView, SourceView, StatusView,
    TroubleView, UnwrittenView, ZoneView, addresses,
};
use crate::base::ids::MirrorId;
use crate::base::prefix::Family;
use crate::base::time::UnixTime;
use crate::base::when::rfc3339;
use crate::control::desk::{About, ListenerCertificate};
use crate::inspect::view::{AddressView, OverrideView};
use crate::live::{FetchState, Readiness};
use crate::mirror::Health;
use crate::networks::Source;
use crate::process::Clock;
use crate::process::state::Failing;
use crate::snapshot::Snapshot;

/// The status of the server.
///
/// `age_ms` is the time since the snapshot was published, `uptime_ms` the time since the process started.
pub(in crate::control) fn status(
    snapshot: &Snapshot,
    readiness: &Readiness,
    about: &About,
    failing: &[(PathBuf, Failing)],
    age_ms: u64,
    uptime_ms: u64,
) -> StatusView {
    let (now, probes) = (Clock::civil(), about.probes.as_deref());
    let ids = || (0..snapshot.mirrors().len()).map(MirrorId::from_index);
    let troubles = ids().flat_map(|id| {
        let troubled = addresses(snapshot, id, probes).into_iter().filter(AddressView::is_troubled);
        let mirror = &snapshot.mirrors()[id.index()];
        troubled.map(|address| TroubleView {
            mirror: mirror.name.to_string(),
            contact: mirror.contact.as_deref().map(Into::into),
            address,
        })
    });
    let is_up = |id: &MirrorId| {
        if snapshot.mirrors()[id.index()].is_redirect_only() {
            return snapshot.redirect_health(*id) == Some(Health::Up);
        }
        let standing = snapshot.standing(*id);
        Family::ALL.into_iter().any(|family| standing.health(family) == Some(Health::Up))
    };
    let served = about.history.served();
    StatusView {
        version: env!("CARGO_PKG_VERSION").to_string(),
        obstacle: readiness.obstacle().map(Into::into),
        drain: readiness.drained().map(|order| OverrideView::of(&order)),
        generation: snapshot.generation.0,
        generation_age_seconds: age_ms / 1000,
        uptime_seconds: uptime_ms / 1000,
        mirrors: snapshot.mirrors().len(),
        mirrors_up: ids().filter(is_up).count(),
        probed: probes.is_some(),
        orders: snapshot.overrides().iter().map(|(name, order)| OverriddenView::of(name, order)).collect(),
        panics: snapshot
            .panics()
            .map(|(horizon, family)| PanicView { horizon: horizon.name.to_string(), family: family.as_str().into() })
            .collect(),
        troubles: troubles.collect(),
        zones: snapshot
            .zones()
            .iter()
            .map(|(_, zone)| ZoneView {
                name: zone.apex().to_string(),
                serial: zone.is_available().then(|| zone.serial()),
            })
            .collect(),
        unwritten: failing
            .iter()
            .map(|(path, failing)| UnwrittenView {
                file: path.display().to_string(),
                state: failing.kind.to_string(),
                error: failing.error.clone(),
                since: rfc3339(failing.since),
            })
            .collect(),
        config: about.history.config.clone(),
        config_digest: served.digest.to_string(),
        config_since: rfc3339(served.since),
        restart_keys: served.restart_keys.to_vec(),
        reload: about.history.last().map(|last| ReloadView {
            at: rfc3339(last.at),
            refused: last.refused,
            in_part: last.is_partial,
        }),
        networks: networks(snapshot, about, now),
        certificates: (about.certificates)()
            .into_iter()
            .map(|certificate| certificate_view(certificate, now))
            .collect(),
    }
}

fn networks(snapshot: &Snapshot, about: &About, now: UnixTime) -> Vec<SourceView> {
    let states = about.sources.all();
    let view = |source: &Arc<Source>| {
        let fetch = states.get(&source.name).and_then(|state| state.fetch.as_ref());
        let at = fetch.and_then(|fetch| fetch.checked).or(source.modified);
        SourceView {
            source: source.name.to_string(),
            file: source.file.to_string(),
            modified: source.modified.map(rfc3339),
            age_seconds: at.map(|at| now.0.saturating_sub(at.0)),
            fetch: fetch.map(fetch_view),
        }
    };
    snapshot.provenance().networks.sources.iter().map(view).collect()
}

fn fetch_view(fetch: &FetchState) -> FetchView {
    FetchView {
        url: fetch.url.to_string(),
        pinned: fetch.is_pinned,
        held_back: fetch.is_rejected,
        checked: fetch.checked.map(rfc3339),
        next: fetch.next.map(rfc3339),
        trouble: fetch.trouble.as_ref().map(|(_, outcome)| outcome.word().to_string()),
        since: fetch.trouble.as_ref().map(|(since, _)| rfc3339(*since)),
        reason: fetch.trouble.as_ref().and_then(|(_, outcome)| outcome.reason().map(Into::into)),
    }
}

fn certificate_view(certificate: ListenerCertificate, now: UnixTime) -> CertificateView {
    let ListenerCertificate { listener, ends, refused } = certificate;
    CertificateView {
        listener: listener.to_string(),
        ends: rfc3339(ends),
        seconds_left: i64::try_from(i128::from(ends.0) - i128::from(now.0)).unwrap_or(i64::MAX),
        refused: refused.map(|(since, error)| RefusedView { since: rfc3339(since), error }),
    }
}
