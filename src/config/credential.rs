//! `acme` of mirrors: the credentials of machines that set ACME challenges.
//!
//! **Not here**: the check of a credential against the whole configuration ([`super::meaning`]), the tokens
//! ([`crate::challenge`]).

use std::sync::Arc;

use super::field::section;
use super::row::{text, texts};
use super::{Placed, PlacedText};
use crate::base::name::NameBuf;
use crate::base::prefix::Prefix;

section! {
    /// One entry of `acme` of a mirror as written.
    pub(super) struct CredentialSpec: "acme" {
        /// Key that signs the machine's updates (RFC 2136), by its name under `[keys]`. No other machine has it.
        ///
        /// A client removes all tokens of its credential, so that two machines with one key would remove the tokens of each
        /// other.
        key: Option<PlacedText> = text("key", "key").otherwise("required, or `user`").example("\"use1.mirrors.example\""),

        /// Name of the machine for requests over HTTP. Needs `password-sha256`, and `listen` under `[acme]`.
        user: Option<PlacedText> = text("user", "text").otherwise("required, or `key`").example("\"use1-b\""),

        /// SHA-256 of the password, as 64 hexadecimal digits. The password has 20 random characters or more.
        ///
        /// A hash of many rounds would only be needed for passwords that can be guessed.
        password_sha256: Option<PlacedText> = text("password-sha256", "64 hexadecimal digits")
            .otherwise("required with `user`"),

        /// URL of the machine's ACME account, for CAA records (RFC 8657): `check` compares the zone's, and `pharos certs records`
        /// prints a set.
        account: Option<PlacedText> = text("account", "URL").example("\"https://acme.example/acct/1\""),

        /// Prefixes that the machine's requests come from. Requests from elsewhere are refused.
        allow: Vec<PlacedText> = texts("allow", "prefix").otherwise("all addresses").example("[\"192.0.2.0/24\"]"),
    }
}

/// A credential with the account of its machine, and the names of the machine's certificate.
#[derive(Clone, Debug)]
pub(crate) struct CredentialConfig {
    /// Its name, as in [`crate::challenge::Challenges`].
    pub(crate) name: Arc<str>,
    /// The name of its mirror.
    pub(crate) mirror: Arc<str>,
    /// The URL of the ACME account.
    pub(crate) account: Option<Placed<Arc<str>>>,
    /// The prefixes that its requests may come from; empty for all.
    pub(crate) allow: Vec<Prefix>,
    /// The names of the certificate.
    pub(crate) names: Vec<CertificateName>,
}

/// A name of a mirror's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CertificateName {
    /// The name: a steered owner, or that of the mirror below it.
    pub(crate) name: NameBuf,
    /// True for the name that no other mirror has.
    pub(crate) is_own: bool,
}
