//! `[mirrors]`: addresses that clients can reach, and names of their own.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::Check;
use crate::base::diagnostic::{Diagnostic, Place};
use crate::base::ids::MirrorId;
use crate::base::prefix::Prefix;
use crate::base::time::Ttl;
use crate::config::spec::{LocationSpec, MirrorSpec};
use crate::config::{MirrorEntry, limits, value};
use crate::mirror::{Addressing, Mirror};

/// All mirrors.
pub(super) struct Mirrors {
    /// In file order, the wrong ones too.
    pub(super) entries: Vec<MirrorEntry>,
    /// Those of which not all is known, since some of it is wrong.
    pub(super) broken: HashSet<MirrorId>,
}

/// RFC 1918, RFC 6598 and RFC 4193.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64,
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}

impl Check<'_> {
    /// `meant` are the private networks of `[resolver]`: its clients are in them.
    pub(super) fn check_mirrors(&mut self, specs: &[MirrorSpec], meant: &[Prefix]) -> Mirrors {
        let mut seen: HashMap<IpAddr, (Place, usize)> = HashMap::new();
        let mut mirrors = Mirrors { entries: Vec::with_capacity(specs.len()), broken: HashSet::new() };
        for (index, spec) in specs.iter().enumerate() {
            let before = self.problems.len();
            self.parse(&spec.name, value::word);
            let host = spec.host.as_ref().and_then(|host| self.parse(host, value::host_name));
            let contact = spec.contact.as_ref().and_then(|contact| self.parse(contact, value::contact));
            let addressing = match spec.addresses.is_empty() {
                true => Addressing::Resolved { at: None, ttl: Ttl(0) },
                false => Addressing::Written,
            };
            let name = spec.name.value.clone();
            let mut mirror = Mirror { name, host, contact, addressing, v4: Vec::new(), v6: Vec::new() };
            for text in &spec.addresses {
                let Some(address) = self.parse(text, value::mirror_address) else { continue };
                let first = seen.entry(address).or_insert_with(|| (text.place.clone(), index));
                if first.0 != text.place {
                    let (first, of) = (first.0.clone(), first.1);
                    let help = match of == index {
                        true => "remove one of the two",
                        false => "check both: mirrors that share an address are one machine, and fail together",
                    };
                    let message = format!("address `{address}` is written twice");
                    self.report(
                        Diagnostic::warning("repeated-address", message)
                            .at(text.place.clone(), "written again")
                            .related(first, format!("first written here, for mirror `{}`", specs[of].name.value))
                            .help(help),
                    );
                }
                if is_private(address) && !meant.iter().any(|prefix| prefix.contains(address)) {
                    let message =
                        format!("`{address}` is a private address, which clients on the internet cannot reach");
                    self.report(
                        Diagnostic::warning("private-address", message)
                            .at(text.place.clone(), "not reachable from elsewhere")
                            .help(
                                "write the public address; if all clients are in the same network, name that under \
                                   `[resolver] private`",
                            ),
                    );
                }
                match address {
                    IpAddr::V4(v4) if !mirror.v4.contains(&v4) => mirror.v4.push(v4),
                    IpAddr::V6(v6) if !mirror.v6.contains(&v6) => mirror.v6.push(v6),
                    _ => {}
                }
            }
            if let Some(over) = spec.addresses.get(limits::MAX_ADDRESSES) {
                let most = limits::MAX_ADDRESSES;
                let message = format!("mirror `{}` has {} addresses", mirror.name, spec.addresses.len());
                let help = format!("keep to {most}: all of them go into one answer");
                self.report(Diagnostic::error("too-many", message).at(over.place.clone(), "one too many").help(help));
            }
            if mirror.v4.is_empty() && mirror.v6.is_empty() && mirror.host.is_none()
                || self.problems[before..].iter().any(Diagnostic::is_error)
            {
                mirrors.broken.insert(MirrorId::from_index(index));
            }
            let location = match &spec.location {
                Some(LocationSpec::Known(location)) => Some(location.value),
                Some(LocationSpec::Wrong) => {
                    mirrors.broken.insert(MirrorId::from_index(index));
                    None
                }
                None => None,
            };
            mirrors.entries.push(MirrorEntry { mirror, location, place: spec.name.place.clone() });
        }
        mirrors
    }
}
