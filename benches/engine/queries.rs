//! The queries of each workload, as a resolver sends them: EDNS with 1232 bytes of payload, RD clear.

use std::net::IpAddr;

use pharos::base::name::NameBuf;
use pharos::base::rr::Rtype;

use crate::random::Random;
use crate::world::{CUTS, HOSTS};

/// The workloads, by name.
pub(crate) const WORKLOADS: [&str; 6] = ["ecs", "weights", "static", "nxdomain", "referral", "mix"];

/// The queries of a workload; the benchmark asks each in turn, again and again.
pub(crate) fn workload(name: &str, prefixes: &[(IpAddr, u8)]) -> Option<Vec<Vec<u8>>> {
    let mut random = Random::new(3);
    match name {
        "ecs" => Some(ecs("blob.k8s.io", prefixes)),
        "weights" => Some(ecs("shares.blob.k8s.io", prefixes)),
        "static" => Some((0..HOSTS).map(|host| query(&format!("host-{host}.blob.k8s.io"), Rtype::A, None)).collect()),
        "nxdomain" => {
            let mut name = || format!("{:x}.blob.k8s.io", random.next() >> 24);
            Some((0..10_000).map(|_| query(&name(), Rtype::A, None)).collect())
        }
        "referral" => Some((0..CUTS).map(|cut| query(&format!("www.cut-{cut}.blob.k8s.io"), Rtype::A, None)).collect()),
        "mix" => {
            let kinds = ["ecs", "ecs", "static", "nxdomain"].map(|kind| workload(kind, prefixes));
            let mut at = [0; 4];
            let next = |turn: usize| {
                let queries = kinds[turn % 4].as_ref()?;
                at[turn % 4] += 1;
                Some(queries[(at[turn % 4] * 7919) % queries.len()].clone())
            };
            (0..40_000).map(next).collect()
        }
        _ => None,
    }
}

/// A steered name, for a client in every prefix. Resolvers send no more than /24 and /56 (RFC 7871 §11.1).
fn ecs(qname: &str, prefixes: &[(IpAddr, u8)]) -> Vec<Vec<u8>> {
    let mut queries = Vec::with_capacity(prefixes.len());
    for (address, _) in prefixes {
        let (family, octets, source) = match address {
            IpAddr::V4(v4) => (1u8, v4.octets()[..3].to_vec(), 24),
            IpAddr::V6(v6) => (2u8, v6.octets()[..7].to_vec(), 56),
        };
        let qtype = if family == 1 { Rtype::A } else { Rtype::AAAA };
        let option = [&[0, family, source, 0][..], &octets].concat();
        queries.push(query(qname, qtype, Some(&option)));
    }
    // Sorted queries would walk the table in order, which no clients do.
    let mut random = Random::new(5);
    for at in (1..queries.len()).rev() {
        queries.swap(at, random.below(at as u32 + 1) as usize);
    }
    queries
}

fn query(qname: &str, qtype: Rtype, ecs: Option<&[u8]>) -> Vec<u8> {
    let name = NameBuf::parse(qname).expect("names of workloads are names");
    let mut message = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    message.extend_from_slice(name.as_name().as_wire());
    message.extend_from_slice(&qtype.0.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    message.extend_from_slice(&[0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0]);
    let options = ecs.map(|data| [&[0, 8, 0, data.len() as u8][..], data].concat()).unwrap_or_default();
    message.extend_from_slice(&(options.len() as u16).to_be_bytes());
    message.extend_from_slice(&options);
    message
}

/// Sets the DO bit of a query of a workload.
pub(crate) fn ask_for_signatures(query: &mut [u8]) {
    let mut at = 12;
    while query[at] != 0 {
        at += 1 + usize::from(query[at]);
    }
    // The root, type and class of the question; the root, type, class, extended RCODE and version of the OPT record.
    query[at + 1 + 4 + 1 + 2 + 2 + 2] |= 0x80;
}
