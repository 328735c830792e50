//! Servers of other people's, which answer as a test wants: well, late, or with nonsense.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

/// What a server does with a question.
#[derive(Clone)]
pub enum Habit {
    /// Answers with this.
    Answers(Value),
    /// Answers with a status and nothing else.
    Fails(u16),
    /// Never answers.
    Hangs,
    /// Answers with so many bytes.
    Floods(usize),
    /// Sends whoever asks somewhere else.
    Redirects(String),
    /// Answers with what it is asked.
    Asks(Arc<dyn Fn(Value) -> Value + Send + Sync>),
}

/// A server in OpenAI's dialect, at any path.
pub struct Server {
    pub url: String,
    asked: Arc<AtomicUsize>,
    _stop: DropGuard,
}

impl Server {
    pub async fn start(habit: Habit) -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let answer = move |body: Bytes| {
            count.fetch_add(1, Ordering::SeqCst);
            answer(habit.clone(), body)
        };
        let listener = kinora_testkit::net::loopback_listener().await;
        let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let serving = axum::serve(listener, Router::new().fallback(answer));
        tokio::spawn(serving.with_graceful_shutdown(stopped).into_future());
        Self {
            url,
            asked,
            _stop: stop.drop_guard(),
        }
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn answer(habit: Habit, body: Bytes) -> Response {
    match habit {
        Habit::Answers(value) => axum::Json(value).into_response(),
        Habit::Fails(status) => StatusCode::from_u16(status)
            .expect("a status")
            .into_response(),
        Habit::Hangs => std::future::pending().await,
        Habit::Floods(bytes) => "x".repeat(bytes).into_response(),
        Habit::Redirects(url) => {
            (StatusCode::TEMPORARY_REDIRECT, [("location", url)]).into_response()
        }
        Habit::Asks(answer) => {
            axum::Json(answer(serde_json::from_slice(&body).expect("JSON"))).into_response()
        }
    }
}

/// A completion with this text.
pub fn completion(text: &str) -> Value {
    json!({ "choices": [{ "message": { "role": "assistant", "content": text } }] })
}
