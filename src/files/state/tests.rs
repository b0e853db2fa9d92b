//! State files: kept, recalled, damaged, and those of other programs.
//!
//! **Not here**: writing in the background (`process::state`).

use super::*;

const FORM: StateForm = StateForm { name: "number", comment: "", is_old: |text| number(text).is_some() };

fn number(text: &str) -> Option<u32> {
    text.strip_suffix('\n')?.parse().ok()
}

fn recall_number(path: &Path) -> Result<Option<u32>, String> {
    recall(path, &FORM, number).map_err(|useless| useless.to_string().replace(&path.display().to_string(), "F"))
}

#[test]
fn what_is_kept_is_recalled_and_nothing_else_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    assert_eq!(recall_number(&path), Ok(None));
    for text in ["1\n", "23\n"] {
        keep(&path, &FORM, text).unwrap();
    }
    assert_eq!(recall_number(&path), Ok(Some(23)));
    assert_eq!(fs::read_to_string(&path).unwrap(), "pharos state number 1\n23\n");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_file_of_the_version_before_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    fs::write(&path, "7\n").unwrap();
    assert_eq!(recall_number(&path), Ok(Some(7)));
    assert_eq!(fs::read_to_string(&path).unwrap(), "7\n", "reading changes nothing");
    keep(&path, &FORM, "8\n").unwrap();
    assert_eq!((recall_number(&path), fs::read(&path).unwrap().starts_with(b"pharos")), (Ok(Some(8)), true));
}

#[test]
fn a_damaged_file_of_ours_is_put_aside() {
    let folder = tempfile::tempdir().unwrap();
    let (path, bad) = (folder.path().join("state"), folder.path().join("state.bad"));
    for _ in 0..2 {
        fs::write(&path, "pharos state number 1\n2").unwrap();
        assert_eq!(recall_number(&path), Err("`F` cannot be used: it is damaged; it is kept as `F.bad`".into()));
        assert_eq!(fs::read_to_string(&bad).unwrap(), "pharos state number 1\n2");
        assert_eq!(recall_number(&path), Ok(None), "the next start finds nothing");
    }
    // An operator's file is not replaced by it.
    fs::write(&bad, "a letter").unwrap();
    fs::write(&path, "pharos state number 1\n2").unwrap();
    let said = recall_number(&path).unwrap_err();
    assert_eq!(said, "`F` cannot be used: it is damaged, and will be written over");
    assert_eq!(fs::read_to_string(&bad).unwrap(), "a letter");
    keep(&path, &FORM, "3\n").unwrap();
    assert_eq!(recall_number(&path), Ok(Some(3)));
}

#[test]
fn a_file_that_is_not_ours_is_neither_moved_nor_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let foreign = "`F` cannot be used: it is not a state file of this kind";
    let newer = "`F` cannot be used: a newer version wrote it (format 2; this version reads 1)";
    for (text, expected) in [
        ("[dns]\nlisten = []\n", foreign),
        ("pharos state other 1\n7\n", foreign),
        ("pharos state number x\n7\n", foreign),
        ("pharos state number 2\nnew things\n", newer),
    ] {
        fs::write(&path, text).unwrap();
        assert_eq!(recall_number(&path), Err(expected.into()), "{text}");
        assert!(inspect(&path, &FORM).is_err() && keep(&path, &FORM, "1\n").is_err());
        assert!(touch(&path, &FORM, SystemTime::now()).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    fs::write(path.join("inside"), "x").unwrap();
    assert_eq!(recall_number(&path), Err("`F` cannot be used: it is a folder, not a regular file".into()));
    assert!(keep(&path, &FORM, "1\n").is_err() && path.join("inside").exists());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_write_that_fails_leaves_what_was() {
    let folder = tempfile::tempdir().unwrap();
    let (path, beside) = (folder.path().join("state"), folder.path().join("state.new"));
    keep(&path, &FORM, "1\n").unwrap();
    fs::create_dir(&beside).unwrap();
    assert!(keep(&path, &FORM, "2\n").is_err());
    assert_eq!(recall_number(&path), Ok(Some(1)));
    assert!(keep(&folder.path().join("none/state"), &FORM, "1\n").is_err());
    // A file under the temporary name is replaced if it is ours, whole or cut.
    fs::remove_dir(&beside).unwrap();
    for left in ["", "pharos st", "pharos state number 1\n12"] {
        fs::write(&beside, left).unwrap();
        keep(&path, &FORM, "3\n").unwrap();
        assert!(!beside.exists());
    }
    fs::write(&beside, "a letter").unwrap();
    assert!(keep(&path, &FORM, "4\n").is_err());
    assert_eq!((recall_number(&path), fs::read_to_string(&beside).unwrap()), (Ok(Some(3)), "a letter".into()));
}
