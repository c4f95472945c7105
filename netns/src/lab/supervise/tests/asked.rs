//! What a person asks for.

use super::*;

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
