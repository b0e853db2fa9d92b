//! The bearer token for control requests on the admin listener.
//!
//! **Invariants**: the token itself is not stored, only its hash; the comparison takes the same time for right and wrong
//! tokens, wherever a wrong one differs.
//!
//! RFC 6750 §2.1 (bearer tokens), RFC 9110 §11 (authentication).

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use subtle::ConstantTimeEq as _;

/// The hash of a token, which recognizes the token in a request.
#[derive(Clone, Copy)]
pub struct Token([u8; SHA256_OUTPUT_LEN]);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

/// The token in a request, compared with the right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presented {
    /// The right token.
    Right,
    /// Another token.
    Wrong,
    /// No token, or not exactly one `Authorization` header of the scheme `Bearer`.
    Nothing,
}

impl Token {
    /// Hashes the text of a token.
    pub fn new(text: &str) -> Self {
        Token(hash(text.as_bytes()))
    }

    /// Compares the token in a request's headers with this one.
    pub(super) fn recognize(&self, headers: &HeaderMap) -> Presented {
        // With two headers, a proxy in front of Pharos might use the other one.
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return Presented::Nothing };
        let Some((scheme, token)) = value.as_bytes().split_at_checked(b"Bearer ".len()) else {
            return Presented::Nothing;
        };
        // RFC 9110 §11.1: the scheme is case-insensitive.
        if !scheme.eq_ignore_ascii_case(b"Bearer ") {
            return Presented::Nothing;
        }
        // The comparison is between hashes, so that its time does not reveal the token's length.
        if bool::from(hash(token).ct_eq(&self.0)) { Presented::Right } else { Presented::Wrong }
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
