//! Errors of the libraries for TLS and HTTP, as causes in our own words.
//!
//! **Invariants**: no text of a library passes.
//! **Not here**: the words ([`crate::mirror::Cause`]).
//!
//! RFC 8446 §6.2 (alerts), RFC 5280 §6 (paths), RFC 9525 (names).

use std::error::Error as StdError;
use std::fmt;
use std::io;

use rustls::pki_types::{CertificateDer, UnixTime as PkiTime};
use rustls::{AlertDescription, CertificateError, Error};

use super::facts::{LeafFacts, Parties};
use super::roots::Roots;
use crate::base::diagnostic::list;
use crate::base::time::UnixTime;
use crate::mirror::{CertificateFault, ConnectFault, HandshakeFault, HttpFault, Untrusted, cut};

/// The reason why clients refuse a certificate; `leaf` is the certificate, `None` if it was not seen.
pub(super) fn certificate_fault(error: &CertificateError, leaf: Option<&CertificateDer<'_>>) -> CertificateFault {
    let at = |time: &PkiTime| Some(UnixTime(time.as_secs()));
    match error {
        CertificateError::Expired => CertificateFault::Expired(None),
        CertificateError::ExpiredContext { not_after, .. } => CertificateFault::Expired(at(not_after)),
        CertificateError::NotValidYet => CertificateFault::NotYetValid(None),
        CertificateError::NotValidYetContext { not_before, .. } => CertificateFault::NotYetValid(at(not_before)),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            let names = leaf.and_then(LeafFacts::read).map_or_else(Vec::new, |facts| facts.names);
            CertificateFault::WrongName(cut(&list(names.iter().map(String::as_str))))
        }
        CertificateError::UnknownIssuer => CertificateFault::Untrusted(Untrusted::Unknown),
        CertificateError::BadEncoding => CertificateFault::Damaged,
        CertificateError::BadSignature => CertificateFault::Signature,
        CertificateError::Revoked => CertificateFault::Revoked,
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => CertificateFault::Purpose,
        CertificateError::UnhandledCriticalExtension => CertificateFault::Extension,
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => CertificateFault::Algorithm,
        CertificateError::Other(other) => match other.0.downcast_ref::<webpki::Error>() {
            Some(webpki::Error::CaUsedAsEndEntity) => CertificateFault::Authority,
            Some(webpki::Error::UnsupportedCriticalExtension) => CertificateFault::Extension,
            Some(webpki::Error::UnsupportedCertVersion) => CertificateFault::Damaged,
            Some(webpki::Error::EmptyEkuExtension) => CertificateFault::Purpose,
            _ => CertificateFault::Rule,
        },
        _ => CertificateFault::Rule,
    }
}

/// The reason why a handshake failed, in words, for a client that does not keep the chain.
pub(crate) fn refusal(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(reason) => {
            format!("its certificate is refused: {}", certificate_fault(reason, None))
        }
        other => format!("the TLS handshake fails: {}", handshake_fault(other)),
    }
}

