//! The configuration as written: every key in its place, values of the right type and range, references by name.
//!
//! TOML in, a [`Spec`] out. A key that is missing or wrong is absent here and reported; what stays is complete enough
//! for [`super::check`] to go on and find the other problems of the same run.
//!
//! **Invariants**: names come in file order; a list that the operator wrote empty has been reported.
//! **Not here**: what values mean and refer to ([`super::check`]).

use std::sync::Arc;
use std::time::Duration;

use toml::de::DeTable;

use super::reader::{Reader, Table, Value, entries};
use super::{NetworkKind, Placed, limits};
use crate::base::diagnostic::{Diagnostic, Place, did_you_mean};
use crate::base::geo::Coordinates;

/// A text and where it stands.
pub(super) type Text = Placed<Arc<str>>;
/// A number and where it stands.
pub(super) type Number = Placed<u64>;

/// All that is written.
#[derive(Debug, Default)]
pub(super) struct Spec {
    pub(super) allow: Vec<Text>,
    pub(super) dns: DnsSpec,
    pub(super) registry: Option<RegistrySpec>,
    pub(super) admin: Option<AdminSpec>,
    pub(super) control: Option<ControlSpec>,
    pub(super) probe: Option<ProbeSpec>,
    pub(super) resolver: Option<ResolverSpec>,
    pub(super) keys: Vec<KeySpec>,
    pub(super) zones: Vec<ZoneSpec>,
    pub(super) networks: Vec<NetworkSpec>,
    pub(super) mirrors: Vec<MirrorSpec>,
    pub(super) horizons: Vec<HorizonSpec>,
}

/// `[dns]`
#[derive(Debug, Default)]
pub(super) struct DnsSpec {
    pub(super) listen: Option<Vec<Text>>,
    pub(super) udp_threads: Option<Number>,
    pub(super) udp_batch: Option<Number>,
    pub(super) udp_payload: Option<Number>,
    pub(super) tcp_connections: Option<Number>,
    pub(super) tcp_connections_per_client: Option<Number>,
    pub(super) tcp_idle: Option<Placed<Duration>>,
    pub(super) ecs_from: Option<Vec<Text>>,
    pub(super) cookie_secrets: Option<Text>,
    pub(super) nsid: Option<Text>,
    pub(super) identity: Option<Text>,
    pub(super) version: Option<Text>,
    pub(super) rrl: Option<RrlSpec>,
    pub(super) tls: Option<DnsTlsSpec>,
    pub(super) https: Option<HttpsSpec>,
    pub(super) quic: Option<QuicSpec>,
}

/// `[dns.rrl]`
#[derive(Debug)]
pub(super) struct RrlSpec {
    pub(super) responses_per_second: Option<Number>,
    pub(super) window: Option<Placed<Duration>>,
    pub(super) slip: Option<Number>,
    pub(super) ipv4_prefix: Option<Number>,
    pub(super) ipv6_prefix: Option<Number>,
    pub(super) exempt: Option<Vec<Text>>,
}

/// `[dns.tls]`
#[derive(Debug)]
pub(super) struct DnsTlsSpec {
    pub(super) listen: Vec<Text>,
    pub(super) files: TlsSpec,
}

/// `[dns.https]`
#[derive(Debug)]
pub(super) struct HttpsSpec {
    pub(super) listen: Vec<Text>,
    pub(super) path: Option<Text>,
    pub(super) place: Place,
}

/// `[dns.quic]`
#[derive(Debug)]
pub(super) struct QuicSpec {
    pub(super) listen: Vec<Text>,
    pub(super) place: Place,
}

/// `connections`, `connections-per-client` and `idle` of an HTTP listener.
#[derive(Debug)]
pub(super) struct ConnectionsSpec {
    pub(super) all: Option<Number>,
    pub(super) per_client: Option<Number>,
    pub(super) idle: Option<Placed<Duration>>,
}

/// `[registry]`
#[derive(Debug)]
pub(super) struct RegistrySpec {
    pub(super) listen: Vec<Text>,
    pub(super) canonical: Option<Text>,
    pub(super) blobs: Option<Text>,
    pub(super) signatures: Option<Text>,
    pub(super) info: Option<Text>,
    pub(super) privacy: Option<Text>,
    pub(super) trusted_proxies: Vec<Text>,
    pub(super) direct: Option<Placed<bool>>,
    pub(super) ask: Option<Placed<bool>>,
    pub(super) ask_wait: Option<Placed<Duration>>,
    pub(super) ask_keep: Option<Placed<Duration>>,
    pub(super) ask_lacking: Option<Placed<Duration>>,
    pub(super) tls: Option<TlsSpec>,
    pub(super) connections: ConnectionsSpec,
}

