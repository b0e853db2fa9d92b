//! Master files, feature by feature and refusal by refusal, as an operator meets them.

mod data;
mod include;
mod problems;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::base::diagnostic::Style;
use crate::base::ids::HorizonId;
use crate::base::name::name;
use crate::base::rr::Rtype;
use crate::base::time::Ttl;
use crate::config::{FileUse, InputFile};

/// SOA and NS in one line each, so that what follows starts on line 3.
const HEAD: &str = "@ 3600 IN SOA ns.other. hostmaster.other. 1 7200 3600 1209600 300\n@ NS ns.other.\n";

fn place(text: &str) -> Place {
    let file: Arc<str> = "pharos.toml".into();
    Place::whole_line(&file, 9, text)
}

fn zone(apex: &str, steer: &[&str]) -> config::ZoneConfig {
    let steer = steer.iter().map(|owner| config::Steer {
        owner: name(owner),
        horizon: HorizonId(0),
        ttl: Ttl(60),
        service: None,
        place: place(&format!("steer = [{{ owner = \"{owner}\", horizon = \"blobs\" }}]")),
    });
    config::ZoneConfig {
        file: Some(InputFile::at("zones/example", FileUse::Zone)),
        steer: steer.collect(),
        ..config::ZoneConfig::named(name(apex), place("[[zone]]"))
    }
}

type Read = Result<(zone::Zone, Vec<Diagnostic>), Vec<Diagnostic>>;

/// Reads `text` as the file of zone `example.net`, with files to include by path.
fn read_with(text: &[u8], steer: &[&str], files: &[(&str, &str)]) -> Read {
    let files: HashMap<PathBuf, Vec<u8>> =
        files.iter().map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec())).collect();
    let mut read_file = |path: &Path| files.get(path).cloned().ok_or(io::ErrorKind::NotFound.into());
    read_text(&zone("example.net", steer), Path::new("zones/example"), text.to_vec(), &mut read_file)
}

fn rendered(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(|diagnostic| diagnostic.render(Style::Plain)).collect::<Vec<_>>().join("\n\n")
}

/// The records of a zone as `owner ttl type hex`, in the order of its nodes, without SOA and apex NS.
fn records(zone: &zone::Zone) -> Vec<String> {
    let mut lines = Vec::new();
    for node in zone.nodes() {
        for set in node.rrsets() {
            if node.owner() == zone.apex() && [Rtype::SOA, Rtype::NS].contains(&set.rtype) {
                continue;
            }
            for rdata in set.rdatas() {
                let hex: String = rdata.iter().map(|octet| format!("{octet:02x}")).collect();
                lines.push(format!("{} {} {} {hex}", node.owner(), set.ttl.0, set.rtype));
            }
        }
    }
    lines
}

/// The records after SOA and NS in a file without warnings.
fn clean(more: &str) -> Vec<String> {
    let (zone, warnings) = read_with(format!("{HEAD}{more}").as_bytes(), &[], &[])
        .unwrap_or_else(|errors| panic!("{}", rendered(&errors)));
    assert_eq!(rendered(&warnings), "");
    records(&zone)
}

/// The diagnostics of a file with these lines from the third on.
fn said(more: &str) -> String {
    match read_with(format!("{HEAD}{more}").as_bytes(), &[], &[]) {
        Ok((_, warnings)) => rendered(&warnings),
        Err(errors) => rendered(&errors),
    }
}

#[test]
fn owners_ttls_and_classes_may_be_left_out() {
    let read = clean(
        "www A 192.0.2.1\n  AAAA 2001:db8::1\n60 60 A 192.0.2.2\nmail.example.net. IN 1h A 192.0.2.3\n\t 2M in TXT y\n@ 5m TXT x\n",
    );
    let expected = [
        "example.net 300 TXT 0178",
        "www.example.net 3600 A c0000201",
        "www.example.net 3600 AAAA 20010db8000000000000000000000001",
        "60.example.net 60 A c0000202",
        "mail.example.net 3600 A c0000203",
        "mail.example.net 120 TXT 0179",
    ];
    assert_eq!(read, expected);
}

