//! etcd with its failures: members that are killed, a lost quorum, watches, users and certificates.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pharos::config::{EtcdAccess, FileUse, InputFile, TlsFiles};
use pharos::stores::{Store, StoreError, StoreRead, WatchEvent};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

use crate::common::needs;
use crate::common::server::PATIENCE;
use crate::http::HttpServer;
use crate::meaning::{self, name};
use crate::servers::{self, EtcdTls};
use crate::{LONG, open, settings};

/// The deadline of calls while members are missing.
const BRIEF: Duration = Duration::from_secs(2);

fn url(scheme: &str, members: &[SocketAddr]) -> String {
    let members: Vec<_> = members.iter().map(ToString::to_string).collect();
    format!("{scheme}://{}/prod", members.join(","))
}

/// Repeats a write until it succeeds: a new leader is elected meanwhile.
async fn write(store: &Store, of: &str) {
    let begun = Instant::now();
    while let Err(error) = store.write(&name(of), b"x").await {
        assert!(begun.elapsed() < PATIENCE, "{error}");
    }
}

/// Waits for a change until the deadline of the test.
async fn changed(watch: &mut pharos::stores::StoreWatch) {
    let begun = Instant::now();
    while watch.next(Duration::from_secs(1)).await != WatchEvent::Changed {
        assert!(begun.elapsed() < PATIENCE, "the watch is silent");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_has_the_meaning_of_a_store_and_survives_its_members() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut members) = servers::etcd(3, folder.path(), None) else { return };
    let addresses: Vec<_> = members.iter().map(|member| member.client).collect();
    meaning::check(Arc::new(open(&url("etcd", &addresses), LONG, &[]))).await;
    let store = open(&url("etcd", &addresses), BRIEF, &[]);

    // A watch begins with a look, is then silent, and tells of changes below its folder alone.
    let mut watch = store.watch(&name("servers")).unwrap();
    assert_eq!(watch.next(PATIENCE).await, WatchEvent::Changed);
    write(&store, "other/a").await;
    assert_eq!(watch.next(Duration::from_millis(300)).await, WatchEvent::Silent);
    write(&store, "servers/a").await;
    assert_eq!(watch.next(PATIENCE).await, WatchEvent::Changed);
    // So it does of a value longer than any line that is read whole.
    store.write(&name("servers/long"), &[7; 300_000]).await.unwrap();
    assert_eq!(watch.next(PATIENCE).await, WatchEvent::Changed);
    store.delete(&name("servers/a")).await.unwrap();
    assert_eq!(watch.next(PATIENCE).await, WatchEvent::Changed);

    // Whichever member the watch is at, it goes on without it, and so do reads and writes.
    for at in 0..3 {
        members[at].kill();
        write(&store, "servers/a").await;
        changed(&mut watch).await;
        assert!(matches!(store.read(&name("servers/a"), None, 9).await, Ok(StoreRead::Changed { .. })));
        members[at].start();
        // A member serves once it has a leader, although it accepts connections before.
        write(&open(&url("etcd", &addresses[at..=at]), BRIEF, &[]), "servers/b").await;
    }

    // Without a quorum the last member still answers reads by its own state, and nothing is written.
    members[0].kill();
    members[1].kill();
    let version = store.list(&name("servers")).await.unwrap()[0].version.clone();
    assert_eq!(store.read(&name("servers/a"), Some(&version), 9).await.unwrap(), StoreRead::Same);
    for error in [
        store.read_latest(&name("servers/a"), None, 9).await.unwrap_err(),
        store.write(&name("servers/a"), b"y").await.unwrap_err(),
        store.write_if(&name("servers/a"), b"y", Some(&version)).await.unwrap_err(),
    ] {
        let is_known =
            matches!(error, StoreError::NoQuorum { .. } | StoreError::Failing(_) | StoreError::Unreachable { .. });
        assert!(is_known, "{error:?}");
    }
    // The watch was at any of the members; at the last one it is silent, as if nothing changed.
    let begun = Instant::now();
    while watch.next(Duration::from_millis(300)).await != WatchEvent::Silent {
        assert!(begun.elapsed() < PATIENCE, "the watch tells of changes that cannot be");
    }
    members[0].start();
    write(&store, "servers/c").await;
    changed(&mut watch).await;
    assert!(matches!(store.read_latest(&name("servers/c"), None, 9).await, Ok(StoreRead::Changed { .. })));
}

#[tokio::test]
async fn a_member_that_hangs_has_a_part_of_the_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let Some(members) = servers::etcd(1, folder.path(), None) else { return };
    let silent = HttpServer::silent();
    let store = open(&url("etcd", &[silent.address, members[0].client]), BRIEF, &[]);
    store.write(&name("a"), b"x").await.unwrap();
    // The member that answered is asked first from then on.
    store.read_latest(&name("a"), None, 9).await.unwrap();
    assert_eq!(silent.asked().len(), 1);
}