/// `[admin]`
#[derive(Debug)]
pub(super) struct AdminSpec {
    pub(super) listen: Vec<Text>,
    pub(super) connections: ConnectionsSpec,
    pub(super) token: Option<Text>,
    pub(super) token_file: Option<Text>,
    pub(super) names: Vec<Text>,
}

/// `[control]`
#[derive(Debug)]
pub(super) struct ControlSpec {
    pub(super) socket: Option<Text>,
    pub(super) group: Option<Text>,
    pub(super) state: Option<Text>,
}

/// `[probe]`
#[derive(Debug)]
pub(super) struct ProbeSpec {
    pub(super) name: Option<Text>,
    pub(super) port: Option<Number>,
    pub(super) interval: Option<Placed<Duration>>,
    pub(super) retry: Option<Placed<Duration>>,
    pub(super) timeout: Option<Placed<Duration>>,
    pub(super) fall: Option<Number>,
    pub(super) rise: Option<Number>,
    pub(super) hold_down: Option<Placed<Duration>>,
    pub(super) max_hold_down: Option<Placed<Duration>>,
    pub(super) expiring: Option<Placed<Duration>>,
    pub(super) canary: Option<CanarySpec>,
    pub(super) roots: Option<Text>,
    pub(super) state: Option<Text>,
    pub(super) place: Place,
}

/// `[resolver]`
#[derive(Debug)]
pub(super) struct ResolverSpec {
    pub(super) servers: Option<Vec<Text>>,
    pub(super) timeout: Option<Placed<Duration>>,
    pub(super) least_ttl: Option<Placed<Duration>>,
    pub(super) greatest_ttl: Option<Placed<Duration>>,
    pub(super) private: Option<Vec<Text>>,
    pub(super) state: Option<Text>,
}

/// `probe.canary`
#[derive(Debug)]
pub(super) struct CanarySpec {
    pub(super) repository: Option<Text>,
    pub(super) digest: Option<Text>,
    pub(super) size: Option<Number>,
}

/// `registry.tls`
#[derive(Debug)]
pub(super) struct TlsSpec {
    pub(super) cert: Option<Text>,
    pub(super) key: Option<Text>,
}

/// One `[[zone]]`.
#[derive(Debug)]
pub(super) struct ZoneSpec {
    pub(super) name: Option<Text>,
    pub(super) file: Option<Text>,
    pub(super) primaries: Option<Vec<Text>>,
    pub(super) roots: Option<Text>,
    pub(super) transfer: Option<TransferSpec>,
    pub(super) unsigned: Option<Placed<bool>>,
    pub(super) steer: Vec<SteerSpec>,
}

/// `transfer` of a zone.
#[derive(Debug)]
pub(super) struct TransferSpec {
    pub(super) allow: Vec<Text>,
    pub(super) notify: Vec<Text>,
    pub(super) steered: Option<Text>,
}

/// One `[keys.*]`.
#[derive(Debug)]
pub(super) struct KeySpec {
    pub(super) name: Text,
    pub(super) algorithm: Option<Text>,
    pub(super) secret: Option<Text>,
    pub(super) secret_file: Option<Text>,
}

/// One entry of `steer`.
#[derive(Debug)]
pub(super) struct SteerSpec {
    pub(super) owner: Option<Text>,
    pub(super) horizon: Option<Text>,
    pub(super) ttl: Option<Number>,
    pub(super) https: Option<ServiceSpec>,
}

/// `https` of a steered owner.
#[derive(Debug)]
pub(super) struct ServiceSpec {
    pub(super) alpn: Vec<Text>,
    pub(super) port: Option<Number>,
    pub(super) hints: Option<Placed<bool>>,
}

/// One line of `[networks]`.
#[derive(Debug)]
pub(super) struct NetworkSpec {
    pub(super) name: Text,
    /// None where it is wrong or ambiguous.
    pub(super) kind: Option<NetworkKind>,
    pub(super) file: Option<Text>,
    pub(super) provider: Option<Text>,
}

/// One `[mirrors.*]`.
#[derive(Debug)]
pub(super) struct MirrorSpec {
    pub(super) name: Text,
    pub(super) addresses: Vec<Text>,
    pub(super) host: Option<Text>,
    /// None where it is not written.
    pub(super) location: Option<LocationSpec>,
    pub(super) contact: Option<Text>,
}

/// `location` of a mirror.
#[derive(Debug)]
pub(super) enum LocationSpec {
    /// A place on earth.
    Known(Placed<Coordinates>),
    /// Something else, which has been reported.
    Wrong,
}

/// In what order a client takes the mirrors of a list.
#[derive(Debug)]
pub(super) enum RankingSpec {
    /// As they are listed.
    Listed,
    /// `weights`
    Weighted(WeightsSpec),
    /// `nearest`
    Nearest,
}

