//! The lock by which a lab that runs is told from one that is gone, and which keeps a second one from the same folder.
//!
//! Whoever brings a lab up takes it, and the lab's first process holds it: the kernel drops it when the last holder of the open file has
//! ended in any way. It is two locks on one file. The open file description lock (`F_OFD_SETLK` in `fcntl(2)`) is the one that is looked
//! at, which the kernel does without taking anything: however many look, nobody finds a lab that is not there. The other one
//! (`flock(2)`) could only be looked at by taking it; it is what labs of earlier versions hold, and look for.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, Flock, FlockArg, fcntl};

/// Takes the lock of the file, which is made if it is not there. `None`: somebody has it.
///
/// # Errors
/// When the file cannot be opened, or the kernel refuses to lock it.
pub(super) fn take(path: &Path) -> io::Result<Option<Flock<File>>> {
    loop {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(path)?;
        let lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((_, Errno::EWOULDBLOCK)) => return Ok(None),
            Err((_, errno)) => return Err(errno.into()),
        };
        match fcntl(&*lock, FcntlArg::F_OFD_SETLK(&whole())) {
            // Somebody has forgotten the lab since the file was opened: there is none, and another one may be made.
            Ok(_) if !is_the_one(&lock, path)? => {}
            Ok(_) => return Ok(Some(lock)),
            Err(Errno::EAGAIN | Errno::EACCES) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Whether the open file is the one that has this path.
pub(super) fn is_the_one(file: &File, path: &Path) -> io::Result<bool> {
    let number = |metadata: Metadata| (metadata.dev(), metadata.ino());
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        found => Ok(number(found?) == number(file.metadata()?)),
    }
}

/// Whether somebody has it; `false` when there is no such file. Makes and takes nothing.
///
/// # Errors
/// When the file cannot be opened, or the kernel does not say.
pub(super) fn is_taken(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    let mut found = whole();
    fcntl(&file, FcntlArg::F_OFD_GETLK(&mut found))?;
    Ok(found.l_type != kind(libc::F_UNLCK))
}

/// All of a file, locked for writing.
fn whole() -> libc::flock {
    libc::flock {
        l_type: kind(libc::F_WRLCK),
        l_whence: kind(libc::SEEK_SET),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

fn kind(constant: libc::c_int) -> libc::c_short {
    libc::c_short::try_from(constant).expect("fcntl's constants are small numbers")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn nobody_who_looks_is_taken_for_one_who_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let (done, looks) = (AtomicBool::new(false), AtomicU64::new(0));
        assert!(!is_taken(&path).unwrap() && !path.exists());
        drop(take(&path).unwrap());
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        is_taken(&path).unwrap();
                        looks.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            let mut refused = 0;
            for _ in 0..5_000 {
                match take(&path).unwrap() {
                    Some(lock) => {
                        assert!(is_taken(&path).unwrap() && take(&path).unwrap().is_none());
                        drop(lock);
                    }
                    None => refused += 1,
                }
            }
            done.store(true, Ordering::Relaxed);
            assert_eq!(refused, 0, "of 5000, beside {looks:?} looks");
        });
        assert!(looks.into_inner() > 0 && !is_taken(&path).unwrap());
    }

    #[test]
    fn one_of_an_earlier_version_keeps_it_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let file = File::create(&path).unwrap();
        let earlier = Flock::lock(file, FlockArg::LockExclusiveNonblock).unwrap();
        assert!(take(&path).unwrap().is_none());
        drop(earlier);
        assert!(take(&path).unwrap().is_some());
    }
}
