use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::compose::{Condition, Restart};
use crate::kernel::reaper::Exit;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn times() -> ProbeTimes {
    ProbeTimes {
        interval: MS(2000),
        retries: 3,
        start_period: MS(5000),
    }
}

fn unit(
    name: &str,
    after: &[(&str, Condition)],
    restart: Restart,
    probe: Option<ProbeTimes>,
) -> Unit {
    Unit {
        name: format!("{name}-1"),
        service: name.to_owned(),
        after: after
            .iter()
            .map(|(service, condition)| Dependency {
                service: (*service).to_owned(),
                condition: *condition,
            })
            .collect(),
        restart,
        probe,
        stop_grace: MS(10_000),
    }
}

fn shop() -> Supervisor {
    Supervisor::new(vec![
        unit(
            "secrets",
            &[],
            Restart::OnFailure { max_retries: None },
            None,
        ),
        unit(
            "postgres",
            &[("secrets", Condition::ServiceCompletedSuccessfully)],
            Restart::Always,
            Some(times()),
        ),
        unit(
            "orders",
            &[("postgres", Condition::ServiceHealthy)],
            Restart::Always,
            Some(times()),
        ),
    ])
}

fn up(lab: &mut Supervisor) {
    assert_eq!(lab.decide(Event::Tick, MS(0)), [Action::Start(0)]);
    assert_eq!(lab.decide(Event::Started(0), MS(1)), []);
    assert_eq!(
        lab.decide(Event::Exited(0, Exit::Code(0)), MS(20)),
        [Action::Start(1)]
    );
    assert_eq!(lab.decide(Event::Started(1), MS(21)), [Action::Probe(1)]);
    assert_eq!(lab.decide(Event::Probed(1, false), MS(30)), []);
    assert_eq!(lab.next_deadline(), Some(MS(130)));
    assert_eq!(lab.decide(Event::Tick, MS(130)), [Action::Probe(1)]);
    assert_eq!(lab.verdict(), Verdict::Pending);
    assert_eq!(
        lab.decide(Event::Probed(1, true), MS(140)),
        [Action::Start(2)]
    );
    assert_eq!(lab.decide(Event::Started(2), MS(141)), [Action::Probe(2)]);
    assert_eq!(lab.decide(Event::Probed(2, true), MS(150)), []);
    assert_eq!(lab.verdict(), Verdict::Ready);
    assert_eq!(lab.next_deadline(), Some(MS(2140)));
}

#[test]
fn each_instance_waits_for_what_it_depends_on_and_stops_before_it() {
    let mut lab = shop();
    up(&mut lab);
    assert_eq!(lab.decide(Event::Shutdown, MS(1000)), [Action::Stop(2)]);
    assert_eq!(
        lab.decide(Event::Exited(2, Exit::Code(0)), MS(1100)),
        [Action::Stop(1)]
    );
    assert_eq!(lab.decide(Event::Tick, MS(11_099)), []);
    assert_eq!(lab.decide(Event::Tick, MS(11_100)), [Action::Kill(1)]);
    assert_eq!(
        lab.decide(Event::Exited(1, Exit::Code(137)), MS(11_101)),
        [Action::Finish]
    );
}

