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
use super::server::{as_json, parse_reason};
use super::simulate::parse_share;
use super::{BAD_CONFIG, CANNOT_START, NO_SERVER, OK, complain, complain_of, put};
use crate::base::diagnostic::did_you_mean;
use crate::base::share::Share;
use crate::base::when::{parse_millis, written_millis};
use crate::config::{self, Config};
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

    /// How long each stage serves the bundle before the next one loads it; without this `[fleet] soak`
    #[arg(long, value_name = "DURATION", value_parser = parse_soak)]
    soak: Option<u64>,

    /// Let this bundle move that share of the clients, like 12%, instead of the limits of `[guard]`
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    allow_moved: Option<Share>,

    /// Why, for the other operators
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    reason: Option<String>,

    /// Push the bundle before again, if most servers served it; to all servers at once unless there is `--stage`
    #[arg(long)]
    previous: bool,
}

/// Arguments of `pharos fleet halt`.
#[derive(Debug, clap::Args)]
pub(super) struct HaltArgs {
    /// Why, for the other operators
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

/// A command that cannot be carried out: the sentence, the remedy, and the exit code.
type Refused = (String, Option<String>, u8);

/// Changes the rollout, prints the outcome, and returns the exit code.
pub(super) fn run(config: &Path, change: RolloutChange<'_>, is_json: bool) -> u8 {
    let made = match change {
        RolloutChange::Push(args) if !args.previous => bundle::make(config).map(Some),
        _ => Ok(None),
    };
    // A way back needs nothing of the files that the configuration names, which may be the reason for it.
    let read = made.and_then(|made| match &made {
        Some(MadeBundle { config, .. }) => Ok((config.clone(), made)),
        None => Ok((config::read_file(config)?.config, None)),
    });
    let (config, made) = match read {
        Ok(read) => read,
        Err(problems) => {
            complain_of(&problems);
            return BAD_CONFIG;
        }
    };
    let store = match open(&config) {
        Ok(store) => store,
        Err(code) => return code,
    };
    let started = work::start().and_then(|()| files::start()).and_then(|()| work::runtime(SPARE_THREADS));
    let runtime = match started {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format_args!("failed to start the runtime: {}", files::words(&error)), None);
            return CANNOT_START;
        }
    };
    let done = runtime.block_on(async {
        match (change, &made) {
            (RolloutChange::Push(args), Some(made)) => push(&store, made, args).await,
            (RolloutChange::Push(args), None) => push_previous(&store, &config, args).await,
            (RolloutChange::Halt(args), _) => halt(&store, Some(act(args.reason.clone()))).await,
            (RolloutChange::Resume, _) => halt(&store, None).await,
        }
    });
    match done {
        Ok((rollout, sent)) => put(&shown(&rollout, sent, is_json), OK),
        Err((error, help, code)) => {
            complain(&error, help.as_deref());
            code
        }
    }
}

/// The store of a configuration, and the key.
fn open(config: &Config) -> Result<RolloutStore, u8> {
    if config.fleet.is_none() {
        let help = "name the configuration of a server of the fleet: `[fleet]` has the store and the key";
        complain(&"the configuration belongs to no fleet", Some(help));
        return Err(BAD_CONFIG);
    }
    let mut problems = Vec::new();
    let prepared = serve::open_fleet(config, &mut problems);
    match prepared {
        Some(prepared) => Ok(RolloutStore { store: prepared.files, key: prepared.key }),
        None => {
            complain_of(&problems);
            Err(BAD_CONFIG)
        }
    }
}

async fn push(store: &RolloutStore, made: &MadeBundle, args: &PushArgs) -> Result<(Rollout, SentObjects), Refused> {
    let (read, next) = begin(store, &made.config, args).await?;
    store.check_lengths(&made.bundle).map_err(refused)?;
    let mut sent = store.send(&made.bundle, &made.contents).await.map_err(refused)?;
    // Never a bundle that most servers do not serve, that one rejects, or that an operator has halted.
    let previous = read.rollout.as_ref().and_then(|before| {
        let is_way_back = before.bundle != made.digest && before.is_established(next.servers.values());
        if is_way_back { Some(before.bundle.clone()) } else { before.previous.clone() }
    });
    let previous = previous.filter(|previous| *previous != made.digest);
    let configured = made.config.fleet.as_ref().map(|fleet| (fleet.stages.clone(), fleet.soak.as_millis() as u64));
    let (stages, soak_ms) = configured.unwrap_or_else(|| (RolloutStages::at_once(), 0));
    let rollout = Rollout::new(
        next.serial,
        (made.digest.clone(), previous.clone()),
        (next.stages.unwrap_or(stages), args.soak.unwrap_or(soak_ms)),
        args.allow_moved.map(|share| share.to_string()),
        act(args.reason.clone()),
    );
    store.replace(&read, &rollout).await.map_err(refused)?;
    let again = store.send(&made.bundle, &made.contents).await.map_err(refused)?;
    (sent.objects, sent.bytes) = (sent.objects + again.objects, sent.bytes + again.bytes);
    store.clean(&made.bundle, previous.as_ref()).await;
    if !made.left.is_empty() {
        let names: Vec<String> = made.left.iter().map(|file| format!("`{file}`")).collect();
        note(&format!("each machine keeps its own {}", names.join(", ")));
    }
    Ok((rollout, sent))
}

