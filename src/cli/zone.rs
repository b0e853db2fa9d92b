//! `pharos zone`: has the running server fetch a zone.
//!
//! **Invariants**: a zone that the command reports as fetched is served.
//! **Not here**: fetching ([`crate::transfer`]).

use hyper::Method;

use super::layout::Layout;
use super::locate::ConfigLocation;
use super::server::AskOptions;
use super::{OK, put};
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
        #[arg(value_name = "NAME", value_parser = parse_name)]
        zone: String,
    },
}

pub(super) fn parse_name(text: &str) -> Result<String, String> {
    NameBuf::parse(text).map(|name| name.to_string()).map_err(|error| error.to_string())
}

/// Asks the server, prints the answer, and returns the exit code.
pub(super) fn run(config: &ConfigLocation, args: &Args) -> u8 {
    match retransfer(config, args) {
        Ok(text) => put(&text, OK),
        Err(code) => code,
    }
}

fn retransfer(config: &ConfigLocation, args: &Args) -> Result<String, u8> {
    let ZoneCommand::Retransfer { zone } = &args.command;
    let server = args.asking.server(config)?;
    let target = format!("/zones/{}/retransfer", encode(zone));
    let view: RetransferView = server.ask(ControlQuestion { method: Method::POST, target, body: String::new() })?;
    Ok(args.asking.printed(&view, || {
        let before = view.before.map_or("no usable copy".to_string(), |serial| format!("serial {serial}"));
        let (layout, now) = (Layout::of_stdout(), format!("serial {} is served, from {}", view.serial, view.primary));
        layout.sentence("", 8, &format!("{}: {now}", view.zone)) + &layout.sentence("before: ", 8, &before)
    }))
}
