//! The servers and files of the demonstration, in a temporary folder and on loopback addresses.
//!
//! **Invariants**: the system chooses the ports, so that two demonstrations can run at once; dropping the [`World`] closes
//! the sockets and removes the folder.
//! **Not here**: the requests of the walk ([`super::walk()`]).

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use super::DemoFailure;
use super::image::Image;
use super::mirror::DemoRegistry;
use crate::config::{FileUse, InputFile, TlsFiles, limits};
use crate::http::{self, HttpServer};
use crate::listen::{self, BeyondLimit, BoundListeners, Clients, Common, Limits, Listeners, Terms};
use crate::probe;
use crate::process::{Clock, Vital};
use crate::serve::RunningService;
use crate::telemetry::http::Http;
use crate::tls::{self, Authority, Existing, Identity, Pair, Roots, Tls};

/// The name that mirrors share.
pub(super) const BLOBS: &str = "blob.k8s.io";
/// The registry's own name.
pub(super) const REGISTRY: &str = "registry.k8s.io";
/// The name of the canonical registry, which has the manifests.
pub(super) const CANONICAL: &str = "canonical.k8s.io";

/// The addresses. Linux has them without configuration, because all of 127.0.0.0/8 is loopback.
const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
const CANONICAL_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 4));

/// The most attempts to find a port that is free at the addresses of all mirrors; two are nearly always enough.
const PORT_TRIES: usize = 50;

/// The days that certificates are valid for: more than any demonstration runs.
const DAYS: u16 = 90;

/// The control socket, in the temporary folder.
const SOCKET: &str = "control.sock";

/// The time in which connections may finish when the servers stop: all clients are our own.
const GRACE: Duration = Duration::from_secs(1);

/// Connections to a mirror: all are from this machine.
const LIMITS: Limits =
    Limits { connections: 256, per_client: 256, beyond: BeyondLimit::CloseIdlest, idle: Duration::from_secs(30) };

/// A mirror.
pub(super) struct DemoMirror {
    pub(super) name: &'static str,
    pub(super) address: IpAddr,
    tls: Arc<Tls>,
    good: Identity,
    bad: Identity,
    server: Listeners,
}

impl DemoMirror {
    /// Presents a certificate for another name from now on.
    pub(super) fn spoil_certificate(&self) {
        self.tls.replace(self.bad.clone());
    }

    /// Presents the right certificate again.
    pub(super) fn mend_certificate(&self) {
        self.tls.replace(self.good.clone());
    }
}

/// The running demonstration.
pub(crate) struct World {
    folder: tempfile::TempDir,
    pub(super) image: Image,
    pub(super) mirrors: [DemoMirror; 2],
    /// The port of all mirrors.
    pub(super) port: u16,
    pub(super) canonical: SocketAddr,
    canonical_server: Listeners,
    pub(super) dns: SocketAddr,
    pub(super) registry: SocketAddr,
    running: RunningService,
}

