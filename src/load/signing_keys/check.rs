//! The rules for the keys of a zone: together these sign all of it, and a resolver with old records can verify them.
//!
//! **Invariants**: keys that would make the zone bogus are errors; those that do so at a further step of a roll-over, or only for
//! strict validators, are warnings.
//! **Not here**: single key files ([`super::fault`]).
//!
//! RFC 4035 §2.2, RFC 6781 §4.1, RFC 6840 §5.11, RFC 7583.

use std::collections::{BTreeSet, HashMap};

use super::private::is_signed_by;
use crate::base::diagnostic::{Diagnostic, Place, Severity};
use crate::base::ids::NodeId;
use crate::base::name::NameBuf;
use crate::base::rr::Rtype;
use crate::base::time::{Ttl, UnixTime};
use crate::config::{KeyFiles, SigningConfig, SigningKeyConfig, ZoneConfig, repeated_key};
use crate::zone::{
    KeyState, Node, RrSet, RrSetToSign, SigningTerms, Zone, ZoneKey, is_entry_point, key_tag, validity_of_rrsigs,
};

/// Adds the problems of the keys of a zone. `terms` has the keys of `signing` in the same order.
pub(super) fn check(zone: &NameBuf, signing: &SigningConfig, terms: &SigningTerms, problems: &mut Vec<Diagnostic>) {
    let keys: Vec<_> = signing.keys.iter().zip(&terms.keys).collect();
    check_each(&keys, problems);
    if !terms.keys.iter().any(ZoneKey::signs_data) {
        let message = format!("no key signs the records of zone `{zone}`");
        let help = "give a key with the role `csk` or `zsk` the state `active`";
        problems
            .push(Diagnostic::error("no-active-key", message).at(signing.place.clone(), "no active key").help(help));
        return;
    }
    if terms.deletes_ds && !terms.signs_keys() {
        let message = format!("no key signs the CDS record of zone `{zone}` that `delete-ds` makes");
        let help = "write the records `CDS 0 0 0 00` and `CDNSKEY 0 3 0 AA==` into the zone file, signed off line";
        problems.push(Diagnostic::error("unsigned-cds", message).at(signing.place.clone(), "no CSK or KSK").help(help));
    }
    check_algorithms(&keys, problems);
    check_entry_points(&keys, problems);
}

/// A key and its entry in the configuration.
type Keyed<'k> = (&'k SigningKeyConfig, &'k ZoneKey);

