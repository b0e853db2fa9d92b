//! The operator's desk, from the configuration to the listeners that pass requests to it.
//!
//! **Not here**: answers and overrides ([`crate::control`]), the token ([`crate::http`]).

use std::sync::Arc;

use super::Failure;
use crate::config::Config;
use crate::control::{Caller, Control, Desk};
use crate::http::DeskHandler;
use crate::listen::Common;
use crate::live::Readiness;
use crate::process::state::StateFiles;

/// Binds the socket and reads the overrides in force; `None` without `[control]`.
///
/// `group` is the number of the group of `[control] group`.
pub(super) fn open(
    config: &Config,
    group: Option<u32>,
    readiness: &Arc<Readiness>,
    files: &StateFiles,
    desk: &Arc<Desk>,
    common: &Common,
) -> Result<Option<Control>, Failure> {
    let open = |control| {
        let fleet = config.fleet.as_ref();
        Control::open(control, group, readiness.clone(), files.clone(), desk.clone(), fleet, common)
            .map_err(Failure::Control)
    };
    config.control.as_ref().map(open).transpose()
}

/// The desk as a handler of the admin listener.
pub(super) fn handler(desk: &Arc<Desk>) -> DeskHandler {
    let desk = desk.clone();
    Arc::new(move |address, head, body| {
        let desk = desk.clone();
        Box::pin(async move { desk.answer(Caller::Token(address), head, body).await })
    })
}
