//! `[admin]`: health, metrics and the status page over HTTP, and the token for overrides.
//!
//! **Invariants**: a token is never shown, not even a wrong one.
//! **Not here**: comparing tokens ([`crate::http`]).

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::check::{Check, redacted};
use super::control::ControlSpec;
use super::encrypted::{TlsFiles, TlsSpec};
use super::field::section;
use super::row::{LISTEN_FORM, duration, file, hours, number, same, secs, table, text, texts};
use super::{Connections, FileUse, PlacedText, Secret, limits, value};
use crate::base::diagnostic::{Diagnostic, Place};

section! {
    /// `[admin]` as written.
    pub(super) struct AdminSpec: "[admin]" {
        /// Listen addresses of the status page, `/healthz`, `/ready` and `/metrics`. Keep them off the public network.
        listen: Vec<PlacedText> = texts("listen", LISTEN_FORM)
            .required()
            .restart_unless(same!(config => config.admin.as_ref().map(|admin| &admin.listen)))
            .example("[\"127.0.0.1:9153\"]"),

        /// Connections at once, of all clients. When full, the connection idle longest is closed.
        ///
        /// A few monitors and load balancers keep one connection each.
        connections: usize = number("connections", limits::CONNECTIONS, "connections").default(256).example("100"),

        /// Connections at once from one IPv4 address or IPv6 /64. When full, this client's connection idle longest is
        /// closed.
        ///
        /// Several monitors may be behind one address. An eighth of all means that eight hostile clients are needed to
        /// fill the listener.
        connections_per_client: usize = number("connections-per-client", limits::CONNECTIONS, "connections")
            .at_most("connections")
            .default(32)
            .example("10"),

        /// Time after which an idle connection is closed.
        ///
        /// As for `[registry]`: longer than the 60 s of AWS's load balancer.
        idle: Duration = duration("idle", secs(1)..=hours(1)).default(limits::HTTP_IDLE_DEFAULT).example("\"30s\""),

        /// File with the bearer token for overrides over this listener and for the data of the status page: 20 to 344
        /// characters, for example of `openssl rand -hex 32`. A reload reads it again. Needs `[control]`.
        ///
        /// A file of its own can have a stricter mode than the configuration.
        token_file: Option<PlacedText> = file("token-file", FileUse::Token)
            .otherwise("no overrides over this listener, data only for this machine")
            .example("\"/etc/pharos/admin.token\""),

        /// The bearer token itself.
        token: Option<PlacedText> = text("token", "text of 20 to 344 characters").instead_of("token-file"),

        /// Host names of this listener. A request with another `Host` gets 421; addresses and `localhost` are always
        /// accepted.
        ///
        /// The check stops a web page that points its own name at this listener (DNS rebinding).
        names: Vec<PlacedText> = texts("names", "host name").example("[\"pharos.example.com\"]"),

        /// Certificate and key. With them the listener serves HTTPS.
        ///
        /// Off loopback, the token and the status page need it, unless a proxy with TLS is in front.
        tls: Option<TlsSpec> = table::<TlsSpec>("tls")
            .otherwise("plain HTTP")
            .restart_unless_kept(same!(config => config.admin.as_ref().map(|admin| admin.tls.is_some())))
            .example("{ cert = \"fullchain.pem\", key = \"privkey.pem\" }"),

        /// File that keeps the history of mirrors, of which the status page shows 24 hours, across restarts. Written every five
        /// minutes, and at the end.
        ///
        /// Not kept by default, because the history fills again within a day.
        state: Option<PlacedText> = file("state", FileUse::History)
            .otherwise("not kept")
            .restart_unless(same!(config => config.admin.as_ref().and_then(|admin| admin.state.as_ref())))
            .example("\"/var/lib/pharos/history.json\""),
    }
}

/// `[admin]`: health and metrics over HTTP. Off without the table.
#[derive(Clone, Debug)]
pub(crate) struct AdminConfig {
    /// Listen addresses.
    pub(crate) listen: Vec<SocketAddr>,
    /// Limits of connections.
    pub(crate) connections: Connections,
    /// Bearer token for control requests on this listener. `None` disables them.
    pub(crate) token: Option<TokenConfig>,
    /// The host names that requests may name, besides address literals and `localhost`; in lower case.
    pub(crate) names: Vec<Arc<str>>,
    /// The certificate and key of HTTPS. `None` means plain HTTP.
    pub(crate) tls: Option<TlsFiles>,
    /// The file that keeps the history of mirrors. `None` if it is not kept.
    pub(crate) state: Option<PathBuf>,
}

/// A bearer token.
#[derive(Clone, Debug)]
pub(crate) struct TokenConfig {
    /// The secret.
    pub(crate) secret: Secret,
    /// The place of the token, or of its file, in the config.
    pub(crate) place: Place,
}

