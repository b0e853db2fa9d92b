//! Answers of a zone that is signed here: each denial has a proof, and each RRset of the answer a signature.

use std::sync::LazyLock;

use pharos::base::time::Now;
use pharos::wire::{self, Peer, Transport};
use pharos::{Signatory, Snapshot};

use super::{ADDRESS, NOW, can_be_read, skip_name};

const CONFIG: &str = "
    [[zone]]
    name   = \"blob.test\"
    file   = \"zone\"
    steer  = [{ owner = \"@\", horizon = \"h\", ttl = 60, https = { alpn = [\"h2\"] } }, { owner = \"*.any\", horizon = \"h\" }]
    dnssec = { keys = [\"key.pem\"] }
    [networks]
    office = { list = \"office.txt\" }
    [mirrors.near]
    addresses = [\"198.51.100.7\", \"2001:db8::7\"]
    [mirrors.far]
    addresses = [\"203.0.113.7\", \"2001:db8::9\"]
    [horizons.h]
    rules   = [{ network = \"office\", mirrors = [\"near\"] }]
    default = [\"far\"]
";

const ZONE: &str = "$TTL 60
@ SOA ns hostmaster 1 3600 600 86400 60
@ NS ns
ns A 192.0.2.1
*.wild TXT w
*.walias CNAME x.wild
a.ent.deep A 192.0.2.9
alias CNAME b.walias
insecure NS ns.insecure
ns.insecure A 192.0.2.53
secure NS ns.elsewhere.example.
secure DS 12345 13 2 0000000000000000000000000000000000000000000000000000000000000000
old DNAME wild
";

/// A key for these tests alone (openssl genpkey -algorithm ED25519).
const KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIO0pOz7x9wI7POk0jKIWX10OtJYtx4JgymYbhU0fFiQj
-----END PRIVATE KEY-----
";

static SIGNED: LazyLock<Snapshot> = LazyLock::new(|| {
    let files = [("pharos.toml", CONFIG), ("zone", ZONE), ("office.txt", "192.0.2.0/24\n"), ("key.pem", KEY)];
    match pharos::build_in_memory("pharos.toml", files) {
        Ok(built) => Signatory::new(|| NOW).sign_ahead(built.snapshot),
        Err(problems) => panic!("{problems:#?}"),
    }
});

/// The question of a message, asked with the DO bit.
pub fn signed_answers(question: &[u8]) {
    let Some(end) = name_end(question) else { return };
    let Some(rest) = question.get(end..end + 2) else { return };
    let mut message = b"\x12\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x01".to_vec();
    message.extend_from_slice(&question[..end]);
    message.extend_from_slice(rest);
    message.extend_from_slice(b"\x00\x01\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x00");
    for transport in [Transport::Udp, Transport::Tcp] {
        let (peer, now) = (Peer { address: ADDRESS, transport }, Now { unix: NOW, ..Now::default() });
        let mut out = vec![0; wire::MAX_STREAM];
        let Some(reply) = wire::respond(&message, peer, &SIGNED, now, &mut out) else { continue };
        out.truncate(reply.len);
        assert!(can_be_read(&out), "the reply cannot be read: {out:02x?}");
        let is_truncated = out[2] & 2 != 0;
        // A transfer of a zone that is not here is refused by a code of its own (RFC 5936 §2.2.1).
        if !is_truncated && !matches!(rest, [0, 251 | 252]) {
            check(&out);
        }
    }
}

/// The records of a message: section, owner, type, and rdata.
type Found = (usize, Vec<u8>, u16, Vec<u8>);

fn check(reply: &[u8]) {
    let (rcode, is_authoritative, found) = (reply[3] & 15, reply[2] & 4 != 0, records(reply));
    assert!(matches!(rcode, 0 | 1 | 3 | 5 | 6), "rcode {rcode}");
    let is_dname = |owner: &[u8]| found.iter().any(|(_, above, rtype, _)| *rtype == 39 && owner.ends_with(above));
    for (section, owner, rtype, _) in found.iter().filter(|(section, ..)| *section < 2) {
        let is_covered = found.iter().any(|(of, signed, sig, rdata)| {
            of == section && signed == owner && *sig == 46 && rdata.starts_with(&rtype.to_be_bytes())
        });
        // RFC 6672 §5.3.1: the CNAME made from a DNAME has no signature. RFC 4035 §2.2: the NS RRset of a delegation neither.
        let is_bare = *rtype == 46 || (*rtype == 5 && is_dname(owner)) || (*rtype == 2 && *section == 1);
        assert!(is_covered || is_bare, "type {rtype} in section {section} is unsigned: {reply:02x?}");
    }
    let has = |rtype: u16| found.iter().any(|(section, _, found, _)| *section == 1 && *found == rtype);
    // A chain of aliases may end at an alias, and then has neither.
    let is_denial = is_authoritative && (rcode == 3 || has(6));
    assert!(!is_denial || has(47), "a denial without proof: {reply:02x?}");
    let is_referral = rcode == 0 && !is_authoritative && has(2);
    assert!(!is_referral || has(43) || has(47), "a referral without DS or proof: {reply:02x?}");
}

fn name_end(octets: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(&len) = octets.get(at) {
        match len {
            0 => return (at < 255).then_some(at + 1),
            1..=63 => at += 1 + usize::from(len),
            _ => return None,
        }
    }
    None
}

fn records(message: &[u8]) -> Vec<Found> {
    let count = |at: usize| usize::from(message[at]) << 8 | usize::from(message[at + 1]);
    let mut at = 12;
    for _ in 0..count(4) {
        skip_name(message, &mut at);
        at += 4;
    }
    let mut found = Vec::new();
    for section in 0..3 {
        for _ in 0..count(6 + 2 * section) {
            let owner = expanded(message, at);
            skip_name(message, &mut at);
            let rtype = count(at) as u16;
            let len = count(at + 8);
            found.push((section, owner, rtype, message[at + 10..at + 10 + len].to_vec()));
            at += 10 + len;
        }
    }
    found
}

/// A name with its pointers followed, in lower case.
fn expanded(message: &[u8], mut at: usize) -> Vec<u8> {
    let mut name = Vec::new();
    loop {
        match message[at] {
            0 => break,
            len @ 1..=63 => {
                name.extend_from_slice(&message[at..=at + usize::from(len)]);
                at += 1 + usize::from(len);
            }
            len => at = usize::from(len & 0x3f) << 8 | usize::from(message[at + 1]),
        }
    }
    name.push(0);
    name.to_ascii_lowercase()
}