/// `weights` of a rule.
#[derive(Debug)]
pub(super) struct WeightsSpec {
    /// The names; none for the number where that is wrong and has been reported.
    pub(super) list: Vec<(Text, Option<Number>)>,
    pub(super) place: Place,
}

/// One `[horizons.*]`.
#[derive(Debug)]
pub(super) struct HorizonSpec {
    pub(super) name: Text,
    pub(super) rules: Vec<RuleSpec>,
    pub(super) default: ListSpec,
    pub(super) default_place: Place,
    pub(super) answer_mirrors: Option<Number>,
    pub(super) weights_ipv4_scope: Option<Number>,
    pub(super) weights_ipv6_scope: Option<Number>,
}

/// One rule.
#[derive(Debug)]
pub(super) struct RuleSpec {
    pub(super) network: Option<Vec<Text>>,
    pub(super) label: Option<Vec<Text>>,
    pub(super) provider: Option<Vec<Text>>,
    pub(super) region: Option<Vec<Text>>,
    pub(super) asn: Option<Vec<Number>>,
    pub(super) country: Option<Vec<Text>>,
    pub(super) continent: Option<Vec<Text>>,
    pub(super) subdivision: Option<Vec<Text>>,
    /// How many keys are written besides the mirrors: one that is misspelt was meant as a condition too.
    pub(super) conditions: usize,
    pub(super) mirrors: ListSpec,
    pub(super) fallback: Vec<Text>,
    pub(super) place: Place,
}

/// Mirrors in some order: `mirrors`, with or without `weights`, or `nearest`.
#[derive(Debug)]
pub(super) struct ListSpec {
    pub(super) mirrors: Vec<Text>,
    pub(super) ranking: RankingSpec,
}

impl ListSpec {
    fn listed(mirrors: Vec<Text>) -> Self {
        ListSpec { mirrors, ranking: RankingSpec::Listed }
    }
}

/// The kinds of feeds by their names in `feed`.
pub(super) const FEEDS: [(&str, NetworkKind); 5] = [
    ("aws", NetworkKind::Aws),
    ("gcp", NetworkKind::Gcp),
    ("azure", NetworkKind::Azure),
    ("oci", NetworkKind::Oci),
    ("geofeed", NetworkKind::Geofeed),
];

/// Reads the documents of the main file, which comes first, and of the files that it includes.
pub(super) fn read<'r, 't>(documents: &[(&'r Reader<'t>, &'r DeTable<'t>)]) -> Spec {
    let reader = documents.first().expect("a config has a main file").0;
    let mut table = Table::document(documents);
    // It has been followed already.
    table.take("include");
    let spec = Spec {
        allow: table.take("allow").map(|value| value.texts()).unwrap_or_default(),
        dns: table.take("dns").and_then(|value| read_dns(value.table("`[dns]`")?)).unwrap_or_default(),
        registry: table.take("registry").and_then(|value| read_registry(value.table("`[registry]`")?)),
        admin: table.take("admin").and_then(|value| read_admin(value.table("`[admin]`")?)),
        control: table.take("control").and_then(|value| read_control(value.table("`[control]`")?)),
        probe: table.take("probe").and_then(|value| read_probe(value.table("`[probe]`")?)),
        resolver: table.take("resolver").and_then(|value| read_resolver(value.table("`[resolver]`")?)),
        keys: read_named(reader, table.take_all("keys"), "keys", "key", |value| read_key(&value)),
        zones: read_zones(reader, table.take_all("zone")),
        networks: read_named(reader, table.take_all("networks"), "networks", "network", |value| {
            read_network(reader, &value)
        }),
        mirrors: read_named(reader, table.take_all("mirrors"), "mirrors", "mirror", |value| {
            read_mirror(reader, &value)
        }),
        horizons: read_named(reader, table.take_all("horizons"), "horizons", "horizon", |value| {
            read_horizon(reader, &value)
        }),
    };
    table.finish();
    spec
}

