//! The classes of difference between Pharos and other servers, each a predicate over two replies.
//!
//! **Invariants**: the first class that fits counts; each has a row in `docs/differences.md`.
//! **Not here**: asking and counting (`main.rs`).

use std::collections::{BTreeSet, HashSet};

use crate::common::sections::{Record, Sections};

/// A known difference of another server, with its row in `docs/differences.md`.
pub(crate) struct Class {
    pub(crate) name: &'static str,
    pub(crate) servers: &'static [&'static str],
    pub(crate) is_it: fn(&Difference<'_>) -> bool,
}

/// The two replies to a question, Pharos's and that of another server.
pub(crate) struct Difference<'d> {
    /// The name in wire form, in lower case.
    pub(crate) qname: &'d [u8],
    pub(crate) rtype: u16,
    pub(crate) ours: &'d Sections,
    pub(crate) theirs: &'d Sections,
    /// All names of all zones in wire form, in lower case.
    pub(crate) names: &'d HashSet<Vec<u8>>,
}

pub(crate) const CLASSES: [Class; 19] = [
    Class {
        name: "longer-chain",
        servers: &["nsd"],
        is_it: |d| d.aliases() == 16 && d.ours.answer.is_subset(&d.theirs.answer),
    },
    Class {
        name: "shorter-chain",
        servers: &["knot"],
        is_it: |d| d.aliases() > 5 && d.theirs.answer.is_subset(&d.ours.answer) && !d.theirs.answer.is_empty(),
    },
    Class {
        name: "servfail-chain",
        servers: &["bind"],
        is_it: |d| d.theirs.rcode == 2 && d.aliases() > 0 && d.theirs.answer.is_subset(&d.ours.answer),
    },
    Class {
        name: "alias-not-followed",
        servers: &["knot", "bind"],
        is_it: |d| matches!(d.rtype, 46 | 47) && d.theirs.answer.len() < d.ours.answer.len() && d.aliases() > 0,
    },
    Class {
        name: "wildcard-glue",
        servers: &["nsd", "knot"],
        is_it: |d| d.is_only_additional() && d.more_glue().any(|record| !d.names.contains(&record.owner)),
    },
    Class {
        name: "sibling-glue",
        servers: &["bind"],
        is_it: |d| d.is_only_additional() && d.more_glue().next().is_none() && d.less_glue().all(|rr| !d.is_inside(rr)),
    },
    Class {
        name: "glue-left-out",
        servers: &["nsd", "knot", "bind"],
        is_it: |d| d.is_only_additional() && d.more_glue().all(|record| d.names.contains(&record.owner)),
    },
    Class {
        name: "names-of-another-zone",
        servers: &["nsd"],
        is_it: |d| d.ours.rcode == 3 && d.theirs.rcode == 0 && d.ours.answer == d.theirs.answer,
    },
    Class { name: "beyond-yxdomain", servers: &["knot"], is_it: |d| d.ours.rcode == 6 },
    Class {
        name: "no-dname",
        servers: &["hickory"],
        is_it: |d| d.ours.answer.iter().any(|record| record.rtype == DNAME && record.owner != d.qname),
    },
    Class {
        name: "ds-from-the-child",
        servers: &["hickory"],
        is_it: |d| d.rtype == DS && d.theirs.soa().is_some_and(|soa| soa.owner == d.qname),
    },
    Class {
        name: "referral-with-aa",
        servers: &["hickory"],
        is_it: |d| d.ours.is_referral() && d.theirs.aa && d.has_servers_of_cut(&d.theirs.authority),
    },
    Class {
        name: "servers-as-answer",
        servers: &["hickory"],
        is_it: |d| d.theirs.aa && d.has_servers_of_cut(&d.theirs.answer),
    },
    Class {
        name: "lowest-cut",
        servers: &["hickory"],
        is_it: |d| {
            d.theirs.authority.iter().chain(&d.theirs.answer).any(|record| record.rtype == NS && d.is_below_cut(record))
        },
    },
    Class {
        name: "negative-ttl",
        servers: &["hickory"],
        is_it: |d| d.ours.rcode == d.theirs.rcode && d.ours.answer == d.theirs.answer && d.differs_in_ttl_of_soa(),
    },
    Class {
        name: "wildcard-without-type",
        servers: &["hickory"],
        is_it: |d| (d.ours.rcode, d.theirs.rcode) == (0, 3) && d.ours.answer.is_empty() && d.is_below_wildcard(d.qname),
    },
    Class {
        name: "wildcard-anywhere",
        servers: &["hickory"],
        is_it: |d| d.ours.soa().is_some() && d.more_answers().any(|record| d.is_below_wildcard(&record.owner)),
    },
    Class {
        name: "chain-of-eight",
        servers: &["hickory"],
        is_it: |d| d.theirs.answer.len() == 8 && d.theirs.answer.is_subset(&d.ours.answer) && d.aliases() > 7,
    },
    Class {
        name: "alias-end-untold",
        servers: &["hickory"],
        is_it: |d| {
            d.aliases() > 0
                && d.theirs.rcode == 0
                && d.theirs.answer.is_subset(&d.ours.answer)
                && d.theirs.authority.iter().all(|record| record.rtype == NS)
        },
    },
];

