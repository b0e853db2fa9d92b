//! The command line: parses the arguments, runs the command, returns an exit code.
//!
//! **Invariants**: answers go to standard output, everything else to standard error; each exit code has one meaning.
//! **Not here**: the work of a command apart from printing ([`crate::serve`], [`crate::compile`],
//! [`crate::inspect`]).

mod bundle;
mod certs;
mod check;
mod credential;
mod demo;
mod drain;
#[cfg(test)]
#[path = "expected/tests.rs"]
mod expected;
mod explain;
mod export;
mod facts;
mod fleet;
mod init;
mod key;
mod layout;
mod locate;
mod log;
mod mirror;
mod output;
mod pages;
mod refresh;
mod reload;
mod rollout;
mod server;
mod simulate;
mod status;
mod sweep;
mod tips;
mod top;
mod verify;
mod zone;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};
use tracing::info;

use crate::base::time::Generation;
use crate::compile::{self, Built};
use crate::files::Intake;
use crate::load::hosts::Purpose;
use crate::process;
use crate::serve::{self, Failure};
use locate::ConfigLocation;
use log::StderrReaders;
use output::{CommandFailure, CommandResult, complain, complain_of, put, refuse, warn, written};

/// An authoritative split-horizon DNS server for container registries.
///
/// Answers one name differently by where the client is, and points each client at the nearest healthy mirror. A companion
/// HTTP listener sends manifests to the canonical registry and blobs to that name.
#[derive(Debug, Parser)]
#[command(name = "pharos", version, after_long_help = AFTER_HELP, max_term_width = 100)]
struct Cli {
    /// The configuration; without this PHAROS_CONFIG, ./pharos.toml or /etc/pharos/pharos.toml
    #[arg(long, short, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Level of the log on standard error
    #[arg(long, global = true, value_name = "LEVEL", value_enum, default_value_t = LogLevel::Info, display_order = 900)]
    log_level: LogLevel,

    /// The format of the log; without this PHAROS_LOG_FORMAT, else text
    #[arg(long, global = true, value_name = "FORMAT", value_enum, display_order = 901)]
    log_format: Option<log::LogFormat>,

    #[command(subcommand)]
    command: Option<Command>,
}

/// Lines of at most 79 columns: clap breaks longer ones without regard to their indent.
const AFTER_HELP: &str = "\
Signals to `pharos serve`:
  HUP        read the configuration and its files again; after an error the
             configuration before it stays. If standard input is a terminal,
             stop: the terminal was closed
  TERM, INT  finish the requests in flight, and stop; a second one stops at
             once

Exit codes:
  0  all is well
  1  the configuration, or a file it names, has errors, or warnings that are
     denied; a sweep found answers that are not true; a simulation or a reload
     moves more clients than it may; a source was not fetched; a mirror or its
     certificate is not fit to be steered to; the running server knows no such
     mirror; or a demonstration was interrupted
  2  the command line cannot be understood
  3  the service could not start, or could not go on: a port is taken, the
     system refused something, or a part of it failed; or the output of a
     command could not be written
  4  the running server did not answer, or could not keep an override

Environment:
  PHAROS_CONFIG      the configuration, if `--config` does not name it
  PHAROS_LOG_FORMAT  `text` or `json`, if `--log-format` is not given
  PHAROS_LOG         log lines of libraries too, for debugging:
                     `quinn=debug,hickory_net=warn`. The packets of any client
                     cause such lines: never set it on a public server
  COLUMNS            the width of output; without it that of the terminal. In a
                     file or pipe 100, and rows of tables are not broken
  NO_COLOR           no colours, if it is not empty

