//! The document that a server writes for the others.
//!
//! **Invariants**: nothing of a document is read before its MAC is verified; unknown keys are ignored, so that servers of two
//! versions understand each other; a document that is opened and sealed again has the same content.
//! **Not here**: the seal ([`super::FleetKey`]), the order of documents of one server ([`super::Roster`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::key::{DocumentFault, FleetKey};
use super::overrides::OverrideForm;
use super::rollout::RolloutReport;
use super::sources::SourceReports;
use super::{ProbedAddresses, SharedOverrides, TroubledAddress, is_server_name};
use crate::base::words::Worded as _;
use crate::mirror::{Health, Verdict};

/// The version of the format.
const FORM: u32 = 1;

/// The most addresses that a document names. Further ones count as up for the other servers, so that a server which sees more
/// than this many as down has no say on the rest.
pub(crate) const MAX_TROUBLED: usize = 256;

/// The document of a server.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ServerDocument {
    /// The name of the server.
    pub(crate) server: Arc<str>,
    /// The start of the server's process, in milliseconds since 1970, and later than that of its last process.
    pub(crate) boot: u64,
    /// The number of this document in the process, from 1.
    pub(crate) seq: u64,
    /// The state that the server serves.
    pub(crate) served: ServedState,
    /// The addresses that it probes.
    pub(crate) probed: ProbedAddresses,
    /// All changes of overrides that it knows.
    pub(crate) overrides: SharedOverrides,
    /// The bundle that it serves.
    pub(crate) rollout: RolloutReport,
    /// The sources that it has by URL.
    pub(crate) sources: SourceReports,
}

/// The state that a server serves.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct ServedState {
    /// The version of the program.
    pub(crate) version: String,
    /// The generation.
    pub(crate) generation: u64,
    /// SHA-256 of the files of the configuration.
    pub(crate) config: String,
    /// Answers a second, over the last interval.
    pub(crate) answers_per_second: f64,
    /// The share of answers that are SERVFAIL, from 0 to 1, over the last interval.
    pub(crate) servfail_share: f64,
    /// The number of mirrors.
    pub(crate) mirrors: u64,
    /// The number of mirrors that are up.
    pub(crate) mirrors_up: u64,
    /// True if the server alone does not reach most mirrors.
    pub(crate) isolated: bool,
}

impl ServerDocument {
    /// The name of the object with the document of a server.
    pub(crate) fn object(server: &str) -> String {
        format!("servers/{server}.json")
    }

    /// The name of the server in the name of an object; `None` if the object is no document of a server.
    pub(crate) fn server_of(object: &str) -> Option<&str> {
        object.strip_prefix("servers/")?.strip_suffix(".json").filter(|name| is_server_name(name))
    }

    /// True if this document and a later one of its server differ in nothing on which another server acts at once.
    pub(crate) fn tells_the_same(&self, other: &Self) -> bool {
        let served = |document: &Self| {
            let ServedState { generation, isolated, config, .. } = &document.served;
            (*generation, *isolated, config.clone())
        };
        self.overrides == other.overrides
            && self.probed == other.probed
            && self.rollout.tells_the_same(&other.rollout)
            && self.sources.tells_the_same(&other.sources)
            && served(self) == served(other)
    }

    /// The document as JSON without a seal.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(&DocumentForm::of(self)).expect("a document is plain data")
    }

    /// The document of JSON without a seal; `None` if it is not in the format of [`ServerDocument::to_json`].
    pub(crate) fn from_json(json: &[u8]) -> Option<Self> {
        serde_json::from_slice::<DocumentForm>(json).ok()?.document()
    }

    /// Seals the document.
    pub(crate) fn seal(&self, key: &FleetKey) -> Vec<u8> {
        key.seal(&ServerDocument::object(&self.server), &self.to_json())
    }

    /// Opens the document of a server.
    pub(crate) fn open(server: &str, bytes: &[u8], key: &FleetKey) -> Result<Self, DocumentFault> {
        let json = key.open(&ServerDocument::object(server), bytes)?;
        let document = ServerDocument::from_json(json).ok_or(DocumentFault::Unreadable)?;
        if *document.server != *server { Err(DocumentFault::OtherServer) } else { Ok(document) }
    }
}

/// [`ServerDocument`] as JSON.
#[derive(Deserialize, Serialize)]
struct DocumentForm {
    form: u32,
    server: String,
    boot: u64,
    seq: u64,
    served: ServedState,
    probed: ProbedForm,
    overrides: BTreeMap<String, OverrideForm>,
    /// Absent in documents of the version before.
    #[serde(default)]
    rollout: RolloutReport,
    /// The same.
    #[serde(default)]
    sources: SourceReports,
}

/// [`ProbedAddresses`] as JSON.
#[derive(Deserialize, Serialize)]
struct ProbedForm {
    count: u32,
    digest: String,
    troubled: Vec<TroubledForm>,
    #[serde(default)]
    omitted: u32,
    #[serde(default)]
    silent: u32,
}

