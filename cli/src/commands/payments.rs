//! `kinora buy`, `receipts` and `subscription`.

use reqwest::Method;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::accounts::text;
use super::billing::{new_request_id, with_request_id};
use super::connect::any_mesh;
use super::credits::{number, seconds_of};
use crate::arguments::Folders;
use crate::arguments::payments::{
    BuyArguments, ItemKind, ReceiptsArguments, SubscriptionArguments,
};
use crate::client::Api;
use crate::exit::{Failure, Status};
use crate::output::{self, show};
use crate::progress::Display;

/// Currencies whose smallest unit is a whole one, as Stripe counts them. (docs.stripe.com/currencies)
const WHOLE: [&str; 15] = [
    "bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf",
    "xof", "xpf",
];

/// Currencies of a thousand units.
const THOUSANDTHS: [&str; 5] = ["bhd", "jod", "kwd", "omr", "tnd"];

/// Runs `kinora buy`.
///
/// # Errors
///
/// [`Failure`], also when the page closes before somebody has paid.
pub async fn buy(
    arguments: BuyArguments,
    folders: &Folders,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    let api = any_mesh(&arguments.server, folders).await?;
    let (Some(kind), Some(name)) = (arguments.kind, &arguments.name) else {
        return offered(&api, arguments.json).await;
    };
    let checkout = open(&api, kind, name, arguments.request_id).await?;
    let url = text(&checkout, "url");
    if arguments.no_wait {
        return Ok(show(arguments.json, &checkout, || url)?);
    }
    if !url.is_empty() {
        let price = money(number(&checkout, "price"), &text(&checkout, "currency"));
        output::remark(format!("pay {price} for {} at", gives(&checkout)));
        // With --json the output is the checkout as it ends.
        if arguments.json {
            output::remark(&url);
        } else {
            output::result(&url)?;
        }
    }
    let id = text(&checkout, "id");
    let mut display = Display::new(false);
    display.say("waiting for the payment; Ctrl-C stops the waiting");
    let ended = tokio::select! {
        ended = api.wait_for_checkout(&id) => ended,
        () = shutdown.cancelled() => {
            display.clear();
            let until = text(&checkout, "expire_time");
            let text = format!("the page stays open until {until}; the credits come once it is paid");
            return Err(Failure::interrupted(text));
        }
    };
    display.clear();
    tell(&ended?, arguments.json)
}

/// Runs `kinora receipts`.
///
/// # Errors
///
/// [`Failure`].
pub async fn receipts(arguments: &ReceiptsArguments, folders: &Folders) -> Result<(), Failure> {
    let api = any_mesh(&arguments.server, folders).await?;
    let path = ["v1", "receipts"];
    let listed = api.listed(&path, &[], "receipts", arguments.limit).await?;
    Ok(show(arguments.json, &listed, || receipt_table(&listed))?)
}

/// Runs `kinora subscription`.
///
/// # Errors
///
/// [`Failure`].
pub async fn subscription(
    arguments: &SubscriptionArguments,
    folders: &Folders,
) -> Result<(), Failure> {
    let api = any_mesh(&arguments.server, folders).await?;
    if arguments.portal {
        let path = ["v1", "billingPortal"];
        let opened = api.call(Method::POST, &path, &[], Some(json!({}))).await?;
        return Ok(show(arguments.json, &opened, || text(&opened, "url"))?);
    }
    let path = ["v1", "subscriptions"];
    let mut answer = api.call(Method::GET, &path, &[], None).await?;
    let listed = answer["subscriptions"].take();
    let rows = listed.as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(show(arguments.json, &listed, || subscription_table(rows))?)
}

/// Lists what can be bought.
async fn offered(api: &Api, as_json: bool) -> Result<(), Failure> {
    let mut packs = api.call(Method::GET, &["v1", "packs"], &[], None).await?;
    let mut plans = api.call(Method::GET, &["v1", "plans"], &[], None).await?;
    let offered = json!({ "packs": packs["packs"].take(), "plans": plans["plans"].take() });
    Ok(show(as_json, &offered, || offer_table(&offered))?)
}

