mod asked;
mod unasked;

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
