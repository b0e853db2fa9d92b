//! The configuration as meant: every reference resolved, every value in its range.
//!
//! [`read_file`] turns `pharos.toml` and the files it includes into a `Spec` (as written, with places) and that into a
//! [`Config`] (as meant). What cannot be meant is a list of diagnostics, all of them at once, in file order.
//!
//! **Invariants**: ids index the lists of this config; a horizon has a default; every path is resolved against the
//! folder of the file that names it.
//! **Not here**: reading the files it names ([`crate::load`]), building what is served ([`crate::compile`]).

mod check;
pub use check::control::{BadToken, bad_token, parse_token};
pub use check::keys::{SecretError, bad_secret, decode_secret};
pub mod limits;
mod reader;
mod source;
mod spec;
mod value;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::base::diagnostic::{Diagnostic, Place, sort_by_place};
use crate::base::geo::Coordinates;
use crate::base::ids::{HorizonId, KeyId, MirrorId, ServiceId, SourceId};
use crate::base::name::NameBuf;
use crate::base::prefix::Prefix;
use crate::base::time::Ttl;
use crate::base::tsig::Algorithm;
use crate::mirror::{Mirror, Thresholds};
pub use crate::registry::BlobTarget;
pub use crate::snapshot::{Hints, Party, Service, SteeredExport};
pub use crate::steer::{AnswerMirrors, LeastScopes, Ranking};
use reader::{Reader, Table};
use source::Source;
pub use source::SourceFile;

/// A configuration that was read from its files.
#[derive(Debug)]
pub struct Read {
    /// The meaning.
    pub config: Config,
    /// What is doubtful, in file order.
    pub warnings: Vec<Diagnostic>,
    /// The files: the main one, then the included ones in their order.
    pub files: Vec<SourceFile>,
}

/// Reads a config file and those that it includes.
pub fn read_file(path: &Path) -> Result<Read, Vec<Diagnostic>> {
    let main = source::read_main(path)?;
    let (file, text) = (main.file.file.clone(), &main.text);
    let mut read = read_texts(&file, text, |patterns| source::read_included(&main, patterns))?;
    read.files.insert(0, main.file);
    Ok(read)
}

/// Reads a config file's text: what it means and what is doubtful in it, or what is wrong with it.
///
/// `file` is the path as the operator wrote it; it names the file in diagnostics, and paths in the text are relative to
/// its folder. `include` is not followed: see [`read_file`].
pub fn read(file: &str, text: &str) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    read_texts(file, text, |_| Ok(Vec::new())).map(|read| (read.config, read.warnings))
}

/// Reads the text of the main file and those of the files that `include` finds for its patterns.
fn read_texts(
    file: &str,
    text: &str,
    include: impl FnOnce(&[Placed<Arc<str>>]) -> Result<Vec<Source>, Vec<Diagnostic>>,
) -> Result<Read, Vec<Diagnostic>> {
    if text.len() > limits::MAX_FILE_OCTETS {
        let problem = Diagnostic::error("too-large", format!("the config has {} octets", text.len()))
            .at(Place::whole_file(&file.into()), "")
            .help(format!("keep it to {}; is it the right file?", limits::MAX_FILE_OCTETS));
        return Err(vec![problem]);
    }
    let main = Reader::new(file.into(), text);
    let Some(tree) = main.parse() else { return Err(main.into_problems()) };
    let patterns = Table::document(&[(&main, &tree)]).take("include").map(|value| value.texts()).unwrap_or_default();
    // Without the included files nothing can be said of what refers to them.
    let sources = include(&patterns)?;
    let readers: Vec<Reader<'_>> =
        sources.iter().map(|source| Reader::new(source.file.file.clone(), &source.text)).collect();
    let trees: Vec<_> = readers.iter().map(Reader::parse).collect();
    if trees.iter().any(Option::is_none) {
        return Err(readers.into_iter().flat_map(Reader::into_problems).collect());
    }
    let mut documents = vec![(&main, &tree)];
    documents.extend(readers.iter().zip(trees.iter().flatten()));
    let spec = spec::read(&documents);
    let mut problems = main.into_problems();
    problems.extend(readers.into_iter().flat_map(Reader::into_problems));
    let files: Vec<SourceFile> = sources.iter().map(|source| source.file.clone()).collect();
    let config = check::check(file, &files, spec, &mut problems);
    config.leave_out_allowed(&mut problems);
    sort_by_place(&mut problems);
    match problems.iter().any(Diagnostic::is_error) {
        true => Err(problems),
        false => Ok(Read { config, warnings: problems, files }),
    }
}