async fn open(
    api: &Api,
    kind: ItemKind,
    name: &str,
    request_id: Option<String>,
) -> Result<Value, Failure> {
    let request_id = request_id.unwrap_or_else(new_request_id);
    let body = json!({ "request_id": request_id, kind.name(): name });
    let path = ["v1", "checkouts"];
    let answer = api.call(Method::POST, &path, &[], Some(body)).await;
    let mut answer = answer.map_err(|error| with_request_id(error, &request_id))?;
    Ok(answer["checkout"].take())
}

/// Says what became of a checkout.
fn tell(checkout: &Value, as_json: bool) -> Result<(), Failure> {
    let state = text(checkout, "state");
    let said = match state.as_str() {
        "CHECKOUT_STATE_PAID" => format!("paid: {}", gives(checkout)),
        "CHECKOUT_STATE_PROCESSING" => {
            "paid in a way that takes days; the credits come by themselves once it is done"
                .to_owned()
        }
        _ => {
            let error = anyhow::anyhow!("the page has closed and nothing was paid");
            return Err(Failure::new(Status::Failed, error));
        }
    };
    Ok(show(as_json, checkout, || said)?)
}

/// What a checkout gives, in words.
fn gives(checkout: &Value) -> String {
    let seconds = seconds_of(number(checkout, "credits"));
    if text(checkout, "item").starts_with("plan:") {
        format!("{seconds} of video a month")
    } else {
        format!("{seconds} of video")
    }
}

fn offer_table(offered: &Value) -> String {
    let of = |kind: &str| offered[kind].as_array().cloned().unwrap_or_default();
    let pack = |pack: &Value| {
        let days = number(pack, "valid_days");
        let lasts = match days {
            0 => String::new(),
            days => format!("{days} days"),
        };
        let price = money(number(pack, "price"), &text(pack, "currency"));
        row("pack", pack, number(pack, "credits"), price, lasts)
    };
    let plan = |plan: &Value| {
        let price = money(number(plan, "price_cents"), &text(plan, "currency"));
        let credits = number(plan, "monthly_credits");
        row("plan", plan, credits, price, "a month".to_owned())
    };
    let mut rows: Vec<_> = of("packs").iter().map(pack).collect();
    // What costs nothing is not bought.
    let plans = of("plans");
    let paid = plans.iter().filter(|plan| number(plan, "price_cents") > 0);
    rows.extend(paid.map(plan));
    output::table(["KIND", "NAME", "GIVES", "PRICE", "LASTS"], &rows)
}

fn row(kind: &str, of: &Value, credits: i64, price: String, lasts: String) -> [String; 5] {
    [
        kind.to_owned(),
        text(of, "name"),
        seconds_of(credits),
        price,
        lasts,
    ]
}

fn receipt_table(receipts: &[Value]) -> String {
    let row = |receipt: &Value| {
        let currency = text(receipt, "currency");
        let back = number(receipt, "refunded") + number(receipt, "disputed");
        let some = |amount: i64, shown: String| if amount == 0 { String::new() } else { shown };
        let taken = number(receipt, "taken_credits");
        [
            text(receipt, "create_time"),
            text(receipt, "item"),
            seconds_of(number(receipt, "credits")),
            money(number(receipt, "paid"), &currency),
            some(back, money(back, &currency)),
            some(taken, seconds_of(taken)),
            text(receipt, "invoice_number"),
            text(receipt, "id"),
        ]
    };
    let rows: Vec<_> = receipts.iter().map(row).collect();
    let header = [
        "PAID ON", "FOR", "GAVE", "PAID", "BACK", "TAKEN", "INVOICE", "ID",
    ];
    output::table(header, &rows)
}

