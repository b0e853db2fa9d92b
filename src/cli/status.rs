//! `pharos status`: shows the state of the running server in a few lines.
//!
//! **Invariants**: it prints the server's answer, and decides nothing.
//! **Not here**: asking ([`super::server`]), the content of the answer ([`crate::control`]).

use std::time::Duration;

use hyper::Method;

use super::fleet;
use super::layout::{Colour, Layout};
use super::locate::ConfigLocation;
use super::server::AskOptions;
use super::{OK, put};
use crate::control::client::ControlQuestion;
use crate::control::view::{
    CertificateView, CredentialView, FetchView, PanicView, RefusedView, SourceView, StatusView, TroubleView,
    UnwrittenView, ZoneView,
};
use crate::inspect::words;
use crate::telemetry::acme::PeerStanding;
use crate::tls::span;

/// Arguments of `pharos status`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    asking: AskOptions,
}

/// Asks the server, prints the answer, and returns the exit code.
pub(super) fn run(config: &ConfigLocation, args: &Args) -> u8 {
    let question = ControlQuestion { method: Method::GET, target: "/status".into(), body: String::new() };
    let view: StatusView = match args.asking.server(config).and_then(|server| server.ask(question)) {
        Ok(view) => view,
        Err(code) => return code,
    };
    put(&args.asking.printed(&view, || text(&view, Layout::of_stdout())), OK)
}

/// The digits of a digest that are shown: enough to compare two servers.
const DIGITS: usize = 16;

/// The width of the heads, in columns.
const INDENT: usize = 14;

fn text(view: &StatusView, layout: Layout) -> String {
    let mut page = StatusPage { text: String::new(), layout };
    page.state(view);
    page.configuration(view);
    page.mirrors(view);
    page.sources(view);
    page.certificates(view);
    page.challenges(view);
    page.text += &view.fleet.as_ref().map(|fleet| fleet::text(fleet, layout)).unwrap_or_default();
    page.overrides(view);
    page.troubles(view);
    page.text
}

fn zone_row(zone: &ZoneView) -> Vec<String> {
    let serial = zone.serial.map_or_else(|| "not available".to_string(), |serial| format!("serial {serial}"));
    vec![zone.name.clone(), serial]
}

fn network_row(source: &SourceView) -> Vec<String> {
    let age = source.age_seconds.map(|secs| span(Duration::from_secs(secs)));
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
    let distance = span(Duration::from_secs(certificate.seconds_left.unsigned_abs()));
    let text = match certificate.seconds_left {
        0.. => format!("ends {} ({distance} left)", certificate.ends),
        _ => format!("ended {} ({distance} ago)", certificate.ends),
    };
    vec![certificate.listener.clone(), text]
}

fn credential_row(credential: &CredentialView) -> Vec<String> {
    let set = match credential.last_set_seconds {
        Some(secs) => format!("last challenge {} ago", span(Duration::from_secs(secs))),
        None => "no challenge yet".to_string(),
    };
    let ends = credential.certificate_ends.as_ref().map(|ends| format!(", certificate ends {ends}"));
    vec![credential.credential.clone(), format!("{}: {set}{}", credential.mirror, ends.unwrap_or_default())]
}

fn acme_peer_row(peer: &PeerStanding) -> Vec<String> {
    let state = peer.behind.as_ref().map_or_else(|| "has all tokens".to_string(), |why| format!("behind: {why}"));
    vec![peer.address.to_string(), state]
}

/// Lines after heads; a repeated head is printed once.
struct StatusPage {
    text: String,
    layout: Layout,
}

impl StatusPage {
    fn state(&mut self, view: &StatusView) {
        let state = match view.obstacle.as_deref() {
            None => "serving",
            // The next line has the whole override.
            Some(obstacle) if view.drain.is_some() && obstacle.starts_with("drained") => {
                "drained, queries are still answered"
            }
            Some(obstacle) => obstacle,
        };
        let colour = if view.obstacle.is_none() { Colour::Good } else { Colour::Bad };
        let uptime = span(Duration::from_secs(view.uptime_seconds));
        self.line("state", &format!("{state}, pharos {}, up for {uptime}", view.version), Some(colour));
    }

