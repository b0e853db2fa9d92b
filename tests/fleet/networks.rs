//! Four servers in network namespaces of their own, with routes to mirrors that really lead nowhere.
//!
//! The test runs itself again in a namespace that has the mirrors; each server gets another one, with a link to it. All of them
//! end with their processes, so that nothing is left on the machine.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use super::common::needs;
use super::mirrors::{Authority, Fault, Ledger};
use super::paths::PROBES;
use super::verdicts::{FIRST, FOUR, SECOND, expect_no_votes, expect_votes, votes};
use super::world::*;

/// Set while the test runs in the namespace of the mirrors.
const INSIDE: &str = "PHAROS_TEST_NETWORK";

/// The port of all mirrors.
const PORT: u16 = 8443;

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
}

/// True in the namespace of the mirrors. Otherwise runs the test there, if this machine allows it.
fn is_inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    for (program, package) in [("unshare", "util-linux"), ("nsenter", "util-linux"), ("ip", "iproute2")] {
        if needs::program(program, package).is_none() {
            return false;
        }
    }
    let tried = Command::new("unshare").args(["--net", "ip", "link", "add", "x", "type", "veth"]).output().unwrap();
    if !tried.status.success() {
        needs::skip("network namespaces take root");
        return false;
    }
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", "ip link set lo up && exec \"$0\" --exact \"$1\" --nocapture"]);
    let output = command.arg(std::env::current_exe().unwrap()).arg(test).env(INSIDE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    false
}

/// A network namespace with a link to the mirrors. It lives as long as its process.
struct Network {
    holder: Child,
    number: usize,
}

impl Network {
    fn new(number: usize) -> Network {
        // It says that it is in its namespace, and ends with the test.
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "echo; exec cat"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = command.spawn().unwrap();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
        let network = Network { holder, number };
        let (id, link) = (network.holder.id().to_string(), format!("link{number}"));
        let (here, there) = (format!("10.77.{number}.1"), network.address());
        run("ip", &["link", "add", &link, "type", "veth", "peer", "name", "uplink", "netns", &id]);
        run("ip", &["address", "add", &format!("{here}/24"), "dev", &link]);
        run("ip", &["link", "set", &link, "up"]);
        network.ip(&["link", "set", "lo", "up"]);
        network.ip(&["address", "add", &format!("{there}/24"), "dev", "uplink"]);
        network.ip(&["link", "set", "uplink", "up"]);
        network.ip(&["route", "add", "default", "via", &here]);
        network
    }

    /// The address of the server in it.
    fn address(&self) -> String {
        format!("10.77.{}.2", self.number)
    }

    /// Runs `ip` in it.
    fn ip(&self, arguments: &[&str]) {
        let network = format!("--net=/proc/{}/ns/net", self.holder.id());
        run("nsenter", &[&[&*network, "ip"], arguments].concat());
    }

    fn cut(&self, prefix: &str) {
        self.ip(&["route", "add", "blackhole", prefix]);
    }

    fn mend(&self, prefix: &str) {
        self.ip(&["route", "del", "blackhole", prefix]);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// The mirrors, the namespaces, and a fleet that runs in these.
struct Networks {
    fleet: Fleet,
    networks: Vec<Network>,
}

/// The last byte of its address is the number of a mirror.
fn mirror(number: u8) -> [u8; 4] {
    [10, 88, 0, number]
}

async fn start() -> Networks {
    let authority = Authority::new();
    for number in 1..=3 {
        let address = std::net::Ipv4Addr::from(mirror(number));
        run("ip", &["address", "add", &format!("{address}/32"), "dev", "lo"]);
        let ledger = Arc::<Ledger>::default();
        authority.mirror_with(SocketAddr::new(address.into(), PORT), Fault::None, ledger).await;
    }
    let networks: Vec<Network> = (0..FOUR.len()).map(Network::new).collect();
    let mut fleet = Fleet::prepare(&FOUR);
    for (member, network) in fleet.members.iter_mut().zip(&networks) {
        member.network = Some(network.holder.id());
        member.write("roots.pem", authority.root_pem());
    }
    let store = fleet.store();
    let fleet = fleet.running(|name| {
        let at = FOUR.iter().position(|other| *other == name).unwrap();
        let rest = super::paths::probed(PORT, PROBES, |at| std::net::Ipv4Addr::from(mirror(at as u8 + 1)).into());
        let text = config(name, &store, QUICK, &rest);
        text.replacen("127.0.0.1:0", &format!("{}:5300", networks[at].address()), 1)
    });
    Networks { fleet, networks }
}

#[test]
fn a_mirror_that_routes_do_not_reach_is_judged_by_most_servers() {
    if !is_inside("networks::a_mirror_that_routes_do_not_reach_is_judged_by_most_servers") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let Networks { fleet, networks } = runtime.block_on(start());
    fleet.expect(FIRST);
    let near = std::net::Ipv4Addr::from(mirror(1)).to_string();

    networks[0].cut(&near);
    fleet.members.iter().for_each(|member| expect_votes(member, "up", 1, 4));
    fleet.expect(FIRST);
    for member in &fleet.members {
        let status = member.ok(&["status"]);
        assert!(status.contains("; seen as not up by 1 of 4 servers, so it is up"), "{status}");
    }

    networks[1].cut(&near);
    networks[2].cut(&near);
    fleet.members.iter().for_each(|member| expect_votes(member, "down", 3, 4));
    fleet.expect(SECOND);

    (0..3).for_each(|at| networks[at].mend(&near));
    expect_no_votes(&fleet);
    fleet.expect(FIRST);
}

#[test]
fn a_server_whose_routes_reach_no_mirror_is_isolated_and_answers_as_the_others() {
    if !is_inside("networks::a_server_whose_routes_reach_no_mirror_is_isolated_and_answers_as_the_others") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let Networks { fleet, networks } = runtime.block_on(start());
    fleet.expect(FIRST);
    networks[0].cut("10.88.0.0/24");
    until("it is isolated", || {
        assert_eq!(fleet[0].answer(), FIRST);
        fleet[0].fleet()["isolated"] == true
    });
    (1..4).for_each(|at| until("the others know", || fleet[at].peer("a")["served"]["isolated"] == true));
    // Two of the three that have a vote.
    let near = std::net::Ipv4Addr::from(mirror(1)).to_string();
    networks[1].cut(&near);
    networks[2].cut(&near);
    fleet.expect(SECOND);
    assert_eq!(votes(&fleet[3]).0, "down");
    networks[0].mend("10.88.0.0/24");
    fleet[0].wait_said("this server reaches most mirrors again: its own view counts");
    networks[1].mend(&near);
    fleet.members.iter().for_each(|member| expect_votes(member, "up", 1, 4));
    fleet.expect(FIRST);
}
