//! A caller who does not give up: every call is repeated until the mesh answers, a submission under its own request id,
//! a stream of events from the last event seen.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

/// How long the mesh may be away.
const PATIENCE: Duration = Duration::from_secs(150);
/// A connection that says nothing for longer is given up for another one.
const SILENCE: Duration = Duration::from_secs(5);
/// Between tries.
const PAUSE: Duration = Duration::from_millis(100);

/// Clips are so many frames long, so that they have different prices.
const FRAMES: [u64; 4] = [5, 9, 13, 17];
/// And so many pixels high and wide, or all would cost a single credit.
const SIDE: u64 = 64;

/// One caller.
#[derive(Clone)]
pub struct Client {
    base: String,
    key: String,
    http: reqwest::Client,
}

/// How a job that was followed to its end went.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its last status.
    pub status: String,
    /// Attempts it took.
    pub attempt: u64,
    /// What was wrong with the order of its events.
    pub disorder: Option<String>,
}

impl Client {
    /// A caller of the edge at `base`.
    #[must_use]
    pub fn new(base: &str, key: String) -> Self {
        crate::install_tls();
        let http = reqwest::Client::builder()
            .connect_timeout(SILENCE)
            .read_timeout(SILENCE)
            .build();
        Self {
            base: base.to_owned(),
            key,
            http: http.unwrap(),
        }
    }

