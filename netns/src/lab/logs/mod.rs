//! Log files: one an instance, with what its processes have written, byte by byte.
//!
//! No file ever gets longer than [`LIMIT`], and there are no more than [`FILES`] of an instance, however fast it writes: `x.log` is the
//! current one, `x.log.1` the one before, and so on. A file is turned over by its name alone, so that a reader who holds it
//! open reads on to its end ([`Follower`]).
//!
//! When what was written stands beside it, in `x.times`, so that a log stays what the programs wrote. It is turned over
//! with its log, and never gets longer than that.

mod follower;
#[cfg(test)]
mod follower_tests;
mod sidecar;
mod sink;
mod times;
mod window;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub use follower::{Follower, Line, tail};
pub use sink::Sink;
pub use window::Window;

/// Bytes that a file may have.
pub const LIMIT: u64 = 10_000_000;
/// Files kept of an instance, the current one included.
pub const FILES: u32 = 3;

/// Opens a log for appending.
///
/// # Errors
/// When it cannot be created.
pub fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
}

/// Turns the file over if it has more than `limit` bytes: `x.log` becomes `x.log.1`, that `x.log.2`, and the oldest goes. Whoever has it open writes
/// on to the turned one. So is what stands beside it.
///
/// # Errors
/// When a file cannot be renamed.
pub fn turn_over(path: &Path, limit: u64) -> io::Result<()> {
    if fs::metadata(path).map_or(0, |metadata| metadata.len()) <= limit {
        return Ok(());
    }
    let times = sidecar::beside(path);
    for number in (0..FILES - 1).rev() {
        for path in [path, &times] {
            match fs::rename(turned(path, number), turned(path, number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

/// The file that was turned over so many times; 0: the current one.
fn turned(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_files_are_kept_and_an_empty_one_is_not_turned() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        for number in 1..=5 {
            fs::write(&path, number.to_string()).unwrap();
            turn_over(&path, 0).unwrap();
            assert!(!path.exists());
        }
        fs::write(&path, "").unwrap();
        turn_over(&path, 0).unwrap();
        let kept: Vec<String> = (0..FILES)
            .map(|number| fs::read_to_string(turned(&path, number)).unwrap())
            .collect();
        assert_eq!(kept, ["", "5", "4"]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), FILES as usize);
    }
}
