//! The problems of a zone as a whole: errors and warnings.
//!
//! Each has owners and tags, so that the caller that read the records can show where the records are written.
//!
//! **Not here**: the faults of one record by itself ([`super::AddError`]), the search for problems ([`super::check`]).

use std::fmt;
use std::net::Ipv4Addr;

use crate::base::diagnostic::Severity;
use crate::base::name::{Name, NameBuf};
use crate::base::rr::Rtype;
use crate::base::time::Ttl;
use crate::base::warnings;
use crate::base::words::words;

/// A name at which other records are added while the zone is served: the zone must have no records of some types there, and
/// must answer for the name.
#[derive(Clone, Debug)]
pub(crate) struct ReservedOwner {
    /// The name.
    pub(crate) owner: NameBuf,
    /// The types that the zone must not have there, besides CNAME.
    pub(crate) types: &'static [Rtype],
    /// The tag of the place that reserves it.
    pub(crate) tag: u32,
}

/// Something wrong or odd with a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneProblem {
    /// The owner at fault.
    owner: NameBuf,
    /// The fault.
    pub(crate) fault: ZoneFault,
    /// The tag of the record at fault; `None` if the zone has no SOA.
    pub(crate) tag: Option<u32>,
    /// The tag of a second record that is involved, and its role.
    pub(crate) related: Option<(u32, &'static str)>,
}

words! {
    /// The kinds of problems.
    #[derive(Clone, Debug, PartialEq, Eq)]
    #[allow(
        clippy::missing_docs_in_private_items,
        reason = "fields: `rtype` of the record at fault; others as each variant says"
    )]
    #[allow(clippy::large_enum_variant, reason = "problems are few, and made once for each load")]
    pub(crate) enum ZoneFault {
        /// Error: the apex has no SOA (RFC 1035 §5.2).
        NoSoa = "no-soa",
        /// Error: the apex has more than one SOA.
        SeveralSoas = "several-soas",
        /// Error: an SOA below the apex.
        SoaBelowApex = "soa-below-apex",
        /// Error: the apex has no NS (RFC 1034 §4.2.1). The record at fault is the SOA.
        NoNs = "no-ns",
        /// Error: a name server of the zone is below the DNAME of `dname`, so it has no address (RFC 6672 §2.3).
        ServerBelowDname { server: NameBuf, dname: NameBuf } = "server-below-dname",
        /// Error: a CNAME beside other data (RFC 2181 §10.1), whose type is `rtype`.
        CnameAndOther { rtype: Rtype } = "cname-and-other-data",
        /// Error: several CNAMEs at one owner (RFC 2181 §10.1).
        SeveralCnames = "several-cnames",
        /// Error: several DNAMEs at one owner (RFC 6672 §2.4).
        SeveralDnames = "several-dnames",
        /// Error: a delegation of a wildcard, which has no meaning (RFC 4592 §4.2).
        WildcardNs = "wildcard-ns",
        /// Error: a DNAME at a wildcard, which resolvers expand differently (RFC 4592 §4.4).
        WildcardDname = "wildcard-dname",
        /// Error: the records of one owner and type do not fit into an answer: `len` bytes, and room for `most`.
        RrSetTooLong { rtype: Rtype, len: usize, most: usize } = "rrset-too-long",
        /// Error: a steered owner has an address, alias or HTTPS record of its own beside that which goes with the
        /// steering. The tag is that of the steering.
        SteeredAndStatic { rtype: Rtype } = "steered-and-static",
        /// Error: a steered owner at or below a delegation or below a DNAME, `occluder`.
        SteeredOccluded { rtype: Rtype, occluder: NameBuf } = "steered-occluded",
        /// Error: an address, text or alias at a name of ACME challenges, or an address or alias at that of a mirror's own
        /// addresses.
        ReservedAndStatic { rtype: Rtype } = "acme-and-static",
        /// Error: such a name at or below a delegation or below a DNAME, `occluder`. The tag is that of the mirror.
        ReservedOccluded { rtype: Rtype, occluder: NameBuf } = "acme-occluded",
        /// Error: address hints for a steered `target`, which would be the same for every client (RFC 9460 §7.3).
        SteeredHints { rtype: Rtype, target: NameBuf } = "steered-hints",
        /// Warning: records of one set differ in TTL; all are served with the `least` (RFC 2181 §5.2).
        TtlsDiffer { rtype: Rtype, least: Ttl } = "ttls-differ",
        /// Warning: a record that is never answered, because of a delegation or DNAME (`by`) at `occluder`.
        Occluded { rtype: Rtype, by: Rtype, occluder: NameBuf } = "occluded",
        /// Warning: the `target`, a name of this zone, has no address here.
        TargetWithoutAddress { rtype: Rtype, target: NameBuf, relative: Relative } = "target-without-address",
        /// Warning: the mailbox of the SOA has an `@` in its first label.
        BadMailbox { mailbox: NameBuf } = "bad-mailbox",
        /// Warning: the `target` is an alias (RFC 2181 §10.3).
        TargetIsAlias { rtype: Rtype, target: NameBuf } = "target-is-alias",
        /// Warning: a delegation to a name below itself without address: it cannot be followed.
        ///
        /// Not an error, for it only harms the names below; to refuse the zone would harm all of it.
        MissingGlue { target: NameBuf } = "missing-glue",
        /// Warning: an RRSIG of the owner covers `rtype`, of which the owner has no record; it is left out.
        SignsNothing { rtype: Rtype } = "signs-nothing",
        /// Warning: a name server whose address depends on the client, and on mirrors that may be down.
        SteeredNameServer { target: NameBuf } = "steered-name-server",
    }
}

