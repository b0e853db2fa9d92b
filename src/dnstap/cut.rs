//! A message without the parts that identify a client.
//!
//! The client subnet (RFC 7871) is cut to the bits that are kept. The cookie (RFC 7873) becomes zeros: a client sends the
//! same eight bytes in all of its queries, which would tell the clients of one network apart. Both are in the OPT
//! record. The length of the subnet changes, and a signature (TSIG) is then wrong.
//!
//! **Not here**: the address of the peer ([`crate::base::logged`]); the name that is asked for, which is the subject of a copy.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::base::logged::LoggedClients;
use crate::base::prefix::Prefix;
use crate::base::rr::Rtype;
use crate::wire::{pass_record, skip_questions};

const OPTION_ECS: u16 = 8;
const OPTION_COOKIE: u16 = 10;

/// Cuts a message. `None` if it cannot be read.
pub(crate) fn cut(message: &mut Vec<u8>, clients: LoggedClients) -> Option<()> {
    if clients == LoggedClients::Whole {
        return Some(());
    }
    let Some((start, len)) = opt_rdata(message)? else { return Some(()) };
    let options = shortened(&message[start..start + len], clients)?;
    // Options become no longer.
    message[start - 2..start].copy_from_slice(&(options.len() as u16).to_be_bytes());
    message.splice(start..start + len, options);
    Some(())
}

/// Offset and length of the options of a message; `Some(None)` if it has no OPT record, and `None` if it cannot be read.
fn opt_rdata(message: &[u8]) -> Option<Option<(usize, usize)>> {
    let (counts, mut rest) = skip_questions(message)?;
    for _ in 0..counts.into_iter().map(u32::from).sum::<u32>() {
        let record = pass_record(&mut rest)?;
        if record.rtype == Rtype::OPT {
            let end = message.len() - rest.len();
            return Some(Some((end - record.rdata.len(), record.rdata.len())));
        }
    }
    Some(None)
}

/// The options with a shorter subnet and a cookie of zeros.
fn shortened(mut options: &[u8], clients: LoggedClients) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(options.len());
    while let Some((&[c0, c1, l0, l1], rest)) = options.split_first_chunk() {
        let (data, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([l0, l1])))?;
        let data = match u16::from_be_bytes([c0, c1]) {
            OPTION_ECS => subnet(data, clients)?,
            OPTION_COOKIE => vec![0; data.len()],
            _ => data.to_vec(),
        };
        out.extend_from_slice(&[c0, c1]);
        out.extend_from_slice(&(data.len() as u16).to_be_bytes());
        out.extend_from_slice(&data);
        options = rest;
    }
    options.is_empty().then_some(out)
}

/// The data of a client subnet with no more bits than are kept. SCOPE PREFIX-LENGTH stays, because it is the server's.
fn subnet(data: &[u8], clients: LoggedClients) -> Option<Vec<u8>> {
    let (&[f0, f1, source, scope], bits) = data.split_first_chunk()?;
    let address: IpAddr = match u16::from_be_bytes([f0, f1]) {
        1 => Ipv4Addr::from(padded(bits)?).into(),
        2 => Ipv6Addr::from(padded(bits)?).into(),
        // RFC 7871 §7.1.3: family 0 has no address.
        _ => return bits.is_empty().then(|| data.to_vec()),
    };
    let source = source.min(clients.kept_len(address));
    let address = match Prefix::holding(address, source).first() {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let kept = address.get(..usize::from(source).div_ceil(8))?;
    Some([&[f0, f1, source, scope], kept].concat())
}

/// Bytes with zeros behind them; `None` if there are too many.
fn padded<const LEN: usize>(bytes: &[u8]) -> Option<[u8; LEN]> {
    let mut all = [0; LEN];
    all.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A response with one question, one compressed A record, these options, and a record behind OPT.
    fn message(options: &[u8]) -> Vec<u8> {
        let head = [&[0x12, 0x34, 0x84, 0, 0, 1, 0, 1, 0, 0, 0, 2][..], b"\x01a\x01b\0\0\x01\0\x01"].concat();
        let answer = [&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4][..], &[192, 0, 2, 1]].concat();
        let opt = [&[0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0][..], &(options.len() as u16).to_be_bytes(), options].concat();
        let behind = [&[0, 0, 250, 0, 255, 0, 0, 0, 0, 0, 2][..], b"xy"].concat();
        [head, answer, opt, behind].concat()
    }

    fn cut_options(clients: LoggedClients, options: &[u8]) -> Vec<u8> {
        let mut message_bytes = message(options);
        cut(&mut message_bytes, clients).unwrap();
        let (start, len) = opt_rdata(&message_bytes).unwrap().unwrap();
        let options = message_bytes[start..start + len].to_vec();
        assert_eq!(message_bytes, message(&options), "only the options differ");
        options
    }

    #[test]
    fn the_subnet_is_cut_and_the_cookie_is_zero() {
        let v4 = [0, 8, 0, 8, 0, 1, 32, 20, 198, 51, 100, 77];
        let cookie = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
        let nsid = [0, 3, 0, 1, b'n'];
        let all = [&v4[..], &cookie, &nsid].concat();
        assert_eq!(cut_options(LoggedClients::Whole, &all), all);
        let zeros = [0, 10, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        let network = [0, 8, 0, 7, 0, 1, 24, 20, 198, 51, 100];
        assert_eq!(cut_options(LoggedClients::Network, &all), [&network[..], &zeros, &nsid].concat());
        assert_eq!(cut_options(LoggedClients::Nothing, &all), [&[0, 8, 0, 4, 0, 1, 0, 20][..], &zeros, &nsid].concat());
    }

    #[test]
    fn shorter_subnets_and_ipv6_are_kept_as_far_as_they_go() {
        let of = |option: &[u8]| cut_options(LoggedClients::Network, option);
        let short = [0, 8, 0, 6, 0, 1, 16, 16, 198, 51];
        assert_eq!(of(&short), short);
        let v6 = [0, 8, 0, 11, 0, 2, 56, 48, 0x20, 0x01, 0x0d, 0xb8, 1, 2, 3];
        assert_eq!(of(&v6), [0, 8, 0, 10, 0, 2, 48, 48, 0x20, 0x01, 0x0d, 0xb8, 1, 2]);
        let to_site = [0, 8, 0, 10, 0, 2, 48, 40, 0x20, 0x02, 198, 51, 100, 77];
        assert_eq!(of(&to_site), [0, 8, 0, 9, 0, 2, 40, 40, 0x20, 0x02, 198, 51, 100]);
        let none = [0, 8, 0, 4, 0, 0, 0, 0];
        assert_eq!(of(&none), none);
    }

    #[test]
    fn a_message_that_cannot_be_read_is_refused() {
        let mut whole = message(&[0, 8, 0, 8, 0, 1, 32, 0, 198, 51, 100, 77]);
        assert_eq!(cut(&mut whole[..30].to_vec(), LoggedClients::Network), None);
        whole[11] = 9;
        let (start, _) = opt_rdata(&whole).unwrap().unwrap();
        whole[start + 3] = 200;
        assert_eq!(cut(&mut whole, LoggedClients::Network), None);
        let mut plain = [&[0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0][..]].concat();
        assert_eq!(cut(&mut plain, LoggedClients::Network), Some(()), "a message without OPT");
    }
}
