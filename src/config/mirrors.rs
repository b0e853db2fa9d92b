//! `[mirrors]`: addresses that clients can reach, and names of their own.
//!
//! **Invariants**: a mirror has addresses, a host, or both.
//! **Not here**: mirrors that no horizon names ([`super::check`]); probing ([`crate::probe`]).

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::check::Check;
use super::field::{Field, Named, Other, section};
use super::row::{KeyRow, other, text, texts};
use super::spec::PlacedText;
use super::table::Table;
use super::{Placed, ZoneConfig, limits, value};
use crate::base::diagnostic::{Diagnostic, Place};
use crate::base::geo::Coordinates;
use crate::base::ids::MirrorId;
use crate::base::name::NameBuf;
use crate::base::prefix::Prefix;
use crate::base::time::Ttl;
use crate::mirror::{Addressing, Mirror, is_steered};

section! {
    /// A mirror as written.
    pub(super) struct MirrorSpec: "mirror" then complete {
        /// IPv4 and IPv6 addresses, 32 at most. One of `addresses` and `host` is required.
        ///
        /// All addresses of a family are one answer, and 32 AAAA records fit a datagram that is not fragmented.
        addresses: Vec<PlacedText> = texts("addresses", "address")
            .otherwise("those of `host`")
            .example("[\"192.0.2.10\", \"2001:db8::10\"]"),

        /// Host name of the mirror, for `[registry] direct`. Without `addresses` it is resolved, and its addresses are kept
        /// up to date.
        ///
        /// A load balancer or CDN changes its addresses, and a CNAME cannot stand beside other records of the steered
        /// name.
        host: Option<PlacedText> = text("host", "host name").example("\"mirror-a.example.com\""),

        /// Position for `nearest`: `[LATITUDE, LONGITUDE]` in degrees, from -90 to 90 and from -180 to 180.
        location: Option<LocationSpec> = other("location", "two numbers").otherwise("unknown").example("[50.11, 8.68]"),

        /// Contact of the mirror's operator: a mail address, a URL or a channel, in one line of 256 bytes at most. `status`
        /// shows it beside trouble, `mirror list` and `explain --json` always, and alerts get it from `pharos_mirror_info`.
        contact: Option<PlacedText> = text("contact", "line of text").example("\"mirrors@example.com\""),
    }
}

/// `location` of a mirror.
#[derive(Debug)]
pub(super) enum LocationSpec {
    /// A position.
    Known(Placed<Coordinates>),
    /// Something else, which has been reported.
    Wrong,
}

impl Field<Other> for Option<LocationSpec> {
    fn take(table: &mut Table<'_, '_>, key: &KeyRow<Other>) -> Self {
        Some(match table.value(&key.row())?.coordinates() {
            Some(coordinates) => LocationSpec::Known(coordinates),
            None => LocationSpec::Wrong,
        })
    }

    fn absent(_: &KeyRow<Other>) -> Self {
        None
    }
}

/// Reports a mirror without any address.
fn complete(_: &MirrorSpec, table: &Table<'_, '_>) {
    // A key left over is likely one of these two misspelt, and is reported as unknown.
    if !table.has("addresses") && !table.has("host") && table.len() == 0 {
        table.reader.report(
            Diagnostic::error("missing-key", format!("{} has neither `addresses` nor `host`", table.title()))
                .at(table.place().clone(), "nothing to steer to")
                .help(
                    "add `addresses = [\"192.0.2.10\", \"2001:db8::10\"]`, or `host = \"…\"` to have a name resolved",
                ),
        );
    }
}

/// One `[mirrors.*]`.
#[derive(Clone, Debug)]
pub struct MirrorEntry {
    /// The mirror.
    pub mirror: Mirror,
    /// Its position. `None` if `location` is not written.
    pub location: Option<Coordinates>,
    /// The place of its name in the config.
    pub place: Place,
}

/// All mirrors.
pub(super) struct MirrorsConfig {
    /// In file order, the wrong ones too.
    pub(super) entries: Vec<MirrorEntry>,
    /// Mirrors with an error, which may have more addresses than are known.
    pub(super) broken: HashSet<MirrorId>,
}

/// The addressing of a mirror whose host has not been resolved yet.
const UNRESOLVED: Addressing = Addressing::Resolved { at: None, ttl: Ttl(0) };

/// True for the blocks of RFC 1918, RFC 6598 and RFC 4193.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64,
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}

