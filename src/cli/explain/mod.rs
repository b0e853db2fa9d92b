//! `pharos explain`: why a client gets the answer it gets, offline from the configuration.
//!
//! **Invariants**: text and JSON are made from one view.
//! **Not here**: finding out ([`crate::inspect`]).

mod text;
mod view;
mod words;

use std::net::IpAddr;
use std::path::Path;

use crate::base::client::{Client, SourcePrefixLen, Subnet};
use crate::base::name::{Name, NameBuf};
use crate::base::prefix::Prefix;
use crate::base::report::report;
use crate::base::time::Generation;
use crate::compile;
use crate::inspect;
use crate::snapshot::Snapshot;

use super::{BAD_CONFIG, OK, put, style_of_stderr};

/// What `explain` is asked.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The client: a subnet as a resolver sends it (192.0.2.0/24), or an address, taken as a subnet of full length
    #[arg(value_name = "ADDRESS|SUBNET")]
    client: Prefix,

    /// Who asks; without this the client's address does
    #[arg(long, value_name = "IP")]
    resolver: Option<IpAddr>,

    /// The name asked for; without this the first steered owner of the configuration
    #[arg(long, value_name = "OWNER", value_parser = NameBuf::parse)]
    name: Option<NameBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Explains, and tells the exit code.
pub(super) fn run(config: &Path, args: &Args) -> u8 {
    let built = match compile::build(config, Generation(1)) {
        Ok(built) => built,
        Err(problems) => {
            eprint!("{}", report(&problems, style_of_stderr()));
            return BAD_CONFIG;
        }
    };
    let first_steered = built.config.zones.iter().flat_map(|zone| &zone.steer).next();
    let Some(name) = args.name.as_ref().or(first_steered.map(|steer| &steer.owner)) else {
        eprintln!("error: the configuration steers no name\n  = help: say which name to explain: --name OWNER");
        return BAD_CONFIG;
    };
    let view = explained(&built.snapshot, name.as_name(), args.client, args.resolver);
    match args.json {
        true => put(&(serde_json::to_string_pretty(&view).expect("a view is plain data") + "\n")),
        false => put(&text::text(&view)),
    }
    OK
}

fn explained(snapshot: &Snapshot, name: Name<'_>, target: Prefix, resolver: Option<IpAddr>) -> view::View {
    let mut notes = Vec::new();
    if target.prefix_len() == target.family().width() {
        notes.push(
            "an address is explained as a subnet of full length, as if the resolver sent all of it; most send /24 of \
             IPv4 and /56 of IPv6"
                .into(),
        );
    }
    if resolver.is_none() {
        notes.push("without --resolver the client's address asks for itself".into());
    }
    notes.push("this is read from the files: every mirror counts as up, which a running server may know better".into());
    let subnet = Subnet { address: target.first(), source: SourcePrefixLen(target.prefix_len()) };
    let client = Client { resolver: resolver.unwrap_or(target.first()), subnet: Some(subnet) };
    view::view(snapshot, &inspect::explain(snapshot, name, client), notes)
}

#[cfg(test)]
mod tests;