/// All that a config file means.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file, as the operator wrote it.
    pub file: Arc<str>,
    /// Every file that it names, the config file itself first.
    pub files: Vec<NamedFile>,
    /// `allow`: the codes of warnings that are left out.
    pub allow: Vec<&'static str>,
    /// `[dns]`
    pub dns: Dns,
    /// `[registry]`; none where there is no such table.
    pub registry: Option<Registry>,
    /// `[admin]`; none where there is no such table.
    pub admin: Option<Admin>,
    /// `[control]`; none where the running server takes no orders.
    pub control: Option<Control>,
    /// `[probe]`; none where mirrors are not probed.
    pub probe: Option<Probe>,
    /// `[resolver]`, or what holds without it.
    pub resolver: Resolver,
    /// `[keys.*]`, in file order: [`KeyId`] is an index into it.
    pub keys: Vec<Key>,
    /// `[[zone]]`, in file order.
    pub zones: Vec<Zone>,
    /// `https` of steered owners, in file order: [`ServiceId`] is an index into it.
    pub services: Vec<Service>,
    /// `[networks]`, in file order: [`SourceId`] is an index into it.
    pub networks: Vec<Network>,
    /// `[mirrors.*]`, in file order: [`MirrorId`] is an index into it.
    pub mirrors: Vec<MirrorEntry>,
    /// `[horizons.*]`, in file order: [`HorizonId`] is an index into it.
    pub horizons: Vec<Horizon>,
    /// Every address under a `listen`, of all tables.
    pub written_addresses: Vec<Placed<SocketAddr>>,
}

impl Config {
    /// Leaves out the warnings that `allow` names.
    pub fn leave_out_allowed(&self, problems: &mut Vec<Diagnostic>) {
        problems.retain(|problem| problem.is_error() || !self.allow.contains(&problem.code));
    }
}

/// A file that a config names.
#[derive(Clone, Debug)]
pub struct NamedFile {
    /// The file, resolved.
    pub path: PathBuf,
    /// The file, as written.
    pub file: Arc<str>,
    /// What it is for.
    pub usage: FileUse,
    /// Where it is named.
    pub place: Place,
}

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileUse {
    /// The config file itself.
    Config,
    /// A master file.
    Zone,
    /// A source of labels.
    Network(NetworkKind),
    /// The secrets of cookies.
    Cookies,
    /// The token of `[admin]`.
    Token,
    /// The secret of a key.
    Secret,
    /// A chain, a private key or roots: one PEM file may hold several of them.
    Pem,
    /// The copy of a zone that is kept elsewhere.
    Copy,
    /// The control socket.
    Socket,
    /// Overrides of operators.
    Overrides,
    /// The last verdicts of probes.
    ProbeState,
    /// The last good addresses of hosts.
    HostState,
}

/// `[dns]`: the listeners.
#[derive(Clone, Debug)]
pub struct Dns {
    /// Where to answer, over UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// `listen` is not written: an address that the machine lacks is left out.
    pub listen_is_default: bool,
    /// Where to answer over what nobody can read on the way; none where there is no certificate.
    pub encrypted: Option<Encrypted>,
    /// UDP worker threads; none means one per core.
    pub udp_threads: Option<usize>,
    /// The most datagrams taken or sent by one system call (1 to 128).
    pub udp_batch: usize,
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
    /// The file with the secrets of cookies; none means one that ends with the process (RFC 9018 §5).
    pub cookie_secrets: Option<SecretsFile>,
    /// The name of this instance, for the NSID option; none means that it is not told (RFC 5001).
    pub nsid: Option<Arc<str>>,
    /// The answer to `id.server` and `hostname.bind` of class CHAOS; none means that it is not told.
    pub identity: Option<Arc<str>>,
    /// The answer to `version.server` and `version.bind` of class CHAOS; none means that it is not told.
    pub version: Option<Arc<str>>,
    /// `[dns.rrl]`; none where there is no such table, and so no limit.
    pub rrl: Option<Rrl>,
}

