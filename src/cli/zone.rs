//! `pharos zone`: has the running server fetch a zone.
//!
//! **Invariants**: a zone that the command reports as fetched is served.
//! **Not here**: fetching ([`crate::transfer`]).

use hyper::Method;

use super::CommandResult;
use super::layout::Layout;
use super::locate::ConfigLocation;
use super::server::AskOptions;
use crate::base::name::NameBuf;
use crate::control::client::ControlQuestion;
use crate::control::encode;
use crate::control::view::RetransferView;

/// Arguments of `pharos zone`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: ZoneCommand,

    #[command(flatten)]
    asking: AskOptions,
}

#[derive(Debug, clap::Subcommand)]
enum ZoneCommand {
    /// Fetch a zone from its primaries, all of it and whatever its serial
    Retransfer {
        /// The zone
        #[arg(value_name = "NAME", value_parser = NameBuf::parse)]
        zone: NameBuf,
    },
}

/// Asks the server, prints the answer, and returns the exit code.
pub(super) fn run(config: &ConfigLocation, args: &Args) -> CommandResult {
    let ZoneCommand::Retransfer { zone } = &args.command;
    let question = ControlQuestion::new(Method::POST, format!("/zones/{}/retransfer", encode(&zone.to_string())));
    args.asking.show(config, question, text)
}

fn text(view: &RetransferView, layout: Layout) -> String {
    let before = view.before.map_or("no usable copy".to_string(), |serial| format!("serial {serial}"));
    let now = format!("{}: serial {} is served, from {}", view.zone, view.serial, view.primary);
    layout.sentence("", 8, &now) + &layout.sentence("before: ", 8, &before)
}
