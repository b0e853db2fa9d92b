//! `pharos credential new`: a credential for one machine of a mirror.
//!
//! **Invariants**: the secret has 256 bits of the system's random numbers; the printed name is not used in the configuration.
//! **Not here**: the settings of clients ([`super::clients`]).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use clap::ValueEnum as _;
use data_encoding::BASE64;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};

use super::super::locate::ConfigLocation;
use super::super::{CommandFailure, warn};
use super::clients::{AcmeClient, CredentialKind, NewCredential, ServerAddress, settings};
use crate::base::diagnostic::{Diagnostic, did_you_mean};
use crate::base::name::{Name, NameBuf};
use crate::base::rr::Rtype;
use crate::base::text::hex;
use crate::base::tsig::MAX_KEY_NAME_LEN;
use crate::challenge::USER_PREFIX;
use crate::config::{self, Config};
use crate::load;
use crate::zone::Zone;

/// The bytes of a secret: as many as a digest of HMAC-SHA256 has, which RFC 8945 §8 recommends.
const SECRET_LEN: usize = 32;

/// The port of DNS.
const DNS_PORT: u16 = 53;

/// The port of the listener of ACME clients in a configuration that has none yet.
const HTTP_PORT: u16 = 8553;

/// The state file in a configuration that has no `[acme]` yet.
const STATE_LINE: &str = "state = \"/var/lib/pharos/acme.json\"\n";

/// Arguments of `pharos credential new`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The mirror
    #[arg(value_name = "MIRROR")]
    mirror: String,

    /// Make a user with a password for clients over HTTP (acme-dns, httpreq), instead of a key
    #[arg(long)]
    user: bool,

    /// The name of the key or user [default: that of the mirror, for a key with the zone; with a number if it is taken]
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    name: Option<String>,

    /// The server that clients send to; for a key better by its address, for a user by a name of its certificate [default: of
    /// `listen`, or the primary of the zone's SOA]
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
    if name.bytes().all(is_plain) && !name.starts_with(['-', '.']) && parsed.as_name().len() <= MAX_KEY_NAME_LEN {
        Ok(name)
    } else {
        Err(format!("use letters, digits, `-`, `_` and `.`, {MAX_KEY_NAME_LEN} bytes at most"))
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
    if host.split('.').all(is_label) && NameBuf::parse(host).is_ok() {
        Ok((host.to_string(), port))
    } else {
        Err("write an address or a host name, with or without a port: `192.0.2.53:53`".to_string())
    }
}

/// Makes a credential, and returns the output.
pub(super) fn make(location: &ConfigLocation, args: &Args) -> Result<String, CommandFailure> {
    let config = config::read_file(location.path())?.config;
    let mirror = config.mirrors.iter().position(|entry| *entry.mirror.name == *args.mirror).ok_or_else(|| {
        let known = config.mirrors.iter().map(|entry| &*entry.mirror.name);
        let help = did_you_mean(&args.mirror, "defined mirrors", known);
        Diagnostic::error("unknown-mirror", format!("mirror `{}` is not defined", args.mirror)).help(help)
    })?;
    let names = config.certificate_names(crate::base::ids::MirrorId::from_index(mirror))?;
    let Some(first) = names.first().map(|certificate| certificate.name.clone()) else {
        let message = format!("no steered owner leads to mirror `{}`, so that there is no name to prove", args.mirror);
        let help = "name the mirror in the horizon of a steered owner";
        return Err(Diagnostic::error("unused-mirror", message).help(help).into());
    };
    let zone = config.zone_of(first.as_name()).expect("a steered owner is in a zone: config::zone");
    let kind = kind(&config, args);
    let credential = NewCredential {
        name: name(&config, args, &zone.name)?,
        secret: secret(kind)?,
        names: names.iter().map(|certificate| certificate.name.to_string()).collect(),
        server: server(&config, args, zone, kind)?,
        kind,
    };
    let clients = args.client.as_ref().map_or(AcmeClient::value_variants(), std::slice::from_ref);
    let mut parts = match kind {
        CredentialKind::Key => parts_of_key(&config, &args.mirror, &credential),
        CredentialKind::User | CredentialKind::UserOverTls => parts_of_user(&config, &args.mirror, &credential),
    };
    parts.extend(clients.iter().map(|client| settings(*client, &credential)));
    Ok(parts.join("\n"))
}

/// A part of the output: a title, and a text to paste.
fn part(title: impl fmt::Display, text: impl fmt::Display) -> String {
    format!("==> {title} <==\n{text}")
}

