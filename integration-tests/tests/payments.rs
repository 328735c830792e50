//! What a user buys: a pack and a subscription are paid at a fake Stripe, disputed, given back and renewed, and the ledger
//! says the same as Stripe in the end.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Duration;

use kinora_integration_tests::{Api, OneProcess, Program, accounts, repository, text};
use kinora_testkit::stripe::{FakeStripe, PayOutcome, signature};
use serde_json::{Value, json};

const PASSWORD: &str = "seven lanterns by the lake";
const WEBHOOK_SECRET: &str = "whsec_0123456789abcdef";

/// What is heard of is handled within seconds.
const SOON: Duration = Duration::from_secs(30);

/// What everybody has in a month with the plan of this mesh.
const ALLOWANCE: i64 = 600_000;

/// What the built-in pack `small` gives, for 9.99.
const PACK: i64 = 1_000_000;

/// What a month of the built-in plan `creator` gives.
const MONTHLY: i64 = 1_500_000;

/// More than any month.
const MONTH: Duration = Duration::from_secs(32 * 24 * 3600);

/// A mesh that sells at a Stripe of its own, and somebody who buys.
struct Shop {
    mesh: OneProcess,
    stripe: FakeStripe,
    user: Api,
    data: tempfile::TempDir,
}

fn present() -> i64 {
    chrono::Utc::now().timestamp()
}

/// 64-bit numbers are text in JSON.
fn number(value: &Value) -> i64 {
    let text = value.as_str().map(str::parse);
    let number = text.map_or_else(|| value.as_i64(), Result::ok);
    number.unwrap_or_else(|| panic!("no number: {value}"))
}

async fn ok(api: &Api, path: &str, body: Value) -> Value {
    let reply = api.post(path, body).await;
    assert!(reply.status.is_success(), "{path}: {reply:?}");
    reply.json()
}

async fn read(api: &Api, path: &str) -> Value {
    let reply = api.get(path).await;
    assert!(reply.status.is_success(), "{path}: {reply:?}");
    reply.json()
}

async fn sign_up(data: &Path, stranger: &Api, address: &str) -> Api {
    let credentials = json!({ "email": address, "password": PASSWORD });
    ok(stranger, "/v1/auth:signUp", credentials).await;
    let code = accounts::code_in_mail(&data.join("mails"), address).await;
    let shown = json!({ "code": code, "password": PASSWORD });
    let verified = ok(stranger, "/v1/auth:verifyEmail", shown).await;
    stranger.with(verified["tokens"]["access_token"].as_str().unwrap())
}

impl Shop {
    async fn open() -> Self {
        let data = tempfile::tempdir().unwrap();
        let stripe = FakeStripe::start(present()).await;
        let url = stripe.base_url();
        let options = [
            "--default-plan",
            "free",
            "--stripe-secret-key",
            FakeStripe::SECRET_KEY,
            "--stripe-webhook-secrets",
            WEBHOOK_SECRET,
            "--stripe-url",
            &url,
            "--payments-return-url",
            "https://kinora.example.org/paid",
        ];
        let mesh = OneProcess::start_with(data.path(), &options).await;
        let webhooks = format!("{}/v1/stripe:webhook", mesh.api.base());
        stripe.send_webhooks_to(&webhooks, &[WEBHOOK_SECRET]);
        let user = sign_up(data.path(), &mesh.api.with(""), "mina@example.org").await;
        Self {
            mesh,
            stripe,
            user,
            data,
        }
    }

    /// Stripe's clock stands until it is moved, and a webhook is good for five minutes.
    async fn send_webhooks(&self) {
        let behind = present().saturating_sub(self.stripe.now());
        let behind = Duration::from_secs(behind.unsigned_abs());
        self.stripe.advance(behind).await;
    }

    /// Sends all events once more, signed now: those of Stripe's own are signed by its clock, which may be ahead.
    async fn send_all_now(&self) {
        let client = reqwest::Client::new();
        for event in self.stripe.objects("event") {
            let body = event.to_string();
            let signed = signature(&[WEBHOOK_SECRET], present(), &body);
            let sent = client
                .post(format!("{}/v1/stripe:webhook", self.mesh.api.base()))
                .header("stripe-signature", signed)
                .header("content-type", "application/json; charset=utf-8")
                .body(body)
                .send()
                .await
                .unwrap();
            assert!(sent.status().is_success(), "{sent:?}");
        }
    }

    /// Starts a command of `kinora`; as a user, or as who runs the mesh.
    fn command(&self, user: Option<&Api>, arguments: &[&str]) -> Program {
        let models = repository().join("models");
        let mut environment = vec![
            ("KINORA_DATA_DIR", text(self.data.path())),
            ("KINORA_MODELS", text(&models)),
        ];
        if let Some(user) = user {
            environment.push(("KINORA_SERVER", user.base()));
            environment.push(("KINORA_API_KEY", user.key()));
        }
        let folder = self.data.path().join("command");
        Program::start_with("kinora", &folder, arguments, &environment)
    }

    async fn balance(&self) -> Value {
        read(&self.user, "/v1/balance").await["balance"].clone()
    }

    /// Waits until so many credits can be spent, and none are held.
    async fn has(&self, available: i64) -> Value {
        kinora_testkit::wait::until("the credits", SOON, || async {
            let balance = self.balance().await;
            let now = (number(&balance["available"]), number(&balance["held"]));
            if now == (available, 0) {
                Ok(balance)
            } else {
                Err(balance)
            }
        })
        .await
    }

    async fn is_frozen_becomes(&self, is_frozen: bool) {
        kinora_testkit::wait::until("the payer is stopped or goes on", SOON, || async {
            let balance = self.balance().await;
            let now = balance["frozen"] == true;
            if now == is_frozen {
                Ok(())
            } else {
                Err(balance)
            }
        })
        .await;
    }