/// `[dns.rrl]`: response rate limiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rrl {
    /// Responses a second, of the same to the same network.
    pub responses_per_second: u32,
    /// How long a network that goes on asking stays limited after it stops.
    pub window: Duration,
    /// One of so many limited responses is sent truncated; 0 for none.
    pub slip: u8,
    /// The prefix length of a client network.
    pub ipv4_prefix: u8,
    /// The prefix length of a client network.
    pub ipv6_prefix: u8,
    /// Who is never limited.
    pub exempt: Vec<Prefix>,
}

/// A file that holds secrets.
#[derive(Clone, Debug)]
pub struct SecretsFile {
    /// The file, resolved.
    pub path: PathBuf,
    /// The file, as written.
    pub file: Arc<str>,
    /// Where the config names it.
    pub place: Place,
}

/// `[dns.tls]`, `[dns.https]` and `[dns.quic]`: the listeners with one certificate.
#[derive(Clone, Debug)]
pub struct Encrypted {
    /// The certificate and key.
    pub files: TlsFiles,
    /// Where to answer over TLS (RFC 7858).
    pub tls: Vec<SocketAddr>,
    /// Where to answer over HTTPS (RFC 8484).
    pub https: Option<Https>,
    /// Where to answer over QUIC (RFC 9250).
    pub quic: Vec<SocketAddr>,
}

/// `[dns.https]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Https {
    /// Where to listen.
    pub listen: Vec<SocketAddr>,
    /// The path of the URI template, before `{?dns}`.
    pub path: Arc<str>,
}

/// Limits of the connections to an HTTP listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// The most at once, all clients together.
    pub all: usize,
    /// The most at once from one IPv4 address or IPv6 /64.
    pub per_client: usize,
    /// How long one may be silent between requests.
    pub idle: Duration,
}

/// `[admin]`: health and metrics over HTTP, off unless it is there.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where to listen.
    pub listen: Vec<SocketAddr>,
    /// Limits of connections.
    pub connections: Connections,
    /// What whoever gives orders there has to know; none means that no orders are taken there.
    pub token: Option<Token>,
    /// The host names that requests may name, besides address literals and `localhost`; in lower case.
    pub names: Vec<Arc<str>>,
}

/// A secret that is presented as it is.
#[derive(Clone, Debug)]
pub struct Token {
    /// The secret.
    pub secret: Secret,
    /// Where the config says so.
    pub place: Place,
}

/// `[control]`: orders for the running server, and questions to it, off unless it is there.
///
/// Neither path has a default: a server that nobody gives orders to needs no place that it can write to.
#[derive(Clone, Debug)]
pub struct Control {
    /// The Unix socket to listen on.
    pub socket: PathBuf,
    /// The group whose members may connect to the socket, by name or number; `None` keeps it to the server's user and root.
    pub group: Option<Placed<Arc<str>>>,
    /// Where orders are kept over a restart.
    pub state: PathBuf,
}

/// `[registry]`: the companion HTTP listener.
#[derive(Clone, Debug)]
pub struct Registry {
    /// Where to listen.
    pub listen: Vec<SocketAddr>,
    /// Limits of connections.
    pub connections: Connections,
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
    /// How a blob is asked for at its mirror before a client is sent there; none means that it is not.
    pub ask: Option<Ask>,
    /// How canonical is asked for what may be a signature; `None` without `signatures`.
    pub ask_canonical: Option<Ask>,
    /// The certificate and key to serve TLS with; none means plain HTTP.
    pub tls: Option<TlsFiles>,
}

