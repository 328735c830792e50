//! Webhooks from the call that makes an endpoint to what arrives at it.

use std::collections::HashSet;
use std::time::Duration;

use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::DeliveryState;
use kinora_proto::scheduler::v1::video::Status as VideoStatus;
use kinora_scheduler::SchedulerOptions;
use kinora_scheduler::webhooks::secret::Secret;
use kinora_testkit::receiver::{Answer, Received, Receiver};
use kinora_testkit::wait::until;
use serde_json::Value;
use tonic::{Code, Status};

use crate::harness::{PATIENCE, TestScheduler, progress, prompt, reason};
use owner::Owner;

mod owner;

fn quick(options: &mut SchedulerOptions) {
    options.webhooks.allow_http = true;
    options.webhooks.allow_private = true;
    options.webhooks.poll_interval = Duration::from_millis(20);
    options.webhooks.retry_delay = Duration::from_millis(20);
    options.webhooks.pause = Duration::from_millis(20);
    options.webhooks.progress_interval = Duration::from_millis(50);
}

async fn requests(receiver: &Receiver, count: usize) -> Vec<Received> {
    until("requests", PATIENCE, || async {
        let seen = receiver.seen();
        if seen.len() >= count {
            Ok(seen)
        } else {
            Err(seen)
        }
    })
    .await
}

fn is_over(delivery: &pb::Delivery) -> bool {
    delivery.state() != DeliveryState::Pending
}

fn json(request: &Received) -> Value {
    serde_json::from_str(&request.body).expect("JSON")
}

fn refused<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String) {
    let status = answer.expect_err("is refused");
    (status.code(), reason(&status))
}

