//! `pharos fleet`: shows the servers of the running server's fleet, and forgets one that is gone.
//!
//! **Not here**: asking ([`super::server`]), the exchange with the store (`sharing`), pushing bundles ([`super::rollout`]).

use std::time::Duration;

use hyper::Method;

use super::layout::{Colour, Layout};
use super::locate::ConfigLocation;
use super::rollout::{self, HaltArgs, PushArgs, RolloutChange};
use super::server::AskOptions;
use super::{OK, put};
use crate::base::when::written_millis;
use crate::control::client::ControlQuestion;
use crate::control::encode;
use crate::control::view::{FleetRolloutView, FleetServerView, FleetToldView, FleetView, ForgottenView, StatusView};
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
    /// Push the shared parts of the configuration to all servers, stage by stage: zones, networks, mirrors, horizons, and the
    /// files that these name
    Push(PushArgs),
    /// Halt the push: servers that serve its bundle go on, and no other one loads it
    Halt(HaltArgs),
    /// Have a push that was halted go on
    Resume,
}

/// The width of the heads, in columns.
const INDENT: usize = 14;

/// Asks the server, prints the answer, and returns the exit code.
pub(super) fn run(config: &ConfigLocation, args: &Args) -> u8 {
    let change = match &args.command {
        FleetCommand::Push(args) => RolloutChange::Push(args),
        FleetCommand::Halt(args) => RolloutChange::Halt(args),
        FleetCommand::Resume => RolloutChange::Resume,
        FleetCommand::Status => return show(config, args),
        FleetCommand::Forget { server } => return forget(config, args, server),
    };
    rollout::run(config.path(), change, args.asking.is_json())
}

fn show(config: &ConfigLocation, args: &Args) -> u8 {
    let layout = Layout::of_stdout();
    let question = ControlQuestion { method: Method::GET, target: "/status".into(), body: String::new() };
    let asked = args.asking.server(config).and_then(|server| server.ask::<StatusView>(question));
    let fleet = match asked {
        Ok(status) => status.fleet,
        Err(code) => return code,
    };
    let text = args.asking.printed(&fleet, || match &fleet {
        Some(fleet) => text(fleet, layout),
        None => layout.sentence("", 0, "this server is alone: its configuration has no `[fleet]`"),
    });
    put(&text, OK)
}

fn forget(config: &ConfigLocation, args: &Args, name: &str) -> u8 {
    let target = format!("/fleet/servers/{}", encode(name));
    let question = ControlQuestion { method: Method::DELETE, target, body: String::new() };
    let asked = args.asking.server(config).and_then(|server| server.ask::<ForgottenView>(question));
    let view = match asked {
        Ok(view) => view,
        Err(code) => return code,
    };
    let told = format!("server {} is forgotten; it is heard again if it still runs", view.server);
    put(&args.asking.printed(&view, || Layout::of_stdout().sentence("", 0, &told)), OK)
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
    text += &rollout_text(fleet, layout);
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

/// The bundle in force, and the rollout; empty before the first push.
fn rollout_text(fleet: &FleetView, layout: Layout) -> String {
    let FleetRolloutView { state, serves, rollout, waits, fault, .. } = &fleet.rollout;
    let mut text = String::new();
    let colour = match state.as_str() {
        "rejected" | "stopped" | "stuck" => Some(Colour::Bad),
        "waiting" | "halted" | "deaf" => Some(Colour::Doubtful),
        _ => None,
    };
    let in_force = match serves {
        Some(served) => format!("{} is in force for {}", short(&served.bundle), age(served.for_seconds)),
        None => "no bundle is in force: the local file alone is served".into(),
    };
    if serves.is_some() || rollout.is_some() {
        text += &layout.table("bundle", INDENT, &[vec![in_force]], |_, _, _| None);
    }
    if let Some(rollout) = rollout {
        let reason = because(rollout.reason.as_ref());
        let soak = written_millis(rollout.soak_seconds.saturating_mul(1000));
        let stages: Vec<String> = rollout.stages.iter().map(|stage| stage.join(",")).collect();
        let mut rows =
            vec![vec![format!("{} pushed by {} at {}{reason}", short(&rollout.bundle), rollout.by, rollout.at)]];
        if stages.len() > 1 {
            let stage = fleet.rollout.stage.unwrap_or_default();
            rows.push(vec![format!(
                "stages {}, each for {soak}; this server is in stage {stage}",
                stages.join(", then ")
            )]);
        }
        let halted = rollout
            .halted
            .as_ref()
            .map(|halt| format!("{state} here; halted by {} at {}{}", halt.by, halt.at, because(halt.reason.as_ref())));
        let line = waits.clone().or(halted).unwrap_or_else(|| format!("{state} here"));
        rows.push(vec![line]);
        let last = rows.len() - 1;
        text += &layout.table("rollout", INDENT, &rows, |row, _, _| colour.filter(|_| row == last));
    }
    if let Some(fault) = fault {
        let row = vec![vec![format!("the rollout in the store changes nothing: {fault}")]];
        text += &layout.table("", INDENT, &row, |_, _, _| Some(Colour::Bad));
    }
    for (server, reason) in fleet.servers.iter().filter_map(|server| Some((server, server.rejects.as_ref()?))) {
        let row = vec![vec![format!("{} rejects it: {reason}", server.server)]];
        text += &layout.table("", INDENT, &row, |_, _, _| Some(Colour::Bad));
    }
    text
}

/// A reason behind a sentence; empty without one.
fn because(reason: Option<&String>) -> String {
    reason.map(|reason| format!(": {reason}")).unwrap_or_default()
}

/// The first digits of a digest.
fn short(digest: &str) -> &str {
    &digest[..digest.len().min(12)]
}

fn age(seconds: u64) -> String {
    span(Duration::from_secs(seconds))
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
        let bundle = server.serves.as_ref().map(|served| format!(", bundle {}", short(&served.bundle)));
        let bundle = bundle.unwrap_or_default();
        format!("generation {generation}{bundle}, {up} of {all} mirrors up{isolated}, pharos {}", served.version)
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
