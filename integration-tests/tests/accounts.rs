//! What a new user does from the sign-up to a clip of their own, and what happens when a step is left out.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kinora_integration_tests::{Api, OneProcess, Program, Reply, accounts, repository, text};
use kinora_testkit::oidc::{Browser, TestOidc};
use reqwest::StatusCode;
use reqwest::Url;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const PROMPT: &str = "a red circle moves right on a black background";
const PASSWORD: &str = "seven lanterns by the lake";
const BACK: &str = "http://127.0.0.1:9/back";

/// Under each key: some seconds of load, in which API keys are exchanged anew.
const CALLS_PER_KEY: u64 = 600;
const LOAD: Duration = Duration::from_secs(120);

/// Mails and revocations take seconds.
const SOON: Duration = Duration::from_secs(30);

/// `kinora up` with a provider that signs people in, and its first operator signed in.
struct Mesh {
    data: tempfile::TempDir,
    process: OneProcess,
    _provider: TestOidc,
}

impl Mesh {
    async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let provider = TestOidc::start(BACK).await;
        let file = data.path().join("providers.toml");
        let secret = data.path().join("provider-secret");
        std::fs::write(&secret, TestOidc::CLIENT_SECRET).unwrap();
        let providers = format!(
            "[[provider]]\nname = \"it\"\nissuer = \"{}\"\nclient_id = \"{}\"\n\
             client_secret_file = \"{}\"\nredirect_uris = [\"{BACK}\"]\n",
            provider.issuer(),
            TestOidc::CLIENT_ID,
            secret.display()
        );
        std::fs::write(&file, providers).unwrap();
        let more = ["--accounts-providers-file", text(&file)];
        let process = OneProcess::start_with(data.path(), &more).await;
        Self {
            data,
            process,
            _provider: provider,
        }
    }

    /// A client with another token or key, or with none.
    fn with(&self, bearer: &str) -> Api {
        self.process.api.with(bearer)
    }

    /// The first operator, by the password that the mesh wrote down, which has to be changed before anything else.
    async fn operator(&self) -> Api {
        let file = std::fs::read(self.data.path().join("operator.json")).unwrap();
        let operator: Value = serde_json::from_slice(&file).unwrap();
        let body = json!({
            "email": operator["operator_email"],
            "password": operator["operator_password"],
        });
        let tokens = Tokens::of(&self.ok("/v1/auth:signIn", body).await["tokens"]);
        let before = self.with(&tokens.access);
        for path in ["/v1/admin/users", "/v1/videos", "/v1/keys"] {
            let early = before.get(path).await;
            refused(&early, StatusCode::BAD_REQUEST, "PASSWORD_CHANGE_REQUIRED");
        }
        let change = json!({
            "current_password": operator["operator_password"],
            "new_password": PASSWORD,
        });
        ok(&before, "/v1/me:changePassword", change).await;
        let refresh = json!({ "refresh_token": tokens.refresh });
        let tokens = Tokens::of(&self.ok("/v1/auth:refresh", refresh).await["tokens"]);
        self.with(&tokens.access)
    }

    async fn ok(&self, path: &str, body: Value) -> Value {
        ok(&self.with(""), path, body).await
    }

    /// The code in the newest mail to an address.
    async fn code_in_mail_to(&self, address: &str) -> String {
        accounts::code_in_mail(&self.data.path().join("mails"), address).await
    }
}

struct Tokens {
    access: String,
    refresh: String,
}

impl Tokens {
    fn of(json: &Value) -> Self {
        let field = |name: &str| {
            json[name]
                .as_str()
                .unwrap_or_else(|| panic!("{json}"))
                .to_owned()
        };
        Self {
            access: field("access_token"),
            refresh: field("refresh_token"),
        }
    }
}

async fn ok(api: &Api, path: &str, body: Value) -> Value {
    let reply = api.post(path, body).await;
    assert!(reply.status.is_success(), "{path}: {reply:?}");
    reply.json()
}

