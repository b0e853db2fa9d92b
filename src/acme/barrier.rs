//! The barrier before the reply to a client: a server is asked for a token over DNS, as a certificate authority will ask it.
//!
//! **Invariants**: no question outlasts the deadline; a server that has answered without a token once, and not with it later,
//! is no silent one.
//! **Not here**: the time for all peers, their states ([`super::peers`]).

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::base::name::NameBuf;
use crate::base::rr::Rtype;
use crate::challenge::ChallengeToken;
use crate::process::datagram::{connected_udp, random_id, receive_framed, receive_until, send_framed};
use crate::wire::ask::question;
use crate::wire::update::{AnsweredTokens, answered_tokens};

/// The time between two questions to a peer that does not have a token yet.
const ASK_EVERY: Duration = Duration::from_millis(25);

/// The timeout of one question, which may be lost.
const ASK_WAIT: Duration = Duration::from_millis(300);

/// The state of a peer as a client of it sees it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Observed {
    /// It answers with the tokens.
    Has,
    /// It answers without a token.
    Lacks,
    /// It has no answer.
    Silent,
}

/// Asks a server for tokens until it answers with all of these, until the deadline.
pub(super) async fn observe(address: SocketAddr, tokens: &[(NameBuf, ChallengeToken)], deadline: Instant) -> Observed {
    for owner in tokens.iter().map(|(owner, _)| owner).collect::<BTreeSet<_>>() {
        let wanted: Vec<_> = tokens.iter().filter(|(other, _)| other == owner).map(|(_, token)| *token).collect();
        let observed = observe_owner(address, owner, &wanted, deadline).await;
        if observed != Observed::Has {
            return observed;
        }
    }
    Observed::Has
}

/// Asks for the tokens at an owner until the answer has all that are wanted, until the deadline.
async fn observe_owner(address: SocketAddr, owner: &NameBuf, wanted: &[ChallengeToken], deadline: Instant) -> Observed {
    let mut observed = Observed::Silent;
    loop {
        match timeout_at(deadline, ask(address, owner)).await {
            Ok(Ok(AnsweredTokens::All(tokens))) if wanted.iter().all(|token| tokens.contains(token)) => {
                return Observed::Has;
            }
            Ok(Ok(AnsweredTokens::All(_) | AnsweredTokens::Truncated)) => observed = Observed::Lacks,
            Ok(Ok(AnsweredTokens::NoAnswer(_)) | Err(_)) => {}
            Err(_) => return observed,
        }
        if timeout_at(deadline, sleep(ASK_EVERY)).await.is_err() {
            return observed;
        }
    }
}

/// Asks once for the tokens at an owner, over UDP, and over TCP if the answer is too long.
async fn ask(address: SocketAddr, owner: &NameBuf) -> io::Result<AnsweredTokens> {
    let query = question(owner.as_name(), Rtype::TXT, random_id()?);
    let asked = async {
        let socket = connected_udp(address).await?;
        socket.send(&query).await?;
        receive_until(&socket, |reply| answered_tokens(&query, reply)).await
    };
    let answer = timeout(ASK_WAIT, asked).await??;
    if answer != AnsweredTokens::Truncated {
        return Ok(answer);
    }
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        ask_over_tcp(&mut stream, &query).await
    };
    let reply = timeout(ASK_WAIT, asked).await??;
    answered_tokens(&query, &reply).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Sends a message and receives one.
pub(super) async fn ask_over_tcp(stream: &mut TcpStream, message: &[u8]) -> io::Result<Vec<u8>> {
    send_framed(stream, message).await?;
    let mut reply = Vec::new();
    receive_framed(stream, &mut reply).await?;
    Ok(reply)
}
