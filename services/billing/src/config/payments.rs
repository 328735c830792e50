//! The options of who takes money.

use std::time::Duration;

use clap::Args;
use kinora_mesh::secret::Secret;
use kinora_mesh::withheld::Withheld;

/// Whether and how people pay. Without a key the platform runs on allowances, grants and vouchers.
#[derive(Args, Clone, Debug, Default)]
pub struct PaymentOptions {
    /// Stripe's secret key, `sk_…`, or better a restricted one, `rk_…`. Without one no money is taken.
    #[arg(
        long = "stripe-secret-key",
        env = "KINORA_STRIPE_SECRET_KEY",
        hide_env_values = true,
        value_parser = Withheld::<Secret>::new(),
        requires = "payments_return_url"
    )]
    pub stripe_secret_key: Option<Secret>,
    /// What Stripe signs its webhooks with, `whsec_…`: one, or two (with a comma) while it is changed. Without one no
    /// webhook is taken, and Stripe is asked what happened instead.
    #[arg(
        long = "stripe-webhook-secrets",
        env = "KINORA_STRIPE_WEBHOOK_SECRETS",
        hide_env_values = true,
        value_delimiter = ',',
        value_parser = Withheld::<Secret>::new()
    )]
    pub stripe_webhook_secrets: Vec<Secret>,
    /// The page of yours on which people land when they come back from Stripe. `checkout` (the id) and `outcome` (`paid`
    /// or `left`) are added to it.
    #[arg(
        id = "payments_return_url",
        long = "payments-return-url",
        env = "KINORA_PAYMENTS_RETURN_URL"
    )]
    pub return_url: Option<String>,
    /// Instead of Stripe, for tests: a fake on this machine, with a `/` at the end.
    #[arg(long = "stripe-url", env = "KINORA_STRIPE_URL", hide = true)]
    pub stripe_url: Option<String>,
    /// Other currencies of the account's balance at Stripe than those of plans and packs, as `eur`.
    #[arg(
        long = "stripe-currencies",
        env = "KINORA_STRIPE_CURRENCIES",
        value_delimiter = ','
    )]
    pub currencies: Vec<String>,
    /// How often Stripe is asked what happened, for what no webhook has brought: a second or more [default: 5m; 15s where no
    /// webhook is taken].
    #[arg(
        id = "stripe_poll",
        long = "stripe-poll",
        env = "KINORA_STRIPE_POLL",
        value_parser = pause
    )]
    pub poll: Option<Duration>,
}

/// What is asked for lies at least so far apart.
const SHORTEST_POLL: Duration = Duration::from_secs(1);

/// Beside webhooks, which bring nearly all.
const POLL_BESIDE_WEBHOOKS: Duration = Duration::from_secs(5 * 60);

/// People wait for their credits.
const POLL_ALONE: Duration = Duration::from_secs(15);

impl PaymentOptions {
    /// How often Stripe is asked what happened.
    #[must_use]
    pub fn poll_interval(&self) -> Duration {
        self.poll
            .unwrap_or(if self.stripe_webhook_secrets.is_empty() {
                POLL_ALONE
            } else {
                POLL_BESIDE_WEBHOOKS
            })
    }
}

fn pause(text: &str) -> Result<Duration, String> {
    let pause = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if pause < SHORTEST_POLL {
        return Err("it is a second or more".to_owned());
    }
    Ok(pause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stripe_is_asked_more_often_where_it_tells_nothing_by_itself() {
        let mut options = PaymentOptions::default();
        assert_eq!(options.poll_interval(), Duration::from_secs(15));
        let Ok(secret) = "whsec_0123456789abcdef".parse();
        options.stripe_webhook_secrets = vec![secret];
        assert_eq!(options.poll_interval(), Duration::from_secs(300));
        options.poll = Some(Duration::from_secs(2));
        assert_eq!(options.poll_interval(), Duration::from_secs(2));
    }

    #[test]
    fn stripe_is_not_asked_without_a_pause() {
        assert_eq!(pause("1s"), Ok(Duration::from_secs(1)));
        for text in ["0s", "999ms", "-1s", "soon"] {
            assert!(pause(text).is_err(), "{text}");
        }
    }
}