Examples:
  pharos demo                                see it at work, without root
  pharos init                                write a configuration
  pharos                                     serve it
  pharos check && pharos reload              reload if all is valid
  pharos explain 52.95.110.0/24              the reason for clients' answers
  pharos explain --name www.example.net --resolver 9.9.9.9 2001:db8::/56
  pharos explain --server 52.95.110.0/24     the running server's answer
  pharos mirror drain aws-use1 --reason \"new disks\" --until 2h
  pharos server drain --reason \"new kernel\"  /ready is 503, queries go on
  pharos zone retransfer copy.example        take a primary's zone";

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer queries until a signal stops it; the default command
    Serve,

    /// Write a configuration to begin with: pharos.toml, a zone and a list of networks
    Init(init::Args),

    /// Check the configuration and the files it names, and print every problem
    Check(check::Args),

    /// Explain the answer for a client: sources, rule, mirrors, scope
    Explain(Box<explain::Args>),

    /// Print a zone as a master file, with or without its DNSSEC records
    Export(export::Args),

    /// Ask from both ends of every range of every table whether the answer and its scope are true
    Sweep(sweep::Args),

    /// Count the clients that a new configuration or new feeds would send to other mirrors
    Simulate(simulate::Args),

    /// Have the running server read its configuration again, and show the changes, or the reasons for a refusal
    Reload(reload::Args),

    /// Have the running server fetch sources with a `url` now, or take the previous content of one back
    Refresh(refresh::Args),

    /// Show the health of the running server's mirrors; drain one, force it up or down, or remove an override
    Mirror(Box<mirror::Args>),

    /// Take the running server out of service for anycast or a balancer, or put it back
    Server(drain::Args),

    /// Show the servers of the running server's fleet, or forget one; push a configuration to all of them
    Fleet(fleet::Args),

    /// Have the running server fetch a zone from its primaries again
    Zone(zone::Args),

    /// Show the state of the running server: configuration, reload, mirrors, zones, networks, certificates
    Status(status::Args),

    /// Show the load of the running server live: answers, mirrors, resolvers, names
    Top(top::Args),

    /// Probe a mirror as the server does before it steers clients there: connection, certificate, content
    Verify(Box<verify::Args>),

    /// See it at work on this machine alone: mirrors, queries, a pull, and a mirror that goes bad and comes back
    Demo(demo::Args),

    /// Make a private authority and certificates for mirrors and listeners, to try things out with; check one; print CAA records
    Certs(Box<certs::Args>),

    /// Make credentials for ACME clients of mirrors, with settings for these; or list those of the configuration
    Credential(credential::Args),

    /// Make keys that sign zones; print or check the DS records for the parent; list keys with their next steps
    Key(key::Args),

    /// Print the completion script of a shell
    Completions(pages::CompletionsArgs),

    /// Write the manual pages into a folder, or print the first one
    Man(pages::ManArgs),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogLevel {
    /// Faults that stop a part of the service
    Error,
    /// And faults that need a look soon
    Warn,
    /// And each change of state
    Info,
    /// And how it came about
    Debug,
}

/// Success.
const OK: u8 = 0;
/// The configuration has errors, or a check found a fault.
const BAD_CONFIG: u8 = 1;
/// The command line cannot be parsed.
const BAD_COMMAND: u8 = 2;
/// The service could not start, or could not go on; or an answer could not be written.
const CANNOT_START: u8 = 3;
/// The running server could not be reached, or did not carry out the request.
const NO_SERVER: u8 = 4;

impl Command {
    /// The name of a command that reads no configuration.
    fn without_config(&self) -> Option<&'static str> {
        match self {
            Command::Demo(_) => Some("demo"),
            Command::Init(_) => Some("init"),
            Command::Completions(_) => Some("completions"),
            Command::Man(_) => Some("man"),
            _ => None,
        }
    }
}