#[track_caller]
fn refused(reply: &Reply, status: StatusCode, reason: &str) {
    assert_eq!(
        (reply.status, reply.reason()),
        (status, reason.to_owned()),
        "{reply:?}"
    );
}

/// Asks for a clip without waiting for it.
async fn ask(api: &Api) -> Reply {
    api.post("/v1/videos", json!({ "prompt": PROMPT, "steps": 2 }))
        .await
}

/// Accepts what is in force and goes on with tokens that say so.
async fn accept_terms(mesh: &Mesh, tokens: &Tokens) -> Tokens {
    let person = mesh.with(&tokens.access);
    let terms = person.get("/v1/terms").await.json()["terms"].clone();
    let other = json!({ "version": terms["version"], "sha256": "00".repeat(32) });
    let outdated = person.post("/v1/terms:accept", other).await;
    assert_eq!(outdated.reason(), "TERMS_OUTDATED", "{outdated:?}");
    let these = json!({ "version": terms["version"], "sha256": terms["sha256"] });
    ok(&person, "/v1/terms:accept", these).await;
    let refresh = json!({ "refresh_token": tokens.refresh });
    Tokens::of(&mesh.ok("/v1/auth:refresh", refresh).await["tokens"])
}

/// A key of their own, and its id.
async fn make_key(person: &Api) -> (String, String) {
    let made = ok(person, "/v1/keys", json!({ "name": "mine" })).await;
    let field = |value: &Value| {
        value
            .as_str()
            .unwrap_or_else(|| panic!("{made}"))
            .to_owned()
    };
    (field(&made["secret"]), field(&made["key"]["id"]))
}

async fn gets_a_clip(api: &Api) {
    let id = api.submit(json!({ "prompt": PROMPT, "steps": 2 })).await;
    api.wait_status(&id, "completed").await;
    let clip = api.get(&format!("/v1/videos/{id}/content")).await;
    assert!(clip.status.is_success(), "{clip:?}");
    assert_eq!(&clip.body[4..8], b"ftyp");
}

/// Waits until a request for a clip is refused for a reason.
async fn is_soon_refused(api: &Api, reason: &str) {
    kinora_testkit::wait::until("it is refused", SOON, || async {
        let reply = ask(api).await;
        (reply.reason() == reason)
            .then_some(())
            .ok_or(format!("{reply:?}"))
    })
    .await;
}

/// Signs up and verifies the address.
async fn sign_up(mesh: &Mesh, address: &str) -> Tokens {
    let credentials = json!({ "email": address, "password": PASSWORD });
    mesh.ok("/v1/auth:signUp", credentials.clone()).await;
    let unverified = mesh.with("").post("/v1/auth:signIn", credentials).await;
    refused(&unverified, StatusCode::BAD_REQUEST, "EMAIL_NOT_VERIFIED");
    let guessed = json!({ "code": "A".repeat(43), "password": PASSWORD });
    let guessed = mesh.with("").post("/v1/auth:verifyEmail", guessed).await;
    assert_eq!(guessed.reason(), "CODE_INVALID", "{guessed:?}");
    let code = mesh.code_in_mail_to(address).await;
    let strangers = json!({ "code": code, "password": "of a stranger who has the mail" });
    let strangers = mesh.with("").post("/v1/auth:verifyEmail", strangers).await;
    assert_eq!(strangers.reason(), "CREDENTIALS_INVALID", "{strangers:?}");
    let this = json!({ "code": code, "password": PASSWORD });
    let verified = mesh.ok("/v1/auth:verifyEmail", this.clone()).await;
    let again = mesh.with("").post("/v1/auth:verifyEmail", this).await;
    assert_eq!(again.reason(), "CODE_INVALID", "{again:?}");
    Tokens::of(&verified["tokens"])
}

