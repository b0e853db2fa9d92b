//! Signing of served zones: before a start and a reload, and in rounds, with its metrics.
//!
//! **Not here**: the signatures ([`crate::live`]), keys ([`crate::load`]).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tracing::{info, warn};

use crate::base::ids::{NodeId, ZoneId};
use crate::base::rr::Rtype;
use crate::config::Config;
use crate::files::state;
use crate::live::{Published, SIGNATURES, Signatory, Updates};
use crate::process::state::{Keeper, StateFile, StateFiles};
use crate::process::work::{self, Lane};
use crate::process::{Clock, Vital};
use crate::snapshot::Snapshot;
use crate::telemetry::{Collect, MetricsPage};
use crate::zone::Zone;

/// The consequence if signatures cannot be kept.
const UNKEPT: &str = "the next start makes all signatures anew";

/// The interval between two looks at the civil clock. A clock that is set forward, after a start without a time server or the
/// sleep of a machine, makes all signatures expire at once.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// The signing of all zones.
#[derive(Debug)]
pub(super) struct Signing {
    /// The maker of signatures, for the publisher.
    pub(super) signatory: Arc<Signatory>,
    file: Option<StateFile>,
    keeper: Keeper,
    /// The number of signatures that were made when the file was last written.
    kept: AtomicU64,
}

impl Signing {
    /// With the signatures that the run before has kept.
    pub(super) fn open(config: &Config, states: &StateFiles) -> Arc<Self> {
        let signatory = Arc::new(Signatory::new(Clock::civil));
        let path = config.signatures.clone();
        if let Some(path) = &path {
            match state::recall(path, &SIGNATURES, |text| signatory.restore(text)) {
                Ok(count) => info!("{} signatures are kept from the run before", count.unwrap_or(0)),
                Err(useless) => warn!("the kept signatures are lost, and are made anew: {useless}"),
            }
        }
        let file = path.map(|path| states.file(path, &SIGNATURES, UNKEPT));
        Arc::new(Signing { signatory, file, keeper: Keeper::default(), kept: AtomicU64::new(0) })
    }

    /// Signs a snapshot that is to be published, on a thread that answers nothing.
    pub(super) async fn sign_ahead(&self, snapshot: Snapshot) -> Snapshot {
        if !snapshot.signs() {
            return snapshot;
        }
        let (signatory, unsigned) = (self.signatory.clone(), snapshot.clone());
        // Without a thread, the publisher signs it.
        let signed = work::submit(Lane::Compute, move || signatory.sign_ahead(unsigned)).await.unwrap_or(snapshot);
        self.keep();
        signed
    }

    /// Starts the task that makes signatures anew before their expiration.
    pub(super) fn start(self: &Arc<Self>, published: Arc<Published>, updates: Updates, vital: &Vital) {
        tokio::spawn(vital.guard("renewal of signatures", self.clone().renew(published, updates)));
    }

    /// The metrics.
    pub(super) fn metrics(&self, published: Arc<Published>) -> Arc<dyn Collect> {
        Arc::new(SigningMetrics { signatory: self.signatory.clone(), published })
    }

    async fn renew(self: Arc<Self>, published: Arc<Published>, updates: Updates) {
        loop {
            tokio::time::sleep(Signatory::pause(&published.load_full()).min(LOOK_EVERY)).await;
            let (snapshot, by) = (published.load_full(), self.signatory.clone());
            if !by.is_due(&snapshot) {
                continue;
            }
            // A round that fails is made up for by the next: three quarters of the validity are left.
            let Ok(signed) = work::submit(Lane::Compute, move || by.renew(&snapshot)).await else { continue };
            if updates.sign(signed).await.is_err() {
                return;
            }
            self.keep();
        }
    }

    /// Writes the signatures to their file, if there are new ones.
    fn keep(&self) {
        let Signing { signatory, file, keeper, kept } = self;
        let made = signatory.figures().made;
        if let Some(file) = file
            && kept.swap(made, Ordering::Relaxed) != made
        {
            keeper.keep(file.clone(), signatory.text());
        }
    }
}

