//! Writes the id maps of the lab's user namespace (`user_namespaces(7)`).

use std::fs;
use std::path::Path;

use nix::unistd::{Pid, getegid, geteuid};

use super::failure::{Failure, Step};
use super::identity::{Identity, extent};

/// Gives the new user namespace its ids. Written from outside: only there is the capability for more than one id.
pub(super) fn write_maps(identity: Identity, outer: Pid) -> Result<(), Failure> {
    let write = |file: &str, text: &str| {
        let path = format!("/proc/{outer}/{file}");
        fs::write(&path, text).step(|| format!("write {file}"))
    };
    match identity {
        Identity::Root => {
            for file in ["uid_map", "gid_map"] {
                let own = Path::new("/proc/self").join(file);
                let own = fs::read_to_string(own).step(|| format!("read {file}"))?;
                write(file, &identity_map(&own))?;
            }
            Ok(())
        }
        Identity::Rootless => {
            write("uid_map", &format!("0 {} 1\n", geteuid()))?;
            // A process that could drop a group might gain by it, so the kernel wants this said first (CVE-2014-8989).
            write("setgroups", "deny")?;
            write("gid_map", &format!("0 {} 1\n", getegid()))
        }
    }
}

/// Every id that the map's owner has, mapped to itself.
fn identity_map(own: &str) -> String {
    own.lines()
        .filter_map(extent)
        .map(|(inside, _, count)| format!("{inside} {inside} {count}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_keeps_every_id_it_has() {
        assert_eq!(identity_map("0 0 4294967295\n"), "0 0 4294967295\n");
        assert_eq!(
            identity_map("  0  100000  1000\n 2000 7 65536\n"),
            "0 0 1000\n2000 2000 65536\n"
        );
    }
}
