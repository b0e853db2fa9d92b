//! Messages of etcd's JSON gateway: keys and values in base64, 64-bit numbers as text, and absent members for zero values.
//!
//! The forms are those of etcd 3.4 and later, whose paths begin with `/v3`.

use std::fmt;

use data_encoding::BASE64;
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes in base64.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Base64(pub(super) Vec<u8>);

impl From<Vec<u8>> for Base64 {
    fn from(bytes: Vec<u8>) -> Self {
        Base64(bytes)
    }
}

impl From<String> for Base64 {
    fn from(text: String) -> Self {
        Base64(text.into_bytes())
    }
}

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        BASE64.decode(text.as_bytes()).map(Base64).map_err(|_| D::Error::custom("a value is not in base64"))
    }
}

/// A revision or count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Revision(pub(super) u64);

impl Serialize for Revision {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Revision {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Revision;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or one as text")
            }

            fn visit_u64<E>(self, number: u64) -> Result<Revision, E> {
                Ok(Revision(number))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Revision, E> {
                text.parse().map(Revision).map_err(|_| E::custom("a revision is not a number"))
            }
        }
        deserializer.deserialize_any(Number)
    }
}

/// A read of a key, or of keys up to `range_end`.
#[derive(Debug, Default, Serialize)]
pub(super) struct RangeRequest {
    pub(super) key: Base64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) range_end: Option<Base64>,
    pub(super) serializable: bool,
    pub(super) keys_only: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) limit: Option<Revision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) min_mod_revision: Option<Revision>,
}

/// The response to a read.
#[derive(Debug, Deserialize)]
pub(super) struct RangeResponse {
    /// The keys that the conditions leave over.
    #[serde(default)]
    pub(super) kvs: Vec<KeyValue>,
    /// The number of keys in the range.
    #[serde(default)]
    pub(super) count: Revision,
}

/// A key with its value.
#[derive(Debug, Deserialize)]
pub(super) struct KeyValue {
    #[serde(default)]
    pub(super) key: Base64,
    #[serde(default)]
    pub(super) value: Base64,
    #[serde(default)]
    pub(super) mod_revision: Revision,
}

/// A write.
#[derive(Debug, Serialize)]
pub(super) struct PutRequest {
    pub(super) key: Base64,
    pub(super) value: Base64,
}

/// A removal.
#[derive(Debug, Serialize)]
pub(super) struct DeleteRequest {
    pub(super) key: Base64,
}

/// The response to a write or a removal.
#[derive(Debug, Deserialize)]
pub(super) struct WriteResponse {
    pub(super) header: ResponseHeader,
}

/// The header of a response.
#[derive(Debug, Deserialize)]
pub(super) struct ResponseHeader {
    /// The revision of etcd after the request.
    #[serde(default)]
    pub(super) revision: Revision,
}

/// A write under one condition.
#[derive(Debug, Serialize)]
pub(super) struct TxnRequest {
    pub(super) compare: [Compare; 1],
    pub(super) success: [RequestOp; 1],
}

/// The condition: the revision of the last write of a key.
#[derive(Debug, Serialize)]
pub(super) struct Compare {
    pub(super) key: Base64,
    pub(super) target: &'static str,
    pub(super) result: &'static str,
    pub(super) mod_revision: Revision,
}

/// An operation of a transaction.
#[derive(Debug, Serialize)]
pub(super) struct RequestOp {
    pub(super) request_put: PutRequest,
}

/// The response to a transaction.
#[derive(Debug, Deserialize)]
pub(super) struct TxnResponse {
    pub(super) header: ResponseHeader,
    #[serde(default)]
    pub(super) succeeded: bool,
}

/// A request for a watch.
#[derive(Debug, Serialize)]
pub(super) struct WatchRequest {
    pub(super) create_request: WatchRange,
}

/// The keys of a watch.
#[derive(Debug, Serialize)]
pub(super) struct WatchRange {
    pub(super) key: Base64,
    pub(super) range_end: Base64,
}

/// A line of a watch.
#[derive(Debug, Deserialize)]
pub(super) struct WatchLine {
    #[serde(default)]
    pub(super) result: WatchResult,
}

/// The content of a line of a watch.
#[derive(Debug, Default, Deserialize)]
pub(super) struct WatchResult {
    /// True in the first line.
    #[serde(default)]
    pub(super) created: bool,
    /// True in the last line.
    #[serde(default)]
    pub(super) canceled: bool,
    /// The changes.
    #[serde(default)]
    pub(super) events: Vec<serde::de::IgnoredAny>,
}

/// A request for the token of a user.
#[derive(Serialize)]
pub(super) struct AuthenticateRequest<'a> {
    pub(super) name: &'a str,
    pub(super) password: &'a str,
}

/// The token of a user.
#[derive(Deserialize)]
pub(super) struct AuthenticateResponse {
    pub(super) token: String,
}

/// An error. Its code is that of gRPC.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ErrorResponse {
    #[serde(default)]
    pub(super) error: String,
    #[serde(default)]
    pub(super) message: String,
    #[serde(default)]
    pub(super) code: u32,
}

/// The first key behind all that begin with a prefix.
pub(super) fn end_of_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    // etcd reads this as the end of all keys.
    vec![0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_the_form_of_the_gateway() {
        let request = RangeRequest {
            key: "a/b".to_string().into(),
            serializable: true,
            min_mod_revision: Some(Revision(8)),
            ..RangeRequest::default()
        };
        assert_eq!(
            serde_json::to_string(&request).unwrap(),
            r#"{"key":"YS9i","serializable":true,"keys_only":false,"min_mod_revision":"8"}"#
        );
        let text =
            r#"{"header":{"revision":"9"},"kvs":[{"key":"YS9i","mod_revision":"9","value":"AAE="}],"count":"1"}"#;
        let response: RangeResponse = serde_json::from_str(text).unwrap();
        assert_eq!(
            (response.count, &*response.kvs[0].value.0, response.kvs[0].mod_revision),
            (Revision(1), &[0, 1][..], Revision(9))
        );
        assert!(serde_json::from_str::<RangeResponse>(r#"{"kvs":[{"value":"?"}]}"#).is_err());
        assert_eq!(serde_json::from_str::<RangeResponse>("{}").unwrap().count, Revision(0));
    }

    #[test]
    fn a_range_ends_behind_its_prefix() {
        assert_eq!(end_of_prefix(b"a/"), b"a0");
        assert_eq!(end_of_prefix(b"a\xff"), b"b");
        assert_eq!(end_of_prefix(b"\xff"), b"\0");
    }
}
