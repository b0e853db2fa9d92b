//! One connection, and its requests until it ends.
//!
//! **Invariants**: a response has room in the connection's budget before it is made, and keeps it until its last byte is
//! written; a stream of HTTP/2 ends within [`STREAM_TIMEOUT`], whatever the other streams do.
//! **Not here**: accepting, TLS and limits ([`crate::listen`]).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::http::request::Parts;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::host;
use super::paced::{Paced, RequestProgress};
use super::{Body, Handler, HttpResponse, HttpServer, MAX_HEAD_LEN, MAX_HEADERS, MAX_STREAMS, plain_text};
use crate::base::ends::SocketEnds;
use crate::listen::{Closed, ConnectionPlace};

/// The most streams that a client may open and reset before the answer (CVE-2023-44487). Beyond it, the connection ends.
const MAX_RESET_STREAMS: usize = 20;

/// The most bytes that wait to be written on one HTTP/2 stream, besides its response. Most responses are below 1 KB.
const MAX_SEND_LEN: usize = 16 * 1024;

/// The interval between PING frames on an HTTP/2 connection.
const PING_EVERY: Duration = Duration::from_secs(20);

/// The longest time of one HTTP/2 stream, from its head to the last byte of its response: the request, a mirror's answer
/// and the response one after the other. The deadlines of the connection do not suffice, because other streams make
/// progress.
const STREAM_TIMEOUT: Duration = Duration::from_secs(25);

/// The HTTP/2 receive windows of a stream and of a connection, in bytes. A body that a handler reads is at most 8 KB. The
/// second value is the initial one of RFC 9113 §6.9.2, which can only be increased.
const RECEIVE_WINDOWS: [u32; 2] = [16 << 10, 65_535];

/// Serves a connection to its end.
pub(super) async fn serve<H, S>(
    stream: S,
    ends: SocketEnds,
    place: Arc<ConnectionPlace>,
    server: &Arc<HttpServer<H>>,
    stop: &CancellationToken,
) -> Closed
where
    H: Handler,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let progress = RequestProgress::default();
    let service = {
        let (server, progress, place) = (server.clone(), progress.clone(), place.clone());
        service_fn(move |request| {
            let (server, progress, place) = (server.clone(), progress.clone(), place.clone());
            async move { Ok::<_, Infallible>(respond(&*server, request, &ends, &place, &progress).await) }
        })
    };
    let builder = builder();
    let connection = builder.serve_connection(TokioIo::new(Paced::new(stream, place, progress)), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        // Requests that have arrived are in flight, so the connection is polled before `stop`.
        biased;
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            // A connection that ends because of a stop is not counted as an error.
            let _ = connection.await;
            return Closed::Stop;
        }
    };
    if ended.is_ok() { Closed::Client } else { Closed::Violation }
}

async fn respond<H: Handler>(
    HttpServer { handler, counters }: &HttpServer<H>,
    request: Request<Incoming>,
    ends: &SocketEnds,
    place: &Arc<ConnectionPlace>,
    progress: &RequestProgress,
) -> HttpResponse {
    place.touch();
    let (head, body) = request.into_parts();
    let version = head.version;
    if host::authority(&head).is_err() {
        progress.request_read();
        counters.host_errors.increment();
        let text = "a request names one host, in one `Host` header\n";
        let mut response = plain_text(&head.method, StatusCode::BAD_REQUEST, text);
        // A proxy in front may parse the following bytes as another request.
        close_after(&mut response, version);
        return response;
    }
    let (body, is_read) = read_body(handler, &head, body).await;
    progress.request_read();
    let room = match place.try_room(H::RESPONSE_LEN) {
        Some(room) => room,
        // Only other responses on this connection use its budget, so the client must read those first.
        None => {
            let body_len = if let Body::Whole(body) = &body { body.len() } else { 0 };
            place.room(H::RESPONSE_LEN, head_len(&head) + body_len).await
        }
    };
    let answer = handler.respond(&head, &body, ends);
    // A response may take time. No part of the request is kept meanwhile.
    drop((head, body));
    let mut response = answer.into().wait().await.map(|body| {
        let bytes = body.into_inner().unwrap_or_default();
        Full::new(room.fill(bytes.len()).guard(bytes))
    });
    // In HTTP/1, the next request cannot be found after a body that is not read to its end.
    if !is_read {
        close_after(&mut response, version);
    }
    place.touch();
    response
}

/// Ends a connection of HTTP/1 after a response.
fn close_after(response: &mut HttpResponse, version: hyper::Version) {
    if version <= hyper::Version::HTTP_11 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// The body of a request if the handler reads it, with `true` if nothing of it is left unread.
async fn read_body<H: Handler>(handler: &H, head: &Parts, body: Incoming) -> (Body, bool) {
    let Some(limit) = handler.body_limit(head) else { return (Body::Unread, body.is_end_stream()) };
    match Limited::new(body, limit).collect().await {
        Ok(whole) => (Body::Whole(whole.to_bytes()), true),
        Err(error) if error.is::<LengthLimitError>() => (Body::TooLong, false),
        Err(_) => (Body::Broken, false),
    }
}

/// The approximate memory of a request's head, in bytes.
fn head_len(head: &Parts) -> usize {
    let fields = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    head.uri.path().len() + head.uri.query().map_or(0, str::len) + fields.sum::<usize>()
}

/// Runs HTTP/2 streams with a timeout. A stream that is dropped is reset.
#[derive(Clone)]
struct Http2Streams;

impl<F> Executor<F> for Http2Streams
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, stream: F) {
        tokio::spawn(tokio::time::timeout(STREAM_TIMEOUT, stream));
    }
}

fn builder() -> auto::Builder<Http2Streams> {
    let mut builder = auto::Builder::new(Http2Streams);
    // [`Paced`] limits the time for a head. hyper's timeout starts at the previous response, so it would also limit the
    // time for which a connection may be silent.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        // A response is short, so copying its parts together costs less than a vectored write.
        .writev(false)
        .max_buf_size(MAX_HEAD_LEN)
        .max_headers(MAX_HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HEAD_LEN as u32)
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_RESET_STREAMS)
        .max_local_error_reset_streams(MAX_RESET_STREAMS)
        .max_send_buf_size(MAX_SEND_LEN)
        .initial_stream_window_size(RECEIVE_WINDOWS[0])
        .initial_connection_window_size(RECEIVE_WINDOWS[1])
        .keep_alive_interval(PING_EVERY);
    builder
}
