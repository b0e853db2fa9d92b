//! The loss of the store while clients ask: no answer is lost, and overrides go on.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pharos::base::rr::Rtype;

use super::common::pipeline;
use super::common::query::Builder;
use super::world::*;

/// Questions that are sent at a time.
const BATCH: usize = 200;

/// Asks a server until `stop` is set, and counts the answers.
fn ask_until(stop: &AtomicBool, server: SocketAddr, answers: &AtomicUsize) {
    let questions = vec![Builder::new("blob.example", Rtype::A).finish(); BATCH];
    while !stop.load(Ordering::Relaxed) {
        for reply in pipeline::ask_all(server, &questions) {
            assert!([10, 20].contains(&address_in(&reply)));
            answers.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The status of `GET /ready`.
fn ready(member: &Member) -> String {
    let at = member.server().listener("health and metrics", Ipv4Addr::LOCALHOST.into());
    let mut stream = TcpStream::connect(at).unwrap();
    stream.write_all(b"GET /ready HTTP/1.0\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page.lines().next().unwrap().to_string()
}

#[test]
fn without_the_store_answers_and_overrides_go_on_and_all_agree_after_its_return() {
    let fleet = Fleet::start(&["a", "b", "c"]);
    let (stop, answers) = (AtomicBool::new(false), [(); 3].map(|()| AtomicUsize::new(0)));
    let addresses: Vec<_> =
        fleet.members.iter().map(|member| member.server().address(Ipv4Addr::LOCALHOST.into())).collect();
    std::thread::scope(|scope| {
        for (address, answers) in addresses.iter().zip(&answers) {
            let stop = &stop;
            scope.spawn(move || ask_until(stop, *address, answers));
        }
        // The asking threads must end when a check fails.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lose_and_return(&fleet)));
        stop.store(true, Ordering::Relaxed);
        outcome.unwrap();
    });
    assert!(answers.iter().all(|answers| answers.load(Ordering::Relaxed) >= BATCH), "{answers:?}");
}

fn lose_and_return(fleet: &Fleet) {
    fleet.lose_store();
    fleet.members.iter().for_each(|member| member.wait_said("the fleet shares nothing with this server"));
    let said = fleet[0].drain("near");
    assert!(
        said.contains("near: drained by override") && said.contains("fleet: b not yet; c not yet")
            || said.contains("fleet: b, c not yet"),
        "{said}"
    );
    assert_eq!(fleet[0].answer(), 20, "it is served where it was given");
    assert!(fleet[0].read("fleet.json").contains("new disks"), "and kept");
    let view = fleet[1].fleet();
    assert!(view["trouble"].as_str().unwrap().contains("there is no such folder"), "{view}");
    assert!(fleet[1].ok(&["status"]).contains("the store cannot be used: "));
    for member in &fleet.members {
        assert!(ready(member).contains(" 200 "), "{}", ready(member));
        assert!(
            member.server().metric("pharos_fleet_store_operations_total{operation=\"list\",outcome=\"failed\"}") > 0
        );
    }
    assert_eq!((fleet[1].answer(), fleet[2].answer()), (10, 10));
    fleet[2].drain("spare");
    fleet.return_store();
    fleet.expect(20);
    for member in &fleet.members {
        until("both overrides are everywhere", || member.order("near") == "drain" && member.order("spare") == "drain");
        member.wait_said("of the fleet is used again");
        member.wait_rounds(2);
        assert_eq!(member.said("the fleet shares nothing").len(), 1, "one line a change of state");
        assert_eq!(member.said("is used again").len(), 1);
        assert!(member.fleet()["trouble"].is_null());
    }
}
