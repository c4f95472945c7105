//! What is said beneath the table of `ps`, and of `up` on a lab that runs. On standard error: a script that reads the table must not take a remark for a row.

use super::terminal::{Paint, counted};
use super::{held_back, uplink};
use crate::columns::{WIDTH, cut, paragraph};
use crate::compose::byte_size;
use crate::lab::protocol::{InstanceStatus, Status};

/// So many instances in trouble are quoted; where a hundred are, they are so for one reason.
const QUOTED_INSTANCES: usize = 3;

/// What is worth a word of the instances of `status`; empty when nothing is.
pub(super) fn of(status: &Status, paint: Paint) -> String {
    let mut text = String::new();
    if let Some(uplink) = &status.uplink {
        text.push_str(&uplink::reachable("", &uplink.direct));
    }
    if let Some(why) = &status.unenforced {
        text.push_str(&paragraph("", &format!("limits are not enforced: {why}")));
    }
    if status.disk_full {
        text.push_str(&paint.bad("the disk is full: logs lose lines until there is room\n"));
    }
    for one in &status.instances {
        if one.oom_killed {
            text.push_str(&killed(one, paint));
        } else {
            let (kills, memory) = (one.oom_kills, one.limits.memory);
            text.push_str(&held_back::killed(&one.name, kills, memory));
        }
    }
    for one in &status.instances {
        text.push_str(&held_back::waited(
            &one.name,
            one.throttled_ns,
            one.limits.cpus,
        ));
    }
    text + &last_words(&status.instances, paint)
}

fn killed(instance: &InstanceStatus, paint: Paint) -> String {
    let limit = instance.limits.memory.map_or_else(String::new, |memory| {
        format!(" at its memory limit of {}", byte_size(memory))
    });
    let restarts = counted(instance.restarts as usize, "restart", "restarts");
    let name = paint.bad(&instance.name);
    paragraph("", &format!("{name} was oom-killed{limit}, {restarts}"))
}

/// The ends of the logs of what is in trouble.
fn last_words(instances: &[InstanceStatus], paint: Paint) -> String {
    let mut text = String::new();
    let mut troubled = instances
        .iter()
        .filter(|instance| !instance.tail.is_empty());
    for instance in troubled.by_ref().take(QUOTED_INSTANCES) {
        let code = instance
            .exit_code
            .map_or_else(String::new, |code| format!(", last exit code {code}"));
        let name = paint.bad(&instance.name);
        let head = format!("{name}{code}; the last lines of its log:");
        text.push_str(&paragraph("", &head));
        for line in &instance.tail {
            text.push_str(&format!("{}\n", cut(&format!("  {line}"), WIDTH)));
        }
    }
    let more = troubled.count();
    if more > 0 {
        text.push_str(&format!(
            "... and {more} more; see `netns-setup logs SERVICE`\n"
        ));
    }
    text
}
