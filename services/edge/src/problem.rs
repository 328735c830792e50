//! Errors as HTTP shows them: problem documents (RFC 9457).
//!
//! A handler answers with a [`Problem`]; the outermost layer, [`render`], writes it out once the path and the request
//! id are known. An answer of 400 or more that no handler of ours made becomes a problem there as well, so that a
//! client meets one form of error only.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use kinora_mesh::error::{Kind, PublicError};
use kinora_mesh::trace::RequestId;
use serde::{Deserialize, Serialize};

/// Where reasons are explained; a reason in kebab case follows.
const TYPE_PREFIX: &str = "https://kinora.dev/errors/";

/// How long a client should wait before it asks again after a 503.
const RETRY_AFTER_SECONDS: &str = "2";

/// An error on its way to the client. Boxed, so that results which may carry one stay small.
#[derive(Clone, Debug)]
pub struct Problem(Box<Content>);

#[derive(Clone, Debug)]
struct Content {
    status: StatusCode,
    reason: String,
    detail: String,
    metadata: BTreeMap<String, String>,
    errors: Vec<FieldError>,
    headers: HeaderMap,
}

/// A field, header or parameter that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// Its name.
    pub field: String,
    /// A sentence that says what was expected.
    pub detail: String,
}

/// The body of an `application/problem+json` answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemDocument {
    /// URL that names the reason.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// A sentence for the caller.
    pub detail: String,
    /// The path that was asked for.
    pub instance: String,
    /// UPPER_SNAKE reason, the same as over gRPC.
    pub reason: String,
    /// Every dynamic part of the detail.
    pub metadata: BTreeMap<String, String>,
    /// The fields that are wrong.
    pub errors: Vec<FieldError>,
    /// Names this request in the logs.
    pub request_id: String,
}

impl Problem {
    /// Makes a problem without metadata or fields.
    #[must_use]
    pub fn new(status: StatusCode, reason: &str, detail: impl Into<String>) -> Self {
        Self(Box::new(Content {
            status,
            reason: reason.to_owned(),
            detail: detail.into(),
            metadata: BTreeMap::new(),
            errors: Vec::new(),
            headers: HeaderMap::new(),
        }))
    }

    /// A field, header or parameter that cannot be taken as it is.
    #[must_use]
    pub fn invalid(field: &str, detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "INVALID_ARGUMENT",
            "the request is not valid",
        )
        .with_field(field, detail)
    }

    /// No such video, or not the caller's.
    #[must_use]
    pub fn video_not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "JOB_NOT_FOUND",
            "there is no such video",
        )
    }

    /// No such thing of this kind, or not the caller's. The reason is the one that the scheduler gives.
    #[must_use]
    pub fn not_found(reason: &str, what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            reason,
            format!("there is no such {what}"),
        )
    }

    /// No such path.
    #[must_use]
    pub fn route_not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "ROUTE_NOT_FOUND",
            "there is nothing at this path",
        )
    }

    /// The path is there, the method is not.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        let detail = "this path does not answer that method";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", detail)
    }

    /// The caller is not known.
    #[must_use]
    pub fn unauthenticated(reason: &str, detail: &str) -> Self {
        PublicError::new(Kind::Unauthenticated, reason, detail).into()
    }

    /// A part of the mesh is away; the caller may try again in a moment.
    #[must_use]
    pub fn unavailable(reason: &str, detail: &str) -> Self {
        PublicError::new(Kind::Unavailable, reason, detail).into()
    }

    /// A call behind the edge took too long.
    #[must_use]
    pub fn deadline_exceeded() -> Self {
        let detail = "the answer took too long; it is safe to ask again with the same key";
        Self::new(StatusCode::GATEWAY_TIMEOUT, "DEADLINE_EXCEEDED", detail)
    }

    /// Something failed on our side.
    #[must_use]
    pub fn internal() -> Self {
        let detail = "something failed on our side; the request id helps us find it";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", detail)
    }

    /// Names a field that is wrong.
    #[must_use]
    pub fn with_field(mut self, field: &str, detail: impl Into<String>) -> Self {
        self.0.errors.push(FieldError {
            field: field.to_owned(),
            detail: detail.into(),
        });
        self
    }

    /// Adds one machine-readable value.
    #[must_use]
    pub fn with_metadata(mut self, key: &str, value: impl Into<String>) -> Self {
        self.0.metadata.insert(key.to_owned(), value.into());
        self
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.0.headers.insert(name, HeaderValue::from_static(value));
        self
    }

    /// Adds a header whose value is not known beforehand.
    #[must_use]
    pub fn with_header_value(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// A problem for a bare status, as layers and the HTTP stack answer with.
    fn of_status(status: StatusCode) -> Self {
        let title = title(status);
        let reason = title.to_ascii_uppercase().replace([' ', '-'], "_");
        Self::new(status, &reason, title.to_ascii_lowercase())
    }

    fn document(self, instance: String, request_id: String) -> ProblemDocument {
        let content = *self.0;
        ProblemDocument {
            kind: format!(
                "{TYPE_PREFIX}{}",
                content.reason.to_ascii_lowercase().replace('_', "-")
            ),
            title: title(content.status).to_owned(),
            status: content.status.as_u16(),
            detail: content.detail,
            instance,
            reason: content.reason,
            metadata: content.metadata,
            errors: content.errors,
            request_id,
        }
    }
}

