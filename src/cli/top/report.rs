//! Rates from the counters of two views of the server.
//!
//! **Invariants**: pure; a rate is unknown if there is no earlier view of the same process.
//! **Not here**: layout ([`super::frame`], [`super::table`]).

#![allow(clippy::missing_docs_in_private_items, reason = "a field is named for its key in the JSON document")]

use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use crate::base::text::grouped;
use crate::control::view::{PanicView, TopMirrorView, TopView};
use crate::inspect::view::{AddressView, OverrideView};
use crate::inspect::words;
use crate::telemetry::recent;

/// The time over which rates are taken, in seconds: that of the queries which the server records.
pub(super) const WINDOW: u64 = recent::WINDOW / 1000;

/// The views of the last seconds, oldest first.
#[derive(Debug)]
pub(super) struct TopHistory(VecDeque<TopView>);

impl TopHistory {
    pub(super) fn new(first: TopView) -> Self {
        TopHistory([first].into())
    }

    /// Adds a view, and returns the load since the oldest one.
    pub(super) fn add(&mut self, view: TopView) -> TopReport {
        let is_over = |second: &TopView| second.uptime_ms + recent::WINDOW <= view.uptime_ms;
        // The first view is the last one that is as old as the window.
        while self.0.get(1).is_some_and(is_over) {
            self.0.pop_front();
        }
        if self.0.front().is_some_and(|first| Span::between(Some(first), &view).0.is_none()) {
            self.0.clear();
        }
        let report = TopReport::of(self.0.front(), view.clone());
        self.0.push_back(view);
        report
    }
}

/// The load of a server, with rates per second.
#[derive(Debug, Serialize)]
pub(super) struct TopReport {
    pub(super) version: String,
    /// The reason why `/ready` answers 503; null if it answers 200.
    pub(super) obstacle: Option<String>,
    pub(super) generation: u64,
    pub(super) generation_age_seconds: u64,
    pub(super) uptime_seconds: u64,
    /// The time that the rates are about; null if unknown.
    pub(super) seconds: Option<f64>,
    pub(super) queries_per_second: Option<f64>,
    pub(super) answers_per_second: Option<f64>,
    pub(super) lost_per_second: Option<f64>,
    pub(super) rcodes_per_second: BTreeMap<String, Option<f64>>,
    /// Steered answers by `subnet` or `resolver`, the address that decided.
    pub(super) steered_per_second: BTreeMap<String, Option<f64>>,
    /// The horizons in panic.
    pub(super) panics: Vec<PanicView>,
    pub(super) mirrors: Vec<MirrorLoad>,
    /// The seconds in which the queries below were recorded.
    pub(super) recorded_seconds: f64,
    pub(super) recorded_queries: u64,
    pub(super) resolvers: Vec<AskedCount>,
    pub(super) names: Vec<AskedCount>,
}

/// The load of one mirror, and its state.
#[derive(Debug, Serialize)]
pub(super) struct MirrorLoad {
    pub(super) mirror: String,
    pub(super) answers_per_second: Option<f64>,
    /// Of all answers with a mirror, from 0 to 1.
    pub(super) share: Option<f64>,
    pub(super) up: bool,
    pub(super) order: Option<OverrideView>,
    pub(super) troubles: Vec<AddressView>,
}

/// A prefix of resolvers, or a name, with its queries.
#[derive(Debug, Serialize)]
pub(super) struct AskedCount {
    pub(super) what: String,
    pub(super) queries: u64,
    pub(super) per_second: Option<f64>,
    /// Of all queries recorded, from 0 to 1.
    pub(super) share: Option<f64>,
}

/// The time between two views of the same process, in seconds.
#[derive(Clone, Copy)]
struct Span(Option<f64>);

impl Span {
    /// The time between the views. `None` inside if the server was started again in between.
    fn between(before: Option<&TopView>, after: &TopView) -> Self {
        let same = before.filter(|before| before.uptime_ms < after.uptime_ms && before.queries <= after.queries);
        Span(same.map(|before| (after.uptime_ms - before.uptime_ms) as f64 / 1000.0))
    }

    /// The rate of a counter. A counter that the earlier view does not have was 0 then.
    fn rate(self, before: Option<u64>, after: u64) -> Option<f64> {
        Some(after.saturating_sub(before.unwrap_or(0)) as f64 / self.0?)
    }

