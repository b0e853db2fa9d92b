//! The targets of a mirror's redirects: their addresses and the dialers for them.
//!
//! **Invariants**: a host is resolved and its addresses accepted by the rules of `[resolver]`, as the host of a mirror is, so that
//! no mirror can have the probe connect to a reserved address.
//! **Not here**: the form of a target ([`crate::mirror::Redirects`]), the requests ([`super::content`]).

use std::net::IpAddr;
use std::sync::Arc;

use super::conversation::ProbeFault;
use crate::base::time::UnixTime;
use crate::config::Config;
use crate::load::hosts;
use crate::load::hosts::ask::HostAsker;
use crate::mirror::{
    Cause, HostAddresses, HostRules, Mirror, RedirectFault, RedirectTarget, Redirects, Trouble, Verdict, accept,
};
use crate::tls::{Dialer, Roots};

/// The most redirects in a row: a registry, its storage, and a balancer between.
pub(super) const MAX_HOPS: usize = 3;

/// The means to follow redirects.
#[derive(Clone, Debug)]
pub struct Follower {
    asker: Arc<HostAsker>,
    rules: Arc<HostRules>,
    roots: Arc<Roots>,
}

impl Follower {
    /// Follows with the resolvers of a configuration; `None` if no mirror of it has `redirects = "follow"`. The error is the
    /// reason why no resolver can be asked.
    pub fn new(config: &Config, roots: Arc<Roots>) -> Result<Option<Self>, String> {
        let follows = |mirror: &Mirror| mirror.content.redirects != Redirects::Refused;
        if !config.mirrors.iter().any(|entry| follows(&entry.mirror)) {
            return Ok(None);
        }
        let asker = Arc::new(HostAsker::new(&config.resolver)?);
        Ok(Some(Follower { asker, rules: Arc::new(hosts::rules(config)), roots }))
    }

    /// The dialer for a target, and an address of it.
    pub(super) async fn reach(&self, target: &RedirectTarget) -> Result<(Dialer, IpAddr), ProbeFault> {
        let found = accept(self.asker.ask(&target.host).await, &HostAddresses::default(), &self.rules, UnixTime(0));
        let HostAddresses { v4, v6, .. } = found.addresses;
        let unreachable = |fault| (Verdict::Unreachable, Cause::Redirect(fault));
        let first = v4.first().copied().map(IpAddr::V4).or(v6.first().copied().map(IpAddr::V6));
        let address = first.ok_or_else(|| match found.trouble {
            // The resolvers of this machine failed, so the target was not tested.
            Some(trouble @ (Trouble::Timeout | Trouble::Server(_))) => {
                (Verdict::Unreachable, Cause::Own(format!("`{}` cannot be resolved: {trouble}", target.host)))
            }
            Some(Trouble::Refused(address)) => unreachable(RedirectFault::Refused(address)),
            _ => unreachable(RedirectFault::NoAddress),
        })?;
        let dialer = Dialer::of_registry(target.authority.clone(), &target.host, target.port, Some(self.roots.clone()));
        // rustls does not take every host that DNS has.
        dialer.map(|dialer| (dialer, address)).map_err(|_| unreachable(RedirectFault::NotHttps))
    }
}
