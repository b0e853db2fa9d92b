//! The Debian package: the same bytes from two folders, no error of lintian, and a system that has it installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{binary, copy_of_the_repository, deploy, done, in_namespaces, needs, run, text};

/// Makes the package in a folder.
fn package(out: &Path) -> PathBuf {
    PathBuf::from(done(&mut deploy("deb", out)).trim_end())
}

#[test]
fn a_debian_package_is_the_same_from_two_folders_and_installs() {
    if needs::program("dpkg-deb", "dpkg").is_none() || needs::program("dpkg-shlibdeps", "dpkg-dev").is_none() {
        return;
    }
    let (one, other, clone) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let made = package(one.path());
    copy_of_the_repository(clone.path());
    let again = done(
        Command::new(clone.path().join("deploy/deb"))
            .args([Path::new("--out"), other.path(), Path::new("--binary"), binary()])
            .env("SOURCE_DATE_EPOCH", epoch(&made)),
    );
    let again = PathBuf::from(again.trim_end());
    assert_eq!(made.file_name(), again.file_name());
    assert!(fs::read(&made).unwrap() == fs::read(&again).unwrap(), "two folders make two packages");
    lintian(&made);
    content(&made);
    install(&made);
}

/// The date that a package was made with, in seconds since 1970.
fn epoch(package: &Path) -> String {
    let folder = tempfile::tempdir().unwrap();
    done(Command::new("dpkg-deb").arg("-x").arg(package).arg(folder.path()));
    let unit = folder.path().join("lib/systemd/system/pharos.service");
    done(Command::new("stat").args(["-c", "%Y"]).arg(unit)).trim_end().to_string()
}

fn lintian(package: &Path) {
    let Some(lintian) = needs::program("lintian", "lintian") else { return };
    let said = run(Command::new(lintian).args(["--fail-on", "error", "--tag-display-limit", "0"]).arg(package));
    assert!(said.status.success(), "{}", text(&said.stdout));
}

/// Unpacked, the unit is one for systemd and names files of the package.
fn content(package: &Path) {
    let folder = tempfile::tempdir().unwrap();
    done(Command::new("dpkg-deb").arg("-x").arg(package).arg(folder.path()));
    let unit = fs::read_to_string(folder.path().join("lib/systemd/system/pharos.service")).unwrap();
    assert!(unit.contains("\nExecStart=/usr/bin/pharos ") && !unit.contains("=/usr/local"), "{unit}");
    for file in ["docs/operations.md", "examples/registry.k8s.io.toml"] {
        assert!(folder.path().join("usr/share/doc/pharos").join(file).is_file(), "the package has no {file}");
    }
    let conffiles = done(Command::new("dpkg-deb").args(["--info"]).arg(package).arg("conffiles"));
    for file in ["/etc/pharos/pharos.toml", "/etc/pharos/zones/blob.k8s.io.zone", "/etc/pharos/zones/networks/aws.txt"]
    {
        assert!(conffiles.lines().any(|line| line == file), "{conffiles}");
    }
}

/// Installs, upgrades, removes and purges in a copy of this system, of which nothing stays.
fn install(package: &Path) {
    let room = tempfile::tempdir().unwrap();
    let script = r##"
        # Folders for the layer above this system must not be on an overlay themselves.
        mount -t tmpfs tmpfs "$1"; mkdir "$1/upper" "$1/work" "$1/root"
        mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
        mount -t proc proc "$1/root/proc"
        mkdir -p "$1/root/package"; mount -t tmpfs tmpfs "$1/root/package"; cp "$2" "$1/root/package/pharos.deb"
        exec chroot "$1/root" sh -euc '
          export DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin
          # The index of manual pages takes longer than all else here, and `man` does without.
          rm -f /var/lib/man-db/auto-update
          dpkg -i /package/pharos.deb
          getent passwd pharos
          # The unit runs with the group of operators, and reads keys as a member of the other.
          getent group pharos-operators; test "$(getent group pharos | cut -d: -f4)" = pharos
          pharos --config /etc/pharos/pharos.toml check
          man -w pharos-explain
          test "$(stat -c %G /etc/pharos)" = pharos
          systemd-analyze verify /lib/systemd/system/pharos.service
          echo "# ours" >>/etc/pharos/pharos.toml
          dpkg -i --force-confold /package/pharos.deb
          tail -1 /etc/pharos/pharos.toml
          dpkg -r pharos
          test ! -e /usr/bin/pharos; test -e /etc/pharos/pharos.toml
          mkdir -p /var/lib/pharos
          dpkg -P pharos
          test ! -e /etc/pharos/pharos.toml; test ! -e /var/lib/pharos
          echo purged
        ' 2>&1
    "##;
    let Some(output) = in_namespaces(script, &[room.path(), package]) else { return };
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    for expected in ["\npharos:x:", "/man1/pharos-explain.1", "\n# ours\n", "\npurged\n"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}
