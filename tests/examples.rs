//! The files of `deploy/examples`, each against the program whose place it takes.
//!
//! `registry.k8s.io.toml` is held against archeio, the redirector that it replaces: its table of regions and buckets for
//! every prefix of the published feeds, and the requests of its own tests. Differences are in the last table, each with
//! its reason. `tests/pull/buckets` has real clients pull through the same file.
//!
//! `ci-simulate.sh` runs in a repository of its own ([`ci`]).
//!
//! The feeds are those of `$PHAROS_FEEDS`, else of `../shared/data`; without them the tests are skipped.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected is to fail")]

#[path = "examples/ci.rs"]
mod ci;
mod common;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::Command;

use common::hickory::Hickory;
use common::{feeds, needs};
use pharos::mirror::{Health, Standing};
use pharos::registry::known::Holding;
use pharos::registry::{Answer, RegistrySettings, RouteOutcome, RouteReply, Status, client_address};
use pharos::{Change, Client, Generation, Method, Request, Route, Snapshot};
use serde_json::Value;
use tempfile::TempDir;

/// The example.
const EXAMPLE: &str = "deploy/examples/registry.k8s.io.toml";

/// The feeds, and their names in the example.
const AWS: [&str; 2] = ["aws-ip-ranges.json", "ip-ranges.json"];
const GCP: [&str; 2] = ["gcp-cloud.json", "cloud.json"];

/// A blob, as archeio's tests have it.
const BLOB: &str = "sha256:da86e6ba6ca197bf6bc5e9d900febd906b133eaa4750e6bed647b0fbe50ed43e";

const CANONICAL: &str = "https://us-central1-docker.pkg.dev/v2/k8s-artifacts-prod/images";
const SIGNATURES: &str = "https://us-central1-docker.pkg.dev/v2/k8s-artifacts-prod/images";
const CDN: &str = "https://d1be1w964nk82h.cloudfront.net/containers/images";

/// archeio's table: the regions that have a bucket of their own.
const BUCKETS: [&str; 32] = [
    "af-south-1",
    "ap-east-1",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "il-central-1",
    "me-central-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];

/// The regions that have the bucket of another.
const ELSEWHERE: [(&str, &str); 4] = [
    ("ap-east-2", "ap-east-1"),
    ("cn-north-1", "ap-east-1"),
    ("cn-northwest-1", "ap-east-1"),
    ("me-south-1", "me-central-1"),
];

/// The host of a region's bucket; `None` if archeio sends its clients to the default.
fn bucket(region: &str) -> Option<String> {
    let own = ELSEWHERE.iter().find(|(other, _)| *other == region).map_or(region, |(_, bucket)| bucket);
    // The example has a placeholder for the one bucket whose name is not like the others.
    let name = if own == "eu-west-2" { "amzn-s3-demo-registry" } else { "prod-registry-k8s-io" };
    BUCKETS.contains(&own).then(|| format!("{name}-{own}.s3.dualstack.{own}.amazonaws.com"))
}

/// The example beside the real feeds, with a resolver that knows its hosts.
struct World {
    folder: TempDir,
    resolver: Hickory,
}

impl World {
    /// `None` if a feed is missing, which is counted.
    fn new() -> Option<Self> {
        let folder = TempDir::new().unwrap();
        for [feed, name] in [AWS, GCP] {
            std::fs::copy(needs::data(feed)?, folder.path().join(name)).unwrap();
        }
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(EXAMPLE)).unwrap();
        let hosts: BTreeSet<&str> =
            text.split("url = \"https://").skip(1).map(|rest| rest.split('/').next().unwrap()).collect();
        let zones = ["amazonaws.com", "cloudfront.net"].map(|zone| {
            let records = hosts
                .iter()
                .filter(|host| host.ends_with(zone))
                .map(|host| format!("{host}. 60 IN A 52.219.80.1\n{host}. 60 IN AAAA 2600:1fa0::1\n"));
            let head =
                format!("{zone}. 60 IN SOA ns.{zone}. h.{zone}. 1 3600 600 86400 60\n{zone}. 60 IN NS ns.{zone}.\n");
            (zone.to_string(), head + &records.collect::<String>())
        });
        let resolver = Hickory::start(&zones);
        let text = format!("{text}\n[resolver]\nservers = [\"{}\"]\n", resolver.address);
        std::fs::write(folder.path().join("pharos.toml"), text).unwrap();
        Some(World { folder, resolver })
    }

    /// The standard output of a command that succeeds.
    #[track_caller]
    fn pharos(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pharos"));
        command.args(arguments).arg("--config").arg(self.folder.path().join("pharos.toml")).env("COLUMNS", "400");
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
        said
    }

    /// The decisions of the example, while every bucket is up.
    fn decisions(&self) -> Decisions {
        let built = pharos::build(&self.folder.path().join("pharos.toml"), Generation(1)).unwrap();
        let settings = pharos::registry_settings(&built.config).unwrap();
        let up = |snapshot: Snapshot, id: usize| {
            let mirror = &snapshot.mirrors()[id];
            snapshot.after(&Change::standing(mirror, &Standing::all(mirror, Health::Up)))
        };
        let snapshot = (0..built.snapshot.mirrors().len()).fold(built.snapshot, up);
        Decisions { snapshot, settings }
    }
}

