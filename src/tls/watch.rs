//! The certificate of a listener, watched: a renewed file is served without a reload, and an end that is near is reported.
//!
//! **Invariants**: a file that cannot be used changes nothing, and is reported once; each phase before the end is reported
//! once per certificate; an identity that a reload has brought is never replaced by one that was read before.
//! **Not here**: the schedule of looks, the log (`serve`).

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};

use super::life::{Life, Phase};
use super::{Identity, Tls, load};
use crate::base::diagnostic::Diagnostic;
use crate::base::lock::locked;
use crate::config::TlsFiles;
use crate::files::Stamp;

/// The certificate of one listener, or of several that share it.
#[derive(Debug)]
pub(crate) struct WatchedIdentity {
    /// The listener, for metrics and the log.
    pub(crate) listener: &'static str,
    served: Vec<Arc<Tls>>,
    state: Mutex<WatchState>,
}

#[derive(Debug)]
struct WatchState {
    files: TlsFiles,
    chain: Vec<CertificateDer<'static>>,
    life: Option<Life>,
    /// The phase that was reported.
    phase: Phase,
    /// The stamps of the files when the files were last read; `None` if the next look is to read the files again.
    stamps: Option<[Stamp; 2]>,
    /// The changed files that cannot be used.
    refused: Option<RefusedFiles>,
    /// Counts the reloads.
    reloads: u64,
}

/// Changed files that cannot be used, while the identity before them is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefusedFiles {
    /// The first look that found these problems.
    pub(crate) since: UnixTime,
    /// The reasons.
    pub(crate) problems: Vec<Diagnostic>,
}

/// A finding of a look.
#[derive(Debug)]
pub(crate) enum LookOutcome {
    /// The files were replaced; the new certificate is served from now on.
    Renewed(Option<Life>),
    /// The files were replaced, and cannot be used.
    Refused(Vec<Diagnostic>),
    /// The certificate ends soon.
    Expiring(Duration),
    /// The certificate has ended.
    Expired(Duration),
}

impl WatchedIdentity {
    /// Watches an identity that was read, and judged, from these files.
    pub(crate) fn new(
        listener: &'static str,
        served: Vec<Arc<Tls>>,
        files: TlsFiles,
        identity: &Identity,
        now: UnixTime,
    ) -> Self {
        WatchedIdentity { listener, served, state: Mutex::new(WatchState::new(files, identity, now, 0)) }
    }

    /// Serves an identity that a reload has read, and judged, from these files.
    pub(crate) fn replace(&self, files: TlsFiles, identity: &Identity, now: UnixTime) {
        let mut state = self.state();
        *state = WatchState::new(files, identity, now, state.reloads + 1);
        self.serve(identity);
    }

    /// Notes that a reload has refused these files: the served identity stays.
    pub(crate) fn refuse(&self, files: TlsFiles, problems: Vec<Diagnostic>, now: UnixTime) {
        let mut state = self.state();
        state.files = files;
        state.note_refused(problems, now);
    }

    /// The files of the identity.
    pub(crate) fn files(&self) -> TlsFiles {
        self.state().files.clone()
    }

    /// The first end of a certificate in the chain that is served, in seconds since 1970.
    pub(crate) fn not_after(&self) -> Option<u64> {
        self.state().life.map(|life| life.ends)
    }

    /// The changed files as of the last look; `None` if the files can be used.
    pub(crate) fn refused(&self) -> Option<RefusedFiles> {
        self.state().refused.clone()
    }

    /// Looks at the files and at the time; waits for the disk.
    pub(crate) fn look(&self, now: UnixTime) -> Vec<LookOutcome> {
        let (files, stamps, reloads) = {
            let state = self.state();
            (state.files.clone(), state.stamps, state.reloads)
        };
        // The stamps are read before the files, so that the next look finds a change in between.
        let stamps_now = stamp(&files);
        // Read without the lock, for which a reload would wait.
        let read = (stamps.is_none() || stamps != stamps_now).then(|| load(&files, now));
        let mut found = Vec::new();
        let mut state = self.state();
        if state.reloads != reloads {
            return found;
        }
        match read {
            None => {}
            Some(Ok((identity, _))) => {
                if identity.chain() != state.chain {
                    *state = WatchState { phase: Phase::Good, ..WatchState::new(files, &identity, now, reloads) };
                    found.push(LookOutcome::Renewed(state.life));
                }
                // The key alone may have been replaced.
                self.serve(&identity);
                (state.stamps, state.refused) = (stamps_now, None);
            }
            // The next look reads the files again, because the disk may have been at fault.
            Some(Err(problems)) => found.extend(state.note_refused(problems, now).map(LookOutcome::Refused)),
        }
        if let Some(life) = state.life {
            let phase = life.phase(now);
            if phase > state.phase {
                found.push(match phase {
                    Phase::Expired => LookOutcome::Expired(life.distance(now)),
                    _ => LookOutcome::Expiring(life.distance(now)),
                });
            }
            state.phase = phase;
        }
        found
    }

    fn serve(&self, identity: &Identity) {
        for tls in &self.served {
            tls.replace(identity.clone());
        }
    }

    fn state(&self) -> MutexGuard<'_, WatchState> {
        // No code panics while it is held.
        locked(&self.state)
    }
}

impl WatchState {
    /// Its phase counts as reported: reading it has warned.
    fn new(files: TlsFiles, identity: &Identity, now: UnixTime, reloads: u64) -> Self {
        let chain = identity.chain().to_vec();
        let life = Life::of(&chain);
        let phase = life.map_or(Phase::Good, |life| life.phase(now));
        WatchState { files, chain, life, phase, stamps: None, refused: None, reloads }
    }

