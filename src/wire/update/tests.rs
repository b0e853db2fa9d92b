//! Updates as ACME clients send these, and everything that is refused.

use std::net::Ipv4Addr;
use std::sync::LazyLock;

use super::*;
use crate::base::ids::MirrorId;
use crate::base::time::{Generation, Ttl, UnixTime};
use crate::base::tsig::{Algorithm, Key, Keys};
use crate::challenge::{ChallengeStore, Challenges};
use crate::snapshot::{Change, Compiled, Transfers};
use crate::wire::tsig::{Exchange, VerifyError};
use crate::wire::{Silence, decode as decode_message, respond, respond_or_defer};
use crate::zone::{Steered, ZoneBuilder, ZoneSet};

const NOW: UnixTime = UnixTime(1_700_000_000);
const SHARED: &str = "_acme-challenge.blob.example";
const OWN: &str = "_acme-challenge.one.blob.example";
/// The position of a key that is no credential.
const TRANSFER_KEY: u16 = 2;
/// The position of the key of another server.
const PEER_KEY: u16 = 3;

fn name(text: &str) -> NameBuf {
    NameBuf::parse(text).unwrap()
}

fn token(number: u8) -> ChallengeToken {
    ChallengeToken::parse(format!("{number:043}").as_bytes()).unwrap()
}

fn key(number: u16) -> Arc<Key> {
    let name = name(&format!("key{number}.example"));
    Arc::new(Key::new(name.as_name(), Algorithm::HmacSha256, &[number as u8; 32]).unwrap())
}

/// A zone with a steered apex, and two credentials: the first may set tokens at both owners from one network, the second at the
/// shared owner from everywhere. The second has set token 9.
static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(|| {
    let soa = [&[0, 0][..], &[7u32, 3600, 600, 86400, 60].map(u32::to_be_bytes).concat()].concat();
    let mut builder = ZoneBuilder::new(name("blob.example"));
    for (owner, rtype, rdata) in [
        ("blob.example", Rtype::SOA, soa.as_slice()),
        ("blob.example", Rtype::NS, b"\x02ns\0"),
        ("www.blob.example", Rtype::A, &[192, 0, 2, 1]),
        ("www.blob.example", Rtype::A, &[192, 0, 2, 2]),
    ] {
        builder.add(name(owner).as_name(), rtype, Ttl(300), rdata, 0).unwrap();
    }
    let steered = Steered { horizon: crate::base::ids::HorizonId(0), ttl: Ttl(60), service: None };
    builder.steer(name("blob.example").as_name(), steered, 0).unwrap();
    let mut challenges = Challenges::default();
    let owners = [SHARED, OWN].map(|owner| (name("blob.example"), name(owner)));
    let near = vec!["192.0.2.0/24".parse().unwrap()];
    challenges.add(("key:one".into(), MirrorId(0)), KeyId(0).into(), near, &owners);
    challenges.add(("key:two".into(), MirrorId(1)), KeyId(1).into(), Vec::new(), &owners[..1]);
    challenges.peer_keys.push(KeyId(PEER_KEY));
    let transfers = Transfers { keys: Keys::new((0..4).map(|at| Key::clone(&key(at))).collect()), zones: Vec::new() };
    let compiled = Compiled { challenges: Arc::new(challenges), transfers: Arc::new(transfers), ..Compiled::default() };
    let zones = ZoneSet::new(vec![builder.finish().unwrap().0]);
    let mut tokens = ChallengeStore::default();
    tokens.set(&"key:two".into(), name(SHARED).as_name(), token(9), &"a".into(), NOW);
    Snapshot::new(Generation(1), zones, compiled).after(&Change::Tokens(Arc::new(tokens)))
});

/// A record of an update: owner, type, class, TTL and rdata.
type Written<'w> = (&'w str, Rtype, Class, u32, Vec<u8>);

fn add(owner: &str, number: u8) -> Written<'_> {
    (owner, Rtype::TXT, Class::IN, 120, token(number).to_txt())
}

