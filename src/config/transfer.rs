//! `[keys.*]`, and the parties of `allow`, `notify` and `primaries`.
//!
//! A party is one string: an address or prefix, `key:NAME`, or both with a space between. In the last case both must match.
//! A primary may have `tls:NAME` too: the name that its certificate is for.
//!
//! **Not here**: transferring ([`crate::transfer`]).

use std::net::SocketAddr;
use std::sync::Arc;

use super::check::{Check, optional};
use super::field::{Named, section};
use super::row::{file, text, texts};
use super::{FileUse, InputFile, Party, Placed, PlacedText, SteeredExport, value};
use crate::base::diagnostic::{Diagnostic, Place, did_you_mean};
use crate::base::ids::KeyId;
use crate::base::name::NameBuf;
use crate::base::tsig::{Algorithm, Key, MAX_KEY_NAME_LEN};
use crate::base::words::Worded as _;

section! {
    /// A key as written.
    pub(super) struct KeySpec: "key" {
        /// Algorithm of the key.
        ///
        /// Weaker ones (MD5, SHA-1, SHA-224) are not accepted.
        algorithm: Option<PlacedText> = text("algorithm", "`hmac-sha256`, `hmac-sha384` or `hmac-sha512`")
            .required()
            .example("\"hmac-sha256\""),

        /// File with the secret in base64, 16 bytes at least, for example of `openssl rand -base64 32`. A reload reads it
        /// again.
        ///
        /// A file of its own can have a stricter mode than the configuration.
        secret_file: Option<PlacedText> = file("secret-file", FileUse::Secret)
            .otherwise("required, or `secret`")
            .example("\"xfer.key\""),

        /// The secret itself, in base64.
        secret: Option<PlacedText> = text("secret", "base64")
            .required_without(&["secret-file"], "add `secret-file = \"transfer.key\"`")
            .instead_of("secret-file"),
    }
}

section! {
    /// `transfer` of a zone as written.
    pub(super) struct TransferSpec: "transfer" {
        /// Parties that may have the zone by AXFR or IXFR, over TCP or TLS 1.3 (RFC 9103): `PREFIX`, `key:NAME`, or
        /// `PREFIX key:NAME`, where both must hold.
        ///
        /// Over TLS 1.2 a transfer is refused, because RFC 9103 forbids it.
        allow: Vec<PlacedText> = texts("allow", "party").example("[\"192.0.2.0/24 key:xfer.example\"]"),

        /// Servers that get a NOTIFY for each new serial, each until it answers: six attempts in two minutes. The port is 53
        /// unless written.
        notify: Vec<PlacedText> = texts("notify", "`ADDRESS[:PORT]`, with or without `key:NAME`")
            .example("[\"192.0.2.7 key:xfer.example\"]"),

        /// With `"default"`, a zone with steered owners is transferred with the addresses of clients that match no rule.
        ///
        /// Refused by default, because a secondary that does not steer would send all clients to one place.
        steered: Option<PlacedText> = text("steered", "`\"refuse\"` or `\"default\"`").default("refuse").example("\"default\""),
    }
}

/// `transfer` of a zone.
#[derive(Clone, Debug, Default)]
pub(crate) struct TransferConfig {
    /// The parties that may have the zone.
    pub(crate) allow: Vec<Party>,
    /// The servers to send NOTIFY to.
    pub(crate) notify: Vec<Remote>,
    /// The addresses of steered owners in a transfer.
    pub(crate) steered: SteeredExport,
}

/// Another server, and the key to sign with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    /// Its address.
    pub(crate) address: SocketAddr,
    /// The key.
    pub(crate) key: Option<KeyId>,
}

/// A server to fetch a zone from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PrimaryConfig {
    /// Its address.
    pub(crate) address: SocketAddr,
    /// The key to sign with.
    pub(crate) key: Option<KeyId>,
    /// The name of its certificate. `None` fetches in the clear.
    pub(crate) tls: Option<Arc<str>>,
}

/// One `[keys.*]`.
#[derive(Clone, Debug)]
pub(crate) struct KeyConfig {
    /// The name, by which both sides know it.
    pub(crate) name: NameBuf,
    /// The algorithm.
    pub(crate) algorithm: Algorithm,
    /// The secret.
    pub(crate) secret: Secret,
    /// The place of its name in the config.
    pub(crate) place: Place,
}

/// A secret as text.
#[derive(Clone)]
pub(crate) enum Secret {
    /// The text in the config.
    Text(Arc<str>),
    /// A file of its own.
    File(InputFile),
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Secret::Text(_) => f.write_str("Secret"),
            Secret::File(file) => write!(f, "Secret({})", file.path.display()),
        }
    }
}

/// The port of DNS, unless another is written.
pub(super) const DNS_PORT: u16 = 53;

