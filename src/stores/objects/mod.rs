//! The engine for buckets: S3, Google Cloud Storage and Azure Blob Storage, by `object_store`.
//!
//! **Invariants**: a conditional write is sent once, unless it was not sent at all; all other requests are repeated twice at
//! most, within the deadline.
//! **Not here**: credentials ([`cloud`]), requests ([`service`]), causes ([`fault`]).

mod cloud;
mod fault;
mod profile;
mod service;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use object_store::path::Path;
use object_store::{
    Error, GetOptions, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, PutResult, UpdateVersion,
};

use super::error::StoreError;
use super::name::{ObjectName, StoreVersion, name_of};
use super::{ListedObject, MAX_LISTED, StoreRead, StoreSettings, StoreWrite};
use crate::config::Cloud;
use service::{Awaited, BodyBound, CloudService};

/// The time for which an idle connection is kept: that of one look at the store. The next look comes later than stores keep
/// idle connections.
const IDLE: Duration = Duration::from_secs(4);

/// A bucket.
#[derive(Debug)]
pub(super) struct ObjectEngine {
    cloud: Cloud,
    bucket: Arc<str>,
    prefix: Arc<str>,
    store: Box<dyn ObjectStore>,
    awaited: Awaited,
}

impl ObjectEngine {
    pub(super) fn new(
        cloud: Cloud,
        bucket: &Arc<str>,
        prefix: &Arc<str>,
        settings: &StoreSettings,
    ) -> Result<Self, StoreError> {
        let awaited = Awaited::default();
        let service = CloudService::new(settings, IDLE, awaited.clone())?;
        let store = cloud::open(cloud, bucket, settings, service)?;
        Ok(ObjectEngine { cloud, bucket: bucket.clone(), prefix: prefix.clone(), store, awaited })
    }

    pub(super) async fn read(
        &self,
        name: &ObjectName,
        known: Option<&StoreVersion>,
        max_len: usize,
    ) -> Result<StoreRead, StoreError> {
        let mut options = GetOptions { if_none_match: known.map(etag), ..GetOptions::default() };
        options.extensions.insert(BodyBound(max_len));
        let found = match self.store.get_opts(&self.path(name), options).await {
            Ok(found) => found,
            Err(Error::NotModified { .. }) if known.is_some() => return Ok(StoreRead::Same),
            Err(Error::NotFound { .. }) => return Ok(StoreRead::Missing),
            Err(error) => return Err(self.fault(&error)),
        };
        let too_long = || StoreError::TooLong { name: name.to_string(), max_len };
        if found.meta.size > max_len as u64 {
            return Err(too_long());
        }
        let version = version(found.meta.e_tag.as_deref(), found.meta.version.as_deref())?;
        let mut bytes = Vec::with_capacity(found.meta.size as usize);
        let mut pieces = found.into_stream();
        while let Some(piece) = pieces.next().await {
            bytes.extend_from_slice(&piece.map_err(|error| self.fault(&error))?);
            if bytes.len() > max_len {
                return Err(too_long());
            }
        }
        Ok(StoreRead::Changed { bytes: bytes.into(), version })
    }

    pub(super) async fn list(&self, folder: &ObjectName) -> Result<Vec<ListedObject>, StoreError> {
        let mut listed = self.store.list(Some(&self.path(folder)));
        let mut found = Vec::new();
        while let Some(object) = listed.next().await {
            let object = object.map_err(|error| self.fault(&error))?;
            if let Some(name) = name_of(object.location.as_ref(), &self.prefix) {
                found.push(ListedObject { name, version: version(object.e_tag.as_deref(), None)? });
            }
            if found.len() > MAX_LISTED {
                return Err(StoreError::TooMany { folder: folder.to_string(), max: MAX_LISTED });
            }
        }
        Ok(found)
    }

    pub(super) async fn write(&self, name: &ObjectName, bytes: &[u8]) -> Result<StoreVersion, StoreError> {
        let put = self.put(name, bytes, PutMode::Overwrite).await.map_err(|error| self.fault(&error))?;
        version(put.e_tag.as_deref(), put.version.as_deref())
    }

    pub(super) async fn write_if(
        &self,
        name: &ObjectName,
        bytes: &[u8],
        expected: Option<&StoreVersion>,
    ) -> Result<StoreWrite, StoreError> {
        let mode = match expected {
            None => PutMode::Create,
            Some(version) => PutMode::Update(UpdateVersion {
                e_tag: Some(etag(version)),
                version: version.generation.as_deref().map(str::to_string),
            }),
        };
        match self.put(name, bytes, mode).await {
            Ok(put) => Ok(StoreWrite::Done(version(put.e_tag.as_deref(), put.version.as_deref())?)),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(StoreWrite::Conflict),
            Err(error) => Err(self.fault(&error)),
        }
    }

    pub(super) async fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        match self.store.delete(&self.path(name)).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.fault(&error)),
        }
    }

    /// The error of a call that did not end in time.
    pub(super) fn late(&self, after: Duration) -> StoreError {
        fault::late(self.cloud, after, self.awaited.load_full().map(Arc::unwrap_or_clone))
    }

    async fn put(&self, name: &ObjectName, bytes: &[u8], mode: PutMode) -> Result<PutResult, Error> {
        let payload = PutPayload::from(bytes.to_vec());
        self.store.put_opts(&self.path(name), payload, PutOptions { mode, ..PutOptions::default() }).await
    }

    fn path(&self, name: &ObjectName) -> Path {
        Path::from(name.key(&self.prefix))
    }

    fn fault(&self, error: &Error) -> StoreError {
        fault::store_error(self.cloud, &self.bucket, error)
    }
}

/// The version of an object. Lists of Azure have ETags without quotes, its other responses with them.
fn version(etag: Option<&str>, generation: Option<&str>) -> Result<StoreVersion, StoreError> {
    let etag = etag.ok_or_else(|| StoreError::Strange("an object has no ETag".to_string()))?;
    let tag = etag.strip_prefix('"').and_then(|etag| etag.strip_suffix('"')).unwrap_or(etag);
    Ok(StoreVersion { tag: tag.into(), generation: generation.map(Into::into) })
}

/// The ETag of a version, as in a header.
fn etag(version: &StoreVersion) -> String {
    // A weak ETag has its own quotes (RFC 9110 §8.8.3).
    if version.tag.starts_with("W/") { version.tag.to_string() } else { format!("\"{}\"", version.tag) }
}
