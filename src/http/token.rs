//! The admin listener's token: what whoever gives orders there has to know.
//!
//! **Invariants**: the token itself is not kept; comparing takes as long for a wrong token as for the right one, wherever
//! they differ.
//!
//! RFC 6750 §2.1 (bearer tokens), RFC 9110 §11 (authentication).

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use subtle::ConstantTimeEq as _;

/// A token that can be recognized.
#[derive(Clone, Copy)]
pub struct Token([u8; SHA256_OUTPUT_LEN]);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

/// What a request presents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presented {
    /// The token.
    Right,
    /// Another one.
    Wrong,
    /// None.
    Nothing,
}

impl Token {
    /// A token by its text.
    pub fn new(text: &str) -> Self {
        Token(hash(text.as_bytes()))
    }

    /// What the headers of a request present.
    pub(super) fn recognize(&self, headers: &HeaderMap) -> Presented {
        // Two of them would be read differently by a proxy before us.
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return Presented::Nothing };
        let Some((scheme, token)) = value.as_bytes().split_at_checked(b"Bearer ".len()) else {
            return Presented::Nothing;
        };
        // RFC 9110 §11.1: the scheme is case-insensitive.
        if !scheme.eq_ignore_ascii_case(b"Bearer ") {
            return Presented::Nothing;
        }
        // The hashes are compared, so that not even the length shows.
        match bool::from(hash(token).ct_eq(&self.0)) {
            true => Presented::Right,
            false => Presented::Wrong,
        }
    }
}

fn hash(text: &[u8]) -> [u8; SHA256_OUTPUT_LEN] {
    let mut hash = [0; SHA256_OUTPUT_LEN];
    hash.copy_from_slice(digest(&SHA256, text).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn a_token_is_recognized_in_one_header_of_one_scheme() {
        let token = Token::new("0123456789abcdef0123");
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_static(value));
            }
            token.recognize(&headers)
        };
        let right = "Bearer 0123456789abcdef0123";
        assert_eq!(of(&[right]), Presented::Right);
        assert_eq!(of(&["bearer 0123456789abcdef0123"]), Presented::Right);
        assert_eq!(of(&[]), Presented::Nothing);
        assert_eq!(of(&[right, right]), Presented::Nothing);
        assert_eq!(of(&["Basic 0123456789abcdef0123"]), Presented::Nothing);
        assert_eq!(of(&["Bearer"]), Presented::Nothing);
        for wrong in
            ["Bearer ", "Bearer 0123456789abcdef012", "Bearer 0123456789abcdef01234", "Bearer  0123456789abcdef0123"]
        {
            assert_eq!(of(&[wrong]), Presented::Wrong, "{wrong}");
        }
    }
}
