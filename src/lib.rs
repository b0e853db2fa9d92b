//! Pharos (φάρος, lighthouse): an authoritative split-horizon DNS server for container registries.
//!
//! It answers one name, say `blob.k8s.io`, differently by where the client is, and points each client at the nearest
//! healthy mirror. A companion HTTP listener takes the registry's own name, sends manifests to the canonical registry
//! and blobs to the steered name.
//!
//! # The flow of data
//!
//! ```text
//! pharos.toml zones/* feeds *.mmdb ─ config ─ load ─ compile ─► Snapshot ─► live::Published
//!                                                                              │ one load per batch
//! octets ─ wire::decode ─► Query ─ answer::answer ─┐                           ▼
//! HTTP   ─ registry::route ────────────────────────┴─► steer::decide ─► Response / Redirect, with its basis
//! ```
//!
//! Everything that decides is a pure function of its arguments; sockets, clocks, files, logs and counters are around it.
//! [`wire::respond`] is the one path from the octets of a query to those of its reply: the UDP threads, the TCP tasks,
//! `pharos explain`, `pharos sweep` and the tests all take it.
//!
//! # Words
//!
//! - *resolver*: who asked; *client*: for whom we answer; *subnet*: what an ECS option says of a client (RFC 7871).
//! - *source prefix*, *scope prefix*: how much of an address is known, and for how much of it an answer holds.
//! - *network*: a labelled set of client prefixes; a *source* is the file they come from.
//! - *horizon*: what one class of clients sees: rules from labels to ordered mirrors. A *plan* is such a list of mirrors;
//!   ranges of addresses with the same plan are one range of the steering table.
//! - *mirror*: one place that serves blobs. A probe of one of its addresses comes to a *verdict*; verdicts make its
//!   *health*, which says whether it may be steered to, and an operator's *order* stands above that.
//! - *host*: the name of a mirror whose addresses are looked up and kept fresh.
//! - *copy*: a zone that is kept elsewhere, at *primaries*, and served here too.
//! - *snapshot*: everything that is served, as of one *generation*.
//! - zone, apex, owner, RRset, rdata, delegation, glue: RFC 9499.
//!
//! # Layers
//!
//! A module uses only what is below it; `tests/layers.rs` reads this table and the sources, and enforces it. In a layer that
//! is written with `→`, each module may use those to its right; in the others, modules do not know each other.
//!
//! ```text
//! 10 main → cli → demo → serve                     composition
//! 9  dns  http  probe  hosts  transfer  control    services
//! 8  listen                                        ports, connections and their limits, handshakes, unsent bytes
//! 7  live  tls  telemetry  process                 shared shell: publisher, certificates, counters, OS
//! 6  compile → load → config → files               files to snapshot
//! 5  inspect → wire → rates → registry → answer    decisions on a snapshot; message codec; rate limits; explain  ┐
//! 4  snapshot                                      the served state, and how changes fold into it                │
//! 3  steer                                         horizons: labels and health to a decision                     │ pure
//! 2  networks  zone  mirror                        what the state is made of                                     │
//! 1  base                                          prefixes, names, client, ids, time, diagnostics               ┘
//! ```
//!
//! # Where to start reading
//!
//! 1. [`base::client`]: which address decides, and what scope that means.
//! 2. [`steer::table`]: ranges, and why the scope needs no stored length.
//! 3. [`answer`]: RFC 1034 §4.3.2, a function for each case.
//! 4. [`wire`]: octets in, octets out.
//! 5. [`compile`]: how files become a snapshot.
//! 6. [`dns`]: the threads that do nothing else.
//! 7. [`probe`] and [`live`]: how what is found of mirrors gets into the snapshot; [`hosts`], [`transfer`] and [`control`]
//!    go the same way.

//! # As a library
//!
//! What stands at the root of the crate is enough to answer from a program of one's own: [`build`] or [`build_in_memory`] make a
//! [`Snapshot`] of a configuration, [`respond`] writes the reply to one DNS message, [`route`] decides about one request to the
//! registry, and [`Snapshot::after`] folds in what happens to mirrors. None of these waits, locks, or reads a clock; sockets,
//! clocks and threads are the caller's. `examples/embed.rs` puts a socket in front of it, and `examples/feed.rs` steers by a
//! file format that Pharos does not know.
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::path::{Path, PathBuf};
//!
//! use pharos::{Now, Peer, Transport};
//!
//! let config = r#"
//!     [[zone]]
//!     name  = "blob.example"
//!     file  = "blob.example.zone"
//!     steer = [{ owner = "@", horizon = "blobs", ttl = 60 }]
//!     [networks]
//!     office = { list = "office.txt" }
//!     [mirrors.near]
//!     addresses = "198.51.100.7"
//!     [mirrors.far]
//!     addresses = "203.0.113.7"
//!     [horizons.blobs]
//!     rules   = [{ network = "office", mirrors = ["near"] }]
//!     default = ["far"]
//! "#;
//! let zone = "$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 192.0.2.1\n";
//! let files = [("pharos.toml", config), ("blob.example.zone", zone), ("office.txt", "192.0.2.0/24\n")];
//! let files = files.map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec()));
//! let built = pharos::build_in_memory(Path::new("pharos.toml"), BTreeMap::from(files)).unwrap();
//!
//! // A query for the A records of blob.example.
//! let query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04blob\x07example\x00\x00\x01\x00\x01";
//! let ask = |from: &str| {
//!     let peer = Peer { address: from.parse().unwrap(), transport: Transport::Udp };
//!     let mut reply = [0; pharos::MAX_UDP];
//!     let len = pharos::respond(query, peer, &built.snapshot, Now::default(), &mut reply).unwrap().len;
//!     <[u8; 4]>::try_from(&reply[len - 4..len]).unwrap()
//! };
//! assert_eq!(ask("192.0.2.77"), [198, 51, 100, 7], "the office has the mirror that is near");
//! assert_eq!(ask("8.8.8.8"), [203, 0, 113, 7]);
//! ```
//!
//! **Stability.** Before version 1.0 every release may change the library; CHANGELOG.md says so when the root of the crate
//! changes. Modules are public for the binary, the tests and the benchmarks, and may change at any time.

// The docs are for whoever reads the code: they are built with private items.
#![allow(rustdoc::private_intra_doc_links)]

pub mod answer;
pub mod base;
pub mod cli;
pub mod compile;
pub mod config;
pub mod control;
pub mod demo;
pub mod dns;
pub mod files;
pub mod hosts;
pub mod http;
pub mod inspect;
pub mod listen;
pub mod live;
pub mod load;
pub mod mirror;
pub mod networks;
pub mod probe;
pub mod process;
pub mod rates;
pub mod registry;
pub mod serve;
pub mod snapshot;
pub mod steer;
pub mod telemetry;
pub mod tls;
pub mod transfer;
pub mod wire;
pub mod zone;

pub use base::client::{Client, SourcePrefixLen, Subnet};
pub use base::diagnostic::Diagnostic;
pub use base::time::{Generation, Moment, Now};
pub use compile::{Built, build, build_in_memory, registry_settings};
pub use registry::{Method, Request, Route, plain, route};
pub use snapshot::{Change, Snapshot};
pub use wire::{MAX_STREAM, MAX_UDP, Peer, Reply, Transport, respond};
