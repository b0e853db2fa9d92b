//! The demonstration: Pharos with mirrors of its own, all on this machine, and a walk through what it does.
//!
//! [`World::start`] puts up an image, a canonical registry, two mirrors with certificates of a private authority, and the
//! service itself with a configuration for them; [`walk()`] asks it as resolvers and pull clients do and tells what comes
//! back; [`World::stop`] leaves nothing behind.
//!
//! **Invariants**: nothing but loopback addresses is reached, and no name of this system is resolved; whatever is told
//! was received over a socket from the running service; whoever stops in the middle leaves nothing behind either.
//! **Not here**: the service ([`crate::serve`]), printing and signals ([`crate::cli`]).

mod client;
mod image;
mod mirror;
mod walk;
mod world;

use std::fmt;
use std::io;

use crate::serve;
use crate::tls::{AuthorityError, WriteError};

pub use walk::{WalkLine, WalkLineKind, walk};
pub use world::World;

/// Why the demonstration did not come to its end.
#[derive(Debug)]
pub enum DemoFailure {
    /// The service does not start.
    Serve(serve::Failure),
    /// The system refused something.
    System {
        /// What we tried.
        what: &'static str,
        /// What it said.
        error: io::Error,
    },
    /// A certificate cannot be made.
    Authority(AuthorityError),
    /// A certificate cannot be kept.
    Write(WriteError),
    /// What came back is not what is to be shown.
    Unexpected(String),
}

impl fmt::Display for DemoFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DemoFailure::Serve(error) => error.fmt(f),
            DemoFailure::System { what, error } => write!(f, "failed to {what}: {}", crate::files::words(error)),
            DemoFailure::Authority(error) => write!(f, "failed to make a certificate: {error}"),
            DemoFailure::Write(error) => error.fmt(f),
            DemoFailure::Unexpected(what) => write!(f, "the demonstration went otherwise than it should: {what}"),
        }
    }
}

impl std::error::Error for DemoFailure {}

impl DemoFailure {
    fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| DemoFailure::System { what, error }
    }
}

impl From<serve::Failure> for DemoFailure {
    fn from(error: serve::Failure) -> Self {
        DemoFailure::Serve(error)
    }
}

impl From<AuthorityError> for DemoFailure {
    fn from(error: AuthorityError) -> Self {
        DemoFailure::Authority(error)
    }
}

impl From<WriteError> for DemoFailure {
    fn from(error: WriteError) -> Self {
        DemoFailure::Write(error)
    }
}
