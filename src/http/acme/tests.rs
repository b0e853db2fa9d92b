//! Requests as ACME clients send these.

use super::*;
use crate::base::ids::MirrorId;

const PASSWORD: &str = "0123456789abcdef0123";

fn challenges() -> Challenges {
    let mut challenges = Challenges::default();
    let hash = digest(&SHA256, PASSWORD.as_bytes());
    let hash = PasswordDigest::new(hash.as_ref().try_into().unwrap());
    let owners = ["_acme-challenge.x", "_acme-challenge.one.x"].map(|owner| (name("x"), name(owner)));
    challenges.add(("user:one".into(), MirrorId(0)), hash.into(), Vec::new(), &owners);
    challenges.add(("key:two".into(), MirrorId(0)), crate::base::ids::KeyId(0).into(), Vec::new(), &owners);
    challenges
}

fn name(text: &str) -> NameBuf {
    NameBuf::parse(text).unwrap()
}

fn headers(lines: &[(&'static str, String)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

#[test]
fn a_user_is_recognized_by_basic_and_by_the_headers_of_acme_dns() {
    let challenges = challenges();
    let is_right = |lines: &[(&'static str, String)]| recognize(&challenges, &headers(lines)).is_some();
    let basic = |user: &str, password: &str| {
        ("authorization", format!("basic {}", BASE64.encode(format!("{user}:{password}").as_bytes())))
    };
    let api = |user: &str, key: &str| [("x-api-user", user.to_string()), ("x-api-key", key.to_string())];
    assert!(is_right(&[basic("one", PASSWORD)]) && is_right(&api("one", PASSWORD)));
    for wrong in [
        vec![],
        vec![basic("one", "0123456789abcdef012")],
        vec![basic("two", PASSWORD)],
        vec![basic("one", PASSWORD), basic("one", PASSWORD)],
        vec![basic("one", &format!("{PASSWORD}x"))],
        vec![("authorization", format!("Bearer {PASSWORD}"))],
        api("one", "").to_vec(),
        api("two", "").to_vec(),
        api("one", PASSWORD)[..1].to_vec(),
        [&api("one", PASSWORD)[..], &api("one", PASSWORD)].concat(),
        // The other headers do not count if there is an `Authorization`.
        [&api("one", PASSWORD)[..], &[basic("one", "x")]].concat(),
    ] {
        assert!(!is_right(&wrong), "{wrong:?}");
    }
    // No password has the digest of a key, or that of an unknown user.
    assert!(challenges.credential("key:two").unwrap().password().is_none());
    assert_eq!(format!("{:?}", PasswordDigest::NONE), "PasswordDigest");
}

#[test]
fn bodies_of_httpreq_and_acme_dns_are_changes() {
    let challenges = challenges();
    let credential = challenges.credential("user:one").unwrap();
    let value = "a".repeat(43);
    let set = |owner: &str| TokenChange {
        owner: name(owner),
        action: TokenAction::Set(ChallengeToken::parse(value.as_bytes()).unwrap()),
    };
    let present = |body: &str| httpreq(body.as_bytes(), credential, TokenAction::Set).map(|request| request.changes);
    let body = format!("{{\"fqdn\": \"_acme-challenge.x.\", \"value\": \"{value}\", \"more\": 1}}");
    assert_eq!(present(&body).ok().unwrap(), [set("_acme-challenge.x")]);
    // The example of lego's documentation.
    let key_auth = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI";
    let raw = format!("{{\"domain\": \"*.x\", \"token\": \"t\", \"keyAuth\": \"{key_auth}\"}}");
    let sent = present(&raw).ok().unwrap();
    let expected =
        ChallengeToken::parse(BASE64URL_NOPAD.encode(digest(&SHA256, key_auth.as_bytes()).as_ref()).as_bytes());
    assert_eq!(sent, [TokenChange { owner: name("_acme-challenge.x"), action: TokenAction::Set(expected.unwrap()) }]);
    for wrong in [
        "",
        "[]",
        "{}",
        "{\"fqdn\": \"x\"}",
        "{\"fqdn\": \"x\", \"value\": \"short\"}",
        &format!("{{\"fqdn\": \"a..b\", \"value\": \"{value}\"}}"),
        &format!("{{\"fqdn\": 7, \"value\": \"{value}\"}}"),
    ] {
        assert!(matches!(present(wrong), Err(AcmeRefusal::Malformed(_))), "{wrong}");
    }
    let update = |body: &str| update(body.as_bytes(), credential);
    let done = update(&format!("{{\"subdomain\": \"one\", \"txt\": \"{value}\"}}")).ok().unwrap();
    assert_eq!(done.changes, [set("_acme-challenge.x"), set("_acme-challenge.one.x")]);
    assert_eq!(done.done, (format!("{{\"txt\":\"{value}\"}}"), JSON));
    assert!(update(&format!("{{\"txt\": \"{value}\"}}")).is_err() && update("{\"subdomain\": \"one\"}").is_err());
}

#[test]
fn the_last_segment_of_a_path_is_the_kind_of_request() {
    assert_eq!(AcmeAction::of("/present"), Some(AcmeAction::Present));
    assert_eq!(AcmeAction::of("/a/b/cleanup"), Some(AcmeAction::Cleanup));
    for path in ["/", "", "/present/", "/presents", "/update/x"] {
        assert_eq!(AcmeAction::of(path), None, "{path}");
    }
}
