//! `pharos verify`: the server's own probe, for operators of mirrors and for the operator that adds a mirror.
//!
//! **Invariants**: the probe and its limits are those of the server; the command changes nothing.
//! **Not here**: probing ([`crate::probe`]), sentences and remedies ([`crate::mirror::Cause`]).

mod arguments;

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::{Value, json};

use super::facts::{facts_json, minute};
use super::layout::Layout;
use super::locate::ConfigLocation;
use super::output::ProgressMeter;
use super::{BAD_CONFIG, CANNOT_START, CommandFailure, CommandResult, OK, complain_of, put};
use crate::base::diagnostic::{Diagnostic, Place, did_you_mean, list};
use crate::base::text::counted;
use crate::base::when::span;
use crate::config::{Canary, Config, FileUse, InputFile, Probe};
use crate::load::hosts::Purpose;
use crate::mirror::{Mirror, Template};
use crate::probe::{Aim, Finding, Follower, MAX_AT_ONCE, Prober, roots};
use crate::process::Clock;
use crate::tls::LeafFacts;
use crate::{config, load};

/// Each form of the command, because the library shows only one of them.
const USAGE: &str = "\
pharos verify [OPTIONS] <MIRROR|ADDRESS>
       pharos verify [OPTIONS] --all
       pharos verify [OPTIONS] --name <NAME> <ADDRESS>";

/// Arguments of `pharos verify`.
#[derive(Debug, clap::Args)]
#[command(override_usage = USAGE)]
pub(super) struct Args {
    /// A mirror of the configuration, or an address
    #[arg(value_name = "MIRROR|ADDRESS", required_unless_present = "all")]
    target: Option<String>,

    /// Probe every mirror of the configuration
    #[arg(long, conflicts_with_all = ["target", "name"])]
    all: bool,

    /// The name that clients pull from; with it no configuration is read
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// The port of the mirror, with `--name`; 443 without this option. Without `--name` the configuration names it
    #[arg(long, value_name = "PORT", requires = "name", conflicts_with = "all")]
    port: Option<u16>,

    /// A blob that the mirror must have, as `REPOSITORY@sha256:DIGEST/SIZE`
    #[arg(long, value_name = "BLOB", requires = "name", conflicts_with = "all", value_parser = arguments::parse_canary)]
    canary: Option<Canary>,

    /// A PEM file of roots to trust instead of this system's
    #[arg(long, value_name = "FILE", requires = "name", conflicts_with = "all")]
    roots: Option<PathBuf>,

    /// Print JSON, one object per address
    #[arg(long)]
    json: bool,
}

/// An address to probe, with its mirror if it is known.
type ProbeTarget = (Option<Mirror>, IpAddr);

/// The probes to make.
struct VerifyPlan {
    probe: Probe,
    targets: Vec<ProbeTarget>,
    /// The configuration; `None` with `--name`.
    config: Option<Config>,
    /// Problems with the hosts of mirrors, which leave the others to be probed.
    problems: Vec<Diagnostic>,
}

/// Probes, and returns the exit code: 0 if clients may be sent to every address.
pub(super) fn run(config: &ConfigLocation, args: &Args) -> CommandResult {
    let target = args.target.as_deref();
    let plan = match &args.name {
        Some(name) => {
            let targets = vec![(None, arguments::address(target.unwrap_or_default())?)];
            VerifyPlan { probe: of_arguments(name, args), targets, config: None, problems: Vec::new() }
        }
        None => of_config(config.path(), target)?,
    };
    let VerifyPlan { probe, targets, config, problems } = plan;
    let roots = roots(probe.roots.as_ref())?;
    let follower = config.as_ref().map(|config| Follower::new(config, roots.clone())).transpose();
    let follower = follower.map_err(|why| Diagnostic::error("probe", format!("no resolver can be asked: {why}")))?;
    let probe = Arc::new(probe);
    let prober = Prober::new(probe.clone(), roots)
        .map_err(|error| Diagnostic::error("probe", error.to_string()).help("give the name with `--name`"))?;
    let prober = prober.following(follower.flatten());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CommandFailure::Error(error.to_string(), None, CANNOT_START))?;
    let findings = runtime.block_on(probe_all(prober, &targets));
    complain_of(&problems);
    let layout = Layout::of_stdout();
    let (mut text, mut good) = (String::new(), 0);
    let mirrors = config.iter().flat_map(|config| &config.mirrors).filter(|_| args.all);
    let unknown = mirrors.filter(|entry| entry.mirror.addresses().next().is_none()).count();
    for ((mirror, address), each) in targets.iter().zip(&findings) {
        let found = VerifyResult { mirror: mirror.as_ref(), address: *address, each, probe: &probe };
        good += usize::from(found.worst().verdict.is_good());
        text.push_str(&if args.json { found.as_json() } else { found.as_text(args.all, layout) });
    }
    if args.all && !args.json {
        let _ = writeln!(text, "{good} of {} addresses are fit for clients", targets.len());
        if unknown > 0 {
            let _ = writeln!(text, "{unknown} mirrors have no known address");
        }
    }
    let fails = good < targets.len() || unknown > 0 || problems.iter().any(Diagnostic::is_error);
    Ok(put(&text, if fails { BAD_CONFIG } else { OK }))
}