#[test]
fn directives_set_origin_and_ttl_from_there_on() {
    let read = clean(
        "$ORIGIN sub\n$ttl 1h30m\na A 192.0.2.1\n$ORIGIN deeper\n@ A 192.0.2.2\n$ORIGIN .\nb.example.net 7 A 192.0.2.3\n",
    );
    let expected =
        ["a.sub.example.net 5400 A c0000201", "deeper.sub.example.net 5400 A c0000202", "b.example.net 7 A c0000203"];
    assert_eq!(read, expected);
}

#[test]
fn parentheses_quotes_comments_and_escapes_are_read() {
    let read = clean(
        "; a comment; with ( and \"\na\\.b TXT ( \"one; (two)\" ; comment )\n  three\\ four \"\\\"\\065\" \"\" \"n\u{fc}\"\n ) ; end\r\n",
    );
    let strings = [&b"one; (two)"[..], b"three four", b"\"A", b"", b"n\xc3\xbc"];
    let hex: String = strings
        .iter()
        .flat_map(|string| [&[string.len() as u8], *string].concat())
        .map(|octet| format!("{octet:02x}"))
        .collect();
    assert_eq!(read, [format!("a\\.b.example.net 3600 TXT {hex}")]);
}

#[test]
fn at_stands_for_the_origin_in_data_too() {
    let read = clean("$ORIGIN sub\na CNAME @\nb MX 10 @\nc TXT @\n@ A 192.0.2.1\n");
    let sub = "03737562076578616d706c65036e657400";
    assert_eq!(read[0], "sub.example.net 3600 A c0000201");
    assert_eq!(read[1], format!("a.sub.example.net 3600 CNAME {sub}"));
    assert_eq!(read[2], format!("b.sub.example.net 3600 MX 000a{sub}"));
    assert_eq!(read[3], "c.sub.example.net 3600 TXT 0140");
}

#[test]
fn rfc3597_s5_any_type_may_be_written_in_hex() {
    let text = "a TYPE65280 \\# 4 0a00 0001\nb TYPE1 \\# 4 c0000201\nc A \\# 4 C0000202\nd TYPE65281 \\# 0\n";
    let read = clean(&format!("{text}e TYPE65280 \\# \"2\" \"abcd\"\nf TXT \\# \"3\" \"026869\"\n"));
    let expected = [
        "a.example.net 3600 TYPE65280 0a000001",
        "b.example.net 3600 A c0000201",
        "c.example.net 3600 A c0000202",
        "d.example.net 3600 TYPE65281 ",
        "e.example.net 3600 TYPE65280 abcd",
        "f.example.net 3600 TXT 026869",
    ];
    assert_eq!(read, expected);
}

#[test]
fn soa_times_may_have_units() {
    let text = "@ 1h IN SOA ns.other. hostmaster.other. ( 2024010101 2h 1h 2w 5m )\n@ NS ns.other.\n";
    let (zone, warnings) = read_with(text.as_bytes(), &[], &[]).unwrap();
    assert_eq!(rendered(&warnings), "");
    assert_eq!((zone.serial(), zone.negative_soa().rrset().ttl), (2_024_010_101, Ttl(300)));
    let rdata = zone.soa().rdatas().next().unwrap();
    let numbers: Vec<u32> =
        rdata[rdata.len() - 20..].chunks(4).map(|octets| u32::from_be_bytes(octets.try_into().unwrap())).collect();
    assert_eq!(numbers, [2_024_010_101, 7200, 3600, 1_209_600, 300]);
}

#[test]
fn a_missing_file_is_shown_where_the_config_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut zone = zone("example.net", &[]);
    let file = folder.path().join("no.zone");
    zone.file = Some(InputFile::at(&file, FileUse::Zone));
    let errors = read(&zone, None).unwrap_err();
    let expected = format!(
        "\
error[unreadable-file]: cannot read zone file `{}`: no such file
 --> pharos.toml:9:1
  |
9 | [[zone]]
  | ^^^^^^^^ named here
  |
  = help: the path is relative to the config file; check that it exists and may be read",
        file.display()
    );
    assert_eq!(rendered(&errors), expected);
    std::fs::write(&file, format!("{HEAD}$INCLUDE more\n")).unwrap();
    std::fs::write(folder.path().join("more"), "a A 192.0.2.1\n").unwrap();
    let (read, _) = super::read(&zone, None).unwrap();
    assert_eq!(records(&read), ["a.example.net 3600 A c0000201"]);
}

