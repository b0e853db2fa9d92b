//! The table: for each rule of the registry, requests and the expected replies.

use std::borrow::Cow;

use pharos::base::client::Client;
use pharos::base::time::Ttl;
use pharos::mirror::Health::{self, Bad, Down, Drained, Missing, Untried, Up};
use pharos::mirror::{Addressing, Mirror};
use pharos::registry::known::Holding;
use pharos::registry::{
    Answer, MalformedForwarded, Method, RegistrySettings, Request, Route, RouteOutcome, RouteReply, beyond,
    client_address, plain, route,
};
use pharos::snapshot::Snapshot;

use crate::world::{EAST, ELSEWHERE, Setup, WEST, proxy, settings, snapshot, snapshot_with};

/// A request and the expected reply.
pub(crate) struct Case {
    pub(crate) setup: Setup,
    /// Of the mirrors east, west and central.
    pub(crate) health: [Health; 3],
    pub(crate) method: &'static str,
    /// The path, with the query string.
    pub(crate) target: String,
    /// The lines of `X-Forwarded-For` that the trusted proxy sends.
    pub(crate) forwarded: Vec<&'static str>,
    pub(crate) expected: Expected,
    pub(crate) outcome: RouteOutcome,
}

/// The expected reply to a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expected {
    /// 200 with the version header.
    Version,
    /// 200 to a health check.
    Healthy,
    /// 200 with `Allow` alone.
    Methods,
    /// 307 to this URL.
    To(String),
    /// A status, and the code in its body.
    Refused(u16, &'static str),
}

pub(crate) const HEX: &str = "7031c1b283388d2c2e09b57badb803c05ebed362dc88d84b480cc47f72a21097";

