//! The certificates of the listeners, checked for changes every minute.
//!
//! **Invariants**: each change of state is one log line; a check never blocks a thread that answers queries.
//! **Not here**: the check itself ([`crate::tls`]).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::UnixTime;
use tokio::time::MissedTickBehavior;
use tracing::{error, info, warn};

use super::identities::{Identities, TlsListener};
use super::one_line;
use crate::base::lock::locked;
use crate::base::time::UnixTime as CivilTime;
use crate::base::when::span;
use crate::base::words::Worded as _;
use crate::config::{Config, TlsFiles};
use crate::control::ListenerCertificate;
use crate::process::Clock;
use crate::process::work::{self, Lane};
use crate::telemetry::{Collect, MetricsPage};
use crate::tls::{Life, LookOutcome, RefusedFiles, Tls, WatchedIdentity};

/// The interval between two checks. A check costs two system calls per file; a renewed certificate is needed within hours.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The certificates of the listeners.
#[derive(Debug, Default)]
pub(super) struct Certificates(Mutex<Vec<Arc<WatchedIdentity>>>);

impl Certificates {
    /// Watches the certificate of a listener that serves it with these settings of TLS.
    pub(super) fn watch(&self, listener: TlsListener, config: &Config, identities: &Identities, served: &[Arc<Tls>]) {
        if let (Some(files), Some(identity), [_, ..]) = (listener.files(config), identities.of(listener), served) {
            let (name, served, now) = (listener.as_str(), served.to_vec(), Clock::unix());
            self.add(WatchedIdentity::new(name, served, files.clone(), identity, now));
        }
    }

    /// The files of the served certificates, each with its listener.
    pub(super) fn files(&self) -> Vec<(&'static str, TlsFiles)> {
        self.all().iter().map(|watched| (watched.listener, watched.files())).collect()
    }

    /// Serves the certificates that a reload has loaded, and notes the files that it has refused.
    pub(super) fn reload(&self, config: &Config, identities: &Identities) {
        for watched in self.all() {
            let Some(listener) = TlsListener::parse(watched.listener) else { continue };
            let refused = identities.refused.iter().find(|(of, _)| *of == listener);
            match (listener.files(config), identities.of(listener), refused) {
                (Some(files), Some(identity), _) => watched.replace(files.clone(), identity, Clock::unix()),
                (Some(files), None, Some((_, problems))) => {
                    watched.refuse(files.clone(), problems.clone(), Clock::unix());
                }
                _ => {}
            }
        }
    }

    /// Checks the files at every interval. Never returns.
    pub(super) async fn run(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            for watched in self.all() {
                // If the queue is full, this check is skipped.
                let _ = work::submit(Lane::Load, move || report(&watched, &watched.look(Clock::unix()))).await;
            }
        }
    }

    /// The certificate of each listener that has one.
    pub(super) fn shown(&self) -> Vec<ListenerCertificate> {
        let one = |watched: &Arc<WatchedIdentity>| {
            let refused = watched.refused().map(|RefusedFiles { since, problems }| {
                let first = problems.first().map(one_line).unwrap_or_default();
                (CivilTime(since.as_secs()), first)
            });
            let ends = CivilTime(watched.not_after()?);
            Some(ListenerCertificate { listener: watched.listener, ends, refused })
        };
        self.all().iter().filter_map(one).collect()
    }

    fn add(&self, watched: WatchedIdentity) {
        locked(&self.0).push(Arc::new(watched));
    }

    fn all(&self) -> Vec<Arc<WatchedIdentity>> {
        locked(&self.0).clone()
    }
}

impl Collect for Certificates {
    fn collect(&self, page: &mut MetricsPage) {
        let shown = self.shown();
        let help = "The first end of a certificate in the chain that a listener serves, in seconds since 1970.";
        page.gauge("pharos_tls_certificate_not_after_seconds", help)
            .samples(["listener"], shown.iter().map(|one| ([one.listener], one.ends.0)));
        let help = "1 if the changed files of a listener's certificate cannot be used, and an older one is served.";
        page.gauge("pharos_tls_certificate_refused", help)
            .samples(["listener"], shown.iter().map(|one| ([one.listener], one.refused.is_some().into())));
    }
}

fn report(watched: &WatchedIdentity, found: &[LookOutcome]) {
    let listener = watched.listener;
    for found in found {
        match found {
            LookOutcome::Renewed(life) => {
                info!("the certificate of {listener} was renewed, and is served{}", left(life.as_ref()));
            }
            LookOutcome::Refused(problems) => {
                for problem in problems {
                    error!("the changed certificate of {listener} is not served: {}", one_line(problem));
                }
            }
            LookOutcome::Expiring(time) => {
                warn!("the certificate of {listener} ends in {}: renew it", span(time.as_secs()))
            }
            LookOutcome::Expired(time) => {
                error!(
                    "the certificate of {listener} ended {} ago: clients refuse it until it is renewed",
                    span(time.as_secs())
                );
            }
        }
    }
}

fn left(life: Option<&Life>) -> String {
    let now: UnixTime = Clock::unix();
    life.map_or_else(String::new, |life| format!("; it ends in {}", span(life.distance(now).as_secs())))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;
    use std::time::Instant;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;
    use crate::config::{FileUse, InputFile};
    use crate::tls::load;

    /// Longer than a check takes on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// Replaces certificate and key; the certificate ends with this year.
    fn renew(folder: &Path, last_year: i32) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["registry.example".to_string()]).unwrap();
        params.not_after = date_time_ymd(last_year + 1, 1, 1);
        for (name, text) in [("cert", params.self_signed(&key).unwrap().pem()), ("key", key.serialize_pem())] {
            let beside = folder.join("new");
            std::fs::write(&beside, text).unwrap();
            std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o600)).unwrap();
            std::fs::rename(&beside, folder.join(name)).unwrap();
        }
    }

    /// The sample in the page of metrics.
    fn end(certificates: &Certificates) -> String {
        let page = crate::telemetry::render([certificates as &dyn Collect]);
        page.lines().find(|line| !line.starts_with('#')).unwrap_or_default().to_string()
    }

    #[tokio::test(start_paused = true)]
    async fn renewed_files_are_found_again_and_again_and_their_end_is_a_metric() {
        let folder = tempfile::tempdir().unwrap();
        renew(folder.path(), 2089);
        let [cert, key] = ["cert", "key"].map(|name| InputFile::at(folder.path().join(name), FileUse::Pem));
        let files = TlsFiles { cert, key };
        let (identity, _) = load(&files, Clock::unix()).unwrap();
        let certificates = Arc::new(Certificates::default());
        certificates.add(WatchedIdentity::new("registry", Vec::new(), files, &identity, Clock::unix()));
        let sample = |end: u64| format!("pharos_tls_certificate_not_after_seconds{{listener=\"registry\"}} {end}");
        assert_eq!(end(&certificates), sample(3_786_912_000));
        tokio::spawn(certificates.clone().run());
        // The first days of 2091 and of 2092.
        for (year, seconds) in [(2090, 3_818_448_000), (2091, 3_849_984_000)] {
            renew(folder.path(), year);
            let begun = Instant::now();
            while end(&certificates) != sample(seconds) {
                assert!(begun.elapsed() < PATIENCE, "still {}", end(&certificates));
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }
}
