//! Counters of the admin listener: tokens that were presented, and requests for another host.
//!
//! **Not here**: requests of the operator's own probes, which are not counted.

use super::Counter;
use super::cells::{ByWord, counters};
use crate::base::words::words;

words! {
    /// The token that a request to the admin listener presented.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum TokenOutcome {
        /// The token.
        Right = "right",
        /// No token.
        Missing = "missing",
        /// Another token.
        Wrong = "wrong",
        /// Another token, of a client that has presented too many.
        Limited = "limited",
    }
}

counters! {
    /// The counters.
    pub struct AdminCounters {
        "pharos_admin_tokens_total" "Requests that need the admin token, by the token that came with them." {
            pub(crate) tokens: ByWord<TokenOutcome> ["token"],
        }
        "pharos_admin_misdirected_total" "Requests to the admin listener for a host that is not its own." {
            pub misdirected: Counter [],
        }
    }
}

impl AdminCounters {
    /// The number of requests to the admin listener with such a token.
    pub fn tokens(&self, what: TokenOutcome) -> u64 {
        self.tokens.of(what).value()
    }
}
