//! `docs/limits.md`: each value is that of the constant or key that the page names as its source.
//!
//! Most constants are private, so the test reads them as text: a sum, product or shift of numbers, or a duration.

use std::fs;

use pharos::files::FileKind;

use super::page::{Page, root};

/// The factor of a unit: bytes for lengths, milliseconds for durations.
const UNITS: [(&str, u64); 11] = [
    ("bytes", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("ms", 1),
    ("s", 1000),
    ("min", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("lines", 1),
    ("", 1),
];

pub(crate) fn run(page: &Page) {
    let mut wrong = Vec::new();
    let mut rows = 0;
    for table in &page.tables {
        for (row, codes) in table.rows.iter().zip(&table.codes) {
            rows += 1;
            let (shown, source) = (number(&row[1]), &codes[2][0]);
            let found = if source.starts_with('[') { of_key(source) } else { of_constant(source) };
            if found != Some(shown) {
                wrong.push(format!("{} is {}, and {source} is {found:?}", row[0], row[1]));
            }
        }
    }
    assert!(rows > 60, "{rows}");
    assert!(wrong.is_empty(), "{}:\n{}", page.path.display(), wrong.join("\n"));
}

/// `64 KiB` or `1,024` as a number of bytes, milliseconds or pieces.
fn number(value: &str) -> u64 {
    let (digits, unit) = value.split_once(' ').unwrap_or((value, ""));
    let unit = unit.split(' ').next().unwrap();
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).unwrap_or_else(|| panic!("`{value}` has no unit"));
    digits.replace(',', "").parse::<u64>().unwrap_or_else(|_| panic!("`{value}` has no number")) * factor
}

/// The default of `[table] key`, as the reference has it.
fn of_key(source: &str) -> Option<u64> {
    let (table, key) = source.split_once("] ")?;
    let page = Page::open("docs/configuration.md");
    let tables = page.tables.iter().filter(|other| other.under.starts_with(&format!("{table}]")));
    let mut rows = tables.flat_map(|table| &table.rows).filter(|row| row[0].split(", ").any(|name| name == key));
    let row = rows.next()?;
    row.iter().find_map(|cell| cell.replace(',', "").parse().ok())
}

/// The value of `module::CONSTANT`, or of `module::CONSTANT[0]` for an array.
fn of_constant(source: &str) -> Option<u64> {
    if let Some(kind) = source.strip_prefix("files::Kind::") {
        return of_kind(kind);
    }
    let (source, at) = source.strip_suffix(']').and_then(|source| source.split_once('[')).unwrap_or((source, "0"));
    let (module, name) = source.rsplit_once("::")?;
    let path = root().join("src").join(module.replace("::", "/"));
    let text =
        [path.with_extension("rs"), path.join("mod.rs")].iter().find_map(|file| fs::read_to_string(file).ok())?;
    let found = value(&text, name, at.parse().ok()?)?;
    Some(if name.ends_with("_SECS") { found * 1000 } else { found })
}

fn of_kind(name: &str) -> Option<u64> {
    let kind = match name {
        "Config" => FileKind::Config,
        "Zone" => FileKind::Zone,
        "Feed" => FileKind::Feed,
        "Database" => FileKind::Database,
        "Secret" => FileKind::Secret,
        "Cookies" => FileKind::Cookies,
        "Pem" => FileKind::Pem,
        "Roots" => FileKind::Roots,
        "State" => FileKind::State,
        _ => return None,
    };
    Some(kind.max_len())
}

/// The value of a constant in the text of a module; of an array the element at this place.
fn value(text: &str, name: &str, at: usize) -> Option<u64> {
    let (_, behind) = text.split_once(&format!("const {name}: "))?;
    let (_, expression) = behind.split_once(" = ")?;
    let (expression, _) = expression.split_once(';')?;
    match expression.strip_prefix('[') {
        Some(array) => evaluate(text, array.strip_suffix(']')?.split(", ").nth(at)?),
        None => evaluate(text, expression.trim()),
    }
}

/// The value of an expression; operators by their precedence in Rust, the weakest first.
fn evaluate(text: &str, expression: &str) -> Option<u64> {
    for (unit, factor) in [("Duration::from_secs(", 1000), ("Duration::from_millis(", 1)] {
        if let Some(inner) = expression.strip_prefix(unit) {
            return Some(evaluate(text, inner.strip_suffix(')')?)? * factor);
        }
    }
    for operator in [" << ", " - ", " + ", " * "] {
        let Some((left, right)) = expression.rsplit_once(operator) else { continue };
        let (left, right) = (evaluate(text, left)?, evaluate(text, right)?);
        return Some(match operator {
            " << " => left << right,
            " - " => left - right,
            " + " => left + right,
            _ => left * right,
        });
    }
    expression.replace('_', "").parse().ok().or_else(|| value(text, expression, 0))
}

#[test]
fn constants_and_cells_are_read() {
    let text = "const A: usize = 2 * 64;\npub const B: u64 = 65_535 - 12 - 4;\nconst C: Duration = Duration::from_secs(5);\n\
                const D: usize = 16 << 10;\nconst E: usize = 2 * A + 1;\nconst G: [usize; 2] = [64, 16];\n";
    let values = ["A", "B", "C", "D", "E"].map(|name| value(text, name, 0));
    assert_eq!(values, [Some(128), Some(65_519), Some(5000), Some(16_384), Some(257)]);
    assert_eq!((value(text, "F", 0), value(text, "G", 1)), (None, Some(16)));
    assert_eq!(["16 KiB", "1,024", "5 s", "366 d"].map(number), [16_384, 1024, 5000, 31_622_400_000]);
}
