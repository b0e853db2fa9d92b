//! The rollout under way: the pointer to the bundle that all servers are to serve, and the order in which the servers load it.
//!
//! **Invariants**: nothing of it is read before its MAC is verified; each write has a higher serial, so that an old one that the
//! store brings back changes nothing; the last stage is all servers, and no server is named twice.
//! **Not here**: the decision of a server ([`super::rollout`]), the seal ([`super::FleetKey`]), the store.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::bundle::ContentDigest;
use super::key::{DocumentFault, FleetKey};
use super::{MAX_SERVERS, is_server_name};

/// The name of the object with the rollout.
pub(crate) const ROLLOUT_OBJECT: &str = "rollout.json";

/// The word for all servers, in a stage.
const EVERYBODY: &str = "*";

/// The version of the format.
const FORM: u32 = 1;

/// The longest soak in milliseconds: a week.
const MAX_SOAK_MS: u64 = 7 * 86_400_000;

/// The servers that load a bundle, stage by stage.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "Vec<Vec<String>>", into = "Vec<Vec<String>>")]
pub(crate) struct RolloutStages(Vec<Vec<String>>);

/// The reason why texts are no stages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StageFault {
    /// A text is no name of a server.
    BadName(String),
    /// A server is named twice.
    Twice(String),
    /// All servers are not the last stage.
    NotLast,
    /// More servers are named than a fleet can have.
    TooMany,
}

impl fmt::Display for StageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StageFault::BadName(name) => write!(f, "`{name}` cannot be a server's name"),
            StageFault::Twice(name) => write!(f, "server `{name}` is in two stages"),
            StageFault::NotLast => f.write_str("`*` is not the last stage, alone"),
            StageFault::TooMany => write!(f, "more than {MAX_SERVERS} servers are named"),
        }
    }
}

impl RolloutStages {
    /// One stage of all servers.
    pub(crate) fn at_once() -> Self {
        RolloutStages(vec![vec![EVERYBODY.into()]])
    }

    /// Stages of texts with the names of servers, separated by commas. All servers are added as the last stage.
    pub(crate) fn parse<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<Self, StageFault> {
        let names = |text: &str| text.split(',').map(|name| name.trim().to_string()).collect();
        let mut stages: Vec<Vec<String>> = texts.into_iter().map(names).collect();
        if stages.last().is_none_or(|last| *last != [EVERYBODY]) {
            stages.push(vec![EVERYBODY.into()]);
        }
        RolloutStages::try_from(stages)
    }

    /// The named servers, stage by stage, without the last stage.
    pub(crate) fn named(&self) -> &[Vec<String>] {
        &self.0[..self.0.len() - 1]
    }

    /// The number of stages.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The stage of a server, from 0. A server that is not named is in the last one.
    pub(crate) fn of(&self, server: &str) -> usize {
        let is_in = |stage: &Vec<String>| stage.iter().any(|name| name == server);
        self.named().iter().position(is_in).unwrap_or(self.0.len() - 1)
    }
}

impl TryFrom<Vec<Vec<String>>> for RolloutStages {
    type Error = StageFault;

    fn try_from(stages: Vec<Vec<String>>) -> Result<Self, StageFault> {
        let Some((last, named)) = stages.split_last() else { return Err(StageFault::NotLast) };
        let mut seen: Vec<&String> = Vec::new();
        for name in named.iter().flatten() {
            match name.as_str() {
                EVERYBODY => return Err(StageFault::NotLast),
                name if !is_server_name(name) => return Err(StageFault::BadName(name.into())),
                _ if seen.contains(&name) => return Err(StageFault::Twice(name.clone())),
                _ => seen.push(name),
            }
        }
        match () {
            () if *last != [EVERYBODY] => Err(StageFault::NotLast),
            () if seen.len() > MAX_SERVERS || stages.len() > MAX_SERVERS => Err(StageFault::TooMany),
            () => Ok(RolloutStages(stages)),
        }
    }
}

impl From<RolloutStages> for Vec<Vec<String>> {
    fn from(stages: RolloutStages) -> Self {
        stages.0
    }
}

/// As the command line has them: `gru1-a, then iad1-a,sin1-a, then *`.
impl fmt::Display for RolloutStages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stages: Vec<String> = self.0.iter().map(|stage| stage.join(",")).collect();
        f.write_str(&stages.join(", then "))
    }
}

/// An act of an operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct RolloutAct {
    /// The operator.
    pub(crate) by: String,
    /// The reason, if the operator gave one.
    pub(crate) reason: Option<String>,
    /// The time in seconds since 1970, by the operator's clock.
    pub(crate) at: u64,
}

impl fmt::Display for RolloutAct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.by)?;
        self.reason.as_ref().map_or(Ok(()), |reason| write!(f, ": {reason}"))
    }
}

