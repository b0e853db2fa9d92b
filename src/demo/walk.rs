//! The walk: five steps with requests over sockets; each answer is printed when it arrives.
//!
//! **Invariants**: a line is printed only after its fact was observed; a step with an unexpected outcome ends the walk with
//! an error.
//! **Not here**: printing ([`crate::cli`]), making requests ([`super::client`]).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::DemoFailure;
use super::client::{DemoAnswer, DemoClient, Got, PATIENCE};
use super::image::{Blob, REPOSITORY, TAG, digest_of};
use super::world::{BLOBS, CANONICAL, DemoMirror, REGISTRY, World};
use crate::base::prefix::Prefix;
use crate::config::Probe;
use crate::probe::{Aim, Prober};

/// The pause between two queries that wait for the answer to change.
const AGAIN: Duration = Duration::from_millis(50);

/// The kind of a line, which decides its layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WalkLineKind {
    /// A step begins.
    Heading,
    /// A sentence about the step.
    Words,
    /// A command that an operator can type to get the same answer.
    Command,
    /// A request that a pull client makes.
    Request,
    /// An answer.
    Reply,
    /// A head and words, with a tab between them.
    Row,
    /// An empty line.
    Blank,
}

/// Does all steps; passes each line to `tell` as soon as its fact is known.
pub(crate) async fn walk(world: &World, tell: &(dyn Fn(WalkLineKind, &str) + Sync)) -> Result<(), DemoFailure> {
    let roots = world.roots()?;
    let client = |subnet: &str, address: [u8; 4]| -> Result<DemoClient, DemoFailure> {
        let subnet: Prefix = subnet.parse().map_err(|_| DemoFailure::Unexpected(format!("`{subnet}` is no subnet")))?;
        Ok(DemoClient { dns: world.dns, subnet, address: IpAddr::from(address), roots: roots.clone() })
    };
    let aws = client("3.80.1.0/24", [3, 80, 1, 5])?;
    let gcp = client("34.76.8.0/24", [34, 76, 8, 5])?;
    let walk = DemoWalk { world, tell };
    walk.introduce();
    walk.heading("1. A resolver asks for a client in AWS us-east-1");
    walk.query(&aws, "aws").await?;
    walk.heading("2. The same question for a client in GCP europe-west1");
    walk.query(&gcp, "gcp").await?;
    walk.heading(&format!("3. The client in AWS pulls {REGISTRY}/{REPOSITORY}:{TAG}"));
    walk.pull(&aws).await?;
    walk.heading("4. The certificate of the mirror in AWS goes bad: it is for another name");
    walk.spoil(&aws).await?;
    walk.heading("5. The right certificate is back");
    walk.mend(&aws).await
}

struct DemoWalk<'w> {
    world: &'w World,
    tell: &'w (dyn Fn(WalkLineKind, &str) + Sync),
}

