//! The credentials of mirrors for ACME challenges: keys and passwords, each of one machine.
//!
//! **Invariants**: each machine has a credential of its own; a key belongs to one credential or to peers.
//! **Not here**: the owners at which a credential may set tokens ([`super::owners`]).

use std::collections::HashMap;
use std::sync::Arc;

use data_encoding::HEXLOWER_PERMISSIVE;

use crate::base::diagnostic::{Diagnostic, Place};
use crate::base::ids::KeyId;
use crate::base::name::NameBuf;
use crate::base::prefix::Prefix;
use crate::challenge::{Challenges, CredentialProof, KEY_PREFIX, PasswordDigest, USER_PREFIX};
use crate::config::acme::AcmeSpec;
use crate::config::check::{Check, redacted};
use crate::config::credential::{CredentialConfig, CredentialSpec};
use crate::config::{Placed, PlacedText, value};

/// The meaning of a credential that is written well.
pub(super) struct MeantCredential {
    pub(super) name: Arc<str>,
    pub(super) proof: CredentialProof,
    pub(super) allow: Vec<Prefix>,
    pub(super) account: Option<Placed<Arc<str>>>,
}

/// The credentials of all mirrors, for the service and for commands.
#[derive(Default)]
pub(super) struct MeantCredentials {
    pub(super) challenges: Challenges,
    pub(super) configs: Vec<CredentialConfig>,
}

/// The keys and users that have an owner already, each with the place that names it.
#[derive(Default)]
pub(super) struct TakenProofs {
    /// The keys of peers.
    pub(super) peers: HashMap<KeyId, Place>,
    keys: HashMap<KeyId, Place>,
    users: HashMap<Arc<str>, Place>,
}

impl Check<'_> {
    /// The meaning of one entry of `acme`.
    pub(super) fn check_credential(
        &mut self,
        spec: &CredentialSpec,
        acme: Option<&AcmeSpec>,
        taken: &mut TakenProofs,
    ) -> Option<MeantCredential> {
        let allow = self.check_prefixes(&spec.allow);
        let account = spec.account.as_ref().and_then(|text| self.parse_placed(text, value::account_page));
        let (name, proof) = match (&spec.key, &spec.user) {
            (Some(key), Some(user)) => {
                self.report(
                    Diagnostic::error("two-credentials", "one entry of `acme` has a key and a user")
                        .at(user.place.clone(), "a second credential")
                        .related(key.place.clone(), "the first one")
                        .help("write an entry for each machine"),
                );
                return None;
            }
            (Some(key), None) => {
                if let Some(password) = &spec.password_sha256 {
                    self.report(
                        Diagnostic::error("password-without-user", "`password-sha256` belongs to a `user`")
                            .at(password.place.clone(), "no user has this password")
                            .help("remove it: a key has its secret under `[keys]`"),
                    );
                }
                self.check_credential_key(key, taken)?
            }
            (None, Some(user)) => self.check_user(spec, user, acme, taken)?,
            (None, None) => {
                // A key that is not known has been reported, and may be one of the two misspelt.
                if spec.table.unknown == 0 {
                    self.report(
                        Diagnostic::error("missing-key", "`acme` has no `key` or `user`")
                            .at(spec.table.place.clone(), "no machine could use this credential")
                            .help("add `key = \"…\"` with the name of a key under `[keys]`"),
                    );
                }
                return None;
            }
        };
        Some(MeantCredential { name, proof, allow, account })
    }

    fn check_credential_key(
        &mut self,
        text: &PlacedText,
        taken: &mut TakenProofs,
    ) -> Option<(Arc<str>, CredentialProof)> {
        let id = KeyId::from_index(self.found(self.keys.find(text))?);
        if let Some(peer) = taken.peers.get(&id) {
            self.report(
                Diagnostic::error("peer-key", format!("key `{}` is that of a peer", text.value))
                    .at(text.place.clone(), "a mirror with this key could speak for a server")
                    .related(peer.clone(), "the peer")
                    .help("make another key for the mirror"),
            );
            return None;
        }
        if let Some(first) = taken.keys.get(&id) {
            self.report(
                Diagnostic::error("shared-key", format!("key `{}` belongs to two credentials", text.value))
                    .at(text.place.clone(), "used again")
                    .related(first.clone(), "first used here")
                    .help("make a key for each machine: with one key, each would remove the challenges of the other"),
            );
            return None;
        }
        taken.keys.insert(id, text.place.clone());
        let name = NameBuf::parse(&text.value).ok()?;
        Some((format!("{KEY_PREFIX}{}", name.to_string().to_ascii_lowercase()).into(), id.into()))
    }

    fn check_user(
        &mut self,
        spec: &CredentialSpec,
        user: &PlacedText,
        acme: Option<&AcmeSpec>,
        taken: &mut TakenProofs,
    ) -> Option<(Arc<str>, CredentialProof)> {
        let name = self.parse(user, value::user)?;
        let digest = spec.password_sha256.as_ref().and_then(|text| digest(&text.value));
        match &spec.password_sha256 {
            None => self.report(
                Diagnostic::error("missing-key", format!("user `{name}` has no `password-sha256`"))
                    .at(user.place.clone(), "no password")
                    .help("add `password-sha256 = \"…\"`, from `printf %s \"$PASSWORD\" | sha256sum`"),
            ),
            Some(text) if digest.is_none() => self.report(
                Diagnostic::error("bad-digest", "`password-sha256` is not a digest")
                    .at(redacted(text, "password-sha256"), "not 64 hexadecimal digits")
                    .help("write the digest from `printf %s \"$PASSWORD\" | sha256sum`"),
            ),
            Some(_) => {}
        }
        if let Some(first) = taken.users.get(&name) {
            self.report(
                Diagnostic::error("duplicate-user", format!("user `{name}` is written twice"))
                    .at(user.place.clone(), "written again")
                    .related(first.clone(), "first written here")
                    .help("give each machine a user of its own"),
            );
            return None;
        }
        taken.users.insert(name.clone(), user.place.clone());
        if acme.is_some_and(|acme| acme.listen.is_empty() && acme.table.unknown == 0) {
            self.report(
                Diagnostic::error("user-without-listener", format!("user `{name}` has no listener"))
                    .at(user.place.clone(), "passwords are taken over HTTP alone")
                    .help("add `listen = [\"127.0.0.1:8553\"]` under `[acme]`, or use a `key`"),
            );
        }
        Some((format!("{USER_PREFIX}{name}").into(), digest?.into()))
    }
}

fn digest(text: &str) -> Option<PasswordDigest> {
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?;
    bytes.try_into().ok().map(PasswordDigest::new)
}