    fn configuration(&mut self, view: &StatusView) {
        if !view.config.is_empty() {
            self.line("configuration", &view.config, None);
        }
        if let Some(start) = view.config_digest.get(..DIGITS) {
            self.line("", &format!("SHA-256 {start}…, served since {}", view.config_since), None);
        }
        if let Some(reload) = &view.reload {
            let (text, colour) = match &reload.refused {
                None => (format!("succeeded at {}", reload.at), None),
                Some(what) if reload.in_part => {
                    (format!("succeeded in part at {}: {what}", reload.at), Some(Colour::Bad))
                }
                Some(why) => (
                    format!("failed at {}, and the configuration before it is served: {why}", reload.at),
                    Some(Colour::Bad),
                ),
            };
            self.line("last reload", &text, colour);
        }
        for key in &view.restart_keys {
            let text = format!("`{key}` has changed; the value of the start stays until a restart");
            self.line("needs restart", &text, Some(Colour::Doubtful));
        }
    }

    fn mirrors(&mut self, view: &StatusView) {
        let age = span(Duration::from_secs(view.generation_age_seconds));
        self.line("generation", &format!("{}, published {age} ago", view.generation), None);
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
        self.line("mirrors", &text, colour);
    }

    fn sources(&mut self, view: &StatusView) {
        self.table("zones", view.zones.iter().map(zone_row).collect(), |_, cell| {
            (cell == "not available").then_some(Colour::Bad)
        });
        self.table("networks", view.networks.iter().map(network_row).collect(), |_, _| None);
        for SourceView { source, fetch, .. } in &view.networks {
            let Some(FetchView { trouble: Some(trouble), since: Some(since), reason: Some(reason), .. }) = fetch else {
                continue;
            };
            let what = if trouble == "refused" { "new content refused" } else { "not fetched" };
            self.line("", &format!("{source}: {what} since {since}: {reason}"), Some(Colour::Bad));
        }
    }

    fn certificates(&mut self, view: &StatusView) {
        self.table("certificates", view.certificates.iter().map(certificate_row).collect(), |_, cell| {
            cell.starts_with("ended ").then_some(Colour::Bad)
        });
        for CertificateView { listener, refused, .. } in &view.certificates {
            if let Some(RefusedView { since, error }) = refused {
                let text =
                    format!("{listener}: the new certificate is not served since {since}, the old one is: {error}");
                self.line("", &text, Some(Colour::Bad));
            }
        }
    }

    fn challenges(&mut self, view: &StatusView) {
        self.table("credentials", view.credentials.iter().map(credential_row).collect(), |_, _| None);
        self.table("acme peers", view.acme_peers.iter().map(acme_peer_row).collect(), |_, cell| {
            cell.starts_with("behind: ").then_some(Colour::Bad)
        });
    }

    fn overrides(&mut self, view: &StatusView) {
        if let Some(drain) = &view.drain {
            self.line("drain", &words::whole_override(drain), Some(Colour::Doubtful));
        }
        for panic @ PanicView { horizon, family, .. } in &view.panics {
            let cause = panic.cause();
            let text =
                format!("{horizon} ({family}): most mirrors do not answer{cause}; mirrors that are down are given");
            self.line("panic", &text, Some(Colour::Bad));
        }
        for ordered in &view.orders {
            let text = format!("{}: {}", ordered.mirror, words::whole_override(&ordered.order));
            self.line("override", &text, Some(Colour::Doubtful));
        }
    }

    fn troubles(&mut self, view: &StatusView) {
        for TroubleView { mirror, contact, address } in &view.troubles {
            let reason = address.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            let colour = if address.health == "up" { Colour::Doubtful } else { Colour::Bad };
            self.line("trouble", &format!("{mirror}: {}{reason}", words::trouble(address)), Some(colour));
            for (head, text) in [("help", &address.remedy), ("contact", contact)] {
                if let Some(text) = text {
                    self.line("", &format!("{head}: {text}"), None);
                }
            }
        }
        for UnwrittenView { file, error, since, .. } in &view.unwritten {
            self.line("state file", &format!("{file}: not written since {since}: {error}"), Some(Colour::Bad));
        }
    }

    fn line(&mut self, head: &str, text: &str, colour: Option<Colour>) {
        self.table(head, vec![vec![text.to_string()]], |_, _| colour);
    }

    fn table(&mut self, head: &str, rows: Vec<Vec<String>>, colour: impl Fn(usize, &str) -> Option<Colour>) {
        self.text += &self.layout.table(head, INDENT, &rows, |_, column, cell| colour(column, cell));
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