fn etcdctl(address: SocketAddr, arguments: &[&str]) {
    let mut command = Command::new(needs::find_program("etcdctl").unwrap());
    command.env("ETCDCTL_API", "3").arg(format!("--endpoints=http://{address}")).args(arguments);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

#[tokio::test]
async fn a_user_is_authenticated_and_again_when_the_token_lapses() {
    let folder = tempfile::tempdir().unwrap();
    if needs::program("etcdctl", "etcd-client").is_none() {
        return;
    }
    let Some(mut members) = servers::etcd(1, folder.path(), None) else { return };
    let address = members[0].client;
    let url = url("etcd", &[address]);
    let password = folder.path().join("password");
    let with = |text: &str| {
        std::fs::write(&password, text).unwrap();
        let account = Some(("root".into(), InputFile::at(&password, FileUse::Secret)));
        let mut settings = settings(&url, LONG, &[]);
        settings.access = EtcdAccess { account, ..EtcdAccess::default() };
        Store::open(settings).unwrap()
    };
    let said = async |store: &Store| match store.write(&name("a"), b"x").await {
        Err(StoreError::Credentials(why)) => why,
        other => panic!("{other:?}"),
    };
    assert!(said(&with("right\n")).await.contains("remove `user`"));
    etcdctl(address, &["user", "add", "root:right"]);
    etcdctl(address, &["auth", "enable"]);
    let store = with("right\n");
    store.write(&name("a"), b"x").await.unwrap();
    assert!(said(&open(&url, LONG, &[])).await.contains("set `user` and `password-file`"));
    let why = said(&with("wrong\n")).await;
    assert!(why.contains("correct `user`") && !why.contains("wrong"), "{why}");
    // A member that starts again knows no token.
    members[0].kill();
    members[0].start();
    write(&store, "b").await;
    assert!(!format!("{store:?}").contains("right"), "{store:?}");
}

/// The PEM files of an authority, of a member, and of a client.
fn certificates(folder: &Path) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "authority of a test");
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    std::fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    let issuer = Issuer::new(params, key);
    for (of, usage) in
        [("member", ExtendedKeyUsagePurpose::ServerAuth), ("client", ExtendedKeyUsagePurpose::ClientAuth)]
    {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_string(), "localhost".to_string()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, of);
        // The gateway of a member is a client of its own.
        params.extended_key_usages = vec![usage, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let signed = params.signed_by(&key, &issuer).unwrap();
        std::fs::write(folder.join(format!("{of}.pem")), signed.pem()).unwrap();
        std::fs::write(folder.join(format!("{of}.key")), key.serialize_pem()).unwrap();
    }
}

#[tokio::test]
async fn members_and_clients_have_certificates() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let file = |of: &str| folder.path().join(of);
    let (ca, cert, key) = (file("ca.pem"), file("member.pem"), file("member.key"));
    let Some(members) = servers::etcd(1, folder.path(), Some(&EtcdTls { ca: &ca, cert: &cert, key: &key })) else {
        return;
    };
    let with = |ca: Option<&str>, has_identity: bool| {
        let ca = ca.map(|of| InputFile::at(file(of), FileUse::Roots));
        let pem = |of: &str| InputFile::at(file(of), FileUse::Pem);
        let identity = has_identity.then(|| TlsFiles { cert: pem("client.pem"), key: pem("client.key") });
        let mut settings = settings(&url("etcds", &[members[0].client]), LONG, &[]);
        settings.access = EtcdAccess { ca, identity, account: None };
        Store::open(settings)
    };
    let store = with(Some("ca.pem"), true).unwrap();
    write(&store, "a").await;
    let mut watch = store.watch(&name("servers")).unwrap();
    assert_eq!(watch.next(PATIENCE).await, WatchEvent::Changed);
    let error = with(None, true).unwrap().write(&name("a"), b"x").await.unwrap_err();
    assert!(matches!(&error, StoreError::Tls { why, .. } if why.contains("certificate is refused")), "{error:?}");
    let error = with(Some("ca.pem"), false).unwrap().write(&name("a"), b"x").await.unwrap_err();
    assert!(matches!(error, StoreError::Tls { .. }), "{error:?}");
    let error = with(Some("member.key"), true).unwrap_err().to_string();
    assert!(error.contains("member.key"), "{error}");
    // TLS is not spoken at all.
    let plain = open(&url("etcd", &[members[0].client]), LONG, &[]);
    let error = plain.write(&name("a"), b"x").await.unwrap_err();
    assert!(
        matches!(error, StoreError::Strange(_) | StoreError::Unreachable { .. } | StoreError::Refused(_)),
        "{error:?}"
    );
}
