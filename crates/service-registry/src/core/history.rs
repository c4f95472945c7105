//! The latest changes, for watchers that resume or fall behind. Bounded: whoever is further back gets a snapshot.

use std::collections::VecDeque;
use std::sync::Arc;

use common::registry::{Change, ServiceName};

/// A change, written as JSON once for all watchers.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Which.
    pub revision: u64,
    /// Of which service.
    pub service: ServiceName,
    /// The event's data.
    pub json: Arc<str>,
}

/// The last changes, without gaps, in order.
#[derive(Debug)]
pub struct History {
    changes: VecDeque<Recorded>,
    capacity: usize,
    latest: u64,
}

impl History {
    /// Keeps this many.
    pub fn new(capacity: usize) -> Self {
        Self {
            changes: VecDeque::new(),
            capacity,
            latest: 0,
        }
    }

    /// Adds the next change.
    pub fn record(&mut self, change: &Change) {
        if self.changes.len() == self.capacity {
            self.changes.pop_front();
        }
        let json = serde_json::to_string(change)
            .expect("a change has text keys and no maps with other ones");
        self.latest = change.revision;
        self.changes.push_back(Recorded {
            revision: change.revision,
            service: change.service.clone(),
            json: json.into(),
        });
    }

    /// Everything after `revision`; `None` when that is not known any more, or not yet.
    pub fn since(&self, revision: u64) -> Option<impl Iterator<Item = &Recorded>> {
        let missing = usize::try_from(self.latest.checked_sub(revision)?).ok()?;
        let skip = self.changes.len().checked_sub(missing)?;
        Some(self.changes.iter().skip(skip))
    }
}
