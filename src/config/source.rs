//! The files of a configuration: the one that the operator names, and those of its `include`.
//!
//! **Invariants**: each file is read once and by the bounded reader; all of them together have no more bytes than one may
//! have; no file is two of them, whatever its names.
//! **Not here**: the meaning of the texts ([`super::spec`], [`super::meaning`]); which file is the main one (`cli`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{PlacedText, limits};
use crate::base::diagnostic::{Diagnostic, Place};
use crate::files::{FileFacts, FileKind, Intake, ListError, ReadError, is_pattern};

/// A file of the configuration.
#[derive(Clone, Debug)]
pub(crate) struct SourceFile {
    /// The file: as the operator wrote it, or the folder of the main file with the name under `include`.
    pub(crate) file: Arc<str>,
    /// The path.
    pub(crate) path: PathBuf,
    /// The place that names it; the main file as a whole.
    pub(crate) place: Place,
    /// Identity, mode and times of the file.
    pub(crate) facts: FileFacts,
}

/// A file of the configuration with its text.
#[derive(Debug)]
pub(super) struct ConfigSource {
    pub(super) file: SourceFile,
    pub(super) text: String,
}

/// Reads the main file.
pub(super) fn read_main(path: &Path, intake: &Intake) -> Result<ConfigSource, Vec<Diagnostic>> {
    let file: Arc<str> = path.display().to_string().into();
    let place = Place::whole_file(&file);
    let read = intake.read(path, FileKind::Config).map_err(|error| {
        let help = match error {
            ReadError::Missing => "`pharos init` writes a configuration to begin with, and `--config FILE` names one; \
                                   otherwise `PHAROS_CONFIG`, `./pharos.toml` and `/etc/pharos/pharos.toml` are tried"
                .to_string(),
            _ => error.help(path),
        };
        let message = format!("failed to read the configuration: {error}");
        vec![Diagnostic::error("config-file", message).at(place.clone(), "").help(help)]
    })?;
    let text = utf8(read.bytes, place.clone()).map_err(|problem| vec![*problem])?;
    Ok(ConfigSource { file: SourceFile { file, path: path.to_path_buf(), place, facts: read.facts }, text })
}

/// Reads the files that the `include` of the main file names: patterns in their order, the files of each by name.
pub(super) fn read_included(
    main: &ConfigSource,
    patterns: &[PlacedText],
    intake: &Intake,
) -> Result<Vec<ConfigSource>, Vec<Diagnostic>> {
    let mut sources: Vec<ConfigSource> = Vec::new();
    let mut left = limits::MAX_FILE_OCTETS.saturating_sub(main.text.len());
    let mut problems = Vec::new();
    for pattern in patterns {
        let paths = match expand(&main.file.path, pattern, intake, limits::MAX_INCLUDED - sources.len()) {
            Ok(paths) => paths,
            Err(problem) => {
                problems.push(*problem);
                continue;
            }
        };
        for path in paths {
            // Two patterns may match the same name.
            if sources.iter().any(|source| source.file.path == path) {
                continue;
            }
            match read_one(path, pattern, main, &sources, intake) {
                Ok(source) if source.text.len() > left => {
                    let most = limits::MAX_FILE_OCTETS;
                    problems.push(
                        Diagnostic::error(
                            "too-large",
                            format!("`{}` makes the configuration too large", source.file.file),
                        )
                        .at(pattern.place.clone(), "included here")
                        .help(format!("all files of a configuration together have at most {most} bytes")),
                    );
                    return Err(problems);
                }
                Ok(source) => {
                    left -= source.text.len();
                    sources.push(source);
                }
                Err(problem) => problems.push(*problem),
            }
        }
    }
    if problems.is_empty() { Ok(sources) } else { Err(problems) }
}

/// The paths that one entry of `include` stands for.
fn expand(main: &Path, pattern: &PlacedText, intake: &Intake, most: usize) -> Result<Vec<PathBuf>, Box<Diagnostic>> {
    let folder = main.parent().unwrap_or(Path::new(""));
    let problem = |message: String, help: String| {
        Box::new(Diagnostic::error("include", message).at(pattern.place.clone(), "included here").help(help))
    };
    let too_many = || problem("too many files are included".into(), format!("keep to {}", limits::MAX_INCLUDED));
    if pattern.value.trim().is_empty() {
        return Err(problem("the name of an included file is empty".into(), "write a file, or a pattern".into()));
    }
    if !is_pattern(&pattern.value) {
        return if most == 0 { Err(too_many()) } else { Ok(vec![folder.join(&*pattern.value)]) };
    }
    intake.matching(folder, &pattern.value, most).map_err(|error| match error {
        ListError::TooMany => too_many(),
        ListError::Pattern(_) => problem(
            format!("`{}` is not a pattern for files: {error}", pattern.value),
            "write one like `mirrors.d/*.toml`; `*` and `?` stand for characters of a name, `[ab]` for one of them"
                .into(),
        ),
        ListError::Expired(_) | ListError::System(..) => {
            problem(format!("failed to list `{}`: {error}", pattern.value), "check the folder and its mode".into())
        }
    })
}

fn read_one(
    path: PathBuf,
    pattern: &PlacedText,
    main: &ConfigSource,
    sources: &[ConfigSource],
    intake: &Intake,
) -> Result<ConfigSource, Box<Diagnostic>> {
    let file: Arc<str> = path.display().to_string().into();
    let place = pattern.place.clone();
    let read = intake.read(&path, FileKind::Config).map_err(|error| {
        let help = match error {
            ReadError::Missing => {
                "a file that need not exist is written as a pattern, like `mirrors.d/*.toml`".to_string()
            }
            _ => error.help(&path),
        };
        let message = format!("failed to read the included file `{file}`: {error}");
        Box::new(Diagnostic::error("include", message).at(place.clone(), "included here").help(help))
    })?;
    let same = [main].into_iter().chain(sources).find(|other| other.file.facts.identity == read.facts.identity);
    if let Some(other) = same {
        let message = format!("`{file}` and `{}` are one file", other.file.file);
        return Err(Box::new(
            Diagnostic::error("included-twice", message)
                .at(place, "included here")
                .help("remove the link, or the entry of `include` that matches it"),
        ));
    }
    let text = utf8(read.bytes, Place::whole_file(&file))?;
    Ok(ConfigSource { file: SourceFile { file, path, place, facts: read.facts }, text })
}

fn utf8(bytes: Vec<u8>, place: Place) -> Result<String, Box<Diagnostic>> {
    String::from_utf8(bytes).map_err(|error| {
        let message = format!("the configuration is not UTF-8 text: {error}");
        Box::new(Diagnostic::error("config-file", message).at(place, "").help("save it as UTF-8"))
    })
}
