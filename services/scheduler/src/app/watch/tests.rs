use std::sync::Arc;

use kinora_ids::LeaseRef;
use kinora_store::Database;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::*;
use crate::app::Greeting;
use crate::app::testing::NoObjects;
use crate::clients::call::Token;
use crate::clock::SystemClock;
use crate::config::SchedulerOptions;
use crate::domain::job::{Outputs, Preview, Progress, Stage};
use crate::domain::model::{ImageInput, Model, ModelDefaults, ModelLimits};
use crate::domain::prompting::PromptFamily;
use crate::domain::submission::Submission;
use crate::domain::transition::Reporter;
use crate::policy::{Assignment, Bounds};
use crate::sessions::DeviceState;
use crate::store::JobStore;

mod groups;
mod places;

async fn app(folder: &std::path::Path) -> App {
    app_with(folder, |_| {}).await
}

async fn app_with(folder: &std::path::Path, change: impl FnOnce(&mut SchedulerOptions)) -> App {
    let url = format!("sqlite://{}", folder.join("test.db").display());
    let mut options = SchedulerOptions::new(url.parse().expect("a URL"));
    // Nobody beats here.
    options.worker_ttl = Duration::from_secs(3600);
    change(&mut options);
    let db = Database::connect(&options.database).await.expect("opens");
    kinora_migrations::scheduler::migrate(db.writer())
        .await
        .expect("migrates");
    let (clock, objects) = (Arc::new(SystemClock), Arc::new(NoObjects));
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
        prompt_family: PromptFamily::Unspecified,
    };
    Greeting {
        worker: "w".to_owned(),
        version: text(),
        device: text(),
        pool: String::new(),
        protocol: 2,
        instance: String::new(),
        device_state: DeviceState::default(),
        slots: 1,
        models: vec![model],
        held: Vec::new(),
    }
}

async fn submitted(app: &App) -> JobId {
    let submission = Submission {
        prompt: "a ball".to_owned(),
        allow_duplicate: true,
        ..Submission::default()
    };
    let view = app
        .submit("anna", &Token::default(), &submission)
        .await
        .expect("submits");
    view.job.id
}

async fn leased(app: &App) -> LeaseRef {
    let session = Uuid::now_v7();
    app.attach(greeting(), session).await.expect("attaches");
    submitted(app).await;
    claimed(app, session).await
}

async fn claimed(app: &App, session: Uuid) -> LeaseRef {
    let models = ["tiny".to_owned()];
    let seen = app.store.snapshot(&models, Bounds::default()).await;
    let lane = seen.expect("a look").lanes.remove(0);
    let first = Assignment {
        job: lane.jobs[0].job,
        owner: lane.owner,
        tenant: lane.tenant,
        worker: "w".to_owned(),
        session,
    };
    let jobs = app
        .lease(&[first], app.now(), Duration::from_secs(60))
        .await;
    jobs.expect("leases")[0].newest_lease()
}

/// A report of a step, with a picture, so that it is told whatever came before.
async fn report(app: &App, lease: LeaseRef, step: u32) {
    let progress = Progress {
        step,
        ..Progress::at(Stage::Denoising, 1000)
    };
    let preview = Preview::new(b"RIFF\0\0\0\0WEBP");
    let from = Reporter { worker: "w", lease };
    assert!(
        app.progress(from, progress, preview)
            .await
            .expect("reports")
    );
}

async fn complete(app: &App, lease: LeaseRef) {
    let from = Reporter { worker: "w", lease };
    assert!(
        app.complete(from, outputs(lease), None)
            .await
            .expect("completes")
    );
}

type Seen = mpsc::Receiver<Result<Sighting, Error>>;

async fn next(seen: &mut Seen) -> Sighting {
    let next = tokio::time::timeout(Duration::from_secs(20), seen.recv()).await;
    next.expect("something in time")
        .expect("not the end")
        .expect("no error")
}

/// All that is still to come.
async fn rest(mut seen: Seen) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(sighting) = seen.recv().await {
        events.push(sighting.expect("no error").event);
    }
    events
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

