//! One screen of a terminal.
//!
//! **Invariants**: pure; there are at most as many lines as the terminal has, and no line is longer than the screen; names are
//! escaped ([`shown`]). Mirrors in trouble stay on the screen as long as any mirror does.
//! **Not here**: writing to the terminal ([`super::terminal`]).

use std::cmp::Ordering;
use std::time::Duration;

use super::super::layout::{Colour, Layout};
use super::report::{AskedCount, MirrorLoad, TopReport, WINDOW, percent, rate};
use super::table::{codes, colour, steered};
use crate::base::text::shown;
use crate::base::when::span;
use crate::base::words::{Worded as _, words};

/// The width of a column with a rate, and of one with a share; both with the space before it.
const RATE: usize = 11;
const SHARE: usize = 8;

/// The space between the two lists.
const GAP: usize = 2;

/// The widest column of mirrors' names; the state has the rest.
const WIDEST_MIRROR: usize = 40;

/// The lines beside those of mirrors, prefixes and names: three of the head, two heads of tables, two empty lines, the keys.
const FIXED: usize = 8;

words! {
    /// The order of mirrors.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) enum MirrorOrder {
        /// Mirrors in trouble, then by answers.
        Trouble = "trouble first",
        /// By answers.
        Answers = "by answers",
        /// By name.
        Name = "by name",
    }
}

impl MirrorOrder {
    /// The next order, in a circle.
    pub(super) fn next(self) -> Self {
        Self::ALL[(self.index() + 1) % Self::ALL.len()]
    }

    fn compare(self, a: &MirrorLoad, b: &MirrorLoad) -> Ordering {
        match self {
            MirrorOrder::Trouble => a.by_trouble(b),
            MirrorOrder::Answers => a.by_answers(b),
            MirrorOrder::Name => a.mirror.cmp(&b.mirror),
        }
    }
}

/// The content of a screen.
pub(super) struct Frame {
    pub(super) report: TopReport,
    /// The reason why the server does not answer. `None` if it does.
    pub(super) gone: Option<String>,
    pub(super) is_paused: bool,
    pub(super) order: MirrorOrder,
    pub(super) interval: Duration,
}

/// A line of parts with colours, not longer than the screen is wide.
struct ScreenLine {
    text: String,
    room: usize,
    layout: Layout,
}

impl ScreenLine {
    fn new(width: usize, layout: Layout) -> Self {
        ScreenLine { text: String::new(), room: width, layout }
    }

    /// Adds a part of the line. A part that is too long ends in `…`.
    fn part(mut self, text: &str, colour: Option<Colour>) -> Self {
        let text = cut(text, self.room);
        self.room -= text.chars().count();
        self.text += &colour.map_or_else(|| text.clone(), |colour| self.layout.paint(&text, colour));
        self
    }
}

/// A text of at most `room` characters.
fn cut(text: &str, room: usize) -> String {
    let text = shown(text);
    match text.chars().count() {
        len if len <= room => text.into_owned(),
        _ if room == 0 => String::new(),
        _ => text.chars().take(room - 1).chain(['…']).collect(),
    }
}

/// A text in a column on the left.
fn left(text: &str, width: usize) -> String {
    format!("{:<width$}", cut(text, width))
}

/// A text in a column on the right.
fn right(text: &str, width: usize) -> String {
    format!("{:>width$}", cut(text, width))
}

impl Frame {
    /// Takes the load, or the reason why the server does not answer. While paused, the load stays.
    pub(super) fn take(&mut self, answer: Result<TopReport, String>) {
        self.gone = match answer {
            Ok(report) => {
                if !self.is_paused {
                    self.report = report;
                }
                None
            }
            Err(reason) => Some(reason),
        };
    }

    /// The lines of a screen, top to bottom.
    pub(super) fn lines(&self, width: usize, height: usize, layout: Layout) -> Vec<String> {
        let line = || ScreenLine::new(width, layout);
        let (resolvers, names) = (&self.report.resolvers, &self.report.names);
        let room = height.saturating_sub(FIXED);
        let wanted = resolvers.len().max(names.len());
        let mirrors = self.report.mirrors.len().min(room.saturating_sub(wanted).max(room.div_ceil(2)));
        let listed = room.saturating_sub(mirrors).min(wanted);
        let mut lines = self.head(&line);
        lines.push(line());
        lines.extend(self.mirrors(mirrors, width, &line));
        lines.push(line());
        lines.extend(self.lists(listed, width, &line));
        lines.resize_with(height.saturating_sub(1), line);
        lines.push(self.keys(line()));
        // A terminal of a few lines has the head alone.
        lines.truncate(height);
        lines.into_iter().map(|line| line.text.trim_end().to_string()).collect()
    }

    fn head(&self, line: &dyn Fn() -> ScreenLine) -> Vec<ScreenLine> {
        let report = &self.report;
        let [age, uptime] = [report.generation_age_seconds, report.uptime_seconds].map(span);
        let first = line().part(&format!("pharos {}  ", report.version), Some(Colour::Head));
        let first = match &self.gone {
            Some(reason) => {
                return vec![
                    first.part("no answer, asking again", Some(Colour::Bad)),
                    line().part(reason, Some(Colour::Bad)),
                    line(),
                ];
            }
            None if report.is_well() => first.part(&report.state(), Some(Colour::Good)),
            None => first.part(&report.state(), Some(Colour::Bad)),
        };
        let paused = if self.is_paused { "  paused" } else { "" };
        let rates = format!(
            "answers {}/s  queries {}/s  lost {}/s  ",
            rate(report.answers_per_second),
            rate(report.queries_per_second),
            rate(report.lost_per_second)
        );
        vec![
            first
                .part(paused, Some(Colour::Doubtful))
                .part(&format!("  generation {}, {age} old  up for {uptime}", report.generation), None),
            line().part(&rates, Some(Colour::Head)).part(&steered(report), None),
            line().part(&codes(report), None),
        ]
    }