fn read_dns(mut table: Table<'_, '_>) -> Option<DnsSpec> {
    let listen = table.take("listen").map(|value| value.texts());
    let mut number = |key, range| table.take(key).and_then(|value: Value<'_, '_>| value.number(range));
    let udp_threads = number("udp-threads", limits::UDP_THREADS);
    let udp_batch = number("udp-batch", limits::UDP_BATCH);
    let udp_payload = number("udp-payload", limits::UDP_PAYLOAD);
    let tcp_connections = number("tcp-connections", limits::TCP_CONNECTIONS);
    let all = tcp_connections.as_ref().map_or(limits::TCP_CONNECTIONS_DEFAULT as u64, |all| all.value);
    let tcp_connections_per_client = number("tcp-connections-per-client", 1..=all);
    let tcp_idle = table.take("tcp-idle").and_then(|value| value.duration(limits::TCP_IDLE));
    let ecs_from = table.take("ecs-from").map(|value| value.texts());
    let mut text = |key| table.take(key).and_then(|value: Value<'_, '_>| value.text());
    let (cookie_secrets, nsid) = (text("cookie-secrets"), text("nsid"));
    let (identity, version) = (text("identity"), text("version"));
    let rrl = table.take("rrl").and_then(|value| read_rrl(value.table("`[dns.rrl]`")?));
    let https = table.take("https").and_then(|value| read_https(value.table("`[dns.https]`")?));
    let quic = table.take("quic").and_then(|value| read_quic(value.table("`[dns.quic]`")?));
    let certificate = if https.is_some() || quic.is_some() { Use::Shared } else { Use::OwnListener };
    let tls = table.take("tls").and_then(|value| read_dns_tls(value.table("`[dns.tls]`")?, certificate));
    table.finish();
    Some(DnsSpec {
        listen,
        udp_threads,
        udp_batch,
        udp_payload,
        tcp_connections,
        tcp_connections_per_client,
        tcp_idle,
        ecs_from,
        cookie_secrets,
        nsid,
        identity,
        version,
        rrl,
        tls,
        https,
        quic,
    })
}

/// What the certificate of `[dns.tls]` is for.
#[derive(Clone, Copy, PartialEq)]
enum Use {
    /// DNS over HTTPS or QUIC, and DNS over TLS only if that has addresses.
    Shared,
    /// DNS over TLS, or nothing.
    OwnListener,
}

fn read_dns_tls(mut table: Table<'_, '_>, certificate: Use) -> Option<DnsTlsSpec> {
    let listen = match certificate {
        Use::Shared => table.take("listen"),
        Use::OwnListener => table.require("listen", "listen = [\"192.0.2.53:853\"]"),
    };
    let listen = listen.map(|value| value.texts()).unwrap_or_default();
    Some(DnsTlsSpec { listen, files: read_tls(table)? })
}

fn read_rrl(mut table: Table<'_, '_>) -> Option<RrlSpec> {
    let mut number = |key, range| table.take(key).and_then(|value: Value<'_, '_>| value.number(range));
    let responses_per_second = number("responses-per-second", limits::RRL_RESPONSES);
    let slip = number("slip", limits::RRL_SLIP);
    let ipv4_prefix = number("ipv4-prefix", limits::RRL_IPV4_PREFIX);
    let ipv6_prefix = number("ipv6-prefix", limits::RRL_IPV6_PREFIX);
    let window = table.take("window").and_then(|value| value.duration(limits::RRL_WINDOW));
    let exempt = table.take("exempt").map(|value| value.texts());
    table.finish();
    Some(RrlSpec { responses_per_second, window, slip, ipv4_prefix, ipv6_prefix, exempt })
}

fn read_https(mut table: Table<'_, '_>) -> Option<HttpsSpec> {
    let listen = table.require("listen", "listen = [\"192.0.2.53:443\"]").map(|value| value.texts());
    let path = table.take("path").and_then(|value| value.text());
    let place = table.place().clone();
    table.finish();
    Some(HttpsSpec { listen: listen.unwrap_or_default(), path, place })
}

fn read_quic(mut table: Table<'_, '_>) -> Option<QuicSpec> {
    let listen = table.require("listen", "listen = [\"192.0.2.53:853\"]").map(|value| value.texts());
    let place = table.place().clone();
    table.finish();
    Some(QuicSpec { listen: listen.unwrap_or_default(), place })
}

fn read_registry(mut table: Table<'_, '_>) -> Option<RegistrySpec> {
    let listen = table.require("listen", "listen = [\"127.0.0.1:8080\"]").map(|value| value.texts());
    let canonical = table.require("canonical", "canonical = \"https://registry.example.com\"");
    let blobs = table.require("blobs", "blobs = \"https://blob.example.com\"");
    let mut text = |key| table.take(key).and_then(|value: Value<'_, '_>| value.text());
    let (signatures, info, privacy) = (text("signatures"), text("info"), text("privacy"));
    let mut time = |key, range| table.take(key).and_then(|value: Value<'_, '_>| value.duration(range));
    let (ask_wait, ask_keep) = (time("ask-wait", limits::ASK_WAIT), time("ask-keep", limits::ASK_KEEP));
    let ask_lacking = time("ask-lacking", limits::ASK_LACKING);
    let registry = RegistrySpec {
        listen: listen.unwrap_or_default(),
        canonical: canonical.and_then(|value| value.text()),
        blobs: blobs.and_then(|value| value.text()),
        signatures,
        info,
        privacy,
        trusted_proxies: table.take("trusted-proxies").map(|value| value.texts()).unwrap_or_default(),
        direct: table.take("direct").and_then(|value| value.flag()),
        ask: table.take("ask").and_then(|value| value.flag()),
        ask_wait,
        ask_keep,
        ask_lacking,
        tls: table.take("tls").and_then(|value| read_tls(value.table("`tls`")?)),
        connections: read_connections(&mut table, limits::REGISTRY_CONNECTIONS_DEFAULT),
    };
    table.finish();
    Some(registry)
}