    fn rates(
        self,
        before: Option<&BTreeMap<String, u64>>,
        after: BTreeMap<String, u64>,
    ) -> BTreeMap<String, Option<f64>> {
        let before = |word: &String| before.and_then(|before| before.get(word).copied());
        after.into_iter().map(|(word, count)| (word.clone(), self.rate(before(&word), count))).collect()
    }
}

impl TopReport {
    /// The rates between two views.
    pub(super) fn of(before: Option<&TopView>, after: TopView) -> Self {
        let span = Span::between(before, &after);
        let rcodes_per_second = span.rates(before.map(|before| &before.rcodes), after.rcodes);
        let answers = rcodes_per_second.values().copied().sum::<Option<f64>>();
        let recent = after.recent;
        let asked = |what: String, queries: u64| AskedCount {
            what,
            queries,
            per_second: (recent.seconds > 0.0).then(|| queries as f64 / recent.seconds),
            share: share(queries as f64, recent.queries as f64),
        };
        TopReport {
            version: after.version,
            obstacle: after.obstacle,
            generation: after.generation,
            generation_age_seconds: after.generation_age_seconds,
            uptime_seconds: after.uptime_ms / 1000,
            seconds: span.0,
            queries_per_second: span.rate(before.map(|before| before.queries), after.queries),
            // Without any response yet, the sum over no codes is 0, and unknown all the same before the second view.
            answers_per_second: span.0.and(answers),
            lost_per_second: span.rate(before.map(|before| before.lost), after.lost),
            rcodes_per_second,
            steered_per_second: span.rates(before.map(|before| &before.steered), after.steered),
            panics: after.panics,
            mirrors: mirrors(span, before, after.mirrors),
            recorded_seconds: recent.seconds,
            recorded_queries: recent.queries,
            resolvers: recent.resolvers.into_iter().map(|view| asked(view.prefix, view.queries)).collect(),
            names: recent.names.into_iter().map(|view| asked(view.name, view.queries)).collect(),
        }
    }

    /// The state of the server in words.
    pub(super) fn state(&self) -> String {
        let panics: Vec<String> =
            self.panics.iter().map(|PanicView { horizon, family, .. }| format!("{horizon} ({family})")).collect();
        let panics = if panics.is_empty() { String::new() } else { format!(", panic in {}", panics.join(", ")) };
        format!("{}{panics}", self.obstacle.as_deref().unwrap_or("serving"))
    }

    /// True if the server is ready, and no horizon is in panic.
    pub(super) fn is_well(&self) -> bool {
        self.obstacle.is_none() && self.panics.is_empty()
    }

    /// The share of steered answers that a subnet decided; `None` if there were none.
    pub(super) fn by_subnet(&self) -> Option<f64> {
        let all = self.steered_per_second.values().copied().sum::<Option<f64>>()?;
        share((*self.steered_per_second.get("subnet")?)?, all)
    }
}

fn mirrors(span: Span, before: Option<&TopView>, after: Vec<TopMirrorView>) -> Vec<MirrorLoad> {
    let earlier: BTreeMap<&str, u64> = before
        .iter()
        .flat_map(|before| &before.mirrors)
        .filter_map(|view| Some((view.mirror.as_str(), view.answers?)))
        .collect();
    let rate = |view: &TopMirrorView| span.rate(earlier.get(view.mirror.as_str()).copied(), view.answers?);
    let rates: Vec<Option<f64>> = after.iter().map(rate).collect();
    let all: f64 = rates.iter().flatten().sum();
    let load = |(view, rate): (TopMirrorView, Option<f64>)| MirrorLoad {
        mirror: view.mirror,
        answers_per_second: rate,
        share: rate.and_then(|rate| share(rate, all)),
        up: view.up,
        order: view.order,
        troubles: view.troubles,
    };
    after.into_iter().zip(rates).map(load).collect()
}

fn share(part: f64, all: f64) -> Option<f64> {
    (all > 0.0).then(|| part / all)
}

impl MirrorLoad {
    /// The state in words.
    pub(super) fn state(&self) -> String {
        let base = if self.up { "up" } else { "down" };
        let state = self.order.as_ref().map_or_else(|| base.to_string(), words::short_override);
        let Some(first) = self.troubles.first() else { return state };
        let reason = first.reason.as_deref().or(first.verdict.as_deref()).unwrap_or(&first.health);
        let more = match self.troubles.len() {
            1 => String::new(),
            len => format!(" (and {} more)", len - 1),
        };
        format!("{state}, {}: {reason}{more}", first.address)
    }

