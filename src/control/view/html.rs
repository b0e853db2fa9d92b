//! The table of mirrors as a page without scripts and styles, for browsers that run none.
//!
//! **Invariants**: every text in it is escaped, because labels, reasons and names of certificates come from operators, mirrors and
//! files.
//! **Not here**: the policy of the page ([`crate::control`]).

use std::fmt::Write as _;

use super::{MirrorDetailView, MirrorsView};
use crate::inspect::view::{AddressView, OverrideView};

/// The page.
pub(in crate::control) fn mirrors_page(view: &MirrorsView) -> String {
    let mut page = String::from(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Pharos: mirrors</title>\n<h1>Mirrors</h1>\n",
    );
    // Writing to a String cannot fail.
    let _ = writeln!(page, "<p>Generation {}.</p>\n<table border=\"1\">", view.generation);
    page.push_str(
        "<tr><th>Mirror<th>Address<th>Health<th>Since<th>Last probe<th>Reason<th>Certificate ends<th>Override<th>Answers\n",
    );
    view.mirrors.iter().for_each(|mirror| add_mirror(&mut page, mirror));
    for gone in &view.gone {
        let cells = [&*gone.mirror, "not configured", "", "", "", "", "", &*override_text(&gone.order), ""];
        add_row(&mut page, &cells);
    }
    page.push_str("</table>\n</html>\n");
    page
}

/// Adds a row for each address of a mirror, or one if it has none.
fn add_mirror(page: &mut String, mirror: &MirrorDetailView) {
    let name = match &mirror.contact {
        Some(contact) => format!("{} ({contact})", mirror.mirror),
        None => mirror.mirror.clone(),
    };
    let order = mirror.order.as_ref().map(override_text).unwrap_or_default();
    let answers = mirror.answers.map(|answers| answers.to_string()).unwrap_or_default();
    if mirror.addresses.is_empty() {
        add_row(page, &[&name, "none", "", "", "", "", "", &order, &answers]);
    }
    for address in &mirror.addresses {
        let AddressView { address, health, verdict, since, reason, certificate_ends, .. } = address;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let (since, reason, ends) = (text(since), text(reason), text(certificate_ends));
        let verdict = verdict.as_deref().unwrap_or("not probed");
        add_row(page, &[&name, address, health, &since, verdict, &reason, &ends, &order, &answers]);
    }
}

fn override_text(order: &OverrideView) -> String {
    let until = order.until.as_ref().map(|until| format!(" until {until}")).unwrap_or_default();
    format!("{}{until}: {} ({})", order.order, order.reason, order.who)
}

fn add_row(page: &mut String, cells: &[&str]) {
    page.push_str("<tr>");
    for cell in cells {
        page.push_str("<td>");
        escape(page, cell);
    }
    page.push('\n');
}

fn escape(page: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => page.push_str("&amp;"),
            '<' => page.push_str("&lt;"),
            '>' => page.push_str("&gt;"),
            '"' => page.push_str("&quot;"),
            '\'' => page.push_str("&#39;"),
            other => page.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::OverriddenView;
    use super::*;

    #[test]
    fn nothing_in_a_cell_is_markup() {
        const HOSTILE: &str = "</td><script>alert('1')</script>\"&amp;";
        let order = OverrideView {
            order: "drain".into(),
            reason: HOSTILE.into(),
            who: HOSTILE.into(),
            via: None,
            uid: None,
            since: HOSTILE.into(),
            until: Some(HOSTILE.into()),
        };
        let address = AddressView {
            against: None,
            servers: None,
            address: HOSTILE.into(),
            health: HOSTILE.into(),
            verdict: Some(HOSTILE.into()),
            protocols: Default::default(),
            since: Some(HOSTILE.into()),
            reason: Some(HOSTILE.into()),
            remedy: Some(HOSTILE.into()),
            certificate_ends: Some(HOSTILE.into()),
        };
        let mirror = MirrorDetailView {
            mirror: HOSTILE.into(),
            contact: Some(HOSTILE.into()),
            order: Some(order.clone()),
            horizons: vec![HOSTILE.into()],
            addresses: vec![address],
            answers: Some(7),
            share: None,
            place: Default::default(),
        };
        let gone = vec![OverriddenView { mirror: HOSTILE.into(), order }];
        let page = mirrors_page(&MirrorsView { generation: 1, mirrors: vec![mirror], gone });
        assert!(!page.contains("<script") && !page.contains("</td>") && !page.contains("alert('"), "{page}");
        let escaped = "&lt;/td&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot;&amp;amp;";
        assert!(page.matches(escaped).count() >= 10, "{page}");
    }
}
