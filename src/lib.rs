//! Pharos (φάρος, lighthouse): an authoritative split-horizon DNS server for container registries.
//!
//! It answers one name, say `blob.k8s.io`, differently by the client's place, and points each client at the nearest healthy
//! mirror. A companion HTTP listener serves the registry's own name: it sends manifests to the canonical registry and blobs
//! to the steered name.
//!
//! # The flow of data
//!
//! ```text
//! pharos.toml zones/* feeds *.mmdb ─ config ─ load ─ compile ─► Snapshot ─► live::Published
//!                                                                              │ one load per batch
//! bytes  ─ wire::decode ─► Query ─ answer::answer ─┐                           ▼
//! HTTP   ─ registry::route ────────────────────────┴─► steer::decide ─► Response / Redirect, with its basis
//! ```
//!
//! Every decision is a pure function of its arguments; sockets, clocks, files, logs and counters are around it.
//! [`wire::respond`] is the one path from the bytes of a query to those of its reply: every transport,
//! `pharos explain`, `pharos sweep` and the tests all take it.
//!
//! # Words
//!
//! - *resolver*: the host that sent the query; *client*: the host that the answer is for; *subnet*: the client's prefix in
//!   an ECS option (RFC 7871).
//! - *source prefix*: the known bits of an address; *scope prefix*: the bits for which an answer holds.
//! - *network*: a labelled set of client prefixes; a *source* is the file that has these prefixes, a *feed* one in a published
//!   format. A *label* is of one *kind*, such as region or country.
//! - *horizon*: the view of one class of clients: rules from labels to ordered mirrors. A *plan* is such a list of mirrors;
//!   ranges of addresses with the same plan are one range of the steering table.
//! - *mirror*: one place that serves blobs. A probe of one of its addresses results in a *verdict*; verdicts determine its
//!   *health*, which decides whether clients are steered to it. An operator's *override* takes precedence over it.
//! - *host*: the name of a mirror whose addresses are looked up and kept fresh.
//! - *copy*: a zone that is kept at *primaries*, and served here too.
//! - *store*: the bucket, etcd or folder in which the servers of a *fleet* keep *objects*; each object has a *version*.
//! - *credential*: the right of a mirror's ACME client to set *tokens* at the owners of *challenges*.
//! - *basis*: the place, rule and mirrors from which a decision follows, for `explain` and the counters.
//! - *snapshot*: the whole served state of one *generation*.
//! - zone, apex, owner, RRset, rdata, delegation, glue: RFC 9499.
//!
//! # Layers
//!
//! A module uses only modules below it; `tests/layers.rs` reads this table and the sources, and enforces it. In a layer that
//! is written with `→`, each module may use those to its right; in the others, modules do not know each other. Files of one
//! folder use each other in one direction; the same test enforces this.
//!
//! ```text
//! 10 main → cli → demo → serve                                        composition
//! 9  dns  http  probe  hosts  transfer  refresh  control  acme  tap  sharing   services
//! 8  stores → outgoing → listen                                       a fleet's store; our own requests; ports, connections
//! 7  live  tls  telemetry  process                                    shared shell: publisher, certificates, counters, OS
//! 6  compile → load → config → files                                  files to snapshot
//! 5  fleet → dnstap → inspect → wire → rates → registry → answer      decisions on a snapshot; codecs; rate limits; explain  ┐
//! 4  snapshot                                                         the served state, and how changes fold into it         │
//! 3  steer                                                            horizons: labels and health to a decision              │ pure
//! 2  networks  zone  mirror  challenge                                the parts of the state                                 │
//! 1  base                                                             prefixes, names, client, ids, time, diagnostics        ┘
//! ```
//!
//! # Reading order
//!
//! 1. [`base::client`]: the address that decides, and the scope that follows from it.
//! 2. [`steer::table`]: ranges, and why the scope needs no stored length.
//! 3. [`answer`]: RFC 1034 §4.3.2, a function for each case.
//! 4. [`wire`]: bytes in, bytes out.
//! 5. [`compile`]: how files become a snapshot.
//! 6. [`dns`]: the threads that only answer queries.
//! 7. [`probe`] and [`live`]: the path of probe results into the snapshot; [`hosts`], [`transfer`] and [`control`] use the
//!    same path.
//!
//! # As a library
//!
//! The items at the root of the crate suffice to answer queries from another program. [`build`] or [`build_in_memory`] makes
//! a [`Snapshot`] of a configuration, [`respond`] writes the reply to one DNS message, [`route`] decides about one request
//! to the registry, and [`Snapshot::after`] applies a change, such as that of a mirror's health. Building reads
//! files and, for `host` of a mirror, the DNS. The other three neither wait, lock, nor read a clock; the caller has the sockets,
//! clocks and threads. Zones with keys are answered with signatures once
//! [`Signatory::sign_ahead`] has made these, on several threads. `examples/embed.rs` adds a socket, and
//! `examples/feed.rs` steers by a file format that Pharos does not know.
//!
//! ```
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
//! let built = pharos::build_in_memory("pharos.toml", files).unwrap();
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

// The docs are for readers of the code, so private items are included.
#![allow(rustdoc::private_intra_doc_links)]
// `missing_docs` is about `pub` items; clippy.toml makes this one about `pub(crate)` items.
#![warn(clippy::missing_docs_in_private_items)]

pub mod acme;
pub mod answer;
pub mod base;
pub mod challenge;
pub mod cli;
pub mod compile;
pub mod config;
pub mod control;
pub mod demo;
pub mod dns;
pub mod dnstap;
pub mod files;
pub mod fleet;
pub mod hosts;
pub mod http;
pub mod inspect;
pub mod listen;
pub mod live;
pub mod load;
pub mod mirror;
pub mod networks;
pub mod outgoing;
pub mod probe;
pub mod process;
pub mod rates;
pub mod refresh;
pub mod registry;
pub mod serve;
pub mod sharing;
pub mod snapshot;
pub mod steer;
pub mod stores;
pub mod tap;
pub mod telemetry;
pub mod tls;
pub mod transfer;
pub mod wire;
pub mod zone;

pub use base::client::{Client, SourcePrefixLen, Subnet};
pub use base::diagnostic::Diagnostic;
pub use base::time::{Generation, Moment, Now};
pub use compile::{Built, build, build_in_memory, registry_settings};
pub use live::Signatory;
pub use registry::{Method, Request, Route, plain, route};
pub use snapshot::{Change, Snapshot};
pub use wire::{MAX_STREAM, MAX_UDP, Peer, Reply, Transport, respond};
