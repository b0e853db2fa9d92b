//! Mirrors given by host name alone: asked of the system's resolver while loading.
//!
//! A steered owner is often an apex, where no CNAME can be, so a mirror's name is turned into addresses here.
//!
//! **Invariants**: a mirror that has addresses in the config keeps just those; what a name has more of than a mirror may
//! have is left out.
//! **Not here**: keeping addresses fresh between reloads.

use std::net::{IpAddr, ToSocketAddrs as _};

use crate::base::diagnostic::Diagnostic;
use crate::config::{Config, MirrorEntry, limits};

/// The port of HTTPS: only there because the system's interface wants one.
const ANY_PORT: u16 = 443;

/// Fills in the addresses of mirrors that have only a host name; a name that has none is an error.
pub fn resolve(config: &mut Config) -> Vec<Diagnostic> {
    let nameless = |entry: &&mut MirrorEntry| entry.mirror.v4.is_empty() && entry.mirror.v6.is_empty();
    config.mirrors.iter_mut().filter(nameless).filter_map(resolve_one).collect()
}

fn resolve_one(entry: &mut MirrorEntry) -> Option<Diagnostic> {
    let host = entry.mirror.host.clone()?;
    let reason = match (&*host, ANY_PORT).to_socket_addrs() {
        Ok(found) => {
            for address in found.map(|found| found.ip()).take(limits::MAX_ADDRESSES) {
                add(entry, address);
            }
            "it has no address".to_string()
        }
        Err(error) => error.to_string(),
    };
    if !entry.mirror.v4.is_empty() || !entry.mirror.v6.is_empty() {
        return None;
    }
    let message = format!("failed to resolve `{host}`, the host of mirror `{}`: {reason}", entry.mirror.name);
    Some(
        Diagnostic::error("mirror-host", message)
            .at(entry.place.clone(), "has no addresses of its own")
            .help("check the name and this machine's resolver, or add `addresses = […]`"),
    )
}

/// A resolver may give an address once for each of several kinds of sockets.
fn add(entry: &mut MirrorEntry, address: IpAddr) {
    match address {
        IpAddr::V4(v4) if !entry.mirror.v4.contains(&v4) => entry.mirror.v4.push(v4),
        IpAddr::V6(v6) if !entry.mirror.v6.contains(&v6) => entry.mirror.v6.push(v6),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::diagnostic::Style;
    use crate::config;

    fn config(mirror: &str) -> Config {
        let text = format!(
            "[[zone]]\nname = \"b.example\"\nfile = \"b.zone\"\nsteer = [{{ owner = \"@\", horizon = \"h\" }}]\n\
             [mirrors.m]\n{mirror}\n[horizons.h]\ndefault = [\"m\"]\n"
        );
        match config::read("pharos.toml", &text) {
            Ok((config, _)) => config,
            Err(problems) => panic!("{problems:#?}"),
        }
    }

    #[test]
    fn a_host_gets_its_addresses_once_each() {
        let mut config = config("host = \"localhost\"");
        assert_eq!(resolve(&mut config), []);
        let mirror = &config.mirrors[0].mirror;
        assert_eq!(mirror.v4, [std::net::Ipv4Addr::LOCALHOST]);
    }

    #[test]
    fn addresses_in_the_config_are_kept() {
        let mut config = config("host = \"localhost\"\naddresses = [\"192.0.2.1\"]");
        assert_eq!(resolve(&mut config), []);
        assert_eq!(config.mirrors[0].mirror.v4, [std::net::Ipv4Addr::new(192, 0, 2, 1)]);
    }

    #[test]
    fn a_host_that_does_not_exist_is_an_error_with_its_place() {
        let problems = resolve(&mut config("host = \"nowhere.invalid\""));
        let text = problems[0].render(Style::Plain);
        assert!(text.contains("failed to resolve `nowhere.invalid`, the host of mirror `m`"), "{text}");
        assert!(text.contains("--> pharos.toml:5"), "{text}");
    }
}
