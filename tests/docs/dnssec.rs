//! `docs/dnssec.md`: its commands are run in order, each with the keys that the commands before have made.

use std::fs;
use std::path::Path;

use super::page::Page;
use super::{reference, shell};

const ZONE: &str = "$TTL 60\n@ SOA ns1 hostmaster 7 3600 600 86400 60\n@ NS ns1\n@ NS ns.example.\nns1 A 192.0.2.53\n";

pub(crate) fn run(page: &Page) {
    reference::run(page);
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::create_dir(folder.join("zones")).unwrap();
    fs::write(folder.join("zones/blob.example.com.zone"), ZONE).unwrap();
    let script = |name: &str| page.claim_all(name).iter().for_each(|fence| shell::script(page, fence, folder, &[]));
    script("generate");
    configure(folder, &format!("dnssec = {{ keys = [\"{}\"] }}", key(folder)));
    script("check");
    script("ds");
    fs::remove_dir_all(folder.join("keys")).unwrap();
    script("offline");
    if folder.join("zones/keys.zone").is_file() {
        let include = format!("{ZONE}$INCLUDE keys.zone\n");
        fs::write(folder.join("zones/blob.example.com.zone"), include).unwrap();
        configure(folder, &format!("dnssec = {{ keys = [\"{}\"] }}", key(folder)));
        let checked = shell::printed("pharos check", folder);
        assert!(checked.is_ok(), "{}", checked.unwrap_err());
    }
}

/// The name of the key in the folder `keys`.
fn key(folder: &Path) -> String {
    let mut names =
        fs::read_dir(folder.join("keys")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    format!("keys/{}", names.find_map(|name| name.strip_suffix(".key").map(str::to_string)).unwrap())
}

fn configure(folder: &Path, dnssec: &str) {
    let zone = "[[zone]]\nname = \"blob.example.com\"\nfile = \"zones/blob.example.com.zone\"\n";
    fs::write(folder.join("pharos.toml"), format!("[dns]\nlisten = \"127.0.0.1:0\"\n{zone}{dnssec}\n")).unwrap();
}
