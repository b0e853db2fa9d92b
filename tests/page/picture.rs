//! The picture of the address space, and explanations.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::world::{World, of_the_feeds};

/// Cells to compare.
const CELLS: usize = 1000;

/// The point of a place on a Hilbert curve through 256 × 256 points, by the definition with four copies of the curve.
fn point(place: u32) -> (u32, u32) {
    fn within(size: u32, place: u32) -> (u32, u32) {
        if size == 1 {
            return (0, 0);
        }
        let (half, quarter) = (size / 2, size * size / 4);
        let (x, y) = within(half, place % quarter);
        match place / quarter {
            0 => (y, x),
            1 => (x, y + half),
            2 => (x + half, y + half),
            _ => (size - 1 - y, half - 1 - x),
        }
    }
    within(256, place)
}

/// The words of a cell: what a reader sees beside the pointer.
fn words_of_cells(browser: &mut Browser, cells: &[u32]) -> Vec<String> {
    let points: Vec<_> = cells.iter().map(|cell| point(*cell)).collect();
    let script = format!(
        "(() => {{ const top = document.querySelector('#map canvas + canvas'), box = top.getBoundingClientRect(); \
         return {}.map(([x, y]) => {{ top.dispatchEvent(new MouseEvent('mousemove', {{ clientX: box.left + (x + .5) * box.width / 256, \
         clientY: box.top + (y + .5) * box.width / 256 }})); return document.querySelector('#tip').innerText.replace('\\n', ': '); }}); }})()",
        json!(points)
    );
    browser.eval(&script).as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_string()).collect()
}

/// The mirrors that may be the first of a cell, by its explanation: that of the largest part of a rule, or several with parts as
/// large; without a rule that of the default.
fn first_mirrors(explanation: &Value) -> Vec<String> {
    let steered = &explanation["steered"];
    let Some(parts) = steered["shares"].as_array().filter(|parts| !parts.is_empty()) else {
        return vec![explanation["answers"][0]["mirrors"][0].as_str().unwrap().to_string()];
    };
    let mut sums: BTreeMap<(bool, &str), f64> = BTreeMap::new();
    for part in parts {
        let key = (!part["rule"]["rule"].is_null(), part["mirrors"][0].as_str().unwrap());
        *sums.entry(key).or_default() += part["part"].as_f64().unwrap();
    }
    let has_rules = sums.keys().any(|(is_rule, _)| *is_rule);
    let candidates: Vec<_> = sums.iter().filter(|((is_rule, _), _)| *is_rule == has_rules).collect();
    let most = candidates.iter().map(|(_, sum)| **sum).fold(0.0, f64::max);
    candidates.iter().filter(|(_, sum)| **sum == most).map(|((_, mirror), _)| mirror.to_string()).collect()
}

#[test]
fn cells_are_the_table() {
    let (Some(mut browser), Some(rest)) = (Browser::start(), of_the_feeds()) else { return };
    let world = World::start_without_token(&rest, &[]);
    browser.open_with_token(&world, "/");
    // Half of them are anywhere, and half where rules decide, because most of the space is the default's.
    let ruled = browser.eval("[...state.spaces[4][0].plan.keys()].filter(c => state.spaces[4][0].plans[state.spaces[4][0].plan[c]].kind === 'rule')");
    let ruled: Vec<u32> = ruled.as_array().unwrap().iter().map(|cell| cell.as_u64().unwrap() as u32).collect();
    assert!(ruled.len() > 1500, "{}", ruled.len());
    let mut seed = 7u32;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((u64::from(seed) * below as u64) >> 32) as usize
    };
    let pick = |at: usize| if at < CELLS / 2 { random(65_536) as u32 } else { ruled[random(ruled.len())] };
    let cells: Vec<u32> = (0..CELLS).map(pick).collect();
    let mut by_rules = 0;
    for (cell, words) in cells.iter().zip(words_of_cells(&mut browser, &cells)) {
        let prefix = format!("{}.{}.0.0/16", cell >> 8, cell & 255);
        let explanation = world.get_json(&format!("/explain?client={prefix}"));
        let said =
            words.strip_prefix(&format!("{prefix}: ")).unwrap_or_else(|| panic!("{prefix} is elsewhere: {words}"));
        let why = explanation["steered"]["located"]["why"].as_str().unwrap();
        if said.starts_with("reserved") {
            assert!(why.contains("reserved"), "{words}: {why}");
            continue;
        }
        let first = first_mirrors(&explanation);
        assert!(first.iter().any(|first| said.starts_with(&**first)), "{words}: {first:?} {explanation}");
        by_rules += usize::from(!said.contains("(the default)"));
    }
    assert!(by_rules > CELLS / 3, "{by_rules}");
}

