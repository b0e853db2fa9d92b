//! `pharos fleet push`, `halt` and `resume`: change the rollout in the store of the fleet.
//!
//! These commands go to the store and not to a server, so that a pipeline can run them.
//!
//! **Invariants**: nothing is pushed that `check` refuses; the pointer of the rollout moves last.
//! **Not here**: the bundle ([`super::bundle`]), the store ([`crate::sharing`]), the servers' decisions ([`crate::fleet`]).

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::bundle::{self, MadeBundle};
use super::layout::Layout;
use super::output::note;
use super::server::{AskOptions, parse_reason};
use super::{BAD_COMMAND, BAD_CONFIG, CommandFailure, CommandResult, NO_SERVER, OK, warn};
use crate::base::diagnostic::did_you_mean;
use crate::base::share::Share;
use crate::base::when::{parse_millis, written_millis};
use crate::config::{self, FleetConfig};
use crate::control::client;
use crate::files;
use crate::fleet::{ContentDigest, Rollout, RolloutAct, RolloutReport, RolloutStages};
use crate::process::Clock;
use crate::process::work::{self, SPARE_THREADS};
use crate::serve;
use crate::sharing::{PushError, ReadRollout, RolloutStore, SentObjects};

/// The longest soak in milliseconds, as in the configuration.
const MAX_SOAK_MS: u64 = 7 * 86_400_000;

/// Arguments of `pharos fleet push`.
#[derive(Debug, clap::Args)]
pub(super) struct PushArgs {
    /// A stage: the servers that load the bundle next. Repeat it for further stages; all other servers are the last one. Without
    /// this `[fleet] stages`
    #[arg(long = "stage", value_name = "NAME[,NAME]")]
    stages: Vec<String>,

    /// Time for which each stage serves the bundle before the next one loads it; without it `[fleet] soak`
    #[arg(long, value_name = "DURATION", value_parser = parse_soak)]
    soak: Option<u64>,

    /// Let this bundle move that share of the clients, like 12%, instead of the limits of `[guard]`
    #[arg(long, value_name = "SHARE", value_parser = Share::parse)]
    allow_moved: Option<Share>,

    /// Reason, for the other operators
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    reason: Option<String>,

    /// Push the bundle before again, if most servers served it; to all servers at once unless there is `--stage`
    #[arg(long)]
    previous: bool,
}

/// Arguments of `pharos fleet halt`.
#[derive(Debug, clap::Args)]
pub(super) struct HaltArgs {
    /// Reason, for the other operators
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    reason: Option<String>,
}

