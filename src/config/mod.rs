//! The configuration as meant: every reference resolved, every value in its range.
//!
//! [`read_file`] turns `pharos.toml` and the files it includes into a `Spec` (as written, with places) and that into a
//! [`Config`] (as meant). All problems of a run are diagnostics, in file order.
//!
//! A key is one row in the file of its section, with its type, range, default, restart rule and documentation ([`row`]).
//!
//! The files form layers; each uses those below it:
//!
//! ```text
//! meaning                     names become ids; sections are compared
//! spec                        the tables at the top, as written
//! dns, zone, mirrors, …       a section: its rows, its written values, its checks
//! check  field                names and problems of all sections; the Rust types of keys
//! table  typed  reader  row   TOML with its places; descriptions of keys
//! ```
//!
//! **Invariants**: ids index the lists of this config; a horizon has a default; every path is resolved against the
//! folder of the file that names it.
//! **Not here**: reading the files it names ([`crate::load`]), building the snapshot ([`crate::compile`]).

mod acme;
mod admin;
mod blobs;
mod check;
mod control;
mod credential;
mod differences;
mod dns;
mod dnstap;
mod encrypted;
mod fetch;
mod field;
mod fleet;
mod guard;
mod horizons;
mod input;
mod kind;
mod layering;
pub mod limits;
mod meaning;
mod mirrors;
mod networks;
mod owner;
pub mod page;
mod paths;
mod probe;
mod rankings;
mod reader;
mod registry;
mod reload;
mod request_log;
mod resolver;
mod row;
mod rules;
mod sides;
mod signing;
mod socket;
mod source;
mod spec;
mod store;
mod table;
#[cfg(test)]
mod tests;
mod transfer;
mod typed;
mod value;
mod zone;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub(crate) use acme::AcmeConfig;
pub(crate) use admin::{AdminConfig, TokenConfig, bad_token, parse_token};
pub(crate) use control::ControlConfig;
pub(crate) use credential::CredentialConfig;
use differences::WrittenKeys;
pub(crate) use differences::changed_keys;
pub(crate) use dns::{DnsConfig, UDP_PAYLOAD_DEFAULT};
pub(crate) use dnstap::{DnstapConfig, TapAddress};
pub use encrypted::TlsFiles;
#[cfg(test)]
pub(crate) use encrypted::{Encrypted, Https};
pub(crate) use fetch::{FetchConfig, ProxyConfig, RefreshConfig};
pub(crate) use fleet::FleetConfig;
pub(crate) use guard::GuardConfig;
pub(crate) use horizons::HorizonConfig;
pub use input::{FileUse, InputFile};
pub use kind::NetworkKind;
pub(crate) use layering::{BundleUse, SharedText, bundle_use, shared_texts};
pub(crate) use mirrors::MirrorEntry;
pub use networks::Network;
pub(crate) use probe::TIMEOUT_DEFAULT as PROBE_TIMEOUT_DEFAULT;
pub use probe::{Canary, Probe};
use reader::{ConfigReader, parse_all};
pub(crate) use registry::{AskConfig, RegistryConfig};
pub(crate) use request_log::RequestLogConfig;
pub(crate) use resolver::Resolver;
use ring::digest::{Context, SHA256};
use row::Rows as _;
pub(crate) use rules::{ConditionConfig, RuleConfig};
pub(crate) use signing::{KeyFiles, SigningConfig, SigningKeyConfig, repeated_key};
pub(crate) use socket::socket_of;
use source::ConfigSource;
pub(crate) use source::SourceFile;
use spec::Spec;
pub(crate) use spec::needs_restart;
pub use store::{Cloud, EtcdAccess, StoreUrl};
use table::Table;
pub(crate) use transfer::{KeyConfig, PrimaryConfig, Remote, Secret, bad_secret, decode_secret};
pub use value::Fault;
pub(crate) use value::{UpstreamConfig, is_loopback};
pub(crate) use zone::Steer;
pub use zone::ZoneConfig;

