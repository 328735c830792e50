use std::time::Duration;

use kinora_testkit::wait;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::fake::Trouble;
use crate::harness::{TestEdge, check_problem};

/// An event stream, read piece by piece.
pub struct Reader {
    response: Response,
    text: String,
}

impl Reader {
    pub async fn open(edge: &TestEdge, path: &str, last_event_id: Option<&str>) -> Self {
        let mut request = edge.request(Method::GET, path);
        if let Some(id) = last_event_id {
            request = request.header("Last-Event-ID", id);
        }
        Self::of(request.send().await.unwrap())
    }

    /// The same as JSON lines.
    async fn open_lines(edge: &TestEdge, path: &str) -> Self {
        let request = edge.request(Method::GET, path);
        let request = request.header("accept", "application/x-ndjson");
        Self::of(request.send().await.unwrap())
    }

    pub fn of(response: Response) -> Self {
        assert_eq!(response.status(), StatusCode::OK);
        Self {
            response,
            text: String::new(),
        }
    }

    /// The next event as its lines; empty at the end of the stream.
    pub async fn next(&mut self) -> Vec<String> {
        let event = self.until("\n\n").await.unwrap_or_default();
        event.lines().map(str::to_owned).collect()
    }

    /// The next line as JSON; none at the end of the stream.
    async fn next_line(&mut self) -> Option<Value> {
        let line = self.until("\n").await?;
        Some(serde_json::from_str(&line).unwrap())
    }

    /// What stands before the next separator; none at the end of the stream.
    async fn until(&mut self, separator: &str) -> Option<String> {
        loop {
            if let Some((piece, rest)) = self.text.split_once(separator) {
                let piece = piece.to_owned();
                self.text = rest.to_owned();
                return Some(piece);
            }
            let chunk = tokio::time::timeout(Duration::from_secs(10), self.response.chunk());
            let bytes = chunk.await.unwrap().unwrap()?;
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    /// Asserts the next event's id and name, and gives its data.
    pub async fn expect(&mut self, id: u64, name: &str) -> Value {
        let lines = self.next().await;
        assert!(
            lines.contains(&format!("id: {id}")),
            "{id} {name}: {lines:?}"
        );
        Self::data(&lines, name)
    }

    /// Asserts the name of the next event, which has no id, and gives its data.
    pub async fn expect_named(&mut self, name: &str) -> Value {
        let lines = self.next().await;
        assert!(
            !lines.iter().any(|line| line.starts_with("id:")),
            "{lines:?}"
        );
        Self::data(&lines, name)
    }

    fn data(lines: &[String], name: &str) -> Value {
        assert!(
            lines.contains(&format!("event: {name}")),
            "{name}: {lines:?}"
        );
        let data = lines
            .iter()
            .find_map(|line| line.strip_prefix("data: "))
            .unwrap();
        serde_json::from_str(data).unwrap()
    }
}

#[tokio::test]
async fn events_arrive_as_they_happen_and_end_with_the_last() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await;
    let mut reader = Reader::open(&edge, &format!("/v1/videos/{id}/events"), None).await;
    let headers = reader.response.headers();
    assert_eq!(headers["content-type"], "text/event-stream");
    assert_eq!(headers["cache-control"], "no-cache, no-transform");
    assert_eq!(headers["x-accel-buffering"], "no");
    let data = reader.expect(1, "queued").await;
    assert_eq!(
        (&data["id"], &data["object"], &data["seq"]),
        (&json!(id), &json!("video.event"), &json!(1))
    );
    edge.scheduler.run(&id, 0);
    reader.expect(2, "in_progress").await;
    edge.scheduler.run(&id, 1);
    let data = reader.expect(3, "progress").await;
    assert_eq!(
        (&data["type"], &data["progress"]),
        (&json!("progress"), &json!(12))
    );
    assert_eq!(
        (&data["work"]["stage"], &data["work"]["step"]),
        (&json!("denoising"), &json!(1))
    );
    edge.scheduler.complete(&id);
    let data = reader.expect(4, "completed").await;
    assert_eq!(data["outputs"]["bytes"], "1234");
    assert_eq!(reader.next().await, Vec::<String>::new());
}

#[tokio::test]
async fn events_come_as_lines_of_json_to_who_asks_for_them() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await;
    let path = format!("/v1/videos/{id}/events");
    let mut reader = Reader::open_lines(&edge, &path).await;
    let headers = reader.response.headers();
    assert_eq!(headers["content-type"], "application/x-ndjson");
    assert_eq!(headers["x-accel-buffering"], "no");
    let line = reader.next_line().await.unwrap();
    assert_eq!(
        (&line["seq"], &line["status"]),
        (&json!(1), &json!("queued"))
    );
    edge.scheduler.complete(&id);
    assert_eq!(reader.next_line().await.unwrap()["type"], "completed");
    assert_eq!(reader.next_line().await, None);
}

