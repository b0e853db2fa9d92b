//! The store of a fleet: one meaning for all engines, against real servers, and the errors that an operator sees.
//!
//! S3 is moto, Azure is Azurite, etcd is Debian's. Google's API is written by hand ([`google`]): no server of it is packaged.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected is to fail")]

#[path = "../common/mod.rs"]
mod common;
mod etcd;
mod faults;
mod google;
mod http;
mod meaning;
mod servers;

use std::sync::Arc;
use std::time::Duration;

use pharos::stores::{Store, StoreEnvironment, StoreError, StoreRead, StoreSettings};
use pharos::tls::Roots;

use meaning::name;
use servers::{AZURE_ACCOUNT, AZURE_KEY};

/// The deadline of calls that succeed, on a machine that is busy.
const LONG: Duration = Duration::from_secs(20);

/// The deadline of calls that fail by it.
const SHORT: Duration = Duration::from_millis(300);

/// Roots that no server's certificate leads to.
fn roots() -> Arc<Roots> {
    let own = rcgen::generate_simple_self_signed(["a.example".to_string()]).unwrap();
    let mut roots = Roots::default();
    roots.add(own.cert.der().clone()).unwrap();
    Arc::new(roots)
}

fn settings(url: &str, deadline: Duration, variables: &[(&str, &str)]) -> StoreSettings {
    let variables = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    let mut settings = StoreSettings::new(url.parse().unwrap(), roots(), deadline);
    settings.environment = StoreEnvironment::of(variables.collect());
    settings
}

fn open(url: &str, deadline: Duration, variables: &[(&str, &str)]) -> Store {
    Store::open(settings(url, deadline, variables)).unwrap()
}

/// The variables for a server with the API of S3.
fn s3(endpoint: &str) -> Vec<(&str, &str)> {
    vec![
        ("AWS_ENDPOINT_URL_S3", endpoint),
        ("AWS_ENDPOINT_URL", "http://not-this-one.invalid"),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "eu-central-1"),
    ]
}

/// The variables for a server with the API of Azure.
fn azure(endpoint: &str) -> Vec<(&str, &str)> {
    vec![
        ("AZURE_STORAGE_ENDPOINT", endpoint),
        ("AZURE_ALLOW_HTTP", "true"),
        ("AZURE_STORAGE_ACCOUNT_NAME", AZURE_ACCOUNT),
        ("AZURE_STORAGE_ACCOUNT_KEY", AZURE_KEY),
    ]
}

/// The variables for a server with the API of Google.
fn gs<'e>(endpoint: &'e str, token: &'e str) -> Vec<(&'e str, &'e str)> {
    vec![("GOOGLE_BASE_URL", endpoint), ("GOOGLE_ALLOW_HTTP", "true"), ("GOOGLE_BEARER_TOKEN", token)]
}

async fn error_of(store: &Store) -> StoreError {
    store.read(&name("a"), None, 9).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_has_the_meaning_of_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("dir:{}", folder.path().display());
    let store = open(&url, LONG, &[]);
    assert!(store.watch(&name("servers")).is_none());
    assert_eq!(store.to_string(), url);
    meaning::check(Arc::new(store)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_in_s3_has_the_meaning_of_a_store() {
    let Some(moto) = servers::moto() else { return };
    let endpoint = format!("http://{}", moto.address);
    meaning::check(Arc::new(open("s3://fleet/prod", LONG, &s3(&endpoint)))).await;
    meaning::check(Arc::new(open("s3://fleet", LONG, &s3(&endpoint)))).await;
    let error = error_of(&open("s3://other/prod", LONG, &s3(&endpoint))).await;
    assert_eq!(error, StoreError::NoBucket("other".into()));
    // From now on moto asks for known keys, and knows none.
    let reset = servers::request(moto.address, "POST /moto-api/reset-auth HTTP/1.1", "0");
    assert!(reset.starts_with("HTTP/1.1 200"), "{reset}");
    let store = open("s3://fleet/prod", LONG, &s3(&endpoint));
    let error = error_of(&store).await;
    assert!(matches!(&error, StoreError::Credentials(why) if why.contains("InvalidAccessKeyId")), "{error}");
    assert!(error.to_string().contains("set `AWS_ACCESS_KEY_ID`"), "{error}");
    assert!(matches!(store.write(&name("a"), b"x").await, Err(StoreError::Credentials(_))));
    assert!(matches!(store.list(&name("a")).await, Err(StoreError::Credentials(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_in_azure_has_the_meaning_of_a_store() {
    let Some(azurite) = servers::azurite() else { return };
    let endpoint = format!("http://{}/{AZURE_ACCOUNT}", azurite.address);
    meaning::check(Arc::new(open("az://fleet/prod", LONG, &azure(&endpoint)))).await;
    let error = error_of(&open("az://other/prod", LONG, &azure(&endpoint))).await;
    assert_eq!(error, StoreError::NoBucket("other".into()));
    let mut variables = azure(&endpoint);
    variables[3].1 = "c2VjcmV0";
    let error = error_of(&open("az://fleet/prod", LONG, &variables)).await;
    assert!(
        matches!(&error, StoreError::Credentials(why) if why.contains("set `AZURE_STORAGE_ACCOUNT_KEY`")),
        "{error}"
    );
    let error = Store::open(settings("az://fleet", LONG, &[])).unwrap_err();
    assert!(error.to_string().contains("set `AZURE_STORAGE_ACCOUNT_NAME`"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_at_google_has_the_meaning_of_a_store() {
    let server = google::start("token");
    let endpoint = server.url();
    meaning::check(Arc::new(open("gs://fleet/prod", LONG, &gs(&endpoint, "token")))).await;
    let error = error_of(&open("gs://other/prod", LONG, &gs(&endpoint, "token"))).await;
    assert_eq!(error, StoreError::NoBucket("other".into()));
    let error = error_of(&open("gs://fleet", LONG, &gs(&endpoint, "wrong"))).await;
    assert!(
        matches!(&error, StoreError::Credentials(why) if why.contains("GOOGLE_APPLICATION_CREDENTIALS")),
        "{error}"
    );
}

#[tokio::test]
async fn a_folder_that_is_not_mounted_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shared");
    let store = open(&format!("dir:{}", path.display()), LONG, &[]);
    let errors = [
        store.read(&name("a"), None, 9).await.unwrap_err(),
        store.list(&name("a")).await.unwrap_err(),
        store.write(&name("a"), b"x").await.unwrap_err(),
        store.write_if(&name("a"), b"x", None).await.unwrap_err(),
        store.delete(&name("a")).await.unwrap_err(),
    ];
    for error in errors {
        assert!(error.to_string().contains("there is no such folder; mount it"), "{error}");
    }
    assert!(!path.exists());
    // A link or another kind of file is not an object.
    std::fs::create_dir_all(path.join("a")).unwrap();
    assert!(matches!(store.read(&name("a"), None, 9).await, Err(StoreError::Folder { .. })));
    std::os::unix::fs::symlink("/etc/passwd", path.join("b")).unwrap();
    assert!(matches!(store.read(&name("b"), None, 9).await, Err(StoreError::Folder { .. })));
    assert_eq!(store.read(&name("c/d"), None, 9).await.unwrap(), StoreRead::Missing);
}
