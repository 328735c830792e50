//! The edge's options.

use std::path::PathBuf;
use std::time::Duration;

use axum::http::HeaderValue;
use clap::Args;
use kinora_blobs::BlobOptions;
use kinora_mesh::lifecycle::DrainOptions;
use kinora_mesh::places::Places;
use kinora_mesh::serve::{HttpOptions, TlsOptions};
use kinora_mesh::withheld::Withheld;

use crate::limits::{Limit, StoreUrl};

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
    /// The prompts service. Without it its paths are not there.
    #[arg(long, env = "KINORA_PROMPTS_ENDPOINT")]
    pub prompts_endpoint: Option<String>,
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
    /// Tell anybody over gRPC which services, methods and messages there are here (gRPC reflection), for tools such as grpcurl.
    #[arg(long, env = "KINORA_EDGE_REFLECTION")]
    pub reflection: bool,
    /// How often anybody may ask.
    #[command(flatten)]
    pub limits: LimitOptions,
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

/// How often anybody may ask.
#[derive(Args, Clone, Debug)]
pub struct LimitOptions {
    /// Requests of one caller, that is of one API key, or of one person with access tokens: a quota and a window, such as 600/1m, or off.
    #[arg(long, env = "KINORA_EDGE_CALLER_LIMIT", default_value = Self::DEFAULT_CALLER)]
    pub caller_limit: Limit,
    /// Requests of one address, or one /64 of IPv6, that show no good key or token: signing in, failed tries, and what is open to all.
    #[arg(long, env = "KINORA_EDGE_ADDRESS_LIMIT", default_value = Self::DEFAULT_ADDRESS)]
    pub address_limit: Limit,
    /// Where all edges count together: `redis://[USER:PASSWORD@]HOST:PORT[/DATABASE]`, or `rediss://` with TLS. Without it, and while it is away, each edge counts for itself.
    #[arg(
        long,
        env = "KINORA_EDGE_LIMIT_STORE",
        hide_env_values = true,
        value_parser = Withheld::<StoreUrl>::new()
    )]
    pub limit_store: Option<StoreUrl>,
    /// Certificates of the authorities that may vouch for that store, in PEM form. The system's by default.
    #[arg(long, env = "KINORA_EDGE_LIMIT_STORE_CA", requires = "limit_store")]
    pub limit_store_ca: Option<PathBuf>,
    /// How long a request waits for that store before it is counted by the edge alone.
    #[arg(
        long,
        env = "KINORA_EDGE_LIMIT_STORE_TIMEOUT",
        default_value = "50ms",
        value_parser = humantime::parse_duration
    )]
    pub limit_store_timeout: Duration,
}

impl LimitOptions {
    const DEFAULT_CALLER: &str = "6000/1m";
    const DEFAULT_ADDRESS: &str = "600/1m";
}

impl Default for LimitOptions {
    fn default() -> Self {
        // A test reads both.
        let limit = |text: &str| text.parse().unwrap_or(Limit(None));
        Self {
            caller_limit: limit(Self::DEFAULT_CALLER),
            address_limit: limit(Self::DEFAULT_ADDRESS),
            limit_store: None,
            limit_store_ca: None,
            limit_store_timeout: Duration::from_millis(50),
        }
    }
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
    use super::{LimitOptions, parse_origin};

    #[test]
    fn there_are_limits_by_default() {
        let limits = LimitOptions::default();
        assert_eq!(limits.caller_limit.to_string(), "6000/1m");
        assert_eq!(limits.address_limit.to_string(), "600/1m");
    }

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
