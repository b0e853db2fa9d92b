//! The token for control requests on the admin listener: as a bearer token, or as the password of a browser's form.
//!
//! **Invariants**: the token itself is not stored, only its hash; the comparison takes the same time for right and wrong
//! tokens, wherever a wrong one differs.
//!
//! RFC 6750 §2.1 (bearer tokens), RFC 7617 §2 (Basic), RFC 9110 §11 (authentication).

use data_encoding::BASE64;
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderValue};
use ring::digest::{Digest, SHA256, digest};
use subtle::ConstantTimeEq as _;

/// The hash of a token, which recognizes the token in a request.
#[derive(Clone, Copy)]
pub struct Token(Digest);

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
    /// No token, or not exactly one `Authorization` header of the expected scheme.
    Nothing,
}

impl Token {
    /// Hashes the text of a token.
    pub fn new(text: &str) -> Self {
        Token(digest(&SHA256, text.as_bytes()))
    }

    /// Compares the token in a request's headers with this one.
    pub(super) fn recognize(&self, headers: &HeaderMap) -> Presented {
        credentials(headers, b"Bearer ").map_or(Presented::Nothing, |token| self.compare(token))
    }

    /// Compares the password in a request's headers with this one; the name of the user may be any.
    pub(super) fn recognize_password(&self, headers: &HeaderMap) -> Presented {
        let Some(encoded) = credentials(headers, b"Basic ") else { return Presented::Nothing };
        let decoded = BASE64.decode(encoded).unwrap_or_default();
        match decoded.iter().position(|byte| *byte == b':') {
            Some(colon) => self.compare(&decoded[colon + 1..]),
            None => Presented::Wrong,
        }
    }

    fn compare(&self, token: &[u8]) -> Presented {
        // The comparison is between hashes, so that its time does not reveal the token's length.
        if bool::from(digest(&SHA256, token).as_ref().ct_eq(self.0.as_ref())) {
            Presented::Right
        } else {
            Presented::Wrong
        }
    }
}

/// The credentials behind a scheme with its space; `None` if there is not exactly one header of this scheme.
pub(super) fn credentials<'h>(headers: &'h HeaderMap, scheme: &[u8]) -> Option<&'h [u8]> {
    let (written, rest) = only(headers, AUTHORIZATION.as_str())?.split_at_checked(scheme.len())?;
    // RFC 9110 §11.1: the scheme is case-insensitive.
    written.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// The value of the only header of a name. With two, a proxy in front of Pharos might use the other one.
pub(super) fn only<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none()).map(HeaderValue::as_bytes)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn a_password_is_recognized_behind_any_name() {
        let token = Token::new("0123456789abcdef:123");
        let of = |value: &str| {
            let headers = [(AUTHORIZATION, HeaderValue::from_str(value).unwrap())].into_iter().collect();
            (token.recognize_password(&headers), token.recognize(&headers))
        };
        let basic = |text: &str| of(&format!("Basic {}", BASE64.encode(text.as_bytes())));
        assert_eq!(basic("anyone:0123456789abcdef:123"), (Presented::Right, Presented::Nothing));
        assert_eq!(basic(":0123456789abcdef:123").0, Presented::Right);
        for wrong in ["0123456789abcdef:123", "x:y", "x:", ""] {
            assert_eq!(basic(wrong).0, Presented::Wrong, "{wrong}");
        }
        assert_eq!(of("Basic %").0, Presented::Wrong);
        assert_eq!(of("Bearer 0123456789abcdef:123"), (Presented::Nothing, Presented::Right));
    }

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
