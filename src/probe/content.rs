//! The content of a mirror: the canary whole and in parts, and a digest that cannot exist.
//!
//! **Invariants**: at most the canary's size is read of any body, and [`ENCODING_LEN`] more if it is encoded; a body decodes to the
//! canary's size at most.
//! **Not here**: connections ([`super::conversation`]), sentences ([`crate::mirror::Cause`]).
//!
//! RFC 9110 §8.4 (encodings), §14 (ranges), §15 (statuses).

use std::io::Read as _;

use flate2::read::MultiGzDecoder;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, HeaderName, LOCATION, RANGE};
use hyper::{Method, Response, StatusCode};
use ring::digest::{SHA256, digest};

use super::conversation::{Conversation, ProbeFault, ProbeProgress};
use super::redirect::{Follower, MAX_HOPS};
use crate::base::text::hex;
use crate::config::Canary;
use crate::mirror::{
    BlobValues, CanaryMethod, Cause, ContentPlace, HttpFault, HttpVersion, RangeFault, RedirectFault, Template,
    TemplateValues, Verdict, cut, is_redirect,
};
use crate::tls::http_fault;

/// A digest that no content has: it is infeasible to find content whose hash is all zeros.
const NOWHERE: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The most bytes that gzip adds to content: a header with a name, a trailer, and 5 bytes for each 64 KiB of a canary.
const ENCODING_LEN: u64 = 4096;

/// The content to check, and the means for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ContentCheck<'p> {
    /// The place of the content at the mirror.
    pub(super) place: &'p ContentPlace,
    /// The canary; `None` leaves content unchecked.
    pub(super) canary: Option<&'p Canary>,
    /// The means to follow redirects; `None` if no mirror of the configuration is followed.
    pub(super) follower: Option<&'p Follower>,
}

impl ContentCheck<'_> {
    /// Checks the content of a mirror. At a place that has no digest the canary is left out, because it leads to other content.
    pub(super) async fn run(self, conversation: &mut Conversation<'_>) -> Result<(), ProbeFault> {
        match self.canary.filter(|_| self.place.template().is_none_or(Template::is_by_digest)) {
            Some(canary) => self.check_canary(canary, conversation).await,
            None => self.check_nowhere("pharos/probe", conversation).await,
        }
    }

    /// Checks the canary: `HEAD` has the exact length, the bytes have the digest, and ranges are exact.
    async fn check_canary(self, canary: &Canary, conversation: &mut Conversation<'_>) -> Result<(), ProbeFault> {
        let place = self.place;
        let path = blob_path(place, &canary.repository, &canary.sha256);
        let right = canary.size;
        let head = conversation.ask(Method::HEAD, &path, None, 0).await?;
        // A mirror that pulls through may say 404 until the first GET (Harbor), so a GET decides. A URL that is signed for HEAD
        // refuses GET, so a redirect is followed from the GET as well.
        let missing = match check_status(place, &head, CanaryMethod::Head) {
            Err(fault) if place.is_missing(head.status().as_u16()) || self.follows(&head) => Some(fault),
            Err(fault) => return Err(fault),
            Ok(()) => None,
        };
        if missing.is_none() {
            let said = header(&head, CONTENT_LENGTH).and_then(|value| value.parse().ok());
            if said != Some(right) {
                return Err((Verdict::ContentBad, Cause::Length { said, right }));
            }
        }
        let whole = ask_whole(canary, &path, conversation).await?;
        if self.follows(&whole) {
            self.check_target(whole, canary).await?;
        } else {
            if let Some(missing) = missing.filter(|_| whole.status() != StatusCode::OK) {
                return Err(missing);
            }
            check_status(place, &whole, CanaryMethod::Get)?;
            check_bytes(whole, canary, &path, conversation).await?;
        }
        self.check_nowhere(&canary.repository, conversation).await
    }

    /// Returns whether a response is a redirect that is followed.
    fn follows(self, response: &Response<Incoming>) -> bool {
        is_redirect(response.status().as_u16())
            && header(response, LOCATION).is_some_and(|location| self.place.redirects.target(location).is_some())
    }

    /// Checks the canary at the target of a redirect. The URL may be signed for GET alone, so there is no `HEAD`.
    async fn check_target(self, mut redirect: Response<Incoming>, canary: &Canary) -> Result<(), ProbeFault> {
        let wrong = |fault| (Verdict::Unreachable, Cause::Redirect(fault));
        for _ in 0..MAX_HOPS {
            let location = header(&redirect, LOCATION).unwrap_or_default();
            let Some(target) = self.place.redirects.target(location) else {
                // The storage leads back to canonical or to mirrors.
                return check_status(self.place, &redirect, CanaryMethod::Get);
            };
            let target = target.map_err(wrong)?;
            let Some(follower) = self.follower else { return Err(wrong(RedirectFault::NoAddress)) };
            let (dialer, address) = follower.reach(&target).await?;
            let mut progress = ProbeProgress::default();
            let mut conversation = Conversation::new(dialer, address, HttpVersion::Http2, &mut progress);
            let at_target = |(verdict, cause): ProbeFault| match cause {
                Cause::Own(_) => (verdict, cause),
                cause => (verdict, Cause::Target { host: (&*target.authority).into(), cause: Box::new(cause) }),
            };
            let whole = ask_whole(canary, &target.path, &mut conversation).await.map_err(at_target)?;
            if is_redirect(whole.status().as_u16()) {
                redirect = whole;
                continue;
            }
            check_status(self.place, &whole, CanaryMethod::Head).map_err(at_target)?;
            return check_bytes(whole, canary, &target.path, &mut conversation).await.map_err(at_target);
        }
        Err(wrong(RedirectFault::TooMany))
    }

    /// Checks that a digest which cannot exist is not found: some servers answer 200 to everything.
    async fn check_nowhere(self, repository: &str, conversation: &mut Conversation<'_>) -> Result<(), ProbeFault> {
        let path = blob_path(self.place, repository, NOWHERE);
        let response = conversation.ask(Method::HEAD, &path, None, 0).await?;
        let status = response.status().as_u16();
        let verdict = match status {
            // Without a digest in the path, every digest leads to one file.
            200..300 if self.place.template().is_some_and(|template| !template.has_digest()) => return Ok(()),
            200..300 => Verdict::ContentBad,
            _ if self.place.is_missing(status) => return Ok(()),
            _ if self.follows(&response) => Verdict::ContentBad,
            401 | 405 | 421 | 429 | 500.. => Cause::verdict_of_status(status),
            // A mirror that lacks a blob may redirect to the canonical registry, or be a bucket that says 403.
            _ => return Ok(()),
        };
        Err((verdict, Cause::Nowhere(status)))
    }
}

