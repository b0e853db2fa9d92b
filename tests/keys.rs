//! Keys and signed zones of other programs, and `pharos key`.

#![allow(missing_docs, reason = "a test binary has no readers from outside")]
#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected is to fail")]

mod common;

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::needs;
use common::server::Server;
use tempfile::TempDir;

const ZONE: &str = "$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 192.0.2.1\n*.w A 192.0.2.2\nsub NS ns.sub\nns.sub A 192.0.2.3\n";

/// Runs a program in a folder; it must succeed.
fn run(folder: &Path, program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).current_dir(folder).args(arguments).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{} {arguments:?}: {output:?}", program.display());
    String::from_utf8(output.stdout).unwrap()
}

fn pharos(folder: &Path, arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pharos"));
    command
        .current_dir(folder)
        .args(arguments.split(' '))
        .stdin(Stdio::null())
        .env_remove("PHAROS_CONFIG")
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The configuration of zone `blob.example` in `zone`.
fn configure(folder: &Path, more: &str) {
    let text = format!("[dns]\nlisten = '127.0.0.1:0'\n[[zone]]\nname = 'blob.example'\nfile = 'zone'\n{more}\n");
    fs::write(folder.join("pharos.toml"), text).unwrap();
}

/// A folder with the unsigned zone.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("zone"), ZONE).unwrap();
    folder
}

/// The DS record of a key by `pharos key ds`, without its comment.
fn ds(folder: &Path, key: &str) -> String {
    configure(folder, &format!("dnssec = {{ keys = [{{ file = '{key}', role = 'csk' }}] }}"));
    let output = pharos(folder, "key ds blob.example");
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap().split(" ;").next().unwrap().to_string()
}

/// The DS record of a key file by BIND.
fn ds_by_bind(folder: &Path, file: &str) -> Option<String> {
    let dsfromkey = needs::program("dnssec-dsfromkey", "bind9-utils")?;
    Some(run(folder, &dsfromkey, &["-2", file]).trim().to_string())
}

/// The only file of a folder with this end, without it.
fn base(folder: &Path, end: &str) -> String {
    let mut names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.find_map(|name| name.strip_suffix(end).map(str::to_string)).unwrap()
}

#[test]
fn keys_of_bind_and_ldns_have_the_same_ds_here() {
    for algorithm in ["ECDSAP256SHA256", "ED25519"] {
        for (program, package, options) in
            [("dnssec-keygen", "bind9-utils", ["-f", "KSK"]), ("ldns-keygen", "ldnsutils", ["-k", "-k"])]
        {
            let Some(keygen) = needs::program(program, package) else { return };
            let folder = folder();
            let path = folder.path();
            run(path, &keygen, &["-a", algorithm, options[0], options[1], "blob.example"]);
            let base = base(path, ".key");
            let Some(expected) = ds_by_bind(path, &format!("{base}.key")) else { return };
            for named in [base.clone(), format!("{base}.key"), format!("{base}.private")] {
                assert_eq!(ds(path, &named), expected, "{program} {algorithm}");
            }
        }
    }
}

