//! The dialers for mirrors, by the name that clients reach a mirror at: one set for probes and for questions about blobs.
//!
//! **Invariants**: all of a set have the same roots; the number of mirrors limits the number of dialers.
//! **Not here**: one dialer ([`super::dial`]).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex};

use super::{Dialer, DialerError, Roots};
use crate::base::lock::locked;
use crate::mirror::ContentPlace;

/// The dialers for mirrors.
#[derive(Clone, Debug)]
pub struct MirrorDialers {
    /// The dialer for mirrors that serve the steered name.
    of_name: Dialer,
    roots: Arc<Roots>,
    /// The dialers for mirrors with a URL of their own, by its authority. Each is made when it is first needed.
    of_urls: Arc<Mutex<HashMap<Arc<str>, Dialer>>>,
}

impl MirrorDialers {
    /// Dials mirrors that serve a name at a port, and the others at their own names.
    pub fn new(name: Arc<str>, port: u16, roots: Arc<Roots>) -> Result<Self, DialerError> {
        Ok(MirrorDialers { of_name: Dialer::new(name, port, roots.clone())?, roots, of_urls: Arc::default() })
    }

    /// The dialer for a mirror with its content at this place.
    pub(crate) fn of(&self, content: &ContentPlace) -> Result<Dialer, DialerError> {
        let Some(url) = &content.url else { return Ok(self.of_name.clone()) };
        match locked(&self.of_urls).entry(url.authority.clone()) {
            Entry::Occupied(known) => Ok(known.get().clone()),
            Entry::Vacant(vacant) => {
                let roots = Some(self.roots.clone());
                let dialer = Dialer::of_registry(url.authority.clone(), &url.host, url.port, roots)?;
                Ok(vacant.insert(dialer).clone())
            }
        }
    }
}
