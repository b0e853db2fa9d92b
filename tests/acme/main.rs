//! ACME challenges: updates of credentials over UDP and TCP against the real binary, its state on the disk, several servers
//! of one zone, and real ACME clients with Pebble.
//!
//! Needs the Debian packages `pebble`, `lego`, `certbot`, `python3-certbot-dns-rfc2136`, `dehydrated`, `uacme`,
//! `bind9-dnsutils`, `libfaketime` and `openssl`; a program that is not installed is left out, and the test says so.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected is to fail")]
#![allow(unreachable_pub, reason = "a module of test binaries is not reached from outside")]

#[path = "../common/mod.rs"]
mod common;

mod clients;
mod credentials;
mod encrypted;
mod golden;
mod http;
mod peers;
mod records;
mod relay;
mod service;
mod world;
