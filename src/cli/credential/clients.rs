//! Settings of ACME clients that sign updates with a new key.
//!
//! **Invariants**: each text can be pasted as it is; only the email address is to be replaced.
//! **Not here**: making the credential ([`super::new`]), clients over HTTP ([`super::over_http`]).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use clap::ValueEnum;

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

impl NewCredential {
    /// The URL of the server for a user.
    pub(super) fn url(&self) -> String {
        let scheme = if self.kind == CredentialKind::UserOverTls { "https" } else { "http" };
        format!("{scheme}://{}", self.server)
    }
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

/// A part of the output: a title, and a text to paste.
pub(super) struct SettingsPart {
    pub(super) title: String,
    pub(super) text: String,
}

impl SettingsPart {
    pub(super) fn new(title: impl Into<String>, text: impl Into<String>) -> Self {
        SettingsPart { title: title.into(), text: text.into() }
    }
}

/// The option by which lego does not ask each name server of the zone: its check fails while one is down. Pharos replies only
/// when each reachable server has the token, so that the check adds nothing.
pub(super) const NO_PROPAGATION_CHECK: &str = "--dns.disable-cp";

/// The settings of a client whose updates a key signs.
pub(super) fn of_key(client: AcmeClient, credential: &NewCredential) -> Vec<SettingsPart> {
    let NewCredential { name, secret, names, server, .. } = credential;
    let (host, port) = (&server.host, server.port);
    let socket = server.to_string();
    let rfc2136 = format!(
        "export RFC2136_NAMESERVER={socket} RFC2136_SEQUENCE_INTERVAL=1\n\
         export RFC2136_TSIG_ALGORITHM=hmac-sha256. RFC2136_TSIG_KEY={name}.\n\
         export RFC2136_TSIG_SECRET={secret}\n"
    );
    match client {
        AcmeClient::Certbot => vec![
            SettingsPart::new(
                "certbot: rfc2136.ini, mode 600",
                format!(
                    "{}dns_rfc2136_port = {port}\ndns_rfc2136_name = {name}.\n\
                     dns_rfc2136_secret = {secret}\ndns_rfc2136_algorithm = HMAC-SHA256\n",
                    certbot_server(server)
                ),
            ),
            SettingsPart::new(
                "certbot: command",
                format!(
                    "certbot certonly --dns-rfc2136 --dns-rfc2136-credentials rfc2136.ini \\\n  \
                     --dns-rfc2136-propagation-seconds 5{}\n",
                    options(names, "-d")
                ),
            ),
        ],
        AcmeClient::Lego => vec![SettingsPart::new(
            "lego: commands",
            format!(
                "{rfc2136}lego --accept-tos --email you@example.com --dns rfc2136 {NO_PROPAGATION_CHECK}{} run\n",
                options(names, "--domains")
            ),
        )],
        AcmeClient::AcmeSh => vec![
            SettingsPart::new("acme.sh: pharos.key, mode 600", key_file(name, secret)),
            SettingsPart::new(
                "acme.sh: commands",
                format!(
                    "export NSUPDATE_SERVER={host} NSUPDATE_SERVER_PORT={port} NSUPDATE_KEY=\"$PWD/pharos.key\"\n\
                     acme.sh --issue --dns dns_nsupdate{}\n",
                    options(names, "-d")
                ),
            ),
        ],
        AcmeClient::CertManager => vec![cert_manager(credential)],
        AcmeClient::Caddy => vec![SettingsPart::new(
            "Caddy: Caddyfile",
            format!(
                "{} {{\n    tls {{\n        dns rfc2136 {{\n            key_name \"{name}\"\n            key_alg \
                 \"hmac-sha256\"\n            key \"{secret}\"\n            server \"{socket}\"\n        }}\n    }}\n}}\n",
                names.join(", ")
            ),
        )],
        AcmeClient::Traefik => {
            vec![SettingsPart::new("Traefik: environment", rfc2136), traefik(names, "rfc2136")]
        }
    }
}

/// The server in the credentials of certbot, which takes no host name.
fn certbot_server(server: &ServerAddress) -> String {
    match server.address {
        Some(address) => format!("dns_rfc2136_server = {address}\n"),
        None => {
            let host = &server.host;
            format!("# certbot takes no name: write the address of {host}\ndns_rfc2136_server = {host}\n")
        }
    }
}

/// An option for each name, in quotes because of wildcards.
pub(super) fn options(names: &[String], option: &str) -> String {
    names.iter().map(|name| format!(" {option} '{name}'")).collect()
}

/// A key as nsupdate reads it.
fn key_file(name: &str, secret: &str) -> String {
    format!("key \"{name}\" {{ algorithm hmac-sha256; secret \"{secret}\"; }};\n")
}

/// The resolver of Traefik's static configuration, with the names of a router.
pub(super) fn traefik(names: &[String], provider: &str) -> SettingsPart {
    let (main, others) = names.split_first().map_or(("", &[][..]), |(main, others)| (main.as_str(), others));
    let others: String = others.iter().map(|name| format!("#           - \"{name}\"\n")).collect();
    SettingsPart::new(
        "Traefik: traefik.yml",
        format!(
            "certificatesResolvers:\n  pharos:\n    acme:\n      email: you@example.com\n      storage: acme.json\n      \
             dnsChallenge:\n        provider: {provider}\n\
             # of the router:\n#   tls:\n#     certResolver: pharos\n#     domains:\n#       - main: \"{main}\"\n\
             #         sans:\n{others}"
        ),
    )
}

fn cert_manager(credential: &NewCredential) -> SettingsPart {
    let NewCredential { name, secret, names, server, .. } = credential;
    let solver = format!(
        "rfc2136:
            nameserver: \"{server}\"
            tsigKeyName: \"{name}\"
            tsigAlgorithm: HMACSHA256
            tsigSecretSecretRef:
              name: pharos-key
              key: secret"
    );
    manifests(("pharos-key", &format!("secret: \"{secret}\"")), &solver, names)
}

/// The manifests of cert-manager: a secret with its data, an issuer with its solver, and the certificate.
pub(super) fn manifests((secret, data): (&str, &str), solver: &str, names: &[String]) -> SettingsPart {
    let names: String = names.iter().map(|name| format!("    - \"{name}\"\n")).collect();
    let text = format!(
        "apiVersion: v1
kind: Secret
metadata:
  name: {secret}
stringData:
  {data}
---
apiVersion: cert-manager.io/v1
kind: Issuer
metadata:
  name: pharos
spec:
  acme:
    server: https://acme-v02.api.letsencrypt.org/directory
    email: you@example.com
    privateKeySecretRef:
      name: pharos-account
    solvers:
      - dns01:
          {solver}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata:
  name: mirror
spec:
  secretName: mirror-tls
  issuerRef:
    name: pharos
  dnsNames:
{names}"
    );
    SettingsPart::new("cert-manager: manifests", text)
}
