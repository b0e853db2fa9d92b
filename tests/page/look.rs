//! Reading the page: names for screen readers, contrast, narrow and wide windows, and hostile text.

use std::io::Write as _;
use std::net::TcpListener;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::browser::{Browser, DESK};
use crate::world::{TOKEN, TWO, World, of_the_feeds};

/// The roles of elements that a reader operates or that show something; each must have a name.
const NAMED: [&str; 8] = ["application", "button", "dialog", "image", "link", "radio", "region", "textbox"];

/// The least contrast of text (WCAG 2.2, 1.4.3).
const CONTRAST: f64 = 4.5;

/// The contrast of each text that is seen, as pairs of text and ratio, the least first.
const CONTRASTS: &str = r"(() => {
  const parse = text => { const all = text.match(/[\d.]+/g).map(Number); return all.length < 4 ? [...all, 1] : all; };
  const over = (top, under) => [0, 1, 2].map(at => top[at] * top[3] + under[at] * (1 - top[3]));
  const light = colour => { const [r, g, b] = colour.map(v => (v / 255 <= .04045 ? v / 255 / 12.92 : ((v / 255 + .055) / 1.055) ** 2.4)); return .2126 * r + .7152 * g + .0722 * b; };
  const ground = element => { const layers = []; for (let at = element; at; at = at.parentElement) { const one = parse(getComputedStyle(at).backgroundColor); layers.push(one); if (one[3] === 1) break; }
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255]); };
  const found = [], add = (text, element, style, colour) => { const under = ground(element), top = over(parse(colour), under), [a, b] = [light(top), light(under)].sort((x, y) => y - x);
    found.push([`${text.trim().slice(0, 60)} (${element.tagName} ${element.className.baseVal ?? element.className})`, (a + .05) / (b + .05)]); };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const text = walk.currentNode, element = text.parentElement, style = getComputedStyle(element);
    if (!text.data.trim() || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true }) || !element.getClientRects().length) continue;
    if (element.tagName === 'title') continue;
    add(text.data, element, style, element.ownerSVGElement ? style.fill : style.color);
  }
  for (const input of document.querySelectorAll('input[placeholder]')) if (input.checkVisibility()) add(input.placeholder, input, 0, getComputedStyle(input, '::placeholder').color);
  return found.sort((x, y) => x[1] - y[1]); })()";

/// A server with sentences, overrides and an unreadable source, on a page whose tables are unfolded.
fn rich(browser: &mut Browser) -> Option<World> {
    let world = World::start(&of_the_feeds()?, &[]);
    for (mirror, word) in [("aws-eu-west-1", "drain"), ("gcp-us-east4", "down"), ("aws-sa-east-1", "up")] {
        let done = world.run(&["mirror", word, mirror, "--reason", "a test", "--until", "2h"]);
        assert!(done.status.success(), "{done:?}");
    }
    let rest = of_the_feeds()?.replace("default = [\"fallback\"]", "default = [\"falback\"]");
    world.write_config(&rest);
    assert!(!world.run(&["reload"]).status.success(), "a refused reload is a sentence");
    browser.open_with_token(&world, "/");
    browser.wait("state.history && !document.querySelector('#zoom').hidden && document.querySelector('#look').innerText.includes('reload')");
    Some(world)
}

#[test]
fn everything_that_is_operated_has_a_name() {
    let Some(mut browser) = Browser::start() else { return };
    let Some(_world) = rich(&mut browser) else { return };
    let check = |browser: &mut Browser, least: usize| {
        let names = browser.names();
        let named: Vec<_> = names.iter().filter(|(role, _)| NAMED.contains(&&**role)).collect();
        assert!(named.len() >= least, "{named:?}");
        let without: Vec<_> = named.iter().filter(|(_, name)| name.trim().is_empty()).collect();
        assert!(without.is_empty(), "{without:?}");
        names
    };
    let names = check(&mut browser, 40);
    for (role, name) in
        [("textbox", "Address or subnet of a client"), ("button", "Override aws-eu-west-1…"), ("heading", "Mirrors")]
    {
        assert!(names.contains(&(role.into(), name.into())), "{role} {name}");
    }
    assert!(
        names
            .iter()
            .any(|(role, name)| role == "application" && name.starts_with("IPv4, a point is a /16: arrow keys"))
    );
    assert!(names.iter().any(|(role, name)| role == "image" && name.starts_with("24 hours: ")), "a strip in words");
    browser.eval("openOverride('aws-eu-west-1')");
    let names = check(&mut browser, 8);
    assert!(names.contains(&("textbox".into(), "Reason".into())), "{names:?}");
    browser.eval("document.querySelector('#override-dialog').close(); askToken('x').catch(() => 0); 0");
    let names = check(&mut browser, 4);
    assert!(names.contains(&("textbox".into(), "Token".into())), "{names:?}");
}

