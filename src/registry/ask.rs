//! A request for a blob or a file whose reply depends on mirrors: the mirrors to ask, and the reply for each result.
//!
//! **Invariants**: if clients are sent to the steered name, every serving mirror that DNS may give the client is asked,
//! over both families and for every share of the plan, but those that count as having all content. A mirror without the
//! blob would fail the pull on every retry.
//! **Not here**: the requests to mirrors ([`crate::http`]), the cache of results ([`super::known`]).

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;

use arrayvec::ArrayVec;

use super::known::{BlobKey, Holding};
use super::{
    Answer, BlobTarget, Digest, PathRule, RegistrySettings, Route, RouteBasis, RouteOutcome, RouteReply, RouteSteering,
    location,
};
use crate::base::ids::MirrorId;
use crate::base::prefix::Family;
use crate::mirror::{BlobValues, Health, Mirror, Template, TemplateValues};
use crate::snapshot::Snapshot;

/// The most mirrors asked for one request: for each family, the most mirrors of a list with weights (`config::limits`).
pub(crate) const MAX_ASKED: usize = 2 * 64;

/// A request for a blob or a file whose reply depends on mirrors.
#[derive(Clone, Debug)]
pub struct Ask<'r> {
    pub(super) content: AskContent<'r>,
    /// The path after `/v2/`; for a file, the path.
    pub(super) rest: &'r str,
    pub(super) query: Option<&'r str>,
    pub(super) steering: RouteSteering,
    pub(super) target: AskTarget,
    pub(super) mirrors: Vec<AskedMirror>,
    pub(super) settings: &'r RegistrySettings,
}

/// The content that mirrors are asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum AskContent<'r> {
    /// A blob. Canonical has it too.
    Blob(Digest<'r>),
    /// A file of a further path. The target of the rule has it too.
    File(&'r PathRule),
}

/// The target of the redirect if mirrors have the blob.
#[derive(Clone, Debug)]
pub(super) struct AskTarget {
    url: String,
    /// The path at the mirror; `None` for that of the API.
    path: Option<String>,
    reach: AskReach,
}

/// The name by which a client reaches the mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AskReach {
    /// The steered name: DNS selects the mirror.
    SteeredName,
    /// The host of a mirror with addresses.
    Host,
    /// The URL of a redirect-only mirror.
    Url,
}

impl AskTarget {
    /// The target of a client's redirect. `None` if there is none: the mirrors that DNS may give the client have different
    /// paths, or its mirror has no host.
    pub(super) fn of(
        steering: &RouteSteering,
        digest: Digest<'_>,
        (rest, query): (&str, Option<&str>),
        settings: &RegistrySettings,
        snapshot: &Snapshot,
    ) -> Option<Self> {
        let first = &snapshot.mirrors()[steering.mirror?.index()];
        let content = &first.content;
        let blob = BlobValues { name: repository(rest), algorithm: digest.algorithm, hex: digest.encoded };
        let full = if content.url.is_some() || content.path.is_some() { format!("v2/{rest}") } else { String::new() };
        let values = TemplateValues { blob: Some(blob), path: &full, rest };
        if let Some(url) = &content.url {
            let path = Some(url.path.fill(&values)?);
            return Some(AskTarget { url: url.fill(&values)?, path, reach: AskReach::Url });
        }
        let path = match &content.path {
            Some(path) => Some(path.fill(&values)?),
            None => None,
        };
        if settings.blob_target == BlobTarget::MirrorHost {
            let host = first.host.as_ref()?;
            let url = match &path {
                Some(path) => format!("https://{host}{path}"),
                None => location(&format!("https://{host}/v2/"), rest, query),
            };
            return Some(AskTarget { url, path, reach: AskReach::Host });
        }
        let blobs = settings.blobs.as_ref()?;
        let has_path = |mirror: &Mirror| mirror.content.path.is_some();
        let differs = |asked: &AskedMirror| snapshot.mirrors()[asked.mirror.index()].content.path != content.path;
        if snapshot.mirrors().iter().any(has_path) && given(steering, snapshot).iter().any(differs) {
            return None;
        }
        let url = path.as_ref().map_or_else(|| blobs.url(rest, query), |path| blobs.url_of_path(path));
        Some(AskTarget { url, path, reach: AskReach::SteeredName })
    }