impl From<PublicError> for Problem {
    fn from(error: PublicError) -> Self {
        let status =
            StatusCode::from_u16(error.kind.http()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let challenge = challenge(&error);
        let mut problem = Self::new(status, &error.reason, error.message);
        problem
            .0
            .headers
            .extend(challenge.map(|value| (WWW_AUTHENTICATE, value)));
        problem.0.metadata = error.metadata.into_iter().collect();
        for violation in error.violations {
            problem = problem.with_field(&violation.field, violation.description);
        }
        if matches!(error.kind, Kind::Unavailable | Kind::ResourceExhausted) {
            problem = problem.with_header(RETRY_AFTER, RETRY_AFTER_SECONDS);
            if let Some(delay) = error.retry_after {
                // The header counts whole seconds; never too early.
                let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
                problem.0.headers.insert(RETRY_AFTER, seconds.max(1).into());
            }
        }
        problem
    }
}

/// What a client needs to get further (RFC 6750, RFC 9470). The same for keys, which may stand in the same header.
fn challenge(error: &PublicError) -> Option<HeaderValue> {
    let realm = "Bearer realm=\"kinora\"";
    let text = match (error.kind, error.reason.as_str()) {
        (Kind::Unauthenticated, "TOKEN_MISSING") => realm.to_owned(),
        (Kind::Unauthenticated, _) => format!("{realm}, error=\"invalid_token\""),
        (Kind::PermissionDenied, "SCOPE_MISSING") => {
            let scope = error.metadata.iter().find(|(name, _)| name == "scope");
            let scope = scope.map_or("", |(_, scope)| scope.as_str());
            format!("{realm}, error=\"insufficient_scope\", scope=\"{scope}\"")
        }
        (Kind::PermissionDenied, "STEP_UP_REQUIRED") => {
            format!("{realm}, error=\"insufficient_user_authentication\", max_age=\"600\"")
        }
        _ => return None,
    };
    HeaderValue::from_str(&text).ok()
}

impl From<tonic::Status> for Problem {
    fn from(status: tonic::Status) -> Self {
        PublicError::from_status(&status).into()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.0.status.into_response();
        response.headers_mut().extend(self.0.headers.clone());
        response.extensions_mut().insert(self);
        response
    }
}

/// Turns every answer of 400 or more into a problem document.
pub async fn render(request: Request, next: Next) -> Response {
    let instance = request.uri().path().to_owned();
    let request_id = request
        .extensions()
        .get::<RequestId>()
        .map(|id| id.0.clone())
        .unwrap_or_default();
    let mut response = next.run(request).await;
    let problem = response.extensions_mut().remove::<Problem>();
    let is_error = response.status().is_client_error() || response.status().is_server_error();
    let problem = match problem {
        Some(problem) => problem,
        None if is_error => Problem::of_status(response.status()),
        None => return response,
    };
    let body = serde_json::to_vec(&problem.document(instance, request_id)).unwrap_or_default();
    *response.body_mut() = Body::from(body);
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    response
}

/// What a panic in a handler answers; the panic itself is logged by the runtime's hook.
#[must_use]
pub fn of_panic(_: Box<dyn std::any::Any + Send + 'static>) -> Response {
    tracing::error!("a handler panicked");
    Problem::internal().into_response()
}

/// The status in words. 499 has no name of its own in the registry.
fn title(status: StatusCode) -> &'static str {
    if status.as_u16() == 499 {
        return "Client Closed Request";
    }
    status.canonical_reason().unwrap_or("Error")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_type_is_the_reason_in_kebab_case() {
        let problem = Problem::new(
            StatusCode::CONFLICT,
            "NOT_READY",
            "the clip is not there yet",
        );
        let document = problem.document("/v1/videos/x/content".to_owned(), "r".to_owned());
        assert_eq!(document.kind, "https://kinora.dev/errors/not-ready");
        assert_eq!(
            (document.status, document.title.as_str()),
            (409, "Conflict")
        );
    }

