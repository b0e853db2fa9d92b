//! Paths of pull requests against the grammars of the OCI specifications.
//!
//! **Not here**: whole replies (`tests/registry`).

use proptest::prelude::*;

use super::*;

const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn target(path: &str) -> PullTarget<'_> {
    match parse(path) {
        Path::Pull { target, .. } => target,
        other => panic!("{path}: {other:?}"),
    }
}

#[test]
fn names_may_contain_the_words_of_the_api() {
    assert_eq!(target("/v2/a/manifests/b/manifests/c"), PullTarget::Manifest(Reference::Tag("c")));
    assert_eq!(target("/v2/blobs/uploads/manifests/v1"), PullTarget::Manifest(Reference::Tag("v1")));
    assert_eq!(target("/v2/manifests/tags/list"), PullTarget::Tags);
    assert_eq!(target("/v2/tags/manifests/list"), PullTarget::Manifest(Reference::Tag("list")));
    let path = format!("/v2/a/manifests/blobs/sha256:{HEX}");
    assert_eq!(target(&path), PullTarget::Blob(Digest { algorithm: "sha256", encoded: HEX }));
}

#[test]
fn names_follow_the_grammar() {
    for name in ["a", "0", "a/b/c", "a.b", "a_b", "a__b", "a-b", "a---b", "a.b_c__d-e/f0"] {
        assert!(is_repository(name), "{name}");
    }
    for name in ["", "A", "a/", "/a", "a//b", ".a", "a.", "a..b", "a___b", "a._b", "a-", "a b", "a%2fb", "é", "a@b"] {
        let path = format!("/v2/{name}/tags/list");
        assert!(!is_repository(name) && parse(&path) == Path::Wrong(ErrorCode::NameInvalid), "{name}");
    }
    assert!(is_repository(&"a".repeat(255)));
    assert!(!is_repository(&"a".repeat(256)));
}

#[test]
fn digests_have_the_exact_length_of_their_algorithm() {
    let fits = |text: &str| parse_digest(text).is_some();
    assert!(fits(&format!("sha256:{HEX}")) && fits(&format!("sha512:{HEX}{HEX}")));
    assert!(!fits(&format!("sha256%3A{HEX}")), "escapes are decoded before");
    assert!(fits("blake3:AbC_0-=") && fits("multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8"));
    assert!(!fits(&format!("sha256:{}", &HEX[1..])) && !fits(&format!("sha256:{HEX}0")));
    assert!(!fits(&format!("sha256:{}", HEX.to_uppercase())) && !fits(&format!("SHA256:{HEX}")));
    for text in ["", ":", "sha256", "sha256:", "a:", ":a", "a+:b", "+a:b", "a:b:c", "a:b%3Ac", "a:b/c", "a:..", "a:%2e"]
    {
        assert!(!fits(text), "{text}");
    }
    assert!(!fits(&format!("x:{}", "0".repeat(MAX_DIGEST_LEN))));
}

#[test]
fn signature_tags_are_told_from_others() {
    let is = |tag: String| Reference::Tag(&tag).is_signature();
    assert!(is(format!("sha256-{HEX}.sig")) && is(format!("sha256-{HEX}.att")));
    assert!(!is(format!("sha256-{HEX}")) && !is(format!("sha256-{HEX}.sbom")) && !is(format!("sha256-{HEX}0.sig")));
    assert!(!is(format!("sha256-{}.sig", HEX.to_uppercase())) && !is("3.9".into()));
    let of = |tag: String| Reference::Tag(&tag).referrers_of().map(|digest| digest.encoded.to_string());
    assert_eq!(of(format!("sha256-{HEX}")), Some(HEX.to_string()));
    for tag in [format!("sha256-{HEX}.sig"), format!("sha256-{HEX}0"), format!("sha512-{HEX}"), "sha256-".into()] {
        assert_eq!(of(tag), None);
    }
}

#[test]
fn a_path_is_decoded_once_and_has_no_repeated_slashes() {
    for (sent, meant) in [
        ("/v2/", "/v2/"),
        ("//v2///", "/v2/"),
        ("/v2%2f", "/v2/"),
        ("/%76%32/", "/v2/"),
        ("/v2/a%2Fb/manifests/sha256%3a0", "/v2/a/b/manifests/sha256:0"),
        ("/v2/a/%2F/b", "/v2/a/b"),
        ("/v2/%252F", "/v2/%2F"),
        ("/v2/%2e%2e/x", "/v2/../x"),
        ("/v2/%", "/v2/%"),
        ("/v2/%4", "/v2/%4"),
        ("/v2/%zz", "/v2/%zz"),
        ("/v2/%ff//", "/v2/%ff//"),
        ("/v2/é%C3%A9", "/v2/éé"),
    ] {
        assert_eq!(plain(sent), meant, "{sent}");
    }
    assert!(matches!(plain("/v2/a/tags/list"), Cow::Borrowed(_)));
}

