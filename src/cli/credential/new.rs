//! `pharos credential new`: a credential for one machine of a mirror.
//!
//! **Invariants**: the secret has 256 bits of the system's random numbers; the printed name is not used in the configuration.
//! **Not here**: the settings of clients ([`super::clients`]).

use std::net::{IpAddr, SocketAddr};

use clap::ValueEnum as _;
use ring::rand::{SecureRandom as _, SystemRandom};

use super::super::locate::ConfigLocation;
use super::super::output::warn;
use super::clients::{AcmeClient, NewCredential, ServerAddress, SettingsPart, of_key};
use crate::base::diagnostic::{Diagnostic, did_you_mean};
use crate::base::name::{Name, NameBuf};
use crate::base::rr::Rtype;
use crate::base::tsig::MAX_KEY_NAME_LEN;
use crate::config::{self, Config};
use crate::load;

/// The bytes of a secret: as many as a digest of HMAC-SHA256 has, which RFC 8945 §8 recommends.
const SECRET_LEN: usize = 32;

/// The port of DNS.
const DNS_PORT: u16 = 53;

/// Arguments of `pharos credential new`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The mirror
    #[arg(value_name = "MIRROR")]
    mirror: String,

    /// The name of the key [default: the mirror and the zone, with a number if that is taken]
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    name: Option<String>,

    /// The server that clients send to, better by its address than by its name [default: of `[dns] listen`, or the primary of
    /// the zone's SOA]
    #[arg(long, value_name = "HOST[:PORT]", value_parser = parse_server)]
    server: Option<(String, Option<u16>)>,

    /// The client, to print its settings alone
    #[arg(long, value_name = "CLIENT", value_enum)]
    client: Option<AcmeClient>,
}

/// Checks a name of a key: it stands in shells, TOML, YAML and a file name.
fn parse_name(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    let name = text.trim_end_matches('.').to_ascii_lowercase();
    let parsed = NameBuf::parse(&name).map_err(|error| error.to_string())?;
    match name.bytes().all(is_plain) && !name.starts_with(['-', '.']) && parsed.as_name().len() <= MAX_KEY_NAME_LEN {
        true => Ok(name),
        false => Err(format!("use letters, digits, `-`, `_` and `.`, {MAX_KEY_NAME_LEN} bytes at most")),
    }
}

fn parse_server(text: &str) -> Result<(String, Option<u16>), String> {
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Ok((socket.ip().to_string(), Some(socket.port())));
    }
    if let Ok(address) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Ok((address.to_string(), None));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse().map_err(|_| format!("`{port}` is not a port"))?)),
        None => (text, None),
    };
    let host = host.trim_end_matches('.');
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    match host.split('.').all(is_label) && NameBuf::parse(host).is_ok() {
        true => Ok((host.to_string(), port)),
        false => Err("write an address or a host name, with or without a port: `192.0.2.53:53`".to_string()),
    }
}

/// Makes a credential, and returns the output.
pub(super) fn make(location: &ConfigLocation, args: &Args) -> Result<String, Vec<Diagnostic>> {
    let config = config::read_file(location.path())?.config;
    let mirror = config.mirrors.iter().position(|entry| *entry.mirror.name == *args.mirror).ok_or_else(|| {
        let known = config.mirrors.iter().map(|entry| &*entry.mirror.name);
        let help = did_you_mean(&args.mirror, "defined mirrors", known);
        failed(Diagnostic::error("unknown-mirror", format!("mirror `{}` is not defined", args.mirror)).help(help))
    })?;
    let names = config.certificate_names(crate::base::ids::MirrorId::from_index(mirror))?;
    let Some(first) = names.first().map(|certificate| certificate.name.clone()) else {
        let message = format!("no steered owner leads to mirror `{}`, so that there is no name to prove", args.mirror);
        let help = "name the mirror in the horizon of a steered owner";
        return Err(failed(Diagnostic::error("unused-mirror", message).help(help)));
    };
    let zone = config.zones.iter().filter(|zone| first.as_name().ends_with(zone.name.as_name()));
    let zone = zone.max_by_key(|zone| zone.name.as_name().len()).expect("a steered owner is in a zone: config::zone");
    let name = key_name(&config, args, &zone.name)?;
    let credential = NewCredential {
        name,
        secret: secret()?,
        names: names.iter().map(|certificate| certificate.name.to_string()).collect(),
        server: server(&config, args, zone)?,
    };
    let clients = args.client.as_ref().map_or(AcmeClient::value_variants(), std::slice::from_ref);
    let mut parts = server_parts(&config, &args.mirror, &credential);
    parts.extend(clients.iter().flat_map(|client| of_key(*client, &credential)));
    let parts: Vec<String> =
        parts.iter().map(|SettingsPart { title, text }| format!("==> {title} <==\n{text}")).collect();
    Ok(parts.join("\n"))
}

