//! Videos as callers see and find them.

use kinora_mesh::error::{Kind, PublicError};
use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::video::Status as VideoStatus;
use tonic::{Code, Status};

use crate::harness::{Caller, FakeWorker, TestScheduler, prompt, reason};

/// Makes the next clip that is asked for.
async fn make(worker: &mut FakeWorker) -> pb::LeaseRef {
    let lease = worker.grant().await.lease.expect("a lease");
    assert!(worker.complete(&lease).await);
    lease
}

#[track_caller]
fn check_refused<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, expected: &str) {
    let status = answer.expect_err("refused");
    assert_eq!((status.code(), reason(&status).as_str()), (code, expected));
}

/// That there is nothing to come by yet, of a video of this status.
#[track_caller]
fn check_not_ready<T: std::fmt::Debug>(answer: Result<T, Status>, status: &str) {
    let refused = answer.expect_err("not ready");
    let error = PublicError::from_status(&refused);
    assert_eq!(
        (error.kind, error.reason.as_str()),
        (Kind::Aborted, "NOT_READY")
    );
    assert_eq!(error.kind.http(), 409);
    assert_eq!(error.metadata, [("state".to_owned(), status.to_owned())]);
}

async fn submit_all(anna: &Caller, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(anna.submit(prompt("a ball")).await.expect("accepted").id);
    }
    ids.reverse();
    ids
}

