//! Expected output of commands, in files.

use std::path::Path;

use super::layout::Layout;

/// Compares a text with `NAME.txt` in a folder of `src/cli`; `PHAROS_BLESS=1` writes it.
#[track_caller]
pub(super) fn assert_expected(folder: &str, name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli").join(folder).join(name).with_extension("txt");
    if std::env::var_os("PHAROS_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let remedy = "`PHAROS_BLESS=1 cargo test --locked --lib cli` writes the file anew; read what changes";
    assert_eq!(text, written, "src/cli/{folder}/{name}.txt: {remedy}");
}

/// Lays out at 80 and 120 columns: no line is longer, and the texts are `NAME-80.txt` and `NAME-120.txt` of a folder.
#[track_caller]
pub(super) fn assert_both_widths(folder: &str, name: &str, lay_out: impl Fn(Layout) -> String) {
    for width in [80, 120] {
        let text = lay_out(Layout::plain(width));
        assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
        assert_expected(folder, &format!("{name}-{width}"), &text);
    }
}