/// The fault of a malformed token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadToken {
    /// Its length is not in [`limits::TOKEN_LEN`].
    Length,
    /// It has characters that a bearer token cannot have (RFC 6750 §2.1).
    Character,
}

impl fmt::Display for BadToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadToken::Length => {
                let (min, max) = (limits::TOKEN_LEN.start(), limits::TOKEN_LEN.end());
                write!(f, "it must have {min} to {max} characters")
            }
            BadToken::Character => f.write_str("it has characters that cannot be sent as a bearer token"),
        }
    }
}

/// A text as a token, without the white space around it.
pub(crate) fn parse_token(text: &str) -> Result<&str, BadToken> {
    let token = text.trim();
    // RFC 6750 §2.1: `b64token`.
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    match token {
        _ if !limits::TOKEN_LEN.contains(&token.len()) => Err(BadToken::Length),
        _ if !token.bytes().all(is_fine) => Err(BadToken::Character),
        _ => Ok(token),
    }
}

impl Check<'_> {
    pub(super) fn check_admin(&mut self, spec: &AdminSpec, control: Option<&ControlSpec>) -> AdminConfig {
        let listen = self.check_listen(&spec.listen);
        let connections =
            Connections { all: spec.connections, per_client: spec.connections_per_client, idle: spec.idle };
        let token = self.check_token(spec);
        let names = self.parse_all(&spec.names, value::host_name).into_iter().map(|name| name.value).collect();
        let tls = spec.tls.as_ref().and_then(|tls| self.check_tls(&tls.cert, &tls.key));
        let state = spec.state.as_ref().and_then(|state| self.path(state));
        let admin = AdminConfig { listen, connections, token, names, tls, state };
        let Some(place) = place_of(spec) else {
            self.check_open_admin(&spec.listen);
            return admin;
        };
        if control.is_none() {
            self.report(
                Diagnostic::error("token-without-control", "`[admin]` has a token, but no `[control]` keeps overrides")
                    .at(place.clone(), "this token is for overrides")
                    .help("add `[control]` with `socket` and `state`, or remove the token"),
            );
        }
        let is_open = |address: &&SocketAddr| spec.tls.is_none() && !address.ip().is_loopback();
        if let Some(open) = admin.listen.iter().find(is_open) {
            self.report(
                Diagnostic::warning("token-in-clear", format!("the token of `[admin]` is sent in the clear to {open}"))
                    .at(place, "an eavesdropper can set overrides")
                    .help("add `tls`, listen on loopback behind a proxy with TLS, or use the socket of `[control]`"),
            );
        }
        admin
    }

    fn check_open_admin(&mut self, listen: &[PlacedText]) {
        let is_open =
            |text: &&PlacedText| text.value.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_unspecified());
        if let Some(open) = listen.iter().find(is_open) {
            self.report(
                Diagnostic::warning("open-admin", format!("`{}` is open to every network of this machine", open.value))
                    .at(open.place.clone(), "all of its addresses")
                    .help("listen on the address that Prometheus asks; metrics name every mirror and zone"),
            );
        }
    }

    fn check_token(&mut self, spec: &AdminSpec) -> Option<TokenConfig> {
        let place = place_of(spec)?;
        let secret = match (&spec.token, &spec.token_file) {
            (Some(_), Some(_)) => {
                self.report(
                    Diagnostic::error("two-secrets", "`[admin]` has two tokens, `token-file` and `token`")
                        .at(place, "")
                        .help("keep `token-file`, which can have a stricter mode than the configuration"),
                );
                return None;
            }
            (Some(text), None) => match parse_token(&text.value) {
                Ok(_) => Secret::Text(text.value.clone()),
                Err(error) => {
                    self.report(bad_token(error).at(place, ""));
                    return None;
                }
            },
            (None, file) => Secret::File(self.input(file.as_ref()?, FileUse::Token)?),
        };
        Some(TokenConfig { secret, place })
    }
}

/// The place of a token, or of its file.
fn place_of(spec: &AdminSpec) -> Option<Place> {
    let of_token = spec.token.as_ref().map(|token| redacted(token, "token"));
    of_token.or_else(|| Some(spec.token_file.as_ref()?.place.clone()))
}

/// The problem of a malformed token.
pub(crate) fn bad_token(error: BadToken) -> Diagnostic {
    Diagnostic::error("bad-token", format!("the token of `[admin]` cannot be used: {error}"))
        .help("`openssl rand -hex 32` makes one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_and_can_be_sent() {
        assert_eq!(parse_token(" 0123456789abcdef0123\n"), Ok("0123456789abcdef0123"));
        assert_eq!(parse_token("0123456789abcdef012"), Err(BadToken::Length));
        assert_eq!(parse_token("0123456789 abcdef0123"), Err(BadToken::Character));
        assert_eq!(parse_token(&"x".repeat(345)), Err(BadToken::Length));
    }
}
