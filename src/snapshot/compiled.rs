//! What one load of the files amounts to.
//!
//! **Invariants**: nothing of it changes while it is served; a reload replaces it whole. Ids in it are indexes of its
//! own lists.
//! **Not here**: zones, which transfers replace one by one, and what is found out while serving ([`super::Live`]).

use std::sync::Arc;

use super::{Provenance, Service, Settings, Transfers};
use crate::mirror::Mirror;
use crate::steer::Horizon;

/// What the files say, without the zones.
#[derive(Clone, Debug, Default)]
pub struct Compiled {
    /// The horizons; [`crate::base::ids::HorizonId`] is an index.
    pub horizons: Arc<[Horizon]>,
    /// The mirrors, with the addresses that they had at the load; [`crate::base::ids::MirrorId`] is an index.
    pub mirrors: Arc<[Mirror]>,
    /// What the HTTPS records of steered owners say; [`crate::base::ids::ServiceId`] is an index.
    pub services: Arc<[Service]>,
    /// How queries are to be treated.
    pub settings: Arc<Settings>,
    /// Who may have zones whole.
    pub transfers: Arc<Transfers>,
    /// Where everything was written, for `explain`.
    pub provenance: Arc<Provenance>,
}