#[test]
fn text_has_contrast_in_light_and_dark() {
    let Some(mut browser) = Browser::start() else { return };
    let Some(_world) = rich(&mut browser) else { return };
    for scheme in ["light", "dark"] {
        browser.scheme(scheme);
        let is_dark = browser.eval("getComputedStyle(document.body).backgroundColor") == "rgb(12, 17, 23)";
        assert_eq!(is_dark, scheme == "dark");
        let states = [
            "0",
            "document.querySelectorAll('#colour button')[1].click()",
            "tip('3.0.0.0/16: here', { clientX: 9, clientY: 9 })",
            "openOverride('aws-eu-west-1'); document.querySelector('#override-fault').textContent = 'refused'; 0",
            "document.querySelector('#override-dialog').close(); fault = new TypeError('x'); showNotice(); document.querySelector('#done').append(Object.assign(document.createElement('div'), { className: 'notice good', textContent: 'done' })); 0",
            "fault = new Refused(503, 'starting'); showNotice(); 0",
            "askToken('The server refuses this token.').catch(() => 0); 0",
            "document.querySelector('#token-dialog').close(); document.querySelectorAll('#colour button')[2].click()",
        ];
        for state in states {
            browser.eval(state);
            let all = browser.eval(CONTRASTS);
            let all = all.as_array().unwrap();
            assert!(all.len() > 5, "{state}");
            let low: Vec<_> = all.iter().filter(|one| one[1].as_f64().unwrap() < CONTRAST).collect();
            assert!(low.is_empty(), "{scheme}, {state}: {low:#?}");
        }
        browser.eval(&format!(
            "sessionStorage.setItem(TOKEN, '{TOKEN}'); document.querySelector('#done').replaceChildren(); poll(); 0"
        ));
    }
}

#[test]
fn no_window_scrolls_sideways() {
    let Some(mut browser) = Browser::start() else { return };
    let Some(_world) = rich(&mut browser) else { return };
    for client in ["3.80.1.0/24", "2600:1f18::/33", "10.1.2.3"] {
        browser.eval(&format!("explain('{client}')"));
        browser.wait(&format!("state.client === '{client}' && !document.querySelector('#zoom').hidden"));
        for width in [320, 360, 768, 1440, 2560] {
            browser.size((width, 900));
            // Two frames, so that the layout is that of the new size.
            browser.eval("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))");
            let wide = browser.eval("[document.documentElement.scrollWidth, document.body.scrollWidth]");
            assert_eq!(wide, serde_json::json!([width, width]), "{client}");
            let out = browser.eval(
                "[...document.querySelectorAll('main *')].filter(one => one.checkVisibility() && !one.closest('thead, svg') \
                 && one.getBoundingClientRect().right > innerWidth + 1).map(one => one.outerHTML.slice(0, 99))",
            );
            assert_eq!(out, serde_json::json!([]), "{width}");
            // The picture is square, and as wide as its card.
            let picture = browser
                .eval("(box => [box.width, box.height])(document.querySelector('#map').getBoundingClientRect())");
            let [x, y] = [0, 1].map(|at| picture[at].as_f64().unwrap());
            assert!((x - y).abs() < 1.5 && x > 230.0, "{width}: {picture}");
        }
    }
    browser.size(DESK);
    assert_eq!(browser.errors_but_refusals(), [""; 0]);
}

/// Markup that would set `broken` and load an image.
const HOSTILE: &str = "<img src=x onerror=broken=1>";

/// A mirror that presents a certificate for a hostile name. It runs until the test ends.
fn mirror_of(name: &str) -> (u16, String) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_string()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let chain: Vec<CertificateDer<'static>> = vec![made.cert.der().clone()];
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut tls = rustls::ServerConnection::new(config.clone()).unwrap();
            while tls.is_handshaking() && tls.complete_io(&mut stream).is_ok() {}
            let _ = stream.flush();
        }
    });
    (port, made.cert.pem())
}

#[test]
fn hostile_text_from_feeds_operators_and_certificates_stays_text() {
    let Some(mut browser) = Browser::start() else { return };
    let (port, root) = mirror_of(&format!("{HOSTILE}.example"));
    let feed = format!(
        "{{\"syncToken\":\"1\",\"createDate\":\"2026-01-01-00-00-00\",\"prefixes\":[{{\"ip_prefix\":\"198.51.0.0/16\",\"region\":\"{HOSTILE}\",\
         \"service\":\"AMAZON\",\"network_border_group\":\"{HOSTILE}\"}}],\"ipv6_prefixes\":[]}}"
    );
    let rest = TWO
        .replace("sites = { list = \"sites.txt\" }", "aws = { feed = \"aws\", file = \"feed.json\" }")
        .replace("network = \"sites\"", "provider = \"aws\"")
        .replace("[\"192.0.2.10\"]", "[\"127.0.0.1\"]")
        + &format!(
            "[probe]\nname = \"blob.example\"\nport = {port}\ninterval = \"200ms\"\nretry = \"200ms\"\nroots = \"root.pem\"\n"
        );
    let world = World::start(&rest, &[("feed.json", &feed), ("root.pem", &root)]);
    let done = world.run(&["mirror", "drain", "far", "--reason", HOSTILE]);
    assert!(done.status.success(), "{done:?}");
    browser.open_with_token(&world, "/");
    browser.eval("explain('198.51.1.0/24')");
    browser.wait("document.querySelector('#steps').innerText.includes('onerror')");
    browser.wait("document.querySelector('#mirrors').innerText.includes('tls-bad')");
    for (part, text) in [("#steps", HOSTILE), ("#look", HOSTILE), ("#mirrors", HOSTILE)] {
        assert!(browser.text(part).contains(text), "{part}: {}", browser.text(part));
    }
    let look = browser.text("#look");
    let reason = world.get_json("/status")["troubles"][0]["address"]["reason"].as_str().unwrap().to_string();
    assert!(look.to_lowercase().contains(&reason.to_lowercase()), "{look}: {reason}");
    browser.eval("openOverride('far')");
    assert!(browser.text("#override-now").contains(HOSTILE));
    assert_eq!(
        browser.eval("[document.querySelectorAll('img').length, typeof broken]"),
        serde_json::json!([0, "undefined"])
    );
    assert_eq!(browser.errors_but_refusals(), [""; 0]);
}
