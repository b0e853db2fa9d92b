use std::time::Duration;

use super::*;
use crate::base::diagnostic::Style;
use crate::config::row::Rows as _;
use crate::config::spec::Spec;

/// The problems that `read` reports for a text, each as `code: message`.
fn problems(text: &str, read: impl Fn(&mut Table<'_, '_>)) -> Vec<String> {
    let reader = ConfigReader::new("pharos.toml".into(), text, Spec::PART);
    let parsed = [reader.parse().unwrap()];
    let mut table = Table::document(parsed.iter());
    read(&mut table);
    table.finish();
    let [(reader, _)] = parsed;
    reader.into_problems().iter().map(|problem| format!("{}: {}", problem.code, problem.message)).collect()
}

#[test]
fn one_value_is_a_list_of_one() {
    let read = |text| {
        let reader = ConfigReader::new("pharos.toml".into(), text, Spec::PART);
        let texts = Table::document([reader.parse().unwrap()].iter()).take("a").unwrap().texts();
        texts.iter().map(|text| text.value.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(read("a = 'x'"), ["x"]);
    assert_eq!(read("a = ['x', 'y']"), ["x", "y"]);
}

#[test]
fn a_value_of_another_type_is_named() {
    let found = problems("a = 1\nb = ['x', 2]\nc = 'soon'\nd = []\ne = 'x'", |table| {
        table.take("a").unwrap().text();
        table.take("b").unwrap().texts();
        table.take("c").unwrap().duration(Duration::ZERO..=Duration::MAX);
        table.take("d").unwrap().texts();
        Table::of(&table.take("e").unwrap(), "`e`");
    });
    let expected = [
        "wrong-type: `a` must be a string, not a whole number",
        "wrong-type: each of `b` must be a string, not a whole number",
        "bad-duration: `soon` is not a duration",
        "empty-list: `d` is an empty list",
        "wrong-type: `e` must be a table, not a string",
    ];
    assert_eq!(found, expected);
}

#[test]
fn numbers_have_a_range() {
    for (text, expected) in [
        ("a = 0", vec!["out-of-range: `a` cannot be 0"]),
        ("a = -1", vec!["out-of-range: `a` cannot be -1"]),
        ("a = 99999999999999999999999", vec!["out-of-range: `a` cannot be 99999999999999999999999"]),
        ("a = 0x05", vec![]),
    ] {
        let found = problems(text, |table| {
            table.take("a").unwrap().number(1..=9);
        });
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn a_place_ends_with_its_line_and_accepts_crlf() {
    let reader = ConfigReader::new("pharos.toml".into(), "a = 1\r\nb = \"\"\"x\r\ny\"\"\"\r\n", Spec::PART);
    let parsed = [reader.parse().unwrap()];
    let mut table = Table::document(parsed.iter());
    assert_eq!(&*table.take("b").unwrap().place().text, "b = \"\"\"x");
    assert_eq!(table.take("a").unwrap().place().columns, 4..5);
}

#[test]
fn syntax_stops_at_the_first_with_place_and_remedy() {
    let reader = ConfigReader::new("pharos.toml".into(), "[dns]\nlisten = localhost\nx = = 1\n", Spec::PART);
    let problem = reader.parse().unwrap_err();
    let expected = "\
error[syntax]: string values must be quoted, expected literal string
 --> pharos.toml:2:10
  |
2 | listen = localhost
  |          ^^^^^^^^^ here
  |
  = help: put text in quotes: `\"text\"`";
    assert_eq!(problem.render(Style::Plain), expected);
}
