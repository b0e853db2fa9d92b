//! Real ACME clients: each gets a certificate from Pebble by its own way of dynamic updates, while another credential has a
//! token at the shared name, which is there afterwards.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::common::needs;
use super::common::ports::free_port;
use super::common::server::PATIENCE;
use super::world::*;

pub const NAMES: [&str; 2] = ["blob.example", "one.blob.example"];

/// The token of the other credential.
pub const OTHER: u8 = 77;

/// A certificate authority that asks our server.
pub struct Pebble {
    process: Child,
    folder: TempDir,
    pub directory: String,
}

impl Pebble {
    /// Starts it; `None` if a program is missing.
    fn start(dns: SocketAddr) -> Option<Pebble> {
        let pebble = needs::program("pebble", "pebble")?;
        let folder = TempDir::new().unwrap();
        certificate(folder.path())?;
        let [port, management] = [free_port(), free_port()];
        let config = format!(
            "{{\"pebble\": {{\"listenAddress\": \"127.0.0.1:{port}\", \"managementListenAddress\": \"127.0.0.1:{management}\", \
             \"certificate\": \"cert.pem\", \"privateKey\": \"key.pem\", \"httpPort\": 5002, \"tlsPort\": 5001}}}}"
        );
        fs::write(folder.path().join("config.json"), config).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let process = Command::new(pebble)
            .current_dir(folder.path())
            .args(["-config", "config.json", "-dnsserver", &dns.to_string()])
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_WFE_NONCEREJECT", "0")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let pebble = Pebble { process, folder, directory: format!("https://127.0.0.1:{port}/dir") };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "pebble does not listen: {}", pebble.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(pebble)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// The certificate of its own listener, which clients have to trust.
    pub fn trusted(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A certificate for loopback, which is its own root.
pub fn certificate(folder: &Path) -> Option<()> {
    let output = Command::new(needs::program("openssl", "openssl")?)
        .current_dir(folder)
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
        .args(["-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    Some(())
}

/// A script in a folder.
pub fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A server and an authority, with a token of the credential `two` at the shared name.
pub struct Stage {
    pub world: World,
    pub pebble: Pebble,
    /// The folder of the client.
    folder: TempDir,
    /// The name of the client's credential.
    pub by: &'static str,
}

impl Stage {
    fn start() -> Option<Stage> {
        Stage::start_in(World::start())
    }

    /// The same with a server that runs.
    pub fn start_in(world: World) -> Option<Stage> {
        let pebble = Pebble::start(world.address)?;
        assert_eq!(world.send("two", &[add(SHARED, OTHER)]), 0);
        Some(Stage { world, pebble, folder: TempDir::new().unwrap(), by: "key:one.mirrors.example" })
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a client to its end.
    pub fn run(&self, command: &mut Command) {
        let output = run(command);
        assert!(
            output.status.success(),
            "{command:?}\n{}\n{}\n{}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
            self.pebble.log(),
            self.world.server.lines().join("\n")
        );
    }

    /// Checks the certificate, and that the client has removed its own tokens and no other.
    pub fn check(&self, certificate: &Path) {
        assert_names(certificate, &NAMES);
        assert_eq!((self.world.tokens(SHARED), self.world.tokens(OWN)), (vec![OTHER], vec![]));
        self.check_log();
    }

    /// Checks that a challenge at each name was set by the client.
    pub fn check_log(&self) {
        let lines = self.world.server.lines().join("\n");
        for owner in [SHARED, OWN] {
            let set = format!("ACME challenges at {owner}: 1 set by {}", self.by);
            assert!(lines.contains(&set), "the challenge of {owner} was needed: {lines}");
        }
    }

    /// A file with the key of a credential, as nsupdate reads it.
    fn key_file(&self, by: &str) -> PathBuf {
        let path = self.path().join(format!("{by}.key"));
        let secret = secret(by);
        let text = format!("key \"{by}.mirrors.example\" {{ algorithm hmac-sha256; secret \"{secret}\"; }};\n");
        fs::write(&path, text).unwrap();
        path
    }

    /// The command line of lego with its rfc2136 provider.
    fn lego(&self, lego: &Path, by: &str) -> Command {
        let mut command = Command::new(lego);
        command
            .env("LEGO_CA_CERTIFICATES", self.pebble.trusted())
            .env("RFC2136_NAMESERVER", self.world.address.to_string())
            .env("RFC2136_TSIG_KEY", format!("{by}.mirrors.example."))
            .env("RFC2136_TSIG_SECRET", secret(by))
            .env("RFC2136_TSIG_ALGORITHM", "hmac-sha256.")
            .env("RFC2136_SEQUENCE_INTERVAL", "1")
            .args(["--server", &self.pebble.directory, "--accept-tos", "--email", "a@mirrors.example"])
            .args(["--dns", "rfc2136", "--dns.disable-cp", "--dns.resolvers", &self.world.address.to_string()])
            .args(["--domains", "blob.example", "--domains", &format!("{by}.blob.example")])
            .arg("--path")
            .arg(self.path().join(by))
            .arg("run");
        command
    }
}

pub fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

pub fn assert_names(certificate: &Path, names: &[&str]) {
    let output =
        run(Command::new("openssl").args(["x509", "-noout", "-ext", "subjectAltName", "-in"]).arg(certificate));
    let text = String::from_utf8_lossy(&output.stdout);
    for name in names {
        assert!(text.contains(&format!("DNS:{name}")), "{}: {output:?}", certificate.display());
    }
}

#[test]
fn lego_gets_a_certificate_beside_another_token() {
    let Some(lego) = needs::program("lego", "lego") else { return };
    let Some(stage) = Stage::start() else { return };
    stage.run(&mut stage.lego(&lego, "one"));
    stage.check(&stage.path().join("one/certificates/blob.example.crt"));
}

#[test]
fn two_legos_at_once_get_a_certificate_each() {
    let Some(lego) = needs::program("lego", "lego") else { return };
    let Some(stage) = Stage::start() else { return };
    let spawn = |by| {
        let mut command = stage.lego(&lego, by);
        let log = fs::File::create(stage.path().join(format!("{by}.log"))).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
    };
    let mut both = ["one", "two"].map(spawn);
    for (by, client) in ["one", "two"].iter().zip(&mut both) {
        let status = client.wait().unwrap();
        let log = fs::read_to_string(stage.path().join(format!("{by}.log"))).unwrap();
        assert!(status.success(), "{by}: {log}\n{}", stage.pebble.log());
        assert_names(
            &stage.path().join(by).join("certificates/blob.example.crt"),
            &["blob.example", &format!("{by}.blob.example")],
        );
    }
    // A lego removes all tokens of its own credential, so that the earlier one of `two` is gone too.
    assert_eq!((stage.world.tokens(SHARED), stage.world.tokens(OWN)), (vec![], vec![]));
}

#[test]
fn certbot_gets_a_certificate_beside_another_token() {
    let Some(certbot) = needs::program("certbot", "certbot") else { return };
    if !Path::new("/usr/lib/python3/dist-packages/certbot_dns_rfc2136").exists() {
        return needs::missing("certbot has no plugin rfc2136 (Debian package python3-certbot-dns-rfc2136)");
    }
    let Some(stage) = Stage::start() else { return };
    let credentials = stage.path().join("rfc2136.ini");
    let text = format!(
        "dns_rfc2136_server = 127.0.0.1\ndns_rfc2136_port = {}\ndns_rfc2136_name = one.mirrors.example.\n\
         dns_rfc2136_secret = {}\ndns_rfc2136_algorithm = HMAC-SHA256\n",
        stage.world.address.port(),
        secret("one")
    );
    fs::write(&credentials, text).unwrap();
    fs::set_permissions(&credentials, fs::Permissions::from_mode(0o600)).unwrap();
    let mut command = Command::new(certbot);
    command
        .env("REQUESTS_CA_BUNDLE", stage.pebble.trusted())
        .args(["certonly", "-n", "--agree-tos", "--register-unsafely-without-email"])
        .args(["--server", &stage.pebble.directory, "--dns-rfc2136", "--dns-rfc2136-propagation-seconds", "0"])
        .arg("--dns-rfc2136-credentials")
        .arg(&credentials)
        .args(["-d", NAMES[0], "-d", NAMES[1]]);
    for folder in ["config", "work", "logs"] {
        command.arg(format!("--{folder}-dir")).arg(stage.path().join(folder));
    }
    stage.run(&mut command);
    stage.check(&stage.path().join("config/live/blob.example/fullchain.pem"));
}

#[test]
fn dehydrated_with_nsupdate_gets_a_certificate_beside_another_token() {
    let Some(dehydrated) = needs::program("dehydrated", "dehydrated") else { return };
    let Some(nsupdate) = needs::program("nsupdate", "bind9-dnsutils") else { return };
    if needs::program("curl", "curl").is_none() {
        return;
    }
    let Some(stage) = Stage::start() else { return };
    let update = format!("'{}' -k '{}'", nsupdate.display(), stage.key_file("one").display());
    let hook = format!(
        "#!/bin/sh\nset -e\ncase $1 in deploy_challenge) what=add ;; clean_challenge) what=delete ;; *) exit 0 ;; esac\n\
         if [ $what = add ]; then ttl=300; else ttl=; fi\n\
         printf 'server 127.0.0.1 {}\\nupdate %s _acme-challenge.%s. %s IN TXT \"%s\"\\nsend\\n' $what \"$2\" \"$ttl\" \"$4\" | {update}\n",
        stage.world.address.port()
    );
    let hook = script(stage.path(), "hook", &hook);
    let config = format!(
        "CA={}\nCHALLENGETYPE=dns-01\nHOOK={}\nBASEDIR={}\nCURL_OPTS='--cacert {}'\nCONTACT_EMAIL=a@mirrors.example\n",
        stage.pebble.directory,
        hook.display(),
        stage.path().display(),
        stage.pebble.trusted().display()
    );
    let config_file = stage.path().join("config");
    fs::write(&config_file, config).unwrap();
    let command = || {
        let mut command = Command::new(&dehydrated);
        command.arg("-f").arg(&config_file);
        command
    };
    stage.run(command().args(["--register", "--accept-terms"]));
    stage.run(command().args(["-c", "-d", &NAMES.join(" ")]));
    stage.check(&stage.path().join("certs/blob.example/fullchain.pem"));
}

#[test]
fn uacme_with_nsupdate_gets_a_certificate_beside_another_token() {
    let Some(uacme) = needs::program("uacme", "uacme") else { return };
    let Some(nsupdate) = needs::program("nsupdate", "bind9-dnsutils") else { return };
    if Command::new("id").arg("-u").output().unwrap().stdout != b"0\n" {
        return needs::skip("uacme trusts the roots of the system alone, and a namespace with other roots takes root");
    }
    let Some(stage) = Stage::start() else { return };
    // As the packaged hook, which cannot be told a port: an update over TCP, and a removal of all records of the name. The
    // packaged hook also waits until its token is the only one.
    let hook = format!(
        "#!/bin/sh\nset -e\n[ \"$2\" = dns-01 ] || exit 1\ncase $1 in\n\
         begin) action=\"update add _acme-challenge.$3. 600 IN TXT $5\" ;;\n\
         done|failed) action=\"update del _acme-challenge.$3.\" ;;\nesac\n\
         printf 'server 127.0.0.1 {}\\n%s\\nsend\\n' \"$action\" | '{}' -v -k '{}'\n",
        stage.world.address.port(),
        nsupdate.display(),
        stage.key_file("one").display()
    );
    let hook = script(stage.path(), "hook", &hook);
    let command = || {
        let mut command = Command::new("unshare");
        let mount = "mount --bind \"$0\" /etc/ssl/certs/ca-certificates.crt && exec \"$@\"";
        command.args(["-m", "sh", "-c", mount]).arg(stage.pebble.trusted()).arg(&uacme);
        command.args(["-a", &stage.pebble.directory, "-y", "-c"]).arg(stage.path().join("uacme"));
        command
    };
    stage.run(command().args(["new", "a@mirrors.example"]));
    stage.run(command().arg("-h").arg(&hook).arg("issue").args(NAMES));
    stage.check(&stage.path().join("uacme/blob.example/cert.pem"));
}

#[test]
fn a_weak_algorithm_is_named_in_the_log_once() {
    let Some(nsupdate) = needs::program("nsupdate", "bind9-dnsutils") else { return };
    let world = World::start();
    let changes = world.path().join("changes");
    let text = format!("server 127.0.0.1 {}\nupdate add {SHARED}. 60 TXT {}\nsend\n", world.address.port(), token(1));
    fs::write(&changes, text).unwrap();
    let send = |key: &str, algorithm: &str| {
        let key = format!("{algorithm}:{key}.mirrors.example:{}", secret("one"));
        let output = run(Command::new(&nsupdate).args(["-y", &key]).arg(&changes));
        assert!(String::from_utf8_lossy(&output.stderr).contains("BADKEY"), "{output:?}");
    };
    // A key that the configuration lacks causes no line.
    send("absent", "hmac-md5");
    for _ in 0..3 {
        send("one", "hmac-md5");
    }
    let first = "key one.mirrors.example came with hmac-md5, and is configured with hmac-sha256; hmac-sha256 and up are accepted";
    let mut lines = world.server.wait_for(first);
    // The service takes one notice a second, and a full queue drops the others: a client tries again.
    let deadline = Instant::now() + PATIENCE;
    while !lines.iter().any(|line| line.contains("key one.mirrors.example came with hmac-sha1")) {
        assert!(Instant::now() < deadline, "{lines:#?}");
        send("one", "hmac-sha1");
        lines.extend(world.server.wait_for_nothing_in(Duration::from_millis(500)));
    }
    assert_eq!(lines.iter().filter(|line| line.contains(" came with ")).count(), 2, "{lines:#?}");
    assert!(world.tokens(SHARED).is_empty());
}

#[test]
fn nsupdate_is_told_the_reason_of_a_refusal_by_a_signed_reply() {
    let Some(nsupdate) = needs::program("nsupdate", "bind9-dnsutils") else { return };
    let world = World::start();
    let folder = TempDir::new().unwrap();
    let port = world.address.port();
    let send = |by: &str, algorithm: &str, arguments: &[&str], changes: &str| {
        let script = folder.path().join("changes");
        fs::write(&script, format!("server 127.0.0.1 {port}\n{changes}\nsend\n")).unwrap();
        let key = format!("{algorithm}:{by}.mirrors.example:{}", secret(by));
        let output = run(Command::new(&nsupdate).args(["-y", &key]).args(arguments).arg(script));
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let add = |owner: &str, number| format!("update add {owner}. 60 TXT {}", token(number));
    for transport in [&[][..], &["-v"]] {
        assert_eq!(send("one", "hmac-sha256", transport, &add(SHARED, 1)), (true, String::new()));
        let both = format!("{}\n{}", add(SHARED, 2), add("_acme-challenge.two.blob.example", 3));
        let (is_done, said) = send("one", "hmac-sha256", transport, &both);
        assert!(!is_done && said.contains("REFUSED") && !said.contains("expected a TSIG"), "{said}");
        let (is_done, said) = send("one", "hmac-sha512", transport, &add(SHARED, 2));
        assert!(!is_done && said.contains("BADKEY"), "{said}");
        let (is_done, said) = send("one", "hmac-sha256", transport, "prereq nxdomain _acme-challenge.blob.example.");
        assert!(!is_done && said.contains("YXDOMAIN"), "{said}");
        let (is_done, said) =
            send("one", "hmac-sha256", transport, "zone other.example\nupdate delete other.example. A");
        assert!(!is_done && said.contains("NOTAUTH"), "{said}");
    }
    assert_eq!(world.tokens(SHARED), [1]);
    assert_eq!(send("one", "hmac-sha256", &[], &format!("update delete {SHARED}. TXT")), (true, String::new()));
    assert!(world.tokens(SHARED).is_empty());
}
