//! `pharos status`: how the running server is, in a few lines.
//!
//! **Invariants**: it prints what the server said, and decides nothing.
//! **Not here**: asking ([`super::server`]), what is said ([`crate::control`]).

use std::path::PathBuf;

use hyper::Method;

use super::locate::Location;
use super::server::{SOCKET_OPTION, Server};
use super::{OK, put};
use crate::base::text::shown;
use crate::control::client::Question;
use crate::control::view::{PanicView, StatusView, TroubleView, UnwrittenView};
use crate::inspect::words;

/// What `status` is asked.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The server's control socket; without this the configuration names it
    #[arg(long, value_name = "SOCKET")]
    socket: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Asks, prints, and tells the exit code.
pub(super) fn run(config: &Location, args: &Args) -> u8 {
    let question = Question { method: Method::GET, target: "/status".into(), body: String::new() };
    let view: StatusView =
        match Server::find(config, args.socket.as_deref(), SOCKET_OPTION).and_then(|server| server.ask(question)) {
            Ok(view) => view,
            Err(code) => return code,
        };
    match args.json {
        true => put(&(serde_json::to_string_pretty(&view).expect("a view is plain data") + "\n")),
        false => put(&text(&view)),
    }
    OK
}

fn text(view: &StatusView) -> String {
    let state = match view.obstacle.as_deref() {
        None => "serving".into(),
        // The line below has all of it.
        Some(obstacle) if view.drain.is_some() && obstacle.starts_with("drained") => {
            "drained, queries are still answered".into()
        }
        Some(obstacle) => shown(obstacle),
    };
    let zones: Vec<String> = view
        .zones
        .iter()
        .map(|zone| match zone.serial {
            Some(serial) => format!("{} (serial {serial})", shown(&zone.name)),
            None => format!("{} (not available)", shown(&zone.name)),
        })
        .collect();
    let mut text = format!(
        "state       {state}, pharos {}, up for {} s\n\
         generation  {}, published {} s ago\n\
         mirrors     {} of {} up\n\
         zones       {}\n",
        shown(&view.version),
        view.uptime_seconds,
        view.generation,
        view.generation_age_seconds,
        view.mirrors_up,
        view.mirrors,
        zones.join(", "),
    );
    let orders =
        view.orders.iter().map(|ordered| format!("{}: {}", ordered.mirror, words::whole_order(&ordered.order)));
    let troubles = view.troubles.iter().flat_map(|TroubleView { mirror, contact, address }| {
        let reason = address.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let trouble = format!("{mirror}: {}{reason}", words::trouble(address));
        let more = [("help", &address.remedy), ("contact", contact)];
        let more = more.into_iter().filter_map(|(head, text)| Some(format!("  {head}: {}", text.as_ref()?)));
        std::iter::once(trouble).chain(more)
    });
    let panics = view.panics.iter().map(|PanicView { horizon, family }| {
        format!("{horizon} ({family}): most mirrors do not answer, so mirrors that are down are given")
    });
    let unwritten = view
        .unwritten
        .iter()
        .map(|UnwrittenView { file, error, since, .. }| format!("{file}: not written since {since}: {error}"));
    let drain = view.drain.iter().map(words::whole_order);
    let parts = [
        ("drain", drain.collect::<Vec<_>>()),
        ("panic", panics.collect::<Vec<_>>()),
        ("overrides", orders.collect()),
        ("troubles", troubles.collect()),
        ("state files", unwritten.collect()),
    ];
    for (head, lines) in parts {
        for (at, line) in lines.iter().enumerate() {
            text += &format!("{:<12}{}\n", if at == 0 { head } else { "" }, shown(line));
        }
    }
    text
}
