//! Dynamic updates: messages that are signed with the key of a credential.
//!
//! A fuzzer cannot guess a signature, so the target signs the messages. If the input says so, a signed message is changed.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use pharos::base::ids::{KeyId, MirrorId};
use pharos::base::name::NameBuf;
use pharos::base::rr::{Rcode, Rtype};
use pharos::base::time::{Generation, Now, UnixTime};
use pharos::challenge::{ChallengeStore, ChallengeToken, Challenges, LIFE_SECS, PasswordDigest};
use pharos::load;
use pharos::snapshot::{Change, Compiled, Snapshot};
use pharos::wire::tsig::Exchange;
use pharos::wire::update::{ReceivedEntry, TokenAction, TokenChange, UpdateAuthor, UpdateEffect, receive};
use pharos::wire::{self, Peer, Silence, Transport, respond_or_defer};
use pharos::zone::{Found, ZoneSet};

use super::signed::Order;
use super::{ADDRESS, CONFIG, NOW, SNAPSHOT, can_be_read};

const OWNERS: [&str; 2] = ["_acme-challenge.example.net", "_acme-challenge.one.example.net"];

/// A zone with two owners of challenges. The first key of the server is that of a credential for both, the second one that of
/// another server; a second credential has a token at each owner.
static CHALLENGED: LazyLock<Snapshot> = LazyLock::new(|| {
    let text = "$TTL 300\n@ SOA ns h 1 3600 600 86400 60\n@ NS ns\nns A 192.0.2.1\n";
    let refuse = &mut |_: &Path| Err(std::io::Error::from(std::io::ErrorKind::PermissionDenied));
    let zone = match load::zone::read_text(&CONFIG.zones[0], Path::new("zone"), text.into(), refuse) {
        Ok((zone, _)) => zone,
        Err(problems) => panic!("{problems:#?}"),
    };
    let mut challenges = Challenges::default();
    let owners = OWNERS.map(|owner| (name("example.net"), name(owner)));
    challenges.add(("key:one".into(), MirrorId(0)), KeyId(0).into(), Vec::new(), &owners);
    challenges.add(("user:two".into(), MirrorId(1)), PasswordDigest::new([0; 32]).into(), Vec::new(), &owners);
    challenges.peer_keys.push(KeyId(1));
    let transfers = Arc::new(SNAPSHOT.transfers().clone());
    let compiled = Compiled { transfers, challenges: Arc::new(challenges), ..Compiled::default() };
    let snapshot = Snapshot::new(Generation(1), ZoneSet::new(vec![zone]), compiled);
    snapshot.after(&Change::Tokens(Arc::new(tokens())))
});

fn name(text: &str) -> NameBuf {
    NameBuf::parse(text).expect("a name")
}

/// The token of the second credential.
fn other() -> ChallengeToken {
    ChallengeToken::parse(&[b'o'; 43]).expect("a token")
}

fn tokens() -> ChallengeStore {
    let mut store = ChallengeStore::default();
    for owner in OWNERS {
        store.set(&"user:two".into(), name(owner).as_name(), other(), &"a".into(), NOW);
    }
    store
}

/// A message that is signed with the key of a credential, or with another key. It may be changed afterwards, or the clocks may
/// differ.
///
/// An update that is admitted gets a signed reply. The changes of a credential are tokens at its owners, and the token of the
/// other credential is answered after them. The entries of another server last no longer than a token that is set now.
pub fn updates(input: &[u8]) {
    let Some(order) = Order::read(input) else { return };
    let Some(request) = order.request() else { return };
    let now = Now { unix: UnixTime(NOW.0 + order.skew), ..Now::default() };
    for transport in [Transport::Udp, Transport::Tcp, Transport::Https] {
        let mut request = request.clone();
        let mut exchange = Exchange::begin(order.key, &mut request, NOW);
        order.spoil(&mut request);
        let peer = Peer { address: ADDRESS, transport };
        let mut out = vec![0; wire::MAX_STREAM];
        match respond_or_defer(&request, peer, &CHALLENGED, now, &mut out) {
            Err(Silence::Update) => {}
            Ok(reply) => {
                assert!(can_be_read(&out[..reply.len]));
                continue;
            }
            Err(_) => continue,
        }
        assert!(transport != Transport::Https && order.skew <= 300, "it is refused at once");
        let update = receive(&request, peer, &CHALLENGED, now).expect("what is handed over can be taken in");
        let judged = update.judge(&CHALLENGED);
        match (update.author(), &judged) {
            (UpdateAuthor::Credential(name), Ok(UpdateEffect::Changes(changes))) => make(name, changes),
            (UpdateAuthor::Server(KeyId(1)), Ok(UpdateEffect::Entries(entries))) => take_in(entries),
            (_, Err(_)) => {}
            other => panic!("{other:?}"),
        }
        let rcode = judged.as_ref().err().map_or(Rcode::NOERROR, |(rcode, _)| *rcode);
        let (reply, summary) = update.reply(judged.map(drop), &CHALLENGED, now);
        assert!(can_be_read(&reply) && summary.rcode == rcode && reply.len() <= 1232);
        assert_eq!((&reply[..2], reply[2] & 0xf8), (&request[..2], 0x80 | 5 << 3));
        if order.spoil.1 == 0 {
            assert_eq!(exchange.verify(&reply, NOW), Ok(()));
        }
    }
}

/// Makes the changes of the first credential.
fn make(credential: &Arc<str>, changes: &[TokenChange]) {
    assert_eq!(&**credential, "key:one");
    let mut store = tokens();
    for change in changes {
        assert!(CHALLENGED.challenges().permits(credential, &change.owner));
        let owner = change.owner.as_name();
        match change.action {
            TokenAction::Set(token) => store.set(credential, owner, token, &"a".into(), NOW),
            TokenAction::Remove(which) => store.remove(credential, owner, which, &"a".into(), NOW),
        }
    }
    check_other(&CHALLENGED.after(&Change::Tokens(Arc::new(store))));
}

/// Takes in the entries of another server.
fn take_in(entries: &[ReceivedEntry]) {
    let mut store = tokens();
    for (key, entry) in entries.iter().cloned().map(|entry| entry.at(NOW)) {
        assert!(entry.until.0 <= NOW.0 + LIFE_SECS);
        store.take_in(key, entry);
    }
    CHALLENGED.after(&Change::Tokens(Arc::new(store)));
}

/// Checks that the token of the second credential is answered.
fn check_other(snapshot: &Snapshot) {
    for owner in OWNERS.map(name) {
        let suffixes = owner.as_name().suffixes();
        let (_, zone) = snapshot.zones().find(owner.as_name(), &suffixes).expect("the zone");
        let Found::Exact(id) = zone.find(owner.as_name(), &suffixes) else { panic!("{owner} exists") };
        let set = zone.node(id).rrset(Rtype::TXT).expect("a token");
        assert!(set.rdatas().any(|rdata| rdata == other().to_txt()), "the token of another credential is gone");
    }
}