/// Every case.
pub(crate) fn all() -> Vec<Case> {
    let up = [Up, Up, Up];
    let mut cases = Vec::new();
    let mut add = |setup, health, method, target: &str, forwarded: &[&'static str], expected, outcome| {
        let (target, forwarded) = (target.to_string(), forwarded.to_vec());
        cases.push(Case { setup, health, method, target, forwarded, expected, outcome });
    };
    let to = |url: &str| Expected::To(url.to_string());
    let blob = format!("/v2/pause/blobs/sha256:{HEX}");
    use Setup::{Bare, Direct, Full, Renamed};

    // 1. Only GET and HEAD, whatever the path.
    for method in ["POST", "PUT", "PATCH", "DELETE", "BREW"] {
        for target in ["/", "/v2/", "/v2/pause/blobs/uploads/", blob.as_str(), "/nowhere"] {
            add(Full, up, method, target, &[], Expected::Refused(405, "UNSUPPORTED"), RouteOutcome::Method);
        }
    }

    for target in ["/", "/healthz", "/privacy", "/v2", "/v2/", "/v2/pause/tags/list", blob.as_str()] {
        for setup in [Full, Bare] {
            add(setup, up, "OPTIONS", target, &[], Expected::Methods, RouteOutcome::Options);
        }
    }
    add(Full, up, "OPTIONS", "/nowhere", &[], Expected::Refused(404, "NOT_FOUND"), RouteOutcome::Outside);
    add(Full, up, "OPTIONS", "/v2/_catalog", &[], Expected::Refused(404, "UNSUPPORTED"), RouteOutcome::Refused);

    // 2. Pages, health checks, and paths outside.
    for target in ["/healthz", "/healthz?from=lb"] {
        add(Bare, up, "GET", target, &[], Expected::Healthy, RouteOutcome::Health);
    }
    for target in ["/", "/?utm=1", "//", "/%2F"] {
        add(Full, up, "GET", target, &[], to("https://project.example/registry"), RouteOutcome::Info);
    }
    for target in ["/privacy", "/privacy/", "/privacy-policy?x=y"] {
        let url = "https://project.example/privacy?from=registry";
        add(Full, up, "GET", target, &[], to(url), RouteOutcome::Privacy);
    }
    for target in ["/", "/privacy"] {
        add(Bare, up, "GET", target, &[], Expected::Refused(404, "NOT_FOUND"), RouteOutcome::Outside);
    }
    for target in [
        "/v1",
        "/v1/",
        "/v1/_ping",
        "/v2foo",
        "/v2foo/",
        "/v22/",
        "/V2/",
        "//evil.example",
        "//evil.example/v2/",
        "/healthz/",
        "/metrics",
        "/favicon.ico",
        "/./v2/",
        "/x/../v2/",
        "/@evil.example/v2/",
    ] {
        add(Full, up, "GET", target, &[], Expected::Refused(404, "NOT_FOUND"), RouteOutcome::Outside);
    }

    // 2. Further paths: the longest prefix decides, escapes are read once, and nothing leaves the directory.
    for (target, url) in [
        ("/files/kops/v1.2+x/kops", "https://files.example/f/kops/v1.2+x/kops"),
        ("/files/", "https://files.example/f/"),
        ("/files/x/", "https://files.example/f/x/"),
        ("//files//x", "https://files.example/f/x"),
        ("/%66iles%2Fx%2by", "https://files.example/f/x+y"),
        ("/files/deepx", "https://files.example/f/deepx"),
        ("/files/x?a=b%20c&d", "https://files.example/f/x?a=b%20c&d"),
        ("/files/x?", "https://files.example/f/x?"),
        ("/files/x?//evil.example", "https://files.example/f/x?//evil.example"),
        ("/files/deep/x?a=b", "https://deep.example:8443/files/deep/x?alt=media"),
        ("/files/v2/pause/tags/list", "https://files.example/f/v2/pause/tags/list"),
    ] {
        add(Full, up, "GET", target, &[], to(url), RouteOutcome::File);
        add(Full, up, "OPTIONS", target, &[], Expected::Methods, RouteOutcome::Options);
        add(Full, up, "POST", target, &[], Expected::Refused(405, "UNSUPPORTED"), RouteOutcome::Method);
        add(Bare, up, "GET", target, &[], Expected::Refused(404, "NOT_FOUND"), RouteOutcome::Outside);
    }
    for target in [
        "/files",
        "/filesx/y",
        "/files/..",
        "/files/../x",
        "/files/%2e%2e/x",
        "/files/..%2fx",
        "/files/deep/../../x",
        "/files/./x",
        "/files/%252e%252e/x",
        "/files/x%25",
        "/files/@evil.example",
        "/files/%5c%5cevil.example",
        "/files/x%0d%0aLocation:%20https:%2f%2fevil.example",
        "/files/x%00",
        "/files/%c3%a9",
        "/files/%ff",
        "/files/x;y",
        "/files/x%3fy",
        "/files/x%23y",
        "/FILES/x",
        "/x/../files/y",
    ] {
        add(Full, up, "GET", target, &[], Expected::Refused(404, "NOT_FOUND"), RouteOutcome::Outside);
    }

    // 3. The version of the API.
    for setup in [Full, Bare] {
        for target in ["/v2", "/v2/", "/v2/?n=1", "/v2?", "//v2/", "/v2//", "/v2%2f", "/%76%32/"] {
            add(setup, up, "GET", target, &[], Expected::Version, RouteOutcome::Version);
        }
    }

    // 4. The catalogue, uploads, and what breaks a grammar.
    for target in [
        "/v2/_catalog",
        "/v2/_catalog?n=10",
        "/v2/_catalog/",
        "/v2/pause",
        "/v2/pause/",
        "/v2/pause/manifests",
        "/v2/pause/manifests/",
        "/v2/pause/manifests%2F",
        "/v2/pause/blobs/uploads",
        "/v2/pause/blobs/uploads/",
        "/v2/pause/blobs/uploads/42",
        "/v2/pause/tags",
        "/v2/pause/tags/other",
        "/v2/pause/_oci/ext/x",
        "/v2//evil.example",
        "/v2/token",
        "/v2/..",
        "/v2/../etc/passwd",
    ] {
        add(Full, up, "GET", target, &[], Expected::Refused(404, "UNSUPPORTED"), RouteOutcome::Refused);
    }
    let long = format!("/v2/{}/tags/list", "a".repeat(256));
    for target in [
        "/v2/manifests/3.9",
        "/v2//manifests/3.9",
        "/v2/Pause/manifests/3.9",
        "/v2/a..b/manifests/3.9",
        "/v2/../manifests/3.9",
        "/v2/..%2f/manifests/3.9",
        "/v2/a%2f..%2fb/manifests/3.9",
        "/v2/%2e%2e/manifests/3.9",
        "/v2/a%5cb/manifests/3.9",
        "/v2/a%0d%0ab/manifests/3.9",
        "/v2/a%00/manifests/3.9",
        "/v2/a%252fb/manifests/3.9",
        "/v2/%ff/manifests/3.9",
        "/v2/a@b/manifests/3.9",
        "/v2/evil.example:80/tags/list",
        "/v2/tags/list",
        "/v2/evil.example%3A80/tags/list",
        long.as_str(),
    ] {
        add(Full, up, "GET", target, &[], Expected::Refused(400, "NAME_INVALID"), RouteOutcome::Refused);
    }
    for target in [".hidden", "-x", "a%20b", "a@b", &"t".repeat(129)] {
        let target = format!("/v2/pause/manifests/{target}");
        add(Full, up, "GET", &target, &[], Expected::Refused(404, "MANIFEST_UNKNOWN"), RouteOutcome::Refused);
    }
    let digests = [
        "sha256:",
        "sha256:abc",
        &format!("sha256:{}", HEX.to_uppercase()),
        &format!("sha512:{HEX}"),
        "SHA256:00",
        "x:..",
        "a:b:c",
    ];
    for digest in digests {
        for endpoint in ["manifests", "blobs", "referrers"] {
            let target = format!("/v2/pause/{endpoint}/{digest}");
            add(Full, up, "GET", &target, &[], Expected::Refused(400, "DIGEST_INVALID"), RouteOutcome::Refused);
        }
    }
    add(
        Full,
        up,
        "GET",
        "/v2/pause/blobs/latest",
        &[],
        Expected::Refused(400, "DIGEST_INVALID"),
        RouteOutcome::Refused,
    );

    // 5. Manifests, tags and referrers: the canonical registry, query string and trailing slash as sent.
    let by_digest = format!("pause/manifests/sha256:{HEX}");
    for rest in [
        "pause/manifests/3.9",
        "pause/manifests/3.9/",
        "pause/manifests/3.9?ns=k8s.gcr.io",
        "pause/manifests/3.9/?a=b&c=d?e",
        "a/b/c/manifests/v1",
        "a/manifests/b/manifests/_x",
        by_digest.as_str(),
        "pause/manifests/3.9?",
        "pause/manifests/blake3:00ff",
    ] {
        let target = format!("/v2/{rest}");
        let below = to(&format!("https://canonical.example/v2/some/repo/{rest}"));
        add(Full, up, "GET", &target, &[], below, RouteOutcome::Manifest);
        let plain = to(&format!("http://canonical.example/v2/{rest}"));
        add(Bare, up, "GET", &target, &[], plain, RouteOutcome::Manifest);
    }
    // Escapes and repeated slashes, as docker-registry reads them.
    for (sent, meant) in [
        (format!("/v2/pause/manifests/sha256%3A{HEX}"), format!("pause/manifests/sha256:{HEX}")),
        (format!("/v2/pause/manifests/sha256%3a{HEX}/?a=%2F"), format!("pause/manifests/sha256:{HEX}/?a=%2F")),
        ("/v2/a%2Fb/manifests/3.9".into(), "a/b/manifests/3.9".into()),
        ("/v2/a%2fb%2Fmanifests%2f3%2E9".into(), "a/b/manifests/3.9".into()),
        ("//v2//a//b//manifests//3.9//?a=//b".into(), "a/b/manifests/3.9/?a=//b".into()),
    ] {
        let below = to(&format!("https://canonical.example/v2/some/repo/{meant}"));
        add(Full, up, "GET", &sent, &[], below, RouteOutcome::Manifest);
    }
    // The next page of a list, as canonical names it in `Link`: its path is not put before the name again.
    for (rest, outcome) in [
        ("some/repo/pause/tags/list?last=3.9&n=1", RouteOutcome::Tags),
        ("some/repo/pause/manifests/3.9", RouteOutcome::Manifest),
    ] {
        let url = to(&format!("https://canonical.example/v2/{rest}"));
        add(Full, up, "GET", &format!("/v2/{rest}"), &[], url, outcome);
    }
    for rest in ["some/repo/tags/list", "some/repos/pause/tags/list", "some/tags/list"] {
        let below = if rest.starts_with("some/repo/") { rest.to_string() } else { format!("some/repo/{rest}") };
        let url = to(&format!("https://canonical.example/v2/{below}"));
        add(Full, up, "GET", &format!("/v2/{rest}"), &[], url, RouteOutcome::Tags);
    }
    for rest in ["pause/tags/list", "pause/tags/list/", "pause/tags/list?n=10&last=3.9"] {
        let url = to(&format!("https://canonical.example/v2/some/repo/{rest}"));
        add(Full, up, "GET", &format!("/v2/{rest}"), &[], url, RouteOutcome::Tags);
    }
    for rest in
        [format!("pause/referrers/sha256:{HEX}"), format!("pause/referrers/sha256:{HEX}?artifactType=a%2Fb%2Bc")]
    {
        let url = to(&format!("https://canonical.example/v2/some/repo/{rest}"));
        add(Full, up, "GET", &format!("/v2/{rest}"), &[], url, RouteOutcome::Referrers);
    }
    // The address is not needed, so nonsense in the header does no harm.
    let url = to("https://canonical.example/v2/some/repo/pause/manifests/3.9");
    add(Full, up, "GET", "/v2/pause/manifests/3.9", &["banana"], url, RouteOutcome::Manifest);

    // 6. Signatures and attestations.
    for tag in [format!("sha256-{HEX}.sig"), format!("sha256-{HEX}.att"), format!("sha256-{HEX}.sig/?x=1")] {
        let target = format!("/v2/a/b/manifests/{tag}");
        let url = to(&format!("https://signatures.example{target}"));
        add(Full, up, "GET", &target, &[], url, RouteOutcome::Signature);
        let url = to(&format!("http://canonical.example{target}"));
        add(Bare, up, "GET", &target, &[], url, RouteOutcome::Manifest);
    }
    for tag in [format!("sha256-{HEX}"), format!("sha256-{HEX}.sbom"), "sha256-0.sig".to_string()] {
        let url = to(&format!("https://canonical.example/v2/some/repo/a/manifests/{tag}"));
        add(Full, up, "GET", &format!("/v2/a/manifests/{tag}"), &[], url, RouteOutcome::Manifest);
    }

    // 7. Blobs: the steered name, the mirror itself, or the canonical registry while no mirror can serve.
    let steered = to(&format!("https://blob.example:8443{blob}"));
    let canonical = to(&format!("https://canonical.example/v2/some/repo/pause/blobs/sha256:{HEX}"));
    let direct = |mirror: &str| to(&format!("https://{mirror}.mirrors.example{blob}"));
    for (health, client, at_name, at_mirror) in [
        (up, EAST, &steered, direct("east")),
        (up, WEST, &steered, direct("west")),
        (up, ELSEWHERE, &steered, direct("central")),
        // Its mirror is down: the default's is not.
        ([Down, Up, Up], EAST, &steered, direct("central")),
        ([Bad, Up, Up], EAST, &steered, direct("central")),
        ([Down, Up, Up], WEST, &steered, direct("west")),
        // Nothing of its plan is up, though another client's mirror is: that one, unless so many are silent that it may
        // be our own network that fails. Over IPv6 there is only a bad one.
        ([Down, Up, Down], EAST, &canonical, canonical.clone()),
        ([Bad, Up, Bad], EAST, &canonical, direct("west")),
        ([Down, Down, Down], ELSEWHERE, &canonical, canonical.clone()),
        // Only `central` is reached over IPv6. While it is bad, a client with both families might end there.
        ([Up, Up, Down], EAST, &steered, direct("east")),
        ([Up, Up, Bad], EAST, &canonical, direct("east")),
        ([Up, Up, Missing], EAST, &canonical, direct("east")),
        // A mirror that is only drained serves a client that ends there.
        ([Up, Up, Drained], EAST, &steered, direct("east")),
        ([Up, Up, Drained], "2001:db8:7::1", &canonical, canonical.clone()),
        // An untried mirror is not known to serve.
        ([Untried, Untried, Untried], EAST, &canonical, canonical.clone()),
        ([Up, Up, Untried], EAST, &canonical, direct("east")),
        ([Untried, Up, Up], EAST, &steered, direct("central")),
        (up, "2001:db8:7::1", &steered, direct("central")),
        ([Up, Up, Down], "2001:db8:7::1", &canonical, canonical.clone()),
        (up, "::ffff:198.51.100.7", &steered, direct("east")),
    ] {
        let outcome = if *at_name == canonical { RouteOutcome::BlobCanonical } else { RouteOutcome::BlobSteered };
        add(Full, health, "GET", &blob, &[client], at_name.clone(), outcome);
        let outcome = if at_mirror == canonical { RouteOutcome::BlobCanonical } else { RouteOutcome::BlobMirror };
        add(Direct, health, "GET", &blob, &[client], at_mirror, outcome);
    }
    add(Renamed, up, "GET", &blob, &[EAST], canonical.clone(), RouteOutcome::BlobCanonical);
    // A mirror that pulls through here is never sent to a mirror, whatever its health.
    for client in ["192.0.2.1", "192.0.2.3", "::ffff:192.0.2.1", "2001:db8::3", "[2001:db8::3]:4711"] {
        for setup in [Full, Direct, Renamed] {
            add(setup, up, "GET", &blob, &[client], canonical.clone(), RouteOutcome::BlobFromMirror);
        }
        let plain = to(&format!("http://canonical.example{blob}"));
        add(Bare, [Down, Up, Up], "GET", &blob, &[client], plain, RouteOutcome::BlobFromMirror);
    }
    // If the name is steered elsewhere, clients are sent to the name. The registry does not know its mirrors, and does not
    // need the client's address.
    for forwarded in [&[EAST][..], &["banana"]] {
        add(Bare, [Down, Down, Down], "GET", &blob, forwarded, steered.clone(), RouteOutcome::BlobSteered);
    }
    for suffix in ["/", "?ns=k8s.gcr.io", "/?a=b"] {
        let target = format!("{blob}{suffix}");
        add(
            Full,
            up,
            "GET",
            &target,
            &[EAST],
            to(&format!("https://blob.example:8443{target}")),
            RouteOutcome::BlobSteered,
        );
        let url = to(&format!("https://east.mirrors.example{target}"));
        add(Direct, up, "GET", &target, &[EAST], url, RouteOutcome::BlobMirror);
    }
    let long = format!("/v2/a/b/blobs/sha512:{HEX}{HEX}");
    add(Full, up, "GET", &long, &[EAST], to(&format!("https://blob.example:8443{long}")), RouteOutcome::BlobSteered);

    // 8. The client's address.
    for (forwarded, mirror) in [
        (&[][..], "central"),
        (&["203.0.113.7, 198.51.100.7"][..], "east"),
        (&["banana, 198.51.100.7, 127.0.0.2"][..], "east"),
        (&["203.0.113.7", "198.51.100.7:4711", "127.0.0.3,"][..], "east"),
        (&["unknown"][..], "central"),
        (&["198.51.100.7, Unknown"][..], "central"),
        (&[""][..], "central"),
        (&["[::ffff:203.0.113.7]:80"][..], "west"),
    ] {
        add(Direct, up, "GET", &blob, forwarded, direct(mirror), RouteOutcome::BlobMirror);
    }
    for forwarded in [&["banana"][..], &["198.51.100.7, _hidden"], &["198.51.100.7", "x, 127.0.0.2"]] {
        for setup in [Full, Direct] {
            add(setup, up, "GET", &blob, forwarded, Expected::Refused(400, "UNSUPPORTED"), RouteOutcome::Forwarded);
        }
    }
    cases
}

