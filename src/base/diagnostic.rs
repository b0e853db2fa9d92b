//! Problems of files: the place, the message and the remedy.
//!
//! A [`Diagnostic`] keeps the line that it is about, so that it can be shown after the file's text is gone.
//!
//! **Invariants**: messages are lowercase, without a full stop, in the operator's words; the help gives the remedy.
//! **Not here**: finding problems ([`crate::load`], [`crate::config`], [`crate::compile`]).

use std::fmt;
use std::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

pub use super::place::Place;
use super::text::{shown, wrapped};
use super::warnings;
use super::words::words;

words! {
    /// Severity of a problem: an error keeps the configuration from being served.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) enum Severity {
        /// The operator must fix the problem.
        Error = "error",
        /// The configuration is served, but the operator likely meant another.
        Warning = "warning",
    }
}

/// One problem of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub(crate) severity: Severity,
    /// A stable word for scripts, like `unknown-mirror`.
    pub code: &'static str,
    /// The description of the problem.
    pub message: String,
    /// The place; `None` if the problem is in no file.
    pub place: Option<Place>,
    /// A word or two under the carets.
    pub(crate) label: String,
    /// The remedy.
    pub help: Option<String>,
    /// A second place, with its relation to the problem.
    pub(crate) related: Option<(Place, String)>,
}

impl fmt::Display for Diagnostic {
    /// As [`Diagnostic::render`] without colours.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(Style::Plain).trim_end())
    }
}

impl Diagnostic {
    /// The same problem as a warning, if a fault of a part does not keep the rest from being served.
    pub(crate) fn lessened(self) -> Self {
        Diagnostic { severity: Severity::Warning, ..self }
    }

    /// The same problem as an error, if a fault of a part keeps the whole from being served.
    pub(crate) fn sharpened(self) -> Self {
        Diagnostic { severity: Severity::Error, ..self }
    }

    /// An error.
    pub(crate) fn error(code: &'static str, message: impl Into<String>) -> Self {
        Diagnostic::new(Severity::Error, code, message)
    }

    /// A warning.
    pub(crate) fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Diagnostic::new(Severity::Warning, code, message)
    }

    /// A problem of a severity.
    pub(crate) fn new(severity: Severity, code: &'static str, message: impl Into<String>) -> Self {
        debug_assert!(
            severity == Severity::Error || warnings::known(code).is_some(),
            "`{code}` is not in the table of warnings"
        );
        let message = message.into();
        Diagnostic { severity, code, message, place: None, label: String::new(), help: None, related: None }
    }

    /// Adds the place, with a word or two for under the carets.
    pub(crate) fn at(mut self, place: Place, label: impl Into<String>) -> Self {
        self.place = Some(place);
        self.label = label.into();
        self
    }

    /// Adds the remedy.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds a second place.
    pub(crate) fn related(mut self, place: Place, label: impl Into<String>) -> Self {
        self.related = Some((place, label.into()));
        self
    }

    /// Tells whether the problem keeps the configuration from being served.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Returns the problem as text with an excerpt.
    pub(crate) fn render(&self, look: impl Into<Look>) -> String {
        let Look { style, width } = look.into();
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let message = broken(&self.message, width, self.severity.as_str().len() + self.code.len() + "[]: ".len());
        // `  = help: ` comes behind the gutter, which is as wide as the line number.
        let places = self.place.iter().chain(self.related.iter().map(|(place, _)| place));
        let gutter = places.map(|place| place.line.max(1).ilog10() as usize + 1).max().unwrap_or(1);
        let help = self.help.as_deref().map(|help| broken(help, width, gutter + HELP.len()));
        let mut group = level
            .primary_title(&*message)
            .id(self.code)
            .elements(None::<Snippet<'_, annotate_snippets::Annotation<'_>>>);
        if let Some(place) = &self.place {
            group = match place.line {
                0 => group.element(annotate_snippets::Origin::path(&*place.file)),
                _ => group.element(excerpt(place, &self.label, AnnotationKind::Primary)),
            };
        }
        if let Some((place, label)) = &self.related {
            group = group.element(excerpt(place, label, AnnotationKind::Context));
        }
        if let Some(help) = &help {
            group = group.element(Level::HELP.message(&**help));
        }
        let renderer = match style {
            Style::Plain => Renderer::plain(),
            Style::Coloured => Renderer::styled(),
        };
        let renderer = width.map_or(renderer.clone(), |width| renderer.term_width(width));
        let text = renderer.render(&[group]);
        if self.place.as_ref().is_some_and(|place| place.line > 0) || self.related.is_some() {
            return text;
        }
        // Without line numbers, the renderer leaves out the column in front of the arrow. Without a place, it separates the
        // help from an excerpt that does not exist.
        let lines = text.lines().enumerate().filter(|(_, line)| self.place.is_some() || !is_gutter(line));
        let indented = |(at, line): (usize, &str)| {
            if at < message.lines().count() { line.to_string() } else { format!(" {line}") }
        };
        lines.map(indented).collect::<Vec<_>>().join("\n")
    }

    /// `file:line:column`, as far as it is known.
    pub(crate) fn position(&self) -> Option<String> {
        Some(self.place.as_ref()?.position())
    }
}

/// The head of a help, behind the gutter.
const HELP: &str = " = help: ";

