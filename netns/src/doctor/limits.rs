//! How much there is: control groups, open files, room on the disk.

use super::check::{Check, Group};

const GROUP: Group = Group::Limits;

/// Room that logs and a fresh database need, and room that is worth a word.
const LITTLE: u64 = 64 << 20;
const SCARCE: u64 = 1 << 30;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// What can be limited by control groups, or why nothing can and what to do.
    pub groups: Option<Result<String, (String, String)>>,
    /// The hard limit of open files.
    pub files: Option<u64>,
    /// `fs.inotify.max_user_instances`.
    pub inotify: Option<u64>,
    /// `net.core.somaxconn`.
    pub backlog: Option<u64>,
    /// The folder of the lab's state, or why it cannot be used.
    pub folder: Option<Result<String, String>>,
    /// Room in the state folder, in bytes, and its path.
    pub room: Option<(u64, String)>,
}

pub(super) fn checks(limits: &Limits) -> Vec<Check> {
    let groups = match &limits.groups {
        None => Check::unknown(GROUP, "control groups", "not looked at"),
        Some(Ok(found)) => Check::ok(GROUP, "control groups", found),
        Some(Err((reason, remedy))) => Check::note(
            GROUP,
            "control groups",
            format!("deploy.resources.limits are not enforced: {reason}"),
        )
        .remedy(remedy),
    };
    vec![
        groups,
        at_least(
            "open files",
            limits.files,
            4096,
            "ulimit -n 4096, or LimitNOFILE= of the service",
        ),
        at_least(
            "inotify instances",
            limits.inotify,
            128,
            "as root: sysctl -w fs.inotify.max_user_instances=1024",
        ),
        at_least(
            "listen backlog",
            limits.backlog,
            4096,
            "as root: sysctl -w net.core.somaxconn=4096",
        ),
        folder(limits.folder.as_ref()),
        room(limits.room.as_ref()),
    ]
}

fn at_least(name: &str, found: Option<u64>, wanted: u64, remedy: &str) -> Check {
    match found {
        None => Check::unknown(GROUP, name, "cannot be read"),
        Some(found) if found < wanted => {
            Check::note(GROUP, name, format!("{found}, less than {wanted}")).remedy(remedy)
        }
        Some(found) => Check::ok(GROUP, name, found.to_string()),
    }
}

/// What `up` begins with: without it nothing else matters.
fn folder(folder: Option<&Result<String, String>>) -> Check {
    const NAME: &str = "state folder";
    match folder {
        None => Check::unknown(GROUP, NAME, "not looked at"),
        Some(Ok(found)) => Check::ok(GROUP, NAME, found),
        Some(Err(why)) => Check::missing(GROUP, NAME, why)
            .remedy("name one of your own with --state-dir or NETNS_STATE_DIR"),
    }
}

fn room(room: Option<&(u64, String)>) -> Check {
    const NAME: &str = "disk";
    const REMEDY: &str = "make room, or name another folder with --state-dir";
    let Some((bytes, folder)) = room else {
        return Check::unknown(GROUP, NAME, "the state folder's room cannot be read");
    };
    let found = format!("{} MB free for {folder}", bytes / 1_000_000);
    match *bytes {
        ..LITTLE => Check::missing(GROUP, NAME, found).remedy(REMEDY),
        LITTLE..SCARCE => Check::note(GROUP, NAME, found).remedy(REMEDY),
        _ => Check::ok(GROUP, NAME, found),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::State;
    use super::*;

    #[test]
    fn little_is_a_word_and_nothing_known_is_no_guess() {
        let states = |limits: &Limits| -> Vec<State> {
            checks(limits)
                .into_iter()
                .map(|check| check.state)
                .collect()
        };
        assert_eq!(states(&Limits::default()), [State::Unknown; 6]);
        let delegated = Limits {
            groups: Some(Ok("v2: cpu, memory, pids".into())),
            files: Some(524_288),
            inotify: Some(128),
            backlog: Some(4096),
            folder: Some(Ok("/x/underlay".into())),
            room: Some((40 << 30, "/x".into())),
        };
        assert_eq!(states(&delegated), [State::Ok; 6]);
        let poor = Limits {
            groups: Some(Err(("not delegated".into(), "use systemd-run".into()))),
            files: Some(1024),
            folder: Some(Err("/x/underlay: Permission denied (at /)".into())),
            room: Some((1 << 20, "/x".into())),
            ..delegated
        };
        assert_eq!(
            states(&poor),
            [
                State::Note,
                State::Note,
                State::Ok,
                State::Ok,
                State::Missing,
                State::Missing
            ]
        );
        assert_eq!(checks(&poor)[0].remedy, "use systemd-run");
        assert!(
            checks(&poor)[4]
                .remedy
                .ends_with("--state-dir or NETNS_STATE_DIR")
        );
    }
}
