use std::sync::Arc;

use futures::future::BoxFuture;
use kinora_ids::LeaseRef;
use kinora_store::Database;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::*;
use crate::app::Greeting;
use crate::clients::{ObjectError, Objects};
use crate::clock::SystemClock;
use crate::config::SchedulerOptions;
use crate::domain::job::{Outputs, Progress, Stage};
use crate::domain::model::{ImageInput, Model, ModelDefaults, ModelLimits};
use crate::domain::submission::Submission;
use crate::domain::transition::Reporter;
use crate::store::JobStore;

struct KeepObjects;

impl Objects for KeepObjects {
    fn remove_prefix<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), ObjectError>> {
        Box::pin(async { Ok(()) })
    }

    fn put<'a>(
        &'a self,
        _: &'a str,
        _: Vec<u8>,
        _: &'a str,
    ) -> BoxFuture<'a, Result<(), ObjectError>> {
        Box::pin(async { Ok(()) })
    }
}

async fn app(folder: &std::path::Path) -> App {
    let url = format!("sqlite://{}", folder.join("test.db").display());
    let options = SchedulerOptions::new(url.parse().expect("a URL"));
    let db = Database::connect(&options.database).await.expect("opens");
    kinora_migrations::scheduler::migrate(db.writer())
        .await
        .expect("migrates");
    let (clock, objects) = (Arc::new(SystemClock), Arc::new(KeepObjects));
    App::new(
        JobStore::new(db),
        options,
        objects,
        clock,
        CancellationToken::new(),
    )
}

/// A model that allows one frame of one pixel.
fn greeting() -> Greeting {
    let defaults = ModelDefaults {
        width: 1,
        height: 1,
        frames: 1,
        fps: 1,
        steps: 1000,
        guidance: 1.0,
        negative_prompt: String::new(),
    };
    let limits = ModelLimits {
        min_width: 1,
        max_width: 1,
        min_height: 1,
        max_height: 1,
        size_multiple: 1,
        max_frames: 1,
        frame_stride: 1,
        max_steps: 1000,
        max_guidance: 1.0,
        max_prompt_chars: 10,
    };
    let text = String::new;
    let model = Model {
        id: "tiny".to_owned(),
        family: text(),
        title: text(),
        licence: text(),
        defaults,
        limits,
        vocabulary: Vec::new(),
        image_input: ImageInput::None,
        last_image_input: ImageInput::None,
        memory: None,
    };
    Greeting {
        worker: "w".to_owned(),
        version: text(),
        device: text(),
        slots: 1,
        models: vec![model],
        held: Vec::new(),
    }
}

async fn leased(app: &App) -> LeaseRef {
    let session = Uuid::now_v7();
    app.attach(greeting(), session).await.expect("attaches");
    let prompt = "a ball".to_owned();
    let submission = Submission {
        prompt,
        ..Submission::default()
    };
    app.submit("anna", &submission).await.expect("submits");
    let jobs = app
        .claim("w", session, &["tiny".to_owned()], 1)
        .await
        .expect("claims");
    jobs[0].newest_lease()
}

fn outputs(lease: LeaseRef) -> Outputs {
    Outputs {
        video_key: format!("{}video.mp4", lease.object_prefix()),
        thumbnail_key: String::new(),
        manifest_key: String::new(),
        video_bytes: 1,
        width: 1,
        height: 1,
        frames: 1,
        fps: 1,
        duration: std::time::Duration::from_secs(1),
        video_sha256: String::new(),
        still_key: String::new(),
        ..Outputs::default()
    }
}

#[tokio::test]
async fn watcher_that_falls_behind_still_sees_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = app(folder.path()).await;
    let lease = leased(&app).await;
    let reporter = Reporter { worker: "w", lease };
    // Room for one event: the watcher stands still while far more happens than the bus keeps.
    let (out, mut seen) = mpsc::channel::<Result<Sighting, Error>>(1);
    let watching = Watching::begin(&app, "anna", lease.job, 0)
        .await
        .expect("begins");
    let work = async {
        for step in 1..=300 {
            let progress = Progress {
                step,
                ..Progress::at(Stage::Denoising, 1000)
            };
            assert!(
                app.progress(reporter, progress, None)
                    .await
                    .expect("reports")
            );
        }
        assert!(
            app.complete(reporter, outputs(lease), None)
                .await
                .expect("completes")
        );
        let mut events = Vec::new();
        while let Some(sighting) = seen.recv().await {
            events.push(sighting.expect("no error").0);
        }
        events
    };
    let follow = async {
        watching.run(&out).await.expect("follows");
        drop(out);
    };
    let (events, ()) = tokio::join!(work, follow);
    assert!(
        events.windows(2).all(|pair| pair[0].seq < pair[1].seq),
        "{events:?}"
    );
    assert!(events.len() < 300, "it fell behind");
    let states: Vec<State> = events.iter().map(|event| event.state).collect();
    assert_eq!(
        (states.first(), states.last()),
        (Some(&State::Queued), Some(&State::Completed))
    );
}