/// Asks for the whole canary as Go's client does: with gzip, which it leaves out of HEAD and ranges.
async fn ask_whole(
    canary: &Canary,
    path: &str,
    conversation: &mut Conversation<'_>,
) -> Result<Response<Incoming>, ProbeFault> {
    conversation.ask(Method::GET, path, Some((ACCEPT_ENCODING, "gzip")), canary.size + ENCODING_LEN).await
}

/// Checks the bytes of the canary, whole and in parts.
async fn check_bytes(
    whole: Response<Incoming>,
    canary: &Canary,
    path: &str,
    conversation: &mut Conversation<'_>,
) -> Result<(), ProbeFault> {
    let bytes = content(whole, canary).await?;
    let right = canary.size;
    let last = right.saturating_sub(1);
    check_range(path, &format!("bytes={last}-{last}"), last..right, &bytes, conversation).await?;
    // The form of a client that resumes a pull.
    let half = right / 2;
    check_range(path, &format!("bytes={half}-"), half..right, &bytes, conversation).await
}

/// The whole canary, decoded.
async fn content(whole: Response<Incoming>, canary: &Canary) -> Result<Bytes, ProbeFault> {
    let encoding = encoding(&whole);
    let limit = if encoding.is_some() { canary.size + ENCODING_LEN } else { canary.size };
    let bytes = body(whole, limit, Cause::TooLong).await?;
    let (bytes, wrong) = match encoding {
        None => (Some(bytes), Cause::Digest),
        Some(encoding) => {
            let is_gzip = ["gzip", "x-gzip"].contains(&&*encoding.to_ascii_lowercase());
            let decoded = is_gzip.then(|| unzip(&bytes, canary.size)).flatten();
            (decoded, Cause::Encoding(encoding))
        }
    };
    let right = bytes.filter(|bytes| hex(digest(&SHA256, bytes).as_ref()) == *canary.sha256);
    right.ok_or((Verdict::ContentBad, wrong))
}

