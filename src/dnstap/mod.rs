//! dnstap as bytes: a copied response as a protobuf message, the part of a client's address in it, and Frame Streams.
//!
//! The encoder is our own and not that of `prost`: dnstap has twenty fields of four wire types, which are seventy lines here,
//! and `prost` would bring its runtime and a build script for a file that last changed in 2022.
//!
//! Only responses are written (AUTH_RESPONSE), without the query's message. A response repeats the ID, the question and the
//! options of its query, and has the time of the query beside its own, so that an AUTH_QUERY would double the bytes and say
//! nothing new. Queries without a response are in the metrics.
//!
//! **Invariants**: no socket, clock or file; a message that cannot be cut is left out, so that no address leaves by a fault.
//! **Not here**: taking copies ([`crate::telemetry::tap`]), the connection to the reader ([`crate::tap`]).
//!
//! dnstap.proto (<https://github.com/dnstap/dnstap.pb>), Frame Streams (<https://farsightsec.github.io/fstrm/>).

mod cut;
mod encode;
mod facts;
pub(crate) mod frame;

pub(crate) use cut::cut;
pub(crate) use encode::{DnstapOrigin, encode};
pub use facts::TapHttp;
pub(crate) use facts::{SteeredFacts, TapCopy, TapFacts};