    #[test]
    fn unavailable_says_when_to_come_back() {
        let response = Problem::from(tonic::Status::unavailable("dns error")).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[RETRY_AFTER], RETRY_AFTER_SECONDS);
    }

    #[test]
    fn a_service_says_itself_when_to_come_back() {
        let check = |millis: u64, expected: &str| {
            let error = PublicError::new(Kind::ResourceExhausted, "QUEUE_FULL", "it is full")
                .with_retry_after(Duration::from_millis(millis));
            let status = tonic::Status::from(error);
            let response = Problem::from(status).into_response();
            assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
            assert_eq!(response.headers()[RETRY_AFTER], expected);
            assert_eq!(response.headers().get_all(RETRY_AFTER).iter().count(), 1);
        };
        check(30_000, "30");
        check(1_200, "2");
        check(0, "1");
    }

    #[test]
    fn client_is_told_what_it_needs_to_get_further() {
        let check = |kind, reason: &str, expected: Option<&str>| {
            let error = PublicError::new(kind, reason, "no").with_metadata("scope", "webhooks");
            let response = Problem::from(error).into_response();
            let header = response.headers().get(WWW_AUTHENTICATE);
            assert_eq!(header.map(|value| value.to_str().unwrap()), expected);
        };
        let realm = "Bearer realm=\"kinora\"";
        check(Kind::Unauthenticated, "TOKEN_MISSING", Some(realm));
        let invalid = format!("{realm}, error=\"invalid_token\"");
        check(Kind::Unauthenticated, "TOKEN_EXPIRED", Some(&invalid));
        check(Kind::Unauthenticated, "API_KEY_INVALID", Some(&invalid));
        let scope = format!("{realm}, error=\"insufficient_scope\", scope=\"webhooks\"");
        check(Kind::PermissionDenied, "SCOPE_MISSING", Some(&scope));
        let again = format!("{realm}, error=\"insufficient_user_authentication\", max_age=\"600\"");
        check(Kind::PermissionDenied, "STEP_UP_REQUIRED", Some(&again));
        check(Kind::FailedPrecondition, "TERMS_NOT_ACCEPTED", None);
    }

    #[test]
    fn fields_survive_the_way_from_a_service() {
        let error = PublicError::new(Kind::InvalidArgument, "FRAMES_INVALID", "frames are off")
            .with_metadata("nearest", "17")
            .with_violation("frames", "must be 4n+1");
        let problem = Problem::from(tonic::Status::from(error));
        assert_eq!(problem.0.reason, "FRAMES_INVALID");
        assert_eq!(problem.0.errors[0].field, "frames");
        assert_eq!(problem.0.metadata["nearest"], "17");
    }
}
