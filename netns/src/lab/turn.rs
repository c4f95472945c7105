//! Whose turn it is to bring a lab up, or to change it: one after the other, each finds what the one before has made.
//!
//! The lock is on the lab's folder itself (`flock(2)`, which takes folders too), so that there is no file more in it: the
//! lab's own lasts as long as the lab, this one until it is up. The kernel drops it when its holder ends in any way,
//! provided that the lab, which is forked off the holder, closes its copy.

use std::fs::{DirBuilder, File, remove_dir};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::lock::is_the_one;

/// It is ours until this is dropped.
#[derive(Debug)]
pub struct Turn {
    folder: Flock<File>,
    path: PathBuf,
}

impl Turn {
    /// Takes it in the folder, which is made if it is not there. `None`: somebody has it.
    pub(super) fn take(path: &Path) -> io::Result<Option<Self>> {
        Self::lock(path, FlockArg::LockExclusiveNonblock)
    }

    /// The same when whoever has it has done.
    pub(super) fn wait_for(path: &Path) -> io::Result<Self> {
        loop {
            if let Some(turn) = Self::lock(path, FlockArg::LockExclusive)? {
                return Ok(turn);
            }
        }
    }

    fn lock(path: &Path, how: FlockArg) -> io::Result<Option<Self>> {
        loop {
            DirBuilder::new().recursive(true).mode(0o700).create(path)?;
            let folder = match Flock::lock(File::open(path)?, how) {
                Ok(folder) => folder,
                Err((_, Errno::EWOULDBLOCK)) => return Ok(None),
                Err((_, Errno::EINTR)) => continue,
                Err((_, errno)) => return Err(errno.into()),
            };
            // `down --volumes` may have removed it since it was opened, and there may be another.
            if is_the_one(&folder, path)? {
                let path = path.to_owned();
                return Ok(Some(Self { folder, path }));
            }
        }
    }

    /// What a lab must not keep of it.
    #[must_use]
    pub fn descriptor(&self) -> RawFd {
        self.folder.as_raw_fd()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let _ = remove_dir(&self.path); // of a lab that was refused nothing stays; the kernel keeps a folder that is not empty
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn one_has_it_and_the_next_gets_it_in_the_folder_that_is_there_then() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("shop");
        let first = Turn::take(&path).unwrap().unwrap();
        assert!(Turn::take(&path).unwrap().is_none());
        thread::scope(|scope| {
            let next = scope.spawn(|| Turn::wait_for(&path).unwrap());
            drop(first); // the folder is empty, and removed
            let next = next.join().unwrap();
            assert!(Turn::take(&path).unwrap().is_none() && path.exists());
            File::create(path.join("lock")).unwrap();
            drop(next);
        });
        assert!(path.exists() && Turn::take(&path).unwrap().is_some());
    }
}
