//! Every fault through the real server: its verdict, when it is left, whether it is given in panic, when it is back.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pharos::base::rr::Rtype;
use pharos::mirror::Verdict::{self, ContentBad, Expiring, Missing, Slow, TlsBad, Up};

use super::World;
use super::common::server::PATIENCE;
use super::world::{Authority, Fault, Ledger, NAME};

const FAULTS: [(Fault, Verdict); 16] = [
    (Fault::WrongName, TlsBad),
    (Fault::Expired, TlsBad),
    (Fault::ExpiringSoon, Expiring),
    (Fault::NotYetValid, TlsBad),
    (Fault::SelfSigned, TlsBad),
    (Fault::MissingIntermediate, TlsBad),
    (Fault::HandshakeHangs, Slow),
    (Fault::Silent, Slow),
    (Fault::NoCanary, Missing),
    (Fault::WrongOctets, ContentBad),
    (Fault::WrongLength, ContentBad),
    (Fault::NoRanges, ContentBad),
    (Fault::AnswersEverything, ContentBad),
    (Fault::NotTls, TlsBad),
    (Fault::Gone, TlsBad),
    (Fault::Dribbles, Slow),
];

const PACE: &str =
    "interval = \"300ms\"\nretry = \"300ms\"\ntimeout = \"500ms\"\nfall = 2\nrise = 2\nhold-down = \"0s\"\n";

/// Fall times the longest interval (a fifth above the set one) with the longest probe.
const WITHIN: Duration = Duration::from_millis(2 * (360 + 500));

/// The additional time on a busy machine.
const SLACK: Duration = Duration::from_secs(4);

fn address(last: u8) -> IpAddr {
    IpAddr::from([127, 0, 2, last])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_is_left_in_time_with_its_verdict_never_given_in_panic_where_it_does_harm_and_comes_back() {
    let authority = Authority::new();
    let good = address(200);
    let (at, _good) = authority.mirror(SocketAddr::new(good, 0), Fault::None).await;
    let mut ledgers = Vec::new();
    for (fault, last) in FAULTS.iter().map(|(fault, _)| *fault).zip(1..) {
        let ledger = Arc::new(Ledger::well());
        authority.mirror_with(SocketAddr::new(address(last), at.port()), fault, ledger.clone()).await;
        ledgers.push(ledger);
    }
    let world = start(&authority, at.port());
    let of = |kind: char, number: usize| world.answer(&format!("{kind}{number}.{NAME}"), Rtype::A).0;
    let faulty = |number: usize| address(number as u8 + 1);
    // On a busy machine the probes at the start may take longer than their timeout.
    let wait_until_well = |when: &str| {
        let since = Instant::now();
        let mut away: Vec<usize> = (0..FAULTS.len()).collect();
        while !away.is_empty() {
            away.retain(|number| of('f', *number) != [faulty(*number)] || of('p', *number) != [faulty(*number)]);
            assert!(since.elapsed() < PATIENCE, "{when}: {:?}", away.iter().map(|n| FAULTS[*n]).collect::<Vec<_>>());
        }
    };
    wait_until_well("not well");

    ledgers.iter().for_each(|ledger| ledger.break_down());
    let broken = Instant::now();
    let mut left: Vec<usize> = (0..FAULTS.len()).filter(|number| FAULTS[*number].1 != Expiring).collect();
    while !left.is_empty() {
        left.retain(|number| of('f', *number) == [faulty(*number)]);
        assert!(
            broken.elapsed() < WITHIN + SLACK,
            "not left: {:?}",
            left.iter().map(|n| FAULTS[*n]).collect::<Vec<_>>()
        );
    }
    for _ in 0..20 {
        for (number, (fault, verdict)) in FAULTS.iter().enumerate() {
            let expected = if *verdict == Expiring { faulty(number) } else { good };
            assert_eq!(of('f', number), [expected], "{fault:?}");
            // Two of three are silent, or three: panic.
            let silent = [address(201), address(202)];
            let expected = match verdict {
                Up | Expiring => vec![faulty(number)],
                Slow | Verdict::Unreachable | Verdict::Overloaded | Verdict::Refused => {
                    vec![faulty(number), silent[0], silent[1]]
                }
                TlsBad | ContentBad | Missing => silent.to_vec(),
            };
            assert_eq!(of('p', number), expected, "{fault:?}");
        }
    }
    let page = world.server.metrics();
    for (number, (fault, verdict)) in FAULTS.iter().enumerate() {
        let of = |verdict: &str, value: u8| {
            format!("{{mirror=\"m{number}\",address=\"{}\",verdict=\"{verdict}\"}} {value}", faulty(number))
        };
        let line = format!("pharos_mirror_verdict{}", of(verdict.as_str(), 1));
        assert!(page.lines().any(|other| other == line), "{fault:?}: {line} is not in\n{page}");
    }

    ledgers.iter().for_each(|ledger| ledger.heal());
    wait_until_well("not back");
}

/// Owner `f…` has the faulty mirror and a good one, `p…` the faulty one and two that are not there.
fn start(authority: &Authority, port: u16) -> World {
    let names: Vec<(String, Vec<IpAddr>)> = (0..FAULTS.len())
        .map(|number| (format!("m{number}"), vec![address(number as u8 + 1)]))
        .chain([("good".into(), vec![address(200)])])
        .chain([201, 202].map(|last| (format!("silent{last}"), vec![address(last)])))
        .collect();
    let mirrors: Vec<(&str, &[IpAddr])> = names.iter().map(|(name, list)| (&**name, &**list)).collect();
    let owners: Vec<String> =
        (0..FAULTS.len()).flat_map(|number| [format!("f{number}"), format!("p{number}")]).collect();
    let steer: Vec<(&str, &str)> = owners.iter().map(|owner| (&**owner, &**owner)).collect();
    let horizons: String = (0..FAULTS.len())
        .map(|number| {
            format!(
                "[horizons.f{number}]\ndefault = [\"m{number}\", \"good\"]\n\
                 [horizons.p{number}]\ndefault = [\"m{number}\", \"silent201\", \"silent202\"]\n"
            )
        })
        .collect();
    World::start_with(authority, port, PACE, &mirrors, &steer, &horizons)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_ipv6_address_has_its_verdict_and_the_ipv4_one_beside_it_is_none_the_worse() {
    let authority = Authority::new();
    let (both, other) = (address(210), address(211));
    let v6 = IpAddr::from(std::net::Ipv6Addr::LOCALHOST);
    let (at, _both) = authority.mirror(SocketAddr::new(both, 0), Fault::None).await;
    let (_, _other) = authority.mirror(SocketAddr::new(other, at.port()), Fault::None).await;
    let mirrors: [(&str, &[IpAddr]); 2] = [("both", &[both, v6]), ("other", &[other])];
    let world = World::start(&authority, at.port(), &mirrors, "\"both\", \"other\"");
    world.expect(Rtype::A, &[both]);
    let page = world.server.metrics();
    for line in [
        format!("pharos_mirror_up{{mirror=\"both\",address=\"{both}\"}} 1"),
        "pharos_mirror_up{mirror=\"both\",address=\"::1\"} 0".to_string(),
        "pharos_mirror_verdict{mirror=\"both\",address=\"::1\",verdict=\"unreachable\"} 1".to_string(),
    ] {
        assert!(page.lines().any(|other| other == line), "{line} is not in\n{page}");
    }
}