#[test]
fn a_pem_key_of_openssl_has_the_same_ds_here() {
    let Some(openssl) = needs::program("openssl", "openssl") else { return };
    for (number, options) in
        [("13", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"][..]), ("15", &["-algorithm", "ED25519"])]
    {
        let folder = folder();
        let path = folder.path();
        run(path, &openssl, &[&["genpkey", "-out", "key.pem"], options].concat());
        run(path, &openssl, &["pkey", "-in", "key.pem", "-pubout", "-outform", "DER", "-out", "public.der"]);
        let public = fs::read(path.join("public.der")).unwrap();
        let len = if number == "13" { 64 } else { 32 };
        let public = data_encoding::BASE64.encode(&public[public.len() - len..]);
        fs::write(path.join("made.key"), format!("blob.example. IN DNSKEY 257 3 {number} {public}\n")).unwrap();
        let Some(expected) = ds_by_bind(path, "made.key") else { return };
        assert_eq!(ds(path, "key.pem"), expected);
        fs::set_permissions(path.join("key.pem"), fs::Permissions::from_mode(0o644)).unwrap();
        let checked = said(&pharos(path, "check"));
        assert!(
            checked.contains("warning[secrets-exposed]: every user of this machine may read `key.pem`"),
            "{checked}"
        );
    }
}

#[test]
fn a_key_of_knot_has_the_same_ds_here() {
    let Some(keymgr) = needs::program("keymgr", "knot-dnssecutils") else { return };
    for algorithm in ["ECDSAP256SHA256", "ED25519"] {
        let folder = folder();
        let path = folder.path();
        let by = |arguments: &[&str]| run(path, &keymgr, &[&["-D", "kasp", "blob.example"], arguments].concat());
        by(&["generate", &format!("algorithm={algorithm}"), "ksk=yes", "zsk=yes"]);
        let pem = base(&path.join("kasp/keys"), ".pem");
        let shown = by(&["ds", &pem]);
        // `blob.example. DS 12345 13 2 …`, with SHA-384 in another line.
        let expected = shown.lines().find(|line| line.split_whitespace().nth(4) == Some("2")).unwrap();
        let found = ds(path, &format!("kasp/keys/{pem}.pem"));
        assert_eq!(found.replace(" IN", "").to_ascii_lowercase(), expected.to_ascii_lowercase());
    }
}

#[test]
fn a_generated_key_signs_by_bind_and_ldns_and_the_zone_is_then_served_as_it_is() {
    for (algorithm, chain) in [("13", &[][..]), ("15", &["-3", "ab12", "-H", "0"])] {
        let folder = folder();
        let path = folder.path();
        let made = pharos(path, &format!("key generate blob.example --algorithm {algorithm}"));
        assert!(made.status.success(), "{}", said(&made));
        let base = format!("keys/{}", base(&path.join("keys"), ".private"));
        let private = path.join(format!("{base}.private"));
        assert_eq!(fs::metadata(&private).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(said(&made).contains(&format!("  \"{base}\"\n")), "{}", said(&made));
        let Some(expected) = ds_by_bind(path, &format!("{base}.key")) else { return };
        assert_eq!(ds(path, &base), expected);

        let Some(signzone) = needs::program("dnssec-signzone", "bind9-utils") else { return };
        let bind = ["-S", "-z", "-O", "full", "-K", "keys", "-o", "blob.example", "-f", "by-bind", "zone"];
        run(path, &signzone, &[chain, &bind].concat());
        let Some(ldns) = needs::program("ldns-signzone", "ldnsutils") else { return };
        let nsec3 = if chain.is_empty() { &[][..] } else { &["-n", "-s", "ab12", "-t", "0"] };
        run(path, &ldns, &[&["-o", "blob.example", "-f", "by-ldns"], nsec3, &["zone", &base]].concat());
        for signed in ["by-bind", "by-ldns"] {
            fs::copy(path.join(signed), path.join("zone")).unwrap();
            configure(path, "");
            let checked = pharos(path, "check");
            assert!(checked.status.success(), "{signed}: {}", said(&checked));
            // One signature less, as after an edit by hand.
            let text = fs::read_to_string(path.join("zone")).unwrap();
            let is_kept = |line: &&str| !line.split_whitespace().collect::<Vec<_>>().join(" ").contains(" RRSIG A ");
            let damaged: Vec<&str> = text.lines().filter(is_kept).collect();
            assert_eq!(damaged.len() + 2, text.lines().count(), "{signed}");
            fs::write(path.join("zone"), damaged.join("\n") + "\n").unwrap();
            let checked = pharos(path, "check");
            assert_eq!(checked.status.code(), Some(1));
            assert!(said(&checked).contains("error[half-signed]"), "{}", said(&checked));
        }
    }
}

#[test]
fn nothing_of_a_folder_is_replaced() {
    let folder = folder();
    let path = folder.path();
    let files = || -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(path.join("keys")).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    };
    for count in [2, 4, 6] {
        assert!(pharos(path, "key generate blob.example --role zsk").status.success());
        assert_eq!(files().len(), count);
    }
    fs::write(path.join("taken"), "").unwrap();
    let failed = pharos(path, "key generate blob.example --dir taken");
    assert!(failed.status.code() == Some(1) && said(&failed).contains("error[key-files]"), "{}", said(&failed));
}

#[test]
fn the_ds_records_of_the_parent_are_compared_with_the_keys() {
    let folder = folder();
    let path = folder.path();
    assert!(pharos(path, "key generate blob.example").status.success());
    assert!(pharos(path, "key generate blob.example --dir next").status.success());
    let key = format!("keys/{}", base(&path.join("keys"), ".private"));
    let next = format!("next/{}", base(&path.join("next"), ".private"));
    let (own, other) = (ds(path, &key), ds(path, &next));
    let parent = TempDir::new().unwrap();
    let check = |records: &[&str], keys: &str| {
        let zone = "$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 192.0.2.1\nblob NS ns.blob\nns.blob A 192.0.2.1\n";
        fs::write(parent.path().join("zone"), format!("{zone}{}\n", records.join("\n"))).unwrap();
        let text = "[dns]\nlisten = '127.0.0.1:0'\n[[zone]]\nname = 'example'\nfile = 'zone'\n";
        fs::write(parent.path().join("pharos.toml"), text).unwrap();
        let server = Server::start(&parent.path().join("pharos.toml"));
        configure(path, &format!("dnssec = {{ keys = [{keys}] }}"));
        let address = server.address(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let output = pharos(path, &format!("key ds blob.example --check --server {address}"));
        (output.status.code().unwrap(), said(&output))
    };
    let one = format!("'{key}'");
    let (code, text) = check(&[&own], &one);
    assert!(code == 0 && text.contains(": 1 DS record, as the keys are"), "{text}");
    let (code, text) = check(&[], &one);
    assert!(
        code == 1
            && text.contains(": no DS record, not as the keys are")
            && text.contains(&format!("give the parent `{own}`")),
        "{text}"
    );
    let (code, text) = check(&[&own, &other], &one);
    assert!(code == 1 && text.contains("extra: ") && text.contains("is of no key of the zone"), "{text}");
    let (code, text) = check(&[&own, &other], &format!("'{key}', {{ file = '{next}', state = 'published' }}"));
    assert_eq!(code, 0, "{text}");
    let (code, text) = check(&[&other], &format!("'{key}', {{ file = '{next}', state = 'published', ds = true }}"));
    assert_eq!(code, 0, "{text}");
    let damaged = own.split_at(own.len() - 4).0.to_string() + if own.ends_with("0000") { "1111" } else { "0000" };
    let (code, text) = check(&[&damaged], &one);
    assert!(code == 1 && text.contains("missing: ") && text.contains("different: "), "{text}");
}

#[test]
fn a_zone_whose_key_signing_key_is_kept_off_line_needs_its_keys_signed_in_the_file() {
    let Some(signzone) = needs::program("dnssec-signzone", "bind9-utils") else { return };
    let folder = folder();
    let path = folder.path();
    assert!(pharos(path, "key generate blob.example --role ksk --dir offline").status.success());
    assert!(pharos(path, "key generate blob.example --role zsk").status.success());
    let zsk = format!("keys/{}", base(&path.join("keys"), ".private"));
    let check = || {
        configure(path, &format!("dnssec = {{ keys = ['{zsk}'] }}"));
        let output = pharos(path, "check");
        (output.status.code().unwrap(), said(&output))
    };
    let (code, text) = check();
    assert!(code == 1 && text.contains("error[no-key-signing-key]"), "{text}");
    // The operator signs the keys on another machine.
    let ksk = base(&path.join("offline"), ".private");
    for end in ["key", "private"] {
        fs::copy(path.join(format!("{zsk}.{end}")), path.join("offline").join(format!("{}.{end}", &zsk[5..]))).unwrap();
    }
    let sign = |expiry: &str| {
        let times = ["-s", "now-172800", "-e", expiry];
        let files = ["-o", "blob.example", "-f", "zone.signed", "zone.unsigned"];
        run(path, &signzone, &[&["-S", "-P", "-K", "offline", "-O", "full"], &times[..], &files].concat());
        fs::copy(path.join("zone.signed"), path.join("zone")).unwrap();
    };
    fs::copy(path.join("zone"), path.join("zone.unsigned")).unwrap();
    sign("now+86400");
    let (code, text) = check();
    assert!(code == 0 && text.contains("warning[signed-zone]"), "{text}");
    let shown = said(&pharos(path, "key ds blob.example"));
    assert!(shown.contains(&format!(" IN DS {} 13 2 ", ksk[ksk.len() - 5..].trim_start_matches('0'))), "{shown}");
    let listed = said(&pharos(path, "key list blob.example"));
    assert!(listed.contains("(zone file)") && listed.contains("zsk"), "{listed}");
    // Signatures that validate nothing: by the ZSK alone, and over keys of which one was removed or whose time was changed by hand.
    let signed = fs::read_to_string(path.join("zone")).unwrap();
    let tag = ksk[ksk.len() - 5..].trim_start_matches('0').to_string();
    let fields = |line: &str| line.split_whitespace().map(str::to_string).collect::<Vec<_>>();
    let is_by_ksk = |line: &str| matches!(&fields(line)[..], [_, _, _, rrsig, dnskey, _, _, _, _, _, by, ..] if rrsig == "RRSIG" && dnskey == "DNSKEY" && *by == tag);
    let is_ksk =
        |line: &str| matches!(&fields(line)[..], [_, _, _, dnskey, flags, ..] if dnskey == "DNSKEY" && flags == "257");
    assert_eq!(signed.lines().filter(|line| is_by_ksk(line) || is_ksk(line)).count(), 2, "{signed}");
    let kept = |keep: &dyn Fn(&str) -> bool| {
        signed.lines().filter(|line| keep(line)).map(|line| format!("{line}\n")).collect()
    };
    let by_hand = |line: &str| {
        if is_by_ksk(line) { line.replacen(&fields(line)[9], "20200101000000", 1) + "\n" } else { format!("{line}\n") }
    };
    for (broken, what) in [
        (kept(&|line| !is_by_ksk(line)), "by the ZSK alone"),
        (kept(&|line| !is_ksk(line)), "without the KSK"),
        (signed.lines().map(by_hand).collect::<String>(), "another inception"),
    ] {
        fs::write(path.join("zone"), broken).unwrap();
        let (code, text) = check();
        assert!(code == 1 && text.contains("error[void-signature]"), "{what}: {text}");
    }
    // The KSK's signature of the day before yesterday, beside one of the ZSK that is valid.
    sign("now-86400");
    let old = fs::read_to_string(path.join("zone")).unwrap();
    let old = old.lines().find(|line| is_by_ksk(line)).unwrap();
    let mixed: String =
        signed.lines().map(|line| if is_by_ksk(line) { old } else { line }.to_string() + "\n").collect();
    fs::write(path.join("zone"), mixed).unwrap();
    let (code, text) = check();
    assert!(code == 1 && text.contains("error[expired-signature]"), "{text}");
    fs::write(path.join("zone"), &signed).unwrap();
    assert_eq!(check().0, 0);
    // Another ZSK, which the off-line signature does not cover.
    assert!(pharos(path, "key generate blob.example --role zsk --dir next").status.success());
    let next = format!("next/{}", base(&path.join("next"), ".private"));
    configure(path, &format!("dnssec = {{ keys = ['{zsk}', {{ file = '{next}', state = 'published' }}] }}"));
    let text = said(&pharos(path, "check"));
    assert!(text.contains("error[key-not-in-zone]"), "{text}");
}

#[test]
fn commands_know_of_short_validities_changes_of_the_algorithm_and_the_end_of_signing() {
    let folder = folder();
    let path = folder.path();
    let key = |algorithm: &str, dir: &str| {
        assert!(
            pharos(path, &format!("key generate blob.example --algorithm {algorithm} --dir {dir}")).status.success()
        );
        format!("{dir}/{}", base(&path.join(dir), ".private"))
    };
    let (old, new) = (key("13", "old"), key("15", "new"));
    for (validity, is_warned) in [("60s", true), ("78s", true), ("80s", false)] {
        configure(path, &format!("dnssec = {{ keys = ['{old}'], validity = '{validity}' }}"));
        let checked = pharos(path, "check");
        let text = said(&checked);
        assert_eq!((checked.status.code(), text.contains("warning[short-validity]")), (Some(0), is_warned), "{text}");
        assert!(!is_warned || text.contains("give `validity` 80 s at least"), "{text}");
    }
    configure(path, &format!("dnssec = {{ keys = ['{old}'], delete-ds = true }}"));
    let shown = said(&pharos(path, "key ds blob.example"));
    assert!(shown.contains("`delete-ds` asks the parent to remove"), "{shown}");
    configure(path, &format!("dnssec = {{ keys = ['{old}', '{new}'] }}"));
    let listed = said(&pharos(path, "key list blob.example"));
    let listed = listed.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(!listed.contains("retired"), "{listed}");
}
