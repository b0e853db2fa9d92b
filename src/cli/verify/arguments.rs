//! The arguments of `pharos verify` that are more than a word.
//!
//! **Invariants**: a refused argument gets an error that shows how to write it.
//! **Not here**: the table of arguments, and the checks of the mirror (the parent module).

use std::net::{IpAddr, SocketAddr};

use crate::base::diagnostic::Diagnostic;
use crate::config::{self, Canary};
use crate::registry::is_repository;

/// Parses a canary, `REPOSITORY@sha256:DIGEST/SIZE`.
pub(super) fn parse_canary(text: &str) -> Result<Canary, String> {
    let parts = || {
        let (repository, rest) = text.split_once('@')?;
        let (digest, size) = rest.rsplit_once('/')?;
        Canary::new(repository, digest, size.parse().ok().filter(|size| config::limits::CANARY_SIZE.contains(size))?)
    };
    parts().ok_or_else(|| match text.rsplit_once('@').is_some_and(|(_, digest)| digest.contains('/')) {
        true if text.split_once('@').is_some_and(|(name, _)| !is_repository(name)) => {
            "write the name of the repository alone ahead of `@`, in lower case and without registry and tag"
                .to_string()
        }
        true => "write it as `pause@sha256:DIGEST/SIZE`: 64 hexadecimal digits, and the number of bytes".to_string(),
        false => "the size is missing: write `/` and the number of bytes behind the digest; `content-length` of \
                  `curl -sIL https://REGISTRY/v2/REPOSITORY/blobs/DIGEST` is the size"
            .to_string(),
    })
}

/// Parses the address of a mirror.
pub(super) fn address(text: &str) -> Result<IpAddr, Vec<Diagnostic>> {
    text.parse().map_err(|_| {
        vec![Diagnostic::error("address", format!("`{text}` is not an address")).help(match alone(text) {
            Some(address) => format!("write the address alone: `{address}`; `--port` has the port"),
            None => {
                "with `--name` give the address of the mirror; without it a mirror of the configuration".to_string()
            }
        })]
    })
}

/// The address in a URL, or before a port.
pub(super) fn alone(text: &str) -> Option<IpAddr> {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    let with_port = authority.parse::<SocketAddr>().ok().map(|at| at.ip());
    with_port.or_else(|| authority.trim_matches(['[', ']']).parse().ok())
}
