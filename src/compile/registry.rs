//! The registry listener's settings, from the config as meant.
//!
//! **Invariants**: the horizon is carried by name, see [`RegistrySettings::horizon`].
//! **Not here**: decisions by these settings ([`crate::registry`]).

use crate::base::prefix::PrefixSet;
use crate::config::{self, Config};
use crate::registry::{RegistrySettings, Upstream};

/// The settings of the registry listener; `None` if the config has no `[registry]`.
pub fn registry_settings(config: &Config) -> Option<RegistrySettings> {
    let registry = config.registry.as_ref()?;
    Some(RegistrySettings {
        canonical: upstream(&registry.canonical),
        blobs: registry.blobs.as_ref().map(upstream),
        horizon: registry.horizon.map(|id| config.horizons[id.index()].name.clone()),
        signatures: registry.signatures.as_ref().map(upstream),
        info: registry.info.clone(),
        privacy: registry.privacy.clone(),
        paths: registry.paths.clone(),
        blob_target: registry.blob_target,
        asks_mirrors: registry.ask.is_some(),
        trusted_proxies: PrefixSet::new(&registry.trusted_proxies),
    })
}

fn upstream(upstream: &config::UpstreamConfig) -> Upstream {
    Upstream::new(&upstream.scheme, &upstream.authority, &upstream.path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::BlobTarget;

    const ZONES: &str = r#"
[[zone]]
name  = "blob.k8s.io"
file  = "blob.zone"
steer = [{ owner = "@", horizon = "blobs", ttl = 60 }]

[mirrors.one]
host      = "one.example"
addresses = ["192.0.2.1"]

[horizons.blobs]
rules   = []
default = ["one"]
"#;

    fn settings(registry: &str) -> Option<RegistrySettings> {
        let text = format!("{registry}\n{ZONES}");
        match config::read("pharos.toml", &text) {
            Ok((config, _)) => registry_settings(&config),
            Err(problems) => panic!("{problems:#?}"),
        }
    }

    #[test]
    fn a_config_without_a_registry_has_no_settings() {
        assert!(settings("").is_none());
    }

    #[test]
    fn everything_written_is_in_the_settings() {
        let settings = settings(
            r#"
[registry]
listen          = ["127.0.0.1:0"]
canonical       = "https://host.example/some/repo"
blobs           = "https://blob.k8s.io:8443"
signatures      = "http://signatures.example/"
info            = "https://project.example/"
privacy         = "https://project.example/privacy"
trusted-proxies = ["10.0.0.0/8"]
direct          = true
"#,
        )
        .unwrap();
        assert_eq!(settings.canonical, Upstream::new("https", "host.example", "some/repo"));
        assert_eq!(settings.blobs, Some(Upstream::new("https", "blob.k8s.io:8443", "")));
        assert_eq!(settings.signatures, Some(Upstream::new("http", "signatures.example", "")));
        assert_eq!(settings.horizon.as_deref(), Some("blobs"));
        assert_eq!(settings.info.as_deref(), Some("https://project.example/"));
        assert_eq!(settings.privacy.as_deref(), Some("https://project.example/privacy"));
        assert_eq!(settings.blob_target, BlobTarget::MirrorHost);
        assert!(settings.trusted_proxies.contains("10.1.2.3".parse().unwrap()));
    }
}
