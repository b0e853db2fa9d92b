//! The errors of a store, each with the operator's remedy.

use std::fmt;
use std::time::Duration;

/// The reason why a request to the store fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The configuration or the environment lacks a setting, or has a wrong one.
    Setting(String),
    /// The host of the store has no address, cannot be connected to, or ends connections.
    Unreachable {
        /// The host, and the port if it is written.
        host: String,
        /// The reason.
        why: String,
    },
    /// The TLS handshake fails.
    Tls {
        /// The host, and the port if it is written.
        host: String,
        /// The reason.
        why: String,
    },
    /// The store did not answer in time. A write may have been done.
    Deadline {
        /// The deadline.
        after: Duration,
        /// The host that was awaited; `None` if no request was under way.
        host: Option<String>,
    },
    /// The same, of etcd: a member answers nothing that needs a quorum.
    NoQuorum {
        /// The deadline.
        after: Duration,
    },
    /// The store does not accept the credentials, or there are none.
    Credentials(String),
    /// The credentials do not allow the request.
    Denied(String),
    /// The bucket or container does not exist.
    NoBucket(String),
    /// The bucket is in another region.
    Region(String),
    /// The clock of this machine is wrong, so that signatures are refused.
    Clock(String),
    /// The object is longer than the caller, or the store, accepts.
    TooLong {
        /// The name.
        name: String,
        /// The most bytes.
        max_len: usize,
    },
    /// The folder has more objects than are listed.
    TooMany {
        /// The folder.
        folder: String,
        /// The most objects.
        max: usize,
    },
    /// The store has a fault, or too many requests, and repeating the request did not help.
    Failing(String),
    /// The store refuses the request for another reason.
    Refused(String),
    /// The response is not one of this kind of store.
    Strange(String),
    /// A file or folder of the shared folder cannot be used.
    Folder {
        /// The path.
        path: String,
        /// The reason.
        why: String,
    },
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Setting(why) => f.write_str(why),
            StoreError::Unreachable { host, why } => {
                write!(f, "{host} cannot be reached: {why}; check its name, its port and the firewalls between")
            }
            StoreError::Tls { host, why } => {
                write!(f, "no TLS with {host}: {why}; check the trusted roots, and that the port is one for TLS")
            }
            StoreError::Deadline { after, host: Some(host) } => {
                write!(f, "{host} did not answer within {} s; check the network and the store", after.as_secs_f32())
            }
            StoreError::Deadline { after, host: None } => {
                write!(f, "the store did not answer within {} s; check it", after.as_secs_f32())
            }
            StoreError::NoQuorum { after } => write!(
                f,
                "etcd did not answer within {} s; check that more than half of its members run (`etcdctl endpoint health`)",
                after.as_secs_f32()
            ),
            StoreError::Credentials(why) => write!(f, "the credentials are not accepted: {why}"),
            StoreError::Denied(why) => {
                write!(f, "not allowed: {why}; allow this account to read, list, write and delete below the prefix")
            }
            StoreError::NoBucket(bucket) => {
                write!(f, "there is no bucket `{bucket}`; create it, or correct the URL of the store")
            }
            StoreError::Region(why) => {
                write!(f, "the bucket is in another region: {why}; set `AWS_REGION` to its region")
            }
            StoreError::Clock(why) => write!(f, "this machine's clock is wrong: {why}; synchronise it (NTP)"),
            StoreError::TooLong { name, max_len } => write!(f, "`{name}` has more than {max_len} bytes"),
            StoreError::TooMany { folder, max } => {
                write!(f, "there are more than {max} objects in `{folder}`; remove those that no server needs")
            }
            StoreError::Failing(why) => write!(f, "the store has a fault: {why}; it is asked again later"),
            StoreError::Refused(why) => write!(f, "the store refuses the request: {why}"),
            StoreError::Strange(why) => {
                write!(f, "the response is not one of such a store: {why}; check the endpoint, and proxies before it")
            }
            StoreError::Folder { path, why } => write!(f, "`{path}` cannot be used: {why}"),
        }
    }
}

impl std::error::Error for StoreError {}
