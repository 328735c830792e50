//! The command against a mesh elsewhere: the real edge, with a scheduler behind it that tests command.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: what goes wrong fails the test"
)]

#[path = "../../services/edge/tests/http/fake/mod.rs"]
#[allow(dead_code, reason = "the edge's own tests use the rest")]
mod fake;
#[path = "../../services/edge/tests/http/harness.rs"]
#[allow(dead_code, reason = "the edge's own tests use the rest")]
mod harness;

use std::process::Stdio;
use std::time::Duration;

use kinora_proto::scheduler::v1::video::Status;
use kinora_proto::scheduler::v1::{Priority, VideoError};
use kinora_testkit::wait;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use fake::Trouble;
use harness::{ADA, BOB, TestEdge};

/// How a command ended.
#[derive(Debug)]
struct Ended {
    status: Option<i32>,
    output: String,
    log: String,
}

impl Ended {
    #[track_caller]
    fn check(&self, status: i32, output: &str, log: &str) {
        assert_eq!(self.status, Some(status), "{self:?}");
        assert!(self.output.contains(output), "{self:?}");
        assert!(self.log.contains(log), "{self:?}");
    }

    #[track_caller]
    fn json(&self) -> Value {
        assert_eq!(self.status, Some(0), "{self:?}");
        serde_json::from_str(&self.output).unwrap()
    }
}