#[tokio::test]
async fn a_new_user_gets_a_clip_and_no_step_can_be_left_out() {
    let mesh = Mesh::start().await;
    let operator = mesh.operator().await;
    ok(
        &operator,
        "/v1/admin/terms",
        json!({ "text": "Be kind to one another." }),
    )
    .await;
    refused(
        &ask(&mesh.with("")).await,
        StatusCode::UNAUTHORIZED,
        "TOKEN_MISSING",
    );

    sign_up(&mesh, "mina@example.org").await;
    let wrong = json!({ "email": "mina@example.org", "password": "another one entirely" });
    let wrong = mesh.with("").post("/v1/auth:signIn", wrong).await;
    refused(&wrong, StatusCode::UNAUTHORIZED, "CREDENTIALS_INVALID");
    let right = json!({ "email": "mina@example.org", "password": PASSWORD });
    let tokens = Tokens::of(&mesh.ok("/v1/auth:signIn", right).await["tokens"]);

    let person = mesh.with(&tokens.access);
    let forbidden = person.get("/v1/admin/users").await;
    refused(&forbidden, StatusCode::FORBIDDEN, "SCOPE_MISSING");
    is_soon_refused(&person, "TERMS_NOT_ACCEPTED").await;
    let (early_key, _) = make_key(&person).await;
    assert_eq!(
        ask(&mesh.with(&early_key)).await.reason(),
        "TERMS_NOT_ACCEPTED"
    );

    let tokens = accept_terms(&mesh, &tokens).await;
    let person = mesh.with(&tokens.access);
    let (key, key_id) = make_key(&person).await;
    gets_a_clip(&mesh.with(&key)).await;
    gets_a_clip(&person).await;

    let revoked = person
        .send(reqwest::Method::DELETE, &format!("/v1/keys/{key_id}"), None)
        .await
        .unwrap();
    assert!(revoked.status.is_success(), "{revoked:?}");
    is_soon_refused(&mesh.with(&key), "API_KEY_INVALID").await;

    ok(
        &operator,
        "/v1/admin/terms",
        json!({ "text": "Be kinder." }),
    )
    .await;
    is_soon_refused(&person, "TERMS_NOT_ACCEPTED").await;
    is_soon_refused(&mesh.with(&early_key), "TERMS_NOT_ACCEPTED").await;

    ok(
        &mesh.with(""),
        "/v1/auth:signOut",
        json!({ "refresh_token": tokens.refresh }),
    )
    .await;
    is_soon_refused(&person, "TOKEN_REVOKED").await;
}

fn parameter(url: &str, name: &str) -> String {
    let url = Url::parse(url).unwrap();
    let mut pairs = url.query_pairs();
    pairs
        .find(|(key, _)| key == name)
        .map_or_else(String::new, |(_, value)| value.into_owned())
}

/// Goes to the provider and back; `browser_token` stands for another browser.
async fn sign_in_at_provider(mesh: &Mesh, name: &str, browser_token: Option<&str>) -> Reply {
    let begun = mesh
        .ok(
            "/v1/auth/providers/it:begin",
            json!({ "redirect_uri": BACK }),
        )
        .await;
    let url = begun["authorization_url"].as_str().unwrap();
    let back = Browser::new().visit(url, BACK, Some(name)).await;
    let answer = json!({
        "state": parameter(back.as_str(), "state"),
        "code": parameter(back.as_str(), "code"),
        "browser_token": browser_token.or(begun["browser_token"].as_str()),
        "redirect_uri": BACK,
    });
    mesh.with("")
        .post("/v1/auth/providers:complete", answer)
        .await
}

