//! A program before the real `docker` on the path of a script, for what no engine at hand does or is.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

/// Variables with which a script runs `text` where it means docker, which is `$REAL_DOCKER` there; it lies in `folder`.
pub(crate) fn of_docker(folder: &Path, text: &str) -> Result<[(&'static str, String); 2]> {
    let docker = folder.join("docker");
    std::fs::write(&docker, text)?;
    std::fs::set_permissions(&docker, std::fs::Permissions::from_mode(0o755))?;
    let path = std::env::var("PATH")?;
    let mut programs = path.split(':').map(|folder| format!("{folder}/docker"));
    let real = programs.find(|docker| Path::new(docker).exists());
    Ok([
        ("REAL_DOCKER", real.context("docker")?),
        ("PATH", format!("{}:{path}", folder.display())),
    ])
}
