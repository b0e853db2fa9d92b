//! The log: one line for each change of state, to standard error.
//!
//! A line is for people (time of RFC 3339, level, message), or JSON ([`LogFormat::Json`]). If standard error is the systemd
//! journal, a line begins with a priority instead, because the journal has times of its own and filters by priority.
//!
//! **Invariants**: no remote packet writes a line: only this crate writes, which counts remote input. QUIC, HTTP, TLS and
//! resolver libraries warn of single packets; [`LIBRARIES`] lets their lines through while a fault is looked for. A value
//! from elsewhere neither ends a line nor reaches the terminal as a control sequence.
//! **Not here**: the messages of a command line ([`super`]).

mod lines;

use std::io::IsTerminal as _;
use std::panic;

use clap::ValueEnum;
use tracing::level_filters::LevelFilter;
use tracing::{Subscriber, error, warn};
use tracing_subscriber::Layer;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::{MakeWriter, format};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::LogLevel;
use super::layout::Layout;
use crate::base::diagnostic::Style;
use crate::base::text::shown;
use crate::telemetry::HINTS;
use lines::LineStyle;

/// The environment variable that names further targets of the log, each with its level: `quinn=debug,hickory_net=warn`.
const LIBRARIES: &str = "PHAROS_LOG";

/// The environment variable for the format, if `--log-format` is not given.
const FORMAT: &str = "PHAROS_LOG_FORMAT";

/// The format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// Lines for people; with priorities for the systemd journal
    Text,
    /// One JSON object per line: time, level, target, message, and the fields of the event
    Json,
}

/// The readers of standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StderrReaders {
    People,
    /// Programs, which expect each line to be a line of the log.
    Programs,
}

/// Starts logging. Call it once. `format` is the value of `--log-format`.
pub(super) fn start(level: LogLevel, format: Option<LogFormat>) -> StderrReaders {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let wanted = std::env::var(LIBRARIES).unwrap_or_default();
    let libraries: Result<Targets, _> = if wanted.is_empty() { Ok(Targets::new()) } else { wanted.parse() };
    let is_wrong = libraries.is_err();
    let mut targets = libraries.unwrap_or_default();
    if !std::io::stderr().is_terminal() && !targets.iter().any(|(target, _)| target == HINTS) {
        targets = targets.with_target(HINTS, LevelFilter::OFF);
    }
    let variable = std::env::var(FORMAT).ok().filter(|text| !text.is_empty());
    let from_variable = variable.as_ref().map(|text| LogFormat::from_str(text, true));
    let chosen = format.or_else(|| from_variable.clone()?.ok()).unwrap_or(LogFormat::Text);
    let form = match (chosen, is_journal()) {
        (LogFormat::Text, false) => LogForm::People(Layout::of_stderr().style),
        (format, priority) => LogForm::Program(LineStyle { json: format == LogFormat::Json, priority }),
    };
    let readers = if matches!(form, LogForm::People(_)) { StderrReaders::People } else { StderrReaders::Programs };
    subscriber(level, targets, &form, std::io::stderr).init();
    if is_wrong {
        warn!("{LIBRARIES} is ignored: write it as `quinn=debug,hickory_net=warn`");
    }
    if format.is_none() && from_variable.is_some_and(|parsed| parsed.is_err()) {
        warn!("{FORMAT} is ignored: write `text` or `json`");
    }
    // A panic is a fault of Pharos: it is logged in one line, so that the operator sees it.
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
    readers
}

/// Compares the device and inode of standard error with `JOURNAL_STREAM` (systemd.exec(5)).
///
/// The variable alone does not suffice, because a child inherits it and may write to a file.
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let ids = stream.split_once(':').and_then(|(device, inode)| Some((device.parse().ok()?, inode.parse().ok()?)));
    let Ok(own) = rustix::fs::fstat(std::io::stderr()) else { return false };
    ids == Some((own.st_dev, own.st_ino))
}

/// The readers of the log.
#[derive(Clone, Debug)]
enum LogForm {
    People(Style),
    Program(LineStyle),
}

/// Writes the lines of this crate, and of the libraries that `libraries` names.
fn subscriber<W>(level: LevelFilter, libraries: Targets, form: &LogForm, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (people, programs) = match form {
        LogForm::People(style) => (Some(people(style, &libraries, writer)), None),
        LogForm::Program(lines) => {
            let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false);
            (None, Some(layer.log_internal_errors(false).event_format(*lines)))
        }
    };
    let targets = libraries.with_target(env!("CARGO_CRATE_NAME"), level);
    tracing_subscriber::registry().with(people).with(programs).with(targets)
}

/// Writes lines for people.
fn people<S, W>(style: &Style, libraries: &Targets, writer: W) -> impl Layer<S> + Send + Sync + use<S, W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(*style == Style::Coloured)
        // The target is shown only if libraries write lines too.
        .with_target(libraries.iter().any(|(target, _)| target != HINTS))
        // Ignore errors of writing the log: the library would report them on standard error, where writing fails too.
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
        )
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

    const PLAIN: LogForm = LogForm::People(Style::Plain);

    fn logged(libraries: &str, form: &LogForm, write: impl FnOnce()) -> String {
        let page = Page::default();
        let targets = if libraries.is_empty() { Targets::new() } else { libraries.parse().unwrap() };
        let writer = page.clone();
        let subscriber = subscriber(LevelFilter::INFO, targets, form, move || writer.clone());
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
        let lines = logged("", &PLAIN, write);
        assert!(lines.lines().count() == 1 && lines.ends_with(" WARN ours\n"), "{lines}");
        let lines = logged("quinn_proto=warn", &PLAIN, write);
        assert!(lines.lines().count() == 2 && lines.contains("quinn_proto::connection: discarding"), "{lines}");
    }

    #[test]
    fn a_value_from_elsewhere_stays_on_its_line() {
        let write = || {
            let value = "x\u{1b}[2J\nERROR forged\u{9b}";
            warn!(%value, "mirror {value}");
        };
        let lines = logged("", &PLAIN, write);
        assert!(
            lines.ends_with("mirror x\\u{1b}[2J\\nERROR forged\\u{9b} value=x\\u{1b}[2J\\nERROR forged\\u{9b}\n"),
            "{lines}"
        );
        assert_eq!(lines.lines().count(), 1);
        let journal = LogForm::Program(LineStyle { json: false, priority: true });
        let expected = "<4>mirror x\\u{1b}[2J\\nERROR forged\\u{9b} value=x\\u{1b}[2J\\nERROR forged\\u{9b}\n";
        assert_eq!(logged("", &journal, write), expected);
        let json = LogForm::Program(LineStyle { json: true, priority: false });
        let line = logged("", &json, write);
        assert!(line.contains(r"x\u001b[2J\nERROR forged\u009b") && line.lines().count() == 1, "{line}");
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["value"], "x\u{1b}[2J\nERROR forged\u{9b}");
        assert_eq!((&object["level"], &object["target"]), (&"WARN".into(), &module_path!().into()));
    }

    #[test]
    fn fields_of_an_event_are_members_of_the_object() {
        let json = LogForm::Program(LineStyle { json: true, priority: false });
        let line = logged("", &json, || tracing::info!(count = 7, time = "noon", "counted"));
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            (&object["message"], &object["count"], &object["field_time"]),
            (&"counted".into(), &7.into(), &"noon".into())
        );
        assert!(object["time"].as_str().unwrap().ends_with('Z'), "{line}");
    }
}