    /// The order in which mirrors in trouble come first, then those with most answers.
    pub(super) fn by_trouble(&self, other: &Self) -> Ordering {
        other.is_troubled().cmp(&self.is_troubled()).then_with(|| self.by_answers(other))
    }

    /// The order in which mirrors with most answers come first.
    pub(super) fn by_answers(&self, other: &Self) -> Ordering {
        let rate = |load: &MirrorLoad| load.answers_per_second.unwrap_or(0.0);
        rate(other).total_cmp(&rate(self)).then_with(|| self.mirror.cmp(&other.mirror))
    }

    /// True if an operator should look at it.
    pub(super) fn is_troubled(&self) -> bool {
        !self.up || self.order.is_some() || !self.troubles.is_empty()
    }
}

/// A rate in a few characters: one decimal below 100, thousands with commas.
pub(super) fn rate(rate: Option<f64>) -> String {
    match rate {
        None => "–".into(),
        Some(0.0) => "0".into(),
        Some(rate) if rate < 99.95 => format!("{rate:.1}"),
        Some(rate) => grouped(rate.round_ties_even() as u128),
    }
}

/// A share in percent.
pub(super) fn percent(share: Option<f64>) -> String {
    match share {
        None => "–".into(),
        Some(share) if share > 0.0 && share < 0.01 => "< 1 %".into(),
        Some(share) => format!("{:.0} %", share * 100.0),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Two views, 2 seconds apart.
    pub(in crate::cli::top) fn views() -> [TopView; 2] {
        let text = include_str!("views.json");
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn rates_are_differences_over_the_time_of_the_server() {
        let [first, second] = views();
        let report = TopReport::of(Some(&first), second);
        assert_eq!((report.seconds, report.queries_per_second), (Some(2.0), Some(1250.0)));
        assert_eq!((report.answers_per_second, report.lost_per_second), (Some(1240.0), Some(10.0)));
        assert_eq!(report.by_subnet(), Some(0.75));
        let loads: Vec<_> = report
            .mirrors
            .iter()
            .map(|load| (&*load.mirror, rate(load.answers_per_second), percent(load.share)))
            .collect();
        let expected = [
            ("aws-us-east-1", "900", "75 %"),
            ("gcp-europe-west1", "300", "25 %"),
            ("azure-southeastasia", "0", "0 %"),
            ("spare", "0", "0 %"),
        ];
        assert_eq!(loads, expected.map(|(mirror, rate, share)| (mirror, rate.into(), share.into())));
        assert_eq!(report.resolvers[0].per_second, Some(500.0));
    }

    #[test]
    fn nothing_is_known_without_an_earlier_view_of_the_same_process() {
        let [first, second] = views();
        let alone = TopReport::of(None, first.clone());
        assert_eq!(
            (alone.answers_per_second, alone.mirrors[0].answers_per_second, alone.by_subnet()),
            (None, None, None)
        );
        // The server was started again: its counters begin at 0.
        let again = TopReport::of(Some(&second), first);
        assert_eq!((again.seconds, again.queries_per_second), (None, None));
    }

    #[test]
    fn rates_are_over_the_last_seconds_and_begin_anew_after_a_restart() {
        let [first, _] = views();
        let at = |secs: u64, queries| TopView { uptime_ms: secs * 1000, queries, ..first.clone() };
        let mut history = TopHistory::new(at(100, 0));
        let rates =
            [at(101, 10), at(105, 10), at(106, 10), at(107, 60)].map(|view| history.add(view).queries_per_second);
        assert_eq!(rates, [Some(10.0), Some(2.0), Some(0.0), Some(50.0 / 6.0)]);
        assert_eq!(history.add(at(1, 3)).queries_per_second, None);
        assert_eq!(history.add(at(2, 4)).queries_per_second, Some(1.0));
    }

    #[test]
    fn numbers_are_short() {
        let rates = [0.0, 0.04, 9.96, 99.94, 99.96, 1234.4, 1_234_567.0].map(|number| rate(Some(number)));
        assert_eq!(rates, ["0", "0.0", "10.0", "99.9", "100", "1,234", "1,234,567"]);
        assert_eq!([0.0, 0.004, 0.5, 1.0].map(|number| percent(Some(number))), ["0 %", "< 1 %", "50 %", "100 %"]);
        assert_eq!((rate(None), percent(None)), ("–".into(), "–".into()));
    }
}
