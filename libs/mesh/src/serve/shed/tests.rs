use std::convert::Infallible;

use tokio::sync::mpsc;
use tower::ServiceExt;

use super::*;

const GET: &str = "/kinora.test.v1.Things/Get";

type Answer = Result<Response<()>, Infallible>;

/// A service that answers when the test says so.
struct Bench {
    service: Shed<tower::util::BoxCloneService<Request<()>, Response<()>, Infallible>>,
    arrived: mpsc::UnboundedReceiver<tokio::sync::oneshot::Sender<()>>,
}

impl Bench {
    fn new(most: u32) -> Self {
        let (arrive, arrived) = mpsc::unbounded_channel();
        let service = tower::service_fn(move |_: Request<()>| {
            let (answer, waiting) = tokio::sync::oneshot::channel();
            arrive.send(answer).unwrap();
            async move {
                waiting.await.unwrap();
                Ok(Response::new(()))
            }
        });
        let service = ShedLayer::new(most, &["kinora.test.v1.Vital"])
            .layer(tower::util::BoxCloneService::new(service));
        Self { service, arrived }
    }

    fn call(&self, path: &str) -> tokio::task::JoinHandle<Answer> {
        let request = Request::post(path).body(()).unwrap();
        tokio::spawn(self.service.clone().oneshot(request))
    }

    /// Answers the call that has come.
    async fn answer(&mut self) {
        self.arrived.recv().await.unwrap().send(()).unwrap();
    }
}

fn reason(answer: Answer) -> Option<PublicError> {
    let response = answer.unwrap();
    let status = Status::from_header_map(response.headers())?;
    Some(PublicError::from_status(&status))
}

#[tokio::test]
async fn call_beyond_the_bound_is_refused_at_once() {
    let mut bench = Bench::new(1);
    let first = bench.call(GET);
    let arrived = bench.arrived.recv().await.unwrap();
    let refused = reason(bench.call(GET).await.unwrap()).unwrap();
    assert_eq!(
        (refused.kind, refused.reason.as_str()),
        (Kind::Unavailable, "OVERLOADED")
    );
    assert_eq!(refused.retry_after, Some(RETRY_AFTER));
    arrived.send(()).unwrap();
    assert_eq!(reason(first.await.unwrap()), None);
    let next = bench.call(GET);
    bench.answer().await;
    assert_eq!(reason(next.await.unwrap()), None, "the place is free again");
    assert!(bench.arrived.is_empty(), "the refused call did not arrive");
}

#[tokio::test]
async fn call_that_is_given_up_leaves_its_place() {
    let mut bench = Bench::new(1);
    let given_up = bench.call(GET);
    let _arrived = bench.arrived.recv().await.unwrap();
    given_up.abort();
    assert!(given_up.await.unwrap_err().is_cancelled());
    let next = bench.call(GET);
    bench.answer().await;
    assert_eq!(reason(next.await.unwrap()), None);
}

#[tokio::test]
async fn health_and_what_is_vital_is_answered_always_and_nothing_that_looks_like_it() {
    let mut bench = Bench::new(1);
    let _first = bench.call(GET);
    let _arrived = bench.arrived.recv().await.unwrap();
    for path in [
        "/grpc.health.v1.Healthy/Check",
        "/grpc.health.v1/Health/Check",
        "/x/grpc.health.v1.Health/Check",
        "//grpc.health.v1.Health/Check",
        "/kinora.test.v1.Things/kinora.test.v1.Vital",
    ] {
        assert!(reason(bench.call(path).await.unwrap()).is_some(), "{path}");
    }
    for path in [
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/kinora.test.v1.Vital/Get",
    ] {
        let answered = bench.call(path);
        bench.answer().await;
        assert_eq!(reason(answered.await.unwrap()), None, "{path}");
    }
}
