//! `pharos key`: makes keys for zones, and shows those of the configuration with their DS records and next steps.
//!
//! **Invariants**: no command here asks the running server; a private key is in no output.
//! **Not here**: the files of keys ([`crate::load`]), signing ([`crate::zone`]).

mod ds;
mod generate;
mod list;
mod parent;

use std::sync::Arc;

use super::locate::ConfigLocation;
use super::{CommandFailure, CommandResult};
use crate::base::diagnostic::{Diagnostic, did_you_mean};
use crate::base::ids::NodeId;
use crate::base::name::NameBuf;
use crate::base::rr::Rtype;
use crate::config::{self, Config, ZoneConfig};
use crate::load;
use crate::zone::{SigningTerms, Zone};

/// Arguments of `pharos key`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: KeyVerb,
}

#[derive(Debug, clap::Subcommand)]
enum KeyVerb {
    /// Make a key for a zone, in two files as BIND has them, and print the line for the configuration
    Generate(generate::Args),

    /// Print the DS records for the parent of a zone; compare the parent's with the keys
    Ds(ds::Args),

    /// List the keys of a zone, with their states and next steps
    List(list::Args),
}

/// Runs one of these commands, and returns the exit code.
pub(super) fn run(config: &ConfigLocation, args: &Args) -> CommandResult {
    match &args.verb {
        KeyVerb::Generate(args) => generate::run(args),
        KeyVerb::Ds(args) => ds::run(config, args),
        KeyVerb::List(args) => list::run(config, args),
    }
}

/// A zone that is signed here.
struct OwnZone {
    config: Config,
    /// Its position in the configuration.
    at: usize,
    /// Its keys.
    terms: Arc<SigningTerms>,
    /// Its records. `None` if these cannot be read, which `pharos check` explains.
    records: Option<Zone>,
}

impl OwnZone {
    /// Reads the keys of a zone of the configuration.
    fn read(location: &ConfigLocation, name: &NameBuf) -> Result<Self, CommandFailure> {
        let config = config::read_file(location.path())?.config;
        let at = config.zones.iter().position(|zone| zone.name == *name).ok_or_else(|| {
            let known: Vec<String> = config.zones.iter().map(|zone| zone.name.to_string()).collect();
            let help = did_you_mean(&name.to_string(), "zones", known.iter().map(String::as_str));
            Diagnostic::error("unknown-zone", format!("zone `{name}` is not configured")).help(help)
        })?;
        let zone = &config.zones[at];
        if zone.signing.is_none() {
            let help = format!("`pharos key generate {name}` makes a key, and prints the line for the configuration");
            let problem = Diagnostic::error("unsigned-zone", format!("zone `{name}` is not signed here"));
            return Err(problem.help(help).into());
        }
        let (mut all, _) = load::signing_keys::read(std::slice::from_ref(zone))?;
        let terms = all.pop().flatten().expect("a zone with `dnssec` has keys: load::signing_keys");
        let records = load::zone::read(zone, Some(&terms)).ok().map(|(zone, _)| zone).filter(Zone::is_available);
        Ok(OwnZone { at, terms, records, config })
    }

    fn zone(&self) -> &ZoneConfig {
        &self.config.zones[self.at]
    }

    /// The rdata of the DNSKEY records of the zone's file that are not those of the configured keys.
    fn other_keys(&self) -> Vec<&[u8]> {
        let set = self.records.as_ref().and_then(|zone| zone.node(NodeId(0)).rrset(Rtype::DNSKEY));
        let is_own = |rdata: &[u8]| self.terms.keys.iter().any(|key| *key.dnskey == *rdata);
        set.into_iter().flat_map(|set| set.rdatas()).filter(|rdata| !is_own(rdata)).collect()
    }
}
