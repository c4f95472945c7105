//! What is wrong with a file, where, and what to do about it, shown the way a compiler does.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// A place in one of the files read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Span {
    /// Index into the sources.
    pub file: u16,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// A file as it was read.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its path, as the caller named it.
    pub path: PathBuf,
    /// Its whole text.
    pub text: String,
}

/// One thing that is wrong. Its `Display` is several lines: message, place, the source line with a caret, remedy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The file, as the caller named it.
    pub file: PathBuf,
    /// Line, from 1; 0 when the problem is the file itself (it cannot be read).
    pub line: u32,
    /// Column in characters, from 1; 0 like `line`.
    pub column: u32,
    /// What is wrong, in one sentence, naming the key or value.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
    /// The line of the file that is meant, without its line end.
    #[serde(skip)]
    pub excerpt: String,
}

impl Diagnostic {
    /// A diagnostic about a place in `sources`.
    #[must_use]
    pub fn new(
        sources: &[Source],
        at: Span,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let source = sources.get(usize::from(at.file));
        Self {
            file: source.map(|source| source.path.clone()).unwrap_or_default(),
            line: at.line,
            column: at.column,
            message: message.into(),
            remedy: remedy.into(),
            excerpt: source
                .and_then(|source| source.text.lines().nth(at.line.checked_sub(1)? as usize))
                .unwrap_or_default()
                .to_owned(),
        }
    }

    /// A diagnostic about a file as a whole.
    #[must_use]
    pub fn file(path: PathBuf, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            file: path,
            line: 0,
            column: 0,
            message: message.into(),
            remedy: remedy.into(),
            excerpt: String::new(),
        }
    }
}

impl Diagnostic {
    /// The same as one line, for something that is only worth a word.
    #[must_use]
    pub fn warning(&self) -> String {
        let (file, line, column) = (self.file.display(), self.line, self.column);
        match line {
            0 => format!("warning: {file}: {}; {}", self.message, self.remedy),
            _ => format!(
                "warning: {file}:{line}:{column}: {}; {}",
                self.message, self.remedy
            ),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}", self.message)?;
        let gutter = self.line.to_string().len();
        if self.line == 0 {
            writeln!(f, " --> {}", self.file.display())?;
        } else {
            writeln!(
                f,
                "{:gutter$}--> {}:{}:{}",
                "",
                self.file.display(),
                self.line,
                self.column
            )?;
            writeln!(f, "{:gutter$} |", "")?;
            writeln!(f, "{} | {}", self.line, self.excerpt)?;
            // A tab stays a tab under the line, so that the caret stands below its character at any tab width.
            let indent: String = self
                .excerpt
                .chars()
                .take((self.column as usize).saturating_sub(1))
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            writeln!(f, "{:gutter$} | {indent}^", "")?;
        }
        write!(f, "{:gutter$} = help: {}", "", self.remedy)
    }
}

impl std::error::Error for Diagnostic {}
