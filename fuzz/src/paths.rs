//! The path and query string of a request to the registry listener.

use std::sync::LazyLock;

use pharos::base::client::Client;
use pharos::compile::registry_settings;
use pharos::config;
use pharos::registry::{Answer, Method, RegistrySettings, Request, Route, plain, route};

use super::{ADDRESS, SNAPSHOT};

/// A listener that redirects to each kind of target; blobs go to the host of `blobs`.
static SETTINGS: LazyLock<RegistrySettings> = LazyLock::new(|| {
    let text = r#"
[registry]
listen     = "127.0.0.1:0"
canonical  = "https://canonical.example/some/repo"
blobs      = "https://blobs.example"
signatures = "https://signatures.example"
info       = "https://project.example/"
privacy    = "https://project.example/privacy"
paths      = [
  { prefix = "/a/", to = "https://files.example/one/{rest}" },
  { prefix = "/a/b/", to = "https://files.example/two/{path}?alt=media" },
]
[[zone]]
name = "example.net"
file = "example.net.zone"
"#;
    match config::read("pharos.toml", text) {
        Ok((config, _)) => registry_settings(&config).expect("it has a registry"),
        Err(problems) => panic!("{problems:#?}"),
    }
});

/// The beginnings of all redirects.
const TARGETS: [&str; 6] = [
    "https://canonical.example/v2/some/repo/",
    "https://blobs.example/v2/",
    "https://signatures.example/v2/",
    "https://project.example/",
    "https://files.example/one/",
    "https://files.example/two/a/b/",
];

/// A path and, after the first `?`, a query string. A redirect stays below its target and ends its line nowhere.
pub fn paths(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
    let path = plain(path);
    for method in [Method::Read, Method::Options, Method::Other] {
        let request = Request { method, path: &path, query };
        let client = Client { resolver: ADDRESS, subnet: None };
        let Route::Reply(reply) = route(&request, Ok(client), &SETTINGS, &SNAPSHOT) else {
            panic!("no mirror is asked")
        };
        let Answer::Redirect(url) = reply.answer else { continue };
        assert!(method == Method::Read, "{url}");
        let target = TARGETS.iter().find(|target| url.starts_with(**target));
        let rest = &url[target.unwrap_or_else(|| panic!("a foreign target: {url}")).len()..];
        assert!(url.bytes().all(|byte| byte.is_ascii_graphic()), "{url:?}");
        let path = rest.split('?').next().unwrap_or_default();
        assert!(
            !path.split('/').any(|segment| matches!(segment, "." | "..")) && !path.contains(['%', '@', '\\']),
            "{url}"
        );
    }
}
