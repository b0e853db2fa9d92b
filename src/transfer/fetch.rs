//! Queries to a primary: for the serial of a zone, and for the zone.
//!
//! The SOA query is sent over UDP, and over TCP if there is no answer over UDP. Zones are transferred over TCP:
//! incrementally if we have a copy, and whole if we have none or refuse the incremental answer. If the primary has a name
//! for TLS, all queries use TLS (RFC 9103).
//!
//! **Invariants**: every wait has a timeout; with a key, a message is not parsed before its signature is verified; with a
//! name for TLS, no query is sent before the certificate is verified; a zone that is older than the copy is accepted only if
//! an operator demands it.
//! **Not here**: the schedule ([`super::schedule`]), building a zone from messages ([`super::inbound`]).

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::inbound::{self, Inbound, TransferProgress, TransferRefusal};
use crate::base::name::{Name, NameBuf};
use crate::base::rr::Rtype;
use crate::base::tsig::Key;
use crate::files;
use crate::process::Clock;
use crate::process::datagram::{Duplex, connected_udp, random_id, receive_framed, receive_until, send_framed};
use crate::process::work::{self, Lane};
use crate::tls::{Xot, XotError};
use crate::wire::ask::question;
use crate::wire::tsig::{Exchange, VerifyError};
use crate::zone::{SignedZone, Zone, is_newer};

/// The timeouts of the attempts over UDP.
const UDP_WAITS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// The timeout of connecting, and of each message over the connection.
const TCP_WAIT: Duration = Duration::from_secs(10);

/// The timeout of a whole transfer, because a primary could send one byte now and then for ever. A zone of 1 GiB takes
/// less at 5 Mbit/s.
const TRANSFER_WAIT: Duration = Duration::from_secs(1800);

/// A primary.
#[derive(Clone, Debug)]
pub(super) struct Primary {
    pub(super) address: SocketAddr,
    pub(super) key: Option<Arc<Key>>,
    /// The treatment of DNSSEC records.
    pub(super) signed: SignedZone,
    /// TLS with the name that the primary's certificate must have. `None` asks in the clear.
    pub(super) xot: Option<Arc<Xot>>,
}

/// The kind of request to a primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    /// A zone that is newer than the copy, if there is a copy.
    Newer,
    /// The whole zone, whatever its serial.
    Whole,
}

/// The result of a request to a primary.
#[derive(Debug)]
pub(super) enum Fetched {
    /// The primary's zone is our copy.
    UpToDate,
    /// A zone to replace our copy.
    Zone(Box<Zone>),
}

/// The reasons why a request to a primary failed.
#[derive(Debug)]
pub(super) enum FetchError {
    /// A network error.
    Io(io::Error),
    /// No answer in time.
    Silent,
    /// TLS failed, or the certificate was not accepted.
    Tls(XotError),
    /// The signature of a message is wrong.
    Signature(VerifyError),
    /// The zone or its messages were refused.
    Refused(TransferRefusal),
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FetchError::Io(error) => f.write_str(&files::words(error)),
            FetchError::Silent => f.write_str("no answer in time"),
            FetchError::Tls(error) => error.fmt(f),
            FetchError::Signature(error) => error.fmt(f),
            FetchError::Refused(refusal) => refusal.fmt(f),
        }
    }
}

impl From<io::Error> for FetchError {
    fn from(error: io::Error) -> Self {
        FetchError::Io(error)
    }
}

impl From<XotError> for FetchError {
    fn from(error: XotError) -> Self {
        match error {
            XotError::Connect(error) => FetchError::Io(error),
            error => FetchError::Tls(error),
        }
    }
}

impl From<VerifyError> for FetchError {
    fn from(error: VerifyError) -> Self {
        FetchError::Signature(error)
    }
}

impl From<TransferRefusal> for FetchError {
    fn from(refusal: TransferRefusal) -> Self {
        FetchError::Refused(refusal)
    }
}

