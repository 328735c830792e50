use kinora_mesh::error::PublicError;
use kinora_proto::DESCRIPTORS;
use tonic::body::Body;
use tower::ServiceExt;

use super::*;
use crate::caller::{Caller, caller};
use crate::claims::Claims;
use crate::rules::Workloads;
use crate::rules::testing::{SERVICE, contract_of};
use crate::testing::{TestIssuer, id_of, workload};

const ASK: &str = "/t.S/Ask";

/// A method for people, and one that wants all there is to want.
const WRITING: &str = "user = {scope: SCOPE_VIDEOS_WRITE}";
const CAREFUL: &str =
    "user = {scope: SCOPE_VIDEOS_WRITE, needs_terms: true, freshness: FRESHNESS_ALWAYS}";

/// One method behind a rule, and a service that answers who called.
struct Guard {
    issuer: TestIssuer,
    access: Access,
}

impl Guard {
    fn new(rule: &str) -> Self {
        Self::between(&["edge", "operator"], rule)
    }

    fn between(workloads: Workloads, rule: &str) -> Self {
        let issuer = TestIssuer::new();
        let access = Access::new(
            workload("scheduler"),
            &contract_of(rule),
            &[Callers::new(SERVICE, workloads)],
            issuer.authenticator("scheduler"),
        );
        Self {
            issuer,
            access: access.expect("complete rules"),
        }
    }

    /// The caller that the handler saw, or the reason of the refusal.
    async fn call(&self, request: Request<Body>) -> Result<Option<Caller>, PublicError> {
        let answering = tower::service_fn(|request: Request<Body>| async move {
            let mut response = Response::new(Body::empty());
            if let Some(caller) = request.extensions().get::<Caller>() {
                response.extensions_mut().insert(caller.clone());
            }
            Ok::<_, std::convert::Infallible>(response)
        });
        let response = self.access.layer(answering).oneshot(request).await;
        let response = response.expect("never fails");
        match Status::from_header_map(response.headers()) {
            Some(status) => Err(PublicError::from_status(&status)),
            None => Ok(response.extensions().get::<Caller>().cloned()),
        }
    }

    #[track_caller]
    fn refuses(&self, request: Request<Body>, reason: &str) -> impl Future<Output = PublicError> {
        let place = std::panic::Location::caller();
        async move {
            let error = self.call(request).await.expect_err("refused");
            assert_eq!(error.reason, reason, "{place}");
            error
        }
    }

    async fn admits(&self, claims: &Claims) -> Result<Option<Caller>, PublicError> {
        self.call(request("edge", Some(&self.issuer.sign(claims))))
            .await
    }
}

fn request(service: &str, token: Option<&str>) -> Request<Body> {
    let mut request = Request::post(ASK);
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    request
        .extension(workload(service))
        .body(Body::empty())
        .expect("a request")
}

#[tokio::test]
async fn caller_of_a_good_token_reaches_the_handler() {
    let guard = Guard::new(CAREFUL);
    let claims = guard.issuer.claims("acme:anna");
    let caller = guard
        .admits(&claims)
        .await
        .expect("admitted")
        .expect("a caller");
    assert_eq!(
        (caller.subject, caller.session),
        (id_of("anna"), claims.sid)
    );
    assert_eq!(
        caller.principal().as_str(),
        format!("{}:{}", id_of("acme"), id_of("anna"))
    );
    let own = guard
        .admits(&guard.issuer.claims("anna"))
        .await
        .expect("admitted")
        .expect("a caller");
    assert_eq!(own.principal().as_str(), id_of("anna").to_string());
}

#[tokio::test]
async fn only_named_siblings_may_call() {
    let guard = Guard::new(WRITING);
    let token = guard.issuer.token("anna");
    for service in ["worker", "scheduler", "accounts", "edge2", "Edge"] {
        guard
            .refuses(request(service, Some(&token)), "WORKLOAD_REFUSED")
            .await;
    }
    let mut elsewhere = workload("edge");
    elsewhere.trust_domain = "other.local".to_owned();
    let mut namespace = workload("edge");
    namespace.namespace = "other".to_owned();
    for peer in [elsewhere, namespace] {
        let mut request = request("edge", Some(&token));
        request.extensions_mut().insert(peer);
        guard.refuses(request, "WORKLOAD_REFUSED").await;
    }
    let mut nameless = request("edge", Some(&token));
    nameless.extensions_mut().remove::<Workload>();
    guard.refuses(nameless, "WORKLOAD_REFUSED").await;
    let strange = request("worker", None);
    guard.refuses(strange, "WORKLOAD_REFUSED").await;
}

