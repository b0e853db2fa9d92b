//! Counters of the request log.
//!
//! **Not here**: the log itself ([`crate::http`]).

use super::Counter;
use super::cells::counters;

counters! {
    /// The lines of the request log.
    pub(crate) struct LogCounters {
        "pharos_http_log_lines_total"
        "Lines of the request log: in the file, dropped because the queue was full, or failed to be written." {
            pub(crate) written: Counter ["outcome" = "written"],
            pub(crate) dropped: Counter ["outcome" = "dropped"],
            pub(crate) failed: Counter ["outcome" = "failed"],
        }
    }
}
