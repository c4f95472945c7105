//! Whether a service's programs are where its sandbox would find them: the machine's own programs, and what the service mounts.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::compose::{MountSource, Run, Service};
use crate::lab::SANDBOX_PATH;

/// Folders of the machine that a sandbox shows.
const SHOWN: [&str; 7] = [
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
];

/// A program that a sandbox lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lacking {
    /// What asks for it: `runs`, or `asks for its health by`.
    pub(super) why: &'static str,
    /// Its name as written.
    pub(super) program: String,
    /// The folders looked through, when it is a name alone.
    pub(super) path: Option<String>,
}

/// The programs of the service that its sandbox lacks. What servers and built services run is looked at elsewhere.
pub(super) fn lacking(service: &Service) -> Vec<Lacking> {
    let own = match &service.run {
        Run::Exec { argv } => argv.first().map(|name| ("runs", name)),
        Run::Cargo { .. } | Run::Server(_) => None,
    };
    let asked = service.healthcheck.as_ref().and_then(|check| {
        // A server brings programs of its own, and a built service is one.
        let (name, apart) = (check.test.first()?, matches!(service.run, Run::Server(_)));
        let built = matches!(service.run, Run::Cargo { .. }) && name.starts_with("/app/");
        (!apart && !built).then_some(("asks for its health by", name))
    });
    let path = service
        .environment
        .get("PATH")
        .map_or(SANDBOX_PATH, String::as_str);
    let mut lacking = Vec::new();
    for (why, name) in own.into_iter().chain(asked) {
        let is_path = name.contains('/');
        let found = if is_path {
            let folder = service.working_dir.as_deref().unwrap_or(Path::new("/"));
            is_there(service, &folder.join(name))
        } else {
            path.split(':')
                .any(|folder| is_there(service, &Path::new(folder).join(name)))
        };
        if !found {
            lacking.push(Lacking {
                why,
                program: name.clone(),
                path: (!is_path).then(|| path.to_owned()),
            });
        }
    }
    lacking
}

/// Whether the sandbox has a program at `path`. What is in a volume shows only when it runs, so that is believed.
fn is_there(service: &Service, path: &Path) -> bool {
    let mount = service
        .mounts
        .iter()
        .filter(|mount| path.starts_with(&mount.target))
        .max_by_key(|mount| mount.target.components().count());
    let given = service.files.iter().any(|file| path == file.target);
    match mount.map(|mount| (&mount.source, path.strip_prefix(&mount.target))) {
        _ if given => true,
        Some((MountSource::Bind(source), Ok(rest))) if rest.as_os_str().is_empty() => {
            is_program(source.clone())
        }
        Some((MountSource::Bind(source), Ok(rest))) => is_program(source.join(rest)),
        Some(_) => true,
        None => {
            let real = fs::canonicalize(path).unwrap_or_default();
            SHOWN.iter().any(|folder| real.starts_with(folder)) && is_program(real)
        }
    }
}

/// Whether it is a file that somebody may execute; by whom is the sandbox's to find out.
fn is_program(path: PathBuf) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::{Source, read};
    use std::collections::BTreeMap;

    fn lacking_of(service: &str, folder: &Path) -> Vec<String> {
        let source = Source {
            path: "c.yml".into(),
            text: format!("services: {{a: {{{service}}}}}"),
        };
        let project = read(vec![source], folder, &BTreeMap::new()).unwrap();
        lacking(&project.services["a"])
            .into_iter()
            .map(|lacking| format!("{} {}", lacking.why, lacking.program))
            .collect()
    }

    #[test]
    fn programs_are_looked_up_as_in_the_sandbox() {
        let dir = tempfile::tempdir().unwrap();
        let tool = dir.path().join("tool");
        fs::write(&tool, "").unwrap();
        let nothing: [&str; 0] = [];
        let of = |service: &str| lacking_of(service, dir.path());
        assert_eq!(of("command: sh -c true"), nothing);
        assert_eq!(of("command: no-such"), ["runs no-such"]);
        assert_eq!(
            of("command: sh, environment: {PATH: /nowhere}"),
            ["runs sh"]
        );
        assert_eq!(
            of("command: sh, healthcheck: {test: [CMD, no-such]}"),
            ["asks for its health by no-such"]
        );
        let mounted = "command: /x/tool, volumes: [./:/x]";
        assert_eq!(of(mounted), ["runs /x/tool"], "nobody may execute it");
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(of(mounted), nothing);
        assert_eq!(
            of("command: ./tool, working_dir: /x, volumes: [./:/x]"),
            nothing
        );
        assert_eq!(
            of(&format!("command: {}", tool.display())),
            [format!("runs {}", tool.display())],
            "the machine's other folders are not there"
        );
        assert_eq!(
            of("image: redis, healthcheck: {test: [CMD, redis-cli]}"),
            nothing
        );
    }
}
