//! Signatures of zones that are signed here: made before a snapshot is published, and made anew before their expiration.
//!
//! Signatures are kept by the signed bytes, so that a change of health, a reload or a restart makes only those that are new. Each
//! publication signs the RRsets that it changes. In rounds over all zones ([`Signatory::renew`]), away from the publisher, the
//! signatures are made whose next window has begun ([`SigningWindow`](crate::zone::SigningWindow)).
//!
//! **Invariants**: a zone is published with all of its signatures, or as it was before; a publication waits for the signatures of
//! steered answers for [`MAX_WAIT`] at most; while the clock is behind an earlier one, signatures are valid at both times.
//! **Not here**: the bytes to sign ([`crate::zone`], [`crate::snapshot`]), private keys (load).

mod kept;

pub(crate) use kept::SIGNATURES;

use std::num::NonZero;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use tracing::{error, info};

use kept::{KeptSignatures, MadeSignature, read_text};

use crate::base::ids::ZoneId;
use crate::base::lock::locked;
use crate::base::time::UnixTime;
use crate::snapshot::{Snapshot, TailoredSigning};
use crate::zone::{SignatureOctets, SigningTime, ToSign, Zone, ZoneSigning};

/// The longest time that a publication waits for signatures of steered answers: a mirror that fails is out of all answers within
/// a second. Answers that are unsigned then are signed for the next publication, at once.
pub(crate) const MAX_WAIT: Duration = Duration::from_millis(800);

/// The number of signatures from which on all processors make signatures: a thread takes as long to start as two signatures.
const MANY: usize = 512;

/// The number of signatures that a thread makes in a row.
const SHARE: usize = 64;

/// The time by which the clock may go back without a word: that from the start of a signature's validity to its window.
const TOLERATED_SECS: u64 = 3600;

/// The greatest difference between the clock and an earlier one at which both are believed: a clock that is years behind has
/// lost its battery.
const DOUBTED_SECS: u64 = 366 * 86_400;

/// The difference of two rounds that is a step of the clock: rounds are at most an hour apart.
const STEP_SECS: u64 = 2 * 3600;

/// The number of rounds over all zones within a validity; a quarter of them is a window.
const ROUNDS: u32 = 64;

/// The bounds of the pause between rounds.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3600)];

/// The rounds for which a signature is kept that no zone uses.
const KEPT_ROUNDS: u32 = ROUNDS / 4;

/// Makes signatures, and keeps them.
pub struct Signatory {
    clock: fn() -> UnixTime,
    kept: RwLock<KeptSignatures>,
    /// The number of the round over all zones.
    round: AtomicU32,
    clock_judge: Mutex<ClockJudge>,
    made: AtomicU64,
    failed: AtomicU64,
    last_micros: AtomicU64,
}

/// The latest time that was seen, and whether the log says that the clock is behind it.
#[derive(Debug, Default)]
struct ClockJudge {
    newest: u64,
    is_behind: bool,
    /// The time whose windows publications use; `None` before the first signature. A publication does not read the clock: a window
    /// that begins between two rounds would have it make the signatures of all plans.
    windows: Option<SigningTime>,
}

/// A zone as it is configured, and its version with signatures.
pub(crate) type SignedVersion = (Arc<Zone>, Arc<Zone>);

/// Signatures in the order of their positions; `None` for one that cannot be made, or not in time.
struct Made {
    signatures: Vec<Option<SignatureOctets>>,
    /// The number that were not kept before.
    new: usize,
}

/// The figures of a [`Signatory`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SigningFigures {
    /// Signatures made since the start.
    pub(crate) made: u64,
    /// Signatures that could not be made.
    pub(crate) failed: u64,
    /// The time that the last ones took that were made together, in microseconds.
    pub(crate) last_micros: u64,
    /// Signatures that are kept.
    pub(crate) kept: usize,
    /// True if the clock is behind that of an earlier signature.
    pub(crate) is_clock_behind: bool,
}

impl std::fmt::Debug for Signatory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signatory({:?})", self.figures())
    }
}

impl Signatory {
    /// A signatory that reads this clock.
    pub fn new(clock: fn() -> UnixTime) -> Self {
        Signatory {
            clock,
            kept: RwLock::default(),
            round: Default::default(),
            clock_judge: Mutex::default(),
            made: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            last_micros: AtomicU64::new(0),
        }
    }

    /// Its figures.
    pub(crate) fn figures(&self) -> SigningFigures {
        SigningFigures {
            made: self.made.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            last_micros: self.last_micros.load(Ordering::Relaxed),
            kept: self.kept.read().unwrap_or_else(PoisonError::into_inner).len(),
            is_clock_behind: locked(&self.clock_judge).is_behind,
        }
    }

