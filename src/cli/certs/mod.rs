//! `pharos certs`: certificates for trying things out, and whether a certificate serves.
//!
//! **Invariants**: nothing is written where something is wrong with any of it; keys are readable by their owner alone.
//! **Not here**: making and judging certificates ([`crate::tls`]).

mod check;
mod make;

use time::OffsetDateTime;
use time::macros::format_description;

use super::locate::Location;
use super::{BAD_CONFIG, put, style_of_stderr};
use crate::base::diagnostic::Diagnostic;
use crate::base::report::report;

/// What `certs` is asked.
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
}

/// Makes or checks, and tells the exit code.
pub(super) fn run(config: &Location, args: &Args) -> u8 {
    let done = match &args.verb {
        Some(Verb::Check(args)) => check::check(config, args),
        None => make::make(config, &args.make),
    };
    match done {
        Ok((text, code)) => {
            put(&text);
            code
        }
        Err(problems) => {
            eprint!("{}", report(&problems, style_of_stderr()));
            BAD_CONFIG
        }
    }
}

/// What to print with the exit code, or why there is nothing to print.
type Done = Result<(String, u8), Vec<Diagnostic>>;

/// A moment to the minute.
fn minute(at: OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    at.format(format).unwrap_or_else(|_| at.to_string())
}