impl Registry {
    /// The port at which clients come to mirrors: that of `blobs`, if it is https, else HTTPS's own.
    pub fn mirror_port(&self) -> u16 {
        match &*self.blobs.scheme {
            "https" => value::port_of(&self.blobs),
            _ => limits::MIRROR_PORT,
        }
    }

    /// The name that mirrors serve: the host of `blobs`.
    pub fn mirror_name(&self) -> &str {
        value::host_of(&self.blobs)
    }
}

/// `ask-…` of `[registry]`: how long things take and hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The longest that a request waits for a mirror's answer.
    pub wait: Duration,
    /// How long it is believed that a mirror has a blob.
    pub keep: Duration,
    /// How long it is believed that it lacks one.
    pub lacking: Duration,
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

impl Upstream {
    /// The host; an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        let host = value::host_of(self);
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        value::port_of(self)
    }
}

/// PEM files of one listener.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// Where the config names the chain.
    pub cert_place: Place,
    /// Where the config names the key.
    pub key_place: Place,
}

/// `[probe]`: what mirrors are held to, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The name that every mirror serves: asked for in TLS (SNI), in the certificate, and in HTTP.
    pub name: Arc<str>,
    /// The port of mirrors.
    pub port: u16,
    /// How often a healthy address is probed.
    pub interval: Duration,
    /// How often one that fails or is down is probed.
    pub retry: Duration,
    /// How long one probe may take.
    pub timeout: Duration,
    /// When an address goes down and comes back.
    pub thresholds: Thresholds,
    /// How long before its end a certificate is warned of.
    pub expiring: Duration,
    /// The blob that every mirror must have; none means that content is not checked.
    pub canary: Option<Canary>,
    /// A PEM file of the roots that clients trust; none means those of this system.
    pub roots: Option<PathBuf>,
    /// Where the last verdicts are kept over a restart; none means nowhere.
    pub state: Option<PathBuf>,
}

/// `[resolver]`: how the hosts of mirrors are resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolver {
    /// Whom to ask; none means those of this system.
    pub servers: Vec<SocketAddr>,
    /// How long one of them may take to answer one query.
    pub timeout: Duration,
    /// The least time between two lookups of a host, whatever its TTL.
    pub least_ttl: Duration,
    /// The longest time between two lookups of a host, whatever its TTL.
    pub greatest_ttl: Duration,
    /// The reserved addresses that a host may have.
    pub private: Vec<Prefix>,
    /// Where the last good addresses are kept over a restart; none means nowhere.
    pub state: Option<PathBuf>,
}

impl Default for Resolver {
    fn default() -> Self {
        Resolver {
            servers: Vec::new(),
            timeout: limits::RESOLVER_TIMEOUT_DEFAULT,
            least_ttl: limits::LEAST_TTL_DEFAULT,
            greatest_ttl: limits::GREATEST_TTL_DEFAULT,
            private: Vec::new(),
            state: None,
        }
    }
}

/// A blob that every mirror must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canary {
    /// The repository it is asked for in.
    pub repository: Arc<str>,
    /// Its SHA-256, 64 lower-case hexadecimal digits.
    pub sha256: Arc<str>,
    /// Its length in octets.
    pub size: u64,
}

impl Probe {
    /// What mirrors of a name are held to when nothing else is said.
    pub fn of_name(name: Arc<str>) -> Self {
        Probe {
            name,
            port: limits::MIRROR_PORT,
            interval: limits::PROBE_INTERVAL_DEFAULT,
            retry: limits::PROBE_RETRY_DEFAULT,
            timeout: limits::PROBE_TIMEOUT_DEFAULT,
            thresholds: Thresholds {
                fall: limits::FALL_DEFAULT,
                rise: limits::RISE_DEFAULT,
                hold_down_ms: limits::HOLD_DOWN_DEFAULT.as_millis() as u64,
                max_hold_down_ms: limits::MAX_HOLD_DOWN_DEFAULT.as_millis() as u64,
            },
            expiring: limits::EXPIRING_DEFAULT,
            canary: None,
            roots: None,
            state: None,
        }
    }
}

