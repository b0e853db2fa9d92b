//! DNS cookies: proof that a client receives the messages sent to its address.
//!
//! [`judge`] takes the cookie of a query, the query's source address, the secrets and the time. It returns the proof and the
//! cookie for the reply.
//!
//! **Invariants**: a cookie is proof only for the address it was made for, for an hour at most; a client without the secret
//! cannot derive a valid cookie from those that it received.
//! **Not here**: reading and writing the option ([`mod@super::decode`], [`mod@super::extras`]), loading the secrets
//! ([`crate::load`]).
//!
//! RFC 7873, RFC 9018 §4 (the interoperable server cookie, version 1).

use std::net::IpAddr;

use siphasher::sip::SipHasher24;

use crate::base::time::UnixTime;
use crate::base::words::words;
use crate::snapshot::{CookieSecret, CookieSecrets};

/// Length in bytes of the client cookie, which comes first (RFC 7873 §4.1).
pub(super) const CLIENT_LEN: usize = 8;

/// Minimum length in bytes of a cookie with a server cookie, which has 8 to 32 bytes (RFC 7873 §4.2).
pub(super) const MIN_COOKIE_LEN: usize = CLIENT_LEN + 8;

/// Maximum length in bytes of a cookie.
pub(super) const MAX_COOKIE_LEN: usize = CLIENT_LEN + 32;

/// Length in bytes of a cookie of ours: client cookie, version and reserved, time, hash.
pub(super) const COOKIE_LEN: usize = CLIENT_LEN + 16;

/// The version of our server cookies (RFC 9018 §4.2).
const VERSION: u8 = 1;

/// Maximum age of a cookie, in seconds (RFC 9018 §4.3).
const MAX_AGE_SECS: i32 = 60 * 60;

/// Maximum time of a cookie ahead of our clock, in seconds: the clock of the server that made it may be fast (RFC 9018
/// §4.3).
const MAX_AHEAD_SECS: i32 = 5 * 60;

/// Age of a cookie beyond which the client gets a new one, in seconds (RFC 9018 §4.3).
const RENEW_AGE_SECS: i32 = 30 * 60;

/// A whole cookie of ours.
pub(super) type Octets = [u8; COOKIE_LEN];

words! {
    /// Result of checking a query's cookie.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum Cookie {
        /// The query has no cookie, or this server has no secret.
        #[default]
        None = "none",
        /// The client has no cookie of ours yet.
        ClientOnly = "client-only",
        /// The cookie is not ours, has expired, or was made for another address.
        Invalid = "invalid",
        /// The client receives the messages sent to its address.
        Valid = "valid",
    }
}

/// Judges a cookie of a valid length; also returns the cookie for the reply, which is `None` if there is no secret.
pub(super) fn judge(
    cookie: &[u8],
    address: IpAddr,
    secrets: &CookieSecrets,
    now: UnixTime,
) -> (Cookie, Option<Octets>) {
    let (Some(signing), Some(client)) = (secrets.all().first(), cookie.first_chunk()) else {
        return (Cookie::None, None);
    };
    let mut input = Input::new(client, address);
    let (found, kept) = match cookie.try_into() {
        Ok(cookie) => verify(cookie, &mut input, secrets.all(), now),
        Err(_) if cookie.len() == CLIENT_LEN => (Cookie::ClientOnly, None),
        Err(_) => (Cookie::Invalid, None),
    };
    (found, kept.or_else(|| Some(make(client, &mut input, signing, now))))
}

/// Verifies a whole cookie. A valid one is sent back unchanged, unless it is old, or signed with a secret that is being retired.
fn verify(cookie: &Octets, input: &mut Input, secrets: &[CookieSecret], now: UnixTime) -> (Cookie, Option<Octets>) {
    let [_, _, _, _, _, _, _, _, version, r1, r2, r3, t1, t2, t3, t4, hash @ ..] = *cookie;
    let time = u32::from_be_bytes([t1, t2, t3, t4]);
    // RFC 9018 §4.3: times are compared as serial numbers (RFC 1982), because the 32 bits wrap around in 2106.
    let age = (now.0 as u32).wrapping_sub(time) as i32;
    if version != VERSION || !(-MAX_AHEAD_SECS..=MAX_AGE_SECS).contains(&age) {
        return (Cookie::Invalid, None);
    }
    // RFC 9018 §4.2: the reserved bytes are hashed as received.
    input.set([version, r1, r2, r3], time);
    match secrets.iter().position(|secret| input.hash(secret) == hash) {
        Some(0) if age <= RENEW_AGE_SECS => (Cookie::Valid, Some(*cookie)),
        Some(_) => (Cookie::Valid, None),
        None => (Cookie::Invalid, None),
    }
}

fn make(client: &[u8; CLIENT_LEN], input: &mut Input, secret: &CookieSecret, now: UnixTime) -> Octets {
    let time = now.0 as u32;
    input.set([VERSION, 0, 0, 0], time);
    let mut cookie = [0; COOKIE_LEN];
    cookie[..CLIENT_LEN].copy_from_slice(client);
    cookie[CLIENT_LEN] = VERSION;
    cookie[12..16].copy_from_slice(&time.to_be_bytes());
    cookie[16..].copy_from_slice(&input.hash(secret));
    cookie
}

/// Input of the hash (RFC 9018 §4.4): client cookie, version and reserved, time, address.
struct Input {
    octets: [u8; 32],
    len: usize,
}

