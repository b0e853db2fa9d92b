//! Lines of the log: the size of the served configuration, and commands to try the server, made for the configuration.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::base::client::{Client, SourcePrefixLen, Subnet, Vantage};
use crate::base::ids::HorizonId;
use crate::base::prefix::Prefix;
use crate::base::text::counted;
use crate::dns::ListenAddresses;
use crate::inspect::first_steered;
use crate::snapshot::Snapshot;
use crate::steer::Won;

/// The most entries that are searched for an example; nearly always one of the first few is one.
const MAX_ENTRIES: usize = 10_000;

/// The size of the served configuration, as text.
pub(super) fn amount(snapshot: &Snapshot) -> String {
    let prefixes = snapshot.provenance().networks.sources.iter().map(|source| source.prefix_count()).sum();
    let counts = [
        (snapshot.zones().len(), "zone"),
        (prefixes, "network prefix"),
        (snapshot.horizons().len(), "horizon"),
        (snapshot.mirrors().len(), "mirror"),
    ];
    counts.map(|(count, noun)| counted(count, noun)).join(", ")
}

/// Commands that ask the DNS listeners for a steered name: once without a client subnet and once with one.
pub(super) fn dns(snapshot: &Snapshot, listen: &ListenAddresses) -> Vec<String> {
    let Some(address) = listen.plain.first() else { return Vec::new() };
    let Some((owner, horizon)) = steered(snapshot) else { return Vec::new() };
    let server = reachable(address.ip());
    let ask = format!("dig @{server} -p {} {owner} A", address.port());
    let mut lines = vec![ask.clone()];
    if let Some(subnet) = subnet(snapshot, horizon) {
        lines.push(format!("{ask} +subnet={subnet}"));
    }
    for (addresses, option) in [(&listen.tls, "+tls"), (&listen.quic, "+quic")] {
        if let Some(address) = addresses.first() {
            let server = reachable(address.ip());
            lines.push(format!("kdig @{server} -p {} {option} {owner} A", address.port()));
        }
    }
    lines
}

/// An address and port to reach a listener at.
pub(super) fn reachable_at(listener: SocketAddr) -> SocketAddr {
    SocketAddr::new(reachable(listener.ip()), listener.port())
}

/// An address to reach a listener at.
fn reachable(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}

/// The first steered owner, without the final dot.
fn steered(snapshot: &Snapshot) -> Option<(String, HorizonId)> {
    let (owner, horizon) = first_steered(snapshot)?;
    Some((owner.to_string().trim_end_matches('.').to_string(), horizon))
}

/// An IPv4 subnet of a network that a rule of the horizon is about, so that its answer is not the default.
fn subnet(snapshot: &Snapshot, id: HorizonId) -> Option<Prefix> {
    /// The longest source prefix that resolvers send (RFC 7871 §11.1).
    const DISCLOSED: u8 = 24;
    let horizon = &snapshot.horizons()[id.index()];
    let default = horizon.plan_of(Won::Default);
    let entries = snapshot.provenance().networks.sources.iter().flat_map(|source| source.v4());
    entries.filter(|entry| entry.block.prefix_len() <= DISCLOSED).take(MAX_ENTRIES).find_map(|entry| {
        let address = IpAddr::V4(Ipv4Addr::from_bits(entry.block.first()));
        let subnet = Subnet { address, source: SourcePrefixLen(DISCLOSED) };
        let client = Client { resolver: Ipv4Addr::LOCALHOST.into(), subnet: Some(subnet) };
        let decision = snapshot.decide(id, &client);
        // Skip a reserved subnet, because the resolver's address decides its answer.
        let tells = decision.location.vantage == Vantage::Subnet && horizon.head(decision.plan) != default;
        tells.then(|| Prefix::holding(address, DISCLOSED))
    })
}
