//! `ci-simulate.sh` and the workflow around it, in a repository with a branch that is served and changes to it.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::common::needs;

const SCRIPT: &str = include_str!("../../deploy/examples/ci-simulate.sh");
const WORKFLOW: &str = include_str!("../../deploy/examples/ci-simulate.yml");

const CONFIG: &str = r#"
[dns]
listen = ["127.0.0.1:5353"]
[[zone]]
name  = "blob.example"
file  = "blob.zone"
steer = [{ owner = "@", horizon = "blobs", ttl = 60 }]
[networks]
clients = { list = "clients.txt" }
[mirrors]
near = { addresses = "93.184.216.34" }
far  = { addresses = "93.184.216.35" }
[horizons.blobs]
rules   = [{ network = "clients", label = "west", mirrors = ["near"] }]
default = ["far"]
"#;
const ZONE: &str =
    "$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\n@ NS ns2\nns A 93.184.216.1\nns2 A 93.184.216.2\n";
/// 65,536 addresses, and 256.
const CLIENTS: &str = "40.1.0.0/16 west\n40.2.0.0/24 west\n";

/// A repository whose branch `main` has the configuration, at a change that is not committed yet.
struct Repository {
    folder: TempDir,
}

impl Repository {
    /// `None` if git is not installed, which is counted.
    fn new() -> Option<Self> {
        needs::program("git", "git")?;
        let repository = Repository { folder: TempDir::new().unwrap() };
        repository.git(&["init", "--quiet", "--initial-branch", "main"]);
        for (file, text) in
            [("pharos.toml", CONFIG), ("blob.zone", ZONE), ("clients.txt", CLIENTS), ("ci/simulate.sh", SCRIPT)]
        {
            repository.write(file, text);
        }
        repository.commit();
        // The workflow asks for the branch as it is at the origin.
        repository.git(&["update-ref", "refs/remotes/origin/main", "main"]);
        repository.git(&["checkout", "--quiet", "-b", "change"]);
        Some(repository)
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn git(&self, arguments: &[&str]) {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=a", "-c", "user.email=a@example.net"]).args(arguments);
        let output = command.current_dir(self.folder.path()).output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "a change"]);
    }

    /// Runs the step of the workflow, as its runner does, and returns the result and the text of `simulate.json`.
    fn run_step(&self) -> (Output, String) {
        let step = WORKFLOW.lines().find_map(|line| line.trim().strip_prefix("run: sh ")).unwrap();
        let share = WORKFLOW.lines().find_map(|line| line.trim().strip_prefix("MAX_MOVED: ")).unwrap();
        let mut command = Command::new("sh");
        command.args(["-e", "-c", &format!("sh {step}")]).current_dir(self.folder.path());
        command.env("GITHUB_BASE_REF", "main").env("MAX_MOVED", share).env("PHAROS", env!("CARGO_BIN_EXE_pharos"));
        let output = command.output().unwrap();
        (output, std::fs::read_to_string(self.folder.path().join("simulate.json")).unwrap())
    }

    /// The exit code of the step, the moved addresses of IPv4, and the words on standard error.
    fn outcome(&self) -> (Option<i32>, Option<f64>, String) {
        let (output, json) = self.run_step();
        let moved = serde_json::from_str::<Value>(&json).ok();
        let moved = moved.and_then(|json| json["horizons"][0]["families"][0]["moved"].as_f64());
        (output.status.code(), moved, String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

#[test]
fn a_change_that_moves_few_clients_passes() {
    let Some(repository) = Repository::new() else { return };
    repository.write("clients.txt", "40.1.0.0/16 west\n");
    repository.commit();
    let (code, moved, said) = repository.outcome();
    assert_eq!((code, moved), (Some(0), Some(256.0)), "{said}");
}

#[test]
fn a_change_that_moves_many_clients_fails() {
    let Some(repository) = Repository::new() else { return };
    // A slip that `check` cannot see: the label still has entries.
    repository.write("clients.txt", "40.1.0.0/24 west\n40.2.0.0/24 west\n");
    repository.commit();
    let (code, moved, said) = repository.outcome();
    assert_eq!((code, moved), (Some(1), Some(65_280.0)), "{said}");
}

#[test]
fn a_change_with_a_warning_fails_before_it_is_simulated() {
    let Some(repository) = Repository::new() else { return };
    repository.write("pharos.toml", &CONFIG.replace("label = \"west\"", "label = [\"west\", \"weste\"]"));
    repository.commit();
    let (code, moved, said) = repository.outcome();
    assert_eq!((code, moved), (Some(1), None), "{said}");
    assert!(said.contains("[unknown-label]"), "{said}");
}

#[test]
fn a_change_is_compared_with_the_commit_at_which_it_left_the_branch() {
    let Some(repository) = Repository::new() else { return };
    repository.write("README", "a change of no file that is served\n");
    repository.commit();
    // Meanwhile, the branch moves many clients.
    repository.git(&["checkout", "--quiet", "main"]);
    repository.write("clients.txt", "40.3.0.0/16 west\n");
    repository.commit();
    repository.git(&["update-ref", "refs/remotes/origin/main", "main"]);
    repository.git(&["checkout", "--quiet", "change"]);
    let (code, moved, said) = repository.outcome();
    assert_eq!((code, moved), (Some(0), Some(0.0)), "{said}");
}

#[test]
fn a_configuration_that_is_new_has_nothing_to_compare_with() {
    let Some(repository) = Repository::new() else { return };
    let folder: &Path = repository.folder.path();
    repository.git(&["checkout", "--quiet", "main"]);
    repository.git(&["rm", "--quiet", "pharos.toml"]);
    repository.commit();
    repository.git(&["update-ref", "refs/remotes/origin/main", "main"]);
    repository.git(&["checkout", "--quiet", "-B", "change"]);
    std::fs::write(folder.join("pharos.toml"), CONFIG).unwrap();
    repository.commit();
    let (code, moved, said) = repository.outcome();
    assert_eq!((code, moved), (Some(0), None), "{said}");
    assert!(said.contains("pharos.toml is new"), "{said}");
}
