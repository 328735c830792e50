//! Who is let in, and with what kind of token.

use kinora_access::Claims;
use kinora_access::testing::TestIssuer;
use kinora_mesh::error::PublicError;
use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::video::Status as VideoStatus;
use kinora_testkit::wait::until;
use tonic::{Code, Status};

use crate::harness::{Caller, PATIENCE, TestScheduler, prompt, reason};

/// How each call ends that makes videos.
async fn generate(anna: &Caller, waiting: &str) -> [Result<(), Status>; 4] {
    let sequence = pb::CreateSequenceRequest {
        segment: Some(prompt("a ball")),
        prompts: vec![String::new()],
        ..pb::CreateSequenceRequest::default()
    };
    [
        anna.submit(prompt("a ball")).await.map(drop),
        anna.batch("", vec![prompt("a ball")]).await.map(drop),
        anna.sequence(sequence).await.map(drop),
        anna.approve(waiting).await.map(drop),
    ]
}

fn is_for_terms(answer: &Result<(), Status>) -> bool {
    let Err(status) = answer else { return false };
    let error = PublicError::from_status(status);
    let version = ("version".to_owned(), "2".to_owned());
    status.code() == Code::FailedPrecondition
        && error.reason == "TERMS_NOT_ACCEPTED"
        && error.metadata == [version]
}

#[track_caller]
fn check_refused<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, expected: &str) {
    let status = answer.expect_err("refused");
    assert_eq!((status.code(), reason(&status).as_str()), (code, expected));
}

