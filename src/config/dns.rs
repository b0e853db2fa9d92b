//! `[dns]` and `[dns.rrl]`: DNS over UDP and TCP.
//!
//! **Invariants**: the connections of one client are not more than those of all.
//! **Not here**: encrypted transports ([`super::encrypted`]); addresses that are listened on twice
//! ([`super::meaning`]).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::check::Check;
use super::encrypted::{DnsTlsSpec, Encrypted, HttpsSpec, QuicSpec};
use super::field::section;
use super::row::{LISTEN_FORM, duration, file, hours, number, same, secs, table, text, texts};
use super::{FileUse, InputFile, PlacedText, limits, value};
use crate::base::diagnostic::Diagnostic;
use crate::base::prefix::{Prefix, PrefixSet};
use crate::snapshot::RateLimit;

/// The default listen addresses of DNS.
pub(super) const DNS_LISTEN: [SocketAddr; 2] =
    [SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5300), SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 5300)];

/// The largest UDP response that no path fragments.
pub(crate) const UDP_PAYLOAD_DEFAULT: u16 = 1232;

section! {
    /// `[dns]` as written.
    pub(super) struct DnsSpec: "[dns]" {
        /// Listen addresses for UDP and TCP. An address that no interface has yet is bound all the same, with a warning; a
        /// default address that the machine lacks is skipped. `[]` means none, if the configuration has no zone.
        ///
        /// The default is loopback and an unprivileged port, so that nothing is exposed unasked.
        listen: Option<Vec<PlacedText>> = texts("listen", LISTEN_FORM)
            .otherwise("`[\"127.0.0.1:5300\", \"[::1]:5300\"]`")
            .may_be_empty()
            .restart_unless(same!(config => &config.dns.listen))
            .example("[\"192.0.2.53:53\", \"[2001:db8::53]:53\"]"),

        /// Worker threads for each UDP address.
        ///
        /// A thread per core has its own socket, so that no two share a lock.
        udp_threads: Option<usize> = number("udp-threads", 1..=1024, "threads")
            .otherwise("one per core")
            .restart_unless(same!(config => config.dns.udp_threads))
            .example("4"),

        /// Datagrams received or sent by one system call. Larger batches cost less CPU under load; smaller ones reduce
        /// latency.
        ///
        /// At 32 the call costs 3 % of its datagrams. From 8 to 128 the CPU time of a response differs by less than its
        /// noise, so the default keeps the wait for the end of a batch short and its buffers in the nearest cache.
        udp_batch: usize = number("udp-batch", 1..=128, "datagrams")
            .default(32)
            .restart_unless(same!(config => config.dns.udp_batch))
            .example("64"),

        /// The largest UDP response. Longer ones are truncated, so that the client asks again over TCP.
        ///
        /// Up to 1232 bytes no response is fragmented, because it fits the IPv6 minimum MTU of 1280 (RFC 9715).
        udp_payload: u16 = number("udp-payload", 512..=4096, "bytes").default(UDP_PAYLOAD_DEFAULT as u64).example("1400"),

        /// Connections over TCP, TLS, HTTPS and QUIC at once, of all clients. When full, the connection idle longest is
        /// closed.
        ///
        /// The default fits the usual limit of 4096 open files beside everything else, at a few KiB each.
        tcp_connections: usize = number("tcp-connections", limits::CONNECTIONS, "connections")
            .default(1024)
            .example("4096"),

        /// Connections at once from one IPv4 address or IPv6 /64. When full, a new connection of this client is refused.
        ///
        /// A large resolver site opens tens of connections at once. A sixteenth of all means that sixteen hostile clients
        /// are needed to fill the server.
        tcp_connections_per_client: usize =
            number("tcp-connections-per-client", limits::CONNECTIONS, "connections")
                .at_most("tcp-connections")
                .default(64)
                .example("128"),

        /// Time after which an idle connection is closed. Clients that send the option of RFC 7828 over TCP or TLS are
        /// sent this value.
        ///
        /// RFC 7766 §6.2.3 asks for a few seconds; ten are long enough for the next query of a distant resolver.
        tcp_idle: Duration = duration("tcp-idle", secs(1)..=limits::MAX_TCP_IDLE).default(secs(10)).example("\"30s\""),

        /// Prefixes of resolvers whose ECS option is used. Other resolvers get an answer for their own address, with
        /// scope 0.
        ///
        /// RFC 7871 §11.3 advises such a list, because any resolver can claim any subnet.
        ecs_from: Option<Vec<PlacedText>> = texts("ecs-from", "prefix")
            .otherwise("all resolvers")
            .example("[\"192.0.2.0/24\", \"2001:db8::/32\"]"),

        /// File with the secrets of DNS cookies (RFC 9018): 32 hexadecimal digits a line, 8 lines at most. The first
        /// secret signs, all verify. A reload reads it again.
        ///
        /// Servers behind one address need the same file, so that each accepts the cookies of the others.
        cookie_secrets: Option<PlacedText> = file("cookie-secrets", FileUse::Cookies)
            .otherwise("a random secret for the life of the process")
            .example("\"/etc/pharos/cookie-secrets\""),

        /// Name of this instance, sent to clients with the NSID option (RFC 5001), for example to `dig +nsid`. The
        /// generation of the snapshot follows it: `fra1-a/17`.
        ///
        /// At most 64 bytes, so that it fits a response of 512 bytes beside all other options.
        nsid: Option<PlacedText> = text("nsid", "text of 1 to 64 bytes").otherwise("not sent").example("\"fra1-a\""),

        /// Response to TXT queries of class CHAOS for `id.server` and `hostname.bind`.
        ///
        /// At most 255 bytes, because it is one character-string (RFC 1035 §3.3).
        identity: Option<PlacedText> = text("identity", "text of 1 to 255 bytes")
            .otherwise("REFUSED")
            .example("\"ns1.example.com\""),

        /// Response to TXT queries of class CHAOS for `version.server` and `version.bind`.
        ///
        /// Refused by default, because a version helps attackers more than operators.
        version: Option<PlacedText> = text("version", "text of 1 to 255 bytes").otherwise("REFUSED").example("\"not disclosed\""),

        /// Response rate limiting over UDP.
        ///
        /// Off by default, as in NSD, BIND and gdnsd, because a public resolver asks for a steered name once per client
        /// subnet, which can be thousands of times a second.
        rrl: Option<RrlSpec> = table::<RrlSpec>("rrl").otherwise("off"),

        /// DNS over HTTPS (RFC 8484), over HTTP/2 and HTTP/1.1 with GET and POST. Needs `[dns.tls]`.
        https: Option<HttpsSpec> = table::<HttpsSpec>("https").otherwise("off").restart_unless(same!(config => {
            config.dns.encrypted.as_ref().and_then(|encrypted| encrypted.https.as_ref())
        })),

        /// DNS over QUIC (RFC 9250) without 0-RTT. Needs `[dns.tls]`.
        quic: Option<QuicSpec> = table::<QuicSpec>("quic").otherwise("off"),

        /// Certificate of all encrypted transports, and DNS over TLS (RFC 7858).
        tls: Option<DnsTlsSpec> = table::<DnsTlsSpec>("tls").otherwise("off"),
    }
}

