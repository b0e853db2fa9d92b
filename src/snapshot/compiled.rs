//! The compiled content of one load of the files.
//!
//! **Invariants**: it does not change while it is served; a reload replaces it as a whole. Ids in it are indexes of its own
//! lists.
//! **Not here**: zones, which transfers replace one by one, and state that is learned while serving ([`super::Live`]).

use std::sync::Arc;

use super::{Provenance, Service, Settings, Transfers, ZoneOrigin};
use crate::challenge::Challenges;
use crate::mirror::Mirror;
use crate::steer::{Horizon, RegionTable};
use crate::zone::SigningTerms;

/// The content of the files, without the zones.
#[derive(Clone, Debug, Default)]
pub struct Compiled {
    /// The horizons; [`crate::base::ids::HorizonId`] is an index.
    pub horizons: Arc<[Horizon]>,
    /// The mirrors, with their addresses at the load; [`crate::base::ids::MirrorId`] is an index.
    pub mirrors: Arc<[Mirror]>,
    /// The HTTPS records of steered owners; [`crate::base::ids::ServiceId`] is an index.
    pub services: Arc<[Service]>,
    /// The settings for queries.
    pub settings: Arc<Settings>,
    /// The parties that may transfer zones, and the primaries whose NOTIFY is accepted.
    pub transfers: Arc<Transfers>,
    /// The credentials of mirrors for ACME challenges, and the owners of these.
    pub challenges: Arc<Challenges>,
    /// The providers and regions of addresses.
    pub regions: Arc<RegionTable>,
    /// The places where everything was written, for `explain`.
    pub provenance: Arc<Provenance>,
    /// The keys of zones that are signed here; [`crate::base::ids::ZoneId`] is an index. A zone without an entry is not signed.
    pub signing: Arc<[Option<Arc<SigningTerms>>]>,
    /// The origin of each zone; [`crate::base::ids::ZoneId`] is an index.
    pub zones: Arc<[ZoneOrigin]>,
}

/// The horizons with the places of their rules: the part of the compiled content that sources change.
#[derive(Clone, Debug, Default)]
pub struct CompiledSteering {
    /// The horizons, in the order of [`Compiled::horizons`].
    pub(crate) horizons: Arc<[Horizon]>,
    /// The providers and regions of addresses.
    pub(crate) regions: Arc<RegionTable>,
    /// The sources, and the places of rules.
    pub(crate) provenance: Arc<Provenance>,
}