impl Canary {
    /// A canary by its digest as OCI writes it; none where that is not `sha256:` and 64 digits in lower case.
    pub fn new(repository: &str, digest: &str, size: u64) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let sha256 = digest.strip_prefix("sha256:").filter(|hex| hex.len() == 64 && hex.bytes().all(is_digit))?;
        Some(Canary { repository: repository.into(), sha256: sha256.into(), size })
    }
}

/// `[[zone]]`
#[derive(Clone, Debug)]
pub struct Zone {
    /// The apex.
    pub name: NameBuf,
    /// The master file, or where the copy of a zone with `primaries` is kept; only those may be without.
    pub file: Option<PathBuf>,
    /// Where the zone is fetched from; empty for one that is kept here.
    pub primaries: Vec<Primary>,
    /// A PEM file of the roots that certificates of primaries must lead to. `None` means those of this system.
    pub roots: Option<PathBuf>,
    /// Who may have it, and who is told of changes.
    pub transfer: Transfer,
    /// Whether a signed zone is served without its DNSSEC records; otherwise it is refused.
    pub unsigned: bool,
    /// The owners whose addresses depend on the client.
    pub steer: Vec<Steer>,
    /// Where its file is named, or its primaries.
    pub place: Place,
}

/// `transfer` of a zone.
#[derive(Clone, Debug, Default)]
pub struct Transfer {
    /// Who may have the zone.
    pub allow: Vec<Party>,
    /// Whom to send NOTIFY to.
    pub notify: Vec<Remote>,
    /// What stands for the addresses of steered owners.
    pub steered: SteeredExport,
}

/// Another server, and the key to sign with what is sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Its address.
    pub address: SocketAddr,
    /// The key.
    pub key: Option<KeyId>,
}

/// A primary: where a zone is fetched from, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Primary {
    /// Its address.
    pub address: SocketAddr,
    /// The key to sign with what is sent to it.
    pub key: Option<KeyId>,
    /// The name of its certificate. `None` fetches in the clear.
    pub tls: Option<Arc<str>>,
}

/// One `[keys.*]`.
#[derive(Clone, Debug)]
pub struct Key {
    /// The name, by which both sides know it.
    pub name: NameBuf,
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The secret.
    pub secret: Secret,
    /// Where its name stands.
    pub place: Place,
}

/// A secret as text.
#[derive(Clone)]
pub enum Secret {
    /// As it stands in the config.
    Text(Arc<str>),
    /// In a file of its own.
    File(PathBuf),
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Secret::Text(_) => f.write_str("Secret"),
            Secret::File(path) => write!(f, "Secret({})", path.display()),
        }
    }
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
    /// Its HTTPS record, where it has one.
    pub service: Option<ServiceId>,
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
    /// Where on earth it is; none where that is not said.
    pub location: Option<Coordinates>,
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
    /// In what order such a client takes them.
    pub default_ranking: Ranking,
    /// Where `default` stands.
    pub default_place: Place,
    /// With how many mirrors to answer.
    pub answer_mirrors: AnswerMirrors,
    /// How long the scope of answers by weight is at least.
    pub least_scopes: LeastScopes,
}

impl Horizon {
    /// Every mirror it names, as often as it does.
    pub fn mirrors(&self) -> impl Iterator<Item = MirrorId> {
        let of_rules = self.rules.iter().flat_map(|rule| rule.mirrors.iter().chain(&rule.fallback));
        of_rules.chain(&self.default).copied()
    }
}

/// One rule of a horizon.
#[derive(Clone, Debug)]
pub struct Rule {
    /// All of these must hold.
    pub conditions: Vec<Condition>,
    /// The mirrors, in order of preference unless `order` has another.
    pub mirrors: Vec<MirrorId>,
    /// In what order a client takes them.
    pub ranking: Ranking,
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::steer::Weights;

    const SAMPLE: &str = include_str!("../../tests/check/sample-complete.toml");
    const EVERYTHING: &str = include_str!("../../tests/check/everything.toml");

    fn config(file: &str, text: &str) -> Config {
        let (config, warnings) = read(file, text).unwrap();
        assert_eq!(warnings, []);
        config
    }

