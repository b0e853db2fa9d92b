//! `[resolver]`: resolving the hosts of mirrors.
//!
//! **Invariants**: the least TTL is not above the greatest.
//! **Not here**: resolving ([`crate::load::hosts`], [`crate::hosts`]).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::check::Check;
use super::field::{Section as _, section};
use super::row::{duration, file, hours, millis, secs, texts};
use super::transfer::DNS_PORT;
use super::{FileUse, Placed, PlacedText, limits, value};
use crate::base::diagnostic::{Diagnostic, Place};
use crate::base::prefix::Prefix;

const GREATEST_TTL_DEFAULT: Duration = hours(1);

section! {
    /// `[resolver]` as written.
    pub(super) struct ResolverSpec: "[resolver]" {
        /// Resolvers in order of preference, 16 at most. The port is 53 unless written.
        servers: Option<Vec<PlacedText>> = texts("servers", "`ADDRESS` or `ADDRESS:PORT`")
            .otherwise("those of `/etc/resolv.conf`, after `/etc/hosts`")
            .example("[\"192.0.2.53\", \"[2001:db8::53]:5353\"]"),

        /// Time that a resolver has to answer a query. Each resolver is asked twice.
        ///
        /// Full recursion takes less than a second. A lost packet may be sent again without a long start of the server.
        timeout: Duration = duration("timeout", millis(50)..=secs(30)).default(secs(2)).example("\"1s\""),

        /// The shortest time between two lookups of a host. A shorter TTL is raised to it.
        ///
        /// Load balancers have 20 s or more. A shorter TTL means "do not cache", which is impossible for an address that
        /// must be probed before clients get it.
        least_ttl: Duration = duration("least-ttl", secs(1)..=hours(1)).default(secs(10)).example("\"30s\""),

        /// The longest time between two lookups of a host. A longer TTL is lowered to it, also in answers with these
        /// addresses.
        ///
        /// If a mirror moves while its name has a TTL of days, clients follow within an hour.
        greatest_ttl: Option<Placed<Duration>> = duration("greatest-ttl", secs(1)..=hours(24))
            .default(GREATEST_TTL_DEFAULT)
            .example("\"2h\""),

        /// Prefixes of special-purpose blocks in which the address of a host may be. Addresses in other blocks of IANA's
        /// special-purpose registries (private, loopback, shared, documentation, …) are refused. An IPv6 address that
        /// embeds an IPv4 address is judged by that.
        ///
        /// A changed public name could otherwise point clients at your own network.
        private: Vec<PlacedText> = texts("private", "prefix").example("[\"10.0.0.0/8\", \"fd00::/8\"]"),

        /// File that keeps the last good addresses of hosts across restarts.
        ///
        /// It lets a server start while its resolvers are down.
        state: Option<PlacedText> = file("state", FileUse::HostState).otherwise("not kept").example("\"/var/lib/pharos/hosts.json\""),
    }
}

/// `[resolver]`: resolving the hosts of mirrors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resolver {
    /// The resolvers. If empty, those of this system are used.
    pub(crate) servers: Vec<SocketAddr>,
    /// Time that a resolver has to answer a query.
    pub(crate) timeout: Duration,
    /// The shortest time between two lookups of a host.
    pub(crate) least_ttl: Duration,
    /// The longest time between two lookups of a host.
    pub(crate) greatest_ttl: Duration,
    /// The reserved addresses that a host may have.
    pub(crate) private: Vec<Prefix>,
    /// The file that keeps the last good addresses across restarts. `None` keeps nothing.
    pub(crate) state: Option<PathBuf>,
}

impl Default for Resolver {
    fn default() -> Self {
        Resolver::of(&ResolverSpec::absent(Place::whole_file(&"".into())))
    }
}

impl Resolver {
    /// The resolvers of this system, with the durations of a table.
    fn of(spec: &ResolverSpec) -> Self {
        // A default never contradicts a written key.
        let greatest = spec.greatest_ttl.as_ref();
        Resolver {
            servers: Vec::new(),
            timeout: spec.timeout,
            least_ttl: spec.least_ttl,
            greatest_ttl: greatest.map_or(GREATEST_TTL_DEFAULT.max(spec.least_ttl), |greatest| greatest.value),
            private: Vec::new(),
            state: None,
        }
    }
}

impl Check<'_> {
    pub(super) fn check_resolver(&mut self, spec: &ResolverSpec) -> Resolver {
        if let Some(over) = spec.servers.as_ref().and_then(|texts| texts.get(limits::MAX_SERVERS)) {
            let message = format!("there are more than {} resolvers", limits::MAX_SERVERS);
            let help = "keep the best; two are asked at once, the others after a failure";
            self.report(Diagnostic::error("too-many", message).at(over.place.clone(), "one too many").help(help));
        }
        let least_ttl = spec.least_ttl;
        if let Some(greatest) = spec.greatest_ttl.as_ref().filter(|greatest| greatest.value < least_ttl) {
            self.report(
                Diagnostic::error("ttl-bounds", "`greatest-ttl` is shorter than `least-ttl`")
                    .at(greatest.place.clone(), format!("less than `{}`", value::written(least_ttl)))
                    .help("make it at least as long: TTLs of hosts are brought between the two"),
            );
        }
        let server = |text: &str| value::server_address(text, DNS_PORT);
        Resolver {
            servers: spec.servers.iter().flatten().filter_map(|text| self.parse(text, server)).collect(),
            private: self.check_prefixes(&spec.private),
            state: spec.state.as_ref().and_then(|state| self.path(state)),
            ..Resolver::of(spec)
        }
    }
}
