//! `pharos certs`: makes certificates for trials, checks certificates, and prints CAA records for those of mirrors.
//!
//! **Invariants**: if there is a problem with one name or file, no file is written; keys are readable by their owner alone.
//! **Not here**: making and judging certificates ([`crate::tls`]).

mod check;
mod make;
mod records;

use super::CommandResult;
use super::locate::ConfigLocation;

/// Arguments of `pharos certs`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,

    #[command(flatten)]
    make: make::Args,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Say whether a certificate serves for the steered name: names, dates, chain, key
    Check(check::Args),

    /// Print the CAA records that let the ACME accounts of the configuration have certificates, and no others
    Records(records::Args),
}

/// Runs one of these commands, and returns the exit code.
pub(super) fn run(config: &ConfigLocation, args: &Args) -> CommandResult {
    match &args.verb {
        Some(Verb::Check(args)) => check::run(config, args),
        Some(Verb::Records(args)) => records::run(config, args),
        None => make::run(config, &args.make),
    }
}