#[test]
fn route_gives_what_the_table_says() {
    for case in all() {
        let settings = settings(case.setup);
        let path = path_of(&case);
        let (request, client) = parts(&case, &path, &settings);
        let reply = reply(route(&request, client, &settings, &snapshot(case.health)));
        let said = match reply.answer.clone() {
            Answer::Version => Expected::Version,
            Answer::Healthy => Expected::Healthy,
            Answer::Methods => Expected::Methods,
            Answer::Redirect(url) => Expected::To(url),
            Answer::Refuse(_, code) => {
                let body: serde_json::Value = serde_json::from_str(code.body()).unwrap();
                assert_eq!(body["errors"][0]["code"], code_of(&case.expected), "{}", case.target);
                Expected::Refused(reply.answer.status(), code_of(&case.expected))
            }
        };
        let about = format!("{:?} {:?} {} {} {:?}", case.setup, case.health, case.method, case.target, case.forwarded);
        assert_eq!((said, reply.basis.outcome), (case.expected, case.outcome), "{about}");
    }
}

/// The path of a case in its plain form.
fn path_of(case: &Case) -> Cow<'_, str> {
    plain(case.target.split('?').next().unwrap())
}

/// The request of a case, and the client's address from the proxy's header.
fn parts<'c>(
    case: &'c Case,
    path: &'c str,
    settings: &RegistrySettings,
) -> (Request<'c>, Result<Client, MalformedForwarded>) {
    let query = case.target.split_once('?').map(|(_, query)| query);
    let method = match case.method {
        "GET" => Method::Read,
        "OPTIONS" => Method::Options,
        _ => Method::Other,
    };
    let client = client_address(proxy(), case.forwarded.iter().map(|line| line.as_bytes()), &settings.trusted_proxies);
    (Request { method, path, query }, client.map(|resolver| Client { resolver, subnet: None }))
}

