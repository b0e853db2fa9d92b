//! One fetch: the requests for a content, its redirects, its digest, and the content on the disk.
//!
//! **Invariants**: credentials go to the scheme, host and port of the configured URL alone; https never leads to plain http,
//! and a public host never to this machine; at most [`MAX_REDIRECTS`] redirects a request; a content is complete, or it is an
//! error.
//! **Not here**: when to fetch ([`super::schedule`]), the meaning of the content (`load`).

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::time::Duration;

use data_encoding::BASE64;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, HeaderName, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, LAST_MODIFIED, LOCATION, RETRY_AFTER, USER_AGENT,
};
use hyper::{Request, Response, StatusCode};
use url::{Position, Url};

use super::client::FetchClient;
use super::unpack::{disk, unpack};
use super::{on_disk, page};
use crate::config::{FetchConfig, Network, NetworkKind, is_loopback};
use crate::files::{
    self,
    kept::{self, Version},
};
use crate::outgoing::OutgoingError;

/// The most redirects of one request.
const MAX_REDIRECTS: usize = 5;

/// The longest pause within a body.
const STALL: Duration = Duration::from_secs(30);

/// The bytes that are written at once.
const PIECE: usize = 1 << 20;

/// The most bytes of a page, and of the file of a digest.
const MAX_PAGE: u64 = 4 << 20;

/// The reason why a fetch fails.
#[derive(Debug, Default)]
pub(super) struct PublisherError {
    pub(super) why: String,
    /// The pause for which the publisher has asked (RFC 9110 §10.2.3).
    pub(super) retry_after: Option<Duration>,
}

impl From<String> for PublisherError {
    fn from(why: String) -> Self {
        PublisherError { why, retry_after: None }
    }
}

/// A fetch of one source.
pub(super) struct Fetch<'f> {
    pub(super) client: &'f FetchClient,
    pub(super) network: &'f Network,
    pub(super) config: &'f FetchConfig,
    /// The key of the account.
    pub(super) key: Option<&'f str>,
}

/// A content as it was sent.
struct Download {
    file: File,
    version: Version,
}

