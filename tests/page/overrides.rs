//! Overrides from the page: by the pointer, by the keyboard alone, and those that the server refuses.

use serde_json::Value;

use crate::access::SHOWN;
use crate::browser::Browser;
use crate::world::{TOKEN, TWO, World};

#[test]
fn a_drain_from_the_page_is_in_the_list_of_mirrors() {
    let Some(mut browser) = Browser::start() else { return };
    let world = World::start(TWO, &[]);
    browser.open_with_token(&world, "/");
    browser.eval("document.querySelector('[aria-label^=\"Override near\"]').click()");
    assert!(browser.text("#override-hint").contains("Its clients would go to far"));
    browser.write("<b>new</b> disks & fans");
    browser.eval("document.querySelector('#override-until').value = 'soon'");
    browser.eval("document.querySelector('#override-give').click()");
    browser.wait("document.querySelector('#override-fault').innerText");
    assert!(world.json(&["mirror", "list", "near"])["order"].is_null(), "a refused override is not in force");
    browser.eval("document.querySelector('#override-until').value = '2h'");
    browser.eval("document.querySelector('#override-give').click()");
    browser.wait("!document.querySelector('#override-dialog').open");
    let order = world.json(&["mirror", "list", "near"])["order"].clone();
    assert_eq!(
        (&order["order"], &order["reason"], &order["via"]),
        (&"drain".into(), &"<b>new</b> disks & fans".into(), &"token".into())
    );
    assert!(order["until"].is_string());
    browser.wait("document.querySelector('#mirrors').innerText.includes('<b>new</b> disks & fans')");
    let look = browser.text("#look");
    assert!(look.contains("<b>new</b> disks & fans") && look.contains("Its clients go to far."), "{look}");
    assert!(browser.text("#done").contains("near: drained until"));
    // The reading of a client follows.
    browser.eval("explain('198.51.0.0/16')");
    browser.wait("document.querySelector('#answer').innerText.includes('far')");
    browser.eval("document.querySelector('[aria-label^=\"Override near\"]').click()");
    assert_eq!(browser.text("#override-give"), "Remove the override");
    browser.eval("document.querySelector('#override-give').click()");
    browser.wait("!document.querySelector('#look').innerText.includes('new')");
    assert_eq!(world.json(&["mirror", "list", "near"])["order"], Value::Null);
    // The explanation is that of the new generation.
    browser.wait("document.querySelector('#answer').innerText.includes('near')");
    assert_eq!(browser.errors_but_refusals(), [""; 0]);
}

#[test]
fn the_keyboard_alone_drains_a_mirror_and_explains_a_cell() {
    let Some(mut browser) = Browser::start() else { return };
    let world = World::start(TWO, &[]);
    browser.open(&world.url("/"));
    browser.wait("document.querySelector('#token-dialog').open");
    browser.write(TOKEN);
    browser.press("Enter", false);
    browser.wait(SHOWN);
    browser.tab_to("#family [aria-pressed=false]");
    browser.press("Enter", false);
    browser.wait("document.querySelector('#space-sub').innerText.includes('/24')");
    browser.press("Tab", true);
    assert_eq!(browser.eval("document.activeElement.innerText"), "IPv4");
    browser.press(" ", false);
    browser.wait("document.querySelector('#space-sub').innerText.includes('/16')");
    browser.tab_to("#map canvas");
    browser.press("Home", false);
    assert_eq!(browser.text("#cell"), "0.0.0.0/16: far (the default)");
    browser.press("ArrowRight", false);
    assert!(browser.text("#cell").starts_with("0.1.0.0/16: "));
    browser.press("ArrowDown", true);
    let cell = browser.text("#cell");
    browser.press("Enter", false);
    let prefix = cell.split_once(": ").unwrap().0.to_string();
    browser.wait(&format!(
        "document.querySelector('#client').value === '{prefix}' && location.hash === '#client={prefix}'"
    ));
    browser.tab_to("#client");
    browser.press("End", false);
    browser.call("Input.dispatchKeyEvent", serde_json::json!({ "type": "rawKeyDown", "key": "a", "windowsVirtualKeyCode": 65, "modifiers": 2, "commands": ["selectAll"] }));
    browser.write("203.0.1.0/24");
    browser.press("Enter", false);
    browser.wait("document.querySelector('#answer').innerText.includes('near')");
    // The focus is where the reader left it, though the page asks the server again.
    browser.tab_to("[aria-label^='Override near']");
    browser.wait("samples.length > 2");
    assert_eq!(browser.eval("document.activeElement.getAttribute('aria-label')"), "Override near…");
    browser.press("Enter", false);
    browser.wait("document.querySelector('#override-dialog').open");
    browser.write("by keyboard");
    browser.press("Enter", false);
    browser.wait("!document.querySelector('#override-dialog').open");
    let order = world.json(&["mirror", "list", "near"])["order"].clone();
    assert_eq!((&order["order"], &order["reason"]), (&"drain".into(), &"by keyboard".into()));
    browser.wait("document.querySelector('#look').innerText.includes('by keyboard')");
    assert_eq!(
        browser.eval("document.activeElement.getAttribute('aria-label')"),
        "Override near…",
        "the focus is back"
    );
    assert_eq!(browser.errors_but_refusals(), [""; 0]);
}
