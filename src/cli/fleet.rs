//! `pharos fleet`: shows the servers of the running server's fleet, and forgets one that is gone.
//!
//! **Not here**: asking ([`super::server`]), the exchange with the store (`sharing`).

use std::time::Duration;

use hyper::Method;

use super::layout::{Colour, Layout};
use super::locate::ConfigLocation;
use super::server::AskOptions;
use super::{OK, put};
use crate::control::client::ControlQuestion;
use crate::control::encode;
use crate::control::view::{FleetServerView, FleetToldView, FleetView, ForgottenView, StatusView};
use crate::tls::span;

/// Arguments of `pharos fleet`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: FleetCommand,

    #[command(flatten)]
    asking: AskOptions,
}

#[derive(Debug, clap::Subcommand)]
enum FleetCommand {
    /// Show the other servers, what each serves, and the store
    Status,
    /// Forget a server that is gone for good: its document is removed from the store
    Forget {
        /// The server
        #[arg(value_name = "NAME")]
        server: String,
    },
}

/// The width of the heads, in columns.
const INDENT: usize = 14;

/// Asks the server, prints the answer, and returns the exit code.
pub(super) fn run(config: &ConfigLocation, args: &Args) -> u8 {
    match answer(config, args) {
        Ok(text) => put(&text, OK),
        Err(code) => code,
    }
}

fn answer(config: &ConfigLocation, args: &Args) -> Result<String, u8> {
    let server = args.asking.server(config)?;
    let layout = Layout::of_stdout();
    match &args.command {
        FleetCommand::Status => {
            let question = ControlQuestion { method: Method::GET, target: "/status".into(), body: String::new() };
            let fleet = server.ask::<StatusView>(question)?.fleet;
            Ok(args.asking.printed(&fleet, || match &fleet {
                Some(fleet) => text(fleet, layout),
                None => layout.sentence("", 0, "this server is alone: its configuration has no `[fleet]`"),
            }))
        }
        FleetCommand::Forget { server: name } => {
            let target = format!("/fleet/servers/{}", encode(name));
            let view: ForgottenView =
                server.ask(ControlQuestion { method: Method::DELETE, target, body: String::new() })?;
            let told = format!("server {} is forgotten; it is heard again if it still runs", view.server);
            Ok(args.asking.printed(&view, || layout.sentence("", 0, &told)))
        }
    }
}

/// The fleet as a part of the status page.
pub(super) fn text(fleet: &FleetView, layout: Layout) -> String {
    let mut text = String::new();
    let age = fleet.store_age_seconds.map(|secs| format!("{} ago", span(Duration::from_secs(secs))));
    let exchanged = format!("last exchange {}", age.as_deref().unwrap_or("not yet"));
    let row = vec![vec![format!("{} at {}, {exchanged}", fleet.name, fleet.store)]];
    text += &layout.table("fleet", INDENT, &row, |_, _, _| None);
    let bad = |text: String| layout.table("", INDENT, &[vec![text]], |_, _, _| Some(Colour::Bad));
    if let Some(trouble) = &fleet.trouble {
        text += &bad(format!("the store cannot be used: {trouble}"));
    }
    if fleet.duplicate {
        let name = &fleet.name;
        text += &bad(format!("another server is called {name} too: give each server of the fleet another `name`"));
    }
    if fleet.isolated {
        text += &bad("isolated: most mirrors do not answer this server alone, so the view of the others counts".into());
    }
    let rows: Vec<_> = fleet.servers.iter().map(server_row).collect();
    text += &layout.table("servers", INDENT, &rows, |row, column, _| {
        let server = &fleet.servers[row];
        (column == 1 && (!server.fresh || server.fault.is_some())).then_some(Colour::Doubtful)
    });
    for server in &fleet.servers {
        if let Some(fault) = &server.fault {
            text += &bad(format!("{}: its document changes nothing: {fault}", server.server));
        } else if !server.lacks.is_empty() {
            let doubtful =
                vec![vec![format!("{}: not yet with the override of {}", server.server, server.lacks.join(", "))]];
            text += &layout.table("", INDENT, &doubtful, |_, _, _| Some(Colour::Doubtful));
        }
    }
    text
}

fn server_row(server: &FleetServerView) -> Vec<String> {
    let age = server.age_seconds.map_or_else(|| "never heard".into(), |secs| span(Duration::from_secs(secs)));
    let heard = match (server.fresh, server.age_seconds) {
        (true, _) => format!("heard {age} ago"),
        (false, Some(_)) => format!("not heard for {age}: no vote"),
        (false, None) => age,
    };
    let serves = server.served.as_ref().map(|served| {
        let isolated = if served.isolated { ", isolated" } else { "" };
        let (up, all, generation) = (served.mirrors_up, served.mirrors, served.generation);
        format!("generation {generation}, {up} of {all} mirrors up{isolated}, pharos {}", served.version)
    });
    vec![server.server.clone(), heard, serves.unwrap_or_default()]
}

/// The servers that have an override, in a sentence; `None` for a server alone.
pub(super) fn told(servers: &[FleetToldView]) -> Option<String> {
    let of = |state: &str| -> Vec<&FleetToldView> { servers.iter().filter(|server| server.state == state).collect() };
    let names =
        |servers: &[&FleetToldView]| servers.iter().map(|server| server.server.as_str()).collect::<Vec<_>>().join(", ");
    let (has, waits, silent) = (of("has-it"), of("not-yet"), of("not-heard"));
    let silent = silent.into_iter().map(|server| match server.age_seconds {
        Some(secs) => format!("{} not heard for {}", server.server, span(Duration::from_secs(secs))),
        None => format!("{} never heard", server.server),
    });
    let parts: Vec<String> = (!has.is_empty())
        .then(|| format!("{} too", names(&has)))
        .into_iter()
        .chain((!waits.is_empty()).then(|| format!("{} not yet", names(&waits))))
        .chain(silent)
        .collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_override_is_said_to_be_where_it_is() {
        let server = |server: &str, state: &str, age_seconds| FleetToldView {
            server: server.into(),
            state: state.into(),
            age_seconds,
        };
        let all = [
            server("fra1-a", "has-it", Some(1)),
            server("iad1-a", "has-it", Some(2)),
            server("gru1-a", "not-yet", Some(3)),
            server("sin1-a", "not-heard", Some(41)),
            server("syd1-a", "not-heard", None),
        ];
        let expected = "fra1-a, iad1-a too; gru1-a not yet; sin1-a not heard for 41 seconds; syd1-a never heard";
        assert_eq!(told(&all).as_deref(), Some(expected));
        assert_eq!(told(&[]), None);
    }
}
