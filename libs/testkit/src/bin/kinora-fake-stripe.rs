//! The tests' fake of Stripe, as a program: to try out buying on one's own machine, where no money moves.

#![expect(clippy::print_stdout, reason = "the conversation is the output")]

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use kinora_testkit::stripe::{Act, FakeStripe, PayOutcome};
use tokio::io::{AsyncBufReadExt, BufReader};

const HELP: &str = "\
pay CHECKOUT [declined|takes_days]   as the buttons of its page do
settle CHECKOUT [fails]              the bank decides on what took days
refund PAYMENT [CENTS]               on Stripe's own pages
dispute PAYMENT                      the payer's bank takes the money back
win DISPUTE, lose DISPUTE            and decides
end SUBSCRIPTION                     with its period, as in the portal
advance 32d                          lets time pass: subscriptions renew, checkouts expire
list KIND                            checkout.session, payment_intent, subscription, dispute, invoice, event, ...
show ID                              an object as JSON
help";

/// Sells with the tests' fake of Stripe. No money moves.
///
/// Start it, then a mesh that sells with it:
///
///   kinora up --default-plan free --stripe-secret-key sk_test_of_the_fake --stripe-url http://127.0.0.1:12111/
///     --stripe-webhook-secrets whsec_0123456789abcdef --payments-return-url https://example.org/paid
///
/// `kinora buy pack small` prints the address of a page with buttons. What banks do, and time, are lines on standard input:
/// `help` lists them. Its clock goes with that of the machine, unless `advance` moved it ahead.
#[derive(Parser)]
#[command(name = "kinora-fake-stripe", verbatim_doc_comment)]
struct Arguments {
    /// Where it is asked, on the loopback.
    #[arg(long, default_value = "127.0.0.1:12111")]
    listen: SocketAddr,
    /// Where webhooks go.
    #[arg(long, default_value = "http://127.0.0.1:8080/v1/stripe:webhook")]
    webhooks: String,
    /// What they are signed with.
    #[arg(long, default_value = "whsec_0123456789abcdef")]
    webhook_secret: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    anyhow::ensure!(
        arguments.listen.ip().is_loopback(),
        "it has no door: --listen must be on the loopback"
    );
    let listener = tokio::net::TcpListener::bind(arguments.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}", arguments.listen))?;
    let stripe = FakeStripe::start_on(listener, present());
    stripe.send_webhooks_to(&arguments.webhooks, &[&arguments.webhook_secret]);
    println!("a fake Stripe is at {}", stripe.base_url());
    println!(
        "its key is {}; `help` lists what happens",
        FakeStripe::SECRET_KEY
    );
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut is_told = true;
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            _ = seconds.tick() => {}
            line = lines.next_line(), if is_told => match line? {
                Some(line) => println!("{}", obey(&stripe, line.trim()).await),
                // Without a terminal it goes on until it is ended.
                None => is_told = false,
            },
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
        keep_time(&stripe).await;
    }
}

/// Goes along with the machine's clock, and sends the webhooks that are due.
async fn keep_time(stripe: &FakeStripe) {
    let now = present();
    stripe.sign_webhooks_at(now);
    let behind = u64::try_from(now.saturating_sub(stripe.now())).unwrap_or(0);
    stripe.advance(Duration::from_secs(behind)).await;
}

async fn obey(stripe: &FakeStripe, line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let answer = match words.as_slice() {
        ["list", kind] => {
            let objects = stripe.objects(kind);
            let ids = objects.iter().filter_map(|object| object["id"].as_str());
            return ids.collect::<Vec<_>>().join("\n");
        }
        ["show", id] => return format!("{:#}", stripe.object(id)),
        ["advance", time] => match humantime::parse_duration(time) {
            Ok(time) => {
                stripe.sign_webhooks_at(present());
                stripe.advance(time).await;
                Ok(format!("it is {} now", stripe.now()))
            }
            Err(error) => Err(error.to_string()),
        },
        _ => act(&words).and_then(|act| stripe.act(&act)),
    };
    answer.unwrap_or_else(|problem| problem)
}

/// What a line asks for.
fn act(words: &[&str]) -> Result<Act, String> {
    let pay = |checkout: &str, outcome| Act::Pay {
        checkout: checkout.to_owned(),
        outcome,
    };
    let refund = |payment: &str, amount| Act::Refund {
        payment: payment.to_owned(),
        amount,
    };
    let settle = |checkout: &str, succeeds| Act::Settle {
        checkout: checkout.to_owned(),
        succeeds,
    };
    let close = |dispute: &str, is_won| Act::CloseDispute {
        dispute: dispute.to_owned(),
        is_won,
    };
    Ok(match *words {
        ["pay", id] => pay(id, PayOutcome::Succeeds),
        ["pay", id, "declined"] => pay(id, PayOutcome::Declined),
        ["pay", id, "takes_days"] => pay(id, PayOutcome::TakesDays),
        ["settle", id] => settle(id, true),
        ["settle", id, "fails"] => settle(id, false),
        ["refund", id] => refund(id, None),
        ["refund", id, cents] => {
            let cents = cents.parse().map_err(|_| format!("{cents} is no amount"));
            refund(id, Some(cents?))
        }
        ["dispute", id] => Act::OpenDispute {
            payment: id.to_owned(),
        },
        ["win", id] => close(id, true),
        ["lose", id] => close(id, false),
        ["end", id] => Act::SetEnding {
            subscription: id.to_owned(),
            ends: true,
        },
        _ => return Err(HELP.to_owned()),
    })
}

fn present() -> i64 {
    chrono::Utc::now().timestamp()
}
