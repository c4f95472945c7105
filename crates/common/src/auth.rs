//! Bearer tokens (RFC 6750).

use http::{HeaderMap, HeaderValue, header};

use crate::config::Secret;
use crate::problem::{Problem, Slug};

/// What protects administrative calls: `Authorization: Bearer <token>`, compared in constant time.
///
/// The secret may hold several tokens, each on a line of its own: each opens. While tokens are rotated that is the new one and the
/// one before it; whoever has to show a token shows the [`first`].
#[derive(Debug, Clone, Default)]
pub struct BearerAuth {
    token: Option<Secret>,
}

impl BearerAuth {
    /// Without a token, everybody is refused.
    pub fn new(token: Option<Secret>) -> Self {
        Self { token }
    }

    /// Whether the right token was given: for calls that show more to an administrator, and work without.
    pub fn is_authorized(&self, headers: &HeaderMap) -> bool {
        self.require(headers).is_ok()
    }

    /// 403 when no token is configured, 401 when the request's is missing or wrong.
    pub fn require(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(token) = &self.token else {
            return Err(Problem::new(Slug::Forbidden)
                .detail("this deployment has no token for administrative calls"));
        };
        match bearer(headers) {
            Some(candidate) if is_one_of(token, candidate) => Ok(()),
            Some(_) => Err(unauthorized("the token is wrong")),
            None => Err(unauthorized("this call needs a bearer token")),
        }
    }
}

/// The token to show: the first of those that the secret holds.
pub fn first(tokens: &Secret) -> &str {
    each(tokens).next().unwrap_or_default()
}

/// Compares with each token, also after one has matched.
fn is_one_of(tokens: &Secret, candidate: &[u8]) -> bool {
    each(tokens)
        .map(|token| Secret::new(token).matches(candidate))
        .fold(false, |matches, one| matches | one)
}

/// Not by other white space: half of `pass phrase` must not open.
fn each(tokens: &Secret) -> impl Iterator<Item = &str> {
    let lines = tokens.expose().lines().map(str::trim_ascii);
    lines.filter(|token| !token.is_empty())
}

fn unauthorized(detail: &str) -> Problem {
    Problem::new(Slug::Unauthorized)
        .detail(detail)
        .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

/// The token of an `Authorization: Bearer` header; the scheme's case does not matter (RFC 9110, section 11.1).
pub fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn only_the_exact_token_opens() {
        let auth = BearerAuth::new(Some(Secret::new("s3cret")));
        assert!(auth.is_authorized(&headers("Bearer s3cret")));
        assert!(auth.is_authorized(&headers("bearer s3cret")));
        for wrong in [
            "Bearer s3cre",
            "Bearer s3cret1",
            "Basic s3cret",
            "Bearer ",
            "Bearer",
        ] {
            let problem = auth.require(&headers(wrong)).unwrap_err();
            assert_eq!(problem.status(), 401, "{wrong}");
        }
        let two = Secret::new("new-token\nold-token\n");
        assert_eq!(first(&two), "new-token");
        let auth = BearerAuth::new(Some(two));
        for (value, opens) in [
            ("Bearer new-token", true),
            ("Bearer old-token", true),
            ("Bearer new-token\told-token", false),
            ("Bearer ", false),
        ] {
            assert_eq!(auth.is_authorized(&headers(value)), opens, "{value}");
        }
        let phrase = BearerAuth::new(Some(Secret::new("pass phrase")));
        assert!(phrase.is_authorized(&headers("Bearer pass phrase")));
        assert!(!phrase.is_authorized(&headers("Bearer pass")));
        assert_eq!(
            BearerAuth::new(None)
                .require(&headers("Bearer s3cret"))
                .unwrap_err()
                .status(),
            403
        );
    }
}