section! {
    /// `[dns.rrl]` as written.
    pub(super) struct RrlSpec: "[dns.rrl]" {
        /// Responses a second of one kind to one client network. As many may be sent at once.
        ///
        /// NSD's default. BIND's examples have 5 to 10, which suits names that resolvers cache whole.
        responses_per_second: u32 = number("responses-per-second", 1..=100_000, "responses").default(200).example("500"),

        /// Time that a network has to stay below the rate until it is no longer limited.
        ///
        /// BIND's default.
        window: Duration = duration("window", secs(1)..=hours(1)).default(secs(15)).example("\"10s\""),

        /// One of so many limited responses is sent: empty and truncated, or with BADCOOKIE to a client that supports
        /// cookies. 0 sends none.
        ///
        /// The default of BIND and NSD. Half of a flood is not reflected, and a real client that asks three times gets a
        /// truncated response, and then a whole one over TCP, with a probability of 7/8.
        slip: u8 = number("slip", 0..=10, "").default(2).example("1"),

        /// Prefix length of an IPv4 client network.
        ///
        /// The longest prefix that is routed. A spoofed flood can name any address of its victim's network.
        ipv4_prefix: u8 = number("ipv4-prefix", 8..=32, "bits").default(24).example("32"),

        /// Prefix length of an IPv6 client network.
        ///
        /// The prefix of one site (RFC 6177). Beyond 64 bits a host chooses its address itself.
        ipv6_prefix: u8 = number("ipv6-prefix", 32..=64, "bits").default(56).example("48"),

        /// Prefixes of clients that are never limited.
        exempt: Vec<PlacedText> = texts("exempt", "prefix").example("[\"192.0.2.0/24\"]"),
    }
}