async fn push_previous(
    store: &RolloutStore,
    config: &Config,
    args: &PushArgs,
) -> Result<(Rollout, SentObjects), Refused> {
    let (read, next) = begin(store, config, args).await?;
    let before = read.rollout.clone().ok_or_else(no_rollout)?;
    let previous = before.previous.ok_or_else(|| {
        let help = "push the configuration of an earlier revision";
        let error = "there is no bundle to go back to: the present one is the first, or a way back itself";
        (error.to_string(), Some(help.to_string()), BAD_CONFIG)
    })?;
    store.bundle(&previous).await.map_err(refused)?;
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
    store.replace(&read, &rollout).await.map_err(refused)?;
    Ok((rollout, SentObjects::default()))
}

/// Halts the rollout, or has it go on.
async fn halt(store: &RolloutStore, halted: Option<RolloutAct>) -> Result<(Rollout, SentObjects), Refused> {
    let read = store.read().await.map_err(refused)?;
    let before = match (read.rollout.clone(), read.fault) {
        (Some(before), _) => before,
        (None, Some(fault)) => return Err(refused(PushError::Unreadable(fault))),
        (None, None) => return Err(no_rollout()),
    };
    if before.halted.is_some() == halted.is_some() {
        return Ok((before, SentObjects::default()));
    }
    let serial = Rollout::serial_after(Some(before.serial), Clock::civil_millis());
    let rollout = before.with_halt(serial, halted);
    store.replace(&read, &rollout).await.map_err(refused)?;
    Ok((rollout, SentObjects::default()))
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
async fn begin(store: &RolloutStore, config: &Config, args: &PushArgs) -> Result<(ReadRollout, NextPush), Refused> {
    let stages = match args.stages.is_empty() {
        true => None,
        false => Some(RolloutStages::parse(args.stages.iter().map(String::as_str)).map_err(|fault| {
            let help = "write each server once, those of one stage with commas";
            (format!("the stages cannot be used: {fault}"), Some(help.to_string()), super::BAD_COMMAND)
        })?),
    };
    let read = store.read().await.map_err(refused)?;
    if let Some(fault) = read.fault {
        super::warn(&format!("the rollout in the store is replaced, because it cannot be used: {fault}"));
    }
    let servers = store.servers().await.map_err(refused)?;
    let configured = config.fleet.as_ref().filter(|_| !args.previous).map(|fleet| &fleet.stages);
    let named = stages.as_ref().or(configured).into_iter().flat_map(|stages| stages.named().iter().flatten());
    if let Some(unknown) = named.clone().find(|name| !servers.contains_key(*name)) {
        let help = did_you_mean(unknown, "servers of the fleet", servers.keys().map(String::as_str));
        let error = format!("server `{unknown}` has no document in the store, so later stages would wait for it");
        return Err((error, Some(help), BAD_CONFIG));
    }
    let accepted = servers.values().map(|report| report.serial);
    let last = accepted.chain(read.rollout.as_ref().map(|rollout| rollout.serial)).max();
    let serial = Rollout::serial_after(last, Clock::civil_millis());
    Ok((read, NextPush { serial, stages, servers }))
}

fn act(reason: Option<String>) -> RolloutAct {
    RolloutAct { by: client::operator(), reason, at: Clock::civil().0 }
}

fn no_rollout() -> Refused {
    ("the store has no rollout".into(), Some("`pharos fleet push` pushes a bundle".into()), BAD_CONFIG)
}

fn refused(error: PushError) -> Refused {
    let code = if matches!(error, PushError::Store(_)) { NO_SERVER } else { BAD_CONFIG };
    (error.to_string(), Some(error.help().to_string()), code)
}

/// The outcome as text or JSON.
fn shown(rollout: &Rollout, sent: SentObjects, is_json: bool) -> String {
    if is_json {
        return as_json(&RolloutDone {
            bundle: rollout.bundle.clone(),
            previous: rollout.previous.clone(),
            stages: rollout.stages.clone(),
            soak_seconds: rollout.soak_ms / 1000,
            halted: rollout.halted.is_some(),
            sent_objects: sent.objects,
            sent_bytes: sent.bytes,
        });
    }
    let layout = Layout::of_stdout();
    let Rollout { bundle, stages, .. } = rollout;
    let mut text = match &rollout.halted {
        Some(act) => {
            layout.sentence("", 2, &format!("bundle {bundle} is halted by {act}: servers that serve it go on"))
        }
        None if stages.len() == 1 => {
            layout.sentence("", 2, &format!("bundle {bundle} is pushed to all servers at once"))
        }
        None => {
            let soak = written_millis(rollout.soak_ms);
            layout.sentence(
                "",
                2,
                &format!("bundle {bundle} is pushed to {stages}, each after {soak} of the one before"),
            )
        }
    };
    if sent.objects > 0 {
        let SentObjects { objects, bytes } = sent;
        text += &layout.sentence("", 2, &format!("sent: {objects} objects of {bytes} bytes"));
    }
    text + &layout.sentence("", 2, "`pharos fleet status` shows how far it is")
}

/// Parses a soak in milliseconds.
fn parse_soak(text: &str) -> Result<u64, &'static str> {
    parse_millis(text).filter(|millis| *millis <= MAX_SOAK_MS).ok_or("write a duration up to 7d, like 10m")
}
