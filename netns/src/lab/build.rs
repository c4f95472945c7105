//! Builds the services that are Cargo packages, with Cargo's own progress on standard error.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

/// Where each package's binary is.
pub type Binaries = BTreeMap<String, PathBuf>;

/// Why a binary is not there.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Cargo itself could not be run.
    #[error(
        "error: cannot run cargo: {0}\n = help: install Rust (https://rustup.rs), or run what was built elsewhere: NETNS_BIN_DIR=FOLDER"
    )]
    NoCargo(io::Error),
    /// Cargo has said why.
    #[error("error: cargo build failed (see above); nothing was started")]
    Failed,
    /// A package has no binary of its own name.
    #[error(
        "error: package {package} has no binary named {package}\n = help: x-netns.run.cargo names a package whose src/main.rs is the service"
    )]
    NoBinary {
        /// The package.
        package: String,
    },
    /// What was to be run unbuilt is not there.
    #[error("error: {} does not exist\n = help: leave out --no-build and --bin-dir to build it", path.display())]
    Missing {
        /// The binary.
        path: PathBuf,
    },
}

/// Builds `packages` of the workspace in `dir` with Cargo's `profile`.
///
/// # Errors
/// See [`BuildError`].
pub fn build(
    dir: &Path,
    packages: &BTreeSet<String>,
    profile: &str,
) -> Result<Binaries, BuildError> {
    if packages.is_empty() {
        return Ok(Binaries::new());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.current_dir(dir).args([
        "build",
        "--locked",
        "--message-format=json-render-diagnostics",
        "--profile",
        profile,
    ]);
    for package in packages {
        command.args(["-p", package]);
    }
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(BuildError::NoCargo)?;
    let mut binaries = Binaries::new();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some((name, path)) = executable(&line) {
                binaries.insert(name, path);
            }
        }
    }
    match child.wait() {
        Ok(status) if status.success() => {}
        Ok(_) => return Err(BuildError::Failed),
        Err(error) => return Err(BuildError::NoCargo(error)),
    }
    binaries.retain(|name, _| packages.contains(name));
    match packages
        .iter()
        .find(|package| !binaries.contains_key(*package))
    {
        Some(package) => Err(BuildError::NoBinary {
            package: package.clone(),
        }),
        None => Ok(binaries),
    }
}

/// The binaries of `packages` in `folder`, built before.
///
/// # Errors
/// When one is missing.
pub fn built(folder: &Path, packages: &BTreeSet<String>) -> Result<Binaries, BuildError> {
    packages
        .iter()
        .map(|package| {
            let path = folder.join(package);
            let path = path
                .canonicalize()
                .map_err(|_| BuildError::Missing { path })?;
            Ok((package.clone(), path))
        })
        .collect()
}

/// The folder in which Cargo puts what it builds with `profile` for the workspace in `dir`.
#[must_use]
pub fn target_folder(dir: &Path, profile: &str) -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    // The profiles `dev` and `test` share a folder that is not called like either (the Cargo book, build cache).
    dir.join(target)
        .join(if profile == "dev" { "debug" } else { profile })
}

/// The name and path in Cargo's message about a binary it has made (the Cargo book, external tools: JSON messages).
fn executable(message: &str) -> Option<(String, PathBuf)> {
    #[derive(Deserialize)]
    struct Message {
        reason: String,
        target: Option<Target>,
        executable: Option<PathBuf>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
        kind: Vec<String>,
    }
    let message: Message = serde_json::from_str(message).ok()?;
    let target = message
        .target
        .filter(|target| target.kind.iter().any(|kind| kind == "bin"))?;
    (message.reason == "compiler-artifact").then_some((target.name, message.executable?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargos_messages_name_the_binaries() {
        let bin = r#"{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"shop"},"executable":"/t/shop","fresh":true}"#;
        assert_eq!(
            executable(bin),
            Some(("shop".to_owned(), PathBuf::from("/t/shop")))
        );
        let lib = r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"shop"},"executable":null}"#;
        assert_eq!(executable(lib), None);
        assert_eq!(
            executable(r#"{"reason":"build-finished","success":true}"#),
            None
        );
        assert_eq!(executable("warning: not JSON"), None);
    }
}
