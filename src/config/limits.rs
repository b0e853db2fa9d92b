//! Defaults and ranges of the config, each with its reason.
//!
//! **Invariants**: every default lies in its range.
//! **Not here**: where they are applied ([`super::spec`], [`super::check`]).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::files::Kind;

/// The largest config file, in octets. A thousand mirrors with a hundred rules take a tenth of it.
pub const MAX_FILE_OCTETS: usize = Kind::Config.max_len() as usize;

/// The most files of `include`: one for each of a thousand mirrors. All files together are bounded by [`MAX_FILE_OCTETS`].
pub const MAX_INCLUDED: usize = 1000;

/// The most zones, networks, mirrors or horizons: their ids have 16 bits.
pub const MAX_ITEMS: usize = 65_535;

/// The most rules of one horizon: each is tried for each combination of labels when the steering table is built.
pub const MAX_RULES: usize = 10_000;

/// The most unknown names of one kind that are compared with all known ones for a "did you mean": the time it takes is
/// the product of both, and whoever misspelt this many has another problem.
pub const MAX_COMPARED: usize = 100;

/// The most addresses of one mirror: all of them are one answer, and 32 AAAA records (28 octets each) fit in the
/// 1232 octets of an unfragmented datagram.
pub const MAX_ADDRESSES: usize = crate::mirror::MAX_OF_FAMILY;

/// Where to answer DNS by default: loopback only, so that nothing is exposed unasked, and no privileged port.
pub const DNS_LISTEN: [SocketAddr; 2] =
    [SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5300), SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 5300)];

/// Where RFC 8484 §6 has its example, and where everybody looks.
pub const HTTPS_PATH: &str = "/dns-query";

/// UDP worker threads; by default one per core.
pub const UDP_THREADS: RangeInclusive<u64> = 1..=1024;

/// Datagrams taken or sent by one system call: with more the call itself costs nothing any more, and the last waits longer.
pub const UDP_BATCH: RangeInclusive<u64> = 1..=128;

/// The cost of a call is then 3 % of that of its datagrams. From 8 to 128 the CPU time of an answer differs by less than
/// its noise (benches/README.md), so the number is chosen for what waits: the end of a batch waits for the whole of it, and
/// the buffers in use should stay in the nearest cache.
pub const UDP_BATCH_DEFAULT: usize = 32;

/// The largest UDP answer, in octets: RFC 6891 §6.2.3 has 512 as the least, and 4096 as what is worth trying.
pub const UDP_PAYLOAD: RangeInclusive<u64> = 512..=4096;

/// DNS flag day 2020: the largest datagram that passes the IPv6 minimum MTU of 1280 unfragmented.
pub const UDP_PAYLOAD_DEFAULT: u16 = 1232;

/// TCP connections at once.
pub const TCP_CONNECTIONS: RangeInclusive<u64> = 1..=1_000_000;

/// Fits beside everything else into the usual limit of 4096 open files, at a few KiB each.
pub const TCP_CONNECTIONS_DEFAULT: usize = 1024;

/// A sixteenth of all: a large resolver site opens tens at once, and sixteen hostile ones are needed to fill the server.
pub const TCP_CONNECTIONS_PER_CLIENT_DEFAULT: usize = 64;

/// How long a TCP connection may be silent.
pub const TCP_IDLE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(600);

/// RFC 7766 §6.2.3: "in the order of a few seconds", yet long enough for the next query of a resolver far away.
pub const TCP_IDLE_DEFAULT: Duration = Duration::from_secs(10);

/// Connections at once to the registry listener, or to the admin listener.
pub const HTTP_CONNECTIONS: RangeInclusive<u64> = TCP_CONNECTIONS;

/// A connection without a request takes some 10 KB, so these are 40 MB, well below the usual hard limit of open files.
pub const REGISTRY_CONNECTIONS_DEFAULT: usize = 4096;

/// A sixteenth of all, as for DNS. A cluster behind one address keeps a connection or two for each node that pulls now;
/// one more than these closes the one idle longest, which costs the cluster a handshake and no pull.
pub const REGISTRY_CONNECTIONS_PER_CLIENT_DEFAULT: usize = 256;

/// Scrapes and health checks of a few monitors and load balancers, which keep one connection each.
pub const ADMIN_CONNECTIONS_DEFAULT: usize = 256;

/// An eighth of all: behind one address may be several monitors, and eight hostile clients are needed to fill the listener.
pub const ADMIN_CONNECTIONS_PER_CLIENT_DEFAULT: usize = 32;

/// How long a connection to the registry or admin listener may be silent between requests.
pub const HTTP_IDLE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

/// Longer than the 60 s after which AWS's load balancer gives up a connection: the side that sends requests has to be
/// the first to close, or a request meets a connection that is closing. Behind Google's balancer it takes more than 600 s.
pub const HTTP_IDLE_DEFAULT: Duration = Duration::from_secs(75);