impl DemoWalk<'_> {
    fn line(&self, kind: WalkLineKind, text: impl AsRef<str>) {
        (self.tell)(kind, text.as_ref());
    }

    fn heading(&self, text: &str) {
        self.line(WalkLineKind::Blank, "");
        self.line(WalkLineKind::Heading, text);
    }

    fn introduce(&self) {
        let World { dns, registry, canonical, port, mirrors, .. } = self.world;
        self.line(WalkLineKind::Heading, "Pharos and everything that it needs are running on this machine");
        let row = |what: &str, address: String, words: &str| {
            self.line(WalkLineKind::Row, format!("{what:<18}{address:<18}\t{words}"));
        };
        row("DNS", dns.to_string(), &format!("serves {BLOBS}, and k8s.io above it"));
        row(REGISTRY, registry.to_string(), "the registry listener, over TLS");
        row(CANONICAL, canonical.to_string(), &format!("the canonical registry, has {REPOSITORY}:{TAG}"));
        for DemoMirror { name, address, .. } in mirrors {
            let words = format!("has its blobs, and a certificate for {BLOBS}");
            row(&format!("mirror {name}"), format!("{address}:{port}"), &words);
        }
    }

    fn mirror(&self, name: &str) -> &DemoMirror {
        let [first, second] = &self.world.mirrors;
        if first.name == name { first } else { second }
    }

    fn dig(&self, client: &DemoClient) -> String {
        let dns = client.dns;
        format!("dig @{} -p {} {BLOBS} +subnet={}", dns.ip(), dns.port(), client.subnet)
    }

    /// Sends a query, and checks that all addresses of the answer are those of one mirror.
    async fn query(&self, client: &DemoClient, mirror: &str) -> Result<(), DemoFailure> {
        self.line(WalkLineKind::Command, self.dig(client));
        let answer = client.resolve(BLOBS).await?;
        self.tell_answer(client, &answer, mirror)
    }

    fn tell_answer(&self, client: &DemoClient, answer: &DemoAnswer, mirror: &str) -> Result<(), DemoFailure> {
        let expected = self.mirror(mirror).address;
        if answer.addresses.iter().any(|address| IpAddr::from(*address) != expected) {
            return Err(DemoFailure::Unexpected(format!("{} is told {answer:?}, not {expected}", client.subnet)));
        }
        for address in &answer.addresses {
            self.line(WalkLineKind::Reply, format!("{BLOBS}.  {}  IN  A  {address}", answer.ttl));
        }
        let scope = answer.scope.unwrap_or(0);
        let holds = Prefix::holding(client.subnet.first(), scope);
        self.line(
            WalkLineKind::Words,
            format!("that is mirror {mirror}; resolvers may cache it for {holds} (scope {scope})"),
        );
        Ok(())
    }

    /// Pulls the manifest from the canonical registry, and each of its blobs from the client's mirror.
    async fn pull(&self, client: &DemoClient) -> Result<(), DemoFailure> {
        let World { image, .. } = self.world;
        let manifest = format!("/v2/{REPOSITORY}/manifests/{TAG}");
        let got = self.follow(client, &manifest, &format!("the canonical registry, {}", self.world.canonical)).await?;
        self.tell_bytes(&got, &image.manifest)?;
        for blob in [&image.config, &image.layer] {
            self.blob(client, blob, "aws").await?;
        }
        Ok(())
    }

    async fn blob(&self, client: &DemoClient, blob: &Blob, mirror: &str) -> Result<(), DemoFailure> {
        let address = self.mirror(mirror).address;
        let from = format!("mirror {mirror}, {address}:{}", self.world.port);
        let path = format!("/v2/{REPOSITORY}/blobs/{}", blob.digest);
        let got = self.follow(client, &path, &from).await?;
        if got.from.ip() != address {
            return Err(DemoFailure::Unexpected(format!("the blob came from {}, not {address}", got.from)));
        }
        self.tell_bytes(&got, blob)
    }

    /// Sends a request to the registry listener, and follows its redirect. `whom` names the expected server in the output.
    async fn follow(&self, client: &DemoClient, path: &str, whom: &str) -> Result<Got, DemoFailure> {
        let port = self.world.registry.port();
        self.line(WalkLineKind::Request, format!("GET https://{REGISTRY}:{port}{}", short(path)));
        let redirect = client.get(&format!("https://{REGISTRY}:{port}{path}")).await?;
        let (307, Some(location)) = (redirect.status, &redirect.location) else {
            return Err(DemoFailure::Unexpected(format!("{} for {path}", redirect.status)));
        };
        self.line(WalkLineKind::Reply, format!("307  {}", short(location)));
        let got = client.get(location).await?;
        if got.status != 200 {
            return Err(DemoFailure::Unexpected(format!("{} for {location}", got.status)));
        }
        self.line(WalkLineKind::Reply, format!("200  from {whom}"));
        Ok(got)
    }

    fn tell_bytes(&self, got: &Got, expected: &Blob) -> Result<(), DemoFailure> {
        let digest = digest_of(&got.body);
        if digest != expected.digest {
            return Err(DemoFailure::Unexpected(format!("bytes with the digest {digest}, not {}", expected.digest)));
        }
        let words = format!("{} bytes, and their digest is right: {}", got.body.len(), short(&digest));
        self.line(WalkLineKind::Words, words);
        Ok(())
    }

    async fn spoil(&self, client: &DemoClient) -> Result<(), DemoFailure> {
        let mirror = self.mirror("aws");
        mirror.spoil_certificate();
        let began = Instant::now();
        let World { port, .. } = self.world;
        let address = mirror.address;
        let roots = self.world.roots_file();
        self.line(
            WalkLineKind::Command,
            format!("pharos verify {address} --name {BLOBS} --port {port} --roots {}", roots.display()),
        );
        let probe = Probe { port: *port, ..Probe::of_name(BLOBS.into()) };
        let prober = Prober::new(Arc::new(probe), self.world.roots()?)
            .map_err(|error| DemoFailure::Unexpected(error.to_string()))?;
        let finding = prober.probe(Aim::at(address)).await;
        let Some(reason) = finding.cause else {
            return Err(DemoFailure::Unexpected("a certificate for another name is accepted".into()));
        };
        self.line(WalkLineKind::Reply, format!("{address}  {}: {reason}", finding.verdict.as_str()));
        self.moved(client, "gcp", began).await?;
        self.blob(client, &self.world.image.layer, "gcp").await
    }

    async fn mend(&self, client: &DemoClient) -> Result<(), DemoFailure> {
        self.mirror("aws").mend_certificate();
        self.moved(client, "aws", Instant::now()).await
    }

    /// Repeats the query until all addresses of the answer are those of `mirror`.
    async fn moved(&self, client: &DemoClient, mirror: &str, since: Instant) -> Result<(), DemoFailure> {
        let address = self.mirror(mirror).address;
        self.line(WalkLineKind::Command, self.dig(client));
        loop {
            let answer = client.resolve(BLOBS).await?;
            if answer.addresses.iter().all(|one| IpAddr::from(*one) == address) {
                let seconds = since.elapsed().as_secs_f32();
                self.tell_answer(client, &answer, mirror)?;
                self.line(WalkLineKind::Words, format!("the answer moved within {seconds:.1} s"));
                return Ok(());
            }
            if since.elapsed() > PATIENCE {
                return Err(DemoFailure::Unexpected(format!("the answer is still {answer:?}, not {address}")));
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// The text, cut after the first 12 digits of its digest.
fn short(text: &str) -> String {
    const KEPT: usize = "sha256:".len() + 12;
    match text.find("sha256:") {
        Some(at) => format!("{}…", &text[..(at + KEPT).min(text.len())]),
        None => text.to_string(),
    }
}
