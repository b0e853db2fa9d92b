//! `[dnstap]`: copies of responses for a reader of the operator.
//!
//! **Invariants**: a [`DnstapConfig`] has exactly one reader; the address of a client is copied whole only if the operator has
//! written so.
//! **Not here**: the copies ([`crate::telemetry::tap`]), the connection to the reader ([`crate::tap`]).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::check::Check;
use super::field::section;
use super::row::{number, text, texts};
use super::value::{self, Fault};
use super::{PlacedText, limits};
use crate::base::diagnostic::Diagnostic;
use crate::base::logged::LoggedClients;
use crate::base::words::{Worded as _, words};
use crate::snapshot::{TapKinds, TapTerms};

/// The port of a reader that is written without one: no port is registered, and the manuals of readers have this one.
const TCP_PORT: u16 = 6000;

section! {
    /// `[dnstap]` as written.
    pub(super) struct DnstapSpec: "[dnstap]" {
        /// Unix socket of the program that reads the copies, such as `fstrm_capture`. At most 103 bytes with the folder of the
        /// configuration. The server connects to it, and tries again until there is a reader.
        ///
        /// A socket of this machine is safe from eavesdroppers.
        socket: Option<PlacedText> = text("socket", "path")
            .required_without(&["tcp"], "add `socket = \"/run/dnstap.sock\"`, or `tcp = \"127.0.0.1:6000\"`")
            .example("\"/run/dnstap.sock\""),

        /// Address of a reader over TCP, with its port unless that is 6000.
        ///
        /// The copies are sent in the clear, so that the reader belongs on this machine or in a network of the operator.
        tcp: Option<PlacedText> = text("tcp", "`ADDRESS` or `ADDRESS:PORT`").instead_of("socket").example("\"127.0.0.1:6000\""),

        /// One of so many responses is copied. Each thread counts those that `only` names.
        ///
        /// At 1 every response is copied, so that an investigation has each of them. For statistics a sample suffices.
        sample: u32 = number("sample", 1..=1_000_000, "responses").default(1).example("100"),

        /// Kinds of responses to copy: `steered` has the addresses of mirrors, `errors` has another response code than
        /// NOERROR and NXDOMAIN.
        only: Option<Vec<PlacedText>> = texts("only", "`steered` or `errors`").otherwise("all responses").example("[\"steered\", \"errors\"]"),

        /// Part of a client's address in a copy: `whole`, `24/48` for the /24 of IPv4 and the /48 of IPv6, or `none`. It holds
        /// for the address of the resolver and for the client subnet (ECS) in the copied message. Unless it is `whole`, a copy
        /// has neither the port of the resolver nor its cookie.
        ///
        /// The network of a client suffices to find a wrong answer, and does not identify a person.
        clients: Option<PlacedText> = text("clients", "`none`, `24/48` or `whole`").default("24/48").example("\"none\""),

        /// Name of this server in each copy.
        identity: Option<PlacedText> = text("identity", "text of 1 to 255 bytes")
            .otherwise("`nsid` of `[dns]`, or the name of the machine")
            .example("\"fra1-a\""),

        /// Version of this server in each copy.
        version: Option<PlacedText> = text("version", "text of 1 to 255 bytes").otherwise("`pharos` and its version").example("\"pharos\""),
    }
}

/// `[dnstap]`: copies of responses. Off without the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DnstapConfig {
    /// The program that reads the copies.
    pub(crate) reader: TapAddress,
    /// The responses to copy.
    pub(crate) terms: TapTerms,
    /// The name of this server in each copy. `None` for its NSID, or the name of the machine.
    pub(crate) identity: Option<Arc<str>>,
    /// The version of this server in each copy. `None` for `pharos` and its version.
    pub(crate) version: Option<Arc<str>>,
}

/// The address of a reader of copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TapAddress {
    /// A Unix socket.
    Local(PathBuf),
    /// TCP.
    Tcp(SocketAddr),
}

words! {
    /// A kind of responses.
    #[derive(Clone, Copy)]
    enum TapKind {
        /// With the addresses of mirrors.
        Steered = "steered",
        /// With another code than NOERROR and NXDOMAIN.
        Errors = "errors",
    }
}

fn kind(text: &str) -> Result<TapKind, Fault> {
    TapKind::parse(text).ok_or_else(|| {
        let help = "write `steered`, `errors` or both";
        Fault::new("bad-dnstap-only", format!("`{text}` is no kind of responses"), "not a kind of responses", help)
    })
}

impl Check<'_> {
    pub(super) fn check_dnstap(&mut self, spec: &DnstapSpec) -> Option<DnstapConfig> {
        let reader = self.check_reader(spec);
        let only = spec.only.as_ref().map(|texts| {
            let mut kinds = TapKinds::default();
            for kind in texts.iter().filter_map(|text| self.parse(text, kind)) {
                match kind {
                    TapKind::Steered => kinds.steered = true,
                    TapKind::Errors => kinds.errors = true,
                }
            }
            kinds
        });
        let code = "bad-dnstap-clients";
        let clients = spec.clients.as_ref();
        let clients = clients.and_then(|text| self.parse(text, |text| value::logged_clients(text, code)));
        let clients = clients.unwrap_or(LoggedClients::Network);
        self.check_eavesdroppers(spec.tcp.as_ref(), reader.as_ref(), clients);
        let identity = spec.identity.as_ref().and_then(|text| self.check_response(text, limits::MAX_CHAOS));
        let version = spec.version.as_ref().and_then(|text| self.check_response(text, limits::MAX_CHAOS));
        Some(DnstapConfig {
            reader: reader?,
            terms: TapTerms { sample: spec.sample, only, clients },
            identity,
            version,
        })
    }

    fn check_reader(&mut self, spec: &DnstapSpec) -> Option<TapAddress> {
        match (&spec.socket, &spec.tcp) {
            (Some(socket), Some(tcp)) => {
                self.report(
                    Diagnostic::error("two-readers", "`[dnstap]` has two readers, `socket` and `tcp`")
                        .at(tcp.place.clone(), "a second reader")
                        .related(socket.place.clone(), "the first one")
                        .help("keep one; programs such as go-dnscollector pass copies on to several"),
                );
                None
            }
            (Some(socket), None) => self.socket(socket, "/run/dnstap.sock").map(TapAddress::Local),
            (None, Some(tcp)) => self.parse(tcp, |text| value::server_address(text, TCP_PORT)).map(TapAddress::Tcp),
            (None, None) => None,
        }
    }

    /// Warns of addresses of clients on a network.
    fn check_eavesdroppers(&mut self, tcp: Option<&PlacedText>, reader: Option<&TapAddress>, clients: LoggedClients) {
        let (Some(tcp), Some(TapAddress::Tcp(address))) = (tcp, reader) else { return };
        if clients == LoggedClients::Nothing || address.ip().to_canonical().is_loopback() {
            return;
        }
        self.report(
            Diagnostic::warning("dnstap-in-clear", format!("the copies of `[dnstap]` are sent in the clear to {address}"))
                .at(tcp.place.clone(), "an eavesdropper sees the networks of clients and their queries")
                .help("use `socket`, a tunnel whose end is on loopback, or `clients = \"none\"`; in a network that only you can read, add `allow = [\"dnstap-in-clear\"]`"),
        );
    }
}
