//! Counters of the admin listener: tokens that were presented, and requests for another host.
//!
//! **Not here**: requests of the operator's own probes, which are not counted.

use super::{Collect, Counter, MetricsPage};

/// The token that a request to the admin listener presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenOutcome {
    /// The token.
    Right,
    /// No token.
    Missing,
    /// Another token.
    Wrong,
    /// Another token, of a client that has presented too many.
    Limited,
}

const PRESENTED: [(TokenOutcome, &str); 4] = [
    (TokenOutcome::Right, "right"),
    (TokenOutcome::Missing, "missing"),
    (TokenOutcome::Wrong, "wrong"),
    (TokenOutcome::Limited, "limited"),
];

/// The counters.
#[derive(Debug, Default)]
pub struct AdminCounters {
    tokens: [Counter; PRESENTED.len()],
    /// Requests for a host that is not the listener's.
    pub misdirected: Counter,
}

impl AdminCounters {
    /// Counts a request to the admin listener by its token.
    pub(crate) fn presented(&self, what: TokenOutcome) {
        self.tokens[what as usize].increment();
    }

    /// The number of requests to the admin listener with such a token.
    pub fn tokens(&self, what: TokenOutcome) -> u64 {
        self.tokens[what as usize].value()
    }
}

impl Collect for AdminCounters {
    fn collect(&self, page: &mut MetricsPage) {
        let mut family = page.counter(
            "pharos_admin_tokens_total",
            "Requests that need the admin token, by the token that came with them.",
        );
        for (what, word) in PRESENTED {
            family.sample(&[("token", word)], self.tokens(what));
        }
        page.counter(
            "pharos_admin_misdirected_total",
            "Requests to the admin listener for a host that is not its own.",
        )
        .sample(&[], self.misdirected.value());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_its_kinds() {
        assert!(PRESENTED.iter().enumerate().all(|(at, (what, _))| *what as usize == at));
    }
}
