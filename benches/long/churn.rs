//! A minute of reloads, fetches, probes and overrides at once, under load: no answer is lost or wrong.

use std::time::Duration;

use crate::common::churn::{self, Churned};

const SECONDS: usize = 60;

pub(crate) fn run() {
    let seconds = crate::share(SECONDS);
    let Churned { answered, lost, reloads, refused, flips, overrides, fetches } =
        churn::run(Duration::from_secs(seconds as u64));
    println!(
        "churn: {seconds} s, {reloads} reloads ({refused} refused), {flips} failures of mirrors, {overrides} overrides, {fetches} fetches, \
         {answered} queries answered, {lost} lost"
    );
    assert_eq!(lost, 0);
}
