//! The registry listener's handler: HTTP around [`crate::registry::route`].

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::asking::{BlobAsker, FoundBlob, WaitingRequest};
use super::log::{LogLine, RequestLog};
use super::{Body, Handler, HttpAnswer, HttpResponse, PLAIN, with};
use crate::base::client::Client;
use crate::base::ends::SocketEnds;
use crate::base::prefix::Prefix;
use crate::live::Published;
use crate::registry::known::Holding;
use crate::registry::{
    self, Answer, CanonicalAsk, RegistrySettings, Request, Route, RouteReply, RouteSteering, Status, client_address,
};
use crate::snapshot::{Meter, RegionMeter, Snapshot};
use crate::telemetry::http::Http;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// Answers pull requests.
pub struct Pull {
    published: Arc<Published>,
    settings: Arc<ArcSwap<RegistrySettings>>,
    counters: Arc<Http>,
    asker: Arc<BlobAsker>,
    log: Option<Arc<RequestLog>>,
}

impl Pull {
    /// Answers from the published snapshot with these settings. A reload replaces the settings.
    pub fn new(
        published: Arc<Published>,
        settings: Arc<ArcSwap<RegistrySettings>>,
        counters: Arc<Http>,
        asker: Arc<BlobAsker>,
    ) -> Self {
        Pull { published, settings, counters, asker, log: None }
    }

    /// The same with a request log.
    #[must_use]
    pub(crate) fn with_log(self, log: Arc<RequestLog>) -> Self {
        Pull { log: Some(log), ..self }
    }
}

impl Handler for Pull {
    type Answer = HttpAnswer;
    const RESPONSE_LEN: usize = 2 << 10;

    fn respond(&self, head: &Parts, _: &Body, ends: &SocketEnds) -> HttpAnswer {
        let peer = ends.peer.ip();
        let since = Instant::now();
        let (settings, snapshot) = (self.settings.load(), self.published.load());
        let meter = |reply: &RouteReply| {
            let RouteSteering { horizon, decision, family, .. } = reply.basis.steering?;
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
        let address = client.map_or(peer, |client| client.resolver);
        let (network, until) = (registry::network_of(address), self.asker.deadline());
        let (region, _) = snapshot.regions().of(address);
        let beyond = |reply: &RouteReply| registry::beyond(&request, reply, &settings);
        let line = self.log.as_ref().and_then(|log| {
            let address = client.ok().map(|client| client.resolver);
            Some((log.clone(), log.begin(head, &path, address, &snapshot, since)?))
        });
        let mut running = RunningPull {
            asker: self.asker.clone(),
            counters: self.counters.clone(),
            method: head.method.clone(),
            since,
            region,
            line,
            network,
            until,
        };
        let (reply, is_held) = match registry::route(&request, client, &settings, &snapshot) {
            Route::Reply(reply) => (reply, false),
            Route::Ask(ask) => match self.asker.find(&ask, &snapshot, network, until) {
                FoundBlob::Known(holding) => (ask.settle(holding), holding == Holding::Has),
                FoundBlob::Waiting(waiting) => {
                    let replies = [Holding::Has, Holding::Lacks, Holding::Unsaid].map(|holding| ask.settle(holding));
                    // The replies for `Lacks` and `Unsaid` both lead to canonical, so one question serves both.
                    let (meter, beyond) = (meter(&replies[0]), beyond(&replies[1]));
                    running.note_mirror(&replies[0], &snapshot);
                    let later = running.answer_later(waiting, Box::new(replies), meter, beyond);
                    return HttpAnswer::Later(Box::pin(later));
                }
            },
        };
        running.note_mirror(&reply, &snapshot);
        let (meter, beyond) = (meter(&reply), if is_held { None } else { beyond(&reply) });
        running.answer(reply, meter, beyond)
    }
}

/// The rest of a request. It keeps no reference to the snapshot, because it may wait.
struct RunningPull {
    asker: Arc<BlobAsker>,
    counters: Arc<Http>,
    method: Method,
    since: Instant,
    region: RegionMeter,
    /// The log and the request's line in it; `None` if the request is not logged.
    line: Option<(Arc<RequestLog>, LogLine)>,
    network: Prefix,
    until: tokio::time::Instant,
}

impl RunningPull {
    /// Answers with a reply, after the question to the canonical registry if there is one.
    fn answer(self, reply: RouteReply, meter: Option<Meter>, beyond: Option<CanonicalAsk>) -> HttpAnswer {
        let Some(beyond) = beyond else { return HttpAnswer::Now(self.finish(reply, meter)) };
        match self.asker.find_beyond(&beyond, self.network, self.until) {
            FoundBlob::Known(holding) => HttpAnswer::Now(self.finish(beyond.settle(holding, reply), meter)),
            FoundBlob::Waiting(waiting) => HttpAnswer::Later(Box::pin(async move {
                let reply = beyond.settle(waiting.finish().await, reply);
                self.finish(reply, meter)
            })),
        }
    }

