//! `pharos simulate`: the clients that a new configuration, or new feeds, would send to other mirrors.
//!
//! The served side is either a configuration, or the rulings that the running server sends. The server does not compute the
//! moves, because it would read the files of a request as its own user, which may not read all files of the client, and may
//! read others that the client must not see.
//!
//! **Invariants**: every mirror counts as up, and no host is looked up; the exit code is 1 if more moves than allowed.
//! **Not here**: counting ([`crate::inspect`]).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use super::layout::Layout;
use super::locate::ConfigLocation;
use super::server::ServerTarget;
use super::{BAD_CONFIG, CommandFailure, CommandResult, OK, build, put};
use crate::base::prefix::Family;
use crate::base::share::Share;
use crate::control::client::ControlQuestion;
use crate::inspect::{
    self, FamilyMoves, HorizonMoves, LabelMove, MoveEnd, Moves, RangeMove, Rulings, SourceMoves, words,
};
use crate::load::hosts::Purpose;
use crate::networks::LabelKind;

/// The timeout of the server's answer: a database of cities takes seconds.
const TIMEOUT: Duration = Duration::from_secs(55);

/// The most moves between mirrors, and labels of a kind, that are printed as text.
const SHOWN: usize = 10;

/// Arguments of `pharos simulate`.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("served").required(true).args(["against", "server"])))]
pub(super) struct Args {
    /// The new configuration; without this the one that `serve` would use
    #[arg(value_name = "NEW")]
    new: Option<PathBuf>,

    /// The configuration to compare with, such as a copy with the feeds of last week
    #[arg(long, value_name = "OLD")]
    against: Option<PathBuf>,

    /// Compare with the configuration that the running server serves, feeds included
    #[arg(long)]
    server: bool,

    /// The server's control socket, for `--server`; without this the configuration names it
    #[arg(long, value_name = "SOCKET", conflicts_with = "against")]
    socket: Option<PathBuf>,

