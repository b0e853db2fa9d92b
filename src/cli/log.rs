//! The log: one line for each change of state, to standard error, with the time as RFC 3339 has it.
//!
//! **Invariants**: no remote packet writes a line: only this crate writes, which counts remote input. QUIC, HTTP, TLS and
//! resolver libraries warn of single packets; [`LIBRARIES`] lets their lines through while a fault is looked for. A value
//! from elsewhere neither ends a line nor reaches the terminal as a control sequence.
//! **Not here**: the messages of a command line ([`super`]).

use std::panic;

use tracing::level_filters::LevelFilter;
use tracing::{error, warn};
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::{Level, style_of_stderr};
use crate::base::diagnostic::Style;
use crate::base::text::shown;

/// The environment variable that names further targets of the log, each with its level: `quinn=debug,hickory_net=warn`.
const LIBRARIES: &str = "PHAROS_LOG";

/// Starts logging. To be called once.
pub(super) fn start(level: Level) {
    let level = match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
    };
    let wanted = std::env::var(LIBRARIES).unwrap_or_default();
    let libraries: Result<Targets, _> = if wanted.is_empty() { Ok(Targets::new()) } else { wanted.parse() };
    let unread = libraries.as_ref().err().map(ToString::to_string);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(style_of_stderr() == Style::Coloured)
        // Whose line it is matters only among several.
        .with_target(!wanted.is_empty())
        // A log that nobody reads any more is no reason to end: that would be reported where it cannot be written either.
        .log_internal_errors(false)
        .fmt_fields(
            format::debug_fn(|line, field, value| {
                let text = format!("{value:?}");
                match field.name() {
                    "message" => write!(line, "{}", shown(&text)),
                    name => write!(line, "{name}={}", shown(&text)),
                }
            })
            .delimited(" "),
        );
    let targets = libraries.unwrap_or_default().with_target(env!("CARGO_CRATE_NAME"), level);
    tracing_subscriber::registry().with(lines).with(targets).init();
    if let Some(error) = unread {
        warn!("{LIBRARIES} is not read: {error}; write it as `quinn=debug,hickory_net=warn`");
    }
    // A panic is a fault of ours: it goes to where an operator looks, in one line.
    panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let message = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        error!(at = place, "a fault in pharos, please report it: {message}");
    }));
}
