//! The validity of a chain, and the time from which its end is warned of.
//!
//! The warning begins 72 hours before the end of a certificate, but not before two thirds of its life are over. A certificate
//! that is valid for six days is renewed after four, and would otherwise be warned of for half of its life.
//!
//! **Invariants**: pure; the whole chain counts, because clients refuse it when its first certificate ends.
//! **Not here**: reading certificates ([`super::facts`]).

use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};

use super::facts;

/// The longest warning phase: a long weekend, time to renew a certificate by hand.
pub(super) const EXPIRING: Duration = Duration::from_secs(72 * 3600);

/// The end of a chain's validity and the begin of the warning phase, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    /// The first end of a certificate.
    pub(crate) ends: u64,
    /// The begin of the warning phase.
    warns: u64,
}

/// The distance of the end. The variants are in the order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// There is time.
    Good,
    /// The end is near.
    Expiring,
    /// The end has passed.
    Expired,
}

impl Life {
    /// The life of a chain; `None` if no end can be read.
    pub(crate) fn of(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let lives = chain.iter().filter_map(|certificate| Life::of_one(certificate, EXPIRING));
        lives.reduce(|one, other| Life { ends: one.ends.min(other.ends), warns: one.warns.min(other.warns) })
    }

    /// The life of one certificate, with a warning phase of `most` at most.
    pub(super) fn of_one(certificate: &CertificateDer<'_>, most: Duration) -> Option<Self> {
        let (begins, ends) = facts::validity(certificate)?;
        Some(Life::between(begins, ends, most))
    }

    /// The life between two times, with a warning phase of `most` at most.
    pub(super) fn between(begins: UnixTime, ends: UnixTime, most: Duration) -> Self {
        let (begins, ends) = (begins.as_secs(), ends.as_secs());
        let life = ends.saturating_sub(begins);
        Life { ends, warns: ends.saturating_sub(most.as_secs().min(life / 3)) }
    }

    /// The phase at a time.
    pub(crate) fn phase(&self, now: UnixTime) -> Phase {
        match now.as_secs() {
            now if now > self.ends => Phase::Expired,
            now if now > self.warns => Phase::Expiring,
            _ => Phase::Good,
        }
    }

    /// The time until the end, or since the end.
    pub(crate) fn distance(&self, now: UnixTime) -> Duration {
        Duration::from_secs(self.ends.abs_diff(now.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    use time::{Duration as Span, OffsetDateTime};

    use super::*;

    const BEGIN: i64 = 1_772_323_200;
    const HOUR: u64 = 3600;

    fn certificate(hours: i64, is_ca: IsCa) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["blob.example".to_string()]).unwrap();
        params.is_ca = is_ca;
        params.not_before = OffsetDateTime::from_unix_timestamp(BEGIN).unwrap();
        params.not_after = params.not_before + Span::hours(hours);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn at(hours: u64, seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(BEGIN as u64 + hours * HOUR + seconds))
    }

    #[test]
    fn the_end_is_warned_of_for_72_hours_or_a_third_of_the_life() {
        for (life, warns) in [(90 * 24, 90 * 24 - 72), (9 * 24, 6 * 24), (6 * 24, 4 * 24), (3, 2)] {
            let life_of = Life::of(&[certificate(life, IsCa::NoCa)]).unwrap();
            let phase = |hours: i64, seconds| life_of.phase(at(hours as u64, seconds));
            assert_eq!((phase(warns, 0), phase(warns, 1)), (Phase::Good, Phase::Expiring), "{life} hours");
            assert_eq!((phase(life, 0), phase(life, 1)), (Phase::Expiring, Phase::Expired), "{life} hours");
        }
    }

    #[test]
    fn the_first_end_in_a_chain_counts() {
        let leaf = certificate(90 * 24, IsCa::NoCa);
        let issuer = certificate(30 * 24, IsCa::Ca(BasicConstraints::Unconstrained));
        for chain in [[leaf.clone(), issuer.clone()], [issuer, leaf]] {
            let life = Life::of(&chain).unwrap();
            assert_eq!(life.ends, at(30 * 24, 0).as_secs());
            assert_eq!((life.phase(at(27 * 24, 0)), life.phase(at(27 * 24, 1))), (Phase::Good, Phase::Expiring));
        }
        assert_eq!(Life::of(&[]), None);
    }
}
