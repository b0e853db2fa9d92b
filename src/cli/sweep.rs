//! `pharos sweep`: asks the engine from both ends of every range, and prints violations and the share of each mirror.
//!
//! **Invariants**: violations make the exit code 1; progress is shown only to people, on standard error.
//! **Not here**: asking and checking ([`crate::inspect`]).

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::layout::Layout;
use super::output::ProgressMeter;
use super::{BAD_CONFIG, CommandResult, OK, build, put};
use crate::base::ids::HorizonId;
use crate::base::prefix::Family;
use crate::base::text::counted;
use crate::inspect::{self, HorizonReport, MirrorTotal, Report, RuleTotal, SweepProgress, Violation, Wrong, words};
use crate::load::hosts::Purpose;
use crate::snapshot::Snapshot;
use crate::steer::Won;

/// The most violations that are printed as text.
const SHOWN: usize = 20;

/// The most providers named for a mirror as text.
const SHOWN_PROVIDERS: usize = 3;

/// Arguments of `pharos sweep`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Sweeps, and returns the exit code.
pub(super) fn run(config: &Path, args: &Args) -> CommandResult {
    let built = build(&Purpose::Show, config)?;
    let mut meter = ProgressMeter::new();
    let found = inspect::sweep(&built.snapshot, &mut |progress| meter.show(|| line(progress)));
    meter.clear();
    let text = if args.json {
        format!("{:#}\n", to_json(&built.snapshot, &found))
    } else {
        text(&built.snapshot, &found, Layout::of_stdout())
    };
    Ok(put(&text, if found.findings.violation_count == 0 { OK } else { BAD_CONFIG }))
}

fn line(progress: SweepProgress) -> String {
    let percent = progress.done * 100 / progress.total.max(1);
    format!("{percent:3} % of {} ranges", progress.total)
}

fn text(snapshot: &Snapshot, found: &Report, layout: Layout) -> String {
    let mut text = String::new();
    for horizon in &found.horizons {
        let name = &snapshot.horizons()[horizon.horizon.index()].name;
        for (family, ranges) in Family::ALL.into_iter().zip(horizon.ranges) {
            let _ = writeln!(text, "horizon {name}: {} of {family} clients", counted(ranges, "range"));
            let totals = horizon.totals.iter().filter(|total| total.clients == family);
            let mut rows = vec![["mirror", "answers", "ranges", "share", "of which"].map(String::from).to_vec()];
            rows.extend(totals.map(|total| row(snapshot, total)));
            if family == Family::V6 {
                // A share of the IPv6 space does not measure clients, because nearly all of the space is unused.
                rows.iter_mut().for_each(|row| row.truncate(3));
            }
            text += &layout.table("", 2, &rows, |_, _, _| None);
            text.push('\n');
            if family == Family::V4 {
                let rules = horizon.rules.iter().filter(|total| total.clients == family);
                let mut rows = vec![["rule", "share"].map(String::from).to_vec()];
                rows.extend(rules.map(|total| rule_row(snapshot, horizon.horizon, total)));
                text += &layout.table("", 2, &rows, |_, _, _| None);
                text.push('\n');
            }
        }
    }
    for owner in &found.owners {
        let name = &snapshot.horizons()[owner.horizon.index()].name;
        let verdict = match owner.violation_count {
            0 => "all true".into(),
            count => counted(count, "violation"),
        };
        let replies = if owner.replies == 1 { "reply".into() } else { format!("{} replies", owner.replies) };
        let _ = writeln!(text, "{}, by {name}: {replies}, {verdict}", owner.owner);
    }
    if found.owners.is_empty() {
        text.push_str("no name is steered\n");
    }
    if found.findings.violation_count > 0 {
        let _ = writeln!(text, "\n{}:", counted(found.findings.violation_count, "violation"));
        for violation in found.findings.violations.iter().take(SHOWN) {
            text += &layout.paragraph("", 2, &sentence(snapshot, violation));
        }
        if found.findings.violation_count > SHOWN as u64 {
            let _ = writeln!(text, "  and {} more", found.findings.violation_count - SHOWN as u64);
        }
    }
    text
}

