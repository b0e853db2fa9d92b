//! The service: everything put together, started, reloaded and stopped.
//!
//! [`run`] compiles the configuration, binds the ports, publishes the snapshot, starts the listeners, and then handles
//! signals: SIGHUP reloads, SIGUSR1 opens the request log again, SIGTERM and SIGINT stop.
//!
//! **Invariants**: no query is answered before everything is ready; a reload that fails changes nothing; each change of
//! state is one log line.
//! **Not here**: the services themselves ([`crate::dns`], [`crate::http`]).

mod bundles;
mod candidates;
mod certificates;
mod dns;
mod failure;
mod fleet;
mod guard;
mod identities;
mod limits;
mod mirrors;
mod prepare;
mod records;
mod reload;
mod running;
mod services;
mod signing;
mod start;
mod states;
mod tries;
mod watch;
mod web;

use std::io;
use std::path::Path;

use tracing::{debug, info, warn};

use crate::base::diagnostic::Diagnostic;
use crate::base::time::Generation;
use crate::compile::Built;
use crate::files::{self, FileStates, Intake};
use crate::live::{BundleLoad, BundleRequest};
use crate::load::hosts::Purpose;
use crate::process::work;
use crate::process::{self, Signal, Signals, Supervisor, Vital};
use bundles::StartBundle;
pub(crate) use failure::{Failure, log_failure};
use failure::{log_problems, one_line};
pub(crate) use fleet::prepare as open_fleet;
use prepare::{Prepared, prepare};
use reload::{Asked, Done, Reloads};
pub(crate) use running::RunningService;
use services::Services;
use watch::FileWatch;

/// Compiles a configuration and reads all files that it names, as a start does first.
pub(crate) fn rehearse(path: &Path) -> Result<Built, Vec<Diagnostic>> {
    prepare(path, Generation(1), &Purpose::Check, &Intake::default()).map(|prepared| prepared.built)
}

/// Serves a configuration until told to stop.
pub(crate) fn run(path: &Path) -> Result<(), Failure> {
    if let Err(error) = process::forbid_dumps() {
        warn!(%error, "failed to keep keys out of core files");
    }
    let open_files = process::raise_open_files();
    work::start().map_err(Failure::Threads)?;
    files::start().map_err(Failure::Threads)?;
    let (prepared, read, bundle) = bundles::prepare_start(path).map_err(Failure::Config)?;
    log_problems(&prepared.built.warnings);
    limits::warn_of_open_files(open_files, &prepared.built.config);
    let more = crate::dns::udp_threads(&prepared.built.config.dns) + work::SPARE_THREADS;
    let runtime = work::runtime(more).map_err(Failure::Threads)?;
    let done = runtime.block_on(serve(path, prepared, read, bundle));
    // At most a reload is still running, and its outcome is not needed.
    runtime.shutdown_background();
    done
}

async fn serve(path: &Path, prepared: Prepared, read: FileStates, bundle: StartBundle) -> Result<(), Failure> {
    let mut signals = Signals::listen().map_err(Failure::system("listen to signals"))?;
    let supervisor = Supervisor::from_environment().map_err(Failure::system("reach the supervisor"))?;
    let (vital, mut ends) = Vital::new();
    let mut watch = FileWatch::new(prepared.built.config.watch, read);
    let layer = bundle.layer.clone();
    let mut services = Services::start(prepared, path, bundle.last, &vital).await?;
    told(supervisor.ready());
    let mut reloads = Reloads::new(path, layer, services.inputs());
    loop {
        tokio::select! {
            signal = signals.next() => match signal {
                Signal::Reload => {
                    info!("reloading {}", path.display());
                    told(supervisor.reloading());
                    watch.asked_by_others();
                    reloads.ask();
                }
                Signal::Reopen => services.reopen_log(),
                Signal::Stop => break,
            },
            ended = ends.next() => return Err(Failure::Ended(ended)),
            changed = watch.changed() => {
                info!("`{}` has changed: reloading {}", changed.display(), path.display());
                told(supervisor.reloading());
                reloads.ask();
            }
            Some(asked) = services.asked.recv() => {
                let what = if asked.request.is_dry { "comparing" } else { "reloading" };
                info!("{what} {}, as an operator asked", path.display());
                told(supervisor.reloading());
                if !asked.request.is_dry {
                    watch.asked_by_others();
                }
                reloads.ask_for(asked);
            }
            Some(candidate) = services.candidates.recv(), if reloads.are_over() => {
                reloads.judge(services.configured(), candidate);
            }
            Some(load) = services.bundles.recv(), if reloads.are_over() => {
                told(supervisor.reloading());
                reloads.load(load);
            }
            done = reloads.next() => match done {
                Done::Judged(judged) => if let Some(judged) = judged {
                    services.take_content(judged).await;
                },
                Done::Reload(outcome, asked) => {
                    take_reload(&mut services, &mut watch, *outcome, asked, &mut reloads).await;
                    if reloads.are_over() {
                        told(supervisor.ready());
                    }
                }
            }
        }
    }
    info!("stopping");
    told(supervisor.stopping());
    tokio::select! {
        () = services.stop() => info!("stopped"),
        () = second_stop(&mut signals) => warn!("stopped at once, as told again"),
    }
    Ok(())
}

/// Serves the outcome of a reload, and answers the requests for it.
async fn take_reload(
    services: &mut Services,
    watch: &mut FileWatch,
    outcome: Result<Prepared, Vec<Diagnostic>>,
    mut asked: Asked,
    reloads: &mut Reloads,
) {
    let (terms, read) = (asked.terms(), reloads.take_read());
    let next_watch = outcome.as_ref().ok().map(|prepared| prepared.built.config.watch);
    let outcome = match asked.bundle.take() {
        Some(BundleRequest { request: BundleLoad { layer, terms, keep }, reply }) => {
            let outcome = services.load(outcome, &terms, keep).await;
            if outcome.is_accepted {
                reloads.set_layer(layer);
            }
            // The rollout has ended with the process.
            let _ = reply.send(bundles::outcome(&outcome));
            outcome
        }
        None => {
            let mut outcome = services.reload(outcome, &terms).await;
            outcome.remarks.extend(reloads.layer().map(bundles::remark));
            outcome
        }
    };
    asked.answer(&outcome);
    match next_watch {
        _ if terms.is_dry => {}
        Some(next) if outcome.is_accepted => watch.served(next, read),
        _ => watch.refused(read),
    }
}

async fn second_stop(signals: &mut Signals) {
    while signals.next().await != Signal::Stop {}
}

/// Logs a failed message to the supervisor. The server serves anyway.
fn told(outcome: io::Result<()>) {
    if let Err(error) = outcome {
        debug!(%error, "failed to tell the supervisor");
    }
}