#[tokio::test]
async fn lines_that_break_off_say_so_in_the_last_one() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await;
    let path = format!("/v1/videos/{id}/events");
    let mut reader = Reader::open_lines(&edge, &path).await;
    reader.next_line().await.unwrap();
    edge.shutdown.cancel();
    let last = reader.next_line().await.unwrap();
    assert_eq!(last["error"]["reason"], "STREAM_BROKEN_OFF");
    assert_eq!(last["error"]["status"], 503);
    assert_eq!(reader.next_line().await, None);
}

#[tokio::test]
async fn a_client_resumes_after_the_last_event_it_has() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await;
    for step in 0..5 {
        edge.scheduler.run(&id, step);
    }
    edge.scheduler.complete(&id);
    let path = format!("/v1/videos/{id}/events");
    Reader::open(&edge, &path, Some("5"))
        .await
        .expect(6, "progress")
        .await;
    Reader::open(&edge, &format!("{path}?after_seq=6"), None)
        .await
        .expect(7, "completed")
        .await;
    // A reconnecting client repeats its URL; the header is newer.
    let url = format!("{path}?after_seq=1");
    Reader::open(&edge, &url, Some("6"))
        .await
        .expect(7, "completed")
        .await;
}

#[tokio::test]
async fn a_resume_point_that_is_no_number_is_named() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await;
    let path = format!("/v1/videos/{id}/events");
    for (query, reason) in [
        ("?after_seq=-1", "FIELD_INVALID"),
        ("?after_seq=NaN", "FIELD_INVALID"),
        ("?after_seq=4294967296", "FIELD_INVALID"),
        ("?after=1", "QUERY_INVALID"),
    ] {
        let response = edge.get(&format!("{path}{query}")).await;
        check_problem(response, 400, reason).await;
    }
    for odd in ["abc", "-1", "1.5", "4294967296", ""] {
        let request = edge.request(Method::GET, &path);
        let request = request.header("Last-Event-ID", odd);
        let problem = check_problem(request.send().await.unwrap(), 400, "FIELD_INVALID").await;
        assert_eq!(problem.errors[0].field, "Last-Event-ID");
    }
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_stream_behind_the_edge() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await;
    let mut reader = Reader::open(&edge, &format!("/v1/videos/{id}/events"), None).await;
    reader.expect(1, "queued").await;
    assert_eq!(edge.scheduler.watchers(), 1);
    drop(reader);
    wait::until(
        "no watcher to be left",
        Duration::from_secs(5),
        async || match edge.scheduler.watchers() {
            0 => Ok(()),
            count => Err(count),
        },
    )
    .await;
}

#[tokio::test]
async fn a_draining_edge_tells_its_clients_to_come_back() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await;
    let mut reader = Reader::open(&edge, &format!("/v1/videos/{id}/events"), None).await;
    reader.expect(1, "queued").await;
    edge.shutdown.cancel();
    assert_eq!(reader.next().await, ["retry: 1000"]);
    assert_eq!(reader.next().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_client_dropped_for_its_slowness_is_told_to_come_back() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await;
    edge.scheduler.be(Trouble::DropsWatchers);
    let path = format!("/v1/videos/{id}/events");
    let mut reader = Reader::open(&edge, &path, None).await;
    reader.expect(1, "queued").await;
    assert_eq!(reader.next().await, ["retry: 1000"]);
    edge.scheduler.be(Trouble::None);
    edge.scheduler.complete(&id);
    Reader::open(&edge, &path, Some("1"))
        .await
        .expect(2, "completed")
        .await;
}

#[tokio::test]
async fn a_preview_to_approve_is_an_event_and_not_the_end() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await;
    let mut reader = Reader::open(&edge, &format!("/v1/videos/{id}/events"), None).await;
    reader.expect(1, "queued").await;
    edge.scheduler.show_preview(&id);
    let data = reader.expect(2, "awaiting_approval").await;
    let url = format!("/v1/videos/{id}/preview");
    assert_eq!(data["preview_outputs"]["content_url"], url);
    edge.scheduler.complete(&id);
    reader.expect(3, "completed").await;
    assert_eq!(reader.next().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_job_deleted_meanwhile_ends_the_stream() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await;
    let mut reader = Reader::open(&edge, &format!("/v1/videos/{id}/events"), None).await;
    reader.expect(1, "queued").await;
    edge.request(Method::DELETE, &format!("/v1/videos/{id}"))
        .send()
        .await
        .unwrap();
    assert_eq!(reader.next().await, ["retry: 1000"]);
    assert_eq!(reader.next().await, Vec::<String>::new());
}
