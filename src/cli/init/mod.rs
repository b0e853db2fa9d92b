//! `pharos init`: writes a first configuration.
//!
//! **Invariants**: no file is overwritten; if one of the files exists, the command writes no file; the configuration passes
//! `pharos check` without a warning, and `pharos serve` serves it without root.
//! **Not here**: the meaning of the files ([`crate::config`], [`crate::load`]).

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use super::locate::Without;
use super::{BAD_CONFIG, CommandFailure, CommandResult, OK, put};
use crate::base::diagnostic::list;
use crate::base::text::shown;
use crate::files::words;

/// The files by name; the configuration is the first one.
const FILES: [(&str, &str); 3] = [
    ("pharos.toml", include_str!("pharos.toml")),
    ("blob.example.com.zone", include_str!("blob.example.com.zone")),
    ("networks.txt", include_str!("networks.txt")),
];

/// Arguments of `pharos init`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder to write into; it is made if it does not exist
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,

    #[command(flatten)]
    without: Without,
}

/// Writes the files, and returns the exit code.
pub(super) fn run(args: &Args) -> CommandResult {
    write(&args.folder)?;
    Ok(put(&next_steps(&args.folder), OK))
}

fn write(folder: &Path) -> Result<(), CommandFailure> {
    let paths = FILES.map(|(name, _)| folder.join(name));
    let existing: Vec<&str> =
        FILES.iter().zip(&paths).filter(|(_, path)| is_taken(path)).map(|((name, _), _)| *name).collect();
    if !existing.is_empty() {
        let verb = if existing.len() == 1 { "exists" } else { "exist" };
        let message = format!("{} already {verb} in `{}`", list(existing), folder.display());
        let help = "nothing was written; name another folder, or move them away";
        return Err(CommandFailure::new(message, help, BAD_CONFIG));
    }
    let failed = |what: &Path, error: std::io::Error| {
        let help = "name a folder that this user can make and write to: `pharos init FOLDER`";
        CommandFailure::new(format!("failed to write `{}`: {}", what.display(), words(&error)), help, BAD_CONFIG)
    };
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    for (at, ((_, text), path)) in FILES.iter().zip(&paths).enumerate() {
        // Another process may have made the file since: `create_new` fails if the file exists.
        let written = File::create_new(path)
            .and_then(|mut file| file.write_all(text.as_bytes()).inspect_err(|_| drop(std::fs::remove_file(path))));
        if let Err(error) = written {
            for ours in &paths[..at] {
                let _ = std::fs::remove_file(ours);
            }
            return Err(failed(path, error));
        }
    }
    Ok(())
}

/// Checks whether a path exists, also as a dangling symbolic link.
fn is_taken(path: &Path) -> bool {
    // If the folder is a file, creating the folder reports it.
    !path.symlink_metadata().is_err_and(|error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory))
}

/// The list of the written files, and the commands for the next steps.
fn next_steps(folder: &Path) -> String {
    let is_here = folder == Path::new(".");
    let path = |name: &str| if is_here { name.to_string() } else { folder.join(name).display().to_string() };
    let option = if is_here { String::new() } else { format!(" --config {}", shown(&path(FILES[0].0))) };
    let files: String = FILES.iter().map(|(name, _)| format!("wrote {}\n", shown(&path(name)))).collect();
    format!(
        "{files}\n\
         Next:\n\
         \x20 pharos check{option}\n\
         \x20 pharos serve{option}\n\
         and in another terminal:\n\
         \x20 dig @127.0.0.1 -p 5300 blob.example.com +subnet=34.76.8.0/24\n\
         \x20 pharos explain{option} 34.76.8.0/24\n\
         \x20 pharos status{option}\n"
    )
}
