//! The health of mirrors' addresses in a file, for the next run.
//!
//! **Invariants**: reading a written file gives the same memories; a file of which any part is wrong is refused whole.
//! **Not here**: writing it to the disk ([`crate::files::state`]), the use of a memory at a restart ([`crate::mirror`]).

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::time::UnixTime;
use crate::base::words::Worded as _;
use crate::files::state::StateForm;
use crate::mirror::{Health, HttpVersion, Memory, Verdict};

/// The kind of file.
pub static FORM: StateForm = StateForm { name: "probe", comment: "", is_old: |text| parse(text).is_some() };

/// One address of one mirror.
pub(super) type AddressKey = (Arc<str>, IpAddr);

/// The memory of an address over one protocol.
pub(super) type KeptMemory = (AddressKey, HttpVersion, Memory);

/// One address in the file.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
struct KeptAddress {
    mirror: String,
    address: IpAddr,
    verdict: String,
    /// The protocol by its name in ALPN; `None` in a file of a version that spoke HTTP/1.1 alone.
    protocol: Option<String>,
    /// `None` if the health is the one that the verdict gives.
    health: Option<String>,
    /// If the address is down, the end of its hold-down; if it is up, the time since which it is up. In seconds since 1970.
    #[serde(default)]
    moment: u64,
    #[serde(default)]
    hold_down_ms: u64,
}

/// The text of the file.
pub(super) fn text(known: impl Iterator<Item = KeptMemory>) -> String {
    let entry = |((mirror, address), version, memory): KeptMemory| KeptAddress {
        mirror: mirror.to_string(),
        address,
        verdict: memory.verdict.as_str().to_string(),
        protocol: Some(version.as_str().to_string()),
        health: Some(memory.health.as_str().to_string()),
        moment: memory.moment.0,
        hold_down_ms: memory.hold_down_ms,
    };
    serde_json::to_string(&known.map(entry).collect::<Vec<_>>()).expect("an entry is plain data")
}

/// Reads the text of a file; `None` if it does not have the form that [`text`] writes.
pub(super) fn parse(text: &str) -> Option<Vec<KeptMemory>> {
    let entries: Vec<KeptAddress> = serde_json::from_str(text).ok()?;
    entries.into_iter().map(KeptAddress::read).collect()
}

impl KeptAddress {
    fn read(self) -> Option<KeptMemory> {
        let version = match self.protocol {
            None => HttpVersion::Http1,
            Some(word) => HttpVersion::parse(&word)?,
        };
        let verdict = Verdict::parse(&self.verdict)?;
        let memory = match self.health {
            None => Memory::of(verdict),
            Some(word) => {
                // Probes do not result in the other kinds of health.
                let probed = [Health::Up, Health::Down, Health::Missing, Health::Bad];
                let health = probed.into_iter().find(|health| health.as_str() == word)?;
                Memory { verdict, health, moment: UnixTime(self.moment), hold_down_ms: self.hold_down_ms }
            }
        };
        Some(((self.mirror.into(), self.address), version, memory))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::Verdict;

    #[test]
    fn what_is_kept_comes_back_and_what_is_wrong_is_refused_whole() {
        let of = |verdict, health| Memory { verdict, health, moment: UnixTime(1_800_000_000), hold_down_ms: 60_000 };
        let key = |address: &str| (Arc::from("a b"), address.parse().unwrap());
        let known = [
            (key("192.0.2.1"), HttpVersion::Http1, of(Verdict::Up, Health::Bad)),
            (key("192.0.2.1"), HttpVersion::Http2, of(Verdict::Slow, Health::Up)),
            (key("2001:db8::2"), HttpVersion::Http2, of(Verdict::Missing, Health::Missing)),
        ];
        let written = text(known.clone().into_iter());
        assert_eq!(parse(&written), Some(known.to_vec()));
        for (from, to) in [
            ("slow", "slower"),
            ("\"bad\"", "\"drained\""),
            ("2001:db8::2", "192.0.2"),
            ("\"h2\"", "\"h3\""),
            ("a b", "\u{0}"),
        ] {
            let changed = written.replace(from, to);
            assert!(changed != written && parse(&changed).is_none(), "{changed}");
        }
        for len in 0..written.len() {
            assert_eq!(parse(&written[..len]), None);
        }
        // An entry written by hand needs only a verdict.
        let least = r#"[{"mirror":"m","address":"192.0.2.1","verdict":"tls-bad"}]"#;
        let memory = Memory { moment: UnixTime(0), hold_down_ms: 0, ..of(Verdict::TlsBad, Health::Bad) };
        assert_eq!(parse(least), Some(vec![(("m".into(), "192.0.2.1".parse().unwrap()), HttpVersion::Http1, memory)]));
    }
}
