//! `[dnssec]`, and `dnssec` of a zone: the keys that sign it, their roles and states, and the validity of signatures.
//!
//! **Invariants**: a [`SigningConfig`] has a key at least, unless a problem of its keys was reported.
//! **Not here**: the contents of key files and the rules for the keys of a zone ([`crate::load`]), signing ([`crate::zone`]).

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use super::check::{Check, optional};
use super::field::{Field, Section, limit, section};
use super::reader::ConfigReader;
use super::row::{KeyRow, Tables, days, duration, file, flag, same, secs, tables, text};
use super::table::Table;
use super::{FileUse, InputFile, Placed, PlacedText, limits};
use crate::base::diagnostic::{Diagnostic, Place, did_you_mean};
use crate::base::words::Worded;
use crate::zone::{KeyRole, KeyState};

/// The ends of the names of a key's two files in BIND's form.
const PUBLIC_END: &str = ".key";
const PRIVATE_END: &str = ".private";

section! {
    /// `[dnssec]` as written.
    pub(super) struct DnssecSpec: "[dnssec]" {
        /// File that keeps signatures across restarts.
        ///
        /// Without it, a start signs all zones anew, which takes a second for each 50,000 RRsets.
        state: Option<PlacedText> = file("state", FileUse::Signatures)
            .otherwise("not kept")
            .restart_unless(same!(config => config.signatures.as_ref()))
            .example("\"/var/lib/pharos/dnssec\""),
    }
}

section! {
    /// `dnssec` of a zone as written.
    pub(super) struct SigningSpec: "dnssec" {
        /// Keys of the zone. A path alone stands for a table with `file`.
        keys: SigningKeySpecs = tables::<SigningKeySpec>("keys", limits::MAX_SIGNING_KEYS)
            .required_or("add `keys = [\"keys/KZONE+013+12345\"]`: `pharos key generate ZONE` makes one")
            .example("[{ file = \"keys/Kblob.example.com.+013+12345\", ds = true }]"),

        /// Time from the start of a signature's window to its expiration. A new window begins every quarter of it.
        ///
        /// Two weeks, the default of BIND and Knot DNS: a server that cannot sign has ten days to be repaired, and a stolen answer is
        /// of use for two weeks at most.
        validity: Duration = duration("validity", secs(30)..=days(365)).default(days(14)).example("\"7d\""),

        /// With `true`, the CDS and CDNSKEY records ask the parent to remove the DS records of the zone (RFC 8078).
        ///
        /// Only if written, because the zone is then no longer secure.
        delete_ds: bool = flag("delete-ds").default(false).example("true"),
    }
}

section! {
    /// One of the keys of a zone as written.
    pub(super) struct SigningKeySpec: "keys" then name_key_files {
        /// Private key: BIND's pair of files, by their common name or one of the two (`….key`, `….private`), or a PEM file with
        /// a PKCS #8 key. Algorithms 13 (ECDSA P-256) and 15 (Ed25519). A reload reads it again.
        file: Option<PlacedText> = text("file", "path").required().example("\"keys/Kblob.example.com.+013+12345\""),

        /// RRsets that the key signs: `"ksk"` the DNSKEY, CDS and CDNSKEY RRsets, `"zsk"` all others, `"csk"` both.
        role: Option<PlacedText> = text("role", "`\"csk\"`, `\"ksk\"` or `\"zsk\"`")
            .otherwise("by the flags of the key: `csk` with 257, `zsk` with 256; `csk` of PEM, which has none")
            .example("\"ksk\""),

        /// State of the key: `"published"` and `"retired"` keys are in the DNSKEY RRset and sign no data.
        state: Option<PlacedText> = text("state", "`\"published\"`, `\"active\"` or `\"retired\"`").default("active").example("\"published\""),

        /// With `true`, CDS and CDNSKEY records ask the parent for a DS record of the key (RFC 7344).
        ///
        /// Off by default, because a parent that follows them changes the chain of trust.
        ds: bool = flag("ds").default(false).example("true"),
    }
}

/// The keys of a zone as written.
#[derive(Debug)]
pub(super) struct SigningKeySpecs(Vec<SigningKeySpec>);

impl Field<Tables<SigningKeySpec>> for SigningKeySpecs {
    fn take(table: &mut Table<'_, '_>, key: &KeyRow<Tables<SigningKeySpec>>) -> Self {
        let row = key.row();
        let Some(value) = table.value(&row) else { return SigningKeySpecs(Vec::new()) };
        let elements = limit(table.reader, value.not_empty(), limits::MAX_SIGNING_KEYS, "keys");
        let title = format!("a key of {}", table.title);
        let read = elements.iter().filter_map(|element| {
            if element.is_table() {
                return Some(SigningKeySpec::read(Table::of(element, &*title)?));
            }
            let file = element.text()?;
            name_pair_or_file(&file, table.reader);
            Some(SigningKeySpec { file: Some(file), ..Section::absent(element.place()) })
        });
        SigningKeySpecs(read.collect())
    }
}

fn name_key_files(spec: &SigningKeySpec, table: &Table<'_, '_>) {
    if let Some(file) = &spec.file {
        name_pair_or_file(file, table.reader);
    }
}

fn name_pair_or_file(file: &PlacedText, reader: &ConfigReader<'_>) {
    match pair(file) {
        Some(pair) => pair.iter().for_each(|file| reader.name_file(FileUse::SigningKey, file)),
        None => reader.name_file(FileUse::SigningKey, file),
    }
}

