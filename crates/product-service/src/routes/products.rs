//! Reading the catalogue.

use super::{AppState, X_CACHE};
use crate::cache::Entry;
use crate::cursor;
use crate::domain::{Category, ProductId, Refused};
use crate::search::Search;
use crate::shop::{PageRequest, Source};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use common::problem::{PathParam, Problem, QueryParams, Slug};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;

const DEFAULT_LIMIT: i64 = 20;
const MAX_LIMIT: i64 = 100;

/// Parameters of a list, as they come.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ListQuery {
    q: Option<String>,
    category: Option<String>,
    limit: Option<i64>,
    cursor: Option<String>,
}

impl ListQuery {
    /// An empty `q`, `category` or `cursor` is none.
    fn parse(self) -> Result<PageRequest, Problem> {
        let invalid =
            |pointer: &'static str| move |refused: Refused| Problem::invalid(pointer, refused.0);
        let category = self
            .category
            .filter(|text| !text.is_empty())
            .map(Category::try_from)
            .transpose();
        let search = Search::parse(self.q.as_deref(), category.map_err(invalid("/category"))?);
        let search = search.map_err(invalid("/q"))?;
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Problem::invalid(
                "/limit",
                format!("must be 1 to {MAX_LIMIT}"),
            ));
        }
        let after = self
            .cursor
            .filter(|text| !text.is_empty())
            .map(|text| cursor::decode(search.fingerprint(), &text));
        let after = after
            .transpose()
            .map_err(|bad| Problem::new(Slug::Malformed).field("/cursor", bad.detail()))?;
        Ok(PageRequest {
            search,
            after,
            limit,
        })
    }
}

/// `GET /products`
pub(super) async fn list(
    State(shop): State<AppState>,
    QueryParams(query): QueryParams<ListQuery>,
) -> Result<Response, Problem> {
    match shop.page(&query.parse()?).await? {
        (Entry::Answer { body, .. }, source) => Ok(json(source, body)),
        (Entry::Absent | Entry::Changed, _) => Err(Problem::internal("a page is always an answer")),
    }
}

/// `GET /products/{id}`
pub(super) async fn read(
    State(shop): State<AppState>,
    PathParam(id): PathParam<ProductId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (entry, source) = shop.product(&id).await?;
    let Entry::Answer { etag, body } = entry else {
        return Err(unknown(&id).header(X_CACHE, source.into()));
    };
    let quoted = HeaderValue::try_from(format!("\"{etag}\"")).map_err(Problem::internal)?;
    let mut response = if matches(&headers, &etag) {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        response.headers_mut().insert(X_CACHE, source.into());
        response
    } else {
        json(source, body)
    };
    response.headers_mut().insert(ETAG, quoted);
    // Stock moves: whoever keeps a copy has to ask whether it still holds.
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// 404 for a product.
pub(super) fn unknown(id: &ProductId) -> Problem {
    Problem::new(Slug::NotFound).detail(format!("there is no product {id}"))
}

fn json(source: Source, body: Bytes) -> Response {
    let content_type = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
    ([content_type, (X_CACHE, source.into())], body).into_response()
}

/// Whether `If-None-Match` names the tag: `*` or a list, compared weakly (RFC 9110, section 13.1.2). Our tags hold
/// digits and a dot only, so a comma can only separate.
fn matches(headers: &HeaderMap, etag: &str) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .any(|candidate| {
            let candidate = candidate.trim();
            let opaque = candidate.strip_prefix("W/").unwrap_or(candidate);
            let unquoted = opaque
                .strip_prefix('"')
                .and_then(|rest| rest.strip_suffix('"'));
            candidate == "*" || unquoted == Some(etag)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_none_match_is_a_list_compared_weakly() {
        let matches = |value: &'static str| {
            matches(
                &HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static(value))]),
                "3.17",
            )
        };
        for yes in [r#""3.17""#, r#"W/"3.17""#, r#""x", W/"3.17" "#, "*"] {
            assert!(matches(yes), "{yes}");
        }
        for no in [
            "",
            "\"",
            "3.17",
            r#""3.1""#,
            r#""3.17"#,
            r#"w/"3.17""#,
            "nonsense",
        ] {
            assert!(!matches(no), "{no}");
        }
    }
}