/// Watches in the background until the job has ended.
fn watch(app: &Arc<App>, id: JobId, after_seq: u64) -> Seen {
    let (out, seen) = mpsc::channel(64);
    let app = Arc::clone(app);
    tokio::spawn(async move {
        let watching = Watching::begin(&app, "anna", id, after_seq).await;
        watching.expect("begins").run(&out).await.expect("follows");
    });
    seen
}

#[tokio::test]
async fn watcher_that_falls_behind_still_sees_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = app(folder.path()).await;
    let lease = leased(&app).await;
    // Room for one event: the watcher stands still while far more happens than the bus keeps.
    let (out, seen) = mpsc::channel(1);
    let watching = Watching::begin(&app, "anna", lease.job, 0)
        .await
        .expect("begins");
    let work = async {
        for step in 1..=300 {
            report(&app, lease, step).await;
        }
        complete(&app, lease).await;
        rest(seen).await
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

#[tokio::test]
async fn watcher_that_does_not_read_is_cut_off_with_the_number_to_go_on_after() {
    let folder = tempfile::tempdir().expect("a folder");
    let patience = Duration::from_millis(20);
    let app = app_with(folder.path(), |options| options.watcher_patience = patience).await;
    let lease = leased(&app).await;
    let (out, mut seen) = mpsc::channel(1);
    let watching = Watching::begin(&app, "anna", lease.job, 0)
        .await
        .expect("begins");
    let cut = watching.run(&out).await.expect_err("it reads nothing");
    let last = next(&mut seen).await.event.seq;
    assert!(
        matches!(cut, Error::WatcherTooSlow { after_seq } if after_seq == last),
        "{cut:?}"
    );
    let status = tonic::Status::from(cut);
    assert_eq!(status.code(), tonic::Code::Unavailable);
}

#[tokio::test]
async fn numbers_grow_over_progress_that_was_never_stored_and_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let app = Arc::new(
        app_with(folder.path(), |options| {
            options.progress_interval = Duration::MAX
        })
        .await,
    );
    let lease = leased(&app).await;
    let mut seen = watch(&app, lease.job, 0);
    let mut numbers = Vec::new();
    for step in 1..=4 {
        report(&app, lease, step).await;
        loop {
            let event = next(&mut seen).await.event;
            numbers.push(event.seq);
            if event.progress.step == step {
                break;
            }
        }
    }
    let stored = app.store.get("anna", lease.job).await.expect("reads");
    let stored = stored.expect("the job");
    let last = *numbers.last().expect("some");
    assert!(
        stored.progress.step == 1 && stored.seq < last,
        "the later steps are not in the row"
    );
    // The process is killed; another one knows the row alone.
    drop(seen);
    let again = Arc::new(self::app(folder.path()).await);
    let mut resumed = watch(&again, lease.job, last);
    report(&again, lease, 5).await;
    let event = next(&mut resumed).await.event;
    assert_eq!((event.progress.step, event.state), (5, State::Running));
    numbers.push(event.seq);
    complete(&again, lease).await;
    numbers.extend(rest(resumed).await.iter().map(|event| event.seq));
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    assert_eq!(
        numbers.last(),
        Some(&again.get("anna", lease.job).await.expect("reads").job.seq)
    );
}

#[tokio::test]
async fn late_progress_reaches_the_row_without_another_report() {
    let folder = tempfile::tempdir().expect("a folder");
    let interval = Duration::from_millis(20);
    let app = app_with(folder.path(), |options| {
        options.progress_interval = interval
    })
    .await;
    let lease = leased(&app).await;
    report(&app, lease, 1).await;
    report(&app, lease, 2).await;
    kinora_testkit::wait::until("the row", Duration::from_secs(20), || async {
        app.store_late_progress().await.expect("stores");
        let step = app
            .get("anna", lease.job)
            .await
            .expect("reads")
            .job
            .progress
            .step;
        if step == 2 { Ok(()) } else { Err(step) }
    })
    .await;
}