impl ZoneFault {
    /// The problem at an owner, with the tag of the record at fault.
    pub(super) fn at(self, owner: Name<'_>, tag: impl Into<Option<u32>>) -> ZoneProblem {
        ZoneProblem { owner: owner.to_owned(), fault: self, tag: tag.into(), related: None }
    }

    /// Returns whether the zone can be served: the faults with which it can be are in the table of warnings.
    pub(crate) fn severity(&self) -> Severity {
        if warnings::known(self.as_str()).is_some() { Severity::Warning } else { Severity::Error }
    }
}

/// A name below the apex, judged by how it was probably written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Relative {
    /// An IPv4 address.
    Address(Ipv4Addr),
    /// A name that was meant to be absolute.
    Absolute(String),
    /// A host of the zone.
    Host,
}

impl Relative {
    /// A name of three labels in front of the apex, or of two that end as the apex does, is seldom meant to be relative.
    pub(crate) fn of(name: Name<'_>, apex: Name<'_>) -> Self {
        let own = name.labels().count().saturating_sub(apex.labels().count());
        let labels: Vec<String> =
            name.labels().take(own).map(|label| String::from_utf8_lossy(label).into_owned()).collect();
        let written = labels.join(".");
        if let Ok(address) = written.parse() {
            return Relative::Address(address);
        }
        let last = apex.labels().last();
        let ends_alike = labels.last().zip(last).is_some_and(|(one, other)| one.as_bytes().eq_ignore_ascii_case(other));
        match labels.len() {
            2 if ends_alike => Relative::Absolute(written),
            3.. if !written.contains('_') => Relative::Absolute(written),
            _ => Relative::Host,
        }
    }
}

impl ZoneProblem {
    /// Adds a second record, with its role.
    pub(super) fn with(self, tag: u32, role: &'static str) -> Self {
        ZoneProblem { related: Some((tag, role)), ..self }
    }