const NS: u16 = 2;
const DNAME: u16 = 39;
const DS: u16 = 43;

impl Difference<'_> {
    /// The CNAMEs in our answer.
    fn aliases(&self) -> usize {
        self.ours.answer.iter().filter(|record| record.rtype == 5).count()
    }

    /// The records of their additional section that ours lacks.
    fn more_glue(&self) -> impl Iterator<Item = &Record> {
        self.theirs.additional.difference(&self.ours.additional)
    }

    /// The records of our additional section that theirs lacks.
    fn less_glue(&self) -> impl Iterator<Item = &Record> {
        self.ours.additional.difference(&self.theirs.additional)
    }

    /// Returns whether a record belongs to a name inside the delegated zone.
    fn is_inside(&self, record: &Record) -> bool {
        self.ours.authority.iter().any(|ns| record.owner.ends_with(&ns.owner))
    }

    /// Returns whether a record belongs to a name below the cut that our reply refers to.
    fn is_below_cut(&self, record: &Record) -> bool {
        self.ours.servers().any(|ns| record.owner.len() > ns.owner.len() && record.owner.ends_with(&ns.owner))
    }

    /// Returns whether records have all name servers of the cut that our reply refers to.
    fn has_servers_of_cut(&self, records: &BTreeSet<Record>) -> bool {
        let mut cut = self.ours.servers().peekable();
        cut.peek().is_some() && cut.all(|ns| records.contains(ns))
    }

    /// Returns whether the SOA records of both authority sections are equal except for the TTL.
    fn differs_in_ttl_of_soa(&self) -> bool {
        let without_ttl = |soa: &Record| Record { ttl: 0, ..soa.clone() };
        let (ours, theirs) = (self.ours.soa().map(without_ttl), self.theirs.soa().map(without_ttl));
        ours.is_some() && ours == theirs
    }

    /// The records of their answer that ours lacks.
    fn more_answers(&self) -> impl Iterator<Item = &Record> {
        self.theirs.answer.difference(&self.ours.answer)
    }

    /// Returns whether a wildcard exists at any ancestor of a name.
    fn is_below_wildcard(&self, name: &[u8]) -> bool {
        let mut rest = name;
        while let Some((len @ 1.., after)) = rest.split_first() {
            rest = &after[usize::from(*len)..];
            if self.names.contains(&[&b"\x01*"[..], rest].concat()) {
                return true;
            }
        }
        false
    }

    fn is_only_additional(&self) -> bool {
        let (a, b) = (self.ours, self.theirs);
        (a.rcode, a.aa, &a.answer, &a.authority) == (b.rcode, b.aa, &b.answer, &b.authority)
    }
}