/// `[dns]`: the listeners.
#[derive(Clone, Debug)]
pub(crate) struct DnsConfig {
    /// Listen addresses for UDP and TCP.
    pub(crate) listen: Vec<SocketAddr>,
    /// True if `listen` is not written: an address that the machine lacks is skipped.
    pub(crate) listen_is_default: bool,
    /// Encrypted transports. `None` without a certificate.
    pub(crate) encrypted: Option<Encrypted>,
    /// UDP worker threads. `None` means one per core.
    pub(crate) udp_threads: Option<usize>,
    /// The most datagrams received or sent by one system call (1 to 128).
    pub(crate) udp_batch: usize,
    /// The largest UDP response, in bytes (512 to 4096).
    pub(crate) udp_payload: u16,
    /// The most TCP connections at once, of all clients.
    pub(crate) tcp_connections: usize,
    /// The most TCP connections at once from one IPv4 address or IPv6 /64.
    pub(crate) tcp_connections_per_client: usize,
    /// Time after which an idle TCP connection is closed.
    pub(crate) tcp_idle: Duration,
    /// Resolvers whose ECS option is used. `None` means all of them (RFC 7871 §11.3).
    pub(crate) ecs_from: Option<Vec<Prefix>>,
    /// The file with the secrets of cookies. `None` means a random secret (RFC 9018 §5).
    pub(crate) cookie_secrets: Option<InputFile>,
    /// The name of this instance for the NSID option (RFC 5001). `None` sends none.
    pub(crate) nsid: Option<Arc<str>>,
    /// The response to `id.server` and `hostname.bind` of class CHAOS. `None` refuses it.
    pub(crate) identity: Option<Arc<str>>,
    /// The response to `version.server` and `version.bind` of class CHAOS. `None` refuses it.
    pub(crate) version: Option<Arc<str>>,
    /// `[dns.rrl]`. `None` sends every response.
    pub(crate) rrl: Option<RateLimit>,
}

impl Check<'_> {
    pub(super) fn check_dns(&mut self, spec: &DnsSpec) -> DnsConfig {
        DnsConfig {
            listen: spec.listen.as_ref().map_or(DNS_LISTEN.to_vec(), |texts| self.check_listen(texts)),
            listen_is_default: spec.listen.is_none(),
            encrypted: self.check_encrypted(spec.tls.as_ref(), spec.https.as_ref(), spec.quic.as_ref()),
            udp_threads: spec.udp_threads,
            udp_batch: spec.udp_batch,
            udp_payload: spec.udp_payload,
            tcp_connections: spec.tcp_connections,
            tcp_connections_per_client: spec.tcp_connections_per_client,
            tcp_idle: spec.tcp_idle,
            ecs_from: spec.ecs_from.as_ref().map(|texts| self.check_prefixes(texts)),
            cookie_secrets: spec.cookie_secrets.as_ref().and_then(|text| self.input(text, FileUse::Cookies)),
            nsid: spec.nsid.as_ref().and_then(|text| self.check_response(text, limits::MAX_NSID)),
            identity: spec.identity.as_ref().and_then(|text| self.check_response(text, limits::MAX_CHAOS)),
            version: spec.version.as_ref().and_then(|text| self.check_response(text, limits::MAX_CHAOS)),
            rrl: spec.rrl.as_ref().map(|rrl| RateLimit {
                responses_per_second: rrl.responses_per_second,
                // An hour at most: the range of `window`.
                window_ms: rrl.window.as_millis() as u32,
                slip: rrl.slip,
                ipv4_prefix: rrl.ipv4_prefix,
                ipv6_prefix: rrl.ipv6_prefix,
                exempt: (!rrl.exempt.is_empty()).then(|| PrefixSet::new(&self.check_prefixes(&rrl.exempt))),
            }),
        }
    }

    /// A text that goes into responses as it is.
    pub(super) fn check_response(&mut self, text: &PlacedText, max_len: usize) -> Option<Arc<str>> {
        let response = self.parse(text, value::word)?;
        if response.len() > max_len {
            self.report(
                Diagnostic::error("out-of-range", format!("this text has {} bytes", response.len()))
                    .at(text.place.clone(), "too long for a response")
                    .help(format!("keep it to {max_len} bytes")),
            );
            return None;
        }
        Some(response)
    }
}