fn reply(route: Route<'_>) -> RouteReply {
    match route {
        Route::Reply(reply) => reply,
        Route::Ask(ask) => panic!("nobody is to be asked: {ask:?}"),
    }
}

#[test]
fn where_mirrors_are_asked_whatever_would_go_to_one_depends_on_it_and_nothing_else_does() {
    for case in all() {
        let settings = RegistrySettings { asks_mirrors: true, ..settings(case.setup) };
        let path = path_of(&case);
        let (request, client) = parts(&case, &path, &settings);
        let snapshot: Snapshot = snapshot(case.health);
        let to_mirror = matches!(case.outcome, RouteOutcome::BlobSteered | RouteOutcome::BlobMirror);
        let about = format!("{:?} {:?} {} {:?}", case.setup, case.health, case.target, case.forwarded);
        let ask = match route(&request, client, &settings, &snapshot) {
            Route::Ask(ask) => ask,
            // Without a horizon the mirrors are not known, so that no mirror can be asked.
            Route::Reply(reply) => {
                assert!(!to_mirror || settings.horizon.is_none(), "{about}");
                assert_eq!(reply.basis.outcome, case.outcome, "{about}");
                continue;
            }
        };
        assert!(to_mirror, "{about}");
        let Expected::To(url) = &case.expected else { panic!("{about}") };
        let has = ask.settle(Holding::Has);
        assert_eq!((has.answer, has.basis.outcome), (Answer::Redirect(url.clone()), case.outcome), "{about}");
        let (_, rest) = url.split_once("/v2/").unwrap();
        let canonical = Answer::Redirect(format!("https://canonical.example/v2/some/repo/{rest}"));
        for (holding, outcome) in
            [(Holding::Lacks, RouteOutcome::BlobLacking), (Holding::Unsaid, RouteOutcome::BlobUnknown)]
        {
            let reply = ask.settle(holding);
            assert_eq!((reply.answer, reply.basis.outcome), (canonical.clone(), outcome), "{about}");
            assert_eq!(reply.basis.steering, has.basis.steering, "{about}");
        }
        // The path is the same whatever slashes and queries a client writes.
        let repository = rest.split_once("/blobs/").unwrap().0;
        let written = rest.split('?').next().unwrap().trim_end_matches('/');
        let digest = written.rsplit('/').next().unwrap();
        assert_eq!(ask.path(), format!("/v2/{repository}/blobs/{digest}"), "{about}");
        assert!(!ask.mirrors().is_empty(), "{about}");
    }
}

