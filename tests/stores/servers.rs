//! Servers of stores, as processes on free ports of loopback: moto (S3), Azurite (Azure), etcd. Each ends when it is dropped.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use ring::hmac;
use tempfile::TempDir;

use crate::common::needs;
use crate::common::ports::free_address;
use crate::common::server::PATIENCE;

/// A running server.
pub(crate) struct Process {
    pub(crate) address: SocketAddr,
    child: Child,
    _folder: Option<TempDir>,
}

impl Process {
    /// Sends it a signal.
    #[allow(dead_code, reason = "tests of fleets use it")]
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a program, and waits until it accepts connections.
fn start(mut command: Command, address: SocketAddr, folder: Option<TempDir>) -> Process {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let mut process = Process { address, child, _folder: folder };
    let begun = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(process.child.try_wait().unwrap().is_none(), "{command:?} ended");
        assert!(begun.elapsed() < PATIENCE, "{command:?} does not listen");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    process
}

/// Sends a request, and returns the whole response.
pub(crate) fn request(address: SocketAddr, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let text =
        format!("{head}\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

/// An S3 API with a bucket `fleet`.
pub(crate) fn moto() -> Option<Process> {
    let Some(program) = needs::find_program("moto_server") else {
        needs::missing("moto_server is not installed (tests/run installs it)");
        return None;
    };
    let address = free_address();
    let mut command = Command::new(program);
    command.args(["-H", "127.0.0.1", "-p", &address.port().to_string()]).stderr(Stdio::null());
    let moto = start(command, address, None);
    let made = request(address, "PUT /fleet HTTP/1.1", "");
    assert!(made.starts_with("HTTP/1.1 200"), "{made}");
    Some(moto)
}

/// The account of Azurite, and its published key.
pub(crate) const AZURE_ACCOUNT: &str = "devstoreaccount1";
pub(crate) const AZURE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// An API of Azure Blob Storage with a container `fleet`.
pub(crate) fn azurite() -> Option<Process> {
    let Some(program) = needs::find_program("azurite-blob") else {
        needs::missing("azurite-blob is not installed (tests/run installs it)");
        return None;
    };
    let address = free_address();
    let folder = TempDir::new().unwrap();
    let mut command = Command::new(program);
    command.args([
        "--inMemoryPersistence",
        "--skipApiVersionCheck",
        "--disableTelemetry",
        "--silent",
        "--blobHost",
        "127.0.0.1",
    ]);
    command.args(["--blobPort", &address.port().to_string()]).current_dir(folder.path()).stderr(Stdio::null());
    let azurite = start(command, address, Some(folder));
    // A container is made by a signed request, and no store makes any.
    let date = time::OffsetDateTime::now_utc();
    let form = time::macros::format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let date = date.format(form).unwrap();
    let headers = format!("x-ms-date:{date}\nx-ms-version:2021-08-06");
    let resource = format!("/{AZURE_ACCOUNT}/{AZURE_ACCOUNT}/fleet\nrestype:container");
    let key = data_encoding::BASE64.decode(AZURE_KEY.as_bytes()).unwrap();
    let signed = format!("PUT\n\n\n\n\n\n\n\n\n\n\n\n{headers}\n{resource}");
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), signed.as_bytes());
    let signature = data_encoding::BASE64.encode(tag.as_ref());
    let head = format!(
        "PUT /{AZURE_ACCOUNT}/fleet?restype=container HTTP/1.1\r\nx-ms-date: {date}\r\nx-ms-version: 2021-08-06\r\n\
         Authorization: SharedKey {AZURE_ACCOUNT}:{signature}"
    );
    let made = request(address, &head, "");
    assert!(made.starts_with("HTTP/1.1 201"), "{made}");
    Some(azurite)
}

/// A member of etcd, which can be killed and started again.
pub(crate) struct EtcdMember {
    pub(crate) client: SocketAddr,
    arguments: Vec<String>,
    program: PathBuf,
    process: Option<Process>,
}

impl EtcdMember {
    pub(crate) fn start(&mut self) {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stderr(Stdio::null());
        self.process = Some(start(command, self.client, None));
    }

    pub(crate) fn kill(&mut self) {
        self.process = None;
    }
}

/// The files of TLS between clients and members.
pub(crate) struct EtcdTls<'t> {
    pub(crate) ca: &'t Path,
    pub(crate) cert: &'t Path,
    pub(crate) key: &'t Path,
}

/// Starts the members of one etcd.
pub(crate) fn etcd(count: usize, folder: &Path, tls: Option<&EtcdTls<'_>>) -> Option<Vec<EtcdMember>> {
    let program = needs::program("etcd", "etcd-server")?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let addresses: Vec<_> = (0..count * 2).map(|_| free_address()).collect();
    let cluster = (0..count).map(|at| format!("m{at}=http://{}", addresses[2 * at + 1])).collect::<Vec<_>>().join(",");
    let mut members = Vec::new();
    for at in 0..count {
        let (client, peer) = (addresses[2 * at], addresses[2 * at + 1]);
        let mut arguments: Vec<String> = Vec::new();
        let data = folder.join(format!("m{at}"));
        let mut add = |key: &str, value: &str| arguments.push(format!("--{key}={value}"));
        add("name", &format!("m{at}"));
        add("data-dir", &data.display().to_string());
        add("listen-client-urls", &format!("{scheme}://{client}"));
        add("advertise-client-urls", &format!("{scheme}://{client}"));
        add("listen-peer-urls", &format!("http://{peer}"));
        add("initial-advertise-peer-urls", &format!("http://{peer}"));
        add("initial-cluster", &cluster);
        add("initial-cluster-token", &format!("pharos-{}", addresses[0].port()));
        if let Some(tls) = tls {
            add("client-cert-auth", "true");
            add("trusted-ca-file", &tls.ca.display().to_string());
            add("cert-file", &tls.cert.display().to_string());
            add("key-file", &tls.key.display().to_string());
        }
        members.push(EtcdMember { client, arguments, program: program.clone(), process: None });
    }
    // A member listens for clients once it has a leader, so that all are started before the first is waited for.
    let others: Vec<_> = members[1..]
        .iter()
        .map(|member| {
            let output = || Stdio::from(File::create("/dev/null").unwrap());
            let mut command = Command::new(&member.program);
            command.args(&member.arguments).stdin(Stdio::null()).stdout(output()).stderr(output()).spawn().unwrap()
        })
        .collect();
    members[0].start();
    for (member, child) in members[1..].iter_mut().zip(others) {
        member.process = Some(Process { address: member.client, child, _folder: None });
        let begun = Instant::now();
        while TcpStream::connect(member.client).is_err() {
            assert!(begun.elapsed() < PATIENCE, "a member of etcd does not listen");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
    Some(members)
}
