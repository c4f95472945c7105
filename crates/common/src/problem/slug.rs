//! The closed list of problem kinds.

use http::StatusCode;

macro_rules! slugs {
    ($($variant:ident $slug:literal $status:ident $title:literal;)*) => {
        /// What kind of problem: the last part of `urn:underlay:problem:<slug>`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Slug {
            $(#[doc = concat!("`", $slug, "`: ", $title, ".")] $variant,)*
        }

        impl Slug {
            /// Every kind, for the documents.
            pub const ALL: &[Slug] = &[$(Slug::$variant),*];

            /// The slug itself.
            pub fn as_str(self) -> &'static str {
                match self { $(Slug::$variant => $slug),* }
            }

            /// The kind in a few words, the same for every occurrence.
            pub fn title(self) -> &'static str {
                match self { $(Slug::$variant => $title),* }
            }

            /// The status it is answered with.
            pub fn status(self) -> StatusCode {
                match self { $(Slug::$variant => StatusCode::$status),* }
            }
        }
    };
}

slugs! {
    Malformed "malformed" BAD_REQUEST "The request cannot be read";
    Invalid "invalid" UNPROCESSABLE_ENTITY "The request is well-formed but invalid";
    Unauthorized "unauthorized" UNAUTHORIZED "Authentication is required";
    Forbidden "forbidden" FORBIDDEN "The call is not permitted";
    NotFound "not-found" NOT_FOUND "There is nothing here";
    MethodNotAllowed "method-not-allowed" METHOD_NOT_ALLOWED "The method is not allowed here";
    NotAcceptable "not-acceptable" NOT_ACCEPTABLE "No acceptable representation";
    RequestTimeout "request-timeout" REQUEST_TIMEOUT "The request took too long to arrive";
    Conflict "conflict" CONFLICT "The request conflicts with the current state";
    Stale "stale" CONFLICT "The version is not the current one";
    ShortStock "short-stock" CONFLICT "There is not enough stock";
    Released "released" CONFLICT "The reservation was released";
    Generation "generation" CONFLICT "A newer generation is known";
    KeyReused "idempotency-key-reused" UNPROCESSABLE_ENTITY "The idempotency key belongs to another request";
    KeyInUse "idempotency-key-in-use" CONFLICT "A request with this idempotency key is still running";
    KeyMissing "idempotency-key-missing" BAD_REQUEST "An idempotency key is required";
    BodyTooLarge "body-too-large" PAYLOAD_TOO_LARGE "The body is too large";
    UriTooLong "uri-too-long" URI_TOO_LONG "The request target is too long";
    UnsupportedMediaType "unsupported-media-type" UNSUPPORTED_MEDIA_TYPE "The content type is not supported";
    HeadersTooLarge "headers-too-large" REQUEST_HEADER_FIELDS_TOO_LARGE "The headers are too large";
    TooManyRequests "too-many-requests" TOO_MANY_REQUESTS "Too many requests";
    Internal "internal" INTERNAL_SERVER_ERROR "Something went wrong on our side";
    NotImplemented "not-implemented" NOT_IMPLEMENTED "Not supported";
    BadGateway "bad-gateway" BAD_GATEWAY "The service behind gave no usable answer";
    Unavailable "unavailable" SERVICE_UNAVAILABLE "Not available right now";
    GatewayTimeout "gateway-timeout" GATEWAY_TIMEOUT "The service behind took too long";
}
