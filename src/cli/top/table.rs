//! One screen as text, for `--once`.
//!
//! **Not here**: screens of a terminal ([`super::frame`]).

use super::super::layout::{Colour, HEADS, Layout, Page};
use super::report::{AskedCount, MirrorLoad, TopReport, percent, rate};
use crate::base::when::span;

/// The rows of a list of prefixes or names.
const LISTED: usize = 10;

/// Lays out the report.
pub(super) fn text(report: &TopReport, layout: Layout) -> String {
    let mut page = Page::new(layout, HEADS);
    let colour = if report.is_well() { Colour::Good } else { Colour::Bad };
    let [age, uptime] = [report.generation_age_seconds, report.uptime_seconds].map(span);
    page.line("state", format!("{}, pharos {}, up for {uptime}", report.state(), report.version), Some(colour));
    page.line("generation", format!("{}, published {age} ago", report.generation), None);
    let [answers, queries] = [report.answers_per_second, report.queries_per_second].map(rate);
    page.line("answers", format!("{answers}/s of {queries} queries/s"), None);
    page.line("lost", format!("{}/s", rate(report.lost_per_second)), None);
    page.line("codes", codes(report), None);
    page.line("steered", steered(report), None);
    let mut text = page.text + "\n" + &mirrors(report, layout);
    for (title, asked) in [("RESOLVERS", &report.resolvers), ("NAMES", &report.names)] {
        text += "\n";
        text += &layout.table("", 0, rows(title, asked), |row, _, _| (row == 0).then_some(Colour::Head));
    }
    text
}

/// The rates of response codes.
pub(super) fn codes(report: &TopReport) -> String {
    let codes: Vec<String> =
        report.rcodes_per_second.iter().map(|(word, per_second)| format!("{word} {}/s", rate(*per_second))).collect();
    if codes.is_empty() { "no response yet".into() } else { codes.join("  ") }
}

/// The addresses that decided about steered answers.
pub(super) fn steered(report: &TopReport) -> String {
    match report.by_subnet() {
        Some(share) => {
            let by_resolver = percent(Some(1.0 - share));
            format!("by subnet {}, by resolver {by_resolver}", percent(Some(share)))
        }
        None => "by subnet –, by resolver –".into(),
    }
}

fn mirrors(report: &TopReport, layout: Layout) -> String {
    let mut loads: Vec<&MirrorLoad> = report.mirrors.iter().collect();
    loads.sort_by(|a, b| a.by_trouble(b));
    let mut rows = vec![["MIRROR", "ANSWERS/S", "SHARE", "STATE"].map(String::from).to_vec()];
    rows.extend(
        loads
            .iter()
            .map(|load| vec![load.mirror.clone(), rate(load.answers_per_second), percent(load.share), load.state()]),
    );
    layout.table("", 0, &rows, |row, column, _| match row {
        0 => Some(Colour::Head),
        _ if column < 3 => None,
        _ => Some(colour(loads[row - 1])),
    })
}

/// The colour of the state of a mirror.
pub(super) fn colour(load: &MirrorLoad) -> Colour {
    match (load.is_troubled(), load.up) {
        (false, _) => Colour::Good,
        (true, true) => Colour::Doubtful,
        (true, false) => Colour::Bad,
    }
}

fn rows(title: &str, asked: &[AskedCount]) -> Vec<Vec<String>> {
    let mut rows = vec![[title, "QUERIES/S", "SHARE"].map(String::from).to_vec()];
    let row = |asked: &AskedCount| vec![asked.what.clone(), rate(asked.per_second), percent(asked.share)];
    rows.extend(asked.iter().take(LISTED).map(row));
    rows
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::views;
    use super::*;
    use crate::cli::expected::assert_both_widths;

    #[test]
    fn no_word_is_broken_at_80_and_120_columns() {
        let [first, second] = views();
        let mut report = TopReport::of(Some(&first), second);
        // A name is one word, which is longer than a line here.
        report.names.retain(|asked| asked.what.len() < 40);
        assert_both_widths("expected", "top", |layout| text(&report, layout));
    }
}