/// `default` is the number of all, if it is not written.
fn read_connections(table: &mut Table<'_, '_>, default: usize) -> ConnectionsSpec {
    let mut number = |key, range| table.take(key).and_then(|value: Value<'_, '_>| value.number(range));
    let all = number("connections", limits::HTTP_CONNECTIONS);
    let most = all.as_ref().map_or(default as u64, |all| all.value);
    let per_client = number("connections-per-client", 1..=most);
    let idle = table.take("idle").and_then(|value| value.duration(limits::HTTP_IDLE));
    ConnectionsSpec { all, per_client, idle }
}

fn read_admin(mut table: Table<'_, '_>) -> Option<AdminSpec> {
    let listen = table.require("listen", "listen = [\"127.0.0.1:9153\"]").map(|value| value.texts());
    let mut text = |key| table.take(key).and_then(|value: Value<'_, '_>| value.text());
    let (token, token_file) = (text("token"), text("token-file"));
    let connections = read_connections(&mut table, limits::ADMIN_CONNECTIONS_DEFAULT);
    let names = table.take("names").map(|value| value.texts()).unwrap_or_default();
    table.finish();
    Some(AdminSpec { listen: listen.unwrap_or_default(), connections, token, token_file, names })
}

fn read_control(mut table: Table<'_, '_>) -> Option<ControlSpec> {
    let socket = table.require("socket", "socket = \"/run/pharos/control.sock\"").and_then(|value| value.text());
    let state = table.require("state", "state = \"/var/lib/pharos/orders.json\"").and_then(|value| value.text());
    let group = table.take("group").and_then(|value| value.text());
    table.finish();
    Some(ControlSpec { socket, group, state })
}

fn read_probe(mut table: Table<'_, '_>) -> Option<ProbeSpec> {
    let mut text = |key| table.take(key).and_then(|value: Value<'_, '_>| value.text());
    let (name, roots, state) = (text("name"), text("roots"), text("state"));
    let mut number = |key, range| table.take(key).and_then(|value: Value<'_, '_>| value.number(range));
    let port = number("port", limits::PORT);
    let (fall, rise) = (number("fall", limits::PROBE_COUNT), number("rise", limits::PROBE_COUNT));
    let mut time = |key, range| table.take(key).and_then(|value: Value<'_, '_>| value.duration(range));
    let (interval, retry) = (time("interval", limits::PROBE_INTERVAL), time("retry", limits::PROBE_INTERVAL));
    let timeout = time("timeout", limits::PROBE_TIMEOUT);
    let (hold_down, max_hold_down) = (time("hold-down", limits::HOLD_DOWN), time("max-hold-down", limits::HOLD_DOWN));
    let expiring = time("expiring", limits::EXPIRING);
    let canary = table.take("canary").and_then(|value| read_canary(value.table("`canary`")?));
    let place = table.place().clone();
    table.finish();
    Some(ProbeSpec {
        name,
        port,
        interval,
        retry,
        timeout,
        fall,
        rise,
        hold_down,
        max_hold_down,
        expiring,
        canary,
        roots,
        state,
        place,
    })
}

fn read_resolver(mut table: Table<'_, '_>) -> Option<ResolverSpec> {
    let mut texts = |key| table.take(key).map(|value: Value<'_, '_>| value.texts());
    let (servers, private) = (texts("servers"), texts("private"));
    let mut time = |key, range| table.take(key).and_then(|value: Value<'_, '_>| value.duration(range));
    let timeout = time("timeout", limits::RESOLVER_TIMEOUT);
    let (least_ttl, greatest_ttl) = (time("least-ttl", limits::LEAST_TTL), time("greatest-ttl", limits::GREATEST_TTL));
    let state = table.take("state").and_then(|value| value.text());
    table.finish();
    Some(ResolverSpec { servers, timeout, least_ttl, greatest_ttl, private, state })
}

