//! `pharos verify`: the server's own probe, for whoever runs a mirror or is about to add one.
//!
//! **Invariants**: it is the probe that decides in the server, with the same limits; nothing is changed by it.
//! **Not here**: probing ([`crate::probe`]).

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::locate::Location;
use super::{BAD_CONFIG, CANNOT_START, OK, complain, put, style_of_stderr};
use crate::base::diagnostic::{Diagnostic, did_you_mean};
use crate::base::report::report;
use crate::base::text::shown;
use crate::config::{Canary, Config, Probe};
use crate::load::hosts::Purpose;
use crate::probe::{Finding, Prober, roots};
use crate::{config, load};

/// What `verify` is asked.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A mirror of the configuration, or an address
    #[arg(value_name = "MIRROR|ADDRESS")]
    target: String,

    /// The name that clients pull from; with it no configuration is read
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Where the mirror listens; 443 without this
    #[arg(long, value_name = "PORT", requires = "name")]
    port: Option<u16>,

    /// A blob that the mirror must have, as `REPOSITORY@sha256:DIGEST/SIZE`
    #[arg(long, value_name = "BLOB", requires = "name", value_parser = parse_canary)]
    canary: Option<Canary>,

    /// A PEM file of roots to trust instead of this system's
    #[arg(long, value_name = "FILE", requires = "name")]
    roots: Option<PathBuf>,

    /// Print JSON, one object an address
    #[arg(long)]
    json: bool,
}

fn parse_canary(text: &str) -> Result<Canary, String> {
    let parts = || {
        let (repository, rest) = text.split_once('@')?;
        let (digest, size) = rest.rsplit_once('/')?;
        Canary::new(repository, digest, size.parse().ok().filter(|size| config::limits::CANARY_SIZE.contains(size))?)
    };
    parts().ok_or_else(|| "write it as `pause@sha256:<64 hexadecimal digits>/<octets>`".to_string())
}

/// Probes, and tells the exit code: 0 where every address may be steered to.
pub(super) fn run(config: &Location, args: &Args) -> u8 {
    match verify(config, args) {
        Ok((text, code)) => {
            put(&text);
            code
        }
        Err(Failure::Config(problems)) => {
            eprint!("{}", report(&problems, style_of_stderr()));
            BAD_CONFIG
        }
        Err(Failure::System(error)) => {
            complain(&error, None);
            CANNOT_START
        }
    }
}

/// Why nothing was probed.
enum Failure {
    /// The configuration, or a file it names.
    Config(Vec<Diagnostic>),
    /// The system refused something.
    System(std::io::Error),
}

fn verify(config: &Location, args: &Args) -> Result<(String, u8), Failure> {
    let one = |problem| Failure::Config(vec![problem]);
    let (probe, targets) = match &args.name {
        Some(name) => (of_arguments(name, args), vec![address(&args.target).map_err(Failure::Config)?]),
        None => of_config(config.path(), &args.target).map_err(Failure::Config)?,
    };
    let roots = roots(probe.roots.as_deref()).map_err(Failure::Config)?;
    let probe = Arc::new(probe);
    let prober = Prober::new(probe.clone(), roots)
        .map_err(|error| one(Diagnostic::error("probe", error.to_string()).help("give the name with `--name`")))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::System)?;
    let (mut text, mut code) = (String::new(), OK);
    for address in targets {
        let finding = runtime.block_on(prober.probe(address));
        if !finding.verdict.is_good() {
            code = BAD_CONFIG;
        }
        text.push_str(&if args.json { as_json(address, &finding) } else { as_text(address, &finding, &probe) });
    }
    Ok((text, code))
}

fn of_arguments(name: &str, args: &Args) -> Probe {
    let default = Probe::of_name(name.trim_end_matches('.').into());
    let port = args.port.unwrap_or(default.port);
    Probe { port, canary: args.canary.clone(), roots: args.roots.clone(), ..default }
}

fn address(text: &str) -> Result<IpAddr, Vec<Diagnostic>> {
    text.parse().map_err(|_| {
        let help = "with `--name` give the address of the mirror; without it a mirror of the configuration";
        vec![Diagnostic::error("address", format!("`{text}` is not an address")).help(help)]
    })
}

/// What the configuration says of the probe, and the addresses of the mirror.
fn of_config(path: &Path, target: &str) -> Result<(Probe, Vec<IpAddr>), Vec<Diagnostic>> {
    let mut config = config::read_file(path)?.config;
    let probe = probe_of(&config)?;
    if let Ok(address) = target.parse() {
        return Ok((probe, vec![address]));
    }
    let Some(at) = config.mirrors.iter().position(|entry| *entry.mirror.name == *target) else {
        let names = config.mirrors.iter().map(|entry| &*entry.mirror.name);
        return Err(vec![
            Diagnostic::error("unknown-mirror", format!("mirror `{target}` is not defined")).help(did_you_mean(
                target,
                "defined mirrors",
                names,
            )),
        ]);
    };
    // The others' names need not resolve.
    config.mirrors = vec![config.mirrors.swap_remove(at)];
    let problems = load::hosts::resolve(&mut config, &Purpose::Check);
    // A warning is about addresses of some time ago, which are worth a look all the same.
    if problems.iter().any(Diagnostic::is_error) {
        return Err(problems);
    }
    let mirror = &config.mirrors[0].mirror;
    let v4 = mirror.v4.iter().map(|address| IpAddr::from(*address));
    Ok((probe, v4.chain(mirror.v6.iter().map(|address| IpAddr::from(*address))).collect()))
}

/// What mirrors are held to: what `[probe]` says, else the name and port of `[registry] blobs`, else the steered name.
pub(super) fn probe_of(config: &Config) -> Result<Probe, Vec<Diagnostic>> {
    let of_registry = |registry: &config::Registry| Probe {
        port: registry.mirror_port(),
        ..Probe::of_name(registry.mirror_name().into())
    };
    let meant = config.probe.clone().or_else(|| config.registry.as_ref().map(of_registry));
    meant.or_else(|| shared_name(config).map(Probe::of_name)).ok_or_else(|| {
        vec![
            Diagnostic::error("probe-name", "the configuration does not tell which name mirrors serve")
                .help("add `[probe]` with `name`, or use `--name`"),
        ]
    })
}

/// The first steered owner.
fn shared_name(config: &Config) -> Option<Arc<str>> {
    let steer = config.zones.iter().flat_map(|zone| &zone.steer).next()?;
    Some(steer.owner.to_string().into())
}

fn as_text(address: IpAddr, finding: &Finding, probe: &Probe) -> String {
    let mut text = format!("{address}  {}", finding.verdict.as_str());
    match &finding.reason {
        None if probe.canary.is_some() => text.push_str(": connection, certificate and content are right\n"),
        None => text.push_str(": connection and certificate are right; no canary is set, so content was not checked\n"),
        Some(reason) => {
            let _ = write!(text, ": {}\n  = help: {}\n", shown(&reason.to_string()), reason.remedy());
        }
    }
    text
}

fn as_json(address: IpAddr, finding: &Finding) -> String {
    let reason = finding.reason.as_ref().map(ToString::to_string);
    let remedy = finding.reason.as_ref().map(crate::probe::Reason::remedy);
    let value = json!({
        "address": address.to_string(),
        "verdict": finding.verdict.as_str(),
        "steered_to": finding.verdict.is_good(),
        "reason": reason,
        "remedy": remedy,
    });
    format!("{value}\n")
}