impl World {
    /// Starts all servers.
    pub(crate) async fn start() -> Result<Self, DemoFailure> {
        let folder = tempfile::Builder::new().prefix("pharos-demo-").tempdir();
        let folder = folder.map_err(DemoFailure::system("make a temporary folder"))?;
        let image = Image::new();
        image.write(&folder.path().join("image")).map_err(DemoFailure::system("write the image"))?;
        let certificates = DemoAuthority::new(folder.path().join("certs"))?;
        let (port, bound) = one_port([2, 3].map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))))?;
        let mirror = |name: &'static str, bound: BoundListeners| -> Result<DemoMirror, DemoFailure> {
            let address = bound.addresses()[0].ip();
            let good = certificates.identity(name, BLOBS)?;
            let bad = certificates.identity(&format!("{name}-wrong"), "other.example")?;
            let (tls, server) = serve(bound, &image, false, good.clone())?;
            Ok(DemoMirror { name, address, tls, good, bad, server })
        };
        let [first, second] = bound;
        let mirrors = [mirror("aws", first)?, mirror("gcp", second)?];
        let bound = bind(SocketAddr::new(CANONICAL_ADDRESS, 0))?;
        let canonical = bound.addresses()[0];
        let identity = certificates.identity("canonical", CANONICAL)?;
        let (_, canonical_server) = serve(bound, &image, true, identity)?;
        certificates.identity("listener", REGISTRY)?;
        write_config(folder.path(), &image, &mirrors, port, canonical)?;
        let running = RunningService::start(&folder.path().join("pharos.toml")).await;
        let running = running.map_err(DemoFailure::Serve)?;
        let first = |addresses: Vec<SocketAddr>| {
            addresses.first().copied().ok_or_else(|| DemoFailure::Unexpected("a listener is missing".into()))
        };
        Ok(World {
            image,
            mirrors,
            port,
            canonical,
            canonical_server,
            dns: first(running.dns_addresses())?,
            registry: first(running.registry_addresses())?,
            running,
            folder,
        })
    }

    /// The folder of all files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The control socket; `None` if the temporary folder has too long a path for one.
    pub(crate) fn socket(&self) -> Option<PathBuf> {
        control_socket(self.folder())
    }

    /// The file of the roots.
    pub(super) fn roots_file(&self) -> PathBuf {
        let [root, _] = Pair::paths(&self.folder().join("certs"), "ca");
        root
    }

    /// The roots that clients trust here.
    pub(super) fn roots(&self) -> Result<Arc<Roots>, DemoFailure> {
        Ok(probe::roots(Some(&InputFile::at(self.roots_file(), FileUse::Roots)))?)
    }

    /// Stops all servers and removes the folder.
    pub(crate) async fn stop(self) -> Result<(), DemoFailure> {
        self.running.stop().await;
        let [one, other] = self.mirrors;
        tokio::join!(one.server.stop(GRACE), other.server.stop(GRACE), self.canonical_server.stop(GRACE));
        self.folder.close().map_err(DemoFailure::system("remove the temporary folder"))
    }
}

/// A private authority that writes its certificates to a folder.
struct DemoAuthority {
    folder: PathBuf,
    authority: Authority,
    now: OffsetDateTime,
}

impl DemoAuthority {
    fn new(folder: PathBuf) -> Result<Self, DemoFailure> {
        let now = OffsetDateTime::now_utc();
        let authority = Authority::new(now).map_err(DemoFailure::Authority)?;
        std::fs::create_dir(&folder).map_err(DemoFailure::system("make a folder"))?;
        authority.own().write(&folder, "ca", Existing::Keep).map_err(DemoFailure::Write)?;
        Ok(DemoAuthority { folder, authority, now })
    }

    fn identity(&self, stem: &str, name: &str) -> Result<Identity, DemoFailure> {
        let pair = self.authority.issue(&[name.to_string()], self.now, DAYS);
        pair.map_err(DemoFailure::Authority)?.write(&self.folder, stem, Existing::Keep).map_err(DemoFailure::Write)?;
        let [cert, key] = Pair::paths(&self.folder, stem).map(|path| InputFile::at(path, FileUse::Pem));
        Ok(tls::load(&TlsFiles { cert, key }, Clock::unix())?.0)
    }
}

fn bind(address: SocketAddr) -> Result<BoundListeners, DemoFailure> {
    listen::bind(&[address], "listen").map_err(|error| DemoFailure::system("listen")(error.error))
}

/// A port that is free at two addresses, because clients use one port for the shared name.
fn one_port([first, second]: [IpAddr; 2]) -> Result<(u16, [BoundListeners; 2]), DemoFailure> {
    for _ in 0..PORT_TRIES {
        let one = bind(SocketAddr::new(first, 0))?;
        let port = one.addresses()[0].port();
        if let Ok(other) = bind(SocketAddr::new(second, port)) {
            return Ok((port, [one, other]));
        }
    }
    Err(DemoFailure::System { what: "find a free port", error: io::ErrorKind::AddrInUse.into() })
}

