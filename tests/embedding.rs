//! The examples run, and behave as documented.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected is to fail")]

mod common;

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use common::query::Builder;
use common::server::{PATIENCE, ask_udp};
use common::show;
use hickory_proto::op::Message;
use pharos::base::rr::Rtype;

/// Builds an example, because `cargo test --test` does not, and returns its path.
fn example(name: &str) -> PathBuf {
    let built = Command::new(env!("CARGO")).args(["build", "--locked", "--quiet", "--example", name]).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    // target/debug/deps/TEST
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().parent().unwrap().join("examples").join(name)
}

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_engine_answers_behind_a_socket_of_ones_own() {
    let mut command = Command::new(example("embed"));
    let mut running = Running(command.arg("127.0.0.1:0").stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(running.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let at: SocketAddr = line.trim().strip_prefix("answering on ").unwrap().parse().unwrap();
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let ask = |subnet: &str| {
        let query = Builder::new("blob.example", Rtype::A).ecs(subnet.parse().unwrap()).finish();
        let reply: Message = show::decode(&ask_udp(&query, here, at).unwrap().unwrap()).unwrap();
        reply.answers.iter().map(|record| record.data.to_string()).collect::<Vec<_>>()
    };
    assert_eq!((ask("192.0.2.0/24"), ask("198.18.0.0/15")), (vec!["198.51.100.7".into()], vec!["203.0.113.7".into()]));
    // The mirror that is near goes down and comes back.
    let operator = UdpSocket::bind("127.0.0.1:0").unwrap();
    operator.set_read_timeout(Some(PATIENCE)).unwrap();
    for (sign, given) in [(b"-", "203.0.113.7"), (b"+", "198.51.100.7")] {
        operator.send_to(sign, at).unwrap();
        // One socket: the example reads messages in the order of sending.
        assert_eq!(ask("192.0.2.0/24"), [given]);
    }
}

#[test]
fn a_format_of_ones_own_steers() {
    let clients = ["192.0.2.77", "192.0.2.177", "2001:db8:2::1", "8.8.8.8"];
    let ran = Command::new(example("feed")).args(clients).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let expected = "192.0.2.77 -> 198.51.100.1\n192.0.2.177 -> 198.51.100.2\n2001:db8:2::1 -> 2001:db8:f::2\n\
                    8.8.8.8 -> 198.51.100.1\n";
    assert_eq!(String::from_utf8_lossy(&ran.stdout), expected);
}
