//! An answer, and what every answer has to be.

use anyhow::{Context, Result, bail, ensure};
use reqwest::header::HeaderMap;
use serde_json::Value;

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The request, for messages: `GET /api/products`.
    pub request: String,
    /// The HTTP status code.
    pub code: u16,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header field's value, when it is there once and is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let first = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(first)
    }

    /// A header field that has to be there, once.
    ///
    /// # Errors
    /// When it is missing, or there more than once.
    pub fn need(&self, name: &str) -> Result<&str> {
        self.header(name)
            .with_context(|| format!("{self}: needs the header {name} exactly once"))
    }

    /// Insists on a status code.
    ///
    /// # Errors
    /// When it is another one.
    pub fn is(&self, code: u16) -> Result<&Self> {
        ensure!(self.code == code, "{self}: expected {code}");
        Ok(self)
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// When the content type or the body says otherwise.
    pub fn json(&self) -> Result<Value> {
        let kind = self.need("content-type")?;
        ensure!(
            kind == "application/json" || kind == "application/json; charset=utf-8",
            "{self}: content-type {kind}"
        );
        serde_json::from_slice(&self.body).with_context(|| format!("{self}: no JSON"))
    }

    /// The body as a problem (RFC 9457) of one of these status codes, in the shape of the contract.
    ///
    /// # Errors
    /// Naming what departs from it.
    pub fn problem(&self, codes: &[u16]) -> Result<Value> {
        ensure!(codes.contains(&self.code), "{self}: expected {codes:?}");
        ensure!(
            self.need("content-type")? == "application/problem+json",
            "{self}: no application/problem+json"
        );
        let problem: Value =
            serde_json::from_slice(&self.body).with_context(|| format!("{self}: no JSON"))?;
        let text = |field: &str| {
            problem[field]
                .as_str()
                .with_context(|| format!("{self}: `{field}` is no text"))
        };
        let slug = text("type")?
            .strip_prefix("urn:underlay:problem:")
            .unwrap_or_default();
        let well_formed =
            !slug.is_empty() && slug.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        ensure!(
            well_formed,
            "{self}: `type` is no urn:underlay:problem:<slug>"
        );
        ensure!(!text("title")?.is_empty(), "{self}: an empty title");
        ensure!(
            problem["status"] == self.code,
            "{self}: `status` is not the status code"
        );
        ensure!(
            text("instance")? == self.need("x-request-id")?,
            "{self}: `instance` is not the x-request-id"
        );
        ensure!(
            problem["detail"].is_string() || problem.get("detail").is_none(),
            "{self}: `detail` is no text"
        );
        for error in problem["errors"].as_array().into_iter().flatten() {
            ensure!(
                error["pointer"].is_string() && error["detail"].is_string(),
                "{self}: an error without pointer and detail"
            );
        }
        Ok(problem)
    }

    /// A problem 422 with an error that points at `pointer` (a JSON pointer, or a parameter's name).
    ///
    /// # Errors
    /// Naming what departs from it.
    pub fn invalid(&self, pointer: &str) -> Result<()> {
        let problem = self.problem(&[422])?;
        let pointers: Vec<&str> = problem["errors"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|error| error["pointer"].as_str())
            .collect();
        ensure!(
            pointers.contains(&pointer),
            "{self}: expected an error at {pointer}"
        );
        Ok(())
    }

    /// What every answer has: one `x-request-id` and one `x-served-by`, and no server error.
    pub(crate) fn ours(self) -> Result<Self> {
        for name in ["x-request-id", "x-served-by"] {
            let value = self.need(name)?;
            ensure!(
                !value.is_empty() && value.len() <= 255,
                "{self}: {name} is {value:?}"
            );
        }
        if self.code >= 500 && self.code != 503 {
            bail!("{self}: a server error");
        }
        Ok(self)
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const SHOWN: usize = 300;
        let text = String::from_utf8_lossy(&self.body);
        let short: String = text.chars().take(SHOWN).collect();
        let dots = if text.chars().count() > SHOWN {
            "..."
        } else {
            ""
        };
        write!(f, "{} -> {} {short}{dots}", self.request, self.code)
    }
}
