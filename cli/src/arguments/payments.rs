//! Arguments of `kinora buy`, `receipts` and `subscription`.

use clap::{Args, ValueEnum};

use super::ServerArguments;

const BUY_HELP: &str = "\
It prints the address of a page of Stripe's, and waits until somebody has paid there. Ctrl-C stops the waiting; the page
stays open for a day.

Examples:
  kinora buy                                         what there is
  kinora buy pack small
  kinora buy plan creator                            every month, until it is ended with `kinora subscription --portal`";

const SUBSCRIPTION_HELP: &str = "\
Examples:
  kinora subscription
  kinora subscription --portal                       where it is changed and ended, and where invoices are";

/// Options of `kinora buy`.
#[derive(Args, Clone, Debug)]
#[command(after_help = BUY_HELP)]
pub struct BuyArguments {
    /// Whether it is bought once or every month. Without it, what is offered is listed.
    #[arg(requires = "name")]
    pub kind: Option<ItemKind>,
    /// The name of the pack or the plan.
    pub name: Option<String>,
    /// Print the address, and do not wait.
    #[arg(long, requires = "name")]
    pub no_wait: bool,
    /// The same id opens the same page [default: a new one].
    #[arg(long, value_name = "ID", requires = "name")]
    pub request_id: Option<String>,
    /// Print what comes of it as JSON.
    #[arg(long)]
    pub json: bool,
    /// Which mesh.
    #[command(flatten)]
    pub server: ServerArguments,
}

/// What can be bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ItemKind {
    /// Credits, once.
    Pack,
    /// A plan, every month.
    Plan,
}

impl ItemKind {
    /// How the REST interface names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pack => "pack",
            Self::Plan => "plan",
        }
    }
}

/// Options of `kinora receipts`.
#[derive(Args, Clone, Debug)]
pub struct ReceiptsArguments {
    /// How many to list.
    #[arg(long, default_value_t = 25)]
    pub limit: usize,
    /// Print them as JSON.
    #[arg(long)]
    pub json: bool,
    /// Which mesh.
    #[command(flatten)]
    pub server: ServerArguments,
}

/// Options of `kinora subscription`.
#[derive(Args, Clone, Debug)]
#[command(after_help = SUBSCRIPTION_HELP)]
pub struct SubscriptionArguments {
    /// Print the address of Stripe's pages for it, which is good for some minutes and for whoever has it.
    #[arg(long)]
    pub portal: bool,
    /// Print it as JSON.
    #[arg(long)]
    pub json: bool,
    /// Which mesh.
    #[command(flatten)]
    pub server: ServerArguments,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::{Arguments, Command};

    fn parse(line: &str) -> Result<Command, String> {
        let parsed = Arguments::try_parse_from(line.split(' '));
        parsed
            .map(|it| it.command)
            .map_err(|error| error.to_string())
    }

    fn buy(line: &str) -> Result<BuyArguments, String> {
        match parse(line)? {
            Command::Buy(buy) => Ok(buy),
            _ => panic!("nothing is bought"),
        }
    }

    #[test]
    fn one_thing_is_bought_by_its_kind_and_name() {
        let bought = buy("kinora buy pack small").unwrap();
        assert_eq!(
            (bought.kind, bought.name.as_deref()),
            (Some(ItemKind::Pack), Some("small"))
        );
        assert_eq!(buy("kinora buy").unwrap().kind, None);
        for line in [
            "kinora buy pack",
            "kinora buy small",
            "kinora buy --no-wait",
        ] {
            assert!(buy(line).is_err(), "{line}");
        }
    }

    #[test]
    fn the_keys_of_stripe_are_not_shown() {
        let up = "kinora up --stripe-secret-key sk_test_hunter2 --stripe-webhook-secrets whsec_hunter2 \
                  --payments-return-url https://a.example.org/";
        let up: Vec<&str> = up.split_whitespace().collect();
        let parsed = parse(&up.join(" ")).unwrap();
        assert!(!format!("{parsed:?}").contains("hunter2"), "{parsed:?}");
        let Command::Up(up) = parsed else {
            panic!("not up");
        };
        assert!(up.payments.stripe_secret_key.is_some());
        assert_eq!(up.payments.stripe_webhook_secrets.len(), 1);
        let alone = parse("kinora up --stripe-secret-key sk_test_hunter2").unwrap_err();
        assert!(alone.contains("--payments-return-url"), "{alone}");
        assert!(!alone.contains("hunter2"), "{alone}");
    }
}