/// The same for a chain that was seen, leaf first.
pub(super) fn chain_fault(
    error: &CertificateError,
    chain: &[CertificateDer<'_>],
    roots: &Roots,
    now: PkiTime,
) -> CertificateFault {
    match untrusted(error, chain, roots, now) {
        Some(untrusted) => CertificateFault::Untrusted(untrusted),
        None => certificate_fault(error, chain.first()),
    }
}

/// The end of a chain without a path to a root; `None` if clients refuse it for another reason.
pub(super) fn untrusted(
    error: &CertificateError,
    chain: &[CertificateDer<'_>],
    roots: &Roots,
    now: PkiTime,
) -> Option<Untrusted> {
    let parties: Vec<Parties> = chain.iter().filter_map(Parties::read).collect();
    // The chain as far as each certificate is issued by the next.
    let linked = parties.windows(2).take_while(|pair| pair[0].issuer == pair[1].subject).count();
    let last = parties.get(linked)?;
    let (valid, invalid): (Vec<_>, Vec<_>) = roots.named(&last.issuer).partition(|root| root.is_valid(now));
    let has_namesake = !valid.is_empty();
    match error {
        CertificateError::UnknownIssuer => {}
        CertificateError::BadSignature if has_namesake => {}
        _ => return None,
    }
    let issuer = || cut(&last.shown_issuer);
    Some(match (parties[0].is_self_issued(), has_namesake, last.is_self_issued()) {
        (true, _, _) => Untrusted::SelfSigned,
        (_, false, _) if !invalid.is_empty() => Untrusted::InvalidRoot(issuer()),
        (_, true, _) => Untrusted::Namesake(issuer()),
        (_, _, true) => Untrusted::Root(issuer()),
        _ => Untrusted::Incomplete(issuer()),
    })
}

/// The reason why TCP failed.
pub(super) fn connect_fault(kind: io::ErrorKind) -> ConnectFault {
    match kind {
        io::ErrorKind::ConnectionRefused => ConnectFault::Refused,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => ConnectFault::Unreachable,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => ConnectFault::Reset,
        io::ErrorKind::TimedOut => ConnectFault::TimedOut,
        _ => ConnectFault::Other,
    }
}

/// The reason why a handshake failed, if not for the certificate.
pub(super) fn handshake_fault(error: &Error) -> HandshakeFault {
    match error {
        Error::AlertReceived(alert) => alert_fault(*alert),
        Error::InvalidMessage(_) => HandshakeFault::NotTls,
        Error::PeerIncompatible(_) => HandshakeFault::Cipher,
        Error::NoApplicationProtocol => HandshakeFault::Protocol,
        _ => HandshakeFault::Other,
    }
}

fn alert_fault(alert: AlertDescription) -> HandshakeFault {
    match alert {
        AlertDescription::UnrecognisedName => HandshakeFault::UnknownName,
        AlertDescription::ProtocolVersion => HandshakeFault::Version,
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => HandshakeFault::Cipher,
        AlertDescription::CertificateRequired
        | AlertDescription::NoCertificate
        | AlertDescription::BadCertificate
        | AlertDescription::AccessDenied => HandshakeFault::ClientCertificate,
        AlertDescription::NoApplicationProtocol => HandshakeFault::Protocol,
        AlertDescription::InternalError => HandshakeFault::ServerError,
        AlertDescription::CloseNotify => HandshakeFault::Closed,
        _ => HandshakeFault::Other,
    }
}

/// The error of a connection whose peer sent more than the limit.
#[derive(Debug)]
pub(super) struct TooMuch;

impl fmt::Display for TooMuch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sends more than it was asked for")
    }
}

impl StdError for TooMuch {}

/// The reason why there is no complete response.
pub(crate) fn http_fault(error: &hyper::Error) -> HttpFault {
    let mut source = error.source();
    while let Some(inner) = source {
        if inner.is::<TooMuch>() {
            return HttpFault::TooMuch;
        }
        if inner.downcast_ref::<io::Error>().is_some_and(|error| is_end(error.kind())) {
            return HttpFault::Closed;
        }
        if let Some(error) = inner.downcast_ref::<h2::Error>() {
            return http2_fault(error);
        }
        if let Some(error) = inner.downcast_ref::<Error>() {
            return HttpFault::Tls(handshake_fault(error));
        }
        // The source of an `io::Error` is that of its inner error: it leaves the inner error out.
        source = match inner.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => inner.source(),
        };
    }
    match () {
        () if error.is_parse() => HttpFault::NotHttp,
        () if error.is_incomplete_message() || error.is_closed() || error.is_canceled() => HttpFault::Closed,
        () => HttpFault::Other,
    }
}

/// The reason why HTTP/2 ended.
fn http2_fault(error: &h2::Error) -> HttpFault {
    let is_too_much = |error: &io::Error| error.get_ref().is_some_and(|inner| inner.is::<TooMuch>());
    match (error.get_io(), error.reason()) {
        (Some(error), _) if is_too_much(error) => HttpFault::TooMuch,
        (Some(_), _) | (_, Some(h2::Reason::NO_ERROR)) => HttpFault::Closed,
        (_, Some(h2::Reason::HTTP_1_1_REQUIRED)) => HttpFault::Http1Required,
        _ => HttpFault::Http2,
    }
}

/// Returns whether a connection failed because its peer ended it.
fn is_end(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(kind, BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_alert_reaches_a_person_by_its_name_in_the_library() {
        for code in 0..=u8::MAX {
            let alert = AlertDescription::from(code);
            let text = handshake_fault(&Error::AlertReceived(alert)).as_str();
            assert!(!text.contains(&format!("{alert:?}")), "{text}");
        }
    }
}
