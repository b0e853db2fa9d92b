//! One connection: the TLS handshake where there is one, then requests until it ends.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::Request;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::paced::{Paced, Progress};
use super::{Body, HANDSHAKE_TIMEOUT, Handler, MAX_HEAD_LEN, MAX_HEADERS, MAX_STREAMS, Response, Shared};
use crate::clients::Place;

/// Streams that a client opens and resets before they are answered (CVE-2023-44487); beyond, the connection ends.
const MAX_RESET_STREAMS: usize = 20;

/// What may wait to be written on one HTTP/2 stream, in octets; responses are below 1 KB.
const MAX_SEND_LEN: usize = 16 * 1024;

/// How often an HTTP/2 connection is asked for a sign of life.
const PING_EVERY: Duration = Duration::from_secs(20);

/// Serves a connection to its end.
pub(super) async fn serve<H: Handler>(
    stream: TcpStream,
    peer: IpAddr,
    place: Option<Arc<Place>>,
    shared: &Arc<Shared<H>>,
) {
    let Some(tls) = &shared.tls else { return serve_requests(stream, peer, place, shared).await };
    let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(tls.config()).accept(stream));
    match shared.stop.run_until_cancelled(handshake).await {
        Some(Ok(Ok(stream))) => serve_requests(stream, peer, place, shared).await,
        Some(_) => shared.counters.handshake_errors.increment(),
        None => {}
    }
}

async fn serve_requests<H, S>(stream: S, peer: IpAddr, place: Option<Arc<Place>>, shared: &Arc<Shared<H>>)
where
    H: Handler,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let progress = Progress::default();
    let touch = move || place.iter().for_each(|place| place.touch());
    touch();
    let service = {
        let (shared, progress) = (shared.clone(), progress.clone());
        service_fn(move |request| {
            touch();
            let (shared, progress) = (shared.clone(), progress.clone());
            async move { Ok::<_, Infallible>(respond(&shared.handler, request, peer, &progress).await) }
        })
    };
    let builder = builder();
    let connection = builder.serve_connection(TokioIo::new(Paced::new(stream, progress)), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        // What has already come is read before the server is found to be stopping: it is in flight.
        biased;
        ended = connection.as_mut() => ended,
        () = shared.stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            // What ends by being told to is no error, whatever it was doing.
            let _ = connection.await;
            Ok(())
        }
    };
    if ended.is_err() {
        shared.counters.connection_errors.increment();
    }
}

async fn respond<H: Handler>(handler: &H, request: Request<Incoming>, peer: IpAddr, progress: &Progress) -> Response {
    let (head, body) = request.into_parts();
    let mut end = Ended::Yes;
    let answer = match handler.body_limit(&head) {
        None => {
            progress.request_read();
            if !body.is_end_stream() {
                end = Ended::No;
            }
            handler.respond(&head, Body::Unread, peer)
        }
        Some(limit) => {
            let read = Limited::new(body, limit).collect().await;
            progress.request_read();
            match read {
                Ok(whole) => handler.respond(&head, Body::Whole(&whole.to_bytes()), peer),
                Err(error) => {
                    end = Ended::No;
                    let too_long = error.is::<LengthLimitError>();
                    handler.respond(&head, if too_long { Body::TooLong } else { Body::Broken }, peer)
                }
            }
        }
    };
    let mut response = answer.into().wait().await;
    // In HTTP/1 the next request could not be found behind a body that is not read to its end.
    if end == Ended::No && head.version <= hyper::Version::HTTP_11 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Whether a request's body has been read to its end.
#[derive(Clone, Copy, PartialEq)]
enum Ended {
    Yes,
    No,
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // The time for a head is kept by [`Paced`]: hyper counts it from the response before, so that it would also be the
    // time for which a connection may be silent.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        // A response is short: to put it together costs less than to tell the system of its parts.
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
        .keep_alive_interval(PING_EVERY);
    builder
}
