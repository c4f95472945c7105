//! `doctor --install`: Debian packages, and no daemon left behind.
//!
//! Debian's postgresql makes a cluster and starts it, and redis-server starts a server; a lab wants the programs alone. While the
//! packages are configured, `policy-rc.d` forbids every start (Debian Policy 9.3.3) and PostgreSQL's `createcluster.conf` says no;
//! both are put back afterwards, also when apt-get fails. A run that was killed half-way is tidied up by the next one.

use std::fs;
use std::io::{self, IsTerminal as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::Uid;

use super::apparmor;
use super::machine::{Machine, program};

const POLICY: &str = "/usr/sbin/policy-rc.d";
const CLUSTERS: &str = "/etc/postgresql-common/createcluster.conf";
/// What the saved original of a file is called.
const SAVED: &str = "before-netns-setup";
/// Exit code 101 is "action forbidden by policy".
const FORBID: &str = "#!/bin/sh\n# Put here by netns-setup while it installs packages.\nexit 101\n";

/// Installs `packages`, and an AppArmor profile for this program when one is wanted of `machine`: as root, through `sudo -n`, or not at all.
///
/// # Errors
/// When this is no Debian, when there is no way to be root (the message says what to run), or when apt-get fails.
pub(super) fn install(packages: &[&str], machine: Option<&Machine>) -> io::Result<()> {
    if !packages.is_empty() && program("apt-get").is_none() {
        let message = format!(
            "there is no apt-get here; install what these Debian packages bring: {}",
            packages.join(" ")
        );
        return Err(io::Error::new(io::ErrorKind::Unsupported, message));
    }
    if !Uid::effective().is_root() {
        return through_sudo(packages);
    }
    if let Some(machine) = machine {
        apparmor::install(machine)?;
    }
    if packages.is_empty() {
        return Ok(());
    }
    let redis_is_new = packages.contains(&"redis-server");
    let _policy = Replaced::with(Path::new(POLICY), FORBID, 0o755)?;
    // A stale list is no reason to give up: the packages may be in the cache.
    if apt(&["update", "-q"]).is_err() {
        note("apt-get update failed; trying with the package lists that are there");
    }
    let (postgres, others): (Vec<&str>, Vec<&str>) = packages
        .iter()
        .partition(|package| **package == "postgresql");
    if !others.is_empty() {
        apt(&[
            &["install", "-y", "-q", "--no-install-recommends"],
            others.as_slice(),
        ]
        .concat())?;
    }
    if !postgres.is_empty() {
        // postgresql-common owns the file, so it has to be there before it can be changed.
        apt(&[
            "install",
            "-y",
            "-q",
            "--no-install-recommends",
            "postgresql-common",
        ])?;
        let original = fs::read_to_string(CLUSTERS).unwrap_or_default();
        let _clusters =
            Replaced::with(Path::new(CLUSTERS), &without_main_cluster(&original), 0o644)?;
        apt(&[
            "install",
            "-y",
            "-q",
            "--no-install-recommends",
            "postgresql",
        ])?;
    }
    if redis_is_new && program("systemctl").is_some() {
        // Not started now, and not at the next boot either. Where systemd does not run there is nothing to be disabled.
        let _ = Command::new("systemctl")
            .args(["--quiet", "disable", "redis-server.service"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
    Ok(())
}

/// The one command that an ordinary user has to have run.
pub(super) fn command() -> String {
    let exe = std::env::current_exe().unwrap_or_else(|_| "netns-setup".into());
    if Uid::effective().is_root() {
        format!("{} doctor --install", exe.display())
    } else if program("sudo").is_some() {
        format!("sudo {} doctor --install", exe.display())
    } else {
        format!("su -c '{} doctor --install'", exe.display())
    }
}

/// Runs this program again as root, if sudo lets it without a password.
fn through_sudo(packages: &[&str]) -> io::Result<()> {
    let allowed = program("sudo").is_some_and(|sudo| {
        let mut probe = Command::new(sudo);
        probe
            .args(["-n", "true"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    });
    if !allowed {
        let what = match packages {
            [] => "AppArmor needs a profile for this program".to_owned(),
            packages => format!("these packages are missing: {}", packages.join(" ")),
        };
        let message = format!("{what}\nroot has to install them; run: {}", command());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    let mut again = Command::new("sudo");
    again
        .arg("-n")
        .arg(std::env::current_exe()?)
        .args(["doctor", "--install", "--json"])
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    ended_well(
        again.status()?.success(),
        "sudo netns-setup doctor --install",
    )
}

fn apt(arguments: &[&str]) -> io::Result<()> {
    let mut apt = Command::new("apt-get");
    apt.args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null());
    // Standard output belongs to the report.
    apt.stdout(io::stderr());
    note(&format!("apt-get {}", arguments.join(" ")));
    ended_well(apt.status()?.success(), "apt-get")
}

fn ended_well(success: bool, what: &str) -> io::Result<()> {
    if success {
        Ok(())
    } else {
        Err(io::Error::other(format!(
            "{what} failed; what it wrote above says why"
        )))
    }
}

fn note(text: &str) {
    let (on, off) = if io::stderr().is_terminal() {
        ("\x1b[1m", "\x1b[0m")
    } else {
        ("", "")
    };
    eprintln!("{on}{text}{off}");
}

/// `createcluster.conf` with the creation of a first cluster switched off.
fn without_main_cluster(original: &str) -> String {
    let is_setting = |line: &&str| {
        !line
            .trim_start()
            .trim_start_matches('#')
            .trim_start()
            .starts_with("create_main_cluster")
    };
    let kept: String = original
        .lines()
        .filter(is_setting)
        .flat_map(|line| [line, "\n"])
        .collect();
    format!("{kept}create_main_cluster = false\n")
}

/// A file that has other contents for a while. The original is moved aside, not copied, so that whatever it is (a link, say) comes back.
struct Replaced {
    path: PathBuf,
    saved: PathBuf,
    existed: bool,
}

impl Replaced {
    fn with(path: &Path, contents: &str, mode: u32) -> io::Result<Self> {
        let mut saved = path.as_os_str().to_owned();
        saved.push(".");
        saved.push(SAVED);
        let saved = PathBuf::from(saved);
        if saved.symlink_metadata().is_ok() {
            fs::rename(&saved, path)?;
        } else if fs::read_to_string(path).is_ok_and(|text| text == FORBID) {
            fs::remove_file(path)?;
        }
        let existed = path.symlink_metadata().is_ok();
        if existed {
            fs::rename(path, &saved)?;
        }
        // From here on the way back is the guard's.
        let guard = Self {
            path: path.to_owned(),
            saved,
            existed,
        };
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)?;
        io::Write::write_all(&mut file, contents.as_bytes())?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        Ok(guard)
    }
}

impl Drop for Replaced {
    fn drop(&mut self) {
        let result = if self.existed {
            fs::rename(&self.saved, &self.path)
        } else {
            fs::remove_file(&self.path)
        };
        if let Err(error) = result {
            note(&format!(
                "{} could not be put back: {error}; its original is {}",
                self.path.display(),
                self.saved.display()
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cluster_is_switched_off_whatever_the_file_said() {
        let off = "ssl = on\ncreate_main_cluster = false\n";
        assert_eq!(
            without_main_cluster("#create_main_cluster = true\nssl = on\n"),
            off
        );
        assert_eq!(
            without_main_cluster("create_main_cluster=true\nssl = on"),
            off
        );
        assert_eq!(without_main_cluster(""), "create_main_cluster = false\n");
    }

    #[test]
    fn a_replaced_file_comes_back_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policy-rc.d");
        drop(Replaced::with(&path, FORBID, 0o755).unwrap());
        assert!(!path.exists());
        std::os::unix::fs::symlink("/bin/true", &path).unwrap();
        {
            let _replaced = Replaced::with(&path, FORBID, 0o755).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), FORBID);
        }
        assert_eq!(fs::read_link(&path).unwrap(), Path::new("/bin/true"));
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
    }

    #[test]
    fn a_run_that_was_killed_is_tidied_up_by_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policy-rc.d");
        fs::write(&path, "mine").unwrap();
        std::mem::forget(Replaced::with(&path, FORBID, 0o755).unwrap());
        drop(Replaced::with(&path, FORBID, 0o755).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        fs::remove_file(&path).unwrap();
        std::mem::forget(Replaced::with(&path, FORBID, 0o755).unwrap());
        drop(Replaced::with(&path, FORBID, 0o755).unwrap());
        assert!(!path.exists());
    }
}
