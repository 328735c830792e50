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

#[test]
fn clients_of_another_api_find_the_error_where_they_look() {
    let check = |problem: Problem, expected: [Option<&str>; 4]| {
        let error = problem.document(String::new(), String::new()).error;
        let found = [
            Some(error.message.as_str()),
            Some(error.kind.as_str()),
            error.param.as_deref(),
            Some(error.code.as_str()),
        ];
        assert_eq!(found, expected);
    };
    let said = "`steps` must be a whole number";
    let error = PublicError::new(Kind::InvalidArgument, "FIELD_INVALID", said)
        .with_violation("steps", "must be a whole number")
        .with_violation("n", "is no field of this call");
    let (kind, code) = (Some("invalid_request_error"), Some("FIELD_INVALID"));
    check(error.into(), [Some(said), kind, Some("steps"), code]);
    let message = "frames are off: `frames` must be 4n+1";
    let error = PublicError::new(Kind::InvalidArgument, "FRAMES_INVALID", "frames are off")
        .with_violation("frames", "must be 4n+1");
    let code = Some("FRAMES_INVALID");
    check(error.into(), [Some(message), kind, Some("frames"), code]);
    for (status, kind) in [
        (StatusCode::UNAUTHORIZED, "authentication_error"),
        (StatusCode::FORBIDDEN, "permission_error"),
        (StatusCode::NOT_FOUND, "invalid_request_error"),
        (StatusCode::CONFLICT, "invalid_request_error"),
        (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error"),
        (StatusCode::BAD_GATEWAY, "server_error"),
    ] {
        let problem = Problem::new(status, "R", "no");
        check(problem, [Some("no"), Some(kind), None, Some("R")]);
    }
}
