//! The document that a server writes for the others, and its seal.
//!
//! A sealed document is JSON: `{"mac":"…","document":{…}}`. The MAC is HMAC-SHA256 by the key of the fleet over the name of
//! the object and the bytes of the document, so that no document passes for that of another server.
//!
//! **Invariants**: nothing of a document is read before its MAC is verified; unknown keys are ignored, so that servers of two
//! versions understand each other; a document that is opened and sealed again has the same content.
//! **Not here**: the order of documents of one server ([`super::Roster`]).
//!
//! RFC 2104 (HMAC).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ring::hmac;
use serde::{Deserialize, Serialize};

use super::overrides::{OverrideAction, SharedOverride};
use super::{HybridTime, MAX_DOCUMENT_LEN, ProbedAddresses, SharedOverrides, TroubledAddress, is_server_name};
use crate::base::words::Worded as _;
use crate::inspect::view::OverrideView;
use crate::mirror::{Health, Operator, Reason, Verdict};

/// The version of the format.
const FORM: u32 = 1;

/// The most addresses that a document names. Beyond them only the count is told.
pub(crate) const MAX_TROUBLED: usize = 512;

/// The bytes before the MAC, between it and the document, and after the document.
const FRAME: [&str; 3] = ["{\"mac\":\"", "\",\"document\":", "}"];

/// The length of a MAC in hexadecimal digits.
const MAC_LEN: usize = 64;

/// The key that all servers of a fleet have.
#[derive(Clone)]
pub(crate) struct FleetKey(hmac::Key);

impl fmt::Debug for FleetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FleetKey")
    }
}

impl FleetKey {
    /// Parses 64 hexadecimal digits; `None` for another text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits = text.trim();
        if digits.len() != 64 {
            return None;
        }
        Some(FleetKey(hmac::Key::new(hmac::HMAC_SHA256, &from_hex(digits)?)))
    }

    /// Signs bytes as the content of the object of this name.
    fn sign(&self, object: &str, bytes: &[u8]) -> hmac::Tag {
        let mut context = self.context(object);
        context.update(bytes);
        context.sign()
    }

    fn context(&self, object: &str) -> hmac::Context {
        let mut context = hmac::Context::with_key(&self.0);
        // No name of an object has a zero byte, so that name and content cannot be taken for another pair.
        context.update(object.as_bytes());
        context.update(&[0]);
        context
    }

    /// Puts JSON in a frame with its MAC.
    pub(crate) fn seal(&self, object: &str, json: &str) -> Vec<u8> {
        let mac = to_hex(self.sign(object, json.as_bytes()).as_ref());
        [FRAME[0], &mac, FRAME[1], json, FRAME[2]].concat().into_bytes()
    }

    /// The JSON in a frame whose MAC is right.
    pub(crate) fn open<'b>(&self, object: &str, bytes: &'b [u8]) -> Result<&'b [u8], DocumentFault> {
        if bytes.len() > MAX_DOCUMENT_LEN {
            return Err(DocumentFault::TooLong);
        }
        let framed = || {
            let rest = bytes.trim_ascii_end().strip_prefix(FRAME[0].as_bytes())?;
            let (mac, rest) = rest.split_at_checked(MAC_LEN)?;
            let json = rest.strip_prefix(FRAME[1].as_bytes())?.strip_suffix(FRAME[2].as_bytes())?;
            Some((from_hex(std::str::from_utf8(mac).ok()?)?, json))
        };
        let (mac, json) = framed().ok_or(DocumentFault::Broken)?;
        let message = [object.as_bytes(), &[0], json].concat();
        hmac::verify(&self.0, &message, &mac).map_err(|_| DocumentFault::Forged)?;
        Ok(json)
    }
}

/// The reason why a document changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DocumentFault {
    /// It is longer than [`MAX_DOCUMENT_LEN`].
    TooLong,
    /// It has no frame, because it was cut or another program wrote it.
    Broken,
    /// Its MAC is not that of the fleet's key.
    Forged,
    /// Its MAC is right, but its content cannot be read. A later version may have written it.
    Unreadable,
    /// It is the document of another server.
    OtherServer,
    /// It is older than the last document of its server.
    Replayed,
    /// Its changes are further ahead of this server's clock than [`super::MAX_AHEAD_MS`].
    Ahead,
    /// The fleet has [`super::MAX_SERVERS`] servers already.
    TooMany,
}

