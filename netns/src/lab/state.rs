//! Where a lab keeps what outlives its processes, and how one that runs is told from one that is gone.
//!
//! ```text
//! <base>/<project>/volumes/<name>/     named volumes; they survive `down`
//! <base>/<project>/logs/<instance>.log standard output and error of each instance; beside it, in .times, when it was written
//! <base>/<project>/run/                scripts shown to sandboxes
//! <base>/<project>/lock                locked by the lab's first process as long as it lives
//! <base>/<project>/pid                 that process, as the host numbers it, when it began, and the version of its protocol
//! <base>/<project>/cgroups             its control groups on the host, to be removed when it has ended
//! <base>/<project>/control.sock        see `protocol`
//! ```
//! The lock is the truth: the kernel drops it when its holder ends in any way, so that a pid file or socket left behind by a
//! killed lab never counts.

use std::borrow::Cow;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::Flock;
use nix::unistd::{Pid, Uid, User};

use super::folder::{self, named};
use super::lock;
use super::processes::Process;
use super::protocol::VERSION;
use super::turn::Turn;
use crate::compose::{FileKind, is_project_name};
use crate::kernel::wait_for_end;

/// Environment variable that names the base folder.
pub const STATE_DIR_VARIABLE: &str = "NETNS_STATE_DIR";

/// The folder of one project's lab.
#[derive(Debug, Clone)]
pub struct StateDir {
    root: PathBuf,
}

/// The base folder when none is named: `/var/lib/netns-setup` for root, else below `$XDG_STATE_HOME` or `~/.local/state`
/// (XDG Base Directory Specification 0.8).
#[must_use]
pub fn default_base() -> PathBuf {
    if Uid::effective().is_root() {
        return PathBuf::from("/var/lib/netns-setup");
    }
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    // Without a HOME (cron, a stripped environment) the user's own entry names it.
    let home = || User::from_uid(Uid::effective()).ok()?.map(|user| user.dir);
    absolute("XDG_STATE_HOME")
        .or_else(|| {
            let home = absolute("HOME").or_else(home)?;
            Some(home.join(".local/state"))
        })
        .unwrap_or_else(std::env::temp_dir)
        .join("netns-setup")
}

