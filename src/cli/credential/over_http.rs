//! Settings of ACME clients that use a new credential over HTTP, by the requests of acme-dns or of lego's `httpreq`.
//!
//! **Invariants**: as in [`super::clients`].
//! **Not here**: the requests ([`crate::http`]).

use serde_json::json;

use super::clients::{AcmeClient, NO_PROPAGATION_CHECK, NewCredential, SettingsPart, manifests, options, traefik};

/// The settings of a client that sends a user and a password.
pub(super) fn of_user(client: AcmeClient, credential: &NewCredential) -> Vec<SettingsPart> {
    let NewCredential { name, secret, names, .. } = credential;
    let url = credential.url();
    let httpreq = format!("export HTTPREQ_ENDPOINT={url}\nexport HTTPREQ_USERNAME={name} HTTPREQ_PASSWORD={secret}\n");
    match client {
        AcmeClient::Certbot => vec![
            SettingsPart::new("certbot: pharos-hook, mode 700", certbot_hook(name, secret, &url)),
            SettingsPart::new(
                "certbot: command",
                format!(
                    "certbot certonly --manual --preferred-challenges dns \\\n  \
                     --manual-auth-hook \"$PWD/pharos-hook present\" --manual-cleanup-hook \"$PWD/pharos-hook cleanup\"{}\n",
                    options(names, "-d")
                ),
            ),
        ],
        AcmeClient::Lego => vec![SettingsPart::new(
            "lego: commands",
            format!(
                "{httpreq}lego --accept-tos --email you@example.com --dns httpreq {NO_PROPAGATION_CHECK}{} run\n",
                options(names, "--domains")
            ),
        )],
        AcmeClient::AcmeSh => vec![SettingsPart::new(
            "acme.sh: commands",
            format!(
                "export ACMEDNS_BASE_URL={url} ACMEDNS_SUBDOMAIN={name}\n\
                 export ACMEDNS_USERNAME={name} ACMEDNS_PASSWORD={secret}\n\
                 acme.sh --issue --dns dns_acmedns{}\n",
                options(names, "-d")
            ),
        )],
        AcmeClient::CertManager => vec![cert_manager(credential)],
        AcmeClient::Caddy => vec![SettingsPart::new(
            "Caddy: Caddyfile",
            format!(
                "{} {{\n    tls {{\n        dns acmedns {{\n            username \"{name}\"\n            password \
                 \"{secret}\"\n            subdomain \"{name}\"\n            server_url \"{url}\"\n        }}\n    }}\n}}\n",
                names.join(", ")
            ),
        )],
        AcmeClient::Traefik => {
            vec![SettingsPart::new("Traefik: environment", httpreq), traefik(names, "httpreq")]
        }
    }
}

/// A hook of certbot. curl reads the password from its standard input, because other users see the arguments of a program.
fn certbot_hook(name: &str, secret: &str, url: &str) -> String {
    format!(
        "#!/bin/sh
exec curl -sS --fail --config - \\
  --data \"{{\\\"fqdn\\\": \\\"_acme-challenge.$CERTBOT_DOMAIN.\\\", \\\"value\\\": \\\"$CERTBOT_VALIDATION\\\"}}\" \\
  {url}/$1 <<END
user = \"{name}:{secret}\"
END
"
    )
}

fn cert_manager(credential: &NewCredential) -> SettingsPart {
    let NewCredential { name, secret, names, .. } = credential;
    let url = credential.url();
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
    let accounts: serde_json::Map<_, _> = names.iter().map(account).collect();
    let data = format!("acmedns.json: |\n    {}", serde_json::Value::from(accounts));
    let solver = format!(
        "acmeDNS:
            host: \"{url}\"
            accountSecretRef:
              name: pharos-acme-dns
              key: acmedns.json"
    );
    manifests(("pharos-acme-dns", &data), &solver, names)
}
