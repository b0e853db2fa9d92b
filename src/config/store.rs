//! The store of a fleet: the parts of its URL, and the access to etcd.
//!
//! **Invariants**: a [`StoreUrl`] has no empty part, and its prefix has neither an empty nor a dot segment; a URL has no
//! credentials in it.
//! **Not here**: requests to the store ([`crate::stores`]), credentials of clouds, which are in the environment.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use super::value::{Fault, bracketed, is_host, split_port};
use super::{InputFile, TlsFiles, value};
use crate::base::words::{Worded as _, words};

/// The most members of etcd. etcd's documentation recommends seven at most; the rest is for addresses that move.
const MAX_MEMBERS: usize = 16;

/// The longest prefix in bytes: with an object's name it stays far below the 1,024 bytes of a key in S3.
const MAX_PREFIX: usize = 256;

/// The longest name of a bucket in bytes, that of Google for names with dots.
const MAX_BUCKET: usize = 222;

/// The port of etcd for clients.
const ETCD_PORT: u16 = 2379;

/// The URL of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// `s3://`, `gs://` or `az://`: a bucket of a cloud, or of a server with the same API.
    Bucket {
        /// The API.
        cloud: Cloud,
        /// The bucket; for Azure the container.
        bucket: Arc<str>,
        /// The start of every key, without slashes at its ends; empty for none.
        prefix: Arc<str>,
    },
    /// `etcd://` or `etcds://`: the members of one etcd.
    Etcd {
        /// True for TLS.
        is_secure: bool,
        /// `HOST:PORT` of each member, an IPv6 address in brackets.
        members: Vec<Arc<str>>,
        /// The start of every key, without slashes at its ends; empty for none.
        prefix: Arc<str>,
    },
    /// `dir:`: a folder that all servers share.
    Folder(PathBuf),
}

words! {
    /// The API of a bucket, with the scheme of its URLs.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Cloud {
        /// Amazon S3.
        S3 = "s3",
        /// Google Cloud Storage.
        Google = "gs",
        /// Azure Blob Storage.
        Azure = "az",
    }
}

/// The access to etcd: further keys of `[fleet]`, which the other stores do not have.
#[derive(Clone, Debug, Default)]
pub struct EtcdAccess {
    /// The roots for the certificates of members; `None` for those of this system.
    pub ca: Option<InputFile>,
    /// The certificate that is presented to members, and its key.
    pub identity: Option<TlsFiles>,
    /// The user, and the file with the password.
    pub account: Option<(Arc<str>, InputFile)>,
}

fn bad(message: impl Into<String>, help: impl Into<String>) -> Fault {
    Fault::new("bad-store", message, "", help)
}

