//! The store that the servers of a fleet share: objects by name, in a bucket of a cloud, in etcd or in a folder.
//!
//! ```text
//! Store ─┬─ objects: S3, Google, Azure (object_store over outgoing)
//!        ├─ etcd: its JSON gateway (outgoing)
//!        └─ folder: a shared file system (files::shared)
//! ```
//!
//! The engines are variants of one enum instead of a trait, because all are known here, async functions of a trait cannot be
//! called through a pointer without boxing each, and limits and deadlines stand in one place before them.
//!
//! **Invariants**: each call ends by the deadline of the store; a read is bounded before and while it is read; a request is
//! repeated only if a second execution has the same effect, so that [`Store::write_if`] never reports a conflict with itself;
//! no credential is shown, neither in an error nor by `Debug`.
//! **Not here**: the meaning of objects, when to read and write, what a server does without its store (the services above);
//! the form of the URL ([`crate::config::StoreUrl`]).
//!
//! RFC 9110 §13.1 (If-Match, If-None-Match).

mod environment;
mod error;
mod etcd;
mod folder;
mod name;
mod objects;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;

use crate::config::{EtcdAccess, ProxyConfig, Resolver, StoreUrl};
use crate::tls::Roots;
pub use environment::StoreEnvironment;
pub use error::StoreError;
pub use etcd::StoreWatch;
use etcd::{Consistency, EtcdEngine};
use folder::FolderEngine;
pub use name::{BadObjectName, MAX_NAME, ObjectName, StoreVersion};
use objects::ObjectEngine;

/// The most objects in a list. A fleet has some dozens of servers; files of bundles are listed only to remove old ones.
pub const MAX_LISTED: usize = 10_000;

/// The longest object in bytes, except in etcd: that of a file of state.
const MAX_OBJECT: usize = 1 << 30;

/// The longest object in etcd in bytes. etcd refuses a request of more than 1.5 MiB; the rest is for keys and conditions.
const MAX_ETCD_OBJECT: usize = 1_500_000;

/// The settings of a store.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// The URL.
    pub url: StoreUrl,
    /// The access to etcd; other stores do not read it.
    pub access: EtcdAccess,
    /// The variables for clouds; other stores do not read it.
    pub environment: StoreEnvironment,
    /// The trusted roots of this system.
    pub roots: Arc<Roots>,
    /// The resolvers that are asked for the store's addresses.
    pub(crate) resolver: Resolver,
    /// The proxy to the store.
    pub(crate) proxy: ProxyConfig,
    /// The longest time of a call.
    pub deadline: Duration,
}

impl StoreSettings {
    /// The settings with the resolvers of this system, and the proxy of the environment.
    pub fn new(url: StoreUrl, roots: Arc<Roots>, deadline: Duration) -> Self {
        StoreSettings {
            url,
            access: EtcdAccess::default(),
            environment: StoreEnvironment::of_process(),
            roots,
            resolver: Resolver::default(),
            proxy: ProxyConfig::Environment,
            deadline,
        }
    }
}

/// The outcome of a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreRead {
    /// The object has the known version.
    Same,
    /// The object has another version than the known one.
    Changed {
        /// The content.
        bytes: Bytes,
        /// The version.
        version: StoreVersion,
    },
    /// There is no such object.
    Missing,
}

/// The outcome of a conditional write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreWrite {
    /// The object is written, and has this version.
    Done(StoreVersion),
    /// The object does not have the expected version, and was not written.
    Conflict,
}

/// An object in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedObject {
    /// The name.
    pub name: ObjectName,
    /// The version, which a later read may know as the present one.
    pub version: StoreVersion,
}

/// The reason for the next look at the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchEvent {
    /// The store says that something changed.
    Changed,
    /// The interval is over. A silent watch proves nothing: without a quorum etcd says nothing either.
    Silent,
}

/// A store. Its calls need a tokio runtime with time and I/O.
#[derive(Debug)]
pub struct Store {
    url: StoreUrl,
    engine: Engine,
    deadline: Duration,
}

#[derive(Debug)]
enum Engine {
    Objects(ObjectEngine),
    Etcd(EtcdEngine),
    Folder(FolderEngine),
}

/// A call of the store's engine, within the deadline of the store.
macro_rules! call {
    ($store:ident, $engine:ident => $call:expr) => {
        match &$store.engine {
            Engine::Objects($engine) => $store.within($call).await,
            Engine::Etcd($engine) => $store.within($call).await,
            Engine::Folder($engine) => $store.within($call).await,
        }
    };
}

