//! Extractors whose rejections are problems that name the field.

use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, RawPathParams, Request};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use percent_encoding::percent_decode;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;
use serde_path_to_error::Segment;

use super::object::Object;
use super::{Problem, Slug};

/// A JSON body, an object. 415 for another content type, 413 when too large, 400 when it is not JSON, 422 naming the field when it
/// is JSON of another shape.
#[derive(Debug, Clone, Copy)]
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(Slug::UnsupportedMediaType).detail("send application/json"));
        }
        let body =
            Bytes::from_request(request, state)
                .await
                .map_err(|rejection| match rejection.status() {
                    StatusCode::PAYLOAD_TOO_LARGE => Problem::new(Slug::BodyTooLarge),
                    _ => Problem::new(Slug::Malformed)
                        .detail("the body could not be read to its end"),
                })?;
        parse_json(&body).map(Self)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = value
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// Reads JSON the way [`JsonBody`] does.
pub(crate) fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let malformed = |detail: String| Problem::new(Slug::Malformed).detail(detail);
    let text = std::str::from_utf8(body)
        .map_err(|error| malformed(format!("the body is not UTF-8: {error}")))?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let Object(value) = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = pointer(error.path().iter());
        let inner = error.into_inner();
        // A body of another shape may be broken further on: what is no JSON at all is that first.
        let syntax = serde_json::from_str::<IgnoredAny>(text).err();
        match inner.classify() {
            Category::Data if syntax.is_none() => {
                let detail = without_position(&inner.to_string());
                Problem::invalid(with_named_field(path, &detail), detail)
            }
            _ => malformed(format!("the body is not JSON: {}", syntax.unwrap_or(inner))),
        }
    })?;
    deserializer
        .end()
        .map_err(|error| malformed(format!("the body is not JSON: {error}")))?;
    Ok(value)
}

/// RFC 6901, with its two escapes.
fn pointer<'a>(segments: impl Iterator<Item = &'a Segment>) -> String {
    segments.fold(String::new(), |path, segment| match segment {
        Segment::Seq { index } => format!("{path}/{index}"),
        Segment::Map { key } => format!("{path}/{}", key.replace('~', "~0").replace('/', "~1")),
        Segment::Enum { variant } => format!("{path}/{variant}"),
        Segment::Unknown => path,
    })
}

/// serde reports a missing field at the object that should have it: point at the field itself. (Unknown fields are in
/// the path already.)
fn with_named_field(path: String, detail: &str) -> String {
    let field = ["missing field `", "duplicate field `"]
        .iter()
        .find_map(|prefix| detail.strip_prefix(prefix)?.split('`').next());
    match field {
        Some(field) if !path.ends_with(&format!("/{field}")) => format!("{path}/{field}"),
        _ => path,
    }
}

fn without_position(text: &str) -> String {
    text.rfind(" at line ")
        .map_or(text, |at| &text[..at])
        .to_owned()
}

/// Query parameters. 400 when they are not UTF-8, 422 naming the parameter when one does not fit.
#[derive(Debug, Clone, Copy)]
pub struct QueryParams<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for QueryParams<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        if percent_decode(query).decode_utf8().is_err() {
            return Err(Problem::new(Slug::Malformed).detail("the query is not UTF-8"));
        }
        let deserializer = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query));
        serde_path_to_error::deserialize(deserializer)
            .map(Self)
            .map_err(|error| {
                let path = pointer(error.path().iter());
                let detail = error.into_inner().to_string();
                Problem::invalid(with_named_field(path, &detail), detail)
            })
    }
}

/// Path parameters. 400 when one is not UTF-8, 422 naming it when it does not fit.
#[derive(Debug, Clone, Copy)]
pub struct PathParam<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for PathParam<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let rejection = match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(value)) => return Ok(Self(value)),
            Err(rejection) => rejection,
        };
        let PathRejection::FailedToDeserializePathParams(failed) = rejection else {
            return Err(Problem::internal(rejection));
        };
        Err(match failed.into_kind() {
            ErrorKind::InvalidUtf8InPathParam { key } => {
                Problem::new(Slug::Malformed).field(format!("/{key}"), "is not UTF-8")
            }
            ErrorKind::ParseErrorAtKey {
                key, expected_type, ..
            } => Problem::invalid(format!("/{key}"), format!("is not a {expected_type}")),
            ErrorKind::DeserializeError { key, message, .. } => {
                Problem::invalid(format!("/{key}"), message)
            }
            kind => Problem::invalid(only_parameter(parts, state).await, kind.to_string()),
        })
    }
}

/// A type that checks itself after it was read reports no key: with a single parameter there is no doubt which it was.
async fn only_parameter<S: Send + Sync>(parts: &mut Parts, state: &S) -> String {
    let Ok(params) = RawPathParams::from_request_parts(parts, state).await else {
        return String::new();
    };
    let mut names = params.iter().map(|(name, _)| name);
    match (names.next(), names.next()) {
        (Some(name), None) => format!("/{name}"),
        _ => String::new(),
    }
}
