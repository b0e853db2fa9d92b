//! `docs/run-a-mirror.md`: each server with the configuration of the page, and the commands of the page against it.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use pharos::config::Probe;
use pharos::mirror::Verdict;
use tempfile::TempDir;

use super::common::needs;
use super::common::ports::free_port;
use super::common::server::Server;
use super::migrate::edited;
use super::page::Page;
use super::process::Process;
use super::shell;

/// The canary of the page.
const CANARY: &[u8] = b"a small blob that every mirror has";
pub(crate) const HEX: &str = "0572e1157775ac6ebe42ff69a23fa164b0f85048dd7653d05323a691edda893d";

/// The name that the mirrors of the page share.
const NAME: &str = "blob.example.com";

const HERE: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

pub(crate) fn run(page: &Page) {
    assert_tables(page);
    assert_settings(page);
    assert_updates(page);
    let files = Files::new();
    files.write(page);
    let folder = files.folder.path();
    let check = [("check fullchain.pem", "check fullchain.pem --roots ca.pem")];
    shell::run(page, page.claim("certificate"), folder, &check);
    shell::run(page, page.claim("pem"), folder, &[]);
    for recipe in RECIPES {
        let commands = page.claim_all(recipe.commands);
        let first = recipe.first.map(|(commands, file)| (page.claim(commands), file));
        // Each missing program is counted, and the recipe is left out.
        if recipe.programs.iter().any(|program| needs::program(program, program).is_none()) {
            continue;
        }
        let port = free_port();
        let mut processes = (recipe.start)(&files, port);
        let name = format!("--name {NAME} --port {port} --roots ca.pem");
        let to = format!("--cacert ca.pem --connect-to ::127.0.0.1:{port}");
        let stand = [
            ("--connect-to ::192.0.2.10:", &*to),
            ("--name blob.example.com", &name),
            ("192.0.2.10", "127.0.0.1"),
            ("2001:db8::10", "::1"),
        ];
        if let Some((commands, file)) = first {
            shell::run(page, commands, folder, &stand);
            processes[0].wait_until(|| folder.join(file).exists());
        }
        commands.iter().for_each(|fence| shell::run(page, fence, folder, &stand));
        eprintln!("{} is right by the commands `{}`", recipe.programs[0], recipe.commands);
    }
}

