use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use kinora_mesh::error::{Kind, PublicError};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body as TonicBody;
use tonic::codegen::Bytes;
use tower::{Layer, ServiceExt, service_fn};

use super::*;
use crate::claims::Claims;
use crate::layer::Access;
use crate::rules::Callers;
use crate::rules::testing::{SERVICE, contract_of};
use crate::testing::{TestIssuer, workload};
use crate::trust::{MAX_AGE, POLL_INTERVAL};

const ASK: &str = "/t.S/Ask";
const WATCH: &str = "/t.S/Watch";

/// By then a service knows what has ended.
const SOON: Duration = Duration::from_secs(4);

/// Methods for people, of which one is called.
struct Bench {
    issuer: TestIssuer,
    access: Access,
    method: &'static str,
}

/// An answer that has begun, and what says the rest of it.
struct Open {
    say: mpsc::Sender<Result<Frame<Bytes>, Infallible>>,
    body: WatchedBody<TonicBody>,
}

impl Bench {
    fn new(method: &'static str) -> Self {
        let issuer = TestIssuer::new();
        let access = Access::new(
            workload("scheduler"),
            &contract_of("user = {scope: SCOPE_VIDEOS_READ}"),
            &[Callers::new(SERVICE, &["edge"])],
            issuer.authenticator("scheduler"),
        );
        Self {
            issuer,
            access: access.expect("complete rules"),
            method,
        }
    }

    async fn open(&self, claims: &Claims) -> Open {
        let (say, said) = mpsc::channel(4);
        let body = TonicBody::new(StreamBody::new(ReceiverStream::new(said)));
        let body = Arc::new(Mutex::new(Some(body)));
        let answering = service_fn(move |_: Request<()>| {
            let body = body.lock().take().expect("is called once");
            async move { Ok::<_, Infallible>(Response::new(body)) }
        });
        let request = Request::post(self.method)
            .header(
                "authorization",
                format!("Bearer {}", self.issuer.sign(claims)),
            )
            .extension(workload("edge"))
            .body(())
            .expect("a request");
        let response = self.access.layer(answering).oneshot(request).await;
        let response = response.expect("never fails");
        assert_eq!(response.headers().get("grpc-status"), None, "let through");
        Open {
            say,
            body: response.into_body(),
        }
    }
}

impl Open {
    async fn say(&self, text: &'static str) {
        let frame = Frame::data(Bytes::from_static(text.as_bytes()));
        self.say.send(Ok(frame)).await.expect("is heard");
    }

    async fn next(&mut self) -> Option<Frame<Bytes>> {
        let frame = timeout(SOON, self.body.frame()).await.expect("in time");
        frame.map(|frame| frame.expect("a frame"))
    }

    async fn hear(&mut self) -> String {
        let data = self.next().await.expect("a frame").into_data();
        String::from_utf8(data.expect("data").to_vec()).expect("a text")
    }

    /// That it says this and is heard.
    async fn goes_on(&mut self) {
        self.say("still here").await;
        assert_eq!(self.hear().await, "still here");
    }

    /// Why it ends, which it must do now.
    async fn end(mut self) -> PublicError {
        let trailers = self.next().await.expect("a frame").into_trailers();
        let status = Status::from_header_map(&trailers.expect("trailers"));
        assert!(self.next().await.is_none(), "nothing comes after them");
        assert!(self.body.is_end_stream());
        assert!(self.say.is_closed(), "its handler is let go");
        PublicError::from_status(&status.expect("a status"))
    }
}

#[tokio::test(start_paused = true)]
async fn idle_stream_ends_when_its_session_key_or_account_does() {
    let bench = Bench::new(WATCH);
    let (anna, ben) = (bench.issuer.claims("anna"), bench.issuer.claims("ben"));
    for (claims, id) in [(&anna, anna.sid), (&ben, ben.sub)] {
        let mut open = bench.open(claims).await;
        open.goes_on().await;
        bench.issuer.end(id);
        let error = open.end().await;
        assert_eq!(error.kind, Kind::Unauthenticated);
        assert_eq!(error.reason, "TOKEN_REVOKED");
    }
}

#[tokio::test(start_paused = true)]
async fn busy_stream_ends_before_its_next_message() {
    let bench = Bench::new(WATCH);
    let claims = bench.issuer.claims("anna");
    let mut open = bench.open(&claims).await;
    open.goes_on().await;
    bench.issuer.end(claims.sid);
    sleep(SOON).await;
    open.say("a secret").await;
    assert_eq!(open.end().await.reason, "TOKEN_REVOKED");
}

#[tokio::test(start_paused = true)]
async fn end_that_came_before_the_first_message_counts() {
    let bench = Bench::new(WATCH);
    let claims = bench.issuer.claims("anna");
    let open = bench.open(&claims).await;
    bench.issuer.end(claims.sid);
    sleep(SOON).await;
    open.say("a secret").await;
    assert_eq!(open.end().await.reason, "TOKEN_REVOKED");
}

#[tokio::test(start_paused = true)]
async fn ends_of_others_and_other_changes_disturb_nobody() {
    let bench = Bench::new(WATCH);
    let mut open = bench.open(&bench.issuer.claims("anna")).await;
    bench.issuer.end(bench.issuer.claims("anna").sid);
    bench.issuer.end(bench.issuer.claims("ben").sub);
    bench.issuer.require_terms(2);
    bench.issuer.rotate();
    sleep(SOON).await;
    open.goes_on().await;
    bench.issuer.revoke_former_keys();
    sleep(SOON).await;
    open.goes_on().await;
}

#[tokio::test(start_paused = true)]
async fn stream_under_a_newer_token_goes_on() {
    let bench = Bench::new(WATCH);
    let claims = bench.issuer.claims("anna");
    bench.issuer.end(claims.sub);
    sleep(SOON).await;
    // The clock of the issuer may be a few seconds ahead.
    let later = claims.iat + 5;
    let newer = Claims {
        iat: later,
        nbf: later,
        ..claims
    };
    let mut open = bench.open(&newer).await;
    bench.issuer.require_terms(2);
    sleep(SOON).await;
    open.goes_on().await;
}

#[tokio::test(start_paused = true)]
async fn answer_that_is_no_stream_is_not_watched() {
    let bench = Bench::new(ASK);
    let claims = bench.issuer.claims("anna");
    let mut open = bench.open(&claims).await;
    bench.issuer.end(claims.sid);
    sleep(SOON).await;
    open.goes_on().await;
}

#[tokio::test(start_paused = true)]
async fn stream_goes_on_while_accounts_is_away_and_ends_when_too_much_may_be_forgotten() {
    let bench = Bench::new(WATCH);
    let mut open = bench.open(&bench.issuer.claims("anna")).await;
    bench.issuer.be_away(true);
    sleep(MAX_AGE - 4 * POLL_INTERVAL).await;
    bench.issuer.be_away(false);
    sleep(SOON).await;
    open.goes_on().await;
    bench.issuer.be_away(true);
    sleep(2 * MAX_AGE).await;
    open.goes_on().await;
    bench.issuer.be_away(false);
    let error = open.end().await;
    assert_eq!(error.kind, Kind::Unavailable);
    assert_eq!(error.reason, "TRUST_UNAVAILABLE");
    let mut next = bench.open(&bench.issuer.claims("anna")).await;
    sleep(SOON).await;
    next.goes_on().await;
}
