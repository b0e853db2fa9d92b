//! `pharos certs`: makes certificates for trials, checks certificates, and prints CAA records for those of mirrors.
//!
//! **Invariants**: if there is a problem with one name or file, no file is written; keys are readable by their owner alone.
//! **Not here**: making and judging certificates ([`crate::tls`]).

mod check;
mod make;
mod records;

use super::locate::ConfigLocation;
use super::{BAD_CONFIG, complain_of, put};
use crate::base::diagnostic::Diagnostic;

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
pub(super) fn run(config: &ConfigLocation, args: &Args) -> u8 {
    let done = match &args.verb {
        Some(Verb::Check(args)) => check::check(config, args),
        Some(Verb::Records(args)) => records::records(config, args),
        None => make::make(config, &args.make),
    };
    match done {
        Ok((text, code)) => put(&text, code),
        Err(problems) => {
            complain_of(&problems);
            BAD_CONFIG
        }
    }
}

/// The output with the exit code, or the problems if there is no output.
type CertsOutcome = Result<(String, u8), Vec<Diagnostic>>;
