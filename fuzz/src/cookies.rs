//! DNS cookies: those that a client may send, and the one that the server gives it.

use pharos::base::rr::Rcode;
use pharos::base::time::UnixTime;
use pharos::wire::{Cookie, Transport};

use super::{NOW, reply};

/// Sends a query with a cookie. The cookie of the reply is sent back at another time, as it is and with one bit changed.
///
/// The input: seconds between both as a signed number of four bytes, the bit, and the cookie.
pub fn cookies(input: &[u8]) {
    let Some((&[a, b, c, d, bit], cookie)) = input.split_first_chunk() else { return };
    if cookie.len() > 1000 {
        return;
    }
    let (given, summary) = reply(&query(cookie), Transport::Udp, NOW).expect("a query gets a reply");
    if !matches!(cookie.len(), 8 | 16..=40) {
        assert_eq!((summary.rcode, summary.cookie), (Rcode::FORMERR, Cookie::None));
        return;
    }
    assert_eq!(summary.rcode, Rcode::NOERROR, "a cookie that does not hold is no reason not to answer");
    let expected = if cookie.len() == 8 { [Cookie::ClientOnly].as_slice() } else { &[Cookie::Invalid, Cookie::Valid] };
    assert!(expected.contains(&summary.cookie), "{:?}", summary.cookie);
    // It is the last option.
    let (before, own) = given.split_last_chunk::<24>().expect("a reply has more octets");
    assert!(before.ends_with(&[0, 10, 0, 24]), "a cookie comes back");
    assert_eq!(own[..8], cookie[..8], "the client's part comes back");

    let elapsed = i64::from(i32::from_be_bytes([a, b, c, d]));
    let then = UnixTime(NOW.0.saturating_add_signed(elapsed));
    let state = |cookie: &[u8]| reply(&query(cookie), Transport::Udp, then).expect("a query gets a reply").1.cookie;
    // RFC 9018 §4.3: a server that shares the secret may be five minutes ahead. The cookie of the input may be some minutes
    // old itself.
    let made = i64::from(u32::from_be_bytes([own[12], own[13], own[14], own[15]]));
    let age = then.0 as i64 - made;
    let expected = if (-300..=3600).contains(&age) { Cookie::Valid } else { Cookie::Invalid };
    assert_eq!(state(own), expected, "{age} seconds later");
    let mut changed = own.to_vec();
    changed[usize::from(bit / 8) % 24] ^= 1 << (bit % 8);
    assert_eq!(state(&changed), Cookie::Invalid, "bit {bit} is part of it");
}

/// A question with a cookie.
pub(super) fn query(cookie: &[u8]) -> Vec<u8> {
    let mut message = b"\x12\x34\0\0\0\x01\0\0\0\0\0\x01\x03www\x07example\x03net\0\0\x01\0\x01".to_vec();
    message.extend_from_slice(b"\0\0\x29\x04\xd0\0\0\0\0");
    message.extend_from_slice(&(cookie.len() as u16 + 4).to_be_bytes());
    message.extend_from_slice(b"\0\x0a");
    message.extend_from_slice(&(cookie.len() as u16).to_be_bytes());
    message.extend_from_slice(cookie);
    message
}
