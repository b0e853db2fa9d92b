//! Sources of labels: a feed, list or database in, a [`crate::networks::Source`] out.
