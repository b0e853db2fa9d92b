//! Facts of a certificate in the output of commands: `pharos certs` and `pharos verify` print the same.
//!
//! **Not here**: reading certificates ([`crate::tls`]).

use rustls::pki_types::UnixTime;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use crate::tls::LeafFacts;

/// A timestamp to the minute, for people.
pub(super) fn minute(at: UnixTime) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    let date = date(at).and_then(|date| date.format(format).ok());
    date.unwrap_or_else(|| format!("@{}", at.as_secs()))
}

/// The facts of a certificate, for programs.
pub(super) fn facts_json(facts: &LeafFacts) -> Value {
    let date = |at: UnixTime| date(at).and_then(|at| at.format(&Rfc3339).ok());
    json!({
        "names": facts.names,
        "issuer": facts.issuer,
        "not_before": date(facts.not_before),
        "not_after": date(facts.not_after),
        "key": facts.key.to_string(),
    })
}

fn date(at: UnixTime) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(i64::try_from(at.as_secs()).ok()?).ok()
}
