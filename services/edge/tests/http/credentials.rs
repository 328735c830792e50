//! Tokens and keys: what becomes of them on the way, and when they stop to open anything.

use std::time::Duration;

use kinora_access::Claims;
use kinora_access::testing::{TestIssuer, principal_of};
use kinora_edge::auth::KEPT;
use kinora_testkit::wait::until;
use reqwest::{Method, Response, StatusCode};

use crate::harness::{ADA, BOB, CALL_TIMEOUT, TestEdge, check_problem, id_of, read};

/// Everything that was revoked must be refused by then.
const REVOKED_WITHIN: Duration = Duration::from_secs(10);

async fn with(edge: &TestEdge, credential: &str) -> Response {
    let request = edge.anonymous(Method::GET, "/v1/videos");
    request.bearer_auth(credential).send().await.unwrap()
}

/// Waits for a refusal, and gives the last answer.
async fn refused(edge: &TestEdge, credential: &str) -> Response {
    until("a refusal", REVOKED_WITHIN, || async {
        let response = with(edge, credential).await;
        if response.status() == StatusCode::OK {
            Err("let through")
        } else {
            Ok(response)
        }
    })
    .await
}

#[tokio::test]
async fn token_goes_on_to_the_services_behind() {
    let edge = TestEdge::start().await;
    let token = edge.accounts.issuer.token("acme:carl");
    assert_eq!(with(&edge, &token).await.status(), StatusCode::OK);
    let made = edge
        .anonymous(Method::POST, "/v1/videos")
        .bearer_auth(&token)
        .json(&serde_json::json!({ "prompt": "a red ball" }))
        .send()
        .await
        .unwrap();
    let id = id_of(&read(made).await);
    assert_eq!(edge.scheduler.owner(&id), principal_of("acme:carl"));
    assert_eq!(edge.accounts.exchanges(), 0);
}

#[tokio::test]
async fn bad_token_is_refused_here() {
    let edge = TestEdge::start().await;
    let issuer = &edge.accounts.issuer;
    let claims = issuer.claims("carl");
    let past = Claims {
        iat: claims.iat - 900,
        nbf: claims.nbf - 900,
        exp: claims.exp - 900,
        ..claims.clone()
    };
    let elsewhere = Claims {
        aud: vec!["billing".to_owned()],
        ..claims.clone()
    };
    for (token, reason) in [
        (issuer.sign(&past), "TOKEN_EXPIRED"),
        (issuer.sign(&elsewhere), "TOKEN_INVALID"),
        (TestIssuer::new().sign(&claims), "TOKEN_INVALID"),
        ("nonsense".to_owned(), "TOKEN_INVALID"),
        ("A".repeat(5000), "TOKEN_INVALID"),
    ] {
        let response = with(&edge, &token).await;
        assert_eq!(
            response.headers()["www-authenticate"],
            "Bearer realm=\"kinora\", error=\"invalid_token\""
        );
        check_problem(response, 401, reason).await;
    }
    assert_eq!(edge.accounts.exchanges(), 0);
}

#[tokio::test]
async fn ended_session_is_refused_within_seconds() {
    let edge = TestEdge::start().await;
    let claims = edge.accounts.issuer.claims("carl");
    let token = edge.accounts.issuer.sign(&claims);
    assert_eq!(with(&edge, &token).await.status(), StatusCode::OK);
    edge.accounts.issuer.end(claims.sid);
    check_problem(refused(&edge, &token).await, 401, "TOKEN_REVOKED").await;
}

