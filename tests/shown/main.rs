//! The output of commands, through the real binary: its width, a full disk, a reader that is gone, text of others.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in what its cases share")]

#[path = "../common/mod.rs"]
mod common;
mod controls;
mod every;