fn read_canary(mut table: Table<'_, '_>) -> Option<CanarySpec> {
    let repository = table.require("repository", "repository = \"pause\"");
    let digest = table.require("digest", "digest = \"sha256:…\"");
    let size = table.require_with(
        "size",
        "add `size` with the bytes of the blob: `curl -sIL https://REGISTRY/v2/REPOSITORY/blobs/DIGEST` shows them as \
         `content-length`",
    );
    let canary = CanarySpec {
        repository: repository.and_then(|value| value.text()),
        digest: digest.and_then(|value| value.text()),
        size: size.and_then(|value| value.number(limits::CANARY_SIZE)),
    };
    table.finish();
    Some(canary)
}

fn read_tls(mut table: Table<'_, '_>) -> Option<TlsSpec> {
    let cert = table.require("cert", "cert = \"fullchain.pem\"");
    let key = table.require("key", "key = \"privkey.pem\"");
    let tls = TlsSpec { cert: cert.and_then(|value| value.text()), key: key.and_then(|value| value.text()) };
    table.finish();
    Some(tls)
}

fn read_zones(reader: &Reader<'_>, values: Vec<Value<'_, '_>>) -> Vec<ZoneSpec> {
    let elements: Vec<_> = values.iter().flat_map(Value::elements).collect();
    if elements.is_empty() {
        reader.report(
            Diagnostic::error("no-zone", "no zone is configured")
                .at(reader.whole_file(), "")
                .help("add `[[zone]]` with `name = \"blob.example.com\"` and `file = \"zones/blob.example.com.zone\"`"),
        );
    }
    limit(reader, elements, limits::MAX_ITEMS, "zones").iter().filter_map(read_zone).collect()
}

fn read_zone(value: &Value<'_, '_>) -> Option<ZoneSpec> {
    let mut table = value.table("`[[zone]]`")?;
    let name = table.require("name", "name = \"blob.example.com\"");
    let primaries = table.take("primaries").map(|value| value.texts());
    let roots = table.take("roots").and_then(|value| value.text());
    let file = match primaries {
        Some(_) => table.take("file"),
        None => table.require("file", "file = \"zones/blob.example.com.zone\""),
    };
    let transfer = table.take("transfer").and_then(|value| read_transfer(value.table("`transfer`")?));
    let unsigned = table.take("unsigned").and_then(|value| value.flag());
    let steer = table.take("steer").map(|value| value.elements()).unwrap_or_default();
    table.finish();
    Some(ZoneSpec {
        name: name.and_then(|value| value.text()),
        file: file.and_then(|value| value.text()),
        primaries,
        roots,
        transfer,
        unsigned,
        steer: steer.iter().filter_map(read_steer).collect(),
    })
}

fn read_transfer(mut table: Table<'_, '_>) -> Option<TransferSpec> {
    let mut texts = |key| table.take(key).map(|value: Value<'_, '_>| value.texts()).unwrap_or_default();
    let (allow, notify) = (texts("allow"), texts("notify"));
    let steered = table.take("steered").and_then(|value| value.text());
    table.finish();
    Some(TransferSpec { allow, notify, steered })
}

fn read_key(value: &Value<'_, '_>) -> KeySpec {
    let name = value.name();
    // The name stays known even so: what refers to it is not at fault.
    let Some(mut table) = value.table(format!("key `{}`", name.value)) else {
        return KeySpec { name, algorithm: None, secret: None, secret_file: None };
    };
    let algorithm = table.require("algorithm", "algorithm = \"hmac-sha256\"").and_then(|value| value.text());
    let secret_file = table.take("secret-file").and_then(|value| value.text());
    let secret = match secret_file {
        Some(_) => table.take("secret"),
        None => table.require("secret", "secret-file = \"transfer.key\""),
    };
    let secret = secret.and_then(|value| value.text());
    table.finish();
    KeySpec { name, algorithm, secret, secret_file }
}

fn read_steer(value: &Value<'_, '_>) -> Option<SteerSpec> {
    let mut table = value.table("`steer`")?;
    let owner = table.require("owner", "owner = \"@\"");
    let horizon = table.require("horizon", "horizon = \"…\"");
    let steer = SteerSpec {
        owner: owner.and_then(|value| value.text()),
        horizon: horizon.and_then(|value| value.text()),
        ttl: table.take("ttl").and_then(|value| value.number(limits::TTL)),
        https: table.take("https").and_then(|value| read_service(value.table("`https`")?)),
    };
    table.finish();
    Some(steer)
}

fn read_service(mut table: Table<'_, '_>) -> Option<ServiceSpec> {
    let service = ServiceSpec {
        alpn: table.take("alpn").map(|value| value.texts()).unwrap_or_default(),
        port: table.take("port").and_then(|value| value.number(limits::PORT)),
        hints: table.take("hints").and_then(|value| value.flag()),
    };
    table.finish();
    Some(service)
}