fn subscription_table(subscriptions: &[Value]) -> String {
    let row = |subscription: &Value| {
        let status = text(subscription, "status").replace("SUBSCRIPTION_STATUS_", "");
        let ends = subscription["ends_with_period"] == true;
        [
            text(subscription, "plan"),
            status.to_lowercase().replace('_', " "),
            text(subscription, "period_end"),
            if ends { "ends" } else { "goes on" }.to_owned(),
            text(subscription, "id"),
        ]
    };
    let rows: Vec<_> = subscriptions.iter().map(row).collect();
    output::table(["PLAN", "STATUS", "PERIOD ENDS", "THEN", "ID"], &rows)
}

/// An amount as people write it: `9.99 USD`.
fn money(amount: i64, currency: &str) -> String {
    let digits = if WHOLE.contains(&currency) {
        0
    } else if THOUSANDTHS.contains(&currency) {
        3
    } else {
        2
    };
    let name = currency.to_uppercase();
    let sign = if amount < 0 { "-" } else { "" };
    let amount = amount.unsigned_abs();
    if digits == 0 {
        return format!("{sign}{amount} {name}");
    }
    let unit = 10_u64.pow(digits);
    let (whole, rest, width) = (amount / unit, amount % unit, digits as usize);
    format!("{sign}{whole}.{rest:0width$} {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_in_their_currency() {
        for (amount, currency, shown) in [
            (999, "usd", "9.99 USD"),
            (5, "eur", "0.05 EUR"),
            (-1050, "usd", "-10.50 USD"),
            (1500, "jpy", "1500 JPY"),
            (1500, "kwd", "1.500 KWD"),
            (0, "usd", "0.00 USD"),
            (i64::MIN, "usd", "-92233720368547758.08 USD"),
        ] {
            assert_eq!(money(amount, currency), shown);
        }
    }

    #[test]
    fn what_is_offered_has_a_price() {
        let offered = json!({
            "packs": [{
                "name": "small", "credits": "1000000", "price": 999, "currency": "usd", "valid_days": 30,
            }],
            "plans": [
                { "name": "free", "monthly_credits": "600000", "price_cents": 0, "currency": "usd" },
                { "name": "creator", "monthly_credits": "1500000", "price_cents": 999, "currency": "usd" },
            ],
        });
        let table = offer_table(&offered);
        assert!(
            table.contains("pack  small    1000 s  9.99 USD  30 days"),
            "{table}"
        );
        assert!(
            table.contains("plan  creator  1500 s  9.99 USD  a month"),
            "{table}"
        );
        assert!(!table.contains("free"), "{table}");
    }

    #[test]
    fn a_receipt_tells_what_went_back() {
        let mut receipt = json!({
            "id": "pi_1", "item": "pack:small", "credits": "1000000", "paid": "999", "refunded": "0",
            "disputed": "0", "currency": "usd", "taken_credits": "0", "invoice_number": "A-1",
            "create_time": "2026-11-22T12:00:00Z",
        });
        let table = receipt_table(std::slice::from_ref(&receipt));
        assert!(table.contains("pack:small  1000 s  9.99 USD"), "{table}");
        assert!(!table.contains("0.00"), "{table}");
        receipt["refunded"] = json!("500");
        receipt["disputed"] = json!("499");
        receipt["taken_credits"] = json!("1000000");
        let table = receipt_table(&[receipt]);
        assert!(table.contains("9.99 USD  9.99 USD  1000 s"), "{table}");
    }

    #[test]
    fn a_subscription_says_whether_it_goes_on() {
        let mut subscription = json!({
            "id": "sub_1", "plan": "creator", "status": "SUBSCRIPTION_STATUS_PAST_DUE",
            "period_end": "2026-12-22T12:00:00Z", "ends_with_period": false,
        });
        let table = subscription_table(std::slice::from_ref(&subscription));
        assert!(
            table.contains("creator  past due  2026-12-22T12:00:00Z  goes on"),
            "{table}"
        );
        subscription["ends_with_period"] = json!(true);
        assert!(subscription_table(&[subscription]).contains("Z  ends"));
    }
}
