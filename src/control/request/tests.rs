//! Tests of requests to the desk.

use proptest::prelude::*;

use super::*;

fn parsed(method: Method, target: &str, body: &str) -> Result<ControlRequest, (u16, String)> {
    let head = hyper::Request::builder().method(method).uri(target).body(()).unwrap().into_parts().0;
    parse(&head, body.as_bytes(), UnixTime(1000)).map_err(|refusal| (refusal.status.as_u16(), refusal.error))
}

#[test]
fn requests_are_understood() {
    let reason = Reason::parse("new disks").unwrap();
    let give = |until| ControlRequest::Give {
        mirror: "a b/ü".into(),
        forced: Forced::Drain,
        reason: reason.clone(),
        until,
        force: false,
    };
    let target = format!("/mirrors/{}/order", encode("a b/ü"));
    let body = "{\"order\":\"drain\",\"reason\":\" new disks\",\"until\":\"2h\"}";
    assert_eq!(parsed(Method::PUT, &target, body), Ok(give(Some(UnixTime(8200)))));
    assert_eq!(parsed(Method::PUT, &target, &body.replace("\"2h\"", "null")), Ok(give(None)));
    let taken = ControlRequest::TakeBack { mirror: "a".into(), reason: None };
    assert_eq!(parsed(Method::DELETE, "/mirrors/a/order", ""), Ok(taken.clone()));
    assert_eq!(parsed(Method::DELETE, "/mirrors/a/order", "{}"), Ok(taken));
    let drain = ControlRequest::Drain { reason: reason.clone(), until: Some(UnixTime(8200)) };
    assert_eq!(parsed(Method::PUT, "/server/drain", "{\"reason\":\"new disks\",\"until\":\"2h\"}"), Ok(drain));
    assert_eq!(parsed(Method::DELETE, "/server/drain", ""), Ok(ControlRequest::Undrain { reason: None }));
    assert_eq!(parsed(Method::GET, "/mirrors", ""), Ok(ControlRequest::Mirrors(ListForm::Json)));
    assert_eq!(
        parsed(Method::POST, "/reload", ""),
        Ok(ControlRequest::Reload { terms: ReloadTerms::default(), width: None })
    );
    let terms = ReloadTerms { is_dry: true, allow_moved: Share::parse("12%").ok() };
    let target = "/reload?dry-run=true&allow-moved=12%25&width=80";
    assert_eq!(parsed(Method::POST, target, ""), Ok(ControlRequest::Reload { terms, width: Some(80) }));
    assert_eq!(parsed(Method::POST, "/reload?allow-moved=12", "").map_err(|(status, _)| status), Err(400));
    assert_eq!(parsed(Method::GET, "/reload", "").map_err(|(status, _)| status), Err(405));
    let refresh = ControlRequest::Refresh {
        sources: vec!["aws".into(), "a b".into()],
        is_previous: false,
        terms: ReloadTerms { is_dry: true, allow_moved: None },
        width: None,
    };
    assert_eq!(parsed(Method::POST, "/refresh?source=aws&source=a%20b&dry-run=true", ""), Ok(refresh));
    for bad in ["/refresh?previous=true", "/refresh?previous=true&source=a&source=b", "/refresh?sources=a"] {
        assert_eq!(parsed(Method::POST, bad, "").map_err(|(status, _)| status), Err(400), "{bad}");
    }
    assert_eq!(parsed(Method::GET, "/rulings", ""), Ok(ControlRequest::Rulings));
    let retransfer = ControlRequest::Retransfer(Box::new(NameBuf::parse("copy.example").unwrap()));
    assert_eq!(parsed(Method::POST, "/zones/copy.example./retransfer", ""), Ok(retransfer));
    assert_eq!(parsed(Method::HEAD, "/mirrors/a", ""), Ok(ControlRequest::Mirror("a".into())));
    let explain = ControlRequest::Explain {
        client: "192.0.2.0/24".parse().unwrap(),
        resolver: Some("2001:db8::1".parse().unwrap()),
        name: Some(Box::new(NameBuf::parse("blob.example").unwrap())),
    };
    let target = "/explain?client=192.0.2.0%2F24&resolver=2001:db8::1&name=blob.example";
    assert_eq!(parsed(Method::GET, target, ""), Ok(explain));
}

#[test]
fn what_is_not_understood_is_refused_with_the_reason() {
    let status = |method, target: &str, body: &str| parsed(method, target, body).unwrap_err().0;
    assert_eq!(status(Method::GET, "/", ""), 404);
    assert_eq!(status(Method::GET, "/mirrors/a/b", ""), 404);
    assert_eq!(status(Method::POST, "/mirrors", ""), 405);
    assert_eq!(status(Method::GET, "/mirrors/a/order", ""), 405);
    assert_eq!(status(Method::GET, "/zones/copy.example/retransfer", ""), 405);
    assert_eq!(status(Method::GET, "/server/drain", ""), 405);
    assert_eq!(status(Method::PUT, "/server/drain", "{}"), 400);
    assert_eq!(status(Method::PUT, "/server/drain", "{\"reason\":\"x\",\"override\":\"up\"}"), 400);
    assert_eq!(status(Method::POST, "/zones/a..b/retransfer", ""), 400);
    assert_eq!(status(Method::GET, "/mirrors/%zz", ""), 400);
    assert_eq!(status(Method::GET, "/mirrors/%ff", ""), 400);
    assert_eq!(status(Method::GET, "/explain", ""), 400);
    assert_eq!(status(Method::GET, "/explain?client=here", ""), 400);
    assert_eq!(status(Method::GET, "/explain?client=192.0.2.1&x=1", ""), 400);
    for twice in
        ["/space?family=4&family=6", "/space?block=10.0.0.0/8&block=10.0.0.0/8", "/explain?client=::1&client=::2"]
    {
        let refused = parsed(Method::GET, twice, "").unwrap_err();
        assert!(refused.0 == 400 && refused.1.ends_with("is there twice"), "{refused:?}");
    }
    let put = |body: &str| parsed(Method::PUT, "/mirrors/a/order", body).unwrap_err().1;
    for (body, said) in [
        ("", "the body is not"),
        ("{\"order\":\"drain\"}", "missing field `reason`"),
        ("{\"order\":\"auto\",\"reason\":\"x\"}", "`auto` is not an override"),
        ("{\"order\":\"up\",\"reason\":\" \"}", "say why"),
        ("{\"order\":\"up\",\"reason\":\"a\\nb\"}", "one line"),
        ("{\"order\":\"up\",\"reason\":\"x\",\"until\":\"soon\"}", "until `soon`"),
        ("{\"order\":\"up\",\"reason\":\"x\",\"untill\":\"2h\"}", "unknown field"),
    ] {
        assert!(put(body).contains(said), "{body}: {}", put(body));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_name_goes_through_a_path_as_it_is(name in any::<String>()) {
        let encoded = encode(&name);
        prop_assert!(encoded.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte)));
        prop_assert_eq!(decode(&encoded), Some(name));
    }

    #[test]
    fn whatever_comes_is_answered(path in "/[!-~]{0,40}", body in prop::collection::vec(any::<u8>(), 0..60)) {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            for path in [&*path, "/mirrors/a/order"] {
                let Ok(request) = hyper::Request::builder().method(&method).uri(path).body(()) else { continue };
                let _ = parse(&request.into_parts().0, &body, UnixTime(1000));
            }
        }
    }
}
