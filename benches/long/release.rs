//! A release built from source in two folders: the same bytes, and binaries that run.
//!
//! The second folder has a longer path, and its own home of cargo, so that a path of the builder would make the bytes differ.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::common::needs;

pub(crate) fn run() {
    let folder = tempfile::TempDir::new().unwrap();
    let places = ["a", "another/folder/with/a/longer/path"].map(|name| folder.path().join(name));
    let homes = [cargo_home(), other_home(&folder.path().join("home"))];
    // Both before the first build, so that a change made meanwhile is in neither.
    places.iter().for_each(|place| copy_sources(place));
    let mut sums = Vec::new();
    for (place, home) in places.iter().zip(&homes) {
        let Some(found) = release(place, home) else { return };
        sums.push(found);
    }
    let archives: Vec<PathBuf> = archives(&places[0].join("out"));
    for archive in &archives {
        println!(
            "release: {} has {} bytes",
            archive.file_name().unwrap().display(),
            fs::metadata(archive).unwrap().len()
        );
        try_out(archive, &places, &homes);
    }
    assert_eq!(sums[0], sums[1], "two folders make two releases");
    println!("release: {} files, the same from two folders:\n{}", sums[0].lines().count(), sums[0].trim_end());
}

fn cargo_home() -> PathBuf {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    home.unwrap_or_else(|| Path::new(&std::env::var_os("HOME").unwrap()).join(".cargo"))
}

/// A home of cargo at another path with the same downloads.
fn other_home(path: &Path) -> PathBuf {
    fs::create_dir(path).unwrap();
    symlink(cargo_home().join("registry"), path.join("registry")).unwrap();
    path.to_path_buf()
}

/// Copies the repository without build output.
fn copy_sources(place: &Path) {
    fs::create_dir_all(place).unwrap();
    let copy = "tar -C \"$0\" --exclude=target --exclude=./.git -cf - . | tar -C \"$1\" -xf -";
    let status = Command::new("sh").args(["-euc", copy, env!("CARGO_MANIFEST_DIR")]).arg(place).status().unwrap();
    assert!(status.success());
}

/// Makes a release in `out` of a folder; its checksums. `None` if this machine can build for no target.
fn release(place: &Path, home: &Path) -> Option<String> {
    let begin = Instant::now();
    let out = place.join("out");
    fs::create_dir(&out).unwrap();
    let mut script = Command::new(place.join("deploy/release"));
    script.arg("--out").arg(&out).env("CARGO_HOME", home).env("SOURCE_DATE_EPOCH", "1700000000");
    script.env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS").stdin(Stdio::null());
    let output = script.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let skipped: Vec<&str> = said.lines().filter(|line| line.starts_with("skipped: ")).collect();
    for line in &skipped {
        println!("release: {line}");
    }
    if archives(&out).is_empty() && skipped.len() >= 2 {
        needs::skip("this machine can build for no target");
        return None;
    }
    assert!(output.status.success(), "{said}");
    println!("release: built in {:.0?}", begin.elapsed());
    Some(fs::read_to_string(out.join("SHA256SUMS")).unwrap())
}

fn archives(out: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(out).unwrap().map(|entry| entry.unwrap().path());
    let mut archives: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "gz")).collect();
    archives.sort();
    archives
}

/// Unpacks an archive and runs its binary, on this processor or an emulated one. No path of a builder is in it.
fn try_out(archive: &Path, places: &[PathBuf], homes: &[PathBuf]) {
    let folder = tempfile::TempDir::new().unwrap();
    let status = Command::new("tar").arg("-xzf").arg(archive).current_dir(folder.path()).status().unwrap();
    assert!(status.success());
    let unpacked = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let binary = unpacked.join("pharos");
    let bytes = fs::read(&binary).unwrap();
    for path in places.iter().chain(homes) {
        let path = path.to_str().unwrap().as_bytes();
        assert!(!bytes.windows(path.len()).any(|window| window == path), "{} has a builder's path", binary.display());
    }
    let name = unpacked.file_name().unwrap().to_str().unwrap();
    let processor = ["x86_64", "aarch64"].into_iter().find(|one| name.contains(one)).unwrap();
    let mut command = if processor == std::env::consts::ARCH {
        Command::new(&binary)
    } else {
        let Some(emulator) = needs::program(&format!("qemu-{processor}-static"), "qemu-user-static") else {
            return;
        };
        let mut command = Command::new(emulator);
        command.arg(&binary);
        command
    };
    let checked = command.arg("--config").arg(unpacked.join("sample/pharos.toml")).arg("check").output().unwrap();
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success() && said.ends_with("configuration is valid, 0 warnings\n"), "{name}: {said}");
    println!("release: the binary for {processor} has {} bytes, and checks the sample beside it", bytes.len());
}
