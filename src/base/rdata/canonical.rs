//! The canonical form of record data, by which records are compared and signed.
//!
//! **Invariants**: the canonical form is as long as the data; only letters in names change.
//! **Not here**: the order of records ([`crate::zone`]).
//!
//! RFC 4034 §6.2, RFC 6840 §5.1 (without NSEC and RRSIG).

use std::borrow::Cow;

use crate::base::name::Name;
use crate::base::rr::Rtype;

/// The data with its names in lower case, if the type is one of those whose names have no case. Other types are opaque.
pub(crate) fn canonical(rtype: Rtype, rdata: &[u8]) -> Cow<'_, [u8]> {
    let Some((start, names)) = names(rtype, rdata) else { return Cow::Borrowed(rdata) };
    let mut end = start;
    for _ in 0..names {
        let Some((name, _)) = rdata.get(end..).and_then(Name::split_from) else { return Cow::Borrowed(rdata) };
        end += name.len();
    }
    if rdata[start..end].iter().any(u8::is_ascii_uppercase) {
        // The length of a label is at most 63, which is no letter.
        let mut canonical = rdata.to_vec();
        canonical[start..end].make_ascii_lowercase();
        Cow::Owned(canonical)
    } else {
        Cow::Borrowed(rdata)
    }
}

/// The start of the names in the data, and their number.
fn names(rtype: Rtype, rdata: &[u8]) -> Option<(usize, usize)> {
    match rtype.0 {
        // NS, MD, MF, CNAME, MB, MG, MR, PTR, NXT, DNAME.
        2..=5 | 7..=9 | 12 | 30 | 39 => Some((0, 1)),
        // SOA, MINFO, RP.
        6 | 14 | 17 => Some((0, 2)),
        // MX, AFSDB, RT, KX.
        15 | 18 | 21 | 36 => Some((2, 1)),
        // SIG.
        24 => Some((18, 1)),
        // PX.
        26 => Some((2, 2)),
        // SRV.
        33 => Some((6, 1)),
        // NAPTR: order and preference, three strings, the replacement.
        35 => {
            let start = (0..3).try_fold(4, |at, _| Some(at + 1 + usize::from(*rdata.get(at)?)))?;
            Some((start, 1))
        }
        // A6: the bits of the prefix are not in the address; a prefix has a name.
        38 => {
            let prefix = usize::from(*rdata.first()?);
            (prefix > 0).then(|| (1 + 128usize.saturating_sub(prefix).div_ceil(8), 1))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_types_of_rfc4034_are_in_lower_case_and_all_else_stays() {
        for (rtype, rdata, canonical_rdata) in [
            (Rtype::NS, &b"\x02NS\x01X\0"[..], &b"\x02ns\x01x\0"[..]),
            (Rtype::MX, b"AB\x02MX\0", b"AB\x02mx\0"),
            (Rtype::SRV, b"ABCDEF\x01T\0", b"ABCDEF\x01t\0"),
            (Rtype(35), b"ABCD\x01S\x02E2\x00\x01R\0", b"ABCD\x01S\x02E2\x00\x01r\0"),
            (Rtype(26), b"AB\x01M\0\x01N\0", b"AB\x01m\0\x01n\0"),
            (Rtype::TXT, b"\x02TX", b"\x02TX"),
            (Rtype::NSEC, b"\x01N\0\0\x01\x40", b"\x01N\0\0\x01\x40"),
            (Rtype::HTTPS, b"\0\x01\x01T\0", b"\0\x01\x01T\0"),
        ] {
            assert_eq!(canonical(rtype, rdata), canonical_rdata, "{rtype}");
        }
        let soa = [&b"\x01M\0\x01R\0"[..], &[0x41; 20]].concat();
        assert_eq!(canonical(Rtype::SOA, &soa), [&b"\x01m\0\x01r\0"[..], &[0x41; 20]].concat());
    }

    #[test]
    fn data_that_is_cut_is_left_as_it_is() {
        for (rtype, rdata) in
            [(Rtype::NS, &b"\x05NS"[..]), (Rtype(35), b"ABCD\x09S"), (Rtype(38), b""), (Rtype::SRV, b"A")]
        {
            assert_eq!(canonical(rtype, rdata), rdata, "{rtype}");
        }
    }
}
