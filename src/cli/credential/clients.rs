//! Settings of ACME clients: some sign updates with a key; others send a user and a password over HTTP, by the requests of
//! acme-dns or of lego's `httpreq`.
//!
//! **Invariants**: each text can be pasted as it is; only the email address is to be replaced.
//! **Not here**: making the credential ([`super::new`]), the requests ([`crate::http`]).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use clap::ValueEnum;
use serde_json::{Value, json};

/// The clients with settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum AcmeClient {
    /// certbot, with python3-certbot-dns-rfc2136 for a key
    Certbot,
    /// lego
    Lego,
    /// acme.sh; dehydrated and uacme take its key file
    #[value(name = "acme.sh")]
    AcmeSh,
    /// cert-manager
    CertManager,
    /// Caddy, with github.com/caddy-dns/rfc2136 or acmedns
    Caddy,
    /// Traefik
    Traefik,
}

/// A credential that is in no configuration yet.
pub(super) struct NewCredential {
    pub(super) name: String,
    pub(super) secret: String,
    /// The names of the certificate.
    pub(super) names: Vec<String>,
    pub(super) server: ServerAddress,
    pub(super) kind: CredentialKind,
}

/// The kinds of credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CredentialKind {
    /// A key that signs updates.
    Key,
    /// A user with a password, over HTTPS.
    UserOverTls,
    /// The same over HTTP, on loopback.
    User,
}

/// The server that clients send to: an address or host name, with a port.
pub(super) struct ServerAddress {
    pub(super) host: String,
    pub(super) port: u16,
    /// The address of `host`, for clients that take no name. `None` if `host` is a name without an address in the zones.
    pub(super) address: Option<IpAddr>,
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.parse::<IpAddr>() {
            Ok(address) => SocketAddr::new(address, self.port).fmt(f),
            Err(_) => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl AcmeClient {
    /// The settings for a key, and those for a user.
    fn templates(self) -> [&'static str; 2] {
        match self {
            // The hook of certbot: curl reads the password from its standard input, because other users see the arguments of a
            // program.
            AcmeClient::Certbot => {
                [include_str!("settings/certbot.key.txt"), include_str!("settings/certbot.user.txt")]
            }
            // `--dns.disable-cp`: lego does not ask each name server of the zone, because its check fails while one is down. Pharos
            // replies only when each reachable server has the token, so that the check adds nothing.
            AcmeClient::Lego => [include_str!("settings/lego.key.txt"), include_str!("settings/lego.user.txt")],
            AcmeClient::AcmeSh => [include_str!("settings/acme.sh.key.txt"), include_str!("settings/acme.sh.user.txt")],
            AcmeClient::CertManager => {
                [include_str!("settings/cert-manager.key.txt"), include_str!("settings/cert-manager.user.txt")]
            }
            AcmeClient::Caddy => [include_str!("settings/caddy.key.txt"), include_str!("settings/caddy.user.txt")],
            AcmeClient::Traefik => {
                [include_str!("settings/traefik.key.txt"), include_str!("settings/traefik.user.txt")]
            }
        }
    }
}

/// The settings of a client that has a new credential: the parts of its template, with values in place of the words in braces.
pub(super) fn settings(client: AcmeClient, credential: &NewCredential) -> String {
    let NewCredential { name, secret, names, server: ServerAddress { host, port, address }, kind } = credential;
    let [of_key, of_user] = client.templates();
    let template = if *kind == CredentialKind::Key { of_key } else { of_user };
    let scheme = if *kind == CredentialKind::UserOverTls { "https" } else { "http" };
    // Quotes, because of wildcards.
    let options = |option: &str| names.iter().map(|name| format!("{option} '{name}'")).collect::<Vec<_>>().join(" ");
    let lines = |names: &[String], start: &str| names.iter().map(|name| format!("\n{start}- \"{name}\"")).collect();
    let (first, others) = names.split_first().map_or(("", &[][..]), |(first, others)| (first.as_str(), others));
    // certbot takes no name.
    let note =
        address.map_or_else(|| format!("# certbot takes no name: write the address of {host}\n"), |_| String::new());
    let values = [
        ("{name}", name.clone()),
        ("{secret}", secret.clone()),
        ("{server}", credential.server.to_string()),
        ("{host}", host.clone()),
        ("{port}", port.to_string()),
        ("{note}", note),
        ("{address}", address.map_or_else(|| host.clone(), |address| address.to_string())),
        ("{url}", format!("{scheme}://{}", credential.server)),
        ("{accounts}", accounts(credential)),
        ("{-d names}", options("-d")),
        ("{--domains names}", options("--domains")),
        ("{names}", names.join(", ")),
        ("{list of names}", lines(names, "    ")),
        ("{first name}", first.to_string()),
        ("{other names}", lines(others, "#           ")),
    ];
    values.iter().fold(template.to_string(), |text, (word, value)| text.replace(word, value))
}

/// The accounts of acme-dns, a JSON object by domain.
fn accounts(credential: &NewCredential) -> String {
    let NewCredential { name, secret, names, .. } = credential;
    let account = |of: &String| {
        let of = of.strip_prefix("*.").unwrap_or(of);
        let account = json!({
            "username": name,
            "password": secret,
            "fulldomain": format!("_acme-challenge.{of}"),
            "subdomain": name,
            "allowfrom": [],
        });
        (of.to_string(), account)
    };
    names.iter().map(account).collect::<Value>().to_string()
}
