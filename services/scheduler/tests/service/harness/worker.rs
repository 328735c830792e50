//! A worker that does what a test says, and what workers say.

use std::time::Duration;

use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::attach_request::Message as Up;
use kinora_proto::scheduler::v1::attach_response::Message as Down;
use kinora_proto::scheduler::v1::worker_service_client::WorkerServiceClient;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{PATIENCE, channel};

pub struct FakeWorker {
    up: mpsc::Sender<pb::AttachRequest>,
    down: Streaming<pb::AttachResponse>,
}

impl FakeWorker {
    /// Opens a stream and says `first`; the scheduler's Welcome, or how it refused.
    pub async fn attach(endpoint: &str, first: Up) -> Result<(Self, pb::Welcome), Status> {
        let (up, requests) = mpsc::channel(64);
        let mut client = WorkerServiceClient::new(channel(endpoint, "worker"));
        up.send(request(first)).await.expect("an open channel");
        let down = client
            .attach(ReceiverStream::new(requests))
            .await?
            .into_inner();
        let mut worker = Self { up, down };
        match worker.next().await? {
            Some(Down::Welcome(welcome)) => Ok((worker, welcome)),
            other => panic!("expected a Welcome: {other:?}"),
        }
    }

    pub async fn next(&mut self) -> Result<Option<Down>, Status> {
        let next = timeout(PATIENCE, self.down.message())
            .await
            .expect("a message in time")?;
        Ok(next.and_then(|answer| answer.message))
    }

    pub async fn say(&self, message: Up) {
        self.up
            .send(request(message))
            .await
            .expect("an open stream");
    }

    pub async fn grant(&mut self) -> pb::LeaseGrant {
        match self.next().await {
            Ok(Some(Down::Grant(grant))) => grant,
            other => panic!("expected a grant: {other:?}"),
        }
    }

    pub async fn revocation(&mut self) -> pb::LeaseRef {
        match self.next().await {
            Ok(Some(Down::Revocation(revocation))) => revocation.lease.expect("a lease"),
            other => panic!("expected a revocation: {other:?}"),
        }
    }

    pub async fn receipt(&mut self) -> (pb::LeaseRef, bool) {
        loop {
            match self.next().await {
                Ok(Some(Down::Receipt(receipt))) => {
                    return (receipt.lease.expect("a lease"), receipt.accepted);
                }
                // The bus tells it, and so does the next heartbeat.
                Ok(Some(Down::Drain(_))) => {}
                other => panic!("expected a receipt: {other:?}"),
            }
        }
    }

    /// Reports completion, whether or not the lease was revoked meanwhile.
    pub async fn complete_or_lose(&mut self, lease: &pb::LeaseRef) -> bool {
        self.say(completion(lease)).await;
        loop {
            match self.next().await {
                Ok(Some(Down::Receipt(receipt))) => return receipt.accepted,
                Ok(Some(Down::Revocation(_))) => {}
                other => panic!("expected a receipt: {other:?}"),
            }
        }
    }

    pub async fn complete(&mut self, lease: &pb::LeaseRef) -> bool {
        self.say(completion(lease)).await;
        let (receipted, accepted) = self.receipt().await;
        assert_eq!(&receipted, lease);
        accepted
    }

    /// Sends a heartbeat that names `held` every 100 ms, until the stream ends.
    pub fn keep_beating(&self, held: Vec<pb::LeaseRef>) {
        let up = self.up.clone();
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(100));
            loop {
                ticks.tick().await;
                if up.send(request(beat(&held))).await.is_err() {
                    return;
                }
            }
        });
    }
}

pub fn beat(held: &[pb::LeaseRef]) -> Up {
    Up::Heartbeat(pb::Heartbeat {
        held: held.to_vec(),
        draining: false,
        device_state: None,
    })
}

pub fn progress(lease: &pb::LeaseRef, step: u32) -> Up {
    let progress = pb::Progress {
        stage: pb::Stage::Denoising.into(),
        step,
        steps: 20,
        fraction: f64::from(step) / 20.0,
        ..pb::Progress::default()
    };
    Up::Progress(pb::ProgressReport {
        lease: Some(lease.clone()),
        progress: Some(progress),
        preview_webp: Vec::new(),
    })
}

pub fn with_preview(progress: Up, webp: Vec<u8>) -> Up {
    match progress {
        Up::Progress(report) => Up::Progress(pb::ProgressReport {
            preview_webp: webp,
            ..report
        }),
        other => panic!("no progress: {other:?}"),
    }
}