/// Reads a table whose keys are names that the operator chooses.
fn read_named<'r, 't, T>(
    reader: &Reader<'_>,
    values: Vec<Value<'r, 't>>,
    title: &str,
    one: &str,
    read: impl FnMut(Value<'r, 't>) -> T,
) -> Vec<T> {
    let tables = values.iter().filter_map(|value| value.table(format!("`[{title}]`"))).collect();
    limit(reader, entries(tables, one), limits::MAX_ITEMS, title).into_iter().map(read).collect()
}

/// Keeps a list within its limit, and says so where it is not.
fn limit<'r, 't>(reader: &Reader<'_>, mut values: Vec<Value<'r, 't>>, most: usize, title: &str) -> Vec<Value<'r, 't>> {
    if values.len() > most {
        reader.report(
            Diagnostic::error("too-many", format!("{} {title} are more than {most}", values.len()))
                .at(values[most].place(), "one too many")
                .help(format!("keep to {most}")),
        );
        values.truncate(most);
    }
    values
}

fn read_network(reader: &Reader<'_>, value: &Value<'_, '_>) -> NetworkSpec {
    let name = value.name();
    // The name stays known even so: what refers to it is not at fault.
    let Some(mut table) = value.table(format!("network `{}`", name.value)) else {
        return NetworkSpec { name, kind: None, file: None, provider: None };
    };
    let (list, feed, mmdb) = (table.take("list"), table.take("feed"), table.take("mmdb"));
    let file = table.take("file");
    let provider = table.take("provider").and_then(|value| value.text());
    let forms = "`{ list = \"FILE\" }`, `{ mmdb = \"FILE\" }` or `{ feed = \"aws\", file = \"FILE\" }`";
    let (kind, file) = match (list, feed, mmdb, file) {
        (Some(list), None, None, None) => (Some(NetworkKind::List), list.text()),
        (None, None, Some(mmdb), None) => (Some(NetworkKind::Mmdb), mmdb.text()),
        (None, Some(feed), None, Some(file)) => (read_feed(reader, &feed), file.text()),
        (None, Some(feed), None, None) => {
            read_feed(reader, &feed);
            reader.report(
                Diagnostic::error("missing-key", format!("network `{}` has no `file`", name.value))
                    .at(table.place().clone(), "`file` is missing")
                    .help("add `file = \"…\"`: the feed as downloaded"),
            );
            (None, None)
        }
        _ => {
            reader.report(
                Diagnostic::error(
                    "network-source",
                    format!("network `{}` does not have exactly one source", name.value),
                )
                .at(table.place().clone(), "one source is needed")
                .help(format!("write {forms}")),
            );
            (None, None)
        }
    };
    table.finish();
    NetworkSpec { name, kind, file, provider }
}

fn read_feed(reader: &Reader<'_>, value: &Value<'_, '_>) -> Option<NetworkKind> {
    let feed = value.text()?;
    let kind = FEEDS.iter().find(|(name, _)| *name == &*feed.value).map(|(_, kind)| *kind);
    if kind.is_none() {
        reader.report(
            Diagnostic::error("unknown-feed", format!("`{}` is not a feed that can be read", feed.value))
                .at(feed.place, "unknown feed")
                .help(did_you_mean(&feed.value, "feeds", FEEDS.map(|(name, _)| name))),
        );
    }
    kind
}

fn read_mirror(reader: &Reader<'_>, value: &Value<'_, '_>) -> MirrorSpec {
    let name = value.name();
    // The name stays known even so: what refers to it is not at fault.
    let Some(mut table) = value.table(format!("mirror `{}`", name.value)) else {
        return MirrorSpec { name, addresses: Vec::new(), host: None, location: None, contact: None };
    };
    let (addresses, host) = (table.take("addresses"), table.take("host"));
    let location = table.take("location").map(|value| match value.coordinates() {
        Some(coordinates) => LocationSpec::Known(coordinates),
        None => LocationSpec::Wrong,
    });
    let contact = table.take("contact").and_then(|value| value.text());
    // A key left over is likely one of these two misspelt, and is reported as unknown.
    if addresses.is_none() && host.is_none() && table.len() == 0 {
        reader.report(
            Diagnostic::error("missing-key", format!("mirror `{}` has neither `addresses` nor `host`", name.value))
                .at(table.place().clone(), "nothing to steer to")
                .help(
                    "add `addresses = [\"192.0.2.10\", \"2001:db8::10\"]`, or `host = \"…\"` to have a name resolved",
                ),
        );
    }
    table.finish();
    MirrorSpec {
        name,
        addresses: addresses.map(|value| value.texts()).unwrap_or_default(),
        host: host.and_then(|value| value.text()),
        location,
        contact,
    }
}

