use std::time::Duration;

use super::*;
use crate::compose::{Condition, Restart};
use crate::kernel::reaper::Exit;

pub(super) const MS: fn(u64) -> Duration = Duration::from_millis;

pub(super) fn times() -> ProbeTimes {
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
                restart: false,
            })
            .collect(),
        restart,
        probe,
        stop_grace: MS(10_000),
    }
}

pub(super) fn lab(units: Vec<Unit>) -> Supervisor {
    let mut lab = Supervisor::default();
    for unit in units {
        lab.add(unit);
    }
    lab
}

fn state(lab: &Supervisor, id: u32) -> State {
    lab.slot(Id(id)).unwrap().state
}

fn ids(ids: &[u32]) -> Ids {
    ids.iter().map(|id| Id(*id)).collect()
}

fn shop() -> Supervisor {
    lab(vec![
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
    assert_eq!(lab.decide(Event::Tick, MS(0)), [Action::Start(Id(0))]);
    assert_eq!(lab.decide(Event::Started(Id(0)), MS(1)), []);
    assert_eq!(
        lab.decide(Event::Exited(Id(0), Exit::Code(0)), MS(20)),
        [Action::Start(Id(1))]
    );
    assert_eq!(
        lab.decide(Event::Started(Id(1)), MS(21)),
        [Action::Probe(Id(1))]
    );
    assert_eq!(lab.decide(Event::Probed(Id(1), false), MS(30)), []);
    assert_eq!(lab.next_deadline(), Some(MS(130)));
    assert_eq!(lab.decide(Event::Tick, MS(130)), [Action::Probe(Id(1))]);
    assert_eq!(lab.verdict(|_| true), Verdict::Pending);
    assert_eq!(
        lab.decide(Event::Probed(Id(1), true), MS(140)),
        [Action::Start(Id(2))]
    );
    assert_eq!(
        lab.decide(Event::Started(Id(2)), MS(141)),
        [Action::Probe(Id(2))]
    );
    assert_eq!(lab.decide(Event::Probed(Id(2), true), MS(150)), []);
    assert_eq!(lab.verdict(|_| true), Verdict::Ready);
    assert_eq!(lab.next_deadline(), Some(MS(2140)));
}

#[test]
fn a_start_that_hangs_is_given_up_and_tried_again() {
    let mut lab = lab(vec![unit("web", &[], Restart::Always, None)]);
    assert_eq!(lab.decide(Event::Tick, MS(0)), [Action::Start(Id(0))]);
    let patience = START_PATIENCE;
    assert_eq!(lab.next_deadline(), Some(patience));
    assert_eq!(lab.decide(Event::Tick, patience - MS(1)), []);
    assert_eq!(
        lab.decide(Event::Tick, patience),
        [Action::GiveUp(Id(0))],
        "once"
    );
    assert_eq!(lab.decide(Event::Tick, patience + MS(1)), []);
    assert_eq!(lab.next_deadline(), None);
    assert_eq!(lab.decide(Event::StartFailed(Id(0)), patience), []);
    let pause = restart_delay(0);
    assert_eq!(
        lab.decide(Event::Tick, patience + pause),
        [Action::Start(Id(0))]
    );
}

#[test]
fn a_start_that_hangs_keeps_nobody_from_stopping() {
    type Asked = fn() -> Event;
    let kill: Asked = || Event::Kill(ids(&[0]));
    let cases: [(Asked, Duration); 4] = [
        (|| Event::Shutdown, START_GRACE),
        (|| Event::Stop(ids(&[0]), None), START_GRACE),
        (|| Event::Stop(ids(&[0]), Some(MS(7))), MS(7)),
        (kill, MS(0)),
    ];
    for (asked, grace) in cases {
        let mut lab = lab(vec![unit("web", &[], Restart::Always, None)]);
        lab.decide(Event::Tick, MS(0));
        assert_eq!(lab.decide(asked(), MS(100)), []);
        assert_eq!(lab.next_deadline(), Some(MS(100) + grace));
        let actions = lab.decide(Event::Tick, MS(100) + grace);
        assert_eq!(actions, [Action::GiveUp(Id(0))]);
        lab.decide(Event::StartFailed(Id(0)), MS(200) + grace);
        assert!(lab.slot(Id(0)).unwrap().has_ended());
    }
    // What came to run after all is stopped in order.
    let mut lab = lab(vec![unit("web", &[], Restart::Always, None)]);
    lab.decide(Event::Tick, MS(0));
    lab.decide(Event::Shutdown, MS(100));
    let actions = lab.decide(Event::Started(Id(0)), MS(101));
    assert_eq!(actions, [Action::Stop(Id(0))]);
}

#[test]
fn each_instance_waits_for_what_it_depends_on_and_stops_before_it() {
    let mut lab = shop();
    up(&mut lab);
    assert_eq!(lab.decide(Event::Shutdown, MS(1000)), [Action::Stop(Id(2))]);
    assert_eq!(
        lab.decide(Event::Exited(Id(2), Exit::Code(0)), MS(1100)),
        [Action::Stop(Id(1))]
    );
    assert_eq!(lab.decide(Event::Tick, MS(11_099)), []);
    assert_eq!(lab.decide(Event::Tick, MS(11_100)), [Action::Kill(Id(1))]);
    assert_eq!(
        lab.decide(Event::Exited(Id(1), Exit::Code(137)), MS(11_101)),
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
        assert_eq!(lab.verdict(|_| true), wanted);
        assert_eq!(lab.decide(Event::Exited(Id(2), Exit::Code(1)), now), []);
        assert_eq!(
            state(&lab, 2),
            State::BackingOff {
                until: now + restart_delay(streak)
            }
        );
        now += restart_delay(streak);
        assert!(lab.decide(Event::Tick, now).contains(&Action::Start(Id(2))));
        assert!(
            lab.decide(Event::Started(Id(2)), now)
                .contains(&Action::Probe(Id(2)))
        );
        lab.decide(Event::Probed(Id(2), streak + 1 < CRASH_LOOP), now);
    }
    assert_eq!(lab.verdict(|_| true), Verdict::Failed(Id(2)));
    assert_eq!(lab.slot(Id(2)).unwrap().restarts, CRASH_LOOP);
    lab.decide(Event::Tick, now + FAST_PROBE);
    lab.decide(Event::Probed(Id(2), true), now + FAST_PROBE);
    assert_eq!(lab.verdict(|_| true), Verdict::Pending);
    assert_eq!(lab.next_deadline(), Some(now + SETTLED));
    lab.decide(Event::Tick, now + SETTLED);
    assert_eq!(lab.verdict(|_| true), Verdict::Ready);
    now += FAST_PROBE + STREAK_RESET;
    lab.decide(Event::Exited(Id(2), Exit::Code(1)), now);
    assert_eq!(
        state(&lab, 2),
        State::BackingOff {
            until: now + restart_delay(0)
        }
    );
}

#[test]
fn fast_probes_do_not_use_up_the_retries() {
    let mut lab = lab(vec![unit("a", &[], Restart::Always, Some(times()))]);
    lab.decide(Event::Tick, MS(0));
    lab.decide(Event::Started(Id(0)), MS(0));
    let mut unhealthy_at = None;
    for step in 0..200 {
        let now = MS(step * 100);
        lab.decide(Event::Tick, now);
        lab.decide(Event::Probed(Id(0), false), now);
        if lab.slot(Id(0)).unwrap().health() == Health::Unhealthy {
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
    let mut lab = lab(vec![unit(
        "a",
        &[],
        Restart::OnFailure {
            max_retries: Some(1),
        },
        None,
    )]);
    lab.decide(Event::Tick, MS(0));
    lab.decide(Event::StartFailed(Id(0)), MS(1));
    assert_eq!(lab.verdict(|_| true), Verdict::Pending);
    assert_eq!(lab.decide(Event::Tick, MS(101)), [Action::Start(Id(0))]);
    lab.decide(Event::Started(Id(0)), MS(101));
    lab.decide(Event::Exited(Id(0), Exit::Code(3)), MS(102));
    assert_eq!(lab.verdict(|_| true), Verdict::Failed(Id(0)));
    assert_eq!(lab.slot(Id(0)).unwrap().last_exit, Some(Exit::Code(3)));
}

#[test]
fn what_ends_at_once_is_never_taken_for_up() {
    let mut lab = lab(vec![unit("a", &[], Restart::Always, None)]);
    let mut now = MS(0);
    lab.decide(Event::Tick, now);
    for _ in 0..CRASH_LOOP {
        lab.decide(Event::Started(Id(0)), now);
        assert_eq!(lab.verdict(|_| true), Verdict::Pending);
        lab.decide(Event::Exited(Id(0), Exit::Code(1)), now + MS(10));
        now = lab.next_deadline().unwrap();
        lab.decide(Event::Tick, now);
    }
    assert_eq!(lab.verdict(|_| true), Verdict::Failed(Id(0)));
    lab.decide(Event::Started(Id(0)), now);
    assert_eq!(lab.next_deadline(), Some(now + SETTLED));
    lab.decide(Event::Tick, now + SETTLED);
    assert_eq!(
        (lab.verdict(|_| true), lab.next_deadline()),
        (Verdict::Ready, None)
    );
}

#[test]
fn what_a_person_has_stopped_stays_so_until_a_person_starts_it() {
    let mut lab = shop();
    up(&mut lab);
    // The database alone: who depends on it goes on.
    assert_eq!(
        lab.decide(Event::Stop(ids(&[1]), Some(MS(500))), MS(1000)),
        [Action::Stop(Id(1))]
    );
    assert_eq!(lab.next_deadline(), Some(MS(1500)));
    assert_eq!(
        lab.decide(Event::Exited(Id(1), Exit::Code(0)), MS(1100)),
        []
    );
    assert_eq!(state(&lab, 1), State::Stopped);
    assert!(!lab.slot(Id(1)).unwrap().has_completed());
    assert_eq!(lab.verdict(|_| true), Verdict::Ready, "it is as wanted");
    assert!(
        !lab.decide(Event::Tick, MS(60_000))
            .contains(&Action::Start(Id(1)))
    );
    assert_eq!(
        lab.decide(Event::Start(ids(&[1, 2])), MS(60_001)),
        [Action::Start(Id(1))],
        "what runs already is left alone"
    );
}

#[test]
fn a_restart_stops_dependents_first_and_starts_dependencies_first() {
    let mut lab = shop();
    up(&mut lab);
    lab.decide(Event::Exited(Id(2), Exit::Code(1)), MS(200));
    lab.decide(Event::Tick, MS(300));
    lab.decide(Event::Started(Id(2)), MS(301));
    lab.decide(Event::Probed(Id(2), true), MS(302));
    assert_eq!(lab.slot(Id(2)).unwrap().restarts, 1);
    assert_eq!(
        lab.decide(Event::Restart(ids(&[1, 2]), None), MS(1000)),
        [Action::Stop(Id(2))]
    );
    assert_eq!(lab.verdict(|_| true), Verdict::Pending);
    assert_eq!(
        lab.decide(Event::Exited(Id(2), Exit::Code(0)), MS(1100)),
        [Action::Stop(Id(1))],
        "it does not start again while the database is about to stop"
    );
    assert_eq!(
        lab.decide(Event::Exited(Id(1), Exit::Code(0)), MS(1200)),
        [Action::Start(Id(1))]
    );
    lab.decide(Event::Started(Id(1)), MS(1201));
    assert_eq!(
        lab.decide(Event::Probed(Id(1), true), MS(1210)),
        [Action::Start(Id(2))]
    );
    assert_eq!(
        lab.slot(Id(2)).unwrap().restarts,
        0,
        "a person's restart is not counted"
    );
}

#[test]
fn what_is_removed_is_forgotten_once_it_has_ended_and_keeps_nobody_waiting() {
    let mut lab = shop();
    up(&mut lab);
    let second = lab.add(lab.slot(Id(2)).unwrap().unit.clone());
    assert_eq!(lab.decide(Event::Tick, MS(900)), [Action::Start(second)]);
    lab.decide(Event::Started(second), MS(901));
    assert_eq!(
        lab.decide(Event::Remove(Ids::from([second]), None), MS(1000)),
        [Action::Stop(second)]
    );
    lab.decide(Event::Start(Ids::from([second])), MS(1001));
    assert!(
        lab.decide(Event::Tick, MS(11_000))
            .contains(&Action::Kill(second))
    );
    assert_eq!(
        lab.decide(Event::Exited(second, Exit::Signal(9)), MS(11_001)),
        [Action::Forget(second)]
    );
    assert!(lab.slot(second).is_none());
    assert_eq!(
        lab.decide(Event::Exited(second, Exit::Signal(9)), MS(11_002)),
        []
    );
}

#[test]
fn what_is_killed_by_a_person_is_not_restarted_by_its_policy() {
    let mut lab = shop();
    up(&mut lab);
    assert_eq!(
        lab.decide(Event::Kill(ids(&[2])), MS(1000)),
        [Action::Kill(Id(2))]
    );
    assert_eq!(
        lab.decide(Event::Exited(Id(2), Exit::Signal(9)), MS(1001)),
        []
    );
    assert_eq!(state(&lab, 2), State::Stopped);
    // The grace of a kill is not that of a later stop.
    lab.decide(Event::Start(ids(&[2])), MS(2000));
    lab.decide(Event::Started(Id(2)), MS(2001));
    lab.decide(Event::Shutdown, MS(3000));
    assert_eq!(lab.next_deadline(), Some(MS(13_000)));
}

#[test]
fn one_that_is_stopped_and_started_at_once_runs_in_the_end() {
    let mut lab = shop();
    up(&mut lab);
    lab.decide(Event::Stop(ids(&[2]), None), MS(1000));
    assert_eq!(lab.decide(Event::Start(ids(&[2])), MS(1001)), []);
    assert_eq!(
        lab.decide(Event::Exited(Id(2), Exit::Code(0)), MS(1100)),
        [Action::Start(Id(2))]
    );
}
