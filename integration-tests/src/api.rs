//! A client of the REST interface that asserts nothing by itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

/// How long a job of the small model may take on a loaded machine.
const JOB: Duration = Duration::from_secs(120);

/// The REST interface of one mesh, called with one key.
#[derive(Clone)]
pub struct Api {
    base: String,
    key: String,
    client: Client,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {:?}", self.body))
    }

    /// The machine-readable reason of a problem.
    #[must_use]
    pub fn reason(&self) -> String {
        self.json()["reason"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

impl Api {
    /// A client for the edge at `base`, for example `http://127.0.0.1:8080`.
    #[must_use]
    pub fn new(base: impl Into<String>, key: impl Into<String>) -> Self {
        crate::install_tls();
        let client = Client::builder().timeout(JOB).build().unwrap();
        Self {
            base: base.into(),
            key: key.into(),
            client,
        }
    }

    /// Where the edge is, without a `/` at the end.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The key or token that it is called with.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The same edge, called with another key or token.
    #[must_use]
    pub fn with(&self, key: &str) -> Self {
        Self {
            key: key.to_owned(),
            ..self.clone()
        }
    }

    /// Sends a request with the key; follows redirects.
    ///
    /// # Errors
    /// When the edge cannot be reached.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Reply, reqwest::Error> {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Reply {
            status,
            headers,
            body: response.bytes().await?,
        })
    }

    /// Reads a path.
    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, None).await.unwrap()
    }

    /// Posts a JSON body.
    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(Method::POST, path, Some(body)).await.unwrap()
    }

    /// Submits a job and returns its id. Every call means a job of its own, whatever the body.
    pub async fn submit(&self, body: Value) -> String {
        static SUBMITTED: AtomicU64 = AtomicU64::new(0);
        let number = SUBMITTED.fetch_add(1, Ordering::Relaxed);
        let request = self
            .client
            .post(format!("{}/v1/videos", self.base))
            .bearer_auth(&self.key)
            .header(
                "Idempotency-Key",
                format!("test-{}-{number}", std::process::id()),
            )
            .json(&body);
        let response = request.send().await.unwrap();
        let (status, answer) = (response.status(), response.text().await.unwrap());
        assert!(status.is_success(), "{status} {answer}");
        let job: Value = serde_json::from_str(&answer).unwrap();
        job["id"].as_str().unwrap().to_owned()
    }

    /// Cancels a job.
    pub async fn cancel(&self, id: &str) -> Reply {
        self.send(Method::POST, &format!("/v1/videos/{id}:cancel"), None)
            .await
            .unwrap()
    }

    /// Waits until the mesh serves and a worker has announced a model.
    pub async fn wait_ready(&self) {
        kinora_testkit::wait::until("the mesh offers a model", JOB, || async {
            match self.send(Method::GET, "/v1/models", None).await {
                Ok(reply) if reply.status.is_success() => {
                    let models = reply.json()["data"].as_array().map_or(0, Vec::len);
                    if models > 0 {
                        Ok(())
                    } else {
                        Err("no model yet".to_owned())
                    }
                }
                Ok(reply) => Err(format!("{} {:?}", reply.status, reply.body)),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
    }

    /// Waits until `is_reached` holds for the job and returns it.
    pub async fn wait_job(
        &self,
        id: &str,
        what: &str,
        is_reached: impl Fn(&Value) -> bool,
    ) -> Value {
        kinora_testkit::wait::until(what, JOB, || async {
            match self
                .send(Method::GET, &format!("/v1/videos/{id}"), None)
                .await
            {
                Ok(reply) if reply.status.is_success() && is_reached(&reply.json()) => {
                    Ok(reply.json())
                }
                Ok(reply) => Err(format!("{} {:?}", reply.status, reply.body)),
                Err(error) => Err(error.to_string()),
            }
        })
        .await
    }

    /// Waits until a job has ended in `status`; any other end fails the test.
    pub async fn wait_status(&self, id: &str, status: &str) -> Value {
        let is_end = |job: &Value| {
            ["completed", "failed", "cancelled"].contains(&job["status"].as_str().unwrap_or(""))
        };
        let job = self.wait_job(id, "the job has ended", is_end).await;
        assert_eq!(job["status"], status, "{job}");
        job
    }

    /// Waits until a worker has finished `step` denoising steps of a job.
    pub async fn wait_step(&self, id: &str, step: u64) -> Value {
        let is_there = |job: &Value| {
            job["work"]["stage"] == "denoising"
                && job["work"]["step"]
                    .as_u64()
                    .is_some_and(|done| done >= step)
        };
        self.wait_job(id, "the job is denoising", is_there).await
    }
}

impl Api {
    /// The manifest of a finished job.
    pub async fn manifest(&self, id: &str) -> Value {
        self.get(&format!("/v1/videos/{id}/manifest")).await.json()
    }

    /// Follows a job to its last event; tells how long after `begun` the first one came.
    pub async fn watch(&self, id: &str, begun: std::time::Instant) -> Duration {
        let url = format!("{}/v1/videos/{id}/events", self.base);
        let mut response = self
            .client
            .get(url)
            .bearer_auth(&self.key)
            .send()
            .await
            .unwrap();
        let mut first = None;
        while let Some(chunk) = response.chunk().await.unwrap() {
            if first.is_none() && chunk.windows(5).any(|window| window == b"data:") {
                first = Some(begun.elapsed());
            }
        }
        first.expect("a stream has at least one event")
    }

    /// Follows a job to its end and returns all its events.
    pub async fn events(&self, id: &str) -> Vec<Value> {
        let reply = self.get(&format!("/v1/videos/{id}/events")).await;
        let text = String::from_utf8(reply.body.to_vec()).unwrap();
        let data = text.lines().filter_map(|line| line.strip_prefix("data:"));
        data.map(|json| serde_json::from_str(json.trim()).unwrap())
            .collect()
    }
}