pub fn checkpoint_key(lease: &pb::LeaseRef, step: u32) -> String {
    format!(
        "jobs/{}/checkpoints/{}-{step}.safetensors",
        lease.job_id, lease.lease
    )
}

pub fn checkpoint(lease: &pb::LeaseRef, key: &str, step: u32) -> Up {
    let checkpoint = pb::Checkpoint {
        key: key.to_owned(),
        step,
        sha256: "0a".repeat(32),
        bytes: 1234,
    };
    Up::Checkpoint(pb::CheckpointReport {
        lease: Some(lease.clone()),
        checkpoint: Some(checkpoint),
    })
}

fn outputs(lease: &pb::LeaseRef) -> pb::Outputs {
    let key = |name| format!("jobs/{}/{}/{name}", lease.job_id, lease.lease);
    pb::Outputs {
        video_key: key("video.mp4"),
        thumbnail_key: key("thumbnail.webp"),
        manifest_key: key("manifest.json"),
        video_bytes: 1234,
        width: 64,
        height: 48,
        frames: 13,
        fps: 8,
        duration: Some(prost_types::Duration {
            seconds: 1,
            nanos: 625_000_000,
        }),
        video_sha256: "ab".repeat(32),
        still_key: String::new(),
        ..pb::Outputs::default()
    }
}

/// What those outputs are to callers, in the folder of the video or of its preview.
pub fn shown_outputs(lease: &pb::LeaseRef, of_preview: bool) -> pb::VideoOutputs {
    let video = format!("/v1/videos/{}", lease.job_id);
    let preview = format!("{video}/preview");
    let (content_url, folder) = if of_preview {
        (preview.clone(), preview)
    } else {
        (format!("{video}/content"), video)
    };
    pb::VideoOutputs {
        bytes: 1234,
        sha256: "ab".repeat(32),
        duration_seconds: 1.625,
        width: 64,
        height: 48,
        frames: 13,
        fps: 8,
        content_url,
        thumbnail_url: format!("{folder}/thumbnail"),
        still_url: None,
        manifest_url: format!("{folder}/manifest"),
        spritesheet_url: None,
    }
}

pub fn completion(lease: &pb::LeaseRef) -> Up {
    let outputs = Some(outputs(lease));
    Up::Completion(pb::CompletionReport {
        lease: Some(lease.clone()),
        outputs,
        device_time: None,
    })
}

pub fn failure(lease: &pb::LeaseRef, reason: &str, retryable: bool) -> Up {
    let failure = pb::Failure {
        reason: reason.to_owned(),
        message: "it broke".to_owned(),
        retryable,
    };
    Up::Failure(pb::FailureReport {
        lease: Some(lease.clone()),
        failure: Some(failure),
        device_time: None,
    })
}

pub fn hello(id: &str, held: &[pb::LeaseRef]) -> Up {
    Up::Hello(pb::Hello {
        worker_id: id.to_owned(),
        version: "0.1.0".to_owned(),
        device: "cpu".to_owned(),
        models: vec![model("tiny")],
        slots: 1,
        held: held.to_vec(),
        ..pb::Hello::default()
    })
}

/// As [`hello`], of a worker that speaks a version of the contract.
pub fn hello_of(protocol: u32, id: &str, held: &[pb::LeaseRef]) -> Up {
    match hello(id, held) {
        Up::Hello(hello) => Up::Hello(pb::Hello { protocol, ..hello }),
        other => other,
    }
}

pub fn model(id: &str) -> pb::Model {
    pb::Model {
        id: id.to_owned(),
        family: "wan-t2v".to_owned(),
        title: "Tiny".to_owned(),
        licence: "Apache-2.0".to_owned(),
        defaults: Some(pb::ModelDefaults {
            width: 64,
            height: 48,
            frames: 13,
            fps: 8,
            steps: 20,
            guidance: 3.0,
            negative_prompt: String::new(),
        }),
        limits: Some(pb::ModelLimits {
            min_width: 16,
            max_width: 128,
            min_height: 16,
            max_height: 128,
            size_multiple: 16,
            max_frames: 33,
            frame_stride: 4,
            max_steps: 50,
            max_guidance: 10.0,
            max_prompt_chars: 500,
        }),
        vocabulary: ["red", "ball"].map(str::to_owned).to_vec(),
        ..pb::Model::default()
    }
}

/// A model that needs a first frame.
pub fn image_model(id: &str) -> pb::Model {
    pb::Model {
        family: "wan-i2v".to_owned(),
        image_input: pb::model::ImageInput::Required.into(),
        ..model(id)
    }
}

fn request(message: Up) -> pb::AttachRequest {
    pb::AttachRequest {
        message: Some(message),
    }
}
