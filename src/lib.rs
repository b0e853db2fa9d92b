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
//! A module uses only what is below it; `tests/layers.rs` reads the sources and enforces it.
//!
//! ```text
//! 10 main → cli → demo → serve                     composition
//! 9  dns  http  probe  hosts  transfer  control    services; they do not know each other
//! 8  listen                                        ports, connections and their limits, handshakes, unsent bytes
//! 7  live  tls  telemetry  process                 shared shell: publisher, certificates, counters, OS
//! 6  files  config  load  compile                  files to snapshot
//! 5  answer  registry  rates  wire  inspect        decisions on a snapshot; rate limits; message codec; explain  ┐
//! 4  snapshot                                      the served state, and how changes fold into it                │ pure
//! 3  steer                                         horizons: labels and health to a decision                     │
//! 2  networks  zone  mirror                        siblings                                                      │
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