/// [`TroubledAddress`] as JSON.
#[derive(Deserialize, Serialize)]
struct TroubledForm {
    mirror: String,
    address: String,
    health: String,
    verdict: Option<String>,
}

impl DocumentForm {
    fn of(document: &ServerDocument) -> Self {
        let ServerDocument { server, boot, seq, served, probed, overrides, rollout, sources } = document;
        let troubled: Vec<TroubledForm> = probed.troubled.iter().take(MAX_TROUBLED).map(TroubledForm::of).collect();
        let more = u32::try_from(probed.troubled.len() - troubled.len()).unwrap_or(u32::MAX);
        let omitted = probed.omitted.saturating_add(more);
        let (count, digest, silent) = (probed.count, probed.digest.to_string(), probed.silent);
        DocumentForm {
            form: FORM,
            server: server.to_string(),
            boot: *boot,
            seq: *seq,
            served: served.clone(),
            probed: ProbedForm { count, digest, troubled, omitted, silent },
            overrides: overrides.all().map(|(mirror, change)| (mirror.to_string(), OverrideForm::of(change))).collect(),
            rollout: rollout.clone(),
            sources: sources.clone(),
        }
    }

    fn document(self) -> Option<ServerDocument> {
        if self.form != FORM {
            return None;
        }
        let mut overrides = SharedOverrides::default();
        for (mirror, change) in self.overrides {
            overrides.take_in(&mirror.into(), &change.change()?);
        }
        let ProbedForm { count, digest, troubled, omitted, silent } = self.probed;
        let troubled = troubled.into_iter().map(TroubledForm::address).collect::<Option<_>>()?;
        let probed = ProbedAddresses::new(count, digest.into(), troubled);
        let silent = silent.max(probed.silent);
        Some(ServerDocument {
            server: self.server.into(),
            boot: self.boot,
            seq: self.seq,
            served: self.served,
            probed: ProbedAddresses { omitted, silent, ..probed },
            overrides,
            rollout: self.rollout,
            sources: self.sources.bounded(),
        })
    }
}

impl TroubledForm {
    fn of(address: &TroubledAddress) -> Self {
        TroubledForm {
            mirror: address.mirror.to_string(),
            address: address.address.to_string(),
            health: address.health.as_str().into(),
            verdict: address.verdict.map(|verdict| verdict.as_str().into()),
        }
    }

