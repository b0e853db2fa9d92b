//! The configuration as meant: every reference resolved, every value in its range.
//!
//! `pharos.toml` is text, then a [`spec`] (as written, with places), then a [`Config`] (as meant). What cannot be
//! meant is a list of diagnostics, all of them at once, in file order.
//!
//! **Invariants**: ids index the lists of this config; a horizon has a default; every path is resolved against the
//! folder of the config file.
//! **Not here**: reading the files it names ([`crate::load`]), building what is served ([`crate::compile`]).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::base::diagnostic::Place;
use crate::base::ids::{HorizonId, MirrorId, SourceId};
use crate::base::name::NameBuf;
use crate::base::prefix::Prefix;
use crate::base::time::Ttl;
use crate::mirror::Mirror;
pub use crate::registry::BlobTarget;

/// All that a config file means.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file, as the operator wrote it.
    pub file: Arc<str>,
    /// `[dns]`
    pub dns: Dns,
    /// `[registry]`; none where there is no such table.
    pub registry: Option<Registry>,
    /// `[admin]`; none where there is no such table.
    pub admin: Option<Admin>,
    /// `[[zone]]`, in file order.
    pub zones: Vec<Zone>,
    /// `[networks]`, in file order: [`SourceId`] is an index into it.
    pub networks: Vec<Network>,
    /// `[mirrors.*]`, in file order: [`MirrorId`] is an index into it.
    pub mirrors: Vec<MirrorEntry>,
    /// `[horizons.*]`, in file order: [`HorizonId`] is an index into it.
    pub horizons: Vec<Horizon>,
}

/// `[dns]`: the listeners.
#[derive(Clone, Debug)]
pub struct Dns {
    /// Where to answer, over UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// UDP worker threads; none means one per core.
    pub udp_threads: Option<usize>,
    /// The largest UDP answer sent, in octets (512 to 4096; DNS flag day 2020 says 1232).
    pub udp_payload: u16,
    /// The most TCP connections at once, all clients together.
    pub tcp_connections: usize,
    /// The most TCP connections at once from one IPv4 address or IPv6 /64.
    pub tcp_connections_per_client: usize,
    /// How long a TCP connection may be silent.
    pub tcp_idle: Duration,
    /// Resolvers whose ECS option is listened to; none means all of them (RFC 7871 §11.3).
    pub ecs_from: Option<Vec<Prefix>>,
}

/// `[admin]`: health and metrics over HTTP, off unless it is there.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where to listen.
    pub listen: Vec<SocketAddr>,
}

/// `[registry]`: the companion HTTP listener.
#[derive(Clone, Debug)]
pub struct Registry {
    /// Where to listen.
    pub listen: Vec<SocketAddr>,
    /// The canonical registry: manifests, tags, referrers, and blobs no mirror can serve.
    pub canonical: Upstream,
    /// The steered name's base URL: blobs.
    pub blobs: Upstream,
    /// The horizon of the steered name, found by the host of `blobs`; none when no steered owner has that name.
    pub horizon: Option<HorizonId>,
    /// Where cosign signatures and attestations go; none means canonical.
    pub signatures: Option<Upstream>,
    /// The project page, for `/`.
    pub info: Option<Arc<str>>,
    /// The policy page, for `/privacy`.
    pub privacy: Option<Arc<str>>,
    /// Peers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Prefix>,
    /// Whether blobs go straight to the client's mirror by its host name.
    pub blob_target: BlobTarget,
    /// The certificate and key to serve TLS with; none means plain HTTP.
    pub tls: Option<TlsFiles>,
}

/// A base URL to which request paths are appended: `https://host[:port][/some/repo]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// `https` or `http`.
    pub scheme: Arc<str>,
    /// Host and, where it is not the scheme's own, port.
    pub authority: Arc<str>,
    /// The repository prefix without slashes at its ends; empty where there is none.
    pub path: Arc<str>,
}

/// PEM files of one listener.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// Where the config says so.
    pub place: Place,
}

/// `[[zone]]`
#[derive(Clone, Debug)]
pub struct Zone {
    /// The apex.
    pub name: NameBuf,
    /// The master file.
    pub file: PathBuf,
    /// The owners whose addresses depend on the client.
    pub steer: Vec<Steer>,
    /// Where its file is named.
    pub place: Place,
}

/// One steered owner.
#[derive(Clone, Debug)]
pub struct Steer {
    /// The owner, absolute.
    pub owner: NameBuf,
    /// The horizon that decides.
    pub horizon: HorizonId,
    /// The TTL of the addresses.
    pub ttl: Ttl,
    /// Where the config says so.
    pub place: Place,
}

/// One line of `[networks]`.
#[derive(Clone, Debug)]
pub struct Network {
    /// The key.
    pub name: Arc<str>,
    /// What the file is.
    pub kind: NetworkKind,
    /// The file, resolved.
    pub path: PathBuf,
    /// The file, as written.
    pub file: Arc<str>,
    /// A provider that this source's entries are labelled with, where the file itself names none.
    pub provider: Option<Arc<str>>,
    /// Where its file is named.
    pub place: Place,
}

/// How to read a source's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkKind {
    /// `list`: a prefix a line, with an optional label.
    List,
    /// `feed = "aws"`: `ip-ranges.json`.
    Aws,
    /// `feed = "gcp"`: `cloud.json`.
    Gcp,
    /// `feed = "azure"`: service tags.
    Azure,
    /// `feed = "oci"`: `public_ip_ranges.json`.
    Oci,
    /// `feed = "geofeed"`: RFC 8805.
    Geofeed,
    /// `mmdb`: a MaxMind DB of countries, cities or autonomous systems.
    Mmdb,
}

/// One `[mirrors.*]`.
#[derive(Clone, Debug)]
pub struct MirrorEntry {
    /// The mirror.
    pub mirror: Mirror,
    /// Where it is declared.
    pub place: Place,
}

/// One `[horizons.*]`.
#[derive(Clone, Debug)]
pub struct Horizon {
    /// The key.
    pub name: Arc<str>,
    /// The rules, in order.
    pub rules: Vec<Rule>,
    /// The mirrors of a client that meets no rule.
    pub default: Vec<MirrorId>,
    /// Where `default` stands.
    pub default_place: Place,
}

/// One rule of a horizon.
#[derive(Clone, Debug)]
pub struct Rule {
    /// All of these must hold.
    pub conditions: Vec<Condition>,
    /// The mirrors, in order of preference.
    pub mirrors: Vec<MirrorId>,
    /// The mirrors to use when none of those can be; the horizon's default comes after them.
    pub fallback: Vec<MirrorId>,
    /// Where the rule stands.
    pub place: Place,
}

/// One condition of a rule, with each accepted value and where it stands.
#[derive(Clone, Debug)]
pub enum Condition {
    /// The address has an entry in one of the sources, with one of the labels where there are any.
    Network {
        /// The sources; one at least.
        sources: Vec<Placed<SourceId>>,
        /// The labels; empty means any entry will do.
        labels: Vec<Placed<Arc<str>>>,
    },
    /// The provider is one of these.
    Provider(Vec<Placed<Arc<str>>>),
    /// The region is one of these.
    Region(Vec<Placed<Arc<str>>>),
    /// The autonomous system is one of these.
    Asn(Vec<Placed<u32>>),
    /// The country is one of these.
    Country(Vec<Placed<Arc<str>>>),
    /// The continent is one of these.
    Continent(Vec<Placed<Arc<str>>>),
    /// The subdivision is one of these.
    Subdivision(Vec<Placed<Arc<str>>>),
}

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub place: Place,
}