impl Check<'_> {
    /// `private` are the private networks of `[resolver]`: its clients are in them.
    pub(super) fn check_mirrors(&mut self, specs: &[Named<MirrorSpec>], private: &[Prefix]) -> MirrorsConfig {
        let mut seen: HashMap<IpAddr, (Place, usize)> = HashMap::new();
        let mut mirrors = MirrorsConfig { entries: Vec::with_capacity(specs.len()), broken: HashSet::new() };
        for (index, spec) in specs.iter().enumerate() {
            let before = self.problems.len();
            let mirror = self.check_mirror(index, specs, private, &mut seen);
            let has_no_address = mirror.v4.is_empty() && mirror.v6.is_empty() && mirror.host.is_none();
            let location = spec.keys.as_ref().and_then(|keys| keys.location.as_ref());
            let is_wrong = self.problems[before..].iter().any(Diagnostic::is_error)
                || matches!(location, Some(LocationSpec::Wrong));
            if has_no_address || is_wrong {
                mirrors.broken.insert(MirrorId::from_index(index));
            }
            let location = location.and_then(|location| match location {
                LocationSpec::Known(location) => Some(location.value),
                LocationSpec::Wrong => None,
            });
            mirrors.entries.push(MirrorEntry { mirror, location, place: spec.name.place.clone() });
        }
        mirrors
    }

    /// The mirror at an index; `seen` are the addresses of those before it, with their places and mirrors.
    fn check_mirror(
        &mut self,
        index: usize,
        specs: &[Named<MirrorSpec>],
        private: &[Prefix],
        seen: &mut HashMap<IpAddr, (Place, usize)>,
    ) -> Mirror {
        let Named { name, keys } = &specs[index];
        self.parse(name, value::word);
        let mut mirror = Mirror::named(name.value.clone());
        let Some(keys) = keys else { return Mirror { addressing: UNRESOLVED, ..mirror } };
        mirror.host = keys.host.as_ref().and_then(|host| self.parse(host, value::host_name));
        mirror.contact = keys.contact.as_ref().and_then(|contact| self.parse(contact, value::contact));
        if keys.addresses.is_empty() {
            mirror.addressing = UNRESOLVED;
        }
        for text in &keys.addresses {
            let Some(address) = self.parse(text, value::mirror_address) else { continue };
            let (first, of) = seen.entry(address).or_insert_with(|| (text.place.clone(), index));
            if *first != text.place {
                self.report(repeated_address(address, text, first, &specs[*of].name, *of == index));
            }
            if is_private(address) && !private.iter().any(|prefix| prefix.contains(address)) {
                self.report(private_address(address, text));
            }
            match address {
                IpAddr::V4(v4) if !mirror.v4.contains(&v4) => mirror.v4.push(v4),
                IpAddr::V6(v6) if !mirror.v6.contains(&v6) => mirror.v6.push(v6),
                _ => {}
            }
        }
        if let Some(over) = keys.addresses.get(limits::MAX_ADDRESSES) {
            let most = limits::MAX_ADDRESSES;
            let message = format!("mirror `{}` has {} addresses", mirror.name, keys.addresses.len());
            let help = format!("keep to {most}: all of them go into one answer");
            self.report(Diagnostic::error("too-many", message).at(over.place.clone(), "one too many").help(help));
        }
        mirror
    }

    /// A mirror must not follow a name whose addresses come from mirrors.
    pub(super) fn check_hosts(&mut self, specs: &[Named<MirrorSpec>], mirrors: &[MirrorEntry], zones: &[ZoneConfig]) {
        let steered: Vec<_> = zones.iter().flat_map(|zone| &zone.steer).map(|steer| steer.owner.clone()).collect();
        for (spec, entry) in specs.iter().zip(mirrors) {
            let host = spec.keys.as_ref().and_then(|keys| keys.host.as_ref());
            let Some((text, host)) = host.zip(entry.mirror.followed_host()) else { continue };
            let name = NameBuf::parse(host);
            if name.is_ok_and(|name| is_steered(name.as_name(), &steered)) {
                self.report(
                    Diagnostic::error("steered-host", format!("`{host}` is steered: its addresses come from mirrors"))
                        .at(text.place.clone(), "a mirror cannot follow it")
                        .help("write a name of the mirror's own, or its `addresses`"),
                );
            }
        }
    }
}

/// An address that is written again; `first` is its first place, in the mirror `of`.
fn repeated_address(
    address: IpAddr,
    again: &PlacedText,
    first: &Place,
    of: &PlacedText,
    is_same_mirror: bool,
) -> Diagnostic {
    let help = if is_same_mirror {
        "remove one of the two"
    } else {
        "check both: mirrors that share an address are one machine, and fail together"
    };
    Diagnostic::warning("repeated-address", format!("address `{address}` is written twice"))
        .at(again.place.clone(), "written again")
        .related(first.clone(), format!("first written here, for mirror `{}`", of.value))
        .help(help)
}

fn private_address(address: IpAddr, text: &PlacedText) -> Diagnostic {
    let message = format!("`{address}` is a private address, which clients on the internet cannot reach");
    Diagnostic::warning("private-address", message)
        .at(text.place.clone(), "not reachable from elsewhere")
        .help("write the public address; if all clients are in the same network, name that under `[resolver] private`")
}
