//! The log: one line for each change of state, to standard error, with the time as RFC 3339 has it.
//!
//! **Invariants**: no remote packet writes a line: only this crate writes, which counts remote input. QUIC, HTTP, TLS and
//! resolver libraries warn of single packets; [`LIBRARIES`] lets their lines through while a fault is looked for. A value
//! from elsewhere neither ends a line nor reaches the terminal as a control sequence.
//! **Not here**: the messages of a command line ([`super`]).

use std::panic;

use tracing::level_filters::LevelFilter;
use tracing::{Subscriber, error, warn};
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::{MakeWriter, format};
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
    let targets = libraries.unwrap_or_default();
    subscriber(level, targets, &style_of_stderr(), std::io::stderr).init();
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

/// Writes lines of this crate, and of libraries as far as they are named.
fn subscriber<W>(level: LevelFilter, libraries: Targets, style: &Style, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(*style == Style::Coloured)
        // Whose line it is matters only among several.
        .with_target(libraries.iter().next().is_some())
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
    tracing_subscriber::registry().with(lines).with(libraries.with_target(env!("CARGO_CRATE_NAME"), level))
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(libraries: &str, write: impl FnOnce()) -> String {
        let page = Page::default();
        let targets = if libraries.is_empty() { Targets::new() } else { libraries.parse().unwrap() };
        let writer = page.clone();
        let subscriber = subscriber(LevelFilter::INFO, targets, &Style::Plain, move || writer.clone());
        tracing::subscriber::with_default(subscriber, write);
        String::from_utf8(page.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn no_library_writes_a_line_unless_it_is_named() {
        let write = || {
            warn!(target: "quinn_proto::connection", "discarding Initial with invalid retry token");
            error!(target: "hickory_net::udp", "expected message id: 1 got: 2, dropped");
            warn!("ours");
        };
        let lines = logged("", write);
        assert!(lines.lines().count() == 1 && lines.ends_with(" WARN ours\n"), "{lines}");
        let lines = logged("quinn_proto=warn", write);
        assert!(lines.lines().count() == 2 && lines.contains("quinn_proto::connection: discarding"), "{lines}");
    }

    #[test]
    fn a_value_from_elsewhere_stays_on_its_line() {
        let lines = logged("", || {
            let value = "x\u{1b}[2J\nERROR forged\u{9b}";
            warn!(%value, "mirror {value}");
        });
        assert!(
            lines.ends_with("mirror x\\u{1b}[2J\\nERROR forged\\u{9b} value=x\\u{1b}[2J\\nERROR forged\\u{9b}\n"),
            "{lines}"
        );
        assert_eq!(lines.lines().count(), 1);
    }
}