/// Probes all addresses, at most [`MAX_AT_ONCE`] of them at once; the results are in the order of the addresses.
async fn probe_all(prober: Prober, targets: &[ProbeTarget]) -> Vec<Vec<Finding>> {
    let probes = targets.iter().enumerate().map(|(at, (mirror, address))| {
        let content = mirror.as_ref().map(|mirror| mirror.content.clone()).unwrap_or_default();
        let (prober, aim) = (prober.clone(), Aim::of(*address, content));
        async move { (at, prober.probe_each(aim).await) }
    });
    let mut running = stream::iter(probes).buffer_unordered(MAX_AT_ONCE);
    let mut meter = ProgressMeter::new();
    let mut findings = vec![Vec::new(); targets.len()];
    let mut done = 0;
    while let Some((at, each)) = running.next().await {
        findings[at] = each;
        done += 1;
        meter.show(|| format!("{done} of {} addresses probed", targets.len()));
    }
    meter.clear();
    findings
}

fn of_arguments(name: &str, args: &Args) -> Probe {
    let default = Probe::of_name(name.trim_end_matches('.').into());
    let port = args.port.unwrap_or(default.port);
    let roots = args.roots.as_ref().map(|path| InputFile::at(path, FileUse::Roots));
    Probe { port, canary: args.canary.clone(), roots, ..default }
}

/// The probe of a configuration, and the addresses of one of its mirrors, or of all.
fn of_config(path: &Path, target: Option<&str>) -> Result<VerifyPlan, Vec<Diagnostic>> {
    let mut config = config::read_file(path)?.config;
    let probe = probe_of(&config)?;
    if let Some(address) = target.and_then(|target| target.parse().ok()) {
        return Ok(VerifyPlan { probe, targets: vec![(None, address)], config: Some(config), problems: Vec::new() });
    }
    if let Some(target) = target {
        let at = config.mirrors.iter().position(|entry| *entry.mirror.name == *target);
        let at = at.ok_or_else(|| vec![unknown_mirror(&config, &probe, target)])?;
        // The host names of the other mirrors need not resolve.
        config.mirrors = vec![config.mirrors.swap_remove(at)];
    }
    let mut problems = load::hosts::resolve(&mut config, &Purpose::Check);
    let of_mirror = |mirror: &Mirror| -> Vec<ProbeTarget> {
        mirror.addresses().map(|address| (Some(mirror.clone()), address)).collect()
    };
    let targets: Vec<ProbeTarget> = config.mirrors.iter().flat_map(|entry| of_mirror(&entry.mirror)).collect();
    // Of all mirrors, those are probed anyway whose host can be resolved.
    if target.is_some() {
        // A warning says that the addresses are old, and these are probed anyway; or that a URL has none.
        if problems.iter().any(Diagnostic::is_error) || targets.is_empty() {
            return Err(problems);
        }
        problems.clear();
    }
    Ok(VerifyPlan { probe, targets, config: Some(config), problems })
}

fn unknown_mirror(config: &Config, probe: &Probe, target: &str) -> Diagnostic {
    let help = match arguments::alone(target) {
        Some(address) => format!("write the address alone: `{address}`; the configuration has the port"),
        None if *target == *probe.name => {
            format!("`{target}` is the name that all mirrors serve: `--all` probes each of them")
        }
        None => did_you_mean(target, "defined mirrors", config.mirrors.iter().map(|entry| &*entry.mirror.name)),
    };
    Diagnostic::error("unknown-mirror", format!("mirror `{target}` is not defined"))
        .at(Place::whole_file(&config.file), "")
        .help(help)
}

/// The probe of mirrors: that of `[probe]`, else one of the name and port of `[registry] blobs`, else one of the steered name.
pub(super) fn probe_of(config: &Config) -> Result<Probe, Vec<Diagnostic>> {
    let of_registry = |registry: &config::RegistryConfig| {
        Some(Probe { port: registry.mirror_port(), ..Probe::of_name(registry.mirror_name()?.into()) })
    };
    let meant = config.probe.clone().or_else(|| config.registry.as_ref().and_then(of_registry));
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

/// The results for an address.
struct VerifyResult<'f> {
    mirror: Option<&'f Mirror>,
    address: IpAddr,
    /// One for each protocol, the worse one first; at least one.
    each: &'f [Finding],
    probe: &'f Probe,
}