    /// Waits for the mirrors, then asks the canonical registry if no mirror has the blob. `replies` are those for `Has`, `Lacks`
    /// and `Unsaid`.
    async fn answer_later(
        self,
        waiting: WaitingRequest,
        replies: Box<[RouteReply; 3]>,
        meter: Option<Meter>,
        beyond: Option<CanonicalAsk>,
    ) -> HttpResponse {
        let holding = waiting.finish().await;
        let [has, lacks, unsaid] = *replies;
        let reply = match holding {
            Holding::Has => has,
            Holding::Lacks => lacks,
            Holding::Unsaid => unsaid,
        };
        let Some(beyond) = beyond.filter(|_| holding != Holding::Has) else { return self.finish(reply, meter) };
        let holding = match self.asker.find_beyond(&beyond, self.network, self.until) {
            FoundBlob::Known(holding) => holding,
            FoundBlob::Waiting(waiting) => waiting.finish().await,
        };
        self.finish(beyond.settle(holding, reply), meter)
    }

    /// Notes the name of the mirror in the line, because only this snapshot has it.
    fn note_mirror(&mut self, reply: &RouteReply, snapshot: &Snapshot) {
        let mirror = reply.basis.steering.and_then(|steering| steering.mirror);
        if let (Some((_, line)), Some(mirror)) = (&mut self.line, mirror) {
            line.note_mirror(&snapshot.mirrors()[mirror.index()].name);
        }
    }

    fn finish(self, reply: RouteReply, meter: Option<Meter>) -> HttpResponse {
        self.counters.answered(&reply, self.since, self.region, meter);
        if let Some((log, line)) = self.line {
            log.add(line.end(&reply));
        }
        render(reply, &self.method)
    }
}

fn render(reply: RouteReply, method: &Method) -> HttpResponse {
    let status = StatusCode::from_u16(reply.answer.status()).expect("a reply has a status of HTTP: registry::Answer");
    let (kind, body) = match &reply.answer {
        Answer::Version => (Some("application/json"), "{}"),
        Answer::Healthy => (Some(PLAIN), "ok\n"),
        Answer::Redirect(_) | Answer::Methods => (None, ""),
        Answer::Refuse(_, code) => (Some("application/json"), code.body()),
    };
    // HEAD has the `Content-Length` of GET, which hyper would not send for HEAD over HTTP/2.
    let sent = if method == Method::HEAD { "" } else { body };
    let mut response = HttpResponse::new(Full::new(Bytes::from_static(sent.as_bytes())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, body.len().into());
    if let Some(kind) = kind {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    // The URL of a blob does not depend on the client, but the mirror does. A shared cache would send other clients to
    // the same mirror.
    if reply.basis.outcome.is_of_blob() || reply.basis.steering.is_some() {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private"));
    }
    match reply.answer {
        Answer::Version => with(response, API_VERSION, HeaderValue::from_static("registry/2.0")),
        Answer::Redirect(url) => {
            let url = HeaderValue::try_from(url).expect("a location is printable: registry::route, config");
            with(response, LOCATION, url)
        }
        Answer::Refuse(Status::MethodNotAllowed, _) | Answer::Methods => {
            with(response, ALLOW, HeaderValue::from_static("GET, HEAD"))
        }
        Answer::Refuse(..) | Answer::Healthy => response,
    }
}