kinora_store::on_both_databases! {
    async fn events_of_a_job_arrive_signed(url: DatabaseUrl) {
        let receiver = Receiver::start(|_, _| Answer::status(204)).await;
        let scheduler = TestScheduler::start_with(&url, quick).await;
        let anna = Owner::connect(&scheduler, "anna").await;
        let ben = Owner::connect(&scheduler, "ben").await;
        let (endpoint, secret) = anna.create(&receiver.url("/hook"), &[], "").await.expect("made");
        ben.create(&receiver.url("/ben"), &[], "").await.expect("made");
        let mut worker = scheduler.worker("w").await;
        let job = anna.caller.submit(prompt("a red ball")).await.expect("accepted");
        let lease = worker.grant().await.lease.expect("a lease");
        assert!(worker.complete(&lease).await);
        let seen = requests(&receiver, 3).await;
        let mut kinds = HashSet::new();
        for request in &seen {
            assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/hook"));
            let (id, timestamp) = (request.header("webhook-id"), request.header("webhook-timestamp"));
            let signature = secret.sign(id, timestamp.parse().expect("seconds"), &request.body);
            assert_eq!(request.header("webhook-signature"), signature);
            let message = json(request);
            assert_eq!((&message["id"], &message["object"]), (&Value::from(id), &Value::from("event")));
            assert_eq!(message["data"]["id"], job.id);
            assert!(!request.body.contains("a red ball"), "what was written: {}", request.body);
            assert!(!request.body.contains("jobs/"), "no storage keys: {}", request.body);
            kinds.insert(message["type"].as_str().expect("a type").to_owned());
        }
        let expected = ["video.queued", "video.started", "video.completed"].map(str::to_owned);
        assert_eq!(kinds, HashSet::from(expected));
        let page = until("the log", PATIENCE, || async {
            let page = anna.page(&endpoint.id, 2, "").await.expect("lists");
            if page.deliveries.iter().all(is_over) { Ok(page) } else { Err(page) }
        }).await;
        assert!(page.deliveries.iter().all(|it| (it.last_status, it.attempts) == (204, 1)), "{page:?}");
        let rest = anna.page(&endpoint.id, 2, &page.next_page_token).await.expect("lists");
        assert_eq!((rest.deliveries.len(), rest.next_page_token.as_str()), (1, ""));
        scheduler.stop().await;
    }

    async fn delete_of_a_job_that_has_not_ended_is_told_as_its_cancel(url: DatabaseUrl) {
        let receiver = Receiver::start(|_, _| Answer::status(200)).await;
        let scheduler = TestScheduler::start_with(&url, quick).await;
        let anna = Owner::connect(&scheduler, "anna").await;
        let mut worker = scheduler.worker("w").await;
        let ends = ["video.completed", "video.cancelled"];
        anna.create(&receiver.url("/"), &ends, "").await.expect("made");
        let done = anna.caller.submit(prompt("a ball")).await.expect("accepted");
        let lease = worker.grant().await.lease.expect("a lease");
        assert!(worker.complete(&lease).await);
        requests(&receiver, 1).await;
        anna.caller.delete(&done.id).await.expect("deletes what has ended");
        let running = anna.caller.submit(prompt("a ball")).await.expect("accepted");
        worker.grant().await;
        let waiting = anna.caller.submit(prompt("a ball")).await.expect("accepted");
        for job in [&running, &waiting] {
            anna.caller.delete(&job.id).await.expect("deletes");
        }
        let told = requests(&receiver, 3).await;
        let told: HashSet<(String, String)> = told.iter().map(json).map(|it| {
            let text = |value: &Value| value.as_str().expect("a text").to_owned();
            (text(&it["type"]), text(&it["data"]["id"]))
        }).collect();
        let expected = [("completed", done.id), ("cancelled", running.id), ("cancelled", waiting.id)];
        assert_eq!(told, HashSet::from(expected.map(|(end, id)| (format!("video.{end}"), id))));
    }

    async fn failed_tries_are_repeated_under_one_id(url: DatabaseUrl) {
        let receiver = Receiver::start(|number, _| match number {
            0 => Answer::status(500),
            1 => Answer::Close,
            2 => Answer::Status(307, vec!["location: http://127.0.0.1:1/".to_owned()]),
            _ => Answer::status(200),
        }).await;
        let scheduler = TestScheduler::start_with(&url, quick).await;
        let anna = Owner::connect(&scheduler, "anna").await;
        let events = ["video.queued"];
        let (endpoint, _) = anna.create(&receiver.url("/"), &events, "").await.expect("made");
        let _worker = scheduler.worker("w").await;
        anna.caller.submit(prompt("a ball")).await.expect("accepted");
        let done = anna.newest(&endpoint.id, is_over).await;
        assert_eq!((done.state(), done.attempts, done.last_status), (DeliveryState::Delivered, 4, 200));
        assert_eq!((done.last_error.as_str(), done.next_attempt_time), ("", None));
        let seen = receiver.seen();
        assert!(seen.iter().all(|it| it.header("webhook-id") == done.message_id), "{seen:?}");
        assert!(seen.iter().all(|it| it.body == seen[0].body));
        let health = anna.get(&endpoint.id).await.expect("reads");
        assert_eq!((health.consecutive_failures, health.paused_until), (0, None));
        let replayed = anna.replay(&done.id).await.expect("replays");
        assert_eq!(replayed.message_id, done.message_id);
        let again = anna.newest(&endpoint.id, |it| it.attempts == 5 && is_over(it)).await;
        assert_eq!(again.id, done.id);
        assert_eq!(requests(&receiver, 5).await[4].header("webhook-id"), done.message_id);
    }

    async fn gone_endpoint_is_disabled_until_its_owner_enables_it(url: DatabaseUrl) {
        let receiver = Receiver::start(|number, _| match number {
            0 => Answer::status(410),
            _ => Answer::status(200),
        }).await;
        let scheduler = TestScheduler::start_with(&url, quick).await;
        let anna = Owner::connect(&scheduler, "anna").await;
        let events = ["video.queued"];
        let (endpoint, _) = anna.create(&receiver.url("/"), &events, "").await.expect("made");
        let _worker = scheduler.worker("w").await;
        anna.caller.submit(prompt("a ball")).await.expect("accepted");
        let failed = anna.newest(&endpoint.id, is_over).await;
        assert_eq!((failed.state(), failed.last_status, failed.attempts), (DeliveryState::Failed, 410, 1));
        assert!(!anna.get(&endpoint.id).await.expect("reads").enabled);
        let expected = (Code::FailedPrecondition, "ENDPOINT_DISABLED".to_owned());
        assert_eq!(refused(anna.replay(&failed.id).await), expected);
        let enable = pb::Webhook {
            id: endpoint.id.clone(),
            url: "not looked at".to_owned(),
            enabled: true,
            ..pb::Webhook::default()
        };
        let enabled = anna.update(enable, &["enabled"]).await.expect("enables");
        assert!(enabled.enabled);
        assert_eq!((&enabled.events[..], enabled.url.as_str()), (&events.map(str::to_owned)[..], endpoint.url.as_str()));
        anna.replay(&failed.id).await.expect("replays");
        anna.newest(&endpoint.id, |it| it.state() == DeliveryState::Delivered).await;
    }

    async fn endpoint_of_one_job_hears_of_its_progress_alone(url: DatabaseUrl) {
        let receiver = Receiver::start(|_, _| Answer::status(200)).await;
        let scheduler = TestScheduler::start_with(&url, quick).await;
        let anna = Owner::connect(&scheduler, "anna").await;
        let mut worker = scheduler.worker("w").await;
        let job = anna.caller.submit(prompt("a red ball")).await.expect("accepted");
        let events = ["video.progress", "video.failed"];
        let url = receiver.url("/");
        let (endpoint, _) = anna.create(&url, &events, &job.id).await.expect("made");
        assert_eq!((&endpoint.video_id, &endpoint.events[..]), (&job.id, &events.map(str::to_owned)[..]));
        let other = anna.caller.submit(prompt("a ball")).await.expect("accepted");
        let lease = worker.grant().await.lease.expect("a lease");
        worker.say(progress(&lease, 7)).await;
        let message = until("progress", PATIENCE, || async {
            let seen = receiver.seen();
            let at_seven = seen.iter().map(json).find(|it| it["data"]["work"]["step"] == 7);
            at_seven.ok_or(seen)
        }).await;
        assert_eq!(message["type"], "video.progress");
        assert_eq!(message["data"]["id"], job.id);
        assert!(worker.complete(&lease).await);
        let lease = worker.grant().await.lease.expect("a lease");
        assert_eq!(lease.job_id, other.id);
        worker.say(progress(&lease, 9)).await;
        assert!(worker.complete(&lease).await);
        anna.caller.wait_for_state(&other.id, VideoStatus::Completed).await;
        let seen = receiver.seen();
        assert!(seen.iter().all(|it| json(it)["data"]["id"] == job.id), "{seen:?}");
        assert!(seen.iter().all(|it| json(it)["type"] == "video.progress"), "{seen:?}");
        let foreign = anna.create(&url, &[], "0198e000-0000-7000-8000-000000000000").await;
        assert_eq!(refused(foreign), (Code::NotFound, "JOB_NOT_FOUND".to_owned()));
        let ben = Owner::connect(&scheduler, "ben").await;
        let foreign = ben.create(&url, &[], &job.id).await;
        assert_eq!(refused(foreign), (Code::NotFound, "JOB_NOT_FOUND".to_owned()));
    }

    async fn message_survives_the_scheduler(url: DatabaseUrl) {
        let receiver = Receiver::start(|number, _| match number {
            0 => Answer::status(503),
            _ => Answer::status(200),
        }).await;
        let slow = |options: &mut SchedulerOptions| {
            quick(options);
            options.webhooks.retry_delay = Duration::from_secs(3);
        };
        let scheduler = TestScheduler::start_with(&url, slow).await;
        let anna = Owner::connect(&scheduler, "anna").await;
        let (endpoint, _) = anna.create(&receiver.url("/"), &["video.queued"], "").await.expect("made");
        let _worker = scheduler.worker("w").await;
        anna.caller.submit(prompt("a ball")).await.expect("accepted");
        anna.newest(&endpoint.id, |it| it.last_status == 503).await;
        scheduler.stop().await;
        let scheduler = TestScheduler::start_with(&url, slow).await;
        let anna = Owner::connect(&scheduler, "anna").await;
        let done = anna.newest(&endpoint.id, is_over).await;
        assert_eq!((done.state(), done.attempts), (DeliveryState::Delivered, 2));
        let seen = receiver.seen();
        assert_eq!(seen[0].header("webhook-id"), seen[1].header("webhook-id"));
    }

    async fn former_secret_signs_until_it_is_dropped(url: DatabaseUrl) {
        let receiver = Receiver::start(|_, _| Answer::status(200)).await;
        let scheduler = TestScheduler::start_with(&url, quick).await;
        let anna = Owner::connect(&scheduler, "anna").await;
        let (endpoint, first) = anna.create(&receiver.url("/"), &["video.queued"], "").await.expect("made");
        let _worker = scheduler.worker("w").await;
        let (rotated, second) = anna.rotate(&endpoint.id, false).await.expect("rotates");
        assert_eq!((endpoint.secrets, rotated.secrets), (1, 2));
        anna.caller.submit(prompt("a ball")).await.expect("accepted");
        let seen = requests(&receiver, 1).await;
        let sign = |secret: &Secret, request: &Received| {
            let timestamp = request.header("webhook-timestamp").parse().expect("seconds");
            secret.sign(request.header("webhook-id"), timestamp, &request.body)
        };
        let both = format!("{} {}", sign(&second, &seen[0]), sign(&first, &seen[0]));
        assert_eq!(seen[0].header("webhook-signature"), both);
        let (rotated, third) = anna.rotate(&endpoint.id, true).await.expect("rotates");
        assert_eq!(rotated.secrets, 1);
        anna.caller.submit(prompt("a ball")).await.expect("accepted");
        let seen = requests(&receiver, 2).await;
        assert_eq!(seen[1].header("webhook-signature"), sign(&third, &seen[1]));
    }

    async fn endpoints_and_logs_of_others_are_not_found(url: DatabaseUrl) {
        let receiver = Receiver::start(|_, _| Answer::status(200)).await;
        let scheduler = TestScheduler::start_with(&url, quick).await;
        let anna = Owner::connect(&scheduler, "anna").await;
        let ben = Owner::connect(&scheduler, "ben").await;
        let (endpoint, _) = anna.create(&receiver.url("/"), &["video.queued"], "").await.expect("made");
        let (bens, _) = ben.create(&receiver.url("/"), &["video.queued"], "").await.expect("made");
        let _worker = scheduler.worker("w").await;
        for _ in 0..2 {
            anna.caller.submit(prompt("a ball")).await.expect("accepted");
        }
        requests(&receiver, 2).await;
        let delivery = anna.newest(&endpoint.id, is_over).await;
        let token = anna.page(&endpoint.id, 1, "").await.expect("lists").next_page_token;
        assert_ne!(token, "");
        let not_found = (Code::NotFound, "ENDPOINT_NOT_FOUND".to_owned());
        for id in [endpoint.id.as_str(), "", "no id", "0198e000-0000-7000-8000-000000000000"] {
            let change = pb::Webhook {
                id: id.to_owned(),
                url: "https://169.254.169.254/".to_owned(),
                ..pb::Webhook::default()
            };
            assert_eq!(refused(ben.get(id).await), not_found);
            assert_eq!(refused(ben.update(change, &["url"]).await), not_found);
            assert_eq!(refused(ben.rotate(id, true).await), not_found);
            assert_eq!(refused(ben.delete(id).await), not_found);
            assert_eq!(refused(ben.page(id, 1, "").await), not_found);
        }
        let invalid = (Code::InvalidArgument, "PAGE_TOKEN_INVALID".to_owned());
        assert_eq!(refused(ben.page(&bens.id, 1, &token).await), invalid);
        assert_eq!(refused(anna.page(&endpoint.id, 1, "AAAA").await), invalid);
        for id in [delivery.id.as_str(), "", "no id"] {
            let answer = refused(ben.replay(id).await);
            assert_eq!(answer, (Code::NotFound, "DELIVERY_NOT_FOUND".to_owned()));
        }
        anna.delete(&endpoint.id).await.expect("deletes");
        assert_eq!(refused(anna.get(&endpoint.id).await), not_found);
        assert_eq!(refused(anna.replay(&delivery.id).await).0, Code::NotFound);
    }

    async fn a_change_touches_what_its_mask_names_and_shows_no_secret(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = Owner::connect(&scheduler, "anna").await;
        let (made, _) = anna.create("https://8.8.8.8/", &["video.failed"], "").await.expect("made");
        assert_eq!(made.object, "webhook");
        let told = anna.get(&made.id).await.expect("reads");
        assert_eq!(told, pb::Webhook { secret: None, ..made.clone() });
        let wanted = pb::Webhook {
            id: made.id.clone(),
            url: "https://8.8.4.4/".to_owned(),
            events: Vec::new(),
            enabled: false,
            ..pb::Webhook::default()
        };
        let changed = anna.update(wanted.clone(), &["events"]).await.expect("changes");
        assert_eq!(changed, pb::Webhook { events: Vec::new(), ..told.clone() });
        let changed = anna.update(wanted.clone(), &["url", "enabled"]).await.expect("changes");
        assert_eq!((changed.url.as_str(), changed.enabled, changed.secret), ("https://8.8.4.4/", false, None));
        let invalid = (Code::InvalidArgument, "UPDATE_MASK_INVALID".to_owned());
        for paths in [&[][..], &["secret"], &["url", "id"], &["*"]] {
            assert_eq!(refused(anna.update(wanted.clone(), paths).await), invalid, "{paths:?}");
        }
    }

    async fn bad_endpoints_are_refused_and_say_why(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = Owner::connect(&scheduler, "anna").await;
        for (url, reason) in [
            ("", "URL_INVALID"),
            ("hooks.example.com", "URL_INVALID"),
            ("http://hooks.example.com/", "URL_INVALID"),
            ("https://u:p@hooks.example.com/", "URL_INVALID"),
            ("https://localhost/", "URL_NOT_ALLOWED"),
            ("https://127.0.0.1/", "URL_NOT_ALLOWED"),
            ("https://0x7f.1/", "URL_NOT_ALLOWED"),
            ("https://[::ffff:10.0.0.1]/", "URL_NOT_ALLOWED"),
            ("https://169.254.169.254/latest/", "URL_NOT_ALLOWED"),
            ("https://metadata.google.internal/", "URL_NOT_ALLOWED"),
        ] {
            let answer = refused(anna.create(url, &[], "").await);
            assert_eq!(answer, (Code::InvalidArgument, reason.to_owned()), "{url}");
        }
        let answer = refused(anna.create("https://8.8.8.8/", &["video.exploded"], "").await);
        assert_eq!(answer, (Code::InvalidArgument, "EVENT_UNKNOWN".to_owned()));
        for _ in 0..16 {
            anna.create("https://8.8.8.8/", &[], "").await.expect("made");
        }
        let answer = refused(anna.create("https://8.8.8.8/", &[], "").await);
        assert_eq!(answer, (Code::ResourceExhausted, "TOO_MANY_ENDPOINTS".to_owned()));
    }
}
