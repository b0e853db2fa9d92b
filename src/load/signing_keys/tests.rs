//! Key files in memory, and lists of keys as operators write them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::*;
use crate::base::name::name;
use crate::config;
use crate::files::Intake;
use crate::zone::{KeyState, key_tag};

/// Files by name, the key files of zone `example` among them.
#[derive(Default)]
struct Folder(BTreeMap<PathBuf, Vec<u8>>);

impl Folder {
    fn add(&mut self, name: &str, text: impl Into<Vec<u8>>) {
        self.0.insert(name.into(), text.into());
    }

    /// Makes a key, and returns its name.
    fn generate(&mut self, algorithm: u8, role: KeyRole) -> String {
        let (key, private) = RingKey::generate(algorithm).unwrap();
        let dnskey = dnskey(flags(role), &key);
        let base = format!("Kexample.+{algorithm:03}+{:05}", key_tag(&dnskey));
        let [public, private] = pair::written(&name("example"), &dnskey, &private, "20261231235959");
        self.add(&format!("{base}.key"), public);
        self.add(&format!("{base}.private"), private);
        base
    }

    /// The keys of a zone with this `dnssec`.
    fn read(&self, dnssec: &str) -> Result<SigningTerms, Vec<Diagnostic>> {
        self.read_with_warnings(dnssec).map(|(terms, _)| terms)
    }

    fn read_with_warnings(&self, dnssec: &str) -> Result<(SigningTerms, Vec<&'static str>), Vec<Diagnostic>> {
        let text = format!("[[zone]]\nname = 'example'\nfile = 'zone'\ndnssec = {dnssec}\n");
        let files = self.0.iter().map(|(name, text)| (name.clone(), text.clone()));
        let files = files.chain([("pharos.toml".into(), text.into_bytes())]).collect();
        let config = config::read_inputs(Path::new("pharos.toml"), &Intake::of_memory(files))?.config;
        let (all, warnings) = read(&config.zones)?;
        let terms = all.into_iter().next().flatten().unwrap();
        Ok((Arc::unwrap_or_clone(terms), warnings.iter().map(|warning| warning.code).collect()))
    }

    fn codes(&self, dnssec: &str) -> Vec<&'static str> {
        match self.read_with_warnings(dnssec) {
            Ok((_, warnings)) => warnings,
            Err(problems) => problems.iter().map(|problem| problem.code).collect(),
        }
    }

    /// The message of the only problem.
    fn message(&self, dnssec: &str) -> String {
        let problems = self.read(dnssec).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].help.is_some() && problems[0].place.is_some(), "{problems:?}");
        problems[0].message.clone()
    }
}

#[test]
fn a_pair_is_named_by_its_base_or_either_file_and_has_the_role_of_its_flags() {
    let mut folder = Folder::default();
    for (algorithm, role) in [(13, KeyRole::Csk), (15, KeyRole::Csk)] {
        let base = folder.generate(algorithm, role);
        for named in [base.clone(), format!("{base}.key"), format!("{base}.private")] {
            let terms = folder.read(&format!("{{ keys = ['{named}'] }}")).unwrap();
            let key = &terms.keys[0];
            assert_eq!((key.algorithm(), key.role, key.state, key.has_ds), (algorithm, role, KeyState::Active, false));
            assert!(base.ends_with(&format!("+{:05}", key.tag())));
        }
    }
    let [ksk, zsk] = [KeyRole::Ksk, KeyRole::Zsk].map(|role| folder.generate(13, role));
    let terms = folder
        .read(&format!("{{ validity = '1h', keys = [{{ file = '{ksk}', role = 'ksk', ds = true }}, '{zsk}'] }}"))
        .unwrap();
    let roles: Vec<_> = terms.keys.iter().map(|key| (key.role, key.has_ds)).collect();
    assert_eq!(roles, [(KeyRole::Ksk, true), (KeyRole::Zsk, false)]);
    assert_eq!((terms.validity_secs, terms.deletes_ds), (3600, false));
}

#[test]
fn a_pem_file_is_a_csk_unless_it_has_another_role() {
    let mut folder = Folder::default();
    // `openssl genpkey -algorithm ED25519`
    folder.add("ed.pem", ED25519_PEM);
    let csk = folder.read("{ keys = ['ed.pem'] }").unwrap();
    assert_eq!((csk.keys[0].role, &csk.keys[0].dnskey[..4]), (KeyRole::Csk, &[1, 1, 3, 15][..]));
    let split = folder.generate(15, KeyRole::Ksk);
    let zsk = folder
        .read(&format!("{{ keys = [{{ file = 'ed.pem', role = 'zsk' }}, {{ file = '{split}', role = 'ksk' }}] }}"));
    assert_eq!(&zsk.unwrap().keys[0].dnskey[..4], &[1, 0, 3, 15]);
}

