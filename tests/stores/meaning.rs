//! The meaning of a store, which is the same for each engine.

use std::collections::BTreeSet;
use std::sync::Arc;

use pharos::stores::{ListedObject, ObjectName, Store, StoreError, StoreRead, StoreVersion, StoreWrite};

const MAX: usize = 1 << 20;

pub(crate) fn name(text: &str) -> ObjectName {
    text.parse().unwrap()
}

/// The content and version of an object that exists.
async fn content(store: &Store, of: &str) -> (Vec<u8>, StoreVersion) {
    match store.read_latest(&name(of), None, MAX).await.unwrap() {
        StoreRead::Changed { bytes, version } => (bytes.to_vec(), version),
        other => panic!("{of}: {other:?}"),
    }
}

fn done(written: StoreWrite) -> StoreVersion {
    match written {
        StoreWrite::Done(version) => version,
        StoreWrite::Conflict => panic!("a conflict"),
    }
}

/// Checks an empty store.
pub(crate) async fn check(store: Arc<Store>) {
    reads_and_writes(&store).await;
    conditional_writes(&store).await;
    lists(&store).await;
    lengths(&store).await;
    one_winner(store).await;
}

async fn reads_and_writes(store: &Store) {
    let one = name("servers/fra1-a.json");
    assert_eq!(store.read(&one, None, MAX).await.unwrap(), StoreRead::Missing);
    assert_eq!(store.list(&name("servers")).await.unwrap(), []);
    // Every byte, so that no engine takes contents for text.
    let bytes: Vec<u8> = (0..=255).collect();
    let first = store.write(&one, &bytes).await.unwrap();
    assert_eq!(content(store, one.as_str()).await, (bytes.clone(), first.clone()));
    assert_eq!(store.read_latest(&one, Some(&first), MAX).await.unwrap(), StoreRead::Same);
    let second = store.write(&one, b"second").await.unwrap();
    assert_ne!(first, second);
    let changed = StoreRead::Changed { bytes: b"second"[..].into(), version: second.clone() };
    assert_eq!(store.read_latest(&one, Some(&first), MAX).await.unwrap(), changed);
    store.delete(&one).await.unwrap();
    assert_eq!(store.read_latest(&one, Some(&second), MAX).await.unwrap(), StoreRead::Missing);
    store.delete(&one).await.unwrap();
}

async fn conditional_writes(store: &Store) {
    let of = name("rollout.json");
    let first = done(store.write_if(&of, b"1", None).await.unwrap());
    assert_eq!(store.write_if(&of, b"x", None).await.unwrap(), StoreWrite::Conflict);
    let second = done(store.write_if(&of, b"2", Some(&first)).await.unwrap());
    assert_eq!(store.write_if(&of, b"x", Some(&first)).await.unwrap(), StoreWrite::Conflict);
    assert_eq!(content(store, of.as_str()).await, (b"2".to_vec(), second.clone()));
    store.delete(&of).await.unwrap();
    assert_eq!(store.write_if(&of, b"x", Some(&second)).await.unwrap(), StoreWrite::Conflict);
    assert_eq!(store.read_latest(&of, None, MAX).await.unwrap(), StoreRead::Missing);
}

async fn lists(store: &Store) {
    for of in ["list/b", "list/a", "list/deep/c", "list-2/x", "lis"] {
        store.write(&name(of), of.as_bytes()).await.unwrap();
    }
    let mut expected = Vec::new();
    for of in ["list/a", "list/b", "list/deep/c"] {
        expected.push(ListedObject { name: name(of), version: content(store, of).await.1 });
    }
    assert_eq!(store.list(&name("list")).await.unwrap(), expected);
    // The version of a list is one that a read knows.
    for ListedObject { name, version } in &expected {
        assert_eq!(store.read(name, Some(version), MAX).await.unwrap(), StoreRead::Same, "{name}");
    }
}

async fn lengths(store: &Store) {
    let of = name("files/long");
    store.write(&of, b"").await.unwrap();
    assert_eq!(content(store, of.as_str()).await.0, b"");
    store.write(&of, b"12345").await.unwrap();
    assert!(matches!(store.read_latest(&of, None, 5).await, Ok(StoreRead::Changed { .. })));
    let error = store.read_latest(&of, None, 4).await.unwrap_err();
    assert_eq!(error, StoreError::TooLong { name: "files/long".into(), max_len: 4 });
    assert_eq!(error.to_string(), "`files/long` has more than 4 bytes");
    let longest = store.max_object_len().min(3 << 20);
    let bytes: Vec<u8> = (0..longest).map(|at| (at % 251) as u8).collect();
    store.write(&of, &bytes).await.unwrap();
    let read = store.read_latest(&of, None, longest).await.unwrap();
    assert!(matches!(&read, StoreRead::Changed { bytes: read, .. } if *read == bytes), "{} bytes", longest);
    assert!(matches!(store.read_latest(&of, None, 9).await, Err(StoreError::TooLong { .. })));
    if store.max_object_len() == longest {
        let more = vec![0; longest + 1];
        assert!(matches!(store.write(&of, &more).await, Err(StoreError::TooLong { .. })));
        assert!(matches!(store.write_if(&of, &more, None).await, Err(StoreError::TooLong { .. })));
    }
}

/// Of writers that expect the same version, one succeeds.
async fn one_winner(store: Arc<Store>) {
    let of = name("winner");
    let before = store.write(&of, b"before").await.unwrap();
    let writers: Vec<_> = (0..8)
        .map(|number: u8| {
            let (store, of, before) = (store.clone(), of.clone(), before.clone());
            tokio::spawn(async move { (number, store.write_if(&of, &[number], Some(&before)).await.unwrap()) })
        })
        .collect();
    let mut won = BTreeSet::new();
    for writer in writers {
        if let (number, StoreWrite::Done(_)) = writer.await.unwrap() {
            won.insert(vec![number]);
        }
    }
    assert_eq!(won, BTreeSet::from([content(&store, "winner").await.0]));
}
