//! Everything about accounts and billing: calls whose routes the contracts give.
//!
//! What needs no caller is called without one. Everything else goes on with the caller's token, and the service behind
//! decides. A stream is answered as JSON lines; one of plain chunks is the body itself.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, TryStreamExt};
use ipnet::IpNet;
use kinora_mesh::channel::RetryChannel;
use kinora_mesh::error::PublicError;
use kinora_mesh::serve::PeerAddress;
use kinora_proto::accounts::v1::auth_service_client::AuthServiceClient;
use kinora_proto::accounts::v1::{
    self as accounts, CompleteAgeVerificationRequest, auth_service_server,
};
use kinora_proto::billing::v1::payment_service_client::PaymentServiceClient;
use kinora_proto::billing::v1::{self as billing, ReceiveStripeWebhookRequest};
use kinora_transcoder::{
    DynamicMessage, Found, InvalidRoutes, Miss, Transcoder, set_message, to_json,
};
use tonic::Status;

use super::{Edge, body};
use crate::origin::Origin;
use crate::problem::Problem;

/// A text of terms, and room around it.
const MAX_BODY_BYTES: usize = 2 << 20;

/// What a stranger may send.
const MAX_STRANGERS_BODY_BYTES: usize = 64 << 10;

/// The message that tells a service where a request comes from.
const ORIGIN: &str = "kinora.accounts.v1.Origin";

/// What the accounts service serves by routes.
const ACCOUNTS: [&str; 5] = [
    accounts::admin_service_server::SERVICE_NAME,
    auth_service_server::SERVICE_NAME,
    accounts::key_service_server::SERVICE_NAME,
    accounts::organisation_service_server::SERVICE_NAME,
    accounts::user_service_server::SERVICE_NAME,
];

/// What the billing service does.
const BILLING: [&str; 3] = [
    billing::admin_service_server::SERVICE_NAME,
    billing::billing_service_server::SERVICE_NAME,
    billing::payment_service_server::SERVICE_NAME,
];

/// What anybody may ask, beside signing in.
const OPEN: [&str; 3] = [
    "/kinora.billing.v1.BillingService/GetPriceBook",
    "/kinora.billing.v1.BillingService/ListPlans",
    "/kinora.billing.v1.PaymentService/ListPacks",
];

/// The services that are called by their routes.
#[derive(Clone)]
pub(crate) struct Services {
    routes: Arc<Transcoder>,
    accounts: RetryChannel,
    billing: Option<RetryChannel>,
    timeout: Duration,
    trusted_proxies: Arc<[IpNet]>,
}

impl Services {
    /// Calls over these channels, each call within `timeout`. Without `billing` its routes are not there.
    pub(crate) fn new(
        accounts: RetryChannel,
        billing: Option<RetryChannel>,
        timeout: Duration,
        trusted_proxies: &[IpNet],
    ) -> Result<Self, InvalidRoutes> {
        let mut services = ACCOUNTS.to_vec();
        if billing.is_some() {
            services.extend(BILLING);
        }
        let routes = Transcoder::new(kinora_proto::DESCRIPTORS, &services)?;
        Ok(Self {
            routes: Arc::new(routes),
            accounts,
            billing,
            timeout,
            trusted_proxies: trusted_proxies.into(),
        })
    }

    /// Leads to the service that has a route.
    fn channel_of(&self, service: &str) -> RetryChannel {
        let billing = self.billing.as_ref();
        let billing = billing.filter(|_| BILLING.contains(&service));
        billing.unwrap_or(&self.accounts).clone()
    }

    /// Passes on a verifier's call.
    pub(super) async fn complete_age_verification(
        &self,
        message: CompleteAgeVerificationRequest,
    ) -> Result<(), Problem> {
        let mut request = tonic::Request::new(message);
        request.set_timeout(self.timeout);
        kinora_mesh::trace::inject(request.metadata_mut());
        let mut client = AuthServiceClient::new(self.accounts.clone());
        let call = client.complete_age_verification(request);
        let answered = tokio::time::timeout(self.timeout, call).await;
        answered.map_err(|_| Problem::deadline_exceeded())??;
        Ok(())
    }

    /// Passes on a webhook of Stripe's. Without billing there is nothing at its path.
    pub(super) async fn receive_stripe_webhook(
        &self,
        message: ReceiveStripeWebhookRequest,
    ) -> Result<(), Problem> {
        let channel = self.billing.clone().ok_or_else(Problem::route_not_found)?;
        let mut request = tonic::Request::new(message);
        request.set_timeout(self.timeout);
        kinora_mesh::trace::inject(request.metadata_mut());
        let mut client = PaymentServiceClient::new(channel);
        let call = client.receive_stripe_webhook(request);
        let answered = tokio::time::timeout(self.timeout, call).await;
        answered.map_err(|_| Problem::deadline_exceeded())??;
        Ok(())
    }

