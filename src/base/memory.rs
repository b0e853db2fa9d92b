//! Memory areas of large tables, so that the system can be advised about the areas.
//!
//! **Not here**: the advice to the system ([`crate::process`]).

use std::ops::Range;

/// The memory area of the items of a slice.
pub(crate) fn area<T>(items: &[T]) -> Range<*const u8> {
    let Range { start, end } = items.as_ptr_range();
    start.cast()..end.cast()
}
