//! Schedulers that are killed anywhere, above a ledger that loses calls and answers: no credit is lost, and none taken for
//! nothing.

use std::collections::HashSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::{BoxFuture, join};
use kinora_ids::JobId;
use kinora_scheduler::SchedulerOptions;
use kinora_scheduler::app::{App, Greeting};
use kinora_scheduler::clients::call::Token;
use kinora_scheduler::clock::Clock;
use kinora_scheduler::domain::job::{Failure, Job, Outputs, State};
use kinora_scheduler::domain::listing::{Filter, Order};
use kinora_scheduler::domain::model::{ImageInput, Model, ModelDefaults, ModelLimits};
use kinora_scheduler::domain::prompting::PromptFamily;
use kinora_scheduler::domain::sequence::BatchOrder;
use kinora_scheduler::domain::submission::Submission;
use kinora_scheduler::domain::transition::Reporter;
use kinora_scheduler::policy::Assignment;
use kinora_scheduler::sessions::DeviceState;
use kinora_scheduler::signals::EventsVia;
use kinora_scheduler::store::{JobStore, Stretch};
use kinora_store::{Database, DatabaseUrl};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::harness::{End, FakeLedger, Removals};

const OWNER: &str = "anna";
const WORKER: &str = "w";
const ROUNDS: u32 = 300;
const CREDITS: u64 = 1_000_000;

/// A clock that goes when it is told to.
struct ManualClock(Mutex<DateTime<Utc>>);

impl ManualClock {
    fn pass(&self, time: TimeDelta) {
        *self.0.lock() += time;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock()
    }
}

/// What outlives every process.
struct World {
    store: JobStore,
    url: DatabaseUrl,
    clock: Arc<ManualClock>,
    ledger: FakeLedger,
    session: Uuid,
    /// All jobs that were ever stored.
    seen: HashSet<String>,
}

/// What a process is asked to do.
#[derive(Clone, Debug)]
enum Deed {
    Submit(Submission),
    SubmitBatch(Vec<Submission>),
    /// Leases a job and ends the attempt.
    Work(Job, Way),
    /// Ends the attempt of a running job.
    Finish(Job, Way),
    Approve(JobId),
    Cancel(JobId),
    Delete(JobId),
    Expire,
    Settle,
    Sweep,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Completed,
    Failed,
}

fn model() -> Model {
    let text = String::new;
    Model {
        id: "tiny".to_owned(),
        family: text(),
        title: text(),
        licence: text(),
        defaults: ModelDefaults {
            width: 64,
            height: 48,
            frames: 13,
            fps: 8,
            steps: 20,
            guidance: 1.0,
            negative_prompt: text(),
        },
        limits: ModelLimits {
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
        },
        vocabulary: Vec::new(),
        image_input: ImageInput::None,
        last_image_input: ImageInput::None,
        memory: None,
        prompt_family: PromptFamily::Unspecified,
    }
}

fn greeting() -> Greeting {
    Greeting {
        worker: WORKER.to_owned(),
        version: String::new(),
        device: String::new(),
        pool: String::new(),
        protocol: 2,
        instance: String::new(),
        device_state: DeviceState::default(),
        slots: 100_000,
        models: vec![model()],
        held: Vec::new(),
    }
}

/// Does what a process is asked to do. Whether it succeeds is of no concern here.
async fn act(app: &App, store: &JobStore, session: Uuid, deed: Deed) {
    let token = Token::default();
    match deed {
        Deed::Submit(submission) => {
            let _ = app.submit(OWNER, &token, &submission).await;
        }
        Deed::SubmitBatch(submissions) => {
            let order = BatchOrder {
                submissions,
                ..BatchOrder::default()
            };
            let _ = app.submit_batch(OWNER, &token, &order).await;
        }
        Deed::Work(job, way) => {
            let assignment = Assignment {
                job: job.id,
                owner: job.owner,
                tenant: job.tenant,
                worker: WORKER.to_owned(),
                session,
            };
            let limit = Duration::from_secs(3600);
            let claimed = store.claim(&[assignment], app.now(), limit).await;
            for (job, _) in claimed.unwrap_or_default() {
                finish(app, &job, way).await;
            }
        }
        Deed::Finish(job, way) => finish(app, &job, way).await,
        Deed::Approve(id) => drop(app.approve(OWNER, id).await),
        Deed::Cancel(id) => drop(app.cancel(OWNER, id).await),
        Deed::Delete(id) => drop(app.delete(OWNER, id).await),
        Deed::Expire => drop(app.upkeep().await),
        Deed::Settle => drop(app.settle().await),
        Deed::Sweep => drop(app.sweep_holds().await),
    }
}

