//! Where large tables are in memory, for whoever may ask the system to treat them as such.
//!
//! **Not here**: asking ([`crate::process`]).

use std::ops::Range;

/// Where the items of a slice are.
pub fn area<T>(items: &[T]) -> Range<*const u8> {
    let Range { start, end } = items.as_ptr_range();
    start.cast()..end.cast()
}
