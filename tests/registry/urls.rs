//! Redirect-only mirrors, paths of their own, and rules that send clients to canonical.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use pharos::base::client::Client;
use pharos::base::time::{Now, Ttl, UnixTime};
use pharos::compile::registry_settings;
use pharos::mirror::{Health, HostAddresses, Standing};
use pharos::registry::known::Holding;
use pharos::registry::{Answer, MalformedForwarded, Method, RegistrySettings, Request, Route, RouteOutcome, route};
use pharos::snapshot::{Change, Snapshot};
use pharos::{MAX_UDP, Peer, Transport};

use crate::cases::HEX;

const ZONE: &str = "$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 192.0.2.1\n";

/// The deployment without zone of these tests; `more` is added.
fn buckets(more: &str) -> String {
    format!(
        r#"
[registry]
listen     = "127.0.0.1:0"
canonical  = "https://canonical.example/some/repo"
horizon    = "blobs"
{more}
[dns]
listen = []
[networks]
list = {{ list = "list.txt" }}
[mirrors]
bucket = {{ url = "https://bucket.s3.example/containers/images/{{digest}}" }}
cdn    = {{ url = "https://cdn.example:8443/{{name}}/{{algorithm}}/{{hex}}?alt=media" }}
[horizons.blobs]
rules = [
  {{ network = "list", label = "home", canonical = true }},
  {{ network = "list", label = "east", mirrors = ["bucket"] }},
]
default = ["cdn"]
"#
    )
}

/// A zone whose steered name mixes mirrors of both kinds.
const MIXED: &str = r#"
[registry]
listen    = "127.0.0.1:0"
canonical = "https://canonical.example"
blobs     = "https://blob.example"
[[zone]]
name  = "blob.example"
file  = "blob.zone"
steer = [{ owner = "@", horizon = "blobs", ttl = 60 }]
[networks]
list = { list = "list.txt" }
[mirrors]
bucket = { url = "https://bucket.s3.example/containers/images/{digest}" }
server = { addresses = "192.0.2.10" }
other  = { addresses = "192.0.2.11", path = "/images/{digest}" }
alike  = { addresses = "192.0.2.12", path = "/images/{digest}" }
[horizons.blobs]
answer-mirrors = 2
rules = [
  { network = "list", label = "east", mirrors = ["bucket", "server"] },
  { network = "list", label = "home", mirrors = ["server"], canonical = true },
  { network = "list", label = "both", mirrors = ["server", "other"] },
  { network = "list", label = "path", mirrors = ["other", "alike"] },
]
default = ["server"]
"#;

const LIST: &str = "198.51.100.0/24 east\n203.0.113.0/24 home\n192.0.2.128/26 both\n192.0.2.192/26 path\n";
const EAST: &str = "198.51.100.7";
const HOME: &str = "203.0.113.7";
const ELSEWHERE: &str = "9.9.9.9";

fn build(config: &str) -> (RegistrySettings, Snapshot) {
    let files = [("pharos.toml", config), ("blob.zone", ZONE), ("list.txt", LIST)];
    let built = pharos::build_in_memory("pharos.toml", files).unwrap();
    (registry_settings(&built.config).unwrap(), built.snapshot)
}

/// The redirect for a GET, with the result `holding` if mirrors are asked.
fn redirect(
    built: &(RegistrySettings, Snapshot),
    from: &str,
    target: &str,
    holding: Holding,
) -> (String, RouteOutcome) {
    let (settings, snapshot) = built;
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let client = Client { resolver: from.parse().unwrap(), subnet: None };
    let request = Request { method: Method::Read, path, query };
    let reply = match route(&request, Ok(client), settings, snapshot) {
        Route::Reply(reply) => reply,
        Route::Ask(ask) => ask.settle(holding),
    };
    match reply.answer {
        Answer::Redirect(url) => (url, reply.basis.outcome),
        other => panic!("{other:?}"),
    }
}

