//! `kinora admin billing`.

mod payments;

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::accounts::text;
use super::credits::{describe, number, seconds_of};
use crate::arguments::billing::{
    AdjustArguments, BillingAuditArguments, BillingCommand, RefundArguments, WindowArguments,
};
use crate::client::{Api, ApiError};
use crate::exit::{Failure, Status};
use crate::output::{self, show};

/// So many users at most are looked through for an address.
const FOUND: usize = 1000;

/// Runs `kinora admin billing`.
pub(super) async fn run(api: &Api, command: BillingCommand, json: bool) -> Result<(), Failure> {
    match command {
        BillingCommand::Balance { payer } => balance(api, &payer, json).await,
        BillingCommand::Transactions { payer, limit } => {
            transactions(api, &payer, limit, json).await
        }
        BillingCommand::Adjust(arguments) => adjust(api, arguments, json).await,
        BillingCommand::Refund(arguments) if arguments.is_of_receipt() => {
            payments::refund(api, arguments, json).await
        }
        BillingCommand::Refund(arguments) => refund(api, arguments, json).await,
        BillingCommand::Receipts(arguments) => payments::receipts(api, &arguments, json).await,
        BillingCommand::CancelSubscription(arguments) => {
            payments::cancel_subscription(api, &arguments, json).await
        }
        BillingCommand::Reconcile => payments::reconcile(api, json).await,
        BillingCommand::Freeze { payer, note } => freeze(api, &payer, true, &note, json).await,
        BillingCommand::Unfreeze { payer, note } => freeze(api, &payer, false, &note, json).await,
        BillingCommand::Plan { payer, plan } => {
            let body = json!({ "payer": payer_of(api, &payer).await?.json(), "plan": plan });
            change(api, "balance:setPlan", body, json).await
        }
        BillingCommand::Prices { publish } => prices(api, publish.as_deref()).await,
        BillingCommand::Window(arguments) => window(api, &arguments, json).await,
        BillingCommand::Check => check(api, json).await,
        BillingCommand::Audit(arguments) => audit(api, &arguments, json).await,
    }
}

/// Who pays.
#[derive(Debug, PartialEq, Eq)]
struct Payer {
    /// As the contract names it.
    field: &'static str,
    id: String,
}

impl Payer {
    fn json(&self) -> Value {
        json!({ self.field: self.id })
    }

    fn in_query(&self) -> (String, &str) {
        (format!("payer.{}", self.field), self.id.as_str())
    }
}

/// What was typed, or an address of mail that stands for a user.
#[derive(Debug, PartialEq, Eq)]
enum Named {
    Payer(Payer),
    Address(String),
}

fn named(text: &str) -> Result<Named, Failure> {
    let (field, id) = match text.split_once(':') {
        Some(("user", id)) => ("user_id", id),
        Some(("org", id)) => ("organisation_id", id),
        _ if text.contains('@') => return Ok(Named::Address(text.to_owned())),
        _ => ("user_id", text),
    };
    let id = Uuid::parse_str(id).map_err(|_| {
        let forms = "user:ID, org:ID, the id of a user, or an address of mail";
        Failure::usage(format!("`{text}` names no payer: give {forms}"))
    })?;
    let id = id.to_string();
    Ok(Named::Payer(Payer { field, id }))
}

async fn payer_of(api: &Api, payer: &str) -> Result<Payer, Failure> {
    let address = match named(payer)? {
        Named::Payer(payer) => return Ok(payer),
        Named::Address(address) => address,
    };
    // An address of mail stands in no path.
    let users = ["v1", "admin", "users"];
    let found = api
        .listed(&users, &[("query", &address)], "users", FOUND)
        .await?;
    let is_it = |user: &&Value| text(user, "email").to_lowercase() == address.to_lowercase();
    match found.iter().find(is_it) {
        Some(user) => Ok(Payer {
            field: "user_id",
            id: text(user, "id"),
        }),
        None => Err(Failure::usage(format!("nobody has the address {address}"))),
    }
}

async fn balance(api: &Api, payer: &str, json: bool) -> Result<(), Failure> {
    let payer = payer_of(api, payer).await?;
    let (field, id) = payer.in_query();
    let path = ["v1", "admin", "balance"];
    let answer = api
        .call(Method::GET, &path, &[(field.as_str(), id)], None)
        .await;
    let balance = answer?["balance"].take();
    Ok(show(json, &balance, || describe(&balance))?)
}

async fn transactions(api: &Api, payer: &str, limit: usize, json: bool) -> Result<(), Failure> {
    let payer = payer_of(api, payer).await?;
    let (field, id) = payer.in_query();
    let path = ["v1", "admin", "transactions"];
    let query = [(field.as_str(), id)];
    let listed = api.listed(&path, &query, "transactions", limit).await?;
    Ok(show(json, &listed, || transaction_table(&listed))?)
}

