//! `pharos status`: shows the state of the running server in a few lines.
//!
//! **Invariants**: it prints the server's answer, and decides nothing.
//! **Not here**: asking ([`super::server`]), the content of the answer ([`crate::control`]).

use hyper::Method;

use super::CommandResult;
use super::fleet;
use super::layout::{Colour, HEADS, Layout, Page};
use super::locate::ConfigLocation;
use super::server::AskOptions;
use crate::base::when::span;
use crate::control::client::ControlQuestion;
use crate::control::view::{
    CertificateView, CredentialView, FetchView, PanicView, RefusedView, SourceView, StatusView, TroubleView,
    UnwrittenView, ZoneView,
};
use crate::inspect::words;
use crate::telemetry::acme::PeerStanding;

/// Arguments of `pharos status`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    asking: AskOptions,
}

/// Asks the server, prints the answer, and returns the exit code.
pub(super) fn run(config: &ConfigLocation, args: &Args) -> CommandResult {
    args.asking.show(config, ControlQuestion::new(Method::GET, "/status"), text)
}

/// The digits of a digest that are shown: enough to compare two servers.
const DIGITS: usize = 16;

fn text(view: &StatusView, layout: Layout) -> String {
    let mut page = Page::new(layout, HEADS);
    state(&mut page, view);
    configuration(&mut page, view);
    mirrors(&mut page, view);
    sources(&mut page, view);
    certificates(&mut page, view);
    challenges(&mut page, view);
    view.fleet.iter().for_each(|fleet| fleet::add(&mut page, fleet));
    overrides(&mut page, view);
    troubles(&mut page, view);
    page.text
}

fn zone_row(zone: &ZoneView) -> Vec<String> {
    let serial = zone.serial.map_or_else(|| "not available".to_string(), |serial| format!("serial {serial}"));
    vec![zone.name.clone(), serial]
}

fn network_row(source: &SourceView) -> Vec<String> {
    let age = source.age_seconds.map(span);
    let age = match (&source.fetch, age) {
        (Some(FetchView { pinned: true, .. }), Some(age)) => format!("pinned, {age} old"),
        (Some(FetchView { held_back: true, .. }), Some(age)) => format!("taken back, {age} old"),
        (Some(FetchView { checked: None, .. }), Some(age)) => format!("not fetched, {age} old"),
        (Some(FetchView { checked_by: Some(server), .. }), Some(age)) => format!("checked {age} ago by {server}"),
        (Some(_), Some(age)) => format!("checked {age} ago"),
        (Some(_), None) => "not fetched yet".to_string(),
        (None, Some(age)) => format!("{age} old"),
        (None, None) => String::new(),
    };
    vec![source.source.clone(), age, source.file.clone()]
}

fn certificate_row(certificate: &CertificateView) -> Vec<String> {
    let distance = span(certificate.seconds_left.unsigned_abs());
    let text = match certificate.seconds_left {
        0.. => format!("ends {} ({distance} left)", certificate.ends),
        _ => format!("ended {} ({distance} ago)", certificate.ends),
    };
    vec![certificate.listener.clone(), text]
}

fn credential_row(credential: &CredentialView) -> Vec<String> {
    let set = match credential.last_set_seconds {
        Some(secs) => format!("last challenge {} ago", span(secs)),
        None => "no challenge yet".to_string(),
    };
    let ends = credential.certificate_ends.as_ref().map(|ends| format!(", certificate ends {ends}"));
    vec![credential.credential.clone(), format!("{}: {set}{}", credential.mirror, ends.unwrap_or_default())]
}

fn acme_peer_row(peer: &PeerStanding) -> Vec<String> {
    let state = peer.behind.as_ref().map_or_else(|| "has all tokens".to_string(), |why| format!("behind: {why}"));
    vec![peer.address.to_string(), state]
}

fn state(page: &mut Page, view: &StatusView) {
    let state = match view.obstacle.as_deref() {
        None => "serving",
        // The next line has the whole override.
        Some(obstacle) if view.drain.is_some() && obstacle.starts_with("drained") => {
            "drained, queries are still answered"
        }
        Some(obstacle) => obstacle,
    };
    let colour = if view.obstacle.is_none() { Colour::Good } else { Colour::Bad };
    let uptime = span(view.uptime_seconds);
    page.line("state", format!("{state}, pharos {}, up for {uptime}", view.version), Some(colour));
}

fn configuration(page: &mut Page, view: &StatusView) {
    if !view.config.is_empty() {
        page.line("configuration", &view.config, None);
    }
    if let Some(start) = view.config_digest.get(..DIGITS) {
        page.line("", format!("SHA-256 {start}…, served since {}", view.config_since), None);
    }
    if let Some(reload) = &view.reload {
        let text = match &reload.refused {
            None => format!("succeeded at {}", reload.at),
            Some(what) if reload.in_part => format!("succeeded in part at {}: {what}", reload.at),
            Some(why) => format!("failed at {}, and the configuration before it is served: {why}", reload.at),
        };
        page.line("last reload", text, reload.refused.as_ref().map(|_| Colour::Bad));
    }
    for key in &view.restart_keys {
        let text = format!("`{key}` has changed; the value of the start stays until a restart");
        page.line("needs restart", text, Some(Colour::Doubtful));
    }
}

