//! The states that `ps --status` chooses by: Docker's, and this program's own.

use clap::ValueEnum;

use crate::columns::choice;
use crate::lab::protocol::InstanceState;

/// What Docker calls several states of an instance, or one of them by its own name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Standing {
    Running,
    Exited,
    Restarting,
    Created,
    Paused,
    Removing,
    Dead,
    Waiting,
    Starting,
    Healthy,
    Unhealthy,
    Completed,
    Failed,
    Stopping,
    Stopped,
}

impl Standing {
    /// Whether an instance in this state is meant.
    pub(in crate::cli) fn covers(self, state: InstanceState) -> bool {
        use InstanceState as Is;
        match self {
            // What has not passed its check yet, or is to stop, runs.
            Self::Running => matches!(
                state,
                Is::Starting | Is::Running | Is::Healthy | Is::Unhealthy | Is::Stopping
            ),
            Self::Exited => matches!(state, Is::Completed | Is::Failed | Is::Stopped),
            Self::Created | Self::Waiting => state == Is::Waiting,
            Self::Removing => state == Is::Removed,
            Self::Restarting => state == Is::Restarting,
            Self::Starting => state == Is::Starting,
            Self::Healthy => state == Is::Healthy,
            Self::Unhealthy => state == Is::Unhealthy,
            Self::Completed => state == Is::Completed,
            Self::Failed => state == Is::Failed,
            Self::Stopping => state == Is::Stopping,
            Self::Stopped => state == Is::Stopped,
            Self::Paused => state == Is::Paused,
            // Nothing is ever so here.
            Self::Dead => false,
        }
    }
}

/// Parses `status=STATE`.
///
/// # Errors
/// What was expected.
pub(in crate::cli) fn filter(text: &str) -> Result<Standing, String> {
    let state = text
        .strip_prefix("status=")
        .ok_or("expected status=STATE, as in status=running")?;
    Standing::from_str(state, false).map_err(|_| {
        let states = Standing::value_variants().iter();
        let states = states.filter_map(|one| Some(one.to_possible_value()?.get_name().to_owned()));
        format!("{state:?} is no state{}", choice("there are", states))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every state that an instance may be in.
    const ALL: [InstanceState; 12] = {
        use InstanceState::*;
        [
            Waiting, Starting, Running, Healthy, Unhealthy, Paused, Restarting, Completed, Failed,
            Stopping, Stopped, Removed,
        ]
    };

    #[test]
    fn docker_has_one_word_for_every_state() {
        use Standing::*;
        let words = [Running, Exited, Restarting, Created, Paused, Removing, Dead];
        for state in ALL {
            let of_docker = words.iter().filter(|word| word.covers(state));
            assert_eq!(of_docker.count(), 1, "{state:?}");
        }
        assert!(Exited.covers(InstanceState::Completed) && Created.covers(InstanceState::Waiting));
    }

    #[test]
    fn a_state_is_chosen_by_its_own_word_too() {
        for state in ALL {
            let word = state.word();
            if ["running", "removed"].contains(&word) {
                continue; // the first is Docker's, and means more; the second is never listed
            }
            let standing = filter(&format!("status={word}")).unwrap();
            let covered: Vec<_> = ALL
                .iter()
                .filter(|state| standing.covers(**state))
                .collect();
            assert_eq!(covered, [&state], "{word}");
        }
        assert!(filter("name=web").is_err() && filter("status=well").is_err());
    }
}
