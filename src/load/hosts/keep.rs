//! The last good addresses of hosts in a file, for a start without a resolver.
//!
//! **Invariants**: a file that cannot be read costs only the addresses in it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::time::{Ttl, UnixTime};
use crate::files::state::{StateForm, Useless, peek};
use crate::mirror::HostAddresses;

/// The known addresses of hosts, by host name.
pub(crate) type KnownHosts = BTreeMap<Arc<str>, HostAddresses>;

/// The kind of file.
pub static FORM: StateForm = StateForm { name: "hosts", comment: "", is_old: |text| parse(text).is_some() };

/// One host in the file.
#[derive(Debug, Deserialize, Serialize)]
struct KeptHost {
    host: String,
    v4: Vec<std::net::Ipv4Addr>,
    v6: Vec<std::net::Ipv6Addr>,
    ttl: u32,
    /// In seconds since 1970.
    resolved: u64,
}

/// Reads the addresses that the last run kept; empty if there is no such file.
pub(crate) fn read(path: &Path) -> Result<KnownHosts, Useless> {
    peek(path, &FORM, parse).map(Option::unwrap_or_default)
}

/// Parses the output of [`text`]; `None` if the text is of another form.
pub fn parse(text: &str) -> Option<KnownHosts> {
    let entries: Vec<KeptHost> = serde_json::from_str(text).ok()?;
    let host = |entry: KeptHost| {
        let KeptHost { host, v4, v6, ttl, resolved } = entry;
        (Arc::from(host), HostAddresses { v4, v6, ttl: Ttl(ttl), at: Some(UnixTime(resolved)) })
    };
    Some(entries.into_iter().map(host).collect())
}

/// The contents of the file for the next run. Hosts that were never resolved are left out.
pub fn text(known: &KnownHosts) -> String {
    let entry = |(host, addresses): (&Arc<str>, &HostAddresses)| {
        let HostAddresses { v4, v6, ttl, at } = addresses.clone();
        Some(KeptHost { host: host.to_string(), v4, v6, ttl: ttl.0, resolved: at?.0 })
    };
    let entries: Vec<KeptHost> = known.iter().filter_map(entry).collect();
    serde_json::to_string(&entries).expect("an entry is plain data")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::state::keep;

    #[test]
    fn what_is_kept_comes_back_and_garbage_costs_only_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts.json");
        assert_eq!(read(&path).unwrap(), KnownHosts::new());
        let addresses = HostAddresses {
            v4: vec!["192.0.2.1".parse().unwrap()],
            v6: vec!["2001:db8::1".parse().unwrap()],
            ttl: Ttl(60),
            at: Some(UnixTime(1_800_000_000)),
        };
        let mut known = KnownHosts::from([("lb.example".into(), addresses)]);
        let write = |known: &KnownHosts| keep(&path, &FORM, &text(known)).unwrap();
        write(&known);
        assert_eq!(read(&path).unwrap(), known.clone());
        // A host that was never resolved is left out.
        known.insert("new.example".into(), HostAddresses::default());
        write(&known);
        assert_eq!(read(&path).unwrap().len(), 1);
        let text = std::fs::read(&path).unwrap();
        for garbage in [&text[..text.len() / 2], b"<html>", b"[{}]"] {
            std::fs::write(&path, garbage).unwrap();
            assert!(read(&path).is_err());
        }
    }
}