#[tokio::test]
async fn call_without_a_good_token_is_refused() {
    let guard = Guard::new(WRITING);
    let missing = guard.refuses(request("edge", None), "TOKEN_MISSING").await;
    assert_eq!(missing.kind, kinora_mesh::error::Kind::Unauthenticated);
    guard
        .refuses(request("edge", Some("x.y.z")), "TOKEN_INVALID")
        .await;
    let past = guard.issuer.claims("anna");
    let past = Claims {
        iat: past.iat - 700,
        nbf: past.nbf - 700,
        exp: past.exp - 700,
        ..past
    };
    let past = guard.issuer.sign(&past);
    guard
        .refuses(request("edge", Some(&past)), "TOKEN_EXPIRED")
        .await;
    let token = guard.issuer.token("anna");
    for value in [
        token.clone(),
        format!("Basic {token}"),
        "Bearer".to_owned(),
        String::new(),
    ] {
        let mut request = request("edge", None);
        request
            .headers_mut()
            .insert(AUTHORIZATION, value.parse().expect("a header"));
        guard.refuses(request, "TOKEN_INVALID").await;
    }
    let mut twice = request("edge", Some(&token));
    twice.headers_mut().append(
        AUTHORIZATION,
        format!("Bearer {token}").parse().expect("a header"),
    );
    guard.refuses(twice, "TOKEN_INVALID").await;
    let mut bytes = request("edge", None);
    let value = http::HeaderValue::from_bytes(b"Bearer \xff\xfe").expect("a header");
    bytes.headers_mut().insert(AUTHORIZATION, value);
    guard.refuses(bytes, "TOKEN_INVALID").await;
}

#[tokio::test]
async fn scope_comes_before_step_up_and_terms() {
    let guard = Guard::new(CAREFUL);
    let claims = guard.issuer.claims("anna");
    let old = Claims {
        terms: 0,
        auth_time: claims.auth_time - 601,
        ..claims.clone()
    };
    let reading = Claims {
        scope: "videos:read".to_owned(),
        ..old.clone()
    };
    let refused = guard.admits(&reading).await.expect_err("no scope");
    assert_eq!(refused.reason, "SCOPE_MISSING");
    assert_eq!(
        refused.metadata,
        [("scope".to_owned(), "videos:write".to_owned())]
    );
    assert_eq!(
        guard.admits(&old).await.expect_err("long ago").reason,
        "STEP_UP_REQUIRED"
    );
    let fresh = Claims { terms: 0, ..claims };
    let refused = guard.admits(&fresh).await.expect_err("no terms");
    assert_eq!(refused.reason, "TERMS_NOT_ACCEPTED");
    assert_eq!(refused.metadata, [("version".to_owned(), "1".to_owned())]);
}

#[tokio::test]
async fn first_password_is_good_for_changing_it_alone() {
    let guard = Guard::new(CAREFUL);
    let claims = guard.issuer.claims("anna");
    let initial = Claims {
        init: true,
        auth_time: claims.auth_time - 601,
        terms: 0,
        ..claims.clone()
    };
    let refused = guard.admits(&initial).await.expect_err("not changed");
    assert_eq!(refused.reason, "PASSWORD_CHANGE_REQUIRED");
    assert!(guard.admits(&claims).await.is_ok());
    let change = Guard::new(
        "user = {scope: SCOPE_ACCOUNT, freshness: FRESHNESS_ALWAYS, first_password: true}",
    );
    let claims = change.issuer.claims("anna");
    let initial = Claims {
        init: true,
        ..claims.clone()
    };
    assert!(change.admits(&initial).await.is_ok());
    assert!(change.admits(&claims).await.is_ok());
}

