//! Where a platform under test takes webhooks, over HTTP.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use kinora_testkit::stripe::FakeStripe;
use tokio::task::JoinHandle;

use crate::app::App;
use crate::clock::testing::ManualClock;
use crate::domain::Time;
use crate::domain::refusal::Refusal;
use crate::error::Error;

/// Where webhooks come in. Closes when it is dropped.
pub(super) struct Door {
    pub(super) url: String,
    serving: JoinHandle<()>,
}

/// What a webhook is given to.
#[derive(Clone)]
struct Desk {
    app: Arc<App>,
    clock: Arc<ManualClock>,
    stripe: Arc<FakeStripe>,
}

impl Door {
    pub(super) async fn open(
        app: Arc<App>,
        clock: Arc<ManualClock>,
        stripe: Arc<FakeStripe>,
    ) -> Self {
        let listener = kinora_testkit::net::loopback_listener().await;
        let address = listener.local_addr().expect("an address");
        let desk = Desk { app, clock, stripe };
        let router = Router::new().route("/", post(take)).with_state(desk);
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self {
            url: format!("http://{address}/"),
            serving,
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// What time it is at Stripe.
pub(super) fn present(stripe: &FakeStripe) -> Time {
    Time::from_timestamp(stripe.now(), 0).expect("a time")
}

async fn take(State(desk): State<Desk>, headers: HeaderMap, body: Bytes) -> StatusCode {
    // Webhooks come in while time passes.
    desk.clock.set(present(&desk.stripe));
    let signature = headers.get("stripe-signature");
    let signature = signature.and_then(|value| value.to_str().ok());
    let taken = desk
        .app
        .receive_webhook(&body, signature.unwrap_or_default());
    match taken.await {
        Ok(()) => StatusCode::OK,
        Err(Error::Refused(Refusal::WebhookRefused)) => StatusCode::BAD_REQUEST,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
