use std::collections::HashSet;
use std::time::Duration;

use chrono::TimeDelta;
use kinora_store::DatabaseUrl;
use uuid::Uuid;

use super::*;
use crate::domain::job::{Job, State, Time};
use crate::webhooks::event::{EventKind, Subscription};
use crate::webhooks::fixtures::{job, now};
use crate::webhooks::model::{DeliveryState, Endpoint, FailedTry, MAX_ENDPOINTS, Outcome};
use crate::webhooks::retry::RetryRules;
use crate::webhooks::secret::Secret;

const DAY: Duration = Duration::from_secs(24 * 3600);

const RULES: RetryRules = RetryRules {
    base_delay: Duration::from_secs(5),
    failures_to_open: 3,
    base_pause: Duration::from_secs(30),
};

const ROOM: Room = Room {
    total: 100,
    per_owner: 16,
    per_endpoint: 4,
    lease: Duration::from_secs(60),
};

const GOOD: Outcome = Outcome::Delivered { status: 200 };

const BAD: Outcome = Outcome::Failed(FailedTry {
    status: Some(500),
    error: "answered with an error of its own",
    retry_after: None,
});

async fn open(url: &DatabaseUrl) -> WebhookStore {
    let db = Database::connect(url).await.expect("opens");
    let up = kinora_migrations::scheduler::migrate;
    db.migrate(up).await.expect("migrates");
    WebhookStore::new(db)
}

fn later(seconds: i64) -> Time {
    now() + TimeDelta::seconds(seconds)
}

fn wanting(kinds: &[EventKind]) -> Subscription {
    kinds.iter().copied().collect()
}

impl WebhookStore {
    async fn make(&self, owner: &str, subscription: Subscription, job: Option<&Job>) -> Endpoint {
        let new = NewEndpoint {
            owner: owner.to_owned(),
            url: "https://hooks.example.com/".to_owned(),
            subscription,
            job: job.map(|job| job.id),
            secret: Secret::generate(),
        };
        let made = self.create_endpoint(&new, now()).await.expect("answers");
        made.expect("room for an endpoint")
    }

    /// A transition of `job`, as the job store writes it down.
    async fn happens(&self, job: &mut Job, state: State) {
        job.seq += 1;
        job.state = state;
        let tx = self.begin().await.expect("begins");
        outbox::note(&tx, job, &job.event(now()))
            .await
            .expect("notes");
        tx.commit().await.expect("commits");
    }

    async fn relayed(&self) -> usize {
        self.relay(now(), DAY).await.expect("relays")
    }

    async fn claimed(&self, at: Time) -> Vec<Due> {
        self.claim(ROOM, &RULES, at).await.expect("claims")
    }

    async fn ended(&self, due: &Due, outcome: &Outcome, at: Time) -> bool {
        let settled = self.settle(due, outcome, &RULES, at, 1.0).await;
        settled.expect("settles").is_some()
    }

    async fn log(&self, endpoint: &Endpoint, owner: &str) -> Vec<(EventKind, DeliveryState, u32)> {
        let log = self.deliveries(owner, endpoint.id, None, 100).await;
        let mut log = log.expect("reads");
        log.reverse();
        log.iter()
            .map(|it| (it.event, it.state, it.attempts))
            .collect()
    }
}

