//! The packages that `deploy/` makes: each is made from the binary under test, installed or started where this machine
//! allows it, and asked as a user would.
//!
//! A test that misses a program, or the right to use it, is counted (`common::needs`).

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected is to fail")]

mod chart;
mod deb;
mod image;
mod monitoring;
#[path = "../common/needs.rs"]
mod needs;
mod pages;
mod release;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// The folder of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The binary under test without symbols. It has a tenth of the size, so that packing takes seconds.
fn binary() -> &'static Path {
    static STRIPPED: OnceLock<PathBuf> = OnceLock::new();
    STRIPPED.get_or_init(|| {
        let own = Path::new(env!("CARGO_BIN_EXE_pharos"));
        if needs::find_program("strip").is_none() {
            return own.to_path_buf();
        }
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packages");
        fs::create_dir_all(&folder).unwrap();
        let stripped = folder.join("pharos");
        done(Command::new("strip").arg("-o").arg(&stripped).arg(own));
        stripped
    })
}

/// Runs a command, which must succeed; its standard output.
#[track_caller]
fn done(command: &mut Command) -> String {
    let output = run(command);
    assert!(output.status.success(), "{command:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[track_caller]
fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A script of `deploy/`, with the folder to write to and the binary to pack.
fn deploy(script: &str, out: &Path) -> Command {
    let mut command = Command::new(root().join("deploy").join(script));
    command.arg("--out").arg(out).arg("--binary").arg(binary()).env("TMPDIR", out).env("PATH", tools_path());
    command
}

/// A tool that `tests/run` puts in `target/tools` because Debian does not have it.
#[track_caller]
fn tool(name: &str, source: &str) -> Option<PathBuf> {
    let found = std::env::split_paths(&tools_path()).map(|folder| folder.join(name)).find(|file| file.is_file());
    if found.is_none() {
        needs::missing(format!("{name} is not installed ({source})"));
    }
    found
}

/// The search path with the folder of those tools.
fn tools_path() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let tools = root().join("target/tools/bin");
    std::env::join_paths([tools].into_iter().chain(std::env::split_paths(&path))).unwrap()
}

/// Copies what the scripts read to another folder, as a clone elsewhere would have it.
fn copy_of_the_repository(folder: &Path) {
    for name in [
        "deploy",
        "docs",
        "zones",
        "pharos.toml",
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "LICENSE",
    ] {
        done(Command::new("cp").arg("-a").arg(root().join(name)).arg(folder));
    }
}

/// Runs a shell script as root in namespaces of its own, in which loopback is up and all ports are free. `None` if this
/// machine does not allow it, which is counted.
#[track_caller]
fn in_namespaces(script: &str, arguments: &[&Path]) -> Option<Output> {
    let namespaces = |script: &str| {
        let mut command = Command::new("unshare");
        command.args([
            "--mount",
            "--net",
            "--pid",
            "--fork",
            "--mount-proc",
            "--kill-child",
            "sh",
            "-euc",
            script,
            "sh",
        ]);
        command
    };
    if !Command::new("unshare").arg("--version").output().is_ok_and(|output| output.status.success())
        || !run(&mut namespaces("ip link set lo up")).status.success()
    {
        needs::skip("namespaces take root, unshare and ip");
        return None;
    }
    Some(run(namespaces(&format!("ip link set lo up\n{script}")).args(arguments)))
}