#[tokio::test]
async fn key_needs_no_credential_where_sessions_do() {
    for (freshness, expected) in [
        ("UNSPECIFIED", [true, true, true]),
        ("IN_SESSIONS", [true, false, true]),
        ("ALWAYS", [true, false, false]),
    ] {
        let rule = format!("user = {{scope: SCOPE_ACCOUNT, freshness: FRESHNESS_{freshness}}}");
        let guard = Guard::new(&rule);
        let fresh = guard.issuer.claims("anna");
        let old = Claims {
            auth_time: fresh.auth_time - 601,
            ..fresh.clone()
        };
        let key = Claims {
            auth_time: 0,
            amr: vec!["key".to_owned()],
            ..fresh.clone()
        };
        for (claims, may) in [fresh, old, key].iter().zip(expected) {
            match guard.admits(claims).await {
                Ok(_) => assert!(may, "{rule} {claims:?}"),
                Err(error) => {
                    assert_eq!(error.reason, "STEP_UP_REQUIRED");
                    assert!(!may, "{rule} {claims:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn operators_scope_is_worth_nothing_to_others() {
    let guard = Guard::new("user = {scope: SCOPE_ADMIN}");
    let operator = guard.issuer.operator("olga");
    assert!(guard.admits(&operator).await.is_ok());
    let posing = Claims {
        adm: false,
        ..operator.clone()
    };
    assert_eq!(
        guard.admits(&posing).await.expect_err("no operator").reason,
        "SCOPE_MISSING"
    );
    let humble = Claims {
        scope: "videos:write".to_owned(),
        ..operator
    };
    assert_eq!(
        guard.admits(&humble).await.expect_err("no scope").reason,
        "SCOPE_MISSING"
    );
}

#[tokio::test]
async fn nobody_stands_behind_calls_that_want_no_user() {
    for rule in ["workload = {}", "anybody = {}"] {
        let guard = Guard::between(&["worker"], rule);
        let mut forged = request("worker", Some("whatever"));
        let token = guard.issuer.claims("anna");
        forged.extensions_mut().insert(Caller::from(token));
        assert_eq!(guard.call(forged).await, Ok(None));
        let other = request("edge", None);
        guard.refuses(other, "WORKLOAD_REFUSED").await;
    }
    let seen = tonic::Request::new(());
    assert_eq!(caller(&seen).expect_err("nobody").reason, "INTERNAL");
}

#[tokio::test]
async fn method_that_is_not_served_is_not_implemented() {
    let guard = Guard::new(WRITING);
    let mut other = request("edge", None);
    *other.uri_mut() = "/t.S/Tell".parse().expect("a path");
    let refused = guard.call(other).await.expect_err("unknown");
    assert_eq!(refused.kind, kinora_mesh::error::Kind::Unimplemented);
}

#[tokio::test]
async fn guarded_routes_answer_siblings_and_refuse_others() {
    let issuer = TestIssuer::new();
    let callers = Callers::new("kinora.accounts.v1.TrustService", &["edge"]);
    let access = Access::new(
        workload("accounts"),
        DESCRIPTORS,
        &[callers],
        issuer.authenticator("accounts"),
    );
    let routes = access
        .expect("complete")
        .guard(Routes::new(issuer.service()));
    for (service, expected) in [("edge", None), ("worker", Some("WORKLOAD_REFUSED"))] {
        let peer = workload(service);
        let layered: Routes = routes
            .clone()
            .into_axum_router()
            .layer(tower::util::MapRequestLayer::new(
                move |mut request: Request<_>| {
                    request.extensions_mut().insert(peer.clone());
                    request
                },
            ))
            .into();
        let mut client = kinora_proto::accounts::v1::trust_service_client::TrustServiceClient::new(
            layered.prepare(),
        );
        let answer = client
            .get_trust(kinora_proto::accounts::v1::GetTrustRequest::default())
            .await;
        let reason = answer
            .err()
            .map(|status| PublicError::from_status(&status).reason);
        assert_eq!(reason.as_deref(), expected);
    }
}