async fn finish(app: &App, job: &Job, way: Way) {
    let from = Reporter {
        worker: WORKER,
        lease: job.newest_lease(),
    };
    match way {
        Way::Completed => {
            let outputs = Outputs {
                video_key: format!("{}video.mp4", from.lease.object_prefix()),
                frames: 13,
                ..Outputs::default()
            };
            let _ = app.complete(from, outputs, None).await;
        }
        Way::Failed => {
            let failure = Failure {
                reason: "REQUEST_INVALID".to_owned(),
                message: "no".to_owned(),
                retryable: false,
            };
            let _ = app.fail(from, failure, None).await;
        }
    }
}

/// Polls what a process does so often, and then kills it.
async fn kill_after(polls: u32, app: &App, doing: BoxFuture<'_, ()>) {
    let (mut doing, mut left) = (doing, polls);
    poll_fn(|context| {
        if left == 0 {
            // Nothing of what a living process does for a call that is cut off.
            app.shutdown.cancel();
            return Poll::Ready(());
        }
        left -= 1;
        doing.as_mut().poll(context)
    })
    .await;
}

impl World {
    async fn new(url: &DatabaseUrl) -> Self {
        let db = Database::connect(url).await.expect("opens");
        kinora_migrations::scheduler::migrate(db.writer())
            .await
            .expect("migrates");
        let begin = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
        let clock = Arc::new(ManualClock(Mutex::new(begin)));
        let world = Self {
            store: JobStore::new(db),
            url: url.clone(),
            ledger: FakeLedger::by(CREDITS, clock.clone()),
            clock,
            session: Uuid::now_v7(),
            seen: HashSet::new(),
        };
        let attached = world.process().attach(greeting(), world.session).await;
        attached.expect("attaches");
        world
    }

    /// A scheduler that has just started.
    fn process(&self) -> App {
        let mut options = SchedulerOptions::new(self.url.clone());
        options.events = Some(EventsVia::Memory);
        options.max_active = 0;
        options.max_attempts = 1;
        options.approval_window = Duration::from_secs(1800);
        let app = App::new(
            self.store.clone(),
            options,
            Arc::new(Removals::default()),
            self.clock.clone(),
            CancellationToken::new(),
        );
        app.with_ledger(Some(Arc::new(self.ledger.clone())))
    }

    async fn jobs(&self) -> Vec<Job> {
        let all = Stretch {
            filter: &Filter::default(),
            order: Order::NewestFirst,
            after: None,
            limit: 100_000,
        };
        self.store.list(OWNER, all).await.expect("lists")
    }

    /// Something to do, now.
    async fn deed(&self, chance: &mut StdRng) -> Deed {
        let jobs = self.jobs().await;
        let mut pick = |states: &[State]| {
            let fit: Vec<&Job> = jobs
                .iter()
                .filter(|job| states.contains(&job.state))
                .collect();
            (!fit.is_empty()).then(|| fit[chance.random_range(0..fit.len())].clone())
        };
        let any = pick(&[
            State::Queued,
            State::Running,
            State::AwaitingApproval,
            State::Completed,
        ]);
        let (queued, running) = (pick(&[State::Queued]), pick(&[State::Running]));
        let awaiting = pick(&[State::AwaitingApproval]);
        let way = if chance.random_bool(0.8) {
            Way::Completed
        } else {
            Way::Failed
        };
        match (chance.random_range(0..20), any, queued, running, awaiting) {
            (0..5, ..) => Deed::Submit(self.submission(chance).await),
            (5, ..) => Deed::SubmitBatch(vec![plain(), plain(), plain()]),
            (6..10, _, Some(job), ..) => Deed::Work(job, way),
            (10, _, _, Some(job), _) => Deed::Finish(job, way),
            (11, _, _, _, Some(job)) => Deed::Approve(job.id),
            (12, Some(job), ..) => Deed::Cancel(job.id),
            (13, Some(job), ..) => Deed::Delete(job.id),
            (14, ..) => Deed::Expire,
            (15, ..) => Deed::Sweep,
            _ => Deed::Settle,
        }
    }