/// Fetches a zone if the primary's is newer than the copy, or in any case if there is no copy or the whole zone is demanded.
pub(super) async fn fetch(
    primary: &Primary,
    apex: &NameBuf,
    have: Option<&Arc<Zone>>,
    demand: Demand,
    clock: Clock,
) -> Result<Fetched, FetchError> {
    let mut line = PrimaryLine { primary, clock, kept: None };
    let Some(have) = have.filter(|_| demand == Demand::Newer) else { return line.transfer(apex, None).await };
    let serial = line.ask_serial(apex.as_name()).await?;
    if !is_newer_than(serial, have)? {
        return Ok(Fetched::UpToDate);
    }
    let fetched = match line.transfer(apex, Some(have)).await {
        Err(older @ FetchError::Refused(TransferRefusal::Older { .. })) => return Err(older),
        // RFC 1995 §2: if the primary does not support IXFR, or its answer is wrong, ask for the whole zone.
        Err(FetchError::Refused(_)) => line.transfer(apex, None).await?,
        other => other?,
    };
    match fetched {
        // The zone may be older than the answer to the SOA query said.
        Fetched::Zone(zone) if !is_newer_than(zone.serial(), have)? => Ok(Fetched::UpToDate),
        fetched => Ok(fetched),
    }
}

/// Checks whether a primary's serial is newer than the copy's; an error if it is older.
fn is_newer_than(theirs: u32, have: &Zone) -> Result<bool, TransferRefusal> {
    let ours = have.serial();
    let is_older = theirs != ours && !is_newer(theirs, ours);
    if is_older { Err(TransferRefusal::Older { theirs, ours }) } else { Ok(theirs != ours) }
}

type PrimaryStream = Box<dyn Duplex>;

/// The connection to one primary, for the queries of one comparison.
struct PrimaryLine<'p> {
    primary: &'p Primary,
    clock: Clock,
    /// A TLS connection on which a query was answered. The next query reuses it (RFC 9103 §6.3).
    kept: Option<PrimaryStream>,
}

