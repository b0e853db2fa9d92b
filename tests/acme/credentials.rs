//! `pharos credential`: everything that `new` prints is pasted, into the configuration and into real ACME clients, and these get
//! certificates.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use pharos::base::rr::Rtype;

use super::clients::{NAMES, Stage, assert_names, script};
use super::common::needs;
use super::service::said;
use super::world::*;

/// The printed parts, by their titles.
type Parts = BTreeMap<String, String>;

fn parts(printed: &str) -> Parts {
    let parts = printed.split("==> ").skip(1).map(|part| part.split_once(" <==\n").unwrap());
    parts.map(|(title, text)| (title.to_string(), text.trim_end_matches('\n').to_string() + "\n")).collect()
}

/// Runs `pharos credential` in the folder of a server.
fn credential(world: &World, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pharos"));
    let output = command.current_dir(world.path()).arg("credential").args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn write_secret(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// A server that gets a key for the mirror `one` from the command, with the printed parts.
fn stage() -> Option<(Stage, Parts)> {
    let text = config("[\"127.0.0.1:0\"]", ["", TWO]);
    let mut stage = Stage::start_in(World::start_with(&text))?;
    let before = files(stage.world.path());
    let printed = credential(&stage.world, &["new", "one", "--server", &stage.world.address.to_string()]);
    assert_eq!(files(stage.world.path()), before, "the command changes no file");
    let parts = parts(&printed);
    let key = &parts["keys/one.blob.example.key beside pharos.toml, mode 600"];
    assert_eq!(key.trim().len(), 44, "32 bytes in base64");
    write_secret(&stage.world.path().join("keys/one.blob.example.key"), key);
    let of_mirror = &parts["pharos.toml, under [mirrors.one]"];
    let text = text.replace("[mirrors.one]\n", &format!("[mirrors.one]\n{of_mirror}"));
    stage.world.reload_with(&format!("{text}{}", parts["pharos.toml"]));
    stage.by = "key:one.blob.example";
    Some((stage, parts))
}

/// A server that gets a user for the mirror `one` from the command, with the printed parts.
fn stage_over_http() -> Option<(Stage, Parts)> {
    let text = http_config(["", TWO]);
    let mut stage = Stage::start_in(World::start_with(&text))?;
    let server = stage.world.http().to_string();
    let parts = parts(&credential(&stage.world, &["new", "one", "--user", "--server", &server]));
    let of_mirror = &parts["pharos.toml, under [mirrors.one]"];
    stage.world.reload_with(&text.replace("[mirrors.one]\n", &format!("[mirrors.one]\n{of_mirror}")));
    stage.by = "user:one";
    Some((stage, parts))
}

/// The files of a folder with their contents.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    let mut files: Vec<_> =
        files.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect();
    files.sort();
    files
}

/// Pastes commands into a shell in the folder of the client. `wrapper` is run in place of `program`, with the same arguments.
fn paste(stage: &Stage, commands: &str, program: &str, wrapper: &str) {
    let bin = stage.path().join("bin");
    fs::create_dir(&bin).unwrap();
    script(&bin, program, wrapper);
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    stage.run(Command::new("sh").args(["-ec", commands]).current_dir(stage.path()).env("PATH", path));
}

fn lego_wrapper(stage: &Stage, lego: &Path) -> String {
    format!(
        "#!/bin/sh\nexport LEGO_CA_CERTIFICATES='{}'\n\
         exec '{}' --server {} --dns.resolvers {} --path '{}' \"$@\"\n",
        stage.pebble.trusted().display(),
        lego.display(),
        stage.pebble.directory,
        stage.world.address,
        stage.path().display()
    )
}

fn certbot_wrapper(stage: &Stage, certbot: &Path) -> String {
    let folders = ["config", "work", "logs"].map(|name| format!(" --{name}-dir '{}/{name}'", stage.path().display()));
    format!(
        "#!/bin/sh\nexport REQUESTS_CA_BUNDLE='{}'\n\
         exec '{}' \"$@\" -n --agree-tos --register-unsafely-without-email --server {}{}\n",
        stage.pebble.trusted().display(),
        certbot.display(),
        stage.pebble.directory,
        folders.concat()
    )
}

/// dehydrated in the place of acme.sh, with a hook that sends what a hook of acme.sh sends.
fn acme_sh_wrapper(stage: &Stage, dehydrated: &Path, provider: &str, hook: &str) -> String {
    let hook = script(stage.path(), "hook", hook);
    let config = format!(
        "CA={}\nCHALLENGETYPE=dns-01\nHOOK={}\nBASEDIR={}\nCURL_OPTS='--cacert {}'\nCONTACT_EMAIL=a@mirrors.example\n",
        stage.pebble.directory,
        hook.display(),
        stage.path().display(),
        stage.pebble.trusted().display()
    );
    fs::write(stage.path().join("config"), config).unwrap();
    format!(
        "#!/bin/sh\nset -e\n[ \"$1 $2 $3 $4 $6\" = '--issue --dns {provider} -d -d' ]\n\
         '{0}' -f config --register --accept-terms\nexec '{0}' -f config -c -d \"$5 $7\"\n",
        dehydrated.display()
    )
}

#[test]
fn the_settings_for_lego_get_a_certificate() {
    let Some(lego) = needs::program("lego", "lego") else { return };
    let Some((stage, parts)) = stage() else { return };
    let commands = &parts["lego: commands"];
    paste(&stage, commands, "lego", &lego_wrapper(&stage, &lego));
    stage.check(&stage.path().join("certificates/blob.example.crt"));
    // Traefik is lego, and has the same variables.
    assert!(commands.starts_with(&parts["Traefik: environment"]), "{parts:#?}");
    assert!(commands.contains(" RFC2136_SEQUENCE_INTERVAL=1\n"), "{commands}");
}

/// The settings of lego and Traefik over HTTP.
#[test]
fn the_settings_for_lego_over_http_get_a_certificate() {
    let Some(lego) = needs::program("lego", "lego") else { return };
    let Some((stage, parts)) = stage_over_http() else { return };
    paste(&stage, &parts["lego: commands"], "lego", &lego_wrapper(&stage, &lego));
    stage.check(&stage.path().join("certificates/blob.example.crt"));
    assert!(parts["lego: commands"].starts_with(&parts["Traefik: environment"]), "{parts:#?}");
}

#[test]
fn the_settings_for_certbot_over_http_get_a_certificate() {
    let Some(certbot) = needs::program("certbot", "certbot") else { return };
    if needs::program("curl", "curl").is_none() {
        return;
    }
    let Some((stage, parts)) = stage_over_http() else { return };
    script(stage.path(), "pharos-hook", &parts["certbot: pharos-hook, mode 700"]);
    paste(&stage, &parts["certbot: command"], "certbot", &certbot_wrapper(&stage, &certbot));
    stage.check(&stage.path().join("config/live/blob.example/fullchain.pem"));
}

/// dehydrated sends with curl what the hook `dns_acmedns` of acme.sh sends, by the same variables, and looks at the response as
/// that does. acme-dns has no clean-up.
#[test]
fn the_settings_for_acme_sh_over_http_get_a_certificate() {
    let Some(dehydrated) = needs::program("dehydrated", "dehydrated") else { return };
    if needs::program("curl", "curl").is_none() {
        return;
    }
    let Some((stage, parts)) = stage_over_http() else { return };
    let hook = "#!/bin/sh\nset -e\n[ $1 = deploy_challenge ] || exit 0\n\
                data=\"{\\\"subdomain\\\":\\\"$ACMEDNS_SUBDOMAIN\\\", \\\"txt\\\": \\\"$4\\\"}\"\n\
                response=$(curl -s -H \"X-Api-User: $ACMEDNS_USERNAME\" -H \"X-Api-Key: $ACMEDNS_PASSWORD\" \
                --data \"$data\" \"$ACMEDNS_BASE_URL/update\")\n\
                case $response in *\"\\\"$4\\\"\"*) ;; *) echo \"$response\"; exit 1 ;; esac\n";
    paste(&stage, &parts["acme.sh: commands"], "acme.sh", &acme_sh_wrapper(&stage, &dehydrated, "dns_acmedns", hook));
    assert_names(&stage.path().join("certs/blob.example/fullchain.pem"), &NAMES);
    stage.check_log();
    // The tokens of both names are at all owners, and end after an hour.
    let [shared, own] = [SHARED, OWN].map(|owner| stage.world.ask(owner, Rtype::TXT).answers.len());
    assert_eq!((shared, own), (3, 2));
}

#[test]
fn the_settings_for_certbot_get_a_certificate() {
    let Some(certbot) = needs::program("certbot", "certbot") else { return };
    let Some((stage, parts)) = stage() else { return };
    write_secret(&stage.path().join("rfc2136.ini"), &parts["certbot: rfc2136.ini, mode 600"]);
    paste(&stage, &parts["certbot: command"], "certbot", &certbot_wrapper(&stage, &certbot));
    stage.check(&stage.path().join("config/live/blob.example/fullchain.pem"));
}

/// acme.sh itself is in no Debian package. In its place dehydrated sends with nsupdate what the hook `dns_nsupdate` of acme.sh
/// sends, by the same variables.
#[test]
fn the_settings_for_acme_sh_get_a_certificate() {
    let Some(dehydrated) = needs::program("dehydrated", "dehydrated") else { return };
    if needs::program("nsupdate", "bind9-dnsutils").is_none() || needs::program("curl", "curl").is_none() {
        return;
    }
    let Some((stage, parts)) = stage() else { return };
    write_secret(&stage.path().join("pharos.key"), &parts["acme.sh: pharos.key, mode 600"]);
    let hook = "#!/bin/sh\nset -e\ncase $1 in\n\
                deploy_challenge) change=\"update add _acme-challenge.$2. 60 in txt \\\"$4\\\"\" ;;\n\
                clean_challenge) change=\"update delete _acme-challenge.$2. txt\" ;;\n*) exit 0 ;;\nesac\n\
                nsupdate -k \"$NSUPDATE_KEY\" <<EOF\nserver $NSUPDATE_SERVER $NSUPDATE_SERVER_PORT\n$change\nsend\nEOF\n";
    paste(&stage, &parts["acme.sh: commands"], "acme.sh", &acme_sh_wrapper(&stage, &dehydrated, "dns_nsupdate", hook));
    stage.check(&stage.path().join("certs/blob.example/fullchain.pem"));
}

#[test]
fn settings_of_other_clients_have_the_key_the_server_and_all_names() {
    let world = World::start();
    // The mirror has a credential, so that the name and the place of another one differ.
    let printed = credential(&world, &["new", "one", "--name", "b.mirrors.example", "--server", "192.0.2.53"]);
    let parts = parts(&printed);
    let secret = parts["keys/b.mirrors.example.key beside pharos.toml, mode 600"].trim();
    let server = "\"192.0.2.53:53\"";
    assert_eq!(parts["pharos.toml, in `acme` of [mirrors.one]"], "{ key = \"b.mirrors.example\" },\n");
    for (title, more) in [
        ("cert-manager: manifests", vec!["tsigAlgorithm: HMACSHA256", "tsigKeyName: \"b.mirrors.example\"", server]),
        ("Caddy: Caddyfile", vec!["key_alg \"hmac-sha256\"", "key_name \"b.mirrors.example\"", server]),
    ] {
        let text = &parts[title];
        let names = [NAMES[0], NAMES[1], "*.wild.blob.example"];
        for expected in more.into_iter().chain(names).chain([secret]) {
            assert!(text.contains(expected), "{expected}: {text}");
        }
    }
    assert!(parts["Traefik: traefik.yml"].contains("provider: rfc2136"));
    let one = credential(&world, &["new", "one", "--client", "lego", "--server", "192.0.2.53"]);
    assert!(one.contains("==> lego: commands <==\n") && one.matches("==>").count() == 4, "{one}");
    assert!(!one.contains(secret), "each run makes a secret of its own");
    let listed = credential(&world, &["list"]);
    assert!(listed.contains("two  key:two.mirrors.example  from 127.0.0.0/8  no account"), "{listed}");
    let listed = credential(&world, &["list", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let expected = serde_json::json!({
        "credential": "key:one.mirrors.example",
        "mirror": "one",
        "account": null,
        "allow": [],
        "names": ["blob.example", "one.blob.example", "*.wild.blob.example"],
    });
    assert_eq!(value["credentials"][0], expected);
}

#[test]
fn a_user_has_the_digest_of_its_password_and_a_listener() {
    let text = config("[\"127.0.0.1:0\"]", [ONE, TWO]);
    let new = |config: &str, arguments: &[&str]| {
        let arguments = [&["credential", "new", "one", "--user"], arguments].concat();
        let (code, report) = said(&[("pharos.toml", config), ("zone", ZONE)], &arguments);
        assert_eq!(code, Some(0), "{report}");
        parts(&report)
    };
    // Without a listener, the lines for one are printed, and clients reach it over TLS by the name of the primary.
    let parts = new(&text, &[]);
    assert!(parts["pharos.toml, under [acme]"].contains("tls    = { cert"), "{parts:#?}");
    assert!(parts["lego: commands"].contains("HTTPREQ_ENDPOINT=https://ns.blob.example:8553\n"), "{parts:#?}");
    let password = parts["lego: commands"].split("HTTPREQ_PASSWORD=").nth(1).unwrap().lines().next().unwrap();
    let digest = ring::digest::digest(&ring::digest::SHA256, password.as_bytes());
    let digest = data_encoding::HEXLOWER.encode(digest.as_ref());
    let entry = format!("{{ user = \"one\", password-sha256 = \"{digest}\" }},\n");
    assert_eq!((parts["pharos.toml, in `acme` of [mirrors.one]"].clone(), password.len()), (entry, 64));
    for title in ["cert-manager: manifests", "Caddy: Caddyfile", "acme.sh: commands", "certbot: pharos-hook, mode 700"]
    {
        assert!(parts[title].contains(password) && parts[title].contains("https://ns.blob.example:8553"), "{parts:#?}");
    }
    let listening = text.replace("[acme]\n", "[acme]\nlisten = \"127.0.0.1:8600\"\n");
    let parts = new(&listening, &["--client", "lego"]);
    assert!(parts["lego: commands"].contains("HTTPREQ_ENDPOINT=http://127.0.0.1:8600\n"), "{parts:#?}");
    assert_eq!(parts.len(), 2, "{parts:#?}");
}

#[test]
fn a_name_that_is_taken_and_a_mirror_without_a_name_are_refused() {
    let text = config("[\"127.0.0.1:0\"]", [ONE, TWO]);
    let new = |config: &str, arguments: &[&str]| {
        said(&[("pharos.toml", config), ("zone", ZONE)], &[&["credential", "new"], arguments].concat())
    };
    for (arguments, expected) in [
        (&["three"][..], "mirror `three` is not defined"),
        (&["one", "--name", "One.Mirrors.example"], "key `one.mirrors.example` is in the configuration already"),
    ] {
        let (code, report) = new(&text, arguments);
        assert!(code == Some(1) && report.contains(expected), "{report}");
    }
    let (code, report) = new(&text.replace("default = [\"one\", \"two\"]", "default = [\"two\"]"), &["one"]);
    assert!(code == Some(1) && report.contains("no steered owner leads to mirror `one`"), "{report}");
    // Without `--server`, clients send to the address that the zone has for its primary.
    let (code, report) = new(&text, &["one", "--client", "lego"]);
    assert!(code == Some(0) && report.contains("RFC2136_NAMESERVER=192.0.2.53:53 "), "{report}");
    let listening = text.replace("[\"127.0.0.1:0\"]", "[\"127.0.0.1:5300\", \"[2001:db8::53]:5353\"]");
    let (_, report) = new(&listening, &["one", "--client", "lego"]);
    assert!(report.contains("RFC2136_NAMESERVER=[2001:db8::53]:5353 "), "{report}");
    // certbot takes an address alone; a server that the zones do not have is left to the mirror's owner.
    for (server, expected) in [
        ("ns2.blob.example", "dns_rfc2136_server = 192.0.2.54\n"),
        ("ns.elsewhere.example", "# certbot takes no name: write the address of ns.elsewhere.example\n"),
    ] {
        let (_, report) = new(&text, &["one", "--client", "certbot", "--server", server]);
        assert!(report.contains(expected), "{report}");
    }
    // The first name that is free.
    let taken = text
        .replace("keys.\"one.mirrors.example\"", "keys.\"one.blob.example\"")
        .replace("\"one.mirrors.example\"", "\"one.blob.example\"");
    let (_, report) = new(&taken, &["one", "--client", "lego"]);
    assert!(report.contains("RFC2136_TSIG_KEY=one-2.blob.example."), "{report}");
}
