//! What is read before anything is understood: the files' texts and the variables.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::diagnostic::{Diagnostic, Source, Span};
use super::dotenv;
use super::paths::normal;

/// A Compose file that is called so is read from standard input, as if it lay in the folder that one is in.
const STDIN: &str = "-";

/// What there is to read.
pub(super) struct Gathered {
    pub(super) sources: Vec<Source>,
    /// The folder of the first file.
    pub(super) dir: PathBuf,
    /// The caller's, and those of `.env` or of the files named in its place.
    pub(super) variables: BTreeMap<String, String>,
    pub(super) warnings: Vec<Diagnostic>,
}

/// The texts of `files`, and the variables of `env_files`; where none is named, of a `.env` beside the first file.
pub(super) fn gather(
    files: &[PathBuf],
    env_files: &[PathBuf],
    env: &BTreeMap<String, String>,
) -> Result<Gathered, Vec<Diagnostic>> {
    let mut sources = Vec::new();
    for path in files {
        let text = match path.as_os_str() == STDIN {
            true => bounded(io::stdin().lock()),
            false => text_of(path),
        };
        let text =
            text.map_err(|error| unreadable(path, &error, "name the Compose file with --file"))?;
        sources.push(Source {
            path: path.clone(),
            text,
        });
    }
    let first = files.first().cloned().unwrap_or_default();
    let dir = std::path::absolute(&first)
        .ok()
        .and_then(|path| path.parent().map(normal))
        .unwrap_or_else(|| PathBuf::from("/"));
    let mut warnings = Vec::new();
    let variables = variables(&dir, env_files, env, &mut warnings)?;
    Ok(Gathered {
        sources,
        dir,
        variables,
        warnings,
    })
}

/// The caller's variables, which win, and those of `env_files`; where none is named, of a `.env` in `dir`.
pub(super) fn variables(
    dir: &Path,
    env_files: &[PathBuf],
    env: &BTreeMap<String, String>,
    warnings: &mut Vec<Diagnostic>,
) -> Result<BTreeMap<String, String>, Vec<Diagnostic>> {
    let mut variables = BTreeMap::new();
    if env_files.is_empty() {
        let dotenv = dir.join(".env");
        match text_of(&dotenv) {
            Ok(text) => assignments(dotenv, text, env, &mut variables, warnings)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(unreadable(
                    &dotenv,
                    &error,
                    "make it readable, or remove it",
                ));
            }
        }
    }
    for path in env_files {
        let text = text_of(path)
            .map_err(|error| unreadable(path, &error, "name another with --env-file"))?;
        assignments(path.clone(), text, env, &mut variables, warnings)?;
    }
    variables.extend(
        env.iter()
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    Ok(variables)
}

fn unreadable(path: &Path, error: &io::Error, remedy: &str) -> Vec<Diagnostic> {
    let message = format!("{} cannot be read: {error}", path.display());
    vec![Diagnostic::file(path.to_owned(), message, remedy)]
}

/// Adds the assignments of a file to `variables`; those of earlier files can be used in it, and are replaced by its own.
fn assignments(
    path: PathBuf,
    text: String,
    env: &BTreeMap<String, String>,
    variables: &mut BTreeMap<String, String>,
    warnings: &mut Vec<Diagnostic>,
) -> Result<(), Vec<Diagnostic>> {
    let source = [Source { path, text }];
    let place = |line| Span {
        file: 0,
        line,
        column: 1,
    };
    let mut unset = |line, name: &str| {
        let message = format!("the variable `{name}` is not set");
        let remedy = "an empty text takes its place";
        warnings.push(Diagnostic::new(&source, place(line), message, remedy));
    };
    let lookup = |name: &str| env.get(name).or_else(|| variables.get(name)).cloned();
    let found = dotenv::parse(&source[0].text, &lookup, &mut unset).map_err(
        |(line, message, remedy)| vec![Diagnostic::new(&source, place(line), message, remedy)],
    )?;
    variables.extend(found);
    Ok(())
}

/// Most bytes of a file that is read. A device or a pipe could go on for ever.
const MOST_BYTES: u64 = 1 << 20;

/// `/dev/null` (`null(4)`).
const NULL: u64 = libc::makedev(1, 3);

/// The text of a file, within reason.
pub(super) fn text_of(path: &Path) -> io::Result<String> {
    let file = fs::File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    let metadata = file.metadata()?;
    if metadata.file_type().is_char_device() && metadata.rdev() == NULL {
        return Ok(String::new()); // as people say that they have no such file
    }
    if !metadata.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    bounded(file)
}

fn bounded(source: impl io::Read) -> io::Result<String> {
    let mut text = String::new();
    source.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_null_device_is_an_empty_file_and_no_other_device_one() {
        assert_eq!(text_of(Path::new("/dev/null")).unwrap(), "");
        assert!(text_of(Path::new("/dev/zero")).is_err());
    }
}
