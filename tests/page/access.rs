//! The requests of the page, its policy, the token, and a server that is gone.

use crate::browser::Browser;
use crate::world::{TOKEN, TWO, World, of_the_feeds};

/// The page has data, and the address space is drawn.
pub(crate) const SHOWN: &str = "!document.querySelector('#data').hidden && document.querySelector('#legend').children.length \
                         && document.querySelector('#answer').innerText";

impl Browser {
    /// Opens the page, and gives the token if the page asks for it.
    #[track_caller]
    pub(crate) fn open_with_token(&mut self, world: &World, path: &str) {
        self.open(&world.url(path));
        self.wait(&format!("document.querySelector('#token-dialog').open || ({SHOWN})"));
        if self.eval("document.querySelector('#token-dialog').open") == true {
            self.give_token(TOKEN);
        }
        self.wait(SHOWN);
    }

    fn give_token(&mut self, token: &str) {
        self.eval("document.querySelector('#token').focus()");
        self.write(token);
        self.press("Enter", false);
    }
}

#[test]
fn the_page_asks_its_own_server_alone_and_breaks_no_policy() {
    let (Some(mut browser), Some(rest)) = (Browser::start(), of_the_feeds()) else { return };
    let world = World::start_without_token(&rest, &[]);
    let (head, page) = world.get("/");
    let policy = head.lines().find(|line| line.starts_with("content-security-policy: ")).unwrap();
    for part in [
        "default-src 'none';",
        "script-src 'sha256-",
        "style-src 'sha256-",
        "connect-src 'self';",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe") && head.contains("x-content-type-options: nosniff"), "{head}");
    assert!(page.len() <= 88 << 10 && !page.contains("aws-us-east-1"), "the page holds no data");
    browser.open_with_token(&world, "/");
    browser.eval("document.querySelectorAll('#family button')[1].click()");
    browser.wait("document.querySelector('#space-sub').innerText.includes('/24')");
    browser.wait("state.history && state.sources && samples.length > 1");
    assert_eq!(browser.errors(), [""; 0]);
    let (own, asked) = (world.url("/"), browser.requests());
    assert!(asked.iter().all(|url| url.starts_with(&own) || url.starts_with("data:")), "{asked:?}");
    assert!(asked.len() > 10, "{asked:?}");
    // The browser would refuse what a hostile text could bring.
    browser
        .eval("document.body.append(Object.assign(document.createElement('img'), { src: 'https://192.0.2.1/x.png' }))");
    browser.eval("const script = document.createElement('script'); script.textContent = 'window.broken = true'; document.body.append(script)");
    assert_eq!(browser.eval("window.broken === undefined"), true);
    browser.wait("document.querySelector('img').complete");
    assert!(!browser.errors().is_empty(), "the policy refuses both");
}

#[test]
fn the_token_is_asked_for_once_and_again_when_the_server_refuses_it() {
    let Some(mut browser) = Browser::start() else { return };
    let world = World::start(TWO, &[]);
    browser.open(&world.url("/"));
    browser.wait("document.querySelector('#token-dialog').open");
    assert_eq!(browser.eval("document.querySelector('#data').hidden"), true, "nothing is shown without the token");
    browser.give_token("wrong");
    browser.wait("document.querySelector('#token-fault').innerText.includes('refuses')");
    browser.give_token("not ascii: λ");
    assert!(browser.text("#token-fault").contains("ASCII"));
    browser.eval("document.querySelector('#token').value = ''");
    browser.give_token(TOKEN);
    browser.wait(SHOWN);
    assert!(browser.text("#server").contains("generation 1"));
    assert_eq!(browser.eval("document.cookie + localStorage.length"), "0", "only the session of the tab has it");
    // A reload of the page is no reason to ask again.
    browser.open(&world.url("/"));
    browser.wait(SHOWN);
    assert_eq!(browser.eval("document.querySelector('#token-dialog').open"), false);
    // A new token on the server is one.
    world.write("admin.token", "fedcba9876543210fedcba9876543210");
    assert_eq!(world.run(&["reload"]).status.code(), Some(0));
    browser.wait("document.querySelector('#token-dialog').open");
    browser.press("Escape", false);
    browser.wait("document.querySelector('#notice').innerText.includes('token')");
    browser.eval("document.querySelector('#notice button').click()");
    browser.wait("document.querySelector('#token-dialog').open");
    browser.give_token("fedcba9876543210fedcba9876543210");
    browser.wait("!document.querySelector('#notice').innerText");
}

#[test]
fn without_a_token_the_page_shows_the_command_to_type() {
    let Some(mut browser) = Browser::start() else { return };
    let world = World::start_without_token(TWO, &[]);
    browser.open_with_token(&world, "/");
    browser.eval("document.querySelector('[aria-label^=\"Override near\"]').click()");
    browser.write("it's new disks");
    let command = browser.text("#override-command");
    assert_eq!(command, "pharos mirror drain near --reason 'it'\\''s new disks'");
    assert_eq!(browser.eval("document.querySelector('#override-give').checkVisibility()"), false);
    // A shell reads it as it is meant.
    let typed = command.replacen("pharos", "\"$0\" --config \"$1\"", 1);
    let mut shell = std::process::Command::new("sh");
    let done = shell.args(["-c", &typed, env!("CARGO_BIN_EXE_pharos")]).arg(world.config()).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    assert_eq!(world.json(&["mirror", "list", "near"])["order"]["reason"], "it's new disks");
    browser.wait("document.querySelector('#look').innerText.includes('it\\'s new disks')");
    assert_eq!(browser.errors(), [""; 0]);
}

#[test]
fn a_server_that_is_gone_is_said_to_be_with_the_age_of_what_is_shown_and_found_again() {
    let Some(mut browser) = Browser::start() else { return };
    let mut world = World::start_without_token(TWO, &[]);
    browser.open_with_token(&world, "/");
    world.stop();
    browser.wait("/does not answer.*is \\d+ s old/.test(document.querySelector('#notice').innerText)");
    assert!(browser.text("#mirrors").contains("near"), "the last state stays");
    browser.eval("explain('192.0.2.1')");
    browser.wait("document.querySelector('#answer').innerText.includes('does not answer')");
    world.start_again();
    browser.wait("!document.querySelector('#notice').innerText");
    assert!(browser.text("#server").contains("generation 1"));
}

#[test]
fn a_server_that_starts_or_is_drained_is_said_to_be() {
    let Some(mut browser) = Browser::start() else { return };
    let world = World::start_without_token(TWO, &[]);
    browser.open_with_token(&world, "/");
    // A server answers 503 for an instant alone, so that the reply is made here.
    browser.eval(
        "const real = fetch; fetch = async () => new Response('{\"error\":\"the server is starting\",\"help\":null}', \
         { status: 503 }); poll(); 0",
    );
    browser.wait("document.querySelector('#notice').innerText.startsWith('The server is starting.')");
    browser.eval("fetch = real; 0");
    browser.wait("!document.querySelector('#notice').innerText");
    let done = world.run(&["server", "drain", "--reason", "kernel update"]);
    assert!(done.status.success(), "{done:?}");
    browser.wait("/out of service.*Drained for “kernel update”/s.test(document.querySelector('#look').innerText)");
    assert!(browser.text("#tiles").contains("Ready\nno\n"), "{}", browser.text("#tiles"));
    assert!(browser.eval("document.title").as_str().unwrap().starts_with("(1) Pharos"));
    assert_eq!(browser.errors(), [""; 0]);
}

#[test]
fn without_scripts_the_page_leads_to_a_plain_table() {
    let Some(mut browser) = Browser::start() else { return };
    let world = World::start_without_token(TWO, &[]);
    browser.call("Emulation.setScriptExecutionDisabled", serde_json::json!({ "value": true }));
    browser.call("Page.navigate", serde_json::json!({ "url": world.url("/") }));
    // Timers do not run either, so that the wait is here.
    while browser.eval("document.readyState === 'complete' && location.protocol === 'http:'") != true {}
    assert!(
        browser.eval("document.body.innerText").as_str().unwrap().trim().starts_with("This page draws with JavaScript")
    );
    let link = browser.eval("document.querySelector('noscript a').getAttribute('href')");
    assert_eq!(link, "/mirrors?as=html");
    let (head, table) = world.get(link.as_str().unwrap());
    assert!(head.contains("text/html") && table.contains("<td>near"), "{head} {table}");
}
