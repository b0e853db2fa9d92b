//! The keys that differ between two configurations as written, for the answer to a reload.
//!
//! Only digests of values are kept, because a configuration may hold secrets.
//!
//! **Invariants**: comments, places, the order of keys and the division into files are no difference.
//! **Not here**: the differences of zones, networks, mirrors and horizons by name ([`crate::inspect`]), the keys that take a
//! restart ([`super::needs_restart`]).

use std::collections::BTreeMap;

use ring::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use toml::de::{DeTable, DeValue};

use super::Config;
use super::reader::ParsedText;
use super::row::{KeyTable, KeyType};

/// The tables with names of the operator, or of a list, and the word that begins a sentence about an entry of each.
const COLLECTIONS: [(&str, &str); 4] =
    [("[[zone]]", "zone "), ("[networks]", "network "), ("[mirrors]", "mirror "), ("[horizons]", "horizon ")];

/// The written keys as messages name them, such as `[dnstap] clients`, with the digests of their values. A table is a key too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WrittenKeys(BTreeMap<String, [u8; SHA256_OUTPUT_LEN]>);

impl WrittenKeys {
    /// The keys of the main file and of those that it includes.
    pub(super) fn of<'r, 't: 'r>(documents: impl Iterator<Item = &'r ParsedText<'t>>) -> Self {
        let mut digested: BTreeMap<String, Context> = BTreeMap::new();
        for (reader, tree) in documents {
            add_keys(tree, KeyTable { title: "", rows: reader.rows() }, &mut digested);
        }
        let finish = |(key, context): (String, Context)| {
            let mut bytes = [0; SHA256_OUTPUT_LEN];
            bytes.copy_from_slice(context.finish().as_ref());
            (key, bytes)
        };
        WrittenKeys(digested.into_iter().map(finish).collect())
    }
}

/// A sentence for each written key that differs. Left out are those that `restart_keys` names, and collections of which
/// `told` has sentences about entries.
pub(crate) fn changed_keys(before: &Config, now: &Config, told: &[String], restart_keys: &[String]) -> Vec<String> {
    let (WrittenKeys(before), WrittenKeys(now)) = (&before.written, &now.written);
    let is_told = |key: &str| {
        let collection = COLLECTIONS.iter().find(|(title, _)| *title == key);
        collection.is_some_and(|(_, word)| told.iter().any(|sentence| sentence.starts_with(word)))
            || restart_keys.iter().any(|told| told == key || table_of(key) == Some(told))
    };
    // A table that is new or gone stands for its keys.
    let is_whole = |key: &str| table_of(key).is_none_or(|table| before.contains_key(table) == now.contains_key(table));
    let mut all: BTreeMap<&String, &str> = BTreeMap::new();
    for (key, digest) in now {
        match before.get(key) {
            Some(old) if old == digest => {}
            Some(_) => drop(all.insert(key, "changed")),
            None => drop(all.insert(key, "added")),
        }
    }
    all.extend(before.keys().filter(|key| !now.contains_key(*key)).map(|key| (key, "removed")));
    let told = all.into_iter().filter(|(key, _)| is_whole(key) && !is_told(key));
    told.map(|(key, word)| format!("`{key}`: {word}")).collect()
}

/// The table that a key of a table is in: `[dnstap]` of `[dnstap] clients`.
fn table_of(key: &str) -> Option<&str> {
    key.split_once("] ").map(|(table, _)| &key[..=table.len()])
}

fn add_keys(tree: &DeTable<'_>, part: KeyTable, digested: &mut BTreeMap<String, Context>) {
    for (key, value) in tree {
        let name: &str = key.get_ref();
        let kind = part.rows.iter().find(|row| row.name == name).map(|row| row.kind);
        let title = match kind {
            Some(KeyType::Table(inner)) if inner.title.starts_with('[') => inner.title.to_string(),
            Some(KeyType::Tables { .. }) if part.title.is_empty() => format!("[[{name}]]"),
            Some(KeyType::Names(_)) if part.title.is_empty() => format!("[{name}]"),
            _ if part.title.is_empty() => name.to_string(),
            _ => format!("{} {name}", part.title),
        };
        let context = digested.entry(title).or_insert_with(|| Context::new(&SHA256));
        match (kind, value.get_ref()) {
            (Some(KeyType::Table(inner)), DeValue::Table(tree)) if inner.title.starts_with('[') => {
                add_keys(tree, inner, digested);
            }
            (_, value) => add_value(value, context),
        }
    }
}

/// Adds a value in a form that equal values alone share.
fn add_value(value: &DeValue<'_>, context: &mut Context) {
    let mut add = |kind: &str, text: &str| context.update(format!("{kind}{}:{text}", text.len()).as_bytes());
    match value {
        DeValue::String(text) => add("text", text),
        DeValue::Integer(number) => add("integer", &format!("{} {}", number.radix(), number.as_str())),
        DeValue::Float(number) => add("float", number.as_str()),
        DeValue::Boolean(flag) => add("flag", &flag.to_string()),
        DeValue::Datetime(time) => add("time", &time.to_string()),
        DeValue::Array(elements) => {
            add("list", &elements.len().to_string());
            elements.iter().for_each(|element| add_value(element.get_ref(), context));
        }
        DeValue::Table(tree) => {
            add("table", &tree.len().to_string());
            let sorted: BTreeMap<&str, &DeValue<'_>> =
                tree.iter().map(|(key, value)| (&**key.get_ref(), value.get_ref())).collect();
            for (key, value) in sorted {
                context.update(format!("{}:{key}", key.len()).as_bytes());
                add_value(value, context);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn read(text: &str) -> Config {
        let base = "[[zone]]\nname = \"a.example\"\nfile = \"zone\"\n";
        config::read("pharos.toml", &format!("{text}\n{base}")).unwrap().0
    }

    #[test]
    fn keys_are_named_as_the_file_has_them() {
        let changed = |before: &str, now: &str| changed_keys(&read(before), &read(now), &[], &[]);
        let tap = "[dnstap]\nsocket = \"a.sock\"\nsample = 2";
        assert_eq!(changed(tap, tap), [""; 0]);
        assert_eq!(changed("", tap), ["`[dnstap]`: added"]);
        assert_eq!(changed(tap, ""), ["`[dnstap]`: removed"]);
        let other = "# A comment.\n[dnstap]\nclients = \"none\"\nsample = 3\nsocket = \"a.sock\"";
        assert_eq!(changed(tap, other), ["`[dnstap] clients`: added", "`[dnstap] sample`: changed"]);
        assert_eq!(changed("", "allow = \"single-ns\""), ["`allow`: added"]);
        let limits = |rate: u8| format!("[dns]\n[dns.rrl]\nresponses-per-second = {rate}");
        assert_eq!(changed(&limits(10), &limits(11)), ["`[dns.rrl] responses-per-second`: changed"]);
    }

    #[test]
    fn a_change_is_told_once() {
        let changed = |told: &[&str], restart: &[&str]| {
            let strings = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
            let text = "[dns]\nlisten = \"127.0.0.1:5300\"\n[networks]\nx = { list = \"x.txt\" }";
            changed_keys(&read(""), &read(text), &strings(told), &strings(restart))
        };
        assert_eq!(changed(&[], &[]), ["`[dns]`: added", "`[networks]`: added"]);
        assert_eq!(changed(&["network x: added"], &["[dns]"]), [""; 0]);
    }
}
