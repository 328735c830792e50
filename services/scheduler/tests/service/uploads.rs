//! Pictures that callers put into the object store before they ask for a video.

use std::time::Duration;

use kinora_access::testing::principal_of;
use kinora_mesh::error::PublicError;
use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::attach_request::Message as Up;
use sha2::{Digest, Sha256};
use tonic::{Code, Status};

use crate::harness::{
    Caller, FakeWorker, PATIENCE, TestScheduler, completion, hello, image_model, picture, prompt,
    reason,
};

/// Where an upload of Anna's lies.
fn prefix_of(id: &str) -> String {
    format!("uploads/{}/{id}/", principal_of("anna"))
}

async fn with_models(scheduler: &TestScheduler) -> FakeWorker {
    let Up::Hello(mut hello) = hello("w", &[]) else {
        panic!("a hello is one");
    };
    hello.models.push(image_model("i2v"));
    let attached = FakeWorker::attach(&scheduler.endpoint, Up::Hello(hello));
    attached.await.expect("attaches").0
}

fn of_upload(id: &str) -> pb::CreateVideoRequest {
    pb::CreateVideoRequest {
        model: "i2v".to_owned(),
        image_upload: id.to_owned(),
        ..prompt("a ball")
    }
}

/// Uploads a picture as a caller does, and answers with its id.
async fn uploaded(scheduler: &TestScheduler, caller: &Caller, bytes: Vec<u8>) -> String {
    let upload = caller.upload(bytes.len()).await.expect("a place");
    scheduler.removals.put_at(&upload.url, bytes);
    upload.id
}

#[track_caller]
fn check_refused(status: &Status, code: Code, expected: &str, field: &str) {
    assert_eq!((status.code(), reason(status).as_str()), (code, expected));
    let error = PublicError::from_status(status);
    let violated = error.violations.first().map(|it| it.field.as_str());
    assert_eq!(violated, Some(field), "{error:?}");
}

#[track_caller]
fn check_missing(answer: Result<pb::Video, Status>) {
    let status = answer.expect_err("there is no such upload");
    check_refused(
        &status,
        Code::FailedPrecondition,
        "UPLOAD_NOT_FOUND",
        "image_upload",
    );
}

