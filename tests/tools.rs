//! The output of other projects' tools for our answers: dig, drill, delv and nsupdate.
//!
//! Needs the Debian packages `bind9-dnsutils` and `ldnsutils`; a tool that is not installed is left out, and the test says
//! so. The whole output of a tool is compared, except for parts that differ from run to run: times, IDs, ports, the hashes
//! of cookies and signatures, and the number of blanks. kdig, for the encrypted transports, is in `tests/transports`.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected is to fail")]

mod common;

use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};

use common::needs;
use common::server::Server;
use tempfile::TempDir;

const CONFIG: &str = r#"
[keys."xfer.example"]
algorithm = "hmac-sha256"
secret = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

[dns]
listen = "127.0.0.1:0"
nsid = "fra1-a"
identity = "fra1-a.example.net"
version = "Pharos"

[[zone]]
name = "example.net"
file = "zone"
transfer = { allow = "key:xfer.example" }

[[zone]]
name = "steered.example"
file = "steered"
steer = [{ owner = "blob", horizon = "blobs", ttl = 60 }]

[networks]
near = { list = "near" }

[mirrors.near]
addresses = ["192.0.2.10"]

[mirrors.far]
addresses = ["192.0.2.20"]

[horizons.blobs]
rules = [{ network = "near", mirrors = "near" }]
default = "far"
"#;

/// Text that makes the zone longer than its changes, because otherwise IXFR would send the whole zone.
const LONG: [u8; 200] = [b'x'; 200];

/// The zone with a serial.
fn zone(serial: u32) -> String {
    format!(
        "$TTL 300\n@ SOA ns hostmaster {serial} 3600 600 86400 60\n@ NS ns\nns A 192.0.2.53\nwww A 192.0.2.80\n\
         www AAAA 2001:db8::80\nalias CNAME www\nserial TXT \"{serial}\"\nlong TXT {}\n",
        String::from_utf8_lossy(&LONG)
    )
}

/// A key in the form that dig and nsupdate take.
const KEY: &str = "hmac-sha256:xfer.example:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// The same name with another secret.
const OTHER_KEY: &str = "hmac-sha256:xfer.example:NDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

struct World {
    folder: TempDir,
    server: Server,
    port: String,
}

impl World {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let steered = "$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 192.0.2.53\n";
        for (file, text) in
            [("pharos.toml", CONFIG), ("zone", &zone(7)), ("steered", steered), ("near", "198.51.100.0/24\n")]
        {
            fs::write(folder.path().join(file), text).unwrap();
        }
        let server = Server::start(&folder.path().join("pharos.toml"));
        let port = server.address(IpAddr::V4(Ipv4Addr::LOCALHOST)).port().to_string();
        World { folder, server, port }
    }

    /// The output of dig, without the line that repeats its arguments.
    fn dig(&self, arguments: &str) -> Option<String> {
        let common = ["@127.0.0.1", "-p", &self.port, "+nocmd", "+norecurse", "+tries=1", "+time=20"];
        run("dig", "bind9-dnsutils", &[&common, &words(arguments)[..]].concat(), "")
    }

    fn drill(&self, arguments: &str) -> Option<String> {
        run("drill", "ldnsutils", &[&["-p", &self.port, "@127.0.0.1"], &words(arguments)[..]].concat(), "")
    }

    /// `-i`: there are no signatures to validate.
    fn delv(&self, arguments: &str) -> Option<String> {
        let common = ["@127.0.0.1", "-p", &self.port, "-i"];
        run("delv", "bind9-dnsutils", &[&common, &words(arguments)[..]].concat(), "")
    }

    /// The output of nsupdate when it is to add an address.
    fn nsupdate(&self, arguments: &str) -> Option<String> {
        let orders = format!(
            "server 127.0.0.1 {}\nzone example.net\nupdate add new.example.net 60 A 192.0.2.1\nsend\nanswer\n",
            self.port
        );
        run("nsupdate", "bind9-dnsutils", &words(arguments), &orders)
    }
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