impl PrimaryLine<'_> {
    async fn ask_serial(&mut self, apex: Name<'_>) -> Result<u32, FetchError> {
        if self.primary.xot.is_none()
            && let Some(serial) = self.ask_serial_over_udp(apex).await?
        {
            return Ok(serial);
        }
        let id = random_id()?;
        let (query, mut exchange) = self.signed(question(apex, Rtype::SOA, id));
        let (stream, reply) = self.ask(&query).await?;
        self.verify(exchange.as_mut(), &reply)?;
        if self.primary.xot.is_some() {
            self.kept = Some(stream);
        }
        Ok(inbound::serial_of(&reply, apex, id)?)
    }

    /// `None` if there is no answer over UDP.
    async fn ask_serial_over_udp(&self, apex: Name<'_>) -> Result<Option<u32>, FetchError> {
        let socket = connected_udp(self.primary.address).await?;
        for wait in UDP_WAITS {
            let id = random_id()?;
            let (query, mut exchange) = self.signed(question(apex, Rtype::SOA, id));
            socket.send(&query).await?;
            let received = receive_until(&socket, |reply| reply.starts_with(&id.to_be_bytes()).then(|| reply.to_vec()));
            match timeout(wait, received).await {
                Ok(Ok(reply)) => {
                    self.verify(exchange.as_mut(), &reply)?;
                    return match inbound::serial_of(&reply, apex, id) {
                        Err(TransferRefusal::Malformed(_)) => Ok(None),
                        serial => Ok(Some(serial?)),
                    };
                }
                // The primary has no listener over UDP.
                Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(None),
                Ok(Err(error)) => return Err(error.into()),
                // The query or the answer is lost.
                Err(_) => {}
            }
        }
        Ok(None)
    }

    async fn transfer(&mut self, apex: &NameBuf, have: Option<&Arc<Zone>>) -> Result<Fetched, FetchError> {
        let id = random_id()?;
        let query = inbound::query(apex.as_name(), have.map(|have| &**have), id);
        let (query, exchange) = self.signed(query);
        let inbound = Inbound::new(apex.clone(), have.cloned(), id, (self.primary.signed, Clock::civil()));
        let all = self.take(&query, exchange, inbound);
        timeout(TRANSFER_WAIT, all).await.map_err(|_| FetchError::Silent)?
    }

    /// Sends the query, and takes messages until the transfer is complete.
    async fn take(
        &mut self,
        query: &[u8],
        mut exchange: Option<Exchange>,
        mut inbound: Inbound,
    ) -> Result<Fetched, FetchError> {
        let (mut stream, mut message) = self.ask(query).await?;
        loop {
            self.verify(exchange.as_mut(), &message)?;
            // Off the runtime's threads, because the last message builds the zone: that takes long for a large zone.
            let taken = work::submit(Lane::Compute, {
                let message = std::mem::take(&mut message);
                move || {
                    let progress = inbound.take(&message);
                    (inbound, progress, message)
                }
            });
            let (back, progress, buffer) = taken.await.map_err(io::Error::from)?;
            (inbound, message) = (back, buffer);
            let fetched = match progress? {
                TransferProgress::More => {
                    receive(&mut stream, &mut message).await?;
                    continue;
                }
                TransferProgress::UpToDate => Fetched::UpToDate,
                TransferProgress::Zone(zone) => Fetched::Zone(zone),
            };
            if let Some(exchange) = &exchange {
                exchange.finish()?;
            }
            return Ok(fetched);
        }
    }

    /// Signs a query if the primary has a key.
    fn signed(&self, mut query: Vec<u8>) -> (Vec<u8>, Option<Exchange>) {
        let key = self.primary.key.as_ref();
        let exchange = key.map(|key| Exchange::begin(key, &mut query, self.clock.read().unix));
        (query, exchange)
    }

    fn verify(&self, exchange: Option<&mut Exchange>, message: &[u8]) -> Result<(), VerifyError> {
        exchange.map_or(Ok(()), |exchange| exchange.verify(message, self.clock.read().unix))
    }

    /// Sends a query and waits for its first message, on the connection that was kept or on a new one.
    async fn ask(&mut self, query: &[u8]) -> Result<(PrimaryStream, Vec<u8>), FetchError> {
        if let Some(mut stream) = self.kept.take() {
            // The primary may close the connection after its answer (RFC 7766 §6.2.3); then a new one is opened.
            if let Ok(reply) = exchange(&mut stream, query).await {
                return Ok((stream, reply));
            }
        }
        let mut stream = self.connect().await?;
        let reply = exchange(&mut stream, query).await?;
        Ok((stream, reply))
    }

    async fn connect(&self) -> Result<PrimaryStream, FetchError> {
        let Primary { address, xot, .. } = self.primary;
        let connected = async {
            Ok::<PrimaryStream, FetchError>(match xot {
                Some(xot) => Box::new(xot.dial(*address).await?),
                None => Box::new(TcpStream::connect(address).await?),
            })
        };
        timeout(TCP_WAIT, connected).await.map_err(|_| FetchError::Silent)?
    }
}

/// Sends a query and waits for the first message.
async fn exchange(stream: &mut PrimaryStream, query: &[u8]) -> Result<Vec<u8>, FetchError> {
    timeout(TCP_WAIT, send_framed(stream, query)).await.map_err(|_| FetchError::Silent)??;
    let mut reply = Vec::new();
    receive(stream, &mut reply).await?;
    Ok(reply)
}

/// Receives the next message.
async fn receive(stream: &mut PrimaryStream, message: &mut Vec<u8>) -> Result<(), FetchError> {
    timeout(TCP_WAIT, receive_framed(stream, message)).await.map_err(|_| FetchError::Silent)??;
    Ok(())
}
