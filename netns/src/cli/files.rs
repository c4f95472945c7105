//! Which Compose files are meant: those that are named, those of `COMPOSE_FILE`, or those that are found here or above.

use std::path::{Path, PathBuf};

use super::args::Global;
use super::failure::{Code, Failure};
use super::terminal::say;

/// The names that are looked for, in this order (the Compose Specification, "Compose file").
const NAMES: [&str; 4] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yaml",
    "docker-compose.yml",
];

/// What overrides the file that was found, where it lies beside it.
const OVERRIDES: [&str; 4] = [
    "compose.override.yaml",
    "compose.override.yml",
    "docker-compose.override.yaml",
    "docker-compose.override.yml",
];

/// Names the files in place of `--file`, and what separates them there.
const FILES: &str = "COMPOSE_FILE";
const SEPARATOR: &str = "COMPOSE_PATH_SEPARATOR";

/// The files, later ones to override earlier ones; never empty.
pub(super) fn files(global: &Global) -> Result<Vec<PathBuf>, Failure> {
    if !global.files.is_empty() {
        return Ok(global.files.clone());
    }
    let separator = std::env::var(SEPARATOR).unwrap_or_else(|_| ":".to_owned());
    let named = std::env::var(FILES).unwrap_or_default();
    let named: Vec<PathBuf> = named
        .split(separator.as_str())
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .collect();
    if !named.is_empty() {
        return Ok(named);
    }
    let here = std::env::current_dir()?;
    let found = here.ancestors().find_map(|folder| in_folder(folder, &here));
    found.ok_or_else(|| {
        Failure::new(
            Code::BadFile,
            format!(
                "error: no Compose file in {} or above ({})\n = help: go to the project's folder, or name the file with --file",
                here.display(),
                NAMES.join(", ")
            ),
        )
    })
}

/// The file of a folder and what overrides it, as seen from `here`; one of each, as in Compose, whatever else there is.
fn in_folder(folder: &Path, here: &Path) -> Option<Vec<PathBuf>> {
    let first = |names: [&str; 4]| {
        let mut there = names.into_iter().filter(|name| folder.join(name).is_file());
        let first = there.next()?;
        for other in there {
            say(&format!(
                "warning: {} holds {first} and {other}: {other} is not read",
                folder.display()
            ));
        }
        let path = folder.join(first);
        Some(path.strip_prefix(here).map(Path::to_owned).unwrap_or(path))
    };
    let file = first(NAMES)?;
    Some(std::iter::once(file).chain(first(OVERRIDES)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_beside_a_file_overrides_it() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().join("deep");
        std::fs::create_dir(&here).unwrap();
        assert_eq!(in_folder(folder.path(), &here), None);
        for name in ["docker-compose.yml", "compose.yaml", "compose.override.yml"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(
            in_folder(folder.path(), folder.path()).unwrap(),
            ["compose.yaml", "compose.override.yml"].map(PathBuf::from)
        );
        assert_eq!(
            in_folder(folder.path(), &here).unwrap()[0],
            folder.path().join("compose.yaml")
        );
    }
}
