//! `docs/configuration.md`: each example is a part of a configuration that is read without an error.

use pharos::base::diagnostic::Style;
use pharos::base::report::report;
use pharos::config;

use super::page::Page;

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
