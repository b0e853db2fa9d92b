//! `pharos mirror`: shows the mirrors of the running server, and sets and removes overrides.
//!
//! **Invariants**: an override that the command reports as set is kept on the disk and served.
//! **Not here**: overrides ([`crate::control`]).

use hyper::Method;
use serde_json::json;

use super::fleet;
use super::layout::{Colour, Layout};
use super::locate::ConfigLocation;
use super::server::{AskOptions, parse_reason};
use super::{CommandResult, OK, warn};
use crate::base::when::{BadEnd, parse_end, parse_parts, written_millis};
use crate::control::client::ControlQuestion;
use crate::control::encode;
use crate::control::view::{DoneView, MirrorDetailView, MirrorsView, OverriddenView};
use crate::inspect::words;
use crate::mirror::Forced;
use crate::process::Clock;

/// Arguments of `pharos mirror`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: MirrorCommand,

    #[command(flatten)]
    asking: AskOptions,
}

#[derive(Debug, clap::Subcommand)]
enum MirrorCommand {
    /// Show each mirror with its addresses, their health with the time since which it is the same, their last verdict, and
    /// the override in force
    List {
        /// Only this one
        #[arg(value_name = "NAME")]
        mirror: Option<String>,
    },
    /// Send clients elsewhere; the mirror goes on serving those that still know it
    Drain(Give),
    /// Send no client there while another mirror is left
    Down(Give),
    /// Treat it as up, without regard to probes
    Up(Give),
    /// Remove the override: probes decide again; without `[probe]` the mirror counts as up
    #[command(visible_alias = "undrain")]
    Auto {
        /// The mirror
        #[arg(value_name = "NAME")]
        mirror: String,
        /// Reason, for the log
        #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
        reason: Option<String>,
    },
}

/// An override.
#[derive(Debug, clap::Args)]
struct Give {
    /// The mirror
    #[arg(value_name = "NAME")]
    mirror: String,

    /// The reason, shown with the override
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    reason: String,

    /// End of the override: a duration like 90s, 2h or 3d, or a timestamp like 2026-01-31T18:00:00Z; without it the override is in
    /// force until it is removed
    #[arg(long, value_name = "WHEN", value_parser = parse_until)]
    until: Option<String>,

    /// Do not warn if no other mirror of a horizon is up
    #[arg(long)]
    force: bool,
}

/// Checks an end. The text is sent as it was typed, and the server parses it by its own clock.
pub(super) fn parse_until(text: &str) -> Result<String, String> {
    parse_end(text, Clock::civil()).map(|_| text.to_string()).map_err(|error| match parse_parts(text) {
        Some(millis) if error == BadEnd::NotATime => {
            format!("write one whole number with one unit: `{}`", written_millis(millis))
        }
        _ => error.to_string(),
    })
}

/// Asks the server, prints the answer, and returns the exit code.
pub(super) fn run(config: &ConfigLocation, args: &Args) -> CommandResult {
    let order = |forced: Forced, Give { mirror, reason, until, force }: &Give| {
        let body = json!({ "override": forced.as_str(), "reason": reason, "until": until, "force": force });
        ControlQuestion::new(Method::PUT, target(mirror)).with(&body)
    };
    let question = match &args.command {
        MirrorCommand::List { mirror: None } => {
            return args.asking.show(config, ControlQuestion::new(Method::GET, "/mirrors"), list);
        }
        MirrorCommand::List { mirror: Some(mirror) } => {
            let question = ControlQuestion::new(Method::GET, format!("/mirrors/{}", encode(mirror)));
            return args.asking.show(config, question, |view, layout| table(std::slice::from_ref(view), &[], layout));
        }
        MirrorCommand::Drain(give) => order(Forced::Drain, give),
        MirrorCommand::Down(give) => order(Forced::Down, give),
        MirrorCommand::Up(give) => order(Forced::Up, give),
        MirrorCommand::Auto { mirror, reason } => {
            ControlQuestion::new(Method::DELETE, target(mirror)).with(&json!({ "reason": reason }))
        }
    };
    let view: DoneView = args.asking.server(config)?.ask(question)?;
    if let Some(warning) = &view.warning {
        warn(&format!("{}: {warning}", view.mirror));
    }
    Ok(args.asking.print(&view, done_text, OK))
}

fn done_text(view: &DoneView, layout: Layout) -> String {
    let without = if view.probed {
        "no override, probes decide"
    } else {
        "no override, counts as up: mirrors are not probed without `[probe]`"
    };
    let now = view.order.as_ref().map_or(without.to_string(), words::whole_override);
    let before = view.before.as_ref().map(|before| layout.sentence("before: ", 8, &words::whole_override(before)));
    let told = fleet::told(&view.fleet).into_iter().chain(view.fleet_fault.clone());
    let fleet: String = told.map(|told| layout.sentence("fleet: ", 8, &told)).collect();
    layout.sentence("", 8, &format!("{}: {now}", view.mirror)) + &before.unwrap_or_default() + &fleet
}

fn target(mirror: &str) -> String {
    format!("/mirrors/{}/override", encode(mirror))
}

fn list(view: &MirrorsView, layout: Layout) -> String {
    table(&view.mirrors, &view.gone, layout)
}

