//! `docs/configuration.md`: each example is a part of a configuration that is read without an error.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use pharos::base::diagnostic::Style;
use pharos::base::report::report;
use pharos::config;

use super::page::Page;
use super::shell;

/// The parts that an example leaves out: each is added if the example has no table with this beginning.
const BASE: [(&str, &str); 5] = [
    ("[dns]", "[dns]\n"),
    (
        "[[zone]]",
        "[[zone]]\nname = \"blob.k8s.io\"\nfile = \"zone\"\nsteer = [{ owner = \"@\", horizon = \"blobs\" }]\n",
    ),
    ("[networks]", "[networks]\noverrides = { list = \"overrides.txt\" }\n"),
    ("[horizons.", "[horizons.blobs]\ndefault = [\"aws-use1\"]\n"),
    ("[mirrors.", ""),
];

/// The mirrors that examples name.
const MIRRORS: [&str; 10] = ["aws-use1", "aws-use2", "aws-euc1", "gcp-us", "gcp-eu", "ams", "rtm", "fra", "par", "lon"];

pub(crate) fn run(page: &Page) {
    for fence in page.claim_all("config") {
        let place = format!("{}:{}", page.path.display(), fence.line);
        if let Err(problems) = config::read(&place, &completed(&fence.text)) {
            panic!("{place}: the example is not read:\n{}", report(&problems, Style::Plain));
        }
    }
}

/// The same, with the two servers of the page.
pub(crate) fn run_with_servers(page: &Page) {
    run(page);
    for server in ["ns1", "ns2"] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        for fence in page.claim_all("pair") {
            let path = fence.info.get("pair").unwrap();
            let (of, file) = path.split_once('/').unwrap_or((server, path));
            if of == server {
                let text = fence.text.replace("/var/lib/pharos/", "");
                // This machine does not have the addresses of the page.
                let text = text.replace("include = ", "allow = [\"absent-address\"]\ninclude = ");
                fs::write(folder.join(file), text).unwrap();
            }
        }
        fs::create_dir(folder.join("keys")).unwrap();
        for (file, fill) in [("keys/peers.key", 1), ("keys/use1.key", 2)] {
            fs::write(folder.join(file), data_encoding::BASE64.encode(&[fill; 32])).unwrap();
            fs::set_permissions(folder.join(file), fs::Permissions::from_mode(0o600)).unwrap();
        }
        let checked = shell::printed("pharos check --deny-warnings", folder);
        assert!(checked.is_ok(), "{server}: {}", checked.unwrap_err());
    }
}

/// An example with everything that it leaves out.
fn completed(example: &str) -> String {
    let missing = BASE.iter().filter(|(table, _)| !example.lines().any(|line| line.starts_with(table)));
    let mut text = missing.fold(example.to_string(), |text, (_, part)| format!("{text}\n{part}"));
    let mirrors = MIRRORS.iter().filter(|name| !example.contains(&format!("[mirrors.{name}]"))).enumerate();
    for (number, name) in mirrors {
        text += &format!("[mirrors.{name}]\naddresses = [\"192.0.2.{number}\"]\nlocation = [50, {number}]\n");
    }
    text
}
