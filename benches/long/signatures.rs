//! Signatures that are valid for 30 s, for two minutes; and a mirror that goes down with 4,096 orders of mirrors, three in each answer,
//! under load: each reply has signatures that are valid, and the mirror is gone within a second.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use pharos::base::prefix::Prefix;
use pharos::base::rr::Rtype;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

use crate::common::pipeline;
use crate::common::query::Builder;
use crate::common::sections::Sections;
use crate::common::server::Server;

const APEX: &str = "blob.test";
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The orders of mirrors, each for the clients of one network.
const ORDERS: usize = 4096;

/// The mirrors of the second part.
const MIRRORS: usize = 16;

/// The longest time until a mirror that goes down is in no answer.
const CONTRACT: Duration = Duration::from_secs(1);

pub(crate) fn run() {
    keep_valid();
    withdraw();
}

/// Asks for each variant several times a second for four validities.
fn keep_valid() {
    let folder = tempfile::TempDir::new().unwrap();
    let config = write(folder.path(), "30s", 4, 4, 1);
    let server = Server::start(&config);
    let address = server.address(LOOPBACK);
    let key = public_key(address);
    let end = Instant::now() + Duration::from_secs(crate::share(120) as u64);
    let (mut checked, mut least) = (0, u64::MAX);
    let mut messages: Vec<Vec<u8>> =
        (0..4).flat_map(|order| [Rtype::A, Rtype::AAAA].map(|rtype| steered(order, rtype))).collect();
    for (name, rtype) in [(APEX, Rtype::SOA), (APEX, Rtype::TXT), ("missing.blob.test", Rtype::A)] {
        messages.push(Builder::new(name, rtype).edns(1232).dnssec_ok().finish());
    }
    while Instant::now() < end {
        for reply in pipeline::ask_all(address, &messages) {
            let (signatures, left) = verify(&reply, &key);
            assert!(signatures > 0, "a reply without signatures: {reply:02x?}");
            (checked, least) = (checked + signatures, least.min(left));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    println!("signatures: validity of 30 s: {checked} signatures verified, the first to expire had {least} s left");
}

/// Takes a mirror down while all orders are asked for.
fn withdraw() {
    let folder = tempfile::TempDir::new().unwrap();
    let config = write(folder.path(), "14d", crate::share(ORDERS), MIRRORS, 3);
    let begin = Instant::now();
    let server = Server::start(&config);
    let (address, started) = (server.address(LOOPBACK), begin.elapsed());
    let key = public_key(address);
    let messages: Vec<Vec<u8>> = (0..crate::share(ORDERS)).map(|order| steered(order, Rtype::A)).collect();
    let gone = Ipv4Addr::new(198, 51, 100, 1);
    let with = |replies: &[Vec<u8>]| replies.iter().filter(|reply| addresses(reply).contains(&gone)).count();
    let before = pipeline::ask_all(address, &messages);
    assert!(with(&before) > 0, "mirror m0 is in no answer");
    let mut rounds = vec![before];
    let order = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pharos"));
    command.arg("--config").arg(&config).args(["mirror", "down", "m0", "--force", "--reason", "a test"]);
    let mut command = command.spawn().unwrap();
    let after = loop {
        let asked = Instant::now();
        let replies = pipeline::ask_all(address, &messages);
        let is_gone = with(&replies) == 0;
        rounds.push(replies);
        if is_gone {
            break asked.duration_since(order);
        }
        assert!(order.elapsed() < 10 * CONTRACT, "mirror m0 is still in answers");
    };
    assert!(command.wait().unwrap().success());
    for reply in rounds.iter().flatten() {
        assert!(verify(reply, &key).0 > 0, "a reply without signatures: {reply:02x?}");
    }
    println!(
        "signatures: {} orders, start in {started:.1?}; m0 was in {} answers, and no reply that was asked for {after:.1?} after the command \
         has it; {} replies while it ran, all signatures verified",
        messages.len(),
        with(&rounds[0]),
        (rounds.len() - 1) * messages.len()
    );
    assert!(after <= CONTRACT, "{after:?}");
}

fn steered(order: usize, rtype: Rtype) -> Vec<u8> {
    let client = Prefix::holding([10, (order >> 8) as u8, order as u8, 0].into(), 24);
    Builder::new(APEX, rtype).ecs(client).dnssec_ok().finish()
}

/// Writes a zone with a key, and orders of mirrors that differ.
fn write(folder: &Path, validity: &str, orders: usize, mirrors: usize, in_answer: usize) -> std::path::PathBuf {
    let key = folder.join("key.pem");
    fs::write(&key, KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap().serialize_pem()).unwrap();
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    fs::write(folder.join("zone"), "$TTL 60\n@ SOA ns h 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n").unwrap();
    let mut text = format!(
        "[dns]\nlisten = \"127.0.0.1:0\"\n[control]\nsocket = \"control.sock\"\nstate = \"orders.json\"\n[[zone]]\nname = \"{APEX}\"\nfile = \"zone\"\nsteer = [{{ \
         owner = \"@\", horizon = \"h\" }}]\ndnssec = {{ keys = [\"key.pem\"], validity = \"{validity}\" }}\n[networks]\n"
    );
    for order in 0..orders {
        fs::write(folder.join(format!("n{order}")), format!("10.{}.{}.0/24\n", order >> 8, order & 255)).unwrap();
        let _ = writeln!(text, "n{order} = {{ list = \"n{order}\" }}");
    }
    for mirror in 0..mirrors {
        let last = mirror + 1;
        let _ = writeln!(text, "[mirrors.m{mirror}]\naddresses = [\"198.51.100.{last}\", \"2001:db8::{last}\"]");
    }
    let _ = writeln!(text, "[horizons.h]\nanswer-mirrors = {in_answer}\ndefault = [\"m1\"]\nrules = [");
    for order in 0..orders {
        let list: Vec<String> = permutation(order, mirrors).iter().map(|mirror| format!("\"m{mirror}\"")).collect();
        let _ = writeln!(text, "{{ network = \"n{order}\", mirrors = [{}] }},", list.join(", "));
    }
    text += "]\n";
    fs::write(folder.join("pharos.toml"), text).unwrap();
    folder.join("pharos.toml")
}

/// Four different mirrors, another list for each number.
fn permutation(order: usize, mirrors: usize) -> Vec<usize> {
    let (mut left, mut number): (Vec<usize>, usize) = ((0..mirrors).collect(), order);
    let mut list = Vec::new();
    while list.len() < 4.min(mirrors) {
        list.push(left.remove(number % left.len()));
        number /= left.len() + 1;
    }
    list
}

fn public_key(server: SocketAddr) -> Vec<u8> {
    let message = Builder::new(APEX, Rtype(48)).edns(1232).finish();
    let reply = pipeline::ask_tcp(server, &message).unwrap();
    let sections = Sections::read(&reply).unwrap();
    let dnskey = sections.answer.iter().find(|record| record.rtype == 48).unwrap();
    [&[4][..], &dnskey.rdata[4..]].concat()
}

fn addresses(reply: &[u8]) -> Vec<Ipv4Addr> {
    let answer = Sections::read(reply).unwrap().answer;
    let of = |rdata: &Vec<u8>| <[u8; 4]>::try_from(&rdata[..]).ok().map(Ipv4Addr::from);
    answer.iter().filter(|record| record.rtype == Rtype::A.0).filter_map(|record| of(&record.rdata)).collect()
}

/// Verifies each signature of a reply over records without names in their data, and NSEC. Returns the number of signatures, and the
/// seconds until the first expires.
fn verify(reply: &[u8], key: &[u8]) -> (usize, u64) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let sections = Sections::read(reply).unwrap();
    let (mut count, mut least) = (0, u64::MAX);
    for records in [&sections.answer, &sections.authority] {
        for signature in records.iter().filter(|record| record.rtype == 46) {
            let rdata = &signature.rdata;
            let field = |at: usize| u32::from_be_bytes(rdata[at..at + 4].try_into().unwrap());
            let (expiration, inception) = (u64::from(field(8)), u64::from(field(12)));
            assert!((inception..expiration).contains(&now), "valid from {inception} to {expiration}, and it is {now}");
            let covered = u16::from_be_bytes([rdata[0], rdata[1]]);
            let is_of =
                |record: &&crate::common::sections::Record| record.rtype == covered && record.owner == signature.owner;
            let mut rdatas: Vec<&Vec<u8>> = records.iter().filter(is_of).map(|record| &record.rdata).collect();
            rdatas.sort();
            let (head, value) = rdata.split_at(rdata.len() - 64);
            let mut signed = head.to_vec();
            for rdata in rdatas {
                signed.extend_from_slice(&signature.owner);
                signed.extend_from_slice(&covered.to_be_bytes());
                signed.extend_from_slice(&[0, 1]);
                signed.extend_from_slice(&rdata_ttl(head));
                signed.extend_from_slice(&(rdata.len() as u16).to_be_bytes());
                signed.extend_from_slice(rdata);
            }
            let verified = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key).verify(&signed, value);
            // The data of an SOA has names that the reply may compress.
            assert!(covered == 6 || verified.is_ok(), "a signature over type {covered} does not verify");
            (count, least) = (count + 1, least.min(expiration - now));
        }
    }
    (count, least)
}

/// The original TTL (RFC 4034 §3.1.4).
fn rdata_ttl(head: &[u8]) -> [u8; 4] {
    head[4..8].try_into().unwrap()
}