fn serve(
    bound: BoundListeners,
    image: &Image,
    has_manifests: bool,
    identity: Identity,
) -> Result<(Arc<Tls>, Listeners), DemoFailure> {
    let tls = Tls::new(identity, &http::PROTOCOLS).map_err(|error| DemoFailure::Unexpected(error.to_string()))?;
    let tls = Arc::new(tls);
    let registry = DemoRegistry { image: image.clone(), has_manifests };
    let terms = Terms {
        kind: "mirror",
        clients: Clients::new(LIMITS),
        tls: Some(tls.clone()),
        common: Common::new(Vital::new().0),
    };
    let server = HttpServer::start(bound, terms, registry, Arc::new(Http::default()));
    Ok((tls, server.map_err(DemoFailure::system("start a mirror"))?))
}

/// The control socket; `None` if the path of the temporary folder is too long for one.
fn control_socket(folder: &Path) -> Option<PathBuf> {
    Some(folder.join(SOCKET)).filter(|path| path.as_os_str().len() <= limits::MAX_SOCKET_PATH)
}

fn write_config(
    folder: &Path,
    image: &Image,
    mirrors: &[DemoMirror; 2],
    port: u16,
    canonical: SocketAddr,
) -> Result<(), DemoFailure> {
    let write = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).map_err(DemoFailure::system("write a file of the configuration"))
    };
    write("pharos.toml", &config_text(folder, image, mirrors, port, canonical))?;
    let soa = "$TTL 60\n@ IN SOA ns1 hostmaster.k8s.io. 1 3600 600 1209600 60\n@ IN NS ns1\n";
    write("blob.zone", &format!("{soa}ns1 IN A {SERVER}\n"))?;
    let hosts = format!("registry IN A {SERVER}\ncanonical IN A {}\n", canonical.ip());
    write("k8s.zone", &format!("{soa}ns1 IN A {SERVER}\n{hosts}blob IN NS ns1.blob\nns1.blob IN A {SERVER}\n"))?;
    write("aws.txt", include_str!("../../zones/networks/aws.txt"))?;
    write("gcp.txt", include_str!("../../zones/networks/gcp.txt"))
}

fn config_text(folder: &Path, image: &Image, mirrors: &[DemoMirror; 2], port: u16, canonical: SocketAddr) -> String {
    let control = match control_socket(folder) {
        Some(_) => format!("[control]\nsocket = \"{SOCKET}\"\nstate  = \"overrides.state\"\n\n"),
        None => String::new(),
    };
    let [aws, gcp] = mirrors.each_ref().map(|mirror| mirror.address);
    let (digest, size) = (&image.config.digest, image.config.octets.len());
    // Hold-down is short so that a walk takes seconds; `fall` and `rise` are as in production. `ask-wait` is long, because
    // a mirror may not answer within the default on a busy machine.
    format!(
        r#"# What the demonstration serves; it goes with the folder.

[dns]
listen = "{SERVER}:0"

[registry]
listen    = "{SERVER}:0"
tls       = {{ cert = "certs/listener.pem", key = "certs/listener.key" }}
canonical = "https://{CANONICAL}:{}"
blobs     = "https://{BLOBS}:{port}"
trusted-proxies = ["127.0.0.0/8"]
ask-wait  = "5s"

[probe]
port      = {port}
roots     = "certs/ca.pem"
interval  = "200ms"
retry     = "100ms"
hold-down = "500ms"
canary    = {{ repository = "{}", digest = "{digest}", size = {size} }}

{control}[[zone]]
name  = "{BLOBS}"
file  = "blob.zone"
steer = [{{ owner = "@", horizon = "blobs", ttl = 60 }}]

[[zone]]
name = "k8s.io"
file = "k8s.zone"

[networks]
aws = {{ list = "aws.txt", provider = "aws" }}
gcp = {{ list = "gcp.txt", provider = "gcp" }}

[mirrors.aws]
addresses = ["{aws}"]

[mirrors.gcp]
addresses = ["{gcp}"]

[horizons.blobs]
rules = [
  {{ provider = "aws", mirrors = ["aws"] }},
  {{ provider = "gcp", mirrors = ["gcp"] }},
]
default = ["gcp", "aws"]
"#,
        canonical.port(),
        super::image::REPOSITORY,
    )
}
