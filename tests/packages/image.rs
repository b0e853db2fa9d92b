//! The container image: the same twice, and a process started from it answers dig and curl.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use super::{deploy, done, in_namespaces, needs, run, text};

#[test]
fn an_image_is_the_same_twice_and_answers() {
    for (program, package) in [("buildah", "buildah"), ("dig", "bind9-dnsutils"), ("curl", "curl")] {
        if needs::program(program, package).is_none() {
            return;
        }
    }
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = tempfile::tempdir().unwrap();
    let options = format!("--root {0}/root --runroot {0}/run --storage-driver vfs", store.path().display());
    let make = |out: &Path| run(deploy("image", out).env("BUILDAH_OPTIONS", &options));
    let made = make(one.path());
    let said = text(&made.stderr);
    if !made.status.success() && (said.contains("permitted") || said.contains("permission") || said.contains("subuid"))
    {
        return needs::skip(format!("buildah may not make an image here: {said}"));
    }
    assert!(made.status.success(), "{said}");
    assert!(make(other.path()).status.success());
    let file = text(&made.stdout);
    let file = Path::new(file.trim_end());
    let again = other.path().join(file.file_name().unwrap());
    let buildah = |arguments: &[&str]| {
        let mut command = Command::new("buildah");
        done(command.args(options.split(' ')).args(arguments)).trim_end().to_string()
    };
    let from = |file: &Path| buildah(&["from", &format!("oci-archive:{}", file.display())]);
    let (container, second) = (from(file), from(&again));
    let id = |container: &str| buildah(&["inspect", "--format", "{{.FromImageID}}", container]);
    assert_eq!(id(&container), id(&second), "two runs make two images");
    let inspected: serde_json::Value = serde_json::from_str(&buildah(&["inspect", &container])).unwrap();
    let config = &inspected["OCIv1"]["config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"], serde_json::json!(["/usr/bin/pharos"]));
    assert!(config["ExposedPorts"].get("5300/udp").is_some(), "{config}");
    let root = buildah(&["mount", &container]);
    let roots = fs::metadata(Path::new(&root).join("etc/ssl/certs/ca-certificates.crt")).unwrap();
    assert!(roots.len() > 10_000, "probes need the roots of public authorities");
    for folder in ["var/lib/pharos", "run/pharos"] {
        let owner = fs::metadata(Path::new(&root).join(folder)).unwrap().uid();
        assert_eq!(owner, 65532, "{folder} has to be writable");
    }
    ask(Path::new(&root), config);
}

/// Starts the command of the image as the user of the image, and asks it.
fn ask(root: &Path, config: &serde_json::Value) {
    let words = config["Entrypoint"].as_array().unwrap().iter().chain(config["Cmd"].as_array().unwrap());
    let command: Vec<&str> = words.map(|word| word.as_str().unwrap()).collect();
    let script = format!(
        r#"
        chroot --userspec="{}" "$1" {} & server=$!
        until curl -sf http://127.0.0.1:9153/ready; do kill -0 $server; sleep 0.1; done
        dig @127.0.0.1 -p 5300 blob.k8s.io +short +subnet=3.80.1.0/24
        dig @127.0.0.1 -p 5300 blob.k8s.io +short +tcp +subnet=34.76.8.0/24
        curl -s -o /dev/null -w '%{{http_code}} %{{redirect_url}}\n' http://127.0.0.1:8080/v2/pause/manifests/3.9
        grep ^Uid /proc/$server/status
        kill $server; wait $server
        "#,
        config["User"].as_str().unwrap(),
        command.join(" ")
    );
    let Some(output) = in_namespaces(&script, &[root]) else { return };
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    for expected in [
        "ready\n",
        "\n192.0.2.10\n",
        "\n198.51.100.20\n",
        "\n307 https://us-central1-docker.pkg.dev/v2/k8s-artifacts-prod/images/pause/manifests/3.9\n",
        "\nUid:\t65532\t65532\t",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}