struct Decisions {
    snapshot: Snapshot,
    settings: RegistrySettings,
}

impl Decisions {
    /// The reply to a request from an address, if its mirror answers so about the blob.
    fn reply(&self, method: Method, target: &str, client: &str, holding: Holding) -> RouteReply {
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        // The load balancer names the client.
        let client = client_address(
            "35.191.0.1".parse().unwrap(),
            std::iter::once(client.as_bytes()),
            &self.settings.trusted_proxies,
        );
        let client = client.map(|resolver| Client { resolver, subnet: None });
        let request = Request { method, path, query };
        match pharos::route(&request, client, &self.settings, &self.snapshot) {
            Route::Reply(reply) => reply,
            Route::Ask(ask) => ask.settle(holding),
        }
    }

    /// The URL that a request is redirected to.
    #[track_caller]
    fn redirect(&self, target: &str, client: &str, holding: Holding) -> String {
        match self.reply(Method::Read, target, client, holding).answer {
            Answer::Redirect(url) => url,
            other => panic!("{target} from {client}: {other:?}"),
        }
    }

    /// The status of a reply without a redirect.
    fn status(&self, method: Method, target: &str, client: &str) -> u16 {
        match self.reply(method, target, client, Holding::Lacks).answer {
            Answer::Version | Answer::Healthy | Answer::Methods => 200,
            Answer::Refuse(Status::BadRequest, _) => 400,
            Answer::Refuse(Status::NotFound, _) => 404,
            Answer::Refuse(Status::MethodNotAllowed, _) => 405,
            Answer::Redirect(url) => panic!("{target} from {client}: {url}"),
        }
    }
}

#[test]
fn the_example_is_valid_and_only_regions_without_a_bucket_are_named() {
    let Some(world) = World::new() else { return };
    let said = world.pharos(&["check", "--json"]);
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let codes: BTreeSet<&str> = lines.iter().filter_map(|line| line["code"].as_str()).collect();
    assert_eq!(codes, BTreeSet::from(["unmapped-region"]), "{said}");
}