async fn adjust(api: &Api, arguments: AdjustArguments, json: bool) -> Result<(), Failure> {
    let credits = arguments.credits();
    let payer = payer_of(api, &arguments.payer).await?.json();
    let request_id = arguments.request_id.unwrap_or_else(new_request_id);
    let body = json!({
        "request_id": request_id,
        "payer": payer,
        "credits": credits.to_string(),
        "note": arguments.note,
        "expire_time": arguments.expires,
    });
    let path = ["v1", "admin", "balance:adjust"];
    let answer = api.call(Method::POST, &path, &[], Some(body)).await;
    let mut answer = answer.map_err(|error| with_request_id(error, &request_id))?;
    let balance = answer["balance"].take();
    Ok(show(json, &balance, || describe(&balance))?)
}

async fn refund(api: &Api, arguments: RefundArguments, json: bool) -> Result<(), Failure> {
    if arguments.amount.is_some() {
        return Err(Failure::usage("--amount is of a receipt, not of a job"));
    }
    let request_id = arguments.request_id.unwrap_or_else(new_request_id);
    let target = format!("{}:refund", arguments.target);
    let body = json!({
        "request_id": request_id,
        "credits": arguments.credits.map(|credits| credits.to_string()),
        "note": arguments.note,
    });
    let path = ["v1", "admin", "jobs", &target];
    let answer = api.call(Method::POST, &path, &[], Some(body)).await;
    let answer = answer.map_err(|error| with_request_id(error, &request_id))?;
    Ok(show(json, &answer, || {
        let came_back = seconds_of(number(&answer, "credits"));
        let in_all = seconds_of(number(&answer, "refunded"));
        format!("{came_back} came back, {in_all} in all")
    })?)
}

pub(super) fn new_request_id() -> String {
    Uuid::now_v7().to_string()
}

/// An answer that got lost leaves open whether it was done; the same id finds out.
pub(super) fn with_request_id(error: ApiError, request_id: &str) -> Failure {
    let may_be_done = match &error {
        ApiError::Unreachable { is_sent, .. } => *is_sent,
        ApiError::Refused(problem) => problem.status >= 500,
        ApiError::Protocol(_) => true,
        ApiError::Local(_) => false,
    };
    let mut failure = Failure::from(error);
    if may_be_done {
        failure.error = failure.error.context(format!(
            "it may have been done; the same command with `--request-id {request_id}` does it once"
        ));
    }
    failure
}

async fn freeze(
    api: &Api,
    payer: &str,
    frozen: bool,
    note: &str,
    json: bool,
) -> Result<(), Failure> {
    let payer = payer_of(api, payer).await?.json();
    let body = json!({ "payer": payer, "frozen": frozen, "note": note });
    change(api, "balance:setFrozen", body, json).await
}

/// Makes a change whose answer is a balance.
async fn change(api: &Api, verb: &str, body: Value, json: bool) -> Result<(), Failure> {
    let path = ["v1", "admin", verb];
    let answer = api.call(Method::POST, &path, &[], Some(body)).await;
    let balance = answer?["balance"].take();
    Ok(show(json, &balance, || describe(&balance))?)
}

/// Prices have no shorter form than JSON.
async fn prices(api: &Api, publish: Option<&Path>) -> Result<(), Failure> {
    let Some(file) = publish else {
        let path = ["v1", "prices"];
        let answer = api.call(Method::GET, &path, &[], None).await?;
        return Ok(output::json(&answer["price_book"])?);
    };
    let unreadable =
        |error: String| Failure::usage(format!("{} cannot be read: {error}", file.display()));
    let read = std::fs::read(file).map_err(|error| unreadable(error.to_string()))?;
    let mut book: Value =
        serde_json::from_slice(&read).map_err(|error| unreadable(error.to_string()))?;
    if let Some(book) = book.as_object_mut() {
        // When it came into force is not for its author to say.
        book.remove("create_time");
    }
    let body = json!({ "price_book": book });
    let path = ["v1", "admin", "prices"];
    let answer = api.call(Method::POST, &path, &[], Some(body)).await?;
    Ok(output::json(&answer["price_book"])?)
}

async fn window(api: &Api, arguments: &WindowArguments, json: bool) -> Result<(), Failure> {
    let window = if arguments.month {
        json!({})
    } else {
        json!({ "start_time": arguments.from, "end_time": arguments.to })
    };
    let path = ["v1", "admin", "window"];
    let answer = api.call(Method::PUT, &path, &[], Some(window)).await;
    let window = answer?["window"].take();
    Ok(show(json, &window, || match window["end_time"].as_str() {
        Some(end) => format!("counted from {} to {end}", text(&window, "start_time")),
        None => "counted in months".to_owned(),
    })?)
}

async fn check(api: &Api, json: bool) -> Result<(), Failure> {
    let path = ["v1", "admin", "ledger:check"];
    let answer = api.call(Method::GET, &path, &[], None).await?;
    show(json, &answer, || checked(&answer))?;
    match answer["problems"].as_array().map_or(0, Vec::len) {
        0 => Ok(()),
        problems => Err(Failure::new(
            Status::Failed,
            anyhow::anyhow!("the ledger does not hold: {problems} problems"),
        )),
    }
}

