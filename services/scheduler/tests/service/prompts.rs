//! Prompts: looked at before anything else is done, rewritten where that is wanted, and kept as they were written.

use std::time::Duration;

use kinora_mesh::error::PublicError;
use kinora_proto::prompts::v1 as prompts;
use kinora_proto::prompts::v1::{Character, Enhancer, Family, Mode};
use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::attach_request::Message as Up;
use kinora_scheduler::SchedulerOptions;
use kinora_store::DatabaseUrl;
use kinora_testkit::wait::until;
use tonic::{Code, Status};

use crate::harness::{
    Caller, DOUBTFUL, FORBIDDEN, FakeLedger, FakePrompts, FakeWorker, PATIENCE, TestScheduler,
    completion, failure, hello, image_model, model, picture, prompt, reason,
};

async fn start(url: &DatabaseUrl) -> (TestScheduler, FakePrompts) {
    start_with(url, |_| {}).await
}

async fn start_with(
    url: &DatabaseUrl,
    change: impl FnOnce(&mut SchedulerOptions),
) -> (TestScheduler, FakePrompts) {
    let prompts = FakePrompts::default();
    let endpoint = prompts.serve().await;
    let scheduler = TestScheduler::start_with(url, |options| {
        options.prompts_endpoint = Some(endpoint);
        options.prompts_timeout = PATIENCE;
        change(options);
    });
    (scheduler.await, prompts)
}

fn enhanced(text: &str, enhance: Enhancer) -> pb::CreateVideoRequest {
    pb::CreateVideoRequest {
        enhance: enhance.into(),
        ..prompt(text)
    }
}

fn named(id: &str, text: &str) -> pb::CreateVideoRequest {
    pb::CreateVideoRequest {
        request_id: id.to_owned(),
        ..enhanced(text, Enhancer::Auto)
    }
}

/// A worker whose model takes pictures, or needs none.
async fn worker_of(scheduler: &TestScheduler, model: pb::Model) -> FakeWorker {
    let Up::Hello(mut hello) = hello("w", &[]) else {
        panic!("a hello is one");
    };
    (hello.models, hello.protocol, hello.instance) = (vec![model], 2, "one".to_owned());
    let attached = FakeWorker::attach(&scheduler.endpoint, Up::Hello(hello));
    attached.await.expect("attaches").0
}

async fn check_nothing_is_there(caller: &Caller) {
    assert_eq!(caller.list(0, "").await.expect("lists").data, []);
}

fn told(status: &Status, name: &str) -> Option<String> {
    let metadata = PublicError::from_status(status).metadata;
    let found = metadata.into_iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value)
}

#[track_caller]
fn check_refused(status: &Status, field: &str, index: Option<&str>) {
    assert_eq!(
        (status.code(), reason(status).as_str()),
        (Code::InvalidArgument, "PROMPT_REFUSED")
    );
    assert_eq!(
        told(status, "category").as_deref(),
        Some("graphic_violence")
    );
    assert_eq!(told(status, "rule_id").as_deref(), Some("en.terms"));
    assert_eq!(told(status, "index").as_deref(), index);
    let error = PublicError::from_status(status);
    assert_eq!(error.violations[0].field, field);
    assert!(!format!("{error:?}").contains(FORBIDDEN), "{error:?}");
}