/// The longest name of an instance for NSID, in octets: with the largest of all other options and the longest question it
/// still fits the 512 octets of the smallest client.
pub const MAX_NSID: usize = 64;

/// The longest text told under a name of class CHAOS, in octets: one character-string (RFC 1035 §3.3).
pub const MAX_CHAOS: usize = 255;

/// The most octets of a file of cookie secrets, and the most secrets in it: one signs, and as many as are being rolled out
/// or retired verify. Each costs a hash for every cookie that is not ours.
pub const MAX_SECRETS_OCTETS: usize = Kind::Cookies.max_len() as usize;

/// See [`MAX_SECRETS_OCTETS`].
pub const MAX_SECRETS: usize = 8;

/// Responses a second of the same to the same network, where `[dns.rrl]` is there at all.
///
/// It is off unless asked for, as in NSD, BIND and gdnsd. A public resolver asks for a steered name once per client subnet
/// and TTL, thousands of times a second from one network, and any default would cut it off; and the answers here are
/// hardly longer than their queries, which makes us a poor amplifier.
pub const RRL_RESPONSES: RangeInclusive<u64> = 1..=100_000;

/// NSD's default. BIND's examples have 5 to 10, which suits names that are cached whole.
pub const RRL_RESPONSES_DEFAULT: u32 = 200;

/// How long a network that goes on asking stays limited after it stops: not below the second that may be sent at once.
pub const RRL_WINDOW: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

/// BIND's default.
pub const RRL_WINDOW_DEFAULT: Duration = Duration::from_secs(15);

/// One of how many limited responses is sent truncated; 0 for none, which leaves a victim without any answer.
pub const RRL_SLIP: RangeInclusive<u64> = 0..=10;

/// BIND's and NSD's default: half of the flood is not even sent back, and a victim that asks three times gets a truncated
/// answer, and by TCP a whole one, with a probability of 7/8.
pub const RRL_SLIP_DEFAULT: u8 = 2;

/// The prefix length of a client network.
pub const RRL_IPV4_PREFIX: RangeInclusive<u64> = 8..=32;

/// What is routed at the least; a spoofed flood names any address of its victim's.
pub const RRL_IPV4_PREFIX_DEFAULT: u8 = 24;

/// The prefix length of a client network; beyond 64 stands what a host chooses for itself.
pub const RRL_IPV6_PREFIX: RangeInclusive<u64> = 32..=64;

/// What one site gets (RFC 6177).
pub const RRL_IPV6_PREFIX_DEFAULT: u8 = 56;

/// The TTL of steered addresses, in seconds. Not 0: every pull would ask again, and some resolvers raise it to
/// values of their own. Not above a day: a dead mirror would be kept for as long.
pub const TTL: RangeInclusive<u64> = 1..=86_400;

/// A minute: what a resolver that just asked may keep of a mirror that then dies, against one query a minute.
pub const TTL_DEFAULT: u64 = 60;

/// With how many mirrors a horizon answers: see [`crate::steer::AnswerMirrors`] for both ends and the default.
pub const ANSWER_MIRRORS: RangeInclusive<u64> = 1..=8;

/// The most octets that the addresses of one answer are to take: those of [`MAX_ADDRESSES`] AAAA records.
pub const ANSWER_OCTETS: usize = MAX_ADDRESSES * 28;

/// The most protocols in the `alpn` of an HTTPS record: HTTP has three, and every record carries them all.
pub const MAX_PROTOCOLS: usize = 8;

/// The longest name of a protocol, in octets: a TLS extension counts them in one (RFC 7301 §3.1).
pub const MAX_PROTOCOL: usize = 255;

/// The weight of a mirror; 0 for one that takes clients only while no other of the list is up. Shares are told to one in 256.
pub const WEIGHT: RangeInclusive<u64> = 0..=1000;

/// The most mirrors of a list with weights or by distance: those of a list with weights share 256 slots, and the nearest alone
/// must make fewer plans than there may be.
pub const MAX_RANKED: usize = 64;

/// The most rules of a horizon with weights, and as many by distance: a rule with weights has a plan for each slot, and the
/// plans of a horizon are numbered with 16 bits.
pub const MAX_RANKED_RULES: usize = 64;

/// How long the scope of answers by weight is at least, in bits of IPv4; see [`crate::steer::LeastScopes`] for the default. Beyond
/// 24 resolvers tell nobody's address (RFC 7871 §11.1), and under 8 there are too few blocks to share out.
pub const WEIGHTS_IPV4_SCOPE: RangeInclusive<u64> = 8..=24;

/// The same for IPv6, where resolvers tell 56 bits, and a registry has 12 to 23.
pub const WEIGHTS_IPV6_SCOPE: RangeInclusive<u64> = 16..=56;

/// TCP ports that can be connected to.
pub const PORT: RangeInclusive<u64> = 1..=65_535;

/// The port of HTTPS, which is where pull clients go.
pub const MIRROR_PORT: u16 = 443;

/// How often an address is probed.
pub const PROBE_INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);