const ED25519_PEM: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
";

#[test]
fn files_that_are_no_keys_of_the_zone_are_refused_with_the_reason() {
    let mut folder = Folder::default();
    let base = folder.generate(13, KeyRole::Csk);
    let public = String::from_utf8(folder.0[Path::new(&format!("{base}.key"))].clone()).unwrap();
    let private = String::from_utf8(folder.0[Path::new(&format!("{base}.private"))].clone()).unwrap();
    let said = |public: &str, private: &str| {
        let mut folder = Folder::default();
        folder.add(&format!("{base}.key"), public);
        folder.add(&format!("{base}.private"), private);
        folder.message(&format!("{{ keys = ['{base}'] }}")).replace(&base, "K")
    };
    let edited = |from: &str, to: &str| said(&public.replace(from, to), &private);
    assert_eq!(edited("example.", "other."), "key `K.key` cannot sign zone `example`: it is a key of zone `other`");
    assert_eq!(edited("257 3", "385 3"), "key `K.key` cannot sign zone `example`: it is revoked (RFC 5011)");
    assert_eq!(edited("257 3", "1 3"), "key `K.key` cannot sign zone `example`: the flags of its DNSKEY record are 1");
    assert_eq!(edited("257 3", "257 2"), "key `K.key` cannot sign zone `example`: its DNSKEY record is damaged");
    assert_eq!(edited("3 13", "3 8"), "key `K.key` cannot sign zone `example`: its algorithm is 8 (RSA)");
    assert_eq!(
        edited("IN DNSKEY 257 3 13", "IN TYPE65280 \\# 0 ;"),
        "key `K.key` cannot sign zone `example`: the file has no DNSKEY record"
    );
    assert!(said(&public.repeat(2), &private).ends_with("the file has 2 records, not one"));
    assert!(edited("DNSKEY", "DNSKY").ends_with("line 1 of the file is not a DNSKEY record"));
    // Two halves in one file.
    assert!(!said(&format!("{public}{private}"), &private).contains("PrivateKey"));
    let edited = |from: &str, to: &str| said(&public, &private.replace(from, to));
    assert!(edited("Private-key-format", "").ends_with("the file does not begin with `Private-key-format: v1.`"));
    assert!(edited("PrivateKey: ", "PrivateKey: !").ends_with("its field `PrivateKey` is missing or damaged"));
    assert!(edited("Algorithm", "Rhythm").ends_with("its field `Algorithm` is missing or damaged"));
    assert!(edited("PrivateKey", "Label: x\nPrivateKey").ends_with("its private key is on a hardware module"));
    let (_, other) = RingKey::generate(13).unwrap();
    let other = data_encoding::BASE64.encode(&other);
    let message = said(&public, &format!("Private-key-format: v1.3\nAlgorithm: 13 (x)\nPrivateKey: {other}\n"));
    assert!(message.ends_with("its private key does not belong to its public one"));
    assert!(
        said(&public, "Private-key-format: v1.2\nAlgorithm: 8 (RSASHA256)\nModulus: AAAA\n")
            .ends_with("its algorithm is 8 (RSA)")
    );
}

#[test]
fn pem_files_of_other_kinds_are_refused_with_the_reason() {
    let said = |text: &str| {
        let mut folder = Folder::default();
        folder.add("k.pem", text);
        let problems = folder.read("{ keys = ['k.pem'] }").unwrap_err();
        assert_eq!(problems[0].code, "bad-signing-key");
        let message = problems[0].message.strip_prefix("key `k.pem` cannot sign zone `example`: ").unwrap().to_string();
        (message, problems[0].help.clone().unwrap())
    };
    assert_eq!(said("").0, "it is neither PEM nor named as BIND names keys");
    let (message, help) = said(&ED25519_PEM.replace("PRIVATE", "EC PRIVATE"));
    assert_eq!(message, "the PEM file has `EC PRIVATE KEY`, not `PRIVATE KEY`");
    assert!(help.contains("openssl pkcs8 -topk8"), "{help}");
    assert_eq!(said(&ED25519_PEM.replace("PRIVATE", "ENCRYPTED PRIVATE")).0, "it is encrypted");
    assert_eq!(said(&ED25519_PEM.replace("MC4C", "M!4C")).0, "the PEM file is damaged");
    // The identifier of X25519 instead of that of Ed25519.
    assert_eq!(said(&ED25519_PEM.replace("K2Vw", "K2Vu")).0, "it is of an unknown algorithm, or damaged");
    assert_eq!(said(&ED25519_PEM.replace("K2Vw", "K2Vx")).0, "it is an Ed448 key");
    assert!(said("Private-key-format: v1.3\n").0.starts_with("it is a file of BIND's form"));
}

