//! `[dns.tls]`, `[dns.https]` and `[dns.quic]`: DNS over encrypted transports, with one certificate.
//!
//! **Invariants**: an encrypted listener has a certificate, and not the port of unencrypted DNS.
//! **Not here**: the certificate itself (`tls`).

use std::net::SocketAddr;
use std::sync::Arc;

use super::check::Check;
use super::field::section;
use super::row::{LISTEN_FORM, file, same, text, texts};
use super::{FileUse, InputFile, PlacedText, value};
use crate::base::diagnostic::Diagnostic;

/// The path of RFC 8484 §6's example, which clients expect.
const HTTPS_PATH: &str = "/dns-query";

section! {
    /// `[dns.tls]` as written.
    pub(super) struct DnsTlsSpec: "[dns.tls]" {
        /// Listen addresses for DNS over TLS, usually on port 853. Required unless `[dns.https]` or `[dns.quic]` uses the
        /// certificate.
        listen: Vec<PlacedText> = texts("listen", LISTEN_FORM)
            .required_without(&["https", "quic"], "")
            .restart_unless(same!(config => config.dns.encrypted.as_ref().map(|encrypted| &encrypted.tls)))
            .example("[\"192.0.2.53:853\"]"),

        /// PEM file with the certificate chain, leaf first. A changed file is used within a minute, and at a reload, without
        /// closing connections.
        cert: Option<PlacedText> = file("cert", FileUse::Pem).required().example("\"fullchain.pem\""),

        /// PEM file with the private key. A changed file is used together with `cert`.
        key: Option<PlacedText> = file("key", FileUse::Pem).required().example("\"privkey.pem\""),
    }
}

section! {
    /// `[dns.https]` as written.
    pub(super) struct HttpsSpec: "[dns.https]" {
        /// Listen addresses, usually on port 443.
        listen: Vec<PlacedText> = texts("listen", LISTEN_FORM)
            .required()
            .restart_with_table()
            .example("[\"192.0.2.53:443\"]"),

        /// Path of the URI template before `{?dns}`.
        ///
        /// The path of the example in RFC 8484 §6, because clients expect it.
        path: Option<PlacedText> = text("path", "path of a URL").default(HTTPS_PATH).restart_with_table().example("\"/dns-query\""),
    }
}

section! {
    /// `[dns.quic]` as written.
    pub(super) struct QuicSpec: "[dns.quic]" {
        /// Listen addresses, usually on port 853. A client first proves that it receives datagrams at its address (Retry,
        /// RFC 9000 §8.1.2).
        listen: Vec<PlacedText> = texts("listen", LISTEN_FORM)
            .required()
            .restart_unless(same!(config => config.dns.encrypted.as_ref().map(|encrypted| &encrypted.quic)))
            .example("[\"192.0.2.53:853\"]"),
    }
}

section! {
    /// `[registry.tls]` as written.
    pub(super) struct TlsSpec: "tls" {
        /// PEM file with the certificate chain, leaf first. A changed file is used within a minute, and at a reload, without
        /// closing connections.
        cert: Option<PlacedText> = file("cert", FileUse::Pem).required().example("\"fullchain.pem\""),

        /// PEM file with the private key. A changed file is used together with `cert`.
        key: Option<PlacedText> = file("key", FileUse::Pem).required().example("\"privkey.pem\""),
    }
}

/// `[dns.tls]`, `[dns.https]` and `[dns.quic]`: the listeners with one certificate.
#[derive(Clone, Debug)]
pub(crate) struct Encrypted {
    /// The certificate and key.
    pub(crate) files: TlsFiles,
    /// Listen addresses for DNS over TLS (RFC 7858).
    pub(crate) tls: Vec<SocketAddr>,
    /// DNS over HTTPS (RFC 8484). `None` without `[dns.https]`.
    pub(crate) https: Option<Https>,
    /// Listen addresses for DNS over QUIC (RFC 9250).
    pub(crate) quic: Vec<SocketAddr>,
}

/// `[dns.https]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Https {
    /// Listen addresses.
    pub(crate) listen: Vec<SocketAddr>,
    /// The path of the URI template, before `{?dns}`.
    pub(crate) path: Arc<str>,
}

/// PEM files of one listener.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The chain, leaf first.
    pub cert: InputFile,
    /// The private key.
    pub key: InputFile,
}

impl Check<'_> {
    /// All encrypted listeners use one certificate, that of `[dns.tls]`.
    pub(super) fn check_encrypted(
        &mut self,
        tls: Option<&DnsTlsSpec>,
        https: Option<&HttpsSpec>,
        quic: Option<&QuicSpec>,
    ) -> Option<Encrypted> {
        let Some(tls) = tls else {
            let places = https.map(|https| &https.table.place).into_iter().chain(quic.map(|quic| &quic.table.place));
            for place in places {
                self.report(
                    Diagnostic::error("no-certificate", "encrypted DNS needs a certificate")
                        .at(place.clone(), "there is no `[dns.tls]`")
                        .help("add `[dns.tls]` with `cert = \"fullchain.pem\"` and `key = \"privkey.pem\"`"),
                );
            }
            return None;
        };
        let listen = |check: &mut Self, texts: &[PlacedText]| check.check_addresses(texts, value::encrypted_address);
        let https = https.map(|https| Https {
            listen: listen(self, &https.listen),
            path: match &https.path {
                // A wrong path is an error, so the empty one is never used.
                Some(path) => self.parse(path, value::path).unwrap_or_default(),
                None => HTTPS_PATH.into(),
            },
        });
        let quic = quic.map(|quic| listen(self, &quic.listen)).unwrap_or_default();
        let listen = listen(self, &tls.listen);
        Some(Encrypted { files: self.check_tls(&tls.cert, &tls.key)?, tls: listen, https, quic })
    }

    /// The files of a listener, if both are written and well-formed.
    pub(super) fn check_tls(&mut self, cert: &Option<PlacedText>, key: &Option<PlacedText>) -> Option<TlsFiles> {
        let mut input = |text: &Option<PlacedText>| self.input(text.as_ref()?, FileUse::Pem);
        let (cert, key) = (input(cert), input(key));
        Some(TlsFiles { cert: cert?, key: key? })
    }
}
