//! Which group of the v2 hierarchy may have a lab's groups as children. Pure.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::hierarchy::Controller;

/// A group on the way from the caller's own to the topmost that can be seen.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) folder: PathBuf,
    /// The caller may make groups in it and move processes in and out.
    pub(super) is_writable: bool,
    /// It carries the service manager's mark of a group that is somebody else's to divide.
    pub(super) is_marked: bool,
    /// The one true root of the hierarchy, which may have both processes and groups with controllers.
    pub(super) is_root: bool,
    pub(super) is_own: bool,
    /// Other processes than the caller are in it.
    pub(super) has_others: bool,
    pub(super) controllers: BTreeSet<Controller>,
}

/// The first group, from the caller's own upwards, that may be divided, and whether the caller has to leave it first.
///
/// - A group with controllers for its children may have no process of its own (`cgroup-v2.rst`, "No Internal Process Constraint").
///   Nobody else is ever moved: so it must have none, or the caller alone, who then makes itself a leaf.
/// - A service manager wants to be the only one who changes its groups, those apart that it marked as delegated (systemd,
///   `CGROUP_DELEGATION.md`): `Delegate=yes` of a scope or service. The mark on a user's own manager is for that manager. Root may use
///   the root of the hierarchy, as Docker's own driver does.
pub(super) fn choose(candidates: &[Candidate]) -> Option<(&Candidate, bool)> {
    candidates
        .iter()
        .find(|candidate| {
            let is_free = candidate.is_root || !candidate.has_others;
            let is_given = candidate.is_root
                || match manager_of(&candidate.folder) {
                    Managed::No => true,
                    Managed::Unit => candidate.is_marked,
                    Managed::ByItself => false,
                };
            candidate.is_writable && is_free && is_given && !candidate.controllers.is_empty()
        })
        .map(|candidate| (candidate, candidate.is_own && !candidate.is_root))
}

#[derive(PartialEq)]
enum Managed {
    /// No service manager has made it.
    No,
    /// It is a unit's group, or below one.
    Unit,
    /// It is a user's service manager itself.
    ByItself,
}

fn manager_of(folder: &Path) -> Managed {
    let name = |folder: &Path| {
        folder
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
    };
    let is_unit = |name: &str| {
        [".slice", ".service", ".scope"]
            .iter()
            .any(|kind| name.ends_with(kind))
    };
    match name(folder) {
        Some(name) if name.starts_with("user@") && name.ends_with(".service") => Managed::ByItself,
        _ if folder
            .ancestors()
            .filter_map(name)
            .any(|name| is_unit(&name)) =>
        {
            Managed::Unit
        }
        _ => Managed::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the own group upwards; each with its marks: `w` writable, `d` delegated, `r` root, `o` others in it, `-` no controllers.
    fn chosen(candidates: &[(&str, &str)]) -> Option<(String, bool)> {
        let candidates: Vec<Candidate> = candidates
            .iter()
            .enumerate()
            .map(|(number, (folder, marks))| Candidate {
                folder: folder.into(),
                is_writable: marks.contains('w'),
                is_marked: marks.contains('d'),
                is_root: marks.contains('r'),
                is_own: number == 0,
                has_others: marks.contains('o'),
                controllers: if marks.contains('-') {
                    BTreeSet::new()
                } else {
                    BTreeSet::from([Controller::Memory])
                },
            })
            .collect();
        choose(&candidates)
            .map(|(candidate, leaves)| (candidate.folder.display().to_string(), leaves))
    }

    const SCOPE: &str = "/c/user.slice/user-1.slice/user@1.service/app.slice/run-7.scope";
    const SLICE: &str = "/c/user.slice/user-1.slice/user@1.service/app.slice";
    const MANAGER: &str = "/c/user.slice/user-1.slice/user@1.service";

    #[test]
    fn a_scope_that_was_delegated_is_divided_and_the_caller_leaves_it() {
        let up = |marks| [(SCOPE, marks), (SLICE, "w"), (MANAGER, "wd"), ("/c", "ro")];
        assert_eq!(chosen(&up("wd")), Some((SCOPE.to_owned(), true)));
        assert_eq!(chosen(&up("wdo")), None, "a shell would have to be moved");
        assert_eq!(chosen(&up("w")), None, "its manager has not given it away");
        assert_eq!(chosen(&up("wd-")), None, "there is nothing to limit with");
        let leaf = format!("{SCOPE}/leaf");
        assert_eq!(
            chosen(&[(&leaf, "wo"), (SCOPE, "wd")]),
            Some((SCOPE.to_owned(), false))
        );
    }

    #[test]
    fn root_uses_the_root_and_leaves_nothing() {
        let session = "/c/user.slice/user-0.slice/session-3.scope";
        assert_eq!(
            chosen(&[(session, "wo"), ("/c/user.slice", "w"), ("/c", "wro")]),
            Some(("/c".to_owned(), false))
        );
        assert_eq!(chosen(&[("/c", "wro")]), Some(("/c".to_owned(), false)));
        assert_eq!(
            chosen(&[("/c", "wo")]),
            None,
            "the root of a container is no root"
        );
    }

    #[test]
    fn a_folder_given_by_hand_needs_no_mark() {
        assert_eq!(
            chosen(&[("/c/given/shell", "wo"), ("/c/given", "w"), ("/c", "ro")]),
            Some(("/c/given".to_owned(), false))
        );
        assert_eq!(
            chosen(&[("/c/given", "w")]),
            Some(("/c/given".to_owned(), true))
        );
        assert_eq!(chosen(&[("/c/given", "o"), ("/c", "ro")]), None);
    }
}
