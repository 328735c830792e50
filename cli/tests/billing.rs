//! The commands about credits and vouchers, against a mesh that answers what a test says and notes what it was asked.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: what goes wrong fails the test"
)]

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::process::Command;

const ID: &str = "01890000-0000-7000-8000-000000000000";

/// Answers by method and path.
#[derive(Clone, Default)]
struct Mesh {
    answers: Arc<HashMap<String, (u16, String)>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// A request.
#[derive(Clone, Debug)]
struct Asked {
    line: String,
    body: Value,
}

/// How a command ended.
#[derive(Debug)]
struct Ended {
    status: Option<i32>,
    output: String,
    log: String,
}

impl Mesh {
    /// Answers with these; with 404 to everything else.
    fn with(answers: &[(&str, Value)]) -> Self {
        let ok = |(line, answer): &(&str, Value)| ((*line).to_owned(), (200, answer.to_string()));
        Self::with_texts(answers.iter().map(ok).collect())
    }

    fn with_texts(answers: HashMap<String, (u16, String)>) -> Self {
        Self {
            answers: Arc::new(answers),
            asked: Arc::default(),
        }
    }

    /// Runs a command against it.
    async fn run(&self, arguments: &[&str]) -> Ended {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(self.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        let child = Command::new(env!("CARGO_BIN_EXE_kinora"))
            .args(arguments)
            .env("KINORA_SERVER", format!("http://{address}"))
            .env("KINORA_API_KEY", "kk_test")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let output = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output()).await;
        let output = output.unwrap().unwrap();
        server.abort();
        Ended {
            status: output.status.code(),
            output: String::from_utf8(output.stdout).unwrap(),
            log: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The requests, oldest first.
    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().clone()
    }
}

async fn answer(State(mesh): State<Mesh>, method: Method, uri: Uri, body: Bytes) -> Response {
    let line = format!("{method} {uri}");
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    mesh.asked.lock().push(Asked {
        line: line.clone(),
        body,
    });
    let Some((status, text)) = mesh.answers.get(&line) else {
        return problem(404, "NOT_FOUND");
    };
    let status = StatusCode::from_u16(*status).unwrap();
    (status, Body::from(text.clone())).into_response()
}

fn problem_text(status: u16, reason: &str) -> String {
    json!({
        "type": "", "title": "", "status": status, "detail": format!("because {reason}"),
        "instance": "", "reason": reason, "metadata": {}, "errors": [], "request_id": "r",
    })
    .to_string()
}

fn problem(status: u16, reason: &str) -> Response {
    let code = StatusCode::from_u16(status).unwrap();
    (code, problem_text(status, reason)).into_response()
}

fn campaign() -> Value {
    json!({
        "name": "odyssey", "count": 3, "credits": "600000", "access": true, "plan": "",
        "max_uses": 1, "per_user": 1, "expire_time": "2027-02-01T00:00:00Z",
        "disable_time": null, "redemptions": "0",
    })
}

/// A mesh that makes three codes, in two lines, or fewer of these.
fn maker(lines: usize) -> Mesh {
    let all = [
        json!({ "campaign": campaign(), "codes": ["AAAA-1", "AAAA-2"] }),
        json!({ "campaign": null, "codes": ["AAAA-3"] }),
    ];
    let lines = all[..lines].iter().map(|line| format!("{line}\n"));
    let answer = (200, lines.collect());
    Mesh::with_texts([("POST /v1/admin/campaigns".to_owned(), answer)].into())
}

fn create<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let line = "admin vouchers create --campaign odyssey --count 3 --seconds 600 --access --expires 2027-01-31";
    line.split(' ').chain(more.iter().copied()).collect()
}

#[tokio::test]
async fn codes_go_to_the_output_and_the_summary_beside_it() {
    let mesh = maker(2);
    let ended = mesh.run(&create(&[])).await;
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let lines: Vec<&str> = ended.output.lines().collect();
    let expected = [
        "code,campaign,expires",
        "AAAA-1,odyssey,2027-02-01T00:00:00Z",
        "AAAA-2,odyssey,2027-02-01T00:00:00Z",
        "AAAA-3,odyssey,2027-02-01T00:00:00Z",
    ];
    assert_eq!(lines, expected);
    assert!(
        ended.log.contains("3 codes of odyssey, each for 600 s"),
        "{ended:?}"
    );
    let body = &mesh.asked()[0].body;
    assert_eq!(
        (&body["credits"], &body["count"]),
        (&json!("600000"), &json!(3))
    );
    assert_eq!(body["expire_time"], "2027-02-01T00:00:00Z");
    assert_eq!(
        (&body["access"], &body["start_time"]),
        (&json!(true), &Value::Null)
    );
}

#[tokio::test]
async fn codes_go_to_a_new_file_or_nothing_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odyssey.csv");
    let path = path.to_str().unwrap();
    let mesh = maker(2);
    let ended = mesh.run(&create(&["-o", path])).await;
    assert_eq!(
        (ended.status, ended.output.as_str()),
        (Some(0), ""),
        "{ended:?}"
    );
    assert_eq!(std::fs::read_to_string(path).unwrap().lines().count(), 4);
    let ended = mesh.run(&create(&["-o", path])).await;
    assert_eq!(ended.status, Some(2), "{ended:?}");
    assert_eq!(
        mesh.asked().len(),
        1,
        "codes that have no place are not made"
    );
}