#[test]
fn mirrors_that_count_as_having_all_are_treated_as_if_no_mirror_were_asked() {
    for case in all() {
        let unasked = settings(case.setup);
        let asked = RegistrySettings { asks_mirrors: true, ..unasked.clone() };
        let mirrors = snapshot_with(case.health, |mirrors| {
            mirrors.iter_mut().for_each(|mirror| mirror.is_asked = false);
        });
        let path = path_of(&case);
        let replies = [(&asked, mirrors), (&unasked, snapshot(case.health))].map(|(settings, snapshot)| {
            let (request, client) = parts(&case, &path, settings);
            let reply = reply(route(&request, client, settings, &snapshot));
            let beyond = beyond(&request, &reply, settings);
            (reply, beyond)
        });
        assert_eq!(replies[0], replies[1], "{:?} {} {:?}", case.setup, case.target, case.forwarded);
    }
}

#[test]
fn what_is_known_of_a_mirror_s_blobs_is_not_believed_of_other_servers_under_its_name() {
    let case =
        all().into_iter().find(|case| case.outcome == RouteOutcome::BlobSteered && case.setup == Setup::Full).unwrap();
    let settings = RegistrySettings { asks_mirrors: true, ..settings(case.setup) };
    let path = path_of(&case);
    let (request, client) = parts(&case, &path, &settings);
    let snapshot: Snapshot = snapshot(case.health);
    let Route::Ask(ask) = route(&request, client, &settings, &snapshot) else { panic!("a blob") };
    let key = |mirror: &Mirror| ask.key([1, 2], mirror);
    let at = |addressing, last: u8| Mirror {
        addressing,
        v4: vec![[192, 0, 2, last].into()],
        ..snapshot.mirrors()[0].clone()
    };
    let written = |last| at(Addressing::Written, last);
    assert!(key(&written(1)) == key(&written(1)) && key(&written(1)) != key(&written(2)));
    // A load balancer is the same one at any address.
    let resolved = |last| at(Addressing::Resolved { at: None, ttl: Ttl(60) }, last);
    assert_eq!(key(&resolved(1)), key(&resolved(2)));
}

