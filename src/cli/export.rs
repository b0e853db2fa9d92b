//! `pharos export`: prints a zone as a master file, as one class of clients sees it.
//!
//! **Invariants**: other servers and verifiers read the output.
//! **Not here**: the records ([`crate::inspect`]), their text ([`crate::load`]).

use std::path::Path;

use super::{BAD_CONFIG, OK, build, complain, put};
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
    #[arg(value_name = "ZONE", value_parser = super::zone::parse_name)]
    zone: String,

    /// With DNSSEC records; if the zone has keys in the configuration, these sign now
    #[arg(long)]
    signed: bool,

    /// The plan that gives the addresses of steered owners: its mirrors, joined by `+`; without this the default
    #[arg(long, value_name = "NAME")]
    plan: Option<String>,
}

/// Prints the zone, and returns the exit code.
pub(super) fn run(config: &Path, args: &Args) -> u8 {
    let built = match build(&Purpose::Show, config) {
        Ok(built) => built,
        Err(code) => return code,
    };
    let snapshot = if args.signed { Signatory::new(Clock::civil).sign_ahead(built.snapshot) } else { built.snapshot };
    let id = NameBuf::parse(&args.zone).ok().and_then(|apex| Some(snapshot.zones().at_apex(apex.as_name())?.0));
    let Some(id) = id else {
        let zones: Vec<String> = snapshot.zones().iter().map(|(_, zone)| zone.apex().to_string()).collect();
        let help = format!("the zones are {}", zones.join(", "));
        complain(&format!("zone `{}` is not configured", args.zone), Some(&help));
        return BAD_CONFIG;
    };
    if args.signed && snapshot.zones().zone(id).denial_chain().is_none() {
        let help = "give it keys with `dnssec`, or leave out `--signed`";
        complain(&format!("zone `{}` has no signatures", args.zone), Some(help));
        return BAD_CONFIG;
    }
    match inspect::export(&snapshot, id, args.plan.as_deref(), args.signed) {
        Ok(records) => put(&copy::text(&records), OK),
        Err(UnknownPlan(names)) => {
            let plan = args.plan.as_deref().unwrap_or_default();
            let help = format!("its plans are {}", names.join(", "));
            complain(&format!("zone `{}` has no plan `{plan}`", args.zone), Some(&help));
            BAD_CONFIG
        }
    }
}
