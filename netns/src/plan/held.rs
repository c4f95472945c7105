//! A plan taken part of the way, for whoever wants to see what stands after one step.

use serde::{Deserialize, Serialize};

use super::{Op, Plan};

/// Where a lab is held: after a step, before the next one and before any instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The last step that was taken, from 1, as [`Plan::script`] numbers them.
    pub step: usize,
    /// How many steps the plan has.
    pub of: usize,
    /// The command that the last step equals.
    pub last: String,
    /// The command that the next step equals; `None`: the network is complete.
    pub next: Option<String>,
}

impl Plan {
    /// Leaves of the plan what stands after `step`, and tells where that is; `None` when it has no such step. Without instances
    /// and published ports: nobody would answer there.
    #[must_use]
    pub fn held_after(mut self, step: usize) -> Option<(Self, Held)> {
        let of = self.ops.len();
        let held = Held {
            step,
            of,
            last: self.ops.get(step.checked_sub(1)?)?.command(),
            next: self.ops.get(step).map(Op::command),
        };
        self.ops.truncate(step);
        self.instances.clear();
        self.publish.clear();
        Some((self, held))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::compose::{Source, read};
    use crate::plan::{Scale, plan};

    fn shop() -> Plan {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docker-compose.yml");
        let source = Source {
            text: std::fs::read_to_string(&file).unwrap(),
            path: file,
        };
        let project = read(vec![source], Path::new("/stack"), &BTreeMap::new()).unwrap();
        plan(&project, &Scale::new()).unwrap()
    }

    #[test]
    fn a_plan_is_held_where_its_script_says() {
        let whole = shop();
        let script = whole.script();
        let of = whole.ops.len();
        for step in 1..=of {
            let (part, held) = whole.clone().held_after(step).unwrap();
            assert_eq!(part.ops[..], whole.ops[..step]);
            assert!(part.instances.is_empty() && part.publish.is_empty());
            let numbered = |step: usize, command: &str| {
                script
                    .lines()
                    .any(|line| line.starts_with(command) && line.ends_with(&format!("  # {step}")))
            };
            assert!(numbered(step, &held.last), "{held:?}");
            assert_eq!(held.next.is_none(), step == of);
            assert!(
                held.next
                    .as_ref()
                    .is_none_or(|next| numbered(step + 1, next)),
                "{held:?}"
            );
        }
        assert_eq!(whole.clone().held_after(0).map(|(_, held)| held), None);
        assert_eq!(whole.held_after(of + 1).map(|(_, held)| held), None);
    }
}