impl Fetch<'_> {
    /// Fetches the content to the file for downloads. `None` if the publisher has the one with these validators.
    pub(super) async fn run(&self, known: Option<&Version>) -> Result<Option<Version>, PublisherError> {
        let Some(mut download) = self.download(&self.config.url, known).await? else { return Ok(None) };
        if self.network.kind == NetworkKind::Azure {
            let link;
            (download.file, link) = link_of(download.file).await?;
            if let Some(link) = link {
                let page = parse(&self.config.url)?;
                let link = page.join(&link).map_err(|error| format!("the link on the page is no URL: {error}"))?;
                check_step(&page, &link)?;
                let Some(of_link) = self.download(link.as_str(), known).await? else { return Ok(None) };
                download = of_link;
            }
        }
        let expected = self.expected_digest().await?;
        let (path, kind) = (self.network.input.path.clone(), self.network.input.usage.kind());
        let finish = move || {
            let partial = kept::download_path(&path);
            let digest = || files::digest(&partial, kind).map_err(|error| format!("it cannot be read back: {error}"));
            if let Some(expected) = expected
                && digest()? != expected
            {
                return Err("it does not have the digest that the publisher names".to_string());
            }
            unpack(&path, download.file, kind.max_len())?;
            Ok(Version { digest: digest()?, ..download.version })
        };
        Ok(Some(on_disk(finish).await?))
    }

    /// Sends the content of a URL to the file for downloads; `None` if it is the one with these validators.
    async fn download(&self, url: &str, known: Option<&Version>) -> Result<Option<Download>, PublisherError> {
        let has_validator = |known: &Version| known.etag.is_some() || known.last_modified.is_some();
        let known = known.filter(|known| known.url == url && has_validator(known));
        let response = self.get(&parse(url)?, known).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if known.is_some() => return Ok(None),
            StatusCode::NOT_MODIFIED => {
                return Err("the server answered 304 Not Modified to a request without conditions".to_string().into());
            }
            status => {
                let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
                let retry_after = seconds.map(Duration::from_secs);
                return Err(PublisherError { why: format!("the server answered {status}"), retry_after });
            }
        }
        let text = |name: HeaderName| Some(response.headers().get(name)?.to_str().ok()?.to_string());
        match text(CONTENT_ENCODING).as_deref() {
            None | Some("gzip" | "x-gzip" | "identity") => {}
            Some(other) => {
                return Err(format!("the server encodes the content with {other:?}, for which it was not asked").into());
            }
        }
        let (etag, last_modified) = (text(ETAG), text(LAST_MODIFIED));
        let version = Version { digest: String::new(), url: url.to_string(), etag, last_modified };
        let file = self.write(response).await?;
        Ok(Some(Download { file, version }))
    }

    /// Requests a URL, and follows its redirects.
    async fn get(&self, start: &Url, known: Option<&Version>) -> Result<Response<Incoming>, PublisherError> {
        let mut url = start.clone();
        for _ in 0..=MAX_REDIRECTS {
            let host = url.host_str().unwrap_or_default();
            let response = self.client.send(self.request(&url, known)?).await;
            let response = response.map_err(|why| format!("failed to fetch from {host}: {why}"))?;
            if !response.status().is_redirection() || response.status() == StatusCode::NOT_MODIFIED {
                return Ok(response);
            }
            let target = response.headers().get(LOCATION).and_then(|target| target.to_str().ok());
            let target = target.ok_or_else(|| format!("{host} redirects without a target"))?;
            let next = url.join(target).map_err(|error| format!("{host} redirects to an invalid URL: {error}"))?;
            check_step(&url, &next)?;
            url = next;
        }
        Err(format!("it is redirected more than {MAX_REDIRECTS} times").into())
    }

    fn request(&self, url: &Url, known: Option<&Version>) -> Result<Request<Empty<Bytes>>, PublisherError> {
        let encoding = if self.digest_url().is_some() { "identity" } else { "gzip" };
        let mut request = Request::get(&url[..Position::AfterQuery])
            .header(USER_AGENT, concat!("pharos/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT_ENCODING, encoding);
        let conditions = known
            .into_iter()
            .flat_map(|known| [(IF_NONE_MATCH, &known.etag), (IF_MODIFIED_SINCE, &known.last_modified)]);
        for (name, value) in conditions {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        if let (Some((account, _)), Some(key)) = (&self.config.account, self.key)
            && parse(&self.config.url)?.origin() == url.origin()
        {
            let credentials = BASE64.encode(format!("{account}:{key}").as_bytes());
            request = request.header(AUTHORIZATION, format!("Basic {credentials}"));
        }
        Ok(request.body(Empty::new()).map_err(|error| format!("the request cannot be sent: {error}"))?)
    }

    /// Writes a body to the file for downloads.
    async fn write(&self, response: Response<Incoming>) -> Result<File, PublisherError> {
        let max_len = self.network.input.usage.kind().max_len();
        let too_long = || PublisherError::from(format!("the content has more than {} MiB", max_len >> 20));
        let length =
            response.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > max_len) {
            return Err(too_long());
        }
        let path = self.network.input.path.clone();
        let mut file = on_disk(move || kept::begin(&path).map_err(disk)).await?;
        let mut body = response.into_body();
        let (mut piece, mut total) = (Vec::new(), 0u64);
        loop {
            let stalled = |_| format!("the server sent nothing for {} s in the middle of the content", STALL.as_secs());
            let frame = tokio::time::timeout(STALL, body.frame()).await.map_err(stalled)?;
            let is_last = frame.is_none();
            if let Some(frame) = frame {
                let frame =
                    frame.map_err(|error| format!("the content broke off: {}", OutgoingError::of_body(&error)))?;
                piece.extend_from_slice(frame.data_ref().map_or(&[], |bytes| &bytes[..]));
            }
            if is_last || piece.len() >= PIECE {
                total += piece.len() as u64;
                if total > max_len {
                    return Err(too_long());
                }
                let bytes = std::mem::take(&mut piece);
                file = on_disk(move || file.write_all(&bytes).map(|()| file).map_err(disk)).await?;
            }
            if is_last {
                return Ok(file);
            }
        }
    }

    /// The URL of the digest, if the publisher has one.
    fn digest_url(&self) -> Option<String> {
        match &self.config.sha256 {
            Some(url) => Some(url.to_string()),
            None => beside_suffix(&self.config.url),
        }
    }

    /// The digest of the content as it is sent; `None` if the publisher has none.
    async fn expected_digest(&self) -> Result<Option<String>, PublisherError> {
        let Some(url) = self.digest_url() else { return Ok(None) };
        let response = self.get(&parse(&url)?, None).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            status => return Err(format!("for the digest, the server answered {status}").into()),
        }
        let body = Limited::new(response.into_body(), MAX_PAGE as usize).collect();
        let body = tokio::time::timeout(STALL, body).await.map_err(|_| "the digest does not come".to_string())?;
        let body = body.map_err(|error| format!("the digest broke off: {error}"))?.to_bytes();
        match digest_in(&body) {
            Some(digest) => Ok(Some(digest)),
            None => Err("the digest is not in the form of `sha256sum`".to_string().into()),
        }
    }
}

