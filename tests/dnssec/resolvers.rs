//! unbound as validator, with its subnet cache and aggressive use of NSEC: each client gets its own validated answer.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, ResponseCode};
use tempfile::TempDir;

use crate::common::generate::Dice;
use crate::common::ports::free_port;
use crate::common::server::{PATIENCE, Server};
use crate::common::{feeds, needs, pipeline, query};
use crate::world::{APEX, LOOPBACK, World, clients, dnskey, write_key};

/// A validating unbound that has a trust anchor, and asks these servers for these zones alone.
pub(crate) struct Unbound {
    process: Child,
    _folder: TempDir,
    pub(crate) address: SocketAddr,
}

impl Unbound {
    /// Starts unbound. `None` if it is not installed.
    pub(crate) fn start(zones: &[(&str, SocketAddr)], anchor: &str) -> Option<Unbound> {
        let program = needs::program("unbound", "unbound")?;
        let folder = tempfile::tempdir().unwrap();
        let (path, port) = (folder.path().display(), free_port());
        let mut config = format!(
            "server:\n directory: \"{path}\"\n chroot: \"\"\n username: \"\"\n pidfile: \"{path}/pid\"\n use-syslog: no\n \
             do-daemonize: no\n interface: 127.0.0.1@{port}\n access-control: 127.0.0.0/8 allow\n num-threads: 1\n \
             do-not-query-localhost: no\n module-config: \"subnetcache validator iterator\"\n send-client-subnet: 127.0.0.1\n \
             client-subnet-always-forward: yes\n max-client-subnet-ipv4: 32\n max-client-subnet-ipv6: 128\n aggressive-nsec: yes\n \
             val-log-level: 2\n trust-anchor: \"{anchor}\"\n local-zone: \"test.\" nodefault\n"
        );
        for (zone, server) in zones {
            config += &format!("stub-zone:\n name: \"{zone}\"\n stub-addr: 127.0.0.1@{}\n", server.port());
        }
        let file = folder.path().join("unbound.conf");
        fs::write(&file, config).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let process = spawn(&program, &file, log);
        let unbound = Unbound { process, address: SocketAddr::new(LOOPBACK, port), _folder: folder };
        let deadline = Instant::now() + PATIENCE;
        let question = query::parse(&["? id.server. TXT CH"]).unwrap().message;
        while pipeline::ask_tcp(unbound.address, &question).is_err() {
            let said = fs::read_to_string(unbound._folder.path().join("log")).unwrap();
            assert!(Instant::now() < deadline, "unbound does not come up: {said}");
            // The delay between two attempts; the wait ends when unbound answers.
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(unbound)
    }

    /// Asks for a name and type, with these words of [`query::parse`].
    pub(crate) fn ask(&self, question: &str) -> Message {
        let message = query::parse(&[&format!("? {question} rd do")]).unwrap().message;
        Message::from_vec(&pipeline::ask_tcp(self.address, &message).unwrap()).unwrap()
    }
}

fn spawn(program: &Path, config: &Path, log: fs::File) -> Child {
    Command::new(program).arg("-d").arg("-c").arg(config).stdin(Stdio::null()).stderr(log).spawn().unwrap()
}

impl Drop for Unbound {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The addresses of an answer, in order.
pub(crate) fn addresses(reply: &Message) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = reply.answers.iter().filter_map(|record| record.data.ip_addr()).collect();
    addresses.sort_unstable();
    addresses
}

#[test]
fn each_client_gets_its_own_validated_answer_from_the_cache_in_any_order() {
    let world = World::start("");
    let anchor = format!("{APEX}. DNSKEY {}", world.anchor().join(" "));
    let Some(unbound) = Unbound::start(&[(APEX, world.address())], &anchor) else { return };
    let mut dice = Dice::new(0x5eed);
    let mut answered = 0;
    for _ in 0..4 {
        let mut clients = clients();
        for last in (1..clients.len()).rev() {
            clients.swap(last, dice.below(last + 1));
        }
        for (client, last) in &clients {
            for name in ["blob.test", "steered.blob.test", "toblob.blob.test", "x.any.blob.test"] {
                let [v4, v6] = ["A", "AAAA"].map(|rtype| unbound.ask(&format!("{name}. {rtype} ecs={client}")));
                for (reply, address) in [(v4, format!("198.51.100.{last}")), (v6, format!("2001:db8::{last}"))] {
                    assert!(reply.metadata.authentic_data, "{client} {name}: {reply}");
                    assert_eq!(addresses(&reply), [address.parse::<IpAddr>().unwrap()], "{client} {name}");
                    answered += 1;
                }
                // Between them denials, from which unbound makes others itself.
                let random = dice.next();
                for (question, code) in [
                    (format!("{name}. MX"), ResponseCode::NoError),
                    (format!("q{random}.{name}. A"), denial_below(name)),
                    (format!("n{random}.blob.test. A"), ResponseCode::NXDomain),
                ] {
                    let reply = unbound.ask(&format!("{question} ecs={client}"));
                    assert_eq!(reply.metadata.response_code, code, "{question} {client}: {reply}");
                    assert!(reply.metadata.authentic_data, "{question} {client}: {reply}");
                }
            }
        }
    }
    eprintln!("{answered} steered answers through unbound's cache, all validated");
}

/// The regions of AWS with a mirror of their own.
const REGIONS: [&str; 6] = ["us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-northeast-1", "sa-east-1"];

/// The number of subnets of the feed that are asked for.
const SUBNETS: usize = 250;

#[test]
fn subnets_of_a_real_feed_get_validated_what_pharos_answers_without_do() {
    let Some(feed) = feeds::read("aws-ip-ranges.json") else { return };
    let folder = tempfile::tempdir().unwrap();
    write_key(&folder.path().join("key.pem"), &rcgen::PKCS_ECDSA_P256_SHA256);
    let feed_path = needs::data_folder().join("aws-ip-ranges.json").canonicalize().unwrap();
    let mut config = format!(
        "[dns]\nlisten = \"127.0.0.1:0\"\n[[zone]]\nname = \"{APEX}\"\nfile = \"zone\"\nsteer = [{{ owner = \"@\", horizon = \"h\", \
         ttl = 3600 }}]\ndnssec = {{ keys = [\"key.pem\"] }}\n[networks]\naws = {{ feed = \"aws\", file = \"{}\" }}\n[mirrors.far]\n\
         addresses = [\"198.51.100.1\"]\n",
        feed_path.display()
    );
    let mut rules = String::new();
    for (region, last) in REGIONS.iter().zip(2..) {
        config += &format!("[mirrors.{region}]\naddresses = [\"198.51.100.{last}\"]\n");
        rules += &format!("  {{ provider = \"aws\", region = \"{region}\", mirrors = [\"{region}\"] }},\n");
    }
    config += &format!("[horizons.h]\ndefault = [\"far\"]\nrules = [\n{rules}]\n");
    fs::write(folder.path().join("zone"), "$TTL 300\n@ SOA ns h 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n")
        .unwrap();
    fs::write(folder.path().join("pharos.toml"), config).unwrap();
    let server = Server::start(&folder.path().join("pharos.toml"));
    let address = server.address(LOOPBACK);
    let anchor = format!("{APEX}. DNSKEY {}", dnskey(address, APEX).join(" "));
    let Some(unbound) = Unbound::start(&[(APEX, address)], &anchor) else { return };
    let mut dice = Dice::new(7);
    let prefixes: Vec<&str> =
        feed["prefixes"].as_array().unwrap().iter().filter_map(|entry| entry["ip_prefix"].as_str()).collect();
    let mut subnets: Vec<String> = Vec::new();
    while subnets.len() < SUBNETS {
        let first: std::net::Ipv4Addr = dice.pick(&prefixes).split('/').next().unwrap().parse().unwrap();
        let [a, b, c, _] = first.octets();
        subnets.push(format!("{a}.{b}.{c}.0/24"));
    }
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..2 {
        for subnet in &subnets {
            let message = query::parse(&[&format!("? {APEX}. A ecs={subnet}")]).unwrap().message;
            let direct = Message::from_vec(&pipeline::ask_tcp(address, &message).unwrap()).unwrap();
            let validated = unbound.ask(&format!("{APEX}. A ecs={subnet}"));
            assert!(validated.metadata.authentic_data, "{subnet}: {validated}");
            assert_eq!(addresses(&validated), addresses(&direct), "{subnet}");
            seen.insert(addresses(&validated));
        }
        for last in (1..subnets.len()).rev() {
            subnets.swap(last, dice.below(last + 1));
        }
    }
    assert!(seen.len() > REGIONS.len() / 2, "{seen:?}");
}

/// The answer for a name below another one: all names below `*.any` have addresses.
fn denial_below(name: &str) -> ResponseCode {
    if name.ends_with(".any.blob.test") { ResponseCode::NoError } else { ResponseCode::NXDomain }
}
