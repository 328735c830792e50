//! Asks providers: over TLS, for as long and as much as is reasonable, and only them.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use reqwest::redirect::Policy;
use url::Url;

use crate::domain::providers::is_loopback;

const PATIENCE: Duration = Duration::from_secs(10);
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// Discovery documents and key sets have a few KiB.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// A provider could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The provider names an address that is not asked.
    #[error("the address is not allowed")]
    Address,
    /// The answer has more than 1 MiB.
    #[error("the answer is too long")]
    TooLong,
    /// The answer cannot be put together.
    #[error("the answer cannot be read")]
    Answer(#[from] http::Error),
    /// The provider does not answer.
    #[error("the provider does not answer")]
    Away(#[from] reqwest::Error),
}

/// Asks one provider. Follows no redirect and uses no proxy.
#[derive(Clone, Debug)]
pub struct BoundedHttp {
    client: reqwest::Client,
    allows_plain: bool,
}

impl BoundedHttp {
    /// Asks a provider whose issuer has this address: only one of this machine is asked without TLS.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(issuer: &Url) -> Result<Self, reqwest::Error> {
        // Fails only when a provider is installed already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT_PATIENCE)
            .timeout(PATIENCE)
            .user_agent(concat!("Kinora-Accounts/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self {
            client,
            allows_plain: issuer.scheme() == "http" && is_loopback(issuer),
        })
    }

    async fn ask(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let url = request.url();
        let is_allowed = url.scheme() == "https"
            || (self.allows_plain && url.scheme() == "http" && is_loopback(url));
        if !is_allowed {
            return Err(HttpError::Address);
        }
        let mut response = self.client.execute(request).await?;
        let mut answer = http::Response::builder().status(response.status());
        for (name, value) in response.headers() {
            answer = answer.header(name, value);
        }
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await? {
            if body.len() + piece.len() > MAX_ANSWER_BYTES {
                return Err(HttpError::TooLong);
            }
            body.extend_from_slice(&piece);
        }
        Ok(answer.body(body)?)
    }
}

impl<'c> AsyncHttpClient<'c> for BoundedHttp {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.ask(request))
    }
}
