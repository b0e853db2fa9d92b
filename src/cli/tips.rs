//! Tips for command lines that the parser refuses: command names of other programs, and a configuration without its option.
//!
//! **Invariants**: a tip names a command that exists; the parser's own suggestion stays if it has one.
//! **Not here**: the commands ([`super::Cli`]).

use clap::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Words that operators type, with the matching command of Pharos.
const WORDS: &[(&[&str], &str)] = &[
    (&["reconfig", "hup"], "`pharos reload` or SIGHUP reads the configuration again; run `pharos check` first"),
    (&["start", "run", "server-start"], "`pharos serve` runs the server here, `systemctl start pharos` as a service"),
    (&["stop", "restart", "quit"], "`systemctl stop pharos` and `systemctl restart pharos` do that, or SIGTERM"),
    (
        &["test", "validate", "lint", "checkconf", "configtest"],
        "`pharos check` finds every problem of the configuration",
    ),
    (
        &["drain", "undrain", "up", "down", "auto", "list"],
        "`pharos mirror WORD NAME` is about a mirror, `pharos server drain` about this server",
    ),
    (&["health", "state"], "`pharos status` shows the server, `pharos mirror list` the health of mirrors"),
    (&["stats", "load", "monitor"], "`pharos top` shows the load of the running server, `pharos status` its state"),
    (&["probe", "ping"], "`pharos verify MIRROR` probes as the server does"),
    (
        &["query", "dig", "lookup"],
        "`pharos explain SUBNET` shows an answer with its reason; `dig @ADDRESS NAME` asks the server",
    ),
    (&["enable", "disable", "remove", "show"], "`pharos mirror --help` lists the commands"),
    (&["transfer", "notify"], "`pharos zone retransfer NAME` fetches a zone from its primaries"),
    (&["fetch", "download", "update", "feeds"], "`pharos refresh` fetches the sources of networks that have a `url`"),
    (&["version"], "`pharos --version` prints it"),
];

/// The error with a tip, if a tip fits.
pub(super) fn with_tip(mut error: Error) -> Error {
    let typed = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let tip = match error.kind() {
        ErrorKind::InvalidSubcommand => typed(ContextKind::InvalidSubcommand).and_then(|word| of_word(&word)),
        ErrorKind::UnknownArgument => typed(ContextKind::InvalidArg)
            .filter(|text| text.ends_with(".toml"))
            .map(|text| format!("`--config {text}` names the configuration")),
        _ => None,
    };
    let has_suggestion = error.get(ContextKind::SuggestedSubcommand).is_some();
    if let Some(tip) = tip.filter(|_| !has_suggestion) {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

fn of_word(word: &str) -> Option<String> {
    let (_, tip) = WORDS.iter().find(|(words, _)| words.contains(&word))?;
    Some(tip.replace("WORD", word))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;
    use crate::cli::Cli;

    fn said(line: &str) -> String {
        with_tip(Cli::try_parse_from(line.split(' ')).unwrap_err()).to_string()
    }

    #[test]
    fn words_of_other_programs_lead_to_a_command() {
        for (line, tip) in [
            ("pharos reconfig", "tip: `pharos reload`"),
            ("pharos drain aws", "tip: `pharos mirror drain NAME`"),
            ("pharos mirror status", "Usage: pharos mirror"),
            ("pharos test", "tip: `pharos check`"),
            ("pharos check pharos.toml", "tip: `--config pharos.toml`"),
            ("pharos mirrors", "tip: a similar subcommand exists: 'mirror'"),
        ] {
            assert!(said(line).contains(tip), "{line}: {}", said(line));
        }
        assert!(!said("pharos frobnicate").contains("tip"));
    }

    #[test]
    fn no_word_is_a_command_already() {
        let commands = Cli::command();
        for word in WORDS.iter().flat_map(|(words, _)| *words) {
            assert!(commands.find_subcommand(word).is_none(), "{word}");
        }
    }
}
