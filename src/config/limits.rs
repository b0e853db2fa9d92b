//! Limits of the configuration that are not the range of one key, each with its reason.
//!
//! **Not here**: ranges and defaults of keys (the rows of the sections).

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::files::FileKind;

/// The largest config file, in bytes. A thousand mirrors with a hundred rules take a tenth of it.
pub const MAX_FILE_OCTETS: usize = FileKind::Config.max_len() as usize;

/// The most files of `include`: one for each of a thousand mirrors. All files together are bounded by [`MAX_FILE_OCTETS`].
pub(crate) const MAX_INCLUDED: usize = 1000;

/// The most zones, networks, mirrors or horizons: their ids have 16 bits.
pub const MAX_ITEMS: usize = 65_535;

/// The most further paths of the registry listener: a request outside the API is compared with each.
pub(crate) const MAX_PATHS: usize = 1000;

/// The most rules of one horizon: each is tried for each combination of labels when the steering table is built.
pub(crate) const MAX_RULES: usize = 10_000;

/// The most unknown names of one kind that are compared with all known ones for a "did you mean", because the time is the
/// product of both.
pub const MAX_COMPARED: usize = 100;

/// The most addresses of one mirror: all of them are one answer, and 32 AAAA records (28 bytes each) fit in the 1232
/// bytes of an unfragmented datagram.
pub(crate) const MAX_ADDRESSES: usize = crate::mirror::MAX_OF_FAMILY;

/// Connections at once, of a listener or of one client.
pub(crate) const CONNECTIONS: RangeInclusive<u64> = 1..=1_000_000;

/// The longest idle time of a TCP connection. QUIC can express it.
pub(crate) const MAX_TCP_IDLE: Duration = Duration::from_secs(600);

/// The default idle time of an HTTP connection. It is longer than the 60 s after which AWS's load balancer closes a
/// connection, because the side that sends requests must be the first to close. Google's balancer takes 600 s.
pub(crate) const HTTP_IDLE_DEFAULT: Duration = Duration::from_secs(75);

/// The longest name of an instance for NSID, in bytes: with the largest of all other options and the longest question it
/// still fits a response of 512 bytes.
pub(crate) const MAX_NSID: usize = 64;

/// The longest response to a name of class CHAOS, in bytes: one character-string (RFC 1035 §3.3).
pub(crate) const MAX_CHAOS: usize = 255;

/// The most bytes of a file of cookie secrets.
pub(crate) const MAX_SECRETS_OCTETS: usize = FileKind::Cookies.max_len() as usize;

/// The most secrets in such a file: one signs, and those that are being rolled out or retired verify. Each costs a hash
/// for every foreign cookie.
pub(crate) const MAX_SECRETS: usize = 8;

/// The most bytes that the addresses of one answer are to take: those of [`MAX_ADDRESSES`] AAAA records.
pub(crate) const ANSWER_OCTETS: usize = MAX_ADDRESSES * 28;

/// The most protocols in the `alpn` of an HTTPS record: HTTP has three, and every record carries them all.
pub(crate) const MAX_PROTOCOLS: usize = 8;

/// The longest name of a protocol, in bytes: a TLS extension has one byte for its length (RFC 7301 §3.1).
pub(crate) const MAX_PROTOCOL: usize = 255;

/// The weight of a mirror; 0 takes clients only while no other mirror of the list is up. Shares are exact to one in 256.
pub(crate) const WEIGHT: RangeInclusive<u64> = 0..=1000;

/// The most mirrors of a list with weights or by distance: mirrors with weights share 256 slots, and the orders of the
/// nearest must be fewer than the plans of a horizon.
pub(crate) const MAX_RANKED: usize = 64;

/// The most rules of a horizon with weights, and as many by distance: a rule with weights has a plan for each slot, and
/// the plans of a horizon are numbered with 16 bits.
pub(crate) const MAX_RANKED_RULES: usize = 64;

/// TCP ports that can be connected to.
pub(crate) const PORT: RangeInclusive<u64> = 1..=65_535;

/// The port of HTTPS, to which pull clients connect.
pub(crate) const MIRROR_PORT: u16 = 443;

/// The size of the canary, in bytes: every probe fetches all of it.
pub(crate) const CANARY_SIZE: RangeInclusive<u64> = 1..=1_048_576;

/// The longest path of a Unix socket, in bytes: the system has room for 107 and a zero (`sun_path` in unix(7)), and the
/// socket is created as `….new`.
pub(crate) const MAX_SOCKET_PATH: usize = 103;

/// The longest name of a group, in bytes: `LOGIN_NAME_MAX` of Linux, which names of groups keep to as well.
pub(crate) const MAX_GROUP: usize = 256;

/// The longest contact of a mirror, in bytes: a mail address has 254 at most (RFC 5321 §4.5.3.1.3), and each sample of
/// `pharos_mirror_info` carries it as a label.
pub(crate) const MAX_CONTACT: usize = 256;

/// The most credentials of one mirror: one for each of its machines.
pub(crate) const MAX_CREDENTIALS: usize = 64;

/// The most keys of a zone: an algorithm that is rolled has four, and all of them are in one DNSKEY answer.
pub(crate) const MAX_SIGNING_KEYS: usize = 8;

/// The length of a token, in bytes. 20 characters of base64 are 15 random bytes, which cannot be guessed; a text longer
/// than a key of 256 bytes is no token.
pub(crate) const TOKEN_LEN: RangeInclusive<usize> = 20..=344;

/// The most resolvers, because a longer list has some that do not answer.
pub(crate) const MAX_SERVERS: usize = 16;