    async fn receipts(&self) -> Vec<Value> {
        let listed = read(&self.user, "/v1/receipts").await;
        listed["receipts"].as_array().unwrap().clone()
    }

    /// Panics unless the ledger holds, and Stripe says the same of all money.
    async fn prove(&self) {
        let checked = read(&self.mesh.api, "/v1/admin/ledger:check").await;
        assert_eq!(checked["problems"], json!([]), "{checked}");
        let compared = ok(&self.mesh.api, "/v1/admin/payments:reconcile", json!({})).await;
        assert_eq!(compared["problems"], json!([]), "{compared}");
        assert_eq!(number(&compared["waiting_events"]), 0, "{compared}");
    }
}

/// The pack, by `kinora buy`, which waits until it is paid.
async fn buy_a_pack(shop: &Shop) {
    let buying = shop.command(Some(&shop.user), &["buy", "pack", "small"]);
    let session = kinora_testkit::wait::until("the page is open", SOON, || async {
        let sessions = shop.stripe.objects("checkout.session");
        let first = sessions
            .first()
            .map(|it| it["id"].as_str().unwrap().to_owned());
        first.ok_or("no page yet")
    })
    .await;
    shop.stripe.pay(&session, PayOutcome::Succeeds);
    shop.send_webhooks().await;
    let ended = buying.finish().await;
    assert!(ended.status.success(), "{ended:?}");
    assert!(
        ended.output.contains(&format!("/pay/{session}")),
        "{ended:?}"
    );
    shop.has(ALLOWANCE + PACK).await;
}

/// The plan, by the REST interface.
async fn subscribe(shop: &Shop) {
    let wanted = json!({ "request_id": "plan-1", "plan": "creator" });
    let opened = ok(&shop.user, "/v1/checkouts", wanted.clone()).await["checkout"].clone();
    let again = ok(&shop.user, "/v1/checkouts", wanted.clone()).await["checkout"].clone();
    assert_eq!(
        opened["url"], again["url"],
        "the same request id is the same page"
    );
    let session = opened["url"].as_str().unwrap().rsplit('/').next().unwrap();
    shop.stripe.pay(session, PayOutcome::Succeeds);
    shop.send_webhooks().await;
    let balance = shop.has(ALLOWANCE + PACK + MONTHLY).await;
    kinora_testkit::wait::until("the plan is in force", SOON, || async {
        let balance = shop.balance().await;
        (balance["plan"] == "creator").then_some(()).ok_or(balance)
    })
    .await;
    assert_eq!(number(&balance["debt"]), 0);
    let path = format!("/v1/checkouts/{}", opened["id"].as_str().unwrap());
    let paid = read(&shop.user, &path).await;
    assert_eq!(paid["checkout"]["state"], "CHECKOUT_STATE_PAID", "{paid}");
    let second = json!({ "request_id": "plan-2", "plan": "studio" });
    assert_eq!(
        shop.user.post("/v1/checkouts", second).await.reason(),
        "PLAN_PAID"
    );
}

#[tokio::test]
async fn what_is_bought_disputed_given_back_and_renewed_is_what_the_ledger_says() {
    let shop = Shop::open().await;
    shop.has(ALLOWANCE).await;
    buy_a_pack(&shop).await;
    subscribe(&shop).await;
    let receipts = shop.receipts().await;
    assert_eq!(receipts.len(), 2, "{receipts:?}");
    let pack = receipts[1]["id"].as_str().unwrap().to_owned();
    assert_eq!(receipts[1]["item"], "pack:small", "newest first");
    shop.prove().await;

    // A clip is generated on it.
    let clip = json!({ "prompt": "a red circle moves right on a black background", "steps": 2 });
    let cost = number(&ok(&shop.user, "/v1/videos:estimate", clip.clone()).await["credits"]);
    let id = shop.user.submit(clip.clone()).await;
    shop.user.wait_status(&id, "completed").await;
    let had = ALLOWANCE + PACK + MONTHLY - cost;
    shop.has(had).await;

    // A dispute stops the user until it is won.
    let dispute = shop.stripe.open_dispute(&pack);
    shop.send_webhooks().await;
    shop.is_frozen_becomes(true).await;
    shop.has(had - PACK).await;
    let refused = shop.user.post("/v1/videos", clip.clone()).await;
    assert_eq!(refused.reason(), "PAYER_FROZEN", "{refused:?}");
    shop.prove().await;
    shop.stripe.close_dispute(&dispute, true);
    shop.send_webhooks().await;
    shop.is_frozen_becomes(false).await;
    shop.has(had).await;

    // An operator gives a third of the plan back, by the command line.
    let plan = receipts[0]["id"].as_str().unwrap();
    let refund = [
        "admin", "billing", "refund", plan, "--amount", "333", "--note", "a test",
    ];
    let ended = shop.command(None, &refund).finish().await;
    assert!(ended.status.success(), "{ended:?}");
    let had = had - MONTHLY / 3;
    shop.has(had).await;
    shop.prove().await;

    // A month later, by Stripe's clock, it is renewed.
    shop.stripe.advance(MONTH).await;
    shop.send_all_now().await;
    shop.has(had + MONTHLY).await;
    assert_eq!(shop.receipts().await.len(), 3);
    let subscriptions = read(&shop.user, "/v1/subscriptions").await;
    let subscription = &subscriptions["subscriptions"][0];
    assert_eq!(subscription["status"], "SUBSCRIPTION_STATUS_ACTIVE");
    let end: chrono::DateTime<chrono::Utc> = subscription["period_end"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(
        end.timestamp() > present() + 40 * 24 * 3600,
        "{subscription}"
    );
    shop.prove().await;
}
