//! The view of the status of the server.
//!
//! **Not here**: the views of mirrors ([`super`]).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::sources::{SourceView, networks};
use super::{FleetView, OverriddenView, addresses};
use crate::base::ids::MirrorId;
use crate::base::prefix::Family;
use crate::base::time::{Moment, UnixTime};
use crate::base::when::rfc3339;
use crate::control::about::{About, ListenerCertificate};
use crate::fleet::PanicVotes;
use crate::inspect::view::{AddressView, OverrideView};
use crate::live::Readiness;
use crate::process::Clock;
use crate::process::state::Failing;
use crate::snapshot::Snapshot;
use crate::steer::Horizon;
use crate::telemetry::acme::{CredentialStanding, PeerStanding};
use crate::telemetry::probe::Probes;
use crate::telemetry::traffic::TrafficTotals;
use crate::zone::Zone;

/// `/status`
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct StatusView {
    pub(crate) version: String,
    /// The reason why `/ready` answers 503; null if it answers 200.
    pub(crate) obstacle: Option<String>,
    /// The override that takes this server out of service; null if there is none.
    pub(crate) drain: Option<OverrideView>,
    pub(crate) generation: u64,
    /// The duration for which this generation has been served.
    pub(crate) generation_age_seconds: u64,
    pub(crate) uptime_seconds: u64,
    /// The number of mirrors, and of those that are up.
    pub(crate) mirrors: usize,
    pub(crate) mirrors_up: usize,
    /// False without `[probe]`: every mirror counts as up, unless an override says otherwise.
    #[serde(default = "super::yes")]
    pub(crate) probed: bool,
    /// The overrides in force.
    pub(crate) orders: Vec<OverriddenView>,
    /// The horizons in panic.
    #[serde(default)]
    pub(crate) panics: Vec<PanicView>,
    /// The addresses that are not up, or whose certificates end soon.
    pub(crate) troubles: Vec<TroubleView>,
    pub(crate) zones: Vec<ZoneView>,
    /// The state files whose last write failed.
    #[serde(default)]
    pub(crate) unwritten: Vec<UnwrittenView>,
    /// The file of the configuration.
    #[serde(default)]
    pub(crate) config: String,
    /// SHA-256 of the files of the configuration that is served, and the time at which it was taken over.
    #[serde(default)]
    pub(crate) config_digest: String,
    #[serde(default)]
    pub(crate) config_since: String,
    /// The keys whose new values take a restart.
    #[serde(default)]
    pub(crate) restart_keys: Vec<String>,
    /// The last reload; null before the first.
    pub(crate) reload: Option<ReloadView>,
    /// The sources of networks.
    #[serde(default)]
    pub(crate) networks: Vec<SourceView>,
    /// The certificates of the listeners.
    #[serde(default)]
    pub(crate) certificates: Vec<CertificateView>,
    /// The credentials for ACME challenges.
    #[serde(default)]
    pub(crate) credentials: Vec<CredentialView>,
    /// The other servers that take ACME challenges.
    #[serde(default)]
    pub(crate) acme_peers: Vec<PeerStanding>,
    /// The fleet; null for a server alone.
    pub(crate) fleet: Option<FleetView>,
    /// The name of this server: that of NSID, else that in the fleet, else the name of the host; null without any of these.
    pub(crate) name: Option<String>,
    /// Counts since the start.
    pub(crate) traffic: Option<TrafficTotals>,
    /// True if the admin listener has a token.
    #[serde(default)]
    pub(crate) has_token: bool,
}

/// A credential for ACME challenges.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct CredentialView {
    pub(crate) credential: String,
    pub(crate) mirror: String,
    /// The number of its live tokens.
    pub(crate) live: usize,
    /// The time at which it last set a token, here or at a peer; null if it has set none.
    pub(crate) last_set: Option<String>,
    pub(crate) last_set_seconds: Option<u64>,
    /// The first end among the certificates of the mirror's addresses; null if no probe has seen one.
    pub(crate) certificate_ends: Option<String>,
}

/// A state file whose last write failed.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct UnwrittenView {
    pub(crate) file: String,
    /// The label `state` of `pharos_state_writes_total`.
    pub(crate) state: String,
    pub(crate) error: String,
    /// The time of the first failure since the last success.
    pub(crate) since: String,
}

/// The outcome of a reload.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct ReloadView {
    pub(crate) at: String,
    /// The first error with its place, or the first part that is served as before; null if all of the new configuration is served.
    pub(crate) refused: Option<String>,
    /// True if the new configuration is served all the same, without that part.
    #[serde(default)]
    pub(crate) in_part: bool,
}

/// The certificate of a listener.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct CertificateView {
    pub(crate) listener: String,
    /// The first end in its chain.
    pub(crate) ends: String,
    /// Negative after the end.
    pub(crate) seconds_left: i64,
    /// The error of changed files that cannot be used; null if the certificate of the files is served.
    pub(crate) refused: Option<RefusedView>,
}

/// Changed files that cannot be used; the certificate read before is still served.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct RefusedView {
    pub(crate) since: String,
    pub(crate) error: String,
}

/// A horizon in panic mode: most of its mirrors do not answer, so it also steers clients to mirrors that look down.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct PanicView {
    pub(crate) horizon: String,
    /// `ipv4` or `ipv6`.
    pub(crate) family: String,
    /// The number of other servers of the fleet that do not reach most of these mirrors, and of those that were heard lately; null for a
    /// server alone.
    pub(crate) agree: Option<usize>,
    pub(crate) peers: Option<usize>,
}