/// The settings of ACME clients are those that `pharos credential new` prints: `tests/acme` gets certificates by these.
fn assert_settings(page: &Page) {
    let folder = TempDir::new().unwrap();
    let config = format!(
        "[[zone]]\nname = \"{NAME}\"\nfile = \"zone\"\nsteer = [{{ owner = \"@\", horizon = \"h\" }}]\n\
         [mirrors.aws-use1]\naddresses = \"192.0.2.10\"\n[horizons.h]\ndefault = \"aws-use1\"\n"
    );
    fs::write(folder.path().join("pharos.toml"), config).unwrap();
    shell::run(page, page.claim("settings"), folder.path(), &[]);
    let key = ["--name", "use1.mirrors.example", "--server", "192.0.2.53:53"];
    let user = ["--user", "--name", "use1", "--server", "ns1.example.com"];
    for (attribute, arguments, secret, shown) in [
        ("key-settings", &key[..], "export RFC2136_TSIG_SECRET=", "SECRET"),
        ("user-settings", &user, "HTTPREQ_PASSWORD=", "PASSWORD"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pharos"));
        command.current_dir(folder.path()).args(["credential", "new", "aws-use1"]).args(arguments);
        let printed = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let secret = printed.split(secret).nth(1).unwrap().lines().next().unwrap();
        let printed = printed.replace(secret, shown);
        let parts: Vec<_> = printed.split("==> ").filter_map(|part| part.split_once(" <==\n")).collect();
        for fence in page.claim_all(attribute) {
            let title = fence.info.get(attribute).unwrap();
            let (_, text) = parts.iter().find(|(other, _)| *other == title).unwrap_or_else(|| panic!("no {title}"));
            assert_eq!(fence.text.trim_end(), text.trim_end(), "{}:{}", page.path.display(), fence.line);
        }
    }
}

/// The commands and hooks of the page set tokens and remove them, at a server with the key of the page.
fn assert_updates(page: &Page) {
    let fence = page.claim("update");
    if ["nsupdate", "dig"].iter().any(|program| needs::program(program, "bind9-dnsutils").is_none()) {
        return;
    }
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let secret = data_encoding::BASE64.encode(&[7; 32]);
    let config = format!(
        "[dns]\nlisten = \"127.0.0.1:0\"\n[acme]\nstate = \"acme.json\"\n\
         [keys.\"use1.mirrors.example\"]\nalgorithm = \"hmac-sha256\"\nsecret = \"{secret}\"\n\
         [[zone]]\nname = \"{NAME}\"\nfile = \"zone\"\nsteer = [{{ owner = \"@\", horizon = \"h\" }}]\n\
         [mirrors.aws-use1]\naddresses = \"192.0.2.10\"\nacme = [{{ key = \"use1.mirrors.example\" }}]\n\
         [horizons.h]\ndefault = \"aws-use1\"\n"
    );
    fs::write(folder.join("zone"), "$TTL 60\n@ SOA ns h 1 3600 600 86400 60\n@ NS ns\nns A 192.0.2.53\n").unwrap();
    fs::write(folder.join("pharos.toml"), config).unwrap();
    let key = page.fences.iter().find(|fence| fence.info.get("key-settings") == Some("acme.sh: pharos.key, mode 600"));
    fs::create_dir(folder.join("acme")).unwrap();
    for path in ["pharos.key", "acme/pharos.key"] {
        fs::write(folder.join(path), key.unwrap().text.replace("SECRET", &secret)).unwrap();
    }
    let server = Server::start(&folder.join("pharos.toml"));
    let port = server.address(HERE[0]).port();
    let (update, query) = (format!("server 127.0.0.1 {port}\\n"), format!("@127.0.0.1 -p {port} "));
    let stand = [("server 192.0.2.53 53\\n", &*update), ("@192.0.2.53 ", &query)];
    shell::run(page, fence, folder, &stand);
    page.write_files(folder, |_, text| shell::replace(text, &stand));
    let ask = format!("dig +short {query} _acme-challenge.{NAME} TXT");
    let token = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
    assert_eq!(shell::printed(&ask, folder).unwrap(), "", "the page removes its token");
    for (set, remove) in [
        ("acme/dehydrated-hook deploy_challenge NAME x TOKEN", "acme/dehydrated-hook clean_challenge NAME x TOKEN"),
        ("acme/uacme-hook begin dns-01 NAME x TOKEN", "acme/uacme-hook done dns-01 NAME x TOKEN"),
    ] {
        for (command, expected) in [(set, format!("\"{token}\"\n")), (remove, String::new())] {
            let command = format!("sh {}", shell::replace(command, &[("NAME", NAME), ("TOKEN", token)]));
            assert_eq!(shell::printed(&command, folder).unwrap(), "", "{command}");
            assert_eq!(shell::printed(&ask, folder).unwrap(), expected, "{command}");
        }
    }
    assert!(shell::printed("sh acme/dehydrated-hook startup_hook", folder).is_ok());
    assert!(shell::printed(&format!("sh acme/uacme-hook begin http-01 {NAME} x y"), folder).is_err());
}

/// The tables of defaults and of verdicts are those of the code.
fn assert_tables(page: &Page) {
    let table = |head: &str| page.tables.iter().find(|table| table.head[0] == head).unwrap();
    let (probe, secs) = (Probe::of_name(NAME.into()), |time: Duration| format!("{} s", time.as_secs()));
    let held = Duration::from_millis(probe.thresholds.hold_down_ms);
    let most = Duration::from_millis(probe.thresholds.max_hold_down_ms).as_secs() / 60;
    let expected = [
        format!("{}, with 20 %", secs(probe.interval)),
        secs(probe.retry),
        format!("{};", probe.thresholds.fall),
        format!("{}", probe.thresholds.rise),
        format!("{}; doubles up to {most} minutes", secs(held)),
        format!("{} h", probe.expiring.as_secs() / 3600),
    ];
    let rows = &table("setting").rows;
    assert_eq!(rows.len(), expected.len());
    rows.iter().zip(expected).for_each(|(row, start)| assert!(row[1].starts_with(&start), "{row:?}, not {start}"));
    let verdicts: BTreeSet<&str> = table("verdict").rows.iter().map(|row| &*row[0]).collect();
    assert_eq!(verdicts, Verdict::ALL.iter().map(|verdict| verdict.as_str()).collect());
}

/// A server of the page, how it is started, and the commands that it must answer as the page shows.
struct Recipe {
    programs: &'static [&'static str],
    start: fn(&Files, u16) -> Vec<Process>,
    commands: &'static str,
    /// Commands to run before the others, and the file that the server creates after them.
    first: Option<(&'static str, &'static str)>,
}

const RECIPES: [Recipe; 6] = [
    Recipe { programs: &["nginx"], start: nginx, commands: "verify", first: None },
    Recipe { programs: &["nginx"], start: nginx_that_redirects, commands: "redirect", first: None },
    Recipe { programs: &["caddy"], start: caddy, commands: "verify", first: None },
    Recipe { programs: &["docker-registry"], start: registries, commands: "verify", first: None },
    Recipe { programs: &["docker-registry"], start: pull_through, commands: "verify", first: Some(("first", FETCHED)) },
    Recipe { programs: &["haproxy", "docker-registry"], start: haproxy, commands: "verify", first: None },
];