kinora_store::on_both_databases! {
    async fn message_reaches_every_endpoint_that_wants_it_once(url: DatabaseUrl) {
        let store = open(&url).await;
        let mut job = job("anna");
        let all = store.make("anna", Subscription::default(), None).await;
        let ends = store.make("anna", wanting(&[EventKind::Completed]), None).await;
        let bound = store.make("anna", Subscription::default(), Some(&job)).await;
        let other_job = crate::webhooks::fixtures::job("anna");
        let other = store.make("anna", Subscription::default(), Some(&other_job)).await;
        let foreign = store.make("ben", Subscription::default(), None).await;
        store.happens(&mut job, State::Running).await;
        store.happens(&mut job, State::Completed).await;
        let relays = (0..4).map(|_| store.relay(now(), DAY));
        for relayed in futures::future::join_all(relays).await {
            relayed.expect("relays");
        }
        assert_eq!(store.relayed().await, 0);
        let (started, completed) = (EventKind::Started, EventKind::Completed);
        let new = |kind| (kind, DeliveryState::Pending, 0);
        for endpoint in [&all, &bound] {
            let mut log = store.log(endpoint, "anna").await;
            log.sort_by_key(|it| it.0.number());
            assert_eq!(log, [new(started), new(completed)]);
        }
        assert_eq!(store.log(&ends, "anna").await, [new(completed)]);
        assert_eq!(store.log(&other, "anna").await, []);
        assert_eq!(store.log(&foreign, "ben").await, []);
        assert_eq!(store.log(&all, "ben").await, [], "another's log is empty");
    }

    async fn nothing_is_written_for_those_who_do_not_listen(url: DatabaseUrl) {
        let store = open(&url).await;
        let mut job = job("anna");
        store.make("ben", Subscription::default(), None).await;
        let endpoint = store.make("anna", wanting(&[EventKind::Failed]), None).await;
        store.happens(&mut job, State::Completed).await;
        assert_eq!(store.relayed().await, 0);
        let changes = Changes { enabled: Some(false), ..Changes::default() };
        store.change_endpoint("anna", endpoint.id, changes, now()).await.expect("changes");
        store.happens(&mut job, State::Failed).await;
        assert_eq!(store.relayed().await, 0);
    }

    async fn event_that_is_rolled_back_is_not_told(url: DatabaseUrl) {
        let store = open(&url).await;
        let endpoint = store.make("anna", Subscription::default(), None).await;
        let job = job("anna");
        let tx = store.begin().await.expect("begins");
        outbox::note(&tx, &job, &job.event(now())).await.expect("notes");
        drop(tx);
        assert_eq!(store.relayed().await, 0);
        for _ in 0..2 {
            let tx = store.begin().await.expect("begins");
            outbox::note(&tx, &job, &job.event(now())).await.expect("notes");
            tx.commit().await.expect("commits");
            store.relayed().await;
        }
        assert_eq!(store.log(&endpoint, "anna").await.len(), 1, "one message an event");
    }

    async fn claims_of_replicas_do_not_overlap(url: DatabaseUrl) {
        let store = open(&url).await;
        let endpoint = store.make("anna", Subscription::default(), None).await;
        let mut job = job("anna");
        for _ in 0..10 {
            store.happens(&mut job, State::Running).await;
        }
        store.relayed().await;
        let claims = (0..4).map(|_| store.claim(ROOM, &RULES, now()));
        let mut claimed = Vec::new();
        for claim in futures::future::join_all(claims).await {
            claimed.extend(claim.expect("claims"));
        }
        let ids: HashSet<Uuid> = claimed.iter().map(|due| due.id).collect();
        assert_eq!((claimed.len(), ids.len()), (4, 4), "no more than four at a time to one endpoint");
        assert!(store.claimed(later(2)).await.is_empty());
        assert!(store.ended(&claimed[0], &GOOD, later(2)).await);
        let next = store.claimed(later(2)).await;
        assert_eq!(next.len(), 1);
        assert_eq!(next[0].endpoint, endpoint.id);
    }

    async fn lapsed_claim_is_repeated_under_the_same_id(url: DatabaseUrl) {
        let store = open(&url).await;
        let endpoint = store.make("anna", Subscription::default(), None).await;
        store.happens(&mut job("anna"), State::Completed).await;
        store.relayed().await;
        let [lost] = &store.claimed(now()).await[..] else { panic!("one delivery") };
        assert!(store.claimed(later(59)).await.is_empty());
        let [again] = &store.claimed(later(61)).await[..] else { panic!("the same delivery") };
        assert_eq!((again.id, again.message, again.attempt), (lost.id, lost.message, 2));
        assert_eq!(again.body, lost.body);
        assert!(!store.ended(lost, &BAD, later(62)).await, "the former claim counts no more");
        assert!(store.ended(again, &GOOD, later(62)).await);
        assert!(!store.ended(again, &BAD, later(63)).await, "it is over");
        let log = store.log(&endpoint, "anna").await;
        assert_eq!(log, [(EventKind::Completed, DeliveryState::Delivered, 2)]);
    }

    async fn open_circuit_lets_one_try_through_at_its_end(url: DatabaseUrl) {
        let store = open(&url).await;
        let endpoint = store.make("anna", Subscription::default(), None).await;
        let mut job = job("anna");
        for _ in 0..6 {
            store.happens(&mut job, State::Running).await;
        }
        store.relayed().await;
        let claimed = store.claimed(now()).await;
        assert_eq!(claimed.len(), 4);
        for due in &claimed {
            store.ended(due, &BAD, later(1)).await;
        }
        let health = store.endpoint("anna", endpoint.id).await.expect("reads").expect("exists").health;
        assert_eq!((health.consecutive_failures, health.paused_until), (4, Some(later(31))));
        assert!(store.claimed(later(30)).await.is_empty());
        let [probe] = &store.claimed(later(31)).await[..] else { panic!("one probe") };
        assert!(store.claimed(later(33)).await.is_empty(), "until it is known");
        store.ended(probe, &GOOD, later(34)).await;
        assert_eq!(store.claimed(later(34)).await.len(), 4, "the circuit is closed");
    }

    async fn one_owner_does_not_take_all_places(url: DatabaseUrl) {
        let store = open(&url).await;
        let mut hers = job("anna");
        for _ in 0..6 {
            store.make("anna", Subscription::default(), None).await;
        }
        store.make("ben", Subscription::default(), None).await;
        for _ in 0..4 {
            store.happens(&mut hers, State::Running).await;
        }
        store.happens(&mut job("ben"), State::Running).await;
        store.relayed().await;
        let claimed = store.claimed(now()).await;
        assert_eq!(claimed.len(), 16 + 1);
    }

    async fn gone_endpoint_gets_no_more(url: DatabaseUrl) {
        let store = open(&url).await;
        let endpoint = store.make("anna", Subscription::default(), None).await;
        let mut job = job("anna");
        store.happens(&mut job, State::Running).await;
        store.relayed().await;
        let due = store.claimed(now()).await.remove(0);
        store.happens(&mut job, State::Completed).await;
        store.relayed().await;
        store.ended(&due, &Outcome::Gone, now()).await;
        assert!(store.claimed(later(1)).await.is_empty());
        let replay = store.replay("anna", due.id, later(86_400), now()).await;
        let (_, is_enabled) = replay.expect("answers").expect("exists");
        assert!(!is_enabled);
        let changes = Changes { enabled: Some(true), ..Changes::default() };
        store.change_endpoint("anna", endpoint.id, changes, later(2)).await.expect("changes");
        let waiting = store.claimed(later(2)).await;
        assert_eq!(waiting.len(), 1, "what waited goes out once it is enabled");
        assert_eq!(waiting[0].event, EventKind::Completed);
    }

    async fn replay_keeps_the_message_and_counts_on(url: DatabaseUrl) {
        let store = open(&url).await;
        store.make("anna", Subscription::default(), None).await;
        store.happens(&mut job("anna"), State::Completed).await;
        store.relayed().await;
        let first = store.claimed(now()).await.remove(0);
        let under_way = store.replay("anna", first.id, later(86_400), now()).await;
        assert_eq!(under_way.expect("answers").expect("exists").0.attempts, 1);
        assert!(store.ended(&first, &GOOD, now()).await, "it was left alone");
        let foreign = store.replay("ben", first.id, later(86_400), now()).await;
        assert_eq!(foreign.expect("answers"), None);
        store.replay("anna", first.id, later(86_400), later(5)).await.expect("answers");
        let again = store.claimed(later(5)).await.remove(0);
        assert_eq!((again.id, again.message, again.attempt), (first.id, first.message, 2));
    }

    async fn limit_of_endpoints_holds_for_calls_at_once(url: DatabaseUrl) {
        let store = open(&url).await;
        let new = NewEndpoint {
            owner: "anna".to_owned(),
            url: "https://hooks.example.com/".to_owned(),
            subscription: Subscription::default(),
            job: None,
            secret: Secret::generate(),
        };
        for _ in 0..MAX_ENDPOINTS - 3 {
            store.make("anna", Subscription::default(), None).await;
        }
        let calls = (0..8).map(|_| store.create_endpoint(&new, now()));
        let made = futures::future::join_all(calls).await;
        let made = made.into_iter().filter(|made| made.as_ref().expect("answers").is_some());
        assert_eq!(made.count(), 3);
        let known = store.endpoints("anna").await.expect("lists");
        assert_eq!(known.len(), 16);
        assert!(store.delete_endpoint("anna", known[3].id).await.expect("deletes"));
        assert!(!store.delete_endpoint("ben", known[4].id).await.expect("answers"));
        assert!(store.create_endpoint(&new, now()).await.expect("answers").is_some());
    }

    async fn endpoint_of_a_job_goes_after_it(url: DatabaseUrl) {
        let store = open(&url).await;
        let mut job = job("anna");
        let bound = store.make("anna", Subscription::default(), Some(&job)).await;
        for _ in 1..MAX_ENDPOINTS {
            store.make("anna", Subscription::default(), None).await;
        }
        store.happens(&mut job, State::Completed).await;
        store.make("anna", Subscription::default(), None).await;
        store.relayed().await;
        assert_eq!(store.purge_endpoints(later(47 * 3600)).await.expect("purges"), 0);
        assert_eq!(store.log(&bound, "anna").await.len(), 1);
        let late = store.endpoints("anna").await.expect("lists").remove(1);
        store.expire_endpoint(late.id, now()).await.expect("expires");
        assert_eq!(store.purge_endpoints(later(49 * 3600)).await.expect("purges"), 2);
        assert_eq!(store.endpoint("anna", bound.id).await.expect("reads"), None);
    }

    async fn deliveries_end_after_their_day_and_leave_the_log_later(url: DatabaseUrl) {
        let store = open(&url).await;
        let endpoint = store.make("anna", Subscription::default(), None).await;
        store.happens(&mut job("anna"), State::Completed).await;
        store.relayed().await;
        assert_eq!(store.purge_messages(later(1), 100).await.expect("purges"), 0, "still to go out");
        assert_eq!(store.give_up(later(86_399), 100).await.expect("gives up"), 0);
        assert_eq!(store.give_up(later(86_400), 100).await.expect("gives up"), 1);
        let log = store.log(&endpoint, "anna").await;
        assert_eq!(log, [(EventKind::Completed, DeliveryState::Failed, 0)]);
        assert_eq!(store.purge_messages(now(), 100).await.expect("purges"), 0);
        assert_eq!(store.purge_messages(later(1), 100).await.expect("purges"), 1);
        assert_eq!(store.log(&endpoint, "anna").await, []);
    }

    async fn progress_is_noted_for_those_who_want_it_and_when_there_is_some(url: DatabaseUrl) {
        let store = open(&url).await;
        let wants = store.make("anna", wanting(&[EventKind::Progress]), None).await;
        store.make("ben", Subscription::default(), None).await;
        let owners = store.owners_for_progress(None, 10).await.expect("reads");
        assert_eq!(owners, ["anna"]);
        assert_eq!(store.owners_for_progress(Some("anna"), 10).await.expect("reads"), [""; 0]);
        let mut running = job("anna");
        running.state = State::Running;
        for seq in [5, 5, 6] {
            running.seq = seq;
            let jobs = [running.clone(), job("ben")];
            store.note_progress(&jobs, now()).await.expect("notes");
            store.relayed().await;
        }
        assert_eq!(store.log(&wants, "anna").await.len(), 2);
    }

    async fn duty_is_done_by_one_replica_an_interval(url: DatabaseUrl) {
        let store = open(&url).await;
        let minute = Duration::from_secs(60);
        let mut done = 0;
        for at in [now(), later(1), later(59), later(60)] {
            let tries = (0..3).map(|_| store.begin_pass("duty", minute, at));
            for begun in futures::future::join_all(tries).await {
                done += u32::from(begun.expect("answers"));
            }
        }
        assert_eq!(done, 2);
        assert!(store.begin_pass("other", minute, now()).await.expect("answers"));
    }

    async fn secret_before_the_last_rotation_is_kept_unless_dropped(url: DatabaseUrl) {
        let store = open(&url).await;
        let first = store.make("anna", Subscription::default(), None).await;
        let rotate = async |drops_former| {
            let changes = Changes { secret: Some((Secret::generate(), drops_former)), ..Changes::default() };
            let changed = store.change_endpoint("anna", first.id, changes, now()).await;
            changed.expect("changes").expect("exists").secrets
        };
        let second = rotate(false).await;
        assert_eq!(second.former, Some(first.secrets.present.clone()));
        let third = rotate(false).await;
        assert_eq!(third.former, Some(second.present));
        assert_eq!(rotate(true).await.former, None);
    }
}
