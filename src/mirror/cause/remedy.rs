//! The remedy for each cause, for the owner of the mirror.
//!
//! **Invariants**: each cause has one.
//! **Not here**: the sentences ([`super::text`]).

use super::super::RedirectFault;
use super::{CanaryMethod, Cause, CertificateFault, ConnectFault, HandshakeFault, HttpFault, RangeFault, Untrusted};

impl Cause {
    /// The remedy, for the owner of the mirror.
    pub fn remedy(&self) -> &'static str {
        match self {
            Cause::Own(_) => "raise the limit on open files, or free ports and memory of this machine",
            Cause::Connect(fault) => fault.remedy(),
            Cause::ConnectTimeout => "check the address, and let the firewall in front of it accept the probe",
            Cause::HandshakeTimeout => {
                "check the load of the TLS server, and the path: full-size packets of the certificate may be lost"
            }
            Cause::HttpTimeout => {
                "check the load and the storage of the HTTP server behind TLS; the limit is `[probe] timeout`"
            }
            Cause::Handshake(fault) | Cause::Http(HttpFault::Tls(fault)) => fault.remedy(),
            Cause::Certificate(fault) => fault.remedy(),
            Cause::Expiring { is_leaf: true, .. } => {
                "renew the certificate, and check why it was not renewed automatically"
            }
            Cause::Expiring { is_leaf: false, .. } => {
                "serve the current intermediate certificates of the authority; renew a root of your own, and give it to clients"
            }
            Cause::Http(HttpFault::NotHttp) => "let the port speak HTTP/1.1 or HTTP/2 inside TLS",
            Cause::Http(HttpFault::Http2) => {
                "check the log of the HTTP/2 server; if it cannot be mended, turn HTTP/2 off (ALPN `http/1.1` alone)"
            }
            Cause::Http(HttpFault::Http1Required) => "turn HTTP/2 off (ALPN `http/1.1` alone), or on for every request",
            Cause::Http(HttpFault::TooMuch) => "check the HTTP server: it sends more than the probe asked for",
            Cause::Http(HttpFault::Closed | HttpFault::Other) => "check the log of the HTTP server behind TLS",
            Cause::Status { status, asked, .. } => status_remedy(*status, *asked),
            Cause::Length { said: None, .. } => {
                "answer HEAD with `Content-Length`: blobs are neither compressed nor sent in chunks"
            }
            Cause::Length { said: Some(_), .. } => {
                "replace the mirror's copy of the blob, or correct `size` of the canary if the canonical registry has that length"
            }
            Cause::TooLong | Cause::Digest => {
                "take the mirror out of service, because clients get broken blobs; then load the blob again"
            }
            Cause::Encoding(_) => {
                "remove `Content-Encoding` from blobs (metadata of a bucket, `gzip` of a server): clients decode a blob, and then compute \
                 the digest"
            }
            Cause::Redirect(RedirectFault::NotHttps | RedirectFault::TooMany) => {
                "redirect blobs once, to a URL of https with a host name"
            }
            Cause::Redirect(RedirectFault::NoAddress) => "check the host in the redirects of the mirror",
            Cause::Redirect(RedirectFault::Refused(_)) => {
                "redirect to a host that clients reach; the operator allows private addresses under `[resolver] private`"
            }
            Cause::Target { cause, .. } => cause.remedy(),
            Cause::Range(fault) => fault.remedy(),
            Cause::Nowhere(status @ (401 | 405 | 421 | 429)) => status_remedy(*status, CanaryMethod::Head),
            Cause::Nowhere(500..) => "answer 404 instead of an error for a blob that does not exist",
            Cause::Nowhere(_) => "answer 404 for blobs that do not exist; a page for every path breaks pulls",
        }
    }
}

/// The remedy for a status that is not 200.
fn status_remedy(status: u16, asked: CanaryMethod) -> &'static str {
    match (status, asked) {
        (301 | 308, _) => {
            "leave `/v2/` out of the rule that redirects (to HTTPS, to another name, to a path with a slash), and serve the blob here"
        }
        (300..400, _) => {
            "serve the blob itself with 200, or have the operator set `redirects = \"follow\"` on the mirror: without it a redirect \
             means that the blob is missing"
        }
        (401, _) => "allow anonymous pulls: clients have no password or token for a mirror",
        (403, _) => {
            "allow anonymous reads of blobs: a firewall, a filter for bots or the policy of a bucket refuses this request; \
             if a bucket answers 403 for a missing blob, the operator sets `missing = [403]`"
        }
        (404 | 410, _) => {
            "load the blob into the mirror, let the mirror fetch missing blobs from the canonical registry, or choose another canary"
        }
        (405 | 501, CanaryMethod::Head) => "allow HEAD beside GET: clients ask for the size of a blob with HEAD",
        (405 | 501, CanaryMethod::Get) => "allow GET for blobs",
        (408, _) => "check the time-outs of the HTTP server: it did not wait for the request",
        (416, _) => "answer a request without `Range` with 200 and the whole blob",
        (421, _) => "add the shared name to the names that the HTTP server answers for (`server_name`, virtual host)",
        (429, _) => "exempt the probe from the rate limit, or raise the limit: many clients share one address",
        (502 | 504, _) => "check the server behind the proxy of the mirror: it does not answer the proxy",
        (503, _) => "check whether the mirror is overloaded or in maintenance",
        (500.., _) => "check the error log of the mirror: the server failed",
        (400..500, _) => "check the access log of the mirror: it refuses a correct request for a blob",
        _ => "answer 200 with the whole blob",
    }
}