    fn mirrors(&self, count: usize, width: usize, line: &dyn Fn() -> ScreenLine) -> Vec<ScreenLine> {
        let mut loads: Vec<&MirrorLoad> = self.report.mirrors.iter().collect();
        if count < loads.len() {
            // Those in trouble stay, in every order.
            loads.sort_by(|a, b| MirrorOrder::Trouble.compare(a, b));
            loads.truncate(count);
        }
        loads.sort_by(|a, b| self.order.compare(a, b));
        let longest = loads.iter().map(|load| shown(&load.mirror).chars().count()).max().unwrap_or(0);
        let name = longest.max("MIRROR".len()).min(WIDEST_MIRROR).min(width / 2);
        let title = match self.report.mirrors.len() - loads.len() {
            0 => String::new(),
            hidden => format!(" ({hidden} more)"),
        };
        let head =
            format!("{}{}{}  STATE{title}", left("MIRROR", name), right("ANSWERS/S", RATE), right("SHARE", SHARE));
        let row = |load: &MirrorLoad| {
            let (answers, share) = (rate(load.answers_per_second), percent(load.share));
            let numbers = format!("{}{}{}  ", left(&load.mirror, name), right(&answers, RATE), right(&share, SHARE));
            line().part(&numbers, None).part(&load.state(), Some(colour(load)))
        };
        let head = line().part(&head, Some(Colour::Head));
        [head].into_iter().chain(loads.into_iter().map(row)).collect()
    }

    fn lists(&self, count: usize, width: usize, line: &dyn Fn() -> ScreenLine) -> Vec<ScreenLine> {
        let half = width.saturating_sub(GAP) / 2;
        let label = half.saturating_sub(RATE + SHARE);
        let cells = |what: &str, per_second: &str, share: &str| {
            format!("{}{}{}", left(what, label), right(per_second, RATE), right(share, SHARE))
        };
        let cell = |asked: Option<&AskedCount>| match asked {
            Some(asked) => cells(&asked.what, &rate(asked.per_second), &percent(asked.share)),
            None => cells("", "", ""),
        };
        let both = |one: String, other: String| format!("{one}{:GAP$}{other}", "");
        let heads = both(cells("RESOLVERS", "QUERIES/S", "SHARE"), cells("NAMES", "QUERIES/S", "SHARE"));
        let row = |at: usize| {
            let (resolver, name) = (self.report.resolvers.get(at), self.report.names.get(at));
            line().part(&both(cell(resolver), cell(name)), None)
        };
        [line().part(&heads, Some(Colour::Head))].into_iter().chain((0..count).map(row)).collect()
    }

    fn keys(&self, line: ScreenLine) -> ScreenLine {
        let pause = if self.is_paused { "go on" } else { "pause" };
        let seconds = self.interval.as_secs();
        let every = if seconds == 1 { "every second".into() } else { format!("every {seconds} s") };
        let text = format!("q quit  p {pause}  s mirrors {}  {every}, rates over {WINDOW} s", self.order.as_str());
        line.part(&text, None)
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::views;
    use super::*;
    use crate::cli::expected::assert_expected;

    fn frame() -> Frame {
        let [first, second] = views();
        let (report, interval) = (TopReport::of(Some(&first), second), Duration::from_secs(1));
        Frame { report, gone: None, is_paused: false, order: MirrorOrder::Trouble, interval }
    }

    #[test]
    fn a_screen_is_full_at_80_by_24_and_at_160_by_50() {
        for (width, height) in [(80, 24), (160, 50)] {
            let lines = frame().lines(width, height, Layout::plain(width));
            assert_eq!(lines.len(), height);
            assert_expected("expected", &format!("top-screen-{width}"), &(lines.join("\n") + "\n"));
        }
    }

    #[test]
    fn nothing_is_outside_of_the_screen_at_any_size() {
        for (gone, is_paused) in [(None, true), (Some("no server answers at /run/pharos/control.sock"), false)] {
            let frame = Frame { gone: gone.map(String::from), is_paused, ..frame() };
            for width in [0, 1, 9, 20, 40, 79, 81, 300] {
                for height in [0, 1, 3, 8, 9, 12, 25, 100] {
                    let lines = frame.lines(width, height, Layout::plain(width));
                    assert_eq!(lines.len(), height, "{width}×{height}");
                    let long = lines.iter().find(|line| line.chars().count() > width);
                    assert_eq!(long, None, "{width}×{height}");
                }
            }
        }
    }

    #[test]
    fn mirrors_in_trouble_stay_when_there_is_little_room() {
        for order in MirrorOrder::ALL {
            let frame = Frame { order, ..frame() };
            let text = frame.lines(80, FIXED + 3, Layout::plain(80)).join("\n");
            assert!(text.contains("azure-southeastasia") && text.contains("spare"), "{text}");
            assert!(text.contains("STATE (2 more)"), "{text}");
        }
    }

    #[test]
    fn colours_change_no_text() {
        let coloured = frame().lines(80, 24, Layout::coloured(80)).join("\n");
        assert!(coloured.contains("\x1b[31mdown, 198.51.100.30: connection refused"), "{coloured}");
        let plain = [1, 31, 32, 33, 0].iter().fold(coloured, |text, code| text.replace(&format!("\x1b[{code}m"), ""));
        let trimmed: Vec<&str> = plain.lines().map(str::trim_end).collect();
        assert_eq!(trimmed, frame().lines(80, 24, Layout::plain(80)));
    }
}
