//! A small resolver and pull client: a query with a client subnet, and an HTTPS request.
//!
//! **Invariants**: names are resolved only by asking the running service; certificates are verified against the roots of
//! the demonstration; each wait has the timeout [`PATIENCE`].
//! **Not here**: the sequence of requests, and the check of their answers ([`super::walk()`]).
//!
//! RFC 7871 §6 (the option), RFC 9110 §15.4.8 (307).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, Query};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, RData, RecordType};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Bytes;
use hyper::header::{HeaderName, LOCATION};
use hyper::{Method, Uri};
use tokio::net::UdpSocket;

use super::DemoFailure;
use crate::base::prefix::Prefix;
use crate::mirror::HttpVersion;
use crate::tls::{DialError, DialStep, Dialer, Roots};

/// The timeout of one step, for a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// The largest body that is read, in bytes: far larger than the bodies of the demonstration.
const MAX_BODY: usize = 1 << 20;

/// A client and its resolver.
#[derive(Clone, Debug)]
pub(super) struct DemoClient {
    /// The address of the DNS listener.
    pub(super) dns: SocketAddr,
    /// The client subnet that the client's resolver sends.
    pub(super) subnet: Prefix,
    /// The client's address, as a proxy in front of the registry listener sends it.
    pub(super) address: IpAddr,
    /// The roots that the client trusts.
    pub(super) roots: Arc<Roots>,
}

/// An answer for addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DemoAnswer {
    pub(super) addresses: Vec<Ipv4Addr>,
    pub(super) ttl: u32,
    /// The scope prefix length; `None` if the answer has no client subnet.
    pub(super) scope: Option<u8>,
}

/// The response to an HTTPS request.
#[derive(Clone, Debug)]
pub(super) struct Got {
    pub(super) status: u16,
    /// The `Location` header; `None` if there is none.
    pub(super) location: Option<String>,
    pub(super) body: Bytes,
    /// The address of the server that sent the response.
    pub(super) from: SocketAddr,
}

impl DemoClient {
    /// Asks for the addresses of a name.
    pub(super) async fn resolve(&self, name: &str) -> Result<DemoAnswer, DemoFailure> {
        let failed = DemoFailure::system("ask the DNS listener");
        tokio::time::timeout(PATIENCE, self.ask(name)).await.map_err(|elapsed| failed(elapsed.into()))?
    }

    async fn ask(&self, name: &str) -> Result<DemoAnswer, DemoFailure> {
        let what = "ask the DNS listener";
        let wrong = |error: &dyn std::fmt::Display| DemoFailure::Unexpected(format!("`{name}`: {error}"));
        let mut message = Message::query();
        let owner = Name::from_ascii(format!("{name}.")).map_err(|error| wrong(&error))?;
        message.add_query(Query::query(owner, RecordType::A));
        let mut edns = Edns::new();
        edns.set_max_payload(1232);
        let (address, source) = (self.subnet.first(), self.subnet.prefix_len());
        edns.options_mut().insert(EdnsOption::Subnet(ClientSubnet::new(address, source, 0)));
        message.edns = Some(edns);
        let query = message.to_vec().map_err(|error| wrong(&error))?;
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(DemoFailure::system(what))?;
        socket.connect(self.dns).await.map_err(DemoFailure::system(what))?;
        socket.send(&query).await.map_err(DemoFailure::system(what))?;
        let mut room = [0; 1232];
        let len = socket.recv(&mut room).await.map_err(DemoFailure::system(what))?;
        let reply = Message::from_vec(&room[..len]).map_err(|error| wrong(&error))?;
        let subnet = reply.edns.as_ref().and_then(|edns| edns.option(EdnsCode::Subnet));
        let addresses = reply.answers.iter().filter_map(|record| match &record.data {
            RData::A(address) => Some(address.0),
            _ => None,
        });
        let answer = DemoAnswer {
            addresses: addresses.collect(),
            ttl: reply.answers.first().map_or(0, |record| record.ttl),
            scope: match subnet {
                Some(EdnsOption::Subnet(subnet)) => Some(subnet.scope_prefix()),
                _ => None,
            },
        };
        if answer.addresses.is_empty() {
            return Err(DemoFailure::Unexpected(format!(
                "no address of `{name}`, but {}",
                reply.metadata.response_code
            )));
        }
        Ok(answer)
    }

    /// Requests a URL, whose host is resolved by the service.
    pub(super) async fn get(&self, url: &str) -> Result<Got, DemoFailure> {
        let failed = DemoFailure::system("wait for a response");
        tokio::time::timeout(PATIENCE, self.request(url)).await.map_err(|elapsed| failed(elapsed.into()))?
    }

    async fn request(&self, url: &str) -> Result<Got, DemoFailure> {
        let wrong = |error: &dyn std::fmt::Display| DemoFailure::Unexpected(format!("`{url}`: {error}"));
        let uri: Uri = url.parse().map_err(|error| wrong(&error))?;
        let host = uri.host().ok_or_else(|| wrong(&"no host"))?;
        let from = SocketAddr::new(self.ask(host).await?.addresses[0].into(), uri.port_u16().unwrap_or(443));
        let dialer = Dialer::new(host.into(), from.port(), self.roots.clone()).map_err(|error| wrong(&error))?;
        let dialed = dialer.dial(HttpVersion::Http1, from.ip(), &mut DialStep::Connect).await;
        let mut dialed = dialed.map_err(|error| match error {
            DialError::Connect(_) | DialError::Own(_) => {
                DemoFailure::system("connect")(std::io::Error::other(error.to_string()))
            }
            _ => wrong(&error),
        })?;
        let client = self.address.to_string();
        let forwarded = (HeaderName::from_static("x-forwarded-for"), &*client);
        let response = dialed.request_with(Method::GET, uri.path(), Some(forwarded), MAX_BODY as u64).await;
        let response = response.map_err(|error| wrong(&error))?;
        let status = response.status().as_u16();
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_string);
        let body = Limited::new(response.into_body(), MAX_BODY).collect().await.map_err(|error| wrong(&error))?;
        Ok(Got { status, location, body: body.to_bytes(), from })
    }
}