fn remove_one(owner: &str, number: u8) -> Written<'_> {
    (owner, Rtype::TXT, Class::NONE, 0, token(number).to_txt())
}

fn remove_all(owner: &str, rtype: Rtype) -> Written<'_> {
    (owner, rtype, Class::ANY, 0, Vec::new())
}

/// An update of a zone, unsigned.
fn message(zone: &str, prerequisites: &[Written<'_>], updates: &[Written<'_>]) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, OPCODE_UPDATE << 3, 0, 0, 1, 0, prerequisites.len() as u8];
    message.extend_from_slice(&[0, updates.len() as u8, 0, 0]);
    message.extend_from_slice(name(zone).as_name().as_wire());
    message.extend_from_slice(&[0, 6, 0, 1]);
    for (owner, rtype, class, ttl, rdata) in prerequisites.iter().chain(updates) {
        message.extend_from_slice(name(owner).as_name().as_wire());
        message.extend_from_slice(&[rtype.0.to_be_bytes(), class.0.to_be_bytes()].concat());
        message.extend_from_slice(&ttl.to_be_bytes());
        message.extend_from_slice(&(rdata.len() as u16).to_be_bytes());
        message.extend_from_slice(rdata);
    }
    message
}

const PEER: Peer = Peer { address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)), transport: Transport::Udp };

fn now() -> Now {
    Now { unix: NOW, ..Now::default() }
}

/// The code of a reply, and its extended error.
fn read(reply: &[u8]) -> (Rcode, Option<u16>) {
    let ede = reply.windows(6).find(|octets| octets[..4] == [0, 15, 0, 2]);
    (Rcode(u16::from(reply[3] & 0x0f)), ede.map(|octets| u16::from_be_bytes([octets[4], octets[5]])))
}

/// The changes that a credential's message asks for, or its refusal.
fn outcome(message: &[u8], by: u16, peer: Peer) -> Result<Vec<TokenChange>, (Rcode, Option<u16>)> {
    effect(message, by, peer).map(|effect| match effect {
        UpdateEffect::Changes(changes) => changes,
        UpdateEffect::Entries(entries) => panic!("{entries:?}"),
    })
}

/// The effect that a signed message asks for, or its refusal; the reply must be signed in either case.
fn effect(message: &[u8], by: u16, peer: Peer) -> Result<UpdateEffect, (Rcode, Option<u16>)> {
    // With EDNS, so that a reply has an extended error.
    let mut signed = message.to_vec();
    signed[11] += 1;
    signed.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    let mut exchange = Exchange::begin(&key(by), &mut signed, NOW);
    let mut out = vec![0; MAX_UDP];
    let (changes, reply) = match respond_or_defer(&signed, peer, &SNAPSHOT, now(), &mut out) {
        Ok(reply) => (None, out[..reply.len].to_vec()),
        Err(Silence::Update) => {
            let update = receive(&signed, peer, &SNAPSHOT, now()).unwrap();
            let judged = update.judge(&SNAPSHOT);
            let (reply, summary) = update.reply(judged.clone().map(drop), &SNAPSHOT, now());
            assert_eq!((summary.rcode, summary.qtype), (read(&reply).0, Some(Rtype::SOA)));
            (judged.ok(), reply)
        }
        Err(other) => panic!("{other:?}"),
    };
    assert_eq!(exchange.verify(&reply, NOW), Ok(()));
    assert_eq!(reply[..3], [message[0], message[1], 0x80 | OPCODE_UPDATE << 3], "ID and opcode come back");
    let zone_len = decode_message(message).unwrap().question.unwrap().wire.len();
    assert_eq!((&reply[4..10], &reply[12..12 + zone_len]), (&[0, 1, 0, 0, 0, 0][..], &message[12..12 + zone_len]));
    changes.ok_or_else(|| read(&reply))
}

fn changed(message: &[u8]) -> Result<Vec<TokenChange>, (Rcode, Option<u16>)> {
    outcome(message, 0, PEER)
}