/// With `fall` 3 a dead mirror is left within 30 s, at one handshake each 10 s for it.
pub const PROBE_INTERVAL_DEFAULT: Duration = Duration::from_secs(10);

/// In doubt we look sooner, so that a mirror that died is left after some 16 s; yet a restart of it takes longer than
/// three of these.
pub const PROBE_RETRY_DEFAULT: Duration = Duration::from_secs(3);

/// How long one probe may take.
pub const PROBE_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(60);

/// Two lost packets are sent again within 3 s (RFC 6298 §2); a mirror that takes longer is no good to pull from.
pub const PROBE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(4);

/// Verdicts in a row.
pub const PROBE_COUNT: RangeInclusive<u64> = 1..=100;

/// One lost probe is chance, two may be; three in a row are not.
pub const FALL_DEFAULT: u8 = 3;

/// More than to fall: coming back too early costs pulls, coming back late costs only distance.
pub const RISE_DEFAULT: u8 = 5;

/// How long an address stays down.
pub const HOLD_DOWN: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(86_400);

/// The default TTL: whoever was sent elsewhere comes back no sooner than their answer ends.
pub const HOLD_DOWN_DEFAULT: Duration = Duration::from_secs(60);

/// Ten minutes: a mirror that flaps that often is better left to its owner.
pub const MAX_HOLD_DOWN_DEFAULT: Duration = Duration::from_secs(600);

/// The longest that a blob request waits for its mirror's answer; 0 for not at all.
pub const ASK_WAIT: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(5);

/// A new connection and a question take three round trips, which is this at 100 ms each: any mirror near enough to be
/// worth it answers in time. Who is late costs one redirect to the canonical registry; the next request knows.
pub const ASK_WAIT_DEFAULT: Duration = Duration::from_millis(300);

/// How long it is believed that a mirror has a blob.
pub const ASK_KEEP: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(7 * 86_400);

/// Content never changes under its digest, and is rarely deleted; but where it was, pulls fail until this is over.
pub const ASK_KEEP_DEFAULT: Duration = Duration::from_secs(6 * 3600);

/// How long it is believed that a mirror lacks a blob.
pub const ASK_LACKING: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

/// What has just been pushed and copied is served by mirrors a minute later, at one question a minute for what is not.
pub const ASK_LACKING_DEFAULT: Duration = Duration::from_secs(60);

/// How long before its end a certificate is warned of.
pub const EXPIRING: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(90 * 86_400);

/// A long weekend: time to renew by hand what should have been renewed by itself.
pub const EXPIRING_DEFAULT: Duration = Duration::from_secs(72 * 3600);

/// The canary's size in octets: all of it is fetched by every probe.
pub const CANARY_SIZE: RangeInclusive<u64> = 1..=1_048_576;

/// The longest path of a Unix socket, in octets: the system has room for 107 and a zero (`sun_path` in unix(7)), and for a
/// moment it is called `.new`.
pub const MAX_SOCKET_PATH: usize = 103;

/// The longest name of a group, in bytes: `LOGIN_NAME_MAX` of Linux, which names of groups keep to as well.
pub const MAX_GROUP: usize = 256;

/// The longest contact of a mirror, in bytes: a mail address has 254 at most (RFC 5321 §4.5.3.1.3), and each sample of
/// `pharos_mirror_info` carries it as a label.
pub const MAX_CONTACT: usize = 256;

/// The length of a token, in octets. 20 characters of base64 are 15 random octets, beyond all guessing; what is longer than
/// a key of 256 octets is something else.
pub const TOKEN_LEN: RangeInclusive<usize> = 20..=344;

/// The most resolvers: who lists more has listed what does not answer.
pub const MAX_SERVERS: usize = 16;

/// How long a resolver may take to answer one query, before it is asked again or another is.
pub const RESOLVER_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(30);

/// A resolver that has to ask around the world takes less than a second; one lost packet may be sent again in that time
/// without the start of the server getting long.
pub const RESOLVER_TIMEOUT_DEFAULT: Duration = Duration::from_secs(2);

/// The least time between two lookups of a host, whatever its TTL. Not 0: it would be asked for without a pause.
pub const LEAST_TTL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

/// Load balancers have 20 s or more. Whoever has less, down to 0, means "do not keep this", which an address that is first
/// probed and then handed to thousands of clients for a minute cannot honour; and addresses that change by the second, as in
/// rebinding, change ours six times a minute at most.
pub const LEAST_TTL_DEFAULT: Duration = Duration::from_secs(10);

/// The longest time between two lookups of a host, whatever its TTL.
pub const GREATEST_TTL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);

/// Who moves a mirror and forgot to lower a TTL of days beforehand waits an hour.
pub const GREATEST_TTL_DEFAULT: Duration = Duration::from_secs(3600);

/// Autonomous system numbers (RFC 6793); 0 is never announced (RFC 7607).
pub const ASN: RangeInclusive<u64> = 1..=u32::MAX as u64;