impl fmt::Display for DocumentFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DocumentFault::TooLong => "it is longer than 256 KiB",
            DocumentFault::Broken => "it is cut, or not a document of a fleet",
            DocumentFault::Forged => "its signature is not by our `key-file`; compare the keys of both servers",
            DocumentFault::Unreadable => {
                "it is not in the format of this version; compare the versions of both servers"
            }
            DocumentFault::OtherServer => "it is that of another server; two servers may have one `name`",
            DocumentFault::Replayed => "it is older than one that was read before; two servers may have one `name`",
            DocumentFault::Ahead => "its changes are more than 10 minutes ahead of our clock; compare both clocks",
            DocumentFault::TooMany => "there are 256 servers already; `pharos fleet forget` removes one that is gone",
        })
    }
}

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
}

/// [`ProbedAddresses`] as JSON.
#[derive(Deserialize, Serialize)]
struct ProbedForm {
    count: u32,
    digest: String,
    troubled: Vec<TroubledForm>,
}

/// [`TroubledAddress`] as JSON.
#[derive(Deserialize, Serialize)]
struct TroubledForm {
    mirror: String,
    address: String,
    health: String,
    verdict: Option<String>,
}

/// [`SharedOverride`] as JSON.
#[derive(Deserialize, Serialize)]
struct OverrideForm {
    at: TimeForm,
    /// The override; null if it was removed.
    set: Option<OverrideView>,
    /// The operator that removed it; null if it is set.
    removed: Option<RemovalForm>,
}

/// [`HybridTime`] as JSON.
#[derive(Deserialize, Serialize)]
struct TimeForm {
    ms: u64,
    count: u32,
    server: String,
}

/// The removal of an override as JSON.
#[derive(Deserialize, Serialize)]
struct RemovalForm {
    who: String,
    reason: Option<String>,
}

impl DocumentForm {
    fn of(document: &ServerDocument) -> Self {
        let ServerDocument { server, boot, seq, served, probed, overrides } = document;
        let troubled = probed.troubled.iter().take(MAX_TROUBLED).map(TroubledForm::of).collect();
        DocumentForm {
            form: FORM,
            server: server.to_string(),
            boot: *boot,
            seq: *seq,
            served: served.clone(),
            probed: ProbedForm { count: probed.count, digest: probed.digest.to_string(), troubled },
            overrides: overrides.all().map(|(mirror, change)| (mirror.to_string(), OverrideForm::of(change))).collect(),
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
        let troubled = self.probed.troubled.into_iter().map(TroubledForm::address).collect::<Option<_>>()?;
        Some(ServerDocument {
            server: self.server.into(),
            boot: self.boot,
            seq: self.seq,
            served: self.served,
            probed: ProbedAddresses { count: self.probed.count, digest: self.probed.digest.into(), troubled },
            overrides,
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

impl OverrideForm {
    fn of(SharedOverride { at, action }: &SharedOverride) -> Self {
        let (set, removed) = match action {
            OverrideAction::Set(order) => (Some(OverrideView::of(order)), None),
            OverrideAction::Removed { who, reason } => {
                let reason = reason.as_ref().map(ToString::to_string);
                (None, Some(RemovalForm { who: who.name.to_string(), reason }))
            }
        };
        let at = TimeForm { ms: at.ms, count: at.count, server: at.server.to_string() };
        OverrideForm { at, set, removed }
    }

    fn change(self) -> Option<SharedOverride> {
        let action = match (self.set, self.removed) {
            (Some(order), None) => OverrideAction::Set(order.order()?),
            (None, Some(RemovalForm { who, reason })) => {
                let reason = match reason {
                    Some(text) => Some(Reason::parse(&text).ok()?),
                    None => None,
                };
                OverrideAction::Removed { who: Operator::from(who.as_str()), reason }
            }
            _ => return None,
        };
        let TimeForm { ms, count, server } = self.at;
        Some(SharedOverride { at: HybridTime { ms, count, server: server.into() }, action })
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).ok().filter(|text| text.len() == 2)?;
        // `from_str_radix` alone would accept a sign.
        text.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u8::from_str_radix(text, 16).ok())?
    };
    pairs.map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::UnixTime;
    use crate::mirror::{Forced, Override};

    fn key(digit: &str) -> FleetKey {
        FleetKey::parse(&digit.repeat(64)).unwrap()
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
            probed: ProbedAddresses { count: 4, digest: "ab".into(), troubled },
            overrides,
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
        let later = json(&|form| form.probed.troubled[0].verdict = Some("a-later-word".into())).unwrap();
        assert_eq!(later.probed.troubled[0].verdict, None);
    }

    #[test]
    fn a_key_is_64_hexadecimal_digits() {
        assert!(FleetKey::parse(&format!("{}\n", "0aF".repeat(21) + "0")).is_some());
        for wrong in ["", &"a".repeat(63), &"a".repeat(65), &"g".repeat(64), &"+1".repeat(32)] {
            assert!(FleetKey::parse(wrong).is_none(), "{wrong}");
        }
    }
}
