//! Records of zones that would keep a mirror's ACME client from a certificate: CAA, SOA and NS.
//!
//! An authority asks for the CAA records of a name before it issues, and for the challenge at any name server of the zone.
//! Some clients send their updates to the primary that the SOA names (MNAME, RFC 2136 §4.3).
//!
//! **Invariants**: a name outside of the zones of this server is never judged.
//! **Not here**: the grammar of CAA records ([`crate::challenge::caa`]).
//!
//! RFC 8659 §3 (the records of a name), RFC 8657 (accounts).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crate::base::diagnostic::Diagnostic;
use crate::base::name::Name;
use crate::base::rr::Rtype;
use crate::challenge::caa;
use crate::config::{AcmeConfig, Config, CredentialConfig, ZoneConfig};
use crate::zone::{Found, Node, RrSet, Zone, ZoneSet};

/// The most bytes of the CAA records of a name. A response of 4,096 bytes is the largest that common resolvers take over UDP,
/// and authorities read it again and again; the rest is room for the question, signatures and name servers.
const MAX_CAA_LEN: usize = 3500;

/// True if the CAA records of a name, of which `lens` are the bytes of each record's data, are too large.
pub(crate) fn is_large(lens: impl Iterator<Item = usize>) -> bool {
    lens.map(|len| crate::zone::RECORD_HEADER_LEN + len).sum::<usize>() > MAX_CAA_LEN
}

/// The first name at which the CAA records for a certificate of `name` are looked for: of `*.x` it is `x`.
pub(crate) fn caa_owner(name: Name<'_>) -> Name<'_> {
    name.parent().filter(|_| name.is_wildcard()).unwrap_or(name)
}

/// The CAA records that apply to a name: those of the name itself or else of the nearest name above it (RFC 8659 §3).
/// `None` if no zone of this server has any.
pub(crate) fn caa_records<'z>(zones: &'z ZoneSet, name: Name<'_>) -> Option<(Node<'z>, RrSet<'z>)> {
    let mut owner = Some(caa_owner(name));
    while let Some(at) = owner {
        let (_, zone) = zones.find(at, &at.suffixes()).filter(|(_, zone)| zone.is_available())?;
        if let Some(node) = zone.node_of(at) {
            // The records of an alias are those of its target, which another server may have.
            if node.rrset(Rtype::CNAME).is_some() || node.is_occluded() {
                return None;
            }
            if let Some(set) = node.rrset(Rtype::CAA) {
                return Some((node, set));
            }
        }
        owner = at.parent();
    }
    None
}

/// Warns of records that would keep mirrors with credentials from a certificate.
pub(crate) fn check_issuance(config: &Config, zones: &ZoneSet) -> Vec<Diagnostic> {
    let Some(acme) = &config.acme else { return Vec::new() };
    let mut problems: Vec<Diagnostic> =
        acme.credentials.iter().flat_map(|credential| check_account(credential, zones)).collect();
    problems.extend(check_sizes(acme, config, zones));
    let own: Vec<IpAddr> =
        config.dns.listen.iter().map(SocketAddr::ip).filter(|address| !address.is_unspecified()).collect();
    for zone in config.zones.iter().filter(|zone| !zone.reserved.is_empty()) {
        let Some((_, served)) = zones.at_apex(zone.name.as_name()).filter(|(_, zone)| zone.is_available()) else {
            continue;
        };
        problems.extend(check_primary(zone, served, zones));
        problems.extend(check_servers(zone, served, zones));
        problems.extend(check_peers(zone, acme, served, zones, &own));
    }
    problems
}

fn check_account(credential: &CredentialConfig, zones: &ZoneSet) -> Option<Diagnostic> {
    let account = credential.account.as_ref()?;
    // One cause has several effects; the first name stands for all.
    let (name, owner, refusal) = credential.names.iter().find_map(|certificate| {
        let name = certificate.name.as_name();
        let (node, set) = caa_records(zones, name)?;
        let records: Vec<&[u8]> = set.rdatas().collect();
        let refusal = caa::check_account(&records, &account.value, name.is_wildcard()).err()?;
        Some((name, node.owner(), refusal))
    })?;
    let message = format!(
        "the CAA records of `{owner}` keep the account of mirror `{}` from a certificate for `{name}`: {refusal}",
        credential.mirror
    );
    let problem = Diagnostic::warning("account-not-allowed", message).at(account.place.clone(), "this account");
    Some(problem.help("`pharos certs records` prints the records for all accounts of the configuration"))
}

fn check_sizes<'c>(
    acme: &'c AcmeConfig,
    config: &'c Config,
    zones: &'c ZoneSet,
) -> impl Iterator<Item = Diagnostic> + 'c {
    let names = acme.credentials.iter().flat_map(|credential| &credential.names);
    let mut seen = BTreeSet::new();
    names.filter_map(move |certificate| {
        let (node, set) = caa_records(zones, certificate.name.as_name())?;
        let owner = node.owner();
        let lens = set.rdatas().map(<[u8]>::len);
        if !is_large(lens) || !seen.insert(owner.key()) {
            return None;
        }
        let zone = config.zone_of(owner)?;
        let message = format!("the CAA records of `{owner}` have {} bytes, over {MAX_CAA_LEN}", set.wire().len());
        let problem = Diagnostic::warning("large-caa", message).at(zone.place.clone(), "this zone");
        Some(problem.help("let several machines of a mirror share an account, or remove records"))
    })
}