/// Runs a program, and returns its output without the parts that differ from run to run. `None` if the program is not
/// installed.
fn run(program: &str, package: &str, arguments: &[&str], input: &str) -> Option<String> {
    let path = needs::program(program, package)?;
    let mut process = Command::new(path)
        .args(arguments)
        .env("TZ", "UTC")
        .env("HOME", "/nonexistent")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    process.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    let all = [output.stdout, output.stderr].concat();
    Some(String::from_utf8(all).unwrap().lines().filter_map(settled).collect())
}

/// A line without the parts that differ from run to run. `None` if nothing else is in it.
fn settled(line: &str) -> Option<String> {
    let changing = [";; Query time:", ";; WHEN:", ";; SERVER:", "; (1 server found)", ";; global options:"];
    if line.trim().is_empty() || changing.iter().any(|start| line.starts_with(start)) {
        return None;
    }
    let mut words = words(line);
    if let Some(at) = words.iter().position(|word| *word == "id:").filter(|at| at + 1 < words.len()) {
        words[at + 1] = "*";
    }
    if words.starts_with(&[";", "COOKIE:"]) {
        words[2] = "*";
    }
    // Owner, TTL, class, type, algorithm, time, fudge, length of the MAC, MAC, ID, error, length of what else there is.
    if words.get(3) == Some(&"TSIG") && words.len() >= 11 {
        let (id, has_mac) = (words.len() - 3, words[7] != "0");
        words[5] = "*";
        words[id] = "*";
        if has_mac {
            words[8] = "*";
        }
    }
    Some(words.join(" ") + "\n")
}

/// Compares the printed text with the expected one.
#[track_caller]
fn assert_prints(printed: Option<String>, expected: &str) {
    let Some(printed) = printed else { return };
    let expected: String = expected.lines().map(|line| words(line).join(" ") + "\n").skip(1).collect();
    let expected = expected.trim_end().to_string() + "\n";
    assert!(printed == expected, "printed:\n{printed}\nexpected:\n{expected}");
}

