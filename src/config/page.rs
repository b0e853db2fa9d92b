//! The tables of `docs/configuration.md`, made from the rows.
//!
//! The page has a block for each table of the configuration, between `<!-- keys: NAME -->` and `<!-- end -->`. [`fill`]
//! writes the blocks anew; the prose around them is written in the page.
//!
//! **Invariants**: every table of the configuration has exactly one block.
//! **Not here**: the rows ([`super::row`]), the file of the page (`tests/check.rs`).

use std::fmt::Write as _;

use super::row::{Absent, KeyTable, KeyType, Restart, Row, Rows as _};
use super::spec::Spec;
use super::value::written;
use crate::base::text::grouped;

const BEGIN: &str = "<!-- keys: ";
const BEGIN_END: &str = " -->\n";
const END: &str = "<!-- end -->";

/// All tables of the configuration by the names of their blocks: `config` is the top, others are paths like `dns.rrl`.
pub(crate) fn parts() -> Vec<(String, KeyTable)> {
    fn collect(path: &str, part: KeyTable, parts: &mut Vec<(String, KeyTable)>) {
        parts.push((if path.is_empty() { "config" } else { path }.to_string(), part));
        for row in part.rows {
            if let Some(inner) = row.inner() {
                let dot = if path.is_empty() { "" } else { "." };
                collect(&format!("{path}{dot}{}", row.name), inner, parts);
            }
        }
    }
    let mut parts = Vec::new();
    collect("", Spec::PART, &mut parts);
    parts
}

/// The page with its blocks written anew, or the problem with its blocks.
pub fn fill(page: &str) -> Result<String, String> {
    let mut parts = parts();
    let (mut filled, mut rest) = (String::with_capacity(page.len()), page);
    while let Some(at) = rest.find(BEGIN) {
        let (before, block) = rest.split_at(at);
        let name_end = block.find(BEGIN_END).ok_or("a block has no name")?;
        let name = &block[BEGIN.len()..name_end];
        let end = block.find(END).ok_or_else(|| format!("the block `{name}` has no end"))?;
        let found = parts.iter().position(|(other, _)| other == name);
        let (_, part) = parts.remove(found.ok_or_else(|| format!("the block `{name}` is unknown, or there twice"))?);
        let _ = write!(filled, "{before}{BEGIN}{name}{BEGIN_END}{}{END}", table(part));
        rest = &block[end + END.len()..];
    }
    filled.push_str(rest);
    match parts.first() {
        Some((missing, _)) => Err(format!("the page has no block `{missing}`")),
        None => Ok(filled),
    }
}

/// The rows of a table in Markdown.
fn table(part: KeyTable) -> String {
    let mut text = "| key | value | default | meaning | example |\n|---|---|---|---|---|\n".to_string();
    for row in part.rows {
        let (effect, reason) = documentation(row);
        let mut meaning = effect;
        if let Some(reason) = reason {
            meaning += &format!(" {reason}");
        }
        meaning += match row.restart {
            Restart::Never => "",
            Restart::Unless(_) | Restart::WithTable => " **A change takes a restart.**",
            Restart::UnlessKept(_) => " **Adding or removing it takes a restart.**",
        };
        let example = if row.example.is_empty() { String::new() } else { format!("`{}`", row.example) };
        let _ = writeln!(text, "| `{}` | {} | {} | {meaning} | {example} |", row.name, value(row), default(row));
    }
    text
}

/// The effect of a key, and the reason if there is one.
pub(crate) fn documentation(row: &Row) -> (String, Option<String>) {
    let mut paragraphs = row.doc.split("\n\n").map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    (paragraphs.next().unwrap_or_default(), paragraphs.next())
}

/// The type and range of a key.
fn value(row: &Row) -> String {
    match row.kind {
        KeyType::Number { range: (low, high), unit } => {
            let high = row.at_most.map_or_else(|| grouped(high.into()), |key| format!("`{key}`"));
            format!("{} to {high} {unit}", grouped(low.into())).trim_end().to_string()
        }
        KeyType::Numbers { range: (low, high) } => {
            format!("list of numbers, {} to {}", grouped(low.into()), grouped(high.into()))
        }
        KeyType::Duration { range: (least, greatest) } => {
            format!("duration, {} to {}", written(least), written(greatest))
        }
        KeyType::Flag => "`true` or `false`".to_string(),
        KeyType::Text { form } | KeyType::Other { form } => form.to_string(),
        KeyType::Texts { form } => format!("list: {form}"),
        KeyType::File { .. } => "path".to_string(),
        KeyType::Table(_) => "table".to_string(),
        KeyType::Tables { .. } => "list of tables".to_string(),
        KeyType::Names(_) => "table of tables, by name".to_string(),
    }
}

/// The effect of leaving a key out.
fn default(row: &Row) -> String {
    if let Some(other) = row.instead_of {
        return format!("instead of `{other}`");
    }
    match row.absent {
        Absent::Number(number) => format!("`{number}`"),
        Absent::Duration(duration) => format!("`\"{}\"`", written(duration)),
        Absent::Flag(flag) => format!("`{flag}`"),
        Absent::Text(text) => format!("`\"{text}\"`"),
        Absent::Words(words) => words.to_string(),
        Absent::Required { .. } => "required".to_string(),
        Absent::RequiredWithout { others, .. } => {
            let others: Vec<String> = others.iter().map(|other| format!("`{other}`")).collect();
            format!("required without {}", others.join(" and "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_without_a_block_is_reported() {
        let all: String = parts().iter().map(|(name, _)| format!("{BEGIN}{name}{BEGIN_END}{END}\n")).collect();
        let filled = fill(&all).unwrap();
        assert!(filled.contains("| `udp-batch` | 1 to 128 datagrams | `32` | Datagrams received"), "{filled}");
        assert!(filled.contains("| `tcp-connections-per-client` | 1 to `tcp-connections` connections | `64` |"));
        assert!(filled.contains("| `interval` | duration, 100ms to 1h | `\"10s\"` |"));
        assert_eq!(fill(&filled).as_deref(), Ok(&*filled));
        let without = all.replacen("<!-- keys: dns.rrl -->\n<!-- end -->\n", "", 1);
        assert_eq!(fill(&without), Err("the page has no block `dns.rrl`".to_string()));
        assert!(fill(&format!("{all}{all}")).unwrap_err().contains("there twice"));
    }
}