fn checked(answer: &Value) -> String {
    let problems = answer["problems"].as_array().into_iter().flatten();
    let mut lines: Vec<String> = problems
        .filter_map(Value::as_str)
        .map(|problem| format!("problem: {problem}"))
        .collect();
    lines.push(format!(
        "{} transfers, which sum to {}; {} open holds with {}",
        text(answer, "transfers"),
        text(answer, "sum"),
        text(answer, "open_holds"),
        seconds_of(number(answer, "held")),
    ));
    lines.join("\n")
}

async fn audit(api: &Api, arguments: &BillingAuditArguments, json: bool) -> Result<(), Failure> {
    let mut query = vec![
        ("actor", arguments.actor.as_str()),
        ("action", arguments.action.as_str()),
        ("target", arguments.target.as_str()),
    ];
    query.retain(|(_, value)| !value.is_empty());
    let path = ["v1", "admin", "billingAudit"];
    let entries = api
        .listed(&path, &query, "entries", arguments.limit)
        .await?;
    let row = |entry: &Value| {
        ["time", "actor", "action", "target", "result"].map(|field| text(entry, field))
    };
    Ok(show(json, &entries, || {
        let rows: Vec<_> = entries.iter().map(row).collect();
        output::table(["TIME", "WHO", "WHAT", "TO WHAT", "RESULT"], &rows)
    })?)
}

fn transaction_table(transactions: &[Value]) -> String {
    let row = |transaction: &Value| {
        let kind = text(transaction, "kind").replace("TRANSACTION_KIND_", "");
        [
            text(transaction, "create_time"),
            kind.to_lowercase(),
            seconds_of(number(transaction, "available_change")),
            seconds_of(number(transaction, "held_change")),
            text(transaction, "job_id"),
            text(transaction, "user_id"),
            text(transaction, "note"),
        ]
    };
    let rows: Vec<_> = transactions.iter().map(row).collect();
    let header = ["TIME", "WHAT", "AVAILABLE", "HELD", "JOB", "WHO", "NOTE"];
    output::table(header, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01890000-0000-7000-8000-000000000000";

    #[test]
    fn payers_are_named_in_four_ways() {
        let payer = |field| {
            Named::Payer(Payer {
                field,
                id: ID.to_owned(),
            })
        };
        assert_eq!(named(&format!("user:{ID}")).unwrap(), payer("user_id"));
        assert_eq!(named(ID).unwrap(), payer("user_id"));
        assert_eq!(
            named(&format!("org:{ID}")).unwrap(),
            payer("organisation_id")
        );
        let address = "mina@example.org";
        assert_eq!(named(address).unwrap(), Named::Address(address.to_owned()));
        for text in [
            "",
            "user:",
            "org:x",
            "team:1",
            "mina",
            "../../x",
            "user:../x",
        ] {
            assert_eq!(named(text).unwrap_err().status, Status::Usage, "{text}");
        }
    }

    #[test]
    fn a_payer_is_a_field_of_a_message() {
        let payer = Payer {
            field: "organisation_id",
            id: ID.to_owned(),
        };
        assert_eq!(payer.json(), json!({ "organisation_id": ID }));
        assert_eq!(payer.in_query(), ("payer.organisation_id".to_owned(), ID));
    }

    #[test]
    fn who_has_no_answer_is_told_how_to_ask_again() {
        let lost = ApiError::Unreachable {
            base: "http://x".to_owned(),
            cause: "reset".to_owned(),
            is_sent: true,
        };
        let failure = with_request_id(lost, "r1");
        assert!(format!("{:#}", failure.error).contains("--request-id r1"));
        let never_sent = ApiError::Unreachable {
            base: "http://x".to_owned(),
            cause: "refused".to_owned(),
            is_sent: false,
        };
        let failure = with_request_id(never_sent, "r1");
        assert!(!format!("{:#}", failure.error).contains("--request-id"));
    }

    #[test]
    fn a_check_names_problems_first() {
        let answer = json!({
            "problems": ["grant g1: 5 are kept, 7 are there"], "transfers": "12", "sum": "0",
            "open_holds": "1", "held": "2125",
        });
        assert_eq!(
            checked(&answer),
            "problem: grant g1: 5 are kept, 7 are there\n\
             12 transfers, which sum to 0; 1 open holds with 2.125 s"
        );
    }

    #[test]
    fn transactions_show_what_moved() {
        let transaction = json!({
            "create_time": "2026-11-22T12:00:00Z", "kind": "TRANSACTION_KIND_HOLD",
            "available_change": "-2125", "held_change": "2125", "job_id": "j1", "user_id": "u1",
            "note": "",
        });
        let table = transaction_table(&[transaction]);
        assert!(
            table.contains("hold  -2.125 s   2.125 s  j1   u1"),
            "{table}"
        );
    }
}
