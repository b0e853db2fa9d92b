//! Inputs: the files that a configuration names, each with its purpose, its place and its reader.
//!
//! **Invariants**: an input is read by [`InputFile::read`] alone, up to the bound of its purpose; all inputs of one configuration
//! are noted in one [`Intake`].
//! **Not here**: the formats (`load`, `tls`); the list of all inputs of a configuration ([`super::meaning`]).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::NetworkKind;
use crate::base::diagnostic::{Diagnostic, Place};
use crate::files::{Contents, FileKind, Intake, ReadError};

/// A file that a configuration names.
#[derive(Clone, Debug)]
pub struct InputFile {
    /// The file, resolved.
    pub(crate) path: PathBuf,
    /// The file, as written.
    pub(crate) file: Arc<str>,
    /// Its purpose.
    pub(crate) usage: FileUse,
    /// The place that names it.
    pub(crate) place: Place,
    intake: Intake,
}

/// The purpose of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileUse {
    /// The config file itself.
    Config,
    /// A master file.
    Zone,
    /// A source of labels.
    Network(NetworkKind),
    /// The last good copy of a source of labels that is fetched.
    Fetched(NetworkKind),
    /// The secrets of cookies.
    Cookies,
    /// The token of `[admin]`.
    Token,
    /// The secret of a key.
    Secret,
    /// A file of a key that signs a zone.
    SigningKey,
    /// A chain or a private key.
    Pem,
    /// Roots. One PEM file may hold a chain, a key and roots.
    Roots,
    /// The copy of a zone that is fetched from primaries.
    Copy,
    /// The control socket.
    Socket,
    /// Overrides of operators.
    Overrides,
    /// Tokens of ACME challenges.
    Challenges,
    /// The last 24 hours of mirrors.
    History,
    /// The last verdicts of probes.
    ProbeState,
    /// The last good addresses of hosts.
    HostState,
    /// The request log.
    RequestLog,
    /// The shared overrides of a fleet.
    Fleet,
    /// Signatures of zones.
    Signatures,
}

/// Equal if path and purpose are equal, whatever places name the files.
impl PartialEq for InputFile {
    fn eq(&self, other: &Self) -> bool {
        (&self.path, self.usage) == (&other.path, other.usage)
    }
}

impl Eq for InputFile {}

impl InputFile {
    /// A file that a place in the configuration names.
    pub(crate) fn new(path: PathBuf, file: Arc<str>, usage: FileUse, place: Place) -> Self {
        InputFile { path, file, usage, place, intake: Intake::default() }
    }

    /// A file that no configuration names, but the command line or a program.
    pub fn at(path: impl Into<PathBuf>, usage: FileUse) -> Self {
        let path = path.into();
        let file: Arc<str> = path.display().to_string().into();
        InputFile::new(path, file.clone(), usage, Place::whole_file(&file))
    }

    /// The same, noted in an intake once it is read.
    pub(crate) fn noted_in(self, intake: &Intake) -> Self {
        InputFile { intake: intake.clone(), ..self }
    }

    /// Reads all of it. A file that the server itself replaces is not noted: its change is no reason for a reload.
    pub(crate) fn read(&self) -> Result<Contents, ReadError> {
        if self.usage.is_written() {
            self.intake.read_unnoted(&self.path, self.usage.kind())
        } else {
            self.read_part(&self.path)
        }
    }

    /// True if all files of the configuration are in memory, where nothing is written.
    pub(crate) fn is_in_memory(&self) -> bool {
        self.intake.is_of_memory()
    }

    /// Reads a further file that belongs to this input, as `$INCLUDE` names it.
    pub(crate) fn read_part(&self, path: &Path) -> Result<Contents, ReadError> {
        self.intake.read(path, self.usage.kind())
    }

    /// The problem if this file and another are one and the same.
    pub(crate) fn conflict(&self, other: &InputFile) -> Option<Diagnostic> {
        if !self.usage.conflicts(other.usage) {
            return None;
        }
        let label =
            if self.usage.is_written() { "the server writes this file" } else { "read as another kind of file here" };
        let problem = Diagnostic::error("same-file", format!("`{}` is named for two purposes", self.file))
            .at(self.place.clone(), label)
            .help("give each a file of its own: one would overwrite or misread the other");
        Some(match other.usage {
            FileUse::Config => {
                let problem = Diagnostic { message: format!("`{}` is the config file itself", self.file), ..problem };
                // The main file as a whole has no line.
                match other.place.line {
                    0 => problem,
                    _ => problem.related(other.place.clone(), "included here"),
                }
            }
            _ => problem.related(other.place.clone(), "named here too"),
        })
    }
}

impl FileUse {
    /// The position in the list of named files; and the bound in bytes, with the deadline.
    fn terms(self) -> (u8, FileKind) {
        match self {
            FileUse::Config => (0, FileKind::Config),
            FileUse::Cookies => (1, FileKind::Cookies),
            FileUse::Pem => (2, FileKind::Pem),
            FileUse::Roots => (2, FileKind::Roots),
            FileUse::Token => (3, FileKind::Secret),
            FileUse::Secret | FileUse::SigningKey => (4, FileKind::Secret),
            FileUse::Zone => (5, FileKind::Zone),
            FileUse::Network(NetworkKind::Mmdb) => (6, FileKind::Database),
            FileUse::Network(_) => (6, FileKind::Feed),
            FileUse::Copy => (7, FileKind::State),
            FileUse::Socket => (8, FileKind::State),
            FileUse::Overrides => (9, FileKind::State),
            FileUse::ProbeState => (10, FileKind::State),
            FileUse::HostState => (11, FileKind::State),
            FileUse::Fetched(NetworkKind::Mmdb) => (12, FileKind::Database),
            FileUse::Fetched(_) => (12, FileKind::Feed),
            FileUse::Challenges => (13, FileKind::State),
            FileUse::RequestLog => (14, FileKind::State),
            FileUse::History => (15, FileKind::State),
            FileUse::Fleet => (16, FileKind::State),
            FileUse::Signatures => (17, FileKind::State),
        }
    }

    /// The bound in bytes, and the deadline.
    pub(crate) fn kind(self) -> FileKind {
        self.terms().1
    }

    /// The position in the list of named files.
    pub(super) fn rank(self) -> u8 {
        self.terms().0
    }

    /// True if the server writes the file.
    pub(crate) fn is_written(self) -> bool {
        self.kind() == FileKind::State || matches!(self, FileUse::Fetched(_))
    }

    fn conflicts(self, other: FileUse) -> bool {
        let is_pem = |usage| matches!(usage, FileUse::Pem | FileUse::Roots);
        self.is_written() || other.is_written() || !(self == other || is_pem(self) && is_pem(other))
    }
}
