//! `pharos server`: takes the running server out of service, and puts it back.
//!
//! **Invariants**: an override that the command reports as set is kept on the disk, and `/ready` follows it.
//! **Not here**: overrides ([`crate::control`]).

use hyper::Method;
use serde_json::json;

use super::CommandResult;
use super::layout::Layout;
use super::locate::ConfigLocation;
use super::mirror::parse_until;
use super::server::{AskOptions, parse_reason};
use crate::control::client::ControlQuestion;
use crate::control::view::DrainView;
use crate::inspect::words;

/// Arguments of `pharos server`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: DrainCommand,

    #[command(flatten)]
    asking: AskOptions,
}

#[derive(Debug, clap::Subcommand)]
enum DrainCommand {
    /// Let `/ready` answer 503, so that an anycast or a balancer sends no new clients; queries are still answered
    Drain {
        /// The reason, shown by `/ready` and `pharos status`
        #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
        reason: String,

        /// End of the drain: a duration like 90s, 2h or 3d, or a timestamp like 2026-01-31T18:00:00Z; without it the drain is in
        /// force until `undrain`, also after a restart
        #[arg(long, value_name = "WHEN", value_parser = parse_until)]
        until: Option<String>,
    },
    /// Let `/ready` answer 200 again
    Undrain {
        /// Reason, for the log
        #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
        reason: Option<String>,
    },
}

/// Asks the server, prints the answer, and returns the exit code.
pub(super) fn run(config: &ConfigLocation, args: &Args) -> CommandResult {
    let (method, body) = match &args.command {
        DrainCommand::Drain { reason, until } => (Method::PUT, json!({ "reason": reason, "until": until })),
        DrainCommand::Undrain { reason } => (Method::DELETE, json!({ "reason": reason })),
    };
    args.asking.show(config, ControlQuestion::new(method, "/server/drain").with(&body), text)
}

fn text(view: &DrainView, layout: Layout) -> String {
    let now = match &view.drain {
        Some(order) => format!("{}; queries are still answered", words::whole_override(order)),
        None => "in service".to_string(),
    };
    let before = view.before.as_ref().map(|before| layout.sentence("before: ", 8, &words::whole_override(before)));
    layout.sentence("server: ", 8, &now) + &before.unwrap_or_default()
}
