//! The operator behind a request: a person, as far as the system knows.
//!
//! The kernel gives the user ID of a process at the control socket (SO_PEERCRED), and the system its login. If an operator is
//! root by sudo, the client sends the operator's login. The server believes it only if the client's process runs as root,
//! because root could do anything here anyway.
//!
//! **Invariants**: a name is a login of the system, or comes from root; it can be shown on one line.
//! **Not here**: whether the request is let in ([`super::socket`], the admin listener).

use std::net::IpAddr;

use hyper::HeaderMap;

use super::request::decode;
use crate::base::text::is_hidden;
use crate::files::accounts;
use crate::mirror::{Operator, Via};
use crate::process::work::{self, Lane};

/// The header in which a client names the user that became root by sudo.
pub(super) const SUDO_USER: &str = "pharos-sudo-user";

/// The longest name that is believed, in bytes: `LOGIN_NAME_MAX` of Linux.
const MAX_NAME_LEN: usize = 256;

/// The client that a listener let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A process of this user, at the control socket.
    User(u32),
    /// A client with the token, at the admin listener.
    Token(IpAddr),
}

/// The operator behind a request with these headers.
pub(super) async fn find(caller: Caller, headers: &HeaderMap) -> Operator {
    match caller {
        Caller::Token(address) => {
            Operator { name: format!("token from {address}").into(), via: Some(Via::Token), uid: None }
        }
        Caller::User(uid) => {
            if let Some(name) = sudo_user(uid, headers) {
                return Operator { name: name.as_str().into(), via: Some(Via::Sudo), uid: Some(uid) };
            }
            // A directory service over the network takes too long for a thread of the runtime.
            let login = work::submit(Lane::Compute, move || accounts::login(uid)).await.ok().flatten();
            let name = login.filter(|name| is_name(name)).unwrap_or_else(|| format!("uid {uid}"));
            Operator { name: name.into(), via: Some(Via::Login), uid: Some(uid) }
        }
    }
}

/// The name that root's process gives.
fn sudo_user(uid: u32, headers: &HeaderMap) -> Option<String> {
    let name = decode(headers.get(SUDO_USER).filter(|_| uid == 0)?.to_str().ok()?)?;
    is_name(&name).then_some(name)
}

fn is_name(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= MAX_NAME_LEN && !name.contains(is_hidden)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[tokio::test]
    async fn only_root_names_another_user() {
        let name = async |uid, sudo_user: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(SUDO_USER, HeaderValue::from_str(sudo_user).unwrap());
            find(Caller::User(uid), &headers).await.to_string()
        };
        assert_eq!(name(0, "alice").await, "alice (sudo)");
        assert_eq!(name(0, "J%C3%BCrgen").await, "Jürgen (sudo)");
        for odd in ["", "%20", "a%0Ab", "%zz", &"x".repeat(MAX_NAME_LEN + 1)] {
            assert_eq!(name(0, odd).await, "root", "{odd}");
        }
        assert_eq!(name(4_000_000_000, "alice").await, "uid 4000000000");
        let found = find(Caller::Token("192.0.2.1".parse().unwrap()), &HeaderMap::new()).await;
        assert_eq!((&*found.name, found.via, found.uid), ("token from 192.0.2.1", Some(Via::Token), None));
    }
}
