//! `pharos zone`: what the running server is to do with a zone.
//!
//! **Invariants**: a zone that this says was fetched is served.
//! **Not here**: fetching ([`crate::transfer`]).

use std::path::PathBuf;

use hyper::Method;

use super::locate::Location;
use super::server::{SOCKET_OPTION, Server};
use super::{OK, put};
use crate::base::name::NameBuf;
use crate::control::client::Question;
use crate::control::encode;
use crate::control::view::RetransferView;

/// What `zone` is asked.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,

    /// The server's control socket; without this the configuration names it
    #[arg(long, global = true, value_name = "SOCKET")]
    socket: Option<PathBuf>,

    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Fetch a zone from its primaries, all of it and whatever its serial
    Retransfer {
        /// The zone
        #[arg(value_name = "NAME", value_parser = parse_name)]
        zone: String,
    },
}

fn parse_name(text: &str) -> Result<String, String> {
    NameBuf::parse(text).map(|name| name.to_string()).map_err(|error| error.to_string())
}

/// Asks, prints, and tells the exit code.
pub(super) fn run(config: &Location, args: &Args) -> u8 {
    match retransfer(config, args) {
        Ok(text) => {
            put(&text);
            OK
        }
        Err(code) => code,
    }
}

fn retransfer(config: &Location, args: &Args) -> Result<String, u8> {
    let Command::Retransfer { zone } = &args.command;
    let server = Server::find(config, args.socket.as_deref(), SOCKET_OPTION)?;
    let target = format!("/zones/{}/retransfer", encode(zone));
    let view: RetransferView = server.ask(Question { method: Method::POST, target, body: String::new() })?;
    if args.json {
        return Ok(serde_json::to_string_pretty(&view).expect("a view is plain data") + "\n");
    }
    let before = view.before.map_or("no usable copy".to_string(), |serial| format!("serial {serial}"));
    Ok(format!("{}: serial {} is served, from {}\nbefore: {before}\n", view.zone, view.serial, view.primary))
}
