//! Names as text and as wire form, and the hashes of their suffixes.

use super::*;

#[test]
fn text_round_trips() {
    for text in [".", "k8s.io", "a\\.b.example", "\\000\\255.x", "*.blob.k8s.io", "_acme-challenge.blob.k8s.io"] {
        assert_eq!(name(text).to_string(), text);
    }
    assert_eq!(name("k8s.io."), name("K8S.io"));
}

#[test]
fn limits_hold() {
    assert_eq!(NameBuf::parse(&"a".repeat(64)), Err(NameError::LabelTooLong));
    assert_eq!(NameBuf::parse("a..b"), Err(NameError::EmptyLabel));
    assert_eq!(NameBuf::parse(""), Err(NameError::EmptyLabel));
    assert_eq!(NameBuf::parse("\\256"), Err(NameError::BadEscape));
    let longest = ["a"; MAX_LABELS].join(".");
    assert_eq!(name(&longest).as_name().len(), MAX_NAME_LEN);
    assert_eq!(NameBuf::parse(&format!("{longest}.a")), Err(NameError::TooLong));
    assert_eq!(name(&longest).as_name().suffixes().labels(), MAX_LABELS);
}

#[test]
fn suffixes_hash_alike_wherever_they_stand_and_whatever_their_case() {
    let (long, short) = (name("WWW.Blob.K8S.io"), name("blob.k8s.IO"));
    let (a, b) = (long.as_name().suffixes(), short.as_name().suffixes());
    for labels in 0..=3 {
        assert_eq!(a.hash(labels), b.hash(labels), "{labels} labels");
    }
    assert_ne!(a.hash(4), a.hash(3));
    // The labels in front, and the positions of the words of eight bytes, do not matter.
    for labels in ["", "a.", "abcdefg.", "0123456789abcdef.x."] {
        let longer = name(&format!("{labels}Blob.k8s.io"));
        assert_eq!(longer.as_name().suffixes().hash(3), b.hash(3), "{labels}");
        assert_eq!(longer.as_name().suffixes().hash(0), name(".").as_name().suffixes().hash(0));
    }
    // The same holds if longer suffixes are left out.
    for before in 0..=119 {
        let longer = name(&format!("{}www.Blob.k8s.io", "x.".repeat(before)));
        let (longer, tail) = Name::read_from(longer.as_name().as_wire()).unwrap();
        let mut few = Suffixes::new();
        few.fill_tail(longer, tail);
        assert_eq!(few.labels(), before + 4);
        assert!(if before + 4 < 2 * STRIDE { few.known() == before + 4 } else { (8..16).contains(&few.known()) });
        assert!((0..=4).all(|labels| few.hash(labels) == a.hash(labels)), "{before}");
        let all = longer.suffixes();
        assert!((0..=few.known()).all(|labels| few.hash(labels) == all.hash(labels)), "{before}");
        few.fill(longer);
        assert!((0..=before + 4).all(|labels| few.hash(labels) == all.hash(labels)), "{before}");
    }
    assert_eq!(a.start(3), 4);
    assert!(long.as_name().ends_with(short.as_name()));
    assert!(!name("notblob.k8s.io").as_name().ends_with(short.as_name()));
}

#[test]
fn hashes_ignore_the_case_of_letters_and_tell_what_names_are_made_of() {
    let hash = |octet: u8| {
        let wire = [1, octet, 0];
        let suffixes = Name::from_wire(&wire).unwrap().suffixes();
        suffixes.hash(1)
    };
    for letter in b'a'..=b'z' {
        assert_eq!(hash(letter), hash(letter.to_ascii_uppercase()));
    }
    let usual: std::collections::BTreeSet<u64> =
        b"abcdefghijklmnopqrstuvwxyz0123456789-_*".iter().map(|octet| hash(*octet)).collect();
    assert_eq!(usual.len(), 39);
}

#[test]
fn names_are_read_alike_however_many_labels_come_before() {
    for labels in 0..=MAX_LABELS + 1 {
        for len in [1, 2, 3] {
            for octet in [0, 1, 2, 9, 63, 64, 192, 255] {
                let before = [
                    [1, b'x'].repeat(labels / 2),
                    [[len].as_slice(), &[b'y'].repeat(usize::from(len))].concat().repeat(labels.div_ceil(2)),
                ];
                let wire = [before.concat(), vec![octet], vec![b'z'; 63], vec![0, 9]].concat();
                let read = Name::read_from(&wire).map(|(name, _)| name.as_wire());
                let expected = (1..=wire.len()).find_map(|end| Name::from_wire(&wire[..end]));
                assert_eq!(read, expected.map(Name::as_wire), "{labels} labels of 1 or {len}, then {octet}");
            }
        }
    }
}

#[test]
fn wire_is_checked() {
    assert!(Name::from_wire(b"\x01a\x00").is_some());
    for bad in [&b""[..], b"\x01a", b"\x01a\x00\x00", b"\x40a\x00", b"\xc0\x0c"] {
        assert!(Name::from_wire(bad).is_none(), "{bad:?}");
    }
}
