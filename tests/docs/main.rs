//! The documentation against the program: every relative link is alive, and every fence of a covered page is run or
//! loaded by a test, or has the reason why no test does (`no-test="…"` in its info string).
//!
//! `PAGES` has each page with the test that uses its fences.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected is to fail")]
#![allow(clippy::print_stderr, reason = "the counts are shown, and what was skipped")]

mod archeio;
mod cli;
#[path = "../common/mod.rs"]
mod common;
mod dnssec;
mod gdnsd;
mod install;
mod knot;
mod limits;
mod links;
mod migrate;
mod mirror_owner;
mod operations;
mod page;
mod powerdns;
mod process;
mod readme;
mod reference;
mod shell;

use page::Page;

/// Makes a test of each page, and the list of all.
macro_rules! pages {
    ($($test:ident: $path:literal by $run:path;)*) => {
        /// Pages whose every fence is used by a test, or says why not.
        const PAGES: &[&str] = &[$($path),*];

        $(#[test]
        fn $test() {
            let page = Page::open($path);
            $run(&page);
            let unused = page.unused();
            assert!(unused.is_empty(), "{}", unused.join("\n"));
        })*
    };
}

pages! {
    archeio_is_replaced_as_its_page_says: "docs/migrate-from-archeio.md" by archeio::run;
    gdnsd_answers_as_its_page_says: "docs/migrate-from-gdnsd.md" by gdnsd::run;
    knot_answers_as_its_page_says: "docs/migrate-from-knot-geoip.md" by knot::run;
    powerdns_answers_as_its_page_says: "docs/migrate-from-powerdns.md" by powerdns::run;
    installing_goes_as_its_page_says: "docs/install.md" by install::run;
    mirrors_of_every_recipe_are_verified: "docs/run-a-mirror.md" by mirror_owner::run;
    the_readme_is_run: "README.md" by readme::run;
    examples_of_the_configuration_are_read: "docs/configuration.md" by reference::run_with_servers;
    operations_go_as_their_page_says: "docs/operations.md" by operations::run;
    the_demonstration_is_in_concepts: "docs/concepts.md" by concepts;
    feeds_go_as_their_page_says: "docs/feeds.md" by feeds;
    the_command_line_is_that_of_help: "docs/cli.md" by cli::run;
    limits_are_those_of_the_sources: "docs/limits.md" by limits::run;
    architecture_has_a_picture_alone: "docs/architecture.md" by picture;
    security_model_has_nothing_to_run: "docs/security.md" by nothing;
    contributing_shows_parts_of_sources: "CONTRIBUTING.md" by parts_of_sources;
    the_changelog_has_nothing_to_run: "CHANGELOG.md" by nothing;
    security_has_nothing_to_run: "SECURITY.md" by nothing;
    compliance_has_nothing_to_run: "docs/compliance.md" by nothing;
    warnings_has_nothing_to_run: "docs/warnings.md" by nothing;
    differences_have_nothing_to_run: "docs/differences.md" by nothing;
    metrics_have_nothing_to_run: "docs/metrics.md" by nothing;
    mirrors_have_nothing_to_run: "docs/mirrors.md" by nothing;
    the_status_page_has_nothing_to_run: "docs/status-page.md" by nothing;
    examples_of_fleets_are_read: "docs/fleet.md" by reference::run;
    zones_are_signed_as_their_page_says: "docs/dnssec.md" by dnssec::run;
    growth_has_nothing_to_run: "docs/growth.md" by nothing;
}

/// At most one fence in this many is not used by a test.
const UNUSED_ONE_IN: usize = 5;

/// A page without fences.
fn nothing(page: &Page) {
    assert!(page.fences.is_empty(), "{}: it has fences by now", page.path.display());
}

/// The example of sources is read, and a feed that was cut short is refused.
fn feeds(page: &Page) {
    reference::run(page);
    let folder = tempfile::tempdir().unwrap();
    Page::open("README.md").write_files(folder.path(), |_, text| text.to_string());
    std::fs::write(folder.path().join("ip-ranges.json"), readme::AWS).unwrap();
    page.claim_all("bad").iter().for_each(|fence| shell::run(page, fence, folder.path(), &[]));
}

/// A page whose fences are pictures.
fn picture(page: &Page) {
    page.claim_all("picture");
}

/// A page whose fences are parts of source files.
fn parts_of_sources(page: &Page) {
    let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for fence in page.claim_all("part-of") {
        let file = fence.info.get("part-of").unwrap();
        let source = std::fs::read_to_string(page::root().join(file)).unwrap();
        assert!(
            squeezed(&source).contains(&squeezed(&fence.text)),
            "{}:{}: not in {file}",
            page.path.display(),
            fence.line
        );
    }
}

/// `tests/first_steps.rs` compares the demonstration with this page.
fn concepts(page: &Page) {
    page.claim_all("picture");
    page.claim("demo");
}

#[test]
fn every_fence_is_used_by_a_test_or_counted() {
    let (mut used, mut unused) = (0, 0);
    for path in links::pages() {
        let page = Page::open(&path);
        let path = path.to_str().unwrap();
        assert!(PAGES.contains(&path), "{path} has no test in `PAGES`");
        for fence in &page.fences {
            match fence.info.get("no-test") {
                Some(reason) => {
                    eprintln!("{path}:{}: not run: {reason}", fence.line);
                    unused += 1;
                }
                None => used += 1,
            }
        }
    }
    eprintln!("{used} fences are used by tests, {unused} are not");
    assert!(unused * UNUSED_ONE_IN <= used + unused, "{unused} of {} fences are not run", used + unused);
}

#[test]
fn a_fence_without_a_test_is_found() {
    let unused = |text: &str| Page::parse("docs/x.md".as_ref(), text).unused();
    let no_test = ["docs/x.md:1: no test runs or loads this fence"];
    assert!(unused("no fence at all\n").is_empty());
    assert_eq!(unused("```toml\na = 1\n```\n"), no_test);
    assert_eq!(unused("~~~\nwithout a language\n~~~\n"), no_test);
    assert!(unused("```toml no-test=\"needs systemd\"\na = 1\n```\n").is_empty());
    assert_eq!(unused("```toml no-test=\"\"\na = 1\n```\n"), ["docs/x.md:1: `no-test` needs a reason"]);
    let page = Page::parse("docs/x.md".as_ref(), "```toml run no-test=\"needs root\"\n```\n");
    page.claim("run");
    assert_eq!(page.unused(), ["docs/x.md:1: `no-test` on a fence that a test uses"]);
}
