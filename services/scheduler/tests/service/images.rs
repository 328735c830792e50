//! Pictures on their way to workers, and what is no picture.

use std::sync::Arc;

use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::attach_request::Message as Up;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tonic::{Code, Status};

use crate::harness::{
    FakeWorker, TestScheduler, failure, hello, image_model, picture, prompt, reason,
};

async fn with_models(scheduler: &TestScheduler) -> FakeWorker {
    let Up::Hello(mut hello) = hello("w", &[]) else {
        panic!("a hello is one");
    };
    hello.models.push(image_model("i2v"));
    let attached = FakeWorker::attach(&scheduler.endpoint, Up::Hello(hello));
    attached.await.expect("attaches").0
}

fn to(model: &str, image: Vec<u8>) -> pb::CreateVideoRequest {
    pb::CreateVideoRequest {
        model: model.to_owned(),
        image,
        ..prompt("a ball")
    }
}

fn remix_of(source: &str) -> pb::CreateVideoRequest {
    pb::CreateVideoRequest {
        remix_of: source.to_owned(),
        ..prompt("")
    }
}

/// Asserts that a submission was refused for its picture.
fn check_refused(answer: Result<pb::Video, Status>, expected: &str) {
    let status = answer.expect_err(expected);
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::InvalidArgument, expected)
    );
    let error = kinora_mesh::error::PublicError::from_status(&status);
    assert_eq!(error.violations[0].field, "image");
}

