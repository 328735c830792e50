//! What a gateway is built from.

use std::time::Duration;

use kinora_mesh::secret::Secret;
use reqwest::Url;

use crate::error::Error;
use crate::money::Currencies;
use crate::retry::RetryPolicy;

const STRIPE: &str = "https://api.stripe.com/";

/// Stripe's own have some forty characters.
const SHORTEST_WEBHOOK_SECRET: usize = 16;

/// How Stripe is reached. Only `Debug` of secrets is safe to print, and they are printed as `Secret(..)`.
#[derive(Clone, Debug)]
pub struct Options {
    /// `sk_test_…`, `sk_live_…`, or a restricted key `rk_…`.
    pub secret_key: Secret,
    /// What webhooks are signed with, `whsec_…`: one, or two while it is changed. None when no webhook is accepted.
    pub webhook_secrets: Vec<Secret>,
    /// The currencies of prices, and of the account's balance where that is another.
    pub currencies: Currencies,
    /// Instead of Stripe, for tests: `https`, or `http` on this machine, with a `/` at the end.
    pub base_url: Option<String>,
    /// How long one try may take, from the connection to the last byte. A call takes as many of these as it has tries,
    /// and the pauses in between.
    pub try_timeout: Duration,
    /// How calls are made again.
    pub retry: RetryPolicy,
}

impl Options {
    /// Stripe itself, with 20 seconds a try.
    #[must_use]
    pub fn new(secret_key: Secret, webhook_secrets: Vec<Secret>, currencies: Currencies) -> Self {
        Self {
            secret_key,
            webhook_secrets,
            currencies,
            base_url: None,
            try_timeout: Duration::from_secs(20),
            retry: RetryPolicy::default(),
        }
    }

    /// Whether the key moves money. Anything but a test key is taken for one that does.
    pub(crate) fn is_live(&self) -> bool {
        let key = self.secret_key.reveal();
        !(key.starts_with("sk_test_") || key.starts_with("rk_test_"))
    }

    /// Checks the options and returns the address to ask.
    pub(crate) fn check(&self) -> Result<Url, Error> {
        self.check_key()?;
        self.check_webhook_secrets()?;
        if !(1..=10).contains(&self.retry.tries) {
            return Err(Error::Setup("a call is tried 1 to 10 times"));
        }
        if self.try_timeout.is_zero() {
            return Err(Error::Setup("a try needs time"));
        }
        self.check_address()
    }

    fn check_key(&self) -> Result<(), Error> {
        let key = self.secret_key.reveal();
        let begins_well = ["sk_test_", "sk_live_", "rk_test_", "rk_live_"]
            .iter()
            .any(|prefix| key.len() > prefix.len() && key.starts_with(prefix));
        if !begins_well || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::Setup(
                "the secret key does not begin with sk_ or rk_ and test_ or live_",
            ));
        }
        Ok(())
    }

    fn check_webhook_secrets(&self) -> Result<(), Error> {
        let secrets = &self.webhook_secrets;
        if secrets.len() > 2 {
            return Err(Error::Setup("webhooks have at most two secrets"));
        }
        // Whoever guesses one can say that anything was paid.
        let is_short = |secret: &Secret| secret.reveal().len() < SHORTEST_WEBHOOK_SECRET;
        if secrets.iter().any(is_short) {
            return Err(Error::Setup("a secret of webhooks is too short"));
        }
        Ok(())
    }

    fn check_address(&self) -> Result<Url, Error> {
        let address = self.base_url.as_deref().unwrap_or(STRIPE);
        let Ok(url) = Url::parse(address) else {
            return Err(Error::Setup("the base URL is none"));
        };
        if !address.ends_with('/') || url.query().is_some() || url.fragment().is_some() {
            return Err(Error::Setup("the base URL does not end in `/`"));
        }
        let is_plain_here = url.scheme() == "http" && is_loopback(&url) && !self.is_live();
        if url.scheme() != "https" && !is_plain_here {
            return Err(Error::Setup(
                "only with a test key, and only this machine, is Stripe asked without TLS",
            ));
        }
        Ok(url)
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let address = host.parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(key: &str) -> Options {
        let currencies = Currencies::new(["usd"]).unwrap();
        Options::new(Secret::new(key), Vec::new(), currencies)
    }

    fn is_taken(key: &str, base_url: &str) -> bool {
        let mut options = options(key);
        options.base_url = Some(base_url.to_owned());
        options.check().is_ok()
    }

    #[test]
    fn keys_that_are_not_stripes_are_refused() {
        for key in ["sk_test_1", "rk_test_1", "sk_live_1", "rk_live_1"] {
            assert!(options(key).check().is_ok(), "{key}");
        }
        for key in [
            "",
            "sk_test_",
            "pk_test_1",
            "sk_test_1\n",
            "sk_test_1 2",
            "whsec_1",
        ] {
            assert!(matches!(options(key).check(), Err(Error::Setup(_))));
        }
    }

    #[test]
    fn keys_travel_in_the_clear_only_on_this_machine_and_only_when_they_move_no_money() {
        assert!(is_taken("sk_test_1", "http://127.0.0.1:1/"));
        assert!(is_taken("sk_test_1", "http://[::1]:1/"));
        assert!(is_taken("sk_test_1", "http://localhost:1/"));
        assert!(is_taken("sk_live_1", "https://stripe.example.org/a/"));
        assert!(!is_taken("sk_live_1", "http://127.0.0.1:1/"));
        assert!(!is_taken("sk_test_1", "http://127.0.0.1.example.org/"));
        assert!(!is_taken("sk_test_1", "http://10.0.0.1/"));
        assert!(!is_taken("sk_test_1", "ftp://127.0.0.1/"));
    }

    #[test]
    fn base_urls_end_in_a_slash() {
        for url in [
            "https://a.example.org",
            "https://a.example.org/b",
            "https://a.example.org/?b=/",
            "",
            "/",
        ] {
            assert!(!is_taken("sk_test_1", url), "{url}");
        }
    }

    #[test]
    fn secrets_that_can_be_guessed_are_refused() {
        let with = |secrets: &[&str]| {
            let mut options = options("sk_test_1");
            options.webhook_secrets = secrets.iter().map(|it| Secret::new(*it)).collect();
            options.check().is_ok()
        };
        let good = "whsec_0123456789abcdef";
        assert!(with(&[]) && with(&[good]) && with(&[good, good]));
        assert!(!with(&[""]) && !with(&[good, "whsec_"]) && !with(&[good, good, good]));
    }

    #[test]
    fn a_call_is_tried_at_least_once() {
        let mut options = options("sk_test_1");
        options.retry.tries = 0;
        assert!(options.check().is_err());
    }
}