impl Input {
    fn new(client: &[u8; CLIENT_LEN], address: IpAddr) -> Self {
        let mut octets = [0; 32];
        octets[..CLIENT_LEN].copy_from_slice(client);
        let len = match address.to_canonical() {
            IpAddr::V4(v4) => {
                octets[16..20].copy_from_slice(&v4.octets());
                20
            }
            IpAddr::V6(v6) => {
                octets[16..].copy_from_slice(&v6.octets());
                32
            }
        };
        Input { octets, len }
    }

    fn set(&mut self, version_and_reserved: [u8; 4], time: u32) {
        self.octets[8..12].copy_from_slice(&version_and_reserved);
        self.octets[12..16].copy_from_slice(&time.to_be_bytes());
    }

    fn hash(&self, secret: &CookieSecret) -> [u8; 8] {
        SipHasher24::new_with_key(secret).hash(&self.octets[..self.len]).to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    fn secrets(hex: &[&str]) -> CookieSecrets {
        CookieSecrets::new(hex.iter().map(|hex| octets(hex).try_into().unwrap()).collect())
    }

    fn ask(cookie: &str, address: &str, secrets: &CookieSecrets, now: u64) -> (Cookie, Vec<u8>) {
        let (state, reply) = judge(&octets(cookie), address.parse().unwrap(), secrets, UnixTime(now));
        (state, reply.unwrap().to_vec())
    }

    const SECRET: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";
    const CLIENT: &str = "2464c4abcf10c957";
    const COOKIE: &str = "2464c4abcf10c957010000005cf79f111f8130c3eee29480";
    const MADE: u64 = 1_559_731_985;

    #[test]
    fn rfc9018_a1_a_new_server_cookie() {
        let found = ask(CLIENT, "198.51.100.100", &secrets(&[SECRET]), MADE);
        assert_eq!(found, (Cookie::ClientOnly, octets(COOKIE)));
    }

    #[test]
    fn rfc9018_a2_an_old_cookie_is_renewed() {
        let found = ask(COOKIE, "198.51.100.100", &secrets(&[SECRET]), 1_559_734_385);
        assert_eq!(found, (Cookie::Valid, octets("2464c4abcf10c957010000005cf7a871d4a564a1442aca77")));
    }

    #[test]
    fn rfc9018_a3_reserved_octets_are_hashed_and_not_kept() {
        let query = "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5";
        let found = ask(query, "203.0.113.203", &secrets(&[SECRET]), 1_559_734_700);
        // The cookie is also more than an hour old.
        assert_eq!(found, (Cookie::Invalid, octets("fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e")));
        let (earlier, _) = ask(query, "203.0.113.203", &secrets(&[SECRET]), 0x5cf7_8f71 + 60);
        assert_eq!(earlier, Cookie::Valid);
    }

    #[test]
    fn rfc9018_a4_a_retired_secret_verifies_and_a_new_one_signs() {
        let secrets = secrets(&["445536bcd2513298075a5d379663c962", "dd3bdf9344b678b185a6f5cb60fca715"]);
        let query = "22681ab97d52c298010000005cf7c57926556bd0934c72f8";
        let found = ask(query, "2001:db8:220:1:59de:d0f4:8769:82b8", &secrets, 1_559_741_961);
        assert_eq!(found, (Cookie::Valid, octets("22681ab97d52c298010000005cf7c609a6bb79d16625507a")));
    }

    #[test]
    fn rfc9018_s4_3_a_cookie_is_valid_from_five_minutes_before_to_an_hour_after() {
        let at = |now: u64| ask(COOKIE, "198.51.100.100", &secrets(&[SECRET]), now);
        for (now, state) in [
            (MADE - 301, Cookie::Invalid),
            (MADE - 300, Cookie::Valid),
            (MADE + 3600, Cookie::Valid),
            (MADE + 3601, Cookie::Invalid),
            (MADE + (1 << 31), Cookie::Invalid),
        ] {
            assert_eq!(at(now).0, state, "{now}");
        }
        assert_eq!(at(MADE + 1800).1, octets(COOKIE));
        assert_ne!(at(MADE + 1801).1, octets(COOKIE));
    }

    #[test]
    fn rfc9018_s4_3_times_are_serial_numbers() {
        let secrets = secrets(&[SECRET]);
        let wrap = 1 << 32;
        let (_, cookie) = judge(&octets(CLIENT), [192, 0, 2, 1].into(), &secrets, UnixTime(wrap - 60));
        let (state, _) = judge(&cookie.unwrap(), [192, 0, 2, 1].into(), &secrets, UnixTime(wrap + 60));
        assert_eq!(state, Cookie::Valid);
    }

    #[test]
    fn rfc7873_s5_2_a_cookie_proves_nothing_for_another_address_client_or_server() {
        let secrets = secrets(&[SECRET]);
        assert_eq!(ask(COOKIE, "198.51.100.101", &secrets, MADE).0, Cookie::Invalid);
        assert_eq!(ask(&COOKIE.replace("2464", "2465"), "198.51.100.100", &secrets, MADE).0, Cookie::Invalid);
        assert_eq!(ask(&COOKIE.replace("0100", "0200"), "198.51.100.100", &secrets, MADE).0, Cookie::Invalid);
        assert_eq!(ask(&COOKIE[..46], "198.51.100.100", &secrets, MADE).0, Cookie::Invalid);
        let long = format!("{COOKIE}00");
        assert_eq!(ask(&long, "198.51.100.100", &secrets, MADE).0, Cookie::Invalid);
        assert_eq!(ask(COOKIE, "::ffff:198.51.100.100", &secrets, MADE).0, Cookie::Valid);
    }

    #[test]
    fn without_a_secret_there_are_no_cookies() {
        let none = judge(&octets(CLIENT), [192, 0, 2, 1].into(), &CookieSecrets::default(), UnixTime(MADE));
        assert_eq!(none, (Cookie::None, None));
    }
}
