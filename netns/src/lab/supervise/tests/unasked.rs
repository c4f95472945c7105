//! What happens by itself: instances start, end, fail and hang.

use super::*;

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