fn failed(problem: Diagnostic) -> Vec<Diagnostic> {
    vec![problem]
}

/// The name of the key: as wanted, or the first one that is free.
fn key_name(config: &Config, args: &Args, zone: &NameBuf) -> Result<String, Vec<Diagnostic>> {
    let is_taken = |name: &str| {
        let name = NameBuf::parse(name);
        config.keys.iter().any(|key| name.as_ref().is_ok_and(|name| *name == key.name))
    };
    if let Some(name) = &args.name {
        return match is_taken(name) {
            false => Ok(name.clone()),
            true => Err(failed(
                Diagnostic::error("taken", format!("key `{name}` is in the configuration already"))
                    .help("each machine has a key of its own: name another with `--name`"),
            )),
        };
    }
    let numbers = std::iter::once(String::new()).chain((2..).map(|number| format!("-{number}")));
    let found = numbers.map(|number| format!("{}{number}.{zone}", args.mirror)).find(|name| !is_taken(name));
    let name = found.unwrap_or_default();
    parse_name(&name).map_err(|_| {
        failed(
            Diagnostic::error("name", format!("`{name}` is too long for the name of a key"))
                .help(format!("name the key with `--name`, {MAX_KEY_NAME_LEN} bytes at most")),
        )
    })
}

fn secret() -> Result<String, Vec<Diagnostic>> {
    let mut bytes = [0; SECRET_LEN];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| failed(Diagnostic::error("no-random", "the system has no random numbers")))?;
    Ok(data_encoding::BASE64.encode(&bytes))
}

/// The server that clients send to.
fn server(config: &Config, args: &Args, zone: &config::ZoneConfig) -> Result<ServerAddress, Vec<Diagnostic>> {
    let listen = config.dns.listen.iter().max_by_key(|address| usability(address.ip()));
    let port = listen.map(SocketAddr::port).filter(|port| *port > 0).unwrap_or(DNS_PORT);
    if let Some((host, written)) = &args.server {
        return Ok(ServerAddress { host: host.clone(), port: written.unwrap_or(port) });
    }
    if let Some(address) = listen.filter(|address| usability(address.ip()) > Usability::Loopback) {
        return Ok(ServerAddress { host: address.ip().to_string(), port });
    }
    // Clients elsewhere reach the primary of the zone, if DNS is right.
    if let Some(host) = primary(zone) {
        return Ok(ServerAddress { host, port });
    }
    match listen.filter(|address| !address.ip().is_unspecified()) {
        Some(address) => {
            warn(&format!("{} is reached from this machine alone; `--server` names another address", address.ip()));
            Ok(ServerAddress { host: address.ip().to_string(), port })
        }
        None => Err(failed(
            Diagnostic::error("no-server", "the configuration does not tell the server's address")
                .help("name it with `--server 192.0.2.53`"),
        )),
    }
}

/// The use of a listen address to clients on other machines, from the least.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Usability {
    Unspecified,
    Loopback,
    Reachable,
}

fn usability(address: IpAddr) -> Usability {
    match address {
        _ if address.is_unspecified() => Usability::Unspecified,
        _ if address.is_loopback() => Usability::Loopback,
        _ => Usability::Reachable,
    }
}