const SIGNED: &str = "\
@ DNSKEY 257 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=
@ CDS 60485 15 200 AABB
@ NSEC3PARAM 1 0 0 -
@ RRSIG SOA 15 2 3600 20300101000000 20200101000000 1234 example.net. AAAA
a A 192.0.2.1
a RRSIG A 15 3 3600 20300101000000 20200101000000 1234 example.net. AAAA
2t7b4g4vsa5smi47k61mv5bv1a22bojr NSEC3 1 1 0 - 2t7b4g4vsa5smi47k61mv5bv1a22bojr A RRSIG
2t7b4g4vsa5smi47k61mv5bv1a22bojr RRSIG NSEC3 15 3 3600 20300101000000 20200101000000 1234 example.net. AAAA
sub NS ns.other.
sub DS 60485 15 200 AABB
";

/// The problems of a zone in a file, with its signatures.
fn said_of_signed(config: &config::ZoneConfig, text: &str) -> Vec<&'static str> {
    let files = [(PathBuf::from("zones/example"), format!("{HEAD}{text}").into_bytes())];
    let intake = crate::files::Intake::of_memory(files.into_iter().collect());
    let file = config.file.clone().map(|file| file.noted_in(&intake));
    match read(&config::ZoneConfig { file, ..config.clone() }, None) {
        Ok((_, warnings)) => warnings.iter().map(|warning| warning.code).collect(),
        Err(problems) => problems.iter().map(|problem| problem.code).collect(),
    }
}

#[test]
fn a_half_signed_zone_is_refused() {
    let plain = zone("example.net", &[]);
    assert!(said_of_signed(&plain, SIGNED).iter().all(|code| *code == "half-signed"));
    for alone in [
        "a A 192.0.2.1\na RRSIG A 15 3 3600 20300101000000 20200101000000 1234 example.net. AAAA\n",
        "@ DNSKEY 257 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=\n",
        "a NSEC b A\n",
        "@ NSEC3PARAM 1 0 0 -\n",
        "b NSEC3 1 1 0 - 2t7b4g4vsa5smi47k61mv5bv1a22bojr A\n",
    ] {
        let said = said_of_signed(&plain, alone);
        assert!(!said.is_empty() && said.iter().all(|code| *code == "half-signed"), "{alone}: {said:?}");
    }
    // A DNSKEY or DS of another name signs nothing here.
    let other = "a DNSKEY 257 3 15 AAAA\nsub NS ns.other.\nsub DS 60485 15 200 AABB\n@ CDS 60485 15 200 AABB\n";
    assert_eq!(said_of_signed(&plain, other), [""; 0]);
    let steered = zone("example.net", &["b.example.net"]);
    assert_eq!(said_of_signed(&steered, SIGNED), ["steered-signed"]);
}

#[test]
fn a_zone_that_is_signed_here_keeps_the_keys_of_its_file() {
    let signing = config::SigningConfig {
        keys: Vec::new(),
        validity: std::time::Duration::from_secs(60),
        deletes_ds: false,
        place: place("dnssec"),
    };
    let zone = config::ZoneConfig { signing: Some(signing), ..zone("example.net", &["b.example.net"]) };
    assert_eq!(said_of_signed(&zone, SIGNED), ["signed-zone"]);
    let text = format!("{HEAD}{SIGNED}");
    let (read, warnings) = read_text(&zone, Path::new("zones/example"), text.into(), &mut |_| unreachable!()).unwrap();
    let types: Vec<_> = read.nodes().flat_map(|node| node.rrsets().map(|set| (set.rtype, set.is_signed()))).collect();
    for key in [Rtype::DNSKEY, Rtype::CDS] {
        assert!(types.contains(&(key, false)), "{types:?}");
    }
    assert!(types.iter().all(|(rtype, is_signed)| !is_signed && *rtype != Rtype::NSEC3PARAM), "{types:?}");
    assert_eq!(warnings[0].message, "the zone is signed here: 5 DNSSEC records of its file are left out");
}

