//! The demonstration: Pharos with mirrors of its own, all on this machine, and a walk through its functions.
//!
//! [`World::start`] starts a canonical registry, two mirrors with certificates of a private authority, and the service itself
//! with a configuration for them; [`walk()`] sends requests as resolvers and pull clients do, and prints the answers;
//! [`World::stop`] stops everything and removes all files.
//!
//! **Invariants**: connections go only to loopback addresses, and the system's resolver is not used; each printed answer was
//! received over a socket; an interrupted walk removes all files too.
//! **Not here**: the service ([`crate::serve`]), printing and signals ([`crate::cli`]).

mod client;
mod image;
mod mirror;
mod walk;
mod world;

use std::fmt;
use std::io;

use crate::base::diagnostic::Diagnostic;
use crate::serve;
use crate::tls::{AuthorityError, WriteError};

pub(crate) use walk::{WalkLineKind, walk};
pub(crate) use world::World;

/// The reasons why the demonstration failed.
#[derive(Debug)]
pub(crate) enum DemoFailure {
    /// The service does not start.
    Serve(serve::Failure),
    /// The system refused something.
    System {
        /// The attempted operation.
        what: &'static str,
        /// The system's error.
        error: io::Error,
    },
    /// A certificate cannot be made.
    Authority(AuthorityError),
    /// A certificate cannot be written.
    Write(WriteError),
    /// An answer is not the expected one.
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
    /// The system's refusal of an operation.
    pub(crate) fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| DemoFailure::System { what, error }
    }
}

impl From<Vec<Diagnostic>> for DemoFailure {
    fn from(problems: Vec<Diagnostic>) -> Self {
        DemoFailure::Unexpected(problems.into_iter().map(|problem| problem.message).collect())
    }
}
