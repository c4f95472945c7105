//! Unpacks an archive that somebody in a sandbox has written, who may mean ill.
//!
//! Nothing is written but below the target: of the `tar` crate's promises (`Archive::unpack`) this leans on one, that it leaves out
//! names with `..`, and refuses to go through a symbolic link that leads out. Files become the caller's, without set-user-ID bits;
//! devices are left out.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;

use tar::{Archive, Entry, EntryType};

/// Most bytes that are read after an archive's end.
const PADDING: u64 = 1 << 20;

/// Unpacks an archive of what is in a folder into the folder `target`, which is made if need be.
///
/// # Errors
/// When something cannot be written, or is not to be.
pub(super) fn folder(mut stream: impl Read, target: &Path) -> io::Result<()> {
    fs::create_dir_all(target).map_err(|error| about(target, &error))?;
    let mut archive = Archive::new(&mut stream);
    archive.set_preserve_permissions(false);
    archive.unpack(target)?;
    read_to_end(stream)
}

/// Unpacks an archive of one file or symbolic link as `target`.
///
/// # Errors
/// When it cannot be written, or is something else.
pub(super) fn file(mut stream: impl Read, target: &Path) -> io::Result<()> {
    // Without an entry, the program that should have written one says why.
    if let Some(entry) = Archive::new(&mut stream).entries()?.next() {
        place(&mut entry?, target).map_err(|error| about(target, &error))?;
    }
    read_to_end(stream)
}

/// What fills the archive's last record (`tar(5)`), so that its writer is not ended by a broken pipe; no more than that may be.
fn read_to_end(stream: impl Read) -> io::Result<()> {
    io::copy(&mut stream.take(PADDING), &mut io::sink()).map(drop)
}

fn place<R: Read>(entry: &mut Entry<'_, R>, target: &Path) -> io::Result<()> {
    match entry.header().entry_type() {
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let mode = entry.header().mode()? & 0o777;
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(mode)
                .open(target)?;
            io::copy(entry, &mut file)?;
            file.set_permissions(fs::Permissions::from_mode(mode))
        }
        EntryType::Symlink => {
            let to = entry.link_name()?.ok_or(ErrorKind::InvalidData)?;
            match symlink(&to, target) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists && !target.is_dir() => {
                    fs::remove_file(target)?;
                    symlink(&to, target)
                }
                result => result,
            }
        }
        _ => Err(io::Error::other(
            "neither a file, a folder nor a symbolic link",
        )),
    }
}

/// The same error with the path that it is about.
pub(super) fn about(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use tar::{Builder, Header};

    use super::*;

    /// An entry with a name that the crate itself would refuse to write.
    fn entry(kind: EntryType, name: &str, link: &str, mode: u32) -> (Header, Vec<u8>) {
        let content = if kind == EntryType::Regular {
            b"ill".to_vec()
        } else {
            Vec::new()
        };
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        let raw = header.as_old_mut();
        raw.name[..name.len()].copy_from_slice(name.as_bytes());
        raw.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        (header, content)
    }

    fn archive(entries: &[(Header, Vec<u8>)]) -> Vec<u8> {
        let mut archive = Builder::new(Vec::new());
        for (header, content) in entries {
            archive.append(header, content.as_slice()).unwrap();
        }
        archive.into_inner().unwrap()
    }

    #[test]
    fn nothing_leaves_the_target() {
        let base = tempfile::tempdir().unwrap();
        let outside = base.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::set_permissions(&outside, fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(outside.join("kept"), "well").unwrap();
        let outside_name = outside.to_str().unwrap().to_owned();
        let (file, link, hard, dir) = (
            EntryType::Regular,
            EntryType::Symlink,
            EntryType::Link,
            EntryType::Directory,
        );
        let hostile = [
            vec![entry(file, "../outside/kept", "", 0o644)],
            vec![entry(file, "./a/../../outside/kept", "", 0o644)],
            vec![entry(file, &format!("{outside_name}/kept"), "", 0o644)],
            vec![
                entry(link, "./l", "../outside", 0o777),
                entry(file, "./l/kept", "", 0o644),
            ],
            vec![
                entry(link, "./l", &outside_name, 0o777),
                entry(dir, "./l", "", 0o777),
            ],
            vec![
                entry(link, "./l", &outside_name, 0o777),
                entry(dir, "./l/new", "", 0o777),
            ],
            vec![
                entry(link, "./k", "../outside/kept", 0o777),
                entry(file, "./k", "", 0o644),
            ],
            vec![
                entry(hard, "./h", "../outside/kept", 0o644),
                entry(file, "./h", "", 0o644),
            ],
            vec![entry(hard, "./h", &format!("{outside_name}/kept"), 0o644)],
        ];
        for (number, entries) in hostile.iter().enumerate() {
            let target = base.path().join(format!("target-{number}"));
            // Refused or left out: either will do.
            let _ = folder(archive(entries).as_slice(), &target);
            assert_eq!(
                fs::read_to_string(outside.join("kept")).unwrap(),
                "well",
                "{number}"
            );
            assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "{number}");
            let mode = fs::metadata(&outside).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{number}");
            let links =
                std::os::unix::fs::MetadataExt::nlink(&fs::metadata(outside.join("kept")).unwrap());
            assert_eq!(links, 1, "{number}");
        }
    }

    #[test]
    fn a_folder_and_a_file_arrive_without_set_user_id() {
        let base = tempfile::tempdir().unwrap();
        let target = base.path().join("target");
        let entries = [
            entry(EntryType::Directory, "./", "", 0o755),
            entry(EntryType::Directory, "./shut", "", 0o500),
            entry(EntryType::Regular, "./shut/tool", "", 0o4755),
        ];
        folder(archive(&entries).as_slice(), &target).unwrap();
        let tool = fs::metadata(target.join("shut/tool")).unwrap();
        assert_eq!((tool.len(), tool.permissions().mode() & 0o7777), (3, 0o755));
        let single = base.path().join("single");
        file(archive(&entries[2..]).as_slice(), &single).unwrap();
        let mode = fs::metadata(&single).unwrap().permissions().mode();
        assert_eq!(
            (fs::read(&single).unwrap(), mode & 0o7777),
            (b"ill".to_vec(), 0o755)
        );
        let device = [entry(EntryType::Char, "tty", "", 0o666)];
        assert!(file(archive(&device).as_slice(), &base.path().join("tty")).is_err());
    }
}
