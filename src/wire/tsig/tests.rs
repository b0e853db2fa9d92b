use super::*;
use crate::base::tsig::Algorithm;

/// A query for the SOA of `example`, ID 0x1234.
const QUERY: &str = "123400000001000000000000076578616d706c650000060001";
/// The signature of it at [`AT`] with the secret of bytes 0 to 31; then that of its reply, and of the reply's second
/// message. Made with Python's hmac from the layout in RFC 8945 §4.3.
const MAC: &str = "baa062781656456f760ac522c1b4b26d377ef801bce4ee3dba8e820e07c25392";
const REPLY_MAC: &str = "c9f172573b35f2c0c627cfc8cf0d219229e31a6854c159a7156e47081c5c5241";
const SECOND_MAC: &str = "133a0c87363c1dad5d545e6dffcba860482125dba617262d85b0ee9a5786adf8";
/// The signature of its refusal at [`AT`] + 1000 s.
const BADTIME_MAC: &str = "73ffeb515c02c03f3ac8ed05e92a065e1d4d0a2ab9202cc8173e5ca812508cbf";
const AT: UnixTime = UnixTime(1_700_000_000);

fn octets(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn key(algorithm: Algorithm) -> Arc<Key> {
    let secret: Vec<u8> = (0..32).collect();
    Arc::new(Key::new(NameBuf::parse("Transfer.Example").unwrap().as_name(), algorithm, &secret).unwrap())
}

fn keys() -> Keys {
    Keys::new(vec![Key::clone(&key(Algorithm::HmacSha256))])
}

/// The signed query, and the offset of its signature.
fn signed(at: UnixTime) -> (Vec<u8>, Exchange, u16) {
    let mut query = octets(QUERY);
    let start = query.len() as u16;
    let exchange = Exchange::begin(&key(Algorithm::HmacSha256), &mut query, at);
    (query, exchange, start)
}

fn reply() -> Vec<u8> {
    let mut reply = octets(QUERY);
    reply[2] = 0x84;
    reply
}

fn finish(verdict: &mut TsigVerdict, mut reply: Vec<u8>, now: UnixTime) -> Vec<u8> {
    let len = reply.len();
    reply.resize(len + verdict.room(), 0);
    let end = verdict.finish(&mut reply, len, now);
    assert_eq!(end, reply.len(), "as much room as was asked for");
    reply
}

fn refusal(verdict: TsigVerdict) -> Rcode {
    match verdict {
        TsigVerdict::Refused(refusal) => refusal.error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn signatures_are_those_of_the_rfc() {
    let (query, mut exchange, start) = signed(AT);
    assert_eq!(&query[query.len() - 38..query.len() - 6], octets(MAC));
    let mut verdict = authenticate(&query, Some(start), &keys(), AT);
    let first = finish(&mut verdict, reply(), AT);
    assert_eq!(&first[first.len() - 38..first.len() - 6], octets(REPLY_MAC));
    let second = finish(&mut verdict, reply(), AT);
    assert_eq!(&second[second.len() - 38..second.len() - 6], octets(SECOND_MAC));
    assert_eq!(exchange.verify(&first, AT), Ok(()));
    assert_eq!(exchange.verify(&second, AT), Ok(()));
    assert_eq!(exchange.finish(), Ok(()));
}

#[test]
fn every_algorithm_signs_and_verifies() {
    for algorithm in crate::base::tsig::Algorithm::ALL {
        let (key, mut query) = (key(algorithm), octets(QUERY));
        let start = query.len() as u16;
        let mut exchange = Exchange::begin(&key, &mut query, AT);
        let mut verdict = authenticate(&query, Some(start), &Keys::new(vec![Key::clone(&key)]), AT);
        assert!(matches!(verdict, TsigVerdict::Signed(KeyId(0), _)));
        assert_eq!(exchange.verify(&finish(&mut verdict, reply(), AT), AT), Ok(()));
    }
}

#[test]
fn s5_2_1_a_key_that_is_not_known_is_badkey() {
    let (query, mut exchange, start) = signed(AT);
    let mut verdict = authenticate(&query, Some(start), &Keys::default(), AT);
    let reply = finish(&mut verdict, reply(), AT);
    assert_eq!(refusal(verdict), Rcode::BADKEY);
    assert_eq!(exchange.verify(&reply, AT), Err(VerifyError::Refused(Rcode::BADKEY)));
}

#[test]
fn s5_2_2_a_changed_message_is_badsig() {
    let (mut query, mut exchange, start) = signed(AT);
    query[3] ^= 0x10;
    let mut verdict = authenticate(&query, Some(start), &keys(), AT);
    let reply = finish(&mut verdict, reply(), AT);
    assert_eq!(refusal(verdict), Rcode::BADSIG);
    // §5.3.2: the MAC is empty.
    assert_eq!(exchange.verify(&reply, AT), Err(VerifyError::Refused(Rcode::BADSIG)));
}

#[test]
fn s5_2_3_another_time_is_badtime_signed_with_the_servers_time() {
    let (query, mut exchange, start) = signed(AT);
    let now = UnixTime(AT.0 + 1000);
    let mut verdict = authenticate(&query, Some(start), &keys(), now);
    let mut refused = reply();
    (refused[2], refused[3]) = (0x84, 9);
    let reply = finish(&mut verdict, refused, now);
    assert_eq!(refusal(verdict), Rcode::BADTIME);
    assert_eq!(&reply[reply.len() - 44..reply.len() - 12], octets(BADTIME_MAC));
    assert_eq!(reply[reply.len() - 6..], now.0.to_be_bytes()[2..]);
    assert_eq!(exchange.verify(&reply, AT), Err(VerifyError::Refused(Rcode::BADTIME)));
    for (differs, holds) in [(300, true), (301, false)] {
        let now = UnixTime(AT.0 - differs);
        assert_eq!(
            matches!(authenticate(&query, Some(start), &keys(), now), TsigVerdict::Signed(..)),
            holds,
            "{differs}"
        );
    }
}

#[test]
fn s5_2_2_1_a_truncated_signature_is_no_signature_or_badtrunc() {
    let (query, _, start) = signed(AT);
    let with_mac = |len: usize| {
        let mac_at = query.len() - 38;
        let mut cut = [&query[..mac_at - 2], &(len as u16).to_be_bytes()].concat();
        cut.extend_from_slice(&[&query[mac_at..mac_at + 32], &[0; 8][..]].concat()[..len]);
        cut.extend_from_slice(&query[mac_at + 32..]);
        let rdlen_at = usize::from(start) + 18 + 8;
        let rdlen = u16::from_be_bytes([query[rdlen_at], query[rdlen_at + 1]]) + len as u16 - 32;
        cut[rdlen_at..rdlen_at + 2].copy_from_slice(&rdlen.to_be_bytes());
        authenticate(&cut, Some(start), &keys(), AT)
    };
    assert_eq!(refusal(with_mac(16)), Rcode::BADTRUNC);
    assert!(matches!(with_mac(32), TsigVerdict::Signed(..)));
    assert!(matches!(with_mac(15), TsigVerdict::Malformed));
    assert!(matches!(with_mac(33), TsigVerdict::Malformed));
}

#[test]
fn every_cut_of_a_signed_message_is_malformed() {
    let (query, _, start) = signed(AT);
    for len in usize::from(start)..query.len() {
        let verdict = authenticate(&query[..len], Some(start), &keys(), AT);
        assert!(matches!(verdict, TsigVerdict::Malformed), "{len}");
    }
    let mut longer = query.clone();
    longer.push(0);
    assert!(matches!(authenticate(&longer, Some(start), &keys(), AT), TsigVerdict::Malformed));
}

#[test]
fn s5_3_1_a_long_reply_may_leave_messages_unsigned_but_not_the_first_nor_the_last() {
    let (query, mut exchange, start) = signed(AT);
    assert_eq!(exchange.verify(&reply(), AT), Err(VerifyError::Unsigned));
    let mut verdict = authenticate(&query, Some(start), &keys(), AT);
    let first = finish(&mut verdict, reply(), AT);
    assert_eq!(exchange.verify(&first, AT), Ok(()));
    for _ in 0..99 {
        assert_eq!(exchange.verify(&reply(), AT), Ok(()));
    }
    assert_eq!(exchange.finish(), Err(VerifyError::Unsigned));
    assert_eq!(exchange.verify(&reply(), AT), Err(VerifyError::Unsigned));
}

#[test]
fn a_reply_that_was_tampered_with_is_not_believed() {
    let (query, _, start) = signed(AT);
    let mut verdict = authenticate(&query, Some(start), &keys(), AT);
    let reply = finish(&mut verdict, reply(), AT);
    for at in 2..reply.len() {
        let mut changed = reply.clone();
        changed[at] ^= 1;
        let (_, mut exchange, _) = signed(AT);
        assert!(exchange.verify(&changed, AT).is_err(), "octet {at}");
    }
    let (_, mut exchange, _) = signed(AT);
    assert_eq!(exchange.verify(&reply, UnixTime(AT.0 + 400)), Err(VerifyError::BadTime));
}

#[test]
fn names_of_unknown_keys_are_repeated_only_where_they_fit() {
    let long = Name::from_wire(&[&[63; 1][..], &[b'x'; 63], &[63], &[b'y'; 63], &[30], &[b'z'; 30], &[0]].concat())
        .unwrap()
        .to_owned();
    let mut query = octets(QUERY);
    let start = query.len() as u16;
    let fields = TsigFields {
        name: long.as_name(),
        algorithm: Algorithm::HmacSha256.name(),
        time: AT,
        fudge: FUDGE,
        error: Rcode::NOERROR,
        other: &[],
    };
    let len = query.len();
    query.resize(len + 300, 0);
    let end = fields.append(&mut query, len, &[7; 32]);
    let mut verdict = authenticate(&query[..end], Some(start), &keys(), AT);
    assert_eq!(verdict.room(), 0);
    assert_eq!(finish(&mut verdict, reply(), AT), reply());
}
