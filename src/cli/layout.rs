//! Layout for a terminal: its width and colours; words broken into lines, rows into columns.
//!
//! **Invariants**: a line is broken between words, never inside one; it is longer than the width only if one word is, or the
//! longest words of a row's cells together are. No line ends in spaces. The output is escaped for the terminal ([`shown`]).
//! **Not here**: the text of the cells; excerpts of files ([`crate::base::diagnostic`]).

use std::io::IsTerminal;
use std::os::fd::AsFd;

use crate::base::diagnostic::{Look, Style};
use crate::base::text::{shown, wrapped};

/// The width of running text if standard output is no terminal: a file has none, and 100 fits this repository's pages.
/// Rows of tables are not broken there, so that `grep` finds a row as a whole.
const FILE_WIDTH: usize = 100;

/// The narrowest width that is used: below it, every second word would be on a line of its own.
const LEAST_WIDTH: usize = 40;

/// The width of the heads of pages about the running server, in columns.
pub(super) const HEADS: usize = 14;

/// Space between two columns.
const GAP: usize = 2;

/// Width and colours of an output.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// The width of running text.
    pub(super) width: usize,
    /// The width of tables.
    table_width: usize,
    pub(super) style: Style,
}

/// The colour of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    Good,
    Doubtful,
    Bad,
    Head,
    /// Commands and requests, as an operator types them.
    Typed,
}

impl Layout {
    /// The layout of standard output: `COLUMNS` if it is set, else the terminal's width, else [`FILE_WIDTH`].
    pub(super) fn of_stdout() -> Self {
        Layout::of(&std::io::stdout())
    }

    /// The same of standard error.
    pub(super) fn of_stderr() -> Self {
        Layout::of(&std::io::stderr())
    }

    fn of(stream: &(impl IsTerminal + AsFd)) -> Self {
        let columns = std::env::var("COLUMNS").ok().and_then(|text| text.parse::<usize>().ok());
        let terminal = || stream.is_terminal().then(|| terminal_size::terminal_size_of(stream)).flatten();
        let width = columns.or_else(|| terminal().map(|(width, _)| usize::from(width.0)));
        let width = width.map(|width| width.max(LEAST_WIDTH));
        Layout { width: width.unwrap_or(FILE_WIDTH), table_width: width.unwrap_or(usize::MAX), style: style_of(stream) }
    }

    /// A sentence after a head. In a file it is one line, so that `grep` finds it as a whole. On a terminal, further lines are
    /// indented by `indent`.
    pub(super) fn sentence(&self, head: &str, indent: usize, words: &str) -> String {
        let lines = wrapped(&shown(words), self.table_width.saturating_sub(indent));
        let line = |(at, line): (usize, &String)| match at {
            0 => format!("{head}{line}\n"),
            _ => format!("{:indent$}{line}\n", ""),
        };
        lines.iter().enumerate().map(line).collect()
    }

    #[cfg(test)]
    pub(super) fn plain(width: usize) -> Self {
        Layout { width, table_width: width, style: Style::Plain }
    }

    #[cfg(test)]
    pub(super) fn coloured(width: usize) -> Self {
        Layout { style: Style::Coloured, ..Layout::plain(width) }
    }

    /// Checks whether a table fits without line breaks in its cells.
    pub(super) fn fits(&self, rows: &[Vec<String>]) -> bool {
        widths(rows, usize::MAX).iter().map(|width| width + GAP).sum::<usize>() <= self.table_width.saturating_add(GAP)
    }

    /// A text in a colour.
    pub(super) fn paint(&self, text: &str, colour: Colour) -> String {
        let code = match colour {
            Colour::Good => "32",
            Colour::Doubtful => "33",
            Colour::Bad => "31",
            Colour::Head => "1",
            Colour::Typed => "36",
        };
        match self.style {
            Style::Plain => text.to_string(),
            Style::Coloured => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }

    /// Running text after a head that takes `indent` columns; further lines are indented by `indent`.
    pub(super) fn paragraph(&self, head: &str, indent: usize, words: &str) -> String {
        let lines = wrapped(&shown(words), self.width.saturating_sub(indent));
        let line = |(at, line): (usize, String)| format!("{:<indent$}{line}", if at == 0 { head } else { "" });
        lines.into_iter().enumerate().map(line).map(|line| line.trim_end().to_string() + "\n").collect()
    }

    /// Rows with aligned columns after a head. A cell's row, column and text decide its colour.
    pub(super) fn table(
        &self,
        head: &str,
        indent: usize,
        rows: impl IntoIterator<Item: AsRef<[String]>>,
        colour: impl Fn(usize, usize, &str) -> Option<Colour>,
    ) -> String {
        let cells = |row: &[String]| row.iter().map(|cell| shown(cell).into_owned()).collect();
        let rows: Vec<Vec<String>> = rows.into_iter().map(|row| cells(row.as_ref())).collect();
        let widths = widths(&rows, self.table_width.saturating_sub(indent));
        // The last cell of a row has the rest of the line.
        let room = |len: usize, column: usize| {
            if column + 1 == len {
                let before: usize = widths[..column].iter().map(|width| width + GAP).sum();
                self.table_width.saturating_sub(indent + before).max(widths[column])
            } else {
                widths[column]
            }
        };
        let mut text = String::new();
        for (at, row) in rows.iter().enumerate() {
            let cells: Vec<Vec<String>> =
                row.iter().enumerate().map(|(column, cell)| wrapped(cell, room(row.len(), column))).collect();
            for line in 0..cells.iter().map(Vec::len).max().unwrap_or(1) {
                let head = if text.is_empty() { head } else { "" };
                let mut out = format!("{head:<indent$}");
                for (column, (cell, width)) in cells.iter().zip(&widths).enumerate() {
                    let part = cell.get(line).map_or("", String::as_str);
                    let space = width.saturating_sub(part.chars().count()) + GAP;
                    match colour(at, column, &row[column]).filter(|_| !part.is_empty()) {
                        Some(colour) => out.push_str(&self.paint(part, colour)),
                        None => out.push_str(part),
                    }
                    out.push_str(&" ".repeat(space));
                }
                text.push_str(out.trim_end());
                text.push('\n');
            }
        }
        text
    }
}

/// A page of parts, each with a head in front of it.
pub(super) struct Page {
    pub(super) text: String,
    layout: Layout,
    /// The width of the heads, in columns.
    indent: usize,
}

impl Page {
    pub(super) fn new(layout: Layout, indent: usize) -> Self {
        Page { text: String::new(), layout, indent }
    }

