//! Which Compose files are meant: those that are named, those of `COMPOSE_FILE`, or those that are found here or above.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::args::Global;
use super::failure::{Code, Failure};
use super::project::{bad_file, env_files, environment};
use super::terminal::say;
use crate::compose;

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
    let here = std::env::current_dir()?;
    let environment = environment(global);
    // One that cannot be read is said by whoever reads the project, if it is the project's own.
    let read = compose::variables(&here, &env_files(global), &environment);
    let named = of_variables(read.as_ref().unwrap_or(&environment));
    if !named.is_empty() {
        return Ok(named);
    }
    let found = here.ancestors().find_map(|folder| in_folder(folder, &here));
    found.ok_or_else(|| match read {
        Err(found) => bad_file(&found),
        Ok(_) => Failure::new(
            Code::BadFile,
            format!(
                "error: no Compose file in {} or above ({})\n = help: go to the project's folder, or name the file with --file",
                here.display(),
                NAMES.join(", ")
            ),
        ),
    })
}

/// Those that the variables name, of the environment or, as in Compose, of the `.env` here.
fn of_variables(variables: &BTreeMap<String, String>) -> Vec<PathBuf> {
    let separator = variables.get(SEPARATOR).map_or(":", String::as_str);
    let named = variables.get(FILES).map_or("", String::as_str);
    let named = named.split(separator).filter(|path| !path.is_empty());
    named.map(PathBuf::from).collect()
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
    fn variables_name_files_and_what_separates_them() {
        let of = |pairs: &[(&str, &str)]| {
            let pairs = pairs
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()));
            of_variables(&pairs.collect())
        };
        assert!(of(&[("COMPOSE_FILE", "")]).is_empty());
        let both = ["a.yaml", "b:c.yaml"].map(PathBuf::from);
        let separated = [
            ("COMPOSE_FILE", "a.yaml;b:c.yaml"),
            ("COMPOSE_PATH_SEPARATOR", ";"),
        ];
        assert_eq!(of(&separated), both);
        assert_eq!(of(&[("COMPOSE_FILE", "a.yaml:")]), both[..1]);
    }

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