/// A sentence for each zone that a reload leaves without a key to which a DS record of the parent may point.
pub(super) fn unanchored(served: &Snapshot, now: &Snapshot) -> Vec<String> {
    let lost = |(id, zone): (ZoneId, &Zone)| {
        let before = dnskeys(served, id);
        let (now_id, _) = now.zones().at_apex(zone.apex())?;
        let after = dnskeys(now, now_id);
        if before.is_empty() || before.iter().any(|key| after.contains(key)) {
            return None;
        }
        let what = if after.is_empty() { "is no longer signed" } else { "has none of its keys of before" };
        Some(format!(
            "zone {} {what}: resolvers that find a DS record of such a key take its answers for forged; `pharos key ds {0} --check` asks the \
             parent",
            zone.apex()
        ))
    };
    served.zones().iter().filter_map(lost).collect()
}

/// The DNSKEY records of a zone to which a DS record may point: those of its file, and those of its keys.
fn dnskeys(snapshot: &Snapshot, id: ZoneId) -> BTreeSet<Vec<u8>> {
    let of_file = snapshot.zones().zone(id).node(NodeId(0)).rrset(Rtype::DNSKEY);
    let of_file = of_file.into_iter().flat_map(|set| set.rdatas().map(<[u8]>::to_vec));
    let of_keys = snapshot.signing_terms(id).into_iter().flat_map(|terms| &terms.keys).map(|key| key.dnskey.to_vec());
    // RFC 4034 §2.1.1: the flag of a secure entry point.
    of_file.chain(of_keys).filter(|key| key.get(1).is_some_and(|flags| flags & 1 == 1)).collect()
}

/// Shows the signatures of zones, also of those that come signed.
struct SigningMetrics {
    signatory: Arc<Signatory>,
    published: Arc<Published>,
}

impl Collect for SigningMetrics {
    fn collect(&self, page: &mut MetricsPage) {
        let (snapshot, figures, now) = (self.published.load_full(), self.signatory.figures(), Clock::civil());
        let zones = || snapshot.zones().iter().map(|(id, zone)| ([zone.apex().to_string()], id));
        let signed = || zones().map(|(apex, id)| (apex, snapshot.signatures(id)));
        let signed = || signed().filter_map(|(apex, signatures)| Some((apex, signatures.count, signatures.expires?)));
        page.gauge("pharos_dnssec_signatures", "The signatures that each zone is served with.")
            .samples(["zone"], signed().map(|(apex, count, _)| (apex, count as u64)));
        let help = "The seconds until the first signature of each zone expires; 0 if one has expired.";
        page.gauge("pharos_dnssec_signature_expires_seconds", help)
            .samples(["zone"], signed().map(|(apex, _, expires)| (apex, expires.0.saturating_sub(now.0))));
        let validity = |id| Some(snapshot.signing_terms(id)?.validity_secs.into());
        let help = "The validity of the signatures that are made for each zone; the first to expire has three quarters of it left.";
        page.gauge("pharos_dnssec_validity_seconds", help)
            .samples(["zone"], zones().filter_map(|(apex, id)| Some((apex, validity(id)?))));
        page.counter("pharos_dnssec_resigned_total", "Signatures that were made.").sample(&[], figures.made);
        let help = "Signatures that could not be made, because the system gave no randomness.";
        page.counter("pharos_dnssec_failed_total", help).sample(&[], figures.failed);
        let help = "The time that the last signatures took that were made together.";
        page.gauge("pharos_dnssec_signing_seconds", help).duration(&[], figures.last_micros);
        let help =
            "1 if the clock is behind that of signatures that were made, so that new ones are made for the later time.";
        page.gauge("pharos_dnssec_clock_behind", help).sample(&[], figures.is_clock_behind.into());
    }
}