/// The link to the canary that the pull-through cache writes when it has all of it.
const FETCHED: &str = "cache/docker/registry/v2/repositories/pause/_layers/sha256/\
                       0572e1157775ac6ebe42ff69a23fa164b0f85048dd7653d05323a691edda893d/link";

fn nginx(files: &Files, port: u16) -> Vec<Process> {
    let site = site_of_nginx(files, &HERE, port);
    vec![ready(start_nginx(&files.folder.path().join("nginx"), &site), port)]
}

fn nginx_that_redirects(files: &Files, port: u16) -> Vec<Process> {
    let location = format!("{}    location / {{", files.read("nginx/canonical.conf"));
    let edits = [("=404", "@canonical"), ("    location / {", &*location)];
    let site = edited(&site_of_nginx(files, &HERE, port), &edits);
    vec![ready(start_nginx(&files.folder.path().join("nginx"), &site), port)]
}

/// The page's file of `sites-enabled`, with other addresses.
fn site_of_nginx(files: &Files, addresses: &[IpAddr], port: u16) -> String {
    let listen = |address: &IpAddr| format!("    listen {} ssl http2;\n", SocketAddr::new(*address, port));
    let lines: String = addresses.iter().map(listen).collect();
    let page = "    listen 443 ssl http2;\n    listen [::]:443 ssl http2;\n";
    edited(&files.read("nginx/blob.conf"), &[(page, &lines)])
}

/// Starts nginx with a file of `sites-enabled`.
pub(crate) fn start_nginx(folder: &Path, site: &str) -> Process {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("site.conf"), site).unwrap();
    // Root's workers would otherwise have a user that cannot read the folder; for others the line has no effect.
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("    {kind}_temp_path {0}/{kind};\n", folder.display()))
        .collect();
    let main = format!(
        "user root;\ndaemon off;\nworker_processes 1;\npid {0}/nginx.pid;\nerror_log stderr;\nevents {{ }}\n\
         http {{\n    access_log off;\n{paths}    include {0}/site.conf;\n}}\n",
        folder.display()
    );
    fs::write(folder.join("nginx.conf"), main).unwrap();
    let config = folder.join("nginx.conf").display().to_string();
    Process::start("nginx", &["-e", "stderr", "-p", &folder.display().to_string(), "-c", &config], folder, &[])
}

/// Starts nginx with the configuration of the page at one address, with a copy of the blobs for itself.
pub(crate) fn start_mirror(files: &Files, name: &str, address: IpAddr, port: u16) -> Process {
    let blobs = files.folder.path().join(name).join("blobs");
    fs::create_dir_all(&blobs).unwrap();
    fs::copy(files.path(&format!("blobs/sha256:{HEX}")), blobs.join(format!("sha256:{HEX}"))).unwrap();
    let site = site_of_nginx(files, &[address], port);
    let site = edited(&site, &[(&files.path("blobs"), &blobs.display().to_string())]);
    let mut process = start_nginx(&files.folder.path().join(name), &site);
    process.wait_for(SocketAddr::new(address, port));
    process
}

fn caddy(files: &Files, port: u16) -> Vec<Process> {
    let text = files.read("caddy/Caddyfile");
    // Without the admin API and redirects from port 80; the state of Caddy is in the folder.
    let head = format!(
        "{{\n\tadmin off\n\tauto_https disable_redirects\n}}\nhttps://{NAME}:{port} {{\n\tbind 127.0.0.1 [::1]\n"
    );
    let text = edited(&text, &[("https://blob.example.com:443 {\n", &head)]);
    fs::write(files.folder.path().join("caddy/Caddyfile.test"), text).unwrap();
    let home = files.path("caddy");
    let environment = [("HOME", &*home), ("XDG_DATA_HOME", &home), ("XDG_CONFIG_HOME", &home)];
    let arguments = ["run", "--adapter", "caddyfile", "--config", "caddy/Caddyfile.test"];
    vec![ready(Process::start("caddy", &arguments, files.folder.path(), &environment), port)]
}

/// The registry of the page.
fn registries(files: &Files, port: u16) -> Vec<Process> {
    start_registries(files, port, &files.read("registry/config.yml"))
}