fn set(owner: &str, number: u8) -> TokenChange {
    TokenChange { owner: name(owner), action: TokenAction::Set(token(number)) }
}

fn removed(owner: &str, which: Removal) -> TokenChange {
    TokenChange { owner: name(owner), action: TokenAction::Remove(which) }
}

#[test]
fn each_form_of_each_client_is_about_the_tokens_of_its_credential() {
    let one = Removal::One(token(1));
    for (client, updates, expected) in [
        ("certbot, acme.sh, dehydrated, cert-manager, uacme, Caddy: present", vec![add(OWN, 1)], vec![set(OWN, 1)]),
        (
            "lego: present",
            vec![remove_all(SHARED, Rtype::TXT), add(SHARED, 1)],
            vec![removed(SHARED, Removal::All), set(SHARED, 1)],
        ),
        ("lego, certbot, dehydrated, cert-manager: clean up", vec![remove_one(OWN, 1)], vec![removed(OWN, one)]),
        ("acme.sh: clean up", vec![remove_all(SHARED, Rtype::TXT)], vec![removed(SHARED, Removal::All)]),
        ("uacme: clean up", vec![remove_all(OWN, Rtype::ANY)], vec![removed(OWN, Removal::All)]),
        ("a token of another credential", vec![remove_one(SHARED, 9)], vec![removed(SHARED, Removal::One(token(9)))]),
        ("nothing at all", vec![], vec![]),
    ] {
        let message = message("blob.example", &[], &updates);
        assert_eq!(changed(&message).as_ref(), Ok(&expected), "{client}");
        for transport in [Transport::Tcp, Transport::Tls] {
            assert_eq!(outcome(&message, 0, Peer { transport, ..PEER }).as_ref(), Ok(&expected), "{client}");
        }
    }
}

const REFUSED: (Rcode, Option<u16>) = (Rcode::REFUSED, Some(18));
const FORMERR: (Rcode, Option<u16>) = (Rcode::FORMERR, None);

#[test]
fn anything_else_is_refused_and_nothing_of_its_message_is_done() {
    let txt = |rdata: &[u8]| (SHARED, Rtype::TXT, Class::IN, 120, rdata.to_vec());
    let long = [&[44][..], &[b'a'; 44]].concat();
    let two = [token(1).to_txt(), token(2).to_txt()].concat();
    for (what, update, expected) in [
        ("a foreign name", add("_acme-challenge.two.blob.example", 1), REFUSED),
        ("the apex", add("blob.example", 1), REFUSED),
        ("44 characters", txt(&long), REFUSED),
        ("42 characters", txt(&long[..43]), REFUSED),
        ("two strings", txt(&two), REFUSED),
        ("no string", txt(&[]), REFUSED),
        ("a character of base64", txt(&[&[43][..], &[b'+'; 43]].concat()), REFUSED),
        ("an address", (SHARED, Rtype::A, Class::IN, 60, vec![192, 0, 2, 1]), REFUSED),
        ("the removal of 44 characters", (SHARED, Rtype::TXT, Class::NONE, 0, long.clone()), REFUSED),
        ("the removal of addresses", remove_all(SHARED, Rtype::A), REFUSED),
        ("the removal of a steered owner", remove_all("blob.example", Rtype::ANY), REFUSED),
        ("another zone", add("_acme-challenge.example", 1), (Rcode::NOTZONE, None)),
        ("a class without a meaning", (SHARED, Rtype::TXT, Class::CH, 0, token(1).to_txt()), FORMERR),
        ("a removal with a TTL", (SHARED, Rtype::TXT, Class::ANY, 1, vec![]), FORMERR),
        ("a removal of an RRset with rdata", (SHARED, Rtype::TXT, Class::ANY, 0, token(1).to_txt()), FORMERR),
        ("a removal of a record of any type", (SHARED, Rtype::ANY, Class::NONE, 0, vec![]), FORMERR),
        ("a record of any type", (SHARED, Rtype::ANY, Class::IN, 0, vec![]), FORMERR),
        ("a transfer as a record", (SHARED, Rtype::AXFR, Class::ANY, 0, vec![]), FORMERR),
    ] {
        let alone = message("blob.example", &[], std::slice::from_ref(&update));
        assert_eq!(changed(&alone), Err(expected), "{what}");
        for mixed in [[add(OWN, 1), update.clone()], [update, add(OWN, 1)]] {
            assert_eq!(changed(&message("blob.example", &[], &mixed)), Err(expected), "{what} beside a token");
        }
    }
}

