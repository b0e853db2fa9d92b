//! `[acme]`: the state file, the listener and the peers of ACME challenges.
//!
//! **Not here**: the credentials of mirrors ([`super::credential`]), the owners of challenges ([`super::meaning`]), the tokens
//! ([`crate::challenge`]).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::credential::CredentialConfig;
use super::encrypted::{TlsFiles, TlsSpec};
use super::field::section;
use super::row::{LISTEN_FORM, file, same, table, texts};
use super::transfer::Remote;
use super::{FileUse, PlacedText};
use crate::challenge::Challenges;

section! {
    /// `[acme]` as written.
    pub(super) struct AcmeSpec: "[acme]" {
        /// File that keeps the tokens of challenges across restarts.
        ///
        /// A token is written to it before its client gets an answer, so that it outlives even a killed server.
        state: Option<PlacedText> = file("state", FileUse::Challenges)
            .required()
            .restart_with_table()
            .example("\"/var/lib/pharos/acme.json\""),

        /// Listen addresses for clients that set challenges over HTTP (acme-dns, httpreq), with `user` and
        /// `password-sha256`. Off loopback `tls` is required.
        ///
        /// Off by default, because most clients use signed updates over DNS.
        listen: Vec<PlacedText> = texts("listen", LISTEN_FORM).restart_with_table().example("[\"127.0.0.1:8553\"]"),

        /// Certificate and key of `listen`.
        tls: Option<TlsSpec> = table::<TlsSpec>("tls")
            .otherwise("plain HTTP")
            .restart_unless_kept(same!(config => config.acme.as_ref().map(|acme| acme.tls.is_some())))
            .example("{ cert = \"fullchain.pem\", key = \"privkey.pem\" }"),

        /// The other servers of the zones, each with the key that signs its messages: `ADDRESS[:PORT] key:NAME`.
        ///
        /// A certificate authority asks any server of a zone, so that each needs the tokens that another has taken.
        peers: Vec<PlacedText> = texts("peers", "`ADDRESS[:PORT] key:NAME`")
            .otherwise("none")
            .example("[\"192.0.2.54 key:peers.example\"]"),
    }
}

/// `[acme]`: the state and the credentials of ACME challenges. Off without the table.
#[derive(Clone, Debug)]
pub(crate) struct AcmeConfig {
    /// The file that keeps tokens across restarts.
    pub(crate) state: PathBuf,
    /// Listen addresses for requests over HTTP.
    pub(crate) listen: Vec<SocketAddr>,
    /// The certificate and key of `listen`. `None` means plain HTTP.
    pub(crate) tls: Option<TlsFiles>,
    /// The other servers of the zones.
    pub(crate) peers: Vec<Remote>,
    /// The credentials and owners.
    pub(crate) challenges: Arc<Challenges>,
    /// The credentials that are written well, for commands and checks.
    pub(crate) credentials: Vec<CredentialConfig>,
}
