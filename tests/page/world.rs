//! A server with its admin listener, for a browser and for the command line.
//!
//! **Not here**: the browser ([`super::browser`]).

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Instant;

use serde_json::Value;

use crate::common::feeds;
use crate::common::needs;
use crate::common::ports::free_port;
use crate::common::server::{PATIENCE, Server};

/// The token of the admin listener.
pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

const ZONE: &str = "$TTL 60\n@ SOA ns1 hostmaster 7 3600 600 86400 60\n@ NS ns1\nns1 A 127.0.0.1\n";

/// The first part of each configuration. `{admin}` has further keys of the listener.
const HEAD: &str = r#"allow = ["single-ns"]
[dns]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:{port}"
{admin}
[control]
socket = "control.sock"
state = "overrides.json"
[[zone]]
name = "blob.example"
file = "zone"
steer = [{ owner = "@", horizon = "blobs", ttl = 60 }]
"#;

/// Two mirrors; clients of one network get the near one.
pub(crate) const TWO: &str = r#"
[networks]
sites = { list = "sites.txt" }
[mirrors.near]
addresses = ["192.0.2.10"]
[mirrors.far]
addresses = ["192.0.2.20", "2001:db8::20"]
[horizons.blobs]
rules = [{ network = "sites", mirrors = ["near"] }]
default = ["far"]
"#;

/// A folder with a configuration, and the server that runs with it.
pub(crate) struct World {
    folder: tempfile::TempDir,
    server: Option<Server>,
    has_token: bool,
    /// The port of the admin listener; 0 until the first start.
    port: u16,
    rest: String,
}

impl World {
    /// Starts a server with a token, from the rest of its configuration and its files.
    pub(crate) fn start(rest: &str, files: &[(&str, &str)]) -> World {
        World::start_as(rest, files, true)
    }

    /// The same without a token.
    pub(crate) fn start_without_token(rest: &str, files: &[(&str, &str)]) -> World {
        World::start_as(rest, files, false)
    }

    fn start_as(rest: &str, files: &[(&str, &str)], has_token: bool) -> World {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("zone", ZONE), ("admin.token", TOKEN), ("sites.txt", SITES)].iter().chain(files) {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let mut world = World { folder, server: None, has_token, port: free_port(), rest: rest.to_string() };
        world.start_again();
        world
    }

    /// Starts the server at the port that it had before.
    pub(crate) fn start_again(&mut self) {
        self.write_config(&self.rest);
        let server = Server::start(&self.config());
        self.server = Some(server);
        // It answers over DNS a moment before it explains.
        let deadline = Instant::now() + PATIENCE;
        while self.run(&["status"]).status.code() != Some(0) {
            assert!(Instant::now() < deadline, "it does not answer");
        }
    }

    /// Replaces the rest of the configuration.
    pub(crate) fn write_config(&self, rest: &str) {
        let admin = if self.has_token { "token-file = \"admin.token\"" } else { "" };
        let head = HEAD.replace("{admin}", admin).replace("{port}", &self.port.to_string());
        self.write("pharos.toml", &format!("{head}{rest}"));
    }

    /// Ends the server.
    pub(crate) fn stop(&mut self) {
        self.server = None;
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("pharos.toml")
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// The address of a path on the admin listener.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pharos"));
        command.env_remove("NOTIFY_SOCKET").arg("--config").arg(self.config()).args(arguments).output().unwrap()
    }

    /// Runs a command that must succeed, and returns its JSON.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The response to a request with the token: its head, and its body.
    pub(crate) fn get(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(SocketAddr::new(IpAddr::from(Ipv4Addr::LOCALHOST), self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\nAuthorization: Bearer {TOKEN}\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.to_string(), body.to_string())
    }

    /// The JSON of a path.
    #[track_caller]
    pub(crate) fn get_json(&self, path: &str) -> Value {
        let (head, body) = self.get(path);
        assert!(head.starts_with("HTTP/1.0 200"), "{path}: {head} {body}");
        serde_json::from_str(&body).unwrap()
    }
}

/// The clients of [`TWO`] that get the near mirror.
const SITES: &str = "198.51.0.0/16 office\n203.0.0.0/12 hall\n2600:1f00::/24 cloud\n";

/// A mirror for each region of the published feeds, and one for all other clients. `None` if a feed is missing, which is counted.
#[track_caller]
pub(crate) fn of_the_feeds() -> Option<String> {
    let (aws, gcp) = (feeds::read("aws-ip-ranges.json")?, feeds::read("gcp-cloud.json")?);
    let names = |feed: &Value, key: &str| {
        let all = feed["prefixes"].as_array().unwrap().iter().map(|row| row[key].as_str().unwrap().to_string());
        all.collect::<std::collections::BTreeSet<String>>()
    };
    let (mut mirrors, mut rules) = (String::new(), String::new());
    let all = names(&aws, "region").into_iter().map(|region| ("aws", region));
    for (at, (provider, region)) in all.chain(names(&gcp, "scope").into_iter().map(|scope| ("gcp", scope))).enumerate()
    {
        let (name, last) = (format!("{provider}-{region}"), at + 2);
        mirrors += &format!("[mirrors.{name}]\naddresses = [\"192.0.2.{last}\", \"2001:db8::{last:x}\"]\n");
        rules += &format!("  {{ provider = \"{provider}\", region = \"{region}\", mirrors = [\"{name}\"] }},\n");
    }
    let path = |file: &str| needs::data_folder().canonicalize().unwrap().join(file).display().to_string();
    Some(format!(
        "[networks]\naws = {{ feed = \"aws\", file = \"{}\" }}\ngcp = {{ feed = \"gcp\", file = \"{}\" }}\n\
         [mirrors.fallback]\naddresses = [\"192.0.2.1\", \"2001:db8::1\"]\n{mirrors}\
         [horizons.blobs]\nrules = [\n{rules}]\ndefault = [\"fallback\"]\n",
        path("aws-ip-ranges.json"),
        path("gcp-cloud.json"),
    ))
}