#[test]
fn a_sender_without_permission_is_refused() {
    let fine = message("blob.example", &[], &[add(SHARED, 1)]);
    let elsewhere = Peer { address: [198, 51, 100, 7].into(), ..PEER };
    assert!(changed(&fine).is_ok() && outcome(&fine, 1, elsewhere).is_ok());
    assert_eq!(outcome(&fine, 0, elsewhere), Err(REFUSED), "outside of `allow`");
    assert_eq!(outcome(&fine, TRANSFER_KEY, PEER), Err(REFUSED), "a key of transfers");
    assert_eq!(outcome(&message("blob.example", &[], &[add(OWN, 1)]), 1, PEER), Err(REFUSED), "the name of another");
    for transport in [Transport::Https, Transport::Quic] {
        assert_eq!(outcome(&fine, 0, Peer { transport, ..PEER }), Err((Rcode::REFUSED, Some(21))));
    }
    // The zone section.
    for (zone, expected) in [("www.blob.example", Rcode::NOTAUTH), ("example", Rcode::NOTAUTH), ("org", Rcode::NOTAUTH)]
    {
        assert_eq!(changed(&message(zone, &[], &[add(SHARED, 1)])), Err((expected, Some(20))), "{zone}");
    }
    let mut other = fine.clone();
    let zone_type = 12 + name("blob.example").as_name().len() + 1;
    other[zone_type] = 16;
    assert_eq!(changed(&other), Err(FORMERR), "TXT in the zone section");
    other = fine.clone();
    other[zone_type + 2] = 3;
    assert_eq!(changed(&other), Err((Rcode::NOTAUTH, Some(20))), "class CHAOS in the zone section");
}

fn plain_reply(message: &[u8], snapshot: &Snapshot, at: UnixTime) -> Vec<u8> {
    let mut out = vec![0; MAX_UDP];
    let now = Now { unix: at, ..Now::default() };
    let reply = respond(message, PEER, snapshot, now, &mut out).unwrap();
    out.truncate(reply.len);
    out
}

#[test]
fn a_message_without_a_valid_signature_changes_nothing() {
    let fine = message("blob.example", &[], &[add(SHARED, 1)]);
    let reply = plain_reply(&fine, &SNAPSHOT, NOW);
    assert_eq!((read(&reply).0, reply[11]), (Rcode::REFUSED, 0), "unsigned");
    assert!(receive(&fine, PEER, &SNAPSHOT, now()).is_none());
    // RFC 8945 §5.3.2: BADKEY and BADSIG are not signed, BADTIME is.
    let mut signed = fine.clone();
    let mut exchange = Exchange::begin(&key(7), &mut signed, NOW);
    let reply = plain_reply(&signed, &SNAPSHOT, NOW);
    assert_eq!(read(&reply).0, Rcode::NOTAUTH);
    assert_eq!(exchange.verify(&reply, NOW), Err(VerifyError::Refused(Rcode::BADKEY)));
    let mut signed = fine.clone();
    let mut exchange = Exchange::begin(&key(0), &mut signed, NOW);
    signed[60] ^= 1;
    let reply = plain_reply(&signed, &SNAPSHOT, NOW);
    assert_eq!(exchange.verify(&reply, NOW), Err(VerifyError::Refused(Rcode::BADSIG)));
    let mut signed = fine;
    let mut exchange = Exchange::begin(&key(0), &mut signed, NOW);
    let reply = plain_reply(&signed, &SNAPSHOT, UnixTime(NOW.0 + 301));
    assert_eq!(exchange.verify(&reply, NOW), Err(VerifyError::Refused(Rcode::BADTIME)));
    assert!(receive(&signed, PEER, &SNAPSHOT, Now { unix: UnixTime(NOW.0 + 301), ..now() }).is_none());
}

