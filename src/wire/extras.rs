//! Options of a reply that do not depend on the answer: our cookie and our identity.
//!
//! **Invariants**: [`Extras::len`] is exactly what [`Extras::write`] writes.
//!
//! RFC 7873 §5.2.3, RFC 5001 §2.2.

use super::cookie::{COOKIE_LEN, Octets};
use super::decode::{OPTION_COOKIE, OPTION_NSID};
use crate::base::rr::Ede;
use crate::base::time::Generation;

/// Length in bytes of an option's code and length fields.
const HEAD_LEN: usize = 4;

/// Maximum number of digits of a generation.
const MAX_DIGITS: usize = 20;

/// The options to add.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extras<'s> {
    pub(super) cookie: Option<Octets>,
    pub(super) nsid: Option<Identified<'s>>,
}

/// Identity of the server: the name of the instance, and the generation of its snapshot. Written as `name/17`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identified<'s> {
    pub(super) name: &'s [u8],
    pub(super) generation: Generation,
}

impl Extras<'_> {
    /// Length of the options in bytes.
    #[inline]
    pub(super) fn len(&self) -> usize {
        let cookie = self.cookie.map_or(0, |_| HEAD_LEN + COOKIE_LEN);
        let nsid = self.nsid.as_ref().map_or(0, |nsid| HEAD_LEN + nsid.len());
        cookie + nsid
    }

    /// Passes the options to `put`, piece by piece; `None` if `put` returns `None`.
    #[inline]
    pub(super) fn write(&self, mut put: impl FnMut(&[u8]) -> Option<()>) -> Option<()> {
        if let Some(cookie) = &self.cookie {
            put(&head(OPTION_COOKIE, COOKIE_LEN))?;
            put(cookie)?;
        }
        if let Some(nsid) = &self.nsid {
            put(&head(OPTION_NSID, nsid.len()))?;
            put(nsid.name)?;
            put(b"/")?;
            put(decimal(nsid.generation.0, &mut [0; MAX_DIGITS]))?;
        }
        Some(())
    }
}

impl Identified<'_> {
    fn len(&self) -> usize {
        self.name.len() + 1 + decimal(self.generation.0, &mut [0; MAX_DIGITS]).len()
    }
}

#[inline]
fn head(code: u16, len: usize) -> [u8; HEAD_LEN] {
    let ([code_high, code_low], [len_high, len_low]) = (code.to_be_bytes(), (len as u16).to_be_bytes());
    [code_high, code_low, len_high, len_low]
}

/// Formats a number in decimal digits, without allocating.
fn decimal(number: u64, room: &mut [u8; MAX_DIGITS]) -> &[u8] {
    let (mut rest, mut start) = (number, MAX_DIGITS);
    loop {
        start -= 1;
        room[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            return &room[start..];
        }
    }
}

/// Maximum length in bytes of a reply without records: header, question, and OPT with subnet, extended error and keepalive.
/// Beside a signature, 512 bytes may have no room for more.
pub(super) const MAX_BARE_LEN: usize = 12 + 259 + 11 + 24 + 6 + Ede::MAX_TEXT_LEN + 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_has_the_length_that_was_told() {
        for generation in [0, 9, 10, 1234, u64::MAX] {
            let nsid = Some(Identified { name: b"fra1", generation: Generation(generation) });
            let extras = Extras { cookie: Some([7; COOKIE_LEN]), nsid };
            let mut written = Vec::new();
            let put = |octets: &[u8]| {
                written.extend_from_slice(octets);
                Some(())
            };
            extras.write(put).unwrap();
            assert_eq!(written.len(), extras.len());
            assert!(written.ends_with(format!("fra1/{generation}").as_bytes()));
        }
        assert_eq!(Extras::default().len(), 0);
    }
}