/// The same grammar, implemented differently: split into segments, then check every run of separators.
fn twin(path: &str) -> Path<'_> {
    let segments: Vec<&str> = path.split('/').collect();
    if segments.first() != Some(&"") || segments.len() < 2 {
        return Path::Outside;
    }
    match &segments[1..] {
        [""] => return Path::Root,
        ["healthz"] => return Path::Health,
        ["v2"] | ["v2", ""] => return Path::Version,
        ["v2", ..] => {}
        [first, ..] if first.starts_with("privacy") => return Path::Privacy,
        _ => return Path::Outside,
    }
    let mut parts = segments[2..].to_vec();
    if parts.last() == Some(&"") {
        parts.pop();
    }
    let hex = |text: &str| text.chars().all(|c| "0123456789abcdef".contains(c));
    let low = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let any = |c: char| low(c) || c.is_ascii_uppercase();
    let name_fits = |parts: &[&str]| {
        let runs_fit = |part: &&str| {
            let runs: Vec<&str> = part.split(low).filter(|run| !run.is_empty()).collect();
            !part.is_empty()
                && part.starts_with(low)
                && part.ends_with(low)
                && runs.iter().all(|run| [".", "_", "__"].contains(run) || run.chars().all(|c| c == '-'))
        };
        !parts.is_empty() && parts.join("/").len() < 256 && parts.iter().all(runs_fit)
    };
    fn halves(text: &str) -> Vec<&str> {
        text.splitn(2, ':').collect()
    }
    let digest = |text| match halves(text)[..] {
        [algorithm, encoded] => {
            let fits = match algorithm {
                "sha256" => hex(encoded) && encoded.len() == 64,
                "sha512" => hex(encoded) && encoded.len() == 128,
                _ => {
                    !encoded.is_empty()
                        && text.len() <= 300
                        && encoded.chars().all(|c| any(c) || "=_-".contains(c))
                        && algorithm.starts_with(low)
                        && algorithm.ends_with(low)
                        && algorithm.split(low).all(|run| run.len() <= 1 && (run.is_empty() || "+._-".contains(run)))
                }
            };
            if fits { Ok(Digest { algorithm, encoded }) } else { Err(ErrorCode::DigestInvalid) }
        }
        _ => Err(ErrorCode::DigestInvalid),
    };
    let reference = |text: &'_ str| -> bool {
        (1..=128).contains(&text.len())
            && !text.starts_with(['.', '-'])
            && text.chars().all(|c| any(c) || "_.-".contains(c))
    };
    let result = (|| {
        let [name @ .., endpoint, last] = &parts[..] else { return Err(ErrorCode::Unsupported) };
        if !["manifests", "blobs", "tags", "referrers"].contains(endpoint)
            || (*endpoint == "tags" && *last != "list")
            || (*endpoint == "blobs" && *last == "uploads")
        {
            return Err(ErrorCode::Unsupported);
        }
        if !name_fits(name) {
            return Err(ErrorCode::NameInvalid);
        }
        match *endpoint {
            "tags" => Ok(PullTarget::Tags),
            "blobs" => Ok(PullTarget::Blob(digest(last)?)),
            "referrers" => Ok(PullTarget::Referrers(digest(last)?)),
            _ if halves(last).len() == 2 => Ok(PullTarget::Manifest(Reference::Digest(digest(last)?))),
            _ if reference(last) => Ok(PullTarget::Manifest(Reference::Tag(last))),
            _ => Err(ErrorCode::ManifestUnknown),
        }
    })();
    match result {
        Ok(target) => Path::Pull { target, rest: &path[4..] },
        Err(code) => Path::Wrong(code),
    }
}

/// Pieces of paths, chosen so that valid paths are common and slightly wrong paths more common.
fn piece() -> impl Strategy<Value = String> {
    let fixed = [
        "/",
        "/",
        "/",
        "/",
        "v2",
        "/v2/",
        "/v2/a/",
        "manifests",
        "/manifests/",
        "blobs",
        "/blobs/",
        "uploads",
        "tags",
        "/tags/list",
        "list",
        "referrers",
        "/referrers/",
        "_catalog",
        "pause",
        "3.9",
        "latest",
        "sha256:",
        "sha512:",
        "sha256%3A",
        "sha256-",
        ".sig",
        HEX,
        "0",
        "a",
        "A",
        ".",
        "_",
        "__",
        "-",
        "--",
        ":",
        "%2f",
        "%3a",
        "+",
        "=",
        "@",
        "\\",
        "..",
        "privacy",
        "é",
        " ",
        "\r\n",
        "?",
        "#",
    ];
    prop_oneof![6 => proptest::sample::select(fixed.to_vec()).prop_map(str::to_string), 1 => "[ -~]{1,3}"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_parser_agrees_with_its_twin(pieces in proptest::collection::vec(piece(), 0..12)) {
        let path = pieces.concat();
        prop_assert_eq!(parse(&path), twin(&path), "{}", path);
        let path = format!("/v2/{path}");
        prop_assert_eq!(parse(&path), twin(&path), "{}", path);
    }

    #[test]
    fn what_can_be_pulled_cannot_leave_its_host(pieces in proptest::collection::vec(piece(), 0..12)) {
        let path = plain(&format!("/v2/a/{}", pieces.concat())).into_owned();
        if let Path::Pull { rest, .. } = parse(&path) {
            let fits = |c: char| c.is_ascii_alphanumeric() || "/._-:+=".contains(c);
            prop_assert!(rest.chars().all(fits), "{}", path);
            prop_assert!(!rest.starts_with('/') && !rest.contains("//"));
            prop_assert!(rest.split('/').all(|segment| segment != "." && segment != ".."), "{}", path);
        }
    }
}
