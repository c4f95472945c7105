//! The `/etc` of a sandbox: its own few files, and of the machine's only what programs need to run at all.

use std::fs;
use std::path::Path;

use super::mounts::{READ_ONLY, Source};
use crate::kernel::failure::{Failure, Step};
use crate::kernel::identity::SANDBOX_ID;

/// Files and folders of the machine that are shown as they are: how libraries, time zones, port names, certificate
/// authorities and alternatives are found. None holds a secret (private keys are in /etc/ssl/private, which is not here).
const SHOWN: [&str; 8] = [
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/protocols",
    "/etc/services",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/timezone",
];

/// What of the machine's `/etc` is shown, opened before the root changes.
pub(super) fn sources() -> Result<Vec<(&'static Path, Source)>, Failure> {
    let mut sources = Vec::new();
    for path in SHOWN.map(Path::new) {
        if let Some(source) = Source::open_if_there(path)? {
            sources.push((path, source));
        }
    }
    Ok(sources)
}

/// Fills `/etc`.
pub(super) fn fill(
    sources: &[(&Path, Source)],
    hostname: &str,
    hosts: &Source,
) -> Result<(), Failure> {
    let files = [
        ("passwd", passwd()),
        ("group", group()),
        ("hostname", format!("{hostname}\n")),
        (
            "resolv.conf",
            "# Names are in /etc/hosts; no name server is asked.\n".to_owned(),
        ),
        (
            "nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files\nservices: files\n".to_owned(),
        ),
    ];
    fs::create_dir_all("/etc").step(|| "make /etc".into())?;
    for (name, text) in files {
        let path = Path::new("/etc").join(name);
        fs::write(&path, text).step(|| format!("write {}", path.display()))?;
    }
    for (path, source) in sources {
        source.bind(path, READ_ONLY)?;
    }
    hosts.bind(Path::new("/etc/hosts"), READ_ONLY)
}

/// PostgreSQL's initdb wants its user to have a name.
fn passwd() -> String {
    format!(
        "root:x:0:0:root:/:/usr/sbin/nologin\nnonroot:x:{SANDBOX_ID}:{SANDBOX_ID}:nonroot:/tmp:/bin/sh\n"
    )
}

fn group() -> String {
    format!("root:x:0:\nnonroot:x:{SANDBOX_ID}:\n")
}
