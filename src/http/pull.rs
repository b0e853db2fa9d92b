//! The registry listener's handler: HTTP around [`crate::registry::route`].

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::asking::{Asker, Found};
use super::{Answer as Said, Body, Handler, Response};
use crate::base::client::Client;
use crate::base::time::Moment;
use crate::live::Published;
use crate::registry::known::Holding;
use crate::registry::{self, Answer, Reply, Request, Route, Settings, Status, Steering, client_address};
use crate::telemetry::http::Http;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// Answers pull requests; `C` tells the moment it is.
pub struct Pull<C> {
    published: Arc<Published>,
    settings: Arc<ArcSwap<Settings>>,
    clock: C,
    counters: Arc<Http>,
    asker: Arc<Asker>,
}

impl<C> Pull<C> {
    /// Answers from what is published, by these settings; whoever holds them may replace them.
    pub fn new(
        published: Arc<Published>,
        settings: Arc<ArcSwap<Settings>>,
        clock: C,
        counters: Arc<Http>,
        asker: Arc<Asker>,
    ) -> Self {
        Pull { published, settings, clock, counters, asker }
    }
}

impl<C: Fn() -> Moment + Send + Sync + 'static> Handler for Pull<C> {
    type Answer = Said;
    const RESPONSE_LEN: usize = 2 << 10;

    fn respond(&self, head: &Parts, _: Body<'_>, peer: IpAddr) -> Said {
        let since = Instant::now();
        let (settings, snapshot) = (self.settings.load(), self.published.load());
        let meter = |reply: &Reply| {
            let Steering { horizon, decision, family, .. } = reply.basis.steering?;
            snapshot.meter(horizon, decision.plan, family)
        };
        let method = match head.method {
            Method::GET | Method::HEAD => registry::Method::Read,
            Method::OPTIONS => registry::Method::Options,
            _ => registry::Method::Other,
        };
        let forwarded = head.headers.get_all(FORWARDED_FOR).iter().map(HeaderValue::as_bytes);
        let client = client_address(peer, forwarded, &settings.trusted_proxies)
            .map(|address| Client { resolver: address, subnet: None });
        let path = registry::plain(head.uri.path());
        let request = Request { method, path: &path, query: head.uri.query() };
        let reply = match registry::route(&request, client, &settings, &snapshot, (self.clock)()) {
            Route::Reply(reply) => reply,
            Route::Ask(ask) => match self.asker.find(&ask, &snapshot) {
                Found::Known(holding) => ask.settle(holding),
                Found::Waiting(waiting) => {
                    let replies = [Holding::Has, Holding::Lacks, Holding::Unsaid].map(|holding| ask.settle(holding));
                    let meter = meter(&replies[0]);
                    let (counters, method) = (self.counters.clone(), head.method.clone());
                    // Nothing of the snapshot is kept while waiting.
                    return Said::Later(Box::pin(async move {
                        let holding = waiting.finish().await;
                        let [has, lacks, unsaid] = replies;
                        let reply = match holding {
                            Holding::Has => has,
                            Holding::Lacks => lacks,
                            Holding::Unsaid => unsaid,
                        };
                        counters.answered(&reply, since, meter);
                        render(reply, &method)
                    }));
                }
            },
        };
        self.counters.answered(&reply, since, meter(&reply));
        Said::Now(render(reply, &head.method))
    }
}

fn render(reply: Reply, method: &Method) -> Response {
    let status = StatusCode::from_u16(reply.answer.status()).expect("a reply has a status of HTTP: registry::Answer");
    let body = match &reply.answer {
        Answer::Version => "{}",
        Answer::Healthy => "ok\n",
        Answer::Redirect(_) | Answer::Methods => "",
        Answer::Refuse(_, code) => code.body(),
    };
    // The length that GET has; HTTP/2 would otherwise not say it for HEAD.
    let sent = if method == Method::HEAD { "" } else { body };
    let mut response = Response::new(Full::new(Bytes::from_static(sent.as_bytes())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, body.len().into());
    let kind = match &reply.answer {
        Answer::Version | Answer::Refuse(..) => Some("application/json"),
        Answer::Healthy => Some("text/plain; charset=utf-8"),
        Answer::Redirect(_) | Answer::Methods => None,
    };
    if let Some(kind) = kind {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    // The URL of a blob does not show whose mirror it was sent to: a shared cache would send other clients there too.
    if reply.basis.outcome.is_of_blob() {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private"));
    }
    match reply.answer {
        Answer::Version => {
            headers.insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
        }
        Answer::Redirect(url) => {
            let url = HeaderValue::try_from(url).expect("a location is printable: registry::route, config");
            headers.insert(LOCATION, url);
        }
        Answer::Refuse(Status::MethodNotAllowed, _) | Answer::Methods => {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        Answer::Refuse(..) | Answer::Healthy => {}
    }
    response
}
