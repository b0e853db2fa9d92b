//! Diagnostics as output: a list of problems in, text for people or lines of JSON for programs out.
//!
//! **Invariants**: the order is the caller's; every problem is on its own.
//! **Not here**: printing, exit codes (`cli`), one problem's excerpt ([`super::diagnostic`]).

use std::fmt::Write as _;

use serde_json::json;

use super::diagnostic::{Diagnostic, Severity, Style};

/// All problems with their excerpts, a blank line between them, and how many there are; empty where there are none.
pub fn report(problems: &[Diagnostic], style: Style) -> String {
    let mut text = String::new();
    for problem in problems {
        let _ = write!(text, "{}\n\n", problem.render(style));
    }
    if let Some(summary) = summary(problems) {
        let _ = writeln!(text, "{summary}");
    }
    text
}

/// `2 errors, 1 warning`; none where there are none.
pub fn summary(problems: &[Diagnostic]) -> Option<String> {
    let errors = problems.iter().filter(|problem| problem.is_error()).count();
    let warnings = problems.len() - errors;
    let count = |number: usize, noun: &str| match number {
        0 => None,
        1 => Some(format!("1 {noun}")),
        _ => Some(format!("{number} {noun}s")),
    };
    match (count(errors, "error"), count(warnings, "warning")) {
        (Some(errors), Some(warnings)) => Some(format!("{errors}, {warnings}")),
        (some, other) => some.or(other),
    }
}

/// One JSON object a line: `severity`, `code`, `message`, `file`, `line`, `column`, `help`; null where unknown.
///
/// Columns count characters from 1, as in the text form.
pub fn report_json(problems: &[Diagnostic]) -> String {
    let mut text = String::new();
    for problem in problems {
        let place = problem.place.as_ref();
        let line = place.map(|place| place.line).filter(|line| *line > 0);
        let column = line.and(place).map(|place| place.text[..place.columns.start].chars().count() + 1);
        let object = json!({
            "severity": match problem.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            "code": problem.code,
            "message": problem.message,
            "file": place.map(|place| &*place.file),
            "line": line,
            "column": column,
            "help": problem.help,
        });
        let _ = writeln!(text, "{object}");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::diagnostic::Place;

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
             "line": null, "column": null, "help": null},
            {"severity": "error", "code": "bad \"code\"", "message": "no place", "file": null,
             "line": null, "column": null, "help": null},
            {"severity": "warning", "code": "unused-mirror", "message": "mirror `a` is in no horizon",
             "file": "pharos.toml", "line": 3, "column": 5, "help": "remove it"},
        ]);
        assert_eq!(serde_json::Value::from(lines), expected);
    }
}
