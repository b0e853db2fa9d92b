//! The log: one line for each change of state, to standard error, with the time as RFC 3339 has it.

use std::panic;

use tracing::error;
use tracing::level_filters::LevelFilter;

use super::{Level, style_of_stderr};
use crate::base::diagnostic::Style;

/// Starts logging. To be called once.
pub(super) fn start(level: Level) {
    let level = match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
    };
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(style_of_stderr() == Style::Coloured)
        .with_max_level(level)
        .with_target(false)
        // A log that nobody reads any more is no reason to end: that would be reported where it cannot be written either.
        .log_internal_errors(false)
        .init();
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
