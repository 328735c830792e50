//! Credits: set aside before a job is there, taken for what is delivered, given back otherwise, whatever billing does.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use kinora_ids::JobId;
use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::attach_request::Message as Up;
use kinora_proto::scheduler::v1::video::Status as VideoStatus;
use kinora_scheduler::SchedulerOptions;
use kinora_scheduler::store::JobStore;
use kinora_store::Database;
use kinora_testkit::postgres::TestPostgres;
use kinora_testkit::wait::until;
use tonic::Code;

use crate::harness::{
    Caller, End, FakeWorker, PATIENCE, TestScheduler, hello, image_model, picture, prompt, reason,
};

use stage::*;

mod settling;
mod stage;

/// What a clip of the tests' model costs, and its preview.
const CLIP: u64 = 156;
const PREVIEW: u64 = 52;

kinora_store::on_both_databases! {
    async fn delivered_clip_is_paid_and_nothing_else_is(url: DatabaseUrl) {
        let (scheduler, ledger) = start_with(&url, 10_000, |options| options.max_attempts = 1).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let mut jobs = Vec::new();
        for _ in 0..6 {
            jobs.push(anna.submit(prompt("a ball")).await.expect("accepted").id);
        }
        assert_eq!(ledger.look(|book| book.available), 10_000 - 6 * CLIP);
        anna.cancel(&jobs[4]).await.expect("cancels");
        anna.delete(&jobs[5]).await.expect("deletes");
        assert_eq!(complete(&mut worker).await, jobs[0]);
        assert_eq!(complete_with(&mut worker, 7).await, jobs[1]);
        assert_eq!(fail(&mut worker).await, jobs[2]);
        let running = lease(&mut worker).await;
        assert_eq!(running.job_id, jobs[3]);
        anna.cancel(&running.job_id).await.expect("cancels");

        let settled = ledger.settled().await;
        let captured: Vec<u64> = jobs.iter().map(|job| settled[job].captured()).collect();
        assert_eq!(captured, [CLIP, 84, 0, 0, 0, 0]);
        assert_eq!(settled[&jobs[0]].end, End::Captured { lease: 1, credits: CLIP });
        assert_eq!(settled.len(), 6);
    }

    async fn refusal_says_what_would_do_and_leaves_nothing_behind(url: DatabaseUrl) {
        let (scheduler, ledger) = start(&url, 100).await;
        let anna = scheduler.caller("anna").await;
        let _worker = scheduler.worker("w").await;
        let refused = anna.submit(prompt("a ball")).await.expect_err("costs more");
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::ResourceExhausted, "INSUFFICIENT_CREDITS"));
        assert_eq!(told(&refused, "available_credits").as_deref(), Some("100"));
        assert_eq!(told(&refused, "affordable_frames").as_deref(), Some("8"));
        assert_eq!(told(&refused, "suggested_frames").as_deref(), Some("5"));
        assert_eq!(told(&refused, "job_id"), None, "there is no such job");
        assert_eq!(anna.list(0, "").await.expect("lists").data, []);
        let smaller = pb::CreateVideoRequest { frames: Some(5), ..prompt("a ball") };
        let job = anna.submit(smaller).await.expect("what was suggested is accepted");
        let again = anna.submit(prompt("a ball")).await.expect_err("costs more");
        assert_eq!(told(&again, "suggested_frames").as_deref(), Some("1"));
        anna.cancel(&job.id).await.expect("cancels");
        ledger.settled().await;
        ledger.change(|book| (book.available, book.given) = (11, 11));
        let none = anna.submit(prompt("a ball")).await.expect_err("costs more");
        assert_eq!(told(&none, "suggested_frames"), None);
        assert_eq!(ledger.look(|book| book.holds.len()), 1);
    }

    async fn batch_is_held_for_as_a_whole_or_not_at_all(url: DatabaseUrl) {
        let (scheduler, ledger) = start(&url, 2 * CLIP + 50).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let three = vec![prompt("a ball"), prompt("a red ball"), prompt("a")];
        let refused = anna.batch("b-1", three.clone()).await.expect_err("one too many");
        assert_eq!(reason(&refused), "INSUFFICIENT_CREDITS");
        assert_eq!(told(&refused, "index").as_deref(), Some("2"));
        assert_eq!(told(&refused, "suggested_frames").as_deref(), Some("1"));
        assert_eq!(ledger.look(|book| book.available), 2 * CLIP + 50);
        let group = anna.batch("b-1", three[..2].to_vec()).await.expect("nothing was kept of the refused one");
        assert_eq!(ledger.look(|book| book.available), 50);
        assert_eq!(complete(&mut worker).await, group.videos[0].id);
        anna.cancel_group(&group.id).await.expect("cancels");
        let settled = ledger.settled().await;
        assert_eq!(settled[&group.videos[0].id].captured(), CLIP);
        assert_eq!(settled[&group.videos[1].id].end, End::Released);
    }

    async fn segments_cost_and_joining_them_does_not(url: DatabaseUrl) {
        let (scheduler, ledger) = start(&url, 10_000).await;
        let anna = scheduler.caller("anna").await;
        let Up::Hello(mut hello) = hello("w", &[]) else { panic!("a hello is one") };
        (hello.models, hello.protocol, hello.instance) = (vec![image_model("i2v")], 2, "one".to_owned());
        let attached = FakeWorker::attach(&scheduler.endpoint, Up::Hello(hello)).await;
        let mut worker = attached.expect("attaches").0;
        let order = pb::CreateSequenceRequest {
            segment: Some(pb::CreateVideoRequest { image: picture(64, 48), ..prompt("a ball") }),
            prompts: vec!["it rolls".to_owned(), "it stops".to_owned()],
            ..pb::CreateSequenceRequest::default()
        };
        let group = anna.sequence(order.clone()).await.expect("accepted");
        for job in &group.videos {
            assert_eq!(complete(&mut worker).await, job.id);
        }
        let settled = ledger.settled().await;
        let jobs: HashSet<&str> = settled.keys().map(String::as_str).collect();
        assert_eq!(jobs, HashSet::from([group.videos[0].id.as_str(), group.videos[1].id.as_str()]));
        assert_eq!(ledger.look(|book| book.available), 10_000 - 2 * CLIP);

        ledger.change(|book| (book.available, book.given) = (CLIP + 50, 3 * CLIP + 50));
        let refused = anna.sequence(order).await.expect_err("two cost more");
        assert_eq!(reason(&refused), "INSUFFICIENT_CREDITS");
        // Its segments all have the same frames, and what one of them could have is no answer.
        assert_eq!(told(&refused, "suggested_frames"), None);
        let left = || async {
            let prefixes = scheduler.removals.stored.lock().iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
            if prefixes.iter().all(|key| key.contains(&group.videos[0].id)) { Ok(()) } else { Err(prefixes) }
        };
        until("no pictures of the refused one", PATIENCE, left).await;
    }

    async fn limit_comes_before_credits(url: DatabaseUrl) {
        let (scheduler, ledger) = start_with(&url, CLIP, |options| options.max_active = 1).await;
        let anna = scheduler.caller("anna").await;
        let _worker = scheduler.worker("w").await;
        anna.submit(prompt("a ball")).await.expect("accepted");
        let refused = anna.submit(prompt("a ball")).await.expect_err("one at a time");
        assert_eq!(reason(&refused), "CONCURRENT_LIMIT");
        assert_eq!(ledger.calls("hold"), 1);
    }

    async fn jobs_that_come_at_once_keep_the_limit_and_hold_for_those_accepted(url: DatabaseUrl) {
        let (scheduler, ledger) = start_with(&url, 10_000, |options| options.max_active = 3).await;
        let anna = scheduler.caller("anna").await;
        let _worker = scheduler.worker("w").await;
        let calls = (0..12).map(|_| anna.submit(prompt("a ball")));
        let answers = futures::future::join_all(calls).await;
        let accepted: Vec<String> = answers.into_iter().flatten().map(|job| job.id).collect();
        assert_eq!(accepted.len(), 3);
        waits_for(&ledger, "releases", |ledger| {
            ledger.look(|book| book.available == 10_000 - 3 * CLIP)
        }).await;
        let open = ledger.look(|book| book.holds.iter().filter(|(_, held)| held.is_open()).map(|(job, _)| job.clone()).collect::<HashSet<_>>());
        assert_eq!(open, accepted.into_iter().collect());
    }

    async fn nothing_is_accepted_while_billing_is_away_and_what_runs_goes_on(url: DatabaseUrl) {
        // Sweeps would find out first that billing is away.
        let sweep_later = |options: &mut SchedulerOptions| {
            options.hold_sweep_interval = Duration::from_secs(3600);
        };
        let (scheduler, ledger) = start_with(&url, 10_000, sweep_later).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let running = anna.submit(prompt("a ball")).await.expect("accepted");
        ledger.be_away(true);
        check_unavailable(&anna.submit(named("r")).await.expect_err("billing is away"));
        check_unavailable(&anna.estimate(prompt("a ball")).await.expect_err("billing is away"));
        assert_eq!(anna.list(0, "").await.expect("lists").data.len(), 1);
        assert_eq!(complete(&mut worker).await, running.id);
        assert_eq!(anna.get(&running.id).await.expect("reads").status(), VideoStatus::Completed);
        // The clip, and what may have been held for the one that was refused.
        wait_for_settlements(&url, (2, 0)).await;
        waits_for(&ledger, "a try", |ledger| ledger.calls("capture") > 0).await;
        assert!(ledger.look(|book| book.holds[&running.id].is_open()), "it waits");

        ledger.be_away(false);
        let job = submit_once_it_is_back(&anna, &named("r")).await;
        anna.cancel(&job.id).await.expect("cancels");
        let settled = ledger.settled().await;
        assert_eq!(settled[&running.id].captured(), CLIP);
        assert_eq!(ledger.look(|book| book.available), 10_000 - CLIP);
    }

    async fn billing_that_is_not_there_is_away(url: DatabaseUrl) {
        let scheduler = TestScheduler::start_with(&url, |options| {
            let port = kinora_testkit::net::free_port();
            options.billing_endpoint = Some(format!("https://127.0.0.1:{port}"));
        }).await;
        let anna = scheduler.caller("anna").await;
        let _worker = scheduler.worker("w").await;
        check_unavailable(&anna.submit(prompt("a ball")).await.expect_err("nobody is there"));
        scheduler.stop().await;
    }

    async fn answers_that_are_lost_cost_nobody_anything(url: DatabaseUrl) {
        let (scheduler, ledger) = start(&url, 10_000).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        ledger.lose_answers("hold", 2);
        let job = anna.submit(named("r")).await.expect("the third try has an answer");
        assert_eq!(ledger.look(|book| (book.holds.len(), book.available)), (1, 10_000 - CLIP));
        ledger.lose_answers("capture", 1);
        assert_eq!(complete(&mut worker).await, job.id);
        assert_eq!(ledger.settled().await[&job.id].captured(), CLIP);
        wait_for_settlements(&url, (0, 0)).await;

        ledger.lose_answers("hold", 3);
        check_unavailable(&anna.submit(named("s")).await.expect_err("no answer"));
        assert_eq!(ledger.settled().await.len(), 2, "what was held for it is given back");
        assert_eq!(ledger.look(|book| book.available), 10_000 - CLIP);
        let again = submit_once_it_is_back(&anna, &named("s")).await;
        assert!(ledger.look(|book| book.holds[&again.id].is_open()));
    }

    async fn equal_requests_hold_once(url: DatabaseUrl) {
        let (scheduler, ledger) = start(&url, CLIP).await;
        let anna = scheduler.caller("anna").await;
        let _worker = scheduler.worker("w").await;
        let calls = (0..20).map(|_| anna.submit(named("r")));
        let jobs = futures::future::join_all(calls).await;
        let ids: HashSet<String> = jobs.into_iter().map(|job| job.expect("accepted").id).collect();
        assert_eq!(ids.len(), 1);
        assert_eq!(anna.submit(named("r")).await.expect("the same").id, *ids.iter().next().expect("one"));
        assert_eq!((ledger.calls("hold"), ledger.look(|book| book.holds.len())), (1, 1));
        let other = pb::CreateVideoRequest { prompt: "a red ball".to_owned(), ..named("r") };
        assert_eq!(reason(&anna.submit(other).await.expect_err("another body")), "REQUEST_ID_REUSED");
    }

    async fn caller_who_goes_away_leaves_no_hold(url: DatabaseUrl) {
        let (scheduler, ledger) = start(&url, 10_000).await;
        let anna = scheduler.caller("anna").await;
        let _worker = scheduler.worker("w").await;
        let gate = ledger.hold_answers();
        let caller = anna.clone();
        let call = tokio::spawn(async move { caller.submit(named("r")).await });
        waits_for(&ledger, "a hold", |ledger| ledger.look(|book| book.holds.len()) == 1).await;
        call.abort();
        gate.add_permits(1000);
        ledger.settled().await;
        assert_eq!(anna.list(0, "").await.expect("lists").data, []);
        // The request is free again long before the plan would have ended the hold.
        let job = submit_once_it_is_back(&anna, &named("r")).await;
        assert!(ledger.look(|book| book.holds[&job.id].is_open()));
    }

    async fn preview_is_all_that_is_paid_when_the_clip_is_declined(url: DatabaseUrl) {
        let (scheduler, ledger) = start(&url, 10_000).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let declined = anna.submit(with_preview()).await.expect("accepted").id;
        assert_eq!(ledger.look(|book| book.available), 10_000 - CLIP - PREVIEW);
        complete(&mut worker).await;
        anna.wait_for_state(&declined, VideoStatus::AwaitingApproval).await;
        anna.cancel(&declined).await.expect("declines");

        let approved = anna.submit(with_preview()).await.expect("accepted").id;
        complete(&mut worker).await;
        anna.wait_for_state(&approved, VideoStatus::AwaitingApproval).await;
        anna.approve(&approved).await.expect("approves");
        complete(&mut worker).await;

        let deleted = anna.submit(with_preview()).await.expect("accepted").id;
        complete(&mut worker).await;
        anna.wait_for_state(&deleted, VideoStatus::AwaitingApproval).await;
        anna.delete(&deleted).await.expect("deletes");

        let early = anna.submit(with_preview()).await.expect("accepted").id;
        anna.cancel(&early).await.expect("cancels");
        let settled = ledger.settled().await;
        let captured = [&declined, &approved, &deleted, &early].map(|job| settled[job].captured());
        assert_eq!(captured, [PREVIEW, CLIP + PREVIEW, PREVIEW, 0]);
    }

    async fn preview_that_expires_is_paid(url: DatabaseUrl) {
        let (scheduler, ledger) = start_with(&url, 10_000, |options| {
            options.approval_window = Duration::from_millis(50);
        }).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let job = anna.submit(with_preview()).await.expect("accepted").id;
        complete(&mut worker).await;
        anna.wait_for_state(&job, VideoStatus::Expired).await;
        assert_eq!(ledger.settled().await[&job].captured(), PREVIEW);
    }

    async fn calls_in_a_callers_name_carry_the_token_and_no_others_do(url: DatabaseUrl) {
        let (scheduler, ledger) = start(&url, 10_000).await;
        let token = scheduler.issuer.token("anna");
        let anna = Caller::connect(&scheduler.endpoint, token.clone());
        let _worker = scheduler.worker("w").await;
        let job = anna.submit(prompt("a ball")).await.expect("accepted");
        anna.estimate(prompt("a ball")).await.expect("estimates");
        anna.cancel(&job.id).await.expect("cancels");
        ledger.settled().await;
        let bearer = format!("Bearer {token}");
        assert_eq!(ledger.tokens("hold"), std::slice::from_ref(&bearer));
        assert_eq!(ledger.tokens("estimate"), [bearer]);
        assert_eq!(ledger.tokens("release"), [""]);
        assert!(ledger.tokens("list").iter().all(String::is_empty));
    }

    async fn estimate_is_billings_and_says_what_a_submission_would_be_told(url: DatabaseUrl) {
        let (scheduler, ledger) = start(&url, CLIP + PREVIEW).await;
        let anna = scheduler.caller("anna").await;
        let _worker = scheduler.worker("w").await;
        let estimate = anna.estimate(with_preview()).await.expect("estimates");
        assert_eq!((estimate.credits, estimate.available_credits), (CLIP + PREVIEW, Some(CLIP + PREVIEW)));
        assert_eq!(estimate.refusal, None);
        ledger.change(|book| (book.available, book.given) = (9, 9));
        let estimate = anna.estimate(prompt("a ball")).await.expect("estimates");
        assert_eq!((estimate.credits, estimate.available_credits), (CLIP, Some(9)));
        assert_eq!(estimate.refusal(), "INSUFFICIENT_CREDITS");
        assert_eq!(ledger.look(|book| book.holds.len()), 0);
    }

    async fn without_billing_nothing_is_held(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        anna.submit(prompt("a ball")).await.expect("accepted");
        complete(&mut worker).await;
        let estimate = anna.estimate(prompt("a ball")).await.expect("estimates");
        assert_eq!((estimate.available_credits, estimate.refusal), (None, None));
        let store = JobStore::new(Database::connect(&url).await.expect("opens"));
        let load = store.settlement_load(Utc::now() + TimeDelta::days(1)).await;
        assert_eq!(load.expect("sums up"), kinora_scheduler::metrics::SettlementLoad::default());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_requests_at_two_replicas_hold_once() {
    let url = TestPostgres::of_this_run().create_database().await;
    let url = url.parse().expect("a URL");
    let (first, ledger) = start(&url, CLIP).await;
    let endpoint = ledger.endpoint();
    let second = TestScheduler::start_with(&url, |options| {
        options.billing_endpoint = Some(endpoint);
    });
    let second = second.await;
    let _worker = first.worker("w").await;
    let callers = [first.caller("anna").await, second.caller("anna").await];
    let calls = (0..20).map(|call| callers[call % 2].submit(named("r")));
    let jobs = futures::future::join_all(calls).await;
    let ids: HashSet<String> = jobs
        .into_iter()
        .map(|job| job.expect("accepted").id)
        .collect();
    assert_eq!((ids.len(), ledger.calls("hold")), (1, 1));
    first.stop().await;
    second.stop().await;
}
