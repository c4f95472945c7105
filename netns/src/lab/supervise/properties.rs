use std::collections::BTreeMap;

use proptest::prelude::*;

use super::tests::{MS, lab, times};
use super::*;
use crate::compose::{Condition, Restart};
use crate::kernel::reaper::Exit;

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
                        restart: false,
                    })
                    .collect(),
                restart,
                probe: probed.then(times),
                stop_grace: MS(1000),
            })
            .collect()
    })
}

/// What happens next: which kind, to whom, after how long.
type Step = (u8, u8, u64);

/// The processes as they would be, and what must hold of every action.
struct World {
    lab: Supervisor,
    alive: BTreeMap<Id, bool>,
    probing: BTreeMap<Id, bool>,
    now: Time,
    shutdown: bool,
    finished: u32,
    /// Starts that hang until they are given up: those of whose number this has a bit.
    hangs: u8,
    starts: u32,
    /// Whose start hangs.
    hanging: Ids,
}

impl World {
    /// A lab of these units, after its first event and these.
    fn after(units: Vec<Unit>, hangs: u8, steps: Vec<Step>) -> Result<Self, TestCaseError> {
        let spare = units[0].clone();
        let mut world = Self {
            lab: lab(units),
            alive: BTreeMap::new(),
            probing: BTreeMap::new(),
            now: MS(0),
            shutdown: false,
            finished: 0,
            hangs,
            starts: 0,
            hanging: Ids::new(),
        };
        let first = world.lab.decide(Event::Tick, world.now);
        world.carry_out_all(first)?;
        for step in steps {
            let actions = world.happen(step, &spare);
            world.carry_out_all(actions)?;
        }
        Ok(world)
    }

    fn is_alive(&self, id: Id) -> bool {
        self.alive.get(&id).copied().unwrap_or(false)
    }

    fn exit(&mut self, id: Id, exit: Exit) -> Vec<Action> {
        self.alive.insert(id, false);
        self.probing.insert(id, false);
        self.lab.decide(Event::Exited(id, exit), self.now)
    }

    fn carry_out(&mut self, action: Action) -> Result<Vec<Action>, TestCaseError> {
        match action {
            Action::Start(id) => {
                prop_assert!(!self.is_alive(id) && !self.shutdown);
                prop_assert!(!self.hanging.contains(&id), "started twice");
                let slot = self.lab.slot(id).unwrap();
                prop_assert_eq!(slot.wanted, Wanted::Running, "started what is held");
                if slot.restarts == 0 {
                    for dependency in &slot.unit.after {
                        prop_assert!(
                            self.lab
                                .slots()
                                .filter(|(_, s)| s.unit.service == dependency.service)
                                .all(|(_, s)| s.wanted == Wanted::Gone
                                    || s.meets(dependency.condition))
                        );
                    }
                }
                self.starts += 1;
                if (self.hangs >> (self.starts % 8)) & 1 == 1 {
                    self.hanging.insert(id);
                    return Ok(Vec::new());
                }
                self.alive.insert(id, true);
                return Ok(self.lab.decide(Event::Started(id), self.now));
            }
            Action::GiveUp(id) => {
                prop_assert!(self.hanging.remove(&id), "nothing is being started");
                return Ok(self.lab.decide(Event::StartFailed(id), self.now));
            }
            Action::Probe(id) => {
                prop_assert!(self.is_alive(id) && !self.probing.get(&id).copied().unwrap_or(false));
                self.probing.insert(id, true);
            }
            Action::Stop(id) => {
                prop_assert!(self.is_alive(id));
                let service = &self.lab.slot(id).unwrap().unit.service;
                let needed = self.lab.slots().any(|(other, slot)| {
                    self.is_alive(other)
                        && (self.shutdown || slot.must_end())
                        && slot.unit.after.iter().any(|d| d.service == *service)
                });
                prop_assert!(!needed, "stopped before what depends on it");
            }
            Action::Kill(id) => {
                prop_assert!(self.is_alive(id));
                return Ok(self.exit(id, Exit::Signal(9)));
            }
            Action::Forget(id) => {
                prop_assert!(!self.is_alive(id) && self.lab.slot(id).is_none());
                prop_assert!(!self.hanging.contains(&id));
            }
            Action::Finish => self.finished += 1,
        }
        Ok(Vec::new())
    }