/// The files of a key in BIND's form, the public one first. `None` for a path that has not the name of such a key.
fn pair(file: &PlacedText) -> Option<[PlacedText; 2]> {
    let written = &*file.value;
    let base = written.strip_suffix(PRIVATE_END);
    let has_tag = |base: &&str| {
        let digits = |text: &str, len: usize| text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit());
        let mut parts = base.rsplit('+');
        parts.next().is_some_and(|tag| digits(tag, 5)) && parts.next().is_some_and(|algorithm| digits(algorithm, 3))
    };
    let base = base.or_else(|| Some(written.strip_suffix(PUBLIC_END).unwrap_or(written)).filter(has_tag))?;
    Some(
        [PUBLIC_END, PRIVATE_END].map(|end| Placed { value: format!("{base}{end}").into(), place: file.place.clone() }),
    )
}

/// `dnssec` of a zone: it is signed here.
#[derive(Clone, Debug)]
pub(crate) struct SigningConfig {
    /// The keys.
    pub(crate) keys: Vec<SigningKeyConfig>,
    /// The time from the start of a signature's window to its expiration.
    pub(crate) validity: Duration,
    /// True if the parent is asked to remove the DS records of the zone.
    pub(crate) deletes_ds: bool,
    /// The place of the table.
    pub(crate) place: Place,
}

/// A key of a zone that is signed here.
#[derive(Clone, Debug)]
pub(crate) struct SigningKeyConfig {
    /// The files that hold it.
    pub(crate) files: KeyFiles,
    /// Its role. `None` takes the one of its flags.
    pub(crate) role: Option<KeyRole>,
    /// Its state.
    pub(crate) state: KeyState,
    /// True if the parent is asked for a DS record of it.
    pub(crate) has_ds: bool,
    /// The place of its path.
    pub(crate) place: Place,
}

/// The files of a key.
#[derive(Clone, Debug)]
pub(crate) enum KeyFiles {
    /// BIND's pair.
    Pair {
        /// The DNSKEY record.
        public: InputFile,
        /// The private key.
        private: InputFile,
    },
    /// A PEM file with a PKCS #8 key.
    Pem(InputFile),
}

impl Check<'_> {
    /// `dnssec` of a zone, and `unsigned` of the same.
    pub(super) fn check_signing(&mut self, spec: &SigningSpec, unsigned: bool) -> SigningConfig {
        let place = spec.table.place.clone();
        if unsigned {
            self.report(
                Diagnostic::error("signed-and-unsigned", "the zone has `dnssec` and `unsigned = true`")
                    .at(place.clone(), "signed here")
                    .help("remove `unsigned`: with `dnssec`, the signatures of the file are left out anyway"),
            );
        }
        if let Some(key) = spec.keys.0.iter().find(|key| key.ds && spec.delete_ds) {
            self.report(
                Diagnostic::error("ds-and-delete", "the zone asks for a DS record and for the removal of all")
                    .at(key.table.place.clone(), "`ds = true`, beside `delete-ds = true`")
                    .help("remove one of the two"),
            );
        }
        let mut first: HashMap<PathBuf, Place> = HashMap::new();
        let keys = spec.keys.0.iter().filter_map(|key| self.check_signing_key(key, &mut first)).collect();
        SigningConfig { keys, validity: spec.validity, deletes_ds: spec.delete_ds, place }
    }

    fn check_signing_key(
        &mut self,
        spec: &SigningKeySpec,
        first: &mut HashMap<PathBuf, Place>,
    ) -> Option<SigningKeyConfig> {
        let role = optional(spec.role.as_ref(), |text| self.check_word(text, "unknown-role", "role of a key", "roles"));
        let state = match &spec.state {
            Some(text) => self.check_word(text, "unknown-state", "state of a key", "states"),
            None => Some(KeyState::Active),
        };
        let file = spec.file.as_ref()?;
        let files = match pair(file) {
            Some([public, private]) => KeyFiles::Pair {
                public: self.input(&public, FileUse::SigningKey)?,
                private: self.input(&private, FileUse::SigningKey)?,
            },
            None => KeyFiles::Pem(self.input(file, FileUse::SigningKey)?),
        };
        let (KeyFiles::Pair { private, .. } | KeyFiles::Pem(private)) = &files;
        if let Some(first) = first.insert(private.path.clone(), file.place.clone()) {
            self.report(repeated_key(&private.file, &file.place, &first));
        }
        Some(SigningKeyConfig { files, role: role?, state: state?, has_ds: spec.ds, place: file.place.clone() })
    }

    fn check_word<T: Worded>(&mut self, text: &PlacedText, code: &'static str, kind: &str, plural: &str) -> Option<T> {
        let found = T::parse(&text.value);
        if found.is_none() {
            let known = T::ALL.iter().map(|word| word.word());
            self.report(
                Diagnostic::error(code, format!("`{}` is not the {kind}", text.value))
                    .at(text.place.clone(), "unknown")
                    .help(did_you_mean(&text.value, plural, known)),
            );
        }
        found
    }
}

/// The problem of a key that a zone has twice.
pub(crate) fn repeated_key(file: &str, place: &Place, first: &Place) -> Diagnostic {
    Diagnostic::error("repeated-key", format!("key `{file}` is twice in one list"))
        .at(place.clone(), "named again")
        .related(first.clone(), "first named here")
        .help("remove one of the two")
}
