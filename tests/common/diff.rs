//! Two texts side by side, line by line.

#![allow(dead_code, reason = "each user needs its own part of this")]
#![allow(unreachable_pub, reason = "a module of tests is not reached from outside")]

/// The lines that are in one text only, marked as [`lines`] marks them.
pub fn changes(expected: &str, found: &str) -> String {
    lines(expected, found).split_inclusive('\n').filter(|line| !line.starts_with("      ")).collect()
}

/// The lines of both. Lines of only one text are marked `-` (expected) or `+` (found).
pub fn lines(expected: &str, found: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), found.lines().collect());
    // The length of the longest common subsequence from each pair of positions on.
    let mut common = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i][j] = if a[i] == b[j] { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut text) = (0, 0, String::new());
    while i < a.len() || j < b.len() {
        let (mark, line) = if i < a.len() && j < b.len() && a[i] == b[j] {
            (i, j) = (i + 1, j + 1);
            (' ', a[i - 1])
        } else if j == b.len() || (i < a.len() && common[i + 1][j] >= common[i][j + 1]) {
            i += 1;
            ('-', a[i - 1])
        } else {
            j += 1;
            ('+', b[j - 1])
        };
        text.push_str(&format!("    {mark} {line}\n"));
    }
    text
}