/// The link to a file of service tags, if the content is a page.
async fn link_of(mut file: File) -> Result<(File, Option<String>), PublisherError> {
    let read = move || {
        let mut start = Vec::new();
        file.seek(SeekFrom::Start(0)).and_then(|_| (&file).take(MAX_PAGE).read_to_end(&mut start)).map_err(disk)?;
        if !page::is_page(&start) {
            return Ok((file, None));
        }
        match page::service_tags(&String::from_utf8_lossy(&start)) {
            Some(link) => Ok((file, Some(link))),
            None => Err("the page names no file of service tags; open it, and write the URL of the file".to_string()),
        }
    };
    Ok(on_disk(read).await?)
}

fn parse(url: &str) -> Result<Url, PublisherError> {
    Ok(Url::parse(url).map_err(|error| format!("`{url}` is no URL: {error}"))?)
}

/// Fails if a redirect, or a link, leads where no content may come from.
fn check_step(from: &Url, to: &Url) -> Result<(), PublisherError> {
    let host = from.host_str().unwrap_or_default();
    if is_local(to) && !is_local(from) {
        return Err(format!("{host} redirects to this machine").into());
    }
    match to.scheme() {
        "https" => Ok(()),
        "http" if is_local(to) => Ok(()),
        scheme => Err(format!("{host} redirects to {scheme}, and only https is accepted").into()),
    }
}

fn is_local(url: &Url) -> bool {
    url.host_str().is_some_and(is_loopback)
}

/// The URL with `.sha256` behind the value of `suffix=`. `None` if the query has no such key.
fn beside_suffix(url: &str) -> Option<String> {
    let (start, query) = url.split_once('?')?;
    let is_suffix = |pair: &&str| pair.strip_prefix("suffix=").is_some_and(|value| !value.is_empty());
    query.split('&').find(is_suffix)?;
    let pairs = query.split('&').map(|pair| if is_suffix(&pair) { format!("{pair}.sha256") } else { pair.to_string() });
    Some(format!("{start}?{}", pairs.collect::<Vec<_>>().join("&")))
}

/// The first digest in the output of `sha256sum`, in lower case.
fn digest_in(text: &[u8]) -> Option<String> {
    let word = text.split(u8::is_ascii_whitespace).find(|word| !word.is_empty())?;
    let digest = std::str::from_utf8(word).ok()?.to_ascii_lowercase();
    (digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn a_digest_stands_beside_the_suffix() {
        let download = "https://download.maxmind.com/geoip/databases/GeoLite2-City/download?suffix=tar.gz";
        assert_eq!(beside_suffix(download), Some(format!("{download}.sha256")));
        assert_eq!(
            beside_suffix("https://x.example/?suffix=zip&date=1"),
            Some("https://x.example/?suffix=zip.sha256&date=1".into())
        );
        for without in ["https://x.example/a", "https://x.example/a?b=suffix", "https://x.example/a?suffix="] {
            assert_eq!(beside_suffix(without), None);
        }
        let digest = files::digest_of(b"x");
        assert_eq!(digest_in(format!("{}  GeoLite2.tar.gz\n", digest.to_uppercase()).as_bytes()), Some(digest));
        assert_eq!(digest_in(b"<html>"), None);
    }

    #[test]
    fn a_redirect_leads_to_https_and_never_to_this_machine() {
        for (from, to, is_allowed) in [
            ("https://a.example/x", "https://b.example/", true),
            ("https://a.example/x", "http://a.example/", false),
            ("https://a.example/x", "https://127.0.0.1/", false),
            ("https://a.example/x", "http://[::ffff:127.0.0.1]/", false),
            ("https://a.example/x", "ftp://a.example/", false),
            ("http://127.0.0.1:1/x", "http://localhost:2/", true),
            ("http://127.0.0.1:1/x", "http://a.example/", false),
        ] {
            assert_eq!(check_step(&url(from), &url(to)).is_ok(), is_allowed, "{from} {to}");
        }
        let is_same_origin = |one: &str, other: &str| url(one).origin() == url(other).origin();
        assert!(is_same_origin("https://a.example/x", "https://A.example:443/y"));
        for other in ["https://b.example/x", "https://a.example:444/x", "http://a.example:443/x"] {
            assert!(!is_same_origin("https://a.example/x", other), "{other}");
        }
    }
}