#[tokio::test]
async fn an_answer_that_ends_early_says_what_is_lost() {
    let ended = maker(1).run(&create(&[])).await;
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert!(ended.output.contains("AAAA-2"), "{ended:?}");
    assert!(ended.log.contains("2 of 3 codes arrived"), "{ended:?}");
    assert!(
        ended.log.contains("vouchers disable --campaign odyssey"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_campaign_that_is_refused_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odyssey.csv");
    let path = path.to_str().unwrap();
    let refused = (409, problem_text(409, "CAMPAIGN_EXISTS"));
    let mesh = Mesh::with_texts([("POST /v1/admin/campaigns".to_owned(), refused)].into());
    let ended = mesh.run(&create(&["-o", path])).await;
    assert_eq!(ended.status, Some(2), "{ended:?}");
    assert!(ended.log.contains("because CAMPAIGN_EXISTS"), "{ended:?}");
    assert!(!ended.log.contains("codes arrived"), "{ended:?}");
    assert!(!std::path::Path::new(path).exists());
}

#[tokio::test]
async fn a_payer_may_be_named_by_an_address() {
    let balance = json!({ "balance": { "available": "60000", "plan": "free", "grants": [] } });
    let mesh = Mesh::with(&[
        (
            "GET /v1/admin/users?query=mina%40example.org&page_size=200",
            json!({ "users": [
                { "id": "other", "email": "jasmina@example.org" },
                { "id": ID, "email": "Mina@example.org" },
            ] }),
        ),
        ("POST /v1/admin/balance:adjust", balance),
    ]);
    let line = "admin billing adjust mina@example.org --seconds -60 --note sorry";
    let ended = mesh.run(&line.split(' ').collect::<Vec<_>>()).await;
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(ended.output.contains("available 60 s"), "{ended:?}");
    let body = &mesh.asked()[1].body;
    assert_eq!(body["payer"], json!({ "user_id": ID }));
    assert_eq!(body["credits"], "-60000");
    assert!(!body["request_id"].as_str().unwrap().is_empty());
}

#[tokio::test]
async fn a_change_whose_answer_is_lost_may_be_asked_for_again() {
    let broken = (503, problem_text(503, "DATABASE_UNAVAILABLE"));
    let mesh = Mesh::with_texts([("POST /v1/admin/jobs/j1:refund".to_owned(), broken)].into());
    let ended = mesh
        .run(&["admin", "billing", "refund", "j1", "--note", "black"])
        .await;
    assert_eq!(ended.status, Some(3), "{ended:?}");
    let request_id = mesh.asked()[0].body["request_id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        ended.log.contains(&format!("--request-id {request_id}")),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_ledger_that_does_not_hold_fails_the_command() {
    let path = "GET /v1/admin/ledger:check";
    let answer = |problems: Value| json!({ "problems": problems, "transfers": "2", "sum": "0" });
    let ended = Mesh::with(&[(path, answer(json!([])))])
        .run(&["admin", "billing", "check"])
        .await;
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(ended.output.contains("2 transfers"), "{ended:?}");
    let ended = Mesh::with(&[(path, answer(json!(["it leaks"])))])
        .run(&["admin", "billing", "check"])
        .await;
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert!(ended.output.contains("problem: it leaks"), "{ended:?}");
}

#[tokio::test]
async fn money_goes_back_by_the_id_of_a_receipt() {
    let receipt = json!({ "receipt": {
        "id": "pi_1", "paid": "999", "refunded": "500", "currency": "usd",
        "credits": "1000000", "taken_credits": "500500",
    } });
    let mesh = Mesh::with(&[("POST /v1/admin/receipts/pi_1:refund", receipt)]);
    let refund = ["admin", "billing", "refund", "pi_1", "--note", "half"];
    let ended = mesh
        .run(&[&refund[..], &["--amount", "500"]].concat())
        .await;
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(
        ended.output.contains("500 of 999 usd went back"),
        "{ended:?}"
    );
    let body = &mesh.asked()[0].body;
    assert_eq!(
        (&body["amount"], &body["note"]),
        (&json!("500"), &json!("half"))
    );
    for wrong in [["pi_1", "--credits"], ["j1", "--amount"]] {
        let command = [
            "admin", "billing", "refund", "--note", "x", wrong[0], wrong[1], "5",
        ];
        let ended = mesh.run(&command).await;
        assert_eq!(ended.status, Some(2), "{ended:?}");
    }
    assert_eq!(mesh.asked().len(), 1);
}

#[tokio::test]
async fn payments_that_do_not_add_up_fail_the_command() {
    let path = "POST /v1/admin/payments:reconcile";
    for (problems, status) in [(json!([]), 0), (json!(["it leaks"]), 1)] {
        let answer = json!({ "problems": problems, "movements": "2" });
        let mesh = Mesh::with(&[(path, answer)]);
        let ended = mesh.run(&["admin", "billing", "reconcile"]).await;
        assert_eq!(ended.status, Some(status), "{ended:?}");
        assert!(ended.output.contains("2 movements"), "{ended:?}");
        assert_eq!(ended.output.contains("problem: it leaks"), status == 1);
    }
}

#[tokio::test]
async fn files_are_written_as_they_come() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("redeemed.csv");
    let query = "campaign=odyssey&format=EXPORT_FORMAT_CSV";
    let export = format!("GET /v1/admin/redemptions:export?{query}");
    let file = "time,campaign\r\n2026-11-22T12:00:00Z,odyssey\r\n";
    let mesh = Mesh::with_texts([(export, (200, file.to_owned()))].into());
    let command = ["admin", "vouchers", "export", "--campaign", "odyssey"];
    let ended = mesh.run(&command).await;
    assert_eq!(
        (ended.status, ended.output.as_str()),
        (Some(0), file),
        "{ended:?}"
    );
    let to_file = [&command[..], &["-o", path.to_str().unwrap()]].concat();
    let ended = mesh.run(&to_file).await;
    assert_eq!(
        (ended.status, ended.output.as_str()),
        (Some(0), ""),
        "{ended:?}"
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), file);
}

#[tokio::test]
async fn people_redeem_and_see_what_there_is() {
    let redemption = json!({
        "campaign": "odyssey", "hint": "0DPH", "credits": "600000", "access": true, "plan": "",
        "create_time": "2026-11-22T12:00:00Z", "expire_time": null,
    });
    let mesh = Mesh::with(&[
        (
            "POST /v1/vouchers:redeem",
            json!({ "redemption": redemption }),
        ),
        ("GET /v1/vouchers", json!({ "redemptions": [redemption] })),
        (
            "GET /v1/usage?from_day=2026-11-01",
            json!({ "usage": [], "credits": "0" }),
        ),
    ]);
    let ended = mesh.run(&["redeem", "7k2m 9qxb"]).await;
    assert_eq!(
        ended.output, "redeemed: 600 s of video, access (odyssey)\n",
        "{ended:?}"
    );
    assert_eq!(mesh.asked()[0].body, json!({ "code": "7k2m 9qxb" }));
    let ended = mesh.run(&["redeem", "--list"]).await;
    assert!(ended.output.contains("..0DPH"), "{ended:?}");
    let ended = mesh.run(&["usage", "--from", "2026-11-01", "--json"]).await;
    let usage: Value = serde_json::from_str(&ended.output).unwrap();
    assert_eq!(usage["credits"], "0", "{ended:?}");
    assert_eq!(mesh.asked().len(), 3);
    assert!(mesh.asked()[2].line.starts_with("GET /v1/usage?"));
}

#[tokio::test]
async fn a_mistyped_code_is_a_mistake_and_a_throttled_one_may_be_tried_later() {
    for (status, reason, exit) in [(400, "VOUCHER_MISTYPED", 2), (429, "THROTTLED", 4)] {
        let refused = (status, problem_text(status, reason));
        let mesh = Mesh::with_texts([("POST /v1/vouchers:redeem".to_owned(), refused)].into());
        let ended = mesh.run(&["redeem", "x"]).await;
        assert_eq!(ended.status, Some(exit), "{ended:?}");
        assert!(ended.log.contains(reason), "{ended:?}");
    }
}

#[tokio::test]
async fn who_buys_is_told_where_to_pay_and_what_came_of_it() {
    let checkout = |state: &str| {
        json!({ "checkout": {
            "id": ID, "state": format!("CHECKOUT_STATE_{state}"), "item": "pack:small",
            "credits": "1000000", "price": 999, "currency": "usd",
            "url": if state == "OPEN" { "https://pay.example.org/1" } else { "" },
            "expire_time": "2026-11-23T12:00:00Z",
        }})
    };
    let path = format!("GET /v1/checkouts/{ID}");
    let shop = |state: &str| {
        let opened = ("POST /v1/checkouts", checkout("OPEN"));
        Mesh::with(&[opened, (path.as_str(), checkout(state))])
    };
    let mesh = shop("PAID");
    let ended = mesh.run(&["buy", "pack", "small"]).await;
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let told = "https://pay.example.org/1\npaid: 1000 s of video\n";
    assert_eq!(ended.output, told, "{ended:?}");
    assert!(
        ended.log.contains("pay 9.99 USD for 1000 s of video"),
        "{ended:?}"
    );
    let body = &mesh.asked()[0].body;
    assert_eq!(
        (&body["pack"], &body["plan"]),
        (&json!("small"), &Value::Null)
    );
    assert!(!body["request_id"].as_str().unwrap().is_empty());
    let ended = shop("EXPIRED").run(&["buy", "pack", "small"]).await;
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert!(ended.log.contains("nothing was paid"), "{ended:?}");
    let ended = shop("PROCESSING")
        .run(&["buy", "pack", "small", "--json"])
        .await;
    let shown: Value = serde_json::from_str(&ended.output).unwrap();
    assert_eq!(shown["state"], "CHECKOUT_STATE_PROCESSING", "{ended:?}");
    assert!(ended.log.contains("https://pay.example.org/1"), "{ended:?}");
    let mesh = shop("OPEN");
    let ended = mesh
        .run(&["buy", "pack", "small", "--no-wait", "--request-id", "r1"])
        .await;
    assert_eq!(ended.output, "https://pay.example.org/1\n", "{ended:?}");
    assert_eq!(
        (mesh.asked().len(), &mesh.asked()[0].body["request_id"]),
        (1, &json!("r1"))
    );
}

#[tokio::test]
async fn people_see_what_they_pay() {
    let opened = json!({ "url": "https://portal.example.org/1" });
    let mesh = Mesh::with(&[
        ("POST /v1/billingPortal", opened),
        ("GET /v1/subscriptions", json!({ "subscriptions": [] })),
        (
            "GET /v1/receipts?page_size=25",
            json!({ "receipts": [{ "id": "pi_1", "item": "pack:small", "paid": "999", "currency": "usd" }] }),
        ),
    ]);
    let ended = mesh.run(&["subscription", "--portal"]).await;
    assert_eq!(ended.output, "https://portal.example.org/1\n", "{ended:?}");
    let ended = mesh.run(&["subscription", "--json"]).await;
    assert_eq!(ended.output, "[]\n", "{ended:?}");
    let ended = mesh.run(&["receipts"]).await;
    assert!(ended.output.contains("9.99 USD"), "{ended:?}");
    let refused = (400, problem_text(400, "PAYMENTS_DISABLED"));
    let mesh = Mesh::with_texts([("POST /v1/checkouts".to_owned(), refused)].into());
    let ended = mesh.run(&["buy", "plan", "creator"]).await;
    assert_eq!(ended.status, Some(2), "{ended:?}");
    assert!(ended.log.contains("because PAYMENTS_DISABLED"), "{ended:?}");
}
