//! Real registries behind the listener: Debian's docker-registry, filled with images; and skopeo, which pulls them.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::common::ports::free_port;
use crate::needs::program;

const PATIENCE: Duration = Duration::from_secs(60);

/// docker-registry with a folder of its own; it ends when it is dropped.
pub(crate) struct DockerRegistry {
    pub(crate) at: SocketAddr,
    process: Child,
    _folder: TempDir,
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl DockerRegistry {
    /// Starts one; with `upstream` it pulls through from there.
    pub(crate) async fn start(port: Option<u16>, upstream: Option<SocketAddr>) -> Option<Self> {
        let program = program("docker-registry", "docker-registry")?;
        let folder = tempfile::tempdir().unwrap();
        let at = SocketAddr::from(([127, 0, 0, 1], port.unwrap_or_else(free_port)));
        let proxy = upstream.map(|at| format!("proxy: {{ remoteurl: \"http://{at}\" }}\n")).unwrap_or_default();
        let config = format!(
            "version: 0.1\nlog: {{ level: error }}\nstorage: {{ filesystem: {{ rootdirectory: {:?} }} }}\n\
             http: {{ addr: {at} }}\n{proxy}",
            folder.path().join("data"),
        );
        let file = folder.path().join("config.yml");
        std::fs::write(&file, config).unwrap();
        let quiet = Stdio::null;
        let process = Command::new(program)
            .arg("serve")
            .arg(file)
            .stdout(quiet())
            .stderr(quiet())
            .stdin(quiet())
            .spawn()
            .unwrap();
        let registry = DockerRegistry { at, process, _folder: folder };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(at).await.is_err() {
            assert!(Instant::now() < deadline, "docker-registry does not listen");
            tokio::task::yield_now().await;
        }
        Some(registry)
    }

    /// Stores an image with one layer; the digests of its manifest, its config and its layer.
    pub(crate) async fn push(&self, repository: &str, tag: &str, layer: &str) -> [String; 3] {
        let config = r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
        for blob in [config, layer] {
            let (status, location, _) =
                call(self.at, Method::POST, &format!("/v2/{repository}/blobs/uploads/"), "", "").await;
            assert_eq!(status, 202);
            let location = location.unwrap();
            let path = location.split_once(&self.at.to_string()).map_or(&*location, |(_, path)| path);
            let path = format!("{path}&digest={}", digest(blob));
            assert_eq!(call(self.at, Method::PUT, &path, "application/octet-stream", blob).await.0, 201);
        }
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","size":{},"digest":"{}"}},"layers":[{{"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json","size":{},"digest":"{}"}}]}}"#,
            config.len(),
            digest(config),
            layer.len(),
            digest(layer),
        );
        let path = format!("/v2/{repository}/manifests/{tag}");
        assert_eq!(call(self.at, Method::PUT, &path, MANIFEST, &manifest).await.0, 201);
        [digest(&manifest), digest(config), digest(layer)]
    }
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The SHA-256 of a text, as OCI writes it.
pub(crate) fn digest(text: &str) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    hash.as_ref().iter().fold("sha256:".to_string(), |text, byte| format!("{text}{byte:02x}"))
}

/// One request on a connection of its own: the status, the `Location` and the body of its response.
pub(crate) async fn call(
    at: SocketAddr,
    method: Method,
    path: &str,
    kind: &str,
    body: &str,
) -> (u16, Option<String>, Bytes) {
    let stream = TokioIo::new(TcpStream::connect(at).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut request =
        Request::builder().method(method).uri(path).header("host", at.to_string()).header("accept", MANIFEST);
    if !kind.is_empty() {
        request = request.header("content-type", kind);
    }
    let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
    let sent = tokio::time::timeout(PATIENCE, sender.send_request(request));
    let (head, body) = sent.await.expect("an answer in time").unwrap().into_parts();
    let location = head.headers.get("location").map(|url| url.to_str().unwrap().to_string());
    (head.status.as_u16(), location, body.collect().await.unwrap().to_bytes())
}

/// The same, following redirects by absolute URLs of http: the last status and body.
pub(crate) async fn follow(at: SocketAddr, path: &str) -> (u16, Bytes) {
    let (mut at, mut path) = (at, path.to_string());
    for _ in 0..10 {
        let (status, location, body) = call(at, Method::GET, &path, "", "").await;
        let Some(url) = location.filter(|_| (300..400).contains(&status)) else { return (status, body) };
        match url.strip_prefix("http://") {
            Some(rest) => {
                let (authority, rest) = rest.split_once('/').unwrap();
                (at, path) = (authority.parse().unwrap(), format!("/{rest}"));
            }
            None => path = url,
        }
    }
    panic!("too many redirects, at last to {at}{path}");
}