#[test]
fn rfc2136_s3_2_prerequisites_are_checked_against_the_union() {
    let exists = |owner, rtype| (owner, rtype, Class::ANY, 0, Vec::new());
    let lacks = |owner, rtype| (owner, rtype, Class::NONE, 0, Vec::new());
    let has = |owner, rtype, rdata: &[u8]| (owner, rtype, Class::IN, 0, rdata.to_vec());
    let (a, b) = ([192, 0, 2, 1], [192, 0, 2, 2]);
    let www = "www.blob.example";
    for (prerequisites, expected) in [
        (vec![exists(SHARED, Rtype::TXT), exists(SHARED, Rtype::ANY)], None),
        (vec![exists(OWN, Rtype::TXT)], Some(Rcode::NXRRSET)),
        (vec![exists(OWN, Rtype::ANY)], Some(Rcode::NXDOMAIN)),
        (vec![exists("absent.blob.example", Rtype::ANY)], Some(Rcode::NXDOMAIN)),
        (vec![lacks(OWN, Rtype::ANY), lacks(OWN, Rtype::TXT), lacks(www, Rtype::AAAA)], None),
        (vec![lacks(SHARED, Rtype::TXT)], Some(Rcode::YXRRSET)),
        (vec![lacks(SHARED, Rtype::ANY)], Some(Rcode::YXDOMAIN)),
        (vec![exists("blob.example", Rtype::A), exists("blob.example", Rtype::ANY)], None),
        (vec![has(SHARED, Rtype::TXT, &token(9).to_txt())], None),
        (vec![has(SHARED, Rtype::TXT, &token(8).to_txt())], Some(Rcode::NXRRSET)),
        (vec![has(www, Rtype::A, &b), has(www, Rtype::A, &a), has(www, Rtype::A, &a)], None),
        (vec![has(www, Rtype::A, &a)], Some(Rcode::NXRRSET)),
        (vec![exists("org", Rtype::A)], Some(Rcode::NOTZONE)),
        (vec![(www, Rtype::A, Class::ANY, 1, vec![])], Some(Rcode::FORMERR)),
        (vec![(www, Rtype::A, Class::NONE, 0, a.to_vec())], Some(Rcode::FORMERR)),
        (vec![(www, Rtype::A, Class::CH, 0, a.to_vec())], Some(Rcode::FORMERR)),
        (vec![(www, Rtype::ANY, Class::IN, 0, vec![])], Some(Rcode::FORMERR)),
        (vec![exists(www, Rtype::AXFR)], Some(Rcode::FORMERR)),
    ] {
        let message = message("blob.example", &prerequisites, &[add(OWN, 1)]);
        let found = changed(&message).err().map(|(rcode, _)| rcode);
        assert_eq!(found, expected, "{prerequisites:?}");
    }
    // A prerequisite that does not hold comes before an update that is not permitted.
    let refused = message("blob.example", &[exists(OWN, Rtype::TXT)], &[add("blob.example", 1)]);
    assert_eq!(changed(&refused), Err((Rcode::NXRRSET, None)));
}

