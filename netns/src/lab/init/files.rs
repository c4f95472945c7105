//! The files that instances see: volumes, secrets and configuration, and what each knows by name.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use super::instance;
use crate::compose::{FileKind, FileSource, Project};
use crate::kernel::Identity;
use crate::lab::folder;
use crate::lab::state::StateDir;
use crate::plan::Instance;

/// Makes what these instances mount, where it is not there yet.
pub(super) fn prepare(
    project: &Project,
    instances: &[Instance],
    state: &StateDir,
    identity: Identity,
) -> io::Result<()> {
    give(project, state)?;
    for planned in instances {
        let Some(service) = project.services.get(&planned.service) else {
            continue;
        };
        for volume in instance::volumes(service, planned, state) {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&volume)?;
            identity.prepare_volume(&volume)?;
        }
    }
    Ok(())
}

/// Removes the volumes without a name of an instance that is no more.
pub(super) fn forget_anonymous_volumes(state: &StateDir, instance: &str) -> io::Result<()> {
    let own = format!("{instance}@");
    for entry in fs::read_dir(state.volumes())? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&own) {
            folder::remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Copies secrets and configuration files to where they are shown to sandboxes: the user of a sandbox may not be allowed to read the
/// original. Nobody else comes here: the state folder is its owner's alone.
fn give(project: &Project, state: &StateDir) -> io::Result<()> {
    let kinds = [
        (FileKind::Secret, &project.secrets),
        (FileKind::Config, &project.configs),
    ];
    for (kind, files) in kinds {
        let folder = state.given(kind);
        fs::create_dir_all(&folder)?;
        for (name, file) in files {
            let content = match (&file.source, &file.content) {
                (FileSource::File(path), _) => fs::read(path).map_err(|error| {
                    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
                })?,
                (_, content) => content
                    .as_ref()
                    .map(|content| content.expose().as_bytes().to_vec())
                    .unwrap_or_default(),
            };
            let path = folder.join(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            fs::write(&path, content)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o444))?;
        }
    }
    Ok(())
}

/// Writes every instance's `/etc/hosts`, by its name; those of instances that are no more are removed.
pub(super) fn write_hosts(state: &StateDir, hosts: &BTreeMap<String, String>) -> io::Result<()> {
    let folder = state.run().join("hosts");
    fs::create_dir_all(&folder)?;
    for entry in fs::read_dir(&folder)? {
        let entry = entry?;
        let known = entry
            .file_name()
            .to_str()
            .is_some_and(|name| hosts.contains_key(name));
        if !known {
            fs::remove_file(entry.path())?;
        }
    }
    for (instance, text) in hosts {
        rewrite(&state.hosts(instance), text)?;
    }
    Ok(())
}

/// Rewrites a file in place: sandboxes that run have mounted it, so it must stay the same one. It is written at once, and padded with
/// empty lines to what it was, so that nobody reads the end of the old text after the new one before it is cut.
fn rewrite(path: &Path, text: &str) -> io::Result<()> {
    if fs::read_to_string(path).is_ok_and(|now| now == text) {
        return Ok(());
    }
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?;
    let before = usize::try_from(file.metadata()?.len()).unwrap_or(0);
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(bytes.len().max(before), b'\n');
    file.write_all(&bytes)?;
    file.set_len(text.len() as u64)?;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_hosts_file_changes_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        rewrite(&path, "one\ntwo\nthree\n").unwrap();
        let inode = fs::metadata(&path).unwrap().ino();
        let mut reader = File::open(&path).unwrap();
        rewrite(&path, "four\n").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "four\n");
    }
}
