//! Servers that fail: silent ones, wrong ones, ones that end connections or answer 500; and credentials of machines.

use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use pharos::stores::{Store, StoreError, StoreWrite};

use crate::common::ports::free_address;
use crate::http::{HttpServer, reply};
use crate::meaning::name;
use crate::{LONG, SHORT, azure, error_of, gs, open, s3, settings};

/// A store of each kind at one server.
fn at(endpoint: &str, deadline: std::time::Duration) -> Vec<Store> {
    let authority = endpoint.strip_prefix("http://").unwrap();
    vec![
        open("s3://fleet/p", deadline, &s3(endpoint)),
        open("gs://fleet/p", deadline, &gs(endpoint, "token")),
        open("az://fleet/p", deadline, &azure(endpoint)),
        open(&format!("etcd://{authority}/p"), deadline, &[]),
    ]
}

#[tokio::test]
async fn a_silent_server_is_waited_for_until_the_deadline() {
    let server = HttpServer::silent();
    for store in at(&server.url(), SHORT) {
        let begun = Instant::now();
        let of = name("a");
        let errors = [
            store.read(&of, None, 9).await.unwrap_err(),
            store.list(&of).await.unwrap_err(),
            store.write(&of, b"x").await.unwrap_err(),
            store.write_if(&of, b"x", None).await.unwrap_err(),
            store.delete(&of).await.unwrap_err(),
        ];
        assert!(begun.elapsed() >= SHORT * 5, "{store}: {:?}", begun.elapsed());
        let host = Some(server.address.to_string());
        let expected = if store.to_string().starts_with("etcd") {
            StoreError::NoQuorum { after: SHORT }
        } else {
            StoreError::Deadline { after: SHORT, host }
        };
        assert!(errors.iter().all(|error| *error == expected), "{store}: {errors:?}");
        assert!(expected.to_string().contains("within 0.3 s"), "{expected}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let address = free_address();
    for store in at(&format!("http://{address}"), LONG) {
        let error = error_of(&store).await;
        let StoreError::Unreachable { host, why } = &error else { panic!("{store}: {error:?}") };
        assert_eq!((host, why.as_str()), (&address.to_string(), "connection refused"), "{store}");
    }
}

#[tokio::test]
async fn a_server_that_ends_connections_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    for store in at(&format!("http://{address}"), LONG) {
        let error = error_of(&store).await;
        assert!(
            matches!(&error, StoreError::Unreachable { host, .. } if *host == address.to_string()),
            "{store}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_server_with_faults_is_asked_three_times_and_for_a_condition_once() {
    for kind in 0..4 {
        let server = HttpServer::start(|_| reply(503, "<Error><Code>SlowDown</Code><Message>busy</Message></Error>"));
        let store = at(&server.url(), LONG).remove(kind);
        let error = error_of(&store).await;
        assert!(matches!(&error, StoreError::Failing(why) if why.contains("503")), "{store}: {error:?}");
        // etcd has further members for that.
        let reads = if kind == 3 { 1 } else { 3 };
        assert_eq!(server.asked().len(), reads, "{store}");
        let error = store.write(&name("a"), b"x").await.unwrap_err();
        assert!(matches!(error, StoreError::Failing(_)), "{store}: {error:?}");
        assert_eq!(server.asked().len(), 2 * reads, "{store}");
        let error = store.write_if(&name("a"), b"x", None).await.unwrap_err();
        assert!(matches!(error, StoreError::Failing(_)), "{store}: {error:?}");
        assert_eq!(server.asked().len(), 2 * reads + 1, "{store}: a repeated condition could conflict with itself");
    }
}

#[tokio::test]
async fn a_fault_that_passes_is_not_noticed() {
    let count = AtomicUsize::new(0);
    let server = HttpServer::start(move |_| match count.fetch_add(1, Ordering::Relaxed) % 3 {
        2 => (200, vec![("ETag".into(), "\"e\"".into())], Vec::new()),
        _ => reply(500, ""),
    });
    for store in &at(&server.url(), LONG)[..3] {
        store.write(&name("a"), b"x").await.unwrap();
    }
}

#[tokio::test]
async fn another_server_than_a_store_is_named() {
    let server = HttpServer::start(|_| reply(200, "<html>Welcome</html>"));
    for store in at(&server.url(), LONG) {
        let error = store.read(&name("a"), None, 99).await.unwrap_err();
        assert!(matches!(error, StoreError::Strange(_)), "{store}: {error:?}");
        let error = store.list(&name("a")).await.unwrap_err();
        assert!(matches!(error, StoreError::Strange(_)), "{store}: {error:?}");
    }
    let server = HttpServer::start(|_| reply(404, "<html>Not found</html>"));
    let store = at(&server.url(), LONG).pop().unwrap();
    assert!(matches!(error_of(&store).await, StoreError::Strange(_)));
}

#[tokio::test]
async fn refusals_of_s3_have_their_remedies() {
    for (status, code, expected) in [
        (403, "RequestTimeTooSkewed", "synchronise it"),
        (301, "PermanentRedirect", "set `AWS_REGION`"),
        (400, "AuthorizationHeaderMalformed", "set `AWS_REGION`"),
        (403, "SignatureDoesNotMatch", "set `AWS_ACCESS_KEY_ID`"),
        (400, "ExpiredToken", "set `AWS_ACCESS_KEY_ID`"),
        (403, "AccessDenied", "allow this account to read, list, write and delete"),
        (404, "NoSuchBucket", "there is no bucket `fleet`; create it"),
        (400, "InvalidRequest", "the store refuses the request"),
    ] {
        let server = HttpServer::start(move |_| {
            reply(status, &format!("<Error><Code>{code}</Code><Message>It is so.\nsecond line</Message></Error>"))
        });
        let store = open("s3://fleet", LONG, &s3(&server.url()));
        let errors = [error_of(&store).await, store.list(&name("a")).await.unwrap_err()];
        for error in errors.map(|error| error.to_string()) {
            assert!(error.contains(expected) && !error.contains("second"), "{code}: {error}");
        }
        assert_eq!(server.asked().len(), 2, "{code}: a refusal is final");
    }
}

#[tokio::test]
async fn plain_http_is_refused_unless_it_is_allowed() {
    let server = HttpServer::start(|_| reply(404, ""));
    let url = server.url();
    for (store, variables, name) in [
        ("s3://fleet", s3(&url), "AWS_ALLOW_HTTP"),
        ("gs://fleet", gs(&url, "token"), "GOOGLE_ALLOW_HTTP"),
        ("az://fleet", azure(&url), "AZURE_ALLOW_HTTP"),
    ] {
        let without: Vec<_> = variables.into_iter().filter(|(of, _)| *of != name).collect();
        let error = error_of(&open(store, LONG, &without)).await;
        assert!(matches!(&error, StoreError::Setting(why) if why.contains(name)), "{store}: {error:?}");
    }
    assert_eq!(server.asked().len(), 0);
}

#[tokio::test]
async fn a_body_longer_than_its_bound_is_not_read() {
    // A list without an end.
    let server = HttpServer::start(|_| (200, Vec::new(), vec![b' '; 5 << 20]));
    for store in &at(&server.url(), LONG)[..3] {
        let error = store.list(&name("a")).await.unwrap_err();
        assert!(
            matches!(&error, StoreError::Strange(why) if why.contains("more than was asked for")),
            "{store}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_machine_with_a_role_has_credentials() {
    let server = HttpServer::start(|asked| match (asked.method.as_str(), asked.target.as_str()) {
        ("PUT", "/latest/api/token") => reply(200, "session"),
        ("GET", "/latest/meta-data/iam/security-credentials/") => reply(200, "role"),
        ("GET", "/latest/meta-data/iam/security-credentials/role") => reply(
            200,
            r#"{"AccessKeyId":"OFTHEROLE","SecretAccessKey":"s","Token":"t","Expiration":"2999-01-01T00:00:00Z","Code":"Success"}"#,
        ),
        ("PUT", "/fleet/p/a") => (200, vec![("ETag".into(), "\"e\"".into())], Vec::new()),
        other => panic!("{other:?}"),
    });
    let url = server.url();
    let variables = [("AWS_ENDPOINT_URL", &*url), ("AWS_METADATA_ENDPOINT", &url), ("AWS_ALLOW_HTTP", "true")];
    let store = open("s3://fleet/p", LONG, &variables);
    assert!(matches!(store.write_if(&name("a"), b"x", None).await, Ok(StoreWrite::Done(_))));
    let put = server.asked().pop().unwrap();
    assert_eq!(put.header("if-none-match"), Some("*"));
    assert_eq!(put.header("x-amz-security-token"), Some("t"));
    assert!(put.header("authorization").unwrap().contains("OFTHEROLE"));
    assert!(put.header("user-agent").unwrap().starts_with("pharos/"));
    // The credentials are kept until their end.
    store.write(&name("a"), b"x").await.unwrap();
    assert_eq!(server.asked().len(), 5);
}

#[tokio::test]
async fn keys_are_also_in_the_file_of_aws() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join(".aws")).unwrap();
    let file = "[prod]\naws_access_key_id = OFTHEFILE\naws_secret_access_key = s\n";
    std::fs::write(folder.path().join(".aws/credentials"), file).unwrap();
    let server = HttpServer::start(|_| reply(404, "<Error><Code>NoSuchKey</Code></Error>"));
    let (url, home) = (server.url(), folder.path().display().to_string());
    let variables = [("AWS_ENDPOINT_URL", &*url), ("AWS_ALLOW_HTTP", "true"), ("HOME", &home), ("AWS_PROFILE", "prod")];
    open("s3://fleet", LONG, &variables).read(&name("a"), None, 9).await.unwrap();
    assert!(server.asked()[0].header("authorization").unwrap().contains("OFTHEFILE"));
    let mut other = variables;
    other[3].1 = "other";
    let error = Store::open(settings("s3://fleet", LONG, &other)).unwrap_err().to_string();
    assert!(error.contains("has no keys for the profile `other`"), "{error}");
    // A half of a key is an error of the environment.
    let error = Store::open(settings("s3://fleet", LONG, &[("AWS_ACCESS_KEY_ID", "k")])).unwrap_err().to_string();
    assert!(error.contains("the environment does not describe the store"), "{error}");
}
