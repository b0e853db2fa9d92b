//! The SOA of negative answers, compressed ahead.
//!
//! In: the zone's SOA and apex. Out: the record in the form that it has in a message right behind a question whose name ends
//! in the apex. The length of that name gives the positions of the apex and of the record in the message, so every pointer
//! in the record (RFC 1035 §4.1.4) is a distance from the apex that is known here.
//!
//! **Invariants**: [`NegativeSoa::write`] gives the record of [`NegativeSoa::rrset`].
//! **Not here**: when a record may be written so ([`crate::wire`]).
//!
//! RFC 2308 §3 and §5 (the SOA in negative answers and its TTL).

use arrayvec::ArrayVec;

use super::rrset::{TTL, set_ttls};
use super::{RECORD_HEADER_LEN, RrSet};
use crate::base::name::Name;
use crate::base::rr::Rtype;
use crate::base::time::Ttl;

/// The bytes between a question's name and what follows the question: type and class.
const AFTER_NAME: usize = 4;

/// The bytes of an SOA's rdata after its two names (RFC 1035 §3.3.13).
pub(super) const SOA_NUMBERS_LEN: usize = 20;

/// The SOA of a zone's negative answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct NegativeSoa {
    ttl: Ttl,
    /// As in [`RrSet::signed_wire`]; signatures have the TTL of the record.
    signed: Box<[u8]>,
    /// RRSIGs are behind the record.
    is_signed: bool,
    /// The record with distances from the apex in place of pointers.
    compressed: Box<[u8]>,
    /// The positions of those distances: owner, MNAME, RNAME.
    pointers: ArrayVec<u16, 3>,
    apex_len: u16,
}

impl NegativeSoa {
    /// Makes it from the zone's SOA: its TTL is the lesser of the SOA's own and its MINIMUM (RFC 2308 §5).
    pub(super) fn of(soa: RrSet<'_>, apex: Name<'_>) -> Self {
        let wire = soa.wire();
        let [.., minimum] = soa_numbers(wire);
        let ttl = soa.ttl.min(Ttl(minimum));
        let mut signed: Box<[u8]> = soa.signed_wire().into();
        set_ttls(&mut signed, ttl);
        let wire = &signed[..wire.len()];
        let mut made = Compressing::behind(apex);
        made.distance(0);
        made.octets.extend_from_slice(&wire[2..RECORD_HEADER_LEN]);
        let (names, numbers) = split_soa(&wire[RECORD_HEADER_LEN..]).expect("an SOA is well-formed: ZoneBuilder::add");
        names.into_iter().for_each(|name| made.name(name));
        made.octets.extend_from_slice(numbers);
        let len = (made.octets.len() - RECORD_HEADER_LEN) as u16;
        made.octets[RECORD_HEADER_LEN - 2..RECORD_HEADER_LEN].copy_from_slice(&len.to_be_bytes());
        let (compressed, pointers) = (made.octets.into(), made.pointers);
        NegativeSoa { ttl, is_signed: soa.is_signed(), compressed, pointers, apex_len: apex.len() as u16, signed }
    }

    /// The same with a TTL of at most this.
    pub(super) fn at_most(&self, ttl: Ttl) -> Self {
        let mut capped = self.clone();
        capped.ttl = self.ttl.min(ttl);
        set_ttls(&mut capped.signed, capped.ttl);
        capped.compressed[TTL].copy_from_slice(&capped.ttl.0.to_be_bytes());
        capped
    }

    /// The record, uncompressed.
    #[inline]
    pub(crate) fn rrset(&self) -> RrSet<'_> {
        let of = if self.is_signed { RrSet::signed } else { RrSet::unsigned };
        of(Rtype::SOA, self.ttl, 1, &self.signed)
    }

    /// Writes the record at the start of `out`, which stands `at` bytes into a message, right behind a question whose
    /// name ends in the apex, byte for byte; tells its length, or `None` if it does not fit.
    #[inline]
    pub(crate) fn write(&self, at: usize, out: &mut [u8]) -> Option<usize> {
        let out = out.get_mut(..self.compressed.len())?;
        out.copy_from_slice(&self.compressed);
        let apex_at = (at - AFTER_NAME) as u16 - self.apex_len;
        for &pointer in &self.pointers {
            let octets = &mut out[usize::from(pointer)..][..2];
            let distance = u16::from_be_bytes([octets[0], octets[1]]);
            octets.copy_from_slice(&(0xc000 | (apex_at + distance)).to_be_bytes());
        }
        Some(self.compressed.len())
    }
}