    /// The target of a client's redirect for a file. `None` if its mirror has no URL for files.
    pub(super) fn of_file(mirror: &Mirror, values: &TemplateValues<'_>) -> Option<Self> {
        let url = mirror.content.url.as_ref()?;
        Some(AskTarget { url: url.fill(values)?, path: Some(url.path.fill(values)?), reach: AskReach::Url })
    }

    /// The mirrors to ask, without duplicates.
    pub(super) fn mirrors(
        &self,
        steering: &RouteSteering,
        settings: &RegistrySettings,
        snapshot: &Snapshot,
    ) -> Vec<AskedMirror> {
        let RouteSteering { family, mirror, .. } = *steering;
        let one = |family| mirror.map(|mirror| AskedMirror { mirror, family }).into_iter().collect();
        let all: ArrayVec<_, MAX_ASKED> = match self.reach {
            _ if !settings.asks_mirrors => ArrayVec::new(),
            AskReach::SteeredName => given(steering, snapshot),
            AskReach::Host => one(family),
            AskReach::Url => {
                // The client resolves the host itself, so either family will do.
                let health = |family: &Family| mirror.and_then(|id| snapshot.standing(id).health(*family));
                let known = [family, family.other()].into_iter().filter(|family| health(family).is_some());
                one(known.min_by_key(health).unwrap_or(family))
            }
        };
        all.into_iter().filter(|asked| snapshot.mirrors()[asked.mirror.index()].is_asked).collect()
    }
}

/// The repository in the path of a blob after `/v2/`.
fn repository(rest: &str) -> &str {
    // A digest has no slash, so the last `/blobs/` is the one before the digest.
    rest.rsplit_once("/blobs/").map_or(rest, |(repository, _)| repository)
}

/// The serving mirrors that DNS may give a client, without duplicates.
fn given(steering: &RouteSteering, snapshot: &Snapshot) -> ArrayVec<AskedMirror, MAX_ASKED> {
    let mut all = ArrayVec::new();
    let RouteSteering { horizon, decision, family, .. } = *steering;
    // A client with both families may use the other one for the steered name. A dead mirror is not asked: it costs the
    // client only seconds, and could not answer.
    let serves = |asked: &AskedMirror| {
        let health = snapshot.standing(asked.mirror).health(asked.family);
        matches!(health, Some(Health::Up | Health::Drained))
    };
    for of in [family, family.other()] {
        // DNS may see a resolver in another block, which has another slot and so another mirror.
        for plan in snapshot.horizons()[horizon.index()].shares(decision.plan) {
            for &mirror in &snapshot.addresses(horizon, plan, of).choice.mirrors {
                let asked = AskedMirror { mirror, family: of };
                if !all.iter().any(|known: &AskedMirror| known.mirror == mirror) && serves(&asked) && !all.is_full() {
                    all.push(asked);
                }
            }
        }
    }
    all
}

/// One mirror to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskedMirror {
    /// The mirror.
    pub(crate) mirror: MirrorId,
    /// The family by which a client would reach it.
    pub(crate) family: Family,
}

