//! Copies as frames: the part of the client's address, and the extra facts.
//!
//! **Invariants**: a batch has at most [`BATCH_LEN`] bytes and one more frame.
//! **Not here**: sending ([`super::session`]).

use std::sync::Arc;

use serde::Serialize;

use crate::dnstap::{self, DnstapOrigin, SteeredFacts, TapCopy};
use crate::inspect::winner_at;
use crate::live::Published;
use crate::snapshot::Snapshot;
use crate::steer::Won;
use crate::telemetry::tap::TapTaker;

/// The bytes of frames that are sent by one write.
const BATCH_LEN: usize = 64 << 10;

/// The source of frames.
pub(super) struct Frames {
    taker: TapTaker,
    published: Arc<Published>,
    /// The frames to write.
    pub(super) batch: Vec<u8>,
    message: Vec<u8>,
    extra: Vec<u8>,
}

/// The extra facts of a copy, as JSON.
#[derive(Serialize)]
struct Extra<'c> {
    outcome: &'static str,
    generation: u64,
    #[serde(flatten)]
    steered: Option<ExtraSteered<'c>>,
}

#[derive(Serialize)]
struct ExtraSteered<'c> {
    mirror: Option<&'c str>,
    tier: &'static str,
    by: &'static str,
    horizon: Option<&'c str>,
    rule: Option<ExtraRule>,
}

/// The rule that decided: its number from 1, as `pharos explain` has it, or `default`.
#[derive(Serialize)]
#[serde(untagged)]
enum ExtraRule {
    Number(usize),
    Word(&'static str),
}

impl Frames {
    pub(super) fn new(taker: TapTaker, published: Arc<Published>) -> Self {
        Frames { taker, published, batch: Vec::new(), message: Vec::new(), extra: Vec::new() }
    }

    /// Fills the batch with copies from the rings; returns the number of frames.
    pub(super) fn gather(&mut self, origin: &DnstapOrigin) -> u64 {
        let Frames { taker, published, batch, message: scratch, extra } = self;
        let snapshot = published.load();
        batch.clear();
        let mut count = 0;
        while batch.len() < BATCH_LEN
            && let Some((copy, message)) = taker.take()
        {
            if dnstap::cut(message, copy.facts.clients).is_none() {
                message.clear();
            }
            extra.clear();
            // Writing to a Vec cannot fail.
            let _ = serde_json::to_writer(&mut *extra, &extra_of(&copy, &snapshot));
            dnstap::encode(batch, scratch, origin, extra, &copy, message);
            count += 1;
        }
        count
    }
}

/// The extra facts. Horizon and rule are ids of the snapshot that has answered; if another one is served by now, both are left out.
fn extra_of<'c>(copy: &TapCopy<'c>, snapshot: &'c Snapshot) -> Extra<'c> {
    let is_same = copy.facts.generation == snapshot.generation;
    let steered = copy.facts.steered.map(|SteeredFacts { horizon, location, vantage, tier }| ExtraSteered {
        mirror: std::str::from_utf8(copy.mirror).ok().filter(|mirror| !mirror.is_empty()),
        tier: tier.as_str(),
        by: vantage.as_str(),
        horizon: is_same.then(|| &*snapshot.horizons()[horizon.index()].name),
        rule: is_same.then(|| match winner_at(snapshot, horizon, location) {
            Won::Rule(index) => ExtraRule::Number(index + 1),
            Won::Default => ExtraRule::Word("default"),
        }),
    });
    Extra { outcome: copy.facts.outcome.as_str(), generation: copy.facts.generation.0, steered }
}
