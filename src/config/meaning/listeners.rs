//! Listen addresses: no two listeners share one, over TCP or over UDP.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::base::diagnostic::{Diagnostic, Place};
use crate::config::PlacedText;
use crate::config::check::Check;
use crate::config::dns::DNS_LISTEN;
use crate::config::spec::Spec;

impl Check<'_> {
    /// No address is listened on twice, over TCP or over UDP.
    pub(super) fn check_listeners(&mut self, spec: &Spec) {
        let written = || spec.dns.listen.iter().flatten();
        let tls = spec.dns.tls.iter().flat_map(|tls| &tls.listen);
        let https = spec.dns.https.iter().flat_map(|https| &https.listen);
        let registry = spec.registry.iter().flat_map(|registry| &registry.listen);
        let admin = spec.admin.iter().flat_map(|admin| &admin.listen);
        let acme = spec.acme.iter().flat_map(|acme| &acme.listen);
        let quic = spec.dns.quic.iter().flat_map(|quic| &quic.listen);
        // A misspelt or malformed `listen` does not mean the default.
        let has_default = spec.dns.listen.is_none() && !self.has_lost_reference("wrong-type");
        let default: &[SocketAddr] = if has_default { &DNS_LISTEN } else { &[] };
        let (mut tcp, mut udp) = (TakenAddresses::default(), TakenAddresses::default());
        for address in default {
            tcp.take(*address, None);
            udp.take(*address, None);
        }
        self.check_distinct(&mut tcp, written().chain(tls).chain(https).chain(registry).chain(admin).chain(acme));
        // Those of `[dns] listen` have been compared with each other over TCP.
        for text in written() {
            let _ = text.value.parse().map(|address| udp.take(address, Some(&text.place)));
        }
        self.check_distinct(&mut udp, quic);
    }

    fn check_distinct<'t>(&mut self, taken: &mut TakenAddresses<'t>, texts: impl Iterator<Item = &'t PlacedText>) {
        for text in texts {
            let Ok(address) = text.value.parse::<SocketAddr>() else { continue };
            let Some((before, place)) = taken.take(address, Some(&text.place)) else { continue };
            let how = if before == address {
                "is listened on twice".to_string()
            } else {
                format!("overlaps with `{before}`")
            };
            let problem = |message| Diagnostic::error("duplicate-listen", message);
            self.report(match place {
                Some(place) => problem(format!("`{address}` {how}"))
                    .at(text.place.clone(), "again here")
                    .related(place.clone(), "first here")
                    .help("remove one of the two, or use another port"),
                None => problem(format!("`{address}` {how}, a default address of `[dns] listen`"))
                    .at(text.place.clone(), "DNS has this port")
                    .help("use another port, or write `listen` under `[dns]` with another one"),
            });
        }
    }
}

/// The addresses of one transport so far, each with its place. `None` is a default.
#[derive(Default)]
struct TakenAddresses<'t> {
    addresses: HashMap<SocketAddr, Option<&'t Place>>,
    /// The first address of each port and family (true for IPv6), so that a wildcard address is compared with one alone.
    ports: HashMap<(u16, bool), SocketAddr>,
}

impl<'t> TakenAddresses<'t> {
    /// Adds an address. Returns the one before it that the system would not let be bound beside it.
    ///
    /// Port 0 is a port of its own each time. A socket of `[::]` has IPv6 alone, so that families do not overlap.
    fn take(&mut self, address: SocketAddr, place: Option<&'t Place>) -> Option<(SocketAddr, Option<&'t Place>)> {
        if address.port() == 0 {
            return None;
        }
        let wildcard = match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let family = (address.port(), address.is_ipv6());
        let same = [address, SocketAddr::new(wildcard, address.port())].into_iter();
        let before = same
            .chain(self.ports.get(&family).copied().filter(|_| address.ip().is_unspecified()))
            .find_map(|before| Some((before, *self.addresses.get(&before)?)));
        if before.is_none() {
            self.addresses.insert(address, place);
            self.ports.entry(family).or_insert(address);
        }
        before
    }
}
