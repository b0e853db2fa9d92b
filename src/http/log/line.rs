//! A line of the request log, in JSON.
//!
//! **Invariants**: each line has all keys, in one order, and `null` for a value that there is none of; texts of requests are
//! escaped by `serde_json` and no longer than their limits; the line begins with [`LINE_START`].
//! **Not here**: the queue of lines ([`super::writer`]).

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Instant;

use serde_json::to_string;

use crate::base::prefix::Prefix;
use crate::base::special::judged;
use crate::base::text::shortened;
use crate::base::when::rfc3339_millis;
use crate::files::lines::LINE_START;
use crate::process::Clock;
use crate::registry::{RouteReply, RouteTarget, subject};
use crate::steer::RegionName;

/// The longest method in a line, in bytes. A longer one is cut.
const MAX_METHOD_LEN: usize = 16;

/// The longest path in a line, in bytes. A longer one is cut. Only requests without a repository have it.
const MAX_PATH_LEN: usize = 256;

/// The length of most lines.
const USUAL_LEN: usize = 512;

/// The network of a client: the /24 of IPv4, or the /48 of IPv6. An address that embeds IPv4 counts as IPv4, because its /48
/// would be the same for all of these, or have the IPv4 address.
pub(super) fn network_of(address: IpAddr) -> Prefix {
    let address = judged(address);
    Prefix::holding(address, if address.is_ipv4() { 24 } else { 48 })
}

/// The parts of a line that are known when a request arrives.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineHead<'r> {
    /// The method.
    pub(super) method: &'r str,
    /// The path, in its plain form.
    pub(super) path: &'r str,
    /// Provider and region of the client; `None` if the client's address is not known.
    pub(super) name: Option<&'r RegionName>,
    /// The logged part of the client's address.
    pub(super) client: Option<&'r str>,
    /// The trace id.
    pub(super) trace: u128,
}

/// The line of a request that has no reply yet.
#[derive(Debug)]
pub(in crate::http) struct LogLine {
    text: String,
    since: Instant,
    /// The name of the client's first mirror, escaped.
    mirror: Option<String>,
}

impl LogLine {
    /// Begins the line of a request that arrived at `since`.
    pub(super) fn begin(head: &LineHead<'_>, since: Instant) -> Self {
        let mut text = String::with_capacity(USUAL_LEN);
        let subject = subject(head.path);
        // Writing to a String cannot fail.
        let _ =
            write!(text, "{LINE_START}{}\",\"trace\":\"{:032x}\"", rfc3339_millis(Clock::civil_millis()), head.trace);
        let mut value = |key: &str, value: Option<&str>| {
            let _ = write!(text, ",\"{key}\":{}", value.map_or("null".to_string(), escaped));
        };
        value("method", Some(shortened(head.method, MAX_METHOD_LEN)));
        value("kind", Some(subject.kind.as_str()));
        value("repository", subject.repository);
        value("digest", subject.digest);
        value("tag", subject.tag);
        value("path", Some(shortened(head.path, MAX_PATH_LEN)).filter(|_| subject.repository.is_none()));
        let label = |label: &'_ str| Some(label.to_string()).filter(|label| !label.is_empty());
        value("provider", head.name.and_then(|name| label(&name.provider)).as_deref());
        value("region", head.name.and_then(|name| label(&name.region)).as_deref());
        value("client", head.client);
        LogLine { text, since, mirror: None }
    }

    /// Notes the client's first mirror.
    pub(in crate::http) fn note_mirror(&mut self, name: &str) {
        self.mirror = Some(escaped(name));
    }

    /// Ends the line with a reply.
    pub(in crate::http) fn end(mut self, reply: &RouteReply) -> String {
        let outcome = reply.basis.outcome;
        let is_to_mirror = matches!(outcome.target(), RouteTarget::SteeredName | RouteTarget::Mirror);
        let mirror = self.mirror.as_deref().filter(|_| is_to_mirror).unwrap_or("null");
        let _ = writeln!(
            self.text,
            ",\"status\":{},\"outcome\":\"{}\",\"target\":\"{}\",\"mirror\":{mirror},\"duration_us\":{}}}",
            reply.answer.status(),
            outcome.as_str(),
            outcome.target().as_str(),
            self.since.elapsed().as_micros(),
        );
        self.text
    }
}

/// A text as JSON.
fn escaped(text: &str) -> String {
    to_string(text).unwrap_or_else(|_| "null".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Answer, RouteOutcome, Status};

    fn refused(head: &LineHead<'_>) -> serde_json::Value {
        let reply = RouteReply {
            answer: Answer::Refuse(Status::NotFound, crate::registry::ErrorCode::NotFound),
            basis: crate::registry::RouteBasis { outcome: RouteOutcome::Outside, steering: None },
        };
        let mut line = LogLine::begin(head, Instant::now());
        line.note_mirror("near");
        let text = line.end(&reply);
        assert!(text.ends_with("}\n") && text.lines().count() == 1, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    fn head<'r>(method: &'r str, path: &'r str) -> LineHead<'r> {
        LineHead { method, path, name: None, client: None, trace: 1 }
    }

    #[test]
    fn texts_of_requests_are_escaped_and_bounded() {
        let path = format!("/\"\n\u{7}\\é{}", "é".repeat(4000));
        let line = refused(&head(&"M".repeat(100), &path));
        assert_eq!(line["method"], "M".repeat(16));
        let shown = line["path"].as_str().unwrap();
        assert!(path.starts_with(shown) && (255..=256).contains(&shown.len()), "{shown}");
        assert_eq!(line["mirror"], serde_json::Value::Null, "the client was not sent to one");
        assert_eq!(line["trace"], "00000000000000000000000000000001");
    }

    #[test]
    fn a_network_hides_the_host() {
        let network = |text: &str| network_of(text.parse().unwrap()).to_string();
        assert_eq!(network("198.51.100.77"), "198.51.100.0/24");
        assert_eq!(network("2001:db8:1:2::3"), "2001:db8:1::/48");
        for form in ["::ffff:198.51.100.77", "2002:c633:644d::1", "64:ff9b::198.51.100.77"] {
            assert_eq!(network(form), "198.51.100.0/24", "{form}");
        }
    }
}
