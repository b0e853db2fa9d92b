//! `README.md`: its configuration is loaded, its commands are run; `tests/first_steps.rs` runs the demonstration.

use std::fs;

use super::page::{Page, root};
use super::shell;

/// A feed with one prefix, in the form of the published one.
pub(crate) const AWS: &str = r#"{"syncToken":"1","createDate":"2026-01-01-00-00-00","prefixes":[{"ip_prefix":"3.80.0.0/12",
"region":"us-east-1","service":"AMAZON","network_border_group":"us-east-1"}],"ipv6_prefixes":[]}"#;

/// The limit of the page's length, so that a reader sees all of it.
const MOST_LINES: usize = 150;

/// The rows of the comparison, each with the mirrors of `docs/mirrors.md` that it counts.
const KINDS: [(&str, &[&str]); 4] = [
    (
        "no connection, no TLS, too slow",
        &[
            "no listener",
            "the TLS handshake hangs",
            "connects, and says nothing",
            "a byte now and then",
            "speaks no TLS where TLS should be",
        ],
    ),
    (
        "certificate expired, not yet valid, self-signed, incomplete, for another name",
        &[
            "certificate expired an hour ago",
            "certificate valid in an hour",
            "self-signed certificate",
            "intermediate certificate missing",
            "certificate for another name",
        ],
    ),
    (
        "wrong bytes or encoding; HTTP/2 that fails",
        &[
            "other bytes of the right length",
            "a byte too many",
            "gzip in Content-Encoding alone",
            "selects HTTP/2, and ends the connection",
        ],
    ),
    (
        "ranges ignored or refused; status 200 for a blob that is not there",
        &["ignores range requests", "416 to a range without an end", "200 to everything"],
    ),
];

pub(crate) fn run(page: &Page) {
    assert_comparison(page);
    let lines = fs::read_to_string(root().join(&page.path)).unwrap().lines().count();
    assert!(lines <= MOST_LINES, "{} has {lines} lines, more than {MOST_LINES}", page.path.display());
    page.claim("picture");
    assert_eq!(page.claim("demo-command").text, "cargo run -- demo\n", "tests/first_steps.rs runs `pharos demo`");
    page.claim("demo");
    assert!(root().join(page.claim("tests").text.trim()).exists(), "the command is a file of the repository");
    let folder = tempfile::tempdir().unwrap();
    page.write_files(folder.path(), |_, text| text.replace("192.0.2.53:53", "127.0.0.1:53"));
    fs::write(folder.path().join("ip-ranges.json"), AWS).unwrap();
    page.claim_all("run").iter().for_each(|fence| shell::run(page, fence, folder.path(), &[]));
}

/// The figures of the comparison are those of the pages that it names.
fn assert_comparison(page: &Page) {
    let comparison = page.table("Comparison");
    let row = |of: &str| comparison.rows.iter().find(|row| row[0] == of).unwrap_or_else(|| panic!("no row `{of}`"));
    let measured = Page::open("docs/mirrors.md");
    let measured = measured.table("Faulty mirrors");
    for (kind, mirrors) in KINDS {
        // Behind the mirror and the result of a pull, the columns are in the README's order.
        let left = |column: usize| {
            let rows = mirrors.iter().map(|name| measured.rows.iter().find(|row| row[0] == *name).unwrap());
            rows.filter(|row| row[column] == "leaves it").count()
        };
        let counted = [2, 3, 4].map(|column| format!("{} of {}", left(column), mirrors.len()));
        assert_eq!(row(kind)[1..], counted, "{kind}");
    }
    let benches = Page::open("benches/README.md");
    let mut rows = benches.tables.iter().filter(|table| table.head.len() > 6).flat_map(|table| &table.rows);
    let steered = rows.find(|row| row[0] == "ecs").unwrap();
    let [pharos, gdnsd, powerdns] = [2, 3, 6].map(|column| steered[column].split(' ').next().unwrap());
    assert_eq!(row("CPU time of a steered answer, relative to a UDP echo server")[1..], [pharos, powerdns, gdnsd]);
}
