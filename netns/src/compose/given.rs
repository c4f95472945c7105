//! Files that services are given: the top-level `secrets` and `configs`.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use super::diagnostic::Span;

/// Which of the two kinds a file is. They differ in where it is put, and in who may read about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// In `/run/secrets`.
    Secret,
    /// In `/`, unless the service says otherwise.
    Config,
}

impl FileKind {
    /// The key in the file.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Secret => "secrets",
            Self::Config => "configs",
        }
    }

    /// What one is called.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Config => "config",
        }
    }

    /// Where it is put when the service does not say.
    #[must_use]
    pub fn folder(self) -> &'static Path {
        Path::new(match self {
            Self::Secret => "/run/secrets",
            Self::Config => "/",
        })
    }
}

/// Where a file's content is from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileSource {
    /// A file of the host, absolute.
    File(PathBuf),
    /// A variable.
    Environment(String),
    /// The Compose file itself.
    Content(String),
}

/// One entry of the top-level `secrets` or `configs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GivenFile {
    /// Where its content is from.
    pub source: FileSource,
    /// Its content, unless it is that of a file, which is read when the lab comes up. Never printed.
    #[serde(skip)]
    pub content: Option<Hidden>,
    /// Where the file declares it.
    #[serde(skip)]
    pub at: Span,
}

/// A file in a service's sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileMount {
    /// Of which kind.
    pub kind: FileKind,
    /// Its name at the top level.
    pub name: String,
    /// Absolute path inside.
    pub target: PathBuf,
}

/// A text that shows in no log.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(String);

impl Hidden {
    /// The text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Hidden {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl Serialize for Hidden {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(hidden)")
    }
}