#[tokio::test]
async fn a_user_of_another_provider_gets_a_clip_too() {
    let mesh = Mesh::start().await;
    let operator = mesh.operator().await;
    ok(
        &operator,
        "/v1/admin/terms",
        json!({ "text": "Be kind to one another." }),
    )
    .await;
    let elsewhere = json!({ "redirect_uri": "http://127.0.0.1:9/elsewhere" });
    let elsewhere = mesh
        .with("")
        .post("/v1/auth/providers/it:begin", elsewhere)
        .await;
    assert_eq!(elsewhere.reason(), "REDIRECT_NOT_ALLOWED", "{elsewhere:?}");
    let stolen = sign_in_at_provider(&mesh, "ada", Some("another browser's")).await;
    assert_eq!(stolen.reason(), "STATE_INVALID", "{stolen:?}");
    let unverified = sign_in_at_provider(&mesh, "unverified-bob", None).await;
    assert_eq!(unverified.reason(), "EMAIL_NOT_VERIFIED", "{unverified:?}");

    let signed_in = sign_in_at_provider(&mesh, "ada", None).await;
    assert_eq!(signed_in.json()["is_new"], true, "{signed_in:?}");
    let tokens = Tokens::of(&signed_in.json()["tokens"]);
    is_soon_refused(&mesh.with(&tokens.access), "TERMS_NOT_ACCEPTED").await;
    let tokens = accept_terms(&mesh, &tokens).await;
    let (key, _) = make_key(&mesh.with(&tokens.access)).await;
    gets_a_clip(&mesh.with(&key)).await;

    sign_up(&mesh, "eve@example.org").await;
    let taken = sign_in_at_provider(&mesh, "eve", None).await;
    assert_eq!(taken.reason(), "LINK_REQUIRED", "{taken:?}");
}

#[tokio::test]
async fn signing_keys_turn_over_under_load_and_no_call_fails() {
    let mesh = Mesh::start().await;
    let operator = mesh.operator().await;
    let (stop, answered) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
    let callers = [mesh.process.api.clone(), operator.clone()]
        .into_iter()
        .cycle();
    let callers: Vec<_> = callers
        .take(6)
        .map(|api| tokio::spawn(call_until(api, stop.clone(), Arc::clone(&answered))))
        .collect();
    for _ in 0..5 {
        ok(&operator, "/v1/admin/signingKeys:rotate", json!({})).await;
        let before = answered.load(Ordering::Relaxed);
        kinora_testkit::wait::until("calls go on", LOAD, || async {
            let since = answered.load(Ordering::Relaxed) - before;
            (since >= CALLS_PER_KEY).then_some(()).ok_or(since)
        })
        .await;
    }
    stop.cancel();
    for caller in callers {
        caller.await.unwrap();
    }
}

/// Calls again and again; every call has to succeed.
async fn call_until(api: Api, stop: CancellationToken, answered: Arc<AtomicU64>) {
    while !stop.is_cancelled() {
        let reply = api.get("/v1/models").await;
        assert!(reply.status.is_success(), "{reply:?}");
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn operators_look_after_people_with_the_command() {
    let mesh = Mesh::start().await;
    let tokens = sign_up(&mesh, "mina@example.org").await;
    let me = mesh.with(&tokens.access).get("/v1/me").await.json();
    let id = me["user"]["id"].as_str().unwrap();
    let listed = admin(&mesh, &["users", "list"]).await;
    assert!(listed.contains("mina@example.org"), "{listed}");
    let shown = admin(&mesh, &["users", "show", "Mina@example.org"]).await;
    assert!(shown.contains(id), "{shown}");
    admin(&mesh, &["users", "disable", id, "--reason", "a test"]).await;
    is_soon_refused(&mesh.with(&tokens.access), "TOKEN_REVOKED").await;
    let audit = admin(&mesh, &["audit"]).await;
    assert!(
        audit.contains("user.disable") && audit.contains(id),
        "{audit}"
    );
    let log = mesh.process.program.log();
    assert!(log.contains(".eml") || log.contains("mail"), "{log}");
    assert!(!log.contains("mina@"), "an address of mail in the log");
}

/// What `kinora admin ...` prints.
async fn admin(mesh: &Mesh, arguments: &[&str]) -> String {
    let models = repository().join("models");
    let environment = [
        ("KINORA_DATA_DIR", text(mesh.data.path())),
        ("KINORA_MODELS", text(&models)),
    ];
    let arguments = [&["admin"], arguments].concat();
    let folder = mesh.data.path().join("command");
    let ended = Program::start_with("kinora", &folder, &arguments, &environment)
        .finish()
        .await;
    assert!(ended.status.success(), "{arguments:?}: {ended:?}");
    ended.output
}
