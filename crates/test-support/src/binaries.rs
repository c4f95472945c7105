//! The workspace's own programs, for tests of crates that do not build them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Builds the workspace's programs in the profile that tests run in, and returns the folder they are in.
///
/// Cargo hands a test only its own package's programs (`CARGO_BIN_EXE_...`); this is for tests over several packages. It asks
/// for what `cargo test --workspace` has just built, tests and all, and so for nothing new: a package built alone has other
/// features of its dependencies on, and most of them would be compiled a second time in the middle of a test.
///
/// # Errors
/// When the build fails; the message holds what cargo said.
pub fn build_binaries() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .context("the workspace's folder")?;
    // A test runs from <target>/<profile>/deps.
    let this = std::env::current_exe()?;
    let programs = this.ancestors().nth(2).context("the profile's folder")?;
    let target = programs.parent().context("the target folder")?;
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(root)
        .args(["test", "--workspace", "--no-run", "--quiet", "--locked"])
        .arg("--target-dir")
        .arg(target);
    if programs.ends_with("release") {
        command.arg("--release");
    }
    let output = command.output().context("starting cargo")?;
    ensure!(
        output.status.success(),
        "cargo test --no-run: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(programs.to_owned())
}
