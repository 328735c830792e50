//! Carries requests to Stripe: bounded in time and size, and again where that is right.

use std::time::Duration;

use bytes::Bytes;
use kinora_mesh::secret::Secret;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response, Url};
use stripe_client_core::{
    CustomizedStripeRequest, RequestBuilder, StripeClient, StripeMethod, VERSION,
};
use tracing::debug;

use crate::error::{Away, Error, Refusal, word};
use crate::options::Options;
use crate::retry::{Failure, RetryPolicy};

/// A page of a hundred of the largest objects has some 2 MiB.
const MOST_ANSWER_BYTES: usize = 8 << 20;

/// Of an answer that only says why not.
const MOST_REFUSAL_BYTES: usize = 64 << 10;

const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// The way to Stripe, for all calls.
#[derive(Clone)]
pub(crate) struct Transport {
    client: Client,
    /// Ends in `/`.
    base: String,
    authorization: HeaderValue,
    retry: RetryPolicy,
}

impl Transport {
    /// Follows no redirect and uses no proxy.
    pub(crate) fn new(options: &Options, base: &Url) -> Result<Self, Error> {
        // Fails only when a provider is installed already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT_PATIENCE.min(options.try_timeout))
            .timeout(options.try_timeout)
            .user_agent(concat!("Kinora/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|_| Error::Setup("TLS cannot be set up"))?;
        Ok(Self {
            client,
            base: base.as_str().to_owned(),
            authorization: authorization(&options.secret_key)?,
            retry: options.retry,
        })
    }

    /// Asks until there is an answer, or no hope of one.
    async fn run(&self, request: &RequestBuilder, key: Option<&str>) -> Result<Bytes, Error> {
        if key.is_none() && matches!(request.method, StripeMethod::Post) {
            // A second try could do it twice.
            return Err(Error::Invalid("what makes something needs a key"));
        }
        let mut tries = 0;
        loop {
            tries += 1;
            let failure = match self.ask(request, key).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let pause = self.retry.pause(tries, &failure, rand::random());
            let error = failure.into_error(tries);
            let Some(pause) = pause else {
                return Err(error);
            };
            debug!(tries, ?pause, %error, "asking stripe again");
            tokio::time::sleep(pause).await;
        }
    }

    async fn ask(&self, request: &RequestBuilder, key: Option<&str>) -> Result<Bytes, Failure> {
        let mut call = self
            .client
            .request(method(request.method), self.url(request))
            .header(AUTHORIZATION, self.authorization.clone())
            .header("stripe-version", VERSION.as_str());
        if let Some(key) = key {
            call = call.header("idempotency-key", key);
        }
        if let Some(body) = &request.body {
            call = call
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(body.clone());
        }
        let response = call.send().await.map_err(|error| away(&error))?;
        let status = response.status();
        if status.is_success() {
            return read(response, MOST_ANSWER_BYTES).await;
        }
        let refusal = refusal(status.as_u16(), response.headers());
        // A status is enough to go by.
        let body = read(response, MOST_REFUSAL_BYTES).await.unwrap_or_default();
        Err(Failure::Refused(refusal.with_body(&body)))
    }

    fn url(&self, request: &RequestBuilder) -> String {
        let url = format!("{}v1{}", self.base, request.path);
        match request.query.as_deref() {
            Some(query) if !query.is_empty() => format!("{url}?{query}"),
            _ => url,
        }
    }
}

/// One call: what the generated requests are sent with.
pub(crate) struct Call<'c> {
    pub(crate) transport: &'c Transport,
    /// Under which Stripe does it once.
    pub(crate) key: Option<&'c str>,
}

impl StripeClient for Call<'_> {
    type Err = Error;

    async fn execute(&self, request: CustomizedStripeRequest) -> Result<Bytes, Error> {
        let (request, _) = request.into_pieces();
        self.transport.run(&request, self.key).await
    }
}

fn authorization(key: &Secret) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", key.reveal()))
        .map_err(|_| Error::Setup("the secret key cannot be sent"))?;
    value.set_sensitive(true);
    Ok(value)
}

const fn method(method: StripeMethod) -> Method {
    match method {
        StripeMethod::Get => Method::GET,
        StripeMethod::Post => Method::POST,
        StripeMethod::Delete => Method::DELETE,
    }
}

fn away(error: &reqwest::Error) -> Failure {
    Failure::Away(if error.is_timeout() {
        Away::TimedOut
    } else if error.is_connect() {
        Away::Unreachable
    } else {
        Away::Broken
    })
}

fn refusal(status: u16, headers: &HeaderMap) -> Refusal {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    // Stripe gives seconds; a date would be a proxy's.
    let seconds = text(RETRY_AFTER.as_str()).and_then(|it| it.trim().parse().ok());
    Refusal {
        status,
        request_id: text("request-id").and_then(word),
        retry_after: seconds.map(Duration::from_secs),
        should_retry: text("stripe-should-retry").and_then(|it| it.parse().ok()),
        is_replayed: text("idempotent-replayed") == Some("true"),
        ..Refusal::default()
    }
}

async fn read(mut response: Response, most_bytes: usize) -> Result<Bytes, Failure> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| away(&error))? {
        if body.len() + piece.len() > most_bytes {
            return Err(Failure::TooLong);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Bytes::from(body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Currencies;

    #[tokio::test]
    async fn nothing_is_made_without_a_key() {
        let currencies = Currencies::new(["usd"]).unwrap();
        let options = Options::new(Secret::new("sk_test_1"), Vec::new(), currencies);
        let nowhere = Url::parse("http://127.0.0.1:1/").unwrap();
        let transport = Transport::new(&options, &nowhere).unwrap();
        let request = RequestBuilder::new(StripeMethod::Post, "/refunds");
        let refused = transport.run(&request, None).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    }
}
