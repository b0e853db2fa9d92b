//! Asking a primary: whether there is something newer, and for it.
//!
//! The question for the SOA goes over UDP, and over TCP where that stays without an answer; zones come over TCP, as
//! changes where we have a copy, and whole where there are none to be had.
//!
//! **Invariants**: every wait has an end; with a key, nothing is looked at before its signature holds.
//! **Not here**: when to ask ([`super::schedule`]), making a zone of messages ([`super::inbound`]).

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::inbound::{self, Inbound, Progress, Refusal, Signed};
use crate::base::name::{Name, NameBuf};
use crate::base::rr::Rtype;
use crate::base::tsig::Key;
use crate::process::Clock;
use crate::process::work::{self, Lane};
use crate::wire::MAX_STREAM;
use crate::wire::tsig::{Exchange, VerifyError};
use crate::zone::{Zone, is_newer};

/// How long each attempt over UDP waits: three of them, each a little more patient.
const UDP_WAITS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// How long to wait for a connection, and for each message that comes over it.
const TCP_WAIT: Duration = Duration::from_secs(10);

/// How long a whole transfer may take: a primary that sends an octet now and then must not hold us for ever. A zone of
/// 1 GiB comes in time at 5 Mbit/s.
const TRANSFER_WAIT: Duration = Duration::from_secs(1800);

/// A primary.
#[derive(Clone, Debug)]
pub(super) struct Primary {
    pub(super) address: SocketAddr,
    pub(super) key: Option<Arc<Key>>,
    /// What becomes of the zone if it is signed.
    pub(super) signed: Signed,
}

/// What a primary has.
#[derive(Debug)]
pub(super) enum Fetched {
    /// What we have too.
    UpToDate,
    /// This.
    Zone(Box<Zone>),
}

/// Why a primary could not tell, or not be believed.
#[derive(Debug)]
pub(super) enum FetchError {
    /// The network.
    Io(io::Error),
    /// No answer in time.
    Silent,
    /// Its signature.
    Signature(VerifyError),
    /// What it sent.
    Refused(Refusal),
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FetchError::Io(error) => error.fmt(f),
            FetchError::Silent => f.write_str("no answer in time"),
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

impl From<VerifyError> for FetchError {
    fn from(error: VerifyError) -> Self {
        FetchError::Signature(error)
    }
}

impl From<Refusal> for FetchError {
    fn from(refusal: Refusal) -> Self {
        FetchError::Refused(refusal)
    }
}

/// Fetches a zone, where the primary has one that is newer than what we have.
pub(super) async fn fetch(
    primary: &Primary,
    apex: &NameBuf,
    have: Option<&Arc<Zone>>,
    clock: Clock,
) -> Result<Fetched, FetchError> {
    let Some(have) = have else { return transfer(primary, apex, None, clock).await };
    let serial = ask_serial(primary, apex.as_name(), clock).await?;
    if !is_newer(serial, have.serial()) {
        return Ok(Fetched::UpToDate);
    }
    match transfer(primary, apex, Some(have), clock).await {
        // RFC 1995 §2: who does not know IXFR, or made a mess of it, is asked for all.
        Err(FetchError::Refused(_)) => transfer(primary, apex, None, clock).await,
        other => other,
    }
}

/// An ID that nobody can foresee (RFC 5452 §9.2).
pub(super) fn random_id() -> io::Result<u16> {
    let mut octets = [0; 2];
    SystemRandom::new().fill(&mut octets).map_err(|_| io::Error::other("the system has no random numbers"))?;
    Ok(u16::from_be_bytes(octets))
}

/// A socket for one peer: what comes from elsewhere does not arrive.
pub(super) async fn connected_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = if address.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    Ok(socket)
}

