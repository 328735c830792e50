//! `kinora admin billing` about money.

use reqwest::Method;
use serde_json::{Value, json};

use super::{new_request_id, payer_of, with_request_id};
use crate::arguments::billing::{CancelSubscriptionArguments, ReceiptsArguments, RefundArguments};
use crate::client::{Api, ApiError};
use crate::commands::accounts::text;
use crate::commands::credits::{number, seconds_of};
use crate::exit::{Failure, Status};
use crate::output::{self, show};

/// A comparison goes on at the mesh when a call has ended without it; so often it is asked for.
const ASKED: usize = 60;

/// A call took longer than the mesh waits.
const TOO_LONG: u16 = 504;

pub(super) async fn receipts(
    api: &Api,
    arguments: &ReceiptsArguments,
    json: bool,
) -> Result<(), Failure> {
    let path = ["v1", "admin", "receipts"];
    let payer = match &arguments.payer {
        Some(payer) => Some(payer_of(api, payer).await?),
        None => None,
    };
    let of_payer = payer.as_ref().map(super::Payer::in_query);
    let query: Vec<(&str, &str)> = of_payer
        .iter()
        .map(|(field, id)| (field.as_str(), *id))
        .collect();
    let listed = api
        .listed(&path, &query, "receipts", arguments.limit)
        .await?;
    Ok(show(json, &listed, || receipt_table(&listed))?)
}

fn receipt_table(receipts: &[Value]) -> String {
    let row = |receipt: &Value| {
        let payer = &receipt["payer"];
        let payer = match payer["organisation_id"].as_str() {
            Some(id) => format!("org:{id}"),
            None => format!("user:{}", text(payer, "user_id")),
        };
        let went_back = number(receipt, "refunded") + number(receipt, "disputed");
        [
            text(receipt, "create_time"),
            text(receipt, "id"),
            payer,
            text(receipt, "item"),
            format!("{} {}", number(receipt, "paid"), text(receipt, "currency")),
            went_back.to_string(),
            seconds_of(number(receipt, "credits")),
            seconds_of(number(receipt, "taken_credits")),
        ]
    };
    let rows: Vec<_> = receipts.iter().map(row).collect();
    let header = [
        "TIME", "RECEIPT", "PAYER", "ITEM", "PAID", "BACK", "GAVE", "TAKEN",
    ];
    output::table(header, &rows)
}

pub(super) async fn refund(
    api: &Api,
    arguments: RefundArguments,
    json: bool,
) -> Result<(), Failure> {
    if arguments.credits.is_some() {
        return Err(Failure::usage("--credits is of a job, not of a receipt"));
    }
    let request_id = arguments.request_id.unwrap_or_else(new_request_id);
    let target = format!("{}:refund", arguments.target);
    let body = json!({
        "request_id": request_id,
        "amount": arguments.amount.map(|amount| amount.to_string()),
        "note": arguments.note,
    });
    let path = ["v1", "admin", "receipts", &target];
    let answer = api.call(Method::POST, &path, &[], Some(body)).await;
    let mut answer = answer.map_err(|error| with_request_id(error, &request_id))?;
    let receipt = answer["receipt"].take();
    Ok(show(json, &receipt, || went_back(&receipt))?)
}

fn went_back(receipt: &Value) -> String {
    let currency = text(receipt, "currency");
    let (paid, refunded) = (number(receipt, "paid"), number(receipt, "refunded"));
    let taken = seconds_of(number(receipt, "taken_credits"));
    let gave = seconds_of(number(receipt, "credits"));
    format!("{refunded} of {paid} {currency} went back, and {taken} of {gave}")
}

pub(super) async fn cancel_subscription(
    api: &Api,
    arguments: &CancelSubscriptionArguments,
    json: bool,
) -> Result<(), Failure> {
    let target = format!("{}:cancel", arguments.subscription);
    let path = ["v1", "admin", "subscriptions", &target];
    let body = json!({ "note": arguments.note });
    let mut answer = api.call(Method::POST, &path, &[], Some(body)).await?;
    let subscription = answer["subscription"].take();
    Ok(show(json, &subscription, || {
        let status = text(&subscription, "status").replace("SUBSCRIPTION_STATUS_", "");
        let (id, plan) = (text(&subscription, "id"), text(&subscription, "plan"));
        format!("{id} ({plan}) is {}", status.to_lowercase())
    })?)
}

pub(super) async fn reconcile(api: &Api, json: bool) -> Result<(), Failure> {
    let answer = compared(api).await?;
    show(json, &answer, || describe(&answer))?;
    match answer["problems"].as_array().map_or(0, Vec::len) {
        0 => Ok(()),
        problems => Err(Failure::new(
            Status::Failed,
            anyhow::anyhow!("payments do not add up: {problems} problems"),
        )),
    }
}

/// Who asks again while the mesh compares waits for the same comparison.
async fn compared(api: &Api) -> Result<Value, ApiError> {
    let path = ["v1", "admin", "payments:reconcile"];
    for _ in 1..ASKED {
        let answer = api.call(Method::POST, &path, &[], Some(json!({}))).await;
        match answer {
            Err(ApiError::Refused(problem)) if problem.status == TOO_LONG => {
                output::remark("comparing ...");
            }
            answer => return answer,
        }
    }
    api.call(Method::POST, &path, &[], Some(json!({}))).await
}

fn describe(answer: &Value) -> String {
    let problems = answer["problems"].as_array().into_iter().flatten();
    let mut lines: Vec<String> = problems
        .filter_map(Value::as_str)
        .map(|problem| format!("problem: {problem}"))
        .collect();
    lines.push(format!(
        "{} movements of money; {} events that no webhook had brought, {} that wait",
        number(answer, "movements"),
        number(answer, "missed_events"),
        number(answer, "waiting_events"),
    ));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt() -> Value {
        json!({
            "id": "pi_1", "payer": { "organisation_id": "o1" }, "item": "pack:small",
            "credits": "1000000", "paid": "999", "refunded": "99", "disputed": "0",
            "currency": "usd", "taken_credits": "99099", "create_time": "2026-11-22T12:00:00Z",
        })
    }

    #[test]
    fn receipts_show_what_was_paid_and_what_went_back() {
        let table = receipt_table(&[receipt()]);
        let row = "pi_1     org:o1  pack:small  999 usd  99    1000 s  99.099 s";
        assert!(table.contains(row), "{table}");
    }

    #[test]
    fn a_refund_says_what_is_left_of_it() {
        assert_eq!(
            went_back(&receipt()),
            "99 of 999 usd went back, and 99.099 s of 1000 s"
        );
    }

    #[test]
    fn a_comparison_names_problems_first() {
        let answer = json!({
            "problems": ["pi_1: by the receipt 1 usd are here"], "movements": "12",
            "missed_events": "1", "waiting_events": "0",
        });
        assert_eq!(
            describe(&answer),
            "problem: pi_1: by the receipt 1 usd are here\n\
             12 movements of money; 1 events that no webhook had brought, 0 that wait"
        );
    }
}
