//! `docs/run-a-mirror.md`: each server with the configuration of the page, and the commands of the page against it.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::common::peers::{find_program, free_port};
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
    let files = Files::new();
    files.write(page);
    let folder = files.folder.path();
    let check = [("check fullchain.pem", "check fullchain.pem --roots ca.pem")];
    shell::run(page, page.claim("certificate"), folder, &check);
    shell::run(page, page.claim("pem"), folder, &[]);
    for recipe in RECIPES {
        let commands = page.claim_all(recipe.commands);
        let Some(program) = find_program(recipe.program) else {
            eprintln!("skipped: {} is not installed (Debian package of that name)", recipe.program);
            continue;
        };
        let port = free_port();
        let _processes = (recipe.start)(&files, &program, port);
        let name = format!("--name {NAME} --port {port} --roots ca.pem");
        let to = format!("--cacert ca.pem --connect-to ::127.0.0.1:{port}");
        let stand = [
            ("--connect-to ::192.0.2.10:", &*to),
            ("--name blob.example.com", &name),
            ("192.0.2.10", "127.0.0.1"),
            ("2001:db8::10", "::1"),
        ];
        commands.iter().for_each(|fence| shell::run(page, fence, folder, &stand));
        eprintln!("{} is right by the commands `{}`", recipe.program, recipe.commands);
    }
}

/// A server of the page, how it is started, and the commands that it must answer as the page shows.
struct Recipe {
    program: &'static str,
    start: fn(&Files, &Path, u16) -> Vec<Process>,
    commands: &'static str,
}

const RECIPES: [Recipe; 5] = [
    Recipe { program: "nginx", start: nginx, commands: "verify" },
    Recipe { program: "nginx", start: nginx_that_redirects, commands: "redirect" },
    Recipe { program: "caddy", start: caddy, commands: "verify" },
    Recipe { program: "docker-registry", start: registries, commands: "verify" },
    Recipe { program: "haproxy", start: haproxy, commands: "verify" },
];

fn nginx(files: &Files, program: &Path, port: u16) -> Vec<Process> {
    let site = site_of_nginx(files, &HERE, port);
    vec![ready(start_nginx(&files.folder.path().join("nginx"), program, &site), port)]
}

fn nginx_that_redirects(files: &Files, program: &Path, port: u16) -> Vec<Process> {
    let location = format!("{}    location / {{", files.read("nginx/canonical.conf"));
    let edits = [("=404", "@canonical"), ("    location / {", &*location)];
    let site = edited(&site_of_nginx(files, &HERE, port), &edits);
    vec![ready(start_nginx(&files.folder.path().join("nginx"), program, &site), port)]
}

/// The page's file of `sites-enabled`, with other addresses.
fn site_of_nginx(files: &Files, addresses: &[IpAddr], port: u16) -> String {
    let listen = |address: &IpAddr| format!("    listen {} ssl http2;\n", SocketAddr::new(*address, port));
    let lines: String = addresses.iter().map(listen).collect();
    let page = "    listen 443 ssl http2;\n    listen [::]:443 ssl http2;\n";
    edited(&files.read("nginx/blob.conf"), &[(page, &lines)])
}

/// Starts nginx with a file of `sites-enabled`.
fn start_nginx(folder: &Path, program: &Path, site: &str) -> Process {
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
    Process::start(program, &["-e", "stderr", "-p", &folder.display().to_string(), "-c", &config], folder, &[])
}

/// Starts nginx with the configuration of the page at one address, with a copy of the blobs for itself.
pub(crate) fn start_mirror(files: &Files, nginx: &Path, name: &str, address: IpAddr, port: u16) -> Process {
    let blobs = files.folder.path().join(name).join("blobs");
    fs::create_dir_all(&blobs).unwrap();
    fs::copy(files.path(&format!("blobs/sha256:{HEX}")), blobs.join(format!("sha256:{HEX}"))).unwrap();
    let site = site_of_nginx(files, &[address], port);
    let site = edited(&site, &[(&files.path("blobs"), &blobs.display().to_string())]);
    let mut process = start_nginx(&files.folder.path().join(name), nginx, &site);
    process.wait_for(SocketAddr::new(address, port));
    process
}

fn caddy(files: &Files, program: &Path, port: u16) -> Vec<Process> {
    let text = files.read("caddy/Caddyfile");
    // Without redirects from port 80, and with its order socket and state in the folder.
    let head = format!(
        "{{\n\tadmin off\n\tauto_https disable_redirects\n}}\nhttps://{NAME}:{port} {{\n\tbind 127.0.0.1 [::1]\n"
    );
    let text = edited(&text, &[("https://blob.example.com:443 {\n", &head)]);
    fs::write(files.folder.path().join("caddy/Caddyfile.test"), text).unwrap();
    let home = files.path("caddy");
    let environment = [("HOME", &*home), ("XDG_DATA_HOME", &home), ("XDG_CONFIG_HOME", &home)];
    let arguments = ["run", "--adapter", "caddyfile", "--config", "caddy/Caddyfile.test"];
    vec![ready(Process::start(program, &arguments, files.folder.path(), &environment), port)]
}

/// One for each family: `:443` would be open to other machines.
fn registries(files: &Files, program: &Path, port: u16) -> Vec<Process> {
    let start = |address: IpAddr| {
        let at = SocketAddr::new(address, port).to_string();
        let text = edited(&files.read("registry/config.yml"), &[("addr: :443", &format!("addr: \"{at}\""))]);
        files.registry(program, if address.is_ipv4() { "registry4" } else { "registry6" }, &text)
    };
    let mut processes = HERE.map(start);
    processes.iter_mut().zip(HERE).for_each(|(process, address)| process.wait_for(SocketAddr::new(address, port)));
    processes.into()
}

/// Behind it is the registry of the page without TLS.
fn haproxy(files: &Files, program: &Path, port: u16) -> Vec<Process> {
    let Some(registry) = find_program("docker-registry") else { panic!("haproxy's recipe needs docker-registry") };
    let (behind, plain) = (free_port(), files.read("registry/config.yml"));
    let (plain, _) = plain.split_once("  tls:\n").expect("TLS comes last");
    let plain = edited(plain, &[("addr: :443", &format!("addr: 127.0.0.1:{behind}"))]);
    let mut registry = files.registry(&registry, "registry-plain", &plain);
    registry.wait_for(SocketAddr::new(HERE[0], behind));
    let (v4, v6, server) =
        (format!("bind 127.0.0.1:{port} "), format!("bind [::1]:{port} "), format!("127.0.0.1:{behind}"));
    let pem = files.path("blob.pem");
    let text = files.read("haproxy/haproxy.cfg");
    let edits = [
        ("bind 0.0.0.0:443 ", &*v4),
        ("bind [::]:443 ", &v6),
        ("/etc/haproxy/blob.pem", &pem),
        ("127.0.0.1:5000", &server),
    ];
    fs::write(files.folder.path().join("haproxy/test.cfg"), edited(&text, &edits)).unwrap();
    let process = Process::start(program, &["-db", "-f", "haproxy/test.cfg"], files.folder.path(), &[]);
    vec![registry, ready(process, port)]
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
    fn registry(&self, program: &Path, name: &str, config: &str) -> Process {
        self.put(&format!("{name}/config.yml"), config.as_bytes());
        Process::start(program, &["serve", "config.yml"], &self.folder.path().join(name), &[])
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