#[test]
fn a_key_whose_file_is_missing_is_an_error_at_its_place() {
    let mut folder = Folder::default();
    let base = folder.generate(13, KeyRole::Csk);
    folder.0.remove(Path::new(&format!("{base}.private")));
    let problems = folder.read(&format!("{{ keys = ['{base}'] }}")).unwrap_err();
    assert_eq!(problems[0].code, "unreadable-key");
    assert!(problems[0].help.as_ref().unwrap().contains("off line"));
    assert_eq!(folder.codes("{ keys = ['k.pem'] }"), ["unreadable-key"]);
}

#[test]
fn keys_that_do_not_sign_the_whole_zone_together_are_problems() {
    let mut folder = Folder::default();
    let [csk, other] = [(); 2].map(|()| folder.generate(13, KeyRole::Csk));
    let [ksk, zsk] = [KeyRole::Ksk, KeyRole::Zsk].map(|role| folder.generate(13, role));
    let [csk15, zsk15] = [KeyRole::Csk, KeyRole::Zsk].map(|role| folder.generate(15, role));
    let codes = |keys: &[(&str, &str)]| {
        let keys: Vec<String> = keys.iter().map(|(file, more)| format!("{{ file = '{file}'{more} }}")).collect();
        folder.codes(&format!("{{ keys = [{}] }}", keys.join(", ")))
    };
    const NONE: [&str; 0] = [];
    let (published, retired, is_ksk) = (", state = 'published'", ", state = 'retired'", ", role = 'ksk'");
    assert_eq!(codes(&[(&csk, ""), (&other, "")]), NONE, "both sign: a roll-over by double signatures");
    assert_eq!(codes(&[(&csk, ""), (&other, published)]), NONE);
    assert_eq!(codes(&[(&csk, published)]), ["no-active-key"]);
    assert_eq!(codes(&[(&ksk, is_ksk)]), ["no-active-key"]);
    assert_eq!(codes(&[(&ksk, is_ksk), (&zsk, retired)]), ["no-active-key"]);
    assert_eq!(codes(&[(&zsk, ""), (&ksk, is_ksk)]), NONE);
    assert_eq!(codes(&[(&zsk, ", ds = true"), (&ksk, is_ksk)]), ["ds-of-zsk"]);
    // RFC 4035 §2.2.
    assert_eq!(codes(&[(&csk, ""), (&csk15, "")]), NONE);
    assert_eq!(codes(&[(&csk, ""), (&csk15, published)]), ["partial-algorithm"]);
    assert_eq!(codes(&[(&csk, ""), (&zsk15, "")]), ["partial-algorithm"]);
    let split = format!("{{ keys = [{{ file = '{ksk}', role = 'ksk' }}, '{zsk15}'] }}");
    assert!(
        folder
            .read(&split)
            .unwrap_err()
            .iter()
            .any(|problem| problem.code == "partial-algorithm" && problem.is_error())
    );
    // RFC 7583.
    assert_eq!(codes(&[(&csk, ", state = 'retired', ds = true"), (&other, "")]), ["retired-entry-point"]);
    assert_eq!(codes(&[(&csk, ", state = 'retired', ds = true"), (&other, ", ds = true")]), NONE);
    assert_eq!(codes(&[(&ksk, ", role = 'ksk', state = 'retired'"), (&zsk, "")]), ["retired-entry-point"]);
    let delete = format!("{{ keys = ['{zsk}'], delete-ds = true }}");
    assert_eq!(folder.codes(&delete), ["unsigned-cds"]);
}

#[test]
fn one_key_under_two_names_is_an_error() {
    let mut folder = Folder::default();
    folder.add("one.pem", ED25519_PEM);
    folder.add("two.pem", ED25519_PEM);
    assert_eq!(folder.codes("{ keys = ['one.pem', 'two.pem'] }"), ["repeated-key"]);
}
