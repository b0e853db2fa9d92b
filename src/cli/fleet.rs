//! `pharos fleet`: shows the servers of the running server's fleet, and forgets one that is gone.
//!
//! **Not here**: asking ([`super::server`]), the exchange with the store (`sharing`), pushing bundles ([`super::rollout`]).

use hyper::Method;

use super::layout::{Colour, HEADS, Layout, Page};
use super::locate::ConfigLocation;
use super::rollout::{self, HaltArgs, PushArgs, RolloutChange};
use super::server::AskOptions;
use super::{CommandResult, OK};
use crate::base::when::{span, written_millis};
use crate::control::client::ControlQuestion;
use crate::control::encode;
use crate::control::view::{FleetRolloutView, FleetServerView, FleetToldView, FleetView, ForgottenView, StatusView};

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

/// Asks the server, prints the answer, and returns the exit code.
pub(super) fn run(config: &ConfigLocation, args: &Args) -> CommandResult {
    let change = match &args.command {
        FleetCommand::Push(args) => RolloutChange::Push(args),
        FleetCommand::Halt(args) => RolloutChange::Halt(args),
        FleetCommand::Resume => RolloutChange::Resume,
        FleetCommand::Status => {
            let status: StatusView = args.asking.server(config)?.ask(ControlQuestion::new(Method::GET, "/status"))?;
            let text = |fleet: &Option<FleetView>, layout: Layout| match fleet {
                Some(fleet) => text(fleet, layout),
                None => layout.sentence("", 0, "this server is alone: its configuration has no `[fleet]`"),
            };
            return Ok(args.asking.print(&status.fleet, text, OK));
        }
        FleetCommand::Forget { server } => {
            let question = ControlQuestion::new(Method::DELETE, format!("/fleet/servers/{}", encode(server)));
            return args.asking.show(config, question, |ForgottenView { server }, layout| {
                layout.sentence("", 0, &format!("server {server} is forgotten; it is heard again if it still runs"))
            });
        }
    };
    rollout::run(config.path(), change, &args.asking)
}

fn text(fleet: &FleetView, layout: Layout) -> String {
    let mut page = Page::new(layout, HEADS);
    add(&mut page, fleet);
    page.text
}

/// Adds the fleet to a page.
pub(super) fn add(page: &mut Page, fleet: &FleetView) {
    let FleetView { name, store, .. } = fleet;
    let exchanged = fleet.store_age_seconds.map_or_else(|| "not yet".into(), |secs| format!("{} ago", span(secs)));
    page.line("fleet", format!("{name} at {store}, last exchange {exchanged}"), None);
    if let Some(trouble) = &fleet.trouble {
        page.line("", format!("the store cannot be used: {trouble}"), Some(Colour::Bad));
    }
    if fleet.duplicate {
        let text = format!("another server is called {name} too: give each server of the fleet another `name`");
        page.line("", text, Some(Colour::Bad));
    }
    if fleet.isolated {
        let text = "isolated: most mirrors do not answer this server alone, so the view of the others counts";
        page.line("", text, Some(Colour::Bad));
    }
    page.table("servers", fleet.servers.iter().map(server_row), |row, column, _| {
        let server = &fleet.servers[row];
        (column == 1 && (!server.fresh || server.fault.is_some())).then_some(Colour::Doubtful)
    });
    add_rollout(page, fleet);
    for FleetServerView { server, fault, lacks, .. } in &fleet.servers {
        if let Some(fault) = fault {
            page.line("", format!("{server}: its document changes nothing: {fault}"), Some(Colour::Bad));
        } else if !lacks.is_empty() {
            let text = format!("{server}: not yet with the override of {}", lacks.join(", "));
            page.line("", text, Some(Colour::Doubtful));
        }
    }
}

/// Adds the bundle in force, and the rollout; nothing before the first push.
fn add_rollout(page: &mut Page, fleet: &FleetView) {
    let FleetRolloutView { state, serves, rollout, waits, fault, .. } = &fleet.rollout;
    let colour = match state.as_str() {
        "rejected" | "stopped" | "stuck" => Some(Colour::Bad),
        "waiting" | "halted" | "deaf" => Some(Colour::Doubtful),
        _ => None,
    };
    let in_force = match serves {
        Some(served) => format!("{} is in force for {}", short(&served.bundle), span(served.for_seconds)),
        None => "no bundle is in force: the local file alone is served".into(),
    };
    if serves.is_some() || rollout.is_some() {
        page.line("bundle", in_force, None);
    }
    if let Some(rollout) = rollout {
        let reason = because(rollout.reason.as_ref());
        let pushed = format!("{} pushed by {} at {}{reason}", short(&rollout.bundle), rollout.by, rollout.at);
        page.line("rollout", pushed, None);
        if rollout.stages.len() > 1 {
            let soak = written_millis(rollout.soak_seconds.saturating_mul(1000));
            let stages: Vec<String> = rollout.stages.iter().map(|stage| stage.join(",")).collect();
            let (stages, stage) = (stages.join(", then "), fleet.rollout.stage.unwrap_or_default());
            page.line("", format!("stages {stages}, each for {soak}; this server is in stage {stage}"), None);
        }
        let halted = rollout
            .halted
            .as_ref()
            .map(|halt| format!("{state} here; halted by {} at {}{}", halt.by, halt.at, because(halt.reason.as_ref())));
        page.line("", waits.clone().or(halted).unwrap_or_else(|| format!("{state} here")), colour);
    }
    if let Some(fault) = fault {
        page.line("", format!("the rollout in the store changes nothing: {fault}"), Some(Colour::Bad));
    }
    for (server, reason) in fleet.servers.iter().filter_map(|server| Some((server, server.rejects.as_ref()?))) {
        page.line("", format!("{} rejects it: {reason}", server.server), Some(Colour::Bad));
    }
}

/// A reason behind a sentence; empty without one.
fn because(reason: Option<&String>) -> String {
    reason.map(|reason| format!(": {reason}")).unwrap_or_default()
}

/// The first digits of a digest.
fn short(digest: &str) -> &str {
    &digest[..digest.len().min(12)]
}

fn server_row(server: &FleetServerView) -> Vec<String> {
    let age = server.age_seconds.map_or_else(|| "never heard".into(), span);
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
    let of = |state: &str, words: &str| {
        let of_state = servers.iter().filter(|server| server.state == state);
        let names: Vec<&str> = of_state.map(|server| server.server.as_str()).collect();
        (!names.is_empty()).then(|| format!("{} {words}", names.join(", ")))
    };
    let silent = servers.iter().filter(|server| server.state == "not-heard").map(|server| match server.age_seconds {
        Some(secs) => format!("{} not heard for {}", server.server, span(secs)),
        None => format!("{} never heard", server.server),
    });
    let parts: Vec<String> = of("has-it", "too").into_iter().chain(of("not-yet", "not yet")).chain(silent).collect();
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
