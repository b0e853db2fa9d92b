//! The registry listener: a table of requests with whole replies, compared with the pure `route` and with the service on
//! real sockets, over HTTP/1.1, HTTP/2 and TLS; and the service's treatment of slow and lasting clients.

// A test that cannot be set up has failed.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod behind;
mod cases;
mod service;
mod shapes;
mod signatures;
mod upstreams;
mod urls;
mod world;

use common::needs;
