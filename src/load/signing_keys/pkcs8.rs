//! Parts of PKCS #8 documents, in the forms that ring refuses too.
//!
//! **Invariants**: a document that is no DER gives nothing.
//! **Not here**: the keys made of them ([`super::private`]).
//!
//! RFC 5958 §2 (the document), RFC 5915 §3 (a key on a curve), RFC 5280 §4.1.1.2 (the identifier of an algorithm).

use x509_parser::der_parser::asn1_rs::{Any, FromDer as _};

/// The first byte of a point without compression, which DNSKEY records leave out (RFC 6605 §4).
pub(super) const UNCOMPRESSED: u8 = 4;

/// The bytes of a private key of either algorithm.
pub(crate) const PRIVATE_LEN: usize = 32;

/// The bytes of the object identifiers of a document's algorithm: its own, and that of its curve.
pub(super) fn algorithm(document: &[u8]) -> Vec<&[u8]> {
    let fields =
        elements(document).and_then(|of_file| elements(of_file.first()?)).and_then(|fields| elements(fields.get(1)?));
    fields.unwrap_or_default()
}

/// The private scalar and the public point of a document of curve P-256. `None` if it has no point.
pub(super) fn scalar_and_point(document: &[u8]) -> Option<([u8; PRIVATE_LEN], &[u8])> {
    let fields = elements(elements(document)?.first()?)?;
    let fields = elements(elements(fields.get(2)?)?.first()?)?;
    let [_version, private, others @ ..] = &fields[..] else { return None };
    // The last field has the tag [1], and in it a bit string that begins with the count of its unused bits.
    let point = elements(others.last()?)?.first()?.strip_prefix(&[0, UNCOMPRESSED])?;
    Some((scalar(private)?, point))
}

/// The contents of the DER elements in a row.
fn elements(mut octets: &[u8]) -> Option<Vec<&[u8]>> {
    let mut elements = Vec::new();
    while !octets.is_empty() {
        let (rest, element) = Any::from_der(octets).ok()?;
        elements.push(element.data);
        octets = rest;
    }
    Some(elements)
}

/// The private scalar of a key of curve P-256 in its full length. Other programs write it without leading zeros (BIND), or with one
/// more (GnuTLS, and so Knot DNS, for half of all keys), because to them it is a number.
pub(super) fn scalar(written: &[u8]) -> Option<[u8; PRIVATE_LEN]> {
    let zeros = written.iter().take_while(|byte| **byte == 0).count();
    let mut scalar = [0; PRIVATE_LEN];
    let start = PRIVATE_LEN.checked_sub(written.len() - zeros)?;
    scalar[start..].copy_from_slice(&written[zeros..]);
    Some(scalar)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scalar_is_read_whatever_its_leading_zeros() {
        let full = [7; PRIVATE_LEN];
        assert_eq!(scalar(&full), Some(full));
        assert_eq!(scalar(&[&[0][..], &full].concat()), Some(full));
        let mut short = full;
        short[0] = 0;
        assert_eq!(scalar(&full[1..]), Some(short));
        assert_eq!(scalar(&[full, full].concat()), None);
    }

    #[test]
    fn octets_that_are_no_document_give_nothing() {
        for octets in [&[][..], &[0x30, 0x80], &[0x30, 2, 0x30, 0x7f], &[0x30, 0]] {
            assert_eq!((algorithm(octets).len(), scalar_and_point(octets)), (0, None), "{octets:?}");
        }
    }
}
