//! Causes of a probe's verdict: the one table with a word for metrics ([`Cause::as_str`]), a sentence (`Display`) and a remedy
//! ([`Cause::remedy`]) for each.
//!
//! **Invariants**: probe, `pharos verify`, `pharos status` and the log print from this table; it repeats no text of a
//! library. Text of a mirror (names of a certificate, `Location`) is cut to [`MAX_TEXT`] characters, and is not escaped.
//! **Not here**: finding the cause (`probe`, `tls`), the consequence of a verdict ([`super::health`]).

mod remedy;
mod text;

use super::{RedirectFault, Verdict};
use crate::base::time::UnixTime;
use crate::base::words::words;

/// The most characters of a mirror's own text that a cause repeats.
const MAX_TEXT: usize = 200;

words! {
    /// The reason why a verdict is not `up`.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum Cause {
        /// This machine cannot make a connection: no verdict on the mirror.
        Own(String) = "own",
        /// TCP failed.
        Connect(ConnectFault) = "connect",
        /// No TCP connection within the time-out.
        ConnectTimeout = "connect-time-out",
        /// A TCP connection, but no complete handshake within the time-out.
        HandshakeTimeout = "handshake-time-out",
        /// A handshake, but no complete response within the time-out.
        HttpTimeout = "http-time-out",
        /// The handshake failed, and not because of the certificate.
        Handshake(HandshakeFault) = "handshake",
        /// Clients refuse the certificate.
        Certificate(CertificateFault) = "certificate",
        /// Clients will refuse the certificate after the warning window.
        Expiring {
            /// The end of the path that lasts longest.
            end: UnixTime,
            /// The certificate that ends then is the leaf, not an issuer or the root.
            is_leaf: bool,
        } = "expiring",
        /// No HTTP response, or part of one.
        Http(HttpFault) = "http",
        /// Another status than 200 for the canary.
        Status {
            /// The method of the request.
            asked: CanaryMethod,
            /// The status.
            status: u16,
            /// `Location`, if it is a redirect.
            location: Option<Box<str>>,
        } = "canary-status",
        /// Another length than the canary's; `None` if the response has no `Content-Length`.
        Length {
            /// `Content-Length`.
            said: Option<u64>,
            /// The size of the canary.
            right: u64,
        } = "canary-length",
        /// More bytes than the canary has.
        TooLong = "canary-digest",
        /// The bytes of the canary have another digest.
        Digest = "canary-digest",
        /// A body with this `Content-Encoding`, which does not decode to the canary.
        Encoding(Box<str>) = "encoding",
        /// A redirect for the canary cannot be followed.
        Redirect(RedirectFault) = "redirect",
        /// The mirror redirects the canary to another host, and that one has a fault.
        Target {
            /// The host, with its port if it is not 443.
            host: Box<str>,
            /// Its fault.
            cause: Box<Cause>,
        } = "redirect-target",
        /// A range request is not answered with exactly that range.
        Range(RangeFault) = "range",
        /// This status for a digest that cannot exist: success, a failure, or a refusal.
        Nowhere(u16) = "answers-anything",
    }
}

/// The method of a request for the canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CanaryMethod {
    /// `HEAD`, which comes first.
    Head,
    /// `GET`, after a `HEAD` that was answered 200.
    Get,
}

words! {
    /// The reason why TCP failed, each with its words in the sentence.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum ConnectFault: Display {
        /// Nothing listens.
        Refused = "connection refused",
        /// There is no route.
        Unreachable = "no route to the address",
        /// The connection was reset.
        Reset = "connection reset",
        /// The system gave up.
        TimedOut = "no answer",
        /// Something else.
        Other = "the system gives no reason",
    }
}

words! {
    /// The reason why a handshake failed, each with its words in the sentence.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum HandshakeFault: Display {
        /// The answer is not TLS.
        NotTls = "the port does not speak TLS",
        /// The connection ended.
        Closed = "the server closes the connection",
        /// The server has no certificate for the name in SNI.
        UnknownName = "the server has no certificate for this name",
        /// No version in common.
        Version = "no TLS version in common",
        /// No cipher suite, group or signature scheme in common.
        Cipher = "no cipher suite or key exchange in common",
        /// The server requires a certificate of the client.
        ClientCertificate = "the server requires a certificate of the client",
        /// No application protocol in common.
        Protocol = "the server does not offer the application protocol",
        /// The server reports a fault of its own.
        ServerError = "the server reports an internal error",
        /// Something else.
        Other = "the server breaks it off",
    }
}