/// The port of DNS over TLS, unless another is written (RFC 7858 §3.1, RFC 9103 §7.1).
const TLS_PORT: u16 = 853;

/// The parts of a party as written; one at least of address and key is there.
struct PartyParts {
    address: Option<PlacedText>,
    key: Option<KeyId>,
    tls: Option<PlacedText>,
}

impl Check<'_> {
    pub(super) fn check_key(&mut self, named: &Named<KeySpec>) -> Option<KeyConfig> {
        let written = &named.name;
        let name = self.parse(written, value::domain_name).filter(|name| {
            let fits = name.as_name().len() <= MAX_KEY_NAME_LEN;
            if !fits {
                self.report(
                    Diagnostic::error("bad-key-name", format!("the name of key `{}` is too long", written.value))
                        .at(written.place.clone(), format!("more than {MAX_KEY_NAME_LEN} bytes"))
                        .help("write a shorter name, here and on the other side"),
                );
            }
            fits
        });
        let spec = &named.keys;
        let algorithm = spec.algorithm.as_ref().and_then(|text| self.check_algorithm(text));
        if spec.secret.is_some() && spec.secret_file.is_some() {
            self.report(
                Diagnostic::error("two-secrets", format!("key `{}` has two secrets", written.value))
                    .at(written.place.clone(), "`secret` and `secret-file`")
                    .help("keep `secret-file`, which can have a stricter mode than the configuration"),
            );
            return None;
        }
        // Diagnostics point at the name, because a diagnostic shows the line of its place.
        let secret = match (&spec.secret, &spec.secret_file) {
            (Some(text), _) => {
                // A secret in a file is checked when the file is loaded.
                if let Err(problem) = decode_secret(&text.value) {
                    self.report(bad_secret(&written.value, problem).at(written.place.clone(), "this key"));
                    return None;
                }
                Secret::Text(text.value.clone())
            }
            (None, Some(file)) => Secret::File(self.input(file, FileUse::Secret)?),
            (None, None) => return None,
        };
        Some(KeyConfig { name: name?, algorithm: algorithm?, secret, place: written.place.clone() })
    }

    fn check_algorithm(&mut self, text: &PlacedText) -> Option<Algorithm> {
        let found = Algorithm::parse(&text.value);
        if found.is_none() {
            let help = match &*text.value {
                "hmac-md5" | "hmac-sha1" | "hmac-sha224" => {
                    "use `hmac-sha256`: weaker algorithms are not accepted".into()
                }
                other => did_you_mean(other, "algorithms", Algorithm::ALL.map(Algorithm::as_str)),
            };
            self.report(
                Diagnostic::error("unknown-algorithm", format!("`{}` is not an algorithm for keys", text.value))
                    .at(text.place.clone(), "unknown algorithm")
                    .help(help),
            );
        }
        found
    }

    pub(super) fn check_transfer(&mut self, spec: &TransferSpec) -> TransferConfig {
        let allow: Vec<Party> = spec.allow.iter().filter_map(|text| self.check_party(text)).collect();
        let notify = spec.notify.iter().filter_map(|text| self.check_remote(text, "NOTIFY goes over UDP")).collect();
        let steered = match spec.steered.as_ref() {
            None => SteeredExport::Refused,
            Some(text) if &*text.value == "default" => SteeredExport::Default,
            Some(text) if &*text.value == "refuse" => SteeredExport::Refused,
            Some(text) => {
                self.report(
                    Diagnostic::error("unknown-export", format!("`{}` is no way to export steered owners", text.value))
                        .at(text.place.clone(), "neither `refuse` nor `default`")
                        .help("write `default` for the addresses of clients that meet no rule, or leave it out"),
                );
                SteeredExport::Refused
            }
        };
        TransferConfig { allow, notify, steered }
    }

    /// `192.0.2.0/24`, `key:NAME`, or `192.0.2.0/24 key:NAME`.
    fn check_party(&mut self, text: &PlacedText) -> Option<Party> {
        let PartyParts { address, key, tls } = self.split(text)?;
        self.refuse_tls(tls, "a transfer over TLS is given to a key or an address, not to a name")?;
        let prefix = optional(address.as_ref(), |address| self.parse(address, value::address_or_prefix))?;
        Some(Party { prefix, key })
    }

    /// `192.0.2.1`, `192.0.2.1:5353`, `[2001:db8::1]:5353`, each with ` key:NAME` or without.
    ///
    /// `why` is the reason for refusing `tls:NAME`.
    pub(super) fn check_remote(&mut self, text: &PlacedText, why: &str) -> Option<Remote> {
        let PartyParts { address, key, tls } = self.split(text)?;
        self.refuse_tls(tls, why)?;
        Some(Remote { address: self.check_address(text, address, DNS_PORT)?, key })
    }

    /// The meaning of `primaries` and `roots` of a zone.
    pub(super) fn check_primaries(
        &mut self,
        primaries: &[PlacedText],
        written_roots: Option<&PlacedText>,
    ) -> (Vec<PrimaryConfig>, Option<InputFile>) {
        let primaries: Vec<PrimaryConfig> = primaries.iter().filter_map(|text| self.check_primary(text)).collect();
        let roots = written_roots.and_then(|roots| self.input(roots, FileUse::Roots));
        if let Some(text) = written_roots.filter(|_| primaries.iter().all(|primary| primary.tls.is_none())) {
            self.report(
                Diagnostic::warning("unused-roots", "no primary of this zone is asked over TLS")
                    .at(text.place.clone(), "never read")
                    .help("add `tls:NAME` to a primary, with the name that its certificate is for, or remove `roots`"),
            );
        }
        (primaries, roots)
    }

    /// As a remote, with ` tls:NAME` or without.
    fn check_primary(&mut self, text: &PlacedText) -> Option<PrimaryConfig> {
        let PartyParts { address, key, tls } = self.split(text)?;
        let port = if tls.is_some() { TLS_PORT } else { DNS_PORT };
        let address = self.check_address(text, address, port)?;
        let tls = optional(tls.as_ref(), |name| self.parse(name, value::host_name))?;
        Some(PrimaryConfig { address, key, tls })
    }

    fn check_address(&mut self, text: &PlacedText, address: Option<PlacedText>, port: u16) -> Option<SocketAddr> {
        let Some(address) = address else {
            self.report(
                Diagnostic::error("bad-address", format!("`{}` has no address", text.value))
                    .at(text.place.clone(), "no address to send to")
                    .help("write an address before it, like `192.0.2.1 key:NAME`"),
            );
            return None;
        };
        self.parse(&address, |text| value::server_address(text, port))
    }

    fn refuse_tls(&mut self, tls: Option<PlacedText>, why: &str) -> Option<()> {
        let Some(tls) = tls else { return Some(()) };
        self.report(
            Diagnostic::error("tls-party", format!("`tls:{}` is for `primaries` alone: {why}", tls.value))
                .at(tls.place, "no TLS here")
                .help("remove it"),
        );
        None
    }

    /// The parts of a party.
    fn split(&mut self, text: &PlacedText) -> Option<PartyParts> {
        let (mut address, mut key, mut tls) = (None, None, None);
        let mut is_nameless = false;
        for word in text.value.split_whitespace() {
            let placed = |value: &str| Placed { value: value.into(), place: text.place.clone() };
            if let "tls:" | "key:" = word {
                self.report(
                    Diagnostic::error("bad-party", format!("`{word}` of `{}` has no name", text.value))
                        .at(text.place.clone(), "a name is missing")
                        .help(format!("write it without a space: `{word}NAME`")),
                );
                is_nameless = true;
                continue;
            }
            if let Some(name) = word.strip_prefix("tls:").filter(|_| tls.is_none()) {
                tls = Some(placed(name));
                continue;
            }
            match word.strip_prefix("key:") {
                Some(name) if key.is_none() => {
                    let at = self.found(self.keys.find(&placed(name)))?;
                    key = Some(KeyId::from_index(at));
                }
                None if address.is_none() => address = Some(placed(word)),
                _ => {
                    self.report(
                        Diagnostic::error("bad-party", format!("`{}` names more than one party", text.value))
                            .at(text.place.clone(), "one address, one key and one name at most")
                            .help("write each party as a string of its own"),
                    );
                    return None;
                }
            }
        }
        if is_nameless {
            // The caller checks the address only of a party that is complete.
            let _ = address.and_then(|address| self.parse(&address, value::server_or_prefix));
            return None;
        }
        if address.is_none() && key.is_none() && tls.is_none() {
            self.report(
                Diagnostic::error("bad-party", "an empty string is no party")
                    .at(text.place.clone(), "empty")
                    .help("write an address, `key:NAME`, or both with a space between"),
            );
            return None;
        }
        Some(PartyParts { address, key, tls })
    }
}

/// The bytes of a secret.
pub(crate) fn decode_secret(text: &str) -> Result<Vec<u8>, SecretError> {
    let octets: Vec<u8> =
        domain::utils::base64::decode(text.trim()).map_err(|_| SecretError("it is not base64".to_string()))?;
    // A name that fits any key, to judge the secret alone.
    match Key::new(crate::base::name::Name::ROOT, Algorithm::HmacSha256, &octets) {
        Ok(_) => Ok(octets),
        Err(error) => Err(SecretError(error.to_string())),
    }
}

/// The fault of a malformed secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SecretError(String);

/// The problem of a malformed secret.
pub(crate) fn bad_secret(key: &str, SecretError(why): SecretError) -> Diagnostic {
    Diagnostic::error("bad-secret", format!("the secret of key `{key}` cannot be used: {why}"))
        .help("make one with `openssl rand -base64 32`, and write the same on the other side")
}