fn row(snapshot: &Snapshot, total: &MirrorTotal) -> Vec<String> {
    let known = total.providers.iter().filter_map(|of| Some((of.provider.as_deref()?, of.addresses)));
    let mut providers: Vec<String> = known
        .map(|(provider, addresses)| format!("{provider} {}", percent(addresses as f64 / total.addresses as f64)))
        .collect();
    if providers.len() > SHOWN_PROVIDERS {
        providers.truncate(SHOWN_PROVIDERS);
        providers.push("…".into());
    }
    vec![
        total.mirror.map_or("(canonical)", |id| &*snapshot.mirrors()[id.index()].name).to_string(),
        total.records.as_str().into(),
        total.ranges.to_string(),
        percent(part(total.addresses, total.clients)),
        providers.join(", "),
    ]
}

/// The share of a family's addresses, 0 to 1.
fn part(addresses: u128, family: Family) -> f64 {
    addresses as f64 / 2f64.powi(i32::from(family.width()))
}

/// A share with two digits.
fn percent(part: f64) -> String {
    match part * 100.0 {
        percent if percent >= 0.01 => format!("{percent:.2} %"),
        percent if percent > 0.0 => "< 0.01 %".into(),
        _ => "0 %".into(),
    }
}

fn rule_row(snapshot: &Snapshot, horizon: HorizonId, total: &RuleTotal) -> Vec<String> {
    vec![words::rule(snapshot, horizon, total.won), percent(part(total.addresses, total.clients))]
}

fn sentence(snapshot: &Snapshot, violation: &Violation) -> String {
    let (first, last) = violation.range;
    let what = wrong(snapshot, violation);
    match (&violation.owner, violation.asked) {
        (Some(owner), Some(asked)) => {
            let (address, source) = (asked.subnet.address, asked.subnet.source.0);
            format!("{owner} {} for {address}/{source} (range {first} to {last}): {what}", asked.rtype)
        }
        _ => format!("range {first} to {last}: {what}"),
    }
}

fn wrong(snapshot: &Snapshot, violation: &Violation) -> String {
    let horizon = &snapshot.horizons()[violation.horizon.index()];
    let mirrors = |plan| {
        let names: Vec<&str> =
            horizon.plan(plan).preferred.iter().map(|id| &*snapshot.mirrors()[id.index()].name).collect();
        names.join(", ")
    };
    match &violation.wrong {
        Wrong::Unreadable => "no reply, or one that cannot be read".into(),
        Wrong::Rcode(rcode) => format!("the reply is {rcode}"),
        Wrong::Empty => "the reply has no address".into(),
        Wrong::NotSteered(_) => "the reply did not come from the horizon".into(),
        Wrong::OtherPlan { expected, found } => {
            format!("the reply is for {}, the range is for {}", mirrors(*found), mirrors(*expected))
        }
        Wrong::OtherSlot { expected, found } => {
            format!("the reply is for {}, the slot of its scope is for {}", mirrors(*found), mirrors(*expected))
        }
        Wrong::OtherAddresses => "the addresses are not those of the mirrors".into(),
        Wrong::OtherTtl(Some(ttl)) => format!("the TTL is {}", ttl.0),
        Wrong::OtherTtl(None) => "there is no TTL".into(),
        Wrong::NoScope => "the reply has no scope".into(),
        Wrong::ScopeTooWide(scope) => format!("scope /{} covers clients that are decided otherwise", scope.0),
        Wrong::ScopeTooNarrow(scope) => format!("scope /{} is longer than need be", scope.0),
        Wrong::NotByTheRules { address, won, expected, found } => {
            let rule = match won {
                Won::Rule(index) => format!("rule {}", index + 1),
                Won::Default => "the default".into(),
            };
            let (meant, table) = (mirrors(*expected), mirrors(*found));
            format!("{rule} wins for {address}, so it is for {meant}, and the table has {table}")
        }
    }
}