impl<'r> Ask<'r> {
    /// The route: this question, or the redirect if no mirror is asked.
    pub(super) fn route(self) -> Route<'r> {
        if self.mirrors.is_empty() { Route::Reply(self.to_mirror()) } else { Route::Ask(self) }
    }

    /// The mirrors to ask, each of which must have the blob, without duplicates.
    pub fn mirrors(&self) -> &[AskedMirror] {
        &self.mirrors
    }

    /// The blob's key at a mirror. It covers addresses from the configuration, because new ones mean other servers. It
    /// leaves out resolved addresses, because these change often. It covers the place of content at the mirror, and leaves out
    /// the repository if that place is the same for all repositories.
    pub fn key(&self, secret: [u64; 2], mirror: &Mirror) -> BlobKey {
        let mut place = DefaultHasher::new();
        if mirror.followed_host().is_none() {
            (&mirror.v4, &mirror.v6).hash(&mut place);
        }
        mirror.content.hash(&mut place);
        let secret = [secret[0] ^ place.finish(), secret[1]];
        let digest = match self.content {
            AskContent::Blob(digest) => digest,
            // No blob has an empty algorithm.
            AskContent::File(_) => {
                let file = Digest { algorithm: "", encoded: self.target.path.as_deref().unwrap_or(self.rest) };
                return BlobKey::new(secret, &mirror.name, "", &file);
            }
        };
        let content = &mirror.content;
        let path = content.url.as_ref().map(|url| &url.path).or(content.path.as_ref());
        let name = if path.is_none_or(Template::has_name) { repository(self.rest) } else { "" };
        BlobKey::new(secret, &mirror.name, name, &digest)
    }

    /// The path of the request to a mirror, in canonical form.
    pub fn path(&self) -> String {
        self.target.path.clone().unwrap_or_else(|| {
            let base = match (self.target.reach, &self.settings.blobs) {
                (AskReach::SteeredName, Some(blobs)) => blobs.path(),
                _ => "/v2/",
            };
            match self.content {
                AskContent::Blob(Digest { algorithm, encoded }) => {
                    format!("{base}{}/blobs/{algorithm}:{encoded}", repository(self.rest))
                }
                AskContent::File(_) => self.rest.to_string(),
            }
        })
    }

    /// The reply for a result.
    pub fn settle(&self, holding: Holding) -> RouteReply {
        if let (AskContent::File(rule), Holding::Lacks | Holding::Unsaid) = (self.content, holding) {
            return self.reply(rule.url(self.rest, self.query), RouteOutcome::File);
        }
        let outcome = match holding {
            Holding::Has => return self.to_mirror(),
            Holding::Lacks => RouteOutcome::BlobLacking,
            Holding::Unsaid => RouteOutcome::BlobUnknown,
        };
        self.reply(self.settings.canonical.url(self.rest, self.query), outcome)
    }

    fn to_mirror(&self) -> RouteReply {
        let outcome = match (self.content, self.target.reach) {
            (AskContent::File(_), _) => RouteOutcome::FileMirror,
            (AskContent::Blob(_), AskReach::SteeredName) => RouteOutcome::BlobSteered,
            (AskContent::Blob(_), AskReach::Host | AskReach::Url) => RouteOutcome::BlobMirror,
        };
        self.reply(self.target.url.clone(), outcome)
    }

    fn reply(&self, url: String, outcome: RouteOutcome) -> RouteReply {
        RouteReply { answer: Answer::Redirect(url), basis: RouteBasis { outcome, steering: Some(self.steering) } }
    }
}

impl AskedMirror {
    /// The address to ask: one of those that clients get, selected by `spread`.
    pub(crate) fn address(&self, snapshot: &Snapshot, spread: usize) -> Option<IpAddr> {
        let (mirror, standing) = (&snapshot.mirrors()[self.mirror.index()], snapshot.standing(self.mirror));
        let given = |count: usize| (0..count).filter(|at| standing.gives(self.family, *at));
        let nth = |count: usize| given(count).nth(spread % given(count).count().max(1));
        match self.family {
            Family::V4 => nth(mirror.v4.len()).map(|at| mirror.v4[at].into()),
            Family::V6 => nth(mirror.v6.len()).map(|at| mirror.v6[at].into()),
        }
    }
}