impl FromStr for StoreUrl {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let form = "write `s3://`, `gs://` or `az://` with `BUCKET/PREFIX`, `etcd://HOST:2379,HOST:2379`, or `dir:/mnt/shared`";
        if let Some(path) = text.strip_prefix("dir:") {
            return folder(path);
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(|| bad(format!("`{text}` has no scheme"), form))?;
        if rest.contains('@') {
            // The message does not repeat a password.
            let help = "credentials of clouds are in the environment, those of etcd in `user` and `password-file`";
            return Err(bad("the URL has a user in it", help));
        }
        if rest.contains(['?', '#']) {
            return Err(bad(format!("`{text}` has a query or fragment"), "leave it out"));
        }
        if let "etcd" | "etcds" = scheme {
            return etcd(scheme == "etcds", rest);
        }
        let unknown = || bad(format!("`{scheme}` is not the scheme of a store"), form);
        let cloud = Cloud::parse(scheme).ok_or_else(unknown)?;
        let (bucket, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let is_in_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if !(1..=MAX_BUCKET).contains(&bucket.len()) || !bucket.bytes().all(is_in_name) || bucket.starts_with('.') {
            let help = format!("write it like `{scheme}://my-bucket/prod`");
            return Err(bad(format!("`{bucket}` is not the name of a bucket"), help));
        }
        Ok(StoreUrl::Bucket { cloud, bucket: bucket.into(), prefix: prefix(rest)? })
    }
}

fn folder(path: &str) -> Result<StoreUrl, Fault> {
    // `dir:///mnt/shared` is a form that other programs have.
    let path = path.strip_prefix("//").unwrap_or(path);
    if !path.starts_with('/') || path.contains('\0') {
        let message = format!("`dir:{path}` does not name an absolute path");
        return Err(bad(message, "write it like `dir:/mnt/shared`: the folder is the same for all servers"));
    }
    Ok(StoreUrl::Folder(path.into()))
}

fn etcd(is_secure: bool, rest: &str) -> Result<StoreUrl, Fault> {
    let (members, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let members = members.split(',').map(member).collect::<Result<Vec<_>, _>>()?;
    if members.len() > MAX_MEMBERS {
        return Err(bad(format!("there are {} members", members.len()), format!("name {MAX_MEMBERS} at most")));
    }
    if let Some(twice) = members.iter().enumerate().find(|(at, member)| members[..*at].contains(member)) {
        return Err(bad(format!("`{}` is there twice", twice.1), "name each member once"));
    }
    Ok(StoreUrl::Etcd { is_secure, members, prefix: prefix(rest)? })
}

/// A member of etcd, with its port.
fn member(text: &str) -> Result<Arc<str>, Fault> {
    let fault = || bad(format!("`{text}` is not a member of etcd"), "write `HOST:2379`, with a comma between members");
    let (host, port) = split_port(text);
    let port = port.map_or(Some(ETCD_PORT), value::port).ok_or_else(fault)?;
    let is_known = match bracketed(host) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => is_host(host),
    };
    if is_known { Ok(format!("{}:{port}", host.to_ascii_lowercase()).into()) } else { Err(fault()) }
}

/// The start of every key.
fn prefix(text: &str) -> Result<Arc<str>, Fault> {
    let text = text.trim_matches('/');
    let is_segment = |segment: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        !segment.is_empty() && !matches!(segment, "." | "..") && segment.bytes().all(is_plain)
    };
    if text.len() > MAX_PREFIX || !(text.is_empty() || text.split('/').all(is_segment)) {
        let help = format!("write letters, digits and `._-` between single slashes, {MAX_PREFIX} at most");
        return Err(bad(format!("`{text}` is not a prefix of keys"), help));
    }
    Ok(text.into())
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = |prefix: &str| if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
        match self {
            StoreUrl::Bucket { cloud, bucket, prefix } => {
                write!(f, "{}://{bucket}{}", cloud.as_str(), slash(prefix))
            }
            StoreUrl::Etcd { is_secure, members, prefix } => {
                let scheme = if *is_secure { "etcds" } else { "etcd" };
                write!(f, "{scheme}://{}{}", members.join(","), slash(prefix))
            }
            StoreUrl::Folder(path) => write!(f, "dir:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_stores_are_read_and_written() {
        for (text, shown) in [
            ("s3://pharos-fleet/prod", "s3://pharos-fleet/prod"),
            ("s3://b", "s3://b"),
            ("gs://my_bucket.example.com/a/b/", "gs://my_bucket.example.com/a/b"),
            ("az://container/x", "az://container/x"),
            ("etcd://A.example,[2001:db8::1]:1,192.0.2.1/p", "etcd://a.example:2379,[2001:db8::1]:1,192.0.2.1:2379/p"),
            ("etcds://a:2380", "etcds://a:2380"),
            ("dir:/mnt/shared", "dir:/mnt/shared"),
            ("dir:///mnt/shared", "dir:/mnt/shared"),
        ] {
            let url: StoreUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(shown.parse(), Ok(url));
        }
    }

    #[test]
    fn urls_that_are_no_stores_say_why() {
        let fault = |text: &str| format!("{:?}", text.parse::<StoreUrl>().unwrap_err());
        for (text, why) in [
            ("pharos-fleet", "has no scheme"),
            ("http://b/x", "`http` is not the scheme"),
            ("s3://key:secret@b/x", "the URL has a user"),
            ("s3://", "`` is not the name of a bucket"),
            ("s3://a b", "is not the name of a bucket"),
            ("s3://../x", "is not the name of a bucket"),
            ("s3://b/x/../y", "is not a prefix"),
            ("s3://b/x//y", "is not a prefix"),
            ("s3://b/x?region=y", "has a query"),
            ("etcd://", "is not a member"),
            ("etcd://a:0", "is not a member"),
            ("etcd://a:+1", "is not a member"),
            ("etcd://a,,b", "`` is not a member"),
            ("etcd://a,a:2379", "`a:2379` is there twice"),
            ("etcd://[::1", "is not a member"),
            ("dir:shared", "absolute path"),
            ("dir://host/share", "absolute path"),
        ] {
            let fault = fault(text);
            assert!(fault.contains(why) && !fault.contains("secret"), "{text}: {fault}");
        }
        let many = (0..17).map(|at| format!("m{at}")).collect::<Vec<_>>().join(",");
        assert!(fault(&format!("etcd://{many}")).contains("17 members"));
    }
}
