//! What is read before anything is understood: the files' texts and the variables.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::diagnostic::{Diagnostic, Source, Span};
use super::dotenv;
use super::reader::normal;

/// What there is to read.
pub(super) struct Gathered {
    pub(super) sources: Vec<Source>,
    /// The folder of the first file.
    pub(super) dir: PathBuf,
    /// The caller's, and those of `.env`.
    pub(super) variables: BTreeMap<String, String>,
    pub(super) warnings: Vec<Diagnostic>,
}

/// The texts of `files`, and of a `.env` beside the first.
pub(super) fn gather(
    files: &[PathBuf],
    env: &BTreeMap<String, String>,
) -> Result<Gathered, Vec<Diagnostic>> {
    let mut sources = Vec::new();
    for path in files {
        match text_of(path) {
            Ok(text) => sources.push(Source {
                path: path.clone(),
                text,
            }),
            Err(error) => {
                let message = format!("{} cannot be read: {error}", path.display());
                return Err(vec![Diagnostic::file(
                    path.clone(),
                    message,
                    "name the Compose file with --file",
                )]);
            }
        }
    }
    let first = files.first().cloned().unwrap_or_default();
    let dir = std::path::absolute(&first)
        .ok()
        .and_then(|path| path.parent().map(normal))
        .unwrap_or_else(|| PathBuf::from("/"));
    let dotenv = dir.join(".env");
    let mut warnings = Vec::new();
    let mut variables = match text_of(&dotenv) {
        Ok(text) => {
            let source = [Source { path: dotenv, text }];
            let place = |line| Span {
                file: 0,
                line,
                column: 1,
            };
            let mut unset = |line, name: &str| {
                let message = format!("the variable `{name}` is not set");
                warnings.push(Diagnostic::new(
                    &source,
                    place(line),
                    message,
                    "an empty text takes its place",
                ));
            };
            dotenv::parse(&source[0].text, &|name| env.get(name).cloned(), &mut unset).map_err(
                |(line, message, remedy)| {
                    vec![Diagnostic::new(&source, place(line), message, remedy)]
                },
            )?
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
        Err(error) => {
            let message = format!("{} cannot be read: {error}", dotenv.display());
            return Err(vec![Diagnostic::file(
                dotenv,
                message,
                "make it readable, or remove it",
            )]);
        }
    };
    variables.extend(
        env.iter()
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    Ok(Gathered {
        sources,
        dir,
        variables,
        warnings,
    })
}

/// Most bytes of a file that is read. A device or a pipe could go on for ever.
const MOST_BYTES: u64 = 1 << 20;

/// The text of a file, within reason.
pub(super) fn text_of(path: &Path) -> io::Result<String> {
    let file = fs::File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut text = String::new();
    file.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    Ok(text)
}
