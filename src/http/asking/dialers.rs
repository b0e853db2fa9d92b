//! The dialers for mirrors, by the name that clients reach a mirror at.
//!
//! **Not here**: the requests ([`super::flight`]).

use std::collections::HashMap;
use std::sync::Arc;

use crate::mirror::Mirror;
use crate::tls::Dialer;

/// The dialers for mirrors.
#[derive(Clone, Debug)]
pub struct MirrorDialers {
    /// The dialer for mirrors that serve the steered name.
    pub of_name: Dialer,
    /// The dialers for redirect-only mirrors, by the authority of their URL.
    pub of_urls: HashMap<Arc<str>, Dialer>,
}

impl MirrorDialers {
    /// The dialer for a mirror; `None` if the settings are of another configuration than the mirror.
    pub(super) fn of(&self, mirror: &Mirror) -> Option<&Dialer> {
        match &mirror.content.url {
            None => Some(&self.of_name),
            Some(url) => self.of_urls.get(&url.authority),
        }
    }
}