impl Store {
    /// Prepares a store without a request to it. It reads certificates, passwords and credential files, so it waits for the
    /// disk.
    pub fn open(settings: StoreSettings) -> Result<Store, StoreError> {
        let (url, deadline) = (settings.url.clone(), settings.deadline);
        let engine = match &url {
            StoreUrl::Bucket { cloud, bucket, prefix } => {
                Engine::Objects(ObjectEngine::new(*cloud, bucket, prefix, &settings)?)
            }
            StoreUrl::Etcd { is_secure, members, prefix } => {
                let scheme = if *is_secure { "https" } else { "http" };
                Engine::Etcd(EtcdEngine::new(scheme, members, prefix, &settings)?)
            }
            StoreUrl::Folder(path) => Engine::Folder(FolderEngine::new(path.clone(), deadline)),
        };
        Ok(Store { url, engine, deadline })
    }

    /// The longest object in bytes that the store keeps.
    pub fn max_object_len(&self) -> usize {
        match &self.engine {
            Engine::Etcd(_) => MAX_ETCD_OBJECT,
            Engine::Objects(_) | Engine::Folder(_) => MAX_OBJECT,
        }
    }

    /// True for a folder: a look at it is no request to a service.
    pub(crate) fn is_folder(&self) -> bool {
        matches!(self.engine, Engine::Folder(_))
    }

    /// Reads an object of `max_len` bytes at most, unless it has the known version. etcd answers from one member, which may
    /// be behind the others, and also answers without a quorum.
    pub async fn read(
        &self,
        name: &ObjectName,
        known: Option<&StoreVersion>,
        max_len: usize,
    ) -> Result<StoreRead, StoreError> {
        match &self.engine {
            Engine::Objects(engine) => self.within(engine.read(name, known, max_len)).await,
            Engine::Etcd(engine) => self.within(engine.read(Consistency::Serializable, name, known, max_len)).await,
            Engine::Folder(engine) => self.within(engine.read(name, known, max_len)).await,
        }
    }

    /// The same with the effect of every write that ended before. In etcd it needs a quorum; it precedes a
    /// [`Store::write_if`], which otherwise might never catch up.
    pub async fn read_latest(
        &self,
        name: &ObjectName,
        known: Option<&StoreVersion>,
        max_len: usize,
    ) -> Result<StoreRead, StoreError> {
        match &self.engine {
            Engine::Etcd(engine) => self.within(engine.read(Consistency::Linearizable, name, known, max_len)).await,
            Engine::Objects(_) | Engine::Folder(_) => self.read(name, known, max_len).await,
        }
    }

    /// Lists the objects below a folder, in the order of their names. Keys of other forms are left out.
    pub async fn list(&self, folder: &ObjectName) -> Result<Vec<ListedObject>, StoreError> {
        let mut found = call!(self, engine => engine.list(folder))?;
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    /// Writes an object, whatever there is.
    pub async fn write(&self, name: &ObjectName, bytes: &[u8]) -> Result<StoreVersion, StoreError> {
        self.check_len(name, bytes)?;
        call!(self, engine => engine.write(name, bytes))
    }

    /// Writes an object if it has the expected version or, for `None`, if there is none. After an error the object may have
    /// been written: read it.
    pub async fn write_if(
        &self,
        name: &ObjectName,
        bytes: &[u8],
        expected: Option<&StoreVersion>,
    ) -> Result<StoreWrite, StoreError> {
        self.check_len(name, bytes)?;
        call!(self, engine => engine.write_if(name, bytes, expected))
    }

    /// Deletes an object, if it exists.
    pub async fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        call!(self, engine => engine.delete(name))
    }

    /// Watches the objects below a folder. `None` if the store has no watches, so that its callers look at intervals.
    pub fn watch(&self, folder: &ObjectName) -> Option<StoreWatch> {
        match &self.engine {
            Engine::Etcd(engine) => Some(engine.watch(folder)),
            Engine::Objects(_) | Engine::Folder(_) => None,
        }
    }

    fn check_len(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StoreError> {
        let max_len = self.max_object_len();
        if bytes.len() > max_len { Err(StoreError::TooLong { name: name.to_string(), max_len }) } else { Ok(()) }
    }

    /// Ends a call by the deadline.
    async fn within<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        match tokio::time::timeout(self.deadline, call).await {
            Ok(done) => done,
            Err(_) => Err(self.late()),
        }
    }

    /// The error of a call that did not end in time.
    fn late(&self) -> StoreError {
        match &self.engine {
            Engine::Objects(engine) => engine.late(self.deadline),
            Engine::Etcd(_) => StoreError::NoQuorum { after: self.deadline },
            Engine::Folder(_) => StoreError::Deadline { after: self.deadline, host: None },
        }
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(f)
    }
}
