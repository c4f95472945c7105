//! Paths of the host, and of the inside of an instance.

use std::path::{Component, Path, PathBuf};

use super::diagnostic::Span;
use super::reader::Reader;

impl Reader<'_> {
    /// A path of the host, relative ones taken from the project's folder, without `.` and `..`.
    pub(super) fn host_path(&self, text: &str) -> PathBuf {
        let expanded = match text.strip_prefix('~') {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                Path::new(self.env.get("HOME").map_or("/", String::as_str))
                    .join(rest.trim_start_matches('/'))
            }
            _ => self.dir.join(text),
        };
        normal(&expanded)
    }

    /// An absolute path inside an instance.
    pub(super) fn inner_path(&mut self, at: Span, text: &str, what: &str) -> Option<PathBuf> {
        let path = Path::new(text);
        if path.is_absolute()
            && path.components().all(|part| part != Component::ParentDir)
            && normal(path) != Path::new("/")
        {
            return Some(normal(path));
        }
        self.error(
            at,
            format!("{what} is `{text}`"),
            "write an absolute path below /, without `..`",
        );
        None
    }
}

/// The path without `.` and with each `..` taken back.
pub(super) fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lose_their_dots() {
        assert_eq!(normal(Path::new("/a/./b/../c")), Path::new("/a/c"));
        assert_eq!(normal(Path::new("/../x")), Path::new("/x"));
    }
}
