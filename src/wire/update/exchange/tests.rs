//! Entries written and read, records that are no entries, and answers to questions for tokens.

use proptest::prelude::*;

use super::*;
use crate::base::name::NameBuf;

const NOW: UnixTime = UnixTime(1_700_000_000);

fn name(text: &str) -> NameBuf {
    NameBuf::parse(text).unwrap()
}

fn token(number: u16) -> ChallengeToken {
    ChallengeToken::parse(format!("{number:043}").as_bytes()).unwrap()
}

type Entry = (ChallengeKey, ChallengeEntry);

fn written() -> impl Strategy<Value = Entry> {
    let credential = prop_oneof!["key:[a-z.]{1,60}", "user:[a-z0-9-]{1,600}"];
    let owner = prop::sample::select(vec!["_acme-challenge.x", "_acme-challenge.one.x", "x"]);
    let version = (any::<u64>(), "[0-9a-f]{1,255}", any::<bool>());
    (credential, owner, any::<u16>(), version, 0..=LIFE_SECS).prop_map(|(credential, owner, number, version, left)| {
        let (count, server, is_set) = version;
        let key = ChallengeKey { credential: credential.into(), owner: name(owner), token: token(number) };
        let state = if is_set { ChallengeState::Set } else { ChallengeState::Removed };
        let version = ChallengeVersion { count, server: server.into() };
        (key, ChallengeEntry { version, state, until: UnixTime(NOW.0 + left) })
    })
}

/// The records of a message of [`entries_message`] as entries by a clock.
fn read(message: &[u8], apex: &NameBuf, now: UnixTime) -> Option<Vec<Entry>> {
    let mut at = HEADER_LEN + apex.as_name().as_wire().len() + 4;
    let count = u16::from_be_bytes([message[8], message[9]]);
    (0..count).map(|_| Some(entry(&record(message, &mut at)?)?.at(now))).collect()
}

proptest! {
    #[test]
    fn entries_read_back_as_what_they_were(entries in prop::collection::vec(written(), 0..=MAX_ENTRIES)) {
        let apex = name("x");
        let message = entries_message(apex.as_name(), &entries, NOW, 7);
        prop_assert!(message.len() + 200 < usize::from(u16::MAX), "it fits into a message with its signature");
        prop_assert_eq!(read(&message, &apex, NOW), Some(entries.clone()));
        // By another clock, the time that is left stays.
        let other = UnixTime(NOW.0 - 100_000);
        for ((_, sent), (_, taken)) in entries.iter().zip(read(&message, &apex, other).unwrap()) {
            prop_assert_eq!(sent.until.0 - NOW.0, taken.until.0 - other.0);
        }
    }
}

#[test]
fn a_record_of_another_form_is_no_entry() {
    let strings =
        |strings: &[&str]| strings.iter().flat_map(|text| [&[text.len() as u8], text.as_bytes()].concat()).collect();
    let value = token(1);
    let fine: Vec<u8> = strings(&[value.as_str(), "7", "a", "set", "key:one"]);
    let is_entry =
        |rdata: &[u8], class, rtype| entry(&UpdateRecord { owner: name("x"), rtype, class, ttl: 60, rdata }).is_some();
    assert!(is_entry(&fine, Class::IN, Rtype::TXT));
    assert!(!is_entry(&fine, Class::NONE, Rtype::TXT) && !is_entry(&fine, Class::IN, Rtype(99)));
    for wrong in [
        &[value.as_str()][..],
        &[value.as_str(), "7", "a", "set"],
        &[value.as_str(), "7", "a", "set", ""],
        &[value.as_str(), "7", "", "set", "key:one"],
        &[value.as_str(), "-7", "a", "set", "key:one"],
        &[value.as_str(), "18446744073709551616", "a", "set", "key:one"],
        &[value.as_str(), "7", "a", "gone", "key:one"],
        &[&value.as_str()[1..], "7", "a", "set", "key:one"],
    ] {
        assert!(!is_entry(&strings(wrong), Class::IN, Rtype::TXT), "{wrong:?}");
    }
    for cut in 0..fine.len() - "key:one".len() {
        assert!(!is_entry(&fine[..cut], Class::IN, Rtype::TXT), "cut after {cut} bytes");
    }
    assert!(!is_entry(&fine[..fine.len() - 1], Class::IN, Rtype::TXT));
    // No entry lasts longer than a token that is set now.
    let long =
        entry(&UpdateRecord { owner: name("x"), rtype: Rtype::TXT, class: Class::IN, ttl: u32::MAX, rdata: &fine });
    assert_eq!(long.unwrap().left, LIFE_SECS);
}

#[test]
fn an_answer_is_read_if_it_belongs_to_the_question() {
    let query = question(name("_acme-challenge.x").as_name(), Rtype::TXT, 0x1234);
    let mut reply = query.clone();
    (reply[2], reply[7]) = (0x84, 2);
    for number in [1, 2] {
        reply.extend_from_slice(&[0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 0, 0, 44]);
        reply.extend_from_slice(&token(number).to_txt());
    }
    let changed = |at: usize, octet: u8| {
        let mut other = reply.clone();
        other[at] = octet;
        answered_tokens(&query, &other)
    };
    assert_eq!(answered_tokens(&query, &reply), Some(AnsweredTokens::All(vec![token(1), token(2)])));
    assert_eq!(changed(13, b'_'.to_ascii_uppercase()), Some(AnsweredTokens::All(vec![token(1), token(2)])));
    for (at, octet) in [(0, 0), (2, 0x04), (2, 0xac), (5, 2), (14, b'x'), (query.len() - 1, 3)] {
        assert_eq!(changed(at, octet), None, "another octet at {at}");
    }
    assert_eq!(changed(2, 0x86), Some(AnsweredTokens::Truncated));
    assert_eq!(changed(3, 5), Some(AnsweredTokens::NoAnswer(Rcode::REFUSED)));
    let mut none = query.clone();
    (none[2], none[3]) = (0x84, 3);
    assert_eq!(answered_tokens(&query, &none), Some(AnsweredTokens::All(Vec::new())), "the name does not exist");
    for len in 0..reply.len() {
        assert_eq!(answered_tokens(&query, &reply[..len]), None, "cut after {len} bytes");
    }
}