#[test]
fn canonical_is_not_asked_what_it_lacks_if_signatures_are_there_too() {
    let mut asked = [0; 2];
    for case in all().into_iter().filter(|case| case.setup == Setup::Full) {
        let elsewhere = settings(case.setup);
        let there = RegistrySettings { signatures: Some(elsewhere.canonical.clone()), ..elsewhere.clone() };
        for (settings, count) in [elsewhere, there].iter().zip(&mut asked) {
            let path = path_of(&case);
            let (request, client) = parts(&case, &path, settings);
            let reply = reply(route(&request, client, settings, &snapshot(case.health)));
            *count += usize::from(beyond(&request, &reply, settings).is_some());
        }
    }
    assert!(asked[0] > 0 && asked[1] == 0, "{asked:?}");
}

#[test]
fn every_outcome_is_in_the_table() {
    let cases = all();
    // Those of asking are in the test above, and in `behind`; those of a rule and of files at mirrors are in `urls`.
    let elsewhere = [
        RouteOutcome::BlobLacking,
        RouteOutcome::BlobUnknown,
        RouteOutcome::SignatureContent,
        RouteOutcome::BlobByRule,
        RouteOutcome::FileMirror,
    ];
    for outcome in RouteOutcome::ALL.into_iter().filter(|outcome| !elsewhere.contains(outcome)) {
        assert!(cases.iter().any(|case| case.outcome == outcome), "{outcome:?}");
    }
}