impl ConnectFault {
    fn remedy(self) -> &'static str {
        match self {
            ConnectFault::Refused => "start the server, and check that it listens on this address and port",
            ConnectFault::Unreachable => "check the address, and the routes from this machine to it",
            ConnectFault::Reset => {
                "check the firewall or balancer in front of the mirror: it breaks the connection off"
            }
            ConnectFault::TimedOut | ConnectFault::Other => {
                "check the address, and let the firewall in front of it accept the probe"
            }
        }
    }
}

impl HandshakeFault {
    fn remedy(self) -> &'static str {
        match self {
            HandshakeFault::NotTls => "let the port speak TLS (nginx: `listen 443 ssl`), or correct `[probe] port`",
            HandshakeFault::Closed => {
                "check the log of the TLS server: a server without a certificate for the name may close the connection"
            }
            HandshakeFault::UnknownName => "configure a certificate for the shared name on the TLS server",
            HandshakeFault::Version => "turn TLS 1.2 and TLS 1.3 on",
            HandshakeFault::Cipher => {
                "turn the cipher suites of TLS 1.3 on, or ECDHE with AES-GCM or ChaCha20 for TLS 1.2; check the certificate's key"
            }
            HandshakeFault::ClientCertificate => "do not ask clients for a certificate: pull clients have none",
            HandshakeFault::Protocol => "offer HTTP/1.1 or HTTP/2 in ALPN (`http/1.1`, `h2`)",
            HandshakeFault::ServerError => "check the log of the TLS server, and its certificate and key files",
            HandshakeFault::Other => "check the TLS server: `openssl s_client -connect ADDRESS:443 -servername NAME`",
        }
    }
}

impl CertificateFault {
    fn remedy(&self) -> &'static str {
        match self {
            CertificateFault::Expired(_) => "renew the certificate, and reload the server that presents it",
            CertificateFault::NotYetValid(_) => {
                "check the clocks of this machine and of the authority; until then serve the certificate before it"
            }
            CertificateFault::WrongName(_) => {
                "serve a certificate that has the name in SNI among its names; check which one the server selects for that name"
            }
            CertificateFault::Untrusted(Untrusted::SelfSigned) => {
                "have it issued by an authority that clients trust; name the root of a private authority in `[probe] roots`"
            }
            CertificateFault::Untrusted(Untrusted::Incomplete(_) | Untrusted::Unknown) => {
                "serve the intermediate certificates behind the leaf (`fullchain.pem`, not `cert.pem`)"
            }
            CertificateFault::Untrusted(Untrusted::Root(_) | Untrusted::Namesake(_)) => {
                "have it issued by an authority that clients trust, or name its root in `[probe] roots` if all clients have it"
            }
            CertificateFault::Untrusted(Untrusted::InvalidRoot(_)) => {
                "have it issued below a root that is valid; renew a root of your own, and give it to clients and `[probe] roots`"
            }
            CertificateFault::Damaged => "replace the certificate by one in X.509 version 3",
            CertificateFault::Signature => "serve the issuers of this leaf in order, each one with its own key",
            CertificateFault::Revoked => "have a new certificate issued for a new key",
            CertificateFault::Purpose => "have it issued for TLS servers (extended key usage `serverAuth`)",
            CertificateFault::Authority => {
                "serve a leaf that the authority issued, not the certificate of the authority"
            }
            CertificateFault::Extension => "have it issued without that extension",
            CertificateFault::Algorithm => {
                "have it issued for ECDSA (P-256 or P-384), RSA (2048 bits or more) or Ed25519, signed with SHA-256 or better"
            }
            CertificateFault::Rule => "have it issued by a public authority, which keeps to RFC 5280",
        }
    }
}

impl RangeFault {
    fn remedy(&self) -> &'static str {
        match self {
            RangeFault::Status(200) => {
                "turn range requests on, also in a cache or proxy in front: clients resume a pull with them"
            }
            RangeFault::Status(416) => "accept every range inside the blob, its last byte included",
            RangeFault::Status(_) => "answer a range request with 206 and that range",
            RangeFault::Header(_) => {
                "answer 206 with `Content-Range: bytes FIRST-LAST/SIZE` of exactly the range that was asked for"
            }
            RangeFault::Encoded(_) => {
                "turn compression off for blobs: the range of an encoded blob is not one of the blob"
            }
            RangeFault::Bytes => "send exactly the bytes of the range, unchanged: a resumed pull is broken otherwise",
        }
    }
}