/// The primary that the SOA names: its address if the zone has one, because some clients take no name.
fn primary(zone: &config::ZoneConfig) -> Option<String> {
    let (zone, _) = load::zone::read(zone).ok()?;
    let (primary, _) = Name::split_from(zone.is_available().then(|| zone.soa())?.rdatas().next()?)?;
    let of = |rtype| zone.node_of(primary)?.rrset(rtype)?.rdatas().next();
    let v4 = of(Rtype::A).and_then(|rdata| <[u8; 4]>::try_from(rdata).ok()).map(IpAddr::from);
    let v6 = || of(Rtype::AAAA).and_then(|rdata| <[u8; 16]>::try_from(rdata).ok()).map(IpAddr::from);
    let address = v4.or_else(v6).filter(|address| !address.is_loopback());
    let name = (!primary.ends_with(zone.apex()) && !primary.is_root()).then(|| primary.to_string());
    address.map(|address| address.to_string()).or(name)
}

/// The parts for the operator.
fn server_parts(config: &Config, mirror: &str, credential: &NewCredential) -> Vec<SettingsPart> {
    let NewCredential { name, secret, .. } = credential;
    let mut tables = String::new();
    if config.acme.is_none() {
        tables += "[acme]\nstate = \"/var/lib/pharos/acme.json\"\n\n";
    }
    tables += &format!("[keys.\"{name}\"]\nalgorithm   = \"hmac-sha256\"\nsecret-file = \"keys/{name}.key\"\n");
    let is_first = config.acme.iter().flat_map(|acme| &acme.credentials).all(|known| *known.mirror != *mirror);
    let entry = format!("{{ key = \"{name}\" }}");
    let quoted = match mirror.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
        true => mirror.to_string(),
        false => format!("\"{mirror}\""),
    };
    let entry = match is_first {
        true => SettingsPart::new(format!("pharos.toml, under [mirrors.{quoted}]"), format!("acme = [{entry}]\n")),
        false => SettingsPart::new(format!("pharos.toml, in `acme` of [mirrors.{quoted}]"), format!("{entry},\n")),
    };
    vec![
        SettingsPart::new(format!("keys/{name}.key beside pharos.toml, mode 600"), format!("{secret}\n")),
        SettingsPart::new("pharos.toml", tables),
        entry,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_an_address_or_a_name_with_or_without_a_port() {
        for (text, expected) in [
            ("192.0.2.53", Ok(("192.0.2.53", None))),
            ("192.0.2.53:5300", Ok(("192.0.2.53", Some(5300)))),
            ("2001:db8::53", Ok(("2001:db8::53", None))),
            ("[2001:db8::53]", Ok(("2001:db8::53", None))),
            ("[2001:db8::53]:5300", Ok(("2001:db8::53", Some(5300)))),
            ("ns1.example.", Ok(("ns1.example", None))),
            ("ns1.example:53", Ok(("ns1.example", Some(53)))),
            ("ns1.example:x", Err(())),
            ("a b", Err(())),
            ("", Err(())),
        ] {
            let expected = expected.map(|(host, port): (&str, _)| (host.to_string(), port));
            assert_eq!(parse_server(text).map_err(drop), expected, "{text}");
        }
        let shown = |host: &str| ServerAddress { host: host.to_string(), port: 53 }.to_string();
        assert_eq!([shown("2001:db8::53"), shown("ns1.example")], ["[2001:db8::53]:53", "ns1.example:53"]);
    }

    #[test]
    fn a_name_of_a_key_needs_no_quotes_anywhere() {
        assert_eq!(parse_name("Use1.Mirrors.example."), Ok("use1.mirrors.example".to_string()));
        for text in ["", "a b", "a'b", "../a", ".a", "-a", &"a.".repeat(32)] {
            assert!(parse_name(text).is_err(), "{text}");
        }
    }

    #[test]
    fn secrets_differ_and_have_256_bits() {
        let [one, other] = [(); 2].map(|()| secret().ok().unwrap());
        assert_ne!(one, other);
        assert_eq!(config::decode_secret(&one).unwrap().len(), SECRET_LEN);
    }
}