kinora_store::on_both_databases! {
    async fn new_terms_stop_all_that_generates_until_they_are_accepted(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let mut worker = scheduler.worker("w").await;
        let claims = scheduler.issuer.claims("anna");
        let anna = scheduler.caller_with(&claims);
        let preview = pb::CreateVideoRequest { preview_first: true, ..prompt("a ball") };
        let waiting = anna.submit(preview).await.expect("accepted");
        let lease = worker.grant().await.lease.expect("a lease");
        assert!(worker.complete(&lease).await);

        scheduler.issuer.require_terms(2);
        until("the new terms", PATIENCE, || async {
            let answers = generate(&anna, &waiting.id).await;
            if answers.iter().all(is_for_terms) { Ok(()) } else { Err(answers) }
        })
        .await;
        let job = anna.get(&waiting.id).await.expect("reading goes on");
        assert!(anna.list(10, "").await.is_ok());
        assert!(anna.watch(&job.id, 0).await.is_ok());
        assert!(anna.estimate(prompt("a ball")).await.is_ok());

        let accepted = scheduler.caller_with(&Claims { terms: 2, ..claims });
        let later = generate(&accepted, &waiting.id).await;
        assert!(!later.iter().any(is_for_terms) && later[..3].iter().all(Result::is_ok), "{later:?}");
        assert!(anna.cancel(&job.id).await.is_ok(), "what was made can still be ended");
    }

    async fn ended_session_is_refused(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let _worker = scheduler.worker("w").await;
        let (here, there) = (scheduler.issuer.claims("anna"), scheduler.issuer.claims("anna"));
        let (ended, other) = (scheduler.caller_with(&here), scheduler.caller_with(&there));
        let job = ended.submit(prompt("a ball")).await.expect("accepted");
        scheduler.issuer.end(here.sid);
        let status = until("the end of a session", PATIENCE, || async {
            ended.get(&job.id).await.err().ok_or("let through")
        })
        .await;
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Unauthenticated, "TOKEN_REVOKED"));
        assert_eq!(other.get(&job.id).await.expect("another session").id, job.id);
    }

    async fn open_watch_ends_with_its_session(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let _worker = scheduler.worker("w").await;
        let (here, there) = (scheduler.issuer.claims("anna"), scheduler.issuer.claims("anna"));
        let (ended, other) = (scheduler.caller_with(&here), scheduler.caller_with(&there));
        let job = ended.submit(prompt("a ball")).await.expect("accepted");
        let mut watch = ended.watch(&job.id, 0).await.expect("a watch");
        let others = other.watch(&job.id, 0).await.expect("a watch");
        scheduler.issuer.end(here.sid);
        let status = loop {
            match watch.next().await {
                Ok(event) => assert!(event.is_some(), "it ends without a word"),
                Err(status) => break status,
            }
        };
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Unauthenticated, "TOKEN_REVOKED"));
        other.cancel(&job.id).await.expect("cancels");
        let last = others.rest().await.pop().expect("events");
        assert_eq!(last.status(), VideoStatus::Cancelled, "another session goes on");
    }

    async fn what_is_anothers_reads_as_not_found(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let _worker = scheduler.worker("w").await;
        let own = scheduler.caller("anna").await.submit(prompt("a ball")).await.expect("accepted");
        let acme = scheduler.caller("acme:anna").await.submit(prompt("a ball")).await.expect("accepted");
        for (name, id) in [("ben", &own.id), ("acme:anna", &own.id), ("anna", &acme.id), ("other:anna", &acme.id)] {
            let stranger = scheduler.caller(name).await;
            check_refused(stranger.get(id).await, Code::NotFound, "JOB_NOT_FOUND");
            check_refused(stranger.cancel(id).await, Code::NotFound, "JOB_NOT_FOUND");
            check_refused(stranger.delete(id).await, Code::NotFound, "JOB_NOT_FOUND");
            check_refused(stranger.watch(id, 0).await.map(drop), Code::NotFound, "JOB_NOT_FOUND");
            let content = stranger.content(id, pb::ContentKind::Video, false).await;
            check_refused(content, Code::NotFound, "JOB_NOT_FOUND");
        }
    }

    async fn token_does_what_its_scope_says_and_no_more(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let _worker = scheduler.worker("w").await;
        let with = |scope: &str| {
            let scope = scope.to_owned();
            scheduler.caller_with(&Claims { scope, ..scheduler.issuer.claims("anna") })
        };
        let (reader, writer, hooks) = (with("videos:read"), with("videos:write"), with("webhooks"));
        let job = writer.submit(prompt("a ball")).await.expect("accepted");
        let refused = Code::PermissionDenied;
        check_refused(reader.submit(prompt("a ball")).await, refused, "SCOPE_MISSING");
        check_refused(reader.estimate(prompt("a ball")).await, refused, "SCOPE_MISSING");
        check_refused(reader.cancel(&job.id).await, refused, "SCOPE_MISSING");
        check_refused(reader.delete(&job.id).await, refused, "SCOPE_MISSING");
        check_refused(writer.get(&job.id).await, refused, "SCOPE_MISSING");
        let content = writer.content(&job.id, pb::ContentKind::Video, false).await;
        check_refused(content, refused, "SCOPE_MISSING");
        check_refused(hooks.list(1, "").await, refused, "SCOPE_MISSING");
        assert!(reader.get(&job.id).await.is_ok());
        assert_eq!(writer.cancel(&job.id).await.expect("cancels").status(), VideoStatus::Cancelled);
    }

    async fn token_must_be_good_and_for_this_service(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let issuer = &scheduler.issuer;
        let claims = issuer.claims("anna");
        let elsewhere = Claims { aud: vec!["accounts".to_owned()], ..claims.clone() };
        let other = Claims { iss: "somebody".to_owned(), ..claims.clone() };
        let past = Claims { iat: claims.iat - 900, nbf: claims.nbf - 900, exp: claims.exp - 900, ..claims.clone() };
        for (token, expected) in [
            (issuer.sign(&elsewhere), "TOKEN_INVALID"),
            (issuer.sign(&other), "TOKEN_INVALID"),
            (TestIssuer::new().sign(&claims), "TOKEN_INVALID"),
            ("kk_key".to_owned(), "TOKEN_INVALID"),
            (issuer.sign(&past), "TOKEN_EXPIRED"),
        ] {
            let caller = Caller::connect(&scheduler.endpoint, token);
            check_refused(caller.list(1, "").await, Code::Unauthenticated, expected);
        }
    }

    async fn keys_change_without_a_failed_call(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let former = scheduler.caller("anna").await;
        assert!(former.list(1, "").await.is_ok());
        for _ in 0..3 {
            scheduler.issuer.rotate();
            let present = scheduler.caller("anna").await;
            assert!(present.list(1, "").await.is_ok(), "a key that nobody has seen yet");
            assert!(former.list(1, "").await.is_ok(), "a former key");
        }
        scheduler.issuer.revoke_former_keys();
        let status = until("a revoked key", PATIENCE, || async {
            former.list(1, "").await.err().ok_or("let through")
        })
        .await;
        assert_eq!(reason(&status), "TOKEN_INVALID");
    }

    async fn calls_go_on_while_accounts_is_away(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        assert!(anna.list(1, "").await.is_ok());
        scheduler.issuer.be_away(true);
        let asked = scheduler.issuer.questions();
        until("questions without an answer", PATIENCE, || async {
            let more = scheduler.issuer.questions() - asked;
            if more >= 2 { Ok(()) } else { Err(more) }
        })
        .await;
        assert!(anna.list(1, "").await.is_ok());
    }
}