/// The rollout of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Rollout {
    form: u32,
    /// The number of this write, above that of every write before.
    pub(crate) serial: u64,
    /// The serial of the push, which a halt does not change. Servers reject a push and not a bundle, so that an operator can push
    /// a bundle again.
    pub(crate) push: u64,
    /// The bundle.
    pub(crate) bundle: ContentDigest,
    /// The bundle for a way back: the last one that [`Rollout::is_established`] held for. `None` for the first, and after a way back.
    pub(crate) previous: Option<ContentDigest>,
    /// The servers, stage by stage.
    pub(crate) stages: RolloutStages,
    /// The time in milliseconds for which each stage serves the bundle before the next one loads it.
    pub(crate) soak_ms: u64,
    /// The share of clients that may move, instead of the limits of `[guard]`, as an operator writes it.
    pub(crate) allow_moved: Option<String>,
    /// The push.
    pub(crate) pushed: RolloutAct,
    /// The halt. `None` while the rollout goes on.
    pub(crate) halted: Option<RolloutAct>,
}

impl Rollout {
    /// The serial of the next write: the time, unless the last one is ahead of it.
    pub(crate) fn serial_after(last: Option<u64>, now_ms: u64) -> u64 {
        last.map_or(now_ms, |last| now_ms.max(last.saturating_add(1)))
    }

    /// A push of a bundle.
    pub(crate) fn new(
        serial: u64,
        (bundle, previous): (ContentDigest, Option<ContentDigest>),
        (stages, soak_ms): (RolloutStages, u64),
        allow_moved: Option<String>,
        pushed: RolloutAct,
    ) -> Self {
        let push = serial;
        Rollout { form: FORM, serial, push, bundle, previous, stages, soak_ms, allow_moved, pushed, halted: None }
    }

    /// The same rollout, halted or going on.
    pub(crate) fn with_halt(self, serial: u64, halted: Option<RolloutAct>) -> Self {
        Rollout { serial, halted, ..self }
    }

    /// Seals the rollout.
    pub(crate) fn seal(&self, key: &FleetKey) -> Vec<u8> {
        key.seal(ROLLOUT_OBJECT, &serde_json::to_string(self).expect("a rollout is plain data"))
    }

    /// Opens the object of the rollout.
    pub(crate) fn open(bytes: &[u8], key: &FleetKey) -> Result<Self, DocumentFault> {
        let json = key.open(ROLLOUT_OBJECT, bytes)?;
        let rollout: Rollout = serde_json::from_slice(json).map_err(|_| DocumentFault::Unreadable)?;
        if rollout.form == FORM && rollout.soak_ms <= MAX_SOAK_MS {
            Ok(rollout)
        } else {
            Err(DocumentFault::Unreadable)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(digit: &str) -> FleetKey {
        FleetKey::parse(&digit.repeat(64)).unwrap()
    }

    fn rollout() -> Rollout {
        let pushed = RolloutAct { by: "alice".into(), reason: Some("new \"rule\"".into()), at: 7 };
        let bundles = (ContentDigest::of(b"new"), Some(ContentDigest::of(b"old")));
        let stages = RolloutStages::parse(["a", "b, c"]).unwrap();
        Rollout::new(9, bundles, (stages, 600_000), Some("5 %".into()), pushed)
    }

    #[test]
    fn a_rollout_reads_back_and_any_change_of_a_byte_is_seen() {
        let sealed = rollout().seal(&key("a"));
        assert_eq!(Rollout::open(&sealed, &key("a")), Ok(rollout()));
        assert_eq!(Rollout::open(&sealed, &key("b")), Err(DocumentFault::Forged));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(Rollout::open(&changed, &key("a")).is_err(), "{at}");
        }
        let json = serde_json::to_string(&rollout()).unwrap();
        // The document of a server cannot be put in its place.
        let moved = key("a").seal("servers/rollout.json", &json);
        assert_eq!(Rollout::open(&moved, &key("a")), Err(DocumentFault::Forged));
        let later = key("a").seal(ROLLOUT_OBJECT, &json.replace("\"form\":1", "\"form\":2"));
        assert_eq!(Rollout::open(&later, &key("a")), Err(DocumentFault::Unreadable));
    }

    #[test]
    fn the_last_stage_is_all_servers() {
        let stages = |texts: &[&str]| RolloutStages::parse(texts.iter().copied()).map(|stages| stages.to_string());
        assert_eq!(stages(&[]).unwrap(), "*");
        assert_eq!(stages(&["*"]).unwrap(), "*");
        assert_eq!(stages(&["a", "b, c"]).unwrap(), "a, then b,c, then *");
        assert_eq!(stages(&["a", "*"]).unwrap(), "a, then *");
        assert_eq!(stages(&["a,*"]), Err(StageFault::NotLast));
        assert_eq!(stages(&["*", "a"]), Err(StageFault::NotLast));
        assert_eq!(stages(&["a", "b,a"]), Err(StageFault::Twice("a".into())));
        assert_eq!(stages(&["a,,b"]), Err(StageFault::BadName(String::new())));
        let parsed = RolloutStages::parse(["a", "b, c"]).unwrap();
        assert_eq!(["a", "c", "d"].map(|name| parsed.of(name)), [0, 1, 2]);
    }

    #[test]
    fn a_serial_rises_with_any_clock() {
        assert_eq!(Rollout::serial_after(None, 500), 500);
        assert_eq!(Rollout::serial_after(Some(400), 500), 500);
        assert_eq!(Rollout::serial_after(Some(900), 500), 901);
    }
}
