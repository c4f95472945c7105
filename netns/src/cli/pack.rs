//! Packs what is here into an archive for somebody in a sandbox.
//!
//! All of it is looked at before the first byte is written: what cannot be copied is refused by its name, and nothing has been copied
//! by then.

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};
use tar::Builder;

use super::unpack::about;

/// What is to be packed, folders before what is in them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tree(Vec<(PathBuf, Kind)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Folder,
    File,
    Link,
}

impl Tree {
    /// Looks at a path, and at everything in a folder. A symbolic link is itself, unless `follow` says that the path is what it leads to.
    ///
    /// # Errors
    /// When something cannot be read, or is neither a file, a folder nor a symbolic link: with its name.
    pub(super) fn of(path: &Path, follow: bool) -> io::Result<Self> {
        let metadata = if follow {
            fs::metadata(path)
        } else {
            fs::symlink_metadata(path)
        };
        let kind = metadata.map_err(|error| about(path, &error))?.file_type();
        let mut tree = Self(Vec::new());
        tree.add(path, kind).map(|()| tree)
    }

    fn add(&mut self, path: &Path, found: FileType) -> io::Result<()> {
        let kind = match found {
            _ if found.is_dir() => Kind::Folder,
            _ if found.is_file() => Kind::File,
            _ if found.is_symlink() => Kind::Link,
            _ => {
                let what = format!("{}: a {} is not copied", path.display(), word(found));
                return Err(io::Error::other(what));
            }
        };
        if kind == Kind::File {
            access(path, AccessFlags::R_OK).map_err(|errno| about(path, &errno.into()))?;
        }
        self.0.push((path.to_owned(), kind));
        if kind == Kind::Folder {
            for entry in fs::read_dir(path).map_err(|error| about(path, &error))? {
                let entry = entry.map_err(|error| about(path, &error))?;
                let found = entry.file_type();
                let found = found.map_err(|error| about(&entry.path(), &error))?;
                self.add(&entry.path(), found)?;
            }
        }
        Ok(())
    }

    /// Whether it is a folder.
    pub(super) fn is_folder(&self) -> bool {
        matches!(self.0.first(), Some((_, Kind::Folder)))
    }

    /// Writes the archive, in which the path that was looked at is called `name`.
    ///
    /// # Errors
    /// When a file cannot be read any more, or the archive not be written.
    pub(super) fn pack(&self, name: &Path, to: impl Write) -> io::Result<()> {
        let mut archive = Builder::new(to);
        archive.follow_symlinks(false);
        let top = self.0.first().map_or(Path::new(""), |(top, _)| top);
        for (path, kind) in &self.0 {
            let within = path.strip_prefix(top).unwrap_or(path);
            let name = match within.as_os_str().is_empty() {
                true => name.to_owned(),
                false => name.join(within),
            };
            match kind {
                Kind::Folder => archive.append_dir(&name, path),
                Kind::File => open(path).and_then(|mut file| archive.append_file(&name, &mut file)),
                Kind::Link => archive.append_path_with_name(path, &name),
            }
            .map_err(|error| about(path, &error))?;
        }
        archive.finish()
    }
}

/// Opens a file; nobody is waited for where a pipe has taken its place.
fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is no file any more")),
    }
}

/// What people call a file that is none.
pub(super) fn word(kind: FileType) -> &'static str {
    match kind {
        _ if kind.is_fifo() => "FIFO",
        _ if kind.is_socket() => "socket",
        _ => "device",
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use nix::sys::stat::Mode;

    use super::*;

    #[test]
    fn what_cannot_be_copied_is_refused_by_name_before_anything_is() {
        let base = tempfile::tempdir().unwrap();
        let (folder, pipe) = (base.path().join("folder"), base.path().join("folder/pipe"));
        fs::create_dir(&folder).unwrap();
        nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        for source in [&pipe, &folder] {
            let said = Tree::of(source, false).unwrap_err().to_string();
            assert_eq!(said, format!("{}: a FIFO is not copied", pipe.display()));
        }
        let said = Tree::of(Path::new("/dev/null"), true).unwrap_err();
        assert_eq!(said.to_string(), "/dev/null: a device is not copied");
        // A pipe that takes a file's place does not hold the copy up.
        let said = open(&pipe).unwrap_err().to_string();
        assert_eq!(said, "it is no file any more");
    }

    #[test]
    fn a_link_is_copied_as_one_unless_followed() {
        let base = tempfile::tempdir().unwrap();
        let (file, link) = (base.path().join("file"), base.path().join("link"));
        fs::write(&file, "text").unwrap();
        symlink("file", &link).unwrap();
        symlink("nowhere", base.path().join("broken")).unwrap();
        let kinds = [(&link, false), (&link, true)].map(|(path, follow)| {
            let mut bytes = Vec::new();
            let tree = Tree::of(path, follow).unwrap();
            tree.pack(Path::new("name"), &mut bytes).unwrap();
            let mut archive = tar::Archive::new(bytes.as_slice());
            let entry = archive.entries().unwrap().next().unwrap().unwrap();
            assert_eq!(entry.path().unwrap(), Path::new("name"));
            entry.header().entry_type()
        });
        assert_eq!(kinds, [tar::EntryType::Symlink, tar::EntryType::Regular]);
        assert!(Tree::of(base.path(), false).unwrap().is_folder());
    }
}
