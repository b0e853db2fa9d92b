//! `pharos reload`: has the running server read its configuration again, and prints the outcome.
//!
//! **Invariants**: the exit code is 0 only if all of the new configuration is served, except keys that need a restart.
//! **Not here**: reloading ([`crate::serve`]).

use super::CommandResult;
use super::layout::Layout;
use super::locate::ConfigLocation;
use super::server::AskOptions;
use crate::base::share::Share;
use crate::control::view::ReloadOutcomeView;

/// Arguments of `pharos reload`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Check and compare with the served configuration alone, and change nothing
    #[arg(long)]
    dry_run: bool,

    /// Let this reload move that share of the clients, like 12%, instead of the limits of `[guard]`
    #[arg(long, value_name = "SHARE", value_parser = Share::parse)]
    allow_moved: Option<Share>,

    #[command(flatten)]
    asking: AskOptions,
}

/// Asks the server, prints the outcome, and returns the exit code.
pub(super) fn run(config: &ConfigLocation, args: &Args) -> CommandResult {
    let mut parameters = vec![("dry-run", args.dry_run.to_string())];
    parameters.extend(args.allow_moved.map(|share| ("allow-moved", share.to_string())));
    args.asking.change(config, "/reload", parameters, text)
}

fn text(view: &ReloadOutcomeView, layout: Layout) -> String {
    let mut text = view.report.clone();
    if !text.is_empty() {
        text.push('\n');
    }
    let sentences = view.changes.iter().chain(&view.remarks);
    text.extend(sentences.map(|sentence| layout.sentence("", 2, sentence)));
    for key in &view.restart_keys {
        text += &layout.sentence("", 2, &format!("`{key}` has changed: that takes a restart"));
    }
    let number = view.generation;
    let reloaded = if view.dry_run { "would be reloaded" } else { "reloaded" };
    let outcome = match (view.accepted, view.dry_run) {
        (false, true) => format!("would be refused: generation {number} is served"),
        (false, false) => format!("not reloaded: generation {number} with the configuration before is served"),
        (true, _) if !view.kept.is_empty() => {
            format!("{reloaded} in part: generation {number} is served; {}", view.kept.join("; "))
        }
        (true, _) if !view.changes.is_empty() => format!("{reloaded}: generation {number} is served"),
        (true, true) => format!("would change nothing: generation {number} is served"),
        (true, false) => format!("reloaded: generation {number} is served, nothing else has changed"),
    };
    text + &layout.sentence("", 2, &outcome)
}
