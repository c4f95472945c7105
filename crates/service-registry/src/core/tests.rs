use std::collections::BTreeMap;

use common::clock;
use common::registry::{Status, Ttl};
use proptest::prelude::*;
use tokio::time::Instant;

use super::*;

const LIMITS: Limits = Limits {
    max_instances: 3,
    max_watchers: 8,
    history: 8,
    probe_every: Duration::from_secs(2),
    warming_every: Duration::from_millis(100),
    probe_timeout: Duration::from_secs(1),
};

fn instance(id: &str, generation: u64) -> Instance {
    Instance {
        service: "product-service".parse().unwrap(),
        id: id.parse().unwrap(),
        address: [172, 21, 0, 130].into(),
        port: 5000,
        generation,
        metadata: BTreeMap::new(),
        ttl: Ttl::default(),
    }
}

fn key(id: &str) -> Key {
    ("product-service".parse().unwrap(), id.parse().unwrap())
}

fn register(
    table: &mut Table,
    id: &str,
    generation: u64,
    now: Instant,
) -> Result<Decision, Refusal> {
    table.decide(Event::Register(instance(id, generation), clock::utc()), now)
}

fn state(table: &Table, id: &str) -> Option<State> {
    table.get(&key(id)).map(|entry| entry.state)
}

/// Lets time pass to `until`, answering each probe that falls due with `answer(path)`; the paths asked.
fn pass(
    table: &mut Table,
    from: Instant,
    until: Instant,
    answer: impl Fn(&str) -> bool,
) -> Vec<&'static str> {
    let (mut asked, mut now) = (Vec::new(), from);
    loop {
        for probe in table.decide(Event::Tick, now).unwrap().probes {
            asked.push(probe.path);
            let good = answer(probe.path);
            table.decide(Event::Probed(probe, good), now).unwrap();
        }
        match table.next_deadline() {
            Some(next) if next <= until => now = next,
            _ => return asked,
        }
    }
}

/// Answers the probe that registering starts.
fn answered(table: &mut Table, decision: Decision, good: bool, now: Instant) -> Decision {
    let probe = decision.probes.into_iter().next().unwrap();
    table.decide(Event::Probed(probe, good), now).unwrap()
}

#[test]
fn ready_gates_warming_and_health_decides_from_then_on() {
    let (mut table, start) = (Table::new(LIMITS), clock::now());
    let registered = register(&mut table, "p1", 1, start).unwrap();
    assert!(registered.created && registered.probes[0].path == "/ready");
    assert_eq!(
        answered(&mut table, registered, false, start).state,
        Some(State::Warming)
    );
    let at = |millis| start + Duration::from_millis(millis);
    assert_eq!(
        pass(&mut table, start, at(100), |_| true),
        ["/ready"],
        "asked again after 100 ms"
    );
    assert_eq!(state(&table, "p1"), Some(State::Passing));
    assert_eq!(pass(&mut table, at(100), at(2_100), |_| false), ["/health"]);
    assert_eq!(
        state(&table, "p1"),
        Some(State::Passing),
        "one failure is not enough"
    );
    pass(&mut table, at(2_100), at(4_100), |_| false);
    assert_eq!(state(&table, "p1"), Some(State::Critical));
    pass(&mut table, at(4_100), at(6_100), |_| true);
    assert_eq!(state(&table, "p1"), Some(State::Passing), "one success is");
}

#[test]
fn a_renewal_keeps_the_state_and_a_new_process_starts_over() {
    let (mut table, now) = (Table::new(LIMITS), clock::now());
    let registered = register(&mut table, "p1", 5, now).unwrap();
    let stale = registered.probes[0].clone();
    answered(&mut table, registered, true, now);
    let renewed = register(&mut table, "p1", 5, now).unwrap();
    assert_eq!(
        (renewed.created, renewed.changes.len(), renewed.state),
        (false, 0, Some(State::Passing))
    );
    assert_eq!(
        register(&mut table, "p1", 4, now),
        Err(Refusal::Generation(5))
    );
    let replaced = register(&mut table, "p1", 6, now).unwrap();
    assert_eq!(
        (replaced.created, replaced.state),
        (true, Some(State::Warming))
    );
    table.decide(Event::Probed(stale, true), now).unwrap();
    assert_eq!(
        state(&table, "p1"),
        Some(State::Warming),
        "the former process's probe says nothing about this one"
    );
    let mut moved = instance("p1", 6);
    moved.port = 5001;
    assert!(
        table
            .decide(Event::Register(moved, clock::utc()), now)
            .unwrap()
            .created
    );
}