#[test]
fn without_credentials_there_are_no_updates() {
    let compiled = Compiled { transfers: Arc::new(SNAPSHOT.transfers().clone()), ..Compiled::default() };
    let bare = Snapshot::new(Generation(1), ZoneSet::new(Vec::new()), compiled);
    let mut signed = message("blob.example", &[], &[add(SHARED, 1)]);
    assert_eq!(read(&plain_reply(&signed, &bare, NOW)).0, Rcode::NOTIMP);
    let mut exchange = Exchange::begin(&key(0), &mut signed, NOW);
    let reply = plain_reply(&signed, &bare, NOW);
    assert_eq!((read(&reply).0, exchange.verify(&reply, NOW)), (Rcode::NOTIMP, Ok(())));
    // A reload may remove the credential while its update waits.
    let mut signed = message("blob.example", &[], &[add(SHARED, 1)]);
    Exchange::begin(&key(0), &mut signed, NOW);
    let update = receive(&signed, PEER, &SNAPSHOT, now()).unwrap();
    assert_eq!(update.judge(&bare).map_err(|(rcode, _)| rcode), Err(Rcode::NOTAUTH));
}

#[test]
fn a_message_has_a_limited_number_of_changes() {
    let many = |count: usize| vec![add(OWN, 1); count];
    assert_eq!(changed(&message("blob.example", &[], &many(64))).map(|changes| changes.len()), Ok(64));
    let too_many = message("blob.example", &[], &many(65));
    assert_eq!(read(&plain_reply(&too_many, &SNAPSHOT, NOW)).0, Rcode::FORMERR);
    // Cut anywhere, the message is malformed.
    let whole = message("blob.example", &[], &many(2));
    for len in 12..whole.len() {
        assert!(receive(&whole[..len], PEER, &SNAPSHOT, now()).is_none());
        if len > 30 {
            assert_eq!(read(&plain_reply(&whole[..len], &SNAPSHOT, NOW)).0, Rcode::FORMERR, "{len}");
        }
    }
}

/// An update of the entries of a store, as another server sends it.
fn entries_of(store: &ChallengeStore) -> Vec<u8> {
    let entries: Vec<_> = store.entries().map(|(key, entry)| (key.clone(), entry.clone())).collect();
    entries_message(name("blob.example").as_name(), &entries, NOW, 0x1234)
}

#[test]
fn the_key_of_another_server_sends_entries_and_nothing_else() {
    let mut store = ChallengeStore::default();
    store.set(&"key:one".into(), name(SHARED).as_name(), token(1), &"a".into(), NOW);
    store.set(&"user:two".into(), name(OWN).as_name(), token(2), &"b".into(), NOW);
    store.remove(&"user:two".into(), name(OWN).as_name(), Removal::All, &"a".into(), NOW);
    let sent = entries_of(&store);
    let elsewhere = Peer { address: "198.51.100.1".parse().unwrap(), ..PEER };
    for peer in [PEER, elsewhere, Peer { transport: Transport::Tcp, ..PEER }] {
        let Ok(UpdateEffect::Entries(entries)) = effect(&sent, PEER_KEY, peer) else { panic!("refused") };
        let mut taken = ChallengeStore::default();
        for (key, entry) in entries.into_iter().map(|entry| entry.at(NOW)) {
            taken.take_in(key, entry);
        }
        assert_eq!(taken, store);
    }
    let greeting = entries_of(&ChallengeStore::default());
    assert_eq!(effect(&greeting, PEER_KEY, PEER), Ok(UpdateEffect::Entries(Vec::new())));
    // Other keys cannot send entries, and the key of a server cannot send what clients send.
    for by in [0, 1, TRANSFER_KEY] {
        assert_eq!(effect(&sent, by, PEER), Err(REFUSED));
    }
    for update in [add(SHARED, 1), remove_one(SHARED, 9), remove_all(SHARED, Rtype::TXT), remove_all(OWN, Rtype::ANY)] {
        let message = message("blob.example", &[], &[update]);
        assert_eq!(effect(&message, PEER_KEY, PEER), Err(REFUSED));
    }
    let in_use = (SHARED, Rtype::ANY, Class::ANY, 0, Vec::new());
    assert_eq!(effect(&message("blob.example", &[in_use], &[]), PEER_KEY, PEER), Err(REFUSED), "a prerequisite");
}
