//! The part of the configuration that the engine reads: how queries are treated, and what the server says of itself.
//!
//! **Invariants**: whatever goes into a reply is encoded already; secrets are never printed.
//! **Not here**: what the keys of the configuration are and mean ([`crate::config`]).
//!
//! RFC 5001 (NSID), RFC 4892 (names of class CHAOS), RFC 9018 (secrets of cookies).

use std::fmt;

use crate::base::prefix::PrefixSet;
use crate::base::rr::{Class, Rtype};
use crate::base::time::Ttl;
use crate::zone::RrSet;

/// The part of the configuration that the engine reads.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The largest UDP answer sent, in octets.
    pub udp_payload: u16,
    /// Resolvers whose ECS option is listened to; none means all.
    pub ecs_from: Option<PrefixSet>,
    /// For how long a TCP connection may be silent, in tenths of a second (RFC 7828 §3.1).
    pub keepalive: u16,
    /// What cookies are signed with; without any there are no cookies.
    pub cookies: CookieSecrets,
    /// What we tell of ourselves to whoever asks.
    pub identity: ServerIdentity,
    /// How often a client network is told the same over UDP; none means as often as it asks.
    pub rate_limit: Option<RateLimit>,
}

impl Default for Settings {
    /// What holds where the configuration says nothing; cookies are not answered, for want of a secret.
    fn default() -> Self {
        Settings {
            udp_payload: 1232,
            ecs_from: None,
            keepalive: 100,
            cookies: CookieSecrets::default(),
            identity: ServerIdentity::default(),
            rate_limit: None,
        }
    }
}

/// How often a client network is told the same over UDP (RRL).
#[derive(Clone, Debug)]
pub struct RateLimit {
    /// Responses a second, at least one.
    pub responses_per_second: u32,
    /// How long a network that goes on asking stays limited after it stops, in milliseconds; a second at least.
    pub window_ms: u32,
    /// One of so many limited responses is sent truncated, the others not at all; 0 for none.
    pub slip: u8,
    /// The bits of an IPv4 address that tell networks apart, 8 to 32.
    pub ipv4_prefix: u8,
    /// The bits of an IPv6 address that tell networks apart, 32 to 64.
    pub ipv6_prefix: u8,
    /// Who is never limited.
    pub exempt: Option<PrefixSet>,
}

impl RateLimit {
    /// The window in microseconds.
    #[inline]
    pub fn window_us(&self) -> u64 {
        u64::from(self.window_ms) * 1000
    }
}

/// The secret of a server cookie (RFC 9018 §4.4).
pub type CookieSecret = [u8; 16];

/// The secrets of server cookies: the first signs, all verify (RFC 9018 §5).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CookieSecrets(Box<[CookieSecret]>);

impl CookieSecrets {
    /// Takes secrets in order.
    pub fn new(secrets: Vec<CookieSecret>) -> Self {
        CookieSecrets(secrets.into())
    }

    /// All of them, that which signs first.
    #[inline]
    pub fn all(&self) -> &[CookieSecret] {
        &self.0
    }
}

impl fmt::Debug for CookieSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.0.len())
    }
}

/// What we tell of ourselves; what is absent is not told.
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
    /// The longest text: one character-string (RFC 1035 §3.3).
    pub const MAX_LEN: usize = 255;

    /// Encodes a text; none where it is too long.
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

    /// The record; it is not to be cached, for the next query may reach another instance.
    #[inline]
    pub fn rrset(&self) -> RrSet<'_> {
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