#[test]
fn a_crash_loop_backs_off_and_fails_the_lab_until_it_was_well_again() {
    let mut lab = shop();
    up(&mut lab);
    let mut now = MS(200);
    for streak in 0..CRASH_LOOP {
        // After an end, the check's word alone does not count: this one passes every time.
        let wanted = if streak == 0 {
            Verdict::Ready
        } else {
            Verdict::Pending
        };
        assert_eq!(lab.verdict(), wanted);
        assert_eq!(lab.decide(Event::Exited(2, Exit::Code(1)), now), []);
        assert_eq!(
            lab.slots()[2].state,
            State::BackingOff {
                until: now + restart_delay(streak)
            }
        );
        now += restart_delay(streak);
        assert!(lab.decide(Event::Tick, now).contains(&Action::Start(2)));
        assert!(
            lab.decide(Event::Started(2), now)
                .contains(&Action::Probe(2))
        );
        lab.decide(Event::Probed(2, streak + 1 < CRASH_LOOP), now);
    }
    assert_eq!(lab.verdict(), Verdict::Failed(2));
    assert_eq!(lab.slots()[2].restarts, CRASH_LOOP);
    lab.decide(Event::Tick, now + FAST_PROBE);
    lab.decide(Event::Probed(2, true), now + FAST_PROBE);
    assert_eq!(lab.verdict(), Verdict::Pending);
    assert_eq!(lab.next_deadline(), Some(now + SETTLED));
    lab.decide(Event::Tick, now + SETTLED);
    assert_eq!(lab.verdict(), Verdict::Ready);
    now += FAST_PROBE + STREAK_RESET;
    lab.decide(Event::Exited(2, Exit::Code(1)), now);
    assert_eq!(
        lab.slots()[2].state,
        State::BackingOff {
            until: now + restart_delay(0)
        }
    );
}

#[test]
fn fast_probes_do_not_use_up_the_retries() {
    let mut lab = Supervisor::new(vec![unit("a", &[], Restart::Always, Some(times()))]);
    lab.decide(Event::Tick, MS(0));
    lab.decide(Event::Started(0), MS(0));
    let mut unhealthy_at = None;
    for step in 0..200 {
        let now = MS(step * 100);
        lab.decide(Event::Tick, now);
        lab.decide(Event::Probed(0, false), now);
        if lab.slots()[0].health() == Health::Unhealthy {
            unhealthy_at = Some(now);
            break;
        }
    }
    assert_eq!(
        unhealthy_at,
        Some(MS(9000)),
        "a start period of 5 s, then three failures 2 s apart"
    );
}

#[test]
fn a_policy_that_leaves_a_failure_alone_fails_the_lab() {
    let mut lab = Supervisor::new(vec![unit(
        "a",
        &[],
        Restart::OnFailure {
            max_retries: Some(1),
        },
        None,
    )]);
    lab.decide(Event::Tick, MS(0));
    lab.decide(Event::StartFailed(0), MS(1));
    assert_eq!(lab.verdict(), Verdict::Pending);
    assert_eq!(lab.decide(Event::Tick, MS(101)), [Action::Start(0)]);
    lab.decide(Event::Started(0), MS(101));
    lab.decide(Event::Exited(0, Exit::Code(3)), MS(102));
    assert_eq!(lab.verdict(), Verdict::Failed(0));
    assert_eq!(lab.slots()[0].last_exit, Some(Exit::Code(3)));
}

#[test]
fn what_ends_at_once_is_never_taken_for_up() {
    let mut lab = Supervisor::new(vec![unit("a", &[], Restart::Always, None)]);
    let mut now = MS(0);
    lab.decide(Event::Tick, now);
    for _ in 0..CRASH_LOOP {
        lab.decide(Event::Started(0), now);
        assert_eq!(lab.verdict(), Verdict::Pending);
        lab.decide(Event::Exited(0, Exit::Code(1)), now + MS(10));
        now = lab.next_deadline().unwrap();
        lab.decide(Event::Tick, now);
    }
    assert_eq!(lab.verdict(), Verdict::Failed(0));
    lab.decide(Event::Started(0), now);
    assert_eq!(lab.next_deadline(), Some(now + SETTLED));
    lab.decide(Event::Tick, now + SETTLED);
    assert_eq!((lab.verdict(), lab.next_deadline()), (Verdict::Ready, None));
}