fn check_each(keys: &[Keyed<'_>], problems: &mut Vec<Diagnostic>) {
    let mut first: HashMap<&[u8], &Place> = HashMap::new();
    for (meant, key) in keys {
        // The same key under two names of files; `config` finds one name twice.
        if let Some(first) = first.insert(&key.dnskey, &meant.place) {
            problems.push(repeated_key(file_of(meant), &meant.place, first));
        }
        if key.has_ds && !key.signs_keys() {
            problems.push(
                Diagnostic::error("ds-of-zsk", format!("key {} cannot have a DS record: it is a ZSK", key.tag()))
                    .at(meant.place.clone(), "`ds = true`")
                    .help("a DS record points to a key that signs the DNSKEY RRset: set `ds` on the KSK or CSK"),
            );
        }
    }
}

/// RFC 4035 §2.2: each algorithm of the DS and DNSKEY RRsets signs all RRsets.
fn check_algorithms(keys: &[Keyed<'_>], problems: &mut Vec<Diagnostic>) {
    let algorithms: BTreeSet<u8> = keys.iter().map(|(_, key)| key.algorithm()).collect();
    let is_offline = !keys.iter().any(|(_, key)| key.signs_keys());
    for algorithm in algorithms {
        let of: Vec<_> = keys.iter().filter(|(_, key)| key.algorithm() == algorithm).collect();
        let signs_data = of.iter().any(|(_, key)| key.signs_data());
        let signs_keys = is_offline || of.iter().any(|(_, key)| key.signs_keys());
        let place = of.first().map(|(meant, _)| meant.place.clone());
        let (Some(place), false) = (place, signs_data && signs_keys) else { continue };
        let rest =
            if signs_data { "no key of it signs the DNSKEY RRset" } else { "no active key of it signs other RRsets" };
        let message = format!("algorithm {algorithm} signs a part of the zone: {rest}");
        let is_entered = of.iter().any(|(_, key)| key.signs_keys() && key.state == KeyState::Active);
        // RFC 6840 §5.11: validators may insist on the algorithms of the DS RRset, so a part is fatal only if a DS may exist.
        let severity = if is_entered && !signs_data { Severity::Error } else { Severity::Warning };
        let help = "an algorithm is added and removed whole: give it an active CSK, or an active ZSK beside its KSK";
        let problem = Diagnostic::new(severity, "partial-algorithm", message);
        problems.push(problem.at(place, "a key of this algorithm").help(help));
    }
}

/// RFC 7583 §3.3: a key leaves only after the DS records that point to it.
fn check_entry_points(keys: &[Keyed<'_>], problems: &mut Vec<Diagnostic>) {
    let of =
        |keep: &dyn Fn(&ZoneKey) -> bool| keys.iter().filter(move |(_, key)| key.signs_keys() && keep(key)).count();
    let Some((meant, key)) = keys.iter().find(|(_, key)| key.signs_keys() && key.state == KeyState::Retired) else {
        return;
    };
    let is_last = of(&|key| key.state != KeyState::Retired) == 0;
    let is_asked_alone = key.has_ds && of(&|key| key.has_ds && key.state != KeyState::Retired) == 0;
    if is_last || is_asked_alone {
        let message = if is_last {
            format!("key {} is retired, and no other key can have a DS record", key.tag())
        } else {
            format!("key {} is retired, and the parent is asked for a DS record of no other key", key.tag())
        };
        problems.push(
            Diagnostic::warning("retired-entry-point", message)
                .at(meant.place.clone(), "retired")
                .help("set `ds = true` on the key that follows, and remove this one when the parent's old DS has expired everywhere"),
        );
    }
}

/// The problems of a zone's file with keys of which none signs the DNSKEY RRset: the file has it, signed off line, with all keys.
pub(crate) fn check_zone(signing: &SigningConfig, terms: &SigningTerms, zone: &Zone, now: UnixTime) -> Vec<Diagnostic> {
    if terms.signs_keys() || !zone.is_available() {
        return Vec::new();
    }
    let Some(set) = zone.node(NodeId(0)).rrset(Rtype::DNSKEY).filter(|set| set.is_signed()) else {
        let message = format!("no key signs the DNSKEY RRset of zone `{}`", zone.apex());
        let help = "name the KSK or a CSK too; or write the DNSKEY records of all keys into the zone file, with the RRSIG that the KSK \
                    has made off line";
        let problem = Diagnostic::error("no-key-signing-key", message);
        return vec![problem.at(signing.place.clone(), "no CSK or KSK").help(help)];
    };
    let mut problems = Vec::new();
    for (meant, key) in signing.keys.iter().zip(&terms.keys) {
        if !set.rdatas().any(|rdata| *rdata == *key.dnskey) {
            let message = format!(
                "the DNSKEY RRset of the zone file lacks key {}, so that its RRSIG does not cover it",
                key.tag()
            );
            let help = "sign the DNSKEY RRset off line with the DNSKEY records of all keys, before the key is used";
            problems.push(Diagnostic::error("key-not-in-zone", message).at(meant.place.clone(), "this key").help(help));
        }
    }
    let rrsigs = by_entry_points(set, zone);
    if rrsigs.is_empty() {
        let message =
            format!("no RRSIG of the DNSKEY RRset of zone `{}` is by a KSK in it, over these records", zone.apex());
        let help = "sign the DNSKEY RRset anew off line; a record that is added, removed or changed after that makes the RRSIG void";
        problems
            .push(Diagnostic::error("void-signature", message).at(signing.place.clone(), "signed off line").help(help));
    } else if let Some(fault) = validity_of_rrsigs(rrsigs, now) {
        let message = format!("the RRSIG of the DNSKEY RRset of zone `{}` {fault}", zone.apex());
        let help = "sign the DNSKEY RRset anew with the KSK, and check the clock of this machine";
        problems.push(
            Diagnostic::error("expired-signature", message).at(signing.place.clone(), "signed off line").help(help),
        );
    }
    problems
}

/// The RRSIGs of the DNSKEY RRset that verify by a key to which a DS record may point: one with that flag, if there is any.
fn by_entry_points<'z>(set: RrSet<'z>, zone: &Zone) -> Vec<&'z [u8]> {
    let rdatas: Vec<&[u8]> = set.rdatas().collect();
    let mut keys: Vec<&[u8]> = rdatas.iter().copied().filter(|rdata| is_entry_point(rdata)).collect();
    if keys.is_empty() {
        keys.clone_from(&rdatas);
    }
    let (apex, rtype, ttl) = (zone.apex(), Rtype::DNSKEY, set.ttl);
    let signed = RrSetToSign { apex, owner: apex, rtype, ttl, rdatas };
    let verifies = |rrsig: &&[u8]| {
        let Some((octets, signature)) = signed.covered_by(rrsig) else { return false };
        let tag = u16::from_be_bytes([rrsig[16], rrsig[17]]);
        keys.iter().any(|key| key_tag(key) == tag && is_signed_by(key, &octets, signature))
    };
    set.signature_records().map(|(_, rrsig)| rrsig).filter(verifies).collect()
}

/// The longest TTL of a zone, those of its steered owners among them; `None` if it has no records.
pub(crate) fn longest_ttl(zone: &ZoneConfig, records: &Zone) -> Option<Ttl> {
    let steered = zone.steer.iter().map(|steer| steer.ttl);
    records.nodes().flat_map(Node::rrsets).map(|set| set.ttl).chain(steered).max()
}

/// The problem of a zone whose records resolvers keep for longer than its signatures may be valid (RFC 6781 §4.4.2).
pub(crate) fn check_validity(
    signing: &SigningConfig,
    terms: &SigningTerms,
    zone: &ZoneConfig,
    records: &Zone,
) -> Option<Diagnostic> {
    let kept = longest_ttl(zone, records)?.0;
    let valid = terms.least_validity_secs();
    if kept <= valid {
        return None;
    }
    let message = format!(
        "resolvers keep records of zone `{}` for {kept} s, and a signature may be valid for {valid} s only when it is sent",
        zone.name
    );
    let help =
        format!("give `validity` {} s at least, or the records a shorter TTL", (u64::from(kept) * 4).div_ceil(3));
    Some(Diagnostic::warning("short-validity", message).at(signing.place.clone(), "its signatures").help(help))
}

fn file_of(key: &SigningKeyConfig) -> &str {
    match &key.files {
        KeyFiles::Pair { private, .. } | KeyFiles::Pem(private) => &private.file,
    }
}