#[test]
fn dig_prints_an_answer_over_udp_and_tcp() {
    let world = World::start();
    let answer = "
        ;; Got answer:
        ;; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: *
        ;; flags: qr aa; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 1
        ;; OPT PSEUDOSECTION:
        ; EDNS: version: 0, flags:; udp: 1232
        ; COOKIE: * (good)
        ; NSID: 66 72 61 31 2d 61 2f 31 (\"fra1-a/1\")
        ;; QUESTION SECTION:
        ;www.example.net. IN A
        ;; ANSWER SECTION:
        www.example.net. 300 IN A 192.0.2.80
        ;; MSG SIZE  rcvd: 100";
    assert_prints(world.dig("www.example.net A +nsid"), answer);
    assert_prints(world.dig("www.example.net A +nsid +tcp"), answer);
    let missing = "
        ;; Got answer:
        ;; ->>HEADER<<- opcode: QUERY, status: NXDOMAIN, id: *
        ;; flags: qr aa; QUERY: 1, ANSWER: 0, AUTHORITY: 1, ADDITIONAL: 0
        ;; QUESTION SECTION:
        ;nope.example.net. IN A
        ;; AUTHORITY SECTION:
        example.net. 60 IN SOA ns.example.net. hostmaster.example.net. 7 3600 600 86400 60
        ;; MSG SIZE  rcvd: 84";
    assert_prints(world.dig("nope.example.net A +noedns"), missing);
}

#[test]
fn dig_prints_the_answer_for_a_subnet_and_its_scope() {
    let world = World::start();
    let answer = |subnet: &str, address: &str| {
        format!(
            "
        ;; Got answer:
        ;; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: *
        ;; flags: qr aa; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 1
        ;; OPT PSEUDOSECTION:
        ; EDNS: version: 0, flags:; udp: 1232
        ; CLIENT-SUBNET: {subnet}
        ;; QUESTION SECTION:
        ;blob.steered.example. IN A
        ;; ANSWER SECTION:
        blob.steered.example. 60 IN A {address}
        ;; MSG SIZE  rcvd: 76"
        )
    };
    let dig = |subnet: &str| world.dig(&format!("blob.steered.example A +nocookie +subnet={subnet}"));
    assert_prints(dig("198.51.100.0/24"), &answer("198.51.100.0/24/24", "192.0.2.10"));
    // The sibling of the network's /24 differs from it in the last bit of 24.
    assert_prints(dig("198.51.101.0/24"), &answer("198.51.101.0/24/24", "192.0.2.20"));
}

#[test]
fn dig_sends_the_cookie_that_it_got_back() {
    let world = World::start();
    let Some(said) = world.dig("www.example.net A www.example.net AAAA +cookie") else { return };
    // dig says `good` where its own part came back, and warns where it did not.
    assert_eq!(said.matches("; COOKIE: * (good)\n").count(), 2, "{said}");
    let answer = "
        ;; Got answer:
        ;; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: *
        ;; flags: qr; QUERY: 0, ANSWER: 0, AUTHORITY: 0, ADDITIONAL: 1
        ;; OPT PSEUDOSECTION:
        ; EDNS: version: 0, flags:; udp: 1232
        ; COOKIE: * (good)
        ;; MSG SIZE  rcvd: 51";
    assert_prints(world.dig("+header-only +cookie"), answer);
    let malformed = "
        ;; Got answer:
        ;; ->>HEADER<<- opcode: QUERY, status: FORMERR, id: *
        ;; flags: qr; QUERY: 1, ANSWER: 0, AUTHORITY: 0, ADDITIONAL: 1
        ;; OPT PSEUDOSECTION:
        ; EDNS: version: 0, flags:; udp: 1232
        ;; QUESTION SECTION:
        ;www.example.net. IN A
        ;; MSG SIZE  rcvd: 44";
    assert_prints(world.dig("www.example.net A +cookie=0102030405"), malformed);
}

#[test]
fn dig_prints_who_the_server_is() {
    let world = World::start();
    for (name, text, size) in [
        ("version.bind", "Pharos", 60),
        ("version.server", "Pharos", 62),
        ("hostname.bind", "fra1-a.example.net", 73),
        ("id.server", "fra1-a.example.net", 69),
    ] {
        let answer = format!(
            "
        ;; Got answer:
        ;; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: *
        ;; flags: qr aa; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 1
        ;; OPT PSEUDOSECTION:
        ; EDNS: version: 0, flags:; udp: 1232
        ;; QUESTION SECTION:
        ;{name}. CH TXT
        ;; ANSWER SECTION:
        {name}. 0 CH TXT \"{text}\"
        ;; MSG SIZE  rcvd: {size}"
        );
        assert_prints(world.dig(&format!("{name} CH TXT +nocookie")), &answer);
    }
}

#[test]
fn dig_prints_a_zone_and_its_changes_to_who_has_the_key() {
    let world = World::start();
    let signature = "xfer.example. 0 ANY TSIG hmac-sha256. * 300 32 * * NOERROR 0";
    let zone = format!(
        "
        example.net. 300 IN SOA ns.example.net. hostmaster.example.net. 7 3600 600 86400 60
        example.net. 300 IN NS ns.example.net.
        ns.example.net. 300 IN A 192.0.2.53
        www.example.net. 300 IN A 192.0.2.80
        www.example.net. 300 IN AAAA 2001:db8::80
        alias.example.net. 300 IN CNAME www.example.net.
        serial.example.net. 300 IN TXT \"7\"
        long.example.net. 300 IN TXT \"{}\"
        example.net. 300 IN SOA ns.example.net. hostmaster.example.net. 7 3600 600 86400 60
        {signature}
        ;; XFR size: 9 records (messages 1, bytes 572)",
        String::from_utf8_lossy(&LONG)
    );
    assert_prints(world.dig(&format!("example.net AXFR -y {KEY}")), &zone);
    assert_prints(world.dig("example.net AXFR"), "\n; Transfer failed.");
    let refused = "
        ;; Couldn't verify signature: tsig indicates error
        xfer.example. 0 ANY TSIG hmac-sha256. * 300 0 * BADSIG 0
        ; Transfer failed.";
    assert_prints(world.dig(&format!("example.net AXFR -y {OTHER_KEY}")), refused);
    let steered = format!("\n{signature}\n; Transfer failed.");
    assert_prints(world.dig(&format!("steered.example AXFR -y {KEY}")), &steered);

    fs::write(world.folder.path().join("zone"), self::zone(8)).unwrap();
    world.server.signal("HUP");
    world.server.wait_for("reloaded");
    let changes = format!(
        "
        example.net. 300 IN SOA ns.example.net. hostmaster.example.net. 8 3600 600 86400 60
        example.net. 300 IN SOA ns.example.net. hostmaster.example.net. 7 3600 600 86400 60
        serial.example.net. 300 IN TXT \"7\"
        example.net. 300 IN SOA ns.example.net. hostmaster.example.net. 8 3600 600 86400 60
        serial.example.net. 300 IN TXT \"8\"
        example.net. 300 IN SOA ns.example.net. hostmaster.example.net. 8 3600 600 86400 60
        {signature}
        ;; XFR size: 6 records (messages 1, bytes 367)"
    );
    assert_prints(world.dig(&format!("example.net IXFR=7 -y {KEY}")), &changes);
    let nothing_new = format!(
        "
        example.net. 300 IN SOA ns.example.net. hostmaster.example.net. 8 3600 600 86400 60
        {signature}
        ;; XFR size: 1 records (messages 1, bytes 175)"
    );
    assert_prints(world.dig(&format!("example.net IXFR=8 -y {KEY}")), &nothing_new);
}

#[test]
fn drill_prints_an_answer_a_denial_and_a_refusal() {
    let world = World::start();
    let answer = "
        ;; ->>HEADER<<- opcode: QUERY, rcode: NOERROR, id: *
        ;; flags: qr aa rd ; QUERY: 1, ANSWER: 2, AUTHORITY: 0, ADDITIONAL: 0
        ;; QUESTION SECTION:
        ;; alias.example.net. IN AAAA
        ;; ANSWER SECTION:
        alias.example.net. 300 IN CNAME www.example.net.
        www.example.net. 300 IN AAAA 2001:db8::80
        ;; AUTHORITY SECTION:
        ;; ADDITIONAL SECTION:
        ;; MSG SIZE rcvd: 81";
    assert_prints(world.drill("alias.example.net AAAA"), answer);
    assert_prints(world.drill("-t alias.example.net AAAA"), answer);
    let denial = "
        ;; ->>HEADER<<- opcode: QUERY, rcode: NXDOMAIN, id: *
        ;; flags: qr aa rd ; QUERY: 1, ANSWER: 0, AUTHORITY: 1, ADDITIONAL: 0
        ;; QUESTION SECTION:
        ;; nope.example.net. IN A
        ;; ANSWER SECTION:
        ;; AUTHORITY SECTION:
        example.net. 60 IN SOA ns.example.net. hostmaster.example.net. 7 3600 600 86400 60
        ;; ADDITIONAL SECTION:
        ;; EDNS: version 0; flags: do ; udp: 1232
        ;; MSG SIZE rcvd: 95";
    assert_prints(world.drill("-D nope.example.net A"), denial);
    let refusal = "
        ;; ->>HEADER<<- opcode: QUERY, rcode: REFUSED, id: *
        ;; flags: qr rd ; QUERY: 1, ANSWER: 0, AUTHORITY: 0, ADDITIONAL: 0
        ;; QUESTION SECTION:
        ;; www.example.org. IN A
        ;; ANSWER SECTION:
        ;; AUTHORITY SECTION:
        ;; ADDITIONAL SECTION:
        ;; MSG SIZE rcvd: 33";
    assert_prints(world.drill("www.example.org A"), refusal);
    let changes = "
        ;; ->>HEADER<<- opcode: QUERY, rcode: REFUSED, id: *
        ;; flags: qr rd ; QUERY: 1, ANSWER: 0, AUTHORITY: 0, ADDITIONAL: 0
        ;; QUESTION SECTION:
        ;; example.net. IN IXFR
        ;; ANSWER SECTION:
        ;; AUTHORITY SECTION:
        ;; ADDITIONAL SECTION:
        ;; MSG SIZE rcvd: 29";
    assert_prints(world.drill("-t -I 127.0.0.1 example.net IXFR"), changes);
}

#[test]
fn delv_prints_answers_that_are_not_signed_as_such() {
    let world = World::start();
    let answer = "
        ; authoritative
        alias.example.net. 300 IN CNAME www.example.net.
        www.example.net. 300 IN A 192.0.2.80";
    assert_prints(world.delv("alias.example.net A"), answer);
    assert_prints(world.delv("+tcp alias.example.net A"), answer);
    let no_such_name = "
        ; negative response, answer not validated
        ; nope.example.net. 60 IN \\-ANY ;-$NXDOMAIN
        ; example.net. SOA ns.example.net. hostmaster.example.net. 7 3600 600 86400 60
        ;; resolution failed: ncache nxdomain";
    assert_prints(world.delv("nope.example.net A"), no_such_name);
    let no_such_type = "
        ; negative response, answer not validated
        ; www.example.net. 60 IN \\-MX ;-$NXRRSET
        ; example.net. SOA ns.example.net. hostmaster.example.net. 7 3600 600 86400 60
        ;; resolution failed: ncache nxrrset";
    assert_prints(world.delv("www.example.net MX"), no_such_type);
}

#[test]
fn nsupdate_is_told_that_there_are_no_updates() {
    let world = World::start();
    let refusal = "
        Answer:
        ;; ->>HEADER<<- opcode: UPDATE, status: NOTIMP, id: *
        ;; flags: qr; ZONE: 1, PREREQ: 0, UPDATE: 0, ADDITIONAL: 0
        ;; ZONE SECTION:
        ;example.net. IN SOA
        update failed: NOTIMP";
    assert_prints(world.nsupdate(""), refusal);
    assert_prints(world.nsupdate("-v"), refusal);
    let signed = "
        Answer:
        ;; ->>HEADER<<- opcode: UPDATE, status: NOTIMP, id: *
        ;; flags: qr; ZONE: 1, PREREQ: 0, UPDATE: 0, ADDITIONAL: 1
        ;; ZONE SECTION:
        ;example.net. IN SOA
        ;; TSIG PSEUDOSECTION:
        xfer.example. 0 ANY TSIG hmac-sha256. * 300 32 * * NOERROR 0
        update failed: NOTIMP";
    assert_prints(world.nsupdate(&format!("-y {KEY}")), signed);
    let other_secret = "
        Answer:
        ;; ->>HEADER<<- opcode: UPDATE, status: NOTAUTH, id: *
        ;; flags: qr; ZONE: 1, PREREQ: 0, UPDATE: 0, ADDITIONAL: 1
        ;; ZONE SECTION:
        ;example.net. IN SOA
        ;; TSIG PSEUDOSECTION:
        xfer.example. 0 ANY TSIG hmac-sha256. * 300 0 * BADSIG 0
        ; TSIG error with server: tsig indicates error
        update failed: NOTAUTH(BADSIG)";
    assert_prints(world.nsupdate(&format!("-y {OTHER_KEY}")), other_secret);
}