    /// Notes files that cannot be used. Returns the problems if these are new.
    fn note_refused(&mut self, problems: Vec<Diagnostic>, now: UnixTime) -> Option<Vec<Diagnostic>> {
        let is_new = self.refused.as_ref().is_none_or(|refused| refused.problems != problems);
        is_new.then(|| {
            self.refused = Some(RefusedFiles { since: now, problems: problems.clone() });
            problems
        })
    }
}

fn stamp(files: &TlsFiles) -> Option<[Stamp; 2]> {
    let stamps = [&files.cert, &files.key].map(|input| Stamp::look(&input.path));
    stamps.iter().all(|stamp| matches!(stamp, Stamp::Found(..))).then_some(stamps)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;
    use crate::config::{FileUse, InputFile};

    const DAY: u64 = 86_400;
    /// Midnight of 2026-02-01.
    const FEBRUARY: u64 = 1_769_904_000;

    fn at(days: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(FEBRUARY + days * DAY + 1))
    }

    /// Writes a new certificate, valid from the first of February until the first of this month.
    fn renew(folder: &Path, end_month: u8) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["blob.example".to_string()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2026, 2, 1), date_time_ymd(2026, end_month, 1));
        for (name, text) in [("cert", params.self_signed(&key).unwrap().pem()), ("key", key.serialize_pem())] {
            // As certbot and Kubernetes do: another file under the name.
            let beside = folder.join("new");
            std::fs::write(&beside, text).unwrap();
            std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o600)).unwrap();
            std::fs::rename(&beside, folder.join(name)).unwrap();
        }
    }

    fn served(tls: &Tls) -> CertificateDer<'static> {
        tls.current.0.load().cert[0].clone()
    }

    fn words(found: &[LookOutcome]) -> Vec<String> {
        let word = |found: &LookOutcome| match found {
            LookOutcome::Renewed(life) => format!("renewed until {}", (life.unwrap().ends - FEBRUARY) / DAY),
            LookOutcome::Refused(problems) => format!("refused {}", problems[0].code),
            LookOutcome::Expiring(left) => format!("expiring {}", left.as_secs() / DAY),
            LookOutcome::Expired(since) => format!("expired {}", since.as_secs() / DAY),
        };
        found.iter().map(word).collect()
    }

    struct World {
        folder: tempfile::TempDir,
        files: TlsFiles,
        tls: Arc<Tls>,
        watched: WatchedIdentity,
    }

    fn world() -> World {
        let folder = tempfile::tempdir().unwrap();
        renew(folder.path(), 3);
        let path = |name: &str| folder.path().join(name);
        let [cert, key] = ["cert", "key"].map(|name| InputFile::at(path(name), FileUse::Pem));
        let files = TlsFiles { cert, key };
        let (identity, _) = load(&files, at(0)).unwrap();
        let tls = Arc::new(Tls::new(identity.clone(), &[]).unwrap());
        let watched = WatchedIdentity::new("dns", vec![tls.clone()], files.clone(), &identity, at(0));
        World { folder, files, tls, watched }
    }

    #[test]
    fn a_renewed_file_is_served_with_the_next_look() {
        let World { folder, tls, watched, .. } = world();
        assert_eq!(words(&watched.look(at(0))), [""; 0]);
        let before = served(&tls);
        renew(folder.path(), 4);
        assert_eq!(served(&tls), before, "nothing is read between two looks");
        assert_eq!(words(&watched.look(at(1))), ["renewed until 59"]);
        assert!(served(&tls) != before && watched.not_after() == Some(FEBRUARY + 59 * DAY));
        assert_eq!(words(&watched.look(at(1))), [""; 0]);
    }

    #[test]
    fn a_file_that_cannot_be_used_keeps_the_old_one_and_is_reported_once() {
        let World { folder, tls, watched, .. } = world();
        let before = served(&tls);
        let key = std::fs::read(folder.path().join("key")).unwrap();
        renew(folder.path(), 4);
        let new_key = std::fs::read(folder.path().join("key")).unwrap();
        // Only one of the two has been renewed yet.
        std::fs::write(folder.path().join("key"), key).unwrap();
        assert_eq!(words(&watched.look(at(1))), ["refused tls-mismatch"]);
        assert_eq!(
            watched.refused().map(|refused| (refused.since, refused.problems[0].code)),
            Some((at(1), "tls-mismatch"))
        );
        assert_eq!(words(&watched.look(at(1))), [""; 0]);
        std::fs::remove_file(folder.path().join("key")).unwrap();
        assert_eq!(words(&watched.look(at(1))), ["refused tls-unreadable"]);
        assert_eq!((words(&watched.look(at(1))), served(&tls)), (vec![], before));
        std::fs::write(folder.path().join("key"), new_key).unwrap();
        assert_eq!(words(&watched.look(at(1))), ["renewed until 59"]);
        assert_eq!(watched.refused(), None);
    }

    #[test]
    fn the_end_is_reported_once_when_it_is_near_and_once_when_it_has_come() {
        let World { folder, watched, .. } = world();
        let said = |days| words(&watched.look(at(days)));
        assert_eq!((said(24), said(25), said(26)), (vec![], vec!["expiring 2".to_string()], vec![]));
        assert_eq!((said(28), said(30)), (vec!["expired 0".to_string()], vec![]));
        renew(folder.path(), 4);
        assert_eq!((said(31), said(57)), (vec!["renewed until 59".to_string()], vec!["expiring 1".to_string()]));
    }

    #[test]
    fn a_reload_is_what_counts() {
        let World { folder, files, tls, watched } = world();
        renew(folder.path(), 4);
        let (identity, _) = load(&files, at(0)).unwrap();
        watched.replace(files, &identity, at(0));
        assert_eq!(served(&tls), identity.chain()[0]);
        assert_eq!(words(&watched.look(at(1))), [""; 0], "the reload has served it");
    }
}
