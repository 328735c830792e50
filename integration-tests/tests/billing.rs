//! What a user pays for: a voucher is redeemed, a clip is charged and a cancelled one is not, a soft cap that is reached is
//! told by mail, and what is said when credits run out.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Duration;

use kinora_integration_tests::{Api, OneProcess, Program, accounts, repository, text};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const PROMPT: &str = "a red circle moves right on a black background";
const PASSWORD: &str = "seven lanterns by the lake";

/// What ended is settled within seconds.
const SOON: Duration = Duration::from_secs(30);

/// What everybody has in a month with the plan of this mesh.
const ALLOWANCE: i64 = 600_000;

async fn ok(api: &Api, path: &str, body: Value) -> Value {
    let reply = api.post(path, body).await;
    assert!(reply.status.is_success(), "{path}: {reply:?}");
    reply.json()
}

/// 64-bit numbers are text in JSON.
fn number(value: &Value) -> i64 {
    let text = value.as_str().map(str::parse);
    let number = text.map_or_else(|| value.as_i64(), Result::ok);
    number.unwrap_or_else(|| panic!("no number: {value}"))
}

/// Signs up, verifies the address, and is signed in.
async fn sign_up(data: &Path, stranger: &Api, address: &str) -> Api {
    let credentials = json!({ "email": address, "password": PASSWORD });
    ok(stranger, "/v1/auth:signUp", credentials).await;
    let code = accounts::code_in_mail(&data.join("mails"), address).await;
    let shown = json!({ "code": code, "password": PASSWORD });
    let verified = ok(stranger, "/v1/auth:verifyEmail", shown).await;
    stranger.with(verified["tokens"]["access_token"].as_str().unwrap())
}

/// What can be spent, and what is set aside.
async fn balance(api: &Api) -> (i64, i64) {
    let answer = api.get("/v1/balance").await;
    assert!(answer.status.is_success(), "{answer:?}");
    let balance = &answer.json()["balance"];
    (number(&balance["available"]), number(&balance["held"]))
}

async fn balance_becomes(api: &Api, available: i64) {
    kinora_testkit::wait::until("the job is settled", SOON, || async {
        let now = balance(api).await;
        (now == (available, 0)).then_some(()).ok_or(now)
    })
    .await;
}

/// What `kinora ...` prints, with the key of who runs the mesh.
async fn command(data: &Path, arguments: &[&str]) -> String {
    let models = repository().join("models");
    let environment = [
        ("KINORA_DATA_DIR", text(data)),
        ("KINORA_MODELS", text(&models)),
    ];
    let folder = data.join("command");
    let ended = Program::start_with("kinora", &folder, arguments, &environment)
        .finish()
        .await;
    assert!(ended.status.success(), "{arguments:?}: {ended:?}");
    ended.output
}

/// Pays for one more clip, which reaches half of the soft cap.
async fn told_of_the_soft_cap(data: &Path, user: &Api, cost: i64) {
    let (before, _) = balance(user).await;
    let cap = json!({ "soft_credits": (cost * 4).to_string() });
    let set = user.send(Method::PUT, "/v1/spendCap", Some(cap)).await;
    let set = set.unwrap();
    assert!(set.status.is_success(), "{set:?}");
    let id = user
        .submit(json!({ "prompt": PROMPT, "steps": 2, "seed": 7 }))
        .await;
    user.wait_status(&id, "completed").await;
    balance_becomes(user, before - cost).await;
    let mails = data.join("mails");
    let mail = accounts::mail_that_says(&mails, "mina@example.org", "soft cap is spent").await;
    assert!(mail.contains("has reached 50 % of its soft cap"), "{mail}");
    let alerts = user.get("/v1/spendAlerts").await.json();
    assert_eq!(
        alerts["alerts"].as_array().map(Vec::len),
        Some(1),
        "{alerts}"
    );
}

#[tokio::test]
async fn a_user_pays_for_what_was_delivered_and_for_nothing_else() {
    let data = tempfile::tempdir().unwrap();
    let mesh = OneProcess::start_with(data.path(), &["--default-plan", "free"]).await;
    let stranger = mesh.api.with("");
    let user = sign_up(data.path(), &stranger, "mina@example.org").await;
    assert_eq!(balance(&user).await, (ALLOWANCE, 0));

    let create = ["admin", "vouchers", "create", "--campaign", "odyssey"];
    let more = ["--count", "2", "--credits", "40", "--access"];
    let printed = command(data.path(), &[create.as_slice(), more.as_slice()].concat()).await;
    let codes = printed.lines().skip(1).map(|line| line.split(',').next());
    let codes: Vec<&str> = codes.map(Option::unwrap).collect();
    assert_eq!(codes.len(), 2, "{printed}");
    let mistyped = if codes[0].ends_with('0') { "1" } else { "0" };
    let mistyped = format!("{}{mistyped}", &codes[0][..codes[0].len() - 1]);
    let refused = user
        .post("/v1/vouchers:redeem", json!({ "code": mistyped }))
        .await;
    assert_eq!(refused.reason(), "VOUCHER_MISTYPED", "{refused:?}");
    let code = json!({ "code": codes[0].to_lowercase() });
    ok(&user, "/v1/vouchers:redeem", code.clone()).await;
    ok(&user, "/v1/vouchers:redeem", code).await;
    let had = ALLOWANCE + 40;
    assert_eq!(
        balance(&user).await,
        (had, 0),
        "once, however often it is sent"
    );

    let clip = json!({ "prompt": PROMPT, "steps": 2 });
    let estimate = ok(&user, "/v1/videos:estimate", clip.clone()).await;
    let cost = number(&estimate["credits"]);
    assert!(cost > 0, "{estimate}");
    let id = user.submit(clip.clone()).await;
    user.wait_status(&id, "completed").await;
    balance_becomes(&user, had - cost).await;
    let usage = user.get("/v1/usage").await.json();
    assert_eq!(number(&usage["credits"]), cost, "{usage}");

    let long = json!({ "prompt": "a blue star spins on a gray background", "steps": 50 });
    let id = user.submit(long).await;
    user.cancel(&id).await;
    balance_becomes(&user, had - cost).await;

    told_of_the_soft_cap(data.path(), &user, cost).await;
    let had = had - cost;

    let payer = user.get("/v1/me").await.json()["user"]["id"].clone();
    let few = cost / 2;
    let taken = json!({
        "request_id": "leaves-a-few",
        "payer": { "user_id": payer },
        "credits": few - (had - cost),
        "note": "a test",
    });
    ok(&mesh.api, "/v1/admin/balance:adjust", taken).await;
    assert_eq!(balance(&user).await, (few, 0));
    let refused = user.post("/v1/videos", clip).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{refused:?}");
    assert_eq!(refused.reason(), "INSUFFICIENT_CREDITS", "{refused:?}");
    let suggested = number(&refused.json()["metadata"]["suggested_frames"]);
    let shorter = json!({ "prompt": PROMPT, "steps": 2, "frames": suggested });
    let id = user.submit(shorter).await;
    user.wait_status(&id, "completed").await;

    let checked = mesh.api.get("/v1/admin/ledger:check").await.json();
    assert_eq!(checked["problems"], json!([]), "{checked}");
}