/// The primary of the SOA has an address, because some clients send their updates there.
fn check_primary(zone: &ZoneConfig, served: &Zone, zones: &ZoneSet) -> Option<Diagnostic> {
    let (primary, _) = Name::split_from(served.soa().rdatas().next()?)?;
    let problem = lacks_address(zones, primary).then(|| {
        let message = format!("the SOA of `{}` names `{primary}` as its primary, which has no address", zone.name);
        Diagnostic::warning("server-without-address", message)
    })?;
    let help = format!("add an A or AAAA record for `{primary}`: ACME clients such as uacme send their updates there");
    Some(problem.at(zone.place.clone(), "this zone").help(help))
}

/// Name servers in other zones of this server have addresses. The loader warns of those in the zone itself.
fn check_servers(zone: &ZoneConfig, served: &Zone, zones: &ZoneSet) -> Vec<Diagnostic> {
    let elsewhere = servers(served).filter(|server| {
        zones.find(*server, &server.suffixes()).is_some_and(|(_, holder)| holder.apex() != served.apex())
    });
    let problem = |server: Name<'_>| {
        let message = format!("name server `{server}` of zone `{}` has no address", zone.name);
        let problem = Diagnostic::warning("server-without-address", message).at(zone.place.clone(), "this zone");
        problem.help(format!("add an A or AAAA record for `{server}`: an authority that asks there finds no challenge"))
    };
    elsewhere.filter(|server| lacks_address(zones, *server)).map(problem).collect()
}

/// Each name server but this one is a peer, because an authority asks any of them for the challenge.
fn check_peers(
    zone: &ZoneConfig,
    acme: &AcmeConfig,
    served: &Zone,
    zones: &ZoneSet,
    own: &[IpAddr],
) -> Option<Diagnostic> {
    let is_known =
        |address: &IpAddr| own.contains(address) || acme.peers.iter().any(|peer| peer.address.ip() == *address);
    // Several names of one server have the same addresses.
    let mut unknown: BTreeMap<(Vec<IpAddr>, Option<String>), String> = BTreeMap::new();
    for server in servers(served) {
        let (addresses, name) = (addresses(zones, server), format!("`{server}`"));
        if !addresses.iter().any(is_known) {
            let alone = addresses.is_empty().then(|| name.clone());
            unknown.entry((addresses, alone)).or_insert(name);
        }
    }
    // One of these is this server, if no name server has an address at which it listens.
    let is_listed = servers(served).any(|server| addresses(zones, server).iter().any(|address| own.contains(address)));
    if unknown.len() <= usize::from(!is_listed) {
        return None;
    }
    let names: Vec<String> = unknown.into_values().collect();
    let message =
        format!("zone `{}` has name servers that are under no `peers` of `[acme]`: {}", zone.name, names.join(", "));
    let problem = Diagnostic::warning("servers-without-peers", message).at(zone.place.clone(), "this zone");
    Some(problem.help(
        "write the address of each server but this one under `peers`, because an authority asks any of them for a \
         challenge; if these are this server, or have other addresses there, `allow` this",
    ))
}

/// The name servers of a zone.
fn servers(zone: &Zone) -> impl Iterator<Item = Name<'_>> {
    let set = zone.node_of(zone.apex()).and_then(|apex| apex.rrset(Rtype::NS));
    set.into_iter().flat_map(RrSet::rdatas).filter_map(Name::from_wire)
}

/// The node that answers for a name, a wildcard if it does not exist; `None` if no zone of this server answers for it.
fn answering<'z>(zones: &'z ZoneSet, name: Name<'_>) -> Option<Option<Node<'z>>> {
    let suffixes = name.suffixes();
    let (_, zone) = zones.find(name, &suffixes).filter(|(_, zone)| zone.is_available())?;
    let (nearest, node) = match zone.find(name, &suffixes) {
        Found::Exact(id) => (zone.node(id), Some(zone.node(id))),
        Found::Below { encloser, wildcard } => (zone.node(encloser), wildcard.map(|wildcard| zone.node(wildcard))),
    };
    // Below a delegation or DNAME other servers answer.
    let is_foreign = nearest.is_occluded() || nearest.owner() != name && nearest.rrset(Rtype::DNAME).is_some();
    (!is_foreign).then_some(node)
}

/// True if a name is in a zone of this server, and has no address and no alias.
fn lacks_address(zones: &ZoneSet, name: Name<'_>) -> bool {
    let has_address = |node: Node<'_>| {
        let types = [Rtype::A, Rtype::AAAA, Rtype::CNAME];
        node.steered().is_some() || types.iter().any(|rtype| node.rrset(*rtype).is_some())
    };
    answering(zones, name).is_some_and(|node| !node.is_some_and(has_address))
}

/// The addresses of a name, in order; none if this server does not know any.
fn addresses(zones: &ZoneSet, name: Name<'_>) -> Vec<IpAddr> {
    let Some(node) = answering(zones, name).flatten() else { return Vec::new() };
    let of = |rtype| node.rrset(rtype).into_iter().flat_map(RrSet::rdatas);
    let v4 = of(Rtype::A).filter_map(|rdata| <[u8; 4]>::try_from(rdata).ok()).map(IpAddr::from);
    let v6 = of(Rtype::AAAA).filter_map(|rdata| <[u8; 16]>::try_from(rdata).ok()).map(IpAddr::from);
    let mut addresses: Vec<IpAddr> = v4.chain(v6).collect();
    addresses.sort_unstable();
    addresses
}
