//! The OPT record of a reply with its options.
//!
//! **Invariants**: the sum of [`opt_len`], [`Extras::len`] and [`stream_options_len`] is the least that [`ResponseWriter::opt`]
//! writes; only padding takes more.
//!
//! RFC 6891 §6.1, RFC 7828, RFC 7830, RFC 7871 §7.2.1, RFC 8467, RFC 8914.

use super::{OPT_LEN, ResponseWriter};
use crate::answer::{Ecs, Edns, Keepalive, Response};
use crate::base::rr::{Ede, Rcode, Rtype};
use crate::snapshot::Settings;
use crate::wire::Transport;
use crate::wire::decode::{OPTION_ECS, OPTION_KEEPALIVE, OPTION_PADDING};
use crate::wire::extras::Extras;

/// The option code of an extended error (RFC 8914 §2).
const OPTION_EDE: u16 = 15;

/// The length of a padded reply is a multiple of this number of bytes (RFC 8467 §4.1).
const PADDING_BLOCK: usize = 468;

impl ResponseWriter<'_, '_> {
    /// Writes the OPT record (RFC 6891 §6.1.2).
    #[inline]
    pub(super) fn opt(
        &mut self,
        edns: &Edns<'_>,
        response: &Response<'_>,
        extras: &Extras<'_>,
        transport: Transport,
        settings: &Settings,
    ) -> Option<()> {
        self.message.put(&bare_opt(settings.udp_payload, response.rcode, edns.dnssec_ok))?;
        let options = self.message.at;
        if let Some(ecs) = edns.ecs {
            self.ecs(ecs, response.scope.0)?;
        }
        if let Some(ede) = response.ede {
            self.ede(ede)?;
        }
        extras.write(|octets| self.message.put(octets))?;
        if transport != Transport::Udp {
            self.stream_options(edns, transport, settings)?;
        }
        let len = (self.message.at - options) as u16;
        self.message.out[options - 2..options].copy_from_slice(&len.to_be_bytes());
        Some(())
    }

    /// Writes the options that datagrams never have. Padding fills the message up to a whole number of blocks, or to the
    /// limit.
    fn stream_options(&mut self, edns: &Edns<'_>, transport: Transport, settings: &Settings) -> Option<()> {
        if has_keepalive(edns, transport) {
            self.option_header(OPTION_KEEPALIVE, 2)?;
            self.message.put(&settings.keepalive.to_be_bytes())?;
        }
        if has_padding(edns, transport) {
            let start = self.message.at + 4;
            let end = start.next_multiple_of(PADDING_BLOCK).min(self.message.limit);
            self.option_header(OPTION_PADDING, end - start)?;
            // RFC 7830 §3: zeroes. If a compressor removed these, the length would disclose no more than without padding.
            self.message.out.get_mut(start..end)?.fill(0);
            self.message.at = end;
        }
        Some(())
    }

    /// Writes the extended error (RFC 8914 §2).
    #[cold]
    fn ede(&mut self, ede: Ede) -> Option<()> {
        self.option_header(OPTION_EDE, 2 + ede.text().len())?;
        self.message.put(&ede.code().to_be_bytes())?;
        self.message.put(ede.text().as_bytes())
    }

    /// Writes the ECS option: family, source and address as received, and the scope (RFC 7871 §7.2.1).
    #[inline]
    fn ecs(&mut self, ecs: Ecs<'_>, scope: u8) -> Option<()> {
        self.option_header(OPTION_ECS, ecs.data.len())?;
        let start = self.message.at;
        self.message.put(ecs.data)?;
        self.message.out[start + 3] = scope;
        Some(())
    }

    #[inline]
    fn option_header(&mut self, code: u16, len: usize) -> Option<()> {
        let ([code_high, code_low], [len_high, len_low]) = (code.to_be_bytes(), (len as u16).to_be_bytes());
        self.message.put(&[code_high, code_low, len_high, len_low])
    }
}

/// An OPT record without options.
#[inline]
pub(in crate::wire) fn bare_opt(udp_payload: u16, rcode: Rcode, dnssec_ok: bool) -> [u8; OPT_LEN] {
    let mut fixed = [0; OPT_LEN];
    fixed[1..3].copy_from_slice(&Rtype::OPT.0.to_be_bytes());
    fixed[3..5].copy_from_slice(&udp_payload.to_be_bytes());
    fixed[5] = (rcode.0 >> 4) as u8;
    // RFC 3225 §3: DO is copied into the response.
    fixed[7] = if dnssec_ok { 0x80 } else { 0 };
    fixed
}

#[inline]
pub(super) fn opt_len(edns: &Edns<'_>, response: &Response<'_>) -> usize {
    let ecs = edns.ecs.map_or(0, |ecs| 4 + ecs.data.len());
    let ede = response.ede.map_or(0, ede_len);
    OPT_LEN + ecs + ede
}

/// Length in bytes of the option. Not inlined, because otherwise every response would compute the length of each text.
#[cold]
#[inline(never)]
fn ede_len(ede: Ede) -> usize {
    6 + ede.text().len()
}

/// Minimum length in bytes of the options of [`ResponseWriter::stream_options`]. Padding may add more.
#[inline]
pub(super) fn stream_options_len(edns: &Edns<'_>, transport: Transport) -> usize {
    let keepalive = if has_keepalive(edns, transport) { 6 } else { 0 };
    let padding = if has_padding(edns, transport) { 4 } else { 0 };
    keepalive + padding
}

/// Tells whether the reply has a keepalive option: only on request (RFC 7828 §3.3.2).
#[inline]
fn has_keepalive(edns: &Edns<'_>, transport: Transport) -> bool {
    transport.has_keepalive() && edns.keepalive == Keepalive::Yes
}

/// Tells whether the reply is padded: only on request, and only if the transport is encrypted (RFC 7830 §6, RFC 8467 §4.1).
#[inline]
fn has_padding(edns: &Edns<'_>, transport: Transport) -> bool {
    transport.is_encrypted() && edns.padding
}
