//! The edge's options.

use std::time::Duration;

use axum::http::HeaderValue;
use clap::Args;
use kinora_blobs::BlobOptions;
use kinora_mesh::lifecycle::DrainOptions;
use kinora_mesh::places::Places;
use kinora_mesh::serve::{HttpOptions, TlsOptions};

/// How the edge runs.
#[derive(Args, Clone, Debug)]
pub struct EdgeOptions {
    /// The scheduler that answers behind it, always by mutual TLS.
    #[arg(
        long,
        env = "KINORA_SCHEDULER_ENDPOINT",
        default_value = "https://127.0.0.1:7001"
    )]
    pub scheduler_endpoint: String,
    /// The accounts service, which turns API keys into tokens and says what tokens are checked against.
    #[arg(
        long,
        env = "KINORA_ACCOUNTS_ENDPOINT",
        default_value = "http://127.0.0.1:7003"
    )]
    pub accounts_endpoint: String,
    /// The billing service. Without it nothing costs anything, and its paths are not there.
    #[arg(long, env = "KINORA_BILLING_ENDPOINT")]
    pub billing_endpoint: Option<String>,
    /// Who signs the tokens of callers.
    #[arg(long, env = "KINORA_TOKEN_ISSUER", default_value = "kinora")]
    pub token_issuer: String,
    /// A web origin whose pages may call, for example `https://app.example.org`. Repeat it, or separate by commas.
    #[arg(
        long = "cors-origin",
        env = "KINORA_EDGE_CORS_ORIGINS",
        value_delimiter = ',',
        value_parser = parse_origin
    )]
    pub cors_origins: Vec<HeaderValue>,
    /// A proxy whose `X-Forwarded-For` is believed, as a network such as 10.0.0.0/8. Repeat it, or separate by commas.
    #[arg(
        long = "trusted-proxy",
        env = "KINORA_EDGE_TRUSTED_PROXIES",
        value_delimiter = ','
    )]
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// How long a link to a clip stays valid.
    #[arg(
        long,
        env = "KINORA_EDGE_LINK_LIFETIME",
        default_value = "15m",
        value_parser = humantime::parse_duration
    )]
    pub link_lifetime: Duration,
    /// How long a single call may take before it is answered with 504.
    #[arg(
        long,
        env = "KINORA_EDGE_CALL_TIMEOUT",
        default_value = "10s",
        value_parser = humantime::parse_duration
    )]
    pub call_timeout: Duration,
    /// The certificate of its port.
    #[command(flatten)]
    pub tls: TlsOptions,
    /// How many clients it has at a time.
    #[command(flatten)]
    pub http: HttpOptions,
    /// How the edge leaves.
    #[command(flatten)]
    pub drain: DrainOptions,
    /// Where the outputs are stored; only links are made from it.
    #[command(flatten)]
    pub blobs: BlobOptions,
}

/// How much the edge takes in at a time.
#[derive(Args, Clone, Copy, Debug)]
pub struct UploadOptions {
    /// Bodies with pictures that are taken in at a time, half of them of one caller; more are answered with 429. Each holds up to 150 MiB.
    #[arg(
        long,
        env = "KINORA_EDGE_LARGE_UPLOADS",
        default_value_t = Self::DEFAULT_LARGE,
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    pub large_uploads: u16,
}

impl UploadOptions {
    const DEFAULT_LARGE: u16 = 4;

    /// A caller has half of them at most.
    pub(crate) fn places(self) -> Places {
        let total = u32::from(self.large_uploads);
        Places::new(total, total.div_ceil(2))
    }
}

impl Default for UploadOptions {
    fn default() -> Self {
        Self {
            large_uploads: Self::DEFAULT_LARGE,
        }
    }
}

/// Reads a web origin: scheme and host, nothing after them.
///
/// # Errors
///
/// A sentence that says what was expected.
pub fn parse_origin(text: &str) -> Result<HeaderValue, String> {
    let uri: axum::http::Uri = text.parse().map_err(|_| "is not an origin".to_owned())?;
    let is_origin = uri.scheme().is_some() && uri.authority().is_some() && !text.ends_with('/');
    if !is_origin || uri.path() != "/" || uri.query().is_some() {
        return Err("expected scheme and host, such as https://app.example.org".to_owned());
    }
    HeaderValue::from_str(text).map_err(|_| "is not an origin".to_owned())
}

#[cfg(test)]
mod tests {
    use super::parse_origin;

    #[test]
    fn an_origin_is_a_scheme_and_a_host() {
        assert!(parse_origin("https://app.example.org").is_ok());
        assert!(parse_origin("http://localhost:3000").is_ok());
        for text in [
            "*",
            "app.example.org",
            "https://a.org/",
            "https://a.org/x",
            "null",
            "",
        ] {
            assert!(parse_origin(text).is_err(), "{text}");
        }
    }
}