/// A line for each address, below a head; the columns of a mirror are filled in its first line. If no mirror has a contact, the
/// column is left out.
fn rows(mirrors: &[MirrorDetailView], gone: &[OverriddenView]) -> Vec<Vec<String>> {
    let head = ["MIRROR", "ADDRESS", "HEALTH", "VERDICT", "SINCE", "HORIZONS", "CONTACT", "OVERRIDE"];
    let mut rows = vec![head.map(str::to_string).to_vec()];
    for mirror in mirrors {
        let order = mirror.order.as_ref().map(words::whole_override).unwrap_or_default();
        let contact = mirror.contact.clone().unwrap_or_default();
        let mut own = [mirror.mirror.clone(), mirror.horizons.join(", "), contact, order];
        if mirror.addresses.is_empty() {
            let [name, horizons, contact, order] = own;
            let none = [name, "none".into(), String::new(), String::new(), String::new(), horizons, contact, order];
            rows.push(none.to_vec());
            continue;
        }
        for address in &mirror.addresses {
            let [name, horizons, contact, order] = std::mem::take(&mut own);
            let verdict = address.verdict.as_deref().unwrap_or(NOT_PROBED).to_string();
            let (since, health) = (address.since.clone().unwrap_or_default(), address.health.to_string());
            rows.push(vec![name, address.address.clone(), health, verdict, since, horizons, contact, order]);
        }
    }
    rows.extend(gone.iter().map(|gone| {
        let order = words::whole_override(&gone.order);
        [&*gone.mirror, "not configured", "", "", "", "", "", &*order].map(str::to_string).to_vec()
    }));
    if mirrors.iter().all(|mirror| mirror.contact.is_none()) {
        rows.iter_mut().for_each(|row| drop(row.remove(CONTACT)));
    }
    rows
}

/// A table of the rows. Columns for which the terminal is too narrow are listed below it.
fn table(mirrors: &[MirrorDetailView], gone: &[OverriddenView], layout: Layout) -> String {
    let mut rows = rows(mirrors, gone);
    let orders = mirrors.iter().filter_map(|mirror| Some((&mirror.mirror, mirror.order.as_ref()?)));
    let orders = orders.chain(gone.iter().map(|gone| (&gone.mirror, &gone.order)));
    let orders = orders.map(|(mirror, order)| ("override", mirror, words::whole_override(order)));
    let contacts = mirrors.iter().filter_map(|mirror| Some(("contact", &mirror.mirror, mirror.contact.clone()?)));
    let horizons = mirrors.iter().filter(|mirror| !mirror.horizons.is_empty());
    let horizons = horizons.map(|mirror| ("horizons", &mirror.mirror, mirror.horizons.join(", ")));
    let addresses = mirrors.iter().flat_map(|mirror| &mirror.addresses);
    let since = addresses.filter_map(|address| Some(("since", &address.address, address.since.clone()?)));
    // Sentences in a narrow column are hard to read, so overrides are the first to be listed below the table.
    let steps: [(usize, Vec<_>); 3] =
        [(CONTACT, orders.chain(contacts).collect()), (HORIZONS, horizons.collect()), (SINCE, since.collect())];
    let mut below = String::new();
    for (column, facts) in steps {
        if layout.fits(&rows) {
            break;
        }
        rows.iter_mut().for_each(|row| row.truncate(column));
        let facts = facts.iter().map(|(head, of, fact)| layout.paragraph(head, 10, &format!("{of}: {fact}")));
        below.extend(facts);
    }
    // An address that is not probed counts as up, but may be down: it is not shown in green.
    let is_guess = |row: usize, cell: &str| cell == "up" && rows[row][VERDICT] == NOT_PROBED;
    let colour = |row, column, cell: &str| match row {
        0 => Some(Colour::Head),
        _ if is_guess(row, cell) => None,
        _ => colour(column, cell),
    };
    layout.table("", 0, &rows, colour) + &below
}

/// The colour of a health or a verdict.
fn colour(column: usize, cell: &str) -> Option<Colour> {
    match (column, cell) {
        (2 | 3, "up") => Some(Colour::Good),
        (2 | 3, "drained" | "untried" | "not probed" | "expiring" | "slow") => Some(Colour::Doubtful),
        (2 | 3, "") => None,
        (2 | 3, _) => Some(Colour::Bad),
        _ => None,
    }
}

/// The column of verdicts.
const VERDICT: usize = 3;

/// The verdict of an address that is not probed.
const NOT_PROBED: &str = "not probed";

/// The column of timestamps.
const SINCE: usize = 4;

/// The column of horizons.
const HORIZONS: usize = 5;

/// The column of contacts.
const CONTACT: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::expected::assert_both_widths;

    fn view() -> MirrorsView {
        serde_json::from_str(include_str!("mirrors.json")).unwrap()
    }

    #[test]
    fn no_word_is_broken_at_80_and_120_columns() {
        assert_both_widths("expected", "mirrors", |layout| list(&view(), layout));
    }

    #[test]
    fn health_and_verdict_have_colours() {
        let text = list(&view(), Layout::coloured(200));
        assert!(text.contains("\x1b[31mbad\x1b[0m") && text.contains("\x1b[32mup\x1b[0m"), "{text}");
        assert!(text.starts_with("\x1b[1mMIRROR\x1b[0m"), "{text}");
    }
}
