//! The real binary with `signatures` at a name, over HTTPS: what canonical lacks is sent there.

use std::fs;

use hyper::Method;

use crate::behind::Fake;
use crate::common::server::Server;
use crate::service::serve_many;
use crate::upstreams::call;

/// A configuration whose canonical registry is at an address. `ask-wait` is long, so that no answer comes too late.
fn config(canonical: &str) -> String {
    format!(
        "[dns]\nlisten = \"127.0.0.1:0\"\n\
         [registry]\nlisten = \"127.0.0.1:0\"\ncanonical = \"{canonical}\"\nblobs = \"https://blob.example\"\n\
         signatures = \"https://registry.example\"\nask-wait = \"5s\"\n\
         [[zone]]\nname = \"blob.example\"\nfile = \"zone\"\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_canonical_lacks_is_sent_to_the_name_of_signatures() {
    let fake = serve_many(100, Fake::default(), None, Default::default());
    let canonical = format!("http://{}", fake.address);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pharos.toml"), config(&canonical)).unwrap();
    fs::write(folder.path().join("zone"), "$TTL 60\n@ SOA ns h 1 3600 600 86400 60\n@ NS ns\nns A 192.0.2.53\n")
        .unwrap();
    let server = Server::start(&folder.path().join("pharos.toml"));
    let front = server.listener("registry over HTTP", [127, 0, 0, 1].into());
    let signatures = "https://registry.example";
    let digest = |separator: char, last: char| format!("sha256{separator}{}{last}", "a".repeat(63));
    // Canonical has what ends in 1 and lacks what ends in 2; it has no referrers of what ends in 0.
    for (path, right) in [
        (format!("/v2/demo/manifests/{}.sig", digest('-', '1')), signatures),
        (format!("/v2/demo/manifests/{}.att", digest('-', '1')), signatures),
        (format!("/v2/demo/manifests/{}", digest(':', '2')), signatures),
        (format!("/v2/demo/blobs/{}", digest(':', '2')), signatures),
        (format!("/v2/demo/referrers/{}", digest(':', '0')), signatures),
        (format!("/v2/demo/referrers/{}?artifactType=a%2Fb", digest(':', '0')), signatures),
        (format!("/v2/demo/manifests/{}", digest('-', '0')), signatures),
        (format!("/v2/demo/manifests/{}", digest(':', '1')), &canonical),
        (format!("/v2/demo/referrers/{}", digest(':', '1')), &canonical),
        (format!("/v2/demo/manifests/{}", digest('-', '1')), &canonical),
        ("/v2/demo/manifests/1.0".to_string(), &canonical),
    ] {
        let (status, location, _) = call(front, Method::GET, &path, "", "").await;
        assert_eq!((status, location), (307, Some(format!("{right}{path}"))), "{path}");
    }
}