/// An address that is not up, or whose certificate ends soon.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct TroubleView {
    pub(crate) mirror: String,
    /// The address or page of the mirror's operator; null if the configuration does not say.
    pub(crate) contact: Option<String>,
    pub(crate) address: AddressView,
}

/// One zone.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct ZoneView {
    pub(crate) name: String,
    /// Null if no copy has been fetched yet, or if the copy has expired.
    pub(crate) serial: Option<u32>,
}

/// The status of the server.
///
/// `age_ms` is the time since the snapshot was published, `uptime_ms` the time since the process started.
pub(in crate::control) fn status(
    snapshot: &Snapshot,
    readiness: &Readiness,
    about: &About,
    failing: Vec<(PathBuf, Failing)>,
    age_ms: u64,
    uptime_ms: u64,
) -> StatusView {
    let (now, probes) = (Clock::civil(), about.probes.as_deref());
    let ids = || (0..snapshot.mirrors().len()).map(MirrorId::from_index);
    let (served, certificates) = (about.history.served(), (about.certificates)().into_iter());
    let acme = about.acme.as_ref().map(|standing| standing()).unwrap_or_default();
    let zone_view = |zone: &Zone| {
        let serial = zone.is_available().then(|| zone.serial());
        ZoneView { name: zone.apex().to_string(), serial }
    };
    let unwritten = |(path, Failing { kind, error, since }): (PathBuf, Failing)| {
        let (file, state) = (path.display().to_string(), kind.to_string());
        UnwrittenView { file, state, error, since: rfc3339(since) }
    };
    StatusView {
        version: env!("CARGO_PKG_VERSION").to_string(),
        obstacle: readiness.obstacle().map(Into::into),
        drain: readiness.drained().map(|order| OverrideView::of(&order)),
        generation: snapshot.generation.0,
        generation_age_seconds: age_ms / 1000,
        uptime_seconds: uptime_ms / 1000,
        mirrors: snapshot.mirrors().len(),
        mirrors_up: snapshot.mirrors_up(),
        probed: probes.is_some(),
        orders: snapshot.overrides().iter().map(|(name, order)| OverriddenView::of(name, order)).collect(),
        panics: panics(snapshot, about),
        troubles: ids().flat_map(|id| troubles(snapshot, id, probes)).collect(),
        zones: snapshot.zones().iter().map(|(_, zone)| zone_view(zone)).collect(),
        unwritten: failing.into_iter().map(unwritten).collect(),
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
        certificates: certificates.map(|certificate| certificate_view(certificate, now)).collect(),
        credentials: acme.credentials.iter().map(|standing| credential_view(standing, snapshot, probes, now)).collect(),
        acme_peers: acme.peers,
        fleet: about.fleet.as_ref().map(|fleet| {
            let (standing, rollout) = (fleet.standing.borrow(), fleet.rollout.borrow());
            FleetView::of(&standing, snapshot.overrides(), &rollout, Moment(uptime_ms))
        }),
        name: server_name(snapshot)
            .or_else(|| about.fleet.as_ref().map(|fleet| fleet.standing.borrow().name.to_string()))
            .or_else(|| about.host_name.clone()),
        traffic: Some(about.traffic.totals()),
        has_token: served.has_token,
    }
}

/// The horizons in panic.
pub(super) fn panics(snapshot: &Snapshot, about: &About) -> Vec<PanicView> {
    let standing = about.fleet.as_ref().map(|fleet| fleet.standing.borrow().clone());
    let view = |(horizon, family): (&Horizon, Family)| {
        let votes = standing.as_ref().map(|fleet| PanicVotes::of(snapshot, horizon, family, fleet.views()));
        PanicView {
            horizon: horizon.name.to_string(),
            family: family.as_str().into(),
            agree: votes.map(|votes| votes.agree),
            peers: votes.map(|votes| votes.of),
        }
    };
    snapshot.panics().map(view).collect()
}

impl PanicView {
    /// The likely cause, as the end of a sentence about mirrors that do not answer.
    pub(crate) fn cause(&self) -> String {
        PanicVotes { agree: self.agree.unwrap_or_default(), of: self.peers.unwrap_or_default() }.cause()
    }
}

/// The name of NSID.
fn server_name(snapshot: &Snapshot) -> Option<String> {
    snapshot.settings().identity.nsid.as_ref().map(|name| String::from_utf8_lossy(name).into_owned())
}

/// The troubled addresses of a mirror.
fn troubles(snapshot: &Snapshot, id: MirrorId, probes: Option<&Probes>) -> impl Iterator<Item = TroubleView> {
    let mirror = &snapshot.mirrors()[id.index()];
    let troubled = addresses(snapshot, id, probes).into_iter().filter(AddressView::is_troubled);
    troubled.map(|address| TroubleView {
        mirror: mirror.name.to_string(),
        contact: mirror.contact.as_deref().map(Into::into),
        address,
    })
}

fn credential_view(
    standing: &CredentialStanding,
    snapshot: &Snapshot,
    probes: Option<&Probes>,
    now: UnixTime,
) -> CredentialView {
    let CredentialStanding { name, mirror, live, last_set } = standing;
    let ends = addresses(snapshot, *mirror, probes).into_iter().filter_map(|address| address.certificate_ends);
    CredentialView {
        credential: name.to_string(),
        mirror: snapshot.mirrors()[mirror.index()].name.to_string(),
        live: *live,
        last_set: last_set.map(rfc3339),
        last_set_seconds: last_set.map(|at| now.0.saturating_sub(at.0)),
        certificate_ends: ends.min(),
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