/// Decodes gzip to `size` bytes at most; `None` if the bytes are not gzip, or decode to more.
fn unzip(bytes: &[u8], size: u64) -> Option<Bytes> {
    let mut decoded = Vec::new();
    let read = MultiGzDecoder::new(bytes).take(size + 1).read_to_end(&mut decoded).ok()?;
    (read as u64 <= size).then(|| decoded.into())
}

/// Checks that a request for a range is answered with exactly that range.
async fn check_range(
    path: &str,
    asked: &str,
    right: std::ops::Range<u64>,
    bytes: &Bytes,
    conversation: &mut Conversation<'_>,
) -> Result<(), ProbeFault> {
    let wrong = |fault| (Verdict::ContentBad, Cause::Range(fault));
    let size = bytes.len() as u64;
    let part = conversation.ask(Method::GET, path, Some((RANGE, asked)), size).await?;
    let status = part.status().as_u16();
    match status {
        206 => {}
        // A whole body instead of a part, or a refusal of the range.
        200..300 | 416 => return Err(wrong(RangeFault::Status(status))),
        401 | 403 | 408 | 429 | 500.. => {
            return Err((Cause::verdict_of_status(status), Cause::Range(RangeFault::Status(status))));
        }
        _ => return Err(wrong(RangeFault::Status(status))),
    }
    let said = header(&part, CONTENT_RANGE).map(cut);
    let (first, last) = (right.start, right.end.saturating_sub(1));
    if said.as_deref() != Some(&*format!("bytes {first}-{last}/{size}")) {
        return Err(wrong(RangeFault::Header(said)));
    }
    if let Some(encoding) = encoding(&part) {
        return Err(wrong(RangeFault::Encoded(encoding)));
    }
    let len = right.end - right.start;
    if body(part, len, Cause::Range(RangeFault::Bytes)).await? == bytes[first as usize..] {
        Ok(())
    } else {
        Err(wrong(RangeFault::Bytes))
    }
}

/// `Content-Encoding`; `None` if the body is not encoded.
fn encoding(response: &Response<Incoming>) -> Option<Box<str>> {
    let said = response.headers().get(CONTENT_ENCODING)?;
    let said = said.to_str().map_or_else(|_| "?".into(), cut);
    (!said.is_empty() && !said.eq_ignore_ascii_case("identity")).then_some(said)
}

/// A whole body of at most so many bytes; `too_long` is the cause if it has more.
async fn body(response: Response<Incoming>, size: u64, too_long: Cause) -> Result<Bytes, ProbeFault> {
    let limit = usize::try_from(size).unwrap_or(usize::MAX);
    Limited::new(response.into_body(), limit).collect().await.map(|body| body.to_bytes()).map_err(|error| {
        if error.is::<http_body_util::LengthLimitError>() {
            (Verdict::ContentBad, too_long)
        } else {
            let fault = error.downcast_ref().map_or(HttpFault::Other, http_fault);
            (Verdict::Unreachable, Cause::Http(fault))
        }
    })
}

fn header(response: &Response<Incoming>, name: HeaderName) -> Option<&str> {
    response.headers().get(name)?.to_str().ok()
}

fn check_status(place: &ContentPlace, response: &Response<Incoming>, asked: CanaryMethod) -> Result<(), ProbeFault> {
    let status = response.status();
    if status == StatusCode::OK {
        return Ok(());
    }
    let location = header(response, LOCATION).filter(|_| status.is_redirection()).map(cut);
    let status = status.as_u16();
    let verdict = if place.is_missing(status) { Verdict::Missing } else { Cause::verdict_of_status(status) };
    Err((verdict, Cause::Status { asked, status, location }))
}

/// The path of a blob, and maybe a query.
fn blob_path(place: &ContentPlace, name: &str, hex: &str) -> String {
    let path = format!("v2/{name}/blobs/sha256:{hex}");
    let blob = Some(BlobValues { name, algorithm: "sha256", hex });
    let values = TemplateValues { blob, path: &path, rest: path.strip_prefix("v2/").unwrap_or(&path) };
    let filled = place.template().and_then(|template| template.fill(&values));
    filled.unwrap_or_else(|| format!("/{path}"))
}
