//! TSIG: requests that the server verifies, and replies that a secondary verifies.
//!
//! A fuzzer cannot guess a signature, so the targets sign the messages. If the input says so, a target changes a signed
//! message.

use std::sync::Arc;

use pharos::base::ids::KeyId;
use pharos::base::name::NameBuf;
use pharos::base::rr::Rcode;
use pharos::base::time::{Now, UnixTime};
use pharos::base::tsig::Key;
use pharos::transfer::inbound;
use pharos::wire::tsig::{Exchange, TsigVerdict, VerifyError, authenticate};
use pharos::wire::{self, Peer, Transport};

use super::{ADDRESS, NOW, SNAPSHOT, can_be_read, frames, reply};

/// The first bytes of an input: the key, the difference of the clocks, and the byte to change.
pub(super) struct Order<'i> {
    pub(super) key: &'static Arc<Key>,
    pub(super) skew: u64,
    /// The position of the byte to change, and the bits to flip in it; 0 changes nothing.
    pub(super) spoil: (usize, u8),
    rest: &'i [u8],
}

impl<'i> Order<'i> {
    pub(super) fn read(input: &'i [u8]) -> Option<Self> {
        let (&[how, high, low, with], rest) = input.split_first_chunk()?;
        let key = SNAPSHOT.transfers().keys.key(KeyId(u16::from(how % 3)));
        let skew = [0, 300, 301, 100_000][usize::from(how >> 6)];
        Some(Order { key, skew, spoil: (usize::from(u16::from_be_bytes([high, low])), with), rest })
    }

    /// Changes one byte of a message, if the input says so; returns its position.
    pub(super) fn spoil(&self, message: &mut [u8]) -> usize {
        let at = self.spoil.0 % message.len();
        message[at] ^= self.spoil.1;
        at
    }

    /// The request to sign, if there is one.
    pub(super) fn request(&self) -> Option<Vec<u8>> {
        let mut request = Some(self.rest).filter(|rest| rest.len() >= 12 && rest.len() < 60_000)?.to_vec();
        // Our messages have fewer than 256 additional records.
        request[10] = 0;
        Some(request)
    }
}

/// A request that is signed with a key of ours. It may be changed afterwards, or the clocks may differ.
///
/// A client with a key gets a reply whose signature holds, to its last message. A client with a wrong clock gets BADTIME.
pub fn signed_queries(input: &[u8]) {
    let Some(order) = Order::read(input) else { return };
    let Some(request) = order.request() else { return };
    let start = request.len();
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut request = request.clone();
        let mut exchange = Exchange::begin(order.key, &mut request, NOW);
        order.spoil(&mut request);
        let is_signed = order.spoil.1 == 0
            && wire::decode(&request).is_some_and(|query| query.tsig.is_some_and(|at| usize::from(at) == start));
        let server_time = UnixTime(NOW.0 + order.skew);
        if transport == Transport::Tcp && transfer(&request, server_time, is_signed.then_some(&mut exchange)) {
            continue;
        }
        let Some((reply, _)) = reply(&request, transport, server_time) else { continue };
        let verified = exchange.verify(&reply, NOW);
        if is_signed {
            let expected = if order.skew > 300 { Err(VerifyError::Refused(Rcode::BADTIME)) } else { Ok(()) };
            assert_eq!(verified, expected, "{request:02x?} {reply:02x?}");
        }
    }
}

/// The request that [`signed_queries`] makes from an input.
pub(super) fn request(input: &[u8]) -> Option<Vec<u8>> {
    let order = Order::read(input)?;
    let mut request = order.request()?;
    Exchange::begin(order.key, &mut request, NOW);
    order.spoil(&mut request);
    Some(request)
}

/// Takes all messages of a transfer; returns `false` if the request gets no transfer.
fn transfer(request: &[u8], server_time: UnixTime, mut exchange: Option<&mut Exchange>) -> bool {
    let peer = Peer { address: ADDRESS, transport: Transport::Tcp };
    let now = Now { unix: server_time, ..Now::default() };
    let Some(mut transfer) = wire::transfer::begin(request, peer, &SNAPSHOT, now) else { return false };
    let mut out = vec![0; wire::MAX_STREAM];
    let mut messages = 0;
    while let Some(len) = transfer.next(server_time, &mut out) {
        messages += 1;
        assert!(messages < 100, "the zones are small");
        assert!(can_be_read(&out[..len]), "a message cannot be read: {:02x?}", &out[..len]);
        assert_eq!(out[..2], request[..2], "the ID comes back");
        if let Some(exchange) = &mut exchange {
            assert_eq!(exchange.verify(&out[..len], NOW), Ok(()));
        }
    }
    if let Some(exchange) = exchange {
        assert_eq!(exchange.finish(), Ok(()));
    }
    true
}

/// The messages of a reply to a signed request. The flag of each says whether it is signed; the first may be changed.
///
/// If every message is signed and the clocks agree, all signatures are accepted, whatever the messages hold. If a message
/// was changed or the clocks differ by more than five minutes, the reply is refused.
pub fn signed_replies(input: &[u8]) {
    let Some(order) = Order::read(input) else { return };
    let apex = NameBuf::parse("example.net").expect("a name");
    let mut query = inbound::query(apex.as_name(), None, 7);
    let mut exchange = Exchange::begin(order.key, &mut query, NOW);
    let start = wire::decode(&query).expect("a query").tsig;
    let TsigVerdict::Signed(_, mut signer) = authenticate(&query, start, &SNAPSHOT.transfers().keys, NOW) else {
        panic!("our own signature holds")
    };
    let server_time = UnixTime(NOW.0 + order.skew);
    let (mut all_signed, mut verified, mut is_harmless) = (true, Ok(()), true);
    for (number, (is_signed, message)) in frames(order.rest).enumerate() {
        let mut message = message.to_vec();
        if is_signed && message.len() >= 12 {
            // In a message that cannot be read, its contents may hide the signature. Then it counts as unsigned.
            all_signed &= can_be_read(&message) && message[10] == 0;
            message[10] = 0;
            let len = message.len();
            message.resize(len + signer.room(), 0);
            signer.sign(&mut message, len, server_time);
        } else {
            all_signed = false;
        }
        if number == 0 && order.spoil.1 != 0 && !message.is_empty() {
            // The byte may be of the ID, which is compared elsewhere, or change the case of a name in the TSIG record.
            is_harmless = order.spoil(&mut message) < 2 || order.spoil.1 == 0x20;
            all_signed = false;
        }
        verified = exchange.verify(&message, NOW);
        if verified.is_err() {
            break;
        }
    }
    let is_believed = verified.is_ok() && exchange.finish().is_ok();
    if all_signed && order.skew <= 300 {
        assert_eq!(verified, Ok(()));
    }
    assert!(!is_believed || order.skew <= 300, "another time is not believed");
    assert!(!is_believed || is_harmless, "what was changed is not believed");
}