    /// Exit with 1 if more of the addresses that a rule decides for move, like 5%; of one family, in any horizon
    #[arg(long, value_name = "SHARE", value_parser = Share::parse)]
    max_moved: Option<Share>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Compares, and returns the exit code.
pub(super) fn run(config: &ConfigLocation, args: &Args) -> CommandResult {
    // The new one comes first, because a server should not work for a configuration with errors.
    let new = rulings(args.new.as_deref().unwrap_or_else(|| config.path()))?;
    let old = match &args.against {
        Some(old) => rulings(old)?,
        None => {
            let server = ServerTarget::find(config, args.socket.as_deref(), "`--socket SOCKET`")?;
            server.ask_within(ControlQuestion::new(Method::GET, "/rulings"), TIMEOUT)?.0
        }
    };
    let found = inspect::compare(&old, &new);
    let text = if args.json { format!("{:#}\n", to_json(&found)) } else { text(&found, Layout::of_stdout()) };
    let code = put(&text, OK);
    let over = args.max_moved.and_then(|most| above(&found, most));
    let Some(over) = over.filter(|_| code == OK) else { return Ok(code) };
    Err(CommandFailure::new(over, "look at the largest ranges above; `--max-moved` is the limit", BAD_CONFIG))
}

/// The rulings of a configuration.
fn rulings(path: &Path) -> Result<Rulings, CommandFailure> {
    build(&Purpose::Compare, path).map(|built| Rulings::of(&built.snapshot))
}

/// The first family of a horizon that moves more than a share, in words; `None` if there is none.
fn above(found: &Moves, most: Share) -> Option<String> {
    let families =
        found.horizons.iter().flat_map(|horizon| horizon.families.iter().map(move |family| (horizon, family)));
    let (horizon, family) = families.into_iter().find(|(_, family)| family.share() > most.get())?;
    Some(format!(
        "horizon {}: {} of the {} addresses that rules decide for move, more than {}",
        horizon.horizon,
        words::percent(family.share()),
        family.family,
        most
    ))
}

fn text(found: &Moves, layout: Layout) -> String {
    let mut text = String::new();
    for source in &found.sources {
        text += &source_text(source, layout);
    }
    for (names, what) in [(&found.added, "is new"), (&found.removed, "is gone")] {
        for name in names {
            text += &layout.sentence("", 2, &format!("horizon {name} {what}"));
        }
    }
    for horizon in &found.horizons {
        for family in &horizon.families {
            if !text.is_empty() {
                text.push('\n');
            }
            text += &family_text(horizon, family, layout);
        }
    }
    text
}

/// The lines about one source; empty if it labels the same addresses with the same labels.
fn source_text(source: &SourceMoves, layout: Layout) -> String {
    let mut parts = Vec::new();
    for family in Family::ALL {
        let at = family as usize;
        for (count, what) in [(source.new[at], "more"), (source.lost[at], "fewer")] {
            if count > 0 {
                let of = share(count, source.labelled[at].saturating_add(source.lost[at]));
                parts.push(format!("{} {what} of {family} ({})", words::amount(family, count), words::percent(of)));
            }
        }
    }
    for (labels, what) in [(&source.came, "new"), (&source.went, "gone")] {
        parts.extend(label_words(labels).map(|words| format!("{what}: {words}")));
    }
    if parts.is_empty() {
        String::new()
    } else {
        layout.sentence("", 2, &format!("network {}: {}", source.source, parts.join("; ")))
    }
}

/// `region eu-west-1 eu-west-2`; `None` if there are no labels.
fn label_words(labels: &BTreeSet<(LabelKind, String)>) -> Option<String> {
    let words = |kind: LabelKind| {
        let of_kind: Vec<&str> = labels.iter().filter(|(of, _)| *of == kind).map(|(_, label)| &**label).collect();
        let (shown, others) = of_kind.split_at(of_kind.len().min(SHOWN));
        let more = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
        (!shown.is_empty()).then(|| format!("{} {}{more}", kind.as_str(), shown.join(" ")))
    };
    let words: Vec<String> = inspect::KINDS.into_iter().filter_map(words).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

fn family_text(horizon: &HorizonMoves, family: &FamilyMoves, layout: Layout) -> String {
    let of = family.family;
    let head = match family.moved_of_all {
        0 => format!("horizon {}: no {of} address moves", horizon.horizon),
        _ => format!("horizon {}: {}", horizon.horizon, words::moved(family)),
    };
    let mut text = layout.sentence("", 2, &head);
    if family.moved_of_all == 0 {
        return text;
    }
    let mut table = |head: &[&str], rows: Vec<Vec<String>>| {
        if rows.is_empty() {
            return;
        }
        let head = head.iter().map(|cell| cell.to_string()).collect();
        text += &layout.table("", 2, std::iter::once(head).chain(rows), |_, _, _| None);
    };
    let row = |one: &inspect::MirrorMove| vec![end(&one.from), end(&one.to), words::amount(of, one.addresses)];
    table(&["from", "to", "addresses"], shortened(family.by_mirror.iter().map(row).collect()));
    let labels = inspect::KINDS.into_iter().flat_map(|kind| {
        let of_kind = family.by_label.iter().filter(move |one| one.kind == kind);
        // A kind that no moved address has is left out.
        let is_known = of_kind.clone().any(|one| one.label.is_some());
        of_kind.filter(move |_| is_known).take(SHOWN)
    });
    let row = |one: &LabelMove| {
        vec![
            one.kind.as_str().to_string(),
            one.label.clone().unwrap_or_else(|| "(none)".into()),
            words::amount(of, one.addresses),
        ]
    };
    table(&["by", "label", "addresses"], labels.map(row).collect());
    text.push_str("  largest ranges\n");
    for one in &family.ranges {
        let (from, to, before, after) = (end(&one.from), end(&one.to), &one.before, &one.after);
        text += &layout.sentence(
            "  ",
            4,
            &format!("{}: {from} to {to}; {before}, now {after}", words::range(one.first, one.last)),
        );
    }
    text
}

/// Rows up to [`SHOWN`], and the number of others.
fn shortened(mut rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    if rows.len() > SHOWN {
        let more = rows.len() - SHOWN;
        rows.truncate(SHOWN);
        rows.push(vec![format!("and {more} more")]);
    }
    rows
}

fn end(end: &MoveEnd) -> String {
    end.name().unwrap_or("(no mirror)").to_string()
}

fn share(part: u128, all: u128) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

fn to_json(found: &Moves) -> Value {
    let source = |source: &SourceMoves| {
        let of =
            |counts: [u128; 2]| json!({ "IPv4": count(Family::V4, counts[0]), "IPv6": count(Family::V6, counts[1]) });
        let labels = |labels: &BTreeSet<(LabelKind, String)>| {
            labels.iter().map(|(kind, label)| json!({ "kind": kind.as_str(), "label": label })).collect::<Vec<_>>()
        };
        json!({
            "source": &*source.source,
            "labelled": of(source.labelled),
            "new": of(source.new),
            "lost": of(source.lost),
            "labels_new": labels(&source.came),
            "labels_gone": labels(&source.went),
        })
    };
    let horizon = |horizon: &HorizonMoves| {
        let families: Vec<Value> = horizon.families.iter().map(family_json).collect();
        json!({ "horizon": &*horizon.horizon, "families": families })
    };
    let names = |names: &[std::sync::Arc<str>]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    json!({
        "horizons": found.horizons.iter().map(horizon).collect::<Vec<_>>(),
        "horizons_new": names(&found.added),
        "horizons_gone": names(&found.removed),
        "networks": found.sources.iter().map(source).collect::<Vec<_>>(),
    })
}

fn family_json(family: &FamilyMoves) -> Value {
    let of = family.family;
    let mirror = |one: &inspect::MirrorMove| json!({ "from": one.from.name(), "to": one.to.name(), "addresses": count(of, one.addresses) });
    let label = |one: &LabelMove| json!({ "kind": one.kind.as_str(), "label": one.label, "addresses": count(of, one.addresses) });
    let range = |one: &RangeMove| {
        json!({
            "first": one.first.to_string(),
            "last": one.last.to_string(),
            "from": one.from.name(),
            "to": one.to.name(),
            "rule_before": &*one.before,
            "rule_after": &*one.after,
            "addresses": count(of, one.addresses),
        })
    };
    json!({
        "family": of.to_string(),
        "decided": count(of, family.decided),
        "moved": count(of, family.moved),
        "moved_of_all": count(of, family.moved_of_all),
        "share": family.share(),
        "by_mirror": family.by_mirror.iter().map(mirror).collect::<Vec<_>>(),
        "by_label": family.by_label.iter().map(label).collect::<Vec<_>>(),
        "ranges": family.ranges.iter().map(range).collect::<Vec<_>>(),
    })
}

/// A number of addresses as JSON: of IPv4 itself, of IPv6 in prefixes of 48 bits, with a fraction.
fn count(family: Family, addresses: u128) -> Value {
    match family {
        Family::V4 => json!(u64::try_from(addresses).unwrap_or(u64::MAX)),
        Family::V6 => json!(addresses as f64 / 2f64.powi(80)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_numbers_are_written_as_people_read_them() {
        let counts = [0, 999, 1000, 1_234_567].map(|count| words::amount(Family::V4, count));
        assert_eq!(counts, ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0.0, 0.000_001, 0.000_2, 0.05].map(words::percent), ["0.0 %", "< 0.001 %", "0.020 %", "5.0 %"]);
        assert_eq!(
            [0, 1, 1 << 80, 3 << 80].map(|count| words::amount(Family::V6, count)),
            ["0 /48s", "< 1 /48", "1 /48", "3 /48s"]
        );
    }
}
