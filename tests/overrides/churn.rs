//! Reloads, fetches, probes and overrides at once, under load: the short form of `tests/run --long churn`.

use std::time::Duration;

use crate::common::churn::{self, Churned};

#[test]
fn no_answer_is_lost_or_wrong_while_all_changes_at_once() {
    let done = churn::run(Duration::from_secs(8));
    let Churned { answered, lost, reloads, refused, flips, overrides, fetches } = done;
    assert_eq!(lost, 0, "{done:?}");
    assert!(answered > 100 && reloads > 3 && refused > 0 && flips > 1 && overrides > 2 && fetches > 3, "{done:?}");
}