    #[test]
    fn the_sample_means_what_it_says() {
        let config = config("etc/pharos.toml", SAMPLE);
        assert_eq!(config.dns.listen, limits::DNS_LISTEN);
        let registry = config.registry.as_ref().unwrap();
        assert_eq!(
            (&*registry.canonical.authority, &*registry.blobs.authority),
            ("us-central1-docker.pkg.dev", "blob.k8s.io")
        );
        assert_eq!((registry.horizon, registry.blob_target), (Some(HorizonId(0)), BlobTarget::SteeredName));
        let zone = &config.zones[0];
        assert_eq!(zone.file.as_deref(), Some(Path::new("etc/zones/blob.k8s.io.zone")));
        assert_eq!((zone.steer[0].owner == zone.name, zone.steer[0].ttl), (true, Ttl(60)));
        let names: Vec<&str> = config.mirrors.iter().map(|entry| &*entry.mirror.name).collect();
        assert_eq!(names, ["aws-use1", "aws-use2", "aws-euc1", "aws-apne1", "gcp-us"]);
        let kinds: Vec<_> = config.networks.iter().map(|network| network.kind).collect();
        use NetworkKind::{Aws, Gcp, List, Mmdb};
        assert_eq!(kinds, [List, Aws, Gcp, Mmdb, Mmdb]);
        let horizon = &config.horizons[0];
        assert_eq!(horizon.default, [MirrorId(4), MirrorId(0)]);
        let shown: Vec<String> = horizon.rules.iter().map(|rule| show(&rule.conditions)).collect();
        let expected = [
            "network 0 office",
            "provider aws, region us-east-1 us-east-2",
            "provider gcp",
            "asn 16509 14618",
            "country DE FR",
            "continent AS",
        ];
        assert_eq!(shown, expected);
        assert_eq!(horizon.rules[1].mirrors, [MirrorId(0), MirrorId(1)]);
        assert_eq!((horizon.rules[1].place.line, &*horizon.rules[1].place.file), (28, "etc/pharos.toml"));
    }

    #[test]
    fn probes_go_to_the_port_of_blobs() {
        let port = |blobs: &str, probe: &str| {
            let text = format!(
                "[registry]\nlisten = \"127.0.0.1:8080\"\ncanonical = \"https://canonical.example\"\n\
                 blobs = \"{blobs}\"\n{probe}\n[[zone]]\nname = \"blob.example\"\nfile = \"z\"\n\
                 steer = [{{ owner = \"@\", horizon = \"h\" }}]\n\
                 [mirrors.one]\naddresses = \"192.0.2.1\"\n[horizons.h]\ndefault = \"one\"\n"
            );
            read("pharos.toml", &text).unwrap().0.probe.unwrap().port
        };
        assert_eq!(port("https://blob.example", "[probe]"), 443);
        assert_eq!(port("https://blob.example:8443", "[probe]"), 8443);
        assert_eq!(port("https://blob.example:8443", "[probe]\nport = 9443"), 9443);
        assert_eq!(port("http://blob.example:8080", "[probe]"), 443);
    }

