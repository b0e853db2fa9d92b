//! The sentence for each cause: the predicate of a sentence whose subject is the mirror.
//!
//! **Invariants**: no sentence has text of a library.
//! **Not here**: the remedies ([`super::remedy`]).

use std::fmt;

use super::{CanaryMethod, Cause, CertificateFault, HttpFault, RangeFault, Untrusted};
use crate::base::when::rfc3339;
use crate::mirror::RedirectFault;

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Own(error) => write!(f, "this machine cannot make a connection: {error}"),
            Cause::Connect(fault) => write!(f, "cannot connect: {fault}"),
            Cause::ConnectTimeout => f.write_str("no connection in time"),
            Cause::HandshakeTimeout => f.write_str("connects, but the TLS handshake does not end in time"),
            Cause::HttpTimeout => f.write_str("no complete HTTP response in time"),
            Cause::Handshake(fault) | Cause::Http(HttpFault::Tls(fault)) => {
                write!(f, "the TLS handshake fails: {}", fault.as_str())
            }
            Cause::Certificate(fault) => write!(f, "clients do not accept its certificate: {fault}"),
            Cause::Expiring { end, is_leaf: true } => write!(f, "its certificate ends at {}", rfc3339(*end)),
            Cause::Expiring { end, is_leaf: false } => {
                write!(f, "an issuer of its certificate, or the root, ends at {}", rfc3339(*end))
            }
            Cause::Http(fault) => fault.fmt(f),
            Cause::Status { asked, status, location } => {
                match asked {
                    CanaryMethod::Head => write!(f, "answers {status} for the canary")?,
                    CanaryMethod::Get => write!(f, "answers {status} to GET of the canary, after 200 to HEAD")?,
                }
                f.write_str(meaning(*status, *asked))?;
                location.as_ref().map_or(Ok(()), |location| write!(f, ", and leads to `{location}`"))
            }
            Cause::Length { said: Some(said), right } => {
                write!(f, "says that the canary has {said} bytes, not {right}")
            }
            Cause::Length { said: None, .. } => f.write_str("does not say how many bytes the canary has"),
            Cause::TooLong => f.write_str("sends more bytes for the canary than it has"),
            Cause::Digest => f.write_str("the bytes that it serves for the canary have another digest"),
            Cause::Encoding(encoding) => {
                write!(
                    f,
                    "sends the canary with `Content-Encoding: {encoding}`, and its bytes do not decode to the digest"
                )
            }
            Cause::Redirect(fault) => fault.fmt(f),
            Cause::Target { host, cause } => write!(f, "redirects the canary to `{host}`: {cause}"),
            Cause::Range(fault) => fault.fmt(f),
            Cause::Nowhere(status) => write!(f, "answers {status} for a digest that cannot exist"),
        }
    }
}

/// The meaning of a status, behind it in a sentence; empty if the status says enough.
fn meaning(status: u16, asked: CanaryMethod) -> &'static str {
    match (status, asked) {
        (401, _) => ", which demands a login",
        (403, _) => ", which forbids the request",
        (405 | 501, CanaryMethod::Head) => ", because it does not allow HEAD",
        (405 | 501, CanaryMethod::Get) => ", because it does not allow GET",
        (421, _) => ", because it does not serve this host name",
        (429, _) => ", because it limits the rate of requests",
        (500.., _) => ", because it fails or is overloaded",
        _ => "",
    }
}

impl fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CertificateFault::Expired(Some(end)) => return write!(f, "it expired at {}", rfc3339(*end)),
            CertificateFault::Expired(None) => "it has expired",
            CertificateFault::NotYetValid(Some(begin)) => {
                return write!(f, "it is not valid before {}", rfc3339(*begin));
            }
            CertificateFault::NotYetValid(None) => "it is not valid yet",
            CertificateFault::WrongName(names) if names.is_empty() => "it is for another name",
            CertificateFault::WrongName(names) => return write!(f, "it is for {names}"),
            CertificateFault::Untrusted(untrusted) => return untrusted.fmt(f),
            CertificateFault::Damaged => "it is damaged, or not an X.509 version 3 certificate",
            CertificateFault::Signature => "a signature in its chain is wrong",
            CertificateFault::Revoked => "it is revoked",
            CertificateFault::Purpose => "it is not for a TLS server",
            CertificateFault::Authority => "it is the certificate of an authority",
            CertificateFault::Extension => "it has a critical extension that is not known",
            CertificateFault::Algorithm => "the algorithm or the key of a signature is not supported",
            CertificateFault::Rule => "it breaks a rule of RFC 5280",
        })
    }
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Untrusted::SelfSigned => f.write_str("it is signed by itself"),
            Untrusted::Incomplete(issuer) => write!(f, "its chain stops before `{issuer}`, which is no trusted root"),
            Untrusted::Root(root) => write!(f, "its chain ends at `{root}`, which is no trusted root"),
            Untrusted::Namesake(root) => {
                write!(f, "its chain ends at `{root}`, which is another than the root of that name")
            }
            Untrusted::InvalidRoot(root) => {
                write!(f, "its chain ends at `{root}`, a root that has expired or is not valid yet")
            }
            Untrusted::Unknown => {
                f.write_str("its chain does not lead to a trusted root (self-signed, or an intermediate is missing)")
            }
        }
    }
}

impl fmt::Display for HttpFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())?;
        if let HttpFault::Tls(fault) = self { write!(f, ": {fault}") } else { Ok(()) }
    }
}

impl fmt::Display for RedirectFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RedirectFault::NotHttps => f.write_str("redirects the canary to no URL of https with a host name"),
            RedirectFault::TooMany => f.write_str("redirects the canary again and again"),
            RedirectFault::NoAddress => f.write_str("redirects the canary to a host that has no address"),
            RedirectFault::Refused(address) => {
                write!(f, "redirects the canary to a host with the reserved address {address}")
            }
        }
    }
}

impl fmt::Display for RangeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RangeFault::Status(200) => f.write_str("answers 200 with the whole canary to a range request"),
            RangeFault::Status(status) => write!(f, "answers {status} to a range request for the canary"),
            RangeFault::Header(Some(said)) => write!(f, "answers a range request with another range, `{said}`"),
            RangeFault::Header(None) => f.write_str("answers a range request with 206 without `Content-Range`"),
            RangeFault::Encoded(encoding) => {
                write!(f, "answers a range request with bytes of `Content-Encoding: {encoding}`")
            }
            RangeFault::Bytes => f.write_str("answers a range request with other bytes than those of the range"),
        }
    }
}