#[tokio::test]
async fn revoked_key_is_refused_within_seconds() {
    let edge = TestEdge::start().await;
    assert_eq!(with(&edge, ADA).await.status(), StatusCode::OK);
    edge.accounts.revoke_key(ADA);
    check_problem(refused(&edge, ADA).await, 401, "API_KEY_INVALID").await;
    assert_eq!(with(&edge, BOB).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn requests_with_one_key_share_one_exchange() {
    let edge = TestEdge::start().await;
    edge.accounts.fall_silent();
    let answers = futures::future::join_all((0..20).map(|_| with(&edge, ADA)));
    let let_go = async {
        until("an exchange", CALL_TIMEOUT, || async {
            match edge.accounts.exchanges() {
                0 => Err("none yet"),
                _ => Ok(()),
            }
        })
        .await;
        edge.accounts.answer_again();
    };
    let (answers, ()) = futures::future::join(answers, let_go).await;
    assert!(answers.iter().all(|it| it.status() == StatusCode::OK));
    assert_eq!(edge.accounts.exchanges(), 1);
}

#[tokio::test]
async fn client_that_hangs_up_takes_no_answer_from_others() {
    let edge = TestEdge::start().await;
    edge.accounts.fall_silent();
    let first = tokio::time::timeout(Duration::from_millis(100), with(&edge, ADA)).await;
    assert!(first.is_err(), "hangs up");
    let (second, ()) = futures::future::join(with(&edge, ADA), async {
        edge.accounts.answer_again();
    })
    .await;
    assert_eq!(second.status(), StatusCode::OK);
    assert_eq!(edge.accounts.exchanges(), 1);
}

#[tokio::test]
async fn wrong_key_is_asked_about_once_a_second() {
    let edge = TestEdge::start().await;
    let began = std::time::Instant::now();
    for _ in 0..20 {
        check_problem(with(&edge, "kk_wrong").await, 401, "API_KEY_INVALID").await;
    }
    let asked = edge.accounts.exchanges();
    assert!(asked <= began.elapsed().as_secs() + 1, "{asked}");
    // Made meanwhile, it opens soon.
    edge.accounts
        .add_key("kk_wrong", edge.accounts.issuer.claims("bob"));
    until("the new key", REVOKED_WITHIN, || async {
        let status = with(&edge, "kk_wrong").await.status();
        if status == StatusCode::OK {
            Ok(())
        } else {
            Err(status)
        }
    })
    .await;
}

#[tokio::test]
async fn keys_are_answered_with_503_while_accounts_is_away() {
    let edge = TestEdge::start().await;
    let token = edge.accounts.issuer.token("carl");
    assert_eq!(with(&edge, &token).await.status(), StatusCode::OK);
    edge.stop_accounts();
    let response = until("accounts to be gone", KEPT, || async {
        let response = with(&edge, BOB).await;
        match response.status() {
            StatusCode::SERVICE_UNAVAILABLE => Ok(response),
            status => Err(status),
        }
    })
    .await;
    assert_eq!(response.headers()["retry-after"], "2");
    check_problem(response, 503, "ACCOUNTS_UNAVAILABLE").await;
    let plain = edge
        .anonymous(Method::GET, "/v1/videos")
        .header("X-Api-Key", "kk_other");
    check_problem(plain.send().await.unwrap(), 503, "ACCOUNTS_UNAVAILABLE").await;
    assert_eq!(
        with(&edge, &token).await.status(),
        StatusCode::OK,
        "tokens are checked here"
    );
}

#[tokio::test]
async fn accounts_that_hangs_costs_no_more_than_a_call_may_take() {
    let edge = TestEdge::start().await;
    edge.accounts.fall_silent();
    check_problem(with(&edge, ADA).await, 503, "ACCOUNTS_UNAVAILABLE").await;
    edge.accounts.answer_again();
    until("an answer", REVOKED_WITHIN, || async {
        let status = with(&edge, ADA).await.status();
        if status == StatusCode::OK {
            Ok(())
        } else {
            Err(status)
        }
    })
    .await;
}

#[tokio::test]
async fn accounts_hears_who_uses_a_key() {
    let edge = TestEdge::start().await;
    let request = edge.request(Method::GET, "/v1/models");
    let request = request.header("user-agent", "curl/8.5");
    assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
    let origins = edge.accounts.origins();
    assert_eq!(origins[0].user_agent, "curl/8.5");
}

#[tokio::test]
async fn what_a_verifier_of_ages_says_goes_on_as_it_came() {
    let edge = TestEdge::start().await;
    let body = "{ \"session\": \"x\",\n  \"is_adult\": true }";
    let call = |signature: &'static str| {
        let request = edge.anonymous(Method::POST, "/v1/ageVerifications:complete");
        request
            .header("content-type", "application/json")
            .header("x-kinora-signature", signature)
            .header("x-kinora-timestamp", "1795321258")
            .body(body)
            .send()
    };
    let taken = call("signed").await.unwrap();
    assert_eq!(taken.status(), StatusCode::NO_CONTENT);
    let seen = edge.accounts.verifications();
    assert_eq!(seen[0].body, body.as_bytes());
    assert_eq!(seen[0].timestamp, "1795321258");
    let refused = call("made up").await.unwrap();
    check_problem(refused, 401, "AGE_CALLBACK_INVALID").await;
    let large = edge.anonymous(Method::POST, "/v1/ageVerifications:complete");
    let large = large.header("content-type", "application/json");
    let large = large.body("x".repeat(17 << 10)).send().await.unwrap();
    check_problem(large, 413, "BODY_TOO_LARGE").await;
}