    fn address(self) -> Option<TroubledAddress> {
        Some(TroubledAddress {
            mirror: self.mirror.into(),
            address: self.address.parse().ok()?,
            health: Health::parse(&self.health)?,
            // A word of a later version is no reason to refuse the whole document.
            verdict: self.verdict.and_then(|word| Verdict::parse(&word)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::UnixTime;
    use crate::fleet::overrides::{MAX_SHARED, OverrideAction};
    use crate::fleet::sources::MAX_SOURCES;
    use crate::fleet::{
        ContentDigest, MAX_DOCUMENT_LEN, MAX_REJECTION_LEN, RejectedBundle, ServedBundle, ServiceHealth, SharedCopy,
        SourceKey, SourceReport,
    };
    use crate::mirror::{Forced, Operator, Override, Reason};

    fn key(digit: &str) -> FleetKey {
        FleetKey::parse(&digit.repeat(64)).unwrap()
    }

    fn sources(count: usize) -> SourceReports {
        let copy = SharedCopy { sha256: ContentDigest::of(b""), len: u64::MAX, stored: false };
        let report = SourceReport { copy: Some(copy), checked_ms: Some(u64::MAX) };
        SourceReports::new((0..count).map(|number| (SourceKey::of("list", &number.to_string()), report.clone())))
    }

    fn document() -> ServerDocument {
        let mut overrides = SharedOverrides::default();
        let server: Arc<str> = "fra1-a".into();
        let order = Override {
            forced: Forced::Drain,
            reason: Reason::parse("new \"disks\" ü").unwrap(),
            who: "alice".into(),
            since: UnixTime(1_700_000_000),
            until: Some(UnixTime(1_700_003_600)),
        };
        overrides.change(&"m".into(), OverrideAction::Set(order), 1_700_000_000_123, &server);
        let removed = OverrideAction::Removed { who: "bob".into(), reason: Some(Reason::parse("done").unwrap()) };
        overrides.change(&"n".into(), removed, 1_700_000_000_123, &server);
        let address = "2001:db8::1".parse().unwrap();
        let (health, verdict) = (Health::Bad, Some(Verdict::TlsBad));
        let troubled = vec![TroubledAddress { mirror: "m".into(), address, health, verdict }];
        ServerDocument {
            server,
            boot: 1_700_000_000_000,
            seq: 7,
            served: ServedState { answers_per_second: 12.5, generation: 3, ..ServedState::default() },
            probed: ProbedAddresses::new(4, "ab".into(), troubled),
            overrides,
            rollout: RolloutReport { serial: 9, ..RolloutReport::default() },
            sources: sources(1),
        }
    }

    #[test]
    fn a_document_reads_back_as_what_it_was() {
        let sealed = document().seal(&key("a"));
        assert_eq!(ServerDocument::open("fra1-a", &sealed, &key("a")), Ok(document()));
        let json: serde_json::Value = serde_json::from_slice(&sealed).unwrap();
        assert_eq!(json["document"]["overrides"]["m"]["set"]["reason"], "new \"disks\" ü");
    }

    #[test]
    fn the_longest_document_is_read() {
        let (mut full, server): (_, Arc<str>) = (document(), "a".repeat(63).into());
        let order = Override {
            forced: Forced::Drain,
            reason: Reason::parse(&"\"".repeat(256)).unwrap(),
            who: Operator::from("token from 2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
            since: UnixTime(1_700_000_000),
            until: Some(UnixTime(1_700_003_600)),
        };
        for number in 0..MAX_SHARED {
            let mirror = format!("mirror-{number:0>100}").into();
            full.overrides.change(&mirror, OverrideAction::Set(order.clone()), 1_700_000_000_123, &server);
        }
        full.probed.troubled = vec![full.probed.troubled[0].clone(); MAX_TROUBLED + 1];
        full.probed.troubled.iter_mut().for_each(|address| address.mirror = "m".repeat(100).into());
        full.overrides.expire(1_700_000_000_123);
        let (bundle, push) = (ContentDigest::of(b""), u64::MAX);
        let reason = "\"".repeat(MAX_REJECTION_LEN);
        full.rollout.rejects = Some(RejectedBundle { bundle: bundle.clone(), push, reason });
        let most = ServiceHealth { answers: u64::MAX, failures: u64::MAX, mirrors_down: u64::MAX };
        full.rollout.serves = Some(ServedBundle { bundle, push, for_ms: u64::MAX, before: most, since: most });
        full.sources = sources(MAX_SOURCES);
        let read = ServerDocument::open("fra1-a", &full.seal(&key("a")), &key("a")).unwrap();
        assert_eq!((read.overrides, read.probed.troubled.len()), (full.overrides, MAX_TROUBLED));
        assert_eq!(read.probed.omitted, 1);
        assert_eq!((read.rollout, read.sources), (full.rollout, full.sources));
    }

    #[test]
    fn any_change_of_a_byte_is_seen() {
        let sealed = document().seal(&key("a"));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            let fault = ServerDocument::open("fra1-a", &changed, &key("a")).unwrap_err();
            assert!(matches!(fault, DocumentFault::Broken | DocumentFault::Forged), "{at}: {fault:?}");
            let cut = ServerDocument::open("fra1-a", &sealed[..at], &key("a")).unwrap_err();
            assert!(matches!(cut, DocumentFault::Broken | DocumentFault::Forged), "{at}: {cut:?}");
        }
        assert_eq!(ServerDocument::open("fra1-a", &sealed, &key("b")), Err(DocumentFault::Forged));
        assert_eq!(ServerDocument::open("fra1-b", &sealed, &key("a")), Err(DocumentFault::Forged), "of another object");
        let long = vec![b' '; MAX_DOCUMENT_LEN + 1];
        assert_eq!(ServerDocument::open("fra1-a", &long, &key("a")), Err(DocumentFault::TooLong));
    }

    #[test]
    fn a_signed_document_of_another_name_or_version_is_refused() {
        let json = |change: &dyn Fn(&mut DocumentForm)| {
            let mut form = DocumentForm::of(&document());
            change(&mut form);
            let sealed = key("a").seal(&ServerDocument::object("fra1-a"), &serde_json::to_string(&form).unwrap());
            ServerDocument::open("fra1-a", &sealed, &key("a"))
        };
        assert_eq!(json(&|_| {}), Ok(document()));
        assert_eq!(json(&|form| form.server = "iad1-a".into()), Err(DocumentFault::OtherServer));
        assert_eq!(json(&|form| form.form = 2), Err(DocumentFault::Unreadable));
        assert_eq!(json(&|form| form.overrides.get_mut("m").unwrap().set = None), Err(DocumentFault::Unreadable));
        let mut before: serde_json::Value = serde_json::from_str(&document().to_json()).unwrap();
        before.as_object_mut().unwrap().remove("sources");
        let before = ServerDocument::from_json(before.to_string().as_bytes()).unwrap();
        assert_eq!(before, ServerDocument { sources: SourceReports::default(), ..document() }, "of the version before");
        let later = json(&|form| form.probed.troubled[0].verdict = Some("a-later-word".into())).unwrap();
        assert_eq!(later.probed.troubled[0].verdict, None);
    }
}
