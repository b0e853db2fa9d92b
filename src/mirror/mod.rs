//! Mirrors: the places that serve blobs, with their addresses and their health.
//!
//! **Invariants**: addresses are distinct; a mirror has an address or a host name; one whose addresses follow its host
//! may have none yet; the host of a redirect-only mirror is that of its URL.
//! **Not here**: probing, choosing ([`crate::steer`]).

mod cause;
mod health;
mod host;
mod overrides;
mod protocol;
mod redirects;
mod template;

pub(crate) use cause::{
    CanaryMethod, Cause, CertificateFault, ConnectFault, HandshakeFault, HttpFault, RangeFault, Untrusted, cut,
};
pub(crate) use health::Memory;
pub use health::{Health, Thresholds, Track, Verdict};
pub use host::HostAddresses;
pub(crate) use host::{Accepted, HostRules, Lookup, MAX_OF_FAMILY, Trouble, accept, is_steered};
pub(crate) use overrides::{Forced, Operator, Override, Reason, Via};
pub use protocol::HttpVersion;
pub(crate) use protocol::ProtocolTracks;
pub use redirects::{RedirectFault, Redirects};
pub(crate) use redirects::{RedirectTarget, is_redirect};
pub use template::{BadTemplate, BlobValues, HttpsUrl, Template, TemplateValues, UrlTemplate};

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::base::prefix::Family;
use crate::base::time::{Ttl, UnixTime};

/// One place that serves blobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// The key in the config's `[mirrors]`.
    pub name: Arc<str>,
    /// The mirror's own host name, if it has one: for redirects straight to it, and to be resolved.
    pub host: Option<Arc<str>>,
    /// The contact of its operator: a mail address, a URL or a channel.
    pub contact: Option<Arc<str>>,
    /// The source of its addresses.
    pub addressing: Addressing,
    /// Its IPv4 addresses.
    pub v4: Vec<Ipv4Addr>,
    /// Its IPv6 addresses.
    pub v6: Vec<Ipv6Addr>,
    /// The place of its content.
    pub content: Arc<ContentPlace>,
    /// True if it is asked for content. Otherwise it counts as having all.
    pub is_asked: bool,
}

/// The place of content at a mirror.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ContentPlace {
    /// The URL of content at a redirect-only mirror: DNS never answers with its addresses. `None` for a mirror that serves
    /// the steered name.
    pub url: Option<UrlTemplate>,
    /// The path of a blob at a mirror that serves the steered name; `None` means the path of the OCI API.
    pub path: Option<Template>,
    /// Statuses besides 404 and 410 by which the mirror says that it lacks content.
    pub missing: Box<[u16]>,
    /// The treatment of redirects for a blob.
    pub redirects: Redirects,
}

impl ContentPlace {
    /// The template of a blob's path; `None` for that of the OCI API.
    pub(crate) fn template(&self) -> Option<&Template> {
        self.url.as_ref().map(|url| &url.path).or(self.path.as_ref())
    }

    /// True if a response with this status says that the mirror lacks content.
    pub(crate) fn is_missing(&self, status: u16) -> bool {
        matches!(status, 404 | 410) || self.missing.contains(&status)
    }
}

/// The source of a mirror's addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Addressing {
    /// The config.
    #[default]
    Written,
    /// Lookups of its host.
    Resolved {
        /// The time of the lookup; `None` if the addresses are not known yet.
        at: Option<UnixTime>,
        /// The TTL of the addresses.
        ttl: Ttl,
    },
}

impl Mirror {
    /// A mirror with nothing but a name: its other fields have the values of keys that are left out.
    pub fn named(name: impl Into<Arc<str>>) -> Self {
        let addressing = Addressing::Written;
        let (v4, v6, content) = (Vec::new(), Vec::new(), Arc::default());
        Mirror { name: name.into(), host: None, contact: None, addressing, v4, v6, content, is_asked: true }
    }

    /// True if clients reach the mirror by its own URL alone, so that DNS cannot lead to it.
    pub(crate) fn is_redirect_only(&self) -> bool {
        self.content.url.is_some()
    }

    /// The host that its addresses follow.
    pub(crate) fn followed_host(&self) -> Option<&Arc<str>> {
        self.host.as_ref().filter(|_| matches!(self.addressing, Addressing::Resolved { .. }))
    }

    /// The addresses of the host that the mirror follows; `None` if it follows no host.
    pub(crate) fn host_addresses(&self) -> Option<HostAddresses> {
        let Addressing::Resolved { at, ttl } = self.addressing else { return None };
        Some(HostAddresses { v4: self.v4.clone(), v6: self.v6.clone(), ttl, at })
    }

