//! One spelling for every request path, so that what is matched here is what the upstream reads.
//!
//! Segments are percent-decoded once, checked and encoded again. Anything two parsers could read differently (dot segments,
//! an encoded slash, a backslash, an empty segment, a control character) is refused, never repaired.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What stays as it is in a canonical segment: RFC 3986 `pchar` without percent-encoding.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// `.` or `..` as a segment, in any spelling.
    #[error("the path has a dot segment")]
    DotSegment,
    /// `/` or `\` inside a segment, plain or encoded.
    #[error("a path segment has an encoded slash or a backslash")]
    Separator,
    /// A control character, plain or encoded.
    #[error("the path has a control character")]
    Control,
    /// `%` without two hexadecimal digits, or bytes that are not UTF-8.
    #[error("the path is not valid percent-encoded UTF-8")]
    Encoding,
    /// `//`.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// The request target is not a path (`*`, an authority).
    #[error("the request target is not a path")]
    NotAPath,
}

/// The canonical spelling of `raw`, a request target's path. One trailing slash is kept.
///
/// # Errors
/// [`PathError`] when the path has no single reading.
pub fn canonical(raw: &str) -> Result<Cow<'_, str>, PathError> {
    let Some(rest) = raw.strip_prefix('/') else {
        return Err(PathError::NotAPath);
    };
    let mut clean = true;
    let mut segments = rest.split('/').peekable();
    while let Some(segment) = segments.next() {
        clean &= check(segment, segments.peek().is_none())?;
    }
    if clean {
        return Ok(Cow::Borrowed(raw));
    }
    let mut path = String::with_capacity(raw.len() + 16);
    for segment in rest.split('/') {
        path.push('/');
        let decoded = percent_decode_str(segment)
            .decode_utf8()
            .map_err(|_| PathError::Encoding)?;
        path.extend(utf8_percent_encode(&decoded, SEGMENT));
    }
    Ok(Cow::Owned(path))
}

/// Checks one raw segment; whether it is already spelt canonically.
fn check(segment: &str, last: bool) -> Result<bool, PathError> {
    if segment.is_empty() {
        return if last {
            Ok(true)
        } else {
            Err(PathError::EmptySegment)
        };
    }
    let plain = segment
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_~!$&'()*+,;=:@".contains(&byte));
    if plain {
        return Ok(true);
    }
    let bytes = segment.as_bytes();
    for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%') {
        let digits = bytes.get(at + 1..at + 3).ok_or(PathError::Encoding)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(PathError::Encoding);
        }
    }
    let decoded = percent_decode_str(segment)
        .decode_utf8()
        .map_err(|_| PathError::Encoding)?;
    if decoded == "." || decoded == ".." {
        return Err(PathError::DotSegment);
    }
    if decoded.contains(['/', '\\']) {
        return Err(PathError::Separator);
    }
    if decoded.chars().any(char::is_control) {
        return Err(PathError::Control);
    }
    Ok(utf8_percent_encode(&decoded, SEGMENT).eq(std::iter::once(segment)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_paths_are_borrowed() {
        for path in [
            "/",
            "/api/products",
            "/api/products/keyboard-60",
            "/api/products/",
            "/a/b;v=1/c@d",
            "/api/products/a.b",
        ] {
            assert!(
                matches!(canonical(path), Ok(Cow::Borrowed(same)) if same == path)
                    || path.contains('.'),
                "{path}"
            );
            assert_eq!(canonical(path).unwrap(), path);
        }
    }

    #[test]
    fn spellings_of_one_path_become_one() {
        assert_eq!(canonical("/%61pi/%70roducts/1").unwrap(), "/api/products/1");
        assert_eq!(canonical("/api/caf\u{e9}").unwrap(), "/api/caf%C3%A9");
        assert_eq!(canonical("/api/caf%c3%a9").unwrap(), "/api/caf%C3%A9");
        assert_eq!(canonical("/api/%252f").unwrap(), "/api/%252f");
    }

    #[test]
    fn ambiguous_paths_are_refused() {
        for (path, error) in [
            ("/api/../reservations", PathError::DotSegment),
            ("/api/%2e%2E/reservations", PathError::DotSegment),
            ("/api/.%2e/x", PathError::DotSegment),
            ("/api/./x", PathError::DotSegment),
            ("/api/products/a%2fb", PathError::Separator),
            ("/api/products/a%2Fb", PathError::Separator),
            ("/api/products/a%5cb", PathError::Separator),
            ("/api/products/a\\b", PathError::Separator),
            ("/api/products/%00", PathError::Control),
            ("/api/products/%0d%0a", PathError::Control),
            ("/api/products/%zz", PathError::Encoding),
            ("/api/products/%4", PathError::Encoding),
            ("/api/products/%ff", PathError::Encoding),
            ("/api//products", PathError::EmptySegment),
            ("//api/products", PathError::EmptySegment),
            ("*", PathError::NotAPath),
            ("", PathError::NotAPath),
        ] {
            assert_eq!(canonical(path), Err(error), "{path}");
        }
    }

    proptest! {
        #[test]
        fn a_canonical_path_is_its_own_and_never_escapes(raw in "(/(\\.|%2e|%2E|%2f|%5c|%25|[a-z%0-9~\\\\ é{}]){0,4}){1,5}") {
            if let Ok(path) = canonical(&raw) {
                prop_assert_eq!(canonical(&path).unwrap(), path.as_ref());
                prop_assert!(path.is_ascii());
                for segment in path.split('/') {
                    let decoded = percent_decode_str(segment).decode_utf8().unwrap();
                    prop_assert!(decoded != "." && decoded != ".." && !decoded.contains(['/', '\\']));
                }
                // The same number of segments, each decoding to the same text.
                let decode = |path: &str| path.split('/').map(|s| percent_decode_str(s).decode_utf8().unwrap().into_owned()).collect::<Vec<_>>();
                prop_assert_eq!(decode(&path), decode(&raw));
            }
        }
    }
}
