//! The programs of the services that are Cargo packages: built, or found where they are.

use std::path::PathBuf;

use super::failure::{Code, Failure};
use super::up::Up;
use crate::compose::Project;
use crate::lab::build::{self, Binaries, BuildError};
use crate::lab::launch;

/// In place of `--bin-dir`; what is asked for on the command line wins.
const BIN_DIR: &str = "NETNS_BIN_DIR";

/// Those that a project needs, as the options of `up` have them.
pub(super) fn binaries(up: &Up, project: &Project) -> Result<Binaries, Failure> {
    let packages = launch::packages(project);
    let named = std::env::var_os(BIN_DIR).filter(|folder| !folder.is_empty() && !up.build);
    let folder = up.bin_dir.clone().or_else(|| named.map(PathBuf::from));
    let result = match folder {
        Some(folder) => build::built(&folder, &packages),
        None if up.no_build => build::built(
            &build::target_folder(&project.dir, &up.cargo_profile),
            &packages,
        ),
        None => build::build(&project.dir, &packages, &up.cargo_profile),
    };
    result.map_err(|error| {
        let code = match error {
            BuildError::NoCargo(_) => Code::Environment,
            _ => Code::Failed,
        };
        Failure::new(code, error.to_string())
    })
}
