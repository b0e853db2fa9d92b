//! The verdicts on one address by HTTP protocol: each protocol that the mirror serves has a track of its own.
//!
//! In: the results of probes, one protocol after the other. Out: one health, and the protocol to offer next. A client speaks
//! HTTP/2 if the mirror does, and HTTP/1.1 otherwise; some clients speak HTTP/1.1 alone.
//!
//! **Invariants**: pure; an address is as good as the worse of its tracks; a protocol that the mirror no longer serves hands a
//! worse health over to the other one, so that a fault cannot end sooner than by [`Track`].
//! **Not here**: the agreement on a protocol ([`crate::tls`]).
//!
//! RFC 7301 (ALPN), RFC 9113 §3.2.

use super::{Health, Memory, Thresholds, Track, Verdict};
use crate::base::time::{Moment, Now};
use crate::base::words::words;

words! {
    /// A protocol of HTTP over TLS.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub enum HttpVersion {
        /// HTTP/1.1, which a server without ALPN speaks.
        Http1 = "http/1.1",
        /// HTTP/2.
        Http2 = "h2",
    }
}

impl HttpVersion {
    /// The name for people.
    pub(crate) fn title(self) -> &'static str {
        match self {
            HttpVersion::Http1 => "HTTP/1.1",
            HttpVersion::Http2 => "HTTP/2",
        }
    }

    /// The other one.
    pub(crate) fn other(self) -> Self {
        match self {
            HttpVersion::Http1 => HttpVersion::Http2,
            HttpVersion::Http2 => HttpVersion::Http1,
        }
    }
}

/// The tracks of one address, one for each protocol that the mirror serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProtocolTracks {
    /// By protocol; `None` if the mirror does not serve it, or was not probed over it yet.
    tracks: [Option<Track>; 2],
    /// The protocol that the last probe offered.
    offered: Option<HttpVersion>,
}

impl ProtocolTracks {
    /// Restores the states of the last run.
    pub(crate) fn remembered(
        memories: impl IntoIterator<Item = (HttpVersion, Memory)>,
        now: Now,
        thresholds: &Thresholds,
    ) -> Self {
        let mut all = ProtocolTracks::default();
        for (version, memory) in memories {
            all.tracks[version as usize] = Some(Track::remembered(memory, now, thresholds));
        }
        all
    }