    pub(super) fn origin(&self, parts: &Parts) -> Origin {
        let peer = parts.extensions.get::<PeerAddress>();
        Origin::of(
            &parts.headers,
            peer.map(|peer| peer.0.ip()),
            &self.trusted_proxies,
        )
    }
}

/// Answers whatever no other route has.
pub(super) async fn answer(
    State(edge): State<Edge>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let found = edge
        .services
        .routes
        .find(&parts.method, parts.uri.path())
        .map_err(|miss| match miss {
            Miss::Path => Problem::route_not_found(),
            Miss::Verb(allowed) => not_allowed(&allowed),
        })?;
    let mut request = tonic::Request::new(());
    let is_open = found.route.service() == auth_service_server::SERVICE_NAME
        || OPEN.contains(&found.route.method());
    if !is_open {
        let bearer = edge.gate.authenticate(&parts.headers).await?;
        bearer.attach(request.metadata_mut());
    }
    let max_bytes = if is_open {
        MAX_STRANGERS_BODY_BYTES
    } else {
        MAX_BODY_BYTES
    };
    let body = body::read_any_json(&parts.headers, body, max_bytes).await?;
    let mut message = found.message(parts.uri.query(), &body)?;
    let origin = edge.services.origin(&parts);
    let origin = [
        ("address", origin.address),
        ("user_agent", origin.user_agent),
    ];
    set_message(&mut message, "origin", ORIGIN, &origin);
    kinora_mesh::trace::inject(request.metadata_mut());
    let request = request.map(|()| message);
    if found.route.is_streaming() {
        return streamed(&edge.services, &found, request).await;
    }
    single(&edge.services, &found, request).await
}

async fn single(
    services: &Services,
    found: &Found<'_>,
    mut request: tonic::Request<DynamicMessage>,
) -> Result<Response, Problem> {
    request.set_timeout(services.timeout);
    let channel = services.channel_of(&found.route.service());
    let call = kinora_transcoder::call(channel, found.route, request);
    let answered = tokio::time::timeout(services.timeout, call).await;
    let answer = answered.map_err(|_| Problem::deadline_exceeded())??;
    let json = to_json(answer.get_ref())?;
    Ok(private(json, "application/json"))
}

/// Only the beginning of a stream is under the deadline.
async fn streamed(
    services: &Services,
    found: &Found<'_>,
    request: tonic::Request<DynamicMessage>,
) -> Result<Response, Problem> {
    let channel = services.channel_of(&found.route.service());
    let call = kinora_transcoder::stream(channel, found.route, request);
    let begun = tokio::time::timeout(services.timeout, call).await;
    let messages = begun
        .map_err(|_| Problem::deadline_exceeded())??
        .into_inner();
    if found.route.is_of_chunks() {
        let chunks = messages.map_ok(|message| chunk_of(&message));
        return Ok(private(
            Body::from_stream(chunks),
            "application/octet-stream",
        ));
    }
    // The answer has begun when something goes wrong: the last line says so.
    let lines = messages.map(|message| {
        let line = message.and_then(|message| to_json(&message));
        let mut line = line.unwrap_or_else(|status| broken_off(&status));
        line.push(b'\n');
        Ok::<_, std::convert::Infallible>(Bytes::from(line))
    });
    Ok(private(Body::from_stream(lines), "application/x-ndjson"))
}

fn chunk_of(message: &DynamicMessage) -> Bytes {
    let chunk = message.get_field_by_name("chunk");
    let bytes = chunk.as_deref().and_then(|value| value.as_bytes().cloned());
    bytes.unwrap_or_default()
}

fn broken_off(status: &Status) -> Vec<u8> {
    let error = PublicError::from_status(status);
    let line = serde_json::json!({
        "error": { "reason": error.reason, "detail": error.message, "status": error.kind.http() },
    });
    line.to_string().into_bytes()
}

/// An answer that no cache keeps.
fn private(body: impl Into<Body>, content_type: &'static str) -> Response {
    let mut response = (StatusCode::OK, body.into()).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn not_allowed(allowed: &str) -> Problem {
    let problem = Problem::method_not_allowed();
    match HeaderValue::from_str(allowed) {
        Ok(allowed) => problem.with_header_value(ALLOW, allowed),
        Err(_) => problem,
    }
}
