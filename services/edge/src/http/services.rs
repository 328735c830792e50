//! The services behind the edge, and how they are called: by their routes, or where HTTP has something of its own, by name.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::header::{ALLOW, HeaderValue};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, Method};
use ipnet::IpNet;
use kinora_mesh::channel::RetryChannel;
use kinora_mesh::serve::PeerAddress;
use kinora_proto::accounts::v1::auth_service_client::AuthServiceClient;
use kinora_proto::accounts::v1::{
    self as accounts, CompleteAgeVerificationRequest, auth_service_server,
};
use kinora_proto::billing::v1::payment_service_client::PaymentServiceClient;
use kinora_proto::billing::v1::{self as billing, ReceiveStripeWebhookRequest};
use kinora_proto::prompts::v1 as prompts;
use kinora_proto::scheduler::v1::admin_service_client::AdminServiceClient;
use kinora_proto::scheduler::v1::video_service_client::VideoServiceClient;
use kinora_proto::scheduler::v1::webhook_service_client::WebhookServiceClient;
use kinora_proto::scheduler::v1::{self as scheduler, FindContentRequest, FindContentResponse};
use kinora_transcoder::{DynamicMessage, Found, Miss, Route, Transcoder, set_message};
use tonic::{Request, Response, Status};

use super::admission::Rules;
use crate::auth::Bearer;
use crate::error::Error;
use crate::origin::{self, Origin};
use crate::problem::Problem;

/// What the scheduler serves by routes.
const SCHEDULER: [&str; 3] = [
    scheduler::admin_service_server::SERVICE_NAME,
    scheduler::video_service_server::SERVICE_NAME,
    scheduler::webhook_service_server::SERVICE_NAME,
];

/// What the accounts service does.
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

/// What the prompts service does.
const PROMPTS: [&str; 2] = [
    prompts::prompt_service_server::SERVICE_NAME,
    prompts::review_service_server::SERVICE_NAME,
];

/// The message that tells a service where a request comes from.
pub(super) const ORIGIN: &str = "kinora.accounts.v1.Origin";

/// Every service that has routes.
pub(super) fn all() -> Vec<&'static str> {
    [&SCHEDULER[..], &ACCOUNTS, &BILLING, &PROMPTS].concat()
}

/// Whether a service, by its full name, is the scheduler's.
pub(super) fn is_of_scheduler(service: &str) -> bool {
    SCHEDULER.contains(&service)
}

/// The ways to the services.
#[derive(Clone)]
pub(crate) struct Channels {
    pub(crate) scheduler: RetryChannel,
    /// A connection of their own: slow readers must not hold up single calls.
    pub(crate) scheduler_streams: RetryChannel,
    pub(crate) accounts: RetryChannel,
    /// None where nothing costs anything.
    pub(crate) billing: Option<RetryChannel>,
    /// None where prompts are taken as they are.
    pub(crate) prompts: Option<RetryChannel>,
}

/// The services that are called by their routes.
#[derive(Clone)]
pub(crate) struct Services {
    pub(super) routes: Arc<Transcoder>,
    pub(super) rules: Arc<Rules>,
    channels: Channels,
    timeout: Duration,
    trusted_proxies: Arc<[IpNet]>,
}

impl Services {
    /// Calls over these channels, each call within `timeout`. The routes of billing and of prompts are there with
    /// these.
    pub(crate) fn new(
        channels: Channels,
        timeout: Duration,
        trusted_proxies: &[IpNet],
    ) -> Result<Self, Error> {
        let mut services = [&SCHEDULER[..], &ACCOUNTS].concat();
        if channels.billing.is_some() {
            services.extend(BILLING);
        }
        if channels.prompts.is_some() {
            services.extend(PROMPTS);
        }
        let routes = Transcoder::new(kinora_proto::DESCRIPTORS, &services)?;
        let rules = Rules::read(&services, &routes)?;
        Ok(Self {
            routes: Arc::new(routes),
            rules: Arc::new(rules),
            channels,
            timeout,
            trusted_proxies: trusted_proxies.into(),
        })
    }

    /// The longest that a call may take.
    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The verbs of all routes.
    pub(super) fn verbs(&self) -> Vec<Method> {
        let routes = self.routes.routes().iter();
        let names: BTreeSet<&str> = routes.map(|route| route.verb().as_str()).collect();
        let verbs = names.into_iter().map(str::parse);
        verbs.filter_map(Result::ok).collect()
    }

    /// Leads to the service that has a route.
    pub(super) fn channel_of(&self, route: &Route) -> RetryChannel {
        let service = route.service();
        let channels = &self.channels;
        let channel = match (&channels.billing, &channels.prompts) {
            (Some(billing), _) if BILLING.contains(&service.as_str()) => billing,
            (_, Some(prompts)) if PROMPTS.contains(&service.as_str()) => prompts,
            _ if !is_of_scheduler(&service) => &channels.accounts,
            _ if route.is_streaming() => &channels.scheduler_streams,
            _ => &channels.scheduler,
        };
        channel.clone()
    }