kinora_store::on_both_databases! {
    async fn a_clip_is_found_once_it_is_there(url: DatabaseUrl) {
        use pb::ContentKind::{Manifest, Still, Thumbnail, Unspecified, Video};
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let job = anna.submit(prompt("a ball")).await.expect("accepted");
        let lease = worker.grant().await.lease.expect("a lease");
        check_not_ready(anna.content(&job.id, Video, false).await, "in_progress");
        assert!(worker.complete(&lease).await);
        for (kind, name, content_type, extension) in [
            (Video, "video.mp4", "video/mp4", "mp4"),
            (Thumbnail, "thumbnail.webp", "image/webp", "webp"),
            (Manifest, "manifest.json", "application/json", "json"),
        ] {
            let found = anna.content(&job.id, kind, false).await.expect("finds");
            let expected = pb::FindContentResponse {
                key: format!("jobs/{}/1/{name}", job.id),
                content_type: content_type.to_owned(),
                file_name: format!("kinora-{}.{extension}", job.id),
            };
            assert_eq!(found, expected);
        }
        check_refused(anna.content(&job.id, Still, false).await, Code::NotFound, "OUTPUT_NOT_FOUND");
        check_refused(anna.content(&job.id, Video, true).await, Code::NotFound, "OUTPUT_NOT_FOUND");
        check_refused(anna.content(&job.id, Unspecified, false).await, Code::InvalidArgument, "KIND_INVALID");
        check_refused(anna.content("x", Video, false).await, Code::NotFound, "JOB_NOT_FOUND");
        let ended = anna.submit(prompt("a ball")).await.expect("accepted");
        anna.cancel(&ended.id).await.expect("cancels");
        check_not_ready(anna.content(&ended.id, Video, false).await, "cancelled");
    }

    async fn a_preview_is_found_before_and_after_its_approval(url: DatabaseUrl) {
        use pb::ContentKind::Video;
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let request = pb::CreateVideoRequest { preview_first: true, ..prompt("a ball") };
        let job = anna.submit(request).await.expect("accepted");
        let lease = worker.grant().await.lease.expect("a lease");
        check_not_ready(anna.content(&job.id, Video, true).await, "in_progress");
        assert!(worker.complete(&lease).await);
        check_not_ready(anna.content(&job.id, Video, false).await, "awaiting_approval");
        let preview = anna.content(&job.id, Video, true).await.expect("finds");
        assert_eq!(preview.key, format!("jobs/{}/1/video.mp4", job.id));
        assert_eq!(preview.file_name, format!("kinora-{}-preview.mp4", job.id));
        anna.approve(&job.id).await.expect("approves");
        make(&mut worker).await;
        assert_eq!(anna.content(&job.id, Video, true).await.expect("finds"), preview);
        let clip = anna.content(&job.id, Video, false).await.expect("finds");
        assert_eq!(clip.key, format!("jobs/{}/2/video.mp4", job.id));
    }

    async fn a_length_and_a_size_are_said_as_texts_too(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let _worker = scheduler.worker("w").await;
        let said = pb::CreateVideoRequest {
            seconds: "2".to_owned(),
            size: "96x32".to_owned(),
            request_id: "r".to_owned(),
            ..prompt("a ball")
        };
        let job = anna.submit(said.clone()).await.expect("accepted");
        assert_eq!((job.frames, job.fps, job.seconds.as_str()), (17, 8, "2.125"));
        assert_eq!((job.width, job.height, job.size.as_str()), (96, 32, "96x32"));
        assert_eq!(anna.submit(said.clone()).await.expect("the same").id, job.id);
        let longer = pb::CreateVideoRequest { seconds: "3".to_owned(), ..said.clone() };
        check_refused(anna.submit(longer).await, Code::AlreadyExists, "REQUEST_ID_REUSED");
        let invalid = Code::InvalidArgument;
        let plain = pb::CreateVideoRequest { request_id: String::new(), ..said };
        let too_long = pb::CreateVideoRequest { seconds: "60".to_owned(), ..plain.clone() };
        check_refused(anna.submit(too_long.clone()).await, invalid, "FRAMES_INVALID");
        check_refused(anna.estimate(too_long).await, invalid, "FRAMES_INVALID");
        let both = pb::CreateVideoRequest { frames: Some(5), ..plain.clone() };
        check_refused(anna.submit(both).await, invalid, "FIELDS_CONFLICT");
        let odd = pb::CreateVideoRequest { size: "wide".to_owned(), ..plain };
        check_refused(anna.submit(odd).await, invalid, "SIZE_INVALID");
    }

    async fn lists_go_on_after_a_video(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let (anna, ben) = (scheduler.caller("anna").await, scheduler.caller("ben").await);
        let _worker = scheduler.worker("w").await;
        let ids = submit_all(&anna, 3).await;
        let by = |limit: i32, after: &str| pb::ListVideosRequest {
            limit,
            after: after.to_owned(),
            order: pb::Order::Desc.into(),
            ..pb::ListVideosRequest::default()
        };
        let first = anna.list_by(by(2, "")).await.expect("lists");
        assert_eq!((first.object.as_str(), first.has_more), ("list", true));
        assert_eq!((first.first_id(), first.last_id()), (ids[0].as_str(), ids[1].as_str()));
        let rest = anna.list_by(by(2, &ids[1])).await.expect("lists");
        assert_eq!((rest.data.len(), rest.has_more, rest.next_page_token.as_str()), (1, false, ""));
        assert_eq!((rest.first_id(), rest.last_id()), (ids[2].as_str(), ids[2].as_str()));
        let none = anna.list_by(by(2, &ids[2])).await.expect("lists");
        assert_eq!((none.data, none.first_id, none.last_id), (Vec::new(), None, None));
        let running = pb::ListVideosRequest {
            status: vec![VideoStatus::Completed.into()],
            ..by(0, &ids[0])
        };
        assert_eq!(anna.list_by(running).await.expect("lists").data, []);
        let invalid = Code::InvalidArgument;
        check_refused(ben.list_by(by(2, &ids[1])).await, invalid, "AFTER_UNKNOWN");
        check_refused(anna.list_by(by(-1, "")).await, invalid, "PAGE_SIZE_INVALID");
        let both = pb::ListVideosRequest { page_token: first.next_page_token, ..by(2, &ids[1]) };
        check_refused(anna.list_by(both).await, invalid, "FIELDS_CONFLICT");
    }

    async fn lists_are_searched_by_what_the_videos_say(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let mut videos = Vec::new();
        for text in ["ein ROTER Ball", "ein blauer Ball, Überraschung", "ein roter Stern"] {
            videos.push(anna.submit(prompt(text)).await.expect("accepted"));
            make(&mut worker).await;
        }
        let waiting = anna.submit(prompt("ein roter Ball")).await.expect("accepted");
        anna.wait_for_state(&waiting.id, VideoStatus::InProgress).await;
        videos.push(waiting);
        let check = async |expected: &[usize], query: pb::ListVideosRequest| {
            let listed = anna.list_by(query.clone()).await.expect("lists");
            let ids: Vec<String> = listed.data.into_iter().map(|video| video.id).collect();
            let expected: Vec<String> = expected.iter().map(|at| videos[*at].id.clone()).collect();
            assert_eq!(ids, expected, "{query:?}");
        };
        let list = pb::ListVideosRequest::default;
        let query = |text: &str| pb::ListVideosRequest { query: text.to_owned(), ..list() };
        check(&[3, 0], query("ball rot")).await;
        check(&[1], query("ÜBER")).await;
        check(&[], query("b_ll")).await;
        check(&[0, 3], pb::ListVideosRequest { order: pb::Order::Asc.into(), ..query("roter BALL") }).await;
        let completed = vec![VideoStatus::Completed.into()];
        check(&[0], pb::ListVideosRequest { status: completed, ..query("roter BALL") }).await;
        check(&[3, 2, 1, 0], pb::ListVideosRequest { model: "tiny".to_owned(), ..list() }).await;
        check(&[], pb::ListVideosRequest { model: "huge".to_owned(), ..list() }).await;
        let (first, last) = (videos[1].create_time, videos[3].create_time);
        check(&[2, 1], pb::ListVideosRequest { created_after: first, created_before: last, ..list() }).await;
        let after = pb::ListVideosRequest { after: videos[1].id.clone(), order: pb::Order::Asc.into(), limit: 1, ..list() };
        check(&[2], after).await;
        let invalid = Code::InvalidArgument;
        check_refused(anna.list_by(query(&"x".repeat(201))).await, invalid, "SEARCH_INVALID");
        check_refused(anna.list_by(pb::ListVideosRequest { order: 9, ..list() }).await, invalid, "ORDER_INVALID");
        let page = anna.list_by(pb::ListVideosRequest { page_size: 1, ..query("ball") }).await.expect("lists");
        let other = pb::ListVideosRequest { page_token: page.next_page_token, ..query("stern") };
        check_refused(anna.list_by(other).await, invalid, "PAGE_TOKEN_INVALID");
    }

    async fn models_say_since_when_they_are_offered(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let before = chrono::Utc::now().timestamp();
        let _worker = scheduler.worker("w").await;
        let listed = anna.models().await.expect("lists");
        let [model] = &listed.data[..] else { panic!("one: {listed:?}") };
        assert_eq!((listed.object.as_str(), model.object.as_str(), model.id.as_str()), ("list", "model", "tiny"));
        assert_eq!((model.owned_by.as_str(), model.family.as_str()), ("wan-t2v", "wan-t2v"));
        // The clock is the database's, which may be a little behind.
        assert!(i64::from(model.created) >= before - 60, "{} and {before}", model.created);
    }

    async fn a_template_makes_a_video_of_every_prompt_with_every_seed(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let _worker = scheduler.worker("w").await;
        let order = pb::CreateBatchRequest {
            template: Some(pb::CreateVideoRequest { steps: Some(4), ..Default::default() }),
            prompts: vec!["a".to_owned(), "b".to_owned()],
            seeds: vec![5, 6],
            ..Default::default()
        };
        let group = anna.batch_of(order.clone()).await.expect("accepted");
        let made: Vec<_> = group.videos.iter().map(|it| (it.prompt.as_str(), it.seed, it.steps)).collect();
        assert_eq!(made, [("a", 5, 4), ("a", 6, 4), ("b", 5, 4), ("b", 6, 4)]);
        assert_eq!((group.object.as_str(), group.counts.values().sum::<u32>()), ("batch", 4));
        assert_eq!(anna.batch_of(order.clone()).await.expect("the same").id, group.id);
        let another = pb::CreateBatchRequest { allow_duplicate: true, ..order.clone() };
        assert_ne!(anna.batch_of(another).await.expect("accepted").id, group.id);
        let named = pb::CreateVideoRequest { request_id: "r".to_owned(), ..Default::default() };
        let named = pb::CreateBatchRequest { template: Some(named), ..order.clone() };
        check_refused(anna.batch_of(named).await, Code::InvalidArgument, "REQUEST_ID_INVALID");
        let nameless = pb::CreateBatchRequest { prompts: Vec::new(), ..order };
        check_refused(anna.batch_of(nameless).await, Code::InvalidArgument, "PROMPT_EMPTY");
    }
}