/// Returns a text for people, whose lines leave `indent` columns for the text in front.
fn broken(text: &str, width: Option<usize>, indent: usize) -> String {
    let text = shown(text);
    match width {
        Some(width) => wrapped(&text, width.saturating_sub(indent)).join("\n"),
        None => text.into_owned(),
    }
}

/// Tells whether a line has only the column of line numbers, in any colour.
fn is_gutter(line: &str) -> bool {
    let mut rest = line;
    let mut plain = String::new();
    while let Some((before, after)) = rest.split_once('\x1b') {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    (plain + rest).trim() == "|"
}

fn excerpt<'a>(
    place: &'a Place,
    label: &'a str,
    kind: AnnotationKind,
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let annotation = kind.span(place.columns.clone());
    let annotation = if label.is_empty() { annotation } else { annotation.label(label) };
    Snippet::source(&*place.text).path(&*place.file).line_start(place.line as usize).annotation(annotation)
}

/// Form of a written diagnostic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Without escape sequences.
    Plain,
    /// For a terminal.
    Coloured,
}

/// Look of diagnostics: their style, and the width of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Colours.
    pub(crate) style: Style,
    /// The columns of the terminal. `None` for a file, in which a message stays one line.
    pub(crate) width: Option<usize>,
}

impl From<Style> for Look {
    fn from(style: Style) -> Look {
        Look { style, width: None }
    }
}

/// Finds the candidate nearest to a mistyped word, for "did you mean"; `None` if no candidate is near.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // If more than half of the word is wrong, it is no typing error.
    let limit = (word.chars().count() / 2).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Maximum number of names listed in a help; the nearest is named in any case.
const MAX_LISTED: usize = 12;

/// Lists names in backticks; a long list is shortened.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names = names.into_iter();
    let mut text = String::new();
    for name in names.by_ref().take(MAX_LISTED) {
        let comma = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{comma}`{name}`");
    }
    match names.count() {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

/// Sorts problems by file, line and column; problems without a place come first.
pub(crate) fn sort_by_place(problems: &mut [Diagnostic]) {
    let key = |problem: &Diagnostic| {
        problem.place.as_ref().map(|place| (place.file.clone(), place.line, place.columns.start))
    };
    problems.sort_by_cached_key(key);
}

/// Returns the help for an unknown word: the nearest known word, and all known words.
pub(crate) fn did_you_mean<'a>(word: &str, what: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    let list = match list(known.clone()) {
        none if none.is_empty() => format!("there are no {what}"),
        names => format!("{what}: {names}"),
    };
    match nearest(word, known) {
        Some(near) => format!("did you mean `{near}`? {list}"),
        None => list,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn rendering_shows_file_line_carets_and_remedy() {
        let file: Arc<str> = "pharos.toml".into();
        let text = "[mirrors.aws-use1]\nmirrors = [\"aws-use3\"]\n";
        let at = text.find("\"aws-use3").unwrap();
        let diagnostic = Diagnostic::error("unknown-mirror", "mirror `aws-use3` is not defined")
            .at(Place::in_text(&file, text, at..at + 10), "used here")
            .help(did_you_mean("aws-use3", "defined mirrors", ["gcp-us", "aws-use1"]));
        let expected = "\
error[unknown-mirror]: mirror `aws-use3` is not defined
 --> pharos.toml:2:12
  |
2 | mirrors = [\"aws-use3\"]
  |            ^^^^^^^^^^ used here
  |
  = help: did you mean `aws-use1`? defined mirrors: `gcp-us`, `aws-use1`";
        assert_eq!(diagnostic.render(Style::Plain), expected);
        assert_eq!(diagnostic.position().as_deref(), Some("pharos.toml:2:12"));
    }

    #[test]
    fn without_a_place_the_help_follows_the_message() {
        let bare = Diagnostic::error("address", "`x` is not an address").help("give the address");
        assert_eq!(bare.render(Style::Plain), "error[address]: `x` is not an address\n  = help: give the address");
        let coloured = bare.render(Style::Coloured);
        assert_eq!(coloured.lines().count(), 2, "{coloured:?}");
    }

    #[test]
    fn no_line_is_longer_than_the_terminal() {
        let file: Arc<str> = "pharos.toml".into();
        let words = "some words that are about a mirror ".repeat(6);
        let text = format!("{}mirrors = [\"aws-use3\"] # {words}", " ".repeat(60));
        let at = text.find("\"aws-use3").unwrap();
        let place = Place::in_line(&file, 1234, &text, at..at + 10);
        let bare = Diagnostic::error("unknown-mirror", words.trim()).help(words.trim());
        for diagnostic in [bare.clone(), bare.at(place, "used here")] {
            for width in [40, 80, 120] {
                let shown = diagnostic.render(Look { style: Style::Plain, width: Some(width) });
                assert!(shown.lines().all(|line| line.chars().count() <= width), "at {width}:\n{shown}");
                let text: Vec<&str> = shown.lines().filter(|line| !line.contains("aws-use3")).collect();
                assert_eq!(text.join("\n").matches("mirror").count(), 12 + 1, "{shown}");
            }
        }
    }

    #[test]
    fn nearest_is_near() {
        assert_eq!(nearest("regoin", ["region", "provider"]), Some("region"));
        assert_eq!(nearest("banana", ["region", "provider"]), None);
    }
}