fn mirrors(page: &mut Page, view: &StatusView) {
    let age = span(view.generation_age_seconds);
    page.line("generation", format!("{}, published {age} ago", view.generation), None);
    let colour = match view.mirrors_up {
        // Without probes, mirrors count as up but may be down: no colour.
        up if up == view.mirrors => view.probed.then_some(Colour::Good),
        0 => Some(Colour::Bad),
        _ => Some(Colour::Doubtful),
    };
    let (up, all) = (view.mirrors_up, view.mirrors);
    let text = if view.probed {
        format!("{up} of {all} up")
    } else {
        format!("not probed, {up} of {all} count as up: probes need `[probe]`")
    };
    page.line("mirrors", text, colour);
}

fn sources(page: &mut Page, view: &StatusView) {
    page.table("zones", view.zones.iter().map(zone_row), |_, _, cell| (cell == "not available").then_some(Colour::Bad));
    page.table("networks", view.networks.iter().map(network_row), |_, _, _| None);
    for SourceView { source, fetch, .. } in &view.networks {
        let Some(FetchView { trouble: Some(trouble), since: Some(since), reason: Some(reason), .. }) = fetch else {
            continue;
        };
        let what = if trouble == "refused" { "new content refused" } else { "not fetched" };
        page.line("", format!("{source}: {what} since {since}: {reason}"), Some(Colour::Bad));
    }
}

fn certificates(page: &mut Page, view: &StatusView) {
    page.table("certificates", view.certificates.iter().map(certificate_row), |_, _, cell| {
        cell.starts_with("ended ").then_some(Colour::Bad)
    });
    for CertificateView { listener, refused, .. } in &view.certificates {
        if let Some(RefusedView { since, error }) = refused {
            let text = format!("{listener}: the new certificate is not served since {since}, the old one is: {error}");
            page.line("", text, Some(Colour::Bad));
        }
    }
}

fn challenges(page: &mut Page, view: &StatusView) {
    page.table("credentials", view.credentials.iter().map(credential_row), |_, _, _| None);
    page.table("acme peers", view.acme_peers.iter().map(acme_peer_row), |_, _, cell| {
        cell.starts_with("behind: ").then_some(Colour::Bad)
    });
}

fn overrides(page: &mut Page, view: &StatusView) {
    if let Some(drain) = &view.drain {
        page.line("drain", words::whole_override(drain), Some(Colour::Doubtful));
    }
    for panic @ PanicView { horizon, family, .. } in &view.panics {
        let cause = panic.cause();
        let text = format!("{horizon} ({family}): most mirrors do not answer{cause}; mirrors that are down are given");
        page.line("panic", text, Some(Colour::Bad));
    }
    for ordered in &view.orders {
        let text = format!("{}: {}", ordered.mirror, words::whole_override(&ordered.order));
        page.line("override", text, Some(Colour::Doubtful));
    }
}

fn troubles(page: &mut Page, view: &StatusView) {
    for TroubleView { mirror, contact, address } in &view.troubles {
        let reason = address.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let colour = if address.health == "up" { Colour::Doubtful } else { Colour::Bad };
        page.line("trouble", format!("{mirror}: {}{reason}", words::trouble(address)), Some(colour));
        for (head, text) in [("help", &address.remedy), ("contact", contact)] {
            if let Some(text) = text {
                page.line("", format!("{head}: {text}"), None);
            }
        }
    }
    for UnwrittenView { file, error, since, .. } in &view.unwritten {
        page.line("state file", format!("{file}: not written since {since}: {error}"), Some(Colour::Bad));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::expected::assert_both_widths;

    fn view() -> StatusView {
        let text = include_str!("status.json");
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn no_word_is_broken_at_80_and_120_columns() {
        assert_both_widths("expected", "status", |layout| text(&view(), layout));
    }

    #[test]
    fn mirrors_that_are_not_probed_are_not_green() {
        let view = StatusView { probed: false, mirrors_up: 2, ..view() };
        let text = text(&view, Layout::coloured(120));
        assert!(text.contains("mirrors       not probed, 2 of 2 count as up: probes need `[probe]`\n"), "{text}");
    }

    #[test]
    fn colours_tell_good_from_bad_and_change_no_text() {
        let coloured = text(&view(), Layout::coloured(120));
        assert!(coloured.contains("\x1b[33m1 of 2 up\x1b[0m"), "{coloured}");
        assert!(coloured.contains("\x1b[31mfailed at 2026-01-31T18:00:00Z"), "{coloured}");
        let plain = coloured.replace("\x1b[31m", "").replace("\x1b[32m", "").replace("\x1b[33m", "");
        assert_eq!(plain.replace("\x1b[0m", ""), text(&view(), Layout::plain(120)));
    }
}
