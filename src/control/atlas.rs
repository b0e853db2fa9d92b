//! Pictures of address spaces, and the clients of each mirror: made on demand, off the threads that answer, and kept for a while.
//!
//! **Invariants**: [`MAX_AT_ONCE`] is made at a time, because each walks a whole table; further requests wait, and at most [`MAX_WAIT`]; the
//! kept ones are [`MAX_KEPT`] documents of a generation each.
//! **Not here**: the pictures themselves ([`crate::inspect`]), JSON ([`super::view`]).

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Bytes;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::answer::document;
use super::request::Refusal;
use super::view;
use crate::base::diagnostic::did_you_mean;
use crate::base::ids::{HorizonId, MirrorId};
use crate::base::lock::locked;
use crate::base::name::NameBuf;
use crate::base::prefix::Prefix;
use crate::base::time::Generation;
use crate::inspect::{MirrorReach, first_steered, horizons_of_redirects, reach};
use crate::live::AppliedChange;
use crate::process::work::{self, Lane};
use crate::snapshot::Snapshot;

/// The most documents that are kept. Each has at most a run for each of 65,536 cells, which are 0.8 MB; with the feeds of
/// providers it has 0.1 MB. A page shows both families and one block of each.
const MAX_KEPT: usize = 8;

/// The pictures that are made at once. A query thread may share its core with the one that makes them.
const MAX_AT_ONCE: usize = 1;

/// The longest time that a request waits for others: the table of a database of cities takes a tenth of a second.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// The subject of a picture.
#[derive(Clone, Debug, PartialEq)]
struct AtlasKey {
    generation: Generation,
    /// The generation of the last change that moved clients.
    changed: Option<Generation>,
    block: Prefix,
    name: Option<NameBuf>,
}

/// The clients of each mirror.
pub(super) type Reaches = Arc<BTreeMap<MirrorId, MirrorReach>>;

/// The pictures that were made last.
#[derive(Debug)]
pub(super) struct Atlas {
    /// A permit to make one.
    turn: Semaphore,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The documents, the last used one first.
    spaces: VecDeque<(AtlasKey, Bytes)>,
    /// The clients of each mirror of a generation.
    reaches: Option<(Generation, Reaches)>,
}

impl Default for Atlas {
    fn default() -> Self {
        Atlas { turn: Semaphore::new(MAX_AT_ONCE), kept: Mutex::default() }
    }
}

impl Atlas {
    /// The picture of a block as a JSON document.
    pub(super) async fn space(
        &self,
        snapshot: &Arc<Snapshot>,
        change: Option<Arc<AppliedChange>>,
        block: Prefix,
        name: Option<NameBuf>,
    ) -> Result<Bytes, Refusal> {
        let key = AtlasKey {
            generation: snapshot.generation,
            changed: change.as_ref().map(|change| change.generation),
            block,
            name,
        };
        if let Some(known) = self.kept().find(&key) {
            return Ok(known);
        }
        let _turn = self.turn().await?;
        // Another request may have made the same one.
        if let Some(known) = self.kept().find(&key) {
            return Ok(known);
        }
        let (snapshot, name) = (snapshot.clone(), key.name.clone());
        let made = work::submit(Lane::Compute, move || draw(&snapshot, change.as_deref(), block, name))
            .await
            .map_err(Refusal::lost)??;
        let mut kept = self.kept();
        kept.spaces.push_front((key, made.clone()));
        kept.spaces.truncate(MAX_KEPT);
        Ok(made)
    }

    /// The clients of each mirror under the horizon of the first steered name; `None` if no name is steered.
    pub(super) async fn reaches(&self, snapshot: &Arc<Snapshot>) -> Result<Option<Reaches>, Refusal> {
        let known = || self.kept().reaches.clone().filter(|(of, _)| *of == snapshot.generation);
        if let Some((_, known)) = known() {
            return Ok(Some(known));
        }
        let _turn = self.turn().await?;
        if let Some((_, known)) = known() {
            return Ok(Some(known));
        }
        let of = snapshot.clone();
        let made = work::submit(Lane::Compute, move || {
            let (_, horizon) = first_steered(&of)?;
            Some(Arc::new(reach(&of, horizon)))
        });
        let made = made.await.map_err(Refusal::lost)?;
        self.kept().reaches = made.clone().map(|made| (snapshot.generation, made));
        Ok(made)
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        let busy =
            || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "other tables are being walked").help("ask again later");
        let turn = tokio::time::timeout(MAX_WAIT, self.turn.acquire()).await.map_err(|_| busy())?;
        turn.map_err(|_| busy())
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // No code panics while it is held.
        locked(&self.kept)
    }
}

impl Kept {
    fn find(&mut self, key: &AtlasKey) -> Option<Bytes> {
        let at = self.spaces.iter().position(|(known, _)| known == key)?;
        let found = self.spaces.remove(at)?;
        let document = found.1.clone();
        self.spaces.push_front(found);
        Some(document)
    }
}

/// Makes the picture of a block, for a steered name, or for the first one.
fn draw(
    snapshot: &Snapshot,
    change: Option<&AppliedChange>,
    block: Prefix,
    name: Option<NameBuf>,
) -> Result<Bytes, Refusal> {
    let (name, horizon) = subject(snapshot, name)?;
    Ok(document(&view::space(snapshot, change, (horizon, name), block)))
}

/// The steered name, and its horizon. Without a name: the first steered one, else a horizon of redirects.
fn subject(snapshot: &Snapshot, name: Option<NameBuf>) -> Result<(Option<NameBuf>, HorizonId), Refusal> {
    let Some(name) = name else {
        let steered = first_steered(snapshot).map(|(name, horizon)| (Some(name), horizon));
        let found = steered.or_else(|| Some((None, horizons_of_redirects(snapshot).next()?)));
        return found.ok_or_else(|| Refusal::new(StatusCode::BAD_REQUEST, "no name is steered"));
    };
    let steered = || snapshot.zones().iter().flat_map(|(_, zone)| zone.steered_owners());
    if let Some((_, found)) = steered().find(|(owner, _)| *owner == name.as_name()) {
        return Ok((Some(name), found.horizon));
    }
    let names: Vec<String> = steered().map(|(owner, _)| owner.to_string()).collect();
    let help = did_you_mean(&name.to_string(), "steered names", names.iter().map(String::as_str));
    Err(Refusal::new(StatusCode::BAD_REQUEST, format!("`{name}` is not steered")).help(help))
}
