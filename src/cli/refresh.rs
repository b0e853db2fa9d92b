//! `pharos refresh`: has the running server fetch sources of networks, and prints the outcomes.
//!
//! **Invariants**: the exit code is 0 only if every source was fetched, and its content is served.
//! **Not here**: fetching ([`crate::refresh`]).

use super::CommandResult;
use super::layout::Layout;
use super::locate::ConfigLocation;
use super::server::AskOptions;
use crate::base::share::Share;
use crate::control::view::{RefreshView, RefreshedView};

/// Arguments of `pharos refresh`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The sources, by their names in `[networks]`; without a name, all with a `url`
    #[arg(value_name = "SOURCE")]
    sources: Vec<String>,

    /// Serve the content before the current one of a source; the current one is not taken again
    #[arg(long, requires = "sources")]
    previous: bool,

    /// Fetch and compare alone, and change nothing
    #[arg(long)]
    dry_run: bool,

    /// Let the new contents move that share of the clients, like 12%, instead of the limits of `[guard]`
    #[arg(long, value_name = "SHARE", value_parser = Share::parse)]
    allow_moved: Option<Share>,

    #[command(flatten)]
    asking: AskOptions,
}

/// Asks the server, prints the outcomes, and returns the exit code.
pub(super) fn run(config: &ConfigLocation, args: &Args) -> CommandResult {
    let mut parameters = vec![("dry-run", args.dry_run.to_string()), ("previous", args.previous.to_string())];
    parameters.extend(args.sources.iter().map(|source| ("source", source.clone())));
    parameters.extend(args.allow_moved.map(|share| ("allow-moved", share.to_string())));
    args.asking.change(config, "/refresh", parameters, text)
}

fn text(view: &RefreshView, layout: Layout) -> String {
    let mut text = String::new();
    for source in &view.sources {
        text += &source.report;
        text.extend(source.changes.iter().map(|sentence| layout.sentence("", 2, sentence)));
        text += &layout.sentence("", 2, &format!("network {}: {}", source.source, words(source, view.dry_run)));
    }
    text + &layout.sentence("", 2, &format!("generation {} is served", view.generation))
}

fn words(source: &RefreshedView, is_dry: bool) -> String {
    let reason = source.reason.as_deref().unwrap_or("an unknown outcome");
    match (&*source.outcome, is_dry) {
        ("taken", false) => "the new content is served".to_string(),
        ("taken", true) => "the new content would be served".to_string(),
        ("unchanged", _) => "unchanged".to_string(),
        ("rejected", _) => "the publisher still has the content that was taken back".to_string(),
        ("refused", _) => format!("the content is refused, and the one before is served: {reason}"),
        _ => format!("not fetched, and the content before is served: {reason}"),
    }
}