    /// Calls about videos.
    pub(super) fn videos(&self) -> VideoServiceClient<RetryChannel> {
        let client = VideoServiceClient::new(self.channels.scheduler.clone());
        client.max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    /// Streams of what becomes of videos.
    pub(super) fn watches(&self) -> VideoServiceClient<RetryChannel> {
        VideoServiceClient::new(self.channels.scheduler_streams.clone())
    }

    /// Calls about webhooks.
    pub(super) fn webhooks(&self) -> WebhookServiceClient<RetryChannel> {
        WebhookServiceClient::new(self.channels.scheduler.clone())
    }

    /// Calls of operators.
    pub(super) fn administration(&self) -> AdminServiceClient<RetryChannel> {
        AdminServiceClient::new(self.channels.scheduler.clone())
    }

    /// Asks where something that a video left is kept.
    pub(super) async fn find_content(
        &self,
        caller: &Bearer,
        message: FindContentRequest,
        timeout: Duration,
    ) -> Result<FindContentResponse, Problem> {
        let mut request = request(message, timeout);
        caller.attach(request.metadata_mut());
        within(timeout, self.videos().find_content(request)).await
    }

    /// Passes on a verifier's call.
    pub(super) async fn complete_age_verification(
        &self,
        message: CompleteAgeVerificationRequest,
    ) -> Result<(), Problem> {
        let request = request(message, self.timeout);
        let mut client = AuthServiceClient::new(self.channels.accounts.clone());
        within(self.timeout, client.complete_age_verification(request)).await?;
        Ok(())
    }

    /// Passes on a webhook of Stripe's. Without billing there is nothing at its path.
    pub(super) async fn receive_stripe_webhook(
        &self,
        message: ReceiveStripeWebhookRequest,
    ) -> Result<(), Problem> {
        let channel = self.channels.billing.clone();
        let channel = channel.ok_or_else(Problem::route_not_found)?;
        let request = request(message, self.timeout);
        let mut client = PaymentServiceClient::new(channel);
        within(self.timeout, client.receive_stripe_webhook(request)).await?;
        Ok(())
    }

    /// Where a request comes from.
    pub(super) fn origin(&self, parts: &Parts) -> Origin {
        let peer = peer_of(&parts.extensions);
        Origin::of(&parts.headers, peer, &self.trusted_proxies)
    }

    /// As [`Self::origin`], the address alone.
    pub(super) fn address(&self, headers: &HeaderMap, extensions: &Extensions) -> Option<IpAddr> {
        origin::address(headers, peer_of(extensions), &self.trusted_proxies)
    }

    /// Tells a method where its request comes from, if it wants to know. What the caller said of it is gone.
    pub(super) fn set_origin(&self, message: &mut DynamicMessage, parts: &Parts) {
        let origin = self.origin(parts);
        let origin = [
            ("address", origin.address),
            ("user_agent", origin.user_agent),
        ];
        set_message(message, "origin", ORIGIN, &origin);
    }
}

fn peer_of(extensions: &Extensions) -> Option<IpAddr> {
    let peer = extensions.get::<PeerAddress>();
    peer.map(|peer| peer.0.ip())
}

/// Finds the route of a request. `HEAD` is answered as `GET`, whose body the connection leaves out.
pub(super) fn find<'a>(
    routes: &'a Transcoder,
    verb: &Method,
    path: &str,
) -> Result<Found<'a>, Problem> {
    let verb = if verb == Method::HEAD {
        &Method::GET
    } else {
        verb
    };
    let path = with_plain_colon(path);
    routes.find(verb, &path).map_err(|miss| match miss {
        Miss::Path => Problem::route_not_found(),
        Miss::Verb(allowed) => not_allowed(&allowed.replace("GET", "GET, HEAD")),
    })
}

/// The colon before a verb may stand as `%3A`, as some clients write it.
fn with_plain_colon(path: &str) -> Cow<'_, str> {
    let (folder, last) = path.rsplit_once('/').unwrap_or(("", path));
    if !last.contains("%3A") && !last.contains("%3a") {
        return path.into();
    }
    let last = last.replace("%3A", ":").replace("%3a", ":");
    format!("{folder}/{last}").into()
}

/// No answer is longer: a page of a hundred videos with the longest prompts.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// A request that is part of the trace.
pub(super) fn traced<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    kinora_mesh::trace::inject(request.metadata_mut());
    request
}

/// As [`traced`], and the service behind hears how long it has.
pub(super) fn request<T>(message: T, timeout: Duration) -> Request<T> {
    let mut request = traced(message);
    request.set_timeout(timeout);
    request
}

/// Waits for an answer so long, and gives up the call with it.
pub(super) async fn within<T>(
    timeout: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Problem> {
    match tokio::time::timeout(timeout, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) if is_timeout(&status) => Err(Problem::deadline_exceeded()),
        Ok(Err(status)) => Err(status.into()),
        Err(_) => Err(Problem::deadline_exceeded()),
    }
}

/// Our own deadline as tonic reports it: the server's clock or the channel's ran out.
pub(super) fn is_timeout(status: &Status) -> bool {
    matches!(status.code(), tonic::Code::DeadlineExceeded)
        || (status.code() == tonic::Code::Cancelled && status.message() == "Timeout expired")
}

fn not_allowed(allowed: &str) -> Problem {
    let problem = Problem::method_not_allowed();
    match HeaderValue::from_str(allowed) {
        Ok(allowed) => problem.with_header_value(ALLOW, allowed),
        Err(_) => problem,
    }
}
