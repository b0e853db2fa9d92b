//! HTTPS records of steered owners: the protocols of the mirrors, and the client's A and AAAA addresses as hints.
//!
//! **Invariants**: encoded ahead, for each plan, from its encoded addresses, so that hints and addresses cannot differ;
//! parameters stand in ascending order of their keys; there is always one record, whatever the health of mirrors.
//! **Not here**: HTTPS records that a zone has itself ([`crate::zone`]), the record for a client ([`crate::answer`]).
//!
//! RFC 9460 §2.2 (rdata), §7.1 (alpn), §7.2 (port), §7.3 (hints), §9 (HTTPS).

use super::Addresses;
use crate::base::ids::HorizonId;
use crate::base::prefix::Family;
use crate::base::rr::Rtype;
use crate::base::time::Ttl;
use crate::zone::{self, RrSet};

/// The port of an HTTPS record that names none (RFC 9460 §9.1).
pub(crate) const HTTPS_PORT: u16 = 443;

/// ServiceMode, of the highest priority; the target is the owner (RFC 9460 §2.4.3, §2.5).
const PRIORITY_AND_TARGET: [u8; 3] = [0, 1, 0];

/// SvcParamKeys (RFC 9460 §14.3.2).
const ALPN: u16 = 1;
const PORT: u16 = 3;
const IPV4_HINT: u16 = 4;
const IPV6_HINT: u16 = 6;

/// The HTTPS record of a steered owner, without its hints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The horizon that decides for the owner.
    pub(crate) horizon: HorizonId,
    /// Its address hints.
    pub(crate) hints: Hints,
    /// The rdata up to the hints.
    start: Box<[u8]>,
}

/// The address hints of an HTTPS record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hints {
    /// Those of the client's A and AAAA, and so it depends on the client.
    Tailored,
    /// None, and so the record is the same for every client.
    Left,
}

impl Service {
    /// A service with its protocols over TLS; an empty list means the protocol that HTTPS implies.
    pub(crate) fn new(horizon: HorizonId, protocols: &[impl AsRef<[u8]>], port: u16, hints: Hints) -> Self {
        let mut start = PRIORITY_AND_TARGET.to_vec();
        if !protocols.is_empty() {
            let mut value = Vec::new();
            for protocol in protocols {
                let octets = protocol.as_ref();
                // 255 bytes are the most: config::limits.
                value.push(octets.len() as u8);
                value.extend_from_slice(octets);
            }
            push_param(ALPN, &value, &mut start);
        }
        if port != HTTPS_PORT {
            push_param(PORT, &port.to_be_bytes(), &mut start);
        }
        Service { horizon, hints, start: start.into() }
    }

    /// The record for a plan, from the plan's addresses.
    pub(super) fn encode(&self, addresses: &[Addresses; 2]) -> ServiceRecord {
        let sets = Family::ALL.map(|family| addresses[family as usize].rrset(family, Ttl::MAX));
        let family = if sets[0].is_none() && sets[1].is_some() { Family::V6 } else { Family::V4 };
        let mut record = ServiceRecord { family, wire: Box::default(), max_ttl: Ttl::MAX };
        let mut rdata = self.start.to_vec();
        if self.hints == Hints::Tailored {
            for (key, set) in [IPV4_HINT, IPV6_HINT].into_iter().zip(sets) {
                let Some(set) = set else { continue };
                push_param(key, &set.rdatas().collect::<Vec<_>>().concat(), &mut rdata);
                record.max_ttl = record.max_ttl.min(set.ttl);
            }
        }
        let mut wire = Vec::new();
        zone::push_record(Rtype::HTTPS, Ttl(0), &rdata, &mut wire);
        record.wire = wire.into();
        record
    }
}

/// Appends a service parameter. Its value is short: eight mirrors with 32 addresses each are 4096 bytes.
fn push_param(key: u16, value: &[u8], rdata: &mut Vec<u8>) {
    rdata.extend_from_slice(&key.to_be_bytes());
    rdata.extend_from_slice(&(value.len() as u16).to_be_bytes());
    rdata.extend_from_slice(value);
}

/// The HTTPS record for one plan, encoded.
#[derive(Clone, Debug)]
pub(crate) struct ServiceRecord {
    /// The family of its first hints, because the choice of mirrors for that family describes the record best.
    pub(crate) family: Family,
    wire: Box<[u8]>,
    max_ttl: Ttl,
}

