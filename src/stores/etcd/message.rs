//! Messages of etcd's JSON gateway: keys and values in base64, 64-bit numbers as text, and absent members for zero values.
//!
//! The forms are those of etcd 3.4 and later, whose paths begin with `/v3`.

use data_encoding::BASE64;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

/// Bytes as text.
pub(super) fn base64(bytes: impl AsRef<[u8]>) -> String {
    BASE64.encode(bytes.as_ref())
}

/// A read of a key by its member alone, or by a quorum. If no revision is newer than `known`, the response has the count of keys,
/// and no key.
pub(super) fn read_request(key: &str, is_serializable: bool, known: Option<Revision>) -> Value {
    let mut request = json!({ "key": base64(key), "serializable": is_serializable, "keys_only": false });
    if let Some(Revision(known)) = known {
        request["min_mod_revision"] = json!((known + 1).to_string());
    }
    request
}

/// A write.
pub(super) fn put_request(key: &str, bytes: &[u8]) -> Value {
    json!({ "key": base64(key), "value": base64(bytes) })
}

/// Bytes in base64.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Base64(pub(super) Vec<u8>);

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        BASE64.decode(text.as_bytes()).map(Base64).map_err(|_| D::Error::custom("a value is not in base64"))
    }
}

/// A revision or count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Revision(pub(super) u64);

impl<'de> Deserialize<'de> for Revision {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
        number.map(Revision).ok_or_else(|| D::Error::custom("a revision is no number, nor one as text"))
    }
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

/// The response to a write, a transaction or a removal.
#[derive(Debug, Deserialize)]
pub(super) struct WriteResponse {
    pub(super) header: ResponseHeader,
    /// True if the condition of a transaction held.
    #[serde(default)]
    pub(super) succeeded: bool,
}

/// The header of a response.
#[derive(Debug, Deserialize)]
pub(super) struct ResponseHeader {
    /// The revision of etcd after the request.
    #[serde(default)]
    pub(super) revision: Revision,
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
        assert_eq!(
            read_request("a/b", true, Some(Revision(7))),
            json!({ "key": "YS9i", "serializable": true, "keys_only": false, "min_mod_revision": "8" })
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