kinora_store::on_both_databases! {
    async fn picture_is_stored_before_its_job_and_goes_with_it(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = with_models(&scheduler).await;
        let image = picture(120, 60);
        let job = anna.submit(to("i2v", image.clone())).await.expect("accepted");
        let spec = worker.grant().await.spec.expect("a spec");
        assert_eq!(spec.image_key, format!("jobs/{}/inputs/first.webp", job.id));
        assert_eq!(spec.image_sha256, hex::encode(Sha256::digest(&image)));
        assert_eq!(spec.last_image_key, "");
        assert_eq!((spec.width, spec.height), (64, 32), "its proportions");
        assert_eq!(scheduler.removals.object(&spec.image_key), Some(image));
        anna.delete(&job.id).await.expect("deletes");
        scheduler.removals.wait_for(&format!("jobs/{}/", job.id), 2).await;
    }

    async fn picture_of_a_waiting_job_goes_when_it_is_cancelled(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = with_models(&scheduler).await;
        anna.submit(to("i2v", picture(8, 8))).await.expect("accepted");
        worker.grant().await;
        let waiting = anna.submit(to("i2v", picture(8, 8))).await.expect("accepted");
        anna.cancel(&waiting.id).await.expect("cancels");
        scheduler.removals.wait_for(&format!("jobs/{}/", waiting.id), 2).await;
    }

    async fn remix_has_a_picture_of_its_own(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = with_models(&scheduler).await;
        let image = picture(120, 60);
        let source = anna.submit(to("i2v", image.clone())).await.expect("accepted");
        let lease = worker.grant().await.lease.expect("a lease");
        assert!(worker.complete(&lease).await);
        let remix = anna.submit(remix_of(&source.id)).await.expect("accepted");
        anna.delete(&source.id).await.expect("deletes");
        scheduler.removals.wait_for(&format!("jobs/{}/", source.id), 2).await;
        let grant = worker.grant().await;
        assert_eq!(grant.lease.expect("a lease").job_id, remix.id);
        let spec = grant.spec.expect("a spec");
        assert_eq!(spec.image_key, format!("jobs/{}/inputs/first.webp", remix.id));
        assert_eq!(spec.image_sha256, hex::encode(Sha256::digest(&image)));
        assert_eq!(scheduler.removals.object(&spec.image_key), Some(image));
    }

    async fn picture_that_is_gone_is_asked_for_again(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let _worker = with_models(&scheduler).await;
        let source = anna.submit(to("i2v", picture(8, 8))).await.expect("accepted");
        anna.cancel(&source.id).await.expect("cancels");
        scheduler.removals.wait_for(&format!("jobs/{}/", source.id), 2).await;
        let status = anna.submit(remix_of(&source.id)).await.expect_err("refused");
        assert_eq!((status.code(), reason(&status).as_str()), (Code::FailedPrecondition, "PICTURE_GONE"));
        assert_eq!(anna.list(10, "").await.expect("lists").data.len(), 1);
        let with_picture = pb::CreateVideoRequest { image: picture(8, 8), ..remix_of(&source.id) };
        anna.submit(with_picture).await.expect("accepted");
    }

    async fn retry_of_a_dead_letter_has_a_picture_of_its_own(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let (anna, olga) = (scheduler.caller("anna").await, scheduler.operator("olga"));
        let mut worker = with_models(&scheduler).await;
        let image = picture(8, 8);
        let dead = anna.submit(to("i2v", image.clone())).await.expect("accepted");
        let lease = worker.grant().await.lease.expect("a lease");
        worker.say(failure(&lease, "REQUEST_INVALID", false)).await;
        assert_eq!(worker.receipt().await, (lease, true));
        let new = olga.retry(&dead.id).await.expect("retries");
        assert_eq!(olga.retry(&dead.id).await.expect("answers").id, new.id);
        anna.delete(&dead.id).await.expect("deletes");
        scheduler.removals.wait_for(&format!("jobs/{}/", dead.id), 2).await;
        let spec = worker.grant().await.spec.expect("a spec");
        assert_eq!(spec.image_key, format!("jobs/{}/inputs/first.webp", new.id));
        assert_eq!(scheduler.removals.object(&spec.image_key), Some(image));
    }

    async fn preview_begins_with_the_picture_too(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let mut worker = with_models(&scheduler).await;
        let request = pb::CreateVideoRequest { preview_first: true, ..to("i2v", picture(64, 64)) };
        let job = anna.submit(request).await.expect("accepted");
        let spec = worker.grant().await.spec.expect("a spec");
        assert_eq!(spec.image_key, format!("jobs/{}/inputs/first.webp", job.id));
    }

    async fn same_request_is_the_same_picture(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let _worker = with_models(&scheduler).await;
        let request = |image| pb::CreateVideoRequest { request_id: "r1".to_owned(), ..to("i2v", image) };
        let job = anna.submit(request(picture(8, 8))).await.expect("accepted");
        let again = anna.submit(request(picture(8, 8))).await.expect("answers");
        assert_eq!(again.id, job.id);
        let other = anna.submit(request(picture(8, 9))).await.expect_err("another body");
        assert_eq!(reason(&other), "REQUEST_ID_REUSED");
        assert_eq!(scheduler.removals.stored.lock().len(), 1);
    }

    async fn store_that_is_away_accepts_no_picture_and_leaves_none(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let _worker = with_models(&scheduler).await;
        *scheduler.removals.puts_fail.lock() = true;
        let status = anna.submit(to("i2v", picture(8, 8))).await.expect_err("refused");
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "STORAGE_UNAVAILABLE"));
        assert!(anna.list(10, "").await.expect("lists").data.is_empty());
        kinora_testkit::wait::until("the inputs are removed", crate::harness::PATIENCE, || async {
            let seen = scheduler.removals.prefixes.lock().clone();
            if seen.iter().any(|prefix| prefix.ends_with("/inputs/")) { Ok(()) } else { Err(seen) }
        })
        .await;
    }

    async fn pictures_wait_their_turn_and_words_do_not(url: DatabaseUrl) {
        let scheduler = TestScheduler::start_with(&url, |options| options.picture_uploads = 1).await;
        let anna = scheduler.caller("anna").await;
        let _worker = with_models(&scheduler).await;
        let store = Arc::new(Semaphore::new(0));
        *scheduler.removals.puts_wait.lock() = Some(Arc::clone(&store));
        let other = scheduler.caller("anna").await;
        let slow = tokio::spawn(async move { other.submit(to("i2v", picture(8, 8))).await });
        kinora_testkit::wait::until("the first is being stored", crate::harness::PATIENCE, || async {
            let begun = scheduler.removals.stored.lock().len();
            if begun == 1 { Ok(()) } else { Err(begun) }
        })
        .await;
        let status = anna.submit(to("i2v", picture(9, 9))).await.expect_err("refused");
        assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "UPLOADS_BUSY"));
        anna.submit(to("tiny", Vec::new())).await.expect("accepted");
        store.add_permits(1);
        slow.await.expect("ends").expect("accepted");
        store.add_permits(1);
        anna.submit(to("i2v", picture(9, 9))).await.expect("accepted");
    }

    async fn what_is_no_picture_is_refused(url: DatabaseUrl) {
        let scheduler = TestScheduler::start(&url).await;
        let anna = scheduler.caller("anna").await;
        let _worker = with_models(&scheduler).await;
        let image = picture(64, 64);
        let cut = image[..image.len() / 2].to_vec();
        // A header of 60000 x 60000 pixels.
        let mut bomb = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        bomb.extend([0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60, 8, 2, 0, 0, 0]);
        bomb.extend([0x7e, 0x8a, 0x4c, 0x9d]);
        for (bytes, expected) in [
            (b"hello".to_vec(), "IMAGE_NOT_READABLE"),
            (cut, "IMAGE_NOT_READABLE"),
            (picture(256, 2), "IMAGE_TOO_LONG"),
            (vec![0; 17 << 20], "IMAGE_TOO_LARGE"),
        ] {
            check_refused(anna.submit(to("i2v", bytes)).await, expected);
        }
        let bombed = anna.submit(to("i2v", bomb)).await.expect_err("refused");
        assert!(["IMAGE_TOO_LARGE", "IMAGE_NOT_READABLE"].contains(&reason(&bombed).as_str()));
        check_refused(anna.submit(to("tiny", image)).await, "IMAGE_NOT_SUPPORTED");
        check_refused(anna.submit(to("i2v", Vec::new())).await, "IMAGE_REQUIRED");
        let huge = anna.submit(to("i2v", vec![0; 40 << 20])).await.expect_err("refused");
        assert_eq!(huge.code(), Code::OutOfRange, "{huge:?}");
        assert!(scheduler.removals.stored.lock().is_empty());
    }
}
