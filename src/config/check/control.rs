//! `[control]` and the token of `[admin]`: who may give orders to the running server, and where they are kept.
//!
//! **Invariants**: a token is never shown, not even where it is wrong.

use std::fmt;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;

use super::Check;
use crate::base::diagnostic::{Diagnostic, Place};
use crate::config::spec::{AdminSpec, ControlSpec, Spec, Text};
use crate::config::value;
use crate::config::{Admin, Control, Placed, Secret, Token, limits};

/// Why a text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadToken {
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
                write!(f, "it has not between {min} and {max} characters")
            }
            BadToken::Character => f.write_str("it has characters that cannot be sent as a bearer token"),
        }
    }
}

/// A text as a token, without the white space around it.
pub fn parse_token(text: &str) -> Result<&str, BadToken> {
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
    pub(super) fn check_admin(&mut self, spec: &AdminSpec, all: &Spec) -> Admin {
        let listen = self.check_listen(&spec.listen);
        let [most, each] = [limits::ADMIN_CONNECTIONS_DEFAULT, limits::ADMIN_CONNECTIONS_PER_CLIENT_DEFAULT];
        let connections = self.check_connections(&spec.connections, most, each);
        let token = self.check_token(spec);
        let names = self.parse_all(&spec.names, value::host_name).into_iter().map(|name| name.value).collect();
        let Some(place) = place_of(spec) else {
            self.check_open_admin(&spec.listen);
            return Admin { listen, connections, token, names };
        };
        if all.control.is_none() {
            self.report(
                Diagnostic::error("token-without-control", "`[admin]` has a token, but orders have nowhere to be kept")
                    .at(place.clone(), "this is for giving orders")
                    .help("add `[control]` with `socket` and `state`, or remove the token"),
            );
        }
        if let Some(open) = listen.iter().find(|address| !address.ip().is_loopback()) {
            self.report(
                Diagnostic::warning("token-in-clear", format!("the token of `[admin]` is sent in the clear to {open}"))
                    .at(place, "whoever listens on the way can give orders")
                    .help("listen on loopback, behind a proxy with TLS, or use the socket of `[control]`"),
            );
        }
        Admin { listen, connections, token, names }
    }

    fn check_open_admin(&mut self, listen: &[Text]) {
        let is_open =
            |text: &&Text| text.value.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_unspecified());
        if let Some(open) = listen.iter().find(is_open) {
            self.report(
                Diagnostic::warning("open-admin", format!("`{}` is open to every network of this machine", open.value))
                    .at(open.place.clone(), "all of its addresses")
                    .help("listen on the address that Prometheus asks; metrics name every mirror and zone"),
            );
        }
    }

    fn check_token(&mut self, spec: &AdminSpec) -> Option<Token> {
        let place = place_of(spec)?;
        let secret = match (&spec.token, &spec.token_file) {
            (Some(_), Some(_)) => {
                self.report(
                    Diagnostic::error("two-secrets", "`[admin]` has two tokens, `token-file` and `token`")
                        .at(place, "")
                        .help("keep `token-file`, which need not be readable by whoever reads the config"),
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
            (None, file) => Secret::File(self.path(file.as_ref()?)?),
        };
        Some(Token { secret, place })
    }

    pub(super) fn check_control(&mut self, spec: &ControlSpec) -> Option<Control> {
        let socket = spec.socket.as_ref().and_then(|text| Some((self.path(text)?, text)));
        let state = spec.state.as_ref().and_then(|text| self.path(text));
        if let Some((path, text)) = &socket
            && path.as_os_str().as_bytes().len() > limits::MAX_SOCKET_PATH
        {
            self.report(
                Diagnostic::error("socket-path", "this path is too long for a socket")
                    .at(
                        text.place.clone(),
                        format!("more than {} octets with the folder of this file", limits::MAX_SOCKET_PATH),
                    )
                    .help("name a shorter one, such as `/run/pharos/control.sock`"),
            );
        }
        let group = spec.group.as_ref().and_then(|text| {
            let value = self.parse(text, value::group)?;
            Some(Placed { value, place: text.place.clone() })
        });
        Some(Control { socket: socket?.0, group, state: state? })
    }
}

/// Where a token is written, or its file. A place is shown with its line, so that of a token has dots in its stead.
fn place_of(spec: &AdminSpec) -> Option<Place> {
    const REDACTED: &str = "token = \"…\"";
    match (&spec.token, &spec.token_file) {
        (Some(token), _) => {
            Some(Place::in_line(&token.place.file, token.place.line, REDACTED, "token = ".len()..REDACTED.len()))
        }
        (None, file) => file.as_ref().map(|file| file.place.clone()),
    }
}

/// What is said of a token that is none.
pub fn bad_token(error: BadToken) -> Diagnostic {
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