/// The A records of the steered name for a client.
fn addresses(snapshot: &Snapshot, from: &str) -> Vec<Ipv4Addr> {
    let query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04blob\x07example\x00\x00\x01\x00\x01";
    let peer = Peer { address: from.parse().unwrap(), transport: Transport::Udp };
    let mut reply = [0; MAX_UDP];
    let len = pharos::respond(query, peer, snapshot, Now::default(), &mut reply).unwrap().len;
    let count = usize::from(u16::from_be_bytes([reply[6], reply[7]]));
    let records = reply[query.len()..len].chunks(16).take(count);
    records.map(|record| <[u8; 4]>::try_from(&record[12..16]).unwrap().into()).collect()
}

fn blob() -> String {
    format!("/v2/some/pause/blobs/sha256:{HEX}")
}

#[test]
fn clients_are_redirected_to_the_url_of_their_mirror_without_any_zone() {
    let built = build(&buckets(""));
    let to = |from, target: &str| redirect(&built, from, target, Holding::Has);
    let bucket = format!("https://bucket.s3.example/containers/images/sha256:{HEX}");
    let cdn = format!("https://cdn.example:8443/some/pause/sha256/{HEX}?alt=media");
    assert_eq!(to(EAST, &blob()), (bucket.clone(), RouteOutcome::BlobMirror));
    assert_eq!(to(ELSEWHERE, &blob()), (cdn, RouteOutcome::BlobMirror));
    // A bucket knows neither the query nor the slash of a request to a registry.
    assert_eq!(to(EAST, &format!("{}/?ns=docker.io", blob())), (bucket, RouteOutcome::BlobMirror));
    let canonical = format!("https://canonical.example/v2/some/repo/some/pause/blobs/sha256:{HEX}");
    assert_eq!(to(HOME, &blob()), (canonical, RouteOutcome::BlobByRule));
    let manifest = "https://canonical.example/v2/some/repo/some/pause/manifests/3.9".to_string();
    assert_eq!(to(EAST, "/v2/some/pause/manifests/3.9"), (manifest, RouteOutcome::Manifest));
}

#[test]
fn a_bucket_that_lacks_a_blob_or_is_not_known_to_be_up_gets_no_client() {
    let probed = format!("{}[probe]\n[resolver]\nservers = \"127.0.0.1:9\"\ntimeout = \"50ms\"\n", buckets(""));
    let (settings, snapshot) = build(&probed);
    let canonical = format!("https://canonical.example/v2/some/repo/some/pause/blobs/sha256:{HEX}");
    let bucket = format!("https://bucket.s3.example/containers/images/sha256:{HEX}");
    let to = |snapshot: Snapshot, holding| redirect(&(settings.clone(), snapshot), EAST, &blob(), holding);
    // Its host is not resolved.
    let unknown = to(snapshot.clone(), Holding::Has);
    assert_eq!(unknown, (canonical.clone(), RouteOutcome::BlobCanonical));
    let host = HostAddresses {
        v4: vec![Ipv4Addr::new(192, 0, 2, 77)],
        v6: vec!["2001:db8::77".parse().unwrap()],
        ttl: Ttl(60),
        at: Some(UnixTime(1)),
    };
    let resolved = snapshot.after(&Change::Addresses(Arc::from("bucket.s3.example"), host));
    assert_eq!(to(resolved.clone(), Holding::Has), (canonical.clone(), RouteOutcome::BlobCanonical), "untried");
    let mirror = &resolved.mirrors()[resolved.mirror("bucket").unwrap().index()];
    let up = resolved.after(&Change::standing(mirror, &Standing::all(mirror, Health::Up)));
    assert_eq!(to(up.clone(), Holding::Has), (bucket.clone(), RouteOutcome::BlobMirror));
    assert_eq!(to(up.clone(), Holding::Lacks), (canonical.clone(), RouteOutcome::BlobLacking));
    assert_eq!(to(up.clone(), Holding::Unsaid), (canonical.clone(), RouteOutcome::BlobUnknown));
    // The client resolves the host itself, so the better family counts.
    let mut one_family = Standing::all(mirror, Health::Up);
    one_family.v4[0].health = Health::Down;
    assert_eq!(to(up.after(&Change::standing(mirror, &one_family)), Holding::Has).0, bucket);
    // The CDN of the default, which is not resolved, gets no client; and those are not sent to another rule's bucket.
    let elsewhere = redirect(&(settings.clone(), up.clone()), ELSEWHERE, &blob(), Holding::Has);
    assert_eq!(elsewhere, (canonical.clone(), RouteOutcome::BlobCanonical));
    let down = up.after(&Change::standing(mirror, &Standing::all(mirror, Health::Bad)));
    assert_eq!(to(down, Holding::Has), (canonical, RouteOutcome::BlobCanonical));
}