fn any_units() -> impl Strategy<Value = Vec<Unit>> {
    let condition = prop_oneof![
        Just(Condition::ServiceStarted),
        Just(Condition::ServiceHealthy),
        Just(Condition::ServiceCompletedSuccessfully)
    ];
    let restart = prop_oneof![
        Just(Restart::No),
        Just(Restart::Always),
        proptest::option::of(0_u32..3).prop_map(|max_retries| Restart::OnFailure { max_retries })
    ];
    let entry = (
        restart,
        any::<bool>(),
        proptest::collection::vec((0_usize..8, condition), 0..3),
    );
    proptest::collection::vec(entry, 1..7).prop_map(|entries| {
        entries
            .into_iter()
            .enumerate()
            .map(|(index, (restart, probed, after))| Unit {
                name: format!("s{index}-1"),
                service: format!("s{index}"),
                after: after
                    .into_iter()
                    .filter(|(on, _)| *on < index)
                    .map(|(on, condition)| Dependency {
                        service: format!("s{on}"),
                        condition,
                    })
                    .collect(),
                restart,
                probe: probed.then(times),
                stop_grace: MS(1000),
            })
            .collect()
    })
}

proptest! {
    /// Whatever the processes do: nothing starts before its dependencies, nothing is started twice at once, no dependency is
    /// stopped before its dependents, and a shutdown always comes to its end once.
    #[test]
    fn any_order_of_events_keeps_the_rules(units in any_units(), steps in proptest::collection::vec((any::<u8>(), any::<u8>(), 0_u64..3000), 0..120)) {
        let count = units.len();
        let mut lab = Supervisor::new(units);
        let mut alive = vec![false; count];
        let mut probing = vec![false; count];
        let mut now = MS(0);
        let mut finished = 0;
        let mut queue = lab.decide(Event::Tick, now);
        let mut random = steps.into_iter();
        let mut shutdown = false;
        loop {
            for action in std::mem::take(&mut queue) {
                match action {
                    Action::Start(index) => {
                        prop_assert!(!alive[index] && !shutdown);
                        if lab.slots()[index].restarts == 0 {
                            let slots = lab.slots();
                            for dependency in &slots[index].unit.after {
                                prop_assert!(slots.iter().filter(|s| s.unit.service == dependency.service).all(|s| s.meets(dependency.condition)));
                            }
                        }
                        alive[index] = true;
                        queue.extend(lab.decide(Event::Started(index), now));
                    }
                    Action::Probe(index) => { prop_assert!(alive[index] && !probing[index]); probing[index] = true; }
                    Action::Stop(index) => {
                        let service = lab.slots()[index].unit.service.clone();
                        prop_assert!(lab.slots().iter().enumerate().all(|(other, slot)| !alive[other] || slot.unit.after.iter().all(|d| d.service != service)));
                    }
                    Action::Kill(index) => { prop_assert!(alive[index]); alive[index] = false; probing[index] = false; queue.extend(lab.decide(Event::Exited(index, Exit::Code(137)), now)); }
                    Action::Finish => finished += 1,
                }
            }
            if !queue.is_empty() { continue; }
            if shutdown && finished > 0 { break; }
            match random.next() {
                Some((what, which, pause)) if !shutdown => {
                    now += MS(pause);
                    let index = which as usize % count;
                    queue = match what % 8 {
                        0 if alive[index] => { alive[index] = false; probing[index] = false; lab.decide(Event::Exited(index, Exit::Code(0)), now) }
                        1 if alive[index] => { alive[index] = false; probing[index] = false; lab.decide(Event::Exited(index, Exit::Code(1)), now) }
                        2..=4 if probing[index] => { probing[index] = false; lab.decide(Event::Probed(index, what % 8 != 2), now) }
                        _ => lab.decide(Event::Tick, now),
                    };
                }
                _ if !shutdown => { shutdown = true; queue = lab.decide(Event::Shutdown, now); }
                _ => {
                    let due = lab.next_deadline();
                    prop_assert!(due.is_some(), "a shutdown that waits for nothing: {lab:?}");
                    now = now.max(due.unwrap_or_default());
                    queue = lab.decide(Event::Tick, now);
                }
            }
        }
        prop_assert_eq!(finished, 1);
        prop_assert!(alive.iter().all(|alive| !alive));
    }
}