/// The reason why clients refuse a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateFault {
    /// Its end, if known, is past.
    Expired(Option<UnixTime>),
    /// Its begin, if known, is ahead.
    NotYetValid(Option<UnixTime>),
    /// It is for these names; empty if its names are unknown.
    WrongName(Box<str>),
    /// The path to a root is missing.
    Untrusted(Untrusted),
    /// It cannot be parsed.
    Damaged,
    /// A signature in the chain is wrong.
    Signature,
    /// It is revoked.
    Revoked,
    /// It is not for servers.
    Purpose,
    /// It is a certificate of an authority.
    Authority,
    /// It has a critical extension that is not known.
    Extension,
    /// The algorithm of a signature, or the key for it, is not supported.
    Algorithm,
    /// Another rule of RFC 5280.
    Rule,
}

/// The end of a chain that leads to no root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Untrusted {
    /// The leaf is its own issuer.
    SelfSigned,
    /// The chain ends below this issuer, which is no root.
    Incomplete(Box<str>),
    /// The chain ends at this root of another authority.
    Root(Box<str>),
    /// The chain ends at this name of a root that has another key.
    Namesake(Box<str>),
    /// The chain ends at this root, which has expired or is not valid yet.
    InvalidRoot(Box<str>),
    /// The chain was not seen.
    Unknown,
}

words! {
    /// The reason why there is no complete response, each with its sentence.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum HttpFault {
        /// The answer is not HTTP.
        NotHttp = "does not speak HTTP",
        /// The stream or the connection of HTTP/2 ended with an error.
        Http2 = "ends the HTTP/2 stream with an error",
        /// The server demands HTTP/1.1 after it selected HTTP/2.
        Http1Required = "selects HTTP/2, and then demands HTTP/1.1",
        /// The connection ended.
        Closed = "closes the connection before the HTTP response is complete",
        /// The response is longer than any right one.
        TooMuch = "sends more than any right HTTP response has",
        /// TLS ended the connection after the handshake.
        Tls(HandshakeFault) = "the TLS connection fails",
        /// Something else.
        Other = "the HTTP connection fails",
    }
}

/// The fault in the answer to a range request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RangeFault {
    /// Another status than 206.
    Status(u16),
    /// A 206 with this `Content-Range`; `None` if it has none.
    Header(Option<Box<str>>),
    /// A 206 for the right range with other bytes.
    Bytes,
    /// A 206 with this `Content-Encoding`.
    Encoded(Box<str>),
}

/// Text of a mirror, cut to [`MAX_TEXT`] characters.
pub(crate) fn cut(text: &str) -> Box<str> {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

impl Cause {
    /// The verdict of a status other than 200 for the canary.
    pub(crate) fn verdict_of_status(status: u16) -> Verdict {
        match status {
            429 | 408 | 500 | 502.. => Verdict::Overloaded,
            // 421: no client that asks for the name gets the blob. 2xx is no success either: 204 and 206 have no whole blob.
            404 | 410 | 421 | 0..400 => Verdict::Missing,
            400.. => Verdict::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, asked: CanaryMethod) -> Cause {
        Cause::Status { asked, status, location: None }
    }

    #[test]
    fn each_status_has_the_remedy_for_it() {
        let words = [
            (301, "rule that redirects"),
            (302, "redirects = \"follow\""),
            (307, "redirects = \"follow\""),
            (308, "rule that redirects"),
            (401, "anonymous"),
            (403, "anonymous reads"),
            (404, "load the blob"),
            (405, "HEAD beside GET"),
            (410, "load the blob"),
            (421, "server_name"),
            (429, "rate limit"),
            (500, "error log"),
            (502, "behind the proxy"),
            (503, "maintenance"),
            (504, "behind the proxy"),
            (418, "access log"),
            (204, "answer 200"),
        ];
        for (code, word) in words {
            let remedy = status(code, CanaryMethod::Head).remedy();
            assert!(remedy.contains(word), "{code}: {remedy}");
        }
        assert!(!status(405, CanaryMethod::Get).remedy().contains("HEAD"));
    }

    #[test]
    fn text_of_a_mirror_is_cut() {
        let location = Some(cut(&"ü".repeat(10_000)));
        let text = Cause::Status { asked: CanaryMethod::Head, status: 307, location }.to_string();
        assert!(text.starts_with("answers 307 for the canary, and leads to `ü") && text.ends_with("ü…`"), "{text}");
        assert!(text.chars().count() < MAX_TEXT + 60);
    }
}
