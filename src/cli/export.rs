//! `pharos export`: prints a zone as a master file, as one class of clients sees it.
//!
//! **Invariants**: other servers and verifiers read the output.
//! **Not here**: the records ([`crate::inspect`]), their text ([`crate::load`]).

use std::path::Path;

use super::{BAD_CONFIG, CommandFailure, CommandResult, OK, build, put};
use crate::base::name::NameBuf;
use crate::inspect::{self, UnknownPlan};
use crate::live::Signatory;
use crate::load::hosts::Purpose;
use crate::load::zone::copy;
use crate::process::Clock;

/// Arguments of `pharos export`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The zone
    #[arg(value_name = "ZONE", value_parser = NameBuf::parse)]
    zone: NameBuf,

    /// With DNSSEC records; if the zone has keys in the configuration, these sign now
    #[arg(long)]
    signed: bool,

    /// The plan that gives the addresses of steered owners: its mirrors, joined by `+`; without this the default
    #[arg(long, value_name = "NAME")]
    plan: Option<String>,
}

/// Prints the zone, and returns the exit code.
pub(super) fn run(config: &Path, args: &Args) -> CommandResult {
    let failed = |error: String, help: String| CommandFailure::new(error, help, BAD_CONFIG);
    let built = build(&Purpose::Show, config)?;
    let snapshot = if args.signed { Signatory::new(Clock::civil).sign_ahead(built.snapshot) } else { built.snapshot };
    let (id, zone) = snapshot.zones().at_apex(args.zone.as_name()).ok_or_else(|| {
        let zones: Vec<String> = snapshot.zones().iter().map(|(_, zone)| zone.apex().to_string()).collect();
        failed(format!("zone `{}` is not configured", args.zone), format!("the zones are {}", zones.join(", ")))
    })?;
    if args.signed && zone.denial_chain().is_none() {
        let help = "give it keys with `dnssec`, or leave out `--signed`";
        return Err(failed(format!("zone `{}` has no signatures", args.zone), help.to_string()));
    }
    let records = inspect::export(&snapshot, id, args.plan.as_deref(), args.signed).map_err(|UnknownPlan(names)| {
        let plan = args.plan.as_deref().unwrap_or_default();
        failed(format!("zone `{}` has no plan `{plan}`", args.zone), format!("its plans are {}", names.join(", ")))
    })?;
    Ok(put(&copy::text(&records), OK))
}