kinora_store::on_both_databases! {
    async fn a_link_says_how_and_until_when(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let order = pb::CreateUploadRequest {
            content_type: "image/png".to_owned(),
            size_bytes: 1234,
            sha256: "0a".repeat(32),
        };
        let upload = anna.upload_of(order.clone()).await.expect("a place");
        let expected = format!("https://objects.test/{}picture?for=900", prefix_of(&upload.id));
        assert_eq!((upload.url.as_str(), upload.method.as_str()), (expected.as_str(), "PUT"));
        let header = |name: &str| upload.headers.get(name).map(String::as_str);
        assert_eq!(header("content-type"), Some("image/png"));
        assert_eq!(header("content-length"), Some("1234"));
        assert_eq!(header("x-digest").map(str::len), Some(64));
        let purged = upload.purge_time.expect("a time").seconds;
        assert_eq!(purged - i64::from(upload.expires_at), 24 * 3600 - 15 * 60);
        assert_eq!(upload.object, "upload");
        let other = anna.upload_of(order.clone()).await.expect("a place");
        assert_ne!(other.id, upload.id);
        let large = pb::CreateUploadRequest { size_bytes: (16 << 20) + 1, ..order };
        let status = anna.upload_of(large).await.expect_err("is too large");
        check_refused(&status, Code::InvalidArgument, "SIZE_BYTES_INVALID", "size_bytes");
    }

    async fn a_job_has_a_copy_of_an_upload(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = with_models(&scheduler).await;
        let image = picture(120, 60);
        let id = uploaded(&scheduler, &anna, image.clone()).await;
        let estimate = anna.estimate(of_upload(&id)).await.expect("estimates");
        let settings = estimate.settings.expect("settings");
        assert_eq!((settings.width, settings.height), (64, 32), "its proportions");
        let first = anna.submit(of_upload(&id)).await.expect("accepted");
        let sha256 = hex::encode(Sha256::digest(&image));
        assert_eq!(first.image_sha256.as_deref(), Some(sha256.as_str()));
        scheduler.removals.stored.lock().retain(|(key, _)| !key.starts_with("uploads/"));
        let grant = worker.grant().await;
        let spec = grant.spec.expect("a spec");
        assert_eq!(spec.image_key, format!("jobs/{}/inputs/first.webp", first.id));
        assert_eq!(spec.image_sha256, sha256);
        assert_eq!(scheduler.removals.object(&spec.image_key), Some(image));
        check_missing(anna.submit(of_upload(&id)).await);
        let remix = pb::CreateVideoRequest { remix_of: first.id, ..prompt("") };
        anna.submit(remix).await.expect("accepted without the upload");
    }

    async fn what_was_not_put_there_and_what_is_anothers_is_not_found(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let (anna, bert) = (scheduler.caller("anna").await, scheduler.caller("bert").await);
        let _worker = with_models(&scheduler).await;
        let empty = anna.upload(10).await.expect("a place");
        check_missing(anna.submit(of_upload(&empty.id)).await);
        let full = uploaded(&scheduler, &anna, picture(8, 8)).await;
        check_missing(bert.submit(of_upload(&full)).await);
        for id in ["1", "../anna", "00000000-0000-7000-8000-000000000000", &full.to_uppercase()] {
            check_missing(anna.submit(of_upload(id)).await);
        }
        anna.submit(of_upload(&full)).await.expect("accepted");
        let last = pb::CreateVideoRequest { last_image_upload: empty.id, ..of_upload(&full) };
        let status = anna.submit(last).await.expect_err("there is none");
        check_refused(&status, Code::FailedPrecondition, "UPLOAD_NOT_FOUND", "last_image_upload");
    }

    async fn wrong_bytes_are_refused_as_those_of_a_request_are(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let _worker = with_models(&scheduler).await;
        for (bytes, expected) in [
            (b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec(), "IMAGE_NOT_READABLE"),
            (picture(64, 64)[..40].to_vec(), "IMAGE_NOT_READABLE"),
            (picture(256, 2), "IMAGE_TOO_LONG"),
        ] {
            let id = uploaded(&scheduler, &anna, bytes).await;
            let status = anna.submit(of_upload(&id)).await.expect_err("refused");
            check_refused(&status, Code::InvalidArgument, expected, "image_upload");
        }
        // A store that does not keep to what was signed.
        let upload = anna.upload(10).await.expect("a place");
        scheduler.removals.put_at(&upload.url, vec![0; 17 << 20]);
        let status = anna.submit(of_upload(&upload.id)).await.expect_err("refused");
        check_refused(&status, Code::InvalidArgument, "IMAGE_TOO_LARGE", "image_upload");
        let id = uploaded(&scheduler, &anna, picture(8, 8)).await;
        let text_alone = pb::CreateVideoRequest { model: "tiny".to_owned(), ..of_upload(&id) };
        let status = anna.submit(text_alone).await.expect_err("refused");
        check_refused(&status, Code::InvalidArgument, "IMAGE_NOT_SUPPORTED", "image_upload");
        let both = pb::CreateVideoRequest { image: picture(8, 8), ..of_upload(&id) };
        let status = anna.submit(both).await.expect_err("refused");
        check_refused(&status, Code::InvalidArgument, "FIELDS_CONFLICT", "image_upload");
    }

    async fn the_same_request_with_the_same_upload_is_answered_after_it_is_gone(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let _worker = with_models(&scheduler).await;
        let request = |id: &str| pb::CreateVideoRequest { request_id: "r1".to_owned(), ..of_upload(id) };
        let one = uploaded(&scheduler, &anna, picture(8, 8)).await;
        let other = uploaded(&scheduler, &anna, picture(8, 8)).await;
        let job = anna.submit(request(&one)).await.expect("accepted");
        scheduler.removals.stored.lock().retain(|(key, _)| !key.starts_with("uploads/"));
        let again = anna.submit(request(&one)).await.expect("answers");
        assert_eq!(again.id, job.id);
        let status = anna.submit(request(&other)).await.expect_err("another body");
        assert_eq!(reason(&status), "REQUEST_ID_REUSED");
    }

    async fn a_batch_and_a_sequence_begin_with_an_upload(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = with_models(&scheduler).await;
        let image = picture(64, 48);
        let id = uploaded(&scheduler, &anna, image.clone()).await;
        let template = pb::CreateVideoRequest { prompt: String::new(), ..of_upload(&id) };
        let batch = pb::CreateBatchRequest {
            template: Some(template),
            prompts: vec!["a ball".to_owned(), "a star".to_owned()],
            ..pb::CreateBatchRequest::default()
        };
        let batch = anna.batch_of(batch).await.expect("accepted");
        for video in &batch.videos {
            let key = format!("jobs/{}/inputs/first.webp", video.id);
            assert_eq!(scheduler.removals.object(&key), Some(image.clone()));
        }
        worker.grant().await;
        anna.cancel_group(&batch.id).await.expect("cancels");
        let order = pb::CreateSequenceRequest {
            segment: Some(of_upload(&id)),
            segments: 2,
            ..pb::CreateSequenceRequest::default()
        };
        let sequence = anna.sequence(order.clone()).await.expect("accepted");
        let key = format!("jobs/{}/inputs/first.webp", sequence.videos[0].id);
        assert_eq!(scheduler.removals.object(&key), Some(image));
        let last = pb::CreateVideoRequest { last_image_upload: id, ..prompt("a ball") };
        let refused = anna.sequence(pb::CreateSequenceRequest { segment: Some(last), ..order }).await;
        let status = refused.expect_err("segments end as they like");
        check_refused(&status, Code::InvalidArgument, "SEGMENT_INVALID", "last_image_upload");
    }

    async fn uploads_of_a_request_come_to_no_more_than_it_may_bring(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let _worker = with_models(&scheduler).await;
        // A JPEG may have something behind its end, so that it is as large as need be.
        let mut large = kinora_media::encode_still(&[9; 192], 8, 8, kinora_media::StillFormat::Jpeg).expect("encodes");
        let padding = vec![0xff, 0xfe, 0xff, 0xff];
        let mut comments = Vec::new();
        while comments.len() < 12 << 20 {
            comments.extend_from_slice(&padding);
            comments.resize(comments.len() + 0xfffd, b' ');
        }
        large.splice(2..2, comments);
        let id = uploaded(&scheduler, &anna, large).await;
        let batch = |count: usize| {
            let requests = vec![pb::CreateVideoRequest { allow_duplicate: true, ..of_upload(&id) }; count];
            anna.batch("", requests)
        };
        let status = batch(3).await.expect_err("too much");
        check_refused(&status, Code::InvalidArgument, "BATCH_TOO_LARGE", "image_upload");
        assert_eq!(batch(2).await.expect("accepted").videos.len(), 2);
    }

    async fn an_owner_has_so_many_uploads_at_a_time(url: DatabaseUrl) {
        let scheduler = TestScheduler::start_with(&url, |options| options.max_uploads = 2).await;
        let anna = scheduler.caller("anna").await;
        for _ in 0..2 {
            anna.upload(10).await.expect("a place");
        }
        let status = anna.upload(10).await.expect_err("as many as she may");
        assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "UPLOAD_LIMIT"));
        scheduler.caller("bert").await.upload(10).await.expect("his own");
    }

    async fn uploads_go_after_their_time_used_or_not(url: DatabaseUrl) {
        let scheduler = TestScheduler::start_with(&url, |options| {
            options.upload_retention = Duration::from_millis(300);
            options.max_uploads = 2;
        })
        .await;
        let anna = scheduler.caller("anna").await;
        let _worker = with_models(&scheduler).await;
        let unused = anna.upload(10).await.expect("a place");
        let used = anna.upload(10).await.expect("a place");
        scheduler.removals.put_at(&used.url, picture(8, 8));
        for id in [&unused.id, &used.id] {
            scheduler.removals.wait_for(&prefix_of(id), 1).await;
        }
        assert_eq!(*scheduler.removals.stored.lock(), []);
        // A removal may be late, and the link used once more.
        scheduler.removals.put_at(&used.url, picture(8, 8));
        check_missing(anna.submit(of_upload(&used.id)).await);
        kinora_testkit::wait::until("there is room again", PATIENCE, || async {
            anna.upload(10).await.map_err(|status| status.to_string())
        })
        .await;
    }

    async fn a_store_that_is_away_is_said_to_be(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let _worker = with_models(&scheduler).await;
        let id = uploaded(&scheduler, &anna, picture(8, 8)).await;
        *scheduler.removals.puts_fail.lock() = true;
        let status = anna.submit(of_upload(&id)).await.expect_err("refused");
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "STORAGE_UNAVAILABLE"));
        *scheduler.removals.puts_fail.lock() = false;
        anna.submit(of_upload(&id)).await.expect("accepted the next time");
    }

    async fn a_sheet_is_found_where_a_worker_made_one(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = scheduler.worker("w").await;
        let old = anna.submit(prompt("a red ball")).await.expect("accepted");
        let lease = worker.grant().await.lease.expect("a lease");
        assert!(worker.complete(&lease).await);
        let sheet = pb::ContentKind::Spritesheet;
        let status = anna.content(&old.id, sheet, false).await.expect_err("there is none");
        assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "OUTPUT_NOT_FOUND"));
        assert_eq!(anna.get(&old.id).await.expect("reads").outputs.expect("outputs").spritesheet_url, None);
        let new = anna.submit(prompt("a red ball")).await.expect("accepted");
        let lease = worker.grant().await.lease.expect("a lease");
        let key = format!("jobs/{}/1/spritesheet.jpg", new.id);
        let mut report = completion(&lease);
        if let Up::Completion(report) = &mut report {
            report.outputs.as_mut().expect("outputs").spritesheet_key.clone_from(&key);
        }
        worker.say(report).await;
        assert_eq!(worker.receipt().await, (lease, true));
        let found = anna.content(&new.id, sheet, false).await.expect("found");
        let expected = pb::FindContentResponse {
            key,
            content_type: "image/jpeg".to_owned(),
            file_name: format!("kinora-{}.jpg", new.id),
        };
        assert_eq!(found, expected);
        let outputs = anna.get(&new.id).await.expect("reads").outputs.expect("outputs");
        assert_eq!(outputs.spritesheet_url, Some(format!("/v1/videos/{}/spritesheet", new.id)));
    }
}