#[test]
fn dns_skips_a_redirect_only_mirror_and_the_listener_prefers_it() {
    let built = build(MIXED);
    let server: Ipv4Addr = "192.0.2.10".parse().unwrap();
    assert_eq!(addresses(&built.1, EAST), [server]);
    let to = |from| redirect(&built, from, &blob(), Holding::Has);
    let bucket = format!("https://bucket.s3.example/containers/images/sha256:{HEX}");
    assert_eq!(to(EAST), (bucket, RouteOutcome::BlobMirror));
    let steered = format!("https://blob.example/v2/some/pause/blobs/sha256:{HEX}");
    assert_eq!(to(ELSEWHERE), (steered, RouteOutcome::BlobSteered));
    // DNS goes by the mirrors of a rule whose clients the listener sends to canonical.
    let canonical = format!("https://canonical.example/v2/some/pause/blobs/sha256:{HEX}");
    assert_eq!(to(HOME), (canonical, RouteOutcome::BlobByRule));
    assert_eq!(addresses(&built.1, HOME), [server]);
}

#[test]
fn mirrors_of_the_steered_name_are_given_their_path_if_all_have_the_same() {
    let built = build(MIXED);
    let to = |from| redirect(&built, from, &blob(), Holding::Has);
    let path = format!("https://blob.example/images/sha256:{HEX}");
    assert_eq!(to("192.0.2.200"), (path, RouteOutcome::BlobSteered));
    // The listener does not see which of the two the client takes.
    let canonical = format!("https://canonical.example/v2/some/pause/blobs/sha256:{HEX}");
    assert_eq!(to("192.0.2.130"), (canonical, RouteOutcome::BlobCanonical));
}

#[test]
fn a_client_at_the_address_of_a_bucket_goes_to_canonical() {
    let probed = format!("{}[probe]\n[resolver]\nservers = \"127.0.0.1:9\"\ntimeout = \"50ms\"\n", buckets(""));
    let (settings, snapshot) = build(&probed);
    let east: IpAddr = EAST.parse().unwrap();
    let IpAddr::V4(v4) = east else { unreachable!() };
    let host = HostAddresses { v4: vec![v4], v6: Vec::new(), ttl: Ttl(60), at: Some(UnixTime(1)) };
    let resolved = snapshot.after(&Change::Addresses(Arc::from("bucket.s3.example"), host));
    assert_eq!(redirect(&(settings, resolved), EAST, &blob(), Holding::Has).1, RouteOutcome::BlobFromMirror);
}

/// Further paths by a horizon, with a mirror that pulls through this listener at 192.0.2.10.
const FILES: &str = r#"
[registry]
listen    = "127.0.0.1:0"
canonical = "https://canonical.example"
blobs     = "https://blob.example"
paths     = [
  { prefix = "/files/", to = "https://origin.example/f/{rest}", horizon = "files" },
  { prefix = "/files/all/", to = "https://origin.example/all/{rest}" },
]
[probe]
name = "blob.example"
[resolver]
servers = "127.0.0.1:9"
timeout = "50ms"
[networks]
list = { list = "list.txt" }
[mirrors]
near  = { url = "https://near.example:8443/files/{rest}?alt=media" }
far   = { url = "https://far.example/{path}" }
pulls = { addresses = "192.0.2.10" }
[horizons.files]
rules = [
  { network = "list", label = "home", canonical = true },
  { network = "list", label = "east", mirrors = ["near"] },
]
default = ["far"]
[horizons.blobs]
default = ["pulls"]
[[zone]]
name  = "blob.example"
file  = "blob.zone"
steer = [{ owner = "@", horizon = "blobs", ttl = 60 }]
"#;

