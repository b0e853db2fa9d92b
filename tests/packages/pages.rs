//! Completions and manual pages, as shells and man(1) read them.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{done, needs, run, text};

fn pharos() -> Command {
    Command::new(env!("CARGO_BIN_EXE_pharos"))
}

#[test]
fn shells_read_their_completions() {
    let folder = tempfile::tempdir().unwrap();
    for (shell, check) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let script = done(pharos().args(["completions", shell]));
        assert!(script.contains("explain") && script.contains("log-level"), "{script}");
        let path = folder.path().join(shell);
        fs::write(&path, script).unwrap();
        let Some(program) = needs::program(shell, shell) else { continue };
        done(Command::new(program).arg(check).arg(path));
    }
}

#[test]
fn bash_completes_commands_and_options() {
    let Some(bash) = needs::program("bash", "bash") else { return };
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("pharos");
    fs::write(&script, done(pharos().args(["completions", "bash"]))).unwrap();
    let complete = |words: &str, at: usize| {
        let ask = format!(
            "source {}; COMP_WORDS=({words}); COMP_CWORD={at}; _pharos pharos \"${{COMP_WORDS[{at}]}}\" \"\"; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            script.display()
        );
        done(Command::new(&bash).args(["--norc", "-c", &ask]))
    };
    assert_eq!(complete("pharos expl", 1), "explain\n");
    assert_eq!(complete("pharos mirror dr", 2), "drain\n");
    assert_eq!(complete("pharos check --deny", 2), "--deny-warnings\n");
}

#[test]
fn man_shows_every_page() {
    let folder = tempfile::tempdir().unwrap();
    done(pharos().arg("man").arg(folder.path()));
    let page = |name: &str| folder.path().join(name);
    assert_eq!(done(pharos().arg("man")), fs::read_to_string(page("pharos.1")).unwrap());
    let Some(man) = needs::program("man", "man-db") else { return };
    let shown = |path: &Path| {
        let output =
            run(Command::new(&man).args(["--warnings", "-l"]).arg(path).env("MANWIDTH", "80").env("LC_ALL", "C.UTF-8"));
        let warnings = text(&output.stderr);
        assert!(output.status.success() && warnings.is_empty(), "{}: {warnings}", path.display());
        text(&output.stdout)
    };
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let shown = shown(&path);
        assert!(shown.contains("SYNOPSIS") && shown.contains("--help"), "{shown}");
    }
    let first = shown(&page("pharos.1"));
    assert!(first.contains("\n       0  all is well\n"), "{first}");
    assert!(shown(&page("pharos-mirror-drain.1")).contains("pharos-mirror(1)"));
}
