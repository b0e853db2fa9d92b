//! `pharos key list`: the keys of a zone, and the next safe step of each.
//!
//! **Invariants**: a waiting time is the longest that a resolver may keep a record.
//! **Not here**: the rules for all keys together, which `pharos check` has ([`crate::load`]).
//!
//! RFC 7583 §3 (timing of roll-overs).

use std::time::Duration;

use super::super::layout::Layout;
use super::super::locate::ConfigLocation;
use super::super::{CommandResult, OK, put};
use super::OwnZone;
use crate::base::ids::NodeId;
use crate::base::name::NameBuf;
use crate::base::rr::Rtype;
use crate::base::when::written_millis;
use crate::config::KeyFiles;
use crate::load::signing_keys::longest_ttl;
use crate::zone::{KeyState, ZoneKey};

/// Arguments of `pharos key list`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The zone, which has `dnssec` in the configuration
    #[arg(value_name = "ZONE", value_parser = NameBuf::parse)]
    zone: NameBuf,
}

/// The longest times for which resolvers keep records of a zone.
struct CacheTimes {
    /// The DNSKEY RRset.
    keys: String,
    /// Any RRset.
    data: String,
}

/// Lists the keys.
pub(super) fn run(config: &ConfigLocation, args: &Args) -> CommandResult {
    let own = OwnZone::read(config, &args.zone)?;
    let times = cache_times(&own);
    let heads = ["TAG", "ALGORITHM", "ROLE", "STATE", "DS", "FILE", "NEXT STEP"];
    let mut rows = vec![heads.map(str::to_string).to_vec()];
    // An algorithm comes and goes whole (RFC 4035 §2.2): its key is never retired, because it would sign the keys alone.
    let is_change = own.terms.keys.iter().any(|key| key.algorithm() != own.terms.keys[0].algorithm());
    let configured = own.zone().signing.iter().flat_map(|signing| &signing.keys);
    for (meant, key) in configured.zip(&own.terms.keys) {
        let (KeyFiles::Pair { private: file, .. } | KeyFiles::Pem(file)) = &meant.files;
        rows.push(vec![
            key.tag().to_string(),
            key.algorithm().to_string(),
            key.role.as_str().to_string(),
            key.state.as_str().to_string(),
            if key.has_ds { "asked for" } else { "-" }.to_string(),
            file.file.to_string(),
            next_step(key, is_change, &times),
        ]);
    }
    for rdata in own.other_keys() {
        let tag = crate::zone::key_tag(rdata).to_string();
        let algorithm = rdata.get(3).map_or(String::new(), ToString::to_string);
        rows.push(vec![tag, algorithm, "-".into(), "-".into(), "-".into(), "(zone file)".into(), "none here".into()]);
    }
    Ok(put(&Layout::of_stdout().table("", 0, &rows, |_, _, _| None), OK))
}

fn next_step(key: &ZoneKey, is_change: bool, times: &CacheTimes) -> String {
    let CacheTimes { keys, data } = times;
    match (key.state, key.signs_keys()) {
        (KeyState::Published, _) if is_change => "`active` at once: each algorithm signs all records".to_string(),
        (KeyState::Active, false) if is_change => "remove it with the KSK of its algorithm".to_string(),
        (KeyState::Active, true) if is_change => {
            "if its algorithm goes: remove it, when its DS has expired everywhere".to_string()
        }
        (KeyState::Published, _) => format!("`active`, {keys} after all servers have the key"),
        (KeyState::Active, false) => "`retired`, when the next key is `active`".to_string(),
        (KeyState::Active, true) => {
            "`retired`, when the next key is `active`; then the parent gets the DS of that".to_string()
        }
        (KeyState::Retired, false) => format!("remove it, {data} after it was retired"),
        (KeyState::Retired, true) => {
            format!("remove it, {data} after it was retired, and after the parent's old DS has expired everywhere")
        }
    }
}

fn cache_times(own: &OwnZone) -> CacheTimes {
    let written = |seconds: u32| written_millis(Duration::from_secs(seconds.into()).as_millis() as u64);
    let Some(zone) = &own.records else {
        return CacheTimes { keys: "the TTL of the DNSKEY RRset".into(), data: "the longest TTL of the zone".into() };
    };
    let apex = zone.node(NodeId(0));
    let keys = apex.rrset(Rtype::DNSKEY).unwrap_or(zone.soa()).ttl;
    let data = longest_ttl(own.zone(), zone).unwrap_or(keys);
    CacheTimes { keys: written(keys.0), data: written(data.0) }
}
