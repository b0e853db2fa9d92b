//! `pharos certs`: a private authority, a certificate for each mirror, and one for the listeners.
//!
//! **Invariants**: an existing authority is used again, so that clients that trust it accept the new certificates; all names
//! and files are checked before the first file is written.
//! **Not here**: the content of certificates ([`crate::tls`]).

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::pki_types::UnixTime;
use time::OffsetDateTime;

use super::super::facts::minute;
use super::super::layout::Layout;
use super::super::locate::ConfigLocation;
use super::super::verify::probe_of;
use super::super::{CommandFailure, CommandResult, OK, put};
use crate::base::diagnostic::{Diagnostic, list};
use crate::config;
use crate::files::{self, FileKind};
use crate::tls::{Authority, Existing, Pair};

/// The base names of the authority's files, and of the listeners' files.
const AUTHORITY: &str = "ca";
const LISTENER: &str = "listener";

/// The base name of a mirror's files if no mirror is named.
const MIRROR: &str = "mirror";

/// Arguments of `pharos certs`.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    /// Folder of the new files
    #[arg(long, value_name = "FOLDER", default_value = "certs")]
    folder: PathBuf,

    /// The name that all mirrors serve; with it no configuration is read
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// A mirror to make a certificate for, in files of this name; again for more [default: all of the configuration]
    #[arg(long = "mirror", value_name = "MIRROR")]
    mirrors: Vec<String>,

    /// A name or address of the listeners (registry, DNS over TLS); again for more
    #[arg(long = "listener", value_name = "NAME", default_values = ["localhost", "127.0.0.1", "::1"])]
    listener: Vec<String>,

    /// Validity of certificates: 90 days is that of public authorities
    #[arg(long, value_name = "DAYS", default_value_t = 90, value_parser = clap::value_parser!(u16).range(1..=MAX_DAYS))]
    days: u16,

    /// Make certificates anew that are there already; the authority always stays
    #[arg(long)]
    replace: bool,
}

/// The longest validity: clients refuse certificates made for more (Apple: 825 days, even of a private authority).
const MAX_DAYS: i64 = 825;

/// Makes the authority and the certificates, and returns the exit code.
pub(super) fn run(config: &ConfigLocation, args: &Args) -> CommandResult {
    let mut orders = wanted(config, args)?;
    let existing = if args.replace { Existing::Replace } else { Existing::Keep };
    orders.push((LISTENER.to_string(), args.listener.clone()));
    let problems = problems_of(&orders, args, existing);
    if !problems.is_empty() {
        return Err(problems.into());
    }
    let failed = |error: &dyn std::fmt::Display| Diagnostic::error("certs", error.to_string());
    std::fs::create_dir_all(&args.folder).map_err(|error| {
        failed(&format!("failed to make the folder `{}`: {}", args.folder.display(), crate::files::words(&error)))
    })?;
    let now = OffsetDateTime::now_utc();
    let authority = authority(&args.folder, now)?;
    let until = now + time::Duration::days(args.days.into());
    let until = minute(UnixTime::since_unix_epoch(Duration::from_secs(until.unix_timestamp().unsigned_abs())));
    let path = |stem: &str| Pair::paths(&args.folder, stem)[0].display().to_string();
    let mut rows =
        vec![vec![path(AUTHORITY), "the authority: the root to give to clients, and to `[probe] roots`".into()]];
    for (stem, names) in &orders {
        let pair = authority.issue(names, now, args.days).map_err(|error| failed(&error))?;
        pair.write(&args.folder, stem, existing).map_err(|error| failed(&error))?;
        rows.push(vec![path(stem), format!("for {}, until {until}", names.join(", "))]);
    }
    let layout = Layout::of_stdout();
    let keys = layout.sentence("", 2, "the key of each is beside it, in a file that ends in `.key`");
    Ok(put(&(layout.table("", 0, &rows, |_, _, _| None) + &keys), OK))
}