fn read_horizon(reader: &Reader<'_>, value: &Value<'_, '_>) -> HorizonSpec {
    let name = value.name();
    let Some(mut table) = value.table(format!("horizon `{}`", name.value)) else {
        let default_place = name.place.clone();
        return HorizonSpec {
            name,
            rules: Vec::new(),
            default: ListSpec::listed(Vec::new()),
            default_place,
            answer_mirrors: None,
            weights_ipv4_scope: None,
            weights_ipv6_scope: None,
        };
    };
    let rules = table.take("rules").map(|value| value.elements()).unwrap_or_default();
    let default = table.require("default", "default = [\"MIRROR\"]");
    let default_place = default.as_ref().map_or_else(|| table.place().clone(), Value::place);
    let mut number = |key, range| table.take(key).and_then(|value: Value<'_, '_>| value.number(range));
    let answer_mirrors = number("answer-mirrors", limits::ANSWER_MIRRORS);
    let weights_ipv4_scope = number("weights-ipv4-scope", limits::WEIGHTS_IPV4_SCOPE);
    let weights_ipv6_scope = number("weights-ipv6-scope", limits::WEIGHTS_IPV6_SCOPE);
    table.finish();
    let rules = limit(reader, rules, limits::MAX_RULES, "rules");
    HorizonSpec {
        rules: rules.iter().filter_map(|value| read_rule(reader, value, &name.value)).collect(),
        default: default.and_then(|value| read_default(reader, &value)).unwrap_or(ListSpec::listed(Vec::new())),
        default_place,
        answer_mirrors,
        weights_ipv4_scope,
        weights_ipv6_scope,
        name,
    }
}

/// Reads `default`: a list, or a table with the same keys for mirrors as a rule.
fn read_default(reader: &Reader<'_>, value: &Value<'_, '_>) -> Option<ListSpec> {
    if !value.is_table() {
        return Some(ListSpec::listed(value.texts()));
    }
    let mut table = value.table("`default`")?;
    let list = read_list(reader, &mut table);
    table.finish();
    Some(list)
}

/// Reads `mirrors`, `weights` and `nearest` of a rule or a default.
fn read_list(reader: &Reader<'_>, table: &mut Table<'_, '_>) -> ListSpec {
    let nearest = table.take("nearest");
    let mirrors = match nearest {
        Some(_) => table.take("mirrors"),
        None => table.require("mirrors", "mirrors = [\"MIRROR\"]"),
    };
    let weights = table.take("weights");
    if let Some(nearest) = &nearest {
        for other in mirrors.iter().chain(&weights) {
            let key = &other.name().value;
            reader.report(
                Diagnostic::error("nearest-and-more", format!("`nearest` and `{key}` exclude each other"))
                    .at(other.place(), "another order")
                    .related(nearest.place(), "by distance")
                    .help("`nearest` lists all the mirrors and puts them in order by distance; remove one of the two"),
            );
        }
    }
    let ranking = match (&nearest, weights) {
        (Some(_), _) => RankingSpec::Nearest,
        (None, Some(weights)) => read_weights(&weights).map_or(RankingSpec::Listed, RankingSpec::Weighted),
        (None, None) => RankingSpec::Listed,
    };
    ListSpec { mirrors: nearest.or(mirrors).map(|value| value.texts()).unwrap_or_default(), ranking }
}

fn read_weights(value: &Value<'_, '_>) -> Option<WeightsSpec> {
    let values = value.table("`weights`")?.into_values();
    let list = values.iter().map(|value| (value.name(), value.number(limits::WEIGHT))).collect();
    Some(WeightsSpec { list, place: value.place() })
}

fn read_rule(reader: &Reader<'_>, value: &Value<'_, '_>, horizon: &str) -> Option<RuleSpec> {
    let mut table = value.table(format!("a rule of horizon `{horizon}`"))?;
    let texts = |table: &mut Table<'_, '_>, key| Some(table.take(key)?.texts());
    let mirrors = read_list(reader, &mut table);
    let fallback = texts(&mut table, "fallback");
    let conditions = table.len();
    let rule = RuleSpec {
        network: texts(&mut table, "network"),
        label: texts(&mut table, "label"),
        provider: texts(&mut table, "provider"),
        region: texts(&mut table, "region"),
        asn: table.take("asn").map(|value| value.numbers(limits::ASN)),
        country: texts(&mut table, "country"),
        continent: texts(&mut table, "continent"),
        subdivision: texts(&mut table, "subdivision"),
        conditions,
        mirrors,
        fallback: fallback.unwrap_or_default(),
        place: table.place().clone(),
    };
    table.finish();
    Some(rule)
}