impl StateDir {
    /// The folder of `project` below `base`. Nothing is created.
    ///
    /// # Errors
    /// When `project` is no name of a project, whose folder could lie anywhere, or `base` is relative and there is no current folder.
    pub fn new(base: &Path, project: &str) -> io::Result<Self> {
        if !is_project_name(project) {
            let message = format!("`{project}` is no name of a project");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        Ok(Self {
            root: std::path::absolute(base)?.join(project),
        })
    }

    /// Every project's folder below `base`, by name. A base that is not there yet has none.
    #[must_use]
    pub fn all(base: &Path) -> Vec<(String, Self)> {
        let mut folders: Vec<(String, Self)> = fs::read_dir(base)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.path().join("lock").exists())
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let state = Self::new(base, &name).ok()?;
                Some((name, state))
            })
            .collect();
        folders.sort_by(|(a, _), (b, _)| a.cmp(b));
        folders
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The project's name.
    #[must_use]
    pub fn name(&self) -> Cow<'_, str> {
        self.root.file_name().unwrap_or_default().to_string_lossy()
    }

    /// Folder of a named volume.
    #[must_use]
    pub fn volume(&self, name: &str) -> PathBuf {
        self.root.join("volumes").join(name)
    }

    /// Folder of all named volumes.
    #[must_use]
    pub fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    /// Log file of an instance.
    #[must_use]
    pub fn log(&self, instance: &str) -> PathBuf {
        self.logs().join(format!("{instance}.log"))
    }

    /// Folder of all log files.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// Folder of what is shown to sandboxes.
    #[must_use]
    pub fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    /// Folder of the copies of secrets or configuration files that are shown to sandboxes.
    #[must_use]
    pub fn given(&self, kind: FileKind) -> PathBuf {
        self.run().join(kind.key())
    }

    /// The file that is an instance's `/etc/hosts`.
    #[must_use]
    pub fn hosts(&self, instance: &str) -> PathBuf {
        self.run().join("hosts").join(instance)
    }

    /// The control socket.
    #[must_use]
    pub fn control(&self) -> PathBuf {
        self.root.join("control.sock")
    }

    /// File with the names of the lab's control groups; see [`groups`](super::groups).
    #[must_use]
    pub fn groups(&self) -> PathBuf {
        self.root.join("cgroups")
    }

    /// Whether a lab has ever been here, up or down: whatever else lies in the folder is somebody else's.
    #[must_use]
    pub fn is_a_labs(&self) -> bool {
        self.lock_file().exists()
    }

    fn lock_file(&self) -> PathBuf {
        self.root.join("lock")
    }

    fn pid_file(&self) -> PathBuf {
        self.root.join("pid")
    }

    /// Creates the folders, readable by their owner alone.
    ///
    /// # Errors
    /// When a folder cannot be created, or belongs to another user, who could read and replace what is kept in it.
    pub fn create(&self) -> io::Result<()> {
        for folder in [self.root.clone(), self.volumes(), self.logs(), self.run()] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .map_err(|error| named(&error, &folder))?;
        }
        let root = fs::metadata(&self.root).map_err(|error| named(&error, &self.root))?;
        if root.uid() != Uid::effective().as_raw() || root.mode() & 0o022 != 0 {
            return Err(io::Error::other(format!(
                "{}: it belongs to another user, or others may write to it",
                self.root.display()
            )));
        }
        Ok(())
    }

    /// Takes the turn to bring the lab up, or to change it. `None`: somebody has it.
    ///
    /// # Errors
    /// When the folder cannot be made, opened or locked.
    pub fn try_turn(&self) -> io::Result<Option<Turn>> {
        Turn::take(&self.root).map_err(|error| named(&error, &self.root))
    }

    /// The same when whoever has it has done.
    ///
    /// # Errors
    /// As of [`StateDir::try_turn`].
    pub fn wait_for_turn(&self) -> io::Result<Turn> {
        Turn::wait_for(&self.root).map_err(|error| named(&error, &self.root))
    }

    /// Takes the lock. `None`: a lab holds it.
    ///
    /// # Errors
    /// When the lock file cannot be opened.
    pub fn try_lock(&self) -> io::Result<Option<Flock<File>>> {
        let path = self.lock_file();
        lock::take(&path).map_err(|error| named(&error, &path))
    }

    /// Whether a lab runs from this folder. Creates and takes nothing: however many look, none is taken for a lab.
    #[must_use]
    pub fn is_up(&self) -> bool {
        lock::is_taken(&self.lock_file()).unwrap_or(false) || self.is_up_of_old()
    }

    /// Whether a lab runs whose lock cannot be looked at: those that did not note the version of their protocol have the other one.
    fn is_up_of_old(&self) -> bool {
        let noted = Noted::read(&self.pid_file());
        noted.is_some_and(|noted| noted.version.is_none() && noted.runs())
    }

    /// Waits, at most for `timeout`, until whatever is left of a lab that has let go of its lock has ended too: the kernel closes the
    /// first process's files a moment before the rest of its namespace is gone.
    ///
    /// # Errors
    /// When the kernel refuses to wait.
    pub fn wait_for_remains(&self, timeout: Duration) -> io::Result<bool> {
        match Noted::read(&self.pid_file()) {
            // The number may be somebody else's by now, even another lab's.
            Some(noted) if noted.is_there() => wait_for_end(Pid::from_raw(noted.pid), timeout),
            _ => Ok(true),
        }
    }

    /// Notes the lab's first process, which is the caller, when it began, and the version of the control protocol that it speaks.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_pid(&self, pid: i32) -> io::Result<()> {
        let began = Process::own().map(|own| own.started).unwrap_or_default();
        fs::write(self.pid_file(), format!("{pid} {began} {VERSION}\n"))
    }

    /// The lab's first process, as the host numbers it. Only means anything while [`StateDir::is_up`].
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        Noted::read(&self.pid_file()).map(|noted| noted.pid)
    }

    /// Removes what describes a running lab: pid file, control socket, scripts. The caller holds the lock, or knows the lab gone.
    pub fn remove_runtime_files(&self) {
        for file in [self.pid_file(), self.control()] {
            let _ = fs::remove_file(file);
        }
        let _ = fs::remove_dir_all(self.run());
    }

    /// Removes every volume and log, and with the lock the last that tells of the lab. The caller holds that: whoever takes it from the
    /// file that was there has a lock on nothing, and takes the next one.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn forget(&self) -> io::Result<()> {
        for folder in [self.volumes(), self.logs()] {
            folder::remove(&folder)?;
        }
        let _ = fs::remove_file(self.lock_file());
        let _ = fs::remove_dir(&self.root); // what else somebody keeps there is not ours
        Ok(())
    }
}