/// The mirrors, each with the names of its certificate, from the arguments or else the configuration: the steered name, or the host
/// of the mirror's URL.
fn wanted(config: &ConfigLocation, args: &Args) -> Result<Vec<(String, Vec<String>)>, CommandFailure> {
    if let Some(name) = &args.name {
        let name = name.trim_end_matches('.').to_string();
        let mirrors = if args.mirrors.is_empty() { vec![MIRROR.to_string()] } else { args.mirrors.clone() };
        return Ok(mirrors.into_iter().map(|mirror| (mirror, vec![name.clone()])).collect());
    }
    let config = config::read_file(config.path())?.config;
    let probe = probe_of(&config)?;
    let order = |entry: &config::MirrorEntry| {
        let url = entry.mirror.content.url.as_ref();
        let name = url.map_or_else(|| probe.name.trim_end_matches('.'), |url| &url.host);
        (entry.mirror.name.to_string(), vec![name.to_string()])
    };
    let orders: Vec<_> = config.mirrors.iter().map(order).collect();
    if args.mirrors.is_empty() {
        return Ok(orders);
    }
    let of_mirror = |wanted: &String| {
        // The configuration may get the mirror later, so that an unknown one has the steered name.
        let known = orders.iter().find(|(mirror, _)| mirror == wanted).cloned();
        known.unwrap_or_else(|| (wanted.clone(), vec![probe.name.trim_end_matches('.').to_string()]))
    };
    Ok(args.mirrors.iter().map(of_mirror).collect())
}

/// The problems with the names and files, found before any file is written.
fn problems_of(orders: &[(String, Vec<String>)], args: &Args, existing: Existing) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    for (at, (stem, names)) in orders.iter().enumerate() {
        let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet);
        if stem.starts_with('.') || stem.is_empty() || !stem.bytes().all(is_plain) {
            problems.push(
                Diagnostic::error("file-name", format!("`{stem}` is no name for a file"))
                    .help("use letters, digits, `-`, `_` and `.`"),
            );
        }
        if stem == AUTHORITY || orders[..at].iter().any(|(other, _)| other == stem) {
            problems.push(
                Diagnostic::error("file-name", format!("`{stem}.pem` would be two certificates"))
                    .help(format!("`{AUTHORITY}` and `{LISTENER}` are taken; call each mirror differently")),
            );
        }
        for name in names {
            if ServerName::try_from(name.strip_prefix("*.").unwrap_or(name)).is_err() {
                problems.push(
                    Diagnostic::error("name", format!("`{name}` is neither a host name nor an address"))
                        .help("write it as clients ask for it: `blob.k8s.io`, `192.0.2.1`"),
                );
            }
        }
    }
    let there: Vec<String> = orders
        .iter()
        .flat_map(|(stem, _)| Pair::paths(&args.folder, stem))
        .filter(|path| path.exists())
        .map(|path| path.display().to_string())
        .collect();
    if existing == Existing::Keep && !there.is_empty() {
        let there = list(there.iter().map(String::as_str));
        problems.push(
            Diagnostic::error("exists", format!("there already: {there}"))
                .help("`--replace` makes them anew, `--folder` puts them elsewhere; nothing was written"),
        );
    }
    problems
}

/// The existing authority of the folder, or a new one.
fn authority(folder: &Path, now: OffsetDateTime) -> Result<Authority, CommandFailure> {
    let problem = |message: String| -> CommandFailure {
        let help = "put certificates of another authority into a folder of their own";
        Diagnostic::error("authority", message).help(help).into()
    };
    let [root, key] = Pair::paths(folder, AUTHORITY);
    let read = |path: &Path| {
        let failed = |error: &dyn std::fmt::Display| problem(format!("failed to read `{}`: {error}", path.display()));
        let read = files::read(path, FileKind::Pem).map_err(|error| failed(&error))?;
        String::from_utf8(read.bytes).map_err(|error| failed(&error))
    };
    if root.exists() || key.exists() {
        return Authority::from_pem(Pair { chain: read(&root)?, key: read(&key)? })
            .map_err(|error| problem(format!("`{}` cannot be used: {error}", root.display())));
    }
    let authority = Authority::new(now).map_err(|error| problem(error.to_string()))?;
    authority.own().write(folder, AUTHORITY, Existing::Keep).map_err(|error| problem(error.to_string()))?;
    Ok(authority)
}
