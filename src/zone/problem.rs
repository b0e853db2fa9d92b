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

words! {
    /// Something wrong or odd with a zone; `tag` is that of the record at fault.
    #[derive(Clone, Debug, PartialEq, Eq)]
    #[allow(
        clippy::missing_docs_in_private_items,
        reason = "fields: `owner` and `rtype` of the record `tag`; others as each variant says"
    )]
    pub enum ZoneProblem {
        /// Error: the apex has no SOA (RFC 1035 §5.2).
        NoSoa { apex: NameBuf } = "no-soa",
        /// Error: the apex has more than one SOA; `first` is the tag of the one before.
        SeveralSoas { tag: u32, first: u32 } = "several-soas",
        /// Error: an SOA below the apex.
        SoaBelowApex { owner: NameBuf, tag: u32 } = "soa-below-apex",
        /// Error: the apex has no NS (RFC 1034 §4.2.1).
        ///
        /// `soa` is the tag of the SOA.
        NoNs { apex: NameBuf, soa: Option<u32> } = "no-ns",
        /// Error: a name server of the zone is below the DNAME of `dname`, so it has no address (RFC 6672 §2.3).
        ServerBelowDname { server: NameBuf, dname: NameBuf, tag: u32, first: u32 } = "server-below-dname",
        /// Error: a CNAME beside other data (RFC 2181 §10.1); `other` is the tag of that, `rtype` its type.
        CnameAndOther { owner: NameBuf, rtype: Rtype, tag: u32, other: u32 } = "cname-and-other-data",
        /// Error: several CNAMEs at one owner (RFC 2181 §10.1).
        SeveralCnames { owner: NameBuf, tag: u32, first: u32 } = "several-cnames",
        /// Error: several DNAMEs at one owner (RFC 6672 §2.4).
        SeveralDnames { owner: NameBuf, tag: u32, first: u32 } = "several-dnames",
        /// Error: a delegation of a wildcard, which has no meaning (RFC 4592 §4.2).
        WildcardNs { owner: NameBuf, tag: u32 } = "wildcard-ns",
        /// Error: a DNAME at a wildcard, which resolvers expand differently (RFC 4592 §4.4).
        WildcardDname { owner: NameBuf, tag: u32 } = "wildcard-dname",
        /// Error: the records of one owner and type do not fit into an answer: `len` bytes, and room for `most`.
        RrSetTooLong { owner: NameBuf, rtype: Rtype, len: usize, most: usize, tag: u32 } = "rrset-too-long",
        /// Error: a steered owner has an address, alias or HTTPS record of its own beside that which goes with the
        /// steering; `record` is its tag, `tag` that of the steering.
        SteeredAndStatic { owner: NameBuf, rtype: Rtype, tag: u32, record: u32 } = "steered-and-static",
        /// Error: a steered owner at or below a delegation or below a DNAME, `occluder`; `record` is the tag of that.
        SteeredOccluded { owner: NameBuf, rtype: Rtype, occluder: NameBuf, tag: u32, record: u32 } = "steered-occluded",
        /// Error: an address, text or alias at a name of ACME challenges, or an address or alias at that of a mirror's own
        /// addresses; `reserved` is the tag of the mirror.
        ReservedAndStatic { owner: NameBuf, rtype: Rtype, tag: u32, reserved: u32 } = "acme-and-static",
        /// Error: such a name at or below a delegation or below a DNAME, `occluder`; `record` is the tag of that, `tag` that
        /// of the mirror.
        ReservedOccluded { owner: NameBuf, rtype: Rtype, occluder: NameBuf, tag: u32, record: u32 } = "acme-occluded",
        /// Error: address hints for a steered `target`, which would be the same for every client (RFC 9460 §7.3).
        SteeredHints { owner: NameBuf, rtype: Rtype, target: NameBuf, tag: u32 } = "steered-hints",
        /// Warning: records of one set differ in TTL; all are served with the `least` (RFC 2181 §5.2).
        TtlsDiffer { owner: NameBuf, rtype: Rtype, least: Ttl, tag: u32, first: u32 } = "ttls-differ",
        /// Warning: a record that is never answered, because of a delegation or DNAME (`by`) at `occluder`.
        Occluded { owner: NameBuf, rtype: Rtype, by: Rtype, occluder: NameBuf, tag: u32, first: u32 } = "occluded",
        /// Warning: the `target`, a name of this zone, has no address here.
        TargetWithoutAddress { owner: NameBuf, rtype: Rtype, target: NameBuf, relative: Relative, tag: u32 }
            = "target-without-address",
        /// Warning: the mailbox of the SOA has an `@` in its first label.
        BadMailbox { mailbox: NameBuf, tag: u32 } = "bad-mailbox",
        /// Warning: the `target` is an alias (RFC 2181 §10.3).
        TargetIsAlias { owner: NameBuf, rtype: Rtype, target: NameBuf, tag: u32 } = "target-is-alias",
        /// Warning: a delegation to a name below itself without address: it cannot be followed.
        ///
        /// Not an error, for it only harms the names below; to refuse the zone would harm all of it.
        MissingGlue { owner: NameBuf, target: NameBuf, tag: u32 } = "missing-glue",
        /// Warning: an RRSIG of the `owner` covers `rtype`, of which the owner has no record; it is left out.
        SignsNothing { owner: NameBuf, rtype: Rtype, tag: u32 } = "signs-nothing",
        /// Warning: a name server whose address depends on the client, and on mirrors that may be down.
        SteeredNameServer { owner: NameBuf, target: NameBuf, tag: u32 } = "steered-name-server",
    }
}