impl ServiceRecord {
    /// The RRset, with the TTL to give.
    #[inline]
    pub(crate) fn rrset(&self, ttl: Ttl) -> RrSet<'_> {
        RrSet::unsigned(Rtype::HTTPS, ttl.min(self.max_ttl), 1, &self.wire)
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::rdata::HTTPS;
    use hickory_proto::rr::rdata::svcb::SvcParamKey;
    use hickory_proto::rr::{RData, Record};
    use hickory_proto::serialize::binary::BinDecodable as _;

    use super::*;
    use crate::base::ids::MirrorId;
    use crate::steer::{Choice, Tier};

    fn addresses(family: Family, last: &[u8], max_ttl: u32) -> Addresses {
        let (mut wire, rtype) = (Vec::new(), if family == Family::V4 { Rtype::A } else { Rtype::AAAA });
        for last in last {
            let mut rdata = vec![192, 0, 2, *last];
            if family == Family::V6 {
                rdata.splice(0..0, [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0]);
            }
            zone::push_record(rtype, Ttl(0), &rdata, &mut wire);
        }
        let choice = Choice { mirrors: vec![MirrorId(0)], tier: Tier::Preferred };
        Addresses { choice, wire: wire.into(), count: last.len() as u16, max_ttl: Ttl(max_ttl) }
    }

    /// The record as hickory-proto reads it, which shares no code with us.
    fn read(record: &ServiceRecord) -> HTTPS {
        // Owned by the root instead of the name that the pointer means.
        let octets = [&[0], &record.rrset(Ttl(60)).wire()[2..]].concat();
        match Record::from_bytes(&octets).unwrap().data {
            RData::HTTPS(https) => https,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn rfc9460_s2_2_parameters_are_in_order_and_hints_are_the_addresses() {
        let service = Service::new(HorizonId(0), &["h2", "http/1.1"], 8443, Hints::Tailored);
        let both = [addresses(Family::V4, &[1, 2], 50), addresses(Family::V6, &[3], 40)];
        let record = service.encode(&both);
        assert_eq!(
            (record.rrset(Ttl(60)).ttl, record.rrset(Ttl(30)).ttl, record.family),
            (Ttl(40), Ttl(30), Family::V4)
        );
        let https = read(&record);
        assert_eq!((https.svc_priority, https.target_name.is_root()), (1, true));
        let keys: Vec<_> = https.svc_params.iter().map(|(key, _)| *key).collect();
        let in_order = [SvcParamKey::Alpn, SvcParamKey::Port, SvcParamKey::Ipv4Hint, SvcParamKey::Ipv6Hint];
        assert_eq!(keys, in_order);
        let values: Vec<_> = https.svc_params.iter().map(|(_, value)| value.to_string()).collect();
        assert_eq!(values, ["h2,http/1.1,", "8443", "192.0.2.1,192.0.2.2,", "2001:db8::c000:203,"], "{https}");
    }

    #[test]
    fn rfc9460_s7_3_a_family_without_addresses_has_no_hint() {
        let service = Service::new(HorizonId(0), &[] as &[&str], 443, Hints::Tailored);
        let only_v6 = service.encode(&[addresses(Family::V4, &[], 7), addresses(Family::V6, &[3], 40)]);
        assert_eq!((only_v6.family, only_v6.rrset(Ttl(60)).ttl), (Family::V6, Ttl(40)));
        let keys: Vec<_> = read(&only_v6).svc_params.iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, [SvcParamKey::Ipv6Hint]);
    }

    #[test]
    fn without_hints_it_is_the_same_for_all_and_holds_for_its_whole_ttl() {
        let service = Service::new(HorizonId(0), &["h2"], 443, Hints::Left);
        let one = service.encode(&[addresses(Family::V4, &[1], 5), addresses(Family::V6, &[3], 5)]);
        let other = service.encode(&[addresses(Family::V4, &[9], 5), addresses(Family::V6, &[], 5)]);
        assert_eq!((one.rrset(Ttl(60)).wire(), one.rrset(Ttl(60)).ttl), (other.rrset(Ttl(60)).wire(), Ttl(60)));
        assert_eq!(read(&one).svc_params.len(), 1);
    }
}