/// What the pid file says.
#[derive(Debug, Clone, Copy)]
struct Noted {
    pid: i32,
    /// When it began, in [`TICKS`](super::processes::TICKS) since the machine was started: the same in every PID namespace.
    began: Option<u64>,
    version: Option<u32>,
}

impl Noted {
    fn read(file: &Path) -> Option<Self> {
        let text = fs::read_to_string(file).ok()?;
        let mut words = text.split_whitespace();
        Some(Self {
            pid: words.next()?.parse().ok()?,
            began: words.next().and_then(|word| word.parse().ok()),
            version: words.next().and_then(|word| word.parse().ok()),
        })
    }

    /// Whether that process is there, not one that has got its number since; it may have ended and not been collected.
    fn is_there(&self) -> bool {
        Process::read(self.pid).is_some_and(|process| Some(process.started) == self.began)
    }

    fn runs(&self) -> bool {
        self.is_there() && Process::read(self.pid).is_some_and(|process| !process.has_ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_somebody_elses_by_now_is_not_waited_for() {
        let base = tempfile::tempdir().unwrap();
        let state = StateDir::new(base.path(), "shop").unwrap();
        state.create().unwrap();
        let this = i32::try_from(std::process::id()).unwrap();
        state.write_pid(this).unwrap();
        assert_eq!(state.pid(), Some(this));
        assert!(!state.wait_for_remains(Duration::from_millis(1)).unwrap());
        let earlier = Process::own().unwrap().started - 1;
        fs::write(state.pid_file(), format!("{this} {earlier}\n")).unwrap();
        assert!(state.wait_for_remains(Duration::from_millis(1)).unwrap());
    }

    #[test]
    fn nothing_stays_of_a_lab_that_is_forgotten() {
        let base = tempfile::tempdir().unwrap();
        let state = StateDir::new(base.path(), "shop").unwrap();
        state.create().unwrap();
        fs::write(state.log("a-1"), "a line\n").unwrap();
        let lock = state.try_lock().unwrap().unwrap();
        state.remove_runtime_files();
        state.forget().unwrap();
        assert!(!state.path().exists() && StateDir::all(base.path()).is_empty());
        // The next one does not mind who has the old one's.
        state.create().unwrap();
        assert!(state.try_lock().unwrap().is_some());
        drop(lock);
    }

    #[test]
    fn no_name_leads_out_of_the_base() {
        let base = tempfile::tempdir().unwrap();
        for name in ["", ".", "..", "../docker", "/srv", "a/b", "Shop", "-a"] {
            assert!(StateDir::new(base.path(), name).is_err(), "{name}");
        }
        let state = StateDir::new(base.path(), "a_shop-2").unwrap();
        assert_eq!(state.path().parent(), Some(base.path()));
    }

    #[test]
    fn the_lock_tells_a_running_lab_from_files_left_behind() {
        let base = tempfile::tempdir().unwrap();
        let state = StateDir::new(base.path(), "shop").unwrap();
        assert!(
            !state.is_up() && !state.path().exists(),
            "asking creates nothing"
        );
        state.create().unwrap();
        state.write_pid(1).unwrap();
        fs::write(state.control(), "").unwrap();
        assert!(!state.is_up(), "left-over files do not count");
        let lock = state.try_lock().unwrap().unwrap();
        assert!(state.is_up() && state.try_lock().unwrap().is_none());
        drop(lock);
        assert!(!state.is_up());
        // One of an earlier version, whose lock cannot be looked at.
        let own = (std::process::id(), Process::own().unwrap().started);
        fs::write(state.pid_file(), format!("{} {}\n", own.0, own.1)).unwrap();
        assert!(state.is_up());
        fs::write(state.pid_file(), format!("{} {}\n", own.0, own.1 - 1)).unwrap();
        assert!(!state.is_up(), "somebody else has its number");
        state.remove_runtime_files();
        assert!(state.pid().is_none() && !state.control().exists() && state.volumes().exists());
    }
}