    /// The same with the addresses that its host has.
    pub(crate) fn at(&self, addresses: &HostAddresses) -> Self {
        let HostAddresses { v4, v6, ttl, at } = addresses.clone();
        Mirror { v4, v6, addressing: Addressing::Resolved { at, ttl }, ..self.clone() }
    }

    /// The TTL of its addresses; `None` if the config has the addresses.
    pub(crate) fn max_ttl(&self) -> Option<Ttl> {
        match self.addressing {
            Addressing::Written => None,
            Addressing::Resolved { ttl, .. } => Some(ttl),
        }
    }

    /// True if DNS can answer with the mirror's addresses of a family.
    pub(crate) fn serves(&self, family: Family) -> bool {
        !self.is_redirect_only()
            && match family {
                Family::V4 => !self.v4.is_empty(),
                Family::V6 => !self.v6.is_empty(),
            }
    }

    /// Its addresses: those of IPv4, then those of IPv6, in their order.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.v4.iter().map(|v4| IpAddr::V4(*v4)).chain(self.v6.iter().map(|v6| IpAddr::V6(*v6)))
    }

    /// Returns whether it is reached at an address.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => self.v4.contains(&v4),
            IpAddr::V6(v6) => self.v6.contains(&v6),
        }
    }
}

/// The standing of a mirror: the health of each address by probes, and an operator's override of all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Of each IPv4 address, in the mirror's order.
    pub v4: Vec<AddressStanding>,
    /// Of each IPv6 address, in the mirror's order.
    pub v6: Vec<AddressStanding>,
    /// The override of an operator; it wins over probes.
    pub forced: Option<Forced>,
}

/// The standing of one address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressStanding {
    /// Its health, by which it may be steered to.
    pub health: Health,
    /// The time until that may change, in seconds; `None` if the address is not probed.
    pub stable_secs: Option<u32>,
}

impl Standing {
    /// That of a mirror all of whose addresses have one health.
    pub fn all(mirror: &Mirror, health: Health) -> Self {
        let each = AddressStanding { health, stable_secs: None };
        Standing { v4: vec![each; mirror.v4.len()], v6: vec![each; mirror.v6.len()], forced: None }
    }

    /// Each address of the mirror that this is of, with how it stands.
    pub(crate) fn by_address<'s>(&'s self, mirror: &'s Mirror) -> impl Iterator<Item = (IpAddr, AddressStanding)> + 's {
        mirror.addresses().zip(self.v4.iter().chain(&self.v6).copied())
    }

    /// The addresses of a family.
    pub fn family(&self, family: Family) -> &[AddressStanding] {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    /// The health of the mirror over a family: that of its best address; `None` if it has no address of the family.
    pub(crate) fn health(&self, family: Family) -> Option<Health> {
        let best = self.family(family).iter().map(|address| address.health).min()?;
        Some(match self.forced {
            None => best,
            Some(Forced::Up) => Health::Up,
            Some(Forced::Down) => Health::Bad,
            Some(Forced::Drain) => Health::Drained.max(best),
        })
    }

    /// The standing of a redirect-only mirror. A client resolves its host and takes either family, so both families have the health
    /// of the better one. If mirrors are not probed (`fresh` is up), the host is not resolved here, and the mirror counts as up,
    /// unless an operator says otherwise.
    pub(crate) fn for_redirects(&self, fresh: Health) -> Self {
        let best = self.v4.iter().chain(&self.v6).min_by_key(|address| address.health).copied();
        let unresolved = || (fresh == Health::Up).then(AddressStanding::default);
        let one: Vec<AddressStanding> = best.or_else(unresolved).into_iter().collect();
        Standing { v4: one.clone(), v6: one, forced: self.forced }
    }

    /// Returns whether the address of this index is given when the mirror is: none that is worse than its best.
    pub(crate) fn gives(&self, family: Family, index: usize) -> bool {
        let all = self.family(family);
        let best = all.iter().map(|address| address.health).min();
        self.forced == Some(Forced::Up) || all.get(index).map(|address| address.health) == best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_that_is_not_probed_is_up_unless_an_operator_says_otherwise() {
        let health = |forced, fresh| {
            let standing = Standing { forced, ..Standing::default() }.for_redirects(fresh);
            Family::ALL.map(|family| standing.health(family))
        };
        for (forced, expected) in [
            (None, Health::Up),
            (Some(Forced::Up), Health::Up),
            (Some(Forced::Drain), Health::Drained),
            (Some(Forced::Down), Health::Bad),
        ] {
            assert_eq!(health(forced, Health::Up), [Some(expected); 2]);
        }
        // With probes, it is not known before its host is resolved.
        assert_eq!(health(None, Health::Untried), [None; 2]);
    }
}
