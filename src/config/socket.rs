//! The control socket of a configuration that may have errors elsewhere, for the clients of a running server.
//!
//! **Not here**: the other keys of `[control]` ([`super::control`]).

use std::path::{Path, PathBuf};

use super::control::ControlSpec;
use super::reader::ParsedText;
use super::row::Rows as _;
use super::source::{self, ConfigSource};
use super::spec;
use super::table::Table;
use super::typed::Value;
use crate::files::Intake;

/// The socket of a configuration that may have errors elsewhere: `[control] socket` of the first file with a valid syntax
/// that has it. `None` if no file has it, or the main file has no valid syntax.
pub(crate) fn socket_of(path: &Path) -> Option<PathBuf> {
    let intake = Intake::default();
    let main = source::read_main(path, &intake).ok()?;
    let parsed = spec::parse(std::slice::from_ref(&main)).ok()?;
    socket_in(&main, &parsed).or_else(|| {
        let included = source::read_included(&main, &spec::patterns(&parsed), &intake).ok()?;
        included.iter().find_map(|source| socket_in(source, &spec::parse(std::slice::from_ref(source)).ok()?))
    })
}

/// The socket that a file names, which may have errors elsewhere.
fn socket_in(source: &ConfigSource, parsed: &[ParsedText<'_>]) -> Option<PathBuf> {
    let mut document = Table::document(parsed.iter());
    let control = document.take("control").filter(Value::is_table)?;
    let socket = document.inner(&control, ControlSpec::PART.title)?.take("socket")?.text()?.value;
    let folder = source.file.path.parent().unwrap_or(Path::new(""));
    (!socket.trim().is_empty()).then(|| folder.join(&*socket))
}
