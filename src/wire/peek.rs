//! A glance at a message before it is answered: the name asked for, and the address of the client.
//!
//! **Invariants**: reads only a plain query, with one question and at most an OPT record behind it; the result decides
//! nothing, so it need not cover all that [`super::decode()`] finds.
//! **Not here**: the use of the result ([`crate::snapshot::Snapshot::approach`]).

use std::net::IpAddr;

use super::decode::OPTION_ECS;
use super::record::HEADER_LEN;
use crate::base::name::Name;
use crate::snapshot::Inquiry;

/// Maximum number of options read. Resolvers send a cookie and a subnet, seldom more.
const MAX_OPTIONS: usize = 4;

/// The start of an OPT record: the root, and its type.
const OPT: [u8; 3] = [0, 0, 41];

/// Length in bytes of an OPT record before its options.
const OPT_LEN: usize = 11;

/// Reads the name and the client's address from a message of `peer`; `None` if it is no plain query.
#[inline]
pub fn peek(message: &[u8], peer: IpAddr) -> Option<Inquiry<'_>> {
    let (header, rest) = message.split_first_chunk::<HEADER_LEN>()?;
    // RFC 1035 §4.1.1: a query with opcode 0, one question, and no records but additional ones.
    if header[2] & 0xf8 != 0 || header[4..10] != [0, 1, 0, 0, 0, 0] {
        return None;
    }
    let (name, tail) = Name::read_from(rest)?;
    let rest = &rest[name.len()..];
    Some(Inquiry { name, tail, address: subnet(rest).unwrap_or(peer) })
}

/// The address of the ECS option; `rest` begins at the question's type.
#[inline]
fn subnet(rest: &[u8]) -> Option<IpAddr> {
    let opt = rest.get(4..)?;
    let mut options = opt.get(OPT_LEN..).filter(|_| opt.starts_with(&OPT))?;
    for _ in 0..MAX_OPTIONS {
        let (&[code_high, code_low, len_high, len_low], data) = options.split_first_chunk()?;
        let (data, behind) = data.split_at_checked(usize::from(u16::from_be_bytes([len_high, len_low])))?;
        if u16::from_be_bytes([code_high, code_low]) == OPTION_ECS {
            return address(data);
        }
        options = behind;
    }
    None
}

/// Reads the address of an ECS option: family, source, scope, and the address bytes that the option has (RFC 7871 §6).
/// Source 0 means no address (RFC 7871 §7.1.2).
#[inline]
fn address(data: &[u8]) -> Option<IpAddr> {
    let (&[_, family, source, _], address) = data.split_first_chunk()?;
    match family {
        _ if source == 0 => None,
        1 => padded::<4>(address).map(IpAddr::from),
        2 => padded::<16>(address).map(IpAddr::from),
        _ => None,
    }
}

#[inline]
fn padded<const N: usize>(address: &[u8]) -> Option<[u8; N]> {
    let mut octets = [0; N];
    octets.get_mut(..address.len())?.copy_from_slice(address);
    Some(octets)
}