kinora_store::on_both_databases! {
    async fn a_prompt_is_rewritten_for_its_model_and_kept_as_it_was_written(url: DatabaseUrl) {
        let (scheduler, prompts) = start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let request = pb::CreateVideoRequest {
            style: "soft".to_owned(),
            characters: vec![Character { name: "Ball".to_owned(), sheet: "round".to_owned() }],
            negative_prompt: Some("rain".to_owned()),
            preview_first: true,
            ..enhanced("red ball", Enhancer::Auto)
        };
        let video = anna.submit(request.clone()).await.expect("accepted");
        assert_eq!((video.original_prompt.as_str(), video.prompt.as_str()), ("red ball", "red ball, soft light"));
        assert_eq!((video.enhancer(), video.prompt_language()), (Enhancer::Rules, "en"));
        assert_eq!((video.negative_prompt.as_str(), video.enhancement_fallback.as_deref()), ("rain, blur", None));
        assert_eq!(video.notes, ["words outside this model's world: soft, light", "light was added"]);
        assert_eq!(anna.get(&video.id).await.expect("reads").prompt, video.prompt);
        let sent = &prompts.last()[0];
        assert_eq!((sent.family(), sent.mode(), sent.enhancer()), (Family::Wan, Mode::Text, Enhancer::Auto));
        assert_eq!((sent.prompt.as_str(), sent.negative_prompt.as_str()), ("red ball", "rain"));
        assert_eq!((sent.style.as_str(), &sent.characters), ("soft", &request.characters));
        let grant = worker.grant().await;
        let spec = grant.spec.expect("a specification");
        assert_eq!((spec.prompt.as_str(), spec.negative_prompt.as_str()), ("red ball, soft light", "rain, blur"));
        assert_eq!(video.preview_settings.expect("a preview").prompt, "red ball, soft light");
        for query in ["soft light", "RED"] {
            let query = pb::ListVideosRequest { query: query.to_owned(), ..pb::ListVideosRequest::default() };
            assert_eq!(anna.list_by(query).await.expect("lists").data.len(), 1);
        }
    }

    async fn a_prompt_that_nobody_is_to_rewrite_is_moderated_and_stays_as_it_is(url: DatabaseUrl) {
        let (scheduler, prompts) = start(&url).await;
        let anna = scheduler.caller("anna").await;
        let _worker = scheduler.worker("w").await;
        for enhance in [Enhancer::Unspecified, Enhancer::None] {
            let video = anna.submit(enhanced("a ball", enhance)).await.expect("accepted");
            assert_eq!((video.prompt.as_str(), video.original_prompt.as_str()), ("a ball", "a ball"));
            assert_eq!((video.enhancer(), video.prompt_language), (Enhancer::None, None));
            assert_eq!(prompts.last()[0].enhancer(), Enhancer::None);
        }
        let token = scheduler.issuer.token("anna");
        let anna = Caller::connect(&scheduler.endpoint, token.clone());
        anna.submit(prompt("a ball")).await.expect("accepted");
        let last = prompts.calls().pop().expect("a call");
        assert_eq!(last.token, format!("Bearer {token}"));
    }

    async fn what_is_refused_leaves_nothing_behind(url: DatabaseUrl) {
        let ledger = FakeLedger::new(10_000);
        let endpoint = ledger.serve().await;
        let (scheduler, prompts) = start_with(&url, |options| options.billing_endpoint = Some(endpoint)).await;
        let anna = scheduler.caller("anna").await;
        let _worker = scheduler.worker("w").await;
        let forbidden = || format!("a {FORBIDDEN} ball");
        let ball = || enhanced("a ball", Enhancer::Rules);
        let sheet = Character { name: "Ada".to_owned(), sheet: forbidden() };
        for (field, request) in [
            ("prompt", prompt(&forbidden())),
            ("negative_prompt", pb::CreateVideoRequest { negative_prompt: Some(forbidden()), ..ball() }),
            ("style", pb::CreateVideoRequest { style: forbidden(), ..ball() }),
            ("characters", pb::CreateVideoRequest { characters: vec![sheet], ..ball() }),
        ] {
            check_refused(&anna.submit(request).await.expect_err("refused"), field, None);
        }
        let doubtful = prompt(&format!("a {DOUBTFUL} ball"));
        anna.submit(doubtful.clone()).await.expect_err("needs review");
        prompts.be_away(true);
        anna.submit(doubtful).await.expect_err("nobody knows");
        check_nothing_is_there(&anna).await;
        assert_eq!(ledger.calls("hold"), 0);
    }

    async fn what_needs_review_is_accepted_once_it_is_approved(url: DatabaseUrl) {
        let (scheduler, prompts) = start(&url).await;
        let anna = scheduler.caller("anna").await;
        let _worker = scheduler.worker("w").await;
        let text = format!("a {DOUBTFUL} ball");
        let waiting = anna.submit(named("r", &text)).await.expect_err("needs review");
        assert_eq!((waiting.code(), reason(&waiting).as_str()), (Code::FailedPrecondition, "PROMPT_NEEDS_REVIEW"));
        assert_eq!(told(&waiting, "review_id"), Some(format!("review of {text}")));
        assert_eq!(told(&waiting, "category").as_deref(), Some("graphic_violence"));
        anna.submit(named("r", &text)).await.expect_err("still");
        assert_eq!(prompts.reviews(), 1);
        prompts.approve_all();
        let video = anna.submit(named("r", &text)).await.expect("the request id is free");
        assert_eq!(video.original_prompt, text);
    }

    async fn without_an_answer_nothing_is_accepted(url: DatabaseUrl) {
        let (scheduler, prompts) = start(&url).await;
        let anna = scheduler.caller("anna").await;
        let _worker = scheduler.worker("w").await;
        prompts.be_away(true);
        let check = |status: Status| {
            let error = PublicError::from_status(&status);
            assert_eq!((status.code(), error.reason.as_str()), (Code::Unavailable, "PROMPTS_UNAVAILABLE"));
            assert!(error.retry_after.is_some());
        };
        check(anna.submit(named("r", "a ball")).await.expect_err("away"));
        check(anna.batch("b", vec![prompt("a"), prompt("b")]).await.expect_err("away"));
        prompts.be_away(false);
        anna.submit(named("r", "a ball")).await.expect("at once");
        prompts.be_odd();
        check(anna.submit(prompt("a ball")).await.expect_err("no verdict"));
        assert_eq!(anna.list(0, "").await.expect("lists").data.len(), 1);
    }

    async fn a_prompt_that_takes_long_keeps_nobody_else(url: DatabaseUrl) {
        let (scheduler, prompts) = start(&url).await;
        let anna = scheduler.caller("anna").await;
        let _worker = scheduler.worker("w").await;
        let gate = prompts.hold("slow");
        let calls = (0..40).map(|call| {
            let (anna, request) = (anna.clone(), prompt(&format!("slow {call}")));
            tokio::spawn(async move { anna.submit(request).await })
        });
        let calls: Vec<_> = calls.collect();
        until("all are asked about", PATIENCE, || async {
            let count = prompts.calls().len();
            if count == 40 { Ok(()) } else { Err(count) }
        }).await;
        let bert = scheduler.caller("bert").await;
        bert.submit(prompt("a ball")).await.expect("at once");
        anna.submit(prompt("a ball")).await.expect("at once");
        check_nothing_of(&anna, "slow").await;
        gate.add_permits(100);
        for call in calls {
            call.await.expect("does not panic").expect("accepted");
        }
    }

    async fn a_call_ends_with_its_time_limit(url: DatabaseUrl) {
        let (scheduler, prompts) = start_with(&url, |options| {
            options.prompts_timeout = Duration::from_millis(200);
        }).await;
        let anna = scheduler.caller("anna").await;
        let _worker = scheduler.worker("w").await;
        let gate = prompts.hold("slow");
        let late = anna.submit(prompt("slow")).await.expect_err("nobody answers");
        assert_eq!(reason(&late), "PROMPTS_UNAVAILABLE");
        gate.add_permits(100);
        check_nothing_is_there(&anna).await;
    }

    async fn a_request_that_is_repeated_is_not_looked_at_again(url: DatabaseUrl) {
        let (scheduler, prompts) = start(&url).await;
        let anna = scheduler.caller("anna").await;
        let _worker = scheduler.worker("w").await;
        let first = anna.submit(named("r", "a ball")).await.expect("accepted");
        prompts.be_away(true);
        assert_eq!(anna.submit(named("r", "a ball")).await.expect("the same").id, first.id);
        let unnamed = || pb::CreateVideoRequest { allow_duplicate: false, ..enhanced("a ball", Enhancer::Rules) };
        prompts.be_away(false);
        let second = anna.submit(unnamed()).await.expect("accepted");
        assert_eq!(anna.submit(unnamed()).await.expect("the same").id, second.id);
        assert_eq!(prompts.calls().len(), 2);
        let other = pb::CreateVideoRequest { enhance: Enhancer::None.into(), ..named("r", "a ball") };
        assert_eq!(reason(&anna.submit(other).await.expect_err("another body")), "REQUEST_ID_REUSED");
    }

    async fn a_batch_is_looked_at_in_one_call_and_refused_as_a_whole(url: DatabaseUrl) {
        let (scheduler, prompts) = start(&url).await;
        let anna = scheduler.caller("anna").await;
        let _worker = scheduler.worker("w").await;
        let order = |texts: &[&str]| pb::CreateBatchRequest {
            template: Some(enhanced("", Enhancer::Rules)),
            prompts: texts.iter().copied().map(str::to_owned).collect(),
            seeds: vec![1, 2],
            ..pb::CreateBatchRequest::default()
        };
        let group = anna.batch_of(order(&["a ball", "a star"])).await.expect("accepted");
        let shown: Vec<_> = group.videos.iter().map(|video| (video.original_prompt.as_str(), video.prompt.as_str())).collect();
        let (ball, star) = (("a ball", "a ball,  light"), ("a star", "a star,  light"));
        assert_eq!(shown, [ball, ball, star, star]);
        assert_eq!((prompts.calls().len(), prompts.last().len()), (1, 2), "each prompt once");

        let (forbidden, doubtful) = (format!("a {FORBIDDEN} ball"), format!("a {DOUBTFUL} ball"));
        let refused = anna.batch_of(order(&["a", &doubtful, &forbidden])).await.expect_err("refused");
        check_refused(&refused, "prompt", Some("4"));
        let waiting = anna.batch_of(order(&["a", &doubtful])).await.expect_err("needs review");
        assert_eq!(reason(&waiting), "PROMPT_NEEDS_REVIEW");
        assert_eq!(told(&waiting, "index").as_deref(), Some("2"));
        let invalid = anna.batch_of(order(&["a", "b", "<S>"])).await.expect_err("tags");
        assert_eq!(reason(&invalid), "PROMPT_TAGS_INVALID");
        assert_eq!(told(&invalid, "index").as_deref(), Some("4"));
        assert_eq!(PublicError::from_status(&invalid).violations[0].field, "prompt");
        let invalid = anna.submit(prompt("<S>")).await.expect_err("tags");
        assert_eq!((told(&invalid, "index"), reason(&invalid).as_str()), (None, "PROMPT_TAGS_INVALID"));
        assert_eq!(anna.list(0, "").await.expect("lists").data.len(), 4);
    }

    async fn segments_are_looked_at_each_and_shown_in_the_whole(url: DatabaseUrl) {
        let (scheduler, prompts) = start(&url).await;
        let anna = scheduler.caller("anna").await;
        let optional = pb::Model { image_input: pb::model::ImageInput::Optional.into(), ..model("ti2v") };
        let _worker = worker_of(&scheduler, optional).await;
        let order = |last: &str| pb::CreateSequenceRequest {
            segment: Some(pb::CreateVideoRequest { style: "soft".to_owned(), ..enhanced("a ball", Enhancer::Rules) }),
            prompts: vec!["it rolls".to_owned(), last.to_owned()],
            ..pb::CreateSequenceRequest::default()
        };
        let group = anna.sequence(order("it stops")).await.expect("accepted");
        let shown: Vec<_> = group.videos.iter().map(|video| (video.original_prompt.as_str(), video.prompt.as_str())).collect();
        let first = ("it rolls", "it rolls, soft light");
        assert_eq!(shown, [first, ("it stops", "it stops, soft light"), first]);
        let modes: Vec<Mode> = prompts.last().iter().map(prompts::PrepareRequest::mode).collect();
        assert_eq!(modes, [Mode::Text, Mode::Image]);
        let refused = anna.sequence(order(FORBIDDEN)).await.expect_err("refused");
        check_refused(&refused, "prompt", Some("1"));
    }

    async fn pictures_decide_how_a_prompt_is_written(url: DatabaseUrl) {
        let (scheduler, prompts) = start(&url).await;
        let anna = scheduler.caller("anna").await;
        let both = pb::Model {
            last_image_input: pb::model::ImageInput::Optional.into(),
            prompt_family: Family::Mochi.into(),
            ..image_model("i2v")
        };
        let _worker = worker_of(&scheduler, both).await;
        let with_first = pb::CreateVideoRequest { image: picture(64, 48), ..prompt("a ball") };
        let with_both = pb::CreateVideoRequest { last_image: picture(64, 48), ..with_first.clone() };
        let video = anna.submit(with_first).await.expect("accepted");
        assert_eq!((prompts.last()[0].mode(), prompts.last()[0].family()), (Mode::Image, Family::Mochi));
        anna.submit(with_both).await.expect("accepted");
        assert_eq!(prompts.last()[0].mode(), Mode::FirstAndLastImage);
        let remix = pb::CreateVideoRequest { remix_of: video.id, ..prompt("") };
        anna.submit(remix).await.expect("accepted");
        assert_eq!(prompts.last()[0].mode(), Mode::Image);
        let shown = anna.models().await.expect("lists").data;
        assert_eq!(shown[0].prompt_family(), Family::Mochi);
    }

    async fn a_remix_begins_with_what_was_written(url: DatabaseUrl) {
        let (scheduler, prompts) = start(&url).await;
        let anna = scheduler.caller("anna").await;
        let _worker = scheduler.worker("w").await;
        let request = pb::CreateVideoRequest { style: "soft".to_owned(), ..enhanced("a ball", Enhancer::Auto) };
        let source = anna.submit(request).await.expect("accepted");
        let remix = |text: &str, enhance| pb::CreateVideoRequest { remix_of: source.id.clone(), ..enhanced(text, enhance) };
        let same = anna.submit(remix("", Enhancer::Unspecified)).await.expect("accepted");
        assert_eq!((same.original_prompt.as_str(), same.prompt.as_str()), ("a ball", "a ball, soft light"));
        assert_eq!(prompts.last()[0].prompt, "a ball");
        let plain = anna.submit(remix("", Enhancer::None)).await.expect("accepted");
        assert_eq!((plain.original_prompt.as_str(), plain.prompt.as_str()), ("a ball", "a ball"));
        let other = anna.submit(remix("a star", Enhancer::Unspecified)).await.expect("accepted");
        assert_eq!(other.prompt, "a star, soft light");
        let refused = anna.submit(remix(FORBIDDEN, Enhancer::Unspecified)).await.expect_err("refused");
        check_refused(&refused, "prompt", None);
    }

    async fn a_dead_letter_is_tried_again_as_it_was_accepted(url: DatabaseUrl) {
        let (scheduler, prompts) = start_with(&url, |options| options.max_attempts = 1).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let video = anna.submit(enhanced("a ball", Enhancer::Rules)).await.expect("accepted");
        let lease = worker.grant().await.lease.expect("a lease");
        worker.say(failure(&lease, "REQUEST_INVALID", false)).await;
        assert!(worker.receipt().await.1);
        prompts.be_away(true);
        let again = scheduler.operator("olga").retry(&video.id).await.expect("submits");
        assert_eq!((&again.prompt, &again.original_prompt), (&video.prompt, &video.original_prompt));
        assert_eq!((again.enhancer(), prompts.calls().len()), (Enhancer::Rules, 1));
        let lease = worker.grant().await.lease.expect("a lease");
        worker.say(completion(&lease)).await;
        assert!(worker.receipt().await.1);
    }

    async fn what_cannot_be_rewritten_passes_and_says_so(url: DatabaseUrl) {
        let (scheduler, _prompts) = start(&url).await;
        let anna = scheduler.caller("anna").await;
        let _worker = scheduler.worker("w").await;
        let video = anna.submit(enhanced("a ball", Enhancer::Llm)).await.expect("accepted");
        assert_eq!((video.enhancer(), video.enhancement_fallback()), (Enhancer::Rules, "LLM_TIMEOUT"));
        let video = anna.submit(enhanced("long", Enhancer::Rules)).await.expect("accepted");
        assert_eq!((video.prompt.as_str(), video.enhancer()), ("long", Enhancer::None));
        assert_eq!(video.enhancement_fallback(), "ENHANCEMENT_FAILED");
    }

    async fn without_a_service_prompts_are_taken_as_they_come(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let _worker = scheduler.worker("w").await;
        let video = anna.submit(enhanced(FORBIDDEN, Enhancer::None)).await.expect("accepted");
        assert_eq!((video.prompt.as_str(), video.original_prompt.as_str()), (FORBIDDEN, FORBIDDEN));
        for enhance in [Enhancer::Auto, Enhancer::Rules, Enhancer::Llm] {
            let request = enhanced("a ball", enhance);
            for refused in [
                anna.submit(request.clone()).await.expect_err("nobody can"),
                anna.estimate(request.clone()).await.expect_err("nobody can"),
            ] {
                assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "ENHANCEMENT_NOT_SUPPORTED"));
            }
        }
        let wishes = pb::CreateVideoRequest { style: "noir".to_owned(), ..prompt("a ball") };
        assert_eq!(reason(&anna.submit(wishes).await.expect_err("for nobody")), "ENHANCE_REQUIRED");
        let odd = pb::CreateVideoRequest { enhance: 99, ..prompt("a ball") };
        assert_eq!(reason(&anna.submit(odd).await.expect_err("none there is")), "ENHANCE_INVALID");
    }

    async fn an_estimate_looks_at_no_prompt(url: DatabaseUrl) {
        let (scheduler, prompts) = start(&url).await;
        let anna = scheduler.caller("anna").await;
        let _worker = scheduler.worker("w").await;
        let estimate = anna.estimate(enhanced(FORBIDDEN, Enhancer::Auto)).await.expect("estimates");
        assert_eq!(estimate.settings.expect("settings").prompt, FORBIDDEN);
        assert_eq!(prompts.calls().len(), 0);
    }
}

async fn check_nothing_of(caller: &Caller, word: &str) {
    let videos = caller.list(100, "").await.expect("lists").data;
    assert!(videos.iter().all(|video| !video.prompt.contains(word)));
}
