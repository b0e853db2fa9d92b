//! Lines of the log for programs: JSON, and messages with a priority for the journal.
//!
//! **Invariants**: one event is one line; a remote value does not end a line, and is no control sequence.
//! **Not here**: lines for people ([`super`]).
//!
//! sd-daemon(3) (priorities), RFC 8259 §7 (escapes).

use std::fmt::{self, Write as _};

use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::base::text::{json_escaped, shown};

/// The members of every JSON object; a field of the same name gets `field_` before its name.
const MEMBERS: [&str; 4] = ["time", "level", "target", "message"];

/// The form of a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineStyle {
    /// JSON, else message and fields.
    pub(super) json: bool,
    /// A priority before the line, which the journal takes off.
    pub(super) priority: bool,
}

impl<S, N> FormatEvent<S, N> for LineStyle
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut line: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = LineFields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        if self.priority {
            write!(line, "<{}>", priority(*metadata.level()))?;
        }
        if self.json {
            let time = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
            writeln!(line, "{}", object(&time, metadata.level().as_str(), metadata.target(), fields))
        } else {
            let mut text = shown(&fields.message).into_owned();
            for (name, value) in &fields.others {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_string);
                let _ = write!(text, " {name}={}", shown(&value));
            }
            writeln!(line, "{text}")
        }
    }
}

/// The priority of syslog: error, warning, informational, debug.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// A JSON object in one line, in which hidden characters are escaped.
fn object(time: &str, level: &str, target: &str, fields: LineFields) -> String {
    let mut object = Map::new();
    let members = [time, level, target, &fields.message];
    object.extend(MEMBERS.iter().zip(members).map(|(name, text)| (name.to_string(), text.into())));
    for (name, value) in fields.others {
        let name = if MEMBERS.contains(&name) { format!("field_{name}") } else { name.to_string() };
        object.insert(name, value);
    }
    json_escaped(&Value::Object(object).to_string()).into_owned()
}

#[derive(Debug, Default)]
struct LineFields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl LineFields {
    fn add(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => self.others.push((name, value)),
        }
    }
}

impl Visit for LineFields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }
}
