//! The part of the configuration that the engine reads: the treatment of queries, and the identity of the server.
//!
//! **Invariants**: all data that goes into a reply is encoded already; secrets are never printed.
//! **Not here**: the keys of the configuration and their meaning ([`crate::config`]).
//!
//! RFC 5001 (NSID), RFC 4892 (names of class CHAOS), RFC 9018 (secrets of cookies).

use std::fmt;

use crate::base::logged::LoggedClients;
use crate::base::prefix::PrefixSet;
use crate::base::rr::{Class, Rtype};
use crate::base::time::Ttl;
use crate::zone::RrSet;

/// The part of the configuration that the engine reads.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The largest UDP answer sent, in bytes.
    pub udp_payload: u16,
    /// Resolvers whose ECS option is listened to; `None` means all.
    pub ecs_from: Option<PrefixSet>,
    /// The time for which a TCP connection may be idle, in tenths of a second (RFC 7828 §3.1).
    pub keepalive: u16,
    /// The secrets that sign cookies; without secrets there are no cookies.
    pub cookies: CookieSecrets,
    /// The identity of the server, for clients that ask for it.
    pub identity: ServerIdentity,
    /// The limit on equal responses to a client network over UDP; `None` means no limit.
    pub rate_limit: Option<RateLimit>,
    /// The responses that are copied for dnstap; `None` copies none.
    pub tap: Option<TapTerms>,
}

impl Default for Settings {
    /// The values of keys that the configuration leaves out. Cookies are not answered, because there is no secret.
    fn default() -> Self {
        Settings {
            udp_payload: 1232,
            ecs_from: None,
            keepalive: 100,
            cookies: CookieSecrets::default(),
            identity: ServerIdentity::default(),
            rate_limit: None,
            tap: None,
        }
    }
}

/// The responses that are copied for dnstap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TapTerms {
    /// One of so many responses is copied, at least 1.
    pub sample: u32,
    /// The kinds of responses that are copied; `None` copies all.
    pub only: Option<TapKinds>,
    /// The part of a client's address that a copy has.
    pub clients: LoggedClients,
}

/// Kinds of responses. A response is copied if it is of one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TapKinds {
    /// Responses with the addresses of mirrors.
    pub steered: bool,
    /// Responses with another code than NOERROR and NXDOMAIN.
    pub errors: bool,
}

/// The limit on equal responses to a client network over UDP (RRL).
#[derive(Clone, Debug)]
pub struct RateLimit {
    /// Responses a second, at least one.
    pub responses_per_second: u32,
    /// The time for which a network that goes on asking stays limited after it stops, in milliseconds; a second at least.
    pub window_ms: u32,
    /// One of so many limited responses is sent truncated, the others not at all; 0 for none.
    pub slip: u8,
    /// The bits of an IPv4 address that tell networks apart, 8 to 32.
    pub ipv4_prefix: u8,
    /// The bits of an IPv6 address that tell networks apart, 32 to 64.
    pub ipv6_prefix: u8,
    /// The networks that are never limited.
    pub exempt: Option<PrefixSet>,
}

impl RateLimit {
    /// The window in microseconds.
    #[inline]
    pub(crate) fn window_us(&self) -> u64 {
        u64::from(self.window_ms) * 1000
    }
}

/// The secret of a server cookie (RFC 9018 §4.4).
pub(crate) type CookieSecret = [u8; 16];

/// The secrets of server cookies: the first signs, all verify (RFC 9018 §5).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CookieSecrets(Box<[CookieSecret]>);

impl CookieSecrets {
    /// Takes secrets in order.
    pub fn new(secrets: Vec<CookieSecret>) -> Self {
        CookieSecrets(secrets.into())
    }

    /// All secrets, the signing one first.
    #[inline]
    pub(crate) fn all(&self) -> &[CookieSecret] {
        &self.0
    }
}

impl fmt::Debug for CookieSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.0.len())
    }
}

/// The identity of the server; a value that is absent is not revealed.
#[derive(Clone, Debug, Default)]
pub struct ServerIdentity {
    /// The name of this instance for the NSID option, which adds the generation to it.
    pub nsid: Option<Box<[u8]>>,
    /// The answer to `id.server` and `hostname.bind`.
    pub host: Option<ChaosText>,
    /// The answer to `version.server` and `version.bind`.
    pub version: Option<ChaosText>,
}

/// A TXT record of class CHAOS, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChaosText(Box<[u8]>);

impl ChaosText {
    /// Encodes a text; `None` if it is longer than one character-string, 255 bytes (RFC 1035 §3.3).
    pub fn new(text: &[u8]) -> Option<Self> {
        let len = u8::try_from(text.len()).ok()?;
        let mut wire = vec![0xc0, 0x0c];
        wire.extend_from_slice(&Rtype::TXT.0.to_be_bytes());
        wire.extend_from_slice(&Class::CH.0.to_be_bytes());
        wire.extend_from_slice(&0u32.to_be_bytes());
        wire.extend_from_slice(&(u16::from(len) + 1).to_be_bytes());
        wire.push(len);
        wire.extend_from_slice(text);
        Some(ChaosText(wire.into()))
    }

    /// The record. Its TTL is 0, because the next query may reach another instance.
    #[inline]
    pub(crate) fn rrset(&self) -> RrSet<'_> {
        RrSet::unsigned(Rtype::TXT, Ttl(0), 1, &self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_printed() {
        let settings = Settings { cookies: CookieSecrets::new(vec![*b"0123456789abcdef"]), ..Settings::default() };
        let printed = format!("{settings:?}");
        assert!(printed.contains("1 secrets") && !printed.contains("48, 49") && !printed.contains("0123"), "{printed}");
    }

    #[test]
    fn a_text_is_one_record_of_class_chaos() {
        let text = ChaosText::new(b"ns1").unwrap();
        assert_eq!(text.rrset().wire(), b"\xc0\x0c\x00\x10\x00\x03\x00\x00\x00\x00\x00\x04\x03ns1");
        assert_eq!(ChaosText::new(&[b'x'; 256]), None);
    }
}