/// Both mirrors of [`FILES`] are resolved and up.
fn with_files(snapshot: &Snapshot) -> Snapshot {
    [("near", "near.example", 1), ("far", "far.example", 2)].into_iter().fold(snapshot.clone(), |snapshot, one| {
        let (name, host, last) = one;
        let v4 = vec![Ipv4Addr::new(192, 0, 2, last)];
        let addresses = HostAddresses { v4, v6: Vec::new(), ttl: Ttl(60), at: Some(UnixTime(1)) };
        let resolved = snapshot.after(&Change::Addresses(Arc::from(host), addresses));
        let mirror = &resolved.mirrors()[resolved.mirror(name).unwrap().index()];
        resolved.after(&Change::standing(mirror, &Standing::all(mirror, Health::Up)))
    })
}

#[test]
fn a_client_goes_to_its_mirror_for_a_file_that_the_mirror_has() {
    let (settings, fresh) = build(FILES);
    let standing = |snapshot: &Snapshot, at: usize, health| {
        let mirror = &snapshot.mirrors()[at];
        snapshot.after(&Change::standing(mirror, &Standing::all(mirror, health)))
    };
    let up = with_files(&fresh);
    let built = (settings, up);
    let to = |built: &_, from, target, holding| redirect(built, from, target, holding);
    let (near, far) = ("https://near.example:8443/files/x/y?alt=media", "https://far.example/files/x/y");
    let origin = ("https://origin.example/f/x/y?a=b".to_string(), RouteOutcome::File);
    let file = "/files/x/y?a=b";
    assert_eq!(to(&built, EAST, file, Holding::Has), (near.into(), RouteOutcome::FileMirror));
    assert_eq!(to(&built, ELSEWHERE, file, Holding::Has), (far.into(), RouteOutcome::FileMirror));
    for holding in [Holding::Lacks, Holding::Unsaid] {
        assert_eq!(to(&built, EAST, file, holding), origin);
    }
    // By rule; and a mirror that pulls through this listener.
    assert_eq!(to(&built, HOME, file, Holding::Has), origin);
    assert_eq!(to(&built, "192.0.2.10", file, Holding::Has), origin);
    let all = ("https://origin.example/all/x".to_string(), RouteOutcome::File);
    assert_eq!(to(&built, EAST, "/files/all/x", Holding::Has), all);
    // Nothing is asked before the first probe, of a mirror that is down, or if the client is unknown.
    let (settings, up) = built;
    let asks = |snapshot: &Snapshot, client, path| {
        let request = Request { method: Method::Read, path, query: None };
        matches!(route(&request, client, &settings, snapshot), Route::Ask(_))
    };
    let east = Client { resolver: EAST.parse().unwrap(), subnet: None };
    assert!(
        asks(&up, Ok(east), "/files/x") && !asks(&up, Ok(east), "/files/all/x") && !asks(&up, Ok(east), "/files/..")
    );
    assert!(!asks(&fresh, Ok(east), "/files/x") && !asks(&up, Err(MalformedForwarded), "/files/x"));
    let down = standing(&standing(&up, 0, Health::Down), 1, Health::Down);
    assert!(!asks(&down, Ok(east), "/files/x"));
}

#[test]
fn a_file_is_asked_for_by_its_path_at_the_mirror() {
    let (settings, snapshot) = build(FILES);
    let snapshot = with_files(&snapshot);
    let keys: Vec<_> = [(EAST, "/files/x"), (EAST, "/files/y"), (ELSEWHERE, "/files/x"), (EAST, "/files/x")]
        .into_iter()
        .map(|(from, path)| {
            let client = Client { resolver: from.parse().unwrap(), subnet: None };
            let request = Request { method: Method::Read, path, query: Some("a=b") };
            let Route::Ask(ask) = route(&request, Ok(client), &settings, &snapshot) else { panic!("{path}") };
            let at = usize::from(from != EAST);
            let place = if at == 0 { format!("{path}?alt=media") } else { path.to_string() };
            assert_eq!((ask.path(), ask.mirrors().len()), (place, 1));
            ask.key([1, 2], &snapshot.mirrors()[at])
        })
        .collect();
    assert!(keys[0] != keys[1] && keys[0] != keys[2] && keys[1] != keys[2] && keys[0] == keys[3]);
}