    fn carry_out_all(&mut self, actions: Vec<Action>) -> Result<(), TestCaseError> {
        let mut queue = actions;
        while !queue.is_empty() {
            for action in std::mem::take(&mut queue) {
                queue.extend(self.carry_out(action)?);
            }
        }
        Ok(())
    }

    fn happen(&mut self, (what, which, pause): Step, unit: &Unit) -> Vec<Action> {
        self.now += MS(pause);
        let known: Vec<Id> = self.lab.slots().map(|(id, _)| id).collect();
        let Some(id) = known.get(which as usize % known.len().max(1)).copied() else {
            self.lab.add(unit.clone());
            return self.lab.decide(Event::Tick, self.now);
        };
        let some: Ids = known
            .iter()
            .copied()
            .filter(|other| (which >> (other.0 % 8)) & 1 == 1)
            .collect();
        let event = match what % 20 {
            0 if self.is_alive(id) => return self.exit(id, Exit::Code(0)),
            1 | 2 if self.is_alive(id) => return self.exit(id, Exit::Code(1)),
            3..=6 if self.probing.get(&id) == Some(&true) => {
                self.probing.insert(id, false);
                Event::Probed(id, what % 20 != 3)
            }
            7 => Event::Stop(some, None),
            8 => Event::Stop(some, Some(MS(pause))),
            9 => Event::Start(some),
            10 => Event::Restart(some, None),
            11 => Event::Kill(some),
            12 => Event::Remove(Ids::from([id]), None),
            13 => {
                self.lab.add(unit.clone());
                Event::Tick
            }
            _ => Event::Tick,
        };
        self.lab.decide(event, self.now)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever the processes do and whatever people ask for: nothing starts before its dependencies, nothing that is held starts, nothing
    /// is started twice at once, nothing is stopped before what is to stop and depends on it, nothing that has a process is forgotten,
    /// and a shutdown always comes to its end, once, with no process left, even of those whose start hangs.
    #[test]
    fn any_order_of_events_keeps_the_rules(
        units in any_units(),
        hangs in any::<u8>(),
        steps in proptest::collection::vec((any::<u8>(), any::<u8>(), 0_u64..3000), 0..120),
    ) {
        let mut world = World::after(units, hangs, steps)?;
        world.shutdown = true;
        let last = world.lab.decide(Event::Shutdown, world.now);
        world.carry_out_all(last)?;
        while world.finished == 0 {
            let due = world.lab.next_deadline();
            prop_assert!(due.is_some(), "a shutdown that waits for nothing: {:?}", world.lab);
            world.now = world.now.max(due.unwrap_or_default());
            let actions = world.lab.decide(Event::Tick, world.now);
            world.carry_out_all(actions)?;
        }
        prop_assert_eq!(world.finished, 1);
        prop_assert!(world.hanging.is_empty());
        prop_assert!(world.alive.values().all(|alive| !alive));
    }

    /// Whoever is told to stop, and left alone, has stopped after its grace period and stays so; whoever is then started runs.
    #[test]
    fn what_is_wanted_comes_about(
        units in any_units(),
        hangs in any::<u8>(),
        steps in proptest::collection::vec((any::<u8>(), any::<u8>(), 0_u64..3000), 0..60),
    ) {
        let mut world = World::after(units, hangs, steps)?;
        let all: Ids = world.lab.slots().map(|(id, _)| id).collect();
        let actions = world.lab.decide(Event::Stop(all.clone(), None), world.now);
        world.carry_out_all(actions)?;
        for _ in 0..40 {
            world.now += MS(1000);
            let actions = world.lab.decide(Event::Tick, world.now);
            world.carry_out_all(actions)?;
        }
        prop_assert!(world.alive.values().all(|alive| !alive));
        prop_assert!(world.hanging.is_empty());
        world.hangs = 0;
        let actions = world.lab.decide(Event::Start(all), world.now);
        world.carry_out_all(actions)?;
        for (id, slot) in world.lab.slots() {
            prop_assert!(world.is_alive(id) || slot.state == State::Waiting, "{slot:?}");
            prop_assert_eq!(slot.restarts, 0);
        }
    }
}
