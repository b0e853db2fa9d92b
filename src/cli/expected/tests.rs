//! Expected output of commands, in files.

/// Compares a text with `expected/NAME.txt`; `PHAROS_BLESS=1` writes it.
#[track_caller]
pub(super) fn assert_expected(name: &str, text: &str) {
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/expected").join(name).with_extension("txt");
    if std::env::var_os("PHAROS_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(&path).unwrap_or_default(), "{name}");
}