/// Runs the command of the command line.
pub fn run() -> ExitCode {
    process::seed_names();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // The help and the version are answers: a failed write sets the exit code, which the library would ignore.
        Err(answer) if !answer.use_stderr() => return ExitCode::from(written(answer.print(), OK)),
        Err(error) => return ExitCode::from(refuse(&tips::with_tip(error))),
    };
    let command = cli.command.unwrap_or(Command::Serve);
    if let (Some(name), Some(_)) = (command.without_config(), &cli.config) {
        let message = format!("`pharos {name}` reads no configuration: leave `--config` out");
        Cli::command().error(ErrorKind::ArgumentConflict, message).exit();
    }
    let config = ConfigLocation::new(cli.config);
    let done = match command {
        Command::Serve => Ok(serve(&config, log::start(cli.log_level, cli.log_format))),
        Command::Init(args) => init::run(&args),
        Command::Check(args) => Ok(check::run(config.path(), &args)),
        Command::Explain(args) => explain::run(&config, &args),
        Command::Export(args) => export::run(config.path(), &args),
        Command::Sweep(args) => sweep::run(config.path(), &args),
        Command::Simulate(args) => simulate::run(&config, &args),
        Command::Reload(args) => reload::run(&config, &args),
        Command::Refresh(args) => refresh::run(&config, &args),
        Command::Mirror(args) => mirror::run(&config, &args),
        Command::Server(args) => drain::run(&config, &args),
        Command::Fleet(args) => fleet::run(&config, &args),
        Command::Zone(args) => zone::run(&config, &args),
        Command::Status(args) => status::run(&config, &args),
        Command::Top(args) => top::run(&config, &args),
        Command::Verify(args) => verify::run(&config, &args),
        Command::Demo(args) => demo::run(&args),
        Command::Certs(args) => certs::run(&config, &args),
        Command::Credential(args) => credential::run(&config, &args),
        Command::Key(args) => key::run(&config, &args),
        Command::Completions(args) => Ok(pages::completions(&args)),
        Command::Man(args) => pages::man(&args),
    };
    ExitCode::from(done.unwrap_or_else(|failure| failure.print()))
}

/// Compiles a configuration for a command that serves nothing.
fn build(purpose: &Purpose, config: &Path) -> Result<Built, CommandFailure> {
    Ok(compile::build_for(purpose, config, Generation(1), &Intake::default(), &|_| None)?)
}

fn serve(config: &ConfigLocation, readers: StderrReaders) -> u8 {
    let found = config.find();
    info!("configuration: {found}");
    let Err(failure) = serve::run(&found.path) else { return OK };
    match (&failure, readers) {
        (_, StderrReaders::Programs) => serve::log_failure(&failure),
        (Failure::Config(problems), StderrReaders::People) => complain_of(problems),
        (failure, StderrReaders::People) => complain(failure, failure.help().as_deref()),
    }
    if matches!(failure, Failure::Config(_)) { BAD_CONFIG } else { CANNOT_START }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_after_the_options_is_not_broken_at_80_columns() {
        for line in AFTER_HELP.lines() {
            assert!(line.chars().count() < 80, "{line}");
        }
    }

    #[test]
    fn the_definitions_agree_with_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn without_a_command_the_configuration_is_served() {
        let cli = Cli::try_parse_from(["pharos"]).unwrap();
        assert!(cli.config.is_none() && cli.command.is_none());
    }

    #[test]
    fn an_override_needs_a_reason_and_an_end_ahead() {
        let parses = |line: &str| Cli::try_parse_from(line.split(' ')).is_ok();
        assert!(parses("pharos mirror drain a --reason disks --until 2h --json"));
        assert!(parses("pharos mirror auto a") && parses("pharos mirror list --socket x"));
        assert!(!parses("pharos mirror drain a") && !parses("pharos mirror down --reason disks"));
        assert!(!parses("pharos mirror up a --reason x --until yesterday"));
        let in_parts = Cli::try_parse_from("pharos mirror up a --reason x --until 1h30m".split(' ')).unwrap_err();
        assert!(in_parts.to_string().contains("one unit: `90m`"), "{in_parts}");
        assert!(!parses("pharos mirror up a --reason x --until 2020-01-01T00:00:00Z"));
    }

    #[test]
    fn options_stand_before_or_after_the_command() {
        for line in [["pharos", "--config", "x.toml", "serve"], ["pharos", "serve", "--config", "x.toml"]] {
            assert_eq!(Cli::try_parse_from(line).unwrap().config, Some(PathBuf::from("x.toml")));
        }
    }
}
