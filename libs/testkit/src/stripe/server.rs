//! Calls as they come in, and answers as they go out.

use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use futures::stream;
use serde_json::Value;

use super::api::{ApiError, Outcome};
use super::faults::ApiFault;
use super::world::{World, number, text};
use super::{FakeStripe, PayOutcome, form, lock};

const MOST_BODY_BYTES: usize = 1 << 20;

/// Stripe forgets an idempotency key after this, in seconds.
const KEY_LIFE: i64 = 24 * 3600;

/// A call as the fake saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StripeRequest {
    /// For example `POST`.
    pub method: String,
    /// Below `/v1`, without the query: for example `/refunds`.
    pub path: String,
    /// Its `Idempotency-Key`.
    pub key: Option<String>,
    /// Its `Stripe-Version`.
    pub version: Option<String>,
}

/// A kept answer.
pub(super) struct Kept {
    path: String,
    params: Value,
    status: u16,
    body: String,
    at: i64,
}

/// An answer, and how it leaves.
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
    content_type: &'static str,
    manner: Manner,
}

enum Manner {
    Whole,
    /// The connection breaks in the middle of the body.
    Broken,
    Never,
}

impl Answer {
    const fn new(status: u16, body: String) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body,
            content_type: "application/json",
            manner: Manner::Whole,
        }
    }

    fn page(html: String) -> Self {
        let mut answer = Self::new(200, html);
        answer.content_type = "text/html; charset=utf-8";
        answer
    }

    fn of(outcome: &Outcome) -> Self {
        match outcome {
            Ok(object) => Self::new(200, object.to_string()),
            Err(error) => Self::new(error.status, error.to_json().to_string()),
        }
    }

    fn refusal(error: ApiError) -> Self {
        Self::of(&Err(error))
    }
}

/// Answers whatever is asked of the fake.
pub(super) async fn answer(State(world): State<Arc<Mutex<World>>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, MOST_BODY_BYTES).await.unwrap_or_default();
    let call = Call {
        method: head.method.as_str(),
        path: head.uri.path(),
        query: head.uri.query().unwrap_or_default(),
        headers: &head.headers,
        body: &String::from_utf8_lossy(&body),
    };
    let answer = lock(&world).serve(&call);
    send(answer).await
}

async fn send(answer: Answer) -> Response {
    let mut response = Response::builder()
        .status(answer.status)
        .header("content-type", answer.content_type);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    let body = match answer.manner {
        Manner::Whole => Body::from(answer.body),
        Manner::Never => std::future::pending().await,
        Manner::Broken => {
            let half = Bytes::copy_from_slice(&answer.body.as_bytes()[..answer.body.len() / 2]);
            let broken = Err(std::io::Error::other("the answer is lost"));
            Body::from_stream(stream::iter([Ok(half), broken]))
        }
    };
    response.body(body).expect("the headers are valid")
}

/// A call, before it is understood.
struct Call<'c> {
    method: &'c str,
    path: &'c str,
    query: &'c str,
    headers: &'c HeaderMap,
    body: &'c str,
}

impl Call<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

impl World {
    fn serve(&mut self, call: &Call<'_>) -> Answer {
        let Some(path) = call.path.strip_prefix("/v1") else {
            return self.serve_page(call);
        };
        self.requests.push(StripeRequest {
            method: call.method.to_owned(),
            path: path.to_owned(),
            key: call.header("idempotency-key").map(str::to_owned),
            version: call.header("stripe-version").map(str::to_owned),
        });
        let mut answer = self.serve_api(call, path);
        let id = self.new_id("req");
        answer.headers.push(("request-id", id));
        answer
    }

    /// Stripe's page of a checkout, of which only the buttons are there.
    fn serve_page(&mut self, call: &Call<'_>) -> Answer {
        let outcome = match call.body {
            "outcome=declined" => PayOutcome::Declined,
            "outcome=takes_days" => PayOutcome::TakesDays,
            _ => PayOutcome::Succeeds,
        };
        let id = call.path.strip_prefix("/pay/").unwrap_or_default();
        match call.method {
            "GET" if self.get(id)["status"] == "open" => Answer::page(page(self.get(id))),
            "POST" => match self.pay(id, outcome) {
                Ok(()) => Answer::new(200, text(self.get(id), "payment_status").to_owned()),
                Err(problem) => Answer::new(404, problem),
            },
            _ => Answer::new(404, "there is no such page".to_owned()),
        }
    }