    /// A few words about the record of [`ZoneProblem::tag`], if it is not itself at fault.
    pub(crate) fn label(&self) -> &'static str {
        match &self.fault {
            ZoneFault::NoNs => "the zone begins here",
            _ => "",
        }
    }

    /// The remedy.
    pub(crate) fn help(&self) -> String {
        let owner = &self.owner;
        match &self.fault {
            ZoneFault::NoSoa => {
                format!(
                    "add one, such as `{owner}. 3600 IN SOA ns1.{owner}. hostmaster.{owner}. 1 7200 3600 1209600 300`"
                )
            }
            ZoneFault::SeveralSoas => "keep one of them".into(),
            ZoneFault::SoaBelowApex => {
                format!("remove it, or make `{owner}` a zone of its own with a `[[zone]]` and a file")
            }
            ZoneFault::NoNs => {
                format!("add the name servers that the parent zone delegates `{owner}` to")
            }
            ZoneFault::ServerBelowDname { .. } => "name a server that is not below a DNAME".into(),
            ZoneFault::CnameAndOther { rtype: Rtype::SOA | Rtype::NS } => {
                "the apex of a zone cannot be an alias; give it addresses instead, or steer it".into()
            }
            ZoneFault::CnameAndOther { .. } => "an alias has no data of its own; keep the one or the other".into(),
            ZoneFault::SeveralCnames | ZoneFault::SeveralDnames => "an owner has one target; keep one".into(),
            ZoneFault::WildcardNs => "delegate each name, or answer for them here".into(),
            ZoneFault::WildcardDname => "use a wildcard CNAME, or a DNAME at the name above".into(),
            ZoneFault::RrSetTooLong { most, .. } => {
                format!("a set of this owner has at most {most} bytes on the wire; spread the records")
            }
            ZoneFault::SteeredAndStatic { rtype: Rtype::HTTPS } => {
                "remove the record from the master file, or `https` from the zone's `steer`".into()
            }
            ZoneFault::SteeredAndStatic { .. } => {
                "remove the record from the master file, or the owner from the zone's `steer`".into()
            }
            ZoneFault::SteeredOccluded { occluder, rtype } => {
                format!("remove the {rtype} of `{occluder}`, or steer another owner")
            }
            ZoneFault::ReservedAndStatic { .. } => {
                "remove the record from the master file, or give the mirror another name".into()
            }
            ZoneFault::ReservedOccluded { occluder, rtype } => {
                format!("remove the {rtype} of `{occluder}`, or `acme` of the mirror")
            }
            ZoneFault::SteeredHints { .. } => {
                "remove `ipv4hint` and `ipv6hint`; clients take the addresses of the target, which are tailored".into()
            }
            ZoneFault::TtlsDiffer { .. } => "write the same TTL on each record of the set".into(),
            ZoneFault::Occluded { by: Rtype::NS, .. } => "move it to the delegated zone; only glue belongs here".into(),
            ZoneFault::Occluded { .. } => "remove it, or the DNAME; a DNAME renames all names below it".into(),
            ZoneFault::TargetWithoutAddress { target, rtype, relative, .. } => match relative {
                Relative::Address(address) => {
                    format!(
                        "{} {rtype} names a host: add an A or AAAA record for the host, and name it instead of {address}",
                        rtype.article()
                    )
                }
                Relative::Absolute(name) => {
                    format!("is the final dot missing? write `{name}.`; else add an A or AAAA record for `{target}`")
                }
                Relative::Host => format!("add an A or AAAA record for `{target}`"),
            },
            ZoneFault::BadMailbox { .. } => {
                "write a dot instead of the `@`: `hostmaster.example.com.` stands for hostmaster@example.com".into()
            }
            ZoneFault::TargetIsAlias { .. } => {
                "name the host itself; many resolvers do not follow an alias here".into()
            }
            ZoneFault::MissingGlue { target } => {
                format!("add an A or AAAA record for `{target}`, or delegate to a host outside of the delegated zone")
            }
            ZoneFault::SignsNothing { .. } => "sign the zone anew; the signature is not served".into(),
            ZoneFault::SteeredNameServer { .. } => "give name servers names and addresses of their own".into(),
        }
    }
}

