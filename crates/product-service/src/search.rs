//! What `q` and `category` mean: a query normalised once, so that equal questions share a cache entry and a cursor.

use crate::domain::{Category, Refused};
use sha2::{Digest, Sha256};

/// Longest search text, in characters.
pub const MAX_QUERY: usize = 100;
/// Most words looked for; more would only slow the scan down.
pub const MAX_TERMS: usize = 8;

/// A normalised question to the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// Lower-case words, sorted, each once; a product matches when its text holds all of them.
    terms: Vec<String>,
    category: Option<Category>,
}

impl Search {
    /// Parses `q`; blank is the same as none. The category is already checked.
    ///
    /// # Errors
    /// `q` is too long, holds control characters or too many words.
    pub fn parse(q: Option<&str>, category: Option<Category>) -> Result<Self, Refused> {
        let q = q.unwrap_or_default();
        if q.chars().count() > MAX_QUERY {
            return Err(Refused(format!(
                "must be at most {MAX_QUERY} characters long"
            )));
        }
        if q.chars().any(|c| c.is_control() && !c.is_whitespace()) {
            return Err(Refused("must not hold control characters".into()));
        }
        let mut terms: Vec<String> = q
            .to_lowercase()
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        terms.sort_unstable();
        terms.dedup();
        if terms.len() > MAX_TERMS {
            return Err(Refused(format!("must be at most {MAX_TERMS} words")));
        }
        Ok(Self { terms, category })
    }

    /// The category asked for.
    pub fn category(&self) -> Option<&str> {
        self.category.as_ref().map(Category::as_str)
    }

    /// One `LIKE` pattern a word, with the wildcards in the word itself taken literally.
    pub fn patterns(&self) -> Vec<String> {
        self.terms.iter().map(|term| like_pattern(term)).collect()
    }

    /// Identifies the question (not the page): what cursors are bound to and cache keys begin with.
    pub fn fingerprint(&self) -> [u8; 8] {
        let mut hash = Sha256::new();
        for part in self.terms.iter().map(String::as_str) {
            hash.update(part);
            hash.update([0]); // terms hold no NUL, so no two questions spell the same bytes
        }
        hash.update([1]);
        hash.update(self.category().unwrap_or_default());
        let digest = hash.finalize();
        let mut short = [0; 8];
        short.copy_from_slice(&digest[..8]);
        short
    }
}

/// `%term%` with `%`, `_` and `\` escaped (PostgreSQL's default escape character is the backslash).
fn like_pattern(term: &str) -> String {
    let mut pattern = String::with_capacity(term.len() + 2);
    pattern.push('%');
    for c in term.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn search(q: &str) -> Search {
        Search::parse(Some(q), None).unwrap()
    }

    #[test]
    fn equal_questions_are_one() {
        assert_eq!(search(" Wireless  MOUSE "), search("mouse wireless mouse"));
        assert_eq!(search("  "), Search::parse(None, None).unwrap());
        assert_ne!(
            search("mouse").fingerprint(),
            search("mous e").fingerprint()
        );
        let category = Category::try_from("mouse".to_owned()).unwrap();
        assert_ne!(
            search("mouse").fingerprint(),
            Search::parse(None, Some(category)).unwrap().fingerprint()
        );
    }

    #[test]
    fn wildcards_are_literal() {
        assert_eq!(search(r"50%_\").patterns(), [r"%50\%\_\\%"]);
    }

    #[test]
    fn limits() {
        assert!(Search::parse(Some("a\0b"), None).is_err());
        assert!(Search::parse(Some(&"a".repeat(101)), None).is_err());
        assert!(Search::parse(Some("a b c d e f g h i"), None).is_err());
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused_and_order_never_matters(mut words in prop::collection::vec("[a-zé%_]{1,6}", 0..8)) {
            let forward = search(&words.join(" "));
            words.reverse();
            prop_assert_eq!(forward.fingerprint(), search(&words.join("  ")).fingerprint());
        }
    }
}
