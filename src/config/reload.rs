//! `[reload]`: reloads that no operator asks for.
//!
//! **Not here**: looking at the files, and reloading (`serve`).

use std::time::Duration;

use super::Placed;
use super::field::section;
use super::row::{duration, hours, secs};

section! {
    /// `[reload]` as written.
    pub(super) struct ReloadSpec: "[reload]" {
        /// Interval at which the files of the configuration are looked at: the configuration itself, `include` with its
        /// patterns, zones with `$INCLUDE`, sources of `[networks]` without a `url`, certificates, keys and secrets. Once a file has changed and
        /// all files have been unchanged for one interval, the configuration is reloaded.
        ///
        /// Off by default, because a file that is written in place is read half-written if its writer pauses for an interval.
        watch: Option<Placed<Duration>> = duration("watch", secs(1)..=hours(1)).otherwise("off").example("\"10s\""),
    }
}
