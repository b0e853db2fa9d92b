//! `pharos key generate`: a key in BIND's form.
//!
//! **Invariants**: no file is replaced; the private key is readable by its owner alone; no other key of the folder has the tag.
//! **Not here**: the form of the files ([`crate::load`]).

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use clap::builder::PossibleValue;
use time::OffsetDateTime;
use time::macros::format_description;

use super::super::layout::Layout;
use super::super::{CommandResult, OK, put};
use crate::base::diagnostic::Diagnostic;
use crate::base::name::NameBuf;
use crate::base::words::Worded as _;
use crate::files;
use crate::load::signing_keys::{RingKey, dnskey, flags, pair};
use crate::zone::{ECDSA_P256, ED25519, KeyRole, key_tag};

/// The attempts to make a key whose tag no other key has: with ten keys of a zone, one attempt in 6,000 fails.
const ATTEMPTS: usize = 16;

/// The mode of the folder that is made: only its owner lists keys.
const FOLDER_MODE: u32 = 0o700;

/// Arguments of `pharos key generate`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The zone
    #[arg(value_name = "ZONE", value_parser = NameBuf::parse)]
    zone: NameBuf,

    /// 13 (ECDSA P-256), which every validator knows, or 15 (Ed25519)
    #[arg(long, value_name = "NUMBER", value_enum, default_value_t = KeyAlgorithm::EcdsaP256)]
    algorithm: KeyAlgorithm,

    /// One key for everything (csk), or a key for the DNSKEY records (ksk) and one for the others (zsk)
    #[arg(long, value_name = "ROLE", value_enum, default_value_t = KeyRole::Csk)]
    role: KeyRole,

    /// The folder of the files, which is made if it is missing
    #[arg(long, value_name = "FOLDER", default_value = "keys")]
    dir: PathBuf,
}

/// An algorithm by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum KeyAlgorithm {
    #[value(name = "13")]
    EcdsaP256,
    #[value(name = "15")]
    Ed25519,
}

impl ValueEnum for KeyRole {
    fn value_variants<'a>() -> &'a [Self] {
        Self::ALL.as_slice()
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.word()))
    }
}

/// Makes a key, and returns the output.
pub(super) fn run(args: &Args) -> CommandResult {
    let failed = |message: String, help: &str| Diagnostic::error("key-files", message).help(help);
    let folder = args.dir.display();
    make_folder(&args.dir).map_err(|error| {
        failed(format!("failed to make the folder `{folder}`: {}", files::words(&error)), "name another with `--dir`")
    })?;
    let algorithm = match args.algorithm {
        KeyAlgorithm::EcdsaP256 => ECDSA_P256,
        KeyAlgorithm::Ed25519 => ED25519,
    };
    let form = format_description!("[year][month][day][hour][minute][second]");
    let created = OffsetDateTime::now_utc().format(form);
    let created = created.map_err(|error| failed(error.to_string(), "set the clock of this machine"))?;
    for _ in 0..ATTEMPTS {
        let (key, private) = RingKey::generate(algorithm)
            .ok_or_else(|| failed("the system has no random numbers".to_string(), "try again"))?;
        let dnskey = dnskey(flags(args.role), &key);
        let stem = stem(&args.zone, algorithm, key_tag(&dnskey));
        let [public_path, private_path] = ["key", "private"].map(|end| args.dir.join(format!("{stem}.{end}")));
        if public_path.exists() || private_path.exists() {
            continue;
        }
        let [public, private] = pair::written(&args.zone, &dnskey, &private, &created);
        for (path, text) in [(&private_path, private), (&public_path, public)] {
            write(path, &text).map_err(|error| {
                let message = format!("failed to write `{}`: {}", path.display(), files::words(&error));
                failed(message, "name another folder with `--dir`")
            })?;
        }
        return Ok(put(&output(args, &stem, [&public_path, &private_path]), OK));
    }
    Err(failed(format!("each new key has the tag of another in `{folder}`"), "name another folder with `--dir`").into())
}

fn make_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)
}

/// Writes a file for its owner alone, whole or not at all, unless it exists.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Such a file has the mode 600.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path)?;
    Ok(())
}

/// The name of the files without their ends, as BIND has it. A name that no file can have is escaped by the zone's text.
fn stem(zone: &NameBuf, algorithm: u8, tag: u16) -> String {
    let zone = zone.to_string().to_ascii_lowercase().replace('/', "%2F");
    let dot = if zone.ends_with('.') { "" } else { "." };
    format!("K{zone}{dot}+{algorithm:03}+{tag:05}")
}

fn output(args: &Args, stem: &str, [public, private]: [&Path; 2]) -> String {
    let layout = Layout::of_stdout();
    let file = args.dir.join(stem).display().to_string();
    let shown = |path: &Path| path.display().to_string();
    let rows = [
        vec![shown(public), "the DNSKEY record".to_string()],
        vec![shown(private), "the private key: only the user that pharos runs as may read it".to_string()],
    ];
    let role = if args.role == KeyRole::Ksk { ", role = \"ksk\"" } else { "" };
    let first = if role.is_empty() { format!("\"{file}\"") } else { format!("{{ file = \"{file}\"{role} }}") };
    let zone = &args.zone;
    let next = match args.role {
        KeyRole::Csk => {
            format!("reload; after the longest TTL of the zone, give the parent the record of `pharos key ds {zone}`")
        }
        KeyRole::Ksk => {
            format!(
                "make the other key with `--role zsk`, reload; after the longest TTL of the zone, give the parent the record of `pharos key ds {zone}`"
            )
        }
        KeyRole::Zsk => "name it beside a KSK, and reload".to_string(),
    };
    layout.table("", 0, &rows, |_, _, _| None)
        + &format!("\nfor `keys` of the zone in pharos.toml:\n  {first}\n")
        + &format!(
            "or, if the zone has a key of this role that it is to replace:\n  {{ file = \"{file}\"{role}, state = \"published\" }}\n\n"
        )
        + &layout.sentence("next: ", 6, &next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::name::name;

    #[test]
    fn files_are_named_as_bind_names_them() {
        assert_eq!(stem(&name("Blob.Example"), 13, 7), "Kblob.example.+013+00007");
        assert_eq!(stem(&name("."), 15, 65535), "K.+015+65535");
        assert_eq!(stem(&name("0/25.2.0.192.in-addr.arpa"), 13, 1), "K0%2F25.2.0.192.in-addr.arpa.+013+00001");
    }
}
