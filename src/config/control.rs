//! `[control]`: the socket for overrides and questions to the running server.
//!
//! **Invariants**: a [`ControlConfig`] has both of its files.
//! **Not here**: looking up the group ([`crate::load`]); the token of `[admin]`, which accepts overrides too ([`super::admin`]).

use std::path::PathBuf;
use std::sync::Arc;

use super::check::Check;
use super::field::section;
use super::row::{file, text};
use super::{FileUse, Placed, PlacedText, value};

section! {
    /// `[control]` as written.
    pub(super) struct ControlSpec: "[control]" {
        /// Unix socket for `pharos mirror`, `pharos status` and other requests to the running server. At most 103 bytes
        /// with the folder of the configuration.
        ///
        /// It has no default, because a server without overrides needs no writable folder.
        socket: Option<PlacedText> = file("socket", FileUse::Socket)
            .required()
            .restart_with_table()
            .example("\"/run/pharos/control.sock\""),

        /// Group of users, by name or number, whose members may connect to the socket and set overrides too. The server's
        /// user must be a member, or root.
        ///
        /// Without it only root and the server's user can connect, because overrides move all clients.
        group: Option<PlacedText> = text("group", "name or number of a group").restart_with_table().example("\"pharos-operators\""),

        /// File that keeps overrides across restarts.
        ///
        /// An override is written to it before the command returns, so that it outlives even a killed server.
        state: Option<PlacedText> = file("state", FileUse::Overrides)
            .required()
            .restart_with_table()
            .example("\"/var/lib/pharos/orders.json\""),
    }
}

/// `[control]`: overrides for the running server, and questions to it. Off without the table.
#[derive(Clone, Debug)]
pub(crate) struct ControlConfig {
    /// The Unix socket to listen on.
    pub(crate) socket: PathBuf,
    /// The group whose members may connect to the socket, by name or number. `None` keeps it to the server's user and root.
    pub(crate) group: Option<Placed<Arc<str>>>,
    /// The file that keeps overrides across restarts.
    pub(crate) state: PathBuf,
}

impl Check<'_> {
    pub(super) fn check_control(&mut self, spec: &ControlSpec) -> Option<ControlConfig> {
        let socket = spec.socket.as_ref().and_then(|text| self.socket(text, "/run/pharos/control.sock"));
        let state = spec.state.as_ref().and_then(|text| self.path(text));
        let group = spec.group.as_ref().and_then(|text| self.parse_placed(text, value::group));
        Some(ControlConfig { socket: socket?, group, state: state? })
    }
}