    /// The states to keep for the next run.
    pub(crate) fn memories(&self, now: Now) -> impl Iterator<Item = (HttpVersion, Memory)> + '_ {
        self.each().filter_map(move |(version, track)| Some((version, track.memory(now)?)))
    }

    /// The health of the address: that of the worse protocol.
    pub(crate) fn health(&self) -> Health {
        self.each().map(|(_, track)| track.health()).max().unwrap_or(Health::Untried)
    }

    /// The last verdict of each protocol.
    pub(crate) fn verdicts(&self) -> impl Iterator<Item = (HttpVersion, Verdict)> + '_ {
        self.each().filter_map(|(version, track)| Some((version, track.last?)))
    }

    /// The protocol whose last verdict stands for the address: the one in worse health; of two in one health, the one with
    /// the verdict that is not good.
    pub(crate) fn worst(&self) -> Option<(HttpVersion, Verdict)> {
        let known = self.each().filter_map(|(version, track)| Some((version, track.health(), track.last?)));
        let worst = known.max_by_key(|(_, health, verdict)| (*health, verdict.badness()));
        worst.map(|(version, _, verdict)| (version, verdict))
    }

    /// Returns whether the next probe should come soon.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.each().any(|(_, track)| track.is_in_doubt()) || self.tracks == [None, None]
    }

    /// The least time for which the health stays the same, in milliseconds, given probes `every_ms` apart.
    pub(crate) fn stable_ms(&self, every_ms: u64, thresholds: &Thresholds) -> u64 {
        self.each().map(|(_, track)| track.stable_ms(every_ms, thresholds)).min().unwrap_or(every_ms)
    }

    /// The protocol to offer next: the two take turns, unless one alone is in doubt.
    ///
    /// HTTP/2 is offered first, as clients do.
    pub(crate) fn next(&self) -> HttpVersion {
        let turn = self.offered.map_or(HttpVersion::Http2, HttpVersion::other);
        let doubt = |version: HttpVersion| self.tracks[version as usize].is_some_and(|track| track.is_in_doubt());
        match (doubt(turn), doubt(turn.other())) {
            (false, true) => turn.other(),
            _ => turn,
        }
    }

    /// Takes in the verdict of a probe that offered a protocol. `spoken` is the protocol that mirror and probe agreed on;
    /// `None` if the probe did not get so far, so that the verdict is about both.
    pub(crate) fn observe(
        &mut self,
        offered: HttpVersion,
        spoken: Option<HttpVersion>,
        verdict: Verdict,
        now: Moment,
        thresholds: &Thresholds,
    ) {
        self.offered = Some(offered);
        let Some(spoken) = spoken else {
            if self.tracks == [None, None] {
                self.tracks[HttpVersion::Http1 as usize] = Some(Track::default());
            }
            self.tracks.iter_mut().flatten().for_each(|track| track.observe(verdict, now, thresholds));
            return;
        };
        let other = self.tracks[spoken.other() as usize];
        // The mirror does not serve the protocol that was offered.
        let gone = (spoken != offered).then(|| self.tracks[offered as usize].take()).flatten();
        let mut track = match self.tracks[spoken as usize] {
            Some(track) => track,
            // The mirror is known already: a first bad verdict over another protocol must not take it down alone.
            None => other.map_or_else(Track::default, |other| other.without_failures()),
        };
        if let Some(gone) = gone.filter(|gone| gone.health() > track.health()) {
            track = gone;
        }
        track.observe(verdict, now, thresholds);
        self.tracks[spoken as usize] = Some(track);
    }

    fn each(&self) -> impl Iterator<Item = (HttpVersion, &Track)> {
        HttpVersion::ALL.into_iter().zip(&self.tracks).filter_map(|(version, track)| Some((version, track.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::HttpVersion::{Http1, Http2};
    use super::*;

    const THRESHOLDS: Thresholds = Thresholds { fall: 3, rise: 2, hold_down_ms: 0, max_hold_down_ms: 0 };

    /// Observes `(offered, spoken, verdict)` in turn, and returns the health after each.
    fn healths(steps: &[(HttpVersion, Option<HttpVersion>, Verdict)]) -> Vec<Health> {
        let mut tracks = ProtocolTracks::default();
        let step = |(offered, spoken, verdict): &(HttpVersion, Option<HttpVersion>, Verdict)| {
            tracks.observe(*offered, *spoken, *verdict, Moment(0), &THRESHOLDS);
            tracks.health()
        };
        steps.iter().map(step).collect()
    }

    use Health::{Down, Missing, Up};

    #[test]
    fn an_address_is_as_good_as_its_worse_protocol() {
        let good = [(Http2, Some(Http2), Verdict::Up), (Http1, Some(Http1), Verdict::Up)];
        let bad = (Http2, Some(Http2), Verdict::Missing);
        let steps = [&good[..], &[bad, bad, bad, good[1], good[1], good[0], good[0]]].concat();
        assert_eq!(healths(&steps), [Up, Up, Up, Up, Missing, Missing, Missing, Missing, Up]);
    }

    #[test]
    fn a_fault_before_the_agreement_on_a_protocol_counts_for_both() {
        let good = [(Http2, Some(Http2), Verdict::Up), (Http1, Some(Http1), Verdict::Up)];
        let dead = [(Http2, None, Verdict::Unreachable), (Http1, None, Verdict::Unreachable)];
        let steps = [good[0], good[1], dead[0], dead[1], dead[0], good[1], good[1], good[0], good[0]];
        assert_eq!(healths(&steps), [Up, Up, Up, Up, Down, Down, Down, Down, Up]);
        assert_eq!(healths(&[dead[0], good[1], good[1]]), [Down, Down, Up]);
    }

    #[test]
    fn a_first_bad_verdict_over_another_protocol_takes_nothing_down_alone() {
        let bad = (Http1, Some(Http1), Verdict::Slow);
        assert_eq!(healths(&[(Http2, Some(Http2), Verdict::Up), bad, bad, bad]), [Up, Up, Up, Down]);
    }

    #[test]
    fn a_protocol_that_is_no_longer_served_does_not_count_but_its_fault_ends_as_any_other() {
        let h2 = |verdict| (Http2, Some(Http2), verdict);
        // Offered HTTP/2, answered in HTTP/1.1.
        let without = (Http2, Some(Http1), Verdict::Up);
        let steps = [h2(Verdict::Up), h2(Verdict::Slow), h2(Verdict::Slow), h2(Verdict::Slow), without, without];
        assert_eq!(healths(&steps), [Up, Up, Up, Down, Down, Up]);
        // A mirror that refuses HTTP/1.1 is judged by HTTP/2.
        let refuses = (Http1, Some(Http2), Verdict::Up);
        assert_eq!(healths(&[refuses, h2(Verdict::Up)]), [Up, Up]);
    }

    #[test]
    fn protocols_take_turns_unless_one_is_in_doubt() {
        let mut tracks = ProtocolTracks::default();
        let mut step = |spoken: fn(HttpVersion) -> HttpVersion, verdict| {
            let offered = tracks.next();
            tracks.observe(offered, Some(spoken(offered)), verdict, Moment(0), &THRESHOLDS);
            offered
        };
        let same: fn(HttpVersion) -> HttpVersion = |offered| offered;
        assert_eq!([0; 4].map(|_| step(same, Verdict::Up)), [Http2, Http1, Http2, Http1]);
        assert_eq!([0; 3].map(|_| step(same, Verdict::Slow)), [Http2, Http2, Http2]);
        // HTTP/2 is offered again and again to a mirror that does not serve it.
        let mut tracks = ProtocolTracks::default();
        let mut step = || {
            let offered = tracks.next();
            tracks.observe(offered, Some(Http1), Verdict::Up, Moment(0), &THRESHOLDS);
            offered
        };
        assert_eq!([0; 3].map(|_| step()), [Http2, Http1, Http2]);
    }
}
