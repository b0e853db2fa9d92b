//! NSEC records: the next owner of a zone, and the types of this one.
//!
//! **Invariants**: the types of a delegation are those of the parent's side; a type is in the list once.
//!
//! RFC 4034 §4 (NSEC), RFC 4035 §2.3 (the types of an owner).

use std::collections::BTreeSet;

use crate::base::name::Name;
use crate::base::rr::Rtype;
use crate::zone::Node;

/// The static types of an owner that its NSEC lists, with those of the NSEC itself and its signature.
pub(super) fn types_of(node: Node<'_>) -> BTreeSet<Rtype> {
    let is_cut = node.cut().is_some();
    let types = node.rrsets().map(|set| set.rtype);
    // Glue is not data of the zone.
    let types = types.filter(|rtype| !is_cut || matches!(*rtype, Rtype::NS | Rtype::DS));
    types.chain([Rtype::NSEC, Rtype::RRSIG]).collect()
}

/// The rdata of an NSEC record.
pub(crate) fn nsec_rdata(next: Name<'_>, types: &BTreeSet<Rtype>) -> Vec<u8> {
    let mut rdata = next.as_wire().to_vec();
    let mut windows: Vec<(u8, Vec<u8>)> = Vec::new();
    for [window, low] in types.iter().map(|rtype| rtype.0.to_be_bytes()) {
        if windows.last().is_none_or(|(last, _)| *last != window) {
            windows.push((window, Vec::new()));
        }
        if let Some((_, bits)) = windows.last_mut() {
            let at = usize::from(low / 8);
            bits.resize(bits.len().max(at + 1), 0);
            bits[at] |= 0x80 >> (low % 8);
        }
    }
    for (window, bits) in windows {
        rdata.extend_from_slice(&[window, bits.len() as u8]);
        rdata.extend_from_slice(&bits);
    }
    rdata
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::name::name;
    use crate::base::rdata::is_valid;

    #[test]
    fn rfc4034_s4_3_the_example_has_its_octets() {
        let types = [Rtype::A, Rtype::MX, Rtype::RRSIG, Rtype::NSEC, Rtype(1234)].into_iter().collect();
        let mut expected = b"\x04host\x07example\x03com\x00\x00\x06\x40\x01\x00\x00\x00\x03\x04\x1b".to_vec();
        expected.extend_from_slice(&[0; 26]);
        expected.push(0x20);
        let rdata = nsec_rdata(name("host.example.com").as_name(), &types);
        assert_eq!(rdata, expected);
        assert!(is_valid(Rtype::NSEC, &rdata));
    }
}