async fn ask_serial(primary: &Primary, apex: Name<'_>, clock: Clock) -> Result<u32, FetchError> {
    let socket = connected_udp(primary.address).await?;
    for wait in UDP_WAITS {
        let id = random_id()?;
        let (query, mut exchange) = signed(inbound::question(apex, Rtype::SOA, id), primary, clock);
        socket.send(&query).await?;
        let mut reply = vec![0; 4096];
        let received = timeout(wait, async {
            loop {
                let len = socket.recv(&mut reply).await?;
                // A reply to an earlier attempt, or a forged one, is not what we wait for.
                if reply[..len].starts_with(&id.to_be_bytes()) {
                    return Ok::<usize, io::Error>(len);
                }
            }
        });
        match received.await {
            Ok(Ok(len)) => {
                verify(exchange.as_mut(), &reply[..len], clock)?;
                match inbound::serial_of(&reply[..len], apex, id) {
                    Err(Refusal::Malformed(_)) => break,
                    serial => return Ok(serial?),
                }
            }
            // Nobody listens there over UDP, or the answer is lost.
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => break,
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => {}
        }
    }
    let id = random_id()?;
    let (query, mut exchange) = signed(inbound::question(apex, Rtype::SOA, id), primary, clock);
    let mut stream = connect(primary, &query).await?;
    let mut reply = Vec::new();
    receive(&mut stream, &mut reply).await?;
    verify(exchange.as_mut(), &reply, clock)?;
    Ok(inbound::serial_of(&reply, apex, id)?)
}

async fn transfer(
    primary: &Primary,
    apex: &NameBuf,
    have: Option<&Arc<Zone>>,
    clock: Clock,
) -> Result<Fetched, FetchError> {
    let id = random_id()?;
    let query = inbound::query(apex.as_name(), have.map(|have| &**have), id);
    let (query, mut exchange) = signed(query, primary, clock);
    let mut inbound = Inbound::new(apex.clone(), have.cloned(), id, primary.signed);
    let all = async {
        let mut stream = connect(primary, &query).await?;
        let mut message = Vec::new();
        loop {
            receive(&mut stream, &mut message).await?;
            verify(exchange.as_mut(), &message, clock)?;
            // A message is quickly read; the last one makes the zone, which takes as long as the zone is large.
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
                Progress::More => continue,
                Progress::UpToDate => Fetched::UpToDate,
                Progress::Zone(zone) => Fetched::Zone(zone),
            };
            if let Some(exchange) = &exchange {
                exchange.finish()?;
            }
            return Ok(fetched);
        }
    };
    timeout(TRANSFER_WAIT, all).await.map_err(|_| FetchError::Silent)?
}

/// A query, signed where the primary has a key.
fn signed(mut query: Vec<u8>, primary: &Primary, clock: Clock) -> (Vec<u8>, Option<Exchange>) {
    let exchange = primary.key.as_ref().map(|key| Exchange::begin(key, &mut query, clock.read().unix));
    (query, exchange)
}

fn verify(exchange: Option<&mut Exchange>, message: &[u8], clock: Clock) -> Result<(), VerifyError> {
    exchange.map_or(Ok(()), |exchange| exchange.verify(message, clock.read().unix))
}

async fn connect(primary: &Primary, query: &[u8]) -> Result<TcpStream, FetchError> {
    let connected = timeout(TCP_WAIT, TcpStream::connect(primary.address)).await;
    let mut stream = connected.map_err(|_| FetchError::Silent)??;
    let framed = [&(query.len() as u16).to_be_bytes(), query].concat();
    timeout(TCP_WAIT, stream.write_all(&framed)).await.map_err(|_| FetchError::Silent)??;
    Ok(stream)
}

/// Receives the next message.
async fn receive(stream: &mut TcpStream, message: &mut Vec<u8>) -> Result<(), FetchError> {
    let received = timeout(TCP_WAIT, async {
        let len = stream.read_u16().await?;
        message.clear();
        message.resize(usize::from(len).min(MAX_STREAM), 0);
        stream.read_exact(message).await
    });
    received.await.map_err(|_| FetchError::Silent)??;
    Ok(())
}
