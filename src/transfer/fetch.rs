//! Asking a primary: whether there is something newer, and for it.
//!
//! The question for the SOA goes over UDP, and over TCP where that stays without an answer; zones come over TCP, as
//! changes where we have a copy, and whole where there are none to be had. With a name for TLS all of it goes over one
//! connection of TLS (RFC 9103).
//!
//! **Invariants**: every wait has an end; with a key, nothing is looked at before its signature holds; with a name for TLS,
//! nothing is sent before the certificate is verified; a zone that is older than the copy is taken on demand alone.
//! **Not here**: when to ask ([`super::schedule`]), making a zone of messages ([`super::inbound`]).

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::inbound::{self, Inbound, Signed, TransferProgress, TransferRefusal};
use crate::base::name::{Name, NameBuf};
use crate::base::rr::Rtype;
use crate::base::tsig::Key;
use crate::files;
use crate::process::Clock;
use crate::process::work::{self, Lane};
use crate::tls::{Xot, XotError};
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
    /// How it is held to its name over TLS. `None` asks in the clear.
    pub(super) xot: Option<Arc<Xot>>,
}

/// What is asked of a primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    /// A zone that is newer than the copy, if there is a copy.
    Newer,
    /// The whole zone, whatever its serial.
    Whole,
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
    /// TLS, or its certificate.
    Tls(XotError),
    /// Its signature.
    Signature(VerifyError),
    /// Its zone is older than the copy (RFC 1982).
    Older {
        /// The primary's serial.
        theirs: u32,
        /// The copy's serial.
        ours: u32,
    },
    /// What it sent.
    Refused(TransferRefusal),
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FetchError::Io(error) => f.write_str(&files::words(error)),
            FetchError::Silent => f.write_str("no answer in time"),
            FetchError::Tls(error) => error.fmt(f),
            FetchError::Signature(error) => error.fmt(f),
            FetchError::Older { theirs, ours } => {
                write!(f, "its serial {theirs} is older than serial {ours} of the copy")
            }
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
        match refusal {
            TransferRefusal::Older { theirs, ours } => FetchError::Older { theirs, ours },
            refusal => FetchError::Refused(refusal),
        }
    }
}

/// Fetches a zone, if the primary has one that is newer than the copy, or whatever it has on demand.
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
        // RFC 1995 §2: a primary that does not know IXFR, or made a mess of it, is asked for all.
        Err(FetchError::Refused(_)) => line.transfer(apex, None).await?,
        other => other?,
    };
    match fetched {
        // It may have become older since it told its serial.
        Fetched::Zone(zone) if !is_newer_than(zone.serial(), have)? => Ok(Fetched::UpToDate),
        fetched => Ok(fetched),
    }
}

/// Whether a primary's serial is newer than the copy's; an error if it is older.
fn is_newer_than(theirs: u32, have: &Zone) -> Result<bool, FetchError> {
    let ours = have.serial();
    if is_newer(theirs, ours) || theirs == ours { Ok(theirs != ours) } else { Err(FetchError::Older { theirs, ours }) }
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

/// A connection, with TLS or without.
trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Duplex for S {}

type PrimaryStream = Box<dyn Duplex>;

/// The way to one primary, for the questions of one comparison.
struct PrimaryLine<'p> {
    primary: &'p Primary,
    clock: Clock,
    /// A connection of TLS on which a question has been answered: RFC 9103 §6.3 asks for it to be used again.
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
        let (query, mut exchange) = self.signed(inbound::question(apex, Rtype::SOA, id));
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
            let (query, mut exchange) = self.signed(inbound::question(apex, Rtype::SOA, id));
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
                    self.verify(exchange.as_mut(), &reply[..len])?;
                    return match inbound::serial_of(&reply[..len], apex, id) {
                        Err(TransferRefusal::Malformed(_)) => Ok(None),
                        serial => Ok(Some(serial?)),
                    };
                }
                // Nothing listens there over UDP.
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
        let inbound = Inbound::new(apex.clone(), have.cloned(), id, self.primary.signed);
        let all = self.take(&query, exchange, inbound);
        timeout(TRANSFER_WAIT, all).await.map_err(|_| FetchError::Silent)?
    }

    /// Asks, and takes messages until there is a zone.
    async fn take(
        &mut self,
        query: &[u8],
        mut exchange: Option<Exchange>,
        mut inbound: Inbound,
    ) -> Result<Fetched, FetchError> {
        let (mut stream, mut message) = self.ask(query).await?;
        loop {
            self.verify(exchange.as_mut(), &message)?;
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

    /// A query, signed where the primary has a key.
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
            // The primary may have closed it after its answer, as it may (RFC 7766 §6.2.3).
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

/// Sends a query and waits for the first message that comes.
async fn exchange(stream: &mut PrimaryStream, query: &[u8]) -> Result<Vec<u8>, FetchError> {
    let framed = [&(query.len() as u16).to_be_bytes(), query].concat();
    let sent = async {
        stream.write_all(&framed).await?;
        stream.flush().await
    };
    timeout(TCP_WAIT, sent).await.map_err(|_| FetchError::Silent)??;
    let mut reply = Vec::new();
    receive(stream, &mut reply).await?;
    Ok(reply)
}

/// Receives the next message.
async fn receive(stream: &mut PrimaryStream, message: &mut Vec<u8>) -> Result<(), FetchError> {
    let received = timeout(TCP_WAIT, async {
        let len = stream.read_u16().await?;
        message.clear();
        message.resize(usize::from(len).min(MAX_STREAM), 0);
        stream.read_exact(message).await
    });
    received.await.map_err(|_| FetchError::Silent)??;
    Ok(())
}
