//! The prose of Rust comments: `//`, `///` and `//!`, each block read as a page of Markdown.

use super::pages::texts;
use super::patterns::Text;

/// The texts of all comments of a source, with the lines of the file.
pub(crate) fn comments(source: &str) -> Vec<Text> {
    let mut found = Vec::new();
    let mut block = Block::default();
    for (number, line) in (1..).zip(source.lines()) {
        match marked(line) {
            Some((marker, prose)) if marker == block.marker => block.lines.push(prose),
            other => {
                block.end(&mut found);
                if let Some((marker, prose)) = other {
                    block = Block { marker, first: number, lines: vec![prose] };
                }
            }
        }
    }
    block.end(&mut found);
    found
}

/// Lines one after the other with the same marker.
#[derive(Default)]
struct Block<'s> {
    marker: &'s str,
    first: usize,
    lines: Vec<&'s str>,
}

impl Block<'_> {
    fn end(&mut self, found: &mut Vec<Text>) {
        let mut block = texts(&self.lines.join("\n"));
        for (line, _) in block.iter_mut().flat_map(|text| &mut text.words) {
            *line += self.first - 1;
        }
        // The first paragraph of documentation is the headline of its item.
        if let Some(first) = block.first_mut() {
            first.is_headline |= matches!(self.marker, "//!" | "///");
        }
        found.extend(block);
        *self = Block::default();
    }
}

/// The marker of a line that is a comment, and its prose. A comment behind code is read too: its marker follows two spaces or
/// one, and no quotation mark stands before it.
fn marked(line: &str) -> Option<(&'static str, &str)> {
    let at = line.trim_start();
    let markers = ["//!", "///", "//"];
    let whole = markers.iter().find_map(|marker| Some((*marker, at.strip_prefix(marker)?)));
    whole.or_else(|| {
        let (code, prose) = line.split_once(" // ")?;
        (!code.contains('"')).then_some(("// behind code", prose))
    })
}
