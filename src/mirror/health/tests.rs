//! Changes of health after sequences of verdicts.

use proptest::prelude::*;

use super::*;

const RULES: Thresholds = Thresholds { fall: 3, rise: 5, hold_down_ms: 60_000, max_hold_down_ms: 600_000 };

/// Observes verdicts ten seconds apart; the health after each.
fn run(track: &mut Track, from: u64, verdicts: &[Verdict]) -> Vec<Health> {
    let times = (0..).map(|step| Moment(from + step * 10_000));
    verdicts
        .iter()
        .zip(times)
        .map(|(verdict, now)| {
            track.observe(*verdict, now, &RULES);
            track.health()
        })
        .collect()
}

#[test]
fn three_bad_verdicts_in_a_row_take_an_address_down() {
    use Verdict::{Slow, Unreachable, Up};
    let mut track = Track::default();
    let seen = run(&mut track, 0, &[Up, Unreachable, Slow, Up, Slow, Unreachable, Unreachable]);
    let mut expected = vec![Health::Up; 6];
    expected.push(Health::Down);
    assert_eq!(seen, expected);
}

#[test]
fn wrong_content_takes_it_down_at_once_and_the_first_verdict_decides_alone() {
    let mut track = Track::default();
    assert_eq!(run(&mut track, 0, &[Verdict::Up, Verdict::ContentBad]), [Health::Up, Health::Bad]);
    assert_eq!(run(&mut Track::default(), 0, &[Verdict::TlsBad]), [Health::Bad]);
}

#[test]
fn it_comes_back_after_five_good_verdicts_and_its_hold_down() {
    let mut track = Track::default();
    run(&mut track, 0, &[Verdict::Up, Verdict::ContentBad]);
    // Down since 10 s, so until 70 s; five good ones are there at 60 s.
    let seen = run(&mut track, 20_000, &[Verdict::Up; 6]);
    assert_eq!(seen, [Health::Bad, Health::Bad, Health::Bad, Health::Bad, Health::Bad, Health::Up]);
}

#[test]
fn the_hold_down_doubles_on_flaps_up_to_its_limit_and_starts_over_after_a_long_peace() {
    let mut track = Track::default();
    let mut now = 0;
    track.observe(Verdict::Up, Moment(now), &RULES);
    let mut fall_and_return = |peace_ms: u64| {
        now += peace_ms;
        track.observe(Verdict::ContentBad, Moment(now), &RULES);
        let down = now;
        while track.health() != Health::Up {
            now += 1000;
            track.observe(Verdict::Up, Moment(now), &RULES);
        }
        now - down
    };
    let held: Vec<u64> = (0..6).map(|_| fall_and_return(1000)).collect();
    assert_eq!(held, [60_000, 120_000, 240_000, 480_000, 600_000, 600_000]);
    assert_eq!(fall_and_return(600_000), 60_000);
}

/// The time by both clocks; the civil one is `ahead` seconds ahead.
fn at(ms: u64, ahead: u64) -> Now {
    Now { monotonic: Moment(ms), unix: UnixTime(ahead + ms / 1000) }
}

#[test]
fn a_restart_neither_ends_a_hold_down_nor_takes_a_good_verdict_for_health() {
    let mut track = Track::default();
    run(&mut track, 0, &[Verdict::Up, Verdict::ContentBad, Verdict::Up, Verdict::Up]);
    // Down from 10 s to 70 s; the process ends at 30 s, and another one starts at once.
    let memory = track.memory(at(30_000, 1000)).unwrap();
    let mut again = Track::remembered(memory, at(0, 1030), &RULES);
    assert_eq!((again.health(), again.last), (Health::Bad, Some(Verdict::Up)));
    let seen = run(&mut again, 0, &[Verdict::Up; 5]);
    assert_eq!(seen, [Health::Bad, Health::Bad, Health::Bad, Health::Bad, Health::Up], "0 s to 40 s");
    // It goes down again soon: the hold-down doubles over the restart.
    again.observe(Verdict::ContentBad, Moment(50_000), &RULES);
    let memory = again.memory(at(50_000, 1030)).unwrap();
    assert_eq!((memory.moment, memory.hold_down_ms), (UnixTime(1030 + 50 + 120), 120_000));
    // A clock that is set back by a day keeps it down no longer than the longest hold-down.
    let late = Track::remembered(memory, at(0, 1), &RULES);
    assert_eq!(late.memory(at(0, 1)).unwrap().moment, UnixTime(1 + 600));
}

#[test]
fn an_address_that_failed_once_is_up_after_a_restart_and_after_a_long_peace_is_held_down_for_the_shortest_time() {
    let mut track = Track::default();
    run(&mut track, 0, &[Verdict::Up, Verdict::Unreachable]);
    let memory = track.memory(at(10_000, 1000)).unwrap();
    assert_eq!(Track::remembered(memory, at(0, 1010), &RULES).health(), Health::Up);
    let flapped = Memory { hold_down_ms: 480_000, moment: UnixTime(1000), ..memory };
    for (now, held) in [(1000 + 599, 600), (1000 + 600, 60)] {
        let mut again = Track::remembered(flapped, at(0, now), &RULES);
        again.observe(Verdict::ContentBad, Moment(0), &RULES);
        assert_eq!(again.memory(at(0, now)).unwrap().moment, UnixTime(now + held));
    }
}

fn verdict() -> impl Strategy<Value = Verdict> {
    (0..Verdict::ALL.len()).prop_map(|at| Verdict::ALL[at])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn health_never_flips_below_its_thresholds(
        history in prop::collection::vec((verdict(), 1u64..30_000), 1..60),
        fall in 1u8..6,
        rise in 1u8..6,
    ) {
        let rules = Thresholds { fall, rise, ..RULES };
        let (mut track, mut now) = (Track::default(), 0);
        let (mut bad, mut good, mut down_at) = (0u8, 0u8, None::<u64>);
        for (at, (verdict, pause)) in history.into_iter().enumerate() {
            now += pause;
            let before = track.health();
            track.observe(verdict, Moment(now), &rules);
            (bad, good) = if verdict.is_good() { (0, good + 1) } else { (bad + 1, 0) };
            let after = track.health();
            if at == 0 {
                prop_assert_eq!(after == Health::Up, verdict.is_good());
                continue;
            }
            if before == Health::Up && after != Health::Up {
                prop_assert!(bad >= fall || verdict == Verdict::ContentBad);
                down_at = Some(now);
                good = 0;
            }
            if before != Health::Up && after == Health::Up {
                prop_assert!(good >= rise);
                prop_assert!(down_at.is_none_or(|down| now - down >= rules.hold_down_ms));
            }
            // An address that serves wrong content is never called merely down.
            if after != Health::Up && !verdict.is_good() {
                prop_assert_eq!(after, verdict.health());
            }
        }
    }
}