impl fmt::Display for ZoneProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let owner = &self.owner;
        match &self.fault {
            ZoneFault::NoSoa => write!(f, "zone `{owner}` has no SOA at its apex"),
            ZoneFault::SeveralSoas => write!(f, "the zone has more than one SOA"),
            ZoneFault::SoaBelowApex => write!(f, "the SOA of `{owner}` is not at the apex of the zone"),
            ZoneFault::NoNs => write!(f, "zone `{owner}` has no NS at its apex"),
            ZoneFault::ServerBelowDname { server, dname } => {
                write!(f, "the name server `{server}` of the zone is below `{dname}`, which has a DNAME")
            }
            ZoneFault::CnameAndOther { rtype } => {
                write!(f, "`{owner}` has a CNAME and {} {rtype} too", rtype.article())
            }
            ZoneFault::SeveralCnames => write!(f, "`{owner}` has more than one CNAME"),
            ZoneFault::SeveralDnames => write!(f, "`{owner}` has more than one DNAME"),
            ZoneFault::WildcardNs => write!(f, "the wildcard `{owner}` cannot be delegated"),
            ZoneFault::WildcardDname => write!(f, "the wildcard `{owner}` cannot have a DNAME"),
            ZoneFault::RrSetTooLong { rtype, len, .. } => {
                write!(f, "the {rtype} records of `{owner}` take {len} bytes, more than an answer has room for")
            }
            ZoneFault::SteeredAndStatic { rtype: Rtype::HTTPS } => {
                write!(f, "`{owner}` has an HTTPS record in the master file and another by `https`")
            }
            ZoneFault::SteeredAndStatic { rtype } => {
                write!(f, "`{owner}` is steered and has {} {rtype} of its own", rtype.article())
            }
            ZoneFault::SteeredOccluded { rtype: Rtype::NS, occluder } => {
                write!(f, "`{owner}` is steered, but delegated to the servers of `{occluder}`")
            }
            ZoneFault::SteeredOccluded { occluder, .. } => {
                write!(f, "`{owner}` is steered, but hidden by the DNAME of `{occluder}`")
            }
            ZoneFault::ReservedAndStatic { rtype } => {
                write!(
                    f,
                    "`{owner}` is a name of a mirror with credentials, and has {} {rtype} of its own",
                    rtype.article()
                )
            }
            ZoneFault::ReservedOccluded { rtype, occluder } => {
                write!(f, "challenges at `{owner}` are never answered: `{occluder}` has {} {rtype}", rtype.article())
            }
            ZoneFault::SteeredHints { rtype, target } => {
                write!(f, "the {rtype} of `{owner}` has addresses for `{target}`, which is steered")
            }
            ZoneFault::TtlsDiffer { rtype, least } => {
                write!(f, "the {rtype} records of `{owner}` differ in TTL; all are served with {}", least.0)
            }
            ZoneFault::Occluded { rtype, by, occluder } => match by {
                &Rtype::NS => write!(f, "the {rtype} of `{owner}` is never answered: `{occluder}` is delegated"),
                _ => write!(f, "the {rtype} of `{owner}` is never answered: `{occluder}` has a {by}"),
            },
            ZoneFault::TargetWithoutAddress { rtype, target, .. } => {
                write!(f, "the {rtype} of `{owner}` points to `{target}`, which has no address")
            }
            ZoneFault::BadMailbox { mailbox } => write!(f, "the mailbox `{mailbox}` of the SOA has an `@`"),
            ZoneFault::TargetIsAlias { rtype, target } => {
                write!(f, "the {rtype} of `{owner}` points to `{target}`, which is an alias")
            }
            ZoneFault::MissingGlue { target } => {
                write!(f, "`{owner}` is delegated to `{target}` below it, which has no address here")
            }
            ZoneFault::SignsNothing { rtype } => {
                write!(f, "an RRSIG of `{owner}` covers {rtype}, of which the owner has no record")
            }
            ZoneFault::SteeredNameServer { target } => {
                write!(f, "the name server `{target}` of `{owner}` is steered")
            }
        }
    }
}