/// A name below the apex, judged by how it was probably written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relative {
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
    /// Whether the zone can be served.
    pub(crate) fn severity(&self) -> Severity {
        match self {
            ZoneProblem::TtlsDiffer { .. }
            | ZoneProblem::Occluded { .. }
            | ZoneProblem::TargetWithoutAddress { .. }
            | ZoneProblem::BadMailbox { .. }
            | ZoneProblem::TargetIsAlias { .. }
            | ZoneProblem::MissingGlue { .. }
            | ZoneProblem::SignsNothing { .. }
            | ZoneProblem::SteeredNameServer { .. } => Severity::Warning,
            _ => Severity::Error,
        }
    }

    /// The tag of the record at fault; `None` if the zone has no SOA.
    pub(crate) fn tag(&self) -> Option<u32> {
        match *self {
            ZoneProblem::NoSoa { .. } => None,
            ZoneProblem::NoNs { soa, .. } => soa,
            ZoneProblem::SeveralSoas { tag, .. }
            | ZoneProblem::SoaBelowApex { tag, .. }
            | ZoneProblem::ServerBelowDname { tag, .. }
            | ZoneProblem::CnameAndOther { tag, .. }
            | ZoneProblem::SeveralCnames { tag, .. }
            | ZoneProblem::SeveralDnames { tag, .. }
            | ZoneProblem::WildcardNs { tag, .. }
            | ZoneProblem::WildcardDname { tag, .. }
            | ZoneProblem::RrSetTooLong { tag, .. }
            | ZoneProblem::SteeredAndStatic { tag, .. }
            | ZoneProblem::SteeredOccluded { tag, .. }
            | ZoneProblem::ReservedAndStatic { tag, .. }
            | ZoneProblem::ReservedOccluded { tag, .. }
            | ZoneProblem::SteeredHints { tag, .. }
            | ZoneProblem::TtlsDiffer { tag, .. }
            | ZoneProblem::Occluded { tag, .. }
            | ZoneProblem::TargetWithoutAddress { tag, .. }
            | ZoneProblem::BadMailbox { tag, .. }
            | ZoneProblem::TargetIsAlias { tag, .. }
            | ZoneProblem::MissingGlue { tag, .. }
            | ZoneProblem::SignsNothing { tag, .. }
            | ZoneProblem::SteeredNameServer { tag, .. } => Some(tag),
        }
    }

    /// The tag of a second record that is involved, and its role.
    pub(crate) fn related(&self) -> Option<(u32, &'static str)> {
        match *self {
            ZoneProblem::SeveralSoas { first, .. } => Some((first, "the first SOA")),
            ZoneProblem::ServerBelowDname { first, .. } => Some((first, "it renames all names below it")),
            ZoneProblem::CnameAndOther { other, .. } => Some((other, "the other data")),
            ZoneProblem::SeveralCnames { first, .. } => Some((first, "the first CNAME")),
            ZoneProblem::SeveralDnames { first, .. } => Some((first, "the first DNAME")),
            ZoneProblem::SteeredAndStatic { record, .. } => Some((record, "its own record")),
            ZoneProblem::SteeredOccluded { record, .. } => Some((record, "this takes the name out of the zone")),
            ZoneProblem::ReservedAndStatic { reserved, .. } => Some((reserved, "this mirror has credentials")),
            ZoneProblem::ReservedOccluded { record, .. } => Some((record, "this takes the name out of the zone")),
            ZoneProblem::TtlsDiffer { first, .. } => Some((first, "another TTL here")),
            ZoneProblem::Occluded { first, .. } => Some((first, "this hides it")),
            _ => None,
        }
    }

    /// A few words about the record of [`Self::tag`], if it is not itself at fault.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            ZoneProblem::NoNs { .. } => "the zone begins here",
            _ => "",
        }
    }

    /// The remedy.
    pub(crate) fn help(&self) -> String {
        match self {
            ZoneProblem::NoSoa { apex } => {
                format!("add one, such as `{apex}. 3600 IN SOA ns1.{apex}. hostmaster.{apex}. 1 7200 3600 1209600 300`")
            }
            ZoneProblem::SeveralSoas { .. } => "keep one of them".into(),
            ZoneProblem::SoaBelowApex { owner, .. } => {
                format!("remove it, or make `{owner}` a zone of its own with a `[[zone]]` and a file")
            }
            ZoneProblem::NoNs { apex, .. } => {
                format!("add the name servers that the parent zone delegates `{apex}` to")
            }
            ZoneProblem::ServerBelowDname { .. } => "name a server that is not below a DNAME".into(),
            ZoneProblem::CnameAndOther { rtype: Rtype::SOA | Rtype::NS, .. } => {
                "the apex of a zone cannot be an alias; give it addresses instead, or steer it".into()
            }
            ZoneProblem::CnameAndOther { .. } => "an alias has no data of its own; keep the one or the other".into(),
            ZoneProblem::SeveralCnames { .. } | ZoneProblem::SeveralDnames { .. } => {
                "an owner has one target; keep one".into()
            }
            ZoneProblem::WildcardNs { .. } => "delegate each name, or answer for them here".into(),
            ZoneProblem::WildcardDname { .. } => "use a wildcard CNAME, or a DNAME at the name above".into(),
            ZoneProblem::RrSetTooLong { most, .. } => {
                format!("a set of this owner has at most {most} bytes on the wire; spread the records")
            }
            ZoneProblem::SteeredAndStatic { rtype: Rtype::HTTPS, .. } => {
                "remove the record from the master file, or `https` from the zone's `steer`".into()
            }
            ZoneProblem::SteeredAndStatic { .. } => {
                "remove the record from the master file, or the owner from the zone's `steer`".into()
            }
            ZoneProblem::SteeredOccluded { occluder, rtype, .. } => {
                format!("remove the {rtype} of `{occluder}`, or steer another owner")
            }
            ZoneProblem::ReservedAndStatic { .. } => {
                "remove the record from the master file, or give the mirror another name".into()
            }
            ZoneProblem::ReservedOccluded { occluder, rtype, .. } => {
                format!("remove the {rtype} of `{occluder}`, or `acme` of the mirror")
            }
            ZoneProblem::SteeredHints { .. } => {
                "remove `ipv4hint` and `ipv6hint`; clients take the addresses of the target, which are tailored".into()
            }
            ZoneProblem::TtlsDiffer { .. } => "write the same TTL on each record of the set".into(),
            ZoneProblem::Occluded { by: Rtype::NS, .. } => {
                "move it to the delegated zone; only glue belongs here".into()
            }
            ZoneProblem::Occluded { .. } => "remove it, or the DNAME; a DNAME renames all names below it".into(),
            ZoneProblem::TargetWithoutAddress { target, rtype, relative, .. } => match relative {
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
            ZoneProblem::BadMailbox { .. } => {
                "write a dot instead of the `@`: `hostmaster.example.com.` stands for hostmaster@example.com".into()
            }
            ZoneProblem::TargetIsAlias { .. } => {
                "name the host itself; many resolvers do not follow an alias here".into()
            }
            ZoneProblem::MissingGlue { target, .. } => {
                format!("add an A or AAAA record for `{target}`, or delegate to a host outside of the delegated zone")
            }
            ZoneProblem::SignsNothing { .. } => "sign the zone anew; the signature is not served".into(),
            ZoneProblem::SteeredNameServer { .. } => "give name servers names and addresses of their own".into(),
        }
    }
}

