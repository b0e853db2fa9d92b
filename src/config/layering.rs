//! The parts of a configuration that are the same on all servers of a fleet, apart from those of one machine.
//!
//! A bundle of the fleet has the shared parts of each file, as TOML. A configuration with a bundle has the shared parts of the
//! bundle, and the machine's own parts of the local file.
//!
//! **Invariants**: no key that can hold a secret is shared; each table is of one side, except the keys that [`own_keys`] returns; places in
//! a bundle name its files, with the bundle behind the name.
//! **Not here**: the form of a bundle ([`crate::fleet::Bundle`]), its files ([`crate::files::Layer`]), reading the tables
//! ([`super::table`]).

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::check::folder_of;
use super::field::Section as _;
use super::fleet::STATE_NAME;
use super::reader::{ConfigReader, ParsedText};
use super::row::{KeyType, Rows as _};
use super::sides::{SHARED, own_keys};
use super::source::ConfigSource;
use super::spec::{self, Spec};
use super::table::Table;
use super::{PlacedText, source, value};
use crate::base::diagnostic::Diagnostic;
use crate::files::{Intake, Layer};

/// A text with the shared parts of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SharedText {
    /// The file.
    pub(crate) path: PathBuf,
    /// The shared parts.
    pub(crate) text: String,
}

/// The shared parts of a configuration, by its files, the main one first. The configuration must be valid.
pub(crate) fn shared_texts(path: &Path, intake: &Intake) -> Result<Vec<SharedText>, Vec<Diagnostic>> {
    let sources = sources(path, intake)?;
    let parsed = spec::parse(&sources)?;
    let shared = |(source, (_, tree)): (&ConfigSource, &ParsedText<'_>)| SharedText {
        path: source.file.path.clone(),
        text: shared_text(tree),
    };
    Ok(sources.iter().zip(&parsed).map(shared).collect())
}

/// The readers of the texts of a layer.
pub(super) fn readers(layer: &Layer) -> impl Iterator<Item = ConfigReader<'_>> {
    layer.texts.iter().map(|(path, text)| ConfigReader::new(layer.shown(path), text, Spec::PART))
}

/// The keys of `[fleet]` on which the use of a bundle depends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BundleUse {
    /// The file that keeps shared overrides.
    pub(crate) state: PathBuf,
    /// True if the server takes no bundles.
    pub(crate) is_deaf: bool,
}

/// The use of bundles by a configuration, whose other problems do not count. `None` without `[fleet]`, or if it cannot be read.
pub(crate) fn bundle_use(path: &Path, intake: &Intake) -> Option<BundleUse> {
    let sources = sources(path, intake).ok()?;
    let spec = Spec::read(Table::document(spec::parse(&sources).ok()?.iter()));
    let fleet = spec.fleet.as_ref()?;
    let control = spec.control.as_ref();
    let beside = || Some(path_of(control?.state.as_ref()?)?.with_file_name(STATE_NAME));
    let state = fleet.state.as_ref().and_then(path_of).or_else(beside)?;
    Some(BundleUse { state, is_deaf: !fleet.rollout })
}

fn path_of(text: &PlacedText) -> Option<PathBuf> {
    value::word(&text.value).ok().map(|path| folder_of(text).join(&*path))
}

/// Reads the files of a configuration, the main one first.
fn sources(path: &Path, intake: &Intake) -> Result<Vec<ConfigSource>, Vec<Diagnostic>> {
    let mut sources = vec![source::read_main(path, intake)?];
    let patterns = spec::patterns(&spec::parse(&sources)?);
    let included = source::read_included(&sources[0], &patterns, intake)?;
    sources.extend(included);
    Ok(sources)
}

/// The shared parts of a tree as TOML: a header for each table or named entry, and a line for each key.
fn shared_text(tree: &DeTable<'_>) -> String {
    let mut text = String::new();
    let is_shared = |name: &str| SHARED.contains(&name);
    for (name, value) in tree.iter().filter(|(name, _)| is_shared(name.get_ref())) {
        let name: &str = name.get_ref();
        let (own, own_of_each) = own_keys(name);
        match value.get_ref() {
            DeValue::Array(tables) => {
                tables.iter().for_each(|table| put_table(&mut text, &format!("[[{name}]]"), table.get_ref(), &[]))
            }
            DeValue::Table(entries) if is_of_names(name) => {
                for (key, entry) in entries.iter() {
                    put_table(&mut text, &format!("[{name}.{}]", quoted(key.get_ref())), entry.get_ref(), own_of_each);
                }
            }
            // One zone may be written as a table.
            other if name == "zone" => put_table(&mut text, "[[zone]]", other, &[]),
            other => put_table(&mut text, &format!("[{name}]"), other, own),
        }
    }
    text
}

fn is_of_names(table: &str) -> bool {
    Spec::PART.rows.iter().any(|row| row.name == table && matches!(row.kind, KeyType::Names(_)))
}

fn put_table(text: &mut String, header: &str, value: &DeValue<'_>, without: &[&str]) {
    let _ = writeln!(text, "{header}");
    let DeValue::Table(table) = value else { return };
    for (key, value) in table.iter().filter(|(key, _)| !without.contains(&&**key.get_ref())) {
        let _ = write!(text, "{} = ", quoted(key.get_ref()));
        put_value(text, value.get_ref(), false);
        text.push('\n');
    }
    text.push('\n');
}

