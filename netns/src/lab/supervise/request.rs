//! What a person asks for: it changes what is wanted of instances, and nothing else.

use super::event::{Action, Grace, Id, Ids, State, Wanted};
use super::slot::Slot;
use super::{Supervisor, Time};

impl Supervisor {
    fn each(&mut self, ids: &Ids, mut change: impl FnMut(Id, &mut Slot)) {
        for id in ids {
            // What is going stays going.
            if let Some(slot) = self.slots.get_mut(id)
                && slot.wanted != Wanted::Gone
            {
                change(*id, slot);
            }
        }
    }

    pub(super) fn hold(&mut self, ids: &Ids, grace: Grace, now: Time) {
        self.each(ids, |_, slot| {
            slot.wanted = Wanted::Held;
            slot.again = false;
            hurry(slot, grace, now);
        });
    }

    pub(super) fn remove(&mut self, ids: &Ids, grace: Grace, now: Time) {
        self.each(ids, |_, slot| {
            slot.wanted = Wanted::Gone;
            slot.again = false;
            hurry(slot, grace, now);
        });
    }

    /// One that is just being started is given up.
    pub(super) fn kill(&mut self, ids: &Ids, actions: &mut Vec<Action>) {
        self.each(ids, |id, slot| {
            slot.wanted = Wanted::Held;
            slot.again = false;
            slot.grace = Some(Time::ZERO);
            if matches!(slot.state, State::Running { .. } | State::Stopping { .. }) {
                slot.state = State::Stopping { kill_at: None };
                actions.push(Action::Kill(id));
            }
        });
    }

    pub(super) fn start(&mut self, ids: &Ids) {
        self.each(ids, |_, slot| {
            slot.wanted = Wanted::Running;
            slot.grace = None;
            match slot.state {
                State::Stopping { .. } => slot.again = true,
                State::Stopped | State::Ended(_) => slot.begin_anew(),
                _ => {}
            }
        });
    }

    pub(super) fn restart(&mut self, ids: &Ids, grace: Grace) {
        self.each(ids, |_, slot| {
            slot.wanted = Wanted::Running;
            slot.grace = grace;
            if slot.is_alive() {
                slot.again = true;
            } else {
                slot.begin_anew();
            }
        });
    }
}

/// One that has been told to stop already may get less time than it was given then, but not more.
fn hurry(slot: &mut Slot, grace: Grace, now: Time) {
    slot.grace = grace;
    if let (State::Stopping { kill_at: Some(at) }, Some(grace)) = (slot.state, grace) {
        slot.state = State::Stopping {
            kill_at: Some(at.min(now + grace)),
        };
    }
}
