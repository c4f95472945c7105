//! The mounts that a sandbox's root is made of.
//!
//! Used after `pivot_root`, so a symbolic link in a target, even one that a volume's owner planted, leads nowhere but into the
//! sandbox itself. Sources were opened before, so they are found wherever they are.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{Mode, SFlag, fstat};

use crate::kernel::failure::{Failure, Step};
use crate::kernel::sys;

/// `MOUNT_ATTR_*` flags (`mount_setattr(2)`) for files of the system: to be read and executed.
pub(super) const READ_ONLY: u64 =
    libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
/// Flags for what the program may write.
pub(super) const WRITABLE: u64 = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
/// Flags for device files.
pub(super) const DEVICE: u64 =
    libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC;

/// A file or folder of the outside, held for a bind mount.
#[derive(Debug)]
pub(super) struct Source {
    fd: OwnedFd,
    is_folder: bool,
}

impl Source {
    /// Opens `path` without reading it.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let name = || format!("open {} to mount it", path.display());
        let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
        let fd = open(path, flags, Mode::empty()).step(name)?;
        let is_folder = SFlag::from_bits_truncate(fstat(&fd).step(name)?.st_mode) & SFlag::S_IFMT
            == SFlag::S_IFDIR;
        Ok(Self { fd, is_folder })
    }

    /// Opens `path` if it exists.
    pub(super) fn open_if_there(path: &Path) -> Result<Option<Self>, Failure> {
        match Self::open(path) {
            Ok(source) => Ok(Some(source)),
            Err(failure) if failure.errno == libc::ENOENT => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Mounts it, with everything mounted below it, at `target`, which is made if need be.
    pub(super) fn bind(&self, target: &Path, attributes: u64) -> Result<(), Failure> {
        make_mount_point(target, self.is_folder)?;
        bind_fd(self.fd.as_fd(), target, attributes)
    }
}

fn bind_fd(source: BorrowedFd<'_>, target: &Path, attributes: u64) -> Result<(), Failure> {
    let source = fd_path(source);
    mount(
        Some(&source),
        target,
        None::<&str>,
        MsFlags::MS_BIND | MsFlags::MS_REC,
        None::<&str>,
    )
    .step(|| format!("mount {}", target.display()))?;
    sys::add_mount_attributes(target, attributes, true)
        .step(|| format!("protect the mount {}", target.display()))
}

/// Mounts a fresh file system kept in memory.
pub(super) fn tmpfs(
    target: &Path,
    size: Option<u64>,
    mode: u32,
    flags: MsFlags,
) -> Result<(), Failure> {
    let mut options = format!("mode={mode:o}");
    if let Some(size) = size {
        options.push_str(&format!(",size={size}"));
    }
    mount(
        Some("tmpfs"),
        target,
        Some("tmpfs"),
        flags | MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        Some(options.as_str()),
    )
    .step(|| format!("mount a tmpfs on {}", target.display()))
}

/// Makes `target`, a folder or an empty file, and the folders above it, unless it is there.
///
/// Where a folder above is read-only (the machine's `/usr`), the deepest existing one is replaced by a tmpfs that shows the same
/// entries and can take one more.
pub(super) fn make_mount_point(target: &Path, is_folder: bool) -> Result<(), Failure> {
    let name = || format!("make the mount point {}", target.display());
    if target.exists() {
        return Ok(());
    }
    let parent = target.parent().unwrap_or(Path::new("/"));
    if let Err(error) = make(target, parent, is_folder) {
        if error.raw_os_error() != Some(libc::EROFS) {
            return Err(error).step(name);
        }
        let existing = target
            .ancestors()
            .skip(1)
            .find(|folder| folder.exists())
            .unwrap_or(Path::new("/"));
        mirror(existing)?;
        make(target, parent, is_folder).step(name)?;
    }
    Ok(())
}

fn make(target: &Path, parent: &Path, is_folder: bool) -> io::Result<()> {
    if is_folder {
        return fs::create_dir_all(target);
    }
    fs::create_dir_all(parent)?;
    fs::File::create(target).map(drop)
}

/// Replaces `folder` by a tmpfs with the same entries.
fn mirror(folder: &Path) -> Result<(), Failure> {
    let name = || format!("mirror {}", folder.display());
    let original = Source::open(folder)?;
    let entries = fs::read_dir(folder)
        .and_then(Iterator::collect::<io::Result<Vec<_>>>)
        .step(name)?;
    tmpfs(folder, None, 0o755, MsFlags::empty())?;
    for entry in entries {
        let target = folder.join(entry.file_name());
        let behind = fd_path(original.fd.as_fd()).join(entry.file_name());
        if entry.file_type().step(name)?.is_symlink() {
            let to = fs::read_link(&behind).step(name)?;
            symlink(to, &target).step(name)?;
        } else {
            Source::open(&behind)?.bind(&target, READ_ONLY)?;
        }
    }
    Ok(())
}

/// The path by which the kernel finds what an open descriptor stands for.
fn fd_path(fd: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// A mount target must be an absolute path without `..`, below the root.
pub(super) fn check_target(target: &Path) -> Result<(), Failure> {
    let plain = target
        .components()
        .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if target.is_absolute() && plain && target != Path::new("/") {
        return Ok(());
    }
    Err(Failure::of(
        format!("mount {}", target.display()),
        "the target must be an absolute path below /, without `..`",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_stay_below_the_root() {
        assert!(check_target(Path::new("/run/secrets")).is_ok());
        for bad in ["/", "run", "/run/../etc", ""] {
            assert!(check_target(Path::new(bad)).is_err(), "{bad}");
        }
    }
}
