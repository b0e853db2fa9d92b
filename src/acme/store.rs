//! The file in which the tokens of challenges outlive the process.
//!
//! **Invariants**: decoding returns the encoded tokens; if any part of a file is wrong, the whole file is refused.
//! **Not here**: writing the file to the disk ([`crate::files::state`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::name::NameBuf;
use crate::base::time::UnixTime;
use crate::challenge::{
    ChallengeEntry, ChallengeKey, ChallengeState, ChallengeStore, ChallengeToken, ChallengeVersion,
};
use crate::files::state::StateForm;

/// The kind of file.
pub static FORM: StateForm = StateForm { name: "challenges", comment: "", is_old: |_| false };

/// The version of the format. A file with another version is refused.
const VERSION: u32 = 1;

/// Tokens, and the name of the server that keeps these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KeptTokens {
    /// The name in versions of this server's changes.
    pub(super) server: Arc<str>,
    pub(super) tokens: ChallengeStore,
    /// The time at which each credential last set a token, here or at another server.
    pub(super) last_set: BTreeMap<Arc<str>, UnixTime>,
}

#[derive(Deserialize, Serialize)]
struct ChallengeFile {
    version: u32,
    server: String,
    tokens: Vec<TokenLine>,
    /// By credential, in seconds since 1970.
    #[serde(default)]
    last_set: BTreeMap<String, u64>,
}

#[derive(Deserialize, Serialize)]
struct TokenLine {
    credential: String,
    owner: String,
    token: String,
    /// The version: its count, and the server that took the change.
    count: u64,
    server: String,
    /// Seconds since 1970.
    until: u64,
    removed: bool,
}

/// Tokens as the text of the file.
pub(super) fn encode(kept: &KeptTokens) -> String {
    let line = |(key, entry): (&ChallengeKey, &ChallengeEntry)| TokenLine {
        credential: key.credential.to_string(),
        owner: key.owner.to_string(),
        token: key.token.as_str().to_string(),
        count: entry.version.count,
        server: entry.version.server.to_string(),
        until: entry.until.0,
        removed: entry.state == ChallengeState::Removed,
    };
    let tokens = kept.tokens.entries().map(line).collect();
    let last_set = kept.last_set.iter().map(|(credential, at)| (credential.to_string(), at.0)).collect();
    let file = ChallengeFile { version: VERSION, server: kept.server.to_string(), tokens, last_set };
    serde_json::to_string_pretty(&file).expect("tokens are plain data") + "\n"
}

/// The tokens of a file's text; `None` if the text is not in the format of [`encode`].
pub(super) fn decode(text: &str) -> Option<KeptTokens> {
    let file: ChallengeFile = serde_json::from_str(text).ok().filter(|file: &ChallengeFile| file.version == VERSION)?;
    let mut tokens = ChallengeStore::default();
    for line in file.tokens {
        let key = ChallengeKey {
            credential: line.credential.into(),
            owner: NameBuf::parse(&line.owner).ok()?,
            token: ChallengeToken::parse(line.token.as_bytes())?,
        };
        let version = ChallengeVersion { count: line.count, server: line.server.into() };
        let state = if line.removed { ChallengeState::Removed } else { ChallengeState::Set };
        tokens.take_in(key, ChallengeEntry { version, state, until: UnixTime(line.until) });
    }
    let last_set = file.last_set.into_iter().map(|(credential, at)| (credential.into(), UnixTime(at))).collect();
    (!file.server.is_empty()).then(|| KeptTokens { server: file.server.into(), tokens, last_set })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::challenge::Removal;

    fn kept() -> KeptTokens {
        let owner = NameBuf::parse("_acme-challenge.blob.example").unwrap();
        let token = |number: u8| ChallengeToken::parse(format!("{number:043}").as_bytes()).unwrap();
        let (mut tokens, server): (_, Arc<str>) = (ChallengeStore::default(), "00ff".into());
        for (credential, number) in [("key:one", 1), ("key:two", 2), ("user:three", 3)] {
            tokens.set(&credential.into(), owner.as_name(), token(number), &server, UnixTime(1_700_000_000));
        }
        tokens.remove(&"key:two".into(), owner.as_name(), Removal::All, &"other".into(), UnixTime(1_700_000_001));
        let last_set = [("key:one".into(), UnixTime(1_700_000_000))].into();
        KeptTokens { server, tokens, last_set }
    }

    #[test]
    fn tokens_read_back_as_what_they_were() {
        assert_eq!(decode(&encode(&kept())), Some(kept()));
        let nothing = KeptTokens { server: "00ff".into(), ..KeptTokens::default() };
        assert_eq!(decode(&encode(&nothing)), Some(nothing));
    }

    #[test]
    fn a_file_is_taken_whole_or_not_at_all() {
        let text = encode(&kept());
        for len in 0..text.trim_end().len() {
            assert_eq!(decode(&text[..len]), None, "cut after {len} bytes");
        }
        for (from, to) in [
            ("\"version\": 1", "\"version\": 2"),
            ("0001\"", "000\""),
            ("blob.example", "blob..example"),
            ("\"server\": \"00ff\"", "\"server\": \"\""),
        ] {
            let changed = text.replacen(from, to, 1);
            assert!(changed != text && decode(&changed).is_none(), "{changed}");
        }
    }
}