#[test]
fn the_example_is_valid_where_no_host_can_be_resolved() {
    let Some(world) = World::new() else { return };
    let path = world.folder.path().join("pharos.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let silent = "\"127.0.0.1:9\"]\ntimeout = \"50ms\"";
    std::fs::write(&path, text.replace(&format!("\"{}\"]", world.resolver.address), silent)).unwrap();
    let said = world.pharos(&["check", "--json"]);
    assert_eq!(said.matches("\"code\":\"mirror-host\"").count(), BUCKETS.len() + 1, "{said}");
    // Ohio, and Google.
    for (client, reason) in
        [("3.128.1.1", "because no mirror is up at a known address"), (GOOGLE, "`canonical = true`")]
    {
        let said = world.pharos(&["explain", client]);
        assert!(said.contains(reason), "{client}: {said}");
    }
}

/// A feed's prefixes by family, length and first bits, each with the provider and the region.
type Prefixes = HashMap<(bool, u8, u128), (&'static str, String)>;

/// The entries of both feeds. A region is more specific than a global label for the same prefix.
fn prefixes() -> Option<Prefixes> {
    let mut found = Prefixes::new();
    let aws = feeds::read(AWS[0])?;
    let gcp = feeds::read(GCP[0])?;
    let lists = [
        (&aws["prefixes"], "aws", "ip_prefix", "region"),
        (&aws["ipv6_prefixes"], "aws", "ipv6_prefix", "region"),
        (&gcp["prefixes"], "gcp", "ipv4Prefix", "scope"),
        (&gcp["prefixes"], "gcp", "ipv6Prefix", "scope"),
    ];
    for (list, provider, prefix, region) in lists {
        for entry in list.as_array().unwrap() {
            let (Some(prefix), Some(region)) = (entry[prefix].as_str(), entry[region].as_str()) else { continue };
            let (address, len) = prefix.split_once('/').unwrap();
            let (address, len): (IpAddr, u8) = (address.parse().unwrap(), len.parse().unwrap());
            let known = found.entry((address.is_ipv4(), len, number(address))).or_insert((provider, region.into()));
            if known.1.eq_ignore_ascii_case("global") {
                *known = (provider, region.into());
            }
        }
    }
    Some(found)
}

/// An address as a number, with its bits first.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn address(is_v4: bool, number: u128) -> IpAddr {
    if is_v4 { Ipv4Addr::from_bits((number >> 96) as u32).into() } else { Ipv6Addr::from_bits(number).into() }
}

/// The provider and region of the longest prefix that holds an address.
fn longest(prefixes: &Prefixes, is_v4: bool, address: u128) -> Option<&(&'static str, String)> {
    let width = if is_v4 { 32 } else { 128 };
    let first = |len: u8| address & u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
    (1..=width).rev().find_map(|len| prefixes.get(&(is_v4, len, first(len))))
}

#[test]
fn every_prefix_of_the_feeds_goes_where_archeio_sends_it() {
    let Some(world) = World::new() else { return };
    let (prefixes, decisions) = (prefixes().unwrap(), world.decisions());
    let mut clients: BTreeMap<&str, usize> = BTreeMap::new();
    for &(is_v4, len, first) in prefixes.keys() {
        let last = first | u128::MAX.checked_shr(u32::from(len)).unwrap_or(0);
        for client in [first, last] {
            let (provider, region) = longest(&prefixes, is_v4, client).unwrap();
            let expected = match (*provider, bucket(region)) {
                ("gcp", _) => format!("{CANONICAL}/pause/blobs/{BLOB}"),
                (_, Some(host)) => format!("https://{host}/containers/images/{BLOB}"),
                (_, None) => format!("{CDN}/{BLOB}"),
            };
            let client = address(is_v4, client).to_string();
            let found = decisions.redirect(&format!("/v2/pause/blobs/{BLOB}"), &client, Holding::Has);
            assert_eq!(found, expected, "{client} in {provider} {region}");
            *clients.entry(region).or_default() += 1;
        }
    }
    let regions = BUCKETS.iter().chain(ELSEWHERE.iter().map(|(region, _)| region));
    let without: Vec<&&str> = regions.filter(|region| !clients.contains_key(**region)).collect();
    assert!(without.is_empty(), "the feed has no client in {without:?}");
    assert!(clients["GLOBAL"] > 0 && clients["us-gov-west-1"] > 0 && clients["us-central1"] > 0, "{clients:?}");
}

/// A client of no cloud, of AWS in Paris, and of Google.
const NOWHERE: &str = "192.0.2.1";
const PARIS: &str = "35.180.1.1";
const GOOGLE: &str = "35.220.26.1";

#[test]
fn requests_go_where_archeios_tests_expect_them() {
    let Some(world) = World::new() else { return };
    let decisions = world.decisions();
    let canonical = |rest: &str| format!("{CANONICAL}/{rest}");
    let blob = format!("pause/blobs/{BLOB}");
    let hex = BLOB.split_once(':').unwrap().1;
    let sha512 =
        format!("pause/blobs/sha512:{0}{0}", "3b0998121425143be7164ea1555efbdf5b8a02ceedaa26e01910e7d017ff78dd");
    let paris = "https://prod-registry-k8s-io-eu-west-3.s3.dualstack.eu-west-3.amazonaws.com/containers/images";
    use Holding::{Has, Lacks, Unsaid};
    // Target below `/v2/`, client, the mirror's answer, and the redirect.
    let below = [
        ("pause/manifests/latest", NOWHERE, Lacks, canonical("pause/manifests/latest")),
        ("pause/tags/list", NOWHERE, Lacks, canonical("pause/tags/list")),
        ("pause/tags/list?n=0", NOWHERE, Lacks, canonical("pause/tags/list?n=0")),
        ("pause/tags/list?n=1000&after=v1.2.3", NOWHERE, Lacks, canonical("pause/tags/list?n=1000&after=v1.2.3")),
        (&blob, NOWHERE, Lacks, canonical(&blob)),
        (&blob, NOWHERE, Unsaid, canonical(&blob)),
        (&blob, NOWHERE, Has, format!("{CDN}/{BLOB}")),
        (&blob, PARIS, Lacks, canonical(&blob)),
        (&blob, PARIS, Has, format!("{paris}/{BLOB}")),
        (&blob, GOOGLE, Has, canonical(&blob)),
        (&sha512, NOWHERE, Lacks, canonical(&sha512)),
        ("kubernetes/pause/manifests/v1", GOOGLE, Lacks, canonical("kubernetes/pause/manifests/v1")),
    ];
    for (rest, client, holding, expected) in below {
        let found = decisions.redirect(&format!("/v2/{rest}"), client, holding);
        assert_eq!(found, expected, "{rest} from {client}, whose mirror {holding:?}");
    }
    for name in ["pause", "kubernetes/pause"] {
        for end in ["sig", "att"] {
            let rest = format!("{name}/manifests/sha256-{hex}.{end}");
            let reply = decisions.reply(Method::Read, &format!("/v2/{rest}"), NOWHERE, Lacks);
            let expected = (Answer::Redirect(format!("{SIGNATURES}/{rest}")), RouteOutcome::Signature);
            assert_eq!((reply.answer, reply.basis.outcome), expected);
        }
    }
    let info = "https://github.com/kubernetes/registry.k8s.io";
    let privacy = "https://www.linuxfoundation.org/privacy-policy/";
    for (target, expected) in [("/", info), ("/privacy", privacy)] {
        assert_eq!(decisions.redirect(target, NOWHERE, Lacks), expected, "{target}");
    }
    for (method, target, client, expected) in [
        (Method::Read, "/v3/", NOWHERE, 404),
        (Method::Other, "/v2/", NOWHERE, 405),
        (Method::Read, "/v2/_catalog", PARIS, 404),
        (Method::Read, &*format!("/v2/{blob}"), "35.180.1.1asdfasdfsd", 400),
        // Different on purpose: archeio answers 401 to hand out an id for tracing, which costs each pull two requests.
        (Method::Read, "/v2", NOWHERE, 200),
        (Method::Read, "/v2/", NOWHERE, 200),
        // Different on purpose: a digest with the length of another algorithm can be of no blob.
        (Method::Read, "/v2/pause/blobs/sha256:3b0998121425143b", NOWHERE, 400),
        // Different on purpose: this is not the API.
        (Method::Read, "/v2foo", NOWHERE, 404),
    ] {
        assert_eq!(decisions.status(method, target, client), expected, "{target} from {client}");
    }
}