#[test]
fn a_signed_zone_is_served_without_its_dnssec_records_where_the_operator_says_so() {
    let zone = config::ZoneConfig { unsigned: true, ..zone("example.net", &[]) };
    let text = format!("{HEAD}{SIGNED}");
    let (read, warnings) = read_text(&zone, Path::new("zones/example"), text.into(), &mut |_| unreachable!()).unwrap();
    assert_eq!(
        records(&read),
        [
            "a.example.net 3600 A c0000201",
            "sub.example.net 3600 NS 026e73056f7468657200",
            "sub.example.net 3600 DS ec450fc8aabb"
        ]
    );
    let hashed = name("2t7b4g4vsa5smi47k61mv5bv1a22bojr.example.net");
    assert!(read.node_of(hashed.as_name()).is_none(), "no owner of an NSEC3 exists");
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].code, "signed-zone");
    assert!(warnings[0].message.contains("7 are left out"), "{}", warnings[0].message);
}

#[test]
fn a_generated_record_is_refused_where_its_directive_stands() {
    let expected = "\
error[bad-data]: `192.0.2.256` is not an IPv4 address
 --> zones/example:3:1
  |
3 | $GENERATE 250-260 a$ A 192.0.2.$
  | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  |
  = help: write four numbers up to 255, like `192.0.2.1`";
    assert_eq!(said("$GENERATE 250-260 a$ A 192.0.2.$\nb A 192.0.2.1\n"), expected);
    // A warning that concerns all of the records is given once.
    let odd = said(
        "$GENERATE 1-1000 a$ A 192.0.2.1\n$GENERATE 1-1000 a$ 60 A 192.0.2.2\n$GENERATE 1-9 c$ CNAME x.example.net\n",
    );
    assert_eq!(odd.matches("warning[missing-dot]").count(), 1, "{odd}");
}

#[test]
fn what_a_directive_may_generate_is_bounded_before_it_is_made() {
    for range in ["0-4294967295", "0-2147483647", "0-65536"] {
        let told = said(&format!("$GENERATE {range} a$ A 192.0.2.1\n"));
        assert!(told.starts_with("error[bad-directive]"), "{told}");
    }
    // Each ends with its first record, and yet counts as a whole.
    let sixteen = "$GENERATE 0-65535 a$ A x\n".repeat(16);
    let told = said(&format!("{sixteen}$GENERATE 0-0 b$ TXT x\n"));
    assert_eq!(told.matches("error[bad-data]").count(), 16, "{told}");
    assert!(told.contains("at most 0 more are allowed"), "{told}");
}

#[test]
fn rfc2181_s8_a_ttl_with_the_first_bit_set_is_0() {
    let (read, warnings) = read_with(
        format!("{HEAD}a 2147483648 A 192.0.2.1\nb 2147483647 A 192.0.2.1\n$TTL 4294967295\nc A 192.0.2.1\n")
            .as_bytes(),
        &[],
        &[],
    )
    .unwrap();
    assert_eq!(
        records(&read),
        ["a.example.net 0 A c0000201", "b.example.net 2147483647 A c0000201", "c.example.net 0 A c0000201"]
    );
    let places: Vec<String> = warnings.iter().filter_map(Diagnostic::position).collect();
    assert_eq!(places, ["zones/example:3:3", "zones/example:5:6"]);
    assert!(said("a 4294967296 A 192.0.2.1\n").starts_with("error[bad-ttl]"));
}

#[test]
fn a_server_of_the_zone_below_a_dname_is_refused() {
    let expected = "\
error[server-below-dname]: the name server `ns.old.example.net` of the zone is below `old.example.net`, which has a DNAME
 --> zones/example:3:1
  |
3 | @ NS ns.old
  | ^^^^^^^^^^^
  |
 ::: zones/example:4:1
  |
4 | old DNAME new.other.
  | -------------------- it renames all names below it
  |
  = help: name a server that is not below a DNAME";
    assert_eq!(
        said("@ NS ns.old\nold DNAME new.other.\n"),
        format!(
            "{expected}\n\nwarning[target-is-alias]: the NS of `example.net` points to `ns.old.example.net`, which is an alias\n --> zones/example:3:1\n  |\n3 | @ NS ns.old\n  | ^^^^^^^^^^^\n  |\n  = help: name the host itself; many resolvers do not follow an alias here"
        )
    );
    // The server has an address, but below the DNAME it is never answered.
    assert!(said("@ NS ns.old\nold DNAME new.other.\nns.old A 192.0.2.1\n").contains("error[server-below-dname]"));
}