    /// Waits until a model is on offer.
    pub async fn wait_ready(&self) {
        let has_model = |answer: &Value| answer["data"].get(0).is_some();
        let deadline = Instant::now() + PATIENCE;
        while !self
            .read("/v1/models")
            .await
            .is_some_and(|it| has_model(&it))
        {
            assert!(Instant::now() < deadline, "no worker came");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Whether a read is answered now, without a second try.
    pub async fn is_served(&self) -> bool {
        let answer = self.request(Method::GET, "/v1/models").send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// Submits a job of `steps` steps. `seed` names it and says how long the clip is: a repeated call means the same job.
    /// None when it was refused.
    pub async fn submit(&self, seed: u64, steps: u32) -> Option<String> {
        let (status, job) = self.insist(self.submission(seed, steps)).await?;
        if !status.is_success() {
            return None;
        }
        Some(job["id"].as_str()?.to_owned())
    }

    /// As [`Client::submit`], without a second try. None when nobody answered.
    pub async fn submit_once(&self, seed: u64, steps: u32) -> Option<(StatusCode, Value)> {
        let answer = self.submission(seed, steps).send().await.ok()?;
        Some((answer.status(), answer.json().await.ok()?))
    }

    fn submission(&self, seed: u64, steps: u32) -> RequestBuilder {
        let frames = FRAMES[usize::try_from(seed).unwrap_or(0) % FRAMES.len()];
        let mut body = clip_of(frames);
        body["steps"] = steps.into();
        body["seed"] = seed.into();
        self.request(Method::POST, "/v1/videos")
            .header("Idempotency-Key", format!("job-{seed}"))
            .json(&body)
    }

    /// The credits that a clip of so many frames costs. None when nobody tells.
    pub async fn price(&self, frames: u64) -> Option<i64> {
        let request = self
            .request(Method::POST, "/v1/videos:estimate")
            .json(&clip_of(frames));
        let (status, estimate) = self.insist(request).await?;
        number(&estimate["credits"]).filter(|_| status.is_success())
    }

    /// The credits that can be spent. None when nobody tells.
    pub async fn available_credits(&self) -> Option<i64> {
        let answer = self.read("/v1/balance").await?;
        number(&answer["balance"]["available"])
    }

    /// What the proof of billing's ledger found, for operators: problems as sentences, and the sum of all entries. None
    /// when nobody tells.
    pub async fn check_ledger(&self) -> Option<(Vec<String>, i64)> {
        let found = self.read("/v1/admin/ledger:check").await?;
        let problems = found["problems"].as_array()?.iter();
        let problems = problems.map(|problem| problem.as_str().unwrap_or_default().to_owned());
        Some((problems.collect(), number(&found["sum"])?))
    }

    /// Ends a job.
    pub async fn cancel(&self, id: &str) {
        let request = self.request(Method::POST, &format!("/v1/videos/{id}:cancel"));
        // Ended before, or gone: the judge sees what became of it.
        let _ = self.insist(request).await;
    }

    /// Reads a job. None when the mesh does not know it.
    pub async fn job(&self, id: &str) -> Option<Value> {
        self.read(&format!("/v1/videos/{id}")).await
    }

    /// The bytes of a finished job's clip. None when nobody has it.
    pub async fn clip(&self, id: &str) -> Option<bytes::Bytes> {
        let path = format!("/v1/videos/{id}/content");
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Ok(answer) = self.request(Method::GET, &path).send().await {
                let status = answer.status();
                if status.is_client_error() {
                    return None;
                }
                if status.is_success()
                    && let Ok(clip) = answer.bytes().await
                {
                    return Some(clip);
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        None
    }

    /// The ids of all jobs of this caller.
    pub async fn list(&self) -> Vec<String> {
        let (mut ids, mut token) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/videos?page_size=100&page_token={token}");
            let page = self.read(&path).await.unwrap_or_default();
            let videos = page["data"].as_array().cloned().unwrap_or_default();
            let found = videos.iter().filter_map(|video| video["id"].as_str());
            ids.extend(found.map(str::to_owned));
            token = page["next_page_token"].as_str().unwrap_or("").to_owned();
            if token.is_empty() {
                return ids;
            }
        }
    }

    /// Follows a job to its end over however many streams it takes. None when it does not end.
    pub async fn follow(&self, id: &str) -> Option<Ended> {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Seen::default();
        while Instant::now() < deadline {
            self.follow_once(id, &mut seen).await;
            if seen.is_over {
                let Seen {
                    status, attempt, ..
                } = seen;
                let disorder = seen.disorder;
                return Some(Ended {
                    status,
                    attempt,
                    disorder,
                });
            }
            tokio::time::sleep(PAUSE).await;
        }
        None
    }

    /// Reads one stream for as long as it lasts.
    async fn follow_once(&self, id: &str, seen: &mut Seen) {
        let request = self
            .request(Method::GET, &format!("/v1/videos/{id}/events"))
            .header("Last-Event-ID", seen.seq.to_string());
        let Ok(mut answer) = request.send().await else {
            return;
        };
        if !answer.status().is_success() {
            return;
        }
        let mut text = Vec::new();
        while let Ok(Some(chunk)) = answer.chunk().await {
            text.extend_from_slice(&chunk);
            while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = text.drain(..=end).collect();
                if let Some(data) = line.strip_prefix(b"data:") {
                    seen.note(&serde_json::from_slice(data).unwrap_or_default());
                }
            }
        }
    }

    async fn read(&self, path: &str) -> Option<Value> {
        let request = self.request(Method::GET, path);
        let (status, answer) = self.insist(request).await?;
        status.is_success().then_some(answer)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.base);
        self.http.request(method, url).bearer_auth(&self.key)
    }

    /// Sends until there is an answer that is not "come back later".
    async fn insist(&self, request: RequestBuilder) -> Option<(StatusCode, Value)> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Ok(answer) = request.try_clone()?.send().await {
                let status = answer.status();
                if let Ok(body) = answer.json().await
                    && !is_for_later(status, &body)
                {
                    return Some((status, body));
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        None
    }
}

/// Whether the same call may have another answer soon.
fn is_for_later(status: StatusCode, body: &Value) -> bool {
    // Whoever made the request before may have died over it.
    let is_in_progress = body["reason"] == "REQUEST_IN_PROGRESS";
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS || is_in_progress
}

fn clip_of(frames: u64) -> Value {
    json!({ "prompt": "gray", "model": "gray", "width": SIDE, "height": SIDE, "frames": frames })
}

/// 64-bit numbers are text in the JSON of some answers.
fn number(value: &Value) -> Option<i64> {
    let text = value.as_str().map(str::parse);
    text.map_or_else(|| value.as_i64(), Result::ok)
}

/// What a caller has seen of a job.
#[derive(Default)]
struct Seen {
    seq: u64,
    attempt: u64,
    status: String,
    is_over: bool,
    disorder: Option<String>,
}

impl Seen {
    fn note(&mut self, event: &Value) {
        let seq = event["seq"].as_u64().unwrap_or(0);
        let attempt = event["attempt"].as_u64().unwrap_or(0);
        let status = event["status"].as_str().unwrap_or("").to_owned();
        if seq <= self.seq || attempt < self.attempt || self.is_over {
            let before = (self.seq, self.attempt, &self.status);
            self.disorder = Some(format!("{before:?}, then {:?}", (seq, attempt, &status)));
        }
        self.is_over = ["completed", "failed", "cancelled", "expired"].contains(&status.as_str());
        (self.seq, self.attempt, self.status) = (seq, attempt, status);
    }
}