/// A change of the rollout.
#[derive(Clone, Copy, Debug)]
pub(super) enum RolloutChange<'a> {
    Push(&'a PushArgs),
    Halt(&'a HaltArgs),
    Resume,
}

/// The outcome, as JSON.
#[derive(Debug, Serialize)]
struct RolloutDone {
    bundle: ContentDigest,
    previous: Option<ContentDigest>,
    stages: RolloutStages,
    soak_seconds: u64,
    halted: bool,
    sent_objects: usize,
    sent_bytes: u64,
}

impl From<PushError> for CommandFailure {
    fn from(error: PushError) -> Self {
        let code = if matches!(error, PushError::Store(_)) { NO_SERVER } else { BAD_CONFIG };
        CommandFailure::new(error.to_string(), error.help(), code)
    }
}

/// Changes the rollout, prints the outcome, and returns the exit code.
pub(super) fn run(config: &Path, change: RolloutChange<'_>, asking: &AskOptions) -> CommandResult {
    let made = match change {
        RolloutChange::Push(args) if !args.previous => Some(bundle::make(config)?),
        _ => None,
    };
    // A way back needs nothing of the files that the configuration names, which may be the reason for it.
    let config = match &made {
        Some(made) => made.config.clone(),
        None => config::read_file(config)?.config,
    };
    let fleet = config.fleet.as_ref().ok_or_else(|| {
        let help = "name the configuration of a server of the fleet: `[fleet]` has the store and the key";
        CommandFailure::new("the configuration belongs to no fleet", help, BAD_CONFIG)
    })?;
    let mut problems = Vec::new();
    let prepared = serve::open_fleet(&config, &mut problems).ok_or(problems)?;
    let store = RolloutStore { store: prepared.files, key: prepared.key };
    let started = work::start().and_then(|()| files::start()).and_then(|()| work::runtime(SPARE_THREADS));
    let runtime = started.map_err(CommandFailure::system("start the runtime"))?;
    let unsent = |rollout| (rollout, SentObjects::default());
    let (rollout, sent) = runtime.block_on(async {
        match (change, &made) {
            (RolloutChange::Push(args), Some(made)) => push(&store, made, fleet, args).await,
            (RolloutChange::Push(args), None) => push_previous(&store, fleet, args).await.map(unsent),
            (RolloutChange::Halt(args), _) => halt(&store, Some(act(args.reason.clone()))).await.map(unsent),
            (RolloutChange::Resume, _) => halt(&store, None).await.map(unsent),
        }
    })?;
    let done = RolloutDone {
        bundle: rollout.bundle.clone(),
        previous: rollout.previous.clone(),
        stages: rollout.stages.clone(),
        soak_seconds: rollout.soak_ms / 1000,
        halted: rollout.halted.is_some(),
        sent_objects: sent.objects,
        sent_bytes: sent.bytes,
    };
    Ok(asking.print(&done, |_, layout| text(&rollout, sent, layout), OK))
}

async fn push(
    store: &RolloutStore,
    made: &MadeBundle,
    fleet: &FleetConfig,
    args: &PushArgs,
) -> Result<(Rollout, SentObjects), CommandFailure> {
    let (read, next) = begin(store, fleet, args).await?;
    store.check_lengths(&made.bundle)?;
    let mut sent = store.send(&made.bundle, &made.contents).await?;
    // Never a bundle that most servers do not serve, that one rejects, or that an operator has halted.
    let previous = read.rollout.as_ref().and_then(|before| {
        let is_way_back = before.bundle != made.digest && before.is_established(next.servers.values());
        if is_way_back { Some(before.bundle.clone()) } else { before.previous.clone() }
    });
    let previous = previous.filter(|previous| *previous != made.digest);
    let rollout = Rollout::new(
        next.serial,
        (made.digest.clone(), previous.clone()),
        (next.stages.unwrap_or_else(|| fleet.stages.clone()), args.soak.unwrap_or(fleet.soak.as_millis() as u64)),
        args.allow_moved.map(|share| share.to_string()),
        act(args.reason.clone()),
    );
    store.replace(&read, &rollout).await?;
    let again = store.send(&made.bundle, &made.contents).await?;
    (sent.objects, sent.bytes) = (sent.objects + again.objects, sent.bytes + again.bytes);
    store.clean(&made.bundle, previous.as_ref()).await;
    if !made.left.is_empty() {
        let names: Vec<String> = made.left.iter().map(|file| format!("`{file}`")).collect();
        note(&format!("each machine keeps its own {}", names.join(", ")));
    }
    Ok((rollout, sent))
}

async fn push_previous(store: &RolloutStore, fleet: &FleetConfig, args: &PushArgs) -> Result<Rollout, CommandFailure> {
    let (read, next) = begin(store, fleet, args).await?;
    let before = read.rollout.clone().ok_or_else(no_rollout)?;
    let previous = before.previous.ok_or_else(|| {
        let error = "there is no bundle to go back to: the present one is the first, or a way back itself";
        CommandFailure::new(error, "push the configuration of an earlier revision", BAD_CONFIG)
    })?;
    store.bundle(&previous).await?;
    // A way back that moved clients on its way here moves as many again.
    let allow_moved = args.allow_moved.map(|share| share.to_string()).or(before.allow_moved);
    // A second way back must not lead forward again, to the bundle that was the reason for the first.
    let rollout = Rollout::new(
        next.serial,
        (previous, None),
        (next.stages.unwrap_or_else(RolloutStages::at_once), args.soak.unwrap_or(before.soak_ms)),
        allow_moved,
        act(args.reason.clone()),
    );
    store.replace(&read, &rollout).await?;
    Ok(rollout)
}

/// Halts the rollout, or has it go on.
async fn halt(store: &RolloutStore, halted: Option<RolloutAct>) -> Result<Rollout, CommandFailure> {
    let read = store.read().await?;
    let before = match (read.rollout.clone(), read.fault) {
        (Some(before), _) => before,
        (None, Some(fault)) => return Err(PushError::Unreadable(fault).into()),
        (None, None) => return Err(no_rollout()),
    };
    if before.halted.is_some() == halted.is_some() {
        return Ok(before);
    }
    let serial = Rollout::serial_after(Some(before.serial), Clock::civil_millis());
    let rollout = before.with_halt(serial, halted);
    store.replace(&read, &rollout).await?;
    Ok(rollout)
}

/// The terms of the next push.
struct NextPush {
    serial: u64,
    /// The stages of the command line. `None` without any.
    stages: Option<RolloutStages>,
    /// The servers of the fleet.
    servers: BTreeMap<String, RolloutReport>,
}

/// Reads the rollout, and checks the stages of the command line and of the configuration.
async fn begin(
    store: &RolloutStore,
    fleet: &FleetConfig,
    args: &PushArgs,
) -> Result<(ReadRollout, NextPush), CommandFailure> {
    let stages = if args.stages.is_empty() {
        None
    } else {
        Some(RolloutStages::parse(args.stages.iter().map(String::as_str)).map_err(|fault| {
            let help = "write each server once, those of one stage with commas";
            CommandFailure::new(format!("the stages cannot be used: {fault}"), help, BAD_COMMAND)
        })?)
    };
    let read = store.read().await?;
    if let Some(fault) = read.fault {
        warn(&format!("the rollout in the store is replaced, because it cannot be used: {fault}"));
    }
    let servers = store.servers().await?;
    let configured = (!args.previous).then_some(&fleet.stages);
    let named = stages.as_ref().or(configured).into_iter().flat_map(|stages| stages.named().iter().flatten());
    if let Some(unknown) = named.clone().find(|name| !servers.contains_key(*name)) {
        let help = did_you_mean(unknown, "servers of the fleet", servers.keys().map(String::as_str));
        let error = format!("server `{unknown}` has no document in the store, so later stages would wait for it");
        return Err(CommandFailure::new(error, help, BAD_CONFIG));
    }
    let accepted = servers.values().map(|report| report.serial);
    let last = accepted.chain(read.rollout.as_ref().map(|rollout| rollout.serial)).max();
    let serial = Rollout::serial_after(last, Clock::civil_millis());
    Ok((read, NextPush { serial, stages, servers }))
}

fn act(reason: Option<String>) -> RolloutAct {
    RolloutAct { by: client::operator(), reason, at: Clock::civil().0 }
}

fn no_rollout() -> CommandFailure {
    CommandFailure::new("the store has no rollout", "`pharos fleet push` pushes a bundle", BAD_CONFIG)
}

fn text(rollout: &Rollout, sent: SentObjects, layout: Layout) -> String {
    let Rollout { bundle, stages, .. } = rollout;
    let state = match &rollout.halted {
        Some(act) => format!("bundle {bundle} is halted by {act}: servers that serve it go on"),
        None if stages.len() == 1 => format!("bundle {bundle} is pushed to all servers at once"),
        None => {
            let soak = written_millis(rollout.soak_ms);
            format!("bundle {bundle} is pushed to {stages}, each after {soak} of the one before")
        }
    };
    let SentObjects { objects, bytes } = sent;
    let sent = (objects > 0).then(|| format!("sent: {objects} objects of {bytes} bytes"));
    let next = "`pharos fleet status` shows how far it is".to_string();
    [Some(state), sent, Some(next)].iter().flatten().map(|sentence| layout.sentence("", 2, sentence)).collect()
}

/// Parses a soak in milliseconds.
fn parse_soak(text: &str) -> Result<u64, &'static str> {
    parse_millis(text).filter(|millis| *millis <= MAX_SOAK_MS).ok_or("write a duration up to 7d, like 10m")
}