fn to_json(snapshot: &Snapshot, found: &Report) -> Value {
    let owner = |owner: &inspect::OwnerReport| {
        json!({
            "owner": owner.owner.to_string(),
            "horizon": &*snapshot.horizons()[owner.horizon.index()].name,
            "replies": owner.replies,
            "violations": owner.violation_count,
        })
    };
    let violation = |violation: &Violation| {
        json!({
            "owner": violation.owner.as_ref().map(ToString::to_string),
            "horizon": &*snapshot.horizons()[violation.horizon.index()].name,
            "first": violation.range.0.to_string(),
            "last": violation.range.1.to_string(),
            "type": violation.asked.map(|asked| asked.rtype.to_string()),
            "subnet": violation.asked.map(|asked| format!("{}/{}", asked.subnet.address, asked.subnet.source.0)),
            "code": violation.wrong.as_str(),
            "message": wrong(snapshot, violation),
        })
    };
    json!({
        "replies": found.findings.replies,
        "violation_count": found.findings.violation_count,
        "violations": found.findings.violations.iter().map(violation).collect::<Vec<_>>(),
        "owners": found.owners.iter().map(owner).collect::<Vec<_>>(),
        "horizons": found.horizons.iter().map(|horizon| horizon_json(snapshot, horizon)).collect::<Vec<_>>(),
    })
}

fn horizon_json(snapshot: &Snapshot, horizon: &HorizonReport) -> Value {
    let total = |total: &MirrorTotal| {
        let provider = |of: &inspect::ProviderTotal| json!({ "provider": of.provider.as_deref(), "share": part(of.addresses, total.clients) });
        json!({
            "clients": total.clients.to_string(),
            "mirror": total.mirror.map(|id| &*snapshot.mirrors()[id.index()].name),
            "answers": total.records.as_str(),
            "ranges": total.ranges,
            "share": part(total.addresses, total.clients),
            "providers": total.providers.iter().map(provider).collect::<Vec<_>>(),
        })
    };
    let rule = |total: &RuleTotal| {
        json!({
            "clients": total.clients.to_string(),
            "rule": words::rule(snapshot, horizon.horizon, total.won),
            "share": part(total.addresses, total.clients),
        })
    };
    json!({
        "rules": horizon.rules.iter().map(rule).collect::<Vec<_>>(),
        "horizon": &*snapshot.horizons()[horizon.horizon.index()].name,
        "ranges": { "IPv4": horizon.ranges[0], "IPv6": horizon.ranges[1] },
        "totals": horizon.totals.iter().map(total).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::expected::assert_both_widths;
    use crate::inspect::fixture;

    fn swept(snapshot: &Snapshot) -> Report {
        inspect::sweep(snapshot, &mut |_| {})
    }

    #[test]
    fn totals_are_a_table_for_each_family() {
        let snapshot = fixture::snapshot();
        assert_both_widths("expected", "sweep", |layout| text(&snapshot, &swept(&snapshot), layout));
    }

    #[test]
    fn a_share_is_never_in_powers_of_ten() {
        assert_eq!([0.0, 5.7e-14, 0.0001, 0.5].map(percent), ["0 %", "< 0.01 %", "0.01 %", "50.00 %"]);
    }

    #[test]
    fn violations_are_sentences_and_counted() {
        let mut parts = fixture::parts();
        parts.mirrors.iter_mut().for_each(|mirror| (mirror.v4, mirror.v6) = Default::default());
        let snapshot = parts.snapshot();
        let found = swept(&snapshot);
        let text = text(&snapshot, &found, Layout::plain(100));
        let list = text.split_once("violations:\n").unwrap().1;
        assert_eq!(list.lines().count(), SHOWN + 1);
        assert_eq!(
            list.lines().next().unwrap(),
            "  blob.example A for 0.0.0.0/32 (range 0.0.0.0 to 9.255.255.255): the reply is SERVFAIL"
        );
        let json = to_json(&snapshot, &found);
        assert_eq!(json["violation_count"], found.findings.violation_count);
        assert_eq!(json["violations"][0]["code"], "rcode");
        assert_eq!(json["violations"][0]["subnet"], "0.0.0.0/32");
    }
}