    /// Conditions in a few words.
    fn show(conditions: &[Condition]) -> String {
        fn values<T: ToString>(kind: &str, values: &[Placed<T>]) -> String {
            values.iter().fold(kind.to_string(), |text, value| format!("{text} {}", value.value.to_string()))
        }
        let one = |condition: &Condition| match condition {
            Condition::Network { sources, labels } => {
                let sources: String = sources.iter().map(|source| format!(" {}", source.value.0)).collect();
                format!("network{sources}{}", values("", labels))
            }
            Condition::Provider(list) => values("provider", list),
            Condition::Region(list) => values("region", list),
            Condition::Asn(list) => values("asn", list),
            Condition::Country(list) => values("country", list),
            Condition::Continent(list) => values("continent", list),
            Condition::Subdivision(list) => values("subdivision", list),
        };
        conditions.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn every_key_has_its_effect() {
        let config = config("pharos.toml", EVERYTHING);
        let dns = &config.dns;
        assert_eq!((dns.udp_threads, dns.udp_payload, dns.tcp_idle), (Some(2), 1400, Duration::from_secs(30)));
        assert_eq!(dns.udp_batch, 64);
        assert_eq!((dns.tcp_connections, dns.tcp_connections_per_client), (100, 10));
        assert_eq!(dns.ecs_from.as_ref().map(Vec::len), Some(2));
        let encrypted = dns.encrypted.as_ref().unwrap();
        assert_eq!((&*encrypted.files.cert, &*encrypted.files.key), (Path::new("dns.pem"), Path::new("dns.key")));
        assert_eq!(encrypted.tls, ["[::1]:8853".parse().unwrap()]);
        let https = Https { listen: vec!["[::1]:8443".parse().unwrap()], path: "/resolve".into() };
        assert_eq!((&encrypted.https, &encrypted.quic[..]), (&Some(https), &["[::1]:8853".parse().unwrap()][..]));
        assert_eq!(dns.cookie_secrets.as_ref().unwrap().path, Path::new("secrets/cookies"));
        assert_eq!((dns.nsid.as_deref(), dns.identity.as_deref()), (Some("fra1-a"), Some("ns1.example.com")));
        assert_eq!(dns.version.as_deref(), Some("none of your business"));
        let rrl = dns.rrl.as_ref().unwrap();
        assert_eq!((rrl.responses_per_second, rrl.window, rrl.slip), (50, Duration::from_secs(5), 3));
        assert_eq!((rrl.ipv4_prefix, rrl.ipv6_prefix, rrl.exempt.len()), (32, 48, 1));
        let registry = config.registry.as_ref().unwrap();
        assert_eq!((&*registry.canonical.path, &*registry.blobs.authority), ("some/repo", "blob.k8s.io:8443"));
        assert_eq!((registry.blob_target, registry.horizon), (BlobTarget::MirrorHost, Some(HorizonId(0))));
        assert_eq!(registry.privacy.as_deref(), Some("https://example.com/privacy?lang=en"));
        let connections = |all, per_client, idle| Connections { all, per_client, idle: Duration::from_secs(idle) };
        assert_eq!(registry.connections, connections(2000, 100, 620));
        let admin = config.admin.as_ref().unwrap();
        assert_eq!(admin.connections, connections(50, 5, 30));
        assert_eq!(admin.listen, ["127.0.0.1:9153".parse().unwrap()]);
        assert!(
            matches!(&admin.token.as_ref().unwrap().secret, Secret::File(path) if path == Path::new("admin.token"))
                && admin.names == ["pharos.example".into()]
        );
        let control = config.control.as_ref().unwrap();
        assert_eq!(
            (&*control.socket, &*control.state),
            (Path::new("run/control.sock"), Path::new("/var/lib/pharos/orders.json"))
        );
        assert_eq!(control.group.as_ref().map(|group| &*group.value), Some("root"));
        let contacts: Vec<_> = config.mirrors.iter().map(|entry| entry.mirror.contact.as_deref()).collect();
        assert_eq!(contacts, [Some("noc@a.example.com, +49 69 1234"), None, None]);
        let tls = registry.tls.as_ref().unwrap();
        assert_eq!((&*tls.cert, &*tls.key), (Path::new("fullchain.pem"), Path::new("/etc/privkey.pem")));
        assert_eq!(config.zones[0].steer[0].owner.as_name().to_string(), "blob.k8s.io");
        assert_eq!(config.zones[0].steer[0].ttl, Ttl(limits::TTL_DEFAULT as u32));
        let keys: Vec<_> = config.keys.iter().map(|key| (key.name.to_string(), key.algorithm)).collect();
        assert_eq!(keys, [("transfer".into(), Algorithm::HmacSha256), ("other.example".into(), Algorithm::HmacSha512)]);
        let (kept, copy) = (&config.zones[2].transfer, &config.zones[3]);
        let party = |prefix: Option<&str>, key| Party { prefix: prefix.map(|text| text.parse().unwrap()), key };
        let allowed = [
            party(Some("192.0.2.0/24"), None),
            party(None, Some(KeyId(0))),
            party(Some("2001:db8::1/128"), Some(KeyId(1))),
        ];
        assert_eq!((&kept.allow[..], kept.steered), (&allowed[..], SteeredExport::Refused));
        let remote = |text: &str, key| Remote { address: text.parse().unwrap(), key };
        let primary = |text: &str, key, tls: Option<&str>| Primary {
            address: text.parse().unwrap(),
            key,
            tls: tls.map(Into::into),
        };
        assert_eq!(kept.notify, [remote("192.0.2.7:53", None), remote("[2001:db8::1]:5353", Some(KeyId(0)))]);
        let primaries = [
            primary("192.0.2.1:53", Some(KeyId(0)), None),
            primary("192.0.2.2:5353", None, None),
            primary("192.0.2.3:853", Some(KeyId(0)), Some("ns3.example")),
            primary("[2001:db8::1]:8853", None, Some("ns4.example")),
        ];
        assert_eq!(copy.primaries, primaries);
        assert_eq!(copy.roots.as_deref(), Some(Path::new("roots.pem")));
        assert_eq!(copy.file.as_deref(), Some(Path::new("copies/copy.example")));
        assert_eq!(config.networks[3].provider.as_deref(), Some("linode"));
        let shown: Vec<String> = config.horizons[0].rules.iter().map(|rule| show(&rule.conditions)).collect();
        let all = "network 0 vpn desk, region eastus, asn 64512, country DE, continent EU, subdivision DE-BE";
        assert_eq!(shown, ["network 0 3", all]);
        assert_eq!(config.horizons[0].rules[0].fallback, [MirrorId(1)]);
        let [blobs, rest] = &config.horizons[..] else { panic!("two horizons") };
        assert_eq!((blobs.answer_mirrors.get(), blobs.least_scopes), (2, LeastScopes::USUAL));
        assert_eq!((rest.answer_mirrors.get(), rest.least_scopes.v4.0, rest.least_scopes.v6.0), (1, 20, 40));
        let place = |north, east| Coordinates::from_degrees(north, east).unwrap();
        let (a, b) = (place(50.0, 8.68), place(-33.87, 151.21));
        assert_eq!(rest.rules[0].ranking, Ranking::Weighted(Weights::new([("a", 0), ("c", 3)])));
        assert_eq!((&rest.rules[0].mirrors[..], rest.rules[0].conditions.len()), (&[MirrorId(0), MirrorId(2)][..], 1));
        assert_eq!(
            (&rest.rules[1].ranking, &rest.rules[1].mirrors[..]),
            (&Ranking::Nearest(vec![b, a]), &[MirrorId(1), MirrorId(0)][..])
        );
        assert_eq!(
            (&rest.default_ranking, &rest.default[..]),
            (&Ranking::Nearest(vec![a, b]), &[MirrorId(0), MirrorId(1)][..])
        );
    }

    #[test]
    fn defaults_hold_where_nothing_is_written() {
        let config = config("pharos.toml", "zone = { name = 'example.com', file = 'example.zone' }\n");
        assert_eq!(config.dns.listen, limits::DNS_LISTEN);
        assert_eq!((config.dns.udp_payload, config.dns.udp_threads, config.dns.udp_batch), (1232, None, 32));
        assert_eq!((config.dns.tcp_connections, config.dns.tcp_connections_per_client), (1024, 64));
        assert!(config.admin.is_none() && config.control.is_none());
        assert!(config.registry.is_none() && config.dns.ecs_from.is_none() && config.dns.encrypted.is_none());
        assert!(config.dns.cookie_secrets.is_none() && config.dns.nsid.is_none());
        assert!(config.dns.identity.is_none() && config.dns.version.is_none() && config.dns.rrl.is_none());
    }

    #[test]
    fn fewer_connections_leave_fewer_per_client() {
        let text = "dns.tcp-connections = 8\nzone = { name = 'example.com', file = 'example.zone' }\n";
        assert_eq!(config("pharos.toml", text).dns.tcp_connections_per_client, 8);
    }
}