    fn serve_api(&mut self, call: &Call<'_>, path: &str) -> Answer {
        let expected = format!("Bearer {}", FakeStripe::SECRET_KEY);
        if call.header("authorization") != Some(&expected) {
            return Answer::refusal(unauthorized());
        }
        let fault = self.next_fault(call.method);
        match &fault {
            Some(ApiFault::Refuse {
                status,
                retry_after,
                should_retry,
            }) => {
                let mut answer = Answer::refusal(ApiError::broken(*status));
                let wishes = [
                    ("retry-after", retry_after.map(|it| it.to_string())),
                    ("stripe-should-retry", should_retry.map(|it| it.to_string())),
                ];
                let wishes = wishes.into_iter();
                answer.headers = wishes
                    .filter_map(|(name, value)| Some((name, value?)))
                    .collect();
                return answer;
            }
            Some(ApiFault::Say { status, body }) => return Answer::new(*status, body.clone()),
            _ => {}
        }
        let parameters = if call.method == "GET" {
            call.query
        } else {
            call.body
        };
        let params = match form::parse(parameters) {
            Ok(params) => params,
            Err(problem) => {
                return Answer::refusal(ApiError::invalid("parameter_invalid", "", problem));
            }
        };
        self.once(call, path, params, fault)
    }

    /// What goes wrong with the newest call.
    fn next_fault(&mut self, method: &str) -> Option<ApiFault> {
        let number = self.requests.len().saturating_sub(1);
        if let Some(planned) = self.planned.remove(&number) {
            return Some(planned);
        }
        let is_meant = self.faults.front().is_some_and(|(of, _)| *of == method);
        is_meant.then(|| self.faults.pop_front())?.map(|it| it.1)
    }

    /// Carries a call out, unless one with its key was before.
    fn once(
        &mut self,
        call: &Call<'_>,
        path: &str,
        params: Value,
        fault: Option<ApiFault>,
    ) -> Answer {
        let now = self.now;
        self.kept.retain(|_, kept| kept.at + KEY_LIFE > now);
        let key = call.header("idempotency-key");
        let key = key.filter(|_| call.method == "POST").map(str::to_owned);
        let kept = key.as_ref().and_then(|key| self.kept.get(key));
        let answer = match kept {
            Some(kept) => replay(kept, path, &params),
            None => self.carry_out(call.method, path, params, key, fault.as_ref()),
        };
        let manner = match fault {
            Some(ApiFault::FailAfterCommit) => return Answer::refusal(ApiError::broken(500)),
            Some(ApiFault::LoseAnswer) => Manner::Broken,
            Some(ApiFault::Hang) => Manner::Never,
            _ => Manner::Whole,
        };
        Answer { manner, ..answer }
    }

    fn carry_out(
        &mut self,
        method: &str,
        path: &str,
        params: Value,
        key: Option<String>,
        fault: Option<&ApiFault>,
    ) -> Answer {
        let levels: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let mut answer = Answer::of(&self.route(method, &levels, &params));
        if fault == Some(&ApiFault::KeepFailure) {
            answer = Answer::refusal(ApiError::broken(500));
        }
        // What was found wrong before it was begun can be asked again.
        let is_kept = !matches!(answer.status, 400 | 401 | 404 | 409 | 429);
        if let Some(key) = key.filter(|_| is_kept) {
            let kept = Kept {
                path: path.to_owned(),
                params,
                status: answer.status,
                body: answer.body.clone(),
                at: self.now,
            };
            self.kept.insert(key, kept);
        }
        answer
    }
}

/// What somebody who is to pay sees.
fn page(session: &Value) -> String {
    let amount = number(session, "amount_total");
    let currency = text(session, "currency").to_uppercase();
    let button = |outcome: &str, label: &str| {
        format!("<button name=\"outcome\" value=\"{outcome}\">{label}</button> ")
    };
    let buttons = [
        button("succeeds", "Pay"),
        button("declined", "Pay with a card that is declined"),
        button("takes_days", "Pay in a way that takes days"),
    ]
    .concat();
    format!(
        "<!doctype html><title>Fake Stripe</title><h1>Fake Stripe</h1>\
         <p>{}.{:02} {currency}, of no real money.</p><form method=\"post\">{buttons}</form>",
        amount / 100,
        amount % 100
    )
}

fn replay(kept: &Kept, path: &str, params: &Value) -> Answer {
    if kept.path != path || kept.params != *params {
        return Answer::refusal(ApiError {
            status: 400,
            kind: "idempotency_error",
            code: None,
            param: None,
            message: "Keys for idempotent requests can only be used with the same parameters."
                .to_owned(),
        });
    }
    let mut answer = Answer::new(kept.status, kept.body.clone());
    answer.headers = vec![("idempotent-replayed", "true".to_owned())];
    answer
}

fn unauthorized() -> ApiError {
    ApiError {
        status: 401,
        kind: "invalid_request_error",
        code: None,
        param: None,
        message: "Invalid API Key provided".to_owned(),
    }
}