/// The kind of credential. A listener without a certificate has loopback addresses alone; all other users have TLS.
fn kind(config: &Config, args: &Args) -> CredentialKind {
    let is_plain = |acme: &config::AcmeConfig| !acme.listen.is_empty() && acme.tls.is_none();
    match &config.acme {
        _ if !args.user => CredentialKind::Key,
        Some(acme) if is_plain(acme) => CredentialKind::User,
        _ => CredentialKind::UserOverTls,
    }
}

/// The name of the key or user: as wanted, or the first one that is free.
fn name(config: &Config, args: &Args, zone: &NameBuf) -> Result<String, CommandFailure> {
    let what = if args.user { "user" } else { "key" };
    let is_taken = |name: &str| {
        if args.user {
            credentials(config).any(|known| known.name.strip_prefix(USER_PREFIX) == Some(name))
        } else {
            let name = NameBuf::parse(name);
            config.keys.iter().any(|key| name.as_ref().is_ok_and(|name| *name == key.name))
        }
    };
    if let Some(name) = &args.name {
        if is_taken(name) {
            let problem = Diagnostic::error("taken", format!("{what} `{name}` is in the configuration already"));
            let help = format!("each machine has a {what} of its own: name another with `--name`");
            return Err(problem.help(help).into());
        }
        return Ok(name.clone());
    }
    let end = if args.user { String::new() } else { format!(".{zone}") };
    let numbers = std::iter::once(String::new()).chain((2..).map(|number| format!("-{number}")));
    let found = numbers.map(|number| format!("{}{number}{end}", args.mirror)).find(|name| !is_taken(name));
    let name = found.unwrap_or_default();
    Ok(parse_name(&name).map_err(|_| {
        Diagnostic::error("name", format!("`{name}` is too long for the name of a {what}"))
            .help(format!("name the {what} with `--name`, {MAX_KEY_NAME_LEN} bytes at most"))
    })?)
}

fn credentials(config: &Config) -> impl Iterator<Item = &config::CredentialConfig> {
    config.acme.iter().flat_map(|acme| &acme.credentials)
}

/// The secret of a key in base64, or a password, which needs no quotes anywhere.
fn secret(kind: CredentialKind) -> Result<String, CommandFailure> {
    let mut bytes = [0; SECRET_LEN];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Diagnostic::error("no-random", "the system has no random numbers"))?;
    Ok(match kind {
        CredentialKind::Key => BASE64.encode(&bytes),
        CredentialKind::User | CredentialKind::UserOverTls => hex(&bytes),
    })
}

/// The server that clients send to.
fn server(
    config: &Config,
    args: &Args,
    zone: &config::ZoneConfig,
    kind: CredentialKind,
) -> Result<ServerAddress, CommandFailure> {
    let (listen, own_port) = match (kind, &config.acme) {
        (CredentialKind::Key, _) => (&config.dns.listen[..], DNS_PORT),
        (_, Some(acme)) => (&acme.listen[..], HTTP_PORT),
        (_, None) => (&[][..], HTTP_PORT),
    };
    let is_reachable = |address: &SocketAddr| !address.ip().is_unspecified() && !address.ip().is_loopback();
    let listen = listen.iter().max_by_key(|address| (is_reachable(address), !address.ip().is_unspecified()));
    let port = listen.map(SocketAddr::port).filter(|port| *port > 0).unwrap_or(own_port);
    let at = |host: String, port| {
        let address = host.parse().ok().or_else(|| address_in_zones(config, &host));
        ServerAddress { host, port, address }
    };
    if let Some((host, written)) = &args.server {
        return Ok(at(host.clone(), written.unwrap_or(port)));
    }
    // A certificate is for names, and clients elsewhere reach the primary of the zone, if DNS is right.
    if kind == CredentialKind::UserOverTls
        && let Some(ZonePrimary { name, .. }) = primary(zone)
    {
        return Ok(at(name, port));
    }
    if let Some(address) = listen.filter(|address| is_reachable(address) || kind == CredentialKind::User) {
        return Ok(at(address.ip().to_string(), port));
    }
    if let Some(host) = primary(zone).and_then(|primary| primary.host) {
        return Ok(at(host, port));
    }
    match listen.filter(|address| !address.ip().is_unspecified()) {
        Some(address) => {
            warn(&format!("{} is reached from this machine alone; `--server` names another address", address.ip()));
            Ok(at(address.ip().to_string(), port))
        }
        None => Err(Diagnostic::error("no-server", "the configuration does not tell the server's address")
            .help("name it with `--server 192.0.2.53`")
            .into()),
    }
}