    /// Signs everything that is unsigned in a snapshot that is not published yet, however long that takes. A snapshot without
    /// zones to sign stays as it is.
    pub fn sign_ahead(&self, snapshot: Snapshot) -> Snapshot {
        self.sign(snapshot, None).0
    }

    /// Signs the zones of a snapshot that are unsigned, and its steered answers until `deadline`. The second result is true if
    /// there was time for all of them. One that cannot be made is missing then: trying at once again would not make it.
    pub(super) fn sign(&self, snapshot: Snapshot, deadline: Option<Instant>) -> (Snapshot, bool) {
        if !snapshot.signs() {
            return (snapshot, true);
        }
        let kept = deadline.and_then(|_| locked(&self.clock_judge).windows);
        let time = kept.unwrap_or_else(|| self.begin_windows());
        let unsigned = snapshot.unsigned_zones().into_iter();
        let signed: Vec<_> = unsigned.filter_map(|id| self.sign_zone(&snapshot, id, time, true)).collect();
        let snapshot = snapshot.with_signed_zones(signed);
        let signing = TailoredSigning::new(&snapshot, time);
        let signatures = self.make(signing.len(), &|position| signing.to_sign(position), deadline).signatures;
        let is_late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        let is_in_time = !is_late || signatures.iter().all(Option::is_some);
        let owners = signing.finish(&signatures);
        (snapshot.with_signed_owners(owners), is_in_time)
    }

    /// Makes the signatures of a snapshot whose next window has begun. Returns the signed versions of zones that have some
    /// ([`super::Updates::sign`]).
    pub(crate) fn renew(&self, snapshot: &Snapshot) -> Vec<SignedVersion> {
        self.begin_round();
        let before = locked(&self.clock_judge).windows;
        let time = self.begin_windows();
        // After a step of the clock, kept signatures may do.
        let is_step = before.is_some_and(|before| {
            before.to.0.abs_diff(time.to.0) > STEP_SECS || before.from.0.abs_diff(time.from.0) > STEP_SECS
        });
        let renew = |(id, _): (ZoneId, &Zone)| {
            self.sign_zone(snapshot, id, time, is_step || snapshot.is_awaiting_signatures(id))
        };
        let signed = snapshot.zones().iter().filter_map(renew).collect();
        let signing = TailoredSigning::new(snapshot, time);
        self.make(signing.len(), &|position| signing.to_sign(position), None);
        signed
    }

    /// A version of a zone with all signatures. `None` if it is not signed here, if a signature cannot be made, or if all of them are
    /// kept ones, unless these are due as well.
    fn sign_zone(
        &self,
        snapshot: &Snapshot,
        id: ZoneId,
        time: SigningTime,
        are_kept_due: bool,
    ) -> Option<SignedVersion> {
        let (terms, zone) = (snapshot.signing_terms(id)?, snapshot.zones().folded(id).clone());
        let signing = ZoneSigning::new(&zone, terms, time);
        let made = self.make(signing.len(), &|position| signing.to_sign(position), None);
        let signatures: Option<Vec<SignatureOctets>> = made.signatures.into_iter().collect();
        if signatures.is_some() && !are_kept_due && made.new == 0 {
            return None;
        }
        let Some(signed) = signatures.and_then(|signatures| signing.finish(&signatures)) else {
            let apex = zone.apex();
            if snapshot.is_awaiting_signatures(id) {
                error!("zone {apex} cannot be signed; queries with the DO bit get SERVFAIL until it is")
            } else {
                error!("zone {apex} cannot be signed anew; its signatures are served until their expiration")
            }
            return None;
        };
        Some((zone.clone(), Arc::new(signed)))
    }

    /// True if a round is due: the pause of a snapshot has passed by the civil clock, also if that was set.
    pub(crate) fn is_due(&self, snapshot: &Snapshot) -> bool {
        let now = (self.clock)();
        let is_late = |time: SigningTime| now.0.abs_diff(time.from.0) >= Signatory::pause(snapshot).as_secs();
        snapshot.signs() && locked(&self.clock_judge).windows.is_none_or(is_late)
    }

    /// Has publications use the windows of now. A clock that is behind an earlier one by more than [`DOUBTED_SECS`] is wrong. If it
    /// is behind by less, either may be right, and signatures are made that are valid at both times.
    fn begin_windows(&self) -> SigningTime {
        let now = (self.clock)();
        let mut judge = locked(&self.clock_judge);
        let behind = judge.newest.saturating_sub(now.0);
        let is_behind = behind > TOLERATED_SECS;
        if is_behind && !judge.is_behind {
            error!(
                "the clock is {} hours behind that of signatures that were made, so that new ones are made for both times: set the \
                 clock; if the earlier time was wrong, remove the file of `[dnssec] state` and restart",
                behind / 3600
            );
        } else if judge.is_behind && !is_behind {
            info!("the clock is no longer behind that of signatures that were made");
        }
        judge.is_behind = is_behind;
        judge.newest = judge.newest.max(now.0);
        let newest = UnixTime(judge.newest);
        let time = match () {
            () if !is_behind => now.into(),
            () if behind <= DOUBTED_SECS => SigningTime { from: now, to: newest },
            () => newest.into(),
        };
        judge.windows = Some(time);
        time
    }

