//! A provider that says whatever a test wants, with right signatures and wrong ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// How an id token is signed.
#[derive(Clone, Copy)]
pub enum Signature {
    /// By the provider's key.
    Right,
    /// By another key under the same name.
    OtherKey,
    /// By a key that is nowhere published.
    UnknownKey,
    /// "alg": "none".
    None,
    /// By the client's secret.
    ClientSecret,
}

/// What the token endpoint does.
#[derive(Clone)]
pub enum Plan {
    /// Answers with this id token.
    Token(String),
    /// Refuses the code.
    Refuse,
    /// Sends who asks elsewhere.
    Redirect,
    /// Answers with more than anybody needs.
    Flood,
    /// Answers with no id token.
    NoToken,
}

struct Told {
    issuer: String,
    key: Ed25519KeyPair,
    plan: Plan,
    asked: BTreeMap<String, String>,
}

/// A running provider.
pub struct Liar {
    told: Arc<Mutex<Told>>,
}

impl Liar {
    pub const CLIENT_SECRET: &str = "a secret of the client that is long enough";

    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let told = Arc::new(Mutex::new(Told {
            issuer: format!("http://{}", listener.local_addr().unwrap()),
            key: Ed25519KeyPair::from_seed_unchecked(&[1; 32]).unwrap(),
            plan: Plan::Refuse,
            asked: BTreeMap::new(),
        }));
        let routes = Router::new()
            .route("/.well-known/openid-configuration", get(configuration))
            .route("/jwks", get(keys))
            .route("/token", post(token))
            .with_state(Arc::clone(&told));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { told }
    }

    pub fn issuer(&self) -> String {
        self.told.lock().issuer.clone()
    }

    pub fn plan(&self, plan: Plan) {
        self.told.lock().plan = plan;
    }

    /// What the token endpoint was asked last.
    pub fn asked(&self) -> BTreeMap<String, String> {
        self.told.lock().asked.clone()
    }

    /// Signs with another key from now on, as after a rotation.
    pub fn rotate(&self) {
        self.told.lock().key = Ed25519KeyPair::from_seed_unchecked(&[3; 32]).unwrap();
    }

    pub fn sign(&self, claims: &Value, signature: Signature) -> String {
        let (algorithm, key) = match signature {
            Signature::Right | Signature::OtherKey => ("EdDSA", "one"),
            Signature::UnknownKey => ("EdDSA", "other"),
            Signature::None => ("none", "one"),
            Signature::ClientSecret => ("HS256", "one"),
        };
        let header = json!({ "alg": algorithm, "kid": key }).to_string();
        let text = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let other = Ed25519KeyPair::from_seed_unchecked(&[2; 32]).unwrap();
        let signed = match signature {
            Signature::Right => self.told.lock().key.sign(text.as_bytes()).as_ref().to_vec(),
            Signature::OtherKey | Signature::UnknownKey => {
                other.sign(text.as_bytes()).as_ref().to_vec()
            }
            Signature::None => Vec::new(),
            Signature::ClientSecret => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, Self::CLIENT_SECRET.as_bytes());
                hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
            }
        };
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signed))
    }
}

async fn configuration(State(told): State<Arc<Mutex<Told>>>) -> Json<Value> {
    let issuer = told.lock().issuer.clone();
    Json(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/auth"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/jwks"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        // It would take anything.
        "id_token_signing_alg_values_supported": ["EdDSA", "HS256", "none"],
    }))
}

async fn keys(State(told): State<Arc<Mutex<Told>>>) -> Json<Value> {
    let point = told.lock().key.public_key().as_ref().to_vec();
    Json(json!({ "keys": [{
        "kty": "OKP",
        "crv": "Ed25519",
        "use": "sig",
        "alg": "EdDSA",
        "kid": "one",
        "x": URL_SAFE_NO_PAD.encode(point),
    }]}))
}

async fn token(State(told): State<Arc<Mutex<Told>>>, body: String) -> Response {
    let fields = url::form_urlencoded::parse(body.as_bytes()).into_owned();
    let mut told = told.lock();
    told.asked = fields.collect();
    let mut answer = json!({ "access_token": "opaque", "token_type": "Bearer" });
    match told.plan.clone() {
        Plan::Token(token) => answer["id_token"] = token.into(),
        Plan::Refuse => {
            let error = Json(json!({ "error": "invalid_grant" }));
            return (StatusCode::BAD_REQUEST, error).into_response();
        }
        Plan::Redirect => return Redirect::temporary("/jwks").into_response(),
        Plan::Flood => answer["id_token"] = "x".repeat(2 << 20).into(),
        Plan::NoToken => {}
    }
    Json(answer).into_response()
}