/// The primary that the SOA of a zone names.
struct ZonePrimary {
    name: String,
    /// Its address if the zone has one, because some clients take no name; else its name, if it is in another zone.
    host: Option<String>,
}

fn primary(zone: &config::ZoneConfig) -> Option<ZonePrimary> {
    let (zone, _) = load::zone::read(zone, None).ok()?;
    let (primary, _) = Name::split_from(zone.is_available().then(|| zone.soa())?.rdatas().next()?)?;
    let address = address_in(&zone, primary).map(|address| address.to_string());
    let elsewhere = || (!primary.ends_with(zone.apex())).then(|| primary.to_string());
    let host = address.or_else(elsewhere);
    (!primary.is_root()).then(|| ZonePrimary { name: primary.to_string(), host })
}

/// An address of a host name that is in one of the zones.
fn address_in_zones(config: &Config, host: &str) -> Option<IpAddr> {
    let host = NameBuf::parse(host).ok()?;
    let (zone, _) = load::zone::read(config.zone_of(host.as_name())?, None).ok()?;
    zone.is_available().then(|| address_in(&zone, host.as_name()))?
}

/// The first address of a name in its zone that other machines can reach.
fn address_in(zone: &Zone, name: Name<'_>) -> Option<IpAddr> {
    let of = |rtype| zone.node_of(name)?.rrset(rtype)?.rdatas().next();
    let v4 = of(Rtype::A).and_then(|rdata| <[u8; 4]>::try_from(rdata).ok()).map(IpAddr::from);
    let v6 = || of(Rtype::AAAA).and_then(|rdata| <[u8; 16]>::try_from(rdata).ok()).map(IpAddr::from);
    v4.or_else(v6).filter(|address| !address.is_loopback())
}

/// The parts for the operator, of a key.
fn parts_of_key(config: &Config, mirror: &str, credential: &NewCredential) -> Vec<String> {
    let NewCredential { name, secret, .. } = credential;
    let mut tables = String::new();
    if config.acme.is_none() {
        tables += &format!("[acme]\n{STATE_LINE}\n");
    }
    tables += &format!("[keys.\"{name}\"]\nalgorithm   = \"hmac-sha256\"\nsecret-file = \"keys/{name}.key\"\n");
    vec![
        part(format!("keys/{name}.key beside pharos.toml, mode 600"), format!("{secret}\n")),
        part("pharos.toml", tables),
        entry(config, mirror, &format!("{{ key = \"{name}\" }}")),
    ]
}

/// The parts for the operator, of a user.
fn parts_of_user(config: &Config, mirror: &str, credential: &NewCredential) -> Vec<String> {
    let NewCredential { name, secret, .. } = credential;
    let hash = hex(digest(&SHA256, secret.as_bytes()).as_ref());
    let listener = format!(
        "listen = [\"0.0.0.0:{HTTP_PORT}\", \"[::]:{HTTP_PORT}\"]\ntls    = {{ cert = \"fullchain.pem\", key = \"privkey.pem\" }}\n"
    );
    let table = match &config.acme {
        None => Some(part("pharos.toml", format!("[acme]\n{STATE_LINE}{listener}"))),
        Some(acme) if acme.listen.is_empty() => Some(part("pharos.toml, under [acme]", listener)),
        Some(_) => None,
    };
    let entry = entry(config, mirror, &format!("{{ user = \"{name}\", password-sha256 = \"{hash}\" }}"));
    table.into_iter().chain([entry]).collect()
}

/// The entry of `acme` of a mirror.
fn entry(config: &Config, mirror: &str, entry: &str) -> String {
    let is_first = credentials(config).all(|known| *known.mirror != *mirror);
    // The name of a mirror with credentials is a label, which TOML takes without quotes.
    if is_first {
        part(format!("pharos.toml, under [mirrors.{mirror}]"), format!("acme = [{entry}]\n"))
    } else {
        part(format!("pharos.toml, in `acme` of [mirrors.{mirror}]"), format!("{entry},\n"))
    }
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
        let shown = |host: &str| ServerAddress { host: host.to_string(), port: 53, address: None }.to_string();
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
        let [one, other] = [(); 2].map(|()| secret(CredentialKind::Key).ok().unwrap());
        assert_ne!(one, other);
        assert_eq!(config::decode_secret(&one).unwrap().len(), SECRET_LEN);
        assert_eq!(secret(CredentialKind::User).ok().unwrap().len(), 2 * SECRET_LEN);
    }
}