    /// Makes the signatures of these positions, or finds them among those that are kept. `None` for one that cannot be made, or
    /// not until `deadline`.
    fn make<'k>(
        &self,
        count: usize,
        to_sign: &(dyn Fn(usize) -> ToSign<'k> + Sync),
        deadline: Option<Instant>,
    ) -> Made {
        let began = Instant::now();
        let mut signatures = vec![None; count];
        let threads = if count < MANY { 1 } else { thread::available_parallelism().map_or(1, NonZero::get) };
        let shares = Mutex::new(signatures.chunks_mut(SHARE).zip((0..).step_by(SHARE)));
        let take = || locked(&shares).next();
        let work = || {
            let mut new = Vec::new();
            while let Some((share, first)) =
                take().filter(|_| deadline.is_none_or(|deadline| Instant::now() < deadline))
            {
                self.make_share(share, first, to_sign, &mut new);
            }
            new
        };
        let new: Vec<MadeSignature> = thread::scope(|scope| {
            // If the system gives no thread, this one makes all signatures.
            let others = (1..threads).filter_map(|_| thread::Builder::new().spawn_scoped(scope, work).ok());
            let others: Vec<_> = others.collect();
            let own = work();
            let others = others.into_iter().flat_map(|thread| thread.join().unwrap_or_default());
            own.into_iter().chain(others).collect()
        });
        let count = new.len();
        if count > 0 {
            self.made.fetch_add(count as u64, Ordering::Relaxed);
            self.last_micros.store(began.elapsed().as_micros() as u64, Ordering::Relaxed);
            let round = self.round.load(Ordering::Relaxed);
            self.kept.write().unwrap_or_else(PoisonError::into_inner).add(new, round);
        }
        Made { signatures, new: count }
    }

    /// Makes the signatures of some positions in a row, or finds them, and adds those that are new to `new`.
    fn make_share<'k>(
        &self,
        share: &mut [Option<SignatureOctets>],
        first: usize,
        to_sign: &(dyn Fn(usize) -> ToSign<'k> + Sync),
        new: &mut Vec<MadeSignature>,
    ) {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let round = self.round.load(Ordering::Relaxed);
        for (place, position) in share.iter_mut().zip(first..) {
            let to_sign = to_sign(position);
            let id = to_sign.id();
            if let Some(known) = kept.find(id, round) {
                *place = Some(known);
                continue;
            }
            *place = to_sign.key.private.sign(to_sign.octets());
            match place {
                Some(octets) => new.push(MadeSignature { id, octets: *octets, expiration: to_sign.expiration }),
                None => drop(self.failed.fetch_add(1, Ordering::Relaxed)),
            }
        }
    }

    /// The pause until the next round over the zones of a snapshot.
    pub(crate) fn pause(snapshot: &Snapshot) -> Duration {
        let validities = snapshot.zones().iter().filter_map(|(id, _)| Some(snapshot.signing_terms(id)?.validity_secs));
        let [least, most] = PAUSES;
        validities.min().map_or(most, |secs| Duration::from_secs(secs.into()) / ROUNDS).clamp(least, most)
    }

    /// Begins another round over all zones, and drops signatures that have expired or that no zone has used for long.
    fn begin_round(&self) {
        let (now, round) = ((self.clock)(), self.round.fetch_add(1, Ordering::Relaxed) + 1);
        self.kept.write().unwrap_or_else(PoisonError::into_inner).drop_unused(now, round, KEPT_ROUNDS);
    }

    /// The signatures as the text of the file of `[dnssec] state`, without its first line.
    pub(crate) fn text(&self) -> String {
        let newest = locked(&self.clock_judge).newest;
        self.kept.read().unwrap_or_else(PoisonError::into_inner).text(newest)
    }

    /// Takes in the text of that file. Returns the number of its signatures; `None` if the text is damaged.
    pub(crate) fn restore(&self, text: &str) -> Option<usize> {
        let (newest, signatures) = read_text(text)?;
        let count = signatures.len();
        let mut judge = locked(&self.clock_judge);
        judge.newest = judge.newest.max(newest);
        drop(judge);
        self.kept.write().unwrap_or_else(PoisonError::into_inner).add(signatures, self.round.load(Ordering::Relaxed));
        Some(count)
    }
}

#[cfg(test)]
mod tests;
