//! The configuration as written: the tables at the top, each with the struct of its section.
//!
//! TOML in, a [`Spec`] out. A key that is missing or wrong is absent here and reported; the rest is complete enough for
//! [`super::meaning`] to go on and find the other problems of the same run.
//!
//! **Invariants**: names come in file order; an empty list has been reported.
//! **Not here**: the keys of each table (the sections), their meaning ([`super::meaning`]).

use super::PlacedText;
use super::acme::AcmeSpec;
use super::admin::AdminSpec;
use super::control::ControlSpec;
use super::dns::DnsSpec;
use super::dnstap::DnstapSpec;
use super::fetch::RefreshSpec;
use super::field::{Field, Named, Section as _, section};
use super::fleet::FleetSpec;
use super::guard::GuardSpec;
use super::horizons::HorizonSpec;
use super::mirrors::MirrorSpec;
use super::networks::NetworkSpec;
use super::probe::ProbeSpec;
use super::reader::{ConfigReader, ParsedText, parse_all};
use super::registry::RegistrySpec;
use super::reload::ReloadSpec;
use super::resolver::ResolverSpec;
use super::row::{KeyRow, KeyTable, Restart, Rows as _, Strs, names, same, table, tables, texts};
use super::signing::DnssecSpec;
use super::source::ConfigSource;
use super::table::Table;
use super::transfer::KeySpec;
use super::zone::{ZoneSpec, Zones};
use super::{Config, limits};
use crate::base::diagnostic::Diagnostic;

section! {
    /// The whole configuration as written.
    pub(super) struct Spec: "the config" {
        /// Further files: names and patterns with `*`, `?` and `[…]`, relative to the main file. The files of a pattern are
        /// read in the order of their names, without hidden ones. A pattern may match nothing; a name without its file is
        /// an error.
        ///
        /// At most 1000 files, one for each of a thousand mirrors, and 4 MiB together with the main file.
        _include: Followed = texts("include", "path or pattern").example("[\"mirrors.d/*.toml\"]"),

        /// Codes of warnings to leave out: `check` does not print them, the service does not log them, and
        /// `--deny-warnings` accepts them. [Warnings](warnings.md) explains each.
        ///
        /// Errors cannot be allowed.
        allow: Vec<PlacedText> = texts("allow", "code").example("[\"unknown-asn\"]"),

        /// DNS over UDP and TCP.
        dns: DnsSpec = table::<DnsSpec>("dns").otherwise("the defaults of its keys"),

        /// Signing of zones. Each zone that is signed has keys of its own.
        dnssec: Option<DnssecSpec> = table::<DnssecSpec>("dnssec").otherwise("the defaults of its keys"),

        /// Copies of responses, as dnstap over Frame Streams.
        dnstap: Option<DnstapSpec> = table::<DnstapSpec>("dnstap").otherwise("off"),

        /// The companion HTTP listener.
        registry: Option<RegistrySpec> = table::<RegistrySpec>("registry").otherwise("off"),

        /// Health and metrics over HTTP.
        admin: Option<AdminSpec> = table::<AdminSpec>("admin").otherwise("off"),

        /// Credentials of mirrors for ACME challenges.
        acme: Option<AcmeSpec> = table::<AcmeSpec>("acme").otherwise("off").restart_unless(same!(config => {
            config.acme.as_ref().map(|acme| (&acme.state, &acme.listen))
        })),

        /// The socket for overrides and questions to the running server.
        control: Option<ControlSpec> = table::<ControlSpec>("control").otherwise("off").restart_unless(same!(config => {
            let control = config.control.as_ref();
            control.map(|control| (&control.socket, control.group.as_ref().map(|group| &group.value), &control.state))
        })),

        /// The fleet that this server belongs to: shared overrides, and verdicts by most servers.
        ///
        /// Off by default, because a server alone needs no store.
        fleet: Option<FleetSpec> = table::<FleetSpec>("fleet").otherwise("off").restart_unless(same!(config => {
            let fleet = config.fleet.as_ref();
            fleet.map(|fleet| (&fleet.name, &fleet.store, &fleet.state, fleet.every, fleet.stale, fleet.is_deaf))
        })),

        /// Probes of mirrors.
        ///
        /// Without the table every mirror counts as healthy.
        probe: Option<ProbeSpec> = table::<ProbeSpec>("probe").otherwise("off").restart_unless_kept(same!(config => config.probe.is_some())),

        /// Resolving the hosts of mirrors.
        resolver: ResolverSpec = table::<ResolverSpec>("resolver").otherwise("the defaults of its keys"),

        /// Reloads that no operator asks for.
        reload: Option<ReloadSpec> = table::<ReloadSpec>("reload").otherwise("off"),

        /// Limits of a change by a reload, or by the content of a source that is fetched.
        ///
        /// Off for reloads by default, because a reload that an operator means to move clients would need `--allow-moved`.
        guard: Option<GuardSpec> = table::<GuardSpec>("guard").otherwise("a reload may move all clients; fetched contents have the default limits"),

        /// Settings of all fetches of sources by `url`.
        refresh: RefreshSpec = table::<RefreshSpec>("refresh").otherwise("the defaults of its keys"),

        /// Keys of transfers and of ACME clients, by name.
        keys: Vec<Named<KeySpec>> = names::<KeySpec>("keys"),

        /// Zones.
        zones: Zones = tables::<ZoneSpec>("zone", limits::MAX_ITEMS).otherwise("required, unless `[registry] horizon` is written"),

        /// Sources of labels, by name.
        networks: Vec<Named<NetworkSpec>> = names::<NetworkSpec>("networks"),

        /// Mirrors, by name.
        mirrors: Vec<Named<MirrorSpec>> = names::<MirrorSpec>("mirrors"),

        /// Horizons, by name.
        horizons: Vec<Named<HorizonSpec>> = names::<HorizonSpec>("horizons"),
    }
}

/// `include`, which has been followed before.
#[derive(Debug)]
pub(super) struct Followed;

impl Field<Strs> for Followed {
    fn take(table: &mut Table<'_, '_>, key: &KeyRow<Strs>) -> Self {
        table.take(key.row().name);
        Followed
    }
}

/// Parses files of the configuration.
pub(super) fn parse(sources: &[ConfigSource]) -> Result<Vec<ParsedText<'_>>, Vec<Diagnostic>> {
    parse_all(sources.iter().map(|source| ConfigReader::new(source.file.file.clone(), &source.text, Spec::PART)))
}

/// The names and patterns of `include` in the main file.
pub(super) fn patterns(main: &[ParsedText<'_>]) -> Vec<PlacedText> {
    Table::document(main.iter()).take("include").map(|value| value.texts()).unwrap_or_default()
}

/// Reads the document of all files.
pub(super) fn read(document: Table<'_, '_>) -> Spec {
    Spec::read(document.with_corrected_names())
}

/// The keys that differ between the configuration of the start and a new one, and that only a restart changes.
pub(crate) fn needs_restart(started: &Config, now: &Config) -> Vec<String> {
    fn collect(part: KeyTable, started: &Config, now: &Config, keys: &mut Vec<String>) {
        for row in part.rows {
            let inner = row.inner();
            if let Restart::Unless(same) | Restart::UnlessKept(same) = row.restart
                && !same(started, now)
            {
                keys.push(match inner {
                    Some(inner) if inner.title.starts_with('[') => inner.title.to_string(),
                    _ => format!("{} {}", part.title, row.name),
                });
            }
            if let Some(inner) = inner {
                collect(inner, started, now, keys);
            }
        }
    }
    let mut keys = Vec::new();
    collect(Spec::PART, started, now, &mut keys);
    keys
}