#[test]
fn no_octet_of_a_request_can_end_the_location_early() {
    let snapshot = snapshot([Up, Up, Up]);
    let settings = settings(Setup::Full);
    let client = Ok(Client { resolver: EAST.parse().unwrap(), subnet: None });
    for odd in ["\r\nX: y", "\n", " ", "\t", "\0", "\u{7f}", "é", "#x"] {
        let path = format!("/v2/pause/manifests/3.9{odd}");
        let query = format!("a={odd}");
        for request in [
            Request { method: Method::Read, path: &path, query: None },
            Request { method: Method::Read, path: "/v2/pause/manifests/3.9", query: Some(&query) },
            Request { method: Method::Read, path: &format!("/files/x{odd}"), query: None },
            Request { method: Method::Read, path: "/files/x", query: Some(&query) },
        ] {
            let reply = reply(route(&request, client, &settings, &snapshot));
            assert!(matches!(reply.answer, Answer::Refuse(..)), "{request:?}");
        }
    }
    for path in ["/v2/\\evil.example/tags/list", "/v2/pause/manifests/\\..\\x", "\\v2\\", "", "*", "v2/"] {
        let request = Request { method: Method::Read, path, query: None };
        let reply = reply(route(&request, client, &settings, &snapshot));
        assert!(matches!(reply.answer, Answer::Refuse(..)), "{path}");
    }
}

fn code_of(expected: &Expected) -> &'static str {
    match expected {
        Expected::Refused(_, code) => code,
        other => panic!("a refusal where {other:?} was expected"),
    }
}
