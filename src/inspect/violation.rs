//! Violations that a sweep finds: replies and ranges that break a rule.
//!
//! **Invariants**: at most [`MAX_VIOLATIONS`] are kept; all are counted.
//! **Not here**: finding them ([`super::sweep()`], [`super::tally`]).

use std::net::IpAddr;

use crate::answer::Outcome;
use crate::base::client::{ScopePrefixLen, Subnet};
use crate::base::ids::{HorizonId, PlanId};
use crate::base::name::NameBuf;
use crate::base::rr::{Rcode, Rtype};
use crate::base::time::Ttl;
use crate::base::words::words;
use crate::steer::Won;

/// The most violations that a report describes; all are counted.
pub(crate) const MAX_VIOLATIONS: usize = 100;

/// A reply, or a range, that breaks a rule.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Violation {
    /// The owner asked for; `None` if the table itself is at fault.
    pub(crate) owner: Option<NameBuf>,
    /// The horizon.
    pub(crate) horizon: HorizonId,
    /// The range: its lowest and highest address.
    pub(crate) range: (IpAddr, IpAddr),
    /// The question; `None` if the table itself is at fault.
    pub(crate) asked: Option<SweepQuestion>,
    /// The kind of the violation.
    pub(crate) wrong: Wrong,
}

/// One question of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SweepQuestion {
    /// A, AAAA or HTTPS.
    pub(crate) rtype: Rtype,
    /// The client subnet in the query.
    pub(crate) subnet: Subnet,
}

words! {
    /// The kind of a violation.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) enum Wrong {
        /// The engine sent no reply, or the reply cannot be parsed.
        Unreadable = "unreadable",
        /// The reply's RCODE is not NOERROR.
        Rcode(Rcode) = "rcode",
        /// The reply has no record of the queried type.
        Empty = "empty",
        /// The reply did not come from the horizon.
        NotSteered(Outcome) = "not-steered",
        /// The reply was made for another plan than that of the range or of most of the subnet.
        OtherPlan {
            /// The plan of the range or of most of the subnet.
            expected: PlanId,
            /// The plan of the reply.
            found: PlanId,
        } = "other-plan",
        /// The reply was made for another slot than that of its scope: a resolver's cache would mix the two.
        OtherSlot {
            /// The plan of the scope's slot.
            expected: PlanId,
            /// The plan of the reply.
            found: PlanId,
        } = "other-slot",
        /// The reply's addresses, or the hints of its HTTPS record, are not those of the plan's mirrors.
        OtherAddresses = "other-addresses",
        /// The reply's TTL is neither the owner's nor the shorter one of a host.
        OtherTtl(Option<Ttl>) = "other-ttl",
        /// The reply has no scope.
        NoScope = "no-scope",
        /// The scope covers clients with another decision: a resolver would give these clients this answer.
        ScopeTooWide(ScopePrefixLen) = "scope-too-wide",
        /// The scope could be shorter: resolvers cache more answers than necessary.
        ScopeTooNarrow(ScopePrefixLen) = "scope-too-narrow",
        /// The table has another plan here than the rules give.
        NotByTheRules {
            /// The first address of the range with another plan.
            address: IpAddr,
            /// The rule that wins, or the default.
            won: Won,
            /// The plan of that rule.
            expected: PlanId,
            /// The plan in the table.
            found: PlanId,
        } = "not-by-the-rules",
    }
}

/// The violations found so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Findings {
    /// The number of replies that were checked.
    pub(crate) replies: u64,
    /// The first violations, [`MAX_VIOLATIONS`] at most.
    pub(crate) violations: Vec<Violation>,
    /// The number of all violations.
    pub(crate) violation_count: u64,
}

impl Findings {
    pub(super) fn add(&mut self, violation: impl FnOnce() -> Violation) {
        self.violation_count += 1;
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(violation());
        }
    }
}
