//! A blob request whose reply depends on mirrors: the mirrors to ask, and the reply for each result.
//!
//! **Invariants**: if clients are sent to the steered name, every serving mirror that DNS may give the client is asked,
//! over both families and for every share of the plan. A mirror without the blob would fail the pull on every retry.
//! **Not here**: the requests to mirrors ([`crate::http`]), the cache of results ([`super::known`]).

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;
use std::sync::Arc;

use arrayvec::ArrayVec;

use super::known::{BlobKey, Holding};
use super::{
    Answer, BlobTarget, Digest, RegistrySettings, RouteBasis, RouteOutcome, RouteReply, RouteSteering, location,
};
use crate::base::ids::MirrorId;
use crate::base::prefix::Family;
use crate::mirror::{Health, Mirror};
use crate::snapshot::Snapshot;

/// The most mirrors asked for one request: for each family, the most mirrors of a list with weights (`config::limits`).
pub const MAX_ASKED: usize = 2 * 64;

/// A blob request whose reply depends on mirrors.
#[derive(Clone, Debug)]
pub struct Ask<'r> {
    pub(super) digest: Digest<'r>,
    pub(super) rest: &'r str,
    pub(super) query: Option<&'r str>,
    pub(super) steering: RouteSteering,
    /// The mirror's own host name if clients are sent directly to it; `None` if to the steered name.
    pub(super) host: Option<Arc<str>>,
    pub(super) settings: &'r RegistrySettings,
}

/// One mirror to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskedMirror {
    /// The mirror.
    pub mirror: MirrorId,
    /// The family by which a client would reach it.
    pub family: Family,
}

impl Ask<'_> {
    /// The mirrors that must have the blob, without duplicates.
    pub fn mirrors(&self, snapshot: &Snapshot) -> ArrayVec<AskedMirror, MAX_ASKED> {
        let mut all = ArrayVec::new();
        let RouteSteering { horizon, decision, family, mirror, .. } = self.steering;
        if self.settings.blob_target == BlobTarget::MirrorHost {
            all.extend(mirror.map(|mirror| AskedMirror { mirror, family }));
            return all;
        }
        // A client with both families may use the other one for the steered name. A dead mirror is not asked: it costs
        // the client only seconds, and could not answer.
        let serves = |asked: &AskedMirror| {
            let health = snapshot.standing(asked.mirror).health(asked.family);
            matches!(health, Some(Health::Up | Health::Drained))
        };
        for of in [family, family.other()] {
            // DNS may see a resolver in another block, which has another slot and so another mirror.
            for plan in snapshot.horizons()[horizon.index()].shares(decision.plan) {
                for &mirror in &snapshot.addresses(horizon, plan, of).choice.mirrors {
                    let asked = AskedMirror { mirror, family: of };
                    if !all.iter().any(|known: &AskedMirror| known.mirror == mirror) && serves(&asked) && !all.is_full()
                    {
                        all.push(asked);
                    }
                }
            }
        }
        all
    }

    /// The blob's key at a mirror. It covers addresses from the configuration, because new ones mean other servers. It
    /// leaves out resolved addresses, because these change often.
    pub fn key(&self, secret: [u64; 2], mirror: &Mirror) -> BlobKey {
        let mut place = DefaultHasher::new();
        if mirror.followed_host().is_none() {
            (&mirror.v4, &mirror.v6).hash(&mut place);
        }
        BlobKey::new([secret[0] ^ place.finish(), secret[1]], &mirror.name, self.repository(), &self.digest)
    }

    /// The path of the request to a mirror, in canonical form.
    pub fn path(&self) -> String {
        let base = match self.host {
            None => self.settings.blobs.path(),
            Some(_) => "/v2/",
        };
        format!("{base}{}/blobs/{}:{}", self.repository(), self.digest.algorithm, self.digest.encoded)
    }

    /// The reply for a result.
    pub fn settle(&self, holding: Holding) -> RouteReply {
        let outcome = match holding {
            Holding::Has => return self.to_mirror(),
            Holding::Lacks => RouteOutcome::BlobLacking,
            Holding::Unsaid => RouteOutcome::BlobUnknown,
        };
        self.reply(self.settings.canonical.url(self.rest, self.query), outcome)
    }

    pub(super) fn to_mirror(&self) -> RouteReply {
        let (rest, query) = (self.rest, self.query);
        match &self.host {
            None => self.reply(self.settings.blobs.url(rest, query), RouteOutcome::BlobSteered),
            Some(host) => self.reply(location(&format!("https://{host}/v2/"), rest, query), RouteOutcome::BlobMirror),
        }
    }

    fn reply(&self, url: String, outcome: RouteOutcome) -> RouteReply {
        RouteReply { answer: Answer::Redirect(url), basis: RouteBasis { outcome, steering: Some(self.steering) } }
    }

    fn repository(&self) -> &str {
        // A digest has no slash, so the last `/blobs/` is the one before the digest.
        self.rest.rsplit_once("/blobs/").map_or(self.rest, |(repository, _)| repository)
    }
}

impl AskedMirror {
    /// The address to ask: one of those that clients get, selected by `spread`.
    pub fn address(&self, snapshot: &Snapshot, spread: usize) -> Option<IpAddr> {
        let (mirror, standing) = (&snapshot.mirrors()[self.mirror.index()], snapshot.standing(self.mirror));
        let given = |count: usize| (0..count).filter(|at| standing.gives(self.family, *at));
        let nth = |count: usize| given(count).nth(spread % given(count).count().max(1));
        match self.family {
            Family::V4 => nth(mirror.v4.len()).map(|at| mirror.v4[at].into()),
            Family::V6 => nth(mirror.v6.len()).map(|at| mirror.v6[at].into()),
        }
    }
}