/// MNAME and RNAME of an SOA's rdata, and the numbers behind them; `None` if it is not well-formed.
fn split_soa(rdata: &[u8]) -> Option<([Name<'_>; 2], &[u8; SOA_NUMBERS_LEN])> {
    let (mname, rest) = Name::split_from(rdata)?;
    let (rname, numbers) = Name::split_from(rest)?;
    Some(([mname, rname], numbers.try_into().ok()?))
}

/// SERIAL, REFRESH, RETRY, EXPIRE and MINIMUM, with which an SOA ends, as rdata or as a whole record; zeros if it is shorter.
pub(crate) fn soa_numbers(rdata: &[u8]) -> [u32; 5] {
    let numbers = rdata.last_chunk::<SOA_NUMBERS_LEN>().and_then(|octets| octets.as_chunks().0.first_chunk());
    numbers.map_or([0; 5], |numbers| numbers.map(u32::from_be_bytes))
}

/// A record in the making, and the names that it may point to by their distance from the apex.
struct Compressing<'z> {
    octets: Vec<u8>,
    pointers: ArrayVec<u16, 3>,
    known: Vec<(Name<'z>, usize)>,
    /// The distance from the apex to the start of the record.
    start: usize,
}

impl<'z> Compressing<'z> {
    fn behind(apex: Name<'z>) -> Self {
        let start = apex.len() + AFTER_NAME;
        let mut made = Compressing { octets: Vec::new(), pointers: ArrayVec::new(), known: Vec::new(), start };
        made.remember(apex, 0, apex.len());
        made
    }

    /// Appends a distance, to be made a pointer.
    fn distance(&mut self, distance: usize) {
        self.pointers.push(self.octets.len() as u16);
        self.octets.extend_from_slice(&(distance as u16).to_be_bytes());
    }

    /// Appends a name, as short as the names before allow.
    fn name(&mut self, name: Name<'z>) {
        let mut rest = name;
        let known = loop {
            let Some(parent) = rest.parent() else { break None };
            // A zone's names keep their case, so only byte for byte the same counts.
            let known = self.known.iter().find(|(known, _)| known.as_wire() == rest.as_wire());
            if let Some((_, distance)) = known {
                break Some(*distance);
            }
            rest = parent;
        };
        let new = name.len() - rest.len();
        self.remember(name, self.start + self.octets.len(), new);
        self.octets.extend_from_slice(&name.as_wire()[..new]);
        match known {
            Some(distance) => self.distance(distance),
            None => self.octets.push(0),
        }
    }

    /// Notes the suffixes of a name that begin in its first `new` bytes.
    fn remember(&mut self, name: Name<'z>, distance: usize, new: usize) {
        let mut rest = name;
        while let Some(parent) = rest.parent()
            && name.len() - rest.len() < new
        {
            self.known.push((rest, distance + name.len() - rest.len()));
            rest = parent;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::name::NameBuf;
    use crate::zone::push_record;

    /// A question for `qname`, and the record behind it.
    fn message(apex: &str, mname: &str, rname: &str, qname: &str) -> Vec<u8> {
        let [apex, mname, rname, qname] = [apex, mname, rname, qname].map(|text| NameBuf::parse(text).unwrap());
        let numbers = [7, 7200, 3600, 1_209_600, 300u32].map(u32::to_be_bytes).concat();
        let rdata = [mname.as_name().as_wire(), rname.as_name().as_wire(), &numbers].concat();
        let mut wire = Vec::new();
        push_record(Rtype::SOA, Ttl(3600), &rdata, &mut wire);
        let soa = RrSet::unsigned(Rtype::SOA, Ttl(3600), 1, &wire);
        let negative = NegativeSoa::of(soa, apex.as_name());
        let mut message = [&[0, 0, 0x80, 3, 0, 1, 0, 0, 0, 1, 0, 0], qname.as_name().as_wire(), &[0, 1, 0, 1]].concat();
        let at = message.len();
        message.resize(at + 300, 0xff);
        let len = negative.write(at, &mut message[at..]).unwrap();
        assert!(negative.write(at, &mut vec![0; len - 1]).is_none());
        message.truncate(at + len);
        message
    }

    #[test]
    fn another_reader_finds_the_names_behind_the_pointers() {
        for (apex, mname, rname, qname, len) in [
            ("blob.k8s.io", "ns1.blob.k8s.io", "hostmaster.k8s.io", "a.b.blob.k8s.io", 2 + 10 + 6 + 13 + 20),
            ("blob.k8s.io", "ns1.example.org", "hostmaster.example.org", "blob.k8s.io", 2 + 10 + 17 + 13 + 20),
            ("example", "example", "example", "x.example", 2 + 10 + 2 + 2 + 20),
            (".", ".", ".", "x", 2 + 10 + 1 + 1 + 20),
        ] {
            let message = message(apex, mname, rname, qname);
            assert_eq!(message.len(), 12 + NameBuf::parse(qname).unwrap().as_name().len() + 4 + len, "{apex} {mname}");
            let read = hickory_proto::op::Message::from_vec(&message).unwrap();
            let record = &read.authorities[0];
            let text = format!("{}. 300 IN SOA {}. {}. 7 7200 3600 1209600 300", apex, mname, rname).replace("..", ".");
            assert_eq!(record.to_string(), text);
        }
    }
}