impl VerifyResult<'_> {
    /// The result of the worse protocol.
    fn worst(&self) -> &Finding {
        self.each.first().expect("each address has a result: Prober::probe_each")
    }

    /// Returns whether the canary was asked for.
    fn has_canary(&self) -> bool {
        let template = self.mirror.and_then(|mirror| mirror.content.template());
        self.probe.canary.is_some() && template.is_none_or(Template::is_by_digest)
    }

    fn as_text(&self, has_name: bool, layout: Layout) -> String {
        let (finding, address) = (self.worst(), self.address);
        let mirror = self.mirror.filter(|_| has_name).map(|mirror| format!("{}  ", mirror.name)).unwrap_or_default();
        let found = match &finding.cause {
            None if self.has_canary() => "connection, certificate and content are right".to_string(),
            None if self.probe.canary.is_some() => {
                "connection and certificate are right; its URL has no digest, so content was not checked".to_string()
            }
            None => "connection and certificate are right; no canary is set, so content was not checked".to_string(),
            Some(cause) => cause.to_string(),
        };
        let canary =
            self.probe.canary.as_ref().filter(|_| finding.cause.is_none() && self.has_canary()).map(|canary| {
                format!(
                    "`{}`, {}, has its digest, whole and in ranges",
                    canary.repository,
                    counted(canary.size, "byte")
                )
            });
        let took = finding.took.as_ref().map(|took| {
            let [connect, handshake, total] = [took.connect, took.handshake, finding.total].map(millis);
            format!("connection {connect:.1} ms, TLS {handshake:.1} ms, in all {total:.1} ms")
        });
        let facts = [
            ("  = help: ", finding.cause.as_ref().map(|cause| cause.remedy().to_string())),
            ("  url: ", self.url()),
            ("  protocols: ", self.protocols()),
            ("  certificate: ", finding.certificate.as_ref().map(|facts| certificate_text(facts))),
            ("  canary: ", canary),
            ("  time: ", took),
        ];
        let verdict = layout.sentence("", 2, &format!("{mirror}{address}  {}: {found}", finding.verdict.as_str()));
        let facts = facts.into_iter().filter_map(|(head, words)| Some(layout.sentence(head, head.len(), &words?)));
        facts.fold(verdict, |text, fact| text + &fact)
    }

    /// The URL of the mirror. `None` if it has the steered name.
    fn url(&self) -> Option<String> {
        self.mirror?.content.url.as_ref().map(ToString::to_string)
    }

    /// The version of TLS, and the verdict over each protocol; `None` if there was no handshake.
    fn protocols(&self) -> Option<String> {
        let tls = self.worst().tls?;
        let mut each: Vec<_> = self.each.iter().filter_map(|one| Some((one.spoken?, one.verdict))).collect();
        each.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
        let each = each.into_iter().map(|(version, verdict)| format!(", {} {}", version.title(), verdict.as_str()));
        Some(format!("{tls}{}", each.collect::<String>()))
    }

    fn as_json(&self) -> String {
        let finding = self.worst();
        let cause = finding.cause.as_ref();
        let certificate = finding.certificate.as_ref().map(|facts| facts_json(facts)).unwrap_or(Value::Null);
        let protocols = self
            .each
            .iter()
            .filter_map(|one| Some((one.spoken?.as_str().to_string(), one.verdict.as_str().into())))
            .collect::<serde_json::Map<_, _>>();
        let value = json!({
            "mirror": self.mirror.map(|mirror| &*mirror.name),
            "address": self.address.to_string(),
            "url": self.url(),
            "verdict": finding.verdict.as_str(),
            "steered_to": finding.verdict.is_good(),
            "cause": cause.map(|cause| cause.as_str()),
            "reason": cause.map(ToString::to_string),
            "remedy": cause.map(|cause| cause.remedy()),
            "protocols": protocols,
            "tls": finding.tls,
            "certificate": certificate,
            "canary": self.probe.canary.as_ref().filter(|_| self.has_canary()).map(|canary| json!({
                "repository": &*canary.repository,
                "digest": format!("sha256:{}", canary.sha256),
                "size": canary.size,
            })),
            "milliseconds": {
                "connection": finding.took.map(|took| millis(took.connect)),
                "tls": finding.took.map(|took| millis(took.handshake)),
                "total": millis(finding.total),
            },
        });
        format!("{value}\n")
    }
}

/// The most names of a certificate that the text has; JSON has all.
const MAX_NAMES: usize = 5;

fn certificate_text(facts: &LeafFacts) -> String {
    let names = match list(facts.names.iter().take(MAX_NAMES).map(String::as_str)) {
        none if none.is_empty() => "no name".to_string(),
        names if facts.names.len() > MAX_NAMES => format!("{names} and {} more", facts.names.len() - MAX_NAMES),
        names => names,
    };
    let issuer = format!("for {names}, issued by `{}`", facts.issuer);
    let end = facts.not_after;
    let now = Clock::unix().as_secs();
    match end.as_secs().checked_sub(now) {
        Some(left) => format!("{issuer}, ends {} ({} left)", minute(end), span(left)),
        None => format!("{issuer}, ended {} ({} ago)", minute(end), span(now - end.as_secs())),
    }
}

/// Milliseconds to three digits.
fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}
