//! The control socket of a configuration that may have errors elsewhere, for the clients of a running server.
//!
//! **Not here**: the other keys of `[control]` ([`super::control`]).

use std::path::{Path, PathBuf};

use super::control::ControlSpec;
use super::reader::ConfigReader;
use super::row::Rows as _;
use super::source::{self, ConfigSource};
use super::spec::Spec;
use super::table::Table;
use super::typed::Value;
use crate::files::Intake;

/// The socket of a configuration that may have errors elsewhere: `[control] socket` of the first file with a valid syntax
/// that has it. `None` if no file has it, or the main file has no valid syntax.
pub(crate) fn socket_of(path: &Path) -> Option<PathBuf> {
    let intake = Intake::default();
    let main = source::read_main(path, &intake).ok()?;
    let reader = ConfigReader::new(main.file.file.clone(), &main.text, Spec::PART);
    let tree = reader.parse()?;
    socket_in(&main).or_else(|| {
        let patterns = Table::document(&[(&reader, &tree)]).take("include")?.texts();
        source::read_included(&main, &patterns, &intake).ok()?.iter().find_map(socket_in)
    })
}

/// The socket that a file names, which may have errors elsewhere.
fn socket_in(source: &ConfigSource) -> Option<PathBuf> {
    let reader = ConfigReader::new(source.file.file.clone(), &source.text, Spec::PART);
    let tree = reader.parse()?;
    let mut document = Table::document(&[(&reader, &tree)]);
    let control = document.take("control").filter(Value::is_table)?;
    let socket = document.inner(&control, ControlSpec::PART.title)?.take("socket")?.text()?.value;
    let folder = source.file.path.parent().unwrap_or(Path::new(""));
    (!socket.trim().is_empty()).then(|| folder.join(&*socket))
}
