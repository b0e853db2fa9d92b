//! The engine for etcd, by the JSON gateway of its members.
//!
//! The gateway is used because etcd's clients for Rust need `protoc` to be built. It has all that a store takes, and each member
//! serves it at the port for clients.
//!
//! **Invariants**: a version is the revision of the last write of the key; a value is at most
//! [`super::Store::max_object_len`] long.
//! **Not here**: members, time-outs and users ([`gateway`]), the form of messages ([`message`]).

mod gateway;
mod message;
mod watch;

use std::sync::Arc;

use hyper::body::Bytes;
use serde_json::json;

use super::error::StoreError;
use super::name::{ObjectName, StoreVersion, name_of};
use super::{ListedObject, MAX_LISTED, StoreRead, StoreSettings, StoreWrite};
use gateway::{Gateway, Repeat};
use message::{RangeResponse, Revision, WriteResponse, base64, end_of_prefix, put_request, read_request};
pub use watch::StoreWatch;

/// The bytes of a response beside its values, and those of an entry of a list.
const FRAME_LEN: usize = 4 << 10;
const ENTRY_LEN: usize = 1 << 10;

/// The keys below a prefix of one etcd.
#[derive(Debug)]
pub(super) struct EtcdEngine {
    gateway: Arc<Gateway>,
    prefix: Arc<str>,
}

/// The members that may answer a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consistency {
    /// One member, by its own state.
    Serializable,
    /// A quorum.
    Linearizable,
}

impl EtcdEngine {
    pub(super) fn new(
        scheme: &'static str,
        members: &[Arc<str>],
        prefix: &Arc<str>,
        settings: &StoreSettings,
    ) -> Result<Self, StoreError> {
        Ok(EtcdEngine { gateway: Arc::new(Gateway::new(scheme, members, settings)?), prefix: prefix.clone() })
    }

    pub(super) async fn read(
        &self,
        consistency: Consistency,
        name: &ObjectName,
        known: Option<&StoreVersion>,
        max_len: usize,
    ) -> Result<StoreRead, StoreError> {
        let is_serializable = consistency == Consistency::Serializable;
        let request = read_request(&name.key(&self.prefix), is_serializable, known.map(revision_of));
        let too_long = || StoreError::TooLong { name: name.to_string(), max_len };
        let bound = max_len.div_ceil(3).saturating_mul(4).saturating_add(FRAME_LEN);
        let response = self.gateway.call("/v3/kv/range", &request, Repeat::Allowed, bound).await;
        let response: RangeResponse = match response {
            Err(StoreError::TooLong { .. }) => return Err(too_long()),
            response => response?,
        };
        match response.kvs.into_iter().next() {
            None if response.count.0 > 0 => Ok(StoreRead::Same),
            None => Ok(StoreRead::Missing),
            Some(found) if found.value.0.len() > max_len => Err(too_long()),
            Some(found) => {
                Ok(StoreRead::Changed { bytes: Bytes::from(found.value.0), version: version_of(found.mod_revision) })
            }
        }
    }

    pub(super) async fn list(&self, folder: &ObjectName) -> Result<Vec<ListedObject>, StoreError> {
        let (start, end) = self.below(folder);
        let request = json!({
            "key": base64(start),
            "range_end": base64(end),
            "serializable": true,
            "keys_only": true,
            "limit": (MAX_LISTED + 1).to_string(),
        });
        let too_many = || StoreError::TooMany { folder: folder.to_string(), max: MAX_LISTED };
        let bound = (MAX_LISTED + 1) * ENTRY_LEN;
        let response = self.gateway.call("/v3/kv/range", &request, Repeat::Allowed, bound).await;
        let response: RangeResponse = match response {
            Err(StoreError::TooLong { .. }) => return Err(too_many()),
            response => response?,
        };
        if response.kvs.len() > MAX_LISTED {
            return Err(too_many());
        }
        let object = |found: message::KeyValue| {
            let name = name_of(std::str::from_utf8(&found.key.0).ok()?, &self.prefix)?;
            Some(ListedObject { name, version: version_of(found.mod_revision) })
        };
        Ok(response.kvs.into_iter().filter_map(object).collect())
    }

    pub(super) async fn write(&self, name: &ObjectName, bytes: &[u8]) -> Result<StoreVersion, StoreError> {
        let request = put_request(&name.key(&self.prefix), bytes);
        let response: WriteResponse = self.gateway.call("/v3/kv/put", &request, Repeat::Allowed, FRAME_LEN).await?;
        Ok(version_of(response.header.revision))
    }

    pub(super) async fn write_if(
        &self,
        name: &ObjectName,
        bytes: &[u8],
        expected: Option<&StoreVersion>,
    ) -> Result<StoreWrite, StoreError> {
        let key = name.key(&self.prefix);
        // A key that does not exist has revision 0.
        let Revision(revision) = expected.map_or(Revision(0), revision_of);
        let is_expected = json!({
            "key": base64(&key),
            "target": "MOD",
            "result": "EQUAL",
            "mod_revision": revision.to_string(),
        });
        let request = json!({ "compare": [is_expected], "success": [{ "request_put": put_request(&key, bytes) }] });
        let response: WriteResponse = self.gateway.call("/v3/kv/txn", &request, Repeat::Unsent, FRAME_LEN).await?;
        Ok(if response.succeeded {
            StoreWrite::Done(version_of(response.header.revision))
        } else {
            StoreWrite::Conflict
        })
    }

    pub(super) async fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        let request = json!({ "key": base64(name.key(&self.prefix)) });
        let _: WriteResponse = self.gateway.call("/v3/kv/deleterange", &request, Repeat::Allowed, FRAME_LEN).await?;
        Ok(())
    }

    pub(super) fn watch(&self, folder: &ObjectName) -> StoreWatch {
        let (start, end) = self.below(folder);
        StoreWatch::new(self.gateway.clone(), start, end)
    }

    /// The first key below a folder, and the first behind these.
    fn below(&self, folder: &ObjectName) -> (Vec<u8>, Vec<u8>) {
        let start = format!("{}/", folder.key(&self.prefix)).into_bytes();
        let end = end_of_prefix(&start);
        (start, end)
    }
}

fn version_of(revision: Revision) -> StoreVersion {
    StoreVersion::of(&revision.0.to_string())
}

/// The revision of a version; 0, which no present key has, for a version of another store.
fn revision_of(version: &StoreVersion) -> Revision {
    Revision(version.tag.parse().unwrap_or(0))
}
