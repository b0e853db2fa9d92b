//! An explanation laid out for a person at a terminal: the answer first, then the decisions that led to it, in order.
//!
//! **Invariants**: a list is a table.
//! **Not here**: the content ([`crate::inspect`]).

use crate::cli::layout::{Layout, Page};
use crate::inspect::view::{AnswerView, MirrorView, NetworkView, RecordView, RuleView, ShareView, SteeredView, View};
use crate::inspect::words;

/// The column at which the content begins, after the heads.
const INDENT: usize = 11;

/// Lays an explanation out.
pub(super) fn text(view: &View, layout: Layout) -> String {
    let mut page = Page::new(layout, INDENT);
    let asked_for = match (&view.name, &view.subnet) {
        (Some(name), Some(subnet)) => format!("{name}, asked by {} for {subnet}", view.resolver),
        (Some(name), None) => format!("{name}, asked by {} without a subnet", view.resolver),
        (None, _) => format!("a blob, requested by {}", view.resolver),
    };
    page.text = layout.paragraph("", 0, &asked_for) + "\n";
    if view.name.is_some() {
        answers(&mut page, view);
    }
    if let Some(steered) = &view.steered {
        if view.name.is_some() {
            page.text.push('\n');
        }
        explain_steered(&mut page, steered, view.name.is_some());
    }
    page.text.push('\n');
    for (index, note) in view.notes.iter().enumerate() {
        page.paragraph(if index == 0 { "notes" } else { "" }, note);
    }
    page.text
}

fn answers(page: &mut Page, view: &View) {
    page.table("answer", view.answers.iter().flat_map(answer_rows), |_, _, _| None);
    match &view.answers[..] {
        [first, others @ ..] if others.iter().all(|other| other.why == first.why) => {
            page.paragraph("why", &first.why);
        }
        answers => {
            for answer in answers {
                page.paragraph("why", &format!("{}: {}", answer.rtype, answer.why));
            }
        }
    }
    let scope = view.answers.iter().filter_map(|answer| answer.scope).max();
    if let Some(scope) = scope.filter(|_| view.steered.is_none()) {
        page.paragraph("scope", &format!("/{scope}: the answer is the same for every client"));
    }
}

/// `by_name` is true if DNS answers the name: then the scope is part of the explanation.
fn explain_steered(page: &mut Page, steered: &SteeredView, by_name: bool) {
    page.paragraph("located", &format!("at {}: {}", steered.located.at, steered.located.why));
    page.table("networks", steered.networks.iter().map(network_row), |_, _, _| None);
    let facts = steered.facts.words();
    page.paragraph("together", if facts.is_empty() { "no provider, network or place is known" } else { &facts });
    let rule = rule_text(&steered.rule);
    page.paragraph("rule", &format!("{rule} of horizon {}", steered.horizon));
    if !steered.shares.is_empty() {
        let row = |share: &ShareView| {
            vec![
                format!("{:.1} %", share.part * 100.0),
                share.mirrors.join(", "),
                rule_text(&share.rule),
                format!("as at {}", share.first),
            ]
        };
        page.table("shares", steered.shares.iter().map(row), |_, _, _| None);
        page.paragraph("", "the subnet covers clients that are decided differently; the greatest share decides");
    }
    if let Some(slot) = &steered.slot {
        let words = format!(
            "clients are spread by weight; {} has slot {} of {}, whose order this is:",
            slot.block, slot.slot, slot.of
        );
        page.paragraph("slot", &words);
    }
    page.table("mirrors", steered.mirrors.iter().map(mirror_row), |_, _, _| None);
    if let Some(words) = steered.redirect.as_ref().and_then(words::redirect) {
        page.paragraph("redirect", &words);
    }
    if by_name {
        page.paragraph("scope", &format!("/{}: {}", steered.scope.length, steered.scope.why));
    }
    if let Some(fault) = &steered.fault {
        page.paragraph("FAULT", fault);
    }
}

fn answer_rows(answer: &AnswerView) -> Vec<Vec<String>> {
    if answer.answer.is_empty() {
        let record = |record: &RecordView| {
            vec![String::new(), format!("authority: {} {} {}", record.owner, record.rtype, record.rdata)]
        };
        let referred = answer.authority.iter().filter(|_| answer.outcome == "referral").map(record);
        return [vec![answer.rtype.clone(), no_answer(answer)]].into_iter().chain(referred).collect();
    }
    let mirrors = answer.mirrors.join(", ");
    let row = |record: &RecordView| {
        let what = if mirrors.is_empty() { format!("{} {}", record.owner, record.rtype) } else { mirrors.clone() };
        vec![answer.rtype.clone(), record.rdata.clone(), format!("TTL {}", record.ttl), what]
    };
    answer.answer.iter().map(row).collect()
}

fn no_answer(answer: &AnswerView) -> String {
    match &*answer.outcome {
        "nodata" => "no records of this type (NODATA)".into(),
        "nxdomain" => "no such name (NXDOMAIN)".into(),
        "referral" => "a referral".into(),
        _ => answer.rcode.clone(),
    }
}

fn network_row(network: &NetworkView) -> Vec<String> {
    let Some(prefix) = &network.prefix else { return vec![network.source.clone(), "no entry".into()] };
    let labels = network.labels.as_ref().map(|labels| labels.words()).unwrap_or_default();
    let place = match network.line {
        Some(line) => format!("{}:{line}", network.file),
        None => network.file.clone(),
    };
    // The day is enough to see that a feed is old.
    let place = match network.modified.as_deref().and_then(|at| at.get(..10)) {
        Some(day) => format!("{place}, of {day}"),
        None => place,
    };
    vec![network.source.clone(), prefix.clone(), labels, place]
}

fn mirror_row(mirror: &MirrorView) -> Vec<String> {
    let fates = [&*mirror.a, &*mirror.aaaa];
    let fate: String = match fates[0] == fates[1] {
        true if fates[0] == "taken" => "taken for A and AAAA".into(),
        true => fates[0].into(),
        false => format!("A: {}, AAAA: {}", fates[0], fates[1]),
    };
    let fate = match &mirror.order {
        None => fate,
        // The override alone explains why the mirror is not used.
        Some(order) if fates.iter().all(|fate| matches!(*fate, "drained" | "down" | "no address")) => {
            words::short_override(order)
        }
        Some(order) => format!("{fate}; {}", words::short_override(order)),
    };
    let troubled = mirror.addresses.iter().flatten().filter(|address| address.is_troubled());
    let fate = troubled.fold(fate, |fate, address| format!("{fate}; {}", words::trouble(address)));
    let mut row = vec![mirror.mirror.clone(), mirror.tier.to_string(), mirror.health.to_string(), fate];
    row.extend(mirror.distance_km.map(|far| format!("{far} km")));
    row.extend(mirror.share.map(|share| format!("first for {:.1} %", share * 100.0)));
    row.extend(mirror.host.as_ref().map(|host| match &mirror.resolved {
        Some(at) => format!("host {host}, resolved {at}"),
        None => format!("host {host}, not resolved yet"),
    }));
    row
}

/// A rule, as in `rule 3 (pharos.toml:33)`, or the default.
fn rule_text(rule: &RuleView) -> String {
    let what = match rule.rule {
        Some(number) => format!("rule {number}"),
        None => "the default".into(),
    };
    match (&rule.file, rule.line) {
        (Some(file), Some(line)) => format!("{what} ({file}:{line})"),
        _ => what,
    }
}
