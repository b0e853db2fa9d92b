//! The codes of all warnings, each with its meaning; `allow` may name these codes.
//!
//! **Invariants**: every warning has its code here, in alphabetical order; `Diagnostic::warning` checks this in debug
//! builds.
//! **Not here**: errors, which `allow` cannot silence.

/// Code and meaning.
pub const WARNINGS: &[(&str, &str)] = &[
    ("absent-address", "no network interface has an address under `listen`"),
    ("account-not-allowed", "the CAA records of a zone do not let a mirror's ACME account have a certificate"),
    ("bad-entry", "entries of a geofeed cannot be read, and are left out"),
    ("bad-mailbox", "the mailbox in an SOA has an `@`"),
    ("bad-ttl", "a TTL has its highest bit set, and counts as 0"),
    ("blobs-below-canonical", "`blobs` leads to where `canonical` leads"),
    ("blobs-not-steered", "the host of `blobs` is not a steered owner"),
    ("certificate-refused", "a listener keeps its served certificate, because its files are refused"),
    ("clients-nowhere", "no client of a list by distance has coordinates"),
    ("conflicting-labels", "a source labels one prefix in two ways"),
    ("dnstap-in-clear", "copies of responses are sent over a network without encryption"),
    ("embedded-prefix", "a list has prefixes of IPv6 that stand for IPv4 addresses"),
    ("family-elsewhere", "a default has no address of a family, and clients get another mirror's"),
    ("host-state", "the kept addresses of hosts cannot be used"),
    ("large-caa", "the CAA records of a name are over 3.5 kB"),
    ("long-answer", "an answer may not fit into a datagram"),
    ("mirror-host", "the host of a mirror cannot be resolved now"),
    ("missing-dot", "a relative name looks like one whose final dot is missing"),
    ("missing-glue", "a delegation needs an address that the zone lacks"),
    ("more-problems", "a file has more problems than are shown"),
    ("nearest-to-nobody", "a mirror is never the nearest"),
    ("no-line-end", "the last line of a file has no end: it may be cut short"),
    ("no-prefixes", "a list has no prefixes"),
    ("no-source", "no network knows any value of a kind that rules ask for"),
    ("no-ttl", "a TTL is taken from the SOA's MINIMUM"),
    ("not-fetched", "a network has no prefixes yet: it is not fetched"),
    ("occluded", "a record is hidden by a delegation or a DNAME"),
    ("open-admin", "`[admin]` listens on all addresses of the machine"),
    ("override-state", "overrides of operators will be lost at the next start"),
    ("partial-algorithm", "keys of an algorithm sign a part of their zone"),
    ("plain-http", "a URL under `[registry]` is http, and clients pull unencrypted"),
    ("private-address", "a mirror has an address that is not reachable over the internet"),
    ("repeated-address", "an address is written twice"),
    ("repeated-value", "a value is written twice in one list"),
    ("retired-entry-point", "a retired key is the only one that the parent can have a DS record of"),
    ("secrets-exposed", "other users may read or change a file with secrets"),
    ("server-without-address", "a server that ACME clients or certificate authorities ask has no address"),
    ("servers-without-peers", "a zone has name servers that are neither this server nor under `[acme] peers`"),
    ("short-interval", "a publisher is asked for a source more often than every five minutes"),
    ("short-validity", "a signature may expire while resolvers keep its records"),
    (
        "signed-transfer",
        "a zone that is signed here is not transferred, because its signatures change without a new serial",
    ),
    ("signed-zone", "DNSSEC records of a zone are left out"),
    ("signs-nothing", "an RRSIG covers records that its owner does not have"),
    ("single-ns", "a zone has one name server"),
    ("source-refused", "a network keeps its served prefixes, or has none, because its file is refused"),
    ("steered-name-server", "the addresses of a name server depend on the client"),
    ("steered-transfer", "a copy of a zone cannot be steered by its secondaries"),
    ("target-is-alias", "a record names an alias where a host is needed"),
    ("target-without-address", "a record names a host of the zone that has no address"),
    ("tls-expired", "a certificate has expired"),
    ("tls-expiring", "a certificate expires soon"),
    ("tls-not-yet-valid", "a certificate is not valid yet"),
    ("tls-order", "a chain is not in order"),
    ("token-in-clear", "the token of `[admin]` is sent without encryption"),
    ("ttls-differ", "the records of a set differ in TTL"),
    ("unconditional-rule", "a rule without a condition takes all clients from those below it"),
    ("unknown-asn", "no network knows an autonomous system"),
    ("unknown-continent", "no network knows a continent"),
    ("unknown-country", "no network knows a country, or a line of a geofeed has none"),
    ("unknown-label", "no entry of a network has a label"),
    ("unknown-provider", "no network knows a provider"),
    ("unknown-region", "no network knows a region, or a line of a geofeed has none"),
    ("unknown-subdivision", "no network knows a subdivision"),
    ("unknown-zone", "no network knows a zone of a provider"),
    ("unmapped-region", "no rule maps a region of a feed"),
    ("unreachable-rule", "a rule decides for no client"),
    ("unused-acme", "`[acme]` is written, and no mirror has credentials"),
    ("unused-credential", "a mirror has credentials for ACME challenges, and no steered owner leads to it"),
    ("unused-horizon", "no owner is steered by a horizon"),
    ("unused-mirror", "no horizon has a mirror"),
    ("unused-roots", "no primary of a zone is asked over TLS, and its `roots` are never read"),
    ("upstream-redirects", "a host under `[registry]` redirects pulls and serves none"),
    ("useless-copy", "the copy of a zone cannot be used, and is fetched again"),
    ("zone-not-served", "a zone is not served, because its file is refused"),
    ("zone-refused", "a zone keeps its served records, because its file is refused"),
];

/// The table's own code of a warning; `None` if the table lacks it.
pub fn known(code: &str) -> Option<&'static str> {
    WARNINGS.iter().map(|(known, _)| *known).find(|known| *known == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order_and_explained() {
        assert!(WARNINGS.is_sorted_by(|(one, _), (other, _)| one < other));
        assert!(WARNINGS.iter().all(|(_, meaning)| !meaning.is_empty() && !meaning.ends_with('.')));
        assert_eq!((known("unknown-asn"), known("unknown-mirror")), (Some("unknown-asn"), None));
    }
}
