use std::convert::Infallible;

use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tower::{ServiceExt, service_fn};
use tracing_subscriber::layer::SubscriberExt;

use super::*;

fn with_tracing<T>(run: impl FnOnce() -> T) -> T {
    let provider = SdkTracerProvider::builder().build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), run)
}

fn trace_id(traceparent: &str) -> &str {
    traceparent.split('-').nth(1).unwrap()
}

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn a_span_continues_the_trace_it_is_given() {
    let carried = with_tracing(|| {
        let span = tracing::info_span!("work");
        set_parent(&span, PARENT);
        span.in_scope(current_traceparent)
    });
    assert_eq!(trace_id(&carried.unwrap()), trace_id(PARENT));
}

#[test]
fn nonsense_starts_a_trace_of_its_own() {
    let carried = with_tracing(|| {
        let span = tracing::info_span!("work");
        set_parent(&span, "nonsense");
        span.in_scope(current_traceparent)
    });
    assert_ne!(trace_id(&carried.unwrap()), trace_id(PARENT));
}

#[test]
fn outside_a_span_nothing_is_carried() {
    let mut metadata = MetadataMap::new();
    inject(&mut metadata);
    assert!(metadata.is_empty());
}

async fn answer_to(request: Request<()>) -> Response<Option<String>> {
    let service = ServerTraceLayer.layer(service_fn(|request: Request<()>| async move {
        let id = request
            .extensions()
            .get::<RequestId>()
            .map(|id| id.0.clone());
        Ok::<_, Infallible>(Response::new(id))
    }));
    service.oneshot(request).await.unwrap()
}

#[tokio::test]
async fn a_request_id_is_kept_and_answered() {
    let request = Request::builder()
        .header(REQUEST_ID, "abc-1")
        .body(())
        .unwrap();
    let response = answer_to(request).await;
    assert_eq!(response.headers()[REQUEST_ID], "abc-1");
    assert_eq!(response.body().as_deref(), Some("abc-1"));
}

#[tokio::test]
async fn a_missing_or_odd_request_id_is_replaced() {
    for odd in ["", "has space", &"x".repeat(65)] {
        let request = Request::builder().header(REQUEST_ID, odd).body(()).unwrap();
        let response = answer_to(request).await;
        assert_ne!(response.headers()[REQUEST_ID], *odd);
        assert_eq!(response.headers()[REQUEST_ID].len(), 36);
    }
}

/// Keeps the levels of what is logged.
#[derive(Clone, Default)]
struct Levels(std::sync::Arc<std::sync::Mutex<Vec<tracing::Level>>>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Levels {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        self.0.lock().unwrap().push(*event.metadata().level());
    }
}

async fn levels_of(path: &str, status: u16) -> Vec<tracing::Level> {
    let levels = Levels::default();
    let subscriber = tracing_subscriber::registry().with(levels.clone());
    let _logging = tracing::subscriber::set_default(subscriber);
    let service = ServerTraceLayer.layer(service_fn(move |_: Request<()>| async move {
        let mut response = Response::new(());
        *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
        Ok::<_, Infallible>(response)
    }));
    let request = Request::builder().uri(path).body(()).unwrap();
    service.oneshot(request).await.unwrap();
    levels.0.lock().unwrap().clone()
}

#[tokio::test]
async fn what_is_only_polled_is_told_of_when_it_fails() {
    let polled = "/kinora.accounts.v1.TrustService/GetTrust";
    assert_eq!(levels_of(polled, 200).await, [tracing::Level::DEBUG]);
    assert_eq!(levels_of(polled, 503).await, [tracing::Level::INFO]);
    assert_eq!(levels_of("/v1/videos", 200).await, [tracing::Level::INFO]);
}
