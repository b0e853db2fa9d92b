//! `pharos explain`: explains the answer for a client, offline from the configuration, or from the running server.
//!
//! **Invariants**: text and JSON are made from one view.
//! **Not here**: finding the explanation ([`crate::inspect`]).

mod text;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use hyper::Method;

use crate::base::diagnostic::did_you_mean;
use crate::base::name::NameBuf;
use crate::base::prefix::Prefix;
use crate::config::Config;
use crate::control::client::ControlQuestion;
use crate::inspect::view::{ExplainSource, ExplainSubject, View, describe};
use crate::load::hosts::Purpose;

use super::layout::Layout;
use super::locate::ConfigLocation;
use super::server::{ServerTarget, as_json, target};
use super::{BAD_CONFIG, CommandFailure, CommandResult, OK, build, put, warn};

/// Arguments of `pharos explain`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The client: a subnet as a resolver sends it (192.0.2.0/24), or an address, taken as a subnet of full length
    #[arg(value_name = "ADDRESS|SUBNET")]
    client: Prefix,

    /// The resolver's address; without this the client's
    #[arg(long, value_name = "IP")]
    resolver: Option<IpAddr>,

    /// The name asked for; without this the first steered owner of the configuration
    #[arg(long, value_name = "OWNER", value_parser = NameBuf::parse)]
    name: Option<NameBuf>,

    /// Ask the running server, which knows the health of mirrors and overrides; at the control socket of
    /// the configuration, or at this one
    #[arg(long, value_name = "SOCKET", num_args = 0..=1, require_equals = true)]
    server: Option<Option<PathBuf>>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Explains an answer, and returns the exit code.
pub(super) fn run(config: &ConfigLocation, args: &Args) -> CommandResult {
    let view = match &args.server {
        None => from_files(config.path(), args)?,
        Some(socket) => from_server(config, socket.as_deref(), args)?,
    };
    Ok(put(&if args.json { as_json(&view) } else { text::text(&view, Layout::of_stdout()) }, OK))
}

fn from_files(config: &Path, args: &Args) -> Result<View, CommandFailure> {
    let built = build(&Purpose::Show, config)?;
    let name =
        args.name.as_ref().or(first_steered(&built.config)).map(|name| ExplainSubject::Name(name.clone().into()));
    let Some(subject) = name.or_else(|| ExplainSubject::first_of(&built.snapshot)) else {
        let help = "say which name to explain: --name OWNER";
        return Err(CommandFailure::new("the configuration steers no name", help, BAD_CONFIG));
    };
    if let ExplainSubject::Name(name) = &subject
        && built.config.zone_of(name.as_name()).is_none()
    {
        let owners: Vec<String> = built.config.zones.iter().map(|zone| zone.name.to_string()).collect();
        let help = did_you_mean(&name.to_string(), "zones", owners.iter().map(String::as_str));
        warn(&format!("no zone has the name `{name}`: {help}"));
    }
    Ok(describe(&built.snapshot, &subject, args.client, args.resolver, ExplainSource::Files))
}

fn from_server(config: &ConfigLocation, socket: Option<&Path>, args: &Args) -> Result<View, CommandFailure> {
    let server = ServerTarget::find(config, socket, "`--server=SOCKET`")?;
    let name = args.name.as_ref().or(server.config.as_ref().and_then(first_steered));
    let mut parameters = vec![("client", args.client.to_string())];
    parameters.extend(args.resolver.map(|resolver| ("resolver", resolver.to_string())));
    parameters.extend(name.map(|name| ("name", name.to_string())));
    server.ask(ControlQuestion::new(Method::GET, target("/explain", &parameters)))
}

fn first_steered(config: &Config) -> Option<&NameBuf> {
    config.zones.iter().flat_map(|zone| &zone.steer).map(|steer| &steer.owner).next()
}

#[cfg(test)]
mod tests;
