//! Families of addresses that the default of a horizon lacks once hosts are resolved, although another mirror has some.
//!
//! This is a warning, but an error if the addresses are written ([`crate::config`]): a host gets and loses addresses while
//! the server runs, and must not keep it from starting. A client whose plan has no such address is answered with that of
//! another mirror, so that the type exists for all clients or for none ([`crate::steer`]).

use crate::base::diagnostic::Diagnostic;
use crate::base::ids::MirrorId;
use crate::base::prefix::Family;
use crate::base::rr::Rtype;
use crate::config::{Config, HorizonConfig, MirrorEntry};

/// Warns of horizons in which some clients get the addresses of a family from a mirror outside of their plan.
pub(crate) fn check_families(config: &Config) -> Vec<Diagnostic> {
    config.horizons.iter().flat_map(|horizon| of_horizon(horizon, &config.mirrors)).collect()
}

fn of_horizon(horizon: &HorizonConfig, mirrors: &[MirrorEntry]) -> Vec<Diagnostic> {
    let mirror = |id: MirrorId| &mirrors[id.index()].mirror;
    let follows = |id: MirrorId| !mirror(id).is_redirect_only() && mirror(id).followed_host().is_some();
    // If no address of a host is known, there is nothing to compare.
    let is_unknown = |id: MirrorId| follows(id) && Family::ALL.iter().all(|family| !mirror(id).serves(*family));
    if !horizon.mirrors().any(follows) || horizon.default.iter().any(|id| is_unknown(*id)) {
        return Vec::new();
    }
    let mut problems = Vec::new();
    for family in Family::ALL {
        let serves = |id: MirrorId| mirror(id).serves(family);
        if horizon.default.iter().any(|id| serves(*id)) {
            continue;
        }
        let Some(having) = horizon.mirrors().find(|id| serves(*id)).map(|id| &mirror(id).name) else { continue };
        let message = format!("the default of horizon `{}` has no {family} address", horizon.name);
        let label = format!("{} of its clients is that of `{having}`", Rtype::of_addresses(family));
        let help = format!("add a mirror with an {family} address to `default`, so that its clients need not go there");
        let problem = Diagnostic::warning("family-elsewhere", message);
        problems.push(problem.at(horizon.default_place.clone(), label).help(help));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::diagnostic::Style;
    use crate::base::report::report;
    use crate::base::time::{Ttl, UnixTime};
    use crate::config;
    use crate::mirror::HostAddresses;

    /// The diagnostics of a config whose host has these addresses.
    fn said(default: &str, rule: &str, v4: &[&str], v6: &[&str]) -> String {
        let text = format!(
            "[[zone]]\nname = 'b.example'\nfile = 'b'\nsteer = {{ owner = '@', horizon = 'h' }}\n[networks]\no = {{ list = 'o' }}\n\
             [mirrors]\nlb = {{ host = 'lb.example' }}\nv4 = {{ addresses = '192.0.2.1' }}\n[horizons.h]\n\
             rules = [{{ network = 'o', mirrors = '{rule}' }}]\ndefault = '{default}'\n"
        );
        let (mut config, _) = config::read("pharos.toml", &text).unwrap();
        let addresses = HostAddresses {
            v4: v4.iter().map(|text| text.parse().unwrap()).collect(),
            v6: v6.iter().map(|text| text.parse().unwrap()).collect(),
            ttl: Ttl(60),
            at: Some(UnixTime(1)),
        };
        config.mirrors[0].mirror = config.mirrors[0].mirror.at(&addresses);
        report(&check_families(&config), Style::Plain)
    }

    #[test]
    fn a_host_with_a_family_that_the_default_lacks_is_told() {
        let expected = "\
warning[family-elsewhere]: the default of horizon `h` has no IPv6 address
  --> pharos.toml:12:11
   |
12 | default = 'v4'
   |           ^^^^ AAAA of its clients is that of `lb`
   |
   = help: add a mirror with an IPv6 address to `default`, so that its clients need not go there

1 warning
";
        assert_eq!(said("v4", "lb", &["192.0.2.9"], &["2001:db8::1"]), expected);
        assert!(said("lb", "v4", &[], &["2001:db8::1"]).contains("has no IPv4 address"));
    }

    #[test]
    fn nothing_is_said_where_nobody_goes_elsewhere() {
        assert_eq!(said("v4", "lb", &["192.0.2.9"], &[]), "");
        assert_eq!(said("lb", "v4", &["192.0.2.9"], &["2001:db8::1"]), "");
        assert_eq!(said("lb", "v4", &[], &[]), "", "nothing is known");
    }
}
