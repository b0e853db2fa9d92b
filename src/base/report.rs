//! Output of diagnostics: text for people, or lines of JSON for programs.
//!
//! **Invariants**: the order is the caller's; every problem is written separately.
//! **Not here**: printing, exit codes (`cli`), one problem's excerpt ([`super::diagnostic`]).

use std::fmt::Write as _;

use serde_json::json;

use super::diagnostic::{Diagnostic, Look, Place};
use super::text::counted;

/// All problems with their excerpts, a blank line between each, and their number; empty if there are no problems.
pub fn report(problems: &[Diagnostic], look: impl Into<Look>) -> String {
    let mut text = excerpts(problems, look);
    if let Some(summary) = summary(problems) {
        let _ = writeln!(text, "{summary}");
    }
    text
}

/// All problems with their excerpts, each followed by a blank line.
pub(crate) fn excerpts(problems: &[Diagnostic], look: impl Into<Look>) -> String {
    let look = look.into();
    problems.iter().map(|problem| format!("{}\n\n", problem.render(look))).collect()
}

/// `2 errors, 1 warning`; `None` if there are none.
pub(crate) fn summary(problems: &[Diagnostic]) -> Option<String> {
    let errors = problems.iter().filter(|problem| problem.is_error()).count();
    let warnings = problems.len() - errors;
    let count = |number: usize, noun: &str| (number > 0).then(|| counted(number, noun));
    match (count(errors, "error"), count(warnings, "warning")) {
        (Some(errors), Some(warnings)) => Some(format!("{errors}, {warnings}")),
        (some, other) => some.or(other),
    }
}

/// One JSON object a line: `severity`, `code`, `message`, `file`, `line`, `column`, `help`, `related`; null if unknown.
///
/// Columns count characters from 1, as in the text form. `related` is a second place with its `label`.
pub(crate) fn report_json(problems: &[Diagnostic]) -> String {
    let mut text = String::new();
    for problem in problems {
        let place = problem.place.as_ref();
        let line = |place: &Place| Some(place.line).filter(|line| *line > 0);
        let related = problem.related.as_ref().map(|(place, label)| {
            json!({ "file": &*place.file, "line": line(place), "column": place.column(), "label": label })
        });
        let object = json!({
            "severity": problem.severity.as_str(),
            "code": problem.code,
            "message": problem.message,
            "file": place.map(|place| &*place.file),
            "line": place.and_then(line),
            "column": place.and_then(Place::column),
            "help": problem.help,
            "related": related,
        });
        let _ = writeln!(text, "{object}");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::diagnostic::Style;

    fn problems() -> Vec<Diagnostic> {
        let file: Arc<str> = "pharos.toml".into();
        let place = Place::in_line(&file, 3, "é = 1", 5..6);
        vec![
            Diagnostic::error("no-zone", "no zone is configured").at(Place::whole_file(&file), ""),
            Diagnostic::error("bad \"code\"", "no place"),
            Diagnostic::warning("unused-mirror", "mirror `a` is in no horizon").at(place, "here").help("remove it"),
        ]
    }

    #[test]
    fn people_get_excerpts_and_a_count() {
        let expected = "\
error[no-zone]: no zone is configured
 --> pharos.toml

error[bad \"code\"]: no place

warning[unused-mirror]: mirror `a` is in no horizon
 --> pharos.toml:3:5
  |
3 | é = 1
  |     ^ here
  |
  = help: remove it

2 errors, 1 warning
";
        assert_eq!(report(&problems(), Style::Plain), expected);
        assert_eq!(report(&[], Style::Plain), "");
    }

    #[test]
    fn programs_get_an_object_a_line() {
        let lines: Vec<serde_json::Value> =
            report_json(&problems()).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let expected = json!([
            {"severity": "error", "code": "no-zone", "message": "no zone is configured", "file": "pharos.toml",
             "line": null, "column": null, "help": null, "related": null},
            {"severity": "error", "code": "bad \"code\"", "message": "no place", "file": null,
             "line": null, "column": null, "help": null, "related": null},
            {"severity": "warning", "code": "unused-mirror", "message": "mirror `a` is in no horizon",
             "file": "pharos.toml", "line": 3, "column": 5, "help": "remove it", "related": null},
        ]);
        assert_eq!(serde_json::Value::from(lines), expected);
        let place = Place::in_line(&"other.toml".into(), 7, "é = 1", 3..4);
        let twice = report_json(&[Diagnostic::error("written-twice", "x").related(place, "first here")]);
        let twice: serde_json::Value = serde_json::from_str(&twice).unwrap();
        let related = json!({"file": "other.toml", "line": 7, "column": 3, "label": "first here"});
        assert_eq!((&twice["file"], &twice["related"]), (&json!(null), &related));
    }
}