fn start(edge: &TestEdge, key: &str, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_kinora"))
        .args(arguments)
        .env("KINORA_SERVER", format!("http://{}", edge.address))
        .env("KINORA_API_KEY", key)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn finish(child: Child) -> Ended {
    let output = child.wait_with_output();
    let output = tokio::time::timeout(Duration::from_secs(60), output).await;
    let output = output.unwrap().unwrap();
    Ended {
        status: output.status.code(),
        output: String::from_utf8(output.stdout).unwrap(),
        log: String::from_utf8(output.stderr).unwrap(),
    }
}

async fn kinora(edge: &TestEdge, arguments: &[&str]) -> Ended {
    finish(start(edge, ADA, arguments)).await
}

/// Waits until there are so many videos, and gives them, oldest first.
async fn videos(edge: &TestEdge, count: usize) -> Vec<Value> {
    wait::until(
        "the videos are there",
        Duration::from_secs(30),
        async || {
            let list: Value = edge.get("/v1/videos").await.json().await.unwrap();
            let mut videos = list["data"].as_array().unwrap().clone();
            videos.reverse();
            if videos.len() == count {
                Ok(videos)
            } else {
                Err(videos.len())
            }
        },
    )
    .await
}

fn fail(edge: &TestEdge, video: &Value) {
    edge.scheduler
        .advance(video["id"].as_str().unwrap(), |video| {
            video.set_status(Status::Failed);
            video.error = Some(VideoError {
                code: "DEVICE_LOST".to_owned(),
                message: "the device went away".to_owned(),
                retryable: false,
            });
        });
}

#[tokio::test]
async fn several_prompts_are_one_batch() {
    let edge = TestEdge::start().await;
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("clip.mp4");
    let line = ["generate", "a", "b", "--seed", "5", "--priority", "batch"];
    let line = [&line[..], &["-o", output.to_str().unwrap()]].concat();
    let child = start(&edge, ADA, &line);
    let videos = videos(&edge, 2).await;
    let asked: Vec<_> = videos
        .iter()
        .map(|video| (&video["prompt"], &video["seed"]))
        .collect();
    let (a, b, five) = (json!("a"), json!("b"), json!("5"));
    assert_eq!(asked, [(&a, &five), (&b, &five)]);
    let request = edge.scheduler.request(videos[0]["id"].as_str().unwrap());
    assert_eq!(request.priority(), Priority::Batch);
    for video in &videos {
        fail(&edge, video);
    }
    let ended = finish(child).await;
    ended.check(1, "", "0 of 2 clips were made");
    ended.check(1, "", "2 of 2: failed");
    ended.check(1, "", "the device went away");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn an_interrupted_batch_is_cancelled_as_a_whole() {
    let edge = TestEdge::start().await;
    let folder = tempfile::tempdir().unwrap();
    let prompts = folder.path().join("prompts.txt");
    std::fs::write(&prompts, "a\n\nb\n").unwrap();
    let output = folder.path().join("clip.mp4");
    let line = [
        "batch",
        "run",
        prompts.to_str().unwrap(),
        "-o",
        output.to_str().unwrap(),
    ];
    let child = start(&edge, ADA, &line);
    let id = videos(&edge, 2).await[0]["group_id"]
        .as_str()
        .unwrap()
        .to_owned();
    wait::until("the command follows", Duration::from_secs(30), async || {
        if edge.scheduler.watchers() > 0 {
            Ok(())
        } else {
            Err("nobody follows")
        }
    })
    .await;
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
    rustix::process::kill_process(pid.unwrap(), rustix::process::Signal::INT).unwrap();
    finish(child).await.check(130, "", "is cancelled");
    kinora(&edge, &["batch", "show", &id])
        .await
        .check(0, "2 cancelled", "");
}

#[tokio::test]
async fn groups_are_shown_and_cancelled_whatever_they_are() {
    let edge = TestEdge::start().await;
    let group = async |path, body| edge.post(path, body).await.json::<Value>().await.unwrap();
    let batch = group(
        "/v1/batches",
        json!({ "requests": [{ "prompt": "a red ball" }] }),
    )
    .await;
    let sequence = group("/v1/sequences", json!({ "prompts": ["it falls"] })).await;
    let id = batch["id"].as_str().unwrap();
    kinora(&edge, &["batch", "show", id])
        .await
        .check(0, "a red ball", "");
    let id = sequence["id"].as_str().unwrap();
    let shown = kinora(&edge, &["batch", "show", id]).await;
    shown.check(0, "(joins the clips of a sequence)", "");
    shown.check(0, "2 queued", "");
    let child = start(&edge, ADA, &["batch", "watch", id]);
    wait::until("the command follows", Duration::from_secs(30), async || {
        if edge.scheduler.watchers() > 0 {
            Ok(())
        } else {
            Err("nobody follows")
        }
    })
    .await;
    let cancelled = kinora(&edge, &["batch", "cancel", id, "--json"])
        .await
        .json();
    let watched = finish(child).await;
    watched.check(1, "2 cancelled", "0 of 2 steps of the sequence were made");
    watched.check(1, "", "2 of 2: cancelled");
    assert_eq!(cancelled["counts"], json!({ "cancelled": 2 }));
    kinora(&edge, &["batch", "show", "nothing"])
        .await
        .check(2, "", "there is no such");
}

#[tokio::test]
async fn a_preview_is_approved_by_another_command() {
    let edge = TestEdge::start().await;
    let body = json!({ "prompt": "p", "preview_first": true });
    let video: Value = edge.post("/v1/videos", body).await.json().await.unwrap();
    let id = video["id"].as_str().unwrap();
    kinora(&edge, &["approve", id])
        .await
        .check(2, "", "no preview");
    edge.scheduler.show_preview(id);
    let waiting = kinora(&edge, &["jobs", "--state", "awaiting_approval", "--json"])
        .await
        .json();
    assert_eq!(waiting[0]["id"], id);
    kinora(&edge, &["approve", id])
        .await
        .check(0, &format!("{id} is approved"), "");
    kinora(&edge, &["jobs", "--state", "awaiting_approval"])
        .await
        .check(0, "", "no jobs");
    kinora(&edge, &["jobs", "--state", "done"])
        .await
        .check(2, "", "completed");
}

#[tokio::test]
async fn jobs_are_searched_and_put_in_order() {
    let edge = TestEdge::start().await;
    let mut ids = Vec::new();
    for prompt in ["a red ball", "a blue ball", "a red star"] {
        let body = json!({ "prompt": prompt });
        let video: Value = edge.post("/v1/videos", body).await.json().await.unwrap();
        ids.push(video["id"].as_str().unwrap().to_owned());
    }
    let listed = async |arguments: &[&str]| {
        let line = [&["jobs", "--json"][..], arguments].concat();
        let jobs = kinora(&edge, &line).await.json();
        let jobs = jobs.as_array().unwrap().iter();
        let ids = jobs.map(|job| job["id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(listed(&["--query", "red"]).await, [&*ids[2], &*ids[0]]);
    let oldest = ["--query", "red", "--order", "asc", "--limit", "1"];
    assert_eq!(listed(&oldest).await, [&*ids[0]]);
    assert_eq!(listed(&["--model", "another"]).await, [""; 0]);
    assert_eq!(listed(&["--until", "2020-01-31"]).await, [""; 0]);
    assert_eq!(listed(&["--since", "2020-01-31"]).await.len(), 3);
    kinora(&edge, &["jobs", "--since", "yesterday"])
        .await
        .check(2, "", "is no date");
}

#[tokio::test]
async fn an_estimate_and_a_remix_say_what_is_asked() {
    let edge = TestEdge::start().await;
    let line = ["estimate", "p", "--seed", "96"];
    let estimate = kinora(&edge, &line).await;
    estimate.check(0, "device   1.5 s", "");
    let estimate = kinora(&edge, &[&line[..], &["--json"]].concat())
        .await
        .json();
    assert_eq!(estimate["settings"]["seed"], "96", "{estimate}");
    assert_eq!(estimate.get("queue_seconds"), None, "{estimate}");
    let id = edge.submit().await;
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("again.mp4");
    let line = [
        "remix",
        &id,
        "in blue",
        "--at",
        "2h",
        "-o",
        output.to_str().unwrap(),
    ];
    let child = start(&edge, ADA, &line);
    let remix = &videos(&edge, 2).await[1];
    assert_eq!(
        (&remix["source_id"], &remix["prompt"]),
        (&json!(id), &json!("in blue"))
    );
    assert!(remix["not_before"].is_string(), "{remix}");
    fail(&edge, remix);
    finish(child).await.check(1, "", "DEVICE_LOST");
}

#[tokio::test]
async fn an_extension_of_what_is_not_complete_is_refused() {
    let edge = TestEdge::start().await;
    let id = edge.submit().await;
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("clip.mp4");
    let line = ["extend", &id, "it jumps", "-o", output.to_str().unwrap()];
    kinora(&edge, &line).await.check(2, "", "it is not there");
    let line = [
        "sequence",
        "a",
        "b",
        "--segments",
        "2",
        "-o",
        output.to_str().unwrap(),
    ];
    kinora(&edge, &line).await.check(2, "", "--segments");
    let line = [
        "generate",
        "a",
        "b",
        "--preview-first",
        "-o",
        output.to_str().unwrap(),
    ];
    kinora(&edge, &line)
        .await
        .check(2, "", "--preview-first is for a single clip");
}

#[tokio::test]
async fn a_limit_that_is_reached_has_a_status_of_its_own() {
    let edge = TestEdge::start().await;
    edge.scheduler.be(Trouble::IsFull(Duration::from_secs(30)));
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("clip.mp4");
    let line = ["generate", "a", "-o", output.to_str().unwrap()];
    kinora(&edge, &line).await.check(4, "", "is full");
}

#[tokio::test]
async fn webhooks_are_kept_from_the_command() {
    let edge = TestEdge::start().await;
    kinora(&edge, &["webhooks"])
        .await
        .check(0, "", "no webhooks yet");
    let url = "https://hooks.example.org/";
    let added = kinora(&edge, &["webhooks", "add", url, "--event", "video.failed"]).await;
    added.check(0, "whsec_one", "");
    let id = added.output.lines().next().unwrap();
    let listed = kinora(&edge, &["webhooks", "list"]).await;
    listed.check(0, "video.failed", "");
    assert!(!listed.output.contains("whsec"));
    kinora(&edge, &["webhooks", "update", id, "--disable"])
        .await
        .check(0, "disabled", "");
    kinora(&edge, &["webhooks", "update", id])
        .await
        .check(2, "", "--enable");
    kinora(&edge, &["webhooks", "rotate", id])
        .await
        .check(0, "whsec_two", "");
    let deliveries = kinora(&edge, &["webhooks", "deliveries", id, "--json"])
        .await
        .json();
    let delivery = deliveries[0]["id"].as_str().unwrap();
    kinora(&edge, &["webhooks", "replay", delivery])
        .await
        .check(0, "pending", "");
    kinora(&edge, &["webhooks", "remove", id])
        .await
        .check(0, "is removed", "");
    kinora(&edge, &["webhooks", "remove", id])
        .await
        .check(2, "", "there is no such");
}

#[tokio::test]
async fn operators_look_after_the_mesh_and_others_do_not() {
    let edge = TestEdge::start().await;
    let name = "gpu 1/a?b";
    edge.scheduler.attach_worker(name);
    kinora(&edge, &["admin", "workers"])
        .await
        .check(0, name, "");
    kinora(&edge, &["admin", "cordon", name])
        .await
        .check(0, "attached,cordoned", "");
    kinora(&edge, &["admin", "uncordon", name])
        .await
        .check(0, "attached ", "");
    kinora(&edge, &["admin", "drain", name])
        .await
        .check(0, "draining", "");
    kinora(&edge, &["admin", "queues"])
        .await
        .check(0, "batch     3", "");
    let tenant = ["admin", "tenant", "studio", "--weight", "200"];
    kinora(&edge, &tenant)
        .await
        .check(0, "200     no limit", "");
    let id = edge.submit().await;
    fail(&edge, &json!({ "id": id }));
    let letters = kinora(&edge, &["admin", "dead-letters"]).await;
    letters.check(0, "DEVICE_LOST", "");
    letters.check(0, "  attempt 1", "");
    kinora(&edge, &["admin", "retry", &id])
        .await
        .check(0, "is submitted again as", "");
    let stranger = finish(start(&edge, BOB, &["admin", "workers"])).await;
    stranger.check(2, "", "this is for operators");
}