use crate::base::diagnostic::{Diagnostic, Place, sort_by_place};
use crate::base::name::Name;
use crate::base::text::hex;
use crate::files::Intake;
pub(crate) use crate::registry::BlobTarget;
pub(crate) use crate::snapshot::{Hints, Party, Service, SteeredExport};
pub(crate) use crate::steer::{AnswerMirrors, LeastScopes, Ranking};

/// A configuration that was read from its files.
#[derive(Debug)]
pub struct Read {
    /// The meaning.
    pub(crate) config: Config,
    /// The warnings, in file order.
    pub warnings: Vec<Diagnostic>,
    /// The files: the main one, then the included ones in their order.
    pub(crate) files: Vec<SourceFile>,
}

/// Reads a config file and those that it includes.
pub fn read_file(path: &Path) -> Result<Read, Vec<Diagnostic>> {
    read_inputs(path, &Intake::default())
}

/// The same; the intake notes these files, and each input of the configuration once it is read.
pub(crate) fn read_inputs(path: &Path, intake: &Intake) -> Result<Read, Vec<Diagnostic>> {
    let main = source::read_main(path, intake)?;
    let (file, text) = (main.file.file.clone(), &main.text);
    let mut read = read_texts(&file, text, intake, |patterns| source::read_included(&main, patterns, intake))?;
    read.files.insert(0, main.file);
    Ok(read)
}

/// Reads a config file's text. Returns its meaning and the warnings, or all problems if one is an error.
///
/// `file` is the path as the operator wrote it; it names the file in diagnostics, and paths in the text are relative to
/// its folder. `include` is not followed: see [`read_file`].
pub fn read(file: &str, text: &str) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    read_texts(file, text, &Intake::default(), |_| Ok(Vec::new())).map(|read| (read.config, read.warnings))
}

/// Reads the text of the main file and those of the files that `include` finds for its patterns.
fn read_texts(
    file: &str,
    text: &str,
    intake: &Intake,
    include: impl FnOnce(&[Placed<Arc<str>>]) -> Result<Vec<ConfigSource>, Vec<Diagnostic>>,
) -> Result<Read, Vec<Diagnostic>> {
    if text.len() > limits::MAX_FILE_OCTETS {
        let problem = Diagnostic::error("too-large", format!("the config has {} bytes", text.len()))
            .at(Place::whole_file(&file.into()), "")
            .help(format!("keep it to {} bytes; is it the right file?", limits::MAX_FILE_OCTETS));
        return Err(vec![problem]);
    }
    let main = [ConfigReader::new(file.into(), text, Spec::PART).parse().map_err(|problem| vec![*problem])?];
    let over = parse_all(intake.layer().into_iter().flat_map(layering::readers))?;
    // Stop without the included files: references to their names would cause false errors.
    let sources = include(&spec::patterns(&main))?;
    let included = spec::parse(&sources)?;
    let own = || main.iter().chain(&included);
    let spec = spec::read(if over.is_empty() {
        Table::document(own())
    } else {
        Table::layered(own(), Table::document(over.iter()))
    });
    let written = WrittenKeys::of(own());
    let named = own().chain(&over).flat_map(|(reader, _)| reader.named_files()).collect();
    let parsed = main.into_iter().chain(included).chain(over);
    let mut problems: Vec<_> = parsed.flat_map(|(reader, _)| reader.into_problems()).collect();
    let files: Vec<SourceFile> = sources.iter().map(|source| source.file.clone()).collect();
    let mut config = meaning::of((file, &digest(text, &sources), &files, named), spec, intake, &mut problems);
    config.written = written;
    config.leave_out_allowed(&mut problems);
    sort_by_place(&mut problems);
    if problems.iter().any(Diagnostic::is_error) {
        Err(problems)
    } else {
        Ok(Read { config, warnings: problems, files })
    }
}

/// As `cat MAIN INCLUDED… | sha256sum` prints it.
fn digest(main: &str, included: &[ConfigSource]) -> String {
    let mut context = Context::new(&SHA256);
    for text in std::iter::once(main).chain(included.iter().map(|source| &*source.text)) {
        context.update(text.as_bytes());
    }
    hex(context.finish().as_ref())
}

