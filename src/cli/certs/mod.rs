//! `pharos certs`: makes certificates for trials, and checks certificates.
//!
//! **Invariants**: if there is a problem with one name or file, no file is written; keys are readable by their owner alone.
//! **Not here**: making and judging certificates ([`crate::tls`]).

mod check;
mod make;

use rustls::pki_types::UnixTime;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use super::locate::ConfigLocation;
use super::{BAD_CONFIG, complain_of, put};
use crate::base::diagnostic::Diagnostic;
use crate::tls::LeafFacts;

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
}

/// Makes or checks certificates, and returns the exit code.
pub(super) fn run(config: &ConfigLocation, args: &Args) -> u8 {
    let done = match &args.verb {
        Some(Verb::Check(args)) => check::check(config, args),
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

/// A timestamp to the minute, for people.
pub(super) fn minute(at: UnixTime) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    let date = date(at).and_then(|date| date.format(format).ok());
    date.unwrap_or_else(|| format!("@{}", at.as_secs()))
}

/// The facts of a certificate, for programs.
pub(super) fn facts_json(facts: &LeafFacts) -> Value {
    let date = |at: UnixTime| date(at).and_then(|at| at.format(&Rfc3339).ok());
    json!({
        "names": facts.names,
        "issuer": facts.issuer,
        "not_before": date(facts.not_before),
        "not_after": date(facts.not_after),
        "key": facts.key.to_string(),
    })
}

fn date(at: UnixTime) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(i64::try_from(at.as_secs()).ok()?).ok()
}