impl fmt::Display for ZoneProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ZoneProblem::NoSoa { apex } => write!(f, "zone `{apex}` has no SOA at its apex"),
            ZoneProblem::SeveralSoas { .. } => write!(f, "the zone has more than one SOA"),
            ZoneProblem::SoaBelowApex { owner, .. } => write!(f, "the SOA of `{owner}` is not at the apex of the zone"),
            ZoneProblem::NoNs { apex, .. } => write!(f, "zone `{apex}` has no NS at its apex"),
            ZoneProblem::ServerBelowDname { server, dname, .. } => {
                write!(f, "the name server `{server}` of the zone is below `{dname}`, which has a DNAME")
            }
            ZoneProblem::CnameAndOther { owner, rtype, .. } => {
                write!(f, "`{owner}` has a CNAME and {} {rtype} too", rtype.article())
            }
            ZoneProblem::SeveralCnames { owner, .. } => write!(f, "`{owner}` has more than one CNAME"),
            ZoneProblem::SeveralDnames { owner, .. } => write!(f, "`{owner}` has more than one DNAME"),
            ZoneProblem::WildcardNs { owner, .. } => write!(f, "the wildcard `{owner}` cannot be delegated"),
            ZoneProblem::WildcardDname { owner, .. } => write!(f, "the wildcard `{owner}` cannot have a DNAME"),
            ZoneProblem::RrSetTooLong { owner, rtype, len, .. } => {
                write!(f, "the {rtype} records of `{owner}` take {len} bytes, more than an answer has room for")
            }
            ZoneProblem::SteeredAndStatic { owner, rtype: Rtype::HTTPS, .. } => {
                write!(f, "`{owner}` has an HTTPS record in the master file and another by `https`")
            }
            ZoneProblem::SteeredAndStatic { owner, rtype, .. } => {
                write!(f, "`{owner}` is steered and has {} {rtype} of its own", rtype.article())
            }
            ZoneProblem::SteeredOccluded { owner, rtype: Rtype::NS, occluder, .. } => {
                write!(f, "`{owner}` is steered, but delegated to the servers of `{occluder}`")
            }
            ZoneProblem::SteeredOccluded { owner, occluder, .. } => {
                write!(f, "`{owner}` is steered, but hidden by the DNAME of `{occluder}`")
            }
            ZoneProblem::ReservedAndStatic { owner, rtype, .. } => {
                write!(
                    f,
                    "`{owner}` is a name of a mirror with credentials, and has {} {rtype} of its own",
                    rtype.article()
                )
            }
            ZoneProblem::ReservedOccluded { owner, rtype, occluder, .. } => {
                write!(f, "challenges at `{owner}` are never answered: `{occluder}` has {} {rtype}", rtype.article())
            }
            ZoneProblem::SteeredHints { owner, rtype, target, .. } => {
                write!(f, "the {rtype} of `{owner}` has addresses for `{target}`, which is steered")
            }
            ZoneProblem::TtlsDiffer { owner, rtype, least, .. } => {
                write!(f, "the {rtype} records of `{owner}` differ in TTL; all are served with {}", least.0)
            }
            ZoneProblem::Occluded { owner, rtype, by, occluder, .. } => match by {
                &Rtype::NS => write!(f, "the {rtype} of `{owner}` is never answered: `{occluder}` is delegated"),
                _ => write!(f, "the {rtype} of `{owner}` is never answered: `{occluder}` has a {by}"),
            },
            ZoneProblem::TargetWithoutAddress { owner, rtype, target, .. } => {
                write!(f, "the {rtype} of `{owner}` points to `{target}`, which has no address")
            }
            ZoneProblem::BadMailbox { mailbox, .. } => write!(f, "the mailbox `{mailbox}` of the SOA has an `@`"),
            ZoneProblem::TargetIsAlias { owner, rtype, target, .. } => {
                write!(f, "the {rtype} of `{owner}` points to `{target}`, which is an alias")
            }
            ZoneProblem::MissingGlue { owner, target, .. } => {
                write!(f, "`{owner}` is delegated to `{target}` below it, which has no address here")
            }
            ZoneProblem::SignsNothing { owner, rtype, .. } => {
                write!(f, "an RRSIG of `{owner}` covers {rtype}, of which the owner has no record")
            }
            ZoneProblem::SteeredNameServer { owner, target, .. } => {
                write!(f, "the name server `{target}` of `{owner}` is steered")
            }
        }
    }
}