/// The meaning of a configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file, as the operator wrote it.
    pub(crate) file: Arc<str>,
    /// SHA-256 of the main file followed by the included ones in their order, 64 hexadecimal digits.
    pub(crate) digest: Arc<str>,
    /// The keys as written.
    pub(crate) written: WrittenKeys,
    /// Every file that it names, the config file itself first.
    pub(crate) files: Vec<InputFile>,
    /// `allow`: the codes of warnings to leave out.
    pub(crate) allow: Vec<&'static str>,
    /// `[dns]`
    pub(crate) dns: DnsConfig,
    /// `[dnssec] state`: the file that keeps signatures across restarts. `None` keeps nothing.
    pub(crate) signatures: Option<PathBuf>,
    /// `[dnstap]`. `None` without the table: no response is copied.
    pub(crate) dnstap: Option<DnstapConfig>,
    /// `[registry]`. `None` without the table.
    pub(crate) registry: Option<RegistryConfig>,
    /// `[admin]`. `None` without the table.
    pub(crate) admin: Option<AdminConfig>,
    /// `[acme]`. `None` without the table: no ACME challenges.
    pub(crate) acme: Option<AcmeConfig>,
    /// `[control]`. `None` without the table: no overrides.
    pub(crate) control: Option<ControlConfig>,
    /// `[fleet]`. `None` without the table: this server is alone.
    pub(crate) fleet: Option<FleetConfig>,
    /// `[probe]`. `None` without the table: mirrors are not probed.
    pub(crate) probe: Option<Probe>,
    /// `[resolver]`, or its defaults.
    pub(crate) resolver: Resolver,
    /// `[keys.*]`, in file order: [`KeyId`](crate::base::ids::KeyId) is an index into it.
    pub(crate) keys: Vec<KeyConfig>,
    /// `[[zone]]`, in file order.
    pub zones: Vec<ZoneConfig>,
    /// `https` of steered owners, in file order: [`ServiceId`](crate::base::ids::ServiceId) is an index into it.
    pub(crate) services: Vec<Service>,
    /// `[networks]`, in file order: [`SourceId`](crate::base::ids::SourceId) is an index into it.
    pub(crate) networks: Vec<Network>,
    /// `[mirrors.*]`, in file order: [`MirrorId`](crate::base::ids::MirrorId) is an index into it.
    pub(crate) mirrors: Vec<MirrorEntry>,
    /// `[horizons.*]`, in file order: [`HorizonId`](crate::base::ids::HorizonId) is an index into it.
    pub horizons: Vec<HorizonConfig>,
    /// `[reload] watch`: the interval between two looks at the files. `None` if the files are not watched.
    pub(crate) watch: Option<Duration>,
    /// `[guard]`. `None` without the table: a reload may move all clients.
    pub(crate) guard: Option<GuardConfig>,
    /// `[refresh]`, or its defaults.
    pub(crate) refresh: RefreshConfig,
    /// Every address under a `listen`, of all tables.
    pub(crate) written_addresses: Vec<Placed<SocketAddr>>,
}

impl Config {
    /// Leaves out the warnings that `allow` names.
    pub(crate) fn leave_out_allowed(&self, problems: &mut Vec<Diagnostic>) {
        problems.retain(|problem| problem.is_error() || !self.allow.contains(&problem.code));
    }

    /// The zone of a name: the lowest one that is at the name or above it.
    pub(crate) fn zone_of(&self, name: Name<'_>) -> Option<&ZoneConfig> {
        let above = self.zones.iter().filter(|zone| name.ends_with(zone.name.as_name()));
        above.max_by_key(|zone| zone.name.as_name().len())
    }
}

/// Limits of the connections to an HTTP listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Connections {
    /// The most at once, of all clients.
    pub(crate) all: usize,
    /// The most at once from one IPv4 address or IPv6 /64.
    pub(crate) per_client: usize,
    /// Time after which an idle one is closed.
    pub(crate) idle: Duration,
}

/// A value and its place in the config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placed<T> {
    /// The value.
    pub(crate) value: T,
    /// Its place.
    pub(crate) place: Place,
}

/// A text and its place.
pub(super) type PlacedText = Placed<Arc<str>>;
/// A number and its place.
pub(super) type Number = Placed<u64>;