/// The registry of the page as a cache with storage of its own; the registry without TLS is the canonical one.
fn pull_through(files: &Files, port: u16) -> Vec<Process> {
    let (canonical, behind) = plain_registry(files);
    let proxy =
        edited(&files.read("registry/proxy.yml"), &[("https://canonical.example.net", &format!("http://{behind}"))]);
    let config = files.read("registry/config.yml");
    let maintenance = "  maintenance:\n    readonly:\n      enabled: true\n";
    let storage = (&*files.path("storage"), &*files.path("cache"));
    let config = edited(&config, &[(maintenance, ""), storage]) + &proxy;
    let mut processes = start_registries(files, port, &config);
    processes.push(canonical);
    processes
}

/// Starts one registry for each family, because `:443` would be open to other machines.
fn start_registries(files: &Files, port: u16, config: &str) -> Vec<Process> {
    let start = |address: IpAddr| {
        let at = SocketAddr::new(address, port);
        let text = edited(config, &[("addr: :443", &format!("addr: \"{at}\""))]);
        let mut process = files.registry(if address.is_ipv4() { "registry4" } else { "registry6" }, &text);
        process.wait_for(at);
        process
    };
    HERE.map(start).into()
}

/// The registry of the page on loopback alone, without TLS.
fn plain_registry(files: &Files) -> (Process, SocketAddr) {
    let (at, config) = (SocketAddr::new(HERE[0], free_port()), files.read("registry/config.yml"));
    let (plain, _) = config.split_once("  tls:\n").expect("TLS comes last");
    let mut process = files.registry("registry-plain", &edited(plain, &[("addr: :443", &format!("addr: {at}"))]));
    process.wait_for(at);
    (process, at)
}

/// In front of the registry without TLS.
fn haproxy(files: &Files, port: u16) -> Vec<Process> {
    let (registry, behind) = plain_registry(files);
    let edits = [
        ("bind 0.0.0.0:443 ", format!("bind 127.0.0.1:{port} ")),
        ("bind [::]:443 ", format!("bind [::1]:{port} ")),
        ("/etc/haproxy/blob.pem", files.path("blob.pem")),
        ("127.0.0.1:5000", behind.to_string()),
    ];
    let text = edited(&files.read("haproxy/haproxy.cfg"), &edits.each_ref().map(|(page, test)| (*page, &**test)));
    fs::write(files.folder.path().join("haproxy/test.cfg"), text).unwrap();
    let process = Process::start("haproxy", &["-db", "-f", "haproxy/test.cfg"], files.folder.path(), &[]);
    vec![ready(process, port), registry]
}

/// Waits for both families.
fn ready(mut process: Process, port: u16) -> Process {
    HERE.iter().for_each(|address| process.wait_for(SocketAddr::new(*address, port)));
    process
}

/// The files of the page, certificates of a private authority, and the canary in both layouts.
pub(crate) struct Files {
    pub(crate) folder: TempDir,
}

impl Files {
    pub(crate) fn new() -> Self {
        let files = Files { folder: TempDir::new().unwrap() };
        let folder = files.folder.path();
        let mut certs = Command::new(env!("CARGO_BIN_EXE_pharos"));
        let made = certs.args(["certs", "--name", NAME, "--folder"]).arg(folder).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        for (made, page) in [("mirror.pem", "fullchain.pem"), ("mirror.key", "privkey.pem")] {
            fs::rename(folder.join(made), folder.join(page)).unwrap();
        }
        files.put(&format!("blobs/sha256:{HEX}"), CANARY);
        let storage = "storage/docker/registry/v2";
        files.put(&format!("{storage}/blobs/sha256/{}/{HEX}/data", &HEX[..2]), CANARY);
        let link = format!("{storage}/repositories/pause/_layers/sha256/{HEX}/link");
        files.put(&link, format!("sha256:{HEX}").as_bytes());
        files
    }

    fn put(&self, file: &str, content: &[u8]) {
        let path = self.folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Starts a docker-registry in a folder of its own.
    fn registry(&self, name: &str, config: &str) -> Process {
        self.put(&format!("{name}/config.yml"), config.as_bytes());
        Process::start("docker-registry", &["serve", "config.yml"], &self.folder.path().join(name), &[])
    }

    /// Writes the fences, with the folders of the test in place of those of the page.
    pub(crate) fn write(&self, page: &Page) {
        let stand = [
            ("/etc/ssl/blob/", format!("{}/", self.folder.path().display())),
            ("/srv/blobs", self.path("blobs")),
            ("/var/lib/docker-registry", self.path("storage")),
        ];
        page.write_files(self.folder.path(), |_, text| {
            stand.iter().fold(text.to_string(), |text, (from, to)| text.replace(from, to))
        });
    }

    pub(crate) fn read(&self, file: &str) -> String {
        fs::read_to_string(self.folder.path().join(file)).unwrap()
    }

    pub(crate) fn path(&self, file: &str) -> String {
        self.folder.path().join(file).display().to_string()
    }
}