    async fn submission(&self, chance: &mut StdRng) -> Submission {
        let id = format!("r{}", chance.random_range(0..8));
        // Who was killed in the middle of a request holds up the next one for a while.
        let is_free = !self
            .store
            .is_being_made(OWNER, &format!("id:{id}"))
            .await
            .expect("looks");
        Submission {
            preview_first: chance.random_bool(0.3),
            request_id: Some(id).filter(|_| is_free && chance.random_bool(0.4)),
            ..plain()
        }
    }

    /// Two processes at a time, each of which may be killed.
    async fn round(&mut self, chance: &mut StdRng) {
        let apps = [self.process(), self.process()];
        let mut doing = Vec::new();
        for app in &apps {
            let deed = self.deed(chance).await;
            let polls = if chance.random_bool(0.6) {
                chance.random_range(1..60)
            } else {
                u32::MAX
            };
            let act = Box::pin(act(app, &self.store, self.session, deed));
            doing.push(kill_after(polls, app, act));
        }
        let (second, first) = (doing.pop().expect("two"), doing.pop().expect("two"));
        join(first, second).await;
        self.clock
            .pass(TimeDelta::seconds(chance.random_range(0..200)));
        self.seen
            .extend(self.jobs().await.iter().map(|job| job.id.to_string()));
    }

    /// Nobody is killed any more, and nothing lost.
    async fn recover(&self) {
        self.ledger.be_hostile(None);
        for _ in 0..8 {
            self.clock.pass(TimeDelta::minutes(11));
            let app = self.process();
            app.sweep_holds().await.expect("sweeps");
            app.settle().await.expect("settles");
        }
    }

    /// Every job that goes on has its hold, and every hold that is open its job.
    async fn check_open(&self) {
        let jobs = self.jobs().await;
        let live = jobs.iter().filter(|job| !job.state.is_terminal());
        let live: HashSet<String> = live.map(|job| job.id.to_string()).collect();
        let open: HashSet<String> = self.ledger.look(|book| {
            let open = book.holds.iter().filter(|(_, held)| held.is_open());
            open.map(|(job, _)| job.clone()).collect()
        });
        assert_eq!(open, live);
        let held = |job: &Job| {
            self.ledger
                .look(|book| book.holds[&job.id.to_string()].credits)
        };
        for job in jobs.iter().filter(|job| !job.state.is_terminal()) {
            assert_eq!(job.hold.map(|hold| hold.credits), Some(held(job)));
        }
        self.ledger.look(|book| book.check());
    }

    /// Every hold has ended, once, and as its job did.
    async fn check_ended(&self) {
        let load = self
            .store
            .settlement_load(self.clock.now())
            .await
            .expect("sums up");
        assert_eq!((load.waiting, load.set_aside), (0, 0));
        let holds = self.ledger.look(|book| {
            book.check();
            book.holds.clone()
        });
        for (job, held) in &holds {
            assert!(!held.is_open(), "{job}: {held:?}");
            if !self.seen.contains(job) {
                assert_eq!(held.end, End::Released, "{job} was never stored");
            }
        }
        for job in self.jobs().await {
            let held = &holds[&job.id.to_string()];
            let is_paid = match job.state {
                State::Completed => held.captured() == held.credits,
                State::Failed => held.captured() == 0,
                State::Cancelled | State::Expired => {
                    [0, held.preview_credits].contains(&held.captured())
                }
                other => panic!("{} is {other:?}", job.id),
            };
            assert!(is_paid, "{} is {:?}: {held:?}", job.id, job.state);
            assert_eq!(job.hold, None, "{} holds nothing any more", job.id);
        }
    }
}

fn plain() -> Submission {
    Submission {
        prompt: "a ball".to_owned(),
        allow_duplicate: true,
        ..Submission::default()
    }
}

kinora_store::on_both_databases! {
    async fn no_credit_is_lost_however_often_schedulers_are_killed(url: DatabaseUrl) {
        let seed = 20_261_122;
        let mut chance = StdRng::seed_from_u64(seed);
        let mut world = World::new(&url).await;
        world.ledger.be_hostile(Some(seed));
        for _ in 0..ROUNDS {
            world.round(&mut chance).await;
        }
        world.recover().await;
        world.check_open().await;
        let captured = world.ledger.look(|book| book.holds.values().filter(|held| held.captured() > 0).count());
        assert!(captured > 20, "{captured} were paid");
        assert!(world.ledger.look(|book| book.holds.len()) > world.seen.len(), "some came to nothing");

        let app = world.process();
        for job in world.jobs().await {
            app.cancel(OWNER, job.id).await.expect("cancels");
        }
        world.recover().await;
        world.check_ended().await;
    }
}
