//! The words of the program: its help, and the string literals of its sources that are sentences.
//!
//! Literals of tests, of fixtures and in comments are left out, and those of less than [`LEAST_WORDS`] words: keys, names, parts
//! of a protocol.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::patterns::{self, Text};

/// A literal with fewer words is no sentence.
const LEAST_WORDS: usize = 4;

/// A string literal.
#[derive(Debug, PartialEq)]
struct Literal {
    line: usize,
    text: String,
}

/// The string literals of a source outside `#[cfg(test)]`.
fn literals(source: &str) -> Vec<Literal> {
    let chars: Vec<char> = source.chars().collect();
    let (mut found, mut at, mut line) = (Vec::new(), 0, 1);
    // The depth of braces at which a test item began, and whether its body has begun.
    let (mut depth, mut test): (usize, Option<(usize, bool)>) = (0, None);
    let starts = |at: usize, text: &str| text.chars().enumerate().all(|(i, c)| chars.get(at + i) == Some(&c));
    while at < chars.len() {
        match chars[at] {
            '\n' => line += 1,
            '/' if starts(at, "//") => {
                while at < chars.len() && chars[at] != '\n' {
                    at += 1;
                }
                continue;
            }
            '#' if starts(at, "#[cfg(test)]") && test.is_none() => test = Some((depth, false)),
            '{' => {
                depth += 1;
                if let Some((_, has_begun)) = &mut test {
                    *has_begun = true;
                }
            }
            '}' => {
                depth -= 1;
                test = test.filter(|(began, has_begun)| !(*has_begun && depth == *began));
            }
            ';' => test = test.filter(|(began, has_begun)| *has_begun || depth != *began),
            '\'' if chars.get(at + 1) == Some(&'\\') => {
                // A character with an escape: to its end.
                at += 3;
                while chars.get(at).is_some_and(|c| *c != '\'') {
                    at += 1;
                }
            }
            '\'' if chars.get(at + 2) == Some(&'\'') => at += 2,
            '"' => {
                let hashes = chars[..at].iter().rev().take_while(|c| **c == '#').count();
                let is_raw = chars[..at - hashes].last() == Some(&'r');
                let (began, mut text) = (line, String::new());
                at += 1;
                loop {
                    let c = chars[at];
                    line += usize::from(c == '\n');
                    match c {
                        '"' if !is_raw || starts(at + 1, &"#".repeat(hashes)) => break,
                        '\\' if !is_raw => {
                            at += 1;
                            match chars[at] {
                                '\n' => {
                                    line += 1;
                                    while chars.get(at + 1).is_some_and(|c| c.is_whitespace()) {
                                        at += 1;
                                        line += usize::from(chars[at] == '\n');
                                    }
                                }
                                'n' => text.push('\n'),
                                '"' => text.push('“'),
                                _ => text.push(' '),
                            }
                        }
                        c => text.push(c),
                    }
                    at += 1;
                }
                if test.is_none() {
                    found.push(Literal { line: began, text });
                }
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// The prose of a literal: code in backticks and placeholders in braces are no words of a sentence.
fn prose(literal: &Literal) -> Option<Text> {
    let mut plain = String::new();
    let (mut is_code, mut braces) = (false, 0usize);
    for c in literal.text.chars() {
        match c {
            '`' => {
                is_code = !is_code;
                plain.push('`');
            }
            '{' if !is_code => braces += 1,
            '}' if !is_code => {
                braces = braces.saturating_sub(1);
                plain.push('`');
            }
            c if !is_code && braces == 0 => plain.push(c),
            _ => {}
        }
    }
    let is_word = |word: &&str| word.chars().any(char::is_alphabetic);
    (plain.split_whitespace().filter(is_word).count() >= LEAST_WORDS).then(|| {
        let mut text = Text::default();
        text.add(&plain, literal.line, &mut false);
        text
    })
}

/// The sources of the program, by their paths in the repository.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            sources(&path, found);
        } else if name.ends_with(".rs") && !["tests.rs", "testing.rs", "fixture.rs"].contains(&&*name) {
            found.push(path);
        }
    }
}

#[test]
fn messages_are_in_plain_technical_english() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    sources(&root.join("src"), &mut paths);
    paths.sort();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for path in paths {
        let (source, name) =
            (fs::read_to_string(&path).unwrap(), path.strip_prefix(root).unwrap().display().to_string());
        let texts: Vec<Text> = literals(&source).iter().filter_map(prose).collect();
        count += texts.len();
        let found = texts.iter().flat_map(patterns::find);
        wrong.extend(found.map(|(line, problem)| format!("{name}:{line}: {problem}")));
    }
    assert!(count > 800, "only {count} sentences were found");
    assert!(wrong.is_empty(), "{} problems\n{}", wrong.len(), wrong.join("\n"));
}

/// The help of a command and of those below it.
fn help(command: &[&str], found: &mut Vec<(String, String)>) {
    let output = Command::new(env!("CARGO_BIN_EXE_pharos")).args(command).arg("--help").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let commands = text.split("\nCommands:\n").nth(1).unwrap_or_default();
    let names: Vec<String> = commands
        .lines()
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .map(|line| line.split_whitespace().next().unwrap().to_string())
        .filter(|name| name != "help")
        .collect();
    found.push((command.join(" "), text));
    for name in names {
        help(&[command, &[&name]].concat(), found);
    }
}

#[test]
fn help_is_in_plain_technical_english() {
    let mut helps = Vec::new();
    help(&[], &mut helps);
    assert!(helps.len() > 15, "{helps:?}");
    let mut wrong = Vec::new();
    for (command, help) in helps {
        for text in help.split("\n\n").filter_map(|text| prose(&Literal { line: 1, text: text.into() })) {
            wrong.extend(
                patterns::find(&text).into_iter().map(|(line, problem)| format!("{command} --help:{line}: {problem}")),
            );
        }
    }
    assert!(wrong.is_empty(), "{} problems\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn literals_are_found_outside_tests_and_comments() {
    let source = "// \"no\"\nfn f<'a>() { g('\"', '\\'', \"one \\\n   two\", r#\"three \"four\"\"#); }\n\
                  #[cfg(test)]\nuse x;\n#[cfg(test)]\nmod tests {\n fn t() { \"no\" }\n}\nconst C: &str = \"five\";\n";
    let found: Vec<(usize, String)> = literals(source).into_iter().map(|one| (one.line, one.text)).collect();
    let expected = [(2, "one two"), (3, "three \"four\""), (10, "five")];
    assert_eq!(found, expected.map(|(line, text)| (line, text.to_string())));
    let words = |text: &str| prose(&Literal { line: 1, text: text.into() }).map(|text| patterns::find(&text).len());
    assert_eq!(words("too short"), None);
    assert_eq!(words("`{name}` is what is served here"), Some(1));
    assert_eq!(words("what `is` it of {octets} bytes that stays"), Some(0));
}