#[test]
fn a_click_explains_the_cell_as_the_command_line_does() {
    let (Some(mut browser), Some(rest)) = (Browser::start(), of_the_feeds()) else { return };
    let world = World::start_without_token(&rest, &[]);
    browser.open_with_token(&world, "/");
    // A cell of a rule, one of the default, and two that are reserved.
    for (client, decided) in [
        ("3.80.0.0/16", "aws-us-east-1"),
        ("8.8.0.0/16", "fallback"),
        ("10.1.0.0/16", "fallback"),
        ("127.0.0.0/16", "fallback"),
    ] {
        let octets: Vec<u32> = client.split('.').take(2).map(|octet| octet.parse().unwrap()).collect();
        let (x, y) = point(octets[0] * 256 + octets[1]);
        browser.eval("document.querySelector('#map').scrollIntoView({ block: 'center' })");
        let place = browser
            .eval("(box => [box.left, box.top, box.width])(document.querySelector('#map').getBoundingClientRect())");
        let of = |at: usize| place[at].as_f64().unwrap();
        let before = browser.requests().iter().filter(|url| url.contains("/explain")).count();
        browser.click(of(0) + (f64::from(x) + 0.5) * of(2) / 256.0, of(1) + (f64::from(y) + 0.5) * of(2) / 256.0);
        browser.wait(&format!(
            "state.explained?.subnet === '{client}' && document.querySelector('#answer .big').innerText.trim() === '{decided}'"
        ));
        let asked = browser.requests().iter().filter(|url| url.contains("/explain")).count();
        assert_eq!(asked - before, 1, "a request each time");
        let by_page = browser.eval("state.explained");
        let mut by_command = world.json(&["explain", client, "--server"]);
        // A note has the age of the snapshot.
        by_command["notes"] = by_page["notes"].clone();
        assert_eq!(by_page, by_command);
        assert_eq!(browser.eval("location.hash"), format!("#client={client}"));
        // The words of the scope are those of the server.
        let why = by_command["steered"]["scope"]["why"].as_str().unwrap();
        assert!(browser.text("#steps").contains(why), "{why}");
    }
    // The mark and the enlarged /8 follow.
    browser.eval("explain('3.80.1.0/24')");
    browser.wait("document.querySelector('#zoom-title').innerText === '3.0.0.0/8'");
    assert!(browser.text("#zoom-sub").contains("3.80.0.0 to 3.95.255.255"));
    assert_eq!(browser.eval("String([map.mark.first, map.mark.last])"), "55574528,56623103");
    let words = browser.eval("zoom.text(zoom.pointOf(4, parseAddress('3.80.1.0')))");
    assert_eq!(words, "3.80.1.0/24: aws-us-east-1, then fallback");
    assert_eq!(browser.errors(), [""; 0]);
}

#[test]
fn the_address_of_the_page_restores_an_explanation_of_either_family() {
    let (Some(mut browser), Some(rest)) = (Browser::start(), of_the_feeds()) else { return };
    let world = World::start_without_token(&rest, &[]);
    browser.open_with_token(&world, "/#client=2600:1f18::/33");
    browser.wait("document.querySelector('#answer').innerText.includes('aws-us-east-1')");
    browser.wait("document.querySelector('#space-sub').innerText.includes('/24')");
    browser.wait("document.querySelector('#zoom-title').innerText === '2600:1f00::/24'");
    // A cell of IPv6 is what its explanation says.
    let cell = browser
        .eval("(at => [map.text(at), cellPrefix(...map.find(at))])(map.pointOf(6, parseAddress('2600:1f18::')))");
    let prefix = cell[1].as_str().unwrap();
    assert_eq!(prefix, "2600:1f00::/24");
    let mirrors = first_mirrors(&world.get_json(&format!("/explain?client={prefix}")));
    let said = cell[0].as_str().unwrap();
    assert!(mirrors.iter().any(|one| said.starts_with(&format!("{prefix}: {one}"))), "{cell}: {mirrors:?}");
    // Another fragment, as a reader pastes it, and one that is no client.
    browser.eval("location.hash = '#client=13.34.0.0/16'");
    browser.wait("document.querySelector('#client').value === '13.34.0.0/16' && document.querySelector('#zoom-title').innerText === '13.0.0.0/8'");
    assert_eq!(browser.errors(), [""; 0]);
    browser.eval("location.hash = '#client=%3Cb%3Enobody%3C/b%3E'");
    browser.wait("document.querySelector('#answer').innerText.includes('cannot be understood')");
    assert_eq!(browser.eval("document.querySelector('#answer b')"), Value::Null);
}

#[test]
fn a_cell_has_the_colour_of_its_mirror() {
    let (Some(mut browser), Some(rest)) = (Browser::start(), of_the_feeds()) else { return };
    let world = World::start_without_token(&rest, &[]);
    browser.open_with_token(&world, "/");
    for (address, mirror) in
        [("3.80.0.0", "aws-us-east-1"), ("34.76.0.0", "gcp-europe-west1"), ("54.64.0.0", "aws-ap-northeast-1")]
    {
        // The middle of the cell's square on the canvas, against the swatch in the table.
        let script = format!(
            "(() => {{ const size = map.ground.width / 256, [x, y] = map.pointOf(4, parseAddress('{address}')); \
             const pixel = map.ground.getContext('2d').getImageData((x + .5) * size, (y + .5) * size, 1, 1).data; \
             state.isAll = true; showMirrors(); const row = document.querySelector('[data-mirror=\"{mirror}\"] .sw'); \
             return [`rgb(${{pixel[0]}}, ${{pixel[1]}}, ${{pixel[2]}})`, getComputedStyle(row).backgroundColor]; }})()"
        );
        let colours = browser.eval(&script);
        assert_eq!(colours[0], colours[1], "{mirror}");
    }
}