/// Writes a value. A list with tables has a line for each of these if it is no part of another value, because a diagnostic shows one
/// line.
fn put_value(text: &mut String, value: &DeValue<'_>, is_part: bool) {
    let _ = match value {
        DeValue::String(written) => write!(text, "{}", string(written)),
        DeValue::Integer(written) => write!(text, "{written}"),
        DeValue::Float(written) => write!(text, "{written}"),
        DeValue::Boolean(flag) => write!(text, "{flag}"),
        DeValue::Datetime(date) => write!(text, "{date}"),
        DeValue::Array(list) => {
            let has_tables = list.iter().any(|value| matches!(value.get_ref(), DeValue::Table(_)));
            let is_long = has_tables && !is_part;
            text.push('[');
            for (at, value) in list.iter().enumerate() {
                text.push_str(match (is_long, at) {
                    (true, _) => "\n  ",
                    (false, 0) => "",
                    (false, _) => ", ",
                });
                put_value(text, value.get_ref(), true);
                text.push_str(if is_long { "," } else { "" });
            }
            text.push_str(if is_long { "\n]" } else { "]" });
            Ok(())
        }
        DeValue::Table(table) => {
            text.push_str("{ ");
            for (at, (key, value)) in table.iter().enumerate() {
                let comma = if at == 0 { "" } else { ", " };
                let _ = write!(text, "{comma}{} = ", quoted(key.get_ref()));
                put_value(text, value.get_ref(), true);
            }
            text.push_str(" }");
            Ok(())
        }
    };
}

/// A key, in quotes if it needs these.
fn quoted(key: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !key.is_empty() && key.bytes().all(is_bare) { key.to_string() } else { string(key) }
}

/// A basic string of TOML.
fn string(value: &str) -> String {
    let mut text = String::from("\"");
    for letter in value.chars() {
        match letter {
            '"' | '\\' => text.extend(['\\', letter]),
            letter if letter.is_control() => drop(write!(text, "\\u{:04X}", u32::from(letter))),
            letter => text.push(letter),
        }
    }
    text + "\""
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;

    /// The tree of a text as shared parts.
    fn shared(text: &str) -> String {
        let reader = ConfigReader::new("pharos.toml".into(), text, Spec::PART);
        shared_text(&reader.parse().unwrap_or_else(|_| panic!("{text}")).1)
    }

    #[test]
    fn the_shared_parts_of_everything_are_themselves_and_have_no_own_keys() {
        let once = shared(include_str!("../../tests/check/everything.toml"));
        assert_eq!(shared(&once), once);
        for own in ["[dns]", "[keys", "[control]", "[fleet]", "[acme]", "[admin]", "acme =", "listen =", "log-clients"]
        {
            assert!(!once.contains(own), "{own} in {once}");
        }
        for kept in ["[[zone]]", "[networks.", "[mirrors.", "[horizons.", "[guard]", "[probe]", "[registry]"] {
            assert!(once.contains(kept), "{kept} in {once}");
        }
    }

    #[test]
    fn odd_texts_are_written_so_that_they_read_back() {
        let odd = "[mirrors.'a b']\nx = \"q\\\"b\\\\ \\u0007 ü\"\n'k \"' = [1, 0x1F, 1.5, true, 1979-05-27, [], {}]\n\
                   [[zone]]\nname = 'a'\n[zone.x]\ny.z = 1\n[[zone.steer]]\nowner = '@'\n";
        let once = shared(odd);
        assert_eq!(shared(&once), once);
        let values = |text: &str| toml::from_str::<toml::Value>(text).unwrap();
        assert_eq!(values(&once), values(odd));
    }

    #[test]
    fn a_layer_gives_the_shared_parts_and_the_machine_its_own() {
        const ZONE: &str = "[[zone]]\nname = \"a.example\"\nfile = \"zone\"\n";
        let local = format!(
            "{ZONE}[dns]\nlisten = \"127.0.0.1:0\"\n[registry]\nlisten = \"127.0.0.1:1\"\ncanonical = \"https://old.example\"\n\
             [probe]\nname = \"old.example\"\nstate = \"probes\"\n[mirrors.m]\naddresses = \"192.0.2.1\"\n"
        );
        let bundle = "[[zone]]\nname = \"b.example\"\nfile = \"sub/zone\"\nsteer = [{ owner = \"@\", horizon = \"h\" }]\n\
                      [registry]\ncanonical = \"https://new.example\"\nblobs = \"https://b.example\"\n\
                      [probe]\nname = \"b.example\"\n[mirrors.m]\naddresses = \"192.0.2.2\"\n[horizons.h]\ndefault = [\"m\"]\n";
        let read = |local: &str| {
            let texts = vec![(PathBuf::from("/etc/pharos/pharos.toml"), bundle.to_string())];
            let layer = Layer { name: "bundle 0123".into(), texts, files: BTreeMap::new() };
            let intake = Intake::under(Arc::new(layer));
            super::super::read_texts("/etc/pharos/pharos.toml", local, &intake, |_| Ok(Vec::new())).unwrap().config
        };
        let config = read(&local);
        let zone = config.zones[0].file.as_ref().unwrap();
        assert_eq!((config.zones.len(), &*zone.path), (1, Path::new("/etc/pharos/sub/zone")));
        assert_eq!(&*zone.place.file, "/etc/pharos/pharos.toml (bundle 0123)");
        let registry = config.registry.unwrap();
        assert_eq!((registry.listen[0].port(), registry.canonical.host()), (1, "new.example"));
        let probe = config.probe.unwrap();
        assert_eq!((&*probe.name, probe.state.as_deref()), ("b.example", Some(Path::new("/etc/pharos/probes"))));
        assert_eq!(config.mirrors[0].mirror.v4.len(), 1);
        // A machine without a listener gets none.
        assert!(read(&format!("{ZONE}[dns]\nlisten = \"127.0.0.1:0\"\n")).registry.is_none());
    }
}