#[test]
fn draining_stays_until_a_new_process_and_cannot_be_asked_for_by_the_old_one() {
    let (mut table, now) = (Table::new(LIMITS), clock::now());
    let registered = register(&mut table, "p1", 5, now).unwrap();
    let probe = registered.probes[0].clone();
    assert_eq!(
        table.decide(Event::Drain(key("p1"), Some(4)), now),
        Err(Refusal::Generation(5))
    );
    assert_eq!(
        table.decide(Event::Deregister(key("p1"), Some(4)), now),
        Err(Refusal::Generation(5))
    );
    assert_eq!(
        table
            .decide(Event::Drain(key("p1"), Some(5)), now)
            .unwrap()
            .changes
            .len(),
        1
    );
    assert_eq!(
        table
            .decide(Event::Drain(key("p1"), None), now)
            .unwrap()
            .changes
            .len(),
        0
    );
    table.decide(Event::Probed(probe, true), now).unwrap();
    register(&mut table, "p1", 5, now).unwrap();
    assert_eq!(state(&table, "p1"), Some(State::Draining));
    register(&mut table, "p1", 6, now).unwrap();
    assert_eq!(state(&table, "p1"), Some(State::Warming));
    assert_eq!(
        table.decide(Event::Drain(key("p2"), None), now),
        Err(Refusal::Unknown)
    );
}

#[test]
fn a_classic_entry_lives_by_its_probe() {
    let (mut table, start) = (Table::new(LIMITS), clock::now());
    let classic = |table: &mut Table, now| {
        table.decide(Event::RegisterClassic(instance("c", 1), clock::utc()), now)
    };
    let registered = classic(&mut table, start).unwrap();
    assert_eq!(registered.probes[0].path, "/health");
    answered(&mut table, registered, true, start);
    let hour = start + Duration::from_secs(3600);
    pass(&mut table, start, hour, |_| true);
    assert_eq!(state(&table, "c"), Some(State::Passing), "no lease");
    assert!(
        !classic(&mut table, hour).unwrap().created,
        "the same address is the same instance"
    );
    pass(&mut table, hour, hour + Duration::from_secs(62), |_| false);
    assert_eq!(state(&table, "c"), Some(State::Critical));
    pass(&mut table, hour, hour + Duration::from_secs(65), |_| false);
    assert_eq!(state(&table, "c"), None, "60 s critical");
    register(&mut table, "c", 1, hour).unwrap();
    assert_eq!(classic(&mut table, hour), Err(Refusal::Leased));
    assert_eq!(
        table.decide(Event::DeregisterClassic(key("c").0), hour),
        Err(Refusal::Unknown)
    );
}

#[test]
fn a_classic_entry_that_never_answers_is_removed() {
    let (mut table, start) = (Table::new(LIMITS), clock::now());
    table
        .decide(
            Event::RegisterClassic(instance("c", 1), clock::utc()),
            start,
        )
        .map(|_| ())
        .unwrap();
    // Its first probe hangs for ever: patience must not depend on answers.
    for (seconds, expected) in [
        (9, Some(State::Warming)),
        (10, Some(State::Critical)),
        (69, Some(State::Critical)),
        (70, None),
    ] {
        table
            .decide(Event::Tick, start + Duration::from_secs(seconds))
            .unwrap();
        assert_eq!(state(&table, "c"), expected, "after {seconds} s");
    }
}

#[test]
fn the_table_is_bounded() {
    let (mut table, now) = (Table::new(LIMITS), clock::now());
    for id in ["a", "b", "c"] {
        register(&mut table, id, 1, now).unwrap();
    }
    assert_eq!(register(&mut table, "d", 1, now), Err(Refusal::Full));
    assert!(
        register(&mut table, "a", 2, now).is_ok(),
        "who is known may always renew"
    );
    assert_eq!(table.of(&key("a").0).count(), 3);
    assert_eq!(table.of(&"other".parse().unwrap()).count(), 0);
}

