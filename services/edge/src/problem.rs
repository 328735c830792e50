//! Errors as HTTP shows them: problem documents (RFC 9457).
//!
//! A handler answers with a [`Problem`]; the outermost layer, [`render`], writes it out once the path and the request
//! id are known. An answer of 400 or more that no handler of ours made becomes a problem there as well, so that a
//! client meets one form of error only.

mod document;

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use kinora_mesh::error::{Kind, PublicError};
use kinora_mesh::trace::RequestId;

pub use self::document::{ErrorObject, FieldError, ProblemDocument};

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
    /// What it is over gRPC, where its status does not say so.
    kind: Option<Kind>,
    reason: String,
    detail: String,
    metadata: BTreeMap<String, String>,
    errors: Vec<FieldError>,
    headers: HeaderMap,
}

impl Problem {
    /// Makes a problem without metadata or fields.
    #[must_use]
    pub fn new(status: StatusCode, reason: &str, detail: impl Into<String>) -> Self {
        Self(Box::new(Content {
            status,
            kind: None,
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
            "FIELD_INVALID",
            "the request is not valid",
        )
        .with_field(field, detail)
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

    /// Gives fields the names that the caller knows them by: pairs of ours and the caller's.
    #[must_use]
    pub fn with_names(mut self, names: &[(&str, &str)]) -> Self {
        for error in &mut self.0.errors {
            let known = names.iter().find(|(ours, _)| *ours == error.field);
            if let Some((_, theirs)) = known {
                (*theirs).clone_into(&mut error.field);
            }
        }
        self
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The reason and the sentence for the caller.
    #[must_use]
    pub fn said(&self) -> (&str, &str) {
        (&self.0.reason, &self.0.detail)
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

    fn error(&self) -> ErrorObject {
        let content = &self.0;
        let first = content.errors.first();
        let message = match first {
            Some(first) if !content.detail.contains(&first.detail) => {
                format!("{}: `{}` {}", content.detail, first.field, first.detail)
            }
            _ => content.detail.clone(),
        };
        ErrorObject {
            message,
            kind: error_type(content.status).to_owned(),
            param: first.map(|first| first.field.clone()),
            code: content.reason.clone(),
        }
    }

    fn document(self, instance: String, request_id: String) -> ProblemDocument {
        let error = self.error();
        let content = *self.0;
        ProblemDocument {
            error,
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
        problem.0.kind = Some(error.kind);
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

impl From<Problem> for PublicError {
    fn from(problem: Problem) -> Self {
        let content = *problem.0;
        let kind = content.kind.unwrap_or_else(|| kind_of(content.status));
        let mut error = Self::new(kind, content.reason, content.detail);
        error.metadata = content.metadata.into_iter().collect();
        for FieldError { field, detail } in content.errors {
            error = error.with_violation(field, detail);
        }
        let seconds = content.headers.get(RETRY_AFTER);
        let seconds = seconds.and_then(|value| value.to_str().ok()?.parse().ok());
        error.retry_after = seconds.map(Duration::from_secs);
        error
    }
}

/// The kind that a status stands for.
fn kind_of(status: StatusCode) -> Kind {
    match status.as_u16() {
        401 => Kind::Unauthenticated,
        403 => Kind::PermissionDenied,
        404 => Kind::NotFound,
        409 => Kind::Aborted,
        413 | 429 => Kind::ResourceExhausted,
        408 | 504 => Kind::DeadlineExceeded,
        405 | 415 | 501 => Kind::Unimplemented,
        502 | 503 => Kind::Unavailable,
        400..=499 => Kind::InvalidArgument,
        _ => Kind::Internal,
    }
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

/// Marks an answer whose document is written.
#[derive(Clone)]
pub(crate) struct Rendered {
    /// The reason in it.
    pub(crate) reason: String,
}

/// Turns every answer of 400 or more into a problem document. What a layer further in has turned into one stays as it is.
pub async fn render(request: Request, next: Next) -> Response {
    let instance = request.uri().path().to_owned();
    let request_id = request
        .extensions()
        .get::<RequestId>()
        .map(|id| id.0.clone())
        .unwrap_or_default();
    let mut response = next.run(request).await;
    if response.extensions().get::<Rendered>().is_some() {
        return response;
    }
    let problem = response.extensions_mut().remove::<Problem>();
    let is_error = response.status().is_client_error() || response.status().is_server_error();
    let problem = match problem {
        Some(problem) => problem,
        None if is_error => Problem::of_status(response.status()),
        None => return response,
    };
    let reason = problem.0.reason.clone();
    let body = serde_json::to_vec(&problem.document(instance, request_id)).unwrap_or_default();
    *response.body_mut() = Body::from(body);
    response.extensions_mut().insert(Rendered { reason });
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

/// The class of an error as the OpenAI API names it.
fn error_type(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

/// The status in words. 499 has no name of its own in the registry.
fn title(status: StatusCode) -> &'static str {
    if status.as_u16() == 499 {
        return "Client Closed Request";
    }
    status.canonical_reason().unwrap_or("Error")
}

#[cfg(test)]
mod tests;
