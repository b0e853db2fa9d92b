//! Tables of text: rows of cells in, lines with aligned columns out.
//!
//! **Invariants**: no line ends in spaces; a cell is never cut.
//! **Not here**: what is in the cells.

use std::borrow::Cow;

use crate::base::text::shown;

/// What stands between two columns.
const GAP: &str = "  ";

/// Aligns the cells of each column at the left, with hidden characters shown; rows may differ in length, and the last cell of a row widens nothing.
pub(super) fn columns(rows: &[Vec<String>]) -> Vec<String> {
    let rows: Vec<Vec<Cow<'_, str>>> = rows.iter().map(|row| row.iter().map(|cell| shown(cell)).collect()).collect();
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count)
        .map(|column| {
            let cells = rows.iter().filter(|row| row.len() > column + 1).map(|row| row[column].chars().count());
            cells.max().unwrap_or(0)
        })
        .collect();
    rows.iter()
        .map(|row| {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
            cells.join(GAP).trim_end().to_string()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_long_last_cells_do_not_widen_them() {
        let row = |cells: &[&str]| cells.iter().map(|cell| cell.to_string()).collect::<Vec<_>>();
        let lines = columns(&[row(&["a", "bcd", "e"]), row(&["ab", "c", "d"]), row(&["x", "a long last cell"])]);
        assert_eq!(lines, ["a   bcd  e", "ab  c    d", "x   a long last cell"]);
    }
}
