//! The configuration of a command: `--config`, `PHAROS_CONFIG`, `./pharos.toml`, `/etc/pharos/pharos.toml`, in this order.
//!
//! **Invariants**: every command that reads a configuration finds it here; if `--config` did not name the file, its path is
//! printed once, on standard error or in the log; the service reloads the file that it found at its start.
//! **Not here**: reading it ([`crate::config`]).

use std::cell::OnceCell;
use std::ffi::OsString;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::output::note;
use crate::base::text::shown;

/// The environment variable that names the configuration.
pub(super) const VARIABLE: &str = "PHAROS_CONFIG";

/// The configuration in the working directory.
const LOCAL: &str = "pharos.toml";

/// The configuration of a system on which Pharos is installed.
const INSTALLED: &str = "/etc/pharos/pharos.toml";

/// The configuration of a command, which is looked for when a command first needs it.
pub(super) struct ConfigLocation {
    typed: Option<PathBuf>,
    found: OnceCell<FoundConfig>,
}

/// For a command that reads no configuration: keeps the global `--config` out of its help.
#[derive(Debug, clap::Args)]
pub(super) struct Without {
    #[arg(long, short, hide = true)]
    config: Option<PathBuf>,
}

/// A configuration that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FoundConfig {
    pub(super) path: PathBuf,
    by: By,
}

/// The way in which a configuration was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// `--config`
    Option,
    /// `PHAROS_CONFIG`
    Variable,
    /// A known place, also if no file was found anywhere.
    Place,
}

impl ConfigLocation {
    pub(super) fn new(typed: Option<PathBuf>) -> Self {
        ConfigLocation { typed, found: OnceCell::new() }
    }

    /// The configuration; prints nothing.
    pub(super) fn find(&self) -> &FoundConfig {
        self.found.get_or_init(|| find(self.typed.clone(), std::env::var_os(VARIABLE), exists))
    }

    /// The path of the configuration. The first call prints the path on standard error, unless `--config` named the file.
    pub(super) fn path(&self) -> &Path {
        let is_first = self.found.get().is_none();
        let found = self.find();
        if is_first && found.by != By::Option && exists(&found.path) {
            // Not on standard output: the answer is there, and a program may read it.
            note(&format!("configuration: {found}"));
        }
        &found.path
    }
}

impl fmt::Display for FoundConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display().to_string();
        let by = match self.by {
            By::Variable => " (from PHAROS_CONFIG)",
            By::Option | By::Place => "",
        };
        write!(f, "{}{by}", shown(&path))
    }
}

fn find(typed: Option<PathBuf>, variable: Option<OsString>, exists: impl Fn(&Path) -> bool) -> FoundConfig {
    let variable = variable.filter(|value| !value.is_empty());
    match (typed, variable) {
        (Some(path), _) => FoundConfig { path, by: By::Option },
        (None, Some(path)) => FoundConfig { path: path.into(), by: By::Variable },
        (None, None) => {
            let is_installed = !exists(Path::new(LOCAL)) && exists(Path::new(INSTALLED));
            FoundConfig { path: if is_installed { INSTALLED } else { LOCAL }.into(), by: By::Place }
        }
    }
}

/// Checks whether a path has a file. An unreadable path counts as a file, so that no other configuration is used instead.
fn exists(path: &Path) -> bool {
    !path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_option_variable_working_directory_system() {
        let found = |typed: Option<&str>, variable: Option<&str>, files: &[&str]| {
            let exists = |path: &Path| files.iter().any(|file| Path::new(file) == path);
            find(typed.map(PathBuf::from), variable.map(OsString::from), exists).to_string()
        };
        let all = [LOCAL, INSTALLED];
        assert_eq!(found(Some("a"), Some("b"), &all), "a");
        assert_eq!(found(None, Some("b"), &all), "b (from PHAROS_CONFIG)");
        assert_eq!(found(None, Some(""), &all), LOCAL);
        assert_eq!(found(None, None, &all), LOCAL);
        assert_eq!(found(None, None, &[INSTALLED]), INSTALLED);
        assert_eq!(found(None, None, &[]), LOCAL);
    }
}