#[test]
fn history_has_no_gaps_or_says_so() {
    let (mut table, mut history, now) = (Table::new(LIMITS), History::new(3), clock::now());
    for generation in 1..=5 {
        for change in register(&mut table, "a", generation, now).unwrap().changes {
            history.record(&change);
        }
    }
    let since = |revision| {
        history
            .since(revision)
            .map(|changes| changes.map(|c| c.revision).collect::<Vec<_>>())
    };
    assert_eq!(since(5), Some(vec![]));
    assert_eq!(since(2), Some(vec![3, 4, 5]));
    assert_eq!(since(1), None, "2 is forgotten");
    assert_eq!(since(6), None, "not of this registry");
}

#[derive(Debug, Clone)]
enum Step {
    Register(usize, u64),
    Drain(usize, Option<u64>),
    Leave(usize),
    Answer(bool),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_usize..3, 1_u64..4).prop_map(|(id, generation)| Step::Register(id, generation)),
        1 => (0_usize..3, proptest::option::of(1_u64..4)).prop_map(|(id, generation)| Step::Drain(id, generation)),
        1 => (0_usize..3).prop_map(Step::Leave),
        4 => any::<bool>().prop_map(Step::Answer),
        4 => (0_u64..12_000).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Whatever happens: a lease ends at its time and not before, generations only grow, revisions count every change,
    /// and the changes alone tell the whole story.
    #[test]
    fn the_rules_hold_in_every_order(steps in proptest::collection::vec(step(), 0..60)) {
        let ids = ["a", "b", "c"];
        let (mut table, mut now) = (Table::new(LIMITS), clock::now());
        let mut leases: BTreeMap<&str, Instant> = BTreeMap::new();
        let mut open: Vec<Probe> = Vec::new();
        let mut replica: BTreeMap<Key, Status> = BTreeMap::new();
        let mut revision = 0;
        for step in steps {
            let before: BTreeMap<Key, u64> = table.iter().map(|(key, entry)| (key.clone(), entry.instance.generation)).collect();
            let mut decisions = Vec::new();
            match step {
                Step::Register(id, generation) => {
                    let outcome = register(&mut table, ids[id], generation, now);
                    match before.get(&key(ids[id])) {
                        Some(known) if generation < *known => prop_assert_eq!(outcome, Err(Refusal::Generation(*known))),
                        _ => {
                            leases.insert(ids[id], now + Ttl::default().duration());
                            decisions.push(outcome.unwrap());
                        }
                    }
                }
                Step::Drain(id, generation) => decisions.extend(table.decide(Event::Drain(key(ids[id]), generation), now)),
                Step::Leave(id) => {
                    leases.remove(ids[id]);
                    decisions.extend(table.decide(Event::Deregister(key(ids[id]), None), now));
                }
                Step::Answer(good) => {
                    if let Some(probe) = open.pop() {
                        decisions.push(table.decide(Event::Probed(probe, good), now).unwrap());
                    }
                }
                Step::Wait(millis) => {
                    let until = now + Duration::from_millis(millis);
                    while let Some(next) = table.next_deadline().filter(|next| *next <= until) {
                        now = now.max(next);
                        decisions.push(table.decide(Event::Tick, now).unwrap());
                    }
                    now = until;
                    leases.retain(|_, expires| *expires > now);
                }
            }
            for decision in decisions {
                open.extend(decision.probes);
                for change in decision.changes {
                    revision += 1;
                    prop_assert_eq!(change.revision, revision);
                    let key = (change.service, change.id);
                    match change.instance {
                        Some(status) => replica.insert(key, status),
                        None => replica.remove(&key),
                    };
                }
            }
            let known: Vec<&str> = table.iter().map(|((_, id), _)| id.as_str()).collect();
            prop_assert_eq!(known, leases.keys().copied().collect::<Vec<_>>());
            for (key, entry) in table.iter() {
                prop_assert!(before.get(key).is_none_or(|before| *before <= entry.instance.generation));
                prop_assert_eq!(&replica[key], &entry.status());
            }
            prop_assert_eq!(replica.len(), table.iter().count());
        }
    }
}
