//! Included files: origins, depth, loops, and the places of their problems.
//!
//! **Not here**: the fixture, and the text of a single file ([`super`]).

use super::*;

#[test]
fn an_included_file_has_its_own_origin_and_leaves_that_of_the_other_alone() {
    let files = [
        ("zones/parts/hosts", "$TTL 60\na A 192.0.2.1\n$ORIGIN other\n$INCLUDE more\n"),
        ("zones/parts/more", "b A 192.0.2.2\n"),
    ];
    let text = format!("{HEAD}$INCLUDE \"parts/hosts\" sub\nc A 192.0.2.3\n$INCLUDE parts/more\n  A 192.0.2.4\n");
    let (zone, warnings) = read_with(text.as_bytes(), &[], &files).unwrap();
    assert_eq!(rendered(&warnings), "");
    let expected = [
        "a.sub.example.net 60 A c0000201",
        "b.other.sub.example.net 60 A c0000202",
        "c.example.net 3600 A c0000203",
        "c.example.net 3600 A c0000204",
        "b.example.net 3600 A c0000202",
    ];
    assert_eq!(records(&zone), expected);
}

#[test]
fn files_that_include_each_other_are_refused() {
    let files = [("zones/a", "$INCLUDE b\n"), ("zones/b", "x A 192.0.2.1\n$INCLUDE a\n")];
    let errors = read_with(format!("{HEAD}$INCLUDE a\n").as_bytes(), &[], &files).unwrap_err();
    let expected = "\
error[include-loop]: `zones/a` includes itself
 --> zones/b:2:10
  |
2 | $INCLUDE a
  |          ^ being read already
  |
  = help: remove one of the `$INCLUDE`s";
    assert_eq!(rendered(&errors), expected);
}

#[test]
fn files_nest_eight_deep_and_no_deeper() {
    let names: Vec<String> = (0..10).map(|n| format!("zones/{n}")).collect();
    let texts: Vec<String> = (1..11).map(|n| format!("$INCLUDE {n}\n")).collect();
    let mut files: Vec<(&str, &str)> = names.iter().zip(&texts).map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let text = format!("{HEAD}$INCLUDE 0\n");
    let errors = read_with(text.as_bytes(), &[], &files).unwrap_err();
    assert_eq!(errors[0].code, "include-too-deep");
    assert_eq!(errors[0].position().as_deref(), Some("zones/7:1:1"));
    files[7].1 = "a A 192.0.2.1\n";
    assert!(read_with(text.as_bytes(), &[], &files).is_ok());
}

#[test]
fn a_file_that_cannot_be_included_is_told_with_its_reason() {
    let expected = "\
error[unreadable-file]: cannot read `zones/missing`: no such file
 --> zones/example:3:10
  |
3 | $INCLUDE missing
  |          ^^^^^^^ included here
  |
  = help: the path is relative to the file that includes it";
    assert_eq!(said("$INCLUDE missing\n"), expected);
}

#[test]
fn problems_of_an_included_file_are_shown_there() {
    let files = [("zones/part", "\n\n  ; comment\na CNAME (\n b )\nb TXT x\na TXT y\n")];
    let errors = read_with(format!("{HEAD}$INCLUDE part\n").as_bytes(), &[], &files).unwrap_err();
    assert_eq!(errors.iter().filter_map(Diagnostic::position).collect::<Vec<_>>(), ["zones/part:4:1"]);
    assert_eq!(errors[0].related.as_ref().unwrap().0.line, 7);
}
