//! Loading: files in, what the layers below decide on out, or diagnostics with file, line and remedy.
//!
//! Every kind of file has a pure half, bytes to meaning, which the tests read with, and a thin one that reads the file.
//!
//! **Invariants**: a file is taken whole or refused; nothing here changes what is served.
//! **Not here**: what the config file itself means ([`crate::config`]), building what is served (compile).

pub mod networks;
pub mod zone;