    /// Adds one cell after a head.
    pub(super) fn line(&mut self, head: &str, text: impl Into<String>, colour: Option<Colour>) {
        self.table(head, [[text.into()]], |_, _, _| colour);
    }

    /// Adds rows, as [`Layout::table`] has them.
    pub(super) fn table(
        &mut self,
        head: &str,
        rows: impl IntoIterator<Item: AsRef<[String]>>,
        colour: impl Fn(usize, usize, &str) -> Option<Colour>,
    ) {
        self.text += &self.layout.table(head, self.indent, rows, colour);
    }

    /// Adds running text, as [`Layout::paragraph`] has it.
    pub(super) fn paragraph(&mut self, head: &str, words: &str) {
        self.text += &self.layout.paragraph(head, self.indent, words);
    }
}

impl From<Layout> for Look {
    fn from(layout: Layout) -> Look {
        Look { style: layout.style, width: (layout.table_width != usize::MAX).then_some(layout.table_width) }
    }
}

/// Coloured if the output is a terminal, unless `NO_COLOR` is set (<https://no-color.org>).
fn style_of(stream: &impl IsTerminal) -> Style {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if stream.is_terminal() && !unwanted { Style::Coloured } else { Style::Plain }
}

/// The widths of columns: those of the longest cells, of which the widest are narrowed until a row fits into a line.
fn widths(rows: &[Vec<String>], width: usize) -> Vec<usize> {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    // The cell at the end of a short row widens no column.
    let cells = |column: usize| {
        let fits = move |row: &&Vec<String>| row.len() > column + 1 || (row.len() == count && column + 1 == count);
        rows.iter().filter(fits).map(move |row| &row[column])
    };
    let longest_word = |cell: &String| cell.split(' ').map(|word| word.chars().count()).max().unwrap_or(0);
    let mut widths: Vec<usize> =
        (0..count).map(|column| cells(column).map(|cell| cell.chars().count()).max().unwrap_or(0)).collect();
    let least: Vec<usize> = (0..count).map(|column| cells(column).map(longest_word).max().unwrap_or(0)).collect();
    loop {
        let total = widths.iter().sum::<usize>() + GAP * count.saturating_sub(1);
        let over = total.saturating_sub(width);
        let widest = (0..count).filter(|&column| widths[column] > least[column]).max_by_key(|&column| widths[column]);
        let (Some(widest), 1..) = (widest, over) else { return widths };
        widths[widest] = least[widest].max(widths[widest].saturating_sub(over));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[&[&str]]) -> Vec<Vec<String>> {
        rows.iter().map(|row| row.iter().map(|cell| cell.to_string()).collect()).collect()
    }

    #[test]
    fn a_table_fits_up_to_the_last_column() {
        let rows = rows(&[&["MIRROR", "ADDRESS"], &["aws-use1", "192.0.2.10"]]);
        assert_eq!([19, 20, 21].map(|width| Layout::plain(width).fits(&rows)), [false, true, true]);
        for width in [19, 20] {
            let is_broken =
                Layout::plain(width).table("", 0, &rows, |_, _, _| None).lines().any(|line| line.len() > width);
            assert_eq!(is_broken, width < 20, "at {width}");
        }
    }

    #[test]
    fn a_row_that_is_too_long_is_broken_in_its_widest_cells_between_words() {
        let rows = rows(&[
            &["MIRROR", "ADDRESS", "OVERRIDE"],
            &["aws-use1", "192.0.2.10", "drained by alice until tomorrow: new disks in every rack"],
        ]);
        let table = |width| Layout::plain(width).table("", 0, &rows, |_, _, _| None);
        assert_eq!(table(80).lines().count(), 2);
        let expected = "\
MIRROR    ADDRESS     OVERRIDE
aws-use1  192.0.2.10  drained by alice until
                      tomorrow: new disks in
                      every rack
";
        assert_eq!(table(46), expected);
        // A word is never broken: the line is too long instead.
        assert!(table(20).contains("192.0.2.10"));
    }

    #[test]
    fn colours_take_no_room() {
        let rows = rows(&[&["up", "x"], &["down", "y"]]);
        let layout = Layout::coloured(80);
        let colour = |_, column, cell: &str| (column == 0 && cell == "up").then_some(Colour::Good);
        assert_eq!(layout.table("", 0, &rows, colour), "\x1b[32mup\x1b[0m    x\ndown  y\n");
    }

    #[test]
    fn a_paragraph_is_indented_behind_its_head() {
        assert_eq!(Layout::plain(20).paragraph("why", 6, "one two three four"), "why   one two three\n      four\n");
        assert_eq!(Layout::plain(20).paragraph("why", 6, ""), "why\n");
    }
}
