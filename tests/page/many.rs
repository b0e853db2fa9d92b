//! Two hundred mirrors and fifteen networks.

use std::fmt::Write as _;
use std::time::Instant;

use crate::browser::Browser;
use crate::world::World;

const MIRRORS: usize = 200;
const NETWORKS: usize = 15;

/// The most requests until everything is shown: page, status, mirrors, history, sources, the space, an explanation, its /8; the icon
/// is part of the page. The second poll may come in between, with two more.
const MAX_REQUESTS: usize = 10;

/// The most bytes of all responses until then: 84 KiB of page; the rest is mostly the list of mirrors.
const MAX_BYTES: u64 = 400 << 10;

/// A configuration with a rule for each mirror, and lists of networks.
fn config() -> (String, Vec<(String, String)>) {
    let (mut text, mut rules, mut lists) = (String::from("[networks]\n"), String::new(), vec![String::new(); NETWORKS]);
    for network in 0..NETWORKS {
        let _ = writeln!(text, "net{network} = {{ list = \"net{network}.txt\", provider = \"cloud{network}\" }}");
    }
    for at in 0..MIRRORS {
        let network = at % NETWORKS;
        let _ = writeln!(text, "[mirrors.m{at}]\naddresses = [\"198.18.0.{at}\", \"2001:db8::{at:x}\"]");
        let _ = writeln!(
            rules,
            "  {{ provider = \"cloud{network}\", network = \"net{network}\", label = \"region-{at}\", mirrors = [\"m{at}\", \"m{}\"] }},",
            (at + 1) % MIRRORS
        );
        for block in 0..20 {
            let number = at * 20 + block;
            let _ = writeln!(lists[network], "{}.{}.0.0/17 region-{at}", 11 + number / 250, number % 250);
        }
    }
    let _ = writeln!(text, "[horizons.blobs]\nrules = [\n{rules}]\ndefault = [\"m0\"]");
    let files = lists.into_iter().enumerate().map(|(at, list)| (format!("net{at}.txt"), list));
    (text, files.collect())
}

#[test]
fn many_mirrors_take_few_requests_and_few_bytes() {
    let Some(mut browser) = Browser::start() else { return };
    let (rest, files) = config();
    let files: Vec<_> = files.iter().map(|(name, text)| (&**name, &**text)).collect();
    let world = World::start_without_token(&rest, &files);
    let start = Instant::now();
    browser.open_with_token(&world, "/");
    browser.wait("state.sources && !document.querySelector('#zoom').hidden");
    let (took, asked, bytes) = (start.elapsed(), browser.requests(), browser.received());
    let asked: Vec<_> = asked.iter().filter(|url| url.starts_with("http")).collect();
    println!(
        "shown after {} ms with the dialog for the token, {} requests, {bytes} bytes",
        took.as_millis(),
        asked.len()
    );
    assert!(asked.len() <= MAX_REQUESTS, "{asked:#?}");
    assert!(bytes <= MAX_BYTES, "{bytes}");
    // A part of them is shown, and all on demand.
    let shown = browser.eval("document.querySelectorAll('#mirrors tr').length").as_u64().unwrap();
    assert!(shown < 40, "{shown}");
    browser.eval("document.querySelector('#mirrors-foot button').click()");
    assert_eq!(browser.eval("document.querySelectorAll('#mirrors tr').length"), MIRRORS);
    assert_eq!(browser.eval("document.querySelectorAll('#sources tbody tr').length"), NETWORKS);
    // Each provider has a hue of its own, and each mirror a colour.
    let hues = browser
        .eval("new Set(colours.groups.map(group => group.provider + group.colour)).size === colours.groups.length");
    assert_eq!((hues, browser.eval("colours.byMirror.size")), (true.into(), MIRRORS.into()));
    browser.wait("document.querySelector('#legend').innerText.includes('more providers')");
    // The same names have the same hues after a reload of the page, which now knows the token.
    let before = browser.eval("JSON.stringify([...colours.byMirror])");
    let mut took = Vec::new();
    for _ in 0..5 {
        browser.open_with_token(&world, "/");
        browser.wait("state.sources && !document.querySelector('#zoom').hidden");
        took.push(browser.eval("Math.round(performance.now())").as_u64().unwrap());
        assert_eq!(browser.eval("JSON.stringify([...colours.byMirror])"), before);
    }
    println!("shown again after {took:?} ms, by the clock of the page");
    assert_eq!(browser.errors(), [""; 0]);
}
